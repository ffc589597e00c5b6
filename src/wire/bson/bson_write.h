/* Writing BSON, inline. A document is begun, its elements are put, it is ended: its length goes in
 * then. A put writes the whole element: type, name, value.
 *
 * name     without a zero byte in it, which is the caller's to see to; so are regular expressions
 * failure  WF_BUF_NOMEM or WF_BUF_FULL; what was written so far stays
 * thread   one at a time */
#ifndef WF_WIRE_BSON_WRITE_H
#define WF_WIRE_BSON_WRITE_H

#include "base/buf.h"
#include "wire/bson/bson.h"

static inline void wf_bson_store32(char *p, uint32_t v) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    memcpy(p, &v, 4);
}

static inline void wf_bson_store64(char *p, uint64_t v) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, 8);
}

/* Type and name, with room for `extra` bytes of value, which follow at *value; b->len counts them
 * already. */
static inline int wf_bson_put_head(struct wf_buf *b, enum wf_bson_type type, struct wf_span name,
                                   size_t extra, char **value) {
    int rc = wf_buf_reserve(b, name.n + 2 + extra);
    if (wf_unlikely(rc != WF_BUF_OK)) {
        return rc;
    }
    char *p = b->p + b->len;
    *p++ = (char)type;
    if (name.n != 0) {
        memcpy(p, name.p, name.n);
    }
    p[name.n] = 0;
    *value = p + name.n + 1;
    b->len += name.n + 2 + extra;
    return WF_BUF_OK;
}

/* ---- documents ---- */

/* start  out: for wf_bson_end */
static inline int wf_bson_begin(struct wf_buf *b, size_t *start) {
    *start = b->len;
    int rc = wf_buf_reserve(b, 4);
    if (wf_likely(rc == WF_BUF_OK)) {
        b->len += 4;
    }
    return rc;
}

static inline int wf_bson_end(struct wf_buf *b, size_t start) {
    int rc = wf_buf_append_byte(b, 0);
    if (wf_unlikely(rc != WF_BUF_OK)) {
        return rc;
    }
    size_t n = b->len - start;
    if (wf_unlikely(n > WF_BSON_BYTES_MAX)) {
        return WF_BUF_FULL;
    }
    wf_bson_store32(b->p + start, (uint32_t)n);
    return WF_BUF_OK;
}

/* type  DOCUMENT or ARRAY */
static inline int wf_bson_put_begin(struct wf_buf *b, enum wf_bson_type type, struct wf_span name,
                                    size_t *start) {
    char *p;
    int rc = wf_bson_put_head(b, type, name, 4, &p);
    *start = b->len - 4;
    return rc;
}

/* ---- elements ---- */

/* null, undefined, MinKey, MaxKey */
static inline int wf_bson_put_plain(struct wf_buf *b, enum wf_bson_type type, struct wf_span name) {
    char *p;
    return wf_bson_put_head(b, type, name, 0, &p);
}

static inline int wf_bson_put_bool(struct wf_buf *b, struct wf_span name, bool v) {
    char *p;
    int rc = wf_bson_put_head(b, WF_BSON_BOOL, name, 1, &p);
    if (wf_likely(rc == WF_BUF_OK)) {
        *p = v;
    }
    return rc;
}

static inline int wf_bson_put_int32(struct wf_buf *b, struct wf_span name, int32_t v) {
    char *p;
    int rc = wf_bson_put_head(b, WF_BSON_INT32, name, 4, &p);
    if (wf_likely(rc == WF_BUF_OK)) {
        wf_bson_store32(p, (uint32_t)v);
    }
    return rc;
}

/* type  INT64 or DATETIME */
static inline int wf_bson_put_int64(struct wf_buf *b, enum wf_bson_type type, struct wf_span name,
                                    int64_t v) {
    char *p;
    int rc = wf_bson_put_head(b, type, name, 8, &p);
    if (wf_likely(rc == WF_BUF_OK)) {
        wf_bson_store64(p, (uint64_t)v);
    }
    return rc;
}

static inline int wf_bson_put_double(struct wf_buf *b, struct wf_span name, double v) {
    char *p;
    int rc = wf_bson_put_head(b, WF_BSON_DOUBLE, name, 8, &p);
    if (wf_likely(rc == WF_BUF_OK)) {
        uint64_t bits;
        memcpy(&bits, &v, 8);
        wf_bson_store64(p, bits);
    }
    return rc;
}

static inline int wf_bson_put_timestamp(struct wf_buf *b, struct wf_span name, uint32_t seconds,
                                        uint32_t increment) {
    char *p;
    int rc = wf_bson_put_head(b, WF_BSON_TIMESTAMP, name, 8, &p);
    if (wf_likely(rc == WF_BUF_OK)) {
        wf_bson_store32(p, increment);
        wf_bson_store32(p + 4, seconds);
    }
    return rc;
}

static inline int wf_bson_put_decimal(struct wf_buf *b, struct wf_span name,
                                      struct wf_decimal128 v) {
    char *p;
    int rc = wf_bson_put_head(b, WF_BSON_DECIMAL128, name, 16, &p);
    if (wf_likely(rc == WF_BUF_OK)) {
        wf_bson_store64(p, v.low);
        wf_bson_store64(p + 8, v.high);
    }
    return rc;
}

