/* DatagramTransport: UDP and unix datagrams, connected to one peer or not. */
#include <errno.h>

#include "io/os.h"
#include "py/transport/transport_int.h"

/* What a queued datagram counts beside its data, so that many empty ones are noticed too. */
enum { DATAGRAM_HEADER_BYTES = 8 };

struct wf_datagram {
    struct wf_transport t;
    PyObject *address; /* owned: where everything goes; or NULL: each datagram says it */
    bool connected;    /* the socket is: it needs no address */
    int family;
    /* The last sender: the next datagram is usually of the same one, and an address is three
     * objects. */
    struct sockaddr_storage last;
    socklen_t last_len;
    PyObject *last_obj; /* owned, or NULL */
};

/* error_received(exc) with the error of a system call. */
static int tell_error(struct wf_transport *t, int err) {
    errno = err;
    PyErr_SetFromErrno(PyExc_OSError);
    PyObject *exc = wf_err_take();
    PyObject *done = wf_transport_call(t, t->state->transport.str_error_received, exc);
    Py_DECREF(exc);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

static bool try_later(int err) {
    return err == EAGAIN || err == EWOULDBLOCK || err == EINTR;
}

/* ---- in ---- */

/* New reference. */
static PyObject *sender(struct wf_datagram *d, const struct sockaddr_storage *addr, socklen_t len) {
    if (d->last_obj != NULL && d->last_len == len && memcmp(&d->last, addr, len) == 0) {
        return Py_NewRef(d->last_obj);
    }
    if (len == 0) { /* an unnamed unix socket */
        Py_RETURN_NONE;
    }
    PyObject *obj = wf_address_object((const struct sockaddr *)addr, len);
    if (obj != NULL && len <= sizeof(d->last)) {
        memcpy(&d->last, addr, len);
        d->last_len = len;
        Py_XSETREF(d->last_obj, Py_NewRef(obj));
    }
    return obj;
}

static int read_one(struct wf_datagram *d) {
    struct wf_transport *t = &d->t;
    struct wf_transport_state *st = &t->state->transport;
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);
    ssize_t n = recvfrom(t->fd, st->scratch, WF_SCRATCH_BYTES, 0, (struct sockaddr *)&addr, &len);
    if (n < 0) {
        return try_later(errno) ? 0 : tell_error(t, errno);
    }
    PyObject *data = PyBytes_FromStringAndSize(st->scratch, n);
    PyObject *from = data != NULL ? sender(d, &addr, len) : NULL;
    PyObject *args[] = {t->protocol, data, from};
    if (from == NULL || t->protocol == NULL || st->str_datagram_received == NULL) {
        Py_XDECREF(data);
        Py_XDECREF(from);
        return from == NULL ? -1 : 0;
    }
    Py_INCREF(args[0]); /* it may replace itself */
    PyObject *done = PyObject_VectorcallMethod(st->str_datagram_received, args, 3, NULL);
    Py_DECREF(args[0]);
    Py_DECREF(data);
    Py_DECREF(from);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

static PyObject *read_ready(struct wf_datagram *d, PyObject *unused) {
    if (!d->t.watching_read) {
        Py_RETURN_NONE;
    }
    Py_INCREF(d);
    int rc = read_one(d);
    Py_DECREF(d);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- out ---- */

/* By the socket module, for what is not a plain address: names, errors and their words are its. */
static ssize_t send_by_python(struct wf_datagram *d, PyObject *data, PyObject *to) {
    PyObject *sock = d->t.sock;
    PyObject *args[] = {sock, data, to};
    PyObject *sent =
        sock != NULL ? PyObject_VectorcallMethod(d->t.state->transport.str_sendto, args, 3, NULL)
                     : wf_transport_gone();
    if (sent != NULL) {
        Py_DECREF(sent);
        return 0;
    }
    if (!PyErr_ExceptionMatches(PyExc_OSError)) {
        return -1;
    }
    PyObject *exc = wf_err_take();
    PyObject *number = PyObject_GetAttrString(exc, "errno");
    long err = number != NULL && PyLong_Check(number) ? PyLong_AsLong(number) : 0;
    Py_XDECREF(number);
    if (PyErr_Occurred()) {
        PyErr_Clear();
    }
    if (err > 0 && try_later((int)err)) {
        Py_DECREF(exc);
        errno = (int)err;
        return -2;
    }
    PyObject *done = wf_transport_call(&d->t, d->t.state->transport.str_error_received, exc);
    Py_DECREF(exc);
    Py_XDECREF(done);
    return done != NULL ? 0 : -3;
}

enum sent { SENT, LATER, FATAL, RAISED };

/* SENT: gone, or error_received() was told. LATER: no room now. FATAL: an exception that ends the
 * transport. RAISED: one of error_received()'s, which goes to the caller. */
static enum sent send_one(struct wf_datagram *d, PyObject *data, PyObject *to) {
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return FATAL;
    }
    struct sockaddr_storage addr;
    socklen_t len = 0;
    ssize_t n;
    int err = 0;
    if (d->connected) {
        n = send(d->t.fd, view.buf, (size_t)view.len, MSG_NOSIGNAL);
        err = errno;
    } else if (wf_address_parse(d->family, to, &addr, &len)) {
        n = sendto(d->t.fd, view.buf, (size_t)view.len, MSG_NOSIGNAL, (struct sockaddr *)&addr,
                   len);
        err = errno;
    } else {
        PyBuffer_Release(&view);
        n = send_by_python(d, data, to);
        return n >= 0 ? SENT : n == -2 ? LATER : n == -3 ? RAISED : FATAL;
    }
    PyBuffer_Release(&view);
    if (wf_likely(n >= 0)) {
        return SENT;
    }
    if (try_later(err)) {
        return LATER;
    }
    return tell_error(&d->t, err) < 0 ? RAISED : SENT;
}

static int queue(struct wf_datagram *d, PyObject *data, PyObject *to) {
    struct wf_transport *t = &d->t;
    struct wf_transport_state *st = &t->state->transport;
    if (t->datagrams == NULL && st->deque != NULL) {
        t->datagrams = PyObject_CallNoArgs(st->deque);
    }
    /* what waits must not change */
    PyObject *bytes = t->datagrams != NULL ? PyBytes_FromObject(data) : NULL;
    PyObject *entry = bytes != NULL ? PyTuple_Pack(2, bytes, to) : NULL;
    PyObject *done =
        entry != NULL ? PyObject_CallMethodOneArg(t->datagrams, st->str_append, entry) : NULL;
    int rc = done != NULL ? wf_transport_watch_write(t) : -1;
    if (done != NULL) {
        t->out.size += (size_t)PyBytes_GET_SIZE(bytes) + DATAGRAM_HEADER_BYTES;
    }
    Py_XDECREF(bytes);
    Py_XDECREF(entry);
    Py_XDECREF(done);
    return rc < 0 ? -1 : wf_transport_maybe_pause(t);
}

static int send_or_queue(struct wf_datagram *d, PyObject *data, PyObject *to) {
    struct wf_transport *t = &d->t;
    if (wf_unlikely(t->conn_lost != 0)) {
        return wf_transport_write_to_lost(t);
    }
    if (t->out.size == 0) {
        switch (send_one(d, data, to)) {
        case SENT:
            return 0;
        case FATAL:
            return wf_transport_fatal(t, "Fatal write error on datagram transport");
        case RAISED:
            return -1;
        case LATER:
            break;
        }
    }
    return queue(d, data, to);
}

/* Where it goes: borrowed; NULL with ValueError where the transport has a peer and `to` is not it. */
static PyObject *destination(struct wf_datagram *d, PyObject *to) {
    if (d->address == NULL) {
        return to;
    }
    if (to != Py_None && to != d->address) {
        int same = PyObject_RichCompareBool(to, d->address, Py_EQ);
        if (same <= 0) {
            if (same == 0) {
                PyErr_Format(PyExc_ValueError, "Invalid address: must be None or %R", d->address);
            }
            return NULL;
        }
    }
    return d->address;
}

static PyObject *sendto_address(struct wf_datagram *d, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames) {
    PyObject *data = nargs > 0 ? args[0] : NULL, *to = nargs > 1 ? args[1] : Py_None;
    Py_ssize_t nkw = kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < nkw; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        if (nargs < 2 && PyUnicode_CompareWithASCIIString(name, "addr") == 0) {
            to = args[nargs + i];
        } else if (data == NULL && PyUnicode_CompareWithASCIIString(name, "data") == 0) {
            data = args[nargs + i];
        } else {
            return PyErr_Format(PyExc_TypeError, "sendto() got an unexpected argument %R", name);
        }
    }
    if (data == NULL || nargs > 2) {
        PyErr_SetString(PyExc_TypeError, "sendto() takes data and an address");
        return NULL;
    }
    if (!PyBytes_Check(data) && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        return PyErr_Format(PyExc_TypeError,
                            "data argument must be a bytes-like object, not '%.200s'",
                            Py_TYPE(data)->tp_name);
    }
    to = destination(d, to);
    return to == NULL || send_or_queue(d, data, to) < 0 ? NULL : Py_NewRef(Py_None);
}

