/* An exchange: one request and its reply. What is above this header does not know which version of HTTP
 * carries it.
 *
 *            parse + route                 embedder                       last byte queued
 *   (pool) ───────────────▶ READY ─────────────────────▶ RUNNING ───────────────────────▶ (pool)
 *                             │  wf_server_next             │    wf_exchange_finish
 *                             └── refusals never get here   └── client leaves: EV_GONE, then finish
 *
 * Ownership: the server owns it; the embedder may use it from wf_server_next until it calls
 * wf_exchange_finish, however long that takes and also when the client has gone meanwhile (replies then
 * go nowhere). Every span in it lives as long.
 * thread   the loop's. Nothing here needs the GIL. */
#ifndef WF_SERVE_EXCHANGE_H
#define WF_SERVE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/span.h"
#include "io/net/net.h"
#include "serve/form/form.h"
#include "serve/route/route.h"
#include "wire/http1/http1.h"

struct wf_server;
struct wf_conn;
struct wf_layer;
struct wf_encoder;
struct wf_body_coding;
struct wf_long_content;
struct wf_record;

enum {
    WF_EV_REQUEST = 1, /* new: run it and answer it */
    WF_EV_BODY = 2,    /* STREAM: wf_body_read has something (data, the end, or an error) */
    WF_EV_DRAINED = 4, /* a streamed reply fell to low water: go on */
    WF_EV_GONE = 8,    /* the client left, or the server gave it up: cancel, then finish */
    WF_EV_TIMEOUT =
        16 /* its handler's time is over: end it, and answer 504. With GONE: that took too long
                           as well, or wf_exchange_time_out was called, and the server has answered */
};

enum wf_exchange_reply {
    WF_REPLY_NONE,      /* nothing sent yet: an error reply is still possible */
    WF_REPLY_OPEN,      /* wf_reply_open called, not closed */
    WF_REPLY_STREAMING, /* head sent, chunks follow */
    WF_REPLY_COMPLETE
};

enum {
    WF_EXCHANGE_ARENA_BYTES = 512,   /* the first block, inside the exchange */
    WF_EXCHANGE_ARENA_MAX = 1 << 20, /* decoded paths and the like are bounded by the head */
    WF_EXCHANGE_FIELDS = 100 /* field lines; the default limit, and the most it can be set to */
};

struct wf_exchange {
    struct wf_list ready;     /* in server->ready while events != 0 */
    struct wf_server *server; /* borrowed */
    struct wf_conn *conn;     /* borrowed; NULL once the client has gone */
    struct wf_conn *owner; /* the server's: the connection, kept until finish although it is gone */
    void *user;            /* the embedder's, NULL at first */
    struct wf_encoder *encoder; /* the server's, owned: streamed content goes through it; or NULL */
    struct wf_long_content
        *long_content; /* the server's, owned: what is still to go through it; or NULL */
    struct wf_body_coding *body_coding; /* the server's, owned: the body goes through it; or NULL */
    struct wf_addr
        *client;         /* as a trusted proxy has it, in the arena; NULL: the peer is the client */
    struct wf_span host; /* as a trusted proxy has it; n is 0 without one */
    struct wf_span
        request_id; /* as the layer of that name has it, once the reply has begun; p may be NULL */
    struct wf_span
        set_cookie;          /* of the embedder, for the reply, in the arena; n is 0 without one */
    struct wf_layer *around; /* the server's: the innermost layer that sees the reply, or NULL */
    struct wf_layer
        *passed; /* the server's: the innermost of those that have let it pass, or NULL */
    struct wf_record *record; /* in `arena`, or NULL; the recorder's, indeterminate without one */
    uint8_t events;           /* WF_EV_*: what wf_server_next will report */
    uint8_t reply;            /* enum wf_exchange_reply */
    uint8_t route;            /* enum wf_route_result */
    bool close_after;         /* the connection ends with this reply */
    bool body_done;           /* STREAM: the whole body has been handed over */
    bool vary_cookie;         /* the reply depends on the request's cookies */
    bool taken;               /* the server's: the embedder has seen it */
    bool timed_out;           /* the server's: TIMEOUT has been told */
    bool https;               /* so a trusted proxy says: the client came by https */
    uint16_t status;          /* of the reply; 0 before */
    uint64_t started_ns;      /* when its first byte was seen (loop time) */
    uint64_t reply_bytes;     /* of content, for the log */

