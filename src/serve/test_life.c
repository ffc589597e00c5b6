/* The server as a whole: its beginning and end, listeners, the access log, counters. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/test_fixture.h"

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

static void drains(void **state) {
    struct fixture *f = start(NULL);
    int idle = dial(f), busy = dial(f), begun = dial(f);
    say(f, idle, "GET /hello HTTP/1.1\nHost: a\n\n");
    say(f, busy, "GET /park HTTP/1.1\nHost: a\n\n");
    say(f, begun, "GET /hello HT");
    turns(f, 3);
    wf_server_drain(f->server);
    expect(f, idle, "idle", HELLO "<eof>");
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

/* A client that has connected sends its request at once, and the drain may come between the two. */
static void a_drain_waits_a_moment_for_a_first_request(void **state) {
    struct fixture *f = start(NULL);
    f->server->waits[WF_WAIT_FIRST].ns = f->server->tick_ns = 50 * WF_NS_PER_MS;
    int asks = dial(f), silent = dial(f);
    turns(f, 3);
    wf_server_drain(f->server);
    say(f, asks, "GET /hello HTTP/1.1\nHost: a\n\n");
    expect(f, asks, "asks", HELLO_CLOSE);
    for (int i = 0; i < 1000 && wf_server_open_connections(f->server) != 0; i++) {
        sleep_ms(f, 10);
    }
    expect(f, silent, "silent", "<eof>");
    close(asks);
    close(silent);
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

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_is_made_whole_or_not_at_all),
        cmocka_unit_test(drains),
        cmocka_unit_test(a_drain_loses_no_request_that_has_arrived),
        cmocka_unit_test(a_drain_waits_a_moment_for_a_first_request),
        cmocka_unit_test(an_abort_is_told_to_running_exchanges),
        cmocka_unit_test(serves_unix_sockets_and_sockets_made_by_others),
        cmocka_unit_test(writes_an_access_log),
        cmocka_unit_test(counts),
    };
    return RUN_OVER_EVERY_POLLER(tests, argc, argv);
}
