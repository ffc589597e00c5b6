/* Layers of the server, from what weft.middleware describes. Their texts stay in the description, which the
 * server keeps. */
#include "py/http/http_int.h"

#include "serve/layer/layer.h"
#include "serve/layer/origin.h"
#include "wire/encoding/encoding.h"

static int span_of(PyObject *o, struct wf_span *out) {
    if (!PyBytes_Check(o)) {
        PyErr_SetString(PyExc_TypeError, "a layer's texts are bytes");
        return -1;
    }
    *out = wf_span(PyBytes_AS_STRING(o), (size_t)PyBytes_GET_SIZE(o));
    return 0;
}

/* Memory that a layer's arrays are in: a bytes object, kept with the description. */
static void *array(struct wf_http_server *s, size_t n, size_t size) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(n * size));
    int rc = bytes != NULL ? PyList_Append(s->layers, bytes) : -1;
    Py_XDECREF(bytes);
    return rc == 0 ? PyBytes_AS_STRING(bytes) : NULL;
}

static const struct wf_span *spans(struct wf_http_server *s, PyObject *tuple, size_t *n) {
    *n = (size_t)PyTuple_GET_SIZE(tuple);
    struct wf_span *out = array(s, *n, sizeof(*out));
    for (size_t i = 0; out != NULL && i < *n; i++) {
        if (span_of(PyTuple_GET_ITEM(tuple, (Py_ssize_t)i), &out[i]) < 0) {
            return NULL;
        }
    }
    return out;
}

/* A tuple of (name, value). */
static const struct wf_reply_field *fields(struct wf_http_server *s, PyObject *tuple, size_t *n) {
    *n = (size_t)PyTuple_GET_SIZE(tuple);
    struct wf_reply_field *out = *n <= WF_EDIT_FIELDS_MAX / 2 ? array(s, *n, sizeof(*out)) : NULL;
    for (size_t i = 0; out != NULL && i < *n; i++) {
        PyObject *name, *value;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(tuple, (Py_ssize_t)i), "SS", &name, &value) ||
            span_of(name, &out[i].name) < 0 || span_of(value, &out[i].value) < 0) {
            return NULL;
        }
        if (!wf_field_name_ok(out[i].name) || !wf_field_value_ok(out[i].value)) {
            PyErr_Format(PyExc_ValueError, "%R cannot be a header field", name);
            return NULL;
        }
    }
    if (out == NULL && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "too many header fields");
    }
    return out;
}

static struct wf_origin *make_origin(PyObject *pattern) {
    struct wf_span span;
    char why[WF_ORIGIN_WHY_CHARS];
    if (span_of(pattern, &span) < 0) {
        return NULL;
    }
    struct wf_origin *origin = wf_origin_new(span, why);
    if (origin == NULL && why[0] != '\0') {
        PyErr_Format(PyExc_ValueError, "allow_origin_regex cannot be used: %s", why);
    }
    return origin;
}

static struct wf_layer *make_cors(struct wf_http_server *s, PyObject *config) {
    struct wf_cors_config c;
    PyObject *origins, *methods, *headers, *simple, *preflight, *pattern;
    int any_origin, any_header, credentials, private_network;
    if (!PyArg_ParseTuple(config, "O!O!O!O!O!ppppO", &PyTuple_Type, &origins, &PyTuple_Type,
                          &methods, &PyTuple_Type, &headers, &PyTuple_Type, &simple, &PyTuple_Type,
                          &preflight, &any_origin, &any_header, &credentials, &private_network,
                          &pattern)) {
        return NULL;
    }
    c.any_origin = any_origin != 0;
    c.any_header = any_header != 0;
    c.credentials = credentials != 0;
    c.private_network = private_network != 0;
    if ((c.origins = spans(s, origins, &c.norigins)) == NULL ||
        (c.methods = spans(s, methods, &c.nmethods)) == NULL ||
        (c.headers = spans(s, headers, &c.nheaders)) == NULL ||
        (c.simple = fields(s, simple, &c.nsimple)) == NULL ||
        (c.preflight = fields(s, preflight, &c.npreflight)) == NULL) {
        return NULL;
    }
    c.origin = NULL;
    if (pattern != Py_None && (c.origin = make_origin(pattern)) == NULL) {
        return NULL;
    }
    struct wf_layer *layer = wf_layer_cors(&c);
    if (layer == NULL) {
        wf_origin_free(c.origin);
    }
    return layer;
}

