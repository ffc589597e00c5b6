/* Layers around a server of a few routes: what each answers, adds and leaves alone. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "serve/layer/origin.h"
#include "serve/test_fixture.h"

static struct fixture *start_with(struct wf_layer *outer, struct wf_layer *inner) {
    struct fixture *f = start(NULL);
    assert_non_null(outer);
    wf_server_add_layer(f->server, outer);
    if (inner != NULL) {
        wf_server_add_layer(f->server, inner);
    }
    return f;
}

/* On a connection of its own. */
static void check(struct fixture *f, const char *what, const char *expected) {
    int fd = dial(f);
    say(f, fd, what);
    expect(f, fd, what, expected);
    close(fd);
    turns(f, 2);
}

#define PLAIN(status, more, length, content)                                                       \
    "HTTP/1.1 " status "\ncontent-type: text/plain\n" more "content-length: " length "\n"          \
    "\n" content
#define TEXT(status, more, length, content)                                                        \
    "HTTP/1.1 " status "\ncontent-type: text/plain; charset=utf-8\n" more                          \
    "content-length: " length "\n\n" content

/* ---- CORS ---- */

static const struct wf_span origins[] = {WF_SPAN("https://a.example")},
                            methods[] = {WF_SPAN("GET"), WF_SPAN("PUT")},
                            headers[] = {WF_SPAN("accept"), WF_SPAN("x-own")};
static const struct wf_reply_field simple[] = {{WF_SPAN("x-simple"), WF_SPAN("1")}},
                                   preflight[] = {{WF_SPAN("vary"), WF_SPAN("Origin")}};

static const struct wf_cors_config some_origins = {.origins = origins,
                                                   .norigins = 1,
                                                   .methods = methods,
                                                   .nmethods = 2,
                                                   .headers = headers,
                                                   .nheaders = 2,
                                                   .simple = simple,
                                                   .nsimple = 1,
                                                   .preflight = preflight,
                                                   .npreflight = 1};

#define ALLOW "access-control-allow-origin: https://a.example\n"
#define PREFLIGHT(more) "OPTIONS /hello HTTP/1.1\nHost: a\nOrigin: https://a.example\n" more "\n"
#define ASKS "Access-Control-Request-Method: "

static void cors_of_some_origins(void **state) {
    struct fixture *f = start_with(wf_layer_cors(&some_origins), NULL);
    check(f, "GET /hello HTTP/1.1\nHost: a\n\n", PLAIN("200 OK", "vary: Origin\n", "5", "hello"));
    check(f, "GET /hello HTTP/1.1\nHost: a\nOrigin: https://a.example\n\n",
          PLAIN("200 OK", "x-simple: 1\n" ALLOW "vary: Origin\n", "5", "hello"));
    check(f, "GET /hello HTTP/1.1\nHost: a\nOrigin: https://b.example\n\n",
          PLAIN("200 OK", "x-simple: 1\nvary: Origin\n", "5", "hello"));
    check(f, PREFLIGHT(ASKS "PUT\n"), TEXT("200 OK", "vary: Origin\n" ALLOW, "2", "OK"));
    check(f, PREFLIGHT(ASKS "PUT\nAccess-Control-Request-Headers: X-Own,\taccept \n"),
          TEXT("200 OK", "vary: Origin\n" ALLOW, "2", "OK"));
    check(f, PREFLIGHT(ASKS "POST\nAccess-Control-Request-Headers: x-other\n"),
          TEXT("400 Bad Request", "vary: Origin\n" ALLOW, "31", "Disallowed CORS method, headers"));
    check(f, PREFLIGHT(ASKS "GET\nAccess-Control-Request-Private-Network: true\n"),
          TEXT("400 Bad Request", "vary: Origin\n" ALLOW, "31", "Disallowed CORS private-network"));
    check(f, PREFLIGHT(""),
          "HTTP/1.1 200 OK\nallow: GET, HEAD, OPTIONS\nx-simple: 1\n" ALLOW
          "vary: Origin\ncontent-length: 0\n\n");
    stop(f);
}

