/* Request heads (RFC 9112 sections 2 to 6).
 *
 * Read wf_http1_head at the bottom first: it is the list of steps. Each step looks at bytes
 * strictly in order and stops at the first that decides something, so a prefix of a head is either
 * "partial" or already has the answer the whole would get; how the bytes were cut does not matter.
 */
#include "wire/http1/http1_int.h"

#include <arpa/inet.h>

enum {
    METHOD_MAX = 32,         /* bytes; longer than any registered one */
    EMPTY_LINES_MAX = 2,     /* before the request line; old clients send one behind a body */
    WINDOW_BLOCKS = 4,       /* classified at a time ... */
    FIRST_WINDOW_BYTES = 128 /* ... but less at first: pipelined requests are short, and what is
                                behind this head will be looked at again */
};

enum { PARTIAL = 0, OK = 1 }; /* a step's answers; or minus a status */

struct reader {
    const char *p;                /* first byte of the head */
    uint32_t n;                   /* bytes to look at */
    uint32_t at;                  /* the next byte */
    uint32_t window_at, window_n; /* [window_at, window_at + window_n) is classified */
    wf_scan_fn *scan;
    const struct wf_http1_limits *limits;
    struct wf_head *out;
    struct wf_block window[WINDOW_BLOCKS];
};

/* What the field lines said about the message, put together when all have been read. */
struct framing {
    bool host, length, transfer_encoding, chunked, unknown_coding;
    bool close, keep_alive, connection_upgrade, upgrade, expect_continue;
};

static WF_NOINLINE int refuse(struct reader *r, int status, const char *why) {
    r->out->why = why;
    return -status;
}

/* Classifies the next bytes from `at` on. */
static WF_NOINLINE void fill_window(struct reader *r, uint32_t at) {
    uint32_t most = r->window_n == 0 ? (uint32_t)FIRST_WINDOW_BYTES : 64u * WINDOW_BLOCKS;
    r->window_at = at;
    r->window_n = WF_MIN(r->n - at, most);
    r->scan(r->p + at, r->window_n, r->window);
}

/* Where the run that begins at `at` ends: at the first byte not of its class, or at r->n. `at`
 * never goes back. */
WF_ALWAYS_INLINE uint32_t run_end(struct reader *r, enum wf_run run, uint32_t at) {
    for (;;) {
        uint32_t i = at - r->window_at;
        if (wf_likely(i < r->window_n)) {
            uint64_t stops = r->window[i / 64].stop[run] >> (i % 64);
            if (wf_likely(stops != 0)) {
                return at + (uint32_t)__builtin_ctzll(stops);
            }
            at += 64 - i % 64;
        } else if (at >= r->n) {
            return r->n;
        } else {
            fill_window(r, at);
        }
    }
}

static WF_NOINLINE int not_end_of_line(struct reader *r, uint32_t at, const char *otherwise) {
    if (at == r->n) {
        return PARTIAL;
    }
    if (r->p[at] != '\r') {
        return refuse(r, 400, r->p[at] == '\n' ? "a line ends in a bare LF" : otherwise);
    }
    if (at + 1 == r->n) {
        return PARTIAL;
    }
    return refuse(r, 400, "a CR without LF");
}

/* OK where CR LF stands at `at`; else what stands there says why not. */
static inline int end_of_line(struct reader *r, uint32_t at, const char *otherwise) {
    if (wf_likely(r->n - at >= 2 && memcmp(r->p + at, "\r\n", 2) == 0)) {
        return OK;
    }
    return not_end_of_line(r, at, otherwise);
}

/* ---- request line ---- */

static int skip_empty_lines(struct reader *r) {
    for (int lines = 0;; lines++) {
        if (r->at == r->n) {
            return PARTIAL;
        }
        char c = r->p[r->at];
        if (wf_likely(c != '\r' && c != '\n')) {
            return OK;
        }
        if (lines == EMPTY_LINES_MAX) {
            return refuse(r, 400, "too many empty lines before the request line");
        }
        int rc = end_of_line(r, r->at, "");
        if (rc != OK) {
            return rc;
        }
        r->at += 2;
    }
}

