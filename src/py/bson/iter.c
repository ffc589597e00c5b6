/* BSON documents that follow one another, as databases send and dump them: an iterator that makes
 * one at a time of the buffer it was given. */
#include "py/bson/shapes.h"

#include "base/alloc.h"
#include "wire/bson/bson_read.h"

struct iterator {
    PyObject_HEAD
    Py_buffer view;  /* obj is NULL once it is at its end */
    size_t at;       /* where the next document is */
    bool busy;       /* decoding may run code of the application, which may ask for another */
    PyObject *shape; /* owned; NULL: dicts */
    struct wf_bson_options store, *options;
};

static void iterator_end(struct iterator *it) {
    if (it->view.obj != NULL) {
        PyBuffer_Release(&it->view);
    }
}

static PyObject *decode(struct wf_state *state, struct iterator *it, struct wf_span in,
                        size_t base) {
    return it->shape == NULL
               ? wf_bson_decode(&state->bson, it->options, in, base)
               : wf_bson_decode_shape(state, (struct wf_shape *)it->shape, it->options, in, base);
}

/* The document at `at`: bytes that cannot change while it is decoded. */
static PyObject *decode_next(struct wf_state *state, struct iterator *it) {
    struct wf_span rest =
        wf_span((const char *)it->view.buf + it->at, (size_t)it->view.len - it->at);
    struct wf_bson_cursor c;
    size_t bytes, base = it->at;
    enum wf_bson_error e = wf_bson_open(&c, rest, &bytes);
    if (e != WF_BSON_OK) {
        wf_bson_raise_decode(&state->bson, NULL, base + (size_t)(c.p - rest.p),
                             wf_bson_error_text(e));
        return NULL;
    }
    it->at += bytes;
    if (wf_is_of_bytes(it->view.obj)) {
        return decode(state, it, wf_span(rest.p, bytes), base);
    }
    char *copy = wf_malloc(bytes);
    if (copy == NULL) {
        return PyErr_NoMemory();
    }
    memcpy(copy, rest.p, bytes);
    PyObject *document = decode(state, it, wf_span(copy, bytes), base);
    wf_free(copy);
    return document;
}

static PyObject *iterator_next(struct iterator *it) {
    if (it->busy) {
        PyErr_SetString(PyExc_ValueError, "the iterator is already decoding");
        return NULL;
    }
    if (it->view.obj == NULL) {
        return NULL;
    }
    if (it->at == (size_t)it->view.len) {
        iterator_end(it);
        return NULL;
    }
    it->busy = true;
    PyObject *document = decode_next(wf_state_of_type(Py_TYPE(it)), it);
    it->busy = false;
    if (document == NULL) {
        iterator_end(it); /* what is behind damage is not to be trusted */
    }
    return document;
}

static int iterator_traverse(struct iterator *it, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(it));
    Py_VISIT(it->view.obj);
    Py_VISIT(it->shape);
    return wf_bson_options_traverse(it->options, visit, arg);
}

static int iterator_clear(struct iterator *it) {
    iterator_end(it);
    Py_CLEAR(it->shape);
    wf_bson_options_close(it->options);
    it->options = NULL;
    return 0;
}

static void iterator_dealloc(struct iterator *it) {
    PyTypeObject *type = Py_TYPE(it);
    PyObject_GC_UnTrack(it);
    iterator_clear(it);
    type->tp_free(it);
    Py_DECREF(type);
}

static PyType_Slot iterator_slots[] = {
    {Py_tp_doc, "The documents of a batch of BSON, decoded one at a time."},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iterator_next},
    {Py_tp_traverse, iterator_traverse},
    {Py_tp_clear, iterator_clear},
    {Py_tp_dealloc, iterator_dealloc},
    {0, NULL},
};

PyType_Spec wf_bson_iterator_spec = {
    .name = "weft._core.BSONIterator",
    .basicsize = sizeof(struct iterator),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = iterator_slots,
};

PyObject *wf_bson_py_iter(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames) {
    struct wf_state *state = wf_state_of_module(module);
    struct wf_bson_state *s = &state->bson;
    struct wf_bson_arguments a;
    if (wf_bson_arguments("iter", args, nargs, kwnames, &a) < 0) {
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)s->iterator_type;
    struct iterator *it = (struct iterator *)type->tp_alloc(type, 0); /* all zeros */
    if (it == NULL) {
        return NULL;
    }
    if ((a.type != NULL && (it->shape = wf_shape_find(state, a.type)) == NULL) ||
        wf_bson_options_open(s, a.options, &it->store, &it->options) < 0 ||
        wf_view_open(&it->view, a.data, WF_BSON_EXPECTED) < 0) {
        Py_DECREF(it);
        return NULL;
    }
    return (PyObject *)it;
}
