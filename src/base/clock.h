/* The two clocks.
 * thread   any */
#ifndef WF_BASE_CLOCK_H
#define WF_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define WF_NS_PER_S 1000000000ull
#define WF_NS_PER_MS 1000000ull

/* Nanoseconds of CLOCK_MONOTONIC: what timers count in, and what time.monotonic() reads. */
static inline uint64_t wf_clock_mono_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * WF_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Seconds since the epoch, UTC. */
static inline int64_t wf_clock_wall_s(void) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec;
}

#endif
