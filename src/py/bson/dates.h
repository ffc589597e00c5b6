/* The datetime module's C API: the state's, one an interpreter. The macros of datetime.h that ask for
 * types go by a static of the file, which is another interpreter's where there are several. */
#ifndef WF_PY_BSON_DATES_H
#define WF_PY_BSON_DATES_H

#include "py/bson/bson.h"

#include <datetime.h>

/* Before any of the functions below: 0, or -1 with an exception. */
static inline int wf_bson_need_datetime(struct wf_bson_state *s) {
    (void)PyDateTimeAPI;
    if (wf_unlikely(s->datetime == NULL)) {
        s->datetime = PyCapsule_Import(PyDateTime_CAPSULE_NAME, 0);
    }
    return s->datetime != NULL ? 0 : -1;
}

static inline PyDateTime_CAPI *wf_bson_datetime(const struct wf_bson_state *s) {
    return s->datetime;
}

static inline bool wf_bson_is_datetime(const struct wf_bson_state *s, PyObject *o) {
    return PyObject_TypeCheck(o, wf_bson_datetime(s)->DateTimeType);
}

static inline bool wf_bson_is_exact_datetime(const struct wf_bson_state *s, PyObject *o) {
    return Py_IS_TYPE(o, wf_bson_datetime(s)->DateTimeType);
}

#endif
