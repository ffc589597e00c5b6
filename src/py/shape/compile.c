/* The description of a shape (weft.shapes.nodes) to its tree. Runs once a type; the description is
 * our own, so what is wrong with it is a ValueError and no more. */
#include "py/shape/shape_int.h"

#include "wire/json/json_scan.h"

static const char *const kind_names[WF_NODE_KIND_COUNT] = {
#define X(id, name) [WF_NODE_##id] = name,
    WF_NODE_KINDS(X)
#undef X
};
static const char *const check_names[WF_CHECK_COUNT] = {
#define X(id, name) [WF_CHECK_##id] = name,
    WF_CHECKS(X)
#undef X
};
static const char *const class_names[WF_CLASS_COUNT] = {
#define X(id, name) [WF_CLASS_##id] = name,
    WF_CLASSES(X)
#undef X
};
static const char *const default_names[] = {"required", "value", "copy", "factory",
                                            "list",     "dict",  "set",  "omit"};
static const char *const make_names[] = {"dict",  "instance",   "struct", "namedtuple",
                                         "model", "root_model", "call"};
static const char *const extra_names[] = {"ignore", "forbid", "allow"};

struct compiler {
    struct wf_shape *shape;
    PyObject *seen; /* owned: dict of id(description) to the index of its node */
    bool calls;     /* a node met so far has application code called for what is valid */
};

/* ---- reading descriptions ---- */

/* value  stolen, or NULL with an exception; the result is borrowed from shape->kept */
static PyObject *keep(struct compiler *c, PyObject *value) {
    if (value == NULL) {
        return NULL;
    }
    int rc = PyList_Append(c->shape->kept, value);
    Py_DECREF(value);
    return rc == 0 ? value : NULL;
}

static PyObject *attribute(struct compiler *c, PyObject *desc, const char *name) {
    return keep(c, PyObject_GetAttrString(desc, name));
}

/* NULL without an exception for None. */
static PyObject *attribute_or_none(struct compiler *c, PyObject *desc, const char *name) {
    PyObject *value = attribute(c, desc, name);
    return value == Py_None ? NULL : value;
}

static int attribute_flag(PyObject *desc, const char *name) {
    PyObject *value = PyObject_GetAttrString(desc, name);
    int flag = value != NULL ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    return flag;
}

static PyObject *attribute_of_type(struct compiler *c, PyObject *desc, const char *name,
                                   PyTypeObject *type) {
    PyObject *value = attribute(c, desc, name);
    if (value != NULL && !PyObject_TypeCheck(value, type)) {
        PyErr_Format(PyExc_ValueError, "%s is not a %s", name, type->tp_name);
        return NULL;
    }
    return value;
}

static int word_index(PyObject *value, const char *const *words, size_t n) {
    for (size_t i = 0; i < n && PyUnicode_Check(value); i++) {
        if (PyUnicode_CompareWithASCIIString(value, words[i]) == 0) {
            return (int)i;
        }
    }
    PyErr_Format(PyExc_ValueError, "a shape has no %R", value);
    return -1;
}

static int attribute_word(struct compiler *c, PyObject *desc, const char *name,
                          const char *const *words, size_t n) {
    PyObject *value = attribute(c, desc, name);
    return value != NULL ? word_index(value, words, n) : -1;
}

/* The UTF-8 of a kept str. */
static int utf8_of(PyObject *str, struct wf_span *out) {
    Py_ssize_t n;
    const char *p = PyUnicode_Check(str) ? PyUnicode_AsUTF8AndSize(str, &n) : NULL;
    if (p == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError, "%R is not a str", str);
        }
        return -1;
    }
    *out = wf_span(p, (size_t)n);
    return 0;
}

