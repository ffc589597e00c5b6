/* A token taken apart: what needs no cryptography. */
#include "wire/jwt/jwt.h"

#include <stdint.h>

enum wf_jwt_algorithm wf_jwt_algorithm_of(struct wf_span name) {
#define X(algorithm, family, hash, bytes)                                                          \
    if (wf_span_eq(name, WF_SPAN(#algorithm))) {                                                   \
        return WF_JWT_##algorithm;                                                                 \
    }
    WF_JWT_ALGORITHMS(X)
#undef X
    return WF_JWT_NO_ALGORITHM;
}

/* Cuts *rest at its first dot. */
static bool cut(struct wf_span *rest, struct wf_span *part) {
    const char *dot = rest->n != 0 ? memchr(rest->p, '.', rest->n) : NULL;
    if (dot == NULL) {
        return false;
    }
    *part = wf_span(rest->p, (size_t)(dot - rest->p));
    *rest = wf_span(dot + 1, rest->n - part->n - 1);
    return true;
}

bool wf_jwt_split(struct wf_span token, struct wf_jwt *out) {
    struct wf_span rest = token;
    if (!cut(&rest, &out->header) || !cut(&rest, &out->claims)) {
        return false;
    }
    out->signature = rest;
    out->signed_text = wf_span(token.p, token.n - rest.n - 1);
    return out->header.n != 0 && out->claims.n != 0 && rest.n != 0 &&
           memchr(rest.p, '.', rest.n) == NULL;
}
