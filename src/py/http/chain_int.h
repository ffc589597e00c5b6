/* What the files of a chain share: chain.c has the order of it, chain_dependencies.c both halves of dependencies,
 * chain_type.c the coroutine type, call_next.c what a middleware steps it with, coroutine.c what any coroutine
 * in C needs. */
#ifndef WF_PY_HTTP_CHAIN_INT_H
#define WF_PY_HTTP_CHAIN_INT_H

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

/* What stands around a part of the chain, which it steps from inside of itself, by awaiting an Answer: middleware in
 * Python, around all that comes before the reply; and the route's own handler, around dependencies and endpoint. */
struct wf_around {
    PyObject *coro; /* owned: its coroutine, or NULL */
    PyObject
        *stepper;  /* owned: another task that awaits the Answer, as of asyncio.wait_for; or NULL */
    bool there;    /* there is one, or there was */
    bool running;  /* its coroutine is being stepped */
    bool asked;    /* it has got its Answer */
    bool stepping; /* within that */
    bool answered; /* that has returned or raised, or is of no use any more */
};

struct wf_chain {
    PyObject_VAR_HEAD struct wf_call *call;   /* borrowed; NULL once the server has cut it off */
    struct wf_http_server *server;            /* owned */
    struct wf_http_app *app;                  /* borrowed from server */
    struct wf_plan *plan;                     /* owned */
    const struct wf_dependency *dependencies; /* borrowed from plan */
    uint8_t ndependencies, next;              /* next: to be run */
    uint8_t nvalues, nexits;
    uint8_t at, waits; /* enum at, enum waits */
    uint8_t exit;      /* index of the dependency whose exit runs */
    bool running;      /* within send or throw */
    bool rescued;      /* the app's exception handlers have been asked */
    bool left; /* what was around it has ended while a thread worked, whose work nobody waits for */
    bool prepared;            /* `result` is a Response made of what the endpoint returned */
    struct wf_around outer;   /* middleware in Python */
    struct wf_around handler; /* the route's own */
    PyObject *inner;          /* owned: what is awaited, or NULL */
    PyObject *generator;      /* owned: whose half is being run, or NULL */
    struct wf_job *job;       /* owned: in the thread pool; `inner` waits for it; or NULL */
    PyObject *cancelled; /* owned: came while a thread worked: raised when it is done; or NULL */
    PyObject *exc;       /* owned: being thrown into the exits, or NULL */
    PyObject *result;    /* owned: the endpoint's, or NULL */
    PyObject *errors;    /* owned: list, what is wrong with the request, or NULL */
    uint8_t *exits;      /* of the block: indexes of the dependencies that were entered, in order */
    bool *invalid;       /* of the block, by index of a dependency, behind them the endpoint */
    PyObject *slots[];   /* owned: values by wf_dependency.value, then generators as in `exits`;
                             then the block of bytes above */
};

/* ---- chain.c ---- */

/* Takes the exception that is set, in place of one before it: from now on there are only exits. */
void chain_fail(struct wf_chain *c);
void chain_fail_with(struct wf_chain *c, PyObject *type, const char *message);

/* awaitable  stolen, or NULL with an exception: `inner` is NULL then, and the exception still set */
void chain_wait_for(struct wf_chain *c, PyObject *awaitable, enum waits waits);
/* callable  stolen, or NULL with an exception: called in the thread pool, in a copy of the context */
void chain_run_in_thread(struct wf_chain *c, PyObject *callable, enum waits waits);
/* What was waited for has ended: with a value (stolen), or NULL and an exception is set. */
void chain_got(struct wf_chain *c, PyObject *value);

/* Steps what is inside of the middleware, or after it; answers as PyIter_Send does, as do all of these. */
PySendResult chain_step(struct wf_chain *c, PyObject *arg, PyObject **out);
/* Throws an exception (borrowed) into what is awaited there. */
PySendResult chain_throw_in(struct wf_chain *c, PyObject *exc, PyObject **out);
/* The same for what is inside of the route's handler, or after it. */
PySendResult chain_step_within(struct wf_chain *c, PyObject *arg, PyObject **out);
PySendResult chain_throw_within(struct wf_chain *c, PyObject *exc, PyObject **out);
/* The middleware's coroutine has answered a send or a throw with `sent` and `value` (stolen). */
PySendResult chain_outer_went_on(struct wf_chain *c, PySendResult sent, PyObject *value,
                                 PyObject **out);

/* ---- chain_dependencies.c ---- */

void chain_run_dependency(struct wf_chain *c); /* the one that is next */
/* A value (stolen) for the dependency that is next. */
void chain_keep_value(struct wf_chain *c, PyObject *value);
/* The first half of `generator` has been run. */
void chain_keep_generator(struct wf_chain *c);
/* Looks for errors of one plan. 0, or -1: the chain has failed. */
int chain_check(struct wf_chain *c, struct wf_plan *plan);
/* More errors (stolen) of a dependency, or of the endpoint. */
void chain_keep_errors(struct wf_chain *c, PyObject *errors);

/* Exits that come before the reply, or any. */
bool chain_has_exits(const struct wf_chain *c, bool function_scope);
/* Starts the second half of the generator entered last, of those of the function's scope or of any.
 * False: there is none. */
bool chain_start_exit(struct wf_chain *c, bool function_scope);
void chain_refuse_item(struct wf_chain *c); /* it has yielded once more */
/* An exit has ended as generators do, with an exception (set), as contextlib judges it. */
void chain_exited(struct wf_chain *c);

/* ---- call_next.c ---- */

/* Steps its coroutine, or throws an exception (borrowed) into it, as PyIter_Send answers. */
PySendResult chain_around_send(struct wf_around *around, PyObject *arg, PyObject **value);
PySendResult chain_around_throw(struct wf_around *around, PyObject *exc, PyObject **value);
/* It is of no use any more: another task that still awaits its Answer is cancelled. */
void chain_around_leave(struct wf_chain *c, struct wf_around *around);
/* It has answered with `sent` and *value (owned), and so has ended: what is no Response is a TypeError. */
void chain_around_ended(struct wf_chain *c, struct wf_around *around, PySendResult sent,
                        PyObject **value);
/* Calls the middleware with the request (borrowed) and a call_next: its coroutine becomes `outer`. 0, or -1 with
 * an exception. */
int chain_surround(struct wf_chain *c, PyObject *request);
/* Calls the route's own handler, whose coroutine becomes `handler`. 0, or -1 with an exception. */
int chain_call_handler(struct wf_chain *c);

/* ---- coroutine.c ---- */

bool coro_is_awaitable(PyObject *o);
/* What PyIter_Send takes in order to await `o`; new reference or NULL. */
PyObject *coro_iterator(PyObject *o);
/* The exception that throw() was called with, new reference; NULL with an exception. */
PyObject *coro_thrown(PyObject *args);
PyObject *coro_await(PyObject *self); /* am_await of what is its own iterator */

#endif
