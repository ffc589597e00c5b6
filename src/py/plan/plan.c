/* _core.Plan: the object, and the room's part of the module. */
#include "py/plan/plan_int.h"

/* ---- the type ---- */

PyDoc_STRVAR(
    plan_doc,
    "Plan(endpoint, steps, positional, keywords, embed, body_mode, is_coroutine, uses=())\n"
    "--\n\n"
    "A callable's signature, compiled; with `uses`, a handler's and its dependencies'. "
    "Made by weft.dependencies.compile_plan().");

static const char *const body_modes[] = {
    [WF_BODY_BUFFER] = "buffer",
    [WF_BODY_STREAM] = "stream",
    [WF_BODY_IGNORE] = "ignore",
    [WF_BODY_FORM] = "form",
};

static PyObject *plan_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"endpoint",  "steps",        "positional", "keywords", "embed",
                               "body_mode", "is_coroutine", "uses",       NULL};
    PyObject *endpoint, *steps, *positional, *names, *uses = NULL;
    const char *body_mode;
    int embed, is_coroutine;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO!O!O!psp|O!:Plan", keywords, &endpoint,
                                     &PyTuple_Type, &steps, &PyTuple_Type, &positional,
                                     &PyTuple_Type, &names, &embed, &body_mode, &is_coroutine,
                                     &PyTuple_Type, &uses)) {
        return NULL;
    }
    if (!PyCallable_Check(endpoint)) {
        return PyErr_Format(PyExc_TypeError, "%R is not callable", endpoint);
    }
    struct wf_plan *plan = (struct wf_plan *)type->tp_alloc(type, 0);
    if (plan == NULL) {
        return NULL;
    }
    plan->state = wf_state_of_type(type);
    plan->endpoint = Py_NewRef(endpoint);
    plan->description = Py_NewRef(steps);
    plan->param_names = PySequence_Concat(positional, names);
    plan->uses = uses != NULL ? Py_NewRef(uses) : PyTuple_New(0);
    if (plan->state == NULL || plan->param_names == NULL || plan->uses == NULL) {
        goto fail;
    }
    if (PyTuple_GET_SIZE(names) != 0) {
        plan->kwnames = Py_NewRef(names);
    }
    plan->embed = embed != 0;
    plan->is_coroutine = is_coroutine != 0;
    plan->body_mode = UINT8_MAX;
    for (unsigned i = 0; i < WF_ARRAY_LEN(body_modes); i++) {
        if (strcmp(body_modes[i], body_mode) == 0) {
            plan->body_mode = (uint8_t)i;
        }
    }
    if (plan->body_mode == UINT8_MAX) {
        PyErr_Format(PyExc_ValueError, "body_mode cannot be %s", body_mode);
        goto fail;
    }
    if (plan_compile(plan) < 0 || plan_compile_uses(plan) < 0) {
        goto fail;
    }
    plan->npositional = (uint8_t)PyTuple_GET_SIZE(positional);
    plan->runs_python |= !wf_plan_is_async_def(endpoint);
    return (PyObject *)plan;
fail:
    Py_DECREF(plan);
    return NULL;
}