/* Sends from the front of the queue: 1 when it is empty, 0 when there is no room, or -1. */
static int send_queued(struct wf_datagram *d) {
    struct wf_transport *t = &d->t;
    struct wf_transport_state *st = &t->state->transport;
    while (t->datagrams != NULL && PyObject_Size(t->datagrams) > 0) {
        PyObject *entry = PyObject_CallMethodNoArgs(t->datagrams, st->str_popleft);
        if (entry == NULL) {
            return -1;
        }
        PyObject *data = PyTuple_GET_ITEM(entry, 0); /* borrowed from entry */
        enum sent sent = send_one(d, data, PyTuple_GET_ITEM(entry, 1));
        int rc = 1;
        if (sent == LATER && t->datagrams != NULL) {
            PyObject *back = PyObject_CallMethodOneArg(t->datagrams, st->str_appendleft, entry);
            rc = back != NULL ? 0 : -1;
            Py_XDECREF(back);
        } else if (t->datagrams != NULL) { /* else aborted by error_received() */
            t->out.size -= (size_t)PyBytes_GET_SIZE(data) + DATAGRAM_HEADER_BYTES;
        }
        Py_DECREF(entry);
        if (sent == FATAL) {
            return wf_transport_fatal(t, "Fatal write error on datagram transport");
        }
        if (sent == RAISED || rc < 1) {
            return sent == RAISED ? -1 : rc;
        }
    }
    return 1;
}

