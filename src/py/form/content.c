/* _core.FormContent: what an uploaded file consists of, in the memory that the form has read it into. */
#include "base/check.h"
#include "py/form/form.h"
#include "py/state.h"

struct content {
    PyObject_HEAD
    char *p; /* owned: a block; never changed, as views of it may be anywhere */
    Py_ssize_t n;
    uint64_t claimed;
    struct wf_form_memory *memory; /* owned reference: it may outlive the module */
};

PyObject *wf_form_content_new(struct wf_state *state, struct wf_form_item *item) {
    PyTypeObject *type = state->form_py.content_type;
    struct content *c = (struct content *)type->tp_alloc(type, 0); /* zeroed */
    if (c != NULL) {
        struct wf_span content;
        c->claimed = wf_form_take_content(item, &content);
        WF_ASSERT(c->claimed != 0);
        c->p = (char *)(uintptr_t)content.p;
        c->n = (Py_ssize_t)content.n;
        c->memory = wf_form_memory_ref(state->form_py.memory);
    }
    return (PyObject *)c;
}

static int content_buffer(PyObject *self, Py_buffer *view, int flags) {
    struct content *c = (struct content *)self;
    return PyBuffer_FillInfo(view, self, c->p, c->n, 1, flags);
}

static Py_ssize_t content_length(PyObject *self) {
    return ((struct content *)self)->n;
}

static void content_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    struct content *c = (struct content *)self;
    if (c->memory != NULL) {
        wf_form_memory_give(c->memory, c->p);
        wf_form_memory_release(c->memory, c->claimed);
        wf_form_memory_unref(c->memory);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(content_doc, "The bytes of an uploaded file, as a buffer that cannot be written.");

static PyType_Slot content_slots[] = {
    {Py_tp_doc, (void *)content_doc},
    {Py_bf_getbuffer, content_buffer},
    {Py_sq_length, content_length},
    {Py_tp_dealloc, content_dealloc},
    {0, NULL},
};

PyType_Spec wf_form_content_spec = {
    .name = "weft._core.FormContent",
    .basicsize = sizeof(struct content),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = content_slots,
};
