/* Each limit of server.h, timeouts, and memory that runs out. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/test_fixture.h"

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
    assert_int_equal(c.handler_grace_ms, 10000);
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

static void slow_clients_are_timed_out(void **state) {
    struct wf_server_config config = quiet();
    config.head_timeout_ms = config.idle_timeout_ms = config.body_grace_ms = 40;
    config.write_timeout_ms = 40;
    config.handler_timeout_ms = config.handler_grace_ms = 20;
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

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_as_documented),
        cmocka_unit_test(a_limit_can_be_no_limit),
        cmocka_unit_test(heads_of_any_allowed_size_pass_and_larger_ones_do_not),
        cmocka_unit_test(slow_clients_are_timed_out),
        cmocka_unit_test(timeouts_can_be_as_long_as_anyone_likes),
        cmocka_unit_test(a_late_turn_is_nobodys_slowness),
        cmocka_unit_test(a_peer_that_takes_nothing_is_closed),
        cmocka_unit_test(connections_past_the_maximum_are_told_so),
        cmocka_unit_test(a_connection_can_be_limited_to_some_requests),
        cmocka_unit_test(without_memory_only_that_connection_suffers),
    };
    return RUN_OVER_EVERY_POLLER(tests, argc, argv);
}
