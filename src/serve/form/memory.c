/* How much memory the files of all forms may have together. */
#include "serve/form/memory.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "base/alloc.h"

struct wf_form_memory {
    atomic_uint_fast64_t left;
    atomic_uint refs;
};

struct wf_form_memory *wf_form_memory_new(uint64_t bytes) {
    struct wf_form_memory *m = wf_malloc(sizeof(*m));
    if (m != NULL) {
        atomic_init(&m->left, bytes);
        atomic_init(&m->refs, 1);
    }
    return m;
}

struct wf_form_memory *wf_form_memory_ref(struct wf_form_memory *m) {
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void wf_form_memory_unref(struct wf_form_memory *m) {
    if (m != NULL && atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1) {
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

/* Thousands of page faults cost more than copying what is written there. */
void wf_form_memory_advise(char *p, size_t n) {
#ifdef MADV_HUGEPAGE
    const uintptr_t huge = 2 * 1024 * 1024;
    uintptr_t from = ((uintptr_t)p + huge - 1) & ~(huge - 1), to = ((uintptr_t)p + n) & ~(huge - 1);
    if (to > from) {
        (void)madvise((void *)from, to - from, MADV_HUGEPAGE); /* it is only a wish */
    }
#else
    (void)p;
    (void)n;
#endif
}
