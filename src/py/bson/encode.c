/* Objects to BSON, straight into the output.
 *
 * Python's own types are told by their exact type; what has a _type_marker is one of BSON's
 * classes, PyMongo's or ours, whoever made it; the rest goes by its base, as PyMongo has it.
 * Anything that is not of the first kind may run Python code, which may change or free what is
 * being encoded: keys and values are held on to, and a dict that changed its size is an error. */
#include "py/bson/dates.h"
#include "py/bson/encode_int.h"

#include "base/num.h"
#include "base/ucs.h"
#include "wire/bson/bson_write.h"
#include "wire/bson/date.h"

/* What flags of a regular expression are in BSON, in alphabetical order. */
static const struct {
    int flag; /* as the re module has them */
    char letter;
} regex_flags[] = {{2, 'i'}, {4, 'l'}, {8, 'm'}, {16, 's'}, {32, 'u'}, {64, 'x'}};

static int encode_document(struct encoder *e, struct wf_span name, PyObject *o);

WF_NOINLINE int wf_bson_fail_buf(struct encoder *e, int rc) {
    if (rc == WF_BUF_FULL) {
        return FAIL(e, "the document is larger than BSON can say");
    }
    PyErr_NoMemory();
    return -1;
}

/* ---- text ---- */

/* The UTF-8 of a str: in the str itself where it is ASCII or has it already, else made (*owned).
 * 0, or -1 with an exception. */
int wf_bson_utf8_of(struct encoder *e, PyObject *str, struct wf_span *out, PyObject **owned) {
    *owned = NULL;
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(str) < 0) {
        return -1;
    }
#endif
    if (wf_likely(PyUnicode_IS_ASCII(str))) {
        *out = wf_span(PyUnicode_1BYTE_DATA(str), (size_t)PyUnicode_GET_LENGTH(str));
        return 0;
    }
    PyObject *bytes = PyUnicode_AsUTF8String(str);
    if (bytes == NULL) {
        return PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)
                   ? FAIL(e, "a lone surrogate in a str has no UTF-8")
                   : -1;
    }
    *owned = bytes;
    *out = wf_span(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    return 0;
}

/* A str that is not ASCII: its UTF-8 where somebody has made it already, else made in place. */
static WF_NOINLINE int encode_wide(struct encoder *e, enum wf_bson_type type, struct wf_span name,
                                   PyObject *str) {
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(str) < 0) {
        return -1;
    }
#endif
    if (PyUnicode_IS_ASCII(str)) { /* a subclass of str */
        struct wf_span s = wf_span(PyUnicode_1BYTE_DATA(str), (size_t)PyUnicode_GET_LENGTH(str));
        return check(e, wf_bson_put_string(&e->out, type, name, s));
    }
    const PyCompactUnicodeObject *cached = (const PyCompactUnicodeObject *)str;
    if (cached->utf8 != NULL) {
        struct wf_span s = wf_span(cached->utf8, (size_t)cached->utf8_length);
        return check(e, wf_bson_put_string(&e->out, type, name, s));
    }
    size_t chars = (size_t)PyUnicode_GET_LENGTH(str);
    unsigned width = PyUnicode_KIND(str);
    char *p;
    size_t room = wf_ucs_utf8_max(chars, width) + 5;
    int rc = wf_bson_put_head(&e->out, type, name, room, &p);
    if (rc != WF_BUF_OK) {
        return wf_bson_fail_buf(e, rc);
    }
    size_t n = wf_ucs_to_utf8(p + 4, PyUnicode_DATA(str), chars, width);
    if (n == SIZE_MAX) {
        return FAIL(e, "a lone surrogate in a str has no UTF-8");
    }
    if (n >= WF_BSON_BYTES_MAX) {
        return wf_bson_fail_buf(e, WF_BUF_FULL);
    }
    wf_bson_store32(p, (uint32_t)n + 1);
    p[4 + n] = 0;
    e->out.len -= room - (n + 5);
    return 0;
}

int wf_bson_encode_text(struct encoder *e, enum wf_bson_type type, struct wf_span name,
                        PyObject *str) {
    if (wf_likely(PyUnicode_IS_COMPACT_ASCII(str))) {
        struct wf_span s =
            wf_span((const char *)((PyASCIIObject *)str + 1), (size_t)PyUnicode_GET_LENGTH(str));
        return check(e, wf_bson_put_string(&e->out, type, name, s));
    }
    return encode_wide(e, type, name, str);
}

