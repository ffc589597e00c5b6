/* Tests of the server over real sockets: it runs in this thread, the clients are plain descriptors.
 *
 * In the tables a '\n' stands for CR LF, and the date line of replies is left out. Every test runs
 * over every poller there is. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "serve/server_int.h"

/* ---- a server with a few routes ---- */

enum { GET = 1u << WF_METHOD_GET, POST = 1u << WF_METHOD_POST };
enum { PARKED_MAX = 64 };

struct fixture {
    struct wf_loop loop;
    struct wf_router *router;
    struct wf_server *server;
    struct wf_exchange *parked[PARKED_MAX];
    unsigned nparked, ngone, ndrained, nrequests, naccepted_errors;
    char seen[64]; /* paths, in the order their requests came out */
};

typedef void handler(struct fixture *f, struct wf_exchange *ex, unsigned events);

static const struct wf_poller *poller;
static const struct wf_reply_head text = {.status = 200, .content_type = {"text/plain", 10}};

static void hello(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    wf_reply_send(ex, &text, WF_SPAN("hello"));
    wf_exchange_finish(ex);
}

static void echo(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    wf_reply_send(ex, &text, ex->body);
    wf_exchange_finish(ex);
}

static void item(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    struct wf_buf *b;
    if (wf_reply_open(ex, &text, &b) == WF_REPLY_OK) {
        int rc = wf_buf_append_span(b, ex->match.params[0]);
        if (rc == WF_BUF_OK) {
            rc = wf_reply_close(ex);
        } else {
            wf_reply_cancel(ex);
        }
    }
    wf_exchange_finish(ex);
}

static void park(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    if ((events & WF_EV_REQUEST) != 0) {
        assert_true(f->nparked < PARKED_MAX);
        f->parked[f->nparked++] = ex;
    }
    if ((events & WF_EV_GONE) != 0) {
        assert_true(wf_exchange_gone(ex));
        assert_int_equal(wf_reply_send(ex, &text, WF_SPAN("too late")), WF_REPLY_GONE);
        f->ngone++;
        for (unsigned i = 0; i < f->nparked; i++) {
            if (f->parked[i] == ex) {
                f->parked[i] = f->parked[--f->nparked];
            }
        }
        wf_exchange_finish(ex);
    }
}

/* Parks with a reply begun, so that the handler's own timeout is not what ends it. */
static void hold(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    if ((events & WF_EV_REQUEST) != 0) {
        wf_reply_start(ex, &text, 3);
    }
    park(f, ex, events);
}

/* Answers with how much came, in how many pieces does not matter, and how it ended. */
static void drink(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    size_t total = (size_t)ex->user;
    char line[64];
    for (;;) {
        struct wf_span data;
        enum wf_body_result r = wf_body_read(ex, &data);
        if (r == WF_BODY_DATA) {
            total += data.n;
            ex->user = (void *)total; /* NOLINT: a counter */
            continue;
        }
        if (r == WF_BODY_WAIT) {
            return;
        }
        int n = snprintf(line, sizeof(line), "%zu %s", total,
                         r == WF_BODY_END         ? "end"
                         : r == WF_BODY_TOO_LARGE ? "large"
                                                  : "broken");
        wf_reply_send(ex, &text, wf_span(line, (size_t)n));
        wf_exchange_finish(ex);
        return;
    }
}

static void chunks(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    assert_int_equal(wf_reply_start(ex, &text, -1), WF_REPLY_OK);
    assert_int_equal(wf_reply_write(ex, WF_SPAN("")), WF_REPLY_OK);
    assert_int_equal(wf_reply_write(ex, WF_SPAN("one")), WF_REPLY_OK);
    assert_int_equal(wf_reply_write(ex, WF_SPAN("seventeen bytes..")), WF_REPLY_OK);
    assert_int_equal(wf_reply_end(ex), WF_REPLY_OK);
    wf_exchange_finish(ex);
}

static void sized(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    assert_int_equal(wf_reply_start(ex, &text, 6), WF_REPLY_OK);
    assert_int_equal(wf_reply_write(ex, WF_SPAN("abc")), WF_REPLY_OK);
    assert_int_equal(wf_reply_write(ex, WF_SPAN("defg")), WF_REPLY_INVALID);
    assert_int_equal(wf_reply_write(ex, WF_SPAN("def")), WF_REPLY_OK);
    assert_int_equal(wf_reply_end(ex), WF_REPLY_OK);
    wf_exchange_finish(ex);
}

static void cut(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    wf_reply_start(ex, &text, -1);
    wf_reply_write(ex, WF_SPAN("half"));
    wf_exchange_finish(ex);
}

static void crash(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    wf_exchange_finish(ex);
}

/* An application that tries to split the reply, in every place it can reach. */
static void split(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    static const struct wf_reply_field bad[] = {{{"x", 1}, {"a\r\nset-cookie: b", 16}},
                                                {{"x", 1}, {"a\nb", 3}},
                                                {{"x", 1}, {"a\0b", 3}},
                                                {{"x\r\ny", 4}, {"a", 1}},
                                                {{"x y", 3}, {"a", 1}},
                                                {{"", 0}, {"a", 1}},
                                                {{"x:", 2}, {"a", 1}},
                                                {{"x", 1}, {"a\rb", 3}}};
    for (size_t i = 0; i < WF_ARRAY_LEN(bad); i++) {
        struct wf_reply_head head = {.status = 200, .fields = &bad[i], .nfields = 1};
        assert_int_equal(wf_reply_send(ex, &head, WF_SPAN("x")), WF_REPLY_INVALID);
    }
    struct wf_reply_head head = {.status = 200, .content_type = {"text/plain\r\nx: y", 16}};
    struct wf_buf *b;
    assert_int_equal(wf_reply_open(ex, &head, &b), WF_REPLY_INVALID);
    assert_int_equal(wf_reply_start(ex, &head, -1), WF_REPLY_INVALID);
    head = (struct wf_reply_head){.status = 100};
    assert_int_equal(wf_reply_send(ex, &head, WF_SPAN("x")), WF_REPLY_INVALID);
    wf_exchange_finish(ex);
}

static void fields(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    static const struct wf_reply_field all[] = {{{"x-a", 3}, {"1", 1}},
                                                {{"Content-Length", 14}, {"999", 3}},
                                                {{"transfer-encoding", 17}, {"chunked", 7}},
                                                {{"Connection", 10}, {"close", 5}},
                                                {{"server", 6}, {"mine", 4}},
                                                {{"Date", 4}, {"today", 5}},
                                                {{"set-cookie", 10}, {"a=b", 3}}};
    struct wf_reply_head head = {.status = 201, .fields = all, .nfields = WF_ARRAY_LEN(all)};
    wf_reply_send(ex, &head, WF_SPAN("ok"));
    wf_exchange_finish(ex);
}

static void empty(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    struct wf_reply_head head = {.status = 204};
    wf_reply_send(ex, &head, WF_SPAN("never sent"));
    wf_exchange_finish(ex);
}

static void cancelled(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    struct wf_buf *b;
    assert_int_equal(wf_reply_open(ex, &text, &b), WF_REPLY_OK);
    assert_int_equal(wf_buf_append(b, "half of so", 10), WF_BUF_OK);
    wf_reply_cancel(ex);
    wf_reply_error(ex, 422, WF_SPAN("no \"such\"\nthing"));
    wf_exchange_finish(ex);
}

enum { FLOOD_BYTES = 3 << 20, FLOOD_CHUNK = 10000 };

/* Streams FLOOD_BYTES, pausing whenever it is told to. */
static void flood(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    static const char zeros[FLOOD_CHUNK];
    size_t sent = (size_t)ex->user;
    if ((events & WF_EV_GONE) != 0) {
        f->ngone++;
        wf_exchange_finish(ex);
        return;
    }
    f->ndrained += (events & WF_EV_DRAINED) != 0;
    int rc = WF_REPLY_OK;
    if ((events & WF_EV_REQUEST) != 0) {
        rc = wf_reply_start(ex, &text, FLOOD_BYTES);
    }
    while (rc == WF_REPLY_OK && sent < FLOOD_BYTES) {
        size_t n = WF_MIN((size_t)FLOOD_CHUNK, FLOOD_BYTES - sent);
        rc = wf_reply_write(ex, wf_span(zeros, n));
        sent += n;
        assert_true(wf_stream_pending(&ex->conn->stream) < WF_STREAM_HIGH_WATER + 2 * FLOOD_CHUNK);
    }
    ex->user = (void *)sent; /* NOLINT: a counter */
    if (rc < 0 || sent == FLOOD_BYTES) {
        assert_true(rc < 0 || wf_reply_end(ex) == WF_REPLY_OK);
        wf_exchange_finish(ex);
    }
}

enum { BIG_BYTES = 1 << 20 };
static unsigned big_released;
static void release_big(void *arg) {
    big_released++;
}

static void big(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    static char xs[BIG_BYTES];
    memset(xs, 'x', sizeof(xs));
    wf_reply_send_borrowed(ex, &text, wf_span(xs, sizeof(xs)), release_big, NULL);
    wf_exchange_finish(ex);
}

