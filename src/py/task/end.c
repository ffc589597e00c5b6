/* The end of a task: who is told, and whether the identity serves another handler. */
#include "py/loop/pyloop.h"
#include "py/task/task_int.h"

static bool ends_the_loop(PyObject *exc) {
    return PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt) ||
           PyErr_GivenExceptionMatches(exc, PyExc_SystemExit);
}

void wf_task_store(PyObject *task, struct wf_task_part *p, PyObject *result, PyObject *exc) {
    struct wf_task_state *s = &p->state->task;
    PyObject *stack[2] = {task, result != NULL ? result : exc};
    PyObject *stored;
    p->at = WF_AT_DONE;
    Py_CLEAR(p->waiter);
    Py_CLEAR(p->wakeup); /* a cycle */
    if (result != NULL) {
        stored = PyObject_Vectorcall(s->set_result, stack, 2, NULL);
    } else if (wf_task_is_cancelled_error(p->state, exc)) {
        stack[1] = PyObject_GenericGetAttr(task, s->str_cancel_message);
        stored = stack[1] != NULL ? PyObject_Vectorcall(s->cancel, stack, 1, s->kw_msg) : NULL;
        Py_XDECREF(stack[1]);
    } else {
        stored = PyObject_Vectorcall(s->set_exception, stack, 2, NULL);
        /* it has been handed to `done`: nobody has to hear that it was never retrieved */
        if (stored != NULL && PyObject_GenericSetAttr(task, s->str_log_traceback, Py_False) < 0) {
            Py_CLEAR(stored);
        }
    }
    if (stored == NULL) {
        PyErr_WriteUnraisable(task); /* the loop is closed: its callbacks cannot be queued */
    }
    Py_XDECREF(stored);
}

void wf_task_settle_cancel(PyObject *task, struct wf_task_part *p, PyObject **result) {
    if (wf_unlikely(p->must_cancel) && *result != NULL) {
        p->must_cancel = false;
        Py_CLEAR(*result);
        PyObject *exc = wf_task_cancelled_error(task, p);
        if (exc != NULL) {
            wf_err_put(exc);
        }
    }
}

/* done(arg, result), outside of the task's context, which the handle that runs us has entered: what
 * comes next for the request may be another coroutine in it. Returns what has to end run_forever,
 * owned, or NULL. result  stolen; exc  borrowed; one of them is NULL */
static PyObject *tell(struct wf_task_part *p, wf_task_done_fn *done, PyObject *result,
                      PyObject *exc) {
    PyObject *context = Py_NewRef(p->context);
    bool left = PyContext_Exit(context) == 0;
    PyErr_Clear(); /* a future of another make has called us from somewhere else */
    if (exc != NULL) {
        wf_err_put(Py_NewRef(exc));
    }
    done(p->arg, result);
    PyObject *fatal = wf_err_take();
    if (left && PyContext_Enter(context) < 0) {
        PyErr_WriteUnraisable(context);
    }
    Py_DECREF(context);
    return fatal;
}

bool wf_task_was_kept(PyObject *task, struct wf_task_part *p, Py_ssize_t refs,
                      Py_ssize_t wakeup_refs) {
    PyWeakReference *ref = (PyWeakReference *)*wf_task_weakrefs_of(task);
    return Py_REFCNT(task) > refs + (p->wakeup != NULL) || p->touched || p->must_cancel ||
           (p->wakeup != NULL && Py_REFCNT(p->wakeup) > wakeup_refs) ||
           (PyObject *)ref != p->registered || (ref != NULL && ref->wr_next != NULL);
}

void wf_task_reset(struct wf_task_part *p) {
    p->at = WF_AT_IDLE;
    Py_CLEAR(p->coro);
    Py_CLEAR(p->context);
    Py_CLEAR(p->name);
}

/* In wf_task_finish() we know of: wf_task_wakeup's own reference, that of whoever ran the handler, and to the
 * wakeup those of the part, the handle that is running, and wf_handle_run. */
enum { REFS_ENDING = 1, REFS_PARKED = 1, WAKEUP_REFS_ENDING = 3 };

int wf_task_finish(PyObject *task, struct wf_task_part *p, PyObject *result) {
    wf_task_settle_cancel(task, p, &result);
    PyObject *exc = result == NULL ? wf_err_take() : NULL;
    PyObject *kept_result = Py_XNewRef(result);
    wf_task_done_fn *done = p->done;
    p->done = NULL;
    if (wf_task_was_kept(task, p, REFS_ENDING + REFS_PARKED, WAKEUP_REFS_ENDING)) {
        wf_task_store(task, p, result, exc);
    }
    PyObject *fatal = NULL;
    if (done != NULL) {
        fatal = tell(p, done, result, exc);
    } else {
        Py_XDECREF(result);
        if (exc != NULL && ends_the_loop(exc)) {
            fatal = Py_NewRef(exc);
        } else if (exc != NULL && !wf_task_is_cancelled_error(p->state, exc)) {
            wf_pyloop_report(p->loop, "Exception in a handler whose client has gone", exc);
        }
    }
    wf_list_remove(&p->node); /* not before: a server that goes takes `home` away */
    if (p->at != WF_AT_DONE) {
        if (p->home == NULL || p->home->nidle >= WF_TASKS_IDLE_MAX ||
            wf_task_was_kept(task, p, REFS_ENDING, WAKEUP_REFS_ENDING)) {
            wf_task_store(task, p, kept_result, exc);
        } else {
            wf_task_reset(p);
            wf_list_push(&p->home->idle, &p->node);
            p->home->nidle++;
            Py_INCREF(task);
        }
    }
    Py_XDECREF(kept_result);
    Py_XDECREF(exc);
    if (fatal != NULL) {
        wf_err_put(fatal);
        return -1;
    }
    return 0;
}
