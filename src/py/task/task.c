/* HandlerTask and poll_coroutine.
 *
 * HandlerTask is a real subclass of asyncio.Task whose fields are kept behind those of its base,
 * like a C++ class that inherits. What a task shares with a future (result, callbacks, waiting for
 * it) is the base's; stepping, cancelling and names are ours: Task.__init__ is never called, since
 * it would schedule a first step, and ours has been run by then.
 *
 *   IDLE ──run──▶ RUNNING ──returned, nobody kept it──▶ IDLE
 *                  │  ▲  └───finished, somebody did───▶ DONE
 *                  ▼  │
 *                 PARKED
 *
 * An IDLE task says done(), so that all_tasks() does not show what is nobody's. */
#include "py/task/task_int.h"

static PyTypeObject *base_of(PyObject *task) {
    return Py_TYPE(task)->tp_base; /* asyncio.Task; nobody can subclass us */
}

/* ---- birth and death ---- */

struct wf_task *wf_task_new(struct wf_state *state, PyObject *loop) {
    PyTypeObject *type = state->task.task_type;
    PyObject *task = type->tp_alloc(type, 0);
    if (task == NULL) {
        return NULL;
    }
    struct wf_task_part *p = wf_task_part_of(task);
    p->self = task;
    p->module = Py_NewRef(PyType_GetModule(type));
    p->state = state;
    p->loop = Py_NewRef(loop);
    wf_list_init(&p->node);
    p->at = WF_AT_IDLE;
    PyObject *no_args = PyTuple_New(0);
    PyObject *kwargs = Py_BuildValue("{sO}", "loop", loop);
    PyObject *registered = NULL;
    if (no_args != NULL && kwargs != NULL &&
        state->loop.future_type->tp_init(task, no_args, kwargs) == 0) {
        registered = PyObject_CallOneArg(state->task.register_task, task);
    }
    Py_XDECREF(kwargs);
    Py_XDECREF(no_args);
    if (registered == NULL) {
        Py_DECREF(task);
        return NULL;
    }
    Py_DECREF(registered);
    p->registered = *wf_task_weakrefs_of(task);
    return (struct wf_task *)task;
}

static int task_traverse(PyObject *task, visitproc visit, void *arg) {
    struct wf_task_part *p = wf_task_part_of(task);
    Py_VISIT(p->module);
    Py_VISIT(p->loop);
    Py_VISIT(p->coro);
    Py_VISIT(p->context);
    Py_VISIT(p->name);
    Py_VISIT(p->waiter);
    Py_VISIT(p->wakeup);
    return base_of(task)->tp_traverse(task, visit, arg); /* the type as well */
}

static void clear_part(struct wf_task_part *p) {
    Py_CLEAR(p->loop);
    Py_CLEAR(p->coro);
    Py_CLEAR(p->context);
    Py_CLEAR(p->name);
    Py_CLEAR(p->waiter);
    Py_CLEAR(p->wakeup);
}

static int task_clear(PyObject *task) {
    clear_part(wf_task_part_of(task));
    return base_of(task)->tp_clear(task);
}

static void task_finalize(PyObject *task) {
    struct wf_task_part *p = wf_task_part_of(task);
    if (p->at == WF_AT_PARKED && p->loop != NULL) {
        PyObject *pending = wf_err_take();
        PyObject *told =
            PyObject_CallMethod(p->loop, "call_exception_handler", "{sOss}", "task", task,
                                "message", "Task was destroyed but it is pending!");
        if (told == NULL) {
            PyErr_WriteUnraisable(task);
        }
        Py_XDECREF(told);
        if (pending != NULL) {
            wf_err_put(pending);
        }
    }
    base_of(task)->tp_finalize(task);
}

