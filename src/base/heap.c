#include "base/heap.h"

#include <errno.h>

#include "base/alloc.h"

/* Four children: half as deep as a binary heap, and the children of a slot are next to each other,
 * so going down costs fewer cache misses. */
enum { HEAP_CHILDREN = 4, HEAP_CAP_MIN = 16, HEAP_CAP_MAX = 1 << 28 }; /* below WF_HEAP_IN_RUN */

static inline void place(struct wf_heap *h, uint32_t i, struct wf_heap_slot slot) {
    h->slots[i] = slot;
    slot.node->at = i + 1;
}

/* Moves the hole at `i` up to where `slot` belongs, and fills it. */
static void sift_up(struct wf_heap *h, uint32_t i, struct wf_heap_slot slot) {
    while (i > 0) {
        uint32_t parent = (i - 1) / HEAP_CHILDREN;
        if (!wf_heap_before(&slot, &h->slots[parent])) {
            break;
        }
        place(h, i, h->slots[parent]);
        i = parent;
    }
    place(h, i, slot);
}

/* The same, downwards. */
static void sift_down(struct wf_heap *h, uint32_t i, struct wf_heap_slot slot) {
    for (;;) {
        uint32_t child = i * HEAP_CHILDREN + 1;
        if (child >= h->len) {
            break;
        }
        uint32_t end = WF_MIN(child + HEAP_CHILDREN, h->len);
        uint32_t least = child;
        while (++child < end) {
            if (wf_heap_before(&h->slots[child], &h->slots[least])) {
                least = child;
            }
        }
        if (!wf_heap_before(&h->slots[least], &slot)) {
            break;
        }
        place(h, i, h->slots[least]);
        i = least;
    }
    place(h, i, slot);
}

void wf_heap_free(struct wf_heap *h) {
    for (uint32_t i = 0; i < h->len; i++) {
        h->slots[i].node->at = 0;
    }
    struct wf_list *link;
    while ((link = wf_list_pop(&h->run)) != NULL) {
        wf_container_of(link, struct wf_heap_node, run)->at = 0;
    }
    wf_free(h->slots);
    wf_heap_init(h);
}

static int make_room(struct wf_heap *h) {
    if (wf_likely(h->len < h->cap)) {
        return 0;
    }
    if (h->cap >= HEAP_CAP_MAX) {
        return -ENOMEM;
    }
    uint32_t cap = WF_MAX(h->cap * 2, (uint32_t)HEAP_CAP_MIN);
    struct wf_heap_slot *slots = wf_realloc(h->slots, cap * sizeof(*slots));
    if (slots == NULL) {
        return -ENOMEM;
    }
    h->slots = slots;
    h->cap = cap;
    return 0;
}

static void append(struct wf_heap *h, struct wf_heap_node *n, uint64_t key) {
    n->at = WF_HEAP_IN_RUN;
    n->key = key;
    n->seq = h->next_seq++;
    wf_list_push(&h->run, &n->run);
}

int wf_heap_insert(struct wf_heap *h, struct wf_heap_node *n, uint64_t key) {
    WF_ASSERT(!wf_heap_node_linked(n));
    if (wf_list_empty(&h->run)) {
        append(h, n, key);
        return 0;
    }
    struct wf_heap_slot last = wf_heap_run_slot(h->run.prev);
    if (wf_likely(key >= last.key)) {
        append(h, n, key);
        return 0;
    }
    if (make_room(h) < 0) {
        return -ENOMEM;
    }
    if (h->run.next == h->run.prev) { /* one alone, and late: it must not keep others from a run */
        wf_list_remove(&last.node->run);
        sift_up(h, h->len++, last);
        append(h, n, key);
    } else {
        sift_up(h, h->len++, (struct wf_heap_slot){.key = key, .seq = h->next_seq++, .node = n});
    }
    return 0;
}

void wf_heap_remove(struct wf_heap *h, struct wf_heap_node *n) {
    if (!wf_heap_node_linked(n)) {
        return;
    }
    if (n->at == WF_HEAP_IN_RUN) {
        n->at = 0;
        wf_list_remove(&n->run);
        return;
    }
    uint32_t i = n->at - 1;
    WF_ASSERT(i < h->len && h->slots[i].node == n);
    n->at = 0;
    struct wf_heap_slot last = h->slots[--h->len];
    if (i == h->len) {
        return;
    }
    /* The last slot fills the hole: it may belong above it or below. */
    if (i > 0 && wf_heap_before(&last, &h->slots[(i - 1) / HEAP_CHILDREN])) {
        sift_up(h, i, last);
    } else {
        sift_down(h, i, last);
    }
}

int wf_heap_each(const struct wf_heap *h, int (*f)(struct wf_heap_node *n, void *arg), void *arg) {
    int rc = 0;
    for (struct wf_list *n = h->run.next; rc == 0 && n != &h->run; n = n->next) {
        rc = f(wf_heap_run_slot(n).node, arg);
    }
    for (uint32_t i = 0; rc == 0 && i < h->len; i++) {
        rc = f(h->slots[i].node, arg);
    }
    return rc;
}
