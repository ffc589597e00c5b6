/* What weft.json offers of encoding: into bytes, into a bytearray, indented, by lines. */
#include "py/json/encode_int.h"

enum { FIRST_BYTES = 1024, INDENT_MAX = 16 };

/* The keywords of a call. */
struct options {
    PyObject *fallback; /* borrowed from the caller, or NULL */
    int indent;         /* spaces a level, -1 for none */
    bool sort_keys;
};

static int bytes_grow(struct wf_json_out *o, size_t extra) {
    struct bytes_out *self = wf_container_of(o, struct bytes_out, out);
    size_t used = (size_t)(o->p - o->start), cap = (size_t)(o->end - o->start);
    if (extra > (size_t)PY_SSIZE_T_MAX / 2 - used) {
        return WF_BUF_NOMEM;
    }
    cap = WF_MAX(cap * 2, used + extra);
    if (self->bytes == NULL) {
        self->bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)cap);
        if (self->bytes != NULL) {
            memcpy(PyBytes_AS_STRING(self->bytes), o->start, used);
        }
    } else if (_PyBytes_Resize(&self->bytes, (Py_ssize_t)cap) < 0) {
        return WF_BUF_NOMEM; /* bytes is NULL now */
    }
    if (self->bytes == NULL) {
        return WF_BUF_NOMEM;
    }
    o->start = PyBytes_AS_STRING(self->bytes);
    o->p = o->start + used;
    o->end = o->start + cap;
    return WF_BUF_OK;
}

/* first  FIRST_BYTES of the caller's, which short JSON does not leave */
static void open_bytes(struct bytes_out *o, char *first) {
    *o = (struct bytes_out){
        .out = {.start = first, .p = first, .end = first + FIRST_BYTES, .grow = bytes_grow}};
}

/* What was written, as bytes; the bytes_out is over. */
static PyObject *close_bytes(struct bytes_out *o) {
    Py_ssize_t n = o->out.p - o->out.start;
    if (o->bytes == NULL) {
        return PyBytes_FromStringAndSize(o->out.start, n);
    }
    _PyBytes_Resize(&o->bytes, n); /* NULL with MemoryError where it fails */
    return o->bytes;
}

static PyObject *indented(struct wf_span json, unsigned spaces) {
    char first[FIRST_BYTES];
    struct bytes_out o;
    open_bytes(&o, first);
    if (wf_json_indent(json, spaces, &o.out) != WF_BUF_OK) {
        Py_XDECREF(o.bytes);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    return close_bytes(&o);
}

static inline struct encoder open_encoder(PyObject *module, const struct options *options,
                                          char *first) {
    struct encoder e = {.s = &wf_state_of_module(module)->json,
                        .fallback = options->fallback,
                        .sort_keys = options->sort_keys};
    open_bytes(&e.to_bytes, first);
    return e;
}

static PyObject *encode_to_bytes(PyObject *module, PyObject *obj, const struct options *options) {
    char first[FIRST_BYTES];
    struct encoder e = open_encoder(module, options, first);
    if (wf_json_encode_all(&e, obj) < 0) {
        Py_XDECREF(e.to_bytes.bytes);
        return NULL;
    }
    if (wf_unlikely(options->indent >= 0)) {
        struct wf_span json = wf_span(e.out.start, (size_t)(e.out.p - e.out.start));
        PyObject *result = indented(json, (unsigned)options->indent);
        Py_XDECREF(e.to_bytes.bytes);
        return result;
    }
    return close_bytes(&e.to_bytes);
}

static int read_indent(PyObject *value, int *indent) {
    if (value == Py_None) {
        return 0;
    }
    long n = PyLong_Check(value) ? PyLong_AsLong(value) : -1;
    if (n < 0 || n > INDENT_MAX) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "indent must be None or an int from 0 to %d, not %R",
                     INDENT_MAX, value);
        return -1;
    }
    *indent = (int)n;
    return 0;
}

