/* The status and the fields that an application gives its replies. */
#include "py/http/reply_int.h"

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

int wf_bytes_span(PyObject *o, struct wf_span *out) {
    if (!PyBytes_Check(o)) {
        PyErr_Format(PyExc_TypeError, "raw_headers must be pairs of bytes, not %.100s",
                     Py_TYPE(o)->tp_name);
        return -1;
    }
    *out = wf_span(PyBytes_AS_STRING(o), (size_t)PyBytes_GET_SIZE(o));
    return 0;
}

int wf_fields_collect(struct wf_fields *f, PyObject *raw_headers) {
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
        if (wf_bytes_span(PyTuple_GET_ITEM(pair, 0), &field->name) < 0 ||
            wf_bytes_span(PyTuple_GET_ITEM(pair, 1), &field->value) < 0) {
            return -1;
        }
        f->n++;
    }
    return 0;
}

const struct wf_reply_field *wf_fields_find(const struct wf_fields *f, struct wf_span lower) {
    for (uint32_t i = 0; i < f->n; i++) {
        if (wf_span_eq_lower(f->list[i].name, lower)) {
            return &f->list[i];
        }
    }
    return NULL;
}

int64_t wf_fields_length(const struct wf_fields *f) {
    const struct wf_reply_field *field = wf_fields_find(f, WF_SPAN("content-length"));
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

bool wf_fields_of_events(const struct wf_fields *f) {
    const struct wf_span media = WF_SPAN("text/event-stream");
    const struct wf_reply_field *field = wf_fields_find(f, WF_SPAN("content-type"));
    struct wf_span type = field != NULL ? field->value : WF_SPAN("");
    return type.n >= media.n && wf_span_eq_lower(wf_span(type.p, media.n), media) &&
           (type.n == media.n || type.p[media.n] == ';' || type.p[media.n] == ' ');
}

void wf_fields_set(struct wf_reply_head *head, const struct wf_fields *f) {
    head->fields = f->list;
    head->nfields = f->n;
    if (!wf_status_has_body(head->status) || wf_fields_find(f, WF_SPAN("content-type")) != NULL) {
        head->content_type = WF_SPAN("");
    }
}

int wf_response_status(const struct wf_response *r, int *status) {
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
