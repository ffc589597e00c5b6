/* Replies: what a handler returned, on its way into the connection's output buffer. */
#include "py/http/http_int.h"

#include <errno.h>
#include <unistd.h>

#include "base/num.h"
#include "wire/headers/headers.h"

enum {
    REPLY_BORROW_BYTES = 32 * 1024 /* a longer body is referenced, not copied */
};

static const struct wf_span json_type = {"application/json", 16};

/* 0 where the reply is on its way or nobody is there to read it; -1 with an exception. */
int wf_reply_status(int rc, const char *what) {
    switch (rc) {
    case WF_REPLY_OK:
    case WF_REPLY_WAIT:
    case WF_REPLY_GONE:
        return 0;
    case WF_REPLY_NOMEM:
        PyErr_NoMemory();
        return -1;
    default:
        PyErr_Format(
            PyExc_ValueError,
            "%s cannot be sent: a header name is not a token, a header value has a line break "
            "or control character, or the status is not between 200 and 599",
            what);
        return -1;
    }
}

/* ---- header lists ---- */

struct fields {
    struct wf_reply_field list[REPLY_FIELDS_MAX + 1]; /* and Vary */
    uint32_t n;
};

static int bytes_span(PyObject *o, struct wf_span *out) {
    if (!PyBytes_Check(o)) {
        PyErr_Format(PyExc_TypeError, "raw_headers must be pairs of bytes, not %.100s",
                     Py_TYPE(o)->tp_name);
        return -1;
    }
    *out = wf_span(PyBytes_AS_STRING(o), (size_t)PyBytes_GET_SIZE(o));
    return 0;
}

/* Collects a list of (bytes, bytes). The spans are good as long as the list is not changed: between
 * here and the head's writing no Python code may run. */
static int collect_fields(struct fields *f, PyObject *raw_headers) {
    if (raw_headers == NULL || raw_headers == Py_None) {
        return 0;
    }
    if (!PyList_Check(raw_headers)) {
        PyErr_SetString(PyExc_TypeError, "raw_headers must be a list");
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(raw_headers); i++) {
        PyObject *pair = PyList_GET_ITEM(raw_headers, i); /* borrowed from the list */
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "raw_headers must be a list of (name, value) tuples");
            return -1;
        }
        if (f->n == REPLY_FIELDS_MAX) {
            PyErr_Format(PyExc_ValueError, "a reply has at most %d header fields",
                         REPLY_FIELDS_MAX);
            return -1;
        }
        struct wf_reply_field *field = &f->list[f->n];
        if (bytes_span(PyTuple_GET_ITEM(pair, 0), &field->name) < 0 ||
            bytes_span(PyTuple_GET_ITEM(pair, 1), &field->value) < 0) {
            return -1;
        }
        f->n++;
    }
    return 0;
}

static const struct wf_reply_field *find_field(const struct fields *f, struct wf_span lower) {
    for (uint32_t i = 0; i < f->n; i++) {
        if (wf_span_eq_lower(f->list[i].name, lower)) {
            return &f->list[i];
        }
    }
    return NULL;
}

/* The content-length an application states, or -1. */
static int64_t stated_length(const struct fields *f) {
    const struct wf_reply_field *field = find_field(f, WF_SPAN("content-length"));
    struct wf_span v = field != NULL ? field->value : WF_SPAN("");
    int64_t n = 0;
    for (size_t k = 0; k < v.n; k++) {
        if (v.p[k] < '0' || v.p[k] > '9' || n > INT64_MAX / 10 - 1) {
            return -1;
        }
        n = n * 10 + (v.p[k] - '0');
    }
    return v.n != 0 ? n : -1;
}

/* Is it text/event-stream, whatever its parameters? */
static bool is_of_events(const struct fields *f) {
    const struct wf_span media = WF_SPAN("text/event-stream");
    const struct wf_reply_field *field = find_field(f, WF_SPAN("content-type"));
    struct wf_span type = field != NULL ? field->value : WF_SPAN("");
    return type.n >= media.n && wf_span_eq_lower(wf_span(type.p, media.n), media) &&
           (type.n == media.n || type.p[media.n] == ';' || type.p[media.n] == ' ');
}

/* Puts the fields into the head. A content-type among them is the only one. */
static void set_fields(struct wf_reply_head *head, const struct fields *f) {
    head->fields = f->list;
    head->nfields = f->n;
    if (!wf_status_has_body(head->status) || find_field(f, WF_SPAN("content-type")) != NULL) {
        head->content_type = WF_SPAN("");
    }
}

/* The status a Response says, or `status` where it says none; 0, which cannot be sent, for what is
 * none. */
static int status_of(const struct wf_response *r, int *status) {
    if (r->status_code == NULL || r->status_code == Py_None) {
        return 0;
    }
    int overflow; /* __index__ may run: the fields are collected later */
    long code = PyLong_AsLongAndOverflow(r->status_code, &overflow);
    if (code == -1 && PyErr_Occurred()) {
        return -1;
    }
    *status = overflow != 0 || code < 0 || code > 999 ? 0 : (int)code;
    return 0;
}