/* Reads the keywords. kwnames  borrowed, or NULL; values their values */
static int read_options(const char *function, PyObject *kwnames, PyObject *const *values,
                        bool with_indent, struct options *out) {
    *out = (struct options){.indent = -1};
    Py_ssize_t named = kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_CompareWithASCIIString(name, "default") == 0) {
            out->fallback = values[i] != Py_None ? values[i] : NULL;
        } else if (PyUnicode_CompareWithASCIIString(name, "sort_keys") == 0) {
            int truth = PyObject_IsTrue(values[i]);
            if (truth < 0) {
                return -1;
            }
            out->sort_keys = truth;
        } else if (with_indent && PyUnicode_CompareWithASCIIString(name, "indent") == 0) {
            if (read_indent(values[i], &out->indent) < 0) {
                return -1;
            }
        } else {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", function,
                         name);
            return -1;
        }
    }
    return 0;
}

static int count_positional(const char *function, Py_ssize_t nargs, Py_ssize_t min,
                            Py_ssize_t max) {
    if (nargs >= min && nargs <= max) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "%s() takes %zd%s positional argument%s but %zd were given",
                 function, min, max > min ? " or more" : "", min == 1 ? "" : "s", nargs);
    return -1;
}

PyObject *wf_json_py_encode(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames) {
    struct options options;
    if (count_positional("encode", nargs, 1, 1) < 0 ||
        read_options("encode", kwnames, args + nargs, true, &options) < 0) {
        return NULL;
    }
    return encode_to_bytes(module, args[0], &options);
}

/* It is written elsewhere first: encoding may run Python code, which could resize the buffer. */
PyObject *wf_json_py_encode_into(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames) {
    struct options options;
    if (count_positional("encode_into", nargs, 2, 3) < 0 ||
        read_options("encode_into", kwnames, args + nargs, false, &options) < 0) {
        return NULL;
    }
    PyObject *buffer = args[1];
    Py_ssize_t offset = 0;
    if (!PyByteArray_Check(buffer)) {
        PyErr_Format(PyExc_TypeError, "encode_into() writes into a bytearray, not %.100s",
                     Py_TYPE(buffer)->tp_name);
        return NULL;
    }
    if (nargs == 3 && (offset = PyNumber_AsSsize_t(args[2], PyExc_OverflowError)) == -1 &&
        PyErr_Occurred()) {
        return NULL;
    }
    char first[FIRST_BYTES];
    struct encoder e = open_encoder(module, &options, first);
    PyObject *result = NULL;
    if (wf_json_encode_all(&e, args[0]) == 0) {
        Py_ssize_t n = e.out.p - e.out.start, len = PyByteArray_GET_SIZE(buffer);
        if (offset == -1) {
            offset = len;
        }
        if (offset < 0 || offset > len) {
            PyErr_Format(PyExc_ValueError, "offset %zd is not inside the buffer of %zd bytes",
                         offset, len);
        } else if (PyByteArray_Resize(buffer, offset + n) == 0) {
            memcpy(PyByteArray_AS_STRING(buffer) + offset, e.out.start, (size_t)n);
            result = Py_NewRef(Py_None);
        }
    }
    Py_XDECREF(e.to_bytes.bytes);
    return result;
}

PyObject *wf_json_py_encode_lines(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *kwnames) {
    struct options options;
    if (count_positional("encode_lines", nargs, 1, 1) < 0 ||
        read_options("encode_lines", kwnames, args + nargs, false, &options) < 0) {
        return NULL;
    }
    PyObject *it = PyObject_GetIter(args[0]), *item;
    if (it == NULL) {
        return NULL;
    }
    char first[FIRST_BYTES];
    struct encoder e = open_encoder(module, &options, first);
    while ((item = PyIter_Next(it)) != NULL) {
        int rc = wf_json_encode_all(&e, item);
        Py_DECREF(item);
        if (rc < 0) {
            break;
        }
        *e.out.p++ = '\n'; /* in the slack */
    }
    Py_DECREF(it);
    if (PyErr_Occurred()) {
        Py_XDECREF(e.to_bytes.bytes);
        return NULL;
    }
    return close_bytes(&e.to_bytes);
}