static void mid(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    static const char ys[20000];
    wf_reply_send(ex, &text, wf_span(ys, sizeof(ys)));
    wf_exchange_finish(ex);
}

static const struct {
    const char *pattern;
    uint32_t methods;
    uint8_t body_mode;
    uint64_t body_max;
    handler *run;
} routes[] = {
    {"/hello", GET, WF_BODY_IGNORE, UINT64_MAX, hello},
    {"/echo", POST, WF_BODY_BUFFER, UINT64_MAX, echo},
    {"/small", POST, WF_BODY_BUFFER, 10, echo},
    {"/items/{id}", GET, WF_BODY_IGNORE, UINT64_MAX, item},
    {"/park", GET | POST, WF_BODY_IGNORE, UINT64_MAX, park},
    {"/keep", POST, WF_BODY_BUFFER, UINT64_MAX, park},
    {"/drink", POST, WF_BODY_STREAM, UINT64_MAX, drink},
    {"/sip", POST, WF_BODY_STREAM, 10, drink},
    {"/hold", POST, WF_BODY_STREAM, UINT64_MAX, hold},
    {"/leave", POST, WF_BODY_STREAM, UINT64_MAX, hello},
    {"/nobody", POST, WF_BODY_IGNORE, UINT64_MAX, hello},
    {"/chunks", GET, WF_BODY_IGNORE, UINT64_MAX, chunks},
    {"/sized", GET, WF_BODY_IGNORE, UINT64_MAX, sized},
    {"/cut", GET, WF_BODY_IGNORE, UINT64_MAX, cut},
    {"/crash", GET, WF_BODY_IGNORE, UINT64_MAX, crash},
    {"/split", GET, WF_BODY_IGNORE, UINT64_MAX, split},
    {"/fields", GET, WF_BODY_IGNORE, UINT64_MAX, fields},
    {"/empty", GET, WF_BODY_IGNORE, UINT64_MAX, empty},
    {"/cancelled", GET, WF_BODY_IGNORE, UINT64_MAX, cancelled},
    {"/flood", GET, WF_BODY_IGNORE, UINT64_MAX, flood},
    {"/big", GET, WF_BODY_IGNORE, UINT64_MAX, big},
    {"/mid", GET, WF_BODY_IGNORE, UINT64_MAX, mid},
    {"/slash/", GET, WF_BODY_IGNORE, UINT64_MAX, hello},
};
static struct wf_leaf leaves[WF_ARRAY_LEN(routes)];

static struct wf_server_config quiet(void) {
    struct wf_server_config c;
    wf_server_config_default(&c);
    c.server_name = WF_SPAN("");
    return c;
}

static bool try_start(struct fixture *f, const struct wf_server_config *config) {
    struct wf_addr addr;
    const char *error;
    memset(f, 0, sizeof(*f));
    if (wf_loop_init(&f->loop, poller) != 0) {
        return false;
    }
    f->router = wf_router_new();
    bool ok = f->router != NULL;
    for (size_t i = 0; ok && i < WF_ARRAY_LEN(routes); i++) {
        leaves[i] = (struct wf_leaf){.plan = (void *)&routes[i],
                                     .methods = routes[i].methods,
                                     .body_mode = routes[i].body_mode,
                                     .body_max = routes[i].body_max};
        ok = wf_router_add(f->router, wf_span_str(routes[i].pattern), &leaves[i], &error) == 0;
    }
    f->server = ok ? wf_server_new(&f->loop, config, f->router) : NULL;
    if (f->server == NULL || wf_addr_ip(&addr, "127.0.0.1", 0) != 0 ||
        wf_server_listen(f->server, &addr, 0) != 0) {
        wf_server_free(f->server);
        wf_router_free(f->router);
        wf_loop_close(&f->loop);
        return false;
    }
    return true;
}

static struct fixture *start(const struct wf_server_config *config) {
    static struct fixture f;
    struct wf_server_config c = config != NULL ? *config : quiet();
    assert_true(try_start(&f, &c));
    return &f;
}

/* The embedder's turn, as server.h says. */
static void turn(struct fixture *f, int wait_ms) {
    struct wf_exchange *ex;
    unsigned events;
    wf_server_flush(f->server);
    wf_loop_poll(&f->loop, (int64_t)wait_ms * 1000000);
    while ((ex = wf_server_next(f->server, &events)) != NULL) {
        if ((events & WF_EV_REQUEST) != 0) {
            f->nrequests++;
            size_t n = strlen(f->seen);
            if (n + 1 < sizeof(f->seen) && ex->path.n > 1) {
                f->seen[n] = ex->path.p[1];
            }
        }
        if (ex->match.leaf == NULL) {
            wf_reply_error(ex, ex->route == WF_ROUTE_METHOD ? 405 : 404, WF_SPAN("mine"));
            wf_exchange_finish(ex);
            continue;
        }
        handler *run = routes[ex->match.leaf - leaves].run;
        run(f, ex, events);
    }
}

static void turns(struct fixture *f, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        turn(f, 1);
    }
}

static void stop(struct fixture *f) {
    wf_server_abort(f->server);
    turns(f, 1);
    assert_int_equal(wf_server_running_exchanges(f->server), 0);
    assert_int_equal(wf_server_open_connections(f->server), 0);
    wf_server_free(f->server);
    wf_router_free(f->router);
    wf_loop_close(&f->loop);
}

static struct wf_conn *only_conn(struct fixture *f) {
    assert_false(wf_list_empty(&f->server->conns));
    return wf_container_of(f->server->conns.next, struct wf_conn, node);
}

/* ---- clients ---- */

static int dial(struct fixture *f) {
    const struct wf_addr *a = wf_server_address(f->server, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, &a->sa, a->len), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* for the byte by byte */
    return fd;
}

static void hang_up(int fd, bool reset) {
    struct linger l = {1, 0};
    if (reset) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
    }
    close(fd);
}

/* '\n' to CR LF. */
static struct wf_buf expand(const char *s) {
    struct wf_buf b;
    wf_buf_init(&b, 1 << 24);
    for (; *s != '\0'; s++) {
        assert_int_equal(*s == '\n' ? wf_buf_append(&b, "\r\n", 2) : wf_buf_append_byte(&b, *s), 0);
    }
    return b;
}

static void say_bytes(struct fixture *f, int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            return; /* the server has had enough */
        }
        if (sent < 0) {
            turn(f, 1);
            continue;
        }
        p += sent;
        n -= (size_t)sent;
    }
}

static void say(struct fixture *f, int fd, const char *s) {
    struct wf_buf b = expand(s);
    say_bytes(f, fd, b.p, b.len);
    wf_buf_free(&b);
}

struct heard {
    struct wf_buf bytes;
    bool closed, reset;
};

/* Turns the server until that many bytes have come and then nothing more for some turns, or the
 * end. */
static struct heard hear_at_least(struct fixture *f, int fd, size_t bytes) {
    struct heard h = {.closed = false};
    wf_buf_init(&h.bytes, 1 << 26);
    for (int idle = 0; idle < (h.bytes.len < bytes ? 2000 : 4);) {
        turn(f, idle == 0 ? 0 : 1);
        char p[65536];
        ssize_t n = recv(fd, p, sizeof(p), MSG_DONTWAIT);
        if (n > 0) {
            assert_int_equal(wf_buf_append(&h.bytes, p, (size_t)n), 0);
            idle = 0;
        } else if (n == 0 || errno != EAGAIN) {
            h.closed = true;
            h.reset = n < 0;
            break;
        } else {
            idle++;
        }
    }
    return h;
}

static struct heard hear(struct fixture *f, int fd) {
    return hear_at_least(f, fd, 0);
}

/* CR LF to '\n', without date lines, and "<eof>" where the connection has ended. */
static char *legible(struct heard *h) {
    char *out = malloc(h->bytes.len + 16), *at = out;
    const char *p = h->bytes.len != 0 ? h->bytes.p : "", *end = p + h->bytes.len;
    bool line = true;
    while (p < end) {
        if (line && end - p >= 6 && memcmp(p, "date: ", 6) == 0) {
            const char *eol = memchr(p, '\n', (size_t)(end - p));
            assert_non_null(eol);
            assert_int_equal(eol + 1 - p, WF_HTTP1_DATE_LINE);
            p = eol + 1;
            continue;
        }
        if (end - p >= 2 && p[0] == '\r' && p[1] == '\n') {
            p++;
        }
        line = *p == '\n';
        *at++ = *p++;
    }
    memcpy(at, h->closed ? "<eof>" : "", h->closed ? 6 : 1);
    wf_buf_free(&h->bytes);
    return out;
}

static void expect(struct fixture *f, int fd, const char *what, const char *expected) {
    struct heard h = hear(f, fd);
    char *got = legible(&h);
    if (strcmp(got, expected) != 0) {
        fail_msg("%s\n--- expected\n%s\n--- got\n%s", what, expected, got);
    }
    free(got);
}

struct row {
    const char *say, *expect;
};

