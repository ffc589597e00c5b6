/* BSON to objects, as a shape has them: one switch over the nodes, over the cursor of wire/bson.
 *
 * It follows decode_json.c of py/shape, whose rules hold: what is invalid below a judge is given to
 * it as the plain objects of the untyped decoder. BSON's own types go where Python's counterpart is
 * asked for: dates to datetime (naive, UTC) and at midnight to date, binary of subtype 4 to UUID;
 * and, but for pydantic, whose validators do not know them, decimal128 to Decimal and an ObjectId to
 * its 24 digits as str. */
#include "py/bson/shapes.h"

#include "base/num.h"
#include "base/utf8.h"
#include "wire/bson/bson_read.h"
#include "wire/bson/date.h"

enum {
    /* A tag behind everything else in its document is looked for over all of that, again in each
     * level of nesting: so many elements for each byte of the document, then it is an error. */
    TAG_SEARCH_MAX = 16
};

struct reader {
    struct wf_walk *w;
    struct wf_bson_state *s;
    const struct wf_bson_options *options; /* or NULL */
    struct wf_span in;
    size_t base; /* of positions, before `in` */
    size_t tag_budget;
};

typedef struct wf_bson_element element;

static enum wf_walk_result decode(struct reader *r, const struct wf_node *n, const element *e,
                                  PyObject **out);

/* ---- failing ---- */

static enum wf_walk_result invalid(struct reader *r, enum wf_fail fail, const struct wf_node *n,
                                   const char *at) {
    r->w->fail.fail = fail;
    r->w->fail.node = n;
    r->w->fail.npath = 0;
    r->w->fail.at = (size_t)(at - r->in.p);
    return WF_WALK_INVALID;
}

/* code is an enum wf_bson_error */
static WF_NOINLINE enum wf_walk_result fail_syntax(struct reader *r, enum wf_bson_error error,
                                                   const char *at) {
    r->w->fail.code = (int)error;
    return invalid(r, WF_FAIL_SYNTAX, NULL, at);
}

/* code is the element's type */
static WF_NOINLINE enum wf_walk_result fail_expected(struct reader *r, const struct wf_node *n,
                                                     const element *e) {
    r->w->fail.code = e->type;
    return invalid(r, WF_FAIL_EXPECTED, n, e->value);
}

/* What a value is invalid for; the walk's own failures know no position. */
static inline enum wf_walk_result at(struct reader *r, const char *p, enum wf_walk_result result) {
    if (wf_unlikely(result == WF_WALK_INVALID)) {
        r->w->fail.at = (size_t)(p - r->in.p);
    }
    return result;
}

/* What the untyped decoder makes of it: owned, or NULL with an exception. */
static PyObject *plain(struct reader *r, const element *e) {
    const bool calls = r->options != NULL; /* document_class and type_registry's decoders */
    if (wf_unlikely(calls) && wf_walk_enter_call(r->w) < 0) {
        return NULL;
    }
    PyObject *value = wf_bson_decode_element(r->s, r->options, e, r->in.p, r->base, r->w->depth);
    if (wf_unlikely(calls)) {
        wf_walk_leave_call(r->w);
    }
    return value;
}

/* value  stolen, or NULL with an exception */
static inline enum wf_walk_result give(struct reader *r, const struct wf_node *n, const element *e,
                                       PyObject *value, PyObject **out) {
    *out = value;
    if (wf_unlikely(value == NULL)) {
        return WF_WALK_FAILED;
    }
    enum wf_walk_result result = wf_walk_checks(r->w, n, value);
    if (wf_unlikely(result != WF_WALK_OK)) {
        Py_CLEAR(*out);
    }
    return at(r, e->value, result);
}

/* ---- scalars ---- */

static enum wf_walk_result decode_str(struct reader *r, const struct wf_node *n, const element *e,
                                      PyObject **out) {
    PyObject *str = PyUnicode_DecodeUTF8(e->text.p, (Py_ssize_t)e->text.n, NULL);
    if (str == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        return fail_syntax(r, WF_BSON_ERROR_UTF8, e->text.p);
    }
    return give(r, n, e, str, out);
}

