/* JSON to objects, as a shape has them: one switch over the nodes, straight over the tokens. */
#include "py/shape/decode_json_int.h"

enum {
    /* A tag behind everything else in its object is looked for over all of that, again in each level
     * of nesting: this many times the document's length in all, then it is an error. */
    TAG_SEARCH_MAX = 16
};

/* What stands at r->p; nothing that JSON has where that is the end. */
static inline char peek(const struct reader *r) {
    return r->p < r->end ? *r->p : '\0';
}

/* What is read from text where that is allowed, and this is no text else. */
static enum wf_walk_result decode_lax_text(struct reader *r, const struct wf_node *n,
                                           PyObject **out) {
    return peek(r) == '"' && is_lax(r, n) ? json_decode_text(r, n, out)
                                          : json_fail_expected(r, n, r->p);
}

/* ---- numbers ---- */

static WF_NOINLINE enum wf_walk_result decode_int(struct reader *r, const struct wf_node *n,
                                                  PyObject **out) {
    const char *first = r->p;
    int32_t i;
    double d;
    if (wf_likely(r->end - first >= WF_SHORT_NUMBER_BYTES)) {
        const char *p = first;
        if (wf_short_number_read(&p, r->end, &i, &d) == WF_SHORT_INT) {
            r->p = p;
            return give(r, n, first, wf_json_make_int(&r->w->state->json, i), out);
        }
    }
    if (wf_unlikely(!wf_json_is_number(peek(r)))) {
        return decode_lax_text(r, n, out);
    }
    struct wf_json_number number;
    enum wf_walk_result result = read_number(r, &number);
    if (wf_unlikely(result != WF_WALK_OK)) {
        return result;
    }
    if (wf_likely(number.kind == WF_JSON_INT)) {
        return give(r, n, first, wf_json_make_int(&r->w->state->json, number.i), out);
    }
    return json_decode_int_slow(r, n, first, &number, out);
}

static WF_NOINLINE enum wf_walk_result decode_float(struct reader *r, const struct wf_node *n,
                                                    PyObject **out) {
    const char *first = r->p;
    int32_t i;
    double d;
    if (wf_likely(r->end - first >= WF_SHORT_NUMBER_BYTES)) {
        const char *p = first;
        const enum wf_short_number kind = wf_short_number_read(&p, r->end, &i, &d);
        if (wf_likely(kind != WF_SHORT_NONE)) {
            r->p = p;
            d = kind == WF_SHORT_INT ? (double)i : d;
            return give(r, n, first, PyFloat_FromDouble(d), out);
        }
    }
    if (wf_unlikely(!wf_json_is_number(peek(r)))) {
        return decode_lax_text(r, n, out);
    }
    struct wf_json_number number;
    enum wf_walk_result result = read_number(r, &number);
    if (wf_unlikely(result != WF_WALK_OK)) {
        return result;
    }
    d = number.d;
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
            return json_fail_syntax(r, WF_JSON_NUMBER_RANGE, first);
        }
        break;
    }
    return give(r, n, first, PyFloat_FromDouble(d), out);
}

/* ---- text, literals ---- */

/* What has escapes or is not ASCII. */
static WF_NOINLINE enum wf_walk_result decode_wide_str(struct reader *r, const struct wf_node *n,
                                                       PyObject **out) {
    const char *first = r->p;
    struct wf_json_text t;
    enum wf_walk_result result = read_text(r, &t);
    return result != WF_WALK_OK ? result : give(r, n, first, wf_json_make_text(&t), out);
}

static WF_NOINLINE enum wf_walk_result decode_str(struct reader *r, const struct wf_node *n,
                                                  PyObject **out) {
    const char *first = r->p;
    if (wf_unlikely(peek(r) != '"')) {
        return json_fail_expected(r, n, first);
    }
    unsigned high = 0;
    const char *text = first + 1, *q = wf_json_plain_in(r->start, text, r->end, &high);
    if (wf_unlikely(high != 0 || q == r->end || *q != '"')) {
        return decode_wide_str(r, n, out);
    }
    r->p = q + 1;
    return give(r, n, first, wf_json_make_ascii(text, (size_t)(q - text)), out);
}

