/* Parameter models: all of the query, the fields or the cookies as one dict, for the model to judge, where
 * its shape (fields.c) is not certain of it.
 * What FastAPI does with them is the rule: a field takes the first of its keys that came, as a list or as
 * one value; whatever is left is handed over too, since the model may forbid it or want it. */
#include "py/plan/plan_int.h"

/* plan_pair_fn: key -> value, or a list of the values of a key that comes again. */
static int collect(void *arg, PyObject *key, PyObject *value) {
    PyObject *received = arg;
    PyObject *before = PyDict_GetItemWithError(received, key); /* borrowed */
    if (before == NULL) {
        return PyErr_Occurred() ? -1 : PyDict_SetItem(received, key, value);
    }
    if (PyList_CheckExact(before)) {
        return PyList_Append(before, value);
    }
    PyObject *list = PyList_New(2);
    if (list == NULL) {
        return -1;
    }
    PyList_SET_ITEM(list, 0, Py_NewRef(before));
    PyList_SET_ITEM(list, 1, Py_NewRef(value));
    int rc = PyDict_SetItem(received, key, list);
    Py_DECREF(list);
    return rc;
}

/* The same of cookies, of which the last counts. */
static int collect_last(void *arg, PyObject *key, PyObject *value) {
    return PyDict_SetItem(arg, key, value);
}

/* All that came, new reference. */
static PyObject *receive(struct wf_exchange *ex, uint8_t source) {
    PyObject *received = PyDict_New();
    if (received == NULL) {
        return NULL;
    }
    if (plan_each(ex, source, source == SOURCE_COOKIE ? collect_last : collect, received) < 0) {
        Py_CLEAR(received);
    }
    return received;
}

/* What a field gets of what came by its key (borrowed): new reference. Of several cookies or query
 * parameters the last counts, of field lines the first. */
static PyObject *choose(PyObject *value, bool many, uint8_t source) {
    bool list = PyList_CheckExact(value);
    if (many && source != SOURCE_COOKIE) {
        if (list) {
            return Py_NewRef(value);
        }
        PyObject *one = PyList_New(1);
        if (one != NULL) {
            PyList_SET_ITEM(one, 0, Py_NewRef(value));
        }
        return one;
    }
    if (!list) {
        return Py_NewRef(value);
    }
    return Py_NewRef(
        PyList_GET_ITEM(value, source == SOURCE_HEADER ? 0 : PyList_GET_SIZE(value) - 1));
}

/* One field: its value from `received` to `values`. *used is the key it came by, borrowed, or NULL. */
static int take_field(PyObject *field, uint8_t source, PyObject *received, PyObject *values,
                      PyObject **used) {
    PyObject *pairs = PyTuple_GET_ITEM(field, 0); /* borrowed from the description, as its items */
    bool many = PyTuple_GET_ITEM(field, 1) == Py_True;
    *used = NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pairs); i++) {
        PyObject *pair = PyTuple_GET_ITEM(pairs, i);
        PyObject *value = PyDict_GetItemWithError(received, PyTuple_GET_ITEM(pair, 1));
        if (value == NULL) {
            if (PyErr_Occurred()) {
                return -1;
            }
            continue;
        }
        *used = PyTuple_GET_ITEM(pair, 1);
        PyObject *chosen = choose(value, many, source);
        int rc = chosen != NULL ? PyDict_SetItem(values, PyTuple_GET_ITEM(pair, 0), chosen) : -1;
        Py_XDECREF(chosen);
        return rc;
    }
    return 0;
}

static int remove_key(PyObject *dict, PyObject *key) {
    int there = PyDict_Contains(dict, key);
    return there > 0 ? PyDict_DelItem(dict, key) : there;
}

