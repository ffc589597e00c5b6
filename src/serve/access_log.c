/* One line a reply, as uvicorn writes it:
 *
 *     127.0.0.1:54321 - "GET /x?y HTTP/1.1" 200
 *
 * Lines gather in memory and leave once a turn. The server never waits for who reads them: a pipe
 * or terminal that is full is left alone, and when WF_LOG_BYTES_MAX wait, further lines are dropped
 * and their number is told in the next line that finds room. */
#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "serve/server_int.h"

enum {
    LOG_BYTES_MAX = 256 * 1024,
    /* POSIX promises that a pipe which polls as writable takes so many without blocking. */
    PIPE_BYTES = 4096
};

void wf_access_log_init(struct wf_access_log *log, int fd) {
    struct stat st;
    *log = (struct wf_access_log){.fd = fd};
    wf_buf_init(&log->lines, LOG_BYTES_MAX);
    log->regular_file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

void wf_access_log_free(struct wf_access_log *log) {
    wf_buf_free(&log->lines);
}

/* What could end the line or the quotes, or drive a terminal, is written \xHH. */
static char *put_escaped(char *at, struct wf_span s) {
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            *at++ = (char)c;
        } else {
            *at++ = '\\';
            *at++ = 'x';
            *at++ = hex[c >> 4];
            *at++ = hex[c & 15];
        }
    }
    return at;
}

static char *put(char *at, struct wf_span s) {
    memcpy(at, s.p, s.n);
    return at + s.n;
}

static bool tell_lost(struct wf_access_log *log) {
    if (wf_buf_reserve(&log->lines, 64) != WF_BUF_OK) {
        return false;
    }
    char *at = log->lines.p + log->lines.len;
    at += wf_u64_write(at, log->lost);
    at = put(at, WF_SPAN(" access log lines were lost\n"));
    log->lines.len = (size_t)(at - log->lines.p);
    log->lost = 0;
    return true;
}

void wf_access_log_add(struct wf_access_log *log, const struct wf_exchange *ex) {
    struct wf_span method = WF_SPAN("-"), target = WF_SPAN("-");
    if (ex->base != NULL) {
        method = wf_head_span(ex->base, ex->head.method_at);
        target = wf_head_span(ex->base, ex->head.target_at);
    }
    size_t most = WF_ADDR_CHARS_MAX + 4 * (method.n + target.n) + 32;
    if ((log->lost != 0 && !tell_lost(log)) || wf_buf_reserve(&log->lines, most) != WF_BUF_OK) {
        log->lost++;
        return;
    }
    char *at = log->lines.p + log->lines.len;
    at += wf_addr_write(wf_exchange_peer(ex), at);
    at = put(at, WF_SPAN(" - \""));
    at = put_escaped(at, method);
    *at++ = ' ';
    at = put_escaped(at, target);
    at = put(at, WF_SPAN(" HTTP/1."));
    *at++ = (char)('0' + ex->head.minor_version);
    at = put(at, WF_SPAN("\" "));
    at += wf_u64_write(at, ex->status);
    *at++ = '\n';
    log->lines.len = (size_t)(at - log->lines.p);
}

/* May so many bytes be written now without waiting? */
static bool writable(const struct wf_access_log *log) {
    struct pollfd p = {.fd = log->fd, .events = POLLOUT};
    return log->regular_file || (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0);
}

void wf_access_log_flush(struct wf_access_log *log) {
    size_t sent = 0;
    while (sent < log->lines.len && writable(log)) {
        size_t n = log->lines.len - sent;
        n = log->regular_file ? n : WF_MIN(n, (size_t)PIPE_BYTES);
        ssize_t rc = write(log->fd, log->lines.p + sent, n);
        if (rc > 0) {
            sent += (size_t)rc;
        } else if (rc < 0 && errno != EINTR) {
            if (errno != EAGAIN) {
                sent = log->lines.len; /* a closed pipe or a full disk: nobody will read these */
            }
            break;
        }
    }
    wf_buf_consume(&log->lines, sent);
}
