/* Replies: what a handler returned, on its way into the connection's output buffer. */
#include "py/http/reply_int.h"

#include "base/num.h"
#include "wire/headers/headers.h"

static const struct wf_span json_type = {"application/json", 16};

/* ---- values ---- */

/* Sends `value` as JSON with the status and fields given. */
int wf_reply_json(struct wf_call *call, PyObject *value, PyObject *fallback,
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
    return wf_reply_json(call, value, call->server->attributes, head);
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
static bool varies(const struct wf_call *call, const struct wf_fields *f) {
    const struct wf_reply_field *cache = wf_fields_find(f, WF_SPAN("cache-control"));
    return cache != NULL && !wf_list_has(cache->value, WF_SPAN("no-store")) &&
           wf_fields_find(f, WF_SPAN("content-type")) == NULL && !wf_reply_wants_bson(call);
}

typedef int send_fn(struct wf_call *call, PyObject *value, const struct wf_reply_head *head);

/* A value beside an injected `response: Response`, whose fields, status and background are the
 * reply's; or one with a status that sends no content. */
static WF_NOINLINE int reply_value_with(struct wf_call *call, PyObject *value,
                                        const struct wf_reply_head *plain, send_fn *send) {
    struct wf_response *r = (struct wf_response *)call->plan.response;
    struct wf_reply_head head = *plain; /* a copy, since it will point to f */
    struct wf_fields f;
    f.n = 0;
    if (r != NULL) {
        if (wf_response_status(r, &head.status) < 0) {
            return -1;
        }
        wf_reply_keep_background(call, r);
        if (wf_fields_collect(&f, r->raw_headers) < 0) {
            return -1;
        }
        if (plain->content_type.p == json_type.p && varies(call, &f)) {
            f.list[f.n++] = (struct wf_reply_field){WF_SPAN("vary"), WF_SPAN("accept")};
        }
    }
    wf_fields_set(&head, &f);
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
    int status = 200;
    if (wf_response_status(r, &status) < 0) {
        return -1;
    }
    if (!wf_status_has_body(status) || r->body == NULL || !PyObject_CheckBuffer(r->body) ||
        r->raw_headers == NULL || !PyList_Check(r->raw_headers) ||
        (r->file != NULL && r->file != Py_None) ||
        (r->body_iterator != NULL && r->body_iterator != Py_None)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(r->raw_headers); i++) {
        PyObject *field = PyList_GET_ITEM(r->raw_headers, i); /* borrowed */
        if (PyTuple_Check(field) && PyTuple_GET_SIZE(field) == 2 &&
            PyTuple_GET_ITEM(field, 0) == s->content_length) {
            return 0; /* by a handler within */
        }
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
    struct wf_fields f;
    f.n = 0;
    if (wf_fields_collect(&f, beside) < 0) {
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
        wf_reply_keep_background(call, beside);
    }
    wf_reply_keep_background(call, r);
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
    return wf_reply_response(call, response, (struct wf_response *)call->plan.response);
}

static int reply_by_class(struct wf_call *call, PyObject *result) {
    PyObject *response = make_by_class(call, result);
    int rc = response != NULL
                 ? wf_reply_response(call, response, (struct wf_response *)call->plan.response)
                 : -1;
    Py_XDECREF(response);
    return rc;
}

/* send_fn: a dict that a model has made. */
static int send_dumped(struct wf_call *call, PyObject *dict, const struct wf_reply_head *head) {
    int rc = wf_reply_bson(call, dict, true, head);
    return rc <= 0 ? rc : send_json(call, dict, head);
}

/* JSON that a model has made, or a dict for a client that wants BSON. */
static int reply_encoded(struct wf_call *call, PyObject *content) {
    struct wf_reply_head head = {.status = call->route->status, .content_type = json_type};
    return reply_value_with(call, content, &head,
                            PyDict_Check(content) ? send_dumped : wf_reply_bytes);
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
    rc = json != NULL ? wf_reply_bytes(call, json, head) : -1;
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
        wf_reply_keep_background(call, (struct wf_response *)call->plan.response);
        return wf_reply_response(call, result, NULL);
    }
    return wf_unlikely(has_model(call)) ? reply_by_model(call, result) : reply_made(call, result);
}
