/* PythonHandler: from a ready exchange to a finished one. http_int.h draws the way. */
#include "py/http/http_int.h"

#include "serve/layer/layer.h"

static PyObject *make_response(struct wf_plan_call *plan_call) {
    struct wf_http_server *s = ((struct wf_call *)plan_call)->server;
    if (s->response_class == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this server has no class for injected responses");
        return NULL;
    }
    PyObject *response = PyObject_CallNoArgs(s->response_class);
    if (response != NULL) { /* until the handler says a status, the route's holds */
        Py_XSETREF(((struct wf_response *)response)->status_code, Py_NewRef(Py_None));
    }
    return response;
}

static PyObject *make_background(struct wf_plan_call *plan_call) {
    struct wf_http_state *http = &((struct wf_call *)plan_call)->server->state->http;
    if (http->background_tasks == NULL) {
        PyObject *module = PyImport_ImportModule("weft.background");
        http->background_tasks =
            module != NULL ? PyObject_GetAttrString(module, "BackgroundTasks") : NULL;
        Py_XDECREF(module);
    }
    return http->background_tasks != NULL ? PyObject_CallNoArgs(http->background_tasks) : NULL;
}

/* Gives the call a context of its own. 0, or -1 with an exception. */
static int call_context(struct wf_call *call) {
    if (call->context == NULL) {
        call->context = PyContext_CopyCurrent();
    }
    return call->context != NULL ? 0 : -1;
}

/* Around what belongs to the request and is called outside of its task. A call that has no context yet,
 * or an entered one (it runs inline), stays where it is. */
static bool enter_context(struct wf_call *call) {
    if (call->context == NULL || PyContext_Enter(call->context) == 0) {
        return call->context != NULL;
    }
    PyErr_Clear();
    return false;
}

static void leave_context(struct wf_call *call, bool entered) {
    if (entered) {
        PyObject *pending = wf_err_take();
        if (PyContext_Exit(call->context) < 0) {
            PyErr_WriteUnraisable(call->context);
        }
        if (pending != NULL) {
            wf_err_put(pending);
        }
    }
}

/* ---- the end ---- */

/* 'GET /path (module.function)', for the log; new reference. */
static PyObject *describe(struct wf_call *call) {
    struct wf_exchange *ex = call->plan.ex;
    if (ex == NULL) {
        return Py_NewRef(call->what != NULL ? call->what : Py_None);
    }
    struct wf_span m = wf_head_span(ex->base, ex->head.method_at);
    PyObject *method = PyUnicode_DecodeLatin1(m.p, (Py_ssize_t)m.n, NULL);
    PyObject *path = PyUnicode_DecodeUTF8(ex->path.p, (Py_ssize_t)ex->path.n, "replace");
    PyObject *what = NULL;
    if (method != NULL && path != NULL) { /* %R: a line break in the path stays on this line */
        what = PyUnicode_FromFormat("%U %R (%V)", method, path,
                                    call->route != NULL ? call->route->name : NULL, "no route");
    }
    Py_XDECREF(path);
    Py_XDECREF(method);
    return what;
}

/* loop.create_task(run(background, what, on_error)), so that neither the reply nor the connection waits for it. It
 * sees the request's context variables. The server keeps the task: asyncio itself does not. */
static void start_background(struct wf_call *call) {
    struct wf_http_server *s = call->server;
    PyObject *background = call->background; /* owned now */
    call->background = NULL;
    bool entered = enter_context(call);
    PyObject *what = describe(call), *coro = NULL, *task = NULL, *added = NULL;
    if (what != NULL) {
        PyObject *args[] = {background, what, s->on_error != NULL ? s->on_error : Py_None};
        coro = PyObject_Vectorcall(s->run_background, args, 3, NULL);
    }
    if (coro != NULL) {
        task = PyObject_CallMethodOneArg(s->loop, s->state->http.str.create_task, coro);
    }
    if (task != NULL && PySet_Add(s->background, task) == 0) {
        added = PyObject_CallMethodOneArg(task, s->state->http.str.add_done_callback,
                                          s->forget_background);
    }
    if (added == NULL) {
        PyObject *exc = wf_err_take();
        wf_pyloop_report(s->loop, "background task could not be started", exc);
        Py_XDECREF(exc);
    }
    Py_XDECREF(added);
    Py_XDECREF(task);
    Py_XDECREF(coro);
    Py_XDECREF(what);
    Py_DECREF(background);
    leave_context(call, entered);
}

