/* A Response on its way to the client: bytes, a stream or a file. */
#include <errno.h>
#include <unistd.h>

#include "py/http/reply_int.h"

enum {
    REPLY_BORROW_BYTES = 32 * 1024 /* a longer body is referenced, not copied */
};

/* Of the reply of a middleware, beside what the inside of it has left to do. */
static void add_background(struct wf_call *call, PyObject *background) {
    PyObject *module = PyImport_ImportModule("weft.background");
    PyObject *both = module != NULL
                         ? PyObject_CallMethod(module, "Both", "OO", background, call->background)
                         : NULL;
    Py_XDECREF(module);
    if (both == NULL) {
        PyErr_WriteUnraisable(background);
    } else {
        Py_XSETREF(call->background, both);
    }
}

void wf_reply_keep_background(struct wf_call *call, const struct wf_response *r) {
    if (r == NULL || r->background == NULL || r->background == Py_None) {
        return;
    }
    if (call->settled && call->background != NULL) {
        add_background(call, r->background);
    } else {
        Py_XSETREF(call->background, Py_NewRef(r->background));
    }
}

/* ---- bytes ---- */

/* wf_release_fn: no GIL here, so the reference is dropped later. */
static void release_body(void *arg) {
    struct wf_release *r = arg;
    r->next = r->server->garbage;
    r->server->garbage = r;
}

void wf_garbage_collect(struct wf_http_server *s) {
    while (s->garbage != NULL) {
        struct wf_release *r = s->garbage;
        s->garbage = r->next;
        PyBuffer_Release(&r->view);
        wf_free(r);
    }
}

/* The content of a reply: a span of bytes we hold, copied when it is sent, or a buffer for the
 * stream to borrow. */
struct content {
    struct wf_span span;
    PyObject *bytes;           /* owned, or NULL */
    struct wf_release *borrow; /* owned, or NULL */
};

/* `body` (borrowed) may be of a class with its own __buffer__: Python code may run. */
static int hold_content(struct wf_call *call, PyObject *body, struct content *c) {
    *c = (struct content){.span = WF_SPAN("")};
    if (body == NULL || body == Py_None) {
        return 0;
    }
    if (PyBytes_Check(body) && PyBytes_GET_SIZE(body) < REPLY_BORROW_BYTES) {
        c->bytes = Py_NewRef(body);
        c->span = wf_span(PyBytes_AS_STRING(body), (size_t)PyBytes_GET_SIZE(body));
        return 0;
    }
    struct wf_release *r = wf_malloc(sizeof(*r));
    if (r == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *r = (struct wf_release){.server = call->server};
    if (PyObject_GetBuffer(body, &r->view, PyBUF_SIMPLE) < 0) {
        wf_free(r);
        return -1;
    }
    c->borrow = r;
    c->span = wf_span(r->view.buf, (size_t)r->view.len);
    return 0;
}

/* Gives up *c. */
static int send_content(struct wf_call *call, const struct wf_reply_head *head, struct content *c) {
    struct wf_exchange *ex = call->plan.ex;
    if (c->borrow != NULL) {
        return wf_reply_status(wf_reply_send_borrowed(ex, head, c->span, release_body, c->borrow),
                               "the reply");
    }
    int rc = wf_reply_status(wf_reply_send(ex, head, c->span), "the reply");
    Py_XDECREF(c->bytes);
    return rc;
}

static void drop_content(struct content *c) {
    Py_XDECREF(c->bytes);
    if (c->borrow != NULL) {
        PyBuffer_Release(&c->borrow->view);
        wf_free(c->borrow);
    }
}

int wf_reply_bytes(struct wf_call *call, PyObject *body, const struct wf_reply_head *head) {
    struct content content;
    return hold_content(call, body, &content) < 0 ? -1 : send_content(call, head, &content);
}

/* The fields of a Response, and behind them those of an injected one (beside), where it counts. */
static int response_fields(struct wf_fields *f, struct wf_response *r, struct wf_response *beside) {
    f->n = 0;
    if (wf_fields_collect(f, r->raw_headers) < 0) {
        return -1;
    }
    return beside != NULL ? wf_fields_collect(f, beside->raw_headers) : 0;
}

static int reply_body(struct wf_call *call, struct wf_response *r, struct wf_response *beside,
                      int status) {
    struct content content;
    struct wf_fields f;
    if (hold_content(call, r->body, &content) < 0) {
        return -1;
    }
    if (response_fields(&f, r, beside) < 0) {
        drop_content(&content);
        return -1;
    }
    struct wf_reply_head head = {.status = status, .fields = f.list, .nfields = f.n};
    int64_t length = call->plan.ex->head.method == WF_METHOD_HEAD && content.span.n == 0
                         ? wf_fields_length(&f)
                         : -1;
    if (wf_unlikely(length >= 0)) { /* of what GET would send */
        int rc = wf_reply_status(wf_reply_start(call->plan.ex, &head, length), "the reply");
        drop_content(&content);
        return rc < 0 ? -1 : wf_reply_status(wf_reply_end(call->plan.ex), "the reply");
    }
    return send_content(call, &head, &content);
}

static int start_stream(struct wf_call *call, struct wf_response *r, struct wf_response *beside,
                        int status) {
    struct wf_fields f;
    if (response_fields(&f, r, beside) < 0) {
        return -1;
    }
    struct wf_reply_head head = {.status = status, .fields = f.list, .nfields = f.n};
    call->of_events = wf_fields_of_events(&f);
    return wf_reply_status(wf_reply_start(call->plan.ex, &head, wf_fields_length(&f)), "the reply");
}

/* Starts pulling a StreamingResponse: weft._stream.pull(writer, iterator) is stepped like a
 * handler. Where no content is sent (HEAD, 204, 304, or nobody is left) nothing is pulled: what
 * never waits for the client could go on for ever. The iterator is only closed, which may have to
 * be awaited too. */
static int reply_stream(struct wf_call *call, struct wf_response *r, struct wf_response *beside,
                        int status) {
    struct wf_http_server *s = call->server;
    struct wf_exchange *ex = call->plan.ex;
    bool wanted =
        ex->head.method != WF_METHOD_HEAD && wf_status_has_body(status) && !wf_exchange_gone(ex);
    struct wf_writer *writer = wf_writer_new(call, wanted);
    if (writer == NULL) {
        return -1;
    }
    PyObject *args[] = {(PyObject *)writer, r->body_iterator};
    PyObject *coro = PyObject_Vectorcall(s->pull, args, 2, NULL);
    if (coro == NULL) {
        Py_DECREF(writer);
        return -1;
    }
    if (start_stream(call, r, beside, status) < 0) {
        PyObject *exc = wf_err_take();
        Py_XDECREF(PyObject_CallMethodNoArgs(coro, s->state->http.str.close)); /* never awaited */
        Py_DECREF(coro);
        Py_DECREF(writer);
        PyErr_Clear();
        wf_err_put(exc);
        return -1;
    }
    call->writer = writer;
    writer->wanted &= !(call->of_events && s->draining); /* too late to begin with events */
    if (call->chain != NULL) {
        call->stage = WF_CALL_STREAMING;
        call->pull = coro; /* the chain takes it */
    } else {
        wf_call_step(call, coro, WF_CALL_STREAMING);
    }
    Py_DECREF(writer); /* the coroutine holds it; its dealloc clears call->writer */
    return 1;
}

static int raise_no_file(int error, PyObject *path) {
    PyObject *name =
        PyUnicode_DecodeFSDefaultAndSize(PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path));
    if (name != NULL && (error == ENOENT || error == ENOTDIR)) {
        PyErr_Format(PyExc_RuntimeError, "File at path %U does not exist.", name);
    } else if (name != NULL && error == EISDIR) {
        PyErr_Format(PyExc_RuntimeError, "File at path %U is not a file.", name);
    } else if (name != NULL) {
        errno = error;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, name);
    }
    Py_XDECREF(name);
    return -1;
}

