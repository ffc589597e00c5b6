/* JSON to objects.
 *
 * One loop and two stacks instead of recursion: a frame for each open container, and the values of
 * the open arrays, so that a list is made once its length is known. Text becomes a str of its final
 * size and kind at once. */
#include "py/json/json_make.h"

#include "base/alloc.h"
#include "py/values.h"

enum { ESCAPED_FIRST = 1024 };

/* An open container. */
struct frame {
    PyObject *dict; /* owned; NULL: an array, or the document */
    PyObject *key;  /* owned: the member whose value comes next; NULL between members */
    size_t at;      /* an array's first value in `values` */
};

struct decoder {
    struct wf_json_state *s;
    unsigned flags;
    enum wf_json_error error; /* WF_JSON_OK while what went wrong is a Python exception */
    const char *at;           /* where; or how far a rare token or the whole was read */
    struct frame *top, *last; /* the innermost that is open, and the one that may be */
    struct wf_values values;  /* of the arrays that are open */
    struct frame frames[1 + WF_JSON_DEPTH_MAX]; /* the first one is the document */
};

WF_NOINLINE PyObject *wf_json_make_big_int(struct wf_span digits) {
    char small[512];
    char *text = digits.n < sizeof(small) ? small : wf_malloc(digits.n + 1);
    if (text == NULL) {
        return PyErr_NoMemory();
    }
    memcpy(text, digits.p, digits.n);
    text[digits.n] = '\0';
    PyObject *v = PyLong_FromString(text, NULL, 10);
    if (text != small) {
        wf_free(text);
    }
    return v;
}

/* What json.loads knows beyond JSON; NULL without an exception where it is none of these. */
static PyObject *read_nonfinite(const char **p, const char *end) {
    if (WF_JSON_IS(*p, end, "NaN")) {
        *p += 3;
        return PyFloat_FromDouble(Py_NAN);
    }
    if (WF_JSON_IS(*p, end, "Infinity")) {
        *p += 8;
        return PyFloat_FromDouble(Py_HUGE_VAL);
    }
    if (WF_JSON_IS(*p, end, "-Infinity")) {
        *p += 9;
        return PyFloat_FromDouble(-Py_HUGE_VAL);
    }
    return NULL;
}

/* What has escapes and is ASCII, unescaped as it is read: into `first`, and where that does not do
 * into a str that grows. p is inside the quotes. NULL: an exception; or, with d->odd, it is another
 * kind of string. */
static PyObject *read_escaped(struct decoder *d, const char **p, const char *end, bool *odd) {
    char first[ESCAPED_FIRST], *start = first, *out = first;
    size_t cap = sizeof(first);
    PyObject *str = NULL; /* owned; NULL while `first` is enough */
    const char *q = *p;
    enum wf_json_unescaped state;
    while ((state = wf_json_unescape(&q, end, &out, start + cap)) == WF_JSON_UNESCAPE_FULL) {
        size_t used = (size_t)(out - start);
        cap = WF_MIN(cap * 16,
                     used + (size_t)(end - q) + WF_JSON_UNESCAPE_ROOM); /* or all it can take */
        if (str == NULL) {
            str = PyUnicode_New((Py_ssize_t)cap, 0x7f);
            if (str == NULL) {
                return NULL;
            }
            memcpy(PyUnicode_1BYTE_DATA(str), first, used);
        } else if (PyUnicode_Resize(&str, (Py_ssize_t)cap) < 0) {
            Py_DECREF(str);
            return NULL;
        }
        start = (char *)PyUnicode_1BYTE_DATA(str);
        out = start + used;
    }
    if (state == WF_JSON_UNESCAPE_ODD) {
        Py_XDECREF(str);
        *odd = true;
        return NULL;
    }
    *p = q;
    if (str == NULL) {
        return wf_json_make_ascii(first, (size_t)(out - first));
    }
    if (PyUnicode_Resize(&str, out - start) < 0) {
        Py_CLEAR(str);
    }
    return str;
}

/* What is rare is read out of line, and leaves in d->at where it ends. NULL: as decode_value. */

