/* One HTTP/1.x connection: its states, and what leads from one to the next.
 *
 * Read wf_conn_advance first: it is the machine drawn in server_int.h, one step function a state.
 * Each step returns the state to go to, or its own to wait for more input, output or time. */
#include <errno.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "serve/server_int.h"

enum { READS_A_TURN = 4 }; /* of one connection that keeps filling its buffer: the others wait */

void wf_conn_continue(struct wf_conn *c) {
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!c->continue_owed) {
        return;
    }
    c->continue_owed = false;
    if (c->ex->reply != WF_REPLY_NONE || wf_stream_prepare(&c->stream) != WF_BUF_OK ||
        wf_buf_append(&c->stream.out, line, sizeof(line) - 1) != WF_BUF_OK) {
        return; /* a client may not wait for ever for it (RFC 9110 section 10.1.1) */
    }
    c->queued_bytes += sizeof(line) - 1;
    c->server->counters.replies_1xx++;
    wf_conn_has_output(c);
}

/* ---- replies made, connections ended ---- */

static enum wf_conn_state closed(struct wf_conn *c, bool reset) {
    wf_conn_close(c, reset);
    return WF_CONN_CLOSED;
}

static_assert(offsetof(struct wf_server_counters, replies_5xx) ==
                  offsetof(struct wf_server_counters, replies_1xx) + 4 * sizeof(uint64_t),
              "count_reply counts by the status's first digit");

static void stop_waiting(struct wf_conn *c) {
    wf_list_remove(&c->wait);
    c->wait_class = WF_WAIT_NONE;
}

static void count_reply(struct wf_server *s, const struct wf_exchange *ex) {
    if (wf_likely(ex->status != 0)) {
        uint64_t *by_class = &s->counters.replies_1xx;
        by_class[ex->status / 100 - 1]++;
        if (s->log.fd >= 0) {
            wf_access_log_add(&s->log, ex);
        }
    }
}

/* c->ex has its reply, or cannot have one: lets go of it, once all of it is queued. */
static enum wf_conn_state replied(struct wf_conn *c) {
    struct wf_exchange *ex = c->ex;
    WF_ASSERT(ex != NULL);
    if (wf_unlikely(ex->long_content != NULL)) {
        return WF_CONN_CODING;
    }
    count_reply(c->server, ex);
    if (wf_unlikely(ex->close_after)) {
        c->close_after = true;
        /* Who asked for the end sends no more. Anyone else may be sending at this moment. */
        c->linger = c->linger || ex->head.keep_alive || c->body != WF_BODY_COMPLETE ||
                    c->in_at != c->in_end;
    }
    c->ex = NULL;
    c->body_awaited = c->drained_owed = false;
    wf_exchange_release(ex);
    return WF_CONN_REPLIED;
}

static enum wf_conn_state refused(struct wf_conn *c, int status, const char *detail) {
    wf_refuse(c, status, detail);
    c->linger = true;
    return replied(c);
}

static enum wf_conn_state refused_coding(struct wf_conn *c) {
    wf_refuse_coding(c);
    c->linger = true;
    return replied(c);
}

/* The same where there is no exchange: the head never came. */
static enum wf_conn_state refused_headless(struct wf_conn *c, int status, const char *detail) {
    if (c->ex == NULL && (c->ex = wf_exchange_new(c)) == NULL) {
        return closed(c, true);
    }
    c->ex->head = (struct wf_head){.method = WF_METHOD_OTHER, .minor_version = 1};
    c->body = WF_BODY_COMPLETE;
    return refused(c, status, detail);
}

void wf_conn_finished(struct wf_conn *c) {
    c->state = (uint8_t)replied(c);
    wf_conn_advance(c);
}

/* ---- from HEAD ---- */

/* To the embedder. */
static enum wf_conn_state publish(struct wf_conn *c) {
    WF_ASSERT(c->ex != NULL);
    if (c->body_mode == WF_BODY_BUFFER && c->body_end > c->head_end) {
        c->ex->body = wf_span(c->in + c->head_end, c->body_end - c->head_end);
    } else if (c->body_mode == WF_BODY_BUFFER && wf_unlikely(c->ex->body_coding != NULL)) {
        c->ex->body = wf_buf_span(&c->ex->body_coding->content);
    }
    c->server->running++;
    wf_exchange_post(c->ex, WF_EV_REQUEST);
    return WF_CONN_RUNNING;
}