/* The values by field, new reference; what is left of `received` no field has taken. */
static PyObject *take_fields(const struct step *s, PyObject *received) {
    Py_ssize_t n = PyTuple_GET_SIZE(s->model_fields);
    PyObject *values = PyDict_New();
    PyObject *used = values != NULL ? PyList_New(0) : NULL;
    for (Py_ssize_t i = 0; used != NULL && i < n; i++) {
        PyObject *key;
        if (take_field(PyTuple_GET_ITEM(s->model_fields, i), s->source, received, values, &key) <
                0 ||
            (key != NULL && PyList_Append(used, key) < 0)) {
            Py_CLEAR(used);
        }
    }
    for (Py_ssize_t i = 0; used != NULL && i < PyList_GET_SIZE(used); i++) {
        if (remove_key(received, PyList_GET_ITEM(used, i)) < 0) {
            Py_CLEAR(used);
        }
    }
    /* a field's own name is not accepted where the request's key is made from it */
    PyObject *name;
    Py_ssize_t at = 0;
    while (used != NULL && PyDict_Next(s->renames, &at, &name, NULL)) {
        if (remove_key(received, name) < 0) {
            Py_CLEAR(used);
        }
    }
    if (used == NULL) {
        Py_CLEAR(values);
    }
    Py_XDECREF(used);
    return values;
}

/* Does the request have any of the model's own keys? */
static int has_own(const struct step *s, PyObject *received) {
    PyObject *key;
    Py_ssize_t at = 0;
    while (PyDict_Next(received, &at, &key, NULL)) {
        int own = PySet_Contains(s->own_names, key);
        if (own != 0) {
            return own;
        }
    }
    return 0;
}

/* The errors from `first` on name the request's keys, as the client knows them. */
static int rename_errors(struct plan_run *run, const struct step *s, Py_ssize_t first) {
    if (PyDict_GET_SIZE(s->renames) == 0) {
        return 0;
    }
    PyObject *key_loc = run->plan->state->plan.key_loc;
    for (Py_ssize_t i = first; i < PyList_GET_SIZE(run->errors); i++) {
        PyObject *error = PyList_GET_ITEM(run->errors, i); /* a dict of ours */
        PyObject *loc = PyDict_GetItemWithError(error, key_loc);
        if (loc == NULL || !PyTuple_Check(loc) || PyTuple_GET_SIZE(loc) < 2) {
            continue;
        }
        PyObject *name = PyDict_GetItemWithError(s->renames, PyTuple_GET_ITEM(loc, 1));
        if (name == NULL) {
            PyErr_Clear(); /* what is not hashable is no name */
            continue;
        }
        Py_ssize_t n = PyTuple_GET_SIZE(loc);
        PyObject *renamed = PyTuple_New(n);
        for (Py_ssize_t k = 0; renamed != NULL && k < n; k++) {
            PyTuple_SET_ITEM(renamed, k, Py_NewRef(k == 1 ? name : PyTuple_GET_ITEM(loc, k)));
        }
        int rc = renamed != NULL ? PyDict_SetItem(error, key_loc, renamed) : -1;
        Py_XDECREF(renamed);
        if (rc < 0) {
            return -1;
        }
    }
    return 0;
}

/* What pydantic makes of all that came.
 * calls  borrowed: what validators gave already, or NULL */
static enum conv_result judge_model(struct plan_run *run, const struct step *s, PyObject *calls,
                                    PyObject **out, bool *present) {
    enum conv_result result = CONV_FAILED;
    Py_ssize_t before = run->errors != NULL ? PyList_GET_SIZE(run->errors) : 0;
    PyObject *values = NULL, *received = receive(run->call->ex, s->source);
    if (received == NULL) {
        return CONV_FAILED;
    }
    int own = s->optional ? has_own(s, received) : 1;
    values = own >= 0 ? take_fields(s, received) : NULL;
    if (values == NULL || PyDict_Update(values, received) < 0) {
        goto done;
    }
    *present = own != 0 || (s->extras_count && PyDict_GET_SIZE(values) != 0);
    *out = NULL;
    result = !*present       ? CONV_OK
             : calls != NULL ? plan_replay(run, &s->conv, values, calls, out)
                             : convert_object(run, &s->conv, values, out);
    if (result == CONV_INVALID && rename_errors(run, s, before) < 0) {
        result = CONV_FAILED;
    }
done:
    Py_XDECREF(values);
    Py_DECREF(received);
    return result;
}

enum conv_result convert_model(struct plan_run *run, const struct step *s, PyObject **out,
                               bool *present) {
    PyObject *calls;
    enum conv_result result = plan_fill_model(run, s, out, &calls);
    if (wf_likely(result != CONV_INVALID)) {
        *present = true;
        return result;
    }
    result = judge_model(run, s, calls, out, present);
    Py_XDECREF(calls);
    return result;
}
