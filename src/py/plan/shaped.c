/* Bodies of a shape: JSON straight to the value the handler gets. What the native walk finds invalid
 * is read again as plain objects, for pydantic to judge; without pydantic the walk's own failure is
 * the error, in pydantic's words. */
#include "py/plan/plan_int.h"

#include "base/buf.h"
#include "py/bson/shapes.h"
#include "py/json/json.h"

enum { SHAPED_BODY_MAX = 1 << 30 }; /* JSON made of a value that was read from a request's JSON */

enum conv_result plan_refuse(const struct wf_walk_fail *f) {
    PyObject *path = wf_walk_path(f), *detail = path != NULL ? wf_walk_message(f) : NULL;
    if (detail != NULL && PyUnicode_GET_LENGTH(path) != 0) {
        Py_SETREF(detail, PyUnicode_FromFormat("%U at %U", detail, path));
    }
    enum conv_result result = plan_raise_bad_request(detail);
    Py_XDECREF(path);
    Py_XDECREF(detail);
    return result;
}

enum conv_result plan_read_shaped(struct plan_run *run, const struct step *s, PyObject **out) {
    struct wf_exchange *ex = run->call->ex;
    *out = NULL;
    if (!s->conv.straight || ex->form != NULL || ex->body.n == 0) {
        return CONV_INVALID;
    }
    const struct wf_node *root = s->conv.shape->root;
    bool json = wf_plan_body_is_json(run->call);
    if (wf_unlikely(!json && !plan_body_is_bson(ex))) {
        return CONV_INVALID;
    }
    struct wf_walk w;
    wf_walk_init(&w, run->plan->state, root->replay != NULL ? WF_WALK_WAITS : 0);
    enum wf_walk_result result = json ? wf_json_decode_shape(&w, root, ex->body, out)
                                      : wf_bson_walk_shape(&w, root, ex->body, false, out);
    if (wf_unlikely(result == WF_WALK_OK && w.nlater != 0)) {
        *out = wf_walk_pending(&w, s->conv.shape, *out);
        result = *out != NULL ? WF_WALK_OK : WF_WALK_FAILED;
    }
    if (wf_unlikely(result == WF_WALK_INVALID && wf_walk_is_final(&w))) {
        result = (enum wf_walk_result)plan_refuse(&w.fail);
    }
    wf_walk_clear(&w);
    return (enum conv_result)result;
}

enum conv_result plan_replay(struct plan_run *run, const struct conv *c, PyObject *value,
                             PyObject *calls, PyObject **out) {
    *out = PyObject_CallFunctionObjArgs(c->shape->root->replay, value, calls, NULL);
    if (*out != NULL) {
        return CONV_OK;
    }
    if (!PyErr_ExceptionMatches(c->validation_error)) {
        return CONV_FAILED;
    }
    PyObject *exc = wf_err_take();
    enum conv_result result = plan_error_handed(run, exc);
    Py_DECREF(exc);
    return result;
}

/* A validator has raised: the same of the body. */
static enum conv_result replay_body(struct plan_run *run, const struct conv *c, PyObject *calls,
                                    PyObject **out) {
    PyObject *body = NULL;
    enum conv_result result = plan_read_body(run, &body);
    if (result == CONV_OK) {
        result = plan_replay(run, c, body, calls, out);
        Py_DECREF(body);
    }
    return result;
}

enum conv_result plan_finish_shaped(struct plan_run *run, const struct conv *c, PyObject **out) {
    PyObject *shaped = run->shaped, *calls;
    run->shaped = NULL;
    if (wf_likely(!wf_is_pending(run->plan->state, shaped))) {
        *out = shaped;
        return CONV_OK;
    }
    enum conv_result result = (enum conv_result)wf_pending_finish(shaped, out, &calls);
    Py_DECREF(shaped);
    if (result == CONV_INVALID) {
        result = replay_body(run, c, calls, out);
    }
    Py_XDECREF(calls);
    return result;
}

/* ---- what is wrong, where pydantic does not say so ---- */

