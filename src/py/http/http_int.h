/* What the files of py/http share.
 *
 * A call is one exchange while Python has it:
 *
 *   wf_server_next ─▶ call_start ─▶ plan ─▶ endpoint ─┬─ value ──────────────▶ reply ─▶ finish
 *                                     │               ├─ coroutine ─ parked ─▶ reply ─▶ finish
 *                                     │               ├─ thread pool ────────▶ reply ─▶ finish
 *                                     │               └─ exception ─▶ exception handler ─▶ reply
 *                                     └─ invalid ─▶ 422
 * Where the plan has dependencies, chain.c does all that is between start and finish.
 * A StreamingResponse parks the call once more, on the coroutine that pulls its iterator. */
#ifndef WF_PY_HTTP_INT_H
#define WF_PY_HTTP_INT_H

#include "base/list.h"
#include "base/pool.h"
#include "py/form/form.h"
#include "py/http/http.h"
#include "py/json/json.h"
#include "py/loop/pyloop.h"
#include "py/plan/plan.h"
#include "py/state.h"
#include "py/task/task.h"
#include "serve/server.h"

enum wf_endpoint_kind { WF_ENDPOINT_ASYNC, WF_ENDPOINT_THREAD, WF_ENDPOINT_INLINE };

/* A route as the server runs it. Owned by the Server; lives as long as its router. */
struct wf_route {
    struct wf_leaf leaf;
    struct wf_form_config form;
    struct wf_plan *plan;     /* owned */
    PyObject *response_class; /* owned; NULL: values become JSON here */
    PyObject *model; /* owned: called with what the endpoint returned, gives its JSON (bytes), or
                            plain values where there is a response_class; or NULL */
    PyObject
        *shape; /* owned: the output _core.Shape by which its JSON is written where that needs no
                            * model to judge it; NULL: always the model */
    PyObject *text_type; /* owned: bytes, the content-type a str is sent as without making an object
                                 of response_class; NULL where that class renders by itself */
    PyObject *name;      /* owned: "module.function", for the log */
    PyObject *object;    /* owned: what Request._route gives, or NULL */
    PyObject *
        handler; /* owned: its own, called with the request, which stands around dependencies and endpoint in a
                          * chain; or NULL */
    struct wf_fixed_reply fixed; /* once the leaf has it, its spans are in fixed_texts */
    PyObject *fixed_texts;       /* owned: tuple of bytes, or NULL */
    PyObject *params;     /* owned: tuple of (str, type), of all parameters in order, or NULL */
    unsigned shape_flags; /* enum wf_output_flags */
    int status;           /* of a reply made from a value */
    uint32_t index;       /* of its leaf, as in wf_http_static_index */
    uint8_t kind;         /* enum wf_endpoint_kind */
    bool cancel;          /* the endpoint, when its client leaves */
    bool lenient;         /* a body without content-type is JSON */
    bool chained;         /* its plan has dependencies: chain.c */
    bool surrounded;      /* by the server's middleware in Python */
    bool inside; /* its plan is run inside the request's context, since it may run Python code, or
                    since it is recorded */
};

enum wf_call_stage {
    WF_CALL_HANDLER,     /* the endpoint runs */
    WF_CALL_RESCUE,      /* an exception handler runs; what it raises is looked up once more, */
    WF_CALL_RESCUE_MORE, /* and what that one raises is for the last resort */
    WF_CALL_LAST_RESORT, /* that one runs; what it raises is a plain 500 */
    WF_CALL_STREAMING,   /* the head is sent, the iterator is being pulled */
    WF_CALL_AFTER,       /* the reply is complete, a chain goes on */
};

struct wf_http_server;
struct wf_request;
struct wf_writer;
struct wf_job;
struct wf_chain; /* a PyObject */

