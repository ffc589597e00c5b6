/* The scalars that are not JSON's own, and whether a value is of a node. */
#include "py/shape/encode_json_int.h"

#include <datetime.h>

#include "base/utf8.h"
#include "wire/base64/base64.h"

static PyDateTime_CAPI *datetime_of(struct typed *t) {
    (void)PyDateTimeAPI; /* datetime.h's static of this file; ours is the state's */
    return t->w.state->shape.datetime;
}

static bool is_type(PyObject *o, PyTypeObject *type, bool exactly) {
    return type != NULL && (exactly ? Py_IS_TYPE(o, type) : PyObject_TypeCheck(o, type));
}

static const struct wf_choice *choice_of(const struct wf_node *n, PyObject *o) {
    for (unsigned i = 0; i < n->n; i++) {
        if (n->choices[i].value == o) {
            return &n->choices[i];
        }
    }
    if (n->type != NULL) { /* members of an enum are what they are */
        return NULL;
    }
    for (unsigned i = 0; i < n->n; i++) {
        PyObject *value = n->choices[i].value;
        if (Py_IS_TYPE(o, Py_TYPE(value)) && (PyUnicode_CheckExact(o) || PyLong_CheckExact(o)) &&
            PyObject_RichCompareBool(value, o, Py_EQ) == 1) {
            return &n->choices[i];
        }
    }
    return NULL;
}

/* A member of an enum that is none of the choices: of flags, or one that _missing_ has made. */
static bool is_other_member(const struct wf_node *n, PyObject *o) {
    return n->call != NULL && (PyObject *)Py_TYPE(o) == n->type;
}

/* What it stands for. */
static char *put_other_member(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    PyObject *value = PyObject_GetAttrString(o, "value");
    if (value == NULL) {
        return NULL;
    }
    d = PyUnicode_CheckExact(value) ? encode_str(&t->e, d, value)
        : PyLong_CheckExact(value)  ? wf_json_encode_big_int(&t->e, d, value)
                                    : json_put_other(t, d, n, o);
    Py_DECREF(value);
    return d;
}

bool json_is_of(struct typed *t, const struct wf_node *n, PyObject *o, bool exactly) {
    struct wf_shape_state *s = &t->w.state->shape;
    PyDateTime_CAPI *api = datetime_of(t);
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_ANY:
        return true;
    case WF_NODE_NONE:
        return o == Py_None;
    case WF_NODE_BOOL:
        return PyBool_Check(o);
    case WF_NODE_INT:
        return exactly ? PyLong_CheckExact(o) : PyLong_Check(o);
    case WF_NODE_FLOAT:
        return exactly ? PyFloat_CheckExact(o) : PyFloat_Check(o) || PyLong_Check(o);
    case WF_NODE_STR:
        return exactly ? PyUnicode_CheckExact(o) : PyUnicode_Check(o);
    case WF_NODE_BYTES:
        return exactly ? (PyObject *)Py_TYPE(o) == n->type
                       : PyBytes_Check(o) || PyByteArray_Check(o);
    case WF_NODE_DATETIME:
        return is_type(o, api->DateTimeType, exactly);
    case WF_NODE_DATE:
        return is_type(o, api->DateType, exactly) && !is_type(o, api->DateTimeType, false);
    case WF_NODE_TIME:
        return is_type(o, api->TimeType, exactly);
    case WF_NODE_TIMEDELTA:
        return is_type(o, api->DeltaType, exactly);
    case WF_NODE_UUID:
        return is_type(o, s->uuid_type, exactly);
    case WF_NODE_DECIMAL:
        return is_type(o, (PyTypeObject *)s->decimal_type, exactly);
    case WF_NODE_CHOICE:
        return choice_of(n, o) != NULL || is_other_member(n, o);
    case WF_NODE_OBJECTID:
    case WF_NODE_TEXT:
    case WF_NODE_RAW:
    case WF_NODE_HOOK:
        return is_type(o, (PyTypeObject *)n->type, false);
    case WF_NODE_LIST:
        return exactly ? PyList_CheckExact(o) : PyList_Check(o) || PyTuple_Check(o);
    case WF_NODE_VARTUPLE:
        return exactly ? PyTuple_CheckExact(o) : PyTuple_Check(o) || PyList_Check(o);
    case WF_NODE_TUPLE:
        return PyTuple_CheckExact(o) && (size_t)PyTuple_GET_SIZE(o) == n->n;
    case WF_NODE_SET:
        return exactly ? PySet_CheckExact(o) : PyAnySet_Check(o);
    case WF_NODE_FROZENSET:
        return exactly ? PyFrozenSet_CheckExact(o) : PyAnySet_Check(o);
    case WF_NODE_DEQUE:
        return is_type(o, (PyTypeObject *)s->deque, exactly);
    case WF_NODE_DICT:
        return exactly ? PyDict_CheckExact(o) : PyDict_Check(o);
    case WF_NODE_OBJECT:
        return n->object.make == WF_MAKE_DICT ? PyDict_Check(o)
                                              : is_type(o, (PyTypeObject *)n->type, exactly);
    case WF_NODE_UNION:
        for (unsigned i = 0; i < n->n; i++) {
            if (json_is_of(t, n->one_of.members[i], o, exactly)) {
                return true;
            }
        }
        return false;
    case WF_NODE_TAGGED:
        for (unsigned i = 0; i < n->tagged.n; i++) {
            if (json_is_of(t, n->tagged.nodes[i], o, exactly)) {
                return true;
            }
        }
        return false;
    case WF_NODE_HANDED:
    case WF_NODE_SERIALIZER:
        return !exactly;
    case WF_NODE_AFTER: /* of input alone */
    case WF_NODE_KIND_COUNT:
        break;
    }
    return false;
}

