#include "py/bson/options.h"

/* ---- UUIDs ---- */

/* Its own inverse for each of them. in and out are not the same. */
void wf_bson_uuid_order(enum wf_bson_uuids uuids, const char *in, char *out) {
    static const uint8_t java[16] = {7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8};
    static const uint8_t csharp[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    for (size_t i = 0; i < 16; i++) {
        out[i] = in[uuids == WF_BSON_UUIDS_JAVA     ? java[i]
                    : uuids == WF_BSON_UUIDS_CSHARP ? csharp[i]
                                                    : i];
    }
}

PyObject *wf_bson_make_uuid(struct wf_bson_state *s, const struct wf_bson_options *o,
                            const char *bytes) {
    char ordered[16];
    wf_bson_uuid_order((enum wf_bson_uuids)o->uuids, bytes, ordered);
    PyObject *kwargs = Py_BuildValue("{s:y#}", "bytes", ordered, (Py_ssize_t)16);
    PyObject *args = PyTuple_New(0), *uuid = NULL;
    if (kwargs != NULL && args != NULL && wf_bson_need_classes(s) == 0) {
        uuid = PyObject_Call(s->uuid, args, kwargs);
    }
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    return uuid;
}

/* ---- reading ---- */

/* An attribute that is a number from `min` to `max`. 0, or -1 with an exception. */
static int read_number(PyObject *object, const char *name, long min, long max, uint8_t *out) {
    PyObject *v = PyObject_GetAttrString(object, name);
    long n = v != NULL ? PyLong_AsLong(v) : -1;
    Py_XDECREF(v);
    if (n == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (n < min || n > max) {
        PyErr_Format(PyExc_ValueError, "codec_options.%s is %ld, none that is known", name, n);
        return -1;
    }
    *out = (uint8_t)n;
    return 0;
}

/* An attribute; NULL in *out where it is None. 0, or -1 with an exception. */
static int read_optional(PyObject *object, const char *name, PyObject **out) {
    PyObject *v = PyObject_GetAttrString(object, name);
    if (v == NULL) {
        return -1;
    }
    if (v == Py_None) {
        Py_CLEAR(v);
    }
    *out = v;
    return 0;
}

/* A dict that is not empty, or NULL. */
static int read_map(PyObject *object, const char *name, PyObject **out) {
    if (read_optional(object, name, out) < 0) {
        return -1;
    }
    if (*out != NULL && !PyDict_Check(*out)) {
        PyErr_Format(PyExc_TypeError, "type_registry.%s is a dict, not %.100s", name,
                     Py_TYPE(*out)->tp_name);
        return -1;
    }
    if (*out != NULL && PyDict_GET_SIZE(*out) == 0) {
        Py_CLEAR(*out);
    }
    return 0;
}

static int read_registry(struct wf_bson_options *o) {
    PyObject *registry;
    if (read_optional(o->object, "type_registry", &registry) < 0) {
        return -1;
    }
    if (registry == NULL) {
        return 0;
    }
    int rc = read_map(registry, "_decoder_map", &o->decoders) < 0 ||
                     read_map(registry, "_encoder_map", &o->encoders) < 0 ||
                     read_optional(registry, "_fallback_encoder", &o->fallback) < 0
                 ? -1
                 : 0;
    Py_DECREF(registry);
    return rc;
}

static int read_document_class(struct wf_bson_options *o) {
    if (read_optional(o->object, "document_class", &o->document_class) < 0) {
        return -1;
    }
    if (o->document_class == (PyObject *)&PyDict_Type) {
        Py_CLEAR(o->document_class);
        return 0;
    }
    PyObject *marker = NULL;
    if (o->document_class != NULL) {
        marker = PyObject_GetAttrString(o->document_class, "_type_marker");
        if (marker == NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
    }
    o->raw =
        marker != NULL && PyLong_CheckExact(marker) && PyLong_AsLong(marker) == WF_BSON_MARKER_RAW;
    Py_XDECREF(marker);
    PyErr_Clear(); /* a huge one is none of ours */
    return 0;
}

static int read_dates(struct wf_bson_options *o) {
    PyObject *aware = PyObject_GetAttrString(o->object, "tz_aware");
    int is = aware != NULL ? PyObject_IsTrue(aware) : -1;
    Py_XDECREF(aware);
    if (is < 0 || read_optional(o->object, "tzinfo", &o->tzinfo) < 0) {
        return -1;
    }
    o->tz_aware = is;
    if (!is) {
        Py_CLEAR(o->tzinfo);
        return 0;
    }
    PyObject *types = PyImport_ImportModule("weft.bson._types");
    o->utc = types != NULL ? PyObject_GetAttrString(types, "utc") : NULL;
    Py_XDECREF(types);
    return o->utc != NULL ? 0 : -1;
}

static int read_errors(struct wf_bson_options *o) {
    if (read_optional(o->object, "unicode_decode_error_handler", &o->errors) < 0) {
        return -1;
    }
    o->unicode_errors = o->errors != NULL ? PyUnicode_AsUTF8(o->errors) : NULL;
    return o->errors != NULL && o->unicode_errors == NULL ? -1 : 0;
}

int wf_bson_options_open(struct wf_bson_state *s, PyObject *object, struct wf_bson_options *store,
                         struct wf_bson_options **out) {
    *out = NULL;
    if (object == NULL || object == Py_None) {
        return 0;
    }
    *store = (struct wf_bson_options){.object = Py_NewRef(object)};
    if (wf_bson_need_classes(s) < 0 || read_document_class(store) < 0 || read_dates(store) < 0 ||
        read_number(object, "uuid_representation", 0, 6, &store->uuids) < 0 ||
        read_number(object, "datetime_conversion", 1, 4, &store->dates) < 0 ||
        read_errors(store) < 0 || read_registry(store) < 0) {
        wf_bson_options_close(store);
        return -1;
    }
    if (store->uuids == 1 || store->uuids == 2) {
        PyErr_Format(PyExc_ValueError,
                     "codec_options.uuid_representation is %d, none that is known", store->uuids);
        wf_bson_options_close(store);
        return -1;
    }
    *out = store;
    return 0;
}

void wf_bson_options_close(struct wf_bson_options *o) {
    if (o != NULL) {
        Py_CLEAR(o->object);
        Py_CLEAR(o->document_class);
        Py_CLEAR(o->utc);
        Py_CLEAR(o->tzinfo);
        Py_CLEAR(o->errors);
        Py_CLEAR(o->decoders);
        Py_CLEAR(o->encoders);
        Py_CLEAR(o->fallback);
    }
}

int wf_bson_options_traverse(struct wf_bson_options *o, visitproc visit, void *arg) {
    if (o != NULL) {
        Py_VISIT(o->object);
        Py_VISIT(o->document_class);
        Py_VISIT(o->utc);
        Py_VISIT(o->tzinfo);
        Py_VISIT(o->decoders);
        Py_VISIT(o->encoders);
        Py_VISIT(o->fallback);
    }
    return 0;
}

/* ---- arguments ---- */

int wf_bson_arguments(const char *function, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames, struct wf_bson_arguments *out) {
    *out = (struct wf_bson_arguments){.data = nargs > 0 ? args[0] : NULL};
    if (wf_unlikely(nargs != 1)) {
        PyErr_Format(PyExc_TypeError, "%s() takes 1 positional argument, %zd were given", function,
                     nargs);
        return -1;
    }
    Py_ssize_t named = kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_CompareWithASCIIString(name, "codec_options") == 0) {
            out->options = args[nargs + i];
        } else if (PyUnicode_CompareWithASCIIString(name, "type") == 0) {
            out->type = args[nargs + i] != Py_None ? args[nargs + i] : NULL;
        } else {
            PyErr_Format(PyExc_TypeError, "%s() has no argument %R", function, name);
            return -1;
        }
    }
    return 0;
}
