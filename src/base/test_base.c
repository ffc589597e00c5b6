/* Tests of base: spans, buffers, arenas, lists, and what they do when memory is out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"

static void span_compares_without_case(void **state) {
    assert_true(wf_span_eq_lower(WF_SPAN("Content-LENGTH"), WF_SPAN("content-length")));
    assert_false(wf_span_eq_lower(WF_SPAN("content-lengt@"), WF_SPAN("content-length")));
    assert_false(wf_span_eq_lower(WF_SPAN("a"), WF_SPAN("ab")));
}

static void buf_stops_at_its_maximum(void **state) {
    struct wf_buf b;
    wf_buf_init(&b, 1000);
    char x[600];
    memset(x, 'x', sizeof(x));
    assert_int_equal(wf_buf_append(&b, x, sizeof(x)), WF_BUF_OK);
    assert_int_equal(wf_buf_append(&b, x, sizeof(x)), WF_BUF_FULL);
    assert_int_equal(b.len, 600);
    assert_int_equal(wf_buf_append(&b, x, 400), WF_BUF_OK);
    assert_int_equal(wf_buf_append_byte(&b, 'y'), WF_BUF_FULL);
    assert_int_equal(wf_buf_reserve(&b, SIZE_MAX), WF_BUF_FULL);
    wf_buf_consume(&b, 999);
    assert_int_equal(b.len, 1);
    wf_buf_free(&b);
}

static void buf_keeps_its_content_when_memory_is_out(void **state) {
    struct wf_buf b;
    wf_buf_init(&b, 1 << 20);
    assert_int_equal(wf_buf_append(&b, "abc", 3), WF_BUF_OK);
    wf_alloc_fail_from(1);
    assert_int_equal(wf_buf_reserve(&b, 10000), WF_BUF_NOMEM);
    wf_alloc_fail_from(0);
    assert_memory_equal(b.p, "abc", 3);
    wf_buf_free(&b);
}

static void arena_reuses_its_first_block(void **state) {
    char first[64] __attribute__((aligned(16)));
    struct wf_arena a;
    wf_arena_init(&a, first, sizeof(first), 1 << 16);
    assert_ptr_equal(wf_arena_alloc(&a, 10), first);
    assert_ptr_equal(wf_arena_alloc(&a, 10), first + 16);
    char *big = wf_arena_alloc(&a, 100);
    assert_non_null(big);
    assert_false(big >= first && big < first + 64);
    wf_arena_reset(&a);
    assert_ptr_equal(wf_arena_alloc(&a, 1), first);
    wf_arena_reset(&a);
}

static void arena_refuses_past_its_maximum_and_without_memory(void **state) {
    struct wf_arena a;
    wf_arena_init(&a, NULL, 0, 8192);
    assert_null(wf_arena_alloc(&a, 8193));
    assert_null(wf_arena_alloc(&a, SIZE_MAX));
    assert_non_null(wf_arena_alloc(&a, 5000));
    assert_null(wf_arena_alloc(&a, 5000));
    wf_arena_reset(&a);
    wf_alloc_fail_from(1);
    assert_null(wf_arena_alloc(&a, 1));
    wf_alloc_fail_from(0);
    assert_string_equal(wf_arena_copy(&a, WF_SPAN("hello")).p, "hello");
    wf_arena_reset(&a);
}

struct item {
    int value;
    struct wf_list node;
};

static void list_keeps_order_and_forgives_a_second_removal(void **state) {
    struct wf_list head, other;
    wf_list_init(&head);
    wf_list_init(&other);
    struct item items[3] = {{1}, {2}, {3}};
    for (int i = 0; i < 3; i++) {
        wf_list_push(&head, &items[i].node);
    }
    wf_list_remove(&items[1].node);
    wf_list_remove(&items[1].node);
    wf_list_splice(&other, &head);
    assert_true(wf_list_empty(&head));
    assert_int_equal(wf_container_of(wf_list_pop(&other), struct item, node)->value, 1);
    assert_int_equal(wf_container_of(wf_list_pop(&other), struct item, node)->value, 3);
    assert_null(wf_list_pop(&other));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(span_compares_without_case),
        cmocka_unit_test(buf_stops_at_its_maximum),
        cmocka_unit_test(buf_keeps_its_content_when_memory_is_out),
        cmocka_unit_test(arena_reuses_its_first_block),
        cmocka_unit_test(arena_refuses_past_its_maximum_and_without_memory),
        cmocka_unit_test(list_keeps_order_and_forgives_a_second_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