static void cors_of_any_origin(void **state) {
    struct wf_cors_config any = {.any_origin = true,
                                 .any_header = true,
                                 .private_network = true,
                                 .methods = methods,
                                 .nmethods = 2,
                                 .simple = simple,
                                 .nsimple = 1};
    struct fixture *f = start_with(wf_layer_cors(&any), NULL);
    check(f, "GET /hello HTTP/1.1\nHost: a\nOrigin: https://b.example\n\n",
          PLAIN("200 OK", "x-simple: 1\nvary: Origin\n", "5", "hello"));
    check(f,
          PREFLIGHT(ASKS "GET\nAccess-Control-Request-Headers: a, b\n"
                         "Access-Control-Request-Private-Network: true\n"),
          TEXT("200 OK",
               "access-control-allow-headers: a, b\naccess-control-allow-private-network: true\n",
               "2", "OK"));
    any.credentials = true;
    wf_server_add_layer(f->server, wf_layer_cors(&any)); /* inside: the outer has the last word */
    check(f, "GET /hello HTTP/1.1\nHost: a\nOrigin: https://b.example\n\n",
          PLAIN("200 OK",
                "x-simple: 1\naccess-control-allow-origin: https://b.example\n"
                "vary: Origin, Origin\n",
                "5", "hello"));
    stop(f);
}

/* ---- hosts ---- */

static void trusted_hosts(void **state) {
    static const struct wf_span hosts[] = {WF_SPAN("a.example"), WF_SPAN("*.b.example"),
                                           WF_SPAN("www.c.example")};
    struct fixture *f = start_with(wf_layer_hosts(hosts, 3, true), NULL);
    static const struct row rows[] = {
        {"a.example", HELLO},
        {"A.Example:8000", HELLO},
        {"x.b.example", HELLO},
        {"b.example", TEXT("400 Bad Request", "", "19", "Invalid host header")},
        {"xa.example", TEXT("400 Bad Request", "", "19", "Invalid host header")},
        {"c.example", "HTTP/1.1 307 Temporary Redirect\nlocation: http://www.c.example/hello\n"
                      "content-length: 0\n\n"},
        {"c.example:80", "HTTP/1.1 307 Temporary Redirect\nlocation: http://www.c.example:80/hello"
                         "\ncontent-length: 0\n\n"},
        {"", TEXT("400 Bad Request", "", "19", "Invalid host header")},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        char what[200];
        snprintf(what, sizeof(what), "GET /hello HTTP/1.1\nHost: %s\n\n", rows[i].say);
        check(f, what, rows[i].expect);
    }
    stop(f);
    f = start_with(wf_layer_hosts(hosts, 3, false), NULL);
    check(f, "GET /hello HTTP/1.1\nHost: c.example\n\n",
          TEXT("400 Bad Request", "", "19", "Invalid host header"));
    stop(f);
}

/* ---- fields, ids ---- */

static void fixed_fields_are_defaults(void **state) {
    static const struct wf_reply_field fixed[] = {{WF_SPAN("x-a"), WF_SPAN("ours")},
                                                  {WF_SPAN("x-b"), WF_SPAN("ours")}};
    struct fixture *f = start_with(wf_layer_fields(fixed, 2), NULL);
    check(f, "GET /hello HTTP/1.1\nHost: a\n\n",
          PLAIN("200 OK", "x-a: ours\nx-b: ours\n", "5", "hello"));
    check(f, "GET /fields HTTP/1.1\nHost: a\n\n",
          "HTTP/1.1 201 Created\nx-a: 1\nserver: mine\nDate: today\nset-cookie: a=b\nx-b: ours\n"
          "content-length: 2\nconnection: close\n\nok<eof>");
    check(f, "GET /nothing HTTP/1.1\nHost: a\n\n",
          "HTTP/1.1 404 Not Found\ncontent-type: application/json\nx-a: ours\nx-b: ours\n"
          "content-length: 22\n\n{\"detail\":\"Not Found\"}");
    check(f, "nonsense\n\n",
          "HTTP/1.1 400 Bad Request\ncontent-type: application/json\n"
          "content-length: 53\nconnection: close\n\n"
          "{\"detail\":\"the request does not begin with a method\"}<eof>");
    stop(f);
}

