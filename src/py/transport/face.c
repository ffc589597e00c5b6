/* What every transport shows to Python. */
#include "py/transport/transport_int.h"

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

static PyObject *begin(struct wf_transport *t, PyObject *unused) {
    return none_or_error(wf_transport_begin(t));
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
    if (!t->fd_open || wf_transport_is_pipe(t) || !PyUnicode_Check(name) || s->str_socket == NULL) {
        return 0;
    }
    if (PyUnicode_Compare(name, s->str_sockname) == 0) {
        return wf_transport_keep_sockname(t);
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
        state = *state == 0 && wf_transport_is_pipe(t) ? " open" : state; /* as asyncio's say it */
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

PyMethodDef wf_transport_reading_methods[] = {
    {"is_reading", (PyCFunction)is_reading, METH_NOARGS,
     "is_reading($self, /)\n--\n\n"
     "Does the protocol get what arrives: neither paused nor closing?"},
    {"pause_reading", (PyCFunction)pause_reading, METH_NOARGS,
     "pause_reading($self, /)\n--\n\n"
     "Leaves what arrives to the kernel until resume_reading(). Harmless twice."},
    {"resume_reading", (PyCFunction)resume_reading, METH_NOARGS,
     "resume_reading($self, /)\n--\n\n"
     "Takes pause_reading() back. Harmless twice."},
    {NULL},
};

static PyMethodDef transport_methods[] = {
    {"close", (PyCFunction)close_it, METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Reads no more, and closes once what is buffered has been written; then the protocol's "
     "connection_lost(None) is called."},
    {"abort", (PyCFunction)abort_it, METH_NOARGS,
     "abort($self, /)\n--\n\n"
     "Closes at once: what is buffered is lost. The protocol's connection_lost(None) is called."},
    {"_force_close", (PyCFunction)force_close, METH_O, NULL},
    {"_begin", (PyCFunction)begin, METH_NOARGS, NULL},
    {"_call_connection_lost", (PyCFunction)lost, METH_NOARGS, NULL},
    {"is_closing", (PyCFunction)is_closing, METH_NOARGS,
     "is_closing($self, /)\n--\n\n"
     "Is it closed or being closed?"},
    {"get_protocol", (PyCFunction)get_protocol, METH_NOARGS,
     "get_protocol($self, /)\n--\n\n"
     "The asyncio.BaseProtocol whose methods are called."},
    {"set_protocol", (PyCFunction)set_protocol, METH_O,
     "set_protocol($self, protocol, /)\n--\n\n"
     "Has another protocol's methods called from now on."},
    {"get_extra_info", (PyCFunction)(void (*)(void))get_extra_info, METH_VARARGS | METH_KEYWORDS,
     "get_extra_info($self, name, default=None)\n--\n\n"
     "What is known by that name: 'peername', 'sockname', 'socket', 'pipe'; else `default`. See "
     "asyncio.BaseTransport.get_extra_info."},
    {"get_write_buffer_size", (PyCFunction)get_write_buffer_size, METH_NOARGS,
     "get_write_buffer_size($self, /)\n--\n\n"
     "Bytes that wait to be written, an int."},
    {"get_write_buffer_limits", (PyCFunction)get_write_buffer_limits, METH_NOARGS,
     "get_write_buffer_limits($self, /)\n--\n\n"
     "(low, high) in bytes: see set_write_buffer_limits()."},
    {"set_write_buffer_limits", (PyCFunction)(void (*)(void))set_write_buffer_limits,
     METH_VARARGS | METH_KEYWORDS,
     "set_write_buffer_limits($self, high=None, low=None)\n--\n\n"
     "The protocol's pause_writing() is called when more than `high` bytes wait to be written, "
     "resume_writing() when no more than `low` do. Without `high` it is four times `low`, or 64 "
     "KiB; without `low`, a quarter of `high`. ValueError unless high >= low >= 0."},
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
    {"__dictoffset__", T_PYSSIZET, offsetof(struct wf_transport, attributes), Py_READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct wf_transport, weakrefs), Py_READONLY, NULL},
    {NULL},
};

static PyGetSetDef transport_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {"_sock", (getter)get_sock, NULL, NULL, NULL},
    {"_server", (getter)get_server, NULL, NULL, NULL},
    {NULL},
};

static PyType_Slot transport_slots[] = {
    {Py_tp_doc, "What all native transports share."},
    {Py_tp_dealloc, wf_transport_dealloc},
    {Py_tp_finalize, wf_transport_finalize},
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

int wf_transport_base_exec(PyObject *module, struct wf_state *state) {
    struct wf_transport_state *s = &state->transport;
    s->transport_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &transport_spec, NULL);
    if (s->transport_type == NULL || PyModule_AddType(module, s->transport_type) < 0) {
        return -1;
    }
    s->fn_lost = PyObject_GetAttrString((PyObject *)s->transport_type, "_call_connection_lost");
    s->fn_begin = PyObject_GetAttrString((PyObject *)s->transport_type, "_begin");
    return s->fn_lost != NULL && s->fn_begin != NULL ? 0 : -1;
}

int wf_transport_add_methods(PyTypeObject *type, PyMethodDef *defs) {
    for (PyMethodDef *def = defs; def->ml_name != NULL; def++) {
        PyObject *method = PyDescr_NewMethod(type, def);
        int rc =
            method != NULL ? PyObject_SetAttrString((PyObject *)type, def->ml_name, method) : -1;
        Py_XDECREF(method);
        if (rc < 0) {
            return -1;
        }
    }
    return 0;
}

PyObject *wf_transport_face(const char *name, const char *base, bool flow_control) {
    PyObject *transports = PyImport_ImportModule("asyncio.transports");
    PyObject *plain = transports != NULL ? PyObject_GetAttrString(transports, base) : NULL;
    PyObject *mixin = plain != NULL && flow_control
                          ? PyObject_GetAttrString(transports, "_FlowControlMixin")
                          : NULL;
    PyObject *bases = mixin != NULL                    ? PyTuple_Pack(2, mixin, plain)
                      : plain != NULL && !flow_control ? PyTuple_Pack(1, plain)
                                                       : NULL;
    PyObject *face = bases != NULL
                         ? PyObject_CallFunction((PyObject *)&PyType_Type, "sO{s()ss}", name, bases,
                                                 "__slots__", "__module__", "weft.loop")
                         : NULL;
    Py_XDECREF(bases);
    Py_XDECREF(mixin);
    Py_XDECREF(plain);
    Py_XDECREF(transports);
    return face;
}
