/* Tests of streams, over real sockets and each poller. */
#include "io/test_pollers.h"

#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/net/net.h"
#include "io/net/test_sockets.h"

/* ---- stream ---- */

struct end {
    struct wf_stream stream;
    int fd; /* the other end, non-blocking */
    int readable, drained, flushed, failed;
    int error;          /* of failed, or the last read that was not data */
    size_t got;         /* bytes read */
    bool close_in_call; /* close and free in whichever callback comes */
    bool *closed;
};

static void maybe_close(struct end *e) {
    if (e->close_in_call) {
        *e->closed = true;
        wf_stream_close(&e->stream, false);
        close(e->fd);
        free(e);
    }
}

static void end_readable(struct wf_stream *s) {
    struct end *e = wf_container_of(s, struct end, stream);
    char buf[4096];
    ssize_t n = wf_stream_read(s, buf, sizeof(buf));
    e->readable++;
    if (n > 0) {
        e->got += (size_t)n;
    } else {
        e->error = (int)n;
    }
    maybe_close(e);
}

static void end_drained(struct wf_stream *s) {
    struct end *e = wf_container_of(s, struct end, stream);
    assert_true(wf_stream_pending(s) <= WF_STREAM_LOW_WATER);
    e->drained++;
    maybe_close(e);
}

static void end_flushed(struct wf_stream *s) {
    struct end *e = wf_container_of(s, struct end, stream);
    assert_int_equal(wf_stream_pending(s), 0);
    e->flushed++;
    maybe_close(e);
}

static void end_failed(struct wf_stream *s, int error) {
    struct end *e = wf_container_of(s, struct end, stream);
    assert_int_equal(wf_stream_pending(s), 0);
    e->failed++;
    e->error = error;
    maybe_close(e);
}

static const struct wf_stream_ops end_ops = {end_readable, end_drained, end_flushed, end_failed};

/* The loop, pool and stream most tests need, over a pair of unix sockets with small buffers. */
static struct wf_loop loop;
static struct wf_pool pool;

static struct end *open_end(void) {
    int fds[2], small = 4096;
    struct end *e = calloc(1, sizeof(*e));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    assert_int_equal(wf_stream_open(&e->stream, &loop, &pool, fds[0], &end_ops), 0);
    e->fd = fds[1];
    return e;
}

static void close_end(struct end *e) {
    wf_stream_close(&e->stream, false);
    wf_stream_close(&e->stream, false);
    close(e->fd);
    free(e);
}

static int setup(void **state) {
    wf_alloc_fail_from(0);
    wf_pool_init(&pool, WF_STREAM_BUF_BYTES, 8);
    return wf_loop_init(&loop, poller);
}

static int teardown(void **state) {
    wf_loop_close(&loop);
    wf_pool_free_all(&pool);
    return 0;
}

static void append(struct end *e, const void *p, size_t n) {
    assert_int_equal(wf_stream_prepare(&e->stream), WF_BUF_OK);
    assert_int_equal(wf_buf_append(&e->stream.out, p, n), WF_BUF_OK);
}

static int released;
static void count_release(void *arg) {
    released++;
    if (arg != NULL) {
        ++*(int *)arg;
    }
}

/* More than the kernel's buffers take. */
static char big[400 * 1024];

/* Reads all there is at the other end, turning the loop, until n bytes have come. */
static void receive(struct end *e, char *out, size_t n) {
    size_t got = 0;
    uint64_t end_ns = wf_clock_mono_ns() + 5 * WF_NS_PER_S;
    while (got < n && wf_clock_mono_ns() < end_ns) {
        ssize_t rc = read(e->fd, out + got, n - got);
        got += rc > 0 ? (size_t)rc : 0;
        assert_true(wf_loop_poll(&loop, 0) >= 0);
    }
    assert_int_equal(got, n);
}

