/* What is sent: at once where nothing waits, the rest when the socket has room. */
#include <errno.h>

#include "io/os.h"
#include "py/transport/transport_int.h"

/* The raised exception ends the transport. */
static int fatal(struct wf_transport *t) {
    return wf_transport_fatal(t, wf_transport_is_pipe(t) ? "Fatal write error on pipe transport"
                                                         : "Fatal write error on socket transport");
}

static bool try_later(int err) {
    return err == EAGAIN || err == EWOULDBLOCK || err == EINTR;
}

/* Keeps what was not sent of `data`, of which `view` is the buffer. What is not bytes is copied:
 * its owner may change it. */
static int queue(struct wf_socket *s, PyObject *data, const Py_buffer *view, size_t sent) {
    struct wf_transport *t = &s->t;
    int rc;
    if (PyBytes_CheckExact(data)) {
        rc = wf_chunks_push(&t->out, data, sent);
    } else {
        PyObject *copy =
            PyBytes_FromStringAndSize((char *)view->buf + sent, view->len - (Py_ssize_t)sent);
        rc = copy != NULL ? wf_chunks_push(&t->out, copy, 0) : -1;
        Py_XDECREF(copy);
    }
    if (rc == 0) {
        rc = wf_transport_watch_write(t);
    }
    return rc < 0 ? -1 : wf_transport_maybe_pause(t);
}

int wf_transport_write_to_lost(struct wf_transport *t) {
    if (t->conn_lost >= WF_LOST_WRITES_MAX) {
        PyObject *done = PyObject_CallMethod(t->state->transport.logger, "warning", "s",
                                             "socket.send() raised exception.");
        if (done == NULL) {
            return -1;
        }
        Py_DECREF(done);
    }
    t->conn_lost++;
    return 0;
}

static int check_writable(struct wf_socket *s, const char *method) {
    if (wf_unlikely(s->eof)) {
        PyErr_Format(PyExc_RuntimeError, "Cannot call %s() after write_eof()", method);
        return -1;
    }
    if (wf_unlikely(s->t.empty_waiter != NULL)) {
        PyErr_Format(PyExc_RuntimeError, "unable to %s; sendfile is in progress", method);
        return -1;
    }
    return 0;
}

static int write_view(struct wf_socket *s, PyObject *data, const Py_buffer *view) {
    struct wf_transport *t = &s->t;
    if (view->len == 0) {
        return 0;
    }
    if (wf_unlikely(t->conn_lost != 0)) {
        return wf_transport_write_to_lost(t);
    }
    ssize_t n = 0;
    if (wf_likely(t->out.n == 0)) {
        n = wf_likely(!wf_transport_is_pipe(t))
                ? send(t->fd, view->buf, (size_t)view->len, MSG_NOSIGNAL)
                : write(t->fd, view->buf, (size_t)view->len);
        if (wf_likely(n == view->len)) {
            return 0;
        }
        if (n < 0) {
            if (!try_later(errno)) {
                PyErr_SetFromErrno(PyExc_OSError);
                return fatal(t);
            }
            n = 0;
        }
    }
    return queue(s, data, view, (size_t)n);
}

