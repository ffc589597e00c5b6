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

/* What a route is to the server. Embed or point to it; it lives as long as the router. */
struct wf_leaf {
    void *plan;                        /* the embedder's */
    uint64_t body_max;                 /* bytes; UINT64_MAX: the server's own limit */
    const struct wf_form_config *form; /* FORM: borrowed */
    const struct wf_fixed_reply *fixed; /* borrowed: answers in place of the embedder; or NULL */
    uint32_t methods;  /* bit per enum wf_method, at least one; GET answers HEAD too (below) */
    uint8_t body_mode; /* enum wf_body_mode */
    uint8_t nparams;
    uint8_t length_digits; /* hint: digits of the last reply's content-length; respond.c's */
};

struct wf_router;

struct wf_match {
    const struct wf_leaf *leaf; /* NULL unless FOUND */
    uint32_t allow;             /* method bits of the path, for 405 and OPTIONS */
    uint8_t nparams;
    struct wf_span params[WF_ROUTE_PARAMS_MAX]; /* into the path given to wf_router_match */
};

enum wf_route_result {
    WF_ROUTE_FOUND,
    WF_ROUTE_NOT_FOUND,
    WF_ROUTE_METHOD,  /* 405 with allow */
    WF_ROUTE_OPTIONS, /* automatic reply: 200 with allow (no route of its own takes OPTIONS) */
    WF_ROUTE_SLASH /* nothing matches, but something would with the trailing slash toggled: 307 there,
                         whatever the method, as Starlette does */
};

struct wf_router *wf_router_new(void); /* NULL without memory */
void wf_router_free(struct wf_router *r);

/* pattern  "/items/{id}/files/{rest:path}"; copied. Names are [A-Za-z_][A-Za-z0-9_]*, each once
 * leaf     borrowed; methods, plan set by the caller; nparams is filled in
 * error    out: a sentence that says what is wrong with the pattern; static
 * returns  0, -EINVAL (see error), -ENOMEM. A route that an earlier one of equal shape and method hides is
 *          taken and never found, as in Starlette */
int wf_router_add(struct wf_router *r, struct wf_span pattern, struct wf_leaf *leaf,
                  const char **error);

/* path  decoded. HEAD finds GET's leaf when no route with HEAD of its own matches. */
enum wf_route_result wf_router_match(const struct wf_router *r, enum wf_method method,
                                     struct wf_span path, struct wf_match *out);

/* Writes "GET, HEAD, POST" for a set of method bits; returns bytes written. */
enum { WF_ALLOW_CHARS_MAX = 80 };
size_t wf_allow_write(char out[WF_ALLOW_CHARS_MAX], uint32_t methods);

#endif