/* Zeroed memory that lives as long as the shape; also where n is 0. */
static void *take(struct compiler *c, size_t n, size_t size) {
    struct wf_shape *s = c->shape;
    if (s->nblocks == s->blocks_cap) {
        size_t cap = s->blocks_cap == 0 ? 16 : s->blocks_cap * 2;
        void **blocks = PyMem_Realloc(s->blocks, cap * sizeof(*blocks));
        if (blocks == NULL) {
            return PyErr_NoMemory();
        }
        s->blocks = blocks;
        s->blocks_cap = cap;
    }
    void *block = PyMem_Calloc(n != 0 ? n : 1, size);
    if (block == NULL) {
        return PyErr_NoMemory();
    }
    s->blocks[s->nblocks++] = block;
    return block;
}

/* ---- parts of nodes ---- */

static struct wf_node *compile_node(struct compiler *c, PyObject *desc);

static int compile_checks(struct compiler *c, PyObject *desc, struct wf_node *node) {
    PyObject *list = attribute_of_type(c, desc, "checks", &PyList_Type);
    if (list == NULL) {
        return -1;
    }
    Py_ssize_t n = PyList_GET_SIZE(list);
    struct wf_check *checks = take(c, (size_t)n, sizeof(*checks));
    if (checks == NULL) {
        return -1;
    }
    if (n > UINT8_MAX) {
        PyErr_Format(PyExc_TypeError, "weft cannot read more than %d constraints on one type",
                     UINT8_MAX);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *op, *limit;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "UO", &op, &limit)) {
            return -1;
        }
        int index = word_index(op, check_names, WF_CHECK_COUNT);
        if (index < 0 || keep(c, Py_NewRef(limit)) == NULL) {
            return -1;
        }
        checks[i] = (struct wf_check){.op = (uint8_t)index, .limit = limit};
        if (PyLong_Check(limit)) {
            int overflow;
            checks[i].as_int = PyLong_AsLongLongAndOverflow(limit, &overflow);
            checks[i].small = overflow == 0;
            checks[i].as_float = PyLong_AsDouble(limit);
        } else if (PyFloat_Check(limit)) {
            checks[i].as_float = PyFloat_AS_DOUBLE(limit);
        }
        c->calls |= !PyLong_CheckExact(limit) && !PyFloat_CheckExact(limit);
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    node->checks = checks;
    node->nchecks = (uint8_t)n;
    return 0;
}

static int compile_choice(struct compiler *c, PyObject *input, PyObject *value,
                          struct wf_choice *out) {
    if (keep(c, Py_NewRef(input)) == NULL || keep(c, Py_NewRef(value)) == NULL) {
        return -1;
    }
    out->value = value;
    if (PyLong_Check(input)) {
        out->number = PyLong_AsLongLong(input);
        return out->number == -1 && PyErr_Occurred() ? -1 : 0;
    }
    return utf8_of(input, &out->text);
}

static struct wf_choice *compile_choices(struct compiler *c, PyObject *desc, Py_ssize_t *n) {
    PyObject *list = attribute_of_type(c, desc, "choices", &PyList_Type);
    if (list == NULL) {
        return NULL;
    }
    *n = PyList_GET_SIZE(list);
    struct wf_choice *choices = take(c, (size_t)*n, sizeof(*choices));
    for (Py_ssize_t i = 0; choices != NULL && i < *n; i++) {
        PyObject *input, *value;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "OO", &input, &value) ||
            compile_choice(c, input, value, &choices[i]) < 0) {
            return NULL;
        }
    }
    return choices;
}

static const struct wf_node **compile_items(struct compiler *c, PyObject *desc, Py_ssize_t *n) {
    PyObject *list = attribute_of_type(c, desc, "items", &PyList_Type);
    if (list == NULL) {
        return NULL;
    }
    *n = PyList_GET_SIZE(list);
    const struct wf_node **items = take(c, (size_t)*n, sizeof(struct wf_node *));
    for (Py_ssize_t i = 0; items != NULL && i < *n; i++) {
        items[i] = compile_node(c, PyList_GET_ITEM(list, i));
        if (items[i] == NULL) {
            return NULL;
        }
    }
    return items;
}

