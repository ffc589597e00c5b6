/* BSON to objects: the cursor of wire/bson, an object for each element. */
#include "py/bson/bson_int.h"

#include <datetime.h>

#include "base/utf8.h"
#include "wire/bson/bson_read.h"
#include "wire/bson/date.h"

enum {
    /* Levels that are free; beyond, each counts against Python's recursion limit too. */
    DEPTH_UNCOUNTED = 32
};

struct decoder {
    struct wf_bson_state *s;
    const char *start; /* of what the caller gave: offsets count from here */
    const struct place *place;
    unsigned depth;
};

static PyObject *decode_document(struct decoder *d, struct wf_span in, bool hook);

static WF_NOINLINE PyObject *fail(struct decoder *d, enum wf_bson_error e, const char *at) {
    wf_bson_raise_decode(d->s, d->place, (size_t)(at - d->start), wf_bson_error_text(e));
    return NULL;
}

/* ---- text ---- */

static WF_NOINLINE PyObject *make_wide(struct decoder *d, struct wf_span s) {
    PyObject *str = PyUnicode_DecodeUTF8(s.p, (Py_ssize_t)s.n, NULL);
    if (str == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        Py_ssize_t start = 0;
        PyObject *cause = wf_err_take();
        if (PyUnicodeDecodeError_GetStart(cause, &start) < 0) {
            PyErr_Clear();
        }
        wf_err_put(cause);
        fail(d, WF_BSON_ERROR_UTF8, s.p + start);
    }
    return str;
}

static inline PyObject *make_text(struct decoder *d, struct wf_span s) {
    if (wf_unlikely(s.n < 2 || wf_ascii_prefix(s.p, s.n) != s.n)) {
        return make_wide(d, s); /* it knows the strings of one character, too */
    }
    PyObject *str = PyUnicode_New((Py_ssize_t)s.n, 127);
    if (wf_likely(str != NULL)) {
        memcpy(PyUnicode_1BYTE_DATA(str), s.p, s.n);
    }
    return str;
}

/* Names that share a slot push each other out, which costs time and nothing else. */
static inline size_t key_slot(struct wf_span s) {
    uint64_t h = s.n * 0x9e3779b97f4a7c15u;
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        h = (h ^ wf_bson_load64(s.p + i)) * 0xd6e8feb86659fd93u;
        h ^= h >> 32;
    }
    for (; i < s.n; i++) {
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    }
    return (size_t)((h ^ (h >> 29)) * 0x9e3779b97f4a7c15u >> 48) % WF_BSON_KEYS;
}

static inline PyObject *make_key(struct decoder *d, struct wf_span s) {
    if (wf_unlikely(s.n > WF_BSON_KEY_BYTES_MAX)) {
        return make_text(d, s);
    }
    PyObject **slot = &d->s->keys[key_slot(s)];
    PyObject *key = *slot; /* borrowed from the cache */
    if (wf_likely(key != NULL && (size_t)PyUnicode_GET_LENGTH(key) == s.n &&
                  memcmp(PyUnicode_1BYTE_DATA(key), s.p, s.n) == 0)) {
        return Py_NewRef(key);
    }
    key = make_text(d, s);
    if (key == NULL || !PyUnicode_IS_ASCII(key)) {
        return key;
    }
    if (PyObject_Hash(key) == -1) { /* a str keeps its hash */
        Py_DECREF(key);
        return NULL;
    }
    Py_XSETREF(*slot, Py_NewRef(key));
    return key;
}

/* ---- BSON's own types ---- */

/* Calls a class with one or two arguments, which are stolen and may be NULL with an exception. */
static PyObject *make(struct decoder *d, enum wf_bson_class cls, PyObject *a, PyObject *b,
                      int nargs) {
    PyObject *args[2] = {a, b}, *made = NULL;
    if (a != NULL && (nargs == 1 || b != NULL) && wf_bson_need_classes(d->s) == 0) {
        made = PyObject_Vectorcall(d->s->classes[cls], args, (size_t)nargs, NULL);
    }
    Py_XDECREF(a);
    Py_XDECREF(b);
    return made;
}

static PyObject *make_bytes(struct wf_span s) {
    return PyBytes_FromStringAndSize(s.p, (Py_ssize_t)s.n);
}

