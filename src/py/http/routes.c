/* The routes of a Server: what add_route was told, as the core runs it. */
#include "py/http/http_int.h"

/* What add_route was called with. All borrowed from the call. */
struct spec {
    const char *path, *kind;
    Py_ssize_t path_n;
    PyObject *methods, *plan, *response_class, *text_type, *body_max, *name, *params, *model,
        *shape, *object, *handler;
    unsigned long long files_max, fields_max, field_bytes_max; /* of a form */
    unsigned long long timeout_ms;
    unsigned mount, shape_flags;
    int status, cancel, strict;
};

static int parse(struct wf_http_server *s, PyObject *args, PyObject *kwargs, struct spec *out) {
    static const char *const names[] = {"path",
                                        "methods",
                                        "plan",
                                        "kind",
                                        "status_code",
                                        "response_class",
                                        "text_type",
                                        "body_max",
                                        "name",
                                        "params",
                                        "cancel",
                                        "form_limits",
                                        "model",
                                        "shape",
                                        "mount",
                                        "timeout_ms",
                                        "strict_content_type",
                                        "route",
                                        "handler",
                                        NULL};
    struct wf_form_config form;
    wf_form_config_default(&form);
    *out = (struct spec){.kind = "async",
                         .files_max = form.files_max,
                         .fields_max = form.fields_max,
                         .field_bytes_max = form.field_bytes_max,
                         .status = 200,
                         .cancel = 1,
                         .strict = 1,
                         .response_class = Py_None,
                         .text_type = Py_None,
                         .body_max = Py_None,
                         .params = Py_None,
                         .model = Py_None,
                         .object = Py_None,
                         .handler = Py_None,
                         .shape = NULL};
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "s#OO!|$siOOOUOp(KKK)O(O!I)IKpOO", (char **)names, &out->path,
            &out->path_n, &out->methods, s->state->plan.plan_type, &out->plan, &out->kind,
            &out->status, &out->response_class, &out->text_type, &out->body_max, &out->name,
            &out->params, &out->cancel, &out->files_max, &out->fields_max, &out->field_bytes_max,
            &out->model, s->state->shape.shape_type, &out->shape, &out->shape_flags, &out->mount,
            &out->timeout_ms, &out->strict, &out->object, &out->handler)) {
        return -1;
    }
    if (out->params != Py_None && !PyTuple_Check(out->params)) {
        PyErr_SetString(PyExc_TypeError, "params must be a tuple of names and types");
        return -1;
    }
    return 0;
}

static int kind_of(const char *word) {
    static const char *const words[] = {"async", "thread", "inline"};
    static_assert(WF_ENDPOINT_ASYNC == 0 && WF_ENDPOINT_THREAD == 1 && WF_ENDPOINT_INLINE == 2,
                  "the words stand in the order of enum wf_endpoint_kind");
    for (int i = 0; i < (int)WF_ARRAY_LEN(words); i++) {
        if (strcmp(word, words[i]) == 0) {
            return i;
        }
    }
    PyErr_Format(PyExc_ValueError, "kind may not be '%s'", word);
    return -1;
}

static int method_bits(PyObject *methods, uint32_t *bits) {
    PyObject *fast = PySequence_Fast(methods, "methods must be a sequence of names");
    if (fast == NULL) {
        return -1;
    }
    *bits = 0;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast); i++) {
        Py_ssize_t n;
        PyObject *item = PySequence_Fast_GET_ITEM(fast, i); /* borrowed */
        const char *name = PyUnicode_AsUTF8AndSize(item, &n);
        enum wf_method m = name != NULL ? wf_method_of(wf_span(name, (size_t)n)) : WF_METHOD_OTHER;
        if (m == WF_METHOD_OTHER || m == WF_METHOD_CONNECT) {
            if (!PyErr_Occurred()) {
                PyErr_Format(PyExc_ValueError, "%R is not a method a route can have", item);
            }
            Py_DECREF(fast);
            return -1;
        }
        *bits |= 1u << m;
    }
    Py_DECREF(fast);
    return 0;
}

static bool is_header_value(PyObject *o) {
    return PyBytes_Check(o) &&
           wf_field_value_ok(wf_span(PyBytes_AS_STRING(o), (size_t)PyBytes_GET_SIZE(o)));
}

static PyObject *or_null(PyObject *o) {
    return o != Py_None ? Py_NewRef(o) : NULL;
}

