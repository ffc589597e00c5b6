/* BSON to the JSON of a type, without making objects.
 *
 * What it writes is what the shape of output makes of weft.bson.decode(raw, type=T), of pydantic's types by
 * alias. Where that is not certain (application code, pydantic's own conversions, a value that is not of the
 * type), it gives up, and the caller takes the way over objects, which also knows the errors. */
#include "py/bson/shapes.h"

#include "base/num.h"
#include "base/utf8.h"
#include "py/json/json.h"
#include "wire/bson/bson_read.h"
#include "wire/bson/date.h"
#include "wire/json/json_write.h"

enum {
    /* Of an object with more fields, or a dict with more names, it is not worth the stack or the
     * search for equal names. */
    FIELDS_MAX = 64,
    NAMES_MAX = 32
};

/* OK and FAILED as of a walk; INVALID: not this way. */
typedef enum wf_walk_result result;

struct writer {
    struct wf_json_buf_out to;
    struct wf_state *state;
    const struct wf_node *model; /* the root, where it is a model that is_direct; else NULL */
    unsigned depth;
};

typedef struct wf_bson_element element;

static result put(struct writer *w, const struct wf_node *n, const element *e);

static result from_rc(int rc) {
    if (wf_likely(rc == WF_BUF_OK)) {
        return WF_WALK_OK;
    }
    PyErr_NoMemory();
    return WF_WALK_FAILED;
}

static inline result put_bytes(struct writer *w, const char *p, size_t n) {
    return from_rc(wf_json_put_bytes(&w->to.out, p, n));
}

#define PUT(w, lit) put_bytes(w, "" lit, sizeof(lit) - 1)

/* Statements in a row, of which the first that is not OK is the result. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        result try_result = (call);                                                                \
        if (wf_unlikely(try_result != WF_WALK_OK)) {                                               \
            return try_result;                                                                     \
        }                                                                                          \
    } while (0)

/* ---- scalars ---- */

static result put_text(struct writer *w, struct wf_span s) {
    if (wf_unlikely(wf_ascii_prefix(s.p, s.n) != s.n && !wf_utf8_valid(s))) {
        return WF_WALK_INVALID;
    }
    return from_rc(wf_json_put_text(&w->to.out, s.p, s.n));
}

static char *hex_of(char *d, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        *d++ = "0123456789abcdef"[(unsigned char)p[i] >> 4];
        *d++ = "0123456789abcdef"[p[i] & 15];
    }
    return d;
}

static result put_objectid(struct writer *w, const char *id) {
    char text[26] = {'"'};
    char *d = hex_of(text + 1, id, 12);
    *d = '"';
    return put_bytes(w, text, sizeof(text));
}

static result put_uuid(struct writer *w, const char *p) {
    static const uint8_t parts[] = {4, 2, 2, 2, 6};
    char text[38], *d = text;
    *d++ = '"';
    for (size_t i = 0; i < sizeof(parts); i++) {
        if (i != 0) {
            *d++ = '-';
        }
        d = hex_of(d, p, parts[i]);
        p += parts[i];
    }
    *d++ = '"';
    return put_bytes(w, text, (size_t)(d - text));
}

