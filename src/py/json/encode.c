/* Objects to JSON, straight into the output.
 *
 * JSON's own types are told by their exact type and written here; for others a rule is found once a
 * type (rules.c). Rules may run Python code, which may change or free what is being encoded: what a
 * container holds is held on to before, and containers are measured again after. */
#include "py/json/encode_write.h"

#include <datetime.h>
#include "base/utf8.h"

static char *encode(struct encoder *e, char *d, PyObject *o);

enum { DATETIME_CHARS_MAX = 40 };

/* ---- strings ---- */

/* str(o) and the like: `str` is stolen; NULL is passed on. */
static char *encode_str_stolen(struct encoder *e, char *d, PyObject *str) {
    if (str == NULL) {
        return NULL;
    }
    if (PyUnicode_Check(str)) {
        d = encode_str(e, d, str);
    } else {
        PyErr_Format(PyExc_TypeError, "expected a str, got %.100s", Py_TYPE(str)->tp_name);
        d = NULL;
    }
    Py_DECREF(str);
    return d;
}

static char *encode_bytes(struct encoder *e, char *d, PyObject *bytes) {
    struct wf_span s = wf_span(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    if (!wf_utf8_valid(s)) {
        PyErr_SetString(e->s->encode_error, "bytes that are not UTF-8");
        return NULL;
    }
    return put_text(e, d, s.p, s.n, false);
}

/* ---- containers ---- */

/* Anything but the types that encode_inline knows. */
static WF_NOINLINE char *encode_complex(struct encoder *e, char *d, PyObject *o);

/* A str, int, constant or float at *d; false where it is none. */
WF_ALWAYS_INLINE bool encode_scalar(struct encoder *e, char **d, PyObject *o) {
    PyTypeObject *type = Py_TYPE(o);
    if (type == &PyUnicode_Type) {
        *d = encode_str(e, *d, o);
    } else if (type == &PyLong_Type) {
        *d = encode_int(e, *d, o);
    } else if (is_constant(o)) {
        *d = encode_constant(e, *d, o);
    } else if (type == &PyFloat_Type) {
        *d = encode_double(e, *d, PyFloat_AS_DOUBLE(o));
    } else {
        return false;
    }
    return true;
}

/* Inlined in the loop of dict and others. */
WF_ALWAYS_INLINE char *encode_inline(struct encoder *e, char *d, PyObject *o) {
    return encode_scalar(e, &d, o) ? d : encode_complex(e, d, o);
}

static inline char *open_list(struct encoder *e, char *d) {
    if (enter(e) < 0 || (d = room(e, d, 2)) == NULL) {
        return NULL;
    }
    *d++ = '[';
    return d;
}

struct list_at {
    PyObject *list; /* owned: Python code may run */
    Py_ssize_t i;   /* the item that is written */
};

/* A list that is not empty.
 * nested  a constant: of lists in it the outer ones wait here, so that a level is no call; beyond LISTS_MAX
 *         it is one */
WF_ALWAYS_INLINE char *encode_items(struct encoder *e, char *d, PyObject *list, bool nested) {
    enum { LISTS_MAX = 8 };
    struct list_at outer[LISTS_MAX];
    unsigned n = 0;
    Py_ssize_t i = 0;
    d = open_list(e, d);
    if (wf_unlikely(d == NULL)) {
        return NULL;
    }
    Py_INCREF(list);
    for (;;) {
        while (i < PyList_GET_SIZE(list)) { /* it may shrink on the way */
            PyObject *o = PyList_GET_ITEM(list, i);
            if (is_constant(o) && wf_likely((size_t)(e->out.end - d) > WF_JSON_SLACK + 8)) {
                d = put_constant(d, o) + 1; /* the comma is there */
                i++;
                continue;
            }
            if (PyLong_CheckExact(o)) { /* where there is one there are more */
                do {
                    d = encode_int(e, d, o);
                    if (wf_unlikely(d == NULL)) {
                        goto fail;
                    }
                    *d++ = ',';
                    i++;
                } while (i < PyList_GET_SIZE(list) &&
                         PyLong_CheckExact(o = PyList_GET_ITEM(list, i)));
                continue;
            }
            if (!encode_scalar(e, &d, o)) {
                if (nested && PyList_CheckExact(o) && PyList_GET_SIZE(o) != 0 && n < LISTS_MAX) {
                    d = open_list(e, d);
                    if (wf_unlikely(d == NULL)) {
                        goto fail;
                    }
                    outer[n].list = list;
                    outer[n++].i = i;
                    list = Py_NewRef(o);
                    i = 0;
                    continue;
                }
                d = encode_complex(e, d, o);
            }
            if (wf_unlikely(d == NULL)) {
                goto fail;
            }
            *d++ = ',';
            i++;
        }
        d = finish(e, d, ']');
        Py_DECREF(list);
        if (n == 0) {
            return d;
        }
        list = outer[--n].list;
        i = outer[n].i;
        if (wf_unlikely(d == NULL)) {
            goto fail;
        }
        *d++ = ',';
        i++;
    }
fail:
    for (;;) {
        wf_json_encode_at_index(e, i);
        Py_DECREF(list);
        if (n == 0) {
            return NULL;
        }
        list = outer[--n].list;
        i = outer[n].i;
    }
}

static WF_NOINLINE char *encode_list(struct encoder *e, char *d, PyObject *list) {
    return encode_items(e, d, list, false);
}

static WF_NOINLINE char *encode_list_of_lists(struct encoder *e, char *d, PyObject *list) {
    return encode_items(e, d, list, true);
}

static char *encode_tuple(struct encoder *e, char *d, PyObject *tuple) {
    if (enter(e) < 0 || (d = room(e, d, 2)) == NULL) {
        return NULL;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(tuple);
    *d++ = '[';
    if (n == 0) {
        *d++ = ' ';
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        d = encode(e, d, PyTuple_GET_ITEM(tuple, i));
        if (wf_unlikely(d == NULL)) {
            return wf_json_encode_at_index(e, i);
        }
        *d++ = ',';
    }
    return finish(e, d, ']');
}

static char *encode_iterated(struct encoder *e, char *d, PyObject *o) {
    if (enter(e) < 0 || (d = room(e, d, 2)) == NULL) {
        return NULL;
    }
    PyObject *it = PyObject_GetIter(o), *item;
    if (it == NULL) {
        return NULL;
    }
    *d++ = '[';
    Py_ssize_t n = 0;
    for (; (item = PyIter_Next(it)) != NULL; n++) {
        d = encode(e, d, item);
        Py_DECREF(item);
        if (d == NULL) {
            break;
        }
        *d++ = ',';
    }
    Py_DECREF(it);
    if (d == NULL) {
        return wf_json_encode_at_index(e, n);
    }
    if (PyErr_Occurred()) {
        wf_json_encode_changed(e->s);
        return wf_json_encode_at_index(e, n);
    }
    if (n == 0) {
        *d++ = ' ';
    }
    return finish(e, d, ']');
}

/* A key that is not exactly a str: what it would be as a value, in quotes. */
static WF_NOINLINE char *encode_odd_key(struct encoder *e, char *d, PyObject *key) {
    size_t at = (size_t)(d - e->out.start);
    bool was_off = e->fallback_off;
    e->fallback_off = true;
    d = encode(e, d, key);
    e->fallback_off = was_off;
    if (d == NULL || (d = room(e, d, 2)) == NULL) {
        wf_json_encode_forget(e); /* where in the key */
        return NULL;
    }
    char *text = e->out.start + at;
    if (*text == '[' || *text == '{') {
        PyErr_Format(e->s->encode_error, "keys of type %.200s have no JSON form",
                     Py_TYPE(key)->tp_name);
        return NULL;
    }
    if (*text != '"') {
        memmove(text + 1, text, (size_t)(d - text));
        *text = '"';
        d[1] = '"';
        d += 2;
    }
    return d;
}

/* A member with a key that is not exactly a str. Both are borrowed from something that Python code
 * may change. */
static WF_NOINLINE char *encode_odd_member(struct encoder *e, char *d, PyObject *key,
                                           PyObject *value) {
    Py_INCREF(key);
    Py_INCREF(value);
    d = encode_odd_key(e, d, key);
    if (d != NULL) {
        *d++ = ':';
        d = encode(e, d, value);
    }
    Py_DECREF(key);
    Py_DECREF(value);
    return d;
}

/* key, value  borrowed likewise */
WF_ALWAYS_INLINE char *encode_member(struct encoder *e, char *d, PyObject *key, PyObject *value) {
    if (wf_likely(PyUnicode_CheckExact(key))) {
        d = encode_key(e, d, key);
        if (wf_unlikely(d == NULL)) {
            return NULL;
        }
        *d++ = ':';
        return encode_inline(e, d, value);
    }
    return encode_odd_member(e, d, key, value);
}

/* It is not empty. */
static char *encode_members(struct encoder *e, char *d, PyObject *dict) {
    if (enter(e) < 0 || (d = room(e, d, 2)) == NULL) {
        return NULL;
    }
    Py_ssize_t n = PyDict_GET_SIZE(dict), at = 0;
    PyObject *key, *value; /* borrowed from dict */
    *d++ = '{';
    /* counted, so that the last one needs no question for another */
    for (Py_ssize_t left = n; left > 0 && PyDict_Next(dict, &at, &key, &value); left--) {
        d = encode_member(e, d, key, value);
        if (wf_unlikely(d == NULL)) {
            return wf_json_encode_at_member(e, dict, key);
        }
        *d++ = ',';
        if (wf_unlikely(PyDict_GET_SIZE(dict) != n)) {
            PyErr_SetString(e->s->encode_error, "a dict changed its size while it was encoded");
            return NULL;
        }
    }
    return finish(e, d, '}');
}

/* A dict, held on to likewise. */
static WF_NOINLINE char *encode_dict(struct encoder *e, char *d, PyObject *dict) {
    Py_INCREF(dict);
    d = encode_members(e, d, dict);
    Py_DECREF(dict);
    return d;
}

/* The pairs of a list; it is stolen, NULL is passed on. */
static char *encode_pairs(struct encoder *e, char *d, PyObject *items) {
    if (items == NULL || enter(e) < 0 || (d = room(e, d, 2)) == NULL) {
        Py_XDECREF(items);
        return NULL;
    }
    if (e->sort_keys && PyList_Sort(items) < 0) { /* by key, since no two are equal */
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            wf_json_raise_from(e->s->encode_error, "keys that cannot be compared have no order");
        }
        Py_DECREF(items);
        return NULL;
    }
    *d++ = '{';
    if (PyList_GET_SIZE(items) == 0) {
        *d++ = ' ';
    }
    for (Py_ssize_t i = 0; d != NULL && i < PyList_GET_SIZE(items); i++) {
        PyObject *pair = PyList_GET_ITEM(items, i); /* borrowed: the list is ours */
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "items() must give pairs");
            d = NULL;
            break;
        }
        d = encode_member(e, d, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
        if (d == NULL) {
            wf_json_encode_at_key(e, PyTuple_GET_ITEM(pair, 0));
            break;
        }
        *d++ = ',';
    }
    Py_DECREF(items);
    return d == NULL ? NULL : finish(e, d, '}');
}