static int read_method(struct reader *r) {
    uint32_t start = r->at;
    uint32_t end = run_end(r, WF_RUN_TOKEN, start);
    uint32_t n = end - start;
    if (wf_unlikely(n > METHOD_MAX)) {
        return refuse(r, 501, "the method is longer than any known one");
    }
    if (end == r->n) {
        return PARTIAL;
    }
    if (wf_unlikely(n == 0 || r->p[end] != ' ')) {
        return refuse(r, 400,
                      n == 0 && r->p[end] == 0x16 ? "this is TLS, and the port speaks plain HTTP"
                                                  : "the request does not begin with a method");
    }
    enum wf_method method = wf_method_of(wf_span(r->p + start, n));
    if (wf_unlikely(method == WF_METHOD_CONNECT)) {
        return refuse(r, 501, "CONNECT: this is not a proxy");
    }
    r->out->method = (uint8_t)method;
    r->out->method_at = (struct wf_at){start, n};
    r->at = end + 1;
    return OK;
}

/* Is this a port: nothing, or a number up to 65535? */
static bool port_ok(const char *p, size_t n) {
    uint32_t port = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9' || i == 5) {
            return false;
        }
        port = port * 10 + (uint32_t)(p[i] - '0');
    }
    return port <= 65535;
}

/* The bytes of an IPv6 address in brackets; 0 where it is none. One that only looks like it would be
 * refused by whoever takes the URL apart, in the middle of a handler. */
static size_t ipv6_literal(const char *p, size_t n) {
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;
    const char *end = memchr(p, ']', WF_MIN(n, sizeof(address)));
    if (end == NULL) {
        return 0;
    }
    size_t length = (size_t)(end - p) - 1;
    memcpy(address, p + 1, length); /* no NUL among them: neither target nor value may have one */
    address[length] = '\0';
    return inet_pton(AF_INET6, address, &parsed) == 1 ? length + 2 : 0;
}

/* uri-host [ ":" port ] (RFC 3986 section 3.2), without user information, the host not empty. */
static bool authority_ok(const char *p, size_t n) {
    size_t i = 0;
    if (n > 0 && p[0] == '[') {
        i = ipv6_literal(p, n);
    } else {
        for (;; i += 3) {
            while (i < n && is_char(p[i], WF_CH_REGNAME)) {
                i++;
            }
            if (n - i < 3 || p[i] != '%' || hex_digit(p[i + 1]) < 0 || hex_digit(p[i + 2]) < 0) {
                break;
            }
        }
    }
    return i > 0 && (i == n || (p[i] == ':' && port_ok(p + i + 1, n - i - 1)));
}

/* "http://" or "https://" and an authority, of which r->at comes to stand behind. */
static int read_scheme_and_authority(struct reader *r, uint32_t start) {
    static const char scheme[] = "http";
    uint32_t at = start;
    for (unsigned i = 0; i < 4; i++, at++) {
        if (at == r->n) {
            return PARTIAL;
        }
        if ((r->p[at] | 0x20) != scheme[i]) {
            return refuse(r, 400, "the request target is neither a path nor an http URL");
        }
    }
    if (at < r->n && (r->p[at] | 0x20) == 's') {
        at++;
    }
    for (const char *c = "://"; *c != '\0'; c++, at++) {
        if (at == r->n) {
            return PARTIAL;
        }
        if (r->p[at] != *c) {
            return refuse(r, 400, "the request target is neither a path nor an http URL");
        }
    }
    uint32_t authority = at;
    while (at < r->n && r->p[at] != '/' && r->p[at] != '?' && r->p[at] != ' ' &&
           at - start <= r->limits->target_bytes) {
        char c = r->p[at];
        if (!is_char(c, WF_CH_REGNAME) && c != '%' && c != ':' && c != '[' && c != ']') {
            return refuse(r, 400, "the authority of the request target is malformed");
        }
        at++;
    }
    if (at - start > r->limits->target_bytes) {
        return refuse(r, 414, "the request target is too long");
    }
    if (at == r->n) {
        return PARTIAL;
    }
    if (!authority_ok(r->p + authority, at - authority)) {
        return refuse(r, 400, "the authority of the request target is malformed");
    }
    r->out->authority_at = (struct wf_at){authority, at - authority};
    r->at = at;
    return OK;
}

