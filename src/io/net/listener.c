#include <errno.h>
#include <sys/stat.h>

#include "io/net/net.h"
#include "io/os.h"

static socklen_t addr_room(void) {
    return (socklen_t)(sizeof(struct wf_addr) - offsetof(struct wf_addr, sa));
}

/* ---- accepting ---- */

/* The connection died in the backlog, or a firewall refused it: the next one may be fine. Linux
 * hands pending network errors of the new socket to accept(2) as well. */
static bool is_that_connections_own(int error) {
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
#ifdef ENONET
    case ENONET:
#endif
        return true;
    default:
        return false;
    }
}

/* No descriptor or memory is left. The backlog keeps waiting connections; asking at once again
 * would only spin. Without memory for the timer it does spin, once a turn, but goes on. */
static void rest(struct wf_listener *l) {
    uint64_t when_ns = l->loop->now_ns + WF_ACCEPT_BACKOFF_MS * WF_NS_PER_MS;
    if (wf_timer_start(l->loop, &l->backoff, when_ns) == 0) {
        wf_watch_set(l->loop, &l->watch, 0);
    }
}

static void on_rested(struct wf_timer *t) {
    struct wf_listener *l = wf_container_of(t, struct wf_listener, backoff);
    if (wf_watch_set(l->loop, &l->watch, WF_READ) != 0) {
        rest(l);
    }
}

/* One turn's share. false where nothing more waits, or accepting is over. */
static bool accept_some(struct wf_listener *l) {
    bool gone = false;
    l->gone = &gone;
    for (int i = 0; i < WF_ACCEPT_BATCH && l->watch.want != 0; i++) {
        struct wf_addr peer;
        peer.len = addr_room();
        int fd = wf_os_accept(l->fd, &peer.sa, &peer.len);
        if (fd >= 0) {
            l->on_accept(l, fd, &peer);
            if (gone) {
                return false;
            }
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            l->gone = NULL;
            return false;
        } else if (!is_that_connections_own(errno)) {
            rest(l);
            l->gone = NULL;
            return false;
        }
    }
    l->gone = NULL;
    return l->watch.want != 0;
}

static void on_acceptable(struct wf_watch *w, unsigned ready) {
    accept_some(wf_container_of(w, struct wf_listener, watch));
}

void wf_listener_accept_all(struct wf_listener *l) {
    while (l->fd >= 0 && accept_some(l)) {
    }
}

/* ---- opening ---- */

/* A socket file that nobody listens on any more: its owner ended without removing it. */
static bool is_stale(const struct wf_addr *addr) {
    struct stat st;
    if (addr->un.sun_path[0] == '\0' || lstat(addr->un.sun_path, &st) != 0 ||
        !S_ISSOCK(st.st_mode)) {
        return false;
    }
    int fd = wf_os_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0) {
        return false;
    }
    bool refused = connect(fd, &addr->sa, addr->len) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int bind_unix(struct wf_listener *l, const struct wf_addr *addr) {
    if (bind(l->fd, &addr->sa, addr->len) != 0) {
        if (errno != EADDRINUSE) {
            return -errno;
        }
        if (!is_stale(addr)) {
            return -EADDRINUSE;
        }
        if (unlink(addr->un.sun_path) != 0 || bind(l->fd, &addr->sa, addr->len) != 0) {
            return -errno;
        }
    }
    struct stat st;
    if (addr->un.sun_path[0] != '\0' && lstat(addr->un.sun_path, &st) == 0) {
        l->path_ino = st.st_ino;
    }
    return 0;
}

static int bind_ip(struct wf_listener *l, const struct wf_addr *addr, unsigned flags) {
    const int on = 1;
    if (setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        ((flags & WF_LISTEN_REUSEPORT) &&
         setsockopt(l->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        (addr->sa.sa_family == AF_INET6 &&
         setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
        bind(l->fd, &addr->sa, addr->len) != 0) {
        return -errno;
    }
    return 0;
}

/* Starts accepting on l->fd, which listens. */
static int start(struct wf_listener *l, struct wf_loop *loop, wf_accept_fn *on_accept) {
    l->loop = loop;
    l->on_accept = on_accept;
    l->addr.len = addr_room();
    if (getsockname(l->fd, &l->addr.sa, &l->addr.len) != 0) {
        return -errno;
    }
    wf_timer_init(&l->backoff, on_rested);
    wf_watch_init(&l->watch, l->fd, on_acceptable);
    return wf_watch_set(loop, &l->watch, WF_READ);
}

/* While our socket is open its inode number is not given away: if it is still there, it is ours. */
static void remove_path(struct wf_listener *l, const struct wf_addr *addr) {
    struct stat st;
    if (l->path_ino != 0 && lstat(addr->un.sun_path, &st) == 0 && st.st_ino == l->path_ino) {
        unlink(addr->un.sun_path);
    }
    l->path_ino = 0;
}

int wf_listener_open(struct wf_listener *l, struct wf_loop *loop, const struct wf_addr *addr,
                     unsigned flags, int backlog, wf_accept_fn *on_accept) {
    *l = (struct wf_listener){.fd = wf_os_socket(addr->sa.sa_family, SOCK_STREAM)};
    if (l->fd < 0) {
        return -errno;
    }
    int rc = addr->sa.sa_family == AF_UNIX ? bind_unix(l, addr) : bind_ip(l, addr, flags);
    if (rc == 0 && listen(l->fd, backlog > 0 ? backlog : WF_LISTEN_BACKLOG) != 0) {
        rc = -errno;
    }
    if (rc == 0) {
        rc = start(l, loop, on_accept);
    }
    if (rc != 0) {
        remove_path(l, addr);
        close(l->fd);
        l->fd = -1;
    }
    return rc;
}

int wf_listener_adopt(struct wf_listener *l, struct wf_loop *loop, int fd,
                      wf_accept_fn *on_accept) {
    *l = (struct wf_listener){.fd = -1};
    int listens = 0;
    socklen_t len = sizeof(listens);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0) {
        return -errno;
    }
    if (!listens) {
        return -EINVAL;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return -errno;
    }
    l->fd = fd;
    int rc = start(l, loop, on_accept);
    if (rc != 0) {
        l->fd = -1;
    }
    return rc;
}

void wf_listener_pause(struct wf_listener *l) {
    wf_timer_stop(l->loop, &l->backoff);
    wf_watch_set(l->loop, &l->watch, 0);
}

int wf_listener_resume(struct wf_listener *l) {
    wf_timer_stop(l->loop, &l->backoff);
    return wf_watch_set(l->loop, &l->watch, WF_READ);
}

void wf_listener_close(struct wf_listener *l) {
    if (l->fd < 0) {
        return;
    }
    if (l->gone != NULL) {
        *l->gone = true;
    }
    wf_timer_stop(l->loop, &l->backoff);
    wf_watch_stop(l->loop, &l->watch);
    remove_path(l, &l->addr);
    close(l->fd);
    l->fd = -1;
}