/* ---- containers ---- */

/* The key is no str. */
static WF_NOINLINE int encode_odd_member(struct encoder *e, struct place *place, PyObject *key,
                                         PyObject *value, bool top) {
    if (!e->json_keys) {
        return FAIL(e, "keys are str, not %.100s", Py_TYPE(key)->tp_name);
    }
    PyObject *text = wf_bson_key_text(e, key);
    int rc = text != NULL ? wf_bson_encode_member(e, place, text, value, top) : -1;
    Py_XDECREF(text);
    return rc;
}

/* One member of a mapping. top: _id was written before. */
int wf_bson_encode_member(struct encoder *e, struct place *place, PyObject *key, PyObject *value,
                          bool top) {
    PyObject *owned;
    if (wf_unlikely(!PyUnicode_Check(key))) {
        return encode_odd_member(e, place, key, value, top);
    }
    if (wf_bson_utf8_of(e, key, &place->name, &owned) < 0) {
        return -1;
    }
    struct wf_span name = place->name;
    int rc;
    if (wf_unlikely(memchr(name.p, 0, name.n) != NULL)) {
        rc = FAIL(e, "a zero byte in a key");
    } else if (top && wf_span_eq(name, WF_SPAN("_id"))) {
        rc = 0;
    } else {
        e->place = place;
        rc = wf_bson_encode(e, name, value);
        e->place = place->up;
    }
    Py_XDECREF(owned);
    return rc;
}

static int pair_at_top(struct encoder *e, const void *with, struct place *place, PyObject *key,
                       PyObject *value) {
    return wf_bson_encode_member(e, place, key, value, true);
}

static int pair_within(struct encoder *e, const void *with, struct place *place, PyObject *key,
                       PyObject *value) {
    return wf_bson_encode_member(e, place, key, value, false);
}

