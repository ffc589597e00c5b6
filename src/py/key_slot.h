/* Where the caches of object keys look. */
#ifndef WF_PY_KEY_SLOT_H
#define WF_PY_KEY_SLOT_H

#include <stdint.h>
#include <string.h>

#include "base/span.h"

/* One of `slots`, at most 65,536, for these bytes. Mixes the first and the last eight and how many there
 * are: keys that share a slot push each other out, which costs time and nothing else. */
static inline size_t wf_key_slot(struct wf_span key, size_t slots) {
    const char *p = key.p;
    const size_t n = key.n;
    uint64_t a = 0, b = 0;
    if (n >= 8) {
        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
    } else if (n >= 4) {
        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
    } else if (n > 0) {
        a = (unsigned char)p[0];
        b = (uint64_t)(unsigned char)p[n / 2] << 8 | (unsigned char)p[n - 1];
    }
    uint64_t h = (a ^ n) * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 32) ^ b) * 0xd6e8feb86659fd93u;
    return (size_t)(h >> 48) % slots;
}

#endif
