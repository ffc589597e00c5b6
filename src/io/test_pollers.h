/* The tests of io run once for each poller: the platform's, and kqueue over a stand-in. */
#ifndef WF_IO_TEST_POLLERS_H
#define WF_IO_TEST_POLLERS_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/loop/loop_int.h"

/* The poller that the group under way is about. */
static const struct wf_poller *poller;

/* Opens the loop of a test. */
static inline void open_loop(struct wf_loop *loop) {
    wf_alloc_fail_from(0); /* a test that failed may have left it on */
    assert_int_equal(wf_loop_init(loop, poller), 0);
}

/* Turns until `*done` or five seconds are over. */
static inline void turn_until(struct wf_loop *loop, const bool *done) {
    uint64_t end_ns = wf_clock_mono_ns() + 5 * WF_NS_PER_S;
    while (!*done && wf_clock_mono_ns() < end_ns) {
        assert_true(wf_loop_poll(loop, 100 * (int64_t)WF_NS_PER_MS) >= 0);
    }
    assert_true(*done);
}

/* How many descriptors this process has: the same before and after, or some were lost. */
static inline int open_descriptors(void) {
    int n = 0;
    DIR *d = opendir("/dev/fd");
    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    closedir(d);
    return n;
}

#define run_over_every_poller(tests)                                                               \
    ({                                                                                             \
        int failed_ = 0;                                                                           \
        for (const struct wf_poller *const *p_ = wf_pollers; *p_ != NULL; p_++) {                  \
            poller = *p_;                                                                          \
            failed_ += cmocka_run_group_tests_name(wf_poller_name(poller), tests, NULL, NULL);     \
        }                                                                                          \
        run_over_kqueue(tests, failed_);                                                           \
        failed_;                                                                                   \
    })

#ifdef WF_TEST_KQUEUE
#define run_over_kqueue(tests, failed)                                                             \
    (poller = &wf_poller_kqueue, failed += cmocka_run_group_tests_name("kqueue", tests, NULL, NULL))
#else
#define run_over_kqueue(tests, failed) ((void)0)
#endif

#endif
