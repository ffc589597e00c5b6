/* What every transport is and does: its protocol, its end, its limits and how it prints. */
#include <errno.h>
#include <unistd.h>

#include "base/alloc.h"
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

/* server.method(self), without an argument on the Pythons that count only. */
static int tell_server(struct wf_transport *t, PyObject *server, PyObject *method) {
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *done = PyObject_CallMethodOneArg(server, method, (PyObject *)t);
#else
    PyObject *done = PyObject_CallMethodNoArgs(server, method);
#endif
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
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
    if (t->context == NULL || fill_extra(t, extra) < 0) {
        return -1;
    }
    PyObject *number = PyLong_FromLong(fd),
             *transports = PyObject_GetAttr(loop, s->str__transports);
    int rc = number != NULL && transports != NULL
                 ? PyObject_SetItem(transports, number, (PyObject *)t)
                 : -1;
    Py_XDECREF(number);
    Py_XDECREF(transports);
    if (rc == 0 && server != NULL && server != Py_None) {
        rc = tell_server(t, server, s->str__attach);
        if (rc == 0) {
            t->server = Py_NewRef(server);
        }
    }
    if (rc == 0) {
        wf_pyloop_forget_fd(loop, fd); /* an earlier one of this number, closed behind our back */
        t->fd_open = true;
    }
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
        if (watch(t, &t->read_handle, t->state->transport.fn_read, WF_READ) < 0) {
            return -1;
        }
        t->watching_read = true;
    }
    return 0;
}

