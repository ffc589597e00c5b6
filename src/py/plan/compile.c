/* The description of a plan (weft/signature/) to its compiled form. Runs once a route, at
 * start-up; the description is our own, so what is wrong with it is a ValueError and no more. */
#include "py/plan/plan_int.h"

#include "wire/http1/http1.h"

static const char *const conv_names[CONV_COUNT] = {
#define X(id, name) [CONV_##id] = name,
    PLAN_CONVERSIONS(X)
#undef X
};
static const char *const check_names[CHECK_COUNT] = {
#define X(id, name) [CHECK_##id] = name,
    PLAN_CHECKS(X)
#undef X
};
static const char *const source_names[SOURCE_COUNT] = {
    "path",    "query",    "header",     "cookie", "body",
    "request", "response", "background", "value",  "dependency",
};
static const char *const kind_names[WF_DEPENDENCY_KINDS] = {
    "async", "thread", "inline", "async_generator", "thread_generator", "inline_generator",
};
static const char *const default_names[] = {"required", "value", "copy", "factory"};

/* An attribute, borrowed: the descriptions are frozen, and alive as long as the plan. */
static PyObject *attribute(PyObject *desc, const char *name) {
    PyObject *value = PyObject_GetAttrString(desc, name);
    Py_XDECREF(value);
    return value;
}

static int attribute_flag(PyObject *desc, const char *name) {
    PyObject *value = attribute(desc, name);
    return value != NULL ? PyObject_IsTrue(value) : -1;
}

static PyObject *attribute_tuple(PyObject *desc, const char *name, Py_ssize_t max) {
    PyObject *value = attribute(desc, name);
    if (value == NULL) {
        return NULL;
    }
    if (!PyTuple_Check(value) || PyTuple_GET_SIZE(value) > max) {
        PyErr_Format(PyExc_ValueError, "%s is not a tuple of at most %zd", name, max);
        return NULL;
    }
    return value;
}

/* The index of a string attribute among `words`, or -1 with an exception. */
static int attribute_word(PyObject *desc, const char *name, const char *const *words, int n) {
    PyObject *value = attribute(desc, name);
    if (value == NULL) {
        return -1;
    }
    for (int i = 0; i < n && PyUnicode_Check(value); i++) {
        if (PyUnicode_CompareWithASCIIString(value, words[i]) == 0) {
            return i;
        }
    }
    PyErr_Format(PyExc_ValueError, "%s cannot be %R", name, value);
    return -1;
}

static int compile_check(PyObject *desc, struct check *out) {
    int op = attribute_word(desc, "op", check_names, CHECK_COUNT);
    if (op < 0 || (out->limit = attribute(desc, "limit")) == NULL ||
        (out->type = attribute(desc, "type")) == NULL ||
        (out->message = attribute(desc, "message")) == NULL ||
        (out->context = attribute(desc, "context")) == NULL) {
        return -1;
    }
    out->op = (enum check_op)op;
    if (PyLong_Check(out->limit)) {
        int overflow;
        out->as_int = PyLong_AsLongLongAndOverflow(out->limit, &overflow);
        out->small = overflow == 0;
    } else if (PyFloat_Check(out->limit)) {
        out->as_float = PyFloat_AS_DOUBLE(out->limit);
    }
    return PyErr_Occurred() ? -1 : 0;
}

static void free_conv(struct conv *c) {
    for (unsigned i = 0; i < c->nitems; i++) {
        free_conv(&c->items[i]);
    }
    PyMem_Free(c->items);
    PyMem_Free(c->checks);
}