static int compile_classes(struct compiler *c, PyObject *desc, struct wf_node *node) {
    PyObject *classes = attribute_of_type(c, desc, "classes", &PyDict_Type);
    PyObject *name, *index;
    Py_ssize_t at = 0;
    while (classes != NULL && PyDict_Next(classes, &at, &name, &index)) {
        int class = word_index(name, class_names, WF_CLASS_COUNT);
        long i = PyLong_AsLong(index);
        if (class < 0 || (i == -1 && PyErr_Occurred())) {
            return -1;
        }
        if (i < 0 || i >= (long)node->n) {
            PyErr_SetString(PyExc_ValueError, "a class of a union selects no member");
            return -1;
        }
        node->one_of.by_class[class] = node->one_of.members[i];
    }
    return classes != NULL ? 0 : -1;
}

/* ---- objects ---- */

/* The offset of the slot `name` in instances of `type`, which may be NULL when unset. -1 with an
 * exception. */
static Py_ssize_t slot_offset(PyTypeObject *type, PyObject *name) {
    PyObject *descr = PyObject_GetAttr((PyObject *)type, name);
    if (descr == NULL) {
        return -1;
    }
    Py_ssize_t offset = -1;
    if (Py_IS_TYPE(descr, &PyMemberDescr_Type) && PyType_IsSubtype(type, PyDescr_TYPE(descr)) &&
        ((PyMemberDescrObject *)descr)->d_member->type == Py_T_OBJECT_EX) {
        offset = ((PyMemberDescrObject *)descr)->d_member->offset;
    } else {
        PyErr_Format(PyExc_ValueError, "%.100s.%U is no slot", type->tp_name, name);
    }
    Py_DECREF(descr);
    return offset;
}

static Py_ssize_t slot_offset_of(PyTypeObject *type, const char *name) {
    PyObject *str = PyUnicode_FromString(name);
    Py_ssize_t offset = str != NULL ? slot_offset(type, str) : -1;
    Py_XDECREF(str);
    return offset;
}

static int compile_field(struct compiler *c, PyObject *desc, const struct wf_node *node,
                         struct wf_object_field *out) {
    PyObject *name = PyObject_GetAttrString(desc, "name");
    if (name == NULL || !PyUnicode_Check(name)) {
        Py_XDECREF(name);
        return -1;
    }
    PyUnicode_InternInPlace(&name);
    out->name = keep(c, name);
    int kind = attribute_word(c, desc, "default_kind", default_names, WF_ARRAY_LEN(default_names));
    int in_slot = attribute_flag(desc, "in_slot");
    PyObject *child = attribute(c, desc, "node"), *out_key = attribute(c, desc, "out_key");
    if (out->name == NULL || kind < 0 || in_slot < 0 || child == NULL || out_key == NULL ||
        (out->default_value = attribute(c, desc, "default")) == NULL ||
        utf8_of(out_key, &out->out_key) < 0) {
        return -1;
    }
    out->default_kind = (uint8_t)kind;
    out->offset = -1;
    int hidden = attribute_flag(desc, "hidden");
    if (hidden < 0) {
        return -1;
    }
    if (in_slot && (out->offset = slot_offset((PyTypeObject *)node->type, out->name)) < 0) {
        return -1;
    }
    out->node = compile_node(c, child);
    if (out->node == NULL) {
        return -1;
    }
    bool part = (out->node->flags & WF_NODE_PART) != 0;
    out->written = hidden ? WF_WRITTEN_NEVER : part ? WF_WRITTEN_PART : WF_WRITTEN_PLAIN;
    return 0;
}

