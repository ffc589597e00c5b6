/* Parking: a task and the future that it waits for. */
#include "py/loop/pyloop.h"
#include "py/task/task_int.h"

/* Bound to the task, so that logs and debuggers find it as `__self__`. */
static PyMethodDef wakeup_def = {"wakeup", (PyCFunction)(void (*)(void))wf_task_wakeup,
                                 METH_FASTCALL, NULL};

/* Borrowed. */
static PyObject *wakeup_of(PyObject *task, struct wf_task_part *p) {
    if (p->wakeup == NULL) {
        p->wakeup = PyCFunction_New(&wakeup_def, task);
    }
    return p->wakeup;
}

/* The next step in the next turn; exc (borrowed, or NULL) is thrown in. */
static int step_soon(PyObject *task, struct wf_task_part *p, PyObject *exc) {
    PyObject *wakeup = wakeup_of(task, p);
    if (wakeup == NULL) {
        return -1;
    }
    return wf_pyloop_call_soon(p->state, p->loop, wakeup, exc, p->context);
}

/* One of asyncio's own: its attributes can be had without a look-up. */
static bool is_plain(struct wf_state *state, PyObject *future) {
    return Py_IS_TYPE(future, state->loop.future_type) ||
           Py_IS_TYPE(future, state->loop.asyncio_task_type);
}

static PyGetSetDef *getset_of(PyObject *descr) {
    return ((PyGetSetDescrObject *)descr)->d_getset;
}

/* `_asyncio_future_blocking`: new reference, or NULL with an exception. */
static PyObject *get_blocking(struct wf_task_state *s, PyObject *future, bool plain) {
    if (wf_likely(plain)) {
        PyGetSetDef *def = getset_of(s->get_blocking);
        return def->get(future, def->closure);
    }
    return PyObject_GetAttr(future, s->str_blocking);
}

static int clear_blocking(struct wf_task_state *s, PyObject *future, bool plain) {
    if (wf_likely(plain)) {
        PyGetSetDef *def = getset_of(s->get_blocking);
        return def->set(future, Py_False, def->closure);
    }
    return PyObject_SetAttr(future, s->str_blocking, Py_False);
}

/* Whose loop a future is on; owned. */
static PyObject *loop_of(struct wf_task_state *s, PyObject *future, bool plain) {
    if (wf_likely(plain)) {
        PyGetSetDef *def = getset_of(s->get_loop);
        return def->get(future, def->closure);
    }
    PyObject *get = PyObject_GetAttrString(future, "get_loop");
    if (get != NULL) {
        PyObject *loop = PyObject_CallNoArgs(get);
        Py_DECREF(get);
        return loop;
    }
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return NULL;
    }
    PyErr_Clear();
    return PyObject_GetAttrString(future, "_loop");
}

/* future.add_done_callback(wakeup, context=context) */
static int add_wakeup(PyObject *task, struct wf_task_part *p, PyObject *future, bool plain) {
    struct wf_task_state *s = &p->state->task;
    PyObject *stack[3] = {future, wakeup_of(task, p), p->context};
    PyObject *added = NULL;
    if (stack[1] == NULL) {
        return -1;
    }
    if (wf_likely(plain)) {
        added = PyObject_Vectorcall(s->add_done_callback, stack, 2, s->kw_context);
    } else {
        PyObject *add = PyObject_GetAttrString(future, "add_done_callback");
        if (add != NULL) {
            added = PyObject_Vectorcall(add, stack + 1, 1, s->kw_context);
            Py_DECREF(add);
        }
    }
    Py_XDECREF(added);
    return added != NULL ? 0 : -1;
}

int wf_task_cancel_waiter(struct wf_task_part *p, PyObject *message) {
    PyObject *waiter = Py_NewRef(p->waiter); /* its callbacks may be ours */
    PyObject *cancel = PyObject_GetAttrString(waiter, "cancel");
    PyObject *answer = NULL;
    if (cancel != NULL) {
        answer = PyObject_Vectorcall(cancel, &message, 0, p->state->task.kw_msg);
    }
    int rc = answer != NULL ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    Py_XDECREF(cancel);
    Py_DECREF(waiter);
    return rc;
}

/* To be woken when the future is done. -1 with an exception, asyncio's words, where it cannot be
 * waited for. */
static int wait_for(PyObject *task, struct wf_task_part *p, PyObject *future) {
    struct wf_task_state *s = &p->state->task;
    bool plain = is_plain(p->state, future);
    PyObject *blocking = get_blocking(s, future, plain);
    if (blocking == NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return -1;
    }
    if (blocking == NULL || blocking == Py_None) {
        PyErr_Clear();
        Py_XDECREF(blocking);
        if (PyGen_CheckExact(future)) {
            PyErr_Format(PyExc_RuntimeError,
                         "yield was used instead of yield from for generator in task %R with %R",
                         task, future);
        } else {
            PyErr_Format(PyExc_RuntimeError, "Task got bad yield: %R", future);
        }
        return -1;
    }
    int waits = PyObject_IsTrue(blocking);
    Py_DECREF(blocking);
    if (waits < 0) {
        return -1;
    }
    PyObject *loop = loop_of(s, future, plain);
    if (loop == NULL) {
        return -1;
    }
    bool foreign = loop != p->loop;
    Py_DECREF(loop);
    if (foreign) {
        PyErr_Format(PyExc_RuntimeError, "Task %R got Future %R attached to a different loop", task,
                     future);
        return -1;
    }
    if (!waits) {
        PyErr_Format(PyExc_RuntimeError, "yield was used instead of yield from in task %R with %R",
                     task, future);
        return -1;
    }
    if (future == task) {
        PyErr_Format(PyExc_RuntimeError, "Task cannot await on itself: %R", task);
        return -1;
    }
    if (clear_blocking(s, future, plain) < 0 || add_wakeup(task, p, future, plain) < 0) {
        return -1;
    }
    p->waiter = Py_NewRef(future);
    if (p->must_cancel) { /* cancelled while it ran */
        PyObject *message = PyObject_GenericGetAttr(task, s->str_cancel_message);
        int cancelled = message != NULL ? wf_task_cancel_waiter(p, message) : -1;
        Py_XDECREF(message);
        if (cancelled < 0) {
            PyErr_WriteUnraisable(task); /* it stays parked; the next step throws it in */
        } else if (cancelled) {
            p->must_cancel = false;
        }
    }
    return 0;
}

int wf_task_park(PyObject *task, struct wf_task_part *p, PyObject *yielded) {
    p->at = WF_AT_PARKED;
    int rc;
    if (yielded == Py_None) { /* a bare yield: asyncio.sleep(0) */
        rc = step_soon(task, p, NULL);
    } else {
        rc = wait_for(task, p, yielded);
        if (rc < 0) { /* the coroutine hears what was wrong with it */
            PyObject *exc = wf_err_take();
            rc = step_soon(task, p, exc);
            Py_DECREF(exc);
        }
    }
    Py_DECREF(yielded);
    return rc;
}

PyObject *wf_task_outcome_of(struct wf_state *state, PyObject *future) {
    PyObject *result = wf_likely(is_plain(state, future))
                           ? PyObject_Vectorcall(state->task.result, &future, 1, NULL)
                           : PyObject_CallMethod(future, "result", NULL);
    if (wf_likely(result != NULL)) {
        Py_DECREF(result);
        return NULL;
    }
    return wf_err_take();
}