/* id  12 bytes */
static inline int wf_bson_put_objectid(struct wf_buf *b, struct wf_span name, const char *id) {
    char *p;
    int rc = wf_bson_put_head(b, WF_BSON_OBJECTID, name, 12, &p);
    if (wf_likely(rc == WF_BUF_OK)) {
        memcpy(p, id, 12);
    }
    return rc;
}

/* Length, bytes and NUL at p, which has room for them; returns what is behind. */
static inline char *wf_bson_store_string(char *p, struct wf_span s) {
    wf_bson_store32(p, (uint32_t)s.n + 1);
    if (s.n != 0) {
        memcpy(p + 4, s.p, s.n);
    }
    p[4 + s.n] = 0;
    return p + s.n + 5;
}

/* type  STRING, CODE or SYMBOL; s is UTF-8 */
static inline int wf_bson_put_string(struct wf_buf *b, enum wf_bson_type type, struct wf_span name,
                                     struct wf_span s) {
    char *p;
    if (wf_unlikely(s.n >= WF_BSON_BYTES_MAX)) {
        return WF_BUF_FULL;
    }
    int rc = wf_bson_put_head(b, type, name, s.n + 5, &p);
    if (wf_likely(rc == WF_BUF_OK)) {
        wf_bson_store_string(p, s);
    }
    return rc;
}

/* Head of a binary of n bytes, which the caller writes at *bytes. */
static inline int wf_bson_put_binary_head(struct wf_buf *b, struct wf_span name, uint8_t subtype,
                                          size_t n, char **bytes) {
    if (wf_unlikely(n > WF_BSON_BYTES_MAX - 16)) {
        return WF_BUF_FULL;
    }
    char *p;
    size_t inner = subtype == 2 ? 4 : 0;
    int rc = wf_bson_put_head(b, WF_BSON_BINARY, name, 5 + inner + n, &p);
    if (wf_likely(rc == WF_BUF_OK)) {
        wf_bson_store32(p, (uint32_t)(n + inner));
        p[4] = (char)subtype;
        p += 5;
        if (inner != 0) {
            wf_bson_store32(p, (uint32_t)n);
            p += 4;
        }
        *bytes = p;
    }
    return rc;
}

static inline int wf_bson_put_binary(struct wf_buf *b, struct wf_span name, uint8_t subtype,
                                     struct wf_span bytes) {
    char *p;
    int rc = wf_bson_put_binary_head(b, name, subtype, bytes.n, &p);
    if (wf_likely(rc == WF_BUF_OK) && bytes.n != 0) {
        memcpy(p, bytes.p, bytes.n);
    }
    return rc;
}

static inline int wf_bson_put_regex(struct wf_buf *b, struct wf_span name, struct wf_span pattern,
                                    struct wf_span options) {
    char *p;
    int rc = wf_bson_put_head(b, WF_BSON_REGEX, name, pattern.n + options.n + 2, &p);
    if (wf_likely(rc == WF_BUF_OK)) {
        if (pattern.n != 0) {
            memcpy(p, pattern.p, pattern.n);
        }
        p[pattern.n] = 0;
        p += pattern.n + 1;
        if (options.n != 0) {
            memcpy(p, options.p, options.n);
        }
        p[options.n] = 0;
    }
    return rc;
}

static inline int wf_bson_put_dbpointer(struct wf_buf *b, struct wf_span name, struct wf_span ns,
                                        const char *id) {
    char *p;
    if (wf_unlikely(ns.n >= WF_BSON_BYTES_MAX)) {
        return WF_BUF_FULL;
    }
    int rc = wf_bson_put_head(b, WF_BSON_DBPOINTER, name, ns.n + 5 + 12, &p);
    if (wf_likely(rc == WF_BUF_OK)) {
        memcpy(wf_bson_store_string(p, ns), id, 12);
    }
    return rc;
}

/* Code with scope: this, the scope as a document of its own (wf_bson_begin to wf_bson_end), then
 * wf_bson_code_end with the same `start`. */
static inline int wf_bson_put_code_begin(struct wf_buf *b, struct wf_span name, struct wf_span code,
                                         size_t *start) {
    char *p;
    if (wf_unlikely(code.n >= WF_BSON_BYTES_MAX)) {
        return WF_BUF_FULL;
    }
    int rc = wf_bson_put_head(b, WF_BSON_CODE_SCOPE, name, 4 + code.n + 5, &p);
    if (wf_likely(rc == WF_BUF_OK)) {
        wf_bson_store_string(p + 4, code);
        *start = (size_t)(p - b->p);
    }
    return rc;
}

static inline int wf_bson_code_end(struct wf_buf *b, size_t start) {
    size_t n = b->len - start;
    if (wf_unlikely(n > WF_BSON_BYTES_MAX)) {
        return WF_BUF_FULL;
    }
    wf_bson_store32(b->p + start, (uint32_t)n);
    return WF_BUF_OK;
}

#endif
