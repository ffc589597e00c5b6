/* The server as a whole: configuration, listeners, what happens once a turn and once a tick, the
 * end. */
#include <errno.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "serve/server_int.h"

enum {
    BUFFERS_KEPT = 256,
    EXCHANGES_KEPT = 256
}; /* of the busiest moment; more go back to malloc */

void wf_server_config_default(struct wf_server_config *c) {
    *c = (struct wf_server_config){
#define X(name, value, why) .name = value,
        WF_SERVER_LIMITS(X)
#undef X
            .server_name = WF_SPAN("weft"),
        .access_log_fd = -1};
}

/* ---- the date ---- */

/* "HTTP/1.1 200 OK", date and server lie in one piece: a reply copies them at once. */
static char *make_common(struct wf_span server_name, size_t *len) {
    static const char status[] = "HTTP/1.1 200 OK\r\n";
    static_assert(sizeof(status) - 1 == WF_STATUS_200_LINE, "respond.c skips it");
    char *p = wf_malloc(WF_STATUS_200_LINE + WF_HTTP1_DATE_LINE + server_name.n + 10);
    if (p == NULL) {
        return NULL;
    }
    memcpy(p, status, WF_STATUS_200_LINE);
    char *at = p + WF_STATUS_200_LINE + WF_HTTP1_DATE_LINE;
    if (server_name.n != 0) {
        memcpy(at, "server: ", 8);
        memcpy(at + 8, server_name.p, server_name.n);
        memcpy(at + 8 + server_name.n, "\r\n", 2);
        at += server_name.n + 10;
    }
    *len = (size_t)(at - p);
    return p;
}

/* Good until the wall clock's next second. */
void wf_server_refresh_date(struct wf_server *s) {
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    wf_http1_date_line(s->common + WF_STATUS_200_LINE, (int64_t)wall.tv_sec);
    s->date_until_ns = s->loop->now_ns + WF_NS_PER_S - (uint64_t)wall.tv_nsec;
}

/* ---- ticks ---- */

/* The embedder may not have turned the loop for a while, and one turn looks only at so many
 * sockets: what a client has sent meanwhile may still be unread. So a tick that comes late judges
 * nobody; the next one does in any case. */
static bool came_late(struct wf_server *s) {
    s->tick_was_late = !s->tick_was_late && s->loop->now_ns > s->tick_due_ns + s->tick_ns;
    return s->tick_was_late;
}

void wf_server_start_tick(struct wf_server *s) {
    if (!wf_timer_active(&s->tick)) {
        s->tick_due_ns = s->loop->now_ns + s->tick_ns;
        (void)wf_timer_start(s->loop, &s->tick, s->tick_due_ns); /* or the next who waits does */
    }
}

static void expire(struct wf_server *s, struct wf_wait_list *w) {
    while (!wf_list_empty(&w->conns)) {
        struct wf_conn *c = wf_container_of(w->conns.next, struct wf_conn, wait);
        if (c->deadline_ns > s->loop->now_ns) {
            return;
        }
        wf_conn_timed_out(c); /* takes it out of this list, or moves it to the end */
    }
}

static bool anyone_waits(const struct wf_server *s) {
    for (int class = WF_WAIT_NONE + 1; class < WF_WAIT_COUNT; class ++) {
        if (!wf_list_empty(&s->waits[class].conns)) {
            return true;
        }
    }
    for (const struct wf_wait_list *w = s->handler_waits; w != NULL; w = w->next) {
        if (!wf_list_empty(&w->conns)) {
            return true;
        }
    }
    return false;
}

static void on_tick(struct wf_timer *t) {
    struct wf_server *s = wf_container_of(t, struct wf_server, tick);
    if (wf_unlikely(came_late(s))) {
        wf_server_start_tick(s);
        return;
    }
    for (int class = WF_WAIT_NONE + 1; class < WF_WAIT_COUNT; class ++) {
        expire(s, &s->waits[class]);
    }
    for (struct wf_wait_list *w = s->handler_waits; w != NULL; w = w->next) {
        expire(s, w);
    }
    if (anyone_waits(s)) {
        wf_server_start_tick(s);
    }
}

/* "never", and a deadline can be computed */
#define WAIT_MS_MAX ((uint64_t)INT64_MAX / WF_NS_PER_MS)