static const struct {
    const char *type, *message;
} expected_errors[WF_NODE_KIND_COUNT] = {
    [WF_NODE_NONE] = {"none_required", "Input should be None"},
    [WF_NODE_BOOL] = {"bool_type", "Input should be a valid boolean"},
    [WF_NODE_INT] = {"int_type", "Input should be a valid integer"},
    [WF_NODE_FLOAT] = {"float_type", "Input should be a valid number"},
    [WF_NODE_STR] = {"string_type", "Input should be a valid string"},
    [WF_NODE_BYTES] = {"bytes_type", "Input should be a valid bytes"},
    [WF_NODE_DATETIME] = {"datetime_type", "Input should be a valid datetime"},
    [WF_NODE_DATE] = {"date_type", "Input should be a valid date"},
    [WF_NODE_TIME] = {"time_type", "Input should be a valid time"},
    [WF_NODE_TIMEDELTA] = {"time_delta_type", "Input should be a valid timedelta"},
    [WF_NODE_UUID] = {"uuid_type", "UUID input should be a string, bytes or UUID object"},
    [WF_NODE_DECIMAL] = {"decimal_type", "Decimal input should be an integer, float, string"},
    [WF_NODE_LIST] = {"list_type", "Input should be a valid list"},
    [WF_NODE_VARTUPLE] = {"tuple_type", "Input should be a valid tuple"},
    [WF_NODE_TUPLE] = {"tuple_type", "Input should be a valid tuple"},
    [WF_NODE_SET] = {"set_type", "Input should be a valid set"},
    [WF_NODE_FROZENSET] = {"frozen_set_type", "Input should be a valid frozenset"},
    [WF_NODE_DICT] = {"dict_type", "Input should be a valid dictionary"},
    [WF_NODE_OBJECT] = {"dict_type", "Input should be a valid dictionary"},
    [WF_NODE_TAGGED] = {"dict_type", "Input should be a valid dictionary"},
};

/* The kind by which what was expected is called: objects that are arrays are lists to those who send
 * them. */
static enum wf_node_kind expected_kind(const struct wf_node *n) {
    const bool array = (n->kind == WF_NODE_OBJECT && n->object.array) ||
                       (n->kind == WF_NODE_TAGGED && n->tagged.array);
    return array ? WF_NODE_LIST : (enum wf_node_kind)n->kind;
}

/* Type and message (owned) of a failure. */
static PyObject *error_words(const struct wf_walk_fail *f, const char **type) {
    if (f->node != NULL && f->node->kind == WF_NODE_OBJECTID &&
        (f->fail == WF_FAIL_VALUE || f->fail == WF_FAIL_EXPECTED)) { /* as of a parameter */
        *type = "value_error";
        return PyUnicode_FromString(
            "Value error, an ObjectId is a string of 24 hexadecimal digits");
    }
    switch (f->fail) {
    case WF_FAIL_MISSING:
        *type = "missing";
        return PyUnicode_FromString("Field required");
    case WF_FAIL_UNKNOWN:
        *type = "extra_forbidden";
        return PyUnicode_FromString("Extra inputs are not permitted");
    case WF_FAIL_EXPECTED:
        WF_ASSERT(f->node != NULL); /* it is what was expected */
        *type = expected_errors[expected_kind(f->node)].type;
        if (*type != NULL) {
            return PyUnicode_FromString(expected_errors[expected_kind(f->node)].message);
        }
        break;
    case WF_FAIL_RAISED: {
        *type = "value_error";
        PyObject *words = wf_walk_message(f);
        PyObject *message = words != NULL ? PyUnicode_FromFormat("Value error, %U", words) : NULL;
        Py_XDECREF(words);
        return message;
    }
    default:
        break;
    }
    *type = "value_error";
    PyObject *words = wf_walk_message(f);
    PyObject *message = words != NULL ? PyUnicode_FromFormat("Input is invalid: %U", words) : NULL;
    Py_XDECREF(words);
    return message;
}

/* A step of the path as it stands in a loc. Owned. */
static PyObject *step_key(const struct wf_path_step *step) {
    if (step->name != NULL) {
        return Py_NewRef(step->name);
    }
    return step->key.p != NULL
               ? PyUnicode_DecodeUTF8(step->key.p, (Py_ssize_t)step->key.n, "replace")
               : PyLong_FromSsize_t(step->index);
}

/* What stands under a key or index of a plain object: borrowed, or NULL. */
static PyObject *step_into(PyObject *object, PyObject *key) {
    if (PyDict_Check(object)) {
        PyObject *value = PyDict_GetItemWithError(object, key);
        PyErr_Clear();
        return value;
    }
    Py_ssize_t i = PyList_Check(object) && PyLong_Check(key) ? PyLong_AsSsize_t(key) : -1;
    PyErr_Clear();
    return i >= 0 && i < PyList_GET_SIZE(object) ? PyList_GET_ITEM(object, i) : NULL;
}

