#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "base/num.h"
#include "io/net/net.h"

int wf_addr_ip(struct wf_addr *a, const char *host, uint16_t port) {
    memset(a, 0, sizeof(*a));
    if (inet_pton(AF_INET, host, &a->in.sin_addr) == 1) {
        a->len = sizeof(a->in);
        a->in.sin_family = AF_INET;
        a->in.sin_port = htons(port);
        return 0;
    }
    if (inet_pton(AF_INET6, host, &a->in6.sin6_addr) == 1) {
        a->len = sizeof(a->in6);
        a->in6.sin6_family = AF_INET6;
        a->in6.sin6_port = htons(port);
        return 0;
    }
    return -EINVAL;
}

int wf_addr_unix(struct wf_addr *a, const char *path) {
    size_t n = strlen(path);
    if (n >= sizeof(a->un.sun_path)) {
        return -ENAMETOOLONG;
    }
    memset(a, 0, sizeof(*a));
    a->un.sun_family = AF_UNIX;
    memcpy(a->un.sun_path, path, n);
    a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return 0;
}

static size_t write_unix(const struct wf_addr *a, char out[WF_ADDR_CHARS_MAX]) {
    const size_t before = offsetof(struct sockaddr_un, sun_path);
    size_t n = a->len > before ? WF_MIN(a->len - before, sizeof(a->un.sun_path)) : 0;
    const char *path = a->un.sun_path;
    const char *mark = "";
    if (n != 0 && path[0] == '\0') { /* Linux's abstract names; no NUL ends them */
        mark = "@";
        path++;
        n--;
    }
    return (size_t)snprintf(out, WF_ADDR_CHARS_MAX, "unix:%s%.*s", mark, (int)n, path);
}
static_assert(sizeof("unix:@") + sizeof(((struct sockaddr_un *)0)->sun_path) <= WF_ADDR_CHARS_MAX,
              "every address fits");

/* It stands in each line of the access log, so nothing here reads a format. */
static size_t write_in(const struct wf_addr *a, char *out) {
    uint8_t bytes[4];
    char *at = out;
    memcpy(bytes, &a->in.sin_addr, sizeof(bytes));
    for (int i = 0; i < 4; i++) {
        at += wf_u64_write(at, bytes[i]);
        *at++ = i < 3 ? '.' : ':';
    }
    at += wf_u64_write(at, ntohs(a->in.sin_port));
    return (size_t)(at - out);
}

static size_t write_in6(const struct wf_addr *a, char *out) {
    char *at = out;
    *at++ = '[';
    inet_ntop(AF_INET6, &a->in6.sin6_addr, at, INET6_ADDRSTRLEN);
    at += strlen(at);
    *at++ = ']';
    *at++ = ':';
    at += wf_u64_write(at, ntohs(a->in6.sin6_port));
    return (size_t)(at - out);
}

size_t wf_addr_write(const struct wf_addr *a, char out[WF_ADDR_CHARS_MAX]) {
    size_t n = a->sa.sa_family == AF_INET    ? write_in(a, out)
               : a->sa.sa_family == AF_INET6 ? write_in6(a, out)
                                             : write_unix(a, out);
    out[n] = '\0';
    return n;
}

bool wf_addr_bytes(const struct wf_addr *a, uint8_t out[16]) {
    if (a->sa.sa_family == AF_INET6) {
        memcpy(out, &a->in6.sin6_addr, 16);
        return true;
    }
    if (a->sa.sa_family != AF_INET) {
        return false;
    }
    memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    memcpy(out + 12, &a->in.sin_addr, 4);
    return true;
}
