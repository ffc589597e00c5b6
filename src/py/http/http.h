/* py/http: the C server as a guest of PyLoop, and what a handler sees of it: Request, Response, Server.
 *
 * thread   the loop's, with the GIL, unless said otherwise */
#ifndef WF_PY_HTTP_H
#define WF_PY_HTTP_H

#include "py/own.h"

struct wf_state;

/* Attribute and keyword names looked up while requests run, interned once. */
/* clang-format off */
#define WF_HTTP_NAMES(X) \
    X(background) X(body) X(body_iterator) X(content) X(detail) X(errors) X(exc_info) X(headers) \
    X(items) X(media_type) X(raw_headers) X(set_result) X(done) X(status_code) X(modified) X(submit) X(error) \
    X(create_task) X(create_future) X(call_soon) X(close) X(add_done_callback) X(cancel) \
    X(__next__) X(throw) X(athrow) X(aclose)
/* clang-format on */

struct wf_http_state {
    PyTypeObject *server_type;    /* owned: _core.Server */
    PyTypeObject *request_type;   /* owned: _core.Request, the base of weft.Request */
    PyTypeObject *response_type;  /* owned: _core.Response, the base of weft.Response */
    PyTypeObject *streaming_type; /* owned: _core.StreamingResponse */
    PyTypeObject *file_type;      /* owned: _core.FileResponse */
    PyTypeObject *writer_type;    /* owned: _core.ReplyWriter */
    PyTypeObject *job_type;       /* owned: a sync handler on its way through the thread pool */
    PyTypeObject *chain_type;     /* owned: the coroutine of a request with dependencies */
    PyTypeObject *call_next_type, *answer_type; /* owned: what a middleware gets, and awaits */
    PyTypeObject *layers_type,
        *passage_type;          /* owned: layers within middleware, and its coroutine */
    PyTypeObject *encoder_type; /* owned: _core.Encoder */
    PyObject
        *background_tasks; /* owned: weft.background.BackgroundTasks, or NULL before the first */
    /* owned: keyword names of a vectorcall */
    PyObject *kw_body, *kw_exc_info, *kw_status_code;
    PyObject *exception_in;   /* owned: 'Exception in %s', what the log says */
    PyObject *json_field;     /* owned: the field content-type of JSON, (name, value) in bytes */
    PyObject *content_length; /* owned: bytes, the name of the field */
    struct wf_http_names {
#define X(name) PyObject *name; /* owned */
        WF_HTTP_NAMES(X)
#undef X
    } str;
};
int wf_http_exec(PyObject *module, struct wf_state *state);
int wf_http_traverse(struct wf_http_state *s, visitproc visit, void *arg);
void wf_http_clear(struct wf_http_state *s);

#endif