/* Everything that knows the exchange lets go of it. */
static void let_go(struct wf_call *call) {
    struct wf_http_server *s = call->server;
    if (wf_unlikely(call->plan.request != NULL)) {
        wf_request_detach(call->plan.request);
        Py_CLEAR(call->plan.request);
    }
    if (wf_unlikely(call->writer != NULL)) {
        call->writer->call = NULL;
        wf_http_wake(s, &call->writer->waiter);
        call->writer = NULL;
    }
    if (wf_unlikely(call->body_waiter != NULL)) {
        wf_http_wake(s, &call->body_waiter);
    }
}

void wf_call_leave(struct wf_call *call) {
    struct wf_exchange *ex = call->plan.ex;
    call->what = describe(call);
    if (call->what == NULL) {
        PyErr_WriteUnraisable(NULL);
    }
    let_go(call);
    call->server->nleft++;
    call->plan.ex = NULL;
    ex->user = NULL;
    wf_exchange_finish(ex);
}

/* The chain has ended, or goes on alone. */
static void drop_chain(struct wf_call *call) {
    wf_chain_cut_off(call->chain);
    call->plan.values = NULL;
    Py_CLEAR(call->chain);
    Py_CLEAR(call->pull);
}

/* What most calls have nothing of; one test for all of it. */
static inline bool has_rare(const struct wf_call *call) {
    return ((uintptr_t)call->plan.request | (uintptr_t)call->plan.response |
            (uintptr_t)call->plan.background | (uintptr_t)call->plan.parsed |
            (uintptr_t)call->plan.shaped | (uintptr_t)call->plan.form | (uintptr_t)call->plan.body |
            (uintptr_t)call->writer | (uintptr_t)call->body_waiter | (uintptr_t)call->job |
            (uintptr_t)call->chain | (uintptr_t)call->background | (uintptr_t)call->rescued |
            (uintptr_t)call->body | (uintptr_t)call->what) != 0;
}

static WF_NOINLINE void give_up_rare(struct wf_call *call) {
    let_go(call);
    if (call->job != NULL) {
        wf_job_forget(call);
    }
    if (call->chain != NULL) {
        drop_chain(call);
    }
    if (call->background != NULL) {
        start_background(call);
    }
    Py_CLEAR(call->what);
    Py_CLEAR(call->plan.response);
    Py_CLEAR(call->plan.background);
    Py_CLEAR(call->plan.parsed);
    Py_CLEAR(call->plan.shaped);
    Py_CLEAR(call->plan.form);
    Py_CLEAR(call->plan.body);
    Py_CLEAR(call->rescued);
    Py_CLEAR(call->body);
}

void wf_call_finish(struct wf_call *call) {
    struct wf_http_server *s = call->server;
    struct wf_exchange *ex = call->plan.ex; /* NULL: it was left */
    WF_ASSERT(!PyErr_Occurred());

    wf_list_remove(&call->node);
    if (wf_unlikely(has_rare(call))) {
        give_up_rare(call);
    }
    Py_CLEAR(call->task);
    Py_CLEAR(call->context);
    wf_pool_give(&s->calls, call);
    if (wf_likely(ex != NULL)) {
        ex->user = NULL;
        wf_exchange_finish(ex);
    } else {
        s->nleft--;
    }
}

/* ---- results ---- */

/* Was it called as a plain function? It may have been an async one in disguise: an object with an async
 * __call__, a decorator's wrapper. */
static bool may_return_coroutine(const struct wf_call *call) {
    return call->stage != WF_CALL_HANDLER || call->route == NULL ||
           call->route->kind != WF_ENDPOINT_ASYNC;
}

static void start_invalid(struct wf_call *call, PyObject *errors);

/* A chain that ends without an exception has replied, or found the request invalid. */
static void chain_ended(struct wf_call *call) {
    PyObject *errors = Py_XNewRef(wf_chain_errors(call->chain));
    if (wf_likely(errors == NULL)) {
        wf_call_finish(call);
        return;
    }
    drop_chain(call);
    start_invalid(call, errors);
    Py_DECREF(errors);
}