static void a_reply_is_one_buffer_and_an_idle_stream_has_none(void **state) {
    struct end *e = open_end();
    assert_null(e->stream.out.p);
    append(e, "hello", 5);
    assert_non_null(e->stream.out.p);
    assert_int_equal(wf_stream_pending(&e->stream), 5);
    assert_int_equal(wf_stream_flush(&e->stream), 0);
    assert_null(e->stream.out.p);
    assert_int_equal(pool.kept, 1);
    char got[5];
    assert_int_equal(read(e->fd, got, 5), 5);
    assert_memory_equal(got, "hello", 5);
    /* Prepared, not used, given back all the same; and one that has grown is freed. */
    assert_int_equal(wf_stream_prepare(&e->stream), WF_BUF_OK);
    assert_int_equal(pool.kept, 0);
    assert_int_equal(wf_stream_flush(&e->stream), 0);
    assert_int_equal(pool.kept, 1);
    append(e, big, WF_STREAM_BUF_BYTES + 1);
    assert_int_equal(wf_stream_flush(&e->stream), 0);
    static char back[WF_STREAM_BUF_BYTES + 1];
    receive(e, back, sizeof(back));
    assert_null(e->stream.out.p);
    assert_int_equal(pool.kept, 0);
    close_end(e);
}

static void reading_is_told_until_paused_and_stops_at_the_end(void **state) {
    struct end *e = open_end();
    assert_int_equal(write(e->fd, "abc", 3), 3);
    assert_int_equal(wf_loop_poll(&loop, 0), 1);
    assert_int_equal(e->got, 3);
    char c;
    assert_int_equal(wf_stream_read(&e->stream, &c, 1), -EAGAIN);
    wf_stream_pause(&e->stream);
    assert_int_equal(write(e->fd, "de", 2), 2);
    assert_int_equal(wf_loop_poll(&loop, 0), 0);
    assert_int_equal(wf_stream_resume(&e->stream), 0);
    assert_int_equal(wf_loop_poll(&loop, 0), 1);
    assert_int_equal(e->got, 5);
    assert_int_equal(shutdown(e->fd, SHUT_WR), 0);
    e->error = 1;
    assert_int_equal(wf_loop_poll(&loop, 0), 1);
    assert_int_equal(e->error, 0);
    assert_true(e->stream.paused);
    assert_int_equal(wf_loop_poll(&loop, 0), 0); /* not told for ever */
    append(e, "bye", 3);
    assert_int_equal(wf_stream_flush(&e->stream), 0);
    char got[3];
    assert_int_equal(read(e->fd, got, 3), 3);
    close_end(e);
}

static void peeking_takes_nothing(void **state) {
    struct end *e = open_end();
    char byte;
    assert_int_equal(wf_stream_peek(&e->stream), -EAGAIN);
    assert_int_equal(write(e->fd, "x", 1), 1);
    assert_int_equal(wf_stream_peek(&e->stream), 1);
    assert_int_equal(wf_stream_peek(&e->stream), 1);
    assert_int_equal(wf_stream_read(&e->stream, &byte, 1), 1);
    assert_false(e->stream.paused);
    shutdown(e->fd, SHUT_WR);
    assert_int_equal(wf_stream_peek(&e->stream), 0);
    assert_true(e->stream.paused);
    close_end(e);
}

static void water_marks_and_flushed_are_told(void **state) {
    struct end *e = open_end();
    append(e, big, sizeof(big));
    assert_true(wf_stream_at_high_water(&e->stream));
    assert_int_equal(wf_stream_flush(&e->stream), 0);
    assert_true(wf_stream_pending(&e->stream) != 0);
    assert_int_equal(wf_loop_poll(&loop, 0), 0); /* the kernel is full */
    assert_int_equal(e->drained, 0);
    static char back[sizeof(big)];
    receive(e, back, sizeof(back));
    for (int i = 0; i < 5; i++) {
        wf_loop_poll(&loop, 0);
    }
    assert_int_equal(e->drained, 1);
    assert_int_equal(e->flushed, 1);
    assert_memory_equal(back, big, sizeof(big));
    assert_null(e->stream.out.p);
    assert_int_equal(e->stream.watch.armed & WF_WRITE, 0);
    close_end(e);
}

