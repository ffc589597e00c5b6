/* Tests of the loop over each poller: descriptors, timers, posts, wakes, signals. */
#include "io/test_pollers.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a watch that counts ---- */

struct probe {
    struct wf_watch watch;
    struct wf_loop *loop;
    int calls;
    unsigned ready;                /* of the last call */
    void (*then)(struct probe *p); /* what else the callback does; may be NULL */
    struct probe *other;
};

static void on_probe(struct wf_watch *w, unsigned ready) {
    struct probe *p = wf_container_of(w, struct probe, watch);
    p->calls++;
    p->ready = ready;
    if (p->then != NULL) {
        p->then(p);
    }
}

static void probe_init(struct probe *p, struct wf_loop *loop, int fd) {
    *p = (struct probe){.loop = loop};
    wf_watch_init(&p->watch, fd, on_probe);
}

static void open_pair(int fds[2]) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void close_pair(int fds[2]) {
    close(fds[0]);
    close(fds[1]);
}

static void send_byte(int fd) {
    assert_int_equal(write(fd, "x", 1), 1);
}

static int turn(struct wf_loop *loop) {
    int rc = wf_loop_poll(loop, 0);
    assert_true(rc >= 0);
    return rc;
}

/* The same poller, counting what the kernel is told. */
static const struct wf_poller *counted;
static int changes;

static int count_change(struct wf_loop *loop, struct wf_watch *w, unsigned arm) {
    changes++;
    return counted->change(loop, w, arm);
}

static struct wf_poller counting_poller(void) {
    counted = poller;
    struct wf_poller p = *poller;
    p.change = count_change;
    return p;
}

/* ---- descriptors ---- */

static void what_is_not_consumed_is_reported_again(void **state) {
    struct wf_loop loop;
    struct probe p;
    int fds[2];
    open_loop(&loop);
    open_pair(fds);
    probe_init(&p, &loop, fds[0]);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), 0);
    assert_int_equal(turn(&loop), 0);
    send_byte(fds[1]);
    assert_int_equal(turn(&loop), 1);
    assert_int_equal(turn(&loop), 1);
    assert_int_equal(p.ready, WF_READ);
    char c;
    assert_int_equal(read(fds[0], &c, 1), 1);
    assert_int_equal(turn(&loop), 0);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ | WF_WRITE), 0);
    assert_int_equal(turn(&loop), 1);
    assert_int_equal(p.ready, WF_WRITE);
    send_byte(fds[1]);
    assert_int_equal(turn(&loop), 1);
    assert_int_equal(p.ready, WF_READ | WF_WRITE);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_WRITE), 0);
    assert_int_equal(turn(&loop), 1);
    assert_int_equal(p.ready, WF_WRITE);
    wf_watch_stop(&loop, &p.watch);
    wf_watch_stop(&loop, &p.watch);
    assert_int_equal(turn(&loop), 0);
    assert_int_equal(p.calls, 5);
    close_pair(fds);
    wf_loop_close(&loop);
}

static void asking_for_the_same_again_and_pausing_cost_nothing(void **state) {
    struct wf_poller counting = counting_poller();
    struct wf_loop loop;
    struct probe p;
    int fds[2];
    assert_int_equal(wf_loop_init(&loop, &counting), 0);
    open_pair(fds);
    probe_init(&p, &loop, fds[0]);
    changes = 0;
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), 0);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), 0);
    assert_int_equal(changes, 1);
    assert_int_equal(wf_watch_set(&loop, &p.watch, 0), 0);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), 0);
    assert_int_equal(changes, 1);
    /* Only when something arrives meanwhile is the kernel told, once. */
    assert_int_equal(wf_watch_set(&loop, &p.watch, 0), 0);
    send_byte(fds[1]);
    assert_int_equal(turn(&loop), 0);
    assert_int_equal(turn(&loop), 0);
    assert_int_equal(changes, 2);
    assert_int_equal(p.calls, 0);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), 0);
    assert_int_equal(changes, 3);
    assert_int_equal(turn(&loop), 1);
    /* Writing is disarmed at once: the next wait would not wait. */
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ | WF_WRITE), 0);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), 0);
    assert_int_equal(changes, 5);
    wf_watch_stop(&loop, &p.watch);
    assert_int_equal(changes, 6);
    close_pair(fds);
    wf_loop_close(&loop);
}