/* Each row on a connection of its own: at once, then byte by byte. */
static void check_rows(const struct row *rows, size_t n, const struct wf_server_config *config) {
    struct fixture *f = start(config);
    for (size_t i = 0; i < n; i++) {
        int fd = dial(f);
        say(f, fd, rows[i].say);
        expect(f, fd, rows[i].say, rows[i].expect);
        close(fd);

        fd = dial(f);
        struct wf_buf b = expand(rows[i].say);
        for (size_t k = 0; k < b.len; k++) {
            say_bytes(f, fd, b.p + k, 1);
            turn(f, 0);
        }
        expect(f, fd, rows[i].say, rows[i].expect);
        wf_buf_free(&b);
        close(fd);
    }
    turns(f, 3);
    assert_int_equal(wf_server_open_connections(f->server), 0);
    stop(f);
}
#define CHECK(rows) check_rows(rows, WF_ARRAY_LEN(rows), NULL)

#define HELLO "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 5\n\nhello"
#define HELLO_CLOSE                                                                                \
    "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 5\nconnection: "                   \
    "close\n\nhello<eof>"
#define ERROR(status, length, detail)                                                              \
    "HTTP/1.1 " status "\ncontent-type: application/json\ncontent-length: " length                 \
    "\n\n{\"detail\":\"" detail "\"}"
#define REFUSED(status, length, detail)                                                            \
    "HTTP/1.1 " status "\ncontent-type: application/json\ncontent-length: " length                 \
    "\nconnection: close\n\n{\"detail\":\"" detail "\"}<eof>"

/* ---- tests ---- */

static void answers_requests(void **state) {
    static const struct row rows[] = {
        {"GET /hello HTTP/1.1\nHost: a\n\n", HELLO},
        {"GET /items/42 HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 2\n\n42"},
        {"GET /items/a%20b%2Fc HTTP/1.1\nHost: a\n\n", ERROR("404 Not Found", "22", "Not Found")},
        {"GET /items/%C3%BC%20 HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 3\n\n\xc3\xbc "},
        {"GET http://a/hello?x=1 HTTP/1.1\nHost: a\n\n", HELLO},
        {"GET /nothing HTTP/1.1\nHost: a\n\n", ERROR("404 Not Found", "22", "Not Found")},
        {"POST /hello HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc",
         "HTTP/1.1 405 Method Not Allowed\ncontent-type: application/json\nallow: GET, HEAD\n"
         "content-length: 31\n\n{\"detail\":\"Method Not Allowed\"}"},
        {"OPTIONS /park HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 200 OK\nallow: GET, HEAD, POST, OPTIONS\ncontent-length: 0\n\n"},
        {"OPTIONS * HTTP/1.1\nHost: a\n\n", "HTTP/1.1 200 OK\ncontent-length: 0\n\n"},
        {"GET /slash?a=b HTTP/1.1\nHost: example.org:81\n\n",
         "HTTP/1.1 307 Temporary Redirect\nlocation: http://example.org:81/slash/?a=b\n"
         "content-length: 0\n\n"},
        {"GET /hello// HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 307 Temporary Redirect\nlocation: http://a/hello\ncontent-length: 0\n\n"},
        {"GET /items/%22%25%C3%BC/ HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 307 Temporary Redirect\nlocation: http://a/items/%22%25%C3%BC\n"
         "content-length: 0\n\n"},
    };
    CHECK(rows);
}

static void frames_replies(void **state) {
    static const struct row rows[] = {
        {"HEAD /hello HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 5\n\n"},
        {"HEAD /items/12345678901 HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 11\n\n"},
        {"GET /chunks HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ntransfer-encoding: chunked\n\n"
         "3\none\n11\nseventeen bytes..\n0\n\n"},
        {"HEAD /chunks HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ntransfer-encoding: chunked\n\n"},
        {"GET /chunks HTTP/1.0\nConnection: keep-alive\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\nconnection: close\n\noneseventeen "
         "bytes..<eof>"},
        {"GET /sized HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 6\n\nabcdef"},
        {"GET /empty HTTP/1.1\nHost: a\n\nGET /hello HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 204 No Content\n\n" HELLO},
        {"GET /fields HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 201 Created\nx-a: 1\nserver: mine\nDate: today\nset-cookie: a=b\n"
         "content-length: 2\n\nok"},
        {"GET /cancelled HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 422 Unprocessable Content\ncontent-type: application/json\ncontent-length: "
         "35\n\n"
         "{\"detail\":\"no \\\"such\\\"\\u000athing\"}"},
        {"GET /hello HTTP/1.0\n\n", HELLO_CLOSE},
        {"GET /hello HTTP/1.0\nConnection: keep-alive\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 5\nconnection: keep-alive\n\n"
         "hello"},
        {"GET /hello HTTP/1.1\nHost: a\nConnection: close\n\n", HELLO_CLOSE},
    };
    CHECK(rows);
}

static void an_application_cannot_break_the_framing(void **state) {
    static const struct row rows[] = {
        {"GET /crash HTTP/1.1\nHost: a\n\nGET /hello HTTP/1.1\nHost: a\n\n",
         ERROR("500 Internal Server Error", "34", "Internal Server Error") HELLO},
        {"GET /split HTTP/1.1\nHost: a\n\n",
         ERROR("500 Internal Server Error", "34", "Internal Server Error")},
    };
    CHECK(rows);
    struct fixture *f = start(NULL);
    int fd = dial(f);
    say(f, fd, "GET /cut HTTP/1.1\nHost: a\n\nGET /hello HTTP/1.1\nHost: a\n\n");
    struct heard h = hear(f, fd);
    assert_true(h.closed); /* and no last chunk, and no second reply */
    assert_null(memmem(h.bytes.p, h.bytes.len, "0\r\n\r\n", 5));
    assert_null(memmem(h.bytes.p, h.bytes.len, "hello", 5));
    wf_buf_free(&h.bytes);
    close(fd);
    stop(f);
}

static void takes_bodies(void **state) {
    static const struct row rows[] = {
        {"POST /echo HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 3\n\nabc"},
        {"POST /echo HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 0\n\n"},
        {"POST /echo HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 0\n\n"},
        {"POST /echo HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n"
         "3\nabc\n2;x=y\nde\n0\nTrailer: x\n\nGET /hello HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 5\n\nabcde" HELLO},
        {"POST /drink HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n"
         "3\nabc\n2\nde\n0\n\nGET /hello HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 5\n\n5 end" HELLO},
        {"POST /drink HTTP/1.1\nHost: a\nContent-Length: 4\n\nabcdGET /hello HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 5\n\n4 end" HELLO},
        {"POST /nobody HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n"
         "3\nabc\n2\nde\n0\n\nGET /hello HTTP/1.1\nHost: a\n\n",
         HELLO HELLO},
        {"POST /leave HTTP/1.1\nHost: a\nContent-Length: 4\n\nabcdGET /hello HTTP/1.1\nHost: a\n\n",
         HELLO HELLO},
        {"POST /gone HTTP/1.1\nHost: a\nContent-Length: 4\n\nabcdGET /hello HTTP/1.1\nHost: a\n\n",
         ERROR("404 Not Found", "22", "Not Found") HELLO},
    };
    CHECK(rows);
}

static void refuses_bodies_that_are_too_large(void **state) {
    static const struct row rows[] = {
        {"POST /small HTTP/1.1\nHost: a\nContent-Length: 10\n\n0123456789",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 10\n\n0123456789"},
        {"POST /small HTTP/1.1\nHost: a\nContent-Length: 11\n\n",
         REFUSED("413 Content Too Large", "30", "Content Too Large")},
        {"POST /small HTTP/1.1\nHost: a\nContent-Length: 11\nExpect: 100-continue\n\n",
         REFUSED("413 Content Too Large", "30", "Content Too Large")},
        {"POST /small HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n8\n01234567\n8\n01234567\n",
         REFUSED("413 Content Too Large", "30", "Content Too Large")},
        {"POST /sip HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n8\n01234567\n8\n01234567\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 8\nconnection: close\n\n"
         "10 large<eof>"},
        {"POST /echo HTTP/1.1\nHost: a\nContent-Length: 10485761\n\n",
         REFUSED("413 Content Too Large", "30", "Content Too Large")},
    };
    struct fixture *f = start(NULL);
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        int fd = dial(f);
        say(f, fd, rows[i].say);
        shutdown(fd, SHUT_WR); /* or the refused would linger */
        expect(f, fd, rows[i].say,
               i == 0 ? "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 10\n"
                        "\n0123456789<eof>"
                      : rows[i].expect);
        close(fd);
    }
    stop(f);
}

static void a_limit_can_be_no_limit(void **state) {
    struct wf_server_config config = quiet();
    config.body_bytes_max = UINT64_MAX;
    struct fixture *f = start(&config);
    int fd = dial(f);
    say(f, fd, "POST /echo HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n");
    static char chunk[100];
    size_t n = (size_t)sprintf(chunk, "50\r\n%080d\r\n", 7);
    for (int i = 0; i < 1000; i++) {
        say_bytes(f, fd, chunk, n);
    }
    say(f, fd, "0\n\n");
    struct heard h = hear_at_least(f, fd, 80000);
    assert_true(h.bytes.len > 80000);
    wf_buf_free(&h.bytes);
    close(fd);
    stop(f);
}

