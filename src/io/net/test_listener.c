/* Tests of addresses and listeners, over real sockets and each poller. */
#include "io/test_pollers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/net/net.h"
#include "io/net/test_sockets.h"

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

/* ---- listener ---- */

static struct wf_addr unix_path(void) {
    static int n;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/weft-test-%ld-%d.sock", (long)getpid(), n++);
    struct wf_addr a;
    assert_int_equal(wf_addr_unix(&a, path), 0);
    return a;
}

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

/* It used to try for ever. */
static void accepting_all_ends_without_descriptors_and_memory(void **state) {
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
    /* timers that come in order need no memory: it has to be one that is out of order */
    struct wf_timer later[2];
    for (int i = 0; i < 2; i++) {
        wf_timer_init(&later[i], NULL);
        assert_int_equal(wf_timer_start(&loop, &later[i], UINT64_MAX), 0);
    }
    wf_alloc_fail_from(1);
    wf_listener_accept_all(&h.listener);
    wf_alloc_fail_from(0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(h.accepted, 0);
    assert_false(wf_timer_active(&h.listener.backoff));
    wf_timer_stop(&loop, &later[0]);
    wf_timer_stop(&loop, &later[1]);
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
        cmocka_unit_test(accepting_all_ends_without_descriptors_and_memory),
        cmocka_unit_test(a_listener_gives_everything_back_when_it_cannot_open),
    };
    return run_over_every_poller(tests);
}
