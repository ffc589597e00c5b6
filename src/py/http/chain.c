/* A chain: the coroutine, in C, of a request whose plan has dependencies. One HandlerTask steps it, in one
 * context, from the first dependency to the last clean-up, so that all of them see the same current task
 * and the same context variables.
 *
 *   dependencies ─▶ endpoint ─▶ exits (function) ─▶ reply ─▶ stream ─▶ background ─▶ exits (request) ─▶ end
 *         └────────────┴───────────────┴──────── exception ──────────────────▶ exits, it thrown in ──┘
 *
 * An exit is the second half of a generator. What is awaited (`inner`) is stepped right here; only what
 * it yields goes up to the task. While nothing suspends, the whole chain is one PyIter_Send.
 *
 * Python middleware is a coroutine around dependencies and endpoint (`outer`): what its call_next() gives is
 * an Answer, which steps the chain from inside up to the reply, and returns that as a Response. What the
 * outermost middleware returns is then sent, and the chain goes on as above.
 *
 * Once the reply is complete and something has to wait, the exchange is finished and the chain goes on
 * without it (wf_call_leave). */
#include "py/http/http_int.h"

enum at {
    AT_START,
    AT_DEPENDENCIES,
    AT_ENDPOINT,
    AT_FUNCTION_EXITS,
    AT_REPLY,
    AT_BACKGROUND,
    AT_REQUEST_EXITS,
    AT_END
};

/* What comes of `inner`, or of the job it waits for. */
enum waits {
    FOR_VALUE,
    FOR_ITEM,
    FOR_RESULT,
    FOR_EXIT,
    FOR_CLOSE,
    FOR_RESCUE,
    FOR_STREAM,
    FOR_BACKGROUND
};

struct wf_chain {
    PyObject_VAR_HEAD struct wf_call *call;   /* borrowed; NULL once the server has cut it off */
    struct wf_http_server *server;            /* owned */
    struct wf_plan *plan;                     /* owned */
    const struct wf_dependency *dependencies; /* borrowed from plan */
    uint8_t ndependencies, next;              /* next: to be run */
    uint8_t nvalues, nexits;
    uint8_t at, waits;   /* enum at, enum waits */
    uint8_t exit;        /* index of the dependency whose exit runs */
    bool running;        /* within send or throw */
    bool middleware;     /* there is an `outer`, or there was */
    bool rescued;        /* the app's exception handlers have been asked */
    bool asked;          /* it has called call_next() */
    bool stepping;       /* within its Answer */
    bool answered;       /* its Answer has returned or raised */
    bool prepared;       /* `result` is a Response made of what the endpoint returned */
    PyObject *outer;     /* owned: the middleware's coroutine, or NULL */
    PyObject *inner;     /* owned: what is awaited, or NULL */
    PyObject *generator; /* owned: whose half is being run, or NULL */
    struct wf_job *job;  /* owned: in the thread pool; `inner` waits for it; or NULL */
    PyObject *cancelled; /* owned: came while a thread worked: raised when it is done; or NULL */
    PyObject *exc;       /* owned: being thrown into the exits, or NULL */
    PyObject *result;    /* owned: the endpoint's, or NULL */
    PyObject *errors;    /* owned: list, what is wrong with the request, or NULL */
    uint8_t *exits;      /* of the block: indexes of the dependencies that were entered, in order */
    bool *invalid;       /* of the block, by index of a dependency, behind them the endpoint */
    PyObject *slots[];   /* owned: values by wf_dependency.value, then generators as in `exits`;
                             then the block of bytes above */
};

static PyObject **generators(struct wf_chain *c) {
    return c->slots + c->nvalues;
}

/* ---- exceptions ---- */

/* Takes the exception that is set, in place of one before it: from now on there are only exits. */
static void fail(struct wf_chain *c) {
    Py_XSETREF(c->exc, wf_err_take());
    WF_ASSERT(c->exc != NULL);
    c->at = c->at <= AT_FUNCTION_EXITS ? AT_FUNCTION_EXITS : AT_REQUEST_EXITS;
}

static void fail_with(struct wf_chain *c, PyObject *type, const char *message) {
    PyErr_SetString(type, message);
    fail(c);
}

/* ---- waiting ---- */

/* What PyIter_Send takes in order to await `o`; new reference or NULL. */
static PyObject *await_iterator(PyObject *o) {
    if (PyCoro_CheckExact(o)) {
        return Py_NewRef(o);
    }
    const PyAsyncMethods *async = Py_TYPE(o)->tp_as_async;
    if (async == NULL || async->am_await == NULL) {
        return PyErr_Format(PyExc_TypeError, "object %.100s can't be used in 'await' expression",
                            Py_TYPE(o)->tp_name);
    }
    return async->am_await(o);
}

/* awaitable  stolen, or NULL with an exception */
static void wait_for(struct wf_chain *c, PyObject *awaitable, enum waits waits) {
    c->waits = (uint8_t)waits;
    c->inner = awaitable != NULL ? await_iterator(awaitable) : NULL;
    Py_XDECREF(awaitable);
}

static void got(struct wf_chain *c, PyObject *value);

/* A future to await, new reference: `inner` waits for it. NULL with an exception. */
static PyObject *wait_for_future(struct wf_chain *c) {
    PyObject *future = wf_http_future(c->server);
    c->inner = future != NULL ? await_iterator(future) : NULL;
    if (c->inner == NULL) {
        Py_CLEAR(future);
    }
    return future;
}