static void request_ids(void **state) {
    struct fixture *f = start_with(wf_layer_request_id(WF_SPAN("x-request-id")), NULL);
    check(f, "GET /hello HTTP/1.1\nHost: a\nX-Request-ID: me-1_2.3\n\n",
          PLAIN("200 OK", "x-request-id: me-1_2.3\n", "5", "hello"));
    static const char *const bad[] = {"", "X-Request-ID: \n", "X-Request-ID: a b\n",
                                      "X-Request-ID: a\"\n"};
    char seen[100][33];
    for (size_t i = 0; i < 100; i++) { /* more than are drawn from the kernel at once */
        int fd = dial(f);
        say(f, fd, "GET /hello HTTP/1.1\nHost: a\n");
        say(f, fd, bad[i % WF_ARRAY_LEN(bad)]);
        say(f, fd, "\n");
        struct heard h = hear(f, fd);
        char *got = legible(&h), *id = strstr(got, "x-request-id: ");
        assert_non_null(id);
        memcpy(seen[i], id + 14, 32);
        seen[i][32] = '\0';
        assert_int_equal(strspn(seen[i], "0123456789abcdef"), 32);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(seen[i], seen[k]);
        }
        free(got);
        close(fd);
    }
    turns(f, 3);
    stop(f);
}

/* ---- concurrency ---- */

#define BUSY                                                                                       \
    "HTTP/1.1 503 Service Unavailable\ncontent-type: application/json\nretry-after: 7\n"           \
    "content-length: 32\n\n{\"detail\":\"Service Unavailable\"}"

static void so_many_at_a_time(void **state) {
    struct fixture *f = start_with(wf_layer_concurrency(1, 7), NULL);
    int a = dial(f);
    say(f, a, "GET /park HTTP/1.1\nHost: a\n\n");
    turns(f, 3);
    assert_int_equal(f->nparked, 1);
    check(f, "GET /hello HTTP/1.1\nHost: a\n\n", BUSY);
    hang_up(a, true); /* who leaves is counted out */
    turns(f, 3);
    check(f, "GET /hello HTTP/1.1\nHost: a\n\n", HELLO);
    check(f, "GET /nothing HTTP/1.1\nHost: a\n\n", ERROR("404 Not Found", "22", "Not Found"));
    check(f, "GET /hello HTTP/1.1\nHost: a\n\n", HELLO);
    stop(f);
}

static void what_an_inner_layer_answers_never_ran(void **state) {
    static const struct wf_span hosts[] = {WF_SPAN("a")};
    struct fixture *f = start_with(wf_layer_concurrency(1, 7), wf_layer_hosts(hosts, 1, false));
    for (int i = 0; i < 3; i++) {
        check(f, "GET /hello HTTP/1.1\nHost: b\n\n",
              TEXT("400 Bad Request", "", "19", "Invalid host header"));
        check(f, "GET /hello HTTP/1.1\nHost: a\n\n", HELLO);
    }
    stop(f);
}

/* ---- rate limit ---- */

static unsigned status_of(struct fixture *f, const char *fields) {
    int fd = dial(f);
    say(f, fd, "GET /hello HTTP/1.1\nHost: a\n");
    say(f, fd, fields);
    say(f, fd, "\n");
    struct heard h = hear(f, fd);
    assert_true(h.bytes.len > 12);
    unsigned status = (unsigned)atoi(h.bytes.p + 9);
    if (status == 429) {
        assert_non_null(memmem(h.bytes.p, h.bytes.len, "\r\nretry-after: ", 15));
    }
    wf_buf_free(&h.bytes);
    close(fd);
    turns(f, 2);
    return status;
}

static void so_many_in_so_much_time(void **state) {
    struct wf_rate_limit_config config = {.limit = 3,
                                          .window_ns = 3600 * WF_NS_PER_S,
                                          .header = WF_SPAN("x-key"),
                                          .clients_max = 100};
    struct fixture *f = start_with(wf_layer_rate_limit(&config), NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(status_of(f, ""), 200);
        assert_int_equal(status_of(f, "X-Key: a\n"), 200);
        assert_int_equal(status_of(f, "X-Key: b\n"), 200);
        assert_int_equal(status_of(f, "X-Key: a longer one, of several words\n"), 200);
    }
    assert_int_equal(status_of(f, ""), 429);
    assert_int_equal(status_of(f, "X-Key: a\n"), 429);
    assert_int_equal(status_of(f, "X-Key: c\n"), 200);
    stop(f);

    config.limit = 1;
    config.window_ns = 60 * WF_NS_PER_MS;
    f = start_with(wf_layer_rate_limit(&config), NULL);
    assert_int_equal(status_of(f, ""), 200);
    sleep_ms(f, 80);
    assert_int_equal(status_of(f, ""), 200);
    stop(f);
}

