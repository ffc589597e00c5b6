/* From a request's target to the path it is for, and from that to its leaf. */
#include "serve/server_int.h"
#include "wire/url/url.h"

/* 0, or the status to refuse with. */
static int decode_path(struct wf_exchange *ex) {
    struct wf_span raw = wf_head_span(ex->base, ex->head.path_at);
    if (wf_likely(!ex->head.path_escaped)) {
        ex->path = raw.n != 0 ? raw : WF_SPAN("/");
        return 0;
    }
    char *p = wf_arena_alloc(&ex->arena, raw.n);
    if (p == NULL) {
        return 503;
    }
    ssize_t n = wf_path_decode(p, raw);
    ex->path = wf_span(p, n < 0 ? 0 : (size_t)n);
    return n < 0 ? 400 : 0;
}

static bool is_beneath(struct wf_span path, struct wf_span root) {
    return path.n >= root.n && memcmp(path.p, root.p, root.n) == 0 &&
           (path.n == root.n || path.p[root.n] == '/');
}

static struct wf_span missing_root(const struct wf_server_config *config, struct wf_span path) {
    struct wf_span root = config->root_path;
    return root.n == 0 || (config->root_path_kept && is_beneath(path, root)) ? wf_span("", 0)
                                                                             : root;
}

struct wf_span wf_exchange_missing_root(const struct wf_exchange *ex) {
    const struct wf_server_config *config = &ex->owner->server->config;
    return missing_root(config, wf_head_span(ex->base, ex->head.path_at));
}

/* false: no memory */
static bool complete_path(const struct wf_server_config *config, struct wf_exchange *ex) {
    struct wf_span root = missing_root(config, ex->path);
    if (root.n == 0) {
        return true;
    }
    char *p = wf_arena_alloc(&ex->arena, root.n + ex->path.n);
    if (p == NULL) {
        return false;
    }
    memcpy(p, root.p, root.n);
    memcpy(p + root.n, ex->path.p, ex->path.n);
    ex->path = wf_span(p, root.n + ex->path.n);
    return true;
}

static enum wf_route_result match(const struct wf_server *s, struct wf_exchange *ex) {
    size_t root = s->config.root_path.n;
    const struct wf_field *host = wf_unlikely(wf_router_wants_host(s->router))
                                      ? wf_head_find(&ex->head, WF_FIELD_HOST)
                                      : NULL;
    enum wf_route_result found =
        wf_router_match(s->router, (enum wf_method)ex->head.method,
                        host != NULL ? wf_field_value_span(ex->base, host) : wf_span("", 0),
                        wf_span(ex->path.p + root, ex->path.n - root), &ex->match);
    ex->match.root_n += (uint32_t)root;
    return found;
}

int wf_find_route(const struct wf_server *s, struct wf_exchange *ex) {
    int bad = decode_path(ex);
    if (wf_unlikely(bad != 0)) {
        return bad;
    }
    if (wf_unlikely(ex->head.asterisk)) {
        ex->match.router = s->router;
        ex->route = WF_ROUTE_OPTIONS;
        return 0;
    }
    if (wf_unlikely(s->config.root_path.n != 0) && !complete_path(&s->config, ex)) {
        return 503;
    }
    ex->route = (uint8_t)match(s, ex);
    return 0;
}