/* A flush that sends all at once owes nothing, and a full kernel is not asked again and again. */
static void a_flush_at_once_tells_nothing(void **state) {
    struct end *e = open_end();
    int large = 1 << 20;
    assert_int_equal(setsockopt(e->stream.watch.fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof(large)),
                     0);
    append(e, big, WF_STREAM_HIGH_WATER);
    assert_int_equal(wf_stream_flush(&e->stream), 0);
    assert_int_equal(wf_stream_pending(&e->stream), 0);
    assert_false(e->stream.above_high);
    assert_int_equal(wf_loop_poll(&loop, 0), 0);
    assert_int_equal(e->drained + e->flushed, 0);
    close_end(e);
}

/* A stream that never runs empty does not grow either. */
static void a_busy_buffer_is_reused(void **state) {
    struct end *e = open_end();
    static char back[8192];
    size_t sent = 0, got = 0;
    append(e, big, 40000);
    sent += 40000;
    assert_int_equal(wf_stream_flush(&e->stream), 0);
    for (int i = 0; i < 2000; i++) {
        append(e, big, 4096);
        sent += 4096;
        assert_int_equal(wf_stream_flush(&e->stream), 0);
        for (size_t before = got; got < before + 4096;) {
            ssize_t n = read(e->fd, back, WF_MIN(sizeof(back), before + 4096 - got));
            got += n > 0 ? (size_t)n : 0;
            wf_loop_poll(&loop, 0);
        }
        assert_true(wf_stream_pending(&e->stream) != 0);
    }
    assert_true(e->stream.out.cap <= 128 * 1024);
    assert_int_equal(sent - got, 40000);
    close_end(e);
}

/* Appended and borrowed pieces of all sizes, sent through a small socket to a reader that reads as
 * it likes: the bytes come in order, and each piece is released once, after its last byte has left.
 */
static uint64_t random_state;
static size_t random_below(size_t n) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state >> 20) % n;
}

struct piece {
    int released;
    size_t end; /* offset in the stream behind its last byte */
};

static void pieces_leave_in_order_and_are_released_once(void **state) {
    enum { PIECES = 3000 };
    static struct piece pieces[PIECES];
    static char got[64 * 1024];
    memset(pieces, 0, sizeof(pieces));
    random_state = 0x853c49e6748fea9bull;
    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = (char)random_below(256);
    }
    struct end *e = open_end();
    /* What was sent is big, over and over: piece i begins where i - 1 ended, modulo its size. */
    size_t sent = 0, received = 0;
    int n = 0, borrowed = 0;
    released = 0;
    while (n < PIECES || received < sent) {
        bool write_now = n < PIECES && !wf_stream_at_high_water(&e->stream);
        for (size_t burst = random_below(100); write_now && burst > 0 && n < PIECES; burst--) {
            size_t at = sent % sizeof(big);
            size_t len = random_below(random_below(4) == 0 ? 20000 : 2500);
            len = WF_MIN(len, sizeof(big) - at);
            sent += len;
            pieces[n].end = sent;
            if (random_below(2)) {
                append(e, big + at, len);
            } else {
                borrowed++;
                assert_int_equal(wf_stream_borrow(&e->stream, wf_span(big + at, len), count_release,
                                                  &pieces[n].released),
                                 0);
            }
            n++;
        }
        assert_int_equal(wf_stream_flush(&e->stream), 0);
        wf_loop_poll(&loop, 0);
        ssize_t rc = read(e->fd, got, random_below(sizeof(got)));
        for (ssize_t i = 0; i < rc; i++) {
            if (got[i] != big[(received + (size_t)i) % sizeof(big)]) {
                fail_msg("byte %zu differs", received + (size_t)i);
            }
        }
        received += rc > 0 ? (size_t)rc : 0;
        assert_true(sent - received >= wf_stream_pending(&e->stream));
        /* Whatever the reader has, is released. */
        for (int i = 0; i < n; i++) {
            assert_true(pieces[i].released <= 1);
        }
    }
    assert_int_equal(wf_stream_pending(&e->stream), 0);
    assert_int_equal(released, borrowed);
    assert_null(e->stream.seg_head);
    assert_null(e->stream.out.p);
    close_end(e);
    assert_int_equal(released, borrowed);
    memset(big, 0, sizeof(big));
}

