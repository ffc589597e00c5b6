/* The recorder: what is kept of which request, and in which order its stages come. */
#include <stdio.h>
#include <unistd.h>

#include "serve/layer/layer.h"
#include "serve/test_fixture.h"

static struct fixture *start_recording(struct wf_layer **recorder, uint32_t slots) {
    struct fixture *f = start(NULL);
    *recorder = wf_layer_recorder(WF_SPAN("/hello/own"), slots);
    assert_non_null(*recorder);
    wf_server_add_layer(f->server, *recorder);
    return f;
}

static void ask(struct fixture *f, const char *request) {
    int fd = dial(f);
    say(f, fd, request);
    struct heard h = hear(f, fd);
    wf_buf_free(&h.bytes);
    close(fd);
}

static void assert_text(const char *p, size_t n, const char *expected) {
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(p, expected, n);
}

/* Those a request came to, in order; the others are 0. */
static void assert_stages(const struct wf_record *r, const char *reached) {
    uint64_t last = 0;
    for (int i = 0; i < WF_STAGES; i++) {
        assert_int_equal(r->at_ns[i] != 0, reached[i] == 'x');
        if (r->at_ns[i] != 0) {
            assert_true(r->at_ns[i] >= last);
            last = r->at_ns[i];
        }
    }
}

static void requests_are_kept_with_their_stages(void **state) {
    struct wf_layer *recorder;
    struct fixture *f = start_recording(&recorder, 8);
    ask(f, "GET /hello?x=1 HTTP/1.1\nHost: a\n\n");
    ask(f, "GET /nowhere HTTP/1.1\nHost: a\n\n");
    ask(f, "GET /fixed HTTP/1.1\nHost: a\n\n");
    const struct wf_record *r = wf_recorder_after(recorder, 0);
    assert_int_equal(r->number, 1);
    assert_int_equal(r->status, 200);
    assert_int_equal(r->reply_bytes, 5);
    assert_text(r->method, r->method_n, "GET");
    assert_text(r->target, r->target_n, "/hello?x=1");
    assert_non_null(r->leaf);
    assert_stages(r, "xx---xx"); /* the fixture's handlers tell of no stage */
    r = wf_recorder_after(recorder, 1);
    assert_int_equal(r->status, 404);
    assert_null(r->leaf);
    assert_int_equal(wf_recorder_after(recorder, 2)->reply_bytes, 15);
    assert_null(wf_recorder_after(recorder, 3));
    assert_null(wf_recorder_after(recorder, UINT64_MAX));
    stop(f);
}

static void a_body_that_comes_later_is_a_stage(void **state) {
    struct wf_layer *recorder;
    struct fixture *f = start_recording(&recorder, 8);
    int fd = dial(f);
    say(f, fd, "POST /echo HTTP/1.1\nHost: a\nContent-Length: 6\n\nabc");
    turns(f, 3);
    assert_null(wf_recorder_after(recorder, 0));
    say(f, fd, "def");
    struct heard h = hear(f, fd);
    wf_buf_free(&h.bytes);
    close(fd);
    assert_stages(wf_recorder_after(recorder, 0), "xxx--xx");
    stop(f);
}

static void some_have_no_record(void **state) {
    struct wf_layer *recorder;
    struct fixture *f = start_recording(&recorder, 8);
    ask(f, "GET /hello/own/page HTTP/1.1\nHost: a\n\n");
    ask(f, "GET /hello\n\n");
    assert_null(wf_recorder_after(recorder, 0));
    stop(f);
}

static void what_an_inner_layer_answers_is_kept(void **state) {
    static const struct wf_span hosts[] = {{"a", 1}};
    struct wf_layer *recorder;
    struct fixture *f = start_recording(&recorder, 8);
    wf_server_add_layer(f->server, wf_layer_hosts(hosts, 1, false));
    ask(f, "GET /hello HTTP/1.1\nHost: b\n\n");
    ask(f, "GET /hello HTTP/1.1\nHost: a\n\n");
    const struct wf_record *r = wf_recorder_after(recorder, 0);
    assert_int_equal(r->status, 400);
    assert_stages(r, "xx---xx");
    assert_int_equal(wf_recorder_after(recorder, 1)->status, 200);
    stop(f);
}

static void a_client_that_leaves_has_status_0(void **state) {
    struct wf_layer *recorder;
    struct fixture *f = start_recording(&recorder, 8);
    int fd = dial(f);
    say(f, fd, "GET /park HTTP/1.1\nHost: a\n\n");
    turns(f, 3);
    close(fd);
    turns(f, 3);
    const struct wf_record *r = wf_recorder_after(recorder, 0);
    assert_non_null(r);
    assert_int_equal(r->status, 0);
    assert_stages(r, "xx----x");
    stop(f);
}

static void the_ring_keeps_the_last(void **state) {
    struct wf_layer *recorder;
    struct fixture *f = start_recording(&recorder, 4);
    char line[1200];
    for (int i = 1; i <= 10; i++) {
        snprintf(line, sizeof(line), "GET /items/%0*d HTTP/1.1\nHost: a\n\n", i == 10 ? 1000 : 1,
                 i);
        ask(f, line);
    }
    uint64_t number = 0;
    for (uint64_t expected = 7; expected <= 10; expected++) {
        const struct wf_record *r = wf_recorder_after(recorder, number);
        assert_int_equal(r->number, expected);
        number = r->number;
    }
    const struct wf_record *r = wf_recorder_after(recorder, 9);
    assert_int_equal(r->target_n, 1007);
    assert_memory_equal(r->target, "/items/000", 10);
    assert_null(wf_recorder_after(recorder, 10));
    stop(f);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_kept_with_their_stages),
        cmocka_unit_test(a_body_that_comes_later_is_a_stage),
        cmocka_unit_test(some_have_no_record),
        cmocka_unit_test(what_an_inner_layer_answers_is_kept),
        cmocka_unit_test(a_client_that_leaves_has_status_0),
        cmocka_unit_test(the_ring_keeps_the_last),
    };
    return RUN_OVER_EVERY_POLLER(tests, argc, argv);
}
