/* One exchange's life: from the pool, through the ready list, to finish; and the streamed body. */
#include "base/check.h"
#include "serve/server_int.h"
#include "wire/encoding/encoding.h"

struct wf_exchange *wf_exchange_new(struct wf_conn *c) {
    struct wf_server *s = c->server;
    struct wf_exchange *ex = wf_pool_take(&s->exchanges);
    if (wf_unlikely(ex == NULL)) {
        return NULL;
    }
    /* Field by field: clearing all of it would cost more than parsing a usual head. */
    wf_list_init(&ex->ready);
    ex->server = s;
    ex->conn = c;
    ex->owner = c;
    ex->user = NULL;
    ex->events = 0;
    ex->reply = WF_REPLY_NONE;
    ex->route = WF_ROUTE_NOT_FOUND;
    ex->close_after = false;
    ex->body_done = false;
    ex->taken = ex->timed_out = false;
    ex->https = false;
    ex->vary_cookie = false;
    ex->set_cookie = wf_span("", 0);
    ex->client = NULL;
    ex->host = wf_span("", 0);
    ex->request_id = wf_span(NULL, 0);
    ex->around = ex->passed = NULL;
    ex->status = 0;
    ex->started_ns = c->started_ns;
    ex->reply_bytes = 0;
    ex->base = NULL;
    ex->path = wf_span("", 0);
    ex->body = wf_span("", 0);
    ex->form = NULL;
    ex->encoder = NULL;
    ex->long_content = NULL;
    ex->body_coding = NULL;
    ex->match.leaf = NULL;
    ex->match.nparams = 0;
    ex->head.fields = ex->fields;
    ex->head.fields_cap = WF_EXCHANGE_FIELDS;
    wf_arena_init(&ex->arena, ex->arena_first, sizeof(ex->arena_first), WF_EXCHANGE_ARENA_MAX);
    return ex;
}

void wf_exchange_release(struct wf_exchange *ex) {
    wf_list_remove(&ex->ready);
    if (wf_unlikely(ex->passed != NULL)) {
        wf_layers_over(ex);
    }
    if (wf_unlikely(ex->form != NULL)) {
        wf_form_free(ex->form);
    }
    WF_ASSERT(ex->long_content == NULL);
    if (wf_unlikely(ex->encoder != NULL)) {
        wf_encoder_free(ex->encoder);
    }
    if (wf_unlikely(ex->body_coding != NULL)) {
        wf_body_coding_free(ex->body_coding);
    }
    wf_arena_reset(&ex->arena);
    wf_pool_give(&ex->server->exchanges, ex);
}

void wf_exchange_post(struct wf_exchange *ex, unsigned events) {
    ex->events |= (uint8_t)events;
    if (!wf_list_linked(&ex->ready)) {
        wf_list_push(&ex->server->ready, &ex->ready);
    }
}

struct wf_exchange *wf_server_next(struct wf_server *s, unsigned *events) {
    struct wf_list *node = wf_list_pop(&s->ready);
    if (node == NULL) {
        return NULL;
    }
    struct wf_exchange *ex = wf_container_of(node, struct wf_exchange, ready);
    *events = ex->events;
    ex->events = 0;
    ex->taken = true;
    return ex;
}

bool wf_server_has_ready(const struct wf_server *s) {
    return !wf_list_empty(&s->ready);
}

const struct wf_addr *wf_exchange_peer(const struct wf_exchange *ex) {
    return ex->client != NULL ? ex->client : &ex->owner->peer;
}

struct wf_span wf_exchange_host(const struct wf_exchange *ex) {
    if (wf_unlikely(ex->host.n != 0)) {
        return ex->host;
    }
    if (ex->head.authority_at.n != 0) {
        return wf_head_span(ex->base, ex->head.authority_at);
    }
    const struct wf_field *f = wf_head_find(&ex->head, WF_FIELD_HOST);
    return f != NULL ? wf_field_value_span(ex->base, f) : wf_span("", 0);
}