static void more_segments_than_one_call_takes_leave_at_once(void **state) {
    struct end *e = open_end();
    int large = 1 << 20;
    assert_int_equal(setsockopt(e->stream.watch.fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof(large)),
                     0);
    released = 0;
    for (int i = 0; i < 100; i++) {
        append(e, "head", 4);
        assert_int_equal(wf_stream_borrow(&e->stream, wf_span(big, 2000), count_release, NULL), 0);
    }
    append(e, "tail", 4);
    /* `out` has room for a few bytes: they are copied. */
    assert_int_equal(wf_stream_borrow(&e->stream, WF_SPAN("few"), count_release, NULL), 0);
    assert_int_equal(released, 1);
    assert_int_equal(wf_stream_pending(&e->stream), 100 * 2004 + 7);
    assert_int_equal(wf_stream_flush(&e->stream), 0);
    assert_int_equal(wf_stream_pending(&e->stream), 0);
    assert_int_equal(released, 101);
    static char back[100 * 2004 + 7];
    receive(e, back, sizeof(back));
    assert_memory_equal(back, "head", 4);
    assert_memory_equal(back + 99 * 2004, "head", 4);
    assert_memory_equal(back + sizeof(back) - 7, "tailfew", 7);
    close_end(e);
}

static void borrowed_bytes_are_released_when_the_stream_closes(void **state) {
    struct end *e = open_end();
    released = 0;
    append(e, big, 5000);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(
            wf_stream_borrow(&e->stream, wf_span(big, sizeof(big)), count_release, NULL), 0);
    }
    assert_int_equal(wf_stream_flush(&e->stream), 0);
    assert_in_range(released, 0, 9);
    append(e, "tail", 4);
    close_end(e);
    assert_int_equal(released, 10);
}

static void a_peer_that_has_gone_fails_the_flush(void **state) {
    struct end *e = open_end();
    close(e->fd);
    e->fd = -1;
    released = 0;
    append(e, "x", 1);
    assert_int_equal(wf_stream_borrow(&e->stream, wf_span(big, 5000), count_release, NULL), 0);
    assert_int_equal(wf_stream_flush(&e->stream), -EPIPE); /* and no SIGPIPE */
    assert_int_equal(released, 1);
    assert_true(e->stream.failed);
    assert_null(e->stream.out.p);
    append(e, "y", 1);
    assert_int_equal(wf_stream_borrow(&e->stream, wf_span(big, 5000), count_release, NULL), 0);
    assert_int_equal(wf_stream_flush(&e->stream), -EPIPE);
    assert_int_equal(released, 2);
    assert_int_equal(wf_stream_pending(&e->stream), 0);
    assert_int_equal(e->failed, 0); /* told by the result only */
    close_end(e);
}

static void a_peer_that_goes_while_we_wait_fails_the_stream(void **state) {
    struct end *e = open_end();
    released = 0;
    wf_stream_pause(&e->stream);
    assert_int_equal(wf_stream_borrow(&e->stream, wf_span(big, sizeof(big)), count_release, NULL),
                     0);
    assert_int_equal(wf_stream_flush(&e->stream), 0);
    assert_int_equal(wf_loop_poll(&loop, 0), 0);
    close(e->fd);
    e->fd = -1;
    assert_int_equal(wf_loop_poll(&loop, 0), 1);
    assert_int_equal(e->failed, 1);
    assert_true(e->error == -EPIPE || e->error == -ECONNRESET);
    assert_int_equal(released, 1);
    assert_int_equal(wf_loop_poll(&loop, 0), 0);
    assert_int_equal(wf_loop_poll(&loop, 0), 0);
    close_end(e);
}