/* r  a Response, or NULL */
/* Of the reply of a middleware, beside what the inside of it has left to do. */
static void add_background(struct wf_call *call, PyObject *background) {
    PyObject *module = PyImport_ImportModule("weft.background");
    PyObject *both = module != NULL
                         ? PyObject_CallMethod(module, "Both", "OO", background, call->background)
                         : NULL;
    Py_XDECREF(module);
    if (both == NULL) {
        PyErr_WriteUnraisable(background);
    } else {
        Py_XSETREF(call->background, both);
    }
}

static void keep_background(struct wf_call *call, const struct wf_response *r) {
    if (r == NULL || r->background == NULL || r->background == Py_None) {
        return;
    }
    if (call->settled && call->background != NULL) {
        add_background(call, r->background);
    } else {
        Py_XSETREF(call->background, Py_NewRef(r->background));
    }
}

/* ---- values ---- */

/* Sends `value` as JSON with the status and fields given. */
static int send_json_with(struct wf_call *call, PyObject *value, PyObject *fallback,
                          const struct wf_reply_head *head) {
    struct wf_exchange *ex = call->plan.ex;
    struct wf_buf *out;
    int rc = wf_reply_open(ex, head, &out);
    if (wf_unlikely(rc != WF_REPLY_OK)) {
        return wf_reply_status(rc, "the reply");
    }
    if (wf_unlikely(wf_json_encode(call->server->state, value, fallback, out) < 0)) {
        wf_reply_cancel(ex);
        return -1;
    }
    return wf_reply_status(wf_reply_close(ex), "the reply");
}

static int send_json(struct wf_call *call, PyObject *value, const struct wf_reply_head *head) {
    return send_json_with(call, value, call->server->attributes, head);
}

/* Does a value have something to send with this status? A 205 may have none (RFC 9110 section 15.3.6). */
static inline bool takes_value(int status) {
    return wf_status_has_body(status) && status != 205;
}

/* The same to a client that wants BSON; what is no document is JSON all the same. */
static int send_negotiated(struct wf_call *call, PyObject *value,
                           const struct wf_reply_head *head) {
    int rc = wf_reply_bson(call, value, false, head);
    return rc <= 0 ? rc : send_json(call, value, head);
}

/* Sends a str as it is, in UTF-8. */
static int send_text(struct wf_call *call, PyObject *text, const struct wf_reply_head *head) {
    Py_ssize_t n;
    const char *p = PyUnicode_AsUTF8AndSize(text, &n);
    if (p == NULL) {
        return -1;
    }
    return wf_reply_status(wf_reply_send(call->plan.ex, head, wf_span(p, (size_t)n)), "the reply");
}

/* May a cache keep this JSON, which another Accept would have had as BSON (RFC 9110 section 12.5.5)? Only
 * where the application speaks of caching: all else stays FastAPI's to the byte. */
static bool varies(const struct wf_call *call, const struct fields *f) {
    const struct wf_reply_field *cache = find_field(f, WF_SPAN("cache-control"));
    return cache != NULL && !wf_list_has(cache->value, WF_SPAN("no-store")) &&
           find_field(f, WF_SPAN("content-type")) == NULL && !wf_reply_wants_bson(call);
}

typedef int send_fn(struct wf_call *call, PyObject *value, const struct wf_reply_head *head);

/* A value beside an injected `response: Response`, whose fields, status and background are the
 * reply's; or one with a status that sends no content. */
static WF_NOINLINE int reply_value_with(struct wf_call *call, PyObject *value,
                                        const struct wf_reply_head *plain, send_fn *send) {
    struct wf_response *r = (struct wf_response *)call->plan.response;
    struct wf_reply_head head = *plain; /* a copy, since it will point to f */
    struct fields f;
    f.n = 0;
    if (r != NULL) {
        if (status_of(r, &head.status) < 0) {
            return -1;
        }
        keep_background(call, r);
        if (collect_fields(&f, r->raw_headers) < 0) {
            return -1;
        }
        if (plain->content_type.p == json_type.p && varies(call, &f)) {
            f.list[f.n++] = (struct wf_reply_field){WF_SPAN("vary"), WF_SPAN("accept")};
        }
    }
    set_fields(&head, &f);
    return takes_value(head.status)
               ? send(call, value, &head)
               : wf_reply_status(wf_reply_send(call->plan.ex, &head, WF_SPAN("")), "the reply");
}