static PyObject *make_objectid(struct decoder *d, struct wf_span s) {
    PyObject *bytes = make_bytes(s);
    if (bytes == NULL || wf_bson_need_classes(d->s) < 0) {
        Py_XDECREF(bytes);
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)d->s->classes[WF_BSON_CLASS_ObjectId];
    if (!d->s->id_slot) {
        return make(d, WF_BSON_CLASS_ObjectId, bytes, NULL, 1);
    }
    PyObject *id = type->tp_alloc(type, 0);
    if (id != NULL && PyObject_SetAttr(id, d->s->names[NAME__ObjectId__id], bytes) < 0) {
        Py_CLEAR(id);
    }
    Py_DECREF(bytes);
    return id;
}

static PyObject *make_datetime(struct decoder *d, const struct wf_bson_element *e) {
    struct wf_bson_date t;
    if (wf_unlikely(!wf_bson_date_from_ms(e->i, &t))) {
        wf_bson_raise_decode(d->s, d->place, (size_t)(e->value - d->start),
                             "a date outside the years 1 to 9999");
        return NULL;
    }
    if (PyDateTimeAPI == NULL) {
        PyDateTime_IMPORT;
        if (PyDateTimeAPI == NULL) {
            return NULL;
        }
    }
    return PyDateTime_FromDateAndTime(t.year, t.month, t.day, t.hour, t.minute, t.second,
                                      t.millisecond * 1000);
}

static PyObject *make_decimal(struct decoder *d, const struct wf_bson_element *e) {
    PyObject *bid = make_bytes(wf_span(e->value, 16));
    if (bid == NULL || wf_bson_need_classes(d->s) < 0) {
        Py_XDECREF(bid);
        return NULL;
    }
    PyObject *args[] = {d->s->classes[WF_BSON_CLASS_Decimal128], bid};
    PyObject *v = PyObject_VectorcallMethod(d->s->names[NAME_from_bid], args, 2, NULL);
    Py_DECREF(bid);
    return v;
}

/* Options of a regular expression as flags of the re module; others are passed over, as PyMongo
 * does.
 */
static PyObject *make_flags(struct decoder *d, struct wf_span options) {
    static const char letters[] = "ilmsux"; /* 2, 4, 8, ... */
    long flags = 0;
    if (!wf_utf8_valid(options)) {
        return fail(d, WF_BSON_ERROR_UTF8, options.p);
    }
    for (size_t i = 0; i < options.n; i++) {
        const char *at = strchr(letters, options.p[i]);
        flags |= at != NULL ? 2L << (at - letters) : 0;
    }
    return PyLong_FromLong(flags);
}

/* Element names of a DBRef: {"$ref": str, "$id": any, "$db": str or absent, ...}. The dict is
 * stolen; it comes back where it is none. */
static WF_NOINLINE PyObject *dbref_or(struct decoder *d, PyObject *dict) {
    static const char *const names[] = {"$ref", "$id", "$db"};
    PyObject *values[3] = {NULL, NULL, NULL}; /* borrowed, then owned */
    for (int i = 0; i < 3; i++) {
        PyObject *name = PyUnicode_FromString(names[i]);
        values[i] = name != NULL ? PyDict_GetItemWithError(dict, name) : NULL;
        Py_XDECREF(name);
        if (values[i] == NULL && PyErr_Occurred()) {
            Py_DECREF(dict);
            return NULL;
        }
    }
    if (values[0] == NULL || !PyUnicode_Check(values[0]) || values[1] == NULL ||
        (values[2] != NULL && values[2] != Py_None && !PyUnicode_Check(values[2]))) {
        return dict;
    }
    PyObject *made = NULL;
    bool has_db = values[2] != NULL;
    values[2] = has_db ? values[2] : Py_None;
    for (int i = 0; i < 3; i++) {
        Py_INCREF(values[i]);
    }
    if (wf_bson_need_classes(d->s) == 0 && PyDict_DelItemString(dict, "$ref") == 0 &&
        PyDict_DelItemString(dict, "$id") == 0 &&
        (!has_db || PyDict_DelItemString(dict, "$db") == 0)) {
        made = PyObject_CallFunctionObjArgs(d->s->classes[WF_BSON_CLASS_DBRef], values[0],
                                            values[1], values[2], dict, NULL);
    }
    for (int i = 0; i < 3; i++) {
        Py_DECREF(values[i]);
    }
    Py_DECREF(dict);
    return made;
}

/* ---- values ---- */

static PyObject *decode_array(struct decoder *d, struct wf_span in);

