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
 * A route's own handler (APIRoute.get_route_handler) is one more, within that (`handler`): around dependencies and
 * endpoint alone, so that what they raise goes through it as it is, and the exits come after it.
 *
 * Once the reply is complete and something has to wait, the exchange is finished and the chain goes on
 * without it (wf_call_leave). */
#include "py/http/chain_int.h"

static const char no_reply[] = "There is no reply: a dependency with yield has caught an exception "
                               "and did not raise it again.";

/* ---- exceptions ---- */

void chain_fail(struct wf_chain *c) {
    Py_XSETREF(c->exc, wf_err_take());
    WF_ASSERT(c->exc != NULL);
    c->at = c->at <= AT_FUNCTION_EXITS ? AT_FUNCTION_EXITS : AT_REQUEST_EXITS;
}

void chain_fail_with(struct wf_chain *c, PyObject *type, const char *message) {
    PyErr_SetString(type, message);
    chain_fail(c);
}

/* ---- waiting ---- */

void chain_wait_for(struct wf_chain *c, PyObject *awaitable, enum waits waits) {
    c->waits = (uint8_t)waits;
    c->inner = awaitable != NULL ? coro_iterator(awaitable) : NULL;
    Py_XDECREF(awaitable);
}

/* A future to await, new reference: `inner` waits for it. NULL with an exception. */
static PyObject *wait_for_future(struct wf_chain *c) {
    PyObject *future = wf_http_future(c->server);
    c->inner = future != NULL ? coro_iterator(future) : NULL;
    if (c->inner == NULL) {
        Py_CLEAR(future);
    }
    return future;
}

void chain_run_in_thread(struct wf_chain *c, PyObject *callable, enum waits waits) {
    c->waits = (uint8_t)waits;
    if (callable == NULL) {
        chain_got(c, NULL);
        return;
    }
    if (c->server->server == NULL) { /* closed: nobody would collect the job */
        chain_got(c, PyObject_CallNoArgs(callable));
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
        chain_got(c, NULL);
    }
}

/* ---- the endpoint ---- */

/* What the endpoint returned (stolen). */
static void returned(struct wf_chain *c, PyObject *result) {
    c->at = AT_FUNCTION_EXITS;
    if (wf_unlikely(c->outer.there || c->handler.there || chain_has_exits(c, true)) &&
        c->call != NULL) { /* they may fail, and must know if the reply does */
        Py_SETREF(result, wf_reply_prepare(c->call, result, &c->prepared));
        if (result == NULL) {
            chain_fail(c);
            return;
        }
    }
    c->result = result;
}

/* The generators that have been entered hear of it before the client does. */
static void refuse(struct wf_chain *c) {
    if (c->nexits == 0 && !c->outer.there && !c->handler.there) {
        c->at = AT_END;
        return;
    }
    PyObject *exc = wf_validation_error(c->call, c->errors);
    Py_CLEAR(c->errors);
    if (exc != NULL) {
        wf_err_put(exc);
    }
    chain_fail(c);
}

static void run_endpoint(struct wf_chain *c) {
    const struct wf_route *route = c->call->route;
    PyObject *out = NULL;
    enum wf_plan_outcome outcome = WF_PLAN_INVALID;
    if (wf_unlikely(c->errors != NULL)) {
        if (chain_check(c, c->plan) < 0) {
            return;
        }
    } else {
        outcome = wf_unlikely(c->server->recorder != NULL)
                      ? wf_plan_call_recorded(c->plan, &c->call->plan, &out)
                  : wf_likely(route->kind != WF_ENDPOINT_THREAD)
                      ? wf_plan_call(c->plan, &c->call->plan, &out)
                      : wf_plan_bind(c->plan, &c->call->plan, &out);
    }
    if (wf_unlikely(outcome == WF_PLAN_INVALID)) {
        if (out != NULL) {
            chain_keep_errors(c, out);
        }
        refuse(c);
    } else if (outcome == WF_PLAN_FAILED) {
        chain_fail(c);
    } else if (route->kind == WF_ENDPOINT_THREAD) {
        chain_run_in_thread(c, out, FOR_RESULT);
    } else if (wf_likely(PyCoro_CheckExact(out))) {
        c->inner = out;
        c->waits = FOR_RESULT;
    } else if (route->kind == WF_ENDPOINT_ASYNC && coro_is_awaitable(out)) {
        chain_wait_for(c, out, FOR_RESULT);
        if (c->inner == NULL) {
            chain_fail(c);
        }
    } else {
        returned(c, out);
    }
}