    /* the request */
    const char *base; /* what the offsets in `head` count from */
    struct wf_head head;
    struct wf_span path;   /* decoded, UTF-8 */
    struct wf_span body;   /* BUFFER: all of it; else empty */
    struct wf_form *form;  /* FORM: owned; its status says what is wrong with it. Else NULL */
    struct wf_match match; /* leaf is NULL where the embedder asked to get unrouted requests */
    struct wf_arena arena;
    struct wf_field fields[WF_EXCHANGE_FIELDS];
    char arena_first[WF_EXCHANGE_ARENA_BYTES] __attribute__((aligned(16)));
};

/* The client's address, which is the peer's or what a trusted proxy says, and our own; good while the exchange
 * is. */
const struct wf_addr *wf_exchange_peer(const struct wf_exchange *ex);
const struct wf_addr *wf_exchange_local(const struct wf_exchange *ex);
/* What the client calls us: by a trusted proxy, the target or Host, with its port if it gave one. May be empty. */
struct wf_span wf_exchange_host(const struct wf_exchange *ex);
/* Where a redirect of slashes (WF_ROUTE_SLASH) leads to: the whole URL with a slash more or less at the end of its
 * path, in the arena; without memory p is NULL. */
struct wf_span wf_slash_location(struct wf_exchange *ex);
/* The server's root path, where the target has come without it: what redirects to it begin with. Else empty. */
struct wf_span wf_exchange_missing_root(const struct wf_exchange *ex);
/* Has the client gone? (Level, where EV_GONE is the edge.) */
static inline bool wf_exchange_gone(const struct wf_exchange *ex) {
    return ex->conn == NULL;
}

/* The embedder is done with it: no pointer into it may be used after. A reply that was not completed
 * is made up for: nothing sent yet is a 500; a stream cut short closes the connection without its last
 * chunk, so that the client can tell. Starts on the next pipelined request, which may appear in
 * wf_server_next at once. */
void wf_exchange_finish(struct wf_exchange *ex);

/* For an embedder that was told TIMEOUT and cannot end what it runs: the server answers 504 at once, and GONE with
 * TIMEOUT follows. Nothing where the reply has begun, or nobody is there. */
void wf_exchange_time_out(struct wf_exchange *ex);

/* ---- streamed request bodies (leaf->body_mode WF_BODY_STREAM) ---- */

enum wf_body_result {
    WF_BODY_DATA, /* *out is not empty; good until the next wf_body_read or finish */
    WF_BODY_WAIT, /* nothing now: EV_BODY will come */
    WF_BODY_END,
    WF_BODY_TOO_LARGE,  /* past leaf->body_max: answer 413 */
    WF_BODY_TOO_SLOW,   /* below body_rate_min: answer 408 */
    WF_BODY_MALFORMED,  /* bad chunk: answer 400 */
    WF_BODY_BAD_CODING, /* not what its Content-Encoding says: answer 400 */
    WF_BODY_NOMEM,      /* to decode it: answer 503 */
    WF_BODY_BROKEN      /* the client left before the end */
};
/* Hands over what has arrived; what was handed over before is consumed. While nobody reads, the
 * connection stops reading too (a buffer of 16 KiB is what may wait). Sends 100 Continue when the
 * client waits for it. A content-length past the limit is refused in C and never gets here. */
enum wf_body_result wf_body_read(struct wf_exchange *ex, struct wf_span *out);

/* ---- replies ---- */

struct wf_reply_field {
    struct wf_span name,
        value; /* checked: one with CR, LF, NUL or a bad name makes the reply fail */
};