static char *put_digits(char *d, int v, int n) {
    for (int i = n - 1; i >= 0; i--) {
        d[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return d + n;
}

/* As datetime.isoformat() and date.isoformat() write a naive one. */
static result put_date(struct writer *w, int64_t ms, bool with_time) {
    struct wf_bson_date t;
    char text[32], *d = text;
    if (!wf_bson_date_from_ms(ms, &t) ||
        (!with_time && (t.hour | t.minute | t.second | t.millisecond) != 0)) {
        return WF_WALK_INVALID;
    }
    *d++ = '"';
    d = put_digits(d, t.year, 4);
    *d++ = '-';
    d = put_digits(d, t.month, 2);
    *d++ = '-';
    d = put_digits(d, t.day, 2);
    if (with_time) {
        *d++ = 'T';
        d = put_digits(d, t.hour, 2);
        *d++ = ':';
        d = put_digits(d, t.minute, 2);
        *d++ = ':';
        d = put_digits(d, t.second, 2);
        if (t.millisecond != 0) {
            *d++ = '.';
            d = put_digits(d, t.millisecond * 1000, 6);
        }
    }
    *d++ = '"';
    return put_bytes(w, text, (size_t)(d - text));
}

static result put_double(struct writer *w, const struct wf_node *n, double v) {
    char text[WF_DOUBLE_CHARS_MAX];
    const char *end = wf_json_write_typed_double(text, v, (n->flags & WF_NODE_PYDANTIC) != 0);
    return put_bytes(w, text, (size_t)(end - text));
}

/* ---- containers ---- */

static result open_container(struct writer *w, const element *e, struct wf_bson_cursor *c) {
    size_t bytes;
    if (w->depth == WF_BSON_DEPTH_MAX || wf_bson_open(c, e->text, &bytes) != WF_BSON_OK ||
        bytes != e->text.n) {
        return WF_WALK_INVALID;
    }
    w->depth++;
    return WF_WALK_OK;
}

/* The next element, its name UTF-8; its type is 0 at the end. */
static inline result next(struct wf_bson_cursor *c, element *e) {
    return wf_bson_next(c, e) == WF_BSON_OK &&
                   (e->type == 0 || !e->name_wide || wf_utf8_valid(e->name))
               ? WF_WALK_OK
               : WF_WALK_INVALID;
}

/* items  the node of each. n: how many there were */
static result put_items(struct writer *w, const struct wf_node *items, const element *e,
                        size_t *n) {
    struct wf_bson_cursor c;
    element item;
    TRY(open_container(w, e, &c));
    TRY(PUT(w, "["));
    for (size_t i = 0;; i++) {
        TRY(next(&c, &item));
        if (item.type == 0) {
            *n = i;
            break;
        }
        if (i != 0) {
            TRY(PUT(w, ","));
        }
        TRY(put(w, items, &item));
    }
    w->depth--;
    return PUT(w, "]");
}

/* values  the node of each. n: how many there were */
static result put_members(struct writer *w, const struct wf_node *values, const element *e,
                          size_t *n) {
    struct wf_bson_cursor c;
    struct wf_span names[NAMES_MAX];
    element item;
    TRY(open_container(w, e, &c));
    TRY(PUT(w, "{"));
    for (size_t i = 0;; i++) {
        TRY(next(&c, &item));
        if (item.type == 0) {
            *n = i;
            break;
        }
        if (i == NAMES_MAX) {
            return WF_WALK_INVALID;
        }
        for (size_t k = 0; k < i; k++) {
            if (wf_span_eq(names[k], item.name)) {
                return WF_WALK_INVALID; /* of equal names the last counts */
            }
        }
        names[i] = item.name;
        if (i != 0) {
            TRY(PUT(w, ","));
        }
        TRY(put_text(w, item.name));
        TRY(PUT(w, ":"));
        TRY(put(w, values, &item));
    }
    w->depth--;
    return PUT(w, "}");
}

/* ---- constraints ---- */

static bool keeps_length(const struct wf_node *n, size_t length) {
    for (unsigned i = 0; i < n->nchecks; i++) {
        const struct wf_check *c = &n->checks[i];
        if (!c->small || (c->op == WF_CHECK_MIN_LENGTH   ? (long long)length < c->as_int
                          : c->op == WF_CHECK_MAX_LENGTH ? (long long)length > c->as_int
                                                         : true)) {
            return false;
        }
    }
    return true;
}

static bool keeps_int(const struct wf_node *n, int64_t v) {
    for (unsigned i = 0; i < n->nchecks; i++) {
        const struct wf_check *c = &n->checks[i];
        if (!c->small || !(c->op == WF_CHECK_GE   ? v >= c->as_int
                           : c->op == WF_CHECK_GT ? v > c->as_int
                           : c->op == WF_CHECK_LE ? v <= c->as_int
                           : c->op == WF_CHECK_LT ? v < c->as_int
                                                  : false)) {
            return false;
        }
    }
    return true;
}

static size_t count_chars(struct wf_span s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += (s.p[i] & 0xc0) != 0x80;
    }
    return n;
}

static result put_array(struct writer *w, const struct wf_node *n, const element *e) {
    size_t count;
    TRY(put_items(w, n->item, e, &count));
    return keeps_length(n, count) ? WF_WALK_OK : WF_WALK_INVALID;
}

static result put_dict(struct writer *w, const struct wf_node *n, const element *e) {
    const struct wf_node *key = n->map.key;
    size_t count;
    if ((key->kind != WF_NODE_STR && key->kind != WF_NODE_ANY) || key->nchecks != 0) {
        return WF_WALK_INVALID;
    }
    TRY(put_members(w, n->map.value, e, &count));
    return keeps_length(n, count) ? WF_WALK_OK : WF_WALK_INVALID;
}

/* ---- objects ---- */

/* Is its JSON known from its fields alone? */
static bool is_plain_object(const struct wf_node *n) {
    const struct wf_object *o = &n->object;
    const bool made =
        (n->flags & WF_NODE_PYDANTIC) != 0
            ? o->make == WF_MAKE_MODEL
            : o->make == WF_MAKE_DICT || o->make == WF_MAKE_INSTANCE || o->make == WF_MAKE_STRUCT;
    return made && o->extra != WF_EXTRA_ALLOW && !o->array && !o->omit_defaults &&
           o->post_init == NULL && o->tag_key.p == NULL && o->nfields <= FIELDS_MAX;
}

static bool is_choice(const struct wf_node *n, PyObject *v) {
    unsigned i = 0;
    while (i < n->n && n->choices[i].value != v) {
        i++;
    }
    return i < n->n;
}

/* Is the default, which nobody has validated, written as this room does it: is it of the field's type? */
static bool is_own_default(const struct wf_node *n, const struct wf_object_field *f) {
    PyObject *v = f->default_value;
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_ANY:
        return f->default_kind == WF_DEFAULT_VALUE &&
               (v == Py_None || PyBool_Check(v) || PyLong_CheckExact(v) || PyUnicode_CheckExact(v));
    case WF_NODE_STR:
        return f->default_kind == WF_DEFAULT_VALUE && PyUnicode_CheckExact(v);
    case WF_NODE_INT:
        return f->default_kind == WF_DEFAULT_VALUE && PyLong_CheckExact(v);
    case WF_NODE_FLOAT:
        return f->default_kind == WF_DEFAULT_VALUE && PyFloat_CheckExact(v);
    case WF_NODE_BOOL:
        return f->default_kind == WF_DEFAULT_VALUE && PyBool_Check(v);
    case WF_NODE_NONE:
        return f->default_kind == WF_DEFAULT_VALUE && v == Py_None;
    case WF_NODE_CHOICE: /* of pydantic's, the member of an enum may stand where its value does */
        return f->default_kind == WF_DEFAULT_VALUE && !(n->flags & WF_NODE_PYDANTIC) &&
               is_choice(n, v);
    case WF_NODE_LIST:
        return f->default_kind == WF_DEFAULT_LIST;
    case WF_NODE_DICT:
        return f->default_kind == WF_DEFAULT_DICT;
    case WF_NODE_SET:
        return f->default_kind == WF_DEFAULT_SET;
    case WF_NODE_UNION: /* what is exactly of a member is written as that */
        for (unsigned i = 0; i < n->n; i++) {
            if (is_own_default(n->one_of.members[i], f)) {
                return true;
            }
        }
        return false;
    default:
        return false;
    }
}

