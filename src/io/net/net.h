/* Listeners and streams: bytes in and out of TCP and unix sockets.
 *
 * Reading is pulled: the owner is told that a stream is readable and reads into memory of its own
 * choosing. Writing is queued: the owner appends to the stream's output and flushes once; what the
 * kernel does not take waits for writability. High and low water tell the owner when to pause.
 *
 * thread   the loop's; no Python, no protocol */
#ifndef WF_IO_NET_H
#define WF_IO_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <netinet/in.h>

#include "base/buf.h"
#include "base/pool.h"
#include "io/loop/loop.h"

/* ---- addresses ---- */

struct wf_addr {
    socklen_t len;
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
};

/* Numeric host and port, no DNS: "127.0.0.1", "::1", "0.0.0.0". Returns 0 or -EINVAL. */
int wf_addr_ip(struct wf_addr *a, const char *host, uint16_t port);
/* path  at most sizeof(sun_path) - 1 bytes, or -ENAMETOOLONG */
int wf_addr_unix(struct wf_addr *a, const char *path);
/* Its 16 bytes, an IPv4 address as ::ffff:a.b.c.d; false where it is none of IP. */
bool wf_addr_bytes(const struct wf_addr *a, uint8_t out[16]);
enum { WF_ADDR_CHARS_MAX = 128 };
/* "127.0.0.1:8000", "[::1]:8000", "unix:/path" (or "unix:" for an unnamed peer), NUL-terminated.
 * Returns the length. */
size_t wf_addr_write(const struct wf_addr *a, char out[WF_ADDR_CHARS_MAX]);

/* ---- listener ---- */

struct wf_listener;
/* fd  an accepted, non-blocking, close-on-exec socket, now the callee's
 * peer  borrowed for the call */
typedef void wf_accept_fn(struct wf_listener *l, int fd, const struct wf_addr *peer);

struct wf_listener {
    struct wf_watch watch;
    struct wf_loop *loop;
    wf_accept_fn *on_accept;
    struct wf_timer backoff; /* EMFILE, ENFILE, ENOBUFS, ENOMEM: accepting rests, then goes on */
    int fd;
    ino_t path_ino;      /* of the unix socket we made, removed again at the end; else 0 */
    bool *gone;          /* while accepting: where close leaves word */
    struct wf_addr addr; /* as bound; a port 0 is filled in */
};

enum {
    WF_LISTEN_BACKLOG = 2048,
    WF_ACCEPT_BATCH = 64, /* accepts a turn: connections already open would starve otherwise */
    WF_ACCEPT_BACKOFF_MS = 100
};

enum { WF_LISTEN_REUSEPORT = 1 };

/* Binds, listens and starts accepting. Returns 0 or -errno (EADDRINUSE, EACCES, ...). A stale unix
 * socket file nobody listens on is replaced; a live one is EADDRINUSE. */
int wf_listener_open(struct wf_listener *l, struct wf_loop *loop, const struct wf_addr *addr,
                     unsigned flags, int backlog, wf_accept_fn *on_accept) WF_MUST_USE;
/* The same over a listening socket somebody else made (now the listener's; on failure still the
 * caller's). -EINVAL: it does not listen. */
int wf_listener_adopt(struct wf_listener *l, struct wf_loop *loop, int fd,
                      wf_accept_fn *on_accept) WF_MUST_USE;
/* Stops accepting; connections in the backlog stay for others who share the socket. */
void wf_listener_pause(struct wf_listener *l);
int wf_listener_resume(struct wf_listener *l); /* 0 or -errno */
/* Accepts now what waits in the backlog: for whoever is about to close, since what is left there
 * would be reset. */
void wf_listener_accept_all(struct wf_listener *l);
/* Also from within on_accept. Closing twice is harmless. */
void wf_listener_close(struct wf_listener *l);

/* ---- stream ---- */

struct wf_stream;

struct wf_stream_ops {
    /* All come from the loop, never from within a call into the stream: who flushes looks at what
     * is still pending instead. Each may close (and free) the stream. */
    /* Bytes (or end of file, or an error) wait: call wf_stream_read. */
    void (*readable)(struct wf_stream *s);
    /* Output fell to low water after a flush that began at high water and did not get there itself.
     * May be NULL. */
    void (*drained)(struct wf_stream *s);
    /* All output has left, after a flush that could not finish at once. May be NULL. */
    void (*flushed)(struct wf_stream *s);
    /* Writing failed, -errno; output is dropped. The owner closes the stream. wf_stream_flush
     * returns the error instead. */
    void (*failed)(struct wf_stream *s, int error);
};

