/* What weft.json offers of typed encoding, and replies: where the walk begins and ends. */
#include "py/shape/encode_json_int.h"

/* msgspec.UNSET where somebody has imported it: borrowed from the state. */
static PyObject *unset_of(struct wf_state *state) {
    struct wf_shape_state *s = &state->shape;
    if (wf_unlikely(s->unset == NULL) && wf_json_loaded("msgspec", "UNSET", &s->unset) < 0) {
        PyErr_Clear();
    }
    return s->unset;
}

/* EncodeError says where. */
static void add_path(struct typed *t) {
    if (t->w.fail.npath == 0 || !PyErr_ExceptionMatches(t->e.s->encode_error)) {
        return;
    }
    PyObject *exc = wf_err_take(), *path = wf_walk_path(&t->w.fail);
    if (path != NULL) {
        wf_err_put(exc);
        wf_json_encode_raise_at(t->e.s, path);
    } else {
        Py_DECREF(exc);
    }
}

/* Writes the value at t->e.out.p; t->e.out is open. */
static enum wf_walk_result encode_root(struct typed *t, const struct wf_shape *shape, PyObject *obj,
                                       unsigned flags) {
    t->e.s = &shape->state->json;
    t->e.fallback = shape->fallback; /* the shape is held on to */
    t->e.path = NULL;
    t->e.steps = t->e.depth = 0;
    t->e.fallback_off = t->e.sort_keys = t->e.has_raw = false;
    t->flags = flags;
    t->judged = (flags & WF_OUTPUT_JUDGED) != 0;
    t->unproved = false;
    t->unset = unset_of(shape->state);
    wf_walk_init(&t->w, shape->state, 0);
    char *d = NULL;
    if (wf_unlikely(shape->root == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "the shape has been cleared");
    } else if (wf_unlikely(!(shape->root->flags & WF_NODE_OUTPUT))) {
        PyErr_SetString(PyExc_TypeError, "the shape is one of input");
    } else if ((d = room(&t->e, t->e.out.p, 0)) != NULL) {
        const struct wf_node *root = shape->root;
        if (wf_likely(root->kind == WF_NODE_OBJECT)) { /* as json_put does, but for its questions */
            Py_INCREF(obj);
            d = json_put_object(t, d, root, obj);
            Py_DECREF(obj);
        } else {
            d = json_put(t, d, root, obj);
        }
    }
    enum wf_walk_result result = WF_WALK_OK;
    if (wf_likely(d != NULL)) {
        t->e.out.p = d;
    } else {
        rewind_to(t, 0, 0);
        result = t->unproved && !PyErr_Occurred() ? WF_WALK_INVALID : WF_WALK_FAILED;
        WF_ASSERT(result == WF_WALK_INVALID || PyErr_Occurred());
        if (result == WF_WALK_FAILED) {
            add_path(t);
        }
    }
    wf_walk_clear(&t->w);
    return result;
}

enum wf_walk_result wf_json_encode_shape(const struct wf_shape *shape, PyObject *obj,
                                         unsigned flags, struct wf_buf *out) {
    struct typed t;
    size_t len = out->len;
    wf_json_buf_open(&t.e.to_buf, out);
    enum wf_walk_result result = encode_root(&t, shape, obj, flags);
    wf_json_buf_close(&t.e.to_buf);
    if (result != WF_WALK_OK) {
        out->len = len;
    }
    return result;
}

/* ---- in Python's hands ---- */

/* indent  -1 for none */
static PyObject *encode_to_bytes(PyObject *self, PyObject *obj, int indent) {
    char first[WF_JSON_FIRST_BYTES];
    struct typed t;
    PyObject *result = NULL;
    wf_json_open_bytes(&t.e.to_bytes, &((struct wf_shape *)self)->state->json, first);
    Py_INCREF(self); /* application code may let go of it */
    if (wf_likely(encode_root(&t, (struct wf_shape *)self, obj, 0) == WF_WALK_OK)) {
        if (wf_likely(indent < 0)) {
            result = wf_json_close_bytes(&t.e.to_bytes);
            Py_DECREF(self);
            return result;
        }
        result = wf_json_indented(
            t.e.s, wf_span(t.e.out.start, (size_t)(t.e.out.p - t.e.out.start)), (unsigned)indent);
    }
    Py_XDECREF(t.e.to_bytes.bytes);
    Py_DECREF(self);
    return result;
}

PyObject *shape_encode_json(PyObject *self, PyObject *obj) {
    return encode_to_bytes(self, obj, -1);
}

