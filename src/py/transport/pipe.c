/* ReadPipeTransport and WritePipeTransport: an end of a pipe, a terminal, or a socket used as one.
 *
 * Reading is the stream's (read.c), and so is writing (write.c). What differs is asyncio's idea of
 * the end: a read pipe is over when nothing more comes, whatever eof_received() says; a write pipe
 * that is closed takes nothing more, and is told by its read side that nobody reads. */
#include <fcntl.h>
#include <sys/stat.h>

#include "py/transport/transport_int.h"

struct wf_pipe {
    struct wf_socket s;
    unsigned dropped; /* writes since it was closed */
};

/* ---- the end ---- */

int wf_pipe_ended(struct wf_socket *s) {
    struct wf_transport *t = &s->t;
    struct wf_transport_state *st = &t->state->transport;
    if (wf_transport_debug(t, "%r was closed by peer") < 0) {
        return -1;
    }
    t->closing = true;
    t->conn_lost = 1;
    wf_transport_unwatch_read(t);
    PyObject *told = t->protocol != NULL && st->str_eof_received != NULL
                         ? PyObject_GetAttr(t->protocol, st->str_eof_received)
                         : wf_transport_gone();
    if (told == NULL) {
        return -1;
    }
    int rc = wf_pyloop_call_soon(t->state, t->loop, told, NULL, NULL);
    Py_DECREF(told);
    return rc < 0 ? -1 : wf_transport_call_soon(t, st->fn_lost, NULL);
}

/* The read side of a write pipe is ready: there is nobody at the other end. */
static PyObject *peer_gone(struct wf_pipe *p, PyObject *unused) {
    struct wf_transport *t = &p->s.t;
    if (!t->watching_read) {
        Py_RETURN_NONE;
    }
    if (wf_transport_debug(t, "%r was closed by peer") < 0) {
        return NULL;
    }
    PyObject *exc =
        t->out.size != 0 ? PyObject_CallNoArgs(PyExc_BrokenPipeError) : Py_NewRef(Py_None);
    int rc = exc != NULL ? wf_transport_force_close(t, exc) : -1;
    Py_XDECREF(exc);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- out ---- */

/* Bytes that go nowhere: counted, and told once they are many. */
static PyObject *drop(struct wf_pipe *p) {
    if (p->dropped++ < WF_LOST_WRITES_MAX) {
        Py_RETURN_NONE;
    }
    return PyObject_CallMethod(p->s.t.state->transport.logger, "warning", "s",
                               "pipe closed by peer or os.write(pipe, data) raised exception.");
}

static PyObject *write_pipe(struct wf_pipe *p, PyObject *data) {
    return wf_unlikely(p->s.t.closing) ? drop(p) : wf_socket_write(&p->s, data);
}

static PyObject *writelines(struct wf_pipe *p, PyObject *lines) {
    return wf_unlikely(p->s.t.closing) ? drop(p) : wf_socket_writelines(&p->s, lines);
}

static PyObject *write_eof(struct wf_pipe *p, PyObject *unused) {
    return wf_transport_close(&p->s.t) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *can_write_eof(struct wf_pipe *p, PyObject *unused) {
    Py_RETURN_TRUE;
}

/* ---- birth ---- */

/* What kind of file it is, made non-blocking; 0 with an exception where it will not do. */
static mode_t prepare(int fd, const char *refusal) {
    struct stat st;
    int flags;
    if (fstat(fd, &st) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return 0;
    }
    mode_t kind = st.st_mode & S_IFMT;
    if (!S_ISFIFO(kind) && !S_ISSOCK(kind) && !S_ISCHR(kind)) {
        PyErr_SetString(PyExc_ValueError, refusal);
        return 0;
    }
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return 0;
    }
    return kind;
}

static int init(struct wf_pipe *p, struct wf_state *state, uint8_t kind, PyObject *loop,
                PyObject *pipe, PyObject *protocol, PyObject *extra) {
    static const char *const refusals[] = {
        [WF_KIND_READ_PIPE] = "Pipe transport is for pipes/sockets only.",
        [WF_KIND_WRITE_PIPE] = "Pipe transport is only for pipes, sockets and character devices",
    };
    struct wf_transport *t = &p->s.t;
    t->module = Py_XNewRef(PyType_GetModuleByDef(Py_TYPE(p), &wf_core_module));
    t->kind = kind;
    int fd = t->module != NULL ? PyObject_AsFileDescriptor(pipe) : -1;
    mode_t mode = fd >= 0 ? prepare(fd, refusals[kind]) : 0;
    if (mode == 0 || wf_transport_init(t, state, loop, protocol, NULL, fd, extra, NULL) < 0) {
        return -1;
    }
    t->sock = Py_NewRef(pipe);
    if (kind == WF_KIND_READ_PIPE) {
        return wf_socket_choose_feed(&p->s);
    }
    t->paused = S_ISCHR(mode); /* a terminal may be typed on: that says nothing about its end */
    return 0;
}

static PyObject *make(PyTypeObject *type, uint8_t kind, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"loop", "pipe", "protocol", "waiter", "extra", NULL};
    PyObject *loop, *pipe, *protocol, *waiter = Py_None, *given = Py_None;
    struct wf_state *state = wf_state_of_type(type);
    if (state == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|OO:PipeTransport", keywords, &loop, &pipe,
                                     &protocol, &waiter, &given) ||
        wf_pyloop_reactor(state, loop) == NULL) {
        return NULL;
    }
    PyObject *extra = given != Py_None ? PyDict_Copy(given) : PyDict_New();
    struct wf_pipe *p = extra != NULL && PyDict_SetItemString(extra, "pipe", pipe) == 0
                            ? (struct wf_pipe *)type->tp_alloc(type, 0)
                            : NULL;
    if (p != NULL && init(p, state, kind, loop, pipe, protocol, extra) < 0) {
        p->s.t.fd_open = false; /* still the caller's */
        Py_CLEAR(p);
    }
    Py_XDECREF(extra);
    if (p == NULL) {
        return NULL;
    }
    struct wf_transport *t = &p->s.t;
    t->waiter = waiter != Py_None ? Py_NewRef(waiter) : NULL;
    if (wf_transport_call_soon(t, state->transport.fn_begin, t->context) < 0) {
        Py_CLEAR(p);
    }
    return (PyObject *)p;
}