static WF_NOINLINE enum wf_walk_result decode_bool(struct reader *r, const struct wf_node *n,
                                                   PyObject **out) {
    const char *p = r->p;
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
    p += peek(r) == '-' && p + 1 < r->end && p[1] == '0';
    const char c = p < r->end ? *p : '\0';
    if ((c == '0' || c == '1') && is_lax(r, n) && number_class(p, r->end) == WF_CLASS_INT &&
        (p + 1 == r->end || !wf_json_is_digit(p[1]))) {
        r->p = p + 1;
        *out = Py_NewRef(c == '1' ? Py_True : Py_False);
        return WF_WALK_OK;
    }
    return decode_lax_text(r, n, out);
}

static WF_NOINLINE enum wf_walk_result decode_none(struct reader *r, const struct wf_node *n,
                                                   PyObject **out) {
    const char *p = r->p;
    if (WF_JSON_IS(p, r->end, "null")) {
        r->p = p + 4;
        *out = Py_NewRef(Py_None);
        return WF_WALK_OK;
    }
    return decode_lax_text(r, n, out);
}

/* ---- containers ---- */

/* The node of the item at an index of an array; NULL where there is none. */
static inline const struct wf_node *item_node(const struct wf_node *n, size_t index) {
    if (n->kind == WF_NODE_TUPLE) {
        return index < n->n ? n->items[index] : NULL;
    }
    return n->item;
}

