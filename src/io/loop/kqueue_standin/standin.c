/* kqueue(2) on ppoll(2), so that Linux can run ../kqueue.c under the loop's tests. It is our
 * reading of the manual and no kernel: what a BSD does differently from its manual is not found
 * here.
 *
 * Modelled: one knote for each (descriptor, filter), EV_ADD of one that exists updates it,
 * EV_DELETE of one that does not is ENOENT, closing a descriptor removes its knotes, EV_EOF with
 * the socket's error in fflags, errors of changes by errno where `events` has no room. */
#include <sys/event.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>

enum { KQ_MAX = 1024, KNOTES_MAX = 2048 };

struct queue {
    int n, next; /* next: where the next wait begins to look */
    struct kevent notes[KNOTES_MAX];
};
static struct queue *queues[KQ_MAX]; /* by descriptor; freed when the number comes again */

int kqueue(void) {
    int fd = eventfd(0, EFD_CLOEXEC); /* a number of our own, and something to close */
    if (fd < 0 || fd >= KQ_MAX) {
        return -1;
    }
    free(queues[fd]);
    queues[fd] = calloc(1, sizeof(struct queue));
    return queues[fd] == NULL ? -1 : fd;
}

static bool is_open(const struct kevent *note) {
    return fcntl((int)note->ident, F_GETFD) >= 0;
}

static void drop_closed(struct queue *q) {
    for (int i = 0; i < q->n;) {
        if (is_open(&q->notes[i])) {
            i++;
        } else {
            q->notes[i] = q->notes[--q->n];
        }
    }
}

/* Returns 0 or an errno. */
static int apply(struct queue *q, const struct kevent *change) {
    int at = 0;
    while (at < q->n &&
           (q->notes[at].ident != change->ident || q->notes[at].filter != change->filter)) {
        at++;
    }
    if (!is_open(change)) {
        return EBADF;
    }
    if (change->flags & EV_DELETE) {
        if (at == q->n) {
            return ENOENT;
        }
        q->notes[at] = q->notes[--q->n];
        return 0;
    }
    if (at == KNOTES_MAX) {
        return ENOMEM;
    }
    q->n += at == q->n;
    q->notes[at] = *change;
    q->notes[at].flags = 0;
    return 0;
}

static struct kevent event_of(const struct kevent *note, short ready) {
    struct kevent ev = *note;
    if (ready & POLLERR) {
        ev.fflags = EIO; /* some error: asking the socket which one would take it away */
    }
    if (ready & (POLLHUP | POLLERR | (note->filter == EVFILT_READ ? POLLRDHUP : 0))) {
        ev.flags |= EV_EOF;
    }
    return ev;
}

int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
           const struct timespec *timeout) {
    struct queue *q = queues[kq];
    drop_closed(q);
    for (int i = 0; i < nchanges; i++) {
        int error = apply(q, &changes[i]);
        if (error != 0) {
            errno = error;
            return -1;
        }
    }
    if (nevents == 0) {
        return 0;
    }
    static struct pollfd fds[KNOTES_MAX];
    for (int i = 0; i < q->n; i++) {
        bool reads = q->notes[i].filter == EVFILT_READ;
        fds[i] = (struct pollfd){.fd = (int)q->notes[i].ident,
                                 .events = reads ? POLLIN | POLLRDHUP : POLLOUT};
    }
    if (ppoll(fds, (nfds_t)q->n, timeout, NULL) < 0) {
        return -1;
    }
    int found = 0, at = q->next < q->n ? q->next : 0;
    for (int i = 0; i < q->n && found < nevents; i++, at = (at + 1) % q->n) {
        if (fds[at].revents != 0) {
            events[found++] = event_of(&q->notes[at], fds[at].revents);
        }
    }
    q->next = at;
    return found;
}
