/* Output is a list of segments and, behind them, `out`. Each segment is what stood in `out` when
 * bytes were borrowed, and then those bytes:
 *
 *     seg_head                    seg_tail
 *     [buf][borrowed] -> ... -> [buf][borrowed]    [out]
 *      ^ sent up to here: in the first segment, or in `out` when there is none
 *
 * The usual reply is `out` alone: one pooled buffer, one send. */
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/uio.h>

#include "base/alloc.h"
#include "io/net/net.h"
#include "io/os.h"

enum {
    IOVECS_MAX =
        64, /* a sendmsg; past some dozens the system call costs little against the copying */
    FILE_BYTES_A_PUSH = 1024 * 1024, /* of files: then the other connections have their turn */
    COPY_MAX = 1024 /* borrowed bytes up to here: copying costs less than a segment and its iovec */
};

struct wf_stream_seg {
    struct wf_stream_seg *next;
    struct wf_buf buf; /* owned */
    size_t buf_sent;
    struct wf_span bytes; /* borrowed; unsent. Of a file only their number counts */
    int fd;               /* borrowed: the file; -1: the bytes are in memory */
    uint64_t offset;      /* of the first unsent byte of the file */
    wf_release_fn *release;
    void *arg; /* borrowed; release's */
};

/* ---- buffers and segments ---- */

static void buf_give(struct wf_stream *s, struct wf_buf *b) {
    if (b->cap == WF_STREAM_BUF_BYTES) {
        wf_pool_give(s->pool, b->p);
        b->p = NULL;
        b->len = b->cap = 0;
    } else {
        wf_buf_free(b); /* it has grown, or there is none */
    }
}

static void out_give(struct wf_stream *s) {
    buf_give(s, &s->out);
    s->out_sent = 0;
}

/* Unlinked first: release is somebody else's code. */
static void drop_first_seg(struct wf_stream *s) {
    struct wf_stream_seg *seg = s->seg_head;
    s->seg_head = seg->next;
    if (s->seg_head == NULL) {
        s->seg_tail = NULL;
    }
    s->seg_bytes -= seg->buf.len - seg->buf_sent + seg->bytes.n;
    buf_give(s, &seg->buf);
    seg->release(seg->arg);
    wf_free(seg);
}

static void drop_output(struct wf_stream *s) {
    while (s->seg_head != NULL) {
        drop_first_seg(s);
    }
    out_give(s);
    s->above_high = false;
}

int wf_stream_prepare(struct wf_stream *s) {
    if (wf_likely(s->out.p == NULL)) {
        s->out.p = wf_pool_take(s->pool);
        if (s->out.p == NULL) {
            return WF_BUF_NOMEM;
        }
        s->out.cap = WF_STREAM_BUF_BYTES;
    } else if (s->out_sent >= s->out.len - s->out_sent) {
        /* Half of it has left: a stream that never runs empty must not grow for ever. */
        wf_buf_consume(&s->out, s->out_sent);
        s->out_sent = 0;
    }
    return WF_BUF_OK;
}

/* Puts a segment behind all output: what stands in `out` goes in front of it. */
static int add_seg(struct wf_stream *s, struct wf_stream_seg filled) {
    struct wf_stream_seg *seg = wf_malloc(sizeof(*seg));
    if (seg == NULL) {
        filled.release(filled.arg);
        return -ENOMEM;
    }
    *seg = filled;
    if (s->out.len != s->out_sent) {
        seg->buf = s->out;
        seg->buf_sent = s->out_sent;
        wf_buf_init(&s->out, WF_STREAM_OUT_MAX);
        s->out_sent = 0;
    }
    if (s->seg_tail != NULL) {
        s->seg_tail->next = seg;
    } else {
        s->seg_head = seg;
    }
    s->seg_tail = seg;
    s->seg_bytes += seg->buf.len - seg->buf_sent + seg->bytes.n;
    return 0;
}

int wf_stream_borrow(struct wf_stream *s, struct wf_span bytes, wf_release_fn *release, void *arg) {
    if (bytes.n <= COPY_MAX && s->out.cap - s->out.len >= bytes.n) {
        int rc = wf_buf_append_span(&s->out, bytes);
        WF_ASSERT(rc == WF_BUF_OK);
        (void)rc;
        release(arg);
        return 0;
    }
    return add_seg(
        s, (struct wf_stream_seg){.bytes = bytes, .fd = -1, .release = release, .arg = arg});
}

int wf_stream_file(struct wf_stream *s, int fd, uint64_t offset, size_t bytes,
                   wf_release_fn *release, void *arg) {
    return add_seg(
        s, (struct wf_stream_seg){
               .bytes = {NULL, bytes}, .fd = fd, .offset = offset, .release = release, .arg = arg});
}

