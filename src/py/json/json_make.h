/* Objects of JSON tokens: what the untyped decoder and the shapes' make alike.
 *
 * thread   with the GIL; results are owned; NULL with an exception */
#ifndef WF_PY_JSON_MAKE_H
#define WF_PY_JSON_MAKE_H

#include "py/json/json_int.h"

#include "wire/json/json_scan.h"

static inline PyObject *wf_json_make_text(const struct wf_json_text *t) {
    if (wf_unlikely(t->chars == 1)) { /* CPython keeps the one-character strings of Latin-1 */
        Py_UCS4 c;
        wf_json_text_copy(t, &c, 4);
        return PyUnicode_FromOrdinal((int)c);
    }
    PyObject *str = PyUnicode_New((Py_ssize_t)t->chars, t->max_char);
    if (wf_unlikely(str == NULL)) {
        return NULL;
    }
    if (wf_likely(!t->escaped && t->max_char == 0x7f)) {
        memcpy(PyUnicode_1BYTE_DATA(str), t->p, t->n);
    } else {
        wf_json_text_copy(t, PyUnicode_DATA(str), PyUnicode_KIND(str));
    }
    return str;
}

/* Mixes the first and the last eight bytes and the length: keys that share a slot push each other
 * out, which costs time and nothing else. */
static inline size_t wf_json_key_slot(const char *p, size_t n) {
    uint64_t a = 0, b = 0;
    if (n >= 8) {
        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
    } else if (n >= 4) {
        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
    } else if (n > 0) {
        a = (unsigned char)p[0];
        b = (uint64_t)(unsigned char)p[n / 2] << 8 | (unsigned char)p[n - 1];
    }
    uint64_t h = (a ^ n) * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 32) ^ b) * 0xd6e8feb86659fd93u;
    return (size_t)(h >> 48) % WF_JSON_KEYS;
}

static inline PyObject *wf_json_make_key(struct wf_json_state *s, const struct wf_json_text *t) {
    if (wf_unlikely(t->escaped || t->max_char != 0x7f || t->n > WF_JSON_KEY_BYTES_MAX)) {
        return wf_json_make_text(t);
    }
    PyObject **slot = &s->keys[wf_json_key_slot(t->p, t->n)];
    PyObject *key = *slot; /* borrowed from the cache */
    if (wf_likely(key != NULL && (size_t)PyUnicode_GET_LENGTH(key) == t->n &&
                  memcmp(PyUnicode_1BYTE_DATA(key), t->p, t->n) == 0)) {
        return Py_NewRef(key);
    }
    key = wf_json_make_text(t);
    if (key == NULL || PyObject_Hash(key) == -1) { /* a str keeps its hash */
        Py_XDECREF(key);
        return NULL;
    }
    Py_XSETREF(*slot, Py_NewRef(key));
    return key;
}

/* An integer past 64 bits. ValueError where int() has a limit of digits. */
PyObject *wf_json_make_big_int(struct wf_span digits);

static inline PyObject *wf_json_make_number(const struct wf_json_number *n) {
    switch (n->kind) {
    case WF_JSON_INT:
        return PyLong_FromLongLong(n->i);
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