/* Nobody will read its body: how it is framed decides whether the connection can go on. */
static bool answered_by_layer(struct wf_conn *c) {
    c->body_mode = WF_BODY_IGNORE;
    c->body_max = UINT64_MAX;
    (void)wf_conn_begin_body(c);
    return wf_layers_before(c->ex);
}

static bool answered_by_layer_of_router(struct wf_conn *c) {
    const struct wf_layers *layers = wf_router_options_of(c->ex->match.router)->layers;
    if (layers == NULL) {
        return false;
    }
    c->body_mode = WF_BODY_IGNORE;
    c->body_max = UINT64_MAX;
    (void)wf_conn_begin_body(c);
    return wf_layers_before_inner(c->ex, layers);
}

/* The leaf answers by itself, or has said what to answer instead. */
static bool answered_by_leaf(struct wf_conn *c) {
    const struct wf_leaf *leaf = c->ex->match.leaf;
    if (wf_likely(leaf == NULL || leaf->answer == NULL)) {
        return false;
    }
    c->body_mode = WF_BODY_IGNORE;
    c->body_max = UINT64_MAX;
    (void)wf_conn_begin_body(c);
    if (leaf->answer(leaf->answer_arg, c->ex)) {
        return true;
    }
    c->ex->match.leaf = NULL;
    return false;
}

/* Does the embedder answer what has no leaf? */
static bool is_embedders(const struct wf_exchange *ex) {
    const struct wf_router_options *options = wf_router_options_of(ex->match.router);
    if (ex->route == WF_ROUTE_SLASH || (ex->route == WF_ROUTE_OPTIONS && !ex->head.asterisk)) {
        return options->surrounded;
    }
    return options->unrouted && (ex->route == WF_ROUTE_NOT_FOUND || ex->route == WF_ROUTE_METHOD ||
                                 ex->route == WF_ROUTE_UNREADABLE);
}

static enum wf_conn_state dispatch(struct wf_conn *c) {
    struct wf_exchange *ex = c->ex;
    const struct wf_server *s = c->server;
    if (wf_unlikely(c->trusted)) {
        wf_forwarded_read(&s->config.forwarded, ex);
    }
    if (wf_unlikely(s->layers.first != NULL) && answered_by_layer(c)) {
        return replied(c);
    }
    int bad = wf_find_route(s, ex);
    if (wf_unlikely(bad != 0)) {
        return refused(c, bad, bad == 400 ? "bad percent-encoding in the path" : "");
    }
    if (wf_unlikely(s->router_layers != NULL) && answered_by_layer_of_router(c)) {
        return replied(c);
    }
    if (wf_unlikely(answered_by_leaf(c))) {
        return replied(c);
    }
    const struct wf_leaf *leaf = ex->match.leaf;
    c->body_mode = leaf != NULL ? leaf->body_mode : WF_BODY_IGNORE;
    c->body_max =
        leaf != NULL && leaf->body_max != UINT64_MAX ? leaf->body_max : s->config.body_bytes_max;
    if (wf_unlikely(!wf_conn_begin_body(c))) {
        return refused(c, 413, "");
    }
    if (wf_unlikely(leaf != NULL ? leaf->fixed != NULL : !is_embedders(ex))) {
        wf_answer(c);
        return replied(c);
    }
    if (c->body != WF_BODY_COMPLETE && c->body_mode != WF_BODY_IGNORE) {
        int coding = s->config.keep_codings ? 0 : wf_conn_begin_coding(c);
        if (wf_unlikely(coding != 0)) {
            return coding == 415 ? refused_coding(c) : refused(c, coding, "");
        }
    }
    if (c->body_mode == WF_BODY_FORM && !wf_conn_begin_form(c)) {
        return refused(c, 503, "");
    }
    if (wf_likely(c->body == WF_BODY_COMPLETE)) {
        return publish(c);
    }
    if (c->body_mode == WF_BODY_BUFFER || c->body_mode == WF_BODY_FORM) {
        wf_conn_continue(c);
        return WF_CONN_BODY;
    }
    if (c->body_mode == WF_BODY_STREAM && c->in_cap - c->head_end < WF_STREAM_BUF_BYTES / 4 &&
        !wf_conn_move_input(c, c->in_cap + WF_STREAM_BUF_BYTES)) {
        return closed(c, true);
    }
    return publish(c);
}

/* Nothing but the empty lines that may stand before a request (RFC 9112 section 2.2): some clients end
 * a body with one. */
