/* The scanner for aarch64, which always has NEON; elsewhere "not here". The sets are those of
 * scan_x86.c, tested the same way: tbl gives 0 where its index is past the table. */
#include "wire/http1/http1_int.h"

#ifdef __aarch64__

#include <arm_neon.h>

static const uint8_t rows_token[16] = {0xe8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc,
                                       0xf8, 0xf8, 0xf4, 0x54, 0xd0, 0x54, 0xf4, 0x70};
static const uint8_t rows_path[16] = {0xb8, 0xfc, 0xf8, 0xf8, 0xfc, 0xf8, 0xfc, 0xfc,
                                      0xfc, 0xfc, 0xfc, 0x7c, 0xd4, 0x7c, 0xf4, 0x74};
static const uint8_t rows_ctl[16] = {0x03, 0x03, 0x03, 0x03, 0x03, 0x03, 0x03, 0x03,
                                     0x03, 0x02, 0x03, 0x03, 0x03, 0x03, 0x03, 0x83};
static const uint8_t bits[16] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80};
static const uint8_t weights[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};

/* One bit a byte, from bytes that are all ones or zero. */
static inline uint64_t movemask(const uint8x16_t v[4]) {
    uint8x16_t w = vld1q_u8(weights);
    uint8x16_t a = vpaddq_u8(vandq_u8(v[0], w), vandq_u8(v[1], w));
    uint8x16_t b = vpaddq_u8(vandq_u8(v[2], w), vandq_u8(v[3], w));
    uint8x16_t c = vpaddq_u8(a, b);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(c, c)), 0);
}

static inline struct wf_block classify64(const char *p) {
    uint8x16_t token[4], path[4], ctl[4];
    for (int i = 0; i < 4; i++) {
        uint8x16_t bytes = vld1q_u8((const uint8_t *)p + 16 * i);
        uint8x16_t low = vandq_u8(bytes, vdupq_n_u8(0x0f));
        uint8x16_t bit = vqtbl1q_u8(vld1q_u8(bits), vshrq_n_u8(bytes, 4));
        token[i] = vtstq_u8(vqtbl1q_u8(vld1q_u8(rows_token), low), bit);
        path[i] = vtstq_u8(vqtbl1q_u8(vld1q_u8(rows_path), low), bit);
        ctl[i] = vtstq_u8(vqtbl1q_u8(vld1q_u8(rows_ctl), low), bit);
    }
    return (struct wf_block){{~movemask(token), ~movemask(path), movemask(ctl)}};
}

static void scan_neon(const char *p, size_t n, struct wf_block *out) {
    for (; n >= 64; p += 64, n -= 64, out++) {
        *out = classify64(p);
    }
    if (n > 0) {
        /* through a copy, since a load may not reach past the end */
        char copy[64] = {0};
        memcpy(copy, p, n);
        *out = classify64(copy);
        for (int i = 0; i < WF_RUN_COUNT; i++) {
            out->stop[i] |= ~0ull << n;
        }
    }
}

wf_scan_fn *wf_http1_scan_neon(void) {
    return scan_neon;
}

#else

wf_scan_fn *wf_http1_scan_neon(void) {
    return NULL;
}

#endif
