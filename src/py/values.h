/* The values that wait for the container they are of: decoders read what is inside of a container
 * before they make it, once its length is known. One stack for all that are open.
 *
 * thread   with the GIL */
#ifndef WF_PY_VALUES_H
#define WF_PY_VALUES_H

#include "py/own.h"

enum { WF_VALUES_INLINE = 256 }; /* before they need memory of their own */

struct wf_values {
    size_t len, cap;
    PyObject **p; /* owned, and so is each; NULL for one that is not there */
    PyObject *first[WF_VALUES_INLINE];
};

/* Not cleared as a whole: it is large, and most of it is never used. It cannot be moved. */
static inline void wf_values_init(struct wf_values *v) {
    v->len = 0;
    v->cap = WF_VALUES_INLINE;
    v->p = v->first;
}

/* The values from `at` on are no longer on the stack, and given up. */
static inline void wf_values_drop(struct wf_values *v, size_t at) {
    while (v->len > at) {
        Py_XDECREF(v->p[--v->len]);
    }
}

/* The end of it. */
void wf_values_clear(struct wf_values *v);

/* Room for n more. 0, or -1 with MemoryError. */
int wf_values_grow(struct wf_values *v, size_t n);

/* value  stolen; NULL is one too. 0, or -1 with MemoryError. */
static inline int wf_values_push(struct wf_values *v, PyObject *value) {
    if (wf_unlikely(v->len == v->cap) && wf_values_grow(v, 1) < 0) {
        Py_XDECREF(value);
        return -1;
    }
    v->p[v->len++] = value;
    return 0;
}

/* A list of the values from `at` on, which it takes over: owned. NULL with MemoryError, the values where
 * they were. */
static inline PyObject *wf_values_pop_list(struct wf_values *v, size_t at) {
    size_t n = v->len - at;
    PyObject *list = PyList_New((Py_ssize_t)n);
    if (wf_likely(list != NULL)) {
        if (wf_likely(n != 0)) { /* an empty one has no items to copy to */
            memcpy(((PyListObject *)list)->ob_item, v->p + at, n * sizeof(*v->p));
        }
        v->len = at;
    }
    return list;
}

#endif
