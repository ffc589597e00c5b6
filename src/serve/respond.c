/* Replies: the head, framing and content, written straight into the stream's output. Nothing is
 * sent here; wf_server_flush does that once a turn.
 *
 * A reply is written in one go behind what is queued already: check everything, make room for all
 * of it, then write without further checks. So a reply that fails leaves nothing behind. */
#include "base/check.h"
#include "base/num.h"
#include "serve/server_int.h"
#include "wire/encoding/encoding.h"

enum framing {
    LENGTH,
    CHUNKED,
    UNTIL_CLOSE, /* HTTP/1.0 has no chunks */
    NO_CONTENT   /* 204 and 304: no content, and no length either */
};

/* The longest status line, every field of ours at its longest, and the empty line. */
enum { HEAD_BYTES_MAX = 64 + 40 + 28 + 26 + 2, CHUNK_BYTES_MAX = 16 + 4 };

static inline char *put(char *at, const void *p, size_t n) {
    memcpy(at, p, n);
    return at + n;
}
#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

static inline char *put_span(char *at, struct wf_span s) {
    return put(at, s.p, s.n);
}

/* ---- what is known before the head is written ---- */

/* The connection ends with this reply when either side wants it, or when what is left of the
 * request's body makes the next head unreachable. */
static void decide_close(struct wf_exchange *ex) {
    const struct wf_conn *c = ex->conn;
    const struct wf_server *s = ex->server;
    uint64_t most = s->config.requests_per_connection_max;
    bool close =
        !ex->head.keep_alive || s->draining || c->eof || (most != 0 && c->requests >= most);
    if (wf_unlikely(c->body != WF_BODY_COMPLETE)) {
        close = close || c->body != WF_BODY_ARRIVING || c->continue_owed ||
                c->body_left > WF_DROP_BYTES_MAX;
    }
    ex->close_after = ex->close_after || close;
}

struct own {
    bool date, server; /* the application brings its own */
    bool close;        /* it wants this reply to be the connection's last */
};

/* Is it a field that only we may send? It says how we frame. */
static bool ours(enum wf_field_id id) {
    return id == WF_FIELD_CONTENT_LENGTH || id == WF_FIELD_TRANSFER_ENCODING ||
           id == WF_FIELD_CONNECTION;
}

/* Bytes the fields will take, or -1 where one may not be sent. */
static ssize_t measure_fields(const struct wf_reply_head *head, struct own *own) {
    size_t n = 0;
    for (uint32_t i = 0; i < head->nfields; i++) {
        const struct wf_reply_field *f = &head->fields[i];
        if (!wf_field_name_ok(f->name) || !wf_field_value_ok(f->value)) {
            return -1;
        }
        enum wf_field_id id = wf_field_id_of(f->name);
        own->date |= id == WF_FIELD_DATE;
        own->server |= id == WF_FIELD_SERVER;
        own->close |= id == WF_FIELD_CONNECTION && wf_span_eq_lower(f->value, WF_SPAN("close"));
        n += ours(id) ? 0 : f->name.n + f->value.n + 4;
    }
    return (ssize_t)n;
}

/* ---- the head ---- */

static char *put_status_line(char *at, int status) {
    struct wf_span reason = wf_status_reason(status);
    at = PUT(at, "HTTP/1.1 ");
    *at++ = (char)('0' + status / 100);
    *at++ = (char)('0' + status / 10 % 10);
    *at++ = (char)('0' + status % 10);
    *at++ = ' ';
    at = put_span(at, reason);
    return PUT(at, "\r\n");
}

/* Status line, date and server: for 200 all of it stands ready. */
static char *put_common(char *at, struct wf_server *s, int status, struct own own) {
    if (wf_unlikely(s->loop->now_ns >= s->date_until_ns)) {
        wf_server_refresh_date(s);
    }
    if (wf_likely(status == 200 && !own.date && !own.server)) {
        return put(at, s->common, s->common_len);
    }
    const char *date = s->common + WF_STATUS_200_LINE, *server = date + WF_HTTP1_DATE_LINE;
    at = put_status_line(at, status);
    if (!own.date) {
        at = put(at, date, WF_HTTP1_DATE_LINE);
    }
    if (!own.server) {
        at = put(at, server, (size_t)(s->common + s->common_len - server));
    }
    return at;
}