int wf_transport_watch_write(struct wf_transport *t) {
    if (!t->watching_write) {
        if (watch(t, &t->write_handle, t->state->transport.fn_write, WF_WRITE) < 0) {
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
    PyObject *done = context != NULL
                         ? PyObject_CallMethodOneArg(
                               t->loop, t->state->transport.str_call_exception_handler, context)
                         : NULL;
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

/* ---- the end ---- */

int wf_transport_close(struct wf_transport *t) {
    if (t->closing) {
        return 0;
    }
    t->closing = true;
    wf_transport_unwatch_read(t);
    if (t->out.size != 0) { /* the last write sees to the rest */
        return 0;
    }
    t->conn_lost = 1;
    wf_transport_unwatch_write(t);
    return wf_transport_call_soon(t, t->state->transport.fn_lost, NULL);
}

int wf_transport_force_close(struct wf_transport *t, PyObject *exc) {
    if (t->conn_lost != 0) {
        return 0;
    }
    wf_chunks_clear(&t->out);
    wf_transport_unwatch_write(t);
    wf_transport_unwatch_read(t);
    t->closing = true;
    t->conn_lost = 1;
    if (exc != NULL && exc != Py_None) {
        Py_XSETREF(t->lost_exc, Py_NewRef(exc));
    }
    return wf_transport_call_soon(t, t->state->transport.fn_lost, NULL);
}

int wf_transport_fatal(struct wf_transport *t, const char *message) {
    if (wf_transport_ends_loop()) {
        return -1;
    }
    PyObject *exc = wf_err_take();
    int rc = 0;
    if (!PyErr_GivenExceptionMatches(exc, PyExc_OSError)) {
        rc = wf_transport_report(t, message, exc);
    } else if (wf_unlikely(t->loop != NULL && wf_pyloop_debug(t->loop))) {
        PyObject *method = PyObject_GetAttrString(t->state->transport.logger, "debug");
        PyObject *args = Py_BuildValue("(sOs)", "%r: %s", (PyObject *)t, message);
        PyObject *kwargs = Py_BuildValue("{sO}", "exc_info", exc);
        PyObject *done = method != NULL && args != NULL && kwargs != NULL
                             ? PyObject_Call(method, args, kwargs)
                             : NULL;
        Py_XDECREF(method);
        Py_XDECREF(args);
        Py_XDECREF(kwargs);
        Py_XDECREF(done);
        rc = done != NULL ? 0 : -1;
    }
    PyObject *failed = rc < 0 ? wf_err_take() : NULL; /* what the handler raised goes on, after */
    rc = t->loop != NULL ? wf_transport_force_close(t, exc) : 0;
    Py_DECREF(exc);
    if (failed != NULL) {
        if (rc < 0) {
            PyErr_Clear();
        }
        wf_err_put(failed);
        rc = -1;
    }
    return rc;
}

/* The sockname of a socket that Python has not seen, before it is gone: asked for afterwards too. */
static int keep_sockname(struct wf_transport *t) {
    struct wf_transport_state *s = &t->state->transport;
    if (t->sock != NULL || t->extra == NULL || s->str_sockname == NULL) {
        return 0;
    }
    int known = PyDict_Contains(t->extra, s->str_sockname);
    if (known != 0) {
        return known < 0 ? -1 : 0;
    }
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    PyObject *name = getsockname(t->fd, (struct sockaddr *)&addr, &len) == 0
                         ? wf_address_object((struct sockaddr *)&addr, len)
                         : Py_NewRef(Py_None);
    int rc = name != NULL ? PyDict_SetItem(t->extra, s->str_sockname, name) : -1;
    Py_XDECREF(name);
    return rc;
}

/* Closes the descriptor. What the socket object says to that is passed on. */
static int close_fd(struct wf_transport *t) {
    if (!t->fd_open) {
        return 0;
    }
    t->fd_open = false;
    int rc = keep_sockname(t);
    if (t->loop != NULL && !wf_pyloop_closed(t->loop)) {
        wf_transport_unwatch_read(t);
        wf_transport_unwatch_write(t);
        wf_pyloop_forget_fd(t->loop, t->fd);
    }
    PyObject *sock = t->sock;
    t->sock = NULL;
    if (sock == NULL) {
        close(t->fd);
        return rc;
    }
    PyObject *closed = PyObject_CallMethod(sock, "close", NULL);
    Py_XDECREF(closed);
    Py_DECREF(sock);
    return closed != NULL ? rc : -1;
}

static int leave_server(struct wf_transport *t) {
    PyObject *server = t->server;
    if (server == NULL || t->state->transport.str__detach == NULL) {
        return 0;
    }
    t->server = NULL;
    int rc = tell_server(t, server, t->state->transport.str__detach);
    Py_DECREF(server);
    return rc;
}

int wf_transport_tell_empty_waiter(struct wf_transport *t, PyObject *exc) {
    PyObject *waiter = t->empty_waiter; /* stays until _reset_empty_waiter() */
    if (wf_likely(waiter == NULL)) {
        return 0;
    }
    Py_INCREF(waiter);
    PyObject *over = PyObject_CallMethod(waiter, "done", NULL);
    int rc = over != NULL ? PyObject_IsTrue(over) : -1;
    Py_XDECREF(over);
    if (rc == 0) {
        PyObject *done = exc != NULL ? PyObject_CallMethod(waiter, "set_exception", "O", exc)
                                     : PyObject_CallMethod(waiter, "set_result", "O", Py_None);
        Py_XDECREF(done);
        rc = done != NULL ? 0 : -1;
    }
    Py_DECREF(waiter);
    return rc < 0 ? -1 : 0;
}

int wf_transport_lost(struct wf_transport *t) {
    if (t->loop == NULL) {
        return 0;
    }
    PyObject *lost = NULL, *exc = t->lost_exc; /* owned now */
    t->lost_exc = NULL;
    lost =
        wf_transport_call(t, t->state->transport.str_connection_lost, exc != NULL ? exc : Py_None);
    PyObject *failed = lost == NULL ? wf_err_take() : NULL;
    Py_XDECREF(lost);
    Py_XDECREF(exc);
    int rc = close_fd(t);
    Py_CLEAR(t->read_handle);
    Py_CLEAR(t->write_handle);
    wf_chunks_clear(&t->out);
    Py_CLEAR(t->protocol);
    Py_CLEAR(t->context);
    if (leave_server(t) < 0) {
        rc = -1;
    }
    if (wf_unlikely(t->empty_waiter != NULL) && rc == 0) {
        PyObject *gone =
            PyObject_CallFunction(PyExc_ConnectionError, "s", "Connection is closed by peer");
        rc = gone != NULL ? wf_transport_tell_empty_waiter(t, gone) : -1;
        Py_XDECREF(gone);
    }
    Py_CLEAR(t->loop);
    if (failed != NULL) {
        if (rc < 0) {
            PyErr_Clear();
        }
        wf_err_put(failed);
        rc = -1;
    }
    return rc;
}

/* ---- death ---- */

static void transport_finalize(struct wf_transport *t) {
    if (!t->fd_open) {
        return;
    }
    PyObject *pending = wf_err_take();
    if (t->state->transport.transport_type != NULL &&
        PyErr_ResourceWarning((PyObject *)t, 1, "unclosed transport %R", t) < 0) {
        PyErr_WriteUnraisable((PyObject *)t);
    }
    t->closing = true;
    t->conn_lost = 1;
    if (close_fd(t) < 0 || leave_server(t) < 0) {
        PyErr_WriteUnraisable((PyObject *)t);
    }
    if (pending != NULL) {
        wf_err_put(pending);
    }
}

int wf_transport_traverse_fields(struct wf_transport *t, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(t));
    Py_VISIT(t->module);
    Py_VISIT(t->loop);
    Py_VISIT(t->protocol);
    Py_VISIT(t->server);
    Py_VISIT(t->extra);
    Py_VISIT(t->sock);
    Py_VISIT(t->context);
    Py_VISIT(t->read_handle);
    Py_VISIT(t->write_handle);
    Py_VISIT(t->waiter);
    Py_VISIT(t->empty_waiter);
    Py_VISIT(t->lost_exc);
    return 0;
}

/* The module stays: finalizers that run after this ask for its state. */
int wf_transport_clear_fields(struct wf_transport *t) {
    Py_CLEAR(t->protocol);
    Py_CLEAR(t->server);
    Py_CLEAR(t->extra);
    Py_CLEAR(t->sock);
    Py_CLEAR(t->context);
    Py_CLEAR(t->read_handle);
    Py_CLEAR(t->write_handle);
    Py_CLEAR(t->waiter);
    Py_CLEAR(t->empty_waiter);
    Py_CLEAR(t->lost_exc);
    Py_CLEAR(t->loop);
    return 0;
}

void wf_transport_dealloc(struct wf_transport *t) {
    PyTypeObject *type = Py_TYPE(t);
    if (PyObject_CallFinalizerFromDealloc((PyObject *)t) < 0) {
        return;
    }
    PyObject_GC_UnTrack(t);
    if (t->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)t);
    }
    wf_chunks_clear(&t->out);
    (void)wf_transport_clear_fields(t);
    Py_XDECREF(t->module);
    type->tp_free(t);
    Py_DECREF(type);
}

