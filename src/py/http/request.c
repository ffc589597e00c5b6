/* _core.Request: made only for handlers that ask, and each attribute only when it is read. */
#include "py/http/http_int.h"

PyObject *wf_request_new(struct wf_plan_call *plan_call) {
    struct wf_call *call = (struct wf_call *)plan_call;
    struct wf_http_server *s = call->server;
    PyTypeObject *type = (PyTypeObject *)s->request_class;
    struct wf_request *r = (struct wf_request *)type->tp_alloc(type, 0); /* zeroed */
    if (r == NULL) {
        return NULL;
    }
    struct wf_exchange *ex = plan_call->ex;
    r->call = call;
    r->server = (struct wf_http_server *)Py_NewRef((PyObject *)s);
    r->base = ex->base;
    r->head = ex->head;
    r->app = call->app;
    r->https = ex->https;
    if (wf_unlikely(ex->host.n != 0)) {
        r->host = PyUnicode_DecodeLatin1(ex->host.p, (Py_ssize_t)ex->host.n, NULL);
        if (r->host == NULL) {
            Py_CLEAR(r);
        }
    }
    return (PyObject *)r;
}

/* The decoded path, new reference. */
static PyObject *path_text(struct wf_exchange *ex) {
    return PyUnicode_DecodeUTF8(ex->path.p, (Py_ssize_t)ex->path.n, "replace");
}

/* The server's, and of what is mounted its prefix. */
static PyObject *root_path_text(struct wf_exchange *ex) {
    return PyUnicode_DecodeUTF8(ex->path.p, (Py_ssize_t)ex->match.root_n, "replace");
}

static PyObject *addr_tuple(const struct wf_addr *a) {
    char text[WF_ADDR_CHARS_MAX];
    size_t n = wf_addr_write(a, text);
    if (a->sa.sa_family == AF_UNIX) { /* "unix:path" */
        return Py_BuildValue("(NO)", PyUnicode_DecodeFSDefaultAndSize(text + 5, (Py_ssize_t)n - 5),
                             Py_None);
    }
    char *colon = text + n;
    while (colon > text && colon[-1] != ':') {
        colon--;
    }
    char *host = text;
    Py_ssize_t host_n = colon - 1 - text;
    if (host[0] == '[') {
        host++;
        host_n -= 2;
    }
    return Py_BuildValue("(s#i)", host, host_n, atoi(colon));
}

/* As servers of ASGI say it: a client of a unix socket is nobody, even where it has a name. */
static PyObject *peer_tuple(struct wf_exchange *ex) {
    const struct wf_addr *a = wf_exchange_peer(ex);
    return a->sa.sa_family == AF_UNIX ? Py_NewRef(Py_None) : addr_tuple(a);
}

/* What a path parameter's text is to the application: the pattern has seen to it that it converts.
 */
static PyObject *param_value(struct wf_span text, PyObject *type) {
    PyObject *value = PyUnicode_DecodeUTF8(text.p, (Py_ssize_t)text.n, "replace");
    if (value != NULL && type != (PyObject *)&PyUnicode_Type) {
        Py_SETREF(value, PyObject_CallOneArg(type, value));
    }
    return value;
}

