/* What the files of the Extended JSON reader share.
 *
 * from_json.c reads JSON, extended.c the objects that are values of BSON's own types, from_json_text.c
 * what is in texts. An element's type is known only behind its name, so the type's byte is written
 * first and set once its value has been seen (`type_at`).
 *
 * Readers give true, or false with the error set; all pointers are borrowed, for the call.
 * thread  any, one reader at a time */
#ifndef WF_WIRE_BSON_FROM_JSON_INT_H
#define WF_WIRE_BSON_FROM_JSON_INT_H

#include "wire/bson/bson_write.h"
#include "wire/json/json_scan.h"

enum { SHORT_MAX = 128 }; /* text of numbers, dates and ids; longer is none of them */

struct reader {
    const char *p, *end;
    struct wf_buf *out;       /* borrowed */
    enum wf_bson_error error; /* what went wrong, at `at` */
    enum wf_json_error json;
    const char *at;
};

/* ---- errors and bytes ---- */

static inline bool fail(struct reader *r, enum wf_bson_error e, const char *at) {
    r->error = e;
    r->at = at;
    return false;
}

static inline bool fail_json(struct reader *r, enum wf_json_error e, const char *at) {
    r->json = e;
    return fail(r, WF_BSON_ERROR_JSON, at);
}

static inline bool check(struct reader *r, int rc) {
    return wf_likely(rc == WF_BUF_OK) ||
           fail(r, rc == WF_BUF_FULL ? WF_BSON_ERROR_FULL : WF_BSON_ERROR_NOMEM, r->p);
}

static inline void set_type(struct reader *r, size_t type_at, enum wf_bson_type type) {
    r->out->p[type_at] = (char)type;
}

static inline bool put32(struct reader *r, uint32_t v) {
    char b[4];
    wf_bson_store32(b, v);
    return check(r, wf_buf_append(r->out, b, 4));
}

static inline bool put64(struct reader *r, uint64_t v) {
    char b[8];
    wf_bson_store64(b, v);
    return check(r, wf_buf_append(r->out, b, 8));
}

/* ---- tokens ---- */

static inline bool skip_space(struct reader *r) {
    r->p = wf_json_skip_space(r->p, r->end);
    return r->p < r->end || fail_json(r, WF_JSON_END, r->p);
}

static inline bool expect(struct reader *r, char c, enum wf_json_error e) {
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
static inline bool read_text(struct reader *r, struct wf_json_text *t) {
    r->p++;
    enum wf_json_error e = wf_json_text_read(&r->p, r->end, 0, t);
    return e == WF_JSON_OK || fail_json(r, e, r->p);
}

static inline bool read_key(struct reader *r, struct wf_json_text *t) {
    if (!skip_space(r)) {
        return false;
    }
    if (*r->p != '"') {
        return fail_json(r, WF_JSON_KEY, r->p);
    }
    return read_text(r, t) && expect(r, ':', WF_JSON_COLON) && skip_space(r);
}

/* A string where Extended JSON wants one. */
static inline bool read_string_value(struct reader *r, struct wf_json_text *t) {
    if (!skip_space(r)) {
        return false;
    }
    return *r->p == '"' ? read_text(r, t) : fail(r, WF_BSON_ERROR_EXTENDED, r->p);
}

/* ---- from_json_text.c ---- */

/* Unescapes a text, which was checked when it was read, into UTF-8. That is never longer than the
 * text itself. Returns the bytes written. */
size_t text_unescape(const struct wf_json_text *t, char *out);

/* Text of a few characters into `buf`, which the span points to; too long gives a span that is
 * nothing. */
struct wf_span text_short(const struct wf_json_text *t, char buf[SHORT_MAX]);

bool text_is(const struct wf_json_text *t, const char *s);

/* Append the text as UTF-8; as a string (length, bytes, NUL); as a cstring (bytes without a NUL,
 * NUL). */
bool text_put_utf8(struct reader *r, const struct wf_json_text *t);
bool text_put_string(struct reader *r, const struct wf_json_text *t);
bool text_put_cstring(struct reader *r, const struct wf_json_text *t);

/* All of s as -?digits within [min, max]; a double or NaN, Infinity, -Infinity; 2n digits of hex to n
 * bytes; YYYY-MM-DDThh:mm:ss[.fff][Z|offset]. False where it is not that; no error is set. */
bool text_int(struct wf_span s, int64_t min, int64_t max, int64_t *out);
bool text_double(struct wf_span s, double *out);
bool text_hex(struct wf_span s, size_t n, char *out);
bool text_date(struct wf_span s, int64_t *ms);

/* ---- extended.c ---- */

enum extended { EXTENDED_FAILED = -1, EXTENDED_NOT, EXTENDED_READ };

/* The object whose first key is at r->p, a quote, with its closing brace. EXTENDED_NOT: it is a
 * document, nothing is written and nothing is wrong. */
enum extended extended_read(struct reader *r, size_t type_at, unsigned depth);

/* Is an object with this first key always a value, never a document? */
bool extended_is_value(const struct wf_json_text *key);

/* ---- from_json.c ---- */

/* The members of an object behind its brace, as a document. */
bool from_json_document(struct reader *r, unsigned depth);

#endif
