/* Objects with known fields to JSON: slots and dicts are read as they stand in the instance, names
 * are written as the shape has them ready. */
#include "py/shape/encode_json_int.h"

/* The name with its quotes and colon. */
static inline char *put_name(struct typed *t, char *d, const struct wf_object *o,
                             const struct wf_object_field *f) {
    const struct wf_json_name *name =
        o->by_alias || (t->flags & WF_OUTPUT_BY_ALIAS) != 0 ? &f->json_alias : &f->json_name;
    d = room(&t->e, d, name->n);
    if (wf_likely(d != NULL)) {
        memcpy(d, name->p, 16); /* there is room, and the text is as long at least */
        if (wf_unlikely(name->n > 16)) {
            memcpy(d + 16, name->p + 16, name->n - 16);
        }
        d += name->n;
    }
    return d;
}

/* msgspec's omit_defaults: the default itself, or an empty one of what a factory makes. */
static bool is_default(const struct wf_object_field *f, PyObject *value) {
    switch ((enum wf_default)f->default_kind) {
    case WF_DEFAULT_VALUE:
        return value == f->default_value;
    case WF_DEFAULT_LIST:
        return PyList_CheckExact(value) && PyList_GET_SIZE(value) == 0;
    case WF_DEFAULT_DICT:
        return PyDict_CheckExact(value) && PyDict_GET_SIZE(value) == 0;
    case WF_DEFAULT_SET:
        return PySet_CheckExact(value) && PySet_GET_SIZE(value) == 0;
    default:
        return false;
    }
}

static inline bool is_left_out(const struct typed *t, const struct wf_object *o,
                               const struct wf_object_field *f, PyObject *value) {
    return value == t->unset || (wf_unlikely(o->omit_defaults) && is_default(f, value)) ||
           (wf_unlikely((t->flags & WF_OUTPUT_EXCLUDE_NONE) != 0) && value == Py_None);
}

/* A field that is not written, or by what gets the instance (NULL: there is none) as well. */
static WF_NOINLINE char *put_apart(struct typed *t, char *d, const struct wf_object *o,
                                   const struct wf_object_field *f, PyObject *value,
                                   PyObject *instance) {
    if (f->written == WF_WRITTEN_NEVER || is_left_out(t, o, f, value)) {
        return d;
    }
    if (t->judged || instance == NULL) {
        return unproved(t);
    }
    if (f->node->kind == WF_NODE_HANDED) {
        d = json_put_member(t, d, f->node, instance);
    } else if ((d = put_name(t, d, o, f)) != NULL) {
        Py_INCREF(value);
        d = json_put_serialized(t, d, f->node, instance, value);
        Py_DECREF(value);
        if (d != NULL) {
            *d++ = ',';
        }
    }
    if (d == NULL) {
        wf_walk_at_field(&t->w, f);
    }
    return d;
}

/* "name":value, and nothing where it is left out. value  borrowed from the instance, which is held. */
WF_ALWAYS_INLINE char *put_field(struct typed *t, char *d, const struct wf_object *o,
                                 const struct wf_object_field *f, PyObject *value,
                                 PyObject *instance) {
    if (wf_unlikely(f->written != WF_WRITTEN_PLAIN)) {
        return put_apart(t, d, o, f, value, instance);
    }
    if (wf_unlikely(is_left_out(t, o, f, value))) {
        return d;
    }
    d = put_name(t, d, o, f);
    if (wf_unlikely(d == NULL)) {
        return NULL;
    }
    d = json_put(t, d, f->node, value);
    if (wf_unlikely(d == NULL)) {
        wf_walk_at_field(&t->w, f);
        return NULL;
    }
    *d++ = ',';
    return d;
}

/* The brace and a Struct's tag. */
static char *open_object(struct typed *t, char *d, const struct wf_object *o, char c) {
    if (enter(&t->e) < 0 || (d = room(&t->e, d, 2)) == NULL) {
        return NULL;
    }
    *d++ = c;
    if (o->json_tag.p != NULL && (d = put_bytes(&t->e, d, o->json_tag.p, o->json_tag.n)) != NULL) {
        *d++ = ',';
    }
    return d;
}

