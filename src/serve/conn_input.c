/* The buffer that a connection reads into: of the pool while it is small, none while the connection is idle. */
#include "base/alloc.h"
#include "base/check.h"
#include "serve/server_int.h"

static void free_input(struct wf_server *s, char *p, size_t cap) {
    if (cap == WF_STREAM_BUF_BYTES) {
        wf_pool_give(&s->buffers, p);
    } else {
        wf_free(p);
    }
}

void wf_conn_give_input(struct wf_conn *c) {
    if (c->in != NULL) {
        free_input(c->server, c->in, c->in_cap);
        c->in = NULL;
    }
    c->in_cap = c->in_at = c->in_end = 0;
}

bool wf_conn_move_input(struct wf_conn *c, size_t cap) {
    struct wf_exchange *ex = c->ex;
    size_t from = ex != NULL ? (size_t)(ex->base - c->in) : c->in_at;
    WF_ASSERT(cap >= c->in_end - from);
    char *p = cap == WF_STREAM_BUF_BYTES ? wf_pool_take(&c->server->buffers) : wf_malloc(cap);
    if (p == NULL) {
        return false;
    }
    memcpy(p, c->in + from, c->in_end - from);
    if (ex != NULL) {
        /* The path and its parameters may lie in the old buffer (or in the arena). */
        uintptr_t old = (uintptr_t)c->in;
        for (int i = -1; i < (int)ex->match.nparams; i++) {
            struct wf_span *s = i < 0 ? &ex->path : &ex->match.params[i];
            if ((uintptr_t)s->p >= old && (uintptr_t)s->p < old + c->in_cap) {
                s->p = p + ((uintptr_t)s->p - old - from);
            }
        }
        ex->base = p;
        c->head_end -= from;
        c->body_end -= from;
        c->body_at -= from;
    }
    free_input(c->server, c->in, c->in_cap);
    c->in = p;
    c->in_cap = cap;
    c->in_at -= from;
    c->in_end -= from;
    return true;
}

/* A claimed length costs nothing until more than one pooled buffer of it has come; then the rest is
 * one allocation. Without a length it doubles. Never much more than the route's limit. */
static size_t grown_for_body(const struct wf_conn *c) {
    size_t head = c->head_end - (size_t)(c->ex->base - c->in);
    if (c->body_mode == WF_BODY_FORM || c->ex->body_coding != NULL) { /* none of it stays there */
        return c->in_cap + WF_FORM_READ_BYTES;
    }
    size_t body = c->body_end - c->head_end;
    if (!c->body_chunked) {
        return WF_MAX(head + body + (size_t)c->body_left, (size_t)WF_STREAM_BUF_BYTES);
    }
    size_t twice = c->in_cap * 2, most = head + WF_STREAM_BUF_BYTES;
    return c->body_max < twice ? WF_MIN(twice, most + (size_t)c->body_max) : twice;
}

enum wf_conn_room wf_conn_make_room(struct wf_conn *c) {
    if (wf_likely(c->in == NULL)) {
        c->in = wf_pool_take(&c->server->buffers);
        c->in_cap = WF_STREAM_BUF_BYTES;
        c->in_at = c->in_end = 0;
        return c->in != NULL ? WF_ROOM : WF_NO_MEMORY;
    }
    if (c->in_end < c->in_cap) {
        return WF_ROOM;
    }
    switch ((enum wf_conn_state)c->state) {
    case WF_CONN_HEAD:
        if (c->in_at > 0) {
            memmove(c->in, c->in + c->in_at, c->in_end - c->in_at);
            c->in_end -= c->in_at;
            c->in_at = 0;
            return WF_ROOM;
        }
        return wf_conn_move_input(c, c->in_cap * 2) ? WF_ROOM : WF_NO_MEMORY;
    case WF_CONN_BODY:
        return wf_conn_move_input(c, grown_for_body(c)) ? WF_ROOM : WF_NO_MEMORY;
    case WF_CONN_DROP:
        c->in_at = c->in_end = 0;
        return WF_ROOM;
    default: /* an embedder's spans point into it, or nobody wants more */
        return WF_NO_ROOM_NOW;
    }
}

void wf_conn_shrink_input(struct wf_conn *c) {
    if (c->in_cap == WF_STREAM_BUF_BYTES) {
        return;
    }
    if (c->in_at == c->in_end) {
        wf_conn_give_input(c);
    } else if (c->in_end - c->in_at <= WF_STREAM_BUF_BYTES) {
        (void)wf_conn_move_input(c, WF_STREAM_BUF_BYTES); /* without memory the large one stays */
    }
}
