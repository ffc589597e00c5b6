/* What the files of this room share. */
#ifndef WF_PY_JSON_INT_H
#define WF_PY_JSON_INT_H

#include "py/state.h"
#include "py/input.h"
#include "py/json/json.h"

/* Attribute names, interned: CPython's attribute cache keeps any name it is asked for. */
#define WF_JSON_NAMES(X)                                                                           \
    X(value)                                                                                       \
    X(pattern)                                                                                     \
    X(isoformat)                                                                                   \
    X(total_seconds)                                                                               \
    X(as_tuple)                                                                                    \
    X(exponent)                                                                                    \
    X(model_dump)                                                                                  \
    X(mode)                                                                                        \
    X(json)                                                                                        \
    X(by_alias)                                                                                    \
    X(name)                                                                                        \
    X(__dataclass_fields__)                                                                        \
    X(__attrs_attrs__)                                                                             \
    X(msg)                                                                                         \
    X(doc)                                                                                         \
    X(pos)                                                                                         \
    X(lineno)                                                                                      \
    X(colno)

enum name_id {
#define X(n) NAME_##n,
    WF_JSON_NAMES(X)
#undef X
        NAME_COUNT
};
static_assert(NAME_COUNT <= WF_ARRAY_LEN(((struct wf_json_state *)0)->names), "names fit");

enum rule_kind {
    RULE_NONE, /* the fallback's, or an error */
    RULE_STR,  /* subclasses of JSON's own types */
    RULE_INT,
    RULE_FLOAT,
    RULE_DICT,
    RULE_TUPLE,    /* a tuple that iterates as tuples do: NamedTuple */
    RULE_ITERATE,  /* set, frozenset, deque, generator, odd subclasses: what iteration gives */
    RULE_FIELDS,   /* dataclass, attrs: the attributes in `names` */
    RULE_VALUE,    /* Enum: .value */
    RULE_PATTERN,  /* re.Pattern: .pattern */
    RULE_TEXT,     /* str(o): UUID, paths, IP addresses, URLs, secrets */
    RULE_BYTES,    /* bytes: as UTF-8 */
    RULE_DATETIME, /* exactly datetime.datetime, date, time: written here */
    RULE_DATE,
    RULE_TIME,
    RULE_ISOFORMAT, /* subclasses of these: .isoformat() */
    RULE_TIMEDELTA, /* .total_seconds() */
    RULE_DECIMAL,   /* int where the exponent is not negative, else float */
    RULE_MODEL,     /* pydantic: .model_dump(mode="json", by_alias=True) */
    RULE_STRUCT,    /* msgspec.Struct: msgspec.to_builtins(o) */
    RULE_RAW,       /* weft.json.Raw, msgspec.Raw: as it stands */
    RULE_NULL       /* pydantic_core.PydanticUndefined */
};

struct rule {
    enum rule_kind kind;
    PyObject *names; /* owned, or NULL */
};

/* The object that a loaded module has under a name: new reference in *out, or NULL. 0, or -1 with
 * an exception. Imports nothing. */
int wf_json_loaded(const char *module, const char *name, PyObject **out);

/* Raises cls(text) from the exception that is set. */
void wf_json_raise_from(PyObject *cls, const char *text);

/* Before 3.12 a str can lack its canonical form. 0, or -1 with an exception. */
static inline int wf_json_str_ready(PyObject *str) {
#if PY_VERSION_HEX < 0x030C0000
    return PyUnicode_READY(str);
#else
    return 0;
#endif
}

/* Of a str: its own memory, or its UTF-8. 0, or -1 with an exception: DecodeError for a lone surrogate. */
int wf_json_input_of_str(struct wf_json_state *s, struct wf_input *in, PyObject *str);

/* A document in Python's hands: bytes, a buffer or str. 0, or -1 with an exception. */
static inline int wf_json_input_open(struct wf_json_state *s, struct wf_input *in, PyObject *data) {
    if (wf_unlikely(PyUnicode_Check(data))) {
        return wf_json_input_of_str(s, in, data);
    }
    return wf_input_open(in, data, "the JSON document must be bytes, a buffer or str");
}

/* The public functions (encode_py.c, decode.c). json_encode is given its name by py/shape, which
 * looks for a type first. */
PyObject *wf_json_py_encode(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);
PyObject *wf_json_py_encode_into(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames);
PyObject *wf_json_py_encode_lines(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *kwnames);
PyObject *wf_json_py_loads(PyObject *module, PyObject *data);

/* The type weft.json.Raw (raw.c). NULL with an exception. */
PyTypeObject *wf_json_make_raw_type(PyObject *module);

/* Sets DecodeError. pos is an index into doc, which is what the caller gave; at one into `in`. */
void wf_json_raise(struct wf_json_state *s, const char *msg, PyObject *doc, Py_ssize_t pos,
                   struct wf_span in, size_t at);

/* The rule for objects of a type that is not exactly JSON's own. 0, or -1 with an exception. */
int wf_json_rule_find(struct wf_json_state *s, PyTypeObject *type, struct rule *out);

#endif
