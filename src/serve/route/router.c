/* Building the tree that route.h draws: patterns, then insertion. */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "serve/route/route_int.h"

/* ---- the tree ---- */

static void node_init(struct node *n, enum kind kind, struct wf_span text) {
    *n = (struct node){
        .kind = (uint8_t)kind, .text = text.p, .text_len = (uint32_t)text.n, .first = NEVER};
}

static void node_clear(struct node *n) {
    for (unsigned i = 0; i < n->ntexts + (unsigned)n->nparams; i++) {
        node_clear(n->children[i]);
        wf_free(n->children[i]);
    }
    wf_free(n->initials);
    wf_free(n->children);
    wf_free(n->routes);
}

struct wf_router *wf_router_new(void) {
    struct wf_router *r = wf_calloc(1, sizeof(*r));
    if (r != NULL) {
        node_init(&r->root, TEXT, wf_span("", 0));
        r->options.redirect_slashes = true;
        r->outermost = r;
    }
    return r;
}

void wf_router_free(struct wf_router *r) {
    if (r == NULL) {
        return;
    }
    node_clear(&r->root);
    for (uint32_t i = 0; i < r->npatterns; i++) {
        wf_free(r->patterns[i]);
    }
    wf_free(r->patterns);
    mounts_free(r);
    wf_free(r);
}

struct wf_router_options *wf_router_options(struct wf_router *r) {
    return &r->options;
}

const struct wf_router_options *wf_router_options_of(const struct wf_router *r) {
    return &r->options;
}

/* ---- patterns ---- */

