/* Names and values of a request as text: percent-decoding, Latin-1, quoted cookies; and all pairs of a
 * source, one after another. */
#include "py/plan/plan_int.h"

#include "base/utf8.h"
#include "wire/url/url.h"

struct wf_span plan_decode_form(struct wf_exchange *ex, struct wf_span raw) {
    char *room = wf_arena_alloc(&ex->arena, raw.n);
    if (room == NULL) {
        PyErr_NoMemory();
        return wf_span(NULL, 0);
    }
    return wf_span(room, wf_form_decode(room, raw));
}

struct wf_span plan_query_of(const struct wf_exchange *ex) {
    return wf_head_span(ex->base, ex->head.query_at);
}

/* ---- values ---- */

/* Makes `utf8` what it promises to be, for conversions that read it: bytes that are no UTF-8 are
 * replaced, as urllib does. */
static int replace_invalid(struct text *t) {
    if (wf_likely(wf_utf8_valid(t->utf8))) {
        return 0;
    }
    if (text_str(t) == NULL) {
        return -1;
    }
    Py_ssize_t n;
    const char *utf8 = PyUnicode_AsUTF8AndSize(t->str, &n);
    t->utf8 = wf_span(utf8, (size_t)n);
    return utf8 != NULL ? 0 : -1;
}

static int text_of_query(struct wf_exchange *ex, struct wf_span raw, struct text *t) {
    *t = (struct text){.utf8 = raw};
    if (wf_form_escaped(raw)) {
        t->utf8 = plan_decode_form(ex, raw);
        return t->utf8.p != NULL ? replace_invalid(t) : -1;
    }
    return 0; /* the target is ASCII */
}

/* Field values and cookies are Latin-1, as in Starlette. */
static int text_of_field(struct wf_span raw, struct text *t) {
    *t = (struct text){.utf8 = raw};
    if (wf_likely(wf_ascii_prefix(raw.p, raw.n) == raw.n)) {
        return 0;
    }
    t->str = PyUnicode_DecodeLatin1(raw.p, (Py_ssize_t)raw.n, NULL);
    Py_ssize_t n = 0;
    const char *utf8 = t->str != NULL ? PyUnicode_AsUTF8AndSize(t->str, &n) : NULL;
    t->utf8 = wf_span(utf8, (size_t)n);
    return utf8 != NULL ? 0 : -1;
}

static int text_of_cookie(struct wf_exchange *ex, struct wf_span raw, struct text *t) {
    if (raw.n >= 2 && raw.p[0] == '"') {
        char *room = wf_arena_alloc(&ex->arena, raw.n);
        if (room == NULL) {
            *t = (struct text){0};
            PyErr_NoMemory();
            return -1;
        }
        raw = wf_span(room, wf_cookie_unquote(room, raw));
    }
    return text_of_field(raw, t);
}

int plan_text_of(struct wf_exchange *ex, uint8_t source, struct wf_span raw, struct text *t) {
    return source == SOURCE_QUERY    ? text_of_query(ex, raw, t)
           : source == SOURCE_HEADER ? text_of_field(raw, t)
                                     : text_of_cookie(ex, raw, t);
}

/* ---- pairs ---- */

void plan_pairs_init(struct plan_pairs *p, struct wf_exchange *ex, uint8_t source) {
    *p = (struct plan_pairs){.ex = ex, .source = source};
    wf_query_init(&p->rest, source == SOURCE_QUERY ? plan_query_of(ex) : wf_span(NULL, 0));
}

static bool next_cookie(struct plan_pairs *p, struct wf_span *name, struct wf_span *value) {
    const struct wf_head *head = &p->ex->head;
    while (!wf_cookie_next(&p->rest, name, value)) {
        while (p->field < head->nfields && head->fields[p->field].id != WF_FIELD_COOKIE) {
            p->field++;
        }
        if (p->field == head->nfields) {
            return false;
        }
        wf_query_init(&p->rest, wf_field_value_span(p->ex->base, &head->fields[p->field++]));
    }
    return true;
}

