/* What sock_recv() and its kin await: one operation on a socket of the program's. It is tried at once,
 * and then whenever the descriptor is ready.
 *
 *   NEW ──send──▶ done ──────────────────────────────────────────────▶ ENDED
 *         │                                                              ▲
 *         └─────▶ would block: WAITING, yields a future ──ready, done, send──┤
 *                                  └──throw(), close(): watched no more─────┘
 *
 * Addresses are read and written by the methods of the socket object; receiving and sending over a
 * connection, and files, come to the system call without them. The descriptor is asked for each time:
 * a socket that was closed meanwhile must not be taken for who has its number now. */
#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

#include "io/os.h"
#include "py/loop/loop_int.h"

/* Calls of sendfile in a row, so that a fast reader does not starve others. */
enum { SENDFILES_A_TURN = 4 };

struct operation;

struct kind {
    unsigned way; /* what to wait for */
    /* 1 with *result (owned), 0: it would block, -1 with an exception */
    int (*attempt)(struct operation *op, PyObject **result);
};

struct operation {
    PyObject_HEAD
    const struct kind *kind;
    struct wf_pyloop *loop;   /* owned */
    PyObject *sock;           /* owned: a socket.socket */
    PyObject *args[2];        /* owned: what its kind is about, buffer and address; or NULL */
    struct wf_handle *handle; /* owned: of the descriptor, while WAITING */
    PyObject *future;         /* owned: set once it is done; NULL until WAITING */
    PyObject *steps;          /* owned: the future's iterator */
    Py_buffer data;           /* what is sent; data.obj is NULL where there is none */
    uint64_t n;               /* bytes to receive at most, or to send of a file; 0: all of it */
    uint64_t sent;            /* bytes */
    uint64_t offset;          /* of the file */
    uint64_t block;           /* bytes a call, where n is 0 */
    int watched_fd;           /* the handle's */
    int file;                 /* borrowed: the program keeps it open, or gets EBADF */
    bool ended;
};

/* ---- one attempt of each kind ---- */

/* What a failed system call or method of the socket means: 0 it would block, -1 exception set. */
static int blocked(void) {
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError) ||
        PyErr_ExceptionMatches(PyExc_InterruptedError)) {
        PyErr_Clear();
        return 0;
    }
    return -1;
}

static int blocked_errno(void) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return 0;
    }
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

/* -1 where it has been closed, which is an answer too; -2 with an exception. */
static int fd_of(struct operation *op) {
    PyObject *number = PyObject_CallMethodNoArgs(op->sock, op->loop->state->loop.str_fileno);
    long fd = number != NULL ? PyLong_AsLong(number) : -2;
    Py_XDECREF(number);
    return fd == -1 && PyErr_Occurred() ? -2 : (int)fd;
}

static int done(PyObject *made, PyObject **result) {
    *result = made;
    return made != NULL ? 1 : -1;
}

/* The socket's own method did it. made  stolen, NULL: an exception is set */
static int called(PyObject *made, PyObject **result) {
    return made != NULL ? done(made, result) : blocked();
}

/* None wanted is none, at once, and no system call, as with the socket's own recv(). */
static ssize_t receive_bytes(int fd, void *into, size_t n) {
    return n != 0 ? recv(fd, into, n, MSG_DONTWAIT) : 0;
}

static int receive(struct operation *op, PyObject **result) {
    int fd = fd_of(op);
    PyObject *bytes = fd != -2 ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)op->n) : NULL;
    if (bytes == NULL) {
        return -1;
    }
    ssize_t n = receive_bytes(fd, PyBytes_AS_STRING(bytes), (size_t)op->n);
    if (n < 0) {
        int error = errno;
        Py_DECREF(bytes);
        errno = error;
        return blocked_errno();
    }
    if ((uint64_t)n != op->n) {
        (void)_PyBytes_Resize(&bytes, n); /* NULL where there is no memory */
    }
    return done(bytes, result);
}

/* The buffer is the program's between attempts: it may grow or shrink meanwhile. */
static int receive_into(struct operation *op, PyObject **result) {
    Py_buffer into;
    int fd = fd_of(op);
    if (fd == -2 || !PyArg_Parse(op->args[0], "w*:sock_recv_into", &into)) {
        return -1;
    }
    ssize_t n = receive_bytes(fd, into.buf, (size_t)into.len);
    int error = errno;
    PyBuffer_Release(&into);
    errno = error;
    return n < 0 ? blocked_errno() : done(PyLong_FromSsize_t(n), result);
}

