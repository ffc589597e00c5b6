/* Extended JSON to BSON, in one pass over the text.
 *
 * An element's type is known only behind its name, so the type's byte is written first and set once
 * its value has been seen (`type_at`). An object whose first key is one of Extended JSON's is a
 * value; the three keys that are query operators as well ($regex, $options, $type) are values only
 * where all of the object fits, else documents. */
#include "base/num.h"
#include "wire/bson/bson_read.h"
#include "wire/bson/bson_write.h"
#include "wire/bson/date.h"
#include "wire/json/json_scan.h"
#include "wire/scalar/scalar.h"

#define EXTENDED_KEYS(X)                                                                           \
    X(OID, "$oid")                                                                                 \
    X(SYMBOL, "$symbol")                                                                           \
    X(INT, "$numberInt")                                                                           \
    X(LONG, "$numberLong")                                                                         \
    X(DOUBLE, "$numberDouble")                                                                     \
    X(DECIMAL, "$numberDecimal")                                                                   \
    X(BINARY, "$binary")                                                                           \
    X(UUID, "$uuid")                                                                               \
    X(CODE, "$code")                                                                               \
    X(SCOPE, "$scope")                                                                             \
    X(TIMESTAMP, "$timestamp")                                                                     \
    X(REGULAR_EXPRESSION, "$regularExpression")                                                    \
    X(DBPOINTER, "$dbPointer")                                                                     \
    X(DATE, "$date")                                                                               \
    X(MINKEY, "$minKey")                                                                           \
    X(MAXKEY, "$maxKey")                                                                           \
    X(UNDEFINED, "$undefined")                                                                     \
    X(REGEX, "$regex")                                                                             \
    X(OPTIONS, "$options")                                                                         \
    X(TYPE, "$type")

enum key {
#define X(id, text) KEY_##id,
    EXTENDED_KEYS(X)
#undef X
        KEY_NONE
};

enum { SHORT_MAX = 128 }; /* text of numbers, dates and ids; longer is none of them */

struct reader {
    const char *p, *end;
    struct wf_buf *out;       /* borrowed */
    enum wf_bson_error error; /* what went wrong, at `at` */
    enum wf_json_error json;
    const char *at;
};

/* All readers: true, or false with the error set. */

static bool fail(struct reader *r, enum wf_bson_error e, const char *at) {
    r->error = e;
    r->at = at;
    return false;
}

static bool fail_json(struct reader *r, enum wf_json_error e, const char *at) {
    r->json = e;
    return fail(r, WF_BSON_ERROR_JSON, at);
}

static bool check(struct reader *r, int rc) {
    return wf_likely(rc == WF_BUF_OK) ||
           fail(r, rc == WF_BUF_FULL ? WF_BSON_ERROR_FULL : WF_BSON_ERROR_NOMEM, r->p);
}

static void set_type(struct reader *r, size_t type_at, enum wf_bson_type type) {
    r->out->p[type_at] = (char)type;
}

static bool put32(struct reader *r, uint32_t v) {
    char b[4];
    wf_bson_store32(b, v);
    return check(r, wf_buf_append(r->out, b, 4));
}

static bool put64(struct reader *r, uint64_t v) {
    char b[8];
    wf_bson_store64(b, v);
    return check(r, wf_buf_append(r->out, b, 8));
}

/* ---- text ---- */

static bool skip_space(struct reader *r) {
    r->p = wf_json_skip_space(r->p, r->end);
    return r->p < r->end || fail_json(r, WF_JSON_END, r->p);
}

static bool expect(struct reader *r, char c, enum wf_json_error e) {
    if (!skip_space(r)) {
        return false;
    }
    if (*r->p != c) {
        return fail_json(r, e, r->p);
    }
    r->p++;
    return true;
}

/* The string at r->p, which is a quote. */
static bool read_text(struct reader *r, struct wf_json_text *t) {
    r->p++;
    enum wf_json_error e = wf_json_text_read(&r->p, r->end, 0, t);
    return e == WF_JSON_OK || fail_json(r, e, r->p);
}

static bool read_key(struct reader *r, struct wf_json_text *t) {
    if (!skip_space(r)) {
        return false;
    }
    if (*r->p != '"') {
        return fail_json(r, WF_JSON_KEY, r->p);
    }
    return read_text(r, t) && expect(r, ':', WF_JSON_COLON) && skip_space(r);
}

