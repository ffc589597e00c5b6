/* Text to the inside of a JSON string: long runs, escapes, and characters of two and four bytes. */
#include "wire/json/json_write.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* ---- runs that need no escape ---- */

#ifdef __x86_64__

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i specials32(__m256i v) {
    __m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
    __m256i quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"'));
    __m256i backslash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\'));
    return _mm256_or_si256(control, _mm256_or_si256(quote, backslash));
}

AVX2 static inline __m256i copy32(char *d, const char *s) {
    __m256i v = _mm256_loadu_si256((const __m256i *)s);
    _mm256_storeu_si256((__m256i *)d, v);
    return specials32(v);
}

AVX2 static bool copy_avx2(char *d, const char *s, size_t n) {
    __m256i special = copy32(d + n - 32, s + n - 32);
    size_t i = 0;
    for (; i + 128 < n; i += 128) {
        __m256i a = _mm256_or_si256(copy32(d + i, s + i), copy32(d + i + 32, s + i + 32));
        __m256i b = _mm256_or_si256(copy32(d + i + 64, s + i + 64), copy32(d + i + 96, s + i + 96));
        special = _mm256_or_si256(special, _mm256_or_si256(a, b));
        if (!_mm256_testz_si256(special, special)) {
            return false;
        }
    }
    for (; i + 32 < n; i += 32) {
        special = _mm256_or_si256(special, copy32(d + i, s + i));
    }
    return _mm256_testz_si256(special, special);
}

static inline bool has_avx2(void) {
    return __builtin_cpu_supports("avx2");
}

#else

static bool copy_avx2(char *d, const char *s, size_t n) {
    return false;
}

static inline bool has_avx2(void) {
    return false;
}

#endif

bool wf_json_copy_if_plain_long(char *d, const char *s, size_t n) {
    if (has_avx2()) {
        return copy_avx2(d, s, n);
    }
    const size_t step = WF_JSON_LONG - 1;
    for (; n > step; n -= step, s += step, d += step) {
        if (!wf_json_copy_if_plain(d, s, step)) {
            return false;
        }
    }
    return wf_json_copy_if_plain(d, s, n);
}

/* ---- escapes ---- */

#if defined(__SSE2__)

/* One bit a byte of the 64 at s. */
static inline uint64_t special64(const char *s) {
    uint64_t mask = 0;
    for (unsigned i = 0; i < 4; i++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(s + 16 * i));
        mask |= (uint64_t)wf_json_special16(v) << 16 * i;
    }
    return mask;
}

static inline void copy16(char *d, const char *s) {
    _mm_storeu_si128((__m128i *)d, _mm_loadu_si128((const __m128i *)s));
}

/* Copies [s, at) by 16 bytes: of what is behind, up to 16 are read, and written where the next text
 * goes. */
static inline char *copy_run(char *d, const char *s, const char *at) {
    for (;; s += 16, d += 16) {
        copy16(d, s);
        if (at - s <= 16) {
            return d + (at - s);
        }
    }
}

/* Where the escapes are is found for 64 bytes at once, so that none has to wait for the one before
 * it. 16 bytes behind the 64 are readable. */
static char *copy_block64(char *d, const char *s) {
    const char *start = s;
    for (uint64_t mask = special64(s); mask != 0; mask &= mask - 1) {
        const char *at = start + __builtin_ctzll(mask);
        d = copy_run(d, s, at);
        d = wf_json_put_escape(d, (unsigned char)*at);
        s = at + 1;
    }
    return copy_run(d, s, start + 64);
}

#endif

char *wf_json_copy_escaped(char *d, const char *s, size_t n) {
    const char *end = s + n;
#if defined(__SSE2__)
    for (; end - s >= 64 + 16; s += 64) {
        d = copy_block64(d, s);
    }
#endif
    for (; s < end; s++) {
        if (wf_json_escapes[(unsigned char)*s] == 0) {
            *d++ = *s;
        } else {
            d = wf_json_put_escape(d, (unsigned char)*s);
        }
    }
    return d;
}

/* ---- characters of one, two or four bytes, as UTF-8 ---- */

WF_ALWAYS_INLINE uint32_t char_at(const void *s, size_t i, unsigned width) {
    return width == 1   ? ((const uint8_t *)s)[i]
           : width == 2 ? ((const uint16_t *)s)[i]
                        : ((const uint32_t *)s)[i];
}

/* One by one. */
WF_ALWAYS_INLINE char *copy_wide_as(char *d, const void *s, size_t n, unsigned width,
                                    size_t *done) {
    size_t i = 0;
    for (; i < n; i++) {
        uint32_t c = char_at(s, i, width);
        if (c < 0x80) {
            if (wf_unlikely(wf_json_escapes[c] != 0)) {
                d = wf_json_put_escape(d, (unsigned char)c);
            } else {
                *d++ = (char)c;
            }
        } else if (width == 1 || c < 0x800) {
            *d++ = (char)(0xc0 | c >> 6);
            *d++ = (char)(0x80 | (c & 0x3f));
        } else if (width == 2 || c < 0x10000) {
            if (wf_unlikely((c & 0xf800) == 0xd800)) {
                break;
            }
            *d++ = (char)(0xe0 | c >> 12);
            *d++ = (char)(0x80 | (c >> 6 & 0x3f));
            *d++ = (char)(0x80 | (c & 0x3f));
        } else {
            *d++ = (char)(0xf0 | c >> 18);
            *d++ = (char)(0x80 | (c >> 12 & 0x3f));
            *d++ = (char)(0x80 | (c >> 6 & 0x3f));
            *d++ = (char)(0x80 | (c & 0x3f));
        }
    }
    *done = i;
    return d;
}

