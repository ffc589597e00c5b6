/* Numbers to text and back, exactly.
 *
 * Integers are two or three digits at a time; floats are the shortest decimal that reads back as the same
 * double, laid out as Python's repr lays it out; parsing rounds correctly (half to even).
 * thread   any; no allocation, no locale */
#ifndef WF_BASE_NUM_H
#define WF_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    WF_U64_DIGITS_MAX = 20,  /* 18446744073709551615 */
    WF_I64_DIGITS_MAX = 20,  /* -9223372036854775808 */
    WF_DOUBLE_CHARS_MAX = 40 /* -2.2250738585072014e-308 has 24; what is behind may be scratched */
};

extern const char wf_two_digits[200]; /* "00" to "99" */

static inline void wf_put_2_digits(char *out, uint32_t v) {
    memcpy(out, wf_two_digits + v * 2, 2);
}

/* The next two digits of a number as a fixed point with 32 bits behind it: what is behind it times 100. */
static inline uint64_t wf_put_next_2_digits(char *out, uint64_t fixed) {
    fixed = (fixed & UINT32_MAX) * 100;
    wf_put_2_digits(out, (uint32_t)(fixed >> 32));
    return fixed;
}

/* v < 10^8. The quotient is above the true one by less than a unit of its last digit, 2^32 / 10^6. */
static inline void wf_put_8_digits(char *out, uint32_t v) {
    uint64_t fixed = (v * UINT64_C(281474977) >> 16) + 1; /* v / 10^6 */
    wf_put_2_digits(out, (uint32_t)(fixed >> 32));
    fixed = wf_put_next_2_digits(out + 2, fixed);
    fixed = wf_put_next_2_digits(out + 4, fixed);
    wf_put_next_2_digits(out + 6, fixed);
}

/* The numbers below 1000 as text, and how long that is; and with zeros in front. */
extern const char wf_small_numbers[1000][4], wf_three_digits[1000][4];

/* A fixed point with 32 bits behind it, without zeros in front, and as many groups of three digits behind it, a
 * constant. Scratches the byte behind them. */
WF_ALWAYS_INLINE size_t wf_put_fixed(char *out, uint64_t fixed, unsigned groups) {
    const char *head = wf_small_numbers[fixed >> 32];
    memcpy(out, head, 4);
    size_t n = (size_t)head[3];
    for (unsigned i = 0; i < groups; i++) {
        fixed = (fixed & UINT32_MAX) * 1000;
        memcpy(out + n, wf_three_digits[fixed >> 32], 4);
        n += 3;
    }
    return n;
}

/* Writes v in decimal at `out` (room for 10, 20 and 20 bytes, all of which may be written to); returns the
 * bytes of the text. No NUL. How many groups of three digits there are is a guess of the processor's, how many
 * digits the first one has is not. Quotients are rounded up as in wf_put_8_digits. */
static inline size_t wf_u32_write(char *out, uint32_t v) {
    if (v < 1000) {
        return wf_put_fixed(out, (uint64_t)v << 32, 0);
    }
    if (v < 1000000) {
        return wf_put_fixed(out, v * UINT64_C(4294968), 1);
    }
    if (wf_likely(v < 1000000000)) {
        return wf_put_fixed(out, (v * UINT64_C(18014398510) >> 22) + 1, 2);
    }
    wf_put_2_digits(out, v / 100000000);
    wf_put_8_digits(out + 2, v % 100000000);
    return 10;
}
size_t wf_u64_write(char *out, uint64_t v);
size_t wf_i64_write(char *out, int64_t v);

/* Writes a finite v as repr(float) does: "1.0", "-0.0", "0.0001", "1e-05", "1e+16". No NUL.
 * out      room for WF_DOUBLE_CHARS_MAX, all of which may be written to
 * returns  the bytes of the text */
size_t wf_double_write(char *out, double v);

/* Reads the longest number at p, which is JSON's grammar but for leading zeros, which are allowed:
 *   -? digits [ . digits ] [ (e|E) [+-] digits ]
 * so of "1.e5" it reads "1". Any number of digits is read exactly.
 * p        first byte; [p, end) is readable
 * out      the nearest double, or +-inf where it overflows (the caller decides what that means)
 * returns  the first byte behind the number, or NULL where no number starts */
const char *wf_double_read(const char *p, const char *end, double *out);

/* The same, but digits may be missing on one side of the point (".5", "5."), as in float(str). */
const char *wf_double_read_lax(const char *p, const char *end, double *out);

/* (e|E) [+-] digits at p: adds it to *exp10 and returns its end; p where there is none. */
const char *wf_exponent_read(const char *p, const char *end, int64_t *exp10);

/* The same for what is sure to be a normal number, where one product decides: false where it does not.
 * digits  not 0
 * pow10   the first 64 bits of 10^k, rounded down, and log2 the power of two they begin with */
static inline bool wf_double_scale(uint64_t digits, uint64_t pow10, int log2, double *out) {
    int shift = __builtin_clzll(digits);
    uint64_t hi = (uint64_t)((unsigned __int128)(digits << shift) * pow10 >> 64);
    int below = (int)(~hi >> 63);
    hi <<= below;
    /* 53 bits are kept of 64. The true product is above this one, by less than 2: that changes nothing
     * unless it reaches or leaves the midpoint. */
    if (wf_unlikely((hi & 0x7ff) - 0x3fe <= 2)) {
        return false;
    }
    /* The leading bit of the mantissa adds 1 to the exponent. */
    uint64_t exponent = (uint64_t)(log2 + 1023 + 63 - shift - below);
    uint64_t bits = (exponent << 52) + (hi >> 11) + (hi >> 10 & 1);
    memcpy(out, &bits, sizeof(bits));
    return true;
}

