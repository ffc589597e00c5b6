/* What is around a part of a chain and steps it: call_next of a middleware, the Answer that it gives, and the Answer
 * for the route's own handler. */
#include "py/http/chain_int.h"

/* What call_next(request) returns, and call_next itself. */
struct answer {
    PyObject_HEAD
    struct wf_chain *chain;   /* owned */
    struct wf_around *around; /* borrowed: of the chain */
    vectorcallfunc call;      /* of call_next */
};

static struct answer *answer_new(PyTypeObject *type, struct wf_chain *c, struct wf_around *around) {
    struct answer *a = (struct answer *)type->tp_alloc(type, 0);
    if (a != NULL) {
        a->chain = (struct wf_chain *)Py_NewRef((PyObject *)c);
        a->around = around;
    }
    return a;
}

static PyObject *call_next_call(PyObject *self, PyObject *const *args, size_t nargsf,
                                PyObject *kwnames) {
    struct wf_chain *c = ((struct answer *)self)->chain;
    (void)args; /* the request that came in is what goes on */
    if (PyVectorcall_NARGS(nargsf) != 1 || (kwnames != NULL && PyTuple_GET_SIZE(kwnames) != 0)) {
        PyErr_SetString(PyExc_TypeError, "call_next() takes one argument, the request");
        return NULL;
    }
    if (c->outer.asked) {
        PyErr_SetString(PyExc_RuntimeError, "call_next() can be called once");
        return NULL;
    }
    c->outer.asked = true;
    return (PyObject *)answer_new(c->server->state->http.answer_type, c, &c->outer);
}

PyObject *wf_chain_answer(struct wf_chain *c) {
    if (!c->handler.there || c->handler.asked) {
        PyErr_SetString(PyExc_RuntimeError, c->handler.asked
                                                ? "the original route handler can be called once"
                                                : "the request's route has no handler of its own");
        return NULL;
    }
    c->handler.asked = true;
    return (PyObject *)answer_new(c->server->state->http.answer_type, c, &c->handler);
}

int chain_surround(struct wf_chain *c, PyObject *request) {
    struct answer *next = answer_new(c->server->state->http.call_next_type, c, &c->outer);
    if (next == NULL) {
        return -1;
    }
    next->call = call_next_call;
    PyObject *args[] = {request, (PyObject *)next};
    PyObject *coro = PyObject_Vectorcall(c->app->middleware, args, 2, NULL);
    Py_DECREF(next);
    c->outer.coro = coro != NULL ? coro_iterator(coro) : NULL;
    Py_XDECREF(coro);
    c->outer.there = true;
    return c->outer.coro != NULL ? 0 : -1;
}

int chain_call_handler(struct wf_chain *c) {
    PyObject *request = wf_call_request(c->call); /* borrowed */
    PyObject *coro = request != NULL ? PyObject_CallOneArg(c->call->route->handler, request) : NULL;
    c->handler.coro = coro != NULL ? coro_iterator(coro) : NULL;
    Py_XDECREF(coro);
    return c->handler.coro != NULL ? 0 : -1;
}

PySendResult chain_around_send(struct wf_around *around, PyObject *arg, PyObject **value) {
    *value = NULL;
    around->running = true;
    PySendResult sent = PyIter_Send(around->coro, arg, value);
    around->running = false;
    return sent;
}

PySendResult chain_around_throw(struct wf_around *around, PyObject *exc, PyObject **value) {
    *value = NULL;
    around->running = true;
    PySendResult sent = wf_coro_throw(around->coro, exc, value);
    around->running = false;
    return sent;
}

/* NULL, or why the chain cannot be stepped by it. The task of what is around it may do so, or another one, as with
 * asyncio.wait_for(call_next(request), 5): while that has not returned, nothing else steps it. */
static const char *answer_refusal(const struct wf_around *around) {
    return around->answered ? "cannot reuse already awaited coroutine"
           : around->coro == NULL || around->stepping
               ? "call_next() is awaited by the middleware it is for, as is the original handler"
               : NULL;
}

/* Remembers the task that steps the chain, which is not that of what is around it. */
static void keep_stepper(struct wf_around *around) {
    PyObject *asyncio = PyImport_ImportModule("asyncio");
    PyObject *task = asyncio != NULL ? PyObject_CallMethod(asyncio, "current_task", NULL) : NULL;
    Py_XDECREF(asyncio);
    if (task == NULL) {
        PyErr_Clear(); /* stepped by hand, outside of a loop */
        return;
    }
    Py_XSETREF(around->stepper, task);
}

