/* What the files of this room share: the loop object, its handles, its descriptors. */
#ifndef WF_PY_LOOP_INT_H
#define WF_PY_LOOP_INT_H

#include <math.h>
#include <string.h>

#include "base/heap.h"
#include "py/loop/pyloop.h"
#include "py/state.h"

struct wf_pyloop;

/* ---- handles ---- */

/* One callback to come, asyncio.Handle in C. */
struct wf_handle {
    PyObject_HEAD
    struct wf_pyloop *loop; /* owned; NULL only when the collector cleared it */
    PyObject *callback;     /* owned; NULL once cancelled. On the free list: the next one */
    PyObject *context;      /* owned: contextvars.Context; or what one is made of, see `bare` */
    PyObject *args[2];      /* owned: up to two arguments, or one tuple where there are more */
    PyObject *debug;        /* owned: see WF_DEBUG_ITEMS; debug mode only, else NULL */
    PyObject *weakrefs;
    uint32_t nargs;
    bool cancelled;
    bool timed; /* the head of a wf_timer_handle */
    bool bare;  /* `context` is the variables of a Context that is made when somebody asks */
};

/* What `debug` is a list of, None where there is none: where the handle was made, and how it printed
 * before cancel() took its callback. */
enum { WF_DEBUG_SOURCE, WF_DEBUG_REPR, WF_DEBUG_ITEMS };

/* The same at a time. While scheduled it is in loop->timers, which owns a reference; what is due is run
 * from there, and cancel() takes it out. Thousands may wait, so each word counts. */
struct wf_timer_handle {
    struct wf_handle h;
    double when; /* seconds of loop.time() */
    struct wf_heap_node node;
};

/* Each callback has a Context of its own, a copy from the moment it was asked for. Until it runs or
 * somebody looks, the variables do for it (context.h, ADR 32). Most leave theirs to nobody, so the
 * next one runs in the same object: `spare_context`, while nobody else has it. */

/* Handles of which nobody kept a reference are used again: more than a burst of this many and the
 * rest goes back to the allocator. */
enum { WF_HANDLES_SPARE_MAX = 2048 }; /* 300 KB */

struct wf_spares {
    struct wf_handle *first; /* owned, dead: linked by `callback` */
    unsigned n;
};

/* The collector need not know a handle that only the loop has, and most are had by nobody else from
 * call_soon() to the end of their run: a thousand that wait would be looked at again and again. So a
 * handle is born untracked, and the loop visits what it holds as its own:
 *
 *   untracked ──the caller kept it, which shows when the next one is made──▶ tracked
 *             ──somebody has it once it has run────────────────────────────▶ tracked
 *
 * Until then one that somebody else has too counts as reachable. That does no harm while the loop runs,
 * since it is reachable then; when it stops, and for the last one that is made while it does not run,
 * the question is not left open. */

/* New reference, untracked. args borrowed; context borrowed, NULL or None for a copy of the current
 * one. */
struct wf_handle *wf_handle_new(struct wf_pyloop *l, PyObject *callback, PyObject *const *args,
                                Py_ssize_t nargs, PyObject *context);
struct wf_timer_handle *wf_timer_handle_new(struct wf_pyloop *l, double when, PyObject *callback,
                                            PyObject *const *args, Py_ssize_t nargs,
                                            PyObject *context);
void wf_handle_track(struct wf_handle *h); /* harmless twice */
/* tp_traverse's part for a handle of which the loop has exactly one reference. */
int wf_handle_visit_queued(struct wf_handle *h, visitproc visit, void *arg);
/* Calls back in its context. An exception goes to the loop's exception handler; -1 only for what
 * has to end run_forever (KeyboardInterrupt, SystemExit, or what the exception handler raised). */
int wf_handle_run(struct wf_handle *h);
/* h (stolen) has had its turn: the queue's reference is given up. */
void wf_handle_done(struct wf_handle *h);
int wf_handle_cancel(struct wf_handle *h); /* 0, or -1 with an exception (debug mode's repr) */
void wf_handle_free_spares(struct wf_pyloop *l);
int wf_handle_exec(PyObject *module, struct wf_state *state);

/* ---- the ready queue: a ring of owned handles ---- */

struct wf_queue {
    struct wf_handle **slots; /* owned */
    uint32_t head, len, cap;  /* cap is a power of two, or 0 */
};

int wf_queue_grow(struct wf_queue *q) WF_MUST_USE; /* 0, or -1 with MemoryError */

/* h  stolen on success only */
static inline int wf_queue_push(struct wf_queue *q, struct wf_handle *h) {
    if (wf_unlikely(q->len == q->cap) && wf_queue_grow(q) < 0) {
        return -1;
    }
    q->slots[(q->head + q->len++) & (q->cap - 1)] = h;
    return 0;
}