/* A key as it stands in JSON. 0, or -1 with an exception. */
static int compile_json_key(struct compiler *c, struct wf_key *k) {
    const size_t n = k->text.n;
    unsigned high = 0;
    if (wf_json_plain(k->text.p, k->text.p + n, &high) != k->text.p + n) {
        k->json_head = 1; /* of which the mask leaves nothing */
        return 0;
    }
    char *json = take(c, n + sizeof(uint64_t), 1);
    if (json == NULL) {
        return -1;
    }
    json[0] = '"';
    memcpy(json + 1, k->text.p, n);
    memcpy(json + 1 + n, "\":", 2);
    k->json = wf_span(json, n + 3);
    memcpy(&k->json_head, json, sizeof(k->json_head));
    memset(&k->json_mask, 0xff, WF_MIN(k->json.n, sizeof(k->json_mask)));
    if (k->json.n > sizeof(k->json_tail)) {
        memcpy(&k->json_tail, json + k->json.n - sizeof(k->json_tail), sizeof(k->json_tail));
    }
    return 0;
}

/* The usual names come first, in the order of the fields; then all others. */
static int compile_keys(struct compiler *c, PyObject *descs, struct wf_object *o) {
    Py_ssize_t n = 0;
    for (unsigned i = 0; i < o->nfields; i++) {
        PyObject *names = attribute_of_type(c, PyList_GET_ITEM(descs, i), "keys", &PyTuple_Type);
        if (names == NULL) {
            return -1;
        }
        n += PyTuple_GET_SIZE(names);
        if (PyTuple_GET_SIZE(names) == 0 || n > UINT16_MAX) {
            PyErr_SetString(PyExc_ValueError, "a field has no name, or all have too many");
            return -1;
        }
    }
    struct wf_key *keys = take(c, (size_t)n, sizeof(*keys));
    if (keys == NULL) {
        return -1;
    }
    unsigned others = o->nfields;
    for (unsigned i = 0; i < o->nfields; i++) {
        PyObject *names = attribute_of_type(c, PyList_GET_ITEM(descs, i), "keys", &PyTuple_Type);
        for (Py_ssize_t j = 0; names != NULL && j < PyTuple_GET_SIZE(names); j++) {
            struct wf_key *k = j == 0 ? &keys[i] : &keys[others++];
            if (utf8_of(PyTuple_GET_ITEM(names, j), &k->text) < 0) {
                return -1;
            }
            memcpy(&k->head, k->text.p, WF_MIN(k->text.n, sizeof(k->head)));
            k->field = (uint16_t)i;
            if (compile_json_key(c, k) < 0) {
                return -1;
            }
        }
    }
    o->nkeys = (uint16_t)n;
    o->keys = keys;
    return 0;
}

/* What instances start with: every field that stands in the instance's dict, so that filling it in
 * neither grows nor orders it. */
static int make_template(struct compiler *c, struct wf_object *o) {
    o->template = keep(c, PyDict_New());
    o->all_names = keep(c, PySet_New(NULL));
    if (o->template == NULL || o->all_names == NULL) {
        return -1;
    }
    for (unsigned i = 0; i < o->nfields; i++) {
        const struct wf_object_field *f = &o->fields[i];
        PyObject *value = f->default_kind == WF_DEFAULT_VALUE ? f->default_value : Py_None;
        if (PySet_Add(o->all_names, f->name) < 0 ||
            (f->offset < 0 && PyDict_SetItem(o->template, f->name, value) < 0)) {
            return -1;
        }
        o->nrequired += f->default_kind == WF_DEFAULT_REQUIRED;
        o->in_dict |= f->offset < 0;
        o->puts_off |= f->default_kind == WF_DEFAULT_FACTORY && f->offset < 0;
    }
    return 0;
}

/* May the walkers make instances of it by themselves? */
static int check_type(const struct wf_node *node) {
    const struct wf_object *o = &node->object;
    PyTypeObject *type = (PyTypeObject *)node->type;
    bool tuple = o->make == WF_MAKE_NAMEDTUPLE;
    if (o->make == WF_MAKE_DICT) {
        return 0;
    }
    if (type == NULL || !PyType_Check(type)) {
        PyErr_SetString(PyExc_ValueError, "an object's type is not a class");
        return -1;
    }
    if (o->make == WF_MAKE_CALL || (node->flags & WF_NODE_OUTPUT) != 0) {
        return 0;
    }
    if (type->tp_alloc != PyType_GenericAlloc ||
        (tuple ? !PyType_IsSubtype(type, &PyTuple_Type) : type->tp_itemsize != 0) ||
        (!tuple && o->in_dict && type->tp_dictoffset == 0)) {
        PyErr_Format(PyExc_ValueError, "instances of %.100s cannot be filled", type->tp_name);
        return -1;
    }
    return 0;
}

