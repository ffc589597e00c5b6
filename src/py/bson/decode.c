/* BSON to objects: the cursor of wire/bson, an object for each element.
 *
 * Common values are made where their bytes are read; the others of the cursor's element. The values
 * of open arrays wait on a stack, so that a list is made once its length is known. */
#include "py/bson/bson_int.h"

#include "base/ucs.h"
#include "base/utf8.h"
#include "py/bson/dates.h"
#include "py/bson/options.h"
#include "py/key_slot.h"
#include "py/values.h"
#include "wire/bson/bson_read.h"
#include "wire/bson/date.h"

enum {
    /* Levels that are free; beyond, each counts against Python's recursion limit too. */
    DEPTH_UNCOUNTED = 32,
    /* Where names do not recur, the cache of keys would only churn. A name that is not in it adds
     * one to what is doubted, one that is takes an eighth: past this (less than one of five was
     * there) only one of so many names is looked for. */
    DOUBT_MAX = 32
};

struct decoder {
    struct wf_bson_state *s;
    const struct wf_bson_options *options; /* NULL: the usual ones */
    const char *start; /* of the document, which is `base` bytes into what the caller gave */
    size_t base;
    const struct place *place;
    unsigned depth;
    struct wf_values values; /* of the arrays that are open */
};

static PyObject *decode_document(struct decoder *d, struct wf_span in, bool hook);

static size_t position(const struct decoder *d, const char *at) {
    return d->base + (size_t)(at - d->start);
}

static WF_NOINLINE PyObject *fail(struct decoder *d, enum wf_bson_error e, const char *at) {
    wf_bson_raise_decode(d->s, d->place, position(d, at), wf_bson_error_text(e));
    return NULL;
}

/* Not cleared as a whole: it is large, and most of it is never used. */
static inline void decoder_init(struct decoder *d, struct wf_bson_state *s,
                                const struct wf_bson_options *options, const char *start,
                                size_t base) {
    d->s = s;
    d->options = options;
    d->start = start;
    d->base = base;
    d->place = NULL;
    d->depth = 0;
    wf_values_init(&d->values);
}

static void decoder_clear(struct decoder *d) {
    WF_ASSERT(d->values.len == 0);
    wf_values_clear(&d->values);
}

/* ---- text ---- */

