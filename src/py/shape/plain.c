/* Plain objects before pydantic is asked about them: it makes dicts and sets of them by itself, and
 * where numbers in them share a hash that takes as long as it would here (hashes.c). What is for which
 * part of a model is not known then, nor which texts pydantic takes for a number; so no list, and no
 * dict's keys, may have too many different numbers of one hash, whatever they are for. */
#include "py/shape/shape_int.h"

enum {
    /* Below 2**61 - 1, of 19 digits, no two integers share a hash; and what is longer than Python's own
     * limit is no integer. */
    CHOSEN_CHARS_MIN = 19,
    CHOSEN_CHARS_MAX = 4300,
    CHOSEN_DEPTH_MAX = 3, /* tuples in tuples: each level is looked at by those around it */
    UUID_DIGITS = 32
};

/* ---- what a text may be read as ---- */

/* The hexadecimal digits of a UUID as pydantic takes it; false where it is none, or plain digits. */
static bool uuid_digits(const char *p, Py_ssize_t n, char digits[UUID_DIGITS + 1]) {
    static const char urn[] = "urn:uuid:";
    size_t len = 0;
    bool plain = true;
    if (n > (Py_ssize_t)sizeof(urn) && memcmp(p, urn, sizeof(urn) - 1) == 0) {
        p += sizeof(urn) - 1;
        n -= sizeof(urn) - 1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (p[i] == '-' || p[i] == '{' || p[i] == '}') {
            plain = plain && i == 0;
            continue;
        }
        if (len == UUID_DIGITS || !Py_ISXDIGIT(p[i])) {
            return false;
        }
        plain = plain && Py_ISDIGIT(p[i]);
        digits[len++] = p[i];
    }
    digits[len] = '\0';
    return len == UUID_DIGITS && !plain;
}

/* Digits, and what else there is in a number: neither a date nor a word. */
static bool looks_numeric(const char *p, Py_ssize_t n) {
    bool digits = false;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (Py_ISDIGIT(p[i])) {
            digits = true;
        } else if (strchr(digits ? "+-._eE \t\r\n" : "+-. \t\r\n", p[i]) == NULL || p[i] == '\0') {
            return false;
        }
    }
    return digits;
}

/* Most text shows by its ends that it is no number. */
static bool may_end_number(char c) {
    return Py_ISXDIGIT(c) || strchr("+-._{} \t\r\nu", c) != NULL;
}

/* Owned; NULL where it is no number, or with an exception. */
static PyObject *number_in(struct wf_state *state, PyObject *str) {
    const Py_ssize_t n = PyUnicode_GET_LENGTH(str);
    if (n < CHOSEN_CHARS_MIN || n > CHOSEN_CHARS_MAX || !PyUnicode_IS_ASCII(str)) {
        return NULL;
    }
    const char *p = PyUnicode_DATA(str);
    if (!may_end_number(p[0]) || !may_end_number(p[n - 1])) {
        return NULL;
    }
    char digits[UUID_DIGITS + 1];
    if (uuid_digits(p, n, digits)) {
        return PyLong_FromString(digits, NULL, 16);
    }
    if (!looks_numeric(p, n) || shape_prepare(state, WF_NODE_DECIMAL, false) < 0) {
        return NULL;
    }
    PyObject *number = PyObject_CallOneArg(state->shape.decimal_type, str);
    if (number == NULL && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear(); /* 1-2, say */
    }
    return number;
}

/* ---- what may be chosen for its hash ---- */

static PyObject *chosen(struct wf_state *state, PyObject *o, int depth);