static void set_waits(struct wf_server *s) {
    const struct wf_server_config *c = &s->config;
    const uint64_t ms[WF_WAIT_COUNT] = {[WF_WAIT_IDLE] = c->idle_timeout_ms,
                                        [WF_WAIT_FIRST] = WF_FIRST_MS,
                                        [WF_WAIT_HEAD] = c->head_timeout_ms,
                                        [WF_WAIT_BODY] =
                                            c->body_rate_min != 0 ? c->body_grace_ms : 0,
                                        [WF_WAIT_WRITE] = c->write_timeout_ms,
                                        [WF_WAIT_HANDLER] = c->handler_timeout_ms,
                                        [WF_WAIT_GRACE] = c->handler_grace_ms,
                                        [WF_WAIT_LINGER] = WF_LINGER_MS,
                                        [WF_WAIT_END] = WF_END_LOOK_MS};
    uint64_t tick = WF_TICK_MS_MAX;
    for (int class = 0; class < WF_WAIT_COUNT; class ++) {
        wf_list_init(&s->waits[class].conns);
        s->waits[class].ns = WF_MIN(ms[class], WAIT_MS_MAX) * WF_NS_PER_MS;
        if (ms[class] != 0 && class != WF_WAIT_FIRST) { /* which has no need to be exact */
            tick = WF_MIN(tick, ms[class] / 4);
        }
    }
    s->tick_ns = WF_MAX(tick, (uint64_t)WF_TICK_MS_MIN) * WF_NS_PER_MS;
    if (__builtin_mul_overflow(c->body_rate_min, WF_MIN(c->body_grace_ms, WAIT_MS_MAX),
                               &s->body_due_bytes)) {
        s->body_due_bytes = UINT64_MAX;
    }
    s->body_due_bytes /= 1000;
}

struct wf_wait_list *wf_server_handler_timeout(struct wf_server *s, uint64_t ms) {
    uint64_t ns = WF_MIN(ms, WAIT_MS_MAX) * WF_NS_PER_MS;
    for (struct wf_wait_list *w = s->handler_waits; w != NULL; w = w->next) {
        if (w->ns == ns) {
            return w;
        }
    }
    struct wf_wait_list *w = wf_malloc(sizeof(*w));
    if (w == NULL) {
        return NULL;
    }
    *w = (struct wf_wait_list){.ns = ns, .next = s->handler_waits};
    wf_list_init(&w->conns);
    s->handler_waits = w;
    s->tick_ns = WF_MIN(s->tick_ns, WF_MAX(ns / 4, (uint64_t)WF_TICK_MS_MIN * WF_NS_PER_MS));
    return w;
}

/* ---- begin and end ---- */

struct wf_server *wf_server_new(struct wf_loop *loop, const struct wf_server_config *config,
                                const struct wf_router *router) {
    struct wf_server *s = wf_calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    s->common = make_common(config->server_name, &s->common_len);
    if (s->common == NULL) {
        wf_free(s);
        return NULL;
    }
    wf_http1_init();
    s->loop = loop;
    s->router = router;
    s->config = *config;
    wf_buf_init(&s->aside, WF_STREAM_OUT_MAX);
    s->head_limits = (struct wf_http1_limits){
        .head_bytes = (uint32_t)WF_MIN(config->head_bytes_max, (uint64_t)WF_HTTP1_HEAD_MAX),
        .target_bytes = (uint32_t)WF_MIN(config->target_bytes_max, (uint64_t)WF_HTTP1_HEAD_MAX),
        .fields = (uint16_t)WF_MIN(config->fields_max, (uint64_t)WF_EXCHANGE_FIELDS)};
    wf_list_init(&s->ready);
    wf_list_init(&s->flush);
    wf_list_init(&s->coding);
    wf_list_init(&s->conns);
    wf_list_init(&s->dead);
    set_waits(s);
    wf_timer_init(&s->tick, on_tick);
    wf_pool_init(&s->buffers, WF_STREAM_BUF_BYTES, BUFFERS_KEPT);
    wf_pool_init(&s->exchanges, sizeof(struct wf_exchange), EXCHANGES_KEPT);
    wf_access_log_init(&s->log, config->access_log_fd,
                       (enum wf_access_format)config->access_format);
    wf_server_refresh_date(s);
    return s;
}

static void bury(struct wf_server *s) {
    struct wf_list *node;
    while ((node = wf_list_pop(&s->dead)) != NULL) {
        wf_free(wf_container_of(node, struct wf_conn, node));
    }
}