static PyObject *params_dict(struct wf_call *call) {
    PyObject *dict = PyDict_New();
    PyObject *params =
        call->route != NULL ? call->route->params : NULL; /* borrowed, never changed */
    const struct wf_match *m = &call->plan.ex->match;
    for (unsigned i = 0; dict != NULL && params != NULL && i < m->nparams; i++) {
        PyObject *name, *type; /* borrowed */
        if (i >= (unsigned)PyTuple_GET_SIZE(params) ||
            !PyArg_ParseTuple(PyTuple_GET_ITEM(params, i), "OO", &name, &type)) {
            break;
        }
        PyObject *value = param_value(m->params[i], type);
        if (value == NULL || PyDict_SetItem(dict, name, value) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(value);
    }
    return dict;
}

/* The bytes of the head that offsets may point at. */
static size_t head_bytes(const struct wf_head *h) {
    size_t n = (size_t)h->target_at.at + h->target_at.n;
    n = WF_MAX(n, (size_t)h->method_at.at + h->method_at.n);
    if (h->nfields != 0) {
        const struct wf_field *last = &h->fields[h->nfields - 1];
        n = WF_MAX(n, (size_t)last->value_at + last->value_len);
        n = WF_MAX(n, (size_t)last->name_at + last->name_len);
    }
    return n;
}

void wf_request_detach(PyObject *request) {
    struct wf_request *r = wf_request_origin(request);
    if (Py_REFCNT(request) > 1 || (r != (struct wf_request *)request && Py_REFCNT(r) > 1)) {
        /* Somebody kept it: an exception, a background task, a log. Keep what they may read. */
        struct wf_call *call = r->call;
        size_t fields = sizeof(struct wf_field) * r->head.nfields, bytes = head_bytes(&r->head);
        char *copy = wf_malloc(fields + bytes);
        bool whole = copy != NULL;
        if (whole) {
            memcpy(copy, r->head.fields, fields);
            memcpy(copy + fields, r->base, bytes);
            r->head.fields = (struct wf_field *)copy;
            r->base = copy + fields;
            r->copy = copy;
        } else {
            r->head = (struct wf_head){0};
        }
        if (r->path == NULL) {
            r->path = path_text(call->plan.ex);
        }
        if (r->root_path == NULL) {
            r->root_path = root_path_text(call->plan.ex);
        }
        if (r->path_params == NULL) {
            r->path_params = params_dict(call);
        }
        if (r->client == NULL) {
            r->client = peer_tuple(call->plan.ex);
        }
        if (r->local == NULL) {
            r->local = addr_tuple(wf_exchange_local(call->plan.ex));
        }
        PyErr_Clear(); /* out of memory: the attribute raises when it is read */
    } else {
        r->head = (struct wf_head){0}; /* nobody can read it now, but a subclass's __del__ */
    }
    r->call = NULL;
}

/* ---- attributes ---- */

static PyObject *over(void) {
    PyErr_SetString(PyExc_RuntimeError, "the request is over, and this was not read while it ran");
    return NULL;
}

static PyObject *get_method(PyObject *self, void *closure) {
    struct wf_request *r = wf_request_origin(self);
    struct wf_span m = wf_head_span(r->base, r->head.method_at);
    return PyUnicode_DecodeLatin1(m.p, (Py_ssize_t)m.n, NULL);
}

static PyObject *get_http_version(PyObject *self, void *closure) {
    return PyUnicode_FromString(wf_request_origin(self)->head.minor_version ? "1.1" : "1.0");
}

static PyObject *get_scheme(PyObject *self, void *closure) {
    return PyUnicode_FromString(wf_request_origin(self)->https ? "https" : "http");
}

static PyObject *get_forwarded_host(PyObject *self, void *closure) {
    PyObject *host = wf_request_origin(self)->host;
    return Py_NewRef(host != NULL ? host : Py_None);
}

static PyObject *get_path(PyObject *self, void *closure) {
    struct wf_request *r = wf_request_origin(self);
    if (r->path == NULL) {
        if (r->call == NULL) {
            return over();
        }
        r->path = path_text(r->call->plan.ex);
    }
    return Py_XNewRef(r->path);
}

static PyObject *get_raw_path(PyObject *self, void *closure) {
    struct wf_request *r = wf_request_origin(self);
    struct wf_span s = wf_head_span(r->base, r->head.path_at);
    return s.n != 0 ? PyBytes_FromStringAndSize(s.p, (Py_ssize_t)s.n)
                    : PyBytes_FromStringAndSize("/", 1);
}

static PyObject *get_query_string(PyObject *self, void *closure) {
    struct wf_request *r = wf_request_origin(self);
    struct wf_span s = wf_head_span(r->base, r->head.query_at);
    return PyBytes_FromStringAndSize(s.n != 0 ? s.p : "", (Py_ssize_t)s.n);
}

static PyObject *field_pair(const char *base, const struct wf_field *f) {
    PyObject *name = PyBytes_FromStringAndSize(base + f->name_at, f->name_len);
    PyObject *value = PyBytes_FromStringAndSize(base + f->value_at, (Py_ssize_t)f->value_len);
    PyObject *pair = name != NULL && value != NULL ? PyTuple_New(2) : NULL;
    if (pair == NULL) {
        Py_XDECREF(name);
        Py_XDECREF(value);
        return NULL;
    }
    char *p = PyBytes_AS_STRING(name);
    for (Py_ssize_t i = 0; i < PyBytes_GET_SIZE(name); i++) {
        p[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] | 0x20) : p[i];
    }
    PyTuple_SET_ITEM(pair, 0, name);
    PyTuple_SET_ITEM(pair, 1, value);
    return pair;
}

