/* Objects to JSON, as a shape has them: one switch over the nodes, straight into the output. */
#include "py/shape/encode_json_int.h"

/* Validation leaves the value as it is, as far as the node's own checks go. */
static WF_NOINLINE bool keeps_checks(struct typed *t, const struct wf_node *n, PyObject *o) {
    if (!(n->flags & WF_NODE_PROVED) ||
        (n->nchecks != 0 && n->kind == WF_NODE_FLOAT && !PyFloat_CheckExact(o))) {
        return false;
    }
    /* what is not of the node fails later, but must not be measured */
    if (n->nchecks == 0 || !json_is_of(t, n, o, true)) {
        return true;
    }
    enum wf_walk_result result = wf_walk_checks_slow(&t->w, n, o);
    if (result == WF_WALK_FAILED) {
        PyErr_Clear(); /* and so pydantic is asked */
    }
    return result == WF_WALK_OK;
}

/* ---- what is not as the node says ---- */

WF_NOINLINE char *json_put_other(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    if (t->judged && !(n->kind == WF_NODE_ANY && n->flags & WF_NODE_PROVED)) {
        return unproved(t);
    }
    if (n->dump != NULL) {
        return json_put_by_pydantic(t, d, n, o);
    }
    PyErr_Format(t->e.s->encode_error, "expected %U, got %.200s", n->label, Py_TYPE(o)->tp_name);
    return NULL;
}

/* ---- anything ---- */

static bool is_scalar(PyObject *o) {
    return PyUnicode_Check(o) || PyLong_Check(o) || PyFloat_Check(o);
}

/* Of a subclass of str, int or float: the scalar that it is, as without a type. */
static char *put_subclass(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    if (PyUnicode_Check(o)) {
        return encode_str(&t->e, d, o);
    }
    return PyLong_Check(o) ? wf_json_encode_big_int(&t->e, d, o)
                           : json_put_double(t, d, n, PyFloat_AS_DOUBLE(o));
}

/* By the type that it has: a shape of that. */
static char *put_by_type(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    if (n->dump != NULL) {
        return json_put_other(t, d, n, o);
    }
    if (is_scalar(o) && Py_IS_TYPE((PyObject *)Py_TYPE(o), &PyType_Type)) { /* no enum's member */
        return put_subclass(t, d, n, o);
    }
    struct wf_shape *shape =
        (struct wf_shape *)wf_shape_find_output(t->w.state, (PyObject *)Py_TYPE(o));
    if (shape == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_ValueError)) {
            PyErr_Clear();
            return is_scalar(o) ? put_subclass(t, d, n, o) : json_put_by_fallback(t, d, n, o);
        }
        return NULL;
    }
    bool known = shape->root != NULL && shape->root->kind != WF_NODE_ANY;
    d = known ? json_put(t, d, shape->root, o) : json_put_by_fallback(t, d, n, o);
    if (d == NULL) { /* the path to what failed borrows from it */
        PyObject *exc = wf_err_take();
        if (wf_values_push(&t->w.values, (PyObject *)shape) < 0) {
            PyErr_Clear();
            t->w.fail.npath = 0;
        }
        if (exc != NULL) {
            wf_err_put(exc);
        }
        return NULL;
    }
    Py_DECREF(shape);
    return d;
}

/* ---- containers ---- */

WF_ALWAYS_INLINE char *put_inline(struct typed *t, char *d, const struct wf_node *n, PyObject *o);

static char *put_list(struct typed *t, char *d, const struct wf_node *item, PyObject *list) {
    if (enter(&t->e) < 0 || (d = room(&t->e, d, 2)) == NULL) {
        return NULL;
    }
    *d++ = '[';
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) { /* it may shrink on the way */
        d = put_inline(t, d, item, PyList_GET_ITEM(list, i));
        if (wf_unlikely(d == NULL)) {
            wf_walk_at_index(&t->w, i);
            return NULL;
        }
        *d++ = ',';
    }
    return close_container(t, d, ']');
}

/* items  NULL where all are `item` */
static char *put_tuple(struct typed *t, char *d, const struct wf_node *item,
                       const struct wf_node *const *items, PyObject *tuple) {
    if (enter(&t->e) < 0 || (d = room(&t->e, d, 2)) == NULL) {
        return NULL;
    }
    *d++ = '[';
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++) {
        d = json_put(t, d, items != NULL ? items[i] : item, PyTuple_GET_ITEM(tuple, i));
        if (wf_unlikely(d == NULL)) {
            wf_walk_at_index(&t->w, i);
            return NULL;
        }
        *d++ = ',';
    }
    return close_container(t, d, ']');
}

