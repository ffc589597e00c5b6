/* Directories of static files as leaves of a Server. */
#include "py/http/http_int.h"

#include "serve/static/static.h"

struct wf_static_leaf {
    struct wf_leaf leaf;
    struct wf_static *files;
    struct wf_static_leaf *next;
    uint32_t index;
    const char **directories;
    struct wf_media_type *types;
    PyObject *texts; /* owned: what the two point into */
};

static void leaf_free(struct wf_static_leaf *l) {
    if (l != NULL) {
        wf_static_free(l->files);
        wf_free(l->directories);
        wf_free(l->types);
        Py_XDECREF(l->texts);
        wf_free(l);
    }
}

void wf_http_statics_free(struct wf_http_server *s) {
    while (s->statics != NULL) {
        struct wf_static_leaf *l = s->statics;
        s->statics = l->next;
        leaf_free(l);
    }
}

uint32_t wf_http_static_index(const struct wf_leaf *leaf) {
    return ((const struct wf_static_leaf *)leaf)->index; /* its first member */
}

/* directories: tuple of bytes; types: tuple of (bytes, bytes), sorted. 0, or -1 with an exception. */
static int read_texts(struct wf_static_leaf *l, PyObject *directories, PyObject *types) {
    Py_ssize_t nd = PyTuple_GET_SIZE(directories), nt = PyTuple_GET_SIZE(types);
    l->directories = wf_calloc((size_t)nd + 1, sizeof(*l->directories));
    l->types = wf_calloc((size_t)nt + 1, sizeof(*l->types));
    l->texts = PyTuple_Pack(2, directories, types);
    if (l->directories == NULL || l->types == NULL || l->texts == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < nd; i++) {
        l->directories[i] = PyBytes_AsString(PyTuple_GET_ITEM(directories, i));
        if (l->directories[i] == NULL) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < nt; i++) {
        PyObject *suffix, *type;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(types, i), "SS", &suffix, &type)) {
            return -1;
        }
        l->types[i] = (struct wf_media_type){
            wf_span(PyBytes_AS_STRING(suffix), (size_t)PyBytes_GET_SIZE(suffix)),
            wf_span(PyBytes_AS_STRING(type), (size_t)PyBytes_GET_SIZE(type))};
        if (!wf_field_value_ok(l->types[i].type)) {
            PyErr_Format(PyExc_ValueError, "%R cannot be a media type", type);
            return -1;
        }
    }
    return 0;
}

PyObject *wf_http_add_static(struct wf_http_server *s, PyObject *args) {
    unsigned mount;
    const char *path, *error;
    Py_ssize_t n;
    PyObject *directories, *types;
    int html, follow_symlink, precompressed;
    if (!PyArg_ParseTuple(args, "Is#O!O!ppp", &mount, &path, &n, &PyTuple_Type, &directories,
                          &PyTuple_Type, &types, &html, &follow_symlink, &precompressed)) {
        return NULL;
    }
    struct wf_router *router = wf_http_router(s, mount);
    if (router == NULL || s->started) {
        return router != NULL ? PyErr_Format(PyExc_RuntimeError, "the server has started") : NULL;
    }
    struct wf_static_leaf *l = wf_calloc(1, sizeof(*l));
    if (l == NULL) {
        return PyErr_NoMemory();
    }
    if (read_texts(l, directories, types) < 0) {
        leaf_free(l);
        return NULL;
    }
    l->files = wf_static_new(
        &(struct wf_static_config){.directories = l->directories,
                                   .ndirectories = (size_t)PyTuple_GET_SIZE(directories),
                                   .types = l->types,
                                   .ntypes = (size_t)PyTuple_GET_SIZE(types),
                                   .html = html != 0,
                                   .follow_symlink = follow_symlink != 0,
                                   .precompressed = precompressed != 0});
    l->leaf = (struct wf_leaf){.methods = WF_ROUTE_ALL_METHODS,
                               .body_mode = WF_BODY_IGNORE,
                               .body_max = UINT64_MAX,
                               .answer = wf_static_answer,
                               .answer_arg = l->files};
    int rc = l->files != NULL ? wf_router_add(router, wf_span(path, (size_t)n), &l->leaf, &error)
                              : -ENOMEM;
    if (rc != 0) {
        leaf_free(l);
        return rc == -ENOMEM ? PyErr_NoMemory()
                             : PyErr_Format(PyExc_ValueError, "bad path '%s': %s", path, error);
    }
    l->index = s->nleaves++;
    l->next = s->statics;
    s->statics = l;
    Py_RETURN_NONE;
}