/* A string that is not plain ASCII. p is inside the quotes, q where the scan stopped. */
static WF_NOINLINE PyObject *read_text(struct decoder *d, const char *p, const char *q,
                                       const char *end, unsigned high) {
    d->at = p;
    if (high == 0 && end - q >= 2 && *q == '\\' && q[1] != 'u') {
        bool odd = false;
        PyObject *str = read_escaped(d, &d->at, end, &odd);
        if (!odd) {
            return str;
        }
    }
    struct wf_json_text text;
    d->error = wf_json_text_read_slow(&d->at, q, end, high, d->flags, &text);
    return wf_likely(d->error == WF_JSON_OK) ? wf_json_make_text(&text) : NULL;
}

/* The same for a key. */
static WF_NOINLINE PyObject *read_odd_key(struct decoder *d, const char *p, const char *end) {
    struct wf_json_text text;
    d->at = p;
    d->error = wf_json_text_read(&d->at, end, d->flags, &text);
    return wf_likely(d->error == WF_JSON_OK) ? wf_json_make_key(d->s, &text) : NULL;
}

/* Any number, or what is none. */
static WF_NOINLINE PyObject *read_number(struct decoder *d, const char *p, const char *end) {
    struct wf_json_number number;
    d->at = p;
    enum wf_json_error e = wf_json_long_number_read(&d->at, end, d->flags, &number);
    if (wf_likely(e == WF_JSON_OK)) {
        PyObject *v = wf_json_make_number(&number);
        if (wf_unlikely(v == NULL)) {
            d->at = p;
        }
        return v;
    }
    if (d->flags & WF_JSON_NONFINITE) {
        const char *q = p;
        PyObject *v = read_nonfinite(&q, end);
        if (v != NULL || PyErr_Occurred()) {
            d->at = q;
            return v;
        }
    }
    const bool none = !wf_json_is_number(*p);
    d->error = none ? WF_JSON_VALUE : e;
    d->at = none ? p : d->at;
    return NULL;
}

/* A number that fits 64 bits or is a float, in registers. */
WF_ALWAYS_INLINE PyObject *read_usual_number(struct decoder *d, const char **p, const char *end) {
    const char *first = *p, *q = first;
    double value;
    if (wf_likely(end - q >= WF_SHORT_NUMBER_BYTES)) {
        int32_t i;
        switch (wf_short_number_read(p, end, &i, &value)) {
        case WF_SHORT_INT:
            return wf_json_make_int(d->s, i);
        case WF_SHORT_DOUBLE:
            return PyFloat_FromDouble(value);
        case WF_SHORT_NONE:
            break;
        }
    }
    bool negative = *q == '-';
    q += negative;
    const char *digits = q;
    uint64_t v = 0;
    q = wf_digits_read(q, end, &v);
    size_t n = (size_t)(q - digits);
    if (wf_unlikely(n - 1 > 18) || (wf_unlikely(*digits == '0') && n > 1)) {
        goto other; /* none; 19 digits fit 64 bits */
    }
    if (wf_likely(q < end) && *q > ',' && (*q == '.' || (*q | 0x20) == 'e')) {
        enum wf_json_error e = wf_json_fraction_read(first, &q, end, v, n, &value);
        if (wf_unlikely(e != WF_JSON_OK || __builtin_isinf(value))) {
            goto other;
        }
        *p = q;
        return PyFloat_FromDouble(value);
    }
    if (wf_likely(v <= INT64_MAX)) {
        const uint64_t sign = negative; /* v or -v, without a guess at which */
        *p = q;
        return wf_json_make_int(d->s, (int64_t)((v ^ -sign) + sign));
    }
other:;
    PyObject *number = read_number(d, first, end);
    *p = d->at;
    return number;
}

/* A string. */
WF_ALWAYS_INLINE PyObject *read_string(struct decoder *d, const char **p, const char *end) {
    const char *first = *p + 1;
    unsigned high = 0;
    const char *q = wf_json_plain(first, end, &high);
    if (wf_likely(high == 0 && q < end && *q == '"')) {
        *p = q + 1;
        return wf_json_make_ascii(first, (size_t)(q - first));
    }
    PyObject *str = read_text(d, first, q, end, high);
    *p = d->at;
    return str;
}