/* ---- as Python sees it ---- */

static PyObject *none_or_error(int rc) {
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *close_it(struct wf_transport *t, PyObject *unused) {
    return none_or_error(wf_transport_close(t));
}

static PyObject *abort_it(struct wf_transport *t, PyObject *unused) {
    return none_or_error(wf_transport_force_close(t, NULL));
}

static PyObject *force_close(struct wf_transport *t, PyObject *exc) {
    return none_or_error(wf_transport_force_close(t, exc));
}

static PyObject *lost(struct wf_transport *t, PyObject *unused) {
    return none_or_error(wf_transport_lost(t));
}

static PyObject *is_closing(struct wf_transport *t, PyObject *unused) {
    return PyBool_FromLong(t->closing);
}

static PyObject *is_reading(struct wf_transport *t, PyObject *unused) {
    return PyBool_FromLong(!t->closing && !t->paused);
}

static PyObject *pause_reading(struct wf_transport *t, PyObject *unused) {
    if (t->closing || t->paused) {
        Py_RETURN_NONE;
    }
    t->paused = true;
    wf_transport_unwatch_read(t);
    return none_or_error(wf_transport_debug(t, "%r pauses reading"));
}

static PyObject *resume_reading(struct wf_transport *t, PyObject *unused) {
    if (t->closing || !t->paused) {
        Py_RETURN_NONE;
    }
    t->paused = false;
    if (wf_transport_watch_read(t) < 0) {
        return NULL;
    }
    return none_or_error(wf_transport_debug(t, "%r resumes reading"));
}

static PyObject *get_protocol(struct wf_transport *t, PyObject *unused) {
    return Py_NewRef(t->protocol != NULL ? t->protocol : Py_None);
}

static PyObject *set_protocol(struct wf_transport *t, PyObject *protocol) {
    Py_XSETREF(t->protocol, Py_NewRef(protocol));
    Py_RETURN_NONE;
}

/* The socket object, made now where nobody has asked for it before. New reference; None once
 * closed. */
static PyObject *socket_of(struct wf_transport *t) {
    if (t->sock != NULL || !t->fd_open) {
        return Py_NewRef(t->sock != NULL ? t->sock : Py_None);
    }
    if (t->state->transport.socket_class == NULL) {
        return wf_transport_gone();
    }
    PyObject *args = PyTuple_New(0), *kwargs = Py_BuildValue("{si}", "fileno", t->fd);
    PyObject *sock = args != NULL && kwargs != NULL
                         ? PyObject_Call(t->state->transport.socket_class, args, kwargs)
                         : NULL;
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    if (sock == NULL) {
        return NULL;
    }
    t->sock = sock;
    PyObject *done = PyObject_CallMethodOneArg(sock, t->state->transport.str_setblocking, Py_False);
    if (done == NULL) {
        return NULL;
    }
    Py_DECREF(done);
    return Py_NewRef(sock);
}

/* extra['socket'] and extra['sockname'] are filled in when somebody asks. */
static int fill_in(struct wf_transport *t, PyObject *name) {
    struct wf_transport_state *s = &t->state->transport;
    if (!t->fd_open || !PyUnicode_Check(name) || s->str_socket == NULL) {
        return 0;
    }
    if (PyUnicode_Compare(name, s->str_sockname) == 0) {
        return keep_sockname(t);
    }
    if (PyUnicode_Compare(name, s->str_socket) != 0) {
        return 0;
    }
    int known = PyDict_Contains(t->extra, name);
    if (known != 0) {
        return known < 0 ? -1 : 0;
    }
    PyObject *sock = socket_of(t);
    PyObject *shown = sock != NULL ? PyObject_CallOneArg(s->transport_socket, sock) : NULL;
    int rc = shown != NULL ? PyDict_SetItem(t->extra, name, shown) : -1;
    Py_XDECREF(sock);
    Py_XDECREF(shown);
    return rc;
}

static PyObject *get_extra_info(struct wf_transport *t, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"name", "default", NULL};
    PyObject *name, *otherwise = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:get_extra_info", keywords, &name,
                                     &otherwise)) {
        return NULL;
    }
    if (t->extra == NULL) {
        return Py_NewRef(otherwise);
    }
    if (fill_in(t, name) < 0) {
        return NULL;
    }
    PyObject *value = PyDict_GetItemWithError(t->extra, name); /* borrowed */
    if (value == NULL && PyErr_Occurred()) {
        return NULL;
    }
    return Py_NewRef(value != NULL ? value : otherwise);
}