static void stop_and_free_other(struct probe *p) {
    if (p->other != NULL) {
        wf_watch_stop(p->loop, &p->other->watch);
        free(p->other);
        p->other = NULL;
    }
}

static void a_stopped_watch_is_not_called_though_it_was_collected(void **state) {
    struct wf_loop loop;
    int a[2], b[2];
    open_loop(&loop);
    open_pair(a);
    open_pair(b);
    struct probe *p = malloc(sizeof(*p)), *q = malloc(sizeof(*q));
    probe_init(p, &loop, a[0]);
    probe_init(q, &loop, b[0]);
    p->other = q;
    q->other = p;
    p->then = q->then = stop_and_free_other; /* whichever comes first */
    assert_int_equal(wf_watch_set(&loop, &p->watch, WF_READ), 0);
    assert_int_equal(wf_watch_set(&loop, &q->watch, WF_READ), 0);
    send_byte(a[1]);
    send_byte(b[1]);
    assert_int_equal(turn(&loop), 1);
    struct probe *left = loop.ready[0].watch == &p->watch ? p : q;
    assert_null(left->other);
    assert_int_equal(left->calls, 1);
    wf_watch_stop(&loop, &left->watch);
    free(left);
    close_pair(a);
    close_pair(b);
    wf_loop_close(&loop);
}

static void stop_and_free_self(struct probe *p) {
    wf_watch_stop(p->loop, &p->watch);
    free(p);
}

static void a_callback_may_free_its_own_watch(void **state) {
    struct wf_loop loop;
    int fds[2];
    open_loop(&loop);
    open_pair(fds);
    struct probe *p = malloc(sizeof(*p));
    probe_init(p, &loop, fds[0]);
    p->then = stop_and_free_self;
    assert_int_equal(wf_watch_set(&loop, &p->watch, WF_READ | WF_WRITE), 0);
    send_byte(fds[1]);
    assert_int_equal(turn(&loop), 1);
    assert_int_equal(turn(&loop), 0);
    close_pair(fds);
    wf_loop_close(&loop);
}

static void pause_other(struct probe *p) {
    assert_int_equal(wf_watch_set(p->loop, &p->other->watch, 0), 0);
}

static void a_paused_watch_is_not_called_though_it_was_collected(void **state) {
    struct wf_loop loop;
    struct probe p, q;
    int a[2], b[2];
    open_loop(&loop);
    open_pair(a);
    open_pair(b);
    probe_init(&p, &loop, a[0]);
    probe_init(&q, &loop, b[0]);
    p.other = &q;
    q.other = &p;
    p.then = q.then = pause_other;
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), 0);
    assert_int_equal(wf_watch_set(&loop, &q.watch, WF_READ), 0);
    send_byte(a[1]);
    send_byte(b[1]);
    assert_int_equal(turn(&loop), 1);
    assert_int_equal(p.calls + q.calls, 1);
    wf_watch_stop(&loop, &p.watch);
    wf_watch_stop(&loop, &q.watch);
    close_pair(a);
    close_pair(b);
    wf_loop_close(&loop);
}

static void a_peer_that_closes_is_readable_and_ends_writing(void **state) {
    struct wf_loop loop;
    struct probe p;
    int fds[2];
    open_loop(&loop);
    open_pair(fds);
    probe_init(&p, &loop, fds[0]);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), 0);
    assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
    assert_int_equal(turn(&loop), 1);
    assert_int_equal(p.ready, WF_READ); /* half-closed only */
    close(fds[1]);
    assert_int_equal(turn(&loop), 1);
    assert_true(p.ready & WF_READ);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_WRITE), 0);
    assert_int_equal(turn(&loop), 1);
    assert_int_equal(p.ready, WF_WRITE | WF_HANGUP);
    /* Paused, it is not told, and the loop does not spin over it. */
    assert_int_equal(wf_watch_set(&loop, &p.watch, 0), 0);
    int calls = p.calls;
    uint64_t start_ns = wf_clock_mono_ns();
    turn(&loop);
    assert_int_equal(wf_loop_poll(&loop, 20 * (int64_t)WF_NS_PER_MS), 0);
    assert_true(wf_clock_mono_ns() - start_ns >= 20 * WF_NS_PER_MS);
    assert_int_equal(p.calls, calls);
    wf_watch_stop(&loop, &p.watch);
    close(fds[0]);
    wf_loop_close(&loop);
}

