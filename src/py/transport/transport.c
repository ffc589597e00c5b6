/* What every transport is: how it begins, and its dealings with the loop and the protocol. */
#include "py/transport/transport_int.h"

/* ---- birth ---- */

/* getsockname or getpeername as Python's socket has them; None where the kernel has none. */
static PyObject *name_of(PyObject *sock, PyObject *method) {
    PyObject *name = PyObject_CallMethodNoArgs(sock, method);
    if (name == NULL && PyErr_ExceptionMatches(PyExc_OSError)) {
        PyErr_Clear();
        return Py_NewRef(Py_None);
    }
    return name;
}

static int put_name(struct wf_transport *t, PyObject *key, PyObject *method) {
    PyObject *name = name_of(t->sock, method);
    int rc = name != NULL ? PyDict_SetItem(t->extra, key, name) : -1;
    Py_XDECREF(name);
    return rc;
}

static int fill_extra(struct wf_transport *t, PyObject *extra) {
    struct wf_transport_state *s = &t->state->transport;
    t->extra = extra != NULL && extra != Py_None ? PyDict_Copy(extra) : PyDict_New();
    if (t->extra == NULL) {
        return -1;
    }
    if (t->sock == NULL) { /* `extra` has the peer's name; our own is asked for when it is needed */
        return 0;
    }
    if (put_name(t, s->str_sockname, s->str_getsockname) < 0) {
        return -1;
    }
    int known = PyDict_Contains(t->extra, s->str_peername);
    return known != 0 ? (known < 0 ? -1 : 0) : put_name(t, s->str_peername, s->str_getpeername);
}