static void a_table_that_is_full_forgets_who_owes_least(void **state) {
    struct wf_rate_limit_config config = {
        .limit = 2, .window_ns = 3600 * WF_NS_PER_S, .header = WF_SPAN("k"), .clients_max = 8};
    struct fixture *f = start_with(wf_layer_rate_limit(&config), NULL);
    assert_int_equal(status_of(f, "k: most\n"), 200);
    assert_int_equal(status_of(f, "k: most\n"), 200);
    for (int i = 0; i < 20; i++) {
        char fields[20];
        snprintf(fields, sizeof(fields), "k: %d\n", i);
        assert_int_equal(status_of(f, fields), 200);
    }
    assert_int_equal(status_of(f, "k: most\n"), 429);
    assert_int_equal(status_of(f, "k: 0\n"), 200);
    stop(f);
}

/* ---- origins by regular expression ---- */

static void origins_that_match(void **state) {
    char why[WF_ORIGIN_WHY_CHARS];
    struct wf_origin *o = wf_origin_new(WF_SPAN("https://[a-z]+\\.example"), why);
    if (o == NULL) {
        assert_non_null(strstr(why, "PCRE2"));
        skip();
    }
    assert_true(wf_origin_matches(o, WF_SPAN("https://abc.example")));
    assert_false(wf_origin_matches(o, WF_SPAN("https://abc.example.evil")));
    assert_false(wf_origin_matches(o, WF_SPAN("xhttps://abc.example")));
    assert_false(wf_origin_matches(o, WF_SPAN("https://abc.example\n")));
    assert_false(wf_origin_matches(o, WF_SPAN("")));
    wf_origin_free(o);
    assert_null(wf_origin_new(WF_SPAN("("), why));
    assert_true(why[0] != '\0');
    wf_origin_free(NULL);

    /* What would take for ever is given up. */
    static char as[5000];
    memset(as, 'a', sizeof(as));
    o = wf_origin_new(WF_SPAN("(a+)+b"), why);
    assert_false(wf_origin_matches(o, wf_span(as, sizeof(as))));
    wf_origin_free(o);

    struct wf_cors_config config = some_origins;
    config.origin = wf_origin_new(WF_SPAN("https://[b-z]\\.example"), why);
    struct fixture *f = start_with(wf_layer_cors(&config), NULL);
    check(f, "GET /hello HTTP/1.1\nHost: a\nOrigin: https://b.example\n\n",
          PLAIN("200 OK",
                "x-simple: 1\naccess-control-allow-origin: https://b.example\nvary: Origin\n", "5",
                "hello"));
    check(f, "GET /hello HTTP/1.1\nHost: a\nOrigin: https://1.example\n\n",
          PLAIN("200 OK", "x-simple: 1\nvary: Origin\n", "5", "hello"));
    stop(f);

    for (unsigned long nth = 1;; nth++) {
        wf_alloc_fail_from(nth);
        o = wf_origin_new(WF_SPAN("a+"), why);
        wf_alloc_fail_from(0);
        if (o != NULL) {
            break;
        }
        assert_string_equal(why, "");
    }
    wf_origin_free(o);
}

/* ---- memory ---- */

static struct wf_layer *all_of_them(int i) {
    static const struct wf_span hosts[] = {WF_SPAN("a")};
    static const struct wf_compress_config compress = {.ncodings = 0};
    switch (i) {
    case 0:
        return wf_layer_request_id(WF_SPAN("x-request-id"));
    case 1:
        return wf_layer_cors(&some_origins);
    case 2:
        return wf_layer_hosts(hosts, 1, true);
    case 3:
        return wf_layer_fields(simple, 1);
    case 4:
        return wf_layer_concurrency(5, 1);
    case 5:
        return wf_layer_session();
    case 6:
        return wf_layer_rate_limit(&(struct wf_rate_limit_config){
            .limit = 100, .window_ns = 1000000000, .clients_max = 1});
    case 7:
        return wf_layer_fields(simple, 1);
    default:
        return wf_layer_compress(&compress);
    }
}
enum { LAYERS = 9 };

