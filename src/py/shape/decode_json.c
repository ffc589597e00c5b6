/* JSON to objects, as a shape has them: one switch over the nodes, straight over the tokens.
 *
 * Every function here takes the reader in front of a value and leaves it behind, or says what is
 * wrong and where; on the way back up from what is invalid the path is written down, so that a valid
 * document pays nothing for it. */
#include "py/shape/shape_int.h"

#include "base/alloc.h"
#include "py/json/json_make.h"

enum {
    /* A tag behind everything else in its object is looked for over all of that, again in each level
     * of nesting: this many times the document's length in all, then it is an error. */
    TAG_SEARCH_MAX = 16,
    /* Keys that are compared with the input before its text is measured and unescaped. */
    KEYS_TRIED_MAX = 16
};

struct reader {
    struct wf_walk *w;
    const char *start, *p, *end;
    size_t tag_budget;
};

/* Text of a token as UTF-8, and the str it had to be made into if it has escapes. */
struct utf8 {
    struct wf_span span;
    PyObject *str; /* owned, or NULL */
};

static enum wf_walk_result decode(struct reader *r, const struct wf_node *n, PyObject **out);

/* Over white space, of which there is mostly none. */
static inline const char *skip_space(const char *p, const char *end) {
    return wf_likely(p < end && (unsigned char)*p > ' ') ? p : wf_json_skip_space(p, end);
}

/* ---- failing ---- */

static WF_NOINLINE enum wf_walk_result fail_syntax(struct reader *r, enum wf_json_error e,
                                                   const char *at) {
    r->w->fail.code = (int)e;
    r->w->fail.at = (size_t)(at - r->start);
    return shape_fail(r->w, WF_FAIL_SYNTAX, NULL);
}

static enum wf_walk_result fail_end(struct reader *r, enum wf_json_error e, const char *at) {
    return fail_syntax(r, at >= r->end ? WF_JSON_END : e, at);
}

static enum wf_class number_class(const char *p, const char *end) {
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
        fail_syntax(r, e, p);
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
    fail_syntax(r, e, p);
    return WF_CLASS_COUNT;
}

