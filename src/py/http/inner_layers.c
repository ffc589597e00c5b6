/* Layers within Python middleware (docs/adr/0037): one link of the chain that middleware is composed to.
 *
 *   middleware ─▶ call_next ═ Layers(request, following) ─▶ Passage ─▶ before: 1st, 2nd, ... ─▶ following ─┐
 *                                                               │ one answers                              │
 *   middleware ◀────────── Response ◀───────────────────────────┴──── reply: ..., 2nd, 1st ◀── Response ◀──┘
 *
 * Layers is made once for a server, a Passage for each request. */
#include "base/num.h"
#include "py/http/chain_int.h"
#include "py/http/reply_int.h"
#include "serve/layer/layer.h"

struct inner_layers {
    PyObject_HEAD
    struct wf_http_server *server; /* owned */
    struct wf_layers *layers;      /* borrowed: of the server, while it is open */
    struct wf_sessions
        *sessions; /* borrowed: of the server, of the innermost that has some; or NULL */
    vectorcallfunc call;
};

enum passage_state {
    PASSAGE_NEW,
    PASSAGE_WAITS, /* for `inner` */
    PASSAGE_ENDED
};

struct passage {
    PyObject_HEAD
    struct inner_layers *within;  /* owned */
    struct wf_request *request;   /* owned */
    PyObject *following;          /* owned: called with the request, gives an awaitable */
    PyObject *inner;              /* owned: what that gave, or NULL */
    struct wf_outer_session kept; /* owned */
    uint8_t state;                /* enum passage_state */
    bool running;                 /* within send or throw */
};

/* The call, while it has its exchange; or NULL. */
static struct wf_call *call_of(const struct passage *p) {
    struct wf_call *call = p->request->call;
    return call != NULL && call->plan.ex != NULL && p->within->server->server != NULL ? call : NULL;
}

/* ---- a Response and its head ---- */

/* The pair of a field: that which it was read from, or a new one. New reference.
 * at  where to look on in `before`, the fields as they were */
static PyObject *pair_of(const struct wf_reply_field *field, PyObject *before, Py_ssize_t *at) {
    for (Py_ssize_t i = *at; i < PyList_GET_SIZE(before); i++) {
        PyObject *pair = PyList_GET_ITEM(before, i); /* borrowed; looked at by wf_fields_collect */
        if (PyBytes_AS_STRING(PyTuple_GET_ITEM(pair, 0)) == field->name.p) {
            *at = i + 1;
            if (PyBytes_AS_STRING(PyTuple_GET_ITEM(pair, 1)) == field->value.p) {
                return Py_NewRef(pair);
            }
            break;
        }
    }
    return Py_BuildValue("(y#y#)", field->name.p, (Py_ssize_t)field->name.n, field->value.p,
                         (Py_ssize_t)field->value.n);
}

/* The fields of an edit, beside what they were: new reference. */
static PyObject *pairs_of(const struct wf_head_edit *edit, PyObject *before) {
    PyObject *pairs = PyList_New(edit->head.nfields);
    Py_ssize_t at = 0;
    for (uint32_t i = 0; pairs != NULL && i < edit->head.nfields; i++) {
        PyObject *pair = pair_of(&edit->fields[i], before, &at);
        if (pair == NULL) {
            Py_CLEAR(pairs);
        } else {
            PyList_SET_ITEM(pairs, i, pair);
        }
    }
    return pairs;
}

