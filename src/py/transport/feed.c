/* The short way to an asyncio.StreamReader: what StreamReaderProtocol.data_received and
 * StreamReader.feed_data do, without a bytes object between the socket and the reader's buffer.
 *
 * Taken only for those two classes themselves, as long as nobody has replaced their methods; whatever
 * is not as expected goes the long way, through data_received(). */
#include <errno.h>

#include "py/transport/transport_int.h"

/* Is it of this type, with the method that was born with it, in the type and in the object? */
static int has_own(PyObject *obj, PyObject *type, PyObject *name, PyObject *own) {
    if ((PyObject *)Py_TYPE(obj) != type || type == NULL || own == NULL) {
        return 0;
    }
    PyObject *now = PyObject_GetAttr(obj, name);
    int same = now == NULL ? -1 : PyMethod_Check(now) && PyMethod_GET_FUNCTION(now) == own;
    Py_XDECREF(now);
    return same;
}

int wf_feed_choose(struct wf_socket *s) {
    struct wf_transport_state *st = &s->t.state->transport;
    return has_own(s->t.protocol, st->reader_protocol, st->str_data_received,
                   st->own_data_received);
}

/* The protocol's reader, new reference; NULL without an exception where it is gone. */
static PyObject *reader_of(struct wf_socket *s) {
    struct wf_transport_state *st = &s->t.state->transport;
    PyObject *ref = PyObject_GetAttr(s->t.protocol, st->str__stream_reader_wr);
    if (ref == NULL) {
        return NULL;
    }
    PyObject *reader = ref != Py_None ? PyObject_CallNoArgs(ref) : Py_NewRef(Py_None);
    Py_DECREF(ref);
    if (reader == Py_None) {
        Py_CLEAR(reader);
    }
    return reader;
}

/* The reader's buffer where bytes may be put straight into it, new reference; NULL: the long way. */
static PyObject *buffer_of(struct wf_socket *s, PyObject *reader) {
    struct wf_transport_state *st = &s->t.state->transport;
    if (has_own(reader, st->stream_reader, st->str_feed_data, st->own_feed_data) <= 0) {
        return NULL;
    }
    PyObject *eof = PyObject_GetAttr(reader, st->str__eof);
    PyObject *buffer = eof == Py_False ? PyObject_GetAttr(reader, st->str__buffer) : NULL;
    Py_XDECREF(eof);
    if (buffer != NULL && !PyByteArray_CheckExact(buffer)) {
        Py_CLEAR(buffer);
    }
    return buffer;
}

/* Appends what there is to read, at most `room` bytes: recv()'s result, or -1 with errno, or -2 with
 * an exception (the buffer cannot grow: somebody looks at it, or there is no memory). */
static ssize_t recv_onto(struct wf_socket *s, PyObject *buffer, Py_ssize_t room) {
    Py_ssize_t old = PyByteArray_GET_SIZE(buffer);
    char *scratch = s->t.state->transport.scratch;
    bool direct = s->read_hint > WF_BULK_BYTES;
    if (direct && PyByteArray_Resize(buffer, old + room) < 0) {
        return -2;
    }
    char *into = direct ? PyByteArray_AS_STRING(buffer) + old : scratch;
    ssize_t n = wf_socket_recv(s, into, (size_t)(direct ? room : 2 * WF_BULK_BYTES));
    int saved = errno;
    Py_ssize_t got = WF_MAX(n, 0);
    if (direct ? PyByteArray_Resize(buffer, old + got) < 0
               : got != 0 && PyByteArray_Resize(buffer, old + got) < 0) {
        return -2;
    }
    if (!direct && got != 0) {
        memcpy(PyByteArray_AS_STRING(buffer) + old, scratch, (size_t)got);
    }
    errno = saved;
    return n;
}

/* StreamReader._wakeup_waiter */
static int wake_reader(struct wf_transport_state *st, PyObject *reader) {
    PyObject *waiter = PyObject_GetAttr(reader, st->str__waiter);
    if (waiter == NULL || waiter == Py_None) {
        Py_XDECREF(waiter);
        return waiter != NULL ? 0 : -1;
    }
    int rc = PyObject_SetAttr(reader, st->str__waiter, Py_None);
    PyObject *cancelled = rc == 0 ? PyObject_CallMethodNoArgs(waiter, st->str_cancelled) : NULL;
    rc = cancelled != NULL ? PyObject_IsTrue(cancelled) : -1;
    Py_XDECREF(cancelled);
    if (rc == 0) {
        PyObject *done = PyObject_CallMethodOneArg(waiter, st->str_set_result, Py_None);
        Py_XDECREF(done);
        rc = done != NULL ? 0 : -1;
    }
    Py_DECREF(waiter);
    return rc < 0 ? -1 : 0;
}

/* Reading pauses at twice the reader's limit, as feed_data() has it. */
static int pause_at_limit(struct wf_transport_state *st, PyObject *reader, PyObject *buffer) {
    PyObject *limit = PyObject_GetAttr(reader, st->str__limit);
    Py_ssize_t n = limit != NULL ? PyNumber_AsSsize_t(limit, NULL) : -1;
    Py_ssize_t size = PyByteArray_GET_SIZE(buffer);
    Py_XDECREF(limit);
    if (n == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (size <= n || size - n <= n) {
        return 0;
    }
    PyObject *paused = PyObject_GetAttr(reader, st->str__paused);
    PyObject *transport = paused == Py_False ? PyObject_GetAttr(reader, st->str__transport) : NULL;
    int rc = PyErr_Occurred() ? -1 : 0;
    if (transport != NULL && transport != Py_None) {
        PyObject *done = PyObject_CallMethodNoArgs(transport, st->str_pause_reading);
        rc = done != NULL ? PyObject_SetAttr(reader, st->str__paused, Py_True) : -1;
        Py_XDECREF(done);
    }
    Py_XDECREF(transport);
    Py_XDECREF(paused);
    return rc;
}

int wf_feed_reader(struct wf_socket *s, ssize_t *n) {
    struct wf_transport_state *st = &s->t.state->transport;
    /* the protocol's method may have been replaced since it was chosen */
    PyObject *reader = wf_feed_choose(s) > 0 ? reader_of(s) : NULL;
    PyObject *buffer = reader != NULL ? buffer_of(s, reader) : NULL;
    if (buffer == NULL) {
        Py_XDECREF(reader);
        PyErr_Clear();
        return WF_FED_NOT;
    }
    size_t room = WF_MIN(s->read_hint * 2, (size_t)WF_READ_MAX);
    int rc = WF_FED;
    *n = recv_onto(s, buffer, (Py_ssize_t)room);
    if (*n == -2) {
        rc = -1;
    } else if (*n <= 0) {
        rc = WF_FED_NOTHING;
    } else {
        wf_socket_learn(s, (size_t)*n);
        if (wake_reader(st, reader) < 0 || pause_at_limit(st, reader, buffer) < 0) {
            rc = -1;
        }
    }
    Py_DECREF(buffer);
    Py_DECREF(reader);
    return rc;
}
