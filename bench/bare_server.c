/* The server with nothing above it, answering each path of the benchmark with a fixed reply: the
 * ceiling of what a framework on it can reach. Compare with floor_server.c, which parses nothing.
 *
 *     bare_server [--port N] [--uds PATH] */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/server.h"

/* What a leaf's plan points to. */
struct fixed {
    const char *pattern;
    struct wf_span type, body;
    struct wf_leaf leaf;
};

#define TEXT WF_SPAN("text/plain; charset=utf-8")
#define JSON WF_SPAN("application/json")
static struct fixed replies[] = {
    {.pattern = "/", .type = TEXT, .body = WF_SPAN("Hello, World!")},
    {.pattern = "/plaintext", .type = TEXT, .body = WF_SPAN("Hello, World!")},
    {.pattern = "/json", .type = JSON, .body = WF_SPAN("{\"message\":\"Hello, World!\"}")},
    {.pattern = "/items/{item_id}",
     .type = JSON,
     .body = WF_SPAN("{\"item_id\":42,\"q\":\"weft\"}")},
};

static bool ended;
static void on_signal(struct wf_signal *s) {
    ended = true;
}

static int fail(const char *what) {
    fprintf(stderr, "bare_server: %s\n", what);
    return 1;
}

int main(int argc, char **argv) {
    struct wf_addr addr;
    if (wf_addr_ip(&addr, "127.0.0.1", 8000) != 0) {
        return fail("no address");
    }
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--port") == 0 && more) {
            addr.in.sin_port = htons((uint16_t)atoi(argv[++i]));
        } else if (strcmp(argv[i], "--uds") == 0 && more) {
            if (wf_addr_unix(&addr, argv[++i]) != 0) {
                return fail("the path is too long");
            }
        } else {
            return fail("usage: bare_server [--port N] [--uds PATH]");
        }
    }

    struct wf_loop loop;
    struct wf_server_config config;
    struct wf_signal stop[2] = {{.cb = on_signal}, {.cb = on_signal}};
    const char *error = NULL;
    wf_server_config_default(&config);
    struct wf_router *router = wf_router_new();
    if (router == NULL || wf_loop_init(&loop, NULL) != 0) {
        return fail("out of memory");
    }
    for (size_t i = 0; i < WF_ARRAY_LEN(replies); i++) {
        replies[i].leaf = (struct wf_leaf){.plan = &replies[i],
                                           .methods = 1u << WF_METHOD_GET,
                                           .body_mode = WF_BODY_IGNORE,
                                           .body_max = UINT64_MAX};
        if (wf_router_add(router, wf_span_str(replies[i].pattern), &replies[i].leaf, &error) != 0) {
            return fail(error != NULL ? error : "out of memory");
        }
    }
    struct wf_server *server = wf_server_new(&loop, &config, router);
    if (server == NULL || wf_server_listen(server, &addr, 0) != 0 ||
        wf_signal_start(&loop, &stop[0], SIGTERM) != 0 ||
        wf_signal_start(&loop, &stop[1], SIGINT) != 0) {
        return fail("cannot listen");
    }

    while (!ended) {
        unsigned events;
        struct wf_exchange *ex;
        wf_server_flush(server);
        wf_loop_poll(&loop, -1);
        while ((ex = wf_server_next(server, &events)) != NULL) {
            if ((events & WF_EV_GONE) == 0) {
                const struct fixed *f = ex->match.leaf->plan;
                wf_reply_send(ex, &(struct wf_reply_head){.status = 200, .content_type = f->type},
                              f->body);
            }
            wf_exchange_finish(ex);
        }
    }
    wf_server_free(server);
    wf_router_free(router);
    wf_loop_close(&loop);
    return 0;
}
