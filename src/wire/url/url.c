/* Percent-encoding, query strings, cookies. What Python's urllib.parse, http.cookies and Starlette
 * make of the same bytes is the measure; cases/ holds their answers. */
#include "base/utf8.h"
#include "wire/url/url.h"

static inline int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of the two hex digits at p, or -1. */
static inline int hex_byte(const char *p) {
    int high = hex_digit(p[0]), low = hex_digit(p[1]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* ---- paths ---- */

ssize_t wf_path_decode(char *out, struct wf_span in) {
    const char *p = in.p, *end = in.p + in.n;
    char *o = out;
    while (p < end) {
        const char *percent = memchr(p, '%', (size_t)(end - p));
        size_t plain = (size_t)((percent != NULL ? percent : end) - p);
        memmove(o, p, plain);
        o += plain;
        if (percent == NULL) {
            break;
        }
        int byte = end - percent > 2 ? hex_byte(percent + 1) : -1;
        if (byte < 0) {
            return -1;
        }
        *o++ = (char)byte;
        p = percent + 3;
    }
    size_t n = (size_t)(o - out);
    if (n > 0 && (memchr(out, '\0', n) != NULL || !wf_utf8_valid(wf_span(out, n)))) {
        return -1;
    }
    return (ssize_t)n;
}

/* ---- forms and queries ---- */

#define ONES 0x0101010101010101u

/* Is one of the eight bytes `c`? Zero if not. (The borrow of a subtraction runs through zero bytes
 * only, so bytes below the first match cannot claim one.) */
static inline uint64_t has_byte(uint64_t v, unsigned char c) {
    uint64_t x = v ^ ONES * c;
    return (x - ONES) & ~x & ONES << 7;
}

/* How many leading bytes are neither '%' nor '+'. */
static size_t plain_prefix(const char *p, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t v;
        memcpy(&v, p + i, 8);
        if ((has_byte(v, '%') | has_byte(v, '+')) != 0) {
            break;
        }
    }
    while (i < n && p[i] != '%' && p[i] != '+') {
        i++;
    }
    return i;
}

bool wf_form_escaped(struct wf_span s) {
    return plain_prefix(s.p, s.n) < s.n;
}

size_t wf_form_decode(char *out, struct wf_span in) {
    const char *p = in.p, *end = in.p + in.n;
    char *o = out;
    while (p < end) {
        size_t plain = plain_prefix(p, (size_t)(end - p));
        memmove(o, p, plain);
        o += plain;
        p += plain;
        while (p < end && (*p == '%' || *p == '+')) {
            int byte = *p == '%' && end - p > 2 ? hex_byte(p + 1) : -1;
            if (byte >= 0) {
                *o++ = (char)byte;
                p += 3;
            } else {
                *o++ = *p == '+' ? ' ' : '%';
                p++;
            }
        }
    }
    return (size_t)(o - out);
}

/* Splits q at the next `separator`. false when nothing is left. */
static bool next_piece(struct wf_query *q, char separator, struct wf_span *piece) {
    if (q->p == q->end) {
        return false;
    }
    size_t left = (size_t)(q->end - q->p);
    const char *stop = memchr(q->p, separator, left);
    *piece = wf_span(q->p, stop != NULL ? (size_t)(stop - q->p) : left);
    q->p = stop != NULL ? stop + 1 : q->end;
    return true;
}

bool wf_query_next(struct wf_query *q, struct wf_span *name, struct wf_span *value) {
    struct wf_span pair;
    while (next_piece(q, '&', &pair)) {
        if (pair.n == 0) {
            continue;
        }
        const char *equals = memchr(pair.p, '=', pair.n);
        size_t n = equals != NULL ? (size_t)(equals - pair.p) : pair.n;
        *name = wf_span(pair.p, n);
        *value = equals != NULL ? wf_span(equals + 1, pair.n - n - 1) : wf_span(pair.p + n, 0);
        return true;
    }
    return false;
}

/* ---- cookies ---- */

/* What str.strip takes away from latin-1 text. */
static inline bool is_space(char c) {
    unsigned char b = (unsigned char)c;
    return b == ' ' || (b >= 0x09 && b <= 0x0d) || (b >= 0x1c && b <= 0x1f) || b == 0x85 ||
           b == 0xa0;
}

static struct wf_span strip(struct wf_span s) {
    while (s.n > 0 && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_space(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

bool wf_cookie_next(struct wf_query *q, struct wf_span *name, struct wf_span *value) {
    struct wf_span pair;
    while (next_piece(q, ';', &pair)) {
        const char *equals = memchr(pair.p, '=', pair.n);
        size_t n = equals != NULL ? (size_t)(equals - pair.p) : 0;
        *name = strip(wf_span(pair.p, n));
        *value = strip(equals != NULL ? wf_span(equals + 1, pair.n - n - 1) : pair);
        if (name->n > 0 || value->n > 0) {
            return true;
        }
    }
    return false;
}

static inline bool is_octal(char c, char most) {
    return c >= '0' && c <= most;
}

size_t wf_cookie_unquote(char *out, struct wf_span in) {
    if (in.n < 2 || in.p[0] != '"' || in.p[in.n - 1] != '"') {
        if (in.n > 0) {
            memmove(out, in.p, in.n);
        }
        return in.n;
    }
    const char *p = in.p + 1, *end = in.p + in.n - 1;
    char *o = out;
    while (p < end) {
        if (*p != '\\' || end - p < 2 || p[1] == '\n') {
            *o++ = *p++;
        } else if (end - p > 3 && is_octal(p[1], '3') && is_octal(p[2], '7') &&
                   is_octal(p[3], '7')) {
            *o++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
            p += 4;
        } else {
            *o++ = p[1];
            p += 2;
        }
    }
    return (size_t)(o - out);
}
