/* Running a plan for one request: find the values, convert them into the argument array, call. */
#include "py/plan/plan_int.h"

#include "wire/url/url.h"

/* What the query string or the cookies hold for a step. */
struct found {
    struct wf_span raw; /* into the request; encoded as it came */
    bool present;
    uint8_t rank; /* of the name it came by */
};

/* ---- finding ---- */

/* One pass over the query string fills all query steps. The last of equal names wins, as in
 * Starlette's QueryParams.get(); between a step's names the better one does. */
static int scan_query(struct plan_run *run, struct found *found) {
    struct wf_exchange *ex = run->call->ex;
    const struct name *names = run->plan->names, *end = names + run->plan->query_names;
    struct wf_query query;
    struct wf_span key, value;
    wf_query_init(&query, plan_query_of(ex));
    while (wf_query_next(&query, &key, &value)) {
        if (wf_unlikely(wf_form_escaped(key))) {
            key = plan_decode_form(ex, key);
            if (key.p == NULL) {
                return -1;
            }
        }
        for (const struct name *n = names; n < end; n++) {
            struct found *f = &found[n->step];
            if (wf_span_eq(key, n->key) && (!f->present || n->rank <= f->rank)) {
                *f = (struct found){.raw = value, .present = true, .rank = n->rank};
            }
        }
    }
    return 0;
}

static void scan_cookies(struct plan_run *run, struct found *found) {
    struct wf_exchange *ex = run->call->ex;
    const struct name *names = run->plan->names + run->plan->query_names + run->plan->header_names;
    const struct name *end = names + run->plan->cookie_names;
    for (unsigned i = 0; i < ex->head.nfields; i++) {
        const struct wf_field *field = &ex->head.fields[i];
        if (field->id != WF_FIELD_COOKIE) {
            continue;
        }
        struct wf_query pairs;
        struct wf_span key, value;
        wf_query_init(&pairs, wf_field_value_span(ex->base, field));
        while (wf_cookie_next(&pairs, &key, &value)) {
            for (const struct name *n = names; n < end; n++) {
                struct found *f = &found[n->step];
                if (wf_span_eq(key, n->key) && (!f->present || n->rank <= f->rank)) {
                    *f = (struct found){.raw = value, .present = true, .rank = n->rank};
                }
            }
        }
    }
}

static bool field_is(const char *base, const struct wf_field *field, const struct name *n) {
    if (n->field_id != WF_FIELD_UNKNOWN || field->id != WF_FIELD_UNKNOWN) {
        return field->id == n->field_id;
    }
    return wf_span_eq_lower(wf_field_name_span(base, field), n->key);
}

/* The first field line by the best name that there is; NULL where there is none. */
static const struct wf_field *find_field(struct plan_run *run, unsigned step, uint8_t *rank) {
    struct wf_exchange *ex = run->call->ex;
    const struct name *n = run->plan->names + run->plan->query_names;
    const struct name *end = n + run->plan->header_names;
    for (; n < end; n++) {
        if (n->step != step) {
            continue;
        }
        for (unsigned i = 0; i < ex->head.nfields; i++) {
            if (field_is(ex->base, &ex->head.fields[i], n)) {
                *rank = n->rank;
                return &ex->head.fields[i];
            }
        }
    }
    return NULL;
}

/* ---- steps ---- */

/* The request has nothing for this step. */
enum conv_result plan_use_default(struct plan_run *run, const struct step *s, PyObject **out) {
    switch ((enum step_default)s->default_kind) {
    case DEFAULT_REQUIRED:
        return plan_error_missing(run);
    case DEFAULT_VALUE:
        *out = Py_NewRef(s->default_value);
        break;
    case DEFAULT_COPY:
        *out = PyObject_CallOneArg(run->plan->state->plan.deepcopy, s->default_value);
        break;
    case DEFAULT_FACTORY:
        *out = PyObject_CallNoArgs(s->default_value);
        break;
    }
    if (*out == NULL) {
        return CONV_FAILED;
    }
    if (wf_unlikely(s->validate_default)) {
        PyObject *value = *out;
        *out = NULL;
        enum conv_result result = convert_object(run, &s->conv, value, out);
        Py_DECREF(value);
        return result;
    }
    return CONV_OK;
}