/* ---- numbers ---- */

/* Its digits are repr's, whose exponents have a sign and two digits at least, as in 1e+16 and 1e-07, and
 * begin at 1e-05. */
char *wf_json_write_typed_double(char *d, double v, bool pydantic) {
    double size = fabs(v);
    if (wf_likely((size >= 1e-4 && size < 1e16) || size == 0)) {
        return d + wf_double_write(d, v);
    }
    if (!isfinite(v)) {
        memcpy(d, "null", 4);
        return d + 4;
    }
    char text[WF_DOUBLE_CHARS_MAX];
    size_t length = wf_double_write(text, v);
    const char *e = memchr(text, 'e', length);
    if (e == NULL) {
        memcpy(d, text, length);
        return d + length;
    }
    size_t mantissa = (size_t)(e - text);
    const char *exponent = e + 1, *end = text + length;
    bool negative = *exponent == '-';
    exponent += *exponent == '-' || *exponent == '+';
    while (exponent + 1 < end && *exponent == '0') {
        exponent++;
    }
    if (negative && end - exponent == 1 && *exponent == '5') { /* 1.5e-05 is 0.000015 */
        const char *digits = text;
        if (*digits == '-') {
            *d++ = *digits++;
        }
        memcpy(d, "0.0000", 6);
        d += 6;
        for (; digits < e; digits++) {
            if (*digits != '.') {
                *d++ = *digits;
            }
        }
        return d;
    }
    memcpy(d, text, mantissa + 1);
    d += mantissa + 1;
    if (negative) {
        *d++ = '-';
    } else if (pydantic) {
        *d++ = '+';
    }
    memcpy(d, exponent, (size_t)(end - exponent));
    return d + (end - exponent);
}

char *json_put_double(struct typed *t, char *d, const struct wf_node *n, double v) {
    d = room(&t->e, d, WF_DOUBLE_CHARS_MAX);
    return wf_likely(d != NULL)
               ? wf_json_write_typed_double(d, v, (n->flags & WF_NODE_PYDANTIC) != 0)
               : NULL;
}

/* An int where a float is expected: pydantic makes it one. */
static char *put_int_as_float(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    if (!(n->flags & WF_NODE_PYDANTIC)) {
        return encode_int(&t->e, d, o);
    }
    int overflow;
    long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow != 0 || v > (1LL << 53) || v < -(1LL << 53)) {
        return json_put_other(t, d, n, o);
    }
    return json_put_double(t, d, n, (double)v);
}

/* str(o) of a type that says its JSON by it. */
static char *put_str_of(struct typed *t, char *d, PyObject *o) {
    PyObject *str = PyObject_Str(o);
    d = str != NULL ? encode_str(&t->e, d, str) : NULL;
    Py_XDECREF(str);
    return d;
}

static char *put_decimal(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    if (t->judged) { /* nan and infinity are not valid */
        PyObject *finite = PyObject_CallMethod(o, "is_finite", NULL);
        bool yes = finite == Py_True;
        Py_XDECREF(finite);
        if (!yes) {
            PyErr_Clear();
            return unproved(t);
        }
    }
    (void)n;
    return put_str_of(t, d, o);
}

/* ---- bytes ---- */

static char *put_bytes_of(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    const bool array = PyByteArray_Check(o);
    const char *s = array ? PyByteArray_AS_STRING(o) : PyBytes_AS_STRING(o);
    size_t size = (size_t)(array ? PyByteArray_GET_SIZE(o) : PyBytes_GET_SIZE(o));
    if (!(n->flags & WF_NODE_BASE64)) {
        return wf_utf8_valid(wf_span(s, size)) ? put_text(&t->e, d, s, size, false)
                                               : json_put_other(t, d, n, o);
    }
    if ((d = room(&t->e, d, WF_BASE64_CHARS(size) + 2)) == NULL) {
        return NULL;
    }
    *d++ = '"';
    d += wf_base64_encode(d, wf_span(s, size));
    *d++ = '"';
    return d;
}

