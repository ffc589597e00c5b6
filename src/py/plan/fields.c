/* Parameter models without pydantic: the text of each field goes from the request to the model's shape.
 * What that is not certain of, and all that is invalid, is for model.c, where pydantic gets everything. */
#include "py/plan/plan_int.h"

#include "base/utf8.h"
#include "wire/url/url.h"

/* What the request has for a field. */
struct value {
    struct wf_span raw; /* the one that counts; encoded as it came */
    unsigned count;     /* of its name */
    const struct name *name;
};

/* `name` is of a request, as it came. *key is what a model's keys are compared with. False: it cannot be
 * said here. */
static bool read_key(struct wf_exchange *ex, uint8_t source, struct wf_span name,
                     struct wf_span *key) {
    *key = name;
    if (source == SOURCE_QUERY && wf_unlikely(wf_form_escaped(name))) {
        *key = plan_decode_form(ex, name);
        PyErr_Clear();
        return key->p != NULL;
    }
    return source != SOURCE_COOKIE || wf_ascii_prefix(name.p, name.n) == name.n; /* else Latin-1 */
}

static inline bool is_key(uint8_t source, struct wf_span key, const struct name *name) {
    return source == SOURCE_HEADER ? wf_span_eq_lower(key, name->key) : wf_span_eq(key, name->key);
}

/* Another value by this name. False: by two of its names, or one that pydantic is to judge. */
static bool add_value(const struct step *s, struct value *values, const struct name *name,
                      struct wf_span raw) {
    if (name->step == MODEL_REFUSED) {
        return false;
    }
    struct value *v = &values[name->step];
    if (v->count != 0 && v->name != name) {
        return false;
    }
    if (v->count == 0 || s->source != SOURCE_HEADER) { /* the first field line, or the last */
        v->raw = raw;
    }
    v->name = name;
    v->count++;
    return true;
}

/* One pass over the source. False: it is for pydantic to judge. */
static bool find_values(struct wf_exchange *ex, const struct step *s, struct value *values) {
    const struct name *end = s->model_names + s->nmodel_names;
    struct plan_pairs pairs;
    struct wf_span name, key, raw;
    bool any = false;
    plan_pairs_init(&pairs, ex, s->source);
    while (plan_pairs_next(&pairs, &name, &raw)) {
        bool known = false;
        if (!read_key(ex, s->source, name, &key)) {
            return false;
        }
        for (const struct name *n = s->model_names; n < end; n++) {
            if (is_key(s->source, key, n)) {
                known = true;
                if (!add_value(s, values, n, raw)) {
                    return false;
                }
            }
        }
        any |= known;
        if (!known && s->extras_count) {
            return false;
        }
    }
    return any || !s->optional; /* without any it is the default */
}

/* The text of a value, where nobody has to hold on to it. p is NULL where that cannot be said. */
static struct wf_span read_text(struct wf_exchange *ex, uint8_t source, struct wf_span raw) {
    struct text t;
    struct wf_span text = wf_span(NULL, 0);
    if (plan_text_of(ex, source, raw, &t) == 0) {
        text = t.str != NULL ? wf_arena_copy(&ex->arena, t.utf8) : t.utf8;
        text = t.utf8.n != 0 ? text : WF_SPAN("");
    }
    Py_XDECREF(t.str);
    PyErr_Clear(); /* out of memory, which pydantic's way may have */
    return text;
}

/* All values of a name. */
static bool read_texts(struct wf_exchange *ex, const struct step *s, const struct value *v,
                       struct wf_texts *out) {
    struct wf_span *texts = wf_arena_alloc(&ex->arena, v->count * sizeof(*texts));
    struct plan_pairs pairs;
    struct wf_span name, key, raw;
    size_t n = 0;
    plan_pairs_init(&pairs, ex, s->source);
    while (texts != NULL && plan_pairs_next(&pairs, &name, &raw)) {
        if (!read_key(ex, s->source, name, &key)) {
            return false;
        }
        if (is_key(s->source, key, v->name)) {
            WF_ASSERT(n < v->count);
            texts[n] = read_text(ex, s->source, raw);
            if (texts[n++].p == NULL) {
                return false;
            }
        }
    }
    *out = (struct wf_texts){.p = texts, .n = n, .many = true};
    return texts != NULL;
}

/* NULL: it is for pydantic to judge. */
static const struct wf_texts *read_fields(struct wf_exchange *ex, const struct step *s) {
    const unsigned nfields = s->nmodel_fields;
    struct value *values = wf_arena_alloc(&ex->arena, nfields * sizeof(*values));
    struct wf_texts *fields = wf_arena_alloc(&ex->arena, nfields * sizeof(*fields));
    if (values == NULL || fields == NULL) {
        return NULL;
    }
    memset(values, 0, nfields * sizeof(*values));
    memset(fields, 0, nfields * sizeof(*fields));
    if (!find_values(ex, s, values)) {
        return NULL;
    }
    for (unsigned i = 0; i < nfields; i++) {
        struct value *v = &values[i];
        if (v->count == 0) {
            continue;
        }
        if (v->name->many && s->source != SOURCE_COOKIE) {
            if (!read_texts(ex, s, v, &fields[i])) {
                return NULL;
            }
            continue;
        }
        v->raw = read_text(ex, s->source, v->raw); /* where it stays while the shape reads it */
        if (v->raw.p == NULL) {
            return NULL;
        }
        fields[i] = (struct wf_texts){.p = &v->raw, .n = 1};
    }
    return fields;
}

enum conv_result plan_shape_fields(struct plan_run *run, const struct conv *c,
                                   const struct wf_texts *fields, PyObject **out,
                                   PyObject **calls) {
    struct wf_walk w;
    wf_walk_init(&w, run->plan->state, 0);
    enum conv_result result =
        (enum conv_result)wf_text_decode_shape(&w, c->shape->root, fields, out);
    if (wf_unlikely(result == CONV_INVALID && wf_walk_is_final(&w))) {
        result = plan_refuse(&w.fail);
    }
    *calls = w.calls;
    w.calls = NULL;
    wf_walk_clear(&w);
    return result;
}

enum conv_result plan_fill_model(struct plan_run *run, const struct step *s, PyObject **out,
                                 PyObject **calls) {
    *out = *calls = NULL;
    if (s->model_names == NULL) {
        return CONV_INVALID;
    }
    const struct wf_texts *fields = read_fields(run->call->ex, s);
    return fields != NULL ? plan_shape_fields(run, &s->conv, fields, out, calls) : CONV_INVALID;
}
