/* Listener: accepts for a server, as many as wait, and makes a transport of each.
 *
 * A server's loop holds the listener by the handle that watches its descriptor; removing the reader
 * (asyncio's _stop_serving) is the end of it. */
#include <errno.h>
#include <unistd.h>

#include "io/os.h"
#include "py/transport/transport_int.h"

/* asyncio.constants.ACCEPT_RETRY_DELAY: how long to wait for somebody to give descriptors back. */
#define ACCEPT_RETRY_DELAY_S 1.0

struct listener {
    PyObject_HEAD
    struct wf_state *state; /* the module's */
    PyObject *module;       /* owned until dealloc */
    PyObject *loop;         /* owned */
    PyObject *sock;         /* owned: the listening socket, which the server closes */
    PyObject *factory;      /* owned: makes a protocol for each connection */
    PyObject *server;       /* owned, or NULL */
    PyObject *handle;       /* owned: what the loop queues */
    int fd;
    int backlog; /* connections a turn */
};

/* ---- one connection ---- */

/* asyncio tells of what goes wrong here in debug mode only. 0, or -1 for what ends the loop. */
static int not_made(struct listener *l, PyObject *protocol) {
    if (wf_transport_ends_loop()) {
        return -1;
    }
    PyObject *exc = wf_err_take();
    int rc = 0;
    if (wf_pyloop_debug(l->loop)) {
        PyObject *context =
            Py_BuildValue("{sssO}", "message",
                          "Error on transport creation for incoming connection", "exception", exc);
        if (context != NULL && protocol != NULL) {
            (void)PyDict_SetItemString(context, "protocol", protocol);
        }
        PyObject *outer = wf_handling(exc);
        PyObject *done = context != NULL
                             ? PyObject_CallMethodOneArg(
                                   l->loop, l->state->transport.str_call_exception_handler, context)
                             : NULL;
        wf_handled(outer);
        Py_XDECREF(context);
        Py_XDECREF(done);
        rc = done != NULL ? 0 : -1;
    }
    Py_DECREF(exc);
    return rc;
}

/* Protocol, transport, connection_made: all in a context of the connection's own. */
static int serve(struct listener *l, int fd, PyObject *extra) {
    PyObject *protocol = PyObject_CallNoArgs(l->factory);
    struct wf_socket *s =
        protocol != NULL ? wf_socket_new(l->state, l->loop, protocol, NULL, fd, extra, l->server)
                         : NULL;
    int rc;
    if (s == NULL) {
        close(fd);
        rc = not_made(l, protocol);
    } else {
        rc = wf_transport_begin(&s->t);
    }
    Py_XDECREF(protocol);
    Py_XDECREF(s);
    return rc;
}

