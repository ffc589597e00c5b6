/* Fuzzes the router. Input: patterns, one a line (a leading '+' makes it POST), an empty line, then
 * the path. What is found must have the method, as many parameters as its pattern, all inside the
 * path. */
#include <stdlib.h>

#include "serve/route/route.h"

enum { LEAVES = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wf_leaf leaves[LEAVES];
    struct wf_router *r = wf_router_new();
    const char *p = (const char *)data, *end = p + size;
    for (unsigned n = 0; p < end && n < LEAVES; n++) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        eol = eol == NULL ? end : eol;
        bool post = p < eol && *p == '+';
        struct wf_span pattern = wf_span(p + post, (size_t)(eol - p - post));
        p = eol == end ? end : eol + 1;
        if (pattern.n == 0) {
            break;
        }
        const char *error;
        leaves[n] = (struct wf_leaf){.methods = 1u << (post ? WF_METHOD_POST : WF_METHOD_GET)};
        wf_router_add(r, pattern, &leaves[n], &error);
    }
    struct wf_span path = wf_span(p, (size_t)(end - p));
    struct wf_match m;
    if (wf_router_match(r, WF_METHOD_POST, WF_SPAN(""), path, &m) == WF_ROUTE_FOUND) {
        if ((m.leaf->methods & 1u << WF_METHOD_POST) == 0 || m.nparams != m.leaf->nparams) {
            abort();
        }
        for (unsigned i = 0; i < m.nparams; i++) {
            if (m.params[i].p < path.p || m.params[i].p + m.params[i].n > path.p + path.n) {
                abort();
            }
        }
    }
    wf_router_match(r, WF_METHOD_HEAD, WF_SPAN(""), path, &m);
    wf_router_free(r);
    return 0;
}