/* A router in a router in the server's, each with a layer. */
static void layers_of_routers(void **state) {
    static const struct wf_reply_field around[] = {{WF_SPAN("x-around"), WF_SPAN("1")}},
                                       inside[] = {{WF_SPAN("x-inside"), WF_SPAN("1")}},
                                       within[] = {{WF_SPAN("x-inside"), WF_SPAN("not first")}};
    static const struct wf_span hosts[] = {WF_SPAN("a")};
    const char *error;
    struct fixture *f = start_with(wf_layer_fields(around, 1), NULL);
    struct wf_router *inner = wf_router_mount(f->router, WF_SPAN("/inner"), &error);
    struct wf_router *deep = wf_router_mount(inner, WF_SPAN("/deep"), &error);
    assert_true(inner != NULL && deep != NULL);
    assert_true(wf_server_add_router_layer(f->server, inner, wf_layer_fields(inside, 1)));
    assert_true(wf_server_add_router_layer(f->server, inner, wf_layer_fields(within, 1)));
    wf_router_options(deep)->layers = wf_router_options(inner)->layers;
    assert_true(wf_server_add_router_layer(f->server, deep, wf_layer_hosts(hosts, 1, false)));
    assert_ptr_not_equal(wf_router_options(deep)->layers, wf_router_options(inner)->layers);
#define NOT_FOUND(more)                                                                            \
    "HTTP/1.1 404 Not Found\ncontent-type: application/json\n" more                                \
    "content-length: 22\n\n{\"detail\":\"Not Found\"}"
    check(f, "GET /nothing HTTP/1.1\nHost: b\n\n", NOT_FOUND("x-around: 1\n"));
    check(f, "GET /inner/x HTTP/1.1\nHost: b\n\n", NOT_FOUND("x-inside: not first\nx-around: 1\n"));
    check(f, "GET /inner/deep/x HTTP/1.1\nHost: a\n\n",
          NOT_FOUND("x-inside: not first\nx-around: 1\n"));
    check(
        f, "POST /inner/deep/x HTTP/1.1\nHost: b\nContent-Length: 3\n\nabc",
        TEXT("400 Bad Request", "x-inside: not first\nx-around: 1\n", "19", "Invalid host header"));
    check(f, "GET /hello HTTP/1.1\nHost: b\n\n", PLAIN("200 OK", "x-around: 1\n", "5", "hello"));
#undef NOT_FOUND
    struct wf_router *other = wf_router_mount(f->router, WF_SPAN("/other"), &error);
    assert_non_null(other);
    struct wf_layer *layer = wf_layer_fields(around, 1);
    wf_alloc_fail_from(1);
    assert_false(wf_server_add_router_layer(f->server, other, layer));
    wf_alloc_fail_from(0);
    layer->ops->free(layer);
    stop(f);
}

/* What the layers make of a reply of the embedder's, or of an answer: the names of its fields. */
static void leaves_with(const struct wf_layers *layers, const struct wf_layer *answered,
                        struct wf_exchange *ex, const struct wf_reply_head *head,
                        const char *names) {
    struct wf_head_edit edit = {.content = WF_CONTENT_WHOLE, .body = WF_SPAN("x"), .length = 1};
    char got[256] = "";
    assert_true(wf_layers_leave(layers, answered, ex, head, &edit));
    for (uint32_t i = 0; i < edit.head.nfields; i++) {
        strncat(got, edit.fields[i].name.p, edit.fields[i].name.n);
        strcat(got, " ");
    }
    assert_string_equal(got, names);
}

/* The exchange of a new request to /park. */
static struct wf_exchange *parked(struct fixture *f, int *fd, const char *host) {
    char what[64];
    snprintf(what, sizeof(what), "GET /park HTTP/1.1\nHost: %s\n\n", host);
    *fd = dial(f);
    say(f, *fd, what);
    unsigned before = f->nparked;
    for (int i = 0; i < 1000 && f->nparked == before; i++) {
        turn(f, 1);
    }
    assert_int_equal(f->nparked, before + 1);
    return f->parked[f->nparked - 1];
}

