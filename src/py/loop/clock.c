/* A clock of the program's own: asyncio asks loop.time() for every time it needs, and call_later() asks
 * loop.call_at(), so tests replace them, on a loop or in a class that inherits from it.
 *
 * While nobody does, the clock is the reactor's, which is monotonic. While somebody does, each turn asks
 * time() before and after its wait. */
#include "py/loop/loop_int.h"

/* As asyncio's: a wait is never longer, whatever the clock says. */
enum { WAIT_S_MAX = 24 * 3600 };
/* time.get_clock_info("monotonic").resolution; what is due in less is due. */
static const double RESOLUTION_S = 1e-9;

/* Is the attribute still the method of C? 1, 0, or -1 with an exception. */
static int is_native(struct wf_pyloop *l, PyObject *name, PyCFunction method) {
    PyObject *found = PyObject_GetAttr((PyObject *)l, name);
    int native = found == NULL
                     ? -1
                     : PyCFunction_Check(found) && PyCFunction_GET_FUNCTION(found) == method &&
                           PyCFunction_GET_SELF(found) == (PyObject *)l;
    Py_XDECREF(found);
    return native;
}

int wf_pyloop_look_at_clock(struct wf_pyloop *l) {
    struct wf_loop_state *s = &l->state->loop;
    if (wf_unlikely(s->str_time == NULL)) {
        wf_pyloop_gone();
        return -1;
    }
    int time = is_native(l, s->str_time, (PyCFunction)wf_pyloop_time);
    int call_at = time >= 0
                      ? is_native(l, s->str_call_at, (PyCFunction)(void (*)(void))wf_pyloop_call_at)
                      : -1;
    if (call_at < 0) {
        return -1;
    }
    l->own_clock = !time || !call_at;
    l->due_before = 0; /* by another clock: what is due still waits for the next turn */
    return 0;
}

int wf_pyloop_setattr(PyObject *self, PyObject *name, PyObject *value) {
    struct wf_pyloop *l = (struct wf_pyloop *)self;
    int rc = PyObject_GenericSetAttr(self, name, value);
    /* PyObject_SetAttr() has interned the name */
    if (rc == 0 && l->state != NULL &&
        (name == l->state->loop.str_time || name == l->state->loop.str_call_at)) {
        rc = wf_pyloop_look_at_clock(l);
    }
    return rc;
}

PyObject *wf_pyloop_call_later_by_name(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                                       PyObject *context) {
    struct wf_loop_state *s = &l->state->loop;
    if (args[0] == Py_None) {
        PyErr_SetString(PyExc_TypeError, "delay must not be None");
        return NULL;
    }
    PyObject *now = PyObject_CallMethodNoArgs((PyObject *)l, s->str_time);
    PyObject *when = now != NULL ? PyNumber_Add(now, args[0]) : NULL;
    PyObject *call_at = when != NULL ? PyObject_GetAttr((PyObject *)l, s->str_call_at) : NULL;
    PyObject *positional = call_at != NULL ? PyTuple_New(nargs) : NULL;
    PyObject *keywords = positional != NULL ? Py_BuildValue("{OO}", s->str_context,
                                                            context != NULL ? context : Py_None)
                                            : NULL;
    PyObject *handle = NULL;
    if (keywords != NULL) {
        PyTuple_SET_ITEM(positional, 0, Py_NewRef(when));
        for (Py_ssize_t i = 1; i < nargs; i++) {
            PyTuple_SET_ITEM(positional, i, Py_NewRef(args[i]));
        }
        handle = PyObject_Call(call_at, positional, keywords);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(positional);
    Py_XDECREF(call_at);
    Py_XDECREF(when);
    Py_XDECREF(now);
    return handle;
}

/* ---- in a turn ---- */

int wf_pyloop_ask_clock(struct wf_pyloop *l, double *now) {
    PyObject *said = PyObject_CallMethodNoArgs((PyObject *)l, l->state->loop.str_time);
    *now = said != NULL ? PyFloat_AsDouble(said) : -1.0;
    Py_XDECREF(said);
    return *now == -1.0 && PyErr_Occurred() ? -1 : 0;
}

int64_t wf_pyloop_clock_wait(const struct wf_timer_handle *t, double now) {
    double wait = t->when - now; /* rounded up to what a poller counts in by the poller */
    return !(wait > 0) ? 0 : (int64_t)(WF_MIN(wait, (double)WAIT_S_MAX) * 1e9);
}

int wf_pyloop_clock_after(struct wf_pyloop *l) {
    double now;
    if (wf_pyloop_ask_clock(l, &now) < 0) {
        return -1;
    }
    l->due_before = wf_timer_key(now + RESOLUTION_S);
    return 0;
}
