/* What the files of serve share: the server, its connections, and who calls whom.
 *
 *     server.c       listeners, the ready list, flush, ticks, drain     calls ▼
 *     conn_http1.c   one connection's states, and reading               calls ▼
 *     conn_input.c   the buffer it reads into
 *     conn_body.c    request bodies, and forms                          calls ▼
 *     conn_wait.c    what it waits for                                  calls ▲ conn_http1.c
 *     refuse.c       what is answered without the embedder              calls ▼
 *     find_route.c   from a target to its leaf
 *     body_coding.c  bodies in gzip, br and zstd
 *     exchange.c     one exchange's life, the body reader               calls ▼ (and conn_http1.c back)
 *     respond.c      reply heads and contents into the stream's output
 *     long_content.c contents that are compressed a piece a turn        calls ▼ (and conn_http1.c back)
 *     forwarded.c    what trusted proxies say of the client
 *     access_log.c   one line a reply; access_line.c has its formats
 */
#ifndef WF_SERVE_SERVER_INT_H
#define WF_SERVE_SERVER_INT_H

#include "serve/body_coding.h"
#include "serve/exchange.h"
#include "serve/layer/layer.h"
#include "serve/server.h"

enum {
    WF_DROP_BYTES_MAX = 64 * 1024,    /* of a body nobody wants: more, and closing is cheaper */
    WF_LINGER_BYTES_MAX = 256 * 1024, /* read after a refusal so that the peer can read the reply */
    WF_LINGER_MS = 2000,
    WF_END_LOOK_MS = 2000, /* between looks for the end of who has sent more than can be read */
    WF_FIRST_MS =
        500, /* a drain closes who has not sent a first request by then: it may be on its way */
    WF_REFUSED_MAX = 128, /* connections past the maximum being told 503; then none is told */
    WF_TICK_MS_MIN = 10,
    WF_TICK_MS_MAX = 1000,
    WF_FORM_READ_BYTES =
        64 * 1024, /* at once of a long form: half the system calls of a small buffer */
    WF_FORM_PLACE_BYTES = 256 * 1024 /* at once of a long file: 64 KiB to 2 MiB cost the same */
};

/* What a connection may wait for too long. Every class has one timeout, so its list is in order of
 * deadline by appending, and moving a connection is O(1): there is no timer a request. */
enum wf_wait {
    WF_WAIT_NONE,
    WF_WAIT_IDLE,    /* for the first byte of a request */
    WF_WAIT_FIRST,   /* for that of a connection's first, while the server drains */
    WF_WAIT_HEAD,    /* for the rest of a head */
    WF_WAIT_BODY,    /* for body_rate_min */
    WF_WAIT_HANDLER, /* for the embedder */
    WF_WAIT_GRACE,   /* for the embedder that was told of its timeout */
    WF_WAIT_WRITE,   /* for the peer to take output */
    WF_WAIT_LINGER,
    WF_WAIT_END, /* for the handler, while bytes that cannot be read yet hide the client's end */
    WF_WAIT_COUNT
};

/* Connections that wait the same time, in order of deadline. */
struct wf_wait_list {
    struct wf_list conns; /* of wf_conn.wait */
    uint64_t ns;          /* 0: off */
    struct wf_wait_list *next;
};

/* The states of a connection. wf_conn_advance owns them; what comes from outside
 * (finish, a timeout, close) sets the state it leads to and lets wf_conn_advance go on.
 *
 *            ┌──────────────────────── next head ────────────────────────┐
 *            ▼                                                           │
 *          HEAD ──▶ BODY ──all of it──▶ RUNNING ──wf_exchange_finish──▶ REPLIED ◀──▶ DROP
 *            │                             ▲                            ▲ ▲ │     body nobody read
 *            ├──no body to wait for────────┘              CODING ───────┘ │ │
 *            └──answered in C─────────────────────────────────────────────┘ │ the last reply
 *                                                                           ▼
 *                                      CLOSED ◀── LINGER ◀──refused──── CLOSING (output leaves)
 */
enum wf_conn_state {
    WF_CONN_HEAD,    /* idle, or a head is arriving */
    WF_CONN_BODY,    /* a body that is handed over whole is arriving */
    WF_CONN_RUNNING, /* the exchange is the embedder's, or in the ready list on its way there */
    WF_CONN_CODING,  /* as REPLIED, but that some of a long content is not compressed yet */
    WF_CONN_REPLIED, /* reply queued; waits while the output is above high water */
    WF_CONN_DROP,
    WF_CONN_CLOSING,
    WF_CONN_LINGER, /* our side is shut; reads and forgets, so that no RST eats the reply */
    WF_CONN_CLOSED
};