static void expects_continue(void **state) {
#define CONTINUE "HTTP/1.1 100 Continue\n\n"
    struct fixture *f = start(NULL);
    int fd = dial(f);
    say(f, fd, "POST /echo HTTP/1.1\nHost: a\nContent-Length: 3\nExpect: 100-continue\n\n");
    expect(f, fd, "buffered", CONTINUE);
    say(f, fd, "abc");
    expect(f, fd, "buffered",
           "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 3\n\nabc");
    say(f, fd, "POST /drink HTTP/1.1\nHost: a\nContent-Length: 3\nExpect: 100-continue\n\n");
    expect(f, fd, "streamed", CONTINUE);
    say(f, fd, "abc");
    expect(f, fd, "streamed",
           "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 5\n\n3 end");
    say(f, fd, "POST /echo HTTP/1.1\nHost: a\nContent-Length: 3\nExpect: 100-continue\n\nabc");
    expect(f, fd, "did not wait",
           "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 3\n\nabc");
    /* Nobody wants the body: no 100, and whether it comes cannot be known, so this is the end. */
    say(f, fd, "POST /leave HTTP/1.1\nHost: a\nContent-Length: 3\nExpect: 100-continue\n\n");
    shutdown(fd, SHUT_WR);
    expect(f, fd, "not wanted", HELLO_CLOSE);
    close(fd);
    stop(f);
}

static void refuses_what_is_not_http(void **state) {
    static const struct {
        const char *say;
        int status;
    } rows[] = {
        {"GET\n\n", 400},
        {"GET /hello HTTP/1.1\n\n", 400},
        {"GET /hello HTTP/1.1\nHost: a\nHost: b\n\n", 400},
        {"GET /hello HTTP/2.0\nHost: a\n\n", 505},
        {"GET /hello HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n", 400},
        {"GET /hello HTTP/1.1\nHost : a\n\n", 400},
        {"GET /items/%zz HTTP/1.1\nHost: a\n\n", 400},
        {"GET /items/%ff HTTP/1.1\nHost: a\n\n", 400},
        {"GET /items/%00 HTTP/1.1\nHost: a\n\n", 400},
        {"POST /echo HTTP/1.1\nHost: a\nTransfer-Encoding: gzip\n\n", 501},
        {"POST /echo HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\nxyz\n", 400},
        {"POST /echo HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3\nabcd\n", 400},
        {"\x16\x03\x01\x02", 400},
    };
    struct fixture *f = start(NULL);
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        int fd = dial(f);
        say(f, fd, "GET /hello HTTP/1.1\nHost: a\n\n"); /* what came before is answered */
        say(f, fd, rows[i].say);
        say(f, fd, "GET /hello HTTP/1.1\nHost: a\n\n"); /* what comes behind is not */
        struct heard h = hear(f, fd);
        char *got = legible(&h);
        char line[128];
        int n = snprintf(line, sizeof(line), HELLO "HTTP/1.1 %d ", rows[i].status);
        if (strncmp(got, line, (size_t)n) != 0 || strstr(got, "connection: close\n") == NULL ||
            strstr(got + 10, "HTTP/1.1 200 OK") != NULL) { /* only the first of the two */
            fail_msg("%s\n--- got\n%s", rows[i].say, got);
        }
        free(got);
        shutdown(fd, SHUT_WR);
        h = hear(f, fd);
        assert_true(h.closed && h.bytes.len == 0);
        wf_buf_free(&h.bytes);
        close(fd);
    }
    assert_int_equal(wf_server_open_connections(f->server), 0);
    stop(f);
}

static void heads_of_any_allowed_size_pass_and_larger_ones_do_not(void **state) {
    struct wf_server_config config = quiet();
    config.head_bytes_max = 40000;
    struct fixture *f = start(&config);
    char head[60000];
    for (size_t size = 100; size < 50000; size = size * 2 + 13) {
        int fd = dial(f);
        int n = sprintf(head, "GET /hello HTTP/1.1\r\nHost: a\r\nx: ");
        memset(head + n, 'y', size);
        memcpy(head + n + size, "\r\n\r\n", 4);
        say_bytes(f, fd, head, (size_t)n + size + 4);
        struct heard h = hear(f, fd);
        char *got = legible(&h);
        assert_string_equal(strncmp(got, "HTTP/1.1 431", 12) == 0 ? "431" : got,
                            size < 39000 ? HELLO : "431");
        free(got);
        close(fd);
    }
    turns(f, 3);
    stop(f);
}

static void limits_are_as_documented(void **state) {
    struct wf_server_config c;
    wf_server_config_default(&c);
    assert_int_equal(c.head_bytes_max, 65536);
    assert_int_equal(c.target_bytes_max, 16384);
    assert_int_equal(c.fields_max, 100);
    assert_int_equal(c.body_bytes_max, 10485760);
    assert_int_equal(c.head_timeout_ms, 10000);
    assert_int_equal(c.body_rate_min, 240);
    assert_int_equal(c.body_grace_ms, 10000);
    assert_int_equal(c.idle_timeout_ms, 75000);
    assert_int_equal(c.write_timeout_ms, 60000);
    assert_int_equal(c.handler_timeout_ms, 0);
    assert_int_equal(c.connections_max, 65536);
    assert_int_equal(c.requests_per_connection_max, 0);

    c = quiet();
    c.head_bytes_max = 300;
    c.target_bytes_max = 20;
    c.fields_max = 2;
    static const struct row rows[] = {
        {"GET /hello?4567890123456 HTTP/1.1\nHost: a\nx: y\n\n", HELLO},
        {"GET /hello?45678901234567 HTTP/1.1\nHost: a\n\n",
         REFUSED("414 URI Too Long", "43", "the request target is too long")},
        {"GET /hello HTTP/1.1\nHost: a\nx: y\nx: z\n\n",
         REFUSED("431 Request Header Fields Too Large", "33", "too many field lines")},
    };
    struct fixture *f = start(&c);
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        int fd = dial(f);
        say(f, fd, rows[i].say);
        struct heard h = hear(f, fd);
        char *got = legible(&h);
        assert_memory_equal(got, rows[i].expect, strlen(got));
        free(got);
        close(fd);
    }
    turns(f, 3);
    stop(f);
}

static void pipelined_requests_are_answered_in_order(void **state) {
    struct fixture *f = start(NULL);
    int fd = dial(f);
    char in[40000] = "";
    struct wf_buf out;
    wf_buf_init(&out, 1 << 20);
    for (int i = 0; i < 500; i++) { /* more than one buffer of them */
        sprintf(in + strlen(in), "GET /items/%d HTTP/1.1\nHost: a\n%s\n", i,
                i % 7 == 0 ? "X-Filler: 0123456789012345678901234567890\n" : "");
        char reply[128], body[16];
        int n = sprintf(body, "%d", i);
        n = sprintf(reply, "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: %d\n\n%s", n,
                    body);
        assert_int_equal(wf_buf_append(&out, reply, (size_t)n), 0);
    }
    assert_int_equal(wf_buf_append_byte(&out, '\0'), 0);
    say(f, fd, in);
    expect(f, fd, "pipelined", out.p);
    assert_int_equal(f->nrequests, 500);
    wf_buf_free(&out);
    close(fd);
    stop(f);
}

static void a_flush_leaves_nothing_behind(void **state) {
    struct fixture *f = start(NULL);
    int fd = dial(f);
    turns(f, 2);
    struct wf_conn *c = only_conn(f);
    char in[20000] = "";
    for (int i = 0; i < 580; i++) { /* one buffer of requests whose replies pass high water */
        strcat(in, "GET /x HTTP/1.1\nHost: a\n\n");
    }
    say(f, fd, in);
    wf_loop_poll(&f->loop, 100000000);
    assert_int_equal(c->state, WF_CONN_REPLIED);
    assert_true(wf_stream_pending(&c->stream) >= WF_STREAM_HIGH_WATER);
    wf_server_flush(f->server);
    assert_true(wf_list_empty(&f->server->flush));
    assert_int_equal(c->state, WF_CONN_HEAD);
    assert_int_equal(wf_server_counters(f->server)->replies_4xx, 580);
    struct heard h = hear(f, fd);
    assert_int_equal(h.bytes.len, wf_server_counters(f->server)->bytes_out);
    wf_buf_free(&h.bytes);
    close(fd);
    stop(f);
}

static void connections_take_turns(void **state) {
    struct fixture *f = start(NULL);
    int a = dial(f), b = dial(f);
    turns(f, 2);
    say(f, a, "GET /hello HTTP/1.1\nHost: a\n\nGET /hello HTTP/1.1\nHost: a\n\n");
    say(f, b, "GET /items/1 HTTP/1.1\nHost: a\n\nGET /items/2 HTTP/1.1\nHost: a\n\n");
    turns(f, 2);
    assert_true(strcmp(f->seen, "hihi") == 0 || strcmp(f->seen, "ihih") == 0);
    close(a);
    close(b);
    stop(f);
}