/* Some kernels report no more than a hangup then: readers and writers have to be told all the same.
 */
static void a_pipe_that_lost_its_other_end_is_told(void **state) {
    struct wf_loop loop;
    struct probe p;
    int fds[2];
    open_loop(&loop);
    assert_int_equal(pipe(fds), 0);
    probe_init(&p, &loop, fds[0]);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), 0);
    close(fds[1]);
    assert_int_equal(turn(&loop), 1);
    assert_true(p.ready & WF_READ);
    wf_watch_stop(&loop, &p.watch);
    close(fds[0]);

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    char page[4096] = {0};
    while (write(fds[1], page, sizeof(page)) > 0) {
    }
    probe_init(&p, &loop, fds[1]);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_WRITE), 0);
    assert_int_equal(turn(&loop), 0);
    close(fds[0]);
    assert_int_equal(turn(&loop), 1);
    assert_int_equal(p.ready, WF_WRITE | WF_HANGUP);
    wf_watch_stop(&loop, &p.watch);
    close(fds[1]);
    wf_loop_close(&loop);
}

static void descriptors_that_cannot_be_watched_are_refused(void **state) {
    struct wf_loop loop;
    struct probe p, q;
    int fds[2];
    open_loop(&loop);
    probe_init(&p, &loop, -1);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), -EBADF);
    assert_int_equal(p.watch.want, 0);
    probe_init(&p, &loop, 1000);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), -EBADF);
    if (strcmp(wf_poller_name(poller), "kqueue") != 0) {
        open_pair(fds);
        probe_init(&p, &loop, fds[0]);
        probe_init(&q, &loop, fds[0]);
        assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), 0);
        assert_int_equal(wf_watch_set(&loop, &q.watch, WF_READ), -EEXIST);
        wf_watch_stop(&loop, &q.watch);
        send_byte(fds[1]);
        assert_int_equal(turn(&loop), 1);
        wf_watch_stop(&loop, &p.watch);
        close_pair(fds);
    }
    if (strcmp(wf_poller_name(poller), "epoll") == 0) {
        FILE *f = tmpfile();
        assert_non_null(f);
        probe_init(&p, &loop, fileno(f));
        assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), -EPERM);
        fclose(f);
    }
    wf_loop_close(&loop);
}

static void a_descriptor_closed_too_early_does_no_harm(void **state) {
    struct wf_loop loop;
    struct probe p;
    int fds[2];
    open_loop(&loop);
    open_pair(fds);
    probe_init(&p, &loop, fds[0]);
    assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), 0);
    close_pair(fds);
    int calls = p.calls;
    wf_watch_stop(&loop, &p.watch);
    assert_int_equal(turn(&loop), 0);
    assert_int_equal(p.calls, calls);
    if (strcmp(wf_poller_name(poller), "kqueue") != 0) { /* which forgets without a word */
        open_pair(fds);
        probe_init(&p, &loop, fds[0]);
        assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ), 0);
        close_pair(fds);
        int again[2];
        open_pair(again);
        assert_int_equal(again[0], fds[0]);
        assert_int_equal(wf_watch_set(&loop, &p.watch, WF_READ | WF_WRITE), 0);
        send_byte(again[1]);
        assert_int_equal(turn(&loop), 1);
        assert_int_equal(p.ready, WF_READ | WF_WRITE);
        wf_watch_stop(&loop, &p.watch);
        close_pair(again);
    }
    wf_loop_close(&loop);
}