static WF_NOINLINE int bad_target_byte(struct reader *r, char c) {
    switch (c) {
    case '\r':
    case '\n':
        return refuse(r, 400, "the request line has no HTTP version");
    case '#':
        return refuse(r, 400, "the request target has a fragment");
    default:
        return refuse(r, 400, "a byte in the request target that has to be percent-encoded");
    }
}

/* origin-form, absolute-form or asterisk-form (RFC 9112 section 3.2). Percent-encoding is not
 * looked into: whoever decodes the path refuses what is wrong with it. */
static int read_target(struct reader *r) {
    struct wf_head *h = r->out;
    uint32_t start = r->at;
    if (start == r->n) {
        return PARTIAL;
    }
    if (wf_unlikely(r->p[start] == '*')) {
        h->asterisk =
            true; /* whether it may be is seen behind the version: "PRI * HTTP/2.0" is a 505 */
    } else if (wf_unlikely(r->p[start] != '/')) {
        int rc = read_scheme_and_authority(r, start);
        if (rc != OK) {
            return rc;
        }
    }

    uint32_t path = r->at, query = 0, at = path;
    for (;;) {
        uint32_t stop = run_end(r, WF_RUN_PATH, at);
        if (wf_unlikely(stop - start > r->limits->target_bytes)) {
            return refuse(r, 414, "the request target is too long");
        }
        if (stop == r->n) {
            return PARTIAL;
        }
        at = stop + 1;
        char c = r->p[stop];
        if (c == ' ') {
            break;
        } else if (c == '?' && query == 0) {
            query = at;
        } else if (c == '%' && query == 0) {
            h->path_escaped = true;
        } else if (wf_unlikely(query == 0 || !is_char(c, WF_CH_QUERY))) {
            return bad_target_byte(r, c);
        }
    }
    uint32_t end = at - 1;
    h->target_at = (struct wf_at){start, end - start};
    h->path_at = (struct wf_at){path, (query != 0 ? query - 1 : end) - path};
    if (query != 0) {
        h->query_at = (struct wf_at){query, end - query};
    }
    r->at = at;
    return OK;
}

/* "HTTP/" digit "." digit, as far as it is there. */
static WF_NOINLINE int check_version_form(struct reader *r, const char *p, uint32_t n) {
    static const char form[] = "HTTP/d.d";
    for (unsigned i = 0; i < 8; i++) {
        if (i == n) {
            return PARTIAL;
        }
        bool digit = p[i] >= '0' && p[i] <= '9';
        if (form[i] == 'd' ? !digit : p[i] != form[i]) {
            return refuse(r, 400, "malformed HTTP version");
        }
    }
    return OK;
}

/* HTTP-version and the end of the line. */
static int read_version(struct reader *r) {
    uint32_t at = r->at;
    const char *p = r->p + at;
    if (wf_likely(r->n - at >= 10 && memcmp(p, "HTTP/1.1\r\n", 10) == 0)) {
        r->out->minor_version = 1;
        r->at = at + 10;
        return OK;
    }
    int form = check_version_form(r, p, r->n - at);
    if (form != OK) {
        return form;
    }
    int rc = end_of_line(r, at + 8, "malformed HTTP version");
    if (rc != OK) {
        return rc;
    }
    /* 1.2 and up would have to be read as 1.1 if they existed (RFC 9110 section 2.5); they do not,
     * and who claims them is testing us */
    if (wf_unlikely(p[5] != '1' || p[7] > '1')) {
        return refuse(r, 505, "this server speaks HTTP/1.0 and HTTP/1.1");
    }
    r->out->minor_version = (uint8_t)(p[7] - '0');
    r->at = at + 10;
    return OK;
}

