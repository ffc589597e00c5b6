/* What the files of serve/route share: the tree. router.c builds it, match.c walks it, mount.c puts routers into
 * routers. */
#ifndef WF_SERVE_ROUTE_INT_H
#define WF_SERVE_ROUTE_INT_H

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
    HOST_BYTES_MAX = 255,      /* of a name (RFC 1035 section 2.3.4); a longer one is nobody's */
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

/* A router behind a host: its pattern is the one route of a router of its own, "/" in front. */
struct host {
    struct wf_router *pattern; /* owned */
    struct wf_router *inner;   /* owned */
    struct wf_leaf leaf;       /* of that route */
    uint32_t order;            /* of declaration, among the routes */
    struct host *next;
};

/* A router beneath a prefix: the leaf of "prefix/{path:path}". */
struct mount {
    struct wf_router *inner; /* owned */
    struct wf_leaf leaf;
    struct mount *next;
};

struct wf_router {
    struct wf_router_options options;
    struct wf_router *outermost; /* borrowed: itself, or what it stands in */
    struct node root;            /* an empty text */
    uint32_t routes;             /* declared so far, hosts among them */
    uint32_t npatterns, patterns_cap;
    char **patterns;            /* owned copies: nodes' texts point into them */
    struct mount *mounts;       /* owned */
    struct host *hosts;         /* owned, in order of declaration */
    struct wf_router *fallback; /* owned; or NULL */
    bool has_hosts;             /* of the outermost: one of all of them has */
};

static inline int text_child(const struct node *n, char initial) {
    for (unsigned i = 0; i < n->ntexts; i++) {
        if (n->initials[i] == initial) {
            return (int)i;
        }
    }
    return -1;
}

/* ---- mount.c ---- */
void mounts_free(struct wf_router *r);

#endif
