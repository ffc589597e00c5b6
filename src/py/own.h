/* Python.h for every file of this floor, and the words for who owns a reference.
 *
 *   owned     the field or variable holds a reference and must give it up
 *   borrowed  somebody else holds it; the comment says who, and until when
 *   stolen    a parameter whose reference the callee takes over, on failure too
 *
 * After any call into Python, distrust what you read before it. */
#ifndef WF_PY_OWN_H
#define WF_PY_OWN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdbool.h>

#include "base/check.h"

#if PY_VERSION_HEX < 0x030C0000
#define WF_TYPE_GET_DICT(t) Py_NewRef((t)->tp_dict)
#define Py_T_OBJECT_EX T_OBJECT_EX
#define Py_T_INT T_INT
#define Py_T_BOOL T_BOOL
#define Py_T_PYSSIZET T_PYSSIZET
#define Py_READONLY READONLY
#else
#define WF_TYPE_GET_DICT(t) PyType_GetDict(t)
#endif

/* PyErr_GetRaisedException and its opposite, for 3.11 too: the raised exception as one object (owned,
 * traceback attached), or NULL. */
static inline PyObject *wf_err_take(void) {
#if PY_VERSION_HEX < 0x030C0000
    PyObject *type, *value, *tb;
    PyErr_Fetch(&type, &value, &tb);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &tb);
    if (tb != NULL) {
        PyException_SetTraceback(value, tb);
    }
    Py_DECREF(type);
    Py_XDECREF(tb);
    return value;
#else
    return PyErr_GetRaisedException();
#endif
}

/* exc  stolen */
static inline void wf_err_put(PyObject *exc) {
    WF_ASSERT(exc != NULL);
#if PY_VERSION_HEX < 0x030C0000
    PyObject *tb = PyException_GetTraceback(exc);
    PyErr_Restore(Py_NewRef(Py_TYPE(exc)), exc, tb);
#else
    PyErr_SetRaisedException(exc);
#endif
}

/* Is the exception that is set exactly of this class and raised in C (it has no traceback)? What Python code raises
 * is the application's own. */
static inline bool wf_err_is_bare(PyObject *type) {
    if (!PyErr_ExceptionMatches(type)) {
        return false;
    }
    PyObject *exc = wf_err_take(), *traceback = PyException_GetTraceback(exc);
    bool bare = Py_IS_TYPE(exc, (PyTypeObject *)type) && traceback == NULL;
    Py_XDECREF(traceback);
    wf_err_put(exc);
    return bare;
}

/* Has iteration over a container raised that the container changed meanwhile? */
static inline bool wf_err_is_of_change(void) {
    return wf_err_is_bare(PyExc_RuntimeError);
}

/* From here to wf_handled() `exc` (borrowed) is what sys.exc_info() says, as in an except clause: for who is told of
 * it. Returns what wf_handled() takes: owned, or NULL. */
static inline PyObject *wf_handling(PyObject *exc) {
    PyObject *outer = PyErr_GetHandledException();
    PyErr_SetHandledException(exc);
    return outer;
}

/* outer  stolen, or NULL */
static inline void wf_handled(PyObject *outer) {
    PyErr_SetHandledException(outer);
    Py_XDECREF(outer);
}

/* PyIter_Send's answer (`out` is stolen) as a method of the iterator's returns it: a value, or NULL with
 * StopIteration or what went wrong. */
static inline PyObject *wf_send_answer(PySendResult sent, PyObject *out) {
    if (sent == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, out);
        Py_DECREF(out);
        if (stop != NULL) {
            wf_err_put(stop);
        }
        return NULL;
    }
    return out;
}

/* What is left of the recursion limit for C; NULL where CPython measures the stack itself. */
static inline int *wf_recursion_left(void) {
#if PY_VERSION_HEX < 0x030C0000
    return &PyThreadState_Get()->recursion_remaining;
#elif PY_VERSION_HEX < 0x030E0000
    return &PyThreadState_Get()->c_recursion_remaining;
#else
    return NULL;
#endif
}

#endif