/* callable  stolen, or NULL with an exception: called in the thread pool, in a copy of the context */
static void run_in_thread(struct wf_chain *c, PyObject *callable, enum waits waits) {
    c->waits = (uint8_t)waits;
    if (callable == NULL) {
        got(c, NULL);
        return;
    }
    if (c->server->server == NULL) { /* closed: nobody would collect the job */
        got(c, PyObject_CallNoArgs(callable));
        Py_DECREF(callable);
        return;
    }
    PyObject *context = PyContext_CopyCurrent();
    PyObject *future = context != NULL ? wait_for_future(c) : NULL;
    c->job = future != NULL ? wf_job_start(c->server, callable, context, future) : NULL;
    Py_XDECREF(context);
    Py_DECREF(callable);
    if (c->job == NULL) {
        Py_CLEAR(c->inner);
        got(c, NULL);
    }
}

/* ---- dependencies ---- */

/* A value (stolen) for the dependency that is next. */
static void keep_value(struct wf_chain *c, PyObject *value) {
    const struct wf_dependency *d = &c->dependencies[c->next];
    if (c->slots[d->key] == NULL) {
        c->slots[d->key] = Py_NewRef(value);
    }
    Py_XSETREF(c->slots[d->value], value);
    c->next++;
}

/* The first half of `generator` has been run. */
static void keep_generator(struct wf_chain *c) {
    generators(c)[c->nexits] = c->generator;
    c->exits[c->nexits++] = c->next;
    c->generator = NULL;
}

/* More errors (stolen) of a dependency, or of the endpoint at index ndependencies. */
static void keep_errors(struct wf_chain *c, PyObject *errors) {
    if (c->errors == NULL) {
        c->errors = errors;
        return;
    }
    Py_ssize_t end = PyList_GET_SIZE(c->errors);
    int rc = PyList_SetSlice(c->errors, end, end, errors);
    Py_DECREF(errors);
    if (rc < 0) {
        fail(c);
    }
}

/* Looks for errors of one plan. 0, or -1: the chain has failed. */
static int check(struct wf_chain *c, struct wf_plan *plan) {
    PyObject *errors;
    switch (wf_plan_check(plan, &c->call->plan, &errors)) {
    case WF_PLAN_FAILED:
        fail(c);
        return -1;
    case WF_PLAN_INVALID:
        keep_errors(c, errors);
        return c->exc != NULL ? -1 : 0;
    default:
        return 0;
    }
}

/* FastAPI reads the parameters of a dependency once for each use, and so repeats what is wrong with them. */
static int repeat_errors(struct wf_chain *c, unsigned use) {
    const struct wf_dependency *d = &c->dependencies[use];
    for (unsigned i = d->start; i <= use; i++) {
        const struct wf_dependency *inner = &c->dependencies[i];
        if ((inner->repeat ? repeat_errors(c, inner->first) : check(c, inner->plan)) < 0) {
            return -1;
        }
    }
    return 0;
}

static const char no_reply[] = "There is no reply: a dependency with yield has caught an exception "
                               "and did not raise it again.";

/* A plain function around an `async def` may have made something else of the coroutine. */
static bool is_awaitable(PyObject *o) {
    const PyAsyncMethods *async = Py_TYPE(o)->tp_as_async;
    return async != NULL && async->am_await != NULL;
}

/* generator.__anext__() */
static PyObject *next_of_async(PyObject *generator) {
    const PyAsyncMethods *async = Py_TYPE(generator)->tp_as_async;
    if (async == NULL || async->am_anext == NULL) {
        return PyErr_Format(PyExc_TypeError, "'%.100s' object is not an async iterator",
                            Py_TYPE(generator)->tp_name);
    }
    return async->am_anext(generator);
}

/* generator.__next__(), in the thread pool unless the dependency is inline; result for got(). */
static void next_of(struct wf_chain *c, uint8_t kind, enum waits waits) {
    PyObject *next = PyObject_GetAttr(c->generator, c->server->state->http.str.__next__);
    if (kind == WF_DEPENDENCY_INLINE_GENERATOR && next != NULL) {
        c->waits = (uint8_t)waits;
        PyObject *item = PyObject_CallNoArgs(next);
        Py_DECREF(next);
        got(c, item);
    } else {
        run_in_thread(c, next, waits);
    }
}

/* What calling the dependency gave (stolen). */
static void called(struct wf_chain *c, uint8_t kind, PyObject *out) {
    switch ((enum wf_dependency_kind)kind) {
    case WF_DEPENDENCY_ASYNC:
        if (wf_likely(PyCoro_CheckExact(out))) {
            c->inner = out;
            c->waits = FOR_VALUE;
        } else if (is_awaitable(out)) {
            wait_for(c, out, FOR_VALUE);
            if (c->inner == NULL) {
                fail(c);
            }
        } else {
            keep_value(c, out);
        }
        break;
    case WF_DEPENDENCY_THREAD:
        run_in_thread(c, out, FOR_VALUE);
        break;
    case WF_DEPENDENCY_ASYNC_GENERATOR:
        c->generator = out;
        wait_for(c, next_of_async(out), FOR_ITEM);
        if (c->inner == NULL) {
            fail(c);
        }
        break;
    case WF_DEPENDENCY_THREAD_GENERATOR:
    case WF_DEPENDENCY_INLINE_GENERATOR:
        c->generator = out;
        next_of(c, kind, FOR_ITEM);
        break;
    default:
        keep_value(c, out);
        break;
    }
}