static WF_NOINLINE enum wf_walk_result decode_array(struct reader *r, const struct wf_node *n,
                                                    PyObject **out) {
    struct wf_walk *w = r->w;
    const char *first = r->p;
    if (wf_unlikely(peek(r) != '[')) {
        return json_fail_expected(r, n, first);
    }
    const size_t bottom = w->values.len, later = w->nlater;
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
        size_t index = w->values.len - bottom;
        const struct wf_node *item = item_node(n, index);
        if (wf_unlikely(item == NULL)) {
            result = at(r, first, shape_fail(w, WF_FAIL_LENGTH, n));
            goto fail;
        }
        const size_t before = w->nlater;
        result = json_decode(r, item, &value);
        if (wf_unlikely(result != WF_WALK_OK)) {
            if (result == WF_WALK_INVALID) {
                wf_walk_at_index(w, (Py_ssize_t)index);
            }
            goto fail;
        }
        wf_walk_later_for(w, before, (unsigned)index);
        if (wf_unlikely(wf_values_push(&w->values, value) < 0)) {
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
    if (wf_unlikely(n->kind == WF_NODE_TUPLE && w->values.len - bottom != n->n)) {
        wf_values_drop(&w->values, bottom);
        return at(r, first, shape_fail(w, WF_FAIL_LENGTH, n));
    }
    w->later_at = later;
    return at(r, first, wf_walk_items(w, n, bottom, out));
fail:
    w->depth--;
    wf_values_drop(&w->values, bottom);
    return result;
}

enum wf_walk_result json_decode_any(struct reader *r, const struct wf_node *n, unsigned flags,
                                    PyObject **out) {
    const char *first = r->p;
    enum wf_json_error e;
    *out = wf_json_decode_value(r->w->state, &r->p, r->end, flags, r->w->depth, &e);
    if (wf_likely(*out != NULL)) {
        return WF_WALK_OK;
    }
    if (e != WF_JSON_OK) {
        return json_fail_syntax(r, e, r->p);
    }
    return at(r, first, shape_fail_raised(r->w, n));
}

enum wf_walk_result json_skip_value(struct reader *r) {
    enum wf_json_error e = wf_json_skip(&r->p, r->end, WF_JSON_DEPTH_MAX - r->w->depth);
    return e == WF_JSON_OK ? WF_WALK_OK : json_fail_syntax(r, e, r->p);
}

/* Passed over, and so checked; and kept as it stands. */
static WF_NOINLINE enum wf_walk_result decode_raw(struct reader *r, const struct wf_node *n,
                                                  PyObject **out) {
    const char *first = r->p;
    enum wf_walk_result result = json_skip_value(r);
    if (result == WF_WALK_OK) {
        *out =
            wf_json_make_raw(&r->w->state->json, n->type, wf_span(first, (size_t)(r->p - first)));
        result = *out != NULL ? WF_WALK_OK : WF_WALK_FAILED;
    }
    return result;
}

static WF_NOINLINE enum wf_walk_result decode_dict(struct reader *r, const struct wf_node *n,
                                                   PyObject **out) {
    struct wf_walk *w = r->w;
    const char *first = r->p;
    if (wf_unlikely(peek(r) != '{')) {
        return json_fail_expected(r, n, first);
    }
    const struct wf_node *key_node = n->map.key;
    const bool plain_keys =
        (key_node->kind == WF_NODE_STR || key_node->kind == WF_NODE_ANY) && key_node->nchecks == 0;
    enum wf_walk_result result = open_container(r);
    if (result != WF_WALK_OK) {
        return result;
    }
    PyObject *dict = PyDict_New();
    Py_ssize_t size = 0;
    struct wf_hashes hashes = {0};
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
            result = json_decode_text(r, key_node, &key);
        }
        if (wf_unlikely(result != WF_WALK_OK)) {
            if (result == WF_WALK_INVALID) {
                wf_walk_at_key(w, wf_span(t.p, t.n));
            }
            goto fail;
        }
        const size_t before = w->nlater;
        if ((result = read_colon(r)) == WF_WALK_OK) {
            result = json_decode(r, n->map.value, &value);
            if (wf_unlikely(result == WF_WALK_INVALID)) {
                wf_walk_at_key(w, wf_span(t.p, t.n));
            }
        }
        if (wf_unlikely(result != WF_WALK_OK)) {
            Py_DECREF(key);
            goto fail;
        }
        result = wf_walk_put(w, n, &hashes, dict, key, value); /* the last of equal names wins */
        if (wf_unlikely(w->nlater != before)) {
            wf_walk_later_in(w, before, dict, key);
        }
        size++;
        Py_DECREF(key);
        Py_DECREF(value);
        if (wf_unlikely(at(r, key_at, result) != WF_WALK_OK)) {
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
    wf_hashes_free(&hashes);
    return give(r, n, first, dict, out);
fail:
    w->depth--;
    wf_hashes_free(&hashes);
    Py_XDECREF(dict);
    return result;
}

/* ---- unions ---- */

/* Is what stands there the text of a number that a Decimal beside the member takes first? Of ints it
 * leaves those without a fraction or an exponent, of floats all. */
static bool is_left_to_decimal(const struct reader *r, const struct wf_node *n,
                               const struct wf_node *member, enum wf_class class) {
    const struct wf_node *own = n->one_of.by_class[WF_CLASS_STR];
    if (class != WF_CLASS_STR || own == NULL || own->kind != WF_NODE_DECIMAL) {
        return false;
    }
    const char *text = r->p + 1;
    return (member->kind == WF_NODE_BOOL && text < r->end &&
            (*text == '-' || wf_json_is_digit(*text))) ||
           (member->kind == WF_NODE_INT && number_class(text, r->end) != WF_CLASS_INT);
}

/* With strict=False: the first scalar member that takes it, in msgspec's order: ints before floats but where
 * there is a fraction or an exponent, and what is written as text at the end. */
static enum wf_walk_result decode_lax_union(struct reader *r, const struct wf_node *n,
                                            enum wf_class class, PyObject **out) {
    enum wf_class order[] = {WF_CLASS_INT, WF_CLASS_FLOAT, WF_CLASS_BOOL, WF_CLASS_NULL,
                             WF_CLASS_STR};
    const char *first = r->p;
    const struct wf_node *own = n->one_of.by_class[class];
    if (class == WF_CLASS_STR && number_class(first + 1, r->end) == WF_CLASS_FLOAT) {
        order[0] = WF_CLASS_FLOAT;
        order[1] = WF_CLASS_INT;
    }
    for (size_t i = 0; i < WF_ARRAY_LEN(order); i++) {
        const struct wf_node *member = n->one_of.by_class[order[i]];
        if (member == NULL || (member->kind >= WF_NODE_LIST && member != own) ||
            (member == own && order[i] != class) || is_left_to_decimal(r, n, member, class)) {
            continue;
        }
        enum wf_walk_result result = json_decode(r, member, out);
        const enum wf_fail fail = r->w->fail.fail;
        if (result != WF_WALK_INVALID || fail == WF_FAIL_SYNTAX || fail == WF_FAIL_CHECK) {
            return result;
        }
        Py_CLEAR(r->w->fail.cause);
        r->p = first;
    }
    return json_fail_expected(r, n, first);
}

static WF_NOINLINE enum wf_walk_result decode_union(struct reader *r, const struct wf_node *n,
                                                    PyObject **out) {
    enum wf_class class = classify(r, r->p);
    if (wf_unlikely(class == WF_CLASS_COUNT)) {
        return WF_WALK_INVALID;
    }
    const struct wf_node *member = n->one_of.by_class[class];
    bool lax = is_lax(r, n) && class < WF_CLASS_ARRAY &&
               (member == NULL || (class == WF_CLASS_STR && member->kind != WF_NODE_STR));
    if (wf_unlikely(lax)) {
        return decode_lax_union(r, n, class, out);
    }
    return wf_likely(member != NULL) ? json_decode(r, member, out) : json_fail_expected(r, n, r->p);
}

static WF_NOINLINE enum wf_walk_result decode_tagged(struct reader *r, const struct wf_node *n,
                                                     PyObject **out) {
    if (wf_unlikely(peek(r) != (n->tagged.array ? '[' : '{'))) {
        return json_fail_expected(r, n, r->p);
    }
    const struct wf_node *member = NULL;
    enum wf_walk_result result = json_find_tag(r, n, &member);
    WF_ASSERT(result != WF_WALK_OK || member != NULL);
    return result == WF_WALK_OK ? json_decode(r, member, out) : result;
}

/* ---- judges ---- */

static enum wf_walk_result hand_over(struct reader *r, const struct wf_node *n, unsigned flags,
                                     PyObject **out) {
    const char *first = r->p;
    PyObject *object;
    enum wf_walk_result result = json_decode_any(r, n, flags, &object);
    if (result == WF_WALK_OK) {
        result = at(r, first, wf_walk_judge(r->w, n, object, out));
        Py_DECREF(object);
    }
    return result;
}

static enum wf_walk_result decode_unjudged(struct reader *r, const struct wf_node *n,
                                           PyObject **out);

/* What a validator makes of the value, or of the plain object; that stands there until then. */
static WF_NOINLINE enum wf_walk_result decode_put_off(struct reader *r, const struct wf_node *n,
                                                      PyObject **out) {
    const char *first = r->p;
    const bool after = n->kind == WF_NODE_AFTER;
    enum wf_walk_result result =
        after ? json_decode(r, n->item, out) : json_decode_any(r, n, 0, out);
    if (result != WF_WALK_OK) {
        return result;
    }
    if (!after) {
        result = at(r, first, wf_walk_check_plain(r->w, n, *out));
    }
    if (result == WF_WALK_OK) {
        result = wf_walk_put_off(r->w, n);
    }
    if (result != WF_WALK_OK) {
        Py_CLEAR(*out);
    }
    return result;
}

/* What the native walk finds invalid is judged as plain objects. */
static WF_NOINLINE enum wf_walk_result decode_judged(struct reader *r, const struct wf_node *n,
                                                     PyObject **out) {
    const char *first = r->p;
    const size_t later = r->w->nlater;
    enum wf_walk_result result = decode_unjudged(r, n, out);
    if (result == WF_WALK_OK && (result = wf_walk_later(r->w, later, n, out)) != WF_WALK_OK) {
        Py_CLEAR(*out);
    }
    if (wf_unlikely(result == WF_WALK_INVALID && !wf_walk_is_final(r->w))) {
        wf_walk_forget(r->w, later);
        r->p = first;
        Py_CLEAR(r->w->fail.cause);
        result = hand_over(r, n, 0, out);
    }
    return result;
}

static WF_NOINLINE enum wf_walk_result decode_handed(struct reader *r, const struct wf_node *n,
                                                     PyObject **out) {
    return n->call == NULL ? hand_over(r, n, 0, out) : decode_put_off(r, n, out);
}

/* ---- what is mostly text ---- */

static WF_NOINLINE enum wf_walk_result decode_as_text(struct reader *r, const struct wf_node *n,
                                                      PyObject **out) {
    return wf_likely(peek(r) == '"') ? json_decode_text(r, n, out) : json_fail_expected(r, n, r->p);
}

static WF_NOINLINE enum wf_walk_result decode_decimal(struct reader *r, const struct wf_node *n,
                                                      PyObject **out) {
    const char c = peek(r);
    return c == '-' || wf_json_is_digit(c) ? json_decode_decimal(r, n, out)
                                           : decode_as_text(r, n, out);
}

/* A datetime or a timedelta. */
static WF_NOINLINE enum wf_walk_result decode_seconds(struct reader *r, const struct wf_node *n,
                                                      PyObject **out) {
    const char c = peek(r);
    return (c == '-' || wf_json_is_digit(c)) && is_lax(r, n) ? json_decode_seconds(r, n, out)
                                                             : decode_as_text(r, n, out);
}

/* ---- the switch ---- */

/* Each kind has a function of its own, which is jumped to: what one kind needs of the stack and of
 * registers the others do not pay for. */
WF_ALWAYS_INLINE enum wf_walk_result decode_kind(struct reader *r, const struct wf_node *n,
                                                 PyObject **out) {
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_STR:
        return decode_str(r, n, out);
    case WF_NODE_INT:
        return decode_int(r, n, out);
    case WF_NODE_FLOAT:
        return decode_float(r, n, out);
    case WF_NODE_BOOL:
        return decode_bool(r, n, out);
    case WF_NODE_NONE:
        return decode_none(r, n, out);
    case WF_NODE_OBJECT:
        return json_decode_object(r, n, out);
    case WF_NODE_LIST:
    case WF_NODE_VARTUPLE:
    case WF_NODE_SET:
    case WF_NODE_FROZENSET:
    case WF_NODE_DEQUE:
    case WF_NODE_TUPLE:
        return decode_array(r, n, out);
    case WF_NODE_DICT:
        return decode_dict(r, n, out);
    case WF_NODE_UNION:
        return decode_union(r, n, out);
    case WF_NODE_TAGGED:
        return decode_tagged(r, n, out);
    case WF_NODE_ANY:
        return json_decode_any(r, n, 0, out);
    case WF_NODE_HANDED:
        return decode_handed(r, n, out);
    case WF_NODE_RAW:
        return decode_raw(r, n, out);
    case WF_NODE_HOOK:
        return json_decode_hook(r, n, out);
    case WF_NODE_AFTER:
        return decode_put_off(r, n, out);
    case WF_NODE_CHOICE:
        return json_decode_choice(r, n, out);
    case WF_NODE_DECIMAL:
        return decode_decimal(r, n, out);
    case WF_NODE_DATETIME:
    case WF_NODE_TIMEDELTA:
        return decode_seconds(r, n, out);
    case WF_NODE_BYTES:
    case WF_NODE_DATE:
    case WF_NODE_TIME:
    case WF_NODE_UUID:
    case WF_NODE_OBJECTID:
    case WF_NODE_TEXT:
        return decode_as_text(r, n, out);
    case WF_NODE_SERIALIZER: /* of output only */
    case WF_NODE_KIND_COUNT:
        break;
    }
    Py_UNREACHABLE();
}

static WF_NOINLINE enum wf_walk_result decode_unjudged(struct reader *r, const struct wf_node *n,
                                                       PyObject **out) {
    return decode_kind(r, n, out);
}

enum wf_walk_result json_decode(struct reader *r, const struct wf_node *n, PyObject **out) {
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
    w->gc_paused = root->quiet && wf_json_pause_gc(in.n);
    enum wf_walk_result result = decode_unjudged(&r, root, out);
    wf_json_resume_gc(&w->gc_paused);
    if (result == WF_WALK_OK) {
        r.p = skip_space(r.p, r.end);
        if (wf_unlikely(r.p != r.end)) {
            Py_CLEAR(*out);
            return json_fail_syntax(&r, WF_JSON_TRAILING, r.p);
        }
        if (!(w->flags & WF_WALK_WAITS)) {
            result = wf_walk_later(w, 0, root, out);
        }
        if (wf_unlikely(result != WF_WALK_OK)) {
            Py_CLEAR(*out);
        }
    }
    return result;
}
