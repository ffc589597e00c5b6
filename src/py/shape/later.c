/* What is put off below a judge until all else is known to be valid: default factories and the
 * validators of the application, called in pydantic's order. What they returned or raised is kept, so
 * that pydantic, where one has raised, can be asked from the start without any being called again. */
#include "py/shape/shape_int.h"

#include "base/alloc.h"

/* Zeroed; NULL with MemoryError. */
static struct wf_later *push(struct wf_walk *w) {
    if (w->nlater == w->later_cap) {
        size_t cap = w->later_cap == 0 ? 16 : w->later_cap * 2;
        struct wf_later *p = wf_realloc(w->later, cap * sizeof(*p));
        if (p == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        w->later = p;
        w->later_cap = cap;
    }
    struct wf_later *one = &w->later[w->nlater++];
    *one = (struct wf_later){0};
    return one;
}

int shape_put_off(struct wf_walk *w, PyObject *dict, const struct wf_object_field *field,
                  unsigned order) {
    struct wf_later *one = push(w);
    if (one == NULL) {
        return -1;
    }
    one->holder = Py_NewRef(dict);
    one->key = Py_NewRef(field->name);
    one->factory = field->default_value;
    one->order = order;
    return 0;
}

enum wf_walk_result wf_walk_put_off(struct wf_walk *w, const struct wf_node *node) {
    struct wf_later *one = push(w);
    if (one == NULL) {
        return WF_WALK_FAILED;
    }
    one->node = node;
    return WF_WALK_OK;
}

void wf_walk_forget(struct wf_walk *w, size_t from) {
    while (w->nlater > from) {
        struct wf_later *one = &w->later[--w->nlater];
        Py_XDECREF(one->key);
        Py_XDECREF(one->holder);
    }
}

/* ---- where they stand ---- */

void wf_walk_later_in(struct wf_walk *w, size_t from, PyObject *dict, PyObject *key) {
    for (size_t i = from; i < w->nlater; i++) {
        struct wf_later *one = &w->later[i];
        if (one->holder == NULL) {
            one->holder = Py_NewRef(dict);
            one->key = Py_NewRef(key);
        }
    }
}

void shape_hold_fields(struct wf_walk *w, const struct wf_object *o, PyObject *dict) {
    for (size_t i = w->later_at; i < w->nlater; i++) {
        struct wf_later *one = &w->later[i];
        if (one->holder == NULL) {
            one->holder = Py_NewRef(dict);
            one->key = Py_NewRef(o->fields[one->order].name);
        }
    }
}

void shape_hold_items(struct wf_walk *w, PyObject *list) {
    for (size_t i = w->later_at; i < w->nlater; i++) {
        struct wf_later *one = &w->later[i];
        if (one->holder == NULL) {
            one->holder = Py_NewRef(list);
            one->index = one->order;
        }
    }
}

/* By insertion, which is stable: they came in the input's order of fields, and are few. */
void shape_sort_put_off(struct wf_walk *w, size_t from) {
    for (size_t i = from + 1; i < w->nlater; i++) {
        struct wf_later one = w->later[i];
        size_t j = i;
        for (; j > from && w->later[j - 1].order > one.order; j--) {
            w->later[j] = w->later[j - 1];
        }
        w->later[j] = one;
    }
}

/* What stands there: a new reference, or NULL with an exception. */
static PyObject *get(const struct wf_later *one, PyObject *whole) {
    if (one->holder == NULL) {
        return Py_NewRef(whole);
    }
    PyObject *value = NULL;
    if (one->key != NULL) {
        value = PyDict_GetItemWithError(one->holder, one->key); /* borrowed */
    } else if (one->index < (size_t)PyList_GET_SIZE(one->holder)) {
        value = PyList_GET_ITEM(one->holder, one->index); /* borrowed */
    }
    if (value == NULL && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError, "a validator has changed what is being validated");
    }
    return Py_XNewRef(value);
}

/* value  stolen. 0, or -1 with an exception */
static int set(const struct wf_later *one, PyObject **whole, PyObject *value) {
    if (one->holder == NULL) {
        Py_SETREF(*whole, value);
        return 0;
    }
    if (one->key != NULL) {
        int rc = PyDict_SetItem(one->holder, one->key, value);
        Py_DECREF(value);
        return rc;
    }
    /* IndexError where it has shrunk */
    return PyList_SetItem(one->holder, (Py_ssize_t)one->index, value);
}

