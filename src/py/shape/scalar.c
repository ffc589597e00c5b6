/* Scalars: of C values, and of text. Two grammars: pydantic's (wire/scalar), and for everybody else
 * the strict one of RFC 3339, ISO 8601 durations and RFC 4648, as msgspec reads them. */
#include "py/shape/shape_int.h"

#include <datetime.h>

#include "base/num.h"
#include "py/bson/bson.h"
#include "py/json/json_make.h"
#include "wire/base64/base64.h"
#include "wire/bson/bson.h"

static int prepare_uuid(struct wf_shape_state *s) {
    if (s->uuid_type != NULL) {
        return 0;
    }
    PyObject *type = shape_import("uuid", "UUID");
    PyObject *safe = shape_import("uuid", "SafeUUID");
    PyObject *unknown = safe != NULL ? PyObject_GetAttrString(safe, "unknown") : NULL;
    Py_ssize_t offsets[2] = {0, 0};
    static const char *const names[] = {"int", "is_safe"};
    for (int i = 0; i < 2 && type != NULL && unknown != NULL; i++) {
        PyObject *descr = PyObject_GetAttrString(type, names[i]);
        if (descr != NULL && Py_IS_TYPE(descr, &PyMemberDescr_Type)) {
            offsets[i] = ((PyMemberDescrObject *)descr)->d_member->offset;
        } else if (descr != NULL) {
            PyErr_SetString(PyExc_TypeError, "uuid.UUID is not as expected");
        }
        Py_XDECREF(descr);
    }
    Py_XDECREF(safe);
    if (PyErr_Occurred()) {
        Py_XDECREF(type);
        Py_XDECREF(unknown);
        return -1;
    }
    s->uuid_type = (PyTypeObject *)type;
    s->safe_unknown = unknown;
    s->uuid_int = offsets[0];
    s->uuid_is_safe = offsets[1];
    return 0;
}

static int prepare_times(struct wf_shape_state *s, bool pydantic) {
    (void)
        PyDateTimeAPI; /* datetime.h's static of this file; ours is the state's, one an interpreter */
    if (s->datetime == NULL &&
        (s->datetime = PyCapsule_Import(PyDateTime_CAPSULE_NAME, 0)) == NULL) {
        return -1;
    }
    if (!pydantic || s->tz_utc != NULL) {
        return 0;
    }
    PyObject *tz_info = shape_import("pydantic_core", "TzInfo");
    PyObject *utc = tz_info != NULL ? PyObject_CallFunction(tz_info, "i", 0) : NULL;
    if (utc == NULL) {
        Py_XDECREF(tz_info);
        return -1;
    }
    Py_XSETREF(s->tz_info, tz_info);
    s->tz_utc = utc;
    return 0;
}

int shape_prepare(struct wf_state *state, enum wf_node_kind kind, bool pydantic) {
    struct wf_shape_state *s = &state->shape;
    PyObject **object = NULL;
    const char *module = "", *name = "";
    switch (kind) {
    case WF_NODE_UUID:
        return prepare_uuid(s);
    case WF_NODE_DATETIME:
    case WF_NODE_DATE:
    case WF_NODE_TIME:
    case WF_NODE_TIMEDELTA:
        return prepare_times(s, pydantic);
    case WF_NODE_DECIMAL:
        object = &s->decimal_type;
        module = "decimal";
        name = "Decimal";
        break;
    case WF_NODE_DEQUE:
        object = &s->deque;
        module = "collections";
        name = "deque";
        break;
    case WF_NODE_OBJECT:
        object = &s->deepcopy;
        module = "copy";
        name = "deepcopy";
        break;
    default:
        return 0;
    }
    if (*object == NULL) {
        *object = shape_import(module, name);
    }
    return *object != NULL ? 0 : -1;
}

/* ---- of C values ---- */

PyObject *wf_make_uuid(struct wf_state *state, const uint8_t bytes[16]) {
    struct wf_shape_state *s = &state->shape;
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *number = PyLong_FromUnsignedNativeBytes(bytes, 16, Py_ASNATIVEBYTES_BIG_ENDIAN);
#else
    PyObject *number = _PyLong_FromByteArray(bytes, 16, 0, 0);
#endif
    PyObject *uuid = number != NULL ? s->uuid_type->tp_alloc(s->uuid_type, 0) : NULL;
    if (uuid == NULL) {
        Py_XDECREF(number);
        return NULL;
    }
    *(PyObject **)((char *)uuid + s->uuid_int) = number;
    *(PyObject **)((char *)uuid + s->uuid_is_safe) = Py_NewRef(s->safe_unknown);
    return uuid;
}