static PyObject *decode_other(struct decoder *d, const struct wf_bson_element *e) {
    switch (e->type) {
    case WF_BSON_UNDEFINED:
        return Py_NewRef(Py_None);
    case WF_BSON_SYMBOL:
        return make_text(d, e->text);
    case WF_BSON_BINARY:
        return e->subtype == 0 ? make_bytes(e->text)
                               : make(d, WF_BSON_CLASS_Binary, make_bytes(e->text),
                                      PyLong_FromLong(e->subtype), 2);
    case WF_BSON_REGEX: {
        PyObject *pattern = make_text(d, e->text);
        return make(d, WF_BSON_CLASS_Regex, pattern,
                    pattern != NULL ? make_flags(d, e->more) : NULL, 2);
    }
    case WF_BSON_DBPOINTER: {
        PyObject *ns = make_text(d, e->text);
        return make(d, WF_BSON_CLASS_DBRef, ns, ns != NULL ? make_objectid(d, e->more) : NULL, 2);
    }
    case WF_BSON_CODE:
        return make(d, WF_BSON_CLASS_Code, make_text(d, e->text), NULL, 1);
    case WF_BSON_CODE_SCOPE: {
        PyObject *code = make_text(d, e->text);
        return make(d, WF_BSON_CLASS_Code, code,
                    code != NULL ? decode_document(d, e->more, false) : NULL, 2);
    }
    case WF_BSON_TIMESTAMP: {
        PyObject *seconds = PyLong_FromUnsignedLong(e->timestamp.seconds);
        return make(d, WF_BSON_CLASS_Timestamp, seconds,
                    seconds != NULL ? PyLong_FromUnsignedLong(e->timestamp.increment) : NULL, 2);
    }
    case WF_BSON_DECIMAL128:
        return make_decimal(d, e);
    default:
        WF_ASSERT(e->type == WF_BSON_MINKEY || e->type == WF_BSON_MAXKEY);
        if (wf_bson_need_classes(d->s) < 0) {
            return NULL;
        }
        return PyObject_CallNoArgs(
            d->s->classes[e->type == WF_BSON_MINKEY ? WF_BSON_CLASS_MinKey : WF_BSON_CLASS_MaxKey]);
    }
}

static inline PyObject *decode_value(struct decoder *d, const struct wf_bson_element *e) {
    switch (e->type) {
    case WF_BSON_STRING:
        return make_text(d, e->text);
    case WF_BSON_INT32:
        return PyLong_FromLong((long)e->i);
    case WF_BSON_INT64:
        return make(d, WF_BSON_CLASS_Int64, PyLong_FromLongLong(e->i), NULL, 1);
    case WF_BSON_DOUBLE:
        return PyFloat_FromDouble(e->d);
    case WF_BSON_BOOL:
        return Py_NewRef(e->i != 0 ? Py_True : Py_False);
    case WF_BSON_NULL:
        return Py_NewRef(Py_None);
    case WF_BSON_DOCUMENT:
        return decode_document(d, e->text, true);
    case WF_BSON_ARRAY:
        return decode_array(d, e->text);
    case WF_BSON_OBJECTID:
        return make_objectid(d, e->text);
    case WF_BSON_DATETIME:
        return make_datetime(d, e);
    default:
        return decode_other(d, e);
    }
}

/* Opens a document or array one level deeper. 0, or -1 with an exception. */
static int enter(struct decoder *d, struct wf_bson_cursor *c, struct wf_span in) {
    size_t bytes;
    enum wf_bson_error e =
        d->depth == WF_BSON_DEPTH_MAX ? WF_BSON_ERROR_DEPTH : wf_bson_open(c, in, &bytes);
    if (wf_unlikely(e != WF_BSON_OK)) {
        fail(d, e, e == WF_BSON_ERROR_DEPTH ? in.p : c->p);
        return -1;
    }
    if (wf_unlikely(bytes != in.n)) {
        fail(d, WF_BSON_ERROR_TRAILING, in.p + bytes);
        return -1;
    }
    if (wf_unlikely(d->depth >= DEPTH_UNCOUNTED) &&
        Py_EnterRecursiveCall(" while decoding BSON") != 0) {
        return -1;
    }
    d->depth++;
    return 0;
}

static void leave(struct decoder *d) {
    d->depth--;
    if (wf_unlikely(d->depth >= DEPTH_UNCOUNTED)) {
        Py_LeaveRecursiveCall();
    }
}