/* (loop, pipe, protocol, waiter=None, extra=None) */
static PyObject *read_pipe_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    return make(type, WF_KIND_READ_PIPE, args, kwargs);
}

static PyObject *write_pipe_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    return make(type, WF_KIND_WRITE_PIPE, args, kwargs);
}

/* ---- as Python sees them ---- */

static PyObject *pipe_class(struct wf_pipe *p, void *unused) {
    struct wf_transport_state *st = &p->s.t.state->transport;
    PyObject *seen = p->s.t.kind == WF_KIND_READ_PIPE ? st->read_pipe_face : st->write_pipe_face;
    return seen != NULL ? Py_NewRef(seen) : wf_transport_gone();
}

static PyGetSetDef pipe_getset[] = {
    {"__class__", (getter)pipe_class, NULL, NULL, NULL},
    {NULL},
};

static PyMemberDef pipe_members[] = {
    {"_fileno", Py_T_INT, offsetof(struct wf_transport, fd), Py_READONLY, NULL},
    {NULL},
};

static PyMethodDef read_pipe_methods[] = {
    {"_read_ready", (PyCFunction)wf_socket_read_ready, METH_NOARGS, NULL},
    {"set_protocol", (PyCFunction)wf_socket_set_protocol, METH_O,
     "set_protocol($self, protocol, /)\n--\n\n"
     "Has another protocol's methods called from now on."},
    {NULL},
};

