/* What every encoder of objects writes, inline: text, numbers, literals, the ends of containers.
 *
 * Writers take the place to write at and give the place behind what they wrote, so that it stays in a
 * register; NULL with an exception. Each asks for the room it needs, and leaves WF_JSON_SLACK for
 * punctuation. */
#ifndef WF_PY_JSON_ENCODE_WRITE_H
#define WF_PY_JSON_ENCODE_WRITE_H

#include "py/json/encode_int.h"

#include <math.h>

enum {
    /* Deeper levels count against Python's recursion limit, so that encoders nested in encoders (by
     * way of default) cannot use up the C stack together; of the first ones each call of Python in
     * between counts. */
    DEPTH_UNCOUNTED = 16,
    /* They are counted by as many, since asking the interpreter costs as much as a level. */
    DEPTH_COUNTED_BY = 16
};
static_assert(WF_JSON_DEPTH_MAX % DEPTH_COUNTED_BY == 0 && DEPTH_UNCOUNTED % DEPTH_COUNTED_BY == 0,
              "the deepest level is looked at too");

/* Counts the next DEPTH_COUNTED_BY levels: 0, or -1 with an exception; and gives them back. */
int wf_json_encode_descend(struct encoder *e);
void wf_json_encode_ascend(void);
char *wf_json_encode_grow(struct encoder *e, char *d, size_t n);
/* Text of UTF-8 that has something to escape; d has room for two bytes. */
char *wf_json_encode_escaped(struct encoder *e, char *d, const char *s, size_t n);
/* A str that is not compact ASCII. */
char *wf_json_encode_wide(struct encoder *e, char *d, PyObject *str);
/* An int of more than one digit. */
char *wf_json_encode_big_int(struct encoder *e, char *d, PyObject *o);

/* Room for n bytes and the slack; what was written may move. */
static inline char *room(struct encoder *e, char *d, size_t n) {
    return wf_likely((size_t)(e->out.end - d) >= n + WF_JSON_SLACK) ? d
                                                                    : wf_json_encode_grow(e, d, n);
}

static inline char *put_bytes(struct encoder *e, char *d, const char *text, size_t n) {
    d = room(e, d, n);
    if (wf_likely(d != NULL)) {
        memcpy(d, text, n);
        d += n;
    }
    return d;
}

static inline bool is_counted(unsigned depth) {
    return depth >= DEPTH_UNCOUNTED && depth % DEPTH_COUNTED_BY == 0;
}

static inline int enter(struct encoder *e) {
    if (wf_unlikely(is_counted(e->depth)) && wf_json_encode_descend(e) < 0) {
        return -1;
    }
    e->depth++;
    return 0;
}

static inline void leave(struct encoder *e) {
    e->depth--;
    if (wf_unlikely(is_counted(e->depth))) {
        wf_json_encode_ascend();
    }
}

/* ---- strings ---- */

/* key  a constant: whether it is one, which is seldom long */
WF_ALWAYS_INLINE char *put_text(struct encoder *e, char *d, const char *s, size_t n, bool key) {
    d = room(e, d, n + 2);
    if (wf_unlikely(d == NULL)) {
        return NULL;
    }
    bool plain = key ? wf_json_copy_key_if_plain(d + 1, s, n) : wf_json_copy_if_plain(d + 1, s, n);
    if (wf_unlikely(!plain)) {
        return wf_json_encode_escaped(e, d, s, n);
    }
    d[0] = '"';
    d[n + 1] = '"';
    return d + n + 2;
}

WF_ALWAYS_INLINE char *encode_text(struct encoder *e, char *d, PyObject *str, bool key) {
    if (wf_likely(PyUnicode_IS_COMPACT_ASCII(str))) {
        return put_text(e, d, (const char *)((PyASCIIObject *)str + 1),
                        (size_t)PyUnicode_GET_LENGTH(str), key);
    }
    return wf_json_encode_wide(e, d, str);
}

WF_ALWAYS_INLINE char *encode_str(struct encoder *e, char *d, PyObject *str) {
    return encode_text(e, d, str, false);
}

WF_ALWAYS_INLINE char *encode_key(struct encoder *e, char *d, PyObject *str) {
    return encode_text(e, d, str, true);
}

/* ---- numbers ---- */

WF_ALWAYS_INLINE char *encode_int(struct encoder *e, char *d, PyObject *o) {
#if PY_VERSION_HEX >= 0x030C0000
    if (wf_unlikely(!PyUnstable_Long_IsCompact((PyLongObject *)o))) {
        return wf_json_encode_big_int(e, d, o);
    }
    Py_ssize_t v = PyUnstable_Long_CompactValue((PyLongObject *)o);
    bool negative = v < 0;
    uint32_t magnitude = (uint32_t)(negative ? -v : v);
#else
    Py_ssize_t size = Py_SIZE(o);
    if (wf_unlikely((size_t)size + 1 > 2)) { /* not -1, 0 or 1 digits of 30 bits */
        return wf_json_encode_big_int(e, d, o);
    }
    bool negative = size < 0;
    uint32_t magnitude = size == 0 ? 0 : ((PyLongObject *)o)->ob_digit[0];
#endif
    d = room(e, d, WF_I64_DIGITS_MAX);
    if (wf_unlikely(d == NULL)) {
        return NULL;
    }
    *d = '-'; /* overwritten where there is no sign */
    d += negative;
    return d + wf_u32_write(d, magnitude);
}

static inline char *encode_double(struct encoder *e, char *d, double v) {
    if (wf_unlikely(!isfinite(v))) {
        PyErr_Format(e->s->encode_error, "%s has no JSON form",
                     isnan(v) ? "nan"
                     : v > 0  ? "inf"
                              : "-inf");
        return NULL;
    }
    d = room(e, d, WF_DOUBLE_CHARS_MAX);
    return wf_unlikely(d == NULL) ? NULL : d + wf_double_write(d, v);
}

/* True, False or None. */
WF_ALWAYS_INLINE bool is_constant(PyObject *o) {
    return (o == Py_None) | (Py_TYPE(o) == &PyBool_Type);
}

/* One of them and a comma, of which the place behind the word is given, without a guess at which; there is room for 8. */
WF_ALWAYS_INLINE char *put_constant(char *d, PyObject *o) {
    static const char words[3][8] = {"true,", "false,", "null,"};
    size_t no = o == Py_False;
    memcpy(d, words[no + 2 * (size_t)(o == Py_None)], 8);
    return d + 4 + no;
}

WF_ALWAYS_INLINE char *encode_constant(struct encoder *e, char *d, PyObject *o) {
    d = room(e, d, 8);
    return wf_likely(d != NULL) ? put_constant(d, o) : NULL;
}

/* ---- containers ---- */

/* Containers write a comma behind each item, or a space where they have none, and their end over
 * it. */
static inline char *finish(struct encoder *e, char *d, char c) {
    leave(e);
    d[-1] = c;
    return room(e, d, 0); /* many may end at once, and each took a byte of the slack */
}

#endif