static WF_NOINLINE char *put_computed_slow(struct typed *t, char *d, const struct wf_object *o,
                                           PyObject *instance) {
    for (unsigned i = 0; i < o->ncomputed && d != NULL; i++) {
        const struct wf_object_field *f = &o->fields[o->nfields + i];
        PyObject *value = PyObject_GetAttr(instance, f->name);
        if (value == NULL) {
            wf_walk_at_field(&t->w, f);
            return NULL;
        }
        d = put_field(t, d, o, f, value, instance);
        Py_DECREF(value);
    }
    return d;
}

static inline char *put_computed(struct typed *t, char *d, const struct wf_object *o,
                                 PyObject *instance) {
    return wf_likely(o->ncomputed == 0) ? d : put_computed_slow(t, d, o, instance);
}

static char *fail_missing(struct typed *t, const struct wf_node *n,
                          const struct wf_object_field *f) {
    PyErr_Format(t->e.s->encode_error, "%U has no %U", n->label, f->name);
    return NULL;
}

static char *fail_changed(struct typed *t) {
    PyErr_SetString(t->e.s->encode_error, "an object changed while it was encoded");
    return NULL;
}

static inline bool same_name(PyObject *name, PyObject *key) {
    return name == key || (PyUnicode_CheckExact(key) && PyUnicode_Compare(name, key) == 0);
}

/* ---- by slots, by attributes ---- */

/* The value of a field, wherever the instance has it: new reference, or NULL without an exception
 * where there is none. */
static PyObject *get_field(PyObject *instance, const struct wf_object_field *f) {
    if (f->offset >= 0) {
        return Py_XNewRef(*(PyObject **)((char *)instance + f->offset));
    }
    PyObject *value = PyObject_GetAttr(instance, f->name);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return value;
}

/* The instance has attributes that are no fields, lacks some, or has them in another order. */
static WF_NOINLINE char *put_attributes(struct typed *t, char *d, const struct wf_node *n,
                                        PyObject *instance) {
    const struct wf_object *o = &n->object;
    d = open_object(t, d, o, '{');
    for (unsigned i = 0; i < o->nfields && d != NULL; i++) {
        PyObject *value = get_field(instance, &o->fields[i]);
        if (value == NULL) {
            return PyErr_Occurred() ? NULL : fail_missing(t, n, &o->fields[i]);
        }
        d = put_field(t, d, o, &o->fields[i], value, instance);
        Py_DECREF(value);
    }
    d = d != NULL ? put_computed(t, d, o, instance) : NULL;
    return d != NULL ? close_container(t, d, '}') : NULL;
}

static char *put_slots(struct typed *t, char *d, const struct wf_node *n, PyObject *instance) {
    const struct wf_object *o = &n->object;
    if ((d = open_object(t, d, o, '{')) == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < o->nfields; i++) {
        const struct wf_object_field *f = &o->fields[i];
        PyObject *value = *(PyObject **)((char *)instance + f->offset); /* borrowed */
        if (wf_unlikely(value == NULL)) {
            return fail_missing(t, n, f);
        }
        if (wf_unlikely((d = put_field(t, d, o, f, value, instance)) == NULL)) {
            return NULL;
        }
    }
    d = put_computed(t, d, o, instance);
    return d != NULL ? close_container(t, d, '}') : NULL;
}

/* msgspec's array_like: the tag and every field. */
static char *put_array(struct typed *t, char *d, const struct wf_node *n, PyObject *instance) {
    const struct wf_object *o = &n->object;
    d = open_object(t, d, o, '[');
    for (unsigned i = 0; i < o->nfields && d != NULL; i++) {
        PyObject *value = o->make == WF_MAKE_NAMEDTUPLE ? Py_NewRef(PyTuple_GET_ITEM(instance, i))
                                                        : get_field(instance, &o->fields[i]);
        if (value == NULL) {
            return PyErr_Occurred() ? NULL : fail_missing(t, n, &o->fields[i]);
        }
        d = json_put(t, d, o->fields[i].node, value);
        Py_DECREF(value);
        if (d == NULL) {
            wf_walk_at_index(&t->w, i);
        } else {
            *d++ = ',';
        }
    }
    return d != NULL ? close_container(t, d, ']') : NULL;
}

/* ---- by dicts ---- */

