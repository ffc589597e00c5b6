#include "io/loop/loop.h"

#include <string.h>

#include "io/loop/loop_int.h"
#include "io/os.h"

/* ---- descriptors ---- */

int wf_watch_set(struct wf_loop *loop, struct wf_watch *w, unsigned want) {
    WF_ASSERT((want & ~(unsigned)(WF_READ | WF_WRITE)) == 0);
    if (want == w->want) {
        return 0;
    }
    /* Reading stays armed when it is no longer wanted: a paused reader often goes on before
     * anything arrives, and run_watches disarms it when something does. Writing does not: a socket
     * is nearly always writable, so the next wait would not wait. */
    unsigned arm = want | (w->armed & WF_READ);
    if (arm != w->armed) {
        int rc = loop->poller->change(loop, w, arm);
        if (rc != 0) {
            return rc;
        }
        w->armed = (uint8_t)arm;
    }
    w->want = (uint8_t)want;
    return 0;
}

void wf_watch_stop(struct wf_loop *loop, struct wf_watch *w) {
    if (w->slot != 0) {
        loop->ready[w->slot - 1].watch = NULL;
        w->slot = 0;
    }
    if (w->armed != 0) {
        loop->poller->change(loop, w, 0);
        w->armed = 0;
    }
    w->want = 0;
}

static int run_watches(struct wf_loop *loop) {
    int ran = 0;
    for (unsigned i = 0; i < loop->ready_len; i++) {
        struct wf_watch *w = loop->ready[i].watch;
        if (w == NULL) {
            continue;
        }
        w->slot = 0;
        unsigned bits = loop->ready[i].bits;
        unsigned unwanted = w->armed & ~w->want;
        if (wf_unlikely(unwanted != 0) && (bits & (unwanted | WF_HANGUP)) != 0 &&
            loop->poller->change(loop, w, w->want) == 0) {
            w->armed = w->want;
        }
        if (wf_unlikely(bits & WF_HANGUP)) {
            bits |= w->want; /* whoever reads or writes learns it by trying */
        }
        if (wf_unlikely((bits & w->want) == 0)) {
            continue;
        }
        ran += w != &loop->waker;
        w->cb(w, bits & (w->want | WF_HANGUP)); /* may free w */
    }
    loop->ready_len = 0;
    return ran;
}

/* ---- timers ---- */

int wf_timer_start(struct wf_loop *loop, struct wf_timer *t, uint64_t when_ns) {
    wf_heap_remove(&loop->timers, &t->node);
    return wf_heap_insert(&loop->timers, &t->node, WF_MAX(when_ns, loop->timer_floor_ns));
}

void wf_timer_stop(struct wf_loop *loop, struct wf_timer *t) {
    wf_heap_remove(&loop->timers, &t->node);
}

/* A timer whose callback starts it again for a time in the past must neither keep this turn going
 * for ever nor push in front of others that are due: until all have been called, nothing starts for
 * earlier than now, and what started since then waits for the next turn. */
static int run_timers(struct wf_loop *loop) {
    uint64_t now_ns = loop->now_ns, first_new = loop->timers.next_seq;
    int ran = 0;
    loop->timer_floor_ns = now_ns;
    struct wf_heap_slot first;
    while ((first = wf_heap_first(&loop->timers)).node != NULL && first.key <= now_ns &&
           first.seq < first_new) {
        struct wf_timer *t = wf_container_of(first.node, struct wf_timer, node);
        wf_heap_remove(&loop->timers, first.node);
        ran++;
        t->cb(t); /* may free t */
    }
    loop->timer_floor_ns = 0;
    return ran;
}

/* How long a turn may wait. The clock is read for it: callbacks since the last wait took their
 * time. */
static int64_t until_next_timer(struct wf_loop *loop, int64_t timeout_ns) {
    if (timeout_ns == 0 || wf_heap_min(&loop->timers) == NULL) {
        return timeout_ns;
    }
    uint64_t when_ns = wf_heap_min_key(&loop->timers), now_ns = wf_loop_now(loop);
    if (when_ns <= now_ns) {
        return 0;
    }
    int64_t left_ns = (int64_t)WF_MIN(when_ns - now_ns, (uint64_t)INT64_MAX);
    return timeout_ns < 0 ? left_ns : WF_MIN(timeout_ns, left_ns);
}

/* ---- posts and wakes ---- */