static struct wf_layer *make_hosts(struct wf_http_server *s, PyObject *config) {
    PyObject *hosts;
    int www;
    size_t n;
    if (!PyArg_ParseTuple(config, "O!p", &PyTuple_Type, &hosts, &www)) {
        return NULL;
    }
    const struct wf_span *list = spans(s, hosts, &n);
    return list != NULL ? wf_layer_hosts(list, n, www != 0) : NULL;
}

static struct wf_layer *make_fields(struct wf_http_server *s, PyObject *config) {
    size_t n;
    const struct wf_reply_field *list = fields(s, config, &n);
    return list != NULL ? wf_layer_fields(list, n) : NULL;
}

static struct wf_layer *make_request_id(struct wf_http_server *s, PyObject *config) {
    PyObject *name;
    struct wf_span span;
    if (!PyArg_ParseTuple(config, "S", &name) || span_of(name, &span) < 0) {
        return NULL;
    }
    if (!wf_field_name_ok(span)) {
        PyErr_Format(PyExc_ValueError, "%R cannot be the name of a header field", name);
        return NULL;
    }
    return wf_layer_request_id(span);
}

static struct wf_layer *make_rate_limit(struct wf_http_server *s, PyObject *config) {
    unsigned long long limit, window_ns;
    Py_ssize_t clients;
    PyObject *header;
    struct wf_rate_limit_config c;
    if (!PyArg_ParseTuple(config, "KKSn", &limit, &window_ns, &header, &clients) ||
        span_of(header, &c.header) < 0) {
        return NULL;
    }
    if (limit == 0 || window_ns == 0 || clients <= 0) {
        PyErr_SetString(PyExc_ValueError, "limit, window and clients are at least 1");
        return NULL;
    }
    c.limit = limit;
    c.window_ns = window_ns;
    c.clients_max = (size_t)clients;
    return wf_layer_rate_limit(&c);
}

/* What it is told is session.c's, and is kept in *sessions. */
static struct wf_layer *make_session(struct wf_http_server *s, PyObject *config,
                                     struct wf_sessions **sessions) {
    struct wf_sessions *made = wf_sessions_new(s, config);
    struct wf_layer *layer = made != NULL ? wf_layer_session() : NULL;
    if (layer != NULL) {
        *sessions = made;
    }
    return layer;
}

static struct wf_layer *make_https(struct wf_http_server *s, PyObject *config) {
    return PyArg_ParseTuple(config, "") ? wf_layer_https() : NULL;
}

static struct wf_layer *make_compress(struct wf_http_server *s, PyObject *config) {
    unsigned long long minimum, from;
    PyObject *codings, *excluded;
    struct wf_compress_config c = {0};
    if (!PyArg_ParseTuple(config, "KKO!O!", &minimum, &from, &PyTuple_Type, &codings, &PyTuple_Type,
                          &excluded)) {
        return NULL;
    }
    c.minimum_bytes = minimum;
    c.long_bytes = from;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(codings); i++) {
        const char *name;
        int level;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(codings, i), "si", &name, &level)) {
            return NULL;
        }
        enum wf_coding coding = wf_coding_of(wf_span_str(name));
        if (coding == WF_CODING_IDENTITY || coding == WF_CODING_COUNT ||
            !wf_coding_available(coding) || c.ncodings == WF_ARRAY_LEN(c.codings)) {
            PyErr_Format(PyExc_ValueError, "this weft has no content coding '%s'", name);
            return NULL;
        }
        c.codings[c.ncodings++] = (struct wf_compress_coding){(uint8_t)coding, level};
    }
    c.excluded = spans(s, excluded, &c.nexcluded);
    return c.excluded != NULL ? wf_layer_compress(&c) : NULL;
}

