/* Objects to JSON, straight into the output.
 *
 * JSON's own types are told by their exact type and written here; for others a rule is found once a
 * type (rules.c). Rules may run Python code, which may change or free what is being encoded: what a
 * container holds is held on to before, and containers are measured again after. */
#include "py/json/json_int.h"

#include <datetime.h>
#include <math.h>

#include "base/utf8.h"
#include "wire/json/json_write.h"

enum {
    /* Levels that are free. Beyond, each counts against Python's recursion limit too, so that
     * encoders nested in encoders (by way of default) cannot use up the C stack together. */
    DEPTH_UNCOUNTED = 16,
    FIRST_BYTES = 1024,
    WIDE_BLOCK = 512 /* characters of a str that room is made for at a time */
};

/* A bytes object that grows. Short JSON never meets it: it stays in the caller's `first` buffer. */
struct bytes_out {
    struct wf_json_out out;
    PyObject *bytes; /* owned; NULL while `first` is enough */
};

struct encoder {
    union { /* where it goes; each begins with the wf_json_out */
        struct wf_json_out out;
        struct wf_json_buf_out to_buf;
        struct bytes_out to_bytes;
    };
    struct wf_json_state *s;
    PyObject *fallback; /* borrowed, or NULL */
    unsigned depth;
    bool fallback_off; /* inside a key */
};

static int encode(struct encoder *e, PyObject *o);

