/* BSON to Extended JSON: the cursor on one side, the JSON writer on the other, nothing between. */
#include "base/utf8.h"
#include "wire/base64/base64.h"
#include "wire/bson/bson_read.h"
#include "wire/bson/date.h"
#include "wire/json/json_write.h"

struct writer {
    struct wf_json_buf_out to;
    enum wf_bson_json_mode mode;
    const char *at; /* after an error: the offending byte */
};

static enum wf_bson_error put_document(struct writer *w, struct wf_span in, bool array,
                                       unsigned depth);

static enum wf_bson_error from_rc(int rc) {
    return rc == WF_BUF_OK     ? WF_BSON_OK
           : rc == WF_BUF_FULL ? WF_BSON_ERROR_FULL
                               : WF_BSON_ERROR_NOMEM;
}

static inline enum wf_bson_error put_bytes(struct writer *w, const char *p, size_t n) {
    return from_rc(wf_json_put_bytes(&w->to.out, p, n));
}

#define PUT(w, lit) put_bytes(w, "" lit, sizeof(lit) - 1)

/* Statements in a row, of which the first that fails is the result. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum wf_bson_error try_error = (call);                                                     \
        if (wf_unlikely(try_error != WF_BSON_OK)) {                                                \
            return try_error;                                                                      \
        }                                                                                          \
    } while (0)

static enum wf_bson_error put_text(struct writer *w, struct wf_span s) {
    if (wf_unlikely(wf_ascii_prefix(s.p, s.n) != s.n && !wf_utf8_valid(s))) {
        w->at = s.p;
        return WF_BSON_ERROR_UTF8;
    }
    return from_rc(wf_json_put_text(&w->to.out, s.p, s.n));
}

static enum wf_bson_error put_hex(struct writer *w, const char *p, size_t n) {
    TRY(from_rc(wf_json_need(&w->to.out, 2 * n)));
    for (size_t i = 0; i < n; i++) {
        *w->to.out.p++ = "0123456789abcdef"[(unsigned char)p[i] >> 4];
        *w->to.out.p++ = "0123456789abcdef"[p[i] & 15];
    }
    return WF_BSON_OK;
}

static enum wf_bson_error put_base64(struct writer *w, struct wf_span s) {
    TRY(from_rc(wf_json_need(&w->to.out, WF_BASE64_CHARS(s.n))));
    w->to.out.p += wf_base64_encode(w->to.out.p, s);
    return WF_BSON_OK;
}

static enum wf_bson_error put_i64(struct writer *w, int64_t v) {
    return from_rc(wf_json_put_i64(&w->to.out, v));
}

static enum wf_bson_error put_double(struct writer *w, double v) {
    if (__builtin_isfinite(v)) {
        if (w->mode == WF_BSON_RELAXED) {
            return from_rc(wf_json_put_double(&w->to.out, v));
        }
        TRY(PUT(w, "{\"$numberDouble\":\""));
        TRY(from_rc(wf_json_put_double(&w->to.out, v)));
        return PUT(w, "\"}");
    }
    return __builtin_isnan(v) ? PUT(w, "{\"$numberDouble\":\"NaN\"}")
           : v > 0            ? PUT(w, "{\"$numberDouble\":\"Infinity\"}")
                              : PUT(w, "{\"$numberDouble\":\"-Infinity\"}");
}

static char *put_digits(char *p, int v, int n) {
    for (int i = n - 1; i >= 0; i--) {
        p[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return p + n;
}

static enum wf_bson_error put_datetime(struct writer *w, int64_t ms) {
    struct wf_bson_date d;
    if (w->mode == WF_BSON_CANONICAL || ms < 0 || !wf_bson_date_from_ms(ms, &d)) {
        TRY(PUT(w, "{\"$date\":{\"$numberLong\":\""));
        TRY(put_i64(w, ms));
        return PUT(w, "\"}}");
    }
    char text[32], *p = text;
    p = put_digits(p, d.year, 4);
    *p++ = '-';
    p = put_digits(p, d.month, 2);
    *p++ = '-';
    p = put_digits(p, d.day, 2);
    *p++ = 'T';
    p = put_digits(p, d.hour, 2);
    *p++ = ':';
    p = put_digits(p, d.minute, 2);
    *p++ = ':';
    p = put_digits(p, d.second, 2);
    if (d.millisecond != 0) {
        *p++ = '.';
        p = put_digits(p, d.millisecond, 3);
    }
    *p++ = 'Z';
    TRY(PUT(w, "{\"$date\":\""));
    TRY(put_bytes(w, text, (size_t)(p - text)));
    return PUT(w, "\"}");
}

static enum wf_bson_error put_binary(struct writer *w, const struct wf_bson_element *e) {
    TRY(PUT(w, "{\"$binary\":{\"base64\":\""));
    TRY(put_base64(w, e->text));
    TRY(PUT(w, "\",\"subType\":\""));
    TRY(put_hex(w, (const char *)&e->subtype, 1));
    return PUT(w, "\"}}");
}

/* Options are letters in alphabetical order; a document may have them in any. */
static enum wf_bson_error put_regex(struct writer *w, const struct wf_bson_element *e) {
    char sorted[32];
    struct wf_span options = e->more;
    if (options.n <= sizeof(sorted) && wf_ascii_prefix(options.p, options.n) == options.n) {
        for (size_t i = 0; i < options.n; i++) {
            size_t j = i;
            for (; j > 0 && sorted[j - 1] > options.p[i]; j--) {
                sorted[j] = sorted[j - 1];
            }
            sorted[j] = options.p[i];
        }
        options.p = sorted;
    }
    TRY(PUT(w, "{\"$regularExpression\":{\"pattern\":"));
    TRY(put_text(w, e->text));
    TRY(PUT(w, ",\"options\":"));
    enum wf_bson_error error = put_text(w, options);
    if (error != WF_BSON_OK) {
        w->at = e->more.p;
        return error;
    }
    return PUT(w, "}}");
}

