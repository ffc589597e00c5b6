/* Tests of the heap: order, ties, removal from anywhere, and what it does when memory is out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/alloc.h"
#include "base/heap.h"

struct entry {
    struct wf_heap_node node;
    uint64_t key, seq;
    bool in;
};

static struct entry *entry_of(struct wf_heap_node *n) {
    return wf_container_of(n, struct entry, node);
}

/* xorshift64*: the same run every time. */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

static void equal_keys_come_out_as_they_went_in(void **state) {
    struct wf_heap h;
    wf_heap_init(&h);
    assert_null(wf_heap_min(&h));
    struct entry e[100] = {0};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(wf_heap_insert(&h, &e[i].node, (uint64_t)(i % 2)), 0);
    }
    for (int i = 0; i < 100; i++) {
        struct wf_heap_node *n = wf_heap_min(&h);
        assert_ptr_equal(n, &e[i < 50 ? 2 * i : 2 * (i - 50) + 1].node);
        wf_heap_remove(&h, n);
    }
    assert_null(wf_heap_min(&h));
    wf_heap_free(&h);
}

static void removal_is_harmless_where_unlinked(void **state) {
    struct wf_heap h;
    wf_heap_init(&h);
    struct wf_heap_node a, b;
    wf_heap_node_init(&a);
    wf_heap_node_init(&b);
    wf_heap_remove(&h, &a);
    assert_int_equal(wf_heap_insert(&h, &a, UINT64_MAX), 0);
    assert_int_equal(wf_heap_insert(&h, &b, 0), 0);
    assert_int_equal(wf_heap_key(&h, &a), UINT64_MAX);
    wf_heap_remove(&h, &a);
    wf_heap_remove(&h, &a);
    assert_false(wf_heap_node_linked(&a));
    assert_ptr_equal(wf_heap_min(&h), &b);
    wf_heap_free(&h);
    assert_false(wf_heap_node_linked(&b));
}

/* The model: look at every entry. */
static struct entry *model_min(struct entry *e, int n) {
    struct entry *least = NULL;
    for (int i = 0; i < n; i++) {
        if (e[i].in && (least == NULL || e[i].key < least->key ||
                        (e[i].key == least->key && e[i].seq < least->seq))) {
            least = &e[i];
        }
    }
    return least;
}

static void agrees_with_a_search_through_everything(void **state) {
    enum { N = 200, STEPS = 50000 };
    static struct entry e[N];
    struct wf_heap h;
    wf_heap_init(&h);
    uint64_t rnd = 88172645463325252ull, seq = 0;
    for (int step = 0; step < STEPS; step++) {
        uint64_t r = next_random(&rnd);
        struct entry *x = &e[r % N];
        /* Few different keys in every other phase, so that ties happen. */
        uint64_t key = (r >> 32) % (step / 5000 % 2 == 0 ? 8 : 1000000);
        if (!x->in) {
            assert_int_equal(wf_heap_insert(&h, &x->node, key), 0);
            *x = (struct entry){.node = x->node, .key = key, .seq = seq++, .in = true};
        } else if ((r >> 60) < 10) {
            wf_heap_remove(&h, &x->node);
            x->in = false;
        } else {
            struct entry *least = entry_of(wf_heap_min(&h));
            wf_heap_remove(&h, &least->node);
            least->in = false;
        }
        struct entry *want = model_min(e, N);
        assert_ptr_equal(wf_heap_min(&h), want == NULL ? NULL : &want->node);
        if (want != NULL) {
            assert_int_equal(wf_heap_min_key(&h), want->key);
        }
        for (uint32_t i = 0; i < h.len; i++) {
            assert_int_equal(h.slots[i].node->at, i + 1);
        }
    }
    wf_heap_free(&h);
}

static void keys_in_order_need_no_memory_and_one_late_key_does_not_end_that(void **state) {
    enum { N = 1000 };
    static struct entry e[N + 1];
    struct wf_heap h;
    wf_heap_init(&h);
    assert_int_equal(wf_heap_insert(&h, &e[N].node, 1u << 30), 0); /* an hour, then milliseconds */
    for (int i = 0; i < N; i++) {
        assert_int_equal(wf_heap_insert(&h, &e[i].node, (uint64_t)(i / 2)), 0);
    }
    assert_int_equal(h.len, 1);
    assert_int_equal(wf_heap_key(&h, &e[7].node), 3);
    wf_heap_remove(&h, &e[500].node); /* from the middle */
    for (int i = 0; i <= N; i++) {
        if (i != 500) {
            assert_ptr_equal(wf_heap_min(&h), &e[i].node);
            wf_heap_remove(&h, &e[i].node);
        }
    }
    assert_null(wf_heap_min(&h));
    wf_heap_free(&h);
}

struct seen {
    int n, stop_at;
    uint64_t sum;
};

static int look(struct wf_heap_node *n, void *arg) {
    struct seen *seen = arg;
    seen->sum += entry_of(n)->key;
    return ++seen->n == seen->stop_at ? -7 : 0;
}

static void each_is_seen_once_until_one_says_stop(void **state) {
    struct wf_heap h;
    wf_heap_init(&h);
    struct seen none = {0};
    assert_int_equal(wf_heap_each(&h, look, &none), 0);
    assert_int_equal(none.n, 0);
    struct entry e[] = {{.key = 1}, {.key = 40}, {.key = 200}, {.key = 3000}, {.key = 20}};
    for (int i = 0; i < 5; i++) { /* the last one goes to the heap proper */
        assert_int_equal(wf_heap_insert(&h, &e[i].node, e[i].key), 0);
    }
    assert_int_equal(h.len, 1);
    struct seen all = {0};
    assert_int_equal(wf_heap_each(&h, look, &all), 0);
    assert_int_equal(all.n, 5);
    assert_int_equal(all.sum, 3261);
    for (int stop_at = 1; stop_at <= 5; stop_at++) {
        struct seen some = {.stop_at = stop_at};
        assert_int_equal(wf_heap_each(&h, look, &some), -7);
        assert_int_equal(some.n, stop_at);
    }
    wf_heap_free(&h);
}

static void insertion_changes_nothing_when_memory_is_out(void **state) {
    struct wf_heap h;
    wf_heap_init(&h);
    struct entry e[64] = {0};
    int refused = 0;
    for (int i = 0; i < 64; i++) {
        uint32_t len = h.len;
        wf_alloc_fail_from(1);
        int rc = wf_heap_insert(&h, &e[i].node, (uint64_t)(64 - i));
        wf_alloc_fail_from(0);
        if (rc != 0) {
            refused++;
            assert_int_equal(rc, -ENOMEM);
            assert_false(wf_heap_node_linked(&e[i].node));
            assert_int_equal(h.len, len);
            assert_ptr_equal(wf_heap_min(&h), &e[i - 1].node);
            assert_int_equal(wf_heap_insert(&h, &e[i].node, (uint64_t)(64 - i)), 0);
        }
    }
    assert_in_range(refused, 1, 10);
    for (int i = 63; i >= 0; i--) {
        assert_ptr_equal(wf_heap_min(&h), &e[i].node);
        wf_heap_remove(&h, &e[i].node);
    }
    wf_heap_free(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_keys_come_out_as_they_went_in),
        cmocka_unit_test(removal_is_harmless_where_unlinked),
        cmocka_unit_test(agrees_with_a_search_through_everything),
        cmocka_unit_test(keys_in_order_need_no_memory_and_one_late_key_does_not_end_that),
        cmocka_unit_test(each_is_seen_once_until_one_says_stop),
        cmocka_unit_test(insertion_changes_nothing_when_memory_is_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
