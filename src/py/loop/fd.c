/* Descriptors a Python program asks to watch: add_reader, add_writer, and what asyncio's transports
 * build on them. One wf_watch a descriptor, two handles. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "base/alloc.h"
#include "py/loop/loop_int.h"

/* What the reactor calls, without the GIL: so only a note. */
static void fd_ready(struct wf_watch *watch, unsigned ready) {
    struct wf_fd *f = wf_container_of(watch, struct wf_fd, watch);
    struct wf_pyloop *l = f->loop;
    if (f->ready == 0) {
        f->next_ready = NULL;
        *l->ready_fds_tail = f;
        l->ready_fds_tail = &f->next_ready;
    }
    f->ready |= (uint8_t)ready;
}

static unsigned wanted(const struct wf_fd *f) {
    return (f->reader != NULL ? WF_READ : 0) | (f->writer != NULL ? WF_WRITE : 0);
}

/* What the two handles ask for, told to the reactor. Returns 0 or -errno. */
static int apply(struct wf_pyloop *l, struct wf_fd *f) {
    unsigned want = wanted(f);
    if (wf_unlikely(wf_pyloop_hands_off(l))) {
        if (!f->late) {
            f->late = true;
            f->next_late = l->late_fds;
            l->late_fds = f;
        }
        wf_loop_wake(&l->reactor);
        return 0;
    }
    if (want == 0) {
        wf_watch_stop(&l->reactor, &f->watch);
        return 0;
    }
    return wf_watch_set(&l->reactor, &f->watch, want);
}

void wf_fd_apply_late(struct wf_pyloop *l) {
    while (l->late_fds != NULL) {
        struct wf_fd *f = l->late_fds;
        l->late_fds = f->next_late;
        f->late = false;
        (void)apply(l, f); /* the thread that asked is long gone; nobody to tell */
    }
}

/* Queues what waits for one way of a descriptor. h  owned, or NULL: a finalizer may remove it meanwhile. */
static int collect_way(struct wf_pyloop *l, struct wf_fd *f, struct wf_handle **slot,
                       struct wf_handle *h) {
    if (h == NULL) {
        return 0;
    }
    if (wf_likely(!h->cancelled)) {
        if (wf_queue_push(&l->ready, h) == 0) { /* the queue's reference */
            return 0;
        }
        Py_DECREF(h);
        return -1;
    }
    if (*slot == h) { /* by its own cancel(): stop watching for it */
        Py_CLEAR(*slot);
        (void)apply(l, f);
    }
    Py_DECREF(h);
    return 0;
}

int wf_fd_collect(struct wf_pyloop *l) {
    struct wf_fd *f = l->ready_fds;
    l->ready_fds = NULL;
    l->ready_fds_tail = &l->ready_fds;
    int rc = 0;
    while (f != NULL) {
        struct wf_fd *next = f->next_ready;
        unsigned ready = f->ready;
        f->ready = 0;
        struct wf_handle *reader = ready & (WF_READ | WF_HANGUP) ? f->reader : NULL;
        struct wf_handle *writer = ready & (WF_WRITE | WF_HANGUP) ? f->writer : NULL;
        Py_XINCREF(reader);
        Py_XINCREF(writer);
        rc |= collect_way(l, f, &f->reader, reader);
        rc |= collect_way(l, f, &f->writer, writer);
        f = next;
    }
    return rc;
}

/* A descriptor or anything with fileno(), with the errors of the selectors module. -1: exception.
 */
static int fd_of(PyObject *obj) {
    long fd = -1;
    if (PyLong_Check(obj)) {
        fd = PyLong_AsLong(obj);
    } else {
        PyObject *number = PyObject_CallMethod(obj, "fileno", NULL);
        if (number != NULL) {
            fd = PyLong_AsLong(number);
            Py_DECREF(number);
        }
        if (PyErr_Occurred() &&
            (PyErr_ExceptionMatches(PyExc_AttributeError) ||
             PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_ValueError))) {
            PyErr_Format(PyExc_ValueError, "Invalid file object: %R", obj);
        }
    }
    if (PyErr_Occurred()) {
        return -1;
    }
    if (fd < 0 || fd > INT_MAX) {
        PyErr_Format(PyExc_ValueError, "Invalid file descriptor: %ld", fd);
        return -1;
    }
    return (int)fd;
}

