/* _core.Encoder: a content coding on its way through chunks of a stream that are Python objects. */
#include "base/alloc.h"
#include "py/http/http_int.h"
#include "serve/layer/layer.h"
#include "wire/encoding/encoding.h"

enum { ENCODED_BYTES_MAX = 1 << 30 /* of one chunk */ };

struct encoder {
    PyObject_HEAD
    struct wf_encoder *encoder; /* owned; NULL after end(), or once it has failed */
};

static PyObject *encode(struct encoder *e, struct wf_span in, enum wf_encode_how how) {
    if (e->encoder == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the content has ended");
        return NULL;
    }
    struct wf_buf out;
    wf_buf_init(&out, ENCODED_BYTES_MAX);
    bool ok = wf_encode(e->encoder, in, how, &out) == WF_BUF_OK;
    PyObject *coded = ok ? PyBytes_FromStringAndSize(out.p, (Py_ssize_t)out.len) : PyErr_NoMemory();
    wf_buf_free(&out);
    if (!ok || how == WF_ENCODE_END) {
        wf_encoder_free(e->encoder);
        e->encoder = NULL;
    }
    return coded;
}

PyDoc_STRVAR(encode_doc, "encode($self, chunk, /)\n--\n\n"
                         "A chunk (a str in UTF-8) in the coding, as bytes that can be decoded so "
                         "far; none of an empty one. MemoryError ends the stream.");

static PyObject *encoder_encode(PyObject *self, PyObject *chunk) {
    Py_buffer view = {.obj = NULL};
    struct wf_span span;
    if (wf_chunk_span(chunk, &view, &span) < 0) {
        return NULL;
    }
    PyObject *coded = span.n != 0 ? encode((struct encoder *)self, span, WF_ENCODE_FLUSH)
                                  : PyBytes_FromStringAndSize(NULL, 0);
    PyBuffer_Release(&view);
    return coded;
}

PyDoc_STRVAR(end_doc, "end($self, /)\n--\n\nWhat the coding ends with: there is no more.");

static PyObject *encoder_end(PyObject *self, PyObject *ignored) {
    return encode((struct encoder *)self, wf_span("", 0), WF_ENCODE_END);
}

static void encoder_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    wf_encoder_free(((struct encoder *)self)->encoder);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef encoder_methods[] = {
    {"encode", encoder_encode, METH_O, encode_doc},
    {"end", encoder_end, METH_NOARGS, end_doc},
    {NULL},
};

static PyType_Slot encoder_slots[] = {
    {Py_tp_doc, "A content coding of a stream."},
    {Py_tp_methods, encoder_methods},
    {Py_tp_dealloc, encoder_dealloc},
    {0, NULL},
};

PyType_Spec wf_encoder_spec = {
    .name = "weft._core.Encoder",
    .basicsize = sizeof(struct encoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = encoder_slots,
};

PyObject *wf_encoded(struct wf_http_server *s, PyObject *chunks, struct wf_encoder *encoder) {
    PyTypeObject *type = s->state->http.encoder_type;
    struct encoder *e = (struct encoder *)type->tp_alloc(type, 0);
    if (e == NULL) {
        wf_encoder_free(encoder);
        return NULL;
    }
    e->encoder = encoder;
    PyObject *module = PyImport_ImportModule("weft._stream");
    PyObject *coded =
        module != NULL ? PyObject_CallMethod(module, "encoded", "OO", chunks, (PyObject *)e) : NULL;
    Py_XDECREF(module);
    Py_DECREF(e);
    return coded;
}