/* A Response of what a layer has answered, new reference. */
static PyObject *response_of(struct wf_http_server *s, const struct wf_layer_answer *answer) {
    if (answer->head.status == 0) {
        return PyErr_NoMemory();
    }
    PyTypeObject *type = s->response_class != NULL ? (PyTypeObject *)s->response_class
                                                   : s->state->http.response_type;
    struct wf_response *r = (struct wf_response *)type->tp_alloc(type, 0);
    if (r == NULL) {
        return NULL;
    }
    const struct wf_reply_head *head = &answer->head;
    char digits[WF_U64_DIGITS_MAX];
    struct wf_reply_field own[] = {
        {WF_SPAN("content-type"), head->content_type},
        {WF_SPAN("content-length"), wf_span(digits, wf_u64_write(digits, answer->body.n))}};
    r->background = Py_NewRef(Py_None);
    r->status_code = PyLong_FromLong(head->status);
    r->body = PyBytes_FromStringAndSize(answer->body.p, (Py_ssize_t)answer->body.n);
    r->raw_headers = PyList_New(0);
    bool ok = r->status_code != NULL && r->body != NULL && r->raw_headers != NULL;
    for (uint32_t i = 0; ok && i < head->nfields + 2; i++) {
        const struct wf_reply_field *f = i < 2 ? &own[i] : &head->fields[i - 2];
        if (i == 0 && f->value.n == 0) {
            continue;
        }
        PyObject *pair = Py_BuildValue("(y#y#)", f->name.p, (Py_ssize_t)f->name.n, f->value.p,
                                       (Py_ssize_t)f->value.n);
        ok = pair != NULL && PyList_Append(r->raw_headers, pair) == 0;
        Py_XDECREF(pair);
    }
    if (!ok) {
        Py_CLEAR(r);
    }
    return (PyObject *)r;
}

/* ---- the way out ---- */

static bool is_set(PyObject *member) {
    return member != NULL && member != Py_None;
}

/* What of its content a layer may see. */
static void see_content(const struct wf_response *r, const struct wf_exchange *ex,
                        const struct wf_fields *f, const Py_buffer *body,
                        struct wf_head_edit *edit) {
    edit->length = wf_fields_length(f);
    edit->body = wf_span("", 0);
    edit->in_pieces = false;
    if (is_set(r->body_iterator)) {
        edit->content = WF_CONTENT_STREAM;
    } else if (is_set(r->file)) {
        edit->content = WF_CONTENT_FIXED;
    } else if (ex->head.method == WF_METHOD_HEAD && body->len == 0 && edit->length >= 0) {
        edit->content = WF_CONTENT_STREAM; /* what GET would send, as in reply_response.c */
    } else {
        edit->content = WF_CONTENT_WHOLE;
        edit->body = wf_span(body->buf != NULL ? body->buf : "", (size_t)body->len);
        edit->length = body->len;
    }
}

/* Puts a content that layers have changed into the Response, and its length into the edit. The encoder is taken. */
static int put_content(struct wf_http_server *s, struct wf_response *r, const Py_buffer *body,
                       struct wf_head_edit *edit, char digits[WF_U64_DIGITS_MAX]) {
    PyObject *chunks = NULL;
    if (edit->recoded) {
        wf_edit_remove(edit, WF_SPAN("content-length"));
        if (edit->encoder == NULL) { /* HEAD: there is no content to come */
            return 0;
        }
        if ((chunks = wf_encoded(s, r->body_iterator, edit->encoder)) != NULL) {
            Py_XSETREF(r->body_iterator, chunks);
        }
        return chunks != NULL ? 0 : -1;
    }
    if (edit->content != WF_CONTENT_WHOLE) {
        return 0;
    }
    struct wf_span length = wf_span(digits, wf_u64_write(digits, edit->body.n));
    if (body->buf != NULL && edit->body.p != body->buf) {
        PyObject *coded = PyBytes_FromStringAndSize(edit->body.p, (Py_ssize_t)edit->body.n);
        if (coded == NULL) {
            return -1;
        }
        Py_XSETREF(r->body, coded);
        wf_edit_set(edit, WF_SPAN("content-length"), length);
    } else if (wf_status_has_body(edit->head.status)) {
        wf_edit_default(edit, WF_SPAN("content-length"), length);
    }
    return 0;
}

/* before  list, the fields as they are: nobody else's, as what is read from it is used while Python code may run */
static int edit_fields(struct passage *p, struct wf_exchange *ex, struct wf_response *r, int status,
                       const struct wf_layer *answered, const Py_buffer *body, PyObject *before) {
    struct wf_fields f;
    struct wf_head_edit edit;
    char digits[WF_U64_DIGITS_MAX];
    f.n = 0;
    if (wf_fields_collect(&f, before) < 0) {
        return -1;
    }
    struct wf_reply_head head = {.status = status, .fields = f.list, .nfields = f.n};
    see_content(r, ex, &f, body, &edit);
    if (!wf_layers_leave(p->within->layers, answered, ex, &head, &edit)) {
        PyErr_SetString(PyExc_ValueError, "too many header fields");
        return -1;
    }
    if (put_content(p->within->server, r, body, &edit, digits) < 0) {
        return -1;
    }
    PyObject *pairs = pairs_of(&edit, before);
    if (pairs != NULL) {
        Py_XSETREF(r->raw_headers, pairs);
    }
    return pairs != NULL ? 0 : -1;
}

