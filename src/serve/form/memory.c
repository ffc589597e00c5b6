/* How much memory the files of all forms may have together. */
#include "serve/form/memory.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "base/alloc.h"

struct wf_form_memory {
    atomic_uint_fast64_t left;
    atomic_uint refs;
    _Atomic(char *) kept[WF_FORM_BLOCKS_KEPT]; /* blocks that nobody uses, or NULL */
};

enum { HUGE_PAGE_BYTES = 2 * 1024 * 1024 };

struct wf_form_memory *wf_form_memory_new(uint64_t bytes) {
    struct wf_form_memory *m = wf_malloc(sizeof(*m));
    if (m != NULL) {
        atomic_init(&m->left, bytes);
        atomic_init(&m->refs, 1);
        for (int i = 0; i < WF_FORM_BLOCKS_KEPT; i++) {
            atomic_init(&m->kept[i], NULL);
        }
    }
    return m;
}

struct wf_form_memory *wf_form_memory_ref(struct wf_form_memory *m) {
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void wf_form_memory_unref(struct wf_form_memory *m) {
    if (m != NULL && atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1) {
        for (int i = 0; i < WF_FORM_BLOCKS_KEPT; i++) {
            char *block = atomic_load_explicit(&m->kept[i], memory_order_relaxed);
            if (block != NULL) {
                munmap(block, WF_FORM_FILE_MEMORY_MAX);
            }
        }
        wf_free(m);
    }
}

bool wf_form_memory_claim(struct wf_form_memory *m, uint64_t bytes) {
    uint_fast64_t left = atomic_load_explicit(&m->left, memory_order_relaxed);
    do {
        if (left < bytes) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&m->left, &left, left - bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void wf_form_memory_release(struct wf_form_memory *m, uint64_t bytes) {
    atomic_fetch_add_explicit(&m->left, bytes, memory_order_relaxed);
}

/* ---- blocks ---- */

char *wf_form_memory_take(struct wf_form_memory *m, size_t bytes) {
    char *block = NULL;
    for (int i = 0; i < WF_FORM_BLOCKS_KEPT && block == NULL; i++) {
        block = atomic_exchange_explicit(&m->kept[i], NULL, memory_order_acquire);
    }
    if (block == NULL) {
        block = mmap(NULL, WF_FORM_FILE_MEMORY_MAX, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED) {
            return NULL;
        }
    }
#ifdef MADV_HUGEPAGE
    /* Thousands of page faults cost more than copying what is written there. It is only a wish. */
    (void)madvise(block, bytes & ~(size_t)(HUGE_PAGE_BYTES - 1), MADV_HUGEPAGE);
#endif
    return block;
}

void wf_form_memory_give(struct wf_form_memory *m, char *block) {
#ifdef MADV_FREE
    for (int i = 0; i < WF_FORM_BLOCKS_KEPT; i++) {
        char *none = NULL;
        if (atomic_load_explicit(&m->kept[i], memory_order_relaxed) == NULL &&
            madvise(block, WF_FORM_FILE_MEMORY_MAX, MADV_FREE) == 0 &&
            atomic_compare_exchange_strong_explicit(&m->kept[i], &none, block, memory_order_release,
                                                    memory_order_relaxed)) {
            return;
        }
    }
#endif
    munmap(block, WF_FORM_FILE_MEMORY_MAX);
}
