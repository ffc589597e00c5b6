/* What weft.json offers of encoding: into bytes, into a bytearray, indented, by lines. */
#include "py/json/encode_int.h"

enum {
    INDENT_MAX = 16,
    LONG_BYTES = 128 << 10, /* from which glibc's malloc maps memory */
    GUESS_MAX = 16          /* times what is needed: all of it may not be there, or not be needed */
};

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
    size_t last = self->s->long_bytes;
    if (cap > LONG_BYTES / 2 && cap < last) { /* it will be about as long as the last one */
        cap = WF_MIN(last + last / 16, cap * GUESS_MAX);
    }
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

void wf_json_open_bytes(struct bytes_out *o, struct wf_json_state *s, char *first) {
    *o = (struct bytes_out){
        .out = {.start = first, .p = first, .end = first + WF_JSON_FIRST_BYTES, .grow = bytes_grow},
        .s = s};
}

/* Long JSON is copied rather than shrunk: where malloc has mapped memory for it, freeing what was
 * shrunk would not teach it to keep as much the next time, and each page would be faulted in anew. */
static PyObject *copy_bytes(struct bytes_out *o, Py_ssize_t n) {
    PyObject *copy = PyBytes_FromStringAndSize(o->out.start, n);
    Py_CLEAR(o->bytes);
    return copy;
}

PyObject *wf_json_close_bytes(struct bytes_out *o) {
    Py_ssize_t n = o->out.p - o->out.start;
    if (o->bytes == NULL) {
        return PyBytes_FromStringAndSize(o->out.start, n);
    }
    if (n >= LONG_BYTES / 2) {
        o->s->long_bytes = (size_t)n;
    }
    if (n >= LONG_BYTES && o->out.end - o->out.p > n / 8) {
        return copy_bytes(o, n);
    }
    _PyBytes_Resize(&o->bytes, n); /* NULL with MemoryError where it fails */
    return o->bytes;
}

PyObject *wf_json_indented(struct wf_json_state *s, struct wf_span json, unsigned spaces) {
    char first[WF_JSON_FIRST_BYTES];
    struct bytes_out o;
    wf_json_open_bytes(&o, s, first);
    if (wf_json_indent(json, spaces, &o.out) != WF_BUF_OK) {
        Py_XDECREF(o.bytes);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    return wf_json_close_bytes(&o);
}

static inline struct encoder open_encoder(PyObject *module, const struct options *options,
                                          char *first) {
    struct encoder e = {.s = &wf_state_of_module(module)->json,
                        .fallback = options->fallback,
                        .sort_keys = options->sort_keys};
    wf_json_open_bytes(&e.to_bytes, e.s, first);
    return e;
}

static PyObject *encode_to_bytes(PyObject *module, PyObject *obj, const struct options *options) {
    char first[WF_JSON_FIRST_BYTES];
    struct encoder e = open_encoder(module, options, first);
    if (wf_json_encode_all(&e, obj) < 0) {
        Py_XDECREF(e.to_bytes.bytes);
        return NULL;
    }
    if (wf_unlikely(options->indent >= 0)) {
        struct wf_span json = wf_span(e.out.start, (size_t)(e.out.p - e.out.start));
        PyObject *result = wf_json_indented(e.s, json, (unsigned)options->indent);
        Py_XDECREF(e.to_bytes.bytes);
        return result;
    }
    return wf_json_close_bytes(&e.to_bytes);
}

int wf_json_read_indent(PyObject *value, int *indent) {
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
            if (wf_json_read_indent(values[i], &out->indent) < 0) {
                return -1;
            }
        } else if (with_indent && values[i] == Py_None &&
                   PyUnicode_CompareWithASCIIString(name, "type") == 0) {
            continue; /* encode()'s: another than None is py/shape's */
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

/* It was written elsewhere first: encoding may run Python code, which could resize the buffer. */
PyObject *wf_json_into_buffer(const struct wf_json_out *o, PyObject *buffer, PyObject *offset) {
    Py_ssize_t at = 0, n = o->p - o->start;
    if (offset != NULL && (at = PyNumber_AsSsize_t(offset, PyExc_OverflowError)) == -1 &&
        PyErr_Occurred()) {
        return NULL;
    }
    Py_ssize_t len = PyByteArray_GET_SIZE(buffer);
    if (at == -1) {
        at = len;
    }
    if (at < 0 || at > len) {
        PyErr_Format(PyExc_ValueError, "offset %zd is not inside the buffer of %zd bytes", at, len);
        return NULL;
    }
    if (PyByteArray_Resize(buffer, at + n) < 0) {
        return NULL;
    }
    memcpy(PyByteArray_AS_STRING(buffer) + at, o->start, (size_t)n);
    return Py_NewRef(Py_None);
}

PyObject *wf_json_py_encode_into(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames) {
    struct options options;
    if (count_positional("encode_into", nargs, 2, 3) < 0 ||
        read_options("encode_into", kwnames, args + nargs, false, &options) < 0) {
        return NULL;
    }
    if (!PyByteArray_Check(args[1])) {
        PyErr_Format(PyExc_TypeError, "encode_into() writes into a bytearray, not %.100s",
                     Py_TYPE(args[1])->tp_name);
        return NULL;
    }
    char first[WF_JSON_FIRST_BYTES];
    struct encoder e = open_encoder(module, &options, first);
    PyObject *result = NULL;
    if (wf_json_encode_all(&e, args[0]) == 0) {
        result = wf_json_into_buffer(&e.out, args[1], nargs == 3 ? args[2] : NULL);
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
    char first[WF_JSON_FIRST_BYTES];
    struct encoder e = open_encoder(module, &options, first);
    while ((item = PyIter_Next(it)) != NULL) {
        const size_t from = (size_t)(e.out.p - e.out.start);
        int rc = wf_json_encode_all(&e, item);
        Py_DECREF(item);
        if (rc < 0) {
            break;
        }
        wf_json_one_line(&e, from);
        *e.out.p++ = '\n'; /* in the slack */
    }
    Py_DECREF(it);
    if (PyErr_Occurred()) {
        Py_XDECREF(e.to_bytes.bytes);
        return NULL;
    }
    return wf_json_close_bytes(&e.to_bytes);
}
