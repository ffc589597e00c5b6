/* poll_coroutine: stepping a handler's coroutine so that, from inside, it cannot be told from one
 * that runs in an asyncio.Task, at none of a task's cost while it does not suspend.
 *
 *   wf_task_run ──send(None)──▶ returned ─────────────────────────────────▶ result at once
 *                      │
 *                      └──────▶ yielded a future: PARKED ──future done──▶ send ─▶ ... ─▶ done(arg,
 * result)
 *
 * The identity (asyncio.current_task()) is a recycled HandlerTask: as long as nobody kept a
 * reference to it and it never parked, the next handler gets the same object.
 *
 * thread   the loop's, with the GIL */
#ifndef WF_PY_TASK_H
#define WF_PY_TASK_H

#include "py/own.h"
#include "base/list.h"

struct wf_state;

struct wf_task_state {
    PyTypeObject *task_type;   /* owned: _core.HandlerTask, a subclass of asyncio.Task */
    PyTypeObject *runner_type; /* owned: _core._HandlerRunner, for tests */
    /* owned: asyncio's dict loop -> task, or NULL where it has none (3.14) and the function is
     * asked */
    PyObject *current_tasks, *swap_current_task;
    PyObject *register_task; /* owned: asyncio's function */
    /* owned: methods of asyncio.Future, called on a task as Task's own code calls super() */
    PyObject *set_result, *set_exception, *cancel, *add_done_callback, *make_cancelled_error,
        *result;
    PyObject *get_blocking,
        *get_loop; /* owned: its attributes `_asyncio_future_blocking`, `_loop` */
    PyObject *cancelled_error, *invalid_state_error; /* owned: asyncio's */
    /* owned: interned names, and the tuples of one keyword */
    PyObject *str_blocking, *str_cancel_message, *str_log_traceback, *kw_context, *kw_msg;
    unsigned long long named; /* how many tasks have been given a name */
};
int wf_task_exec(PyObject *module, struct wf_state *state);
int wf_task_traverse(struct wf_task_state *s, visitproc visit, void *arg);
void wf_task_clear(struct wf_task_state *s);

struct wf_task; /* a PyObject */

/* What a server's handlers share: identities to use again. It must not move while it is in use. */
struct wf_stepper {
    struct wf_state *state; /* borrowed: the module outlives it */
    PyObject *loop;         /* owned */
    struct wf_task *spare;  /* owned: the next handler's, or NULL */
    struct wf_list idle;    /* owned: more of them, from handlers that were parked */
    struct wf_list parked;  /* borrowed: they come back here when they have ended */
    unsigned nidle;
    PyObject *outer; /* owned: the current task before enter, or NULL; almost always NULL */
    bool entered;    /* between enter and leave */
    bool current;    /* asyncio's current task is the spare */
};
int wf_stepper_init(struct wf_stepper *s, struct wf_state *state, PyObject *loop); /* 0 or -1 */
void wf_stepper_clear(struct wf_stepper *s);

/* Around a batch of wf_task_run: sets and resets asyncio's current task once for all of them. */
int wf_stepper_enter(struct wf_stepper *s); /* 0, or -1 with an exception */
void wf_stepper_leave(struct wf_stepper *s);

/* Called outside of the task's context.
 * result  stolen; NULL: an exception is set (CancelledError included), to be taken by the callee,
 *         which puts back what has to end run_forever */
typedef void wf_task_done_fn(void *arg, PyObject *result);

enum wf_task_outcome { WF_TASK_FAILED = -1, WF_TASK_PARKED = 0, WF_TASK_RETURNED = 1 };

/* Runs the first step of `coro` inside `context`. Only between enter and leave.
 * coro     stolen: a coroutine, or anything PyIter_Send takes (an awaitable's __await__ iterator)
 * context  borrowed: a contextvars.Context nobody has entered; the task's own from now on
 * RETURNED *result is the value, owned
 * FAILED   an exception is set
 * PARKED   done(arg, ...) will be called once, from the loop; *parked is a reference the caller
 * owns and may use for wf_task_cancel */
enum wf_task_outcome wf_task_run(struct wf_stepper *s, PyObject *coro, PyObject *context,
                                 wf_task_done_fn *done, void *arg, PyObject **result,
                                 struct wf_task **parked);

/* task.cancel(): CancelledError is thrown in at the next step. Harmless when it is done. -1:
 * exception. */
int wf_task_cancel(struct wf_task *t);
/* Nobody waits for the result any more: done will not be called; an exception is reported to the
 * loop's exception handler. */
void wf_task_detach(struct wf_task *t);

/* coro.throw(exc), as PyIter_Send answers: *out is what it waits for, or its result; owned, NULL with an
 * exception. */
PySendResult wf_coro_throw(PyObject *coro, PyObject *exc, PyObject **out);

#endif
