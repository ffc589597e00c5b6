/* What was not of the shape, in words: weft.json.DecodeError with line, column and path. */
#include "py/shape/shape_int.h"

#include "py/json/json_int.h"

static const char *const class_names[WF_CLASS_COUNT] = {
#define X(id, name) [WF_CLASS_##id] = name,
    WF_CLASSES(X)
#undef X
};

static PyObject *text_of(struct wf_span s) {
    return PyUnicode_DecodeUTF8(s.p, (Py_ssize_t)s.n, "replace");
}

/* One step, as it is written behind what is around it: .name, [3] or ["key"]. */
static PyObject *step_text(const struct wf_path_step *step, bool outermost) {
    if (step->name != NULL) {
        return PyUnicode_FromFormat(outermost ? "%U" : ".%U", step->name);
    }
    if (step->key.p == NULL) {
        return PyUnicode_FromFormat("[%zd]", step->index);
    }
    PyObject *key = text_of(step->key);
    PyObject *text = key != NULL ? PyUnicode_FromFormat("[\"%U\"]", key) : NULL;
    Py_XDECREF(key);
    return text;
}

PyObject *wf_walk_path(const struct wf_walk_fail *f) {
    unsigned known = WF_MIN(f->npath, (unsigned)WF_PATH_MAX);
    PyObject *path = PyUnicode_FromString(known < f->npath ? "..." : "");
    for (unsigned i = known; i > 0 && path != NULL; i--) {
        PyObject *step = step_text(&f->path[i - 1], i == f->npath);
        Py_XSETREF(path, step != NULL ? PyUnicode_Concat(path, step) : NULL);
        Py_XDECREF(step);
    }
    return path;
}

static PyObject *check_text(const struct wf_walk_fail *f) {
    PyObject *label = f->node->label, *limit = f->check->limit;
    switch ((enum wf_check_op)f->check->op) {
    case WF_CHECK_MULTIPLE_OF:
        return PyUnicode_FromFormat("expected %U that is a multiple of %R", label, limit);
    case WF_CHECK_LE:
        return PyUnicode_FromFormat("expected %U <= %R", label, limit);
    case WF_CHECK_LT:
        return PyUnicode_FromFormat("expected %U < %R", label, limit);
    case WF_CHECK_GE:
        return PyUnicode_FromFormat("expected %U >= %R", label, limit);
    case WF_CHECK_GT:
        return PyUnicode_FromFormat("expected %U > %R", label, limit);
    case WF_CHECK_MIN_LENGTH:
        return PyUnicode_FromFormat("expected %U of length >= %R", label, limit);
    case WF_CHECK_MAX_LENGTH:
        return PyUnicode_FromFormat("expected %U of length <= %R", label, limit);
    case WF_CHECK_PATTERN: {
        PyObject *re = shape_attribute(limit, "__self__");
        PyObject *pattern = re != NULL ? shape_attribute(re, "pattern") : NULL;
        PyObject *text = pattern != NULL
                             ? PyUnicode_FromFormat("expected %U that matches %R", label, pattern)
                             : NULL;
        Py_XDECREF(re);
        Py_XDECREF(pattern);
        return text;
    }
    case WF_CHECK_TZ:
        return PyUnicode_FromFormat("expected %U %s a time zone", label,
                                    limit == Py_True ? "with" : "without");
    case WF_CHECK_COUNT:
        break;
    }
    Py_UNREACHABLE();
}

PyObject *wf_walk_message(const struct wf_walk_fail *f) {
    switch (f->fail) {
    case WF_FAIL_EXPECTED:
        return PyUnicode_FromFormat("expected %U, got %s", f->node->label, class_names[f->got]);
    case WF_FAIL_CHECK:
        return check_text(f);
    case WF_FAIL_VALUE:
        return PyUnicode_FromFormat("invalid %U", f->node->label);
    case WF_FAIL_MISSING:
        return f->field != NULL ? PyUnicode_FromFormat("missing required field %R", f->field)
                                : PyUnicode_FromString("the field that tells the type is missing");
    case WF_FAIL_UNKNOWN: {
        PyObject *key = text_of(f->key);
        PyObject *text = key != NULL ? PyUnicode_FromFormat("unknown field %R", key) : NULL;
        Py_XDECREF(key);
        return text;
    }
    case WF_FAIL_LENGTH:
        return PyUnicode_FromFormat("expected %U, got an array of another length", f->node->label);
    case WF_FAIL_TAG:
        return PyUnicode_FromFormat("no tag of %U", f->node->label);
    case WF_FAIL_HASHES:
        return PyUnicode_FromFormat("too many equal hashes in %U", f->node->label);
    case WF_FAIL_JUDGED:
    case WF_FAIL_RAISED: {
        PyObject *text = PyObject_Str(f->cause);
        if (text == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_Clear(); /* a __str__ that raises */
            text = PyUnicode_FromFormat("%s", Py_TYPE(f->cause)->tp_name);
        }
        return text;
    }
    case WF_FAIL_SYNTAX:
    case WF_FAIL_NONE:
        break;
    }
    return PyUnicode_FromString(wf_json_error_text((enum wf_json_error)f->code));
}

/* How many code points the first n bytes are. */
static Py_ssize_t count_chars(const char *p, size_t n) {
    Py_ssize_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += (p[i] & 0xc0) != 0x80;
    }
    return count;
}

void wf_json_raise_fail(struct wf_walk *w, struct wf_span in, PyObject *doc) {
    struct wf_walk_fail *f = &w->fail;
    PyObject *path = wf_walk_path(f), *message = path != NULL ? wf_walk_message(f) : NULL;
    if (message != NULL && PyUnicode_GET_LENGTH(path) != 0) {
        Py_SETREF(message, PyUnicode_FromFormat("%U at %U", message, path));
    }
    const char *utf8 = message != NULL ? PyUnicode_AsUTF8(message) : NULL;
    if (utf8 == NULL) {
        if (message != NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            PyErr_Clear(); /* the words of an application's exception */
            utf8 = "invalid value";
        } else {
            goto done;
        }
    }
    Py_ssize_t pos = PyUnicode_Check(doc) ? count_chars(in.p, f->at) : (Py_ssize_t)f->at;
    wf_json_raise(&w->state->json, utf8, doc, pos, in, f->at);
    if (!PyErr_ExceptionMatches(w->state->json.decode_error)) {
        goto done; /* out of memory */
    }
    PyObject *exc = wf_err_take();
    if (PyObject_SetAttr(exc, w->state->shape.name_path, path) < 0) {
        Py_DECREF(exc);
        goto done;
    }
    if (f->cause != NULL) {
        PyException_SetCause(exc, f->cause); /* stolen */
        f->cause = NULL;
    }
    wf_err_put(exc);
done:
    Py_XDECREF(path);
    Py_XDECREF(message);
}
