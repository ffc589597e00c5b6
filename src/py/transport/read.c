/* What arrives: one recv a turn, straight into what the protocol gets.
 *
 * The GIL is kept: the socket does not block, and giving the GIL up and taking it again costs more
 * than reading a small message. The largest read takes a fraction of the interpreter's switch
 * interval. */
#include <errno.h>

#include "py/transport/transport_int.h"

/* The raised exception ends the transport. */
static int cannot_read(struct wf_transport *t) {
    return wf_transport_fatal(t, wf_transport_is_pipe(t) ? "Fatal read error on pipe transport"
                                                         : "Fatal read error on socket transport");
}

/* recv() failed: the end of the connection, or nothing at all. */
static int read_failed(struct wf_transport *t) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return 0;
    }
    PyErr_SetFromErrno(PyExc_OSError);
    return cannot_read(t);
}

/* The protocol raised. asyncio ends a connection by that, and lets a pipe go on. */
static int protocol_failed(struct wf_transport *t, const char *message) {
    return wf_transport_is_pipe(t) ? -1 : wf_transport_fatal(t, message);
}

static int on_eof(struct wf_socket *s) {
    struct wf_transport *t = &s->t;
    if (wf_transport_is_pipe(t)) {
        return wf_pipe_ended(s);
    }
    if (wf_transport_debug(t, "%r received EOF") < 0) {
        return -1;
    }
    PyObject *keep_open = wf_transport_call(t, t->state->transport.str_eof_received, NULL);
    int keep = keep_open != NULL ? PyObject_IsTrue(keep_open) : -1;
    Py_XDECREF(keep_open);
    if (keep < 0) {
        return wf_transport_fatal(t, "Fatal error: protocol.eof_received() call failed.");
    }
    if (!keep) {
        return wf_transport_close(t);
    }
    if (t->loop != NULL) { /* it may write on, but nothing more is to come */
        wf_transport_unwatch_read(t);
    }
    return 0;
}

/* Bytes of their own, as many as came last time, so that bulk is not copied twice. */
static PyObject *recv_into_bytes(struct wf_socket *s, ssize_t *n) {
    size_t size = WF_MIN(s->read_hint * 2, (size_t)WF_READ_MAX);
    PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (data == NULL) {
        return NULL;
    }
    *n = wf_socket_recv(s, PyBytes_AS_STRING(data), size);
    if (*n <= 0) {
        int saved = errno;
        Py_DECREF(data);
        errno = saved;
        return NULL;
    }
    if ((size_t)*n < size && _PyBytes_Resize(&data, *n) < 0) {
        return NULL;
    }
    return data;
}

/* What there is to read, as bytes of the right size. NULL: an exception, or *n <= 0 as of recv(). */
static PyObject *recv_bytes(struct wf_socket *s, ssize_t *n) {
    PyObject *data;
    if (s->read_hint > WF_BULK_BYTES) {
        data = recv_into_bytes(s, n);
    } else {
        char *scratch = s->t.state->transport.scratch;
        *n = wf_socket_recv(s, scratch, 2 * WF_BULK_BYTES);
        data = *n > 0 ? PyBytes_FromStringAndSize(scratch, *n) : NULL;
    }
    if (*n > 0) {
        wf_socket_learn(s, (size_t)*n);
    }
    return data;
}

static int read_bytes(struct wf_socket *s) {
    struct wf_transport *t = &s->t;
    ssize_t n = 0;
    PyObject *data = recv_bytes(s, &n);
    if (wf_unlikely(data == NULL)) {
        if (PyErr_Occurred()) {
            return cannot_read(t);
        }
        return n == 0 ? on_eof(s) : read_failed(t);
    }
    PyObject *done = wf_transport_call(t, t->state->transport.str_data_received, data);
    Py_DECREF(data);
    if (wf_unlikely(done == NULL)) {
        return protocol_failed(t, "Fatal error: protocol.data_received() call failed.");
    }
    Py_DECREF(done);
    return 0;
}

/* The protocol's own memory; held until the read is done. 0, or -1 with an exception. */
static int get_buffer(struct wf_transport *t, Py_buffer *view) {
    PyObject *hint = PyLong_FromLong(-1);
    PyObject *buf =
        hint != NULL ? wf_transport_call(t, t->state->transport.str_get_buffer, hint) : NULL;
    Py_XDECREF(hint);
    int rc = buf != NULL ? PyObject_GetBuffer(buf, view, PyBUF_WRITABLE) : -1;
    Py_XDECREF(buf);
    if (rc == 0 && view->len == 0) {
        PyBuffer_Release(view);
        PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
        rc = -1;
    }
    return rc;
}

static int read_buffer(struct wf_socket *s) {
    struct wf_transport *t = &s->t;
    Py_buffer view;
    if (get_buffer(t, &view) < 0) {
        return protocol_failed(t, "Fatal error: protocol.get_buffer() call failed.");
    }
    if (wf_unlikely(t->conn_lost != 0 || !t->watching_read)) { /* get_buffer() did that */
        PyBuffer_Release(&view);
        return 0;
    }
    ssize_t n = wf_socket_recv(s, view.buf, (size_t)view.len);
    int saved = errno;
    PyBuffer_Release(&view);
    errno = saved;
    if (wf_unlikely(n <= 0)) {
        return n == 0 ? on_eof(s) : read_failed(t);
    }
    PyObject *count = PyLong_FromSsize_t(n);
    PyObject *done =
        count != NULL ? wf_transport_call(t, t->state->transport.str_buffer_updated, count) : NULL;
    Py_XDECREF(count);
    if (wf_unlikely(done == NULL)) {
        return protocol_failed(t, "Fatal error: protocol.buffer_updated() call failed.");
    }
    Py_DECREF(done);
    return 0;
}

static int read_reader(struct wf_socket *s) {
    struct wf_transport *t = &s->t;
    ssize_t n;
    switch (wf_feed_reader(s, &n)) {
    case WF_FED:
        return 0;
    case WF_FED_NOTHING:
        return n == 0 ? on_eof(s) : read_failed(t);
    case WF_FED_NOT:
        return read_bytes(s);
    default:
        return protocol_failed(t, "Fatal error: protocol.data_received() call failed.");
    }
}

static int read_tls(struct wf_socket *s) {
    struct wf_transport *t = &s->t;
    char *scratch = t->state->transport.scratch;
    ssize_t n = recv(t->fd, scratch, WF_SCRATCH_BYTES, 0);
    if (wf_unlikely(n <= 0)) {
        return n == 0 ? on_eof(s) : read_failed(t);
    }
    PyObject *protocol = Py_NewRef(t->protocol);
    int rc = wf_tls_received(protocol, scratch, (size_t)n);
    Py_DECREF(protocol);
    return rc < 0 ? wf_transport_fatal(t, "Fatal error: protocol.buffer_updated() call failed.")
                  : 0;
}

static int read_some(struct wf_socket *s) {
    switch ((enum wf_feed)s->feed) {
    case WF_FEED_BUFFER:
        return read_buffer(s);
    case WF_FEED_READER:
        return read_reader(s);
    case WF_FEED_TLS:
        return read_tls(s);
    case WF_FEED_BYTES:
        break;
    }
    return read_bytes(s);
}

PyObject *wf_socket_read_ready(struct wf_socket *s, PyObject *unused) {
    if (wf_unlikely(!s->t.watching_read)) { /* paused or closed since the loop saw it */
        Py_RETURN_NONE;
    }
    Py_INCREF(s);
    int rc = read_some(s);
    Py_DECREF(s);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}
