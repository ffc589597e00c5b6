/* Reading JSON tokens: what a walker calls for every byte or token, so all of it is inline.
 *
 * A walker holds `p` and `end`; each function takes the first byte of its token and gives the first
 * byte behind it. On an error it gives the offending byte instead.
 *
 * thread   any; nothing is allocated; [p, end) is readable and nothing else is read */
#ifndef WF_WIRE_JSON_SCAN_H
#define WF_WIRE_JSON_SCAN_H

#include <string.h>

#include "base/check.h"
#include "base/num_short.h"
#include "wire/json/json.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static inline bool wf_json_is_digit(char c) {
    return (unsigned char)(c - '0') <= 9;
}

/* '-' or a digit, without a guess at which: signs come at random. */
static inline bool wf_json_is_number(char c) {
    const unsigned i = (unsigned char)(c - '-');
    return i <= '9' - '-' && (0x1ff9u >> i & 1) != 0; /* all but '.' and '/' */
}

static inline const char *wf_json_skip_space(const char *p, const char *end) {
    while (wf_unlikely(p < end && (unsigned char)*p <= ' ') &&
           (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }
    return p;
}

/* ---- strings ---- */

/* The first quote, backslash or control byte in [p, end), or end: what wf_json_plain_in gives.
 * high  set to non-zero when a byte before it is not ASCII; otherwise left as it is */
static inline const char *wf_json_plain_bytewise(const char *p, const char *end, unsigned *high) {
    for (; p < end; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\' || c < 0x20) {
            break;
        }
        *high |= c & 0x80u;
    }
    return p;
}

/* The top bit of each quote, backslash and control byte among the eight of x. Borrows may add bits
 * above the first that is right: the lowest is exact, and so is zero. */
static inline uint64_t wf_json_special8(uint64_t x) {
    const uint64_t ones = 0x0101010101010101u;
    uint64_t quote = x ^ (ones * '"'), backslash = x ^ (ones * '\\');
    uint64_t hit =
        ((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash);
    return hit & (ones * 0x80);
}

/* The same for what is left of less than 16 bytes. */
static inline const char *wf_json_plain_tail(const char *p, const char *end, unsigned *high) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const bool eight = end - p >= 8; /* so the last eight may be read, whatever is left of them */
    while (end - p >= 8 || (eight && p < end)) {
        uint64_t x;
        if (end - p >= 8) {
            memcpy(&x, p, 8);
        } else {
            memcpy(&x, end - 8, 8);
            x >>= 8 * (8 - (end - p)); /* and zeros, which are control bytes, end them */
        }
        uint64_t special = wf_json_special8(x), beyond = x & 0x8080808080808080u;
        if (special != 0) {
            *high |= (beyond & (special ^ (special - 1)) & ~special) != 0;
            return p + (__builtin_ctzll(special) >> 3);
        }
        *high |= beyond != 0;
        p += 8;
    }
#endif
    return wf_json_plain_bytewise(p, end, high);
}

#if defined(__SSE2__)
/* Quotes, backslashes and control bytes of v: all their bits set. */
static inline __m128i wf_json_specials16(__m128i v) {
    __m128i beside =
        _mm_xor_si128(v, _mm_set1_epi8('"' ^ ' ')); /* the quote is next to the control bytes */
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(beside, _mm_set1_epi8(' ')), beside);
    return _mm_or_si128(low, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
}

/* The same, one bit a byte. */
static inline unsigned wf_json_special16(__m128i v) {
    return (unsigned)_mm_movemask_epi8(wf_json_specials16(v));
}

/* start  at or before p; [start, p) is readable too, so that sixteen bytes at once can be looked at up
 *        to the end. Of them only those from p on count. */
