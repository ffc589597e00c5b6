/* Extended JSON to BSON, in one pass over the text. */
#include "base/num.h"
#include "wire/bson/from_json_int.h"

static bool read_value(struct reader *r, size_t type_at, unsigned depth);

/* The members of an object behind its brace, as a document. */
bool from_json_document(struct reader *r, unsigned depth) {
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
        if (!check(r, wf_buf_append_byte(r->out, 0)) || !text_put_cstring(r, &key) ||
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
        if (text_int(n.digits, INT64_MIN, INT64_MAX, &i)) { /* -2^63 */
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
        return read_text(r, &t) && text_put_string(r, &t);
    case '{':
        r->p++;
        if (!skip_space(r)) {
            return false;
        }
        if (*r->p == '"') {
            enum extended e = extended_read(r, type_at, depth);
            if (e != EXTENDED_NOT) {
                return e == EXTENDED_READ;
            }
        }
        set_type(r, type_at, WF_BSON_DOCUMENT);
        return from_json_document(r, depth);
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
        if (read_text(&ahead, &key) && extended_is_value(&key)) {
            return fail(r, WF_BSON_ERROR_TOP, first);
        }
    }
    if (!from_json_document(r, 0)) {
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