/* A string where Extended JSON wants one. */
static bool read_string_value(struct reader *r, struct wf_json_text *t) {
    if (!skip_space(r)) {
        return false;
    }
    return *r->p == '"' ? read_text(r, t) : fail(r, WF_BSON_ERROR_EXTENDED, r->p);
}

static unsigned hex_digit(char c) {
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

static uint32_t hex4(const char *p) {
    return hex_digit(p[0]) << 12 | hex_digit(p[1]) << 8 | hex_digit(p[2]) << 4 | hex_digit(p[3]);
}

/* Unescapes a text, which was checked when it was read, into UTF-8. That is never longer than the
 * text itself. Returns the bytes written. */
static size_t unescape(const struct wf_json_text *t, char *out) {
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
static struct wf_span short_text(const struct wf_json_text *t, char buf[SHORT_MAX]) {
    return t->n <= SHORT_MAX ? wf_span(buf, unescape(t, buf)) : wf_span("", 0);
}

static bool text_is(const struct wf_json_text *t, const char *s) {
    char buf[SHORT_MAX];
    return wf_span_eq(short_text(t, buf), wf_span_str(s));
}

/* Appends the text as UTF-8. */
static bool put_utf8(struct reader *r, const struct wf_json_text *t) {
    if (!check(r, wf_buf_reserve(r->out, t->n + 1))) {
        return false;
    }
    r->out->len += unescape(t, r->out->p + r->out->len);
    return true;
}

/* string: length, bytes, NUL */
static bool put_string(struct reader *r, const struct wf_json_text *t) {
    size_t start = r->out->len;
    if (!put32(r, 0) || !put_utf8(r, t) || !check(r, wf_buf_append_byte(r->out, 0))) {
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
static bool put_cstring(struct reader *r, const struct wf_json_text *t) {
    size_t start = r->out->len;
    if (!put_utf8(r, t)) {
        return false;
    }
    if (r->out->len != start && memchr(r->out->p + start, 0, r->out->len - start) != NULL) {
        return fail(r, WF_BSON_ERROR_NUL, t->p);
    }
    return check(r, wf_buf_append_byte(r->out, 0));
}

/* ---- values in text ---- */

/* All of s as -?digits within [min, max]. */
static bool parse_int(struct wf_span s, int64_t min, int64_t max, int64_t *out) {
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

static bool parse_double(struct wf_span s, double *out) {
    if (wf_span_eq(s, WF_SPAN("NaN"))) {
        *out = __builtin_nan("");
    } else if (wf_span_eq(s, WF_SPAN("Infinity"))) {
        *out = __builtin_inf();
    } else if (wf_span_eq(s, WF_SPAN("-Infinity"))) {
        *out = -__builtin_inf();
    } else {
        const char *end = s.n == 0 ? NULL : wf_double_read(s.p, s.p + s.n, out);
        return end != NULL && end == s.p + s.n && !__builtin_isinf(*out);
    }
    return true;
}

static bool parse_hex(struct wf_span s, size_t n, char *out) {
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

/* YYYY-MM-DDThh:mm:ss[.fff](Z|offset) */
static bool parse_date(struct wf_span s, int64_t *ms) {
    struct wf_datetime v;
    if (s.n < 20 || s.p[4] != '-' || s.p[10] != 'T' || s.p[16] != ':' ||
        wf_scalar_datetime(s, &v) != WF_SCALAR_OK || !v.time.has_offset) {
        return false;
    }
    struct wf_bson_date d = {.year = v.date.year,
                             .month = v.date.month,
                             .day = v.date.day,
                             .hour = v.time.hour,
                             .minute = v.time.minute,
                             .second = v.time.second,
                             .millisecond = (int)(v.time.microsecond / 1000)};
    *ms = wf_bson_date_to_ms(&d) - (int64_t)v.time.offset_s * 1000;
    return true;
}

static const signed char base64_values[256] = {
    /* one more than the value, so that 0 is no letter */
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* Decodes n bytes in place; returns how many there are then, or -1. */
static ptrdiff_t base64_decode(char *p, size_t n) {
    if (n % 4 != 0) {
        return -1;
    }
    size_t padding = n == 0 ? 0 : (size_t)(p[n - 1] == '=') + (p[n - 1] == '=' && p[n - 2] == '=');
    char *d = p;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t v = 0;
        size_t letters = i + 4 == n ? 4 - padding : 4;
        for (size_t j = 0; j < 4; j++) {
            int letter = j < letters ? base64_values[(unsigned char)p[i + j]] : 1;
            if (letter == 0) {
                return -1;
            }
            v = v << 6 | (uint32_t)(letter - 1);
        }
        for (size_t j = 0; j + 1 < letters; j++) {
            *d++ = (char)(v >> (16 - 8 * j));
        }
    }
    return d - p;
}

/* ---- Extended JSON's objects ----
 * Each has read the first key, and reads the rest with the closing brace. */

static bool read_value(struct reader *r, size_t type_at, unsigned depth);
static bool read_document(struct reader *r, unsigned depth);

static enum key find_key(const struct wf_json_text *t) {
    static const char *const names[] = {
#define X(id, text) text,
        EXTENDED_KEYS(X)
#undef X
    };
    char buf[SHORT_MAX];
    struct wf_span s = short_text(t, buf);
    if (s.n == 0 || *s.p != '$') {
        return KEY_NONE;
    }
    unsigned i = 0;
    while (i < KEY_NONE && !wf_span_eq(s, wf_span_str(names[i]))) {
        i++;
    }
    return (enum key)i;
}

/* The brace that ends the value; another member is one too many. */
static bool read_close(struct reader *r) {
    if (!skip_space(r)) {
        return false;
    }
    if (*r->p != '}') {
        return *r->p == ',' ? fail(r, WF_BSON_ERROR_EXTENDED, r->p)
                            : fail_json(r, WF_JSON_COMMA, r->p);
    }
    r->p++;
    return true;
}

/* An object of exactly two strings, in either order: {"first": t[0], "second": t[1]}. */
static bool read_pair(struct reader *r, const char *first, const char *second,
                      struct wf_json_text t[2]) {
    if (*r->p != '{') {
        return fail(r, WF_BSON_ERROR_EXTENDED, r->p);
    }
    r->p++;
    bool seen[2] = {false, false};
    for (int i = 0; i < 2; i++) {
        struct wf_json_text key;
        if ((i == 1 && !expect(r, ',', WF_JSON_COMMA)) || !read_key(r, &key)) {
            return false;
        }
        int which = text_is(&key, first) ? 0 : 1;
        if (seen[which] || (which == 1 && !text_is(&key, second))) {
            return fail(r, WF_BSON_ERROR_EXTENDED, key.p);
        }
        seen[which] = true;
        if (!read_string_value(r, &t[which])) {
            return false;
        }
    }
    return read_close(r);
}

static bool put_regex(struct reader *r, size_t type_at, const struct wf_json_text *pattern,
                      const struct wf_json_text *options) {
    set_type(r, type_at, WF_BSON_REGEX);
    if (!put_cstring(r, pattern)) {
        return false;
    }
    size_t start = r->out->len;
    if (!put_cstring(r, options)) {
        return false;
    }
    /* their order is alphabetical in BSON */
    char *p = r->out->p + start;
    size_t n = r->out->len - start - 1;
    for (size_t i = 1; n <= 32 && i < n; i++) {
        for (size_t j = i; j > 0 && (unsigned char)p[j - 1] < 0x80 && (unsigned char)p[j] < 0x80 &&
                           p[j - 1] > p[j];
             j--) {
            char c = p[j];
            p[j] = p[j - 1];
            p[j - 1] = c;
        }
    }
    return true;
}

static bool put_binary(struct reader *r, size_t type_at, const struct wf_json_text *base64,
                       const struct wf_json_text *subtype) {
    char buf[SHORT_MAX], padded[2] = {'0', '0'}, byte;
    struct wf_span s = short_text(subtype, buf);
    if (s.n == 1) { /* one digit is read, two are written */
        padded[1] = *s.p;
        s = wf_span(padded, 2);
    }
    if (!parse_hex(s, 1, &byte)) {
        return fail(r, WF_BSON_ERROR_EXTENDED, subtype->p);
    }
    bool old = byte == 2;
    set_type(r, type_at, WF_BSON_BINARY);
    size_t start = r->out->len;
    if (!put32(r, 0) || !check(r, wf_buf_append_byte(r->out, byte)) || (old && !put32(r, 0))) {
        return false;
    }
    size_t bytes = r->out->len;
    if (!put_utf8(r, base64)) {
        return false;
    }
    ptrdiff_t n = base64_decode(r->out->p + bytes, r->out->len - bytes);
    if (n < 0) {
        return fail(r, WF_BSON_ERROR_EXTENDED, base64->p);
    }
    if (n > WF_BSON_BYTES_MAX - 16) {
        return fail(r, WF_BSON_ERROR_FULL, base64->p);
    }
    r->out->len = bytes + (size_t)n;
    wf_bson_store32(r->out->p + start, (uint32_t)(r->out->len - start - 5));
    if (old) {
        wf_bson_store32(r->out->p + start + 5, (uint32_t)n);
    }
    return true;
}

/* {"$binary": {"base64": b, "subType": s}}, or as it was once {"$binary": b, "$type": s} */
static bool read_binary(struct reader *r, size_t type_at) {
    struct wf_json_text t[2], key;
    if (*r->p != '"') {
        return read_pair(r, "base64", "subType", t) && read_close(r) &&
               put_binary(r, type_at, &t[0], &t[1]);
    }
    const char *first = r->p;
    if (!read_text(r, &t[0]) || !skip_space(r)) {
        return false;
    }
    if (*r->p != ',') {
        return fail(r, WF_BSON_ERROR_EXTENDED, first);
    }
    r->p++;
    if (!read_key(r, &key)) {
        return false;
    }
    if (!text_is(&key, "$type")) {
        return fail(r, WF_BSON_ERROR_EXTENDED, key.p);
    }
    return read_string_value(r, &t[1]) && read_close(r) && put_binary(r, type_at, &t[0], &t[1]);
}

/* {"$code": text} or {"$code": text, "$scope": document} */
static bool read_code(struct reader *r, size_t type_at, unsigned depth) {
    struct wf_json_text code, key;
    if (!read_string_value(r, &code) || !skip_space(r)) {
        return false;
    }
    if (*r->p != ',') {
        set_type(r, type_at, WF_BSON_CODE);
        return put_string(r, &code) && read_close(r);
    }
    r->p++;
    if (!read_key(r, &key)) {
        return false;
    }
    if (!text_is(&key, "$scope") || *r->p != '{') {
        return fail(r, WF_BSON_ERROR_EXTENDED, key.p);
    }
    set_type(r, type_at, WF_BSON_CODE_SCOPE);
    size_t start = r->out->len;
    r->p++;
    return put32(r, 0) && put_string(r, &code) && read_document(r, depth) && read_close(r) &&
           check(r, wf_bson_code_end(r->out, start));
}

/* {"$scope": document, "$code": text}: the scope is written first and moved then. */
static bool read_scope(struct reader *r, size_t type_at, unsigned depth) {
    struct wf_json_text code, key;
    size_t start = r->out->len;
    if (*r->p != '{') {
        return fail(r, WF_BSON_ERROR_EXTENDED, r->p);
    }
    r->p++;
    if (!read_document(r, depth) || !skip_space(r)) {
        return false;
    }
    if (*r->p != ',') {
        return fail(r, WF_BSON_ERROR_EXTENDED, r->p);
    }
    r->p++;
    if (!read_key(r, &key)) {
        return false;
    }
    if (!text_is(&key, "$code")) {
        return fail(r, WF_BSON_ERROR_EXTENDED, key.p);
    }
    if (!read_string_value(r, &code) || !read_close(r)) {
        return false;
    }
    size_t scope = r->out->len - start;
    if (!check(r, wf_buf_reserve(r->out, 4 + 4 + code.n + 1))) {
        return false;
    }
    char *p = r->out->p + start, *text = p + scope;
    size_t n = unescape(&code, text); /* behind the scope, to know how far that moves */
    memmove(p + 8 + n + 1, p, scope);
    if (n > WF_BSON_BYTES_MAX - 1) {
        return fail(r, WF_BSON_ERROR_FULL, code.p);
    }
    n = unescape(&code, p + 8);
    wf_bson_store32(p + 4, (uint32_t)n + 1);
    p[8 + n] = 0;
    r->out->len = start + 8 + n + 1 + scope;
    set_type(r, type_at, WF_BSON_CODE_SCOPE);
    return check(r, wf_bson_code_end(r->out, start));
}

static bool read_uint32(struct reader *r, uint32_t *out) {
    struct wf_json_number n;
    if (!wf_json_is_digit(*r->p)) {
        return fail(r, WF_BSON_ERROR_EXTENDED, r->p);
    }
    const char *first = r->p;
    enum wf_json_error e = wf_json_number_read(&r->p, r->end, 0, &n);
    if (e != WF_JSON_OK) {
        return fail_json(r, e, r->p);
    }
    if (n.kind != WF_JSON_INT || n.i > UINT32_MAX) {
        return fail(r, WF_BSON_ERROR_EXTENDED, first);
    }
    *out = (uint32_t)n.i;
    return true;
}

/* {"t": seconds, "i": increment} */
static bool read_timestamp(struct reader *r) {
    uint32_t v[2] = {0, 0};
    bool seen[2] = {false, false};
    if (*r->p != '{') {
        return fail(r, WF_BSON_ERROR_EXTENDED, r->p);
    }
    r->p++;
    for (int i = 0; i < 2; i++) {
        struct wf_json_text key;
        if ((i == 1 && !expect(r, ',', WF_JSON_COMMA)) || !read_key(r, &key)) {
            return false;
        }
        int which = text_is(&key, "t") ? 1 : 0;
        if (seen[which] || (which == 0 && !text_is(&key, "i"))) {
            return fail(r, WF_BSON_ERROR_EXTENDED, key.p);
        }
        seen[which] = true;
        if (!read_uint32(r, &v[which])) {
            return false;
        }
    }
    return read_close(r) && put32(r, v[0]) && put32(r, v[1]);
}

/* {"$oid": hex}, from the brace */
static bool read_oid_object(struct reader *r, char id[12]) {
    struct wf_json_text key, t;
    char buf[SHORT_MAX];
    if (*r->p != '{') {
        return fail(r, WF_BSON_ERROR_EXTENDED, r->p);
    }
    r->p++;
    if (!read_key(r, &key)) {
        return false;
    }
    if (!text_is(&key, "$oid")) {
        return fail(r, WF_BSON_ERROR_EXTENDED, key.p);
    }
    if (!read_string_value(r, &t)) {
        return false;
    }
    return parse_hex(short_text(&t, buf), 12, id) ? read_close(r)
                                                  : fail(r, WF_BSON_ERROR_EXTENDED, t.p);
}

/* {"$ref": text, "$id": {"$oid": hex}} */
static bool read_dbpointer(struct reader *r) {
    struct wf_json_text ns;
    char id[12];
    bool seen[2] = {false, false};
    if (*r->p != '{') {
        return fail(r, WF_BSON_ERROR_EXTENDED, r->p);
    }
    r->p++;
    for (int i = 0; i < 2; i++) {
        struct wf_json_text key;
        if ((i == 1 && !expect(r, ',', WF_JSON_COMMA)) || !read_key(r, &key)) {
            return false;
        }
        int which = text_is(&key, "$ref") ? 0 : 1;
        if (seen[which] || (which == 1 && !text_is(&key, "$id"))) {
            return fail(r, WF_BSON_ERROR_EXTENDED, key.p);
        }
        seen[which] = true;
        if (which == 0 ? !read_string_value(r, &ns) : !read_oid_object(r, id)) {
            return false;
        }
    }
    return read_close(r) && put_string(r, &ns) && check(r, wf_buf_append(r->out, id, 12));
}

/* text of ISO 8601, or {"$numberLong": milliseconds} */
static bool read_date(struct reader *r) {
    struct wf_json_text t, key;
    char buf[SHORT_MAX];
    int64_t ms;
    bool ok;
    if (*r->p == '"') {
        if (!read_text(r, &t)) {
            return false;
        }
        ok = parse_date(short_text(&t, buf), &ms);
    } else {
        if (*r->p != '{') {
            return fail(r, WF_BSON_ERROR_EXTENDED, r->p);
        }
        r->p++;
        if (!read_key(r, &key)) {
            return false;
        }
        if (!text_is(&key, "$numberLong")) {
            return fail(r, WF_BSON_ERROR_EXTENDED, key.p);
        }
        if (!read_string_value(r, &t) || !read_close(r)) {
            return false;
        }
        ok = parse_int(short_text(&t, buf), INT64_MIN, INT64_MAX, &ms);
    }
    return ok ? put64(r, (uint64_t)ms) : fail(r, WF_BSON_ERROR_EXTENDED, t.p);
}

/* The values that are one short text. */
static bool read_short(struct reader *r, size_t type_at, enum key key) {
    struct wf_json_text t;
    char buf[SHORT_MAX], bytes[12];
    uint8_t uuid[16];
    int64_t i;
    double d;
    uint64_t bits;
    if (!read_string_value(r, &t)) {
        return false;
    }
    struct wf_span s = short_text(&t, buf);
    switch (key) {
    case KEY_OID:
        set_type(r, type_at, WF_BSON_OBJECTID);
        if (parse_hex(s, 12, bytes)) {
            return check(r, wf_buf_append(r->out, bytes, 12));
        }
        break;
    case KEY_INT:
        set_type(r, type_at, WF_BSON_INT32);
        if (parse_int(s, INT32_MIN, INT32_MAX, &i)) {
            return put32(r, (uint32_t)i);
        }
        break;
    case KEY_LONG:
        set_type(r, type_at, WF_BSON_INT64);
        if (parse_int(s, INT64_MIN, INT64_MAX, &i)) {
            return put64(r, (uint64_t)i);
        }
        break;
    case KEY_DOUBLE:
        set_type(r, type_at, WF_BSON_DOUBLE);
        if (parse_double(s, &d)) {
            memcpy(&bits, &d, 8);
            return put64(r, bits);
        }
        break;
    case KEY_UUID:
        set_type(r, type_at, WF_BSON_BINARY);
        if (s.n == 36 && wf_scalar_uuid(s, uuid) == WF_SCALAR_OK) {
            return put32(r, 16) && check(r, wf_buf_append_byte(r->out, 4)) &&
                   check(r, wf_buf_append(r->out, uuid, 16));
        }
        break;
    default:
        WF_ASSERT(false);
        break;
    }
    return fail(r, WF_BSON_ERROR_EXTENDED, t.p);
}

/* A decimal's text may be as long as its author likes ("0.000..."). */
static bool read_decimal(struct reader *r) {
    struct wf_json_text t;
    struct wf_decimal128 v;
    if (!read_string_value(r, &t)) {
        return false;
    }
    size_t start = r->out->len;
    if (!put_utf8(r, &t)) {
        return false;
    }
    struct wf_span s = wf_span(r->out->p + start, r->out->len - start);
    enum wf_decimal128_error e = wf_decimal128_read(s, &v);
    r->out->len = start;
    if (e != WF_DECIMAL128_OK) {
        return fail(r, WF_BSON_ERROR_DECIMAL, t.p);
    }
    return put64(r, v.low) && put64(r, v.high);
}

static bool read_literal(struct reader *r, const char *literal) {
    size_t n = strlen(literal);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, literal, n) != 0) {
        return fail(r, WF_BSON_ERROR_EXTENDED, r->p);
    }
    r->p += n;
    return true;
}

/* Behind the first text of {"$regex": a, "$options": b}: `other` and its text, or nothing.
 * Whatever else there is makes the object a document, which is read again then. */
static bool looks_like_pair(struct reader *r, const char *other, bool optional,
                            struct wf_json_text *first, struct wf_json_text *second) {
    struct wf_json_text key;
    if (*r->p != '"' || !read_text(r, first) || !skip_space(r)) {
        return false;
    }
    if (*r->p == '}') {
        r->p++;
        *second = (struct wf_json_text){.p = ""};
        return optional;
    }
    if (*r->p != ',') {
        return false;
    }
    r->p++;
    if (!read_key(r, &key) || !text_is(&key, other) || *r->p != '"' || !read_text(r, second) ||
        !skip_space(r) || *r->p != '}') {
        return false;
    }
    r->p++;
    return true;
}

enum extended { EXTENDED_FAILED = -1, EXTENDED_NOT, EXTENDED_READ };

static enum extended extended_if(bool ok) {
    return ok ? EXTENDED_READ : EXTENDED_FAILED;
}

/* The object whose first key is at r->p. EXTENDED_NOT: nothing is written and nothing is wrong. */
static enum extended read_extended(struct reader *r, size_t type_at, unsigned depth) {
    struct wf_json_text t, first, second;
    const char *start = r->p;
    if (r->end - r->p < 3 || (r->p[1] != '$' && r->p[1] != '\\') || !read_text(r, &t)) {
        r->p = start;
        return EXTENDED_NOT;
    }
    enum key key = find_key(&t);
    if (key == KEY_NONE) {
        r->p = start;
        return EXTENDED_NOT;
    }
    if (!expect(r, ':', WF_JSON_COLON) || !skip_space(r)) {
        return EXTENDED_FAILED;
    }
    switch (key) {
    case KEY_OID:
    case KEY_INT:
    case KEY_LONG:
    case KEY_DOUBLE:
    case KEY_UUID:
        return extended_if(read_short(r, type_at, key) && read_close(r));
    case KEY_DECIMAL:
        set_type(r, type_at, WF_BSON_DECIMAL128);
        return extended_if(read_decimal(r) && read_close(r));
    case KEY_SYMBOL:
        set_type(r, type_at, WF_BSON_SYMBOL);
        return extended_if(read_string_value(r, &t) && put_string(r, &t) && read_close(r));
    case KEY_BINARY:
        return extended_if(read_binary(r, type_at));
    case KEY_CODE:
        return extended_if(read_code(r, type_at, depth));
    case KEY_SCOPE:
        return extended_if(read_scope(r, type_at, depth));
    case KEY_TIMESTAMP:
        set_type(r, type_at, WF_BSON_TIMESTAMP);
        return extended_if(read_timestamp(r) && read_close(r));
    case KEY_DBPOINTER:
        set_type(r, type_at, WF_BSON_DBPOINTER);
        return extended_if(read_dbpointer(r) && read_close(r));
    case KEY_DATE:
        set_type(r, type_at, WF_BSON_DATETIME);
        return extended_if(read_date(r) && read_close(r));
    case KEY_MINKEY:
    case KEY_MAXKEY:
        set_type(r, type_at, key == KEY_MINKEY ? WF_BSON_MINKEY : WF_BSON_MAXKEY);
        return extended_if(read_literal(r, "1") && read_close(r));
    case KEY_UNDEFINED:
        set_type(r, type_at, WF_BSON_UNDEFINED);
        return extended_if(read_literal(r, "true") && read_close(r));
    case KEY_REGULAR_EXPRESSION: {
        struct wf_json_text pair[2];
        return extended_if(read_pair(r, "pattern", "options", pair) && read_close(r) &&
                           put_regex(r, type_at, &pair[0], &pair[1]));
    }
    case KEY_REGEX:
        if (looks_like_pair(r, "$options", true, &first, &second)) {
            return extended_if(put_regex(r, type_at, &first, &second));
        }
        break;
    case KEY_OPTIONS:
        if (looks_like_pair(r, "$regex", false, &first, &second)) {
            return extended_if(put_regex(r, type_at, &second, &first));
        }
        break;
    case KEY_TYPE:
        if (looks_like_pair(r, "$binary", false, &first, &second)) {
            return extended_if(put_binary(r, type_at, &second, &first));
        }
        break;
    case KEY_NONE:
        break;
    }
    r->error = WF_BSON_OK;
    r->p = start;
    return EXTENDED_NOT;
}

/* ---- JSON ---- */

/* The members of an object behind its brace, as a document. */
static bool read_document(struct reader *r, unsigned depth) {
    size_t start;
    if (depth == WF_BSON_DEPTH_MAX) {
        return fail(r, WF_BSON_ERROR_DEPTH, r->p);
    }
    if (!check(r, wf_bson_begin(r->out, &start)) || !skip_space(r)) {
        return false;
    }
    if (*r->p == '}') {
        r->p++;
        return check(r, wf_bson_end(r->out, start));
    }
    for (;;) {
        struct wf_json_text key;
        if (!read_key(r, &key)) {
            return false;
        }
        size_t type_at = r->out->len;
        if (!check(r, wf_buf_append_byte(r->out, 0)) || !put_cstring(r, &key) ||
            !read_value(r, type_at, depth + 1) || !skip_space(r)) {
            return false;
        }
        if (*r->p == '}') {
            r->p++;
            return check(r, wf_bson_end(r->out, start));
        }
        if (*r->p != ',') {
            return fail_json(r, WF_JSON_COMMA, r->p);
        }
        r->p++;
    }
}

/* The values of an array behind its bracket. */
static bool read_array(struct reader *r, unsigned depth) {
    size_t start;
    if (depth == WF_BSON_DEPTH_MAX) {
        return fail(r, WF_BSON_ERROR_DEPTH, r->p);
    }
    if (!check(r, wf_bson_begin(r->out, &start)) || !skip_space(r)) {
        return false;
    }
    if (*r->p == ']') {
        r->p++;
        return check(r, wf_bson_end(r->out, start));
    }
    for (uint64_t i = 0;; i++) {
        char name[1 + WF_U64_DIGITS_MAX + 1];
        name[0] = 0;
        size_t n = 1 + wf_u64_write(name + 1, i);
        name[n++] = 0;
        size_t type_at = r->out->len;
        if (!check(r, wf_buf_append(r->out, name, n)) || !skip_space(r) ||
            !read_value(r, type_at, depth + 1) || !skip_space(r)) {
            return false;
        }
        if (*r->p == ']') {
            r->p++;
            return check(r, wf_bson_end(r->out, start));
        }
        if (*r->p != ',') {
            return fail_json(r, WF_JSON_COMMA, r->p);
        }
        r->p++;
    }
}

static bool read_number(struct reader *r, size_t type_at) {
    struct wf_json_number n;
    enum wf_json_error e = wf_json_number_read(&r->p, r->end, 0, &n);
    if (e != WF_JSON_OK) {
        return fail_json(r, e, r->p);
    }
    double d = 0;
    switch (n.kind) {
    case WF_JSON_INT:
        if (n.i >= INT32_MIN && n.i <= INT32_MAX) {
            set_type(r, type_at, WF_BSON_INT32);
            return put32(r, (uint32_t)n.i);
        }
        set_type(r, type_at, WF_BSON_INT64);
        return put64(r, (uint64_t)n.i);
    case WF_JSON_UINT:
        d = (double)n.u;
        break;
    case WF_JSON_BIG: {
        int64_t i;
        if (parse_int(n.digits, INT64_MIN, INT64_MAX, &i)) { /* -2^63 */
            set_type(r, type_at, WF_BSON_INT64);
            return put64(r, (uint64_t)i);
        }
        wf_double_read(n.digits.p, n.digits.p + n.digits.n, &d);
        if (__builtin_isinf(d)) {
            return fail_json(r, WF_JSON_NUMBER_RANGE, n.digits.p);
        }
        break;
    }
    case WF_JSON_DOUBLE:
        d = n.d;
        break;
    }
    uint64_t bits;
    memcpy(&bits, &d, 8);
    set_type(r, type_at, WF_BSON_DOUBLE);
    return put64(r, bits);
}

/* The value at r->p, which is neither space nor the end. */
static bool read_value(struct reader *r, size_t type_at, unsigned depth) {
    struct wf_json_text t;
    switch (*r->p) {
    case '"':
        set_type(r, type_at, WF_BSON_STRING);
        return read_text(r, &t) && put_string(r, &t);
    case '{':
        r->p++;
        if (!skip_space(r)) {
            return false;
        }
        if (*r->p == '"') {
            enum extended e = read_extended(r, type_at, depth);
            if (e != EXTENDED_NOT) {
                return e == EXTENDED_READ;
            }
        }
        set_type(r, type_at, WF_BSON_DOCUMENT);
        return read_document(r, depth);
    case '[':
        r->p++;
        set_type(r, type_at, WF_BSON_ARRAY);
        return read_array(r, depth);
    case 't':
    case 'f': {
        bool v = *r->p == 't';
        if (v ? !WF_JSON_IS(r->p, r->end, "true") : !WF_JSON_IS(r->p, r->end, "false")) {
            return fail_json(r, WF_JSON_LITERAL, r->p);
        }
        r->p += v ? 4 : 5;
        set_type(r, type_at, WF_BSON_BOOL);
        return check(r, wf_buf_append_byte(r->out, v));
    }
    case 'n':
        if (!WF_JSON_IS(r->p, r->end, "null")) {
            return fail_json(r, WF_JSON_LITERAL, r->p);
        }
        r->p += 4;
        set_type(r, type_at, WF_BSON_NULL);
        return true;
    default:
        if (*r->p != '-' && !wf_json_is_digit(*r->p)) {
            return fail_json(r, WF_JSON_VALUE, r->p);
        }
        return read_number(r, type_at);
    }
}

/* The document and nothing behind it. */
static bool read_all(struct reader *r) {
    r->p = wf_json_skip_space(r->p, r->end);
    if (r->p == r->end) {
        return fail_json(r, WF_JSON_EMPTY, r->p);
    }
    if (*r->p != '{') {
        return fail(r, WF_BSON_ERROR_TOP, r->p);
    }
    const char *first = r->p++;
    if (!skip_space(r)) {
        return false;
    }
    struct wf_json_text key;
    if (*r->p == '"') { /* {"$oid": ...} is a value, not a document */
        struct reader ahead = *r;
        enum key k = read_text(&ahead, &key) ? find_key(&key) : KEY_NONE;
        if (k < KEY_REGEX) {
            return fail(r, WF_BSON_ERROR_TOP, first);
        }
    }
    if (!read_document(r, 0)) {
        return false;
    }
    r->p = wf_json_skip_space(r->p, r->end);
    return r->p == r->end || fail_json(r, WF_JSON_TRAILING, r->p);
}

enum wf_bson_error wf_bson_from_json(struct wf_span in, struct wf_buf *out, size_t *at,
                                     enum wf_json_error *json) {
    struct reader r = {.p = in.p, .end = in.p + in.n, .out = out, .at = in.p};
    size_t len = out->len;
    bool ok = in.n != 0 ? read_all(&r) : fail_json(&r, WF_JSON_EMPTY, in.p);
    if (!ok) {
        out->len = len;
    }
    *at = in.n == 0 ? 0 : (size_t)((ok ? r.p : r.at) - in.p);
    *json = ok ? WF_JSON_OK : r.json;
    return ok ? WF_BSON_OK : r.error;
}