static char *put_fields(char *at, const struct wf_reply_head *head) {
    for (uint32_t i = 0; i < head->nfields; i++) {
        const struct wf_reply_field *f = &head->fields[i];
        if (!ours(wf_field_id_of(f->name))) {
            at = put_span(at, f->name);
            at = PUT(at, ": ");
            at = put_span(at, f->value);
            at = PUT(at, "\r\n");
        }
    }
    return at;
}

static char *put_end(char *at, const struct wf_exchange *ex) {
    if (wf_unlikely(ex->close_after)) {
        at = PUT(at, "connection: close\r\n");
    } else if (wf_unlikely(ex->head.minor_version == 0)) {
        at = PUT(at, "connection: keep-alive\r\n");
    }
    return PUT(at, "\r\n");
}

static enum framing framing_of(const struct wf_exchange *ex, int status, bool length_known) {
    if (wf_unlikely(!wf_status_has_body(status))) {
        return NO_CONTENT;
    }
    if (wf_likely(length_known)) {
        return LENGTH;
    }
    return ex->head.minor_version == 0 ? UNTIL_CLOSE : CHUNKED;
}

/* Does the content of this reply go on the wire at all? */
static inline bool sends_content(const struct wf_exchange *ex, enum framing f) {
    return f != NO_CONTENT && ex->head.method != WF_METHOD_HEAD;
}

struct reply {
    char *at; /* the next byte of the head */
    enum framing framing;
    uint32_t start;     /* where the head begins in `out` */
    uint32_t length_at; /* where the digits of content-length begin; 0 without */
};

/* Checks, makes room for the head and `room` bytes of content, and writes the head.
 * length  of the content; -1 when it is not known: then `digits` of it are left open, 0 for a
 * stream */
static int begin_edited(struct wf_exchange *ex, const struct wf_reply_head *head, int64_t length,
                        unsigned digits, size_t room, struct reply *r) {
    struct wf_conn *c = ex->conn;
    if (wf_unlikely(c == NULL)) {
        return WF_REPLY_GONE;
    }
    struct own own = {false, false, false};
    ssize_t fields = measure_fields(head, &own);
    if (wf_unlikely(fields < 0 || head->status < 200 || head->status > 599 ||
                    ex->reply != WF_REPLY_NONE || !wf_field_value_ok(head->content_type))) {
        return WF_REPLY_INVALID;
    }
    size_t most = HEAD_BYTES_MAX + ex->server->common_len + head->content_type.n + (size_t)fields;
    struct wf_buf *out = &c->stream.out;
    if (wf_unlikely(wf_stream_prepare(&c->stream) != WF_BUF_OK ||
                    wf_buf_reserve(out, most + room) != WF_BUF_OK)) {
        wf_conn_has_output(c); /* the flush takes an empty buffer back */
        return WF_REPLY_NOMEM;
    }
    ex->close_after = ex->close_after || own.close;
    decide_close(ex);
    r->framing = framing_of(ex, head->status, length >= 0 || digits != 0);
    if (wf_unlikely(r->framing == UNTIL_CLOSE)) {
        ex->close_after = true;
    }
    r->start = (uint32_t)out->len;
    r->length_at = 0;
    char *at = put_common(out->p + out->len, ex->server, head->status, own);
    if (head->content_type.n != 0) {
        at = PUT(at, "content-type: ");
        at = put_span(at, head->content_type);
        at = PUT(at, "\r\n");
    }
    at = put_fields(at, head);
    if (wf_likely(r->framing == LENGTH)) {
        at = PUT(at, "content-length: ");
        r->length_at = (uint32_t)(at - out->p);
        at += length >= 0 ? wf_u64_write(at, (uint64_t)length) : digits;
        at = PUT(at, "\r\n");
    } else if (r->framing == CHUNKED) {
        at = PUT(at, "transfer-encoding: chunked\r\n");
    }
    r->at = put_end(at, ex);
    WF_ASSERT((size_t)(r->at - (out->p + out->len)) <= most);
    ex->status = (uint16_t)head->status;
    return WF_REPLY_OK;
}