/* A value that is no Response: JSON, or text where the route says so. */
static int reply_value(struct wf_call *call, PyObject *value) {
    struct wf_route *route = call->route;
    struct wf_reply_head head = {
        .status = route != NULL ? route->status : 200,
        .content_type = json_type,
    };
    send_fn *send = send_json;
    if (route != NULL && route->text_type != NULL) {
        head.content_type = wf_span(PyBytes_AS_STRING(route->text_type),
                                    (size_t)PyBytes_GET_SIZE(route->text_type));
        send = send_text;
    } else if (route != NULL && wf_unlikely(wf_reply_wants_bson(call))) {
        send = send_negotiated;
    }
    return wf_likely(call->plan.response == NULL && takes_value(head.status))
               ? send(call, value, &head)
               : reply_value_with(call, value, &head, send);
}

/* ---- Response objects ---- */

/* wf_release_fn: no GIL here, so the reference is dropped later. */
static void release_body(void *arg) {
    struct wf_release *r = arg;
    r->next = r->server->garbage;
    r->server->garbage = r;
}

void wf_garbage_collect(struct wf_http_server *s) {
    while (s->garbage != NULL) {
        struct wf_release *r = s->garbage;
        s->garbage = r->next;
        PyBuffer_Release(&r->view);
        wf_free(r);
    }
}

/* The content of a reply: a span of bytes we hold, copied when it is sent, or a buffer for the
 * stream to borrow. */
struct content {
    struct wf_span span;
    PyObject *bytes;           /* owned, or NULL */
    struct wf_release *borrow; /* owned, or NULL */
};

/* `body` (borrowed) may be of a class with its own __buffer__: Python code may run. */
static int hold_content(struct wf_call *call, PyObject *body, struct content *c) {
    *c = (struct content){.span = WF_SPAN("")};
    if (body == NULL || body == Py_None) {
        return 0;
    }
    if (PyBytes_Check(body) && PyBytes_GET_SIZE(body) < REPLY_BORROW_BYTES) {
        c->bytes = Py_NewRef(body);
        c->span = wf_span(PyBytes_AS_STRING(body), (size_t)PyBytes_GET_SIZE(body));
        return 0;
    }
    struct wf_release *r = wf_malloc(sizeof(*r));
    if (r == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *r = (struct wf_release){.server = call->server};
    if (PyObject_GetBuffer(body, &r->view, PyBUF_SIMPLE) < 0) {
        wf_free(r);
        return -1;
    }
    c->borrow = r;
    c->span = wf_span(r->view.buf, (size_t)r->view.len);
    return 0;
}

/* Gives up *c. */
static int send_content(struct wf_call *call, const struct wf_reply_head *head, struct content *c) {
    struct wf_exchange *ex = call->plan.ex;
    if (c->borrow != NULL) {
        return wf_reply_status(wf_reply_send_borrowed(ex, head, c->span, release_body, c->borrow),
                               "the reply");
    }
    int rc = wf_reply_status(wf_reply_send(ex, head, c->span), "the reply");
    Py_XDECREF(c->bytes);
    return rc;
}

static void drop_content(struct content *c) {
    Py_XDECREF(c->bytes);
    if (c->borrow != NULL) {
        PyBuffer_Release(&c->borrow->view);
        wf_free(c->borrow);
    }
}

/* The fields of a Response, and behind them those of an injected one (beside), where it counts. */
static int response_fields(struct fields *f, struct wf_response *r, struct wf_response *beside) {
    f->n = 0;
    if (collect_fields(f, r->raw_headers) < 0) {
        return -1;
    }
    return beside != NULL ? collect_fields(f, beside->raw_headers) : 0;
}

static int reply_body(struct wf_call *call, struct wf_response *r, struct wf_response *beside,
                      int status) {
    struct content content;
    struct fields f;
    if (hold_content(call, r->body, &content) < 0) {
        return -1;
    }
    if (response_fields(&f, r, beside) < 0) {
        drop_content(&content);
        return -1;
    }
    struct wf_reply_head head = {.status = status, .fields = f.list, .nfields = f.n};
    int64_t length = call->plan.ex->head.method == WF_METHOD_HEAD && content.span.n == 0
                         ? stated_length(&f)
                         : -1;
    if (wf_unlikely(length >= 0)) { /* of what GET would send */
        int rc = wf_reply_status(wf_reply_start(call->plan.ex, &head, length), "the reply");
        drop_content(&content);
        return rc < 0 ? -1 : wf_reply_status(wf_reply_end(call->plan.ex), "the reply");
    }
    return send_content(call, &head, &content);
}

static int start_stream(struct wf_call *call, struct wf_response *r, struct wf_response *beside,
                        int status) {
    struct fields f;
    if (response_fields(&f, r, beside) < 0) {
        return -1;
    }
    struct wf_reply_head head = {.status = status, .fields = f.list, .nfields = f.n};
    call->of_events = is_of_events(&f);
    return wf_reply_status(wf_reply_start(call->plan.ex, &head, stated_length(&f)), "the reply");
}

/* Starts pulling a StreamingResponse: weft._stream.pull(writer, iterator) is stepped like a
 * handler. Where no content is sent (HEAD, 204, 304, or nobody is left) nothing is pulled: what
 * never waits for the client could go on for ever. The iterator is only closed, which may have to
 * be awaited too. */
static int reply_stream(struct wf_call *call, struct wf_response *r, struct wf_response *beside,
                        int status) {
    struct wf_http_server *s = call->server;
    struct wf_exchange *ex = call->plan.ex;
    bool wanted =
        ex->head.method != WF_METHOD_HEAD && wf_status_has_body(status) && !wf_exchange_gone(ex);
    struct wf_writer *writer = wf_writer_new(call, wanted);
    if (writer == NULL) {
        return -1;
    }
    PyObject *args[] = {(PyObject *)writer, r->body_iterator};
    PyObject *coro = PyObject_Vectorcall(s->pull, args, 2, NULL);
    if (coro == NULL) {
        Py_DECREF(writer);
        return -1;
    }
    if (start_stream(call, r, beside, status) < 0) {
        PyObject *exc = wf_err_take();
        Py_XDECREF(PyObject_CallMethodNoArgs(coro, s->state->http.str.close)); /* never awaited */
        Py_DECREF(coro);
        Py_DECREF(writer);
        PyErr_Clear();
        wf_err_put(exc);
        return -1;
    }
    call->writer = writer;
    writer->wanted &= !(call->of_events && s->draining); /* too late to begin with events */
    if (call->chain != NULL) {
        call->stage = WF_CALL_STREAMING;
        call->pull = coro; /* the chain takes it */
    } else {
        wf_call_step(call, coro, WF_CALL_STREAMING);
    }
    Py_DECREF(writer); /* the coroutine holds it; its dealloc clears call->writer */
    return 1;
}

static int raise_no_file(int error, PyObject *path) {
    PyObject *name =
        PyUnicode_DecodeFSDefaultAndSize(PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path));
    if (name != NULL && (error == ENOENT || error == ENOTDIR)) {
        PyErr_Format(PyExc_RuntimeError, "File at path %U does not exist.", name);
    } else if (name != NULL && error == EISDIR) {
        PyErr_Format(PyExc_RuntimeError, "File at path %U is not a file.", name);
    } else if (name != NULL) {
        errno = error;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, name);
    }
    Py_XDECREF(name);
    return -1;
}