static void the_half_close_comes_behind_the_last_byte(void **state) {
    struct end *e = open_end();
    append(e, big, sizeof(big));
    wf_stream_end(&e->stream);
    assert_false(e->stream.eof_sent);
    assert_int_equal(wf_stream_flush(&e->stream), 0);
    static char back[sizeof(big)];
    receive(e, back, sizeof(back));
    uint64_t end_ns = wf_clock_mono_ns() + WF_NS_PER_S;
    while (!e->stream.eof_sent && wf_clock_mono_ns() < end_ns) {
        wf_loop_poll(&loop, 0);
    }
    assert_int_equal(read(e->fd, back, 1), 0);
    assert_int_equal(write(e->fd, "still read", 10), 10);
    wf_loop_poll(&loop, 0);
    assert_int_equal(e->got, 10);
    close_end(e);

    e = open_end();
    wf_stream_end(&e->stream);
    assert_int_equal(read(e->fd, back, 1), 0);
    close_end(e);
}

/* Each callback in turn closes and frees its stream. */
static void streams_may_be_closed_in_every_callback(void **state) {
    enum { READABLE, DRAINED, FLUSHED, FAILED, CASES };
    for (int which = 0; which < CASES; which++) {
        bool closed = false;
        struct end *e = open_end();
        released = 0;
        append(e, big, 100);
        size_t n = which == FLUSHED ? WF_STREAM_HIGH_WATER - 5000 : sizeof(big);
        assert_int_equal(wf_stream_borrow(&e->stream, wf_span(big, n), count_release, NULL), 0);
        assert_int_equal(wf_stream_flush(&e->stream), 0);
        assert_true(wf_stream_pending(&e->stream) != 0);
        e->closed = &closed;
        e->close_in_call = true;
        int fd = dup(e->fd);
        if (which == READABLE) {
            assert_int_equal(write(e->fd, "x", 1), 1);
        } else if (which == FAILED) {
            assert_int_equal(shutdown(e->fd, SHUT_RDWR), 0);
        }
        static char sink[65536];
        uint64_t end_ns = wf_clock_mono_ns() + 5 * WF_NS_PER_S;
        while (!closed && wf_clock_mono_ns() < end_ns) {
            if (which == DRAINED || which == FLUSHED) {
                ssize_t rc = read(fd, sink, sizeof(sink));
                (void)rc;
            }
            assert_true(wf_loop_poll(&loop, 0) >= 0);
        }
        assert_true(closed);
        assert_int_equal(released, 1);
        assert_int_equal(wf_loop_poll(&loop, 0), 0);
        close(fd);
    }
}

static struct wf_stream *accepted_stream;
static struct end *tcp_end;

static void on_accept_stream(struct wf_listener *l, int fd, const struct wf_addr *peer) {
    assert_int_equal(wf_stream_open(accepted_stream, l->loop, &pool, fd, &end_ops), 0);
}

/* Opens a TCP connection to ourselves; the client's end is tcp_end->fd, blocking. */
static void open_tcp(struct wf_listener *l) {
    struct wf_addr at = loopback();
    assert_int_equal(wf_listener_open(l, &loop, &at, 0, 0, on_accept_stream), 0);
    tcp_end = calloc(1, sizeof(*tcp_end));
    tcp_end->stream.watch.fd = -1;
    accepted_stream = &tcp_end->stream;
    tcp_end->fd = connect_to(&l->addr);
    while (tcp_end->stream.watch.fd < 0) {
        assert_true(wf_loop_poll(&loop, 5 * (int64_t)WF_NS_PER_S) > 0);
    }
}

