/* Strings that are more than plain ASCII: measuring and checking them, then unescaping them. Also
 * the sentences and positions of errors. */
#include "wire/json/json_scan.h"

#include "base/utf8.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

const char *wf_json_error_text(enum wf_json_error e) {
    switch (e) {
    case WF_JSON_OK:
        return "no error";
#define X(id, text)                                                                                \
    case WF_JSON_##id:                                                                             \
        return text;
        WF_JSON_ERRORS(X)
#undef X
    }
    return "unknown error";
}

void wf_json_position(struct wf_span in, size_t at, size_t *line, size_t *column) {
    *line = *column = 1;
    for (size_t i = 0; i < at && i < in.n; i++) {
        if (in.p[i] == '\n') {
            ++*line;
            *column = 1;
        } else if ((in.p[i] & 0xc0) != 0x80) { /* not the inside of a code point */
            ++*column;
        }
    }
}

/* What a hex digit stands for, and 1; 0 where it is none. */
static const uint8_t hex_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* The four hex digits at p, or -1. */
static inline int32_t hex4(const char *p, const char *end) {
    if (end - p < 4) {
        return -1;
    }
    int32_t a = hex_values[(unsigned char)p[0]] - 1, b = hex_values[(unsigned char)p[1]] - 1;
    int32_t c = hex_values[(unsigned char)p[2]] - 1, d = hex_values[(unsigned char)p[3]] - 1;
    int32_t v = a * 4096 + b * 256 + c * 16 + d;
    return wf_unlikely((a | b | c | d) < 0) ? -1 : v;
}

static inline bool is_high_surrogate(int32_t c) {
    return (c & 0xfc00) == 0xd800;
}

static inline bool is_low_surrogate(int32_t c) {
    return (c & 0xfc00) == 0xdc00;
}

/* What a backslash and this stand for, or 0. */
static const char simple_escapes[256] = {
    ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
    ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
};

/* Reads the escape whose backslash *p is at, a surrogate pair as one. At an error *p stays. */
static inline enum wf_json_error read_escape(const char **p, const char *end, unsigned flags,
                                             uint32_t *out) {
    const char *q = *p + 1;
    if (q == end) {
        *p = end;
        return WF_JSON_STRING_END;
    }
    if (*q != 'u') {
        *out = (unsigned char)simple_escapes[(unsigned char)*q];
        if (*out == 0) {
            return WF_JSON_ESCAPE;
        }
        *p = q + 1;
        return WF_JSON_OK;
    }
    int32_t c = hex4(q + 1, end);
    if (c < 0) {
        return WF_JSON_ESCAPE;
    }
    q += 5;
    if (is_high_surrogate(c) && end - q >= 6 && q[0] == '\\' && q[1] == 'u') {
        int32_t low = hex4(q + 2, end);
        if (is_low_surrogate(low)) { /* -1 is none */
            *out = 0x10000u + ((uint32_t)(c & 0x3ff) << 10) + (uint32_t)(low & 0x3ff);
            *p = q + 6;
            return WF_JSON_OK;
        }
    }
    if ((c & 0xf800) == 0xd800 && !(flags & WF_JSON_SURROGATES)) {
        return WF_JSON_SURROGATE;
    }
    *out = (uint32_t)c;
    *p = q;
    return WF_JSON_OK;
}

static inline uint32_t char_class(uint32_t c) {
    return c < 0x80 ? 0x7f : c < 0x100 ? 0xff : c < 0x10000 ? 0xffff : 0x10ffff;
}

/* The first byte that keeps [p, end) from being UTF-8. The checker says only whether there is one,
 * so this halves; it runs once, for an error. */
static const char *utf8_stops_at(const char *p, const char *end) {
    while (p < end) {
        unsigned char c = (unsigned char)*p;
        size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if ((size_t)(end - p) < n || !wf_utf8_valid(wf_span(p, n))) {
            break;
        }
        p += n;
    }
    return p;
}