struct content {
    enum wf_content_kind kind;
    int64_t length;      /* -1: not known */
    struct wf_span body; /* WHOLE */
};

/* The same through the layers. */
static WF_NOINLINE int begin_layered(struct wf_exchange *ex, const struct wf_reply_head *head,
                                     struct content *content, unsigned digits, size_t room,
                                     struct reply *r) {
    struct wf_head_edit edit;
    if (ex->conn == NULL) {
        return WF_REPLY_GONE;
    }
    edit.content = (uint8_t)content->kind;
    edit.length = content->length;
    edit.body = content->body;
    edit.in_pieces = true;
    if (ex->reply != WF_REPLY_NONE || !wf_layers_edit(ex, head, &edit)) {
        return WF_REPLY_INVALID;
    }
    if (edit.recoded) {
        content->length = -1;
        room = 0;
    } else if (content->kind == WF_CONTENT_WHOLE && edit.body.p != content->body.p) {
        content->body = edit.body;
        content->length = (int64_t)edit.body.n;
        room = edit.body.n;
    }
    int rc = begin_edited(ex, &edit.head, content->length, digits, room, r);
    if (rc < 0) {
        wf_encoder_free(edit.encoder);
    } else {
        ex->encoder = edit.encoder;
    }
    return rc;
}

static inline int begin(struct wf_exchange *ex, const struct wf_reply_head *head,
                        struct content *content, unsigned digits, size_t room, struct reply *r) {
    return wf_likely(ex->around == NULL) ? begin_edited(ex, head, content->length, digits, room, r)
                                         : begin_layered(ex, head, content, digits, room, r);
}

/* Everything up to `end` is output now. */
static void queued(struct wf_conn *c, size_t start, const char *end) {
    struct wf_buf *out = &c->stream.out;
    out->len = (size_t)(end - out->p);
    c->queued_bytes += out->len - start;
    c->server->counters.bytes_out += out->len - start;
    wf_conn_has_output(c);
}

static inline int done(struct wf_conn *c) {
    if (wf_likely(!wf_stream_at_high_water(&c->stream))) {
        return WF_REPLY_OK;
    }
    c->drained_owed = true;
    return WF_REPLY_WAIT;
}

/* ---- whole replies ---- */

/* The rest of a reply whose content goes through an encoder, in turns to come. */
static WF_NOINLINE int send_long(struct wf_exchange *ex, const struct reply *r, struct wf_span body,
                                 wf_release_fn *release, void *arg) {
    bool sends = sends_content(ex, r->framing);
    if (sends && !wf_long_content_begin(ex, body, release, arg)) {
        wf_encoder_free(ex->encoder);
        ex->encoder = NULL;
        wf_conn_has_output(ex->conn); /* the flush takes an empty buffer back */
    } else {
        ex->conn->reply_framing = (uint8_t)r->framing;
        ex->reply = WF_REPLY_COMPLETE;
        queued(ex->conn, r->start, r->at);
    }
    if (release != NULL && ex->long_content == NULL) {
        release(arg);
    }
    return ex->reply == WF_REPLY_COMPLETE ? WF_REPLY_OK : WF_REPLY_NOMEM;
}

int wf_reply_send(struct wf_exchange *ex, const struct wf_reply_head *head, struct wf_span body) {
    struct reply r;
    struct content content = {WF_CONTENT_WHOLE, (int64_t)body.n, body};
    int rc = begin(ex, head, &content, 0, body.n, &r);
    if (wf_unlikely(rc < 0)) {
        return rc;
    }
    if (wf_unlikely(content.length < 0)) {
        return send_long(ex, &r, body, NULL, NULL);
    }
    if (wf_likely(sends_content(ex, r.framing))) {
        r.at = put_span(r.at, content.body);
        ex->reply_bytes = content.body.n;
    }
    ex->reply = WF_REPLY_COMPLETE;
    queued(ex->conn, r.start, r.at);
    return WF_REPLY_OK;
}