/* Two lists within the embedder's steps, one inside of the other. */
static void layers_within(void **state) {
    static const struct wf_reply_field around[] = {{WF_SPAN("x-around"), WF_SPAN("1")}},
                                       inside[] = {{WF_SPAN("x-inside"), WF_SPAN("1")}};
    static const struct wf_span hosts[] = {WF_SPAN("a")};
    struct fixture *f = start_with(wf_layer_concurrency(9, 1), NULL);
    struct wf_layers *outer = wf_server_inner_layers(f->server, f->router, NULL);
    struct wf_layers *inner = wf_server_inner_layers(f->server, f->router, outer);
    if (outer == NULL || inner == NULL) {
        fail();
        return;
    }
    wf_layers_add(f->server, outer, wf_layer_fields(around, 1));
    wf_layers_add(f->server, outer, wf_layer_hosts(hosts, 1, false));
    wf_layers_add(f->server, outer, wf_layer_fields(inside, 1));
    wf_layers_add(f->server, inner, wf_layer_concurrency(1, 7));
    wf_layers_add(f->server, inner, wf_layer_fields(inside, 1));
    struct wf_layer_answer answer;
    int fds[3];

    struct wf_exchange *ex = parked(f, &fds[0], "b");
    struct wf_layer *answered = wf_layers_enter(outer, ex, &answer);
    assert_ptr_equal(answered, outer->first->next);
    assert_int_equal(answer.head.status, 400);
    assert_true(wf_span_eq(answer.body, WF_SPAN("Invalid host header")));
    assert_int_equal(ex->reply, WF_REPLY_NONE);
    leaves_with(outer, answered, ex, &answer.head, "x-around ");

    ex = parked(f, &fds[1], "a");
    assert_null(wf_layers_enter(outer, ex, &answer));
    assert_null(wf_layers_enter(outer, ex, &answer)); /* as a step may that goes on twice */
    assert_null(wf_layers_enter(inner, ex, &answer));
    leaves_with(inner, NULL, ex, &text, "x-inside ");
    leaves_with(outer, NULL, ex, &text, "x-inside x-around ");

    ex = parked(f, &fds[2], "a");
    assert_null(wf_layers_enter(outer, ex, &answer));
    assert_ptr_equal(wf_layers_enter(inner, ex, &answer), inner->first);
    assert_int_equal(answer.head.status, 503);
    assert_true(wf_span_eq(answer.body, WF_SPAN("{\"detail\":\"Service Unavailable\"}")));
    leaves_with(inner, inner->first, ex, &answer.head, "retry-after ");
    close(fds[1]); /* the one that was let in is over */
    turns(f, 3);
    assert_int_equal(f->ngone, 1);
    assert_null(wf_layers_enter(inner, ex, &answer));

    wf_alloc_fail_from(1);
    assert_null(wf_server_inner_layers(f->server, f->router, outer));
    wf_alloc_fail_from(0);
    close(fds[0]);
    close(fds[2]);
    turns(f, 3);
    stop(f);
}

static void without_memory(void **state) {
    for (int i = 0; i < LAYERS; i++) {
        wf_alloc_fail_from(1);
        struct wf_layer *none = all_of_them(i);
        wf_alloc_fail_from(0);
        assert_null(none);
    }
    static const char scene[] = "GET /hello HTTP/1.1\nHost: a\nOrigin: https://a.example\n\n"
                                "GET /items/x HTTP/1.1\nHost: a\n\nGET /mid HTTP/1.1\nHost: a\n\n"
                                "GET /big HTTP/1.1\nHost: a\nConnection: close\n\n";
    bool whole = false;
    for (unsigned long nth = 1; !whole; nth++) {
        struct fixture *f = start(NULL);
        for (int i = 0; i < LAYERS; i++) {
            wf_server_add_layer(f->server, all_of_them(i));
        }
        int fd = dial(f);
        turns(f, 1);
        struct wf_buf b = expand(scene);
        wf_alloc_fail_from(nth);
        ssize_t sent = write(fd, b.p, b.len);
        assert_int_equal(sent, b.len);
        size_t heard = 0;
        for (int i = 0; i < 200; i++) {
            static char p[65536];
            turn(f, 1);
            ssize_t n;
            while ((n = read(fd, p, sizeof(p))) > 0) {
                heard += (size_t)n;
            }
            if (n == 0) {
                break;
            }
        }
        wf_alloc_fail_from(0);
        wf_buf_free(&b);
        whole = heard > BIG_BYTES;
        close(fd);
        turns(f, 3);
        stop(f);
        assert_true(nth < 100);
    }
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(cors_of_some_origins),
        cmocka_unit_test(cors_of_any_origin),
        cmocka_unit_test(trusted_hosts),
        cmocka_unit_test(fixed_fields_are_defaults),
        cmocka_unit_test(request_ids),
        cmocka_unit_test(so_many_at_a_time),
        cmocka_unit_test(what_an_inner_layer_answers_never_ran),
        cmocka_unit_test(so_many_in_so_much_time),
        cmocka_unit_test(a_table_that_is_full_forgets_who_owes_least),
        cmocka_unit_test(origins_that_match),
        cmocka_unit_test(layers_of_routers),
        cmocka_unit_test(layers_within),
        cmocka_unit_test(without_memory),
    };
    return RUN_OVER_EVERY_POLLER(tests, argc, argv);
}