enum wf_body_state {
    WF_BODY_COMPLETE, /* all of it is here, or there is none */
    WF_BODY_ARRIVING,
    WF_BODY_OVER,     /* past body_max */
    WF_BODY_SLOW,     /* below body_rate_min */
    WF_BODY_BAD,      /* bad chunk */
    WF_BODY_MISCODED, /* STREAM: not what its Content-Encoding says */
    WF_BODY_LOST      /* STREAM: no memory to decode it */
};

/* The input buffer while an exchange is in flight (offsets count from `in`):
 *
 *     head            body, decoded             not looked at yet
 *     [base ....)[head_end ... body_end)   [in_at ......... in_end)        in_cap
 *
 * While the body is arriving, body_end == in_at == in_end between calls. Until the exchange is published
 * the buffer may move; then it stays where it is, since the embedder's spans point into it. */
struct wf_conn {
    struct wf_stream stream;
    struct wf_server *server; /* borrowed */
    struct wf_exchange *ex;   /* owned; NULL while no request is in flight */
    struct wf_list node;      /* in server->conns, then server->dead */
    struct wf_list flush;     /* in server->flush while output waits for it */
    struct wf_list wait;      /* in server->waits[wait_class], or server->handler_waits */
    uint64_t deadline_ns;     /* of that wait */
    uint64_t mark;            /* bytes moved when that wait began: tells slow from stalled */
    uint64_t started_ns;      /* when the first byte of the head was seen; 0 before */

    char *in; /* owned: of server->buffers while in_cap is WF_STREAM_BUF_BYTES; NULL while empty */
    size_t in_cap, in_at, in_end;
    size_t head_end, body_end;
    size_t body_at;        /* STREAM: what is before has been handed over */
    uint64_t body_left;    /* of content-length */
    uint64_t body_bytes;   /* payload so far */
    uint64_t body_max;     /* payload allowed */
    uint64_t input_bytes;  /* ever */
    uint64_t queued_bytes; /* output ever; less what is pending, it is what the peer has taken */
    uint64_t reply_left;   /* streamed reply with a length: bytes still owed */
    struct wf_http1_progress progress;
    struct wf_chunked chunked;

    uint32_t open_at,
        open_content_at;     /* wf_reply_open: where its head and content began in `out` */
    uint32_t open_length_at; /* and its content-length's digits; 0 where it sends none */
    uint8_t open_digits;
    uint8_t reply_framing; /* respond.c's */

    uint8_t state;      /* enum wf_conn_state */
    uint8_t wait_class; /* enum wf_wait */
    uint8_t body;       /* enum wf_body_state */
    uint8_t body_mode;  /* enum wf_body_mode */
    bool eof;           /* the peer will send nothing more */
    bool stalled;       /* a flush could not finish */
    bool close_after;   /* no request after this one */
    bool linger;        /* the peer may still be sending */
    bool broken;        /* a reply could not be completed: closing is the only way to say so */
    bool reset;         /* and on HTTP/1.0 an orderly close would look like its end */
    bool continue_owed; /* the client waits for 100 Continue */
    bool body_awaited;  /* wf_body_read said WAIT */
    bool drained_owed;  /* wf_reply_write said WAIT */
    bool refused;       /* past connections_max */
    bool trusted;       /* the peer is a proxy that is believed */
    bool more_waits;    /* the buffer is full, and bytes wait behind it in the socket */
    bool body_chunked;
    uint32_t requests;
    const struct wf_addr *local; /* the listener's, borrowed */
    struct wf_addr peer;
};
static_assert(sizeof(struct wf_conn) <= 640, "an idle connection is this and nothing else");

struct wf_server_listener {
    struct wf_listener l;
    struct wf_server *server;
    struct wf_server_listener *next;
};

struct wf_access_log {
    struct wf_buf lines;
    int fd;
    uint8_t format;    /* enum wf_access_format */
    bool regular_file; /* never blocks for long: no need to ask */
    uint64_t lost;     /* lines dropped while nobody read the other end */
};