struct wf_call {
    struct wf_plan_call plan;      /* must stay first: steps get a pointer to it */
    struct wf_http_server *server; /* borrowed: outlives its calls */
    struct wf_route *route;        /* borrowed; NULL for an unrouted request */
    struct wf_http_app *app;       /* borrowed: whose route it is, or would be */
    struct wf_list node;           /* in server->parked while something is waited for */
    PyObject *context;             /* owned: contextvars.Context of this request, or NULL */
    struct wf_task *task;          /* owned: the parked coroutine, or NULL */
    struct wf_chain *chain;   /* owned: what the task runs, where there are dependencies; or NULL */
    PyObject *pull;           /* owned: with a chain, the stream's coroutine on its way there */
    PyObject *what;           /* owned: describe() of a call that has left its exchange */
    struct wf_job *job;       /* borrowed: the endpoint in the thread pool, or NULL */
    PyObject *body_waiter;    /* owned: a Future done at EV_BODY, or NULL */
    struct wf_writer *writer; /* borrowed: knows when it dies; NULL without one */
    PyObject *background;     /* owned: run once the reply is queued, or NULL */
    bool settled;             /* that is of what is inside of a middleware, which may add its own */
    PyObject *body;           /* owned: bytes that the exchange's body lies in where a Request of a
                                 subclass has given them; or NULL */
    PyObject *rescued;        /* owned: the exception a RESCUE handler is answering */
    uint8_t stage;            /* enum wf_call_stage */
    bool of_events;           /* streaming, text/event-stream: it ends when the server drains */
    bool drained;             /* and so it did */
    bool gone;                /* EV_GONE was seen: whatever comes is dropped */
    bool timed_out;           /* it took too long: what it runs has been cancelled */
};

/* An App: the server's own, or one that is mounted. What its routes, and requests to none of them, have in
 * common; `user` of its routers. */
struct wf_http_app {
    PyObject *app;        /* owned */
    PyObject *by_class;   /* owned: dict, exception class -> handler */
    PyObject *by_status;  /* owned: dict, int -> handler */
    PyObject *middleware; /* owned: called with (request, call_next); or NULL */
    PyObject *rescue;     /* owned: weft.middleware.rescue(app, request, exc); with middleware */
    PyObject *overrides;  /* owned: dict, app.dependency_overrides; or NULL */
    PyObject *override;   /* owned: called with a plan: the one to run instead; or NULL */
    struct wf_sessions *sessions; /* borrowed from the server: its own, or NULL */
    struct wf_http_app *outer;    /* borrowed: it is mounted in; NULL for the server's own */
    struct wf_http_app *next;
};

/* applications.c. new: appended to the server's, or NULL with an exception */
struct wf_http_app *wf_http_app_new(struct wf_http_server *s, PyObject *app);
int wf_http_apps_traverse(struct wf_http_server *s, visitproc visit, void *arg);
void wf_http_apps_clear(struct wf_http_server *s);
void wf_http_apps_free(struct wf_http_server *s);
/* Arguments as the methods of _core.Server of these names have them: NULL with an exception. */
PyObject *wf_http_add_mount(struct wf_http_server *s, PyObject *args);
PyObject *wf_http_add_fallback(struct wf_http_server *s, PyObject *args);
PyObject *wf_http_set_exception_handlers(struct wf_http_server *s, PyObject *args);
PyObject *wf_http_set_middleware(struct wf_http_server *s, PyObject *args);
PyObject *wf_http_set_overrides(struct wf_http_server *s, PyObject *args);
/* The router with that index, or NULL with an exception. */
struct wf_router *wf_http_router(struct wf_http_server *s, unsigned index);
static inline struct wf_http_app *wf_http_app_of(const struct wf_router *r) {
    return wf_router_options_of(r)->user;
}

/* static.c: add_static's arguments; owned by the server. */
struct wf_static_leaf;
PyObject *wf_http_add_static(struct wf_http_server *s, PyObject *args);
void wf_http_statics_free(struct wf_http_server *s); /* once the server is gone */
/* Of a leaf without a plan, which add_static made: its place in the order of add_route and add_static. */
uint32_t wf_http_static_index(const struct wf_leaf *leaf);

