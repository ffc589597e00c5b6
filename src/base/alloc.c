#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>

/* Counts down to the failing allocation; 0 is off. The one mutable static of the tree: it is a
 * test's switch for the whole process, like the allocator itself. */
static unsigned long fail_countdown;

void wf_alloc_fail_from(unsigned long nth) {
    fail_countdown = nth;
}

static inline int fails(void) {
    if (wf_likely(fail_countdown == 0)) {
        return 0;
    }
    if (fail_countdown > 1) {
        fail_countdown--;
        return 0;
    }
    return 1;
}

void *wf_malloc(size_t n) {
    return fails() ? NULL : malloc(n ? n : 1);
}

void *wf_calloc(size_t count, size_t size) {
    return fails() ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *wf_realloc(void *p, size_t n) {
    return fails() ? NULL : realloc(p, n ? n : 1);
}

void wf_free(void *p) {
    free(p);
}
