/* The room's state, its exceptions and what the module offers of it. */
#include "py/bson/bson_int.h"

#include "py/bson/shapes.h"
#include "wire/bson/bson_read.h"
#include "wire/bson/bson_write.h"

/* ---- errors ---- */

/* "users[3].name"; empty for the document itself. Owned, or NULL with an exception. */
static PyObject *path_of(const struct place *at) {
    const struct place *places[WF_BSON_DEPTH_MAX + 1];
    size_t n = 0;
    for (; at != NULL && n < WF_ARRAY_LEN(places); at = at->up) {
        places[n++] = at;
    }
    PyObject *path = PyUnicode_New(0, 127);
    while (path != NULL && n > 0) {
        const struct place *p = places[--n];
        PyObject *part;
        if (p->name.p == NULL) {
            part = PyUnicode_FromFormat("[%zd]", p->index);
        } else {
            part = PyUnicode_DecodeUTF8(p->name.p, (Py_ssize_t)p->name.n, "replace");
            if (part != NULL && PyUnicode_GET_LENGTH(path) != 0) {
                Py_SETREF(part, PyUnicode_FromFormat(".%U", part));
            }
        }
        PyUnicode_AppendAndDel(&path, part); /* NULL in, NULL out */
    }
    return path;
}

/* exc.name = value, which is stolen and may be NULL with an exception. 0 or -1. */
static int set_stolen(PyObject *exc, PyObject *name, PyObject *value) {
    int rc = value != NULL ? PyObject_SetAttr(exc, name, value) : -1;
    Py_XDECREF(value);
    return rc;
}

/* message and path stolen, either may be NULL with an exception; returns the exception, owned, or
 * NULL with another that is set */
static PyObject *make_error(struct wf_bson_state *s, PyObject *cls, PyObject *message,
                            PyObject *path, PyObject *cause) {
    PyObject *exc = NULL;
    if (message != NULL && path != NULL) {
        exc = PyObject_CallOneArg(cls, message);
    }
    if (exc != NULL && PyObject_SetAttr(exc, s->names[NAME_path], path) < 0) {
        Py_CLEAR(exc);
    }
    Py_XDECREF(message);
    Py_XDECREF(path);
    if (exc != NULL && cause != NULL) {
        PyException_SetCause(exc, cause); /* stolen */
    } else {
        Py_XDECREF(cause);
    }
    return exc;
}

void wf_bson_raise_encode(struct wf_bson_state *s, const struct place *at, const char *format,
                          ...) {
    PyObject *cause = wf_err_take();
    va_list args;
    va_start(args, format);
    PyObject *message = PyUnicode_FromFormatV(format, args);
    va_end(args);
    PyObject *path = path_of(at);
    if (message != NULL && path != NULL && PyUnicode_GET_LENGTH(path) != 0) {
        Py_SETREF(message, PyUnicode_FromFormat("%U: at %U", message, path));
    }
    PyObject *exc = make_error(s, s->encode_error, message, path, cause);
    if (exc != NULL) {
        wf_err_put(exc);
    }
}

void wf_bson_raise_decode(struct wf_bson_state *s, const struct place *at, size_t pos,
                          const char *msg) {
    PyObject *cause = wf_err_take();
    PyObject *path = path_of(at);
    if (path == NULL) {
        Py_XDECREF(cause);
        return;
    }
    if (cause != NULL) {
        wf_err_put(cause);
    }
    wf_bson_raise_decode_at(s, path, pos, msg);
}

void wf_bson_raise_decode_at(struct wf_bson_state *s, PyObject *path, size_t pos, const char *msg) {
    PyObject *cause = wf_err_take(), *message = NULL;
    if (path != NULL) {
        message = PyUnicode_GET_LENGTH(path) != 0
                      ? PyUnicode_FromFormat("%s: byte %zu, at %U", msg, pos, path)
                      : PyUnicode_FromFormat("%s: byte %zu", msg, pos);
    }
    PyObject *exc = make_error(s, s->decode_error, message, path, cause);
    if (exc != NULL && (set_stolen(exc, s->names[NAME_msg], PyUnicode_FromString(msg)) < 0 ||
                        set_stolen(exc, s->names[NAME_pos], PyLong_FromSize_t(pos)) < 0)) {
        Py_CLEAR(exc);
    }
    if (exc != NULL) {
        wf_err_put(exc);
    }
}

