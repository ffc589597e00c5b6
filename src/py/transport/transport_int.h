/* What the files of this room share: the transport, its common part and the stream. */
#ifndef WF_PY_TRANSPORT_INT_H
#define WF_PY_TRANSPORT_INT_H

#include <sys/socket.h>
#include <unistd.h>

#include "py/loop/pyloop.h"
#include "py/state.h"
#include "py/transport/chunks.h"
#include "py/transport/transport.h"

/* Read at most this much at once, as asyncio does. */
enum { WF_READ_MAX = 256 * 1024 };
/* The room's scratch buffer, one for all: ciphertext passes through it, and small reads, which are
 * copied once into bytes of the right size. Of it only what has been used is in memory. */
enum { WF_SCRATCH_BYTES = WF_READ_MAX };
/* A read of more than this, and the next one goes into memory of its own, so as not to be copied. */
enum { WF_BULK_BYTES = 32 * 1024 };
/* Writes to a lost connection before the log says so: asyncio.constants' own number. */
enum { WF_LOST_WRITES_MAX = 5 };

/* What every transport is.
 *
 *   open ──close() with output queued──▶ closing ──all sent──▶ lost ──connection_lost()──▶ closed
 *     └────close(), abort(), an error──────────────────────────▶┘
 *
 * lost: connection_lost is on its way. closed: loop, protocol and descriptor have been let go.
 *
 * A handle keeps the transport alive while the loop watches the descriptor for it, so an open
 * transport that reads lives without other references, and one that is paused does not. */
struct wf_transport {
    PyObject_HEAD
    struct wf_state *state; /* the module's; its fields are NULL once the interpreter cleared it */
    PyObject *module;       /* owned until dealloc, so that `state` is there to the end */
    PyObject *loop;         /* owned; NULL once closed */
    PyObject *protocol;     /* owned; NULL once closed */
    PyObject *server;       /* owned: told when we go; or NULL */
    PyObject *extra;        /* owned: dict, what get_extra_info answers */
    PyObject
        *sock; /* owned: whose descriptor it is, socket or pipe; NULL: ours, until somebody asks */
    PyObject *context;      /* owned: contextvars.Context that the protocol is called in */
    PyObject *read_handle;  /* owned; made when first needed */
    PyObject *write_handle; /* the same */
    PyObject *waiter;       /* owned: told after connection_made; or NULL */
    PyObject *empty_waiter; /* owned: while sendfile has the socket; or NULL */
    PyObject *datagrams;    /* owned: deque of (bytes, address) that wait; or NULL */
    PyObject *lost_exc;     /* owned: for connection_lost; NULL is None */
    PyObject *attributes;   /* owned: __dict__, made when first needed; asyncio's have one */
    PyObject *weakrefs;
    struct wf_chunks out;
    size_t high_water, low_water; /* bytes */
    int fd;                       /* kept for repr after it is closed */
    unsigned conn_lost; /* not 0: lost; counts writes from then on, until they have been logged */
    uint8_t kind;       /* enum wf_kind */
    bool fd_open;
    bool closing;         /* close() was called, or lost */
    bool paused;          /* pause_reading() */
    bool watching_read;   /* the loop has read_handle */
    bool watching_write;  /* the loop has write_handle */
    bool protocol_paused; /* pause_writing() was called */
};

enum wf_feed {
    WF_FEED_BYTES,  /* data_received(bytes) */
    WF_FEED_BUFFER, /* get_buffer, buffer_updated */
    WF_FEED_TLS,    /* into a _core.TLS; tls.c */
    WF_FEED_READER, /* straight into an asyncio.StreamReader; feed.c */
};

/* A stream: a connected TCP or unix socket, or what pipe.c makes of it. */
struct wf_socket {
    struct wf_transport t;
    size_t read_hint; /* bytes that the next read is likely to bring */
    uint8_t feed;     /* enum wf_feed: how the protocol takes data */
    bool eof;         /* write_eof() was called */
};

