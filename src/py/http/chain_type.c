/* The type of a chain: how it is made, and the coroutine that a task sees. */
#include "py/http/chain_int.h"

/* ---- stepping it ---- */

static PySendResult enter(struct wf_chain *c) {
    if (c->running || (c->at == AT_END && c->inner == NULL)) {
        PyErr_SetString(c->running ? PyExc_ValueError : PyExc_RuntimeError,
                        c->running ? "coroutine already executing"
                                   : "cannot reuse already awaited coroutine");
        return PYGEN_ERROR;
    }
    c->running = true;
    return PYGEN_NEXT;
}

/* am_send */
static PySendResult chain_send(PyObject *self, PyObject *arg, PyObject **out) {
    struct wf_chain *c = (struct wf_chain *)self;
    *out = NULL;
    if (wf_unlikely(enter(c) == PYGEN_ERROR)) {
        return PYGEN_ERROR;
    }
    PySendResult sent;
    if (wf_unlikely(c->outer.coro != NULL)) {
        PyObject *value;
        sent = chain_around_send(&c->outer, arg, &value);
        sent = chain_outer_went_on(c, sent, value, out);
    } else {
        sent = chain_step(c, arg, out);
    }
    c->running = false;
    return sent;
}

/* ---- its life ---- */

struct wf_chain *wf_chain_new(struct wf_call *call, struct wf_plan *plan) {
    struct wf_http_server *s = call->server;
    unsigned n, nvalues;
    const struct wf_dependency *dependencies = NULL;
    n = nvalues = 0;
    if (plan != NULL) {
        dependencies = wf_plan_dependencies(plan, &n, &nvalues);
    }
    size_t bytes = n + (n + 1); /* exits, invalid */
    size_t slots = nvalues + n + (bytes + sizeof(PyObject *) - 1) / sizeof(PyObject *);
    PyTypeObject *type = s->state->http.chain_type;
    struct wf_chain *c = (struct wf_chain *)type->tp_alloc(type, (Py_ssize_t)slots); /* zeroed */
    if (c == NULL) {
        return NULL;
    }
    c->call = call;
    c->app = call->app;
    c->server = (struct wf_http_server *)Py_NewRef((PyObject *)s);
    c->plan = (struct wf_plan *)Py_XNewRef((PyObject *)plan);
    c->dependencies = dependencies;
    c->ndependencies = (uint8_t)n;
    c->nvalues = (uint8_t)nvalues;
    c->exits = (uint8_t *)(c->slots + nvalues + n);
    c->invalid = (bool *)(c->exits + n);
    c->handler.there = call->route != NULL && call->route->handler != NULL;
    call->plan.values = c->slots;
    if (call->app->middleware != NULL && (call->route == NULL || call->route->surrounded)) {
        PyObject *request = wf_call_request(call); /* borrowed */
        if (request == NULL || chain_surround(c, request) < 0) {
            Py_CLEAR(c);
        }
    }
    return c;
}

void wf_chain_cut_off(struct wf_chain *c) {
    c->call = NULL;
}

PyObject *wf_chain_errors(struct wf_chain *c) {
    return c->errors;
}

bool wf_chain_needs_thread(const struct wf_chain *c) {
    return c->job != NULL && (c->left || c->generator != NULL || c->nexits != 0);
}