int wf_reply_send_borrowed(struct wf_exchange *ex, const struct wf_reply_head *head,
                           struct wf_span body, wf_release_fn *release, void *arg) {
    struct reply r;
    struct content content = {WF_CONTENT_WHOLE, (int64_t)body.n, body};
    int rc = begin(ex, head, &content, 0, 0, &r);
    if (wf_unlikely(rc >= 0 && content.length < 0)) {
        return send_long(ex, &r, body, release, arg);
    }
    bool sends = rc >= 0 && sends_content(ex, r.framing), changed = content.body.p != body.p;
    if (wf_unlikely(!sends || changed)) {
        if (rc >= 0) {
            if (sends) {
                r.at = put_span(r.at, content.body);
                ex->reply_bytes = content.body.n;
            }
            ex->reply = WF_REPLY_COMPLETE;
            queued(ex->conn, r.start, r.at);
        }
        release(arg);
        return rc;
    }
    struct wf_conn *c = ex->conn;
    ex->reply = WF_REPLY_COMPLETE;
    ex->reply_bytes = body.n;
    queued(c, r.start, r.at);
    if (wf_unlikely(wf_stream_borrow(&c->stream, body, release, arg) != 0)) {
        c->broken = true; /* the head is out: only closing can take it back */
        return WF_REPLY_NOMEM;
    }
    c->queued_bytes += body.n;
    c->server->counters.bytes_out += body.n;
    return WF_REPLY_OK;
}

/* ---- encoded in place ---- */

enum {
    ASIDE_LENT_BYTES =
        128 * 1024, /* more is sent from where it is: a new buffer costs less than the copy */
    ASIDE_KEPT_BYTES = 1 << 20 /* a larger buffer is not held until the next reply */
};

/* Where a layer may want the content: it is encoded aside, and sent as a whole. (One at a time: who opens a
 * reply while another is open goes without.) */
static bool open_aside(struct wf_exchange *ex, const struct wf_reply_head *head,
                       struct wf_buf **buf) {
    struct wf_server *s = ex->server;
    if (!s->recodes || s->aside_of != NULL || ex->conn == NULL || ex->reply != WF_REPLY_NONE) {
        return false;
    }
    s->aside_of = ex;
    s->aside_head = *head;
    s->aside.len = 0;
    ex->reply = WF_REPLY_OPEN;
    *buf = &s->aside;
    return true;
}

static void end_aside(struct wf_exchange *ex) {
    struct wf_server *s = ex->server;
    s->aside_of = NULL;
    if (s->aside.cap > ASIDE_KEPT_BYTES) {
        wf_buf_free(&s->aside);
    }
}

static WF_NOINLINE int close_aside(struct wf_exchange *ex) {
    struct wf_server *s = ex->server;
    struct wf_span content = wf_buf_span(&s->aside);
    ex->reply = WF_REPLY_NONE;
    int rc;
    if (content.n > ASIDE_LENT_BYTES) {
        wf_buf_init(&s->aside, WF_STREAM_OUT_MAX);
        rc = wf_reply_send_borrowed(ex, &s->aside_head, content, wf_free,
                                    (void *)(uintptr_t)content.p);
    } else {
        rc = wf_reply_send(ex, &s->aside_head, content);
    }
    end_aside(ex);
    return rc;
}

