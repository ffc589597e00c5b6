/* Handle and TimerHandle: one callback to come, now or at a time. */
#include "py/loop/context.h"
#include "py/loop/loop_int.h"

/* ---- birth and death ---- */

/* A dead handle of this loop, or a new one. All fields but those of PyObject are undefined. */
static void *take_spare(struct wf_spares *spares, PyTypeObject *type) {
    struct wf_handle *h = spares->first;
    if (wf_unlikely(h == NULL)) {
        return PyObject_GC_New(struct wf_handle, type); /* of the size that the type says */
    }
    spares->first = (struct wf_handle *)h->callback;
    spares->n--;
    (void)PyObject_Init((PyObject *)h, type);
    return h;
}

static bool keep_spare(struct wf_spares *spares, struct wf_handle *h) {
    if (wf_unlikely(spares->n == WF_HANDLES_SPARE_MAX)) {
        return false;
    }
    h->callback = (PyObject *)spares->first;
    spares->first = h;
    spares->n++;
    return true;
}

static void free_spares(struct wf_spares *spares) {
    while (spares->first != NULL) {
        struct wf_handle *h = spares->first;
        spares->first = (struct wf_handle *)h->callback;
        PyObject_GC_Del(h);
    }
    spares->n = 0;
}

void wf_handle_free_spares(struct wf_pyloop *l) {
    free_spares(&l->spares);
    free_spares(&l->timer_spares);
}

/* The current context as it is now, for a callback that was given none. 0, or -1 with MemoryError. */
static int take_context(struct wf_handle *h) {
    if (wf_likely(h->loop->no_vars != NULL)) {
        h->context = wf_context_vars();
        if (wf_likely(h->context != NULL)) {
            h->bare = true;
            return 0;
        }
    }
    h->context = PyContext_CopyCurrent();
    return h->context != NULL ? 0 : -1;
}

/* From here on the handle has a Context. 0, or -1 with MemoryError. */
static int make_context(struct wf_handle *h) {
    if (!h->bare) {
        return 0;
    }
    PyObject *context = h->loop->spare_context; /* owned now */
    h->loop->spare_context = NULL;
    if (wf_unlikely(context == NULL || !wf_context_unseen(context))) {
        Py_XSETREF(context, PyContext_New());
        if (context == NULL) {
            return -1;
        }
        if (!h->bare) { /* a collection's finalizer has asked for it meanwhile */
            Py_DECREF(context);
            return 0;
        }
    }
    PyObject *none = wf_context_exchange(context, h->context);
    h->context = context;
    h->bare = false;
    Py_XDECREF(none);
    return 0;
}

/* In debug mode. item  stolen, NULL with an exception. 0, or -1 with an exception. */
static int keep_debug_item(struct wf_handle *h, Py_ssize_t which, PyObject *item) {
    if (item != NULL && h->debug == NULL) {
        PyObject *list = PyList_New(WF_DEBUG_ITEMS);
        for (Py_ssize_t i = 0; list != NULL && i < WF_DEBUG_ITEMS; i++) {
            PyList_SET_ITEM(list, i, Py_NewRef(Py_None));
        }
        Py_XSETREF(h->debug, list);
    }
    if (item == NULL || h->debug == NULL) {
        Py_XDECREF(item);
        return -1;
    }
    return PyList_SetItem(h->debug, which, item);
}

/* Borrowed, None where there is none. */
static PyObject *debug_item(const struct wf_handle *h, Py_ssize_t which) {
    return h->debug != NULL ? PyList_GET_ITEM(h->debug, which) : Py_None;
}