bool plan_pairs_next(struct plan_pairs *p, struct wf_span *name, struct wf_span *value) {
    if (p->source == SOURCE_QUERY) {
        return wf_query_next(&p->rest, name, value);
    }
    if (p->source == SOURCE_COOKIE) {
        return next_cookie(p, name, value);
    }
    if (p->field == p->ex->head.nfields) {
        return false;
    }
    const struct wf_field *field = &p->ex->head.fields[p->field++];
    *name = wf_field_name_span(p->ex->base, field);
    *value = wf_field_value_span(p->ex->base, field);
    return true;
}

/* A field's name in lower case, in `room`. */
static struct wf_span lower(struct wf_span name, char room[WF_HTTP1_NAME_MAX]) {
    WF_ASSERT(name.n <= WF_HTTP1_NAME_MAX);
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        room[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    return wf_span(room, name.n);
}

int plan_each(struct wf_exchange *ex, uint8_t source, plan_pair_fn *add, void *arg) {
    char room[WF_HTTP1_NAME_MAX];
    struct plan_pairs pairs;
    struct wf_span name, value;
    plan_pairs_init(&pairs, ex, source);
    while (plan_pairs_next(&pairs, &name, &value)) {
        struct text k = {0}, v = {0};
        int rc = source == SOURCE_HEADER   ? (k.utf8 = lower(name, room), 0)
                 : source == SOURCE_COOKIE ? text_of_field(name, &k)
                                           : text_of_query(ex, name, &k);
        rc = rc == 0 ? plan_text_of(ex, source, value, &v) : rc;
        if (rc == 0) {
            PyObject *key = text_str(&k), *text = key != NULL ? text_str(&v) : NULL;
            rc = text != NULL ? add(arg, key, text) : -1;
        }
        Py_XDECREF(k.str);
        Py_XDECREF(v.str);
        if (rc < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- every value of a name ---- */

/* list  borrowed; t is given up */
static int append_text(PyObject *list, struct text *t) {
    PyObject *str = text_str(t);
    int rc = str != NULL ? PyList_Append(list, str) : -1;
    Py_CLEAR(t->str);
    return rc;
}

PyObject *plan_all_in_query(struct wf_exchange *ex, PyObject *name) {
    Py_ssize_t n;
    const char *utf8 = PyUnicode_AsUTF8AndSize(name, &n);
    PyObject *list = utf8 != NULL ? PyList_New(0) : NULL;
    if (list == NULL) {
        return NULL;
    }
    struct wf_query query;
    struct wf_span key, value;
    wf_query_init(&query, plan_query_of(ex));
    while (wf_query_next(&query, &key, &value)) {
        if (wf_form_escaped(key) && (key = plan_decode_form(ex, key)).p == NULL) {
            Py_DECREF(list);
            return NULL;
        }
        struct text t;
        if (wf_span_eq(key, wf_span(utf8, (size_t)n)) &&
            (text_of_query(ex, value, &t) < 0 || append_text(list, &t) < 0)) {
            Py_XDECREF(t.str);
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

PyObject *plan_all_in_head(struct wf_exchange *ex, const struct wf_field *first) {
    PyObject *list = PyList_New(0);
    const struct wf_field *end = ex->head.fields + ex->head.nfields;
    char room[WF_HTTP1_NAME_MAX];
    struct wf_span name = lower(wf_field_name_span(ex->base, first), room);
    for (const struct wf_field *f = first; f < end && list != NULL; f++) {
        struct text t;
        if (wf_span_eq_lower(wf_field_name_span(ex->base, f), name) &&
            (text_of_field(wf_field_value_span(ex->base, f), &t) < 0 ||
             append_text(list, &t) < 0)) {
            Py_XDECREF(t.str);
            Py_CLEAR(list);
        }
    }
    return list;
}