/* Not UTF-8: what the options make of it, else an error. */
static WF_NOINLINE PyObject *make_damaged(struct decoder *d, struct wf_span s) {
    const char *errors = d->options != NULL ? d->options->unicode_errors : NULL;
    PyObject *str = PyUnicode_DecodeUTF8(s.p, (Py_ssize_t)s.n, errors);
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

static WF_NOINLINE PyObject *make_wide(struct decoder *d, struct wf_span s) {
    size_t chars;
    uint32_t max_char;
    if (wf_unlikely(!wf_utf8_check(s, &chars, &max_char))) {
        return make_damaged(d, s);
    }
    if (chars < 2) { /* CPython keeps the strings of one character of Latin-1 */
        return PyUnicode_DecodeUTF8(s.p, (Py_ssize_t)s.n, NULL);
    }
    PyObject *str = PyUnicode_New((Py_ssize_t)chars, max_char);
    if (wf_likely(str != NULL)) {
        wf_ucs_from_utf8(PyUnicode_DATA(str), PyUnicode_KIND(str), s);
    }
    return str;
}

/* Is all of it ASCII? Eight bytes at a time, the last ones again: short text is common. */
static inline bool is_ascii(struct wf_span s) {
    uint64_t high = 0;
    if (s.n >= 64) {
        return wf_ascii_prefix(s.p, s.n) == s.n;
    }
    if (s.n >= 8) {
        for (size_t i = 0; i + 8 <= s.n; i += 8) {
            high |= wf_bson_load64(s.p + i);
        }
        high |= wf_bson_load64(s.p + s.n - 8);
    } else if (s.n >= 4) {
        high = wf_bson_load32(s.p) | wf_bson_load32(s.p + s.n - 4);
    } else {
        for (size_t i = 0; i < s.n; i++) {
            high |= (unsigned char)s.p[i];
        }
    }
    return (high & 0x8080808080808080u) == 0;
}

static inline PyObject *make_text(struct decoder *d, struct wf_span s) {
    if (wf_unlikely(s.n < 2 || !is_ascii(s))) {
        return make_wide(d, s);
    }
    PyObject *str = PyUnicode_New((Py_ssize_t)s.n, 127);
    if (wf_likely(str != NULL)) {
        memcpy(PyUnicode_1BYTE_DATA(str), s.p, s.n);
    }
    return str;
}

/* ---- keys ---- */

/* A key that is ASCII, copied in steps that do not overlap: it is hashed next, eight bytes at a time,
 * and what overlapping stores wrote cannot be forwarded to such a load. */
static inline PyObject *make_ascii_key(struct decoder *d, struct wf_span s) {
    if (wf_unlikely(s.n < 2)) {
        return make_wide(d, s);
    }
    PyObject *key = PyUnicode_New((Py_ssize_t)s.n, 127);
    if (wf_likely(key != NULL)) {
        char *to = (char *)PyUnicode_1BYTE_DATA(key);
        size_t i = 0;
        for (; i + 8 <= s.n; i += 8) {
            memcpy(to + i, s.p + i, 8);
        }
        if (s.n & 4) {
            memcpy(to + i, s.p + i, 4);
            i += 4;
        }
        for (; i < s.n; i++) {
            to[i] = s.p[i];
        }
    }
    return key;
}

static WF_NOINLINE PyObject *make_new_key(struct decoder *d, struct wf_span s, PyObject **slot) {
    PyObject *key = make_ascii_key(d, s);
    if (key == NULL || PyObject_Hash(key) == -1) { /* a str keeps its hash */
        Py_XDECREF(key);
        return NULL;
    }
    Py_XSETREF(*slot, Py_NewRef(key));
    return key;
}

static inline PyObject *make_key(struct decoder *d, const struct wf_bson_element *e) {
    struct wf_span s = e->name;
    if (wf_unlikely(s.n > WF_BSON_KEY_BYTES_MAX || e->name_wide)) {
        return make_text(d, s);
    }
    struct wf_bson_state *state = d->s;
    if (wf_unlikely(state->doubt >= DOUBT_MAX && ++state->unlooked % DOUBT_MAX != 0)) {
        return make_ascii_key(d, s);
    }
    PyObject **slot = &state->keys[wf_key_slot(s, WF_BSON_KEYS)];
    PyObject *key = *slot; /* borrowed from the cache */
    if (wf_likely(key != NULL && (size_t)PyUnicode_GET_LENGTH(key) == s.n &&
                  memcmp(PyUnicode_1BYTE_DATA(key), s.p, s.n) == 0)) {
        state->doubt -= (state->doubt + 7) / 8;
        return Py_NewRef(key);
    }
    state->doubt += state->doubt < 2 * DOUBT_MAX; /* so that a few hits are enough to go back */
    return make_new_key(d, s, slot);
}

/* ---- BSON's own types ---- */

static PyObject *make_bytes(struct wf_span s) {
    return PyBytes_FromStringAndSize(s.p, (Py_ssize_t)s.n);
}

static PyObject *make_date(struct wf_bson_state *s, int64_t ms, PyObject *tz) {
    struct wf_bson_date t;
    bool is_date = wf_bson_date_from_ms(ms, &t);
    WF_ASSERT(is_date);
    (void)is_date;
    if (wf_bson_need_datetime(s) < 0) {
        return NULL;
    }
    PyDateTime_CAPI *api = wf_bson_datetime(s);
    return api->DateTime_FromDateAndTime(t.year, t.month, t.day, t.hour, t.minute, t.second,
                                         t.millisecond * 1000, tz, api->DateTimeType);
}

static PyObject *fail_date(struct decoder *d, const char *at) {
    wf_bson_raise_decode(d->s, d->place, position(d, at), "a date outside the years 1 to 9999");
    return NULL;
}

/* As options say; without any, naive. */
static PyObject *make_datetime(struct decoder *d, int64_t ms, const char *at) {
    const struct wf_bson_options *o = d->options;
    bool fits = ms >= WF_BSON_DATE_MIN_MS && ms <= WF_BSON_DATE_MAX_MS;
    if (wf_likely(o == NULL)) {
        return wf_likely(fits) ? make_date(d->s, ms, Py_None) : fail_date(d, at);
    }
    if (o->dates == WF_BSON_DATES_MS || (!fits && o->dates == WF_BSON_DATES_AUTO)) {
        return wf_bson_make(d->s, WF_BSON_CLASS_DatetimeMS, PyLong_FromLongLong(ms), NULL, 1);
    }
    if (!fits && o->dates != WF_BSON_DATES_CLAMP) {
        return fail_date(d, at);
    }
    ms = WF_MIN(WF_MAX(ms, WF_BSON_DATE_MIN_MS), WF_BSON_DATE_MAX_MS);
    PyObject *date = make_date(d->s, ms, o->tz_aware ? o->utc : Py_None);
    if (date != NULL && o->tzinfo != NULL) {
        Py_SETREF(date, PyObject_CallMethodOneArg(date, d->s->names[NAME_astimezone], o->tzinfo));
        if (date == NULL && PyErr_ExceptionMatches(PyExc_OverflowError)) {
            return fail_date(d, at);
        }
    }
    return date;
}

static PyObject *make_binary(struct decoder *d, const struct wf_bson_element *e) {
    if (e->subtype == 0) {
        return make_bytes(e->text);
    }
    if (d->options != NULL && wf_bson_is_uuid(d->options, e->subtype)) {
        if (e->text.n != 16) {
            wf_bson_raise_decode(d->s, d->place, position(d, e->value), "a UUID is not 16 bytes");
            return NULL;
        }
        return wf_bson_make_uuid(d->s, d->options, e->text.p);
    }
    return wf_bson_make_binary(d->s, e->text, e->subtype);
}

/* Options of a regular expression as flags of the re module; others are passed over, as PyMongo
 * does. */
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

/* The value of a name in a document: owned; NULL where it has none, or with an exception. */
static PyObject *document_get(PyObject *document, PyObject *name) {
    PyObject *value;
    if (wf_likely(PyDict_CheckExact(document))) {
        value = PyDict_GetItemWithError(document, name);
        return Py_XNewRef(value);
    }
    if (PySequence_Contains(document, name) != 1) { /* a defaultdict must not make one */
        return NULL;
    }
    return PyObject_GetItem(document, name);
}

/* Element names of a DBRef: {"$ref": str, "$id": any, "$db": str or absent, ...}. The document is
 * stolen; it comes back where it is none. */
static WF_NOINLINE PyObject *dbref_or(struct decoder *d, PyObject *document) {
    PyObject **names = &d->s->names[NAME_dollar_ref]; /* $ref, $id, $db */
    PyObject *values[3] = {NULL, NULL, NULL};         /* owned */
    PyObject *made = NULL;
    for (int i = 0; i < 3; i++) {
        values[i] = document_get(document, names[i]);
        if (values[i] == NULL && PyErr_Occurred()) {
            goto done;
        }
    }
    if (values[0] == NULL || !PyUnicode_Check(values[0]) || values[1] == NULL ||
        (values[2] != NULL && values[2] != Py_None && !PyUnicode_Check(values[2]))) {
        made = Py_NewRef(document);
        goto done;
    }
    for (int i = 0; i < 3; i++) {
        if (values[i] != NULL && PyObject_DelItem(document, names[i]) < 0) {
            goto done;
        }
    }
    if (wf_bson_need_classes(d->s) == 0) {
        made =
            PyObject_CallFunctionObjArgs(d->s->classes[WF_BSON_CLASS_DBRef], values[0], values[1],
                                         values[2] != NULL ? values[2] : Py_None, document, NULL);
    }
done:
    for (int i = 0; i < 3; i++) {
        Py_XDECREF(values[i]);
    }
    Py_DECREF(document);
    return made;
}

/* ---- values ---- */

static PyObject *decode_array(struct decoder *d, struct wf_span in);

static WF_NOINLINE PyObject *make_other(struct decoder *d, const struct wf_bson_element *e) {
    switch (e->type) {
    case WF_BSON_UNDEFINED:
        return Py_NewRef(Py_None);
    case WF_BSON_SYMBOL:
        return make_text(d, e->text);
    case WF_BSON_REGEX: {
        PyObject *pattern = make_text(d, e->text);
        return wf_bson_make(d->s, WF_BSON_CLASS_Regex, pattern,
                            pattern != NULL ? make_flags(d, e->more) : NULL, 2);
    }
    case WF_BSON_DBPOINTER: {
        PyObject *ns = make_text(d, e->text);
        return wf_bson_make(d->s, WF_BSON_CLASS_DBRef, ns,
                            ns != NULL ? wf_bson_make_objectid(d->s, e->more.p) : NULL, 2);
    }
    case WF_BSON_CODE:
        return wf_bson_make(d->s, WF_BSON_CLASS_Code, make_text(d, e->text), NULL, 1);
    case WF_BSON_CODE_SCOPE: {
        PyObject *code = make_text(d, e->text);
        return wf_bson_make(d->s, WF_BSON_CLASS_Code, code,
                            code != NULL ? decode_document(d, e->more, false) : NULL, 2);
    }
    default:
        WF_ASSERT(e->type == WF_BSON_MINKEY || e->type == WF_BSON_MAXKEY);
        if (wf_bson_need_classes(d->s) < 0) {
            return NULL;
        }
        return PyObject_CallNoArgs(
            d->s->classes[e->type == WF_BSON_MINKEY ? WF_BSON_CLASS_MinKey : WF_BSON_CLASS_MaxKey]);
    }
}

static WF_NOINLINE PyObject *make_value(struct decoder *d, const struct wf_bson_element *e) {
    switch (e->type) {
    case WF_BSON_STRING:
        return make_text(d, e->text);
    case WF_BSON_INT32:
        return PyLong_FromLong((long)e->i);
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
    case WF_BSON_INT64:
        return wf_bson_make_int64(d->s, e->i);
    case WF_BSON_OBJECTID:
        return wf_bson_make_objectid(d->s, e->text.p);
    case WF_BSON_DATETIME:
        return make_datetime(d, e->i, e->value);
    case WF_BSON_BINARY:
        return make_binary(d, e);
    case WF_BSON_TIMESTAMP:
        return wf_bson_make_timestamp(d->s, e->timestamp.seconds, e->timestamp.increment);
    case WF_BSON_DECIMAL128:
        return wf_bson_make_decimal(d->s, e->decimal);
    default:
        return make_other(d, e);
    }
}

/* Any value, by the cursor's rules: also those that decode_value found wrong. */
static WF_NOINLINE PyObject *decode_by_element(struct decoder *d, struct wf_bson_cursor *c,
                                               struct wf_bson_element *e) {
    enum wf_bson_error error = wf_bson_next_value(c, e);
    return wf_likely(error == WF_BSON_OK) ? make_value(d, e) : fail(d, error, c->p);
}

/* The value whose name was read. The common ones are read here, in one step with the making. */
WF_ALWAYS_INLINE PyObject *decode_value(struct decoder *d, struct wf_bson_cursor *c,
                                        struct wf_bson_element *e) {
    const char *p = c->p;
    size_t left = (size_t)(c->end - p);
    switch (e->type) {
    case WF_BSON_STRING:
        if (wf_likely(left >= 5)) {
            uint32_t n = wf_bson_load32(p);
            if (wf_likely(n != 0 && n <= left - 4 && p[3 + n] == 0)) {
                c->p = p + 4 + n;
                return make_text(d, wf_span(p + 4, n - 1));
            }
        }
        break;
    case WF_BSON_INT32:
        if (wf_likely(left >= 4)) {
            c->p = p + 4;
            return PyLong_FromLong((int32_t)wf_bson_load32(p));
        }
        break;
    case WF_BSON_DOUBLE:
        if (wf_likely(left >= 8)) {
            uint64_t bits = wf_bson_load64(p);
            double v;
            memcpy(&v, &bits, 8);
            c->p = p + 8;
            return PyFloat_FromDouble(v);
        }
        break;
    case WF_BSON_BOOL:
        if (wf_likely(left >= 1 && (uint8_t)*p <= 1)) {
            c->p = p + 1;
            return Py_NewRef(*p != 0 ? Py_True : Py_False);
        }
        break;
    case WF_BSON_NULL:
        return Py_NewRef(Py_None);
    default:
        break;
    }
    return decode_by_element(d, c, e);
}

/* What a custom decoder of the options' makes of a value (stolen, may be NULL). */
static WF_NOINLINE PyObject *customized(struct decoder *d, PyObject *value) {
    PyObject *decoder =
        value != NULL ? PyDict_GetItemWithError(d->options->decoders, (PyObject *)Py_TYPE(value))
                      : NULL;
    if (decoder != NULL) {
        Py_INCREF(decoder);
        Py_SETREF(value, PyObject_CallOneArg(decoder, value));
        Py_DECREF(decoder);
    } else if (value != NULL && PyErr_Occurred()) {
        Py_CLEAR(value);
    }
    return value;
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

/* hook  a document that looks like a DBRef becomes one */
static PyObject *decode_document(struct decoder *d, struct wf_span in, bool hook) {
    struct wf_bson_cursor c;
    struct wf_bson_element e;
    struct place place = {.up = d->place};
    const struct wf_bson_options *o = d->options;
    bool dollar = false;
    if (enter(d, &c, in) < 0) {
        return NULL;
    }
    bool is_dict = wf_likely(o == NULL || o->document_class == NULL);
    PyObject *document = is_dict ? PyDict_New() : PyObject_CallNoArgs(o->document_class);
    if (document == NULL) {
        leave(d);
        return NULL;
    }
    for (;;) {
        enum wf_bson_error error = wf_bson_next_name(&c, &e);
        if (wf_unlikely(error != WF_BSON_OK)) {
            fail(d, error, c.p);
            break;
        }
        if (e.type == 0) {
            leave(d);
            return hook && wf_unlikely(dollar) ? dbref_or(d, document) : document;
        }
        dollar |= *e.name.p == '$'; /* or its NUL */
        PyObject *key = make_key(d, &e);
        if (wf_unlikely(key == NULL)) {
            break;
        }
        place.name = e.name;
        d->place = &place;
        PyObject *value = decode_value(d, &c, &e);
        if (wf_unlikely(o != NULL && o->decoders != NULL)) {
            value = customized(d, value);
        }
        d->place = place.up;
        int rc = -1;
        if (wf_likely(value != NULL)) { /* the last of equal names wins */
            rc = is_dict ? PyDict_SetItem(document, key, value)
                         : PyObject_SetItem(document, key, value);
            Py_DECREF(value);
        }
        Py_DECREF(key);
        if (wf_unlikely(rc < 0)) {
            break;
        }
    }
    leave(d);
    Py_DECREF(document);
    return NULL;
}

static PyObject *decode_array(struct decoder *d, struct wf_span in) {
    struct wf_bson_cursor c;
    struct wf_bson_element e;
    struct place place = {.up = d->place};
    size_t at = d->values.len;
    if (enter(d, &c, in) < 0) {
        return NULL;
    }
    d->place = &place;
    for (;; place.index++) {
        enum wf_bson_error error = wf_bson_next_name(&c, &e);
        if (wf_unlikely(error != WF_BSON_OK)) {
            fail(d, error, c.p);
            break;
        }
        if (e.type == 0) {
            PyObject *list = wf_values_pop_list(&d->values, at);
            if (wf_unlikely(list == NULL)) {
                break;
            }
            d->place = place.up;
            leave(d);
            return list;
        }
        if (wf_unlikely(e.name_wide && !wf_utf8_valid(e.name))) {
            fail(d, WF_BSON_ERROR_UTF8, e.name.p);
            break;
        }
        PyObject *value = decode_value(d, &c, &e);
        if (wf_unlikely(d->options != NULL && d->options->decoders != NULL)) {
            value = customized(d, value);
        }
        if (wf_unlikely(value == NULL || wf_values_push(&d->values, value) < 0)) {
            break;
        }
    }
    wf_values_drop(&d->values, at);
    d->place = place.up;
    leave(d);
    return NULL;
}

/* ---- whole documents ---- */

PyObject *wf_bson_decode(struct wf_bson_state *s, const struct wf_bson_options *options,
                         struct wf_span in, size_t base) {
    if (options != NULL && options->raw) {
        PyObject *bytes = make_bytes(in);
        PyObject *document = bytes != NULL
                                 ? PyObject_CallFunctionObjArgs(options->document_class, bytes,
                                                                options->object, NULL)
                                 : NULL;
        Py_XDECREF(bytes);
        return document;
    }
    struct decoder d;
    decoder_init(&d, s, options, in.p, base);
    PyObject *document = decode_document(&d, in, false);
    decoder_clear(&d);
    return document;
}

PyObject *wf_bson_decode_element(struct wf_bson_state *s, const struct wf_bson_options *options,
                                 const struct wf_bson_element *e, const char *start, size_t base,
                                 unsigned depth) {
    struct decoder d;
    decoder_init(&d, s, options, start, base);
    d.depth = WF_MIN(depth, (unsigned)WF_BSON_DEPTH_MAX);
    PyObject *value = make_value(&d, e);
    if (wf_unlikely(options != NULL && options->decoders != NULL)) {
        value = customized(&d, value);
    }
    decoder_clear(&d);
    return value;
}
