/* Scanners for x86: 16 bytes at a time with SSE (any machine with SSE4.2), 32 with AVX2. Elsewhere
 * "not here".
 *
 * A set of ASCII bytes is tested with two table lookups (pshufb): row[low nibble] has a bit for
 * each high nibble that makes a member, bit[high nibble] picks it. Bytes from 0x80 on are in no
 * set. */
#include "wire/http1/http1_int.h"

#if defined(__x86_64__) || defined(__i386__)

#include <immintrin.h>

/* clang-format off */
#define ROWS_TOKEN 0xe8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xf8, 0xf8, 0xf4, 0x54, 0xd0, 0x54, 0xf4, 0x70
#define ROWS_PATH  0xb8, 0xfc, 0xf8, 0xf8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0x7c, 0xd4, 0x7c, 0xf4, 0x74
/* what is not in a value: control bytes but HTAB */
#define ROWS_CTL   0x03, 0x03, 0x03, 0x03, 0x03, 0x03, 0x03, 0x03, 0x03, 0x02, 0x03, 0x03, 0x03, 0x03, 0x03, 0x83
#define BITS       0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0, 0, 0, 0, 0, 0, 0, 0
/* clang-format on */

#define SSE42 __attribute__((target("sse4.2"), always_inline)) static inline
#define AVX2 __attribute__((target("avx2"), always_inline)) static inline

static const uint8_t tables[4][16]
    __attribute__((aligned(16))) = {{ROWS_TOKEN}, {ROWS_PATH}, {ROWS_CTL}, {BITS}};

/* Byte masks widen to uint64_t before they are shifted into place. */
struct masks {
    uint64_t not_token, not_path, not_value;
};

SSE42 __m128i table16(unsigned i) {
    return _mm_load_si128((const __m128i *)tables[i]);
}

/* 16 bytes at p. */
SSE42 struct masks classify16(const char *p) {
    const __m128i zero = _mm_setzero_si128();
    __m128i bytes = _mm_loadu_si128((const __m128i *)p);
    __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0f));
    __m128i bit = _mm_shuffle_epi8(table16(3), high);
    __m128i token = _mm_and_si128(_mm_shuffle_epi8(table16(0), bytes), bit);
    __m128i path = _mm_and_si128(_mm_shuffle_epi8(table16(1), bytes), bit);
    __m128i ctl = _mm_and_si128(_mm_shuffle_epi8(table16(2), bytes), bit);
    return (struct masks){
        (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(token, zero)),
        (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(path, zero)),
        (uint16_t)~_mm_movemask_epi8(_mm_cmpeq_epi8(ctl, zero)),
    };
}

/* 32 bytes at p. */
AVX2 struct masks classify32(const char *p) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i bytes = _mm256_loadu_si256((const __m256i *)p);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0f));
    __m256i bit = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table16(3)), high);
    __m256i token =
        _mm256_and_si256(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table16(0)), bytes), bit);
    __m256i path =
        _mm256_and_si256(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table16(1)), bytes), bit);
    __m256i ctl =
        _mm256_and_si256(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table16(2)), bytes), bit);
    return (struct masks){
        (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(token, zero)),
        (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(path, zero)),
        ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(ctl, zero)),
    };
}

SSE42 void add(struct wf_block *b, struct masks m, size_t at) {
    b->stop[WF_RUN_TOKEN] |= m.not_token << at;
    b->stop[WF_RUN_PATH] |= m.not_path << at;
    b->stop[WF_RUN_VALUE] |= m.not_value << at;
}

/* Fewer than 16 bytes: through a copy, since a load may not reach past them. */
SSE42 void add_few(struct wf_block *b, const char *p, size_t n, size_t at) {
    char copy[16] = {0};
    for (size_t i = 0; i < n; i++) {
        copy[i] = p[i];
    }
    add(b, classify16(copy), at);
}

/* The last n < 64 bytes. A load that would reach past the end begins earlier instead: the bytes
 * seen twice give the same bits. */
SSE42 void scan_rest16(const char *p, size_t n, struct wf_block *out) {
    struct wf_block b = {{0}};
    size_t at = 0;
    for (; at + 16 <= n; at += 16) {
        add(&b, classify16(p + at), at);
    }
    if (at < n) {
        if (n >= 16) {
            add(&b, classify16(p + n - 16), n - 16);
        } else {
            add_few(&b, p, n, 0);
        }
    }
    add(&b, (struct masks){~0ull, ~0ull, ~0ull}, n);
    *out = b;
}

__attribute__((target("sse4.2"))) static void scan_sse42(const char *p, size_t n,
                                                         struct wf_block *out) {
    for (; n >= 64; p += 64, n -= 64, out++) {
        struct wf_block b = {{0}};
        for (size_t at = 0; at < 64; at += 16) {
            add(&b, classify16(p + at), at);
        }
        *out = b;
    }
    if (n > 0) {
        scan_rest16(p, n, out);
    }
}

__attribute__((target("avx2"))) static void scan_avx2(const char *p, size_t n,
                                                      struct wf_block *out) {
    for (; n >= 64; p += 64, n -= 64, out++) {
        struct wf_block b = {{0}};
        add(&b, classify32(p), 0);
        add(&b, classify32(p + 32), 32);
        *out = b;
    }
    if (n >= 32) {
        struct wf_block b = {{0}};
        add(&b, classify32(p), 0);
        add(&b, classify32(p + n - 32), n - 32);
        add(&b, (struct masks){~0ull, ~0ull, ~0ull}, n);
        *out = b;
    } else if (n > 0) {
        scan_rest16(p, n, out);
    }
}

wf_scan_fn *wf_http1_scan_sse42(void) {
    return __builtin_cpu_supports("sse4.2") ? scan_sse42 : NULL;
}

wf_scan_fn *wf_http1_scan_avx2(void) {
    return __builtin_cpu_supports("avx2") ? scan_avx2 : NULL;
}

#else

wf_scan_fn *wf_http1_scan_sse42(void) {
    return NULL;
}

wf_scan_fn *wf_http1_scan_avx2(void) {
    return NULL;
}

#endif