/* ---- sending ---- */

static struct wf_span unsent(const struct wf_buf *b, size_t sent) {
    return b->len == sent ? wf_span(NULL, 0) : wf_span(b->p + sent, b->len - sent);
}

/* Adds s to the vector, where there is something and room. */
static void gather(struct iovec *iov, size_t *count, struct wf_span s) {
    if (s.n != 0 && *count < IOVECS_MAX) {
        iov[(*count)++] = (struct iovec){.iov_base = (void *)(uintptr_t)s.p, .iov_len = s.n};
    }
}

/* Takes n sent bytes off the front. */
static void consume(struct wf_stream *s, size_t n) {
    while (s->seg_head != NULL) {
        struct wf_stream_seg *seg = s->seg_head;
        size_t from_buf = WF_MIN(n, seg->buf.len - seg->buf_sent);
        size_t from_bytes = WF_MIN(n - from_buf, seg->bytes.n);
        seg->buf_sent += from_buf;
        seg->bytes.n -= from_bytes;
        if (seg->fd < 0) {
            seg->bytes.p += from_bytes;
        } else {
            seg->offset += from_bytes;
        }
        s->seg_bytes -= from_buf + from_bytes;
        n -= from_buf + from_bytes;
        if (seg->bytes.n != 0 || seg->buf_sent != seg->buf.len) {
            return;
        }
        drop_first_seg(s);
    }
    s->out_sent += n;
    if (s->out_sent == s->out.len) {
        out_give(s);
    }
}

/* Does the file of the first segment come next? */
static bool file_is_next(const struct wf_stream *s) {
    const struct wf_stream_seg *seg = s->seg_head;
    return seg != NULL && seg->fd >= 0 && seg->buf_sent == seg->buf.len;
}

static ssize_t send_file(struct wf_stream *s, size_t *bytes) {
    const struct wf_stream_seg *seg = s->seg_head;
    *bytes = WF_MIN(seg->bytes.n, (size_t)FILE_BYTES_A_PUSH);
    ssize_t n = wf_os_sendfile(s->watch.fd, seg->fd, seg->offset, *bytes);
    if (n == 0) { /* the head has promised more than there is */
        errno = EIO;
        return -1;
    }
    return n;
}

/* What is in memory up to the next file.
 * bytes  out: how many were offered */
static ssize_t send_vector(struct wf_stream *s, size_t *bytes) {
    struct iovec iov[IOVECS_MAX];
    struct msghdr msg = {.msg_iov = iov};
    size_t count = 0;
    const struct wf_stream_seg *seg = s->seg_head;
    int flags = MSG_NOSIGNAL;
    for (; seg != NULL && count < IOVECS_MAX; seg = seg->next) {
        gather(iov, &count, unsent(&seg->buf, seg->buf_sent));
        if (seg->fd >= 0) {
            flags |= MSG_MORE; /* the file's first bytes share a packet with it */
            break;
        }
        gather(iov, &count, seg->bytes);
    }
    if (seg == NULL) {
        gather(iov, &count, unsent(&s->out, s->out_sent));
    }
    msg.msg_iovlen = count;
    *bytes = 0;
    for (size_t i = 0; i < count; i++) {
        *bytes += iov[i].iov_len;
    }
    return sendmsg(s->watch.fd, &msg, flags);
}

/* Sends until all has left or the kernel has taken less than it was offered. 0 or -errno. */
static int push(struct wf_stream *s) {
    for (size_t files = 0; wf_stream_pending(s) != 0 && files < FILE_BYTES_A_PUSH;) {
        size_t bytes = s->out.len - s->out_sent;
        bool file = wf_unlikely(file_is_next(s));
        ssize_t n = wf_likely(s->seg_head == NULL)
                        ? send(s->watch.fd, s->out.p + s->out_sent, bytes, MSG_NOSIGNAL)
                    : file ? send_file(s, &bytes)
                           : send_vector(s, &bytes);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
        }
        files += file ? (size_t)n : 0;
        consume(s, (size_t)n);
        if ((size_t)n < bytes) {
            break;
        }
    }
    return 0;
}

/* Waits for writability or no longer does, as there is output or not; half-closes behind the last
 * byte. 0 or -errno. */
static int settle(struct wf_stream *s) {
    if (wf_stream_pending(s) != 0) {
        return wf_watch_set(s->loop, &s->watch, s->watch.want | WF_WRITE);
    }
    if (s->ending && !s->eof_sent) {
        s->eof_sent = true;
        shutdown(s->watch.fd, SHUT_WR);
    }
    return wf_watch_set(s->loop, &s->watch, s->watch.want & WF_READ);
}