/* A tuple, if any of the items is chosen. Owned; NULL where none is, or with an exception. */
static PyObject *chosen_tuple(struct wf_state *state, PyObject *list, int depth) {
    const Py_ssize_t n = PyList_GET_SIZE(list);
    PyObject *tuple = NULL;
    for (Py_ssize_t i = 0; i < n && depth < CHOSEN_DEPTH_MAX; i++) {
        PyObject *one = chosen(state, PyList_GET_ITEM(list, i), depth + 1);
        if (one == NULL && PyErr_Occurred()) {
            Py_CLEAR(tuple);
            break;
        }
        if (one == NULL) {
            continue;
        }
        if (tuple == NULL && (tuple = PyTuple_New(n)) == NULL) {
            Py_DECREF(one);
            break;
        }
        PyTuple_SET_ITEM(tuple, i, one);
    }
    for (Py_ssize_t i = 0; i < n && tuple != NULL; i++) {
        PyObject *item = PyList_GET_ITEM(list, i);
        if (PyTuple_GET_ITEM(tuple, i) == NULL) {
            const bool hashable = !PyList_CheckExact(item) && !PyDict_CheckExact(item);
            PyTuple_SET_ITEM(tuple, i, Py_NewRef(hashable ? item : Py_None));
        }
    }
    return tuple;
}

/* What may become of a member, if that can be one of many of its hash: a number, or a tuple of such, or
 * of an object's values. Owned; NULL where it cannot, or with an exception. */
static PyObject *chosen(struct wf_state *state, PyObject *o, int depth) {
    if (PyLong_CheckExact(o)) {
        return wf_hash_is_own(o) ? NULL : Py_NewRef(o);
    }
    if (PyUnicode_CheckExact(o)) {
        return number_in(state, o);
    }
    if (PyList_CheckExact(o)) {
        return chosen_tuple(state, o, depth);
    }
    PyObject *values = PyDict_CheckExact(o) && depth < CHOSEN_DEPTH_MAX ? PyDict_Values(o) : NULL;
    PyObject *tuple = values != NULL ? chosen_tuple(state, values, depth) : NULL;
    Py_XDECREF(values);
    return tuple;
}

/* ---- looking for them ---- */

static enum wf_walk_result check_members(struct wf_state *state, PyObject *list) {
    if (PyList_GET_SIZE(list) <= WF_HASHES_UNCOUNTED + WF_HASHES_EQUAL_MAX) {
        return WF_WALK_OK;
    }
    enum wf_walk_result result = WF_WALK_FAILED;
    PyObject *set = NULL, *numbers = PyList_New(0);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list) && numbers != NULL; i++) {
        PyObject *number = chosen(state, PyList_GET_ITEM(list, i), 0);
        if (number == NULL ? PyErr_Occurred() != NULL : PyList_Append(numbers, number) < 0) {
            Py_CLEAR(numbers);
        }
        Py_XDECREF(number);
    }
    if (numbers != NULL && PyList_GET_SIZE(numbers) == 0) {
        result = WF_WALK_OK;
    } else if (numbers != NULL && (set = PySet_New(NULL)) != NULL) {
        result = wf_hashes_fill(set, ((PyListObject *)numbers)->ob_item,
                                (size_t)PyList_GET_SIZE(numbers));
    }
    Py_XDECREF(set);
    Py_XDECREF(numbers);
    return result;
}

static enum wf_walk_result check_dict(struct wf_state *state, PyObject *dict) {
    enum wf_walk_result result = WF_WALK_OK;
    if (PyDict_GET_SIZE(dict) > WF_HASHES_UNCOUNTED + WF_HASHES_EQUAL_MAX) {
        PyObject *keys = PyDict_Keys(dict);
        result = keys != NULL ? check_members(state, keys) : WF_WALK_FAILED;
        Py_XDECREF(keys);
    }
    PyObject *key, *value; /* borrowed */
    for (Py_ssize_t at = 0; result == WF_WALK_OK && PyDict_Next(dict, &at, &key, &value);) {
        result = wf_plain_check(state, value);
    }
    return result;
}

enum wf_walk_result wf_plain_check_slow(struct wf_state *state, PyObject *object) {
    if (Py_EnterRecursiveCall(" while checking a document") != 0) {
        return WF_WALK_FAILED;
    }
    enum wf_walk_result result = WF_WALK_OK;
    if (PyDict_CheckExact(object)) {
        result = check_dict(state, object);
    } else {
        result = check_members(state, object);
        for (Py_ssize_t i = 0; result == WF_WALK_OK && i < PyList_GET_SIZE(object); i++) {
            result = wf_plain_check(state, PyList_GET_ITEM(object, i));
        }
    }
    Py_LeaveRecursiveCall();
    return result;
}