int wf_reply_open(struct wf_exchange *ex, const struct wf_reply_head *head, struct wf_buf **buf) {
    if (wf_unlikely(ex->around != NULL) && open_aside(ex, head, buf)) {
        return WF_REPLY_OK;
    }
    const struct wf_leaf *leaf = ex->match.leaf;
    unsigned digits = leaf != NULL && leaf->length_digits != 0 ? leaf->length_digits : 2;
    struct reply r;
    struct content content = {WF_CONTENT_FIXED, -1, wf_span("", 0)};
    int rc = begin(ex, head, &content, digits, 0, &r);
    if (wf_unlikely(rc < 0)) {
        return rc;
    }
    struct wf_conn *c = ex->conn;
    struct wf_buf *out = &c->stream.out;
    c->open_at = r.start;
    c->open_content_at = (uint32_t)(r.at - out->p);
    c->open_length_at = r.length_at;
    c->open_digits = (uint8_t)digits;
    c->reply_framing = (uint8_t)r.framing;
    out->len = c->open_content_at;
    ex->reply = WF_REPLY_OPEN;
    *buf = out;
    return WF_REPLY_OK;
}

/* The length turned out to have another number of digits than the last one had: what is behind them
 * moves, and the next reply of this route will be right. */
static int move_content(struct wf_exchange *ex, unsigned digits) {
    struct wf_conn *c = ex->conn;
    struct wf_buf *out = &c->stream.out;
    unsigned had = c->open_digits;
    if (digits > had && wf_buf_reserve(out, digits - had) != WF_BUF_OK) {
        return WF_REPLY_NOMEM;
    }
    size_t from = c->open_length_at + had;
    memmove(out->p + c->open_length_at + digits, out->p + from, out->len - from);
    out->len += digits;
    out->len -= had;
    c->open_content_at += digits;
    c->open_content_at -= had;
    if (ex->match.leaf != NULL) { /* the router holds leaves as read-only; this byte is ours */
        ((struct wf_leaf *)ex->match.leaf)->length_digits = (uint8_t)digits;
    }
    return WF_REPLY_OK;
}

int wf_reply_close(struct wf_exchange *ex) {
    struct wf_conn *c = ex->conn;
    WF_ASSERT(ex->reply == WF_REPLY_OPEN && c != NULL);
    if (wf_unlikely(ex->server->aside_of == ex)) {
        return close_aside(ex);
    }
    struct wf_buf *out = &c->stream.out;
    uint64_t length = out->len - c->open_content_at;
    if (wf_likely(c->open_length_at != 0)) {
        char digits[WF_U64_DIGITS_MAX];
        unsigned n = (unsigned)wf_u64_write(digits, length);
        if (wf_unlikely(n != c->open_digits) && move_content(ex, n) != WF_REPLY_OK) {
            wf_reply_cancel(ex);
            return WF_REPLY_NOMEM;
        }
        memcpy(out->p + c->open_length_at, digits, n);
    }
    if (wf_unlikely(!sends_content(ex, (enum framing)c->reply_framing))) {
        out->len = c->open_content_at;
        length = 0;
    }
    ex->reply_bytes = length;
    ex->reply = WF_REPLY_COMPLETE;
    queued(c, c->open_at, out->p + out->len);
    return WF_REPLY_OK;
}

void wf_reply_cancel(struct wf_exchange *ex) {
    WF_ASSERT(ex->reply == WF_REPLY_OPEN && ex->conn != NULL);
    if (wf_unlikely(ex->server->aside_of == ex)) {
        end_aside(ex);
    } else {
        ex->conn->stream.out.len = ex->conn->open_at;
        wf_conn_has_output(ex->conn);
    }
    ex->reply = WF_REPLY_NONE;
    ex->status = 0;
}

/* ---- streamed ---- */

static int start(struct wf_exchange *ex, const struct wf_reply_head *head,
                 enum wf_content_kind kind, int64_t length) {
    struct reply r;
    struct content content = {kind, length, wf_span("", 0)};
    int rc = begin(ex, head, &content, 0, 0, &r);
    if (wf_unlikely(rc < 0)) {
        return rc;
    }
    struct wf_conn *c = ex->conn;
    c->reply_framing = (uint8_t)r.framing;
    c->reply_left = content.length >= 0 ? (uint64_t)content.length : 0;
    ex->reply = WF_REPLY_STREAMING;
    queued(c, r.start, r.at);
    return done(c);
}

