/* A request made up from its parts, so that plans are tested without a server. */
#include "py/plan/plan_int.h"

#include "base/buf.h"

struct probe {
    struct wf_exchange ex;
    struct wf_buf head;
};

static PyObject *make_request(struct wf_plan_call *call) {
    return PyUnicode_FromString("request");
}

static PyObject *make_response(struct wf_plan_call *call) {
    return PyUnicode_FromString("response");
}

static PyObject *make_background(struct wf_plan_call *call) {
    return PyUnicode_FromString("background");
}

static int append_bytes(struct wf_buf *b, PyObject *bytes) {
    char *p;
    Py_ssize_t n;
    if (PyBytes_AsStringAndSize(bytes, &p, &n) < 0) {
        return -1;
    }
    if (wf_buf_append(b, p, (size_t)n) != WF_BUF_OK) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int append_text(struct wf_buf *b, const char *text) {
    if (wf_buf_append(b, text, strlen(text)) != WF_BUF_OK) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* headers  borrowed: a list of (bytes, bytes) */
static int write_head(struct wf_buf *b, const char *method, PyObject *target, PyObject *headers) {
    if (append_text(b, method) < 0 || append_text(b, " ") < 0 || append_bytes(b, target) < 0 ||
        append_text(b, " HTTP/1.1\r\nhost: test\r\n") < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *name, *value;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(headers, i), "SS", &name, &value) ||
            append_bytes(b, name) < 0 || append_text(b, ": ") < 0 || append_bytes(b, value) < 0 ||
            append_text(b, "\r\n") < 0) {
            return -1;
        }
    }
    return append_text(b, "\r\n");
}

static int parse_head(struct probe *p) {
    struct wf_http1_limits limits = {
        .head_bytes = 1 << 16, .target_bytes = 1 << 14, .fields = WF_EXCHANGE_FIELDS};
    struct wf_http1_progress progress = {0};
    p->ex.head.fields = p->ex.fields;
    p->ex.head.fields_cap = WF_EXCHANGE_FIELDS;
    ssize_t n = wf_http1_head(&limits, &progress, wf_buf_span(&p->head), &p->ex.head);
    if (n <= 0) {
        PyErr_Format(PyExc_ValueError, "not a request head (%zd): %s", (Py_ssize_t)n,
                     n < 0 ? p->ex.head.why : "incomplete");
        return -1;
    }
    p->ex.base = p->head.p;
    return 0;
}

/* params  borrowed: a tuple of str, alive during the call */
static int set_params(struct wf_match *match, PyObject *params) {
    Py_ssize_t n = PyTuple_GET_SIZE(params);
    if (n > WF_ROUTE_PARAMS_MAX) {
        PyErr_SetString(PyExc_ValueError, "too many path parameters");
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_ssize_t bytes;
        const char *utf8 = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(params, i), &bytes);
        if (utf8 == NULL) {
            return -1;
        }
        match->params[match->nparams++] = wf_span(utf8, (size_t)bytes);
    }
    return 0;
}

/* _plan_test(plan, method, target, headers, body, path_params, bind=False, repeat=1)
 *     -> (outcome, value, body): what wf_plan_call (or wf_plan_bind) answers; the last of `repeat`
 * runs */
PyObject *plan_test(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"plan",        "method", "target", "headers", "body",
                               "path_params", "bind",   "repeat", NULL};
    struct wf_state *state = wf_state_of_module(module);
    struct wf_plan *plan;
    const char *method;
    PyObject *target, *headers, *params;
    Py_buffer body = {0};
    int bind = 0, repeat = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!sSO!y*O!|pi:_plan_test", keywords,
                                     state->plan.plan_type, &plan, &method, &target, &PyList_Type,
                                     &headers, &body, &PyTuple_Type, &params, &bind, &repeat)) {
        return NULL;
    }
    PyObject *result = NULL;
    struct probe *p = PyMem_Calloc(1, sizeof(*p));
    if (p == NULL) {
        PyBuffer_Release(&body);
        return PyErr_NoMemory();
    }
    wf_http1_init();
    wf_buf_init(&p->head, 1 << 20);
    wf_arena_init(&p->ex.arena, p->ex.arena_first, sizeof(p->ex.arena_first),
                  WF_EXCHANGE_ARENA_MAX);
    p->ex.body = wf_span(body.buf, (size_t)body.len);
    if (write_head(&p->head, method, target, headers) < 0 || parse_head(p) < 0 ||
        set_params(&p->ex.match, params) < 0) {
        goto done;
    }
    for (int i = 0; i < repeat; i++) {
        struct wf_plan_call call = {
            .ex = &p->ex,
            .make_request = make_request,
            .make_response = make_response,
            .make_background = make_background,
        };
        PyObject *value = NULL;
        enum wf_plan_outcome outcome =
            bind ? wf_plan_bind(plan, &call, &value) : wf_plan_call(plan, &call, &value);
        if (outcome != WF_PLAN_FAILED && i == repeat - 1) {
            result =
                Py_BuildValue("iOO", (int)outcome, value, call.body != NULL ? call.body : Py_None);
        }
        Py_XDECREF(value);
        Py_XDECREF(call.request);
        Py_XDECREF(call.response);
        Py_XDECREF(call.background);
        Py_XDECREF(call.form);
        Py_XDECREF(call.body);
        wf_arena_reset(&p->ex.arena);
        if (outcome == WF_PLAN_FAILED) {
            break;
        }
    }
done:
    wf_arena_reset(&p->ex.arena);
    wf_buf_free(&p->head);
    PyMem_Free(p);
    PyBuffer_Release(&body);
    return result;
}