static PyObject *get_write_buffer_size(struct wf_transport *t, PyObject *unused) {
    return PyLong_FromSize_t(t->out.size);
}

static PyObject *get_write_buffer_limits(struct wf_transport *t, PyObject *unused) {
    return Py_BuildValue("(nn)", (Py_ssize_t)t->low_water, (Py_ssize_t)t->high_water);
}

/* high and low as asyncio fills in what is not given. */
static int set_limits(struct wf_transport *t, PyObject *high, PyObject *low) {
    Py_ssize_t high_n = 64 * 1024, low_n = 0;
    if (low != Py_None) {
        low_n = PyNumber_AsSsize_t(low, NULL);
        if (low_n == -1 && PyErr_Occurred()) {
            return -1;
        }
        high_n = low_n < PY_SSIZE_T_MAX / 4 ? low_n * 4 : PY_SSIZE_T_MAX;
    }
    if (high != Py_None) {
        high_n = PyNumber_AsSsize_t(high, NULL);
        if (high_n == -1 && PyErr_Occurred()) {
            return -1;
        }
    }
    if (low == Py_None) {
        low_n = high_n / 4;
    }
    if (!(high_n >= low_n && low_n >= 0)) {
        PyErr_Format(PyExc_ValueError, "high (%zd) must be >= low (%zd) must be >= 0", high_n,
                     low_n);
        return -1;
    }
    t->high_water = (size_t)high_n;
    t->low_water = (size_t)low_n;
    return 0;
}

