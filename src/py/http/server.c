/* _core.Server: routes, listeners and the turn. A guest of PyLoop: replies leave before the wait, without
 * the GIL; handlers run after it. */
#include "py/http/http_int.h"

enum {
    CALLS_KEPT = 1024,      /* finished calls kept for reuse */
    SWEEP_MS = 20,          /* so long an idle server may hold on to a body that has been sent */
    EXCHANGES_A_TURN = 1024 /* then the loop's other work gets its turn */
};

static struct wf_http_server *server_of(struct wf_guest *g) {
    return wf_container_of(g, struct wf_http_server, guest);
}

/* ---- the turn ---- */

static void before_wait(struct wf_guest *g) {
    struct wf_http_server *s = server_of(g);
    wf_server_flush(s->server);
    if (wf_unlikely(s->garbage != NULL) && !wf_timer_active(&s->sweep)) {
        (void)wf_timer_start(s->reactor, &s->sweep, s->reactor->now_ns + SWEEP_MS * WF_NS_PER_MS);
    }
}

/* Ends the wait: after_wait does the rest. */
static void sweep(struct wf_timer *t) {
    (void)t;
}

static void run_ready(struct wf_http_server *s) {
    if (wf_stepper_enter(&s->stepper) < 0) {
        PyErr_WriteUnraisable((PyObject *)s);
        return;
    }
    unsigned events;
    struct wf_exchange *ex;
    for (int i = 0; i < EXCHANGES_A_TURN; i++) {
        ex = wf_server_next(s->server, &events);
        if (ex == NULL) {
            break;
        }
        if (wf_likely(events & WF_EV_REQUEST)) {
            if (wf_unlikely(events & WF_EV_GONE)) {
                wf_exchange_finish(ex); /* left before the handler began */
            } else {
                wf_call_start(s, ex);
            }
        } else {
            wf_call_event(ex->user, events);
        }
    }
    wf_stepper_leave(&s->stepper);
}

static int after_wait(struct wf_guest *g) {
    struct wf_http_server *s = server_of(g);
    s->thread = PyThread_get_thread_ident();
    wf_http_busy(s);
    if (wf_unlikely(s->garbage != NULL)) {
        wf_garbage_collect(s);
    }
    if (wf_unlikely(!wf_list_empty(&s->jobs_done))) {
        wf_jobs_collect(s);
    }
    if (wf_server_has_ready(s->server)) {
        run_ready(s);
    }
    int more = wf_server_has_ready(s->server);
    if (wf_unlikely(s->fatal != NULL || s->owed != WF_OWED_NOTHING)) {
        more = s->fatal != NULL ? -1 : 0;
    }
    wf_http_idle(s);
    return more;
}

static void end(struct wf_http_server *s);

static void closing(struct wf_guest *g) {
    end(server_of(g));
}

void wf_http_busy(struct wf_http_server *s) {
    Py_INCREF((PyObject *)s);
    s->busy++;
}

static void cancel_background(struct wf_http_server *s) {
    PyObject *tasks = PySequence_List(s->background); /* the set changes as they end */
    for (Py_ssize_t i = 0; tasks != NULL && i < PyList_GET_SIZE(tasks); i++) {
        PyObject *task = PyList_GET_ITEM(tasks, i); /* borrowed from the list */
        PyObject *done = PyObject_CallMethodNoArgs(task, s->state->http.str.cancel);
        if (done == NULL) {
            PyErr_WriteUnraisable(task);
        }
        Py_XDECREF(done);
    }
    if (tasks == NULL) {
        PyErr_WriteUnraisable(s->background);
    }
    Py_XDECREF(tasks);
}

/* Calls that go on without an exchange hear of no event. */
static bool has_left(const struct wf_call *call) {
    return call->plan.ex == NULL;
}

/* Cancels the tasks of the calls that are such. */
static void cancel_parked(struct wf_http_server *s, bool (*such)(const struct wf_call *call)) {
    PyObject *tasks = PyList_New(0); /* the list of calls changes as they end */
    for (struct wf_list *n = s->parked.next; tasks != NULL && n != &s->parked; n = n->next) {
        struct wf_call *call = wf_container_of(n, struct wf_call, node);
        if (such(call) && call->task != NULL && PyList_Append(tasks, (PyObject *)call->task) < 0) {
            Py_CLEAR(tasks);
        }
    }
    for (Py_ssize_t i = 0; tasks != NULL && i < PyList_GET_SIZE(tasks); i++) {
        if (wf_task_cancel((struct wf_task *)PyList_GET_ITEM(tasks, i)) < 0) { /* borrowed */
            PyErr_WriteUnraisable(NULL);
        }
    }
    if (tasks == NULL) {
        PyErr_WriteUnraisable((PyObject *)s);
    }
    Py_XDECREF(tasks);
}

