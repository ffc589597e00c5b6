/* TLS: how a connection begins and ends, step by step as asyncio's SSLProtocol takes them.
 *
 *   UNWRAPPED ─connection_made─▶ DO_HANDSHAKE ─done─▶ WRAPPED ─close(), close_notify, EOF─▶ FLUSHING
 *       ▲                                                                                     │
 *       └──── from anywhere: a failure, abort(), connection_lost ────────── SHUTDOWN ◀─read up─┘
 *
 * What asks the loop (time, timers, callbacks) and the SSLObject goes by their methods' names: either
 * may be of a class of the program's own. */
#include "py/transport/tls_int.h"

/* ---- small things ---- */

static int done(PyObject *result) { /* stolen */
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

static int gone(void) {
    return wf_transport_gone() == NULL ? -1 : 0;
}

static int set_state(struct wf_tls *p, PyObject *to) {
    struct wf_transport_state *st = &p->state->transport;
    bool allowed = to == st->tls_unwrapped ||
                   (p->at == st->tls_unwrapped && to == st->tls_do_handshake) ||
                   (p->at == st->tls_do_handshake && to == st->tls_wrapped) ||
                   (p->at == st->tls_wrapped && to == st->tls_flushing) ||
                   (p->at == st->tls_flushing && to == st->tls_shutdown);
    if (!allowed) {
        PyErr_Format(PyExc_RuntimeError, "cannot switch state from %S to %S",
                     p->at != NULL ? p->at : Py_None, to);
        return -1;
    }
    Py_XSETREF(p->at, Py_NewRef(to));
    return 0;
}

/* 1, 0, or -1 with an exception. */
static int debugged(struct wf_tls *p) {
    PyObject *debug = p->loop != NULL
                          ? PyObject_CallMethodNoArgs(p->loop, p->state->transport.str_get_debug)
                          : wf_transport_gone();
    int truth = debug != NULL ? PyObject_IsTrue(debug) : -1;
    Py_XDECREF(debug);
    return truth;
}

static int log_debug(struct wf_tls *p, const char *format) {
    return done(PyObject_CallMethod(p->state->transport.logger, "debug", "sO", format, p));
}

static int fatal(struct wf_tls *p, PyObject *exc, const char *message) {
    return done(PyObject_CallMethod((PyObject *)p, "_fatal_error", "Os", exc, message));
}

/* asyncio's own where none is said. */
#define FATAL_ON_TRANSPORT "Fatal error on transport"

/* loop.call_later(self.<seconds>, self.<method>) */
static int start_timer(struct wf_tls *p, PyObject **handle, PyObject *seconds, PyObject *method) {
    PyObject *delay = PyObject_GetAttr((PyObject *)p, seconds);
    PyObject *callback = delay != NULL ? PyObject_GetAttr((PyObject *)p, method) : NULL;
    PyObject *args[] = {p->loop, delay, callback};
    PyObject *timer =
        callback != NULL
            ? PyObject_VectorcallMethod(p->state->transport.str_call_later, args, 3, NULL)
            : NULL;
    Py_XDECREF(callback);
    Py_XDECREF(delay);
    if (timer == NULL) {
        return -1;
    }
    Py_XSETREF(*handle, timer);
    return 0;
}

static int drop_timer(struct wf_tls *p, PyObject **handle) {
    int rc = 0;
    if (*handle != NULL) {
        rc = done(PyObject_CallMethodNoArgs(*handle, p->state->transport.str_cancel));
        Py_CLEAR(*handle);
    }
    return rc;
}

/* exc  borrowed; NULL or None where all is well */
static int wake_waiter(struct wf_tls *p, PyObject *exc) {
    struct wf_transport_state *st = &p->state->transport;
    if (p->waiter == NULL) {
        return 0;
    }
    PyObject *waiter = Py_NewRef(p->waiter);
    PyObject *cancelled = PyObject_CallMethodNoArgs(waiter, st->str_cancelled);
    int rc = cancelled != NULL ? PyObject_IsTrue(cancelled) : -1;
    Py_XDECREF(cancelled);
    if (rc == 0) {
        bool failed = exc != NULL && exc != Py_None;
        rc = done(failed ? PyObject_CallMethodOneArg(waiter, st->str_set_exception, exc)
                         : PyObject_CallMethodOneArg(waiter, st->str_set_result, Py_None));
    }
    Py_DECREF(waiter);
    if (rc < 0) {
        return -1;
    }
    Py_CLEAR(p->waiter);
    return 0;
}

static int close_app_transport(struct wf_tls *p) {
    return p->app_transport == NULL
               ? 0
               : PyObject_SetAttr(p->app_transport, p->state->transport.str__closed, Py_True);
}

/* sslobj.name(): new reference, or NULL with an exception. */
static PyObject *ask(struct wf_tls *p, PyObject *name) {
    return p->sslobj != NULL ? PyObject_CallMethodNoArgs(p->sslobj, name) : wf_transport_gone();
}

static bool is_ssl_error(struct wf_tls *p) {
    PyObject *kind = p->state->transport.ssl_error;
    return kind != NULL && PyErr_ExceptionMatches(kind);
}

/* ---- the handshake ---- */

/* What could be known only now: get_extra_info() of the application's transport. peercert borrowed. */
static int add_extra(struct wf_tls *p, PyObject *peercert) {
    struct wf_transport_state *st = &p->state->transport;
    PyObject *cipher = p->extra != NULL ? ask(p, st->str_cipher) : wf_transport_gone();
    PyObject *compression = cipher != NULL ? ask(p, st->str_compression) : NULL;
    int rc = compression == NULL || PyObject_SetItem(p->extra, st->str_peercert, peercert) < 0 ||
                     PyObject_SetItem(p->extra, st->str_cipher, cipher) < 0 ||
                     PyObject_SetItem(p->extra, st->str_compression, compression) < 0 ||
                     PyObject_SetItem(p->extra, st->str_ssl_object, p->sslobj) < 0
                 ? -1
                 : 0;
    Py_XDECREF(compression);
    Py_XDECREF(cipher);
    return rc;
}

static int log_handshake(struct wf_tls *p) {
    PyObject *now = PyObject_CallMethodNoArgs(p->loop, p->state->transport.str_time);
    PyObject *start = p->handshake_start_time != NULL ? p->handshake_start_time : Py_None;
    PyObject *took = now != NULL ? PyNumber_Subtract(now, start) : NULL;
    double seconds = took != NULL ? PyFloat_AsDouble(took) : -1;
    Py_XDECREF(took);
    Py_XDECREF(now);
    if (seconds == -1 && PyErr_Occurred()) {
        return -1;
    }
    return done(PyObject_CallMethod(p->state->transport.logger, "debug", "sOd",
                                    "%r: SSL handshake took %.1f ms", p, seconds * 1e3));
}

/* The raised exception, if it is an Exception, ends the connection. */
static int handshake_failed(struct wf_tls *p) {
    struct wf_transport_state *st = &p->state->transport;
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    bool certificate =
        st->certificate_error != NULL && PyErr_ExceptionMatches(st->certificate_error);
    PyObject *exc = wf_err_take();
    int rc = set_state(p, st->tls_unwrapped);
    if (rc == 0) {
        rc = fatal(p, exc,
                   certificate ? "SSL handshake failed on verifying the certificate"
                               : "SSL handshake failed");
    }
    if (rc == 0) {
        rc = wake_waiter(p, exc);
    }
    Py_DECREF(exc);
    return rc;
}

static int connection_made(struct wf_tls *p) {
    struct wf_transport_state *st = &p->state->transport;
    if (p->app_state != st->app_init) {
        return 0;
    }
    Py_XSETREF(p->app_state, Py_NewRef(st->app_made));
    PyObject *transport = PyObject_CallMethodNoArgs((PyObject *)p, st->str__get_app_transport);
    PyObject *protocol = Py_NewRef(p->app_protocol != NULL ? p->app_protocol : Py_None);
    int rc = transport != NULL
                 ? done(PyObject_CallMethodOneArg(protocol, st->str_connection_made, transport))
                 : -1;
    Py_DECREF(protocol);
    Py_XDECREF(transport);
    return rc;
}

/* exc  borrowed: an exception or its class; None or NULL where it went well */
static int handshake_complete(struct wf_tls *p, PyObject *exc) {
    struct wf_transport_state *st = &p->state->transport;
    if (drop_timer(p, &p->handshake_timeout_handle) < 0) {
        return -1;
    }
    PyObject *peercert = NULL;
    if (exc != NULL && exc != Py_None) {
        if (PyExceptionClass_Check(exc)) {
            PyErr_SetNone(exc);
        } else {
            PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
        }
    } else if (set_state(p, st->tls_wrapped) == 0) {
        peercert = ask(p, st->str_getpeercert);
    }
    if (peercert == NULL) {
        return handshake_failed(p);
    }
    int debug = debugged(p);
    int rc = debug < 0 || (debug && log_handshake(p) < 0) ? -1 : add_extra(p, peercert);
    Py_DECREF(peercert);
    if (rc < 0 || connection_made(p) < 0 || wake_waiter(p, NULL) < 0) {
        return -1;
    }
    return wf_tls_read(p);
}

int wf_tls_do_handshake(struct wf_tls *p) {
    PyObject *shaken = ask(p, p->state->transport.str_do_handshake);
    if (shaken != NULL) {
        Py_DECREF(shaken);
        return handshake_complete(p, NULL);
    }
    if (wf_tls_again(p)) {
        return wf_tls_send(p);
    }
    if (!is_ssl_error(p)) {
        return -1;
    }
    PyObject *exc = wf_err_take();
    int rc = handshake_complete(p, exc);
    Py_DECREF(exc);
    return rc;
}

static int start_handshake(struct wf_tls *p) {
    struct wf_transport_state *st = &p->state->transport;
    int debug = debugged(p);
    if (debug < 0 || (debug && log_debug(p, "%r starts SSL handshake") < 0)) {
        return -1;
    }
    Py_CLEAR(p->handshake_start_time);
    if (debug) {
        p->handshake_start_time = PyObject_CallMethodNoArgs(p->loop, st->str_time);
        if (p->handshake_start_time == NULL) {
            return -1;
        }
    }
    if (set_state(p, st->tls_do_handshake) < 0 ||
        start_timer(p, &p->handshake_timeout_handle, st->str__ssl_handshake_timeout,
                    st->str__check_handshake_timeout) < 0) {
        return -1;
    }
    return wf_tls_do_handshake(p);
}

static int check_handshake_timeout(struct wf_tls *p) {
    struct wf_transport_state *st = &p->state->transport;
    if (p->at != st->tls_do_handshake) {
        return 0;
    }
    PyObject *seconds = PyObject_GetAttr((PyObject *)p, st->str__ssl_handshake_timeout);
    PyObject *message =
        seconds != NULL
            ? PyUnicode_FromFormat(
                  "SSL handshake is taking longer than %S seconds: aborting the connection",
                  seconds)
            : NULL;
    PyObject *exc =
        message != NULL ? PyObject_CallOneArg(PyExc_ConnectionAbortedError, message) : NULL;
    int rc = exc != NULL ? fatal(p, exc, FATAL_ON_TRANSPORT) : -1;
    Py_XDECREF(exc);
    Py_XDECREF(message);
    Py_XDECREF(seconds);
    return rc;
}

/* ---- the end ---- */

int wf_tls_tell_eof(struct wf_tls *p) {
    struct wf_transport_state *st = &p->state->transport;
    if (p->app_state != st->app_made) {
        return 0;
    }
    Py_XSETREF(p->app_state, Py_NewRef(st->app_eof));
    PyObject *protocol = Py_NewRef(p->app_protocol != NULL ? p->app_protocol : Py_None);
    PyObject *keep = PyObject_CallMethodNoArgs(protocol, st->str_eof_received);
    int open = keep != NULL ? PyObject_IsTrue(keep) : -1;
    Py_XDECREF(keep);
    Py_DECREF(protocol);
    if (open > 0) {
        open = done(
            PyObject_CallMethod(st->logger, "warning", "s",
                                "returning true from eof_received() has no effect when using ssl"));
    }
    if (open >= 0) {
        return 0;
    }
    if (wf_transport_ends_loop()) {
        return -1;
    }
    PyObject *exc = wf_err_take();
    int rc = fatal(p, exc, "Error calling eof_received()");
    Py_DECREF(exc);
    return rc;
}

/* exc  borrowed; None or NULL where it went well */
static int shutdown_complete(struct wf_tls *p, PyObject *exc) {
    struct wf_transport_state *st = &p->state->transport;
    if (drop_timer(p, &p->shutdown_timeout_handle) < 0) {
        return -1;
    }
    if (exc != NULL && exc != Py_None) {
        return fatal(p, exc, FATAL_ON_TRANSPORT);
    }
    if (p->loop == NULL) {
        return gone();
    }
    PyObject *transport = p->transport != NULL ? p->transport : Py_None; /* which has no close() */
    PyObject *callback = PyObject_GetAttr(transport, st->str_close);
    int rc = callback != NULL
                 ? done(PyObject_CallMethodOneArg(p->loop, st->str_call_soon, callback))
                 : -1;
    Py_XDECREF(callback);
    return rc;
}

int wf_tls_do_shutdown(struct wf_tls *p) {
    PyObject *socket =
        p->eof_received ? Py_NewRef(Py_None) : ask(p, p->state->transport.str_unwrap);
    if (socket != NULL) {
        Py_DECREF(socket);
        return wf_tls_send(p) < 0 || wf_tls_tell_eof(p) < 0 ? -1 : shutdown_complete(p, NULL);
    }
    if (wf_tls_again(p)) {
        return wf_tls_send(p);
    }
    if (!is_ssl_error(p)) {
        return -1;
    }
    PyObject *exc = wf_err_take();
    int rc = shutdown_complete(p, exc);
    Py_DECREF(exc);
    return rc;
}

int wf_tls_do_flush(struct wf_tls *p) {
    return wf_tls_read(p) < 0 || set_state(p, p->state->transport.tls_shutdown) < 0
               ? -1
               : wf_tls_do_shutdown(p);
}

int wf_tls_start_shutdown(struct wf_tls *p) {
    struct wf_transport_state *st = &p->state->transport;
    if (p->at != st->tls_do_handshake && p->at != st->tls_wrapped) {
        return 0;
    }
    if (close_app_transport(p) < 0) {
        return -1;
    }
    if (p->at == st->tls_do_handshake) { /* nothing to take leave of */
        if (set_state(p, st->tls_unwrapped) < 0) {
            return -1;
        }
        return p->transport == NULL ? 0 : done(PyObject_CallMethod(p->transport, "abort", NULL));
    }
    if (p->loop == NULL) {
        return gone();
    }
    if (set_state(p, st->tls_flushing) < 0 ||
        start_timer(p, &p->shutdown_timeout_handle, st->str__ssl_shutdown_timeout,
                    st->str__check_shutdown_timeout) < 0) {
        return -1;
    }
    return wf_tls_do_flush(p);
}

static int check_shutdown_timeout(struct wf_tls *p) {
    struct wf_transport_state *st = &p->state->transport;
    if (p->at != st->tls_flushing && p->at != st->tls_shutdown) {
        return 0;
    }
    PyObject *exc = PyObject_CallFunction(PyExc_TimeoutError, "s", "SSL shutdown timed out");
    PyObject *transport = Py_NewRef(p->transport != NULL ? p->transport : Py_None);
    int rc = exc != NULL ? done(PyObject_CallMethod(transport, "_force_close", "O", exc)) : -1;
    Py_DECREF(transport);
    Py_XDECREF(exc);
    return rc;
}

/* ---- what the transport below tells ---- */

static int eof_in_state(struct wf_tls *p, bool *keep_open) {
    struct wf_transport_state *st = &p->state->transport;
    int debug = debugged(p);
    if (debug < 0 || (debug && log_debug(p, "%r received EOF") < 0)) {
        return -1;
    }
    if (p->at == st->tls_do_handshake) {
        return handshake_complete(p, PyExc_ConnectionResetError);
    }
    if (p->at == st->tls_wrapped) {
        if (set_state(p, st->tls_flushing) < 0) {
            return -1;
        }
        *keep_open = p->app_reading_paused;
        return *keep_open ? 0 : wf_tls_do_flush(p);
    }
    if (p->at == st->tls_flushing) {
        return wf_tls_call(p, st->str__do_write, NULL) < 0 || set_state(p, st->tls_shutdown) < 0
                   ? -1
                   : wf_tls_do_shutdown(p);
    }
    return p->at == st->tls_shutdown ? wf_tls_do_shutdown(p) : 0;
}

static PyObject *py_eof_received(struct wf_tls *p, PyObject *unused) {
    p->eof_received = 1;
    bool keep_open = false;
    if (eof_in_state(p, &keep_open) == 0) {
        return Py_NewRef(keep_open ? Py_True : Py_None);
    }
    if (PyErr_ExceptionMatches(PyExc_Exception) && p->transport != NULL) {
        PyObject *exc = wf_err_take();
        if (done(PyObject_CallMethodNoArgs(p->transport, p->state->transport.str_close)) < 0) {
            Py_DECREF(exc);
        } else {
            wf_err_put(exc);
        }
    }
    return NULL;
}

static PyObject *py_connection_made(struct wf_tls *p, PyObject *transport) {
    Py_XSETREF(p->transport, transport != Py_None ? Py_NewRef(transport) : NULL);
    return start_handshake(p) < 0 ? NULL : Py_NewRef(Py_None);
}

/* connection_lost() of the application's protocol, later; where there was a connection. */
static int tell_lost(struct wf_tls *p, PyObject *exc) {
    struct wf_transport_state *st = &p->state->transport;
    bool told = p->app_state == st->app_made || p->app_state == st->app_eof;
    if (p->at == st->tls_do_handshake || !told) {
        return 0;
    }
    Py_XSETREF(p->app_state, Py_NewRef(st->app_lost));
    if (p->loop == NULL || p->app_protocol == NULL) {
        return gone();
    }
    PyObject *callback = PyObject_GetAttr(p->app_protocol, st->str_connection_lost);
    PyObject *args[] = {p->loop, callback, exc};
    int rc =
        callback != NULL ? done(PyObject_VectorcallMethod(st->str_call_soon, args, 3, NULL)) : -1;
    Py_XDECREF(callback);
    return rc;
}

static PyObject *py_connection_lost(struct wf_tls *p, PyObject *exc) {
    struct wf_transport_state *st = &p->state->transport;
    if (p->write_backlog == NULL || p->outgoing == NULL) {
        return wf_transport_gone();
    }
    if (done(PyObject_CallMethod(p->write_backlog, "clear", NULL)) < 0 ||
        done(PyObject_CallMethodNoArgs(p->outgoing, st->str_read)) < 0) {
        return NULL;
    }
    p->conn_lost++;
    if (close_app_transport(p) < 0 || tell_lost(p, exc) < 0 ||
        set_state(p, st->tls_unwrapped) < 0) {
        return NULL;
    }
    Py_CLEAR(p->transport);
    Py_CLEAR(p->app_transport);
    Py_CLEAR(p->app_protocol);
    if (wake_waiter(p, exc) < 0 || drop_timer(p, &p->shutdown_timeout_handle) < 0 ||
        drop_timer(p, &p->handshake_timeout_handle) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- as Python sees them ---- */

#define STEP(name, step)                                                                           \
    static PyObject *py_##name(struct wf_tls *p, PyObject *unused) {                               \
        return step(p) < 0 ? NULL : Py_NewRef(Py_None);                                            \
    }
#define STEP_WITH(name, step)                                                                      \
    static PyObject *py_##name(struct wf_tls *p, PyObject *arg) {                                  \
        return step(p, arg) < 0 ? NULL : Py_NewRef(Py_None);                                       \
    }
STEP(start_handshake, start_handshake)
STEP(check_handshake_timeout, check_handshake_timeout)
STEP(do_handshake, wf_tls_do_handshake)
STEP_WITH(on_handshake_complete, handshake_complete)
STEP(start_shutdown, wf_tls_start_shutdown)
STEP(check_shutdown_timeout, check_shutdown_timeout)
STEP(do_flush, wf_tls_do_flush)
STEP(do_shutdown, wf_tls_do_shutdown)
STEP_WITH(on_shutdown_complete, shutdown_complete)
STEP(call_eof_received, wf_tls_tell_eof)
STEP_WITH(set_state, set_state)

static PyObject *py_wakeup_waiter(struct wf_tls *p, PyObject *const *args, Py_ssize_t nargs) {
    return wake_waiter(p, nargs > 0 ? args[0] : NULL) < 0 ? NULL : Py_NewRef(Py_None);
}

PyMethodDef wf_tls_step_methods[] = {
    {"connection_made", (PyCFunction)py_connection_made, METH_O,
     "connection_made($self, transport, /)\n--\n\nBegins the handshake."},
    {"connection_lost", (PyCFunction)py_connection_lost, METH_O,
     "connection_lost($self, exc, /)\n--\n\nThe connection below is gone."},
    {"eof_received", (PyCFunction)py_eof_received, METH_NOARGS,
     "eof_received($self, /)\n--\n\nThe peer will send nothing more."},
    {"_set_state", (PyCFunction)py_set_state, METH_O, NULL},
    {"_wakeup_waiter", (PyCFunction)(void (*)(void))py_wakeup_waiter, METH_FASTCALL, NULL},
    {"_start_handshake", (PyCFunction)py_start_handshake, METH_NOARGS, NULL},
    {"_check_handshake_timeout", (PyCFunction)py_check_handshake_timeout, METH_NOARGS, NULL},
    {"_do_handshake", (PyCFunction)py_do_handshake, METH_NOARGS, NULL},
    {"_on_handshake_complete", (PyCFunction)py_on_handshake_complete, METH_O, NULL},
    {"_start_shutdown", (PyCFunction)py_start_shutdown, METH_NOARGS, NULL},
    {"_check_shutdown_timeout", (PyCFunction)py_check_shutdown_timeout, METH_NOARGS, NULL},
    {"_do_flush", (PyCFunction)py_do_flush, METH_NOARGS, NULL},
    {"_do_shutdown", (PyCFunction)py_do_shutdown, METH_NOARGS, NULL},
    {"_on_shutdown_complete", (PyCFunction)py_on_shutdown_complete, METH_O, NULL},
    {"_call_eof_received", (PyCFunction)py_call_eof_received, METH_NOARGS, NULL},
    {NULL},
};