PyObject *wf_make_date(struct wf_state *state, const struct wf_date *v) {
    PyDateTime_CAPI *api = state->shape.datetime;
    return api->Date_FromDate(v->year, v->month, v->day, api->DateType);
}

/* The tzinfo of an offset (owned), or None where there is none. */
static PyObject *make_zone(struct wf_shape_state *s, const struct wf_time *v, bool pydantic) {
    PyDateTime_CAPI *api = s->datetime;
    if (!v->has_offset) {
        return Py_NewRef(Py_None);
    }
    if (pydantic) {
        return v->offset_s == 0 ? Py_NewRef(s->tz_utc)
                                : PyObject_CallFunction(s->tz_info, "i", (int)v->offset_s);
    }
    if (v->offset_s == 0) {
        return Py_NewRef(api->TimeZone_UTC);
    }
    PyObject *delta = api->Delta_FromDelta(0, v->offset_s, 0, 1, api->DeltaType);
    PyObject *zone = delta != NULL ? api->TimeZone_FromTimeZone(delta, NULL) : NULL;
    Py_XDECREF(delta);
    return zone;
}

PyObject *wf_make_time(struct wf_state *state, const struct wf_time *v, bool pydantic) {
    PyDateTime_CAPI *api = state->shape.datetime;
    PyObject *zone = make_zone(&state->shape, v, pydantic);
    if (zone == NULL) {
        return NULL;
    }
    PyObject *time =
        api->Time_FromTime(v->hour, v->minute, v->second, (int)v->microsecond, zone, api->TimeType);
    Py_DECREF(zone);
    return time;
}

PyObject *wf_make_datetime(struct wf_state *state, const struct wf_datetime *v, bool pydantic) {
    PyDateTime_CAPI *api = state->shape.datetime;
    const struct wf_time *t = &v->time;
    PyObject *zone = make_zone(&state->shape, t, pydantic);
    if (zone == NULL) {
        return NULL;
    }
    PyObject *datetime =
        api->DateTime_FromDateAndTime(v->date.year, v->date.month, v->date.day, t->hour, t->minute,
                                      t->second, (int)t->microsecond, zone, api->DateTimeType);
    Py_DECREF(zone);
    return datetime;
}

PyObject *wf_make_timedelta(struct wf_state *state, const struct wf_timedelta *v) {
    PyDateTime_CAPI *api = state->shape.datetime;
    return api->Delta_FromDelta(v->days, v->seconds, v->microseconds, 0, api->DeltaType);
}

PyObject *shape_make_of_seconds(struct wf_state *state, enum wf_node_kind kind, PyObject *seconds) {
    PyDateTime_CAPI *api = state->shape.datetime;
    if (kind != WF_NODE_DATETIME) {
        return PyObject_CallFunction((PyObject *)api->DeltaType, "iO", 0, seconds);
    }
    PyObject *args = PyTuple_Pack(2, seconds, api->TimeZone_UTC);
    PyObject *value = args != NULL
                          ? api->DateTime_FromTimestamp((PyObject *)api->DateTimeType, args, NULL)
                          : NULL;
    Py_XDECREF(args);
    return value;
}

/* ---- the strict grammar ---- */

/* Does text begin with the pattern, in which 0 stands for any digit? */
static bool looks(struct wf_span s, const char *pattern) {
    size_t n = strlen(pattern);
    if (s.n < n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (pattern[i] == '0' ? !wf_json_is_digit(s.p[i]) : s.p[i] != pattern[i]) {
            return false;
        }
    }
    return true;
}

/* HH:MM:SS[.f][Z|+HH:MM|+HHMM] */
static bool is_strict_time(struct wf_span s) {
    if (!looks(s, "00:00:00")) {
        return false;
    }
    size_t i = 8;
    if (i < s.n && s.p[i] == '.') {
        size_t first = ++i;
        while (i < s.n && wf_json_is_digit(s.p[i])) {
            i++;
        }
        if (i == first) {
            return false;
        }
    }
    struct wf_span zone = wf_span(s.p + i, s.n - i);
    return zone.n == 0 || (zone.n == 1 && (zone.p[0] | 0x20) == 'z') ||
           (zone.n == 6 && (looks(zone, "+00:00") || looks(zone, "-00:00"))) ||
           (zone.n == 5 && (looks(zone, "+0000") || looks(zone, "-0000")));
}