static bool put_around(struct typed *t, PyObject *bytes) {
    char *d =
        put_bytes(&t->e, t->e.out.p, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    if (d != NULL) {
        t->e.out.p = d;
    }
    return d != NULL;
}

/* (obj, flags[, before, after]): the JSON of what obj is validated to, between these bytes; None where
 * that is not proved. */
PyObject *shape_judge_json(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    char first[WF_JSON_FIRST_BYTES];
    struct typed t;
    const bool around = nargs == 4 && PyBytes_Check(args[2]) && PyBytes_Check(args[3]);
    long flags = nargs == 2 || around ? PyLong_AsLong(args[1]) : -1;
    if (flags < 0 || flags >= WF_OUTPUT_JUDGED) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError,
                            "judge_json() takes an object, flags, and bytes around it");
        }
        return NULL;
    }
    wf_json_open_bytes(&t.e.to_bytes, &((struct wf_shape *)self)->state->json, first);
    Py_INCREF(self);
    enum wf_walk_result result = WF_WALK_FAILED;
    if (!around || put_around(&t, args[2])) {
        result =
            encode_root(&t, (struct wf_shape *)self, args[0], (unsigned)flags | WF_OUTPUT_JUDGED);
    }
    if (result == WF_WALK_OK && around) { /* a line of a stream */
        wf_json_one_line(&t.e, (size_t)PyBytes_GET_SIZE(args[2]));
        result = put_around(&t, args[3]) ? WF_WALK_OK : WF_WALK_FAILED;
    }
    PyObject *json = NULL;
    if (result == WF_WALK_OK) {
        json = wf_json_close_bytes(&t.e.to_bytes);
    } else {
        Py_XDECREF(t.e.to_bytes.bytes);
        json = result == WF_WALK_INVALID ? Py_NewRef(Py_None) : NULL;
    }
    Py_DECREF(self);
    return json;
}

PyObject *shape_encode_json_indented(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    int indent = -1;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "encode_json_indented() takes an object and an indent");
        return NULL;
    }
    return wf_json_read_indent(args[1], &indent) < 0 ? NULL
                                                     : encode_to_bytes(self, args[0], indent);
}

PyObject *shape_encode_json_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs < 2 || nargs > 3) {
        PyErr_Format(PyExc_TypeError, "encode_into() takes 2 or 3 arguments, %zd were given",
                     nargs);
        return NULL;
    }
    if (!PyByteArray_Check(args[1])) {
        PyErr_Format(PyExc_TypeError, "encode_into() writes into a bytearray, not %.100s",
                     Py_TYPE(args[1])->tp_name);
        return NULL;
    }
    char first[WF_JSON_FIRST_BYTES];
    struct typed t;
    PyObject *result = NULL;
    wf_json_open_bytes(&t.e.to_bytes, &((struct wf_shape *)self)->state->json, first);
    Py_INCREF(self);
    if (encode_root(&t, (struct wf_shape *)self, args[0], 0) == WF_WALK_OK) {
        result = wf_json_into_buffer(&t.e.out, args[1], nargs == 3 ? args[2] : NULL);
    }
    Py_XDECREF(t.e.to_bytes.bytes);
    Py_DECREF(self);
    return result;
}

PyObject *shape_encode_json_lines(PyObject *self, PyObject *items) {
    PyObject *it = PyObject_GetIter(items), *item;
    if (it == NULL) {
        return NULL;
    }
    char first[WF_JSON_FIRST_BYTES];
    struct typed t;
    wf_json_open_bytes(&t.e.to_bytes, &((struct wf_shape *)self)->state->json, first);
    Py_INCREF(self);
    while ((item = PyIter_Next(it)) != NULL) {
        const size_t from = mark(&t, t.e.out.p);
        enum wf_walk_result result = encode_root(&t, (struct wf_shape *)self, item, 0);
        Py_DECREF(item);
        if (result != WF_WALK_OK) {
            break;
        }
        wf_json_one_line(&t.e, from);
        *t.e.out.p++ = '\n'; /* in the slack */
    }
    Py_DECREF(it);
    Py_DECREF(self);
    if (PyErr_Occurred()) {
        Py_XDECREF(t.e.to_bytes.bytes);
        return NULL;
    }
    return wf_json_close_bytes(&t.e.to_bytes);
}

/* The value of the keyword `name`, or NULL. */
static PyObject *keyword(PyObject *kwnames, PyObject *const *values, const char *name) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kwnames); i++) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, i), name) == 0) {
            return values[i];
        }
    }
    return NULL;
}

/* The shape of a type that is written with a `default`, which is not kept. */
static PyObject *output_with_fallback(PyObject *type, PyObject *fallback) {
    PyObject *make = shape_import("weft.shapes.compiled", "output_of");
    PyObject *shape =
        make != NULL ? PyObject_CallFunctionObjArgs(make, type, fallback, NULL) : NULL;
    Py_XDECREF(make);
    return shape;
}

/* json_encode(obj, /, *, type, default, indent): without a type, or with None, it is py/json's. */
PyObject *shape_py_json_encode(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames) {
    PyObject *type = kwnames != NULL ? keyword(kwnames, args + nargs, "type") : NULL;
    if (wf_likely(type == NULL || type == Py_None)) {
        return wf_json_py_encode(module, args, nargs, kwnames);
    }
    PyObject *indent = keyword(kwnames, args + nargs, "indent");
    PyObject *fallback = keyword(kwnames, args + nargs, "default");
    int spaces = -1;
    if (nargs != 1) {
        PyErr_Format(PyExc_TypeError, "encode() takes one positional argument, %zd were given",
                     nargs);
        return NULL;
    }
    if (PyTuple_GET_SIZE(kwnames) != 1 + (indent != NULL) + (fallback != NULL)) {
        PyErr_SetString(PyExc_TypeError,
                        "with a type, encode() takes no other argument but default and indent");
        return NULL;
    }
    if (indent != NULL && wf_json_read_indent(indent, &spaces) < 0) {
        return NULL;
    }
    PyObject *shape = fallback == NULL || fallback == Py_None
                          ? wf_shape_find_output(wf_state_of_module(module), type)
                          : output_with_fallback(type, fallback);
    PyObject *result = shape != NULL ? encode_to_bytes(shape, args[0], spaces) : NULL;
    Py_XDECREF(shape);
    return result;
}
