/* Building and matching the tree that route.h draws. Read from `struct node` down: the tree,
 * patterns, insertion, then the walk. */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "serve/route/route.h"

/* What a node consumes. The converters are Starlette's regular expressions. */
enum kind {
    TEXT,  /* its text */
    STR,   /* [^/]+ */
    INT,   /* [0-9]+ */
    FLOAT, /* [0-9]+(\.[0-9]+)? */
    UUID,  /* 8-4-4-4-12 hex digits, each '-' optional */
    PATH   /* anything, also nothing */
};

enum {
    PATTERN_BYTES_MAX = 1024,  /* the walk recurses once a node: this bounds its depth */
    SCAN_BYTES_A_STEP = 64,    /* giving a parameter fewer bytes is cheap, but not free */
    REDIRECT_BYTES_MAX = 4096, /* a longer path is not tried with a slash added */
    NEVER = UINT32_MAX
};

struct route {
    struct wf_leaf *leaf; /* borrowed */
    uint32_t order;       /* of declaration */
};

struct node {
    const char *text; /* in some route's pattern, which lives as long as the tree */
    uint32_t text_len;
    uint32_t first;   /* earliest declaration in this subtree; NEVER while it has none */
    uint32_t methods; /* of all routes in this subtree */
    uint8_t kind;
    uint8_t nparams; /* children that are parameters; they stand behind the texts */
    uint16_t ntexts; /* at most one for each byte */
    uint32_t nroutes;
    char *initials;         /* first byte of each text child */
    struct node **children; /* owned; texts, then parameters */
    struct route *routes;   /* that end here, in order of declaration */
};

struct wf_router {
    struct node root; /* an empty text */
    uint32_t routes;
    uint32_t npatterns, patterns_cap;
    char **patterns; /* owned copies: nodes' texts point into them */
};

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
    wf_free(r);
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

static int text_child(const struct node *n, char initial) {
    for (unsigned i = 0; i < n->ntexts; i++) {
        if (n->initials[i] == initial) {
            return (int)i;
        }
    }
    return -1;
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

/* ---- the walk ---- */

struct walk {
    const char *end;  /* of the path */
    uint32_t methods; /* wanted: any of these bits */
    uint32_t best;    /* declaration of `found`; NEVER at first */
    const struct wf_leaf *found;
    uint32_t *allow; /* not NULL: collect every method instead of finding one */
    unsigned steps_left;
    unsigned nparams; /* set so far on the way down */
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
            if (r->order < w->best) {
                w->best = r->order;
                w->found = r->leaf;
                w->out->nparams = (uint8_t)w->nparams;
                for (unsigned k = 0; k < w->nparams; k++) {
                    w->out->params[k] = w->params[k];
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

static const struct wf_leaf *find(const struct wf_router *r, uint32_t methods, struct wf_span path,
                                  struct wf_match *out) {
    struct walk w;
    w.end = path.p + path.n;
    w.methods = methods;
    w.best = NEVER;
    w.found = NULL;
    w.allow = NULL;
    w.steps_left = WF_ROUTE_STEPS_MAX;
    w.nparams = 0;
    w.out = out;
    walk_node(&w, &r->root, path.p);
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
    if (path.n <= 1) {
        return false;
    }
    if (path.p[path.n - 1] == '/') {
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

/* Out of line: its buffers stay off the stack of the common case. */
static WF_NOINLINE enum wf_route_result no_leaf(const struct wf_router *r, enum wf_method method,
                                                struct wf_span path, struct wf_match *out) {
    out->allow = allowed(r, path);
    if (out->allow == 0) {
        return matches_toggled(r, path) ? WF_ROUTE_SLASH : WF_ROUTE_NOT_FOUND;
    }
    if (method == WF_METHOD_OPTIONS) {
        out->allow |= 1u << WF_METHOD_OPTIONS;
        return WF_ROUTE_OPTIONS;
    }
    return WF_ROUTE_METHOD;
}

enum wf_route_result wf_router_match(const struct wf_router *r, enum wf_method method,
                                     struct wf_span path, struct wf_match *out) {
    out->allow = 0;
    out->nparams = 0;
    out->leaf = find(r, 1u << method, path, out);
    if (wf_unlikely(out->leaf == NULL) && method == WF_METHOD_HEAD) {
        out->leaf = find(r, 1u << WF_METHOD_GET, path, out);
    }
    return wf_likely(out->leaf != NULL) ? WF_ROUTE_FOUND : no_leaf(r, method, path, out);
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
