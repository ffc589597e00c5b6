/* Replies of the framework's own to what went wrong: 422 and HTTPException. */
#include "py/http/reply_int.h"

/* {"detail": errors} */
static int send_errors(struct wf_call *call, PyObject *errors) {
    struct wf_http_server *s = call->server;
    PyObject *body = PyDict_New();
    int rc = body != NULL ? PyDict_SetItem(body, s->state->http.str.detail, errors) : -1;
    if (rc == 0) {
        rc = wf_reply_json(
            call, body, s->plain_error,
            &(struct wf_reply_head){.status = 422, .content_type = WF_SPAN("application/json")});
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
    return *keep != NULL ? wf_bytes_span(*keep, out) : -1;
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
    struct wf_fields f;
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
                                 .content_type = WF_SPAN("application/json")};
    wf_fields_set(&head, &f);
    if (!wf_status_has_body(head.status)) {
        rc = wf_reply_status(wf_reply_send(call->plan.ex, &head, WF_SPAN("")), "the HTTPException");
        goto done;
    }
    body = PyDict_New();
    if (body != NULL && PyDict_SetItem(body, state->http.str.detail, detail) == 0) {
        rc = wf_reply_json(call, body, call->server->attributes, &head);
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
