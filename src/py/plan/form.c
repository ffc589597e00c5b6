/* Steps whose values come from a form. FastAPI's rules: of equal names the last counts, an empty text and a
 * file input that nothing was chosen in count as nothing, and a model takes what else there is too. */
#include "py/form/form.h"
#include "py/plan/plan_int.h"

enum conv_result plan_read_form(struct plan_run *run, PyObject **out) {
    struct wf_plan_call *call = run->call;
    if (call->form == NULL) {
        call->form = wf_form_to_list(run->plan->state, call->ex->form);
    }
    *out = Py_XNewRef(call->form);
    return *out != NULL ? CONV_OK : CONV_FAILED;
}

/* ---- finding ---- */

/* How one value, or one field of a model, is found among the items. */
struct wanted {
    PyObject *names; /* borrowed: tuple of str, the best first */
    bool many;       /* all of that name, as a list */
    bool raw;        /* of files their bytes */
};

/* Is it there at all, as far as parameters go? 1, 0, or -1 with an exception. */
static int counts(struct plan_run *run, PyObject *value, bool many) {
    if (PyUnicode_Check(value)) {
        return many || PyUnicode_GET_LENGTH(value) != 0;
    }
    int none = wf_form_is_no_file(run->plan->state, value);
    return none < 0 ? -1 : !none;
}

/* value  stolen: an item's; new reference */
static PyObject *content(struct plan_run *run, const struct wanted *w, PyObject *value) {
    if (w->raw && wf_form_is_upload(run->plan->state, value)) {
        Py_SETREF(value, wf_form_read_upload(value));
    }
    return value;
}

/* The name of an item, borrowed. */
static PyObject *name_of(PyObject *items, Py_ssize_t i) {
    return PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 0);
}

/* Is `name` among the first n names of the tuple? Both are exact str: nothing can fail. */
static bool among(PyObject *names, Py_ssize_t n, PyObject *name) {
    for (Py_ssize_t i = 0; i < n; i++) {
        if (PyUnicode_Compare(PyTuple_GET_ITEM(names, i), name) == 0) {
            return true;
        }
    }
    return false;
}

/* All of that name that count, as a list; *out is NULL where there are none. */
static int find_all(struct plan_run *run, const struct wanted *w, PyObject *items, PyObject *name,
                    PyObject **out) {
    PyObject *list = NULL;
    *out = NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items); i++) {
        if (PyUnicode_Compare(name_of(items, i), name) != 0) {
            continue;
        }
        PyObject *value = Py_NewRef(PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 1));
        int there = counts(run, value, true);
        value = there > 0 ? content(run, w, value) : value;
        if (list == NULL) {
            list = PyList_New(0);
        }
        int rc = there < 0 || value == NULL || list == NULL ? -1
                 : there > 0                                ? PyList_Append(list, value)
                                                            : 0;
        Py_XDECREF(value);
        if (rc < 0) {
            Py_XDECREF(list);
            return -1;
        }
    }
    if (list != NULL && PyList_GET_SIZE(list) == 0) {
        Py_CLEAR(list);
    }
    *out = list;
    return 0;
}

static int find_last(struct plan_run *run, const struct wanted *w, PyObject *items, PyObject *name,
                     PyObject **out) {
    Py_ssize_t i = PyList_GET_SIZE(items) - 1;
    *out = NULL;
    while (i >= 0 && PyUnicode_Compare(name_of(items, i), name) != 0) {
        i--;
    }
    if (i < 0) {
        return 0;
    }
    PyObject *value = PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 1); /* borrowed */
    int there = counts(run, value, false);
    if (there > 0) {
        *out = content(run, w, Py_NewRef(value));
        return *out != NULL ? 0 : -1;
    }
    return there;
}

/* By the best name that has something. *out: new reference, or NULL where nothing is there. */
static int find(struct plan_run *run, const struct wanted *w, PyObject *items, PyObject **out,
                uint8_t *rank) {
    *out = NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(w->names); i++) {
        PyObject *name = PyTuple_GET_ITEM(w->names, i); /* borrowed */
        if ((w->many ? find_all : find_last)(run, w, items, name, out) < 0) {
            return -1;
        }
        if (*out != NULL) {
            *rank = (uint8_t)i;
            return 0;
        }
    }
    return 0;
}

/* ---- one value ---- */

/* No conversion of ours takes this (a file for an int): pydantic has the words for it. */
static enum conv_result let_pydantic_say(struct plan_run *run, const struct step *s,
                                         PyObject *value, PyObject **out) {
    if (plan_check_plain(run, value) != CONV_OK) {
        return CONV_FAILED;
    }
    PyObject *signature = PyImport_ImportModule("weft.signature");
    PyObject *judged = signature != NULL
                           ? PyObject_CallMethod(signature, "judge", "OO", s->description, value)
                           : NULL;
    Py_XDECREF(signature);
    PyObject *result, *error; /* borrowed from judged */
    enum conv_result rc = CONV_FAILED;
    if (judged != NULL && PyArg_ParseTuple(judged, "OO", &result, &error)) {
        if (error == Py_None) {
            *out = Py_NewRef(result);
            rc = CONV_OK;
        } else {
            rc = plan_error_handed(run, error);
        }
    }
    Py_XDECREF(judged);
    return rc;
}