void wf_loop_wake(struct wf_loop *loop) {
    if (atomic_exchange(&loop->woken, true)) {
        return;
    }
    int saved = errno; /* we may be in a signal handler */
    uint64_t one = 1;
    ssize_t rc = write(loop->waker_write_fd, &one, sizeof(one));
    (void)rc; /* full is as good: it is readable then */
    errno = saved;
}

/* Reads first: a wake that comes in between is told again, needlessly; in the other order its byte
 * would be swallowed while `woken` says that it is still to be seen. The exchange pairs with the
 * one above: what was posted before a wake that saw `woken` set is visible from here on. */
static void on_wake(struct wf_watch *w, unsigned ready) {
    struct wf_loop *loop = wf_container_of(w, struct wf_loop, waker);
    char buf[64];
    ssize_t rc = read(w->fd, buf, sizeof(buf));
    (void)rc;
    atomic_exchange(&loop->woken, false);
}

void wf_loop_post(struct wf_loop *loop, struct wf_post *p) {
    p->next = atomic_load_explicit(&loop->posts, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&loop->posts, &p->next, p, memory_order_release,
                                                  memory_order_relaxed)) {
    }
    wf_loop_wake(loop);
}

static int run_posts(struct wf_loop *loop) {
    if (wf_likely(atomic_load_explicit(&loop->posts, memory_order_relaxed) == NULL)) {
        return 0;
    }
    struct wf_post *newest = atomic_exchange_explicit(&loop->posts, NULL, memory_order_acquire);
    struct wf_post *oldest = NULL;
    while (newest != NULL) {
        struct wf_post *p = newest;
        newest = p->next;
        p->next = oldest;
        oldest = p;
    }
    int ran = 0;
    while (oldest != NULL) {
        struct wf_post *p = oldest;
        oldest = p->next;
        ran++;
        p->cb(p); /* may free p */
    }
    return ran;
}

/* ---- the loop ---- */

/* Others are tried only where the kernel does not offer the better one, or a sandbox forbids it. */
static int open_poller(struct wf_loop *loop, const struct wf_poller *poller) {
    const struct wf_poller *one[] = {poller, NULL};
    int rc = -ENOSYS;
    for (const struct wf_poller *const *p = poller != NULL ? one : wf_pollers; *p != NULL; p++) {
        loop->poller = *p;
        rc = (*p)->open(loop);
        if (rc != -ENOSYS && rc != -EPERM) {
            break;
        }
    }
    return rc;
}

int wf_loop_init(struct wf_loop *loop, const struct wf_poller *poller) {
    memset(loop, 0, sizeof(*loop));
    wf_heap_init(&loop->timers);
    wf_list_init(&loop->signals);
    wf_loop_now(loop);
    loop->ready = wf_malloc(WF_EVENTS_MAX * sizeof(*loop->ready));
    if (loop->ready == NULL) {
        return -ENOMEM;
    }
    int rc = open_poller(loop, poller);
    if (rc != 0) {
        goto fail_ready;
    }
    int read_fd;
    if (wf_os_waker(&read_fd, &loop->waker_write_fd) != 0) {
        rc = -errno;
        goto fail_poller;
    }
    wf_watch_init(&loop->waker, read_fd, on_wake);
    rc = wf_watch_set(loop, &loop->waker, WF_READ);
    if (rc != 0) {
        goto fail_waker;
    }
    return 0;

fail_waker:
    if (loop->waker_write_fd != read_fd) {
        close(loop->waker_write_fd);
    }
    close(read_fd);
fail_poller:
    loop->poller->close(loop);
fail_ready:
    wf_free(loop->ready);
    loop->ready = NULL;
    return rc;
}

void wf_loop_close(struct wf_loop *loop) {
    while (run_posts(loop) != 0) {
    }
    wf_signals_close(loop);
    wf_watch_stop(loop, &loop->waker);
    if (loop->waker_write_fd != loop->waker.fd) {
        close(loop->waker_write_fd);
    }
    close(loop->waker.fd);
    loop->poller->close(loop);
    wf_heap_free(&loop->timers);
    wf_free(loop->ready);
    loop->ready = NULL;
}

int wf_loop_poll(struct wf_loop *loop, int64_t timeout_ns) {
    int rc = loop->poller->wait(loop, until_next_timer(loop, timeout_ns));
    wf_loop_now(loop);
    if (wf_unlikely(rc != 0) && rc != -EINTR) {
        return rc;
    }
    int ran = run_watches(loop);
    ran += run_posts(loop);
    ran += wf_signals_run(loop);
    ran += run_timers(loop);
    return ran;
}