/* The double nearest to digits * 10^exp10 (any digits, any exp10; may be inf). */
double wf_double_nearest(uint64_t digits, int64_t exp10);

extern const double wf_pow10_double[23]; /* exact */
extern const uint64_t wf_pow10_u64[20];

/* The same, for callers that have scanned a number of up to 19 digits themselves: at once where both
 * factors are doubles, since then one operation rounds, and rightly (Clinger, 1990). Up to 2^53 would
 * be, but numbers of all digits a double has, 16 or 17, are better not told apart. */
static inline double wf_double_make(uint64_t digits, int64_t exp10) {
    if (digits < UINT64_C(1000000000000000) && exp10 >= -22 && exp10 <= 22) {
        double d = (double)digits;
        return exp10 < 0 ? d / wf_pow10_double[-exp10] : d * wf_pow10_double[exp10];
    }
    return wf_double_nearest(digits, exp10);
}

static inline double wf_double_negate_if(double d, bool negate) {
    uint64_t bits;
    memcpy(&bits, &d, sizeof(bits));
    bits ^= (uint64_t)negate << 63;
    memcpy(&d, &bits, sizeof(d));
    return d;
}

/* Eight digits at once: what the characters of a number are when '0' is taken from each, the first
 * one lowest. */
static inline uint64_t wf_value_of_digits8(uint64_t digits) {
    digits = digits * 10 + (digits >> 8); /* pairs, in every other byte */
    const uint64_t mask = UINT64_C(0x000000ff000000ff);
    uint64_t left = (digits & mask) * (100 + (UINT64_C(1000000) << 32));
    uint64_t right = (digits >> 16 & mask) * (1 + (UINT64_C(10000) << 32));
    return (left + right) >> 32;
}

/* The eight characters at p without '0', and in *other the top bit of the first that is no digit,
 * perhaps with bits above it. */
static inline uint64_t wf_load_digits8(const char *p, uint64_t *other) {
    uint64_t v;
    memcpy(&v, p, 8);
    v ^= UINT64_C(0x3030303030303030); /* digits are 0 to 9 now, and nothing else is */
    *other = ((v + UINT64_C(0x7676767676767676)) | v) & UINT64_C(0x8080808080808080);
    return v;
}

#if defined(__SSE2__)
/* The value of sixteen digits, the first one lowest: neighbours make pairs, then fours, then eights. */
static inline uint64_t wf_value_of_digits16(__m128i digits) {
    __m128i v = _mm_srli_epi16(_mm_mullo_epi16(digits, _mm_set1_epi16(10 * 256 + 1)), 8);
    v = _mm_madd_epi16(v, _mm_set1_epi32(100 | 1 << 16));
    v = _mm_madd_epi16(_mm_packs_epi32(v, v), _mm_set1_epi32(10000 | 1 << 16));
    uint64_t halves = (uint64_t)_mm_cvtsi128_si64(v);
    return (halves & UINT32_MAX) * 100000000 + (halves >> 32);
}

/* The sixteen characters at p without '0', and in *n how many of the first ones are digits. */
static inline __m128i wf_load_digits16(const char *p, unsigned *n) {
    __m128i v = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8('0'));
    __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(9)), v);
    *n = (unsigned)__builtin_ctz(~(unsigned)_mm_movemask_epi8(is_digit));
    return v;
}
#endif

/* Sixteen digits, in two halves as wf_load_digits8 gives them. */
static inline uint64_t wf_value_of_two_digits8(uint64_t first, uint64_t second) {
#if defined(__SSE2__)
    return wf_value_of_digits16(_mm_set_epi64x((long long)second, (long long)first));
#else
    return wf_value_of_digits8(first) * 100000000 + wf_value_of_digits8(second);
#endif
}

/* Reads digits on top of *value, which wraps past 19 of them. Returns their end. Sixteen or eight at once, and
 * the last ones one by one: how many there are is the processor's guess, since what comes next would have to
 * wait for the answer. */
static inline const char *wf_digits_read(const char *p, const char *end, uint64_t *value) {
    uint64_t v = *value;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (end - p >= 16) {
        uint64_t other, first = wf_load_digits8(p, &other);
        if (other == 0) {
            uint64_t second = wf_load_digits8(p + 8, &other);
            if (other == 0) {
                v = v * UINT64_C(10000000000000000) + wf_value_of_two_digits8(first, second);
                p += 16;
                continue;
            }
            v = v * 100000000 + wf_value_of_digits8(first);
            p += 8;
        }
        while ((unsigned char)(*p - '0') <= 9) { /* one of the next eight ends them */
            v = v * 10 + (unsigned char)(*p++ - '0');
        }
        *value = v;
        return p;
    }
#endif
    while (p < end && (unsigned char)(*p - '0') <= 9) {
        v = v * 10 + (unsigned char)(*p++ - '0');
    }
    *value = v;
    return p;
}

/* The same for many digits of no usual number, as in a fraction: a guess would be wrong. */
static inline const char *wf_fraction_read(const char *p, const char *end, uint64_t *value) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t v = *value;
    while (end - p >= 8) {
        uint64_t other, digits = wf_load_digits8(p, &other);
        if (wf_likely(other == 0)) {
            v = v * 100000000 + wf_value_of_digits8(digits);
            p += 8;
            continue;
        }
        unsigned n = (unsigned)__builtin_ctzll(other) / 8;
        digits = digits << 8 * (7 - n) << 8; /* zeros in front */
        *value = v * wf_pow10_u64[n] + wf_value_of_digits8(digits);
        return p + n;
    }
    *value = v;
#endif
    return wf_digits_read(p, end, value);
}

#endif
