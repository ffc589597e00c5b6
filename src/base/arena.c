#include "base/arena.h"

#include "base/alloc.h"

enum { ARENA_BLOCK_BYTES = 4096 };

struct wf_arena_block {
    struct wf_arena_block *older;
    size_t pad; /* keeps the bytes behind the header aligned to 16 */
};
static_assert(sizeof(struct wf_arena_block) == 16, "an arena block's bytes start aligned");

void wf_arena_init(struct wf_arena *a, void *first, size_t n, size_t max_bytes) {
    *a = (struct wf_arena){.first = first, .max_bytes = max_bytes};
    a->first_end = n != 0 ? a->first + n : a->first;
    a->next = a->first;
    a->end = a->first_end;
}

void wf_arena_reset(struct wf_arena *a) {
    while (wf_unlikely(a->blocks != NULL)) {
        struct wf_arena_block *b = a->blocks;
        a->blocks = b->older;
        wf_free(b);
    }
    a->used_bytes = 0;
    a->next = a->first;
    a->end = a->first_end;
}

void *wf_arena_alloc_slow(struct wf_arena *a, size_t n) {
    size_t room = WF_MAX(n, (size_t)ARENA_BLOCK_BYTES);
    if (n > a->max_bytes || room > a->max_bytes - WF_MIN(a->used_bytes, a->max_bytes)) {
        return NULL;
    }
    struct wf_arena_block *b = wf_malloc(sizeof(*b) + room);
    if (b == NULL) {
        return NULL;
    }
    b->older = a->blocks;
    a->blocks = b;
    a->used_bytes += room;
    char *p = (char *)(b + 1);
    a->next = p + n;
    a->end = p + room;
    return p;
}

struct wf_span wf_arena_copy(struct wf_arena *a, struct wf_span s) {
    char *p = wf_arena_alloc(a, s.n + 1);
    if (p == NULL) {
        return wf_span(NULL, 0);
    }
    if (s.n != 0) {
        memcpy(p, s.p, s.n);
    }
    p[s.n] = '\0';
    return wf_span(p, s.n);
}
