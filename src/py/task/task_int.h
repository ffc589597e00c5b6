/* What the files of this room share. The lives of a task: task.c. */
#ifndef WF_PY_TASK_INT_H
#define WF_PY_TASK_INT_H

#include "py/state.h"
#include "py/task/task.h"

/* Identities kept for later: as many handlers as this may wait at the same time without a new one
 * being made for each. One is half a kilobyte. */
enum { WF_TASKS_IDLE_MAX = 512 };

enum wf_task_at { WF_AT_IDLE, WF_AT_RUNNING, WF_AT_PARKED, WF_AT_DONE };

/* Ours, behind asyncio's part. */
struct wf_task_part {
    PyObject *self;          /* borrowed: the task that this is part of */
    PyObject *module;        /* owned until dealloc, so that `state` is there to the end */
    struct wf_state *state;  /* the module's */
    struct wf_stepper *home; /* borrowed while PARKED or IDLE; NULL once that is gone */
    struct wf_list node;     /* in home->parked or home->idle */
    PyObject *loop;          /* owned */
    PyObject *coro;          /* owned; NULL while IDLE */
    PyObject *context;       /* owned; NULL while IDLE */
    PyObject *name;          /* owned; NULL until somebody asks */
    PyObject *waiter;        /* owned: the future it is parked on; NULL where there is none */
    PyObject *wakeup;        /* owned: what futures and the loop call; made for the first parking */
    wf_task_done_fn *done;   /* NULL once called or detached */
    void *arg;
    PyObject
        *registered;  /* borrowed, for comparison: asyncio's own weak reference to us, or NULL */
    unsigned cancels; /* cancel() minus uncancel() */
    uint8_t at;
    bool must_cancel; /* throw CancelledError in at the next step */
    bool touched;     /* somebody left something on it: not for the next handler */
};

static inline struct wf_task_part *wf_task_part_of(PyObject *task) {
    return (struct wf_task_part *)((char *)task + Py_TYPE(task)->tp_basicsize -
                                   sizeof(struct wf_task_part));
}

static inline PyObject **wf_task_weakrefs_of(PyObject *task) {
    return (PyObject **)((char *)task + Py_TYPE(task)->tp_weaklistoffset);
}

static inline PyObject *wf_task_cancelled_error(PyObject *task, struct wf_task_part *p) {
    return PyObject_CallOneArg(p->state->task.make_cancelled_error, task);
}

static inline bool wf_task_is_cancelled_error(struct wf_state *state, PyObject *exc) {
    return PyErr_GivenExceptionMatches(exc, state->task.cancelled_error);
}

/* A finalizer may still call us when the interpreter has taken the module down. */
static inline bool wf_task_is_gone(struct wf_state *state) {
    if (wf_likely(state->task.task_type != NULL)) {
        return false;
    }
    PyErr_SetString(PyExc_RuntimeError, "weft is gone: the interpreter shuts down");
    return true;
}

/* ---- task.c ---- */

struct wf_task *wf_task_new(struct wf_state *state, PyObject *loop); /* IDLE; owned, or NULL */

/* ---- current.c ---- */

/* Makes `task` current (NULL: nobody). Returns 0, or -1 with an exception; *before, where wanted
 * (NULL so far), is who else it was, owned or NULL. */
int wf_task_swap_current(struct wf_state *state, PyObject *loop, PyObject *task, PyObject **before);
PyObject *wf_task_import_from(const char *module_name, const char *name); /* new reference */
/* current_tasks, or the function where asyncio keeps it elsewhere. */
int wf_task_import_current(struct wf_task_state *s);

/* ---- end.c ---- */

/* The result (borrowed) or the exception (borrowed), for whoever kept the task. */
void wf_task_store(PyObject *task, struct wf_task_part *p, PyObject *result, PyObject *exc);
/* A step has ended the coroutine: *result (owned), or NULL and the exception is set. A task that
 * was cancelled right before its end is cancelled after all. */
void wf_task_settle_cancel(PyObject *task, struct wf_task_part *p, PyObject **result);
/* Did anybody keep the task, or leave a mark on it? `refs` and `wakeup_refs` are the references we
 * know of; its own to itself, through `wakeup`, not counted. */
bool wf_task_was_kept(PyObject *task, struct wf_task_part *p, Py_ssize_t refs,
                      Py_ssize_t wakeup_refs);
/* Ready for another handler. */
void wf_task_reset(struct wf_task_part *p);
/* Tells whoever waits, after a step that was not the first. Returns 0, or -1 with what has to end
 * run_forever. result  stolen; NULL: an exception is set */
int wf_task_finish(PyObject *task, struct wf_task_part *p, PyObject *result);

/* ---- park.c ---- */

/* waiter.cancel(msg=message): 1 it will be, 0 it is done already, -1 exception. */
int wf_task_cancel_waiter(struct wf_task_part *p, PyObject *message);
/* The coroutine yielded (stolen). -1 with an exception only where not even a step can be queued. */
int wf_task_park(PyObject *task, struct wf_task_part *p, PyObject *yielded);
/* What the future's outcome has for the coroutine: NULL, or the exception to throw in, owned. */
PyObject *wf_task_outcome_of(struct wf_state *state, PyObject *future);

/* ---- step.c ---- */

/* (): the next step. (future): it is done. (exception): it is thrown in. */
PyObject *wf_task_wakeup(PyObject *task, PyObject *const *args, Py_ssize_t nargs);

/* _core._HandlerRunner: stepping without a server, for tests. */
int wf_runner_exec(PyObject *module, struct wf_state *state);

#endif
