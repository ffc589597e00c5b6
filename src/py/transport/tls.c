/* TLS: the part of asyncio's SSLProtocol that runs for every piece of data, in C; tls_steps.c has how
 * a connection begins and ends.
 *
 * weft.loop's SSLProtocol inherits from _core.TLS first and from asyncio.sslproto.SSLProtocol second:
 * what is made of the arguments, the backlog and flow control are asyncio's code. Its fields are ours
 * (tls_members), so both work on the same state. OpenSSL is Python's: an ssl.SSLObject between two
 * ssl.MemoryBIO.
 *
 *   socket ─recv─▶ scratch ─▶ incoming ─read()─▶ data_received(bytes)
 *   socket ◀─────── bytes ◀── outgoing ◀─write()── transport.write(data)
 *
 * Where asyncio reads until OpenSSL raises SSLWantReadError, we stop when `incoming` is empty: a read
 * asks for a whole record, so then nothing is left inside. */
#include "py/transport/tls_int.h"

/* The most plaintext that a record holds (RFC 8446, 5.1). */
enum { RECORD_BYTES_MAX = 16 * 1024 };

/* ---- small steps; 0, or -1 with an exception ---- */

int wf_tls_call(struct wf_tls *p, PyObject *method, PyObject *arg) {
    PyObject *done = arg != NULL ? PyObject_CallMethodOneArg((PyObject *)p, method, arg)
                                 : PyObject_CallMethodNoArgs((PyObject *)p, method);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

/* bio.pending, or -1 with an exception. */
static Py_ssize_t pending(struct wf_tls *p, PyObject *bio) {
    PyObject *n =
        bio != NULL ? PyObject_GetAttr(bio, p->state->transport.str_pending) : PyLong_FromLong(0);
    Py_ssize_t size = n != NULL ? PyLong_AsSsize_t(n) : -1;
    Py_XDECREF(n);
    return size;
}

static PyObject *raw_of(struct wf_tls *p) { /* borrowed; NULL with an exception */
    if (wf_unlikely(p->raw == NULL)) {
        if (p->sslobj == NULL) {
            return wf_transport_gone();
        }
        p->raw = PyObject_GetAttr(p->sslobj, p->state->transport.str__sslobj);
        if (p->raw == NULL) {
            PyErr_Clear();
            p->raw = Py_NewRef(p->sslobj);
        }
    }
    return p->raw;
}

/* Is the raised exception OpenSSL's "not now"? Then it is taken. */
bool wf_tls_again(struct wf_tls *p) {
    PyObject *kinds = p->state->transport.ssl_again;
    if (kinds == NULL || !PyErr_ExceptionMatches(kinds)) {
        return false;
    }
    PyErr_Clear();
    return true;
}

/* The raised exception, if it is an Exception, ends the connection. */
static int fatal(struct wf_tls *p) {
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyObject *exc = wf_err_take();
    PyObject *done = PyObject_CallMethod((PyObject *)p, "_fatal_error", "Os", exc,
                                         "Fatal error on SSL protocol");
    Py_DECREF(exc);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

/* ---- out ---- */

static int control_app_writing(struct wf_tls *p) {
    Py_ssize_t n = pending(p, p->outgoing);
    if (n < 0) {
        return -1;
    }
    n += p->write_buffer_size;
    bool tell = p->app_writing_paused ? n <= p->outgoing_low_water : n >= p->outgoing_high_water;
    return wf_unlikely(tell) ? wf_tls_call(p, p->state->transport.str__control_app_writing, NULL)
                             : 0;
}

static int send_out(struct wf_tls *p, PyObject *data) {
    struct wf_transport_state *st = &p->state->transport;
    PyObject *transport = Py_XNewRef(p->transport);
    if (transport == NULL) { /* asyncio would fail on None */
        PyErr_SetString(PyExc_ConnectionError, "TLS connection is closed");
        return -1;
    }
    PyObject *done = Py_IS_TYPE(transport, st->socket_type)
                         ? wf_socket_write((struct wf_socket *)transport, data)
                         : PyObject_CallMethodOneArg(transport, st->str_write, data);
    Py_DECREF(transport);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

int wf_tls_send(struct wf_tls *p) {
    if (!p->ssl_writing_paused && p->outgoing != NULL) {
        PyObject *data = PyObject_CallMethodNoArgs(p->outgoing, p->state->transport.str_read);
        if (data == NULL) {
            return -1;
        }
        int rc = PyObject_IsTrue(data);
        if (rc > 0) {
            rc = send_out(p, data);
        }
        Py_DECREF(data);
        if (rc < 0) {
            return -1;
        }
    }
    return control_app_writing(p);
}

/* Encrypts *data: 1, or 0 where OpenSSL does not take it now, or not all (then *data, owned, is the
 * rest), or -1. */
static int encrypt(struct wf_tls *p, PyObject **data) {
    struct wf_transport_state *st = &p->state->transport;
    Py_ssize_t waiting = p->write_backlog != NULL ? PyObject_Size(p->write_backlog) : 0;
    if (waiting != 0 || p->at != st->tls_wrapped) {
        return waiting < 0 ? -1 : 0;
    }
    PyObject *raw = raw_of(p);
    PyObject *written = raw != NULL ? PyObject_CallMethodOneArg(raw, st->str_write, *data) : NULL;
    if (written == NULL) {
        return wf_tls_again(p) ? 0 : -1;
    }
    Py_ssize_t n = PyLong_AsSsize_t(written), len = PyObject_Length(*data);
    Py_DECREF(written);
    if (n < 0 || len < 0) {
        return -1;
    }
    if (wf_likely(n >= len)) {
        return 1;
    }
    PyObject *rest = PySequence_GetSlice(*data, n, len);
    if (rest != NULL) {
        Py_SETREF(*data, rest);
    }
    return rest != NULL ? 0 : -1;
}

/* SSLProtocol._write_appdata([data]): what cannot go now waits in asyncio's backlog. */
static int write_one(struct wf_tls *p, PyObject *data) {
    struct wf_transport_state *st = &p->state->transport;
    PyObject *rest = Py_NewRef(data);
    int rc = encrypt(p, &rest);
    if (wf_likely(rc > 0)) {
        rc = wf_tls_send(p);
    } else if (rc == 0) {
        PyObject *list = PyTuple_Pack(1, rest);
        rc = list != NULL ? wf_tls_call(p, st->str__write_appdata, list) : -1;
        Py_XDECREF(list);
        Py_DECREF(rest);
        return rc;
    }
    Py_DECREF(rest);
    return rc < 0 ? fatal(p) : 0;
}

/* ---- in ---- */

static int control_ssl_reading(struct wf_tls *p) {
    Py_ssize_t n = pending(p, p->incoming);
    if (n < 0) {
        return -1;
    }
    bool tell = p->ssl_reading_paused ? n <= p->incoming_low_water : n >= p->incoming_high_water;
    return wf_unlikely(tell) ? wf_tls_call(p, p->state->transport.str__control_ssl_reading, NULL)
                             : 0;
}

/* raw.read(room, view[from:]): bytes read; 0 is close_notify; -1: not now; -2: an exception. */
static Py_ssize_t read_onto(struct wf_tls *p, PyObject *view, Py_ssize_t from, Py_ssize_t len) {
    PyObject *raw = raw_of(p), *room = PyLong_FromSsize_t(len - from);
    PyObject *into = from != 0 ? PySequence_GetSlice(view, from, len) : Py_NewRef(view);
    PyObject *args[] = {raw, room, into};
    PyObject *read = raw != NULL && room != NULL && into != NULL
                         ? PyObject_VectorcallMethod(p->state->transport.str_read, args, 3, NULL)
                         : NULL;
    Py_XDECREF(room);
    Py_XDECREF(into);
    if (read == NULL) {
        return wf_tls_again(p) ? -1 : -2;
    }
    Py_ssize_t n = PyLong_AsSsize_t(read);
    Py_DECREF(read);
    return n < 0 ? -2 : n;
}

/* `first`, owned, and behind it the records that `left` bytes of ciphertext hold. */
static PyObject *decrypt_rest(struct wf_tls *p, PyObject *first, Py_ssize_t left, bool *eof) {
    Py_ssize_t n = PyBytes_GET_SIZE(first);
    Py_ssize_t len = n + left + RECORD_BYTES_MAX; /* OpenSSL may hold most of a record already */
    PyObject *all = PyBytes_FromStringAndSize(NULL, len);
    PyObject *view =
        all != NULL ? PyMemoryView_FromMemory(PyBytes_AS_STRING(all), len, PyBUF_WRITE) : NULL;
    if (view != NULL) {
        memcpy(PyBytes_AS_STRING(all), PyBytes_AS_STRING(first), (size_t)n);
    }
    Py_ssize_t got = view != NULL ? 1 : -2;
    while (got > 0 && left > 0 && n < len) {
        got = read_onto(p, view, n, len);
        n += WF_MAX(got, 0);
        left = got > 0 ? pending(p, p->incoming) : 0;
    }
    *eof = got == 0;
    Py_XDECREF(view);
    Py_DECREF(first);
    if (got == -2 || left < 0) {
        Py_CLEAR(all);
    } else {
        (void)_PyBytes_Resize(&all, n); /* NULL with an exception where it fails */
    }
    return all;
}

/* Decrypts what there is: new reference to bytes, possibly none; *eof: close_notify came. */
static PyObject *decrypt(struct wf_tls *p, bool *eof) {
    struct wf_transport_state *st = &p->state->transport;
    Py_ssize_t left = pending(p, p->incoming);
    if (left <= 0) {
        return left == 0 ? PyBytes_FromStringAndSize(NULL, 0) : NULL;
    }
    PyObject *raw = raw_of(p);
    PyObject *data =
        raw != NULL ? PyObject_CallMethodOneArg(raw, st->str_read, st->record_bytes) : NULL;
    if (data == NULL) {
        return wf_tls_again(p) ? PyBytes_FromStringAndSize(NULL, 0) : NULL;
    }
    *eof = PyBytes_GET_SIZE(data) == 0;
    left = *eof ? 0 : pending(p, p->incoming);
    if (left < 0) {
        Py_CLEAR(data);
    }
    return left > 0 ? decrypt_rest(p, data, left, eof) : data;
}

/* Is there plaintext or ciphertext left? 1, 0, or -1 with an exception. */
static int more_to_read(struct wf_tls *p) {
    Py_ssize_t n = pending(p, p->incoming);
    if (n != 0) {
        return n < 0 ? -1 : 1;
    }
    PyObject *raw = raw_of(p);
    PyObject *inside =
        raw != NULL ? PyObject_CallMethodNoArgs(raw, p->state->transport.str_pending) : NULL;
    n = inside != NULL ? PyLong_AsSsize_t(inside) : -1;
    Py_XDECREF(inside);
    return n < 0 ? -1 : n > 0;
}

/* Fills the protocol's memory: 1 when it is full, 2 when close_notify came, else 0; or -1. */
static int fill(struct wf_tls *p, PyObject *view, Py_ssize_t len, Py_ssize_t *filled) {
    while (*filled < len) {
        int more = more_to_read(p);
        if (more <= 0) {
            return more;
        }
        Py_ssize_t n = read_onto(p, view, *filled, len);
        if (n <= 0) {
            return n == 0 ? 2 : n == -1 ? 0 : -1;
        }
        *filled += n;
    }
    return 1;
}

static int end_of_input(struct wf_tls *p) {
    return wf_tls_tell_eof(p) < 0 ? -1 : wf_tls_start_shutdown(p);
}

/* What a BufferedProtocol's get_buffer() gives, as a view of bytes; *len its size. */
static PyObject *app_buffer(struct wf_tls *p, PyObject *protocol, Py_ssize_t *len) {
    Py_ssize_t hint = pending(p, p->incoming);
    PyObject *n = hint >= 0 ? PyLong_FromSsize_t(hint) : NULL;
    PyObject *buf = n != NULL
                        ? PyObject_CallMethodOneArg(protocol, p->state->transport.str_get_buffer, n)
                        : NULL;
    PyObject *view = buf != NULL ? PyMemoryView_FromObject(buf) : NULL;
    Py_XDECREF(n);
    Py_XDECREF(buf);
    if (view != NULL) {
        *len = PyMemoryView_GET_BUFFER(view)->len;
        if (*len == 0) {
            PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
            Py_CLEAR(view);
        }
    }
    return view;
}

/* SSLProtocol._do_read__buffered */
static int deliver_buffered(struct wf_tls *p) {
    struct wf_transport_state *st = &p->state->transport;
    int more = p->app_protocol != NULL ? more_to_read(p) : 0;
    if (more <= 0) {
        return more;
    }
    PyObject *protocol = Py_NewRef(p->app_protocol);
    Py_ssize_t len = 0, filled = 0;
    PyObject *view = app_buffer(p, protocol, &len);
    int rc = view != NULL ? fill(p, view, len, &filled) : -1;
    if (view != NULL) { /* before the protocol goes on with its memory */
        PyObject *exc = rc < 0 ? wf_err_take() : NULL;
        PyObject *released = PyObject_CallMethod(view, "release", NULL);
        Py_XDECREF(released);
        Py_DECREF(view);
        if (exc != NULL) {
            PyErr_Clear();
            wf_err_put(exc);
        } else if (released == NULL) {
            rc = -1;
        }
    }
    bool full = rc == 1, eof = rc == 2;
    if (rc >= 0 && filled > 0) {
        PyObject *n = PyLong_FromSsize_t(filled);
        PyObject *done =
            n != NULL ? PyObject_CallMethodOneArg(protocol, st->str_buffer_updated, n) : NULL;
        rc = done != NULL ? 0 : -1;
        Py_XDECREF(n);
        Py_XDECREF(done);
    }
    Py_DECREF(protocol);
    if (rc >= 0 && full) { /* others have their turn before the rest */
        rc = wf_tls_call(p, st->str__read_later, NULL);
    }
    return rc < 0 ? -1 : eof ? end_of_input(p) : 0;
}

/* SSLProtocol._do_read__copied */
static int deliver(struct wf_tls *p) {
    struct wf_transport_state *st = &p->state->transport;
    bool eof = false;
    PyObject *data = decrypt(p, &eof);
    if (data == NULL) {
        return -1;
    }
    PyObject *protocol = Py_XNewRef(p->app_protocol), *done = Py_NewRef(Py_None);
    if (PyBytes_GET_SIZE(data) != 0 && protocol != NULL) {
        Py_SETREF(done, PyObject_CallMethodOneArg(protocol, st->str_data_received, data));
    }
    Py_XDECREF(protocol);
    Py_DECREF(data);
    Py_XDECREF(done);
    if (done == NULL) {
        return -1;
    }
    return wf_unlikely(eof) ? end_of_input(p) : 0;
}

static int read_and_reply(struct wf_tls *p) {
    struct wf_transport_state *st = &p->state->transport;
    if (!p->app_reading_paused) {
        int rc = p->app_protocol_is_buffer ? deliver_buffered(p) : deliver(p);
        if (rc < 0) {
            return -1;
        }
        Py_ssize_t waiting = p->write_backlog != NULL ? PyObject_Size(p->write_backlog) : 0;
        if (waiting < 0) {
            return -1;
        }
        /* what was read may ask for an answer of TLS's own, a key update for one */
        rc = waiting != 0 ? wf_tls_call(p, st->str__do_write, NULL) : wf_tls_send(p);
        if (rc < 0) {
            return -1;
        }
    }
    return control_ssl_reading(p);
}

int wf_tls_read(struct wf_tls *p) {
    struct wf_transport_state *st = &p->state->transport;
    if (p->at != st->tls_wrapped && p->at != st->tls_flushing) {
        return 0;
    }
    return read_and_reply(p) < 0 ? fatal(p) : 0;
}

static int received(struct wf_tls *p, PyObject *data) {
    struct wf_transport_state *st = &p->state->transport;
    PyObject *taken = p->incoming != NULL
                          ? PyObject_CallMethodOneArg(p->incoming, st->str_write, data)
                          : wf_transport_gone();
    if (taken == NULL) {
        return -1;
    }
    Py_DECREF(taken);
    if (wf_likely(p->at == st->tls_wrapped)) {
        return wf_tls_read(p);
    }
    if (p->at == st->tls_do_handshake) {
        return wf_tls_do_handshake(p);
    }
    if (p->at == st->tls_flushing) {
        return wf_tls_do_flush(p);
    }
    return p->at == st->tls_shutdown ? wf_tls_do_shutdown(p) : 0;
}

int wf_tls_received(PyObject *protocol, char *bytes, size_t n) {
    struct wf_tls *p = (struct wf_tls *)protocol;
    PyObject *view = PyMemoryView_FromMemory(bytes, (Py_ssize_t)n, PyBUF_READ);
    int rc = view != NULL ? received(p, view) : -1;
    Py_XDECREF(view);
    return rc;
}

int wf_tls_check(struct wf_state *state, PyObject *protocol) {
    return state->transport.tls_type != NULL &&
           PyObject_TypeCheck(protocol, state->transport.tls_type);
}

/* ---- the protocol as Python sees it ---- */

static PyObject *none_or_error(int rc) {
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *py_do_read(struct wf_tls *p, PyObject *unused) {
    return none_or_error(wf_tls_read(p));
}

static PyObject *py_process_outgoing(struct wf_tls *p, PyObject *unused) {
    return none_or_error(wf_tls_send(p));
}

static PyObject *tls_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    struct wf_state *state = wf_state_of_type(type);
    if (state == NULL || state->transport.tls_type == NULL) {
        return state != NULL ? wf_transport_gone() : NULL;
    }
    struct wf_tls *p = (struct wf_tls *)type->tp_alloc(type, 0);
    if (p != NULL) {
        p->state = state;
        p->module = Py_NewRef(PyType_GetModuleByDef(type, &wf_core_module));
    }
    return (PyObject *)p;
}

static int tls_traverse(struct wf_tls *p, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(p));
    Py_VISIT(p->module);
    Py_VISIT(p->at);
    Py_VISIT(p->incoming);
    Py_VISIT(p->outgoing);
    Py_VISIT(p->sslobj);
    Py_VISIT(p->write_backlog);
    Py_VISIT(p->transport);
    Py_VISIT(p->app_protocol);
    Py_VISIT(p->app_state);
    Py_VISIT(p->loop);
    Py_VISIT(p->waiter);
    Py_VISIT(p->app_transport);
    Py_VISIT(p->extra);
    Py_VISIT(p->handshake_timeout_handle);
    Py_VISIT(p->shutdown_timeout_handle);
    Py_VISIT(p->handshake_start_time);
    Py_VISIT(p->raw);
    return 0;
}

static int tls_clear(struct wf_tls *p) {
    Py_CLEAR(p->at);
    Py_CLEAR(p->incoming);
    Py_CLEAR(p->outgoing);
    Py_CLEAR(p->sslobj);
    Py_CLEAR(p->write_backlog);
    Py_CLEAR(p->transport);
    Py_CLEAR(p->app_protocol);
    Py_CLEAR(p->app_state);
    Py_CLEAR(p->loop);
    Py_CLEAR(p->waiter);
    Py_CLEAR(p->app_transport);
    Py_CLEAR(p->extra);
    Py_CLEAR(p->handshake_timeout_handle);
    Py_CLEAR(p->shutdown_timeout_handle);
    Py_CLEAR(p->handshake_start_time);
    Py_CLEAR(p->raw);
    return 0;
}

static void tls_dealloc(struct wf_tls *p) {
    PyTypeObject *type = Py_TYPE(p);
    PyObject_GC_UnTrack(p);
    (void)tls_clear(p);
    Py_XDECREF(p->module);
    type->tp_free(p);
    Py_DECREF(type);
}

/* A setter, since `raw` goes with it. */
static PyObject *get_sslobj(struct wf_tls *p, void *unused) {
    return Py_NewRef(p->sslobj != NULL ? p->sslobj : Py_None);
}

static int set_sslobj(struct wf_tls *p, PyObject *value, void *unused) {
    Py_CLEAR(p->raw);
    Py_XSETREF(p->sslobj, value != Py_None ? Py_XNewRef(value) : NULL);
    return 0;
}

/* None is kept as NULL, so that the code above need not ask for both. */
static PyObject *get_object(struct wf_tls *p, void *offset) {
    PyObject *value = *(PyObject **)((char *)p + (size_t)offset);
    return Py_NewRef(value != NULL ? value : Py_None);
}

static int set_object(struct wf_tls *p, PyObject *value, void *offset) {
    PyObject **field = (PyObject **)((char *)p + (size_t)offset);
    PyObject *old = *field;
    *field = value != Py_None ? Py_XNewRef(value) : NULL;
    Py_XDECREF(old);
    return 0;
}

#define OBJECT(name, field)                                                                        \
    { name, (getter)get_object, (setter)set_object, NULL, (void *)offsetof(struct wf_tls, field) }

static PyGetSetDef tls_getset[] = {
    OBJECT("_state", at),
    OBJECT("_incoming", incoming),
    OBJECT("_outgoing", outgoing),
    OBJECT("_write_backlog", write_backlog),
    OBJECT("_transport", transport),
    OBJECT("_app_protocol", app_protocol),
    OBJECT("_app_state", app_state),
    OBJECT("_loop", loop),
    OBJECT("_waiter", waiter),
    OBJECT("_app_transport", app_transport),
    OBJECT("_extra", extra),
    OBJECT("_handshake_timeout_handle", handshake_timeout_handle),
    OBJECT("_shutdown_timeout_handle", shutdown_timeout_handle),
    OBJECT("_handshake_start_time", handshake_start_time),
    {"_sslobj", (getter)get_sslobj, (setter)set_sslobj, NULL, NULL},
    {NULL},
};

#define SIZE(name, field)                                                                          \
    { name, T_PYSSIZET, offsetof(struct wf_tls, field), 0, NULL }
#define FLAG(name, field)                                                                          \
    { name, Py_T_BOOL, offsetof(struct wf_tls, field), 0, NULL }

static PyMemberDef tls_members[] = {
    SIZE("_write_buffer_size", write_buffer_size),
    SIZE("_outgoing_high_water", outgoing_high_water),
    SIZE("_outgoing_low_water", outgoing_low_water),
    SIZE("_incoming_high_water", incoming_high_water),
    SIZE("_incoming_low_water", incoming_low_water),
    SIZE("_conn_lost", conn_lost),
    FLAG("_eof_received", eof_received),
    FLAG("_app_reading_paused", app_reading_paused),
    FLAG("_app_writing_paused", app_writing_paused),
    FLAG("_ssl_reading_paused", ssl_reading_paused),
    FLAG("_ssl_writing_paused", ssl_writing_paused),
    FLAG("_app_protocol_is_buffer", app_protocol_is_buffer),
    {NULL},
};

static PyMethodDef tls_methods[] = {
    {"_do_read", (PyCFunction)py_do_read, METH_NOARGS, NULL},
    {"_process_outgoing", (PyCFunction)py_process_outgoing, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot tls_slots[] = {
    {Py_tp_doc, "What of asyncio's SSLProtocol runs for every piece of data."},
    {Py_tp_new, tls_new},
    {Py_tp_dealloc, tls_dealloc},
    {Py_tp_traverse, tls_traverse},
    {Py_tp_clear, tls_clear},
    {Py_tp_methods, tls_methods},
    {Py_tp_members, tls_members},
    {Py_tp_getset, tls_getset},
    {0, NULL},
};

static PyType_Spec tls_spec = {
    .name = "weft._core.TLS",
    .basicsize = sizeof(struct wf_tls),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = tls_slots,
};

/* write() of the transport above: a method for asyncio's class, whose layout is not ours. */
static PyObject *tls_write(PyObject *transport, PyObject *data) {
    struct wf_state *state = NULL;
    if (wf_unlikely(!PyBytes_Check(data) && !PyByteArray_Check(data) &&
                    !PyMemoryView_Check(data))) {
        return PyErr_Format(PyExc_TypeError, "data: expecting a bytes-like instance, got %.200s",
                            Py_TYPE(data)->tp_name);
    }
    int some = PyObject_IsTrue(data);
    if (some <= 0) {
        return none_or_error(some);
    }
    PyObject *protocol = PyObject_GetAttrString(transport, "_ssl_protocol");
    if (protocol == NULL) {
        return NULL;
    }
    if (wf_unlikely(protocol == Py_None)) { /* it has been closed twice */
        Py_DECREF(protocol);
        Py_RETURN_NONE;
    }
    state = wf_state_of_type(Py_TYPE(protocol));
    int rc = -1;
    if (state != NULL && wf_tls_check(state, protocol)) {
        rc = write_one((struct wf_tls *)protocol, data);
    } else if (state != NULL) {
        PyErr_SetString(PyExc_TypeError, "_ssl_protocol has to be a _core.TLS");
    }
    Py_DECREF(protocol);
    return none_or_error(rc);
}

static PyMethodDef tls_write_def = {"write", (PyCFunction)tls_write, METH_O,
                                    "write($self, data, /)\n--\n\n"
                                    "Encrypts bytes and sends them; what cannot go yet waits."};

/* ---- the room's part ---- */

/* Members of asyncio's enumerations of states, and the exceptions of ssl. */
static int import_states(struct wf_transport_state *s) {
    PyObject *sslproto = PyImport_ImportModule("asyncio.sslproto");
    PyObject *states =
        sslproto != NULL ? PyObject_GetAttrString(sslproto, "SSLProtocolState") : NULL;
    PyObject *app = states != NULL ? PyObject_GetAttrString(sslproto, "AppProtocolState") : NULL;
    int rc = app != NULL ? 0 : -1;
    if (rc == 0) {
        const struct {
            PyObject **to, *from;
            const char *name;
        } members[] = {
            {&s->tls_unwrapped, states, "UNWRAPPED"},
            {&s->tls_do_handshake, states, "DO_HANDSHAKE"},
            {&s->tls_wrapped, states, "WRAPPED"},
            {&s->tls_flushing, states, "FLUSHING"},
            {&s->tls_shutdown, states, "SHUTDOWN"},
            {&s->app_init, app, "STATE_INIT"},
            {&s->app_made, app, "STATE_CON_MADE"},
            {&s->app_eof, app, "STATE_EOF"},
            {&s->app_lost, app, "STATE_CON_LOST"},
        };
        for (size_t i = 0; rc == 0 && i < sizeof(members) / sizeof(*members); i++) {
            *members[i].to = PyObject_GetAttrString(members[i].from, members[i].name);
            rc = *members[i].to != NULL ? 0 : -1;
        }
    }
    if (rc == 0) { /* a Python without ssl has none of these, and nobody will ask */
        PyObject *ssl = PyObject_GetAttrString(sslproto, "ssl");
        s->ssl_again = PyObject_GetAttrString(sslproto, "SSLAgainErrors");
        s->ssl_error = ssl != NULL ? PyObject_GetAttrString(ssl, "SSLError") : NULL;
        s->certificate_error = ssl != NULL ? PyObject_GetAttrString(ssl, "CertificateError") : NULL;
        PyErr_Clear();
        Py_XDECREF(ssl);
    }
    Py_XDECREF(app);
    Py_XDECREF(states);
    Py_XDECREF(sslproto);
    return rc;
}

int wf_tls_exec(PyObject *module, struct wf_state *state) {
    struct wf_transport_state *s = &state->transport;
    if (import_states(s) < 0) {
        return -1;
    }
    s->record_bytes = PyLong_FromLong(RECORD_BYTES_MAX);
    s->tls_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &tls_spec, NULL);
    if (s->record_bytes == NULL || s->tls_type == NULL ||
        wf_transport_add_methods(s->tls_type, wf_tls_step_methods) < 0) {
        return -1;
    }
    PyObject *method = PyDescr_NewMethod(&PyBaseObject_Type, &tls_write_def);
    int rc = method != NULL && PyModule_AddObjectRef(module, "_tls_write", method) == 0
                 ? PyModule_AddType(module, s->tls_type)
                 : -1;
    Py_XDECREF(method);
    return rc;
}
