/* A span: borrowed bytes. It owns nothing; whoever hands one out says until when it is good. */
#ifndef WF_BASE_SPAN_H
#define WF_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct wf_span {
    const char *p; /* borrowed; may be NULL only when n is 0 */
    size_t n;      /* bytes */
};

/* A span over a string literal. */
#define WF_SPAN(lit) ((struct wf_span){"" lit, sizeof(lit) - 1})

static inline struct wf_span wf_span(const void *p, size_t n) {
    return (struct wf_span){(const char *)p, n};
}

static inline struct wf_span wf_span_str(const char *s) {
    return (struct wf_span){s, strlen(s)};
}

static inline bool wf_span_eq(struct wf_span a, struct wf_span b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case-insensitive equality. `lower` must already be lower case. */
static inline bool wf_span_eq_lower(struct wf_span a, struct wf_span lower) {
    if (a.n != lower.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        unsigned char c = (unsigned char)a.p[i];
        if (c >= 'A' && c <= 'Z') {
            c |= 0x20;
        }
        if (c != (unsigned char)lower.p[i]) {
            return false;
        }
    }
    return true;
}

#endif