/* A string that is a key. */
WF_ALWAYS_INLINE PyObject *read_key(struct decoder *d, const char **p, const char *end) {
    const char *first = *p + 1;
    unsigned high = 0;
    const char *q = wf_json_plain(first, end, &high);
    if (wf_likely(high == 0 && q < end && *q == '"')) {
        *p = q + 1;
        return wf_json_make_ascii_key(d->s, first, (size_t)(q - first));
    }
    PyObject *key = read_odd_key(d, first, end);
    *p = d->at;
    return key;
}

/* true, false, null and what json.loads knows beyond them, or what is none. NULL: as decode_value. */
static inline PyObject *read_literal(struct decoder *d, const char **p, const char *end) {
    const char *first = *p;
    enum wf_json_error e = WF_JSON_LITERAL;
    switch (*first) {
    case 't':
        if (WF_JSON_IS(first, end, "true")) {
            *p += 4;
            return Py_NewRef(Py_True);
        }
        break;
    case 'f':
        if (WF_JSON_IS(first, end, "false")) {
            *p += 5;
            return Py_NewRef(Py_False);
        }
        break;
    case 'n':
        if (WF_JSON_IS(first, end, "null")) {
            *p += 4;
            return Py_NewRef(Py_None);
        }
        break;
    default:
        if (d->flags & WF_JSON_NONFINITE) {
            PyObject *v = read_nonfinite(p, end);
            if (v != NULL || PyErr_Occurred()) {
                return v;
            }
        }
        e = WF_JSON_VALUE;
        break;
    }
    d->error = e;
    d->at = first;
    return NULL;
}

/* Space is passed over. Is there anything behind it? */
WF_ALWAYS_INLINE bool is_more(const char **p, const char *end) {
    if (wf_unlikely(*p == end || (unsigned char)**p <= ' ')) {
        *p = wf_json_skip_space(*p, end);
    }
    return wf_likely(*p != end);
}

/* Reads the value at p; d->at is the first byte behind it. NULL: d->error and d->at say why, or an
 * exception is set; what is open is left for decoder_clear. */
static PyObject *decode_value(struct decoder *d, const char *p, const char *end) {
    struct frame *f = d->top;
    PyObject *v;
    enum wf_json_error e;

value:
    if (!is_more(&p, end)) {
        e = f == d->frames ? WF_JSON_EMPTY : WF_JSON_END;
        goto bad;
    }
    if (*p == '"') {
        v = read_string(d, &p, end);
    } else if ((unsigned char)(*p - '-') <= '9' - '-') { /* '.' and '/' are left to it too */
        v = read_usual_number(d, &p, end);
    } else if (*p == '{' || *p == '[') {
        const bool is_dict = *p == '{';
        if (wf_unlikely(f == d->last)) {
            e = WF_JSON_DEPTH;
            goto bad;
        }
        p++;
        const bool empty = is_more(&p, end) && *p == (is_dict ? '}' : ']');
        p += empty;
        if (is_dict || empty) {
            v = is_dict ? PyDict_New() : PyList_New(0);
            if (wf_unlikely(v == NULL)) {
                return NULL;
            }
        }
        if (!empty) {
            d->top = ++f;
            f->key = NULL;
            if (is_dict) {
                f->dict = v;
                goto key;
            }
            f->dict = NULL;
            f->at = d->values.len;
            goto value;
        }
    } else {
        v = read_literal(d, &p, end);
    }
    if (wf_unlikely(v == NULL)) {
        return NULL;
    }

have_value: /* v is a value, whole */
    if (f->dict != NULL) {
        int rc = PyDict_SetItem(f->dict, f->key, v); /* the last of equal names wins */
        Py_DECREF(v);
        Py_CLEAR(f->key);
        if (wf_unlikely(rc < 0)) {
            return NULL;
        }
    } else if (f == d->frames) {
        d->at = p;
        return v;
    } else if (wf_unlikely(wf_values_push(&d->values, v) < 0)) {
        return NULL;
    }
    if (!is_more(&p, end)) {
        e = WF_JSON_END;
        goto bad;
    }
    if (*p == ',') {
        p++;
        if (f->dict == NULL) {
            goto value;
        }
        is_more(&p, end);
        goto key;
    }
    if (wf_unlikely(*p != (f->dict != NULL ? '}' : ']'))) {
        e = WF_JSON_COMMA;
        goto bad;
    }
    p++;
    v = f->dict != NULL ? f->dict : wf_values_pop_list(&d->values, f->at);
    if (wf_unlikely(v == NULL)) {
        return NULL;
    }
    d->top = --f;
    goto have_value;

key: /* behind '{' or ',' and space */
    if (wf_unlikely(p == end || *p != '"')) {
        e = p == end ? WF_JSON_END : WF_JSON_KEY;
        goto bad;
    }
    f->key = read_key(d, &p, end);
    if (wf_unlikely(f->key == NULL)) {
        return NULL;
    }
    if (wf_unlikely(!is_more(&p, end) || *p != ':')) {
        e = p == end ? WF_JSON_END : WF_JSON_COLON;
        goto bad;
    }
    p++;
    goto value;

bad:
    d->error = e;
    d->at = p;
    return NULL;
}