static int compile_conv(struct wf_plan *plan, PyObject *desc, struct conv *out, int depth) {
    int kind = attribute_word(desc, "kind", conv_names, CONV_COUNT);
    PyObject *items = attribute_tuple(desc, "items", UINT8_MAX);
    PyObject *checks = attribute_tuple(desc, "checks", CHECK_COUNT);
    PyObject *error = attribute(desc, "error");
    if (kind < 0 || items == NULL || checks == NULL || error == NULL ||
        (out->data = attribute(desc, "data")) == NULL ||
        (out->label = attribute(desc, "label")) == NULL) {
        return -1;
    }
    out->kind = (uint8_t)kind;
    plan->runs_python |= kind == CONV_HANDED;
    if (convert_prepare(plan->state, (enum conv_kind)kind) < 0) {
        return -1;
    }
    if (error != Py_None && !PyArg_ParseTuple(error, "UUO", &out->error_type, &out->error_message,
                                              &out->error_context)) {
        return -1;
    }
    if (out->error_context == Py_None) {
        out->error_context = NULL;
    }
    if (kind == CONV_HANDED &&
        !PyArg_ParseTuple(out->data, "OO", &out->validate, &out->validation_error)) {
        return -1;
    }
    if (kind == CONV_SHAPE) {
        int straight, runs_python;
        if (!PyArg_ParseTuple(out->data, "O!OOpp", plan->state->shape.shape_type, &out->shape,
                              &out->validate, &out->validation_error, &straight, &runs_python)) {
            return -1;
        }
        if (out->validate == Py_None) {
            out->validate = NULL;
        }
        out->straight = straight != 0;
        plan->runs_python |= runs_python != 0;
    }
    if (depth == PLAN_NESTING_MAX || (kind == CONV_LIST && PyTuple_GET_SIZE(items) != 1) ||
        ((kind == CONV_LOOKUP || kind == CONV_LOOKUP_INT) && !PyDict_Check(out->data)) ||
        ((kind == CONV_LOOKUP || kind == CONV_LOOKUP_INT || kind == CONV_OBJECT ||
          kind == CONV_ARRAY || kind == CONV_OBJECTID) &&
         out->error_type == NULL)) {
        PyErr_Format(PyExc_ValueError, "conversion %s is incomplete", conv_names[kind]);
        return -1;
    }

    Py_ssize_t nchecks = PyTuple_GET_SIZE(checks), nitems = PyTuple_GET_SIZE(items);
    out->checks = PyMem_Calloc((size_t)nchecks, sizeof(struct check));
    out->items = PyMem_Calloc((size_t)nitems, sizeof(struct conv));
    if (out->checks == NULL || out->items == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < nchecks; i++) {
        if (compile_check(PyTuple_GET_ITEM(checks, i), &out->checks[i]) < 0) {
            return -1;
        }
        out->nchecks++;
    }
    for (Py_ssize_t i = 0; i < nitems; i++) {
        out->nitems++; /* counted first: what a failure leaves in it is freed with the rest */
        if (compile_conv(plan, PyTuple_GET_ITEM(items, i), &out->items[i], depth + 1) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Where among the arguments this parameter is. */
static int find_slot(struct wf_plan *plan, PyObject *name) {
    Py_ssize_t n = PyTuple_GET_SIZE(plan->param_names);
    for (Py_ssize_t i = 0; i < n; i++) {
        int same = PyObject_RichCompareBool(PyTuple_GET_ITEM(plan->param_names, i), name, Py_EQ);
        if (same != 0) {
            return same < 0 ? -1 : (int)i;
        }
    }
    PyErr_Format(PyExc_ValueError, "no argument is named %R", name);
    return -1;
}

static int compile_names(struct wf_plan *plan, PyObject *desc, unsigned step) {
    const struct step *s = &plan->steps[step];
    PyObject *keys = attribute_tuple(desc, "keys", UINT8_MAX);
    if (keys == NULL) {
        return -1;
    }
    if (PyTuple_GET_SIZE(keys) != PyTuple_GET_SIZE(s->names)) {
        PyErr_SetString(PyExc_ValueError, "as many keys as names");
        return -1;
    }
    if (s->model_fields != NULL) {
        return 0;
    }
    if (s->source != SOURCE_QUERY && s->source != SOURCE_HEADER && s->source != SOURCE_COOKIE) {
        return 0;
    }
    size_t n = (size_t)PyTuple_GET_SIZE(keys);
    struct name *names = PyMem_Realloc(plan->names, (plan->nnames + n) * sizeof(*names));
    if (names == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    plan->names = names;
    for (size_t i = 0; i < n; i++) {
        PyObject *key = PyTuple_GET_ITEM(keys, (Py_ssize_t)i);
        if (!PyBytes_Check(key)) {
            PyErr_SetString(PyExc_ValueError, "keys are bytes");
            return -1;
        }
        struct wf_span span = wf_span(PyBytes_AS_STRING(key), (size_t)PyBytes_GET_SIZE(key));
        names[plan->nnames++] = (struct name){
            .key = span,
            .field_id = s->source == SOURCE_HEADER ? (uint16_t)wf_field_id_of(span) : 0,
            .step = (uint8_t)step,
            .rank = (uint8_t)i,
        };
    }
    uint16_t *count = s->source == SOURCE_QUERY    ? &plan->query_names
                      : s->source == SOURCE_HEADER ? &plan->header_names
                                                   : &plan->cookie_names;
    *count = (uint16_t)(*count + n);
    return 0;
}

/* The names of a parameter model that its shape reads: none where it does not. */
static int compile_model_names(PyObject *keys, PyObject *fields, struct step *s) {
    const Py_ssize_t n = PyTuple_GET_SIZE(keys), nfields = PyTuple_GET_SIZE(fields);
    if (n == 0) {
        return 0;
    }
    s->model_names = PyMem_Calloc((size_t)n, sizeof(*s->model_names));
    if (s->model_names == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *key;
        Py_ssize_t field;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(keys, i), "Sn", &key, &field)) {
            return -1;
        }
        if (nfields >= MODEL_REFUSED || field < -1 || field >= nfields) {
            PyErr_SetString(PyExc_ValueError, "a key is of a field of the model, which has few");
            return -1;
        }
        s->model_names[i] = (struct name){
            .key = wf_span(PyBytes_AS_STRING(key), (size_t)PyBytes_GET_SIZE(key)),
            .step = field < 0 ? MODEL_REFUSED : (uint8_t)field,
            .many = field >= 0 && PyTuple_GET_ITEM(PyTuple_GET_ITEM(fields, field), 1) == Py_True,
        };
    }
    s->nmodel_names = (uint16_t)n;
    s->nmodel_fields = (uint8_t)nfields;
    return 0;
}

/* Is the model of a step, with so many fields, one that its shape reads of texts? 0, or -1 with an
 * exception. */
static int check_model(const struct step *s, Py_ssize_t nfields) {
    const struct wf_shape *shape = s->conv.kind == CONV_SHAPE ? s->conv.shape : NULL;
    const struct wf_object *o = shape != NULL ? wf_text_object(shape->root) : NULL;
    if (o == NULL || s->conv.validate == NULL || o->nfields != nfields) {
        PyErr_SetString(PyExc_ValueError, "the model's shape is of something else");
        return -1;
    }
    return 0;
}

/* The parameter model of a step, if it is one. */
static int compile_model(PyObject *desc, struct step *s) {
    PyObject *model = attribute(desc, "model");
    if (model == NULL || model == Py_None) {
        return model == NULL ? -1 : 0;
    }
    PyObject *fields = attribute_tuple(model, "fields", PY_SSIZE_T_MAX);
    PyObject *keys = attribute_tuple(model, "keys", UINT16_MAX);
    int optional = attribute_flag(model, "optional");
    int extras_count = attribute_flag(model, "extras_count");
    s->own_names = attribute(model, "own_names");
    s->renames = attribute(model, "renames");
    if (fields == NULL || keys == NULL || optional < 0 || extras_count < 0 ||
        s->own_names == NULL || s->renames == NULL) {
        return -1;
    }
    if (!PyFrozenSet_Check(s->own_names) || !PyDict_Check(s->renames)) {
        PyErr_SetString(PyExc_ValueError, "a model has a frozenset of names and a dict of renames");
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(fields); i++) {
        PyObject *pairs;
        int many;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(fields, i), "O!p", &PyTuple_Type, &pairs, &many)) {
            return -1;
        }
        for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(pairs); k++) {
            PyObject *key, *wire;
            if (!PyArg_ParseTuple(PyTuple_GET_ITEM(pairs, k), "UU", &key, &wire)) {
                return -1;
            }
        }
    }
    s->optional = optional != 0;
    s->extras_count = extras_count != 0;
    s->model_fields = fields;
    return compile_model_names(keys, fields, s);
}