/* The layers' `reply`, from the one around `answered` or from the innermost: 0, or -1 with an exception. */
static int edit_response(struct passage *p, struct wf_call *call, struct wf_response *r,
                         const struct wf_layer *answered) {
    int status = 200, rc = 0;
    Py_buffer body = {.buf = NULL};
    if (wf_response_status(r, &status) < 0 ||
        (is_set(r->body) && PyObject_GetBuffer(r->body, &body, PyBUF_SIMPLE) < 0)) {
        return -1;
    }
    PyObject *before = !is_set(r->raw_headers) ? PyList_New(0) : PySequence_List(r->raw_headers);
    if (before == NULL) {
        rc = -1;
    } else if (call_of(p) == call) { /* still, whatever the two above have called */
        rc = edit_fields(p, call->plan.ex, r, status, answered, &body, before);
    }
    Py_XDECREF(before);
    PyBuffer_Release(&body);
    return rc;
}

/* What is inside, or the layer that has `answered`, has come to `value` (stolen): what becomes of it, new reference or
 * NULL with an exception. */
static PyObject *leave(struct passage *p, PyObject *value, const struct wf_layer *answered) {
    struct wf_http_server *s = p->within->server;
    struct wf_call *call = call_of(p);
    if (!wf_is_response(s->state, value)) {
        PyErr_Format(PyExc_TypeError, "a middleware must return a Response, not %.100s",
                     Py_TYPE(value)->tp_name);
        Py_CLEAR(value);
    } else if (call != NULL) {
        value = wf_response_alone(value);
    }
    bool sessions = p->within->sessions != NULL && answered == NULL;
    if (value != NULL && sessions && call_of(p) == call && call != NULL &&
        wf_session_save(call) < 0) {
        Py_CLEAR(value);
    }
    if (value != NULL && call_of(p) == call && call != NULL &&
        edit_response(p, call, (struct wf_response *)value, answered) < 0) {
        Py_CLEAR(value);
    }
    if (sessions) {
        wf_session_leave(p->request, &p->kept);
    }
    return value;
}

/* What is inside has raised, which is no reply: it goes on outwards. */
static void leave_raising(struct passage *p) {
    if (p->within->sessions != NULL) {
        PyObject *exc = wf_err_take();
        wf_session_leave(p->request, &p->kept);
        wf_err_put(exc);
    }
}

/* ---- the way in ---- */

/* Calls what follows. NULL and `inner` is there; NULL with an exception; or the Response that a layer has
 * answered, new reference. */
static PyObject *enter(struct passage *p) {
    struct wf_call *call = call_of(p);
    p->state = PASSAGE_WAITS;
    if (call != NULL) {
        struct wf_layer_answer answer;
        const struct wf_layer *answered =
            wf_layers_enter(p->within->layers, call->plan.ex, &answer);
        if (answered != NULL) {
            PyObject *response = response_of(p->within->server, &answer);
            return response != NULL ? leave(p, response, answered) : NULL;
        }
        if (p->within->sessions != NULL) {
            wf_session_enter(p->request, p->within->sessions, &p->kept);
        }
    }
    PyObject *awaitable = PyObject_CallOneArg(p->following, (PyObject *)p->request);
    p->inner = awaitable != NULL ? coro_iterator(awaitable) : NULL;
    Py_XDECREF(awaitable);
    if (p->inner == NULL) {
        leave_raising(p);
    }
    return NULL;
}

/* ---- the coroutine ---- */

/* May it be stepped? False with an exception. */
static bool may_step(const struct passage *p) {
    if (wf_unlikely(p->running)) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return false;
    }
    if (wf_unlikely(p->state == PASSAGE_ENDED)) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return false;
    }
    return true;
}

