/* kqueue(2): macOS and the BSDs. Reading and writing are two filters, each with its own event. */
#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>
#include <unistd.h>

#include "io/loop/loop_int.h"

struct kqueue_state {
    int fd;
    struct kevent events[WF_EVENTS_MAX];
};

static int kqueue_open(struct wf_loop *loop) {
    struct kqueue_state *st = wf_malloc(sizeof(*st));
    if (st == NULL) {
        return -ENOMEM;
    }
    st->fd = kqueue();
    if (st->fd < 0) {
        int rc = -errno;
        wf_free(st);
        return rc;
    }
    loop->poller_state = st;
    return 0;
}

static void kqueue_close(struct wf_loop *loop) {
    struct kqueue_state *st = loop->poller_state;
    close(st->fd);
    wf_free(st);
}

/* Adds or deletes the filter of `bit`, if it differs between `from` and `to`. */
static int kqueue_apply(struct kqueue_state *st, struct wf_watch *w, unsigned bit, unsigned from,
                        unsigned to) {
    if (((from ^ to) & bit) == 0) {
        return 0;
    }
    struct kevent ev;
    EV_SET(&ev, w->fd, bit == WF_READ ? EVFILT_READ : EVFILT_WRITE,
           (to & bit) != 0 ? EV_ADD : EV_DELETE, 0, 0, w);
    if (kevent(st->fd, &ev, 1, NULL, 0, NULL) == 0) {
        return 0;
    }
    /* A filter that is to go and is not there has gone with its descriptor. */
    return (to & bit) == 0 ? 0 : -errno;
}

static int kqueue_change(struct wf_loop *loop, struct wf_watch *w, unsigned arm) {
    struct kqueue_state *st = loop->poller_state;
    int rc = kqueue_apply(st, w, WF_READ, w->armed, arm);
    if (rc != 0) {
        return rc;
    }
    rc = kqueue_apply(st, w, WF_WRITE, w->armed, arm);
    if (rc != 0) {
        kqueue_apply(st, w, WF_READ, arm, w->armed);
    }
    return rc;
}

/* EV_EOF on reading is the peer's half-close, which is readable and no more, unless it brings an
 * error along; on writing nobody is left to read. */
static unsigned ready_bits(const struct kevent *ev) {
    bool gone = (ev->flags & EV_ERROR) != 0 ||
                ((ev->flags & EV_EOF) != 0 && (ev->filter == EVFILT_WRITE || ev->fflags != 0));
    return (ev->filter == EVFILT_READ ? WF_READ : WF_WRITE) | (gone ? WF_HANGUP : 0u);
}

static int kqueue_wait_ready(struct wf_loop *loop, int64_t timeout_ns) {
    struct kqueue_state *st = loop->poller_state;
    struct timespec ts = {.tv_sec = timeout_ns / (int64_t)WF_NS_PER_S,
                          .tv_nsec = timeout_ns % (int64_t)WF_NS_PER_S};
    int n = kevent(st->fd, NULL, 0, st->events, WF_EVENTS_MAX, timeout_ns < 0 ? NULL : &ts);
    if (n < 0) {
        return -errno;
    }
    for (int i = 0; i < n; i++) {
        wf_ready_add(loop, st->events[i].udata, ready_bits(&st->events[i]));
    }
    return 0;
}

const struct wf_poller wf_poller_kqueue = {
    .name = "kqueue",
    .open = kqueue_open,
    .close = kqueue_close,
    .change = kqueue_change,
    .wait = kqueue_wait_ready,
};