static int compile_step(struct wf_plan *plan, PyObject *desc, unsigned at) {
    struct step *s = &plan->steps[at];
    int source = attribute_word(desc, "source", source_names, SOURCE_COUNT);
    int default_kind =
        attribute_word(desc, "default_kind", default_names, WF_ARRAY_LEN(default_names));
    int many = attribute_flag(desc, "many");
    int validate = attribute_flag(desc, "validate_default");
    PyObject *index = attribute(desc, "index"), *conversion = attribute(desc, "conversion");
    PyObject *name = attribute(desc, "name");
    if (source < 0 || default_kind < 0 || many < 0 || validate < 0 || index == NULL ||
        conversion == NULL || name == NULL ||
        (s->names = attribute_tuple(desc, "names", UINT8_MAX)) == NULL ||
        (s->source_name = attribute(desc, "source")) == NULL ||
        (s->default_value = attribute(desc, "default")) == NULL) {
        return -1;
    }
    long path_index = PyLong_AsLong(index);
    int slot = find_slot(plan, name);
    if (slot < 0 || (path_index == -1 && PyErr_Occurred())) {
        return -1;
    }
    if (path_index < 0 ||
        path_index >= (source == SOURCE_DEPENDENCY ? WF_DEPENDENCIES_MAX : WF_ROUTE_PARAMS_MAX) ||
        (source < SOURCE_REQUEST && PyTuple_GET_SIZE(s->names) == 0) ||
        (at > 0 && source < plan->steps[at - 1].source)) {
        PyErr_Format(PyExc_ValueError, "step %R is out of order or has no name", name);
        return -1;
    }
    s->source = (uint8_t)source;
    s->default_kind = (uint8_t)default_kind;
    s->many = many != 0;
    s->validate_default = validate != 0;
    s->index = (uint8_t)path_index;
    s->slot = (uint16_t)slot;
    if (compile_model(desc, s) < 0) {
        return -1;
    }
    s->description = desc;
    int raw = attribute_flag(desc, "raw"), optional = attribute_flag(desc, "form_optional");
    int form_native = attribute_flag(desc, "form_native");
    int form_extras = attribute_flag(desc, "form_extras");
    if (raw < 0 || optional < 0 || form_native < 0 || form_extras < 0 ||
        (s->form_fields = attribute(desc, "form_fields")) == NULL) {
        return -1;
    }
    s->raw = raw != 0;
    s->form_optional = optional != 0;
    s->form_fields = s->form_fields != Py_None ? s->form_fields : NULL;
    s->form_native = form_native != 0;
    s->extras_count |= form_extras != 0;
    plan->has_body |= source == SOURCE_BODY;
    plan->runs_python |= default_kind == DEFAULT_COPY || default_kind == DEFAULT_FACTORY;
    if (compile_conv(plan, conversion, &s->conv, 0) < 0) {
        return -1;
    }
    if ((s->model_names != NULL && check_model(s, s->nmodel_fields) < 0) ||
        (s->form_native && (s->form_fields == NULL || !PyTuple_Check(s->form_fields) ||
                            check_model(s, PyTuple_GET_SIZE(s->form_fields)) < 0))) {
        return -1;
    }
    return compile_names(plan, desc, at);
}