/* The coroutine or the thread that the call waited for has ended with a value (borrowed). */
void wf_call_returned(struct wf_call *call, PyObject *result) {
    if (wf_unlikely(call->chain != NULL)) {
        chain_ended(call);
        return;
    }
    if (call->stage == WF_CALL_STREAMING) {
        wf_call_finish(call);
        return;
    }
    if (wf_unlikely(PyCoro_CheckExact(result)) && may_return_coroutine(call)) {
        wf_call_step(call, Py_NewRef(result), call->stage);
        return;
    }
    switch (wf_reply_result(call, result)) {
    case 0:
        wf_call_finish(call);
        break;
    case 1:
        break; /* streaming: the call is parked again, or already finished */
    default:
        wf_call_fail(call);
        break;
    }
}

/* wf_task_done_fn: a parked coroutine has ended. */
static void task_done(void *arg, PyObject *result) {
    struct wf_call *call = arg;
    struct wf_http_server *s = call->server;
    wf_http_busy(s);
    Py_CLEAR(call->task);
    wf_list_remove(&call->node);
    if (result != NULL) {
        wf_call_returned(call, result);
        Py_DECREF(result);
    } else {
        wf_call_fail(call);
    }
    wf_http_idle(s);
}

/* Does what runs for the call end when its client leaves? A stream always does, but for the cleaning up
 * after its last byte. */
static bool ends_with_client(const struct wf_call *call) {
    if (call->server->aborted || call->timed_out) {
        return true;
    }
    if (call->stage >= WF_CALL_STREAMING) {
        return call->stage == WF_CALL_STREAMING && call->plan.ex->reply != WF_REPLY_COMPLETE;
    }
    return call->route == NULL || call->route->cancel;
}

bool wf_call_ends_with_drain(const struct wf_call *call) {
    return call->server->draining && call->of_events && call->stage == WF_CALL_STREAMING &&
           call->plan.ex != NULL && call->plan.ex->reply != WF_REPLY_COMPLETE;
}

static bool has_to_end(const struct wf_call *call) {
    return (call->gone && ends_with_client(call)) || wf_call_ends_with_drain(call);
}

void wf_call_step(struct wf_call *call, PyObject *coro, uint8_t stage) {
    struct wf_http_server *s = call->server;
    call->stage = stage;
    if (wf_unlikely(call_context(call) < 0)) {
        Py_DECREF(coro);
        wf_call_fail(call);
        return;
    }
    bool entered_here = !s->stepper.entered;
    if (wf_unlikely(entered_here) && wf_stepper_enter(&s->stepper) < 0) {
        Py_DECREF(coro);
        wf_call_fail(call);
        return;
    }
    PyObject *result = NULL;
    struct wf_task *task = NULL;
    enum wf_task_outcome outcome =
        wf_task_run(&s->stepper, coro, call->context, task_done, call, &result, &task);
    if (wf_unlikely(entered_here)) {
        wf_stepper_leave(&s->stepper);
    }
    if (wf_likely(outcome == WF_TASK_RETURNED)) {
        wf_call_returned(call, result);
        Py_DECREF(result);
    } else if (outcome == WF_TASK_PARKED) {
        call->task = task;
        wf_list_push(&s->parked, &call->node);
        if (wf_unlikely(has_to_end(call)) && wf_task_cancel(task) < 0) {
            PyErr_WriteUnraisable(NULL);
        }
    } else {
        wf_call_fail(call);
    }
}

/* ---- exceptions ---- */

/* The handler the app registered for this exception: by status for HTTPException, else by class
 * along the MRO, as Starlette looks them up. Those for 500 and Exception are find_last_resort's, and
 * an HTTPException has its own reply before them. New reference, or NULL (no exception set: none;
 * else failed). */
static PyObject *find_rescuer(struct wf_call *call, PyObject *exc) {
    struct wf_http_server *s = call->server;
    const struct wf_http_app *app = call->app;
    PyObject *found = NULL; /* borrowed from the dicts */
    if (PyDict_GET_SIZE(app->by_status) != 0 &&
        PyObject_TypeCheck(exc, (PyTypeObject *)s->http_exception)) {
        PyObject *status = PyObject_GetAttr(exc, s->state->http.str.status_code);
        if (status == NULL) {
            return NULL;
        }
        int overflow;
        if (!PyLong_Check(status) || PyLong_AsLongAndOverflow(status, &overflow) != 500) {
            found = PyDict_GetItemWithError(app->by_status, status);
        }
        Py_DECREF(status);
        if (found != NULL || PyErr_Occurred()) {
            return Py_XNewRef(found);
        }
    }
    if (PyDict_GET_SIZE(app->by_class) == 0) {
        return NULL;
    }
    PyObject *mro = Py_TYPE(exc)->tp_mro; /* borrowed: types keep theirs */
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(mro); i++) {
        PyObject *type = PyTuple_GET_ITEM(mro, i); /* borrowed from the MRO */
        if (type == PyExc_Exception) {
            break;
        }
        found = PyDict_GetItemWithError(app->by_class, type);
        if (found != NULL || PyErr_Occurred() || type == s->http_exception) {
            return Py_XNewRef(found);
        }
    }
    return NULL;
}

