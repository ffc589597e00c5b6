/* weft.json.Raw: JSON that is written as it stands, and a part of a document that is not decoded.
 *
 * It is checked when it is made, so that what is written around it stays JSON. The bytes are its
 * own, or those it was made of where nobody can change them; never a part of a larger document. */
#include "py/json/encode_write.h"

struct raw {
    PyObject_HEAD
    PyObject *bytes; /* owned: exactly bytes */
};

static PyObject *bytes_of(PyObject *self) {
    return ((struct raw *)self)->bytes;
}

static struct wf_span span_of(PyObject *bytes) {
    return wf_span(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
}

/* ---- making one ---- */

/* bytes  stolen, or NULL with an exception */
static PyObject *make(PyTypeObject *type, PyObject *bytes) {
    PyObject *self = bytes != NULL ? type->tp_alloc(type, 0) : NULL;
    if (self == NULL) {
        Py_XDECREF(bytes);
        return NULL;
    }
    ((struct raw *)self)->bytes = bytes;
    return self;
}

PyObject *wf_json_make_raw(struct wf_json_state *s, PyObject *type, struct wf_span json) {
    PyObject *bytes = PyBytes_FromStringAndSize(json.p, (Py_ssize_t)json.n);
    if (bytes == NULL || type == (PyObject *)s->raw_type) {
        return bytes != NULL ? make(s->raw_type, bytes) : NULL;
    }
    PyObject *made = PyObject_CallOneArg(type, bytes); /* msgspec.Raw */
    Py_DECREF(bytes);
    return made;
}

/* What a caller gives as JSON, as bytes: owned; NULL with an exception. */
static PyObject *read_bytes(PyObject *data) {
    if (PyBytes_CheckExact(data)) {
        return Py_NewRef(data);
    }
    if (PyUnicode_Check(data)) {
        return PyUnicode_AsUTF8String(data);
    }
    if (!PyObject_CheckBuffer(data)) {
        PyErr_Format(PyExc_TypeError, "JSON must be bytes, a buffer or str, not %.100s",
                     Py_TYPE(data)->tp_name);
        return NULL;
    }
    return PyBytes_FromObject(data);
}

static PyObject *raw_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"", NULL};
    PyObject *data;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Raw", names, &data)) {
        return NULL;
    }
    struct wf_state *state = wf_state_of_type(type);
    if (Py_IS_TYPE(data, type)) {
        return Py_NewRef(data);
    }
    PyObject *bytes = state != NULL ? read_bytes(data) : NULL;
    if (bytes == NULL) {
        if (state != NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            PyErr_Clear(); /* a lone surrogate; the decoder knows how to say so */
            Py_XDECREF(wf_json_decode_object(state, data));
        }
        return NULL;
    }
    size_t at;
    enum wf_json_error e = wf_json_validate(span_of(bytes), WF_JSON_DEPTH_MAX, &at);
    if (e != WF_JSON_OK) {
        wf_json_raise(&state->json, wf_json_error_text(e), bytes, (Py_ssize_t)at, span_of(bytes),
                      at);
        Py_DECREF(bytes);
        return NULL;
    }
    return make(type, bytes);
}

static void raw_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(bytes_of(self));
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- writing it ---- */

static char *put(struct encoder *e, char *d, PyObject *bytes) {
    e->has_raw = true;
    return put_bytes(e, d, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
}

/* A msgspec.Raw, which may be anything. */
static char *put_foreign(struct encoder *e, char *d, PyObject *o) {
    PyObject *bytes = read_bytes(o);
    if (bytes == NULL) {
        return NULL;
    }
    size_t at;
    enum wf_json_error error = wf_json_validate(span_of(bytes), WF_JSON_DEPTH_MAX, &at);
    if (error == WF_JSON_OK) {
        d = put(e, d, bytes);
    } else {
        PyErr_Format(e->s->encode_error, "a %.100s that is not JSON: %s at byte %zu",
                     Py_TYPE(o)->tp_name, wf_json_error_text(error), at);
        d = NULL;
    }
    Py_DECREF(bytes);
    return d;
}

char *wf_json_put_raw(struct encoder *e, char *d, PyObject *o) {
    if (e->fallback_off) { /* white space in front of it would hide what it is */
        PyErr_Format(e->s->encode_error, "keys of type %.200s have no JSON form",
                     Py_TYPE(o)->tp_name);
        return NULL;
    }
    return Py_IS_TYPE(o, e->s->raw_type) ? put(e, d, bytes_of(o)) : put_foreign(e, d, o);
}

void wf_json_one_line(struct encoder *e, size_t from) {
    if (wf_likely(!e->has_raw)) {
        return;
    }
    for (char *p = e->out.start + from; p < e->out.p; p++) {
        if (*p == '\n' || *p == '\r') {
            *p = ' ';
        }
    }
    e->has_raw = false;
}

/* ---- the type ---- */

static PyObject *raw_bytes(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_NewRef(bytes_of(self));
}

static PyObject *raw_reduce(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_BuildValue("(O(O))", (PyObject *)Py_TYPE(self), bytes_of(self));
}

static PyObject *raw_repr(PyObject *self) {
    return PyUnicode_FromFormat("Raw(%R)", bytes_of(self));
}

static Py_hash_t raw_hash(PyObject *self) {
    return PyObject_Hash(bytes_of(self));
}

static PyObject *raw_compare(PyObject *self, PyObject *other, int op) {
    if (!Py_IS_TYPE(other, Py_TYPE(self)) || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    return PyObject_RichCompare(bytes_of(self), bytes_of(other), op);
}

static Py_ssize_t raw_length(PyObject *self) {
    return PyBytes_GET_SIZE(bytes_of(self));
}

/* That of the bytes, which outlive it while the view is there. */
static int raw_getbuffer(PyObject *self, Py_buffer *view, int flags) {
    return PyObject_GetBuffer(bytes_of(self), view, flags);
}

PyDoc_STRVAR(
    raw_doc,
    "Raw(data, /)\n--\n\n"
    "JSON that is encoded already: encode() writes it as it stands, white space included.\n\n"
    "data is bytes, a buffer or a str, copied unless it is bytes, and has to be one JSON value\n"
    "(RFC 8259), or DecodeError is raised. As a type, Raw reads any value and keeps its bytes,\n"
    "checked but not decoded: decode(raw, type=T) does that when it is wanted. bytes(raw) and\n"
    "memoryview(raw) give the JSON. Equal are those of the same bytes.");

static PyMethodDef raw_methods[] = {
    {"__bytes__", raw_bytes, METH_NOARGS, NULL},
    {"__reduce__", raw_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot raw_slots[] = {
    {Py_tp_doc, (void *)raw_doc},     {Py_tp_new, raw_new},
    {Py_tp_dealloc, raw_dealloc},     {Py_tp_methods, raw_methods},
    {Py_tp_repr, raw_repr},           {Py_tp_hash, raw_hash},
    {Py_tp_richcompare, raw_compare}, {Py_sq_length, raw_length},
    {Py_bf_getbuffer, raw_getbuffer}, {0, NULL},
};

static PyType_Spec raw_spec = {
    .name = "weft.json.Raw",
    .basicsize = sizeof(struct raw),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = raw_slots,
};

PyTypeObject *wf_json_make_raw_type(PyObject *module) {
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &raw_spec, NULL);
}