static PyObject *get_raw_headers(PyObject *self, void *closure) {
    struct wf_request *r = wf_request_origin(self);
    if (r->raw_headers == NULL) {
        PyObject *list = PyList_New(r->head.nfields);
        for (unsigned i = 0; list != NULL && i < r->head.nfields; i++) {
            PyObject *pair = field_pair(r->base, &r->head.fields[i]);
            if (pair == NULL) {
                Py_CLEAR(list);
                break;
            }
            PyList_SET_ITEM(list, i, pair);
        }
        r->raw_headers = list;
    }
    return Py_XNewRef(r->raw_headers);
}

static PyObject *get_path_params(PyObject *self, void *closure) {
    struct wf_request *r = wf_request_origin(self);
    if (r->path_params == NULL) {
        if (r->call == NULL) {
            return over();
        }
        r->path_params = params_dict(r->call);
    }
    return Py_XNewRef(r->path_params);
}

static PyObject *get_client(PyObject *self, void *closure) {
    struct wf_request *r = wf_request_origin(self);
    if (r->client == NULL) {
        if (r->call == NULL) {
            return over();
        }
        r->client = peer_tuple(r->call->plan.ex);
    }
    return Py_XNewRef(r->client);
}

static PyObject *get_server(PyObject *self, void *closure) {
    struct wf_request *r = wf_request_origin(self);
    if (r->local == NULL) {
        if (r->call == NULL) {
            return over();
        }
        r->local = addr_tuple(wf_exchange_local(r->call->plan.ex));
    }
    return Py_XNewRef(r->local);
}

static PyObject *get_app(PyObject *self, void *closure) {
    struct wf_http_app *app = wf_request_origin(self)->app;
    return Py_NewRef(app != NULL && app->app != NULL ? app->app : Py_None);
}

static PyObject *get_route(PyObject *self, void *closure) {
    const struct wf_call *call = wf_request_origin(self)->call;
    bool routed = call != NULL && call->route != NULL && call->route->object != NULL;
    return Py_NewRef(routed ? call->route->object : Py_None);
}

static PyObject *get_outermost_app(PyObject *self, void *closure) {
    struct wf_http_app *app = wf_request_origin(self)->server->apps;
    return Py_NewRef(app != NULL && app->app != NULL ? app->app : Py_None);
}

static PyObject *get_outermost_root_path(PyObject *self, void *closure) {
    struct wf_span root = wf_request_origin(self)->server->config.root_path;
    return PyUnicode_DecodeUTF8(root.p, (Py_ssize_t)root.n, "replace");
}

static PyObject *get_root_path(PyObject *self, void *closure) {
    struct wf_request *r = wf_request_origin(self);
    if (r->root_path == NULL) {
        if (r->call == NULL) {
            return over();
        }
        r->root_path = root_path_text(r->call->plan.ex);
    }
    return Py_XNewRef(r->root_path);
}

/* What a handler that gives another body has to know. */
static PyObject *get_body_read(PyObject *self, void *closure) {
    struct wf_call *call = wf_request_origin(self)->call;
    if (call == NULL || call->plan.ex == NULL || call->route == NULL ||
        call->route->leaf.body_mode != WF_BODY_BUFFER) {
        Py_RETURN_NONE;
    }
    return PyUnicode_FromString(wf_plan_body_is_json(&call->plan) ? "json" : "bytes");
}