static void parked_exchanges_do_not_hold_others_up(void **state) {
    struct fixture *f = start(NULL);
    int a = dial(f), b = dial(f);
    say(f, a, "GET /park HTTP/1.1\nHost: a\n\nGET /hello HTTP/1.1\nHost: a\n\n");
    say(f, b, "GET /hello HTTP/1.1\nHost: a\n\n");
    expect(f, b, "the other", HELLO);
    expect(f, a, "parked", "");
    assert_int_equal(f->nparked, 1);
    assert_int_equal(wf_server_running_exchanges(f->server), 1);
    wf_reply_send(f->parked[0], &text, WF_SPAN("late"));
    wf_exchange_finish(f->parked[0]);
    f->nparked = 0;
    expect(f, a, "late",
           "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 4\n\nlate" HELLO);
    close(a);
    close(b);
    stop(f);
}

/* Whoever waits for events after a flush would wait for nothing. */
static void a_flush_with_exchanges_ready_ends_the_wait(void **state) {
    struct fixture *f = start(NULL);
    int fd = dial(f);
    say(f, fd, "GET /park HTTP/1.1\nHost: a\n\nGET /hello HTTP/1.1\nHost: a\n\n");
    turns(f, 3);
    wf_reply_send(f->parked[0], &text, WF_SPAN("hello"));
    wf_exchange_finish(f->parked[0]); /* as a timer's callback would, after the round */
    f->nparked = 0;
    uint64_t before = wf_clock_mono_ns();
    turn(f, 10000);
    assert_int_equal(f->nrequests, 2);
    assert_true(wf_clock_mono_ns() - before < 5 * WF_NS_PER_S);
    expect(f, fd, "both", HELLO HELLO);
    close(fd);
    stop(f);
}