static int check_asterisk(struct reader *r) {
    if (r->out->target_at.n != 1 || r->out->method != WF_METHOD_OPTIONS) {
        return refuse(r, 400, "the request target * is for OPTIONS alone");
    }
    return OK;
}

/* ---- fields ---- */

static inline bool is_ows(char c) {
    return c == ' ' || c == '\t';
}

/* The next element of a list (RFC 9110 section 5.6.1), trimmed; it may be empty. false at the end.
 */
static bool next_element(struct wf_span *rest, struct wf_span *element) {
    if (rest->p == NULL) {
        return false;
    }
    const char *comma = memchr(rest->p, ',', rest->n);
    size_t n = comma != NULL ? (size_t)(comma - rest->p) : rest->n;
    *element = wf_span(rest->p, n);
    *rest = comma != NULL ? wf_span(comma + 1, rest->n - n - 1) : wf_span(NULL, 0);
    while (element->n > 0 && is_ows(element->p[0])) {
        element->p++;
        element->n--;
    }
    while (element->n > 0 && is_ows(element->p[element->n - 1])) {
        element->n--;
    }
    return true;
}

static int take_content_length(struct reader *r, struct framing *f, struct wf_span value) {
    if (f->length) {
        /* even when they agree: someone in front of us may have looked at the other one */
        return refuse(r, 400, "more than one Content-Length");
    }
    f->length = true;
    uint64_t length = 0;
    for (size_t i = 0; i < value.n; i++) {
        unsigned digit = (unsigned)(unsigned char)value.p[i] - '0';
        if (digit > 9) {
            return refuse(r, 400, "Content-Length is not a number");
        }
        if (length > ((uint64_t)INT64_MAX - digit) / 10) {
            return refuse(r, 400, "Content-Length is too large to be true");
        }
        length = length * 10 + digit;
    }
    if (value.n == 0) {
        return refuse(r, 400, "Content-Length is empty");
    }
    r->out->content_length = length;
    return OK;
}

/* Only "chunked" is known, it must come last and once (RFC 9112 section 6.1). Several field lines
 * are one list. */
static int take_transfer_encoding(struct reader *r, struct framing *f, struct wf_span value) {
    struct wf_span coding;
    f->transfer_encoding = true;
    while (next_element(&value, &coding)) {
        if (f->chunked) {
            return refuse(r, 400, "chunked is not the last transfer coding");
        }
        if (!wf_field_name_ok(coding)) {
            return refuse(r, 400, "malformed Transfer-Encoding");
        }
        if (wf_span_eq_lower(coding, WF_SPAN("chunked"))) {
            f->chunked = true;
        } else {
            f->unknown_coding = true;
        }
    }
    return OK;
}

static void take_connection(struct framing *f, struct wf_span value) {
    struct wf_span option;
    while (next_element(&value, &option)) {
        if (wf_span_eq_lower(option, WF_SPAN("close"))) {
            f->close = true;
        } else if (wf_span_eq_lower(option, WF_SPAN("keep-alive"))) {
            f->keep_alive = true;
        } else if (wf_span_eq_lower(option, WF_SPAN("upgrade"))) {
            f->connection_upgrade = true;
        }
    }
}

static int take_host(struct reader *r, struct framing *f, struct wf_span value) {
    if (f->host) {
        return refuse(r, 400, "more than one Host");
    }
    f->host = true;
    /* empty is what a client sends whose target has no authority (RFC 9112 section 3.2) */
    if (value.n != 0 && !authority_ok(value.p, value.n)) {
        return refuse(r, 400, "malformed Host");
    }
    return OK;
}