static bool only_empty_lines(const struct wf_conn *c) {
    size_t at = c->in_at;
    while (at < c->in_end && (c->in[at] == '\r' || c->in[at] == '\n')) {
        at++;
    }
    return at == c->in_end;
}

/* No more of it will come (RFC 9112 section 8). A client that has only shut its side down reads the
 * answer. */
static enum wf_conn_state cut_off_head(struct wf_conn *c) {
    if (only_empty_lines(c)) {
        return WF_CONN_CLOSING;
    }
    c->server->counters.clients_gone++;
    return refused_headless(c, 400, "the connection ended within the request head");
}

static enum wf_conn_state step_head(struct wf_conn *c) {
    struct wf_server *s = c->server;
    if (c->in_at == c->in_end) {
        return c->eof || (s->draining && c->requests != 0) ? WF_CONN_CLOSING : WF_CONN_HEAD;
    }
    if (c->started_ns == 0) {
        c->started_ns = s->loop->now_ns;
    }
    struct wf_exchange *ex = wf_exchange_new(c);
    if (wf_unlikely(ex == NULL)) {
        return closed(c, true);
    }
    ssize_t n = wf_http1_head(&s->head_limits, &c->progress,
                              wf_span(c->in + c->in_at, c->in_end - c->in_at), &ex->head);
    if (wf_unlikely(n == WF_PARTIAL)) { /* a slow head does not hold an exchange */
        wf_exchange_release(ex);
        return wf_unlikely(c->eof) ? cut_off_head(c) : WF_CONN_HEAD;
    }
    c->ex = ex;
    c->progress = (struct wf_http1_progress){0};
    c->started_ns = 0;
    stop_waiting(c);
    if (wf_unlikely(n < 0)) {
        s->counters.bad_requests++;
        return refused_headless(c, (int)-n, ex->head.why != NULL ? ex->head.why : "");
    }
    ex->base = c->in + c->in_at;
    c->in_at += (size_t)n;
    c->requests++;
    s->counters.requests++;
    return dispatch(c);
}

/* ---- the other states ---- */

/* What publish does, for a request whose body came after its head. */
static enum wf_conn_state publish_late(struct wf_conn *c) {
    if (wf_unlikely(c->ex->passed != NULL)) {
        wf_layers_whole(c->ex);
    }
    return publish(c);
}

static enum wf_conn_state step_body(struct wf_conn *c) {
    WF_ASSERT(c->ex != NULL);
    wf_conn_feed_body(c);
    if (wf_unlikely(c->ex->body_coding != NULL) && c->body <= WF_BODY_ARRIVING) {
        int bad = wf_conn_feed_coding(c);
        if (bad != 0) {
            c->server->counters.bad_requests += bad == 400;
            return refused(c, bad, bad == 400 ? WF_BAD_CODING : "");
        }
    } else if (c->body_mode == WF_BODY_FORM && c->body <= WF_BODY_ARRIVING) {
        wf_conn_feed_form(c);
    }
    if (c->body_mode == WF_BODY_FORM && c->body <= WF_BODY_ARRIVING) {
        wf_conn_form_fed(c);
        if (c->body_mode != WF_BODY_FORM) {
            return publish_late(c);
        }
    }
    switch ((enum wf_body_state)c->body) {
    case WF_BODY_COMPLETE:
        return publish_late(c);
    case WF_BODY_OVER:
        return refused(c, 413, "");
    case WF_BODY_BAD:
        c->server->counters.bad_requests++;
        return refused(c, 400, "bad chunked body");
    case WF_BODY_SLOW:
    case WF_BODY_MISCODED:
    case WF_BODY_LOST:
    case WF_BODY_ARRIVING:
        break;
    }
    if (c->eof) {
        c->server->counters.clients_gone++;
        return refused(c, 400, "the connection ended within the request body");
    }
    return WF_CONN_BODY;
}

static enum wf_conn_state step_running(struct wf_conn *c) {
    if (c->body == WF_BODY_COMPLETE) {
        return WF_CONN_RUNNING;
    }
    if (c->body != WF_BODY_ARRIVING) { /* no request can follow: only the end is of interest */
        c->in_at = c->in_end = c->body_end;
        return WF_CONN_RUNNING;
    }
    size_t before = c->body_end;
    wf_conn_feed_body(c);
    if (c->body == WF_BODY_BAD) {
        c->server->counters.bad_requests++;
    }
    if (c->body_mode == WF_BODY_IGNORE) {
        if (c->body != WF_BODY_COMPLETE) {
            c->body_end = c->in_at = c->in_end = c->head_end;
        }
    } else if (c->body_awaited && (c->body_end != before || c->body != WF_BODY_ARRIVING)) {
        c->body_awaited = false;
        wf_exchange_post(c->ex, WF_EV_BODY);
    }
    return WF_CONN_RUNNING;
}

