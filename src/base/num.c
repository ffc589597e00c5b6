#include "base/num_short.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/pow10_table.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* Bottom-up: integers; what printing and parsing of doubles share; printing; parsing. */

typedef unsigned __int128 u128;

/* ---- integers ---- */

const char wf_two_digits[200] = "00010203040506070809"
                                "10111213141516171819"
                                "20212223242526272829"
                                "30313233343536373839"
                                "40414243444546474849"
                                "50515253545556575859"
                                "60616263646566676869"
                                "70717273747576777879"
                                "80818283848586878889"
                                "90919293949596979899";

/* clang-format off */
#define TEN_NUMBERS(X, h, t) \
    X(h, t, 0), X(h, t, 1), X(h, t, 2), X(h, t, 3), X(h, t, 4), \
    X(h, t, 5), X(h, t, 6), X(h, t, 7), X(h, t, 8), X(h, t, 9)
#define HUNDRED_NUMBERS(X, h) \
    TEN_NUMBERS(X, h, 0), TEN_NUMBERS(X, h, 1), TEN_NUMBERS(X, h, 2), TEN_NUMBERS(X, h, 3), TEN_NUMBERS(X, h, 4), \
    TEN_NUMBERS(X, h, 5), TEN_NUMBERS(X, h, 6), TEN_NUMBERS(X, h, 7), TEN_NUMBERS(X, h, 8), TEN_NUMBERS(X, h, 9)
#define THOUSAND_NUMBERS(X) \
    HUNDRED_NUMBERS(X, 0), HUNDRED_NUMBERS(X, 1), HUNDRED_NUMBERS(X, 2), HUNDRED_NUMBERS(X, 3), HUNDRED_NUMBERS(X, 4), \
    HUNDRED_NUMBERS(X, 5), HUNDRED_NUMBERS(X, 6), HUNDRED_NUMBERS(X, 7), HUNDRED_NUMBERS(X, 8), HUNDRED_NUMBERS(X, 9)
#define NUMBER(h, t, o) \
    {'0' + ((h) ? (h) : (t) ? (t) : (o)), '0' + ((h) ? (t) : (o)), '0' + (o), (h) ? 3 : (t) ? 2 : 1}
#define DIGITS(h, t, o) {'0' + (h), '0' + (t), '0' + (o)}
const char wf_small_numbers[1000][4] = {THOUSAND_NUMBERS(NUMBER)};
const char wf_three_digits[1000][4] = {THOUSAND_NUMBERS(DIGITS)};
/* clang-format on */

