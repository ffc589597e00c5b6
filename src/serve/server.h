/* A complete HTTP/1.1 server with no Python in it: connections, exchanges, limits, drain, access log.
 *
 * The embedder turns the loop and between turns takes what is ready:
 *
 *     for (;;) {
 *         wf_server_flush(&server);                  // no GIL: one write a connection
 *         wf_loop_poll(&loop, timeout);              // no GIL: reads, parses, routes, refuses
 *         while ((ex = wf_server_next(&server, &events)) != NULL) { ... }     // GIL, if it is Python
 *     }
 *
 * thread   the loop's */
#ifndef WF_SERVE_SERVER_H
#define WF_SERVE_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/pool.h"
#include "io/loop/loop.h"
#include "io/net/net.h"
#include "serve/exchange.h"
#include "serve/forwarded.h"
#include "serve/route/route.h"

/* name, default, reason. Milliseconds and bytes. 0 turns a timeout off. Heads and targets are held to
 * WF_HTTP1_HEAD_MAX, fields to WF_EXCHANGE_FIELDS, whatever is asked for here. */
#define WF_SERVER_LIMITS(X)                                                                        \
    X(head_bytes_max, 64 * 1024, "cookies and tokens fit; a flood does not (431)")                 \
    X(target_bytes_max, 16 * 1024, "longer than any browser sends (414)")                          \
    X(fields_max, 100, "a table of bounded size in each exchange (431)")                           \
    X(body_bytes_max, 10 * 1024 * 1024, "held in memory; routes that stream say more (413)")       \
    X(head_timeout_ms, 10 * 1000, "a slow head holds a connection for nothing (408)")              \
    X(body_rate_min, 240, "bytes a second, after body_grace_ms: slower is an attack (408)")        \
    X(body_grace_ms, 10 * 1000, "time for the first bytes of a body and for short stalls")         \
    X(idle_timeout_ms, 75 * 1000, "longer than the usual load balancer's 60 s")                    \
    X(write_timeout_ms, 60 * 1000, "a peer that takes nothing for so long is closed")              \
    X(handler_timeout_ms, 0, "off: only the application knows (504)")                              \
    X(handler_grace_ms, 10 * 1000, "one that is over its time may clean up, and answer (504)")     \
    X(connections_max, 65536, "descriptors and memory (503, close)")                               \
    X(requests_per_connection_max, 0, "off")

enum wf_access_format { WF_ACCESS_SHORT, WF_ACCESS_COMMON, WF_ACCESS_COMBINED, WF_ACCESS_JSON };

struct wf_server_config {
#define X(name, value, why) uint64_t name;
    WF_SERVER_LIMITS(X)
#undef X
    struct wf_span server_name; /* of the `server` field; empty sends none. Borrowed for life */
    /* What a proxy in front takes off the paths it passes on, like "/api"; empty: nothing. It is put back: the path
     * of an exchange and redirects have it, patterns of routes do not. Borrowed for life */
    struct wf_span root_path;
    bool
        root_path_kept; /* there may be no such proxy: a path that has it in front is left as it is */
    bool
        keep_codings; /* bodies are handed over in the Content-Encoding they come in. Default false: gzip, br
                          and zstd are undone, as far as weft was built with them; others are 415 */
    int access_log_fd;                    /* -1: none */
    uint8_t access_format;                /* enum wf_access_format */
    struct wf_forwarded_config forwarded; /* nobody is trusted by default */
    const char
        *spool_dir; /* where files of forms wait that are too large for memory; "/tmp". Borrowed
                              for life */
};
void wf_server_config_default(struct wf_server_config *c);

/* Counters, all since start but the gauges. */
/* clang-format off */
#define WF_SERVER_COUNTERS(X) \
    X(connections_accepted) X(connections_refused) X(connections_open) /* gauge */ \
    X(requests) X(replies_1xx) X(replies_2xx) X(replies_3xx) X(replies_4xx) X(replies_5xx) \
    X(bad_requests) X(timeouts) X(clients_gone) X(bytes_in) X(bytes_out)
/* clang-format on */

struct wf_server_counters {
#define X(name) uint64_t name;
    WF_SERVER_COUNTERS(X)
#undef X
};

struct wf_server; /* server_int.h has the fields */

/* loop, config (copied), router (read-only from now on): the last is borrowed for life. NULL: no memory */
struct wf_server *wf_server_new(struct wf_loop *loop, const struct wf_server_config *config,
                                const struct wf_router *router);
/* Closes everything at once. Exchanges the embedder still holds must be finished first: they come
 * out of wf_server_next with EV_GONE after wf_server_abort. */
void wf_server_free(struct wf_server *s);

/* Inside of those that are there already; before the server listens. Owned by the server from now on. */
struct wf_layer;
void wf_server_add_layer(struct wf_server *s, struct wf_layer *layer);
/* Around what r, one within the server's router, answers, and what is in it that starts with r's options. Inside of
 * those that are there already: the server's and outer routers' are added first. false: no memory, and the layer is
 * the caller's still. */
bool wf_server_add_router_layer(struct wf_server *s, struct wf_router *r, struct wf_layer *layer);

/* For wf_leaf.timeout: the handler has so long until its reply begins; then the embedder gets TIMEOUT, and has
 * handler_grace_ms to answer with 504. After that, or where it has not begun, the server answers by itself, closes
 * the connection, and the embedder gets GONE with TIMEOUT. Equal times are one list. Owned by the server. NULL: no
 * memory */
struct wf_wait_list *wf_server_handler_timeout(struct wf_server *s, uint64_t ms);

int wf_server_listen(struct wf_server *s, const struct wf_addr *addr,
                     unsigned flags); /* 0 or -errno */
int wf_server_listen_fd(struct wf_server *s, int fd);
/* As bound (port 0 filled in); i counts from 0 in order of listen; NULL past the end. */
const struct wf_addr *wf_server_address(const struct wf_server *s, unsigned i);

/* The next exchange that has something to tell, with its events (then cleared); NULL when none. */
struct wf_exchange *wf_server_next(struct wf_server *s, unsigned *events);
bool wf_server_has_ready(const struct wf_server *s);

/* Sends what the replies of this turn queued, and the access log. May make exchanges ready; while any
 * are, the next wf_loop_poll does not wait, whatever its timeout. The log's
 * descriptor is never waited for: lines nobody reads are dropped and their number told. Embedders ignore
 * SIGPIPE, or a log pipe whose reader has gone ends the process. */
void wf_server_flush(struct wf_server *s);

/* Graceful end: stops accepting, closes idle connections (one that has not had a request is given half a second
 * for it), gives running exchanges until the deadline (each reply says connection: close).
 * wf_server_open_connections falls to 0 when it is done. */
void wf_server_drain(struct wf_server *s);
/* Closes every connection now; running exchanges get EV_GONE. */
void wf_server_abort(struct wf_server *s);
uint64_t wf_server_open_connections(const struct wf_server *s);
uint64_t wf_server_running_exchanges(const struct wf_server *s);

const struct wf_server_counters *wf_server_counters(const struct wf_server *s);

#endif
