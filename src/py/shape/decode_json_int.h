/* What the files of the JSON decoder share: the reader, and what runs for every token.
 *
 * Every function here takes the reader in front of a value and leaves it behind, or says what is
 * wrong and where; on the way back up from what is invalid the path is written down, so that a valid
 * document pays nothing for it. */
#ifndef WF_PY_SHAPE_DECODE_JSON_INT_H
#define WF_PY_SHAPE_DECODE_JSON_INT_H

#include "py/shape/shape_int.h"

#include "py/json/json_make.h"

struct reader {
    struct wf_walk *w;
    const char *start, *p, *end;
    size_t tag_budget; /* bytes that may still be passed over in search of tags */
};

/* Text of a token as UTF-8, and the str it had to be made into if it has escapes. */
struct utf8 {
    struct wf_span span;
    PyObject *str; /* owned, or NULL */
};

/* The value at r->p, as the node has it. */
enum wf_walk_result json_decode(struct reader *r, const struct wf_node *n, PyObject **out);

/* Parts of it by what stands there: text to a scalar, the scalars that are rare, an object; anything
 * at all to what the untyped decoder makes of it. */
enum wf_walk_result json_decode_text(struct reader *r, const struct wf_node *n, PyObject **out);
enum wf_walk_result json_decode_decimal(struct reader *r, const struct wf_node *n, PyObject **out);
enum wf_walk_result json_decode_seconds(struct reader *r, const struct wf_node *n, PyObject **out);
enum wf_walk_result json_decode_choice(struct reader *r, const struct wf_node *n, PyObject **out);
enum wf_walk_result json_decode_object(struct reader *r, const struct wf_node *n, PyObject **out);
enum wf_walk_result json_decode_any(struct reader *r, const struct wf_node *n, unsigned flags,
                                    PyObject **out);

/* What the caller's dec_hook or float_hook makes of it. */
enum wf_walk_result json_decode_hook(struct reader *r, const struct wf_node *n, PyObject **out);

/* An int that is written as a float, or is larger than an int64. */
enum wf_walk_result json_decode_int_slow(struct reader *r, const struct wf_node *n,
                                         const char *first, const struct wf_json_number *number,
                                         PyObject **out);

/* The member of the TAGGED object or array at r->p, by its tag, wherever that stands in an object.
 * r->p stays. */
enum wf_walk_result json_find_tag(struct reader *r, const struct wf_node *n,
                                  const struct wf_node **member);

enum wf_walk_result json_skip_value(struct reader *r);
enum wf_walk_result json_utf8_of(const struct wf_json_text *t, struct utf8 *out);

/* ---- failing ---- */

enum wf_walk_result json_fail_syntax(struct reader *r, enum wf_json_error e, const char *at);
/* the same, but for what ends there: that it does */
enum wf_walk_result json_fail_end(struct reader *r, enum wf_json_error e, const char *at);
/* Something else than the node's stands at p. */
enum wf_walk_result json_fail_expected(struct reader *r, const struct wf_node *n, const char *p);

static inline enum wf_class number_class(const char *p, const char *end) {
    while (p < end && (*p == '-' || wf_json_is_digit(*p))) {
        p++;
    }
    return p < end && (*p == '.' || (*p | 0x20) == 'e') ? WF_CLASS_FLOAT : WF_CLASS_INT;
}

/* What stands at p; WF_CLASS_COUNT where that is no JSON, and then it has failed. */
static inline enum wf_class classify(struct reader *r, const char *p) {
    enum wf_json_error e = WF_JSON_VALUE;
    if (wf_unlikely(p >= r->end)) {
        e = r->w->depth == 0 ? WF_JSON_EMPTY : WF_JSON_END;
        json_fail_syntax(r, e, p);
        return WF_CLASS_COUNT;
    }
    switch (*p) {
    case '"':
        return WF_CLASS_STR;
    case '{':
        return WF_CLASS_OBJECT;
    case '[':
        return WF_CLASS_ARRAY;
    case 'n':
        if (WF_JSON_IS(p, r->end, "null")) {
            return WF_CLASS_NULL;
        }
        e = WF_JSON_LITERAL;
        break;
    case 't':
        if (WF_JSON_IS(p, r->end, "true")) {
            return WF_CLASS_BOOL;
        }
        e = WF_JSON_LITERAL;
        break;
    case 'f':
        if (WF_JSON_IS(p, r->end, "false")) {
            return WF_CLASS_BOOL;
        }
        e = WF_JSON_LITERAL;
        break;
    default:
        if (*p == '-' || wf_json_is_digit(*p)) {
            return number_class(p, r->end);
        }
        break;
    }
    json_fail_syntax(r, e, p);
    return WF_CLASS_COUNT;
}