static PyObject *set_write_buffer_limits(struct wf_transport *t, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"high", "low", NULL};
    PyObject *high = Py_None, *low = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:set_write_buffer_limits", keywords, &high,
                                     &low) ||
        set_limits(t, high, low) < 0) {
        return NULL;
    }
    return none_or_error(wf_transport_maybe_pause(t));
}

static PyObject *transport_repr(struct wf_transport *t) {
    const char *name = strrchr(Py_TYPE(t)->tp_name, '.');
    name = name != NULL ? name + 1 : Py_TYPE(t)->tp_name;
    const char *state = !t->fd_open ? " closed" : t->closing ? " closing" : "";
    if (t->loop == NULL || wf_pyloop_closed(t->loop)) {
        return PyUnicode_FromFormat("<%s%s fd=%d>", name, state, t->fd);
    }
    return PyUnicode_FromFormat("<%s%s fd=%d read=%s write=<%s, bufsize=%zu>>", name, state, t->fd,
                                t->watching_read ? "polling" : "idle",
                                t->watching_write ? "polling" : "idle", t->out.size);
}

static PyObject *get_sock(struct wf_transport *t, void *unused) {
    return socket_of(t);
}

static PyObject *get_server(struct wf_transport *t, void *unused) {
    return Py_NewRef(t->server != NULL ? t->server : Py_None);
}

static PyMethodDef transport_methods[] = {
    {"close", (PyCFunction)close_it, METH_NOARGS, NULL},
    {"abort", (PyCFunction)abort_it, METH_NOARGS, NULL},
    {"_force_close", (PyCFunction)force_close, METH_O, NULL},
    {"_call_connection_lost", (PyCFunction)lost, METH_NOARGS, NULL},
    {"is_closing", (PyCFunction)is_closing, METH_NOARGS, NULL},
    {"is_reading", (PyCFunction)is_reading, METH_NOARGS, NULL},
    {"pause_reading", (PyCFunction)pause_reading, METH_NOARGS, NULL},
    {"resume_reading", (PyCFunction)resume_reading, METH_NOARGS, NULL},
    {"get_protocol", (PyCFunction)get_protocol, METH_NOARGS, NULL},
    {"set_protocol", (PyCFunction)set_protocol, METH_O, NULL},
    {"get_extra_info", (PyCFunction)(void (*)(void))get_extra_info, METH_VARARGS | METH_KEYWORDS,
     NULL},
    {"get_write_buffer_size", (PyCFunction)get_write_buffer_size, METH_NOARGS, NULL},
    {"get_write_buffer_limits", (PyCFunction)get_write_buffer_limits, METH_NOARGS, NULL},
    {"set_write_buffer_limits", (PyCFunction)(void (*)(void))set_write_buffer_limits,
     METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL},
};

