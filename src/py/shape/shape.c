/* _core.Shape: the object, and the room's part of the module. */
#include "py/shape/shape_int.h"

PyDoc_STRVAR(shape_doc, "Shape(description)\n--\n\n"
                        "A type, compiled for the codecs. Made by weft.shape().");

static PyObject *shape_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"description", NULL};
    PyObject *description;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Shape", keywords, &description)) {
        return NULL;
    }
    struct wf_shape *shape = (struct wf_shape *)type->tp_alloc(type, 0);
    if (shape == NULL) {
        return NULL;
    }
    shape->state = wf_state_of_type(type);
    shape->description = Py_NewRef(description);
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
    return 0;
}

/* The tree needs `kept` to the end: whoever breaks a cycle through a shape does it in what is kept
 * (a class that holds its own shape), and only once nobody can walk it any more. */
static int shape_clear(PyObject *self) {
    struct wf_shape *shape = (struct wf_shape *)self;
    shape->root = NULL;
    Py_CLEAR(shape->description);
    Py_CLEAR(shape->kept);
    return 0;
}

static void shape_dealloc(PyObject *self) {
    struct wf_shape *shape = (struct wf_shape *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    shape_free_compiled(shape);
    Py_XDECREF(shape->description);
    Py_XDECREF(shape->kept);
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
    "json_decode($module, data, /, *, type=None, strict=True)\n--\n\n"
    "The value of a JSON document in bytes, a buffer or a str; with type, a value of that.\n\n"
    "With strict=False numbers and bools may stand in strings, and the like. Raises\n"
    "DecodeError, a ValueError that knows where; what pydantic judges raises its\n"
    "ValidationError.");

static PyMethodDef functions[] = {
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
    s->by_type = PyDict_New();
    s->name_path = PyUnicode_InternFromString("path");
    s->name_root = PyUnicode_InternFromString("root");
    if (s->by_type == NULL || s->name_path == NULL || s->name_root == NULL) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}

PyObject *wf_shape_find(struct wf_state *state, PyObject *type) {
    struct wf_shape_state *s = &state->shape;
    PyObject *shape = PyDict_GetItemWithError(s->by_type, type); /* borrowed */
    if (wf_likely(shape != NULL)) {
        return Py_NewRef(shape);
    }
    if (PyErr_Occurred()) { /* it cannot be hashed, and is not kept */
        PyErr_Clear();
    }
    if (s->native_of == NULL &&
        (s->native_of = shape_import("weft.shapes.compiled", "native_of")) == NULL) {
        return NULL;
    }
    shape = PyObject_CallOneArg(s->native_of, type);
    if (shape != NULL && !Py_IS_TYPE(shape, s->shape_type)) {
        PyErr_SetString(PyExc_TypeError, "weft.shapes gave no Shape");
        Py_CLEAR(shape);
    }
    if (shape != NULL) {
        if (PyDict_GET_SIZE(s->by_type) >= WF_SHAPE_TYPES) {
            PyDict_Clear(s->by_type);
        }
        if (PyDict_SetItem(s->by_type, type, shape) < 0) {
            PyErr_Clear();
        }
    }
    return shape;
}

#define OWNED(X)                                                                                   \
    X(shape_type)                                                                                  \
    X(by_type)                                                                                     \
    X(native_of)                                                                                   \
    X(deepcopy)                                                                                    \
    X(deque)                                                                                       \
    X(uuid_type)                                                                                   \
    X(safe_unknown)                                                                                \
    X(decimal_type)                                                                                \
    X(tz_info)                                                                                     \
    X(tz_utc)                                                                                      \
    X(name_path)                                                                                   \
    X(name_root)

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
