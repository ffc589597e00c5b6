/* A min-heap of nodes that know their place, ordered by (key, order of insertion): a 4-ary heap, and
 * beside it a sorted run.
 *
 * Timeouts are mostly of a few lengths, so most keys come in order. A key that is not below the last
 * of the run is appended to it, which costs nothing to take out again, wherever it stands; others go
 * to the heap proper. The smallest is the smaller of the two firsts.
 *
 * Owns its array, not the nodes. A node is in at most one heap. The struct must not move.
 * failure  only wf_heap_insert can fail (-ENOMEM), with nothing changed */
#ifndef WF_BASE_HEAP_H
#define WF_BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/list.h"

enum { WF_HEAP_IN_RUN = UINT32_MAX };

struct wf_heap_node {
    struct wf_list run;
    uint64_t key, seq; /* while in the run; else in the slot */
    uint32_t at;       /* index + 1; WF_HEAP_IN_RUN; 0 while in no heap */
};

struct wf_heap_slot {
    uint64_t key;
    uint64_t seq; /* ties go to the earlier insertion */
    struct wf_heap_node *node;
};

struct wf_heap {
    struct wf_list run;         /* nodes, ascending */
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
    wf_list_init(&h->run);
}
/* Frees the array; nodes are unlinked. */
void wf_heap_free(struct wf_heap *h);

int wf_heap_insert(struct wf_heap *h, struct wf_heap_node *n, uint64_t key) WF_MUST_USE;
void wf_heap_remove(struct wf_heap *h, struct wf_heap_node *n); /* harmless where unlinked */

static inline bool wf_heap_before(const struct wf_heap_slot *a, const struct wf_heap_slot *b) {
    return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

static inline struct wf_heap_slot wf_heap_run_slot(struct wf_list *link) {
    struct wf_heap_node *n = wf_container_of(link, struct wf_heap_node, run);
    return (struct wf_heap_slot){.key = n->key, .seq = n->seq, .node = n};
}

/* The smallest; its node is NULL where there is none. */
static inline struct wf_heap_slot wf_heap_first(const struct wf_heap *h) {
    if (wf_list_empty(&h->run)) {
        return h->len != 0 ? h->slots[0] : (struct wf_heap_slot){0};
    }
    struct wf_heap_slot first = wf_heap_run_slot(h->run.next);
    return h->len != 0 && wf_heap_before(&h->slots[0], &first) ? h->slots[0] : first;
}
static inline struct wf_heap_node *wf_heap_min(const struct wf_heap *h) {
    return wf_heap_first(h).node;
}
static inline uint64_t wf_heap_min_key(const struct wf_heap *h) {
    WF_ASSERT(wf_heap_min(h) != NULL);
    return wf_heap_first(h).key;
}
/* To look at all of them, in no order: f(n, arg) for each until it returns other than 0, which is returned
 * then, else 0. Meanwhile the heap stays as it is. */
int wf_heap_each(const struct wf_heap *h, int (*f)(struct wf_heap_node *n, void *arg), void *arg);
static inline uint64_t wf_heap_key(const struct wf_heap *h, const struct wf_heap_node *n) {
    WF_ASSERT(n->at == WF_HEAP_IN_RUN || (n->at != 0 && n->at <= h->len));
    return n->at == WF_HEAP_IN_RUN ? n->key : h->slots[n->at - 1].key;
}

#endif
