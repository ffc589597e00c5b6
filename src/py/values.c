#include "py/values.h"

#include "base/alloc.h"

int wf_values_grow(struct wf_values *v, size_t n) {
    size_t cap = WF_MAX(v->cap * 2, v->len + n);
    PyObject **old = v->p == v->first ? NULL : v->p;
    PyObject **p = wf_realloc(old, cap * sizeof(*p));
    if (p == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (old == NULL) {
        memcpy(p, v->first, v->len * sizeof(*p));
    }
    v->p = p;
    v->cap = cap;
    return 0;
}

void wf_values_clear(struct wf_values *v) {
    wf_values_drop(v, 0);
    if (v->p != v->first) {
        wf_free(v->p);
    }
}
