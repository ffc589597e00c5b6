/* PyLoop: the reactor as asyncio's running loop.
 *
 * One turn of run_forever:
 *   before_wait   of each guest, without the GIL (a server sends its replies here)
 *   wf_loop_poll  without the GIL; does not wait while anything is ready
 *   after_wait    of each guest, with the GIL (a server runs its handlers here)
 *   handles       what call_soon queued before this turn, timers that are due, ready descriptors
 *
 * thread   with the GIL, on the loop's thread, unless said otherwise */
#ifndef WF_PY_LOOP_H
#define WF_PY_LOOP_H

#include "py/own.h"
#include "base/list.h"
#include "io/loop/loop.h"

struct wf_state;

/* Names that are looked up on loops, sockets and futures, interned once. */
#define WF_LOOP_NAMES(X)                                                                           \
    X(accept)                                                                                      \
    X(call_at)                                                                                     \
    X(connect)                                                                                     \
    X(context)                                                                                     \
    X(create_future)                                                                               \
    X(done)                                                                                        \
    X(fileno)                                                                                      \
    X(recvfrom)                                                                                    \
    X(recvfrom_into)                                                                               \
    X(sendto)                                                                                      \
    X(set_exception)                                                                               \
    X(set_result)                                                                                  \
    X(setblocking)                                                                                 \
    X(time)

struct wf_loop_state {
    PyTypeObject *loop_type;         /* owned: _core.Loop, the base of weft.loop.Loop */
    PyTypeObject *handle_type;       /* owned */
    PyTypeObject *timer_handle_type; /* owned */
    PyTypeObject *operation_type;    /* owned: what sock_recv() and its kin await */
    PyObject *operation_ready;       /* owned: its method, for the loop to call */

    /* asyncio's, imported once; all owned */
    PyObject *asyncio_handle, *asyncio_timer_handle; /* what isinstance() of our handles sees */
    PyTypeObject *future_type, *asyncio_task_type;
    PyObject *extract_stack, *format_callback; /* of asyncio.format_helpers */
    PyObject *sendfile_not_available;          /* of asyncio.exceptions */
    PyObject *kw_loop;                         /* ("loop",) for calls with one keyword */
    PyObject *kw_debug;                        /* ("debug",) */
    PyObject *empty_tuple;
    PyObject *no_vars;                /* owned: wf_context_probe() */
#define X(name) PyObject *str_##name; /* owned */
    WF_LOOP_NAMES(X)
#undef X
};
int wf_loop_exec(PyObject *module, struct wf_state *state);
int wf_loop_traverse(struct wf_loop_state *s, visitproc visit, void *arg);
void wf_loop_clear(struct wf_loop_state *s);

/* The reactor inside; lives as long as the loop object is open. NULL with RuntimeError when closed,
 * TypeError when `loop` is not a PyLoop. */
struct wf_loop *wf_pyloop_reactor(struct wf_state *state, PyObject *loop);

/* Somebody who takes part in each turn; embed it. The node is the loop's while added. */
struct wf_guest {
    struct wf_list node;
    PyObject *self; /* the object it is embedded in: the loop's, owned, while added */
    void (*before_wait)(struct wf_guest *g); /* no GIL, no Python */
    /* 1: more is ready, so do not wait; 0; or -1 with a BaseException that is not an Exception set
     * (KeyboardInterrupt, SystemExit), which ends run_forever as from a callback */
    int (*after_wait)(struct wf_guest *g);
    /* the loop is being closed with the guest still in it (GIL held): it has let go of it */
    void (*closing)(struct wf_guest *g);
};
void wf_pyloop_add_guest(PyObject *loop, struct wf_guest *g);
void wf_pyloop_remove_guest(PyObject *loop, struct wf_guest *g);

/* call_soon(callback, arg) without making argument tuples; context borrowed or NULL for a copy of
 * the current one. Returns 0, or -1 with an exception. */
int wf_pyloop_call_soon(struct wf_state *state, PyObject *loop, PyObject *callback, PyObject *arg,
                        PyObject *context);

/* ---- descriptors, for transports: `fd` is theirs, so nobody else watches it ---- */

/* A handle that calls back with one argument, for use again and again; context borrowed, NULL for a
 * copy of the current one. New reference. */
PyObject *wf_pyloop_handle(PyObject *loop, PyObject *callback, PyObject *arg, PyObject *context);
/* Queues the handle whenever the descriptor is ready; way is WF_READ or WF_WRITE. The loop takes a
 * reference of its own. 0, or -1 with an exception. */
int wf_pyloop_watch(PyObject *loop, int fd, unsigned way, PyObject *handle);
/* The opposite. A handle that is queued already still runs: whoever it calls has to know. */
void wf_pyloop_unwatch(PyObject *loop, int fd, unsigned way);
/* Is it this handle that the loop queues? */
bool wf_pyloop_watches(PyObject *loop, int fd, unsigned way, PyObject *handle);
/* Before close(): the reactor knows nothing of it any more. */
void wf_pyloop_forget_fd(PyObject *loop, int fd);
/* While it is `transport`'s (borrowed: it has to disown the descriptor before it dies), add_reader()
 * and its kin refuse it, unless the transport is_closing(). The descriptor is new: what the reactor
 * knew of one of this number is forgotten. 0, or -1 with an exception. */
int wf_pyloop_own_fd(PyObject *loop, int fd, PyObject *transport);
void wf_pyloop_disown_fd(PyObject *loop, int fd, PyObject *transport);

bool wf_pyloop_debug(PyObject *loop);
bool wf_pyloop_closed(PyObject *loop);

/* loop.call_exception_handler({message, exception, ...}); exc borrowed; never fails. */
void wf_pyloop_report(PyObject *loop, const char *message, PyObject *exc);

#endif