static struct wf_fd *find(struct wf_pyloop *l, int fd) {
    return (uint32_t)fd < l->nfds ? l->fds[fd] : NULL;
}

static struct wf_fd *find_or_make(struct wf_pyloop *l, int fd) {
    if ((uint32_t)fd >= l->nfds) {
        /* or a wrong number would make the table as long as it says */
        if (fcntl(fd, F_GETFD) < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            return NULL;
        }
        uint32_t n = l->nfds != 0 ? l->nfds : 64;
        while (n <= (uint32_t)fd) {
            n *= 2;
        }
        struct wf_fd **fds = wf_realloc(l->fds, n * sizeof(*fds));
        if (fds == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        memset(fds + l->nfds, 0, (n - l->nfds) * sizeof(*fds));
        l->fds = fds;
        l->nfds = n;
    }
    if (l->fds[fd] == NULL) {
        struct wf_fd *f = wf_calloc(1, sizeof(*f));
        if (f == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        wf_watch_init(&f->watch, fd, fd_ready);
        f->loop = l;
        l->fds[fd] = f;
    }
    return l->fds[fd];
}

/* A file that has been closed has no number any more, and may still be removed, as asyncio's
 * selectors allow. NULL: it is not watched. */
static struct wf_fd *find_file(struct wf_pyloop *l, const PyObject *file) {
    for (uint32_t i = 0; i < l->nfds; i++) {
        if (l->fds[i] != NULL && l->fds[i]->file == file) {
            return l->fds[i];
        }
    }
    return NULL;
}

static struct wf_handle **slot_of(struct wf_fd *f, unsigned way) {
    return way == WF_READ ? &f->reader : &f->writer;
}

int wf_fd_add(struct wf_pyloop *l, int fd, unsigned way, struct wf_handle *h, PyObject *file) {
    struct wf_fd *f = wf_pyloop_check_open(l) == 0 ? find_or_make(l, fd) : NULL;
    if (f == NULL) {
        return -1;
    }
    struct wf_handle **slot = slot_of(f, way), *old = *slot;
    if (old != NULL && !wf_pyloop_hands_off(l)) {
        /* Nobody told us to stop, so the descriptor may have been closed and come back as another
         * file, which the kernel does not watch: begin anew. */
        wf_watch_stop(&l->reactor, &f->watch);
    }
    *slot = (struct wf_handle *)Py_NewRef(h);
    int rc = apply(l, f);
    if (rc < 0) {
        Py_CLEAR(*slot);
        (void)apply(l, f);
    } else {
        Py_XSETREF(f->file, Py_XNewRef(file));
    }
    bool raised = old != NULL && wf_handle_cancel(old) < 0;
    Py_XDECREF(old);
    if (raised) {
        return -1;
    }
    if (rc < 0) {
        errno = -rc;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return rc < 0 ? -1 : 0;
}

void wf_fd_remove(struct wf_pyloop *l, int fd, unsigned way, struct wf_handle *h) {
    struct wf_fd *f = find(l, fd);
    if (f != NULL && *slot_of(f, way) == h) {
        Py_CLEAR(*slot_of(f, way));
        (void)apply(l, f);
    }
}

/* (fd, callback, *args) -> Handle. The handle that was there before is cancelled. */
static PyObject *add(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs, unsigned way) {
    if (nargs < 2) {
        PyErr_SetString(PyExc_TypeError, "a descriptor and a callback are required");
        return NULL;
    }
    int fd = fd_of(args[0]);
    if (fd < 0 || wf_pyloop_check_open(l) < 0) { /* before a handle is made */
        return NULL;
    }
    struct wf_handle *h = wf_handle_new(l, args[1], args + 2, nargs - 2, NULL);
    if (h == NULL) {
        return NULL;
    }
    wf_handle_track(h);
    if (wf_fd_add(l, fd, way, h, PyLong_Check(args[0]) ? NULL : args[0]) < 0) {
        Py_CLEAR(h);
    }
    return (PyObject *)h;
}

/* (fd) -> was there one? */
static PyObject *drop(struct wf_pyloop *l, PyObject *arg, unsigned way) {
    if (l->closed || !l->open) {
        Py_RETURN_FALSE;
    }
    int fd = fd_of(arg);
    struct wf_fd *f = fd >= 0 ? find(l, fd) : find_file(l, arg);
    if (fd < 0) {
        if (f == NULL) {
            return NULL;
        }
        PyErr_Clear();
    }
    struct wf_handle *old = f != NULL ? *slot_of(f, way) : NULL;
    if (old == NULL) {
        Py_RETURN_FALSE;
    }
    *slot_of(f, way) = NULL;
    (void)apply(l, f);
    PyObject *file = wanted(f) == 0 ? f->file : NULL; /* owned */
    f->file = file != NULL ? NULL : f->file;
    int rc = wf_handle_cancel(old);
    Py_DECREF(old);
    Py_XDECREF(file);
    if (rc < 0) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

/* ---- what transports use ---- */

int wf_pyloop_watch(PyObject *loop, int fd, unsigned way, PyObject *handle) {
    struct wf_pyloop *l = (struct wf_pyloop *)loop;
    struct wf_fd *f = wf_pyloop_check_open(l) == 0 ? find_or_make(l, fd) : NULL;
    if (f == NULL) {
        return -1;
    }
    struct wf_handle **slot = slot_of(f, way), *old = *slot;
    if (wf_unlikely(old != NULL && (PyObject *)old != handle) && !wf_pyloop_hands_off(l)) {
        wf_watch_stop(&l->reactor, &f->watch); /* as in add() */
    }
    *slot = (struct wf_handle *)Py_NewRef(handle);
    int rc = apply(l, f);
    if (rc < 0) {
        Py_CLEAR(*slot);
        errno = -rc;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_XDECREF(old);
    return rc < 0 ? -1 : 0;
}

void wf_pyloop_unwatch(PyObject *loop, int fd, unsigned way) {
    struct wf_pyloop *l = (struct wf_pyloop *)loop;
    struct wf_fd *f = find(l, fd);
    if (f == NULL || *slot_of(f, way) == NULL) {
        return;
    }
    Py_CLEAR(*slot_of(f, way));
    if (wf_pyloop_hands_off(l)) {
        (void)apply(l, f);
    } else { /* reading may stay armed: a transport that pauses often goes on at once */
        (void)wf_watch_set(&l->reactor, &f->watch, wanted(f));
    }
}

bool wf_pyloop_watches(PyObject *loop, int fd, unsigned way, PyObject *handle) {
    struct wf_fd *f = find((struct wf_pyloop *)loop, fd);
    return f != NULL && (PyObject *)*slot_of(f, way) == handle;
}

void wf_pyloop_forget_fd(PyObject *loop, int fd) {
    struct wf_pyloop *l = (struct wf_pyloop *)loop;
    struct wf_fd *f = find(l, fd);
    if (f != NULL && f->reader == NULL && f->writer == NULL) {
        (void)apply(l, f);
    }
}

int wf_pyloop_own_fd(PyObject *loop, int fd, PyObject *transport) {
    struct wf_pyloop *l = (struct wf_pyloop *)loop;
    struct wf_fd *f = wf_pyloop_check_open(l) == 0 ? find_or_make(l, fd) : NULL;
    if (f == NULL) {
        return -1;
    }
    wf_pyloop_forget_fd(loop, fd); /* an earlier one of this number, closed behind our back */
    f->transport = transport;
    return 0;
}

void wf_pyloop_disown_fd(PyObject *loop, int fd, PyObject *transport) {
    struct wf_fd *f = find((struct wf_pyloop *)loop, fd);
    if (f != NULL && f->transport == transport) {
        f->transport = NULL;
    }
}

/* ---- what Python uses ---- */

int wf_fd_check_free(struct wf_pyloop *l, PyObject *arg) {
    int fd = fd_of(arg);
    struct wf_fd *f = fd >= 0 ? find(l, fd) : NULL;
    if (wf_likely(f == NULL || f->transport == NULL)) {
        return fd >= 0 ? 0 : -1;
    }
    PyObject *transport = Py_NewRef(f->transport);
    PyObject *closing = PyObject_CallMethod(transport, "is_closing", NULL);
    int rc = closing != NULL ? PyObject_IsTrue(closing) : -1;
    Py_XDECREF(closing);
    if (rc == 0) {
        PyErr_Format(PyExc_RuntimeError, "File descriptor %R is used by transport %R", arg,
                     transport);
    }
    Py_DECREF(transport);
    return rc > 0 ? 0 : -1;
}

static PyObject *ensure_free(struct wf_pyloop *l, PyObject *fd) {
    return wf_fd_check_free(l, fd) < 0 ? NULL : Py_NewRef(Py_None);
}

/* (fd, callback, *args), for programs: nothing comes back. */
static PyObject *add_checked(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                             unsigned way) {
    if (nargs >= 2 && wf_fd_check_free(l, args[0]) < 0) {
        return NULL;
    }
    PyObject *handle = add(l, args, nargs, way);
    Py_XDECREF(handle);
    return handle != NULL ? Py_NewRef(Py_None) : NULL;
}

static const char *const add_names[] = {"fd", "callback", NULL};
static const char *const drop_names[] = {"fd", NULL};

static PyObject *add_reader_checked(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                                    PyObject *kwnames) {
    if (wf_unlikely(kwnames != NULL)) {
        return wf_pyloop_call_by_keyword(l, add_reader_checked, "add_reader", add_names, false,
                                         args, nargs, kwnames);
    }
    return add_checked(l, args, nargs, WF_READ);
}

static PyObject *add_writer_checked(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                                    PyObject *kwnames) {
    if (wf_unlikely(kwnames != NULL)) {
        return wf_pyloop_call_by_keyword(l, add_writer_checked, "add_writer", add_names, false,
                                         args, nargs, kwnames);
    }
    return add_checked(l, args, nargs, WF_WRITE);
}

static PyObject *drop_checked(struct wf_pyloop *l, const char *method, PyObject *const *args,
                              Py_ssize_t nargs, unsigned way) {
    if (nargs != 1) {
        return PyErr_Format(PyExc_TypeError, "%s() takes one argument (%zd given)", method, nargs);
    }
    PyObject *file = args[0];
    if (wf_fd_check_free(l, file) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_ValueError) || find_file(l, file) == NULL) {
            return NULL;
        }
        PyErr_Clear();
    }
    return drop(l, file, way);
}

static PyObject *remove_reader_checked(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                                       PyObject *kwnames) {
    if (wf_unlikely(kwnames != NULL)) {
        return wf_pyloop_call_by_keyword(l, remove_reader_checked, "remove_reader", drop_names,
                                         false, args, nargs, kwnames);
    }
    return drop_checked(l, "remove_reader", args, nargs, WF_READ);
}

static PyObject *remove_writer_checked(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                                       PyObject *kwnames) {
    if (wf_unlikely(kwnames != NULL)) {
        return wf_pyloop_call_by_keyword(l, remove_writer_checked, "remove_writer", drop_names,
                                         false, args, nargs, kwnames);
    }
    return drop_checked(l, "remove_writer", args, nargs, WF_WRITE);
}

static PyObject *add_reader(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs) {
    return add(l, args, nargs, WF_READ);
}

static PyObject *add_writer(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs) {
    return add(l, args, nargs, WF_WRITE);
}

static PyObject *remove_reader(struct wf_pyloop *l, PyObject *fd) {
    return drop(l, fd, WF_READ);
}

static PyObject *remove_writer(struct wf_pyloop *l, PyObject *fd) {
    return drop(l, fd, WF_WRITE);
}

/* (fd) -> (reader, writer), each a handle or None. What a transport's repr looks at. */
static PyObject *watched(struct wf_pyloop *l, PyObject *arg) {
    int fd = fd_of(arg);
    if (fd < 0) {
        return NULL;
    }
    struct wf_fd *f = find(l, fd);
    PyObject *reader = f != NULL && f->reader != NULL ? (PyObject *)f->reader : Py_None;
    PyObject *writer = f != NULL && f->writer != NULL ? (PyObject *)f->writer : Py_None;
    return PyTuple_Pack(2, reader, writer);
}

int wf_fd_traverse(struct wf_pyloop *l, visitproc visit, void *arg) {
    for (uint32_t i = 0; i < l->nfds; i++) {
        if (l->fds[i] != NULL) {
            Py_VISIT(l->fds[i]->reader);
            Py_VISIT(l->fds[i]->writer);
            Py_VISIT(l->fds[i]->file);
        }
    }
    return 0;
}

void wf_fd_release(struct wf_pyloop *l) {
    struct wf_fd **fds = l->fds;
    uint32_t nfds = l->nfds;
    l->fds = NULL;
    l->nfds = 0;
    l->late_fds = NULL;
    l->ready_fds = NULL;
    l->ready_fds_tail = &l->ready_fds;
    for (uint32_t i = 0; i < nfds; i++) {
        if (fds[i] != NULL) {
            wf_watch_stop(&l->reactor, &fds[i]->watch);
            Py_XDECREF(fds[i]->reader);
            Py_XDECREF(fds[i]->writer);
            Py_XDECREF(fds[i]->file);
            wf_free(fds[i]);
        }
    }
    wf_free(fds);
}

#define FAST(fn) (PyCFunction)(void (*)(void)) fn

PyMethodDef wf_fd_methods[] = {
    {"add_reader", FAST(add_reader_checked), METH_FASTCALL | METH_KEYWORDS,
     "add_reader($self, fd, callback, *args)\n--\n\n"
     "Calls callback(*args) whenever fd, a descriptor or an object with fileno(), can be read. In "
     "place of the one before. RuntimeError for one that a transport has."},
    {"add_writer", FAST(add_writer_checked), METH_FASTCALL | METH_KEYWORDS,
     "add_writer($self, fd, callback, *args)\n--\n\n"
     "Calls callback(*args) whenever fd can be written. See add_reader()."},
    {"remove_reader", FAST(remove_reader_checked), METH_FASTCALL | METH_KEYWORDS,
     "remove_reader($self, fd)\n--\n\n"
     "No more calls for reading from fd. Were there any?"},
    {"remove_writer", FAST(remove_writer_checked), METH_FASTCALL | METH_KEYWORDS,
     "remove_writer($self, fd)\n--\n\n"
     "No more calls for writing to fd. Were there any?"},
    {"_ensure_fd_no_transport", (PyCFunction)ensure_free, METH_O, NULL},
    {"_add_reader", FAST(add_reader), METH_FASTCALL, NULL},
    {"_add_writer", FAST(add_writer), METH_FASTCALL, NULL},
    {"_remove_reader", (PyCFunction)remove_reader, METH_O, NULL},
    {"_remove_writer", (PyCFunction)remove_writer, METH_O, NULL},
    {"_watched", (PyCFunction)watched, METH_O,
     "The handles of a descriptor: (reader or None, writer or None)."},
    {NULL},
};