static void abort_or_end(struct wf_http_server *s, enum wf_owed what) {
    if (s->busy != 0) {
        s->owed = (uint8_t)WF_MAX(s->owed, what);
    } else if (what == WF_OWED_END) {
        end(s);
    } else if (s->server != NULL) {
        s->aborted = true;
        wf_server_abort(s->server);
        cancel_parked(s, has_left);
        cancel_background(s);
    }
}

void wf_http_idle(struct wf_http_server *s) {
    PyObject *fatal = NULL;
    s->busy--;
    if (wf_unlikely(s->owed != WF_OWED_NOTHING) && s->busy == 0) {
        enum wf_owed owed = (enum wf_owed)s->owed;
        s->owed = WF_OWED_NOTHING;
        abort_or_end(s, owed);
    }
    if (wf_unlikely(s->fatal != NULL) && s->busy == 0) {
        fatal = s->fatal;
        s->fatal = NULL;
    }
    Py_DECREF((PyObject *)s);
    if (wf_unlikely(fatal != NULL)) {
        wf_err_put(fatal);
    }
}

void wf_http_wake(struct wf_http_server *s, PyObject **slot) {
    PyObject *future = *slot; /* owned now */
    *slot = NULL;
    if (future == NULL) {
        return;
    }
    if (s->state->http.str.done == NULL || wf_pyloop_reactor(s->state, s->loop) == NULL) {
        PyErr_Clear(); /* the module or the loop is gone, and with it whoever waited */
        Py_DECREF(future);
        return;
    }
    PyObject *done = PyObject_CallMethodNoArgs(future, s->state->http.str.done);
    PyObject *set = done == Py_False
                        ? PyObject_CallMethodOneArg(future, s->state->http.str.set_result, Py_None)
                        : NULL;
    if (done == NULL || (done == Py_False && set == NULL)) {
        PyErr_WriteUnraisable(future);
    }
    Py_XDECREF(set);
    Py_XDECREF(done);
    Py_DECREF(future);
}

PyObject *wf_http_future(struct wf_http_server *s) {
    return PyObject_CallMethodNoArgs(s->loop, s->state->http.str.create_future);
}

/* ---- life ---- */

/* Nobody waits any more for what the call runs. */
static void cut_off(struct wf_call *call) {
    call->gone = true;
    if (call->task != NULL) {
        wf_task_detach(call->task);
    }
    Py_CLEAR(call->background); /* was for after the reply */
    wf_call_finish(call);
}

/* Takes the server off the loop and closes every connection; calls still running are cut off: their
 * coroutines go on by themselves if they must. The caller holds a reference, since the loop's goes. */
static void end(struct wf_http_server *s) {
    if (s->server == NULL) {
        return;
    }
    s->busy++; /* what is freed here may call us: it would find half a server */
    if (s->started) {
        s->started = false;
        wf_pyloop_remove_guest(s->loop, &s->guest);
    }
    wf_server_abort(s->server);
    unsigned events;
    struct wf_exchange *ex;
    while ((ex = wf_server_next(s->server, &events)) != NULL) {
        if (ex->user == NULL) {
            wf_exchange_finish(ex);
        }
    }
    while (!wf_list_empty(&s->parked)) {
        cut_off(wf_container_of(s->parked.next, struct wf_call, node));
    }
    wf_jobs_collect(s);
    wf_timer_stop(s->reactor, &s->sweep);
    wf_server_free(s->server);
    s->server = NULL;
    s->recorder = NULL;
    wf_garbage_collect(s);
    wf_router_free(s->router);
    s->router = NULL;
    wf_http_statics_free(s);
    s->owed = WF_OWED_NOTHING;
    s->busy--;
}

/* module.name, owned, or NULL with an exception. */
static PyObject *import_from(const char *module, const char *name) {
    PyObject *m = PyImport_ImportModule(module);
    PyObject *o = m != NULL ? PyObject_GetAttrString(m, name) : NULL;
    Py_XDECREF(m);
    return o;
}