/* hook  a dict that looks like a DBRef becomes one */
static PyObject *decode_document(struct decoder *d, struct wf_span in, bool hook) {
    struct wf_bson_cursor c;
    struct wf_bson_element e;
    struct place place = {.up = d->place};
    bool dollar = false;
    if (enter(d, &c, in) < 0) {
        return NULL;
    }
    PyObject *dict = PyDict_New();
    if (dict == NULL) {
        leave(d);
        return NULL;
    }
    for (;;) {
        enum wf_bson_error error = wf_bson_next(&c, &e);
        if (wf_unlikely(error != WF_BSON_OK)) {
            fail(d, error, c.p);
            break;
        }
        if (e.type == 0) {
            leave(d);
            return hook && wf_unlikely(dollar) ? dbref_or(d, dict) : dict;
        }
        dollar |= e.name.n != 0 && *e.name.p == '$';
        PyObject *key = make_key(d, e.name);
        if (wf_unlikely(key == NULL)) {
            break;
        }
        place.name = e.name;
        d->place = &place;
        PyObject *value = decode_value(d, &e);
        d->place = place.up;
        int rc = value != NULL ? PyDict_SetItem(dict, key, value) : -1; /* the last of equals */
        Py_DECREF(key);
        Py_XDECREF(value);
        if (wf_unlikely(rc < 0)) {
            break;
        }
    }
    leave(d);
    Py_DECREF(dict);
    return NULL;
}

static PyObject *decode_array(struct decoder *d, struct wf_span in) {
    struct wf_bson_cursor c;
    struct wf_bson_element e;
    struct place place = {.up = d->place};
    if (enter(d, &c, in) < 0) {
        return NULL;
    }
    PyObject *list = PyList_New(0);
    d->place = &place;
    while (list != NULL) {
        enum wf_bson_error error = wf_bson_next(&c, &e);
        if (wf_unlikely(error != WF_BSON_OK)) {
            fail(d, error, c.p);
            Py_CLEAR(list);
            break;
        }
        if (e.type == 0) {
            break;
        }
        PyObject *value;
        if (wf_likely(wf_ascii_prefix(e.name.p, e.name.n) == e.name.n || wf_utf8_valid(e.name))) {
            value = decode_value(d, &e);
        } else {
            value = fail(d, WF_BSON_ERROR_UTF8, e.name.p);
        }
        int rc = value != NULL ? PyList_Append(list, value) : -1;
        Py_XDECREF(value);
        place.index++;
        if (wf_unlikely(rc < 0)) {
            Py_CLEAR(list);
        }
    }
    d->place = place.up;
    leave(d);
    return list;
}

PyObject *wf_bson_py_decode(PyObject *module, PyObject *data) {
    struct input in;
    if (wf_bson_input_open(&in, data) < 0) {
        return NULL;
    }
    struct decoder d = {.s = &wf_state_of_module(module)->bson, .start = in.span.p};
    PyObject *dict = decode_document(&d, in.span, false);
    wf_bson_input_close(&in);
    return dict;
}

/* (data, pos) -> (dict of the document at pos, where the next begins) */
PyObject *wf_bson_py_decode_from(PyObject *module, PyObject *args) {
    PyObject *data;
    Py_ssize_t pos;
    struct input in;
    if (!PyArg_ParseTuple(args, "On:_bson_decode_from", &data, &pos) ||
        wf_bson_input_open(&in, data) < 0) {
        return NULL;
    }
    struct decoder d = {.s = &wf_state_of_module(module)->bson, .start = in.span.p};
    PyObject *result = NULL;
    if (pos < 0 || (size_t)pos > in.span.n) {
        PyErr_SetString(PyExc_IndexError, "position out of range");
    } else {
        struct wf_span rest = wf_span(in.span.p + pos, in.span.n - (size_t)pos);
        struct wf_bson_cursor c;
        size_t bytes;
        enum wf_bson_error e = wf_bson_open(&c, rest, &bytes);
        if (e != WF_BSON_OK) {
            fail(&d, e, c.p);
        } else {
            PyObject *dict = decode_document(&d, wf_span(rest.p, bytes), false);
            result = dict != NULL ? Py_BuildValue("(Nn)", dict, pos + (Py_ssize_t)bytes) : NULL;
        }
    }
    wf_bson_input_close(&in);
    return result;
}