static void run_dependency(struct wf_chain *c) {
    const struct wf_dependency *d = &c->dependencies[c->next];
    PyObject *out = NULL;
    if (d->shared && c->slots[d->value] != NULL) {
        c->next++;
        return;
    }
    if (wf_unlikely(d->repeat || c->invalid[c->next])) {
        c->invalid[d->parent] = true;
        if ((d->repeat ? repeat_errors(c, d->first) : check(c, d->plan)) == 0) {
            c->next++;
        }
        return;
    }
    enum wf_plan_outcome outcome = wf_likely(d->kind != WF_DEPENDENCY_THREAD)
                                       ? wf_plan_call(d->plan, &c->call->plan, &out)
                                       : wf_plan_bind(d->plan, &c->call->plan, &out);
    if (wf_likely(outcome == WF_PLAN_CALLED)) {
        called(c, d->kind, out);
    } else if (outcome == WF_PLAN_INVALID) {
        c->invalid[d->parent] = true;
        c->next++;
        keep_errors(c, out);
    } else {
        fail(c);
    }
}

/* ---- the endpoint ---- */

/* Exits that come before the reply, or any. */
static bool has_exits(const struct wf_chain *c, bool function_scope) {
    for (unsigned i = 0; i < c->nexits; i++) {
        if (!function_scope || c->dependencies[c->exits[i]].function_scope) {
            return true;
        }
    }
    return false;
}

/* What the endpoint returned (stolen). */
static void returned(struct wf_chain *c, PyObject *result) {
    c->at = AT_FUNCTION_EXITS;
    if (wf_unlikely(c->middleware || has_exits(c, true)) &&
        c->call != NULL) { /* they may fail, and must know if the reply does */
        Py_SETREF(result, wf_reply_prepare(c->call, result, &c->prepared));
        if (result == NULL) {
            fail(c);
            return;
        }
    }
    c->result = result;
}

/* The generators that have been entered hear of it before the client does. */
static void refuse(struct wf_chain *c) {
    if (c->nexits == 0 && !c->middleware) {
        c->at = AT_END;
        return;
    }
    PyObject *exc = wf_validation_error(c->call, c->errors);
    Py_CLEAR(c->errors);
    if (exc != NULL) {
        wf_err_put(exc);
    }
    fail(c);
}

static void run_endpoint(struct wf_chain *c) {
    const struct wf_route *route = c->call->route;
    PyObject *out = NULL;
    enum wf_plan_outcome outcome = WF_PLAN_INVALID;
    if (wf_unlikely(c->errors != NULL)) {
        if (check(c, c->plan) < 0) {
            return;
        }
    } else {
        outcome = wf_likely(route->kind != WF_ENDPOINT_THREAD)
                      ? wf_plan_call(c->plan, &c->call->plan, &out)
                      : wf_plan_bind(c->plan, &c->call->plan, &out);
    }
    if (wf_unlikely(outcome == WF_PLAN_INVALID)) {
        if (out != NULL) {
            keep_errors(c, out);
        }
        refuse(c);
    } else if (outcome == WF_PLAN_FAILED) {
        fail(c);
    } else if (route->kind == WF_ENDPOINT_THREAD) {
        run_in_thread(c, out, FOR_RESULT);
    } else if (wf_likely(PyCoro_CheckExact(out))) {
        c->inner = out;
        c->waits = FOR_RESULT;
    } else if (route->kind == WF_ENDPOINT_ASYNC && is_awaitable(out)) {
        wait_for(c, out, FOR_RESULT);
        if (c->inner == NULL) {
            fail(c);
        }
    } else {
        returned(c, out);
    }
}

/* ---- exits ---- */

/* generator.throw(exc), to be called in a thread. */
static PyObject *bind_throw(struct wf_chain *c) {
    PyObject *throw = PyObject_GetAttr(c->generator, c->server->state->http.str.throw);
    PyObject *partial = c->server->state->plan.partial, *bound = NULL;
    if (throw != NULL) {
        bound = PyObject_CallFunctionObjArgs(partial, throw, c->exc, NULL);
        Py_DECREF(throw);
    }
    return bound;
}

/* Starts the second half of the generator entered last, of those of the function's scope or of any.
 * False: there is none. */
static bool start_exit(struct wf_chain *c, bool function_scope) {
    unsigned i = c->nexits;
    while (i > 0 && function_scope && !c->dependencies[c->exits[i - 1]].function_scope) {
        i--;
    }
    if (i-- == 0) {
        return false;
    }
    struct wf_http_names *str = &c->server->state->http.str;
    PyObject **gens = generators(c);
    c->exit = c->exits[i];
    Py_XSETREF(c->generator, gens[i]);
    for (c->nexits--; i < c->nexits; i++) {
        gens[i] = gens[i + 1];
        c->exits[i] = c->exits[i + 1];
    }
    gens[c->nexits] = NULL;

    uint8_t kind = c->dependencies[c->exit].kind;
    if (kind == WF_DEPENDENCY_ASYNC_GENERATOR) {
        PyObject *awaitable = c->exc == NULL
                                  ? next_of_async(c->generator)
                                  : PyObject_CallMethodOneArg(c->generator, str->athrow, c->exc);
        wait_for(c, awaitable, FOR_EXIT);
        if (c->inner == NULL) {
            got(c, NULL);
        }
    } else if (c->exc == NULL) {
        next_of(c, kind, FOR_EXIT);
    } else if (kind == WF_DEPENDENCY_INLINE_GENERATOR) {
        c->waits = FOR_EXIT;
        got(c, PyObject_CallMethodOneArg(c->generator, str->throw, c->exc));
    } else {
        run_in_thread(c, bind_throw(c), FOR_EXIT);
    }
    return true;
}