/* Is a field that is not there left out (1), or has a value (0)? -1: not this way. */
static int is_omitted(const struct wf_object *o, const struct wf_object_field *f) {
    if (f->default_kind == WF_DEFAULT_OMIT && o->make == WF_MAKE_DICT) {
        return 1;
    }
    return is_own_default(f->node, f) ? 0 : -1;
}

static result put_default(struct writer *w, const struct wf_object_field *f) {
    switch ((enum wf_default)f->default_kind) {
    case WF_DEFAULT_LIST:
    case WF_DEFAULT_SET:
        return PUT(w, "[]");
    case WF_DEFAULT_DICT:
        return PUT(w, "{}");
    default:
        break;
    }
    if (PyFloat_CheckExact(f->default_value)) {
        return put_double(w, f->node, PyFloat_AS_DOUBLE(f->default_value));
    }
    wf_json_buf_close(&w->to);
    int rc = wf_json_encode(w->state, f->default_value, NULL, w->to.buf);
    wf_json_buf_open(&w->to, w->to.buf);
    return rc < 0 ? WF_WALK_FAILED : WF_WALK_OK;
}

static bool is_int(const element *e) {
    return e->type == WF_BSON_INT32 || e->type == WF_BSON_INT64;
}

/* Is there an object of it, whatever it says? A date may be none of datetime's. */
static bool is_made_always(const element *e) {
    return is_int(e) || e->type == WF_BSON_DOUBLE || e->type == WF_BSON_BOOL ||
           e->type == WF_BSON_NULL || e->type == WF_BSON_OBJECTID;
}