/* The fields that decide how the message is read. */
static int take_field(struct reader *r, struct framing *f, unsigned id, struct wf_span value) {
    switch (id) {
    case WF_FIELD_HOST:
        return take_host(r, f, value);
    case WF_FIELD_CONNECTION:
        take_connection(f, value);
        return OK;
    case WF_FIELD_CONTENT_LENGTH:
        return take_content_length(r, f, value);
    case WF_FIELD_TRANSFER_ENCODING:
        return take_transfer_encoding(r, f, value);
    case WF_FIELD_EXPECT:
        f->expect_continue |= wf_span_eq_lower(value, WF_SPAN("100-continue"));
        return OK;
    case WF_FIELD_UPGRADE:
        f->upgrade = true;
        return OK;
    default:
        return OK;
    }
}
static_assert(WF_FIELD_HOST == 1 && WF_FIELD_UPGRADE == 6, "take_field has the first six");

static WF_NOINLINE int bad_name_byte(struct reader *r, uint32_t start, uint32_t end) {
    char c = r->p[end];
    if (start == end && is_ows(c)) {
        return refuse(r, 400, "a folded field line");
    }
    if (is_ows(c)) {
        return refuse(r, 400, "white space in or behind a field name");
    }
    if (c == ':') {
        return refuse(r, 400, "an empty field name");
    }
    if (start == end && c == '\n') {
        return refuse(r, 400, "a line ends in a bare LF");
    }
    if (c == '\r' || c == '\n') {
        return refuse(r, 400, "a field line without a colon");
    }
    return refuse(r, 400, "a byte that no field name may have");
}

/* One field line, of which the first byte is there and no CR. */
WF_ALWAYS_INLINE int read_field_line(struct reader *r, struct framing *f, unsigned fields_max) {
    struct wf_head *h = r->out;
    uint32_t start = r->at;
    if (wf_unlikely(h->nfields == fields_max)) {
        return refuse(r, 431, "too many field lines");
    }
    uint32_t colon = run_end(r, WF_RUN_TOKEN, start);
    if (wf_unlikely(colon - start > WF_HTTP1_NAME_MAX)) {
        return refuse(r, 431, "a field name is too long");
    }
    if (wf_unlikely(colon == r->n)) {
        return PARTIAL;
    }
    if (wf_unlikely(r->p[colon] != ':' || colon == start)) {
        return bad_name_byte(r, start, colon);
    }
    uint32_t line_end = run_end(r, WF_RUN_VALUE, colon + 1);
    int rc = end_of_line(r, line_end, "a control byte in a field value");
    if (wf_unlikely(rc != OK)) {
        return rc;
    }
    uint32_t value = colon + 1, end = line_end;
    while (value < end && is_ows(r->p[value])) {
        value++;
    }
    while (end > value && is_ows(r->p[end - 1])) {
        end--;
    }
    unsigned id = field_id(r->p + start, colon - start);
    h->fields[h->nfields++] = (struct wf_field){
        .name_at = start,
        .value_at = value,
        .value_len = end - value,
        .name_len = (uint16_t)(colon - start),
        .id = (uint16_t)id,
    };
    r->at = line_end + 2;
    if (id - 1u < WF_FIELD_UPGRADE) {
        return take_field(r, f, id, wf_span(r->p + value, end - value));
    }
    return OK;
}

static int read_fields(struct reader *r, struct framing *f) {
    unsigned fields_max = WF_MIN(r->limits->fields, r->out->fields_cap);
    for (;;) {
        if (r->at == r->n) {
            return PARTIAL;
        }
        if (r->p[r->at] == '\r') {
            int rc = end_of_line(r, r->at, "");
            r->at += 2;
            return rc;
        }
        int rc = read_field_line(r, f, fields_max);
        if (rc != OK) {
            return rc;
        }
    }
}

/* ---- the whole ---- */