enum wf_json_error wf_json_text_read_slow(const char **p, const char *q, const char *end,
                                          unsigned high, unsigned flags, struct wf_json_text *t) {
    const char *run = *p; /* the run of unescaped bytes that ends at q */
    *t = (struct wf_json_text){.p = run, .max_char = 0x7f};
    for (;;) {
        if (high != 0) {
            size_t chars;
            uint32_t max_char;
            struct wf_span s = wf_span(run, (size_t)(q - run));
            if (!wf_utf8_check(s, &chars, &max_char)) {
                *p = utf8_stops_at(run, q);
                return WF_JSON_UTF8;
            }
            t->chars += chars;
            t->max_char = WF_MAX(t->max_char, max_char);
        } else {
            t->chars += (size_t)(q - run);
        }
        if (q == end) {
            *p = end;
            return WF_JSON_STRING_END;
        }
        if (*q == '"') {
            t->n = (size_t)(q - t->p);
            *p = q + 1;
            return WF_JSON_OK;
        }
        if (*q != '\\') {
            *p = q;
            return WF_JSON_STRING_CONTROL;
        }
        do { /* escapes often come one after the other */
            uint32_t c;
            enum wf_json_error e = read_escape(&q, end, flags, &c);
            if (e != WF_JSON_OK) {
                *p = q;
                return e;
            }
            t->chars++;
            t->max_char = WF_MAX(t->max_char, char_class(c));
        } while (q < end && *q == '\\');
        t->escaped = true;
        run = q;
        high = 0;
        q = wf_json_plain(q, end, &high);
    }
}

/* One unit of the output. `width` is a constant wherever this is inlined. */
WF_ALWAYS_INLINE void put(void *out, size_t i, uint32_t c, unsigned width) {
    if (width == 1) {
        ((uint8_t *)out)[i] = (uint8_t)c;
    } else if (width == 2) {
        ((uint16_t *)out)[i] = (uint16_t)c;
    } else {
        ((uint32_t *)out)[i] = c;
    }
}

#if defined(__SSE2__)
/* Widens 16 bytes of ASCII. */
WF_ALWAYS_INLINE void put16(void *out, size_t i, __m128i v, unsigned width) {
    const __m128i zero = _mm_setzero_si128();
    __m128i *d = (__m128i *)((char *)out + i * width);
    if (width == 1) {
        _mm_storeu_si128(d, v);
        return;
    }
    __m128i low = _mm_unpacklo_epi8(v, zero), high = _mm_unpackhi_epi8(v, zero);
    if (width == 2) {
        _mm_storeu_si128(d, low);
        _mm_storeu_si128(d + 1, high);
    } else {
        _mm_storeu_si128(d, _mm_unpacklo_epi16(low, zero));
        _mm_storeu_si128(d + 1, _mm_unpackhi_epi16(low, zero));
        _mm_storeu_si128(d + 2, _mm_unpacklo_epi16(high, zero));
        _mm_storeu_si128(d + 3, _mm_unpackhi_epi16(high, zero));
    }
}
#endif

/* The text was checked when it was measured, so nothing here can fail or read past its end. */
WF_ALWAYS_INLINE void copy_as(const struct wf_json_text *t, void *out, unsigned width) {
    const char *p = t->p, *end = t->p + t->n;
    size_t i = 0;
    while (p < end) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x80) {
            if (c == '\\') {
                uint32_t u = (unsigned char)simple_escapes[(unsigned char)p[1]];
                if (u != 0) {
                    p += 2;
                } else {
                    enum wf_json_error e = read_escape(&p, end, WF_JSON_SURROGATES, &u);
                    WF_ASSERT(e == WF_JSON_OK);
                    (void)e;
                }
                put(out, i++, u, width);
                continue;
            }
#if defined(__SSE2__)
            /* 16 at once, of which those before the next that is special count: the others are
             * written over. Both sides must have room for 16. */
            if (end - p >= 16 && t->chars - i >= 16) {
                __m128i v = _mm_loadu_si128((const __m128i *)p);
                __m128i backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
                unsigned stop = (unsigned)_mm_movemask_epi8(_mm_or_si128(v, backslash));
                unsigned n = stop == 0 ? 16 : (unsigned)__builtin_ctz(stop);
                put16(out, i, v, width);
                p += n;
                i += n;
                continue;
            }
#endif
            put(out, i++, c, width);
            p++;
        } else if (c < 0xe0) {
            put(out, i++, (c & 0x1fu) << 6 | (p[1] & 0x3fu), width);
            p += 2;
        } else if (c < 0xf0) {
            put(out, i++, (c & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu), width);
            p += 3;
        } else {
            put(out, i++,
                (c & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu),
                width);
            p += 4;
        }
    }
    WF_ASSERT(i == t->chars);
}

#ifdef __x86_64__

#define AVX512                                                                                     \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,popcnt,bmi,bmi2")))