void wf_server_free(struct wf_server *s) {
    if (s == NULL) {
        return;
    }
    wf_server_abort(s);
    WF_ASSERT(s->running == 0);
    bury(s);
    while (s->listeners != NULL) {
        struct wf_server_listener *l = s->listeners;
        s->listeners = l->next;
        wf_listener_close(&l->l);
        wf_free(l);
    }
    wf_timer_stop(s->loop, &s->tick);
    wf_access_log_flush(&s->log);
    wf_access_log_free(&s->log);
    wf_buf_free(&s->aside);
    wf_pool_free_all(&s->buffers);
    wf_pool_free_all(&s->exchanges);
    wf_layers_free(s);
    while (s->handler_waits != NULL) {
        struct wf_wait_list *w = s->handler_waits;
        s->handler_waits = w->next;
        wf_free(w);
    }
    wf_free(s->common);
    wf_free(s);
}

/* ---- listeners ---- */

static void on_accept(struct wf_listener *l, int fd, const struct wf_addr *peer) {
    struct wf_server_listener *sl = wf_container_of(l, struct wf_server_listener, l);
    wf_conn_accepted(sl->server, fd, peer, &l->addr);
}

static int add_listener(struct wf_server *s, const struct wf_addr *addr, unsigned flags, int fd) {
    struct wf_server_listener *sl = wf_calloc(1, sizeof(*sl));
    if (sl == NULL) {
        return -ENOMEM;
    }
    sl->server = s;
    int rc = addr != NULL
                 ? wf_listener_open(&sl->l, s->loop, addr, flags, WF_LISTEN_BACKLOG, on_accept)
                 : wf_listener_adopt(&sl->l, s->loop, fd, on_accept);
    if (rc != 0) {
        wf_free(sl);
        return rc;
    }
    struct wf_server_listener **end = &s->listeners;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = sl;
    return 0;
}

int wf_server_listen(struct wf_server *s, const struct wf_addr *addr, unsigned flags) {
    return add_listener(s, addr, flags, -1);
}

int wf_server_listen_fd(struct wf_server *s, int fd) {
    return add_listener(s, NULL, 0, fd);
}

const struct wf_addr *wf_server_address(const struct wf_server *s, unsigned i) {
    const struct wf_server_listener *sl = s->listeners;
    for (; sl != NULL && i > 0; i--) {
        sl = sl->next;
    }
    return sl != NULL ? &sl->l.addr : NULL;
}

/* ---- once a turn ---- */

void wf_server_flush(struct wf_server *s) {
    struct wf_list *node;
    wf_long_content_step(s);
    /* Room in the output may let pipelined requests go on, which may queue more: until all is out,
     * since the embedder waits for events next. It ends, for nothing is read from sockets here. */
    while ((node = wf_list_pop(&s->flush)) != NULL) {
        struct wf_conn *c = wf_container_of(node, struct wf_conn, flush);
        WF_ASSERT(c->ex == NULL || c->ex->reply != WF_REPLY_OPEN);
        if (wf_unlikely(wf_stream_flush(&c->stream) != 0)) {
            wf_conn_close(c, true);
        } else if (wf_unlikely(c->drained_owed || c->state == WF_CONN_REPLIED ||
                               c->state == WF_CONN_CLOSING ||
                               (wf_stream_pending(&c->stream) != 0) != c->stalled)) {
            wf_conn_output_moved(c);
        }
    }
    if (s->log.lines.len != 0) {
        wf_access_log_flush(&s->log);
    }
    bury(s);
    /* Sending made some ready, or a handler that finished outside the embedder's own round did; or there is more to
     * compress. */
    if (wf_unlikely(!wf_list_empty(&s->ready) || !wf_list_empty(&s->coding))) {
        wf_loop_wake(s->loop);
    }
}

/* ---- the end ---- */

void wf_server_drain(struct wf_server *s) {
    for (struct wf_server_listener *sl = s->listeners; sl != NULL; sl = sl->next) {
        wf_listener_accept_all(&sl->l);
        wf_listener_close(&sl->l);
    }
    s->draining = true;
    struct wf_list *node = s->conns.next;
    while (node != &s->conns) {
        struct wf_conn *c = wf_container_of(node, struct wf_conn, node);
        node = node->next; /* c may leave the list */
        wf_conn_drain(c);
    }
}

void wf_server_abort(struct wf_server *s) {
    while (!wf_list_empty(&s->conns)) {
        wf_conn_close(wf_container_of(s->conns.next, struct wf_conn, node), true);
    }
}

uint64_t wf_server_open_connections(const struct wf_server *s) {
    return s->counters.connections_open + s->refusing;
}

uint64_t wf_server_running_exchanges(const struct wf_server *s) {
    return s->running;
}

const struct wf_server_counters *wf_server_counters(const struct wf_server *s) {
    return &s->counters;
}