/* The handler for what nobody expected: registered for 500 or for Exception. It answers, and the exception
 * is logged all the same, as Starlette's ServerErrorMiddleware does. What is no Exception (sys.exit(), a
 * cancelled handler) is not its affair. */
static PyObject *find_last_resort(struct wf_http_app *app, PyObject *exc) {
    if (!PyErr_GivenExceptionMatches(exc, PyExc_Exception)) {
        return NULL;
    }
    PyObject *key = PyLong_FromLong(500);
    if (key == NULL) {
        return NULL;
    }
    PyObject *found = PyDict_GetItemWithError(app->by_status, key);
    Py_DECREF(key);
    if (found == NULL && !PyErr_Occurred()) {
        found = PyDict_GetItemWithError(app->by_class, PyExc_Exception);
    }
    return Py_XNewRef(found);
}

/* A stream's exception has come through weft._stream: its frames above the user's are taken off. */
static void trim_traceback(struct wf_http_server *s, PyObject *exc) {
    PyObject *ours = PyFunction_GetGlobals(s->pull); /* borrowed */
    PyObject *tb = PyException_GetTraceback(exc);    /* owned, or NULL */
    while (tb != NULL && tb != Py_None) {
        PyObject *globals = PyFrame_GetGlobals(((PyTracebackObject *)tb)->tb_frame);
        Py_DECREF(globals); /* the frame keeps it */
        if (globals != ours) {
            break;
        }
        Py_XSETREF(tb, Py_XNewRef((PyObject *)((PyTracebackObject *)tb)->tb_next));
    }
    if (PyException_SetTraceback(exc, tb != NULL ? tb : Py_None) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(tb);
}

/* logger.error('Exception in %s', what, exc_info=exc) and on_error(exc). */
static void log_exception(struct wf_call *call, PyObject *exc) {
    struct wf_http_server *s = call->server;
    bool entered = enter_context(call); /* log filters look for the request's variables */
    PyObject *what = describe(call), *done = NULL;
    if (call->stage == WF_CALL_STREAMING) {
        trim_traceback(s, exc);
    }
    if (what != NULL) {
        PyObject *args[] = {s->state->http.exception_in, what, exc};
        done = PyObject_Vectorcall(s->logger_error, args, 2, s->state->http.kw_exc_info);
        Py_DECREF(what);
    }
    if (done == NULL) {
        PyErr_WriteUnraisable(s->logger_error);
    }
    Py_XDECREF(done);
    if (s->on_error != NULL) {
        done = PyObject_CallOneArg(s->on_error, exc);
        if (done == NULL) {
            PyErr_WriteUnraisable(s->on_error);
        }
        Py_XDECREF(done);
    }
    leave_context(call, entered);
}

/* The same for what looking for an exception's handler has raised: attributes are user code. */
static void log_raised(struct wf_call *call) {
    PyObject *exc = wf_err_take();
    log_exception(call, exc);
    Py_DECREF(exc);
}

static void plain_500(struct wf_call *call) {
    struct wf_exchange *ex = call->plan.ex;
    if (ex != NULL && ex->reply == WF_REPLY_NONE) {
        (void)wf_reply_send(ex,
                            &(struct wf_reply_head){
                                .status = 500,
                                .content_type = WF_SPAN("text/plain; charset=utf-8"),
                            },
                            WF_SPAN("Internal Server Error"));
    }
    /* A stream already under way is cut short by finish: the client sees that it is not whole. */
    wf_call_finish(call);
}

PyObject *wf_call_request(struct wf_call *call) {
    if (call->plan.request == NULL) {
        call->plan.request = wf_request_new(&call->plan);
    }
    return call->plan.request;
}

/* A plain function may block, so it gets a thread like a plain endpoint does; and a copy of the context, as
 * the task that has raised may not be out of its own yet. */
static void rescue_in_thread(struct wf_call *call, PyObject *rescuer, PyObject *exc) {
    PyObject *functools = PyImport_ImportModule("functools");
    PyObject *bound = functools != NULL ? PyObject_CallMethod(functools, "partial", "OOO", rescuer,
                                                              call->plan.request, exc)
                                        : NULL;
    Py_XDECREF(functools);
    PyObject *context =
        bound != NULL && call_context(call) == 0 ? PyContext_Copy(call->context) : NULL;
    int rc = -1;
    if (context != NULL) {
        Py_SETREF(call->context, context);
        rc = wf_job_submit(call, bound);
    }
    Py_XDECREF(bound);
    if (rc < 0) {
        wf_call_fail(call);
    }
}

/* rescuer(request, exc): its result is the reply. Both borrowed. */
static void rescue(struct wf_call *call, PyObject *rescuer, PyObject *exc, uint8_t stage) {
    call->stage = stage;
    Py_XSETREF(call->rescued, Py_NewRef(exc));
    if (wf_call_request(call) == NULL || call_context(call) < 0) {
        wf_call_fail(call);
        return;
    }
    if (!wf_plan_is_async_def(rescuer)) {
        rescue_in_thread(call, rescuer, exc);
        return;
    }
    PyObject *args[] = {call->plan.request, exc};
    PyObject *coro = PyObject_Vectorcall(rescuer, args, 2, NULL);
    if (coro != NULL) {
        wf_call_step(call, coro, stage);
    } else {
        wf_call_fail(call);
    }
}

/* RequestValidationError's own reply: it has been through the dependencies. 0, or -1. */
static int reply_invalid(struct wf_call *call, PyObject *exc) {
    PyObject *errors = PyObject_CallMethodNoArgs(exc, call->server->state->http.str.errors);
    int rc = errors != NULL ? wf_reply_validation(call, errors) : -1;
    Py_XDECREF(errors);
    return rc;
}

/* By the handler the app has for it, or by HTTPException's own reply. False: there is neither. */
static bool answer_expected(struct wf_call *call, PyObject *exc, uint8_t stage) {
    struct wf_http_server *s = call->server;
    PyObject *rescuer = find_rescuer(call, exc);
    if (rescuer != NULL) {
        rescue(call, rescuer, exc, stage);
        Py_DECREF(rescuer);
        return true;
    }
    if (PyErr_Occurred()) {
        log_raised(call);
        return false;
    }
    bool invalid = PyErr_GivenExceptionMatches(exc, s->validation_error);
    if (!invalid && !PyObject_TypeCheck(exc, (PyTypeObject *)s->http_exception)) {
        return false;
    }
    call->stage = stage;
    if ((invalid ? reply_invalid(call, exc) : wf_reply_http_exception(call, exc)) == 0) {
        wf_call_finish(call);
    } else {
        wf_call_fail(call);
    }
    return true;
}

/* An exception handler has failed: the log shall show what it was handling too. */
static void remember_rescued(struct wf_call *call, PyObject *exc) {
    PyObject *context = PyException_GetContext(exc);
    if (context == NULL && call->rescued != NULL && call->rescued != exc) {
        PyException_SetContext(exc, Py_NewRef(call->rescued)); /* stolen */
    }
    Py_XDECREF(context);
}

/* With a line in the log, by the handler of last resort or a plain 500. */
static void answer_unexpected(struct wf_call *call, PyObject *exc) {
    remember_rescued(call, exc);
    log_exception(call, exc);
    PyObject *rescuer = call->stage < WF_CALL_LAST_RESORT ? find_last_resort(call->app, exc) : NULL;
    if (rescuer != NULL) {
        rescue(call, rescuer, exc, WF_CALL_LAST_RESORT);
        Py_DECREF(rescuer);
        return;
    }
    if (PyErr_Occurred()) {
        log_raised(call);
    }
    plain_500(call);
}

/* The middleware's task goes on, and what was asked of it is done. */
static void uncancel(struct wf_task *task) {
    PyObject *left = task != NULL ? PyObject_CallMethod((PyObject *)task, "uncancel", NULL) : NULL;
    if (task != NULL && left == NULL) {
        PyErr_WriteUnraisable((PyObject *)task);
    }
    Py_XDECREF(left);
}

PyObject *wf_call_late(struct wf_call *call, PyObject *exc) {
    struct wf_http_server *s = call->server;
    if (!call->timed_out || call->gone ||
        !PyErr_GivenExceptionMatches(exc, s->state->task.cancelled_error)) {
        return exc;
    }
    PyObject *late = PyObject_CallFunction(s->http_exception, "i", 504);
    if (late == NULL) {
        Py_DECREF(exc);
        return wf_err_take();
    }
    uncancel(call->task);
    PyException_SetContext(late, exc); /* stolen */
    return late;
}

void wf_call_stream_failed(struct wf_call *call) {
    if (wf_call_ends_with_drain(call) &&
        PyErr_ExceptionMatches(call->server->state->task.cancelled_error)) {
        call->drained = true;
        (void)wf_reply_end(call->plan.ex); /* if that fails, finish cuts it short */
    }
}

void wf_call_fail(struct wf_call *call) {
    struct wf_http_server *s = call->server;
    wf_call_stream_failed(call);
    PyObject *exc = wf_err_take(); /* owned */
    WF_ASSERT(exc != NULL);
    if (wf_unlikely(call->chain != NULL)) {
        drop_chain(call);
    }
    if (PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt)) {
        /* Somebody at the terminal means the whole program. SystemExit does not: a library that calls
         * sys.exit() over one request's input must not take all others down. */
        Py_XSETREF(s->fatal, exc);
        plain_500(call);
        return;
    }
    if (call->gone || (call->plan.ex != NULL && wf_exchange_gone(call->plan.ex))) {
        /* Nobody reads the answer. That a handler ended because of it is what was asked for, and an
         * HTTPException would have been an answer; anything else it raised on its way out is worth a line. */
        if (!PyErr_GivenExceptionMatches(exc, s->client_disconnect) &&
            !PyErr_GivenExceptionMatches(exc, s->http_exception) &&
            !PyErr_GivenExceptionMatches(exc, s->state->task.cancelled_error)) {
            log_exception(call, exc);
        }
        wf_call_finish(call);
        Py_DECREF(exc);
        return;
    }
    if (call->drained && PyErr_GivenExceptionMatches(exc, s->state->task.cancelled_error)) {
        wf_call_finish(call);
        Py_DECREF(exc);
        return;
    }
    exc = wf_call_late(call, exc);
    Py_CLEAR(call->background); /* were for the reply that failed */
    Py_CLEAR(call->plan.response);
    Py_CLEAR(call->plan.background);
    /* Twice, as Starlette looks for a handler around the endpoint and around the router. */
    if (call->stage >= WF_CALL_RESCUE_MORE || !answer_expected(call, exc, call->stage + 1)) {
        answer_unexpected(call, exc);
    }
    Py_DECREF(exc);
}

