#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "io/loop/loop_int.h"

struct epoll_state {
    int fd;
    pid_t maker; /* the process whose loop this is: a fork shares the kernel's half of it */
    bool has_pwait2;
    struct epoll_event events[WF_EVENTS_MAX];
};

/* Waits in nanoseconds (Linux 5.11). Not through libc, whose wrapper is younger than the call. */
static int pwait2(int fd, struct epoll_event *events, int n, int64_t timeout_ns) {
#ifdef SYS_epoll_pwait2
    struct {
        int64_t s, ns;
    } ts = {timeout_ns / (int64_t)WF_NS_PER_S, timeout_ns % (int64_t)WF_NS_PER_S};
    return (int)syscall(SYS_epoll_pwait2, fd, events, n, &ts, NULL, (size_t)0);
#else
    errno = ENOSYS;
    return -1;
#endif
}

static int epoll_open(struct wf_loop *loop) {
    struct epoll_state *st = wf_malloc(sizeof(*st));
    if (st == NULL) {
        return -ENOMEM;
    }
    st->maker = getpid();
    st->fd = epoll_create1(EPOLL_CLOEXEC);
    if (st->fd < 0) {
        int rc = -errno;
        wf_free(st);
        return rc;
    }
    st->has_pwait2 =
        pwait2(st->fd, st->events, 1, 0) == 0; /* sandboxes refuse what they do not know */
    loop->poller_state = st;
    return 0;
}

static void epoll_close(struct wf_loop *loop) {
    struct epoll_state *st = loop->poller_state;
    close(st->fd);
    wf_free(st);
}

static int epoll_change(struct wf_loop *loop, struct wf_watch *w, unsigned arm) {
    struct epoll_state *st = loop->poller_state;
    struct epoll_event ev = {.data.ptr = w};
    ev.events = ((arm & WF_READ) ? EPOLLIN : 0u) | ((arm & WF_WRITE) ? EPOLLOUT : 0u);
    if (arm == 0) {
        if (getpid() == st->maker) { /* a child at its end would take them from its parent */
            epoll_ctl(st->fd, EPOLL_CTL_DEL, w->fd, &ev);
        }
        return 0;
    }
    if (epoll_ctl(st->fd, w->armed == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, w->fd, &ev) == 0) {
        return 0;
    }
    /* Closed and opened again behind our back: the kernel has forgotten it. */
    if (errno == ENOENT && epoll_ctl(st->fd, EPOLL_CTL_ADD, w->fd, &ev) == 0) {
        return 0;
    }
    return -errno;
}

static int epoll_wait_ready(struct wf_loop *loop, int64_t timeout_ns) {
    struct epoll_state *st = loop->poller_state;
    int n = timeout_ns > 0 && st->has_pwait2
                ? pwait2(st->fd, st->events, WF_EVENTS_MAX, timeout_ns)
                : epoll_wait(st->fd, st->events, WF_EVENTS_MAX, wf_timeout_ms(timeout_ns));
    if (n < 0) {
        return -errno;
    }
    for (int i = 0; i < n; i++) {
        uint32_t ev = st->events[i].events;
        wf_ready_add(loop, st->events[i].data.ptr,
                     ((ev & EPOLLIN) ? WF_READ : 0u) | ((ev & EPOLLOUT) ? WF_WRITE : 0u) |
                         ((ev & (EPOLLHUP | EPOLLERR)) ? WF_HANGUP : 0u));
    }
    return 0;
}

const struct wf_poller wf_poller_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .close = epoll_close,
    .change = epoll_change,
    .wait = epoll_wait_ready,
};