int wf_reply_start(struct wf_exchange *ex, const struct wf_reply_head *head, int64_t length) {
    return start(ex, head, WF_CONTENT_STREAM, length);
}

int wf_reply_start_file(struct wf_exchange *ex, const struct wf_reply_head *head, uint64_t length) {
    return start(ex, head, WF_CONTENT_FIXED, (int64_t)length);
}

static char *put_chunk_size(char *at, uint64_t n) {
    static const char hex[] = "0123456789abcdef";
    unsigned shift = n == 0 ? 0 : (unsigned)(63 - __builtin_clzll(n)) / 4 * 4;
    for (;; shift -= 4) {
        *at++ = hex[n >> shift & 15];
        if (shift == 0) {
            return PUT(at, "\r\n");
        }
    }
}

/* As it goes on the wire. */
static int write_chunk(struct wf_exchange *ex, enum framing framing, struct wf_span chunk) {
    struct wf_conn *c = ex->conn;
    if (chunk.n == 0 || !sends_content(ex, framing)) {
        return done(c);
    }
    struct wf_buf *out = &c->stream.out;
    if (wf_unlikely(wf_stream_prepare(&c->stream) != WF_BUF_OK ||
                    wf_buf_reserve(out, chunk.n + CHUNK_BYTES_MAX) != WF_BUF_OK)) {
        return WF_REPLY_NOMEM;
    }
    size_t start = out->len;
    char *at = out->p + start;
    if (framing == CHUNKED) {
        at = put_chunk_size(at, chunk.n);
        at = put_span(at, chunk);
        at = PUT(at, "\r\n");
    } else {
        at = put_span(at, chunk);
    }
    ex->reply_bytes += chunk.n;
    queued(c, start, at);
    return done(c);
}

static WF_NOINLINE int write_encoded(struct wf_exchange *ex, enum framing framing,
                                     struct wf_span chunk, enum wf_encode_how how) {
    struct wf_buf coded;
    wf_buf_init(&coded, WF_STREAM_OUT_MAX);
    int rc = wf_encode(ex->encoder, chunk, how, &coded) == WF_BUF_OK
                 ? write_chunk(ex, framing, wf_buf_span(&coded))
                 : WF_REPLY_NOMEM;
    wf_buf_free(&coded);
    if (rc == WF_REPLY_NOMEM) {
        ex->conn->broken = true; /* what is missing cannot be made up for */
    }
    return rc;
}

/* The chunk that is none. */
static int write_end(struct wf_exchange *ex, enum framing framing) {
    if (framing != CHUNKED || !sends_content(ex, framing)) {
        return WF_REPLY_OK;
    }
    struct wf_conn *c = ex->conn;
    struct wf_buf *out = &c->stream.out;
    if (wf_stream_prepare(&c->stream) != WF_BUF_OK || wf_buf_reserve(out, 5) != WF_BUF_OK) {
        return WF_REPLY_NOMEM;
    }
    size_t start = out->len;
    queued(c, start, PUT(out->p + start, "0\r\n\r\n"));
    return WF_REPLY_OK;
}

int wf_reply_write_coded(struct wf_exchange *ex, struct wf_span piece, bool last) {
    enum framing framing = (enum framing)ex->conn->reply_framing;
    int rc = write_encoded(ex, framing, piece, last ? WF_ENCODE_END : WF_ENCODE_FLUSH);
    return rc >= 0 && last ? write_end(ex, framing) : rc;
}

int wf_reply_write(struct wf_exchange *ex, struct wf_span chunk) {
    struct wf_conn *c = ex->conn;
    if (wf_unlikely(c == NULL)) {
        return WF_REPLY_GONE;
    }
    enum framing framing = (enum framing)c->reply_framing;
    if (wf_unlikely(ex->reply != WF_REPLY_STREAMING ||
                    (framing == LENGTH && chunk.n > c->reply_left))) {
        return WF_REPLY_INVALID;
    }
    c->reply_left -= framing == LENGTH ? chunk.n : 0;
    if (wf_unlikely(ex->encoder != NULL) && chunk.n != 0) {
        return write_encoded(ex, framing, chunk, WF_ENCODE_FLUSH);
    }
    return write_chunk(ex, framing, chunk);
}