/* ---- objects of documents ---- */

static PyObject *decode(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames) {
    struct wf_state *state = wf_state_of_module(module);
    struct wf_bson_state *s = &state->bson;
    struct wf_bson_arguments a;
    struct wf_bson_options store, *options;
    struct wf_input in;
    if (wf_bson_arguments("decode", args, nargs, kwnames, &a) < 0 ||
        wf_bson_options_open(s, a.options, &store, &options) < 0) {
        return NULL;
    }
    PyObject *document = NULL, *shape = NULL;
    if ((a.type == NULL || (shape = wf_shape_find(state, a.type)) != NULL) &&
        wf_bson_input_open(&in, a.data) == 0) {
        document = shape == NULL
                       ? wf_bson_decode(s, options, in.span, 0)
                       : wf_bson_decode_shape(state, (struct wf_shape *)shape, options, in.span, 0);
        wf_input_close(&in);
    }
    Py_XDECREF(shape);
    wf_bson_options_close(options);
    return document;
}

/* ---- without objects ---- */

static PyObject *validate(PyObject *module, PyObject *data) {
    struct wf_bson_state *s = &wf_state_of_module(module)->bson;
    struct wf_input in;
    if (wf_bson_input_open(&in, data) < 0) {
        return NULL;
    }
    size_t at;
    enum wf_bson_error e = wf_bson_validate(in.span, &at);
    wf_input_close(&in);
    if (e != WF_BSON_OK) {
        wf_bson_raise_decode(s, NULL, at, wf_bson_error_text(e));
        return NULL;
    }
    Py_RETURN_NONE;
}

/* What a conversion made, or its exception; frees the buffer. */
static PyObject *converted(struct wf_bson_state *s, struct wf_buf *out, enum wf_bson_error e,
                           size_t at, enum wf_json_error json) {
    PyObject *bytes = NULL;
    if (e == WF_BSON_OK) {
        bytes = PyBytes_FromStringAndSize(out->p, (Py_ssize_t)out->len);
    } else if (e == WF_BSON_ERROR_NOMEM) {
        PyErr_NoMemory();
    } else {
        wf_bson_raise_decode(s, NULL, at,
                             e == WF_BSON_ERROR_JSON ? wf_json_error_text(json)
                                                     : wf_bson_error_text(e));
    }
    wf_buf_free(out);
    return bytes;
}

static PyObject *to_json_of_type(struct wf_state *state, PyObject *raw, PyObject *type,
                                 bool canonical) {
    struct wf_input in;
    if (canonical) {
        PyErr_SetString(PyExc_TypeError, "canonical is for Extended JSON, which a type has not");
        return NULL;
    }
    PyObject *shape = wf_shape_find(state, type), *bytes = NULL;
    if (shape != NULL && wf_bson_input_open(&in, raw) == 0) {
        struct wf_buf out;
        wf_buf_init(&out, PY_SSIZE_T_MAX / 2);
        if (wf_bson_shape_to_json(state, (struct wf_shape *)shape, type, in.span, &out) == 0) {
            bytes = PyBytes_FromStringAndSize(out.p, (Py_ssize_t)out.len);
        }
        wf_buf_free(&out);
        wf_input_close(&in);
    }
    Py_XDECREF(shape);
    return bytes;
}

static PyObject *to_json(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"", "canonical", "type", NULL};
    struct wf_state *state = wf_state_of_module(module);
    struct wf_bson_state *s = &state->bson;
    PyObject *raw, *type = NULL;
    int canonical = 0;
    struct wf_input in;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$pO:to_json", keywords, &raw, &canonical,
                                     &type)) {
        return NULL;
    }
    if (type != NULL && type != Py_None) {
        return to_json_of_type(state, raw, type, canonical);
    }
    if (wf_bson_input_open(&in, raw) < 0) {
        return NULL;
    }
    struct wf_buf out;
    size_t at;
    wf_buf_init(&out, PY_SSIZE_T_MAX / 2);
    enum wf_bson_error e =
        wf_bson_to_json(in.span, canonical ? WF_BSON_CANONICAL : WF_BSON_RELAXED, &out, &at);
    wf_input_close(&in);
    return converted(s, &out, e, at, WF_JSON_OK);
}