static PyObject *get_session(PyObject *self, void *closure) {
    return wf_session_open(wf_request_origin(self));
}

static PyGetSetDef request_getset[] = {
    {"method", get_method, NULL, "str: as sent, normally upper case (RFC 9110 section 9)", NULL},
    {"http_version", get_http_version, NULL, "str: '1.0' or '1.1'", NULL},
    {"scheme", get_scheme, NULL, "str: 'http', or 'https' where a trusted proxy says so", NULL},
    {"_session", get_session, NULL, "Session: AssertionError without SessionMiddleware", NULL},
    {"_forwarded_host", get_forwarded_host, NULL,
     "str | None: what the client called the proxy, as that says where it is trusted", NULL},
    {"path", get_path, NULL, "str: percent-decoded, without the query", NULL},
    {"raw_path", get_raw_path, NULL, "bytes: the path as sent, without the query", NULL},
    {"query_string", get_query_string, NULL, "bytes: what follows the first '?', as sent", NULL},
    {"raw_headers", get_raw_headers, NULL,
     "list[tuple[bytes, bytes]]: field lines in order, names in lower case", NULL},
    {"path_params", get_path_params, NULL, "dict[str, Any]: what the route's {names} matched",
     NULL},
    {"client", get_client, NULL,
     "tuple[str, int] | None: the peer, or whom a trusted proxy names; None on a unix socket",
     NULL},
    {"server", get_server, NULL, "tuple[str, int | None]: the address the client connected to",
     NULL},
    {"app", get_app, NULL, "the App whose route it is; of a mounted one that", NULL},
    {"_route", get_route, NULL, "the route that answers it; None where there is none, and later",
     NULL},
    {"_body_read", get_body_read, NULL,
     "str | None: what parameters are read from the body as, 'json' or 'bytes'; None: they are not",
     NULL},
    {"_outermost_app", get_outermost_app, NULL, "the App that was given to Server", NULL},
    {"_outermost_root_path", get_outermost_root_path, NULL, "str: the root_path of Server", NULL},
    {"root_path", get_root_path, NULL,
     "str: what is in front of the paths of the App's own routes: of a mounted one its prefix",
     NULL},
    {NULL},
};

/* ---- the body ---- */

PyDoc_STRVAR(
    next_chunk_doc,
    "_next_chunk($self, /)\n--\n\n"
    "bytes: the next part of the body, b'' at its end; or a Future: await it, then call again. "
    "Raises ClientDisconnect, or HTTPException: 413 too large, 408 too slow, 400 malformed.");

PyObject *wf_http_raise(const char *name, const char *fmt, ...) {
    PyObject *module = PyImport_ImportModule("weft.exceptions");
    PyObject *cls = module != NULL ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    if (cls != NULL) {
        va_list args;
        va_start(args, fmt);
        PyObject *values = Py_VaBuildValue(fmt, args);
        va_end(args);
        PyObject *exc = values != NULL ? PyObject_CallObject(cls, values) : NULL;
        Py_XDECREF(values);
        Py_DECREF(cls);
        if (exc != NULL) {
            wf_err_put(exc);
        }
    }
    return NULL;
}

/* What EV_BODY wakes. One that was cancelled (somebody's timeout) is of no use any more. New
 * reference. */
static PyObject *body_waiter(struct wf_call *call) {
    struct wf_http_server *s = call->server;
    if (call->body_waiter != NULL) {
        PyObject *done = PyObject_CallMethodNoArgs(call->body_waiter, s->state->http.str.done);
        if (done == NULL) {
            return NULL;
        }
        if (done != Py_False) {
            Py_CLEAR(call->body_waiter);
        }
        Py_DECREF(done);
    }
    if (call->body_waiter == NULL) {
        call->body_waiter = wf_http_future(s);
    }
    return Py_XNewRef(call->body_waiter);
}