struct wf_reply_head {
    int status;                  /* 200 to 599 */
    struct wf_span content_type; /* empty: none is sent */
    const struct wf_reply_field *fields;
    uint32_t nfields; /* content-length, transfer-encoding, connection among them are dropped:
                         framing is ours. Of what they say, "connection: close" is done.
                         `date` and `server` replace ours. */
};

enum {
    WF_REPLY_OK = 0,
    WF_REPLY_WAIT = 1,  /* accepted; at high water: write no more before EV_DRAINED */
    WF_REPLY_GONE = -1, /* nobody is there to read it; not an error of the application */
    WF_REPLY_NOMEM = -2,
    WF_REPLY_INVALID =
        -3 /* a field that may not be sent, or a status out of range: nothing was queued */
};

/* A whole reply; the body is copied. HEAD, 204 and 304 get the head only. */
int wf_reply_send(struct wf_exchange *ex, const struct wf_reply_head *head, struct wf_span body);
/* The same without a copy. `release(arg)` comes exactly once, whatever is returned; see wf_release_fn. */
int wf_reply_send_borrowed(struct wf_exchange *ex, const struct wf_reply_head *head,
                           struct wf_span body, wf_release_fn *release, void *arg);

/* A whole reply encoded in place: open, append the content to *buf, close (or cancel, which takes the
 * head back, so that another reply can be made). What `head` points to lives until then: where a layer
 * changes content it is not read before wf_reply_close, which then gives the results of wf_reply_send. Nothing else may touch the exchange in between, and
 * neither wf_loop_poll nor wf_server_flush may run: half a reply would leave. *buf may already hold
 * other output; append only, and never touch what is before. */
int wf_reply_open(struct wf_exchange *ex, const struct wf_reply_head *head, struct wf_buf **buf);
int wf_reply_close(struct wf_exchange *ex);
void wf_reply_cancel(struct wf_exchange *ex);

/* A regular file, opened for a reply. */
struct wf_file {
    int fd;
    uint64_t size;
    int64_t mtime_s;
    uint32_t mtime_ns;
    const char *
        variant; /* of its entity tag the end, which tells it from others of its name; or NULL. Static */
};
/* 0 or -errno; -EISDIR for what is no regular file. Never waits (a FIFO does not block). */
int wf_file_open(const char *path, struct wf_file *out);
/* The same for a descriptor, which is closed where it fails; -EISDIR for a directory, -EINVAL for other things. */
int wf_file_take(int fd, struct wf_file *out);

enum {
    WF_FILE_CONDITIONS =
        1 /* If-Match, If-Unmodified-Since: 412; If-None-Match, If-Modified-Since: 304 */
};
/* A whole reply whose content is a file, which is the reply's from now on: also where it fails. With status 200
 * and GET or HEAD it answers what `flags` say (RFC 9110 section 13), then Range and If-Range (section 14): 206 in
 * one part or several, 416, and 400 for what is no range. accept-ranges, last-modified and etag are added where
 * `head` has none. */
int wf_reply_file(struct wf_exchange *ex, const struct wf_reply_head *head, struct wf_file *file,
                  unsigned flags);

/* A streamed reply: chunked on HTTP/1.1, until close on 1.0. length >= 0 sends content-length instead,
 * and what is written past it is refused (INVALID). Empty chunks send nothing. */
int wf_reply_start(struct wf_exchange *ex, const struct wf_reply_head *head, int64_t length);
int wf_reply_write(struct wf_exchange *ex, struct wf_span chunk);
int wf_reply_end(struct wf_exchange *ex);

/* A reply that is always the same, for a leaf to have: the embedder does not hear of the request. 200, or
 * 304 where If-None-Match has the etag (RFC 9110 section 13.1.2); cache-control is no-cache. */
struct wf_fixed_reply {
    struct wf_span content_type, etag, body; /* borrowed while a leaf has it; fit for fields */
};

/* The error reply of the server itself: {"detail":"<detail>"} as application/json; an empty detail is
 * the reason phrase. */
int wf_reply_error(struct wf_exchange *ex, int status, struct wf_span detail);

#endif