/* The file is opened and asked for its size here: what the disk has to be waited for is waited for without
 * the GIL. */
static int reply_file(struct wf_call *call, struct wf_response *r, struct wf_response *beside,
                      int status) {
    PyObject *path = r->file; /* owned by r, which the caller holds */
    struct wf_fields f;
    struct wf_file file;
    int rc;
    if (!PyBytes_Check(path)) {
        PyErr_SetString(PyExc_TypeError, "the path of a file is bytes");
        return -1;
    }
    Py_INCREF(path);
    Py_BEGIN_ALLOW_THREADS rc = wf_file_open(PyBytes_AS_STRING(path), &file);
    Py_END_ALLOW_THREADS if (rc < 0) {
        rc = raise_no_file(-rc, path);
    }
    Py_DECREF(path);
    if (rc < 0) {
        return -1;
    }
    if (response_fields(&f, r, beside) < 0) {
        close(file.fd);
        return -1;
    }
    struct wf_reply_head head = {.status = status, .fields = f.list, .nfields = f.n};
    return wf_reply_status(wf_reply_file(call->plan.ex, &head, &file, WF_FILE_CONDITIONS),
                           "the reply");
}

int wf_reply_response(struct wf_call *call, PyObject *response, struct wf_response *beside) {
    struct wf_response *r = (struct wf_response *)response;
    int status = r->status_code == Py_None ? 0 : 200;
    if (wf_response_status(r, &status) < 0 ||
        (beside != NULL && wf_response_status(beside, &status) < 0)) {
        return -1;
    }
    wf_reply_keep_background(call, beside);
    wf_reply_keep_background(call, r);
    if (r->body_iterator != NULL && r->body_iterator != Py_None) {
        return reply_stream(call, r, beside, status);
    }
    return r->file != NULL && r->file != Py_None ? reply_file(call, r, beside, status)
                                                 : reply_body(call, r, beside, status);
}