static enum wf_bson_error put_timestamp(struct writer *w, const struct wf_bson_element *e) {
    TRY(PUT(w, "{\"$timestamp\":{\"t\":"));
    TRY(put_i64(w, e->timestamp.seconds));
    TRY(PUT(w, ",\"i\":"));
    TRY(put_i64(w, e->timestamp.increment));
    return PUT(w, "}}");
}

/* depth  how many documents are open */
static enum wf_bson_error put_value(struct writer *w, const struct wf_bson_element *e,
                                    unsigned depth) {
    bool canonical = w->mode == WF_BSON_CANONICAL;
    switch (e->type) {
    case WF_BSON_DOUBLE:
        return put_double(w, e->d);
    case WF_BSON_STRING:
        return put_text(w, e->text);
    case WF_BSON_DOCUMENT:
    case WF_BSON_ARRAY:
        return put_document(w, e->text, e->type == WF_BSON_ARRAY, depth);
    case WF_BSON_BINARY:
        return put_binary(w, e);
    case WF_BSON_UNDEFINED:
        return PUT(w, "{\"$undefined\":true}");
    case WF_BSON_OBJECTID:
        TRY(PUT(w, "{\"$oid\":\""));
        TRY(put_hex(w, e->text.p, 12));
        return PUT(w, "\"}");
    case WF_BSON_BOOL:
        return e->i != 0 ? PUT(w, "true") : PUT(w, "false");
    case WF_BSON_DATETIME:
        return put_datetime(w, e->i);
    case WF_BSON_NULL:
        return PUT(w, "null");
    case WF_BSON_REGEX:
        return put_regex(w, e);
    case WF_BSON_DBPOINTER:
        TRY(PUT(w, "{\"$dbPointer\":{\"$ref\":"));
        TRY(put_text(w, e->text));
        TRY(PUT(w, ",\"$id\":{\"$oid\":\""));
        TRY(put_hex(w, e->more.p, 12));
        return PUT(w, "\"}}}");
    case WF_BSON_CODE:
        TRY(PUT(w, "{\"$code\":"));
        TRY(put_text(w, e->text));
        return PUT(w, "}");
    case WF_BSON_SYMBOL:
        TRY(PUT(w, "{\"$symbol\":"));
        TRY(put_text(w, e->text));
        return PUT(w, "}");
    case WF_BSON_CODE_SCOPE:
        TRY(PUT(w, "{\"$code\":"));
        TRY(put_text(w, e->text));
        TRY(PUT(w, ",\"$scope\":"));
        TRY(put_document(w, e->more, false, depth));
        return PUT(w, "}");
    case WF_BSON_INT32:
    case WF_BSON_INT64:
        if (!canonical) {
            return put_i64(w, e->i);
        }
        TRY(e->type == WF_BSON_INT32 ? PUT(w, "{\"$numberInt\":\"")
                                     : PUT(w, "{\"$numberLong\":\""));
        TRY(put_i64(w, e->i));
        return PUT(w, "\"}");
    case WF_BSON_TIMESTAMP:
        return put_timestamp(w, e);
    case WF_BSON_DECIMAL128: {
        char text[WF_DECIMAL128_CHARS_MAX];
        size_t n = wf_decimal128_write(text, e->decimal);
        TRY(PUT(w, "{\"$numberDecimal\":\""));
        TRY(put_bytes(w, text, n));
        return PUT(w, "\"}");
    }
    case WF_BSON_MINKEY:
        return PUT(w, "{\"$minKey\":1}");
    case WF_BSON_MAXKEY:
        return PUT(w, "{\"$maxKey\":1}");
    default:
        WF_ASSERT(false); /* the cursor lets no other type through */
        return WF_BSON_ERROR_TYPE;
    }
}

