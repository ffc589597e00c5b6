/* _core.Loop: what is native of an asyncio event loop. weft.loop.Loop puts asyncio's own classes
 * behind it for the rest, so a method that is missing here is inherited there. */
#include <errno.h>
#include <time.h>

#include "base/alloc.h"
#include "py/loop/context.h"
#include "py/loop/loop_int.h"

/* ---- birth and death ---- */

static PyObject *loop_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    struct wf_pyloop *l = (struct wf_pyloop *)type->tp_alloc(type, 0);
    if (l == NULL) {
        return NULL;
    }
    wf_heap_init(&l->timers);
    wf_list_init(&l->guests);
    l->ready_fds_tail = &l->ready_fds;
    l->module = Py_XNewRef(PyType_GetModuleByDef(type, &wf_core_module));
    l->state = l->module != NULL ? wf_state_of_module(l->module) : NULL;
    if (l->state != NULL && l->state->loop.timer_handle_type != NULL) {
        l->handle_type = (PyTypeObject *)Py_NewRef(l->state->loop.handle_type);
        l->timer_handle_type = (PyTypeObject *)Py_NewRef(l->state->loop.timer_handle_type);
        l->no_vars = Py_XNewRef(l->state->loop.no_vars);
    } else {
        l->state = NULL;
    }
    int rc = l->state != NULL ? wf_loop_init(&l->reactor, NULL) : 0;
    if (rc < 0) {
        errno = -rc;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    if (l->state == NULL || rc < 0) {
        if (!PyErr_Occurred()) {
            wf_pyloop_gone();
        }
        l->closed = true; /* so that nobody calls it unclosed */
        Py_DECREF(l);
        return NULL;
    }
    l->open = true;
    if (wf_pyloop_look_at_clock(l) < 0) { /* a class that inherits from ours may have its own */
        l->closed = true;
        Py_CLEAR(l);
    }
    return (PyObject *)l;
}

/* Drops everything that waits, and the reactor. Harmless twice. */
static void release(struct wf_pyloop *l) {
    if (!l->open) {
        return;
    }
    l->closed = true; /* what dies here may call us */
    struct wf_list *n;
    while ((n = wf_list_pop(&l->guests)) != NULL) {
        struct wf_guest *g = wf_container_of(n, struct wf_guest, node);
        PyObject *self = g->self; /* owned now */
        g->closing(g);
        Py_DECREF(self);
    }
    wf_fd_release(l);
    struct wf_timer_handle *t;
    while ((t = wf_pyloop_first_timer(l)) != NULL) {
        wf_pyloop_timer_stop(l, t);
    }
    wf_heap_free(&l->timers);
    while (l->ready.len != 0) {
        Py_DECREF(wf_queue_pop(&l->ready));
    }
    l->open = false; /* from here on no spares are kept */
    wf_handle_free_spares(l);
    Py_CLEAR(l->spare_context);
    wf_free(l->ready.slots);
    l->ready = (struct wf_queue){0};
    wf_loop_close(&l->reactor);
}

struct visit {
    visitproc f;
    void *arg;
};

static int visit_timer(struct wf_heap_node *n, void *arg) {
    const struct visit *v = arg;
    struct wf_timer_handle *t = wf_container_of(n, struct wf_timer_handle, node);
    return wf_handle_visit_queued(&t->h, v->f, v->arg);
}

static int loop_traverse(struct wf_pyloop *l, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(l));
    Py_VISIT(l->module);
    Py_VISIT(l->handle_type);
    Py_VISIT(l->timer_handle_type);
    Py_VISIT(l->task_factory);
    Py_VISIT(l->loop_keyword);
    Py_VISIT(l->no_vars);
    Py_VISIT(l->spare_context);
    for (uint32_t i = 0; i < l->ready.len; i++) {
        struct wf_handle *h = l->ready.slots[(l->ready.head + i) & (l->ready.cap - 1)];
        int rc = wf_handle_visit_queued(h, visit, arg);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = l->open ? wf_heap_each(&l->timers, visit_timer, &(struct visit){visit, arg}) : 0;
    if (rc != 0) {
        return rc;
    }
    for (struct wf_list *n = l->guests.next; n != NULL && n != &l->guests; n = n->next) {
        Py_VISIT(wf_container_of(n, struct wf_guest, node)->self);
    }
    return wf_fd_traverse(l, visit, arg);
}

