/* The room's state, its exceptions and what the module offers of it. */
#include "py/json/json_int.h"

#include "base/alloc.h"

void wf_json_raise_from(PyObject *cls, const char *text) {
    PyObject *cause = wf_err_take();
    PyErr_SetString(cls, text);
    PyObject *exc = wf_err_take();
    PyException_SetCause(exc, cause); /* stolen */
    wf_err_put(exc);
}

/* _alloc_fail_from(nth): for tests; see base/alloc.h. */
static PyObject *alloc_fail_from(PyObject *module, PyObject *arg) {
    unsigned long nth = PyLong_AsUnsignedLong(arg);
    if (nth == (unsigned long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    wf_alloc_fail_from(nth);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(encode_into_doc,
             "json_encode_into($module, obj, buffer, offset=0, /, *, default=None,\n"
             "                 sort_keys=False)\n--\n\n"
             "Writes the JSON of obj into a bytearray at offset (-1: at its end), where it ends\n"
             "then. Raises EncodeError, and the buffer is as it was.");
PyDoc_STRVAR(encode_lines_doc,
             "json_encode_lines($module, items, /, *, default=None, sort_keys=False)\n--\n\n"
             "JSON Lines: each item's JSON and a newline. Raises EncodeError.");
PyDoc_STRVAR(loads_doc, "_json_loads($module, data, /)\n--\n\n"
                        "json_decode, but of all that json.loads takes: NaN, Infinity, -Infinity,\n"
                        "numbers that overflow to these, and lone surrogates.");

static PyMethodDef functions[] = {
    {"json_encode_into", (PyCFunction)(void (*)(void))wf_json_py_encode_into,
     METH_FASTCALL | METH_KEYWORDS, encode_into_doc},
    {"json_encode_lines", (PyCFunction)(void (*)(void))wf_json_py_encode_lines,
     METH_FASTCALL | METH_KEYWORDS, encode_lines_doc},
    {"_json_loads", wf_json_py_loads, METH_O, loads_doc},
    {"_alloc_fail_from", alloc_fail_from, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

int wf_json_exec(PyObject *module, struct wf_state *state) {
    static const char *const texts[] = {
#define X(n) #n,
        WF_JSON_NAMES(X)
#undef X
    };
    struct wf_json_state *s = &state->json;
    for (size_t i = 0; i < NAME_COUNT; i++) {
        s->names[i] = PyUnicode_InternFromString(texts[i]);
        if (s->names[i] == NULL) {
            return -1;
        }
    }
    PyObject *bases = PyTuple_Pack(2, PyExc_TypeError, PyExc_ValueError);
    if (bases == NULL) {
        return -1;
    }
    PyObject *no_path = Py_BuildValue("{s:s}", "path", "");
    if (no_path == NULL) {
        Py_DECREF(bases);
        return -1;
    }
    s->encode_error = PyErr_NewExceptionWithDoc(
        "weft.json.EncodeError",
        "An object that has no JSON form, or not that of the type asked for: the message says "
        "why,\n"
        "and path where, as in \"users[3].name\".",
        bases, no_path);
    Py_DECREF(bases);
    s->decode_error = PyErr_NewExceptionWithDoc(
        "weft.json.DecodeError",
        "A document that is not JSON, or not of the type asked for: msg, the document doc, the "
        "index\n"
        "pos in it, lineno, colno, and the path to what is wrong, as in \"users[3].name\".",
        PyExc_ValueError, no_path);
    Py_DECREF(no_path);
    s->raw_type = wf_json_make_raw_type(module);
    if (s->encode_error == NULL || s->decode_error == NULL || s->raw_type == NULL ||
        PyModule_AddObjectRef(module, "EncodeError", s->encode_error) < 0 ||
        PyModule_AddObjectRef(module, "DecodeError", s->decode_error) < 0 ||
        PyModule_AddObjectRef(module, "Raw", (PyObject *)s->raw_type) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}

int wf_json_traverse(struct wf_json_state *s, visitproc visit, void *arg) {
    Py_VISIT(s->encode_error);
    Py_VISIT(s->decode_error);
    Py_VISIT(s->raw_type);
    Py_VISIT(s->utc);
    for (size_t i = 0; i < WF_JSON_RULES; i++) {
        Py_VISIT(s->rules[i].type);
        Py_VISIT(s->rules[i].names);
    }
    return 0; /* names, keys and ints: no cycle goes through them */
}

void wf_json_clear(struct wf_json_state *s) {
    Py_CLEAR(s->encode_error);
    Py_CLEAR(s->decode_error);
    Py_CLEAR(s->raw_type);
    Py_CLEAR(s->utc);
    for (size_t i = 0; i < WF_ARRAY_LEN(s->names); i++) {
        Py_CLEAR(s->names[i]);
    }
    for (size_t i = 0; i < WF_JSON_RULES; i++) {
        Py_CLEAR(s->rules[i].type);
        Py_CLEAR(s->rules[i].names);
    }
    for (size_t i = 0; i < WF_JSON_KEYS; i++) {
        Py_CLEAR(s->keys[i]);
    }
    for (size_t i = 0; i < WF_JSON_INTS; i++) {
        Py_CLEAR(s->ints[i]);
    }
}