/* More are ready, all the time, than one wait collects: nobody starves. */
static void every_ready_descriptor_gets_its_turn(void **state) {
    enum { N = WF_EVENTS_MAX + 100 };
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_cur < 2 * N + 50) {
        files.rlim_cur = WF_MIN(files.rlim_max, (rlim_t)(2 * N + 50));
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    }
    static struct probe p[N];
    static int fds[N][2];
    struct wf_loop loop;
    open_loop(&loop);
    for (int i = 0; i < N; i++) {
        open_pair(fds[i]);
        probe_init(&p[i], &loop, fds[i][0]);
        assert_int_equal(wf_watch_set(&loop, &p[i].watch, WF_WRITE), 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_in_range(turn(&loop), 100, WF_EVENTS_MAX);
    }
    for (int i = 0; i < N; i++) {
        assert_in_range(p[i].calls, 1, 3);
        wf_watch_stop(&loop, &p[i].watch);
        close_pair(fds[i]);
    }
    wf_loop_close(&loop);
}

/* Callbacks that pause, resume and stop each other at random, against the plain rule: called if and
 * only if readable and wanted at that moment. */
enum { CROWD = 24 };
static struct crowd {
    struct probe p[CROWD];
    int fds[CROWD][2];
    bool full[CROWD];
    uint64_t random;
} crowd;

static unsigned crowd_random(unsigned n) {
    crowd.random ^= crowd.random << 13;
    crowd.random ^= crowd.random >> 7;
    crowd.random ^= crowd.random << 17;
    return (unsigned)(crowd.random >> 33) % n;
}

static void crowd_step(struct wf_loop *loop) {
    unsigned i = crowd_random(CROWD);
    struct wf_watch *w = &crowd.p[i].watch;
    switch (crowd_random(4)) {
    case 0:
        wf_watch_stop(loop, w);
        memset(w, 0xee, sizeof(*w)); /* its memory is somebody else's now */
        wf_watch_init(w, crowd.fds[i][0], on_probe);
        break;
    case 1:
        assert_int_equal(wf_watch_set(loop, w, 0), 0);
        break;
    default:
        assert_int_equal(wf_watch_set(loop, w, WF_READ), 0);
    }
}

static void crowd_then(struct probe *p) {
    size_t i = (size_t)(p - crowd.p);
    assert_true(crowd.full[i]);
    assert_int_equal(p->ready, WF_READ);
    assert_int_equal(p->watch.want, WF_READ);
    if (crowd_random(2)) {
        char c;
        assert_int_equal(read(crowd.fds[i][0], &c, 1), 1);
        crowd.full[i] = false;
    }
    crowd_step(p->loop);
}

static void callbacks_may_change_everything(void **state) {
    struct wf_loop loop;
    open_loop(&loop);
    memset(&crowd, 0, sizeof(crowd));
    crowd.random = 0x9e3779b97f4a7c15ull;
    for (int i = 0; i < CROWD; i++) {
        open_pair(crowd.fds[i]);
        probe_init(&crowd.p[i], &loop, crowd.fds[i][0]);
        crowd.p[i].then = crowd_then;
    }
    int ran = 0;
    for (int step = 0; step < 3000; step++) {
        unsigned i = crowd_random(CROWD);
        if (!crowd.full[i]) {
            send_byte(crowd.fds[i][1]);
            crowd.full[i] = true;
        }
        crowd_step(&loop);
        ran += turn(&loop);
    }
    assert_true(ran > 3000);
    /* Left alone, exactly those who are wanted and full are called. */
    for (int i = 0; i < CROWD; i++) {
        crowd.p[i].then = NULL;
        crowd.p[i].calls = 0;
    }
    turn(&loop);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(crowd.p[i].calls, crowd.full[i] && crowd.p[i].watch.want == WF_READ);
        wf_watch_stop(&loop, &crowd.p[i].watch);
        close_pair(crowd.fds[i]);
    }
    wf_loop_close(&loop);
}

/* ---- timers ---- */

struct tick {
    struct wf_timer timer;
    struct wf_loop *loop;
    int order;  /* when it was called; 0: not */
    bool again; /* starts itself, for long ago */
    struct tick *stops;
};
static int ticks;

static void on_tick(struct wf_timer *t) {
    struct tick *k = wf_container_of(t, struct tick, timer);
    assert_false(wf_timer_active(t));
    k->order = ++ticks;
    if (k->stops != NULL) {
        wf_timer_stop(k->loop, &k->stops->timer);
    }
    if (k->again) {
        assert_int_equal(wf_timer_start(k->loop, t, 1), 0);
    }
}