/* The authority of an absolute-form takes the place of what Host says (RFC 9112 section 3.2.2). */
static WF_NOINLINE void overrule_host(struct wf_head *h) {
    for (unsigned i = 0; i < h->nfields; i++) {
        if (h->fields[i].id == WF_FIELD_HOST) {
            h->fields[i].value_at = h->authority_at.at;
            h->fields[i].value_len = h->authority_at.n;
        }
    }
}

/* What the field lines mean together (RFC 9112 sections 3.2, 6.3 and 9.3). */
static int conclude(struct reader *r, const struct framing *f) {
    struct wf_head *h = r->out;
    bool http11 = h->minor_version == 1;
    if (http11 && !f->host) {
        return refuse(r, 400, "no Host");
    }
    if (wf_unlikely(h->authority_at.n != 0)) {
        overrule_host(h);
    }
    if (f->transfer_encoding) {
        if (!http11) {
            return refuse(r, 400, "Transfer-Encoding in HTTP/1.0");
        }
        if (f->length) {
            return refuse(r, 400, "both Content-Length and Transfer-Encoding");
        }
        if (f->unknown_coding) {
            return refuse(r, 501, "a transfer coding other than chunked");
        }
        h->framing = WF_BODY_CHUNKED;
    } else if (h->content_length > 0) {
        h->framing = WF_BODY_LENGTH;
    }
    h->keep_alive = !f->close && (http11 || f->keep_alive);
    /* an HTTP/1.0 client knows neither (RFC 9110 sections 7.8 and 10.1.1) */
    h->upgrade = http11 && f->upgrade && f->connection_upgrade;
    h->expect_continue = http11 && f->expect_continue && h->framing != WF_BODY_NONE;
    return OK;
}

static int read_head(struct reader *r) {
    struct framing f = {0};
    int rc = skip_empty_lines(r);
    if (rc == OK) {
        rc = read_method(r);
    }
    if (rc == OK) {
        rc = read_target(r);
    }
    if (rc == OK) {
        rc = read_version(r);
    }
    if (rc == OK && r->out->asterisk) {
        rc = check_asterisk(r);
    }
    if (rc == OK) {
        rc = read_fields(r, &f);
    }
    if (rc == OK) {
        rc = conclude(r, &f);
    }
    return rc;
}

/* Is it worth reading the head again? Yes when an empty line has come in since the last try, or a
 * bare LF, which will be refused; and from time to time, so that what is wrong is not read to its
 * end. Each byte is looked at once here and, by the doubling, about twice there. */
static bool worth_a_try(struct wf_http1_progress *progress, struct wf_span in, uint32_t n) {
    if (progress->tried == 0 || n / 2 >= progress->tried) {
        return true;
    }
    const char *p = in.p, *from = p + progress->scanned;
    progress->scanned = n;
    while ((from = memchr(from, '\n', (size_t)(p + n - from))) != NULL) {
        if (from - p < 3 || from[-1] != '\r' || from[-2] == '\n') {
            return true;
        }
        from++;
    }
    return false;
}

ssize_t wf_http1_head(const struct wf_http1_limits *limits, struct wf_http1_progress *progress,
                      struct wf_span in, struct wf_head *out) {
    uint32_t max = WF_MIN(limits->head_bytes, (uint32_t)WF_HTTP1_HEAD_MAX);
    uint32_t n = (uint32_t)WF_MIN(in.n, max);
    bool full = n == max;
    if (!full && !worth_a_try(progress, in, n)) {
        return WF_PARTIAL;
    }
    *out = (struct wf_head){.fields = out->fields, .fields_cap = out->fields_cap};
    struct reader r;
    r.p = in.p;
    r.n = n;
    r.at = 0;
    r.window_at = 0;
    r.window_n = 0;
    r.scan = wf_http1_scan();
    r.limits = limits;
    r.out = out;
    int rc = read_head(&r);
    if (rc == OK) {
        return r.at;
    }
    if (rc == PARTIAL) {
        if (full) {
            return refuse(&r, 431, "the request head is too large");
        }
        progress->tried = n;
        progress->scanned = n;
        return WF_PARTIAL;
    }
    return rc;
}
