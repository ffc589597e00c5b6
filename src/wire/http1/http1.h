/* HTTP/1.x heads, chunked bodies and reply heads (RFC 9110, RFC 9112). Takes bytes, gives bytes; never
 * sees a socket or a clock.
 *
 * Strict: what RFC 9112 lets a recipient either repair or refuse is refused, since a proxy in front
 * of us may repair it differently (request smuggling).
 * thread   any, one call at a time per object; no Python; no allocation anywhere in this room */
#ifndef WF_WIRE_HTTP1_H
#define WF_WIRE_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/span.h"

/* ---- methods ---- */

/* name; RFC 9110 section 9.3, RFC 5789 (PATCH). Anything else that is a token is WF_METHOD_OTHER. */
#define WF_METHODS(X)                                                                              \
    X(GET) X(HEAD) X(POST) X(PUT) X(PATCH) X(DELETE) X(OPTIONS) X(TRACE) X(CONNECT)

enum wf_method {
#define X(name) WF_METHOD_##name,
    WF_METHODS(X)
#undef X
        WF_METHOD_OTHER,
    WF_METHOD_COUNT
};
enum wf_method wf_method_of(struct wf_span token);
struct wf_span wf_method_name(enum wf_method m); /* "" for OTHER */

/* ---- field names we know ---- */

/* Fields whose meaning this server, or a plan, looks at without comparing strings again:
 * id, lower-case name. */
#define WF_FIELDS(X)                                                                               \
    X(HOST, "host")                                                                                \
    X(CONNECTION, "connection")                                                                    \
    X(CONTENT_LENGTH, "content-length")                                                            \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                      \
    X(EXPECT, "expect")                                                                            \
    X(UPGRADE, "upgrade")                                                                          \
    X(TE, "te")                                                                                    \
    X(TRAILER, "trailer")                                                                          \
    X(KEEP_ALIVE, "keep-alive")                                                                    \
    X(CONTENT_TYPE, "content-type")                                                                \
    X(CONTENT_ENCODING, "content-encoding")                                                        \
    X(ACCEPT, "accept")                                                                            \
    X(ACCEPT_ENCODING, "accept-encoding")                                                          \
    X(COOKIE, "cookie")                                                                            \
    X(AUTHORIZATION, "authorization")                                                              \
    X(USER_AGENT, "user-agent")                                                                    \
    X(REFERER, "referer")                                                                          \
    X(ORIGIN, "origin")                                                                            \
    X(RANGE, "range")                                                                              \
    X(IF_NONE_MATCH, "if-none-match")                                                              \
    X(IF_MODIFIED_SINCE, "if-modified-since")                                                      \
    X(IF_RANGE, "if-range")                                                                        \
    X(IF_MATCH, "if-match")                                                                        \
    X(IF_UNMODIFIED_SINCE, "if-unmodified-since")                                                  \
    X(FORWARDED, "forwarded")                                                                      \
    X(X_FORWARDED_FOR, "x-forwarded-for")                                                          \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                      \
    X(X_REQUEST_ID, "x-request-id")                                                                \
    X(DATE, "date")                                                                                \
    X(SERVER, "server")

enum wf_field_id {
    WF_FIELD_UNKNOWN,
#define X(id, name) WF_FIELD_##id,
    WF_FIELDS(X)
#undef X
        WF_FIELD_COUNT
};
enum wf_field_id wf_field_id_of(struct wf_span name); /* case-insensitive */
struct wf_span wf_field_name(enum wf_field_id id);

/* ---- request head ---- */

/* Offsets from the start of the head, so that the buffer may move. */
struct wf_field {
    uint32_t name_at, value_at;
    uint32_t value_len; /* optional white space is trimmed at both ends */
    uint16_t name_len;
    uint16_t id; /* enum wf_field_id */
};
static_assert(sizeof(struct wf_field) == 16, "a hundred field lines are 1600 bytes");

struct wf_at {
    uint32_t at, n;
};

enum wf_framing { WF_BODY_NONE, WF_BODY_LENGTH, WF_BODY_CHUNKED };

/* The hard limits of the representation; the server's own, lower ones come in wf_http1_limits. */
enum {
    WF_HTTP1_HEAD_MAX = 1 << 20, /* offsets and the re-parse bound are cheap up to here */
    WF_HTTP1_FIELDS_MAX = 1000,
    WF_HTTP1_NAME_MAX = 256 /* bytes of a field name; longer ones are an attack: 431 */
};

struct wf_http1_limits {
    uint32_t head_bytes;   /* default 64 KiB; more is 431 */
    uint32_t target_bytes; /* default 16 KiB; more is 414 */
    uint16_t fields;       /* default 100; more is 431; at most the room in wf_head.fields */
};