/* The fields as they stand in the instance's dict, which is held on to, in their order there. *odd
 * where the dict is another than one of these fields in this order. */
static char *put_members(struct typed *t, char *d, const struct wf_node *n, PyObject *instance,
                         PyObject *dict, PyObject *fields_set, bool *odd) {
    const struct wf_object *o = &n->object;
    const Py_ssize_t size = PyDict_GET_SIZE(dict);
    PyObject *name, *value; /* borrowed from dict */
    Py_ssize_t pos = 0;
    unsigned i = 0;
    if (size != o->nfields) {
        *odd = true;
        return NULL;
    }
    while (PyDict_Next(dict, &pos, &name, &value)) {
        const struct wf_object_field *f = &o->fields[i];
        if (wf_unlikely(i == o->nfields || !same_name(f->name, name))) {
            *odd = true;
            return NULL;
        }
        i++;
        if (wf_unlikely(fields_set != NULL)) {
            int set = PySet_Contains(fields_set, f->name);
            if (set <= 0) {
                if (set < 0) {
                    return NULL;
                }
                continue;
            }
        }
        if (wf_unlikely((d = put_field(t, d, o, f, value, instance)) == NULL)) {
            return NULL;
        }
        if (wf_unlikely(PyDict_GET_SIZE(dict) != size)) {
            return fail_changed(t);
        }
    }
    return d;
}

static char *put_instance(struct typed *t, char *d, const struct wf_node *n, PyObject *instance) {
    const struct wf_object *o = &n->object;
    const size_t at = mark(t, d);
    const unsigned depth = t->e.depth;
    PyObject *dict = PyObject_GenericGetDict(instance, NULL);
    if (dict == NULL) {
        PyErr_Clear();
        return put_attributes(t, d, n, instance);
    }
    bool odd = false;
    d = open_object(t, d, o, '{');
    d = d != NULL ? put_members(t, d, n, instance, dict, NULL, &odd) : NULL;
    Py_DECREF(dict);
    if (wf_unlikely(odd)) {
        d = rewind_to(t, at, depth);
        return n->dump != NULL ? json_put_other(t, d, n, instance)
                               : put_attributes(t, d, n, instance);
    }
    d = d != NULL ? put_computed(t, d, o, instance) : NULL;
    return d != NULL ? close_container(t, d, '}') : NULL;
}

static inline PyObject *slot_of(PyObject *instance, Py_ssize_t offset) { /* borrowed */
    return *(PyObject **)((char *)instance + offset);
}

/* A model's fields; what it has beside them is pydantic's to write. */
static char *put_model(struct typed *t, char *d, const struct wf_node *n, PyObject *instance) {
    const struct wf_object *o = &n->object;
    const size_t at = mark(t, d);
    const unsigned depth = t->e.depth;
    PyObject *extra = slot_of(instance, o->offset_extra), *fields_set = NULL;
    bool odd = extra != NULL && extra != Py_None &&
               !(PyDict_CheckExact(extra) && PyDict_GET_SIZE(extra) == 0);
    if (t->flags & WF_OUTPUT_EXCLUDE_UNSET) {
        fields_set = Py_XNewRef(slot_of(instance, o->offset_fields_set));
        odd = odd || fields_set == NULL || !PySet_CheckExact(fields_set);
    }
    PyObject *dict = odd ? NULL : PyObject_GenericGetDict(instance, NULL);
    if (dict != NULL) {
        d = open_object(t, d, o, '{');
        d = d != NULL ? put_members(t, d, n, instance, dict, fields_set, &odd) : NULL;
        Py_DECREF(dict);
    }
    Py_XDECREF(fields_set);
    if (odd) {
        return json_put_other(t, rewind_to(t, at, depth), n, instance);
    }
    d = d != NULL && dict != NULL ? put_computed(t, d, o, instance) : NULL;
    return d != NULL ? close_container(t, d, '}') : NULL;
}

static char *put_root(struct typed *t, char *d, const struct wf_node *n, PyObject *instance) {
    PyObject *dict = PyObject_GenericGetDict(instance, NULL);
    PyObject *value = dict != NULL ? PyDict_GetItemWithError(dict, t->w.state->shape.name_root)
                                   : NULL; /* borrowed from dict */
    if (value == NULL) {
        Py_XDECREF(dict);
        return PyErr_Occurred() ? NULL : json_put_other(t, d, n, instance);
    }
    if (enter(&t->e) < 0) { /* it may hold itself */
        Py_DECREF(dict);
        return NULL;
    }
    d = json_put(t, d, n->object.fields[0].node, value);
    Py_DECREF(dict);
    if (d != NULL) {
        leave(&t->e);
    }
    return d;
}