static int receive_from(struct operation *op, PyObject **result) {
    PyObject *name = op->loop->state->loop.str_recvfrom;
    return called(PyObject_CallMethodOneArg(op->sock, name, op->args[0]), result);
}

static int receive_from_into(struct operation *op, PyObject **result) {
    PyObject *name = op->loop->state->loop.str_recvfrom_into;
    return called(PyObject_CallMethodObjArgs(op->sock, name, op->args[0], op->args[1], NULL),
                  result);
}

static int send_all(struct operation *op, PyObject **result) {
    int fd = fd_of(op);
    if (fd == -2) {
        return -1;
    }
    size_t left = (size_t)op->data.len - (size_t)op->sent;
    ssize_t n = send(fd, (char *)op->data.buf + op->sent, left, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        return blocked_errno();
    }
    op->sent += (uint64_t)n;
    return (size_t)n == left ? done(Py_NewRef(Py_None), result) : 0;
}

static int send_to(struct operation *op, PyObject **result) {
    PyObject *name = op->loop->state->loop.str_sendto;
    return called(PyObject_CallMethodObjArgs(op->sock, name, op->args[0], op->args[1], NULL),
                  result);
}

static int connected(struct operation *op, PyObject **result) {
    int fd = fd_of(op), error = 0;
    socklen_t len = sizeof(error);
    if (fd == -2) {
        return -1;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (error == 0) {
        return done(Py_NewRef(Py_None), result);
    }
    PyObject *message = PyUnicode_FromFormat("Connect call failed %S", op->args[0]);
    PyObject *exc =
        message != NULL ? PyObject_CallFunction(PyExc_OSError, "iN", error, message) : NULL;
    if (exc == NULL) {
        return -1;
    }
    wf_err_put(exc);
    return blocked();
}

static int connect_to(struct operation *op, PyObject **result) {
    if (op->future != NULL) {
        return connected(op, result);
    }
    PyObject *name = op->loop->state->loop.str_connect;
    return called(PyObject_CallMethodOneArg(op->sock, name, op->args[0]), result);
}

static int accept_one(struct operation *op, PyObject **result) {
    struct wf_loop_state *s = &op->loop->state->loop;
    PyObject *pair = PyObject_CallMethodNoArgs(op->sock, s->str_accept);
    PyObject *conn = pair != NULL ? PySequence_GetItem(pair, 0) : NULL;
    PyObject *set =
        conn != NULL ? PyObject_CallMethodOneArg(conn, s->str_setblocking, Py_False) : NULL;
    Py_XDECREF(conn);
    if (set == NULL) {
        Py_CLEAR(pair);
    }
    Py_XDECREF(set);
    return called(pair, result);
}

/* All that was to be sent, or all there was, or it failed (the exception is set). As asyncio does,
 * the file is left at the end of what was sent. */
static int file_ended(struct operation *op, PyObject **result) {
    bool failed = PyErr_Occurred() != NULL;
    if (op->sent > 0 && lseek(op->file, (off_t)op->offset, SEEK_SET) < 0 && !failed) {
        PyErr_SetFromErrno(PyExc_OSError);
        failed = true;
    }
    return failed ? -1 : done(PyLong_FromUnsignedLongLong(op->sent), result);
}

static int file_failed(struct operation *op, int error, PyObject **result) {
    errno = error;
    if (op->sent == 0) { /* no regular file, perhaps: the caller may go on with plain send() */
        PyErr_SetString(op->loop->state->loop.sendfile_not_available, "os.sendfile call failed");
    } else if (error == ENOTCONN && op->future != NULL) { /* the same on each system */
        PyObject *exc =
            PyObject_CallFunction(PyExc_ConnectionError, "si", "socket is not connected", ENOTCONN);
        if (exc != NULL) {
            wf_err_put(exc);
        }
    } else {
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return file_ended(op, result);
}

static int send_file(struct operation *op, PyObject **result) {
    for (int calls = 0; calls < SENDFILES_A_TURN; calls++) {
        uint64_t block = op->n != 0 ? op->n - op->sent : op->block;
        int fd = block != 0 ? fd_of(op) : -1;
        if (block == 0 || fd == -2) {
            return file_ended(op, result);
        }
        ssize_t n;
        Py_BEGIN_ALLOW_THREADS /* the file may have to be read from a disk */
            n = wf_os_sendfile(fd, op->file, op->offset, (size_t)WF_MIN(block, (uint64_t)INT_MAX));
        Py_END_ALLOW_THREADS if (n == 0) {
            return file_ended(op, result);
        }
        if (n < 0) {
            bool again = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
            return again ? 0 : file_failed(op, errno, result);
        }
        op->offset += (uint64_t)n;
        op->sent += (uint64_t)n;
    }
    return 0;
}

static const struct kind receiving = {WF_READ, receive};
static const struct kind receiving_into = {WF_READ, receive_into};
static const struct kind receiving_from = {WF_READ, receive_from};
static const struct kind receiving_from_into = {WF_READ, receive_from_into};
static const struct kind sending_all = {WF_WRITE, send_all};
static const struct kind sending_to = {WF_WRITE, send_to};
static const struct kind connecting = {WF_WRITE, connect_to};
static const struct kind accepting = {WF_READ, accept_one};
static const struct kind sending_file = {WF_WRITE, send_file};

/* ---- waiting ---- */

static void unwatch(struct operation *op) {
    struct wf_handle *h = op->handle;
    op->handle = NULL;
    if (h != NULL) {
        if (!op->loop->closed) {
            wf_fd_remove(op->loop, op->watched_fd, op->kind->way, h);
        }
        Py_DECREF(h);
    }
}

/* An exception that is set stays. */
static void end(struct operation *op) {
    PyObject *exc = wf_err_take();
    op->ended = true;
    unwatch(op);
    Py_CLEAR(op->steps);
    Py_CLEAR(op->future);
    PyBuffer_Release(&op->data);
    if (exc != NULL) {
        wf_err_put(exc);
    }
}

/* asyncio.Future(), and the descriptor watched. 0, or -1 with an exception. */
static int wait_for_ready(struct operation *op) {
    struct wf_loop_state *s = &op->loop->state->loop;
    PyObject *self = (PyObject *)op;
    op->future = PyObject_CallMethodNoArgs((PyObject *)op->loop, s->str_create_future);
    if (op->future == NULL || wf_fd_check_free(op->loop, op->sock) < 0) {
        return -1;
    }
    const PyAsyncMethods *async = Py_TYPE(op->future)->tp_as_async;
    op->steps = async != NULL && async->am_await != NULL ? async->am_await(op->future) : NULL;
    if (op->steps == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "create_future() has given no future");
        }
        return -1;
    }
    op->watched_fd = fd_of(op);
    if (op->watched_fd == -1) {
        PyErr_SetString(PyExc_ValueError, "Invalid file descriptor: -1");
    }
    op->handle =
        op->watched_fd >= 0 ? wf_handle_new(op->loop, s->operation_ready, &self, 1, NULL) : NULL;
    if (op->handle == NULL) {
        return -1;
    }
    wf_handle_track(op->handle);
    PyObject_GC_Track(op);
    return wf_fd_add(op->loop, op->watched_fd, op->kind->way, op->handle, NULL);
}