/* Where each field's element is; fails for names that come twice. */
static result find_fields(const struct wf_object *o, struct wf_bson_cursor c, const char **found) {
    const bool model = o->make == WF_MAKE_MODEL;
    unsigned expected = 0;
    element item;
    memset(found, 0, o->nfields * sizeof(*found));
    for (;;) {
        const char *p = c.p;
        TRY(next(&c, &item));
        if (item.type == 0) {
            return WF_WALK_OK;
        }
        const struct wf_key *key = wf_object_key(o, item.name, &expected);
        if (key == NULL || found[key->field] != NULL) {
            /* what is passed over is checked by those who know the errors */
            if (key != NULL || o->extra == WF_EXTRA_FORBID || item.type == WF_BSON_DOCUMENT ||
                item.type == WF_BSON_ARRAY || item.type == WF_BSON_STRING ||
                (model && !is_made_always(&item))) {
                return WF_WALK_INVALID;
            }
            continue;
        }
        found[key->field] = p;
    }
}

static result put_object(struct writer *w, const struct wf_node *n, const element *e) {
    const struct wf_object *o = &n->object;
    const char *found[FIELDS_MAX];
    struct wf_bson_cursor c;
    element item;
    bool first = true;
    if (!is_plain_object(n)) {
        return WF_WALK_INVALID;
    }
    TRY(open_container(w, e, &c));
    TRY(find_fields(o, c, found));
    TRY(PUT(w, "{"));
    for (unsigned i = 0; i < o->nfields; i++) {
        const struct wf_object_field *f = &o->fields[i];
        if (found[i] == NULL) {
            int omitted = is_omitted(o, f);
            if (omitted < 0) {
                return WF_WALK_INVALID;
            }
            if (omitted) {
                continue;
            }
        }
        const size_t before = (size_t)(w->to.out.p - w->to.out.start);
        if (!first) {
            TRY(PUT(w, ","));
        }
        TRY(from_rc(wf_json_put_text(&w->to.out, f->out_key.p, f->out_key.n)));
        TRY(PUT(w, ":"));
        if (found[i] == NULL) {
            TRY(put_default(w, f));
        } else {
            struct wf_bson_cursor at = {.p = found[i], .end = c.end};
            TRY(next(&at, &item));
            TRY(put(w, f->node, &item));
        }
        if (wf_unlikely(f->written == WF_WRITTEN_NEVER)) {
            w->to.out.p = w->to.out.start + before; /* it is what it has to be, and left out */
        } else {
            first = false;
        }
    }
    w->depth--;
    return PUT(w, "}");
}

/* By the member of which the element that tells them apart is the tag. */
static result put_tagged(struct writer *w, const struct wf_node *n, const element *e) {
    struct wf_bson_cursor c;
    element item;
    if (n->tagged.array) { /* nor is a member of it written here */
        return WF_WALK_INVALID;
    }
    TRY(open_container(w, e, &c));
    w->depth--; /* the member opens it again */
    do {
        TRY(next(&c, &item));
    } while (item.type != 0 && !wf_span_eq(item.name, n->tagged.key));
    for (unsigned i = 0; item.type != 0 && i < n->tagged.n; i++) {
        const struct wf_choice *tag = &n->tagged.tags[i];
        if (tag->text.p != NULL ? item.type == WF_BSON_STRING && wf_span_eq(tag->text, item.text)
                                : is_int(&item) && tag->number == item.i) {
            return put(w, n->tagged.nodes[i], e);
        }
    }
    return WF_WALK_INVALID;
}

/* ---- the switch ---- */

/* Does the node take the element without asking for more (1), or not at all (0)? -1: not known here. */
static int takes(const struct wf_node *n, const element *e) {
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_STR:
        return e->type == WF_BSON_STRING ||
               (e->type == WF_BSON_OBJECTID && !(n->flags & WF_NODE_PYDANTIC));
    case WF_NODE_INT:
        return is_int(e);
    case WF_NODE_FLOAT:
        return e->type == WF_BSON_DOUBLE;
    case WF_NODE_BOOL:
        return e->type == WF_BSON_BOOL;
    case WF_NODE_NONE:
        return e->type == WF_BSON_NULL;
    case WF_NODE_DATETIME:
        return e->type == WF_BSON_DATETIME;
    case WF_NODE_UUID: /* for pydantic these are conversions, which others may be as well */
    case WF_NODE_OBJECTID:
        return (n->flags & WF_NODE_PYDANTIC) != 0 ? -1
               : n->kind == WF_NODE_UUID          ? e->type == WF_BSON_BINARY
                                                  : e->type == WF_BSON_OBJECTID;
    case WF_NODE_LIST:
        return e->type == WF_BSON_ARRAY;
    case WF_NODE_OBJECT:
        return e->type == (n->object.array ? WF_BSON_ARRAY : WF_BSON_DOCUMENT);
    case WF_NODE_TAGGED:
        return e->type == (n->tagged.array ? WF_BSON_ARRAY : WF_BSON_DOCUMENT);
    case WF_NODE_DICT:
        return e->type == WF_BSON_DOCUMENT;
    default:
        return -1;
    }
}

