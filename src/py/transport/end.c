/* How a transport ends: closed, aborted, failed, or forgotten. */
#include <errno.h>
#include <unistd.h>

#include "py/transport/transport_int.h"

/* ---- the end ---- */

int wf_transport_close(struct wf_transport *t) {
    if (t->closing) {
        return 0;
    }
    t->closing = true;
    bool flushes = t->out.size != 0;
    if (!flushes || t->kind != WF_KIND_WRITE_PIPE) { /* which hears by it that nobody reads */
        wf_transport_unwatch_read(t);
    }
    if (flushes) { /* the last write sees to the rest */
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
    Py_CLEAR(t->datagrams);
    wf_transport_unwatch_write(t);
    wf_transport_unwatch_read(t);
    t->closing = true;
    t->conn_lost = 1;
    if (exc != NULL && exc != Py_None) {
        Py_XSETREF(t->lost_exc, Py_NewRef(exc));
    }
    return wf_transport_call_soon(t, t->state->transport.fn_lost, NULL);
}

/* Is it the connection's fault, and so not worth a report? Of a pipe that is read from, only EIO is,
 * a terminal's end. */
static bool is_usual(struct wf_transport *t, PyObject *exc) {
    if (!PyErr_GivenExceptionMatches(exc, PyExc_OSError)) {
        return false;
    }
    if (t->kind != WF_KIND_READ_PIPE) {
        return true;
    }
    PyObject *number = PyObject_GetAttrString(exc, "errno");
    bool usual = number != NULL && PyLong_Check(number) && PyLong_AsLong(number) == EIO;
    Py_XDECREF(number);
    PyErr_Clear();
    return usual;
}

int wf_transport_fatal(struct wf_transport *t, const char *message) {
    if (wf_transport_ends_loop()) {
        return -1;
    }
    PyObject *exc = wf_err_take();
    int rc = 0;
    if (!is_usual(t, exc)) {
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

int wf_transport_keep_sockname(struct wf_transport *t) {
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
    int rc = wf_transport_keep_sockname(t);
    if (t->loop != NULL && !wf_pyloop_closed(t->loop)) {
        wf_transport_unwatch_read(t);
        wf_transport_unwatch_write(t);
        wf_pyloop_disown_fd(t->loop, t->fd, (PyObject *)t);
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
    int rc = wf_transport_tell_server(t, server, t->state->transport.str__detach);
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

void wf_transport_finalize(struct wf_transport *t) {
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
    Py_VISIT(t->datagrams);
    Py_VISIT(t->lost_exc);
    Py_VISIT(t->attributes);
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
    Py_CLEAR(t->datagrams);
    Py_CLEAR(t->lost_exc);
    Py_CLEAR(t->attributes);
    if (t->loop != NULL) {
        wf_pyloop_disown_fd(t->loop, t->fd, (PyObject *)t);
    }
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