static char *put_uuid(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    PyObject *number = *(PyObject **)((char *)o + t->w.state->shape.uuid_int); /* borrowed */
    unsigned char bytes[16];
    if (number == NULL || !PyLong_CheckExact(number)) {
        return json_put_other(t, d, n, o);
    }
#if PY_VERSION_HEX >= 0x030D0000
    Py_ssize_t size = PyLong_AsNativeBytes(
        number, bytes, 16, Py_ASNATIVEBYTES_BIG_ENDIAN | Py_ASNATIVEBYTES_UNSIGNED_BUFFER);
    int rc = size >= 0 && size <= 17 ? 0 : -1;
#else
    int rc = _PyLong_AsByteArray((PyLongObject *)number, bytes, 16, 0, 0);
#endif
    if (rc < 0) {
        PyErr_Clear();
        return json_put_other(t, d, n, o);
    }
    if ((d = room(&t->e, d, WF_SCALAR_TEXT_MAX)) == NULL) {
        return NULL;
    }
    *d++ = '"';
    d += wf_uuid_write(d, bytes);
    *d++ = '"';
    return d;
}

/* ---- dates and times ---- */

/* A subclass of datetime or time may say anything: CPython looks at what a tzinfo says alone. */
static int bad_offset(struct typed *t, const struct wf_node *n, bool *known) {
    *known = false;
    if (n->dump != NULL) {
        return 1;
    }
    PyErr_SetString(t->e.s->encode_error, "utcoffset() is no timedelta of less than a day");
    return -1;
}

/* The offset of what has a time zone. 1, 0 for none, -1 with an exception; *known is false where only
 * pydantic, or nobody, can say how it is written. */
static int read_offset(struct typed *t, const struct wf_node *n, PyObject *o, PyObject *tz,
                       struct wf_time *out, bool *known) {
    struct wf_shape_state *s = &t->w.state->shape;
    PyDateTime_CAPI *api = datetime_of(t);
    if (tz == Py_None) {
        return 0;
    }
    out->has_offset = true;
    if (tz == api->TimeZone_UTC || tz == s->tz_utc) {
        return 1;
    }
    if (t->judged) { /* it may be code of the application */
        *known = false;
        return 0;
    }
    PyObject *delta = PyObject_CallMethod(o, "utcoffset", NULL);
    if (delta == NULL) {
        return -1;
    }
    if (delta == Py_None) {
        out->has_offset = false;
    } else if (!PyObject_TypeCheck(delta, api->DeltaType) ||
               (unsigned)PyDateTime_DELTA_GET_DAYS(delta) + 1 > 1) { /* not -1 or 0 */
        Py_DECREF(delta);
        return bad_offset(t, n, known);
    } else {
        out->offset_s =
            PyDateTime_DELTA_GET_DAYS(delta) * 86400 + PyDateTime_DELTA_GET_SECONDS(delta);
        *known = out->offset_s % 60 == 0 && PyDateTime_DELTA_GET_MICROSECONDS(delta) == 0;
    }
    Py_DECREF(delta);
    return 1;
}

static void read_date(PyObject *o, struct wf_date *out) {
    out->year = PyDateTime_GET_YEAR(o);
    out->month = PyDateTime_GET_MONTH(o);
    out->day = PyDateTime_GET_DAY(o);
}

static char *put_times(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    struct wf_datetime v = {.time = {.has_offset = false}};
    bool known = true;
    int rc = 0;
    if (n->kind == WF_NODE_DATETIME) {
        v.time.hour = PyDateTime_DATE_GET_HOUR(o);
        v.time.minute = PyDateTime_DATE_GET_MINUTE(o);
        v.time.second = PyDateTime_DATE_GET_SECOND(o);
        v.time.microsecond = (uint32_t)PyDateTime_DATE_GET_MICROSECOND(o);
        rc = read_offset(t, n, o, PyDateTime_DATE_GET_TZINFO(o), &v.time, &known);
    } else if (n->kind == WF_NODE_TIME) {
        v.time.hour = PyDateTime_TIME_GET_HOUR(o);
        v.time.minute = PyDateTime_TIME_GET_MINUTE(o);
        v.time.second = PyDateTime_TIME_GET_SECOND(o);
        v.time.microsecond = (uint32_t)PyDateTime_TIME_GET_MICROSECOND(o);
        rc = read_offset(t, n, o, PyDateTime_TIME_GET_TZINFO(o), &v.time, &known);
    }
    if (rc < 0) {
        return NULL;
    }
    if (!known && n->dump != NULL) {
        return json_put_other(t, d, n, o);
    }
    if ((d = room(&t->e, d, WF_SCALAR_TEXT_MAX)) == NULL) {
        return NULL;
    }
    *d++ = '"';
    if (n->kind == WF_NODE_TIME) {
        d += wf_time_write(d, &v.time);
    } else {
        read_date(o, &v.date);
        d += n->kind == WF_NODE_DATE ? wf_date_write(d, &v.date) : wf_datetime_write(d, &v);
    }
    *d++ = '"';
    return d;
}

