/* What a caller gave to be decoded, as bytes that nobody changes for the time of a call: making objects
 * may run the collector and so any finalizer, or let another thread in.
 *
 * thread   with the GIL */
#ifndef WF_PY_INPUT_H
#define WF_PY_INPUT_H

#include "py/own.h"
#include "base/span.h"

struct wf_input {
    struct wf_span span;
    PyObject *owner; /* owned: whose memory that is: what the caller gave, or a copy */
};

/* Is what the exporter of a buffer has bytes, which nobody changes? One that is only read-only may be a
 * view of what is not, or memory that another process writes. */
static inline bool wf_is_of_bytes(PyObject *exporter) {
    if (PyMemoryView_Check(exporter)) {
        exporter = PyMemoryView_GET_BASE(exporter); /* borrowed; NULL where there is none */
    }
    return exporter != NULL && PyBytes_CheckExact(exporter);
}

/* A buffer of bytes. 0, or -1 with an exception: the TypeError begins with `expected`, and goes on
 * ", not int". */
int wf_view_open(Py_buffer *view, PyObject *data, const char *expected);

/* bytes  stolen; may be NULL with an exception. 0, or -1 then. */
static inline int wf_input_of_bytes(struct wf_input *in, PyObject *bytes) {
    in->owner = bytes;
    if (wf_unlikely(bytes == NULL)) {
        return -1;
    }
    in->span = wf_span(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    return 0;
}

int wf_input_of_buffer(struct wf_input *in, PyObject *data, const char *expected);

/* Bytes or a buffer, of which there is a copy if need be; as wf_view_open. */
static inline int wf_input_open(struct wf_input *in, PyObject *data, const char *expected) {
    return wf_likely(PyBytes_Check(data)) ? wf_input_of_bytes(in, Py_NewRef(data))
                                          : wf_input_of_buffer(in, data, expected);
}

static inline void wf_input_close(struct wf_input *in) {
    Py_DECREF(in->owner);
}

#endif
