/* What a request got wrong: dicts as pydantic makes them and FastAPI answers them. Slow paths, all
 * of it. */
#include "py/plan/plan_int.h"

enum {
    ERRORS_HANDED_MAX = 1000 /* a list of a million wrong items is three bytes each to send, and
                                half a kilobyte each to answer */
};

/* (source, name, deeper...), or ("body", deeper...). Owned. */
static PyObject *location(struct plan_run *run, PyObject *more) {
    const struct step *s = run->step;
    Py_ssize_t base = run->whole_body ? 1 : 2;
    Py_ssize_t nmore = more != NULL ? PyTuple_GET_SIZE(more) : 0;
    PyObject *loc = PyTuple_New(base + run->ndeeper + nmore);
    if (loc == NULL) {
        return NULL;
    }
    PyTuple_SET_ITEM(loc, 0, Py_NewRef(s->source_name));
    if (base == 2) {
        PyTuple_SET_ITEM(loc, 1, Py_NewRef(PyTuple_GET_ITEM(s->names, run->rank)));
    }
    for (Py_ssize_t i = 0; i < run->ndeeper; i++) {
        PyTuple_SET_ITEM(loc, base + i, Py_NewRef(run->deeper[i]));
    }
    for (Py_ssize_t i = 0; i < nmore; i++) {
        PyTuple_SET_ITEM(loc, base + run->ndeeper + i, Py_NewRef(PyTuple_GET_ITEM(more, i)));
    }
    return loc;
}

/* dict  borrowed */
static enum conv_result append(struct plan_run *run, PyObject *dict) {
    if (run->errors == NULL && (run->errors = PyList_New(0)) == NULL) {
        return CONV_FAILED;
    }
    return PyList_Append(run->errors, dict) < 0 ? CONV_FAILED : CONV_INVALID;
}

/* Nothing is stolen; context and more may be NULL. */
static enum conv_result add(struct plan_run *run, PyObject *type, PyObject *message,
                            PyObject *input, PyObject *context, PyObject *more) {
    struct wf_plan_state *state = &run->plan->state->plan;
    enum conv_result result = CONV_FAILED;
    PyObject *loc = location(run, more);
    PyObject *dict = loc != NULL ? PyDict_New() : NULL;
    PyObject *own_context = NULL; /* each error has its own: an exception handler may change it */
    if (dict == NULL || PyDict_SetItem(dict, state->key_type, type) < 0 ||
        PyDict_SetItem(dict, state->key_loc, loc) < 0 ||
        PyDict_SetItem(dict, state->key_msg, message) < 0 ||
        PyDict_SetItem(dict, state->key_input, input) < 0) {
        goto done;
    }
    if (context != NULL && ((own_context = PyDict_Copy(context)) == NULL ||
                            PyDict_SetItem(dict, state->key_ctx, own_context) < 0)) {
        goto done;
    }
    result = append(run, dict);
done:
    Py_XDECREF(own_context);
    Py_XDECREF(dict);
    Py_XDECREF(loc);
    return result;
}

enum conv_result plan_error(struct plan_run *run, PyObject *type, PyObject *message,
                            PyObject *input, PyObject *context) {
    return add(run, type, message, input, context, NULL);
}

enum conv_result plan_error_at(struct plan_run *run, const char *type, PyObject *message,
                               PyObject *input, PyObject *more) {
    PyObject *t = PyUnicode_FromString(type);
    enum conv_result result = t != NULL ? add(run, t, message, input, NULL, more) : CONV_FAILED;
    Py_XDECREF(t);
    return result;
}

enum conv_result plan_error_text(struct plan_run *run, const char *type, const char *message,
                                 PyObject *input) {
    enum conv_result result = CONV_FAILED;
    PyObject *t = PyUnicode_FromString(type), *m = PyUnicode_FromString(message);
    if (t != NULL && m != NULL) {
        result = plan_error(run, t, m, input, NULL);
    }
    Py_XDECREF(t);
    Py_XDECREF(m);
    return result;
}

enum conv_result plan_error_missing(struct plan_run *run) {
    return plan_error_text(run, "missing", "Field required", Py_None);
}

enum conv_result plan_error_scalar(struct plan_run *run, enum wf_scalar_error e,
                                   struct wf_span text, PyObject *input) {
    char buf[WF_SCALAR_MESSAGE_MAX];
    struct wf_span detail;
    size_t n = wf_scalar_error_message(e, text, buf, &detail);
    enum conv_result result = CONV_FAILED;
    PyObject *type = PyUnicode_FromString(wf_scalar_error_type(e));
    PyObject *message = PyUnicode_DecodeUTF8(buf, (Py_ssize_t)n, "replace");
    PyObject *context = NULL;
    if (detail.n != 0) {
        context = Py_BuildValue("{s:s#}", "error", detail.p, (Py_ssize_t)detail.n);
    }
    if (type != NULL && message != NULL && (detail.n == 0 || context != NULL)) {
        result = plan_error(run, type, message, input, context);
    }
    Py_XDECREF(type);
    Py_XDECREF(message);
    Py_XDECREF(context);
    return result;
}

/* exc.error_count(), or -1 with an exception. */
static Py_ssize_t error_count(PyObject *exc) {
    PyObject *count = PyObject_CallMethod(exc, "error_count", NULL);
    Py_ssize_t n = count != NULL ? PyLong_AsSsize_t(count) : -1;
    Py_XDECREF(count);
    return n;
}

/* One error in place of n. */
static enum conv_result too_many(struct plan_run *run, Py_ssize_t n) {
    char message[64];
    snprintf(message, sizeof(message), "The input has %zd errors", n);
    return plan_error_text(run, "too_many_errors", message, Py_None);
}

enum conv_result plan_error_handed(struct plan_run *run, PyObject *exc) {
    struct wf_plan_state *state = &run->plan->state->plan;
    enum conv_result result = CONV_FAILED;
    Py_ssize_t count = error_count(exc);
    if (wf_unlikely(count < 0 || count > ERRORS_HANDED_MAX)) {
        return count < 0 ? CONV_FAILED : too_many(run, count);
    }
    PyObject *method = PyObject_GetAttrString(exc, "errors");
    PyObject *options = Py_BuildValue("{s:O}", "include_url", Py_False);
    PyObject *empty = PyTuple_New(0), *errors = NULL;
    if (method == NULL || options == NULL || empty == NULL ||
        (errors = PyObject_Call(method, empty, options)) == NULL) {
        goto done;
    }
    if (!PyList_Check(errors)) {
        PyErr_SetString(PyExc_TypeError, "ValidationError.errors() is not a list");
        goto done;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(errors); i++) {
        PyObject *dict = PyList_GET_ITEM(errors, i); /* borrowed */
        PyObject *inner = PyDict_Check(dict) ? PyDict_GetItemWithError(dict, state->key_loc) : NULL;
        if (inner != NULL && !PyTuple_Check(inner)) {
            inner = NULL;
        }
        PyObject *loc = PyErr_Occurred() ? NULL : location(run, inner);
        if (loc == NULL) {
            goto done;
        }
        int rc = PyDict_SetItem(dict, state->key_loc, loc);
        Py_DECREF(loc);
        if (rc < 0 || append(run, dict) == CONV_FAILED) {
            goto done;
        }
    }
    result = CONV_INVALID;
done:
    Py_XDECREF(method);
    Py_XDECREF(options);
    Py_XDECREF(empty);
    Py_XDECREF(errors);
    return result;
}