static void tick_init(struct tick *k, struct wf_loop *loop) {
    *k = (struct tick){.loop = loop};
    wf_timer_init(&k->timer, on_tick);
}

static void timers_fire_in_order_and_only_when_due(void **state) {
    struct wf_loop loop;
    struct tick k[6];
    open_loop(&loop);
    ticks = 0;
    for (int i = 0; i < 6; i++) {
        tick_init(&k[i], &loop);
    }
    uint64_t now_ns = wf_loop_now(&loop);
    assert_int_equal(wf_timer_start(&loop, &k[0].timer, now_ns + 3), 0);
    assert_int_equal(wf_timer_start(&loop, &k[1].timer, now_ns + 1), 0);
    assert_int_equal(wf_timer_start(&loop, &k[2].timer, now_ns + 1), 0);
    assert_int_equal(wf_timer_start(&loop, &k[3].timer, now_ns + 2), 0);
    assert_int_equal(wf_timer_start(&loop, &k[4].timer, now_ns + 3600 * WF_NS_PER_S), 0);
    assert_int_equal(wf_timer_start(&loop, &k[5].timer, now_ns + 2), 0);
    wf_timer_stop(&loop, &k[5].timer);
    wf_timer_stop(&loop, &k[5].timer);
    while (ticks < 4) {
        wf_loop_poll(&loop, -1);
    }
    assert_int_equal(k[1].order, 1);
    assert_int_equal(k[2].order, 2);
    assert_int_equal(k[3].order, 3);
    assert_int_equal(k[0].order, 4);
    assert_int_equal(k[5].order, 0);
    assert_true(wf_timer_active(&k[4].timer));
    assert_int_equal(wf_timer_start(&loop, &k[4].timer, now_ns), 0); /* moved */
    assert_int_equal(turn(&loop), 1);
    assert_int_equal(k[4].order, 5);
    wf_loop_close(&loop);
}

static void a_wait_ends_with_the_timer_and_not_before(void **state) {
    struct wf_loop loop;
    struct tick k;
    open_loop(&loop);
    tick_init(&k, &loop);
    for (int i = 1; i <= 5; i++) {
        uint64_t start_ns = wf_clock_mono_ns(), when_ns = start_ns + (uint64_t)i * 1300000;
        assert_int_equal(wf_timer_start(&loop, &k.timer, when_ns), 0);
        ticks = 0;
        int turns = 0;
        while (ticks == 0) {
            wf_loop_poll(&loop, -1);
            turns++;
        }
        assert_int_equal(turns, 1); /* a turn too early would have been one for nothing */
        assert_true(wf_clock_mono_ns() >= when_ns);
        assert_true(wf_clock_mono_ns() - when_ns < WF_NS_PER_S); /* a busy machine */
    }
    uint64_t start_ns = wf_clock_mono_ns();
    assert_int_equal(wf_timer_start(&loop, &k.timer, start_ns + 3600 * WF_NS_PER_S), 0);
    assert_int_equal(wf_loop_poll(&loop, 2500000), 0);
    assert_true(wf_clock_mono_ns() - start_ns >= 2500000);
    assert_int_equal(wf_timer_start(&loop, &k.timer, UINT64_MAX), 0);
    assert_int_equal(wf_loop_poll(&loop, 1), 0);
    wf_loop_close(&loop);
}

static void milliseconds_are_rounded_up(void **state) {
    assert_int_equal(wf_timeout_ms(-1), -1);
    assert_int_equal(wf_timeout_ms(INT64_MIN), -1);
    assert_int_equal(wf_timeout_ms(0), 0);
    assert_int_equal(wf_timeout_ms(1), 1);
    assert_int_equal(wf_timeout_ms(1000000), 1);
    assert_int_equal(wf_timeout_ms(1000001), 2);
    assert_int_equal(wf_timeout_ms(INT64_MAX), INT_MAX);
}