static int import_helpers(struct wf_http_server *s) {
    const struct {
        const char *module, *name;
        PyObject **slot;
    } helpers[] = {
        {"weft.exceptions", "HTTPException", &s->http_exception},
        {"weft.exceptions", "RequestValidationError", &s->validation_error},
        {"weft.exceptions", "ClientDisconnect", &s->client_disconnect},
        {"weft.exceptions", "plain", &s->plain_error},
        {"weft.exceptions", "sendable", &s->sendable_errors},
        {"weft.encoders", "attributes", &s->attributes},
        {"weft._stream", "pull", &s->pull},
        {"weft.background", "run", &s->run_background},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(helpers); i++) {
        *helpers[i].slot = import_from(helpers[i].module, helpers[i].name);
        if (*helpers[i].slot == NULL) {
            return -1;
        }
    }
    s->background = PySet_New(NULL);
    s->forget_background =
        s->background != NULL ? PyObject_GetAttrString(s->background, "discard") : NULL;
    if (s->forget_background == NULL) {
        return -1;
    }
    if (!PyType_Check(s->http_exception) || !PyFunction_Check(s->pull)) {
        PyErr_SetString(PyExc_TypeError, "HTTPException must be a class, and pull a function");
        return -1;
    }
    PyObject *get = import_from("logging", "getLogger");
    PyObject *logger = get != NULL ? PyObject_CallFunction(get, "s", "weft.error") : NULL;
    s->logger_error = logger != NULL ? PyObject_GetAttr(logger, s->state->http.str.error) : NULL;
    Py_XDECREF(logger);
    Py_XDECREF(get);
    return s->logger_error != NULL ? 0 : -1;
}

static PyObject *server_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static const char *const names[] = {"loop",
                                        "app",
                                        "request_class",
                                        "response_class",
                                        "config",
                                        "server_name",
                                        "access_log_fd",
                                        "on_error",
                                        "unrouted",
                                        "decode_bodies",
                                        "access_log_format",
                                        "forwarded",
                                        "redirect_slashes",
                                        "root_path",
                                        NULL};
    PyObject *loop, *app = Py_None, *request_class, *response_class = Py_None, *limits = Py_None,
                    *server_name = Py_None, *on_error = Py_None, *root_path = NULL;
    struct wf_forwarding proxies = {0};
    int log_fd = -1, unrouted = 0, decode_bodies = 1, redirect_slashes = 1, root_kept = 0;
    const char *log_format = "short";
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "OOO!|$OOOiOpps(SppB)p(Sp)", (char **)names, &loop, &app, &PyType_Type,
            &request_class, &response_class, &limits, &server_name, &log_fd, &on_error, &unrouted,
            &decode_bodies, &log_format, &proxies.networks, &proxies.anyone, &proxies.unix_sockets,
            &proxies.fields, &redirect_slashes, &root_path, &root_kept)) {
        return NULL;
    }
    struct wf_state *state = wf_state_of_type(type);
    struct wf_loop *reactor = state != NULL ? wf_pyloop_reactor(state, loop) : NULL;
    if (reactor == NULL) {
        return NULL;
    }
    if (!PyType_IsSubtype((PyTypeObject *)request_class, state->http.request_type)) {
        PyErr_SetString(PyExc_TypeError, "request_class must be a subclass of _core.Request");
        return NULL;
    }
    if (response_class != Py_None &&
        (!PyType_Check(response_class) ||
         !PyType_IsSubtype((PyTypeObject *)response_class, state->http.response_type))) {
        PyErr_SetString(PyExc_TypeError, "response_class must be a subclass of _core.Response");
        return NULL;
    }
    struct wf_http_server *s = (struct wf_http_server *)type->tp_alloc(type, 0); /* zeroed */
    if (s == NULL) {
        return NULL;
    }
    s->state = state;
    s->guest = (struct wf_guest){.self = (PyObject *)s,
                                 .before_wait = before_wait,
                                 .after_wait = after_wait,
                                 .closing = closing};
    s->reactor = reactor;
    wf_timer_init(&s->sweep, sweep);
    wf_list_init(&s->guest.node);
    wf_list_init(&s->parked);
    wf_list_init(&s->jobs_done);
    wf_pool_init(&s->calls, sizeof(struct wf_call), CALLS_KEPT);
    s->loop = Py_NewRef(loop);
    s->request_class = Py_NewRef(request_class);
    s->response_class = response_class != Py_None ? Py_NewRef(response_class) : NULL;
    s->on_error = on_error != Py_None ? Py_NewRef(on_error) : NULL;
    s->layers = PyList_New(0);
    wf_server_config_default(&s->config);
    s->config.access_log_fd = log_fd;
    s->config.keep_codings = !decode_bodies;
    wf_http_set_forwarding(s, &proxies);
    wf_http_set_root_path(s, root_path, root_kept != 0);
    if (wf_http_app_new(s, app) == NULL || s->layers == NULL ||
        wf_http_set_limits(&s->config, limits) < 0 ||
        wf_http_set_log_format(&s->config, log_format) < 0 ||
        wf_http_set_server_name(s, server_name) < 0 || import_helpers(s) < 0 ||
        wf_stepper_init(&s->stepper, state, loop) < 0) {
        goto fail;
    }
    s->router = wf_router_new();
    if (s->router != NULL) {
        struct wf_router_options *options = wf_router_options(s->router);
        options->unrouted = unrouted;
        options->redirect_slashes = redirect_slashes;
        options->user = s->apps;
        s->server = wf_server_new(reactor, &s->config, s->router);
    }
    if (s->server == NULL) {
        PyErr_NoMemory();
        goto fail;
    }
    return (PyObject *)s;
