/* HandlerTask and poll_coroutine.
 *
 * HandlerTask is a real subclass of asyncio.Task whose fields are kept behind those of its base,
 * like a C++ class that inherits. What a task shares with a future (result, callbacks, waiting for
 * it) is the base's; stepping, cancelling and names are ours: Task.__init__ is never called, since
 * it would schedule a first step, and ours has been run by then.
 *
 *   IDLE ──run──▶ RUNNING ──returned, nobody kept it──▶ IDLE
 *                  │  ▲  └───finished, somebody did───▶ DONE
 *                  ▼  │
 *                 PARKED
 *
 * An IDLE task says done(), so that all_tasks() does not show what is nobody's. */
#include "py/loop/pyloop.h"
#include "py/state.h"
#include "py/task/task.h"
#include "py/task/task_int.h"

/* Identities kept for later: as many handlers as this may wait at the same time without a new one
 * being made for each. One is half a kilobyte. */
enum { TASKS_IDLE_MAX = 512 };

enum at { IDLE, RUNNING, PARKED, DONE };

/* Ours, behind asyncio's part. */
struct part {
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

static inline struct part *part_of(PyObject *task) {
    return (struct part *)((char *)task + Py_TYPE(task)->tp_basicsize - sizeof(struct part));
}

static PyTypeObject *base_of(PyObject *task) {
    return Py_TYPE(task)->tp_base; /* asyncio.Task; nobody can subclass us */
}

/* A finalizer may still call us when the interpreter has taken the module down. */
static bool is_gone(struct wf_state *state) {
    if (wf_likely(state->task.task_type != NULL)) {
        return false;
    }
    PyErr_SetString(PyExc_RuntimeError, "weft is gone: the interpreter shuts down");
    return true;
}

/* ---- asyncio's current task ---- */

/* Makes `task` current (NULL: nobody). Returns 0, or -1 with an exception; *before, where wanted
 * (NULL so far), is who else it was, owned or NULL. */
static int swap_current(struct wf_state *state, PyObject *loop, PyObject *task, PyObject **before) {
    struct wf_task_state *s = &state->task;
    if (s->current_tasks == NULL) {
        PyObject *old = PyObject_CallFunctionObjArgs(s->swap_current_task, loop,
                                                     task != NULL ? task : Py_None, NULL);
        if (old == NULL) {
            return -1;
        }
        if (before != NULL && old != Py_None) {
            *before = Py_NewRef(old);
        }
        Py_DECREF(old);
        return 0;
    }
    if (before != NULL) { /* with a task: nobody asks who was there before there is nobody */
        PyObject *old = PyDict_SetDefault(s->current_tasks, loop, task); /* borrowed */
        if (wf_likely(old == task)) {
            return 0;
        }
        if (old == NULL) {
            return -1;
        }
        *before = Py_NewRef(old);
    }
    if (task != NULL) {
        return PyDict_SetItem(s->current_tasks, loop, task);
    }
    if (PyDict_DelItem(s->current_tasks, loop) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_KeyError)) {
            return -1;
        }
        PyErr_Clear(); /* nobody was */
    }
    return 0;
}

/* ---- birth and death ---- */

static PyObject **weakrefs_of(PyObject *task) {
    return (PyObject **)((char *)task + Py_TYPE(task)->tp_weaklistoffset);
}

static struct wf_task *new_task(struct wf_state *state, PyObject *loop) {
    PyTypeObject *type = state->task.task_type;
    PyObject *task = type->tp_alloc(type, 0);
    if (task == NULL) {
        return NULL;
    }
    struct part *p = part_of(task);
    p->self = task;
    p->module = Py_NewRef(PyType_GetModule(type));
    p->state = state;
    p->loop = Py_NewRef(loop);
    wf_list_init(&p->node);
    p->at = IDLE;
    PyObject *no_args = PyTuple_New(0);
    PyObject *kwargs = Py_BuildValue("{sO}", "loop", loop);
    PyObject *registered = NULL;
    if (no_args != NULL && kwargs != NULL &&
        state->loop.future_type->tp_init(task, no_args, kwargs) == 0) {
        registered = PyObject_CallOneArg(state->task.register_task, task);
    }
    Py_XDECREF(kwargs);
    Py_XDECREF(no_args);
    if (registered == NULL) {
        Py_DECREF(task);
        return NULL;
    }
    Py_DECREF(registered);
    p->registered = *weakrefs_of(task);
    return (struct wf_task *)task;
}

