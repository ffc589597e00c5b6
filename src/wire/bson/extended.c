/* Extended JSON's objects: those whose first key is one of its own are values. The three keys that
 * are query operators as well ($regex, $options, $type) are values only where all of the object
 * fits, else documents. What was written before version 2 is read too, as PyMongo's json_util does:
 * dates in milliseconds or without a zone, "$numberLong" of a number, "$binary" beside its "$type". */
#include "wire/base64/base64.h"
#include "wire/bson/bson_read.h"
#include "wire/bson/from_json_int.h"
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

/* Each has read the first key, and reads the rest with the closing brace. */

static enum key extended_key(const struct wf_json_text *t) {
    static const char *const names[] = {
#define X(id, text) text,
        EXTENDED_KEYS(X)
#undef X
    };
    char buf[SHORT_MAX];
    struct wf_span s = text_short(t, buf);
    if (s.n == 0 || *s.p != '$') {
        return KEY_NONE;
    }
    unsigned i = 0;
    while (i < KEY_NONE && !wf_span_eq(s, wf_span_str(names[i]))) {
        i++;
    }
    return (enum key)i;
}

bool extended_is_value(const struct wf_json_text *key) {
    return extended_key(key) < KEY_REGEX;
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

/* The brace an object begins with. */
static bool open_object(struct reader *r) {
    if (*r->p != '{') {
        return fail(r, WF_BSON_ERROR_EXTENDED, r->p);
    }
    r->p++;
    return true;
}

/* The i-th key of an object of two, which come in either order, up to its value: *which is 0 for `first`, 1 for
 * `second`, and on the second call the other of what it still is. */
static bool read_key_of_two(struct reader *r, int i, const char *first, const char *second,
                            int *which) {
    struct wf_json_text key;
    if ((i == 1 && !expect(r, ',', WF_JSON_COMMA)) || !read_key(r, &key)) {
        return false;
    }
    int before = *which;
    *which = text_is(&key, first) ? 0 : 1;
    if ((i == 1 && *which == before) || (*which == 1 && !text_is(&key, second))) {
        return fail(r, WF_BSON_ERROR_EXTENDED, key.p);
    }
    return true;
}

/* An object of exactly two strings: {"first": t[0], "second": t[1]}. */
static bool read_pair(struct reader *r, const char *first, const char *second,
                      struct wf_json_text t[2]) {
    int which = 0;
    if (!open_object(r)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (!read_key_of_two(r, i, first, second, &which) || !read_string_value(r, &t[which])) {
            return false;
        }
    }
    return read_close(r);
}

static bool put_regex(struct reader *r, size_t type_at, const struct wf_json_text *pattern,
                      const struct wf_json_text *options) {
    set_type(r, type_at, WF_BSON_REGEX);
    if (!text_put_cstring(r, pattern)) {
        return false;
    }
    size_t start = r->out->len;
    if (!text_put_cstring(r, options)) {
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

/* A subtype in hex: one digit is read, two are written; mongoexport wrote eight of those from 80 on. */
static bool text_subtype(const struct wf_json_text *t, bool legacy, char *byte) {
    char buf[SHORT_MAX], padded[2] = {'0', '0'}, sign[3];
    struct wf_span s = text_short(t, buf);
    if (s.n == 1) {
        padded[1] = *s.p;
        s = wf_span(padded, 2);
    } else if (legacy && s.n == 8 && text_hex(wf_span(s.p, 6), 3, sign) &&
               memcmp(sign, "\xff\xff\xff", 3) == 0) {
        return text_hex(wf_span(s.p + 6, 2), 1, byte) && ((unsigned char)*byte & 0x80) != 0;
    }
    return text_hex(s, 1, byte);
}

/* The value of "$type": a subtype in hex, or as a number. */
static bool read_type(struct reader *r, char *byte) {
    struct wf_json_text t;
    struct wf_json_number n;
    const char *first = r->p;
    if (*first == '"') {
        return read_text(r, &t) &&
               (text_subtype(&t, true, byte) || fail(r, WF_BSON_ERROR_EXTENDED, first));
    }
    if (!wf_json_is_digit(*first) || wf_json_number_read(&r->p, r->end, 0, &n) != WF_JSON_OK ||
        n.kind != WF_JSON_INT || n.i > 255) {
        return fail(r, WF_BSON_ERROR_EXTENDED, first);
    }
    *byte = (char)n.i;
    return true;
}

static bool put_binary(struct reader *r, size_t type_at, const struct wf_json_text *base64,
                       char byte) {
    bool old = byte == 2;
    set_type(r, type_at, WF_BSON_BINARY);
    size_t start = r->out->len;
    if (!put32(r, 0) || !check(r, wf_buf_append_byte(r->out, byte)) || (old && !put32(r, 0))) {
        return false;
    }
    size_t bytes = r->out->len;
    if (!text_put_utf8(r, base64)) {
        return false;
    }
    char *text = r->out->p + bytes;
    ssize_t n = wf_base64_decode(text, wf_span(text, r->out->len - bytes), WF_BASE64_LAX);
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
    char byte;
    const char *first = r->p;
    if (*first != '"') {
        return read_pair(r, "base64", "subType", t) && read_close(r) &&
               (text_subtype(&t[1], false, &byte) || fail(r, WF_BSON_ERROR_EXTENDED, t[1].p)) &&
               put_binary(r, type_at, &t[0], byte);
    }
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
    return read_type(r, &byte) && read_close(r) && put_binary(r, type_at, &t[0], byte);
}

/* Behind the key of {"$type": s, "$binary": b}; else it is the query operator, and nothing is written. */
static bool looks_like_binary(struct reader *r, char *byte, struct wf_json_text *base64) {
    struct wf_json_text key;
    if (!read_type(r, byte) || !skip_space(r) || *r->p != ',') {
        return false;
    }
    r->p++;
    if (!read_key(r, &key) || !text_is(&key, "$binary") || *r->p != '"' || !read_text(r, base64) ||
        !skip_space(r) || *r->p != '}') {
        return false;
    }
    r->p++;
    return true;
}

/* {"$code": text} or {"$code": text, "$scope": document} */
static bool read_code(struct reader *r, size_t type_at, unsigned depth) {
    struct wf_json_text code, key;
    if (!read_string_value(r, &code) || !skip_space(r)) {
        return false;
    }
    if (*r->p != ',') {
        set_type(r, type_at, WF_BSON_CODE);
        return text_put_string(r, &code) && read_close(r);
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
    return put32(r, 0) && text_put_string(r, &code) && from_json_document(r, depth) &&
           read_close(r) && check(r, wf_bson_code_end(r->out, start));
}

/* {"$scope": document, "$code": text}: the scope is written first and moved then. */
static bool read_scope(struct reader *r, size_t type_at, unsigned depth) {
    struct wf_json_text code, key;
    size_t start = r->out->len;
    if (!open_object(r) || !from_json_document(r, depth) || !skip_space(r)) {
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
    size_t n = text_unescape(&code, text); /* behind the scope, to know how far that moves */
    memmove(p + 8 + n + 1, p, scope);
    if (n > WF_BSON_BYTES_MAX - 1) {
        return fail(r, WF_BSON_ERROR_FULL, code.p);
    }
    n = text_unescape(&code, p + 8);
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
    int which = 0;
    if (!open_object(r)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (!read_key_of_two(r, i, "i", "t", &which) || !read_uint32(r, &v[which])) {
            return false;
        }
    }
    return read_close(r) && put32(r, v[0]) && put32(r, v[1]);
}

/* {"$oid": hex}, from the brace */
static bool read_oid_object(struct reader *r, char id[12]) {
    struct wf_json_text key, t;
    char buf[SHORT_MAX];
    if (!open_object(r) || !read_key(r, &key)) {
        return false;
    }
    if (!text_is(&key, "$oid")) {
        return fail(r, WF_BSON_ERROR_EXTENDED, key.p);
    }
    if (!read_string_value(r, &t)) {
        return false;
    }
    return text_hex(text_short(&t, buf), 12, id) ? read_close(r)
                                                 : fail(r, WF_BSON_ERROR_EXTENDED, t.p);
}

/* {"$ref": text, "$id": {"$oid": hex}} */
static bool read_dbpointer(struct reader *r) {
    struct wf_json_text ns;
    char id[12];
    int which = 0;
    if (!open_object(r)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (!read_key_of_two(r, i, "$ref", "$id", &which) ||
            (which == 0 ? !read_string_value(r, &ns) : !read_oid_object(r, id))) {
            return false;
        }
    }
    return read_close(r) && text_put_string(r, &ns) && check(r, wf_buf_append(r->out, id, 12));
}

/* A number, not text. whole: it has to be; else what is behind the point is cut. */
static bool read_int64(struct reader *r, bool whole, int64_t *out) {
    struct wf_json_number n;
    const char *first = r->p;
    if (*first != '-' && !wf_json_is_digit(*first)) {
        return fail(r, WF_BSON_ERROR_EXTENDED, first);
    }
    enum wf_json_error e = wf_json_number_read(&r->p, r->end, 0, &n);
    if (e != WF_JSON_OK) {
        return fail_json(r, e, r->p);
    }
    bool ok = false;
    switch (n.kind) {
    case WF_JSON_INT:
        *out = n.i;
        ok = true;
        break;
    case WF_JSON_BIG:
        ok = text_int(n.digits, INT64_MIN, INT64_MAX, out); /* -2^63 */
        break;
    case WF_JSON_DOUBLE:
        ok = !whole && n.d > -0x1p63 && n.d < 0x1p63;
        *out = ok ? (int64_t)n.d : 0;
        break;
    case WF_JSON_UINT:
        break;
    }
    return ok || fail(r, WF_BSON_ERROR_EXTENDED, first);
}

/* The value of "$numberLong": digits, or once a number. */
static bool read_long(struct reader *r, int64_t *out) {
    struct wf_json_text t;
    char buf[SHORT_MAX];
    if (*r->p != '"') {
        return read_int64(r, true, out);
    }
    return read_text(r, &t) && (text_int(text_short(&t, buf), INT64_MIN, INT64_MAX, out) ||
                                fail(r, WF_BSON_ERROR_EXTENDED, t.p));
}

/* text of ISO 8601, {"$numberLong": milliseconds}, or once just these */
static bool read_date(struct reader *r) {
    struct wf_json_text t, key;
    char buf[SHORT_MAX];
    int64_t ms;
    if (*r->p == '"') {
        return read_text(r, &t) &&
               (text_date(text_short(&t, buf), &ms) ? put64(r, (uint64_t)ms)
                                                    : fail(r, WF_BSON_ERROR_EXTENDED, t.p));
    }
    if (*r->p != '{') {
        return read_int64(r, false, &ms) && put64(r, (uint64_t)ms);
    }
    r->p++;
    if (!read_key(r, &key)) {
        return false;
    }
    if (!text_is(&key, "$numberLong")) {
        return fail(r, WF_BSON_ERROR_EXTENDED, key.p);
    }
    return read_long(r, &ms) && read_close(r) && put64(r, (uint64_t)ms);
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
    struct wf_span s = text_short(&t, buf);
    switch (key) {
    case KEY_OID:
        set_type(r, type_at, WF_BSON_OBJECTID);
        if (text_hex(s, 12, bytes)) {
            return check(r, wf_buf_append(r->out, bytes, 12));
        }
        break;
    case KEY_INT:
        set_type(r, type_at, WF_BSON_INT32);
        if (text_int(s, INT32_MIN, INT32_MAX, &i)) {
            return put32(r, (uint32_t)i);
        }
        break;
    case KEY_DOUBLE:
        set_type(r, type_at, WF_BSON_DOUBLE);
        if (text_double(s, &d)) {
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
    if (!text_put_utf8(r, &t)) {
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

static enum extended extended_if(bool ok) {
    return ok ? EXTENDED_READ : EXTENDED_FAILED;
}

enum extended extended_read(struct reader *r, size_t type_at, unsigned depth) {
    struct wf_json_text t, first, second;
    int64_t i;
    char byte;
    const char *start = r->p;
    if (r->end - r->p < 3 || (r->p[1] != '$' && r->p[1] != '\\') || !read_text(r, &t)) {
        r->p = start;
        return EXTENDED_NOT;
    }
    enum key key = extended_key(&t);
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
    case KEY_DOUBLE:
    case KEY_UUID:
        return extended_if(read_short(r, type_at, key) && read_close(r));
    case KEY_LONG:
        set_type(r, type_at, WF_BSON_INT64);
        return extended_if(read_long(r, &i) && put64(r, (uint64_t)i) && read_close(r));
    case KEY_DECIMAL:
        set_type(r, type_at, WF_BSON_DECIMAL128);
        return extended_if(read_decimal(r) && read_close(r));
    case KEY_SYMBOL:
        set_type(r, type_at, WF_BSON_SYMBOL);
        return extended_if(read_string_value(r, &t) && text_put_string(r, &t) && read_close(r));
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
        if (looks_like_binary(r, &byte, &first)) {
            return extended_if(put_binary(r, type_at, &first, byte));
        }
        break;
    case KEY_NONE:
        break;
    }
    r->error = WF_BSON_OK;
    r->p = start;
    return EXTENDED_NOT;
}