/* Fills a zeroed route. 0, or -1 with an exception. */
static int fill(struct wf_http_server *s, const struct wf_http_app *app, struct wf_route *route,
                const struct spec *spec) {
    int kind = kind_of(spec->kind);
    if (kind < 0 || method_bits(spec->methods, &route->leaf.methods) < 0) {
        return -1;
    }
    route->leaf.body_max = UINT64_MAX;
    if (spec->body_max != Py_None) {
        route->leaf.body_max = PyLong_AsUnsignedLongLong(spec->body_max);
        if (route->leaf.body_max == UINT64_MAX && PyErr_Occurred()) {
            return -1;
        }
    }
    if (spec->text_type != Py_None && !is_header_value(spec->text_type)) {
        PyErr_SetString(PyExc_ValueError, "text_type must be bytes fit for a header");
        return -1;
    }
    if (spec->timeout_ms != 0 &&
        (route->leaf.timeout = wf_server_handler_timeout(s->server, spec->timeout_ms)) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    route->params = or_null(spec->params);
    route->lenient = !spec->strict;
    route->plan = (struct wf_plan *)Py_NewRef(spec->plan);
    route->response_class = or_null(spec->response_class);
    route->model = or_null(spec->model);
    route->object = or_null(spec->object);
    route->handler = or_null(spec->handler);
    route->shape = Py_XNewRef(spec->shape);
    route->shape_flags = spec->shape_flags;
    route->text_type = or_null(spec->text_type);
    route->name = Py_XNewRef(spec->name);
    route->status = spec->status;
    route->cancel = spec->cancel != 0;
    route->kind = (uint8_t)kind;
    route->inside =
        kind == WF_ENDPOINT_INLINE || wf_plan_runs_python(route->plan) || s->recorder != NULL;
    unsigned n, nvalues;
    (void)wf_plan_dependencies(route->plan, &n, &nvalues);
    route->surrounded = app->middleware != NULL;
    route->chained = n != 0 || route->surrounded || route->handler != NULL;
    route->leaf.plan = route;
    route->leaf.body_mode = (uint8_t)wf_plan_body_mode(route->plan);
    if ((route->surrounded || route->handler != NULL) && route->leaf.body_mode == WF_BODY_IGNORE) {
        route->leaf.body_mode = WF_BODY_STREAM; /* a middleware may want it, or the handler */
    }
    if (route->leaf.body_mode != WF_BODY_FORM) {
        return 0;
    }
    route->form = (struct wf_form_config){.files_max = spec->files_max,
                                          .fields_max = spec->fields_max,
                                          .field_bytes_max = spec->field_bytes_max,
                                          .spool_dir = wf_form_spool_dir(s->state),
                                          .memory = s->state->form_py.memory};
    route->leaf.form = &route->form;
    return route->form.spool_dir != NULL ? 0 : -1;
}

static void free_route(struct wf_route *route) {
    Py_XDECREF(route->plan);
    Py_XDECREF(route->response_class);
    Py_XDECREF(route->model);
    Py_XDECREF(route->object);
    Py_XDECREF(route->handler);
    Py_XDECREF(route->shape);
    Py_XDECREF(route->text_type);
    Py_XDECREF(route->name);
    Py_XDECREF(route->params);
    Py_XDECREF(route->fixed_texts);
    wf_free(route);
}

static int reserve(struct wf_http_server *s) {
    if (s->nroutes < s->routes_cap) {
        return 0;
    }
    uint32_t cap = s->routes_cap != 0 ? s->routes_cap * 2 : 16;
    struct wf_route **grown = wf_realloc(s->routes, cap * sizeof(*grown));
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    s->routes = grown;
    s->routes_cap = cap;
    return 0;
}

int wf_route_add(struct wf_http_server *s, PyObject *args, PyObject *kwargs) {
    struct spec spec;
    struct wf_router *router;
    if (parse(s, args, kwargs, &spec) < 0 || (router = wf_http_router(s, spec.mount)) == NULL) {
        return -1;
    }
    struct wf_route *route = wf_calloc(1, sizeof(*route));
    if (route == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (fill(s, wf_http_app_of(router), route, &spec) < 0 ||
        reserve(s) < 0) { /* from here on no Python code runs */
        free_route(route);
        return -1;
    }
    const char *why = NULL;
    int rc = wf_router_add(router, wf_span(spec.path, (size_t)spec.path_n), &route->leaf, &why);
    if (rc == 0) {
        route->index = s->nleaves++;
        s->routes[s->nroutes++] = route;
        return 0;
    }
    free_route(route);
    if (rc == -ENOMEM) {
        PyErr_NoMemory();
    } else {
        PyErr_Format(PyExc_ValueError, "bad path '%s': %s", spec.path,
                     why != NULL ? why : "refused");
    }
    return -1;
}

int wf_route_fix(struct wf_route *route, PyObject *texts) {
    PyObject *content_type, *etag, *body; /* borrowed */
    if (!PyArg_ParseTuple(texts, "SSS", &content_type, &etag, &body)) {
        return -1;
    }
    if (!is_header_value(content_type) || !is_header_value(etag)) {
        PyErr_SetString(PyExc_ValueError, "content-type and etag must be fit for a header");
        return -1;
    }
    if (route->surrounded || route->handler != NULL) {
        return 0;
    }
    Py_XSETREF(route->fixed_texts, Py_NewRef(texts));
    route->fixed = (struct wf_fixed_reply){
        .content_type =
            wf_span(PyBytes_AS_STRING(content_type), (size_t)PyBytes_GET_SIZE(content_type)),
        .etag = wf_span(PyBytes_AS_STRING(etag), (size_t)PyBytes_GET_SIZE(etag)),
        .body = wf_span(PyBytes_AS_STRING(body), (size_t)PyBytes_GET_SIZE(body)),
    };
    route->leaf.fixed = &route->fixed;
    return 1;
}

int wf_routes_traverse(struct wf_http_server *s, visitproc visit, void *arg) {
    for (uint32_t i = 0; i < s->nroutes; i++) {
        Py_VISIT((PyObject *)s->routes[i]->plan);
        Py_VISIT(s->routes[i]->response_class);
        Py_VISIT(s->routes[i]->model);
        Py_VISIT(s->routes[i]->object);
        Py_VISIT(s->routes[i]->handler);
        Py_VISIT(s->routes[i]->shape);
        Py_VISIT(s->routes[i]->params);
    }
    return 0;
}

void wf_routes_clear(struct wf_http_server *s) {
    struct wf_route **routes = s->routes;
    uint32_t n = s->nroutes;
    s->routes = NULL;
    s->nroutes = s->routes_cap = 0;
    for (uint32_t i = 0; i < n; i++) {
        free_route(routes[i]);
    }
    wf_free(routes);
}