fail:
    Py_DECREF(s);
    return NULL;
}

/* What is in flight is ours too; a call that runs at this moment is in no list, and so is held. */
static int traverse_calls(struct wf_http_server *s, visitproc visit, void *arg) {
    for (struct wf_list *n = s->parked.next; n != NULL && n != &s->parked; n = n->next) {
        struct wf_call *call = wf_container_of(n, struct wf_call, node);
        Py_VISIT(call->plan.request);
        Py_VISIT(call->plan.response);
        Py_VISIT(call->plan.background);
        Py_VISIT(call->plan.parsed);
        Py_VISIT(call->plan.shaped);
        Py_VISIT(call->plan.body);
        Py_VISIT((PyObject *)call->chain);
        Py_VISIT(call->pull);
        Py_VISIT(call->context);
        Py_VISIT((PyObject *)call->task);
        Py_VISIT(call->body_waiter);
        Py_VISIT(call->background);
        Py_VISIT(call->rescued);
    }
    return wf_jobs_traverse(s, visit, arg);
}

static int server_traverse(PyObject *self, visitproc visit, void *arg) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(s->loop);
    Py_VISIT(s->request_class);
    Py_VISIT(s->response_class);
    Py_VISIT(s->http_exception);
    Py_VISIT(s->validation_error);
    Py_VISIT(s->client_disconnect);
    Py_VISIT(s->plain_error);
    Py_VISIT(s->attributes);
    Py_VISIT(s->sendable_errors);
    Py_VISIT(s->pull);
    Py_VISIT(s->run_background);
    Py_VISIT(s->background);
    Py_VISIT(s->forget_background);
    Py_VISIT(s->submit);
    Py_VISIT(s->logger_error);
    Py_VISIT(s->on_error);
    Py_VISIT(s->fatal);
    Py_VISIT(s->stepper.loop);
    Py_VISIT((PyObject *)s->stepper.spare);
    int rc = wf_http_apps_traverse(s, visit, arg);
    rc = rc != 0 ? rc : wf_routes_traverse(s, visit, arg);
    return rc != 0 ? rc : traverse_calls(s, visit, arg);
}

static int server_clear(PyObject *self) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    end(s);
    wf_stepper_clear(&s->stepper);
    wf_router_free(s->router);
    s->router = NULL;
    wf_routes_clear(s);
    Py_CLEAR(s->request_class);
    Py_CLEAR(s->response_class);
    Py_CLEAR(s->http_exception);
    Py_CLEAR(s->validation_error);
    Py_CLEAR(s->client_disconnect);
    Py_CLEAR(s->plain_error);
    Py_CLEAR(s->attributes);
    Py_CLEAR(s->sendable_errors);
    Py_CLEAR(s->pull);
    Py_CLEAR(s->run_background);
    Py_CLEAR(s->background);
    Py_CLEAR(s->forget_background);
    Py_CLEAR(s->submit);
    Py_CLEAR(s->logger_error);
    Py_CLEAR(s->on_error);
    wf_http_apps_clear(s);
    Py_CLEAR(s->fatal);
    Py_CLEAR(s->loop);
    return 0;
}

static void server_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    struct wf_http_server *s = (struct wf_http_server *)self;
    PyObject_GC_UnTrack(self);
    if (s->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    server_clear(self);
    Py_CLEAR(s->server_name);
    Py_CLEAR(s->networks);
    Py_CLEAR(s->root_path);
    wf_pool_free_all(&s->calls);
    wf_http_apps_free(s);
    wf_sessions_free(s);
    Py_XDECREF(s->layers);
    type->tp_free(self);
    Py_DECREF(type);
}

static int server_open(const struct wf_http_server *s) {
    if (s->server == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the server is closed");
        return -1;
    }
    return 0;
}

int wf_server_takes(const struct wf_http_server *s, const char *what) {
    if (server_open(s) < 0) {
        return -1;
    }
    if (s->started) {
        PyErr_Format(PyExc_RuntimeError, "%s are added before the server starts", what);
        return -1;
    }
    return 0;
}