/* It has yielded once more. */
static void refuse_item(struct wf_chain *c) {
    struct wf_http_names *str = &c->server->state->http.str;
    PyErr_SetString(PyExc_RuntimeError, c->exc == NULL ? "generator didn't stop"
                                                       : "generator didn't stop after throw()");
    PyObject *exc = wf_err_take();
    if (c->exc != NULL) {
        PyException_SetContext(exc, Py_NewRef(c->exc)); /* stolen */
    }
    Py_XSETREF(c->exc, exc);
    if (c->dependencies[c->exit].kind == WF_DEPENDENCY_ASYNC_GENERATOR) {
        wait_for(c, PyObject_CallMethodNoArgs(c->generator, str->aclose), FOR_CLOSE);
    } else {
        Py_XDECREF(PyObject_CallMethodNoArgs(c->generator, str->close));
    }
    if (PyErr_Occurred()) {
        fail(c);
    }
}

/* Is `raised` what was thrown in, or the RuntimeError that Python makes of a Stop(Async)Iteration
 * which leaves a generator (PEP 479)? */
static bool is_same(PyObject *raised, PyObject *thrown) {
    if (raised == thrown) {
        return true;
    }
    if (!PyErr_GivenExceptionMatches(raised, PyExc_RuntimeError) ||
        !(PyErr_GivenExceptionMatches(thrown, PyExc_StopIteration) ||
          PyErr_GivenExceptionMatches(thrown, PyExc_StopAsyncIteration))) {
        return false;
    }
    PyObject *cause = PyException_GetCause(raised);
    Py_XDECREF(cause); /* `raised` keeps it */
    return cause == thrown;
}

/* An exit has ended as generators do, with an exception (set), as contextlib judges it. */
static void exited(struct wf_chain *c) {
    PyObject *stop = c->dependencies[c->exit].kind == WF_DEPENDENCY_ASYNC_GENERATOR
                         ? PyExc_StopAsyncIteration
                         : PyExc_StopIteration;
    PyObject *raised = wf_err_take();
    if (c->exc != NULL && is_same(raised, c->exc)) {
        Py_DECREF(raised); /* it goes on */
    } else if (PyErr_GivenExceptionMatches(raised, stop)) {
        Py_DECREF(raised);
        Py_CLEAR(c->exc); /* where there was one, it ends here */
    } else {
        Py_XSETREF(c->exc, raised);
    }
}

/* ---- the reply ---- */

static void reply(struct wf_chain *c) {
    struct wf_call *call = c->call;
    c->at = AT_BACKGROUND;
    if (wf_unlikely(c->result == NULL)) {
        fail_with(c, PyExc_RuntimeError, no_reply);
        return;
    }
    int rc = c->prepared ? wf_reply_prepared(call, c->result) : wf_reply_result(call, c->result);
    Py_CLEAR(c->result);
    if (rc < 0) {
        fail(c);
    } else if (rc > 0) {
        c->inner = call->pull;
        c->waits = FOR_STREAM;
        call->pull = NULL;
    } else {
        call->stage = WF_CALL_AFTER;
    }
}

/* Before the exits, as what it uses may be theirs. Without exits it is wf_call_finish's. */
static void run_background(struct wf_chain *c) {
    struct wf_call *call = c->call;
    c->at = AT_REQUEST_EXITS;
    if (call == NULL || call->background == NULL || c->nexits == 0) {
        return;
    }
    call->stage = WF_CALL_AFTER;
    PyObject *background = call->background;
    call->background = NULL;
    wait_for(c, PyObject_CallNoArgs(background), FOR_BACKGROUND);
    Py_DECREF(background);
    if (c->inner == NULL) {
        fail(c);
    }
}

/* ---- the chain ---- */

/* What was waited for has ended: with a value (stolen), or NULL and an exception is set. */
static void got(struct wf_chain *c, PyObject *value) {
    switch ((enum waits)c->waits) {
    case FOR_ITEM:
        if (wf_likely(value != NULL)) {
            keep_generator(c);
            keep_value(c, value);
            return;
        }
        if (PyErr_ExceptionMatches(PyExc_StopAsyncIteration) ||
            PyErr_ExceptionMatches(PyExc_StopIteration)) {
            PyErr_Clear();
            PyErr_SetString(PyExc_RuntimeError, "generator didn't yield");
        }
        Py_CLEAR(c->generator);
        break;
    case FOR_VALUE:
        if (wf_likely(value != NULL)) {
            keep_value(c, value);
            return;
        }
        break;
    case FOR_RESULT:
        if (wf_likely(value != NULL) && PyCoro_CheckExact(value) && c->call != NULL &&
            c->call->route->kind != WF_ENDPOINT_ASYNC) {
            c->inner = value; /* of an async function in disguise */
            return;
        }
        if (wf_likely(value != NULL)) {
            returned(c, value);
            return;
        }
        break;
    case FOR_EXIT:
        if (wf_unlikely(value != NULL)) {
            Py_DECREF(value);
            refuse_item(c);
        } else {
            exited(c);
        }
        return;
    case FOR_RESCUE:
        if (wf_likely(value != NULL)) {
            Py_XSETREF(c->result, value);
            c->at = AT_REPLY;
            return;
        }
        Py_XSETREF(c->exc, wf_err_take());
        c->at = AT_END;
        return;
    case FOR_STREAM:
        if (c->call != NULL) {
            c->call->stage = WF_CALL_AFTER;
        }
        break;
    case FOR_CLOSE:
    case FOR_BACKGROUND:
        break;
    }
    if (value == NULL) {
        fail(c);
    }
    Py_XDECREF(value);
}

/* The thread has done its work, whatever became of it. */
static void got_job(struct wf_chain *c) {
    struct wf_job *job = c->job;
    c->job = NULL;
    got(c, wf_job_result(job));
    Py_DECREF((PyObject *)job);
    PyObject *cancelled = c->cancelled;
    if (wf_unlikely(cancelled != NULL)) {
        c->cancelled = NULL;
        Py_CLEAR(c->inner);
        wf_err_put(cancelled);
        fail(c);
    }
}