/* Not cleared as a whole: it is large, and most of it is never used. */
static inline void decoder_init(struct decoder *d, struct wf_json_state *s, unsigned flags,
                                unsigned depth) {
    d->s = s;
    d->flags = flags;
    d->top = d->frames;
    d->last = d->frames + WF_JSON_DEPTH_MAX - depth;
    d->frames[0] = (struct frame){.dict = NULL};
    d->error = WF_JSON_OK;
    d->at = NULL;
    wf_values_init(&d->values);
}

static void decoder_clear(struct decoder *d) {
    for (struct frame *f = d->top; f > d->frames; f--) {
        Py_XDECREF(f->dict);
        Py_XDECREF(f->key);
    }
    wf_values_clear(&d->values);
}

PyObject *wf_json_decode_value(struct wf_state *state, const char **p, const char *end,
                               unsigned flags, unsigned depth, enum wf_json_error *error) {
    struct decoder d;
    decoder_init(&d, &state->json, flags, depth);
    PyObject *v = decode_value(&d, *p, end);
    decoder_clear(&d);
    *error = d.error;
    if (d.at != NULL) {
        *p = d.at;
    }
    return v;
}

void wf_json_raise(struct wf_json_state *s, const char *msg, PyObject *doc, Py_ssize_t pos,
                   struct wf_span in, size_t at) {
    size_t line, column;
    wf_json_position(in, at, &line, &column);
    PyErr_Format(s->decode_error, "%s: line %zu column %zu (char %zd)", msg, line, column, pos);
    PyObject *exc = wf_err_take();
    if (exc == NULL || !PyObject_TypeCheck(exc, (PyTypeObject *)s->decode_error)) {
        goto done; /* out of memory: that is what is raised */
    }
    struct {
        enum name_id name;
        PyObject *value; /* owned */
    } fields[] = {
        {NAME_msg, PyUnicode_FromString(msg)},   {NAME_doc, Py_NewRef(doc)},
        {NAME_pos, PyLong_FromSsize_t(pos)},     {NAME_lineno, PyLong_FromSize_t(line)},
        {NAME_colno, PyLong_FromSize_t(column)},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(fields); i++) {
        if (exc != NULL && (fields[i].value == NULL ||
                            PyObject_SetAttr(exc, s->names[fields[i].name], fields[i].value) < 0)) {
            Py_CLEAR(exc);
        }
        Py_XDECREF(fields[i].value);
    }
done:
    if (exc != NULL) {
        wf_err_put(exc);
    }
}

/* How many code points the first n bytes are. */
static Py_ssize_t count_chars(const char *p, size_t n) {
    Py_ssize_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += (p[i] & 0xc0) != 0x80;
    }
    return count;
}

