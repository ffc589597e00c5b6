/* A 4-ary min-heap of nodes that know their place, ordered by (key, order of insertion).
 * Owns its array, not the nodes. A node is in at most one heap.
 * failure  only wf_heap_insert can fail (-ENOMEM), with nothing changed */
#ifndef WF_BASE_HEAP_H
#define WF_BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

struct wf_heap_node {
    uint32_t at; /* index + 1; 0 while in no heap */
};

struct wf_heap_slot {
    uint64_t key;
    uint64_t seq; /* ties go to the earlier insertion */
    struct wf_heap_node *node;
};

struct wf_heap {
    struct wf_heap_slot *slots; /* owned */
    uint32_t len, cap;
    uint64_t next_seq;
};

static inline void wf_heap_node_init(struct wf_heap_node *n) {
    n->at = 0;
}
static inline bool wf_heap_node_linked(const struct wf_heap_node *n) {
    return n->at != 0;
}
static inline void wf_heap_init(struct wf_heap *h) {
    *h = (struct wf_heap){0};
}
/* Frees the array; nodes are unlinked. */
void wf_heap_free(struct wf_heap *h);

int wf_heap_insert(struct wf_heap *h, struct wf_heap_node *n, uint64_t key) WF_MUST_USE;
void wf_heap_remove(struct wf_heap *h, struct wf_heap_node *n); /* harmless where unlinked */

/* The smallest, or NULL. */
static inline struct wf_heap_node *wf_heap_min(const struct wf_heap *h) {
    return h->len != 0 ? h->slots[0].node : NULL;
}
static inline uint64_t wf_heap_min_key(const struct wf_heap *h) {
    WF_ASSERT(h->len != 0);
    return h->slots[0].key;
}
static inline uint64_t wf_heap_key(const struct wf_heap *h, const struct wf_heap_node *n) {
    WF_ASSERT(n->at != 0 && n->at <= h->len);
    return h->slots[n->at - 1].key;
}

#endif