/* The file is opened and asked for its size here: what the disk has to be waited for is waited for without
 * the GIL. */
static int reply_file(struct wf_call *call, struct wf_response *r, struct wf_response *beside,
                      int status) {
    PyObject *path = r->file; /* owned by r, which the caller holds */
    struct fields f;
    struct wf_file file;
    int rc;
    if (!PyBytes_Check(path)) {
        PyErr_SetString(PyExc_TypeError, "the path of a file is bytes");
        return -1;
    }
    Py_INCREF(path);
    Py_BEGIN_ALLOW_THREADS rc = wf_file_open(PyBytes_AS_STRING(path), &file);
    Py_END_ALLOW_THREADS if (rc < 0) {
        rc = raise_no_file(-rc, path);
    }
    Py_DECREF(path);
    if (rc < 0) {
        return -1;
    }
    if (response_fields(&f, r, beside) < 0) {
        close(file.fd);
        return -1;
    }
    struct wf_reply_head head = {.status = status, .fields = f.list, .nfields = f.n};
    return wf_reply_status(wf_reply_file(call->plan.ex, &head, &file, WF_FILE_CONDITIONS),
                           "the reply");
}

/* beside  the injected `response: Response`, where a response class made this one; else NULL: one
 * that the handler returned stands alone, as in FastAPI */
static int reply_response(struct wf_call *call, PyObject *response, struct wf_response *beside) {
    struct wf_response *r = (struct wf_response *)response;
    int status = r->status_code == Py_None ? 0 : 200;
    if (status_of(r, &status) < 0 || (beside != NULL && status_of(beside, &status) < 0)) {
        return -1;
    }
    keep_background(call, beside);
    keep_background(call, r);
    if (r->body_iterator != NULL && r->body_iterator != Py_None) {
        return reply_stream(call, r, beside, status);
    }
    return r->file != NULL && r->file != Py_None ? reply_file(call, r, beside, status)
                                                 : reply_body(call, r, beside, status);
}

/* ---- results ---- */

static bool is_iterator(PyObject *o) {
    const PyAsyncMethods *async = Py_TYPE(o)->tp_as_async;
    return PyIter_Check(o) || (async != NULL && async->am_anext != NULL);
}

/* What a response class is called with: plain values, as FastAPI's jsonable_encoder makes them, so
 * that one with a render() of its own can be simple. Text, bytes and iterators, and what has no
 * JSON form, are handed over as they are. New reference. */