/* (name, value) of the attributes `names` of o. New reference. */
static PyObject *field_pairs(struct wf_json_state *s, PyObject *o, PyObject *names) {
    Py_ssize_t n = PyTuple_GET_SIZE(names);
    PyObject *pairs = PyList_New(n);
    for (Py_ssize_t i = 0; pairs != NULL && i < n; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i); /* borrowed from names */
        PyObject *value = PyObject_GetAttr(o, name);
        PyObject *pair = value != NULL ? PyTuple_Pack(2, name, value) : NULL;
        if (value == NULL) {
            wf_json_encode_missing(s, o, name);
        }
        Py_XDECREF(value);
        if (pair == NULL) {
            Py_CLEAR(pairs);
        } else {
            PyList_SET_ITEM(pairs, i, pair);
        }
    }
    return pairs;
}

/* The attributes `names` of o, in order. */
static char *encode_fields(struct encoder *e, char *d, PyObject *o, PyObject *names) {
    if (e->sort_keys) {
        return encode_pairs(e, d, field_pairs(e->s, o, names));
    }
    if (enter(e) < 0 || (d = room(e, d, 2)) == NULL) {
        return NULL;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(names);
    *d++ = '{';
    if (n == 0) {
        *d++ = ' ';
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i); /* borrowed from names */
        PyObject *value = PyObject_GetAttr(o, name);
        if (value == NULL) {
            wf_json_encode_missing(e->s, o, name);
            return NULL;
        }
        d = encode_member(e, d, name, value);
        Py_DECREF(value);
        if (d == NULL) {
            return wf_json_encode_at_key(e, name);
        }
        *d++ = ',';
    }
    return finish(e, d, '}');
}

