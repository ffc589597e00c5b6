/* The one file that reads a struct of CPython's own: PyContext. */
#include "py/loop/context.h"

/* 3.14 changed how contexts are entered, and without the GIL a context is not as easily had: whoever
 * extends this has to look at both. */
#if PY_VERSION_HEX < 0x030E0000 && !defined(Py_GIL_DISABLED) && defined(__has_include)
#if __has_include(<internal/pycore_context.h>)
#define KNOWN 1
#endif
#endif

#ifdef KNOWN

#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include <internal/pycore_context.h>

static PyContext *current(void) { /* borrowed from the thread's state; or NULL */
    return (PyContext *)PyThreadState_Get()->context;
}

PyObject *wf_context_vars(void) {
    PyContext *c = current();
    return c != NULL ? Py_NewRef((PyObject *)c->ctx_vars) : NULL;
}

PyObject *wf_context_exchange(PyObject *context, PyObject *vars) {
    PyContext *c = (PyContext *)context;
    PyObject *old = (PyObject *)c->ctx_vars;
    c->ctx_vars = (PyHamtObject *)vars;
    return old;
}

bool wf_context_unseen(PyObject *context) {
    const PyContext *c = (PyContext *)context;
    return Py_REFCNT(context) == 1 && PyContext_CheckExact(context) && c->ctx_weakreflist == NULL &&
           !c->ctx_entered;
}

static bool fits(PyObject *context) {
    return PyContext_Type.tp_basicsize == sizeof(PyContext) &&
           PyContext_Type.tp_weaklistoffset == offsetof(PyContext, ctx_weakreflist) &&
           strcmp(Py_TYPE(((PyContext *)context)->ctx_vars)->tp_name, "hamt") == 0;
}

/* What is set in `from` is seen in `to` once it has the variables of `from`. 1, 0 where it is not, or -1
 * with an exception. */
static int carries_over(PyObject *from, PyObject *to, PyObject *var) {
    if (PyContext_Enter(from) < 0) {
        return -1;
    }
    PyObject *token = PyContextVar_Set(var, Py_True);
    PyObject *vars = (PyObject *)current() == from ? wf_context_vars() : NULL; /* owned */
    if (PyContext_Exit(from) < 0 || token == NULL || vars == NULL) {
        Py_XDECREF(token);
        Py_XDECREF(vars);
        return PyErr_Occurred() != NULL ? -1 : 0;
    }
    Py_DECREF(token);
    PyObject *old = wf_context_exchange(to, vars);
    Py_DECREF(old);
    if (PyContext_Enter(to) < 0) {
        return -1;
    }
    PyObject *value = NULL;
    int rc = PyContextVar_Get(var, NULL, &value);
    bool seen = value == Py_True;
    Py_XDECREF(value);
    if (PyContext_Exit(to) < 0 || rc < 0) {
        return -1;
    }
    return seen && wf_context_unseen(to);
}

int wf_context_probe(PyObject **empty) {
    *empty = NULL;
    PyObject *none = NULL; /* owned: the variables of an empty one */
    PyObject *var = PyContextVar_New("weft", NULL);
    PyObject *from = PyContext_New(), *to = PyContext_New();
    int rc = var != NULL && from != NULL && to != NULL ? 0 : -1;
    if (rc == 0 && fits(to)) {
        none = Py_NewRef((PyObject *)((PyContext *)to)->ctx_vars);
        rc = carries_over(from, to, var);
    }
    if (rc == 1) {
        *empty = Py_NewRef(none);
        rc = 0;
    }
    Py_XDECREF(none);
    Py_XDECREF(var);
    Py_XDECREF(from);
    Py_XDECREF(to);
    return rc;
}

#else

int wf_context_probe(PyObject **empty) {
    *empty = NULL;
    return 0;
}

PyObject *wf_context_vars(void) {
    return NULL;
}

PyObject *wf_context_exchange(PyObject *context, PyObject *vars) {
    return vars; /* never called */
}

bool wf_context_unseen(PyObject *context) {
    return false;
}

#endif