static PyObject *plain_content(struct wf_http_server *s, PyObject *value) {
    struct wf_state *state = s->state;
    PyTypeObject *type = Py_TYPE(value);
    if (value == Py_None || type == &PyUnicode_Type || type == &PyLong_Type ||
        PyBool_Check(value) || PyFloat_CheckExact(value) || PyObject_CheckBuffer(value) ||
        is_iterator(value)) {
        return Py_NewRef(value);
    }
    struct wf_buf json;
    wf_buf_init(&json, REPLY_PLAIN_BYTES_MAX);
    PyObject *plain = NULL;
    if (wf_json_encode(state, value, s->attributes, &json) == 0) {
        plain = wf_json_decode(state, wf_buf_span(&json), 0);
    } else if (PyErr_ExceptionMatches(state->json.encode_error)) {
        PyErr_Clear();
        plain = Py_NewRef(value);
    }
    wf_buf_free(&json);
    return plain;
}

/* response_class(content, status_code=...), new reference. */
static PyObject *make_by_class(struct wf_call *call, PyObject *result) {
    struct wf_http_state *http = &call->server->state->http;
    struct wf_route *route = call->route;
    PyObject *content = plain_content(call->server, result), *response = NULL;
    PyObject *status = content != NULL ? PyLong_FromLong(route->status) : NULL;
    if (status != NULL) {
        PyObject *args[] = {content, status};
        response = PyObject_Vectorcall(route->response_class, args, 1, http->kw_status_code);
    }
    Py_XDECREF(status);
    Py_XDECREF(content);
    if (response != NULL && !PyObject_TypeCheck(response, http->response_type)) {
        PyErr_Format(PyExc_TypeError, "response_class made a %.100s, not a Response",
                     Py_TYPE(response)->tp_name);
        Py_CLEAR(response);
    }
    return response;
}

/* The JSON of a value that has no response class: bytes, new reference. */
static PyObject *json_of(struct wf_call *call, PyObject *value) {
    struct wf_buf json;
    wf_buf_init(&json, REPLY_PLAIN_BYTES_MAX);
    PyObject *bytes = NULL;
    if (wf_json_encode(call->server->state, value, call->server->attributes, &json) == 0) {
        struct wf_span text = wf_buf_span(&json);
        bytes = PyBytes_FromStringAndSize(text.p, (Py_ssize_t)text.n);
    }
    wf_buf_free(&json);
    return bytes;
}

static PyObject *list_of(PyObject *one) {
    PyObject *list = PyList_New(1);
    if (list != NULL) {
        PyList_SET_ITEM(list, 0, Py_NewRef(one));
    }
    return list;
}

/* A Response with this JSON or BSON (stolen, or NULL with an exception), new reference. */
static PyObject *make_encoded(struct wf_call *call, PyObject *body, bool bson) {
    PyTypeObject *type = call->server->response_class != NULL
                             ? (PyTypeObject *)call->server->response_class
                             : call->server->state->http.response_type;
    struct wf_response *r = body != NULL ? (struct wf_response *)type->tp_alloc(type, 0) : NULL;
    if (r == NULL) {
        Py_XDECREF(body);
        return NULL;
    }
    r->body = body;
    r->status_code = PyLong_FromLong(call->route->status);
    r->raw_headers =
        bson ? Py_BuildValue("[(yy)(yy)]", "content-type", "application/bson", "vary", "accept")
             : list_of(call->server->state->http.json_field);
    if (r->status_code == NULL || r->raw_headers == NULL) {
        Py_CLEAR(r);
    }
    return (PyObject *)r;
}

/* What the model makes of a value: its JSON in bytes, or plain values for a response class. New
 * reference, or NULL. */
static PyObject *through_model(struct wf_call *call, PyObject *value) {
    return PyObject_CallOneArg(call->route->model, value);
}

/* The same where the shape may be enough. */
static PyObject *through_shape(struct wf_call *call, PyObject *value) {
    const struct wf_route *route = call->route;
    if (route->shape == NULL) {
        return through_model(call, value);
    }
    struct wf_buf json;
    wf_buf_init(&json, REPLY_PLAIN_BYTES_MAX);
    PyObject *bytes = NULL;
    enum wf_walk_result result = wf_json_encode_shape((struct wf_shape *)route->shape, value,
                                                      route->shape_flags | WF_OUTPUT_JUDGED, &json);
    if (result == WF_WALK_OK) {
        struct wf_span text = wf_buf_span(&json);
        bytes = PyBytes_FromStringAndSize(text.p, (Py_ssize_t)text.n);
    }
    wf_buf_free(&json);
    return result == WF_WALK_INVALID ? through_model(call, value) : bytes;
}

/* Is it the endpoint's, and does the route have a model to judge and filter it? */
static bool has_model(const struct wf_call *call) {
    return call->route != NULL && call->route->model != NULL && call->stage == WF_CALL_HANDLER;
}

bool wf_is_response(struct wf_state *state, PyObject *o) {
    return PyObject_TypeCheck(o, state->http.response_type);
}