/* items  stolen, or NULL with an exception */
static enum conv_result step_list(struct plan_run *run, const struct step *s, PyObject *items,
                                  PyObject **out) {
    if (items == NULL) {
        return CONV_FAILED;
    }
    enum conv_result result = convert_list(run, &s->conv, items, out);
    Py_DECREF(items);
    return result;
}

/* A parameter model. */
static enum conv_result step_model(struct plan_run *run, const struct step *s, PyObject **out) {
    bool present;
    run->whole_body = true; /* the loc is that of the source */
    enum conv_result result = convert_model(run, s, out, &present);
    return result == CONV_OK && !present ? plan_use_default(run, s, out) : result;
}

static enum conv_result step_query(struct plan_run *run, const struct step *s,
                                   const struct found *f, PyObject **out) {
    struct wf_exchange *ex = run->call->ex;
    if (!f->present) {
        return plan_use_default(run, s, out);
    }
    run->rank = f->rank;
    if (s->many) {
        return step_list(run, s, plan_all_in_query(ex, PyTuple_GET_ITEM(s->names, f->rank)), out);
    }
    struct text t;
    enum conv_result result = CONV_FAILED;
    if (plan_text_of(ex, SOURCE_QUERY, f->raw, &t) == 0) {
        result = convert_text(run, &s->conv, &t, out);
    }
    Py_XDECREF(t.str);
    return result;
}

static enum conv_result step_header(struct plan_run *run, const struct step *s, PyObject **out) {
    struct wf_exchange *ex = run->call->ex;
    const struct wf_field *field = find_field(run, (unsigned)(s - run->plan->steps), &run->rank);
    if (field == NULL) {
        return plan_use_default(run, s, out);
    }
    if (s->many) {
        return step_list(run, s, plan_all_in_head(ex, field), out);
    }
    struct text t;
    enum conv_result result = CONV_FAILED;
    if (plan_text_of(ex, SOURCE_HEADER, wf_field_value_span(ex->base, field), &t) == 0) {
        result = convert_text(run, &s->conv, &t, out);
    }
    Py_XDECREF(t.str);
    return result;
}

static enum conv_result step_cookie(struct plan_run *run, const struct step *s,
                                    const struct found *f, PyObject **out) {
    if (!f->present) {
        return plan_use_default(run, s, out);
    }
    run->rank = f->rank;
    struct text t;
    enum conv_result result = CONV_FAILED;
    if (plan_text_of(run->call->ex, SOURCE_COOKIE, f->raw, &t) == 0) {
        result = convert_text(run, &s->conv, &t, out);
    }
    Py_XDECREF(t.str);
    return result;
}

static enum conv_result step_path(struct plan_run *run, const struct step *s, PyObject **out) {
    const struct wf_match *match = &run->call->ex->match;
    if (wf_unlikely(s->index >= match->nparams)) {
        return plan_error_missing(run);
    }
    struct text t = {.utf8 = match->params[match->nouter + s->index]}; /* the path is UTF-8 */
    enum conv_result result = convert_text(run, &s->conv, &t, out);
    Py_XDECREF(t.str);
    return result;
}

