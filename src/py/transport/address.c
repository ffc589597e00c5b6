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

static bool parse_host(int family, PyObject *host, void *into) {
    const char *text = PyUnicode_Check(host) ? PyUnicode_AsUTF8(host) : NULL;
    if (text == NULL) {
        PyErr_Clear();
        return false;
    }
    return inet_pton(family, text, into) == 1;
}

/* A plain int from 0 to max. */
static bool parse_number(PyObject *obj, unsigned long max, unsigned long *n) {
    if (!PyLong_CheckExact(obj)) {
        return false;
    }
    *n = PyLong_AsUnsignedLong(obj);
    if (*n == (unsigned long)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return *n <= max;
}

bool wf_address_parse(int family, PyObject *obj, struct sockaddr_storage *addr, socklen_t *len) {
    Py_ssize_t n = PyTuple_CheckExact(obj) ? PyTuple_GET_SIZE(obj) : 0;
    unsigned long port, flowinfo = 0, scope = 0;
    if (n < 2 || !parse_number(PyTuple_GET_ITEM(obj, 1), UINT16_MAX, &port)) {
        return false;
    }
    memset(addr, 0, sizeof(*addr));
    if (family == AF_INET && n == 2) {
        struct sockaddr_in *in = (struct sockaddr_in *)addr;
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        *len = sizeof(*in);
        return parse_host(AF_INET, PyTuple_GET_ITEM(obj, 0), &in->sin_addr);
    }
    if (family != AF_INET6 || n > 4 ||
        (n > 2 && !parse_number(PyTuple_GET_ITEM(obj, 2), 0xFFFFF, &flowinfo)) ||
        (n > 3 && !parse_number(PyTuple_GET_ITEM(obj, 3), UINT32_MAX, &scope))) {
        return false;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)addr;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((uint16_t)port);
    in6->sin6_flowinfo = htonl((uint32_t)flowinfo);
    in6->sin6_scope_id = (uint32_t)scope;
    *len = sizeof(*in6);
    return parse_host(AF_INET6, PyTuple_GET_ITEM(obj, 0), &in6->sin6_addr);
}
