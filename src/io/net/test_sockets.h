/* Clients for the tests of this room. */
#ifndef WF_IO_NET_TEST_SOCKETS_H
#define WF_IO_NET_TEST_SOCKETS_H

#include "io/test_pollers.h"

#include "io/net/net.h"

/* 127.0.0.1, any port. */
static inline struct wf_addr loopback(void) {
    struct wf_addr a;
    assert_int_equal(wf_addr_ip(&a, "127.0.0.1", 0), 0);
    return a;
}

/* A blocking client. */
static inline int connect_to(const struct wf_addr *addr) {
    int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &addr->sa, addr->len), 0);
    return fd;
}

#endif
