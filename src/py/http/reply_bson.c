/* Replies in BSON, where the client asks for it: `Accept: application/bson`, with more weight than JSON has. */
#include "py/bson/shapes.h"
#include "py/http/reply_int.h"
#include "wire/headers/headers.h"

static const struct wf_span bson_type = {"application/bson", 16};

/* Most clients name no such thing, and are told apart before their lists are read. */
static bool names_bson(struct wf_span accept) {
    for (size_t i = 0; i + 4 <= accept.n; i++) {
        if ((accept.p[i] | 0x20) == 'b' &&
            wf_span_eq_lower(wf_span(accept.p + i, 4), WF_SPAN("bson"))) {
            return true;
        }
    }
    return false;
}

static unsigned json_weight(struct wf_span accept) {
    static const struct wf_span ranges[] = {
        {"application/json", 16}, {"application/*", 13}, {"*/*", 3}};
    for (size_t i = 0; i < WF_ARRAY_LEN(ranges); i++) {
        if (wf_list_has(accept, ranges[i])) {
            return wf_accept_weight(accept, ranges[i]);
        }
    }
    return 0;
}

bool wf_reply_wants_bson(const struct wf_call *call) {
    const struct wf_exchange *ex = call->plan.ex;
    const struct wf_field *field = wf_head_find(&ex->head, WF_FIELD_ACCEPT);
    if (field == NULL || field->value_len < bson_type.n) {
        return false;
    }
    struct wf_span accept = wf_field_value_span(ex->base, field);
    return names_bson(accept) && wf_accept_weight(accept, bson_type) > json_weight(accept);
}

int wf_reply_bson(struct wf_call *call, PyObject *value, bool dumped,
                  const struct wf_reply_head *json) {
    struct wf_reply_field fields[REPLY_FIELDS_MAX + 1];
    struct wf_exchange *ex = call->plan.ex;
    struct wf_reply_head head = *json;
    struct wf_buf *out;
    if (head.content_type.n == 0) {
        return 1; /* the application has said what it is */
    }
    for (uint32_t i = 0; i < head.nfields; i++) {
        fields[i] = head.fields[i];
    }
    fields[head.nfields++] = (struct wf_reply_field){WF_SPAN("vary"), WF_SPAN("accept")};
    head.fields = fields;
    head.content_type = bson_type;
    int rc = wf_reply_open(ex, &head, &out);
    if (rc != WF_REPLY_OK) {
        return wf_reply_status(rc, "the reply");
    }
    rc = wf_bson_encode_object(call->server->state, value, dumped, out);
    if (rc != 0) {
        wf_reply_cancel(ex);
        return rc;
    }
    return wf_reply_status(wf_reply_close(ex), "the reply");
}

PyObject *wf_reply_bson_bytes(struct wf_call *call, PyObject *value, bool dumped) {
    struct wf_buf out;
    wf_buf_init(&out, REPLY_PLAIN_BYTES_MAX);
    PyObject *bytes = NULL;
    int rc = wf_bson_encode_object(call->server->state, value, dumped, &out);
    if (rc == 0) {
        bytes = PyBytes_FromStringAndSize(out.p, (Py_ssize_t)out.len);
    } else if (rc == 1) {
        bytes = Py_NewRef(Py_None);
    }
    wf_buf_free(&out);
    return bytes;
}
