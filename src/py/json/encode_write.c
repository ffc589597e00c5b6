/* Writing what is too rare, or too long, to be inline: memory, escapes, wide text, large integers. */
#include "py/json/encode_write.h"

char *wf_json_encode_grow(struct encoder *e, char *d, size_t n) {
    e->out.p = d;
    int rc = e->out.grow(&e->out, n + WF_JSON_SLACK);
    if (wf_likely(rc == WF_BUF_OK)) {
        return e->out.p;
    }
    if (rc == WF_BUF_FULL) {
        PyErr_SetString(e->s->encode_error, "the JSON is larger than its buffer may become");
    } else if (!PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    return NULL;
}

int wf_json_encode_descend(struct encoder *e) {
    if (e->depth >= WF_JSON_DEPTH_MAX) {
        PyErr_Format(e->s->encode_error, "nested more than %d deep, or in itself",
                     WF_JSON_DEPTH_MAX);
        return -1;
    }
    if (Py_EnterRecursiveCall(" while encoding JSON") != 0) {
        return -1;
    }
    int *left = wf_recursion_left();
    if (left == NULL) {
        return 0;
    }
    if (wf_unlikely(*left < DEPTH_COUNTED_BY)) {
        Py_LeaveRecursiveCall();
        PyErr_SetString(PyExc_RecursionError,
                        "maximum recursion depth exceeded while encoding JSON");
        return -1;
    }
    *left -= DEPTH_COUNTED_BY - 1;
    return 0;
}

void wf_json_encode_ascend(void) {
    int *left = wf_recursion_left();
    if (left != NULL) {
        *left += DEPTH_COUNTED_BY - 1;
    }
    Py_LeaveRecursiveCall();
}

/* Text of UTF-8 that has something to escape. */
char *wf_json_encode_escaped(struct encoder *e, char *d, const char *s, size_t n) {
    *d++ = '"';
    while (n != 0) {
        size_t block = WF_MIN(n, (size_t)WF_JSON_BLOCK);
        d = room(e, d, block * 6 + (n - block));
        if (d == NULL) {
            return NULL;
        }
        d = wf_json_copy_escaped(d, s, block);
        s += block;
        n -= block;
    }
    *d++ = '"';
    return d;
}

static char *put_wide(struct encoder *e, char *d, PyObject *str) {
    const char *s = PyUnicode_DATA(str);
    size_t n = (size_t)PyUnicode_GET_LENGTH(str), at = 0;
    unsigned width = PyUnicode_KIND(str);
    d = room(e, d, 1);
    if (d == NULL) {
        return NULL;
    }
    *d++ = '"';
    while (at < n) {
        size_t block = WF_MIN(n - at, (size_t)WF_JSON_BLOCK), done;
        d = room(e, d, block * 6 + 64);
        if (d == NULL) {
            return NULL;
        }
        d = wf_json_copy_wide(d, s + at * width, block, width, &done);
        at += done;
        if (wf_unlikely(done < block)) {
            char hex[8];
            snprintf(hex, sizeof(hex), "%04X", (unsigned)PyUnicode_READ_CHAR(str, at));
            PyErr_Format(e->s->encode_error,
                         "lone surrogate U+%s at index %zd of a str has no UTF-8", hex,
                         (Py_ssize_t)at);
            return NULL;
        }
    }
    *d++ = '"';
    return d;
}

char *wf_json_encode_wide(struct encoder *e, char *d, PyObject *str) {
    if (wf_json_str_ready(str) < 0) {
        return NULL;
    }
    if (PyUnicode_IS_ASCII(str)) { /* a subclass of str */
        return put_text(e, d, PyUnicode_DATA(str), (size_t)PyUnicode_GET_LENGTH(str), false);
    }
    const PyCompactUnicodeObject *cached = (const PyCompactUnicodeObject *)str;
    if (cached->utf8 != NULL) { /* somebody has made the UTF-8 already */
        return put_text(e, d, cached->utf8, (size_t)cached->utf8_length, false);
    }
    return put_wide(e, d, str);
}

char *wf_json_encode_big_int(struct encoder *e, char *d, PyObject *o) {
    int overflow;
    int64_t v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow == 0) {
        d = room(e, d, WF_I64_DIGITS_MAX);
        return d == NULL ? NULL : d + wf_i64_write(d, v);
    }
    PyObject *text = PyLong_Type.tp_repr(o); /* not the subclass's */
    if (text == NULL) {
        if (PyErr_ExceptionMatches(PyExc_ValueError)) {
            wf_json_raise_from(e->s->encode_error, "integer with more digits than "
                                                   "sys.get_int_max_str_digits() allows");
        }
        return NULL;
    }
    d = put_bytes(e, d, PyUnicode_DATA(text), (size_t)PyUnicode_GET_LENGTH(text));
    Py_DECREF(text);
    return d;
}
