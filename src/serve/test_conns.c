/* Connections over time: pipelining, turns, buffers, backpressure, clients that leave. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/test_fixture.h"

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

/* And even where it stands behind requests that nobody can read yet. */
static void leaving_is_noticed_behind_requests_that_are_not_read(void **state) {
    struct fixture *f = start(NULL);
    f->server->waits[WF_WAIT_END].ns = f->server->tick_ns = 20 * WF_NS_PER_MS;
    static char requests[3 * WF_STREAM_BUF_BYTES];
    for (size_t at = 0, n = strlen("GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
         at + n < sizeof(requests); at += n) {
        memcpy(requests + at, "GET /park HTTP/1.1\r\nHost: a\r\n\r\n", n + 1);
    }
    int fd = dial(f);
    say_bytes(f, fd, requests, strlen(requests));
    turns(f, 10);
    assert_true(only_conn(f)->more_waits);
    sleep_ms(f, 100);
    assert_int_equal(f->nparked, 1); /* it is still there */
    hang_up(fd, false);
    for (int i = 0; i < 1000 && f->ngone == 0; i++) {
        sleep_ms(f, 10);
    }
    assert_int_equal(f->ngone, 1);
    assert_int_equal(wf_server_open_connections(f->server), 0);
    assert_int_equal(wf_server_counters(f->server)->timeouts, 0);
    stop(f);
}

/* Nothing behind a body that is bad or too large can be a request, but the end can still be seen.
 */
static void leaving_is_noticed_behind_a_spoiled_body(void **state) {
    static const char *const bodies[] = {"xyz\n", "5\nabcde\nzz", "9\n0123456789"};
    struct wf_server_config config = quiet();
    config.body_bytes_max = 8;
    struct fixture *f = start(&config);
    for (unsigned i = 0; i < WF_ARRAY_LEN(bodies); i++) {
        int fd = dial(f);
        say(f, fd, "POST /park HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n");
        turns(f, 3);
        say(f, fd, bodies[i]);
        turns(f, 3);
        say(f, fd, "and more");
        assert_int_equal(f->nparked, 1);
        turns(f, 3);
        assert_true(only_conn(f)->body > WF_BODY_ARRIVING);
        hang_up(fd, false);
        turns(f, 4);
        assert_int_equal(f->ngone, i + 1);
    }
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

/* RFC 9112 section 8: who is there still is told, who never began is not. */
static void a_request_cut_off_by_the_end_is_refused(void **state) {
#define CUT_HEAD REFUSED("400 Bad Request", "57", "the connection ended within the request head")
#define CUT_BODY REFUSED("400 Bad Request", "57", "the connection ended within the request body")
    static const struct row rows[] = {
        {"", "<eof>"},
        {"\n", "<eof>"},
        {"\n\n", "<eof>"},
        {"G", CUT_HEAD},
        {"\nG", CUT_HEAD},
        {"GET /hello HT", CUT_HEAD},
        {"GET /hello HTTP/1.1\n", CUT_HEAD},
        {"GET /hello HTTP/1.1\nHost: a\n", CUT_HEAD},
        {"POST /echo HTTP/1.1\nHost: a\nContent-Length: 4\n\n", CUT_BODY},
        {"POST /echo HTTP/1.1\nHost: a\nContent-Length: 4\n\nabc", CUT_BODY},
        {"POST /echo HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n4\nabcd\n0\n", CUT_BODY},
        {"GET /hello HTTP/1.1\nHost: a\n\n\n", HELLO "<eof>"},
        {"GET /none HTTP/1.1\nHost: a\n\nGET /hel",
         ERROR("404 Not Found", "22", "Not Found") CUT_HEAD},
    };
    struct fixture *f = start(NULL);
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        for (int late = 0; late < 2;
             late++) { /* the end comes with the last bytes, or after them */
            int fd = dial(f);
            say(f, fd, rows[i].say);
            turns(f, late != 0 ? 3 : 0);
            shutdown(fd, SHUT_WR);
            expect(f, fd, rows[i].say, rows[i].expect);
            close(fd);
        }
    }
    turns(f, 3);
    assert_int_equal(wf_server_open_connections(f->server), 0);
    stop(f);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(leaving_is_noticed_behind_requests_that_are_not_read),
        cmocka_unit_test(leaving_is_noticed_behind_a_spoiled_body),
        cmocka_unit_test(leaving_before_the_handler_begins_is_noticed),
        cmocka_unit_test(a_full_buffer_does_not_keep_the_loop_busy),
        cmocka_unit_test(a_half_closed_client_gets_what_can_be_had_at_once),
        cmocka_unit_test(a_request_cut_off_by_the_end_is_refused),
    };
    return RUN_OVER_EVERY_POLLER(tests, argc, argv);
}
