/* pydantic's models to BSON: what wf_bson_encode_mapping makes of model_dump(by_alias=True), without
 * making that.
 *
 * Of a class whose output shape is `plain` (weft/shapes/output.py) model_dump changes nothing but models,
 * which become dicts. So a value that is exactly what its node says is written as it is, by its class.
 * Anything else is odd: what was written is taken back, and pydantic is asked. Until then no code of the
 * application has run, but for time zones. */
#include "py/bson/dates.h"
#include "py/bson/encode_int.h"

#include "base/num.h"
#include "wire/bson/bson_write.h"

enum { ODD = 1 }; /* beside 0, and -1 with an exception */

static int put_value(struct encoder *e, const struct wf_node *n, struct wf_span name, PyObject *o);

static bool is_choice(const struct wf_node *n, PyObject *o) {
    const bool plain = PyUnicode_CheckExact(o) || PyLong_CheckExact(o);
    for (unsigned i = 0; i < n->n; i++) {
        PyObject *value = n->choices[i].value;
        if (value == o || (plain && Py_TYPE(value) == Py_TYPE(o) &&
                           PyObject_RichCompareBool(value, o, Py_EQ) == 1)) {
            return true;
        }
    }
    return false;
}

/* Is it exactly of the node, as far as its type goes? */
static bool is_exactly(const struct encoder *e, const struct wf_node *n, PyObject *o) {
    const struct wf_shape_state *s = &e->state->shape;
    PyTypeObject *type = Py_TYPE(o);
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_ANY:
        return true;
    case WF_NODE_NONE:
        return o == Py_None;
    case WF_NODE_BOOL:
        return type == &PyBool_Type;
    case WF_NODE_INT:
        return type == &PyLong_Type;
    case WF_NODE_FLOAT:
        return type == &PyFloat_Type;
    case WF_NODE_STR:
        return type == &PyUnicode_Type;
    case WF_NODE_BYTES:
        return type == &PyBytes_Type;
    case WF_NODE_DATETIME:
        return wf_bson_is_exact_datetime(e->s, o);
    case WF_NODE_DATE:
        return type == wf_bson_datetime(e->s)->DateType;
    case WF_NODE_TIME:
        return type == wf_bson_datetime(e->s)->TimeType;
    case WF_NODE_TIMEDELTA:
        return type == wf_bson_datetime(e->s)->DeltaType;
    case WF_NODE_UUID:
        return type == s->uuid_type;
    case WF_NODE_DECIMAL:
        return (PyObject *)type == s->decimal_type;
    case WF_NODE_OBJECTID:
        return (PyObject *)type == n->type;
    case WF_NODE_CHOICE:
        return is_choice(n, o);
    case WF_NODE_LIST:
        return type == &PyList_Type;
    case WF_NODE_VARTUPLE:
        return type == &PyTuple_Type;
    case WF_NODE_TUPLE:
        return type == &PyTuple_Type && (size_t)PyTuple_GET_SIZE(o) == n->n;
    case WF_NODE_DICT:
        return type == &PyDict_Type;
    case WF_NODE_OBJECT:
        return (PyObject *)type == n->type;
    default:
        return false;
    }
}

static int put_item(struct encoder *e, const void *item, Py_ssize_t i, struct wf_span name,
                    PyObject *o) {
    return put_value(e, item, name, o);
}

/* item  the node of each */
static int put_items(struct encoder *e, const struct wf_node *item, struct wf_span name,
                     PyObject *o) {
    return encode_array(e, name, o, put_item, item);
}

static int put_nth(struct encoder *e, const void *items, Py_ssize_t i, struct wf_span name,
                   PyObject *o) {
    return put_value(e, ((const struct wf_node *const *)items)[i], name, o);
}

static int put_member(struct encoder *e, const void *values, struct place *place, PyObject *key,
                      PyObject *value) {
    PyObject *owned;
    if (!PyUnicode_CheckExact(key) || wf_bson_utf8_of(e, key, &place->name, &owned) < 0) {
        return PyUnicode_CheckExact(key) ? -1 : ODD;
    }
    int rc = ODD;
    if (memchr(place->name.p, 0, place->name.n) == NULL) {
        e->place = place;
        rc = put_value(e, values, place->name, value);
        e->place = place->up;
    }
    Py_XDECREF(owned);
    return rc;
}

/* values  the node of all of them; keys are str */
static int put_dict(struct encoder *e, const struct wf_node *values, struct wf_span name,
                    PyObject *dict) {
    struct place place = {.up = e->place};
    size_t start;
    if (enter(e) < 0) {
        return -1;
    }
    int rc = check(e, wf_bson_put_begin(&e->out, WF_BSON_DOCUMENT, name, &start));
    rc = rc == 0 ? encode_members(e, &place, dict, PyDict_GET_SIZE(dict), put_member, values) : rc;
    leave(e);
    return rc == 0 ? check(e, wf_bson_end(&e->out, start)) : rc;
}

/* Its values by their own types: those that pydantic leaves as they are wherever it does not know what they
 * are meant to be. */
static int put_any(struct encoder *e, const struct wf_node *n, struct wf_span name, PyObject *o) {
    PyTypeObject *type = Py_TYPE(o);
    if (type == &PyDict_Type) {
        return put_dict(e, n, name, o);
    }
    if (type == &PyList_Type || type == &PyTuple_Type) {
        return put_items(e, n, name, o);
    }
    const bool same = type == &PyUnicode_Type || type == &PyLong_Type || type == &PyFloat_Type ||
                      type == &PyBool_Type || o == Py_None || type == &PyBytes_Type ||
                      wf_bson_is_exact_datetime(e->s, o);
    return same ? wf_bson_encode(e, name, o) : ODD;
}