static void task_dealloc(PyObject *task) {
    if (PyObject_CallFinalizerFromDealloc(task) < 0) {
        return; /* somebody has it again */
    }
    PyTypeObject *type = Py_TYPE(task), *base = base_of(task);
    PyObject_GC_UnTrack(task);
    wf_list_remove(&wf_task_part_of(task)->node);
    clear_part(wf_task_part_of(task));
    Py_CLEAR(wf_task_part_of(task)->module);
    base->tp_dealloc(task);
    if (!PyType_HasFeature(base, Py_TPFLAGS_HEAPTYPE)) {
        Py_DECREF(type); /* else the base has done it */
    }
}

/* ---- cancelling ---- */

/* task.cancel(msg): 1 it will be, 0 it is done, -1 exception. */
static int cancel(PyObject *task, PyObject *message) {
    struct wf_task_part *p = wf_task_part_of(task);
    if (p->at == WF_AT_IDLE || p->at == WF_AT_DONE) {
        return 0;
    }
    if (wf_task_is_gone(p->state)) {
        return -1;
    }
    p->cancels++;
    p->touched = true; /* `_cancel_message` may stay behind */
    if (p->waiter != NULL) {
        int cancelled = wf_task_cancel_waiter(p, message);
        if (cancelled != 0) {
            return cancelled;
        }
    }
    if (PyObject_GenericSetAttr(task, p->state->task.str_cancel_message, message) < 0) {
        return -1;
    }
    p->must_cancel = true;
    return 1;
}

int wf_task_cancel(struct wf_task *t) {
    PyObject *task = Py_NewRef((PyObject *)t);
    int rc = cancel(task, Py_None);
    Py_DECREF(task);
    return rc < 0 ? -1 : 0;
}

void wf_task_detach(struct wf_task *t) {
    struct wf_task_part *p = wf_task_part_of((PyObject *)t);
    p->done = NULL;
    p->arg = NULL;
}

/* ---- as Python sees it ---- */

static PyObject *task_cancel(PyObject *task, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"msg", NULL};
    PyObject *message = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:cancel", names, &message)) {
        return NULL;
    }
    int rc = cancel(task, message);
    return rc < 0 ? NULL : PyBool_FromLong(rc);
}

static PyObject *task_cancelling(PyObject *task, PyObject *unused) {
    return PyLong_FromUnsignedLong(wf_task_part_of(task)->cancels);
}

static PyObject *task_uncancel(PyObject *task, PyObject *unused) {
    struct wf_task_part *p = wf_task_part_of(task);
    if (p->cancels > 0) {
        p->cancels--;
#if PY_VERSION_HEX >= 0x030D0000
        if (p->cancels == 0) {
            p->must_cancel = false;
        }
#endif
    }
    return PyLong_FromUnsignedLong(p->cancels);
}

static PyObject *task_done(PyObject *task, PyObject *unused) {
    uint8_t at = wf_task_part_of(task)->at;
    return PyBool_FromLong(at == WF_AT_IDLE || at == WF_AT_DONE);
}

static PyObject *task_get_coro(PyObject *task, PyObject *unused) {
    struct wf_task_part *p = wf_task_part_of(task);
    return Py_NewRef(p->coro != NULL ? p->coro : Py_None);
}

static PyObject *task_get_context(PyObject *task, PyObject *unused) {
    struct wf_task_part *p = wf_task_part_of(task);
    return Py_NewRef(p->context != NULL ? p->context : Py_None);
}

static PyObject *task_get_name(PyObject *task, PyObject *unused) {
    struct wf_task_part *p = wf_task_part_of(task);
    if (p->name == NULL) {
        p->name = PyUnicode_FromFormat("Handler-%llu", ++p->state->task.named);
    }
    return Py_XNewRef(p->name);
}

static PyObject *task_set_name(PyObject *task, PyObject *value) {
    PyObject *name = PyObject_Str(value);
    if (name == NULL) {
        return NULL;
    }
    Py_XSETREF(wf_task_part_of(task)->name, name);
    Py_RETURN_NONE;
}

