/* Tests of the pool: it reuses, keeps no more than it may, and says so when memory is out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/pool.h"

static void takes_back_what_it_gave(void **state) {
    struct wf_pool p;
    wf_pool_init(&p, 256, 2);
    void *a = wf_pool_take(&p), *b = wf_pool_take(&p), *c = wf_pool_take(&p);
    assert_true(a != NULL && b != NULL && c != NULL);
    wf_pool_give(&p, NULL);
    assert_int_equal(p.kept, 0);
    wf_pool_give(&p, a);
    wf_pool_give(&p, b);
    wf_pool_give(&p, c); /* past keep_max: back to the allocator */
    assert_int_equal(p.kept, 2);
    assert_ptr_equal(wf_pool_take(&p), b);
    assert_ptr_equal(wf_pool_take(&p), a);
    assert_int_equal(p.kept, 0);
    wf_pool_give(&p, a);
    wf_pool_give(&p, b);
    wf_pool_free_all(&p);
    assert_int_equal(p.kept, 0);
    assert_null(p.free);
}

static void serves_what_it_kept_when_memory_is_out(void **state) {
    struct wf_pool p;
    wf_pool_init(&p, 64, 8);
    wf_pool_give(&p, wf_pool_take(&p));
    wf_alloc_fail_from(1);
    void *kept = wf_pool_take(&p);
    void *more = wf_pool_take(&p);
    wf_alloc_fail_from(0);
    assert_non_null(kept);
    assert_null(more);
    wf_pool_give(&p, kept);
    wf_pool_free_all(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_back_what_it_gave),
        cmocka_unit_test(serves_what_it_kept_when_memory_is_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