/* What a value that began at p is invalid for; the walk's own failures know no position. */
static inline enum wf_walk_result at(struct reader *r, const char *p, enum wf_walk_result result) {
    if (wf_unlikely(result == WF_WALK_INVALID)) {
        r->w->fail.at = (size_t)(p - r->start);
    }
    return result;
}

static inline bool is_lax(const struct reader *r, const struct wf_node *n) {
    return (r->w->flags & WF_WALK_LAX) != 0 || (n->flags & WF_NODE_LAX) != 0;
}

/* value  stolen, or NULL with an exception; began at p */
static inline enum wf_walk_result give(struct reader *r, const struct wf_node *n, const char *p,
                                       PyObject *value, PyObject **out) {
    *out = value;
    if (wf_unlikely(value == NULL)) {
        return WF_WALK_FAILED;
    }
    if (wf_unlikely(n->nchecks != 0)) {
        enum wf_walk_result result = wf_walk_checks_slow(r->w, n, value);
        if (result != WF_WALK_OK) {
            Py_CLEAR(*out);
            return at(r, p, result);
        }
    }
    return WF_WALK_OK;
}

/* ---- tokens ---- */

/* Over white space, of which there is mostly none. */
static inline const char *skip_space(const char *p, const char *end) {
    return wf_likely(p < end && (unsigned char)*p > ' ') ? p : wf_json_skip_space(p, end);
}

/* The string at r->p, which is a quote. */
static inline enum wf_walk_result read_text(struct reader *r, struct wf_json_text *t) {
    const char *p = r->p + 1;
    enum wf_json_error e = wf_json_text_read(&p, r->end, 0, t);
    if (wf_unlikely(e != WF_JSON_OK)) {
        json_fail_syntax(r, e, p);
        return WF_WALK_INVALID;
    }
    r->p = p;
    return WF_WALK_OK;
}

static inline enum wf_walk_result read_number(struct reader *r, struct wf_json_number *number) {
    const char *p = r->p;
    enum wf_json_error e = wf_json_long_number_read(&p, r->end, 0, number);
    if (wf_unlikely(e != WF_JSON_OK)) {
        json_fail_syntax(r, e, p);
        return WF_WALK_INVALID;
    }
    r->p = p;
    return WF_WALK_OK;
}

static inline enum wf_walk_result open_container(struct reader *r) {
    if (wf_unlikely(r->w->depth == WF_JSON_DEPTH_MAX)) {
        json_fail_syntax(r, WF_JSON_DEPTH, r->p);
        return WF_WALK_INVALID;
    }
    r->w->depth++;
    r->p = skip_space(r->p + 1, r->end);
    return WF_WALK_OK;
}

/* Behind a value: 1 where another follows (r->p is in front of it), 0 where the container ends, -1
 * where it has failed. */
static inline int next(struct reader *r, char close) {
    const char *p = skip_space(r->p, r->end);
    if (wf_likely(p < r->end)) {
        if (*p == ',') {
            r->p = skip_space(p + 1, r->end);
            return 1;
        }
        if (wf_likely(*p == close)) {
            r->p = p + 1;
            return 0;
        }
    }
    json_fail_end(r, WF_JSON_COMMA, p);
    return -1;
}

static inline enum wf_walk_result read_colon(struct reader *r) {
    const char *p = r->p;
    if (wf_unlikely(p >= r->end || *p != ':')) {
        p = skip_space(p, r->end);
        if (p >= r->end || *p != ':') {
            json_fail_end(r, WF_JSON_COLON, p);
            return WF_WALK_INVALID;
        }
    }
    r->p = skip_space(p + 1, r->end);
    return WF_WALK_OK;
}

/* The key at r->p and its colon. */
static inline enum wf_walk_result read_key(struct reader *r, struct wf_json_text *t) {
    if (wf_unlikely(r->p >= r->end || *r->p != '"')) {
        json_fail_end(r, WF_JSON_KEY, r->p);
        return WF_WALK_INVALID;
    }
    return read_text(r, t);
}

#endif
