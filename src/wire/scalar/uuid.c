#include "wire/scalar/scalar_int.h"

#include "base/check.h"
#include "base/num.h"

static const uint8_t group_length[5] = {8, 4, 4, 4, 12};
/* Where each group starts in 8-4-4-4-12, and where a sixth would. */
static const uint8_t group_start[6] = {0, 9, 14, 19, 24, 37};
enum { HYPHENATED = 36, SIMPLE = 32 };

static const struct wf_span urn = {"urn:uuid:", 9};

static int hex_value(char c) {
    if (scalar_is_digit(c)) {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool starts_with(struct wf_span s, struct wf_span prefix) {
    return s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

static bool is_braced(struct wf_span s) {
    return s.n >= 2 && s.p[0] == '{' && s.p[s.n - 1] == '}';
}

/* What is in braces or behind urn:uuid:, if that has the length it must have. */
static struct wf_span unwrapped(struct wf_span s) {
    if (s.n == HYPHENATED + 2 && is_braced(s)) {
        return wf_span(s.p + 1, HYPHENATED);
    }
    if (s.n == HYPHENATED + urn.n && starts_with(s, urn)) {
        return wf_span(s.p + urn.n, HYPHENATED);
    }
    return s;
}

/* 32 digits, or 36 characters with hyphens, which alone may be wrapped. */
enum wf_scalar_error wf_scalar_uuid(struct wf_span s, uint8_t out[16]) {
    s = unwrapped(s);
    if (s.n != HYPHENATED && s.n != SIMPLE) {
        return WF_SCALAR_UUID_PARSING;
    }
    size_t at = 0;
    for (unsigned i = 0; i < 16; i++) {
        /* Before bytes 4, 6, 8 and 10. */
        if (s.n == HYPHENATED && (i == 4 || i == 6 || i == 8 || i == 10) && s.p[at++] != '-') {
            return WF_SCALAR_UUID_PARSING;
        }
        int high = hex_value(s.p[at]);
        int low = hex_value(s.p[at + 1]);
        if (high < 0 || low < 0) {
            return WF_SCALAR_UUID_PARSING;
        }
        out[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    return WF_SCALAR_OK;
}

size_t wf_uuid_write(char *out, const uint8_t v[16]) {
    static const char hex[] = "0123456789abcdef";
    char *p = out;
    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *p++ = '-';
        }
        *p++ = hex[v[i] >> 4];
        *p++ = hex[v[i] & 15];
    }
    return (size_t)(p - out);
}

/* ---- what was wrong ---- */

struct text {
    char *p;
};

static void put(struct text *t, const char *s, size_t n) {
    memcpy(t->p, s, n);
    t->p += n;
}

#define PUT(t, lit) put(t, lit, sizeof(lit) - 1)

static void put_number(struct text *t, size_t v) {
    t->p += wf_u64_write(t->p, v);
}

/* Bytes of the character at p, and its code point's low byte: all that the uuid crate looks at, so
 * that U+0130 passes for the digit 0 here (though never in a UUID that is accepted). */
static size_t low_byte_of_char(const char *p, size_t left, unsigned char *low) {
    unsigned char c = (unsigned char)p[0];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (n > left) {
        n = 1; /* not UTF-8 then, but never past the end */
    }
    unsigned char last = (unsigned char)p[n - 1];
    *low = n == 1   ? c
           : n == 2 ? (unsigned char)(c << 6 | (last & 0x3f))
                    : (unsigned char)((unsigned char)p[n - 2] << 6 | (last & 0x3f));
    return n;
}

static void put_group(struct text *t, size_t group, size_t found) {
    PUT(t, "invalid group length in group ");
    put_number(t, group);
    PUT(t, ": expected ");
    put_number(t, group_length[group]);
    PUT(t, ", found ");
    put_number(t, found);
}

size_t scalar_uuid_detail(struct wf_span s, char *out) {
    struct text t = {out};
    s = unwrapped(s);
    /* Text without hyphens is taken to be the 32 digits, unless its length or a wrapping says that
     * hyphens were meant. */
    bool hyphenated = s.n == HYPHENATED;
    size_t start = 0;
    size_t end = s.n;
    if (s.n > HYPHENATED + urn.n) {
        end = 0; /* not even looked at */
    } else if (!hyphenated && is_braced(s)) {
        start = 1;
        end = s.n - 1;
        hyphenated = true;
    } else if (!hyphenated && starts_with(s, urn)) {
        start = urn.n;
        hyphenated = true;
    }

    size_t hyphens = 0;
    size_t hyphen_at[4] = {0};
    size_t step;
    for (size_t at = start; at < end; at += step) {
        unsigned char c;
        step = low_byte_of_char(s.p + at, end - at, &c);
        if (c == '-') {
            if (hyphens < 4) {
                hyphen_at[hyphens] = at - start;
            }
            hyphens++;
            hyphenated = true;
        } else if (hex_value((char)c) < 0) {
            PUT(&t, "invalid character: found `");
            put(&t, s.p + at, step);
            PUT(&t, "` at ");
            put_number(&t, at);
            return (size_t)(t.p - out);
        }
    }

    if (!hyphenated) {
        PUT(&t, "invalid length: found ");
        put_number(&t, s.n);
    } else if (hyphens != 4) {
        PUT(&t, "invalid group count: expected 5, found ");
        put_number(&t, hyphens + 1);
    } else {
        size_t group = 0;
        while (group < 4 && hyphen_at[group] == group_start[group + 1] - 1u) {
            group++;
        }
        put_group(&t, group, (group < 4 ? hyphen_at[group] : s.n) - group_start[group]);
    }
    return (size_t)(t.p - out);
}
