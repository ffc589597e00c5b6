/* Plans: a handler's signature compiled to steps that run straight into a vectorcall argument array.
 *
 * weft/params.py reads the signature (FastAPI's rules for what comes from where) and describes each
 * parameter; _core.Plan(...) compiles the description; wf_plan_call runs it for one request.
 *
 * thread   with the GIL; a plan is read-only once made */
#ifndef WF_PY_PLAN_H
#define WF_PY_PLAN_H

#include "py/own.h"
#include "serve/exchange.h"

struct wf_state;

struct wf_plan_state {
    PyTypeObject *plan_type; /* owned: _core.Plan */
};
int wf_plan_exec(PyObject *module, struct wf_state *state);
int wf_plan_traverse(struct wf_plan_state *s, visitproc visit, void *arg);
void wf_plan_clear(struct wf_plan_state *s);

struct wf_plan; /* a PyObject */

/* What a plan may ask of the request beyond the exchange; made by py/http on first use. */
struct wf_plan_call {
    struct wf_exchange *ex;      /* borrowed */
    PyObject *request;           /* owned, or NULL until a step asks */
    PyObject *response;          /* owned, or NULL: the Response parameter whose headers are merged in */
    PyObject *(*make_request)(struct wf_plan_call *call);  /* new reference or NULL */
    PyObject *(*make_response)(struct wf_plan_call *call);
};

enum wf_plan_outcome {
    WF_PLAN_FAILED = -1, /* an exception is set: the handler's, or out of memory */
    WF_PLAN_CALLED = 0,  /* *out: what the handler returned, owned (a coroutine for async def) */
    WF_PLAN_INVALID = 1  /* *out: list of error dicts {type, loc, msg, input[, ctx]}, owned: answer 422 */
};
/* Extracts, converts, and calls the endpoint. */
enum wf_plan_outcome wf_plan_call(struct wf_plan *plan, struct wf_plan_call *call, PyObject **out);

/* The same without calling: *callable gets functools.partial-like bound arguments for the thread pool:
 * a new reference to a callable that takes no arguments. */
enum wf_plan_outcome wf_plan_bind(struct wf_plan *plan, struct wf_plan_call *call, PyObject **out);

#endif