static int encode_dict_members(struct encoder *e, PyObject *dict, bool top) {
    struct place place = {.up = e->place};
    const Py_ssize_t size = PyDict_GET_SIZE(dict);
    if (top) {
        PyObject *id = PyDict_GetItemWithError(dict, e->s->names[NAME__id]);
        if (id != NULL) {
            Py_INCREF(id);
            int rc = wf_bson_encode_member(e, &place, e->s->names[NAME__id], id, false);
            Py_DECREF(id);
            return rc < 0 ? -1 : encode_members(e, &place, dict, size, pair_at_top, NULL);
        }
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    return encode_members(e, &place, dict, size, pair_within, NULL);
}

/* The value of `key` in any mapping: new reference, NULL without an exception where it has none. */
static PyObject *mapping_get(PyObject *o, PyObject *key) {
    PyObject *v = PyObject_GetItem(o, key);
    if (v == NULL && PyErr_ExceptionMatches(PyExc_KeyError)) {
        PyErr_Clear();
    }
    return v;
}

static int encode_mapping_members(struct encoder *e, PyObject *o, bool top) {
    struct place place = {.up = e->place};
    int rc = 0;
    if (top) {
        int has = PySequence_Contains(o, e->s->names[NAME__id]); /* does not make a default one */
        if (has < 0) {
            return -1;
        }
        top = has != 0;
        if (has) {
            PyObject *id = mapping_get(o, e->s->names[NAME__id]);
            rc =
                id != NULL ? wf_bson_encode_member(e, &place, e->s->names[NAME__id], id, false) : 0;
            Py_XDECREF(id);
            if (rc < 0 || PyErr_Occurred()) {
                return -1;
            }
        }
    }
    PyObject *keys = PyObject_GetIter(o);
    if (keys == NULL) {
        return -1;
    }
    PyObject *key;
    while (rc == 0 && (key = PyIter_Next(keys)) != NULL) {
        PyObject *value = PyObject_GetItem(o, key);
        rc = value != NULL ? wf_bson_encode_member(e, &place, key, value, top) : -1;
        Py_DECREF(key);
        Py_XDECREF(value);
    }
    Py_DECREF(keys);
    return rc < 0 || PyErr_Occurred() ? -1 : 0;
}

/* The bytes of a RawBSONDocument: they are a document, or it is not written. */
static int encode_raw(struct encoder *e, PyObject *o) {
    PyObject *raw = PyObject_GetAttr(o, e->s->names[NAME_raw]);
    struct wf_input in;
    if (raw == NULL || wf_bson_input_open(&in, raw) < 0) {
        Py_XDECREF(raw);
        return -1;
    }
    size_t at;
    enum wf_bson_error error = wf_bson_validate(in.span, &at);
    int rc = error == WF_BSON_OK
                 ? check(e, wf_buf_append_span(&e->out, in.span))
                 : FAIL(e, "the raw document is no BSON: %s", wf_bson_error_text(error));
    wf_input_close(&in);
    Py_DECREF(raw);
    return rc;
}

/* The marker of one of BSON's classes; 0 where o has none, -1 with an exception. */
static long marker_of(struct encoder *e, PyObject *o) {
    PyObject *v = PyObject_GetAttr(o, e->s->names[NAME__type_marker]);
    if (v == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    long marker = PyLong_CheckExact(v) ? PyLong_AsLong(v) : 0;
    Py_DECREF(v);
    if (marker == -1 && PyErr_Occurred()) { /* a huge one is none of ours */
        PyErr_Clear();
        return 0;
    }
    return WF_MAX(marker, 0);
}

/* A document without type and name. o is held on to by the caller. */
int wf_bson_encode_mapping(struct encoder *e, PyObject *o, bool top) {
    if (!PyDict_Check(o)) {
        if (wf_bson_need_classes(e->s) < 0) {
            return -1;
        }
        long marker = marker_of(e, o);
        if (marker < 0) {
            return -1;
        }
        if (marker == WF_BSON_MARKER_RAW) {
            return encode_raw(e, o);
        }
        int is = PyObject_IsInstance(o, e->s->mapping);
        if (is <= 0) {
            return is < 0 ? -1
                          : FAIL(e, "a document is a mapping, not %.100s", Py_TYPE(o)->tp_name);
        }
    }
    size_t start;
    if (enter(e) < 0) {
        return -1;
    }
    if (check(e, wf_bson_begin(&e->out, &start)) < 0 ||
        (PyDict_Check(o) ? encode_dict_members(e, o, top) : encode_mapping_members(e, o, top)) <
            0 ||
        check(e, wf_bson_end(&e->out, start)) < 0) {
        leave(e);
        return -1;
    }
    leave(e);
    return 0;
}

static int encode_document(struct encoder *e, struct wf_span name, PyObject *o) {
    return check(e, wf_bson_put_plain(&e->out, WF_BSON_DOCUMENT, name)) < 0
               ? -1
               : wf_bson_encode_mapping(e, o, false);
}

static int item_by_class(struct encoder *e, const void *with, Py_ssize_t i, struct wf_span name,
                         PyObject *item) {
    return wf_bson_encode(e, name, item);
}

static int encode_sequence(struct encoder *e, struct wf_span name, PyObject *o) {
    return encode_array(e, name, o, item_by_class, NULL);
}

/* ---- scalars ---- */

static int encode_int(struct encoder *e, struct wf_span name, PyObject *o, bool always64) {
    int overflow;
    long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (v == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (overflow != 0) {
        return FAIL(e, "an int of more than 64 bits");
    }
    if (!always64 && v >= INT32_MIN && v <= INT32_MAX) {
        return check(e, wf_bson_put_int32(&e->out, name, (int32_t)v));
    }
    return check(e, wf_bson_put_int64(&e->out, WF_BSON_INT64, name, v));
}

static int64_t ms_of(PyObject *dt) {
    struct wf_bson_date d = {.year = PyDateTime_GET_YEAR(dt),
                             .month = PyDateTime_GET_MONTH(dt),
                             .day = PyDateTime_GET_DAY(dt),
                             .hour = PyDateTime_DATE_GET_HOUR(dt),
                             .minute = PyDateTime_DATE_GET_MINUTE(dt),
                             .second = PyDateTime_DATE_GET_SECOND(dt),
                             .millisecond = PyDateTime_DATE_GET_MICROSECOND(dt) / 1000};
    return wf_bson_date_to_ms(&d);
}

/* Without a time zone it is UTC. */
static int encode_datetime(struct encoder *e, struct wf_span name, PyObject *o) {
    if (wf_bson_is_exact_datetime(e->s, o) && PyDateTime_DATE_GET_TZINFO(o) == Py_None) {
        return check(e, wf_bson_put_int64(&e->out, WF_BSON_DATETIME, name, ms_of(o)));
    }
    PyObject *offset = PyObject_CallMethodNoArgs(o, e->s->names[NAME_utcoffset]);
    if (offset == NULL) {
        return -1;
    }
    int64_t ms = ms_of(o);
    if (offset != Py_None) {
        if (!PyObject_TypeCheck(offset, wf_bson_datetime(e->s)->DeltaType) ||
            (unsigned)PyDateTime_DELTA_GET_DAYS(offset) + 1 > 1) { /* not -1 or 0 */
            Py_DECREF(offset);
            return FAIL(e, "utcoffset() is no timedelta of less than a day");
        }
        /* in microseconds, so that milliseconds are cut off once */
        int64_t us = ms * 1000 + PyDateTime_DATE_GET_MICROSECOND(o) % 1000;
        us -= ((int64_t)PyDateTime_DELTA_GET_DAYS(offset) * 86400 +
               PyDateTime_DELTA_GET_SECONDS(offset)) *
                  1000000 +
              PyDateTime_DELTA_GET_MICROSECONDS(offset);
        ms = us / 1000 - (us % 1000 < 0);
    }
    Py_DECREF(offset);
    if (ms < WF_BSON_DATE_MIN_MS || ms > WF_BSON_DATE_MAX_MS) {
        return FAIL(e, "a datetime that is outside the years 1 to 9999 in UTC");
    }
    return check(e, wf_bson_put_int64(&e->out, WF_BSON_DATETIME, name, ms));
}

/* An attribute that is a bytes object of n bytes: owned, or NULL with an exception. */
static PyObject *bytes_attribute(struct encoder *e, PyObject *o, enum name_id id, Py_ssize_t n) {
    PyObject *v = PyObject_GetAttr(o, e->s->names[id]);
    if (v != NULL && (!PyBytes_Check(v) || PyBytes_GET_SIZE(v) != n)) {
        Py_DECREF(v);
        wf_bson_raise_encode(e->s, e->place, "%s of a %.100s is not %zd bytes",
                             PyUnicode_AsUTF8(e->s->names[id]), Py_TYPE(o)->tp_name, n);
        return NULL;
    }
    return v;
}

static int encode_objectid(struct encoder *e, struct wf_span name, PyObject *o) {
    const struct wf_bson_slots *at = &e->s->id_slot;
    if (wf_likely(at->first != 0 &&
                  (PyObject *)Py_TYPE(o) == e->s->classes[WF_BSON_CLASS_ObjectId])) {
        PyObject *v = wf_bson_slot(o, at->first); /* borrowed: nothing runs before it is copied */
        if (wf_likely(v != NULL && PyBytes_CheckExact(v) && PyBytes_GET_SIZE(v) == 12)) {
            return check(e, wf_bson_put_objectid(&e->out, name, PyBytes_AS_STRING(v)));
        }
    }
    PyObject *v = bytes_attribute(e, o, NAME_binary, 12);
    if (v == NULL) {
        return -1;
    }
    int rc = check(e, wf_bson_put_objectid(&e->out, name, PyBytes_AS_STRING(v)));
    Py_DECREF(v);
    return rc;
}

/* Two ints in slots. false: they are not there, or are something else. */
static bool slots_of(PyObject *o, const struct wf_bson_slots *at, uint64_t max, uint64_t *first,
                     uint64_t *second) {
    PyObject *a = wf_bson_slot(o, at->first), *b = wf_bson_slot(o, at->second); /* borrowed */
    if (a == NULL || b == NULL || !PyLong_CheckExact(a) || !PyLong_CheckExact(b)) {
        return false;
    }
    *first = PyLong_AsUnsignedLongLong(a);
    *second = PyLong_AsUnsignedLongLong(b);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return *first <= max && *second <= max;
}

static int encode_decimal(struct encoder *e, struct wf_span name, PyObject *o) {
    const struct wf_bson_slots *at = &e->s->decimal_slots;
    struct wf_decimal128 d;
    if (wf_likely(at->first != 0 &&
                  (PyObject *)Py_TYPE(o) == e->s->classes[WF_BSON_CLASS_Decimal128] &&
                  slots_of(o, at, UINT64_MAX, &d.high, &d.low))) {
        return check(e, wf_bson_put_decimal(&e->out, name, d));
    }
    PyObject *v = bytes_attribute(e, o, NAME_bid, 16);
    char *p = NULL;
    if (v == NULL) {
        return -1;
    }
    int rc = check(e, wf_bson_put_head(&e->out, WF_BSON_DECIMAL128, name, 16, &p));
    if (rc == 0) {
        memcpy(p, PyBytes_AS_STRING(v), 16);
    }
    Py_DECREF(v);
    return rc;
}

/* An attribute that is an int from 0 to max. 0, or -1 with an exception. */
static int uint_attribute(struct encoder *e, PyObject *o, enum name_id id, uint32_t max,
                          uint32_t *out) {
    PyObject *v = PyObject_GetAttr(o, e->s->names[id]);
    if (v == NULL) {
        return -1;
    }
    unsigned long long n = PyLong_Check(v) ? PyLong_AsUnsignedLongLong(v) : ULLONG_MAX;
    Py_DECREF(v);
    if (n > max) { /* a negative one, too, with an exception */
        return FAIL(e, "%s of a %.100s is not from 0 to %lu", PyUnicode_AsUTF8(e->s->names[id]),
                    Py_TYPE(o)->tp_name, (unsigned long)max);
    }
    *out = (uint32_t)n;
    return 0;
}

static int encode_timestamp(struct encoder *e, struct wf_span name, PyObject *o) {
    const struct wf_bson_slots *at = &e->s->timestamp_slots;
    uint64_t first, second;
    if (wf_likely(at->first != 0 &&
                  (PyObject *)Py_TYPE(o) == e->s->classes[WF_BSON_CLASS_Timestamp] &&
                  slots_of(o, at, UINT32_MAX, &first, &second))) {
        return check(e, wf_bson_put_timestamp(&e->out, name, (uint32_t)first, (uint32_t)second));
    }
    uint32_t seconds, increment;
    if (uint_attribute(e, o, NAME_time, UINT32_MAX, &seconds) < 0 ||
        uint_attribute(e, o, NAME_inc, UINT32_MAX, &increment) < 0) {
        return -1;
    }
    return check(e, wf_bson_put_timestamp(&e->out, name, seconds, increment));
}

static int encode_binary(struct encoder *e, struct wf_span name, PyObject *o) {
    uint32_t subtype;
    if (!PyBytes_Check(o)) {
        return FAIL(e, "a %.100s that is not bytes", Py_TYPE(o)->tp_name);
    }
    if (uint_attribute(e, o, NAME_subtype, 255, &subtype) < 0) {
        return -1;
    }
    struct wf_span bytes = wf_span(PyBytes_AS_STRING(o), (size_t)PyBytes_GET_SIZE(o));
    return check(e, wf_bson_put_binary(&e->out, name, (uint8_t)subtype, bytes));
}

/* A pattern as str or bytes: its UTF-8, kept by *owned. 0, or -1 with an exception. */
static int pattern_of(struct encoder *e, PyObject *pattern, struct wf_span *out, PyObject **owned) {
    *owned = NULL;
    if (PyBytes_Check(pattern)) {
        *owned = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(pattern), PyBytes_GET_SIZE(pattern), NULL);
        if (*owned == NULL) {
            return PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)
                       ? FAIL(e, "a pattern of bytes that are not UTF-8")
                       : -1;
        }
        *out = wf_span(PyBytes_AS_STRING(pattern), (size_t)PyBytes_GET_SIZE(pattern));
    } else if (!PyUnicode_Check(pattern)) {
        return FAIL(e, "a pattern is str or bytes, not %.100s", Py_TYPE(pattern)->tp_name);
    } else if (wf_bson_utf8_of(e, pattern, out, owned) < 0) {
        return -1;
    }
    if (memchr(out->p, 0, out->n) != NULL) {
        Py_CLEAR(*owned);
        return FAIL(e, "a zero byte in a regular expression");
    }
    return 0;
}

/* re.Pattern and BSON's Regex have the same attributes. */
static int encode_regex(struct encoder *e, struct wf_span name, PyObject *o) {
    uint32_t flags;
    char options[WF_ARRAY_LEN(regex_flags)];
    size_t n = 0;
    struct wf_span text;
    PyObject *owned;
    if (uint_attribute(e, o, NAME_flags, INT32_MAX, &flags) < 0) {
        return -1;
    }
    for (size_t i = 0; i < WF_ARRAY_LEN(regex_flags); i++) {
        if (flags & (uint32_t)regex_flags[i].flag) {
            options[n++] = regex_flags[i].letter;
        }
    }
    PyObject *pattern = PyObject_GetAttr(o, e->s->names[NAME_pattern]);
    int rc = pattern != NULL ? pattern_of(e, pattern, &text, &owned) : -1;
    if (rc == 0) {
        rc = check(e, wf_bson_put_regex(&e->out, name, text, wf_span(options, n)));
        Py_XDECREF(owned);
    }
    Py_XDECREF(pattern);
    return rc;
}

static int encode_code(struct encoder *e, struct wf_span name, PyObject *o) {
    if (!PyUnicode_Check(o)) {
        return FAIL(e, "a %.100s that is not str", Py_TYPE(o)->tp_name);
    }
    PyObject *scope = PyObject_GetAttr(o, e->s->names[NAME_scope]);
    if (scope == NULL) {
        return -1;
    }
    int rc;
    if (scope == Py_None) {
        rc = wf_bson_encode_text(e, WF_BSON_CODE, name, o);
    } else {
        struct wf_span code;
        PyObject *owned;
        size_t start = 0;
        rc = wf_bson_utf8_of(e, o, &code, &owned);
        if (rc == 0) {
            rc = check(e, wf_bson_put_code_begin(&e->out, name, code, &start));
            Py_XDECREF(owned);
        }
        if (rc == 0) {
            rc = wf_bson_encode_mapping(e, scope, false);
        }
        if (rc == 0) {
            rc = check(e, wf_bson_code_end(&e->out, start));
        }
    }
    Py_DECREF(scope);
    return rc;
}

static int encode_dbref(struct encoder *e, struct wf_span name, PyObject *o) {
    PyObject *doc = PyObject_CallMethodNoArgs(o, e->s->names[NAME_as_doc]);
    int rc = doc != NULL ? encode_document(e, name, doc) : -1;
    Py_XDECREF(doc);
    return rc;
}

/* DatetimeMS */
static int encode_milliseconds(struct encoder *e, struct wf_span name, PyObject *o) {
    PyObject *ms = PyNumber_Long(o);
    if (ms == NULL) {
        return wf_err_is_bare(PyExc_TypeError)
                   ? FAIL(e, "%.100s says that it is a date, and has no __int__",
                          Py_TYPE(o)->tp_name)
                   : -1;
    }
    int overflow;
    long long v = PyLong_AsLongLongAndOverflow(ms, &overflow);
    Py_DECREF(ms);
    if (v == -1 && PyErr_Occurred()) {
        return -1;
    }
    return overflow != 0 ? FAIL(e, "a date of more than 64 bits")
                         : check(e, wf_bson_put_int64(&e->out, WF_BSON_DATETIME, name, v));
}

static int encode_marked(struct encoder *e, struct wf_span name, PyObject *o, long marker) {
    switch (marker) {
    case WF_BSON_BINARY:
        return encode_binary(e, name, o);
    case WF_BSON_OBJECTID:
        return encode_objectid(e, name, o);
    case WF_BSON_DATETIME:
        return encode_milliseconds(e, name, o);
    case WF_BSON_REGEX:
        return encode_regex(e, name, o);
    case WF_BSON_CODE:
        return encode_code(e, name, o);
    case WF_BSON_TIMESTAMP:
        return encode_timestamp(e, name, o);
    case WF_BSON_INT64:
        return PyLong_Check(o) ? encode_int(e, name, o, true) : FAIL(e, "an Int64 that is no int");
    case WF_BSON_DECIMAL128:
        return encode_decimal(e, name, o);
    case WF_BSON_MINKEY:
    case WF_BSON_MAXKEY:
        return check(e, wf_bson_put_plain(&e->out, (enum wf_bson_type)marker, name));
    case WF_BSON_MARKER_DBREF:
        return encode_dbref(e, name, o);
    default:
        return 1;
    }
}

int wf_bson_encode_uuid(struct encoder *e, struct wf_span name, PyObject *o,
                        enum wf_bson_uuids uuids) {
    if (uuids == WF_BSON_UUIDS_UNSPECIFIED) {
        return FAIL(e, "a UUID has several forms in BSON: say which by codec_options, or give "
                       "Binary(u.bytes, 4) for the standard one");
    }
    PyObject *v = bytes_attribute(e, o, NAME_bytes, 16);
    char *p;
    if (v == NULL) {
        return -1;
    }
    int rc = check(
        e, wf_bson_put_binary_head(&e->out, name, uuids == WF_BSON_UUIDS_STANDARD ? 4 : 3, 16, &p));
    if (rc == 0) {
        wf_bson_uuid_order(uuids, PyBytes_AS_STRING(v), p);
    }
    Py_DECREF(v);
    return rc;
}

/* How UUIDs are written: as the options say, and by a type in the standard form. */
static enum wf_bson_uuids uuids_of(const struct encoder *e) {
    enum wf_bson_uuids uuids =
        e->options != NULL ? (enum wf_bson_uuids)e->options->uuids : WF_BSON_UUIDS_UNSPECIFIED;
    return uuids == WF_BSON_UUIDS_UNSPECIFIED && e->typed ? WF_BSON_UUIDS_STANDARD : uuids;
}

/* The value that a custom encoder gave: stolen, may be NULL with an exception. */
static int encode_stolen(struct encoder *e, struct wf_span name, PyObject *o) {
    int rc = o != NULL ? wf_bson_encode(e, name, o) : -1;
    Py_XDECREF(o);
    return rc;
}

/* What is neither Python's own nor marked: by its base. */
static int encode_by_base(struct encoder *e, struct wf_span name, PyObject *o) {
    if (PyLong_Check(o)) {
        return encode_int(e, name, o, false);
    }
    if (PyFloat_Check(o)) {
        return check(e, wf_bson_put_double(&e->out, name, PyFloat_AS_DOUBLE(o)));
    }
    if (PyDict_Check(o)) {
        return encode_document(e, name, o);
    }
    if (PyList_Check(o) || PyTuple_Check(o)) {
        return encode_sequence(e, name, o);
    }
    if (PyBytes_Check(o)) {
        struct wf_span bytes = wf_span(PyBytes_AS_STRING(o), (size_t)PyBytes_GET_SIZE(o));
        return check(e, wf_bson_put_binary(&e->out, name, 0, bytes));
    }
    if (PyUnicode_Check(o)) {
        return wf_bson_encode_text(e, WF_BSON_STRING, name, o);
    }
    if (wf_bson_is_datetime(e->s, o)) {
        return encode_datetime(e, name, o);
    }
    if (PyObject_TypeCheck(o, (PyTypeObject *)e->s->pattern)) {
        return encode_regex(e, name, o);
    }
    int is = PyObject_IsInstance(o, e->s->mapping);
    if (is != 0) {
        return is < 0 ? -1 : encode_document(e, name, o);
    }
    is = PyObject_IsInstance(o, e->s->uuid);
    if (is != 0) {
        return is < 0 ? -1 : wf_bson_encode_uuid(e, name, o, uuids_of(e));
    }
    if (e->options != NULL && e->options->fallback != NULL && !e->fallen_back) {
        e->fallen_back = true;
        int rc = encode_stolen(e, name, PyObject_CallOneArg(e->options->fallback, o));
        e->fallen_back = false;
        return rc;
    }
    return e->typed ? wf_bson_encode_by_class(e, name, o)
                    : FAIL(e, "objects of type %.200s have no BSON form", Py_TYPE(o)->tp_name);
}

static WF_NOINLINE int encode_other(struct encoder *e, struct wf_span name, PyObject *o) {
    if (wf_bson_need_datetime(e->s) < 0) {
        return -1;
    }
    if (wf_bson_is_exact_datetime(e->s, o)) {
        return encode_datetime(e, name, o);
    }
    if (wf_bson_need_classes(e->s) < 0) {
        return -1;
    }
    if ((PyObject *)Py_TYPE(o) == e->s->classes[WF_BSON_CLASS_ObjectId]) {
        return encode_objectid(e, name, o);
    }
    if ((PyObject *)Py_TYPE(o) == e->s->classes[WF_BSON_CLASS_Int64]) {
        return encode_int(e, name, o, true);
    }
    long marker = marker_of(e, o);
    if (marker < 0) {
        return -1;
    }
    if (marker == WF_BSON_MARKER_RAW) {
        return encode_document(e, name, o);
    }
    int rc = marker == 0 ? 1 : encode_marked(e, name, o, marker);
    return rc <= 0 ? rc : encode_by_base(e, name, o);
}

/* By a custom encoder of the options, whose result is encoded without them. 1: there is none. */
static WF_NOINLINE int encode_custom(struct encoder *e, struct wf_span name, PyObject *o) {
    PyObject *encoder = PyDict_GetItemWithError(e->options->encoders, (PyObject *)Py_TYPE(o));
    if (encoder == NULL) {
        return PyErr_Occurred() ? -1 : 1;
    }
    Py_INCREF(encoder);
    PyObject *value = PyObject_CallOneArg(encoder, o);
    Py_DECREF(encoder);
    e->in_custom = true;
    int rc = encode_stolen(e, name, value);
    e->in_custom = false;
    return rc;
}

/* Writes one element. o is held on to by the caller; name outlives the call. */
int wf_bson_encode(struct encoder *e, struct wf_span name, PyObject *o) {
    PyTypeObject *type = Py_TYPE(o);
    if (wf_unlikely(e->options != NULL && e->options->encoders != NULL && !e->in_custom)) {
        int rc = encode_custom(e, name, o);
        if (rc <= 0) {
            return rc;
        }
    }
    if (type == &PyUnicode_Type) {
        return wf_bson_encode_text(e, WF_BSON_STRING, name, o);
    }
    if (type == &PyLong_Type) {
        return encode_int(e, name, o, false);
    }
    if (type == &PyFloat_Type) {
        return check(e, wf_bson_put_double(&e->out, name, PyFloat_AS_DOUBLE(o)));
    }
    if (o == Py_None) {
        return check(e, wf_bson_put_plain(&e->out, WF_BSON_NULL, name));
    }
    if (type == &PyBool_Type) {
        return check(e, wf_bson_put_bool(&e->out, name, o == Py_True));
    }
    if (type == &PyDict_Type) {
        return encode_document(e, name, o);
    }
    if (type == &PyList_Type || type == &PyTuple_Type) {
        return encode_sequence(e, name, o);
    }
    if (type == &PyBytes_Type) {
        struct wf_span bytes = wf_span(PyBytes_AS_STRING(o), (size_t)PyBytes_GET_SIZE(o));
        return check(e, wf_bson_put_binary(&e->out, name, 0, bytes));
    }
    return encode_other(e, name, o);
}

PyObject *wf_bson_py_encode(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames) {
    struct wf_state *state = wf_state_of_module(module);
    struct encoder e = {.state = state, .s = &state->bson};
    struct wf_bson_arguments a;
    struct wf_bson_options store, *options;
    if (wf_bson_arguments("encode", args, nargs, kwnames, &a) < 0 ||
        wf_bson_options_open(e.s, a.options, &store, &options) < 0) {
        return NULL;
    }
    PyObject *bytes = NULL, *shape = a.type != NULL ? wf_shape_find(state, a.type) : NULL;
    if (a.type == NULL || shape != NULL) {
        e.options = options;
        e.typed = shape != NULL;
        wf_buf_init(&e.out, WF_BSON_BYTES_MAX);
        int rc = shape != NULL ? wf_bson_encode_root(&e, ((struct wf_shape *)shape)->root, a.data)
                               : wf_bson_encode_mapping(&e, a.data, true);
        if (rc == 0) {
            bytes = PyBytes_FromStringAndSize(e.out.p, (Py_ssize_t)e.out.len);
        }
        wf_buf_free(&e.out);
        Py_XDECREF(shape);
    }
    wf_bson_options_close(options);
    return bytes;
}