/* Every field of the head. Returns 0 or -1; what is filled so far is then released by dealloc. */
static int init_handle(struct wf_handle *h, struct wf_pyloop *l, PyObject *callback,
                       PyObject *const *args, Py_ssize_t nargs, PyObject *context) {
    h->loop = (struct wf_pyloop *)Py_NewRef(l);
    h->callback = Py_NewRef(callback);
    h->context = NULL;
    h->args[0] = h->args[1] = NULL;
    h->debug = NULL;
    h->weakrefs = NULL;
    h->nargs = 0;
    h->cancelled = h->timed = h->bare = false;

    if (context != NULL && context != Py_None) {
        h->context = Py_NewRef(context);
    } else if (wf_unlikely(take_context(h) < 0)) {
        return -1;
    }
    if (nargs > 2) {
        PyObject *tuple = PyTuple_New(nargs);
        if (tuple == NULL) {
            return -1;
        }
        for (Py_ssize_t i = 0; i < nargs; i++) {
            PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
        }
        h->args[0] = tuple;
    } else {
        for (Py_ssize_t i = 0; i < nargs; i++) {
            h->args[i] = Py_NewRef(args[i]);
        }
    }
    h->nargs = (uint32_t)nargs;
    if (wf_unlikely(l->debug && l->state->loop.extract_stack != NULL)) {
        PyObject *frame = (PyObject *)PyEval_GetFrame(); /* borrowed: who called us */
        if (frame != NULL) {
            PyObject *source = PyObject_CallOneArg(l->state->loop.extract_stack, frame);
            return keep_debug_item(h, WF_DEBUG_SOURCE, source);
        }
    }
    return 0;
}

struct wf_handle *wf_handle_new(struct wf_pyloop *l, PyObject *callback, PyObject *const *args,
                                Py_ssize_t nargs, PyObject *context) {
    struct wf_handle *h = take_spare(&l->spares, l->handle_type);
    if (wf_unlikely(h == NULL)) {
        return NULL;
    }
    if (wf_unlikely(init_handle(h, l, callback, args, nargs, context) < 0)) {
        Py_CLEAR(h);
    }
    return h;
}

void wf_handle_track(struct wf_handle *h) {
    if (!PyObject_GC_IsTracked((PyObject *)h)) {
        PyObject_GC_Track(h);
    }
}

struct wf_timer_handle *wf_timer_handle_new(struct wf_pyloop *l, double when, PyObject *callback,
                                            PyObject *const *args, Py_ssize_t nargs,
                                            PyObject *context) {
    struct wf_timer_handle *t = take_spare(&l->timer_spares, l->timer_handle_type);
    if (wf_unlikely(t == NULL)) {
        return NULL;
    }
    t->when = when;
    wf_heap_node_init(&t->node);
    int rc = init_handle(&t->h, l, callback, args, nargs, context);
    t->h.timed = true;
    if (wf_unlikely(rc < 0)) {
        Py_CLEAR(t);
    }
    return t;
}

static int handle_traverse(struct wf_handle *h, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(h));
    Py_VISIT(h->loop);
    Py_VISIT(h->callback);
    Py_VISIT(h->context);
    Py_VISIT(h->args[0]);
    Py_VISIT(h->args[1]);
    Py_VISIT(h->debug);
    return 0;
}

int wf_handle_visit_queued(struct wf_handle *h, visitproc visit, void *arg) {
    if (!PyObject_GC_IsTracked((PyObject *)h)) {
        return Py_REFCNT(h) == 1 ? handle_traverse(h, visit, arg) : 0;
    }
    Py_VISIT(h);
    return 0;
}

static int handle_clear(struct wf_handle *h) {
    h->nargs = 0;
    Py_CLEAR(h->callback);
    h->bare = false;
    Py_CLEAR(h->context);
    Py_CLEAR(h->args[0]);
    Py_CLEAR(h->args[1]);
    Py_CLEAR(h->debug);
    Py_CLEAR(h->loop);
    return 0;
}