static inline bool has_avx512(void) {
    return __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

AVX512 static inline __m512i low_bits(__m512i c, unsigned from, int mask, unsigned to) {
    __m512i bits = _mm512_and_si512(_mm512_srli_epi32(c, from), _mm512_set1_epi32(mask));
    return _mm512_slli_epi32(bits, to);
}

/* The characters whose up to four bytes stand in 16 lanes, the first one lowest. */
AVX512 static inline __m512i decode16(__m512i c) {
    __m512i first = _mm512_and_si512(c, _mm512_set1_epi32(0xff));
    __m512i second = low_bits(c, 8, 0x3f, 0), third = low_bits(c, 16, 0x3f, 0);
    __mmask16 two = _mm512_cmpge_epu32_mask(first, _mm512_set1_epi32(0xc0));
    __mmask16 three = _mm512_cmpge_epu32_mask(first, _mm512_set1_epi32(0xe0));
    __mmask16 four = _mm512_cmpge_epu32_mask(first, _mm512_set1_epi32(0xf0));
    __m512i v = first;
    v = _mm512_mask_or_epi32(v, two, low_bits(c, 0, 0x1f, 6), second);
    if (three != 0) {
        __m512i tail = _mm512_or_si512(_mm512_slli_epi32(second, 6), third);
        v = _mm512_mask_or_epi32(v, three, low_bits(c, 0, 0x0f, 12), tail);
        if (four != 0) {
            tail = _mm512_or_si512(_mm512_slli_epi32(tail, 6), low_bits(c, 24, 0x3f, 0));
            v = _mm512_mask_or_epi32(v, four, low_bits(c, 0, 0x07, 18), tail);
        }
    }
    return v;
}

/* Text without escapes, up to 64 bytes at a time: where characters begin is a mask, which brings
 * their places together, and these bring each one's bytes into a lane. */
AVX512 static void copy_unescaped(const struct wf_json_text *t, void *out, unsigned width) {
    const __m512i places = _mm512_set_epi8(
        63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41,
        40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18,
        17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i following = _mm512_set1_epi32(0x03020100);
    const char *p = t->p, *end = t->p + t->n;
    size_t i = 0;
    while (p < end) {
        size_t left = (size_t)(end - p), whole = WF_MIN(left, (size_t)61); /* 3 may follow */
        __mmask64 readable = left >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << left) - 1;
        __m512i bytes = _mm512_maskz_loadu_epi8(readable, p);
        __mmask64 starts =
            _mm512_cmpge_epi8_mask(bytes, _mm512_set1_epi8(-64)) & (((__mmask64)1 << whole) - 1);
        __m512i begin = _mm512_maskz_compress_epi8(starts, places);
        unsigned n = (unsigned)_mm_popcnt_u64(starts);
        for (unsigned done = 0; done < n; done += 16) {
            __m512i at = _mm512_cvtepu8_epi32(_mm512_castsi512_si128(begin));
            begin = _mm512_alignr_epi64(begin, begin, 2);
            at = _mm512_add_epi32(
                _mm512_shuffle_epi8(at, _mm512_set_epi8(12, 12, 12, 12, 8, 8, 8, 8, 4, 4, 4, 4, 0,
                                                        0, 0, 0, 12, 12, 12, 12, 8, 8, 8, 8, 4, 4,
                                                        4, 4, 0, 0, 0, 0, 12, 12, 12, 12, 8, 8, 8,
                                                        8, 4, 4, 4, 4, 0, 0, 0, 0, 12, 12, 12, 12,
                                                        8, 8, 8, 8, 4, 4, 4, 4, 0, 0, 0, 0)),
                following);
            __m512i c = decode16(_mm512_permutexvar_epi8(at, bytes));
            unsigned m = WF_MIN(n - done, 16u);
            __mmask16 lanes = (__mmask16)((1u << m) - 1);
            if (width == 1) {
                _mm_mask_storeu_epi8((uint8_t *)out + i, lanes, _mm512_cvtepi32_epi8(c));
            } else if (width == 2) {
                _mm256_mask_storeu_epi16((uint16_t *)out + i, lanes, _mm512_cvtepi32_epi16(c));
            } else {
                _mm512_mask_storeu_epi32((uint32_t *)out + i, lanes, c);
            }
            i += m;
        }
        /* the last of them may end behind the block */
        p += whole;
        while (p < end && ((unsigned char)*p & 0xc0) == 0x80) {
            p++;
        }
    }
    WF_ASSERT(i == t->chars);
}

#else

static inline bool has_avx512(void) {
    return false;
}

static void copy_unescaped(const struct wf_json_text *t, void *out, unsigned width) {
}

#endif

void wf_json_text_copy(const struct wf_json_text *t, void *out, unsigned width) {
    if (!t->escaped && has_avx512()) {
        copy_unescaped(t, out, width);
    } else {
        wf_json_text_copy_plain(t, out, width);
    }
}

void wf_json_text_copy_plain(const struct wf_json_text *t, void *out, unsigned width) {
    switch (width) {
    case 1:
        copy_as(t, out, 1);
        break;
    case 2:
        copy_as(t, out, 2);
        break;
    default:
        copy_as(t, out, 4);
        break;
    }
}

/* ---- reading and unescaping at once ---- */

/* Unescapes what *s is at, a backslash. 0, or -1 where the result is not ASCII or the escape is not
 * right. */
static inline int unescape_one(const char **s, const char *end, char *out) {
    const char *p = *s;
    char c = end - p >= 2 ? simple_escapes[(unsigned char)p[1]] : 0;
    if (wf_likely(c != 0)) {
        *out = c;
        *s = p + 2;
        return 0;
    }
    int32_t u = end - p >= 6 && p[1] == 'u' ? hex4(p + 2, end) : -1;
    if (u < 0 || u > 0x7f) {
        return -1;
    }
    *out = (char)u;
    *s = p + 6;
    return 0;
}

#if defined(__SSE2__)

/* Copies [s, at) by 16 bytes; up to 16 more are read and written. */
static inline char *copy_run(char *d, const char *s, const char *at) {
    for (;; s += 16, d += 16) {
        _mm_storeu_si128((__m128i *)d, _mm_loadu_si128((const __m128i *)s));
        if (at - s <= 16) {
            return d + (at - s);
        }
    }
}

/* 64 bytes from *p on, and what an escape among them reaches over; 16 more are readable. What is
 * special is found for all 64 at once. */
static inline enum wf_json_unescaped unescape_block64(const char **p, const char *end, char **out) {
    const char *s = *p, *start = s;
    char *d = *out;
    uint64_t special = 0, high = 0;
    for (unsigned i = 0; i < 4; i++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(s + 16 * i));
        special |= (uint64_t)wf_json_special16(v) << 16 * i;
        high |= (uint64_t)(unsigned)_mm_movemask_epi8(v) << 16 * i;
    }
    enum wf_json_unescaped result = WF_JSON_UNESCAPE_FULL;
    while (special != 0) {
        unsigned i = (unsigned)__builtin_ctzll(special);
        const char *at = start + i;
        d = copy_run(d, s, at);
        s = at;
        if (*at != '\\') {
            if (*at != '"') {
                return WF_JSON_UNESCAPE_ODD;
            }
            high &= special ^ (special - 1); /* only what is in front of the quote counts */
            s++;
            result = WF_JSON_UNESCAPED;
            break;
        }
        if (unescape_one(&s, end, d++) < 0) {
            return WF_JSON_UNESCAPE_ODD;
        }
        special &= ~(UINT64_C(3) << i); /* it and what is behind it; hex digits are none */
    }
    if (high != 0) {
        return WF_JSON_UNESCAPE_ODD;
    }
    if (result != WF_JSON_UNESCAPED && s < start + 64) {
        d = copy_run(d, s, start + 64);
        s = start + 64;
    }
    *p = s;
    *out = d;
    return result;
}

#endif

enum wf_json_unescaped wf_json_unescape(const char **p, const char *end, char **out,
                                        const char *out_end) {
    while (out_end - *out >= WF_JSON_UNESCAPE_ROOM) {
#if defined(__SSE2__)
        if (end - *p >= 64 + 16) {
            enum wf_json_unescaped result = unescape_block64(p, end, out);
            if (result != WF_JSON_UNESCAPE_FULL) {
                return result;
            }
            continue;
        }
#endif
        if (*p == end) {
            return WF_JSON_UNESCAPE_ODD;
        }
        unsigned char c = (unsigned char)**p;
        if (c == '"') {
            ++*p;
            return WF_JSON_UNESCAPED;
        }
        if (c == '\\') {
            if (unescape_one(p, end, (*out)++) < 0) {
                return WF_JSON_UNESCAPE_ODD;
            }
        } else if (c >= 0x20 && c < 0x80) {
            *(*out)++ = (char)c;
            ++*p;
        } else {
            return WF_JSON_UNESCAPE_ODD;
        }
    }
    return WF_JSON_UNESCAPE_FULL;
}