static int task_traverse(PyObject *task, visitproc visit, void *arg) {
    struct part *p = part_of(task);
    Py_VISIT(p->module);
    Py_VISIT(p->loop);
    Py_VISIT(p->coro);
    Py_VISIT(p->context);
    Py_VISIT(p->name);
    Py_VISIT(p->waiter);
    Py_VISIT(p->wakeup);
    return base_of(task)->tp_traverse(task, visit, arg); /* the type as well */
}

static void clear_part(struct part *p) {
    Py_CLEAR(p->loop);
    Py_CLEAR(p->coro);
    Py_CLEAR(p->context);
    Py_CLEAR(p->name);
    Py_CLEAR(p->waiter);
    Py_CLEAR(p->wakeup);
}

static int task_clear(PyObject *task) {
    clear_part(part_of(task));
    return base_of(task)->tp_clear(task);
}

static void task_finalize(PyObject *task) {
    struct part *p = part_of(task);
    if (p->at == PARKED && p->loop != NULL) {
        PyObject *pending = wf_err_take();
        PyObject *told =
            PyObject_CallMethod(p->loop, "call_exception_handler", "{sOss}", "task", task,
                                "message", "Task was destroyed but it is pending!");
        if (told == NULL) {
            PyErr_WriteUnraisable(task);
        }
        Py_XDECREF(told);
        if (pending != NULL) {
            wf_err_put(pending);
        }
    }
    base_of(task)->tp_finalize(task);
}

static void task_dealloc(PyObject *task) {
    if (PyObject_CallFinalizerFromDealloc(task) < 0) {
        return; /* somebody has it again */
    }
    PyTypeObject *type = Py_TYPE(task), *base = base_of(task);
    PyObject_GC_UnTrack(task);
    wf_list_remove(&part_of(task)->node);
    clear_part(part_of(task));
    Py_CLEAR(part_of(task)->module);
    base->tp_dealloc(task);
    if (!PyType_HasFeature(base, Py_TPFLAGS_HEAPTYPE)) {
        Py_DECREF(type); /* else the base has done it */
    }
}

/* ---- the end of a task ---- */

static PyObject *cancelled_error(PyObject *task, struct part *p) {
    return PyObject_CallOneArg(p->state->task.make_cancelled_error, task);
}

static bool is_cancelled_error(struct wf_state *state, PyObject *exc) {
    return PyErr_GivenExceptionMatches(exc, state->task.cancelled_error);
}

static bool ends_the_loop(PyObject *exc) {
    return PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt) ||
           PyErr_GivenExceptionMatches(exc, PyExc_SystemExit);
}

