/* What the walkers of all input codecs share: checks, and why input is not of the shape. */
#include "py/shape/shape_int.h"

#include <math.h>

#include "base/alloc.h"

void wf_walk_init(struct wf_walk *w, struct wf_state *state, unsigned flags) {
    w->state = state;
    w->flags = flags;
    w->gc_paused = false;
    w->depth = 0;
    wf_values_init(&w->values);
    w->later = NULL;
    w->nlater = 0;
    w->later_cap = 0;
    w->later_at = 0;
    w->calls = NULL;
    w->fail.fail = WF_FAIL_NONE;
    w->fail.cause = NULL;
    w->fail.npath = 0;
}

void wf_walk_clear_slow(struct wf_walk *w) {
    wf_values_clear(&w->values);
    wf_walk_forget(w, 0);
    wf_free(w->later);
    Py_CLEAR(w->calls);
    Py_CLEAR(w->fail.cause);
}

/* ---- failing ---- */

enum wf_walk_result shape_fail_raised(struct wf_walk *w, const struct wf_node *node) {
    if (!PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_TypeError)) {
        return WF_WALK_FAILED;
    }
    Py_XSETREF(w->fail.cause, wf_err_take());
    return shape_fail(w, WF_FAIL_RAISED, node);
}

static struct wf_path_step *next_step(struct wf_walk *w) {
    struct wf_path_step *step = NULL;
    if (w->fail.npath < WF_PATH_MAX) {
        step = &w->fail.path[w->fail.npath];
        *step = (struct wf_path_step){0};
    }
    w->fail.npath++;
    return step;
}

void wf_walk_at_field(struct wf_walk *w, const struct wf_object_field *field) {
    struct wf_path_step *step = next_step(w);
    if (step != NULL) {
        step->name = field->name;
    }
}

void wf_walk_at_key(struct wf_walk *w, struct wf_span key) {
    struct wf_path_step *step = next_step(w);
    if (step != NULL) {
        step->key = key;
    }
}

void wf_walk_at_index(struct wf_walk *w, Py_ssize_t index) {
    struct wf_path_step *step = next_step(w);
    if (step != NULL) {
        step->index = index;
    }
}

/* ---- checks ---- */

static int compare(double v, double limit, enum wf_check_op op) {
    switch (op) { /* nan is within nothing */
    case WF_CHECK_LE:
        return v <= limit;
    case WF_CHECK_LT:
        return v < limit;
    case WF_CHECK_GE:
        return v >= limit;
    default:
        return v > limit;
    }
}

static const int rich_op[] = {
    [WF_CHECK_LE] = Py_LE, [WF_CHECK_LT] = Py_LT, [WF_CHECK_GE] = Py_GE, [WF_CHECK_GT] = Py_GT};

static int multiple_of(const struct wf_check *k, PyObject *value, bool pydantic) {
    if (PyFloat_CheckExact(value)) {
        double v = PyFloat_AS_DOUBLE(value), rest = fmod(v, k->as_float);
        if (!pydantic && !isfinite(v)) {
            return 0;
        }
        double slack = pydantic ? fabs(v) / 1e9 : 0; /* as pydantic-core: within a billionth */
        return !(fabs(rest) > slack && fabs(fabs(rest) - fabs(k->as_float)) > slack);
    }
    PyObject *rest = PyNumber_Remainder(value, k->limit);
    int ok = rest != NULL ? PyObject_Not(rest) : -1;
    Py_XDECREF(rest);
    return ok;
}

static Py_ssize_t length(PyObject *value) {
    return PyUnicode_Check(value) ? PyUnicode_GET_LENGTH(value) : PyObject_Size(value);
}

/* 1: holds, 0: does not, -1: exception */
static int holds(const struct wf_check *k, PyObject *value, bool pydantic) {
    switch ((enum wf_check_op)k->op) {
    case WF_CHECK_LE:
    case WF_CHECK_LT:
    case WF_CHECK_GE:
    case WF_CHECK_GT:
        if (PyFloat_CheckExact(value)) {
            return compare(PyFloat_AS_DOUBLE(value), k->as_float, (enum wf_check_op)k->op);
        }
        if (k->small && PyLong_CheckExact(value)) {
            int overflow;
            long long v = PyLong_AsLongLongAndOverflow(value, &overflow);
            if (overflow == 0) {
                switch (k->op) {
                case WF_CHECK_LE:
                    return v <= k->as_int;
                case WF_CHECK_LT:
                    return v < k->as_int;
                case WF_CHECK_GE:
                    return v >= k->as_int;
                default:
                    return v > k->as_int;
                }
            }
        }
        return PyObject_RichCompareBool(value, k->limit, rich_op[k->op]);
    case WF_CHECK_MULTIPLE_OF:
        return multiple_of(k, value, pydantic);
    case WF_CHECK_MIN_LENGTH:
        return length(value) >= k->as_int;
    case WF_CHECK_MAX_LENGTH:
        return length(value) <= k->as_int;
    case WF_CHECK_PATTERN: {
        PyObject *match = PyObject_CallOneArg(k->limit, value);
        int found = match != NULL ? match != Py_None : -1;
        Py_XDECREF(match);
        return found;
    }
    case WF_CHECK_TZ: {
        PyObject *tz = shape_attribute(value, "tzinfo");
        int ok = tz != NULL ? (tz != Py_None) == (k->limit == Py_True) : -1;
        Py_XDECREF(tz);
        return ok;
    }
    case WF_CHECK_COUNT:
        break;
    }
    Py_UNREACHABLE();
}

