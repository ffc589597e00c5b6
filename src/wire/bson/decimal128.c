/* Decimal128 to text and back, exactly.
 *
 *   high   s eeeeeeeeeeeeee c{49}      sign, exponent + 6176, the upper bits of the significand
 *          s 11 eeeeeeeeeeeeee c{47}   the same for a significand from 2^113: more than 34 digits
 *                                      can say, so it counts as 0
 *          s 11110 ...                 infinity
 *          s 11111 ...                 NaN */
#include <string.h>

#include "base/check.h"
#include "base/num.h"
#include "wire/bson/bson.h"

enum { BIAS = 6176, EXPONENT_MIN = -6176, EXPONENT_MAX = 6111, DIGITS_MAX = 34 };

static const uint64_t SIGN = 1ull << 63;
static const uint64_t SPECIAL = 0x7800000000000000u; /* infinity or NaN */
static const uint64_t NOT_A_NUMBER = 0x7c00000000000000u;
static const uint64_t SIGNALING = 0x7e00000000000000u;
static const uint64_t LARGE = 0x6000000000000000u;

/* ---- to text ---- */

/* Divides the 128 bits of limbs (the highest first) by 10^9; returns the remainder. */
static uint32_t divide_1e9(uint32_t limbs[4]) {
    uint64_t rest = 0;
    for (int i = 0; i < 4; i++) {
        rest = rest << 32 | limbs[i];
        limbs[i] = (uint32_t)(rest / 1000000000u);
        rest %= 1000000000u;
    }
    return (uint32_t)rest;
}

/* The digits of a significand, without leading zeros (0 is one digit). Returns how many, or 0 where
 * there are more than 34. */
static int significand_digits(uint64_t high, uint64_t low, char out[DIGITS_MAX]) {
    uint32_t limbs[4] = {(uint32_t)(high >> 32), (uint32_t)high, (uint32_t)(low >> 32),
                         (uint32_t)low};
    char text[45]; /* 2^128 is less than 10^45 */
    for (int group = 4; group >= 0; group--) {
        uint32_t nine = divide_1e9(limbs);
        for (int i = 8; i >= 0; i--) {
            text[group * 9 + i] = (char)('0' + nine % 10);
            nine /= 10;
        }
    }
    int first = 0;
    while (first < 44 && text[first] == '0') {
        first++;
    }
    int n = 45 - first;
    if (n > DIGITS_MAX) {
        return 0;
    }
    memcpy(out, text + first, (size_t)n);
    return n;
}

static char *put_literal(char *p, const char *s) {
    size_t n = strlen(s);
    memcpy(p, s, n);
    return p + n;
}

/* General Decimal Arithmetic's to-scientific-string. */
size_t wf_decimal128_write(char *out, struct wf_decimal128 v) {
    char *p = out;
    if ((v.high & NOT_A_NUMBER) == NOT_A_NUMBER) {
        return (size_t)(put_literal(p, "NaN") - out);
    }
    if (v.high & SIGN) {
        *p++ = '-';
    }
    if ((v.high & SPECIAL) == SPECIAL) {
        return (size_t)(put_literal(p, "Infinity") - out);
    }
    char digits[DIGITS_MAX];
    int n = 0, exponent;
    if ((v.high & LARGE) == LARGE) {
        exponent = (int)(v.high >> 47 & 0x3fff) - BIAS;
    } else {
        exponent = (int)(v.high >> 49 & 0x3fff) - BIAS;
        n = significand_digits(v.high & 0x1ffffffffffffu, v.low, digits);
    }
    if (n == 0) {
        digits[0] = '0';
        n = 1;
    }
    int scientific = exponent + n - 1; /* of the first digit */
    if (exponent > 0 || scientific < -6) {
        *p++ = digits[0];
        if (n > 1) {
            *p++ = '.';
            memcpy(p, digits + 1, (size_t)n - 1);
            p += n - 1;
        }
        *p++ = 'E';
        if (scientific >= 0) {
            *p++ = '+';
        }
        p += wf_i64_write(p, scientific);
    } else if (exponent == 0) {
        memcpy(p, digits, (size_t)n);
        p += n;
    } else {
        int whole = n + exponent; /* digits before the point */
        if (whole > 0) {
            memcpy(p, digits, (size_t)whole);
            p += whole;
            *p++ = '.';
            memcpy(p, digits + whole, (size_t)(n - whole));
            p += n - whole;
        } else {
            p = put_literal(p, "0.");
            memset(p, '0', (size_t)-whole);
            p += -whole;
            memcpy(p, digits, (size_t)n);
            p += n;
        }
    }
    return (size_t)(p - out);
}

