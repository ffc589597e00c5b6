/* Values that the caller makes: of classes that nobody here can read, and of floats without a type. */
#include "py/shape/decode_json_int.h"

/* The text of the number that stands there; NULL with *result. */
static PyObject *read_float(struct reader *r, const struct wf_node *n,
                            enum wf_walk_result *result) {
    const char *first = r->p;
    struct wf_json_number number;
    if (first >= r->end || !wf_json_is_number(*first)) {
        *result = json_fail_expected(r, n, first);
        return NULL;
    }
    enum wf_json_error e = wf_json_long_number_read(&r->p, r->end, WF_JSON_NONFINITE, &number);
    if (e != WF_JSON_OK) { /* what is past a double's range is the hook's to say */
        *result = json_fail_syntax(r, e, r->p);
        return NULL;
    }
    PyObject *text = PyUnicode_DecodeASCII(first, r->p - first, NULL);
    *result = text != NULL ? WF_WALK_OK : WF_WALK_FAILED;
    return text;
}

/* What a dec_hook gave has to be of the class that it was called for. */
static bool is_made(const struct wf_node *n, PyObject *made) {
    int is = n->type != NULL ? PyObject_IsInstance(made, n->type) : 1;
    if (is == 0) {
        PyErr_Format(PyExc_TypeError, "dec_hook gave %.200s, not %U", Py_TYPE(made)->tp_name,
                     n->label);
    }
    return is > 0;
}

enum wf_walk_result json_decode_hook(struct reader *r, const struct wf_node *n, PyObject **out) {
    const char *first = r->p;
    enum wf_walk_result result = WF_WALK_OK;
    PyObject *plain = NULL;
    if (n->type != NULL) {
        result = json_decode_any(r, n, 0, &plain);
    } else {
        plain = read_float(r, n, &result);
    }
    if (result != WF_WALK_OK) {
        return result;
    }
    PyObject *made = NULL;
    if (wf_walk_enter_call(r->w) < 0) {
        Py_DECREF(plain);
        return WF_WALK_FAILED;
    }
    made = PyObject_CallOneArg(n->call, plain);
    if (made != NULL && !is_made(n, made)) {
        Py_CLEAR(made);
    }
    wf_walk_leave_call(r->w);
    Py_DECREF(plain);
    *out = made;
    return made != NULL ? WF_WALK_OK : at(r, first, shape_fail_raised(r->w, n));
}