static void large_bodies_pass_whole(void **state) {
    static const size_t sizes[] = {15000, 16384, 16400, 70000, 1 << 20, 5 << 20};
    struct fixture *f = start(NULL);
    int fd = dial(f);
    char *body = malloc(5 << 20);
    for (size_t i = 0; i < 5 << 20; i++) {
        body[i] = (char)('a' + i % 23);
    }
    for (size_t i = 0; i < WF_ARRAY_LEN(sizes) * 2; i++) {
        size_t n = sizes[i / 2];
        char head[200];
        bool chunked = i % 2 != 0;
        if (chunked) { /* one chunk, so that the same bytes can be sent */
            sprintf(head,
                    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
                    n);
        } else {
            sprintf(head, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", n);
        }
        say_bytes(f, fd, head, strlen(head));
        say_bytes(f, fd, body, n);
        if (chunked) {
            say(f, fd, "\n0\n\n");
        }
        struct heard h = hear_at_least(f, fd, n);
        assert_true(h.bytes.len > n);
        assert_memory_equal(h.bytes.p + h.bytes.len - n, body, n);
        wf_buf_free(&h.bytes);

        sprintf(head, "POST /drink HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", n);
        say_bytes(f, fd, head, strlen(head));
        say_bytes(f, fd, body, n);
        h = hear_at_least(f, fd, 80);
        sprintf(head, "%zu end", n);
        assert_true(h.bytes.len > strlen(head));
        assert_memory_equal(h.bytes.p + h.bytes.len - strlen(head), head, strlen(head));
        wf_buf_free(&h.bytes);
    }
    free(body);
    close(fd);
    stop(f);
}

/* So that the kernel takes little of what nobody reads. */
static struct wf_conn *small_buffers(struct fixture *f, int fd) {
    int small = 32768;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    turns(f, 2);
    struct wf_conn *c = only_conn(f);
    setsockopt(c->stream.watch.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    return c;
}

static void an_idle_connection_holds_no_buffer(void **state) {
    struct fixture *f = start(NULL);
    int fd = dial(f);
    say(f, fd, "GET /hello HTTP/1.1\nHost: a\n\n");
    expect(f, fd, "first", HELLO);
    struct wf_conn *c = only_conn(f);
    assert_null(c->in);
    assert_null(c->ex);
    assert_null(c->stream.out.p);
    assert_true(sizeof(struct wf_conn) < 700);
    close(fd);
    stop(f);
}

static void a_claimed_length_takes_no_memory(void **state) {
    struct fixture *f = start(NULL);
    int fd = dial(f);
    say(f, fd, "POST /echo HTTP/1.1\nHost: a\nContent-Length: 10000000\n\nabc");
    turns(f, 3);
    assert_int_equal(only_conn(f)->in_cap, WF_STREAM_BUF_BYTES);
    close(fd);
    turns(f, 2);
    assert_int_equal(wf_server_counters(f->server)->clients_gone, 1);
    stop(f);
}

static void a_client_that_never_reads_costs_its_own_buffer(void **state) {
    struct fixture *f = start(NULL);
    int fd = dial(f), other = dial(f);
    struct wf_conn *c = small_buffers(f, fd);
    for (int i = 0; i < 60; i++) {
        say(f, fd, "GET /mid HTTP/1.1\nHost: a\n\n");
    }
    turns(f, 20);
    assert_true(f->nrequests < 20);
    assert_true(wf_stream_pending(&c->stream) < WF_STREAM_HIGH_WATER + 25000);
    say(f, other, "GET /hello HTTP/1.1\nHost: a\n\n");
    expect(f, other, "the other", HELLO);
    struct heard h = hear_at_least(f, fd, 60 * 20000); /* now it reads */
    assert_int_equal(f->nrequests, 61);
    assert_true(h.bytes.len > 60 * 20000);
    wf_buf_free(&h.bytes);
    close(fd);
    close(other);
    stop(f);
}

static void streamed_replies_wait_for_the_reader(void **state) {
    struct fixture *f = start(NULL);
    int fd = dial(f);
    say(f, fd, "GET /flood HTTP/1.1\nHost: a\n\nGET /hello HTTP/1.1\nHost: a\n\n");
    turns(f, 20);
    struct heard h = hear(f, fd);
    assert_true(f->ndrained > 0);
    assert_true(h.bytes.len > FLOOD_BYTES);
    assert_memory_equal(h.bytes.p + h.bytes.len - 5, "hello", 5);
    wf_buf_free(&h.bytes);
    close(fd);
    stop(f);
}

static void borrowed_bodies_are_released_once(void **state) {
    struct fixture *f = start(NULL);
    int fd = dial(f);
    big_released = 0;
    say(f, fd, "GET /big HTTP/1.1\nHost: a\n\nGET /hello HTTP/1.1\nHost: a\n\n");
    struct heard h = hear(f, fd);
    assert_int_equal(big_released, 1);
    assert_true(h.bytes.len > BIG_BYTES);
    assert_memory_equal(h.bytes.p + h.bytes.len - 5, "hello", 5);
    wf_buf_free(&h.bytes);
    say(f, fd, "HEAD /big HTTP/1.1\nHost: a\n\n");
    expect(f, fd, "head", "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 1048576\n\n");
    assert_int_equal(big_released, 2);
    say(f, fd, "GET /big HTTP/1.1\nHost: a\n\n");
    turns(f, 2);
    hang_up(fd, true);
    turns(f, 3);
    assert_int_equal(big_released, 3);
    stop(f);
}

static void a_client_may_leave_at_any_moment(void **state) {
    static const char *const stages[] = {"",
                                         "GET /he",
                                         "POST /echo HTTP/1.1\nHost: a\nContent-Length: 9\n\nabc",
                                         "POST /drink HTTP/1.1\nHost: a\nContent-Length: 9\n\nabc",
                                         "GET /flood HTTP/1.1\nHost: a\n\n",
                                         "GET /hello HTTP/1.1\nHost: a\n\n",
                                         "GET /park HTTP/1.1\nHost: a\n\n"};
    struct fixture *f = start(NULL);
    for (size_t i = 0; i < WF_ARRAY_LEN(stages) * 2; i++) {
        int fd = dial(f);
        say(f, fd, stages[i / 2]);
        turns(f, 3);
        hang_up(fd, i % 2 != 0);
        turns(f, 4);
        assert_int_equal(wf_server_open_connections(f->server), 0);
        assert_int_equal(wf_server_running_exchanges(f->server), 0);
    }
    assert_int_equal(f->ngone, 4); /* flood and park, twice */
    int fd = dial(f);
    say(f, fd, "GET /hello HTTP/1.1\nHost: a\n\n");
    expect(f, fd, "the next one", HELLO);
    close(fd);
    stop(f);
}

/* The handler has the whole buffer and there is no room to read on: the end is seen all the same.
 */
static void leaving_is_noticed_behind_a_full_buffer(void **state) {
    static const size_t sizes[] = {100, WF_STREAM_BUF_BYTES, 70000};
    struct fixture *f = start(NULL);
    char *request = malloc(70000);
    for (size_t i = 0; i < WF_ARRAY_LEN(sizes); i++) {
        memset(request, 'x', sizes[i]);
        int n = 0;
        size_t body = sizes[i];
        for (int k = 0; k < 2; k++) { /* twice, for the digits of the length */
            n = sprintf(request, "POST /keep HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                        body);
            request[n] = 'x';
            body = sizes[i] - (size_t)n;
        }
        int fd = dial(f);
        say_bytes(f, fd, request, sizes[i]);
        turns(f, 10);
        assert_int_equal(f->nparked, 1);
        hang_up(fd, false);
        turns(f, 4);
        assert_int_equal(f->nparked, 0);
        assert_int_equal(f->ngone, i + 1);
    }
    free(request);
    stop(f);
}

/* The end is seen before the embedder has seen the request: whoever then waits for something is
 * told after all. */
static void leaving_before_the_handler_begins_is_noticed(void **state) {
    struct fixture *f = start(NULL);
    int fd = dial(f);
    turns(f, 2);
    say(f, fd, "GET /park HTTP/1.1\nHost: a\n\n");
    wf_loop_poll(&f->loop, 100 * (int64_t)WF_NS_PER_MS);
    assert_true(wf_server_has_ready(f->server));
    shutdown(fd, SHUT_WR);
    wf_loop_poll(&f->loop, 100 * (int64_t)WF_NS_PER_MS);
    turns(f, 3);
    assert_int_equal(f->nrequests, 1);
    assert_int_equal(f->ngone, 1);
    close(fd);

    /* A body cut short at the end of the buffer: the end comes with its last bytes. */
    fd = dial(f);
    static char request[WF_STREAM_BUF_BYTES];
    int n = sprintf(request, "POST /drink HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n");
    memset(request + n, 'x', sizeof(request) - (size_t)n);
    assert_int_equal(send(fd, request, sizeof(request), 0), sizeof(request));
    shutdown(fd, SHUT_WR);
    turns(f, 6);
    assert_int_equal(wf_server_running_exchanges(f->server), 0);
    assert_int_equal(wf_server_open_connections(f->server), 0);
    close(fd);
    stop(f);
}

/* More than fits waits behind the request: it is neither lost nor asked about again and again. */
static void a_full_buffer_does_not_keep_the_loop_busy(void **state) {
    struct fixture *f = start(NULL);
    int fd = dial(f);
    static char filler[40000];
    say(f, fd, "GET /park HTTP/1.1\nHost: a\n\n");
    memset(filler, 'y', sizeof(filler));
    int n = sprintf(filler, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 39000\r\n\r\n");
    say_bytes(f, fd, filler, (size_t)n + 39000);
    turns(f, 10);
    assert_int_equal(f->nparked, 1);
    uint64_t before = wf_clock_mono_ns();
    turn(f, 60);
    assert_true(wf_clock_mono_ns() - before > 40 * WF_NS_PER_MS);
    wf_reply_send(f->parked[0], &text, WF_SPAN("hello"));
    wf_exchange_finish(f->parked[0]);
    f->nparked = 0;
    struct heard h = hear_at_least(f, fd, 39000);
    assert_true(h.bytes.len > 39000);
    wf_buf_free(&h.bytes);
    close(fd);
    stop(f);
}

static void a_half_closed_client_gets_what_can_be_had_at_once(void **state) {
    struct fixture *f = start(NULL);
    int fd = dial(f);
    say(f, fd, "GET /hello HTTP/1.1\nHost: a\n\nGET /hello HTTP/1.1\nHost: a\n\n");
    shutdown(fd, SHUT_WR);
    expect(f, fd, "two", HELLO HELLO "<eof>");
    close(fd);
    fd = dial(f);
    say(f, fd, "GET /park HTTP/1.1\nHost: a\n\n");
    turns(f, 2);
    shutdown(fd, SHUT_WR);
    expect(f, fd, "waiting for something", "<eof>");
    assert_int_equal(f->ngone, 1);
    close(fd);
    stop(f);
}

static void sleep_ms(struct fixture *f, int ms) {
    uint64_t until = wf_clock_mono_ns() + (uint64_t)ms * 1000000;
    while (wf_clock_mono_ns() < until) {
        turn(f, 5);
    }
}

static void slow_clients_are_timed_out(void **state) {
    struct wf_server_config config = quiet();
    config.head_timeout_ms = config.idle_timeout_ms = config.body_grace_ms = 40;
    config.write_timeout_ms = config.handler_timeout_ms = 40;
    struct fixture *f = start(&config);
    static const struct row rows[] = {
        {"", "<eof>"},
        {"GET /hello HTTP/1.1\nHost: a\n\n", HELLO "<eof>"},
        {"GET /hel", REFUSED("408 Request Timeout", "48", "the request head arrives too slowly")},
        {"POST /echo HTTP/1.1\nHost: a\nContent-Length: 99\n\nabc",
         REFUSED("408 Request Timeout", "48", "the request body arrives too slowly")},
        {"POST /drink HTTP/1.1\nHost: a\nContent-Length: 99\n\nabc",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 8\nconnection: close\n\n"
         "3 broken<eof>"},
        {"GET /park HTTP/1.1\nHost: a\n\n",
         REFUSED("504 Gateway Timeout", "28", "Gateway Timeout")},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        int fd = dial(f);
        say(f, fd, rows[i].say);
        sleep_ms(f, 150);
        shutdown(fd, SHUT_WR);
        expect(f, fd, rows[i].say, rows[i].expect);
        close(fd);
        turns(f, 2);
    }
    assert_int_equal(f->ngone, 1);
    assert_int_equal(wf_server_counters(f->server)->timeouts, 4);
    assert_int_equal(wf_server_counters(f->server)->replies_5xx, 1);

    /* Who waits for a 100 that a handler has not asked for is not slow. */
    int patient = dial(f);
    say(f, patient, "POST /hold HTTP/1.1\nHost: a\nContent-Length: 3\nExpect: 100-continue\n\n");
    turns(f, 3);
    assert_int_equal(f->nparked, 1);
    sleep_ms(f, 100);
    assert_int_equal(only_conn(f)->body, WF_BODY_ARRIVING);
    close(patient);
    turns(f, 3);

    /* A byte now and then does not help a head, and helps a body only if there are enough of them.
     */
    int head = dial(f), slow = dial(f), fast = dial(f);
    say(f, head, "GET /hello HTTP/1.1\n");
    say(f, slow, "POST /echo HTTP/1.1\nHost: a\nContent-Length: 300\n\n");
    say(f, fast, "POST /echo HTTP/1.1\nHost: a\nContent-Length: 300\n\n");
    for (int i = 0; i < 15; i++) {
        say(f, head, "x");
        say(f, slow, "x");
        say(f, fast, "01234567890123456789");
        sleep_ms(f, 10);
    }
    struct heard h = hear(f, fast);
    assert_true(h.bytes.len > 300);
    wf_buf_free(&h.bytes);
    for (int i = 0; i < 2; i++) {
        h = hear(f, i == 0 ? head : slow);
        assert_true(h.bytes.len > 12 && memcmp(h.bytes.p, "HTTP/1.1 408", 12) == 0);
        wf_buf_free(&h.bytes);
    }
    close(head);
    close(slow);
    close(fast);
    stop(f);
}

static void timeouts_can_be_as_long_as_anyone_likes(void **state) {
    static const uint64_t long_ms[] = {UINT64_MAX, UINT64_MAX / WF_NS_PER_MS + 2};
    for (size_t i = 0; i < WF_ARRAY_LEN(long_ms); i++) {
        struct wf_server_config config = quiet();
        config.head_timeout_ms = 40; /* for frequent ticks */
        config.idle_timeout_ms = config.body_grace_ms = long_ms[i];
        config.write_timeout_ms = config.handler_timeout_ms = long_ms[i];
        struct fixture *f = start(&config);
        int idle = dial(f), body = dial(f), waiting = dial(f);
        say(f, body, "POST /echo HTTP/1.1\nHost: a\nContent-Length: 3\n\n");
        say(f, waiting, "GET /park HTTP/1.1\nHost: a\n\n");
        sleep_ms(f, 60);
        assert_int_equal(wf_server_open_connections(f->server), 3);
        assert_int_equal(wf_server_counters(f->server)->timeouts, 0);
        close(idle);
        close(body);
        close(waiting);
        turns(f, 3);
        stop(f);
    }
}

/* While the embedder did not turn the loop, clients have sent what they owed: more of them than one
 * turn looks at. */
static void a_late_turn_is_nobodys_slowness(void **state) {
    enum { CLIENTS = 400 };
    struct wf_server_config config = quiet();
    config.body_grace_ms = 300;
    struct fixture *f = start(&config);
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = dial(f);
        turn(f, 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        say(f, fds[i], "POST /echo HTTP/1.1\nHost: a\nContent-Length: 1000\n\n");
    }
    turns(f, 4);
    poll(NULL, 0, 500);
    static char bytes[1000];
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(send(fds[i], bytes, sizeof(bytes), 0), sizeof(bytes));
    }
    turns(f, 20);
    assert_int_equal(wf_server_counters(f->server)->timeouts, 0);
    assert_int_equal(wf_server_counters(f->server)->replies_2xx, CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
    turns(f, 20);
    stop(f);
}

static void a_peer_that_takes_nothing_is_closed(void **state) {
    struct wf_server_config config = quiet();
    config.write_timeout_ms = 40;
    struct fixture *f = start(&config);
    int fd = dial(f);
    small_buffers(f, fd);
    say(f, fd, "GET /flood HTTP/1.1\nHost: a\n\n");
    sleep_ms(f, 200);
    assert_int_equal(wf_server_open_connections(f->server), 0);
    assert_int_equal(f->ngone, 1);
    close(fd);
    stop(f);
}

static void connections_past_the_maximum_are_told_so(void **state) {
    struct wf_server_config config = quiet();
    config.connections_max = 2;
    struct fixture *f = start(&config);
    int a = dial(f), b = dial(f), c = dial(f);
    say(f, c, "GET /hello HTTP/1.1\nHost: a\n\n");
    struct heard h = hear(f, c);
    assert_true(h.bytes.len > 12 && memcmp(h.bytes.p, "HTTP/1.1 503", 12) == 0);
    wf_buf_free(&h.bytes);
    close(c);
    say(f, a, "GET /hello HTTP/1.1\nHost: a\n\n");
    expect(f, a, "a", HELLO);
    close(a);
    turns(f, 3);
    c = dial(f);
    say(f, c, "GET /hello HTTP/1.1\nHost: a\n\n");
    expect(f, c, "room again", HELLO);
    close(b);
    close(c);
    stop(f);
}

static void a_connection_can_be_limited_to_some_requests(void **state) {
    struct wf_server_config config = quiet();
    config.requests_per_connection_max = 2;
    struct fixture *f = start(&config);
    int fd = dial(f);
    for (int i = 0; i < 3; i++) {
        say(f, fd, "GET /hello HTTP/1.1\nHost: a\n\n");
    }
    shutdown(fd, SHUT_WR);
    expect(f, fd, "two of three", HELLO HELLO_CLOSE);
    close(fd);
    stop(f);
}

static void drains(void **state) {
    struct fixture *f = start(NULL);
    int idle = dial(f), busy = dial(f), begun = dial(f);
    say(f, busy, "GET /park HTTP/1.1\nHost: a\n\n");
    say(f, begun, "GET /hello HT");
    turns(f, 3);
    wf_server_drain(f->server);
    expect(f, idle, "idle", "<eof>");
    assert_int_equal(wf_server_open_connections(f->server), 2);
    say(f, begun, "TP/1.1\nHost: a\n\n");
    shutdown(begun, SHUT_WR);
    expect(f, begun, "begun", HELLO_CLOSE);
    shutdown(busy, 0x7f); /* not a shutdown at all: the connection stays as it is */
    wf_reply_send(f->parked[0], &text, WF_SPAN("hello"));
    wf_exchange_finish(f->parked[0]);
    f->nparked = 0;
    expect(f, busy, "busy", HELLO_CLOSE);
    close(busy);
    turns(f, 3);
    assert_int_equal(wf_server_open_connections(f->server), 0);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    const struct wf_addr *a = wf_server_address(f->server, 0);
    assert_int_not_equal(connect(late, &a->sa, a->len), 0);
    close(late);
    close(idle);
    close(begun);
    stop(f);
}

/* What a client sent before the drain is answered, even if nobody has looked at it yet. */
static void a_drain_loses_no_request_that_has_arrived(void **state) {
    struct fixture *f = start(NULL);
    int open = dial(f);
    turns(f, 3);
    say(f, open, "GET /hello HTTP/1.1\nHost: a\n\n");
    int waiting[3];
    for (int i = 0; i < 3; i++) { /* in the backlog */
        waiting[i] = dial(f);
        say(f, waiting[i], "GET /hello HTTP/1.1\nHost: a\n\n");
    }
    wf_server_drain(f->server);
    turns(f, 3);
    shutdown(open, SHUT_WR);
    expect(f, open, "open", HELLO_CLOSE);
    close(open);
    for (int i = 0; i < 3; i++) {
        shutdown(waiting[i], SHUT_WR);
        expect(f, waiting[i], "in the backlog", HELLO_CLOSE);
        close(waiting[i]);
    }
    turns(f, 3);
    assert_int_equal(wf_server_open_connections(f->server), 0);
    stop(f);
}

static void an_abort_is_told_to_running_exchanges(void **state) {
    struct fixture *f = start(NULL);
    int a = dial(f), b = dial(f);
    say(f, a, "GET /park HTTP/1.1\nHost: a\n\n");
    turns(f, 3);
    struct wf_exchange *ex = f->parked[0];
    struct wf_span path = ex->path;
    wf_server_abort(f->server);
    assert_true(wf_exchange_gone(ex));
    assert_memory_equal(path.p, "/park", 5); /* still good */
    assert_int_equal(wf_exchange_peer(ex)->sa.sa_family, AF_INET);
    turns(f, 1);
    assert_int_equal(f->ngone, 1);
    close(a);
    close(b);
    stop(f);
}

static void serves_unix_sockets_and_sockets_made_by_others(void **state) {
    struct fixture *f = start(NULL);
    char path[] = "/tmp/weft-test-XXXXXX";
    assert_non_null(mkdtemp(path));
    char name[64];
    sprintf(name, "%s/socket", path);
    struct wf_addr addr;
    assert_int_equal(wf_addr_unix(&addr, name), 0);
    assert_int_equal(wf_server_listen(f->server, &addr, 0), 0);
    int given = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct wf_addr any;
    assert_int_equal(wf_addr_ip(&any, "127.0.0.1", 0), 0);
    assert_int_equal(bind(given, &any.sa, any.len), 0);
    assert_int_equal(listen(given, 8), 0);
    assert_int_equal(wf_server_listen_fd(f->server, given), 0);
    assert_null(wf_server_address(f->server, 3));
    for (unsigned i = 0; i < 3; i++) {
        const struct wf_addr *a = wf_server_address(f->server, i);
        int fd = socket(a->sa.sa_family, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, &a->sa, a->len), 0);
        say(f, fd, "GET /park HTTP/1.1\nHost: a\n\n");
        turns(f, 3);
        struct wf_exchange *ex = f->parked[0];
        assert_int_equal(wf_exchange_peer(ex)->sa.sa_family, a->sa.sa_family);
        assert_int_equal(wf_exchange_local(ex)->sa.sa_family, a->sa.sa_family);
        if (a->sa.sa_family == AF_INET) {
            assert_int_equal(wf_exchange_local(ex)->in.sin_port, a->in.sin_port);
        }
        hang_up(fd, false);
        turns(f, 3);
    }
    assert_int_equal(f->ngone, 3);
    stop(f);
    assert_int_equal(rmdir(path), 0); /* the socket file is gone too */
}

static void unrouted_requests_can_go_to_the_embedder(void **state) {
    struct wf_server_config config = quiet();
    config.unrouted_to_embedder = true;
    config.redirect_slashes = false;
    static const struct row rows[] = {
        {"GET /nothing HTTP/1.1\nHost: a\n\n", ERROR("404 Not Found", "17", "mine")},
        {"POST /hello HTTP/1.1\nHost: a\nContent-Length: 2\n\nab",
         ERROR("405 Method Not Allowed", "17", "mine")},
        {"GET /slash HTTP/1.1\nHost: a\n\n", ERROR("404 Not Found", "17", "mine")},
    };
    check_rows(rows, WF_ARRAY_LEN(rows), &config);
}

static void the_redirect_repeats_no_host_that_is_not_one(void **state) {
    static const char *const hosts[] = {"",    "a/b",       "a b",      "\"",   "a\\b",
                                        "a?b", "evil@good", "<script>", "[::1", "a,b:x"};
    struct fixture *f = start(NULL);
    for (size_t i = 0; i < WF_ARRAY_LEN(hosts); i++) {
        int fd = dial(f);
        char request[128];
        sprintf(request, "GET /slash HTTP/1.1\nHost: %s\n\n", hosts[i]);
        say(f, fd, request);
        struct heard h = hear(f, fd);
        char *got = legible(&h);
        if (strncmp(got, "HTTP/1.1 400", 12) != 0 &&
            strstr(got, "location: http://127.0.0.1:") == NULL) {
            fail_msg("%s", got);
        }
        free(got);
        close(fd);
    }
    stop(f);
}

static void writes_an_access_log(void **state) {
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    struct wf_server_config config = quiet();
    config.access_log_fd = pipe_fds[1];
    struct fixture *f = start(&config);
    int fd = dial(f);
    say(f, fd, "GET /hello?a=\" HTTP/1.1\nHost: a\n\nGET /nothing HTTP/1.0\n\n");
    struct heard h = hear(f, fd);
    wf_buf_free(&h.bytes);
    close(fd);
    turns(f, 2);
    char lines[512] = "";
    ssize_t n = read(pipe_fds[0], lines, sizeof(lines) - 1);
    assert_true(n > 0);
    assert_memory_equal(lines, "127.0.0.1:", 10);
    char *first = strchr(lines, ' ');
    if (strstr(first, " - \"GET /hello?a=\\x22 HTTP/1.1\" 200\n") == NULL &&
        strstr(first, " - \"- - HTTP/1.1\" 400\n") == NULL) { /* if the parser refuses a quote */
        fail_msg("%s", lines);
    }

    /* Nobody reads: lines are dropped, nothing blocks, and the loss is told. */
    for (int round = 0; round < 40; round++) {
        fd = dial(f);
        for (int i = 0; i < 200; i++) {
            say(f, fd, "GET /hello?0123456789012345678901234567890123456789 HTTP/1.1\nHost: a\n\n");
        }
        h = hear(f, fd);
        wf_buf_free(&h.bytes);
        close(fd);
    }
    assert_true(f->server->log.lost > 0);
    char sink[65536];
    bool told = false;
    fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 200 && !told; i++) {
        n = read(pipe_fds[0], sink, sizeof(sink));
        told = n > 0 && memmem(sink, (size_t)n, "lines were lost", 15) != NULL;
        fd = dial(f);
        say(f, fd, "GET /hello HTTP/1.1\nHost: a\n\n");
        h = hear(f, fd);
        wf_buf_free(&h.bytes);
        close(fd);
    }
    assert_true(told);
    stop(f);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void counts(void **state) {
    struct fixture *f = start(NULL);
    int fd = dial(f);
    say(f, fd,
        "GET /hello HTTP/1.1\nHost: a\n\nGET /x HTTP/1.1\nHost: a\n\n"
        "GET /slash HTTP/1.1\nHost: a\n\nGET /crash HTTP/1.1\nHost: a\n\n");
    struct heard h = hear(f, fd);
    const struct wf_server_counters *c = wf_server_counters(f->server);
    assert_int_equal(c->requests, 4);
    assert_int_equal(c->replies_2xx, 1);
    assert_int_equal(c->replies_3xx, 1);
    assert_int_equal(c->replies_4xx, 1);
    assert_int_equal(c->replies_5xx, 1);
    assert_int_equal(c->connections_open, 1);
    assert_int_equal(c->bytes_out, h.bytes.len);
    wf_buf_free(&h.bytes);
    close(fd);
    stop(f);
}

/* Any prefix of requests, cut anywhere, with any bytes behind: one connection may end, the server
 * not. */
static void garbage_harms_nobody_else(void **state) {
    static const char *const seeds[] = {
        "GET /hello HTTP/1.1\nHost: a\n\n",
        "POST /echo HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n",
        "POST /drink HTTP/1.1\nHost: a\nContent-Length: 20\n\n01234567890123456789",
        "HEAD /chunks HTTP/1.0\n\n",
        "GET /park HTTP/1.1\nHost: a\n\n",
        "POST /small HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\nfff\n"};
    struct fixture *f = start(NULL);
    srand(11);
    for (int round = 0; round < 400; round++) {
        int fd = dial(f);
        for (int part = rand() % 4; part >= 0; part--) {
            struct wf_buf b = expand(seeds[(size_t)rand() % WF_ARRAY_LEN(seeds)]);
            for (int k = rand() % 3; k > 0; k--) {
                b.p[(size_t)rand() % b.len] = (char)rand();
            }
            say_bytes(f, fd, b.p, rand() % 2 ? b.len : (size_t)rand() % b.len);
            wf_buf_free(&b);
            turn(f, 0);
        }
        turns(f, 2);
        hang_up(fd, rand() % 2 == 0);
    }
    turns(f, 10);
    assert_int_equal(wf_server_open_connections(f->server), 0);
    int fd = dial(f);
    say(f, fd, "GET /hello HTTP/1.1\nHost: a\n\n");
    expect(f, fd, "still there", HELLO);
    close(fd);
    stop(f);
}

/* The same scene with the 1st, 2nd, ... allocation failing from some moment on. */
static void without_memory_only_that_connection_suffers(void **state) {
    static char scene[40000];
    size_t n = (size_t)sprintf(
        scene, "GET /items/%%41 HTTP/1.1\r\nHost: a\r\n\r\nGET /chunks HTTP/1.1\r\nHost: a\r\n\r\n"
               "GET /slash HTTP/1.1\r\nHost: a\r\n\r\nGET /big HTTP/1.1\r\nHost: a\r\n\r\n"
               "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n");
    memset(scene + n, 'x', 30000);
    n += 30000;
    bool failed = true;
    for (unsigned long nth = 1; failed; nth++) {
        struct wf_server_config config = quiet();
        struct fixture *f = start(&config);
        int fd = dial(f);
        unsigned before = big_released;
        wf_alloc_fail_from(nth);
        say_bytes(f, fd, scene, n);
        failed = false;
        size_t heard = 0;
        for (int i = 0; i < 300 && !failed && heard < BIG_BYTES + 30000; i++) {
            turn(f, 1);
            char p[65536];
            ssize_t got;
            while ((got = recv(fd, p, sizeof(p), 0)) > 0) {
                heard += (size_t)got;
                failed = failed || memmem(p, (size_t)got, "HTTP/1.1 500", 12) != NULL;
            }
            if (got == 0 || errno != EAGAIN) {
                failed = true;
                break;
            }
        }
        wf_alloc_fail_from(0);
        if (!failed && heard < BIG_BYTES + 30000) {
            fail_msg("allocation %lu: no end, no 500 and not all, but %zu bytes", nth, heard);
        }
        assert_true(big_released - before <= 1);
        close(fd);
        turns(f, 3);
        fd = dial(f);
        say(f, fd, "GET /hello HTTP/1.1\nHost: a\n\n");
        expect(f, fd, "afterwards", HELLO);
        close(fd);
        turns(f, 2);
        stop(f);
        assert_true(nth < 200);
    }
}

static void a_server_is_made_whole_or_not_at_all(void **state) {
    struct wf_server_config config = quiet();
    bool made = false;
    for (unsigned long nth = 1; !made; nth++) {
        static struct fixture broken, *f = &broken;
        wf_alloc_fail_from(nth);
        made = try_start(f, &config);
        wf_alloc_fail_from(0);
        if (made) {
            stop(f);
        }
    }
}

/* test_serve [source dir [name of a test, * and ? allowed]] */
int main(int argc, char **argv) {
    if (argc > 2) {
        cmocka_set_test_filter(argv[2]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_requests),
        cmocka_unit_test(frames_replies),
        cmocka_unit_test(an_application_cannot_break_the_framing),
        cmocka_unit_test(takes_bodies),
        cmocka_unit_test(refuses_bodies_that_are_too_large),
        cmocka_unit_test(a_limit_can_be_no_limit),
        cmocka_unit_test(expects_continue),
        cmocka_unit_test(refuses_what_is_not_http),
        cmocka_unit_test(heads_of_any_allowed_size_pass_and_larger_ones_do_not),
        cmocka_unit_test(limits_are_as_documented),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_flush_leaves_nothing_behind),
        cmocka_unit_test(connections_take_turns),
        cmocka_unit_test(parked_exchanges_do_not_hold_others_up),
        cmocka_unit_test(a_flush_with_exchanges_ready_ends_the_wait),
        cmocka_unit_test(large_bodies_pass_whole),
        cmocka_unit_test(an_idle_connection_holds_no_buffer),
        cmocka_unit_test(a_claimed_length_takes_no_memory),
        cmocka_unit_test(a_client_that_never_reads_costs_its_own_buffer),
        cmocka_unit_test(streamed_replies_wait_for_the_reader),
        cmocka_unit_test(borrowed_bodies_are_released_once),
        cmocka_unit_test(a_client_may_leave_at_any_moment),
        cmocka_unit_test(leaving_is_noticed_behind_a_full_buffer),
        cmocka_unit_test(leaving_before_the_handler_begins_is_noticed),
        cmocka_unit_test(a_full_buffer_does_not_keep_the_loop_busy),
        cmocka_unit_test(a_half_closed_client_gets_what_can_be_had_at_once),
        cmocka_unit_test(slow_clients_are_timed_out),
        cmocka_unit_test(timeouts_can_be_as_long_as_anyone_likes),
        cmocka_unit_test(a_late_turn_is_nobodys_slowness),
        cmocka_unit_test(a_peer_that_takes_nothing_is_closed),
        cmocka_unit_test(connections_past_the_maximum_are_told_so),
        cmocka_unit_test(a_connection_can_be_limited_to_some_requests),
        cmocka_unit_test(drains),
        cmocka_unit_test(a_drain_loses_no_request_that_has_arrived),
        cmocka_unit_test(an_abort_is_told_to_running_exchanges),
        cmocka_unit_test(serves_unix_sockets_and_sockets_made_by_others),
        cmocka_unit_test(unrouted_requests_can_go_to_the_embedder),
        cmocka_unit_test(the_redirect_repeats_no_host_that_is_not_one),
        cmocka_unit_test(writes_an_access_log),
        cmocka_unit_test(counts),
        cmocka_unit_test(garbage_harms_nobody_else),
        cmocka_unit_test(without_memory_only_that_connection_suffers),
        cmocka_unit_test(a_server_is_made_whole_or_not_at_all),
    };
    int failed = 0;
    for (int i = 0; wf_pollers[i] != NULL; i++) {
        poller = wf_pollers[i];
        failed += cmocka_run_group_tests_name(wf_poller_name(poller), tests, NULL, NULL);
    }
    return failed;
}
