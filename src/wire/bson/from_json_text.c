/* What is in the texts of Extended JSON: UTF-8, numbers, digits, dates, base64. */
#include "base/num.h"
#include "wire/bson/bson.h"
#include "wire/bson/date.h"
#include "wire/bson/from_json_int.h"
#include "wire/scalar/scalar.h"

static unsigned hex_digit(char c) {
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

static uint32_t hex4(const char *p) {
    return hex_digit(p[0]) << 12 | hex_digit(p[1]) << 8 | hex_digit(p[2]) << 4 | hex_digit(p[3]);
}

/* Unescapes a text, which was checked when it was read, into UTF-8. That is never longer than the
 * text itself. Returns the bytes written. */
size_t text_unescape(const struct wf_json_text *t, char *out) {
    if (!t->escaped) {
        memcpy(out, t->p, t->n);
        return t->n;
    }
    const char *p = t->p, *end = t->p + t->n;
    char *d = out;
    while (p < end) {
        if (*p != '\\') {
            *d++ = *p++;
            continue;
        }
        char c = p[1];
        p += 2;
        if (c != 'u') {
            *d++ = c == 'b'   ? '\b'
                   : c == 'f' ? '\f'
                   : c == 'n' ? '\n'
                   : c == 'r' ? '\r'
                   : c == 't' ? '\t'
                              : c;
            continue;
        }
        uint32_t u = hex4(p);
        p += 4;
        if ((u & 0xfc00) == 0xd800) {
            u = 0x10000 + ((u & 0x3ff) << 10) + (hex4(p + 2) & 0x3ff);
            p += 6;
        }
        if (u < 0x80) {
            *d++ = (char)u;
        } else if (u < 0x800) {
            *d++ = (char)(0xc0 | u >> 6);
            *d++ = (char)(0x80 | (u & 0x3f));
        } else if (u < 0x10000) {
            *d++ = (char)(0xe0 | u >> 12);
            *d++ = (char)(0x80 | (u >> 6 & 0x3f));
            *d++ = (char)(0x80 | (u & 0x3f));
        } else {
            *d++ = (char)(0xf0 | u >> 18);
            *d++ = (char)(0x80 | (u >> 12 & 0x3f));
            *d++ = (char)(0x80 | (u >> 6 & 0x3f));
            *d++ = (char)(0x80 | (u & 0x3f));
        }
    }
    return (size_t)(d - out);
}

/* Text of a few characters into `buf`; too long gives a span that is nothing. */
struct wf_span text_short(const struct wf_json_text *t, char buf[SHORT_MAX]) {
    return t->n <= SHORT_MAX ? wf_span(buf, text_unescape(t, buf)) : wf_span("", 0);
}

bool text_is(const struct wf_json_text *t, const char *s) {
    char buf[SHORT_MAX];
    return wf_span_eq(text_short(t, buf), wf_span_str(s));
}

/* Appends the text as UTF-8. */
bool text_put_utf8(struct reader *r, const struct wf_json_text *t) {
    if (!check(r, wf_buf_reserve(r->out, t->n + 1))) {
        return false;
    }
    r->out->len += text_unescape(t, r->out->p + r->out->len);
    return true;
}

/* string: length, bytes, NUL */
bool text_put_string(struct reader *r, const struct wf_json_text *t) {
    size_t start = r->out->len;
    if (!put32(r, 0) || !text_put_utf8(r, t) || !check(r, wf_buf_append_byte(r->out, 0))) {
        return false;
    }
    size_t n = r->out->len - start - 4;
    if (n > WF_BSON_BYTES_MAX) {
        return fail(r, WF_BSON_ERROR_FULL, r->p);
    }
    wf_bson_store32(r->out->p + start, (uint32_t)n);
    return true;
}

/* cstring: bytes without a NUL, NUL */
bool text_put_cstring(struct reader *r, const struct wf_json_text *t) {
    size_t start = r->out->len;
    if (!text_put_utf8(r, t)) {
        return false;
    }
    if (r->out->len != start && memchr(r->out->p + start, 0, r->out->len - start) != NULL) {
        return fail(r, WF_BSON_ERROR_NUL, t->p);
    }
    return check(r, wf_buf_append_byte(r->out, 0));
}

/* ---- values in text ---- */

/* All of s as -?digits within [min, max]. */
bool text_int(struct wf_span s, int64_t min, int64_t max, int64_t *out) {
    bool negative = s.n != 0 && *s.p == '-';
    size_t i = negative;
    int64_t v = 0;
    for (; i < s.n; i++) {
        int digit = s.p[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, negative ? -digit : digit, &v)) {
            return false;
        }
    }
    *out = v;
    return s.n > (size_t)negative && v >= min && v <= max;
}

bool text_double(struct wf_span s, double *out) {
    if (wf_span_eq(s, WF_SPAN("NaN"))) {
        *out = __builtin_nan("");
    } else if (wf_span_eq(s, WF_SPAN("Infinity"))) {
        *out = __builtin_inf();
    } else if (wf_span_eq(s, WF_SPAN("-Infinity"))) {
        *out = -__builtin_inf();
    } else {
        const char *end = s.n == 0 ? NULL : wf_double_read(s.p, s.p + s.n, out);
        return end != NULL && end == s.p + s.n; /* too large is infinite, as in Python */
    }
    return true;
}

bool text_hex(struct wf_span s, size_t n, char *out) {
    if (s.n != 2 * n) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], lower = (char)(c | 0x20);
        if (!wf_json_is_digit(c) && (lower < 'a' || lower > 'f')) {
            return false;
        }
        out[i / 2] = (char)(i % 2 == 0 ? hex_digit(c) << 4 : (unsigned)out[i / 2] | hex_digit(c));
    }
    return true;
}

bool wf_bson_read_objectid(struct wf_span text, char id[12]) {
    return text_hex(text, 12, id);
}

/* YYYY-MM-DDThh:mm:ss[.fff][Z|offset]; UTC without either */
bool text_date(struct wf_span s, int64_t *ms) {
    struct wf_datetime v;
    if (s.n < 19 || s.p[4] != '-' || s.p[10] != 'T' || s.p[16] != ':' ||
        wf_scalar_datetime(s, &v) != WF_SCALAR_OK) {
        return false;
    }
    struct wf_bson_date d = {.year = v.date.year,
                             .month = v.date.month,
                             .day = v.date.day,
                             .hour = v.time.hour,
                             .minute = v.time.minute,
                             .second = v.time.second,
                             .millisecond = (int)(v.time.microsecond / 1000)};
    *ms = wf_bson_date_to_ms(&d) - (v.time.has_offset ? (int64_t)v.time.offset_s * 1000 : 0);
    return true;
}
