/* An arena: memory that is taken piece by piece and given back all at once.
 *
 * The first block may be the owner's own (embedded, costs nothing); further blocks come from
 * wf_malloc and are freed by wf_arena_reset. Nothing taken from an arena outlives the reset.
 *
 * failure  wf_arena_alloc returns NULL when memory is out or `max` would be passed
 * thread   one at a time */
#ifndef WF_BASE_ARENA_H
#define WF_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/span.h"

struct wf_arena_block;

struct wf_arena {
    char *next, *end;              /* the free part of the current block */
    char *first, *first_end;       /* the owner's block, reused after each reset; may be NULL */
    struct wf_arena_block *blocks; /* owned; newest first */
    size_t used_bytes;             /* in `blocks`, against max_bytes */
    size_t max_bytes;
};

/* first  borrowed, lives as long as the arena; NULL with n = 0 for none */
void wf_arena_init(struct wf_arena *a, void *first, size_t n, size_t max_bytes);

/* Gives everything back and is ready for use again. Also how an arena is destroyed. */
void wf_arena_reset(struct wf_arena *a);

void *wf_arena_alloc_slow(struct wf_arena *a, size_t n) WF_MUST_USE;

/* n bytes, aligned to 16. */
static inline void *wf_arena_alloc(struct wf_arena *a, size_t n) {
    uintptr_t at = ((uintptr_t)a->next + 15) & ~(uintptr_t)15;
    if (wf_likely(a->next != NULL && at <= (uintptr_t)a->end && (uintptr_t)a->end - at >= n)) {
        a->next = (char *)at + n;
        return (void *)at;
    }
    return wf_arena_alloc_slow(a, n);
}

/* A copy of `s` in the arena; p is NULL on failure (an empty span copies to a non-NULL p). */
struct wf_span wf_arena_copy(struct wf_arena *a, struct wf_span s) WF_MUST_USE;

#endif