/* _core.Server */
struct wf_http_server {
    PyObject_HEAD
    struct wf_guest guest;
    struct wf_state *state;    /* borrowed: the type keeps the module */
    struct wf_server *server;  /* owned; NULL after close */
    struct wf_router *router;  /* owned */
    struct wf_layer *recorder; /* borrowed: the server's; NULL where nothing is recorded */
    struct wf_server_config config;
    struct wf_stepper stepper;
    struct wf_pool calls;           /* of struct wf_call */
    struct wf_list parked;          /* of wf_call.node */
    unsigned nleft;                 /* calls that go on without their exchange */
    struct wf_list jobs_done;       /* of wf_job.node, owned: back from the thread pool */
    struct wf_loop *reactor;        /* borrowed: of `loop` */
    struct wf_timer sweep;          /* runs while there is garbage: an idle loop wakes up for it */
    struct wf_release *garbage;     /* bodies the kernel has taken: released with the GIL */
    struct wf_route **routes;       /* owned */
    struct wf_static_leaf *statics; /* owned */
    uint32_t nroutes, routes_cap, nleaves;
    PyObject *loop;           /* owned */
    struct wf_http_app *apps; /* owned: its own App first, then those mounted */
    struct wf_router *
        *routers; /* borrowed from `router`, which is the first; by index of a mount */
    uint32_t nrouters;
    PyObject *request_class;  /* owned: type made for handlers that ask */
    PyObject *response_class; /* owned: type of the injected `response: Response`, or NULL */
    PyObject *layers;         /* owned: list, what the layers' texts are in; goes after `server` */
    PyObject *http_exception; /* owned: weft.exceptions.HTTPException */
    PyObject *validation_error;  /* owned: weft.exceptions.RequestValidationError */
    PyObject *client_disconnect; /* owned: weft.exceptions.ClientDisconnect */
    PyObject *plain_error; /* owned: weft.exceptions.plain, the encoder's fallback for a 422 */
    PyObject *attributes;  /* owned: weft.encoders.attributes, for values that have no JSON form */
    PyObject *sendable_errors;   /* owned: weft.exceptions.sendable, where even that is of no use */
    PyObject *pull;              /* owned: weft._stream.pull(writer, iterator) */
    PyObject *run_background;    /* owned: weft.background.run(background, what, on_error) */
    PyObject *background;        /* owned: set of the tasks of those that run */
    PyObject *forget_background; /* owned: its discard */
    PyObject *submit;            /* owned: the thread pool's submit; made on first use */
    PyObject *logger_error;      /* owned: logging.getLogger("weft.error").error */
    PyObject *on_error;          /* owned: called with an unhandled exception; NULL or a callable */
    PyObject *server_name;       /* owned: bytes behind config.server_name */
    struct wf_sessions *sessions; /* owned: list, what Apps were told of theirs */
    PyObject *networks;           /* owned: bytes behind config.forwarded, or NULL */
    PyObject *root_path;          /* owned: bytes behind config.root_path, or NULL */
    PyObject *fatal; /* owned: a KeyboardInterrupt on its way out of run_forever, or NULL */
    PyObject *weakrefs;
    unsigned long thread; /* the loop's, as of its last turn */
    unsigned busy;        /* how many of our C functions may be calling Python at the moment */
    uint8_t owed;         /* enum wf_owed: what was asked for meanwhile */
    bool started;
    bool draining; /* drain() was called: streams of events have to end */
    bool aborted;  /* everything has to end, whatever routes say */
};

/* Ending the server frees what those functions still look at, so it waits for them. */
enum wf_owed { WF_OWED_NOTHING, WF_OWED_ABORT, WF_OWED_END };
void wf_http_busy(struct wf_http_server *s);
/* Pays what is owed, and raises `fatal`: an exception is set, or not. */
void wf_http_idle(struct wf_http_server *s);

/* _core.Request (its subclass in Python brings __dict__ and __weakref__): reads from the exchange while the call lives, from a copy afterwards. */
struct wf_request {
    PyObject_HEAD
    struct wf_request
        *origin; /* owned: it was made of the scope of that one, which has all that follows but
                                    * body_taken; NULL: it is such a one itself */
    struct wf_call *call;          /* borrowed; NULL once the exchange is finished */
    struct wf_http_server *server; /* owned */
    const char *base;              /* what the offsets count from: the exchange's, or `copy` */
    char *copy;                    /* owned: head bytes, then fields; NULL while the call lives */
    struct wf_head head;
    PyObject *path; /* owned, made on first use, as are the next */
    PyObject *raw_headers;
    PyObject *path_params;
    PyObject *client;
    PyObject *local;
    PyObject *root_path;
    struct wf_http_app *app; /* borrowed from `server` */
    PyObject *session;       /* owned, or NULL before it is asked for */
    struct wf_sessions *
        sessions; /* borrowed from `server`: of layers within middleware, once it has come to them; or
                                     NULL: its App's */
    PyObject *host; /* owned, or NULL: str, as a trusted proxy has it */
    bool https;
    bool session_was_there; /* it came from a cookie */
    bool session_over;      /* its SessionMiddleware has sent it */
    bool body_taken;        /* BUFFER: the one chunk has been handed over */
};
PyObject *wf_request_new(struct wf_plan_call *plan_call); /* wf_plan_call.make_request */
/* The exchange ends: keep what somebody may still read. request  that of the call, or one made of it */
void wf_request_detach(PyObject *request);
static inline struct wf_request *wf_request_origin(PyObject *request) {
    struct wf_request *r = (struct wf_request *)request;
    return wf_likely(r->origin == NULL) ? r : r->origin;
}