/* ---- dates and times ---- */

static char *put_digits(char *d, int v, int n) {
    for (int i = n - 1; i >= 0; i--) {
        d[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return d + n;
}

static char *put_date(char *d, PyObject *o) {
    d = put_digits(d, PyDateTime_GET_YEAR(o), 4);
    *d++ = '-';
    d = put_digits(d, PyDateTime_GET_MONTH(o), 2);
    *d++ = '-';
    return put_digits(d, PyDateTime_GET_DAY(o), 2);
}

static char *put_time(char *d, int hour, int minute, int second, int microsecond) {
    d = put_digits(d, hour, 2);
    *d++ = ':';
    d = put_digits(d, minute, 2);
    *d++ = ':';
    d = put_digits(d, second, 2);
    if (microsecond != 0) {
        *d++ = '.';
        d = put_digits(d, microsecond, 6);
    }
    return d;
}

/* Is it datetime.timezone.utc, whose offset is known without asking? */
static bool is_utc(struct wf_json_state *s, PyObject *tz) {
    if (s->utc == NULL) {
        PyObject *cls;
        if (wf_json_loaded("datetime", "timezone", &cls) == 0 && cls != NULL) {
            s->utc = PyObject_GetAttrString(cls, "utc");
            Py_DECREF(cls);
        }
        PyErr_Clear(); /* then isoformat() is asked */
    }
    return tz == s->utc;
}

/* Exactly datetime, date or time: isoformat() without the call where no time zone has a say. */
static char *encode_datetime(struct encoder *e, char *d, PyObject *o, enum rule_kind kind) {
    bool utc = false;
    (void)PyDateTimeAPI; /* the header's static, which the macros used here do without */
    if (kind != RULE_DATE) {
        PyObject *tz = /* borrowed from o */
            kind == RULE_TIME ? PyDateTime_TIME_GET_TZINFO(o) : PyDateTime_DATE_GET_TZINFO(o);
        utc = tz != Py_None && is_utc(e->s, tz);
        if (tz != Py_None && !utc) {
            return encode_str_stolen(e, d,
                                     PyObject_CallMethodNoArgs(o, e->s->names[NAME_isoformat]));
        }
    }
    d = room(e, d, DATETIME_CHARS_MAX);
    if (d == NULL) {
        return NULL;
    }
    *d++ = '"';
    if (kind != RULE_TIME) {
        d = put_date(d, o);
    }
    if (kind == RULE_DATETIME) {
        *d++ = 'T';
        d = put_time(d, PyDateTime_DATE_GET_HOUR(o), PyDateTime_DATE_GET_MINUTE(o),
                     PyDateTime_DATE_GET_SECOND(o), PyDateTime_DATE_GET_MICROSECOND(o));
    } else if (kind == RULE_TIME) {
        d = put_time(d, PyDateTime_TIME_GET_HOUR(o), PyDateTime_TIME_GET_MINUTE(o),
                     PyDateTime_TIME_GET_SECOND(o), PyDateTime_TIME_GET_MICROSECOND(o));
    }
    if (utc) {
        memcpy(d, "+00:00", 6);
        d += 6;
    }
    *d++ = '"';
    return d;
}

/* ---- other types ---- */

/* Encodes what a call gave instead of the object; `o` is stolen, NULL is passed on. A level, since
 * what it gives may have to be replaced again, without end. */
static char *encode_stolen(struct encoder *e, char *d, PyObject *o) {
    if (o == NULL || enter(e) < 0) {
        Py_XDECREF(o);
        return NULL;
    }
    d = encode(e, d, o);
    if (d != NULL) {
        leave(e);
    }
    Py_DECREF(o);
    return d;
}

/* Can an int have as many digits as a Decimal has, with zeros for a positive exponent? Making one of
 * 1E+1000000 takes a minute, and then it could not be written. 1 or 0, or -1 with an exception. */
static int fits_int(PyObject *digits, PyObject *exponent) {
    enum { ALWAYS = 640, USUALLY = 4300 }; /* the least limit that can be set, and the usual one */
    int overflow;
    long long n = PyLong_AsLongLongAndOverflow(exponent, &overflow);
    if (overflow != 0 || n > INT32_MAX) {
        return 0;
    }
    n += PyTuple_Check(digits) ? PyTuple_GET_SIZE(digits) : 0;
    if (n <= ALWAYS) {
        return 1;
    }
    PyObject *get = PySys_GetObject("get_int_max_str_digits"); /* borrowed */
    PyObject *limit = get != NULL ? PyObject_CallNoArgs(get) : PyLong_FromLong(0);
    long max = limit != NULL ? PyLong_AsLong(limit) : -1;
    Py_XDECREF(limit);
    return max < 0 ? -1 : n <= (max == 0 ? USUALLY : max);
}

/* As FastAPI: an int where it has no digits behind the point, else the nearest float. */
static char *encode_decimal(struct encoder *e, char *d, PyObject *o) {
    PyObject *parts = PyObject_CallMethodNoArgs(o, e->s->names[NAME_as_tuple]);
    PyObject *exponent = parts != NULL ? PyObject_GetAttr(parts, e->s->names[NAME_exponent]) : NULL;
    PyObject *digits = exponent != NULL ? PySequence_GetItem(parts, 1) : NULL;
    int whole = -1, fits = 1;
    if (digits != NULL) {
        /* 'n', 'N' and 'F' are its nan and inf */
        whole = PyLong_Check(exponent) ? PyObject_RichCompareBool(exponent, Py_False, Py_GE) : 0;
        fits = whole == 1 ? fits_int(digits, exponent) : 1;
    }
    Py_XDECREF(parts);
    Py_XDECREF(exponent);
    Py_XDECREF(digits);
    if (whole < 0 || fits < 0) {
        return NULL;
    }
    if (fits == 0) {
        PyErr_SetString(e->s->encode_error, "integer with more digits than "
                                            "sys.get_int_max_str_digits() allows");
        return NULL;
    }
    return encode_stolen(e, d, whole == 1 ? PyNumber_Long(o) : PyNumber_Float(o));
}

static char *encode_model(struct encoder *e, char *d, PyObject *o) {
    PyObject **names = e->s->names;
    PyObject *kwnames = PyTuple_Pack(2, names[NAME_mode], names[NAME_by_alias]);
    if (kwnames == NULL) {
        return NULL;
    }
    PyObject *args[] = {o, names[NAME_json], Py_True};
    PyObject *dump = PyObject_VectorcallMethod(names[NAME_model_dump], args, 1, kwnames);
    Py_DECREF(kwnames);
    return encode_stolen(e, d, dump);
}

/* {"builtin_types": [ObjectId, Int64, ...]}: what msgspec does not know is looked at here. New reference. */
static PyObject *pass_bson_types(void) {
    static const char *const names[][2] = {
        {"bson.objectid", "ObjectId"},
        {"bson.int64", "Int64"},
        {"bson.decimal128", "Decimal128"},
        {"bson.timestamp", "Timestamp"},
        {"bson.binary", "Binary"},
        {"bson.regex", "Regex"},
        {"bson.code", "Code"},
        {"bson.dbref", "DBRef"},
        {"bson.datetime_ms", "DatetimeMS"},
        {"bson.min_key", "MinKey"},
        {"bson.max_key", "MaxKey"},
        {"weft.json", "Raw"},
        {"msgspec", "Raw"},
    };
    PyObject *types = PyList_New(0);
    for (size_t i = 0; types != NULL && i < 2 * WF_ARRAY_LEN(names); i++) {
        const char *const *name = names[i / 2];
        PyObject *cls;
        if (wf_json_loaded(i % 2 == 0 ? name[0] : "weft.bson._classes", name[1], &cls) < 0 ||
            (cls != NULL && PyList_Append(types, cls) < 0)) {
            Py_CLEAR(types);
        }
        Py_XDECREF(cls);
    }
    PyObject *kwargs = types != NULL ? Py_BuildValue("{s:O}", "builtin_types", types) : NULL;
    Py_XDECREF(types);
    return kwargs;
}

/* msgspec.to_builtins(o); a TypeError where BSON's own types are in it, so that then they are let through. */
static PyObject *struct_builtins(PyObject *to_builtins, PyObject *o) {
    PyObject *plain = PyObject_CallOneArg(to_builtins, o);
    if (wf_likely(plain != NULL) || !PyErr_ExceptionMatches(PyExc_TypeError)) {
        return plain;
    }
    PyErr_Clear();
    PyObject *kwargs = pass_bson_types();
    PyObject *args = kwargs != NULL ? PyTuple_Pack(1, o) : NULL;
    plain = args != NULL ? PyObject_Call(to_builtins, args, kwargs) : NULL;
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return plain;
}

static char *encode_struct(struct encoder *e, char *d, PyObject *o) {
    PyObject *to_builtins;
    if (wf_json_loaded("msgspec", "to_builtins", &to_builtins) < 0) {
        return NULL;
    }
    if (to_builtins == NULL) {
        PyErr_SetString(e->s->encode_error, "msgspec has no to_builtins");
        return NULL;
    }
    PyObject *plain = struct_builtins(to_builtins, o);
    Py_DECREF(to_builtins);
    if (plain == NULL &&
        (wf_err_is_bare(PyExc_TypeError) || wf_err_is_bare(PyExc_AttributeError))) {
        PyObject *cause =
            wf_err_take(); /* a type that it does not know, an attribute that is gone */
        PyErr_Format(e->s->encode_error, "%S", cause);
        Py_DECREF(cause);
    }
    return encode_stolen(e, d, plain);
}

static char *encode_by_fallback(struct encoder *e, char *d, PyObject *o) {
    if (e->fallback == NULL || e->fallback_off) {
        PyErr_Format(e->s->encode_error,
                     e->fallback_off ? "keys of type %.200s have no JSON form"
                                     : "objects of type %.200s have no JSON form",
                     Py_TYPE(o)->tp_name);
        return NULL;
    }
    return encode_stolen(e, d, PyObject_CallOneArg(e->fallback, o));
}

/* o is held on to by the caller. */
static WF_NOINLINE char *encode_other(struct encoder *e, char *d, PyObject *o) {
    struct rule rule;
    if (wf_json_rule_find(e->s, Py_TYPE(o), &rule) < 0) {
        return NULL;
    }
    PyObject **names = e->s->names;
    switch (rule.kind) {
    case RULE_NONE:
        d = encode_by_fallback(e, d, o);
        break;
    case RULE_STR:
        d = encode_str(e, d, o);
        break;
    case RULE_INT:
        d = encode_int(e, d, o);
        break;
    case RULE_FLOAT:
        d = encode_double(e, d, PyFloat_AS_DOUBLE(o));
        break;
    case RULE_DICT:
        d = encode_pairs(e, d, PyMapping_Items(o));
        break;
    case RULE_TUPLE:
        d = encode_tuple(e, d, o);
        break;
    case RULE_ITERATE:
        d = encode_iterated(e, d, o);
        break;
    case RULE_FIELDS:
        d = encode_fields(e, d, o, rule.names);
        break;
    case RULE_VALUE:
        d = encode_stolen(e, d, PyObject_GetAttr(o, names[NAME_value]));
        break;
    case RULE_PATTERN:
        d = encode_stolen(e, d, PyObject_GetAttr(o, names[NAME_pattern]));
        break;
    case RULE_TEXT:
        d = encode_str_stolen(e, d, PyObject_Str(o));
        break;
    case RULE_BYTES:
        d = encode_bytes(e, d, o);
        break;
    case RULE_DATETIME:
    case RULE_DATE:
    case RULE_TIME:
        d = encode_datetime(e, d, o, rule.kind);
        break;
    case RULE_ISOFORMAT:
        d = encode_str_stolen(e, d, PyObject_CallMethodNoArgs(o, names[NAME_isoformat]));
        break;
    case RULE_TIMEDELTA:
        d = encode_stolen(e, d, PyObject_CallMethodNoArgs(o, names[NAME_total_seconds]));
        break;
    case RULE_DECIMAL:
        d = encode_decimal(e, d, o);
        break;
    case RULE_MODEL:
        d = encode_model(e, d, o);
        break;
    case RULE_STRUCT:
        d = encode_struct(e, d, o);
        break;
    case RULE_RAW:
        d = wf_json_put_raw(e, d, o);
        break;
    case RULE_NULL:
        d = put_bytes(e, d, "null", 4);
        break;
    }
    Py_XDECREF(rule.names);
    return d;
}

static WF_NOINLINE char *encode_rare(struct encoder *e, char *d, PyObject *o) {
    Py_INCREF(o); /* as above */
    d = PyTuple_CheckExact(o)  ? encode_tuple(e, d, o)
        : PyDict_CheckExact(o) ? encode_pairs(e, d, PyMapping_Items(o))
                               : encode_other(e, d, o);
    Py_DECREF(o);
    return d;
}

/* Its level counts though it has no items. */
WF_ALWAYS_INLINE bool is_empty(struct encoder *e, Py_ssize_t size) {
    return size == 0 && e->depth < WF_JSON_DEPTH_MAX;
}

static WF_NOINLINE char *encode_complex(struct encoder *e, char *d, PyObject *o) {
    PyTypeObject *type = Py_TYPE(o);
    if (type == &PyDict_Type && wf_likely(!e->sort_keys)) {
        return is_empty(e, PyDict_GET_SIZE(o)) ? put_bytes(e, d, "{}", 2) : encode_dict(e, d, o);
    }
    if (type == &PyList_Type) {
        if (PyList_GET_SIZE(o) != 0) {
            return PyList_CheckExact(PyList_GET_ITEM(o, 0)) ? encode_list_of_lists(e, d, o)
                                                            : encode_list(e, d, o);
        }
        return is_empty(e, 0) ? put_bytes(e, d, "[]", 2) : encode_list(e, d, o);
    }
    return encode_rare(e, d, o);
}

static char *encode(struct encoder *e, char *d, PyObject *o) {
    return encode_inline(e, d, o);
}

int wf_json_encode_all(struct encoder *e, PyObject *o) {
    char *d = room(e, e->out.p, 0);
    d = d == NULL ? NULL : encode(e, d, o);
    if (wf_likely(d != NULL)) {
        e->out.p = d;
        return 0;
    }
    while (e->depth > 0) {
        leave(e);
    }
    wf_json_encode_located(e);
    return -1;
}

int wf_json_encode(struct wf_state *state, PyObject *obj, PyObject *fallback, struct wf_buf *out) {
    struct encoder e = {.s = &state->json, .fallback = fallback};
    size_t len = out->len;
    wf_json_buf_open(&e.to_buf, out);
    int rc = wf_json_encode_all(&e, obj);
    wf_json_buf_close(&e.to_buf);
    if (rc < 0) {
        out->len = len;
    }
    return rc;
}