/* (fn, *, context=None), for the base to judge. */
static PyObject *task_add_done_callback(PyObject *task, PyObject *const *args, Py_ssize_t nargs,
                                        PyObject *kwnames) {
    PyObject *stack[4] = {task};
    Py_ssize_t n = nargs + (kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0);
    if (n > 3) {
        PyErr_SetString(PyExc_TypeError, "add_done_callback() takes a callback and a context");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        stack[1 + i] = args[i];
    }
    if (wf_task_is_gone(wf_task_part_of(task)->state)) {
        return NULL;
    }
    wf_task_part_of(task)->touched = true;
    return PyObject_Vectorcall(wf_task_part_of(task)->state->task.add_done_callback, stack,
                               (size_t)nargs + 1, kwnames);
}

static int task_setattr(PyObject *task, PyObject *name, PyObject *value) {
    wf_task_part_of(task)->touched = true;
    return PyObject_GenericSetAttr(task, name, value);
}

static PyObject *task_repr(PyObject *task) {
    if (wf_task_part_of(task)->at == WF_AT_IDLE) {
        return PyUnicode_FromFormat("<HandlerTask idle at %p>", task);
    }
    return base_of(task)->tp_repr(task);
}

static PyObject *get_coro(PyObject *task, void *unused) {
    return task_get_coro(task, NULL);
}

static PyObject *get_waiter(PyObject *task, void *unused) {
    struct wf_task_part *p = wf_task_part_of(task);
    return Py_NewRef(p->waiter != NULL ? p->waiter : Py_None);
}

static PyObject *get_must_cancel(PyObject *task, void *unused) {
    return PyBool_FromLong(wf_task_part_of(task)->must_cancel);
}

static PyMethodDef task_methods[] = {
    {"cancel", (PyCFunction)(void (*)(void))task_cancel, METH_VARARGS | METH_KEYWORDS, NULL},
    {"cancelling", task_cancelling, METH_NOARGS, NULL},
    {"uncancel", task_uncancel, METH_NOARGS, NULL},
    {"done", task_done, METH_NOARGS, NULL},
    {"get_coro", task_get_coro, METH_NOARGS, "The coroutine; None once it has ended."},
    {"get_context", task_get_context, METH_NOARGS, "The contextvars.Context of its request."},
    {"get_name", task_get_name, METH_NOARGS, "Its name, as text."},
    {"set_name", task_set_name, METH_O, "Names it str(value)."},
    {"add_done_callback", (PyCFunction)(void (*)(void))task_add_done_callback,
     METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL},
};

static PyGetSetDef task_getset[] = {
    {"_coro", get_coro, NULL, NULL, NULL},
    {"_fut_waiter", get_waiter, NULL, NULL, NULL},
    {"_must_cancel", get_must_cancel, NULL, NULL, NULL},
    {NULL},
};

static PyType_Slot task_slots[] = {
    {Py_tp_doc, "A handler's asyncio.Task. Made by the server; asyncio.current_task() shows it."},
    {Py_tp_dealloc, task_dealloc},
    {Py_tp_finalize, task_finalize},
    {Py_tp_traverse, task_traverse},
    {Py_tp_clear, task_clear},
    {Py_tp_setattro, task_setattr},
    {Py_tp_repr, task_repr},
    {Py_tp_methods, task_methods},
    {Py_tp_getset, task_getset},
    {0, NULL},
};

/* ---- the module's part ---- */