/* The error of w->fail in `value` (borrowed), which is what the walk was over, as plain objects. */
static enum conv_result add_error(struct plan_run *run, const struct wf_walk_fail *f,
                                  PyObject *value) {
    PyObject *keys[WF_PATH_MAX + 1]; /* owned */
    unsigned n = 0, known = WF_MIN(f->npath, (unsigned)WF_PATH_MAX);
    const char *type = NULL;
    enum conv_result result = CONV_FAILED;
    PyObject *input = value, *more = NULL;
    PyObject *message = error_words(f, &type);
    for (unsigned i = known; message != NULL && i > 0; i--) {
        if ((keys[n] = step_key(&f->path[i - 1])) == NULL) {
            goto done;
        }
        n++;
    }
    if (f->fail == WF_FAIL_MISSING && f->field != NULL) {
        keys[n++] = Py_NewRef(f->field);
    } else if (f->fail == WF_FAIL_UNKNOWN) {
        keys[n] = PyUnicode_DecodeUTF8(f->key.p, (Py_ssize_t)f->key.n, "replace");
        n += keys[n] != NULL;
    }
    for (unsigned i = 0; i < n && input != NULL; i++) {
        PyObject *inner = step_into(input, keys[i]);
        if (inner == NULL) {
            break; /* it is missing, or named otherwise in the input */
        }
        input = inner;
    }
    if (message == NULL || (more = PyTuple_New(n)) == NULL) {
        goto done;
    }
    for (unsigned i = 0; i < n; i++) {
        PyTuple_SET_ITEM(more, i, Py_NewRef(keys[i]));
    }
    result = plan_error_at(run, type, message, input, more);
done:
    while (n > 0) {
        Py_DECREF(keys[--n]);
    }
    Py_XDECREF(message);
    Py_XDECREF(more);
    return result;
}

/* The value as the codec it came from writes it, in `to`. INVALID: it did not come from one after all, but
 * from a body of another content type. */
static enum conv_result write_again(struct plan_run *run, PyObject *value, bool bson,
                                    struct wf_buf *to) {
    struct wf_state *state = run->plan->state;
    if (!bson) {
        if (wf_json_encode(state, value, NULL, to) == 0) {
            return CONV_OK;
        }
        if (!PyBytes_Check(value) && !PyErr_ExceptionMatches(state->json.encode_error)) {
            return CONV_FAILED;
        }
        PyErr_Clear();
        return CONV_INVALID;
    }
    PyObject *holder = PyDict_New(); /* what is no document is a member of one */
    int rc = holder != NULL ? PyDict_SetItemString(holder, "", value) : -1;
    rc = rc == 0 ? wf_bson_encode_object(state, holder, false, to) : rc;
    Py_XDECREF(holder);
    return rc == 0 ? CONV_OK : CONV_FAILED;
}

/* The value came from JSON or BSON, so that this is what it can be written to, and walked as. */
enum conv_result plan_convert_shaped(struct plan_run *run, const struct conv *c, PyObject *value,
                                     PyObject **out) {
    struct wf_buf again;
    struct wf_walk w;
    bool bson = plan_body_is_bson(run->call->ex);
    *out = NULL;
    wf_buf_init(&again, SHAPED_BODY_MAX);
    enum conv_result result = write_again(run, value, bson, &again);
    if (result != CONV_OK) {
        wf_buf_free(&again);
        return result == CONV_FAILED
                   ? CONV_FAILED
                   : plan_error_text(run, "dict_type", "Input should be a valid dictionary", value);
    }
    wf_walk_init(&w, run->plan->state, 0);
    struct wf_span in = wf_buf_span(&again);
    result = (enum conv_result)(bson ? wf_bson_walk_shape(&w, c->shape->root, in, true, out)
                                     : wf_json_decode_shape(&w, c->shape->root, in, out));
    if (result == CONV_INVALID) {
        result = wf_walk_is_final(&w) ? plan_refuse(&w.fail) : add_error(run, &w.fail, value);
    }
    wf_walk_clear(&w);
    wf_buf_free(&again);
    return result;
}