PyDoc_STRVAR(
    add_route_doc,
    "add_route($self, path, methods, plan, *, kind='async', status_code=200,\n"
    "          response_class=None, text_type=None, body_max=None, name='', params=None,\n"
    "          cancel=True, form_limits=..., model=None, shape=..., mount=0,\n"
    "          timeout_ms=0, strict_content_type=True, route=None, handler=None)\n--\n\n"
    "Adds a route; before start(). response_class: called as (content, status_code=) with "
    "a result that "
    "is no Response; None: results become JSON. text_type: bytes, the content-type a str "
    "result is sent with without making a response_class. kind: 'async', 'thread' (a sync "
    "function in the thread pool) or "
    "'inline' (a sync function on the loop). body_max: bytes; None: the server's limit. "
    "params: dict, the path's parameters in order, and the type of each in path_params. "
    "cancel: the endpoint, when its client leaves. model: called with a result that is no "
    "Response, gives its JSON, or plain values for response_class. shape: (Shape, flags), by "
    "which the JSON of such a result is written where it is proved to be the model's. mount: the "
    "router it is in, of add_mount. timeout_ms: 0 for none. strict_content_type: a body is JSON "
    "only "
    "where its content-type says so. route: what its requests have as _route. handler: its own, "
    "async, called with the request, which awaits request._answer(). Raises ValueError for a bad "
    "pattern or method.");

static PyObject *server_add_route(PyObject *self, PyObject *args, PyObject *kwargs) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    if (wf_server_takes(s, "routes") < 0) {
        return NULL;
    }
    return wf_route_add(s, args, kwargs) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(add_layer_doc, "add_layer($self, kind, config, mount=0, /)\n--\n\n"
                            "A C step around every request, or those of a mount, inside of those "
                            "added before. See weft.middleware.");

static PyObject *server_add_layer(PyObject *self, PyObject *args) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    if (wf_server_takes(s, "layers") < 0) {
        return NULL;
    }
    return wf_http_add_layer(s, args) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(inner_layers_doc,
             "inner_layers($self, outer, mount, /)\n--\n\n"
             "Layers, to be filled: C steps within middleware in Python. outer: those around them, "
             "of this App or of one that it is mounted in, or None.");

static PyObject *server_inner_layers(PyObject *self, PyObject *args) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    if (wf_server_takes(s, "layers") < 0) {
        return NULL;
    }
    return wf_http_inner_layers(s, args);
}

PyDoc_STRVAR(handlers_doc,
             "set_exception_handlers($self, by_class, by_status, mount=0, /)\n--\n\n"
             "dict[type, handler] and dict[int, handler]; a handler is called with (request, exc), "
             "may be async, and returns the reply.");

PyDoc_STRVAR(
    add_mount_doc,
    "add_mount($self, parent, pattern, host, app, unrouted, redirect_slashes, /)\n--\n\n"
    "int: of a router for all that is beneath a path, or with `host` behind a host name, within "
    "router `parent` (0: the server's own). app: None for that of the parent.");

PyDoc_STRVAR(add_fallback_doc,
             "add_fallback($self, parent, /)\n--\n\n"
             "int: of a router that is asked where router `parent` has no route for a path.");

PyDoc_STRVAR(
    add_static_doc,
    "add_static($self, mount, pattern, directories, types, html, follow_symlink,\n"
    "           precompressed, /)\n--\n\n"
    "Answers with files, in C; the pattern ends with a path parameter. directories: tuple of "
    "bytes. types: tuple of (suffix, media type), bytes, sorted.");

/* A method that is another file's, while the server is open. */
#define METHOD(name)                                                                               \
    static PyObject *server_##name(PyObject *self, PyObject *args) {                               \
        struct wf_http_server *s = (struct wf_http_server *)self;                                  \
        return server_open(s) < 0 ? NULL : wf_http_##name(s, args);                                \
    }
METHOD(set_middleware)
METHOD(set_overrides)
METHOD(set_exception_handlers)
METHOD(add_mount)
METHOD(add_fallback)
METHOD(add_static)
#undef METHOD

/* ---- listening ---- */

static PyObject *os_error(int rc) {
    errno = -rc;
    return PyErr_SetFromErrno(PyExc_OSError);
}

PyDoc_STRVAR(listen_doc, "listen($self, host, port, reuse_port=False, /)\n--\n\n"
                         "Listens on a numeric IPv4 or IPv6 address. Raises OSError.");