/* The result (borrowed) or the exception (borrowed), for whoever kept the task. */
static void store(PyObject *task, struct part *p, PyObject *result, PyObject *exc) {
    struct wf_task_state *s = &p->state->task;
    PyObject *stack[2] = {task, result != NULL ? result : exc};
    PyObject *stored;
    p->at = DONE;
    Py_CLEAR(p->waiter);
    Py_CLEAR(p->wakeup); /* a cycle */
    if (result != NULL) {
        stored = PyObject_Vectorcall(s->set_result, stack, 2, NULL);
    } else if (is_cancelled_error(p->state, exc)) {
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

/* A step has ended the coroutine: *result (owned), or NULL and the exception is set. A task that
 * was cancelled right before its end is cancelled after all. */
static void settle_cancel(PyObject *task, struct part *p, PyObject **result) {
    if (wf_unlikely(p->must_cancel) && *result != NULL) {
        p->must_cancel = false;
        Py_CLEAR(*result);
        PyObject *exc = cancelled_error(task, p);
        if (exc != NULL) {
            wf_err_put(exc);
        }
    }
}

/* done(arg, result), outside of the task's context, which the handle that runs us has entered: what
 * comes next for the request may be another coroutine in it. Returns what has to end run_forever,
 * owned, or NULL. result  stolen; exc  borrowed; one of them is NULL */
static PyObject *tell(struct part *p, wf_task_done_fn *done, PyObject *result, PyObject *exc) {
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

/* Did anybody keep the task, or leave a mark on it? `refs` and `wakeup_refs` are the references we
 * know of; its own to itself, through `wakeup`, not counted. */
static bool was_kept(PyObject *task, struct part *p, Py_ssize_t refs, Py_ssize_t wakeup_refs) {
    PyWeakReference *ref = (PyWeakReference *)*weakrefs_of(task);
    return Py_REFCNT(task) > refs + (p->wakeup != NULL) || p->touched || p->must_cancel ||
           (p->wakeup != NULL && Py_REFCNT(p->wakeup) > wakeup_refs) ||
           (PyObject *)ref != p->registered || (ref != NULL && ref->wr_next != NULL);
}

/* Ready for another handler. */
static void reset(struct part *p) {
    p->at = IDLE;
    Py_CLEAR(p->coro);
    Py_CLEAR(p->context);
    Py_CLEAR(p->name);
}

/* In finish() we know of: task_wakeup's own reference, that of whoever ran the handler, and to the
 * wakeup those of the part, the handle that is running, and wf_handle_run. */
enum { REFS_ENDING = 1, REFS_PARKED = 1, WAKEUP_REFS_ENDING = 3 };

/* Tells whoever waits, after a step that was not the first. Returns 0, or -1 with what has to end
 * run_forever. result  stolen; NULL: an exception is set */
static int finish(PyObject *task, struct part *p, PyObject *result) {
    settle_cancel(task, p, &result);
    PyObject *exc = result == NULL ? wf_err_take() : NULL;
    PyObject *kept_result = Py_XNewRef(result);
    wf_task_done_fn *done = p->done;
    p->done = NULL;
    if (was_kept(task, p, REFS_ENDING + REFS_PARKED, WAKEUP_REFS_ENDING)) {
        store(task, p, result, exc);
    }
    PyObject *fatal = NULL;
    if (done != NULL) {
        fatal = tell(p, done, result, exc);
    } else {
        Py_XDECREF(result);
        if (exc != NULL && ends_the_loop(exc)) {
            fatal = Py_NewRef(exc);
        } else if (exc != NULL && !is_cancelled_error(p->state, exc)) {
            wf_pyloop_report(p->loop, "Exception in a handler whose client has gone", exc);
        }
    }
    wf_list_remove(&p->node); /* not before: a server that goes takes `home` away */
    if (p->at != DONE) {
        if (p->home == NULL || p->home->nidle >= TASKS_IDLE_MAX ||
            was_kept(task, p, REFS_ENDING, WAKEUP_REFS_ENDING)) {
            store(task, p, kept_result, exc);
        } else {
            reset(p);
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

/* ---- parking ---- */

static PyObject *task_wakeup(PyObject *task, PyObject *const *args, Py_ssize_t nargs);

/* Bound to the task, so that logs and debuggers find it as `__self__`. */
static PyMethodDef wakeup_def = {"wakeup", (PyCFunction)(void (*)(void))task_wakeup, METH_FASTCALL,
                                 NULL};

/* Borrowed. */
static PyObject *wakeup_of(PyObject *task, struct part *p) {
    if (p->wakeup == NULL) {
        p->wakeup = PyCFunction_New(&wakeup_def, task);
    }
    return p->wakeup;
}

/* The next step in the next turn; exc (borrowed, or NULL) is thrown in. */
static int step_soon(PyObject *task, struct part *p, PyObject *exc) {
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
static int add_wakeup(PyObject *task, struct part *p, PyObject *future, bool plain) {
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

/* waiter.cancel(msg=message): 1 it will be, 0 it is done already, -1 exception. */
static int cancel_waiter(struct part *p, PyObject *message) {
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
static int wait_for(PyObject *task, struct part *p, PyObject *future) {
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
        int cancelled = message != NULL ? cancel_waiter(p, message) : -1;
        Py_XDECREF(message);
        if (cancelled < 0) {
            PyErr_WriteUnraisable(task); /* it stays parked; the next step throws it in */
        } else if (cancelled) {
            p->must_cancel = false;
        }
    }
    return 0;
}

/* The coroutine yielded (stolen). -1 with an exception only where not even a step can be queued. */
static int park(PyObject *task, struct part *p, PyObject *yielded) {
    p->at = PARKED;
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

/* ---- stepping ---- */

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
    struct part *p = part_of(task);
    struct wf_task_state *s = &p->state->task;
    if (p->at != PARKED) {
        PyErr_Format(s->invalid_state_error, "step of a task that is not waiting: %R", task);
        Py_XDECREF(exc);
        return -1;
    }
    if (p->must_cancel) {
        if (exc == NULL || !is_cancelled_error(p->state, exc)) {
            Py_XSETREF(exc, cancelled_error(task, p));
            if (exc == NULL) {
                return finish(task, p, NULL);
            }
        }
        p->must_cancel = false;
    }
    Py_CLEAR(p->waiter);
    PyObject *before = NULL;
    if (swap_current(p->state, p->loop, task, &before) < 0) {
        Py_XDECREF(exc);
        return finish(task, p, NULL);
    }
    p->at = RUNNING;
    PyObject *value = NULL, *coro = Py_NewRef(p->coro);
    PySendResult sent =
        exc == NULL ? PyIter_Send(coro, Py_None, &value) : wf_coro_throw(coro, exc, &value);
    Py_DECREF(coro);
    Py_XDECREF(exc);

    PyObject *raised = sent == PYGEN_ERROR ? wf_err_take() : NULL;
    if (swap_current(p->state, p->loop, before, NULL) < 0) {
        PyErr_WriteUnraisable(task);
    }
    Py_XDECREF(before);
    if (raised != NULL) {
        wf_err_put(raised);
    }
    if (sent == PYGEN_NEXT && wf_likely(park(task, p, value) == 0)) {
        return 0;
    }
    return finish(task, p, sent == PYGEN_NEXT ? NULL : value);
}

/* What the future's outcome has for the coroutine: NULL, or the exception to throw in, owned. */
static PyObject *outcome_of(struct wf_state *state, PyObject *future) {
    PyObject *result = wf_likely(is_plain(state, future))
                           ? PyObject_Vectorcall(state->task.result, &future, 1, NULL)
                           : PyObject_CallMethod(future, "result", NULL);
    if (wf_likely(result != NULL)) {
        Py_DECREF(result);
        return NULL;
    }
    return wf_err_take();
}

/* (): the next step. (future): it is done. (exception): it is thrown in. */
static PyObject *task_wakeup(PyObject *task, PyObject *const *args, Py_ssize_t nargs) {
    PyObject *exc = NULL;
    if (is_gone(part_of(task)->state)) {
        return NULL;
    }
    if (nargs > 0) {
        exc = PyExceptionInstance_Check(args[0]) ? Py_NewRef(args[0])
                                                 : outcome_of(part_of(task)->state, args[0]);
    }
    Py_INCREF(task); /* the last other reference may be what the step lets go of */
    int rc = resume(task, exc);
    Py_DECREF(task);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- the stepper: first steps, and the identity they share ---- */

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
    Py_CLEAR(part_of(task)->wakeup); /* a cycle */
    Py_DECREF(task);
}

void wf_stepper_clear(struct wf_stepper *s) {
    WF_ASSERT(!s->entered);
    struct wf_list *n;
    while (s->parked.next != NULL && (n = wf_list_pop(&s->parked)) != NULL) {
        wf_container_of(n, struct part, node)->home = NULL;
    }
    while (s->idle.next != NULL && (n = wf_list_pop(&s->idle)) != NULL) {
        discard(wf_container_of(n, struct part, node)->self);
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
            s->spare = (struct wf_task *)wf_container_of(n, struct part, node)->self;
        } else {
            s->spare = new_task(s->state, s->loop);
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
        if (swap_current(s->state, s->loop, (PyObject *)s->spare, NULL) < 0) {
            return -1;
        }
        s->current = true;
    }
    return 0;
}

int wf_stepper_enter(struct wf_stepper *s) {
    WF_ASSERT(!s->entered);
    if (find_spare(s) < 0 || swap_current(s->state, s->loop, (PyObject *)s->spare, &s->outer) < 0) {
        return -1;
    }
    s->entered = s->current = true;
    return 0;
}

void wf_stepper_leave(struct wf_stepper *s) {
    WF_ASSERT(s->entered);
    PyObject *pending = wf_err_take();
    if (swap_current(s->state, s->loop, s->outer, NULL) < 0) {
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
        if (swap_current(s->state, s->loop, NULL, NULL) < 0) {
            PyErr_WriteUnraisable(task);
        }
    }
    if (pending != NULL) {
        wf_err_put(pending);
    }
    return task;
}

/* The first step was the last. result  borrowed; NULL: an exception is set, and stays */
static void end_first(struct wf_stepper *s, PyObject *task, struct part *p, PyObject *result) {
    PyObject *exc = result == NULL ? wf_err_take() : NULL;
    p->done = NULL;
    /* ours: the stepper's reference and asyncio's current task; to the wakeup, the part's */
    if (wf_likely(!was_kept(task, p, 2, 1))) {
        reset(p);
    } else {
        store(task, p, result, exc);
        Py_DECREF(give_away(s));
    }
    if (exc != NULL) {
        wf_err_put(exc);
    }
}

/* The first step yielded (stolen). */
static enum wf_task_outcome park_first(struct wf_stepper *s, PyObject *task, struct part *p,
                                       PyObject *yielded, struct wf_task **parked) {
    (void)give_away(s); /* the caller's reference now */
    if (wf_likely(park(task, p, yielded) == 0)) {
        p->home = s;
        wf_list_push(&s->parked, &p->node);
        *parked = (struct wf_task *)task;
        return WF_TASK_PARKED;
    }
    PyObject *exc = wf_err_take();
    p->done = NULL;
    store(task, p, NULL, exc);
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
    struct part *p = part_of(task);
    if (wf_unlikely(p->at != IDLE)) {
        Py_DECREF(coro);
        PyErr_SetString(PyExc_RuntimeError, "a handler cannot be started from within another");
        return WF_TASK_FAILED;
    }
    p->coro = coro;
    p->context = Py_NewRef(context);
    p->done = done;
    p->arg = arg;
    p->at = RUNNING;

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
    settle_cancel(task, p, &value);
    end_first(s, task, p, value);
    *result = value;
    return value != NULL ? WF_TASK_RETURNED : WF_TASK_FAILED;
}

/* ---- cancelling ---- */

/* task.cancel(msg): 1 it will be, 0 it is done, -1 exception. */
static int cancel(PyObject *task, PyObject *message) {
    struct part *p = part_of(task);
    if (p->at == IDLE || p->at == DONE) {
        return 0;
    }
    if (is_gone(p->state)) {
        return -1;
    }
    p->cancels++;
    p->touched = true; /* `_cancel_message` may stay behind */
    if (p->waiter != NULL) {
        int cancelled = cancel_waiter(p, message);
        if (cancelled != 0) {
            return cancelled;
        }
    }
    if (PyObject_GenericSetAttr(task, p->state->task.str_cancel_message, message) < 0) {
        return -1;
    }
    p->must_cancel = true;
    return 1;
}

int wf_task_cancel(struct wf_task *t) {
    PyObject *task = Py_NewRef((PyObject *)t);
    int rc = cancel(task, Py_None);
    Py_DECREF(task);
    return rc < 0 ? -1 : 0;
}

void wf_task_detach(struct wf_task *t) {
    struct part *p = part_of((PyObject *)t);
    p->done = NULL;
    p->arg = NULL;
}

/* ---- as Python sees it ---- */

static PyObject *task_cancel(PyObject *task, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"msg", NULL};
    PyObject *message = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:cancel", names, &message)) {
        return NULL;
    }
    int rc = cancel(task, message);
    return rc < 0 ? NULL : PyBool_FromLong(rc);
}

static PyObject *task_cancelling(PyObject *task, PyObject *unused) {
    return PyLong_FromUnsignedLong(part_of(task)->cancels);
}

static PyObject *task_uncancel(PyObject *task, PyObject *unused) {
    struct part *p = part_of(task);
    if (p->cancels > 0) {
        p->cancels--;
#if PY_VERSION_HEX >= 0x030D0000
        if (p->cancels == 0) {
            p->must_cancel = false;
        }
#endif
    }
    return PyLong_FromUnsignedLong(p->cancels);
}

static PyObject *task_done(PyObject *task, PyObject *unused) {
    uint8_t at = part_of(task)->at;
    return PyBool_FromLong(at == IDLE || at == DONE);
}

static PyObject *task_get_coro(PyObject *task, PyObject *unused) {
    struct part *p = part_of(task);
    return Py_NewRef(p->coro != NULL ? p->coro : Py_None);
}

static PyObject *task_get_context(PyObject *task, PyObject *unused) {
    struct part *p = part_of(task);
    return Py_NewRef(p->context != NULL ? p->context : Py_None);
}

static PyObject *task_get_name(PyObject *task, PyObject *unused) {
    struct part *p = part_of(task);
    if (p->name == NULL) {
        p->name = PyUnicode_FromFormat("Handler-%llu", ++p->state->task.named);
    }
    return Py_XNewRef(p->name);
}

static PyObject *task_set_name(PyObject *task, PyObject *value) {
    PyObject *name = PyObject_Str(value);
    if (name == NULL) {
        return NULL;
    }
    Py_XSETREF(part_of(task)->name, name);
    Py_RETURN_NONE;
}

/* (fn, *, context=None), for the base to judge. */
static PyObject *task_add_done_callback(PyObject *task, PyObject *const *args, Py_ssize_t nargs,
                                        PyObject *kwnames) {
    PyObject *stack[4] = {task};
    Py_ssize_t n = nargs + (kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0);
    if (n > 3) {
        PyErr_SetString(PyExc_TypeError, "add_done_callback() takes a callback and a context");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        stack[1 + i] = args[i];
    }
    if (is_gone(part_of(task)->state)) {
        return NULL;
    }
    part_of(task)->touched = true;
    return PyObject_Vectorcall(part_of(task)->state->task.add_done_callback, stack,
                               (size_t)nargs + 1, kwnames);
}

static int task_setattr(PyObject *task, PyObject *name, PyObject *value) {
    part_of(task)->touched = true;
    return PyObject_GenericSetAttr(task, name, value);
}

static PyObject *task_repr(PyObject *task) {
    if (part_of(task)->at == IDLE) {
        return PyUnicode_FromFormat("<HandlerTask idle at %p>", task);
    }
    return base_of(task)->tp_repr(task);
}

static PyObject *get_coro(PyObject *task, void *unused) {
    return task_get_coro(task, NULL);
}

static PyObject *get_waiter(PyObject *task, void *unused) {
    struct part *p = part_of(task);
    return Py_NewRef(p->waiter != NULL ? p->waiter : Py_None);
}

static PyObject *get_must_cancel(PyObject *task, void *unused) {
    return PyBool_FromLong(part_of(task)->must_cancel);
}

static PyMethodDef task_methods[] = {
    {"cancel", (PyCFunction)(void (*)(void))task_cancel, METH_VARARGS | METH_KEYWORDS, NULL},
    {"cancelling", task_cancelling, METH_NOARGS, NULL},
    {"uncancel", task_uncancel, METH_NOARGS, NULL},
    {"done", task_done, METH_NOARGS, NULL},
    {"get_coro", task_get_coro, METH_NOARGS, "The coroutine; None once it has ended."},
    {"get_context", task_get_context, METH_NOARGS, "The contextvars.Context of its request."},
    {"get_name", task_get_name, METH_NOARGS, "Its name, as text."},
    {"set_name", task_set_name, METH_O, "Names it str(value)."},
    {"add_done_callback", (PyCFunction)(void (*)(void))task_add_done_callback,
     METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL},
};

static PyGetSetDef task_getset[] = {
    {"_coro", get_coro, NULL, NULL, NULL},
    {"_fut_waiter", get_waiter, NULL, NULL, NULL},
    {"_must_cancel", get_must_cancel, NULL, NULL, NULL},
    {NULL},
};

static PyType_Slot task_slots[] = {
    {Py_tp_doc, "A handler's asyncio.Task. Made by the server; asyncio.current_task() shows it."},
    {Py_tp_dealloc, task_dealloc},
    {Py_tp_finalize, task_finalize},
    {Py_tp_traverse, task_traverse},
    {Py_tp_clear, task_clear},
    {Py_tp_setattro, task_setattr},
    {Py_tp_repr, task_repr},
    {Py_tp_methods, task_methods},
    {Py_tp_getset, task_getset},
    {0, NULL},
};

/* ---- the module's part ---- */

static PyObject *import_from(const char *module_name, const char *name) {
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *found = module != NULL ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return found;
}

/* current_tasks, or the function where asyncio keeps it elsewhere. */
static int import_current(struct wf_task_state *s) {
#if PY_VERSION_HEX < 0x030E0000
    s->current_tasks = import_from("_asyncio", "_current_tasks");
    if (s->current_tasks != NULL && !PyDict_CheckExact(s->current_tasks)) {
        PyErr_SetString(PyExc_ImportError, "asyncio's _current_tasks is not a dict");
        return -1;
    }
    return s->current_tasks != NULL ? 0 : -1;
#else
    s->swap_current_task = import_from("_asyncio", "_swap_current_task");
    return s->swap_current_task != NULL ? 0 : -1;
#endif
}

int wf_task_exec(PyObject *module, struct wf_state *state) {
    struct wf_task_state *s = &state->task;
    PyTypeObject *base = state->loop.asyncio_task_type;
    PyObject *future = (PyObject *)state->loop.future_type;
    if (import_current(s) < 0) {
        return -1;
    }
    s->register_task = import_from("_asyncio", "_register_task");
    s->cancelled_error = import_from("asyncio.exceptions", "CancelledError");
    s->invalid_state_error = import_from("asyncio.exceptions", "InvalidStateError");
    s->set_result = PyObject_GetAttrString(future, "set_result");
    s->set_exception = PyObject_GetAttrString(future, "set_exception");
    s->cancel = PyObject_GetAttrString(future, "cancel");
    s->add_done_callback = PyObject_GetAttrString(future, "add_done_callback");
    s->result = PyObject_GetAttrString(future, "result");
    s->get_blocking = PyObject_GetAttrString(future, "_asyncio_future_blocking");
    s->get_loop = PyObject_GetAttrString(future, "_loop");
    s->make_cancelled_error = PyObject_GetAttrString(future, "_make_cancelled_error");
    s->str_blocking = PyUnicode_InternFromString("_asyncio_future_blocking");
    s->str_cancel_message = PyUnicode_InternFromString("_cancel_message");
    s->str_log_traceback = PyUnicode_InternFromString("_log_traceback");
    s->kw_context = Py_BuildValue("(s)", "context");
    s->kw_msg = Py_BuildValue("(s)", "msg");
    if (s->register_task == NULL || s->cancelled_error == NULL || s->invalid_state_error == NULL ||
        s->set_result == NULL || s->set_exception == NULL || s->cancel == NULL ||
        s->add_done_callback == NULL || s->result == NULL || s->get_blocking == NULL ||
        s->get_loop == NULL || s->make_cancelled_error == NULL || s->str_blocking == NULL ||
        s->str_cancel_message == NULL || s->str_log_traceback == NULL || s->kw_context == NULL ||
        s->kw_msg == NULL) {
        return -1;
    }
    if (!Py_IS_TYPE(s->get_blocking, &PyGetSetDescr_Type) ||
        !Py_IS_TYPE(s->get_loop, &PyGetSetDescr_Type)) {
        PyErr_SetString(PyExc_ImportError, "asyncio.Future is not the one in C");
        return -1;
    }
    PyType_Spec spec = {
        .name = "weft._core.HandlerTask",
        /* the base's size differs between Pythons; ours begins where it ends */
        .basicsize = (int)(base->tp_basicsize + (Py_ssize_t)sizeof(struct part)),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = task_slots,
    };
    s->task_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, (PyObject *)base);
    if (s->task_type == NULL || PyModule_AddType(module, s->task_type) < 0) {
        return -1;
    }
    return wf_runner_exec(module, state);
}

int wf_task_traverse(struct wf_task_state *s, visitproc visit, void *arg) {
    Py_VISIT(s->task_type);
    Py_VISIT(s->runner_type);
    Py_VISIT(s->current_tasks);
    Py_VISIT(s->swap_current_task);
    Py_VISIT(s->register_task);
    Py_VISIT(s->set_result);
    Py_VISIT(s->set_exception);
    Py_VISIT(s->cancel);
    Py_VISIT(s->add_done_callback);
    Py_VISIT(s->result);
    Py_VISIT(s->get_blocking);
    Py_VISIT(s->get_loop);
    Py_VISIT(s->make_cancelled_error);
    Py_VISIT(s->cancelled_error);
    Py_VISIT(s->invalid_state_error);
    return 0;
}

void wf_task_clear(struct wf_task_state *s) {
    Py_CLEAR(s->task_type);
    Py_CLEAR(s->runner_type);
    Py_CLEAR(s->current_tasks);
    Py_CLEAR(s->swap_current_task);
    Py_CLEAR(s->register_task);
    Py_CLEAR(s->set_result);
    Py_CLEAR(s->set_exception);
    Py_CLEAR(s->cancel);
    Py_CLEAR(s->add_done_callback);
    Py_CLEAR(s->result);
    Py_CLEAR(s->get_blocking);
    Py_CLEAR(s->get_loop);
    Py_CLEAR(s->make_cancelled_error);
    Py_CLEAR(s->cancelled_error);
    Py_CLEAR(s->invalid_state_error);
    Py_CLEAR(s->str_blocking);
    Py_CLEAR(s->str_cancel_message);
    Py_CLEAR(s->str_log_traceback);
    Py_CLEAR(s->kw_context);
    Py_CLEAR(s->kw_msg);
}
