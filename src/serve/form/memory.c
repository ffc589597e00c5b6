/* How much memory the files of all forms may have together. */
#include "serve/form/memory.h"

#include <stdatomic.h>

#include "base/alloc.h"

struct wf_form_memory {
    atomic_uint_fast64_t left;
    atomic_uint refs;
    wf_form_resize_fn *resize;
    void *data;
};

struct wf_form_memory *wf_form_memory_new(uint64_t bytes, wf_form_resize_fn *resize, void *data) {
    struct wf_form_memory *m = wf_malloc(sizeof(*m));
    if (m != NULL) {
        atomic_init(&m->left, bytes);
        atomic_init(&m->refs, 1);
        m->resize = resize;
        m->data = data;
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

char *wf_form_memory_resize(struct wf_form_memory *m, char *block, size_t bytes) {
    return m->resize(m->data, block, bytes);
}