static enum wf_bson_error put_document(struct writer *w, struct wf_span in, bool array,
                                       unsigned depth) {
    struct wf_bson_cursor c;
    struct wf_bson_element e;
    size_t bytes;
    if (depth == WF_BSON_DEPTH_MAX) {
        w->at = in.p;
        return WF_BSON_ERROR_DEPTH;
    }
    enum wf_bson_error error = wf_bson_open(&c, in, &bytes);
    if (error == WF_BSON_OK && bytes != in.n) {
        c.p = in.p + bytes;
        error = WF_BSON_ERROR_TRAILING;
    }
    if (error != WF_BSON_OK) {
        w->at = c.p;
        return error;
    }
    TRY(array ? PUT(w, "[") : PUT(w, "{"));
    for (bool first = true;; first = false) {
        error = wf_bson_next(&c, &e);
        if (wf_unlikely(error != WF_BSON_OK)) {
            w->at = c.p;
            return error;
        }
        if (e.type == 0) {
            return array ? PUT(w, "]") : PUT(w, "}");
        }
        if (!first) {
            TRY(PUT(w, ","));
        }
        if (!array) {
            TRY(put_text(w, e.name));
            TRY(PUT(w, ":"));
        } else if (wf_unlikely(wf_ascii_prefix(e.name.p, e.name.n) != e.name.n &&
                               !wf_utf8_valid(e.name))) {
            w->at = e.name.p;
            return WF_BSON_ERROR_UTF8;
        }
        TRY(put_value(w, &e, depth + 1));
    }
}

enum wf_bson_error wf_bson_to_json(struct wf_span in, enum wf_bson_json_mode mode,
                                   struct wf_buf *out, size_t *at) {
    struct writer w = {.mode = mode, .at = in.p};
    size_t len = out->len;
    wf_json_buf_open(&w.to, out);
    enum wf_bson_error e = put_document(&w, in, false, 0);
    wf_json_buf_close(&w.to);
    if (e != WF_BSON_OK) {
        out->len = len;
    }
    *at = in.n == 0 ? 0 : (size_t)(w.at - in.p);
    return e;
}
