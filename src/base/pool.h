/* A free list of equal buffers: a connection takes one when bytes arrive and gives it back when it
 * has none, so that an idle connection holds no buffer at all.
 * thread   one at a time
 * failure  wf_pool_take returns NULL */
#ifndef WF_BASE_POOL_H
#define WF_BASE_POOL_H

#include <stddef.h>

#include "base/alloc.h"

struct wf_pool_free {
    struct wf_pool_free *next;
};

struct wf_pool {
    struct wf_pool_free *free; /* owned */
    size_t size;               /* bytes of one buffer */
    unsigned kept;             /* how many are on the free list */
    unsigned keep_max;         /* more than this go back to the allocator */
};

static inline void wf_pool_init(struct wf_pool *p, size_t size, unsigned keep_max) {
    *p = (struct wf_pool){.size = size, .keep_max = keep_max};
}

static inline void *wf_pool_take(struct wf_pool *p) {
    struct wf_pool_free *b = p->free;
    if (wf_unlikely(b == NULL)) {
        return wf_malloc(p->size);
    }
    p->free = b->next;
    p->kept--;
    return b;
}

/* NULL is allowed. */
static inline void wf_pool_give(struct wf_pool *p, void *ptr) {
    if (ptr == NULL) {
        return;
    }
    if (wf_unlikely(p->kept >= p->keep_max)) {
        wf_free(ptr);
        return;
    }
    struct wf_pool_free *b = ptr;
    b->next = p->free;
    p->free = b;
    p->kept++;
}

static inline void wf_pool_free_all(struct wf_pool *p) {
    while (p->free != NULL) {
        struct wf_pool_free *b = p->free;
        p->free = b->next;
        wf_free(b);
    }
    p->kept = 0;
}

#endif
