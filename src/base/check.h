/* Assertions and compiler hints.
 *
 * WF_ASSERT states what a caller owes or what a loop keeps true; it vanishes in release builds.
 * Never assert on what a peer or a handler sent: that is an error path. */
#ifndef WF_BASE_CHECK_H
#define WF_BASE_CHECK_H

#include <assert.h>
#include <stddef.h>

#define WF_ASSERT(cond) assert(cond)

/* gcc's way and clang's of saying it. */
#if defined(__SANITIZE_ADDRESS__)
#define WF_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WF_ADDRESS_SANITIZER
#endif
#endif

#define wf_likely(x) __builtin_expect(!!(x), 1)
#define wf_unlikely(x) __builtin_expect(!!(x), 0)

#define WF_ALWAYS_INLINE static inline __attribute__((always_inline))
#define WF_NOINLINE __attribute__((noinline))
#define WF_MUST_USE __attribute__((warn_unused_result))
#define WF_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#define WF_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct that embeds `member` at `ptr`. */
/* clang-format off */ /* it takes (ptr) for a cast */
#define wf_container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
/* clang-format on */

#define WF_MIN(a, b) ((a) < (b) ? (a) : (b))
#define WF_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