/* doc  borrowed: what the caller gave, for the error */
static PyObject *decode(struct wf_json_state *s, struct wf_span in, unsigned flags, PyObject *doc) {
    struct decoder d;
    decoder_init(&d, s, flags, 0);
    const char *p = in.p, *end = in.p + in.n;
    if (!PyUnicode_Check(doc) && WF_JSON_IS(p, end, "\xef\xbb\xbf")) {
        p += 3; /* a byte order mark: RFC 8259 lets us, and json.loads does, ignore it in bytes */
    }
    bool paused = wf_json_pause_gc(in.n);
    PyObject *v = decode_value(&d, p, end);
    decoder_clear(&d);
    wf_json_resume_gc(&paused);
    if (wf_likely(v != NULL)) {
        d.at = wf_json_skip_space(d.at, end);
        if (wf_likely(d.at == end)) {
            return v;
        }
        Py_DECREF(v);
        d.error = WF_JSON_TRAILING;
    }
    const char *msg = wf_json_error_text(d.error);
    PyObject *cause = NULL;
    if (d.error == WF_JSON_OK) {
        if (d.at == NULL || !PyErr_ExceptionMatches(PyExc_ValueError)) {
            return NULL;
        }
        cause = wf_err_take(); /* int() has a limit of digits, against quadratic time */
        msg = "integer with more digits than sys.get_int_max_str_digits() allows";
    }
    size_t at = (size_t)(d.at - in.p);
    Py_ssize_t pos = PyUnicode_Check(doc) ? count_chars(in.p, at) : (Py_ssize_t)at;
    wf_json_raise(s, msg, doc, pos, in, at);
    if (cause != NULL) {
        PyObject *exc = wf_err_take();
        PyException_SetCause(exc, cause); /* stolen */
        wf_err_put(exc);
    }
    return NULL;
}

PyObject *wf_json_decode(struct wf_state *state, struct wf_span in, unsigned flags) {
    return decode(&state->json, in, flags, Py_None);
}

PyObject *wf_json_decode_of(struct wf_state *state, struct wf_span in, unsigned flags,
                            PyObject *doc) {
    return decode(&state->json, in, flags, doc);
}

/* A lone surrogate is in a str: raises DecodeError for the UnicodeEncodeError that is set. */
static void raise_surrogate(struct wf_json_state *s, PyObject *str) {
    Py_ssize_t pos;
    PyObject *cause = wf_err_take();
    if (!PyObject_TypeCheck(cause, (PyTypeObject *)PyExc_UnicodeEncodeError) ||
        PyUnicodeEncodeError_GetStart(cause, &pos) < 0) {
        wf_err_put(cause);
        return;
    }
    Py_DECREF(cause);
    /* its position in the part before it, which is UTF-8 */
    PyObject *before = PyUnicode_Substring(str, 0, pos);
    struct wf_input in;
    if (wf_input_of_bytes(&in, before != NULL ? PyUnicode_AsUTF8String(before) : NULL) == 0) {
        wf_json_raise(s, wf_json_error_text(WF_JSON_SURROGATE), str, pos, in.span, in.span.n);
        wf_input_close(&in);
    }
    Py_XDECREF(before);
}

int wf_json_input_of_str(struct wf_json_state *s, struct wf_input *in, PyObject *str) {
    if (wf_json_str_ready(str) < 0) {
        return -1;
    }
    if (PyUnicode_IS_ASCII(str)) {
        in->span = wf_span(PyUnicode_DATA(str), (size_t)PyUnicode_GET_LENGTH(str));
        in->owner = Py_NewRef(str);
        return 0;
    }
    if (wf_input_of_bytes(in, PyUnicode_AsUTF8String(str)) == 0) {
        return 0;
    }
    raise_surrogate(s, str);
    return -1;
}

static inline PyObject *decode_object(struct wf_json_state *s, PyObject *data, unsigned flags) {
    struct wf_input in;
    if (wf_json_input_open(s, &in, data) < 0) {
        return NULL;
    }
    PyObject *v = decode(s, in.span, flags, data);
    wf_input_close(&in);
    return v;
}

PyObject *wf_json_decode_object(struct wf_state *state, PyObject *data) {
    return decode_object(&state->json, data, 0);
}

PyObject *wf_json_py_loads(PyObject *module, PyObject *data) {
    return decode_object(&wf_state_of_module(module)->json, data,
                         WF_JSON_SURROGATES | WF_JSON_NONFINITE);
}