static char *put_iterated(struct typed *t, char *d, const struct wf_node *item, PyObject *o) {
    PyObject *it, *value;
    if (enter(&t->e) < 0 || (d = room(&t->e, d, 2)) == NULL || (it = PyObject_GetIter(o)) == NULL) {
        return NULL;
    }
    *d++ = '[';
    Py_ssize_t i = 0;
    for (; (value = PyIter_Next(it)) != NULL; i++) {
        d = json_put(t, d, item, value);
        Py_DECREF(value);
        if (d == NULL) {
            break;
        }
        *d++ = ',';
    }
    Py_DECREF(it);
    if (d == NULL || PyErr_Occurred()) {
        if (d != NULL) {
            wf_json_encode_changed(t->e.s);
        }
        wf_walk_at_index(&t->w, i);
        return NULL;
    }
    return close_container(t, d, ']');
}

static bool is_set(PyObject *o) {
    return PyAnySet_Check(o);
}

/* Outside of pydantic one container of items is written like another. */
static bool is_items(struct typed *t, PyObject *o) {
    PyObject *deque = t->w.state->shape.deque;
    return PyList_Check(o) || PyTuple_Check(o) || is_set(o) ||
           (deque != NULL && PyObject_TypeCheck(o, (PyTypeObject *)deque)) || PyGen_Check(o);
}

static char *put_items(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    if (json_is_of(t, n, o, true)) {
        switch ((enum wf_node_kind)n->kind) {
        case WF_NODE_LIST:
            return put_list(t, d, n->item, o);
        case WF_NODE_VARTUPLE:
            return put_tuple(t, d, n->item, NULL, o);
        default:
            return put_iterated(t, d, n->item, o);
        }
    }
    return n->dump == NULL && is_items(t, o) ? put_iterated(t, d, n->item, o)
                                             : json_put_other(t, d, n, o);
}

static char *put_fixed(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    return PyTuple_CheckExact(o) && (size_t)PyTuple_GET_SIZE(o) == n->n
               ? put_tuple(t, d, NULL, n->items, o)
               : json_put_other(t, d, n, o);
}

/* ---- dicts ---- */

/* A key that is not exactly a str, as it would be as a value, in quotes. *odd where it has no such
 * form here. */
static WF_NOINLINE char *put_odd_key(struct typed *t, char *d, const struct wf_node *n,
                                     PyObject *key, bool *odd) {
    const size_t at = mark(t, d);
    if (n->flags & WF_NODE_PYDANTIC && !(n->kind == WF_NODE_INT && PyLong_CheckExact(key))) {
        *odd = true; /* its keys have a form of their own */
        return NULL;
    }
    Py_INCREF(key);
    t->e.fallback_off = true;
    d = json_put(t, d, n, key);
    t->e.fallback_off = false;
    if (d != NULL && (d = room(&t->e, d, 2)) != NULL) {
        char *text = t->e.out.start + at;
        if (*text == '[' || *text == '{') {
            PyErr_Format(t->e.s->encode_error, "keys of type %.200s have no JSON form",
                         Py_TYPE(key)->tp_name);
            d = NULL;
        } else if (*text != '"') {
            memmove(text + 1, text, (size_t)(d - text));
            *text = '"';
            d[1] = '"';
            d += 2;
        }
    }
    Py_DECREF(key);
    return d;
}

static inline bool is_plain_key(const struct typed *t, const struct wf_node *n, PyObject *key) {
    return PyUnicode_CheckExact(key) && (n->kind == WF_NODE_STR || n->kind == WF_NODE_ANY) &&
           !(t->judged && (n->nchecks != 0 || !(n->flags & WF_NODE_PROVED)));
}

/* The step of a path, on the way back up with an exception, or without. */
static WF_NOINLINE void at_key(struct typed *t, PyObject *key) {
    PyObject *exc = wf_err_take(), *str = NULL;
    Py_ssize_t size = 0;
    const char *text = NULL;
    if (PyUnicode_Check(key)) {
        str = Py_NewRef(key);
    } else if (PyLong_CheckExact(
                   key)) { /* others might run code of their own to say what they are */
        str = PyObject_Str(key);
    }
    if (str != NULL && (text = PyUnicode_AsUTF8AndSize(str, &size)) != NULL &&
        wf_values_push(&t->w.values, Py_NewRef(str)) == 0) { /* the path borrows from it */
        wf_walk_at_key(&t->w, wf_span(text, (size_t)size));
    } else {
        wf_walk_at_key(&t->w, WF_SPAN("?"));
    }
    Py_XDECREF(str);
    PyErr_Clear();
    if (exc != NULL) {
        wf_err_put(exc);
    }
}