static int debug_accepted(struct listener *l, PyObject *peer) {
    if (wf_likely(!wf_pyloop_debug(l->loop))) {
        return 0;
    }
    PyObject *done = PyObject_CallMethod(l->state->transport.logger, "debug", "sOO",
                                         "%r got a new connection from %r",
                                         l->server != NULL ? l->server : Py_None, peer);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

/* Takes fd over. 0, or -1 with an exception. */
static int connection(struct listener *l, int fd, const struct sockaddr *addr, socklen_t len) {
    PyObject *peer = wf_address_object(addr, len);
    PyObject *extra = peer != NULL ? PyDict_New() : NULL;
    PyObject *context = extra != NULL ? PyContext_CopyCurrent() : NULL;
    int rc = -1;
    if (context == NULL || PyDict_SetItem(extra, l->state->transport.str_peername, peer) < 0 ||
        debug_accepted(l, peer) < 0 || PyContext_Enter(context) < 0) {
        close(fd);
    } else {
        rc = serve(l, fd, extra);
        if (PyContext_Exit(context) < 0) {
            rc = -1;
        }
    }
    Py_XDECREF(peer);
    Py_XDECREF(extra);
    Py_XDECREF(context);
    return rc;
}

/* ---- accepting ---- */

/* (socket) -> TransportSocket, for a report. */
static PyObject *shown(struct listener *l) {
    return PyObject_CallOneArg(l->state->transport.transport_socket, l->sock);
}

/* No descriptors or no memory: the kernel would report the socket again and again, so it is left
 * alone for a while. The exception is set. */
static int back_off(struct listener *l) {
    PyObject *exc = wf_err_take(), *sock = shown(l), *later = NULL, *done = NULL;
    PyObject *context = sock != NULL ? Py_BuildValue("{sssOsO}", "message",
                                                     "socket.accept() out of system resource",
                                                     "exception", exc, "socket", sock)
                                     : NULL;
    int rc = -1;
    wf_pyloop_unwatch(l->loop, l->fd, WF_READ);
    later = PyObject_GetAttrString((PyObject *)l, "_resume");
    if (context != NULL && later != NULL) {
        PyObject *timer =
            PyObject_CallMethod(l->loop, "call_later", "dO", ACCEPT_RETRY_DELAY_S, later);
        Py_XDECREF(timer);
        PyObject *outer = wf_handling(exc);
        done = timer != NULL ? PyObject_CallMethodOneArg(
                                   l->loop, l->state->transport.str_call_exception_handler, context)
                             : NULL;
        wf_handled(outer);
        rc = done != NULL ? 0 : -1;
    }
    Py_XDECREF(done);
    Py_XDECREF(later);
    Py_XDECREF(context);
    Py_XDECREF(sock);
    Py_XDECREF(exc);
    return rc;
}

static int accept_failed(struct listener *l) {
    switch (errno) {
    case EAGAIN:
#if EAGAIN != EWOULDBLOCK
    case EWOULDBLOCK:
#endif
    case EINTR:
    case ECONNABORTED: /* gone before we came */
        return 0;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        PyErr_SetFromErrno(PyExc_OSError);
        return back_off(l);
    default:
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
}

/* Still the server's? A protocol may close the server from within. */
static bool is_serving(struct listener *l) {
    return l->handle != NULL && l->loop != NULL &&
           wf_pyloop_watches(l->loop, l->fd, WF_READ, l->handle);
}

static PyObject *accept_ready(struct listener *l, PyObject *unused) {
    Py_INCREF(l);
    int rc = 0;
    for (int i = 0; rc == 0 && i < l->backlog && is_serving(l); i++) {
        struct sockaddr_storage addr = {0};
        socklen_t len = sizeof(addr);
        int fd = wf_os_accept(l->fd, (struct sockaddr *)&addr, &len);
        if (fd < 0) {
            rc = accept_failed(l);
            break;
        }
        rc = connection(l, fd, (struct sockaddr *)&addr, len);
    }
    Py_DECREF(l);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* After a pause; nothing to do where the server has been closed meanwhile. */
static PyObject *resume(struct listener *l, PyObject *unused) {
    int fd = PyObject_AsFileDescriptor(l->sock);
    if (fd < 0) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    return wf_pyloop_watch(l->loop, l->fd, WF_READ, l->handle) < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- the object ---- */

/* (loop, sock, protocol_factory, server, backlog): accepts from now on. */
static PyObject *listener_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"loop", "sock", "protocol_factory", "server", "backlog", NULL};
    PyObject *loop, *sock, *factory, *server;
    int backlog;
    struct wf_state *state = wf_state_of_type(type);
    if (state == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOi:Listener", keywords, &loop, &sock,
                                     &factory, &server, &backlog) ||
        wf_pyloop_reactor(state, loop) == NULL) {
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(sock);
    struct listener *l = fd >= 0 ? (struct listener *)type->tp_alloc(type, 0) : NULL;
    if (l == NULL) {
        return NULL;
    }
    l->state = state;
    l->module = Py_NewRef(PyType_GetModuleByDef(type, &wf_core_module));
    l->loop = Py_NewRef(loop);
    l->sock = Py_NewRef(sock);
    l->factory = Py_NewRef(factory);
    l->server = server != Py_None ? Py_NewRef(server) : NULL;
    l->fd = fd;
    l->backlog = WF_MAX(backlog, 1);
    PyObject *ready = PyObject_GetAttrString((PyObject *)type, "_accept_ready");
    l->handle = ready != NULL ? wf_pyloop_handle(loop, ready, (PyObject *)l, NULL) : NULL;
    Py_XDECREF(ready);
    if (l->handle == NULL) {
        Py_DECREF(l);
        return NULL;
    }
    wf_pyloop_forget_fd(loop, fd);
    if (wf_pyloop_watch(loop, fd, WF_READ, l->handle) < 0) {
        Py_CLEAR(l);
    }
    return (PyObject *)l;
}

static int listener_traverse(struct listener *l, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(l));
    Py_VISIT(l->module);
    Py_VISIT(l->loop);
    Py_VISIT(l->sock);
    Py_VISIT(l->factory);
    Py_VISIT(l->server);
    Py_VISIT(l->handle);
    return 0;
}

static int listener_clear(struct listener *l) {
    Py_CLEAR(l->sock);
    Py_CLEAR(l->factory);
    Py_CLEAR(l->server);
    Py_CLEAR(l->handle);
    Py_CLEAR(l->loop);
    return 0;
}

static void listener_dealloc(struct listener *l) {
    PyTypeObject *type = Py_TYPE(l);
    PyObject_GC_UnTrack(l);
    (void)listener_clear(l);
    Py_XDECREF(l->module);
    type->tp_free(l);
    Py_DECREF(type);
}

static PyMethodDef listener_methods[] = {
    {"_accept_ready", (PyCFunction)accept_ready, METH_NOARGS, NULL},
    {"_resume", (PyCFunction)resume, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot listener_slots[] = {
    {Py_tp_doc, "Accepts connections for a server."},
    {Py_tp_new, listener_new},
    {Py_tp_dealloc, listener_dealloc},
    {Py_tp_traverse, listener_traverse},
    {Py_tp_clear, listener_clear},
    {Py_tp_methods, listener_methods},
    {0, NULL},
};

static PyType_Spec listener_spec = {
    .name = "weft._core.Listener",
    .basicsize = sizeof(struct listener),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = listener_slots,
};

int wf_listener_exec(PyObject *module, struct wf_state *state) {
    struct wf_transport_state *s = &state->transport;
    s->listener_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &listener_spec, NULL);
    return s->listener_type != NULL ? PyModule_AddType(module, s->listener_type) : -1;
}