static void a_timer_that_starts_itself_for_the_past_starves_nobody(void **state) {
    struct wf_loop loop;
    struct tick eager, other, stopped;
    open_loop(&loop);
    ticks = 0;
    tick_init(&eager, &loop);
    tick_init(&other, &loop);
    tick_init(&stopped, &loop);
    eager.again = true;
    other.stops = &stopped;
    assert_int_equal(wf_timer_start(&loop, &eager.timer, 1), 0);
    assert_int_equal(wf_timer_start(&loop, &other.timer, loop.now_ns), 0);
    assert_int_equal(wf_timer_start(&loop, &stopped.timer, loop.now_ns), 0);
    assert_int_equal(turn(&loop), 2);
    assert_int_equal(eager.order, 1);
    assert_int_equal(other.order, 2);
    assert_int_equal(stopped.order, 0);
    assert_int_equal(turn(&loop), 1);
    assert_int_equal(eager.order, 3);
    assert_true(wf_timer_active(&eager.timer));
    wf_loop_close(&loop);
    assert_false(wf_timer_active(&eager.timer));
}

/* ---- posts and wakes ---- */

enum { POSTERS = 4, POSTS = 5000 };
struct numbered {
    struct wf_post post;
    int thread, number;
};
static struct poster {
    pthread_t thread;
    struct wf_loop *loop;
    int id, next; /* the number that has to come next */
} posters[POSTERS];
static int posts_run;

static void on_numbered(struct wf_post *p) {
    struct numbered *n = wf_container_of(p, struct numbered, post);
    assert_int_equal(n->number, posters[n->thread].next++);
    posts_run++;
    free(n);
}

static void *post_many(void *arg) {
    struct poster *me = arg;
    for (int i = 0; i < POSTS; i++) {
        struct numbered *n = malloc(sizeof(*n));
        *n = (struct numbered){.post.cb = on_numbered, .thread = me->id, .number = i};
        wf_loop_post(me->loop, &n->post);
    }
    return NULL;
}

static void posts_of_one_thread_keep_their_order_and_none_is_lost(void **state) {
    struct wf_loop loop;
    open_loop(&loop);
    posts_run = 0;
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.loop = &loop, .id = i};
        pthread_create(&posters[i].thread, NULL, post_many, &posters[i]);
    }
    int ran = 0;
    while (posts_run < POSTERS * POSTS) {
        int rc = wf_loop_poll(&loop, 5 * (int64_t)WF_NS_PER_S);
        assert_true(rc >= 0);
        ran += rc;
    }
    assert_int_equal(ran, POSTERS * POSTS);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(posters[i].thread, NULL);
    }
    wf_loop_close(&loop);
}

static struct wf_loop *chained_loop;
static struct wf_post chained;
static int chain_runs;

static void post_again(struct wf_post *p) {
    if (++chain_runs < 3) {
        wf_loop_post(chained_loop, p);
    }
}

static void a_post_may_post_again_and_close_runs_the_rest(void **state) {
    struct wf_loop loop;
    open_loop(&loop);
    chained_loop = &loop;
    chain_runs = 0;
    chained.cb = post_again;
    wf_loop_post(&loop, &chained);
    assert_int_equal(wf_loop_poll(&loop, -1), 1);
    assert_int_equal(chain_runs, 1);
    wf_loop_close(&loop);
    assert_int_equal(chain_runs, 3);
}

static void *wake_soon(void *arg) {
    usleep(20000);
    wf_loop_wake(arg);
    return NULL;
}

static void a_wake_ends_this_wait_or_the_next(void **state) {
    struct wf_loop loop;
    pthread_t thread;
    open_loop(&loop);
    pthread_create(&thread, NULL, wake_soon, &loop);
    assert_int_equal(wf_loop_poll(&loop, -1), 0);
    pthread_join(thread, NULL);
    wf_loop_wake(&loop);
    wf_loop_wake(&loop);
    assert_int_equal(wf_loop_poll(&loop, -1), 0);
    uint64_t start_ns = wf_clock_mono_ns();
    assert_int_equal(wf_loop_poll(&loop, 5 * (int64_t)WF_NS_PER_MS), 0);
    assert_true(wf_clock_mono_ns() - start_ns >= 5 * WF_NS_PER_MS); /* both in one */
    wf_loop_close(&loop);
}