static bool is_strict_date(struct wf_span s) {
    return s.n == 10 && looks(s, "0000-00-00");
}

static bool is_strict_datetime(struct wf_span s) {
    return s.n > 11 && is_strict_date(wf_span(s.p, 10)) &&
           ((s.p[10] | 0x20) == 't' || s.p[10] == ' ') &&
           is_strict_time(wf_span(s.p + 11, s.n - 11));
}

static bool is_strict_uuid(struct wf_span s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '-' && s.n == 36 && (i == 8 || i == 13 || i == 18 || i == 23)) {
            continue;
        }
        char lower = (char)(s.p[i] | 0x20);
        if (!wf_json_is_digit(s.p[i]) && (lower < 'a' || lower > 'f')) {
            return false;
        }
    }
    return s.n == 32 ||
           (s.n == 36 && s.p[8] == '-' && s.p[13] == '-' && s.p[18] == '-' && s.p[23] == '-');
}

/* Of days, hours, minutes and seconds; years, months and weeks are of no one length, or rare. */
static bool is_strict_duration(struct wf_span s) {
    size_t sign = s.n != 0 && (s.p[0] == '-' || s.p[0] == '+');
    if (s.n <= sign || (s.p[sign] | 0x20) != 'p') {
        return false;
    }
    for (size_t i = sign + 1; i < s.n && (s.p[i] | 0x20) != 't'; i++) {
        const char unit = (char)(s.p[i] | 0x20);
        if (unit == 'y' || unit == 'm' || unit == 'w') {
            return false;
        }
    }
    return true;
}

/* What is beyond microseconds is rounded, half up, as msgspec does. Is that the next second, which is not
 * added? */
static bool round_fraction(struct wf_span s, struct wf_time *t) {
    const char *dot = memchr(s.p, '.', s.n);
    size_t behind = dot != NULL ? (size_t)(s.p + s.n - dot) : 0;
    if (behind <= 7 || dot[7] < '5' || dot[7] > '9') {
        return false;
    }
    if (t->microsecond == 999999) {
        return true;
    }
    t->microsecond++;
    return false;
}

/* The last second of a day stays as it is: the next one would be that of the same day's beginning. */
static void next_second(struct wf_time *t) {
    const unsigned second = t->hour * 3600u + t->minute * 60u + t->second + 1;
    if (second < 86400) {
        t->hour = (uint8_t)(second / 3600);
        t->minute = (uint8_t)(second / 60 % 60);
        t->second = (uint8_t)(second % 60);
        t->microsecond = 0;
    }
}

/* ---- of text ---- */

/* Base64 (RFC 4648 section 4) with its padding. NULL without an exception where it is not. */
static PyObject *make_base64(struct wf_span s) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)wf_base64_bytes(s));
    if (bytes != NULL && wf_base64_decode(PyBytes_AS_STRING(bytes), s, WF_BASE64_LAX) < 0) {
        Py_CLEAR(bytes);
    }
    return bytes;
}

static PyObject *make_bytes(const struct wf_node *node, struct wf_span s) {
    PyObject *bytes = node->flags & WF_NODE_BASE64
                          ? make_base64(s)
                          : PyBytes_FromStringAndSize(s.p, (Py_ssize_t)s.n);
    if (bytes != NULL && node->type == (PyObject *)&PyByteArray_Type) {
        Py_SETREF(bytes, PyByteArray_FromObject(bytes));
    }
    return bytes;
}

/* An ObjectId of its 24 digits. pydantic takes an instance and no text, but of weft.bson.JsonObjectId. */
static PyObject *make_objectid(struct wf_state *state, const struct wf_node *node,
                               struct wf_span s) {
    char id[12];
    if ((node->flags & (WF_NODE_PYDANTIC | WF_NODE_LAX)) == WF_NODE_PYDANTIC ||
        !wf_bson_read_objectid(s, id)) {
        return NULL;
    }
    return wf_bson_make_objectid(&state->bson, id);
}

