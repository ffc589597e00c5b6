/* Plans: a handler's signature compiled to steps that run straight into a vectorcall argument
 * array.
 *
 *   def f(item_id: int, q: str | None = None, *, limit: Annotated[int, Query(le=100)] = 10)
 *
 *   step  from          conversion     slot          default
 *   0     path[0]       int            args[0]       -
 *   1     query "q"     str            args[1]       None
 *   2     query "limit" int, le=100    args[2] (kw)  10
 *
 * weft/signature.py reads the signature (FastAPI's rules for what comes from where) and describes
 * each step; _core.Plan(...) compiles the description; wf_plan_call runs it for one request.
 *
 * thread   with the GIL; a plan is read-only once made */
#ifndef WF_PY_PLAN_H
#define WF_PY_PLAN_H

#include "py/own.h"
#include "serve/exchange.h"

struct wf_state;

struct wf_plan_state {
    PyTypeObject *plan_type;   /* owned: _core.Plan */
    PyObject *deepcopy;        /* owned: copy.deepcopy, for defaults that a handler could change */
    PyObject *partial;         /* owned: functools.partial, for wf_plan_bind */
    PyObject *uuid_fields;     /* owned: ("int", "is_safe"), interned */
    PyObject *safe_unknown;    /* owned: uuid.SafeUUID.unknown, or NULL before the first UUID */
    PyObject *handed_keywords; /* owned: ("from_attributes",), for pydantic */
    PyObject *key_type, *key_loc, *key_msg, *key_input, *key_ctx; /* owned, interned */
    void *datetime; /* PyDateTime_CAPI, static in CPython; or NULL before the first date */
};
int wf_plan_exec(PyObject *module, struct wf_state *state);
int wf_plan_traverse(struct wf_plan_state *s, visitproc visit, void *arg);
void wf_plan_clear(struct wf_plan_state *s);

struct wf_plan; /* a PyObject */

/* What a plan may ask of the request beyond the exchange; made by py/http on first use. Zero it
 * before the call; give up request, response and body after it, whatever the outcome. */
struct wf_plan_call {
    struct wf_exchange *ex; /* borrowed */
    PyObject *request;      /* owned, or NULL until a step asks */
    PyObject *response;     /* owned, or NULL: the Response parameter whose headers are merged in */
    /* new reference or NULL; the plan keeps it in `request` or `response` */
    PyObject *(*make_request)(struct wf_plan_call *call);
    PyObject *(*make_response)(struct wf_plan_call *call);
    PyObject
        *body; /* owned, or NULL without one: what the body held, for RequestValidationError.body */
};

enum wf_plan_outcome {
    WF_PLAN_FAILED = -1, /* an exception is set: the handler's, out of memory, or HTTPException(400)
                            for a body that is not text */
    WF_PLAN_CALLED = 0,  /* *out: what the handler returned, owned (a coroutine for async def) */
    WF_PLAN_INVALID =
        1 /* *out: list of error dicts {type, loc, msg, input[, ctx]}, owned: answer 422 */
};
/* Extracts, converts, and calls the endpoint. */
enum wf_plan_outcome wf_plan_call(struct wf_plan *plan, struct wf_plan_call *call, PyObject **out);

/* The same without calling, for the thread pool: *out is a new reference to a callable that takes
 * no arguments. */
enum wf_plan_outcome wf_plan_bind(struct wf_plan *plan, struct wf_plan_call *call, PyObject **out);

/* Handlers of `async def` return a coroutine; the others run in the thread pool. */
bool wf_plan_is_coroutine(const struct wf_plan *plan);
/* May wf_plan_call run Python code of the application before there is a coroutine: pydantic's
 * validators, default factories, a decorator's plain function around an `async def`? */
bool wf_plan_runs_python(const struct wf_plan *plan);
/* Is it an `async def`, bound or not? Calling it runs nothing of it. */
bool wf_plan_is_async_def(PyObject *callable);
/* What the route's leaf needs. */
enum wf_body_mode wf_plan_body_mode(const struct wf_plan *plan);

#endif