/* future.set_result(result) or set_exception(exc); both stolen, one of them NULL */
static PyObject *tell(struct wf_loop_state *s, PyObject *future, PyObject *result, PyObject *exc) {
    PyObject *told = result != NULL ? PyObject_CallMethodOneArg(future, s->str_set_result, result)
                                    : PyObject_CallMethodOneArg(future, s->str_set_exception, exc);
    Py_XDECREF(result);
    Py_XDECREF(exc);
    return told;
}

/* The loop calls: the descriptor is ready. */
static PyObject *operation_ready(struct operation *op, PyObject *unused) {
    struct wf_loop_state *s = &op->loop->state->loop;
    if (op->handle == NULL) { /* queued before it ended */
        Py_RETURN_NONE;
    }
    PyObject *is_done = PyObject_CallMethodNoArgs(op->future, s->str_done);
    int rc = is_done != NULL ? PyObject_IsTrue(is_done) : -1;
    Py_XDECREF(is_done);
    if (rc != 0) { /* cancelled: whoever awaits will close us */
        return rc < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *result = NULL;
    rc = op->kind->attempt(op, &result);
    if (rc == 0) {
        Py_RETURN_NONE;
    }
    if (rc < 0 && (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
                   PyErr_ExceptionMatches(PyExc_SystemExit))) {
        return NULL;
    }
    PyObject *exc = rc < 0 ? wf_err_take() : NULL;
    unwatch(op);
    PyObject *future = Py_NewRef(op->future);
    PyObject *told = tell(s, future, result, exc);
    Py_DECREF(future);
    return told;
}

/* ---- as a task sees it ---- */

static PySendResult operation_send(PyObject *self, PyObject *unused, PyObject **out) {
    struct operation *op = (struct operation *)self;
    PySendResult sent = PYGEN_ERROR;
    *out = NULL;
    if (wf_unlikely(op->ended || op->loop->state->loop.operation_type == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "an operation can be awaited once");
        return PYGEN_ERROR;
    }
    if (op->steps == NULL) {
        int rc = op->kind->attempt(op, out);
        sent = rc > 0 ? PYGEN_RETURN : PYGEN_ERROR;
        if (rc != 0 || wait_for_ready(op) < 0) {
            end(op);
            return sent;
        }
    }
    PyObject *steps = Py_NewRef(op->steps);
    sent = PyIter_Send(steps, Py_None, out);
    Py_DECREF(steps);
    if (sent != PYGEN_NEXT) {
        end(op);
    }
    return sent;
}

static PyObject *operation_next(PyObject *self) {
    PyObject *out;
    PySendResult sent = operation_send(self, Py_None, &out);
    return wf_send_answer(sent, out);
}

static PyObject *operation_send_method(PyObject *self, PyObject *unused) {
    return operation_next(self);
}

/* CancelledError, for the most part. */
static PyObject *operation_throw(struct operation *op, PyObject *args) {
    PyObject *steps = op->steps; /* owned now */
    op->steps = NULL;
    end(op);
    PyObject *throw = steps != NULL ? PyObject_GetAttrString(steps, "throw") : NULL;
    PyObject *thrown = throw != NULL ? PyObject_CallObject(throw, args) : NULL;
    if (steps == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "nothing is awaited");
    }
    Py_XDECREF(throw);
    Py_XDECREF(steps);
    return thrown;
}

