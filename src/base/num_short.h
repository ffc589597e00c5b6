/* Short numbers, which most are, read at once: no more than three digits in front of the point and sixteen
 * behind it. The end of the input is asked for once, by the caller, and where a fraction is long.
 *
 * How many of the first digits there are is the processor's guess, as what comes next would have to wait
 * for the answer. Where there are three or more behind the point a guess would be wrong, and all of them
 * are read in one step, as if zeros followed.
 * thread   any; no allocation */
#ifndef WF_BASE_NUM_SHORT_H
#define WF_BASE_NUM_SHORT_H

#include "base/num.h"

enum {
    /* Bytes that must be readable: a sign, 3 digits, the point, 2 digits, and what is behind. */
    WF_SHORT_NUMBER_BYTES = 8,
    WF_SHORT_FRACTION_BYTES = 17 /* 16 digits, and what is behind */
};

enum wf_short_number {
    WF_SHORT_NONE, /* it is another number, or none, or none that JSON has */
    WF_SHORT_INT,
    WF_SHORT_DOUBLE
};

static inline unsigned wf_short_digit(char c) {
    return (unsigned char)(c - '0');
}

#if defined(__SSE2__)
extern const char wf_digits_kept[32]; /* 16 times all bits, 16 times none */

/* The number `whole`.digits, of up to 16 digits at p. Returns their end, or NULL where there are more. */
static inline const char *wf_short_fraction_read(const char *p, uint64_t whole, double *out) {
    const uint64_t pow10_16 = UINT64_C(10000000000000000);
    unsigned n;
    __m128i v = wf_load_digits16(p, &n);
    if (wf_unlikely(n == 16 && wf_short_digit(p[16]) <= 9)) {
        return NULL;
    }
    v = _mm_and_si128(v, _mm_loadu_si128((const __m128i *)(wf_digits_kept + 16 - n)));
    uint64_t digits = whole * pow10_16 + wf_value_of_digits16(v);
    /* 10^-16, as pow10_table.h has it */
    if (wf_unlikely(digits == 0 ||
                    !wf_double_scale(digits, UINT64_C(0xe69594bec44de15b), -54, out))) {
        *out = wf_double_nearest(digits, -16);
    }
    return p + n;
}
#else
static inline const char *wf_short_fraction_read(const char *p, uint64_t whole, double *out) {
    return NULL;
}
#endif

/* Reads the number at *p, where WF_SHORT_NUMBER_BYTES are readable, if it is a short one, by the grammar
 * of JSON but without exponents, and moves *p behind it. */
WF_ALWAYS_INLINE enum wf_short_number wf_short_number_read(const char **p, const char *end,
                                                           int32_t *i, double *d) {
    const char *q = *p;
    const bool negative = *q == '-';
    q += negative;
    uint32_t v = wf_short_digit(*q++), next = wf_short_digit(*q);
    if (wf_unlikely(v > 9)) {
        return WF_SHORT_NONE;
    }
    if (next <= 9) {
        if (wf_unlikely(v == 0)) { /* a zero in front */
            return WF_SHORT_NONE;
        }
        v = v * 10 + next;
        next = wf_short_digit(*++q);
        if (next <= 9) {
            v = v * 10 + next;
            if (wf_short_digit(*++q) <= 9) {
                return WF_SHORT_NONE;
            }
        }
    }
    if (*q != '.') {
        if (wf_unlikely((*q | 0x20) == 'e')) {
            return WF_SHORT_NONE;
        }
        *p = q;
        *i = negative ? -(int32_t)v : (int32_t)v;
        return WF_SHORT_INT;
    }
    double value;
    const uint32_t first = wf_short_digit(*++q), second = wf_short_digit(q[1]);
    if (wf_unlikely(first > 9)) {
        return WF_SHORT_NONE;
    }
    if (second > 9) {
        value = (v * 10 + first) / 10.0; /* one operation of exact numbers: rounded rightly */
        q++;
    } else if (wf_short_digit(q[2]) > 9) {
        value = (v * 100 + first * 10 + second) / 100.0;
        q += 2;
    } else if (wf_unlikely(end - q < WF_SHORT_FRACTION_BYTES ||
                           (q = wf_short_fraction_read(q, v, &value)) == NULL)) {
        return WF_SHORT_NONE;
    }
    if (wf_unlikely(*q == '.' || (*q | 0x20) == 'e')) {
        return WF_SHORT_NONE;
    }
    *p = q;
    *d = wf_double_negate_if(value, negative);
    return WF_SHORT_DOUBLE;
}

#endif