PyObject *wf_socket_write(struct wf_socket *s, PyObject *data) {
    if (wf_unlikely(!PyBytes_Check(data) && !PyByteArray_Check(data) &&
                    !PyMemoryView_Check(data))) {
        return PyErr_Format(PyExc_TypeError,
                            "data argument must be a bytes-like object, not '%.200s'",
                            Py_TYPE(data)->tp_name);
    }
    if (wf_unlikely(check_writable(s, "write") < 0)) {
        return NULL;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return fatal(&s->t) < 0 ? NULL : Py_NewRef(Py_None);
    }
    int rc = write_view(s, data, &view);
    PyBuffer_Release(&view);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- many at once ---- */

/* Appends one item; what is not bytes is copied. */
static int push(struct wf_chunks *q, PyObject *data) {
    if (PyBytes_CheckExact(data)) {
        return PyBytes_GET_SIZE(data) != 0 ? wf_chunks_push(q, data, 0) : 0;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    PyObject *copy = PyBytes_FromStringAndSize(view.buf, view.len);
    PyBuffer_Release(&view);
    int rc = copy == NULL ? -1 : PyBytes_GET_SIZE(copy) != 0 ? wf_chunks_push(q, copy, 0) : 0;
    Py_XDECREF(copy);
    return rc;
}

/* All items, or none and an exception. */
static int collect(PyObject *lines, struct wf_chunks *q) {
    PyObject *items =
        PySequence_Fast(lines, "writelines() wants an iterable of bytes-like objects");
    if (items == NULL) {
        return -1;
    }
    int rc = 0;
    for (Py_ssize_t i = 0; rc == 0 && i < PySequence_Fast_GET_SIZE(items); i++) {
        rc = push(q, PySequence_Fast_GET_ITEM(items, i));
    }
    Py_DECREF(items);
    if (rc < 0) {
        wf_chunks_clear(q);
    }
    return rc;
}

static int write_failed(struct wf_socket *s, int err);

static int write_all(struct wf_socket *s, struct wf_chunks *more) {
    struct wf_transport *t = &s->t;
    if (more->n == 0) {
        return 0;
    }
    if (wf_unlikely(t->conn_lost != 0)) {
        return wf_transport_write_to_lost(t);
    }
    if (t->out.n == 0) {
        wf_chunks_clear(&t->out);
        t->out = *more;
        *more = (struct wf_chunks){0};
        int rc = wf_chunks_send(&t->out, t->fd, !wf_transport_is_pipe(t));
        if (rc < 0) {
            return write_failed(s, -rc);
        }
    } else {
        for (size_t i = 0; i < more->n; i++) {
            if (wf_chunks_push(&t->out, more->slots[more->first + i], 0) < 0) {
                return -1;
            }
        }
    }
    if (t->out.n != 0 && wf_transport_watch_write(t) < 0) {
        return -1;
    }
    return wf_transport_maybe_pause(t);
}

PyObject *wf_socket_writelines(struct wf_socket *s, PyObject *lines) {
    if (check_writable(s, "writelines") < 0) {
        return NULL;
    }
    struct wf_chunks more = {0};
    if (collect(lines, &more) < 0) {
        return NULL;
    }
    int rc = check_writable(s, "writelines") < 0 ? -1 : write_all(s, &more); /* an iterator ran */
    wf_chunks_clear(&more);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- when there is room ---- */

static int write_failed(struct wf_socket *s, int err) {
    struct wf_transport *t = &s->t;
    wf_transport_unwatch_write(t);
    wf_chunks_clear(&t->out);
    errno = err;
    PyErr_SetFromErrno(PyExc_OSError);
    PyObject *exc = wf_err_take();
    wf_err_put(Py_NewRef(exc));
    int rc = fatal(t);
    if (rc == 0) {
        rc = wf_transport_tell_empty_waiter(t, exc);
    }
    Py_DECREF(exc);
    return rc;
}

static int on_drained(struct wf_socket *s) {
    struct wf_transport *t = &s->t;
    wf_transport_unwatch_write(t);
    if (wf_transport_tell_empty_waiter(t, NULL) < 0) {
        return -1;
    }
    if (t->closing) {
        t->conn_lost = 1;
        return wf_transport_lost(t);
    }
    if (s->eof) {
        shutdown(t->fd, SHUT_WR);
    }
    return 0;
}

PyObject *wf_socket_write_ready(struct wf_socket *s, PyObject *unused) {
    struct wf_transport *t = &s->t;
    if (!t->watching_write || t->conn_lost != 0) {
        Py_RETURN_NONE;
    }
    Py_INCREF(s);
    int rc = wf_chunks_send(&t->out, t->fd, !wf_transport_is_pipe(t));
    if (rc < 0) {
        rc = write_failed(s, -rc);
    } else {
        rc = wf_transport_maybe_resume(t); /* may write more, or close */
        if (rc == 0 && t->out.n == 0 && t->watching_write && t->conn_lost == 0) {
            rc = on_drained(s);
        }
    }
    Py_DECREF(s);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- the end of what we say ---- */

static PyObject *write_eof(struct wf_socket *s, PyObject *unused) {
    struct wf_transport *t = &s->t;
    if (t->closing || s->eof) {
        Py_RETURN_NONE;
    }
    s->eof = true;
    if (t->out.n == 0 && shutdown(t->fd, SHUT_WR) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

static PyObject *can_write_eof(struct wf_socket *s, PyObject *unused) {
    Py_RETURN_TRUE;
}

/* ---- sendfile has the socket to itself while this future is there ----
 *
 * asyncio's sock_sendfile() watches the descriptor, so for that long it is not ours. */

static PyObject *make_empty_waiter(struct wf_socket *s, PyObject *unused) {
    struct wf_transport *t = &s->t;
    if (t->empty_waiter != NULL || t->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        t->loop != NULL ? "Empty waiter is already set" : "Transport is closed");
        return NULL;
    }
    t->empty_waiter = PyObject_CallMethod(t->loop, "create_future", NULL);
    wf_pyloop_disown_fd(t->loop, t->fd, (PyObject *)t);
    if (t->empty_waiter == NULL || (t->out.n == 0 && wf_transport_tell_empty_waiter(t, NULL) < 0)) {
        return NULL;
    }
    return Py_NewRef(t->empty_waiter);
}

static PyObject *reset_empty_waiter(struct wf_socket *s, PyObject *unused) {
    struct wf_transport *t = &s->t;
    Py_CLEAR(t->empty_waiter);
    if (t->fd_open && t->loop != NULL && !wf_pyloop_closed(t->loop) &&
        wf_pyloop_own_fd(t->loop, t->fd, (PyObject *)t) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyMethodDef wf_socket_write_methods[] = {
    {"write", (PyCFunction)wf_socket_write, METH_O,
     "write($self, data, /)\n--\n\n"
     "Writes the bytes, or buffers what cannot be written yet; never waits. TypeError for what is "
     "not bytes-like, RuntimeError after write_eof()."},
    {"writelines", (PyCFunction)wf_socket_writelines, METH_O,
     "writelines($self, list_of_data, /)\n--\n\n"
     "write() of all of them, in one piece."},
    {"write_eof", (PyCFunction)write_eof, METH_NOARGS,
     "write_eof($self, /)\n--\n\n"
     "Ends the writing half once what is buffered has been written; reading goes on."},
    {"can_write_eof", (PyCFunction)can_write_eof, METH_NOARGS,
     "can_write_eof($self, /)\n--\n\n"
     "Has it a write_eof()? True."},
    {"_make_empty_waiter", (PyCFunction)make_empty_waiter, METH_NOARGS, NULL},
    {"_reset_empty_waiter", (PyCFunction)reset_empty_waiter, METH_NOARGS, NULL},
    {NULL},
};
