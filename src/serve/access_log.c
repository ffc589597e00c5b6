/* One line a reply (access_line.c). Lines gather in memory and leave once a turn. The server never waits for who reads them: a pipe
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

void wf_access_log_init(struct wf_access_log *log, int fd, enum wf_access_format format) {
    struct stat st;
    *log = (struct wf_access_log){.fd = fd, .format = (uint8_t)format};
    wf_buf_init(&log->lines, LOG_BYTES_MAX);
    log->regular_file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

void wf_access_log_free(struct wf_access_log *log) {
    wf_buf_free(&log->lines);
}

static bool tell_lost(struct wf_access_log *log) {
    if (wf_buf_reserve(&log->lines, 64) != WF_BUF_OK) {
        return false;
    }
    char *at = log->lines.p + log->lines.len;
    at += wf_u64_write(at, log->lost);
    memcpy(at, " access log lines were lost\n", 28);
    log->lines.len = (size_t)(at + 28 - log->lines.p);
    log->lost = 0;
    return true;
}

void wf_access_log_add(struct wf_access_log *log, const struct wf_exchange *ex) {
    if ((log->lost != 0 && !tell_lost(log)) ||
        wf_buf_reserve(&log->lines, wf_access_line_most(ex)) != WF_BUF_OK) {
        log->lost++;
        return;
    }
    log->lines.len +=
        wf_access_line_write((enum wf_access_format)log->format, ex, log->lines.p + log->lines.len);
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