/* body  borrowed, or NULL where there is none */
static enum conv_result step_body(struct plan_run *run, const struct step *s, PyObject *body,
                                  PyObject **out) {
    if (run->call->ex->form != NULL) {
        return plan_step_form(run, s, body, out);
    }
    if (run->shaped != NULL) {
        return plan_finish_shaped(run, &s->conv, out);
    }
    if (!run->plan->embed) {
        return body != NULL ? convert_object(run, &s->conv, body, out)
                            : plan_use_default(run, s, out);
    }
    if (body == NULL || PyBytes_Check(body)) {
        return plan_use_default(run, s, out);
    }
    if (!PyDict_Check(body)) {
        return plan_error_missing(run); /* default or not, as in FastAPI */
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(s->names); i++) {
        PyObject *value = PyDict_GetItemWithError(body, PyTuple_GET_ITEM(s->names, i));
        if (value != NULL) {
            run->rank = (uint8_t)i;
            Py_INCREF(value); /* a validator may change the body */
            enum conv_result result = convert_object(run, &s->conv, value, out);
            Py_DECREF(value);
            return result;
        }
        if (PyErr_Occurred()) {
            return CONV_FAILED;
        }
    }
    return plan_use_default(run, s, out);
}

static enum conv_result step_object(PyObject **kept, PyObject *(*make)(struct wf_plan_call *),
                                    struct wf_plan_call *call, PyObject **out) {
    if (*kept == NULL) {
        *kept = make(call);
    }
    *out = Py_XNewRef(*kept);
    return *out != NULL ? CONV_OK : CONV_FAILED;
}

static enum conv_result run_step(struct plan_run *run, const struct step *s,
                                 const struct found *found, PyObject *body, PyObject **out) {
    struct wf_plan_call *call = run->call;
    if (wf_unlikely(s->model_fields != NULL)) {
        return step_model(run, s, out);
    }
    switch ((enum step_source)s->source) {
    case SOURCE_PATH:
        return step_path(run, s, out);
    case SOURCE_QUERY:
        return step_query(run, s, found, out);
    case SOURCE_HEADER:
        return step_header(run, s, out);
    case SOURCE_COOKIE:
        return step_cookie(run, s, found, out);
    case SOURCE_BODY:
        return step_body(run, s, body, out);
    case SOURCE_REQUEST:
        return step_object(&call->request, call->make_request, call, out);
    case SOURCE_RESPONSE:
        return step_object(&call->response, call->make_response, call, out);
    case SOURCE_BACKGROUND:
        return step_object(&call->background, call->make_background, call, out);
    case SOURCE_VALUE:
        return plan_use_default(run, s, out);
    case SOURCE_DEPENDENCY:
        *out = Py_NewRef(call->values[s->index]);
        return CONV_OK;
    case SOURCE_COUNT:
        break;
    }
    Py_UNREACHABLE();
}

/* The errors of what was invalid, perhaps none; NULL with an exception. */
static PyObject *take_errors(struct plan_run *run) {
    PyObject *errors = run->errors != NULL ? run->errors : PyList_New(0);
    run->errors = NULL;
    return errors;
}

/* Of a plan that has one. */
static const struct step *find_body_step(const struct wf_plan *plan) {
    const struct step *s = plan->steps;
    while (s->source != SOURCE_BODY) {
        s++;
    }
    return s;
}

/* The body: straight to the value of the one step that takes all of it, or to plain objects. */
static enum conv_result read_body(struct plan_run *run, const struct wf_plan *reader,
                                  PyObject **shaped, PyObject **body) {
    if (!reader->embed && run->step->conv.kind == CONV_SHAPE) {
        enum conv_result result = plan_read_shaped(run, run->step, shaped);
        if (wf_likely(result != CONV_INVALID)) {
            return result;
        }
    }
    return plan_read_body(run, body);
}

