#include "base/num.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/pow10_table.h"

/* Bottom-up: integers; what printing and parsing of doubles share; printing; parsing. */

typedef unsigned __int128 u128;

/* ---- integers ---- */

static const char two_digits[200] = "00010203040506070809"
                                    "10111213141516171819"
                                    "20212223242526272829"
                                    "30313233343536373839"
                                    "40414243444546474849"
                                    "50515253545556575859"
                                    "60616263646566676869"
                                    "70717273747576777879"
                                    "80818283848586878889"
                                    "90919293949596979899";

static const uint64_t pow10_u64[] = {
    1ull,
    10ull,
    100ull,
    1000ull,
    10000ull,
    100000ull,
    1000000ull,
    10000000ull,
    100000000ull,
    1000000000ull,
    10000000000ull,
    100000000000ull,
    1000000000000ull,
    10000000000000ull,
    100000000000000ull,
    1000000000000000ull,
    10000000000000000ull,
    100000000000000000ull,
    1000000000000000000ull,
    10000000000000000000ull,
};

static unsigned digit_count(uint64_t v) {
    unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);
    unsigned guess = bits * 1233 >> 12; /* bits * log10(2), never too large */
    return guess + (guess < 20 && v >= pow10_u64[guess]) + (v == 0);
}

/* The eight digits of v < 10^8, one a byte, the first one lowest: halves, then quarters, then
 * single digits, all of a kind divided by one multiplication. */
static uint64_t digits8(uint32_t v) {
    uint64_t x = v / 10000 | (uint64_t)(v % 10000) << 32;
    uint64_t hundreds = (x * 10486 >> 20) & UINT64_C(0x0000007f0000007f);
    x = hundreds | (x - 100 * hundreds) << 16;
    uint64_t tens = (x * 103 >> 10) & UINT64_C(0x000f000f000f000f);
    return tens | (x - 10 * tens) << 8;
}

static void store_digits8(char *out, uint64_t digits) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    digits = __builtin_bswap64(digits);
#endif
    digits += UINT64_C(0x3030303030303030);
    memcpy(out, &digits, 8);
}

size_t wf_u64_write(char *out, uint64_t v) {
    unsigned n = digit_count(v);
    char *p = out + n;
    for (; v >= 100000000; v /= 100000000) {
        p -= 8;
        store_digits8(p, digits8((uint32_t)(v % 100000000)));
    }
    uint32_t rest = (uint32_t)v;
    for (; rest >= 100; rest /= 100) {
        p -= 2;
        memcpy(p, two_digits + rest % 100 * 2, 2);
    }
    if (rest >= 10) {
        memcpy(p - 2, two_digits + rest * 2, 2);
    } else {
        p[-1] = (char)('0' + rest);
    }
    return n;
}

size_t wf_i64_write(char *out, int64_t v) {
    if (v >= 0) {
        return wf_u64_write(out, (uint64_t)v);
    }
    *out = '-';
    return 1 + wf_u64_write(out + 1, 0 - (uint64_t)v);
}

/* ---- doubles: shared ---- */

enum {
    MANTISSA_BITS = 52,                  /* stored ones */
    EXPONENT_INF = 2047,                 /* the biased exponent of inf and nan */
    EXPONENT_BIAS = 1023 + MANTISSA_BITS /* of the mantissa taken as an integer */
};
static const uint64_t MANTISSA_MASK = (UINT64_C(1) << MANTISSA_BITS) - 1;
static const uint64_t INF_BITS = (uint64_t)EXPONENT_INF << MANTISSA_BITS;
static const uint64_t SIGN_BIT = UINT64_C(1) << 63;

