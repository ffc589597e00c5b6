/* BSON to the JSON of a type, without making objects.
 *
 * What it writes is what weft.json.encode makes of weft.bson.decode(raw, type=T). Where that is not
 * certain (a model's serializers, constraints, application code, a value that is not of the type),
 * it gives up, and the caller takes the way over objects, which also knows the errors. */
#include "py/bson/shapes.h"

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

static result put_array(struct writer *w, const struct wf_node *n, const element *e) {
    struct wf_bson_cursor c;
    element item;
    TRY(open_container(w, e, &c));
    TRY(PUT(w, "["));
    for (size_t i = 0;; i++) {
        TRY(next(&c, &item));
        if (item.type == 0) {
            break;
        }
        if (i != 0) {
            TRY(PUT(w, ","));
        }
        TRY(put(w, n->item, &item));
    }
    w->depth--;
    return PUT(w, "]");
}

static result put_dict(struct writer *w, const struct wf_node *n, const element *e) {
    struct wf_bson_cursor c;
    struct wf_span names[NAMES_MAX];
    element item;
    if (n->map.key->kind != WF_NODE_STR || n->map.key->nchecks != 0) {
        return WF_WALK_INVALID;
    }
    TRY(open_container(w, e, &c));
    TRY(PUT(w, "{"));
    for (size_t i = 0;; i++) {
        TRY(next(&c, &item));
        if (item.type == 0) {
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
        TRY(put(w, n->map.value, &item));
    }
    w->depth--;
    return PUT(w, "}");
}

/* ---- objects ---- */

/* Is its JSON known from its fields alone? */
static bool is_plain_object(const struct wf_node *n) {
    const struct wf_object *o = &n->object;
    return (o->make == WF_MAKE_DICT || o->make == WF_MAKE_INSTANCE || o->make == WF_MAKE_STRUCT) &&
           o->extra == WF_EXTRA_IGNORE && !o->array && o->post_init == NULL &&
           o->tag_key.p == NULL && o->nfields <= FIELDS_MAX && !(n->flags & WF_NODE_PYDANTIC);
}

/* Is a field that is not there left out (1), or has a value (0)? -1: not this way. */
static int is_omitted(const struct wf_object *o, const struct wf_object_field *f) {
    switch ((enum wf_default)f->default_kind) {
    case WF_DEFAULT_VALUE:
    case WF_DEFAULT_COPY:
    case WF_DEFAULT_LIST:
    case WF_DEFAULT_DICT:
    case WF_DEFAULT_SET:
        return 0;
    case WF_DEFAULT_OMIT:
        return o->make == WF_MAKE_DICT ? 1 : -1;
    case WF_DEFAULT_REQUIRED:
    case WF_DEFAULT_FACTORY:
        break;
    }
    return -1;
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
    wf_json_buf_close(&w->to);
    int rc = wf_json_encode(w->state, f->default_value, NULL, w->to.buf);
    wf_json_buf_open(&w->to, w->to.buf);
    return rc < 0 ? WF_WALK_FAILED : WF_WALK_OK;
}

/* Where each field's element is; fails for names that come twice. */
static result find_fields(const struct wf_object *o, struct wf_bson_cursor c, const char **found) {
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
            if (key != NULL || item.type == WF_BSON_DOCUMENT || item.type == WF_BSON_ARRAY ||
                item.type == WF_BSON_STRING) {
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
        if (!first) {
            TRY(PUT(w, ","));
        }
        first = false;
        TRY(from_rc(wf_json_put_text(&w->to.out, f->out_key.p, f->out_key.n)));
        TRY(PUT(w, ":"));
        if (found[i] == NULL) {
            TRY(put_default(w, f));
        } else {
            struct wf_bson_cursor at = {.p = found[i], .end = c.end};
            TRY(next(&at, &item));
            TRY(put(w, f->node, &item));
        }
    }
    w->depth--;
    return PUT(w, "}");
}

/* ---- the switch ---- */

static bool is_int(const element *e) {
    return e->type == WF_BSON_INT32 || e->type == WF_BSON_INT64;
}

/* Does the node take the element without asking for more? */
static bool takes(const struct wf_node *n, const element *e) {
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_STR:
        return e->type == WF_BSON_STRING || e->type == WF_BSON_OBJECTID;
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
    case WF_NODE_UUID:
        return e->type == WF_BSON_BINARY;
    case WF_NODE_OBJECTID:
        return e->type == WF_BSON_OBJECTID;
    case WF_NODE_LIST:
        return e->type == WF_BSON_ARRAY;
    case WF_NODE_OBJECT:
    case WF_NODE_DICT:
        return e->type == WF_BSON_DOCUMENT;
    default:
        return false;
    }
}

/* Only where one member takes it, and no other could. */
static result put_union(struct writer *w, const struct wf_node *n, const element *e) {
    const struct wf_node *member = NULL;
    for (unsigned i = 0; i < n->n; i++) {
        const struct wf_node *m = n->one_of.members[i];
        if (takes(m, e)) {
            if (member != NULL) {
                return WF_WALK_INVALID;
            }
            member = m;
        } else if (m->kind == WF_NODE_CHOICE || m->kind == WF_NODE_DATE || m->kind == WF_NODE_ANY) {
            return WF_WALK_INVALID;
        }
    }
    return member != NULL ? put(w, member, e) : WF_WALK_INVALID;
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

static result put(struct writer *w, const struct wf_node *n, const element *e) {
    if (n->nchecks != 0 || n->judge != NULL || (n->flags & WF_NODE_PYDANTIC) != 0) {
        return WF_WALK_INVALID;
    }
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_STR:
        return e->type == WF_BSON_STRING     ? put_text(w, e->text)
               : e->type == WF_BSON_OBJECTID ? put_objectid(w, e->text.p)
                                             : WF_WALK_INVALID;
    case WF_NODE_INT:
        return is_int(e) ? from_rc(wf_json_put_i64(&w->to.out, e->i)) : WF_WALK_INVALID;
    case WF_NODE_FLOAT: {
        double v = e->type == WF_BSON_DOUBLE ? e->d : (double)e->i;
        return (e->type == WF_BSON_DOUBLE || is_int(e)) && __builtin_isfinite(v)
                   ? from_rc(wf_json_put_double(&w->to.out, v))
                   : WF_WALK_INVALID;
    }
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
    default:
        return WF_WALK_INVALID;
    }
}

/* By way of objects: what is always right. */
static int over_objects(struct wf_state *state, const struct wf_shape *shape, struct wf_span in,
                        struct wf_buf *out) {
    PyObject *value = wf_bson_decode_shape(state, shape, NULL, in, 0);
    int rc = value != NULL ? wf_json_encode(state, value, NULL, out) : -1;
    Py_XDECREF(value);
    return rc;
}

int wf_bson_shape_to_json(struct wf_state *state, const struct wf_shape *shape, struct wf_span in,
                          struct wf_buf *out) {
    struct writer w = {.state = state};
    element e = {.type = WF_BSON_DOCUMENT, .name = WF_SPAN(""), .value = in.p, .text = in};
    size_t len = out->len;
    wf_json_buf_open(&w.to, out);
    result r = put(&w, shape->root, &e);
    wf_json_buf_close(&w.to);
    if (r == WF_WALK_OK) {
        return 0;
    }
    out->len = len;
    return r == WF_WALK_FAILED ? -1 : over_objects(state, shape, in, out);
}