/* Fills args (all NULL before) by the steps; on OK each is owned by the caller, else some are. */
static enum conv_result run_steps(struct plan_run *run, struct found *found, PyObject **args,
                                  PyObject **body, bool only_check) {
    const struct wf_plan *plan = run->plan;
    if (plan->has_body && run->call->read) {
        *body = Py_XNewRef(run->call->parsed);
        run->shaped = Py_XNewRef(run->call->shaped);
    } else if (plan->has_body) {
        /* first of all, since a body that is no JSON is the only error reported, as in FastAPI */
        run->step = find_body_step(plan);
        run->whole_body = true;
        enum conv_result result = read_body(run, plan, &run->shaped, body);
        if (result != CONV_OK) {
            return result;
        }
        run->whole_body = false;
    }
    run->native_body = run->shaped != NULL;
    if (plan->query_names != 0 && run->call->ex->head.query_at.n != 0 &&
        scan_query(run, found) < 0) {
        return CONV_FAILED;
    }
    if (plan->cookie_names != 0) {
        scan_cookies(run, found);
    }
    bool invalid = false; /* not the same as errors: a ValidationError may be of none */
    for (unsigned i = 0; i < plan->nsteps; i++) {
        const struct step *s = &plan->steps[i];
        if (s->source >= SOURCE_REQUEST && (only_check || invalid)) {
            break; /* nobody will look at them */
        }
        run->step = s;
        run->rank = 0;
        run->whole_body = s->source == SOURCE_BODY && !plan->embed && run->call->ex->form == NULL;
        enum conv_result one = run_step(run, s, &found[i], *body, &args[s->slot]);
        if (wf_unlikely(one != CONV_OK)) {
            if (one == CONV_FAILED) {
                return CONV_FAILED;
            }
            invalid = true;
        }
    }
    return invalid ? CONV_INVALID : CONV_OK;
}

/* What is done with the arguments once they are there. */
/* NULL: nothing, only errors are looked for. */
typedef PyObject *finish_fn(struct wf_plan *plan, PyObject *const *args);

static PyObject *finish_call(struct wf_plan *plan, PyObject *const *args) {
    return PyObject_Vectorcall(plan->endpoint, args,
                               plan->npositional | PY_VECTORCALL_ARGUMENTS_OFFSET, plan->kwnames);
}

/* functools.partial(endpoint, *args, **kwargs) */
static PyObject *finish_bind(struct wf_plan *plan, PyObject *const *args) {
    const unsigned npositional = plan->npositional, nargs = plan->nsteps;
    PyObject *callable = NULL, *kwargs = NULL;
    PyObject *positional = PyTuple_New(1 + npositional);
    if (positional == NULL) {
        return NULL;
    }
    PyTuple_SET_ITEM(positional, 0, Py_NewRef(plan->endpoint));
    for (unsigned i = 0; i < npositional; i++) {
        WF_ASSERT(args[i] != NULL);
        PyTuple_SET_ITEM(positional, 1 + i, Py_NewRef(args[i]));
    }
    if (plan->kwnames != NULL) {
        kwargs = PyDict_New();
        for (unsigned i = npositional; kwargs != NULL && i < nargs; i++) {
            PyObject *name = PyTuple_GET_ITEM(plan->param_names, i);
            if (PyDict_SetItem(kwargs, name, args[i]) < 0) {
                goto done;
            }
        }
        if (kwargs == NULL) {
            goto done;
        }
    }
    callable = PyObject_Call(plan->state->plan.partial, positional, kwargs);
done:
    Py_DECREF(positional);
    Py_XDECREF(kwargs);
    return callable;
}

/* args[-1] is free for the callee, as vectorcall likes it. */
static enum wf_plan_outcome run_plan(struct wf_plan *plan, struct wf_plan_call *call,
                                     struct found *found, PyObject **args, finish_fn *finish,
                                     PyObject **out) {
    struct plan_run run;
    run.plan = plan;
    run.call = call;
    run.errors = NULL;
    run.ndeeper = 0;
    run.shaped = NULL;
    run.native_body = false;
    PyObject *body = NULL;
    const unsigned nsteps = plan->nsteps;
    for (unsigned i = 0; i < nsteps; i++) {
        found[i].present = false;
        args[i] = NULL;
    }
    enum conv_result result = run_steps(&run, found, args, &body, finish == NULL);
    *out = NULL;
    if (wf_likely(result == CONV_OK) && finish != NULL) {
        WF_ASSERT(plan->nsteps == nsteps && plan->npositional <= nsteps);
        *out = finish(plan, args);
        result = *out != NULL ? CONV_OK : CONV_FAILED;
    } else if (result == CONV_INVALID) {
        *out = take_errors(&run);
        if (*out == NULL ||
            (run.native_body && body == NULL && plan_read_body(&run, &body) == CONV_FAILED)) {
            Py_CLEAR(*out);
            result = CONV_FAILED;
        }
        if (call->body == NULL) {
            call->body = body;
            body = NULL;
        }
    }
    for (unsigned i = 0; i < nsteps; i++) {
        Py_XDECREF(args[i]);
    }
    Py_XDECREF(run.errors);
    Py_XDECREF(run.shaped);
    Py_XDECREF(body);
    return (enum wf_plan_outcome)result;
}