/* The field of a TypedDict that a key names, or NULL; *expected is where to look first. */
static const struct wf_object_field *field_named(const struct wf_object *o, PyObject *key,
                                                 unsigned *expected) {
    for (unsigned left = o->nfields, i = *expected; left > 0; left--, i++) {
        const struct wf_object_field *f = &o->fields[i < o->nfields ? i : (i = 0)];
        if (same_name(f->name, key)) {
            *expected = i + 1;
            return f;
        }
    }
    return NULL;
}

/* In the dict's own order; names that are no fields are not written. */
static char *put_typed_dict(struct typed *t, char *d, const struct wf_node *n, PyObject *dict) {
    const struct wf_object *o = &n->object;
    const size_t at = mark(t, d);
    const unsigned depth = t->e.depth;
    const Py_ssize_t size = PyDict_GET_SIZE(dict);
    PyObject *name, *value; /* borrowed from dict */
    Py_ssize_t pos = 0;
    unsigned expected = 0, required = 0;
    if ((d = open_object(t, d, o, '{')) == NULL) {
        return NULL;
    }
    while (PyDict_Next(dict, &pos, &name, &value)) {
        const struct wf_object_field *f = field_named(o, name, &expected);
        if (wf_unlikely(f == NULL)) {
            if (n->dump != NULL) {
                return json_put_other(t, rewind_to(t, at, depth), n, dict);
            }
            continue;
        }
        required += f->default_kind == WF_DEFAULT_REQUIRED;
        if (wf_unlikely((d = put_field(t, d, o, f, value, NULL)) == NULL)) {
            return NULL;
        }
        if (wf_unlikely(PyDict_GET_SIZE(dict) != size)) {
            return fail_changed(t);
        }
    }
    if (wf_unlikely(required < o->nrequired)) {
        if (n->dump != NULL) {
            return json_put_other(t, rewind_to(t, at, depth), n, dict);
        }
        for (unsigned i = 0; i < o->nfields; i++) {
            int has = PyDict_Contains(dict, o->fields[i].name);
            if (has < 0) {
                return NULL;
            }
            if (has == 0 && o->fields[i].default_kind == WF_DEFAULT_REQUIRED) {
                return fail_missing(t, n, &o->fields[i]);
            }
        }
    }
    return close_container(t, d, '}');
}

/* ---- judged: a dict that stands for the object ---- */

/* What a field is that the dict does not have. *skip where it is not written. */
static char *put_missing(struct typed *t, char *d, const struct wf_object *o,
                         const struct wf_object_field *f) {
    if (f->written == WF_WRITTEN_NEVER || f->default_kind == WF_DEFAULT_OMIT ||
        ((t->flags & WF_OUTPUT_EXCLUDE_UNSET) != 0 && f->default_kind != WF_DEFAULT_REQUIRED &&
         f->default_kind != WF_DEFAULT_FACTORY)) {
        return d;
    }
    const bool was = t->judged;
    switch ((enum wf_default)f->default_kind) {
    case WF_DEFAULT_VALUE:
    case WF_DEFAULT_COPY:
        t->judged = false; /* defaults are not validated */
        d = put_field(t, d, o, f, f->default_value, NULL);
        t->judged = was;
        return d;
    case WF_DEFAULT_LIST:
    case WF_DEFAULT_DICT:
    case WF_DEFAULT_SET:
        if ((f->node->flags & WF_NODE_PROVED) == 0 && f->node->kind != WF_NODE_SET) {
            return unproved(t);
        }
        d = put_name(t, d, o, f);
        return d != NULL
                   ? put_bytes(&t->e, d, f->default_kind == WF_DEFAULT_DICT ? "{}," : "[],", 3)
                   : NULL;
    default:
        return unproved(t); /* pydantic knows what to call, or what to say */
    }
}