static PyObject *operation_close(struct operation *op, PyObject *unused) {
    end(op);
    Py_RETURN_NONE;
}

static PyObject *operation_await(PyObject *self) {
    return Py_NewRef(self);
}

static int operation_traverse(struct operation *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(op->loop);
    Py_VISIT(op->sock);
    Py_VISIT(op->args[0]);
    Py_VISIT(op->args[1]);
    Py_VISIT(op->handle);
    Py_VISIT(op->future);
    Py_VISIT(op->steps);
    Py_VISIT(op->data.obj);
    return 0;
}

/* The loop stays: end() asks it. */
static int operation_clear(struct operation *op) {
    end(op);
    Py_CLEAR(op->sock);
    Py_CLEAR(op->args[0]);
    Py_CLEAR(op->args[1]);
    return 0;
}

static void operation_dealloc(struct operation *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)operation_clear(op);
    Py_XDECREF(op->loop);
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

static PyMethodDef operation_methods[] = {
    {"send", operation_send_method, METH_O, NULL},
    {"throw", (PyCFunction)operation_throw, METH_VARARGS, NULL},
    {"close", (PyCFunction)operation_close, METH_NOARGS, NULL},
    {"_ready", (PyCFunction)operation_ready, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot operation_slots[] = {
    {Py_tp_doc, "An operation on a socket, to be awaited once."},
    {Py_tp_dealloc, operation_dealloc},
    {Py_tp_traverse, operation_traverse},
    {Py_tp_clear, operation_clear},
    {Py_tp_iter, operation_await},
    {Py_tp_iternext, operation_next},
    {Py_am_await, operation_await},
    {Py_am_send, operation_send},
    {Py_tp_methods, operation_methods},
    {0, NULL},
};

static PyType_Spec operation_spec = {
    .name = "weft._core.SocketOperation",
    .basicsize = sizeof(struct operation),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = operation_slots,
};

/* ---- how the loop makes them ---- */

/* Debug mode looks whether the socket would block: 0, or -1 with ValueError. */
static int check_timeout(struct wf_pyloop *l, PyObject *sock) {
    PyObject *timeout = l->debug ? PyObject_CallMethod(sock, "gettimeout", NULL) : NULL;
    if (!l->debug || timeout == NULL) {
        return l->debug ? -1 : 0;
    }
    PyObject *zero = PyLong_FromLong(0);
    int blocks = zero != NULL ? PyObject_RichCompareBool(timeout, zero, Py_NE) : -1;
    Py_XDECREF(zero);
    Py_DECREF(timeout);
    if (blocks > 0) {
        PyErr_SetString(PyExc_ValueError, "the socket must be non-blocking");
    }
    return blocks == 0 ? 0 : -1;
}

/* args: the socket, then up to two that the kind wants, all borrowed. Untracked until it waits. */
static struct operation *make(struct wf_pyloop *l, const struct kind *kind, PyObject *const *args,
                              Py_ssize_t nargs, Py_ssize_t wanted) {
    if (wf_unlikely(nargs != wanted)) {
        PyErr_Format(PyExc_TypeError, "%zd arguments are needed, not %zd", wanted, nargs);
        return NULL;
    }
    if (wf_unlikely(l->state->loop.operation_type == NULL)) {
        return wf_pyloop_gone();
    }
    if (check_timeout(l, args[0]) < 0) {
        return NULL;
    }
    struct operation *op = PyObject_GC_New(struct operation, l->state->loop.operation_type);
    if (op == NULL) {
        return NULL;
    }
    memset((char *)op + sizeof(PyObject), 0, sizeof(*op) - sizeof(PyObject));
    op->kind = kind;
    op->loop = (struct wf_pyloop *)Py_NewRef(l);
    op->sock = Py_NewRef(args[0]);
    for (Py_ssize_t i = 1; i < wanted && i <= 2; i++) {
        op->args[i - 1] = Py_NewRef(args[i]);
    }
    return op;
}

static PyObject *make_receiving(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs) {
    struct operation *op = make(l, &receiving, args, nargs, 2);
    if (op == NULL) {
        return NULL;
    }
    Py_ssize_t n = PyNumber_AsSsize_t(args[1], PyExc_OverflowError);
    if (n < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
        }
        Py_CLEAR(op);
        return NULL;
    }
    op->n = (uint64_t)n;
    return (PyObject *)op;
}

static PyObject *make_receiving_into(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs) {
    return (PyObject *)make(l, &receiving_into, args, nargs, 2);
}

static PyObject *make_receiving_from(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs) {
    return (PyObject *)make(l, &receiving_from, args, nargs, 2);
}

static PyObject *make_receiving_from_into(struct wf_pyloop *l, PyObject *const *args,
                                          Py_ssize_t nargs) {
    return (PyObject *)make(l, &receiving_from_into, args, nargs, 3);
}

static PyObject *make_sending_all(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs) {
    struct operation *op = make(l, &sending_all, args, nargs, 2);
    if (op != NULL && PyObject_GetBuffer(args[1], &op->data, PyBUF_SIMPLE) < 0) {
        Py_CLEAR(op);
    }
    return (PyObject *)op;
}

static PyObject *make_sending_to(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs) {
    return (PyObject *)make(l, &sending_to, args, nargs, 3);
}

static PyObject *make_connecting(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs) {
    return (PyObject *)make(l, &connecting, args, nargs, 2);
}

static PyObject *make_accepting(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs) {
    return (PyObject *)make(l, &accepting, args, nargs, 1);
}

/* (sock, fd of the file, offset, bytes or 0 for all, bytes a call) */
static PyObject *make_sending_file(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs) {
    struct operation *op = make(l, &sending_file, args, nargs, 5);
    if (op == NULL) {
        return NULL;
    }
    long file = PyLong_AsLong(args[1]);
    op->file = file >= 0 && file <= INT_MAX ? (int)file : -1;
    op->offset = PyLong_AsUnsignedLongLong(args[2]);
    op->n = PyErr_Occurred() ? 0 : PyLong_AsUnsignedLongLong(args[3]);
    op->block = PyErr_Occurred() ? 0 : PyLong_AsUnsignedLongLong(args[4]);
    if (PyErr_Occurred()) {
        Py_CLEAR(op);
    }
    return (PyObject *)op;
}

#define FAST(fn) (PyCFunction)(void (*)(void)) fn

PyMethodDef wf_operation_methods[] = {
    {"_receive", FAST(make_receiving), METH_FASTCALL, NULL},
    {"_receive_into", FAST(make_receiving_into), METH_FASTCALL, NULL},
    {"_receive_from", FAST(make_receiving_from), METH_FASTCALL, NULL},
    {"_receive_from_into", FAST(make_receiving_from_into), METH_FASTCALL, NULL},
    {"_send_all", FAST(make_sending_all), METH_FASTCALL, NULL},
    {"_send_to", FAST(make_sending_to), METH_FASTCALL, NULL},
    {"_connect", FAST(make_connecting), METH_FASTCALL, NULL},
    {"_accept", FAST(make_accepting), METH_FASTCALL, NULL},
    {"_send_file", FAST(make_sending_file), METH_FASTCALL, NULL},
    {NULL},
};

int wf_operation_exec(PyObject *module, struct wf_state *state) {
    struct wf_loop_state *s = &state->loop;
    s->operation_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &operation_spec, NULL);
    if (s->operation_type == NULL || PyModule_AddType(module, s->operation_type) < 0) {
        return -1;
    }
    s->operation_ready = PyObject_GetAttrString((PyObject *)s->operation_type, "_ready");
    return s->operation_ready != NULL ? 0 : -1;
}