static enum wf_conn_state step_replied(struct wf_conn *c) {
    if (wf_unlikely(c->close_after || c->broken)) {
        return WF_CONN_CLOSING;
    }
    if (wf_unlikely(c->body != WF_BODY_COMPLETE)) {
        if (c->body != WF_BODY_ARRIVING || c->continue_owed || c->body_left > WF_DROP_BYTES_MAX) {
            c->linger = true;
            return WF_CONN_CLOSING;
        }
        c->body_max = c->body_bytes + WF_DROP_BYTES_MAX;
        return WF_CONN_DROP;
    }
    if (wf_unlikely(wf_stream_at_high_water(&c->stream))) {
        return WF_CONN_REPLIED; /* who does not read gets no more answers */
    }
    wf_conn_shrink_input(c);
    return WF_CONN_HEAD;
}

static enum wf_conn_state step_drop(struct wf_conn *c) {
    wf_conn_feed_body(c);
    if (c->body == WF_BODY_COMPLETE) {
        return WF_CONN_REPLIED;
    }
    if (c->body != WF_BODY_ARRIVING || c->eof) {
        c->linger = true;
        return WF_CONN_CLOSING;
    }
    return WF_CONN_DROP;
}

static enum wf_conn_state step_closing(struct wf_conn *c) {
    c->in_at = c->in_end;
    if (wf_stream_pending(&c->stream) != 0) {
        return WF_CONN_CLOSING;
    }
    if (!c->linger || c->eof || c->broken) {
        return closed(c, c->reset);
    }
    wf_stream_end(&c->stream);
    c->input_bytes = 0;
    return WF_CONN_LINGER;
}

void wf_conn_advance(struct wf_conn *c) {
    for (;;) {
        enum wf_conn_state next = WF_CONN_CLOSED;
        switch ((enum wf_conn_state)c->state) {
        case WF_CONN_HEAD:
            next = step_head(c);
            break;
        case WF_CONN_BODY:
            next = step_body(c);
            break;
        case WF_CONN_RUNNING:
            next = step_running(c);
            break;
        case WF_CONN_CODING:
            next = replied(c);
            break;
        case WF_CONN_REPLIED:
            next = step_replied(c);
            break;
        case WF_CONN_DROP:
            next = step_drop(c);
            break;
        case WF_CONN_CLOSING:
            next = step_closing(c);
            break;
        case WF_CONN_LINGER:
        case WF_CONN_CLOSED:
            next = (enum wf_conn_state)c->state;
            break;
        }
        if (next == (enum wf_conn_state)c->state) {
            break;
        }
        c->state = (uint8_t)next;
    }
    wf_conn_settle(c);
}

/* ---- ends, and times out ---- */

/* The end of file means that the client has gone: a closed connection and a half-closed one look
 * the same until something is written. Requests that nobody has begun to handle are still answered
 * (a client that sends, half-closes and reads gets what can be had at once), but a handler that is
 * waiting for something is cancelled, as under uvicorn. Which of the two it will be is not known
 * while the exchange waits in the ready list: then the end is left to be read again in the next
 * turn. */
static void at_end(struct wf_conn *c, ssize_t error) {
    if (error != 0) {
        wf_conn_close(c, true);
    } else if (c->state != WF_CONN_RUNNING) {
        c->eof = true;
        wf_conn_advance(c);
    } else if (c->ex->taken) {
        wf_conn_close(c, false);
    } else {
        wf_conn_settle(c);
    }
}

/* The embedder keeps the exchange, and the buffer, until its finish; the client gets its answer
 * now. */
static enum wf_conn_state handler_timed_out(struct wf_conn *c) {
    struct wf_exchange *ex = c->ex;
    wf_refuse(c, 504, "");
    c->close_after = c->linger = true;
    if (!ex->taken) {
        c->server->running--;
        return replied(c);
    }
    count_reply(c->server, ex);
    ex->conn = NULL;
    wf_exchange_post(ex, WF_EV_GONE | WF_EV_TIMEOUT);
    return WF_CONN_CLOSING;
}