/* As msgspec has it: days, and seconds with their fraction. */
static size_t write_duration(char *out, const struct wf_timedelta *v) {
    int64_t days = v->days, seconds = v->seconds, micro = v->microseconds;
    char *d = out;
    if (days < 0) {
        *d++ = '-';
        int64_t all = -(days * 86400 + seconds); /* positive, but for the fraction */
        if (micro != 0) {
            all -= 1;
            micro = 1000000 - micro;
        }
        days = all / 86400;
        seconds = all % 86400;
    }
    *d++ = 'P';
    if (days != 0 || (seconds == 0 && micro == 0)) {
        d += wf_i64_write(d, days);
        *d++ = 'D';
    }
    if (seconds != 0 || micro != 0) {
        *d++ = 'T';
        d += wf_i64_write(d, seconds);
        if (micro != 0) {
            *d++ = '.';
            for (int64_t scale = 100000; micro != 0; scale /= 10) {
                *d++ = (char)('0' + micro / scale);
                micro %= scale;
            }
        }
        *d++ = 'S';
    }
    return (size_t)(d - out);
}

static char *put_timedelta(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    struct wf_timedelta v = {.days = PyDateTime_DELTA_GET_DAYS(o),
                             .seconds = PyDateTime_DELTA_GET_SECONDS(o),
                             .microseconds = PyDateTime_DELTA_GET_MICROSECONDS(o)};
    if ((d = room(&t->e, d, WF_SCALAR_TEXT_MAX)) == NULL) {
        return NULL;
    }
    *d++ = '"';
    d += n->flags & WF_NODE_PYDANTIC ? wf_timedelta_write(d, &v) : write_duration(d, &v);
    *d++ = '"';
    return d;
}

/* ---- all of them ---- */

char *json_put_scalar(struct typed *t, char *d, const struct wf_node *n, PyObject *o) {
    const bool exactly = n->dump != NULL;
    if (n->kind == WF_NODE_FLOAT && PyLong_CheckExact(o)) {
        return put_int_as_float(t, d, n, o);
    }
    if (n->kind == WF_NODE_CHOICE) {
        const struct wf_choice *c = choice_of(n, o);
        return c != NULL               ? put_bytes(&t->e, d, c->json.p, c->json.n)
               : is_other_member(n, o) ? put_other_member(t, d, n, o)
                                       : json_put_other(t, d, n, o);
    }
    if (!json_is_of(t, n, o, exactly) || (n->kind == WF_NODE_OBJECTID && n->dump != NULL)) {
        return json_put_other(t, d, n, o); /* pydantic has no JSON of an ObjectId */
    }
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_NONE:
    case WF_NODE_BOOL:
        return encode_constant(&t->e, d, o);
    case WF_NODE_INT:
        return PyBool_Check(o) ? encode_constant(&t->e, d, o) : wf_json_encode_big_int(&t->e, d, o);
    case WF_NODE_FLOAT:
        if (PyFloat_Check(o)) {
            return json_put_double(t, d, n, PyFloat_AS_DOUBLE(o));
        }
        return PyBool_Check(o) ? encode_constant(&t->e, d, o) : wf_json_encode_big_int(&t->e, d, o);
    case WF_NODE_STR:
        return encode_str(&t->e, d, o);
    case WF_NODE_BYTES:
        return put_bytes_of(t, d, n, o);
    case WF_NODE_DATETIME:
    case WF_NODE_DATE:
    case WF_NODE_TIME:
        return put_times(t, d, n, o);
    case WF_NODE_TIMEDELTA:
        return put_timedelta(t, d, n, o);
    case WF_NODE_UUID:
        return put_uuid(t, d, n, o);
    case WF_NODE_DECIMAL:
        return put_decimal(t, d, n, o);
    case WF_NODE_OBJECTID:
    case WF_NODE_TEXT:
        return put_str_of(t, d, o);
    default:
        Py_UNREACHABLE();
    }
}