/* Is all of the text a number as JSON has it? */
static bool read_number(struct wf_span s, struct wf_json_number *number) {
    const char *p = s.p, *end = s.p + s.n;
    return s.n != 0 && (*p == '-' || wf_json_is_digit(*p)) &&
           wf_json_number_read(&p, end, 0, number) == WF_JSON_OK && p == end;
}

/* -? (inf | infinity | nan), in letters of any size */
static bool read_nonfinite(struct wf_span s, double *out) {
    const size_t sign = s.n != 0 && s.p[0] == '-';
    const struct wf_span word = wf_span(s.p + sign, s.n - sign);
    if (wf_span_eq_lower(word, WF_SPAN("nan"))) {
        *out = Py_NAN;
        return true;
    }
    *out = sign != 0 ? -Py_HUGE_VAL : Py_HUGE_VAL;
    return wf_span_eq_lower(word, WF_SPAN("inf")) || wf_span_eq_lower(word, WF_SPAN("infinity"));
}

static PyObject *make_int(const struct wf_node *node, struct wf_span s, bool lax) {
    if (node->flags & WF_NODE_PYDANTIC) {
        struct wf_int v;
        if (wf_scalar_int(s, &v) != WF_SCALAR_OK || v.big) {
            return NULL;
        }
        return PyLong_FromLongLong(v.value);
    }
    struct wf_json_number number;
    if (!read_number(s, &number)) {
        return NULL;
    }
    if (number.kind == WF_JSON_DOUBLE) {
        return lax && shape_is_whole(number.d) ? PyLong_FromDouble(number.d) : NULL;
    }
    return wf_json_make_number(&number);
}

static PyObject *make_float(const struct wf_node *node, struct wf_span s) {
    double d;
    if (node->flags & WF_NODE_PYDANTIC) {
        return wf_scalar_float(s, &d) == WF_SCALAR_OK &&
                       (!(node->flags & WF_NODE_FINITE) || __builtin_isfinite(d))
                   ? PyFloat_FromDouble(d)
                   : NULL;
    }
    struct wf_json_number number;
    if (!read_number(s, &number)) {
        return read_nonfinite(s, &d) ? PyFloat_FromDouble(d) : NULL;
    }
    const char *end = s.p + s.n;
    if (wf_double_read(s.p, end, &d) != end || __builtin_isinf(d)) {
        return NULL;
    }
    return PyFloat_FromDouble(number.kind == WF_JSON_INT ? (double)number.i : d); /* "-0" is 0 */
}

static PyObject *make_bool(const struct wf_node *node, struct wf_span s) {
    bool v;
    if (node->flags & WF_NODE_PYDANTIC) {
        return wf_scalar_bool(s, &v) == WF_SCALAR_OK ? Py_NewRef(v ? Py_True : Py_False) : NULL;
    }
    if (wf_span_eq_lower(s, WF_SPAN("true")) || wf_span_eq(s, WF_SPAN("1"))) {
        Py_RETURN_TRUE;
    }
    if (wf_span_eq_lower(s, WF_SPAN("false")) || wf_span_eq(s, WF_SPAN("0")) ||
        wf_span_eq(s, WF_SPAN("-0"))) {
        Py_RETURN_FALSE;
    }
    return NULL;
}

/* type  borrowed: Decimal, or any class that is made of a str */
static PyObject *make_by_call(PyObject *type, struct wf_span s) {
    PyObject *str = PyUnicode_DecodeUTF8(s.p, (Py_ssize_t)s.n, NULL);
    PyObject *value = str != NULL ? PyObject_CallOneArg(type, str) : NULL;
    Py_XDECREF(str);
    if (value == NULL && (PyErr_ExceptionMatches(PyExc_ArithmeticError) ||
                          PyErr_ExceptionMatches(PyExc_ValueError))) {
        PyErr_Clear(); /* decimal.InvalidOperation; what the class does not take */
    }
    return value;
}

static PyObject *make_decimal(struct wf_state *state, const struct wf_node *node,
                              struct wf_span s) {
    if (node->flags & WF_NODE_PYDANTIC) {
        for (size_t i = 0; i < s.n; i++) {
            if ((unsigned char)s.p[i] >= 0x80) {
                return NULL; /* wire/scalar does not judge it */
            }
        }
        if (wf_scalar_decimal(s, &s) != WF_SCALAR_OK) {
            return NULL;
        }
    }
    return make_by_call(state->shape.decimal_type, s);
}

