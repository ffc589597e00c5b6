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
    PyObject *dict; /* owned; NULL: an array */
    PyObject *key;  /* owned: the member whose value comes next; NULL between members */
    size_t at;      /* an array's first value in `values` */
};

struct decoder {
    struct wf_json_state *s;
    unsigned flags;
    unsigned depth, depth_max;
    enum wf_json_error error; /* WF_JSON_OK while what went wrong is a Python exception */
    const char *at;           /* where */
    struct wf_values values;  /* of the arrays that are open */
    struct frame frames[WF_JSON_DEPTH_MAX];
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

/* A string that is not plain ASCII. p is inside the quotes, q where the scan stopped. NULL: as
 * decode_value. */
static WF_NOINLINE PyObject *read_text(struct decoder *d, const char **p, const char *q,
                                       const char *end, unsigned high) {
    if (high == 0 && end - q >= 2 && *q == '\\' && q[1] != 'u') {
        bool odd = false;
        PyObject *str = read_escaped(d, p, end, &odd);
        if (!odd) {
            return str;
        }
    }
    struct wf_json_text text;
    enum wf_json_error e = wf_json_text_read_slow(p, q, end, high, d->flags, &text);
    if (wf_unlikely(e != WF_JSON_OK)) {
        d->error = e;
        d->at = *p;
        return NULL;
    }
    return wf_json_make_text(&text);
}

/* The same for a key. */
static WF_NOINLINE PyObject *read_odd_key(struct decoder *d, const char **p, const char *end) {
    struct wf_json_text text;
    enum wf_json_error e = wf_json_text_read(p, end, d->flags, &text);
    if (wf_unlikely(e != WF_JSON_OK)) {
        d->error = e;
        d->at = *p;
        return NULL;
    }
    return wf_json_make_key(d->s, &text);
}

/* Any number, at *p, or what is none. NULL: as decode_value. */
static WF_NOINLINE PyObject *read_number(struct decoder *d, const char **p, const char *end) {
    struct wf_json_number number;
    const char *first = *p;
    enum wf_json_error e = wf_json_long_number_read(p, end, d->flags, &number);
    if (wf_likely(e == WF_JSON_OK)) {
        PyObject *v = wf_json_make_number(&number);
        if (wf_unlikely(v == NULL)) {
            d->at = first;
        }
        return v;
    }
    if (d->flags & WF_JSON_NONFINITE) {
        const char *q = first;
        PyObject *v = read_nonfinite(&q, end);
        if (v != NULL || PyErr_Occurred()) {
            *p = q;
            return v;
        }
    }
    const bool none = !wf_json_is_number(*first);
    d->error = none ? WF_JSON_VALUE : e;
    d->at = none ? first : *p;
    return NULL;
}

/* A number that fits 64 bits or is a float, in registers. Others are read_number's. */
WF_ALWAYS_INLINE PyObject *read_usual_number(struct decoder *d, const char **p, const char *end) {
    const char *q = *p;
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
    if (wf_unlikely(n - 1 > 18 || (*digits == '0' && n > 1))) { /* none; 19 digits fit 64 bits */
        return read_number(d, p, end);
    }
    if (wf_likely(q < end) && (*q == '.' || (*q | 0x20) == 'e')) {
        enum wf_json_error e = wf_json_fraction_read(*p, &q, end, v, n, &value);
        if (wf_unlikely(e != WF_JSON_OK || __builtin_isinf(value))) {
            return read_number(d, p, end);
        }
        *p = q;
        return PyFloat_FromDouble(value);
    }
    if (wf_unlikely(v > INT64_MAX)) {
        return read_number(d, p, end);
    }
    *p = q;
    const uint64_t sign = negative; /* v or -v, without a guess at which */
    return wf_json_make_int(d->s, (int64_t)((v ^ -sign) + sign));
}

/* Reads the value at p; d->at is the first byte behind it. NULL: d->error and d->at say why, or an
 * exception is set; what is open is left for decoder_clear. */
static PyObject *decode_value(struct decoder *d, const char *p, const char *end) {
    struct frame *f;
    PyObject *v;
    enum wf_json_error e;
    const char *q;
    unsigned high;

value:
    p = wf_json_skip_space(p, end);
    if (wf_unlikely(p == end)) {
        e = d->depth == 0 ? WF_JSON_EMPTY : WF_JSON_END;
        goto bad;
    }
    switch (*p) {
    case '"':
        p++;
        high = 0;
        q = wf_json_plain(p, end, &high);
        if (wf_likely(high == 0 && q < end && *q == '"')) {
            v = wf_json_make_ascii(p, (size_t)(q - p));
            p = q + 1;
        } else {
            v = read_text(d, &p, q, end, high);
        }
        break;
    case '{':
        if (wf_unlikely(d->depth == d->depth_max)) {
            e = WF_JSON_DEPTH;
            goto bad;
        }
        v = PyDict_New();
        p = wf_json_skip_space(p + 1, end);
        if (p < end && *p == '}') {
            p++;
            break;
        }
        if (wf_unlikely(v == NULL)) {
            return NULL;
        }
        d->frames[d->depth++] = (struct frame){.dict = v};
        goto key;
    case '[':
        if (wf_unlikely(d->depth == d->depth_max)) {
            e = WF_JSON_DEPTH;
            goto bad;
        }
        p = wf_json_skip_space(p + 1, end);
        if (p < end && *p == ']') {
            p++;
            v = PyList_New(0);
            break;
        }
        d->frames[d->depth++] = (struct frame){.at = d->values.len};
        goto value;
    case '-': /* to '9' without a gap, so that nothing asks whether there is a sign */
    case '.':
    case '/':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        v = read_usual_number(d, &p, end);
        break;
    case 't':
        if (!WF_JSON_IS(p, end, "true")) {
            goto bad_literal;
        }
        p += 4;
        v = Py_NewRef(Py_True);
        break;
    case 'f':
        if (!WF_JSON_IS(p, end, "false")) {
            goto bad_literal;
        }
        p += 5;
        v = Py_NewRef(Py_False);
        break;
    case 'n':
        if (!WF_JSON_IS(p, end, "null")) {
            goto bad_literal;
        }
        p += 4;
        v = Py_NewRef(Py_None);
        break;
    default:
        v = d->flags & WF_JSON_NONFINITE ? read_nonfinite(&p, end) : NULL;
        if (v == NULL && !PyErr_Occurred()) {
            e = WF_JSON_VALUE;
            goto bad;
        }
        break;
    }
    if (wf_unlikely(v == NULL)) {
        return NULL;
    }

have_value: /* v is a value, whole */
    if (d->depth == 0) {
        d->at = p;
        return v;
    }
    f = &d->frames[d->depth - 1];
    if (f->dict != NULL) {
        int rc = PyDict_SetItem(f->dict, f->key, v); /* the last of equal names wins */
        Py_DECREF(v);
        Py_CLEAR(f->key);
        if (wf_unlikely(rc < 0)) {
            return NULL;
        }
        p = wf_json_skip_space(p, end);
        if (wf_unlikely(p == end)) {
            e = WF_JSON_END;
            goto bad;
        }
        if (*p == ',') {
            p = wf_json_skip_space(p + 1, end);
            goto key;
        }
        if (wf_unlikely(*p != '}')) {
            e = WF_JSON_COMMA;
            goto bad;
        }
        p++;
        v = f->dict;
        d->depth--;
        goto have_value;
    }
    if (wf_unlikely(wf_values_push(&d->values, v) < 0)) {
        return NULL;
    }
    p = wf_json_skip_space(p, end);
    if (wf_unlikely(p == end)) {
        e = WF_JSON_END;
        goto bad;
    }
    if (*p == ',') {
        p++;
        goto value;
    }
    if (wf_unlikely(*p != ']')) {
        e = WF_JSON_COMMA;
        goto bad;
    }
    p++;
    v = wf_values_pop_list(&d->values, f->at);
    if (wf_unlikely(v == NULL)) {
        return NULL;
    }
    d->depth--;
    goto have_value;

key: /* behind '{' or ',' and space */
    if (wf_unlikely(p == end || *p != '"')) {
        e = p == end ? WF_JSON_END : WF_JSON_KEY;
        goto bad;
    }
    p++;
    high = 0;
    q = wf_json_plain(p, end, &high);
    f = &d->frames[d->depth - 1];
    if (wf_likely(high == 0 && q < end && *q == '"')) {
        f->key = wf_json_make_ascii_key(d->s, p, (size_t)(q - p));
        p = q + 1;
    } else {
        f->key = read_odd_key(d, &p, end);
    }
    if (wf_unlikely(f->key == NULL)) {
        return NULL;
    }
    p = wf_json_skip_space(p, end);
    if (wf_unlikely(p == end || *p != ':')) {
        e = p == end ? WF_JSON_END : WF_JSON_COLON;
        goto bad;
    }
    p++;
    goto value;

bad_literal:
    e = WF_JSON_LITERAL;
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
    d->depth = 0;
    d->depth_max = WF_JSON_DEPTH_MAX - depth;
    d->error = WF_JSON_OK;
    d->at = NULL;
    wf_values_init(&d->values);
}

static void decoder_clear(struct decoder *d) {
    while (d->depth > 0) {
        struct frame *f = &d->frames[--d->depth];
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
