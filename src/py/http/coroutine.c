/* What the coroutines in C have in common: awaiting what a function gave, and the methods of the protocol. */
#include "py/http/chain_int.h"

/* A plain function around an `async def` may have made something else of the coroutine. */
bool coro_is_awaitable(PyObject *o) {
    const PyAsyncMethods *async = Py_TYPE(o)->tp_as_async;
    return async != NULL && async->am_await != NULL;
}

PyObject *coro_iterator(PyObject *o) {
    if (PyCoro_CheckExact(o)) {
        return Py_NewRef(o);
    }
    const PyAsyncMethods *async = Py_TYPE(o)->tp_as_async;
    if (async == NULL || async->am_await == NULL) {
        return PyErr_Format(PyExc_TypeError, "object %.100s can't be used in 'await' expression",
                            Py_TYPE(o)->tp_name);
    }
    return async->am_await(o);
}

PyObject *coro_thrown(PyObject *args) {
    PyObject *exc, *value = NULL, *tb = NULL;
    if (!PyArg_ParseTuple(args, "O|OO:throw", &exc, &value, &tb)) {
        return NULL;
    }
    if (value != NULL && PyExceptionInstance_Check(value)) {
        exc = value;
    }
    return PyExceptionInstance_Check(exc) ? Py_NewRef(exc)
           : PyExceptionClass_Check(exc)
               ? PyObject_CallNoArgs(exc)
               : PyErr_Format(PyExc_TypeError, "not an exception: %R", exc);
}

PyObject *coro_await(PyObject *self) {
    return Py_NewRef(self);
}
