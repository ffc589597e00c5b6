/* What a connection waits for: input or not, and how long (server_int.h has the classes). */
#include "base/check.h"
#include "serve/server_int.h"

bool wf_conn_wants_input(const struct wf_conn *c) {
    if (c->eof) {
        return false;
    }
    switch ((enum wf_conn_state)c->state) {
    case WF_CONN_HEAD:
    case WF_CONN_BODY:
    case WF_CONN_DROP:
    case WF_CONN_LINGER:
        return true;
    case WF_CONN_RUNNING:
        /* Also without a use for it: this is how we learn that the client has gone. */
        return !c->more_waits;
    default:
        return false;
    }
}

static struct wf_wait_list *handler_waits(const struct wf_conn *c) {
    WF_ASSERT(c->ex != NULL); /* it is RUNNING */
    const struct wf_leaf *leaf = c->ex->match.leaf;
    return leaf != NULL && leaf->timeout != NULL ? leaf->timeout
                                                 : &c->server->waits[WF_WAIT_HANDLER];
}

static enum wf_wait wait_of(const struct wf_conn *c) {
    if (c->state == WF_CONN_LINGER) {
        return WF_WAIT_LINGER;
    }
    if (wf_unlikely(c->stalled)) {
        return WF_WAIT_WRITE;
    }
    switch ((enum wf_conn_state)c->state) {
    case WF_CONN_HEAD:
        if (c->in_at != c->in_end) {
            return WF_WAIT_HEAD;
        }
        return c->server->draining ? WF_WAIT_FIRST : WF_WAIT_IDLE;
    case WF_CONN_BODY:
    case WF_CONN_DROP:
        return WF_WAIT_BODY;
    case WF_CONN_RUNNING:
        if (c->body == WF_BODY_ARRIVING && c->in_end < c->in_cap && !c->continue_owed) {
            return WF_WAIT_BODY;
        }
        if (handler_waits(c)->ns != 0 && c->ex->reply == WF_REPLY_NONE) {
            return wf_likely(!c->ex->timed_out) ? WF_WAIT_HANDLER : WF_WAIT_GRACE;
        }
        return c->more_waits ? WF_WAIT_END : WF_WAIT_NONE;
    default:
        return WF_WAIT_NONE;
    }
}

uint64_t wf_conn_moved(const struct wf_conn *c, enum wf_wait wait) {
    return wait == WF_WAIT_WRITE ? c->queued_bytes - wf_stream_pending(&c->stream) : c->input_bytes;
}

void wf_conn_wait_from_now(struct wf_conn *c, enum wf_wait wait) {
    struct wf_server *s = c->server;
    wf_list_remove(&c->wait);
    c->wait_class = (uint8_t)wait;
    struct wf_wait_list *list = wait == WF_WAIT_HANDLER ? handler_waits(c) : &s->waits[wait];
    if (list->ns == 0) {
        return;
    }
    c->mark = wf_conn_moved(c, wait);
    c->deadline_ns = s->loop->now_ns + list->ns;
    wf_list_push(&list->conns, &c->wait);
    if (wf_unlikely(!wf_timer_active(&s->tick))) {
        wf_server_start_tick(s);
    }
}

void wf_conn_settle(struct wf_conn *c) {
    if (c->state == WF_CONN_CLOSED) {
        return;
    }
    if (c->in_at == c->in_end && c->ex == NULL && c->in != NULL) {
        wf_conn_give_input(c);
    }
    bool reading = wf_conn_wants_input(c);
    if (wf_unlikely(reading == c->stream.paused)) {
        if (!reading) {
            wf_stream_pause(&c->stream);
        } else if (wf_stream_resume(&c->stream) != 0) {
            wf_conn_close(c, true);
            return;
        }
    }
    enum wf_wait wait = wait_of(c);
    if (wait != (enum wf_wait)c->wait_class) {
        wf_conn_wait_from_now(c, wait);
    }
}