/* Something else stands at p. */
static WF_NOINLINE enum wf_walk_result fail_expected(struct reader *r, const struct wf_node *n,
                                                     const char *p) {
    enum wf_class got = classify(r, p);
    if (got != WF_CLASS_COUNT) {
        r->w->fail.got = got;
        r->w->fail.at = (size_t)(p - r->start);
        return shape_fail(r->w, WF_FAIL_EXPECTED, n);
    }
    return WF_WALK_INVALID;
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

/* ---- strings ---- */

/* The string at r->p, which is a quote. */
static inline enum wf_walk_result read_text(struct reader *r, struct wf_json_text *t) {
    const char *p = r->p + 1;
    enum wf_json_error e = wf_json_text_read(&p, r->end, 0, t);
    if (wf_unlikely(e != WF_JSON_OK)) {
        return fail_syntax(r, e, p);
    }
    r->p = p;
    return WF_WALK_OK;
}

static enum wf_walk_result utf8_of(const struct wf_json_text *t, struct utf8 *out) {
    out->str = NULL;
    out->span = wf_span(t->p, t->n); /* NOLINT: text_read has filled it in where it is OK */
    if (wf_likely(!t->escaped)) {
        return WF_WALK_OK;
    }
    Py_ssize_t n = 0;
    out->str = wf_json_make_text(t);
    const char *p = out->str != NULL ? PyUnicode_AsUTF8AndSize(out->str, &n) : NULL;
    out->span = wf_span(p, (size_t)n);
    if (p == NULL) {
        Py_CLEAR(out->str);
        return WF_WALK_FAILED;
    }
    return WF_WALK_OK;
}

/* The string at r->p to a scalar. */
static enum wf_walk_result decode_text(struct reader *r, const struct wf_node *n, PyObject **out) {
    const char *first = r->p;
    struct wf_json_text t;
    struct utf8 u;
    enum wf_walk_result result = read_text(r, &t);
    if (result != WF_WALK_OK || (result = utf8_of(&t, &u)) != WF_WALK_OK) {
        return result;
    }
    result = wf_walk_text(r->w, n, u.span, out);
    Py_XDECREF(u.str);
    return at(r, first, result);
}

/* ---- numbers ---- */

static inline enum wf_walk_result read_number(struct reader *r, struct wf_json_number *number) {
    const char *p = r->p;
    enum wf_json_error e = wf_json_number_read(&p, r->end, 0, number);
    if (wf_unlikely(e != WF_JSON_OK)) {
        return fail_syntax(r, e, p);
    }
    r->p = p;
    return WF_WALK_OK;
}

static WF_NOINLINE enum wf_walk_result decode_int_slow(struct reader *r, const struct wf_node *n,
                                                       const char *first,
                                                       const struct wf_json_number *number,
                                                       PyObject **out) {
    PyObject *value;
    if (number->kind == WF_JSON_DOUBLE) {
        if (!is_lax(r, n) || number->d != __builtin_trunc(number->d)) {
            return fail_expected(r, n, first);
        }
        value = PyLong_FromDouble(number->d);
    } else {
        value = wf_json_make_number(number);
        if (value == NULL && PyErr_ExceptionMatches(PyExc_ValueError)) {
            return at(r, first, shape_fail_raised(r->w, n)); /* int() has a limit of digits */
        }
    }
    return give(r, n, first, value, out);
}

static inline enum wf_walk_result decode_int(struct reader *r, const struct wf_node *n,
                                             PyObject **out) {
    const char *first = r->p;
    struct wf_json_number number;
    enum wf_walk_result result = read_number(r, &number);
    if (wf_unlikely(result != WF_WALK_OK)) {
        return result;
    }
    if (wf_likely(number.kind == WF_JSON_INT)) {
        return give(r, n, first, PyLong_FromLongLong(number.i), out);
    }
    return decode_int_slow(r, n, first, &number, out);
}

static inline enum wf_walk_result decode_float(struct reader *r, const struct wf_node *n,
                                               PyObject **out) {
    const char *first = r->p;
    struct wf_json_number number;
    enum wf_walk_result result = read_number(r, &number);
    if (wf_unlikely(result != WF_WALK_OK)) {
        return result;
    }
    double d = number.d;
    switch (number.kind) {
    case WF_JSON_DOUBLE:
        break;
    case WF_JSON_INT:
        d = (double)number.i;
        break;
    case WF_JSON_UINT:
        d = (double)number.u;
        break;
    case WF_JSON_BIG:
        if (wf_double_read(first, r->end, &d) == NULL || __builtin_isinf(d)) {
            return fail_syntax(r, WF_JSON_NUMBER_RANGE, first);
        }
        break;
    }
    return give(r, n, first, PyFloat_FromDouble(d), out);
}

/* A Decimal of the number's own text; for pydantic of what json.loads would make of it. */
static enum wf_walk_result decode_decimal(struct reader *r, const struct wf_node *n,
                                          PyObject **out) {
    const char *first = r->p;
    struct wf_json_number number;
    char text[WF_DOUBLE_CHARS_MAX];
    enum wf_walk_result result = read_number(r, &number);
    if (result != WF_WALK_OK) {
        return result;
    }
    struct wf_span span = wf_span(first, (size_t)(r->p - first));
    if (n->flags & WF_NODE_PYDANTIC) {
        if (number.kind == WF_JSON_DOUBLE) {
            span = wf_span(text, wf_double_write(text, number.d));
        } else if (span.n == 2 && first[0] == '-' && first[1] == '0') {
            span = WF_SPAN("0");
        }
    }
    return at(r, first, wf_walk_text(r->w, n, span, out));
}

/* msgspec's strict=False: unix seconds, in UTC; a timedelta's seconds. */
static enum wf_walk_result decode_seconds(struct reader *r, const struct wf_node *n,
                                          PyObject **out) {
    const char *first = r->p;
    struct wf_json_number number;
    enum wf_walk_result result = read_number(r, &number);
    PyObject *seconds = result == WF_WALK_OK ? wf_json_make_number(&number) : NULL, *value = NULL;
    if (seconds == NULL) {
        return result == WF_WALK_OK ? WF_WALK_FAILED : result;
    }
    value = shape_make_of_seconds(r->w->state, (enum wf_node_kind)n->kind, seconds);
    Py_DECREF(seconds);
    if (value == NULL && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear(); /* out of range */
        return at(r, first, shape_fail(r->w, WF_FAIL_VALUE, n));
    }
    return give(r, n, first, value, out);
}

static const struct wf_choice *choice_of_number(const struct wf_node *n, long long number) {
    for (unsigned i = 0; i < n->n; i++) {
        if (n->choices[i].text.p == NULL && n->choices[i].number == number) {
            return &n->choices[i];
        }
    }
    return NULL;
}

static enum wf_walk_result decode_choice(struct reader *r, const struct wf_node *n,
                                         PyObject **out) {
    const char *first = r->p;
    struct wf_json_number number;
    if (first < r->end && *first == '"') {
        return decode_text(r, n, out);
    }
    if (first == r->end || (*first != '-' && !wf_json_is_digit(*first)) ||
        number_class(first, r->end) == WF_CLASS_FLOAT) {
        return fail_expected(r, n, first);
    }
    enum wf_walk_result result = read_number(r, &number);
    if (result != WF_WALK_OK) {
        return result;
    }
    const struct wf_choice *c = number.kind == WF_JSON_INT ? choice_of_number(n, number.i) : NULL;
    if (c == NULL) {
        r->w->fail.got = WF_CLASS_INT;
        return at(r, first, shape_fail(r->w, WF_FAIL_VALUE, n));
    }
    *out = Py_NewRef(c->value);
    return WF_WALK_OK;
}

/* ---- arrays ---- */

static inline enum wf_walk_result open_container(struct reader *r) {
    if (wf_unlikely(r->w->depth == WF_JSON_DEPTH_MAX)) {
        return fail_syntax(r, WF_JSON_DEPTH, r->p);
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
    fail_end(r, WF_JSON_COMMA, p);
    return -1;
}

static void drop(struct wf_walk *w, size_t at) {
    while (w->len > at) {
        Py_XDECREF(w->values[--w->len]);
    }
}

/* The node of the item at an index of an array; NULL where there is none. */
static inline const struct wf_node *item_node(const struct wf_node *n, size_t index) {
    if (n->kind == WF_NODE_TUPLE) {
        return index < n->n ? n->items[index] : NULL;
    }
    return n->item;
}

/* r->p is the bracket. */
static enum wf_walk_result decode_array(struct reader *r, const struct wf_node *n, PyObject **out) {
    struct wf_walk *w = r->w;
    const char *first = r->p;
    const size_t bottom = w->len;
    enum wf_walk_result result = open_container(r);
    if (wf_unlikely(result != WF_WALK_OK)) {
        return result;
    }
    int more = 1;
    if (r->p < r->end && *r->p == ']') {
        r->p++;
        more = 0;
    }
    while (more > 0) {
        PyObject *value = NULL;
        size_t index = w->len - bottom;
        const struct wf_node *item = item_node(n, index);
        if (wf_unlikely(item == NULL)) {
            result = at(r, first, shape_fail(w, WF_FAIL_LENGTH, n));
            goto fail;
        }
        result = decode(r, item, &value);
        if (wf_unlikely(result != WF_WALK_OK)) {
            if (result == WF_WALK_INVALID) {
                wf_walk_at_index(w, (Py_ssize_t)index);
            }
            goto fail;
        }
        if (wf_unlikely(wf_walk_push(w, value) < 0)) {
            result = WF_WALK_FAILED;
            goto fail;
        }
        more = next(r, ']');
    }
    if (wf_unlikely(more < 0)) {
        result = WF_WALK_INVALID;
        goto fail;
    }
    w->depth--;
    if (wf_unlikely(n->kind == WF_NODE_TUPLE && w->len - bottom != n->n)) {
        drop(w, bottom);
        return at(r, first, shape_fail(w, WF_FAIL_LENGTH, n));
    }
    return at(r, first, wf_walk_items(w, n, bottom, out));
fail:
    w->depth--;
    drop(w, bottom);
    return result;
}

/* ---- objects ---- */

static WF_NOINLINE enum wf_walk_result decode_any(struct reader *r, const struct wf_node *n,
                                                  unsigned flags, PyObject **out) {
    const char *first = r->p;
    enum wf_json_error e;
    *out = wf_json_decode_value(r->w->state, &r->p, r->end, flags, r->w->depth, &e);
    if (wf_likely(*out != NULL)) {
        return WF_WALK_OK;
    }
    if (e != WF_JSON_OK) {
        return fail_syntax(r, e, r->p);
    }
    return at(r, first, shape_fail_raised(r->w, n));
}

/* The key at r->p and its colon. */
static inline enum wf_walk_result read_key(struct reader *r, struct wf_json_text *t) {
    if (wf_unlikely(r->p >= r->end || *r->p != '"')) {
        return fail_end(r, WF_JSON_KEY, r->p);
    }
    return read_text(r, t);
}

static inline enum wf_walk_result read_colon(struct reader *r) {
    const char *p = r->p;
    if (wf_unlikely(p >= r->end || *p != ':')) {
        p = skip_space(p, r->end);
        if (p >= r->end || *p != ':') {
            return fail_end(r, WF_JSON_COLON, p);
        }
    }
    r->p = skip_space(p + 1, r->end);
    return WF_WALK_OK;
}

static enum wf_walk_result skip_value(struct reader *r) {
    enum wf_json_error e = wf_json_skip(&r->p, r->end, WF_JSON_DEPTH_MAX - r->w->depth);
    return e == WF_JSON_OK ? WF_WALK_OK : fail_syntax(r, e, r->p);
}

static enum wf_walk_result decode_dict(struct reader *r, const struct wf_node *n, PyObject **out) {
    struct wf_walk *w = r->w;
    const char *first = r->p;
    const struct wf_node *key_node = n->map.key;
    const bool plain_keys =
        (key_node->kind == WF_NODE_STR || key_node->kind == WF_NODE_ANY) && key_node->nchecks == 0;
    enum wf_walk_result result = open_container(r);
    if (result != WF_WALK_OK) {
        return result;
    }
    PyObject *dict = PyDict_New();
    Py_ssize_t size = 0;
    const size_t later = w->nlater;
    int more = 1;
    if (dict == NULL) {
        result = WF_WALK_FAILED;
        goto fail;
    }
    if (r->p < r->end && *r->p == '}') {
        r->p++;
        more = 0;
    }
    while (more > 0) {
        struct wf_json_text t;
        PyObject *key = NULL, *value = NULL;
        const char *key_at = r->p;
        if ((result = read_key(r, &t)) != WF_WALK_OK) {
            goto fail;
        }
        if (wf_likely(plain_keys)) {
            key = wf_json_make_key(&w->state->json, &t);
            result = key != NULL ? WF_WALK_OK : WF_WALK_FAILED;
        } else {
            r->p = key_at;
            result = decode_text(r, key_node, &key);
        }
        if (wf_unlikely(result != WF_WALK_OK)) {
            if (result == WF_WALK_INVALID) {
                wf_walk_at_key(w, wf_span(t.p, t.n));
            }
            goto fail;
        }
        if ((result = read_colon(r)) == WF_WALK_OK) {
            result = decode(r, n->map.value, &value);
            if (wf_unlikely(result == WF_WALK_INVALID)) {
                wf_walk_at_key(w, wf_span(t.p, t.n));
            }
        }
        if (wf_unlikely(result != WF_WALK_OK)) {
            Py_DECREF(key);
            goto fail;
        }
        int rc = PyDict_SetItem(dict, key, value); /* the last of equal names wins */
        size++;
        Py_DECREF(key);
        Py_DECREF(value);
        if (wf_unlikely(rc < 0)) {
            result = at(r, key_at, shape_fail_raised(w, n)); /* what cannot be hashed */
            goto fail;
        }
        if (wf_unlikely(PyDict_GET_SIZE(dict) != size)) {
            size--;
            if ((n->flags & WF_NODE_PYDANTIC) != 0 && (!plain_keys || w->nlater != later)) {
                /* names that are different in JSON, or something put off for what is gone */
                result = at(r, key_at, shape_fail(w, WF_FAIL_VALUE, n));
                goto fail;
            }
        }
        more = next(r, '}');
    }
    if (more < 0) {
        result = WF_WALK_INVALID;
        goto fail;
    }
    w->depth--;
    return give(r, n, first, dict, out);
fail:
    w->depth--;
    Py_XDECREF(dict);
    return result;
}

/* The value at r->p is a tag: is it this one? 1, 0, or -1 where it is no string or int (or failed). */
static int tag_is(struct reader *r, const struct wf_choice *tag, const struct wf_choice **among,
                  unsigned n) {
    const char *first = r->p;
    struct wf_json_text t;
    struct utf8 u = {.str = NULL};
    struct wf_json_number number = {.kind = WF_JSON_BIG};
    bool text = first < r->end && *first == '"';
    if (text) {
        if (read_text(r, &t) != WF_WALK_OK || utf8_of(&t, &u) != WF_WALK_OK) {
            return -1;
        }
    } else if (first == r->end || (*first != '-' && !wf_json_is_digit(*first)) ||
               read_number(r, &number) != WF_WALK_OK) {
        return -1;
    }
    int found = 0;
    for (unsigned i = 0; i < n && !found; i++) {
        const struct wf_choice *c = &tag[i];
        found = text ? c->text.p != NULL && wf_span_eq(c->text, u.span)
                     : c->text.p == NULL && number.kind == WF_JSON_INT && c->number == number.i;
        *among = c;
    }
    Py_XDECREF(u.str);
    return found;
}

/* A name that is no field. `at` is where the object's values are. */
static enum wf_walk_result decode_unknown(struct reader *r, const struct wf_node *n,
                                          size_t at_value, const struct wf_json_text *t,
                                          struct wf_span name, const char *key_at) {
    struct wf_walk *w = r->w;
    const struct wf_object *o = &n->object;
    if (o->tag_key.p != NULL && wf_span_eq(name, o->tag_key)) {
        const struct wf_choice *tag;
        const char *first = r->p;
        int same = tag_is(r, &o->tag, &tag, 1);
        if (same > 0) {
            return WF_WALK_OK;
        }
        if (same < 0 && PyErr_Occurred()) {
            return WF_WALK_FAILED;
        }
        return at(r, first, shape_fail(w, WF_FAIL_TAG, n));
    }
    if (o->extra == WF_EXTRA_FORBID) {
        w->fail.key = wf_span(t->p, t->n);
        return at(r, key_at, shape_fail(w, WF_FAIL_UNKNOWN, n));
    }
    if (o->extra == WF_EXTRA_IGNORE && !(n->flags & WF_NODE_PYDANTIC)) {
        return skip_value(r);
    }
    /* json.loads would make it, and may refuse to: an int of too many digits */
    PyObject *value;
    enum wf_walk_result result = decode_any(r, n, 0, &value);
    if (result != WF_WALK_OK || o->extra == WF_EXTRA_IGNORE) {
        if (result == WF_WALK_OK) {
            Py_DECREF(value);
        }
        return result;
    }
    PyObject *key = wf_json_make_key(&w->state->json, t);
    PyObject **extra = &w->values[at_value + o->nfields];
    if (key == NULL || (*extra == NULL && (*extra = PyDict_New()) == NULL) ||
        PyDict_SetItem(*extra, key, value) < 0) {
        result = WF_WALK_FAILED;
    }
    Py_XDECREF(key);
    Py_DECREF(value);
    return result;
}

/* Is the key at p this one, written without escapes? p is a quote with eight bytes behind it. */
static inline bool is_key(const struct reader *r, const char *p, const struct wf_key *k) {
    const size_t n = k->text.n;
    uint64_t head, tail;
    memcpy(&head, p + 1, 8);
    if ((head & k->mask) != k->head || (size_t)(r->end - p) < n + 2 || p[n + 1] != '"' ||
        wf_unlikely(!k->plain)) {
        return false;
    }
    if (n <= 8) {
        return true;
    }
    memcpy(&tail, p + 1 + n - 8, 8);
    return tail == k->tail && (n <= 16 || memcmp(p + 9, k->text.p + 8, n - 16) == 0);
}

/* The field's key at r->p, passed over; NULL where it is none, or written in another way. *expected
 * is where to look first, and is moved on. */
static inline const struct wf_key *at_key(struct reader *r, const struct wf_object *o,
                                          unsigned *expected) {
    const char *p = r->p;
    unsigned n = WF_MIN(o->nkeys, (unsigned)KEYS_TRIED_MAX),
             i = *expected < o->nkeys ? *expected : 0;
    if (wf_unlikely(r->end - p < 9 || *p != '"')) {
        return NULL;
    }
    for (; n > 0; n--) {
        const struct wf_key *k = &o->keys[i];
        i = i + 1 < o->nkeys ? i + 1 : 0;
        if (wf_likely(is_key(r, p, k))) {
            *expected = i;
            r->p = p + k->text.n + 2;
            return k;
        }
    }
    return NULL;
}

/* The key at r->p that is not the expected one, and its colon. *key is NULL for a name that is no
 * field, whose value has then been dealt with. */
static WF_NOINLINE enum wf_walk_result find_key(struct reader *r, const struct wf_node *n,
                                                size_t bottom, unsigned *expected,
                                                const struct wf_key **key) {
    struct wf_json_text t;
    struct utf8 u;
    const char *key_at = r->p;
    enum wf_walk_result result = read_key(r, &t);
    if (result != WF_WALK_OK || (result = utf8_of(&t, &u)) != WF_WALK_OK) {
        return result;
    }
    *key = wf_object_key(&n->object, u.span, expected);
    result = read_colon(r);
    if (result == WF_WALK_OK && *key == NULL) {
        result = decode_unknown(r, n, bottom, &t, u.span, key_at);
        if (result == WF_WALK_INVALID && r->w->fail.fail != WF_FAIL_UNKNOWN) {
            wf_walk_at_key(r->w, wf_span(t.p, t.n));
        }
    }
    Py_XDECREF(u.str);
    return result;
}

/* r->p is the brace. */
static enum wf_walk_result decode_fields(struct reader *r, const struct wf_node *n,
                                         PyObject **out) {
    struct wf_walk *w = r->w;
    const struct wf_object *o = &n->object;
    const char *first = r->p;
    const size_t bottom = w->len, later = w->nlater;
    enum wf_walk_result result = open_container(r);
    if (wf_unlikely(result != WF_WALK_OK)) {
        return result;
    }
    if (wf_unlikely(wf_walk_push_nulls(w, (size_t)o->nfields + o->extra_values) < 0)) {
        result = WF_WALK_FAILED;
        goto fail;
    }
    int more = 1;
    unsigned expected = 0;
    if (r->p < r->end && *r->p == '}') {
        r->p++;
        more = 0;
    }
    while (more > 0) {
        const struct wf_key *key = NULL;
        if (wf_likely((key = at_key(r, o, &expected)) != NULL)) {
            result = read_colon(r);
        } else {
            result = find_key(r, n, bottom, &expected, &key);
        }
        if (wf_unlikely(result != WF_WALK_OK)) {
            goto fail;
        }
        if (wf_likely(key != NULL)) {
            const struct wf_object_field *f = &o->fields[key->field];
            PyObject *value = NULL;
            const size_t before = w->nlater;
            result = decode(r, f->node, &value);
            if (wf_unlikely(result != WF_WALK_OK)) {
                if (result == WF_WALK_INVALID) {
                    wf_walk_at_field(w, f);
                }
                goto fail;
            }
            wf_walk_later_for(w, before, key->field);
            PyObject **slot = &w->values[bottom + key->field], *old = *slot;
            *slot = value; /* the last of equal names wins */
            if (wf_unlikely(old != NULL)) {
                Py_DECREF(old);
                if ((n->flags & WF_NODE_PYDANTIC) != 0 &&
                    (o->nkeys != o->nfields || w->nlater != later)) {
                    /* by two of its names, of which pydantic has its favourite; or there is
                     * something put off for a value that is gone */
                    result = at(r, first, shape_fail(w, WF_FAIL_VALUE, n));
                    goto fail;
                }
            }
        }
        more = next(r, '}');
    }
    if (wf_unlikely(more < 0)) {
        result = WF_WALK_INVALID;
        goto fail;
    }
    w->depth--;
    w->later_at = later;
    return at(r, first, wf_walk_object(w, n, bottom, out));
fail:
    w->depth--;
    drop(w, bottom);
    return result;
}

/* msgspec's array_like: values in the order of the fields, the tag in front. r->p is the bracket. */
static enum wf_walk_result decode_field_array(struct reader *r, const struct wf_node *n,
                                              PyObject **out) {
    struct wf_walk *w = r->w;
    const struct wf_object *o = &n->object;
    const char *first = r->p;
    const size_t bottom = w->len, later = w->nlater;
    enum wf_walk_result result = open_container(r);
    if (result != WF_WALK_OK) {
        return result;
    }
    if (wf_walk_push_nulls(w, o->nfields) < 0) {
        result = WF_WALK_FAILED;
        goto fail;
    }
    int more = 1;
    unsigned i = 0;
    bool tag = o->tag_key.p != NULL;
    if (r->p < r->end && *r->p == ']') {
        r->p++;
        more = 0;
    }
    while (more > 0) {
        if (tag) {
            const struct wf_choice *among;
            int same = tag_is(r, &o->tag, &among, 1);
            tag = false;
            if (same <= 0) {
                result =
                    PyErr_Occurred() ? WF_WALK_FAILED : at(r, first, shape_fail(w, WF_FAIL_TAG, n));
                goto fail;
            }
        } else if (i < o->nfields) {
            result = decode(r, o->fields[i].node, &w->values[bottom + i]);
            if (result != WF_WALK_OK) {
                w->values[bottom + i] = NULL;
                if (result == WF_WALK_INVALID) {
                    wf_walk_at_index(w, i);
                }
                goto fail;
            }
            i++;
        } else if (o->extra == WF_EXTRA_FORBID) {
            result = at(r, first, shape_fail(w, WF_FAIL_LENGTH, n));
            goto fail;
        } else if ((result = skip_value(r)) != WF_WALK_OK) {
            goto fail;
        }
        more = next(r, ']');
    }
    if (more < 0) {
        result = WF_WALK_INVALID;
        goto fail;
    }
    w->depth--;
    w->later_at = later; /* items come in the order of the fields */
    return at(r, first, wf_walk_object(w, n, bottom, out));
fail:
    w->depth--;
    drop(w, bottom);
    return result;
}

/* RootModel: the value itself is its only field. */
static enum wf_walk_result decode_root(struct reader *r, const struct wf_node *n, PyObject **out) {
    PyObject *value = NULL;
    const char *first = r->p;
    size_t bottom = r->w->len;
    enum wf_walk_result result = decode(r, n->object.fields[0].node, &value);
    if (result != WF_WALK_OK) {
        return result;
    }
    if (wf_walk_push(r->w, value) < 0) {
        return WF_WALK_FAILED;
    }
    r->w->later_at = r->w->nlater;
    return at(r, first, wf_walk_object(r->w, n, bottom, out));
}

/* The member of the object at r->p, by its tag, wherever that stands in it. r->p stays. */
static enum wf_walk_result find_tag(struct reader *r, const struct wf_node *n,
                                    const struct wf_node **member) {
    const char *first = r->p;
    struct wf_json_text t;
    enum wf_walk_result result = open_container(r);
    if (result != WF_WALK_OK) {
        return result;
    }
    int more = r->p < r->end && *r->p == '}' ? 0 : 1;
    int found = 0;
    while (more > 0 && result == WF_WALK_OK) {
        struct utf8 u;
        if ((result = read_key(r, &t)) != WF_WALK_OK || (result = utf8_of(&t, &u)) != WF_WALK_OK) {
            break;
        }
        bool is_tag = wf_span_eq(u.span, n->tagged.key);
        Py_XDECREF(u.str);
        if ((result = read_colon(r)) != WF_WALK_OK) {
            break;
        }
        if (is_tag) {
            const char *value_at = r->p;
            const struct wf_choice *among = NULL;
            found = tag_is(r, n->tagged.tags, &among, n->tagged.n);
            if (found > 0) {
                *member = n->tagged.nodes[among - n->tagged.tags];
            } else if (PyErr_Occurred()) {
                result = WF_WALK_FAILED;
            } else {
                result = at(r, value_at, shape_fail(r->w, WF_FAIL_TAG, n));
                wf_walk_at_key(r->w, n->tagged.key);
            }
            break;
        }
        const char *skipped = r->p;
        result = skip_value(r);
        if (result == WF_WALK_OK) {
            more = next(r, '}');
            result = more < 0 ? WF_WALK_INVALID : WF_WALK_OK;
        }
        size_t bytes = (size_t)(r->p - skipped);
        if (result == WF_WALK_OK && bytes > r->tag_budget) {
            result = fail_syntax(r, WF_JSON_DEPTH, skipped);
        }
        r->tag_budget -= WF_MIN(bytes, r->tag_budget);
    }
    if (result == WF_WALK_OK && found == 0) {
        r->w->fail.field = NULL;
        result = at(r, first, shape_fail(r->w, WF_FAIL_MISSING, n));
    }
    r->w->depth--;
    r->p = first;
    return result;
}

static enum wf_walk_result decode_object(struct reader *r, const struct wf_node *n,
                                         PyObject **out) {
    const struct wf_object *o = &n->object;
    if (wf_unlikely(o->make == WF_MAKE_ROOT_MODEL)) {
        return decode_root(r, n, out);
    }
    if (wf_unlikely(r->p >= r->end || *r->p != (o->array ? '[' : '{'))) {
        return fail_expected(r, n, r->p);
    }
    return o->array ? decode_field_array(r, n, out) : decode_fields(r, n, out);
}

/* ---- unions ---- */

/* With strict=False: the first scalar member that takes the text. */
static enum wf_walk_result decode_lax_union(struct reader *r, const struct wf_node *n,
                                            PyObject **out) {
    const char *first = r->p;
    for (unsigned i = 0; i < n->n; i++) {
        const struct wf_node *member = n->one_of.members[i];
        if (member->kind >= WF_NODE_LIST) {
            continue;
        }
        r->p = first;
        enum wf_walk_result result = decode(r, member, out);
        if (result != WF_WALK_INVALID || r->w->fail.fail == WF_FAIL_SYNTAX) {
            return result;
        }
        Py_CLEAR(r->w->fail.cause);
    }
    return fail_expected(r, n, first);
}

static enum wf_walk_result decode_union(struct reader *r, const struct wf_node *n, PyObject **out) {
    enum wf_class class = classify(r, r->p);
    if (wf_unlikely(class == WF_CLASS_COUNT)) {
        return WF_WALK_INVALID;
    }
    const struct wf_node *member = n->one_of.by_class[class];
    if (wf_likely(member != NULL)) {
        return decode(r, member, out);
    }
    if (is_lax(r, n) && class < WF_CLASS_ARRAY) {
        return decode_lax_union(r, n, out);
    }
    return fail_expected(r, n, r->p);
}

/* ---- judges ---- */

static enum wf_walk_result hand_over(struct reader *r, const struct wf_node *n, unsigned flags,
                                     PyObject **out) {
    const char *first = r->p;
    PyObject *object;
    enum wf_walk_result result = decode_any(r, n, flags, &object);
    if (result == WF_WALK_OK) {
        result = at(r, first, wf_walk_judge(r->w, n, object, out));
        Py_DECREF(object);
    }
    return result;
}

static enum wf_walk_result decode_kind(struct reader *r, const struct wf_node *n, PyObject **out);

/* What the native walk finds invalid is judged as plain objects. */
static enum wf_walk_result decode_judged(struct reader *r, const struct wf_node *n,
                                         PyObject **out) {
    const char *first = r->p;
    const size_t later = r->w->nlater;
    enum wf_walk_result result = decode_kind(r, n, out);
    if (result == WF_WALK_OK && (result = wf_walk_later(r->w, later)) != WF_WALK_OK) {
        Py_CLEAR(*out);
    }
    if (wf_unlikely(result == WF_WALK_INVALID)) {
        wf_walk_forget(r->w, later);
        r->p = first;
        Py_CLEAR(r->w->fail.cause);
        result = hand_over(r, n, 0, out);
    }
    return result;
}

/* ---- the switch ---- */

static enum wf_walk_result decode_kind(struct reader *r, const struct wf_node *n, PyObject **out) {
    const char *p = r->p;
    const char c = p < r->end ? *p : '\0';
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_STR:
        if (wf_likely(c == '"')) {
            struct wf_json_text t;
            enum wf_walk_result result = read_text(r, &t);
            if (wf_unlikely(result != WF_WALK_OK)) {
                return result;
            }
            return give(r, n, p, wf_json_make_text(&t), out);
        }
        break;
    case WF_NODE_INT:
        if (wf_likely(c == '-' || wf_json_is_digit(c))) {
            return decode_int(r, n, out);
        }
        if (c == '"' && is_lax(r, n)) {
            return decode_text(r, n, out);
        }
        break;
    case WF_NODE_FLOAT:
        if (wf_likely(c == '-' || wf_json_is_digit(c))) {
            return decode_float(r, n, out);
        }
        if (c == '"' && is_lax(r, n)) {
            return decode_text(r, n, out);
        }
        break;
    case WF_NODE_BOOL:
        if (WF_JSON_IS(p, r->end, "true")) {
            r->p = p + 4;
            *out = Py_NewRef(Py_True);
            return WF_WALK_OK;
        }
        if (WF_JSON_IS(p, r->end, "false")) {
            r->p = p + 5;
            *out = Py_NewRef(Py_False);
            return WF_WALK_OK;
        }
        if (is_lax(r, n)) {
            if (c == '"') {
                return decode_text(r, n, out);
            }
            if ((c == '0' || c == '1') && number_class(p, r->end) == WF_CLASS_INT &&
                (p + 1 == r->end || !wf_json_is_digit(p[1]))) {
                r->p = p + 1;
                *out = Py_NewRef(c == '1' ? Py_True : Py_False);
                return WF_WALK_OK;
            }
        }
        break;
    case WF_NODE_NONE:
        if (WF_JSON_IS(p, r->end, "null")) {
            r->p = p + 4;
            *out = Py_NewRef(Py_None);
            return WF_WALK_OK;
        }
        if (c == '"' && is_lax(r, n)) {
            return decode_text(r, n, out);
        }
        break;
    case WF_NODE_OBJECT:
        return decode_object(r, n, out);
    case WF_NODE_LIST:
    case WF_NODE_VARTUPLE:
    case WF_NODE_SET:
    case WF_NODE_FROZENSET:
    case WF_NODE_DEQUE:
    case WF_NODE_TUPLE:
        if (wf_likely(c == '[')) {
            return decode_array(r, n, out);
        }
        break;
    case WF_NODE_DICT:
        if (wf_likely(c == '{')) {
            return decode_dict(r, n, out);
        }
        break;
    case WF_NODE_UNION:
        return decode_union(r, n, out);
    case WF_NODE_TAGGED:
        if (wf_likely(c == '{')) {
            const struct wf_node *member = NULL;
            enum wf_walk_result result = find_tag(r, n, &member);
            WF_ASSERT(result != WF_WALK_OK || member != NULL);
            return result == WF_WALK_OK ? decode(r, member, out) : result;
        }
        break;
    case WF_NODE_ANY:
        return decode_any(r, n, 0, out);
    case WF_NODE_HANDED:
        return hand_over(r, n, 0, out);
    case WF_NODE_CHOICE:
        return decode_choice(r, n, out);
    case WF_NODE_DECIMAL:
        if (c == '-' || wf_json_is_digit(c)) {
            return decode_decimal(r, n, out);
        }
        if (c == '"') {
            return decode_text(r, n, out);
        }
        break;
    case WF_NODE_DATETIME:
    case WF_NODE_TIMEDELTA:
        if ((c == '-' || wf_json_is_digit(c)) && is_lax(r, n)) {
            return decode_seconds(r, n, out);
        }
        if (wf_likely(c == '"')) {
            return decode_text(r, n, out);
        }
        break;
    case WF_NODE_BYTES:
    case WF_NODE_DATE:
    case WF_NODE_TIME:
    case WF_NODE_UUID:
    case WF_NODE_TEXT:
        if (wf_likely(c == '"')) {
            return decode_text(r, n, out);
        }
        break;
    case WF_NODE_KIND_COUNT:
        Py_UNREACHABLE();
    }
    return fail_expected(r, n, p);
}

static enum wf_walk_result decode(struct reader *r, const struct wf_node *n, PyObject **out) {
    if (wf_unlikely(n->judge != NULL && n->kind != WF_NODE_HANDED)) {
        return decode_judged(r, n, out);
    }
    return decode_kind(r, n, out);
}

enum wf_walk_result wf_json_decode_shape(struct wf_walk *w, const struct wf_node *root,
                                         struct wf_span in, PyObject **out) {
    struct reader r = {.w = w, .start = in.p, .p = in.p, .end = in.p + in.n};
    r.tag_budget = in.n * TAG_SEARCH_MAX;
    *out = NULL;
    r.p = skip_space(r.p, r.end);
    enum wf_walk_result result = decode_kind(&r, root, out);
    if (result == WF_WALK_OK) {
        r.p = skip_space(r.p, r.end);
        if (wf_unlikely(r.p != r.end)) {
            Py_CLEAR(*out);
            return fail_syntax(&r, WF_JSON_TRAILING, r.p);
        }
        result = wf_walk_later(w, 0);
        if (wf_unlikely(result != WF_WALK_OK)) {
            Py_CLEAR(*out);
        }
    }
    return result;
}

/* ---- documents ---- */

/* The whole of a document in Python's hands. */
static PyObject *decode_document(struct wf_shape *shape, struct wf_span in, PyObject *doc,
                                 unsigned flags) {
    const struct wf_node *root = shape->root;
    struct wf_span whole = in;
    struct wf_walk w;
    if (!PyUnicode_Check(doc) && WF_JSON_IS(in.p, in.p + in.n, "\xef\xbb\xbf")) {
        in = wf_span(in.p + 3, in.n - 3); /* a byte order mark, as in the untyped decoder */
    }
    wf_walk_init(&w, shape->state, flags);
    PyObject *value = NULL;
    enum wf_walk_result result = WF_WALK_INVALID;
    if (root->kind != WF_NODE_HANDED) {
        result = wf_json_decode_shape(&w, root, in, &value);
    }
    if (result == WF_WALK_INVALID && root->judge != NULL) {
        /* what json.loads takes, or the error of the untyped decoder */
        PyObject *object = wf_json_decode(shape->state, in, WF_JSON_SURROGATES | WF_JSON_NONFINITE);
        if (object != NULL) {
            value = PyObject_CallOneArg(root->judge, object);
            Py_DECREF(object);
        }
    } else if (result == WF_WALK_INVALID) {
        w.fail.at += whole.n - in.n;
        wf_json_raise_fail(&w, whole, doc);
    }
    wf_walk_clear(&w);
    return value;
}

static PyObject *decode_str(struct wf_shape *shape, PyObject *str, unsigned flags) {
    if (wf_json_str_ready(str) < 0) {
        return NULL;
    }
    if (PyUnicode_IS_ASCII(str)) {
        return decode_document(
            shape, wf_span(PyUnicode_DATA(str), (size_t)PyUnicode_GET_LENGTH(str)), str, flags);
    }
    PyObject *bytes = PyUnicode_AsUTF8String(str);
    if (bytes == NULL) {
        if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            PyErr_Clear(); /* a lone surrogate; the untyped decoder knows how to say so */
            PyObject *never = wf_json_decode_object(shape->state, str);
            WF_ASSERT(never == NULL);
            Py_XDECREF(never);
        }
        return NULL;
    }
    struct wf_span in = wf_span(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    PyObject *value = decode_document(shape, in, str, flags);
    Py_DECREF(bytes);
    return value;
}

static PyObject *decode_buffer(struct wf_shape *shape, PyObject *data, unsigned flags) {
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError,
                         "the JSON document must be bytes, a buffer or str, not %.100s",
                         Py_TYPE(data)->tp_name);
        }
        return NULL;
    }
    PyObject *value = NULL;
    if (view.readonly) {
        value = decode_document(shape, wf_span(view.buf, (size_t)view.len), data, flags);
    } else {
        /* application code may run meanwhile, and change it */
        char *copy = wf_malloc((size_t)view.len + 1);
        if (copy == NULL) {
            PyErr_NoMemory();
        } else {
            memcpy(copy, view.buf, (size_t)view.len);
            value = decode_document(shape, wf_span(copy, (size_t)view.len), data, flags);
            wf_free(copy);
        }
    }
    PyBuffer_Release(&view);
    return value;
}