int wf_task_exec(PyObject *module, struct wf_state *state) {
    struct wf_task_state *s = &state->task;
    PyTypeObject *base = state->loop.asyncio_task_type;
    PyObject *future = (PyObject *)state->loop.future_type;
    if (wf_task_import_current(s) < 0) {
        return -1;
    }
    s->register_task = wf_task_import_from("_asyncio", "_register_task");
    s->cancelled_error = wf_task_import_from("asyncio.exceptions", "CancelledError");
    s->invalid_state_error = wf_task_import_from("asyncio.exceptions", "InvalidStateError");
    s->set_result = PyObject_GetAttrString(future, "set_result");
    s->set_exception = PyObject_GetAttrString(future, "set_exception");
    s->cancel = PyObject_GetAttrString(future, "cancel");
    s->add_done_callback = PyObject_GetAttrString(future, "add_done_callback");
    s->result = PyObject_GetAttrString(future, "result");
    s->get_blocking = PyObject_GetAttrString(future, "_asyncio_future_blocking");
    s->get_loop = PyObject_GetAttrString(future, "_loop");
    s->make_cancelled_error = PyObject_GetAttrString(future, "_make_cancelled_error");
    s->str_blocking = PyUnicode_InternFromString("_asyncio_future_blocking");
    s->str_cancel_message = PyUnicode_InternFromString("_cancel_message");
    s->str_log_traceback = PyUnicode_InternFromString("_log_traceback");
    s->kw_context = Py_BuildValue("(s)", "context");
    s->kw_msg = Py_BuildValue("(s)", "msg");
    if (s->register_task == NULL || s->cancelled_error == NULL || s->invalid_state_error == NULL ||
        s->set_result == NULL || s->set_exception == NULL || s->cancel == NULL ||
        s->add_done_callback == NULL || s->result == NULL || s->get_blocking == NULL ||
        s->get_loop == NULL || s->make_cancelled_error == NULL || s->str_blocking == NULL ||
        s->str_cancel_message == NULL || s->str_log_traceback == NULL || s->kw_context == NULL ||
        s->kw_msg == NULL) {
        return -1;
    }
    if (!Py_IS_TYPE(s->get_blocking, &PyGetSetDescr_Type) ||
        !Py_IS_TYPE(s->get_loop, &PyGetSetDescr_Type)) {
        PyErr_SetString(PyExc_ImportError, "asyncio.Future is not the one in C");
        return -1;
    }
    PyType_Spec spec = {
        .name = "weft._core.HandlerTask",
        /* the base's size differs between Pythons; ours begins where it ends */
        .basicsize = (int)(base->tp_basicsize + (Py_ssize_t)sizeof(struct wf_task_part)),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = task_slots,
    };
    s->task_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, (PyObject *)base);
    if (s->task_type == NULL || PyModule_AddType(module, s->task_type) < 0) {
        return -1;
    }
    return wf_runner_exec(module, state);
}

int wf_task_traverse(struct wf_task_state *s, visitproc visit, void *arg) {
    Py_VISIT(s->task_type);
    Py_VISIT(s->runner_type);
    Py_VISIT(s->current_tasks);
    Py_VISIT(s->swap_current_task);
    Py_VISIT(s->register_task);
    Py_VISIT(s->set_result);
    Py_VISIT(s->set_exception);
    Py_VISIT(s->cancel);
    Py_VISIT(s->add_done_callback);
    Py_VISIT(s->result);
    Py_VISIT(s->get_blocking);
    Py_VISIT(s->get_loop);
    Py_VISIT(s->make_cancelled_error);
    Py_VISIT(s->cancelled_error);
    Py_VISIT(s->invalid_state_error);
    return 0;
}

void wf_task_clear(struct wf_task_state *s) {
    Py_CLEAR(s->task_type);
    Py_CLEAR(s->runner_type);
    Py_CLEAR(s->current_tasks);
    Py_CLEAR(s->swap_current_task);
    Py_CLEAR(s->register_task);
    Py_CLEAR(s->set_result);
    Py_CLEAR(s->set_exception);
    Py_CLEAR(s->cancel);
    Py_CLEAR(s->add_done_callback);
    Py_CLEAR(s->result);
    Py_CLEAR(s->get_blocking);
    Py_CLEAR(s->get_loop);
    Py_CLEAR(s->make_cancelled_error);
    Py_CLEAR(s->cancelled_error);
    Py_CLEAR(s->invalid_state_error);
    Py_CLEAR(s->str_blocking);
    Py_CLEAR(s->str_cancel_message);
    Py_CLEAR(s->str_log_traceback);
    Py_CLEAR(s->kw_context);
    Py_CLEAR(s->kw_msg);
}
