/* What Linux and the BSDs (macOS among them) spell differently, so that the rooms need no #ifdef.
 * Descriptors made here are non-blocking and close-on-exec. Results are as the system calls': -1
 * and errno. */
#ifndef WF_IO_OS_H
#define WF_IO_OS_H

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __linux__

#include <sys/eventfd.h>
#include <sys/sendfile.h>

static inline int wf_os_socket(int family, int type) {
    return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static inline int wf_os_accept(int fd, struct sockaddr *peer, socklen_t *len) {
    return accept4(fd, peer, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* Eight bytes written to *write_fd make *read_fd readable. They may be the same descriptor. */
static inline int wf_os_waker(int *read_fd, int *write_fd) {
    *read_fd = *write_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return *read_fd < 0 ? -1 : 0;
}

/* From a file to a socket; 0 at the end of the file. The caller ignores SIGPIPE. */
static inline ssize_t wf_os_sendfile(int socket, int fd, uint64_t offset, size_t n) {
    off_t at = (off_t)offset;
    return sendfile(socket, fd, &at, n);
}

#else

static inline ssize_t wf_os_sendfile(int socket, int fd, uint64_t offset, size_t n) {
    char buf[16 * 1024];
    ssize_t got = pread(fd, buf, n < sizeof(buf) ? n : sizeof(buf), (off_t)offset);
    return got > 0 ? send(socket, buf, (size_t)got, 0) : got;
}

static inline int wf_os_prepare(int fd) {
    if (fd >= 0 && (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)) {
        close(fd);
        return -1;
    }
#ifdef SO_NOSIGPIPE /* macOS has no MSG_NOSIGNAL */
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &(int){1}, sizeof(int));
    }
#endif
    return fd;
}

static inline int wf_os_socket(int family, int type) {
    return wf_os_prepare(socket(family, type, 0));
}

static inline int wf_os_accept(int fd, struct sockaddr *peer, socklen_t *len) {
    return wf_os_prepare(accept(fd, peer, len));
}

static inline int wf_os_waker(int *read_fd, int *write_fd) {
    int fds[2];
    if (pipe(fds) != 0) {
        return -1;
    }
    *read_fd = wf_os_prepare(fds[0]);
    *write_fd = wf_os_prepare(fds[1]);
    return 0; /* fcntl does not fail on a pipe that has just been made */
}

#endif

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
#ifndef POLLRDHUP /* elsewhere POLLHUP, which is never asked for, says as much */
#define POLLRDHUP 0
#endif

#endif
