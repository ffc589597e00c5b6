/* SocketTransport: a connected TCP or unix stream; its life. Reading and writing: read.c, write.c. */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "py/transport/transport_int.h"

/* ---- birth ---- */

int wf_socket_choose_feed(struct wf_socket *s) {
    if (wf_tls_check(s->t.state, s->t.protocol)) {
        s->feed = WF_FEED_TLS;
        return 0;
    }
    PyObject *buffered = s->t.state->transport.buffered_protocol;
    int is = buffered != NULL ? PyObject_IsInstance(s->t.protocol, buffered) : 0;
    if (is < 0) {
        return -1;
    }
    int reader = is ? 0 : wf_feed_choose(s);
    if (reader < 0) {
        return -1;
    }
    s->feed = is ? WF_FEED_BUFFER : reader ? WF_FEED_READER : WF_FEED_BYTES;
    return 0;
}

/* Small writes leave at once. Sockets that are not TCP say no, and that is fine. */
static void set_nodelay(int fd) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

static int init(struct wf_socket *s, struct wf_state *state, PyObject *loop, PyObject *protocol,
                PyObject *sock, int fd, PyObject *extra, PyObject *server) {
    s->t.module = Py_XNewRef(PyType_GetModuleByDef(Py_TYPE(s), &wf_core_module));
    if (s->t.module == NULL ||
        wf_transport_init(&s->t, state, loop, protocol, sock, fd, extra, server) < 0) {
        return -1;
    }
    set_nodelay(fd);
    return wf_socket_choose_feed(s);
}

struct wf_socket *wf_socket_new(struct wf_state *state, PyObject *loop, PyObject *protocol,
                                PyObject *sock, int fd, PyObject *extra, PyObject *server) {
    PyTypeObject *type = state->transport.socket_type;
    struct wf_socket *s = (struct wf_socket *)type->tp_alloc(type, 0);
    if (s == NULL) {
        return NULL;
    }
    if (init(s, state, loop, protocol, sock, fd, extra, server) < 0) {
        s->t.fd_open = false; /* still the caller's */
        Py_DECREF(s);
        return NULL;
    }
    return s;
}

/* (loop, sock, protocol, waiter=None, extra=None, server=None) */
static PyObject *stream_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"loop", "sock", "protocol", "waiter", "extra", "server", NULL};
    PyObject *loop, *sock, *protocol, *waiter = Py_None, *extra = Py_None, *server = Py_None;
    struct wf_state *state = wf_state_of_type(type);
    if (state == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|OOO:SocketTransport", keywords, &loop,
                                     &sock, &protocol, &waiter, &extra, &server) ||
        wf_pyloop_reactor(state, loop) == NULL) {
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(sock);
    if (fd < 0) {
        return NULL;
    }
    struct wf_socket *s = wf_socket_new(state, loop, protocol, sock, fd, extra, server);
    if (s == NULL) {
        return NULL;
    }
    if (waiter != Py_None) {
        s->t.waiter = Py_NewRef(waiter);
    }
    if (wf_transport_call_soon(&s->t, state->transport.fn_begin, s->t.context) < 0) {
        Py_CLEAR(s);
    }
    return (PyObject *)s;
}

/* ---- as Python sees it ---- */

PyObject *wf_socket_set_protocol(struct wf_socket *s, PyObject *protocol) {
    Py_XSETREF(s->t.protocol, Py_NewRef(protocol));
    return wf_socket_choose_feed(s) < 0 ? NULL : Py_NewRef(Py_None);
}

/* isinstance(transport, asyncio.Transport) holds, though the layout has nothing in common. */
static PyObject *stream_class(struct wf_socket *s, void *unused) {
    PyObject *seen = s->t.state->transport.socket_face;
    return seen != NULL ? Py_NewRef(seen) : wf_transport_gone();
}

static PyMethodDef stream_methods[] = {
    {"_read_ready", (PyCFunction)wf_socket_read_ready, METH_NOARGS, NULL},
    {"_write_ready", (PyCFunction)wf_socket_write_ready, METH_NOARGS, NULL},
    {"set_protocol", (PyCFunction)wf_socket_set_protocol, METH_O,
     "set_protocol($self, protocol, /)\n--\n\n"
     "Has another protocol's methods called from now on. A BufferedProtocol is read into its own "
     "buffer."},
    {NULL},
};

static PyGetSetDef stream_getset[] = {
    {"__class__", (getter)stream_class, NULL, NULL, NULL},
    {NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, "A connected TCP or unix stream; asyncio's socket transport in C."},
    {Py_tp_new, stream_new},
    {Py_tp_dealloc, wf_transport_dealloc},
    {Py_tp_traverse, wf_transport_traverse_fields},
    {Py_tp_clear, wf_transport_clear_fields},
    {Py_tp_methods, stream_methods},
    {Py_tp_getset, stream_getset},
    {0, NULL},
};

static PyType_Spec stream_spec = {
    .name = "weft._core.SocketTransport",
    .basicsize = sizeof(struct wf_socket),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = stream_slots,
};

/* What asyncio asks a transport before it starts TLS or sendfile on it. */
static int add_abilities(PyObject *type) {
    PyObject *constants = PyImport_ImportModule("asyncio.constants");
    PyObject *modes = constants != NULL ? PyObject_GetAttrString(constants, "_SendfileMode") : NULL;
    PyObject *mode = modes != NULL ? PyObject_GetAttrString(modes, "TRY_NATIVE") : NULL;
    int rc = mode != NULL ? PyObject_SetAttrString(type, "_sendfile_compatible", mode) : -1;
    Py_XDECREF(mode);
    Py_XDECREF(modes);
    Py_XDECREF(constants);
    return rc < 0 ? -1 : PyObject_SetAttrString(type, "_start_tls_compatible", Py_True);
}

int wf_socket_exec(PyObject *module, struct wf_state *state) {
    struct wf_transport_state *s = &state->transport;
    s->socket_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &stream_spec,
                                                              (PyObject *)s->transport_type);
    s->socket_face = wf_transport_face("SocketTransport", "Transport", true);
    if (s->socket_face == NULL || s->socket_type == NULL ||
        add_abilities((PyObject *)s->socket_type) < 0 ||
        wf_transport_add_methods(s->socket_type, wf_transport_reading_methods) < 0 ||
        wf_transport_add_methods(s->socket_type, wf_socket_write_methods) < 0) {
        return -1;
    }
    PyObject *type = (PyObject *)s->socket_type;
    s->fn_read[WF_KIND_SOCKET] = PyObject_GetAttrString(type, "_read_ready");
    s->fn_write[WF_KIND_SOCKET] = PyObject_GetAttrString(type, "_write_ready");
    if (s->fn_read[WF_KIND_SOCKET] == NULL || s->fn_write[WF_KIND_SOCKET] == NULL) {
        return -1;
    }
    return PyModule_AddType(module, s->socket_type);
}
