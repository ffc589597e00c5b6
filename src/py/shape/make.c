/* Making containers and objects of the values that stand on the stack. An object is made in one go,
 * with nothing in between that could let anybody see it half filled. */
#include "py/shape/shape_int.h"

static PyObject *make_list(struct wf_walk *w, size_t at) {
    PyObject *list = wf_values_pop_list(&w->values, at);
    if (wf_unlikely(w->nlater > w->later_at) && list != NULL) {
        shape_hold_items(w, list);
    }
    return list;
}

static PyObject *make_tuple(struct wf_walk *w, size_t at, size_t n) {
    PyObject *tuple = PyTuple_New((Py_ssize_t)n);
    if (tuple != NULL && n != 0) {
        memcpy(((PyTupleObject *)tuple)->ob_item, w->values.p + at, n * sizeof(*w->values.p));
    }
    if (tuple != NULL) {
        w->values.len = at;
    }
    return tuple;
}

/* set  stolen, or NULL with an exception. Items may say themselves what they hash to
 * out  NULL with an exception, or where there are too many items of one hash */
static bool fill_set(struct wf_walk *w, size_t at, size_t n, PyObject *set, PyObject **out) {
    enum wf_walk_result result = WF_WALK_FAILED;
    if (set != NULL && wf_walk_enter_call(w) == 0) {
        result = wf_hashes_fill(set, w->values.p + at, n);
        wf_walk_leave_call(w);
    }
    if (result != WF_WALK_OK) {
        Py_CLEAR(set);
    }
    *out = set;
    return result != WF_WALK_INVALID;
}

static PyObject *make_deque(struct wf_walk *w, size_t at) {
    PyObject *list = make_list(w, at);
    PyObject *deque = list != NULL ? PyObject_CallOneArg(w->state->shape.deque, list) : NULL;
    Py_XDECREF(list);
    return deque;
}

enum wf_walk_result wf_walk_items(struct wf_walk *w, const struct wf_node *node, size_t at,
                                  PyObject **out) {
    size_t n = w->values.len - at;
    bool may_hash = true;
    switch ((enum wf_node_kind)node->kind) {
    case WF_NODE_VARTUPLE:
    case WF_NODE_TUPLE:
        *out = make_tuple(w, at, n);
        break;
    case WF_NODE_SET:
        may_hash = fill_set(w, at, n, PySet_New(NULL), out);
        break;
    case WF_NODE_FROZENSET:
        may_hash = fill_set(w, at, n, PyFrozenSet_New(NULL), out);
        break;
    case WF_NODE_DEQUE:
        *out = make_deque(w, at);
        break;
    default:
        *out = make_list(w, at);
        break;
    }
    wf_values_drop(&w->values, at);
    if (!may_hash) {
        return shape_fail(w, WF_FAIL_HASHES, node);
    }
    if (*out == NULL) {
        return shape_fail_raised(w, node); /* what cannot be hashed is a TypeError */
    }
    enum wf_walk_result result = wf_walk_checks(w, node, *out);
    if (result != WF_WALK_OK) {
        Py_CLEAR(*out);
    }
    return result;
}

/* ---- objects ---- */

/* function(argument), or function() where that is NULL. */
static PyObject *call_default(struct wf_walk *w, PyObject *function, PyObject *argument) {
    if (wf_walk_enter_call(w) < 0) {
        return NULL;
    }
    PyObject *made =
        argument != NULL ? PyObject_CallOneArg(function, argument) : PyObject_CallNoArgs(function);
    wf_walk_leave_call(w);
    return made;
}

static PyObject *make_default(struct wf_walk *w, const struct wf_object_field *f) {
    switch ((enum wf_default)f->default_kind) {
    case WF_DEFAULT_VALUE:
        return Py_NewRef(f->default_value);
    case WF_DEFAULT_COPY:
        return call_default(w, w->state->shape.deepcopy, f->default_value);
    case WF_DEFAULT_FACTORY:
        return call_default(w, f->default_value, NULL);
    case WF_DEFAULT_LIST:
        return PyList_New(0);
    case WF_DEFAULT_DICT:
        return PyDict_New();
    case WF_DEFAULT_SET:
        return PySet_New(NULL);
    case WF_DEFAULT_REQUIRED:
    case WF_DEFAULT_OMIT:
        break;
    }
    Py_UNREACHABLE();
}