static PyObject *from_json(PyObject *module, PyObject *data) {
    struct wf_bson_state *s = &wf_state_of_module(module)->bson;
    struct wf_input in;
    PyObject *utf8 = NULL; /* owned */
    if (PyUnicode_Check(data)) {
        data = utf8 = PyUnicode_AsUTF8String(data);
        if (data == NULL) {
            if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
                wf_bson_raise_decode(s, NULL, 0, wf_json_error_text(WF_JSON_SURROGATE));
            }
            return NULL;
        }
    }
    if (wf_bson_input_open(&in, data) < 0) {
        Py_XDECREF(utf8);
        return NULL;
    }
    struct wf_buf out;
    size_t at;
    enum wf_json_error json;
    wf_buf_init(&out, WF_BSON_BYTES_MAX);
    enum wf_bson_error e = wf_bson_from_json(in.span, &out, &at, &json);
    wf_input_close(&in);
    Py_XDECREF(utf8);
    return converted(s, &out, e, at, json);
}

/* The 16 bytes of a decimal: for our own Decimal128. */
static PyObject *decimal128_read(PyObject *module, PyObject *text) {
    static const char *const messages[] = {NULL, "not a decimal", "more digits than decimal128 has",
                                           "beyond the range of decimal128"};
    Py_ssize_t n;
    const char *p = PyUnicode_AsUTF8AndSize(text, &n);
    if (p == NULL) {
        return NULL;
    }
    struct wf_decimal128 v;
    enum wf_decimal128_error e = wf_decimal128_read(wf_span(p, (size_t)n), &v);
    if (e != WF_DECIMAL128_OK) {
        PyErr_Format(PyExc_ValueError, "%s: %R", messages[e], text);
        return NULL;
    }
    char bid[16];
    wf_bson_store64(bid, v.low);
    wf_bson_store64(bid + 8, v.high);
    return PyBytes_FromStringAndSize(bid, 16);
}

static PyObject *decimal128_write(PyObject *module, PyObject *bid) {
    if (!PyBytes_Check(bid) || PyBytes_GET_SIZE(bid) != 16) {
        PyErr_SetString(PyExc_ValueError, "expected 16 bytes");
        return NULL;
    }
    const char *p = PyBytes_AS_STRING(bid);
    char text[WF_DECIMAL128_CHARS_MAX];
    size_t n =
        wf_decimal128_write(text, (struct wf_decimal128){wf_bson_load64(p), wf_bson_load64(p + 8)});
    return PyUnicode_FromStringAndSize(text, (Py_ssize_t)n);
}

/* ---- the room ---- */

PyDoc_STRVAR(encode_doc,
             "bson_encode($module, document, /, *, type=None, codec_options=None)\n--\n\n"
             "The BSON of a mapping, or of a value of a type, as decode(type=...) reads it.\n\n"
             "Raises EncodeError, a TypeError and ValueError that knows the path.");
PyDoc_STRVAR(decode_doc, "bson_decode($module, data, /, *, type=None, codec_options=None)\n--\n\n"
                         "The dict of one BSON document, or the value of a type.\n\n"
                         "Raises DecodeError, a ValueError that knows where.");
PyDoc_STRVAR(iter_doc,
             "bson_iter($module, batch, /, *, type=None, codec_options=None)\n--\n\n"
             "The dicts, or values of a type, of BSON documents that follow one another, each made "
             "when asked for.\n\n"
             "The batch is not copied and stays exported until the end, which is also after a\n"
             "DecodeError, whose position is in the batch.");
PyDoc_STRVAR(validate_doc, "bson_validate($module, data, /)\n--\n\n"
                           "Raises DecodeError where data is not one BSON document.");
PyDoc_STRVAR(to_json_doc,
             "bson_to_json($module, raw, /, *, canonical=False, type=None)\n--\n\n"
             "The Extended JSON of one BSON document, without making its objects.\n\n"
             "With a type the JSON that weft.json.encode(type=...) makes of its value, of\n"
             "pydantic's by alias.");