/* `inner` has answered a send or a throw. */
static PySendResult went_on(struct passage *p, PySendResult sent, PyObject *value, PyObject **out) {
    if (sent != PYGEN_NEXT) {
        p->state = PASSAGE_ENDED;
        if (value == NULL) {
            leave_raising(p);
        } else {
            value = leave(p, value, NULL);
            sent = value != NULL ? PYGEN_RETURN : PYGEN_ERROR;
        }
        PyObject *exc = sent == PYGEN_ERROR ? wf_err_take() : NULL;
        Py_CLEAR(p->inner);
        if (exc != NULL) {
            wf_err_put(exc);
        }
    }
    p->running = false;
    *out = value;
    return sent;
}

static PySendResult passage_send(PyObject *self, PyObject *arg, PyObject **out) {
    struct passage *p = (struct passage *)self;
    *out = NULL;
    if (!may_step(p)) {
        return PYGEN_ERROR;
    }
    p->running = true;
    if (p->state == PASSAGE_NEW && ((*out = enter(p)) != NULL || p->inner == NULL)) {
        p->state = PASSAGE_ENDED;
        p->running = false;
        return *out != NULL ? PYGEN_RETURN : PYGEN_ERROR;
    }
    PyObject *value = NULL;
    PySendResult sent = PyIter_Send(p->inner, arg, &value); /* close() leaves it while this runs */
    return went_on(p, sent, value, out);
}

static PyObject *passage_send_method(PyObject *self, PyObject *value) {
    PyObject *out = NULL;
    PySendResult sent = passage_send(self, value, &out); /* first: it is what fills `out` in */
    return wf_send_answer(sent, out);
}

static PyObject *passage_next(PyObject *self) {
    return passage_send_method(self, Py_None);
}

static PyObject *passage_throw(PyObject *self, PyObject *args) {
    struct passage *p = (struct passage *)self;
    PyObject *out = NULL, *value = NULL, *exc = coro_thrown(args);
    if (exc == NULL) {
        return NULL;
    }
    if (p->inner == NULL && !p->running) { /* not started, or ended: as a coroutine does */
        p->state = PASSAGE_ENDED;
        wf_err_put(exc);
        return NULL;
    }
    if (!may_step(p)) {
        Py_DECREF(exc);
        return NULL;
    }
    p->running = true;
    PySendResult sent = wf_coro_throw(p->inner, exc, &value);
    Py_DECREF(exc);
    sent = went_on(p, sent, value, &out);
    return wf_send_answer(sent, out);
}

static PyObject *passage_close(PyObject *self, PyObject *unused) {
    struct passage *p = (struct passage *)self;
    PyObject *inner = p->inner, *closed = NULL;
    if (p->running) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return NULL;
    }
    p->inner = NULL;
    p->state = PASSAGE_ENDED;
    if (inner == NULL) {
        Py_RETURN_NONE;
    }
    struct wf_http_state *http = &p->within->server->state->http;
    PyObject *method = PyObject_GetAttr(inner, http->str.close);
    if (method != NULL) {
        closed = PyObject_CallNoArgs(method);
    } else if (PyErr_ExceptionMatches(PyExc_AttributeError)) { /* as with other iterators */
        PyErr_Clear();
        closed = Py_NewRef(Py_None);
    }
    Py_XDECREF(method);
    Py_DECREF(inner);
    return closed;
}

static int passage_traverse(PyObject *self, visitproc visit, void *arg) {
    struct passage *p = (struct passage *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)p->within);
    Py_VISIT((PyObject *)p->request);
    Py_VISIT(p->following);
    Py_VISIT(p->inner);
    Py_VISIT(p->kept.session);
    return 0;
}

static int passage_clear(PyObject *self) {
    struct passage *p = (struct passage *)self;
    Py_CLEAR(p->following);
    Py_CLEAR(p->inner);
    Py_CLEAR(p->kept.session);
    return 0;
}