static char *put_member(struct typed *t, char *d, const struct wf_node *key_node,
                        const struct wf_node *value_node, PyObject *key, PyObject *value,
                        bool *odd) {
    if (wf_likely(is_plain_key(t, key_node, key))) {
        d = encode_str(&t->e, d, key);
        if (wf_likely(d != NULL)) {
            *d++ = ':';
            d = put_inline(t, d, value_node, value);
        }
    } else {
        Py_INCREF(key);
        Py_INCREF(value);
        d = put_odd_key(t, d, key_node, key, odd);
        if (d != NULL) {
            *d++ = ':';
            d = json_put(t, d, value_node, value);
        }
        Py_DECREF(value);
        if (d == NULL && !*odd) {
            at_key(t, key);
        }
        Py_DECREF(key);
        return d;
    }
    if (wf_unlikely(d == NULL)) {
        at_key(t, key);
    }
    return d;
}

/* n  the DICT, or an ANY that stands for its own keys and values */
static char *put_dict(struct typed *t, char *d, const struct wf_node *n, PyObject *dict) {
    const struct wf_node *key_node = n->kind == WF_NODE_DICT ? n->map.key : n;
    const struct wf_node *value_node = n->kind == WF_NODE_DICT ? n->map.value : n;
    const size_t at = mark(t, d);
    const unsigned depth = t->e.depth;
    Py_ssize_t size = PyDict_GET_SIZE(dict), pos = 0;
    PyObject *key, *value; /* borrowed from dict */
    bool odd = false;
    if (enter(&t->e) < 0 || (d = room(&t->e, d, 2)) == NULL) {
        return NULL;
    }
    *d++ = '{';
    while (PyDict_Next(dict, &pos, &key, &value)) {
        d = put_member(t, d, key_node, value_node, key, value, &odd);
        if (wf_unlikely(d == NULL)) {
            return odd ? json_put_other(t, rewind_to(t, at, depth), n, dict) : NULL;
        }
        *d++ = ',';
        if (wf_unlikely(PyDict_GET_SIZE(dict) != size)) {
            PyErr_SetString(t->e.s->encode_error, "a dict changed its size while it was encoded");
            return NULL;
        }
    }
    return close_container(t, d, '}');
}

/* Any other mapping, by its items(). */
static char *put_mapping(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    PyObject *copy = PyDict_New();
    if (copy == NULL || PyDict_Update(copy, o) < 0) {
        Py_XDECREF(copy);
        return NULL;
    }
    d = put_dict(t, d, n, copy);
    Py_DECREF(copy);
    return d;
}

static bool is_mapping(PyObject *o) {
    return PyDict_Check(o) ||
           (PyMapping_Check(o) && !PySequence_Check(o) && PyObject_HasAttrString(o, "keys"));
}

static char *put_any(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    PyTypeObject *type = Py_TYPE(o);
    if (type == &PyDict_Type) {
        return put_dict(t, d, n, o);
    }
    if (type == &PyList_Type) {
        return put_list(t, d, n, o);
    }
    if (n->dump == NULL && type == &PyTuple_Type) {
        return put_tuple(t, d, n, NULL, o);
    }
    if (n->dump == NULL && is_items(t, o) && !PyTuple_Check(o)) {
        return put_iterated(t, d, n, o);
    }
    if (n->dump == NULL && PyDict_Check(o)) {
        return put_mapping(t, d, n, o);
    }
    if (type == t->e.s->raw_type) { /* of which pydantic knows nothing */
        return wf_json_put_raw(&t->e, d, o);
    }
    return put_by_type(t, d, n, o);
}

/* ---- unions ---- */

static bool is_number(const struct wf_node *n) {
    return n->kind == WF_NODE_INT || n->kind == WF_NODE_FLOAT || n->kind == WF_NODE_BOOL ||
           n->kind == WF_NODE_DECIMAL;
}

/* May pydantic's union take the value for a member before the one that it is exactly of? */
static bool is_confusable(const struct wf_node *n, const struct wf_node *member) {
    if (is_number(member)) {
        for (unsigned i = 0; i < n->n; i++) {
            if (n->one_of.members[i] != member && is_number(n->one_of.members[i])) {
                return true;
            }
        }
    }
    if (member->kind == WF_NODE_DATETIME) {
        for (unsigned i = 0; i < n->n; i++) {
            if (n->one_of.members[i]->kind == WF_NODE_DATE) {
                return true;
            }
        }
    }
    return false;
}

static const struct wf_node *member_of(struct typed *t, const struct wf_node *const *members,
                                       unsigned n, PyObject *o, bool exactly, bool *several) {
    const struct wf_node *found = NULL;
    for (unsigned i = 0; i < n; i++) {
        if (json_is_of(t, members[i], o, exactly)) {
            *several = found != NULL;
            if (found == NULL) {
                found = members[i];
            }
        }
    }
    return found;
}