static inline struct wf_handle *wf_queue_pop(struct wf_queue *q) { /* owned by the caller now */
    WF_ASSERT(q->len != 0);
    struct wf_handle *h = q->slots[q->head];
    q->head = (q->head + 1) & (q->cap - 1);
    q->len--;
    return h;
}

/* ---- descriptors: add_reader and add_writer ---- */

struct wf_fd {
    struct wf_watch watch;
    struct wf_pyloop *loop;            /* borrowed: it owns this struct */
    struct wf_handle *reader, *writer; /* owned, or NULL */
    PyObject *transport; /* borrowed: whose descriptor it is while it is open; or NULL */
    PyObject *file;      /* owned: what the program gave, where that was no number; or NULL */
    struct wf_fd *next_ready;
    struct wf_fd *next_late;
    uint8_t ready; /* what the reactor reported this turn */
    bool late;     /* changed by another thread during the wait; told to the reactor after it */
};

extern PyMethodDef wf_fd_methods[];
/* Queues h whenever the descriptor is ready; a handle that was there before is cancelled. file  what
 * the program gave, where that was no number, borrowed; or NULL. 0, or -1 with an exception. */
int wf_fd_add(struct wf_pyloop *l, int fd, unsigned way, struct wf_handle *h, PyObject *file);
/* The opposite; nothing where another handle has taken its place. */
void wf_fd_remove(struct wf_pyloop *l, int fd, unsigned way, struct wf_handle *h);
/* 0, or -1 with RuntimeError where an open transport has the descriptor, in asyncio's words. arg  a
 * descriptor or an object with fileno() */
int wf_fd_check_free(struct wf_pyloop *l, PyObject *arg);
/* Hands the handles of ready descriptors to the ready queue. */
int wf_fd_collect(struct wf_pyloop *l);
void wf_fd_apply_late(struct wf_pyloop *l);
int wf_fd_traverse(struct wf_pyloop *l, visitproc visit, void *arg);
void wf_fd_release(struct wf_pyloop *l);

/* ---- operations on sockets: what sock_recv() and its kin await ---- */

extern PyMethodDef wf_operation_methods[];
int wf_operation_exec(PyObject *module, struct wf_state *state);

/* ---- the loop ---- */

/* While callbacks are ready a turn glances at the descriptors, which costs more than the callbacks
 * of a short turn. Once this many glances in a row have found nothing, the next one may come later:
 * few enough to be unnoticeable in time, and enough that a program which waits for a descriptor by
 * a handful of sleep(0) finds it after as many as on asyncio's loop. */
enum { WF_QUIET_TURNS = 64 };
/* But never later than this: nobody who waits for a descriptor, a timer, a signal or the GIL waits
 * for it longer than a slow callback would have made him wait. */
enum { WF_GLANCE_EVERY_NS = 50 * 1000 };
/* To read the clock takes a fifth of a turn of one short callback. So once the turns since it was read
 * last took less than this, the next few go by without, if they are of no more callbacks than that: should
 * these be slow, then somebody waits for a handful of slow callbacks, once. */
enum { WF_SHORT_NS = 10 * 1000, WF_UNREAD_TURNS = 3, WF_UNREAD_CALLBACKS = 2 };

struct wf_pyloop {
    PyObject_HEAD
    struct wf_loop reactor;
    PyObject *module;       /* owned until dealloc, so that `state` is there to the end */
    struct wf_state *state; /* the module's; its fields are NULL once the interpreter cleared it */
    PyTypeObject *handle_type, *timer_handle_type; /* owned until dealloc: spares have this type */

    struct wf_queue ready;
    struct wf_spares spares, timer_spares;
    PyObject *no_vars; /* owned: of an empty context; NULL where contexts are copied at once */
    PyObject *spare_context; /* owned: empty; or NULL */
    struct wf_handle *fresh; /* borrowed: the last that was handed out, maybe untracked; or NULL */

    /* Scheduled timer handles, each owned once, by wf_timer_key(). They are not the reactor's, so they
     * change with the GIL held only, by any thread, and wait for any clock. */
    struct wf_heap timers;
    uint64_t due_before; /* keys below are due in this turn; 0 between turns */

    struct wf_fd **fds; /* owned, by descriptor; entries stay until the loop closes */
    uint32_t nfds;
    struct wf_fd *ready_fds;
    struct wf_fd **ready_fds_tail;
    struct wf_fd *late_fds;

    struct wf_list guests;
    PyObject *task_factory; /* owned; NULL or None: asyncio.Task */
    /* owned: {"loop": self}, for asyncio's Future and Task, which take no vectorcall. Only while the
     * turns run, since it makes a cycle; else NULL. */
    PyObject *loop_keyword;
    unsigned long thread_id; /* of run_forever; 0 while it does not run */
    bool open;               /* the reactor is there */
    bool closed;             /* loop.close() has been called */
    bool stopping;
    bool debug;
    bool waiting; /* between giving up the GIL and having it again: the reactor is not ours to touch
                   */
    bool busy;    /* a guest has more to do */
    bool own_clock; /* time() or call_at() has been replaced: see clock.c */