/* The first step: the whole body, where somebody wants it. */
static void start(struct wf_chain *c) {
    PyObject *errors = NULL;
    c->at = AT_DEPENDENCIES;
    if (wf_unlikely(c->plan == NULL)) {
        wf_call_unrouted(c->call);
        fail(c);
        return;
    }
    enum wf_plan_outcome outcome = wf_plan_read(c->plan, &c->call->plan, &errors);
    if (wf_unlikely(outcome == WF_PLAN_INVALID)) {
        c->errors = errors;
        refuse(c);
    } else if (wf_unlikely(outcome == WF_PLAN_FAILED)) {
        fail(c);
    }
}

/* Has the chain done what it does inside of the middleware? */
static bool is_inside(const struct wf_chain *c) {
    return c->middleware && !c->answered && c->at >= AT_REPLY;
}

/* Goes on until something has to be awaited, or to the end. */
static void advance(struct wf_chain *c) {
    while (c->inner == NULL && c->at != AT_END && !(c->at == AT_REPLY && is_inside(c))) {
        if (wf_unlikely(c->call == NULL) && c->exc == NULL && c->at < AT_BACKGROUND) {
            fail_with(c, PyExc_RuntimeError, "the server is closed");
        }
        switch ((enum at)c->at) {
        case AT_START:
            start(c);
            break;
        case AT_DEPENDENCIES:
            if (c->next < c->ndependencies) {
                run_dependency(c);
            } else {
                c->at = AT_ENDPOINT;
            }
            break;
        case AT_ENDPOINT:
            run_endpoint(c);
            break;
        case AT_FUNCTION_EXITS:
            if (!start_exit(c, true)) {
                c->at = c->exc != NULL ? AT_REQUEST_EXITS : AT_REPLY;
            }
            break;
        case AT_REPLY:
            reply(c);
            break;
        case AT_BACKGROUND:
            run_background(c);
            break;
        case AT_REQUEST_EXITS:
            if (!start_exit(c, false)) {
                c->at = AT_END;
            }
            break;
        case AT_END:
            break;
        }
    }
}