int wf_reply_write_file(struct wf_exchange *ex, int fd, uint64_t offset, size_t bytes,
                        wf_release_fn *release, void *arg) {
    struct wf_conn *c = ex->conn;
    if (c == NULL || ex->reply != WF_REPLY_STREAMING || c->reply_framing != LENGTH ||
        bytes > c->reply_left) {
        release(arg);
        return c == NULL ? WF_REPLY_GONE : WF_REPLY_INVALID;
    }
    c->reply_left -= bytes;
    if (!sends_content(ex, LENGTH)) {
        release(arg);
        return WF_REPLY_OK;
    }
    if (wf_stream_file(&c->stream, fd, offset, bytes, release, arg) != 0) {
        c->broken = true; /* the head is out: only closing can take it back */
        return WF_REPLY_NOMEM;
    }
    ex->reply_bytes += bytes;
    c->queued_bytes += bytes;
    c->server->counters.bytes_out += bytes;
    wf_conn_has_output(c);
    return WF_REPLY_OK;
}

int wf_reply_end(struct wf_exchange *ex) {
    struct wf_conn *c = ex->conn;
    if (wf_unlikely(c == NULL)) {
        return WF_REPLY_GONE;
    }
    enum framing framing = (enum framing)c->reply_framing;
    if (wf_unlikely(ex->reply != WF_REPLY_STREAMING ||
                    (framing == LENGTH && c->reply_left != 0 && sends_content(ex, framing)))) {
        return WF_REPLY_INVALID;
    }
    if (wf_unlikely(ex->encoder != NULL)) {
        int rc = write_encoded(ex, framing, wf_span("", 0), WF_ENCODE_END);
        if (rc < 0) {
            return rc;
        }
    }
    int rc = write_end(ex, framing);
    ex->reply = rc == WF_REPLY_OK ? WF_REPLY_COMPLETE : ex->reply;
    return rc;
}

/* ---- errors ---- */

/* Appends s as the inside of a JSON string. */
static int append_json(struct wf_buf *b, struct wf_span s) {
    static const char hex[] = "0123456789abcdef";
    int rc = wf_buf_reserve(b, s.n * 6);
    for (size_t i = 0; rc == WF_BUF_OK && i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            b->p[b->len++] = '\\';
        } else if (c < 0x20) {
            b->len = (size_t)(PUT(b->p + b->len, "\\u00") - b->p);
            b->p[b->len++] = hex[c >> 4];
            c = (unsigned char)hex[c & 15];
        }
        b->p[b->len++] = (char)c;
    }
    return rc;
}

int wf_reply_error_with(struct wf_exchange *ex, int status, struct wf_span detail,
                        const struct wf_reply_field *fields, uint32_t nfields) {
    struct wf_reply_head head = {.status = status,
                                 .content_type = WF_SPAN("application/json"),
                                 .fields = fields,
                                 .nfields = nfields};
    struct wf_buf *b;
    int rc = wf_reply_open(ex, &head, &b);
    if (rc != WF_REPLY_OK) {
        return rc;
    }
    detail = detail.n != 0 ? detail : wf_status_reason(status);
    if (wf_buf_append_span(b, WF_SPAN("{\"detail\":\"")) != WF_BUF_OK ||
        append_json(b, detail) != WF_BUF_OK || wf_buf_append_span(b, WF_SPAN("\"}")) != WF_BUF_OK) {
        wf_reply_cancel(ex);
        return WF_REPLY_NOMEM;
    }
    return wf_reply_close(ex);
}

int wf_reply_error(struct wf_exchange *ex, int status, struct wf_span detail) {
    return wf_reply_error_with(ex, status, detail, NULL, 0);
}
