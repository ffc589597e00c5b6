/* Request bodies: framed, bounded, and handed on to a form that is read while it arrives. */
#include "base/check.h"
#include "serve/server_int.h"

bool wf_conn_begin_body(struct wf_conn *c) {
    const struct wf_head *head = &c->ex->head;
    c->head_end = c->body_at = c->body_end = c->in_at;
    if (wf_likely(head->framing == WF_BODY_NONE ||
                  (head->framing == WF_BODY_LENGTH && head->content_length == 0))) {
        c->body = WF_BODY_COMPLETE;
        c->continue_owed = false;
        return true;
    }
    c->body = WF_BODY_ARRIVING;
    c->body_bytes = 0;
    c->body_left = head->content_length;
    c->body_chunked = head->framing == WF_BODY_CHUNKED;
    c->continue_owed = head->expect_continue && c->in_at == c->in_end; /* else it did not wait */
    if (c->body_chunked) {
        wf_chunked_init(&c->chunked);
        c->body_left = 0;
    }
    return c->body_left <= c->body_max;
}

void wf_conn_feed_body(struct wf_conn *c) {
    size_t n = c->in_end - c->in_at;
    if (c->body != WF_BODY_ARRIVING || n == 0) {
        return;
    }
    size_t used = n;
    bool done;
    if (!c->body_chunked) {
        n = used = (size_t)WF_MIN((uint64_t)n, c->body_left);
        c->body_left -= n;
        done = c->body_left == 0;
    } else {
        enum wf_chunked_result r = wf_chunked_decode(&c->chunked, c->in + c->in_at, &n, &used);
        done = r == WF_CHUNKED_DONE;
        if (r == WF_CHUNKED_BAD || r == WF_CHUNKED_TRAILER_TOO_LARGE) {
            c->body = WF_BODY_BAD;
            c->in_end = c->in_at;
            return;
        }
    }
    bool over = n > c->body_max - c->body_bytes;
    n = over ? (size_t)(c->body_max - c->body_bytes) : n;
    c->body_end = c->in_at + n;
    c->body_bytes += n;
    c->in_at += used;
    if (over) {
        c->body = WF_BODY_OVER;
    } else if (done) {
        c->body = WF_BODY_COMPLETE;
        return;
    }
    c->in_at = c->in_end = c->body_end;
}

/* ---- forms ---- */

void wf_conn_form_fed(struct wf_conn *c) {
    WF_ASSERT(c->ex != NULL && c->ex->form != NULL);
    if (c->body == WF_BODY_COMPLETE) {
        wf_form_finish(c->ex->form);
    } else if (c->ex->form->status != 0) {
        c->body_mode = WF_BODY_IGNORE;
    }
}

void wf_conn_feed_form(struct wf_conn *c) {
    wf_form_feed(c->ex->form, wf_span(c->in + c->head_end, c->body_end - c->head_end));
    c->body_end = c->head_end;
    if (c->body != WF_BODY_COMPLETE) {
        c->in_at = c->in_end = c->head_end;
    }
}

bool wf_conn_begin_form(struct wf_conn *c) {
    struct wf_exchange *ex = c->ex;
    WF_ASSERT(ex->match.leaf != NULL); /* it is the leaf that wants a form */
    const struct wf_field *type = wf_head_find(&ex->head, WF_FIELD_CONTENT_TYPE);
    ex->form = wf_form_new(type != NULL ? wf_field_value_span(ex->base, type) : wf_span("", 0),
                           ex->match.leaf->form);
    if (ex->form == NULL) {
        return false;
    }
    if (!c->body_chunked && ex->body_coding == NULL) {
        wf_form_expect(ex->form, ex->head.content_length);
    }
    if (c->body == WF_BODY_COMPLETE) {
        wf_form_finish(ex->form);
        return true;
    }
    return c->body_left <= WF_FORM_READ_BYTES || c->in_cap > WF_FORM_READ_BYTES ||
           wf_conn_move_input(c, c->in_cap + WF_FORM_READ_BYTES);
}

char *wf_conn_form_place(const struct wf_conn *c, size_t *bytes) {
    if (c->state != WF_CONN_BODY || c->body_mode != WF_BODY_FORM || c->body_chunked ||
        c->body != WF_BODY_ARRIVING || c->ex->body_coding != NULL) {
        return NULL;
    }
    char *place = wf_form_place(c->ex->form, bytes);
    if (place == NULL) {
        return NULL;
    }
    *bytes = (size_t)WF_MIN(WF_MIN((uint64_t)*bytes, c->body_left), (uint64_t)WF_FORM_PLACE_BYTES);
    return place;
}

void wf_conn_form_placed(struct wf_conn *c, struct wf_span bytes) {
    c->body_left -= bytes.n;
    c->body_bytes += bytes.n;
    c->body = c->body_left == 0 ? WF_BODY_COMPLETE : WF_BODY_ARRIVING;
    wf_form_feed(c->ex->form, bytes);
}