/* ---- signals ---- */

struct told {
    struct wf_signal signal;
    struct wf_loop *loop;
    int calls;
    struct told *stops;
};

static void on_told(struct wf_signal *s) {
    struct told *t = wf_container_of(s, struct told, signal);
    t->calls++;
    if (t->stops != NULL) {
        wf_signal_stop(t->loop, &t->stops->signal);
    }
}

static volatile sig_atomic_t plain_signals;
static void on_plain_signal(int signo) {
    plain_signals++;
}

static void signals_are_told_to_their_loop_alone(void **state) {
    struct wf_loop loop, second;
    open_loop(&loop);
    open_loop(&second);
    signal(SIGUSR1, on_plain_signal);
    plain_signals = 0;
    struct told a = {.signal.cb = on_told, .loop = &loop}, b = a, c = a, other = a;
    assert_int_equal(wf_signal_start(&loop, &a.signal, 0), -EINVAL);
    assert_int_equal(wf_signal_start(&loop, &a.signal, 1000), -EINVAL);
    assert_int_equal(wf_signal_start(&loop, &a.signal, SIGKILL), -EINVAL);
    assert_int_equal(wf_signal_start(&loop, &a.signal, SIGUSR1), 0);
    assert_int_equal(wf_signal_start(&loop, &b.signal, SIGUSR1), 0);
    assert_int_equal(wf_signal_start(&loop, &c.signal, SIGUSR2), 0);
    assert_int_equal(wf_signal_start(&second, &other.signal, SIGUSR1), -EBUSY);
    wf_signal_stop(&second, &other.signal);
    raise(SIGUSR1);
    raise(SIGUSR1);
    assert_int_equal(wf_loop_poll(&second, 0), 0);
    assert_int_equal(wf_loop_poll(&loop, -1), 2);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 1);
    assert_int_equal(c.calls, 0);
    assert_int_equal(plain_signals, 0);

    a.stops = &b;
    raise(SIGUSR1);
    assert_int_equal(wf_loop_poll(&loop, -1), 1);
    assert_int_equal(b.calls, 1);

    a.stops = &a; /* the last: the old handler is back */
    raise(SIGUSR1);
    assert_int_equal(wf_loop_poll(&loop, -1), 1);
    raise(SIGUSR1);
    assert_int_equal(plain_signals, 1);
    assert_int_equal(wf_loop_poll(&loop, 0), 0);

    assert_int_equal(wf_signal_start(&second, &other.signal, SIGUSR1), 0);
    raise(SIGUSR2);
    wf_loop_close(&loop); /* told to nobody any more */
    raise(SIGUSR1);
    assert_int_equal(wf_loop_poll(&second, -1), 1);
    wf_loop_close(&second);
    raise(SIGUSR1);
    assert_int_equal(plain_signals, 2);
    assert_int_equal(c.calls, 0);
    signal(SIGUSR1, SIG_DFL);
}

static void a_handler_put_over_ours_stays(void **state) {
    struct wf_loop loop;
    open_loop(&loop);
    struct told a = {.signal.cb = on_told, .loop = &loop};
    assert_int_equal(wf_signal_start(&loop, &a.signal, SIGUSR1), 0);
    signal(SIGUSR1, on_plain_signal);
    wf_signal_stop(&loop, &a.signal);
    plain_signals = 0;
    raise(SIGUSR1);
    assert_int_equal(plain_signals, 1);
    wf_loop_close(&loop);
    signal(SIGUSR1, SIG_DFL);
}

static void *interrupt_soon(void *arg) {
    usleep(20000);
    pthread_kill(*(pthread_t *)arg, SIGUSR2);
    return NULL;
}

static void an_interrupted_wait_is_a_turn_of_nothing(void **state) {
    struct wf_loop loop;
    pthread_t me = pthread_self(), thread;
    struct sigaction action = {.sa_handler = on_plain_signal};
    sigaction(SIGUSR2, &action, NULL);
    open_loop(&loop);
    plain_signals = 0;
    pthread_create(&thread, NULL, interrupt_soon, &me);
    assert_int_equal(wf_loop_poll(&loop, 10 * (int64_t)WF_NS_PER_S), 0);
    pthread_join(thread, NULL);
    assert_int_equal(plain_signals, 1);
    wf_loop_close(&loop);
    signal(SIGUSR2, SIG_DFL);
}

