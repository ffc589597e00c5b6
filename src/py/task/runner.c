/* _core._HandlerRunner(loop): runs coroutines as a server runs its handlers, without a server. For
 * tests and measurements; not part of the package's interface. */
#include "py/state.h"
#include "py/task/task.h"
#include "py/task/task_int.h"

struct runner {
    PyObject_HEAD
    struct wf_stepper stepper;
};

static PyObject *runner_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *loop;
    struct wf_state *state = wf_state_of_type(type);
    if (state == NULL || !PyArg_ParseTuple(args, "O:_HandlerRunner", &loop)) {
        return NULL;
    }
    struct runner *r = (struct runner *)type->tp_alloc(type, 0);
    if (r != NULL && wf_stepper_init(&r->stepper, state, loop) < 0) {
        Py_CLEAR(r);
    }
    return (PyObject *)r;
}

static int runner_traverse(struct runner *r, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(r));
    Py_VISIT(r->stepper.loop);
    Py_VISIT(r->stepper.spare);
    Py_VISIT(r->stepper.outer);
    return 0;
}

static int runner_clear(struct runner *r) {
    wf_stepper_clear(&r->stepper);
    return 0;
}

static void runner_dealloc(struct runner *r) {
    PyTypeObject *type = Py_TYPE(r);
    PyObject_GC_UnTrack(r);
    (void)runner_clear(r);
    type->tp_free(r);
    Py_DECREF(type);
}

/* Into the asyncio.Future that the test awaits. arg: that future, owned. */
static void settle(void *arg, PyObject *result) {
    PyObject *future = arg;
    PyObject *exc = result == NULL ? wf_err_take() : NULL;
    PyObject *set;
    if (exc == NULL) {
        set = PyObject_CallMethod(future, "set_result", "(O)", result);
    } else if (strcmp(Py_TYPE(exc)->tp_name, "CancelledError") == 0) {
        set = PyObject_CallMethod(future, "cancel", "(O)",
                                  PyTuple_GET_SIZE(((PyBaseExceptionObject *)exc)->args) > 0
                                      ? PyTuple_GET_ITEM(((PyBaseExceptionObject *)exc)->args, 0)
                                      : Py_None);
    } else {
        set = PyObject_CallMethod(future, "set_exception", "(O)", exc);
    }
    if (set == NULL) {
        PyErr_WriteUnraisable(future);
    }
    Py_XDECREF(set);
    Py_XDECREF(result);
    Py_DECREF(future);
    if (exc != NULL && (PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt) ||
                        PyErr_GivenExceptionMatches(exc, PyExc_SystemExit))) {
        wf_err_put(exc);
    } else {
        Py_XDECREF(exc);
    }
}

/* One handler: (future of its end, the parked task or None). */
static PyObject *run_one(struct runner *r, PyObject *coro) {
    PyObject *future = PyObject_CallMethod(r->stepper.loop, "create_future", NULL);
    PyObject *context = future != NULL ? PyContext_CopyCurrent() : NULL;
    if (context == NULL) {
        Py_XDECREF(future);
        return NULL;
    }
    PyObject *result = NULL;
    struct wf_task *task = NULL;
    switch (wf_task_run(&r->stepper, Py_NewRef(coro), context, settle, future, &result, &task)) {
    case WF_TASK_RETURNED:
        settle(Py_NewRef(future), result);
        break;
    case WF_TASK_FAILED:
        if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
            PyErr_ExceptionMatches(PyExc_SystemExit)) {
            Py_CLEAR(future);
        } else {
            settle(Py_NewRef(future), NULL);
        }
        break;
    case WF_TASK_PARKED:
        Py_INCREF(future); /* settle's */
        break;
    }
    Py_DECREF(context);
    if (future == NULL) {
        return NULL;
    }
    return Py_BuildValue("(NN)", future, task != NULL ? (PyObject *)task : Py_NewRef(Py_None));
}