static int compile_model_slots(struct compiler *c, PyObject *desc, struct wf_node *node) {
    struct wf_object *o = &node->object;
    PyTypeObject *type = (PyTypeObject *)node->type;
    if (type == NULL || !PyType_Check(type)) {
        PyErr_SetString(PyExc_ValueError, "a model's type is not a class");
        return -1;
    }
    o->offset_fields_set = slot_offset_of(type, "__pydantic_fields_set__");
    if (o->make == WF_MAKE_MODEL) {
        o->offset_extra = slot_offset_of(type, "__pydantic_extra__");
        o->offset_private = slot_offset_of(type, "__pydantic_private__");
    }
    o->private_template = attribute_or_none(c, desc, "private");
    if (o->private_template != NULL && !PyDict_Check(o->private_template)) {
        PyErr_SetString(PyExc_ValueError, "private attributes are not a dict");
        return -1;
    }
    PyObject *name, *value;
    Py_ssize_t at = 0;
    while (o->private_template != NULL && PyDict_Next(o->private_template, &at, &name, &value)) {
        o->private_copied |= shape_is_copied(value);
    }
    return PyErr_Occurred() ? -1 : 0;
}

static int compile_object(struct compiler *c, PyObject *desc, struct wf_node *node) {
    struct wf_object *o = &node->object;
    PyObject *fields = attribute_of_type(c, desc, "fields", &PyList_Type);
    int make = attribute_word(c, desc, "make", make_names, WF_ARRAY_LEN(make_names));
    int extra = attribute_word(c, desc, "extra", extra_names, WF_ARRAY_LEN(extra_names));
    int array = attribute_flag(desc, "array");
    int omit_defaults = attribute_flag(desc, "omit_defaults");
    int by_alias = attribute_flag(desc, "by_alias");
    int plain = attribute_flag(desc, "plain");
    int direct = attribute_flag(desc, "direct");
    PyObject *computed = attribute_of_type(c, desc, "computed", &PyList_Type);
    PyObject *tag = attribute_or_none(c, desc, "tag");
    o->post_init = attribute_or_none(c, desc, "post_init");
    if (fields == NULL || make < 0 || extra < 0 || array < 0 || PyErr_Occurred()) {
        return -1;
    }
    if (PyList_GET_SIZE(fields) > WF_SHAPE_FIELDS_MAX ||
        PyList_GET_SIZE(computed) > WF_SHAPE_FIELDS_MAX) {
        PyErr_SetString(PyExc_ValueError, "too many fields");
        return -1;
    }
    o->make = (uint8_t)make;
    o->extra = (uint8_t)extra;
    o->array = array != 0;
    o->omit_defaults = omit_defaults != 0;
    o->by_alias = by_alias != 0;
    o->plain = plain != 0;
    o->direct = direct != 0;
    o->nfields = (uint16_t)PyList_GET_SIZE(fields);
    o->ncomputed = (uint16_t)PyList_GET_SIZE(computed);
    struct wf_object_field *out = take(c, (size_t)o->nfields + o->ncomputed, sizeof(*out));
    if (out == NULL) {
        return -1;
    }
    o->fields = out;
    for (unsigned i = 0; i < (unsigned)o->nfields + o->ncomputed; i++) {
        PyObject *field =
            i < o->nfields ? PyList_GET_ITEM(fields, i) : PyList_GET_ITEM(computed, i - o->nfields);
        if (compile_field(c, field, node, &out[i]) < 0) {
            return -1;
        }
    }
    if (tag != NULL) {
        PyObject *key, *value;
        if (!PyArg_ParseTuple(tag, "OO", &key, &value) || utf8_of(key, &o->tag_key) < 0 ||
            compile_choice(c, value, value, &o->tag) < 0) {
            return -1;
        }
    }
    bool model = make == WF_MAKE_MODEL || make == WF_MAKE_ROOT_MODEL;
    if (compile_keys(c, fields, o) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < o->nfields; i++) {
        if (out[i].out_key.n == 0) {
            out[i].out_key = o->keys[i].text;
        }
    }
    if (make_template(c, o) < 0 || check_type(node) < 0 ||
        (model && compile_model_slots(c, desc, node) < 0)) {
        return -1;
    }
    o->puts_off = o->puts_off && (node->flags & WF_NODE_PYDANTIC) != 0;
    o->extra_values = extra == WF_EXTRA_ALLOW;
    return 0;
}

