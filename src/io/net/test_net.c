/* Tests of addresses, listeners and streams, over real sockets and each poller. */
#include "io/test_pollers.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/net/net.h"

/* ---- addresses ---- */

static void addresses_read_and_write(void **state) {
    static const struct {
        const char *host;
        uint16_t port;
        const char *written; /* NULL: refused */
    } cases[] = {
        {"127.0.0.1", 8000, "127.0.0.1:8000"},
        {"0.0.0.0", 0, "0.0.0.0:0"},
        {"::1", 65535, "[::1]:65535"},
        {"2001:db8:0:0:0:0:0:1", 80, "[2001:db8::1]:80"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 1,
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1"},
        {"localhost", 80, NULL},
        {"127.0.0.1 ", 80, NULL},
        {"[::1]", 80, NULL},
        {"", 80, NULL},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(cases); i++) {
        struct wf_addr a;
        char out[WF_ADDR_CHARS_MAX];
        int rc = wf_addr_ip(&a, cases[i].host, cases[i].port);
        assert_int_equal(rc, cases[i].written != NULL ? 0 : -EINVAL);
        if (rc == 0) {
            assert_int_equal(wf_addr_write(&a, out), strlen(cases[i].written));
            assert_string_equal(out, cases[i].written);
        }
    }
}

static void unix_addresses_read_and_write(void **state) {
    struct wf_addr a;
    char out[WF_ADDR_CHARS_MAX], path[sizeof(a.un.sun_path) + 1];
    assert_int_equal(wf_addr_unix(&a, "/run/weft.sock"), 0);
    assert_int_equal(wf_addr_write(&a, out), 19);
    assert_string_equal(out, "unix:/run/weft.sock");

    memset(path, 'p', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(wf_addr_unix(&a, path), -ENAMETOOLONG);
    path[sizeof(path) - 2] = '\0';
    assert_int_equal(wf_addr_unix(&a, path), 0);
    assert_int_equal(wf_addr_write(&a, out), 5 + sizeof(path) - 2);

    a = (struct wf_addr){.len = sizeof(sa_family_t), .sa.sa_family = AF_UNIX};
    assert_int_equal(wf_addr_write(&a, out), 5);
    assert_string_equal(out, "unix:");
    memset(a.un.sun_path, 'n', sizeof(a.un.sun_path)); /* as long as the kernel can say */
    a.un.sun_path[0] = '\0';
    a.len = sizeof(a.un);
    assert_int_equal(wf_addr_write(&a, out), 5 + sizeof(a.un.sun_path));
    assert_memory_equal(out, "unix:@nnn", 9);
}

/* ---- helpers: blocking clients ---- */

static int connect_to(const struct wf_addr *addr) {
    int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &addr->sa, addr->len), 0);
    return fd;
}

static struct wf_addr loopback(void) {
    struct wf_addr a;
    assert_int_equal(wf_addr_ip(&a, "127.0.0.1", 0), 0);
    return a;
}

static struct wf_addr unix_path(void) {
    static int n;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/weft-test-%ld-%d.sock", (long)getpid(), n++);
    struct wf_addr a;
    assert_int_equal(wf_addr_unix(&a, path), 0);
    return a;
}

static int open_descriptors(void) {
    int n = 0;
    DIR *d = opendir("/dev/fd");
    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    closedir(d);
    return n;
}

/* ---- listener ---- */

struct hall {
    struct wf_listener listener;
    int accepted;
    int fds[256];
    struct wf_addr peer; /* of the last */
    bool close_at_once;  /* the listener, and free this */
    bool pause_at_once;
};

static void on_accept(struct wf_listener *l, int fd, const struct wf_addr *peer) {
    struct hall *h = wf_container_of(l, struct hall, listener);
    h->fds[h->accepted++] = fd;
    h->peer = *peer;
    if (h->pause_at_once) {
        wf_listener_pause(l);
    }
    if (h->close_at_once) {
        close(fd);
        wf_listener_close(l);
        free(h);
    }
}

static void turn_until_accepted(struct wf_loop *loop, struct hall *h, int n) {
    uint64_t end_ns = wf_clock_mono_ns() + 5 * WF_NS_PER_S;
    while (h->accepted < n && wf_clock_mono_ns() < end_ns) {
        assert_true(wf_loop_poll(loop, 10 * (int64_t)WF_NS_PER_MS) >= 0);
    }
    assert_int_equal(h->accepted, n);
}