/* _core.Response and _core.StreamingResponse */
struct wf_response {
    PyObject_HEAD
    PyObject *status_code;   /* owned, or NULL: an int */
    PyObject *body;          /* owned, or NULL: a buffer */
    PyObject *raw_headers;   /* owned, or NULL: list of (bytes, bytes) */
    PyObject *background;    /* owned, or NULL */
    PyObject *body_iterator; /* owned, or NULL: of StreamingResponse, or of a middleware */
    PyObject *file;          /* owned, or NULL: the path of FileResponse, bytes */
};

/* _core.ReplyWriter: what weft._stream.pull writes to. */
struct wf_writer {
    PyObject_HEAD
    struct wf_call *call; /* borrowed; NULL once the call ended */
    PyObject *waiter;     /* owned: a Future done at EV_DRAINED, or NULL */
    bool wanted;          /* the content goes on the wire */
};
struct wf_writer *wf_writer_new(struct wf_call *call, bool wanted);
void wf_writer_drained(struct wf_writer *w);
/* A chunk of a stream as bytes; *view, whose obj is NULL before, holds them, or the str itself does. 0, or -1 with an
 * exception. */
int wf_chunk_span(PyObject *chunk, Py_buffer *view, struct wf_span *out);
/* The Response (stolen) where nobody else holds it, else a copy: what middleware changes is its own. New reference, or
 * NULL with an exception. */
PyObject *wf_response_alone(PyObject *response);

/* reply.c, reply_response.c, reply_error.c: the result of a handler (borrowed) to a reply. 0: the call may be finished; 1: it is
 * streaming, the call goes on; -1: an exception is set and nothing has been sent. */
int wf_reply_result(struct wf_call *call, PyObject *result);
/* A Response (new reference) of a result: the result itself, or *made of it, which wf_reply_prepared
 * sends. NULL with an exception. */
PyObject *wf_reply_prepare(struct wf_call *call, PyObject *result, bool *made);
int wf_reply_prepared(struct wf_call *call, PyObject *response);
bool wf_is_response(struct wf_state *state, PyObject *o);
/* The inside of a middleware has come to `response`, *made of a value or not: what belongs to it beside (the
 * Response parameter, background) is put into it, or kept for after the reply. 0, or -1 with an exception. */
int wf_reply_settle(struct wf_call *call, PyObject *response, bool made);
/* RequestValidationError(errors, body=...), new reference. */
PyObject *wf_validation_error(struct wf_call *call, PyObject *errors);
int wf_reply_validation(struct wf_call *call, PyObject *errors);  /* 422; same results */
int wf_reply_http_exception(struct wf_call *call, PyObject *exc); /* HTTPException's own reply */

/* observe.c; the server is open. wf_http_record has record()'s arguments: 0 or -1. */
PyObject *wf_http_counters(struct wf_http_server *s);
int wf_http_record(struct wf_http_server *s, PyObject *args);
PyObject *wf_http_recorded(struct wf_http_server *s, PyObject *after);
/* wf_plan_call, or for THREAD wf_plan_bind, with a recorder: it keeps when the arguments were there. */
enum wf_plan_outcome wf_plan_call_recorded(struct wf_plan *plan, struct wf_plan_call *plan_call,
                                           PyObject **out);