/* Returns the state to go on in. */
static enum wf_conn_state body_timed_out(struct wf_conn *c) {
    switch ((enum wf_conn_state)c->state) {
    case WF_CONN_BODY:
        return refused(c, 408, "the request body arrives too slowly");
    case WF_CONN_RUNNING:
        c->body = WF_BODY_SLOW;
        c->ex->close_after = true;
        if (c->body_awaited) {
            c->body_awaited = false;
            wf_exchange_post(c->ex, WF_EV_BODY);
        }
        return WF_CONN_RUNNING;
    default:
        c->linger = true;
        return WF_CONN_CLOSING;
    }
}

void wf_conn_timed_out(struct wf_conn *c) {
    struct wf_server *s = c->server;
    enum wf_wait wait = (enum wf_wait)c->wait_class;
    if (wait == WF_WAIT_END) {
        wf_conn_wait_from_now(c, wait);
        if (wf_stream_peer_ended(&c->stream)) {
            at_end(c, 0);
        }
        return;
    }
    uint64_t bytes = wf_conn_moved(c, wait) - c->mark;
    if ((wait == WF_WAIT_WRITE && bytes != 0) ||
        (wait == WF_WAIT_BODY && bytes >= s->body_due_bytes)) {
        wf_conn_wait_from_now(c, wait); /* slow, but not too slow */
        return;
    }
    stop_waiting(c);
    s->counters.timeouts += wait != WF_WAIT_IDLE && wait != WF_WAIT_FIRST &&
                            wait != WF_WAIT_LINGER && wait != WF_WAIT_GRACE;
    switch (wait) {
    case WF_WAIT_HEAD:
        c->state = (uint8_t)refused_headless(c, 408, "the request head arrives too slowly");
        break;
    case WF_WAIT_BODY:
        c->state = (uint8_t)body_timed_out(c);
        break;
    case WF_WAIT_HANDLER:
    case WF_WAIT_GRACE:
        if (c->ex->reply != WF_REPLY_NONE) {
            return; /* it has begun to answer */
        }
        if (wait == WF_WAIT_HANDLER && c->ex->taken) { /* it may answer as it likes */
            c->ex->timed_out = true;
            wf_exchange_post(c->ex, WF_EV_TIMEOUT);
        } else {
            c->state = (uint8_t)handler_timed_out(c);
        }
        break;
    default:
        wf_conn_close(c, wait == WF_WAIT_WRITE);
        return;
    }
    wf_conn_advance(c);
}

void wf_exchange_time_out(struct wf_exchange *ex) {
    struct wf_conn *c = ex->conn;
    if (c != NULL && c->state == WF_CONN_RUNNING && ex->reply == WF_REPLY_NONE) {
        stop_waiting(c);
        c->state = (uint8_t)handler_timed_out(c);
        wf_conn_advance(c);
    }
}

/* ---- the stream's callbacks ---- */

/* No room to read on, in which the end would be seen. */
static void look_for_the_end(struct wf_conn *c) {
    ssize_t n = wf_stream_peek(&c->stream);
    if (n > 0) {
        c->more_waits = true;
        wf_conn_settle(c);
    } else if (n != -EAGAIN) {
        at_end(c, n);
    }
}

/* What comes after a refusal is read and forgotten, for a while. */
static void linger(struct wf_conn *c) {
    char scratch[4096];
    ssize_t n = wf_stream_read(&c->stream, scratch, sizeof(scratch));
    if (n == -EAGAIN) {
        return;
    }
    c->input_bytes += n > 0 ? (uint64_t)n : 0;
    if (n <= 0 || c->input_bytes > WF_LINGER_BYTES_MAX) {
        wf_conn_close(c, n > 0);
    }
}

static void on_readable(struct wf_stream *stream) {
    struct wf_conn *c = wf_container_of(stream, struct wf_conn, stream);
    for (int reads = READS_A_TURN; reads > 0; reads--) {
        if (wf_unlikely(c->state == WF_CONN_LINGER)) {
            linger(c);
            return;
        }
        size_t room;
        char *place = wf_conn_form_place(c, &room), *at = place;
        if (wf_likely(place == NULL)) {
            enum wf_conn_room have = wf_conn_make_room(c);
            if (wf_unlikely(have != WF_ROOM)) {
                if (have == WF_NO_MEMORY) {
                    wf_conn_close(c, true);
                } else {
                    look_for_the_end(c);
                }
                return;
            }
            at = c->in + c->in_end;
            room = c->in_cap - c->in_end;
        }
        ssize_t n = wf_stream_read(stream, at, room);
        if (wf_unlikely(n <= 0)) {
            if (n == -EAGAIN) {
                wf_conn_settle(c); /* gives an empty buffer back */
            } else {
                at_end(c, n);
            }
            return;
        }
        if (wf_unlikely(place != NULL)) {
            wf_conn_form_placed(c, wf_span(place, (size_t)n));
        } else {
            c->in_end += (size_t)n;
        }
        c->more_waits = false;
        c->input_bytes += (uint64_t)n;
        c->server->counters.bytes_in += (uint64_t)n;
        wf_conn_advance(c);
        if (wf_likely((size_t)n < room) || !wf_conn_wants_input(c)) {
            return;
        }
    }
}

