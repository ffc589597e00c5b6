/* The request's body as FastAPI reads it before it looks at any parameter. */
#include "py/plan/plan_int.h"

#include "py/bson/bson.h"
#include "py/json/json.h"

/* The content type by the rules of email.message: what follows ';' does not count, nor does white space
 * around. */
static struct wf_span media_type(const struct wf_exchange *ex) {
    const struct wf_field *field = wf_head_find(&ex->head, WF_FIELD_CONTENT_TYPE);
    if (field == NULL) {
        return WF_SPAN("");
    }
    struct wf_span type = wf_field_value_span(ex->base, field);
    const char *semicolon = type.n != 0 ? memchr(type.p, ';', type.n) : NULL;
    if (semicolon != NULL) {
        type.n = (size_t)(semicolon - type.p);
    }
    while (type.n != 0 && (type.p[type.n - 1] == ' ' || type.p[type.n - 1] == '\t')) {
        type.n--;
    }
    return type;
}

/* application/json or application/<anything>+json, in any case; a second '/' makes it no media type at
 * all. */
static bool is_json(struct wf_span type) {
    static const struct wf_span main_type = WF_SPAN("application/");
    if (type.n < main_type.n || !wf_span_eq_lower(wf_span(type.p, main_type.n), main_type)) {
        return false;
    }
    struct wf_span subtype = wf_span(type.p + main_type.n, type.n - main_type.n);
    if (subtype.n == 0 || memchr(subtype.p, '/', subtype.n) != NULL) {
        return false;
    }
    static const struct wf_span suffix = WF_SPAN("+json");
    return wf_span_eq_lower(subtype, WF_SPAN("json")) ||
           (subtype.n >= suffix.n &&
            wf_span_eq_lower(wf_span(subtype.p + subtype.n - suffix.n, suffix.n), suffix));
}

enum conv_result plan_raise_bad_request(PyObject *detail) {
    PyObject *exceptions = PyImport_ImportModule("weft.exceptions");
    PyObject *type =
        exceptions != NULL ? PyObject_GetAttrString(exceptions, "HTTPException") : NULL;
    PyObject *exc =
        type != NULL && detail != NULL ? PyObject_CallFunction(type, "iO", 400, detail) : NULL;
    if (exc != NULL) {
        PyErr_SetObject(type, exc);
    }
    Py_XDECREF(exceptions);
    Py_XDECREF(type);
    Py_XDECREF(exc);
    return CONV_FAILED;
}

/* The body is not even text. */
static enum conv_result raise_unreadable(void) {
    PyObject *detail = PyUnicode_FromString("There was an error parsing the body");
    enum conv_result result = plan_raise_bad_request(detail);
    Py_XDECREF(detail);
    return result;
}

/* {"type": "json_invalid", "loc": ("body", pos), "msg": "JSON decode error", "input": {},
 *  "ctx": {"error": msg}} */
static enum conv_result add_syntax_error(struct plan_run *run, const char *type_name,
                                         const char *sentence, PyObject *exc) {
    enum conv_result result = CONV_FAILED;
    PyObject *pos = PyObject_GetAttrString(exc, "pos");
    PyObject *msg = PyObject_GetAttrString(exc, "msg");
    PyObject *type = PyUnicode_FromString(type_name);
    PyObject *message = PyUnicode_FromString(sentence);
    PyObject *input = PyDict_New();
    PyObject *context = msg != NULL ? Py_BuildValue("{s:O}", "error", msg) : NULL;
    if (pos != NULL && type != NULL && message != NULL && input != NULL && context != NULL) {
        run->deeper[run->ndeeper++] = pos;
        result = plan_error(run, type, message, input, context);
        run->ndeeper--;
    }
    Py_XDECREF(pos);
    Py_XDECREF(msg);
    Py_XDECREF(type);
    Py_XDECREF(message);
    Py_XDECREF(input);
    Py_XDECREF(context);
    return result;
}

