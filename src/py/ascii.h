/* Text that is ASCII, which most of it is.
 *
 * thread   with the GIL */
#ifndef WF_PY_ASCII_H
#define WF_PY_ASCII_H

#include "py/own.h"

static inline char *wf_ascii_chars(PyObject *str) {
    return (char *)((PyASCIIObject *)str + 1);
}

/* A str of n (1 or more) ASCII characters, which the caller writes at once: owned, or NULL with
 * MemoryError. What PyUnicode_New makes of 127, without finding out what kind that is. 3.13 may tell a
 * tracer of each new object, and debug builds count them. */
static inline PyObject *wf_ascii_new(size_t n) {
#if PY_VERSION_HEX < 0x030D0000 && !defined(Py_REF_DEBUG)
    PyASCIIObject *o =
        n < PY_SSIZE_T_MAX / 2 ? PyObject_Malloc(sizeof(PyASCIIObject) + n + 1) : NULL;
    if (wf_unlikely(o == NULL)) {
        return PyErr_NoMemory();
    }
    Py_SET_TYPE(o, &PyUnicode_Type);
    o->ob_base.ob_refcnt = 1;
    o->length = (Py_ssize_t)n;
    o->hash = -1;
    memset(&o->state, 0, sizeof(o->state));
    o->state.kind = PyUnicode_1BYTE_KIND;
    o->state.compact = 1;
    o->state.ascii = 1;
#if PY_VERSION_HEX < 0x030C0000
    o->state.ready = 1;
    o->wstr = NULL;
#endif
    wf_ascii_chars((PyObject *)o)[n] = '\0';
    return (PyObject *)o;
#else
    return PyUnicode_New((Py_ssize_t)n, 127);
#endif
}

#endif