/* ---- calling them ---- */

/* Keeps an outcome (stolen, or NULL: an exception is set, and taken). 0, or -1 with an exception. */
static int keep(PyObject *calls, PyObject *outcome) {
    PyObject *raised = outcome != NULL ? Py_False : Py_True;
    outcome = outcome != NULL ? outcome : wf_err_take();
    PyObject *pair = outcome != NULL ? PyTuple_Pack(2, raised, outcome) : NULL;
    Py_XDECREF(outcome);
    int rc = pair != NULL ? PyList_Append(calls, pair) : -1;
    Py_XDECREF(pair);
    return rc;
}

/* By a Part: its outcome (owned), or NULL with *raised, or with an exception. */
static PyObject *call_part(const struct wf_later *one, PyObject *value, PyObject *calls,
                           bool *raised) {
    PyObject *fields = one->holder != NULL ? one->holder : Py_None, *outcome = NULL, *more;
    PyObject *answer = PyObject_CallFunctionObjArgs(one->node->call, value, fields, NULL);
    int failed;
    if (answer != NULL &&
        PyArg_ParseTuple(answer, "pOO!", &failed, &outcome, &PyList_Type, &more)) {
        Py_ssize_t n = PyList_GET_SIZE(calls);
        outcome = PyList_SetSlice(calls, n, n, more) == 0 ? outcome : NULL;
        *raised = outcome != NULL && failed;
    } else {
        outcome = NULL;
    }
    outcome = *raised ? NULL : Py_XNewRef(outcome);
    Py_XDECREF(answer);
    return outcome;
}

/* OK, FAILED with an exception that is ours, or INVALID: it has raised, which is kept in `calls`. */
static enum wf_walk_result call(const struct wf_later *one, PyObject **whole, PyObject *calls) {
    PyObject *before = one->node != NULL ? get(one, *whole) : NULL, *after = NULL;
    bool raised = false;
    if (one->node != NULL && before == NULL) {
        return WF_WALK_FAILED;
    }
    if (one->node != NULL && one->node->flags & WF_NODE_PART) {
        after = call_part(one, before, calls, &raised);
    } else {
        after = one->node != NULL ? PyObject_CallOneArg(one->node->call, before)
                                  : PyObject_CallNoArgs(one->factory);
        raised = after == NULL;
        if (keep(calls, Py_XNewRef(after)) < 0) {
            Py_CLEAR(after);
            raised = false;
        }
    }
    enum wf_walk_result result = raised ? WF_WALK_INVALID : WF_WALK_FAILED;
    if (after != NULL) {
        bool same = after == before; /* what most validators give back */
        result = (same && one->holder != NULL) || set(one, whole, Py_NewRef(after)) == 0
                     ? WF_WALK_OK
                     : WF_WALK_FAILED;
        Py_DECREF(after);
    }
    Py_XDECREF(before);
    return result;
}

/* Where no validators are, what a default factory raises is simply raised. */
static enum wf_walk_result call_factories(struct wf_walk *w, size_t from) {
    for (size_t i = from; i < w->nlater; i++) {
        const struct wf_later *one = &w->later[i];
        PyObject *value = PyObject_CallNoArgs(one->factory);
        int rc = value != NULL ? PyDict_SetItem(one->holder, one->key, value) : -1;
        Py_XDECREF(value);
        if (rc < 0) {
            return WF_WALK_FAILED;
        }
    }
    return WF_WALK_OK;
}

enum wf_walk_result wf_walk_later_slow(struct wf_walk *w, size_t from, const struct wf_node *judge,
                                       PyObject **value) {
    enum wf_walk_result result = WF_WALK_OK;
    if (judge->replay == NULL) {
        result = call_factories(w, from);
    } else {
        PyObject *calls = PyList_New(0);
        result = calls != NULL ? WF_WALK_OK : WF_WALK_FAILED;
        for (size_t i = from; i < w->nlater && result == WF_WALK_OK; i++) {
            result = call(&w->later[i], value, calls);
        }
        if (result == WF_WALK_INVALID) {
            Py_XSETREF(w->calls, calls);
            return shape_fail(w, WF_FAIL_RAISED, judge);
        }
        Py_XDECREF(calls);
    }
    if (result == WF_WALK_OK) {
        wf_walk_forget(w, from);
    }
    return result;
}