static enum conv_result add_json_error(struct plan_run *run, PyObject *exc) {
    return add_syntax_error(run, "json_invalid", "JSON decode error", exc);
}

/* Our decoder has refused the body and raised. The words of the error are the standard library's,
 * as FastAPI's users know them; where that one would have taken it (UTF-16, deep nesting), ours
 * stand. */
static enum conv_result explain(struct plan_run *run, struct wf_span body) {
    PyObject *ours = wf_err_take();
    PyObject *json = PyImport_ImportModule("json");
    PyObject *theirs = NULL, *error_type = NULL;
    enum conv_result result = CONV_FAILED;
    PyObject *value =
        json != NULL ? PyObject_CallMethod(json, "loads", "y#", body.p, (Py_ssize_t)body.n) : NULL;
    if (value != NULL) {
        result = add_json_error(run, ours);
        goto done;
    }
    if (json == NULL || PyErr_ExceptionMatches(PyExc_MemoryError)) {
        goto done;
    }
    theirs = wf_err_take();
    error_type = PyObject_GetAttrString(json, "JSONDecodeError");
    if (error_type == NULL) {
        goto done;
    }
    int refused = PyObject_IsInstance(theirs, error_type);
    if (refused > 0) {
        run->call->body = PyObject_GetAttrString(theirs, "doc");
        result = run->call->body != NULL ? add_json_error(run, theirs) : CONV_FAILED;
    } else if (refused == 0) {
        result = raise_unreadable();
    }
done:
    Py_XDECREF(value);
    Py_XDECREF(theirs);
    Py_XDECREF(error_type);
    Py_XDECREF(json);
    Py_DECREF(ours);
    return result;
}

bool wf_plan_body_is_json(const struct wf_plan_call *call) {
    const struct wf_field *type = wf_head_find(&call->ex->head, WF_FIELD_CONTENT_TYPE);
    return type != NULL && type->value_len != 0 ? is_json(media_type(call->ex)) : call->lenient;
}

bool plan_body_is_bson(const struct wf_exchange *ex) {
    return wf_span_eq_lower(media_type(ex), WF_SPAN("application/bson"));
}

/* A BSON document to plain objects; what is none is the error that JSON would be. */
static enum conv_result read_bson(struct plan_run *run, struct wf_span body, PyObject **out) {
    struct wf_bson_state *s = &run->plan->state->bson;
    *out = wf_bson_decode(s, NULL, body, 0);
    if (wf_likely(*out != NULL)) {
        return CONV_OK;
    }
    if (!PyErr_ExceptionMatches(s->decode_error)) {
        return CONV_FAILED;
    }
    PyObject *exc = wf_err_take();
    enum conv_result result = add_syntax_error(run, "bson_invalid", "BSON decode error", exc);
    Py_DECREF(exc);
    return result;
}

enum conv_result plan_read_body(struct plan_run *run, PyObject **out) {
    struct wf_exchange *ex = run->call->ex;
    struct wf_state *state = run->plan->state;
    *out = NULL;
    if (ex->form != NULL) {
        return plan_read_form(run, out);
    }
    if (ex->body.n == 0) {
        return CONV_OK;
    }
    if (!wf_plan_body_is_json(run->call)) {
        if (plan_body_is_bson(ex)) {
            return read_bson(run, ex->body, out);
        }
        *out = PyBytes_FromStringAndSize(ex->body.p, (Py_ssize_t)ex->body.n);
        return *out != NULL ? CONV_OK : CONV_FAILED;
    }
    *out = wf_json_decode(state, ex->body, WF_JSON_SURROGATES | WF_JSON_NONFINITE);
    if (wf_likely(*out != NULL)) {
        return CONV_OK;
    }
    return PyErr_ExceptionMatches(state->json.decode_error) ? explain(run, ex->body) : CONV_FAILED;
}