static PyObject *next_chunk(PyObject *self, PyObject *ignored) {
    struct wf_request *r = wf_request_origin(self);
    struct wf_call *call = r->call;
    if (call == NULL) {
        return over();
    }
    struct wf_exchange *ex = call->plan.ex;
    uint8_t mode = call->route != NULL ? call->route->leaf.body_mode : WF_BODY_IGNORE;
    if (mode == WF_BODY_FORM && ex->head.framing != WF_BODY_NONE) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the request's body has been read as the form that parameters of the "
                        "route are taken from: see form()");
        return NULL;
    }
    if (mode != WF_BODY_STREAM) {
        bool *taken = &((struct wf_request *)self)->body_taken;
        struct wf_span body = mode == WF_BODY_BUFFER && !*taken ? ex->body : WF_SPAN("");
        *taken = true;
        return PyBytes_FromStringAndSize(body.p, (Py_ssize_t)body.n);
    }
    struct wf_http_server *s = call->server;
    if (PyThread_get_thread_ident() != s->thread) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "the body is read on the server's loop, not in another thread: take it as a "
            "parameter of the handler, or make that async");
        return NULL;
    }
    if (ex->reply == WF_REPLY_OPEN) { /* its bytes stand where 100 Continue would go */
        PyErr_SetString(PyExc_RuntimeError, "the body cannot be read while the reply is encoded");
        return NULL;
    }
    struct wf_span chunk;
    switch (wf_body_read(ex, &chunk)) {
    case WF_BODY_DATA:
        return PyBytes_FromStringAndSize(chunk.p, (Py_ssize_t)chunk.n);
    case WF_BODY_END:
        return PyBytes_FromStringAndSize(NULL, 0);
    case WF_BODY_WAIT:
        return body_waiter(call);
    case WF_BODY_TOO_LARGE:
        return wf_http_raise("HTTPException", "(is)", 413, "Request Entity Too Large");
    case WF_BODY_TOO_SLOW:
        return wf_http_raise("HTTPException", "(is)", 408, "the request body arrives too slowly");
    case WF_BODY_MALFORMED:
        return wf_http_raise("HTTPException", "(is)", 400, "bad chunked body");
    case WF_BODY_BAD_CODING:
        return wf_http_raise("HTTPException", "(is)", 400,
                             "the request body is not what its Content-Encoding says");
    case WF_BODY_NOMEM:
        return PyErr_NoMemory();
    case WF_BODY_BROKEN:
    default:
        return wf_http_raise("ClientDisconnect", "()");
    }
}

PyDoc_STRVAR(
    form_items_doc,
    "_form_items($self, /)\n--\n\n"
    "list[tuple[str, str | UploadFile]]: of the form that parameters of the route are read "
    "from; None where there are none. Raises HTTPException: it is malformed.");

static PyObject *form_items(PyObject *self, PyObject *ignored) {
    struct wf_request *r = wf_request_origin(self);
    struct wf_call *call = r->call;
    if (call == NULL || call->plan.ex->form == NULL) {
        Py_RETURN_NONE;
    }
    if (call->plan.form == NULL) {
        call->plan.form = wf_form_to_list(r->server->state, call->plan.ex->form);
    }
    return Py_XNewRef(call->plan.form);
}

PyDoc_STRVAR(
    always_doc,
    "_always($self, texts, /)\n--\n\n"
    "Answers further requests to the route so, in C, or 304 to who has the etag. texts: bytes of "
    "content-type, etag and body. bool: not where there is middleware in Python.");

static PyObject *always(PyObject *self, PyObject *texts) {
    struct wf_request *r = wf_request_origin(self);
    if (r->call == NULL || r->call->route == NULL || !PyTuple_Check(texts)) {
        PyErr_SetString(PyExc_TypeError, "a tuple, while the request is being handled");
        return NULL;
    }
    int fixed = wf_route_fix(r->call->route, texts);
    return fixed < 0 ? NULL : PyBool_FromLong(fixed);
}

PyDoc_STRVAR(gone_doc, "_gone($self, /)\n--\n\nHas the client closed the connection?");

static PyObject *gone(PyObject *self, PyObject *ignored) {
    struct wf_call *call = wf_request_origin(self)->call;
    return PyBool_FromLong(call == NULL || call->gone || wf_exchange_gone(call->plan.ex));
}