/* Puts in what the input did not have. Values that the template has already stay NULL. */
static enum wf_walk_result fill_defaults(struct wf_walk *w, const struct wf_node *node, size_t at) {
    const struct wf_object *o = &node->object;
    for (unsigned i = 0; i < o->nfields; i++) {
        const struct wf_object_field *f = &o->fields[i];
        if (w->values.p[at + i] != NULL || f->default_kind == WF_DEFAULT_OMIT ||
            (f->default_kind == WF_DEFAULT_FACTORY && o->puts_off) ||
            (f->default_kind == WF_DEFAULT_VALUE && f->offset < 0 &&
             o->make != WF_MAKE_NAMEDTUPLE)) {
            continue;
        }
        if (f->default_kind == WF_DEFAULT_REQUIRED) {
            w->fail.field = f->name;
            return shape_fail(w, WF_FAIL_MISSING, node);
        }
        PyObject *value = make_default(w, f);
        if (value == NULL) {
            return WF_WALK_FAILED;
        }
        w->values.p[at + i] = value;
    }
    return WF_WALK_OK;
}

/* Default factories below a judge: what the template has stands in until they are called. */
static int put_off(struct wf_walk *w, const struct wf_object *o, size_t at, PyObject *dict) {
    for (unsigned i = 0; i < o->nfields; i++) {
        const struct wf_object_field *f = &o->fields[i];
        if (f->default_kind == WF_DEFAULT_FACTORY && w->values.p[at + i] == NULL &&
            shape_put_off(w, dict, f, i) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The instance's dict: the template, with the values in it. */
static PyObject *make_dict(struct wf_walk *w, const struct wf_object *o, size_t at, bool all) {
    /* up to so many, a dict is as quickly filled as copied */
    bool fresh = all && o->nfields <= 5;
    PyObject *dict = fresh ? PyDict_New() : PyDict_Copy(o->template);
    for (unsigned i = 0; i < o->nfields && dict != NULL; i++) {
        PyObject *value = w->values.p[at + i];
        if (value != NULL && o->fields[i].offset < 0 &&
            PyDict_SetItem(dict, o->fields[i].name, value) < 0) {
            Py_CLEAR(dict);
        }
    }
    if (dict != NULL && o->puts_off && put_off(w, o, at, dict) < 0) {
        Py_CLEAR(dict);
    }
    if (dict != NULL && wf_unlikely(w->nlater > w->later_at)) {
        shape_hold_fields(w, o, dict);
    }
    return dict;
}

/* Names that are not in the input are not in the dict. */
static PyObject *make_typed_dict(struct wf_walk *w, const struct wf_object *o, size_t at,
                                 unsigned given) {
    if (given == o->nfields) {
        return make_dict(w, o, at, true);
    }
    PyObject *dict = PyDict_New();
    for (unsigned i = 0; i < o->nfields && dict != NULL; i++) {
        PyObject *value = w->values.p[at + i];
        if (value != NULL && PyDict_SetItem(dict, o->fields[i].name, value) < 0) {
            Py_CLEAR(dict);
        }
    }
    if (dict != NULL && wf_unlikely(w->nlater > w->later_at)) {
        shape_hold_fields(w, o, dict);
    }
    return dict;
}

static void set_slot(PyObject *instance, Py_ssize_t offset, PyObject *value) {
    *(PyObject **)((char *)instance + offset) = value;
}

/* What stands in `dict` becomes the instance's attributes; nobody else has the instance yet. 0, or -1. */
static int set_dict(struct wf_walk *w, PyObject *instance, PyObject *dict) {
#if PY_VERSION_HEX >= 0x030D0000
    /* Instances hold their values inline there, and 3.13.0 goes on looking there when the dict is
     * another. */
    PyObject *name, *value; /* borrowed */
    for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &name, &value);) {
        if (PyObject_GenericSetAttr(instance, name, value) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < w->nlater; i++) { /* what is put off is filled in where it stands now */
        if (w->later[i].holder == dict) {
            PyObject *own = PyObject_GenericGetDict(instance, NULL);
            if (own == NULL) {
                return -1;
            }
            Py_SETREF(w->later[i].holder, own);
        }
    }
    return 0;
#else
    return PyObject_GenericSetDict(instance, dict, NULL);
#endif
}

static PyObject *make_instance(struct wf_walk *w, const struct wf_node *node, size_t at, bool all) {
    const struct wf_object *o = &node->object;
    PyTypeObject *type = (PyTypeObject *)node->type;
    PyObject *dict = NULL;
    if (o->in_dict && (dict = make_dict(w, o, at, all)) == NULL) {
        return NULL;
    }
    PyObject *instance = type->tp_alloc(type, 0);
    if (instance == NULL || (dict != NULL && set_dict(w, instance, dict) < 0)) {
        Py_XDECREF(instance);
        Py_XDECREF(dict);
        return NULL;
    }
    Py_XDECREF(dict);
    for (unsigned i = 0; i < o->nfields; i++) {
        if (o->fields[i].offset >= 0) {
            set_slot(instance, o->fields[i].offset, w->values.p[at + i]); /* moved */
            w->values.p[at + i] = NULL;
        }
    }
    return instance;
}

/* msgspec leaves what cannot be part of a cycle to the reference counts alone, and tracks it when it
 * is assigned something that can. */
static PyObject *make_struct(struct wf_walk *w, const struct wf_node *node, size_t at) {
    const struct wf_object *o = &node->object;
    PyTypeObject *type = (PyTypeObject *)node->type;
    if (wf_unlikely(!PyType_IS_GC(type) || o->in_dict)) {
        return make_instance(w, node, at, false);
    }
    PyObject *instance = PyObject_GC_New(PyObject, type);
    if (instance == NULL) {
        return NULL;
    }
    const size_t fields = o->nfields * sizeof(PyObject *), room = (size_t)type->tp_basicsize;
    if (wf_unlikely(room != sizeof(PyObject) + fields)) { /* for weak references */
        memset((char *)instance + sizeof(PyObject), 0, room - sizeof(PyObject));
    }
    bool tracked = false;
    for (unsigned i = 0; i < o->nfields; i++) {
        PyObject *value = w->values.p[at + i]; /* moved */
        w->values.p[at + i] = NULL;
        set_slot(instance, o->fields[i].offset, value);
        tracked = tracked ||
                  (value != NULL && PyType_IS_GC(Py_TYPE(value)) && PyObject_GC_IsTracked(value));
    }
    if (tracked) {
        PyObject_GC_Track(instance);
    }
    return instance;
}

static PyObject *make_namedtuple(struct wf_walk *w, const struct wf_node *node, size_t at) {
    PyTypeObject *type = (PyTypeObject *)node->type;
    PyObject *tuple = type->tp_alloc(type, node->object.nfields);
    for (unsigned i = 0; i < node->object.nfields && tuple != NULL; i++) {
        PyTuple_SET_ITEM(tuple, i, w->values.p[at + i]); /* moved */
        w->values.p[at + i] = NULL;
    }
    return tuple;
}

static PyObject *make_fields_set(struct wf_walk *w, const struct wf_object *o, size_t at,
                                 unsigned given) {
    PyObject *extra = o->extra_values ? w->values.p[at + o->nfields] : NULL;
    if (given == o->nfields && extra == NULL) {
        return PySet_New(o->all_names);
    }
    PyObject *set = PySet_New(NULL);
    for (unsigned i = 0; i < o->nfields && set != NULL; i++) {
        if (w->values.p[at + i] != NULL && PySet_Add(set, o->fields[i].name) < 0) {
            Py_CLEAR(set);
        }
    }
    PyObject *name, *value;
    for (Py_ssize_t pos = 0;
         set != NULL && extra != NULL && PyDict_Next(extra, &pos, &name, &value);) {
        if (PySet_Add(set, name) < 0) {
            Py_CLEAR(set);
        }
    }
    return set;
}

/* What a private attribute starts with: new reference. */
static PyObject *make_private_value(struct wf_walk *w, PyObject *value) {
    if (!shape_is_copied(value)) {
        return Py_NewRef(value);
    }
    if (PyObject_Size(value) != 0) {
        return PyObject_CallOneArg(w->state->shape.deepcopy, value);
    }
    return PyList_CheckExact(value)   ? PyList_New(0)
           : PyDict_CheckExact(value) ? PyDict_New()
                                      : PySet_New(NULL);
}

/* A model's private attributes: a dict, or None. */
static PyObject *make_private(struct wf_walk *w, const struct wf_object *o) {
    if (o->private_template == NULL) {
        return Py_NewRef(Py_None);
    }
    PyObject *private = PyDict_Copy(o->private_template);
    PyObject *name, *value; /* borrowed from the template */
    Py_ssize_t at = 0;
    while (o->private_copied && private != NULL &&
           PyDict_Next(o->private_template, &at, &name, &value)) {
        PyObject *own = make_private_value(w, value);
        if (own == NULL || PyDict_SetItem(private, name, own) < 0) {
            Py_CLEAR(private);
        }
        Py_XDECREF(own);
    }
    return private;
}

/* fields_set  stolen */
static PyObject *make_model(struct wf_walk *w, const struct wf_node *node, size_t at, bool all,
                            PyObject *fields_set) {
    const struct wf_object *o = &node->object;
    PyTypeObject *type = (PyTypeObject *)node->type;
    PyObject *dict = make_dict(w, o, at, all), *extra = NULL, *private = NULL, *instance = NULL;
    if (dict == NULL) {
        goto fail;
    }
    if (o->extra_values) {
        extra = w->values.p[at + o->nfields];
        w->values.p[at + o->nfields] = NULL;
        extra = extra != NULL ? extra : PyDict_New();
    } else {
        extra = Py_NewRef(Py_None);
    }
    private = make_private(w, o);
    if (extra == NULL || private == NULL || (instance = type->tp_alloc(type, 0)) == NULL ||
        set_dict(w, instance, dict) < 0) {
        goto fail;
    }
    Py_DECREF(dict);
    set_slot(instance, o->offset_fields_set, fields_set);
    if (o->make == WF_MAKE_ROOT_MODEL) { /* has neither */
        Py_DECREF(extra);
        Py_DECREF(private);
    } else {
        set_slot(instance, o->offset_extra, extra);
        set_slot(instance, o->offset_private, private);
    }
    return instance;
fail:
    Py_XDECREF(instance);
    Py_XDECREF(dict);
    Py_XDECREF(extra);
    Py_XDECREF(private);
    Py_DECREF(fields_set);
    return NULL;
}

static PyObject *make_by_keywords(struct wf_walk *w, const struct wf_node *node, size_t at) {
    PyObject *kwargs = make_typed_dict(w, &node->object, at, 0);
    PyObject *empty = kwargs != NULL ? PyTuple_New(0) : NULL;
    PyObject *instance = NULL;
    if (empty != NULL && wf_walk_enter_call(w) == 0) {
        instance = PyObject_Call(node->type, empty, kwargs);
        wf_walk_leave_call(w);
    }
    Py_XDECREF(empty);
    Py_XDECREF(kwargs);
    return instance;
}

static enum wf_walk_result make_object(struct wf_walk *w, const struct wf_node *node, size_t at,
                                       PyObject **out) {
    const struct wf_object *o = &node->object;
    unsigned given = 0;
    for (unsigned i = 0; i < o->nfields; i++) {
        given += w->values.p[at + i] != NULL;
    }
    const bool model = o->make == WF_MAKE_MODEL || o->make == WF_MAKE_ROOT_MODEL;
    PyObject *fields_set = NULL;
    if (model && (fields_set = make_fields_set(w, o, at, given)) == NULL) {
        return WF_WALK_FAILED;
    }
    if (given != o->nfields) {
        enum wf_walk_result result = fill_defaults(w, node, at);
        if (result != WF_WALK_OK) {
            Py_XDECREF(fields_set);
            return result;
        }
    }
    switch ((enum wf_make)o->make) {
    case WF_MAKE_DICT:
        *out = make_typed_dict(w, o, at, given);
        break;
    case WF_MAKE_INSTANCE:
        *out = make_instance(w, node, at, given == o->nfields);
        break;
    case WF_MAKE_STRUCT:
        *out = make_struct(w, node, at);
        break;
    case WF_MAKE_NAMEDTUPLE:
        *out = make_namedtuple(w, node, at);
        break;
    case WF_MAKE_MODEL:
    case WF_MAKE_ROOT_MODEL:
        *out = make_model(w, node, at, given == o->nfields, fields_set);
        break;
    case WF_MAKE_CALL:
        *out = make_by_keywords(w, node, at);
        if (*out == NULL) {
            return shape_fail_raised(w, node);
        }
        break;
    }
    return *out != NULL ? WF_WALK_OK : WF_WALK_FAILED;
}

enum wf_walk_result wf_walk_object(struct wf_walk *w, const struct wf_node *node, size_t at,
                                   PyObject **out) {
    enum wf_walk_result result = make_object(w, node, at, out);
    wf_values_drop(&w->values, at);
    if (wf_unlikely(w->nlater > w->later_at + 1)) {
        shape_sort_put_off(w, w->later_at);
    }
    if (wf_unlikely(result == WF_WALK_OK && node->object.post_init != NULL)) {
        PyObject *none = NULL;
        if (wf_walk_enter_call(w) == 0) {
            none = PyObject_CallMethodNoArgs(*out, node->object.post_init);
            wf_walk_leave_call(w);
        }
        if (none == NULL) {
            Py_CLEAR(*out);
            return shape_fail_raised(w, node);
        }
        Py_DECREF(none);
    }
    return result;
}
