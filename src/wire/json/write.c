#include "wire/json/json_write.h"

/* clang-format off */
const char wf_json_escapes[256] = {
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u',
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
    ['"'] = '"', ['\\'] = '\\',
};
/* clang-format on */

static int buf_grow(struct wf_json_out *o, size_t extra) {
    struct wf_json_buf_out *self = wf_container_of(o, struct wf_json_buf_out, out);
    wf_json_buf_close(self);
    int rc = wf_buf_reserve(self->buf, extra);
    if (rc == WF_BUF_OK) {
        wf_json_buf_open(self, self->buf);
    }
    return rc;
}

void wf_json_buf_open(struct wf_json_buf_out *o, struct wf_buf *b) {
    o->buf = b;
    o->out = (struct wf_json_out){.start = b->p, .grow = buf_grow};
    if (b->p != NULL) { /* NULL has no bytes to point behind */
        o->out.p = b->p + b->len;
        o->out.end = b->p + b->cap;
    }
}

int wf_json_write_string(struct wf_buf *b, struct wf_span s) {
    size_t len = b->len;
    struct wf_json_buf_out o;
    wf_json_buf_open(&o, b);
    int rc = wf_json_put_text(&o.out, s.p, s.n);
    wf_json_buf_close(&o);
    if (rc != WF_BUF_OK) {
        b->len = len;
    }
    return rc;
}

static int put_line(struct wf_json_out *o, size_t spaces) {
    int rc = wf_json_need(o, spaces + 1);
    if (rc == WF_BUF_OK) {
        *o->p++ = '\n';
        memset(o->p, ' ', spaces);
        o->p += spaces;
    }
    return rc;
}

/* The end of the string whose opening quote is at p. */
static const char *string_end(const char *p, const char *end) {
    unsigned high = 0;
    for (p = wf_json_plain(p + 1, end, &high); p < end && *p != '"';) {
        p = wf_json_plain(p + 2, end, &high); /* behind an escape */
    }
    return p + 1;
}

int wf_json_indent(struct wf_span in, unsigned spaces, struct wf_json_out *o) {
    const char *p = in.p, *end = in.p + in.n;
    size_t level = 0;
    int rc = WF_BUF_OK;
    while (p < end && rc == WF_BUF_OK) {
        const char *next = *p == '"' ? string_end(p, end) : p + 1;
        bool opens = *p == '{' || *p == '[', closes = *p == '}' || *p == ']';
        const char *inside = opens ? wf_json_skip_space(next, end) : end;
        bool empty = inside < end && (*inside == '}' || *inside == ']');
        if (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') {
            p = next; /* of JSON that somebody else has written */
            continue;
        }
        if (closes) {
            rc = put_line(o, --level * spaces);
        }
        if (rc == WF_BUF_OK) {
            rc = wf_json_put_bytes(o, p, (size_t)(next - p));
        }
        if (rc == WF_BUF_OK && empty) {
            *o->p++ = *inside; /* in the slack, as below */
            next = inside + 1;
        }
        if (rc == WF_BUF_OK && *p == ':') {
            *o->p++ = ' ';
        }
        if (rc == WF_BUF_OK && (*p == ',' || (opens && !empty))) {
            level += opens;
            rc = put_line(o, level * spaces);
        }
        p = next;
    }
    return rc;
}
