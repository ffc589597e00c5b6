#include "base/buf.h"

#include "base/alloc.h"

enum { BUF_CAP_MIN = 256 };

void wf_buf_free(struct wf_buf *b) {
    wf_free(b->p);
    b->p = NULL;
    b->len = b->cap = 0;
}

int wf_buf_grow(struct wf_buf *b, size_t extra) {
    if (extra > b->max || b->len > b->max - extra) {
        return WF_BUF_FULL;
    }
    size_t need = b->len + extra;
    size_t cap = WF_MAX(b->cap, (size_t)BUF_CAP_MIN);
    while (cap < need) {
        cap = cap > b->max / 2 ? b->max : cap * 2;
    }
    cap = WF_MIN(cap, b->max);
    char *p = wf_realloc(b->p, cap);
    if (p == NULL) {
        return WF_BUF_NOMEM;
    }
    b->p = p;
    b->cap = cap;
    return WF_BUF_OK;
}
