/* Where in an object it is that has no JSON form, written down while the exception is on its way up:
 * what has a form pays nothing for it. */
#include "py/json/encode_int.h"

/* Deeper steps are left out, and "..." says so: an object within itself has as many as there are
 * levels. A longer key is cut. */
enum { STEPS_MAX = 64 };
#define KEY_FORMAT "%.100U"

/* One step: .name, ["key"]; owned, or NULL with an exception. */
static PyObject *key_step(PyObject *key) {
    PyObject *text = PyUnicode_Check(key)     ? PyUnicode_FromObject(key)
                     : PyLong_CheckExact(key) ? PyObject_Str(key)
                                              : NULL; /* it might run code to say what it is */
    if (text != NULL && PyUnicode_AsUTF8(text) == NULL) {
        Py_CLEAR(text); /* a lone surrogate */
    }
    PyErr_Clear();
    if (text == NULL) {
        return PyUnicode_FromString("[\"?\"]");
    }
    PyObject *step = PyUnicode_FromFormat(
        PyUnicode_IsIdentifier(text) ? "." KEY_FORMAT : "[\"" KEY_FORMAT "\"]", text);
    Py_DECREF(text);
    return step;
}

/* A step outwards, of a key or else an index. */
static void add_step(struct encoder *e, PyObject *key, Py_ssize_t index) {
    PyObject *exc = wf_err_take();
    if (Py_IS_TYPE(exc, (PyTypeObject *)e->s->encode_error) && e->steps++ < STEPS_MAX) {
        PyObject *step = key != NULL ? key_step(key) : PyUnicode_FromFormat("[%zd]", index);
        if (e->path != NULL && step != NULL) {
            Py_SETREF(step, PyUnicode_Concat(step, e->path));
        }
        Py_XSETREF(e->path, step);
        if (step == NULL) { /* out of memory: without a path, rather than with half of it */
            PyErr_Clear();
            e->steps = STEPS_MAX + 1;
        }
    }
    wf_err_put(exc);
}

char *wf_json_encode_at_index(struct encoder *e, Py_ssize_t index) {
    add_step(e, NULL, index);
    return NULL;
}

char *wf_json_encode_at_key(struct encoder *e, PyObject *key) {
    add_step(e, key, 0);
    return NULL;
}

char *wf_json_encode_at_member(struct encoder *e, PyObject *dict, const PyObject *key) {
    PyObject *there = NULL, *value; /* borrowed from dict */
    Py_ssize_t at = 0;
    while (PyDict_Next(dict, &at, &there, &value) && there != key) {
    }
    there = Py_NewRef(there == key ? there : Py_None);
    add_step(e, there, 0);
    Py_DECREF(there);
    return NULL;
}

void wf_json_encode_forget(struct encoder *e) {
    Py_CLEAR(e->path);
    e->steps = 0;
}

void wf_json_encode_changed(struct wf_json_state *s) {
    if (wf_err_is_of_change()) {
        wf_json_raise_from(s->encode_error, "a set or deque changed while it was encoded");
    }
}

void wf_json_encode_missing(struct wf_json_state *s, PyObject *o, PyObject *name) {
    if (wf_err_is_bare(PyExc_AttributeError)) {
        PyErr_Format(s->encode_error, "%.200s has no %U", Py_TYPE(o)->tp_name, name);
    }
}

void wf_json_encode_raise_at(struct wf_json_state *s, PyObject *path) {
    PyObject *exc = wf_err_take();
    PyObject *text = PyUnicode_FromFormat("%S at %U", exc, path);
    PyObject *located = text != NULL ? PyObject_CallOneArg(s->encode_error, text) : NULL;
    if (located != NULL && PyObject_SetAttrString(located, "path", path) == 0) {
        PyException_SetCause(located, PyException_GetCause(exc));
        wf_err_put(Py_NewRef(located));
    } /* else what went wrong meanwhile is raised */
    Py_XDECREF(located);
    Py_XDECREF(text);
    Py_DECREF(path);
    Py_DECREF(exc);
}

void wf_json_encode_located(struct encoder *e) {
    PyObject *steps = e->path; /* borrowed from e */
    if (steps != NULL) {
        PyObject *exc = wf_err_take();
        bool whole =
            e->steps <= STEPS_MAX; /* and then there is nothing in front of its first name */
        Py_ssize_t dot = whole && PyUnicode_READ_CHAR(steps, 0) == '.';
        PyObject *path = whole ? PyUnicode_Substring(steps, dot, PyUnicode_GET_LENGTH(steps))
                               : PyUnicode_FromFormat("...%U", steps);
        PyErr_Clear();
        wf_err_put(exc);
        if (path != NULL) {
            wf_json_encode_raise_at(e->s, path);
        }
    }
    wf_json_encode_forget(e);
}
