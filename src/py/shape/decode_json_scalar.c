/* JSON to scalars: what is rarer than ints, floats and strings, and how a document fails. */
#include "py/shape/decode_json_int.h"

/* ---- failing ---- */

enum wf_walk_result json_fail_syntax(struct reader *r, enum wf_json_error e, const char *at) {
    r->w->fail.code = (int)e;
    r->w->fail.at = (size_t)(at - r->start);
    return shape_fail(r->w, WF_FAIL_SYNTAX, NULL);
}

enum wf_walk_result json_fail_end(struct reader *r, enum wf_json_error e, const char *at) {
    return json_fail_syntax(r, at >= r->end ? WF_JSON_END : e, at);
}

enum wf_walk_result json_fail_expected(struct reader *r, const struct wf_node *n, const char *p) {
    enum wf_class got = classify(r, p);
    if (got != WF_CLASS_COUNT) {
        r->w->fail.got = got;
        r->w->fail.at = (size_t)(p - r->start);
        return shape_fail(r->w, WF_FAIL_EXPECTED, n);
    }
    return WF_WALK_INVALID;
}

/* ---- strings ---- */

enum wf_walk_result json_utf8_of(const struct wf_json_text *t, struct utf8 *out) {
    out->str = NULL;
    out->span = wf_span(t->p, t->n); /* NOLINT: text_read has filled it in where it is OK */
    if (wf_likely(!t->escaped)) {
        return WF_WALK_OK;
    }
    Py_ssize_t n = 0;
    out->str = wf_json_make_text(t);
    const char *p = out->str != NULL ? PyUnicode_AsUTF8AndSize(out->str, &n) : NULL;
    out->span = wf_span(p, (size_t)n);
    if (p == NULL) {
        Py_CLEAR(out->str);
        return WF_WALK_FAILED;
    }
    return WF_WALK_OK;
}

/* The string at r->p to a scalar. */
enum wf_walk_result json_decode_text(struct reader *r, const struct wf_node *n, PyObject **out) {
    const char *first = r->p;
    struct wf_json_text t;
    struct utf8 u;
    enum wf_walk_result result = read_text(r, &t);
    if (result != WF_WALK_OK || (result = json_utf8_of(&t, &u)) != WF_WALK_OK) {
        return result;
    }
    result = wf_walk_text(r->w, n, u.span, out);
    Py_XDECREF(u.str);
    return at(r, first, result);
}

/* ---- numbers ---- */

enum wf_walk_result json_decode_int_slow(struct reader *r, const struct wf_node *n,
                                         const char *first, const struct wf_json_number *number,
                                         PyObject **out) {
    PyObject *value;
    if (number->kind == WF_JSON_DOUBLE) {
        const bool pydantic = (n->flags & WF_NODE_PYDANTIC) != 0;
        if (!is_lax(r, n) || number->d != __builtin_trunc(number->d) ||
            !(pydantic || shape_is_whole(number->d))) {
            return json_fail_expected(r, n, first);
        }
        value = PyLong_FromDouble(number->d);
    } else {
        value = wf_json_make_number(number);
        if (value == NULL && PyErr_ExceptionMatches(PyExc_ValueError)) {
            return at(r, first, shape_fail_raised(r->w, n)); /* int() has a limit of digits */
        }
    }
    return give(r, n, first, value, out);
}

/* A Decimal of the number's own text, which may be past a double; for pydantic of what json.loads would
 * make of it. */
enum wf_walk_result json_decode_decimal(struct reader *r, const struct wf_node *n, PyObject **out) {
    const char *first = r->p;
    struct wf_json_number number;
    char text[WF_DOUBLE_CHARS_MAX];
    const bool pydantic = (n->flags & WF_NODE_PYDANTIC) != 0;
    const char *p = first;
    enum wf_json_error e =
        wf_json_long_number_read(&p, r->end, pydantic ? 0 : WF_JSON_NONFINITE, &number);
    if (e != WF_JSON_OK) {
        return json_fail_syntax(r, e, p);
    }
    r->p = p;
    struct wf_span span = wf_span(first, (size_t)(r->p - first));
    if (pydantic && number.kind == WF_JSON_DOUBLE) {
        span = wf_span(text, wf_double_write(text, number.d));
    } else if (wf_span_eq(span, WF_SPAN("-0"))) {
        span = WF_SPAN("0"); /* an int has no sign of its zero */
    }
    return at(r, first, wf_walk_text(r->w, n, span, out));
}

/* msgspec's strict=False: unix seconds, in UTC; a timedelta's seconds. */
enum wf_walk_result json_decode_seconds(struct reader *r, const struct wf_node *n, PyObject **out) {
    const char *first = r->p;
    struct wf_json_number number;
    enum wf_walk_result result = read_number(r, &number);
    PyObject *seconds = result == WF_WALK_OK ? wf_json_make_number(&number) : NULL, *value = NULL;
    if (seconds == NULL) {
        return result == WF_WALK_OK ? WF_WALK_FAILED : result;
    }
    value = shape_make_of_seconds(r->w->state, (enum wf_node_kind)n->kind, seconds);
    Py_DECREF(seconds);
    if (value == NULL && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear(); /* out of range */
        return at(r, first, shape_fail(r->w, WF_FAIL_VALUE, n));
    }
    return give(r, n, first, value, out);
}

/* Text: one of the node's, or with strict=False one of its ints. */
static enum wf_walk_result decode_choice_text(struct reader *r, const struct wf_node *n,
                                              PyObject **out) {
    static const struct wf_node int_node = {.kind = WF_NODE_INT};
    const char *first = r->p;
    enum wf_walk_result result = json_decode_text(r, n, out);
    if (result != WF_WALK_INVALID || !is_lax(r, n) || r->w->fail.fail != WF_FAIL_VALUE) {
        return result;
    }
    PyObject *number = NULL;
    r->p = first;
    result = json_decode_text(r, &int_node, &number);
    if (result == WF_WALK_OK) {
        int overflow;
        long long v = PyLong_AsLongLongAndOverflow(number, &overflow);
        bool whole =
            number_class(first + 1, r->p) == WF_CLASS_INT; /* "1.0" is an int, but no choice */
        Py_DECREF(number);
        result = overflow == 0 && whole ? wf_walk_choice(r->w, n, v, out) : WF_WALK_INVALID;
    }
    return result == WF_WALK_INVALID ? at(r, first, shape_fail(r->w, WF_FAIL_VALUE, n)) : result;
}

enum wf_walk_result json_decode_choice(struct reader *r, const struct wf_node *n, PyObject **out) {
    const char *first = r->p;
    struct wf_json_number number;
    if (first < r->end && *first == '"') {
        return decode_choice_text(r, n, out);
    }
    if (first == r->end || (*first != '-' && !wf_json_is_digit(*first)) ||
        number_class(first, r->end) == WF_CLASS_FLOAT) {
        return json_fail_expected(r, n, first);
    }
    enum wf_walk_result result = read_number(r, &number);
    if (result != WF_WALK_OK) {
        return result;
    }
    if (number.kind == WF_JSON_INT) {
        return at(r, first, wf_walk_choice(r->w, n, number.i, out));
    }
    r->w->fail.got = WF_CLASS_INT;
    return at(r, first, shape_fail(r->w, WF_FAIL_VALUE, n));
}