/* Does a conversion without text take it as it is? */
static bool takes(struct plan_run *run, const struct conv *c, PyObject *value) {
    return (c->kind == CONV_UPLOAD && wf_form_is_upload(run->plan->state, value)) ||
           (c->kind == CONV_RAW && PyBytes_Check(value));
}

static enum conv_result convert_many(struct plan_run *run, const struct step *s, PyObject *list,
                                     PyObject **out) {
    bool text = true, as_it_is = s->conv.data == (PyObject *)&PyList_Type;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *value = PyList_GET_ITEM(list, i); /* borrowed */
        text = text && PyUnicode_Check(value);
        as_it_is = as_it_is && takes(run, &s->conv.items[0], value);
    }
    if (as_it_is && s->conv.nchecks == 0) {
        *out = Py_NewRef(list);
        return CONV_OK;
    }
    bool ours = text && s->conv.items[0].kind != CONV_UPLOAD && s->conv.items[0].kind != CONV_RAW;
    return ours ? convert_list(run, &s->conv, list, out) : let_pydantic_say(run, s, list, out);
}

static enum conv_result convert(struct plan_run *run, const struct step *s, PyObject *value,
                                PyObject **out) {
    const struct conv *c = &s->conv;
    if (c->kind == CONV_HANDED || c->kind == CONV_SHAPE) {
        return convert_object(run, c, value, out);
    }
    if (c->kind == CONV_LIST) {
        return convert_many(run, s, value, out);
    }
    if (takes(run, c, value) && c->nchecks == 0) {
        *out = Py_NewRef(value);
        return CONV_OK;
    }
    if (!PyUnicode_Check(value) || c->kind == CONV_UPLOAD || c->kind == CONV_OBJECT ||
        c->kind == CONV_ARRAY || c->kind == CONV_RAW) {
        return let_pydantic_say(run, s, value, out);
    }
    Py_ssize_t n;
    const char *utf8 = PyUnicode_AsUTF8AndSize(value, &n);
    if (utf8 == NULL) {
        return CONV_FAILED;
    }
    struct text t = {.utf8 = wf_span(utf8, (size_t)n), .str = Py_NewRef(value)};
    enum conv_result result = convert_text(run, c, &t, out);
    Py_XDECREF(t.str);
    return result;
}

/* ---- a model ---- */

/* tried  of each field, how many of its names count; NULL: all */
static bool known(PyObject *fields, const Py_ssize_t *tried, PyObject *name) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(fields); i++) {
        PyObject *names = PyTuple_GET_ITEM(PyTuple_GET_ITEM(fields, i), 0);
        if (among(names, tried != NULL ? tried[i] : PyTuple_GET_SIZE(names), name)) {
            return true;
        }
    }
    return false;
}

/* Adds to dict what no field of the model was looked for by: one value, or all where there are several. */
static int add_extras(PyObject *fields, const Py_ssize_t *tried, PyObject *items, PyObject *dict) {
    PyObject *grouped = PyDict_New(); /* of those that have come once or more: name -> list */
    int rc = grouped != NULL ? 0 : -1;
    for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(items); i++) {
        PyObject *name = name_of(items, i), *value = PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 1);
        if (known(fields, tried, name)) {
            continue;
        }
        PyObject *list = PyDict_GetItemWithError(grouped, name); /* borrowed */
        if (list != NULL) {
            rc = PyList_Append(list, value) < 0 || PyDict_SetItem(dict, name, list) < 0 ? -1 : 0;
            continue;
        }
        list = PyErr_Occurred() ? NULL : PyList_New(1);
        if (list == NULL) {
            rc = -1;
            break;
        }
        PyList_SET_ITEM(list, 0, Py_NewRef(value));
        rc = PyDict_SetItem(grouped, name, list) < 0 || PyDict_SetItem(dict, name, value) < 0 ? -1
                                                                                              : 0;
        Py_DECREF(list);
    }
    Py_XDECREF(grouped);
    return rc;
}

/* *tried: how many of its names were looked for */
static int add_field(struct plan_run *run, PyObject *field, PyObject *items, PyObject *dict,
                     Py_ssize_t *tried) {
    int many, raw;
    struct wanted w;
    if (!PyArg_ParseTuple(field, "O!pp", &PyTuple_Type, &w.names, &many, &raw)) {
        return -1;
    }
    w.many = many != 0;
    w.raw = raw != 0;
    PyObject *value;
    uint8_t rank;
    if (find(run, &w, items, &value, &rank) < 0) {
        return -1;
    }
    *tried = value != NULL ? rank + 1 : PyTuple_GET_SIZE(w.names);
    int rc = value != NULL ? PyDict_SetItem(dict, PyTuple_GET_ITEM(w.names, rank), value) : 0;
    Py_XDECREF(value);
    return rc;
}