/* A dict of which validation would make the object: written as that would be, without making it. */
static char *put_dict_as(struct typed *t, char *d, const struct wf_node *n, PyObject *dict) {
    const struct wf_object *o = &n->object;
    Py_ssize_t found = 0;
    if (!(n->flags & WF_NODE_PROVED) || o->nkeys != o->nfields || o->ncomputed != 0 ||
        ((t->flags & (WF_OUTPUT_EXCLUDE_NONE | WF_OUTPUT_EXCLUDE_UNSET)) != 0 &&
         o->make != WF_MAKE_MODEL)) {
        return unproved(t);
    }
    if ((d = open_object(t, d, o, '{')) == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < o->nfields; i++) {
        const struct wf_object_field *f = &o->fields[i];
        PyObject *value = PyDict_GetItemWithError(dict, f->key); /* borrowed from dict */
        if (value != NULL) {
            found++;
            Py_INCREF(value); /* the dict may change before it is checked */
            if (wf_unlikely(f->written == WF_WRITTEN_NEVER)) { /* but validated */
                const size_t at = mark(t, d);
                d = json_put(t, d, f->node, value);
                d = d != NULL ? t->e.out.start + at : NULL;
            } else {
                d = put_field(t, d, o, f, value, NULL);
            }
            Py_DECREF(value);
        } else {
            d = PyErr_Occurred() ? NULL : put_missing(t, d, o, f);
        }
        if (wf_unlikely(d == NULL)) {
            return NULL;
        }
    }
    if (o->extra != WF_EXTRA_IGNORE && PyDict_GET_SIZE(dict) != found) {
        return unproved(t);
    }
    return close_container(t, d, '}');
}

/* ---- which of them ---- */

static char *put_exact(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    const struct wf_object *object = &n->object;
    if (wf_unlikely(object->array)) {
        return put_array(t, d, n, o);
    }
    switch ((enum wf_make)object->make) {
    case WF_MAKE_MODEL:
        return put_model(t, d, n, o);
    case WF_MAKE_ROOT_MODEL:
        return put_root(t, d, n, o);
    case WF_MAKE_INSTANCE:
    case WF_MAKE_STRUCT:
        return object->in_dict ? put_instance(t, d, n, o) : put_slots(t, d, n, o);
    default:
        return put_attributes(t, d, n, o);
    }
}

static char *put_judged(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    const struct wf_object *object = &n->object;
    const bool exact = n->type != NULL && (PyObject *)Py_TYPE(o) == n->type;
    if (object->make == WF_MAKE_NAMEDTUPLE) { /* made anew of its items */
        return exact && n->flags & WF_NODE_PROVED && PyTuple_GET_SIZE(o) == object->nfields
                   ? put_array(t, d, n, o)
                   : unproved(t);
    }
    if (exact && n->flags & WF_NODE_AS_IS) {
        t->judged = false;
        d = put_exact(t, d, n, o);
        t->judged = true;
        return d;
    }
    if (object->make == WF_MAKE_ROOT_MODEL && n->flags & WF_NODE_PROVED &&
        !PyType_IsSubtype(Py_TYPE(o), (PyTypeObject *)n->type)) {
        return json_put(t, d, object->fields[0].node, o);
    }
    return PyDict_CheckExact(o) ? put_dict_as(t, d, n, o) : unproved(t);
}

char *json_put_object(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    const struct wf_object *object = &n->object;
    if (wf_unlikely(t->judged)) {
        return put_judged(t, d, n, o);
    }
    if (wf_unlikely((t->flags & (WF_OUTPUT_EXCLUDE_NONE | WF_OUTPUT_EXCLUDE_UNSET)) != 0) &&
        (object->make != WF_MAKE_MODEL || object->ncomputed != 0)) {
        return json_put_other(t, d, n, o);
    }
    if (object->make == WF_MAKE_DICT) {
        return PyDict_CheckExact(o) || (n->dump == NULL && PyDict_Check(o))
                   ? put_typed_dict(t, d, n, o)
                   : json_put_other(t, d, n, o);
    }
    return wf_likely((PyObject *)Py_TYPE(o) == n->type) ||
                   (n->dump == NULL && PyObject_TypeCheck(o, (PyTypeObject *)n->type))
               ? put_exact(t, d, n, o)
               : json_put_other(t, d, n, o);
}