/* ---- from text ---- */

/* Is s this word, in any case? */
static bool is_word(struct wf_span s, const char *lower) {
    return wf_span_eq_lower(s, wf_span_str(lower));
}

/* limbs = limbs * 10 + digit */
static void push_digit(uint32_t limbs[4], unsigned digit) {
    uint64_t carry = digit;
    for (int i = 3; i >= 0; i--) {
        carry += (uint64_t)limbs[i] * 10;
        limbs[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

/* What was read: digits * 10^exponent. Zeros behind the 34th digit are in the exponent. */
struct number {
    char digits[DIGITS_MAX]; /* without leading zeros */
    int n;                   /* 0 is none */
    int64_t exponent;
    bool inexact;
};

static bool is_digit(char c) {
    return (unsigned char)(c - '0') <= 9;
}

/* digits [. digits] [(e|E) [+-] digits], a digit somewhere before the exponent */
static bool read_number(struct wf_span s, struct number *out) {
    const char *p = s.p, *end = s.p + s.n;
    bool point = false, any = false;
    *out = (struct number){.n = 0};
    for (; p < end && (is_digit(*p) || (*p == '.' && !point)); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        any = true;
        out->exponent -= point;
        if (out->n == 0 && *p == '0') {
            continue;
        }
        if (out->n < DIGITS_MAX) {
            out->digits[out->n++] = *p;
        } else {
            out->inexact |= *p != '0';
            out->exponent++;
        }
    }
    if (!any || p == end) {
        return any;
    }
    if ((*p | 0x20) != 'e') {
        return false;
    }
    p++;
    bool negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    if (p == end) {
        return false;
    }
    int64_t e = 0;
    for (; p < end && is_digit(*p); p++) {
        if (e < INT64_MAX / 100) { /* no text is long enough to come back from there */
            e = e * 10 + (*p - '0');
        }
    }
    out->exponent += negative ? -e : e;
    return p == end;
}

/* Brings the exponent into its range by moving zeros in or out of the digits. */
static enum wf_decimal128_error clamp(struct number *v) {
    if (v->inexact) {
        return WF_DECIMAL128_INEXACT;
    }
    if (v->n == 0) {
        v->exponent = WF_MAX(WF_MIN(v->exponent, EXPONENT_MAX), EXPONENT_MIN);
        return WF_DECIMAL128_OK;
    }
    while (v->exponent > EXPONENT_MAX) {
        if (v->n == DIGITS_MAX) {
            return WF_DECIMAL128_RANGE;
        }
        v->digits[v->n++] = '0';
        v->exponent--;
    }
    while (v->exponent < EXPONENT_MIN) {
        if (v->digits[v->n - 1] != '0') { /* the first digit is none, so this ends */
            return WF_DECIMAL128_INEXACT;
        }
        v->n--;
        v->exponent++;
    }
    return WF_DECIMAL128_OK;
}

enum wf_decimal128_error wf_decimal128_read(struct wf_span s, struct wf_decimal128 *out) {
    *out = (struct wf_decimal128){0, 0};
    if (s.n != 0 && (*s.p == '-' || *s.p == '+')) {
        out->high = *s.p == '-' ? SIGN : 0;
        s = wf_span(s.p + 1, s.n - 1);
    }
    if (is_word(s, "nan")) {
        out->high |= NOT_A_NUMBER;
        return WF_DECIMAL128_OK;
    }
    if (is_word(s, "snan")) {
        out->high |= SIGNALING;
        return WF_DECIMAL128_OK;
    }
    if (is_word(s, "inf") || is_word(s, "infinity")) {
        out->high |= SPECIAL;
        return WF_DECIMAL128_OK;
    }
    struct number v;
    if (!read_number(s, &v)) {
        return WF_DECIMAL128_SYNTAX;
    }
    enum wf_decimal128_error e = clamp(&v);
    if (e != WF_DECIMAL128_OK) {
        return e;
    }
    uint32_t limbs[4] = {0};
    for (int i = 0; i < v.n; i++) {
        push_digit(limbs, (unsigned)(v.digits[i] - '0'));
    }
    out->low = (uint64_t)limbs[2] << 32 | limbs[3];
    out->high |= (uint64_t)limbs[0] << 32 | limbs[1]; /* below 2^49, as 10^34 is below 2^113 */
    out->high |= (uint64_t)(v.exponent + BIAS) << 49;
    return WF_DECIMAL128_OK;
}
