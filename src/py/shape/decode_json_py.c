/* What weft.json offers of typed decoding: documents in Python's hands. */
#include "py/shape/shape_int.h"

#include "py/json/json_make.h"

/* The whole of a document in Python's hands. */
static PyObject *decode_document(struct wf_shape *shape, struct wf_span in, PyObject *doc,
                                 unsigned flags) {
    const struct wf_node *root = shape->root;
    struct wf_span whole = in;
    struct wf_walk w;
    if (!PyUnicode_Check(doc) && WF_JSON_IS(in.p, in.p + in.n, "\xef\xbb\xbf")) {
        in = wf_span(in.p + 3, in.n - 3); /* a byte order mark, as in the untyped decoder */
    }
    wf_walk_init(&w, shape->state, flags);
    PyObject *value = NULL;
    enum wf_walk_result result = WF_WALK_INVALID;
    if (root->kind != WF_NODE_HANDED) {
        result = wf_json_decode_shape(&w, root, in, &value);
    }
    if (result == WF_WALK_INVALID && root->judge != NULL && !wf_walk_is_final(&w)) {
        /* what json.loads takes, or the error of the untyped decoder */
        PyObject *object =
            wf_json_decode_of(shape->state, whole, WF_JSON_SURROGATES | WF_JSON_NONFINITE, doc);
        result = object != NULL ? wf_walk_judge_root(&w, root, object, &value) : WF_WALK_FAILED;
        Py_XDECREF(object);
    }
    if (result == WF_WALK_INVALID) {
        w.fail.at += whole.n - in.n;
        wf_json_raise_fail(&w, whole, doc);
    }
    wf_walk_clear(&w);
    return value;
}

/* data  borrowed */
static PyObject *decode_data(struct wf_shape *shape, PyObject *data, unsigned flags) {
    struct wf_input in;
    if (wf_unlikely(shape->root == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "the shape has been cleared");
        return NULL;
    }
    if (wf_json_input_open(&shape->state->json, &in, data) < 0) {
        return NULL;
    }
    Py_INCREF(shape); /* application code may let go of it */
    PyObject *value = decode_document(shape, in.span, data, flags);
    wf_input_close(&in);
    Py_DECREF(shape);
    return value;
}

PyObject *shape_decode_json(PyObject *self, PyObject *data) {
    return decode_data((struct wf_shape *)self, data, 0);
}

PyObject *shape_decode_json_lax(PyObject *self, PyObject *data) {
    return decode_data((struct wf_shape *)self, data, WF_WALK_LAX);
}

/* The shape of a type that is read with hooks, which is not kept. */
static PyObject *find_hooked(PyObject *type, PyObject *dec_hook, PyObject *float_hook) {
    PyObject *make = shape_import("weft.shapes.compiled", "hooked");
    PyObject *shape = make != NULL
                          ? PyObject_CallFunctionObjArgs(make, type != NULL ? type : Py_None,
                                                         dec_hook, float_hook, NULL)
                          : NULL;
    Py_XDECREF(make);
    return shape;
}

/* json_decode(data, /, *, type=None, strict=True, dec_hook=None, float_hook=None); None is no type: that of null is type(None) */
PyObject *shape_py_json_decode(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames) {
    struct wf_state *state = wf_state_of_module(module);
    if (nargs != 1) {
        PyErr_Format(PyExc_TypeError, "decode() takes one positional argument, %zd were given",
                     nargs);
        return NULL;
    }
    PyObject *data = args[0], *type = NULL, *dec_hook = Py_None, *float_hook = Py_None;
    int strict = 1;
    for (Py_ssize_t i = 0; kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i), *value = args[nargs + i];
        if (PyUnicode_CompareWithASCIIString(name, "type") == 0) {
            type = value != Py_None ? value : NULL;
        } else if (PyUnicode_CompareWithASCIIString(name, "dec_hook") == 0) {
            dec_hook = value;
        } else if (PyUnicode_CompareWithASCIIString(name, "float_hook") == 0) {
            float_hook = value;
        } else if (PyUnicode_CompareWithASCIIString(name, "strict") == 0) {
            strict = PyObject_IsTrue(value);
        } else {
            PyErr_Format(PyExc_TypeError, "decode() has no argument %R", name);
            return NULL;
        }
    }
    if (strict < 0) {
        return NULL;
    }
    const bool hooked = dec_hook != Py_None || float_hook != Py_None;
    if (type == NULL && !hooked) {
        return wf_json_decode_object(state, data);
    }
    PyObject *shape = hooked ? find_hooked(type, dec_hook, float_hook) : wf_shape_find(state, type);
    if (shape == NULL) {
        return NULL;
    }
    PyObject *value = decode_data((struct wf_shape *)shape, data, strict ? 0 : WF_WALK_LAX);
    Py_DECREF(shape);
    return value;
}