/* The module and the types stay: handles that outlive this may still ask for them. */
static int loop_clear(struct wf_pyloop *l) {
    release(l);
    Py_CLEAR(l->task_factory);
    Py_CLEAR(l->loop_keyword);
    return 0;
}

static void loop_dealloc(struct wf_pyloop *l) {
    PyTypeObject *type = Py_TYPE(l);
    PyObject_GC_UnTrack(l);
    (void)loop_clear(l);
    Py_XDECREF(l->no_vars);
    Py_XDECREF(l->handle_type);
    Py_XDECREF(l->timer_handle_type);
    Py_XDECREF(l->module);
    type->tp_free(l);
    Py_DECREF(type);
}

/* ---- scheduling ---- */

/* The `context=` of call_soon and its kin. Returns it borrowed, NULL where it is not given; *named is
 * set where anything else is given by name. */
static PyObject *context_of(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames, bool *named) {
    *named = false;
    if (wf_likely(kwnames == NULL)) {
        return NULL;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(kwnames);
    PyObject *name = n == 1 ? PyTuple_GET_ITEM(kwnames, 0) : NULL; /* borrowed */
    if (n == 1 && (name == l->state->loop.str_context || /* interned, unless made at run time */
                   PyUnicode_CompareWithASCIIString(name, "context") == 0)) {
        return args[nargs];
    }
    *named = n != 0;
    return NULL;
}

#define BY_KEYWORD(method, name, ...)                                                              \
    wf_pyloop_call_by_keyword(l, method, name, (const char *const[]){__VA_ARGS__, NULL}, true,     \
                              args, nargs, kwnames)

/* Debug mode looks at what is otherwise taken on trust. */
static int check_call(struct wf_pyloop *l, PyObject *callback, const char *method,
                      bool any_thread) {
    PyObject *ok =
        any_thread ? Py_NewRef(Py_None) : PyObject_CallMethod((PyObject *)l, "_check_thread", NULL);
    if (ok != NULL) {
        Py_SETREF(ok,
                  PyObject_CallMethod((PyObject *)l, "_check_callback", "Os", callback, method));
    }
    Py_XDECREF(ok);
    return ok != NULL ? 0 : -1;
}

/* Queues the call; returns the handle, owned. */
static struct wf_handle *queue(struct wf_pyloop *l, PyObject *callback, PyObject *const *args,
                               Py_ssize_t nargs, PyObject *context) {
    struct wf_handle *h = wf_handle_new(l, callback, args, nargs, context);
    if (wf_unlikely(h == NULL)) {
        return NULL;
    }
    if (wf_unlikely(wf_queue_push(&l->ready, h) < 0)) {
        Py_DECREF(h);
        return NULL;
    }
    wf_pyloop_handed_out(l, h);
    return (struct wf_handle *)Py_NewRef(h);
}

static int wrong_arguments(const char *method) {
    PyErr_Format(PyExc_TypeError, "%s() misses a required argument", method);
    return -1;
}

static PyObject *call_soon(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames) {
    bool named;
    PyObject *context = context_of(l, args, nargs, kwnames, &named);
    if (wf_unlikely(named)) {
        return BY_KEYWORD(call_soon, "call_soon", "callback");
    }
    if (wf_unlikely((nargs < 1 && wrong_arguments("call_soon")) || wf_pyloop_check_open(l) < 0)) {
        return NULL;
    }
    if (wf_unlikely(l->debug) && check_call(l, args[0], "call_soon", false) < 0) {
        return NULL;
    }
    return (PyObject *)queue(l, args[0], args + 1, nargs - 1, context);
}

/* PAUSE_NS is longer than it takes a thread to wake up for the GIL, which a mere yield is not. */
enum { PAUSE_EACH = 256 /* callbacks that wait */, PAUSE_NS = 50 * 1000 };

/* A thread that does nothing but call us keeps the GIL until it is asked for it, after 5 ms; with some of them each
 * turn of the loop would find more to do than the last one, and not come to its timers and descriptors. So whoever
 * finds many that wait lets the loop have the GIL, which asyncio's does by writing to its pipe. */
static void let_the_loop_run(const struct wf_pyloop *l) {
    if (l->thread_id != 0 && l->thread_id != PyThread_get_thread_ident()) {
        struct timespec pause = {.tv_nsec = PAUSE_NS};
        Py_BEGIN_ALLOW_THREADS nanosleep(&pause, NULL);
        Py_END_ALLOW_THREADS
    }
}

/* The queue is the GIL's, so any thread may push; only a loop that waits has to be told. */
static PyObject *call_soon_threadsafe(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                                      PyObject *kwnames) {
    bool named;
    PyObject *context = context_of(l, args, nargs, kwnames, &named);
    if (wf_unlikely(named)) {
        return BY_KEYWORD(call_soon_threadsafe, "call_soon_threadsafe", "callback");
    }
    if (wf_unlikely((nargs < 1 && wrong_arguments("call_soon_threadsafe")) ||
                    wf_pyloop_check_open(l) < 0)) {
        return NULL;
    }
    if (wf_unlikely(l->debug) && check_call(l, args[0], "call_soon_threadsafe", true) < 0) {
        return NULL;
    }
    struct wf_handle *h = queue(l, args[0], args + 1, nargs - 1, context);
    if (wf_likely(h != NULL) && wf_pyloop_hands_off(l)) {
        wf_loop_wake(&l->reactor);
    }
    if (wf_unlikely(h != NULL && l->ready.len % PAUSE_EACH == 0)) {
        let_the_loop_run(l);
    }
    return (PyObject *)h;
}

static PyObject *schedule(struct wf_pyloop *l, double when, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *context) {
    struct wf_timer_handle *t = wf_timer_handle_new(l, when, args[0], args + 1, nargs - 1, context);
    if (wf_unlikely(t == NULL)) {
        return NULL;
    }
    if (wf_unlikely(wf_pyloop_timer_start(l, t) < 0)) {
        Py_DECREF(t);
        return NULL;
    }
    wf_pyloop_handed_out(l, &t->h);
    return (PyObject *)t;
}

/* A number of seconds; -1.0 with an exception set. */
static double seconds_of(PyObject *obj, const char *none) {
    if (wf_likely(PyFloat_CheckExact(obj))) {
        return PyFloat_AS_DOUBLE(obj);
    }
    if (PyLong_CheckExact(obj)) {
        return PyLong_AsDouble(obj);
    }
    if (obj == Py_None) {
        PyErr_SetString(PyExc_TypeError, none);
        return -1.0;
    }
    return PyFloat_AsDouble(obj);
}

static double now_s(void) {
    return (double)wf_clock_mono_ns() / 1e9; /* as time.monotonic() computes it */
}

static PyObject *call_later(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames) {
    bool named;
    PyObject *context = context_of(l, args, nargs, kwnames, &named);
    if (wf_unlikely(named)) {
        return BY_KEYWORD(call_later, "call_later", "delay", "callback");
    }
    if (wf_unlikely((nargs < 2 && wrong_arguments("call_later")))) {
        return NULL;
    }
    if (wf_unlikely(l->own_clock)) {
        return wf_pyloop_call_later_by_name(l, args, nargs, context);
    }
    double delay = seconds_of(args[0], "delay must not be None");
    if (wf_unlikely((delay == -1.0 && PyErr_Occurred()) || wf_pyloop_check_open(l) < 0)) {
        return NULL;
    }
    if (wf_unlikely(l->debug) && check_call(l, args[1], "call_later", false) < 0) {
        return NULL;
    }
    return schedule(l, now_s() + delay, args + 1, nargs - 1, context);
}

PyObject *wf_pyloop_call_at(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames) {
    bool named;
    PyObject *context = context_of(l, args, nargs, kwnames, &named);
    if (wf_unlikely(named)) {
        return BY_KEYWORD(wf_pyloop_call_at, "call_at", "when", "callback");
    }
    if (wf_unlikely((nargs < 2 && wrong_arguments("call_at")))) {
        return NULL;
    }
    double when = seconds_of(args[0], "when cannot be None");
    if (wf_unlikely((when == -1.0 && PyErr_Occurred()) || wf_pyloop_check_open(l) < 0)) {
        return NULL;
    }
    if (wf_unlikely(l->debug) && check_call(l, args[1], "call_at", false) < 0) {
        return NULL;
    }
    return schedule(l, when, args + 1, nargs - 1, context);
}

PyObject *wf_pyloop_time(struct wf_pyloop *l, PyObject *unused) {
    return PyFloat_FromDouble(now_s());
}

/* One of ours as it is; asyncio's signal handlers come in as its own Handle objects, which one of
 * ours then runs. Returns 1 with a new reference in *out, 0 where it is cancelled, -1. */
static int handle_for(struct wf_pyloop *l, PyObject *handle, struct wf_handle **out) {
    if (PyObject_TypeCheck(handle, l->state->loop.handle_type)) {
        *out = (struct wf_handle *)Py_NewRef(handle);
        return !(*out)->cancelled;
    }
    PyObject *cancelled = PyObject_CallMethod(handle, "cancelled", NULL);
    int is_cancelled = cancelled != NULL ? PyObject_IsTrue(cancelled) : -1;
    Py_XDECREF(cancelled);
    if (is_cancelled != 0) {
        return is_cancelled < 0 ? -1 : 0;
    }
    PyObject *run = PyObject_GetAttrString(handle, "_run");
    *out = run != NULL ? wf_handle_new(l, run, NULL, 0, NULL) : NULL;
    Py_XDECREF(run);
    return *out != NULL ? 1 : -1;
}

static PyObject *add_callback(struct wf_pyloop *l, PyObject *handle) {
    struct wf_handle *h = NULL;
    int rc = wf_pyloop_check_open(l) < 0 ? -1 : handle_for(l, handle, &h);
    if (rc == 1) {
        rc = wf_queue_push(&l->ready, h);
        h = rc == 0 ? NULL : h; /* the queue's now */
    }
    Py_XDECREF(h);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *write_to_self(struct wf_pyloop *l, PyObject *unused) {
    if (l->open) {
        wf_loop_wake(&l->reactor);
    }
    Py_RETURN_NONE;
}

/* ---- futures and tasks ---- */

static PyObject *create_future(struct wf_pyloop *l, PyObject *unused) {
    PyObject *self = (PyObject *)l;
    if (wf_unlikely(l->state->loop.future_type == NULL)) {
        return wf_pyloop_gone();
    }
    if (wf_likely(l->loop_keyword != NULL)) {
        return PyObject_Call((PyObject *)l->state->loop.future_type, l->state->loop.empty_tuple,
                             l->loop_keyword);
    }
    return PyObject_Vectorcall((PyObject *)l->state->loop.future_type, &self, 0,
                               l->state->loop.kw_loop);
}

enum { TASK_KEYWORDS_MAX = 7 }; /* name, context, eager_start and what a later Python adds */

/* (coro, *, name=None, context=None, ...): keywords go to asyncio.Task as they are, loop= added. A
 * task factory has rules that differ between Pythons, so there asyncio's own method is asked. */
static PyObject *create_task(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames) {
    Py_ssize_t nkw = kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0;
    bool custom = l->task_factory != NULL && l->task_factory != Py_None;
    if (wf_unlikely(custom || nargs != 1 || nkw > TASK_KEYWORDS_MAX)) {
        PyObject *method = PyObject_GetAttrString((PyObject *)l, "_create_task_by_factory");
        if (method == NULL) {
            return NULL;
        }
        PyObject *task = PyObject_Vectorcall(method, args, (size_t)nargs, kwnames);
        Py_DECREF(method);
        return task;
    }
    if (wf_pyloop_check_open(l) < 0) {
        return NULL;
    }
    PyObject *type = (PyObject *)l->state->loop.asyncio_task_type;
    if (wf_unlikely(type == NULL)) {
        return wf_pyloop_gone();
    }
    if (wf_likely(nkw == 0 && l->loop_keyword != NULL)) {
        PyObject *coro = PyTuple_Pack(1, args[0]);
        PyObject *task = coro != NULL ? PyObject_Call(type, coro, l->loop_keyword) : NULL;
        Py_XDECREF(coro);
        return task;
    }
    PyObject *call[2 + TASK_KEYWORDS_MAX] = {args[0]}; /* borrowed */
    if (nkw == 0) {
        call[1] = (PyObject *)l;
        return PyObject_Vectorcall(type, call, 1, l->state->loop.kw_loop);
    }
    PyObject *names = PyTuple_New(nkw + 1);
    if (names == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < nkw; i++) {
        call[1 + i] = args[1 + i];
        PyTuple_SET_ITEM(names, i, Py_NewRef(PyTuple_GET_ITEM(kwnames, i)));
    }
    call[1 + nkw] = (PyObject *)l;
    PyTuple_SET_ITEM(names, nkw, Py_NewRef(PyTuple_GET_ITEM(l->state->loop.kw_loop, 0)));
    PyObject *task = PyObject_Vectorcall(type, call, 1, names);
    Py_DECREF(names);
    return task;
}

/* ---- running ---- */

static PyObject *run_turns(struct wf_pyloop *l, PyObject *unused) {
    return wf_pyloop_check_open(l) < 0 ? NULL : wf_pyloop_run(l);
}

static PyObject *run_once(struct wf_pyloop *l, PyObject *unused) {
    if (wf_pyloop_check_open(l) < 0 || wf_pyloop_turn(l) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *stop(struct wf_pyloop *l, PyObject *unused) {
    l->stopping = true;
    if (wf_pyloop_hands_off(l)) {
        wf_loop_wake(&l->reactor);
    }
    Py_RETURN_NONE;
}

static PyObject *is_running(struct wf_pyloop *l, PyObject *unused) {
    return PyBool_FromLong(l->thread_id != 0);
}

static PyObject *is_closed(struct wf_pyloop *l, PyObject *unused) {
    return PyBool_FromLong(l->closed);
}

static PyObject *get_debug(struct wf_pyloop *l, PyObject *unused) {
    return PyBool_FromLong(l->debug);
}

static PyObject *check_closed(struct wf_pyloop *l, PyObject *unused) {
    if (wf_pyloop_check_open(l) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *release_reactor(struct wf_pyloop *l, PyObject *unused) {
    if (l->thread_id != 0) {
        PyErr_SetString(PyExc_RuntimeError, "Cannot close a running event loop");
        return NULL;
    }
    l->closed = true;
    release(l);
    Py_RETURN_NONE;
}

static PyObject *reactor_name(struct wf_pyloop *l, PyObject *unused) {
    if (wf_pyloop_check_open(l) < 0) {
        return NULL;
    }
    return PyUnicode_FromString(wf_poller_name(l->reactor.poller));
}

static PyObject *copy_contexts(struct wf_pyloop *l, PyObject *unused) {
    Py_CLEAR(l->no_vars);
    Py_RETURN_NONE;
}

/* ---- attributes that asyncio's classes read and write ---- */

static PyObject *get_thread_id(struct wf_pyloop *l, void *unused) {
    return l->thread_id != 0 ? PyLong_FromUnsignedLong(l->thread_id) : Py_NewRef(Py_None);
}

static int set_thread_id(struct wf_pyloop *l, PyObject *value, void *unused) {
    unsigned long id = 0;
    if (value != NULL && value != Py_None) {
        id = PyLong_AsUnsignedLong(value);
        if (id == (unsigned long)-1 && PyErr_Occurred()) {
            return -1;
        }
    }
    l->thread_id = id;
    return 0;
}

static PyObject *get_flag(struct wf_pyloop *l, void *offset) {
    return PyBool_FromLong(*((bool *)l + (size_t)offset));
}

static int set_flag(struct wf_pyloop *l, PyObject *value, void *offset) {
    int truth = value != NULL ? PyObject_IsTrue(value) : 0;
    if (truth < 0) {
        return -1;
    }
    *((bool *)l + (size_t)offset) = truth;
    return 0;
}

/* Copies, for whoever debugs; the queues themselves are not Python's. */
static PyObject *get_ready(struct wf_pyloop *l, void *unused) {
    PyObject *list = PyList_New(l->ready.len);
    for (uint32_t i = 0; list != NULL && i < l->ready.len; i++) {
        struct wf_handle *h = l->ready.slots[(l->ready.head + i) & (l->ready.cap - 1)];
        wf_handle_track(h);
        PyList_SET_ITEM(list, i, Py_NewRef(h));
    }
    return list;
}

static int append_timer(struct wf_heap_node *n, void *list) {
    struct wf_timer_handle *t = wf_container_of(n, struct wf_timer_handle, node);
    wf_handle_track(&t->h);
    return PyList_Append(list, (PyObject *)t);
}

static PyObject *get_scheduled(struct wf_pyloop *l, void *unused) {
    PyObject *list = PyList_New(0);
    if (list != NULL && wf_heap_each(&l->timers, append_timer, list) < 0) {
        Py_CLEAR(list);
    }
    return list;
}

static int set_ignored(struct wf_pyloop *l, PyObject *value, void *unused) {
    return 0; /* BaseEventLoop.__init__ puts an empty queue there */
}

#define FAST(fn) (PyCFunction)(void (*)(void)) fn
#define FLAG(field) (void *)offsetof(struct wf_pyloop, field)

static PyMethodDef loop_methods[] = {
    {"call_soon", FAST(call_soon), METH_FASTCALL | METH_KEYWORDS,
     "call_soon($self, callback, *args, context=None)\n--\n\n"
     "Calls callback(*args) in the next turn, in `context` or a copy of the current one. Returns "
     "its Handle; RuntimeError when the loop is closed."},
    {"call_soon_threadsafe", FAST(call_soon_threadsafe), METH_FASTCALL | METH_KEYWORDS,
     "call_soon_threadsafe($self, callback, *args, context=None)\n--\n\n"
     "call_soon() from any thread, or from a signal handler: wakes the loop."},
    {"call_later", FAST(call_later), METH_FASTCALL | METH_KEYWORDS,
     "call_later($self, delay, callback, *args, context=None)\n--\n\n"
     "Calls callback(*args) in `delay` seconds. Returns its TimerHandle; those of one time are "
     "called in the order they were made."},
    {"call_at", FAST(wf_pyloop_call_at), METH_FASTCALL | METH_KEYWORDS,
     "call_at($self, when, callback, *args, context=None)\n--\n\n"
     "call_later() by the clock of time()."},
    {"time", (PyCFunction)wf_pyloop_time, METH_NOARGS,
     "time($self, /)\n--\n\n"
     "Seconds of a clock that only goes forward, as a float."},
    {"create_future", (PyCFunction)create_future, METH_NOARGS,
     "create_future($self, /)\n--\n\n"
     "An asyncio.Future of this loop."},
    {"create_task", FAST(create_task), METH_FASTCALL | METH_KEYWORDS,
     "create_task($self, coro, *, name=None, context=None)\n--\n\n"
     "Steps a coroutine as an asyncio.Task, or as what the task factory makes. RuntimeError when "
     "the loop is closed."},
    {"stop", (PyCFunction)stop, METH_NOARGS,
     "stop($self, /)\n--\n\n"
     "run_forever() returns at the end of this turn."},
    {"is_running", (PyCFunction)is_running, METH_NOARGS,
     "is_running($self, /)\n--\n\n"
     "Is the loop in run_forever()?"},
    {"is_closed", (PyCFunction)is_closed, METH_NOARGS,
     "is_closed($self, /)\n--\n\n"
     "Was close() called?"},
    {"get_debug", (PyCFunction)get_debug, METH_NOARGS,
     "get_debug($self, /)\n--\n\n"
     "Is debug mode on? See PYTHONASYNCIODEBUG."},
    {"_check_closed", (PyCFunction)check_closed, METH_NOARGS, NULL},
    {"_add_callback", (PyCFunction)add_callback, METH_O, NULL},
    {"_write_to_self", (PyCFunction)write_to_self, METH_NOARGS, NULL},
    {"_run_once", (PyCFunction)run_once, METH_NOARGS, "One turn."},
    {"_run_turns", (PyCFunction)run_turns, METH_NOARGS, "Turns until stop() is called."},
    {"_release", (PyCFunction)release_reactor, METH_NOARGS,
     "Drops all that waits, and closes the reactor."},
    {"_copy_contexts", (PyCFunction)copy_contexts, METH_NOARGS,
     "For tests: from here on, what is done where CPython's contexts are not known."},
    {"_poller", (PyCFunction)reactor_name, METH_NOARGS, "What waits for descriptors: epoll, ..."},
    {NULL},
};

static PyMemberDef loop_members[] = {
    {"_task_factory", T_OBJECT, offsetof(struct wf_pyloop, task_factory), 0, NULL},
    {NULL},
};

static PyGetSetDef loop_getset[] = {
    {"_thread_id", (getter)get_thread_id, (setter)set_thread_id, NULL, NULL},
    {"_debug", (getter)get_flag, (setter)set_flag, NULL, FLAG(debug)},
    {"_closed", (getter)get_flag, (setter)set_flag, NULL, FLAG(closed)},
    {"_stopping", (getter)get_flag, (setter)set_flag, NULL, FLAG(stopping)},
    {"_ready", (getter)get_ready, (setter)set_ignored, NULL, NULL},
    {"_scheduled", (getter)get_scheduled, (setter)set_ignored, NULL, NULL},
    {NULL},
};

static PyType_Slot loop_slots[] = {
    {Py_tp_doc, "The native part of weft.loop.Loop."},
    {Py_tp_new, loop_new},
    {Py_tp_dealloc, loop_dealloc},
    {Py_tp_traverse, loop_traverse},
    {Py_tp_clear, loop_clear},
    {Py_tp_setattro, wf_pyloop_setattr},
    {Py_tp_methods, loop_methods},
    {Py_tp_members, loop_members},
    {Py_tp_getset, loop_getset},
    {0, NULL},
};

static PyType_Spec loop_spec = {
    .name = "weft._core.Loop",
    .basicsize = sizeof(struct wf_pyloop),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = loop_slots,
};

/* ---- what other rooms use ---- */

struct wf_loop *wf_pyloop_reactor(struct wf_state *state, PyObject *loop) {
    if (!PyObject_TypeCheck(loop, state->loop.loop_type)) {
        PyErr_Format(PyExc_TypeError, "a weft event loop is needed, not %.100s; use weft.run()",
                     Py_TYPE(loop)->tp_name);
        return NULL;
    }
    struct wf_pyloop *l = (struct wf_pyloop *)loop;
    return wf_pyloop_check_open(l) < 0 ? NULL : &l->reactor;
}

void wf_pyloop_add_guest(PyObject *loop, struct wf_guest *g) {
    struct wf_pyloop *l = (struct wf_pyloop *)loop;
    WF_ASSERT(l->open);
    wf_list_init(&g->node);
    wf_list_push(&l->guests, &g->node);
    Py_INCREF(g->self);
}

void wf_pyloop_remove_guest(PyObject *loop, struct wf_guest *g) {
    if (wf_list_linked(&g->node)) {
        wf_list_remove(&g->node);
        Py_DECREF(g->self);
    }
}

int wf_pyloop_call_soon(struct wf_state *state, PyObject *loop, PyObject *callback, PyObject *arg,
                        PyObject *context) {
    struct wf_pyloop *l = (struct wf_pyloop *)loop;
    if (wf_pyloop_check_open(l) < 0) {
        return -1;
    }
    struct wf_handle *h = queue(l, callback, &arg, arg != NULL, context);
    Py_XDECREF(h);
    return h != NULL ? 0 : -1;
}

PyObject *wf_pyloop_handle(PyObject *loop, PyObject *callback, PyObject *arg, PyObject *context) {
    struct wf_handle *h = wf_handle_new((struct wf_pyloop *)loop, callback, &arg, 1, context);
    if (h != NULL) {
        wf_handle_track(h);
    }
    return (PyObject *)h;
}

bool wf_pyloop_debug(PyObject *loop) {
    return ((struct wf_pyloop *)loop)->debug;
}

bool wf_pyloop_closed(PyObject *loop) {
    return ((struct wf_pyloop *)loop)->closed;
}

void wf_pyloop_report(PyObject *loop, const char *message, PyObject *exc) {
    PyObject *pending = wf_err_take(), *outer = wf_handling(exc);
    PyObject *done = PyObject_CallMethod(loop, "call_exception_handler", "{sssO}", "message",
                                         message, "exception", exc);
    wf_handled(outer);
    if (done == NULL) {
        PyErr_WriteUnraisable(loop);
    }
    Py_XDECREF(done);
    if (pending != NULL) {
        wf_err_put(pending);
    }
}

/* ---- the module's part ---- */

static PyObject *import_from(const char *module_name, const char *name) {
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *found = module != NULL ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return found;
}

static int add_methods(PyTypeObject *type, PyMethodDef *defs) {
    for (PyMethodDef *def = defs; def->ml_name != NULL; def++) {
        PyObject *method = PyDescr_NewMethod(type, def);
        int rc =
            method != NULL ? PyObject_SetAttrString((PyObject *)type, def->ml_name, method) : -1;
        Py_XDECREF(method);
        if (rc < 0) {
            return -1;
        }
    }
    return 0;
}

int wf_loop_exec(PyObject *module, struct wf_state *state) {
    struct wf_loop_state *s = &state->loop;
    PyObject *asyncio = PyImport_ImportModule("asyncio"); /* before its parts, as it wants */
    if (asyncio == NULL) {
        return -1;
    }
    Py_DECREF(asyncio);
    s->asyncio_handle = import_from("asyncio.events", "Handle");
    s->asyncio_timer_handle = import_from("asyncio.events", "TimerHandle");
#define X(name)                                                                                    \
    if ((s->str_##name = PyUnicode_InternFromString(#name)) == NULL) {                             \
        return -1;                                                                                 \
    }
    WF_LOOP_NAMES(X)
#undef X
    s->sendfile_not_available = import_from("asyncio.exceptions", "SendfileNotAvailableError");
    s->extract_stack = import_from("asyncio.format_helpers", "extract_stack");
    s->format_callback = import_from("asyncio.format_helpers", "_format_callback_source");
    s->future_type = (PyTypeObject *)import_from("_asyncio", "Future");
    s->asyncio_task_type = (PyTypeObject *)import_from("_asyncio", "Task");
    s->kw_loop = Py_BuildValue("(s)", "loop");
    s->kw_debug = Py_BuildValue("(s)", "debug");
    s->empty_tuple = PyTuple_New(0);
    if (s->asyncio_handle == NULL || s->asyncio_timer_handle == NULL || s->extract_stack == NULL ||
        s->format_callback == NULL || s->future_type == NULL || s->asyncio_task_type == NULL ||
        s->kw_loop == NULL || s->sendfile_not_available == NULL || s->kw_debug == NULL ||
        s->empty_tuple == NULL || wf_context_probe(&s->no_vars) < 0 ||
        wf_handle_exec(module, state) < 0 || wf_operation_exec(module, state) < 0) {
        return -1;
    }
    s->loop_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &loop_spec, NULL);
    if (s->loop_type == NULL) {
        return -1;
    }
    if (add_methods(s->loop_type, wf_fd_methods) < 0 ||
        add_methods(s->loop_type, wf_operation_methods) < 0) {
        return -1;
    }
    return PyModule_AddType(module, s->loop_type);
}

int wf_loop_traverse(struct wf_loop_state *s, visitproc visit, void *arg) {
    Py_VISIT(s->loop_type);
    Py_VISIT(s->handle_type);
    Py_VISIT(s->timer_handle_type);
    Py_VISIT(s->operation_type);
    Py_VISIT(s->operation_ready);
    Py_VISIT(s->sendfile_not_available);
    Py_VISIT(s->asyncio_handle);
    Py_VISIT(s->asyncio_timer_handle);
    Py_VISIT(s->future_type);
    Py_VISIT(s->asyncio_task_type);
    Py_VISIT(s->extract_stack);
    Py_VISIT(s->format_callback);
    Py_VISIT(s->no_vars);
    return 0;
}

void wf_loop_clear(struct wf_loop_state *s) {
    Py_CLEAR(s->loop_type);
    Py_CLEAR(s->handle_type);
    Py_CLEAR(s->timer_handle_type);
    Py_CLEAR(s->operation_type);
    Py_CLEAR(s->operation_ready);
    Py_CLEAR(s->sendfile_not_available);
    Py_CLEAR(s->asyncio_handle);
    Py_CLEAR(s->asyncio_timer_handle);
    Py_CLEAR(s->future_type);
    Py_CLEAR(s->asyncio_task_type);
    Py_CLEAR(s->extract_stack);
    Py_CLEAR(s->format_callback);
    Py_CLEAR(s->kw_loop);
    Py_CLEAR(s->kw_debug);
    Py_CLEAR(s->empty_tuple);
    Py_CLEAR(s->no_vars);
#define X(name) Py_CLEAR(s->str_##name);
    WF_LOOP_NAMES(X)
#undef X
}