/* ---- the beginning ---- */

/* A Response without content but for one field: new reference. */
static PyObject *response_with(struct wf_http_server *s, int status, const char *name,
                               struct wf_span value) {
    PyObject *fields = Py_BuildValue("{s:s#}", name, value.p, (Py_ssize_t)value.n);
    PyObject *response =
        fields != NULL && s->response_class != NULL
            ? PyObject_CallFunction(s->response_class, "OiO", Py_None, status, fields)
            : NULL;
    Py_XDECREF(fields);
    return response;
}

PyObject *wf_call_unrouted(struct wf_call *call) {
    struct wf_exchange *ex = call->plan.ex;
    if (ex->route == WF_ROUTE_SLASH) {
        struct wf_span location = wf_slash_location(ex);
        return location.p != NULL ? response_with(call->server, 307, "location", location)
                                  : PyErr_NoMemory();
    }
    if (ex->route == WF_ROUTE_OPTIONS) {
        char allow[WF_ALLOW_CHARS_MAX];
        size_t n = wf_allow_write(allow, ex->match.allow);
        return response_with(call->server, 200, "allow", wf_span(allow, n));
    }
    int status = ex->route == WF_ROUTE_METHOD ? 405 : ex->route == WF_ROUTE_UNREADABLE ? 401 : 404;
    struct wf_span reason = wf_status_reason(status);
    PyObject *headers = NULL, *exc = NULL;
    if (status == 405) {
        char allow[WF_ALLOW_CHARS_MAX];
        size_t n = wf_allow_write(allow, ex->match.allow);
        headers = Py_BuildValue("{s:s#}", "Allow", allow, (Py_ssize_t)n);
    } else {
        headers = Py_NewRef(Py_None);
    }
    if (headers != NULL) {
        exc = PyObject_CallFunction(call->server->http_exception, "is#O", status, reason.p,
                                    (Py_ssize_t)reason.n, headers);
        Py_DECREF(headers);
    }
    if (exc != NULL) {
        wf_err_put(exc);
    }
    return NULL;
}

