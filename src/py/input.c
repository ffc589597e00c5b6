#include "py/input.h"

int wf_view_open(Py_buffer *view, PyObject *data, const char *expected) {
    if (PyObject_GetBuffer(data, view, PyBUF_SIMPLE) == 0) {
        return 0;
    }
    if (PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Format(PyExc_TypeError, "%s, not %.100s", expected, Py_TYPE(data)->tp_name);
    }
    return -1;
}

int wf_input_of_buffer(struct wf_input *in, PyObject *data, const char *expected) {
    Py_buffer view;
    if (wf_view_open(&view, data, expected) < 0) {
        return -1;
    }
    int rc = 0;
    if (PyMemoryView_Check(data) && wf_is_of_bytes(data)) {
        in->span = wf_span(view.buf, (size_t)view.len);
        in->owner = Py_NewRef(PyMemoryView_GET_BASE(data));
    } else {
        rc = wf_input_of_bytes(in, PyBytes_FromStringAndSize(view.buf, view.len));
    }
    PyBuffer_Release(&view);
    return rc;
}