static inline const char *wf_json_plain_in(const char *start, const char *p, const char *end,
                                           unsigned *high) {
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)p);
        unsigned special = wf_json_special16(v);
        unsigned beyond = (unsigned)_mm_movemask_epi8(v);
        if (special != 0) {
            unsigned i = (unsigned)__builtin_ctz(special);
            *high |= beyond & ((1u << i) - 1);
            return p + i;
        }
        *high |= beyond;
    }
    if (wf_unlikely(end - start < 16)) {
        return wf_json_plain_tail(p, end, high);
    }
    /* the last sixteen, without those in front of p; and the end ends them */
    const unsigned left = (unsigned)(end - p);
    __m128i v = _mm_loadu_si128((const __m128i *)(end - 16));
    unsigned special = wf_json_special16(v) >> (16 - left) | 1u << left;
    unsigned beyond = (unsigned)_mm_movemask_epi8(v) >> (16 - left);
    unsigned i = (unsigned)__builtin_ctz(special);
    *high |= beyond & ((1u << i) - 1);
    return p + i;
}
#else
static inline const char *wf_json_plain_in(const char *start, const char *p, const char *end,
                                           unsigned *high) {
    (void)start;
    return wf_json_plain_tail(p, end, high);
}
#endif

/* The same where nothing is known of what is in front of p. */
static inline const char *wf_json_plain(const char *p, const char *end, unsigned *high) {
    return wf_json_plain_in(p, p, end, high);
}

/* A string as it stands in the input: measured and checked, not yet unescaped. */
struct wf_json_text {
    const char *p;     /* borrowed from the input: the first byte inside the quotes */
    size_t n;          /* raw bytes up to the closing quote */
    size_t chars;      /* code points it stands for */
    uint32_t max_char; /* class of the largest: 0x7f, 0xff, 0xffff or 0x10ffff */
    bool escaped;
};

/* The rest of wf_json_text_read once a string is not plain ASCII: `q` is where the scan stopped. */
enum wf_json_error wf_json_text_read_slow(const char **p, const char *q, const char *end,
                                          unsigned high, unsigned flags, struct wf_json_text *t);

/* p  in: behind the opening quote; out: behind the closing one, or the offending byte */
static inline enum wf_json_error wf_json_text_read(const char **p, const char *end, unsigned flags,
                                                   struct wf_json_text *t) {
    unsigned high = 0;
    const char *q = wf_json_plain(*p, end, &high);
    if (wf_likely(high == 0 && q < end && *q == '"')) {
        size_t n = (size_t)(q - *p);
        *t = (struct wf_json_text){*p, n, n, 0x7f, false};
        *p = q + 1;
        return WF_JSON_OK;
    }
    return wf_json_text_read_slow(p, q, end, high, flags, t);
}

enum wf_json_unescaped {
    WF_JSON_UNESCAPED,     /* up to the closing quote, which *p is behind */
    WF_JSON_UNESCAPE_FULL, /* go on with more room */
    WF_JSON_UNESCAPE_ODD   /* not ASCII, or not right: read it by wf_json_text_read */
};

/* Reads and unescapes a string that is ASCII, in one pass, where wf_json_text_read and then
 * wf_json_text_copy make two.
 * p        in: inside the quotes; out: how far it got
 * out      [*out, out_end) has room; out: behind what was written
 * returns  FULL also where room for fewer than WF_JSON_UNESCAPE_ROOM bytes is left */
enum { WF_JSON_UNESCAPE_ROOM = 128 };
enum wf_json_unescaped wf_json_unescape(const char **p, const char *end, char **out,
                                        const char *out_end);

/* Unescapes a text into t->chars units of `width` bytes (1, 2 or 4: enough for t->max_char).
 * out  aligned to width */
void wf_json_text_copy(const struct wf_json_text *t, void *out, unsigned width);
/* It without the processor's widest registers, for others and for tests. */
void wf_json_text_copy_plain(const struct wf_json_text *t, void *out, unsigned width);

/* ---- numbers ---- */

enum wf_json_number_kind {
    WF_JSON_INT,   /* i */
    WF_JSON_UINT,  /* u: above INT64_MAX */
    WF_JSON_BIG,   /* digits: an integer that fits neither */
    WF_JSON_DOUBLE /* d */
};

struct wf_json_number {
    enum wf_json_number_kind kind;
    union {
        int64_t i;
        uint64_t u;
        double d;
        struct wf_span digits; /* borrowed from the input: sign and digits */
    };
};

/* The rest of wf_json_number_read behind the whole digits: a fraction or an exponent or both.
 * q       in: at '.', 'e' or 'E'; out: behind the number, or the offending byte
 * v, n    the whole digits and how many they are */