/* Called when the stream no longer needs borrowed output: sent, dropped or closed, exactly once.
 * Runs on the loop's thread WITHOUT the GIL. May not call into the stream. */
typedef void wf_release_fn(void *arg);

enum {
    WF_STREAM_HIGH_WATER = 64 * 1024, /* writers pause: as asyncio's transports */
    WF_STREAM_LOW_WATER = 16 * 1024,
    WF_STREAM_BUF_BYTES = 16 * 1024, /* one pooled buffer */
    WF_STREAM_OUT_MAX = 1 << 30 /* `out` may grow to it: water marks, not this, hold writers back */
};

struct wf_stream_seg; /* borrowed output waiting behind or between buffers */

struct wf_stream {
    struct wf_watch watch;
    struct wf_loop *loop;
    const struct wf_stream_ops *ops;
    struct wf_pool *pool;                      /* of WF_STREAM_BUF_BYTES buffers; borrowed */
    struct wf_buf out;                         /* the tail of the output; append here, then flush */
    size_t out_sent;                           /* bytes of `out` the kernel already has */
    struct wf_stream_seg *seg_head, *seg_tail; /* output before `out`, in order; owned */
    size_t seg_bytes;                          /* unsent bytes in segments */
    bool paused;                               /* reading is off */
    bool above_high;                           /* `drained` is owed */
    bool failed;
    bool ending; /* half-close once the output has left */
    bool eof_sent;
    bool *gone; /* during callbacks: where close leaves word */
};

/* fd  non-blocking; becomes the stream's (on failure it is still the caller's). TCP_NODELAY is set
 * where it applies. Reading starts on. 0 or -errno. */
int wf_stream_open(struct wf_stream *s, struct wf_loop *loop, struct wf_pool *pool, int fd,
                   const struct wf_stream_ops *ops) WF_MUST_USE;
/* Closes at once, dropping output. reset: send RST instead of FIN (SO_LINGER 0). No callback after.
 * Closing twice is harmless. */
void wf_stream_close(struct wf_stream *s, bool reset);

/* Reads once. Returns bytes, 0 at end of file, -EAGAIN, or another -errno. End of file and errors
 * pause reading: they would be reported for ever. */
ssize_t wf_stream_read(struct wf_stream *s, void *p, size_t n);
/* The same without taking anything: how many bytes wait, 1 for any number. For an owner without
 * room who has to know whether the peer is still there. */
ssize_t wf_stream_peek(struct wf_stream *s);
/* Has the peer shut its side down, or gone, whatever of its bytes waits before that? One system call: for
 * an owner who cannot read on, now and then. */
bool wf_stream_peer_ended(const struct wf_stream *s);
void wf_stream_pause(struct wf_stream *s);
int wf_stream_resume(struct wf_stream *s); /* 0 or -errno: it will never be readable; close it */

/* Makes `out` ready for appending (takes a pooled buffer when it has none). WF_BUF_OK or _NOMEM.
 * Then use wf_buf_* on s->out; it may grow up to its max. Moves what is queued: offsets into s->out
 * die with this call. */
int wf_stream_prepare(struct wf_stream *s) WF_MUST_USE;
/* Queues bytes without copying; `release(arg)` once they are no longer needed (also on failure).
 * Few bytes are copied after all, where there is room, and released at once. What is appended to
 * `out` afterwards follows them. Returns 0 or -ENOMEM (release has then been called). */
int wf_stream_borrow(struct wf_stream *s, struct wf_span bytes, wf_release_fn *release, void *arg);
/* Queues `bytes` of a file from `offset` on: the kernel copies them (sendfile), nothing of it is in our
 * memory. fd  borrowed until `release(arg)`, which comes as for wf_stream_borrow. A file that turns out to be
 * shorter fails the stream with -EIO. Returns 0 or -ENOMEM (release has then been called). */
int wf_stream_file(struct wf_stream *s, int fd, uint64_t offset, size_t bytes,
                   wf_release_fn *release, void *arg);
/* Sends what is queued (send for one buffer, sendmsg otherwise). Returns 0 when all has left or
 * waits in the kernel's time, or -errno: the stream has failed and its output is dropped. Gives the
 * buffer back when empty. */
int wf_stream_flush(struct wf_stream *s);
/* Unsent bytes. */
static inline size_t wf_stream_pending(const struct wf_stream *s) {
    return s->seg_bytes + s->out.len - s->out_sent;
}
static inline bool wf_stream_at_high_water(const struct wf_stream *s) {
    return wf_stream_pending(s) >= WF_STREAM_HIGH_WATER;
}
/* Half-close after the output has left: shutdown(SHUT_WR). Does not flush. */
void wf_stream_end(struct wf_stream *s);

#endif