/* What the route's model makes of a result for BSON: a dict, or JSON where it is none. New reference. */
static PyObject *model_for_bson(struct wf_call *call, PyObject *result) {
    return PyObject_CallFunctionObjArgs(call->route->model, result, Py_True, NULL);
}

/* A Response of what no response class has a say in. */
static PyObject *prepare_encoded(struct wf_call *call, PyObject *result) {
    bool bson = wf_reply_wants_bson(call), model = has_model(call);
    PyObject *content = !model ? Py_NewRef(result)
                        : bson ? model_for_bson(call, result)
                               : through_shape(call, result);
    if (content == NULL || (model && !PyDict_Check(content))) {
        return make_encoded(call, content, false);
    }
    PyObject *body = bson ? wf_reply_bson_bytes(call, content, model) : Py_NewRef(Py_None);
    bson = body != Py_None;
    if (!bson) {
        Py_SETREF(body, json_of(call, content));
    }
    Py_DECREF(content);
    return make_encoded(call, body, bson);
}

PyObject *wf_reply_prepare(struct wf_call *call, PyObject *result, bool *made) {
    *made = !wf_is_response(call->server->state, result);
    if (!*made) {
        return Py_NewRef(result);
    }
    if (call->route->response_class == NULL) {
        return prepare_encoded(call, result);
    }
    PyObject *content = has_model(call) ? through_shape(call, result) : Py_NewRef(result);
    if (content == NULL) {
        return NULL;
    }
    PyObject *response = make_by_class(call, content);
    Py_DECREF(content);
    return response;
}

/* The BackgroundTasks parameter counts where the reply has no background of its own. */
static void take_background(struct wf_call *call) {
    if (wf_unlikely(call->plan.background != NULL)) {
        Py_XSETREF(call->background, Py_NewRef(call->plan.background));
    }
}

/* For middleware that looks for it: what is sent is of the server's making all the same. 0, or -1. */
static int tell_length(const struct wf_http_state *s, struct wf_response *r) {
    if (r->body == NULL || !PyObject_CheckBuffer(r->body) || r->raw_headers == NULL ||
        !PyList_Check(r->raw_headers) || (r->file != NULL && r->file != Py_None) ||
        (r->body_iterator != NULL && r->body_iterator != Py_None)) {
        return 0;
    }
    Py_ssize_t n = PyObject_Size(r->body);
    char digits[WF_U64_DIGITS_MAX];
    PyObject *text =
        n >= 0 ? PyBytes_FromStringAndSize(digits, (Py_ssize_t)wf_u64_write(digits, (uint64_t)n))
               : NULL;
    PyObject *field = text != NULL ? PyTuple_Pack(2, s->content_length, text) : NULL;
    Py_XDECREF(text);
    int rc = field != NULL ? PyList_Append(r->raw_headers, field) : -1;
    Py_XDECREF(field);
    return rc;
}

/* The fields of a Response that was made, and those beside it. New reference. */
static WF_NOINLINE PyObject *fields_beside(struct wf_call *call, PyObject *made, PyObject *beside) {
    struct fields f;
    f.n = 0;
    if (collect_fields(&f, beside) < 0) {
        return NULL;
    }
    bool vary = call->route->response_class == NULL && varies(call, &f);
    PyObject *all =
        made != NULL && made != Py_None ? PySequence_Concat(made, beside) : PySequence_List(beside);
    PyObject *field = all != NULL && vary ? Py_BuildValue("(yy)", "vary", "accept") : NULL;
    if (vary && (field == NULL || PyList_Append(all, field) < 0)) {
        Py_CLEAR(all);
    }
    Py_XDECREF(field);
    return all;
}

int wf_reply_settle(struct wf_call *call, PyObject *response, bool made) {
    struct wf_response *r = (struct wf_response *)response;
    struct wf_response *beside = (struct wf_response *)call->plan.response;
    take_background(call);
    Py_CLEAR(call->plan.background);
    if (beside != NULL) {
        keep_background(call, beside);
    }
    keep_background(call, r);
    Py_XSETREF(r->background, Py_NewRef(Py_None)); /* what middleware returns may have its own */
    call->settled = true;
    if (tell_length(&call->server->state->http, r) < 0) {
        return -1;
    }
    if (!made || beside == NULL) {
        Py_CLEAR(call->plan.response);
        return 0;
    }
    if (beside->status_code != NULL && beside->status_code != Py_None) {
        Py_XSETREF(r->status_code, Py_NewRef(beside->status_code));
    }
    int rc = 0;
    if (beside->raw_headers != NULL && beside->raw_headers != Py_None) {
        PyObject *all = fields_beside(call, r->raw_headers, beside->raw_headers);
        rc = all != NULL ? 0 : -1;
        if (all != NULL) {
            Py_XSETREF(r->raw_headers, all);
        }
    }
    Py_CLEAR(call->plan.response);
    return rc;
}

int wf_reply_prepared(struct wf_call *call, PyObject *response) {
    if (wf_session_save(call) < 0) {
        return -1;
    }
    take_background(call);
    return reply_response(call, response, (struct wf_response *)call->plan.response);
}