/* session.c */
struct wf_sessions;
/* What SessionMiddleware describes: the server's, or NULL with an exception. */
struct wf_sessions *wf_sessions_new(struct wf_http_server *s, PyObject *config);
void wf_sessions_free(struct wf_http_server *s);
PyObject *wf_session_open(struct wf_request *r); /* request.session: new reference */
/* The request comes to a SessionMiddleware within middleware in Python, and leaves it, its session being saved: one
 * that was opened outside is put back; where there was none, that of the inside can still be read. */
struct wf_outer_session {
    PyObject *session; /* owned, or NULL */
    struct wf_sessions *sessions;
    bool was_there;
};
void wf_session_enter(struct wf_request *r, struct wf_sessions *sessions,
                      struct wf_outer_session *outer);
void wf_session_leave(struct wf_request *r, struct wf_outer_session *outer);
int wf_session_save_slow(struct wf_call *call);
/* Before a reply: what a session that was asked for sends along. 0, or -1 with an exception. */
static inline int wf_session_save(struct wf_call *call) {
    PyObject *request = call->plan.request;
    return wf_likely(request == NULL || wf_request_origin(request)->session == NULL)
               ? 0
               : wf_session_save_slow(call);
}

/* config.c: what Server(...) is given, into s->config. 0, or -1 with an exception. */
struct wf_forwarding {
    PyObject *networks; /* borrowed: bytes, one struct wf_network after another; or NULL */
    int anyone, unix_sockets;
    unsigned char fields;
};
void wf_http_set_forwarding(struct wf_http_server *s, const struct wf_forwarding *f);
int wf_http_set_limits(struct wf_server_config *c, PyObject *limits);
int wf_http_set_log_format(struct wf_server_config *c, const char *name);
/* Bytes, or NULL for none. */
void wf_http_set_root_path(struct wf_http_server *s, PyObject *root_path, bool kept);
int wf_http_set_server_name(struct wf_http_server *s, PyObject *name);

/* layers.c: (kind, config, mount) as weft.middleware describes it; the server is open and not started. 0 or -1. */
int wf_http_add_layer(struct wf_http_server *s, PyObject *args);
/* (kind, config) likewise, as the innermost of a list within middleware.
 * sessions  out: those of a SessionMiddleware; else as it was */
struct wf_layers;
int wf_http_add_inner_layer(struct wf_http_server *s, struct wf_layers *layers,
                            struct wf_sessions **sessions, PyObject *args);

/* Is it open, and not started yet? 0, or -1 with RuntimeError.
 * what  that are to be added, in the plural */
int wf_server_takes(const struct wf_http_server *s, const char *what);

/* inner_layers.c: inner_layers()'s arguments, the server being open and not started: _core.Layers, a new reference; or
 * NULL with an exception. */
PyObject *wf_http_inner_layers(struct wf_http_server *s, PyObject *args);

/* encoder.c: the chunks of an iterator, through an encoder (taken, whatever comes): an async iterator, new reference; or
 * NULL with an exception. */
PyObject *wf_encoded(struct wf_http_server *s, PyObject *chunks, struct wf_encoder *encoder);
/* Tells the module which content codings there are: content_codings, a tuple of their names. 0 or -1. */
int wf_http_add_codings(PyObject *module);

/* routes.c: wf_route_add has add_route's arguments; the server is open and not started. 0 or -1. */
int wf_route_add(struct wf_http_server *s, PyObject *args, PyObject *kwargs);
/* From now on the route answers by itself; texts (borrowed) as of struct wf_fixed_reply. 1, 0 where that may
 * not be since there is middleware in Python, or -1 with an exception. */
int wf_route_fix(struct wf_route *route, PyObject *texts);
int wf_routes_traverse(struct wf_http_server *s, visitproc visit, void *arg);
void wf_routes_clear(struct wf_http_server *s); /* once the router is gone */

/* handler.c */
void wf_call_start(struct wf_http_server *s, struct wf_exchange *ex);
void wf_call_event(struct wf_call *call, unsigned events);
/* Has it to end now that the server drains? So it is with a stream of events until its last byte: it has no
 * end of its own to be waited for, and its client comes back by itself. */
bool wf_call_ends_with_drain(const struct wf_call *call);
/* The exception that is set (and stays) may have come out of the call's stream. Where that was cancelled since
 * the server drains, what has been sent is a whole reply: nothing is wrong with it. */