/* ---- transport.c, end.c, face.c: what all share ---- */

/* Fills a zeroed transport. extra borrowed: a dict that is copied, or NULL. sock borrowed, or NULL
 * where `fd` is ours (then taken over on success only). 0, or -1 with an exception. */
int wf_transport_init(struct wf_transport *t, struct wf_state *state, PyObject *loop,
                      PyObject *protocol, PyObject *sock, int fd, PyObject *extra,
                      PyObject *server);
/* connection_made, then the first wish to read, then the waiter. 0, or -1 with what ends the loop. */
int wf_transport_begin(struct wf_transport *t);
/* server.method(self), without an argument on the Pythons that count only. */
int wf_transport_tell_server(struct wf_transport *t, PyObject *server, PyObject *method);
/* The sockname of a socket that Python has not seen, before it is gone: asked for afterwards too. */
int wf_transport_keep_sockname(struct wf_transport *t);
/* Calls `fn(t)` (one of the room's fn_*) in a later turn, in `context` (borrowed; NULL: a copy of the
 * current one). */
int wf_transport_call_soon(struct wf_transport *t, PyObject *fn, PyObject *context);
int wf_transport_watch_read(struct wf_transport *t);
int wf_transport_watch_write(struct wf_transport *t);
void wf_transport_unwatch_read(struct wf_transport *t);
void wf_transport_unwatch_write(struct wf_transport *t);

/* Each returns 0, or -1 with an exception that the caller passes on: KeyboardInterrupt, SystemExit,
 * or what a closed loop and a failing exception handler raise. */
int wf_transport_close(struct wf_transport *t);
int wf_transport_force_close(struct wf_transport *t,
                             PyObject *exc); /* exc borrowed; NULL is None */
/* The raised exception ends the connection and, unless it is an OSError, is reported. */
int wf_transport_fatal(struct wf_transport *t, const char *message);
/* loop.call_exception_handler() with transport and protocol; exc borrowed. */
int wf_transport_report(struct wf_transport *t, const char *message, PyObject *exc);
/* empty_waiter.set_result(None), or set_exception(exc) (borrowed), unless it is done. */
int wf_transport_tell_empty_waiter(struct wf_transport *t, PyObject *exc);
int wf_transport_lost(struct wf_transport *t); /* connection_lost, and lets go of everything */
int wf_transport_maybe_pause(struct wf_transport *t);
int wf_transport_maybe_resume(struct wf_transport *t);
/* Bytes for a connection that is lost go nowhere: counted, and told once they are many. */
int wf_transport_write_to_lost(struct wf_transport *t);
/* logger.debug(format, transport) where the loop is in debug mode. */
int wf_transport_debug(struct wf_transport *t, const char *format);
/* protocol.name(arg), arg NULL for none: new reference. The protocol may be replaced meanwhile. */
PyObject *wf_transport_call(struct wf_transport *t, PyObject *name, PyObject *arg);
/* Does the raised exception have to end the loop (KeyboardInterrupt, SystemExit)? */
static inline bool wf_transport_ends_loop(void) {
    return PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
           PyErr_ExceptionMatches(PyExc_SystemExit);
}
/* A finalizer may still call us when the interpreter has taken the module down. */
static inline void *wf_transport_gone(void) {
    PyErr_SetString(PyExc_RuntimeError, "weft is gone: the interpreter shuts down");
    return NULL;
}
static inline bool wf_transport_is_pipe(const struct wf_transport *t) {
    return t->kind == WF_KIND_READ_PIPE || t->kind == WF_KIND_WRITE_PIPE;
}
/* A class that says what a transport of ours is to asyncio: one of asyncio.transports' `base`, with
 * asyncio's flow control or not. Its instances do not exist; ours give it as their __class__. */