static void a_listener_accepts(const struct wf_addr *at) {
    struct wf_loop loop;
    struct hall h = {0};
    char text[WF_ADDR_CHARS_MAX];
    open_loop(&loop);
    assert_int_equal(wf_listener_open(&h.listener, &loop, at, 0, 0, on_accept), 0);
    wf_addr_write(&h.listener.addr, text);
    assert_null(strstr(text, ":0"));
    int client = connect_to(&h.listener.addr);
    turn_until_accepted(&loop, &h, 1);
    assert_int_equal(h.peer.sa.sa_family, at->sa.sa_family);
    assert_true(fcntl(h.fds[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(h.fds[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(h.fds[0], "hi", 2), 2);
    char got[2];
    assert_int_equal(read(client, got, 2), 2);
    close(client);
    close(h.fds[0]);
    wf_listener_close(&h.listener);
    wf_listener_close(&h.listener);
    assert_int_equal(wf_loop_poll(&loop, 0), 0);
    wf_loop_close(&loop);
}

static void listeners_accept_over_tcp_and_unix(void **state) {
    struct wf_addr tcp = loopback(), un = unix_path();
    a_listener_accepts(&tcp);
    a_listener_accepts(&un);
    assert_int_equal(access(un.un.sun_path, F_OK), -1); /* removed behind us */
}

static void ipv6_does_not_take_the_ipv4_port(void **state) {
    struct wf_loop loop;
    struct hall six = {0}, four = {0};
    struct wf_addr any6, any4;
    open_loop(&loop);
    assert_int_equal(wf_addr_ip(&any6, "::", 0), 0);
    int rc = wf_listener_open(&six.listener, &loop, &any6, 0, 0, on_accept);
    if (rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL) {
        wf_loop_close(&loop);
        skip(); /* a machine without IPv6 */
    }
    assert_int_equal(rc, 0);
    uint16_t port = ntohs(six.listener.addr.in6.sin6_port);
    assert_int_equal(wf_addr_ip(&any4, "0.0.0.0", port), 0);
    assert_int_equal(wf_listener_open(&four.listener, &loop, &any4, 0, 0, on_accept), 0);
    struct wf_addr to;
    assert_int_equal(wf_addr_ip(&to, "127.0.0.1", port), 0);
    int client = connect_to(&to);
    turn_until_accepted(&loop, &four, 1);
    assert_int_equal(six.accepted, 0);
    assert_int_equal(four.peer.sa.sa_family, AF_INET);
    close(client);
    close(four.fds[0]);
    wf_listener_close(&four.listener);
    wf_listener_close(&six.listener);
    wf_loop_close(&loop);
}

static void a_port_is_shared_only_where_both_say_so(void **state) {
    struct wf_loop loop;
    struct hall a = {0}, b = {0};
    struct wf_addr at = loopback();
    open_loop(&loop);
    assert_int_equal(wf_listener_open(&a.listener, &loop, &at, WF_LISTEN_REUSEPORT, 0, on_accept),
                     0);
    assert_int_equal(wf_listener_open(&b.listener, &loop, &a.listener.addr, 0, 0, on_accept),
                     -EADDRINUSE);
    assert_int_equal(
        wf_listener_open(&b.listener, &loop, &a.listener.addr, WF_LISTEN_REUSEPORT, 0, on_accept),
        0);
    assert_int_equal(b.listener.addr.in.sin_port, a.listener.addr.in.sin_port);
    wf_listener_close(&a.listener);
    wf_listener_close(&b.listener);
    wf_loop_close(&loop);
}

static void a_stale_unix_socket_is_replaced_and_a_live_one_is_not(void **state) {
    struct wf_loop loop;
    struct hall a = {0}, b = {0};
    struct wf_addr at = unix_path();
    open_loop(&loop);

    int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* one that ends without removing its file */
    assert_int_equal(bind(fd, &at.sa, at.len), 0);
    close(fd);
    assert_int_equal(wf_listener_open(&a.listener, &loop, &at, 0, 0, on_accept), 0);
    assert_int_equal(wf_listener_open(&b.listener, &loop, &at, 0, 0, on_accept), -EADDRINUSE);
    assert_int_equal(access(at.un.sun_path, F_OK), 0);
    int client = connect_to(&at);
    turn_until_accepted(&loop, &a, 2); /* the probe was one */
    close(client);
    close(a.fds[0]);
    close(a.fds[1]);

    /* Somebody else's by now: it stays when we go. */
    assert_int_equal(unlink(at.un.sun_path), 0);
    assert_int_equal(wf_listener_open(&b.listener, &loop, &at, 0, 0, on_accept), 0);
    wf_listener_close(&a.listener);
    assert_int_equal(access(at.un.sun_path, F_OK), 0);
    wf_listener_close(&b.listener);
    assert_int_equal(access(at.un.sun_path, F_OK), -1);

    /* What is no socket is not ours to remove. */
    fd = open(at.un.sun_path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(wf_listener_open(&a.listener, &loop, &at, 0, 0, on_accept), -EADDRINUSE);
    assert_int_equal(unlink(at.un.sun_path), 0);

    assert_int_equal(wf_addr_unix(&at, "/nowhere/at/all.sock"), 0);
    assert_int_equal(wf_listener_open(&a.listener, &loop, &at, 0, 0, on_accept), -ENOENT);
    wf_loop_close(&loop);
}

static void a_paused_listener_leaves_connections_waiting(void **state) {
    struct wf_loop loop;
    struct hall h = {.pause_at_once = true};
    struct wf_addr at = loopback();
    open_loop(&loop);
    assert_int_equal(wf_listener_open(&h.listener, &loop, &at, 0, 0, on_accept), 0);
    int first = connect_to(&h.listener.addr), second = connect_to(&h.listener.addr);
    turn_until_accepted(&loop, &h, 1);
    assert_int_equal(wf_loop_poll(&loop, 0), 0);
    assert_int_equal(wf_loop_poll(&loop, 5 * (int64_t)WF_NS_PER_MS), 0);
    assert_int_equal(h.accepted, 1);
    assert_int_equal(wf_listener_resume(&h.listener), 0);
    turn_until_accepted(&loop, &h, 2);
    close(first);
    close(second);
    close(h.fds[0]);
    close(h.fds[1]);
    wf_listener_close(&h.listener);
    wf_loop_close(&loop);
}

static void a_listener_may_be_closed_while_accepting(void **state) {
    struct wf_loop loop;
    struct hall *h = calloc(1, sizeof(*h));
    struct wf_addr at = loopback();
    open_loop(&loop);
    h->close_at_once = true;
    assert_int_equal(wf_listener_open(&h->listener, &loop, &at, 0, 0, on_accept), 0);
    int first = connect_to(&h->listener.addr), second = connect_to(&h->listener.addr);
    assert_int_equal(wf_loop_poll(&loop, 5 * (int64_t)WF_NS_PER_S), 1);
    assert_int_equal(wf_loop_poll(&loop, 0), 0);
    close(first);
    close(second);
    wf_loop_close(&loop);
}

static void adopted_sockets_accept_and_others_are_refused(void **state) {
    struct wf_loop loop;
    struct hall h = {0};
    struct wf_addr at = loopback();
    open_loop(&loop);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, &at.sa, at.len), 0);
    assert_int_equal(wf_listener_adopt(&h.listener, &loop, fd, on_accept), -EINVAL);
    wf_listener_close(&h.listener); /* nothing to close: the socket is still ours */
    assert_int_equal(wf_listener_adopt(&h.listener, &loop, -1, on_accept), -EBADF);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(wf_listener_adopt(&h.listener, &loop, fd, on_accept), 0);
    int client = connect_to(&h.listener.addr);
    turn_until_accepted(&loop, &h, 1);
    close(client);
    close(h.fds[0]);
    wf_listener_close(&h.listener);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    wf_loop_close(&loop);
}

static void one_turn_accepts_a_bounded_batch(void **state) {
    enum { N = WF_ACCEPT_BATCH + 10 };
    struct wf_loop loop;
    struct hall h = {0};
    struct wf_addr at = loopback();
    int clients[N];
    open_loop(&loop);
    assert_int_equal(wf_listener_open(&h.listener, &loop, &at, 0, 0, on_accept), 0);
    for (int i = 0; i < N; i++) {
        clients[i] = connect_to(&h.listener.addr);
    }
    assert_int_equal(wf_loop_poll(&loop, 5 * (int64_t)WF_NS_PER_S), 1);
    assert_int_equal(h.accepted, WF_ACCEPT_BATCH);
    turn_until_accepted(&loop, &h, N);
    for (int i = 0; i < N; i++) {
        close(clients[i]);
        close(h.fds[i]);
    }
    wf_listener_close(&h.listener);
    wf_loop_close(&loop);
}

static void all_that_waits_can_be_accepted_before_closing(void **state) {
    enum { N = WF_ACCEPT_BATCH + 10 };
    struct wf_loop loop;
    struct hall h = {0};
    struct wf_addr at = loopback();
    int clients[N];
    open_loop(&loop);
    assert_int_equal(wf_listener_open(&h.listener, &loop, &at, 0, 0, on_accept), 0);
    for (int i = 0; i < N; i++) {
        clients[i] = connect_to(&h.listener.addr);
    }
    wf_listener_pause(&h.listener);
    wf_listener_accept_all(&h.listener);
    assert_int_equal(h.accepted, 0);
    assert_int_equal(wf_listener_resume(&h.listener), 0);
    wf_listener_accept_all(&h.listener);
    assert_int_equal(h.accepted, N);
    wf_listener_accept_all(&h.listener);
    wf_listener_close(&h.listener);
    wf_listener_accept_all(&h.listener);
    assert_int_equal(h.accepted, N);
    for (int i = 0; i < N; i++) {
        close(clients[i]);
        close(h.fds[i]);
    }
    wf_loop_close(&loop);
}

static void accepting_rests_without_descriptors_and_goes_on(void **state) {
    struct wf_loop loop;
    struct hall h = {0};
    struct wf_addr at = loopback();
    struct rlimit old, tight;
    open_loop(&loop);
    assert_int_equal(wf_listener_open(&h.listener, &loop, &at, 0, 0, on_accept), 0);
    int client = connect_to(&h.listener.addr);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = (struct rlimit){.rlim_cur = (rlim_t)client, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    uint64_t start_ns = wf_clock_mono_ns();
    int turns = 0;
    while (wf_clock_mono_ns() - start_ns < 150 * WF_NS_PER_MS) {
        wf_loop_poll(&loop, 10 * (int64_t)WF_NS_PER_MS);
        turns++;
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(h.accepted, 0);
    assert_true(wf_timer_active(&h.listener.backoff));
    assert_in_range(turns, 1, 40); /* it did not spin */
    turn_until_accepted(&loop, &h, 1);
    close(client);
    close(h.fds[0]);
    wf_listener_close(&h.listener);
    wf_loop_close(&loop);
}

static void a_listener_gives_everything_back_when_it_cannot_open(void **state) {
    struct wf_addr at = unix_path();
    int before = open_descriptors();
    for (unsigned long nth = 1;; nth++) {
        struct wf_loop loop;
        struct hall h = {0};
        open_loop(&loop);
        wf_alloc_fail_from(nth);
        int rc = wf_listener_open(&h.listener, &loop, &at, 0, 0, on_accept);
        wf_alloc_fail_from(0);
        assert_true(rc == 0 || rc == -ENOMEM);
        wf_listener_close(&h.listener);
        wf_loop_close(&loop);
        assert_int_equal(access(at.un.sun_path, F_OK), -1);
        if (rc == 0) {
            break;
        }
        assert_true(nth < 10);
    }
    assert_int_equal(open_descriptors(), before);
}

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
        cmocka_unit_test(addresses_read_and_write),
        cmocka_unit_test(unix_addresses_read_and_write),
        cmocka_unit_test(listeners_accept_over_tcp_and_unix),
        cmocka_unit_test(ipv6_does_not_take_the_ipv4_port),
        cmocka_unit_test(a_port_is_shared_only_where_both_say_so),
        cmocka_unit_test(a_stale_unix_socket_is_replaced_and_a_live_one_is_not),
        cmocka_unit_test(a_paused_listener_leaves_connections_waiting),
        cmocka_unit_test(a_listener_may_be_closed_while_accepting),
        cmocka_unit_test(adopted_sockets_accept_and_others_are_refused),
        cmocka_unit_test(one_turn_accepts_a_bounded_batch),
        cmocka_unit_test(all_that_waits_can_be_accepted_before_closing),
        cmocka_unit_test(accepting_rests_without_descriptors_and_goes_on),
        cmocka_unit_test(a_listener_gives_everything_back_when_it_cannot_open),
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