static int reply_by_class(struct wf_call *call, PyObject *result) {
    PyObject *response = make_by_class(call, result);
    int rc = response != NULL
                 ? reply_response(call, response, (struct wf_response *)call->plan.response)
                 : -1;
    Py_XDECREF(response);
    return rc;
}

/* send_fn: JSON as the route's model has made it. */
static int send_bytes(struct wf_call *call, PyObject *json, const struct wf_reply_head *head) {
    struct content content;
    return hold_content(call, json, &content) < 0 ? -1 : send_content(call, head, &content);
}

/* send_fn: a dict that a model has made. */
static int send_dumped(struct wf_call *call, PyObject *dict, const struct wf_reply_head *head) {
    int rc = wf_reply_bson(call, dict, true, head);
    return rc <= 0 ? rc : send_json(call, dict, head);
}

/* JSON that a model has made, or a dict for a client that wants BSON. */
static int reply_encoded(struct wf_call *call, PyObject *content) {
    struct wf_reply_head head = {.status = call->route->status, .content_type = json_type};
    return reply_value_with(call, content, &head, PyDict_Check(content) ? send_dumped : send_bytes);
}

/* A value that is no Response, in the way of the route. */
static int reply_made(struct wf_call *call, PyObject *value) {
    struct wf_route *route = call->route;
    if (route != NULL && route->response_class != NULL &&
        !(route->text_type != NULL && PyUnicode_CheckExact(value))) {
        return reply_by_class(call, value);
    }
    return reply_value(call, value);
}

/* send_fn: what the model would make of a value, straight into the output where its shape is proof
 * enough. */
static int send_shaped(struct wf_call *call, PyObject *value, const struct wf_reply_head *head) {
    struct wf_exchange *ex = call->plan.ex;
    const struct wf_route *route = call->route;
    struct wf_buf *out;
    int rc = wf_reply_open(ex, head, &out);
    if (wf_unlikely(rc != WF_REPLY_OK)) {
        return wf_reply_status(rc, "the reply");
    }
    enum wf_walk_result result = wf_json_encode_shape((struct wf_shape *)route->shape, value,
                                                      route->shape_flags | WF_OUTPUT_JUDGED, out);
    if (wf_likely(result == WF_WALK_OK)) {
        return wf_reply_status(wf_reply_close(ex), "the reply");
    }
    wf_reply_cancel(ex);
    PyObject *json = result == WF_WALK_INVALID ? through_model(call, value) : NULL;
    rc = json != NULL ? send_bytes(call, json, head) : -1;
    Py_XDECREF(json);
    return rc;
}

/* What the endpoint returned is judged and filtered by the route's model. */
static WF_NOINLINE int reply_by_model(struct wf_call *call, PyObject *result) {
    const struct wf_route *route = call->route;
    bool encoded = route->response_class == NULL, bson = encoded && wf_reply_wants_bson(call);
    if (!bson && route->shape != NULL && call->plan.response == NULL &&
        wf_status_has_body(route->status)) {
        return send_shaped(
            call, result,
            &(struct wf_reply_head){.status = route->status, .content_type = json_type});
    }
    PyObject *content = bson ? model_for_bson(call, result) : through_shape(call, result);
    if (content == NULL) {
        return -1;
    }
    int rc = encoded ? reply_encoded(call, content) : reply_made(call, content);
    Py_DECREF(content);
    return rc;
}

int wf_reply_result(struct wf_call *call, PyObject *result) {
    if (wf_session_save(call) < 0) {
        return -1;
    }
    struct wf_http_server *s = call->server;
    PyTypeObject *type = Py_TYPE(result);
    bool plain = type == &PyDict_Type || type == &PyList_Type || type == &PyUnicode_Type;
    take_background(call);
    if (wf_unlikely(!plain) && PyObject_TypeCheck(result, s->state->http.response_type)) {
        keep_background(call, (struct wf_response *)call->plan.response);
        return reply_response(call, result, NULL);
    }
    return wf_unlikely(has_model(call)) ? reply_by_model(call, result) : reply_made(call, result);
}

/* {"detail": errors} */
static int send_errors(struct wf_call *call, PyObject *errors) {
    struct wf_http_server *s = call->server;
    PyObject *body = PyDict_New();
    int rc = body != NULL ? PyDict_SetItem(body, s->state->http.str.detail, errors) : -1;
    if (rc == 0) {
        rc = send_json_with(call, body, s->plain_error,
                            &(struct wf_reply_head){.status = 422, .content_type = json_type});
    }
    Py_XDECREF(body);
    return rc;
}

/* FormData(items): new reference, or NULL. */
static PyObject *form_data(PyObject *items) {
    PyObject *module = PyImport_ImportModule("weft.datastructures");
    PyObject *data = module != NULL ? PyObject_CallMethod(module, "FormData", "O", items) : NULL;
    Py_XDECREF(module);
    return data;
}