/* ---- failures ---- */

static void everything_is_given_back_when_memory_is_out(void **state) {
    int before = open_descriptors();
    int fds[2];
    open_pair(fds);
    int outcomes = 0;
    for (unsigned long nth = 1; outcomes != 3; nth++) {
        struct wf_loop loop;
        struct probe p;
        struct tick k;
        outcomes = 0;
        wf_alloc_fail_from(nth);
        int rc = wf_loop_init(&loop, poller);
        if (rc == 0) {
            outcomes++;
            probe_init(&p, &loop, fds[0]);
            int set = wf_watch_set(&loop, &p.watch, WF_READ);
            tick_init(&k, &loop);
            int started = wf_timer_start(&loop, &k.timer, 1);
            wf_alloc_fail_from(0);
            assert_true(set == 0 || set == -ENOMEM);
            assert_int_equal(p.watch.want, set == 0 ? WF_READ : 0);
            assert_true(started == 0 || started == -ENOMEM);
            assert_int_equal(wf_timer_active(&k.timer), started == 0);
            outcomes += (set == 0) + (started == 0);
            wf_watch_stop(&loop, &p.watch);
            assert_int_equal(turn(&loop), started == 0);
            wf_loop_close(&loop);
        }
        wf_alloc_fail_from(0);
        assert_true(rc == 0 || rc == -ENOMEM);
        assert_true(nth < 20);
    }
    close_pair(fds);
    assert_int_equal(open_descriptors(), before);
}

static void everything_is_given_back_when_descriptors_are_out(void **state) {
    struct rlimit old, tight;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int before = open_descriptors();
    int rc = -EMFILE;
    for (rlim_t n = 3; rc != 0; n++) { /* numbers at and above n are refused */
        tight = (struct rlimit){.rlim_cur = n, .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        struct wf_loop loop;
        rc = wf_loop_init(&loop, poller);
        if (rc == 0) {
            wf_loop_close(&loop);
        }
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_true(rc == 0 || rc == -EMFILE);
        assert_true(n < 100);
    }
    assert_int_equal(open_descriptors(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_consumed_is_reported_again),
        cmocka_unit_test(asking_for_the_same_again_and_pausing_cost_nothing),
        cmocka_unit_test(a_stopped_watch_is_not_called_though_it_was_collected),
        cmocka_unit_test(a_callback_may_free_its_own_watch),
        cmocka_unit_test(a_paused_watch_is_not_called_though_it_was_collected),
        cmocka_unit_test(a_peer_that_closes_is_readable_and_ends_writing),
        cmocka_unit_test(a_pipe_that_lost_its_other_end_is_told),
        cmocka_unit_test(descriptors_that_cannot_be_watched_are_refused),
        cmocka_unit_test(a_descriptor_closed_too_early_does_no_harm),
        cmocka_unit_test(every_ready_descriptor_gets_its_turn),
        cmocka_unit_test(callbacks_may_change_everything),
        cmocka_unit_test(timers_fire_in_order_and_only_when_due),
        cmocka_unit_test(a_wait_ends_with_the_timer_and_not_before),
        cmocka_unit_test(milliseconds_are_rounded_up),
        cmocka_unit_test(a_timer_that_starts_itself_for_the_past_starves_nobody),
        cmocka_unit_test(posts_of_one_thread_keep_their_order_and_none_is_lost),
        cmocka_unit_test(a_post_may_post_again_and_close_runs_the_rest),
        cmocka_unit_test(a_wake_ends_this_wait_or_the_next),
        cmocka_unit_test(signals_are_told_to_their_loop_alone),
        cmocka_unit_test(a_handler_put_over_ours_stays),
        cmocka_unit_test(an_interrupted_wait_is_a_turn_of_nothing),
        cmocka_unit_test(everything_is_given_back_when_memory_is_out),
        cmocka_unit_test(everything_is_given_back_when_descriptors_are_out),
    };
    return run_over_every_poller(tests);
}
