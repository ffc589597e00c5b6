/* Media types by the end of a name, as Python's mimetypes guesses them. */
#include "serve/static/static.h"

enum { SUFFIX_CHARS_MAX = 32 }; /* no known one is longer */

static int compare(struct wf_span a, struct wf_span b) {
    int order = memcmp(a.p, b.p, WF_MIN(a.n, b.n));
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static const struct wf_media_type *find(const struct wf_media_type *types, size_t n,
                                        struct wf_span suffix) {
    char lower[SUFFIX_CHARS_MAX];
    if (suffix.n > sizeof(lower)) {
        return NULL;
    }
    for (size_t i = 0; i < suffix.n; i++) {
        char c = suffix.p[i];
        lower[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(types[middle].suffix, wf_span(lower, suffix.n));
        if (order == 0) {
            return &types[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* Cuts the last suffix off *name. Dots in front of a name begin no suffix. */
static struct wf_span take_suffix(struct wf_span *name) {
    size_t first = 0;
    while (first < name->n && name->p[first] == '.') {
        first++;
    }
    for (size_t i = name->n; i > first; i--) {
        if (name->p[i - 1] == '.') {
            struct wf_span suffix = wf_span(name->p + i, name->n - i);
            name->n = i - 1;
            return suffix;
        }
    }
    return wf_span("", 0);
}

struct wf_span wf_media_type_of(const struct wf_media_type *types, size_t n, struct wf_span name) {
    const struct wf_media_type *t = find(types, n, take_suffix(&name));
    if (t != NULL && t->type.n == 0) {
        t = find(types, n, take_suffix(&name));
    }
    return t != NULL && t->type.n != 0 ? t->type : WF_SPAN("application/octet-stream");
}
