/* Transports in C: what create_connection, create_server and their kin hand to a protocol.
 *
 * Semantics are those of asyncio's selector transports, call by call; python/weft/loop/_loop.py makes
 * these where asyncio would make its own.
 *
 * thread   with the GIL, on the loop's thread */
#ifndef WF_PY_TRANSPORT_H
#define WF_PY_TRANSPORT_H

#include "py/own.h"

struct wf_state;

/* Names that are looked up on protocols, servers and loops, interned once. */
#define WF_TRANSPORT_NAMES(X)                                                                      \
    X(_attach)                                                                                     \
    X(_buffer)                                                                                     \
    X(_check_handshake_timeout)                                                                    \
    X(_check_shutdown_timeout)                                                                     \
    X(_closed)                                                                                     \
    X(_control_app_writing)                                                                        \
    X(_control_ssl_reading)                                                                        \
    X(_detach)                                                                                     \
    X(_do_write)                                                                                   \
    X(_eof)                                                                                        \
    X(_get_app_transport)                                                                          \
    X(_limit)                                                                                      \
    X(_paused)                                                                                     \
    X(_read_later)                                                                                 \
    X(_ssl_handshake_timeout)                                                                      \
    X(_ssl_shutdown_timeout)                                                                       \
    X(_sslobj)                                                                                     \
    X(_stream_reader_wr)                                                                           \
    X(_transport)                                                                                  \
    X(_waiter)                                                                                     \
    X(_write_appdata)                                                                              \
    X(append)                                                                                      \
    X(appendleft)                                                                                  \
    X(buffer_updated)                                                                              \
    X(call_exception_handler)                                                                      \
    X(call_later)                                                                                  \
    X(call_soon)                                                                                   \
    X(cancel)                                                                                      \
    X(cancelled)                                                                                   \
    X(cipher)                                                                                      \
    X(close)                                                                                       \
    X(compression)                                                                                 \
    X(connection_lost)                                                                             \
    X(connection_made)                                                                             \
    X(data_received)                                                                               \
    X(datagram_received)                                                                           \
    X(do_handshake)                                                                                \
    X(eof_received)                                                                                \
    X(error_received)                                                                              \
    X(feed_data)                                                                                   \
    X(get_buffer)                                                                                  \
    X(get_debug)                                                                                   \
    X(getpeercert)                                                                                 \
    X(getpeername)                                                                                 \
    X(getsockname)                                                                                 \
    X(pause_reading)                                                                               \
    X(pause_writing)                                                                               \
    X(peercert)                                                                                    \
    X(peername)                                                                                    \
    X(pending)                                                                                     \
    X(popleft)                                                                                     \
    X(read)                                                                                        \
    X(resume_writing)                                                                              \
    X(sendto)                                                                                      \
    X(set_exception)                                                                               \
    X(set_result)                                                                                  \
    X(setblocking)                                                                                 \
    X(socket)                                                                                      \
    X(sockname)                                                                                    \
    X(ssl_object)                                                                                  \
    X(time)                                                                                        \
    X(unwrap)                                                                                      \
    X(write)

enum wf_kind { WF_KIND_SOCKET, WF_KIND_DATAGRAM, WF_KIND_READ_PIPE, WF_KIND_WRITE_PIPE, WF_KINDS };

struct wf_transport_state {
    PyTypeObject *transport_type; /* owned: what all of them share */
    PyTypeObject *socket_type;    /* owned: _core.SocketTransport */
    PyTypeObject *datagram_type;  /* owned: _core.DatagramTransport */
    PyTypeObject *listener_type;  /* owned: what accepts for a server */

    /* What the loop calls with the transport as the only argument; all owned. */
    PyObject *fn_begin, *fn_lost;
    PyObject *fn_read[WF_KINDS], *fn_write[WF_KINDS];

    PyTypeObject *tls_type; /* owned: _core.TLS, a base of weft.loop's SSLProtocol */

    /* What isinstance() sees: empty classes that inherit from asyncio's; all owned. */
    PyObject *socket_face, *datagram_face, *read_pipe_face, *write_pipe_face;

    /* asyncio's and socket's, imported once; all owned */
    PyObject *deque, *buffered_protocol, *transport_socket, *logger, *socket_class;
    PyObject *reader_protocol, *stream_reader;   /* asyncio.StreamReaderProtocol, StreamReader */
    PyObject *own_data_received, *own_feed_data; /* their methods, as they are at first */

    /* All owned. The first three are NULL in a Python without ssl. */
    PyObject *ssl_again; /* OpenSSL's "not now": a tuple */
    PyObject *ssl_error, *certificate_error;
    PyObject *tls_unwrapped, *tls_do_handshake, *tls_wrapped; /* SSLProtocolState's */
    PyObject *tls_flushing, *tls_shutdown;
    PyObject *app_init, *app_made, *app_eof, *app_lost; /* AppProtocolState's */
    PyObject *record_bytes;                             /* the argument of read() */

    char *scratch; /* owned: WF_SCRATCH_BYTES, filled and emptied without letting go of the GIL */
#define X(name) PyObject *str_##name; /* owned */
    WF_TRANSPORT_NAMES(X)
#undef X
};
int wf_transport_exec(PyObject *module, struct wf_state *state);
int wf_transport_traverse(struct wf_transport_state *s, visitproc visit, void *arg);
void wf_transport_clear(struct wf_transport_state *s);

#endif