/* (*coroutines) -> list of (future, task or None): a batch, as a server's turn is one. */
static PyObject *runner_run(struct runner *r, PyObject *const *args, Py_ssize_t nargs) {
    if (wf_stepper_enter(&r->stepper) < 0) {
        return NULL;
    }
    PyObject *list = PyList_New(nargs);
    for (Py_ssize_t i = 0; list != NULL && i < nargs; i++) {
        PyObject *pair = run_one(r, args[i]);
        if (pair != NULL) {
            PyList_SET_ITEM(list, i, pair);
        } else {
            Py_CLEAR(list);
        }
    }
    wf_stepper_leave(&r->stepper);
    return list;
}

static void drop(void *arg, PyObject *result) {
    Py_XDECREF(result);
    PyErr_Clear();
}

/* (function, n): n calls of an async function in one batch, nothing kept. For measuring a step. */
static PyObject *runner_spin(struct runner *r, PyObject *args) {
    PyObject *function;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "On", &function, &n) || wf_stepper_enter(&r->stepper) < 0) {
        return NULL;
    }
    int rc = 0;
    while (rc == 0 && n-- > 0) {
        PyObject *coro = PyObject_CallNoArgs(function);
        PyObject *context = coro != NULL ? PyContext_New() : NULL;
        PyObject *result = NULL;
        struct wf_task *task = NULL;
        if (context == NULL) {
            Py_XDECREF(coro);
            rc = -1;
            break;
        }
        if (wf_task_run(&r->stepper, coro, context, drop, NULL, &result, &task) < 0) {
            rc = -1;
        }
        Py_XDECREF(result);
        Py_XDECREF(task);
        Py_DECREF(context);
    }
    wf_stepper_leave(&r->stepper);
    return rc == 0 ? Py_NewRef(Py_None) : NULL;
}

/* (task): the client has gone. */
static PyObject *runner_cancel(struct runner *r, PyObject *task) {
    if (!Py_IS_TYPE(task, r->stepper.state->task.task_type)) {
        PyErr_SetString(PyExc_TypeError, "a HandlerTask is needed");
        return NULL;
    }
    return wf_task_cancel((struct wf_task *)task) < 0 ? NULL : Py_NewRef(Py_None);
}

/* (task, future): nobody waits any more; the future of run() is let go of. */
static PyObject *runner_detach(struct runner *r, PyObject *args) {
    PyObject *task, *future;
    if (!PyArg_ParseTuple(args, "O!O", r->stepper.state->task.task_type, &task, &future)) {
        return NULL;
    }
    wf_task_detach((struct wf_task *)task);
    Py_DECREF(future); /* settle's, which will not come */
    Py_RETURN_NONE;
}

static PyMethodDef runner_methods[] = {
    {"run", (PyCFunction)(void (*)(void))runner_run, METH_FASTCALL, NULL},
    {"spin", (PyCFunction)runner_spin, METH_VARARGS, NULL},
    {"cancel", (PyCFunction)runner_cancel, METH_O, NULL},
    {"detach", (PyCFunction)runner_detach, METH_VARARGS, NULL},
    {NULL},
};

static PyType_Slot runner_slots[] = {
    {Py_tp_doc, "Runs coroutines as a server runs its handlers. For tests."},
    {Py_tp_new, runner_new},
    {Py_tp_dealloc, runner_dealloc},
    {Py_tp_traverse, runner_traverse},
    {Py_tp_clear, runner_clear},
    {Py_tp_methods, runner_methods},
    {0, NULL},
};

static PyType_Spec runner_spec = {
    .name = "weft._core._HandlerRunner",
    .basicsize = sizeof(struct runner),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = runner_slots,
};

int wf_runner_exec(PyObject *module, struct wf_state *state) {
    PyTypeObject **type = &state->task.runner_type;
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &runner_spec, NULL);
    return *type != NULL ? PyModule_AddType(module, *type) : -1;
}
