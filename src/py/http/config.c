/* What a Server is made with, as the server below wants it. */
#include "py/http/http_int.h"

int wf_http_set_limits(struct wf_server_config *c, PyObject *limits) {
    PyObject *key, *value; /* borrowed */
    Py_ssize_t pos = 0;
    if (limits == NULL || limits == Py_None) {
        return 0;
    }
    if (!PyDict_Check(limits)) {
        PyErr_SetString(PyExc_TypeError, "config must be a dict of limits");
        return -1;
    }
    while (PyDict_Next(limits, &pos, &key, &value)) {
        const char *name = PyUnicode_AsUTF8(key);
        uint64_t *slot = NULL;
        if (name == NULL) {
            return -1;
        }
#define X(field, number, why)                                                                      \
    if (strcmp(name, #field) == 0) {                                                               \
        slot = &c->field;                                                                          \
    }
        WF_SERVER_LIMITS(X)
#undef X
        if (slot == NULL) {
            PyErr_Format(PyExc_ValueError, "there is no limit called %R", key);
            return -1;
        }
        unsigned long long v = PyLong_AsUnsignedLongLong(value);
        if (v == (unsigned long long)-1 && PyErr_Occurred()) {
            return -1;
        }
        *slot = v;
    }
    return 0;
}

int wf_http_set_server_name(struct wf_http_server *s, PyObject *name) {
    s->config.server_name = WF_SPAN("");
    if (name == Py_None) {
        return 0;
    }
    if (!PyBytes_Check(name)) {
        PyErr_SetString(PyExc_TypeError, "server_name must be bytes or None");
        return -1;
    }
    struct wf_span span = wf_span(PyBytes_AS_STRING(name), (size_t)PyBytes_GET_SIZE(name));
    if (!wf_field_value_ok(span)) {
        PyErr_SetString(PyExc_ValueError, "server_name may not have control characters");
        return -1;
    }
    s->server_name = Py_NewRef(name);
    s->config.server_name = span;
    return 0;
}

int wf_http_set_log_format(struct wf_server_config *c, const char *name) {
    static const char *const names[] = {[WF_ACCESS_SHORT] = "short",
                                        [WF_ACCESS_COMMON] = "common",
                                        [WF_ACCESS_COMBINED] = "combined",
                                        [WF_ACCESS_JSON] = "json"};
    for (size_t i = 0; i < WF_ARRAY_LEN(names); i++) {
        if (strcmp(names[i], name) == 0) {
            c->access_format = (uint8_t)i;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError, "there is no access log format '%s'", name);
    return -1;
}

static_assert(sizeof(struct wf_network) == 17, "weft/forwarded.py writes them so");

void wf_http_set_forwarding(struct wf_http_server *s, const struct wf_forwarding *f) {
    s->config.forwarded = (struct wf_forwarded_config){
        .anyone = f->anyone, .unix_sockets = f->unix_sockets, .fields = f->fields};
    if (f->networks != NULL) {
        s->networks = Py_NewRef(f->networks);
        s->config.forwarded.networks = (const struct wf_network *)PyBytes_AS_STRING(f->networks);
        s->config.forwarded.nnetworks =
            (size_t)PyBytes_GET_SIZE(f->networks) / sizeof(struct wf_network);
    }
}

void wf_http_set_root_path(struct wf_http_server *s, PyObject *root_path, bool kept) {
    if (root_path != NULL) {
        s->root_path = Py_NewRef(root_path);
        s->config.root_path =
            wf_span(PyBytes_AS_STRING(root_path), (size_t)PyBytes_GET_SIZE(root_path));
        s->config.root_path_kept = kept;
    }
}