static PyObject *server_listen(PyObject *self, PyObject *args) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    const char *host;
    int port, reuse = 0;
    struct wf_addr addr;
    if (!PyArg_ParseTuple(args, "si|p", &host, &port, &reuse) || server_open(s) < 0) {
        return NULL;
    }
    if (port < 0 || port > 65535) {
        PyErr_Format(PyExc_ValueError, "port must be between 0 and 65535, not %d", port);
        return NULL;
    }
    int rc = wf_addr_ip(&addr, host, (uint16_t)port);
    if (rc < 0) {
        PyErr_Format(PyExc_ValueError, "'%s' is not a numeric IP address", host);
        return NULL;
    }
    rc = wf_server_listen(s->server, &addr, reuse ? WF_LISTEN_REUSEPORT : 0);
    if (rc < 0) {
        return os_error(rc);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(listen_unix_doc,
             "listen_unix($self, path, /)\n--\n\nListens on a unix socket. Raises OSError.");

static PyObject *server_listen_unix(PyObject *self, PyObject *path) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    PyObject *fs;
    struct wf_addr addr;
    if (server_open(s) < 0 || !PyUnicode_FSConverter(path, &fs)) {
        return NULL;
    }
    int rc = wf_addr_unix(&addr, PyBytes_AS_STRING(fs));
    Py_DECREF(fs);
    if (rc == 0) {
        rc = wf_server_listen(s->server, &addr, 0);
    }
    if (rc < 0) {
        return os_error(rc);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(listen_fd_doc, "listen_fd($self, fd, /)\n--\n\n"
                            "Accepts from a listening socket made elsewhere, which is the server's "
                            "from now on. Raises OSError.");

static PyObject *server_listen_fd(PyObject *self, PyObject *fd_object) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    int fd = PyObject_AsFileDescriptor(fd_object);
    if (fd < 0 || server_open(s) < 0) {
        return NULL;
    }
    int rc = wf_server_listen_fd(s->server, fd);
    if (rc < 0) {
        return os_error(rc);
    }
    Py_RETURN_NONE;
}

static PyObject *server_start(PyObject *self, PyObject *ignored) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    if (server_open(s) < 0) {
        return NULL;
    }
    if (!s->started) {
        s->started = true;
        wf_pyloop_add_guest(s->loop, &s->guest);
    }
    Py_RETURN_NONE;
}

static PyObject *server_drain(PyObject *self, PyObject *ignored) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    if (s->server != NULL) {
        s->draining = true;
        wf_server_drain(s->server);
        cancel_parked(s, wf_call_ends_with_drain);
    }
    Py_RETURN_NONE;
}

static PyObject *server_abort(PyObject *self, PyObject *ignored) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    abort_or_end(s, WF_OWED_ABORT);
    Py_RETURN_NONE;
}

static PyObject *server_close(PyObject *self, PyObject *ignored) {
    abort_or_end((struct wf_http_server *)self, WF_OWED_END);
    Py_RETURN_NONE;
}

static PyObject *server_counters(PyObject *self, PyObject *ignored) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    if (server_open(s) < 0) {
        return NULL;
    }
    return wf_http_counters(s);
}

static PyObject *server_record(PyObject *self, PyObject *args) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    return server_open(s) < 0 || wf_http_record(s, args) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *server_recorded(PyObject *self, PyObject *after) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    return server_open(s) < 0 ? NULL : wf_http_recorded(s, after);
}

static PyObject *get_addresses(PyObject *self, void *closure) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    PyObject *list = PyList_New(0);
    const struct wf_addr *addr;
    for (unsigned i = 0; list != NULL && s->server != NULL; i++) {
        char text[WF_ADDR_CHARS_MAX];
        if ((addr = wf_server_address(s->server, i)) == NULL) {
            break;
        }
        PyObject *one = PyUnicode_FromStringAndSize(text, (Py_ssize_t)wf_addr_write(addr, text));
        if (one == NULL || PyList_Append(list, one) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(one);
    }
    return list;
}

static PyObject *get_open_connections(PyObject *self, void *closure) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    return PyLong_FromUnsignedLongLong(s->server != NULL ? wf_server_open_connections(s->server)
                                                         : 0);
}

static PyObject *get_running(PyObject *self, void *closure) {
    struct wf_http_server *s = (struct wf_http_server *)self;
    uint64_t background = s->background != NULL ? (uint64_t)PySet_GET_SIZE(s->background) : 0;
    return PyLong_FromUnsignedLongLong(
        background + s->nleft + (s->server != NULL ? wf_server_running_exchanges(s->server) : 0));
}

PyDoc_STRVAR(record_doc, "record($self, skip, slots, /)\n--\n\n"
                         "Keeps the last `slots` requests whose path does not begin with the bytes "
                         "`skip`; before layers and routes are added. It costs time.");

