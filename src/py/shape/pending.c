/* A value that waits for its validators: read from a request's body first of all, since a body that is
 * no JSON is the only error of its request, while validators come after the dependencies. */
#include "py/shape/shape_int.h"

#include "base/alloc.h"

struct pending {
    PyObject_HEAD
    struct wf_shape *shape;   /* owned; NULL once it is finished */
    PyObject *value;          /* owned, or NULL then */
    struct wf_later *later;   /* owned array, as in a walk */
    size_t nlater, later_cap; /* of it */
};

static void give_back(struct pending *p, struct wf_walk *w) {
    w->later = p->later;
    w->nlater = p->nlater;
    w->later_cap = p->later_cap;
    p->later = NULL;
    p->nlater = p->later_cap = 0;
}

PyObject *wf_walk_pending(struct wf_walk *w, struct wf_shape *shape, PyObject *value) {
    PyTypeObject *type = w->state->shape.pending_type;
    struct pending *p = (struct pending *)type->tp_alloc(type, 0);
    if (p == NULL) {
        Py_DECREF(value);
        return NULL;
    }
    p->shape = (struct wf_shape *)Py_NewRef((PyObject *)shape);
    p->value = value;
    p->later = w->later;
    p->nlater = w->nlater;
    p->later_cap = w->later_cap;
    w->later = NULL;
    w->nlater = w->later_cap = 0;
    return (PyObject *)p;
}

bool wf_is_pending(struct wf_state *state, PyObject *o) {
    return Py_IS_TYPE(o, state->shape.pending_type);
}

enum wf_walk_result wf_pending_finish(PyObject *pending, PyObject **out, PyObject **calls) {
    struct pending *p = (struct pending *)pending;
    struct wf_shape *shape = p->shape;
    struct wf_walk w;
    *calls = NULL;
    *out = p->value;
    p->shape = NULL;
    p->value = NULL;
    if (shape == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the body was validated already");
        return WF_WALK_FAILED;
    }
    wf_walk_init(&w, shape->state, 0);
    give_back(p, &w);
    enum wf_walk_result result = wf_walk_later(&w, 0, shape->root, out);
    if (result != WF_WALK_OK) {
        Py_CLEAR(*out);
        *calls = Py_XNewRef(w.calls);
    }
    wf_walk_clear(&w);
    Py_DECREF(shape);
    return result;
}

/* ---- the type ---- */

static int pending_traverse(PyObject *self, visitproc visit, void *arg) {
    struct pending *p = (struct pending *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)p->shape);
    Py_VISIT(p->value);
    for (size_t i = 0; i < p->nlater; i++) {
        Py_VISIT(p->later[i].holder);
        Py_VISIT(p->later[i].key);
    }
    return 0;
}

static int pending_clear(PyObject *self) {
    struct pending *p = (struct pending *)self;
    struct wf_shape *shape = p->shape;
    p->shape = NULL;
    Py_CLEAR(p->value);
    while (p->nlater > 0) {
        struct wf_later one = p->later[--p->nlater];
        Py_XDECREF(one.key);
        Py_XDECREF(one.holder);
    }
    Py_XDECREF((PyObject *)shape);
    return 0;
}

static void pending_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    pending_clear(self);
    wf_free(((struct pending *)self)->later);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot pending_slots[] = {
    {Py_tp_doc, (void *)"A value that waits for its validators."},
    {Py_tp_traverse, pending_traverse},
    {Py_tp_clear, pending_clear},
    {Py_tp_dealloc, pending_dealloc},
    {0, NULL},
};

static PyType_Spec pending_spec = {
    .name = "weft._core._Pending",
    .basicsize = sizeof(struct pending),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = pending_slots,
};

PyTypeObject *shape_make_pending_type(PyObject *module) {
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &pending_spec, NULL);
}
