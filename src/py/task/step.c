/* Steps that are not the first. */
#include "py/task/task_int.h"

PySendResult wf_coro_throw(PyObject *coro, PyObject *exc, PyObject **out) {
    PyObject *throw = PyObject_GetAttrString(coro, "throw");
    *out = throw != NULL ? PyObject_CallOneArg(throw, exc) : NULL;
    Py_XDECREF(throw);
    if (*out != NULL) {
        return PYGEN_NEXT;
    }
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return PYGEN_ERROR;
    }
    PyObject *stop = wf_err_take();
    *out = PyObject_GetAttrString(stop, "value");
    Py_DECREF(stop);
    return *out != NULL ? PYGEN_RETURN : PYGEN_ERROR;
}

/* A step that is not the first, from the loop, inside the task's context. One for which there is no
 * memory ends the task: nothing would wake it again.
 * exc  stolen, or NULL. Returns 0, or -1 with what has to end run_forever. */
static int resume(PyObject *task, PyObject *exc) {
    struct wf_task_part *p = wf_task_part_of(task);
    struct wf_task_state *s = &p->state->task;
    if (p->at != WF_AT_PARKED) {
        PyErr_Format(s->invalid_state_error, "step of a task that is not waiting: %R", task);
        Py_XDECREF(exc);
        return -1;
    }
    if (p->must_cancel) {
        if (exc == NULL || !wf_task_is_cancelled_error(p->state, exc)) {
            Py_XSETREF(exc, wf_task_cancelled_error(task, p));
            if (exc == NULL) {
                return wf_task_finish(task, p, NULL);
            }
        }
        p->must_cancel = false;
    }
    Py_CLEAR(p->waiter);
    PyObject *before = NULL;
    if (wf_task_swap_current(p->state, p->loop, task, &before) < 0) {
        Py_XDECREF(exc);
        return wf_task_finish(task, p, NULL);
    }
    p->at = WF_AT_RUNNING;
    PyObject *value = NULL, *coro = Py_NewRef(p->coro);
    PySendResult sent =
        exc == NULL ? PyIter_Send(coro, Py_None, &value) : wf_coro_throw(coro, exc, &value);
    Py_DECREF(coro);
    Py_XDECREF(exc);

    PyObject *raised = sent == PYGEN_ERROR ? wf_err_take() : NULL;
    if (wf_task_swap_current(p->state, p->loop, before, NULL) < 0) {
        PyErr_WriteUnraisable(task);
    }
    Py_XDECREF(before);
    if (raised != NULL) {
        wf_err_put(raised);
    }
    if (sent == PYGEN_NEXT && wf_likely(wf_task_park(task, p, value) == 0)) {
        return 0;
    }
    return wf_task_finish(task, p, sent == PYGEN_NEXT ? NULL : value);
}

PyObject *wf_task_wakeup(PyObject *task, PyObject *const *args, Py_ssize_t nargs) {
    PyObject *exc = NULL;
    if (wf_task_is_gone(wf_task_part_of(task)->state)) {
        return NULL;
    }
    if (nargs > 0) {
        exc = PyExceptionInstance_Check(args[0])
                  ? Py_NewRef(args[0])
                  : wf_task_outcome_of(wf_task_part_of(task)->state, args[0]);
    }
    Py_INCREF(task); /* the last other reference may be what the step lets go of */
    int rc = resume(task, exc);
    Py_DECREF(task);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}