/* Only where one member takes it, and no other could. */
static result put_union(struct writer *w, const struct wf_node *n, const element *e) {
    const struct wf_node *member = NULL;
    unsigned others = 0; /* than null */
    for (unsigned i = 0; i < n->n; i++) {
        const struct wf_node *m = n->one_of.members[i];
        if (m->kind != WF_NODE_NONE) {
            member = m;
            others++;
        } else if (e->type == WF_BSON_NULL) {
            return PUT(w, "null");
        }
    }
    if (others == 1) {
        return put(w, member, e);
    }
    member = NULL;
    for (unsigned i = 0; i < n->n; i++) {
        int taken = takes(n->one_of.members[i], e);
        if (taken < 0 || (taken > 0 && member != NULL)) {
            return WF_WALK_INVALID;
        }
        member = taken > 0 ? n->one_of.members[i] : member;
    }
    return member != NULL ? put(w, member, e) : WF_WALK_INVALID;
}

/* Whatever it is, where its object is written as the element is. */
static result put_any(struct writer *w, const struct wf_node *n, const element *e) {
    size_t count;
    switch (e->type) {
    case WF_BSON_STRING:
        return put_text(w, e->text);
    case WF_BSON_INT32:
    case WF_BSON_INT64:
        return from_rc(wf_json_put_i64(&w->to.out, e->i));
    case WF_BSON_DOUBLE:
        return __builtin_isfinite(e->d) ? put_double(w, n, e->d) : WF_WALK_INVALID;
    case WF_BSON_BOOL:
        return e->i != 0 ? PUT(w, "true") : PUT(w, "false");
    case WF_BSON_NULL:
        return PUT(w, "null");
    case WF_BSON_DATETIME:
        return put_date(w, e->i, true);
    case WF_BSON_ARRAY:
        return put_items(w, n, e, &count);
    case WF_BSON_DOCUMENT:
        return put_members(w, n, e, &count);
    default:
        return WF_WALK_INVALID;
    }
}

static result put_choice(struct writer *w, const struct wf_node *n, const element *e) {
    for (unsigned i = 0; i < n->n; i++) {
        const struct wf_choice *c = &n->choices[i];
        if (c->text.p != NULL && e->type == WF_BSON_STRING && wf_span_eq(c->text, e->text)) {
            return put_text(w, e->text);
        }
        if (c->text.p == NULL && is_int(e) && c->number == e->i) {
            return from_rc(wf_json_put_i64(&w->to.out, e->i));
        }
    }
    return WF_WALK_INVALID;
}

/* A node of pydantic's is read here only below a model that is_direct, which is the only judge then. */
static bool is_ours(const struct writer *w, const struct wf_node *n) {
    return w->model != NULL ? n->judge == NULL || n == w->model
                            : n->judge == NULL && !(n->flags & WF_NODE_PYDANTIC);
}

static result put_string(struct writer *w, const struct wf_node *n, const element *e) {
    if (e->type == WF_BSON_OBJECTID && !(n->flags & WF_NODE_PYDANTIC) && n->nchecks == 0) {
        return put_objectid(w, e->text.p);
    }
    if (e->type != WF_BSON_STRING || (n->nchecks != 0 && !keeps_length(n, count_chars(e->text)))) {
        return WF_WALK_INVALID;
    }
    return put_text(w, e->text);
}

static result put_float(struct writer *w, const struct wf_node *n, const element *e) {
    double v = e->type == WF_BSON_DOUBLE ? e->d : (double)e->i;
    return (e->type == WF_BSON_DOUBLE || is_int(e)) && __builtin_isfinite(v) ? put_double(w, n, v)
                                                                             : WF_WALK_INVALID;
}

/* Have its checks been read where they are, or has it none? */
static bool checks_itself(const struct wf_node *n) {
    return n->nchecks == 0 || n->kind == WF_NODE_STR || n->kind == WF_NODE_INT ||
           n->kind == WF_NODE_LIST || n->kind == WF_NODE_VARTUPLE || n->kind == WF_NODE_DICT;
}