static WF_NOINLINE int fail_grow(struct encoder *e, int rc) {
    if (rc == WF_BUF_FULL) {
        PyErr_SetString(e->s->encode_error, "the JSON is larger than its buffer may become");
    } else if (!PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    return -1;
}

static inline int need(struct encoder *e, size_t n) {
    int rc = wf_json_need(&e->out, n);
    return wf_likely(rc == WF_BUF_OK) ? 0 : fail_grow(e, rc);
}

static inline int check(struct encoder *e, int rc) {
    return wf_likely(rc == WF_BUF_OK) ? 0 : fail_grow(e, rc);
}

static inline void put(struct encoder *e, char c) {
    *e->out.p++ = c;
}

static inline int enter(struct encoder *e) {
    if (wf_unlikely(e->depth >= DEPTH_UNCOUNTED)) {
        if (e->depth >= WF_JSON_DEPTH_MAX) {
            PyErr_Format(e->s->encode_error, "nested more than %d deep, or in itself",
                         WF_JSON_DEPTH_MAX);
            return -1;
        }
        if (Py_EnterRecursiveCall(" while encoding JSON") != 0) {
            return -1;
        }
    }
    e->depth++;
    return 0;
}

static inline void leave(struct encoder *e) {
    e->depth--;
    if (wf_unlikely(e->depth >= DEPTH_UNCOUNTED)) {
        Py_LeaveRecursiveCall();
    }
}

/* ---- strings ---- */

WF_ALWAYS_INLINE int encode_wide_as(struct encoder *e, PyObject *str, int kind) {
    const void *data = PyUnicode_DATA(str);
    Py_ssize_t n = PyUnicode_GET_LENGTH(str), i = 0;
    if (need(e, 1) < 0) {
        return -1;
    }
    put(e, '"');
    while (i < n) {
        Py_ssize_t block_end = i + WF_MIN(n - i, (Py_ssize_t)WIDE_BLOCK);
        if (need(e, (size_t)(block_end - i) * 6 + 1) < 0) { /* \u001f is the longest */
            return -1;
        }
        char *d = e->out.p;
        for (; i < block_end; i++) {
            Py_UCS4 c = PyUnicode_READ(kind, data, i);
            if (c < 0x80) {
                if (wf_unlikely(wf_json_escapes[c] != 0)) {
                    d = wf_json_put_escape(d, (unsigned char)c);
                } else {
                    *d++ = (char)c;
                }
            } else if (c < 0x800) {
                *d++ = (char)(0xc0 | c >> 6);
                *d++ = (char)(0x80 | (c & 0x3f));
            } else if (kind == PyUnicode_2BYTE_KIND || c < 0x10000) {
                if (wf_unlikely((c & 0xf800) == 0xd800)) {
                    char hex[8];
                    snprintf(hex, sizeof(hex), "%04X", (unsigned)c);
                    PyErr_Format(e->s->encode_error,
                                 "lone surrogate U+%s at index %zd of a str has no UTF-8", hex, i);
                    return -1;
                }
                *d++ = (char)(0xe0 | c >> 12);
                *d++ = (char)(0x80 | (c >> 6 & 0x3f));
                *d++ = (char)(0x80 | (c & 0x3f));
            } else {
                *d++ = (char)(0xf0 | c >> 18);
                *d++ = (char)(0x80 | (c >> 12 & 0x3f));
                *d++ = (char)(0x80 | (c >> 6 & 0x3f));
                *d++ = (char)(0x80 | (c & 0x3f));
            }
        }
        e->out.p = d;
    }
    put(e, '"');
    return 0;
}

static WF_NOINLINE int encode_wide(struct encoder *e, PyObject *str) {
    if (wf_json_str_ready(str) < 0) {
        return -1;
    }
    if (PyUnicode_IS_ASCII(str)) { /* a subclass of str */
        return check(
            e, wf_json_put_text(&e->out, PyUnicode_DATA(str), (size_t)PyUnicode_GET_LENGTH(str)));
    }
    const PyCompactUnicodeObject *cached = (const PyCompactUnicodeObject *)str;
    if (cached->utf8 != NULL) { /* somebody has made the UTF-8 already */
        return check(e, wf_json_put_text(&e->out, cached->utf8, (size_t)cached->utf8_length));
    }
    switch (PyUnicode_KIND(str)) {
    case PyUnicode_1BYTE_KIND:
        return encode_wide_as(e, str, PyUnicode_1BYTE_KIND);
    case PyUnicode_2BYTE_KIND:
        return encode_wide_as(e, str, PyUnicode_2BYTE_KIND);
    default:
        return encode_wide_as(e, str, PyUnicode_4BYTE_KIND);
    }
}

static inline int encode_str(struct encoder *e, PyObject *str) {
    if (wf_likely(PyUnicode_IS_COMPACT_ASCII(str))) {
        return check(e, wf_json_put_text(&e->out, (const char *)((PyASCIIObject *)str + 1),
                                         (size_t)PyUnicode_GET_LENGTH(str)));
    }
    return encode_wide(e, str);
}

/* str(o) and the like: `str` is stolen; NULL is passed on. */
static int encode_str_stolen(struct encoder *e, PyObject *str) {
    if (str == NULL) {
        return -1;
    }
    int rc = -1;
    if (PyUnicode_Check(str)) {
        rc = encode_str(e, str);
    } else {
        PyErr_Format(PyExc_TypeError, "expected a str, got %.100s", Py_TYPE(str)->tp_name);
    }
    Py_DECREF(str);
    return rc;
}

static int encode_bytes(struct encoder *e, PyObject *bytes) {
    struct wf_span s = wf_span(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    if (!wf_utf8_valid(s)) {
        PyErr_SetString(e->s->encode_error, "bytes that are not UTF-8");
        return -1;
    }
    return check(e, wf_json_put_text(&e->out, s.p, s.n));
}

/* ---- numbers ---- */

static WF_NOINLINE int encode_big_int(struct encoder *e, PyObject *o) {
    PyObject *text = PyLong_Type.tp_repr(o); /* not the subclass's */
    if (text == NULL) {
        if (PyErr_ExceptionMatches(PyExc_ValueError)) {
            wf_json_raise_from(e->s->encode_error, "integer with more digits than "
                                                   "sys.get_int_max_str_digits() allows");
        }
        return -1;
    }
    int rc = check(
        e, wf_json_put_bytes(&e->out, PyUnicode_DATA(text), (size_t)PyUnicode_GET_LENGTH(text)));
    Py_DECREF(text);
    return rc;
}

static inline int encode_int(struct encoder *e, PyObject *o) {
#if PY_VERSION_HEX >= 0x030C0000
    if (wf_likely(PyUnstable_Long_IsCompact((PyLongObject *)o))) {
        return check(e, wf_json_put_i64(&e->out, PyUnstable_Long_CompactValue((PyLongObject *)o)));
    }
#else
    if (wf_likely((size_t)Py_SIZE(o) + 1 <= 2)) { /* -1, 0 or 1 digits of 30 bits */
        int64_t v = Py_SIZE(o) * (int64_t)((PyLongObject *)o)->ob_digit[0];
        return check(e, wf_json_put_i64(&e->out, v));
    }
#endif
    int overflow;
    int64_t v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (wf_unlikely(overflow != 0)) {
        return encode_big_int(e, o);
    }
    return check(e, wf_json_put_i64(&e->out, v));
}

static inline int encode_double(struct encoder *e, double v) {
    if (wf_unlikely(!isfinite(v))) {
        PyErr_Format(e->s->encode_error, "%s has no JSON form",
                     isnan(v) ? "nan"
                     : v > 0  ? "inf"
                              : "-inf");
        return -1;
    }
    return check(e, wf_json_put_double(&e->out, v));
}

/* ---- containers ---- */

/* Containers write a comma behind each item, or a space where they have none, and their end over
 * it. */
static inline int finish(struct encoder *e, char c) {
    e->out.p[-1] = c;
    return need(e, 0); /* many may end at once, and each took a byte of the slack */
}

static int encode_list(struct encoder *e, PyObject *list) {
    if (enter(e) < 0 || need(e, 2) < 0) {
        return -1;
    }
    put(e, '[');
    if (PyList_GET_SIZE(list) == 0) {
        put(e, ' ');
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) { /* it may shrink on the way */
        if (encode(e, PyList_GET_ITEM(list, i)) < 0) {
            return -1;
        }
        put(e, ',');
    }
    leave(e);
    return finish(e, ']');
}

static int encode_tuple(struct encoder *e, PyObject *tuple) {
    if (enter(e) < 0 || need(e, 2) < 0) {
        return -1;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(tuple);
    put(e, '[');
    if (n == 0) {
        put(e, ' ');
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (encode(e, PyTuple_GET_ITEM(tuple, i)) < 0) {
            return -1;
        }
        put(e, ',');
    }
    leave(e);
    return finish(e, ']');
}

static int encode_iterated(struct encoder *e, PyObject *o) {
    if (enter(e) < 0 || need(e, 2) < 0) {
        return -1;
    }
    PyObject *it = PyObject_GetIter(o), *item;
    if (it == NULL) {
        return -1;
    }
    put(e, '[');
    bool empty = true;
    while ((item = PyIter_Next(it)) != NULL) {
        int rc = encode(e, item);
        Py_DECREF(item);
        if (rc < 0) {
            break;
        }
        put(e, ',');
        empty = false;
    }
    Py_DECREF(it);
    if (PyErr_Occurred()) {
        return -1;
    }
    if (empty) {
        put(e, ' ');
    }
    leave(e);
    return finish(e, ']');
}

/* A key that is not exactly a str: what it would be as a value, in quotes. */
static WF_NOINLINE int encode_odd_key(struct encoder *e, PyObject *key) {
    size_t at = (size_t)(e->out.p - e->out.start);
    bool was_off = e->fallback_off;
    e->fallback_off = true;
    int rc = encode(e, key);
    e->fallback_off = was_off;
    if (rc < 0 || need(e, 2) < 0) {
        return -1;
    }
    char *text = e->out.start + at;
    if (*text == '[' || *text == '{') {
        PyErr_Format(e->s->encode_error, "keys of type %.200s have no JSON form",
                     Py_TYPE(key)->tp_name);
        return -1;
    }
    if (*text != '"') {
        memmove(text + 1, text, (size_t)(e->out.p - text));
        *text = '"';
        e->out.p++;
        put(e, '"');
    }
    return 0;
}

/* key, value  borrowed from something that Python code may change */
static inline int encode_member(struct encoder *e, PyObject *key, PyObject *value) {
    int rc;
    if (wf_likely(PyUnicode_CheckExact(key))) {
        rc = encode_str(e, key);
        if (wf_unlikely(rc < 0)) {
            return -1;
        }
        put(e, ':');
        rc = encode(e, value);
    } else {
        Py_INCREF(key);
        Py_INCREF(value);
        rc = encode_odd_key(e, key);
        if (rc == 0) {
            put(e, ':');
            rc = encode(e, value);
        }
        Py_DECREF(key);
        Py_DECREF(value);
    }
    if (wf_likely(rc == 0)) { /* else nobody has seen to the room, and many levels may fail at once */
        put(e, ',');
    }
    return rc;
}

static int encode_dict(struct encoder *e, PyObject *dict) {
    if (enter(e) < 0 || need(e, 2) < 0) {
        return -1;
    }
    Py_ssize_t n = PyDict_GET_SIZE(dict), at = 0;
    PyObject *key, *value; /* borrowed from dict */
    put(e, '{');
    if (n == 0) {
        put(e, ' ');
    }
    while (PyDict_Next(dict, &at, &key, &value)) {
        if (encode_member(e, key, value) < 0) {
            return -1;
        }
        if (wf_unlikely(PyDict_GET_SIZE(dict) != n)) {
            PyErr_SetString(e->s->encode_error, "a dict changed its size while it was encoded");
            return -1;
        }
    }
    leave(e);
    return finish(e, '}');
}

/* A dict whose class may have an order of its own (OrderedDict) or its own items(). */
static int encode_mapping(struct encoder *e, PyObject *o) {
    if (enter(e) < 0 || need(e, 2) < 0) {
        return -1;
    }
    PyObject *items = PyMapping_Items(o); /* a list */
    if (items == NULL) {
        return -1;
    }
    int rc = 0;
    put(e, '{');
    if (PyList_GET_SIZE(items) == 0) {
        put(e, ' ');
    }
    for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(items); i++) {
        PyObject *pair = PyList_GET_ITEM(items, i); /* borrowed: the list is ours */
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "items() must give pairs");
            rc = -1;
            break;
        }
        rc = encode_member(e, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
    }
    Py_DECREF(items);
    if (rc < 0) {
        return -1;
    }
    leave(e);
    return finish(e, '}');
}

/* The attributes `names` of o, in order. */
static int encode_fields(struct encoder *e, PyObject *o, PyObject *names) {
    if (enter(e) < 0 || need(e, 2) < 0) {
        return -1;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(names);
    put(e, '{');
    if (n == 0) {
        put(e, ' ');
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i); /* borrowed from names */
        PyObject *value = PyObject_GetAttr(o, name);
        int rc = value == NULL ? -1 : encode_member(e, name, value);
        Py_XDECREF(value);
        if (rc < 0) {
            return -1;
        }
    }
    leave(e);
    return finish(e, '}');
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
static int encode_datetime(struct encoder *e, PyObject *o, enum rule_kind kind) {
    char text[40];
    char *d = text;
    bool utc = false;
    (void)PyDateTimeAPI; /* the header's static, which the macros used here do without */
    if (kind != RULE_DATE) {
        PyObject *tz = /* borrowed from o */
            kind == RULE_TIME ? PyDateTime_TIME_GET_TZINFO(o) : PyDateTime_DATE_GET_TZINFO(o);
        utc = tz != Py_None && is_utc(e->s, tz);
        if (tz != Py_None && !utc) {
            return encode_str_stolen(e, PyObject_CallMethodNoArgs(o, e->s->names[NAME_isoformat]));
        }
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
    return check(e, wf_json_put_bytes(&e->out, text, (size_t)(d - text)));
}

/* ---- other types ---- */

/* Encodes what a call gave instead of the object; `o` is stolen, NULL is passed on. A level, since
 * what it gives may have to be replaced again, without end. */
static int encode_stolen(struct encoder *e, PyObject *o) {
    if (o == NULL) {
        return -1;
    }
    int rc = enter(e);
    if (rc == 0) {
        rc = encode(e, o);
        if (rc == 0) {
            leave(e);
        }
    }
    Py_DECREF(o);
    return rc;
}

/* As FastAPI: an int where it has no digits behind the point, else the nearest float. */
static int encode_decimal(struct encoder *e, PyObject *o) {
    PyObject *parts = PyObject_CallMethodNoArgs(o, e->s->names[NAME_as_tuple]);
    PyObject *exponent = parts != NULL ? PyObject_GetAttr(parts, e->s->names[NAME_exponent]) : NULL;
    Py_XDECREF(parts);
    if (exponent == NULL) {
        return -1;
    }
    /* 'n', 'N' and 'F' are its nan and inf */
    bool whole = PyLong_Check(exponent) && PyObject_RichCompareBool(exponent, Py_False, Py_GE) == 1;
    Py_DECREF(exponent);
    return encode_stolen(e, whole ? PyNumber_Long(o) : PyNumber_Float(o));
}

static int encode_model(struct encoder *e, PyObject *o) {
    PyObject **names = e->s->names;
    PyObject *kwnames = PyTuple_Pack(2, names[NAME_mode], names[NAME_by_alias]);
    if (kwnames == NULL) {
        return -1;
    }
    PyObject *args[] = {o, names[NAME_json], Py_True};
    PyObject *dump = PyObject_VectorcallMethod(names[NAME_model_dump], args, 1, kwnames);
    Py_DECREF(kwnames);
    return encode_stolen(e, dump);
}

static int encode_struct(struct encoder *e, PyObject *o) {
    PyObject *to_builtins;
    if (wf_json_loaded("msgspec", "to_builtins", &to_builtins) < 0) {
        return -1;
    }
    if (to_builtins == NULL) {
        PyErr_SetString(e->s->encode_error, "msgspec has no to_builtins");
        return -1;
    }
    PyObject *plain = PyObject_CallOneArg(to_builtins, o);
    Py_DECREF(to_builtins);
    return encode_stolen(e, plain);
}

static int encode_by_fallback(struct encoder *e, PyObject *o) {
    if (e->fallback == NULL || e->fallback_off) {
        PyErr_Format(e->s->encode_error,
                     e->fallback_off ? "keys of type %.200s have no JSON form"
                                     : "objects of type %.200s have no JSON form",
                     Py_TYPE(o)->tp_name);
        return -1;
    }
    return encode_stolen(e, PyObject_CallOneArg(e->fallback, o));
}

/* o is held on to by the caller. */
static WF_NOINLINE int encode_other(struct encoder *e, PyObject *o) {
    struct rule rule;
    if (wf_json_rule_find(e->s, Py_TYPE(o), &rule) < 0) {
        return -1;
    }
    PyObject **names = e->s->names;
    int rc = -1;
    switch (rule.kind) {
    case RULE_NONE:
        rc = encode_by_fallback(e, o);
        break;
    case RULE_STR:
        rc = encode_str(e, o);
        break;
    case RULE_INT:
        rc = encode_int(e, o);
        break;
    case RULE_FLOAT:
        rc = encode_double(e, PyFloat_AS_DOUBLE(o));
        break;
    case RULE_DICT:
        rc = encode_mapping(e, o);
        break;
    case RULE_TUPLE:
        rc = encode_tuple(e, o);
        break;
    case RULE_ITERATE:
        rc = encode_iterated(e, o);
        break;
    case RULE_FIELDS:
        rc = encode_fields(e, o, rule.names);
        break;
    case RULE_VALUE:
        rc = encode_stolen(e, PyObject_GetAttr(o, names[NAME_value]));
        break;
    case RULE_PATTERN:
        rc = encode_stolen(e, PyObject_GetAttr(o, names[NAME_pattern]));
        break;
    case RULE_TEXT:
        rc = encode_str_stolen(e, PyObject_Str(o));
        break;
    case RULE_BYTES:
        rc = encode_bytes(e, o);
        break;
    case RULE_DATETIME:
    case RULE_DATE:
    case RULE_TIME:
        rc = encode_datetime(e, o, rule.kind);
        break;
    case RULE_ISOFORMAT:
        rc = encode_str_stolen(e, PyObject_CallMethodNoArgs(o, names[NAME_isoformat]));
        break;
    case RULE_TIMEDELTA:
        rc = encode_stolen(e, PyObject_CallMethodNoArgs(o, names[NAME_total_seconds]));
        break;
    case RULE_DECIMAL:
        rc = encode_decimal(e, o);
        break;
    case RULE_MODEL:
        rc = encode_model(e, o);
        break;
    case RULE_STRUCT:
        rc = encode_struct(e, o);
        break;
    case RULE_NULL:
        rc = check(e, wf_json_put_bytes(&e->out, "null", 4));
        break;
    }
    Py_XDECREF(rule.names);
    return rc;
}

/* Writes o, and leaves room for some punctuation. On failure depth is not restored: it is over.
 * o  borrowed, and held on to where Python code may run: what is behind the first five runs none */
static int encode(struct encoder *e, PyObject *o) {
    PyTypeObject *type = Py_TYPE(o);
    if (type == &PyUnicode_Type) {
        return encode_str(e, o);
    }
    if (type == &PyLong_Type) {
        return encode_int(e, o);
    }
    if (type == &PyFloat_Type) {
        return encode_double(e, PyFloat_AS_DOUBLE(o));
    }
    if (o == Py_None) {
        return check(e, wf_json_put_bytes(&e->out, "null", 4));
    }
    if (type == &PyBool_Type) {
        return o == Py_True ? check(e, wf_json_put_bytes(&e->out, "true", 4))
                            : check(e, wf_json_put_bytes(&e->out, "false", 5));
    }
    Py_INCREF(o);
    int rc = type == &PyDict_Type    ? encode_dict(e, o)
             : type == &PyList_Type  ? encode_list(e, o)
             : type == &PyTuple_Type ? encode_tuple(e, o)
                                     : encode_other(e, o);
    Py_DECREF(o);
    return rc;
}

/* The whole of it: 0 or -1, with the levels that a failure left given back. */
static int encode_all(struct encoder *e, PyObject *o) {
    int rc = encode(e, o);
    while (wf_unlikely(e->depth > 0)) {
        leave(e);
    }
    return rc;
}

int wf_json_encode(struct wf_state *state, PyObject *obj, PyObject *fallback, struct wf_buf *out) {
    struct encoder e = {.s = &state->json, .fallback = fallback};
    size_t len = out->len;
    wf_json_buf_open(&e.to_buf, out);
    int rc = encode_all(&e, obj);
    wf_json_buf_close(&e.to_buf);
    if (rc < 0) {
        out->len = len;
    }
    return rc;
}

/* ---- weft.json.encode ---- */

static int bytes_grow(struct wf_json_out *o, size_t extra) {
    struct bytes_out *self = wf_container_of(o, struct bytes_out, out);
    size_t used = (size_t)(o->p - o->start), cap = (size_t)(o->end - o->start);
    if (extra > (size_t)PY_SSIZE_T_MAX / 2 - used) {
        return WF_BUF_NOMEM;
    }
    cap = WF_MAX(cap * 2, used + extra);
    if (self->bytes == NULL) {
        self->bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)cap);
        if (self->bytes != NULL) {
            memcpy(PyBytes_AS_STRING(self->bytes), o->start, used);
        }
    } else if (_PyBytes_Resize(&self->bytes, (Py_ssize_t)cap) < 0) {
        return WF_BUF_NOMEM; /* bytes is NULL now */
    }
    if (self->bytes == NULL) {
        return WF_BUF_NOMEM;
    }
    o->start = PyBytes_AS_STRING(self->bytes);
    o->p = o->start + used;
    o->end = o->start + cap;
    return WF_BUF_OK;
}

static PyObject *encode_to_bytes(struct wf_json_state *s, PyObject *obj, PyObject *fallback) {
    char first[FIRST_BYTES];
    struct encoder e = {.s = s, .fallback = fallback};
    e.to_bytes = (struct bytes_out){
        .out = {.start = first, .p = first, .end = first + sizeof(first), .grow = bytes_grow}};
    if (encode_all(&e, obj) < 0) {
        Py_XDECREF(e.to_bytes.bytes);
        return NULL;
    }
    Py_ssize_t n = e.out.p - e.out.start;
    if (e.to_bytes.bytes == NULL) {
        return PyBytes_FromStringAndSize(first, n);
    }
    _PyBytes_Resize(&e.to_bytes.bytes, n); /* NULL with MemoryError where it fails */
    return e.to_bytes.bytes;
}

PyObject *wf_json_py_encode(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames) {
    PyObject *fallback = NULL; /* borrowed from the caller */
    Py_ssize_t named = kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0;
    if (nargs != 1) {
        PyErr_Format(PyExc_TypeError, "encode() takes 1 positional argument but %zd were given",
                     nargs);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_CompareWithASCIIString(name, "default") != 0) {
            PyErr_Format(PyExc_TypeError, "encode() got an unexpected keyword argument %R", name);
            return NULL;
        }
        fallback = args[nargs + i] != Py_None ? args[nargs + i] : NULL;
    }
    return encode_to_bytes(&wf_state_of_module(module)->json, args[0], fallback);
}