static int compile_tagged(struct compiler *c, PyObject *desc, struct wf_node *node) {
    PyObject *key = attribute(c, desc, "key");
    int array = attribute_flag(desc, "array");
    Py_ssize_t ntags = 0, nnodes = 0;
    if (key == NULL || array < 0 || utf8_of(key, &node->tagged.key) < 0 ||
        (node->tagged.tags = compile_choices(c, desc, &ntags)) == NULL ||
        (node->tagged.nodes = compile_items(c, desc, &nnodes)) == NULL) {
        return -1;
    }
    if (ntags != nnodes || ntags > UINT16_MAX) {
        PyErr_SetString(PyExc_ValueError, "each tag has its node");
        return -1;
    }
    node->tagged.n = (uint16_t)ntags;
    node->tagged.array = array != 0;
    for (Py_ssize_t i = 0; i < nnodes; i++) {
        const struct wf_node *item = node->tagged.nodes[i];
        while (item->kind == WF_NODE_AFTER && item->item != NULL) {
            item = item->item;
        }
        if (item->kind != WF_NODE_OBJECT || item->object.array != node->tagged.array) {
            PyErr_SetString(PyExc_ValueError, "tags are of objects, or all of arrays");
            return -1;
        }
    }
    return 0;
}

/* ---- nodes ---- */

static int compile_flags(PyObject *desc, struct wf_node *node) {
    static const struct {
        const char *name;
        uint8_t flag;
    } flags[] = {{"lax", WF_NODE_LAX},       {"pydantic", WF_NODE_PYDANTIC},
                 {"base64", WF_NODE_BASE64}, {"finite", WF_NODE_FINITE},
                 {"proved", WF_NODE_PROVED}, {"as_is", WF_NODE_AS_IS},
                 {"output", WF_NODE_OUTPUT}, {"part", WF_NODE_PART}};
    for (size_t i = 0; i < WF_ARRAY_LEN(flags); i++) {
        int set = attribute_flag(desc, flags[i].name);
        if (set < 0) {
            return -1;
        }
        node->flags |= set ? flags[i].flag : 0;
    }
    return 0;
}

