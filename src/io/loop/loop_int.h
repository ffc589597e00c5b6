/* What the files of this room share: the pollers' table, and what a wait collects. */
#ifndef WF_IO_LOOP_INT_H
#define WF_IO_LOOP_INT_H

#include <errno.h>
#include <limits.h>

#include "base/alloc.h"
#include "io/loop/loop.h"

/* More at once would only delay posts and timers: what is left over is reported by the next wait.
 */
enum { WF_EVENTS_MAX = 256 };

struct wf_poller {
    const char *name;
    int (*open)(struct wf_loop *loop); /* sets loop->poller_state. 0 or -errno */
    void (*close)(struct wf_loop *loop);
    /* From w->armed to `arm` (another one): WF_READ | WF_WRITE, 0 forgets. Returns 0 or -errno; to
     * forget always succeeds, also where the descriptor is closed already. Does not set w->armed.
     */
    int (*change)(struct wf_loop *loop, struct wf_watch *w, unsigned arm);
    /* Waits and collects with wf_ready_add. timeout_ns < 0: without end. Never back too early, but
     * for EINTR. Returns 0 or -errno. */
    int (*wait)(struct wf_loop *loop, int64_t timeout_ns);
};

extern const struct wf_poller wf_poller_epoll, wf_poller_kqueue, wf_poller_poll;

struct wf_ready {
    struct wf_watch *watch; /* NULL: stopped since */
    unsigned bits;
};

/* A watch that is there already (kqueue reports reading and writing apart) gets the bits too. */
static inline void wf_ready_add(struct wf_loop *loop, struct wf_watch *w, unsigned bits) {
    if (w->slot == 0) {
        WF_ASSERT(loop->ready_len < WF_EVENTS_MAX);
        loop->ready[loop->ready_len++] = (struct wf_ready){w, bits};
        w->slot = (uint16_t)loop->ready_len;
    } else {
        loop->ready[w->slot - 1].bits |= bits;
    }
}

/* For waits that count in milliseconds: up, as a timer must not find that it is too early. */
static inline int wf_timeout_ms(int64_t timeout_ns) {
    if (timeout_ns < 0) {
        return -1;
    }
    int64_t ms = timeout_ns / (int64_t)WF_NS_PER_MS + (timeout_ns % (int64_t)WF_NS_PER_MS != 0);
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* signal.c */
int wf_signals_run(struct wf_loop *loop); /* returns how many callbacks ran */
void wf_signals_close(struct wf_loop *loop);

#endif