PyObject *wf_transport_face(const char *name, const char *base, bool flow_control);
extern PyMethodDef wf_transport_reading_methods[]; /* of those that are read from */
int wf_transport_add_methods(PyTypeObject *type, PyMethodDef *defs);
/* The slots of every type of this room. */
int wf_transport_traverse_fields(struct wf_transport *t, visitproc visit, void *arg);
int wf_transport_clear_fields(struct wf_transport *t);
void wf_transport_finalize(struct wf_transport *t);
void wf_transport_dealloc(struct wf_transport *t);
int wf_transport_base_exec(PyObject *module, struct wf_state *state);

/* ---- address.c ---- */

/* What the socket module makes of an address: new reference, or NULL with an exception. */
PyObject *wf_address_object(const struct sockaddr *addr, socklen_t len);
/* The opposite, for a tuple whose host is a numeric address of that family: true and *len. Whatever
 * is not as simple is for the socket module, errors included. */
bool wf_address_parse(int family, PyObject *obj, struct sockaddr_storage *addr, socklen_t *len);

/* ---- socket.c, read.c, write.c ---- */

/* A transport for `fd` that nobody has seen yet; takes it over on success. */
struct wf_socket *wf_socket_new(struct wf_state *state, PyObject *loop, PyObject *protocol,
                                PyObject *sock, int fd, PyObject *extra, PyObject *server);
PyObject *wf_socket_read_ready(struct wf_socket *s, PyObject *unused);
PyObject *wf_socket_write_ready(struct wf_socket *s, PyObject *unused);
PyObject *wf_socket_write(struct wf_socket *s, PyObject *data); /* transport.write() */
PyObject *wf_socket_writelines(struct wf_socket *s, PyObject *lines);
PyObject *wf_socket_set_protocol(struct wf_socket *s, PyObject *protocol);
/* n bytes have come. A short read between long ones, as unix sockets have them, makes no short reads of the rest. */
static inline void wf_socket_learn(struct wf_socket *s, size_t n) {
    s->read_hint = WF_MAX(n, s->read_hint / 2);
}
int wf_socket_choose_feed(struct wf_socket *s); /* by its protocol: 0, or -1 with an exception */
/* recv() or, for a pipe, read(). */
static inline ssize_t wf_socket_recv(const struct wf_socket *s, void *into, size_t n) {
    return wf_likely(s->t.kind == WF_KIND_SOCKET) ? recv(s->t.fd, into, n, 0)
                                                  : read(s->t.fd, into, n);
}
extern PyMethodDef wf_socket_write_methods[];
int wf_socket_exec(PyObject *module, struct wf_state *state);

/* ---- pipe.c ---- */

int wf_pipe_ended(struct wf_socket *s); /* nothing more comes; 0, or -1 with an exception */
int wf_pipe_exec(PyObject *module, struct wf_state *state);

/* ---- datagram.c ---- */

int wf_datagram_exec(PyObject *module, struct wf_state *state);

/* ---- feed.c ---- */

/* Can what arrives go the short way to a StreamReader? 1, 0, or -1 with an exception. */
int wf_feed_choose(struct wf_socket *s);
enum {
    WF_FED,         /* *n bytes are in the reader's buffer, and who waits for them is told */
    WF_FED_NOTHING, /* *n <= 0 and errno, as of recv() */
    WF_FED_NOT,     /* nothing was read: go the long way */
};
int wf_feed_reader(struct wf_socket *s, ssize_t *n); /* or -1 with an exception */

/* ---- tls.c ---- */

int wf_tls_check(struct wf_state *state, PyObject *protocol); /* is it a _core.TLS? */
/* `n` bytes of ciphertext; the memory is free again when it returns. 0, or -1 with an exception. */
int wf_tls_received(PyObject *protocol, char *bytes, size_t n);
int wf_tls_exec(PyObject *module, struct wf_state *state);

/* ---- accept.c ---- */

int wf_listener_exec(PyObject *module, struct wf_state *state);

#endif