static PyMemberDef transport_members[] = {
    {"_loop", T_OBJECT, offsetof(struct wf_transport, loop), Py_READONLY, NULL},
    {"_protocol", T_OBJECT, offsetof(struct wf_transport, protocol), Py_READONLY, NULL},
    {"_extra", T_OBJECT, offsetof(struct wf_transport, extra), Py_READONLY, NULL},
    {"_sock_fd", Py_T_INT, offsetof(struct wf_transport, fd), Py_READONLY, NULL},
    {"_conn_lost", T_UINT, offsetof(struct wf_transport, conn_lost), Py_READONLY, NULL},
    {"_closing", Py_T_BOOL, offsetof(struct wf_transport, closing), Py_READONLY, NULL},
    {"_paused", Py_T_BOOL, offsetof(struct wf_transport, paused), Py_READONLY, NULL},
    {"_protocol_paused", Py_T_BOOL, offsetof(struct wf_transport, protocol_paused), Py_READONLY,
     NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct wf_transport, weakrefs), Py_READONLY, NULL},
    {NULL},
};

static PyGetSetDef transport_getset[] = {
    {"_sock", (getter)get_sock, NULL, NULL, NULL},
    {"_server", (getter)get_server, NULL, NULL, NULL},
    {NULL},
};

static PyType_Slot transport_slots[] = {
    {Py_tp_doc, "What all native transports share."},
    {Py_tp_dealloc, wf_transport_dealloc},
    {Py_tp_finalize, transport_finalize},
    {Py_tp_traverse, wf_transport_traverse_fields},
    {Py_tp_clear, wf_transport_clear_fields},
    {Py_tp_repr, transport_repr},
    {Py_tp_methods, transport_methods},
    {Py_tp_members, transport_members},
    {Py_tp_getset, transport_getset},
    {0, NULL},
};

static PyType_Spec transport_spec = {
    .name = "weft._core.Transport",
    .basicsize = sizeof(struct wf_transport),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = transport_slots,
};

/* ---- the room ---- */

int wf_transport_base_exec(PyObject *module, struct wf_state *state) {
    struct wf_transport_state *s = &state->transport;
    s->transport_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &transport_spec, NULL);
    if (s->transport_type == NULL || PyModule_AddType(module, s->transport_type) < 0) {
        return -1;
    }
    s->fn_lost = PyObject_GetAttrString((PyObject *)s->transport_type, "_call_connection_lost");
    return s->fn_lost != NULL ? 0 : -1;
}

PyObject *wf_transport_face(const char *name, const char *base) {
    PyObject *transports = PyImport_ImportModule("asyncio.transports");
    PyObject *mixin =
        transports != NULL ? PyObject_GetAttrString(transports, "_FlowControlMixin") : NULL;
    PyObject *plain = mixin != NULL ? PyObject_GetAttrString(transports, base) : NULL;
    PyObject *face =
        plain != NULL ? PyObject_CallFunction((PyObject *)&PyType_Type, "s(OO){s()ss}", name, mixin,
                                              plain, "__slots__", "__module__", "weft.loop")
                      : NULL;
    Py_XDECREF(plain);
    Py_XDECREF(mixin);
    Py_XDECREF(transports);
    return face;
}

static PyObject *import_from(const char *module_name, const char *name) {
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *found = module != NULL ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return found;
}