struct wf_server {
    struct wf_loop *loop;           /* borrowed */
    const struct wf_router *router; /* borrowed */
    struct wf_layers layers; /* owned: around all of it; its first is NULL where there are none */
    struct wf_layers *router_layers; /* owned: of each router that has some, and those within the
                                        embedder's steps, in no order */
    struct wf_layer_answer *answer;  /* borrowed: where one of those answers to; else NULL */
    struct wf_server_config config;
    struct wf_http1_limits head_limits;
    struct wf_server_listener *listeners; /* owned, in order */
    struct wf_list ready;                 /* exchanges */
    struct wf_list flush, conns, dead;    /* connections */
    struct wf_list coding;                /* long contents, in turn: long_content.c */
    struct wf_wait_list waits[WF_WAIT_COUNT];
    struct wf_wait_list *handler_waits; /* owned: of routes that have a time of their own */
    struct wf_timer tick;
    uint64_t tick_ns, tick_due_ns;
    bool tick_was_late;
    uint64_t body_due_bytes; /* of a body in body_grace_ms */
    struct wf_pool buffers;  /* WF_STREAM_BUF_BYTES: input, and the streams' output */
    struct wf_pool exchanges;
    struct wf_server_counters counters;
    struct wf_access_log log;
    bool recodes; /* a layer may change content: see aside */
    /* Where content is encoded that layers want to see as a whole: it is sent at wf_reply_close. */
    struct wf_buf aside;
    struct wf_reply_head aside_head;
    struct wf_exchange *aside_of; /* whose it is at the moment; NULL */
    uint64_t running;             /* published, not finished */
    uint64_t refusing;            /* connections past the maximum */
    bool draining;

    /* "HTTP/1.1 200 OK\r\n" "date: ...\r\n" "server: ...\r\n" */
    char *common; /* owned */
    size_t common_len;
    uint64_t date_until_ns; /* the loop's time from which the date is stale */
};

enum { WF_STATUS_200_LINE = 17 };

/* ---- server.c ---- */
void wf_server_refresh_date(struct wf_server *s);
/* Somebody waits: deadlines are looked at from now on. */
void wf_server_start_tick(struct wf_server *s);
/* Output waits: wf_server_flush will see the connection. */
static inline void wf_conn_has_output(struct wf_conn *c) {
    if (!wf_list_linked(&c->flush)) {
        wf_list_push(&c->server->flush, &c->flush);
    }
}

/* ---- conn_http1.c ---- */
void wf_conn_accepted(struct wf_server *s, int fd, const struct wf_addr *peer,
                      const struct wf_addr *local);
/* Goes on as far as the input and output allow. */
void wf_conn_advance(struct wf_conn *c);
/* Ends it if it is idle and nothing has come: no more requests after this one. */
void wf_conn_drain(struct wf_conn *c);
/* Ends it now. An exchange the embedder has gets EV_GONE and keeps the struct alive until its finish;
 * otherwise the struct lives until the next flush. */
void wf_conn_close(struct wf_conn *c, bool reset);
/* Its wait has come to its deadline. */
void wf_conn_timed_out(struct wf_conn *c);
/* The embedder is done with c->ex, which is complete or given up: the next request's turn. */
void wf_conn_finished(struct wf_conn *c);
/* After a flush, or after the loop has sent something. */
void wf_conn_output_moved(struct wf_conn *c);
/* Queues 100 Continue if the client still waits for it. */
void wf_conn_continue(struct wf_conn *c);

/* ---- conn_input.c ---- */
enum wf_conn_room { WF_ROOM, WF_NO_ROOM_NOW, WF_NO_MEMORY };
/* Room behind in_end for what is read next. */
enum wf_conn_room wf_conn_make_room(struct wf_conn *c);
/* Moves everything from the current request on to the front of a buffer of `cap` bytes. */
bool wf_conn_move_input(struct wf_conn *c, size_t cap);
/* After a large request: back to a pooled buffer, or to none. */
void wf_conn_shrink_input(struct wf_conn *c);
void wf_conn_give_input(struct wf_conn *c);

/* ---- conn_body.c ---- */
/* Prepares for the body, if one is to come. false: it is announced to be too large. */
bool wf_conn_begin_body(struct wf_conn *c);
/* Decodes what has arrived of the body, in place. */
void wf_conn_feed_body(struct wf_conn *c);
bool wf_conn_begin_form(struct wf_conn *c); /* false: no memory */
/* The body so far goes into the form. */
void wf_conn_feed_form(struct wf_conn *c);
/* What is wrong with a form is for the embedder to say; the rest of the body is of no interest then. */
void wf_conn_form_fed(struct wf_conn *c);
/* Where to read more of a long file to, instead of the input buffer, and how much; NULL: nowhere. */
char *wf_conn_form_place(const struct wf_conn *c, size_t *bytes);
void wf_conn_form_placed(struct wf_conn *c, struct wf_span bytes); /* it has been read to there */

/* ---- conn_wait.c ---- */
bool wf_conn_wants_input(const struct wf_conn *c);
/* Bytes moved, ever, in the direction of the wait. */
uint64_t wf_conn_moved(const struct wf_conn *c, enum wf_wait wait);
void wf_conn_wait_from_now(struct wf_conn *c, enum wf_wait wait);
/* Stands in the wait list, and has the reading interest, that the state asks for. */
void wf_conn_settle(struct wf_conn *c);