static PyMethodDef write_pipe_methods[] = {
    {"_read_ready", (PyCFunction)peer_gone, METH_NOARGS, NULL},
    {"_write_ready", (PyCFunction)wf_socket_write_ready, METH_NOARGS, NULL},
    {"write", (PyCFunction)write_pipe, METH_O,
     "write($self, data, /)\n--\n\n"
     "Writes the bytes, or buffers what cannot be written yet; never waits. TypeError for what is "
     "not bytes-like."},
    {"writelines", (PyCFunction)writelines, METH_O,
     "writelines($self, list_of_data, /)\n--\n\n"
     "write() of all of them, in one piece."},
    {"write_eof", (PyCFunction)write_eof, METH_NOARGS,
     "write_eof($self, /)\n--\n\n"
     "Closes the pipe once what is buffered has been written."},
    {"can_write_eof", (PyCFunction)can_write_eof, METH_NOARGS,
     "can_write_eof($self, /)\n--\n\n"
     "Has it a write_eof()? True."},
    {NULL},
};

#define COMMON_SLOTS                                                                               \
    {Py_tp_dealloc, wf_transport_dealloc}, {Py_tp_traverse, wf_transport_traverse_fields},         \
        {Py_tp_clear, wf_transport_clear_fields}, {Py_tp_getset, pipe_getset}, {                   \
        Py_tp_members, pipe_members                                                                \
    }

static PyType_Slot read_pipe_slots[] = {
    {Py_tp_doc, "The end of a pipe that is read from; asyncio's read pipe transport in C."},
    {Py_tp_new, read_pipe_new},
    {Py_tp_methods, read_pipe_methods},
    COMMON_SLOTS,
    {0, NULL},
};

static PyType_Slot write_pipe_slots[] = {
    {Py_tp_doc, "The end of a pipe that is written to; asyncio's write pipe transport in C."},
    {Py_tp_new, write_pipe_new},
    {Py_tp_methods, write_pipe_methods},
    COMMON_SLOTS,
    {0, NULL},
};

static PyType_Spec specs[] = {
    {
        .name = "weft._core.ReadPipeTransport",
        .basicsize = sizeof(struct wf_pipe),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
        .slots = read_pipe_slots,
    },
    {
        .name = "weft._core.WritePipeTransport",
        .basicsize = sizeof(struct wf_pipe),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
        .slots = write_pipe_slots,
    },
};

int wf_pipe_exec(PyObject *module, struct wf_state *state) {
    struct wf_transport_state *s = &state->transport;
    PyObject *base = (PyObject *)s->transport_type;
    s->read_pipe_face = wf_transport_face("ReadPipeTransport", "ReadTransport", false);
    s->write_pipe_face = wf_transport_face("WritePipeTransport", "WriteTransport", true);
    PyTypeObject *reads = (PyTypeObject *)PyType_FromModuleAndSpec(module, &specs[0], base);
    PyTypeObject *writes = (PyTypeObject *)PyType_FromModuleAndSpec(module, &specs[1], base);
    int rc = -1;
    if (s->read_pipe_face == NULL || s->write_pipe_face == NULL || reads == NULL ||
        writes == NULL || wf_transport_add_methods(reads, wf_transport_reading_methods) < 0) {
        goto done;
    }
    s->fn_read[WF_KIND_READ_PIPE] = PyObject_GetAttrString((PyObject *)reads, "_read_ready");
    s->fn_read[WF_KIND_WRITE_PIPE] = PyObject_GetAttrString((PyObject *)writes, "_read_ready");
    s->fn_write[WF_KIND_WRITE_PIPE] = PyObject_GetAttrString((PyObject *)writes, "_write_ready");
    if (s->fn_read[WF_KIND_READ_PIPE] != NULL && s->fn_read[WF_KIND_WRITE_PIPE] != NULL &&
        s->fn_write[WF_KIND_WRITE_PIPE] != NULL && PyModule_AddType(module, reads) == 0) {
        rc = PyModule_AddType(module, writes);
    }
done:
    Py_XDECREF(reads);
    Py_XDECREF(writes);
    return rc;
}
