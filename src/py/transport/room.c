/* The room's part of the module: what it imports, its types and their end. */
#include "py/transport/transport_int.h"

static PyObject *import_from(const char *module_name, const char *name) {
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *found = module != NULL ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return found;
}

int wf_transport_exec(PyObject *module, struct wf_state *state) {
    struct wf_transport_state *s = &state->transport;
    s->buffered_protocol = import_from("asyncio.protocols", "BufferedProtocol");
    s->deque = import_from("collections", "deque");
    s->transport_socket = import_from("asyncio.trsock", "TransportSocket");
    s->logger = import_from("asyncio.log", "logger");
    s->socket_class = import_from("socket", "socket");
    s->reader_protocol = import_from("asyncio.streams", "StreamReaderProtocol");
    s->stream_reader = import_from("asyncio.streams", "StreamReader");
    s->scratch = PyMem_Malloc(WF_SCRATCH_BYTES);
    if (s->deque == NULL || s->reader_protocol == NULL || s->stream_reader == NULL ||
        s->buffered_protocol == NULL || s->transport_socket == NULL || s->logger == NULL ||
        s->socket_class == NULL) {
        return -1;
    }
    if (s->scratch == NULL) {
        PyErr_NoMemory();
        return -1;
    }
#define X(name)                                                                                    \
    s->str_##name = PyUnicode_InternFromString(#name);                                             \
    if (s->str_##name == NULL) {                                                                   \
        return -1;                                                                                 \
    }
    WF_TRANSPORT_NAMES(X)
#undef X
    s->own_data_received = PyObject_GetAttr(s->reader_protocol, s->str_data_received);
    s->own_feed_data = PyObject_GetAttr(s->stream_reader, s->str_feed_data);
    if (s->own_data_received == NULL || s->own_feed_data == NULL) {
        return -1;
    }
    return wf_transport_base_exec(module, state) < 0 || wf_socket_exec(module, state) < 0 ||
                   wf_datagram_exec(module, state) < 0 || wf_pipe_exec(module, state) < 0 ||
                   wf_listener_exec(module, state) < 0 || wf_tls_exec(module, state) < 0
               ? -1
               : 0;
}

int wf_transport_traverse(struct wf_transport_state *s, visitproc visit, void *arg) {
    Py_VISIT(s->transport_type);
    Py_VISIT(s->socket_type);
    Py_VISIT(s->listener_type);
    Py_VISIT(s->fn_begin);
    for (int i = 0; i < WF_KINDS; i++) {
        Py_VISIT(s->fn_read[i]);
        Py_VISIT(s->fn_write[i]);
    }
    Py_VISIT(s->fn_lost);
    Py_VISIT(s->socket_face);
    Py_VISIT(s->buffered_protocol);
    Py_VISIT(s->transport_socket);
    Py_VISIT(s->logger);
    Py_VISIT(s->socket_class);
    Py_VISIT(s->deque);
    Py_VISIT(s->datagram_face);
    Py_VISIT(s->read_pipe_face);
    Py_VISIT(s->write_pipe_face);
    Py_VISIT(s->datagram_type);
    Py_VISIT(s->record_bytes);
    Py_VISIT(s->tls_shutdown);
    Py_VISIT(s->tls_flushing);
    Py_VISIT(s->tls_wrapped);
    Py_VISIT(s->tls_do_handshake);
    Py_VISIT(s->tls_unwrapped);
    Py_VISIT(s->app_lost);
    Py_VISIT(s->app_eof);
    Py_VISIT(s->app_made);
    Py_VISIT(s->app_init);
    Py_VISIT(s->certificate_error);
    Py_VISIT(s->ssl_error);
    Py_VISIT(s->ssl_again);
    Py_VISIT(s->tls_type);
    Py_VISIT(s->own_feed_data);
    Py_VISIT(s->own_data_received);
    Py_VISIT(s->stream_reader);
    Py_VISIT(s->reader_protocol);
    return 0;
}

void wf_transport_clear(struct wf_transport_state *s) {
    Py_CLEAR(s->transport_type);
    Py_CLEAR(s->socket_type);
    Py_CLEAR(s->listener_type);
    Py_CLEAR(s->fn_begin);
    for (int i = 0; i < WF_KINDS; i++) {
        Py_CLEAR(s->fn_read[i]);
        Py_CLEAR(s->fn_write[i]);
    }
    Py_CLEAR(s->fn_lost);
    Py_CLEAR(s->socket_face);
    Py_CLEAR(s->buffered_protocol);
    Py_CLEAR(s->transport_socket);
    Py_CLEAR(s->logger);
    Py_CLEAR(s->socket_class);
    Py_CLEAR(s->deque);
    Py_CLEAR(s->datagram_face);
    Py_CLEAR(s->read_pipe_face);
    Py_CLEAR(s->write_pipe_face);
    Py_CLEAR(s->datagram_type);
    Py_CLEAR(s->record_bytes);
    Py_CLEAR(s->tls_shutdown);
    Py_CLEAR(s->tls_flushing);
    Py_CLEAR(s->tls_wrapped);
    Py_CLEAR(s->tls_do_handshake);
    Py_CLEAR(s->tls_unwrapped);
    Py_CLEAR(s->app_lost);
    Py_CLEAR(s->app_eof);
    Py_CLEAR(s->app_made);
    Py_CLEAR(s->app_init);
    Py_CLEAR(s->certificate_error);
    Py_CLEAR(s->ssl_error);
    Py_CLEAR(s->ssl_again);
    Py_CLEAR(s->tls_type);
    Py_CLEAR(s->own_feed_data);
    Py_CLEAR(s->own_data_received);
    Py_CLEAR(s->stream_reader);
    Py_CLEAR(s->reader_protocol);
#define X(name) Py_CLEAR(s->str_##name);
    WF_TRANSPORT_NAMES(X)
#undef X
    PyMem_Free(s->scratch);
    s->scratch = NULL;
}