static result put(struct writer *w, const struct wf_node *n, const element *e) {
    if (!checks_itself(n) || !is_ours(w, n)) {
        return WF_WALK_INVALID;
    }
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_ANY:
        return put_any(w, n, e);
    case WF_NODE_STR:
        return put_string(w, n, e);
    case WF_NODE_INT:
        return is_int(e) && keeps_int(n, e->i) ? from_rc(wf_json_put_i64(&w->to.out, e->i))
                                               : WF_WALK_INVALID;
    case WF_NODE_FLOAT:
        return put_float(w, n, e);
    case WF_NODE_BOOL:
        return e->type != WF_BSON_BOOL ? WF_WALK_INVALID
               : e->i != 0             ? PUT(w, "true")
                                       : PUT(w, "false");
    case WF_NODE_NONE:
        return e->type == WF_BSON_NULL ? PUT(w, "null") : WF_WALK_INVALID;
    case WF_NODE_DATETIME:
    case WF_NODE_DATE:
        return e->type == WF_BSON_DATETIME ? put_date(w, e->i, n->kind == WF_NODE_DATETIME)
                                           : WF_WALK_INVALID;
    case WF_NODE_UUID:
        return e->type == WF_BSON_BINARY && e->subtype == 4 && e->text.n == 16
                   ? put_uuid(w, e->text.p)
                   : WF_WALK_INVALID;
    case WF_NODE_OBJECTID: /* what is text is read, to have its digits in lower case */
        return e->type == WF_BSON_OBJECTID ? put_objectid(w, e->text.p) : WF_WALK_INVALID;
    case WF_NODE_CHOICE:
        return put_choice(w, n, e);
    case WF_NODE_LIST:
    case WF_NODE_VARTUPLE:
        return e->type == WF_BSON_ARRAY ? put_array(w, n, e) : WF_WALK_INVALID;
    case WF_NODE_DICT:
        return e->type == WF_BSON_DOCUMENT ? put_dict(w, n, e) : WF_WALK_INVALID;
    case WF_NODE_OBJECT:
        return e->type == WF_BSON_DOCUMENT ? put_object(w, n, e) : WF_WALK_INVALID;
    case WF_NODE_UNION:
        return put_union(w, n, e);
    case WF_NODE_TAGGED:
        return put_tagged(w, n, e);
    default:
        return WF_WALK_INVALID;
    }
}

/* Is the root a model of which pydantic's model_dump(mode="json") says the same as its nodes? */
static bool is_direct(struct wf_state *state, const struct wf_node *root) {
    if (!(root->flags & WF_NODE_PYDANTIC) || root->kind != WF_NODE_OBJECT) {
        return false;
    }
    PyObject *shape = wf_shape_find_output(state, root->type);
    if (shape == NULL) {
        PyErr_Clear(); /* pydantic knows what to say */
        return false;
    }
    const struct wf_node *written = ((struct wf_shape *)shape)->root;
    bool direct = written->kind == WF_NODE_OBJECT && written->object.direct;
    Py_DECREF(shape);
    return direct;
}

/* By way of objects: what is always right. */
static int over_objects(struct wf_state *state, const struct wf_shape *shape, PyObject *type,
                        struct wf_span in, struct wf_buf *out) {
    PyObject *value = wf_bson_decode_shape(state, shape, NULL, in, 0);
    PyObject *output = value != NULL ? wf_shape_find_output(state, type) : NULL;
    result r = WF_WALK_FAILED;
    if (output != NULL) {
        r = wf_json_encode_shape((struct wf_shape *)output, value, WF_OUTPUT_BY_ALIAS, out);
    }
    Py_XDECREF(output);
    Py_XDECREF(value);
    return r == WF_WALK_OK ? 0 : -1;
}

int wf_bson_shape_to_json(struct wf_state *state, const struct wf_shape *shape, PyObject *type,
                          struct wf_span in, struct wf_buf *out) {
    struct writer w = {.state = state, .model = is_direct(state, shape->root) ? shape->root : NULL};
    element e = {.type = WF_BSON_DOCUMENT, .name = WF_SPAN(""), .value = in.p, .text = in};
    size_t len = out->len;
    wf_json_buf_open(&w.to, out);
    result r = put(&w, shape->root, &e);
    wf_json_buf_close(&w.to);
    if (r == WF_WALK_OK) {
        return 0;
    }
    out->len = len;
    return r == WF_WALK_FAILED ? -1 : over_objects(state, shape, type, in, out);
}
