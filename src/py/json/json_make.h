/* Objects of JSON tokens: what the untyped decoder and the shapes' make alike.
 *
 * thread   with the GIL; results are owned; NULL with an exception */
#ifndef WF_PY_JSON_MAKE_H
#define WF_PY_JSON_MAKE_H

#include "py/ascii.h"
#include "py/json/json_int.h"
#include "py/key_slot.h"

#include "wire/json/json_scan.h"

/* Copies a short text: two overlapping loads in place of a call. */
static inline void wf_json_copy_short(char *d, const char *s, size_t n) {
    if (n > 32) {
        memcpy(d, s, n);
    } else if (n >= 16) {
        memcpy(d, s, 16);
        memcpy(d + n - 16, s + n - 16, 16);
    } else if (n >= 8) {
        memcpy(d, s, 8);
        memcpy(d + n - 8, s + n - 8, 8);
    } else if (n >= 4) {
        memcpy(d, s, 4);
        memcpy(d + n - 4, s + n - 4, 4);
    } else {
        for (size_t i = 0; i < n; i++) {
            d[i] = s[i]; /* NOLINT: the analyzer does not see what an unescape has written */
        }
    }
}

static inline PyObject *wf_json_make_ascii(const char *s, size_t n) {
    if (wf_unlikely(n < 2)) { /* CPython keeps the one-character strings of Latin-1 */
        return n == 0 ? PyUnicode_New(0, 0) : PyUnicode_FromOrdinal(*s); /* NOLINT: as above */
    }
    PyObject *str = wf_ascii_new(n);
    if (wf_likely(str != NULL)) {
        wf_json_copy_short(wf_ascii_chars(str), s, n);
    }
    return str;
}

static inline PyObject *wf_json_make_text(const struct wf_json_text *t) {
    if (wf_likely(!t->escaped && t->max_char == 0x7f)) {
        return wf_json_make_ascii(t->p, t->n);
    }
    if (wf_unlikely(t->chars == 1)) {
        Py_UCS4 c;
        wf_json_text_copy(t, &c, 4);
        return PyUnicode_FromOrdinal((int)c);
    }
    PyObject *str = PyUnicode_New((Py_ssize_t)t->chars, t->max_char);
    if (wf_likely(str != NULL)) {
        wf_json_text_copy(t, PyUnicode_DATA(str), PyUnicode_KIND(str));
    }
    return str;
}

static inline bool wf_json_equal_short(const char *a, const char *b, size_t n) {
    uint64_t x[2], y[2];
    if (n > 16) {
        return memcmp(a, b, n) == 0;
    }
    if (n >= 8) {
        memcpy(&x[0], a, 8);
        memcpy(&x[1], a + n - 8, 8);
        memcpy(&y[0], b, 8);
        memcpy(&y[1], b + n - 8, 8);
        return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
    }
    if (n >= 4) {
        uint32_t v[2], w[2];
        memcpy(&v[0], a, 4);
        memcpy(&v[1], a + n - 4, 4);
        memcpy(&w[0], b, 4);
        memcpy(&w[1], b + n - 4, 4);
        return ((v[0] ^ w[0]) | (v[1] ^ w[1])) == 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

/* A key that is ASCII and has no escapes. */
static inline PyObject *wf_json_make_ascii_key(struct wf_json_state *s, const char *p, size_t n) {
    if (wf_unlikely(n > WF_JSON_KEY_BYTES_MAX)) {
        return wf_json_make_ascii(p, n);
    }
    PyObject **slot = &s->keys[wf_key_slot(wf_span(p, n), WF_JSON_KEYS)];
    PyObject *key = *slot; /* borrowed from the cache */
    if (wf_likely(key != NULL && (size_t)PyUnicode_GET_LENGTH(key) == n &&
                  wf_json_equal_short(wf_ascii_chars(key), p, n))) {
        return Py_NewRef(key);
    }
    key = wf_json_make_ascii(p, n);
    if (key == NULL || PyObject_Hash(key) == -1) { /* a str keeps its hash */
        Py_XDECREF(key);
        return NULL;
    }
    Py_XSETREF(*slot, Py_NewRef(key));
    return key;
}

static inline PyObject *wf_json_make_key(struct wf_json_state *s, const struct wf_json_text *t) {
    return wf_likely(!t->escaped && t->max_char == 0x7f) ? wf_json_make_ascii_key(s, t->p, t->n)
                                                         : wf_json_make_text(t);
}

/* By way of a long where that is as wide: CPython makes those of one digit at once. Of more digits 3.11
 * would count first how many. */
static inline PyObject *wf_json_new_int(int64_t v) {
#if PY_VERSION_HEX < 0x030C0000 && PYLONG_BITS_IN_DIGIT == 30
    uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    if (magnitude > PyLong_MASK) {
        Py_ssize_t n = magnitude >> 2 * PyLong_SHIFT != 0 ? 3 : 2;
        PyLongObject *o = _PyLong_New(n);
        if (wf_unlikely(o == NULL)) {
            return NULL;
        }
        o->ob_digit[0] = (digit)(magnitude & PyLong_MASK);
        o->ob_digit[1] = (digit)(magnitude >> PyLong_SHIFT & PyLong_MASK);
        if (n == 3) {
            o->ob_digit[2] = (digit)(magnitude >> 2 * PyLong_SHIFT);
        }
        if (v < 0) {
            Py_SET_SIZE(o, -n);
        }
        return (PyObject *)o;
    }
#endif
    return sizeof(long) == sizeof(int64_t) ? PyLong_FromLong((long)v) : PyLong_FromLongLong(v);
}

/* Small integers recur, as CPython knows of fewer. */
static inline PyObject *wf_json_make_int(struct wf_json_state *s, int64_t v) {
    if ((uint64_t)v >= WF_JSON_INTS) {
        return wf_json_new_int(v);
    }
    PyObject **slot = &s->ints[v];
    if (wf_unlikely(*slot == NULL)) {
        *slot = wf_json_new_int(v);
    }
    return Py_XNewRef(*slot);
}

/* An integer past 64 bits. ValueError where int() has a limit of digits. */
PyObject *wf_json_make_big_int(struct wf_span digits);

static inline PyObject *wf_json_make_number(const struct wf_json_number *n) {
    switch (n->kind) {
    case WF_JSON_INT:
        return wf_json_new_int(n->i);
    case WF_JSON_UINT:
        return PyLong_FromUnsignedLongLong(n->u);
    case WF_JSON_BIG:
        return wf_json_make_big_int(n->digits);
    case WF_JSON_DOUBLE:
        return PyFloat_FromDouble(n->d);
    }
    Py_UNREACHABLE();
}

#endif