PyDoc_STRVAR(
    recorded_doc,
    "recorded($self, after, /)\n--\n\n"
    "The requests kept whose number is greater than `after`, as tuples: number, which add_route or "
    "add_static it was for (from 0) or None, method, the first 256 bytes of the target, its "
    "length, status (0: the "
    "client left), bytes of content, and when it came to each stage, in nanoseconds of "
    "time.monotonic_ns(), 0 where it did not: first byte, head parsed, body whole, taken, "
    "called, reply begun, ended.");

static PyGetSetDef server_getset[] = {
    {"addresses", get_addresses, NULL, "list[str]: 'host:port' or 'unix:path', as bound", NULL},
    {"open_connections", get_open_connections, NULL, "int", NULL},
    {"running", get_running, NULL, "int: requests being handled, and background tasks", NULL},
    {NULL},
};

static PyMethodDef server_methods[] = {
    {"add_layer", server_add_layer, METH_VARARGS, add_layer_doc},
    {"inner_layers", server_inner_layers, METH_VARARGS, inner_layers_doc},
    {"add_route", (PyCFunction)(void (*)(void))server_add_route, METH_VARARGS | METH_KEYWORDS,
     add_route_doc},
    {"set_exception_handlers", server_set_exception_handlers, METH_VARARGS, handlers_doc},
    {"set_middleware", server_set_middleware, METH_VARARGS,
     "set_middleware($self, middleware, rescue, mount=0, /)\n--\n\n"
     "Requests are answered by middleware(request, call_next): those to routes that are added "
     "later, "
     "and to none. rescue(app, request, exc) makes a Response of an exception, or raises it "
     "again."},
    {"set_overrides", server_set_overrides, METH_VARARGS,
     "set_overrides($self, overrides, override, mount=0, /)\n--\n\n"
     "While the dict `overrides` is not empty, a plan with dependencies is run as override(plan)."},
    {"add_mount", server_add_mount, METH_VARARGS, add_mount_doc},
    {"add_fallback", server_add_fallback, METH_VARARGS, add_fallback_doc},
    {"add_static", server_add_static, METH_VARARGS, add_static_doc},
    {"listen", server_listen, METH_VARARGS, listen_doc},
    {"listen_unix", server_listen_unix, METH_O, listen_unix_doc},
    {"listen_fd", server_listen_fd, METH_O, listen_fd_doc},
    {"start", server_start, METH_NOARGS, "start($self, /)\n--\n\nTakes part in the loop's turns."},
    {"drain", server_drain, METH_NOARGS,
     "drain($self, /)\n--\n\nStops accepting and closes idle connections; replies say connection: "
     "close, and streams of events end."},
    {"abort", server_abort, METH_NOARGS,
     "abort($self, /)\n--\n\nCloses every connection now, cancels running handlers and background "
     "tasks."},
    {"close", server_close, METH_NOARGS,
     "close($self, /)\n--\n\nEnds the server; called by a handler, once that has returned. "
     "Idempotent."},
    {"counters", server_counters, METH_NOARGS,
     "counters($self, /)\n--\n\ndict[str, int]: totals since the start, and open connections."},
    {"record", server_record, METH_VARARGS, record_doc},
    {"recorded", server_recorded, METH_O, recorded_doc},
    {NULL},
};

static PyMemberDef server_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct wf_http_server, weakrefs), READONLY, NULL},
    {NULL},
};

PyDoc_STRVAR(
    server_doc,
    "Server(loop, app, request_class, *, response_class=None, config=None, server_name=None,\n"
    "       access_log_fd=-1, on_error=None, unrouted=False, decode_bodies=True,\n"
    "       access_log_format='short', forwarded=(b'', False, False, 0),\n"
    "       redirect_slashes=True, root_path=(b'', False))\n--\n\n"
    "The HTTP server on a weft loop. config: limits by name (docs: limits). unrouted: 404 and 405 "
    "go "
    "through the exception handlers instead of being answered in C. decode_bodies: undo the gzip, "
    "br "
    "and zstd of requests.");

static PyType_Slot server_slots[] = {
    {Py_tp_doc, (void *)server_doc},
    {Py_tp_new, server_new},
    {Py_tp_methods, server_methods},
    {Py_tp_getset, server_getset},
    {Py_tp_members, server_members},
    {Py_tp_traverse, server_traverse},
    {Py_tp_clear, server_clear},
    {Py_tp_dealloc, server_dealloc},
    {0, NULL},
};