static PyObject *write_ready(struct wf_datagram *d, PyObject *unused) {
    struct wf_transport *t = &d->t;
    if (!t->watching_write || t->conn_lost != 0) {
        Py_RETURN_NONE;
    }
    Py_INCREF(d);
    int rc = send_queued(d);
    if (rc >= 0) {
        rc = wf_transport_maybe_resume(t); /* may send more, or close */
    }
    if (rc == 0 && t->out.size == 0 && t->watching_write && t->conn_lost == 0) {
        wf_transport_unwatch_write(t);
        if (t->closing) {
            t->conn_lost = 1;
            rc = wf_transport_lost(t);
        }
    }
    Py_DECREF(d);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- the object ---- */

static int init(struct wf_datagram *d, struct wf_state *state, PyObject *loop, PyObject *sock,
                PyObject *protocol, PyObject *address, PyObject *extra) {
    int fd = PyObject_AsFileDescriptor(sock);
    d->t.module = Py_XNewRef(PyType_GetModuleByDef(Py_TYPE(d), &wf_core_module));
    if (fd < 0 || d->t.module == NULL) {
        return -1;
    }
    struct sockaddr_storage name = {0};
    socklen_t len = sizeof(name);
    d->t.kind = WF_KIND_DATAGRAM;
    d->address = address != Py_None ? Py_NewRef(address) : NULL;
    d->family = getsockname(fd, (struct sockaddr *)&name, &len) == 0 ? name.ss_family : AF_UNSPEC;
    if (wf_transport_init(&d->t, state, loop, protocol, sock, fd, extra, NULL) < 0) {
        return -1;
    }
    PyObject *peer = PyDict_GetItemWithError(d->t.extra, state->transport.str_peername);
    int connected = peer != NULL ? PyObject_IsTrue(peer) : 0; /* borrowed */
    d->connected = connected > 0;
    return connected < 0 || PyErr_Occurred() ? -1 : 0;
}

/* (loop, sock, protocol, address=None, waiter=None, extra=None) */
static PyObject *datagram_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"loop", "sock", "protocol", "address", "waiter", "extra", NULL};
    PyObject *loop, *sock, *protocol, *address = Py_None, *waiter = Py_None, *extra = Py_None;
    struct wf_state *state = wf_state_of_type(type);
    if (state == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|OOO:DatagramTransport", keywords, &loop,
                                     &sock, &protocol, &address, &waiter, &extra) ||
        wf_pyloop_reactor(state, loop) == NULL) {
        return NULL;
    }
    struct wf_datagram *d = (struct wf_datagram *)type->tp_alloc(type, 0);
    if (d == NULL) {
        return NULL;
    }
    if (init(d, state, loop, sock, protocol, address, extra) < 0) {
        d->t.fd_open = false; /* still the caller's */
        Py_DECREF(d);
        return NULL;
    }
    d->t.waiter = waiter != Py_None ? Py_NewRef(waiter) : NULL;
    if (wf_transport_call_soon(&d->t, state->transport.fn_begin, d->t.context) < 0) {
        Py_CLEAR(d);
    }
    return (PyObject *)d;
}

