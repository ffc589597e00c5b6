/* Which rule a type is encoded by: FastAPI's jsonable_encoder, in its order.
 *
 * Nothing is imported for this. An object of datetime.date can only exist once the module datetime
 * is loaded, so each class is looked up in sys.modules, and a module that is not there has no
 * objects. */
#include "py/json/json_int.h"

/* A class by where it is found; what is found under the name and is no class is passed over. */
struct known {
    const char *module, *name;
    enum rule_kind kind;
};

/* jsonable_encoder asks these before it asks for str, int, dict and list, */
static const struct known known_before[] = {
    {"enum", "Enum", RULE_VALUE},
    {"pathlib", "PurePath", RULE_TEXT},
};

/* and these after, and after those of datetime. */
static const struct known known_after[] = {
    {"uuid", "UUID", RULE_TEXT},
    {"bson.objectid", "ObjectId", RULE_TEXT},
    {"weft.bson._classes", "ObjectId", RULE_TEXT},
    {"decimal", "Decimal", RULE_DECIMAL},
    {"collections", "deque", RULE_ITERATE},
    {"re", "Pattern", RULE_PATTERN},
    {"ipaddress", "IPv4Address", RULE_TEXT},
    {"ipaddress", "IPv4Interface", RULE_TEXT},
    {"ipaddress", "IPv4Network", RULE_TEXT},
    {"ipaddress", "IPv6Address", RULE_TEXT},
    {"ipaddress", "IPv6Interface", RULE_TEXT},
    {"ipaddress", "IPv6Network", RULE_TEXT},
    {"pydantic_core", "Url", RULE_TEXT},
    {"pydantic_core", "MultiHostUrl", RULE_TEXT},
    {"pydantic_core", "PydanticUndefinedType", RULE_NULL},
    {"pydantic.networks", "_BaseUrl", RULE_TEXT},
    {"pydantic.networks", "_BaseMultiHostUrl", RULE_TEXT},
    {"pydantic.networks", "NameEmail", RULE_TEXT},
    {"pydantic.types", "SecretStr", RULE_TEXT},
    {"pydantic.types", "SecretBytes", RULE_TEXT},
    {"pydantic.color", "Color", RULE_TEXT},
    {"pydantic_extra_types.color", "Color", RULE_TEXT},
    {"msgspec", "Struct", RULE_STRUCT},
    {"msgspec", "Raw", RULE_RAW},
};

/* dict[name]: new reference in *out, or NULL. 0, or -1 with an exception. */
static int dict_get(PyObject *dict, const char *name, PyObject **out) {
    PyObject *key = PyUnicode_FromString(name);
    *out = NULL;
    if (key == NULL) {
        return -1;
    }
    *out = Py_XNewRef(PyDict_GetItemWithError(dict, key));
    Py_DECREF(key);
    return *out == NULL && PyErr_Occurred() ? -1 : 0;
}

int wf_json_loaded(const char *module, const char *name, PyObject **out) {
    PyObject *m;
    int rc = dict_get(PyImport_GetModuleDict(), module, &m); /* that dict is the interpreter's */
    *out = NULL;
    if (m != NULL && PyModule_Check(m)) {
        /* by the module's dict: its __getattr__ might import */
        rc = dict_get(PyModule_GetDict(m), name, out);
    }
    Py_XDECREF(m);
    return rc;
}

static int is_a(PyTypeObject *type, const char *module, const char *name) {
    PyObject *cls;
    if (wf_json_loaded(module, name, &cls) < 0) {
        return -1;
    }
    int yes = cls != NULL && PyType_Check(cls) && PyType_IsSubtype(type, (PyTypeObject *)cls);
    Py_XDECREF(cls);
    return yes;
}

/* The rule of the first class in the list that `type` is a subclass of, or RULE_NONE. -1: exception
 */
static int first_known(PyTypeObject *type, const struct known *list, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int yes = is_a(type, list[i].module, list[i].name);
        if (yes != 0) {
            return yes < 0 ? -1 : (int)list[i].kind;
        }
    }
    return RULE_NONE;
}

/* The rule of a class of the module datetime, or RULE_NONE. They are told by what they are, whatever the
 * module has under their names now: their memory is read. */
static enum rule_kind time_rule(const PyTypeObject *type) {
    static const struct {
        const char *name;
        enum rule_kind kind, of_subclass;
    } times[] = {{"datetime.datetime", RULE_DATETIME, RULE_ISOFORMAT},
                 {"datetime.date", RULE_DATE, RULE_ISOFORMAT},
                 {"datetime.time", RULE_TIME, RULE_ISOFORMAT},
                 {"datetime.timedelta", RULE_TIMEDELTA, RULE_TIMEDELTA}};
    for (const PyTypeObject *base = type; base != NULL; base = base->tp_base) {
        if (base->tp_flags & Py_TPFLAGS_HEAPTYPE) {
            continue; /* made by a class statement */
        }
        for (size_t i = 0; i < WF_ARRAY_LEN(times); i++) {
            if (strcmp(base->tp_name, times[i].name) == 0) {
                return base == type ? times[i].kind : times[i].of_subclass;
            }
        }
    }
    return RULE_NONE;
}

/* The attribute, or NULL without an exception where there is none. -1: exception */
static int type_attr(PyTypeObject *type, PyObject *name, PyObject **out) {
    *out = PyObject_GetAttr((PyObject *)type, name);
    if (*out == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
    }
    return 0;
}

