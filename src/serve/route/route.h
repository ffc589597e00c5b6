/* The router: from method and path to a leaf. A compressed radix tree over path bytes.
 *
 * Routes /books, /books/{id}, /boot and /files/{rest:path} make
 *
 *     "/"─┬─"boo"─┬─"k"──"s" *───"/"──{id} *
 *         │       └─"t" *
 *         └─"files/"──{rest:path} *                       (* has a leaf)
 *
 * A parameter {name} takes one or more bytes other than '/', as many as still let the rest match;
 * {name:path} takes any bytes, '/' too, and may be empty; {name:int}, {name:float} and {name:uuid} take
 * what Starlette's convertors take. Parameters and text may share a segment: /{name}.{ext}.
 *
 * Among all routes that match the path and have the method, the one declared first wins, exactly as if they
 * were tried one after another, as Starlette does. The tree keeps that cheap: each subtree knows the
 * earliest declaration in it, and one that cannot beat the match already found is not entered.
 * Matching never allocates; WF_ROUTE_STEPS_MAX bounds its backtracking.
 *
 * A router may stand in another, beneath a prefix or behind a host, at its place in the order of declaration: what
 * comes to it is its own to answer, also with 404.
 *
 * thread   build on one thread, then freeze; matching is read-only and safe from any thread */
#ifndef WF_SERVE_ROUTE_H
#define WF_SERVE_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "wire/http1/http1.h"

enum {
    WF_ROUTE_PARAMS_MAX = 16, /* in one pattern: they live in the exchange */
    WF_ROUTE_STEPS_MAX = 4096 /* of backtracking in one match; then it is a 404 */
};

enum wf_body_mode {
    WF_BODY_BUFFER, /* the exchange is ready when the whole body is in memory */
    WF_BODY_STREAM, /* ready after the head; the handler pulls the body */
    WF_BODY_IGNORE, /* ready after the head; the body is read and dropped (GET routes and the like) */
    WF_BODY_FORM /* ready when the whole body has been read into exchange->form, or it was none */
};

struct wf_form_config; /* serve/form */
struct wf_fixed_reply; /* serve/exchange.h */
struct wf_exchange;
struct wf_router;
struct wf_wait_list; /* serve/server.h */

/* Of a leaf that is there for whatever method: HEAD finds it as it finds GET's. */
enum { WF_ROUTE_ALL_METHODS = (1 << WF_METHOD_COUNT) - 1 - (1 << WF_METHOD_HEAD) };

/* What a route is to the server. Embed or point to it; it lives as long as the router. */
struct wf_leaf {
    void *plan;                         /* the embedder's */
    uint64_t body_max;                  /* bytes; UINT64_MAX: the server's own limit */
    const struct wf_form_config *form;  /* FORM: borrowed */
    const struct wf_fixed_reply *fixed; /* borrowed: answers in place of the embedder; or NULL */
    uint32_t methods;  /* bit per enum wf_method, at least one; GET answers HEAD too (below) */
    uint8_t body_mode; /* enum wf_body_mode */
    uint8_t nparams;
    uint8_t length_digits; /* hint: digits of the last reply's content-length; respond.c's */
    const struct wf_router *router; /* of a mount: what is beneath it; else NULL */
    /* Answers right after the head, in C, where it is not NULL; gets no body. false: it has put into ex->route
     * what no route would have given instead. */
    bool (*answer)(void *arg, struct wf_exchange *ex);
    void *answer_arg;
    struct wf_wait_list
        *timeout; /* borrowed; of wf_server_handler_timeout. NULL: the server's own */
};

struct wf_match {
    const struct wf_leaf *leaf;     /* NULL unless FOUND */
    const struct wf_router *router; /* the innermost that was asked */
    uint32_t allow;                 /* method bits of the path, for 405 and OPTIONS */
    uint32_t
        root_n; /* bytes at the front of the path that prefixes of mounts, and the root path, took */
    uint8_t nparams;
    uint8_t nouter; /* of them, in front: of prefixes and hosts around the leaf's router */
    struct wf_span params[WF_ROUTE_PARAMS_MAX]; /* into the path or host given to wf_router_match */
};

enum wf_route_result {
    WF_ROUTE_FOUND,
    WF_ROUTE_NOT_FOUND,
    WF_ROUTE_METHOD,  /* 405 with allow */
    WF_ROUTE_OPTIONS, /* automatic reply: 200 with allow (no route of its own takes OPTIONS) */
    WF_ROUTE_SLASH, /* nothing matches, but something would with the trailing slash toggled: 307 there,
                         whatever the method, as Starlette does */
    WF_ROUTE_UNREADABLE /* only as a leaf's own answer: it is there and may not be read, 401 */
};

struct wf_router *wf_router_new(void);    /* NULL without memory */
void wf_router_free(struct wf_router *r); /* and the routers in it */

/* To be set before anything is matched. */
struct wf_router_options {
    void *user;               /* the embedder's */
    struct wf_layers *layers; /* serve's; NULL */
    bool redirect_slashes;    /* true: SLASH is an answer */
    bool unrouted;            /* 404 and 405 are the embedder's to answer (serve) */
    bool surrounded;          /* and so are redirects of slashes and automatic replies to OPTIONS */
};
struct wf_router_options *wf_router_options(struct wf_router *r);
const struct wf_router_options *wf_router_options_of(const struct wf_router *r);

/* pattern  "/items/{id}/files/{rest:path}"; copied. Names are [A-Za-z_][A-Za-z0-9_]*, each once
 * leaf     borrowed; methods, plan set by the caller; nparams is filled in
 * error    out: a sentence that says what is wrong with the pattern; static
 * returns  0, -EINVAL (see error), -ENOMEM. A route that an earlier one of equal shape and method hides is
 *          taken and never found, as in Starlette */
int wf_router_add(struct wf_router *r, struct wf_span pattern, struct wf_leaf *leaf,
                  const char **error);

/* A router for all that is beneath a prefix ("" or as a pattern, without a slash at its end), whatever the method,
 * unless a route of r declared before takes it. Its own patterns start behind the prefix. It starts with r's options.
 * returns  the new router, owned by r; NULL: see error */
struct wf_router *wf_router_mount(struct wf_router *r, struct wf_span prefix, const char **error);
/* The same for requests to a host: a name without port, in any case, which may have parameters
 * ("{tenant}.example.org"); its patterns are those of whole paths. */
struct wf_router *wf_router_host(struct wf_router *r, struct wf_span host, const char **error);
/* A router that is asked where no route of r has the path, with whatever method, nor would with the slash toggled.
 * Its patterns are those of r. It starts with r's options, but redirects no slashes. Made when first asked for.
 * returns  owned by r; NULL: no memory */
struct wf_router *wf_router_fallback(struct wf_router *r);
/* Is there one of those in it, or in what it is mounted in? Then wf_router_match has to know the host. */
bool wf_router_wants_host(const struct wf_router *r);

/* host  of the Host field, with or without a port; empty where there is none, or wf_router_wants_host says no
 * path  decoded. HEAD finds GET's leaf when no route with HEAD of its own matches. */
enum wf_route_result wf_router_match(const struct wf_router *r, enum wf_method method,
                                     struct wf_span host, struct wf_span path,
                                     struct wf_match *out);

/* Writes "GET, HEAD, POST" for a set of method bits; returns bytes written. */
enum { WF_ALLOW_CHARS_MAX = 80 };
size_t wf_allow_write(char out[WF_ALLOW_CHARS_MAX], uint32_t methods);

#endif