/* data  borrowed */
static PyObject *decode_data(struct wf_shape *shape, PyObject *data, unsigned flags) {
    PyObject *value;
    if (wf_unlikely(shape->root == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "the shape has been cleared");
        return NULL;
    }
    Py_INCREF(shape); /* application code may let go of it */
    if (wf_likely(PyBytes_Check(data))) {
        value = decode_document(
            shape, wf_span(PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data)), data, flags);
    } else if (PyUnicode_Check(data)) {
        value = decode_str(shape, data, flags);
    } else {
        value = decode_buffer(shape, data, flags);
    }
    Py_DECREF(shape);
    return value;
}

PyObject *shape_decode_json(PyObject *self, PyObject *data) {
    return decode_data((struct wf_shape *)self, data, 0);
}

PyObject *shape_decode_json_lax(PyObject *self, PyObject *data) {
    return decode_data((struct wf_shape *)self, data, WF_WALK_LAX);
}

PyObject *wf_shape_find(struct wf_state *state, PyObject *type) {
    struct wf_shape_state *s = &state->shape;
    PyObject *shape = PyDict_GetItemWithError(s->by_type, type); /* borrowed */
    if (wf_likely(shape != NULL)) {
        return Py_NewRef(shape);
    }
    if (PyErr_Occurred()) { /* it cannot be hashed, and is not kept */
        PyErr_Clear();
    }
    if (s->native_of == NULL &&
        (s->native_of = shape_import("weft.shapes.compiled", "native_of")) == NULL) {
        return NULL;
    }
    shape = PyObject_CallOneArg(s->native_of, type);
    if (shape != NULL && !Py_IS_TYPE(shape, s->shape_type)) {
        PyErr_SetString(PyExc_TypeError, "weft.shapes gave no Shape");
        Py_CLEAR(shape);
    }
    if (shape != NULL) {
        if (PyDict_GET_SIZE(s->by_type) >= WF_SHAPE_TYPES) {
            PyDict_Clear(s->by_type);
        }
        if (PyDict_SetItem(s->by_type, type, shape) < 0) {
            PyErr_Clear();
        }
    }
    return shape;
}

/* json_decode(data, /, *, type=Any, strict=True) */
PyObject *shape_py_json_decode(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames) {
    struct wf_state *state = wf_state_of_module(module);
    if (nargs != 1) {
        PyErr_Format(PyExc_TypeError, "decode() takes one positional argument, %zd were given",
                     nargs);
        return NULL;
    }
    PyObject *data = args[0], *type = NULL;
    int strict = 1;
    for (Py_ssize_t i = 0; kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i), *value = args[nargs + i];
        if (PyUnicode_CompareWithASCIIString(name, "type") == 0) {
            type = value;
        } else if (PyUnicode_CompareWithASCIIString(name, "strict") == 0) {
            strict = PyObject_IsTrue(value);
        } else {
            PyErr_Format(PyExc_TypeError, "decode() has no argument %R", name);
            return NULL;
        }
    }
    if (strict < 0) {
        return NULL;
    }
    if (type == NULL) {
        return wf_json_decode_object(state, data);
    }
    PyObject *shape = wf_shape_find(state, type);
    if (shape == NULL) {
        return NULL;
    }
    PyObject *value = decode_data((struct wf_shape *)shape, data, strict ? 0 : WF_WALK_LAX);
    Py_DECREF(shape);
    return value;
}