    bool found;            /* the turn before this one looked, and found something */
    unsigned quiet;        /* turns in a row whose glance at the descriptors found nothing */
    uint64_t glance_by_ns; /* when the next glance is due at the latest */
    uint64_t read_ns;      /* when the clock was read last, to know whether it is */
    unsigned unread;       /* turns that may go by before it is read again */
};

/* Other threads may call anything at the wrong moment. While the loop waits they must not touch the
 * reactor: they leave a note (`late`) and wake it. */
static inline bool wf_pyloop_hands_off(const struct wf_pyloop *l) {
    return l->waiting;
}

/* h was made for a caller and is queued. The one before it: by now its caller has kept it or not. While
 * the loop does not run it may be the last, so it is tracked until the next one shows. */
static inline void wf_pyloop_handed_out(struct wf_pyloop *l, struct wf_handle *h) {
    bool runs = l->thread_id != 0;
    if (l->fresh != NULL) {
        if (wf_unlikely(Py_REFCNT(l->fresh) > 1)) {
            wf_handle_track(l->fresh);
        } else if (!runs) {
            PyObject_GC_UnTrack(l->fresh);
        }
    }
    l->fresh = h;
    if (!runs) {
        PyObject_GC_Track(h);
    }
}

int wf_pyloop_turn(struct wf_pyloop *l); /* one turn: 0, or -1 with an exception */
/* The turns of run_forever: until stop(). */
PyObject *wf_pyloop_run(struct wf_pyloop *l);

/* A scheduled timer's way in and out. start takes its own reference; 0, or -1 with MemoryError. stop is
 * harmless for one that is not scheduled; the caller has a reference. */
int wf_pyloop_timer_start(struct wf_pyloop *l, struct wf_timer_handle *t);
void wf_pyloop_timer_stop(struct wf_pyloop *l, struct wf_timer_handle *t);
/* The one that is due first, borrowed; NULL where there is none. */
static inline struct wf_timer_handle *wf_pyloop_first_timer(const struct wf_pyloop *l) {
    struct wf_heap_node *n = wf_heap_min(&l->timers);
    return n != NULL ? wf_container_of(n, struct wf_timer_handle, node) : NULL;
}

/* Keys are in the order of the times. NaN, which asyncio takes as due, comes first. */
static inline uint64_t wf_timer_key(double when) {
    if (wf_unlikely(isnan(when))) {
        return 0;
    }
    uint64_t bits;
    when += 0.0; /* of the two zeros one */
    memcpy(&bits, &when, sizeof(bits));
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

/* ---- keywords.c ---- */

typedef PyObject *wf_pyloop_method(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames);
enum { WF_NAMED_MAX = 2 };
/* Calls `call` with arguments that were given by name in their places. names  its parameters but
 * *args and `context`, WF_NAMED_MAX at most, NULL at the end; context  is there one? New reference. */
PyObject *wf_pyloop_call_by_keyword(struct wf_pyloop *l, wf_pyloop_method *call, const char *method,
                                    const char *const *names, bool context, PyObject *const *args,
                                    Py_ssize_t nargs, PyObject *kwnames);

/* ---- a clock of the program's own: clock.c ---- */

/* Are time() and call_at() ours still? Sets own_clock. 0, or -1 with an exception. */
int wf_pyloop_look_at_clock(struct wf_pyloop *l);
int wf_pyloop_setattr(PyObject *self, PyObject *name, PyObject *value); /* tp_setattro */
/* call_later() as asyncio has it: by self.time() and self.call_at(). args are the delay, the callback
 * and its arguments; context borrowed or NULL. New reference. */
PyObject *wf_pyloop_call_later_by_name(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                                       PyObject *context);
/* What self.time() says. 0, or -1 with an exception. */
int wf_pyloop_ask_clock(struct wf_pyloop *l, double *now);
/* How long a turn may wait for t, in nanoseconds, when it says that. */
int64_t wf_pyloop_clock_wait(const struct wf_timer_handle *t, double now);
/* After the wait: which timers are due? Sets due_before. 0, or -1 with an exception. */
int wf_pyloop_clock_after(struct wf_pyloop *l);

/* The methods that may be replaced. */
PyObject *wf_pyloop_time(struct wf_pyloop *l, PyObject *unused);
PyObject *wf_pyloop_call_at(struct wf_pyloop *l, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);

/* A finalizer may still call us when the interpreter has taken the module down. */
static inline void *wf_pyloop_gone(void) {
    PyErr_SetString(PyExc_RuntimeError, "weft is gone: the interpreter shuts down");
    return NULL;
}

static inline int wf_pyloop_check_open(struct wf_pyloop *l) {
    if (wf_unlikely(l->closed || !l->open)) {
        PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
        return -1;
    }
    return 0;
}

#endif
