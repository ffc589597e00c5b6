/* Routers within routers: beneath a prefix, or behind a host. */
#include <errno.h>

#include "base/alloc.h"
#include "serve/route/route_int.h"

static struct wf_router *new_inside(const struct wf_router *r) {
    struct wf_router *inner = wf_router_new();
    if (inner != NULL) {
        inner->outermost = r->outermost;
        inner->options = r->options;
    }
    return inner;
}

static void mount_free(struct mount *m) {
    if (m != NULL) {
        wf_router_free(m->inner);
        wf_free(m);
    }
}

static void host_free(struct host *h) {
    if (h != NULL) {
        wf_router_free(h->pattern);
        wf_router_free(h->inner);
        wf_free(h);
    }
}

void mounts_free(struct wf_router *r) {
    while (r->mounts != NULL) {
        struct mount *m = r->mounts;
        r->mounts = m->next;
        mount_free(m);
    }
    while (r->hosts != NULL) {
        struct host *h = r->hosts;
        r->hosts = h->next;
        host_free(h);
    }
    wf_router_free(r->fallback);
    r->fallback = NULL;
}

struct wf_router *wf_router_fallback(struct wf_router *r) {
    if (r->fallback == NULL && (r->fallback = new_inside(r)) != NULL) {
        r->fallback->options.redirect_slashes = false;
    }
    return r->fallback;
}

struct wf_router *wf_router_mount(struct wf_router *r, struct wf_span prefix, const char **error) {
    static const char rest[] = "/{path:path}";
    char pattern[PATTERN_BYTES_MAX];
    *error = "the path is longer than 1024 bytes";
    if (prefix.n + sizeof(rest) > sizeof(pattern)) {
        return NULL;
    }
    memcpy(pattern, prefix.p, prefix.n);
    memcpy(pattern + prefix.n, rest, sizeof(rest) - 1);
    *error = "out of memory";
    struct mount *m = wf_calloc(1, sizeof(*m));
    if (m == NULL || (m->inner = new_inside(r)) == NULL) {
        mount_free(m);
        return NULL;
    }
    m->leaf = (struct wf_leaf){.methods = WF_ROUTE_ALL_METHODS, .router = m->inner};
    if (wf_router_add(r, wf_span(pattern, prefix.n + sizeof(rest) - 1), &m->leaf, error) != 0) {
        mount_free(m);
        return NULL;
    }
    m->next = r->mounts;
    r->mounts = m;
    return m->inner;
}

/* What is not a parameter in lower case, with a slash in front. */
static size_t host_pattern(struct wf_span host, char out[PATTERN_BYTES_MAX]) {
    bool parameter = false;
    out[0] = '/';
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        parameter = c == '{' || (parameter && c != '}');
        out[1 + i] = !parameter && c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    return 1 + host.n;
}

struct wf_router *wf_router_host(struct wf_router *r, struct wf_span host, const char **error) {
    char pattern[PATTERN_BYTES_MAX];
    *error = "a host has 1 to 1023 bytes";
    if (host.n == 0 || host.n >= sizeof(pattern)) {
        return NULL;
    }
    *error = "out of memory";
    struct host *h = wf_calloc(1, sizeof(*h));
    if (h == NULL || (h->pattern = wf_router_new()) == NULL || (h->inner = new_inside(r)) == NULL) {
        host_free(h);
        return NULL;
    }
    h->leaf = (struct wf_leaf){.methods = 1u << WF_METHOD_GET};
    if (wf_router_add(h->pattern, wf_span(pattern, host_pattern(host, pattern)), &h->leaf, error) !=
        0) {
        host_free(h);
        return NULL;
    }
    h->order = r->routes++;
    struct host **end = &r->hosts;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = h;
    r->outermost->has_hosts = true;
    return h->inner;
}

bool wf_router_wants_host(const struct wf_router *r) {
    return r->outermost->has_hosts;
}