void wf_call_stream_failed(struct wf_call *call);
/* Answers the exception that is set (takes it), by a handler of the app or by default. */
void wf_call_fail(struct wf_call *call);
void wf_call_finish(struct wf_call *call);
PyObject *wf_call_request(struct wf_call *call); /* borrowed, or NULL with an exception */
/* A Response of the redirect or to OPTIONS, new reference; or NULL, as with 404 and 405, whose HTTPException is
 * raised. */
PyObject *wf_call_unrouted(struct wf_call *call);
/* What has ended with this exception (stolen) because the route's time was over: HTTPException(504) in place of
 * CancelledError; any other comes back as it is. New reference. */
PyObject *wf_call_late(struct wf_call *call, PyObject *exc);
/* Gives up the exchange, whose reply is complete, and goes on without it: plan.ex is NULL then. */
void wf_call_leave(struct wf_call *call);
/* What the call waited for, or its endpoint, ended with a value (borrowed). */
void wf_call_returned(struct wf_call *call, PyObject *result);
/* Steps a coroutine (stolen) for the call; `stage` says what its result means. */
void wf_call_step(struct wf_call *call, PyObject *coro, uint8_t stage);

/* chain.c */
struct wf_chain *wf_chain_new(struct wf_call *call, struct wf_plan *plan); /* or NULL, exception */
void wf_chain_cut_off(struct wf_chain *c); /* its call ends before it */
PyObject *
wf_chain_errors(struct wf_chain *c); /* borrowed: list, of a request that is invalid; or NULL */

/* What the route's own handler awaits for its dependencies and its endpoint; new reference, or NULL with an
 * exception. */
PyObject *wf_chain_answer(struct wf_chain *c);
/* It waits for a thread, which nobody can stop, and has to: a generator is taken back only once it has ended. */
bool wf_chain_needs_thread(const struct wf_chain *c);

/* job.c: sync handlers in the thread pool. */
int wf_job_submit(struct wf_call *call, PyObject *callable); /* 0, or -1 with an exception */
/* For a chain; `future` (stolen) is done once the job is. New reference, or NULL with an exception. */
struct wf_job *wf_job_start(struct wf_http_server *s, PyObject *callable, PyObject *context,
                            PyObject *future);
void wf_job_wake(struct wf_job *job, PyObject *future); /* stolen: in place of the one before */
bool wf_job_done(const struct wf_job *job);
PyObject *wf_job_result(struct wf_job *job); /* once done: owned, or NULL with its exception */
PyObject *
wf_jobs_pool(struct wf_http_server *s); /* the pool's submit, borrowed, or NULL with an exception */
void wf_jobs_collect(struct wf_http_server *s);
int wf_jobs_traverse(struct wf_http_server *s, visitproc visit, void *arg); /* of jobs_done */
void wf_job_forget(
    struct wf_call *call); /* the call ends before its job: nobody waits for the result */

/* A body the stream borrows; freed in two steps since release comes without the GIL. */
struct wf_release {
    struct wf_release *next;
    struct wf_http_server *server; /* borrowed: frees its connections before it goes */
    Py_buffer view;
};
void wf_garbage_collect(struct wf_http_server *s);

extern PyType_Spec wf_server_spec, wf_request_spec, wf_response_spec, wf_streaming_spec,
    wf_file_response_spec, wf_writer_spec, wf_job_spec, wf_chain_spec, wf_answer_spec,
    wf_call_next_spec, wf_layers_spec, wf_passage_spec, wf_encoder_spec;

/* Raises an exception of weft.exceptions; `fmt`, as of Py_BuildValue, makes the tuple of its arguments. NULL. */
PyObject *wf_http_raise(const char *name, const char *fmt, ...);

/* future.set_result(None) unless it is done already; failures are reported to the loop. Takes *slot. */
void wf_http_wake(struct wf_http_server *s, PyObject **slot);
/* loop.create_future() */
PyObject *wf_http_future(struct wf_http_server *s);

enum {
    REPLY_FIELDS_MAX = 256,         /* field lines an application may set on one reply */
    REPLY_PLAIN_BYTES_MAX = 1 << 30 /* of a value's JSON or BSON on its way to a Response */
};

#endif