int wf_transport_tell_server(struct wf_transport *t, PyObject *server, PyObject *method) {
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *done = PyObject_CallMethodOneArg(server, method, (PyObject *)t);
#else
    PyObject *done = PyObject_CallMethodNoArgs(server, method);
#endif
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

/* Who makes a connection hears here, as with asyncio, of a factory that forgot its return: 0, or -1 with an
 * AttributeError. */
static int is_protocol(struct wf_transport *t) {
    PyObject *made = PyObject_GetAttr(t->protocol, t->state->transport.str_connection_made);
    Py_XDECREF(made);
    return made != NULL ? 0 : -1;
}

int wf_transport_init(struct wf_transport *t, struct wf_state *state, PyObject *loop,
                      PyObject *protocol, PyObject *sock, int fd, PyObject *extra,
                      PyObject *server) {
    struct wf_transport_state *s = &state->transport;
    t->state = state;
    t->fd = fd;
    t->high_water = (size_t)64 * 1024;
    t->low_water = t->high_water / 4;
    t->loop = Py_NewRef(loop);
    t->protocol = Py_NewRef(protocol);
    t->sock = Py_XNewRef(sock);
    t->context = PyContext_CopyCurrent();
    if (t->context == NULL || fill_extra(t, extra) < 0 || is_protocol(t) < 0) {
        return -1;
    }
    int rc = wf_pyloop_own_fd(loop, fd, (PyObject *)t);
    if (rc == 0 && server != NULL && server != Py_None) {
        rc = wf_transport_tell_server(t, server, s->str__attach);
        if (rc == 0) {
            t->server = Py_NewRef(server);
        }
    }
    t->fd_open = rc == 0;
    return rc;
}

/* ---- the loop ---- */

int wf_transport_call_soon(struct wf_transport *t, PyObject *fn, PyObject *context) {
    if (wf_unlikely(fn == NULL || t->loop == NULL)) {
        wf_transport_gone();
        return -1;
    }
    return wf_pyloop_call_soon(t->state, t->loop, fn, (PyObject *)t, context);
}

static int watch(struct wf_transport *t, PyObject **handle, PyObject *fn, unsigned way) {
    if (wf_unlikely(fn == NULL || t->loop == NULL)) {
        wf_transport_gone();
        return -1;
    }
    if (*handle == NULL) {
        *handle = wf_pyloop_handle(t->loop, fn, (PyObject *)t, t->context);
        if (*handle == NULL) {
            return -1;
        }
    }
    return wf_pyloop_watch(t->loop, t->fd, way, *handle);
}

int wf_transport_watch_read(struct wf_transport *t) {
    if (!t->watching_read) {
        if (watch(t, &t->read_handle, t->state->transport.fn_read[t->kind], WF_READ) < 0) {
            return -1;
        }
        t->watching_read = true;
    }
    return 0;
}

int wf_transport_watch_write(struct wf_transport *t) {
    if (!t->watching_write) {
        if (watch(t, &t->write_handle, t->state->transport.fn_write[t->kind], WF_WRITE) < 0) {
            return -1;
        }
        t->watching_write = true;
    }
    return 0;
}

void wf_transport_unwatch_read(struct wf_transport *t) {
    if (t->watching_read) {
        t->watching_read = false;
        wf_pyloop_unwatch(t->loop, t->fd, WF_READ);
    }
}

void wf_transport_unwatch_write(struct wf_transport *t) {
    if (t->watching_write) {
        t->watching_write = false;
        wf_pyloop_unwatch(t->loop, t->fd, WF_WRITE);
    }
}

int wf_transport_debug(struct wf_transport *t, const char *format) {
    if (wf_likely(t->loop == NULL || !wf_pyloop_debug(t->loop))) {
        return 0;
    }
    PyObject *done =
        PyObject_CallMethod(t->state->transport.logger, "debug", "sO", format, (PyObject *)t);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

int wf_transport_report(struct wf_transport *t, const char *message, PyObject *exc) {
    if (t->loop == NULL) {
        return 0;
    }
    PyObject *context =
        Py_BuildValue("{sssOsOsO}", "message", message, "exception", exc, "transport",
                      (PyObject *)t, "protocol", t->protocol != NULL ? t->protocol : Py_None);
    PyObject *outer = wf_handling(exc);
    PyObject *done = context != NULL
                         ? PyObject_CallMethodOneArg(
                               t->loop, t->state->transport.str_call_exception_handler, context)
                         : NULL;
    wf_handled(outer);
    Py_XDECREF(context);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

/* ---- the protocol ---- */

PyObject *wf_transport_call(struct wf_transport *t, PyObject *name, PyObject *arg) {
    if (wf_unlikely(name == NULL || t->protocol == NULL)) {
        return wf_transport_gone();
    }
    PyObject *args[2] = {Py_NewRef(t->protocol), arg}; /* it may replace itself */
    PyObject *result = PyObject_VectorcallMethod(name, args, arg != NULL ? 2 : 1, NULL);
    Py_DECREF(args[0]);
    return result;
}

/* pause_writing() and resume_writing(): a failure is reported, and that is all. */
static int tell_protocol(struct wf_transport *t, PyObject *method, const char *message) {
    PyObject *done = wf_transport_call(t, method, NULL);
    if (wf_likely(done != NULL)) {
        Py_DECREF(done);
        return 0;
    }
    if (wf_transport_ends_loop()) {
        return -1;
    }
    PyObject *exc = wf_err_take();
    int rc = wf_transport_report(t, message, exc);
    Py_DECREF(exc);
    return rc;
}

int wf_transport_maybe_pause(struct wf_transport *t) {
    if (wf_likely(t->out.size <= t->high_water) || t->protocol_paused || t->protocol == NULL) {
        return 0;
    }
    t->protocol_paused = true;
    return tell_protocol(t, t->state->transport.str_pause_writing,
                         "protocol.pause_writing() failed");
}

int wf_transport_maybe_resume(struct wf_transport *t) {
    if (wf_likely(!t->protocol_paused) || t->out.size > t->low_water || t->protocol == NULL) {
        return 0;
    }
    t->protocol_paused = false;
    return tell_protocol(t, t->state->transport.str_resume_writing,
                         "protocol.resume_writing() failed");
}

/* ---- the beginning ---- */

/* futures._set_result_unless_cancelled */
static int wake_waiter(struct wf_transport *t) {
    PyObject *waiter = t->waiter;
    if (waiter == NULL) {
        return 0;
    }
    t->waiter = NULL;
    PyObject *cancelled = PyObject_CallMethod(waiter, "cancelled", NULL);
    int rc = cancelled != NULL ? PyObject_IsTrue(cancelled) : -1;
    Py_XDECREF(cancelled);
    if (rc == 0) {
        PyObject *done = PyObject_CallMethod(waiter, "set_result", "O", Py_None);
        Py_XDECREF(done);
        rc = done != NULL ? 0 : -1;
    }
    Py_DECREF(waiter);
    return rc < 0 ? -1 : 0;
}

/* A connection_made() that fails is reported, as any callback, and the connection goes on. */
static int tell_made(struct wf_transport *t) {
    PyObject *made = wf_transport_call(t, t->state->transport.str_connection_made, (PyObject *)t);
    if (wf_likely(made != NULL)) {
        Py_DECREF(made);
        return 0;
    }
    if (wf_transport_ends_loop()) {
        return -1;
    }
    PyObject *exc = wf_err_take();
    int rc = wf_transport_report(t, "Exception in callback connection_made()", exc);
    Py_DECREF(exc);
    return rc;
}

/* A descriptor that cannot be watched (EPERM for a file, ENOSPC where the user has no more watches) is reported
 * as well: who waits for the connection is told in any case. */
static int begin_reading(struct wf_transport *t) {
    if (t->closing || t->paused || wf_likely(wf_transport_watch_read(t) == 0)) {
        return 0;
    }
    if (wf_transport_ends_loop()) {
        return -1;
    }
    PyObject *exc = wf_err_take();
    int rc = wf_transport_report(t, "Exception in callback _add_reader()", exc);
    Py_DECREF(exc);
    return rc;
}

/* Does fn(t) whatever has failed before. *failed (owned, or NULL) is the first that ends the loop. */
static void and_then(struct wf_transport *t, int (*fn)(struct wf_transport *t), PyObject **failed) {
    if (fn(t) < 0) {
        PyObject *exc = wf_err_take();
        if (*failed == NULL) {
            *failed = exc;
        } else {
            Py_DECREF(exc);
        }
    }
}

int wf_transport_begin(struct wf_transport *t) {
    PyObject *failed = NULL;
    and_then(t, tell_made, &failed);
    and_then(t, begin_reading, &failed);
    and_then(t, wake_waiter, &failed);
    if (failed != NULL) {
        wf_err_put(failed);
        return -1;
    }
    return 0;
}
