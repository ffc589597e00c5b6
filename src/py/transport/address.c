/* Socket addresses as Python's socket module shows them. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/un.h>

#include "py/transport/transport_int.h"

static PyObject *unix_address(const struct sockaddr_un *un, socklen_t len) {
    size_t n = len > offsetof(struct sockaddr_un, sun_path)
                   ? len - offsetof(struct sockaddr_un, sun_path)
                   : 0;
    if (n > 0 && un->sun_path[0] == 0) { /* abstract: bytes, the NUL in front included */
        return PyBytes_FromStringAndSize(un->sun_path, (Py_ssize_t)n);
    }
    return PyUnicode_DecodeFSDefaultAndSize(un->sun_path, (Py_ssize_t)strnlen(un->sun_path, n));
}

PyObject *wf_address_object(const struct sockaddr *addr, socklen_t len) {
    char host[INET6_ADDRSTRLEN];
    switch (addr->sa_family) {
    case AF_INET: {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        return Py_BuildValue("(si)", host, ntohs(in->sin_port));
    }
    case AF_INET6: {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        return Py_BuildValue("(siII)", host, ntohs(in6->sin6_port), ntohl(in6->sin6_flowinfo),
                             (unsigned)in6->sin6_scope_id);
    }
    case AF_UNIX:
        return unix_address((const struct sockaddr_un *)addr, len);
    default:
        Py_RETURN_NONE; /* only families that the listener lets in come here */
    }
}