static inline enum wf_json_error wf_json_fraction_read(const char *first, const char **q,
                                                       const char *end, uint64_t v, size_t n,
                                                       double *out) {
    const char *p = *q;
    int64_t exp10 = 0;
    if (*p == '.') {
        const char *fraction = ++p;
        p = wf_fraction_read(p, end, &v);
        if (wf_unlikely(p == fraction)) {
            return WF_JSON_NUMBER;
        }
        exp10 = fraction - p;
        n += (size_t)(p - fraction);
    }
    *q = p;
    if (p < end && (*p | 0x20) == 'e') {
        p = wf_exponent_read(p, end, &exp10);
        if (wf_unlikely(p == *q)) {
            return WF_JSON_NUMBER;
        }
        *q = p;
    }
    if (wf_unlikely(p < end && (*p == '.' || (*p | 0x20) == 'e'))) {
        return WF_JSON_NUMBER;
    }
    if (wf_likely(n <= 19)) {
        /* the sign without a guess at it: it is as likely as not */
        *out = wf_double_negate_if(wf_double_make(v, exp10), *first == '-');
    } else {
        wf_double_read(first, end, out);
    }
    return WF_JSON_OK;
}

/* p is at '-' or a digit. For walkers that have asked wf_short_number_read, or are in no hurry. */
static inline enum wf_json_error wf_json_long_number_read(const char **p, const char *end,
                                                          unsigned flags,
                                                          struct wf_json_number *out) {
    const char *first = *p, *q = first;
    bool negative = *q == '-';
    q += negative;
    const char *digits = q;
    uint64_t v = 0;
    q = wf_digits_read(q, end, &v);
    size_t n = (size_t)(q - digits);
    if (wf_unlikely(n == 0)) {
        *p = q;
        return WF_JSON_NUMBER;
    }
    if (wf_unlikely(*digits == '0' && n > 1)) {
        *p = digits + 1; /* a leading zero */
        return WF_JSON_NUMBER;
    }
    if (q < end && (*q == '.' || (*q | 0x20) == 'e')) {
        enum wf_json_error e = wf_json_fraction_read(first, &q, end, v, n, &out->d);
        if (wf_unlikely(e != WF_JSON_OK)) {
            *p = q;
            return e;
        }
        if (wf_unlikely(__builtin_isinf(out->d)) && !(flags & WF_JSON_NONFINITE)) {
            return WF_JSON_NUMBER_RANGE;
        }
        out->kind = WF_JSON_DOUBLE;
    } else if (wf_likely(n <= 19 && v <= (uint64_t)INT64_MAX)) { /* 19 digits fit 64 bits */
        out->kind = WF_JSON_INT;
        out->i = negative ? -(int64_t)v : (int64_t)v;
    } else if (n <= 19 && !negative) {
        out->kind = WF_JSON_UINT;
        out->u = v;
    } else {
        out->kind = WF_JSON_BIG;
        out->digits = wf_span(first, (size_t)(q - first));
    }
    *p = q;
    return WF_JSON_OK;
}

/* The same, short numbers at once. */
static inline enum wf_json_error wf_json_number_read(const char **p, const char *end,
                                                     unsigned flags, struct wf_json_number *out) {
    if (wf_likely(end - *p >= WF_SHORT_NUMBER_BYTES)) {
        int32_t i;
        switch (wf_short_number_read(p, end, &i, &out->d)) {
        case WF_SHORT_INT:
            out->kind = WF_JSON_INT;
            out->i = i;
            return WF_JSON_OK;
        case WF_SHORT_DOUBLE:
            out->kind = WF_JSON_DOUBLE;
            return WF_JSON_OK;
        case WF_SHORT_NONE:
            break;
        }
    }
    return wf_json_long_number_read(p, end, flags, out);
}

/* ---- literals ---- */

/* Is the literal here? `lit` is a string literal. */
#define WF_JSON_IS(p, end, lit)                                                                    \
    ((size_t)((end) - (p)) >= sizeof(lit) - 1 && memcmp((p), "" lit, sizeof(lit) - 1) == 0)

#endif
