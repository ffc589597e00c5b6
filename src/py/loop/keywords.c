/* Arguments given by their names, as in call_later(delay=1, callback=f): nobody does so in a hurry, so the
 * methods know positions only, and come here with the rest. */
#include "py/loop/loop_int.h"

/* Where `name` belongs: its place, `n` for the context, or -1 with TypeError. */
static Py_ssize_t place_of(PyObject *name, const char *method, const char *const *names,
                           Py_ssize_t n, bool context) {
    for (Py_ssize_t i = 0; i < n; i++) {
        if (PyUnicode_CompareWithASCIIString(name, names[i]) == 0) {
            return i;
        }
    }
    if (context && PyUnicode_CompareWithASCIIString(name, "context") == 0) {
        return n;
    }
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", method, name);
    return -1;
}

PyObject *wf_pyloop_call_by_keyword(struct wf_pyloop *l, wf_pyloop_method *call, const char *method,
                                    const char *const *names, bool context, PyObject *const *args,
                                    Py_ssize_t nargs, PyObject *kwnames) {
    PyObject *stack[WF_NAMED_MAX + 1] = {NULL}; /* borrowed */
    Py_ssize_t n = 0;
    for (; names[n] != NULL; n++) {
        stack[n] = n < nargs ? args[n] : NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i); /* borrowed */
        Py_ssize_t at = place_of(name, method, names, n, context);
        if (at < 0) {
            return NULL;
        }
        if (stack[at] != NULL) {
            return PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument %R", method,
                                name);
        }
        stack[at] = args[nargs + i];
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (stack[i] == NULL) {
            return PyErr_Format(PyExc_TypeError, "%s() missing a required argument: '%s'", method,
                                names[i]);
        }
    }
    if (stack[n] == NULL) {
        return call(l, stack, n, NULL);
    }
    PyObject *keyword = PyTuple_Pack(1, l->state->loop.str_context);
    PyObject *result = keyword != NULL ? call(l, stack, n, keyword) : NULL;
    Py_XDECREF(keyword);
    return result;
}
