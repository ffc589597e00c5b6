/* Fuzzes a whole connection. Input: bytes for the socket; 0xff sends what has gathered and turns
 * the server, 0xfe half-closes, 0xfd finishes what is parked, 0xfc makes allocations fail from now
 * on. However it goes, at the end no connection and no exchange may be left. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "serve/server_int.h"

static struct wf_loop loop;
static struct wf_router *router;
static struct wf_exchange *parked;

static const struct wf_reply_head plain = {.status = 200, .content_type = {"text/plain", 10}};

static struct wf_leaf leaves[] = {
    {.methods = 3, .body_mode = WF_BODY_IGNORE, .body_max = UINT64_MAX},
    {.methods = 7, .body_mode = WF_BODY_BUFFER, .body_max = 40000},
    {.methods = 7, .body_mode = WF_BODY_STREAM, .body_max = UINT64_MAX},
    {.methods = 7, .body_mode = WF_BODY_IGNORE, .body_max = 100},
    {.methods = 7, .body_mode = WF_BODY_IGNORE, .body_max = UINT64_MAX},
};

static void drink(struct wf_exchange *ex) {
    struct wf_span data;
    enum wf_body_result r;
    while ((r = wf_body_read(ex, &data)) == WF_BODY_DATA) {
        for (size_t i = 0; i < data.n; i++) {
            *(volatile const char *)(data.p + i); /* all of it can be read */
        }
    }
    if (r != WF_BODY_WAIT) {
        wf_reply_send(ex, &plain, WF_SPAN("drunk"));
        wf_exchange_finish(ex);
    }
}

static void run(struct wf_exchange *ex, unsigned events) {
    if ((events & WF_EV_GONE) != 0) {
        parked = parked == ex ? NULL : parked;
        wf_exchange_finish(ex);
        return;
    }
    struct wf_buf *b;
    switch (ex->match.leaf - leaves) {
    case 0:
        if (wf_reply_open(ex, &plain, &b) == WF_REPLY_OK &&
            (wf_buf_append_span(b, ex->path) != WF_BUF_OK || wf_reply_close(ex) != WF_REPLY_OK)) {
            if (ex->reply == WF_REPLY_OPEN) {
                wf_reply_cancel(ex);
            }
        }
        break;
    case 1:
        wf_reply_start(ex, &plain, ex->head.nfields % 2 != 0 ? -1 : (int64_t)ex->body.n);
        wf_reply_write(ex, ex->body);
        wf_reply_end(ex);
        break;
    case 2:
        drink(ex);
        return;
    case 4:
        if ((events & WF_EV_REQUEST) != 0) {
            parked = ex;
            return;
        }
        break;
    default:
        break; /* it forgot to answer */
    }
    wf_exchange_finish(ex);
}

static void turn(struct wf_server *s) {
    struct wf_exchange *ex;
    unsigned events;
    wf_server_flush(s);
    wf_loop_poll(&loop, 0);
    while ((ex = wf_server_next(s, &events)) != NULL) {
        run(ex, events);
    }
}

static void set_up(void) {
    static const char *const patterns[] = {"/a/{x}", "/b", "/c/", "/d", "/e"};
    const char *error;
    router = wf_router_new();
    if (router == NULL || wf_loop_init(&loop, NULL) != 0) {
        abort();
    }
    for (size_t i = 0; i < WF_ARRAY_LEN(leaves); i++) {
        if (wf_router_add(router, wf_span_str(patterns[i]), &leaves[i], &error) != 0) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wf_server_config config;
    struct wf_addr addr;
    int fds[2];
    if (router == NULL) {
        set_up();
    }
    wf_server_config_default(&config);
    config.head_bytes_max = 40000;
    config.forwarded =
        (struct wf_forwarded_config){.anyone = true,
                                     .fields = WF_FORWARDED_FOR | WF_FORWARDED_PROTO |
                                               WF_FORWARDED_HOST | WF_FORWARDED_STANDARD};
    struct wf_server *s = wf_server_new(&loop, &config, router);
    if (s == NULL || wf_addr_unix(&addr, "x") != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) {
        abort();
    }
    wf_conn_accepted(s, fds[1], &addr, &addr);
    char in[65536];
    size_t from = 0;
    for (size_t i = 0; i <= size; i++) {
        uint8_t c = i < size ? data[i] : 0xff;
        if (c < 0xfc) {
            continue;
        }
        if (i > from && send(fds[0], data + from, i - from, MSG_NOSIGNAL) < 0) {
            break; /* closed, or more than a socket holds */
        }
        from = i + 1;
        if (c == 0xfe) {
            shutdown(fds[0], SHUT_WR);
        } else if (c == 0xfd && parked != NULL) {
            struct wf_exchange *ex = parked;
            parked = NULL;
            wf_reply_send(ex, &plain, WF_SPAN("late"));
            wf_exchange_finish(ex);
        } else if (c == 0xfc) {
            wf_alloc_fail_from(1 + i % 7);
        }
        turn(s);
        turn(s);
        while (recv(fds[0], in, sizeof(in), 0) > 0) {
        }
    }
    wf_alloc_fail_from(0);
    close(fds[0]);
    for (int i = 0; i < 20; i++) { /* 4 KiB a turn of what a refused client still sent */
        turn(s);
    }
    /* The end was seen, unless there is more in front of it than a handler's buffer takes. */
    if (!wf_list_empty(&s->conns) &&
        !wf_container_of(s->conns.next, struct wf_conn, node)->more_waits) {
        abort();
    }
    wf_server_abort(s);
    turn(s);
    if (wf_server_open_connections(s) != 0 || wf_server_running_exchanges(s) != 0) {
        abort();
    }
    wf_server_free(s);
    return 0;
}
