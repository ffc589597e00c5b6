/* The reactor: waits for descriptors, timers, signals and posts from other threads, and calls back.
 *
 * One turn (wf_loop_poll) is, in order:
 *   1. wait     for descriptors, at most until the next timer, the caller's timeout, or a wake
 *   2. watches  each ready descriptor's callback
 *   3. posts    what other threads handed over, and signals
 *   4. timers   each due timer, earliest first; equal times in the order they were started
 *
 * thread   everything is for the loop's own thread, but for wf_loop_wake and wf_loop_post (any
 *          thread; wake is async-signal-safe too)
 * reentry  a callback may start, change, stop and free any watch or timer, its own included; it may
 *          not call wf_loop_poll or wf_loop_close
 * knows    no protocol and no Python: whoever embeds it decides about the GIL around wf_loop_poll
 */
#ifndef WF_IO_LOOP_H
#define WF_IO_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"

struct wf_loop;

/* ---- descriptors ---- */

enum {
    WF_READ = 1,  /* readable, or the peer closed, or an error waits to be read */
    WF_WRITE = 2, /* writable, or an error waits */
    WF_HANGUP = 4 /* ready only, never wanted: both directions are gone, or an error */
};

struct wf_watch;
/* ready  WF_READ | WF_WRITE | WF_HANGUP, only bits in `want` plus HANGUP */
typedef void wf_watch_fn(struct wf_watch *w, unsigned ready);

/* Embed one in what owns the descriptor. Level-triggered: what is not consumed is reported again.
 */
struct wf_watch {
    wf_watch_fn *cb;
    int fd;        /* borrowed: the loop never closes it */
    uint8_t want;  /* what the owner asks for now */
    uint8_t armed; /* what the poller has been told; the loop's */
    uint16_t slot; /* its place + 1 among what this turn collected; the loop's */
};

static inline void wf_watch_init(struct wf_watch *w, int fd, wf_watch_fn *cb) {
    *w = (struct wf_watch){.cb = cb, .fd = fd};
}

/* Asks for WF_READ and/or WF_WRITE; 0 pauses: no callback comes, but the loop still knows `w`
 * (going back to WF_READ is then free). Asking for the same again costs nothing. One watch a
 * descriptor. Returns 0 or -errno, with nothing changed: EBADF; EPERM for a regular file where the
 * poller cannot wait for those; EEXIST when another watch has the descriptor; ENOMEM, ENOSPC. */
int wf_watch_set(struct wf_loop *loop, struct wf_watch *w, unsigned want);

/* Stops; no callback comes after it, not even one already collected this turn, and `w` may be
 * freed. Call before close(). Harmless where it is not started. */
void wf_watch_stop(struct wf_loop *loop, struct wf_watch *w);

/* ---- timers ---- */

struct wf_timer;
typedef void wf_timer_fn(struct wf_timer *t);

/* Embed one in what waits. */
struct wf_timer {
    struct wf_heap_node node; /* its place, so that stopping costs O(log n) and needs no search */
    wf_timer_fn *cb;
};

static inline void wf_timer_init(struct wf_timer *t, wf_timer_fn *cb) {
    wf_heap_node_init(&t->node);
    t->cb = cb;
}

/* Fires once when the monotonic clock reaches when_ns; a started timer is moved. Returns 0 or
 * -ENOMEM (then it is not started). It is stopped before its callback runs. What a timer's callback
 * starts fires in a later turn at the earliest, even if it is due already. */
int wf_timer_start(struct wf_loop *loop, struct wf_timer *t, uint64_t when_ns);
void wf_timer_stop(struct wf_loop *loop, struct wf_timer *t);
static inline bool wf_timer_active(const struct wf_timer *t) {
    return wf_heap_node_linked(&t->node);
}

/* ---- posts: work handed over by another thread ---- */

struct wf_post;
typedef void wf_post_fn(struct wf_post *p);
struct wf_post {
    struct wf_post *next; /* the loop's */
    wf_post_fn *cb;       /* called once on the loop's thread; may free the post */
};

/* Any thread. The post belongs to the loop until its callback. Posts of one thread keep order. */
void wf_loop_post(struct wf_loop *loop, struct wf_post *p);

/* Any thread, any signal handler: ends the current wait, or the next one at once. */
void wf_loop_wake(struct wf_loop *loop);

/* ---- signals (for servers without Python; PyLoop uses signal.set_wakeup_fd) ---- */

struct wf_signal;
typedef void wf_signal_fn(struct wf_signal *s);
struct wf_signal {
    struct wf_list node;
    wf_signal_fn *cb;
    int signo;
    bool due; /* the loop's */
};
/* Several wf_signals of one loop may wait for the same signal; of two loops, one: the other gets
 * -EBUSY. The first takes the process's handler over, the last to stop puts the old one back.
 * Signals of one number that come faster than turns are told once. Returns 0 or -errno (EINVAL,
 * EBUSY). */
int wf_signal_start(struct wf_loop *loop, struct wf_signal *s, int signo);
void wf_signal_stop(struct wf_loop *loop, struct wf_signal *s);

/* ---- the loop ---- */

/* A platform is a file: epoll.c, poll.c, kqueue.c each offer one of these. */
struct wf_poller;
struct wf_ready;
extern const struct wf_poller *const wf_pollers[]; /* best first, NULL at the end */
const char *wf_poller_name(const struct wf_poller *p);

struct wf_loop {
    uint64_t now_ns; /* the monotonic clock as of the end of the last wait; refresh: wf_loop_now */
    uint64_t
        timer_floor_ns; /* no timer is started for earlier; 0 but for while timers are called */
    struct wf_heap timers;
    const struct wf_poller *poller;
    void *poller_state;     /* owned by the poller */
    struct wf_ready *ready; /* owned: what this turn collected */
    unsigned ready_len;
    _Atomic(struct wf_post *) posts;
    atomic_bool woken;     /* a wake is on its way; saves the write for the second */
    struct wf_watch waker; /* eventfd, or a pipe's reading end */
    int waker_write_fd;
    struct wf_list signals;
    _Atomic(uint64_t) signals_pending; /* bit signo - 1: arrived, not yet told */
};

/* poller  NULL for the best that works here. Returns 0 or -errno. */
int wf_loop_init(struct wf_loop *loop, const struct wf_poller *poller) WF_MUST_USE;
/* Watches and timers still started are forgotten, not called. Posts not yet run are run. No other
 * thread may wake it or post to it any more. */
void wf_loop_close(struct wf_loop *loop);

/* One turn. timeout_ns: how long it may wait; 0 does not wait, negative waits for as long as it
 * takes. Returns how many callbacks ran, or -errno of the wait (EINTR is a turn of 0, not an
 * error). */
int wf_loop_poll(struct wf_loop *loop, int64_t timeout_ns);

static inline uint64_t wf_loop_now(struct wf_loop *loop) {
    return loop->now_ns = wf_clock_mono_ns();
}

#endif