int wf_transport_exec(PyObject *module, struct wf_state *state) {
    struct wf_transport_state *s = &state->transport;
    s->buffered_protocol = import_from("asyncio.protocols", "BufferedProtocol");
    s->transport_socket = import_from("asyncio.trsock", "TransportSocket");
    s->logger = import_from("asyncio.log", "logger");
    s->socket_class = import_from("socket", "socket");
    s->reader_protocol = import_from("asyncio.streams", "StreamReaderProtocol");
    s->stream_reader = import_from("asyncio.streams", "StreamReader");
    s->scratch = PyMem_Malloc(WF_SCRATCH_BYTES);
    if (s->reader_protocol == NULL || s->stream_reader == NULL || s->buffered_protocol == NULL ||
        s->transport_socket == NULL || s->logger == NULL || s->socket_class == NULL) {
        return -1;
    }
    if (s->scratch == NULL) {
        PyErr_NoMemory();
        return -1;
    }
#define X(name)                                                                                    \
    s->str_##name = PyUnicode_InternFromString(#name);                                             \
    if (s->str_##name == NULL) {                                                                   \
        return -1;                                                                                 \
    }
    WF_TRANSPORT_NAMES(X)
#undef X
    s->own_data_received = PyObject_GetAttr(s->reader_protocol, s->str_data_received);
    s->own_feed_data = PyObject_GetAttr(s->stream_reader, s->str_feed_data);
    if (s->own_data_received == NULL || s->own_feed_data == NULL) {
        return -1;
    }
    return wf_transport_base_exec(module, state) < 0 || wf_socket_exec(module, state) < 0 ||
                   wf_listener_exec(module, state) < 0 || wf_tls_exec(module, state) < 0
               ? -1
               : 0;
}

int wf_transport_traverse(struct wf_transport_state *s, visitproc visit, void *arg) {
    Py_VISIT(s->transport_type);
    Py_VISIT(s->socket_type);
    Py_VISIT(s->listener_type);
    Py_VISIT(s->fn_begin);
    Py_VISIT(s->fn_read);
    Py_VISIT(s->fn_write);
    Py_VISIT(s->fn_lost);
    Py_VISIT(s->socket_face);
    Py_VISIT(s->buffered_protocol);
    Py_VISIT(s->transport_socket);
    Py_VISIT(s->logger);
    Py_VISIT(s->socket_class);
    Py_VISIT(s->record_bytes);
    Py_VISIT(s->tls_shutdown);
    Py_VISIT(s->tls_flushing);
    Py_VISIT(s->tls_wrapped);
    Py_VISIT(s->tls_do_handshake);
    Py_VISIT(s->ssl_again);
    Py_VISIT(s->tls_type);
    Py_VISIT(s->own_feed_data);
    Py_VISIT(s->own_data_received);
    Py_VISIT(s->stream_reader);
    Py_VISIT(s->reader_protocol);
    return 0;
}

void wf_transport_clear(struct wf_transport_state *s) {
    Py_CLEAR(s->transport_type);
    Py_CLEAR(s->socket_type);
    Py_CLEAR(s->listener_type);
    Py_CLEAR(s->fn_begin);
    Py_CLEAR(s->fn_read);
    Py_CLEAR(s->fn_write);
    Py_CLEAR(s->fn_lost);
    Py_CLEAR(s->socket_face);
    Py_CLEAR(s->buffered_protocol);
    Py_CLEAR(s->transport_socket);
    Py_CLEAR(s->logger);
    Py_CLEAR(s->socket_class);
    Py_CLEAR(s->record_bytes);
    Py_CLEAR(s->tls_shutdown);
    Py_CLEAR(s->tls_flushing);
    Py_CLEAR(s->tls_wrapped);
    Py_CLEAR(s->tls_do_handshake);
    Py_CLEAR(s->ssl_again);
    Py_CLEAR(s->tls_type);
    Py_CLEAR(s->own_feed_data);
    Py_CLEAR(s->own_data_received);
    Py_CLEAR(s->stream_reader);
    Py_CLEAR(s->reader_protocol);
#define X(name) Py_CLEAR(s->str_##name);
    WF_TRANSPORT_NAMES(X)
#undef X
    PyMem_Free(s->scratch);
    s->scratch = NULL;
}