int plan_compile(struct wf_plan *plan) {
    Py_ssize_t n = PyTuple_GET_SIZE(plan->description);
    if (n > PLAN_STEPS_MAX) {
        PyErr_Format(PyExc_ValueError, "%zd parameters, and at most %d are taken", n,
                     PLAN_STEPS_MAX);
        return -1;
    }
    if (n != PyTuple_GET_SIZE(plan->param_names)) {
        PyErr_SetString(PyExc_ValueError, "a plan has one step for each argument");
        return -1;
    }
    plan->steps = PyMem_Calloc((size_t)n, sizeof(struct step));
    if (plan->steps == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        plan->nsteps++; /* counted first, as in compile_conv */
        if (compile_step(plan, PyTuple_GET_ITEM(plan->description, i), (unsigned)i) < 0) {
            return -1;
        }
    }
    return 0;
}

/* An attribute that is an index below `end`, or -1 with an exception. */
static int attribute_index(PyObject *desc, const char *name, long end) {
    PyObject *value = attribute(desc, name);
    long i = value != NULL ? PyLong_AsLong(value) : -1;
    if (i >= 0 && i < end) {
        return (int)i;
    }
    if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "%s must be below %ld, not %ld", name, end, i);
    }
    return -1;
}

static int compile_use(struct wf_plan *plan, PyObject *desc, int at, int n) {
    struct wf_dependency *d = &plan->dependencies[at];
    PyObject *own = attribute(desc, "plan");
    int kind = attribute_word(desc, "kind", kind_names, WF_DEPENDENCY_KINDS);
    int values = WF_MIN(2 * n, WF_DEPENDENCIES_MAX); /* one that is not shared has two places */
    int value = attribute_index(desc, "value", values), key = attribute_index(desc, "key", values);
    int parent = attribute_index(desc, "parent", n + 1);
    int start = attribute_index(desc, "start", at + 1), first = attribute_index(desc, "first", n);
    int repeat = attribute_flag(desc, "repeat"), shared = attribute_flag(desc, "shared");
    int function_scope = attribute_flag(desc, "function_scope");
    if (own == NULL || kind < 0 || value < 0 || key < 0 || parent < 0 || start < 0 || first < 0 ||
        repeat < 0 || shared < 0 || function_scope < 0) {
        return -1;
    }
    if (!Py_IS_TYPE(own, plan->state->plan.plan_type) || parent <= at || (repeat && first >= at)) {
        PyErr_SetString(PyExc_ValueError, "the uses of dependencies are out of order");
        return -1;
    }
    *d = (struct wf_dependency){
        .plan = (struct wf_plan *)own,
        .kind = (uint8_t)kind,
        .value = (uint8_t)value,
        .key = (uint8_t)key,
        .parent = (uint8_t)parent,
        .start = (uint8_t)start,
        .first = (uint8_t)first,
        .repeat = repeat != 0,
        .shared = shared != 0,
        .function_scope = function_scope != 0,
    };
    plan->nvalues = (uint8_t)WF_MAX(plan->nvalues, WF_MAX(value, key) + 1);
    plan->reads_body |= d->plan->has_body;
    plan->body_readers = (uint16_t)(plan->body_readers + d->plan->has_body);
    return 0;
}