void wf_conn_drain(struct wf_conn *c) {
    if (c->state == WF_CONN_HEAD) {
        on_readable(&c->stream);
        wf_conn_advance(c);
    }
}

void wf_conn_output_moved(struct wf_conn *c) {
    size_t pending = wf_stream_pending(&c->stream);
    c->stalled = pending != 0;
    if (c->drained_owed && pending <= WF_STREAM_LOW_WATER) {
        c->drained_owed = false;
        if (c->ex != NULL && c->ex->long_content != NULL) {
            wf_long_content_go_on(c->ex);
        } else if (c->ex != NULL && c->ex->conn != NULL) {
            wf_exchange_post(c->ex, WF_EV_DRAINED);
        }
    }
    wf_conn_advance(c);
}

static void on_output(struct wf_stream *stream) {
    wf_conn_output_moved(wf_container_of(stream, struct wf_conn, stream));
}

static void on_failed(struct wf_stream *stream, int error) {
    (void)error; /* whatever it is, nobody is there to be told */
    wf_conn_close(wf_container_of(stream, struct wf_conn, stream), true);
}

static const struct wf_stream_ops conn_ops = {
    .readable = on_readable, .drained = on_output, .flushed = on_output, .failed = on_failed};

/* ---- from accept to close ---- */

void wf_conn_accepted(struct wf_server *s, int fd, const struct wf_addr *peer,
                      const struct wf_addr *local) {
    bool refuse = s->counters.connections_open >= s->config.connections_max;
    struct wf_conn *c = NULL;
    if (!refuse || s->refusing < WF_REFUSED_MAX) {
        c = wf_calloc(1, sizeof(*c));
    }
    if (c == NULL || wf_stream_open(&c->stream, s->loop, &s->buffers, fd, &conn_ops) != 0) {
        s->counters.connections_refused++;
        wf_free(c);
        close(fd);
        return;
    }
    c->server = s;
    c->local = local;
    c->peer = *peer;
    c->trusted = wf_forwarded_trusts(&s->config.forwarded, peer);
    wf_list_init(&c->flush);
    wf_list_init(&c->wait);
    wf_list_init(&c->node);
    wf_list_push(&s->conns, &c->node);
    c->refused = refuse;
    if (refuse) {
        s->refusing++;
        s->counters.connections_refused++;
        c->state = (uint8_t)refused_headless(c, 503, "too many connections");
    } else {
        s->counters.connections_open++;
        s->counters.connections_accepted++;
    }
    wf_conn_advance(c);
}

void wf_conn_close(struct wf_conn *c, bool reset) {
    if (c->state == WF_CONN_CLOSED) {
        return;
    }
    struct wf_server *s = c->server;
    struct wf_exchange *ex = c->ex;
    bool published = c->state == WF_CONN_RUNNING, coding = c->state == WF_CONN_CODING;
    c->state = WF_CONN_CLOSED;
    wf_stream_close(&c->stream, reset);
    wf_list_remove(&c->flush);
    wf_list_remove(&c->wait);
    wf_list_remove(&c->node);
    --*(c->refused ? &s->refusing : &s->counters.connections_open);
    if (ex != NULL && ex->conn != NULL) {
        s->counters.clients_gone++;
        ex->conn = NULL;
        if (ex->long_content != NULL) {
            wf_long_content_drop(ex);
        }
        if (ex->taken && !coding) {
            wf_exchange_post(ex, WF_EV_GONE);
        } else {
            s->running -= published;
            c->ex = NULL;
            wf_exchange_release(ex);
        }
    }
    if (c->ex == NULL) {
        wf_conn_give_input(c);
        wf_list_push(&s->dead, &c->node);
    }
}
