/* The stepper: first steps, and the identity they share. */
#include "py/loop/pyloop.h"
#include "py/task/task_int.h"

int wf_stepper_init(struct wf_stepper *s, struct wf_state *state, PyObject *loop) {
    *s = (struct wf_stepper){.state = state};
    wf_list_init(&s->idle);
    wf_list_init(&s->parked);
    if (wf_pyloop_reactor(state, loop) == NULL) {
        return -1;
    }
    s->loop = Py_NewRef(loop);
    return 0;
}

/* An idle identity goes for good. task  stolen */
static void discard(PyObject *task) {
    Py_CLEAR(wf_task_part_of(task)->wakeup); /* a cycle */
    Py_DECREF(task);
}

void wf_stepper_clear(struct wf_stepper *s) {
    WF_ASSERT(!s->entered);
    struct wf_list *n;
    while (s->parked.next != NULL && (n = wf_list_pop(&s->parked)) != NULL) {
        wf_container_of(n, struct wf_task_part, node)->home = NULL;
    }
    while (s->idle.next != NULL && (n = wf_list_pop(&s->idle)) != NULL) {
        discard(wf_container_of(n, struct wf_task_part, node)->self);
    }
    if (s->spare != NULL) {
        discard((PyObject *)s->spare);
        s->spare = NULL;
    }
    Py_CLEAR(s->outer);
    Py_CLEAR(s->loop);
}

/* The spare is there. */
static int find_spare(struct wf_stepper *s) {
    if (s->spare == NULL) {
        struct wf_list *n = wf_list_pop(&s->idle);
        if (n != NULL) {
            s->nidle--;
            s->spare = (struct wf_task *)wf_container_of(n, struct wf_task_part, node)->self;
        } else {
            s->spare = wf_task_new(s->state, s->loop);
        }
    }
    return s->spare != NULL ? 0 : -1;
}

/* It is there and is asyncio's current task. */
static int ready_spare(struct wf_stepper *s) {
    if (find_spare(s) < 0) {
        return -1;
    }
    if (!s->current) {
        if (wf_task_swap_current(s->state, s->loop, (PyObject *)s->spare, NULL) < 0) {
            return -1;
        }
        s->current = true;
    }
    return 0;
}

int wf_stepper_enter(struct wf_stepper *s) {
    WF_ASSERT(!s->entered);
    if (find_spare(s) < 0 ||
        wf_task_swap_current(s->state, s->loop, (PyObject *)s->spare, &s->outer) < 0) {
        return -1;
    }
    s->entered = s->current = true;
    return 0;
}

void wf_stepper_leave(struct wf_stepper *s) {
    WF_ASSERT(s->entered);
    PyObject *pending = wf_err_take();
    if (wf_task_swap_current(s->state, s->loop, s->outer, NULL) < 0) {
        PyErr_WriteUnraisable(s->loop);
    }
    Py_CLEAR(s->outer);
    s->entered = s->current = false;
    if (pending != NULL) {
        wf_err_put(pending);
    }
}

/* The stepper lets go of its spare: it is somebody else's now. Returns it, owned. The next one
 * takes its place as the current task at once: to replace it costs less than to remove it. */
static PyObject *give_away(struct wf_stepper *s) {
    PyObject *task = (PyObject *)s->spare;
    PyObject *pending = wf_err_take();
    s->spare = NULL;
    s->current = false;
    if (wf_unlikely(ready_spare(s) < 0)) {
        PyErr_WriteUnraisable(task);
        if (wf_task_swap_current(s->state, s->loop, NULL, NULL) < 0) {
            PyErr_WriteUnraisable(task);
        }
    }
    if (pending != NULL) {
        wf_err_put(pending);
    }
    return task;
}

/* The first step was the last. result  borrowed; NULL: an exception is set, and stays */
static void end_first(struct wf_stepper *s, PyObject *task, struct wf_task_part *p,
                      PyObject *result) {
    PyObject *exc = result == NULL ? wf_err_take() : NULL;
    p->done = NULL;
    /* ours: the stepper's reference and asyncio's current task; to the wakeup, the part's */
    if (wf_likely(!wf_task_was_kept(task, p, 2, 1))) {
        wf_task_reset(p);
    } else {
        wf_task_store(task, p, result, exc);
        Py_DECREF(give_away(s));
    }
    if (exc != NULL) {
        wf_err_put(exc);
    }
}

/* The first step yielded (stolen). */
static enum wf_task_outcome park_first(struct wf_stepper *s, PyObject *task, struct wf_task_part *p,
                                       PyObject *yielded, struct wf_task **parked) {
    (void)give_away(s); /* the caller's reference now */
    if (wf_likely(wf_task_park(task, p, yielded) == 0)) {
        p->home = s;
        wf_list_push(&s->parked, &p->node);
        *parked = (struct wf_task *)task;
        return WF_TASK_PARKED;
    }
    PyObject *exc = wf_err_take();
    p->done = NULL;
    wf_task_store(task, p, NULL, exc);
    Py_DECREF(task);
    wf_err_put(exc);
    return WF_TASK_FAILED;
}

enum wf_task_outcome wf_task_run(struct wf_stepper *s, PyObject *coro, PyObject *context,
                                 wf_task_done_fn *done, void *arg, PyObject **result,
                                 struct wf_task **parked) {
    WF_ASSERT(s->entered);
    if (wf_unlikely(!s->current) && ready_spare(s) < 0) {
        Py_DECREF(coro);
        return WF_TASK_FAILED;
    }
    PyObject *task = (PyObject *)s->spare;
    struct wf_task_part *p = wf_task_part_of(task);
    if (wf_unlikely(p->at != WF_AT_IDLE)) {
        Py_DECREF(coro);
        PyErr_SetString(PyExc_RuntimeError, "a handler cannot be started from within another");
        return WF_TASK_FAILED;
    }
    p->coro = coro;
    p->context = Py_NewRef(context);
    p->done = done;
    p->arg = arg;
    p->at = WF_AT_RUNNING;

    PyObject *value = NULL;
    PySendResult sent = PYGEN_ERROR;
    if (wf_likely(PyContext_Enter(context) == 0)) {
        sent = PyIter_Send(coro, Py_None, &value);
        if (wf_unlikely(PyContext_Exit(context) < 0)) {
            Py_CLEAR(value);
            sent = PYGEN_ERROR;
        }
    }
    if (sent == PYGEN_NEXT) {
        return park_first(s, task, p, value, parked);
    }
    wf_task_settle_cancel(task, p, &value);
    end_first(s, task, p, value);
    *result = value;
    return value != NULL ? WF_TASK_RETURNED : WF_TASK_FAILED;
}