static enum wf_walk_result decode_digits(struct reader *r, const struct wf_node *n,
                                         const element *e, PyObject **out) {
    char hex[24];
    for (size_t i = 0; i < 12; i++) {
        hex[2 * i] = "0123456789abcdef"[(unsigned char)e->text.p[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[e->text.p[i] & 15];
    }
    return give(r, n, e, PyUnicode_FromStringAndSize(hex, 24), out);
}

static enum wf_walk_result decode_text(struct reader *r, const struct wf_node *n, const element *e,
                                       PyObject **out) {
    if (!wf_utf8_valid(e->text)) {
        return fail_syntax(r, WF_BSON_ERROR_UTF8, e->text.p);
    }
    return at(r, e->value, wf_walk_text(r->w, n, e->text, out));
}

static enum wf_walk_result decode_choice(struct reader *r, const struct wf_node *n,
                                         const element *e, PyObject **out) {
    if (e->type == WF_BSON_STRING) {
        return decode_text(r, n, e, out);
    }
    if (e->type != WF_BSON_INT32 && e->type != WF_BSON_INT64) {
        return fail_expected(r, n, e);
    }
    return at(r, e->value, wf_walk_choice(r->w, n, e->i, out));
}

static enum wf_walk_result decode_decimal(struct reader *r, const struct wf_node *n,
                                          const element *e, PyObject **out) {
    char text[WF_MAX((size_t)WF_DOUBLE_CHARS_MAX, (size_t)WF_DECIMAL128_CHARS_MAX)];
    size_t len;
    switch (e->type) {
    case WF_BSON_STRING:
        return decode_text(r, n, e, out);
    case WF_BSON_INT32:
    case WF_BSON_INT64:
        len = wf_i64_write(text, e->i);
        break;
    case WF_BSON_DOUBLE:
        if (!__builtin_isfinite(e->d)) {
            return fail_expected(r, n, e);
        }
        len = wf_double_write(text, e->d);
        break;
    case WF_BSON_DECIMAL128:
        if ((n->flags & WF_NODE_PYDANTIC) != 0) {
            return fail_expected(r, n, e);
        }
        len = wf_decimal128_write(text, e->decimal);
        break;
    default:
        return fail_expected(r, n, e);
    }
    return at(r, e->value, wf_walk_text(r->w, n, wf_span(text, len), out));
}

static enum wf_walk_result decode_date(struct reader *r, const struct wf_node *n, const element *e,
                                       PyObject **out) {
    struct wf_bson_date d;
    if (e->type != WF_BSON_DATETIME) {
        return e->type == WF_BSON_STRING ? decode_text(r, n, e, out) : fail_expected(r, n, e);
    }
    if (n->kind == WF_NODE_DATETIME) { /* as the options have it */
        PyObject *value = plain(r, e);
        return give(r, n, e, value, out);
    }
    if (!wf_bson_date_from_ms(e->i, &d) || (d.hour | d.minute | d.second | d.millisecond) != 0 ||
        (r->options != NULL && (n->flags & WF_NODE_PYDANTIC) != 0)) { /* it sees what they make */
        return invalid(r, WF_FAIL_VALUE, n, e->value);
    }
    struct wf_date date = {.year = d.year, .month = d.month, .day = d.day};
    return give(r, n, e, wf_make_date(r->w->state, &date), out);
}

static enum wf_walk_result decode_bytes(struct reader *r, const struct wf_node *n, const element *e,
                                        PyObject **out) {
    if (e->type != WF_BSON_BINARY || (e->subtype != 0 && (n->flags & WF_NODE_PYDANTIC) != 0)) {
        return fail_expected(r, n, e);
    }
    PyObject *value = n->type == (PyObject *)&PyByteArray_Type
                          ? PyByteArray_FromStringAndSize(e->text.p, (Py_ssize_t)e->text.n)
                          : PyBytes_FromStringAndSize(e->text.p, (Py_ssize_t)e->text.n);
    return give(r, n, e, value, out);
}

/* Is a binary a UUID: in the standard form always, in another where the options say so? */
static bool is_uuid(const struct reader *r, const element *e) {
    return e->subtype == 4 || (r->options != NULL && wf_bson_is_uuid(r->options, e->subtype));
}

static enum wf_walk_result decode_uuid(struct reader *r, const struct wf_node *n, const element *e,
                                       PyObject **out) {
    if (e->type == WF_BSON_STRING) {
        return decode_text(r, n, e, out);
    }
    if (e->type != WF_BSON_BINARY || !is_uuid(r, e) || e->text.n != 16) {
        return fail_expected(r, n, e);
    }
    char bytes[16];
    if (e->subtype == 4) {
        memcpy(bytes, e->text.p, sizeof(bytes));
    } else {
        wf_bson_uuid_order((enum wf_bson_uuids)r->options->uuids, e->text.p, bytes);
    }
    return give(r, n, e, wf_make_uuid(r->w->state, (const uint8_t *)bytes), out);
}

/* ---- plain objects ---- */

static enum wf_walk_result decode_any(struct reader *r, const struct wf_node *n, const element *e,
                                      PyObject **out) {
    return give(r, n, e, plain(r, e), out);
}

static enum wf_walk_result hand_over(struct reader *r, const struct wf_node *n, const element *e,
                                     PyObject **out) {
    PyObject *object = plain(r, e);
    if (object == NULL) {
        return WF_WALK_FAILED;
    }
    enum wf_walk_result result = at(r, e->value, wf_walk_judge(r->w, n, object, out));
    Py_DECREF(object);
    return result;
}

/* ---- containers ---- */

static enum wf_walk_result open_container(struct reader *r, const element *e,
                                          struct wf_bson_cursor *c) {
    size_t bytes;
    if (wf_unlikely(r->w->depth == WF_BSON_DEPTH_MAX)) {
        return fail_syntax(r, WF_BSON_ERROR_DEPTH, e->value);
    }
    enum wf_bson_error error = wf_bson_open(c, e->text, &bytes);
    if (wf_unlikely(error != WF_BSON_OK)) {
        return fail_syntax(r, error, c->p);
    }
    if (wf_unlikely(bytes != e->text.n)) {
        return fail_syntax(r, WF_BSON_ERROR_TRAILING, e->text.p + bytes);
    }
    r->w->depth++;
    return WF_WALK_OK;
}

/* The next element; its type is 0 at the end. */
static inline enum wf_walk_result next(struct reader *r, struct wf_bson_cursor *c, element *e) {
    enum wf_bson_error error = wf_bson_next(c, e);
    if (wf_unlikely(error != WF_BSON_OK)) {
        return fail_syntax(r, error, c->p);
    }
    if (wf_unlikely(e->type != 0 && e->name_wide && !wf_utf8_valid(e->name))) {
        return fail_syntax(r, WF_BSON_ERROR_UTF8, e->name.p);
    }
    return WF_WALK_OK;
}

static enum wf_walk_result decode_array(struct reader *r, const struct wf_node *n, const element *e,
                                        PyObject **out) {
    struct wf_walk *w = r->w;
    struct wf_bson_cursor c;
    element item;
    const size_t bottom = w->values.len, later = w->nlater;
    enum wf_walk_result result = open_container(r, e, &c);
    if (wf_unlikely(result != WF_WALK_OK)) {
        return result;
    }
    for (;;) {
        PyObject *value;
        size_t index = w->values.len - bottom;
        result = next(r, &c, &item);
        if (wf_unlikely(result != WF_WALK_OK)) {
            goto fail;
        }
        if (item.type == 0) {
            break;
        }
        if (wf_unlikely(n->kind == WF_NODE_TUPLE && index == n->n)) {
            result = invalid(r, WF_FAIL_LENGTH, n, e->value);
            goto fail;
        }
        const size_t before = w->nlater;
        result = decode(r, n->kind == WF_NODE_TUPLE ? n->items[index] : n->item, &item, &value);
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
    }
    w->depth--;
    if (wf_unlikely(n->kind == WF_NODE_TUPLE && w->values.len - bottom != n->n)) {
        wf_values_drop(&w->values, bottom);
        return invalid(r, WF_FAIL_LENGTH, n, e->value);
    }
    w->later_at = later;
    return at(r, e->value, wf_walk_items(w, n, bottom, out));
fail:
    w->depth--;
    wf_values_drop(&w->values, bottom);
    return result;
}

/* A name as a dict's key. */
static enum wf_walk_result decode_key(struct reader *r, const struct wf_node *n,
                                      struct wf_span name, PyObject **out) {
    if (n->kind == WF_NODE_STR || n->kind == WF_NODE_ANY) {
        *out = PyUnicode_DecodeUTF8(name.p, (Py_ssize_t)name.n, NULL);
        if (*out == NULL) {
            return WF_WALK_FAILED;
        }
        enum wf_walk_result result = wf_walk_checks(r->w, n, *out);
        if (result != WF_WALK_OK) {
            Py_CLEAR(*out);
        }
        return result;
    }
    return wf_walk_text(r->w, n, name, out);
}

static enum wf_walk_result decode_dict(struct reader *r, const struct wf_node *n, const element *e,
                                       PyObject **out) {
    struct wf_walk *w = r->w;
    struct wf_bson_cursor c;
    element item;
    enum wf_walk_result result = open_container(r, e, &c);
    if (result != WF_WALK_OK) {
        return result;
    }
    PyObject *dict = PyDict_New();
    Py_ssize_t size = 0;
    struct wf_hashes hashes = {0};
    result = dict != NULL ? WF_WALK_OK : WF_WALK_FAILED;
    while (result == WF_WALK_OK && (result = next(r, &c, &item)) == WF_WALK_OK && item.type != 0) {
        PyObject *key, *value = NULL;
        result = decode_key(r, n->map.key, item.name, &key);
        if (result == WF_WALK_OK) {
            const size_t before = w->nlater;
            result = decode(r, n->map.value, &item, &value);
            if (result == WF_WALK_OK) {
                result = at(r, item.name.p, wf_walk_put(w, n, &hashes, dict, key, value));
            }
            if (result == WF_WALK_OK && w->nlater != before) {
                wf_walk_later_in(w, before, dict, key);
            }
            Py_DECREF(key);
            Py_XDECREF(value);
        } else {
            result = at(r, item.name.p, result);
        }
        if (result == WF_WALK_INVALID) {
            wf_walk_at_key(w, item.name);
        } else if (result == WF_WALK_OK && PyDict_GET_SIZE(dict) != ++size) {
            size--;
            if ((n->flags & WF_NODE_PYDANTIC) != 0) {
                /* equal names: something may have been put off for a value that is gone */
                result = invalid(r, WF_FAIL_VALUE, n, item.name.p);
            }
        }
    }
    w->depth--;
    wf_hashes_free(&hashes);
    if (result != WF_WALK_OK) {
        Py_XDECREF(dict);
        return result;
    }
    return give(r, n, e, dict, out);
}

/* Is the element one of the tags? */
static const struct wf_choice *tag_of(const struct wf_choice *tags, unsigned n, const element *e) {
    for (unsigned i = 0; i < n; i++) {
        const struct wf_choice *c = &tags[i];
        if (c->text.p != NULL
                ? e->type == WF_BSON_STRING && wf_span_eq(c->text, e->text)
                : (e->type == WF_BSON_INT32 || e->type == WF_BSON_INT64) && c->number == e->i) {
            return c;
        }
    }
    return NULL;
}

/* Text and documents that are passed over are checked all the same. */
static enum wf_walk_result check_ignored(struct reader *r, const element *e) {
    size_t at = 0;
    enum wf_bson_error error = WF_BSON_OK;
    if (e->type == WF_BSON_DOCUMENT || e->type == WF_BSON_ARRAY) {
        error = wf_bson_validate(e->text, &at);
    } else if (e->type == WF_BSON_STRING && !wf_utf8_valid(e->text)) {
        error = WF_BSON_ERROR_UTF8;
    }
    return error == WF_BSON_OK ? WF_WALK_OK : fail_syntax(r, error, e->text.p + at);
}

/* A name that is no field. `bottom` is where the object's values are. */
static enum wf_walk_result decode_unknown(struct reader *r, const struct wf_node *n, size_t bottom,
                                          const element *e) {
    struct wf_walk *w = r->w;
    const struct wf_object *o = &n->object;
    if (o->tag_key.p != NULL && wf_span_eq(e->name, o->tag_key)) {
        return tag_of(&o->tag, 1, e) != NULL ? WF_WALK_OK : invalid(r, WF_FAIL_TAG, n, e->value);
    }
    if (o->extra == WF_EXTRA_FORBID) {
        w->fail.key = e->name;
        return invalid(r, WF_FAIL_UNKNOWN, n, e->name.p);
    }
    if (o->extra == WF_EXTRA_IGNORE && !(n->flags & WF_NODE_PYDANTIC)) {
        return check_ignored(r, e);
    }
    /* the untyped decoder would make it, and may refuse to: a date that datetime does not have */
    PyObject *value;
    enum wf_walk_result result = decode_any(r, n, e, &value);
    if (result != WF_WALK_OK || o->extra == WF_EXTRA_IGNORE) {
        if (result == WF_WALK_OK) {
            Py_DECREF(value);
        }
        return result;
    }
    PyObject *key = PyUnicode_DecodeUTF8(e->name.p, (Py_ssize_t)e->name.n, NULL);
    PyObject **extra = &w->values.p[bottom + o->nfields];
    if (key == NULL || (*extra == NULL && (*extra = PyDict_New()) == NULL) ||
        PyDict_SetItem(*extra, key, value) < 0) {
        result = WF_WALK_FAILED;
    }
    Py_XDECREF(key);
    Py_DECREF(value);
    return result;
}

static enum wf_walk_result decode_fields(struct reader *r, const struct wf_node *n,
                                         const element *e, PyObject **out) {
    struct wf_walk *w = r->w;
    const struct wf_object *o = &n->object;
    struct wf_bson_cursor c;
    element item;
    unsigned expected = 0;
    const size_t bottom = w->values.len, later = w->nlater;
    enum wf_walk_result result = open_container(r, e, &c);
    if (wf_unlikely(result != WF_WALK_OK)) {
        return result;
    }
    if (wf_unlikely(wf_walk_push_nulls(w, (size_t)o->nfields + o->extra_values) < 0)) {
        result = WF_WALK_FAILED;
    }
    while (result == WF_WALK_OK && (result = next(r, &c, &item)) == WF_WALK_OK && item.type != 0) {
        const struct wf_key *key = wf_object_key(o, item.name, &expected);
        if (wf_unlikely(key == NULL)) {
            result = decode_unknown(r, n, bottom, &item);
            if (result == WF_WALK_INVALID && w->fail.fail != WF_FAIL_UNKNOWN) {
                wf_walk_at_key(w, item.name);
            }
            continue;
        }
        const struct wf_object_field *f = &o->fields[key->field];
        const size_t before = w->nlater;
        PyObject *value;
        result = decode(r, f->node, &item, &value);
        if (wf_unlikely(result != WF_WALK_OK)) {
            if (result == WF_WALK_INVALID) {
                wf_walk_at_field(w, f);
            }
            break;
        }
        wf_walk_later_for(w, before, key->field);
        PyObject **slot = &w->values.p[bottom + key->field], *old = *slot;
        *slot = value; /* the last of equal names wins */
        Py_XDECREF(old);
        if (wf_unlikely(old != NULL && (n->flags & WF_NODE_PYDANTIC) != 0)) {
            /* by two of its names, of which pydantic has its favourite; or there is something put
             * off for a value that is gone */
            result = invalid(r, WF_FAIL_VALUE, n, e->value);
        }
    }
    w->depth--;
    if (wf_unlikely(result != WF_WALK_OK)) {
        wf_values_drop(&w->values, bottom);
        return result;
    }
    w->later_at = later;
    return at(r, e->value, wf_walk_object(w, n, bottom, out));
}

/* msgspec's array_like: values in the order of the fields, the tag in front. */
static enum wf_walk_result decode_field_array(struct reader *r, const struct wf_node *n,
                                              const element *e, PyObject **out) {
    struct wf_walk *w = r->w;
    const struct wf_object *o = &n->object;
    struct wf_bson_cursor c;
    element item;
    unsigned i = 0;
    bool tag = o->tag_key.p != NULL;
    const size_t bottom = w->values.len, later = w->nlater;
    enum wf_walk_result result = open_container(r, e, &c);
    if (result != WF_WALK_OK) {
        return result;
    }
    if (wf_walk_push_nulls(w, o->nfields) < 0) {
        result = WF_WALK_FAILED;
    }
    while (result == WF_WALK_OK && (result = next(r, &c, &item)) == WF_WALK_OK && item.type != 0) {
        if (tag) {
            tag = false;
            if (tag_of(&o->tag, 1, &item) == NULL) {
                result = invalid(r, WF_FAIL_TAG, n, item.value);
            }
        } else if (i < o->nfields) {
            PyObject *value;
            result = decode(r, o->fields[i].node, &item, &value);
            if (result == WF_WALK_OK) {
                w->values.p[bottom + i] = value;
            } else if (result == WF_WALK_INVALID) {
                wf_walk_at_index(w, i);
            }
            i++;
        } else if (o->extra == WF_EXTRA_FORBID) {
            result = invalid(r, WF_FAIL_LENGTH, n, e->value);
        }
    }
    w->depth--;
    if (result == WF_WALK_OK && tag) {
        w->fail.field = NULL;
        result = invalid(r, WF_FAIL_MISSING, n, e->value);
    }
    if (result != WF_WALK_OK) {
        wf_values_drop(&w->values, bottom);
        return result;
    }
    w->later_at = later; /* items come in the order of the fields */
    return at(r, e->value, wf_walk_object(w, n, bottom, out));
}

/* RootModel: the value itself is its only field. */
static enum wf_walk_result decode_root(struct reader *r, const struct wf_node *n, const element *e,
                                       PyObject **out) {
    PyObject *value;
    const size_t bottom = r->w->values.len, later = r->w->nlater;
    enum wf_walk_result result = decode(r, n->object.fields[0].node, e, &value);
    if (result != WF_WALK_OK) {
        return result;
    }
    if (wf_values_push(&r->w->values, value) < 0) {
        return WF_WALK_FAILED;
    }
    wf_walk_later_for(r->w, later, 0);
    r->w->later_at = later;
    return at(r, e->value, wf_walk_object(r->w, n, bottom, out));
}

static enum wf_walk_result decode_object(struct reader *r, const struct wf_node *n,
                                         const element *e, PyObject **out) {
    if (n->object.make == WF_MAKE_ROOT_MODEL) {
        return decode_root(r, n, e, out);
    }
    if (wf_unlikely(e->type != (n->object.array ? WF_BSON_ARRAY : WF_BSON_DOCUMENT))) {
        return fail_expected(r, n, e);
    }
    return n->object.array ? decode_field_array(r, n, e, out) : decode_fields(r, n, e, out);
}

/* The member of a tagged union, by its tag, wherever that stands in a document; in an array it is first. */
static enum wf_walk_result decode_tagged(struct reader *r, const struct wf_node *n,
                                         const element *e, PyObject **out) {
    const bool array = n->tagged.array;
    struct wf_bson_cursor c;
    element item;
    if (e->type != (array ? WF_BSON_ARRAY : WF_BSON_DOCUMENT)) {
        return fail_expected(r, n, e);
    }
    enum wf_walk_result result = open_container(r, e, &c);
    if (result != WF_WALK_OK) {
        return result;
    }
    r->w->depth--;
    while ((result = next(r, &c, &item)) == WF_WALK_OK && item.type != 0) {
        if (array || wf_span_eq(item.name, n->tagged.key)) {
            const struct wf_choice *tag = tag_of(n->tagged.tags, n->tagged.n, &item);
            if (tag != NULL) {
                return decode(r, n->tagged.nodes[tag - n->tagged.tags], e, out);
            }
            result = invalid(r, WF_FAIL_TAG, n, item.value);
            if (array) {
                wf_walk_at_index(r->w, 0);
            } else {
                wf_walk_at_key(r->w, n->tagged.key);
            }
            return result;
        }
        if (r->tag_budget-- == 0) {
            r->tag_budget = 0;
            return fail_syntax(r, WF_BSON_ERROR_DEPTH, item.value);
        }
    }
    if (result == WF_WALK_OK) {
        r->w->fail.field = NULL;
        result = invalid(r, WF_FAIL_MISSING, n, e->value);
    }
    return result;
}

/* ---- unions ---- */

/* What JSON would have in its place; WF_CLASS_COUNT for the types that JSON does not have. */
static enum wf_class class_of(uint8_t type) {
    switch (type) {
    case WF_BSON_NULL:
    case WF_BSON_UNDEFINED:
        return WF_CLASS_NULL;
    case WF_BSON_BOOL:
        return WF_CLASS_BOOL;
    case WF_BSON_INT32:
    case WF_BSON_INT64:
        return WF_CLASS_INT;
    case WF_BSON_DOUBLE:
        return WF_CLASS_FLOAT;
    case WF_BSON_STRING:
    case WF_BSON_SYMBOL:
        return WF_CLASS_STR;
    case WF_BSON_ARRAY:
        return WF_CLASS_ARRAY;
    case WF_BSON_DOCUMENT:
        return WF_CLASS_OBJECT;
    default:
        return WF_CLASS_COUNT;
    }
}

/* Does a scalar node take one of BSON's own types? */
static bool takes(const struct reader *r, const struct wf_node *n, const element *e) {
    switch (e->type) {
    case WF_BSON_DATETIME:
        return n->kind == WF_NODE_DATETIME || n->kind == WF_NODE_DATE;
    case WF_BSON_BINARY:
        return n->kind == (is_uuid(r, e) ? WF_NODE_UUID : WF_NODE_BYTES);
    case WF_BSON_DECIMAL128:
        return n->kind == WF_NODE_DECIMAL;
    case WF_BSON_OBJECTID:
        return n->kind == WF_NODE_OBJECTID || n->kind == WF_NODE_STR;
    default:
        return false;
    }
}

static enum wf_walk_result decode_union(struct reader *r, const struct wf_node *n, const element *e,
                                        PyObject **out) {
    enum wf_class class = class_of(e->type);
    const struct wf_node *member = class < WF_CLASS_COUNT ? n->one_of.by_class[class] : NULL;
    for (unsigned i = 0; member == NULL && i < n->n; i++) {
        const struct wf_node *m = n->one_of.members[i];
        member = takes(r, m, e) || m->kind == WF_NODE_ANY ? m : NULL;
    }
    return member != NULL ? decode(r, member, e, out) : fail_expected(r, n, e);
}

/* What a validator makes of the value, or of the plain object; that stands there until then. */
static enum wf_walk_result decode_put_off(struct reader *r, const struct wf_node *n,
                                          const element *e, PyObject **out) {
    enum wf_walk_result result = WF_WALK_OK;
    if (n->kind == WF_NODE_AFTER) {
        result = decode(r, n->item, e, out);
        if (result != WF_WALK_OK) {
            return result;
        }
    } else if ((*out = plain(r, e)) == NULL) {
        return WF_WALK_FAILED;
    } else {
        result = at(r, e->value, wf_walk_check_plain(r->w, n, *out));
    }
    if (result == WF_WALK_OK) {
        result = wf_walk_put_off(r->w, n);
    }
    if (result != WF_WALK_OK) {
        Py_CLEAR(*out);
    }
    return result;
}

/* ---- the switch ---- */

static enum wf_walk_result decode_kind(struct reader *r, const struct wf_node *n, const element *e,
                                       PyObject **out) {
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_STR:
        if (wf_likely(e->type == WF_BSON_STRING || e->type == WF_BSON_SYMBOL)) {
            return decode_str(r, n, e, out);
        }
        if (e->type == WF_BSON_OBJECTID && !(n->flags & WF_NODE_PYDANTIC)) {
            return decode_digits(r, n, e, out);
        }
        break;
    case WF_NODE_INT:
        if (wf_likely(e->type == WF_BSON_INT32 || e->type == WF_BSON_INT64)) {
            return give(r, n, e, PyLong_FromLongLong(e->i), out);
        }
        break;
    case WF_NODE_FLOAT:
        if (wf_likely(e->type == WF_BSON_DOUBLE)) {
            if ((n->flags & WF_NODE_FINITE) != 0 && !__builtin_isfinite(e->d)) {
                return invalid(r, WF_FAIL_VALUE, n, e->value);
            }
            return give(r, n, e, PyFloat_FromDouble(e->d), out);
        }
        if (e->type == WF_BSON_INT32 || e->type == WF_BSON_INT64) {
            return give(r, n, e, PyFloat_FromDouble((double)e->i), out);
        }
        break;
    case WF_NODE_BOOL:
        if (wf_likely(e->type == WF_BSON_BOOL)) {
            *out = Py_NewRef(e->i != 0 ? Py_True : Py_False);
            return WF_WALK_OK;
        }
        break;
    case WF_NODE_NONE:
        if (wf_likely(class_of(e->type) == WF_CLASS_NULL)) {
            *out = Py_NewRef(Py_None);
            return WF_WALK_OK;
        }
        break;
    case WF_NODE_OBJECT:
        return decode_object(r, n, e, out);
    case WF_NODE_LIST:
    case WF_NODE_VARTUPLE:
    case WF_NODE_SET:
    case WF_NODE_FROZENSET:
    case WF_NODE_DEQUE:
    case WF_NODE_TUPLE:
        if (wf_likely(e->type == WF_BSON_ARRAY)) {
            return decode_array(r, n, e, out);
        }
        break;
    case WF_NODE_DICT:
        if (wf_likely(e->type == WF_BSON_DOCUMENT)) {
            return decode_dict(r, n, e, out);
        }
        break;
    case WF_NODE_UNION:
        return decode_union(r, n, e, out);
    case WF_NODE_TAGGED:
        return decode_tagged(r, n, e, out);
    case WF_NODE_ANY:
        return decode_any(r, n, e, out);
    case WF_NODE_HANDED:
        return n->call == NULL ? hand_over(r, n, e, out) : decode_put_off(r, n, e, out);
    case WF_NODE_AFTER:
        return decode_put_off(r, n, e, out);
    case WF_NODE_CHOICE:
        return decode_choice(r, n, e, out);
    case WF_NODE_DECIMAL:
        return decode_decimal(r, n, e, out);
    case WF_NODE_DATETIME:
    case WF_NODE_DATE:
        return decode_date(r, n, e, out);
    case WF_NODE_BYTES:
        return decode_bytes(r, n, e, out);
    case WF_NODE_UUID:
        return decode_uuid(r, n, e, out);
    case WF_NODE_OBJECTID:
        if (e->type == WF_BSON_OBJECTID) {
            return give(r, n, e, wf_bson_make_objectid(r->s, e->text.p), out);
        }
        return e->type == WF_BSON_STRING ? decode_text(r, n, e, out) : fail_expected(r, n, e);
    case WF_NODE_TIME:
    case WF_NODE_TIMEDELTA:
    case WF_NODE_TEXT:
        if (e->type == WF_BSON_STRING) {
            return decode_text(r, n, e, out);
        }
        break;
    case WF_NODE_RAW: /* are JSON's */
    case WF_NODE_HOOK:
        break;
    case WF_NODE_SERIALIZER: /* of output alone */
    case WF_NODE_KIND_COUNT:
        Py_UNREACHABLE();
    }
    return fail_expected(r, n, e);
}

/* What the native walk finds invalid is judged as plain objects. */
static enum wf_walk_result decode_judged(struct reader *r, const struct wf_node *n,
                                         const element *e, PyObject **out) {
    const size_t later = r->w->nlater;
    enum wf_walk_result result = decode_kind(r, n, e, out);
    if (result == WF_WALK_OK && (result = wf_walk_later(r->w, later, n, out)) != WF_WALK_OK) {
        Py_CLEAR(*out);
    }
    if (wf_unlikely(result == WF_WALK_INVALID && !wf_walk_is_final(r->w))) {
        wf_walk_forget(r->w, later);
        Py_CLEAR(r->w->fail.cause);
        result = hand_over(r, n, e, out);
    }
    return result;
}

static enum wf_walk_result decode(struct reader *r, const struct wf_node *n, const element *e,
                                  PyObject **out) {
    if (wf_unlikely(n->judge != NULL && n->kind != WF_NODE_HANDED)) {
        return decode_judged(r, n, e, out);
    }
    return decode_kind(r, n, e, out);
}

/* ---- documents ---- */

static const char *type_name(int type) {
    switch (type) {
#define X(name, byte)                                                                              \
    case byte:                                                                                     \
        return #name;
        WF_BSON_TYPES(X)
#undef X
    default:
        return "?";
    }
}

static PyObject *message_of(const struct wf_walk_fail *f) {
    if (f->fail == WF_FAIL_SYNTAX) {
        return PyUnicode_FromString(wf_bson_error_text((enum wf_bson_error)f->code));
    }
    if (f->fail == WF_FAIL_EXPECTED) {
        PyObject *name = PyUnicode_FromString(type_name(f->code));
        PyObject *lower = name != NULL ? PyObject_CallMethod(name, "lower", NULL) : NULL;
        PyObject *text = lower != NULL ? PyUnicode_FromFormat("expected %U, got BSON's %U",
                                                              f->node->label, lower)
                                       : NULL;
        Py_XDECREF(name);
        Py_XDECREF(lower);
        return text;
    }
    return wf_walk_message(f);
}

static void raise_fail(struct reader *r) {
    struct wf_walk_fail *f = &r->w->fail;
    PyObject *path = wf_walk_path(f), *message = path != NULL ? message_of(f) : NULL;
    const char *text = message != NULL ? PyUnicode_AsUTF8(message) : NULL;
    if (text == NULL && message != NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear(); /* the words of an application's exception */
        text = "invalid value";
    }
    if (text != NULL) {
        if (f->cause != NULL) {
            wf_err_put(f->cause); /* stolen; it becomes the cause */
            f->cause = NULL;
        }
        wf_bson_raise_decode_at(r->s, Py_NewRef(path), r->base + f->at, text);
    }
    Py_XDECREF(path);
    Py_XDECREF(message);
}

/* The element that is the whole, without the root's judge. */
static enum wf_walk_result decode_whole(struct reader *r, const struct wf_node *root,
                                        const element *e, PyObject **out) {
    enum wf_walk_result result = WF_WALK_INVALID;
    if (root->kind != WF_NODE_HANDED) {
        result = decode_kind(r, root, e, out);
        if (result == WF_WALK_OK && !(r->w->flags & WF_WALK_WAITS) &&
            (result = wf_walk_later(r->w, 0, root, out)) != WF_WALK_OK) {
            Py_CLEAR(*out);
        }
    }
    return result;
}

enum wf_walk_result wf_bson_walk_shape(struct wf_walk *w, const struct wf_node *root,
                                       struct wf_span in, bool member, PyObject **out) {
    element e = {.type = WF_BSON_DOCUMENT, .name = WF_SPAN(""), .value = in.p, .text = in};
    struct reader r = {.w = w, .s = &w->state->bson, .in = in};
    r.tag_budget = in.n * TAG_SEARCH_MAX;
    *out = NULL;
    if (member) {
        struct wf_bson_cursor c;
        size_t bytes;
        enum wf_bson_error error = wf_bson_open(&c, in, &bytes);
        error = error == WF_BSON_OK ? wf_bson_next(&c, &e) : error;
        if (error != WF_BSON_OK || e.type == 0) {
            return fail_syntax(&r, error != WF_BSON_OK ? error : WF_BSON_ERROR_TRAILING, c.p);
        }
    }
    return decode_whole(&r, root, &e, out);
}

PyObject *wf_bson_decode_shape(struct wf_state *state, const struct wf_shape *shape,
                               const struct wf_bson_options *options, struct wf_span in,
                               size_t base) {
    const struct wf_node *root = shape->root;
    element e = {.type = WF_BSON_DOCUMENT, .name = WF_SPAN(""), .value = in.p, .text = in};
    PyObject *value = NULL;
    struct wf_walk w;
    wf_walk_init(&w, state, 0);
    struct reader r = {.w = &w, .s = &state->bson, .options = options, .in = in, .base = base};
    r.tag_budget = in.n * TAG_SEARCH_MAX;
    enum wf_walk_result result = decode_whole(&r, root, &e, &value);
    if (result == WF_WALK_INVALID && root->judge != NULL && !wf_walk_is_final(&w)) {
        PyObject *object = wf_bson_decode(&state->bson, options, in, base);
        result = object != NULL ? wf_walk_judge_root(&w, root, object, &value) : WF_WALK_FAILED;
        Py_XDECREF(object);
    }
    if (result == WF_WALK_INVALID) {
        raise_fail(&r);
    }
    wf_walk_clear(&w);
    return value;
}