/* The part of a node that its kind alone has. */
static int compile_kind(struct compiler *c, PyObject *desc, struct wf_node *node) {
    Py_ssize_t n = 0;
    const struct wf_node **items;
    switch ((enum wf_node_kind)node->kind) {
    case WF_NODE_CHOICE:
        node->choices = compile_choices(c, desc, &n);
        node->n = (uint32_t)n;
        return node->choices != NULL ? 0 : -1;
    case WF_NODE_TAGGED:
        return compile_tagged(c, desc, node);
    case WF_NODE_OBJECT:
        return compile_object(c, desc, node);
    case WF_NODE_LIST:
    case WF_NODE_VARTUPLE:
    case WF_NODE_SET:
    case WF_NODE_FROZENSET:
    case WF_NODE_DEQUE:
    case WF_NODE_TUPLE:
    case WF_NODE_DICT:
    case WF_NODE_UNION:
    case WF_NODE_AFTER:
    case WF_NODE_SERIALIZER:
        items = compile_items(c, desc, &n);
        break;
    case WF_NODE_HANDED:
        if (node->judge == NULL && node->dump == NULL && node->call == NULL) {
            PyErr_SetString(PyExc_ValueError, "nobody judges what is handed over");
            return -1;
        }
        return 0;
    case WF_NODE_HOOK:
        if (node->flags & WF_NODE_OUTPUT) {
            items = compile_items(c, desc, &n);
            break;
        }
        if (node->call == NULL) {
            PyErr_SetString(PyExc_ValueError, "nobody makes the value");
            return -1;
        }
        return 0;
    case WF_NODE_TEXT:
    case WF_NODE_RAW:
        if (node->type == NULL) {
            PyErr_SetString(PyExc_ValueError, "nothing is made of the text");
            return -1;
        }
        return 0;
    default:
        return 0;
    }
    if (items == NULL) {
        return -1;
    }
    node->n = (uint32_t)n;
    if (node->kind == WF_NODE_TUPLE) {
        node->items = items;
    } else if (node->kind == WF_NODE_SERIALIZER) {
        if (n < 1 || n > 2 || node->call == NULL || node->replay == NULL ||
            !(node->flags & WF_NODE_OUTPUT)) {
            PyErr_SetString(PyExc_ValueError, "a serializer is incomplete");
            return -1;
        }
        node->items = items;
    } else if (node->kind == WF_NODE_UNION) {
        node->one_of.members = items;
        return compile_classes(c, desc, node);
    } else if (n != (node->kind == WF_NODE_DICT ? 2 : 1)) {
        PyErr_SetString(PyExc_ValueError, "a container has the wrong number of items");
        return -1;
    } else if (node->kind == WF_NODE_AFTER && node->call == NULL) {
        PyErr_SetString(PyExc_ValueError, "nothing is called after");
        return -1;
    } else if (node->kind == WF_NODE_DICT) {
        node->map.key = items[0];
        node->map.value = items[1];
    } else {
        node->item = items[0];
    }
    return 0;
}

static struct wf_node *new_node(struct compiler *c, PyObject *desc) {
    struct wf_shape *s = c->shape;
    if (s->nnodes == WF_SHAPE_NODES_MAX) {
        PyErr_SetString(PyExc_ValueError, "the type is too large");
        return NULL;
    }
    if (s->nnodes == s->nodes_cap) {
        size_t cap = s->nodes_cap == 0 ? 16 : s->nodes_cap * 2;
        struct wf_node **nodes = PyMem_Realloc(s->nodes, cap * sizeof(*nodes));
        if (nodes == NULL) {
            return (struct wf_node *)PyErr_NoMemory();
        }
        s->nodes = nodes;
        s->nodes_cap = cap;
    }
    struct wf_node *node = take(c, 1, sizeof(*node));
    PyObject *id = PyLong_FromVoidPtr(desc), *index = PyLong_FromSize_t(s->nnodes);
    if (node != NULL && id != NULL && index != NULL && PyDict_SetItem(c->seen, id, index) == 0) {
        s->nodes[s->nnodes++] = node;
    } else {
        node = NULL;
    }
    Py_XDECREF(id);
    Py_XDECREF(index);
    return node;
}

/* The node a description already has, or NULL (without an exception where it has none). */
static struct wf_node *find_node(struct compiler *c, PyObject *desc) {
    PyObject *id = PyLong_FromVoidPtr(desc);
    PyObject *index = id != NULL ? PyDict_GetItemWithError(c->seen, id) : NULL; /* borrowed */
    Py_XDECREF(id);
    return index != NULL ? c->shape->nodes[PyLong_AsSize_t(index)] : NULL;
}

