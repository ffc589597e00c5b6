/* The Apps of a Server: its own, and those mounted beneath a path or behind a host. */
#include "py/http/http_int.h"

struct wf_http_app *wf_http_app_new(struct wf_http_server *s, PyObject *app) {
    struct wf_http_app *a = wf_calloc(1, sizeof(*a));
    if (a == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    struct wf_http_app **end = &s->apps;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = a; /* the server's from now on, whatever comes */
    a->app = Py_NewRef(app);
    a->by_class = PyDict_New();
    a->by_status = PyDict_New();
    return a->by_class != NULL && a->by_status != NULL ? a : NULL;
}

int wf_http_apps_traverse(struct wf_http_server *s, visitproc visit, void *arg) {
    for (struct wf_http_app *a = s->apps; a != NULL; a = a->next) {
        Py_VISIT(a->app);
        Py_VISIT(a->by_class);
        Py_VISIT(a->by_status);
        Py_VISIT(a->middleware);
        Py_VISIT(a->rescue);
        Py_VISIT(a->overrides);
        Py_VISIT(a->override);
    }
    return 0;
}

/* The structs stay: requests that outlive the server's calls look at them. */
void wf_http_apps_clear(struct wf_http_server *s) {
    for (struct wf_http_app *a = s->apps; a != NULL; a = a->next) {
        Py_CLEAR(a->app);
        Py_CLEAR(a->by_class);
        Py_CLEAR(a->by_status);
        Py_CLEAR(a->middleware);
        Py_CLEAR(a->rescue);
        Py_CLEAR(a->overrides);
        Py_CLEAR(a->override);
        a->sessions = NULL;
    }
}

void wf_http_apps_free(struct wf_http_server *s) {
    while (s->apps != NULL) {
        struct wf_http_app *a = s->apps;
        s->apps = a->next;
        wf_free(a);
    }
    wf_free(s->routers);
    s->routers = NULL;
}

/* ---- mounts ---- */

struct wf_router *wf_http_router(struct wf_http_server *s, unsigned index) {
    if (index != 0 && index > s->nrouters) {
        PyErr_Format(PyExc_ValueError, "there is no mount %u", index);
        return NULL;
    }
    return index == 0 ? s->router : s->routers[index - 1];
}

/* Room for one more router: 0, or -1 with an exception. */
static int reserve_router(struct wf_http_server *s) {
    if (s->started) {
        PyErr_SetString(PyExc_RuntimeError, "the server has started");
        return -1;
    }
    struct wf_router **grown = wf_realloc(s->routers, (s->nrouters + 1) * sizeof(*grown));
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    s->routers = grown;
    return 0;
}

PyObject *wf_http_add_fallback(struct wf_http_server *s, PyObject *args) {
    unsigned parent;
    if (!PyArg_ParseTuple(args, "I", &parent)) {
        return NULL;
    }
    struct wf_router *outer = wf_http_router(s, parent);
    if (outer == NULL || reserve_router(s) < 0) {
        return NULL;
    }
    struct wf_router *inner = wf_router_fallback(outer);
    if (inner == NULL) {
        return PyErr_NoMemory();
    }
    s->routers[s->nrouters++] = inner;
    return PyLong_FromUnsignedLong(s->nrouters);
}

PyObject *wf_http_add_mount(struct wf_http_server *s, PyObject *args) {
    unsigned parent;
    const char *pattern, *error;
    Py_ssize_t n;
    PyObject *app;
    int host, unrouted, redirect_slashes;
    if (!PyArg_ParseTuple(args, "Is#pOpp", &parent, &pattern, &n, &host, &app, &unrouted,
                          &redirect_slashes)) {
        return NULL;
    }
    struct wf_router *outer = wf_http_router(s, parent);
    if (outer == NULL || reserve_router(s) < 0) {
        return NULL;
    }
    struct wf_http_app *a = wf_http_app_of(outer);
    if (app != Py_None) {
        struct wf_http_app *around = a;
        if ((a = wf_http_app_new(s, app)) == NULL) {
            return NULL;
        }
        a->outer = around;
    }
    struct wf_span span = wf_span(pattern, (size_t)n);
    struct wf_router *inner =
        host ? wf_router_host(outer, span, &error) : wf_router_mount(outer, span, &error);
    if (inner == NULL) {
        return PyErr_Format(PyExc_ValueError, "bad %s '%s': %s", host ? "host" : "path", pattern,
                            error);
    }
    *wf_router_options(inner) =
        (struct wf_router_options){.layers = wf_router_options(outer)->layers,
                                   .user = a,
                                   .unrouted = unrouted != 0,
                                   .surrounded = a->middleware != NULL,
                                   .redirect_slashes = redirect_slashes != 0};
    s->routers[s->nrouters++] = inner;
    return PyLong_FromUnsignedLong(s->nrouters);
}

/* ---- what an App has ---- */

/* The App of a mount, before it has routes; or NULL with an exception. */
static struct wf_http_app *app_at(struct wf_http_server *s, unsigned mount) {
    struct wf_router *router = wf_http_router(s, mount);
    return router != NULL ? wf_http_app_of(router) : NULL;
}

PyObject *wf_http_set_middleware(struct wf_http_server *s, PyObject *args) {
    PyObject *middleware, *rescue;
    unsigned mount = 0;
    if (!PyArg_ParseTuple(args, "OO|I", &middleware, &rescue, &mount)) {
        return NULL;
    }
    struct wf_http_app *a = app_at(s, mount);
    if (a == NULL) {
        return NULL;
    }
    wf_router_options(wf_http_router(s, mount))->surrounded = true;
    Py_XSETREF(a->middleware, Py_NewRef(middleware));
    Py_XSETREF(a->rescue, Py_NewRef(rescue));
    Py_RETURN_NONE;
}

PyObject *wf_http_set_overrides(struct wf_http_server *s, PyObject *args) {
    PyObject *overrides, *override;
    unsigned mount = 0;
    if (!PyArg_ParseTuple(args, "O!O|I", &PyDict_Type, &overrides, &override, &mount)) {
        return NULL;
    }
    struct wf_http_app *a = app_at(s, mount);
    if (a == NULL) {
        return NULL;
    }
    Py_XSETREF(a->overrides, Py_NewRef(overrides));
    Py_XSETREF(a->override, Py_NewRef(override));
    Py_RETURN_NONE;
}

PyObject *wf_http_set_exception_handlers(struct wf_http_server *s, PyObject *args) {
    PyObject *by_class, *by_status;
    unsigned mount = 0;
    if (!PyArg_ParseTuple(args, "O!O!|I", &PyDict_Type, &by_class, &PyDict_Type, &by_status,
                          &mount)) {
        return NULL;
    }
    struct wf_http_app *a = app_at(s, mount);
    if (a == NULL) {
        return NULL;
    }
    Py_XSETREF(a->by_class, Py_NewRef(by_class));
    Py_XSETREF(a->by_status, Py_NewRef(by_status));
    Py_RETURN_NONE;
}
