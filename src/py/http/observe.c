/* What a Server tells of itself: its counters, and with a recorder the last requests. */
#include "py/http/http_int.h"

#include "serve/layer/layer.h"

PyObject *wf_http_counters(struct wf_http_server *s) {
    const struct wf_server_counters *c = wf_server_counters(s->server);
    PyObject *dict = PyDict_New();
#define X(name)                                                                                    \
    if (dict != NULL) {                                                                            \
        PyObject *v = PyLong_FromUnsignedLongLong(c->name);                                        \
        if (v == NULL || PyDict_SetItemString(dict, #name, v) < 0) {                               \
            Py_CLEAR(dict);                                                                        \
        }                                                                                          \
        Py_XDECREF(v);                                                                             \
    }
    WF_SERVER_COUNTERS(X)
#undef X
    return dict;
}

/* ---- the recorder ---- */

int wf_http_record(struct wf_http_server *s, PyObject *args) {
    PyObject *skip;
    unsigned slots;
    if (!PyArg_ParseTuple(args, "SI", &skip, &slots)) {
        return -1;
    }
    if (s->nroutes != 0 || PyList_GET_SIZE(s->layers) != 0) {
        PyErr_SetString(PyExc_RuntimeError, "recording begins before layers and routes are added");
        return -1;
    }
    if (PyList_Append(s->layers, skip) < 0) { /* it is borrowed from there */
        return -1;
    }
    struct wf_layer *recorder =
        wf_layer_recorder(wf_span(PyBytes_AS_STRING(skip), (size_t)PyBytes_GET_SIZE(skip)), slots);
    if (recorder == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    wf_server_add_layer(s->server, recorder);
    s->recorder = recorder;
    return 0;
}

enum wf_plan_outcome wf_plan_call_recorded(struct wf_plan *plan, struct wf_plan_call *plan_call,
                                           PyObject **out) {
    const struct wf_call *call = (const struct wf_call *)plan_call;
    PyObject *bound = NULL;
    enum wf_plan_outcome outcome = wf_plan_bind(plan, plan_call, &bound);
    if (outcome == WF_PLAN_CALLED) {
        wf_record_at(plan_call->ex, WF_AT_CALLED);
    }
    if (outcome != WF_PLAN_CALLED || call->route->kind == WF_ENDPOINT_THREAD) {
        *out = bound;
        return outcome;
    }
    *out = PyObject_CallNoArgs(bound);
    Py_DECREF(bound);
    return *out != NULL ? WF_PLAN_CALLED : WF_PLAN_FAILED;
}

/* In the order of add_route and add_static; new reference, None where there was no leaf. */
static PyObject *index_of(const struct wf_leaf *leaf) {
    if (leaf == NULL) {
        return Py_NewRef(Py_None);
    }
    return PyLong_FromUnsignedLong(leaf->plan != NULL ? ((const struct wf_route *)leaf->plan)->index
                                                      : wf_http_static_index(leaf));
}

static PyObject *times_of(const struct wf_record *r) {
    PyObject *times = PyTuple_New(WF_STAGES);
    for (int i = 0; times != NULL && i < WF_STAGES; i++) {
        PyObject *ns = PyLong_FromUnsignedLongLong(r->at_ns[i]);
        if (ns == NULL) {
            Py_CLEAR(times);
        } else {
            PyTuple_SET_ITEM(times, i, ns); /* stolen */
        }
    }
    return times;
}

static PyObject *tuple_of(const struct wf_record *r) {
    PyObject *index = index_of(r->leaf), *times = times_of(r);
    PyObject *method = PyUnicode_DecodeLatin1(r->method, r->method_n, NULL);
    PyObject *target = PyUnicode_DecodeLatin1(
        r->target, (Py_ssize_t)WF_MIN(r->target_n, (uint16_t)WF_RECORD_TARGET_MAX), NULL);
    if (index == NULL || times == NULL || method == NULL || target == NULL) {
        Py_XDECREF(index);
        Py_XDECREF(times);
        Py_XDECREF(method);
        Py_XDECREF(target);
        return NULL;
    }
    return Py_BuildValue("(KNNNiiKN)", r->number, index, method, target, (int)r->target_n,
                         (int)r->status, r->reply_bytes, times);
}

PyObject *wf_http_recorded(struct wf_http_server *s, PyObject *after) {
    unsigned long long number = PyLong_AsUnsignedLongLong(after);
    if (number == (unsigned long long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    PyObject *list = PyList_New(0);
    const struct wf_record *r;
    while (list != NULL && s->recorder != NULL &&
           (r = wf_recorder_after(s->recorder, number)) != NULL) {
        number = r->number;
        PyObject *one = tuple_of(r);
        if (one == NULL || PyList_Append(list, one) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(one);
    }
    return list;
}
