/* What is asked and what is answered: routing, framing, bodies, refusals. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/test_fixture.h"

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
         "content-length: 2\nconnection: close\n\nok<eof>"}, /* it asked for the close */
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

static void fixed_replies_need_no_embedder(void **state) {
#define FIXED(line) "HTTP/1.1 " line "etag: \"tag\"\ncache-control: no-cache\n"
    static const struct row rows[] = {
        {"GET /fixed HTTP/1.1\nHost: a\n\nGET /hello HTTP/1.1\nHost: a\n\n",
         FIXED("200 OK\ncontent-type: text/plain\n") "content-length: 15\n\nalways the same" HELLO},
        {"HEAD /fixed HTTP/1.1\nHost: a\n\n",
         FIXED("200 OK\ncontent-type: text/plain\n") "content-length: 15\n\n"},
        {"GET /fixed HTTP/1.1\nHost: a\nIf-None-Match: \"x\", W/\"tag\"\n\n",
         FIXED("304 Not Modified\n") "\n"},
        {"GET /fixed HTTP/1.1\nHost: a\nIf-None-Match: *\n\n", FIXED("304 Not Modified\n") "\n"},
        {"GET /fixed HTTP/1.1\nHost: a\nIf-None-Match: \"tagged\"\nContent-Length: 2\n\nab",
         FIXED("200 OK\ncontent-type: text/plain\n") "content-length: 15\n\nalways the same"},
        {"POST /fixed HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
         "HTTP/1.1 405 Method Not Allowed\ncontent-type: application/json\nallow: GET, HEAD\n"
         "content-length: 31\n\n{\"detail\":\"Method Not Allowed\"}"},
    };
#undef FIXED
    CHECK(rows);
    router_options = (struct wf_router_options){.unrouted = true};
    check_rows(rows, 1, NULL);
    router_options = (struct wf_router_options){.redirect_slashes = true};
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

static void unrouted_requests_can_go_to_the_embedder(void **state) {
    router_options = (struct wf_router_options){.unrouted = true};
    static const struct row rows[] = {
        {"GET /nothing HTTP/1.1\nHost: a\n\n", ERROR("404 Not Found", "17", "mine")},
        {"POST /hello HTTP/1.1\nHost: a\nContent-Length: 2\n\nab",
         ERROR("405 Method Not Allowed", "17", "mine")},
        {"GET /slash HTTP/1.1\nHost: a\n\n", ERROR("404 Not Found", "17", "mine")},
    };
    check_rows(rows, WF_ARRAY_LEN(rows), NULL);
    router_options = (struct wf_router_options){.redirect_slashes = true};
}

static void a_root_path_is_put_back(void **state) {
    struct wf_server_config config = quiet();
    config.root_path = WF_SPAN("/api");
    static const struct row rows[] = {
        {"GET /hello HTTP/1.1\nHost: a\n\n", HELLO},
        {"GET /h%65llo HTTP/1.1\nHost: a\n\n", HELLO},
        {"GET /api/hello HTTP/1.1\nHost: a\n\n", ERROR("404 Not Found", "22", "Not Found")},
        {"OPTIONS * HTTP/1.1\nHost: a\n\n", "HTTP/1.1 200 OK\ncontent-length: 0\n\n"},
        {"GET /slash?a HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 307 Temporary Redirect\nlocation: http://a/api/slash/?a\ncontent-length: 0\n\n"},
    };
    check_rows(rows, WF_ARRAY_LEN(rows), &config);
    config.root_path_kept = true;
    static const struct row kept[] = {
        {"GET /hello HTTP/1.1\nHost: a\n\n", HELLO},
        {"GET /api/hello HTTP/1.1\nHost: a\n\n", HELLO},
        {"GET /api/api/hello HTTP/1.1\nHost: a\n\n", ERROR("404 Not Found", "22", "Not Found")},
        {"GET /apis/hello HTTP/1.1\nHost: a\n\n", ERROR("404 Not Found", "22", "Not Found")},
        {"GET /api HTTP/1.1\nHost: a\n\n", ERROR("404 Not Found", "22", "Not Found")},
        {"GET /api/slash?a HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 307 Temporary Redirect\nlocation: http://a/api/slash/?a\ncontent-length: 0\n\n"},
    };
    check_rows(kept, WF_ARRAY_LEN(kept), &config);
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

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_requests),
        cmocka_unit_test(frames_replies),
        cmocka_unit_test(fixed_replies_need_no_embedder),
        cmocka_unit_test(an_application_cannot_break_the_framing),
        cmocka_unit_test(takes_bodies),
        cmocka_unit_test(refuses_bodies_that_are_too_large),
        cmocka_unit_test(expects_continue),
        cmocka_unit_test(refuses_what_is_not_http),
        cmocka_unit_test(unrouted_requests_can_go_to_the_embedder),
        cmocka_unit_test(a_root_path_is_put_back),
        cmocka_unit_test(the_redirect_repeats_no_host_that_is_not_one),
        cmocka_unit_test(garbage_harms_nobody_else),
    };
    return RUN_OVER_EVERY_POLLER(tests, argc, argv);
}