static void start_chain(struct wf_call *call);

/* A request no route takes, for apps that answer 404 and 405 themselves: HTTPException into their handler. */
static void start_unrouted(struct wf_call *call) {
    if (call->app->middleware != NULL) {
        start_chain(call);
        return;
    }
    call->stage = WF_CALL_RESCUE; /* there is no endpoint: one look-up less */
    (void)wf_call_unrouted(call); /* 404 or 405: redirects are C's where there is no middleware */
    wf_call_fail(call);
}

static void start_invalid(struct wf_call *call, PyObject *errors) {
    switch (wf_reply_validation(call, errors)) {
    case 0:
        wf_call_finish(call);
        break;
    case 1:
        break;
    default:
        wf_call_fail(call);
        break;
    }
}

typedef enum wf_plan_outcome plan_fn(struct wf_plan *, struct wf_plan_call *, PyObject **);

/* Runs the plan inside the request's context. */
static enum wf_plan_outcome run_inside(struct wf_call *call, plan_fn *run, PyObject **out) {
    if (wf_unlikely(call->server->recorder != NULL)) {
        wf_record_at(call->plan.ex, WF_AT_TAKEN);
        run = wf_plan_call_recorded;
    }
    if (call_context(call) < 0 || PyContext_Enter(call->context) < 0) {
        return WF_PLAN_FAILED;
    }
    enum wf_plan_outcome outcome = run(call->route->plan, &call->plan, out);
    leave_context(call, true);
    return outcome;
}

