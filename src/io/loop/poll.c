/* poll(2): everywhere, and O(n) a wait. The entries are dense; `index` finds one by its descriptor.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "io/loop/loop_int.h"

enum { POLL_CAP_MIN = 16 };

struct poll_state {
    struct pollfd *fds;        /* owned; n of cap */
    struct wf_watch **watches; /* owned; beside fds */
    uint32_t n, cap;
    uint32_t next;      /* where the next wait begins to look, so that all get their turn */
    uint32_t *index;    /* owned; descriptor -> place + 1, or 0 */
    uint32_t index_len; /* descriptors it covers */
};

static int poll_open(struct wf_loop *loop) {
    loop->poller_state = wf_calloc(1, sizeof(struct poll_state));
    return loop->poller_state == NULL ? -ENOMEM : 0;
}

static void poll_close(struct wf_loop *loop) {
    struct poll_state *st = loop->poller_state;
    wf_free(st->fds);
    wf_free(st->watches);
    wf_free(st->index);
    wf_free(st);
}

/* Room for one more entry, and for `fd` in the index. */
static int poll_reserve(struct poll_state *st, int fd) {
    if (st->n == st->cap) {
        uint32_t cap = WF_MAX(st->cap * 2, (uint32_t)POLL_CAP_MIN);
        struct pollfd *fds = wf_realloc(st->fds, cap * sizeof(*fds));
        if (fds == NULL) {
            return -ENOMEM;
        }
        st->fds = fds;
        struct wf_watch **watches = wf_realloc(st->watches, cap * sizeof(*watches));
        if (watches == NULL) {
            return -ENOMEM;
        }
        st->watches = watches;
        st->cap = cap;
    }
    if ((uint32_t)fd >= st->index_len) {
        uint32_t len = WF_MAX((uint32_t)fd + 1, st->index_len * 2);
        uint32_t *index = wf_realloc(st->index, len * sizeof(*index));
        if (index == NULL) {
            return -ENOMEM;
        }
        memset(index + st->index_len, 0, (len - st->index_len) * sizeof(*index));
        st->index = index;
        st->index_len = len;
    }
    return 0;
}

static void poll_remove(struct poll_state *st, uint32_t at) {
    uint32_t last = --st->n;
    st->index[st->fds[at].fd] = 0;
    if (at != last) {
        st->fds[at] = st->fds[last];
        st->watches[at] = st->watches[last];
        st->index[st->fds[at].fd] = at + 1;
    }
}

static int poll_change(struct wf_loop *loop, struct wf_watch *w, unsigned arm) {
    struct poll_state *st = loop->poller_state;
    if (w->armed == 0) {
        if (w->fd < 0 || fcntl(w->fd, F_GETFD) < 0) {
            return -EBADF;
        }
        int rc = poll_reserve(st, w->fd);
        if (rc != 0) {
            return rc;
        }
        if (st->index[w->fd] != 0) {
            return -EEXIST;
        }
        st->fds[st->n] = (struct pollfd){.fd = w->fd};
        st->watches[st->n] = w;
        st->index[w->fd] = ++st->n;
    }
    uint32_t at = st->index[w->fd] - 1;
    WF_ASSERT(st->watches[at] == w);
    if (arm == 0) {
        poll_remove(st, at);
        return 0;
    }
    st->fds[at].events = (short)((arm & WF_READ ? POLLIN : 0) | (arm & WF_WRITE ? POLLOUT : 0));
    return 0;
}

static int poll_wait_ready(struct wf_loop *loop, int64_t timeout_ns) {
    struct poll_state *st = loop->poller_state;
    int left = poll(st->fds, st->n, wf_timeout_ms(timeout_ns));
    if (left < 0) {
        return -errno;
    }
    left = WF_MIN(left, (int)WF_EVENTS_MAX);
    uint32_t at = st->next < st->n ? st->next : 0;
    for (; left > 0; at = at + 1 == st->n ? 0 : at + 1) {
        short ev = st->fds[at].revents;
        if (ev == 0) {
            continue;
        }
        left--;
        wf_ready_add(loop, st->watches[at],
                     (ev & POLLIN ? WF_READ : 0u) | (ev & POLLOUT ? WF_WRITE : 0u) |
                         (ev & (POLLHUP | POLLERR | POLLNVAL) ? WF_HANGUP : 0u));
    }
    st->next = at;
    return 0;
}

const struct wf_poller wf_poller_poll = {
    .name = "poll",
    .open = poll_open,
    .close = poll_close,
    .change = poll_change,
    .wait = poll_wait_ready,
};