static int plan_traverse(PyObject *self, visitproc visit, void *arg) {
    struct wf_plan *plan = (struct wf_plan *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(plan->endpoint);
    Py_VISIT(plan->description);
    Py_VISIT(plan->param_names);
    Py_VISIT(plan->kwnames);
    Py_VISIT(plan->uses);
    return 0;
}

/* Only what can be part of a cycle by a user's hand: the steps need the description to the end. */
static int plan_clear(PyObject *self) {
    struct wf_plan *plan = (struct wf_plan *)self;
    Py_CLEAR(plan->endpoint);
    return 0;
}

static void plan_dealloc(PyObject *self) {
    struct wf_plan *plan = (struct wf_plan *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    plan_free_compiled(plan);
    Py_XDECREF(plan->endpoint);
    Py_XDECREF(plan->description);
    Py_XDECREF(plan->param_names);
    Py_XDECREF(plan->kwnames);
    Py_XDECREF(plan->uses);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *plan_repr(PyObject *self) {
    return PyUnicode_FromFormat("<Plan of %R>", ((struct wf_plan *)self)->endpoint);
}

static PyObject *get_body_mode(PyObject *self, void *closure) {
    return PyUnicode_FromString(body_modes[((struct wf_plan *)self)->body_mode]);
}

static PyGetSetDef plan_getset[] = {
    {"body_mode", get_body_mode, NULL,
     "What becomes of the request's body: \"buffer\", \"stream\", \"ignore\" or \"form\".", NULL},
    {NULL},
};

static PyMemberDef plan_members[] = {
    {"endpoint", Py_T_OBJECT_EX, offsetof(struct wf_plan, endpoint), Py_READONLY, "The handler."},
    {"steps", Py_T_OBJECT_EX, offsetof(struct wf_plan, description), Py_READONLY,
     "Where each value comes from, in the order in which they are read."},
    {"param_names", Py_T_OBJECT_EX, offsetof(struct wf_plan, param_names), Py_READONLY,
     "The handler's parameters."},
    {"uses", Py_T_OBJECT_EX, offsetof(struct wf_plan, uses), Py_READONLY,
     "The uses of dependencies, in the order in which they run."},
    {"is_coroutine", Py_T_BOOL, offsetof(struct wf_plan, is_coroutine), Py_READONLY,
     "Is it an async def?"},
    {NULL},
};

static PyType_Slot plan_slots[] = {
    {Py_tp_doc, (void *)plan_doc}, {Py_tp_new, plan_new},         {Py_tp_traverse, plan_traverse},
    {Py_tp_clear, plan_clear},     {Py_tp_dealloc, plan_dealloc}, {Py_tp_repr, plan_repr},
    {Py_tp_getset, plan_getset},   {Py_tp_members, plan_members}, {0, NULL},
};

static PyType_Spec plan_spec = {
    .name = "weft._core.Plan",
    .basicsize = sizeof(struct wf_plan),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = plan_slots,
};

bool wf_plan_is_async_def(PyObject *callable) {
    if (PyMethod_Check(callable)) {
        callable = PyMethod_GET_FUNCTION(callable); /* borrowed */
    }
    return PyFunction_Check(callable) &&
           ((PyCodeObject *)PyFunction_GET_CODE(callable))->co_flags & CO_COROUTINE;
}

bool wf_plan_runs_python(const struct wf_plan *plan) {
    return plan->runs_python;
}

bool wf_plan_is_coroutine(const struct wf_plan *plan) {
    return plan->is_coroutine;
}

const struct wf_dependency *wf_plan_dependencies(const struct wf_plan *plan, unsigned *n,
                                                 unsigned *nvalues) {
    *n = plan->ndependencies;
    *nvalues = plan->nvalues;
    return plan->dependencies;
}

enum wf_body_mode wf_plan_body_mode(const struct wf_plan *plan) {
    return (enum wf_body_mode)plan->body_mode;
}

/* ---- the room ---- */

static PyMethodDef plan_functions[] = {
    {"_plan_test", (PyCFunction)(void (*)(void))plan_test, METH_VARARGS | METH_KEYWORDS,
     "Runs a plan on a made-up request; for tests."},
    {NULL},
};

static PyObject *import_name(const char *module, const char *name) {
    PyObject *m = PyImport_ImportModule(module);
    PyObject *value = m != NULL ? PyObject_GetAttrString(m, name) : NULL;
    Py_XDECREF(m);
    return value;
}

int wf_plan_exec(PyObject *module, struct wf_state *state) {
    struct wf_plan_state *s = &state->plan;
    s->plan_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &plan_spec, NULL);
    if (s->plan_type == NULL || PyModule_AddType(module, s->plan_type) < 0 ||
        PyModule_AddFunctions(module, plan_functions) < 0) {
        return -1;
    }
    s->deepcopy = import_name("copy", "deepcopy");
    s->partial = import_name("functools", "partial");
    s->uuid_fields = Py_BuildValue("(NN)", PyUnicode_InternFromString("int"),
                                   PyUnicode_InternFromString("is_safe"));
    s->handed_keywords = Py_BuildValue("(N)", PyUnicode_InternFromString("from_attributes"));
    s->key_type = PyUnicode_InternFromString("type");
    s->key_loc = PyUnicode_InternFromString("loc");
    s->key_msg = PyUnicode_InternFromString("msg");
    s->key_input = PyUnicode_InternFromString("input");
    s->key_ctx = PyUnicode_InternFromString("ctx");
    return s->deepcopy != NULL && s->partial != NULL && s->uuid_fields != NULL &&
                   s->handed_keywords != NULL && s->key_type != NULL && s->key_loc != NULL &&
                   s->key_msg != NULL && s->key_input != NULL && s->key_ctx != NULL
               ? 0
               : -1;
}

int wf_plan_traverse(struct wf_plan_state *s, visitproc visit, void *arg) {
    Py_VISIT(s->plan_type);
    Py_VISIT(s->deepcopy);
    Py_VISIT(s->partial);
    Py_VISIT(s->uuid_fields);
    Py_VISIT(s->safe_unknown);
    Py_VISIT(s->handed_keywords);
    return 0;
}

void wf_plan_clear(struct wf_plan_state *s) {
    Py_CLEAR(s->plan_type);
    Py_CLEAR(s->deepcopy);
    Py_CLEAR(s->partial);
    Py_CLEAR(s->uuid_fields);
    Py_CLEAR(s->safe_unknown);
    Py_CLEAR(s->handed_keywords);
    Py_CLEAR(s->key_type);
    Py_CLEAR(s->key_loc);
    Py_CLEAR(s->key_msg);
    Py_CLEAR(s->key_input);
    Py_CLEAR(s->key_ctx);
}