static void bury(struct wf_handle *h) {
    PyTypeObject *type = Py_TYPE(h);
    if (wf_unlikely(h->weakrefs != NULL)) {
        PyObject_ClearWeakRefs((PyObject *)h);
    }
    Py_CLEAR(h->callback);
    Py_XDECREF(h->context);
    Py_XDECREF(h->args[0]);
    Py_XDECREF(h->args[1]);
    Py_XDECREF(h->debug);
    struct wf_pyloop *l = h->loop; /* owned still: it may die with us, and then takes no spares */
    if (l != NULL && l->fresh == h) {
        l->fresh = NULL;
    }
    if (l == NULL || !l->open || !keep_spare(h->timed ? &l->timer_spares : &l->spares, h)) {
        PyObject_GC_Del(h);
    }
    Py_XDECREF(l);
    Py_DECREF(type);
}

static void handle_dealloc(struct wf_handle *h);

static bool is_handle(const PyObject *o) {
    return o != NULL && Py_TYPE(o)->tp_dealloc == (destructor)handle_dealloc;
}

/* Handles that are each other's arguments may make a chain of any length, and the C stack is only so deep. All
 * else that a handle holds sees to that by itself. */
static void handle_dealloc(struct wf_handle *h) {
    PyObject_GC_UnTrack(h);
    if (wf_likely(!is_handle(h->args[0]) && !is_handle(h->args[1]))) {
        bury(h);
        return;
    }
    Py_TRASHCAN_BEGIN(h, handle_dealloc) bury(h);
    Py_TRASHCAN_END
}

/* ---- running and cancelling ---- */

/* asyncio's words for a callback; from 3.13 on it shows arguments in debug mode only. */
static PyObject *describe(struct wf_pyloop *l, PyObject *callback, PyObject *args) {
    PyObject *stack[3] = {callback, args, l->debug ? Py_True : Py_False};
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *names = l->state->loop.kw_debug;
#else
    PyObject *names = NULL;
#endif
    return PyObject_Vectorcall(l->state->loop.format_callback, stack, 2, names);
}

/* asyncio's report, word for word, since people match on it. The exception is set. */
static int report_exception(struct wf_handle *h, PyObject *callback) {
    PyObject *exc = wf_err_take();
    int rc = -1;
    PyObject *args = PyObject_GetAttrString((PyObject *)h, "_args");
    PyObject *source = NULL, *message = NULL, *context = NULL, *done = NULL;
    if (args == NULL || h->loop == NULL || h->loop->state->loop.format_callback == NULL) {
        if (args != NULL) {
            wf_pyloop_gone();
        }
        goto done;
    }
    if (args == Py_None) { /* cancelled by its own callback */
        Py_SETREF(args, PyTuple_New(0));
        if (args == NULL) {
            goto done;
        }
    }
    source = describe(h->loop, callback, args);
    if (source == NULL) {
        goto done;
    }
    message = PyUnicode_FromFormat("Exception in callback %S", source);
    if (message == NULL) {
        goto done;
    }
    context = Py_BuildValue("{sOsOsO}", "message", message, "exception", exc, "handle", h);
    PyObject *made = debug_item(h, WF_DEBUG_SOURCE);
    if (context == NULL ||
        (made != Py_None && PyDict_SetItemString(context, "source_traceback", made) < 0)) {
        goto done;
    }
    PyObject *outer = wf_handling(exc);
    done = PyObject_CallMethod((PyObject *)h->loop, "call_exception_handler", "O", context);
    wf_handled(outer);
    rc = done != NULL ? 0 : -1;
done:
    if (rc < 0 && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_WriteUnraisable(exc); /* a report there is no memory for ends nobody's loop */
        rc = 0;
    }
    Py_XDECREF(done);
    Py_XDECREF(context);
    Py_XDECREF(message);
    Py_XDECREF(source);
    Py_XDECREF(args);
    Py_XDECREF(exc);
    return rc;
}

static bool ends_the_loop(void) {
    return PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
           PyErr_ExceptionMatches(PyExc_SystemExit);
}

