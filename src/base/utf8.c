/* UTF-8. The number of characters is the number of bytes that continue none, and the class of the
 * largest is known from the largest lead byte; so checking is all the work there is. */
#include "base/check.h"
#include "base/utf8.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define HIGH_BITS 0x8080808080808080u

static inline uint64_t load8(const void *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

size_t wf_ascii_prefix(const char *p, size_t n) {
    size_t i = 0;
#ifdef __x86_64__
    for (; i + 64 <= n; i += 64) {
        const __m128i *v = (const __m128i *)(p + i);
        __m128i a = _mm_or_si128(_mm_loadu_si128(v), _mm_loadu_si128(v + 1));
        __m128i b = _mm_or_si128(_mm_loadu_si128(v + 2), _mm_loadu_si128(v + 3));
        if (_mm_movemask_epi8(_mm_or_si128(a, b)) != 0) {
            break;
        }
    }
#endif
    for (; i + 8 <= n; i += 8) {
        if ((load8(p + i) & HIGH_BITS) != 0) {
            break;
        }
    }
    while (i < n && (unsigned char)p[i] < 0x80) {
        i++;
    }
    return i;
}

static inline bool continues(unsigned char c) {
    return (c & 0xc0) == 0x80;
}

/* The bytes of the well-formed sequence at p, which is not ASCII, or 0. The ranges of the second
 * byte keep out overlong forms, surrogates and what is past U+10FFFF (RFC 3629 section 4). */
static inline unsigned sequence(const unsigned char *p, size_t n) {
    unsigned char lead = p[0];
    if (lead < 0xe0) {
        return lead >= 0xc2 && n >= 2 && continues(p[1]) ? 2 : 0;
    }
    if (lead < 0xf0) {
        if (n < 3 || !continues(p[1]) || !continues(p[2])) {
            return 0;
        }
        return (lead == 0xe0 && p[1] < 0xa0) || (lead == 0xed && p[1] > 0x9f) ? 0 : 3;
    }
    if (lead > 0xf4 || n < 4 || !continues(p[1]) || !continues(p[2]) || !continues(p[3])) {
        return 0;
    }
    return (lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] > 0x8f) ? 0 : 4;
}

/* What is known of the bytes before `p`. */
struct progress {
    const unsigned char *p;
    size_t continuations;
    unsigned char max_byte; /* the largest lead byte, or something smaller than any */
};

#ifdef __x86_64__

#define AVX2 __attribute__((target("avx2,popcnt")))

/* Two bytes that follow each other are wrong together in one of eight ways. Which of them the high
 * and the low half of the first byte, and the high half of the second allow for, is looked up in
 * three tables; what all three have in common is an error, but for TWO_CONTINUATIONS, which is
 * right where a character of three or four bytes is going on. (Keiser and Lemire, Validating UTF-8
 * In Less Than One Instruction Per Byte, 2020.) */
enum {
    TOO_SHORT = 1 << 0,         /* a lead byte, and no continuation */
    TOO_LONG = 1 << 1,          /* ASCII, and a continuation */
    OVERLONG_3 = 1 << 2,        /* e0 80..9f */
    TOO_LARGE = 1 << 3,         /* f4 90..bf, f5.. 90..bf */
    SURROGATE = 1 << 4,         /* ed a0..bf */
    OVERLONG_2 = 1 << 5,        /* c0, c1 */
    OVERLONG_4 = 1 << 6,        /* f0 80..8f */
    TOO_LARGE_80 = 1 << 6,      /* f5.. 80..8f */
    TWO_CONTINUATIONS = 1 << 7, /* behind lead, continuation: must be the top bit */
    ANY_LOW = TOO_SHORT | TOO_LONG | TWO_CONTINUATIONS,
    LOW_5 = ANY_LOW | TOO_LARGE | TOO_LARGE_80,
    AT_LEAST_80 = TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS,
};

/* clang-format off */
static const uint8_t first_high[16] = {
    TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
    TWO_CONTINUATIONS, TWO_CONTINUATIONS, TWO_CONTINUATIONS, TWO_CONTINUATIONS,
    TOO_SHORT | OVERLONG_2,
    TOO_SHORT,
    TOO_SHORT | OVERLONG_3 | SURROGATE,
    TOO_SHORT | TOO_LARGE | TOO_LARGE_80 | OVERLONG_4,
};
static const uint8_t first_low[16] = {
    ANY_LOW | OVERLONG_2 | OVERLONG_3 | OVERLONG_4,
    ANY_LOW | OVERLONG_2,
    ANY_LOW,
    ANY_LOW,
    ANY_LOW | TOO_LARGE,
    LOW_5, LOW_5, LOW_5, LOW_5, LOW_5, LOW_5, LOW_5, LOW_5,
    LOW_5 | SURROGATE,
    LOW_5, LOW_5,
};
static const uint8_t second_high[16] = {
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
    AT_LEAST_80 | OVERLONG_3 | OVERLONG_4 | TOO_LARGE_80,
    AT_LEAST_80 | OVERLONG_3 | TOO_LARGE,
    AT_LEAST_80 | SURROGATE | TOO_LARGE,
    AT_LEAST_80 | SURROGATE | TOO_LARGE,
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
};
/* clang-format on */

