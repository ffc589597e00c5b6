/* JSON to objects with known fields: keys, tags, and the values of the fields on the walk's stack. */
#include "py/shape/decode_json_int.h"

enum {
    /* Keys that are compared with the input before its text is measured and unescaped. */
    KEYS_TRIED_MAX = 16
};

/* The value at r->p is a tag: is it this one? 1, 0, or -1 where it is no string or int (or failed). */
static int tag_is(struct reader *r, const struct wf_choice *tag, const struct wf_choice **among,
                  unsigned n) {
    const char *first = r->p;
    struct wf_json_text t;
    struct utf8 u = {.str = NULL};
    struct wf_json_number number = {.kind = WF_JSON_BIG};
    bool text = first < r->end && *first == '"';
    if (text) {
        if (read_text(r, &t) != WF_WALK_OK || json_utf8_of(&t, &u) != WF_WALK_OK) {
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
        return json_skip_value(r);
    }
    /* json.loads would make it, and may refuse to: an int of too many digits */
    PyObject *value;
    enum wf_walk_result result = json_decode_any(r, n, 0, &value);
    if (result != WF_WALK_OK || o->extra == WF_EXTRA_IGNORE) {
        if (result == WF_WALK_OK) {
            Py_DECREF(value);
        }
        return result;
    }
    PyObject *key = wf_json_make_key(&w->state->json, t);
    PyObject **extra = &w->values.p[at_value + o->nfields];
    if (key == NULL || (*extra == NULL && (*extra = PyDict_New()) == NULL) ||
        PyDict_SetItem(*extra, key, value) < 0) {
        result = WF_WALK_FAILED;
    }
    Py_XDECREF(key);
    Py_DECREF(value);
    return result;
}

/* Are the key at p and its colon this one's, as they are usually written? Eight bytes are there. */
static inline bool is_key(const struct reader *r, const char *p, const struct wf_key *k) {
    const size_t n = k->json.n;
    uint64_t head, tail;
    memcpy(&head, p, 8);
    if ((head & k->json_mask) != k->json_head) {
        return false;
    }
    if (n <= 8) {
        return true;
    }
    if (wf_unlikely((size_t)(r->end - p) < n)) {
        return false;
    }
    memcpy(&tail, p + n - 8, 8);
    return tail == k->json_tail && (n <= 16 || memcmp(p + 8, k->json.p + 8, n - 16) == 0);
}

/* The field whose key is at r->p, passed over with its colon; NULL where it is none, or written in
 * another way. *expected is where to look first, and is moved on. */
static inline const struct wf_key *at_key(struct reader *r, const struct wf_object *o,
                                          unsigned *expected) {
    const char *p = r->p;
    unsigned n = WF_MIN(o->nkeys, (unsigned)KEYS_TRIED_MAX),
             i = *expected < o->nkeys ? *expected : 0;
    if (wf_unlikely(r->end - p < 8)) {
        return NULL;
    }
    for (; n > 0; n--) {
        const struct wf_key *k = &o->keys[i];
        i = i + 1 < o->nkeys ? i + 1 : 0;
        if (wf_likely(is_key(r, p, k))) {
            *expected = i;
            r->p = skip_space(p + k->json.n, r->end);
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
    if (result != WF_WALK_OK || (result = json_utf8_of(&t, &u)) != WF_WALK_OK) {
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
    const size_t bottom = w->values.len, later = w->nlater;
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
        const struct wf_key *key = at_key(r, o, &expected);
        if (wf_unlikely(key == NULL) &&
            (result = find_key(r, n, bottom, &expected, &key)) != WF_WALK_OK) {
            goto fail;
        }
        if (wf_likely(key != NULL)) {
            const struct wf_object_field *f = &o->fields[key->field];
            PyObject *value = NULL;
            const size_t before = w->nlater;
            result = json_decode(r, f->node, &value);
            if (wf_unlikely(result != WF_WALK_OK)) {
                if (result == WF_WALK_INVALID) {
                    wf_walk_at_field(w, f);
                }
                goto fail;
            }
            wf_walk_later_for(w, before, key->field);
            PyObject **slot = &w->values.p[bottom + key->field], *old = *slot;
            *slot = value; /* the last of equal names wins */
            if (wf_unlikely(old != NULL)) {
                wf_json_resume_gc(&w->gc_paused); /* it may have a finalizer */
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
    wf_values_drop(&w->values, bottom);
    return result;
}

/* msgspec's array_like: values in the order of the fields, the tag in front. r->p is the bracket. */
static enum wf_walk_result decode_field_array(struct reader *r, const struct wf_node *n,
                                              PyObject **out) {
    struct wf_walk *w = r->w;
    const struct wf_object *o = &n->object;
    const char *first = r->p;
    const size_t bottom = w->values.len, later = w->nlater;
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
            PyObject *value; /* not read into the stack, which may move meanwhile */
            result = json_decode(r, o->fields[i].node, &value);
            if (result != WF_WALK_OK) {
                if (result == WF_WALK_INVALID) {
                    wf_walk_at_index(w, i);
                }
                goto fail;
            }
            w->values.p[bottom + i++] = value;
        } else if (o->extra == WF_EXTRA_FORBID) {
            result = at(r, first, shape_fail(w, WF_FAIL_LENGTH, n));
            goto fail;
        } else if ((result = json_skip_value(r)) != WF_WALK_OK) {
            goto fail;
        }
        more = next(r, ']');
    }
    if (more < 0) {
        result = WF_WALK_INVALID;
        goto fail;
    }
    if (tag) {
        w->fail.field = NULL;
        result = at(r, first, shape_fail(w, WF_FAIL_MISSING, n));
        goto fail;
    }
    w->depth--;
    w->later_at = later; /* items come in the order of the fields */
    return at(r, first, wf_walk_object(w, n, bottom, out));
fail:
    w->depth--;
    wf_values_drop(&w->values, bottom);
    return result;
}

/* RootModel: the value itself is its only field. */
static enum wf_walk_result decode_root(struct reader *r, const struct wf_node *n, PyObject **out) {
    PyObject *value = NULL;
    const char *first = r->p;
    const size_t bottom = r->w->values.len, later = r->w->nlater;
    enum wf_walk_result result = json_decode(r, n->object.fields[0].node, &value);
    if (result != WF_WALK_OK) {
        return result;
    }
    if (wf_values_push(&r->w->values, value) < 0) {
        return WF_WALK_FAILED;
    }
    wf_walk_later_for(r->w, later, 0);
    r->w->later_at = later;
    return at(r, first, wf_walk_object(r->w, n, bottom, out));
}

/* The member of a TAGGED whose tag stands at r->p. */
static enum wf_walk_result member_of_tag(struct reader *r, const struct wf_node *n,
                                         const struct wf_node **member) {
    const char *first = r->p;
    const struct wf_choice *among = NULL;
    if (tag_is(r, n->tagged.tags, &among, n->tagged.n) > 0) {
        *member = n->tagged.nodes[among - n->tagged.tags];
        return WF_WALK_OK;
    }
    return PyErr_Occurred() ? WF_WALK_FAILED : at(r, first, shape_fail(r->w, WF_FAIL_TAG, n));
}

/* r->p is behind the bracket. */
static enum wf_walk_result find_first_tag(struct reader *r, const struct wf_node *n,
                                          const struct wf_node **member) {
    if (r->p < r->end && *r->p == ']') {
        return WF_WALK_OK;
    }
    enum wf_walk_result result = member_of_tag(r, n, member);
    if (result == WF_WALK_INVALID) {
        wf_walk_at_index(r->w, 0);
    }
    return result;
}

/* r->p is behind the brace. */
static enum wf_walk_result find_named_tag(struct reader *r, const struct wf_node *n,
                                          const struct wf_node **member) {
    struct wf_json_text t;
    enum wf_walk_result result = WF_WALK_OK;
    int more = r->p < r->end && *r->p == '}' ? 0 : 1;
    while (more > 0 && result == WF_WALK_OK) {
        struct utf8 u;
        if ((result = read_key(r, &t)) != WF_WALK_OK ||
            (result = json_utf8_of(&t, &u)) != WF_WALK_OK) {
            break;
        }
        bool is_tag = wf_span_eq(u.span, n->tagged.key);
        Py_XDECREF(u.str);
        if ((result = read_colon(r)) != WF_WALK_OK) {
            break;
        }
        if (is_tag) {
            result = member_of_tag(r, n, member);
            if (result == WF_WALK_INVALID) {
                wf_walk_at_key(r->w, n->tagged.key);
            }
            break;
        }
        const char *skipped = r->p;
        result = json_skip_value(r);
        if (result == WF_WALK_OK) {
            more = next(r, '}');
            result = more < 0 ? WF_WALK_INVALID : WF_WALK_OK;
        }
        size_t bytes = (size_t)(r->p - skipped);
        if (result == WF_WALK_OK && bytes > r->tag_budget) {
            result = json_fail_syntax(r, WF_JSON_DEPTH, skipped);
        }
        r->tag_budget -= WF_MIN(bytes, r->tag_budget);
    }
    return result;
}

enum wf_walk_result json_find_tag(struct reader *r, const struct wf_node *n,
                                  const struct wf_node **member) {
    const char *first = r->p;
    enum wf_walk_result result = open_container(r);
    if (result != WF_WALK_OK) {
        return result;
    }
    *member = NULL;
    result = n->tagged.array ? find_first_tag(r, n, member) : find_named_tag(r, n, member);
    if (result == WF_WALK_OK && *member == NULL) {
        r->w->fail.field = NULL;
        result = at(r, first, shape_fail(r->w, WF_FAIL_MISSING, n));
    }
    r->w->depth--;
    r->p = first;
    return result;
}

enum wf_walk_result json_decode_object(struct reader *r, const struct wf_node *n, PyObject **out) {
    const struct wf_object *o = &n->object;
    if (wf_unlikely(o->make == WF_MAKE_ROOT_MODEL)) {
        return decode_root(r, n, out);
    }
    if (wf_unlikely(r->p >= r->end || *r->p != (o->array ? '[' : '{'))) {
        return json_fail_expected(r, n, r->p);
    }
    return o->array ? decode_field_array(r, n, out) : decode_fields(r, n, out);
}