static int datagram_traverse(struct wf_datagram *d, visitproc visit, void *arg) {
    Py_VISIT(d->address);
    Py_VISIT(d->last_obj);
    return wf_transport_traverse_fields(&d->t, visit, arg);
}

static int datagram_clear(struct wf_datagram *d) {
    Py_CLEAR(d->address);
    Py_CLEAR(d->last_obj);
    return wf_transport_clear_fields(&d->t);
}

static void datagram_dealloc(struct wf_datagram *d) {
    if (PyObject_CallFinalizerFromDealloc((PyObject *)d) < 0) {
        return;
    }
    PyObject_GC_UnTrack(d);
    Py_CLEAR(d->address);
    Py_CLEAR(d->last_obj);
    wf_transport_dealloc(&d->t);
}

static PyObject *datagram_class(struct wf_datagram *d, void *unused) {
    PyObject *seen = d->t.state->transport.datagram_face;
    return seen != NULL ? Py_NewRef(seen) : wf_transport_gone();
}

static PyMethodDef datagram_methods[] = {
    {"_read_ready", (PyCFunction)read_ready, METH_NOARGS, NULL},
    {"_write_ready", (PyCFunction)write_ready, METH_NOARGS, NULL},
    {"sendto", (PyCFunction)(void (*)(void))sendto_address, METH_FASTCALL | METH_KEYWORDS,
     "sendto($self, data, addr=None)\n--\n\n"
     "Sends one datagram, or buffers it where the socket is full; never waits. `addr` is None for "
     "the peer the socket is connected to. TypeError for data that is not bytes-like, ValueError "
     "for another address than the peer's. What the kernel refuses is told to the protocol's "
     "error_received()."},
    {NULL},
};

static PyGetSetDef datagram_getset[] = {
    {"__class__", (getter)datagram_class, NULL, NULL, NULL},
    {NULL},
};

static PyMemberDef datagram_members[] = {
    {"_address", T_OBJECT, offsetof(struct wf_datagram, address), Py_READONLY, NULL},
    {NULL},
};

static PyType_Slot datagram_slots[] = {
    {Py_tp_doc, "UDP and unix datagrams; asyncio's datagram transport in C."},
    {Py_tp_new, datagram_new},
    {Py_tp_dealloc, datagram_dealloc},
    {Py_tp_traverse, datagram_traverse},
    {Py_tp_clear, datagram_clear},
    {Py_tp_methods, datagram_methods},
    {Py_tp_members, datagram_members},
    {Py_tp_getset, datagram_getset},
    {0, NULL},
};

static PyType_Spec datagram_spec = {
    .name = "weft._core.DatagramTransport",
    .basicsize = sizeof(struct wf_datagram),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = datagram_slots,
};

int wf_datagram_exec(PyObject *module, struct wf_state *state) {
    struct wf_transport_state *s = &state->transport;
    s->datagram_face = wf_transport_face("DatagramTransport", "DatagramTransport", true);
    s->datagram_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &datagram_spec,
                                                                (PyObject *)s->transport_type);
    if (s->datagram_face == NULL || s->datagram_type == NULL ||
        wf_transport_add_methods(s->datagram_type, wf_transport_reading_methods) < 0) {
        return -1;
    }
    PyObject *type = (PyObject *)s->datagram_type;
    s->fn_read[WF_KIND_DATAGRAM] = PyObject_GetAttrString(type, "_read_ready");
    s->fn_write[WF_KIND_DATAGRAM] = PyObject_GetAttrString(type, "_write_ready");
    if (s->fn_read[WF_KIND_DATAGRAM] == NULL || s->fn_write[WF_KIND_DATAGRAM] == NULL) {
        return -1;
    }
    return PyModule_AddType(module, s->datagram_type);
}
