/* Strings that are more than plain ASCII: measuring and checking them, then unescaping them. Also
 * the sentences and positions of errors. */
#include "wire/json/json_scan.h"

#include "base/utf8.h"

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

static int hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four hex digits at p, or -1. */
static int32_t hex4(const char *p, const char *end) {
    if (end - p < 4) {
        return -1;
    }
    int32_t v = 0;
    for (int i = 0; i < 4; i++) {
        int h = hex_value(p[i]);
        if (h < 0) {
            return -1;
        }
        v = v << 4 | h;
    }
    return v;
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

void wf_json_text_copy(const struct wf_json_text *t, void *out, unsigned width) {
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