/* ---- refuse.c ---- */
/* Answers c->ex with an error and makes it the connection's last reply. */
void wf_refuse(struct wf_conn *c, int status, const char *detail);
/* Answers c->ex without the embedder: its leaf's fixed reply, or where there is no leaf 404, 405, OPTIONS,
 * or the slash redirect. */
void wf_answer(struct wf_conn *c);

/* ---- find_route.c ---- */
/* Sets the path, the route and the match of an exchange whose head is there. 0, or the status to refuse with: 400,
 * 503. */
int wf_find_route(const struct wf_server *s, struct wf_exchange *ex);

/* ---- body_coding.c ---- */
#define WF_BAD_CODING "the request body is not what its Content-Encoding says"
/* c->ex has a body that will be read: prepares to decode it, where it is coded. 0, or the status to refuse with:
 * 415 (by wf_refuse_coding) or 503. */
int wf_conn_begin_coding(struct wf_conn *c);
void wf_refuse_coding(struct wf_conn *c); /* and makes it the connection's last reply */
/* BUFFER, FORM: decodes what has arrived. 0, or the status to refuse with: 400, 413, 503. */
int wf_conn_feed_coding(struct wf_conn *c);
/* STREAM: the next piece (DATA), or what is to be said of the body (END: as c->body says). */
enum wf_body_result wf_conn_read_coding(struct wf_conn *c, struct wf_span *out);

/* ---- exchange.c ---- */
struct wf_exchange *wf_exchange_new(struct wf_conn *c); /* NULL: no memory */
void wf_exchange_release(struct wf_exchange *ex);
void wf_exchange_post(struct wf_exchange *ex, unsigned events);

/* ---- layer/layer.c ---- */
bool wf_layers_before(struct wf_exchange *ex); /* true: one has answered */
/* Those of a router and of the routers around it, once the server's have let it pass. layers  may be NULL */
bool wf_layers_before_inner(struct wf_exchange *ex, const struct wf_layers *layers);
/* edit  in: content, length and body; out: what the layers have made of it all, with the head as they want it.
 *       false: it has too many fields */
bool wf_layers_edit(struct wf_exchange *ex, const struct wf_reply_head *head,
                    struct wf_head_edit *edit);
void wf_layers_whole(struct wf_exchange *ex);
void wf_layers_over(struct wf_exchange *ex);
void wf_layers_free(struct wf_server *s);

/* ---- respond.c ---- */
int wf_reply_error_with(struct wf_exchange *ex, int status, struct wf_span detail,
                        const struct wf_reply_field *fields, uint32_t nfields);

/* The next piece of a long content, through ex->encoder; last: that was all of it. As wf_reply_write. */
int wf_reply_write_coded(struct wf_exchange *ex, struct wf_span piece, bool last);

/* wf_reply_start for content that no layer may change: bytes of files, queued by wf_reply_write_file. */
int wf_reply_start_file(struct wf_exchange *ex, const struct wf_reply_head *head, uint64_t length);
/* Queues bytes of a file as content of a reply that wf_reply_start_file has begun. */
int wf_reply_write_file(struct wf_exchange *ex, int fd, uint64_t offset, size_t bytes,
                        wf_release_fn *release, void *arg);

/* ---- long_content.c ---- */
/* `body` is to go through ex->encoder, whose reply's head is queued. It is copied where there is no `release`, which
 * otherwise comes once. false: no memory, and release is still the caller's. */
bool wf_long_content_begin(struct wf_exchange *ex, struct wf_span body, wf_release_fn *release,
                           void *arg);
/* Its output has fallen to low water. */
void wf_long_content_go_on(struct wf_exchange *ex);
/* Forgets what is left of it. */
void wf_long_content_drop(struct wf_exchange *ex);
/* A piece of whichever is next, if any. */
void wf_long_content_step(struct wf_server *s);

/* ---- access_log.c ---- */
void wf_access_log_init(struct wf_access_log *log, int fd, enum wf_access_format format);
void wf_access_log_add(struct wf_access_log *log, const struct wf_exchange *ex);
void wf_access_log_flush(struct wf_access_log *log);
void wf_access_log_free(struct wf_access_log *log);

/* ---- access_line.c ---- */
/* Writes a reply's line, with its end; returns the length, which is at most what wf_access_line_most says. */
size_t wf_access_line_write(enum wf_access_format format, const struct wf_exchange *ex, char *out);
size_t wf_access_line_most(const struct wf_exchange *ex);

#endif