#ifdef __x86_64__

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")))

static inline bool has_avx512(void) {
    return __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}

AVX512 static inline __m512i load16(const void *s, size_t i, unsigned width, __mmask16 lanes) {
    switch (width) {
    case 1:
        return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, (const uint8_t *)s + i));
    case 2:
        return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, (const uint16_t *)s + i));
    default:
        return _mm512_maskz_loadu_epi32(lanes, (const uint32_t *)s + i);
    }
}

AVX512 static inline __m512i six_bits(__m512i c, unsigned from, unsigned to) {
    __m512i bits = _mm512_and_si512(_mm512_srli_epi32(c, from), _mm512_set1_epi32(0x3f));
    return _mm512_slli_epi32(bits, to);
}

/* 16 characters at a time: each becomes the up to four bytes of its lane, and the bytes that count
 * are brought together. */
AVX512 static inline char *copy_wide_avx512(char *d, const void *s, size_t n, unsigned width,
                                            size_t *done) {
    size_t i = 0;
    while (i < n) {
        __mmask16 lanes = n - i >= 16 ? 0xffff : (__mmask16)((1u << (n - i)) - 1);
        __m512i c = load16(s, i, width, lanes);
        __mmask16 stop = _mm512_cmplt_epu32_mask(c, _mm512_set1_epi32(0x20)) |
                         _mm512_cmpeq_epi32_mask(c, _mm512_set1_epi32('"')) |
                         _mm512_cmpeq_epi32_mask(c, _mm512_set1_epi32('\\'));
        if (width != 1) {
            __m512i top = _mm512_and_si512(c, _mm512_set1_epi32(~0x7ff));
            stop |= _mm512_cmpeq_epi32_mask(top, _mm512_set1_epi32(0xd800));
        }
        stop &= lanes;
        if (wf_unlikely(stop != 0)) { /* those before it, then it by itself */
            lanes &= (__mmask16)((stop & -stop) - 1);
        }
        __mmask16 two = _mm512_mask_cmpge_epu32_mask(lanes, c, _mm512_set1_epi32(0x80));
        __m512i bytes = c, counts = _mm512_maskz_set1_epi32(lanes, 0xff);
        __m512i as_two = _mm512_or_si512(_mm512_srli_epi32(c, 6), six_bits(c, 0, 8));
        bytes = _mm512_mask_or_epi32(bytes, two, as_two, _mm512_set1_epi32(0x80c0));
        counts = _mm512_mask_set1_epi32(counts, two, 0xffff);
        if (width != 1) {
            __mmask16 three = _mm512_mask_cmpge_epu32_mask(lanes, c, _mm512_set1_epi32(0x800));
            __m512i as_three = _mm512_or_si512(
                _mm512_srli_epi32(c, 12), _mm512_or_si512(six_bits(c, 6, 8), six_bits(c, 0, 16)));
            bytes = _mm512_mask_or_epi32(bytes, three, as_three, _mm512_set1_epi32(0x8080e0));
            counts = _mm512_mask_set1_epi32(counts, three, 0xffffff);
        }
        if (width == 4) {
            __mmask16 four = _mm512_mask_cmpge_epu32_mask(lanes, c, _mm512_set1_epi32(0x10000));
            __m512i as_four =
                _mm512_or_si512(_mm512_or_si512(_mm512_srli_epi32(c, 18), six_bits(c, 12, 8)),
                                _mm512_or_si512(six_bits(c, 6, 16), six_bits(c, 0, 24)));
            bytes = _mm512_mask_or_epi32(bytes, four, as_four, _mm512_set1_epi32((int)0x808080f0));
            counts = _mm512_mask_set1_epi32(counts, four, -1);
        }
        __mmask64 count = _mm512_movepi8_mask(counts);
        _mm512_storeu_si512(d, _mm512_maskz_compress_epi8(count, bytes));
        d += __builtin_popcountll(count);
        if (wf_unlikely(stop != 0)) {
            i += (unsigned)__builtin_ctz(stop);
            uint32_t at = char_at(s, i, width);
            if (at > 0x7f) {
                break; /* a surrogate */
            }
            d = wf_json_put_escape(d, (unsigned char)at);
            i++;
        } else {
            i += 16;
        }
    }
    *done = i < n ? i : n;
    return d;
}

AVX512 static char *copy_wide_in_lanes(char *d, const void *s, size_t n, unsigned width,
                                       size_t *done) {
    switch (width) {
    case 1:
        return copy_wide_avx512(d, s, n, 1, done);
    case 2:
        return copy_wide_avx512(d, s, n, 2, done);
    default:
        return copy_wide_avx512(d, s, n, 4, done);
    }
}

#else

static inline bool has_avx512(void) {
    return false;
}

static char *copy_wide_in_lanes(char *d, const void *s, size_t n, unsigned width, size_t *done) {
    return d;
}

#endif

char *wf_json_copy_wide_plain(char *d, const void *s, size_t n, unsigned width, size_t *done) {
    switch (width) {
    case 1:
        return copy_wide_as(d, s, n, 1, done);
    case 2:
        return copy_wide_as(d, s, n, 2, done);
    default:
        return copy_wide_as(d, s, n, 4, done);
    }
}

char *wf_json_copy_wide(char *d, const void *s, size_t n, unsigned width, size_t *done) {
    return has_avx512() ? copy_wide_in_lanes(d, s, n, width, done)
                        : wf_json_copy_wide_plain(d, s, n, width, done);
}
