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
 * weft/signature/ reads the signature (FastAPI's rules for what comes from where) and describes
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

/* How a dependency is called. The words of weft/dependencies.py, in this order. */
enum wf_dependency_kind {
    WF_DEPENDENCY_ASYNC,           /* awaited */
    WF_DEPENDENCY_THREAD,          /* in the thread pool */
    WF_DEPENDENCY_INLINE,          /* on the loop */
    WF_DEPENDENCY_ASYNC_GENERATOR, /* its first item is the value; goes on after the reply */
    WF_DEPENDENCY_THREAD_GENERATOR,
    WF_DEPENDENCY_INLINE_GENERATOR,
    WF_DEPENDENCY_KINDS
};

enum { WF_DEPENDENCIES_MAX = 255 }; /* of one plan, each use counted: indexes fit a byte */

/* One use of a dependency. Those of a plan stand in the order in which they run: each behind those
 * it needs itself, which are `start` to its own index. */
struct wf_dependency {
    struct wf_plan *plan; /* borrowed: the callable and its own parameters */
    uint8_t kind;         /* enum wf_dependency_kind */
    uint8_t value;        /* where in wf_plan_call.values its value is put; uses may share it */
    uint8_t key;          /* where else it is put when nothing is there yet: for uses that share */
    uint8_t parent;       /* index of the use that needs it; that of no use: the endpoint */
    uint8_t start;        /* index of the first use in its tree */
    uint8_t first;        /* `repeat`: the use that this one repeats */
    bool repeat;          /* nothing to be called: the value is there, or `first` was invalid */
    bool shared;          /* not called where the value is there already */
    bool function_scope;  /* a generator: goes on before the reply is sent, not after it */
};

/* What a plan may ask of the request beyond the exchange; made by py/http on first use. Zero it
 * before the call; give up what it owns after it, whatever the outcome. */
struct wf_plan_call {
    struct wf_exchange *ex; /* borrowed */
    PyObject *request;      /* owned, or NULL until a step asks */
    PyObject *response;     /* owned, or NULL: the Response parameter whose headers are merged in */
    PyObject *background;   /* owned, or NULL: the BackgroundTasks parameter */
    PyObject **values;      /* borrowed: what its dependencies gave, by wf_dependency.value */
    PyObject *form; /* owned, or NULL until asked for: wf_form_to_list of the exchange's form */
    /* new reference or NULL; the plan keeps it in `request` or `response` */
    PyObject *(*make_request)(struct wf_plan_call *call);
    PyObject *(*make_response)(struct wf_plan_call *call);
    PyObject *(*make_background)(struct wf_plan_call *call);
    PyObject *parsed; /* owned, or NULL without one: what wf_plan_read found in the body */
    PyObject *shaped; /* owned, or NULL: it found the value of the one step that takes the body */
    bool lenient;     /* a body without content-type is JSON */
    bool read;        /* wf_plan_read was called: the body is in `parsed` or `shaped` */
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

/* Its dependencies, for the caller to run in this order before the plan itself; *n is 0 for a plan
 * that has none. *nvalues, at most WF_DEPENDENCIES_MAX: how many values they have. Borrowed. */
const struct wf_dependency *wf_plan_dependencies(const struct wf_plan *plan, unsigned *n,
                                                 unsigned *nvalues);
/* For a plan with dependencies, before they run: reads the body for all of them, where one wants it.
 * CALLED: go on; INVALID and FAILED as for wf_plan_call. */
enum wf_plan_outcome wf_plan_read(struct wf_plan *plan, struct wf_plan_call *call, PyObject **out);
/* Only looks for errors: CALLED (there are none, *out is NULL), INVALID or FAILED. For a plan whose
 * dependencies were invalid. */
enum wf_plan_outcome wf_plan_check(struct wf_plan *plan, struct wf_plan_call *call, PyObject **out);

/* Handlers of `async def` return a coroutine; the others run in the thread pool. */
bool wf_plan_is_coroutine(const struct wf_plan *plan);
/* May wf_plan_call run Python code of the application before there is a coroutine: pydantic's
 * validators, default factories, a decorator's plain function around an `async def`? */
bool wf_plan_runs_python(const struct wf_plan *plan);
/* Is it an `async def`, bound or not? Calling it runs nothing of it. */
bool wf_plan_is_async_def(PyObject *callable);
/* Would FastAPI parse the request's body as JSON? */
bool wf_plan_body_is_json(const struct wf_plan_call *call);
/* What the route's leaf needs. */
enum wf_body_mode wf_plan_body_mode(const struct wf_plan *plan);

#endif