static void tcp_streams_send_at_once_and_can_reset(void **state) {
    struct wf_listener l;
    open_tcp(&l);
    int on = 0;
    socklen_t len = sizeof(on);
    assert_int_equal(getsockopt(tcp_end->stream.watch.fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_true(on);
    append(tcp_end, "hi", 2);
    assert_int_equal(wf_stream_flush(&tcp_end->stream), 0);
    char got[2];
    assert_int_equal(read(tcp_end->fd, got, 2), 2);
    wf_stream_close(&tcp_end->stream, false);
    assert_int_equal(read(tcp_end->fd, got, 1), 0); /* FIN */
    close_end(tcp_end);
    wf_listener_close(&l);

    open_tcp(&l);
    wf_stream_close(&tcp_end->stream, true);
    assert_int_equal(read(tcp_end->fd, got, 1), -1);
    assert_int_equal(errno, ECONNRESET);
    close_end(tcp_end);
    wf_listener_close(&l);
}

static void a_reset_is_told_as_readable(void **state) {
    struct wf_listener l;
    open_tcp(&l);
    struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(tcp_end->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(tcp_end->fd);
    tcp_end->fd = -1;
    assert_int_equal(wf_loop_poll(&loop, 5 * (int64_t)WF_NS_PER_S), 1);
    assert_int_equal(tcp_end->error, -ECONNRESET);
    wf_loop_poll(&loop, 0);
    assert_int_equal(wf_loop_poll(&loop, 0), 0);
    assert_int_equal(tcp_end->readable, 1);
    close_end(tcp_end);
    wf_listener_close(&l);
}

/* Opens, appends, borrows, twice, and flushes. Returns how many of the steps succeeded.
 * releases  one for each borrowing; what was not tried is released by us */
static int open_and_send(struct end *e, int fd, int releases[2]) {
    int steps = 0, borrowings = 0;
    if (wf_stream_open(&e->stream, &loop, &pool, fd, &end_ops) != 0) {
        close(fd); /* still ours */
    } else {
        steps++;
        for (; borrowings < 2 && wf_stream_prepare(&e->stream) == WF_BUF_OK; borrowings++) {
            steps++;
            assert_int_equal(wf_buf_append(&e->stream.out, big, 3000), WF_BUF_OK);
            int rc = wf_stream_borrow(&e->stream, wf_span(big, 3000), count_release,
                                      &releases[borrowings]);
            assert_int_equal(releases[borrowings], rc != 0);
            assert_true(rc == 0 || rc == -ENOMEM);
            steps += rc == 0;
        }
        assert_int_equal(wf_stream_flush(&e->stream), 0);
    }
    while (borrowings < 2) {
        releases[borrowings++]++;
    }
    return steps;
}

static void streams_lose_nothing_of_ours_when_memory_is_out(void **state) {
    int before = open_descriptors(), steps = 0, outcomes = 0;
    for (unsigned long nth = 1; steps != 5; nth++) {
        struct end *e = calloc(1, sizeof(*e));
        int fds[2], releases[2] = {0, 0}, was = steps;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        e->fd = fds[1];
        wf_pool_free_all(&pool);
        wf_alloc_fail_from(nth);
        steps = open_and_send(e, fds[0], releases);
        wf_alloc_fail_from(0);
        close_end(e);
        assert_int_equal(releases[0], 1);
        assert_int_equal(releases[1], 1);
        outcomes += steps != was;
        assert_true(nth < 30);
    }
    assert_true(outcomes >= 4); /* a failure at each of the steps, but for the poller's own */
    assert_int_equal(open_descriptors(), before);
}

#define with_loop(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_loop(a_reply_is_one_buffer_and_an_idle_stream_has_none),
        with_loop(reading_is_told_until_paused_and_stops_at_the_end),
        with_loop(peeking_takes_nothing),
        with_loop(water_marks_and_flushed_are_told),
        with_loop(a_flush_at_once_tells_nothing),
        with_loop(a_busy_buffer_is_reused),
        with_loop(pieces_leave_in_order_and_are_released_once),
        with_loop(more_segments_than_one_call_takes_leave_at_once),
        with_loop(borrowed_bytes_are_released_when_the_stream_closes),
        with_loop(a_peer_that_has_gone_fails_the_flush),
        with_loop(a_peer_that_goes_while_we_wait_fails_the_stream),
        with_loop(the_half_close_comes_behind_the_last_byte),
        with_loop(streams_may_be_closed_in_every_callback),
        with_loop(tcp_streams_send_at_once_and_can_reset),
        with_loop(a_reset_is_told_as_readable),
        with_loop(streams_lose_nothing_of_ours_when_memory_is_out),
    };
    return run_over_every_poller(tests);
}
