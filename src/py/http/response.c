/* _core.Response and _core.StreamingResponse: what replies are read from, plain members and no more; and
 * _core.ReplyWriter, which a stream's coroutine writes to. */
#include "py/http/http_int.h"

/* ---- Response ---- */

static int response_traverse(PyObject *self, visitproc visit, void *arg) {
    struct wf_response *r = (struct wf_response *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(r->status_code);
    Py_VISIT(r->body);
    Py_VISIT(r->raw_headers);
    Py_VISIT(r->background);
    Py_VISIT(r->body_iterator);
    Py_VISIT(r->file);
    return 0;
}

static int response_clear(PyObject *self) {
    struct wf_response *r = (struct wf_response *)self;
    Py_CLEAR(r->status_code);
    Py_CLEAR(r->body);
    Py_CLEAR(r->raw_headers);
    Py_CLEAR(r->background);
    Py_CLEAR(r->body_iterator);
    Py_CLEAR(r->file);
    return 0;
}

static void response_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    response_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

#define MEMBER(name, doc)                                                                          \
    { #name, T_OBJECT_EX, offsetof(struct wf_response, name), 0, doc }

static PyMemberDef response_members[] = {
    MEMBER(status_code, "int: the status, 200 to 599"),
    MEMBER(body, "bytes or another buffer: the content"),
    MEMBER(raw_headers, "list[tuple[bytes, bytes]]: field lines, names in lower case"),
    MEMBER(background,
           "callable without arguments that returns a coroutine, or None: run after the reply"),
    {"_body_iterator", T_OBJECT, offsetof(struct wf_response, body_iterator), 0,
     "iterator or async iterator of bytes or str, or None: sent in place of the body"},
    {NULL},
};

PyDoc_STRVAR(response_doc, "What a reply is sent from. Subclass weft.Response rather than this.");

static PyType_Slot response_slots[] = {
    {Py_tp_doc, (void *)response_doc},   {Py_tp_members, response_members},
    {Py_tp_traverse, response_traverse}, {Py_tp_clear, response_clear},
    {Py_tp_dealloc, response_dealloc},   {0, NULL},
};

PyType_Spec wf_response_spec = {
    .name = "weft._core.Response",
    .basicsize = sizeof(struct wf_response),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = response_slots,
};

PyDoc_STRVAR(streaming_doc, "A reply whose content is pulled from an iterator while it is sent.");

static PyType_Slot streaming_slots[] = {
    {Py_tp_doc, (void *)streaming_doc},
    {Py_tp_traverse, response_traverse},
    {Py_tp_clear, response_clear},
    {Py_tp_dealloc, response_dealloc},
    {0, NULL},
};

PyType_Spec wf_streaming_spec = {
    .name = "weft._core.StreamingResponse",
    .basicsize = sizeof(struct wf_response),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = streaming_slots,
};

static PyMemberDef file_members[] = {
    MEMBER(file, "bytes: the path of the file"),
    {NULL},
};

PyDoc_STRVAR(file_doc, "A reply whose content is a file, sent by the kernel.");

static PyType_Slot file_slots[] = {
    {Py_tp_doc, (void *)file_doc},       {Py_tp_members, file_members},
    {Py_tp_traverse, response_traverse}, {Py_tp_clear, response_clear},
    {Py_tp_dealloc, response_dealloc},   {0, NULL},
};

PyType_Spec wf_file_response_spec = {
    .name = "weft._core.FileResponse",
    .basicsize = sizeof(struct wf_response),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = file_slots,
};

PyObject *wf_response_alone(PyObject *response) {
    if (wf_likely(Py_REFCNT(response) == 1)) {
        return response;
    }
    PyObject *module = PyImport_ImportModule("weft.responses");
    PyObject *copy = module != NULL ? PyObject_CallMethod(module, "copied", "O", response) : NULL;
    Py_XDECREF(module);
    Py_DECREF(response);
    return copy;
}

/* ---- ReplyWriter ---- */

struct wf_writer *wf_writer_new(struct wf_call *call, bool wanted) {
    struct wf_writer *w = PyObject_GC_New(struct wf_writer, call->server->state->http.writer_type);
    if (w != NULL) {
        w->call = call;
        w->waiter = NULL;
        w->wanted = wanted;
        PyObject_GC_Track(w);
    }
    return w;
}

void wf_writer_drained(struct wf_writer *w) {
    if (w->waiter != NULL) {
        wf_http_wake(w->call->server, &w->waiter);
    }
}

PyDoc_STRVAR(write_doc, "write($self, chunk, /)\n--\n\n"
                        "Queues a chunk, a str in UTF-8. Returns None, or a Future to await before "
                        "writing more: the client reads more slowly than this is written. Raises "
                        "ClientDisconnect once the client has gone.");

int wf_chunk_span(PyObject *chunk, Py_buffer *view, struct wf_span *out) {
    if (PyUnicode_Check(chunk)) {
        Py_ssize_t n;
        const char *p = PyUnicode_AsUTF8AndSize(chunk, &n);
        *out = wf_span(p, p != NULL ? (size_t)n : 0);
        return p != NULL ? 0 : -1;
    }
    if (!PyObject_CheckBuffer(chunk)) {
        PyErr_Format(PyExc_TypeError, "a stream's chunks are str or bytes, not %.100s",
                     Py_TYPE(chunk)->tp_name);
        return -1;
    }
    if (PyObject_GetBuffer(chunk, view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    *out = wf_span(view->buf, (size_t)view->len);
    return 0;
}

static PyObject *writer_write(PyObject *self, PyObject *chunk) {
    struct wf_writer *w = (struct wf_writer *)self;
    Py_buffer view = {.obj = NULL};
    struct wf_span span;
    if (wf_chunk_span(chunk, &view, &span) < 0) {
        return NULL;
    }
    int rc = w->call != NULL ? wf_reply_write(w->call->plan.ex, span) : WF_REPLY_GONE;
    PyBuffer_Release(&view); /* a class with its own __release_buffer__ may end the call */
    if (w->call == NULL) {
        rc = WF_REPLY_GONE;
    }
    switch (rc) {
    case WF_REPLY_WAIT:
        if (w->waiter == NULL) {
            w->waiter = wf_http_future(w->call->server);
        }
        return Py_XNewRef(w->waiter);
    case WF_REPLY_GONE: /* an iterator that never waits must not go on for ever */
        return wf_http_raise("ClientDisconnect", "()");
    case WF_REPLY_NOMEM:
        return PyErr_NoMemory();
    case WF_REPLY_INVALID:
        PyErr_SetString(PyExc_RuntimeError, "the stream is longer than its content-length");
        return NULL;
    default:
        Py_RETURN_NONE;
    }
}

PyDoc_STRVAR(end_doc,
             "end($self, /)\n--\n\nEnds the reply. Without it the client sees a broken one.");

static PyObject *writer_end(PyObject *self, PyObject *ignored) {
    struct wf_writer *w = (struct wf_writer *)self;
    switch (w->call != NULL ? wf_reply_end(w->call->plan.ex) : WF_REPLY_GONE) {
    case WF_REPLY_INVALID:
        PyErr_SetString(PyExc_RuntimeError, "the stream is shorter than its content-length");
        return NULL;
    case WF_REPLY_NOMEM:
        return PyErr_NoMemory();
    default:
        Py_RETURN_NONE;
    }
}

static int writer_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((struct wf_writer *)self)->waiter);
    return 0;
}

static int writer_clear(PyObject *self) {
    Py_CLEAR(((struct wf_writer *)self)->waiter);
    return 0;
}

static void writer_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    struct wf_writer *w = (struct wf_writer *)self;
    PyObject_GC_UnTrack(self);
    if (w->call != NULL) {
        w->call->writer = NULL;
    }
    writer_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *get_submit(PyObject *self, void *closure) {
    struct wf_call *call = ((struct wf_writer *)self)->call;
    if (call == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the reply is over");
        return NULL;
    }
    return Py_XNewRef(wf_jobs_pool(call->server));
}

static PyGetSetDef writer_getset[] = {
    {"submit", get_submit, NULL, "submit of the thread pool that sync handlers run in", NULL},
    {NULL},
};

static PyMemberDef writer_members[] = {
    {"wanted", T_BOOL, offsetof(struct wf_writer, wanted), READONLY,
     "bool: the content goes on the wire; not so for HEAD, for 204 and 304, and where the client "
     "has gone"},
    {NULL},
};

static PyMethodDef writer_methods[] = {
    {"write", writer_write, METH_O, write_doc},
    {"end", writer_end, METH_NOARGS, end_doc},
    {NULL},
};

static PyType_Slot writer_slots[] = {
    {Py_tp_methods, writer_methods},
    {Py_tp_getset, writer_getset},
    {Py_tp_members, writer_members},
    {Py_tp_traverse, writer_traverse},
    {Py_tp_clear, writer_clear},
    {Py_tp_dealloc, writer_dealloc},
    {0, NULL},
};

PyType_Spec wf_writer_spec = {
    .name = "weft._core.ReplyWriter",
    .basicsize = sizeof(struct wf_writer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = writer_slots,
};
