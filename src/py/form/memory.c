/* The blocks that long files are read into: each is a bytes object, which is what the handler gets. And _core.FormClaim. */
#include "base/check.h"
#include "py/form/form.h"
#include "py/state.h"

/* ---- blocks ---- */

/* A bytes object by its content. */
static PyObject *bytes_of(const char *block) {
    return (PyObject *)((uintptr_t)block - offsetof(PyBytesObject, ob_sval));
}

/* A malloc that adapts (glibc's) learns from what is freed: that blocks like these come and go, so their pages had better
 * stay, up to two of them. Else each long upload, and each `read()` of one, gets its pages anew, which costs more than
 * copying into them. */
static void expect_blocks(struct wf_form_py_state *s) {
    if (!s->long_blocks) {
        s->long_blocks = true;
        PyMem_RawFree(PyMem_RawMalloc(WF_FORM_FILE_MEMORY_MAX));
    }
}

char *wf_form_resize_bytes(void *form_py_state, char *block, size_t n) {
    PyGILState_STATE gil = PyGILState_Ensure(); /* forms are fed while the loop polls, without it */
    PyObject *bytes = block != NULL ? bytes_of(block) : NULL;
    if (n == 0) {
        Py_CLEAR(bytes);
    } else if (bytes == NULL) {
        expect_blocks(form_py_state);
        bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n);
    } else {
        (void)_PyBytes_Resize(&bytes, (Py_ssize_t)n); /* nobody else has it yet; NULL if it fails */
    }
    if (n != 0 && bytes == NULL) {
        PyErr_Clear();
    }
    block = bytes != NULL ? PyBytes_AS_STRING(bytes) : NULL;
    PyGILState_Release(gil);
    return block;
}

/* ---- claims ---- */

struct claim {
    PyObject_HEAD
    uint64_t claimed;
    struct wf_form_memory *memory; /* owned reference: it may outlive the module */
};

PyObject *wf_form_take_bytes(struct wf_state *state, struct wf_form_item *item, PyObject **bytes) {
    PyTypeObject *type = state->form_py.claim_type;
    struct claim *c = (struct claim *)type->tp_alloc(type, 0); /* zeroed */
    if (c != NULL) {
        struct wf_span content;
        c->claimed = wf_form_take_content(item, &content);
        WF_ASSERT(c->claimed != 0 && c->claimed >= content.n);
        c->memory = wf_form_memory_ref(state->form_py.memory);
        *bytes = bytes_of(content.p);
        if (content.n < c->claimed) { /* the block is longer than what is in it */
            ((char *)(uintptr_t)content.p)[content.n] = '\0';
            Py_SET_SIZE(*bytes, (Py_ssize_t)content.n);
        }
    }
    return (PyObject *)c;
}

static void claim_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    struct claim *c = (struct claim *)self;
    if (c->memory != NULL) {
        wf_form_memory_release(c->memory, c->claimed);
        wf_form_memory_unref(c->memory);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(claim_doc,
             "What an uploaded file has of the memory that all share, until this is gone.");

static PyType_Slot claim_slots[] = {
    {Py_tp_doc, (void *)claim_doc},
    {Py_tp_dealloc, claim_dealloc},
    {0, NULL},
};

PyType_Spec wf_form_claim_spec = {
    .name = "weft._core.FormClaim",
    .basicsize = sizeof(struct claim),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = claim_slots,
};