static char *put_one_of(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    const struct wf_node *const *members = n->one_of.members;
    bool several = false;
    if (n->n == 2 && (members[0]->kind == WF_NODE_NONE || members[1]->kind == WF_NODE_NONE)) {
        const struct wf_node *other = members[members[0]->kind == WF_NODE_NONE];
        if (o != Py_None) {
            return json_put(t, d, other, o); /* which knows how it fails */
        }
    }
    if (o == Py_None) {
        for (unsigned i = 0; i < n->n; i++) {
            if (members[i]->kind == WF_NODE_NONE) {
                return encode_constant(&t->e, d, o);
            }
        }
    }
    const struct wf_node *found = member_of(t, members, n->n, o, true, &several);
    if (n->dump != NULL) {
        return found == NULL || several || is_confusable(n, found) ? json_put_other(t, d, n, o)
                                                                   : json_put(t, d, found, o);
    }
    if (found == NULL) {
        found = member_of(t, members, n->n, o, false, &several);
    }
    return found != NULL ? json_put(t, d, found, o) : json_put_other(t, d, n, o);
}

static char *put_tagged(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    bool several = false;
    const struct wf_node *found = member_of(t, n->tagged.nodes, n->tagged.n, o, true, &several);
    return found == NULL || several ? json_put_other(t, d, n, o) : json_put(t, d, found, o);
}

/* ---- the switch ---- */

/* What runs Python code, or calls what may, holds on to the value meanwhile. */
static WF_NOINLINE char *put_held(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    Py_INCREF(o);
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_OBJECT:
        d = json_put_object(t, d, n, o);
        break;
    case WF_NODE_LIST:
    case WF_NODE_VARTUPLE:
    case WF_NODE_SET:
    case WF_NODE_FROZENSET:
    case WF_NODE_DEQUE:
        d = put_items(t, d, n, o);
        break;
    case WF_NODE_TUPLE:
        d = put_fixed(t, d, n, o);
        break;
    case WF_NODE_DICT:
        if (wf_likely(PyDict_CheckExact(o))) {
            d = put_dict(t, d, n, o);
        } else {
            d = n->dump == NULL && is_mapping(o) ? put_mapping(t, d, n, o)
                                                 : json_put_other(t, d, n, o);
        }
        break;
    case WF_NODE_UNION:
        d = put_one_of(t, d, n, o);
        break;
    case WF_NODE_TAGGED:
        d = put_tagged(t, d, n, o);
        break;
    case WF_NODE_ANY:
        d = put_any(t, d, n, o);
        break;
    case WF_NODE_HANDED:
        d = json_put_other(t, d, n, o);
        break;
    case WF_NODE_SERIALIZER:
        d = json_put_serialized(t, d, n, NULL, o);
        break;
    case WF_NODE_HOOK:
        d = json_is_of(t, n, o, false) ? json_put_by_fallback(t, d, n->item, o)
                                       : json_put_other(t, d, n, o);
        break;
    case WF_NODE_RAW:
        d = json_is_of(t, n, o, true) ? wf_json_put_raw(&t->e, d, o) : json_put_other(t, d, n, o);
        break;
    default:
        d = json_put_scalar(t, d, n, o);
        break;
    }
    Py_DECREF(o);
    return d;
}

/* JSON's own scalars, exactly of the node; NULL without an exception: it is something else. */
WF_ALWAYS_INLINE char *put_inline(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    PyTypeObject *type = Py_TYPE(o);
    unsigned kind = n->kind;
    if (wf_unlikely(t->judged) && kind != WF_NODE_OBJECT && kind != WF_NODE_TAGGED &&
        !keeps_checks(t, n, o)) {
        return unproved(t);
    }
    if (type == &PyUnicode_Type) {
        if (wf_likely(kind == WF_NODE_STR || kind == WF_NODE_ANY)) {
            return encode_str(&t->e, d, o);
        }
    } else if (type == &PyLong_Type) {
        if (wf_likely(kind == WF_NODE_INT || kind == WF_NODE_ANY)) {
            return encode_int(&t->e, d, o);
        }
    } else if (type == &PyFloat_Type) {
        if (wf_likely(
                kind == WF_NODE_FLOAT ||
                (kind == WF_NODE_ANY && (n->dump == NULL || isfinite(PyFloat_AS_DOUBLE(o)))))) {
            return json_put_double(t, d, n, PyFloat_AS_DOUBLE(o));
        }
    } else if (o == Py_None) {
        if (kind == WF_NODE_NONE || kind == WF_NODE_ANY) {
            return encode_constant(&t->e, d, o);
        }
    } else if (type == &PyBool_Type) {
        if (wf_likely(kind == WF_NODE_BOOL || kind == WF_NODE_ANY)) {
            return encode_constant(&t->e, d, o);
        }
    }
    return put_held(t, d, n, o);
}

char *json_put(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    return put_inline(t, d, n, o);
}