static enum wf_plan_outcome run_large(struct wf_plan *plan, struct wf_plan_call *call,
                                      finish_fn *finish, PyObject **out) {
    struct found *found = PyMem_Calloc(plan->nsteps, sizeof(*found));
    PyObject **args = PyMem_Calloc(1 + (size_t)plan->nsteps, sizeof(*args));
    enum wf_plan_outcome outcome = WF_PLAN_FAILED;
    if (found == NULL || args == NULL) {
        *out = PyErr_NoMemory();
    } else {
        outcome = run_plan(plan, call, found, args + 1, finish, out);
    }
    PyMem_Free(found);
    PyMem_Free(args);
    return outcome;
}

WF_ALWAYS_INLINE enum wf_plan_outcome run_any(struct wf_plan *plan, struct wf_plan_call *call,
                                              finish_fn *finish, PyObject **out) {
    if (wf_unlikely(plan->nsteps > PLAN_STEPS_ON_STACK)) {
        return run_large(plan, call, finish, out);
    }
    struct found found[PLAN_STEPS_ON_STACK];
    PyObject *args[1 + PLAN_STEPS_ON_STACK];
    args[0] = NULL;
    return run_plan(plan, call, found, args + 1, finish, out);
}

enum wf_plan_outcome wf_plan_call(struct wf_plan *plan, struct wf_plan_call *call, PyObject **out) {
    if (plan->nsteps == 0) {
        *out = PyObject_CallNoArgs(plan->endpoint);
        return *out != NULL ? WF_PLAN_CALLED : WF_PLAN_FAILED;
    }
    return run_any(plan, call, finish_call, out);
}

enum wf_plan_outcome wf_plan_bind(struct wf_plan *plan, struct wf_plan_call *call, PyObject **out) {
    if (plan->nsteps == 0) {
        *out = Py_NewRef(plan->endpoint);
        return WF_PLAN_CALLED;
    }
    return run_any(plan, call, finish_bind, out);
}

enum wf_plan_outcome wf_plan_check(struct wf_plan *plan, struct wf_plan_call *call,
                                   PyObject **out) {
    *out = NULL;
    return plan->nsteps != 0 ? run_any(plan, call, NULL, out) : WF_PLAN_CALLED;
}

enum wf_plan_outcome wf_plan_read(struct wf_plan *plan, struct wf_plan_call *call, PyObject **out) {
    *out = NULL;
    if (!plan->reads_body) {
        return WF_PLAN_CALLED;
    }
    const struct wf_plan *reader = plan;
    for (unsigned i = 0; !reader->has_body; i++) {
        reader = plan->dependencies[i].plan;
    }
    struct plan_run run = {
        .plan = plan, .call = call, .step = find_body_step(reader), .whole_body = true};
    enum conv_result result = plan->body_readers == 1
                                  ? read_body(&run, reader, &call->shaped, &call->parsed)
                                  : plan_read_body(&run, &call->parsed);
    call->read = true;
    if (result == CONV_INVALID && (*out = take_errors(&run)) == NULL) {
        result = CONV_FAILED;
    }
    Py_XDECREF(run.errors);
    return (enum wf_plan_outcome)result;
}