/* A value of the form as texts. False: it is no text. */
static bool texts_of(struct wf_exchange *ex, PyObject *value, struct wf_texts *out) {
    const bool many = PyList_CheckExact(value);
    const Py_ssize_t n = many ? PyList_GET_SIZE(value) : 1;
    struct wf_span *texts = wf_arena_alloc(&ex->arena, (size_t)n * sizeof(*texts));
    for (Py_ssize_t i = 0; i < n && texts != NULL; i++) {
        PyObject *text =
            many ? PyList_GET_ITEM(value, i) : value; /* borrowed, as the dict has it */
        Py_ssize_t size = 0;
        const char *p = PyUnicode_Check(text) ? PyUnicode_AsUTF8AndSize(text, &size) : NULL;
        if (p == NULL) {
            PyErr_Clear();
            return false;
        }
        texts[i] = wf_span(p, (size_t)size);
    }
    *out = (struct wf_texts){.p = texts, .n = (size_t)n, .many = many};
    return texts != NULL;
}

/* The model by its shape, of what it would be made of. INVALID: as plan_fill_model. */
static enum conv_result fill_model(struct plan_run *run, const struct step *s, PyObject *dict,
                                   PyObject **out, PyObject **calls) {
    struct wf_exchange *ex = run->call->ex;
    const size_t nfields = s->form_native ? (size_t)PyTuple_GET_SIZE(s->form_fields) : 0;
    *calls = NULL;
    if (nfields == 0) {
        return CONV_INVALID;
    }
    const struct wf_object *o = wf_text_object(s->conv.shape->root);
    struct wf_texts *fields = wf_arena_alloc(&ex->arena, nfields * sizeof(*fields));
    if (fields == NULL) {
        return CONV_INVALID;
    }
    Py_ssize_t taken = 0;
    for (size_t i = 0; i < nfields; i++) {
        PyObject *field = PyTuple_GET_ITEM(s->form_fields, (Py_ssize_t)i);
        PyObject *names = PyTuple_GET_ITEM(field, 0), *value = NULL; /* borrowed */
        fields[i] = (struct wf_texts){0};
        for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(names) && value == NULL; k++) {
            value = PyDict_GetItemWithError(dict, PyTuple_GET_ITEM(names, k));
        }
        if (value == NULL && PyErr_Occurred()) {
            return CONV_FAILED;
        }
        if (value != NULL && !texts_of(ex, value, &fields[i])) {
            return CONV_INVALID;
        }
        taken += value != NULL;
    }
    if (o->extra == WF_EXTRA_FORBID && taken != PyDict_GET_SIZE(dict)) {
        return CONV_INVALID;
    }
    return plan_shape_fields(run, &s->conv, fields, out, calls);
}

/* Was anything sent that the model knows? */
static bool supplied(PyObject *fields, PyObject *items) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items); i++) {
        if (known(fields, NULL, name_of(items, i))) {
            return true;
        }
    }
    return false;
}

/* What the model would be made of: a dict, new reference. */
static PyObject *collect(struct plan_run *run, const struct step *s, PyObject *items) {
    const Py_ssize_t nfields = PyTuple_GET_SIZE(s->form_fields);
    Py_ssize_t *tried = PyMem_Calloc((size_t)nfields, sizeof(*tried));
    if (tried == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *dict = PyDict_New();
    int rc = dict != NULL ? 0 : -1;
    for (Py_ssize_t i = 0; rc == 0 && i < nfields; i++) {
        rc = add_field(run, PyTuple_GET_ITEM(s->form_fields, i), items, dict, &tried[i]);
    }
    if (rc == 0) {
        rc = add_extras(s->form_fields, tried, items, dict);
    }
    if (rc < 0) {
        Py_CLEAR(dict);
    }
    PyMem_Free(tried);
    return dict;
}

static enum conv_result step_model(struct plan_run *run, const struct step *s, PyObject *items,
                                   PyObject **out) {
    run->whole_body = true;
    const bool extras = s->extras_count && PyList_GET_SIZE(items) != 0;
    if (s->form_optional && !extras && !supplied(s->form_fields, items)) {
        return plan_use_default(run, s, out);
    }
    PyObject *calls, *dict = collect(run, s, items);
    if (dict == NULL) {
        return CONV_FAILED;
    }
    enum conv_result result = fill_model(run, s, dict, out, &calls);
    if (result == CONV_INVALID) {
        result = calls != NULL ? plan_replay(run, &s->conv, dict, calls, out)
                               : convert_object(run, &s->conv, dict, out);
    }
    Py_XDECREF(calls);
    Py_DECREF(dict);
    return result;
}

enum conv_result plan_step_form(struct plan_run *run, const struct step *s, PyObject *items,
                                PyObject **out) {
    if (s->form_fields != NULL) {
        return step_model(run, s, items, out);
    }
    struct wanted w = {.names = s->names, .many = s->many, .raw = s->raw};
    PyObject *value;
    if (find(run, &w, items, &value, &run->rank) < 0) {
        return CONV_FAILED;
    }
    if (value == NULL) {
        return plan_use_default(run, s, out);
    }
    enum conv_result result = convert(run, s, value, out);
    Py_DECREF(value);
    return result;
}