static int chain_traverse(PyObject *self, visitproc visit, void *arg) {
    struct wf_chain *c = (struct wf_chain *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(c->server);
    Py_VISIT(c->plan);
    Py_VISIT(c->outer.coro);
    Py_VISIT(c->outer.stepper);
    Py_VISIT(c->handler.coro);
    Py_VISIT(c->handler.stepper);
    Py_VISIT(c->inner);
    Py_VISIT(c->generator);
    Py_VISIT((PyObject *)c->job);
    Py_VISIT(c->cancelled);
    Py_VISIT(c->exc);
    Py_VISIT(c->result);
    Py_VISIT(c->errors);
    for (unsigned i = 0; i < (unsigned)c->nvalues + c->nexits; i++) {
        Py_VISIT(c->slots[i]);
    }
    return 0;
}

static int chain_clear(PyObject *self) {
    struct wf_chain *c = (struct wf_chain *)self;
    Py_CLEAR(c->outer.coro);
    Py_CLEAR(c->outer.stepper);
    Py_CLEAR(c->handler.coro);
    Py_CLEAR(c->handler.stepper);
    Py_CLEAR(c->inner);
    Py_CLEAR(c->generator);
    Py_CLEAR(c->job);
    Py_CLEAR(c->cancelled);
    Py_CLEAR(c->exc);
    Py_CLEAR(c->result);
    Py_CLEAR(c->errors);
    for (unsigned i = 0; i < (unsigned)c->nvalues + c->nexits; i++) {
        Py_CLEAR(c->slots[i]);
    }
    return 0;
}

static void chain_dealloc(PyObject *self) {
    struct wf_chain *c = (struct wf_chain *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    chain_clear(self);
    Py_CLEAR(c->plan);
    Py_CLEAR(c->server);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the methods of a coroutine ---- */

static PyObject *chain_send_method(PyObject *self, PyObject *value) {
    PyObject *out = NULL;
    PySendResult sent = chain_send(self, value, &out); /* first: it is what fills `out` in */
    return wf_send_answer(sent, out);
}

static PyObject *chain_next(PyObject *self) {
    return chain_send_method(self, Py_None);
}

static PyObject *chain_throw(PyObject *self, PyObject *args) {
    struct wf_chain *c = (struct wf_chain *)self;
    PyObject *out = NULL, *exc = coro_thrown(args);
    if (exc == NULL || enter(c) == PYGEN_ERROR) {
        Py_XDECREF(exc);
        return NULL;
    }
    PySendResult sent;
    if (c->outer.coro != NULL) {
        PyObject *value;
        sent = chain_around_throw(&c->outer, exc, &value);
        sent = chain_outer_went_on(c, sent, value, &out);
    } else {
        sent = chain_throw_in(c, exc, &out);
    }
    Py_DECREF(exc);
    c->running = false;
    return wf_send_answer(sent, out);
}

/* What it awaits is closed; the generators are left to the loop, as nothing can be awaited any more. */
static PyObject *chain_close(PyObject *self, PyObject *unused) {
    struct wf_chain *c = (struct wf_chain *)self;
    if (c->running) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return NULL;
    }
    PyObject *outermost = c->outer.coro, *handler = c->handler.coro, *inner = c->inner, *closed;
    c->outer.coro = c->handler.coro = c->inner = NULL;
    c->outer.answered = c->handler.answered = true; /* another task may hold one still */
    c->at = AT_END;
    if (outermost == NULL) {
        outermost = handler;
        handler = NULL;
    }
    if (outermost != NULL) {
        Py_CLEAR(inner);
        inner = outermost;
    }
    if (inner != NULL && PyCoro_CheckExact(inner)) {
        closed = PyObject_CallMethodNoArgs(inner, c->server->state->http.str.close);
    } else {
        closed = Py_NewRef(Py_None);
    }
    Py_XDECREF(inner);
    Py_XDECREF(handler);
    return closed;
}

static PyObject *get_name(PyObject *self, void *attribute) {
    PyObject *plan = (PyObject *)((struct wf_chain *)self)->plan;
    if (plan == NULL) {
        return PyUnicode_FromString("unrouted");
    }
    PyObject *endpoint = PyObject_GetAttrString(plan, "endpoint");
    PyObject *name = endpoint != NULL ? PyObject_GetAttrString(endpoint, attribute) : NULL;
    if (name == NULL && endpoint != NULL) {
        PyErr_Clear();
        name = PyObject_GetAttrString((PyObject *)Py_TYPE(endpoint), attribute);
    }
    Py_XDECREF(endpoint);
    return name;
}

static PyObject *get_await(PyObject *self, void *unused) {
    PyObject *inner = ((struct wf_chain *)self)->inner;
    return Py_NewRef(inner != NULL ? inner : Py_None);
}

static PyObject *get_running(PyObject *self, void *unused) {
    return PyBool_FromLong(((struct wf_chain *)self)->running);
}

static PyGetSetDef chain_getset[] = {
    {"__name__", get_name, NULL, "The endpoint's.", "__name__"},
    {"__qualname__", get_name, NULL, "The endpoint's.", "__qualname__"},
    {"cr_await", get_await, NULL, "What it awaits, or None.", NULL},
    {"cr_running", get_running, NULL, "Is it being stepped?", NULL},
    {NULL},
};

static PyMethodDef chain_methods[] = {
    {"send", chain_send_method, METH_O, NULL},
    {"throw", chain_throw, METH_VARARGS, NULL},
    {"close", chain_close, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot chain_slots[] = {
    {Py_tp_doc, "The coroutine of a request with dependencies."},
    {Py_tp_dealloc, chain_dealloc},
    {Py_tp_traverse, chain_traverse},
    {Py_tp_clear, chain_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, chain_next},
    {Py_tp_methods, chain_methods},
    {Py_tp_getset, chain_getset},
    {Py_am_await, coro_await},
    {Py_am_send, chain_send},
    {0, NULL},
};

PyType_Spec wf_chain_spec = {
    .name = "weft._core.Chain",
    .basicsize = sizeof(struct wf_chain),
    .itemsize = sizeof(PyObject *),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = chain_slots,
};
