/* Serializers of the application, and what pydantic writes in the middle of what is written here.
 * weft/shapes/output.py knows which serializers may be called without it. */
#include "py/shape/encode_json_int.h"

/* json     stolen: bytes, or NULL with an exception
 * without  how many bytes at either end are not written */
static char *put_stolen(struct typed *t, char *d, PyObject *json, size_t without) {
    if (json == NULL) {
        return NULL;
    }
    if (PyBytes_Check(json) && (size_t)PyBytes_GET_SIZE(json) >= 2 * without) {
        d = put_bytes(&t->e, d, PyBytes_AS_STRING(json) + without,
                      (size_t)PyBytes_GET_SIZE(json) - 2 * without);
    } else {
        PyErr_SetString(PyExc_TypeError, "a serializer gave no bytes");
        d = NULL;
    }
    Py_DECREF(json);
    return d;
}

/* New reference, or NULL with an exception. */
static PyObject *dump(struct typed *t, const struct wf_node *n, PyObject *o) {
    PyObject *by_alias = t->flags & WF_OUTPUT_BY_ALIAS ? Py_True : Py_None;
    PyObject *args[] = {o, by_alias, t->flags & WF_OUTPUT_EXCLUDE_UNSET ? Py_True : Py_False,
                        t->flags & WF_OUTPUT_EXCLUDE_NONE ? Py_True : Py_False};
    if (Py_EnterRecursiveCall(" while encoding JSON") != 0) {
        return NULL;
    }
    PyObject *json = PyObject_Vectorcall(n->dump, args, WF_ARRAY_LEN(args), NULL);
    Py_LeaveRecursiveCall();
    return json;
}

char *json_put_by_pydantic(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    return put_stolen(t, d, dump(t, n, o), 0);
}

char *json_put_member(struct typed *t, char *d, const struct wf_node *n, PyObject *instance) {
    const size_t at = mark(t, d);
    d = put_stolen(t, d, dump(t, n, instance), 1); /* its braces are the object's own */
    if (d != NULL && mark(t, d) != at) {
        *d++ = ',';
    }
    return d;
}

/* It has raised: what pydantic makes of that is mostly an exception of its own. */
static char *put_raised(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    PyObject *exc = wf_err_take(), *args[] = {o, exc};
    PyObject *json = PyObject_Vectorcall(n->replay, args, WF_ARRAY_LEN(args), NULL);
    Py_DECREF(exc);
    return put_stolen(t, d, json, 0);
}

char *json_put_serialized(struct typed *t, char *d, const struct wf_node *n, PyObject *instance,
                          PyObject *o) {
    if (o == Py_None && n->n == 2) {
        return json_put(t, d, n->items[1], o);
    }
    PyObject *args[] = {instance, o};
    const size_t first = instance == NULL;
    if (Py_EnterRecursiveCall(" while encoding JSON") != 0) {
        return NULL;
    }
    PyObject *made = PyObject_Vectorcall(n->call, args + first, WF_ARRAY_LEN(args) - first, NULL);
    if (wf_likely(made != NULL)) {
        d = json_put(t, d, n->items[0], made);
        Py_DECREF(made);
    } else {
        d = put_raised(t, d, n, o);
    }
    Py_LeaveRecursiveCall();
    return d;
}

/* ---- what has no form ---- */

char *json_put_by_fallback(struct typed *t, char *d, const struct wf_node *any, PyObject *o) {
    if (t->e.fallback == NULL || t->e.fallback_off) {
        PyErr_Format(t->e.s->encode_error,
                     t->e.fallback_off ? "keys of type %.200s have no JSON form"
                                       : "objects of type %.200s have no JSON form",
                     Py_TYPE(o)->tp_name);
        return NULL;
    }
    PyObject *made = PyObject_CallOneArg(t->e.fallback, o);
    if (made == NULL || enter(&t->e) < 0) { /* a level: it may have to be replaced again */
        Py_XDECREF(made);
        return NULL;
    }
    d = json_put(t, d, any, made);
    if (d != NULL) {
        leave(&t->e);
    }
    Py_DECREF(made);
    return d;
}