static int put_one_of(struct encoder *e, const struct wf_node *const *members, unsigned count,
                      struct wf_span name, PyObject *o) {
    const struct wf_node *found = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (is_exactly(e, members[i], o)) {
            if (found != NULL) {
                return ODD;
            }
            found = members[i];
        }
    }
    return found != NULL ? put_value(e, found, name, o) : ODD;
}

static bool same_name(PyObject *name, PyObject *key) {
    return name == key || (PyUnicode_CheckExact(key) && PyUnicode_Compare(name, key) == 0);
}

/* The fields of the instance's dict, in their order there: _id alone, or all others, or all. */
static int put_fields(struct encoder *e, const struct wf_object *o, PyObject *dict, unsigned id,
                      bool only_id) {
    struct place place = {.up = e->place};
    PyObject *key, *value; /* borrowed from dict, then held */
    unsigned i = 0;
    int rc = PyDict_GET_SIZE(dict) == o->nfields ? 0 : ODD;
    for (Py_ssize_t at = 0; rc == 0 && PyDict_Next(dict, &at, &key, &value); i++) {
        const struct wf_object_field *f = &o->fields[i];
        if (i == o->nfields || !same_name(f->name, key)) {
            return ODD;
        }
        if (f->written == WF_WRITTEN_NEVER || (i == id) != only_id) {
            continue;
        }
        Py_INCREF(value);
        place.name = f->out_key;
        e->place = &place;
        rc = put_value(e, f->node, place.name, value);
        e->place = place.up;
        Py_DECREF(value);
        if (wf_unlikely(rc == 0 && PyDict_GET_SIZE(dict) != o->nfields)) {
            rc = FAIL(e, "an object changed while it was encoded");
        }
    }
    return rc;
}

/* A document without type and name. top: _id comes first */
static int put_model(struct encoder *e, const struct wf_object *o, PyObject *instance, bool top) {
    PyObject *extra = *(PyObject **)((char *)instance + o->offset_extra); /* borrowed */
    if (extra != NULL && extra != Py_None &&
        !(PyDict_CheckExact(extra) && PyDict_GET_SIZE(extra) == 0)) {
        return ODD;
    }
    PyObject *dict = PyObject_GenericGetDict(instance, NULL);
    size_t start;
    if (dict == NULL || enter(e) < 0) {
        Py_XDECREF(dict);
        return -1;
    }
    unsigned id = 0;
    while (top && id < o->nfields && !wf_span_eq(o->fields[id].out_key, WF_SPAN("_id"))) {
        id++;
    }
    id = top ? id : o->nfields;
    int rc = check(e, wf_bson_begin(&e->out, &start));
    if (rc == 0 && id < o->nfields) {
        rc = put_fields(e, o, dict, id, true);
    }
    rc = rc == 0 ? put_fields(e, o, dict, id, false) : rc;
    leave(e);
    Py_DECREF(dict);
    return rc == 0 ? check(e, wf_bson_end(&e->out, start)) : rc;
}

static int put_value(struct encoder *e, const struct wf_node *n, struct wf_span name, PyObject *o) {
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_ANY:
        return put_any(e, n, name, o);
    case WF_NODE_UNION:
        return put_one_of(e, n->one_of.members, n->n, name, o);
    case WF_NODE_TAGGED:
        return put_one_of(e, n->tagged.nodes, n->tagged.n, name, o);
    default:
        break;
    }
    if (wf_unlikely(!is_exactly(e, n, o))) {
        return ODD;
    }
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_LIST:
    case WF_NODE_VARTUPLE:
        return put_items(e, n->item, name, o);
    case WF_NODE_TUPLE:
        return encode_array(e, name, o, put_nth, n->items);
    case WF_NODE_DICT:
        return put_dict(e, n->map.value, name, o);
    case WF_NODE_OBJECT:
        return check(e, wf_bson_put_plain(&e->out, WF_BSON_DOCUMENT, name)) < 0
                   ? -1
                   : put_model(e, &n->object, o, false);
    default:
        return wf_bson_encode(e, name, o);
    }
}

/* The node of its class, or NULL where that is not plain; without an exception. */
static const struct wf_node *find_plain(struct encoder *e, PyObject *o, PyObject **shape) {
    *shape = wf_shape_find_output(e->state, (PyObject *)Py_TYPE(o));
    if (*shape == NULL) {
        PyErr_Clear(); /* pydantic knows what to say */
        return NULL;
    }
    const struct wf_node *root = ((struct wf_shape *)*shape)->root;
    return root->kind == WF_NODE_OBJECT && root->object.plain &&
                   (PyObject *)Py_TYPE(o) == root->type
               ? root
               : NULL;
}

int wf_bson_encode_model(struct encoder *e, const struct wf_span *name, PyObject *o) {
    PyObject *shape;
    const size_t len = e->out.len;
    if (e->options != NULL && (e->options->encoders != NULL || e->options->fallback != NULL)) {
        return ODD; /* they would be called again */
    }
    if (wf_bson_need_datetime(e->s) < 0) {
        return -1;
    }
    const struct wf_node *n = find_plain(e, o, &shape);
    int rc = ODD;
    if (n != NULL) {
        const bool was = e->dumped;
        e->dumped = true;
        rc = name != NULL ? check(e, wf_bson_put_plain(&e->out, WF_BSON_DOCUMENT, *name)) : 0;
        rc = rc == 0 ? put_model(e, &n->object, o, name == NULL) : rc;
        e->dumped = was;
    }
    if (rc == ODD) {
        e->out.len = len;
    }
    Py_XDECREF(shape);
    return rc;
}