static struct wf_layer *make_concurrency(struct wf_http_server *s, PyObject *config) {
    unsigned long long max;
    unsigned retry_after;
    return PyArg_ParseTuple(config, "KI", &max, &retry_after)
               ? wf_layer_concurrency(max, retry_after)
               : NULL;
}

/* config    borrowed: the server keeps it
 * sessions  out: where the layer is of some; else as it was */
static struct wf_layer *make_layer(struct wf_http_server *s, const char *kind, PyObject *config,
                                   struct wf_sessions **sessions) {
    static const struct {
        const char *kind;
        struct wf_layer *(*make)(struct wf_http_server *, PyObject *);
    } kinds[] = {
        {"cors", make_cors},
        {"hosts", make_hosts},
        {"fields", make_fields},
        {"request_id", make_request_id},
        {"compress", make_compress},
        {"https", make_https},
        {"rate_limit", make_rate_limit},
        {"concurrency", make_concurrency},
    };
    if (PyList_Append(s->layers, config) < 0) {
        return NULL;
    }
    struct wf_layer *layer = NULL;
    size_t i = 0;
    if (strcmp(kind, "session") == 0) {
        layer = make_session(s, config, sessions);
    } else {
        while (i < WF_ARRAY_LEN(kinds) && strcmp(kind, kinds[i].kind) != 0) {
            i++;
        }
        if (i == WF_ARRAY_LEN(kinds)) {
            PyErr_Format(PyExc_ValueError, "there is no layer '%s'", kind);
            return NULL;
        }
        layer = kinds[i].make(s, config);
    }
    if (layer == NULL && !PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    return layer;
}

int wf_http_add_layer(struct wf_http_server *s, PyObject *args) {
    const char *kind;
    PyObject *config;
    unsigned mount = 0;
    struct wf_router *router = NULL;
    if (!PyArg_ParseTuple(args, "sO!|I", &kind, &PyTuple_Type, &config, &mount) ||
        (mount != 0 && (router = wf_http_router(s, mount)) == NULL)) {
        return -1;
    }
    struct wf_http_app *app = wf_http_app_of(router != NULL ? router : s->router);
    struct wf_layer *layer = make_layer(s, kind, config, &app->sessions);
    if (layer == NULL) {
        return -1;
    }
    if (router == NULL) {
        wf_server_add_layer(s->server, layer);
    } else if (!wf_server_add_router_layer(s->server, router, layer)) {
        layer->ops->free(layer);
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

int wf_http_add_inner_layer(struct wf_http_server *s, struct wf_layers *layers,
                            struct wf_sessions **sessions, PyObject *args) {
    const char *kind;
    PyObject *config;
    if (!PyArg_ParseTuple(args, "sO!", &kind, &PyTuple_Type, &config)) {
        return -1;
    }
    struct wf_layer *layer = make_layer(s, kind, config, sessions);
    if (layer == NULL) {
        return -1;
    }
    wf_layers_add(s->server, layers, layer);
    return 0;
}

int wf_http_add_codings(PyObject *module) {
    PyObject *names = PyTuple_New(0);
    for (enum wf_coding c = WF_CODING_GZIP; names != NULL && c < WF_CODING_COUNT; c++) {
        if (wf_coding_available(c)) {
            PyObject *one = Py_BuildValue("(s)", wf_coding_name(c).p);
            PyObject *more = one != NULL ? PySequence_Concat(names, one) : NULL;
            Py_XDECREF(one);
            Py_SETREF(names, more);
        }
    }
    int rc = names != NULL ? PyModule_AddObjectRef(module, "content_codings", names) : -1;
    Py_XDECREF(names);
    return rc;
}