PyType_Spec wf_server_spec = {
    .name = "weft._core.Server",
    .basicsize = sizeof(struct wf_http_server),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = server_slots,
};

/* ---- the room ---- */

/* Makes a type (with the type `base` as its base where it is not NULL) and offers it to the module. */
static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    if (type != NULL && PyModule_AddType(module, (PyTypeObject *)type) < 0) {
        Py_CLEAR(type);
    }
    return (PyTypeObject *)type;
}

int wf_http_exec(PyObject *module, struct wf_state *state) {
    struct wf_http_state *h = &state->http;
#define X(name)                                                                                    \
    h->str.name = PyUnicode_InternFromString(#name);                                               \
    if (h->str.name == NULL) {                                                                     \
        return -1;                                                                                 \
    }
    WF_HTTP_NAMES(X)
#undef X
    h->kw_body = PyTuple_Pack(1, h->str.body);
    h->kw_exc_info = PyTuple_Pack(1, h->str.exc_info);
    h->kw_status_code = PyTuple_Pack(1, h->str.status_code);
    h->exception_in = PyUnicode_FromString("Exception in %s");
    h->json_field = Py_BuildValue("(yy)", "content-type", "application/json");
    h->content_length = PyBytes_FromString("content-length");
    if (h->kw_body == NULL || h->kw_exc_info == NULL || h->kw_status_code == NULL ||
        h->exception_in == NULL || h->json_field == NULL || h->content_length == NULL) {
        return -1;
    }
    wf_http1_init();
    if (wf_http_add_codings(module) < 0) {
        return -1;
    }
    return (h->request_type = add_type(module, &wf_request_spec, NULL)) != NULL &&
                   (h->response_type = add_type(module, &wf_response_spec, NULL)) != NULL &&
                   (h->file_type = add_type(module, &wf_file_response_spec, h->response_type)) !=
                       NULL &&
                   (h->streaming_type = add_type(module, &wf_streaming_spec, h->response_type)) !=
                       NULL &&
                   (h->writer_type = add_type(module, &wf_writer_spec, NULL)) != NULL &&
                   (h->job_type = add_type(module, &wf_job_spec, NULL)) != NULL &&
                   (h->chain_type = add_type(module, &wf_chain_spec, NULL)) != NULL &&
                   (h->answer_type = add_type(module, &wf_answer_spec, NULL)) != NULL &&
                   (h->call_next_type = add_type(module, &wf_call_next_spec, NULL)) != NULL &&
                   (h->layers_type = add_type(module, &wf_layers_spec, NULL)) != NULL &&
                   (h->passage_type = add_type(module, &wf_passage_spec, NULL)) != NULL &&
                   (h->encoder_type = add_type(module, &wf_encoder_spec, NULL)) != NULL &&
                   (h->server_type = add_type(module, &wf_server_spec, NULL)) != NULL
               ? 0
               : -1;
}

int wf_http_traverse(struct wf_http_state *s, visitproc visit, void *arg) {
    Py_VISIT(s->server_type);
    Py_VISIT(s->request_type);
    Py_VISIT(s->response_type);
    Py_VISIT(s->streaming_type);
    Py_VISIT(s->file_type);
    Py_VISIT(s->writer_type);
    Py_VISIT(s->job_type);
    Py_VISIT(s->chain_type);
    Py_VISIT(s->answer_type);
    Py_VISIT(s->call_next_type);
    Py_VISIT(s->layers_type);
    Py_VISIT(s->passage_type);
    Py_VISIT(s->encoder_type);
    Py_VISIT(s->background_tasks);
    return 0;
}

void wf_http_clear(struct wf_http_state *s) {
    Py_CLEAR(s->server_type);
    Py_CLEAR(s->request_type);
    Py_CLEAR(s->response_type);
    Py_CLEAR(s->streaming_type);
    Py_CLEAR(s->file_type);
    Py_CLEAR(s->writer_type);
    Py_CLEAR(s->job_type);
    Py_CLEAR(s->chain_type);
    Py_CLEAR(s->answer_type);
    Py_CLEAR(s->call_next_type);
    Py_CLEAR(s->layers_type);
    Py_CLEAR(s->passage_type);
    Py_CLEAR(s->encoder_type);
    Py_CLEAR(s->background_tasks);
    Py_CLEAR(s->kw_body);
    Py_CLEAR(s->kw_exc_info);
    Py_CLEAR(s->kw_status_code);
    Py_CLEAR(s->exception_in);
    Py_CLEAR(s->json_field);
    Py_CLEAR(s->content_length);
#define X(name) Py_CLEAR(s->str.name);
    WF_HTTP_NAMES(X)
#undef X
}
