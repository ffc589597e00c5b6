#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/test_fixture.h"

/* ---- a server with a few routes ---- */

enum { GET = 1u << WF_METHOD_GET, POST = 1u << WF_METHOD_POST };
typedef void handler(struct fixture *f, struct wf_exchange *ex, unsigned events);

const struct wf_poller *poller;
const struct wf_reply_head text = {.status = 200, .content_type = {"text/plain", 10}};

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

enum { FLOOD_CHUNK = 10000 };

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
        assert_true(rc < 0 || wf_reply_end(ex) != WF_REPLY_INVALID);
        wf_exchange_finish(ex);
    }
}

unsigned big_released;

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

/* Answers "name=value" for a field and "name=filename:size" for a file, or the form's own error. */
static void form(struct fixture *f, struct wf_exchange *ex, unsigned events) {
    struct wf_buf *b;
    if (ex->form->status != 0) {
        wf_reply_error(ex, ex->form->status, wf_span_str(ex->form->why));
        wf_exchange_finish(ex);
        return;
    }
    assert_int_equal(wf_reply_open(ex, &text, &b), WF_REPLY_OK);
    for (uint32_t i = 0; i < ex->form->nitems; i++) {
        const struct wf_form_item *item = &ex->form->items[i];
        char size[32];
        snprintf(size, sizeof(size), ":%llu", (unsigned long long)item->size);
        const struct wf_span parts[] = {
            item->name, WF_SPAN("="), item->is_file ? item->filename : item->value,
            item->is_file ? wf_span_str(size) : WF_SPAN(""), WF_SPAN(" ")};
        for (size_t k = 0; k < WF_ARRAY_LEN(parts); k++) {
            assert_int_equal(wf_buf_append_span(b, parts[k]), WF_BUF_OK);
        }
    }
    wf_reply_close(ex);
    wf_exchange_finish(ex);
}

static const struct wf_form_config form_config = {
    .files_max = 2, .fields_max = 3, .field_bytes_max = 10, .spool_dir = "/tmp"};

static const struct wf_fixed_reply fixed_reply = {
    {"text/plain", 10}, {"\"tag\"", 5}, {"always the same", 15}};

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
    {"/form", POST, WF_BODY_FORM, UINT64_MAX, form},
    {"/slash/", GET, WF_BODY_IGNORE, UINT64_MAX, hello},
    {"/fixed", GET, WF_BODY_IGNORE, UINT64_MAX, NULL}, /* nothing to run */
};
static struct wf_leaf leaves[WF_ARRAY_LEN(routes)];

struct wf_server_config quiet(void) {
    struct wf_server_config c;
    wf_server_config_default(&c);
    c.server_name = WF_SPAN("");
    return c;
}

struct wf_router_options router_options = {.redirect_slashes = true};

bool try_start(struct fixture *f, const struct wf_server_config *config) {
    struct wf_addr addr;
    const char *error;
    memset(f, 0, sizeof(*f));
    if (wf_loop_init(&f->loop, poller) != 0) {
        return false;
    }
    f->router = wf_router_new();
    bool ok = f->router != NULL;
    if (ok) {
        *wf_router_options(f->router) = router_options;
    }
    for (size_t i = 0; ok && i < WF_ARRAY_LEN(routes); i++) {
        leaves[i] = (struct wf_leaf){.plan = (void *)&routes[i],
                                     .methods = routes[i].methods,
                                     .form = &form_config,
                                     .fixed = routes[i].run == NULL ? &fixed_reply : NULL,
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

struct fixture *start(const struct wf_server_config *config) {
    static struct fixture f;
    struct wf_server_config c = config != NULL ? *config : quiet();
    assert_true(try_start(&f, &c));
    return &f;
}

void turn(struct fixture *f, int wait_ms) {
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

void turns(struct fixture *f, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        turn(f, 1);
    }
}

void stop(struct fixture *f) {
    wf_server_abort(f->server);
    turns(f, 1);
    assert_int_equal(wf_server_running_exchanges(f->server), 0);
    assert_int_equal(wf_server_open_connections(f->server), 0);
    wf_server_free(f->server);
    wf_router_free(f->router);
    wf_loop_close(&f->loop);
}

struct wf_conn *only_conn(struct fixture *f) {
    assert_false(wf_list_empty(&f->server->conns));
    return wf_container_of(f->server->conns.next, struct wf_conn, node);
}

/* ---- clients ---- */

int dial(struct fixture *f) {
    const struct wf_addr *a = wf_server_address(f->server, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, &a->sa, a->len), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* for the byte by byte */
    return fd;
}

void hang_up(int fd, bool reset) {
    struct linger l = {1, 0};
    if (reset) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
    }
    close(fd);
}

struct wf_buf expand(const char *s) {
    struct wf_buf b;
    wf_buf_init(&b, 1 << 24);
    for (; *s != '\0'; s++) {
        assert_int_equal(*s == '\n' ? wf_buf_append(&b, "\r\n", 2) : wf_buf_append_byte(&b, *s), 0);
    }
    return b;
}

void say_bytes(struct fixture *f, int fd, const char *p, size_t n) {
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

void say(struct fixture *f, int fd, const char *s) {
    struct wf_buf b = expand(s);
    say_bytes(f, fd, b.p, b.len);
    wf_buf_free(&b);
}

struct heard hear_at_least(struct fixture *f, int fd, size_t bytes) {
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

struct heard hear(struct fixture *f, int fd) {
    return hear_at_least(f, fd, 0);
}

char *legible(struct heard *h) {
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

void expect(struct fixture *f, int fd, const char *what, const char *expected) {
    struct heard h = hear(f, fd);
    char *got = legible(&h);
    if (strcmp(got, expected) != 0) {
        fail_msg("%s\n--- expected\n%s\n--- got\n%s", what, expected, got);
    }
    free(got);
}

void check_rows(const struct row *rows, size_t n, const struct wf_server_config *config) {
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

struct wf_conn *small_buffers(struct fixture *f, int fd) {
    int small = 32768;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    turns(f, 2);
    struct wf_conn *c = only_conn(f);
    setsockopt(c->stream.watch.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    return c;
}

void sleep_ms(struct fixture *f, int ms) {
    uint64_t until = wf_clock_mono_ns() + (uint64_t)ms * 1000000;
    while (wf_clock_mono_ns() < until) {
        turn(f, 5);
    }
}