/* A node is known by its description before it is filled in: that is how it can contain itself. */
static struct wf_node *compile_node(struct compiler *c, PyObject *desc) {
    struct wf_node *node = find_node(c, desc);
    if (node != NULL || PyErr_Occurred()) {
        return node;
    }
    node = new_node(c, desc);
    if (node == NULL || Py_EnterRecursiveCall(" while compiling a shape")) {
        return NULL;
    }
    int kind = attribute_word(c, desc, "kind", kind_names, WF_NODE_KIND_COUNT);
    node->type = attribute_or_none(c, desc, "type");
    node->judge = attribute_or_none(c, desc, "judge");
    node->replay = attribute_or_none(c, desc, "replay");
    node->call = attribute_or_none(c, desc, "call");
    node->dump = attribute_or_none(c, desc, "dump");
    node->label = attribute_of_type(c, desc, "label", &PyUnicode_Type);
    node->why = attribute_of_type(c, desc, "why", &PyUnicode_Type);
    int rc = kind < 0 || PyErr_Occurred() ? -1 : 0;
    if (rc == 0) {
        node->kind = (uint8_t)kind;
        rc = compile_flags(desc, node);
    }
    if (rc == 0) {
        bool pydantic = (node->flags & WF_NODE_PYDANTIC) != 0;
        rc = shape_prepare(c->shape->state, (enum wf_node_kind)kind, pydantic);
    }
    if (rc == 0 && compile_checks(c, desc, node) == 0 && compile_kind(c, desc, node) == 0 &&
        (!(node->flags & WF_NODE_OUTPUT) || shape_compile_output(c->shape, node) == 0)) {
        Py_LeaveRecursiveCall();
        return node;
    }
    if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "the description of a shape is incomplete");
    }
    Py_LeaveRecursiveCall();
    return NULL;
}

/* Could making what is valid for the node call code of the application, or of Python's library? That is
 * said of kinds that are known not to; how an Enum or a UUID is hashed is Python too. */
static bool node_calls(const struct wf_node *node) {
    const struct wf_object *o = &node->object;
    if (node->call != NULL) {
        return true;
    }
    switch ((enum wf_node_kind)node->kind) {
    case WF_NODE_ANY:
    case WF_NODE_NONE:
    case WF_NODE_BOOL:
    case WF_NODE_INT:
    case WF_NODE_FLOAT:
    case WF_NODE_STR:
    case WF_NODE_BYTES:
    case WF_NODE_DATETIME:
    case WF_NODE_DATE:
    case WF_NODE_TIME:
    case WF_NODE_TIMEDELTA:
    case WF_NODE_UUID:
    case WF_NODE_CHOICE:
    case WF_NODE_RAW:
    case WF_NODE_LIST:
    case WF_NODE_VARTUPLE:
    case WF_NODE_TUPLE:
    case WF_NODE_UNION:
    case WF_NODE_TAGGED:
        return false;
    case WF_NODE_DICT:
        return node->map.key->kind != WF_NODE_STR && node->map.key->kind != WF_NODE_ANY;
    case WF_NODE_OBJECT:
        for (unsigned i = 0; i < o->nfields; i++) {
            const unsigned kind = o->fields[i].default_kind;
            if (kind == WF_DEFAULT_COPY || kind == WF_DEFAULT_FACTORY) {
                return true;
            }
        }
        return o->make == WF_MAKE_CALL || o->post_init != NULL || o->private_copied;
    default:
        return true;
    }
}

int shape_compile(struct wf_shape *shape) {
    struct compiler c = {.shape = shape, .seen = PyDict_New()};
    if (c.seen == NULL) {
        return -1;
    }
    struct wf_node *root = compile_node(&c, shape->description);
    Py_DECREF(c.seen);
    if (root == NULL) {
        return -1;
    }
    root->quiet = !c.calls;
    for (size_t i = 0; i < shape->nnodes && root->quiet; i++) {
        root->quiet = !node_calls(shape->nodes[i]);
    }
    shape->root = root;
    return 0;
}

void shape_free_compiled(struct wf_shape *shape) {
    for (size_t i = 0; i < shape->nblocks; i++) {
        PyMem_Free(shape->blocks[i]);
    }
    PyMem_Free(shape->blocks);
    PyMem_Free(shape->nodes);
}