static bool name_byte(char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static bool kind_of(struct wf_span name, enum kind *out) {
    static const struct {
        struct wf_span name;
        enum kind kind;
    } kinds[] = {{{"str", 3}, STR},
                 {{"int", 3}, INT},
                 {{"float", 5}, FLOAT},
                 {{"uuid", 4}, UUID},
                 {{"path", 4}, PATH}};
    for (size_t i = 0; i < WF_ARRAY_LEN(kinds); i++) {
        if (wf_span_eq(name, kinds[i].name)) {
            *out = kinds[i].kind;
            return true;
        }
    }
    return false;
}

struct piece {
    enum kind kind;
    struct wf_span text; /* of TEXT */
    struct wf_span name; /* of a parameter */
};

/* Reads the piece at p < end. Returns what is behind it, or NULL with *error set. */
static const char *read_piece(const char *p, const char *end, struct piece *out,
                              const char **error) {
    if (*p != '{') {
        const char *from = p;
        while (p < end && *p != '{' && *p != '}') {
            p++;
        }
        if (p < end && *p == '}') {
            *error = "a '}' has no '{'";
            return NULL;
        }
        *out = (struct piece){.kind = TEXT, .text = wf_span(from, (size_t)(p - from))};
        return p;
    }
    const char *name = ++p;
    while (p < end && name_byte(*p, p == name)) {
        p++;
    }
    *out = (struct piece){.kind = STR, .name = wf_span(name, (size_t)(p - name))};
    if (p == name) {
        *error = "a parameter needs a name: a letter or '_', then letters, digits and '_'";
        return NULL;
    }
    if (p < end && *p == ':') {
        const char *kind = ++p;
        while (p < end && name_byte(*p, p == kind)) {
            p++;
        }
        if (!kind_of(wf_span(kind, (size_t)(p - kind)), &out->kind)) {
            *error = "unknown convertor: there are str, int, float, uuid and path";
            return NULL;
        }
    }
    if (p == end || *p != '}') {
        *error = "a parameter is written {name} or {name:convertor}";
        return NULL;
    }
    return p + 1;
}

/* Everything that can be wrong with a pattern is found before the tree is touched. */
static bool check_pattern(struct wf_span pattern, uint8_t *nparams, const char **error) {
    struct wf_span names[WF_ROUTE_PARAMS_MAX];
    unsigned n = 0;
    if (pattern.n == 0 || pattern.p[0] != '/') {
        *error = "a path must start with '/'";
        return false;
    }
    if (pattern.n > PATTERN_BYTES_MAX) {
        *error = "the path is longer than 1024 bytes";
        return false;
    }
    const char *end = pattern.p + pattern.n;
    for (const char *p = pattern.p; p < end;) {
        struct piece piece;
        p = read_piece(p, end, &piece, error);
        if (p == NULL) {
            return false;
        }
        if (piece.kind == TEXT) {
            continue;
        }
        for (unsigned i = 0; i < n; i++) {
            if (wf_span_eq(names[i], piece.name)) {
                *error = "a parameter name occurs twice";
                return false;
            }
        }
        if (n == WF_ROUTE_PARAMS_MAX) {
            *error = "more than 16 parameters";
            return false;
        }
        names[n++] = piece.name;
    }
    *nparams = (uint8_t)n;
    return true;
}

/* ---- insertion ----
 *
 * Without memory a half-inserted pattern leaves nodes that hold no route; `first` and `methods` are
 * raised only once the route is in place, so the walk never enters them. */

/* A new child at its place: texts first, then parameters. */
static struct node *add_child(struct node *n, enum kind kind, struct wf_span text) {
    unsigned count = n->ntexts + (unsigned)n->nparams;
    struct node **children = wf_realloc(n->children, (count + 1) * sizeof(children[0]));
    if (children == NULL) {
        return NULL;
    }
    n->children = children;
    if (kind == TEXT) {
        char *initials = wf_realloc(n->initials, n->ntexts + 1u);
        if (initials == NULL) {
            return NULL;
        }
        n->initials = initials;
    }
    struct node *child = wf_malloc(sizeof(*child));
    if (child == NULL) {
        return NULL;
    }
    node_init(child, kind, text);
    if (kind == TEXT) {
        memmove(children + n->ntexts + 1, children + n->ntexts, n->nparams * sizeof(children[0]));
        n->initials[n->ntexts] = text.p[0];
        children[n->ntexts++] = child;
    } else {
        children[count] = child;
        n->nparams++;
    }
    return child;
}

/* "abcd" becomes "ab" with the one child "cd", which takes over everything. */
static int split(struct node *n, uint32_t at) {
    struct node *rest = wf_malloc(sizeof(*rest));
    struct node **children = wf_malloc(sizeof(children[0]));
    char *initials = wf_malloc(1);
    if (rest == NULL || children == NULL || initials == NULL) {
        wf_free(rest);
        wf_free(children);
        wf_free(initials);
        return -ENOMEM;
    }
    *rest = *n;
    rest->text += at;
    rest->text_len -= at;
    node_init(n, TEXT, wf_span(n->text, at));
    n->first = rest->first;
    n->methods = rest->methods;
    n->children = children;
    n->children[0] = rest;
    n->initials = initials;
    n->initials[0] = rest->text[0];
    n->ntexts = 1;
    return 0;
}

static struct node *insert_text(struct node *n, struct wf_span text) {
    while (text.n != 0) {
        int i = text_child(n, text.p[0]);
        if (i < 0) {
            return add_child(n, TEXT, text);
        }
        n = n->children[i];
        uint32_t same = 1;
        while (same < n->text_len && same < text.n && n->text[same] == text.p[same]) {
            same++;
        }
        if (same < n->text_len && split(n, same) != 0) {
            return NULL;
        }
        text = wf_span(text.p + same, text.n - same);
    }
    return n;
}

static struct node *insert_param(struct node *n, enum kind kind) {
    for (unsigned i = 0; i < n->nparams; i++) {
        if (n->children[n->ntexts + i]->kind == kind) {
            return n->children[n->ntexts + i];
        }
    }
    return add_child(n, kind, wf_span("", 0));
}

/* The node of a pattern, made where it is missing. */
static struct node *insert(struct node *n, struct wf_span pattern) {
    const char *end = pattern.p + pattern.n;
    for (const char *p = pattern.p; p < end && n != NULL;) {
        struct piece piece;
        const char *error;
        p = read_piece(p, end, &piece, &error);
        WF_ASSERT(p != NULL); /* wf_router_add has checked the pattern */
        n = piece.kind == TEXT ? insert_text(n, piece.text) : insert_param(n, piece.kind);
    }
    return n;
}

/* Tells every node on the way to a pattern that a route has come. */
static void announce(struct node *n, struct wf_span pattern, uint32_t order, uint32_t methods) {
    const char *end = pattern.p + pattern.n;
    const char *p = pattern.p;
    for (;;) {
        n->first = WF_MIN(n->first, order);
        n->methods |= methods;
        if (p == end) {
            return;
        }
        struct piece piece;
        const char *error;
        p = read_piece(p, end, &piece, &error);
        if (piece.kind != TEXT) {
            n = insert_param(n, piece.kind);
            continue;
        }
        for (size_t at = 0;;) {
            n = n->children[text_child(n, piece.text.p[at])];
            at += n->text_len;
            if (at == piece.text.n) {
                break;
            }
            n->first = WF_MIN(n->first, order);
            n->methods |= methods;
        }
    }
}

/* A copy that lives as long as the router. */
static struct wf_span keep_pattern(struct wf_router *r, struct wf_span pattern) {
    if (r->npatterns == r->patterns_cap) {
        uint32_t cap = r->patterns_cap == 0 ? 16 : r->patterns_cap * 2;
        char **patterns = wf_realloc(r->patterns, cap * sizeof(patterns[0]));
        if (patterns == NULL) {
            return wf_span(NULL, 0);
        }
        r->patterns = patterns;
        r->patterns_cap = cap;
    }
    char *copy = wf_malloc(pattern.n);
    if (copy == NULL) {
        return wf_span(NULL, 0);
    }
    memcpy(copy, pattern.p, pattern.n);
    r->patterns[r->npatterns++] = copy;
    return wf_span(copy, pattern.n);
}

int wf_router_add(struct wf_router *r, struct wf_span pattern, struct wf_leaf *leaf,
                  const char **error) {
    if (!check_pattern(pattern, &leaf->nparams, error)) {
        return -EINVAL;
    }
    if (leaf->methods == 0) {
        *error = "a route needs a method";
        return -EINVAL;
    }
    *error = "out of memory";
    pattern = keep_pattern(r, pattern);
    if (pattern.p == NULL) {
        return -ENOMEM;
    }
    struct node *n = insert(&r->root, pattern);
    if (n == NULL) {
        return -ENOMEM;
    }
    struct route *routes = wf_realloc(n->routes, (n->nroutes + 1u) * sizeof(routes[0]));
    if (routes == NULL) {
        return -ENOMEM;
    }
    n->routes = routes;
    n->routes[n->nroutes++] = (struct route){leaf, r->routes};
    announce(&r->root, pattern, r->routes, leaf->methods);
    r->routes++;
    *error = NULL;
    return 0;
}