static uint64_t to_bits(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static double from_bits(uint64_t bits) {
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

/* floor(log2(10^k)), exact for |k| <= 1233 */
static int log2_pow10(int k) {
    return k * 1741647 >> 19;
}

static const struct pow10 *pow10_of(int k) {
    WF_ASSERT(k >= POW10_MIN && k <= POW10_MAX);
    return &pow10_table[k - POW10_MIN];
}

/* 5^55 is the last power that fits 128 bits. */
static bool pow10_is_exact(int k) {
    return k >= 0 && k <= 55;
}

/* ---- printing: Schubfach (Raffaello Giulietti, "The Schubfach way to render doubles", 2020) ----
 *
 * All decimals that read back as v lie between the midpoints to its neighbours. With 10^k the
 * largest power of ten not longer than that interval, at most one multiple of 10^(k+1) and at least
 * one of 10^k are inside (the pigeonhole of the name): look for the former, else take the nearer of
 * the two multiples of 10^k around v. Scaling by 10^-k needs 126 bits; a product is kept as its
 * integer part with "there was more" ored into the lowest bit, which is enough to compare it. */

struct decimal {
    uint64_t digits; /* up to 17; zeros may be among the last */
    int exp10;
};

static uint64_t scale_round_to_odd(struct pow10 g, uint64_t c) {
    uint64_t low = (uint64_t)((u128)g.lo * c >> 64);
    u128 sum = (u128)g.hi * c + low;
    return (uint64_t)(sum >> 64) | ((uint64_t)sum > 1);
}

/* v as bits: finite, positive, not zero */
static struct decimal shortest(uint64_t bits) {
    uint64_t c = bits & MANTISSA_MASK;
    int exponent = (int)(bits >> MANTISSA_BITS);
    /* Below a power of two the neighbour is only half as far away. */
    bool lower_is_closer = c == 0 && exponent > 1;
    int q;
    if (exponent != 0) {
        c |= UINT64_C(1) << MANTISSA_BITS;
        q = exponent - EXPONENT_BIAS;
        if (q <= 0 && q >= -MANTISSA_BITS && (c & ((UINT64_C(1) << -q) - 1)) == 0) {
            return (struct decimal){c >> -q, 0}; /* an integer up to 2^53: its own digits */
        }
    } else {
        q = 1 - EXPONENT_BIAS;
    }

    /* k = floor(log10(2^q)), or of 3/4 * 2^q where the interval is that much shorter */
    int k = (q * 1262611 - (lower_is_closer ? 524031 : 0)) >> 22;
    unsigned h = (unsigned)(q + log2_pow10(-k) + 1);
    struct pow10 g = *pow10_of(-k);
    if (!pow10_is_exact(-k)) {
        g.lo++; /* the method wants it rounded up; no entry ends in 64 ones (a test looks) */
    }

    /* In quarters of a unit of 10^k: v and the two midpoints. Midpoints read as v if v is even. */
    uint64_t odd = c & 1;
    uint64_t left = scale_round_to_odd(g, (4 * c - 2 + lower_is_closer) << h) + odd;
    uint64_t middle = scale_round_to_odd(g, (4 * c) << h);
    uint64_t right = scale_round_to_odd(g, (4 * c + 2) << h) - odd;

    uint64_t s = middle / 4;
    if (s >= 10) {
        uint64_t tens = s / 10;
        bool below_fits = left <= 40 * tens;
        bool above_fits = 40 * tens + 40 <= right;
        if (below_fits != above_fits) {
            return (struct decimal){tens + above_fits, k + 1};
        }
    }
    bool below_fits = left <= 4 * s;
    bool above_fits = 4 * s + 4 <= right;
    if (below_fits != above_fits) {
        return (struct decimal){s + above_fits, k};
    }
    uint64_t half = 4 * s + 2;
    bool up = middle > half || (middle == half && (s & 1));
    return (struct decimal){s + up, k};
}

/* The digits of a decimal as text. */
struct digits {
    char text[1 + 8 + 8 + 16]; /* all 17, and room to copy 16 from anywhere among them */
    unsigned first, end;       /* without zeros before and behind */
};

static void to_digits(struct digits *out, uint64_t v) {
    uint64_t top = v / 10000000000000000;
    uint64_t high = digits8((uint32_t)(v / 100000000 % 100000000));
    uint64_t low = digits8((uint32_t)(v % 100000000));
    out->text[0] = (char)('0' + top);
    store_digits8(out->text + 1, high);
    store_digits8(out->text + 9, low);
    /* The first of eight digits is the lowest byte. */
    out->first = top != 0    ? 0
                 : high != 0 ? 1 + (unsigned)__builtin_ctzll(high) / 8
                             : 9 + (unsigned)__builtin_ctzll(low) / 8;
    out->end = low != 0    ? 17 - (unsigned)__builtin_clzll(low) / 8
               : high != 0 ? 9 - (unsigned)__builtin_clzll(high) / 8
                           : 1;
}

static char *put(char *p, const char *text, size_t n) {
    memcpy(p, text, n);
    return p + n;
}

/* The layout of repr(float). Copies 16 bytes, needed or not: that is faster than to ask.
 * digits   n of them
 * point    where the decimal point falls, counted from the first digit */
static size_t lay_out(char *out, const char *digits, unsigned n, int point) {
    char *p = out;
    if (point > 16 || point < -3) {
        p[0] = digits[0];
        p[1] = '.';
        memcpy(p + 2, digits + 1, 16);
        p += n > 1 ? n + 1 : 1;
        int e = point - 1;
        *p++ = 'e';
        *p++ = e < 0 ? '-' : '+';
        e = e < 0 ? -e : e;
        if (e >= 100) {
            *p++ = (char)('0' + e / 100);
        }
        memcpy(p, two_digits + e % 100 * 2, 2);
        return (size_t)(p + 2 - out);
    }
    if (point <= 0) {
        put(p, "0.000", 5);
        p += 2 - point;
        memcpy(p, digits, 16);
        p[16] = digits[16];
        return (size_t)(p + n - out);
    }
    unsigned whole = (unsigned)point;
    memcpy(p, digits, 16);
    if (n <= whole) {
        memset(p + n, '0', whole - n);
        put(p + whole, ".0", 2);
        return whole + 2;
    }
    p[whole] = '.';
    memcpy(p + whole + 1, digits + whole, 16);
    return n + 1;
}

size_t wf_double_write(char *out, double v) {
    uint64_t bits = to_bits(v);
    size_t sign = bits >> 63;
    *out = '-'; /* overwritten where there is no sign */
    out += sign;
    bits &= ~SIGN_BIT;
    WF_ASSERT(bits < INF_BITS);
    if (bits == 0) {
        put(out, "0.0", 3);
        return sign + 3;
    }
    struct decimal d = shortest(bits);
    struct digits t;
    to_digits(&t, d.digits);
    return sign + lay_out(out, t.text + t.first, t.end - t.first, 17 - (int)t.first + d.exp10);
}

/* ---- parsing ----
 *
 * Eisel and Lemire ("Number parsing at a gigabyte per second", 2021): digits times a 128-bit power
 * of ten decides nearly always. Where its error leaves open on which side of a midpoint the number
 * lies, or digits past the 19th might matter, big integers compare the text with that midpoint. */

enum {
    DIGITS_FAST = 19,  /* always fit a uint64_t */
    DIGITS_EXACT = 770 /* no midpoint has more than 767: what follows can only break a tie */
};

static bool is_digit(char c) {
    return (unsigned char)(c - '0') <= 9;
}

enum rounding { DOWN, UP, OPEN };

/* digits * 10^exp10 as the bits of the double at or below it, and which way it rounds from there.
 * digits is not 0 and exp10 is in the range of a double's (checked). */
static enum rounding scale(uint64_t digits, int exp10, uint64_t *bits) {
    struct pow10 g = *pow10_of(exp10);
    int shift_left = __builtin_clzll(digits);
    uint64_t w = digits << shift_left;
    u128 product = (u128)w * g.hi;
    uint64_t hi = (uint64_t)(product >> 64);
    uint64_t mid = (uint64_t)product;

    int top = (int)(hi >> 63);
    int exponent = log2_pow10(exp10) + 63 + top - shift_left + 1023;
    if (exponent >= EXPONENT_INF) {
        *bits = INF_BITS;
        return DOWN;
    }
    int drop = 64 - (MANTISSA_BITS + 1) - 1 + top;
    if (exponent < 1) {
        drop += 1 - exponent; /* subnormal: fewer bits are kept */
        exponent = 1;
        if (drop > 64) {
            *bits = 0;
            return DOWN;
        }
    }
    uint64_t mantissa = drop < 64 ? hi >> drop : 0;
    uint64_t rest = hi - (drop < 64 ? mantissa << drop : 0);
    uint64_t half = UINT64_C(1) << (drop - 1);
    /* The leading bit of a normal mantissa adds 1 to the exponent. */
    *bits = mantissa + ((uint64_t)(exponent - 1) << MANTISSA_BITS);

    /* The true product is above this one by less than w in `mid`: one more in hi at most, which
     * changes nothing unless it reaches or leaves the midpoint. */
    if (wf_likely(rest != half && rest != half - 1)) {
        return rest > half ? UP : DOWN;
    }
    product = (u128)w * g.lo;
    uint64_t lo = (uint64_t)product;
    uint64_t carry = (uint64_t)(product >> 64);
    mid += carry;
    rest += mid < carry;
    if (pow10_is_exact(exp10)) {
        bool tie = rest == half && mid == 0 && lo == 0;
        return rest < half || (tie && (*bits & 1) == 0) ? DOWN : UP;
    }
    if (rest >= half) {
        return UP; /* above it in truth: the table is rounded down */
    }
    return mid == UINT64_MAX && lo + w < w ? OPEN : DOWN;
}

/* Enough for DIGITS_EXACT digits, or 5^(DIGITS_EXACT + 342), times a mantissa. */
enum { BIG_LIMBS = 48 };
struct big {
    unsigned n;
    uint64_t limb[BIG_LIMBS]; /* least significant first */
};

/* b = b * factor + add */
static void big_mul_add(struct big *b, uint64_t factor, uint64_t add) {
    uint64_t carry = add;
    for (unsigned i = 0; i < b->n; i++) {
        u128 x = (u128)b->limb[i] * factor + carry;
        b->limb[i] = (uint64_t)x;
        carry = (uint64_t)(x >> 64);
    }
    if (carry != 0) {
        WF_ASSERT(b->n < BIG_LIMBS);
        b->limb[b->n++] = carry;
    }
}

static void big_mul_pow5(struct big *b, unsigned power) {
    const uint64_t pow5_27 = UINT64_C(7450580596923828125);
    for (; power >= 27; power -= 27) {
        big_mul_add(b, pow5_27, 0);
    }
    uint64_t rest = 1;
    for (; power > 0; power--) {
        rest *= 5;
    }
    big_mul_add(b, rest, 0);
}

static void big_shift_left(struct big *b, unsigned bits) {
    big_mul_add(b, UINT64_C(1) << bits % 64, 0);
    unsigned limbs = bits / 64;
    WF_ASSERT(b->n + limbs <= BIG_LIMBS);
    memmove(b->limb + limbs, b->limb, b->n * sizeof(b->limb[0]));
    memset(b->limb, 0, limbs * sizeof(b->limb[0]));
    b->n += limbs;
}

static int big_compare(const struct big *a, const struct big *b) {
    if (a->n != b->n) {
        return a->n < b->n ? -1 : 1;
    }
    for (unsigned i = a->n; i-- > 0;) {
        if (a->limb[i] != b->limb[i]) {
            return a->limb[i] < b->limb[i] ? -1 : 1;
        }
    }
    return 0;
}

/* Reads digits with at most one point among them.
 * exp10    in: of the first digit; out: of the last one in b */
static void big_read(struct big *b, const char *p, const char *end, int *exp10) {
    uint64_t chunk = 0;
    unsigned chunk_n = 0;
    unsigned n = 0;
    bool more = false;
    b->n = 0;
    for (; p < end; p++) {
        if (*p == '.') {
            continue;
        }
        if (n == DIGITS_EXACT) {
            more |= *p != '0';
            continue;
        }
        chunk = chunk * 10 + (uint64_t)(*p - '0');
        n++;
        if (++chunk_n == DIGITS_FAST) {
            big_mul_add(b, pow10_u64[chunk_n], chunk);
            chunk = 0;
            chunk_n = 0;
        }
    }
    big_mul_add(b, pow10_u64[chunk_n], chunk);
    *exp10 -= (int)n - 1;
    if (more) { /* one more digit stands for all the rest */
        big_mul_add(b, 10, 1);
        (*exp10)--;
    }
}

/* bits or bits + 1, whichever is nearer to text * 10^exp10, which lies between them (or a hair
 * above). Destroys text. */
static WF_NOINLINE uint64_t round_exactly(struct big *text, int exp10, uint64_t bits) {
    uint64_t m = bits & MANTISSA_MASK;
    int exponent = (int)(bits >> MANTISSA_BITS);
    if (exponent != 0) {
        m |= UINT64_C(1) << MANTISSA_BITS;
    } else {
        exponent = 1;
    }
    struct big midpoint = {.n = 1, .limb = {2 * m + 1}};
    int exp2 = exponent - EXPONENT_BIAS - 1;

    /* text * 10^exp10 against midpoint * 2^exp2, both brought to integers */
    big_mul_pow5(exp10 > 0 ? text : &midpoint, (unsigned)(exp10 > 0 ? exp10 : -exp10));
    int shift = exp10 - exp2;
    big_shift_left(shift > 0 ? text : &midpoint, (unsigned)(shift > 0 ? shift : -shift));

    int order = big_compare(text, &midpoint);
    return bits + (order > 0 || (order == 0 && (bits & 1)));
}

/* Past these, any 19 digits are 0 or inf. */
static bool is_zero_or_inf(uint64_t digits, int64_t exp10, uint64_t *bits) {
    *bits = exp10 > 308 && digits != 0 ? INF_BITS : 0;
    return digits == 0 || exp10 < POW10_MIN || exp10 > 308;
}

static uint64_t nearest(uint64_t digits, int64_t exp10) {
    uint64_t bits;
    if (wf_unlikely(is_zero_or_inf(digits, exp10, &bits))) {
        return bits;
    }
    enum rounding r = scale(digits, (int)exp10, &bits);
    if (wf_unlikely(r == OPEN)) {
        struct big text = {.n = 1, .limb = {digits}};
        return round_exactly(&text, (int)exp10, bits);
    }
    return bits + (r == UP);
}

/* The same for more digits than a uint64_t holds.
 * [p, end)  digits with perhaps a point among them
 * exp10     of the last */
static WF_NOINLINE uint64_t nearest_of_many(const char *p, const char *end, int64_t exp10) {
    while (p < end && (*p == '0' || *p == '.')) {
        p++;
    }
    uint64_t digits = 0;
    unsigned n = 0;
    const char *q = p;
    for (; q < end && n < DIGITS_FAST; q++) {
        if (*q != '.') {
            digits = digits * 10 + (uint64_t)(*q - '0');
            n++;
        }
    }
    int64_t rest = end - q; /* digits not taken */
    if (rest > 0 && memchr(q, '.', (size_t)rest) != NULL) {
        rest--;
    }
    exp10 += rest;
    uint64_t bits;
    if (rest == 0) {
        return nearest(digits, exp10);
    }
    if (is_zero_or_inf(digits, exp10, &bits)) {
        return bits;
    }
    /* The number lies between what these digits say and one more in the last of them. */
    uint64_t above;
    enum rounding r = scale(digits, (int)exp10, &bits);
    enum rounding r_above = scale(digits + 1, (int)exp10, &above);
    if (r != OPEN && r_above != OPEN && bits + (r == UP) == above + (r_above == UP)) {
        return bits + (r == UP);
    }
    struct big text;
    int first = (int)exp10 + (int)n - 1;
    big_read(&text, p, end, &first);
    return round_exactly(&text, first, bits);
}

/* Eight ASCII digits at once; the text is little-endian in `chunk`. */
static bool all_digits8(uint64_t chunk) {
    return (((chunk + UINT64_C(0x4646464646464646)) | (chunk - UINT64_C(0x3030303030303030))) &
            UINT64_C(0x8080808080808080)) == 0;
}

static uint64_t value_of_digits8(uint64_t chunk) {
    chunk -= UINT64_C(0x3030303030303030);
    chunk = chunk * 10 + (chunk >> 8); /* pairs, in every other byte */
    const uint64_t mask = UINT64_C(0x000000ff000000ff);
    uint64_t left = (chunk & mask) * (100 + (UINT64_C(1000000) << 32));
    uint64_t right = (chunk >> 16 & mask) * (1 + (UINT64_C(10000) << 32));
    return (left + right) >> 32;
}

/* Reads digits on top of *value, which may wrap: past 19 digits it is read again. */
static const char *read_digits(const char *p, const char *end, uint64_t *value) {
    uint64_t v = *value;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (end - p >= 8) {
        uint64_t chunk;
        memcpy(&chunk, p, 8);
        if (!all_digits8(chunk)) {
            break;
        }
        v = v * 100000000 + value_of_digits8(chunk);
        p += 8;
    }
#endif
    while (p < end && is_digit(*p)) {
        v = v * 10 + (uint64_t)(*p++ - '0');
    }
    *value = v;
    return p;
}

/* [eE][+-]?digits at p: adds it to *exp10 and returns its end; p where there is none. */
static const char *read_exponent(const char *p, const char *end, int64_t *exp10) {
    if (p == end || (*p | 0x20) != 'e') {
        return p;
    }
    const char *q = p + 1;
    bool negative = false;
    if (q < end && (*q == '-' || *q == '+')) {
        negative = *q++ == '-';
    }
    if (q == end || !is_digit(*q)) {
        return p;
    }
    int64_t e = 0;
    for (; q < end && is_digit(*q); q++) {
        if (e < INT64_MAX / 100) { /* no text in memory has digits enough to make up for that */
            e = e * 10 + (*q - '0');
        }
    }
    *exp10 += negative ? -e : e;
    return q;
}

double wf_double_make(uint64_t digits, int64_t exp10) {
    return from_bits(nearest(digits, exp10));
}

/* lax: digits may be missing on one side of the point */
WF_ALWAYS_INLINE const char *read_double(const char *p, const char *end, bool lax, double *out) {
    uint64_t sign = 0;
    if (p < end && *p == '-') {
        sign = SIGN_BIT;
        p++;
    }
    const char *start = p;
    uint64_t digits = 0;
    p = read_digits(p, end, &digits);
    const char *whole_end = p;
    int64_t exp10 = 0;
    int64_t n = p - start;
    if (p < end && *p == '.' && (lax || (n > 0 && end - p >= 2 && is_digit(p[1])))) {
        p = read_digits(p + 1, end, &digits);
        exp10 = whole_end + 1 - p;
        n -= exp10;
    }
    if (n == 0) {
        return NULL;
    }
    const char *digits_end = p;
    p = read_exponent(p, end, &exp10);
    uint64_t bits = wf_likely(n <= DIGITS_FAST) ? nearest(digits, exp10)
                                                : nearest_of_many(start, digits_end, exp10);
    *out = from_bits(bits | sign);
    return p;
}

const char *wf_double_read(const char *p, const char *end, double *out) {
    return read_double(p, end, false, out);
}

const char *wf_double_read_lax(const char *p, const char *end, double *out) {
    return read_double(p, end, true, out);
}
