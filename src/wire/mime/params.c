/* Parameters of header fields: `value; name=token; name="quoted"; name*=UTF-8''percent`. */
#include "wire/mime/mime.h"

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct wf_span trim(struct wf_span s) {
    while (s.n != 0 && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n != 0 && is_space(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

/* Bytes up to the next ';' outside of quotes. */
static size_t section(struct wf_span s) {
    bool quoted = false;
    for (size_t i = 0; i < s.n; i++) {
        if (quoted && s.p[i] == '\\' && i + 1 < s.n && (s.p[i + 1] == '"' || s.p[i + 1] == '\\')) {
            i++;
        } else if (s.p[i] == '"') {
            quoted = !quoted;
        } else if (s.p[i] == ';' && !quoted) {
            return i;
        }
    }
    return s.n;
}

struct wf_span wf_mime_value(struct wf_span field) {
    return trim(wf_span(field.p, section(field)));
}

/* The raw value of the last parameter of that name; p is NULL where there is none. */
static struct wf_span find(struct wf_span field, struct wf_span lower) {
    struct wf_span found = wf_span(NULL, 0);
    for (size_t n = section(field); n < field.n; n = section(field)) {
        field = wf_span(field.p + n + 1, field.n - n - 1);
        struct wf_span pair = wf_span(field.p, section(field));
        const char *equals = pair.n != 0 ? memchr(pair.p, '=', pair.n) : NULL;
        if (equals == NULL) {
            continue;
        }
        size_t at = (size_t)(equals - pair.p);
        if (wf_span_eq_lower(trim(wf_span(pair.p, at)), lower)) {
            found = trim(wf_span(equals + 1, pair.n - at - 1));
        }
    }
    return found;
}

ssize_t wf_mime_param(struct wf_span field, struct wf_span lower, char *out) {
    struct wf_span v = find(field, lower);
    if (v.p == NULL) {
        return -1;
    }
    if (v.n < 2 || v.p[0] != '"' || v.p[v.n - 1] != '"') {
        memcpy(out, v.p, v.n);
        return (ssize_t)v.n;
    }
    size_t n = 0;
    for (size_t i = 1; i + 1 < v.n; i++) {
        if (v.p[i] == '\\' && i + 2 < v.n && (v.p[i + 1] == '"' || v.p[i + 1] == '\\')) {
            i++;
        }
        out[n++] = v.p[i];
    }
    return (ssize_t)n;
}

static int hex(char c) {
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

static size_t put_latin1(char *out, unsigned char c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

ssize_t wf_mime_ext_param(struct wf_span field, struct wf_span lower, char *out) {
    struct wf_span v = find(field, lower);
    if (v.n == 0) {
        return -1;
    }
    const char *quote = memchr(v.p, '\'', v.n), *end = v.p + v.n;
    const char *second = quote != NULL && quote + 1 < end
                             ? memchr(quote + 1, '\'', (size_t)(end - quote - 1))
                             : NULL;
    if (second == NULL) {
        return -1;
    }
    struct wf_span charset = wf_span(v.p, (size_t)(quote - v.p));
    bool latin1 = wf_span_eq_lower(charset, WF_SPAN("iso-8859-1"));
    if (!latin1 && !wf_span_eq_lower(charset, WF_SPAN("utf-8"))) {
        return -1;
    }
    size_t n = 0;
    for (const char *p = second + 1; p < end; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '%' && end - p > 2 && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
            c = (unsigned char)(hex(p[1]) << 4 | hex(p[2]));
            p += 2;
        }
        if (latin1) {
            n += put_latin1(out + n, c);
        } else {
            out[n++] = (char)c;
        }
    }
    return (ssize_t)n;
}