#if defined(__SSE2__)
const char wf_digits_kept[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
#endif

const uint64_t wf_pow10_u64[20] = {
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

const double wf_pow10_double[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

size_t wf_u64_write(char *out, uint64_t v) {
    const uint64_t e8 = 100000000;
    if (v <= UINT32_MAX) {
        return wf_u32_write(out, (uint32_t)v);
    }
    uint64_t high = v / e8;
    size_t n;
    if (high <= UINT32_MAX) {
        n = wf_u32_write(out, (uint32_t)high);
    } else {
        n = wf_u32_write(out, (uint32_t)(high / e8));
        wf_put_8_digits(out + n, (uint32_t)(high % e8));
        n += 8;
    }
    wf_put_8_digits(out + n, (uint32_t)(v % e8));
    return n + 8;
}

size_t wf_i64_write(char *out, int64_t v) {
    size_t sign = (uint64_t)v >> 63;
    *out = '-'; /* overwritten where there is no sign */
    return sign + wf_u64_write(out + sign, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
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

/* v = c * 2^q */
static WF_NOINLINE struct decimal shortest_by_three(uint64_t c, int q, bool lower_is_closer) {
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

/* The same from one product, with 64 bits behind the point and all but the last of them right. Where
 * that leaves a comparison open (rarer than one in 10^17) the answer is false.
 * v = c * 2^q, whose neighbours are equally far away. */
static inline bool shortest_in_128_bits(uint64_t c, int q, struct decimal *out) {
    int k = (q * 1262611) >> 22; /* floor(log10(2^q)) */
    unsigned h = (unsigned)(q + log2_pow10(-k) + 1);
    const struct pow10 *g = pow10_of(-k);
    u128 product = (u128)g->hi * (c << h) + (uint64_t)((u128)g->lo * (c << h) >> 64);
    uint64_t whole = (uint64_t)(product >> 64), fraction = (uint64_t)product;

    /* With 4 bits before the point and 60 behind it: half the distance to a neighbour, 1/2 to 5, and
     * how far the next multiple of ten is. */
    const uint64_t error = 4;
    uint64_t half = g->hi >> (5 - h);
    uint64_t digit = whole % 10;
    uint64_t above = digit << 60 | fraction >> 4;
    uint64_t below = (UINT64_C(10) << 60) - above;
    bool up = below < above;
    uint64_t distance = up ? below : above;

    /* Which of them it is cannot be foreseen: no branches but one. */
    bool ten_fits = distance < half;
    bool open = distance - (half - error) < 2 * error;
    open |= fraction - ((UINT64_C(1) << 63) - error) < 2 * error && !ten_fits;
    *out = (struct decimal){ten_fits ? whole - digit + (up ? 10 : 0) : whole + (fraction >> 63), k};
    return !open;
}

/* v as bits: finite, positive, not zero */
static inline struct decimal shortest(uint64_t bits) {
    uint64_t c = bits & MANTISSA_MASK;
    int exponent = (int)(bits >> MANTISSA_BITS);
    int q = exponent - EXPONENT_BIAS;
    /* Below a power of two the neighbour is only half as far away. */
    if (wf_likely(c != 0 && exponent != 0)) {
        struct decimal quick;
        c |= UINT64_C(1) << MANTISSA_BITS;
        if (wf_likely(shortest_in_128_bits(c, q, &quick))) {
            return quick;
        }
        return shortest_by_three(c, q, false);
    }
    if (exponent == 0) {
        return shortest_by_three(c, 1 - EXPONENT_BIAS, false);
    }
    if (q <= 0 && q >= -MANTISSA_BITS) {
        return (struct decimal){(UINT64_C(1) << MANTISSA_BITS) >> -q, 0}; /* 2^n: its own digits */
    }
    return shortest_by_three(UINT64_C(1) << MANTISSA_BITS, q, exponent > 1);
}

/* Eight characters, the first one lowest. */
static inline void store8(char *out, uint64_t chars) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    chars = __builtin_bswap64(chars);
#endif
    memcpy(out, &chars, 8);
}

#if defined(__SSE2__)
/* The sixteen digits of two numbers below 10^8, one a byte: halves, then quarters, then single
 * digits, all of a kind divided by one multiplication. */
static inline __m128i digits16(uint32_t high, uint32_t low) {
    __m128i v = _mm_set_epi64x(low, high);
    __m128i q = _mm_srli_epi64(_mm_mul_epu32(v, _mm_set1_epi32((int)3518437209u)), 45);
    __m128i r = _mm_sub_epi32(v, _mm_mul_epu32(q, _mm_set1_epi32(10000)));
    v = _mm_or_si128(q, _mm_slli_epi64(r, 32));
    q = _mm_srli_epi16(_mm_mulhi_epu16(v, _mm_set1_epi32(5243)), 3);
    r = _mm_sub_epi16(v, _mm_mullo_epi16(q, _mm_set1_epi32(100)));
    v = _mm_or_si128(q, _mm_slli_epi32(r, 16));
    q = _mm_mulhi_epu16(v, _mm_set1_epi16(6554));
    r = _mm_sub_epi16(v, _mm_mullo_epi16(q, _mm_set1_epi16(10)));
    return _mm_or_si128(q, _mm_slli_epi16(r, 8));
}
#else
/* The eight digits of v < 10^8, one a byte, the first one lowest: halves, then quarters, then
 * single digits, all of a kind divided by one multiplication. */
static inline uint64_t digits8(uint32_t v) {
    uint64_t x = v / 10000 | (uint64_t)(v % 10000) << 32;
    uint64_t hundreds = (x * 10486 >> 20) & UINT64_C(0x0000007f0000007f);
    x = hundreds | (x - 100 * hundreds) << 16;
    uint64_t tens = (x * 103 >> 10) & UINT64_C(0x000f000f000f000f);
    return tens | (x - 10 * tens) << 8;
}
#endif

/* The digits of a decimal as text, without zeros in front. They stay in registers: a load of what was
 * just stored in parts would have to wait. */
struct digits {
    char top;
    uint64_t high, low; /* the eight behind it, and the eight behind these */
    int n;              /* without zeros behind */
    int point;          /* where the decimal point falls, counted from the first digit */
};

/* d.digits is not 0 */
static inline struct digits to_digits(struct decimal d) {
    const uint64_t e8 = 100000000, e15 = 10000000 * e8, zeros = UINT64_C(0x3030303030303030);
    while (wf_unlikely(d.digits < e15)) { /* a power of two, or subnormal */
        d.digits *= 10;
        d.exp10--;
    }
    bool sixteen = d.digits < 10 * e15;
    uint64_t v = sixteen ? 10 * d.digits : d.digits;
    struct digits t = {.point = 17 + d.exp10 - sixteen};
    uint64_t v_high = v / e8, top = v_high / e8;
    t.top = (char)('0' + top);
    uint32_t high = (uint32_t)(v_high - top * e8), low = (uint32_t)(v - v_high * e8);
#if defined(__SSE2__)
    __m128i digits = digits16(high, low);
    unsigned zero = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(digits, _mm_setzero_si128()));
    t.n = 32 - __builtin_clz((zero ^ 0xffff) << 1 | 1);
    t.high = (uint64_t)_mm_cvtsi128_si64(digits) + zeros;
    t.low = (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(digits, digits)) + zeros;
#else
    t.high = digits8(high);
    t.low = digits8(low);
    t.n = t.low != 0    ? 17 - __builtin_clzll(t.low) / 8
          : t.high != 0 ? 9 - __builtin_clzll(t.high) / 8
                        : 1;
    t.high += zeros;
    t.low += zeros;
#endif
    return t;
}

/* Eight of the digits with the point behind the first `n` (0 to 7) of them; the last one is lost. */
static inline uint64_t insert_point(uint64_t digits, int n) {
    uint64_t before = (UINT64_C(1) << 8 * n) - 1;
    return (digits & before) | (uint64_t)'.' << 8 * n | (digits & ~before) << 8;
}

/* The layout of repr(float). Writes digits that are not needed rather than ask. */
static inline size_t lay_out(char *out, struct digits t) {
    char *p = out;
    if (wf_likely(t.point > 0 && t.point <= 16)) {
        *p++ = t.top;
        if (t.point <= 8) {
            store8(p + 1, t.high);
            store8(p + 9, t.low);
            store8(p, insert_point(t.high, t.point - 1));
        } else {
            store8(p, t.high);
            store8(p + 9, t.low);
            store8(p + 8, insert_point(t.low, t.point - 9));
        }
        return (size_t)WF_MAX(t.n, t.point + 1) + 1;
    }
    if (t.point <= 0 && t.point >= -3) {
        memcpy(p, "0.000", 5);
        p += 2 - t.point;
        *p++ = t.top;
        store8(p, t.high);
        store8(p + 8, t.low);
        return (size_t)(p - 1 + t.n - out);
    }
    p[0] = t.top;
    p[1] = '.';
    store8(p + 2, t.high);
    store8(p + 10, t.low);
    p += t.n > 1 ? t.n + 1 : 1;
    int e = t.point - 1;
    *p++ = 'e';
    *p++ = e < 0 ? '-' : '+';
    e = e < 0 ? -e : e;
    if (e >= 100) {
        *p++ = (char)('0' + e / 100);
    }
    wf_put_2_digits(p, (uint32_t)(e % 100));
    return (size_t)(p + 2 - out);
}

size_t wf_double_write(char *out, double v) {
    uint64_t bits = to_bits(v);
    size_t sign = bits >> 63;
    *out = '-'; /* overwritten where there is no sign */
    out += sign;
    bits &= ~SIGN_BIT;
    WF_ASSERT(bits < INF_BITS);
    if (bits == 0) {
        memcpy(out, "0.0", 3);
        return sign + 3;
    }
    return sign + lay_out(out, to_digits(shortest(bits)));
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
            big_mul_add(b, wf_pow10_u64[chunk_n], chunk);
            chunk = 0;
            chunk_n = 0;
        }
    }
    big_mul_add(b, wf_pow10_u64[chunk_n], chunk);
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

const char *wf_exponent_read(const char *p, const char *end, int64_t *exp10) {
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

double wf_double_nearest(uint64_t digits, int64_t exp10) {
    double v;
    if (wf_likely(digits != 0 && exp10 >= -290 && exp10 <= 280) &&
        wf_likely(wf_double_scale(digits, pow10_of((int)exp10)->hi, log2_pow10((int)exp10), &v))) {
        return v;
    }
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
    p = wf_digits_read(p, end, &digits);
    const char *whole_end = p;
    int64_t exp10 = 0;
    int64_t n = p - start;
    if (p < end && *p == '.' && (lax || (n > 0 && end - p >= 2 && is_digit(p[1])))) {
        p = wf_digits_read(p + 1, end, &digits);
        exp10 = whole_end + 1 - p;
        n -= exp10;
    }
    if (n == 0) {
        return NULL;
    }
    const char *digits_end = p;
    p = wf_exponent_read(p, end, &exp10);
    double v = wf_likely(n <= DIGITS_FAST) ? wf_double_make(digits, exp10)
                                           : from_bits(nearest_of_many(start, digits_end, exp10));
    *out = from_bits(to_bits(v) | sign);
    return p;
}

const char *wf_double_read(const char *p, const char *end, double *out) {
    return read_double(p, end, false, out);
}

const char *wf_double_read_lax(const char *p, const char *end, double *out) {
    return read_double(p, end, true, out);
}