AVX2 static inline __m256i look_up(const uint8_t table[16], __m256i nibbles) {
    __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
    return _mm256_shuffle_epi8(t, nibbles);
}

/* The bytes `back` before each of v's; `before` is the block in front. */
#define SHIFTED(v, before, back)                                                                   \
    _mm256_alignr_epi8(v, _mm256_permute2x128_si256(before, v, 0x21), 16 - (back))

/* Checks blocks of 32 bytes from s->p on, which begins a character, and stops in front of the last
 * character that may be cut. */
AVX2 static bool check_blocks(struct progress *s, const unsigned char *end) {
    const __m256i low = _mm256_set1_epi8(0x0f), top = _mm256_set1_epi8((char)0x80);
    const __m256i e0 = _mm256_set1_epi8(0xe0 - 0x80), f0 = _mm256_set1_epi8(0xf0 - 0x80);
    /* a lead byte among the last three that asks for more than is left is above these */
    const __m256i complete = _mm256_setr_epi8(
        -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        -1, -1, -1, -1, -1, -1, (char)(0xf0 - 1), (char)(0xe0 - 1), (char)(0xc0 - 1));
    __m256i before = _mm256_setzero_si256(), errors = before, max = before;
    const unsigned char *p = s->p;
    for (; end - p >= 32; p += 32) {
        __m256i v = _mm256_loadu_si256((const __m256i *)p);
        if (_mm256_movemask_epi8(v) == 0) {
            errors = _mm256_or_si256(errors, _mm256_subs_epu8(before, complete));
            before = v;
            continue;
        }
        __m256i back1 = SHIFTED(v, before, 1);
        __m256i pairs = _mm256_and_si256(
            _mm256_and_si256(
                look_up(first_high, _mm256_and_si256(_mm256_srli_epi16(back1, 4), low)),
                look_up(first_low, _mm256_and_si256(back1, low))),
            look_up(second_high, _mm256_and_si256(_mm256_srli_epi16(v, 4), low)));
        /* the top bit where the byte two before is from e0, or the one three before from f0 on */
        __m256i going_on = _mm256_or_si256(_mm256_subs_epu8(SHIFTED(v, before, 2), e0),
                                           _mm256_subs_epu8(SHIFTED(v, before, 3), f0));
        errors = _mm256_or_si256(errors, _mm256_xor_si256(pairs, _mm256_and_si256(going_on, top)));
        max = _mm256_max_epu8(max, v);
        __m256i continuation = _mm256_cmpgt_epi8(_mm256_set1_epi8(-64), v);
        s->continuations +=
            (unsigned)__builtin_popcount((unsigned)_mm256_movemask_epi8(continuation));
        before = v;
    }
    if (!_mm256_testz_si256(errors, errors)) {
        return false;
    }
    unsigned char bytes[32];
    _mm256_storeu_si256((__m256i *)bytes, max);
    for (int i = 0; i < 32; i++) {
        s->max_byte = WF_MAX(s->max_byte, bytes[i]);
    }
    while (p > s->p && continues(p[-1])) {
        p--;
        s->continuations--;
    }
    s->p = p > s->p && p[-1] >= 0xc0 ? p - 1 : p;
    return true;
}

static bool has_blocks(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}

#else

static bool check_blocks(struct progress *s, const unsigned char *end) {
    return true;
}

static bool has_blocks(void) {
    return false;
}

#endif

bool wf_utf8_check(struct wf_span in, size_t *chars, uint32_t *max_char) {
    const unsigned char *start = (const unsigned char *)in.p, *end = start + in.n;
    struct progress s = {start + wf_ascii_prefix(in.p, in.n), 0, 0};
    if (end - s.p >= 64 && has_blocks() && !check_blocks(&s, end)) {
        return false;
    }
    while (s.p < end) {
        if (*s.p < 0x80) {
            s.p += wf_ascii_prefix((const char *)s.p, (size_t)(end - s.p));
            continue;
        }
        unsigned n = sequence(s.p, (size_t)(end - s.p));
        if (n == 0) {
            return false;
        }
        s.max_byte = WF_MAX(s.max_byte, *s.p);
        s.continuations += n - 1;
        s.p += n;
    }
    *chars = in.n - s.continuations;
    /* U+00FF is c3 bf, U+FFFF is ef bf bf */
    *max_char = s.max_byte < 0x80    ? 0x7f
                : s.max_byte <= 0xc3 ? 0xff
                : s.max_byte <= 0xef ? 0xffff
                                     : 0x10ffff;
    return true;
}