PyDoc_STRVAR(
    answer_doc,
    "_answer($self, body, /)\n--\n\n"
    "What the original handler of a route with one of its own awaits: a Response. The request is "
    "the one that "
    "parameters get. body: bytes in place of what came, or None. RuntimeError: a second time.");

static PyObject *answer(PyObject *self, PyObject *body) {
    struct wf_call *call = wf_request_origin(self)->call;
    if (call == NULL || call->plan.ex == NULL) {
        return over();
    }
    if (call->chain == NULL || (body != Py_None && !PyBytes_Check(body))) {
        PyErr_SetString(PyExc_TypeError, "bytes or None, in the handler of a route");
        return NULL;
    }
    PyObject *awaitable = wf_chain_answer(call->chain);
    if (awaitable == NULL) {
        return NULL;
    }
    if (body != Py_None) {
        Py_XSETREF(call->body, Py_NewRef(body));
        call->plan.ex->body = wf_span(PyBytes_AS_STRING(body), (size_t)PyBytes_GET_SIZE(body));
    }
    if (call->plan.request != self) {
        Py_XSETREF(call->plan.request, Py_NewRef(self));
    }
    return awaitable;
}

static PyMethodDef request_methods[] = {
    {"_answer", answer, METH_O, answer_doc},
    {"_next_chunk", next_chunk, METH_NOARGS, next_chunk_doc},
    {"_form_items", form_items, METH_NOARGS, form_items_doc},
    {"_always", always, METH_O, always_doc},
    {"_gone", gone, METH_NOARGS, gone_doc},
    {NULL},
};

/* ---- the type ---- */

/* Request(other): one more of the same request, as classes of the application are made. */
static PyObject *request_of(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    struct wf_state *state = wf_state_of_type(type);
    PyObject *other; /* borrowed */
    if (state == NULL || !PyArg_ParseTuple(args, "O!", state->http.request_type, &other)) {
        return NULL;
    }
    struct wf_request *r = (struct wf_request *)type->tp_alloc(type, 0); /* zeroed */
    if (r != NULL) {
        r->origin = (struct wf_request *)Py_NewRef((PyObject *)wf_request_origin(other));
    }
    return (PyObject *)r;
}

static int request_traverse(PyObject *self, visitproc visit, void *arg) {
    struct wf_request *r = (struct wf_request *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)r->origin);
    Py_VISIT(r->server);
    Py_VISIT(r->path);
    Py_VISIT(r->raw_headers);
    Py_VISIT(r->path_params);
    Py_VISIT(r->client);
    Py_VISIT(r->local);
    Py_VISIT(r->root_path);
    Py_VISIT(r->host);
    Py_VISIT(r->session);
    return 0;
}

static int request_clear(PyObject *self) {
    struct wf_request *r = (struct wf_request *)self;
    Py_CLEAR(r->path);
    Py_CLEAR(r->raw_headers);
    Py_CLEAR(r->path_params);
    Py_CLEAR(r->client);
    Py_CLEAR(r->local);
    Py_CLEAR(r->root_path);
    Py_CLEAR(r->host);
    Py_CLEAR(r->session);
    return 0;
}

static void request_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    struct wf_request *r = (struct wf_request *)self;
    PyObject_GC_UnTrack(self);
    request_clear(self);
    wf_free(r->copy);
    Py_CLEAR(r->server);
    Py_CLEAR(r->origin);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(request_doc, "One request, read from the connection's own buffer. Use weft.Request.");

static PyType_Slot request_slots[] = {
    {Py_tp_doc, (void *)request_doc}, {Py_tp_getset, request_getset},
    {Py_tp_methods, request_methods}, {Py_tp_traverse, request_traverse},
    {Py_tp_clear, request_clear},     {Py_tp_dealloc, request_dealloc},
    {Py_tp_new, request_of},          {0, NULL},
};

PyType_Spec wf_request_spec = {
    .name = "weft._core.Request",
    .basicsize = sizeof(struct wf_request),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = request_slots,
};