/* A tuple of the names of `fields`, objects with a name; stolen. */
static PyObject *names_of(PyObject *fields, PyObject *attr) {
    PyObject *seq = fields != NULL ? PySequence_Tuple(fields) : NULL, *names = NULL;
    Py_XDECREF(fields);
    if (seq == NULL) {
        return NULL;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(seq);
    names = PyTuple_New(n);
    for (Py_ssize_t i = 0; names != NULL && i < n; i++) {
        PyObject *name = PyObject_GetAttr(PyTuple_GET_ITEM(seq, i), attr);
        if (name == NULL || !PyUnicode_CheckExact(name)) {
            if (name != NULL) {
                PyErr_SetString(PyExc_TypeError, "a field's name is not a str");
                Py_DECREF(name);
            }
            Py_CLEAR(names);
            break;
        }
        PyTuple_SET_ITEM(names, i, name);
    }
    Py_DECREF(seq);
    return names;
}

/* RULE_FIELDS with its names where `type` is a dataclass (dataclasses.fields leaves ClassVar and
 * InitVar out) or has attrs. 1: it is; 0; -1: exception */
static int find_fields(struct wf_json_state *s, PyTypeObject *type, PyObject *mark,
                       struct rule *out) {
    PyObject *fields;
    if (type_attr(type, mark, &fields) < 0) {
        return -1;
    }
    if (fields == NULL) {
        return 0;
    }
    if (PyDict_Check(fields)) {
        PyObject *get;
        Py_DECREF(fields);
        if (wf_json_loaded("dataclasses", "fields", &get) < 0) {
            return -1;
        }
        if (get == NULL) {
            return 0;
        }
        fields = PyObject_CallOneArg(get, (PyObject *)type);
        Py_DECREF(get);
    }
    out->kind = RULE_FIELDS;
    out->names = names_of(fields, s->names[NAME_name]);
    return out->names != NULL ? 1 : -1;
}

static int find(struct wf_json_state *s, PyTypeObject *type, struct rule *out) {
    if (type == s->raw_type) {
        out->kind = RULE_RAW;
        return 0;
    }
    int yes = is_a(type, "pydantic.main", "BaseModel");
    if (yes != 0) {
        out->kind = RULE_MODEL;
        return yes < 0 ? -1 : 0;
    }
    yes = find_fields(s, type, s->names[NAME___dataclass_fields__], out);
    if (yes != 0) {
        return yes < 0 ? -1 : 0;
    }
    int kind = first_known(type, known_before, WF_ARRAY_LEN(known_before));
    if (kind != RULE_NONE) {
        out->kind = (enum rule_kind)kind;
        return kind < 0 ? -1 : 0;
    }
    if (PyType_HasFeature(type, Py_TPFLAGS_UNICODE_SUBCLASS)) {
        out->kind = RULE_STR;
    } else if (PyType_HasFeature(type, Py_TPFLAGS_LONG_SUBCLASS)) {
        out->kind = RULE_INT;
    } else if (PyType_IsSubtype(type, &PyFloat_Type)) {
        out->kind = RULE_FLOAT;
    } else if (PyType_HasFeature(type, Py_TPFLAGS_DICT_SUBCLASS)) {
        out->kind = RULE_DICT;
    } else if (PyType_HasFeature(type, Py_TPFLAGS_TUPLE_SUBCLASS)) {
        out->kind = type->tp_iter == PyTuple_Type.tp_iter ? RULE_TUPLE : RULE_ITERATE;
    } else if (PyType_HasFeature(type, Py_TPFLAGS_LIST_SUBCLASS) ||
               PyType_IsSubtype(type, &PySet_Type) || PyType_IsSubtype(type, &PyFrozenSet_Type) ||
               type == &PyGen_Type) {
        out->kind = RULE_ITERATE;
    } else if (PyType_HasFeature(type, Py_TPFLAGS_BYTES_SUBCLASS)) {
        out->kind = RULE_BYTES;
    } else if ((out->kind = time_rule(type)) == RULE_NONE) {
        kind = first_known(type, known_after, WF_ARRAY_LEN(known_after));
        if (kind < 0) {
            return -1;
        }
        out->kind = (enum rule_kind)kind;
        if (kind == RULE_NONE && find_fields(s, type, s->names[NAME___attrs_attrs__], out) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The tag CPython gives a type while it stays as it is; 0 is none. */
static unsigned int version_of(PyTypeObject *type) {
#if PY_VERSION_HEX < 0x030C0000
    if (!PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG)) {
        return 0;
    }
#endif
    return type->tp_version_tag;
}

static size_t slot_of(PyTypeObject *type) {
    return (size_t)((uint64_t)(uintptr_t)type * 0x9e3779b97f4a7c15u >> 40) % WF_JSON_RULES;
}

int wf_json_rule_find(struct wf_json_state *s, PyTypeObject *type, struct rule *out) {
    struct wf_json_rule *slot = &s->rules[slot_of(type)];
    unsigned int version = version_of(type);
    if (wf_likely(slot->type == type && slot->version == version)) {
        *out = (struct rule){(enum rule_kind)slot->kind, Py_XNewRef(slot->names)};
        return 0;
    }
    *out = (struct rule){RULE_NONE, NULL};
    if (find(s, type, out) < 0) {
        return -1;
    }
    version = version_of(type); /* looking for attributes gave the type its tag */
    if (version != 0) {
        PyTypeObject *old_type = slot->type;
        PyObject *old_names = slot->names;
        *slot = (struct wf_json_rule){(PyTypeObject *)Py_NewRef(type), version, (int)out->kind,
                                      Py_XNewRef(out->names)};
        Py_XDECREF(old_type); /* may run Python code: last */
        Py_XDECREF(old_names);
    }
    return 0;
}