struct wf_head {
    uint8_t method;          /* enum wf_method */
    uint8_t minor_version;   /* HTTP/1.minor: 0 or 1 */
    uint8_t framing;         /* enum wf_framing */
    bool keep_alive;         /* by version and Connection (RFC 9112 section 9.3) */
    bool expect_continue;    /* Expect: 100-continue on HTTP/1.1 with a body; other expectations are
                              ignored, as RFC 9110 section 10.1.1 allows */
    bool upgrade;            /* Connection: upgrade together with Upgrade */
    bool path_escaped;       /* the path has a '%' */
    bool asterisk;           /* OPTIONS * */
    uint64_t content_length; /* with WF_BODY_LENGTH; Content-Length: 0 is WF_BODY_NONE */
    struct wf_at method_at, target_at; /* as sent */
    struct wf_at path_at;      /* target without query; for absolute-form what follows the authority
                                          ("/" is not sent there when path_at.n is 0: treat as "/") */
    struct wf_at query_at;     /* behind the first '?'; n is 0 without one */
    struct wf_at authority_at; /* of absolute-form; n is 0 otherwise. Where there is a Host, this is
                                  its value: not what was sent (RFC 9112 section 3.2.2) */
    uint16_t nfields;
    uint16_t fields_cap;     /* in: room in fields */
    struct wf_field *fields; /* in: borrowed storage; out: nfields of them in order */
    const char *why;         /* after a refusal: a static sentence for the log and the reply */
};

/* Where a parser of one head stands between calls; all zero for a new head. Makes feeding a head
 * byte by byte cost linear time: it is parsed again only when its end is in sight or its size has
 * doubled since the last try. */
struct wf_http1_progress {
    uint32_t scanned; /* no end of head before here */
    uint32_t tried;   /* bytes there were at the last full try */
};

enum { WF_PARTIAL = 0 };

/* Reads one request head from `in`. Empty lines before the request line are skipped (RFC 9112 2.2; at
 * most two, more is refused).
 * in       borrowed; offsets in *out count from in.p and live as long as those bytes do
 * returns  bytes consumed (> 0), WF_PARTIAL (bring more bytes: all of them again from in.p on), or
 *          minus the status to answer before closing: -400, -414, -431, -501 (a transfer coding we
 *          do not have, CONNECT, a method of more than 32 bytes), -505; out->why then says why
 * How the bytes are cut into calls changes nothing: a prefix is partial or has the whole's answer. */
ssize_t wf_http1_head(const struct wf_http1_limits *limits, struct wf_http1_progress *progress,
                      struct wf_span in, struct wf_head *out);

static inline struct wf_span wf_head_span(const char *base, struct wf_at at) {
    return wf_span(base + at.at, at.n);
}
static inline struct wf_span wf_field_name_span(const char *base, const struct wf_field *f) {
    return wf_span(base + f->name_at, f->name_len);
}
static inline struct wf_span wf_field_value_span(const char *base, const struct wf_field *f) {
    return wf_span(base + f->value_at, f->value_len);
}
/* The first field line of that id, or NULL. */
static inline const struct wf_field *wf_head_find(const struct wf_head *h, enum wf_field_id id) {
    for (unsigned i = 0; i < h->nfields; i++) {
        if (h->fields[i].id == id) {
            return &h->fields[i];
        }
    }
    return NULL;
}

/* Which scanner is in use: "avx2", "sse4.2", "neon", "plain"; tests switch between them. Chosen once by
 * wf_http1_init, which is idempotent and must run before the first head (from any one thread). */
void wf_http1_init(void);
const char *wf_http1_scanner(void);
/* For tests and fuzzing: by name; false where this machine does not have it. */
bool wf_http1_use_scanner(const char *name);

/* ---- chunked bodies (RFC 9112 section 7.1) ---- */

enum {
    WF_CHUNK_EXT_MAX = 4096, /* bytes of extensions a body may carry: they are free for the
                                      sender and work for us */
    WF_TRAILER_BYTES_MAX = 8192
};

struct wf_chunked {
    uint64_t chunk_left; /* bytes of the current chunk still to come */
    uint32_t ext_bytes, trailer_bytes;
    uint8_t state;
    uint8_t digits;
};

static inline void wf_chunked_init(struct wf_chunked *c) {
    *c = (struct wf_chunked){0};
}

enum wf_chunked_result {
    WF_CHUNKED_MORE,
    WF_CHUNKED_DONE,
    WF_CHUNKED_BAD,
    WF_CHUNKED_TRAILER_TOO_LARGE
};

/* Decodes in place: payload moves to the front of [p, p + *n).
 * n        in: bytes of encoded input; out: bytes of payload now at p
 * used     out: bytes of input consumed (all of it unless DONE: what follows is the next request)
 * Trailer fields are checked for form and dropped. */
enum wf_chunked_result wf_chunked_decode(struct wf_chunked *c, char *p, size_t *n, size_t *used);

/* ---- reply heads ---- */

/* The reason phrase of a status (RFC 9110 section 15 and the IANA registry); "" for an unknown one. */
struct wf_span wf_status_reason(int status);
/* May a reply with this status have a body? (not 1xx, 204, 304) */
static inline bool wf_status_has_body(int status) {
    return status >= 200 && status != 204 && status != 304;
}

enum { WF_HTTP1_DATE_LINE = 37 }; /* "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" */
/* Writes the date field line for a moment (seconds since the epoch, UTC). */
void wf_http1_date_line(char out[WF_HTTP1_DATE_LINE], int64_t epoch_s);

/* Is this a token (RFC 9110 5.6.2), and a field value without CR, LF, NUL or other control bytes but
 * HTAB? What is not may not be sent: it would split the reply. */
bool wf_field_name_ok(struct wf_span name);
bool wf_field_value_ok(struct wf_span value);

#endif