/* A plain function around an `async def` may have made something else of the coroutine, a Future for
 * example. New reference: the coroutine that awaits it. */
static PyObject *awaited(PyObject *awaitable) {
    PyObject *routing = PyImport_ImportModule("weft.routing");
    PyObject *coro =
        routing != NULL ? PyObject_CallMethod(routing, "awaited", "O", awaitable) : NULL;
    Py_XDECREF(routing);
    return coro;
}

static bool is_awaitable(PyObject *o) {
    const PyAsyncMethods *async = Py_TYPE(o)->tp_as_async;
    return async != NULL && async->am_await != NULL;
}

/* The plan has been run; out is stolen: what the endpoint returned, or for THREAD what to call. */
static void called(struct wf_call *call, PyObject *out) {
    const struct wf_route *route = call->route;
    if (wf_likely(route->kind == WF_ENDPOINT_ASYNC)) {
        if (wf_unlikely(!PyCoro_CheckExact(out)) && is_awaitable(out)) {
            Py_SETREF(out, awaited(out));
        }
        if (wf_unlikely(out == NULL)) {
            wf_call_fail(call);
            return;
        }
        if (wf_likely(PyCoro_CheckExact(out))) {
            wf_call_step(call, out, WF_CALL_HANDLER);
            return;
        }
    }
    if (route->kind == WF_ENDPOINT_THREAD) {
        if (call_context(call) < 0 || wf_job_submit(call, out) < 0) {
            wf_call_fail(call);
        }
    } else {
        wf_call_returned(call, out);
    }
    Py_DECREF(out);
}

/* The plan with app.dependency_overrides in place of what they stand for: new reference, or NULL. */
static struct wf_plan *find_plan(struct wf_call *call) {
    const struct wf_http_app *app = call->app;
    PyObject *plan = (PyObject *)call->route->plan;
    if (wf_likely(app->overrides == NULL || PyDict_GET_SIZE(app->overrides) == 0)) {
        return (struct wf_plan *)Py_NewRef(plan);
    }
    PyObject *other = PyObject_CallOneArg(app->override, plan);
    if (other != NULL && !Py_IS_TYPE(other, Py_TYPE(plan))) {
        PyErr_Format(PyExc_TypeError, "an override gave %R, not a plan", other);
        Py_CLEAR(other);
    }
    return (struct wf_plan *)other;
}