/* ---- the reply ---- */

static void reply(struct wf_chain *c) {
    struct wf_call *call = c->call;
    c->at = AT_BACKGROUND;
    if (wf_unlikely(c->result == NULL)) {
        chain_fail_with(c, PyExc_RuntimeError, no_reply);
        return;
    }
    int rc = c->prepared ? wf_reply_prepared(call, c->result) : wf_reply_result(call, c->result);
    Py_CLEAR(c->result);
    if (rc < 0) {
        chain_fail(c);
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
    chain_wait_for(c, PyObject_CallNoArgs(background), FOR_BACKGROUND);
    Py_DECREF(background);
    if (c->inner == NULL) {
        chain_fail(c);
    }
}

/* ---- the chain ---- */

void chain_got(struct wf_chain *c, PyObject *value) {
    switch ((enum waits)c->waits) {
    case FOR_ITEM:
        if (wf_likely(value != NULL)) {
            chain_keep_generator(c);
            chain_keep_value(c, value);
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
            chain_keep_value(c, value);
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
            chain_refuse_item(c);
        } else {
            chain_exited(c);
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
            if (value == NULL) {
                wf_call_stream_failed(c->call);
            }
            c->call->stage = WF_CALL_AFTER;
        }
        break;
    case FOR_CLOSE:
    case FOR_BACKGROUND:
        break;
    }
    if (value == NULL) {
        chain_fail(c);
    }
    Py_XDECREF(value);
}

/* The thread has done its work, whatever became of it. */
static void got_job(struct wf_chain *c) {
    struct wf_job *job = c->job;
    c->job = NULL;
    chain_got(c, wf_job_result(job));
    Py_DECREF((PyObject *)job);
    PyObject *cancelled = c->cancelled;
    if (wf_unlikely(cancelled != NULL)) {
        c->cancelled = NULL;
        Py_CLEAR(c->inner);
        wf_err_put(cancelled);
        chain_fail(c);
    }
}

/* The thread has done what the middleware did not wait for: nobody wants it, but a generator that it has entered has
 * to be left again. What the middleware has come to stays. */
static void got_left_job(struct wf_chain *c) {
    struct wf_job *job = c->job;
    c->job = NULL;
    c->left = false;
    Py_CLEAR(c->inner);
    PyObject *value = wf_job_result(job);
    Py_DECREF((PyObject *)job);
    if (value != NULL && c->waits == FOR_ITEM) {
        chain_keep_generator(c);
    }
    PyErr_Clear();
    Py_XDECREF(value);
    Py_CLEAR(c->generator);
    if (c->cancelled != NULL) {
        Py_XSETREF(c->exc, c->cancelled);
        c->cancelled = NULL;
        Py_CLEAR(c->result);
        c->at = AT_REQUEST_EXITS;
    }
}

/* The first step: the whole body, where somebody wants it. */
static void start(struct wf_chain *c) {
    PyObject *errors = NULL;
    c->at = AT_DEPENDENCIES;
    if (wf_unlikely(c->plan == NULL)) {
        c->result = wf_call_unrouted(c->call);
        c->at = AT_REPLY;
        if (c->result == NULL) {
            chain_fail(c);
        }
        return;
    }
    enum wf_plan_outcome outcome = wf_plan_read(c->plan, &c->call->plan, &errors);
    if (wf_unlikely(outcome == WF_PLAN_INVALID)) {
        c->errors = errors;
        refuse(c);
    } else if (wf_unlikely(outcome == WF_PLAN_FAILED)) {
        chain_fail(c);
    }
}

/* Has the chain done what it does inside of the middleware? */
static bool is_inside(const struct wf_chain *c) {
    return c->outer.there && !c->outer.answered && c->at >= AT_REPLY;
}

/* And inside of the route's handler? */
static bool is_within(const struct wf_chain *c) {
    return c->handler.there && !c->handler.answered && c->at >= AT_FUNCTION_EXITS;
}

/* Goes on until something has to be awaited, or to the end. */
static void advance(struct wf_chain *c) {
    while (c->inner == NULL && c->at != AT_END && !(c->at == AT_REPLY && is_inside(c)) &&
           !(c->at == AT_FUNCTION_EXITS && is_within(c))) {
        if (wf_unlikely(c->call == NULL) && c->exc == NULL && c->at < AT_BACKGROUND) {
            chain_fail_with(c, PyExc_RuntimeError, "the server is closed");
        }
        switch ((enum at)c->at) {
        case AT_START:
            start(c);
            break;
        case AT_DEPENDENCIES:
            if (c->next < c->ndependencies) {
                chain_run_dependency(c);
            } else {
                c->at = AT_ENDPOINT;
            }
            break;
        case AT_ENDPOINT:
            run_endpoint(c);
            break;
        case AT_FUNCTION_EXITS:
            if (!chain_start_exit(c, true)) {
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
            if (!chain_start_exit(c, false)) {
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
        chain_fail_with(c, PyExc_RuntimeError, no_reply);
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
 * there is no exception, or it has been there already. Where a dependency has swallowed the exception there is
 * nothing to reply with, which is one. */
static bool rescue(struct wf_chain *c) {
    if (c->exc == NULL && c->result == NULL) {
        chain_fail_with(c, PyExc_RuntimeError, no_reply);
    }
    if (c->exc == NULL || c->rescued || c->call == NULL) {
        return false;
    }
    c->rescued = true;
    PyObject *exc = wf_call_late(c->call, c->exc);
    c->exc = NULL;
    PyObject *request = wf_call_request(c->call); /* borrowed */
    PyObject *coro = request != NULL ? PyObject_CallFunctionObjArgs(c->app->rescue, c->app->app,
                                                                    request, exc, NULL)
                                     : NULL;
    Py_DECREF(exc);
    chain_wait_for(c, coro, FOR_RESCUE);
    if (c->inner == NULL) {
        chain_got(c, NULL);
    }
    return true;
}

/* The chain has come to the end of what is inside, by a Response or an exception: what the Answer gives. */
static PySendResult answer(struct wf_chain *c, struct wf_around *around, PyObject **out) {
    around->answered = true;
    WF_ASSERT(c->exc != NULL || c->result != NULL);
    if (c->exc != NULL) {
        PyObject *exc = c->exc;
        c->exc = NULL;
        wf_err_put(exc);
        return PYGEN_ERROR;
    }
    PyObject *response = wf_response_alone(c->result);
    c->result = NULL;
    if (response == NULL) {
        return PYGEN_ERROR;
    }
    if (c->call != NULL && wf_reply_settle(c->call, response, c->prepared) < 0) {
        Py_DECREF(response);
        return PYGEN_ERROR;
    }
    c->prepared = false;
    *out = response;
    return PYGEN_RETURN;
}

/* Nothing is awaited: what whoever steps the chain gets, in *sent. False: `inner` is there now, which rescues. */
static bool has_stopped(struct wf_chain *c, PyObject **out, PySendResult *sent) {
    if (wf_unlikely(is_within(c))) {
        *sent = answer(c, &c->handler, out);
        return true;
    }
    if (wf_unlikely(is_inside(c)) && !rescue(c)) {
        c->at = AT_BACKGROUND; /* once the outermost has been sent */
        *sent = answer(c, &c->outer, out);
        return true;
    }
    if (c->inner == NULL) {
        *sent = ended(c, out);
        return true;
    }
    return false;
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
            if (wf_unlikely(c->left)) {
                got_left_job(c);
            } else {
                got_job(c);
            }
        } else {
            chain_got(c, value);
        }
        advance(c);
        if (c->inner == NULL && has_stopped(c, out, &sent)) {
            return sent;
        }
        value = NULL;
        sent = PyIter_Send(c->inner, Py_None, &value);
    }
}

PySendResult chain_step_within(struct wf_chain *c, PyObject *arg, PyObject **out) {
    PySendResult sent;
    if (c->inner == NULL) {
        advance(c);
    }
    if (c->inner == NULL && has_stopped(c, out, &sent)) {
        return sent;
    }
    PyObject *value = NULL;
    sent = PyIter_Send(c->inner, arg, &value);
    return go_on(c, sent, value, out);
}

/* A thread cannot be stopped, and what it uses must not be taken back before it is done: `inner` waits for it. */
static void leave_job(struct wf_chain *c) {
    c->left = true;
    PyObject *future = NULL;
    if (!wf_job_done(c->job) && c->server->server != NULL &&
        (future = wait_for_future(c)) == NULL) {
        PyErr_Clear();
    }
    if (future != NULL) {
        wf_job_wake(c->job, future);
    } else {
        got_left_job(c);
    }
}

PySendResult chain_outer_went_on(struct wf_chain *c, PySendResult sent, PyObject *value,
                                 PyObject **out) {
    if (sent == PYGEN_NEXT) {
        *out = value;
        return PYGEN_NEXT;
    }
    chain_around_ended(c, &c->outer, sent, &value);
    if (wf_unlikely(c->handler.there)) {
        chain_around_leave(c, &c->handler);
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
    if (wf_unlikely(c->job != NULL)) {
        leave_job(c);
    }
    return chain_step(c, Py_None, out);
}

/* The handler's coroutine has answered a send or a throw with `sent` and `value` (stolen). */
static PySendResult handler_went_on(struct wf_chain *c, PySendResult sent, PyObject *value,
                                    PyObject **out) {
    if (sent == PYGEN_NEXT) {
        *out = value;
        return PYGEN_NEXT;
    }
    chain_around_ended(c, &c->handler, sent, &value);
    Py_CLEAR(c->result); /* of an Answer that was left alone, too */
    if (value == NULL) {
        chain_fail(c);
    } else {
        Py_CLEAR(c->exc);
        returned(c, value);
    }
    if (wf_unlikely(c->job != NULL)) {
        leave_job(c);
    }
    return chain_step_within(c, Py_None, out);
}

PySendResult chain_step(struct wf_chain *c, PyObject *arg, PyObject **out) {
    if (wf_likely(!c->handler.there || (c->handler.answered && c->handler.coro == NULL))) {
        return chain_step_within(c, arg, out);
    }
    PyObject *value = NULL;
    PySendResult sent = PYGEN_ERROR;
    if (c->handler.coro == NULL && c->call == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the server is closed");
    } else if (c->handler.coro != NULL || chain_call_handler(c) == 0) {
        sent = chain_around_send(&c->handler, arg, &value);
    }
    return handler_went_on(c, sent, value, out);
}

/* A thread cannot be stopped: the generator it works for must not be closed before it is done. */
static PySendResult throw_at_job(struct wf_chain *c, PyObject *exc, PyObject **out) {
    if (c->call != NULL && c->call->timed_out && !wf_chain_needs_thread(c)) {
        wf_job_wake(c->job, NULL); /* it is left to itself */
        Py_CLEAR(c->job);
        wf_err_put(Py_NewRef(exc));
        return PYGEN_ERROR;
    }
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

PySendResult chain_throw_in(struct wf_chain *c, PyObject *exc, PyObject **out) {
    if (wf_likely(c->handler.coro == NULL)) {
        c->handler.answered = true; /* it will not be called */
        return chain_throw_within(c, exc, out);
    }
    PyObject *value;
    PySendResult sent = chain_around_throw(&c->handler, exc, &value);
    return handler_went_on(c, sent, value, out);
}

PySendResult chain_throw_within(struct wf_chain *c, PyObject *exc, PyObject **out) {
    PyObject *value = NULL;
    if (c->inner == NULL) { /* not started */
        wf_err_put(Py_NewRef(exc));
        chain_fail(c);
        advance(c);
        return chain_step_within(c, Py_None, out);
    }
    PySendResult sent =
        c->job != NULL ? throw_at_job(c, exc, &value) : wf_coro_throw(c->inner, exc, &value);
    return go_on(c, sent, value, out);
}