/* One attempt to send what is queued. 0 or -errno, and then the stream has failed. */
static int send_queued(struct wf_stream *s) {
    s->above_high |= wf_stream_at_high_water(s);
    int rc = push(s);
    if (rc == 0) {
        rc = settle(s);
    }
    if (wf_unlikely(rc != 0)) {
        s->failed = true;
        drop_output(s);
        wf_watch_set(s->loop, &s->watch, s->watch.want & WF_READ);
    }
    return rc;
}

int wf_stream_flush(struct wf_stream *s) {
    if (wf_unlikely(s->failed)) {
        drop_output(s);
        return -EPIPE;
    }
    if (s->watch.want & WF_WRITE) { /* the kernel is full: it says when it is not */
        s->above_high |= wf_stream_at_high_water(s);
        return 0;
    }
    if (wf_stream_pending(s) == 0) {
        out_give(s);
        return 0;
    }
    int rc = send_queued(s);
    if (wf_stream_pending(s) <= WF_STREAM_LOW_WATER) {
        s->above_high = false; /* the caller sees it by itself */
    }
    return rc;
}

void wf_stream_end(struct wf_stream *s) {
    s->ending = true;
    if (wf_stream_pending(s) == 0 && !s->eof_sent) {
        s->eof_sent = true;
        shutdown(s->watch.fd, SHUT_WR);
    }
}

/* ---- the loop's side ---- */

/* gone  set when a callback closes the stream; then it may not be touched */
static void on_writable(struct wf_stream *s, const bool *gone) {
    int rc = send_queued(s);
    if (rc != 0) {
        s->ops->failed(s, rc);
        return;
    }
    bool flushed = wf_stream_pending(s) == 0;
    if (s->above_high && wf_stream_pending(s) <= WF_STREAM_LOW_WATER) {
        s->above_high = false;
        if (s->ops->drained != NULL) {
            s->ops->drained(s);
        }
    }
    if (!*gone && flushed && s->ops->flushed != NULL) {
        s->ops->flushed(s);
    }
}

static void on_ready(struct wf_watch *w, unsigned ready) {
    struct wf_stream *s = wf_container_of(w, struct wf_stream, watch);
    bool gone = false;
    s->gone = &gone;
    if (wf_unlikely(ready & WF_WRITE)) {
        on_writable(s, &gone);
    }
    if (!gone && (ready & w->want & WF_READ)) {
        s->ops->readable(s);
    }
    if (!gone) {
        s->gone = NULL;
    }
}

static ssize_t receive(struct wf_stream *s, void *p, size_t n, int flags) {
    WF_ASSERT(n != 0); /* 0 would look like the end of file */
    ssize_t got;
    do {
        got = recv(s->watch.fd, p, n, flags);
    } while (wf_unlikely(got < 0) && errno == EINTR);
    if (wf_likely(got > 0)) {
        return got;
    }
    int error = got < 0 ? errno : 0;
    if (error == EAGAIN || error == EWOULDBLOCK) {
        return -EAGAIN;
    }
    wf_stream_pause(s);
    return -error;
}

ssize_t wf_stream_read(struct wf_stream *s, void *p, size_t n) {
    return receive(s, p, n, 0);
}

ssize_t wf_stream_peek(struct wf_stream *s) {
    char byte;
    return receive(s, &byte, 1, MSG_PEEK);
}

bool wf_stream_peer_ended(const struct wf_stream *s) {
    struct pollfd p = {.fd = s->watch.fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0;
}

void wf_stream_pause(struct wf_stream *s) {
    s->paused = true;
    wf_watch_set(s->loop, &s->watch, s->watch.want & WF_WRITE);
}

int wf_stream_resume(struct wf_stream *s) {
    s->paused = false;
    return wf_watch_set(s->loop, &s->watch, s->watch.want | WF_READ);
}

/* ---- opening and closing ---- */

int wf_stream_open(struct wf_stream *s, struct wf_loop *loop, struct wf_pool *pool, int fd,
                   const struct wf_stream_ops *ops) {
    WF_ASSERT(pool->size == WF_STREAM_BUF_BYTES);
    *s = (struct wf_stream){.loop = loop, .ops = ops, .pool = pool};
    wf_buf_init(&s->out, WF_STREAM_OUT_MAX);
    wf_watch_init(&s->watch, fd, on_ready);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* unix sockets refuse */
    int rc = wf_watch_set(loop, &s->watch, WF_READ);
    if (rc != 0) {
        s->watch.fd = -1;
    }
    return rc;
}

void wf_stream_close(struct wf_stream *s, bool reset) {
    if (s->watch.fd < 0) {
        return;
    }
    if (s->gone != NULL) {
        *s->gone = true;
        s->gone = NULL;
    }
    wf_watch_stop(s->loop, &s->watch);
    drop_output(s);
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(s->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    close(s->watch.fd);
    s->watch.fd = -1;
}
