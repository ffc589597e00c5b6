/* _core.Shape: the object, and the room's part of the module. */
#include "py/shape/shape_int.h"

PyDoc_STRVAR(shape_doc, "Shape(description, default=None)\n--\n\n"
                        "A type, compiled for the codecs. Made by weft.shape().");

static PyObject *shape_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"description", "default", NULL};
    PyObject *description, *fallback = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:Shape", keywords, &description,
                                     &fallback)) {
        return NULL;
    }
    struct wf_shape *shape = (struct wf_shape *)type->tp_alloc(type, 0);
    if (shape == NULL) {
        return NULL;
    }
    shape->state = wf_state_of_type(type);
    shape->description = Py_NewRef(description);
    shape->fallback = fallback != Py_None ? Py_NewRef(fallback) : NULL;
    shape->kept = PyList_New(0);
    if (shape->state == NULL || shape->kept == NULL || shape_compile(shape) < 0) {
        Py_DECREF(shape);
        return NULL;
    }
    return (PyObject *)shape;
}

static int shape_traverse(PyObject *self, visitproc visit, void *arg) {
    struct wf_shape *shape = (struct wf_shape *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(shape->description);
    Py_VISIT(shape->kept);
    Py_VISIT(shape->fallback);
    return 0;
}

/* The tree needs `kept` to the end: whoever breaks a cycle through a shape does it in what is kept
 * (a class that holds its own shape), and only once nobody can walk it any more. */
static int shape_clear(PyObject *self) {
    struct wf_shape *shape = (struct wf_shape *)self;
    shape->root = NULL;
    Py_CLEAR(shape->description);
    Py_CLEAR(shape->kept);
    Py_CLEAR(shape->fallback);
    return 0;
}

static void shape_dealloc(PyObject *self) {
    struct wf_shape *shape = (struct wf_shape *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    shape_free_compiled(shape);
    Py_XDECREF(shape->description);
    Py_XDECREF(shape->kept);
    Py_XDECREF(shape->fallback);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *shape_repr(PyObject *self) {
    struct wf_shape *shape = (struct wf_shape *)self;
    return shape->root != NULL ? PyUnicode_FromFormat("<Shape of %U>", shape->root->label)
                               : PyUnicode_FromString("<Shape>");
}

static PyMemberDef shape_members[] = {
    {"description", Py_T_OBJECT_EX, offsetof(struct wf_shape, description), Py_READONLY,
     "What it was compiled of: a weft.shapes.nodes.Node."},
    {NULL},
};

static PyMethodDef shape_methods[] = {
    {"decode_json", shape_decode_json, METH_O, "json_decode with this type."},
    {"decode_json_lax", shape_decode_json_lax, METH_O, "json_decode with strict=False."},
    {"encode_json", shape_encode_json, METH_O, "json_encode with this type; of shapes of output."},
    {"encode_json_into", (PyCFunction)(void (*)(void))shape_encode_json_into, METH_FASTCALL,
     "json_encode_into with this type."},
    {"encode_json_lines", shape_encode_json_lines, METH_O, "json_encode_lines with this type."},
    {"judge_json", (PyCFunction)(void (*)(void))shape_judge_json, METH_FASTCALL,
     "The JSON of what pydantic validates an object to, between two bytes objects where they are "
     "given; None where that is not proved."},
    {"encode_json_indented", (PyCFunction)(void (*)(void))shape_encode_json_indented, METH_FASTCALL,
     "json_encode with this type, and with indent as the second argument."},
    {NULL},
};

static PyType_Slot shape_slots[] = {
    {Py_tp_doc, (void *)shape_doc},
    {Py_tp_new, shape_new},
    {Py_tp_traverse, shape_traverse},
    {Py_tp_clear, shape_clear},
    {Py_tp_dealloc, shape_dealloc},
    {Py_tp_repr, shape_repr},
    {Py_tp_members, shape_members},
    {Py_tp_methods, shape_methods},
    {0, NULL},
};

static PyType_Spec shape_spec = {
    .name = "weft._core.Shape",
    .basicsize = sizeof(struct wf_shape),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = shape_slots,
};

PyDoc_STRVAR(
    decode_doc,
    "json_decode($module, data, /, *, type=None, strict=True, dec_hook=None,\n"
    "            float_hook=None)\n--\n\n"
    "The value of a JSON document in bytes, a buffer or a str; with type, a value of that.\n\n"
    "With strict=False numbers and bools may stand in strings, and the like. Raises\n"
    "DecodeError, a ValueError that knows where; what pydantic judges raises its\n"
    "ValidationError.\n\n"
    "dec_hook is called with a class that cannot be read and a plain value, for an instance of\n"
    "it; float_hook with the text of a float that has no type. A ValueError or TypeError of "
    "theirs\n"
    "is a DecodeError. Neither is called for what pydantic reads.");

PyDoc_STRVAR(
    encode_doc,
    "json_encode($module, obj, /, *, type=None, default=None, indent=None, sort_keys=False)\n--\n\n"
    "The JSON of obj, as UTF-8 without spaces.\n\n"
    "With type, obj is written as that: the names, order and forms that msgspec.json.encode has\n"
    "for it, or for pydantic's classes their own model_dump_json; EncodeError with the path to\n"
    "what is something else. sort_keys is for what has no type.\n\n"
    "default is called with an object of a type there is no rule for; what it returns is\n"
    "encoded in its place. indent is the spaces a level is moved in by, 0 to 16.\n"
    "sort_keys puts the members of every object in the order of their keys.\n"
    "Raises EncodeError.");

static PyMethodDef functions[] = {
    {"json_encode", (PyCFunction)(void (*)(void))shape_py_json_encode,
     METH_FASTCALL | METH_KEYWORDS, encode_doc},
    {"json_decode", (PyCFunction)(void (*)(void))shape_py_json_decode,
     METH_FASTCALL | METH_KEYWORDS, decode_doc},
    {NULL},
};

PyObject *shape_import(const char *module, const char *name) {
    PyObject *m = PyImport_ImportModule(module);
    PyObject *value = m != NULL ? PyObject_GetAttrString(m, name) : NULL;
    Py_XDECREF(m);
    return value;
}

PyObject *shape_attribute(PyObject *object, const char *name) {
    PyObject *str = PyUnicode_InternFromString(name);
    PyObject *value = str != NULL ? PyObject_GetAttr(object, str) : NULL;
    Py_XDECREF(str);
    return value;
}

int wf_shape_exec(PyObject *module, struct wf_state *state) {
    struct wf_shape_state *s = &state->shape;
    s->shape_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &shape_spec, NULL);
    if (s->shape_type == NULL || PyModule_AddType(module, s->shape_type) < 0) {
        return -1;
    }
    s->pending_type = shape_make_pending_type(module);
    s->by_type = PyDict_New();
    s->output_by_type = PyDict_New();
    s->name_path = PyUnicode_InternFromString("path");
    s->name_root = PyUnicode_InternFromString("root");
    if (s->pending_type == NULL || s->by_type == NULL || s->output_by_type == NULL ||
        s->name_path == NULL || s->name_root == NULL) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}

/* The shape of a type in *by_type (borrowed by the state), or of what weft.shapes.compiled has under
 * `name`, kept in *make. New reference, NULL with an exception. */
static PyObject *find(struct wf_state *state, PyObject *type, PyObject *by_type, PyObject **make,
                      const char *name) {
    PyObject *shape = PyDict_GetItemWithError(by_type, type); /* borrowed */
    if (wf_likely(shape != NULL)) {
        return Py_NewRef(shape);
    }
    if (PyErr_Occurred()) { /* it cannot be hashed, and is not kept */
        PyErr_Clear();
    }
    if (*make == NULL && (*make = shape_import("weft.shapes.compiled", name)) == NULL) {
        return NULL;
    }
    shape = PyObject_CallOneArg(*make, type);
    if (shape != NULL && !Py_IS_TYPE(shape, state->shape.shape_type)) {
        PyErr_SetString(PyExc_TypeError, "weft.shapes gave no Shape");
        Py_CLEAR(shape);
    }
    if (shape != NULL) {
        if (PyDict_GET_SIZE(by_type) >= WF_SHAPE_TYPES) {
            PyDict_Clear(by_type);
        }
        if (PyDict_SetItem(by_type, type, shape) < 0) {
            PyErr_Clear();
        }
    }
    return shape;
}

PyObject *wf_shape_find(struct wf_state *state, PyObject *type) {
    struct wf_shape_state *s = &state->shape;
    return find(state, type, s->by_type, &s->native_of, "native_of");
}

PyObject *wf_shape_find_output(struct wf_state *state, PyObject *type) {
    struct wf_shape_state *s = &state->shape;
    return find(state, type, s->output_by_type, &s->output_of, "output_of");
}

#define OWNED(X)                                                                                   \
    X(shape_type)                                                                                  \
    X(pending_type)                                                                                \
    X(by_type)                                                                                     \
    X(native_of)                                                                                   \
    X(output_by_type)                                                                              \
    X(output_of)                                                                                   \
    X(unset)                                                                                       \
    X(deepcopy)                                                                                    \
    X(deque)                                                                                       \
    X(uuid_type)                                                                                   \
    X(safe_unknown)                                                                                \
    X(decimal_type)                                                                                \
    X(tz_info)                                                                                     \
    X(name_path)                                                                                   \
    X(name_root)

/* But for tz_utc, which is never given up: the module may be cleared when the C API of datetime is gone
 * already, which pydantic reads when a time zone of its is freed. */

int wf_shape_traverse(struct wf_shape_state *s, visitproc visit, void *arg) {
#define X(field) Py_VISIT(s->field);
    OWNED(X)
#undef X
    return 0;
}

void wf_shape_clear(struct wf_shape_state *s) {
#define X(field) Py_CLEAR(s->field);
    OWNED(X)
#undef X
}