/* Is every value there that the steps of `plan` take? */
static int check_values(const struct wf_plan *plan, unsigned nvalues) {
    for (unsigned i = 0; i < plan->nsteps; i++) {
        if (plan->steps[i].source == SOURCE_DEPENDENCY && plan->steps[i].index >= nvalues) {
            PyErr_SetString(PyExc_ValueError, "a step takes the value of no dependency");
            return -1;
        }
    }
    return 0;
}

int plan_compile_uses(struct wf_plan *plan) {
    Py_ssize_t n = PyTuple_GET_SIZE(plan->uses);
    plan->reads_body = plan->has_body;
    plan->body_readers = plan->has_body;
    if (n >= WF_DEPENDENCIES_MAX) {
        PyErr_Format(PyExc_ValueError, "a route has fewer than %d dependencies",
                     WF_DEPENDENCIES_MAX);
        return -1;
    }
    plan->dependencies = PyMem_Calloc((size_t)n, sizeof(struct wf_dependency));
    if (plan->dependencies == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (compile_use(plan, PyTuple_GET_ITEM(plan->uses, i), (int)i, (int)n) < 0) {
            return -1;
        }
    }
    plan->ndependencies = (uint8_t)n;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (check_values(plan->dependencies[i].plan, plan->nvalues) < 0) {
            return -1;
        }
    }
    return n != 0 ? check_values(plan, plan->nvalues) : 0;
}

void plan_free_compiled(struct wf_plan *plan) {
    PyMem_Free(plan->dependencies);
    for (unsigned i = 0; i < plan->nsteps; i++) {
        free_conv(&plan->steps[i].conv);
        PyMem_Free(plan->steps[i].model_names);
    }
    PyMem_Free(plan->steps);
    PyMem_Free(plan->names);
}