int wf_handle_run(struct wf_handle *h) {
    if (wf_unlikely(h->callback == NULL)) {
        return 0;
    }
    /* The callback may cancel its own handle, which drops these. */
    PyObject *callback = Py_NewRef(h->callback);
    bool made = wf_likely(make_context(h) == 0);
    PyObject *context = Py_NewRef(h->context);
    PyObject *stack[3] = {NULL, Py_XNewRef(h->args[0]), Py_XNewRef(h->args[1])};
    PyObject *result = NULL;
    if (made && wf_likely(PyContext_Enter(context) == 0)) {
        if (wf_likely(h->nargs <= 2)) {
            result = PyObject_Vectorcall(callback, stack + 1,
                                         h->nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        } else {
            result = PyObject_Call(callback, stack[1], NULL);
        }
        if (PyContext_Exit(context) < 0) {
            Py_CLEAR(result);
        }
    }
    int rc = 0;
    if (wf_unlikely(result == NULL)) {
        rc = ends_the_loop() ? -1 : report_exception(h, callback);
    }
    Py_XDECREF(result);
    Py_XDECREF(stack[1]);
    Py_XDECREF(stack[2]);
    Py_DECREF(context);
    Py_DECREF(callback);
    return rc;
}

/* Nobody has h but us, nor its context but h: the next callback may have it. */
static void spare_context(struct wf_handle *h) {
    struct wf_pyloop *l = h->loop;
    PyObject *context = h->context;
    if (wf_likely(context != NULL && !h->bare && h->weakrefs == NULL && l->spare_context == NULL &&
                  l->no_vars != NULL && l->open && wf_context_unseen(context))) {
        h->context = NULL;
        PyObject *vars = wf_context_exchange(context, Py_NewRef(l->no_vars));
        l->spare_context = context;
        Py_DECREF(vars); /* what dies with them may call us */
    }
}

void wf_handle_done(struct wf_handle *h) {
    if (wf_unlikely(Py_REFCNT(h) > 1)) {
        wf_handle_track(h);
    } else {
        spare_context(h);
    }
    Py_DECREF(h);
}

int wf_handle_cancel(struct wf_handle *h) {
    if (h->cancelled) {
        return 0;
    }
    h->cancelled = true;
    struct wf_pyloop *l = h->loop;
    if (l != NULL && h->timed) {
        wf_pyloop_timer_stop(l, (struct wf_timer_handle *)h);
    }
    if (wf_unlikely(l != NULL && l->debug)) {
        /* so that "Executing <Handle ...> took 2.5 seconds" can still say what it was */
        PyObject *repr = PyObject_Repr((PyObject *)h);
        if (keep_debug_item(h, WF_DEBUG_REPR, repr) < 0) {
            return -1;
        }
    }
    h->nargs = 0;
    Py_CLEAR(h->callback);
    Py_CLEAR(h->args[0]);
    Py_CLEAR(h->args[1]);
    return 0;
}

/* ---- as Python sees them ---- */

static PyObject *handle_cancel(struct wf_handle *h, PyObject *unused) {
    Py_INCREF(h); /* the loop's reference to a timer may be the last but ours */
    int rc = wf_handle_cancel(h);
    Py_DECREF(h);
    if (rc < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *handle_cancelled(struct wf_handle *h, PyObject *unused) {
    return PyBool_FromLong(h->cancelled);
}

static PyObject *handle_get_context(struct wf_handle *h, PyObject *unused) {
    if (make_context(h) < 0) {
        return NULL;
    }
    return Py_NewRef(h->context != NULL ? h->context : Py_None);
}

static PyObject *get_context(struct wf_handle *h, void *unused) {
    return handle_get_context(h, NULL);
}

static PyObject *handle_run(struct wf_handle *h, PyObject *unused) {
    if (wf_handle_run(h) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *handle_args(struct wf_handle *h, void *unused) {
    switch (h->nargs) {
    case 0:
        return h->cancelled ? Py_NewRef(Py_None) : PyTuple_New(0);
    case 1:
        return PyTuple_Pack(1, h->args[0]);
    case 2:
        return PyTuple_Pack(2, h->args[0], h->args[1]);
    default:
        return Py_NewRef(h->args[0]);
    }
}

static PyObject *get_source_traceback(struct wf_handle *h, void *unused) {
    return Py_NewRef(debug_item(h, WF_DEBUG_SOURCE));
}

static PyObject *get_repr(struct wf_handle *h, void *unused) {
    return Py_NewRef(debug_item(h, WF_DEBUG_REPR));
}

/* isinstance(handle, asyncio.Handle) holds, though the layout has nothing in common. */
static PyObject *handle_class(struct wf_handle *h, void *unused) {
    struct wf_state *state = wf_state_of_type(Py_TYPE(h));
    if (state == NULL || state->loop.asyncio_timer_handle == NULL) {
        return state == NULL ? NULL : wf_pyloop_gone();
    }
    return Py_NewRef(h->timed ? state->loop.asyncio_timer_handle : state->loop.asyncio_handle);
}

static PyMethodDef handle_methods[] = {
    {"cancel", (PyCFunction)handle_cancel, METH_NOARGS,
     "cancel($self, /)\n--\n\n"
     "It will not be called. Harmless twice, and after the call."},
    {"cancelled", (PyCFunction)handle_cancelled, METH_NOARGS,
     "cancelled($self, /)\n--\n\n"
     "Was cancel() called?"},
    {"get_context", (PyCFunction)handle_get_context, METH_NOARGS,
     "get_context($self, /)\n--\n\n"
     "The contextvars.Context it is called in."},
    {"_run", (PyCFunction)handle_run, METH_NOARGS, NULL},
    {NULL},
};

static PyMemberDef handle_members[] = {
    {"_callback", T_OBJECT, offsetof(struct wf_handle, callback), Py_READONLY, NULL},
    {"_loop", T_OBJECT, offsetof(struct wf_handle, loop), Py_READONLY, NULL},
    {"_cancelled", Py_T_BOOL, offsetof(struct wf_handle, cancelled), Py_READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct wf_handle, weakrefs), Py_READONLY, NULL},
    {NULL},
};

static PyGetSetDef handle_getset[] = {
    {"_args", (getter)handle_args, NULL, NULL, NULL},
    {"_context", (getter)get_context, NULL, NULL, NULL},
    {"_source_traceback", (getter)get_source_traceback, NULL, NULL, NULL},
    {"_repr", (getter)get_repr, NULL, NULL, NULL},
    {"__class__", (getter)handle_class, NULL, NULL, NULL},
    {NULL},
};

static PyType_Slot handle_slots[] = {
    {Py_tp_doc, "A callback that loop.call_soon queued; asyncio.Handle in C."},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_traverse, handle_traverse},
    {Py_tp_clear, handle_clear},
    {Py_tp_methods, handle_methods},
    {Py_tp_members, handle_members},
    {Py_tp_getset, handle_getset},
    {0, NULL},
};

static PyType_Spec handle_spec = {
    .name = "weft._core.Handle",
    .basicsize = sizeof(struct wf_handle),
    /* BASETYPE for TimerHandle's sake */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = handle_slots,
};

static PyObject *timer_when(struct wf_timer_handle *t, PyObject *unused) {
    return PyFloat_FromDouble(t->when);
}

static PyObject *timer_scheduled(struct wf_timer_handle *t, void *unused) {
    return PyBool_FromLong(wf_heap_node_linked(&t->node));
}

static Py_hash_t timer_hash(struct wf_timer_handle *t) {
    PyObject *when = PyFloat_FromDouble(t->when);
    if (when == NULL) {
        return -1;
    }
    Py_hash_t hash = PyObject_Hash(when);
    Py_DECREF(when);
    return hash;
}

/* Same time, same call, same fate: 1, 0, or -1 with an exception. */
static int timer_equal(struct wf_timer_handle *a, struct wf_timer_handle *b) {
    if (a->when != b->when || a->h.cancelled != b->h.cancelled || a->h.nargs != b->h.nargs) {
        return 0;
    }
    PyObject *mine[3] = {a->h.callback, a->h.args[0], a->h.args[1]};
    PyObject *other[3] = {b->h.callback, b->h.args[0], b->h.args[1]};
    int equal = 1;
    for (int i = 0; i < 3; i++) {
        Py_XINCREF(mine[i]);
        Py_XINCREF(other[i]);
    }
    for (int i = 0; i < 3 && equal == 1; i++) {
        if (mine[i] == NULL || other[i] == NULL) {
            equal = mine[i] == other[i];
        } else {
            equal = PyObject_RichCompareBool(mine[i], other[i], Py_EQ);
        }
    }
    for (int i = 0; i < 3; i++) {
        Py_XDECREF(mine[i]);
        Py_XDECREF(other[i]);
    }
    return equal;
}

static PyObject *timer_compare(PyObject *self, PyObject *other, int op) {
    if (!Py_IS_TYPE(other, Py_TYPE(self))) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    struct wf_timer_handle *a = (struct wf_timer_handle *)self,
                           *b = (struct wf_timer_handle *)other;
    int holds = 0;
    if (op == Py_LT || op == Py_LE) {
        holds = a->when < b->when;
    } else if (op == Py_GT || op == Py_GE) {
        holds = a->when > b->when;
    }
    if (!holds && op != Py_LT && op != Py_GT) {
        holds = timer_equal(a, b);
        if (holds < 0) {
            return NULL;
        }
        holds = op == Py_NE ? !holds : holds;
    }
    return PyBool_FromLong(holds);
}

static PyMethodDef timer_methods[] = {
    {"when", (PyCFunction)timer_when, METH_NOARGS,
     "when($self, /)\n--\n\n"
     "When it is due, by the clock of the loop, in seconds."},
    {NULL},
};

static PyMemberDef timer_members[] = {
    {"_when", T_DOUBLE, offsetof(struct wf_timer_handle, when), Py_READONLY, NULL},
    {NULL},
};

static PyGetSetDef timer_getset[] = {
    {"_scheduled", (getter)timer_scheduled, NULL, NULL, NULL},
    {NULL},
};

static PyType_Slot timer_slots[] = {
    {Py_tp_doc, "A callback that loop.call_later or call_at scheduled; asyncio.TimerHandle in C."},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_traverse, handle_traverse},
    {Py_tp_clear, handle_clear},
    {Py_tp_hash, timer_hash},
    {Py_tp_richcompare, timer_compare},
    {Py_tp_methods, timer_methods},
    {Py_tp_members, timer_members},
    {Py_tp_getset, timer_getset},
    {0, NULL},
};

static PyType_Spec timer_spec = {
    .name = "weft._core.TimerHandle",
    .basicsize = sizeof(struct wf_timer_handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = timer_slots,
};

/* How a handle prints is asyncio's business, and its functions work on our attributes. */
static int borrow_method(PyTypeObject *type, PyObject *from, const char *name) {
    PyObject *function = PyObject_GetAttrString(from, name);
    if (function == NULL) {
        return -1;
    }
    int rc = PyObject_SetAttrString((PyObject *)type, name, function);
    Py_DECREF(function);
    return rc;
}

int wf_handle_exec(PyObject *module, struct wf_state *state) {
    struct wf_loop_state *s = &state->loop;
    s->handle_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &handle_spec, NULL);
    if (s->handle_type == NULL) {
        return -1;
    }
    s->timer_handle_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &timer_spec, (PyObject *)s->handle_type);
    if (s->timer_handle_type == NULL ||
        borrow_method(s->handle_type, s->asyncio_handle, "__repr__") < 0 ||
        borrow_method(s->handle_type, s->asyncio_handle, "_repr_info") < 0 ||
        borrow_method(s->timer_handle_type, s->asyncio_timer_handle, "_repr_info") < 0 ||
        PyModule_AddType(module, s->handle_type) < 0 ||
        PyModule_AddType(module, s->timer_handle_type) < 0) {
        return -1;
    }
    return 0;
}