enum wf_walk_result wf_walk_checks_slow(struct wf_walk *w, const struct wf_node *node,
                                        PyObject *value) {
    for (unsigned i = 0; i < node->nchecks; i++) {
        int ok = holds(&node->checks[i], value, (node->flags & WF_NODE_PYDANTIC) != 0);
        if (ok < 0) {
            return WF_WALK_FAILED;
        }
        if (ok == 0) {
            w->fail.check = &node->checks[i];
            return shape_fail(w, WF_FAIL_CHECK, node);
        }
    }
    return WF_WALK_OK;
}

/* ---- calls of application code ---- */

int wf_walk_enter_call(const struct wf_walk *w) {
    int *left = wf_recursion_left();
    if (Py_EnterRecursiveCall(" while decoding") != 0) {
        return -1;
    }
    if (left == NULL) {
        return 0;
    }
    if (wf_unlikely(*left <= (int)w->depth)) {
        Py_LeaveRecursiveCall();
        PyErr_SetString(PyExc_RecursionError, "maximum recursion depth exceeded while decoding");
        return -1;
    }
    *left -= (int)w->depth;
    return 0;
}

void wf_walk_leave_call(const struct wf_walk *w) {
    int *left = wf_recursion_left();
    if (left != NULL) {
        *left += (int)w->depth;
    }
    Py_LeaveRecursiveCall();
}

static WF_NOINLINE enum wf_walk_result put(struct wf_hashes *hashes, PyObject *dict, PyObject *key,
                                           PyObject *value) {
    const Py_ssize_t before = PyDict_GET_SIZE(dict);
    if (PyDict_SetItem(dict, key, value) < 0) {
        return WF_WALK_FAILED;
    }
    return wf_unlikely(before >= WF_HASHES_UNCOUNTED) && PyDict_GET_SIZE(dict) != before
               ? wf_hashes_add(hashes, key)
               : WF_WALK_OK;
}

enum wf_walk_result wf_walk_put(struct wf_walk *w, const struct wf_node *node,
                                struct wf_hashes *hashes, PyObject *dict, PyObject *key,
                                PyObject *value) {
    enum wf_walk_result result = WF_WALK_FAILED;
    if (wf_likely(PyUnicode_CheckExact(key))) {
        result = PyDict_SetItem(dict, key, value) == 0 ? WF_WALK_OK : WF_WALK_FAILED;
    } else if (PyLong_CheckExact(key)) {
        result = put(hashes, dict, key, value);
    } else if (wf_walk_enter_call(w) == 0) {
        result = put(hashes, dict, key, value);
        wf_walk_leave_call(w);
    }
    if (wf_likely(result == WF_WALK_OK)) {
        return WF_WALK_OK;
    }
    return result == WF_WALK_INVALID ? shape_fail(w, WF_FAIL_HASHES, node)
                                     : shape_fail_raised(w, node); /* what cannot be hashed */
}

/* ---- judges ---- */

enum wf_walk_result wf_walk_check_plain(struct wf_walk *w, const struct wf_node *node,
                                        PyObject *object) {
    enum wf_walk_result result = wf_plain_check(w->state, object);
    return wf_likely(result != WF_WALK_INVALID) ? result : shape_fail(w, WF_FAIL_HASHES, node);
}

static PyObject *ask(struct wf_walk *w, const struct wf_node *node, PyObject *object) {
    if (wf_likely(w->calls == NULL)) {
        return PyObject_CallOneArg(node->judge, object);
    }
    PyObject *calls = w->calls;
    w->calls = NULL;
    PyObject *value = PyObject_CallFunctionObjArgs(node->replay, object, calls, NULL);
    Py_DECREF(calls);
    return value;
}

enum wf_walk_result wf_walk_judge(struct wf_walk *w, const struct wf_node *node, PyObject *object,
                                  PyObject **out) {
    enum wf_walk_result result = wf_walk_check_plain(w, node, object);
    if (result != WF_WALK_OK) {
        return result;
    }
    if (wf_walk_enter_call(w) < 0) {
        return WF_WALK_FAILED;
    }
    *out = ask(w, node, object);
    wf_walk_leave_call(w);
    if (*out != NULL) {
        return WF_WALK_OK;
    }
    if (!PyErr_ExceptionMatches(PyExc_ValueError)) { /* pydantic's ValidationError is one */
        return WF_WALK_FAILED;
    }
    Py_XSETREF(w->fail.cause, wf_err_take());
    return shape_fail(w, WF_FAIL_JUDGED, node);
}

enum wf_walk_result wf_walk_judge_root(struct wf_walk *w, const struct wf_node *root,
                                       PyObject *object, PyObject **out) {
    enum wf_walk_result result = wf_walk_check_plain(w, root, object);
    if (result == WF_WALK_OK && (*out = ask(w, root, object)) == NULL) {
        result = WF_WALK_FAILED;
    }
    w->fail.at = 0; /* of INVALID: somewhere in all of it */
    return result;
}
