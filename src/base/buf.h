/* A growable byte buffer that is born with a maximum.
 *
 * Bytes [0, len) are content. `cap` is what is allocated. It never grows past `max`: that is how a
 * peer's appetite becomes an error and not an out-of-memory.
 *
 * failure  functions that may grow return 0, WF_BUF_NOMEM or WF_BUF_FULL; on failure the content is
 *          as before
 * thread   one at a time */
#ifndef WF_BASE_BUF_H
#define WF_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/check.h"
#include "base/span.h"

enum { WF_BUF_OK = 0, WF_BUF_NOMEM = -1, WF_BUF_FULL = -2 };

struct wf_buf {
    char *p;    /* owned; NULL while cap is 0 */
    size_t len; /* bytes of content */
    size_t cap; /* bytes allocated */
    size_t max; /* bytes it may ever hold */
};

static inline void wf_buf_init(struct wf_buf *b, size_t max) {
    *b = (struct wf_buf){.max = max};
}

/* Releases the memory; the buffer is empty and may be used again. */
void wf_buf_free(struct wf_buf *b);

/* The slow path of wf_buf_reserve: at least doubles, up to max. */
int wf_buf_grow(struct wf_buf *b, size_t extra) WF_MUST_USE;

/* Makes room for `extra` more bytes behind len. Moves the content: spans into it die. */
static inline int wf_buf_reserve(struct wf_buf *b, size_t extra) {
    return wf_likely(b->cap - b->len >= extra) ? WF_BUF_OK : wf_buf_grow(b, extra);
}

static inline int wf_buf_append(struct wf_buf *b, const void *p, size_t n) {
    int rc = wf_buf_reserve(b, n);
    if (wf_unlikely(rc != WF_BUF_OK)) {
        return rc;
    }
    if (n != 0) {
        memcpy(b->p + b->len, p, n);
    }
    b->len += n;
    return WF_BUF_OK;
}

static inline int wf_buf_append_span(struct wf_buf *b, struct wf_span s) {
    return wf_buf_append(b, s.p, s.n);
}

static inline int wf_buf_append_byte(struct wf_buf *b, char c) {
    return wf_buf_append(b, &c, 1);
}

/* Drops the first n bytes of content (n <= len), moving the rest to the front. */
static inline void wf_buf_consume(struct wf_buf *b, size_t n) {
    WF_ASSERT(n <= b->len);
    b->len -= n;
    if (b->len != 0 && n != 0) {
        memmove(b->p, b->p + n, b->len);
    }
}

static inline struct wf_span wf_buf_span(const struct wf_buf *b) {
    return wf_span(b->p, b->len);
}

#endif
