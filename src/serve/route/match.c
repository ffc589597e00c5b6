/* Matching a path against the tree. */
#include "base/check.h"
#include "serve/route/route_int.h"

struct walk {
    const char *end;  /* of the path */
    uint32_t methods; /* wanted: any of these bits */
    uint32_t best;    /* declaration of `found`; NEVER at first */
    const struct wf_leaf *found;
    uint32_t *allow; /* not NULL: collect every method instead of finding one */
    unsigned steps_left;
    unsigned nparams; /* set so far on the way down */
    unsigned room;    /* for parameters: those of outer routers stand in front */
    struct wf_match *out;
    struct wf_span params[WF_ROUTE_PARAMS_MAX];
};

static void walk_node(struct walk *w, const struct node *n, const char *at);

static inline bool worth(const struct walk *w, const struct node *n) {
    return n->first < w->best && (n->methods & w->methods) != 0;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_hex(char c) {
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Charges for looking at so many bytes. false when the walk has cost too much. */
static bool pay(struct walk *w, size_t bytes) {
    size_t steps = 1 + bytes / SCAN_BYTES_A_STEP;
    if (steps >= w->steps_left) {
        w->steps_left = 0;
        return false;
    }
    w->steps_left -= (unsigned)steps;
    return true;
}

/* Could what is below n match at `at`? Cheap: tells most of a parameter's shorter readings apart.
 */
static inline bool may_follow(const struct walk *w, const struct node *n, const char *at) {
    if (n->nparams != 0) {
        return true;
    }
    return at == w->end ? n->nroutes != 0 : text_child(n, *at) >= 0;
}

static inline void take_param(struct walk *w, const struct node *n, const char *from,
                              const char *to) {
    w->params[w->nparams++] = wf_span(from, (size_t)(to - from));
    walk_node(w, n, to);
    w->nparams--;
}

/* Tries the parameter [from, to), then one byte less and so on while `least` bytes are left, as a
 * greedy regular expression does. */
static void take_shrinking(struct walk *w, const struct node *n, const char *from, size_t least,
                           const char *to) {
    size_t bytes = (size_t)(to - from);
    if (bytes < least || !pay(w, bytes)) {
        return;
    }
    for (size_t paid = bytes;; bytes--) {
        if (may_follow(w, n, from + bytes)) {
            if (!pay(w, paid - bytes)) {
                return;
            }
            paid = bytes;
            take_param(w, n, from, from + bytes);
        }
        if (bytes == least || !worth(w, n)) {
            return;
        }
    }
}

static const char *end_of_uuid(const char *p, const char *end) {
    static const uint8_t groups[] = {8, 4, 4, 4, 12};
    for (unsigned g = 0; g < WF_ARRAY_LEN(groups); g++) {
        if (g != 0 && p < end && *p == '-') {
            p++;
        }
        for (unsigned i = 0; i < groups[g]; i++, p++) {
            if (p == end || !is_hex(*p)) {
                return NULL;
            }
        }
    }
    return p;
}

static void walk_param(struct walk *w, const struct node *n, const char *at) {
    const char *to = at;
    switch ((enum kind)n->kind) {
    case STR:
        if (at < w->end) {
            to = memchr(at, '/', (size_t)(w->end - at));
            to = to == NULL ? w->end : to;
        }
        take_shrinking(w, n, at, 1, to);
        return;
    case INT:
        while (to < w->end && is_digit(*to)) {
            to++;
        }
        take_shrinking(w, n, at, 1, to);
        return;
    case FLOAT:
        while (to < w->end && is_digit(*to)) {
            to++;
        }
        if (to > at && w->end - to >= 2 && to[0] == '.' && is_digit(to[1])) {
            const char *fraction = to + 1;
            while (fraction < w->end && is_digit(*fraction)) {
                fraction++;
            }
            take_shrinking(w, n, at, (size_t)(to + 2 - at), fraction);
        }
        take_shrinking(w, n, at, 1, to);
        return;
    case UUID:
        to = end_of_uuid(at, w->end);
        if (to != NULL && pay(w, 0)) {
            take_param(w, n, at, to);
        }
        return;
    case PATH:
        take_shrinking(w, n, at, 0, w->end);
        return;
    case TEXT:
        break;
    }
    WF_ASSERT(!"a parameter");
}

static void walk_routes(struct walk *w, const struct node *n) {
    for (unsigned i = 0; i < n->nroutes; i++) {
        const struct route *r = &n->routes[i];
        if (w->allow != NULL) {
            *w->allow |= r->leaf->methods;
        } else if ((r->leaf->methods & w->methods) != 0) {
            if (r->order < w->best && w->nparams <= w->room) {
                struct wf_match *out = w->out;
                w->best = r->order;
                w->found = r->leaf;
                out->nparams = (uint8_t)(out->nouter + w->nparams);
                for (unsigned k = 0; k < w->nparams; k++) {
                    out->params[out->nouter + k] = w->params[k];
                }
            }
            return;
        }
    }
}

/* Everything below n, whose own bytes end at `at`. */
static void walk_node(struct walk *w, const struct node *n, const char *at) {
    for (;;) {
        if (at == w->end) {
            walk_routes(w, n);
        }
        const struct node *next = NULL;
        if (at < w->end) {
            int i = text_child(n, *at);
            next = i >= 0 ? n->children[i] : NULL;
            if (next != NULL && (!worth(w, next) || (size_t)(w->end - at) < next->text_len ||
                                 memcmp(at, next->text, next->text_len) != 0)) {
                next = NULL;
            }
        }
        if (n->nparams == 0) { /* the plain way down is a loop */
            if (next == NULL) {
                return;
            }
            at += next->text_len;
            n = next;
            continue;
        }
        if (next != NULL && pay(w, 0)) {
            walk_node(w, next, at + next->text_len);
        }
        for (unsigned i = 0; i < n->nparams; i++) {
            const struct node *param = n->children[n->ntexts + i];
            if (worth(w, param)) {
                walk_param(w, param, at);
            }
        }
        return;
    }
}

/* *order  of the leaf that is found */
static const struct wf_leaf *find(const struct wf_router *r, uint32_t methods, struct wf_span path,
                                  uint32_t *order, struct wf_match *out) {
    struct walk w;
    w.end = path.p + path.n;
    w.methods = methods;
    w.best = NEVER;
    w.found = NULL;
    w.allow = NULL;
    w.steps_left = WF_ROUTE_STEPS_MAX;
    w.nparams = 0;
    w.room = WF_ROUTE_PARAMS_MAX - out->nouter;
    w.out = out;
    walk_node(&w, &r->root, path.p);
    *order = w.best;
    return w.steps_left != 0 ? w.found : NULL;
}

/* The methods of every route that matches the path. */
static uint32_t allowed(const struct wf_router *r, struct wf_span path) {
    uint32_t allow = 0;
    struct walk w = {.end = path.p + path.n,
                     .methods = UINT32_MAX,
                     .best = NEVER,
                     .allow = &allow,
                     .steps_left = WF_ROUTE_STEPS_MAX};
    walk_node(&w, &r->root, path.p);
    if ((allow & 1u << WF_METHOD_GET) != 0) {
        allow |= 1u << WF_METHOD_HEAD;
    }
    return w.steps_left != 0 ? allow : 0;
}

/* Starlette's redirect_slashes: a trailing slash too many or missing. All of them go, one comes. */
static bool matches_toggled(const struct wf_router *r, struct wf_span path) {
    if (path.n == 1) {
        return false;
    }
    if (path.n != 0 && path.p[path.n - 1] == '/') {
        while (path.n != 0 && path.p[path.n - 1] == '/') {
            path.n--;
        }
        return allowed(r, path) != 0;
    }
    char with_slash[REDIRECT_BYTES_MAX];
    if (path.n >= sizeof(with_slash)) {
        return false;
    }
    memcpy(with_slash, path.p, path.n);
    with_slash[path.n] = '/';
    return allowed(r, wf_span(with_slash, path.n + 1)) != 0;
}

/* Of a Host field, without the port. */
static struct wf_span host_name(struct wf_span host) {
    for (size_t i = host.n; i > 0 && host.p[i - 1] != ']'; i--) {
        if (host.p[i - 1] == ':') {
            return wf_span(host.p, i - 1);
        }
    }
    return host;
}

/* Out of line: its buffers stay off the stack of the common case. */
static WF_NOINLINE enum wf_route_result no_leaf(const struct wf_router *r, enum wf_method method,
                                                struct wf_span path, struct wf_match *out) {
    out->nparams = out->nouter;
    out->allow = allowed(r, path);
    if (out->allow == 0) {
        return r->options.redirect_slashes && matches_toggled(r, path) ? WF_ROUTE_SLASH
                                                                       : WF_ROUTE_NOT_FOUND;
    }
    if (method == WF_METHOD_OPTIONS) {
        out->allow |= 1u << WF_METHOD_OPTIONS;
        return WF_ROUTE_OPTIONS;
    }
    return WF_ROUTE_METHOD;
}

/* Without a route for HEAD, GET's. What is mounted takes every method, each at its place. */
static WF_NOINLINE const struct wf_leaf *find_head(const struct wf_router *r, struct wf_span path,
                                                   uint32_t *order, struct wf_match *out) {
    struct wf_match other = *out;
    uint32_t others;
    const struct wf_leaf *own = find(r, 1u << WF_METHOD_HEAD, path, order, out);
    const struct wf_leaf *get = find(r, 1u << WF_METHOD_GET, path, &others, &other);
    if (own != NULL && (get == NULL || get->router == NULL || others > *order)) {
        return own;
    }
    *order = others;
    *out = other;
    return get;
}

/* The first router behind a host that was declared before `order`, or NULL. Its parameters are outer ones from
 * now on. */
static WF_NOINLINE const struct wf_router *find_host(const struct wf_router *r, struct wf_span host,
                                                     uint32_t order, struct wf_match *out) {
    char lower[1 + HOST_BYTES_MAX] = "/";
    struct wf_span name = host_name(host);
    if (name.n == 0 || name.n > HOST_BYTES_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        lower[1 + i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    for (const struct host *h = r->hosts; h != NULL && h->order < order; h = h->next) {
        uint32_t ignored;
        if (find(h->pattern, 1u << WF_METHOD_GET, wf_span(lower, 1 + name.n), &ignored, out) !=
            NULL) {
            for (unsigned i = out->nouter; i < out->nparams; i++) { /* `lower` goes */
                out->params[i].p = name.p + (out->params[i].p - (lower + 1));
            }
            out->nouter = out->nparams;
            return h->inner;
        }
    }
    return NULL;
}

enum wf_route_result wf_router_match(const struct wf_router *r, enum wf_method method,
                                     struct wf_span host, struct wf_span path,
                                     struct wf_match *out) {
    struct wf_span whole = path;
    out->allow = 0;
    out->nparams = out->nouter = 0;
    out->root_n = 0;
    for (;;) {
        uint32_t order;
        out->router = r;
        out->leaf = wf_likely(method != WF_METHOD_HEAD) ? find(r, 1u << method, path, &order, out)
                                                        : find_head(r, path, &order, out);
        const struct wf_router *inner = NULL;
        if (wf_unlikely(r->hosts != NULL)) {
            order = out->leaf != NULL ? order : NEVER;
            inner = find_host(r, host, order, out);
        }
        if (wf_unlikely(inner != NULL)) {
            r = inner;
            continue;
        }
        if (wf_unlikely(out->leaf == NULL)) {
            enum wf_route_result result = no_leaf(r, method, path, out);
            if (result == WF_ROUTE_NOT_FOUND && r->fallback != NULL) {
                r = r->fallback;
                continue;
            }
            return result;
        }
        if (wf_likely(out->leaf->router == NULL)) {
            return WF_ROUTE_FOUND;
        }
        /* Beneath a mount: its last parameter is what is left of the path, behind a slash. */
        const char *rest = out->params[--out->nparams].p - 1;
        path = wf_span(rest, (size_t)(whole.p + whole.n - rest));
        out->root_n = (uint32_t)(rest - whole.p);
        out->nouter = out->nparams;
        r = out->leaf->router;
    }
}

size_t wf_allow_write(char out[WF_ALLOW_CHARS_MAX], uint32_t methods) {
    size_t n = 0;
    for (int m = 0; m < WF_METHOD_OTHER; m++) {
        if ((methods & 1u << m) == 0) {
            continue;
        }
        struct wf_span name = wf_method_name((enum wf_method)m);
        if (n != 0) {
            out[n++] = ',';
            out[n++] = ' ';
        }
        WF_ASSERT(n + name.n <= WF_ALLOW_CHARS_MAX);
        memcpy(out + n, name.p, name.n);
        n += name.n;
    }
    return n;
}