PyDoc_STRVAR(from_json_doc, "bson_from_json($module, data, /)\n--\n\n"
                            "The BSON of an Extended JSON document, without making its objects.");

static PyMethodDef functions[] = {
    {"bson_encode", (PyCFunction)(void (*)(void))wf_bson_py_encode, METH_FASTCALL | METH_KEYWORDS,
     encode_doc},
    {"bson_decode", (PyCFunction)(void (*)(void))decode, METH_FASTCALL | METH_KEYWORDS, decode_doc},
    {"bson_iter", (PyCFunction)(void (*)(void))wf_bson_py_iter, METH_FASTCALL | METH_KEYWORDS,
     iter_doc},
    {"bson_validate", validate, METH_O, validate_doc},
    {"bson_to_json", (PyCFunction)(void (*)(void))to_json, METH_VARARGS | METH_KEYWORDS,
     to_json_doc},
    {"bson_from_json", from_json, METH_O, from_json_doc},
    {"_decimal128_read", decimal128_read, METH_O, NULL},
    {"_decimal128_write", decimal128_write, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

int wf_bson_exec(PyObject *module, struct wf_state *state) {
    static const char *const texts[] = {
#define X(n) #n,
        WF_BSON_NAMES(X)
#undef X
#define X(n, text) text,
            WF_BSON_DOLLAR_NAMES(X)
#undef X
    };
    struct wf_bson_state *s = &state->bson;
    for (size_t i = 0; i < NAME_COUNT; i++) {
        s->names[i] = PyUnicode_InternFromString(texts[i]);
        if (s->names[i] == NULL) {
            return -1;
        }
    }
    PyObject *bases = PyTuple_Pack(2, PyExc_TypeError, PyExc_ValueError);
    if (bases == NULL) {
        return -1;
    }
    s->encode_error = PyErr_NewExceptionWithDoc(
        "weft.bson.EncodeError", "An object that has no BSON form, and its path in the document.",
        bases, NULL);
    Py_DECREF(bases);
    s->decode_error = PyErr_NewExceptionWithDoc("weft.bson.DecodeError",
                                                "Bytes that are not BSON, or text that is not "
                                                "Extended JSON: msg, the offset pos, the path.",
                                                PyExc_ValueError, NULL);
    if (s->encode_error == NULL || s->decode_error == NULL ||
        PyModule_AddObjectRef(module, "BSONEncodeError", s->encode_error) < 0 ||
        PyModule_AddObjectRef(module, "BSONDecodeError", s->decode_error) < 0) {
        return -1;
    }
    s->iterator_type = PyType_FromModuleAndSpec(module, &wf_bson_iterator_spec, NULL);
    return s->iterator_type != NULL ? PyModule_AddFunctions(module, functions) : -1;
}

int wf_bson_traverse(struct wf_bson_state *s, visitproc visit, void *arg) {
    Py_VISIT(s->encode_error);
    Py_VISIT(s->decode_error);
    Py_VISIT(s->iterator_type);
    for (size_t i = 0; i < WF_BSON_CLASS_COUNT; i++) {
        Py_VISIT(s->classes[i]);
    }
    Py_VISIT(s->pattern);
    Py_VISIT(s->mapping);
    Py_VISIT(s->uuid);
    return 0; /* names and keys are strings: no cycle goes through them */
}

void wf_bson_clear(struct wf_bson_state *s) {
    Py_CLEAR(s->encode_error);
    Py_CLEAR(s->decode_error);
    Py_CLEAR(s->iterator_type);
    for (size_t i = 0; i < WF_ARRAY_LEN(s->names); i++) {
        Py_CLEAR(s->names[i]);
    }
    for (size_t i = 0; i < WF_BSON_CLASS_COUNT; i++) {
        Py_CLEAR(s->classes[i]);
    }
    Py_CLEAR(s->pattern);
    Py_CLEAR(s->mapping);
    Py_CLEAR(s->uuid);
    for (size_t i = 0; i < WF_BSON_KEYS; i++) {
        Py_CLEAR(s->keys[i]);
    }
}