static void start_chain(struct wf_call *call) {
    if (wf_unlikely(call->server->recorder != NULL)) {
        wf_record_at(call->plan.ex, WF_AT_TAKEN);
    }
    struct wf_plan *plan = call->route != NULL ? find_plan(call) : NULL;
    if (wf_likely(plan != NULL || call->route == NULL)) {
        call->chain = wf_chain_new(call, plan);
    }
    Py_XDECREF((PyObject *)plan);
    if (wf_likely(call->chain != NULL)) {
        wf_call_step(call, Py_NewRef((PyObject *)call->chain), WF_CALL_HANDLER);
    } else {
        wf_call_fail(call);
    }
}

void wf_call_start(struct wf_http_server *s, struct wf_exchange *ex) {
    struct wf_call *call = wf_pool_take(&s->calls);
    if (wf_unlikely(call == NULL)) {
        (void)wf_reply_error(ex, 503, WF_SPAN(""));
        wf_exchange_finish(ex);
        return;
    }
    *call = (struct wf_call){
        .plan = {.ex = ex,
                 .make_request = wf_request_new,
                 .make_response = make_response,
                 .make_background = make_background},
        .server = s,
    };
    wf_list_init(&call->node);
    call->app = wf_http_app_of(ex->match.router);
    ex->user = call;
    if (wf_unlikely(ex->match.leaf == NULL)) {
        start_unrouted(call);
        return;
    }
    struct wf_route *route = call->route =
        wf_container_of(ex->match.leaf, struct wf_route, leaf); /* the leaf is ours, made mutable */
    call->plan.lenient = route->lenient;

    if (wf_unlikely(route->chained)) {
        start_chain(call);
        return;
    }
    PyObject *out = NULL;
    enum wf_plan_outcome outcome;
    if (wf_unlikely(route->inside)) {
        outcome =
            run_inside(call, route->kind == WF_ENDPOINT_THREAD ? wf_plan_bind : wf_plan_call, &out);
    } else if (wf_unlikely(route->kind == WF_ENDPOINT_THREAD)) {
        outcome = wf_plan_bind(route->plan, &call->plan, &out);
    } else {
        outcome = wf_plan_call(route->plan, &call->plan, &out);
    }
    if (wf_likely(outcome == WF_PLAN_CALLED)) {
        called(call, out);
    } else if (outcome == WF_PLAN_INVALID) {
        start_invalid(call, out);
        Py_DECREF(out);
    } else {
        wf_call_fail(call);
    }
}

/* The route's time is over, and nothing is sent yet. A thread cannot be stopped: alone it is left to itself, as at
 * the server's end; beneath generators, which have to wait for it, the server answers for them. */
static void timed_out(struct wf_call *call) {
    struct wf_http_server *s = call->server;
    call->timed_out = true;
    if (call->job != NULL) {
        PyObject *context =
            PyContext_Copy(call->context); /* the thread is inside of the one there is */
        wf_job_forget(call);
        wf_list_remove(&call->node);
        if (context != NULL) {
            Py_SETREF(call->context, context);
            PyErr_SetNone(s->state->task.cancelled_error); /* as if it had been */
        }
        wf_call_fail(call);
    } else if (call->chain != NULL && wf_chain_needs_thread(call->chain)) {
        wf_exchange_time_out(call->plan.ex);
    } else if (call->task != NULL && wf_task_cancel(call->task) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
}

/* Something happened to a call that Python has: body, drained, too late, gone. */
void wf_call_event(struct wf_call *call, unsigned events) {
    struct wf_http_server *s = call->server;
    if (events & WF_EV_GONE) {
        call->gone = true;
        call->timed_out |= (events & WF_EV_TIMEOUT) != 0;
        events |= WF_EV_BODY | WF_EV_DRAINED; /* nobody shall wait for what cannot come */
    }
    if (events & WF_EV_BODY && call->body_waiter != NULL) {
        wf_http_wake(s, &call->body_waiter);
    }
    if (events & WF_EV_DRAINED && call->writer != NULL) {
        wf_writer_drained(call->writer);
    }
    /* Last: a future of somebody else's making may run the task as it is cancelled, and end the call. */
    if (events & WF_EV_GONE && call->task != NULL && ends_with_client(call) &&
        wf_task_cancel(call->task) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
    if ((events & (WF_EV_TIMEOUT | WF_EV_GONE)) == WF_EV_TIMEOUT &&
        call->plan.ex->reply == WF_REPLY_NONE) {
        timed_out(call);
    }
}