PyObject *wf_validation_error(struct wf_call *call, PyObject *errors) {
    struct wf_http_server *s = call->server;
    PyObject *body =
        call->plan.form != NULL ? form_data(call->plan.form) : Py_XNewRef(call->plan.body);
    if (body == NULL && PyErr_Occurred()) {
        return NULL;
    }
    PyObject *args[] = {errors, body != NULL ? body : Py_None};
    PyObject *exc = PyObject_Vectorcall(s->validation_error, args, 1, s->state->http.kw_body);
    Py_XDECREF(body);
    return exc;
}

int wf_reply_validation(struct wf_call *call, PyObject *errors) {
    if (wf_session_save(call) < 0) {
        return -1;
    }
    struct wf_http_server *s = call->server;
    if (PyDict_GET_SIZE(call->app->by_class) != 0 || PyDict_GET_SIZE(call->app->by_status) != 0) {
        /* The app may want to answer: RequestValidationError goes to its handlers. */
        PyObject *key = PyDict_GetItemWithError(call->app->by_class, s->validation_error);
        if (key == NULL && PyErr_Occurred()) {
            return -1;
        }
        if (key != NULL) {
            PyObject *exc = wf_validation_error(call, errors);
            if (exc != NULL) {
                wf_err_put(exc);
            }
            return -1;
        }
    }
    if (send_errors(call, errors) == 0) {
        return 0;
    }
    if (!PyErr_ExceptionMatches(s->state->json.encode_error)) {
        return -1;
    }
    PyErr_Clear(); /* the client sent something that has no JSON form: no reason for a 500 */
    PyObject *sendable = PyObject_CallOneArg(s->sendable_errors, errors);
    int rc = sendable != NULL ? send_errors(call, sendable) : -1;
    Py_XDECREF(sendable);
    return rc;
}

/* Text to bytes as header lines carry it. */
static int latin1_span(PyObject *o, PyObject **keep, struct wf_span *out) {
    *keep = PyBytes_Check(o) ? Py_NewRef(o) : PyUnicode_AsLatin1String(o);
    return *keep != NULL ? bytes_span(*keep, out) : -1;
}

int wf_reply_http_exception(struct wf_call *call, PyObject *exc) {
    if (wf_session_save(call) < 0) {
        return -1;
    }
    struct wf_state *state = call->server->state;
    PyObject *status = NULL, *detail = NULL, *headers = NULL, *items = NULL, *body = NULL;
    PyObject *keep[2 * 64] = {NULL};
    size_t nkeep = 0;
    int rc = -1;
    struct fields f;
    f.n = 0;

    status = PyObject_GetAttr(exc, state->http.str.status_code);
    detail = status != NULL ? PyObject_GetAttr(exc, state->http.str.detail) : NULL;
    headers = detail != NULL ? PyObject_GetAttr(exc, state->http.str.headers) : NULL;
    if (headers == NULL) {
        goto done;
    }
    int overflow;
    long code = PyLong_AsLongAndOverflow(status, &overflow);
    if (code == -1 && PyErr_Occurred()) {
        goto done;
    }
    if (headers != Py_None) {
        items = PyMapping_Items(headers);
        if (items == NULL) {
            goto done;
        }
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items); i++) {
            PyObject *pair = PyList_GET_ITEM(items, i); /* borrowed from items */
            if (nkeep + 2 > WF_ARRAY_LEN(keep) || !PyTuple_Check(pair) ||
                PyTuple_GET_SIZE(pair) != 2) {
                PyErr_SetString(PyExc_ValueError, "HTTPException.headers must be at most 64 pairs");
                goto done;
            }
            struct wf_reply_field *field = &f.list[f.n];
            if (latin1_span(PyTuple_GET_ITEM(pair, 0), &keep[nkeep++], &field->name) < 0 ||
                latin1_span(PyTuple_GET_ITEM(pair, 1), &keep[nkeep++], &field->value) < 0) {
                goto done;
            }
            f.n++;
        }
    }
    struct wf_reply_head head = {.status = overflow != 0 || code < 0 || code > 999 ? 0 : (int)code,
                                 .content_type = json_type};
    set_fields(&head, &f);
    if (!wf_status_has_body(head.status)) {
        rc = wf_reply_status(wf_reply_send(call->plan.ex, &head, WF_SPAN("")), "the HTTPException");
        goto done;
    }
    body = PyDict_New();
    if (body != NULL && PyDict_SetItem(body, state->http.str.detail, detail) == 0) {
        rc = send_json(call, body, &head);
    }
done:
    for (size_t i = 0; i < nkeep; i++) {
        Py_XDECREF(keep[i]);
    }
    Py_XDECREF(body);
    Py_XDECREF(items);
    Py_XDECREF(headers);
    Py_XDECREF(detail);
    Py_XDECREF(status);
    return rc;
}