static void leave_stepper(struct wf_around *around) {
    PyObject *task = around->stepper;
    around->stepper = NULL;
    if (task != NULL && task != Py_None && !around->answered) {
        PyObject *pending = wf_err_take();
        PyObject *done = PyObject_CallMethod(task, "cancel", NULL);
        if (done == NULL) {
            PyErr_WriteUnraisable(task);
        }
        Py_XDECREF(done);
        if (pending != NULL) {
            wf_err_put(pending);
        }
    }
    Py_XDECREF(task);
}

void chain_around_leave(struct wf_chain *c, struct wf_around *around) {
    Py_CLEAR(around->coro);
    Py_CLEAR(c->inner); /* of an Answer that was left alone, as are those errors */
    Py_CLEAR(c->errors);
    leave_stepper(around);
    around->answered = true;
}

void chain_around_ended(struct wf_chain *c, struct wf_around *around, PySendResult sent,
                        PyObject **value) {
    chain_around_leave(c, around);
    if (sent == PYGEN_RETURN && !wf_is_response(c->server->state, *value)) {
        PyErr_Format(PyExc_TypeError, "a %s must return a Response, not %.100s",
                     around == &c->outer ? "middleware" : "route handler",
                     Py_TYPE(*value)->tp_name);
        Py_CLEAR(*value);
    }
}

static PySendResult answer_send(PyObject *self, PyObject *arg, PyObject **out) {
    struct wf_chain *c = ((struct answer *)self)->chain;
    struct wf_around *around = ((struct answer *)self)->around;
    const char *refusal = answer_refusal(around);
    *out = NULL;
    if (wf_unlikely(refusal != NULL)) {
        PyErr_SetString(PyExc_RuntimeError, refusal);
        return PYGEN_ERROR;
    }
    if (wf_unlikely(!around->running)) {
        keep_stepper(around);
    }
    around->stepping = true;
    PySendResult sent =
        wf_likely(around == &c->outer) ? chain_step(c, arg, out) : chain_step_within(c, arg, out);
    around->stepping = false;
    return sent;
}

static PyObject *answer_send_method(PyObject *self, PyObject *value) {
    PyObject *out = NULL;
    PySendResult sent = answer_send(self, value, &out); /* first: it is what fills `out` in */
    return wf_send_answer(sent, out);
}

static PyObject *answer_next(PyObject *self) {
    return answer_send_method(self, Py_None);
}

static PyObject *answer_throw(PyObject *self, PyObject *args) {
    struct wf_chain *c = ((struct answer *)self)->chain;
    struct wf_around *around = ((struct answer *)self)->around;
    PyObject *out = NULL, *exc = coro_thrown(args);
    const char *refusal = answer_refusal(around);
    if (exc != NULL && around->answered) {
        wf_err_put(exc); /* as a coroutine that has ended does */
        return NULL;
    }
    if (exc == NULL || refusal != NULL) {
        if (exc != NULL) {
            PyErr_SetString(PyExc_RuntimeError, refusal);
        }
        Py_XDECREF(exc);
        return NULL;
    }
    around->stepping = true;
    PySendResult sent =
        around == &c->outer ? chain_throw_in(c, exc, &out) : chain_throw_within(c, exc, &out);
    around->stepping = false;
    Py_DECREF(exc);
    return wf_send_answer(sent, out);
}

static PyObject *answer_close(PyObject *self, PyObject *unused) {
    Py_RETURN_NONE;
}

static int answer_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)((struct answer *)self)->chain);
    return 0;
}

static int answer_clear(PyObject *self) {
    Py_CLEAR(((struct answer *)self)->chain);
    return 0;
}

static void answer_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    answer_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef answer_methods[] = {
    {"send", answer_send_method, METH_O, NULL},
    {"throw", answer_throw, METH_VARARGS, NULL},
    {"close", answer_close, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot answer_slots[] = {
    {Py_tp_doc, "What call_next() gives a middleware to await, and the original handler of a route "
                "to its own: the "
                "Response."},
    {Py_tp_dealloc, answer_dealloc},
    {Py_tp_traverse, answer_traverse},
    {Py_tp_clear, answer_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, answer_next},
    {Py_tp_methods, answer_methods},
    {Py_am_await, coro_await},
    {Py_am_send, answer_send},
    {0, NULL},
};

PyType_Spec wf_answer_spec = {
    .name = "weft._core.Answer",
    .basicsize = sizeof(struct answer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = answer_slots,
};

static PyMemberDef call_next_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(struct answer, call), Py_READONLY, NULL},
    {NULL},
};

static PyType_Slot call_next_slots[] = {
    {Py_tp_doc, "call_next(request): what is inside of a middleware, to be awaited."},
    {Py_tp_dealloc, answer_dealloc},
    {Py_tp_traverse, answer_traverse},
    {Py_tp_clear, answer_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, call_next_members},
    {0, NULL},
};

PyType_Spec wf_call_next_spec = {
    .name = "weft._core.CallNext",
    .basicsize = sizeof(struct answer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = call_next_slots,
};