static void passage_dealloc(PyObject *self) {
    struct passage *p = (struct passage *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    passage_clear(self);
    Py_CLEAR(p->request);
    Py_CLEAR(p->within);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef passage_methods[] = {
    {"send", passage_send_method, METH_O, NULL},
    {"throw", passage_throw, METH_VARARGS, NULL},
    {"close", passage_close, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot passage_slots[] = {
    {Py_tp_doc, "A request on its way through layers: the Response that comes out of them."},
    {Py_tp_dealloc, passage_dealloc},
    {Py_tp_traverse, passage_traverse},
    {Py_tp_clear, passage_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, passage_next},
    {Py_tp_methods, passage_methods},
    {Py_am_await, coro_await},
    {Py_am_send, passage_send},
    {0, NULL},
};

PyType_Spec wf_passage_spec = {
    .name = "weft._core.Passage",
    .basicsize = sizeof(struct passage),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = passage_slots,
};

/* ---- Layers ---- */

static PyObject *layers_call(PyObject *self, PyObject *const *args, size_t nargsf,
                             PyObject *kwnames) {
    struct inner_layers *l = (struct inner_layers *)self;
    PyTypeObject *type = l->server->state->http.passage_type;
    if (PyVectorcall_NARGS(nargsf) != 2 || (kwnames != NULL && PyTuple_GET_SIZE(kwnames) != 0) ||
        !PyObject_TypeCheck(args[0], l->server->state->http.request_type)) {
        PyErr_SetString(PyExc_TypeError, "layers are called with a request and what follows");
        return NULL;
    }
    if (l->layers->first == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "there are no layers");
        return NULL;
    }
    struct passage *p = (struct passage *)type->tp_alloc(type, 0);
    if (p != NULL) {
        p->within = (struct inner_layers *)Py_NewRef(self);
        p->request = (struct wf_request *)Py_NewRef((PyObject *)wf_request_origin(args[0]));
        p->following = Py_NewRef(args[1]);
    }
    return (PyObject *)p;
}

PyDoc_STRVAR(add_doc, "add($self, kind, config, /)\n--\n\n"
                      "A C step inside of those added before; before the server starts. See "
                      "weft.middleware.");

static PyObject *layers_add(PyObject *self, PyObject *args) {
    struct inner_layers *l = (struct inner_layers *)self;
    if (wf_server_takes(l->server, "layers") < 0) {
        return NULL;
    }
    return wf_http_add_inner_layer(l->server, l->layers, &l->sessions, args) < 0
               ? NULL
               : Py_NewRef(Py_None);
}

PyObject *wf_http_inner_layers(struct wf_http_server *s, PyObject *args) {
    PyTypeObject *type = s->state->http.layers_type;
    PyObject *around;
    unsigned mount = 0;
    struct wf_layers *outer = NULL;
    if (!PyArg_ParseTuple(args, "OI", &around, &mount)) {
        return NULL;
    }
    if (Py_IS_TYPE(around, type) && ((struct inner_layers *)around)->server == s) {
        outer = ((struct inner_layers *)around)->layers;
    } else if (around != Py_None) {
        return PyErr_Format(PyExc_TypeError, "%R are no Layers of this server", around);
    }
    struct wf_router *router = wf_http_router(s, mount);
    struct inner_layers *l = router != NULL ? (struct inner_layers *)type->tp_alloc(type, 0) : NULL;
    if (l == NULL) {
        return NULL;
    }
    l->server = (struct wf_http_server *)Py_NewRef((PyObject *)s);
    l->call = layers_call;
    l->layers = wf_server_inner_layers(s->server, router, outer);
    if (l->layers == NULL) {
        Py_DECREF(l);
        return PyErr_NoMemory();
    }
    return (PyObject *)l;
}

static int layers_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)((struct inner_layers *)self)->server);
    return 0;
}

static void layers_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((struct inner_layers *)self)->server);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef layers_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(struct inner_layers, call), Py_READONLY, NULL},
    {NULL},
};

static PyMethodDef layers_methods[] = {
    {"add", layers_add, METH_VARARGS, add_doc},
    {NULL},
};

static PyType_Slot layers_slots[] = {
    {Py_tp_doc, "Layers(request, call_next): C steps as a middleware within others."},
    {Py_tp_dealloc, layers_dealloc},
    {Py_tp_traverse, layers_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, layers_members},
    {Py_tp_methods, layers_methods},
    {0, NULL},
};

PyType_Spec wf_layers_spec = {
    .name = "weft._core.Layers",
    .basicsize = sizeof(struct inner_layers),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = layers_slots,
};