/* ---- choices ---- */

/* What is none of the choices, by the enum's class: flags that are set together, what _missing_ knows.
 * value  stolen, or NULL with an exception */
static enum wf_walk_result ask_class(struct wf_walk *w, const struct wf_node *node, PyObject *value,
                                     PyObject **out) {
    if (value == NULL || wf_walk_enter_call(w) < 0) {
        Py_XDECREF(value);
        return WF_WALK_FAILED;
    }
    *out = PyObject_CallOneArg(node->call, value);
    wf_walk_leave_call(w);
    Py_DECREF(value);
    if (*out != NULL) {
        return WF_WALK_OK;
    }
    if (!PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_TypeError)) {
        return WF_WALK_FAILED;
    }
    PyErr_Clear();
    return shape_fail(w, WF_FAIL_VALUE, node);
}

static enum wf_walk_result choice_of_text(struct wf_walk *w, const struct wf_node *node,
                                          struct wf_span s, PyObject **out) {
    bool texts = false;
    for (unsigned i = 0; i < node->n; i++) {
        const struct wf_choice *c = &node->choices[i];
        if (c->text.p != NULL && wf_span_eq(c->text, s)) {
            *out = Py_NewRef(c->value);
            return WF_WALK_OK;
        }
        texts |= c->text.p != NULL;
    }
    w->fail.got = WF_CLASS_STR;
    return texts && node->call != NULL
               ? ask_class(w, node, PyUnicode_DecodeUTF8(s.p, (Py_ssize_t)s.n, NULL), out)
               : shape_fail(w, WF_FAIL_VALUE, node);
}

enum wf_walk_result wf_walk_choice(struct wf_walk *w, const struct wf_node *node, int64_t number,
                                   PyObject **out) {
    bool numbers = false;
    for (unsigned i = 0; i < node->n; i++) {
        const struct wf_choice *c = &node->choices[i];
        if (c->text.p == NULL && c->number == number) {
            *out = Py_NewRef(c->value);
            return WF_WALK_OK;
        }
        numbers |= c->text.p == NULL;
    }
    w->fail.got = WF_CLASS_INT;
    return numbers && node->call != NULL ? ask_class(w, node, PyLong_FromLongLong(number), out)
                                         : shape_fail(w, WF_FAIL_VALUE, node);
}

/* ---- all of them ---- */

static PyObject *make_strict_time(struct wf_state *state, struct wf_span s) {
    struct wf_time v;
    if (!is_strict_time(s) || wf_scalar_time(s, &v) != WF_SCALAR_OK) {
        return NULL;
    }
    if (round_fraction(s, &v)) {
        next_second(&v);
    }
    return wf_make_time(state, &v, false);
}

/* The datetime a microsecond after this one (stolen), where there is one. */
static PyObject *next_microsecond(struct wf_state *state, PyObject *datetime) {
    PyDateTime_CAPI *api = state->shape.datetime;
    PyObject *delta = api->Delta_FromDelta(0, 0, 1, 1, api->DeltaType);
    PyObject *next = delta != NULL ? PyNumber_Add(datetime, delta) : NULL;
    Py_XDECREF(delta);
    if (next == NULL && PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear(); /* the last one of the year 9999 */
        return datetime;
    }
    Py_DECREF(datetime);
    return next;
}

static PyObject *make_strict_datetime(struct wf_state *state, struct wf_span s) {
    struct wf_datetime v;
    if (!is_strict_datetime(s) || wf_scalar_datetime(s, &v) != WF_SCALAR_OK) {
        return NULL;
    }
    const bool next = round_fraction(s, &v.time);
    PyObject *datetime = wf_make_datetime(state, &v, false);
    return next && datetime != NULL ? next_microsecond(state, datetime) : datetime;
}

static PyObject *make_strict_timedelta(struct wf_state *state, struct wf_span s) {
    struct wf_timedelta v;
    return is_strict_duration(s) && wf_scalar_timedelta(s, &v) == WF_SCALAR_OK
               ? wf_make_timedelta(state, &v)
               : NULL;
}

/* A datetime or a timedelta of the text of a number. NULL without an exception where it is none, or out of
 * range. */
