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