/* The end, as PyIter_Send answers. */
static PySendResult ended(struct wf_chain *c, PyObject **out) {
    Py_CLEAR(c->generator);
    if (c->exc == NULL && c->errors == NULL && c->call != NULL && c->call->stage < WF_CALL_AFTER) {
        fail_with(c, PyExc_RuntimeError, no_reply);
    }
    if (c->exc != NULL) {
        PyObject *exc = c->exc;
        c->exc = NULL;
        wf_err_put(exc);
        return PYGEN_ERROR;
    }
    *out = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

/* The app's handler for the exception, as a coroutine that gives a Response: `inner` waits for it. False:
 * there is no exception, or it has been there already. */
static bool rescue(struct wf_chain *c) {
    if (c->exc == NULL || c->rescued || c->call == NULL) {
        return false;
    }
    c->rescued = true;
    PyObject *exc = c->exc;
    c->exc = NULL;
    PyObject *request = wf_call_request(c->call); /* borrowed */
    PyObject *coro =
        request != NULL
            ? PyObject_CallFunctionObjArgs(c->server->rescue, c->server->app, request, exc, NULL)
            : NULL;
    Py_DECREF(exc);
    wait_for(c, coro, FOR_RESCUE);
    if (c->inner == NULL) {
        got(c, NULL);
    }
    return true;
}

/* The chain has come to the reply, or has failed before: what its Answer gives. */
static PySendResult answer_outer(struct wf_chain *c, PyObject **out) {
    c->answered = true;
    if (c->exc == NULL && c->at == AT_REPLY && c->result == NULL) {
        fail_with(c, PyExc_RuntimeError, no_reply);
    }
    if (c->exc != NULL) {
        wf_err_put(Py_NewRef(c->exc));
        Py_CLEAR(c->exc);
        c->at = AT_BACKGROUND;
        return PYGEN_ERROR;
    }
    PyObject *response = c->result;
    c->result = NULL;
    c->at = AT_BACKGROUND; /* once the outermost has been sent */
    if (c->call != NULL && wf_reply_settle(c->call, response, c->prepared) < 0) {
        Py_DECREF(response);
        return PYGEN_ERROR;
    }
    c->prepared = false;
    *out = response;
    return PYGEN_RETURN;
}

/* `inner` has answered a send or a throw. */
static PySendResult go_on(struct wf_chain *c, PySendResult sent, PyObject *value, PyObject **out) {
    for (;;) {
        if (sent == PYGEN_NEXT) {
            *out = value;
            if (c->call != NULL && c->call->stage == WF_CALL_AFTER && c->call->plan.ex != NULL) {
                wf_call_leave(c->call);
            }
            return PYGEN_NEXT;
        }
        Py_CLEAR(c->inner);
        if (wf_unlikely(c->job != NULL)) {
            Py_XDECREF(value);
            PyErr_Clear(); /* of the future that was only there to wake us */
            got_job(c);
        } else {
            got(c, value);
        }
        advance(c);
        if (c->inner == NULL && is_inside(c) && !rescue(c)) {
            return answer_outer(c, out);
        }
        if (c->inner == NULL) {
            return ended(c, out);
        }
        value = NULL;
        sent = PyIter_Send(c->inner, Py_None, &value);
    }
}

/* Steps what is inside of the middleware, or after it. */
static PySendResult step(struct wf_chain *c, PyObject *arg, PyObject **out) {
    if (c->inner == NULL) {
        advance(c);
    }
    if (c->inner == NULL && is_inside(c) && !rescue(c)) {
        return answer_outer(c, out);
    }
    if (c->inner == NULL) {
        return ended(c, out);
    }
    PyObject *value = NULL;
    PySendResult sent = PyIter_Send(c->inner, arg, &value);
    return go_on(c, sent, value, out);
}

/* The middleware's coroutine has answered a send or a throw. */
static PySendResult outer_went_on(struct wf_chain *c, PySendResult sent, PyObject *value,
                                  PyObject **out) {
    if (sent == PYGEN_NEXT) {
        *out = value;
        return PYGEN_NEXT;
    }
    Py_CLEAR(c->outer);
    Py_CLEAR(c->inner); /* of an Answer that was left alone */
    c->answered = true;
    if (sent == PYGEN_RETURN && !wf_is_response(c->server->state, value)) {
        PyErr_Format(PyExc_TypeError, "a middleware must return a Response, not %.100s",
                     Py_TYPE(value)->tp_name);
        Py_CLEAR(value);
    }
    if (value == NULL || c->call == NULL) {
        if (value == NULL) {
            Py_XSETREF(c->exc, wf_err_take());
        }
        Py_XDECREF(value);
        c->at = AT_REQUEST_EXITS;
    } else {
        Py_XSETREF(c->result, value);
        c->at = AT_REPLY;
    }
    return step(c, Py_None, out);
}

static PySendResult enter(struct wf_chain *c) {
    if (c->running || (c->at == AT_END && c->inner == NULL)) {
        PyErr_SetString(c->running ? PyExc_ValueError : PyExc_RuntimeError,
                        c->running ? "coroutine already executing"
                                   : "cannot reuse already awaited coroutine");
        return PYGEN_ERROR;
    }
    c->running = true;
    return PYGEN_NEXT;
}

/* am_send */
static PySendResult chain_send(PyObject *self, PyObject *arg, PyObject **out) {
    struct wf_chain *c = (struct wf_chain *)self;
    *out = NULL;
    if (wf_unlikely(enter(c) == PYGEN_ERROR)) {
        return PYGEN_ERROR;
    }
    PySendResult sent;
    if (wf_unlikely(c->outer != NULL)) {
        PyObject *value = NULL;
        sent = PyIter_Send(c->outer, arg, &value);
        sent = outer_went_on(c, sent, value, out);
    } else {
        sent = step(c, arg, out);
    }
    c->running = false;
    return sent;
}

/* inner.throw(exc), as PyIter_Send answers. */
static PySendResult throw_in(PyObject *inner, PyObject *exc, PyObject **out) {
    PyObject *throw = PyObject_GetAttrString(inner, "throw");
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

/* A thread cannot be stopped: the generator it works for must not be closed before it is done. */
static PySendResult throw_at_job(struct wf_chain *c, PyObject *exc, PyObject **out) {
    Py_XSETREF(c->cancelled, Py_NewRef(exc));
    Py_CLEAR(c->inner);
    if (!wf_job_done(c->job) && c->server->server != NULL) {
        PyObject *future = wait_for_future(c);
        if (future != NULL) {
            wf_job_wake(c->job, future);
            return PyIter_Send(c->inner, Py_None, out);
        }
        PyErr_Clear();
    }
    *out = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PySendResult throw_exception(struct wf_chain *c, PyObject *exc, PyObject **out) {
    PyObject *value = NULL;
    if (c->inner == NULL) { /* not started */
        wf_err_put(Py_NewRef(exc));
        fail(c);
        advance(c);
        return step(c, Py_None, out);
    }
    PySendResult sent =
        c->job != NULL ? throw_at_job(c, exc, &value) : throw_in(c->inner, exc, &value);
    return go_on(c, sent, value, out);
}

/* ---- the type ---- */

static int surround(struct wf_chain *c, PyObject *request);

struct wf_chain *wf_chain_new(struct wf_call *call, struct wf_plan *plan) {
    struct wf_http_server *s = call->server;
    unsigned n, nvalues;
    const struct wf_dependency *dependencies = NULL;
    n = nvalues = 0;
    if (plan != NULL) {
        dependencies = wf_plan_dependencies(plan, &n, &nvalues);
    }
    size_t bytes = n + (n + 1); /* exits, invalid */
    size_t slots = nvalues + n + (bytes + sizeof(PyObject *) - 1) / sizeof(PyObject *);
    PyTypeObject *type = s->state->http.chain_type;
    struct wf_chain *c = (struct wf_chain *)type->tp_alloc(type, (Py_ssize_t)slots); /* zeroed */
    if (c == NULL) {
        return NULL;
    }
    c->call = call;
    c->server = (struct wf_http_server *)Py_NewRef((PyObject *)s);
    c->plan = (struct wf_plan *)Py_XNewRef((PyObject *)plan);
    c->dependencies = dependencies;
    c->ndependencies = (uint8_t)n;
    c->nvalues = (uint8_t)nvalues;
    c->exits = (uint8_t *)(c->slots + nvalues + n);
    c->invalid = (bool *)(c->exits + n);
    call->plan.values = c->slots;
    if (s->middleware != NULL) {
        PyObject *request = wf_call_request(call); /* borrowed */
        if (request == NULL || surround(c, request) < 0) {
            Py_CLEAR(c);
        }
    }
    return c;
}

void wf_chain_cut_off(struct wf_chain *c) {
    c->call = NULL;
}

PyObject *wf_chain_errors(struct wf_chain *c) {
    return c->errors;
}

static int chain_traverse(PyObject *self, visitproc visit, void *arg) {
    struct wf_chain *c = (struct wf_chain *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(c->server);
    Py_VISIT(c->plan);
    Py_VISIT(c->outer);
    Py_VISIT(c->inner);
    Py_VISIT(c->generator);
    Py_VISIT((PyObject *)c->job);
    Py_VISIT(c->cancelled);
    Py_VISIT(c->exc);
    Py_VISIT(c->result);
    Py_VISIT(c->errors);
    for (unsigned i = 0; i < (unsigned)c->nvalues + c->nexits; i++) {
        Py_VISIT(c->slots[i]);
    }
    return 0;
}

static int chain_clear(PyObject *self) {
    struct wf_chain *c = (struct wf_chain *)self;
    Py_CLEAR(c->outer);
    Py_CLEAR(c->inner);
    Py_CLEAR(c->generator);
    Py_CLEAR(c->job);
    Py_CLEAR(c->cancelled);
    Py_CLEAR(c->exc);
    Py_CLEAR(c->result);
    Py_CLEAR(c->errors);
    for (unsigned i = 0; i < (unsigned)c->nvalues + c->nexits; i++) {
        Py_CLEAR(c->slots[i]);
    }
    return 0;
}

static void chain_dealloc(PyObject *self) {
    struct wf_chain *c = (struct wf_chain *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    chain_clear(self);
    Py_CLEAR(c->plan);
    Py_CLEAR(c->server);
    type->tp_free(self);
    Py_DECREF(type);
}

/* PyIter_Send's answer to what a method returns. */
static PyObject *answer(PySendResult sent, PyObject *out) {
    if (sent == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, out);
        Py_DECREF(out);
        if (stop != NULL) {
            wf_err_put(stop);
        }
        return NULL;
    }
    return out;
}

static PyObject *chain_send_method(PyObject *self, PyObject *value) {
    PyObject *out = NULL;
    PySendResult sent = chain_send(self, value, &out); /* first: it is what fills `out` in */
    return answer(sent, out);
}

static PyObject *chain_next(PyObject *self) {
    return chain_send_method(self, Py_None);
}

/* The exception that throw() was called with, new reference; NULL with an exception. */
static PyObject *thrown(PyObject *args) {
    PyObject *exc, *value = NULL, *tb = NULL;
    if (!PyArg_ParseTuple(args, "O|OO:throw", &exc, &value, &tb)) {
        return NULL;
    }
    if (value != NULL && PyExceptionInstance_Check(value)) {
        exc = value;
    }
    return PyExceptionInstance_Check(exc) ? Py_NewRef(exc)
           : PyExceptionClass_Check(exc)
               ? PyObject_CallNoArgs(exc)
               : PyErr_Format(PyExc_TypeError, "not an exception: %R", exc);
}

static PyObject *chain_throw(PyObject *self, PyObject *args) {
    struct wf_chain *c = (struct wf_chain *)self;
    PyObject *out = NULL, *exc = thrown(args);
    if (exc == NULL || enter(c) == PYGEN_ERROR) {
        Py_XDECREF(exc);
        return NULL;
    }
    PySendResult sent;
    if (c->outer != NULL) {
        PyObject *value = NULL;
        sent = throw_in(c->outer, exc, &value);
        sent = outer_went_on(c, sent, value, &out);
    } else {
        sent = throw_exception(c, exc, &out);
    }
    Py_DECREF(exc);
    c->running = false;
    return answer(sent, out);
}

/* What it awaits is closed; the generators are left to the loop, as nothing can be awaited any more. */
static PyObject *chain_close(PyObject *self, PyObject *unused) {
    struct wf_chain *c = (struct wf_chain *)self;
    if (c->running) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return NULL;
    }
    PyObject *inner = c->outer != NULL ? c->outer : c->inner, *closed = NULL;
    if (inner == c->outer) {
        c->outer = NULL;
        Py_CLEAR(c->inner);
    }
    c->inner = NULL;
    c->at = AT_END;
    if (inner != NULL && PyCoro_CheckExact(inner)) {
        closed = PyObject_CallMethodNoArgs(inner, c->server->state->http.str.close);
    } else {
        closed = Py_NewRef(Py_None);
    }
    Py_XDECREF(inner);
    return closed;
}

static PyObject *chain_await(PyObject *self) {
    return Py_NewRef(self);
}

static PyObject *get_name(PyObject *self, void *attribute) {
    PyObject *plan = (PyObject *)((struct wf_chain *)self)->plan;
    if (plan == NULL) {
        return PyUnicode_FromString("unrouted");
    }
    PyObject *endpoint = PyObject_GetAttrString(plan, "endpoint");
    PyObject *name = endpoint != NULL ? PyObject_GetAttrString(endpoint, attribute) : NULL;
    if (name == NULL && endpoint != NULL) {
        PyErr_Clear();
        name = PyObject_GetAttrString((PyObject *)Py_TYPE(endpoint), attribute);
    }
    Py_XDECREF(endpoint);
    return name;
}

static PyObject *get_await(PyObject *self, void *unused) {
    PyObject *inner = ((struct wf_chain *)self)->inner;
    return Py_NewRef(inner != NULL ? inner : Py_None);
}

static PyObject *get_running(PyObject *self, void *unused) {
    return PyBool_FromLong(((struct wf_chain *)self)->running);
}

static PyGetSetDef chain_getset[] = {
    {"__name__", get_name, NULL, "The endpoint's.", "__name__"},
    {"__qualname__", get_name, NULL, "The endpoint's.", "__qualname__"},
    {"cr_await", get_await, NULL, "What it awaits, or None.", NULL},
    {"cr_running", get_running, NULL, "Is it being stepped?", NULL},
    {NULL},
};

static PyMethodDef chain_methods[] = {
    {"send", chain_send_method, METH_O, NULL},
    {"throw", chain_throw, METH_VARARGS, NULL},
    {"close", chain_close, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot chain_slots[] = {
    {Py_tp_doc, "The coroutine of a request with dependencies."},
    {Py_tp_dealloc, chain_dealloc},
    {Py_tp_traverse, chain_traverse},
    {Py_tp_clear, chain_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, chain_next},
    {Py_tp_methods, chain_methods},
    {Py_tp_getset, chain_getset},
    {Py_am_await, chain_await},
    {Py_am_send, chain_send},
    {0, NULL},
};

PyType_Spec wf_chain_spec = {
    .name = "weft._core.Chain",
    .basicsize = sizeof(struct wf_chain),
    .itemsize = sizeof(PyObject *),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = chain_slots,
};

/* ---- call_next, and what it gives ---- */

/* What call_next(request) returns, and call_next itself: both only know their chain. */
struct answer {
    PyObject_HEAD
    struct wf_chain *chain; /* owned */
};

static struct answer *answer_new(PyTypeObject *type, struct wf_chain *c) {
    struct answer *a = (struct answer *)type->tp_alloc(type, 0);
    if (a != NULL) {
        a->chain = (struct wf_chain *)Py_NewRef((PyObject *)c);
    }
    return a;
}

static int surround(struct wf_chain *c, PyObject *request) {
    struct answer *next = answer_new(c->server->state->http.call_next_type, c);
    if (next == NULL) {
        return -1;
    }
    PyObject *args[] = {request, (PyObject *)next};
    PyObject *coro = PyObject_Vectorcall(c->server->middleware, args, 2, NULL);
    Py_DECREF(next);
    c->outer = coro != NULL ? await_iterator(coro) : NULL;
    Py_XDECREF(coro);
    c->middleware = true;
    return c->outer != NULL ? 0 : -1;
}

static PyObject *call_next_call(PyObject *self, PyObject *args, PyObject *kwargs) {
    struct wf_chain *c = ((struct answer *)self)->chain;
    PyObject *request;
    if (!PyArg_ParseTuple(args, "O:call_next", &request)) {
        return NULL;
    }
    if (c->asked) {
        PyErr_SetString(PyExc_RuntimeError, "call_next() can be called once");
        return NULL;
    }
    c->asked = true;
    return (PyObject *)answer_new(c->server->state->http.answer_type, c);
}

/* NULL, or why the chain cannot be stepped by it. */
static const char *answer_refusal(const struct wf_chain *c) {
    return c->answered                  ? "cannot reuse already awaited coroutine"
           : !c->running || c->stepping ? "call_next() is awaited by the middleware it is for"
                                        : NULL;
}

static PySendResult answer_send(PyObject *self, PyObject *arg, PyObject **out) {
    struct wf_chain *c = ((struct answer *)self)->chain;
    const char *refusal = answer_refusal(c);
    *out = NULL;
    if (wf_unlikely(refusal != NULL)) {
        PyErr_SetString(PyExc_RuntimeError, refusal);
        return PYGEN_ERROR;
    }
    c->stepping = true;
    PySendResult sent = step(c, arg, out);
    c->stepping = false;
    return sent;
}

static PyObject *answer_send_method(PyObject *self, PyObject *value) {
    PyObject *out = NULL;
    PySendResult sent = answer_send(self, value, &out); /* first: it is what fills `out` in */
    return answer(sent, out);
}

static PyObject *answer_next(PyObject *self) {
    return answer_send_method(self, Py_None);
}

static PyObject *answer_throw(PyObject *self, PyObject *args) {
    struct wf_chain *c = ((struct answer *)self)->chain;
    PyObject *out = NULL, *exc = thrown(args);
    const char *refusal = answer_refusal(c);
    if (exc == NULL || refusal != NULL) {
        if (exc != NULL) {
            PyErr_SetString(PyExc_RuntimeError, refusal);
        }
        Py_XDECREF(exc);
        return NULL;
    }
    c->stepping = true;
    PySendResult sent = throw_exception(c, exc, &out);
    c->stepping = false;
    Py_DECREF(exc);
    return answer(sent, out);
}

static PyObject *answer_close(PyObject *self, PyObject *unused) {
    Py_RETURN_NONE;
}

static int answer_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)((struct answer *)self)->chain);
    return 0;
}

static int answer_clear(PyObject *self) {
    Py_CLEAR(((struct answer *)self)->chain);
    return 0;
}

static void answer_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    answer_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef answer_methods[] = {
    {"send", answer_send_method, METH_O, NULL},
    {"throw", answer_throw, METH_VARARGS, NULL},
    {"close", answer_close, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot answer_slots[] = {
    {Py_tp_doc, "What call_next() gives a middleware to await: the Response."},
    {Py_tp_dealloc, answer_dealloc},
    {Py_tp_traverse, answer_traverse},
    {Py_tp_clear, answer_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, answer_next},
    {Py_tp_methods, answer_methods},
    {Py_am_await, chain_await},
    {Py_am_send, answer_send},
    {0, NULL},
};

PyType_Spec wf_answer_spec = {
    .name = "weft._core.Answer",
    .basicsize = sizeof(struct answer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = answer_slots,
};

static PyType_Slot call_next_slots[] = {
    {Py_tp_doc, "call_next(request): what is inside of a middleware, to be awaited."},
    {Py_tp_dealloc, answer_dealloc},
    {Py_tp_traverse, answer_traverse},
    {Py_tp_clear, answer_clear},
    {Py_tp_call, call_next_call},
    {0, NULL},
};

PyType_Spec wf_call_next_spec = {
    .name = "weft._core.CallNext",
    .basicsize = sizeof(struct answer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = call_next_slots,
};