static PyObject *make_of_number(struct wf_state *state, enum wf_node_kind kind, struct wf_span s) {
    struct wf_json_number number;
    if (!read_number(s, &number)) {
        return NULL;
    }
    PyObject *seconds = wf_json_make_number(&number);
    PyObject *value = seconds != NULL ? shape_make_of_seconds(state, kind, seconds) : NULL;
    Py_XDECREF(seconds);
    if (value == NULL && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
    }
    return value;
}

/* NULL without an exception where the text is none of it. */
static PyObject *make_of_text(struct wf_walk *w, const struct wf_node *node, struct wf_span s) {
    struct wf_state *state = w->state;
    const bool pydantic = (node->flags & WF_NODE_PYDANTIC) != 0;
    const bool lax = (w->flags & WF_WALK_LAX) != 0;
    PyObject *value;
    union {
        uint8_t uuid[16];
        struct wf_date date;
        struct wf_time time;
        struct wf_datetime datetime;
        struct wf_timedelta delta;
    } v;
    switch ((enum wf_node_kind)node->kind) {
    case WF_NODE_ANY:
    case WF_NODE_STR:
        return PyUnicode_DecodeUTF8(s.p, (Py_ssize_t)s.n, NULL);
    case WF_NODE_NONE:
        return wf_span_eq_lower(s, WF_SPAN("null")) ? Py_NewRef(Py_None) : NULL;
    case WF_NODE_BOOL:
        return make_bool(node, s);
    case WF_NODE_INT:
        return make_int(node, s, lax);
    case WF_NODE_FLOAT:
        return make_float(node, s);
    case WF_NODE_BYTES:
        return make_bytes(node, s);
    case WF_NODE_UUID:
        return (pydantic || is_strict_uuid(s)) && wf_scalar_uuid(s, v.uuid) == WF_SCALAR_OK
                   ? wf_make_uuid(state, v.uuid)
                   : NULL;
    case WF_NODE_OBJECTID:
        return make_objectid(state, node, s);
    case WF_NODE_DATE:
        return (pydantic || is_strict_date(s)) && wf_scalar_date(s, &v.date) == WF_SCALAR_OK
                   ? wf_make_date(state, &v.date)
                   : NULL;
    case WF_NODE_TIME:
        if (!pydantic) {
            return make_strict_time(state, s);
        }
        return wf_scalar_time(s, &v.time) == WF_SCALAR_OK ? wf_make_time(state, &v.time, true)
                                                          : NULL;
    case WF_NODE_DATETIME:
        if (!pydantic) {
            value = lax ? make_of_number(state, WF_NODE_DATETIME, s) : NULL;
            return value != NULL || PyErr_Occurred() ? value : make_strict_datetime(state, s);
        }
        return wf_scalar_datetime(s, &v.datetime) == WF_SCALAR_OK
                   ? wf_make_datetime(state, &v.datetime, true)
                   : NULL;
    case WF_NODE_TIMEDELTA:
        if (!pydantic) {
            value = lax ? make_of_number(state, WF_NODE_TIMEDELTA, s) : NULL;
            return value != NULL || PyErr_Occurred() ? value : make_strict_timedelta(state, s);
        }
        return wf_scalar_timedelta(s, &v.delta) == WF_SCALAR_OK ? wf_make_timedelta(state, &v.delta)
                                                                : NULL;
    case WF_NODE_DECIMAL:
        return make_decimal(state, node, s);
    case WF_NODE_TEXT:
        return make_by_call(node->type, s);
    default:
        return NULL;
    }
}

enum wf_walk_result wf_walk_text(struct wf_walk *w, const struct wf_node *node, struct wf_span text,
                                 PyObject **out) {
    if (node->kind == WF_NODE_CHOICE) {
        return choice_of_text(w, node, text, out);
    }
    const bool calls = node->kind == WF_NODE_TEXT; /* a class, which may be the application's */
    if (wf_unlikely(calls) && wf_walk_enter_call(w) < 0) {
        return WF_WALK_FAILED;
    }
    *out = make_of_text(w, node, text);
    if (wf_unlikely(calls)) {
        wf_walk_leave_call(w);
    }
    if (*out == NULL) {
        if (PyErr_Occurred()) {
            return WF_WALK_FAILED;
        }
        w->fail.got = WF_CLASS_STR;
        return shape_fail(w, WF_FAIL_VALUE, node);
    }
    enum wf_walk_result result = wf_walk_checks(w, node, *out);
    if (result != WF_WALK_OK) {
        Py_CLEAR(*out);
    }
    return result;
}
