#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/alloc.h"
#include "io/os.h"
#include "py/transport/chunks.h"

/* Pieces a call: more than this and the array on the stack costs more than the calls it saves. */
enum { IOV_MAX_A_CALL = 128 };
/* Calls in a row for one transport, so that a fast reader does not starve the others. */
enum { CALLS_A_TURN = 4 };

static int make_room(struct wf_chunks *q) {
    if (q->first != 0 && q->first >= q->cap / 2) { /* at least half is free: use it */
        memmove(q->slots, q->slots + q->first, q->n * sizeof(*q->slots));
        q->first = 0;
        return 0;
    }
    size_t cap = q->cap != 0 ? q->cap * 2 : 8;
    PyObject **slots = wf_realloc(q->slots, cap * sizeof(*slots));
    if (slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    q->slots = slots;
    q->cap = cap;
    return 0;
}

int wf_chunks_push(struct wf_chunks *q, PyObject *bytes, size_t skip) {
    size_t len = (size_t)PyBytes_GET_SIZE(bytes);
    WF_ASSERT(skip < len && (skip == 0 || q->n == 0));
    if (q->first + q->n == q->cap && make_room(q) < 0) {
        return -1;
    }
    q->slots[q->first + q->n++] = Py_NewRef(bytes);
    q->size += len - skip;
    if (skip != 0) {
        q->sent = skip;
    }
    return 0;
}

static void drop_sent(struct wf_chunks *q, size_t n) {
    q->size -= n;
    n += q->sent;
    while (q->n != 0 && n >= (size_t)PyBytes_GET_SIZE(q->slots[q->first])) {
        n -= (size_t)PyBytes_GET_SIZE(q->slots[q->first]);
        Py_DECREF(q->slots[q->first]);
        q->first++;
        q->n--;
    }
    q->sent = n;
    if (q->n == 0) {
        q->first = 0;
    }
}

static size_t fill(const struct wf_chunks *q, struct iovec *iov, size_t *len) {
    size_t n = WF_MIN(q->n, (size_t)IOV_MAX_A_CALL), skip = q->sent;
    *len = 0;
    for (size_t i = 0; i < n; i++) {
        PyObject *bytes = q->slots[q->first + i]; /* borrowed */
        iov[i].iov_base = PyBytes_AS_STRING(bytes) + skip;
        iov[i].iov_len = (size_t)PyBytes_GET_SIZE(bytes) - skip;
        *len += iov[i].iov_len;
        skip = 0;
    }
    return n;
}

int wf_chunks_send(struct wf_chunks *q, int fd, bool is_socket) {
    struct iovec iov[IOV_MAX_A_CALL];
    for (int calls = 0; q->n != 0 && calls < CALLS_A_TURN; calls++) {
        size_t len;
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = fill(q, iov, &len)};
        ssize_t n =
            is_socket ? sendmsg(fd, &msg, MSG_NOSIGNAL) : writev(fd, iov, (int)msg.msg_iovlen);
        if (n < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
        }
        drop_sent(q, (size_t)n);
        if ((size_t)n < len) {
            break; /* the kernel's buffer is full */
        }
    }
    return 0;
}

void wf_chunks_clear(struct wf_chunks *q) {
    struct wf_chunks old = *q; /* freeing bytes runs no Python, but nothing is lost by being sure */
    *q = (struct wf_chunks){0};
    for (size_t i = 0; i < old.n; i++) {
        Py_DECREF(old.slots[old.first + i]);
    }
    wf_free(old.slots);
}