/* A listener on a wildcard address does not say which of ours the client used; the kernel does. */
const struct wf_addr *wf_exchange_local(const struct wf_exchange *ex) {
    const struct wf_conn *c = ex->owner;
    struct wf_addr *a = ex->conn != NULL && c->local->sa.sa_family != AF_UNIX
                            ? wf_arena_alloc((struct wf_arena *)&ex->arena, sizeof(*a))
                            : NULL;
    if (a == NULL) {
        return c->local;
    }
    a->len = sizeof(*a) - offsetof(struct wf_addr, sa);
    return getsockname(c->stream.watch.fd, &a->sa, &a->len) == 0 ? a : c->local;
}

/* What the embedder left undone. Nothing sent is a 500; half a stream can only be cut. */
static void make_up(struct wf_exchange *ex) {
    if (ex->reply == WF_REPLY_OPEN) {
        wf_reply_cancel(ex);
    }
    if (ex->reply == WF_REPLY_NONE && wf_reply_error(ex, 500, wf_span("", 0)) < 0) {
        ex->conn->broken = true;
    }
    if (ex->reply == WF_REPLY_STREAMING) {
        ex->conn->broken = true;
        ex->conn->reset = ex->head.minor_version == 0;
    }
}

void wf_exchange_finish(struct wf_exchange *ex) {
    struct wf_conn *c = ex->owner;
    WF_ASSERT(ex->taken && c->ex == ex);
    ex->server->running--;
    if (wf_likely(ex->conn != NULL)) {
        if (wf_unlikely(ex->reply != WF_REPLY_COMPLETE)) {
            make_up(ex);
        }
        wf_conn_finished(c);
        return;
    }
    struct wf_server *s = ex->server;
    c->ex = NULL;
    wf_exchange_release(ex);
    wf_conn_give_input(c);
    if (c->state == WF_CONN_CLOSED) { /* it was only waiting for us */
        wf_list_remove(&c->node);
        wf_list_push(&s->dead, &c->node);
    }
}

enum wf_body_result wf_body_read(struct wf_exchange *ex, struct wf_span *out) {
    struct wf_conn *c = ex->owner;
    *out = wf_span("", 0);
    if (ex->match.leaf == NULL || ex->match.leaf->body_mode != WF_BODY_STREAM) {
        ex->body_done = true;
        return WF_BODY_END;
    }
    if (wf_unlikely(ex->body_coding != NULL)) {
        enum wf_body_result rc = wf_conn_read_coding(c, out);
        if (rc != WF_BODY_END) {
            return rc;
        }
    } else if (c->body_at < c->body_end) {
        *out = wf_span(c->in + c->body_at, c->body_end - c->body_at);
        c->body_at = c->body_end;
        return WF_BODY_DATA;
    }
    switch ((enum wf_body_state)c->body) {
    case WF_BODY_COMPLETE:
        ex->body_done = true;
        return WF_BODY_END;
    case WF_BODY_OVER:
        return WF_BODY_TOO_LARGE;
    case WF_BODY_SLOW:
        return WF_BODY_TOO_SLOW;
    case WF_BODY_BAD:
        return WF_BODY_MALFORMED;
    case WF_BODY_MISCODED:
        return WF_BODY_BAD_CODING;
    case WF_BODY_LOST:
        return WF_BODY_NOMEM;
    case WF_BODY_ARRIVING:
        break;
    }
    if (ex->conn == NULL) {
        return WF_BODY_BROKEN;
    }
    /* What was handed over is consumed: its room takes the next bytes. */
    c->body_at = c->body_end = c->in_at = c->in_end = c->head_end;
    c->body_awaited = true;
    c->more_waits = false;
    wf_conn_continue(c);
    wf_conn_settle(c);
    return ex->conn != NULL ? WF_BODY_WAIT : WF_BODY_BROKEN;
}
