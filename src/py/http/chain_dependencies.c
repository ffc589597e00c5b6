/* The dependencies of a chain: first halves on the way in, second halves (exits) on the way out. */
#include "py/http/chain_int.h"

static PyObject **generators(struct wf_chain *c) {
    return c->slots + c->nvalues;
}

/* ---- first halves ---- */

void chain_keep_value(struct wf_chain *c, PyObject *value) {
    const struct wf_dependency *d = &c->dependencies[c->next];
    if (c->slots[d->key] == NULL) {
        c->slots[d->key] = Py_NewRef(value);
    }
    Py_XSETREF(c->slots[d->value], value);
    c->next++;
}

void chain_keep_generator(struct wf_chain *c) {
    generators(c)[c->nexits] = c->generator;
    c->exits[c->nexits++] = c->next;
    c->generator = NULL;
}

void chain_keep_errors(struct wf_chain *c, PyObject *errors) {
    if (c->errors == NULL) {
        c->errors = errors;
        return;
    }
    Py_ssize_t end = PyList_GET_SIZE(c->errors);
    int rc = PyList_SetSlice(c->errors, end, end, errors);
    Py_DECREF(errors);
    if (rc < 0) {
        chain_fail(c);
    }
}

int chain_check(struct wf_chain *c, struct wf_plan *plan) {
    PyObject *errors;
    switch (wf_plan_check(plan, &c->call->plan, &errors)) {
    case WF_PLAN_FAILED:
        chain_fail(c);
        return -1;
    case WF_PLAN_INVALID:
        chain_keep_errors(c, errors);
        return c->exc != NULL ? -1 : 0;
    default:
        return 0;
    }
}

/* FastAPI reads the parameters of a dependency once for each use, and so repeats what is wrong with them. */
static int repeat_errors(struct wf_chain *c, unsigned use) {
    const struct wf_dependency *d = &c->dependencies[use];
    for (unsigned i = d->start; i <= use; i++) {
        const struct wf_dependency *inner = &c->dependencies[i];
        if ((inner->repeat ? repeat_errors(c, inner->first) : chain_check(c, inner->plan)) < 0) {
            return -1;
        }
    }
    return 0;
}

/* generator.__anext__() */
static PyObject *next_of_async(PyObject *generator) {
    const PyAsyncMethods *async = Py_TYPE(generator)->tp_as_async;
    if (async == NULL || async->am_anext == NULL) {
        return PyErr_Format(PyExc_TypeError, "'%.100s' object is not an async iterator",
                            Py_TYPE(generator)->tp_name);
    }
    return async->am_anext(generator);
}

/* generator.__next__(), in the thread pool unless the dependency is inline; result for chain_got(). */
static void next_of(struct wf_chain *c, uint8_t kind, enum waits waits) {
    PyObject *next = PyObject_GetAttr(c->generator, c->server->state->http.str.__next__);
    if (kind == WF_DEPENDENCY_INLINE_GENERATOR && next != NULL) {
        c->waits = (uint8_t)waits;
        PyObject *item = PyObject_CallNoArgs(next);
        Py_DECREF(next);
        chain_got(c, item);
    } else {
        chain_run_in_thread(c, next, waits);
    }
}

/* What calling the dependency gave (stolen). */
static void called(struct wf_chain *c, uint8_t kind, PyObject *out) {
    switch ((enum wf_dependency_kind)kind) {
    case WF_DEPENDENCY_ASYNC:
        if (wf_likely(PyCoro_CheckExact(out))) {
            c->inner = out;
            c->waits = FOR_VALUE;
        } else if (coro_is_awaitable(out)) {
            chain_wait_for(c, out, FOR_VALUE);
            if (c->inner == NULL) {
                chain_fail(c);
            }
        } else {
            chain_keep_value(c, out);
        }
        break;
    case WF_DEPENDENCY_THREAD:
        chain_run_in_thread(c, out, FOR_VALUE);
        break;
    case WF_DEPENDENCY_ASYNC_GENERATOR:
        c->generator = out;
        chain_wait_for(c, next_of_async(out), FOR_ITEM);
        if (c->inner == NULL) {
            chain_fail(c);
        }
        break;
    case WF_DEPENDENCY_THREAD_GENERATOR:
    case WF_DEPENDENCY_INLINE_GENERATOR:
        c->generator = out;
        next_of(c, kind, FOR_ITEM);
        break;
    default:
        chain_keep_value(c, out);
        break;
    }
}

void chain_run_dependency(struct wf_chain *c) {
    const struct wf_dependency *d = &c->dependencies[c->next];
    PyObject *out = NULL;
    if (d->shared && c->slots[d->value] != NULL) {
        c->next++;
        return;
    }
    if (wf_unlikely(d->repeat || c->invalid[c->next])) {
        c->invalid[d->parent] = true;
        if ((d->repeat ? repeat_errors(c, d->first) : chain_check(c, d->plan)) == 0) {
            c->next++;
        }
        return;
    }
    enum wf_plan_outcome outcome = wf_likely(d->kind != WF_DEPENDENCY_THREAD)
                                       ? wf_plan_call(d->plan, &c->call->plan, &out)
                                       : wf_plan_bind(d->plan, &c->call->plan, &out);
    if (wf_likely(outcome == WF_PLAN_CALLED)) {
        called(c, d->kind, out);
    } else if (outcome == WF_PLAN_INVALID) {
        c->invalid[d->parent] = true;
        c->next++;
        chain_keep_errors(c, out);
    } else {
        chain_fail(c);
    }
}

/* ---- second halves ---- */

bool chain_has_exits(const struct wf_chain *c, bool function_scope) {
    for (unsigned i = 0; i < c->nexits; i++) {
        if (!function_scope || c->dependencies[c->exits[i]].function_scope) {
            return true;
        }
    }
    return false;
}

/* generator.throw(exc), to be called in a thread. */
static PyObject *bind_throw(struct wf_chain *c) {
    PyObject *throw = PyObject_GetAttr(c->generator, c->server->state->http.str.throw);
    PyObject *partial = c->server->state->plan.partial, *bound = NULL;
    if (throw != NULL) {
        bound = PyObject_CallFunctionObjArgs(partial, throw, c->exc, NULL);
        Py_DECREF(throw);
    }
    return bound;
}

bool chain_start_exit(struct wf_chain *c, bool function_scope) {
    unsigned i = c->nexits;
    while (i > 0 && function_scope && !c->dependencies[c->exits[i - 1]].function_scope) {
        i--;
    }
    if (i-- == 0) {
        return false;
    }
    struct wf_http_names *str = &c->server->state->http.str;
    PyObject **gens = generators(c);
    c->exit = c->exits[i];
    Py_XSETREF(c->generator, gens[i]);
    for (c->nexits--; i < c->nexits; i++) {
        gens[i] = gens[i + 1];
        c->exits[i] = c->exits[i + 1];
    }
    gens[c->nexits] = NULL;

    uint8_t kind = c->dependencies[c->exit].kind;
    if (kind == WF_DEPENDENCY_ASYNC_GENERATOR) {
        PyObject *awaitable = c->exc == NULL
                                  ? next_of_async(c->generator)
                                  : PyObject_CallMethodOneArg(c->generator, str->athrow, c->exc);
        chain_wait_for(c, awaitable, FOR_EXIT);
        if (c->inner == NULL) {
            chain_got(c, NULL);
        }
    } else if (c->exc == NULL) {
        next_of(c, kind, FOR_EXIT);
    } else if (kind == WF_DEPENDENCY_INLINE_GENERATOR) {
        c->waits = FOR_EXIT;
        chain_got(c, PyObject_CallMethodOneArg(c->generator, str->throw, c->exc));
    } else {
        chain_run_in_thread(c, bind_throw(c), FOR_EXIT);
    }
    return true;
}

void chain_refuse_item(struct wf_chain *c) {
    struct wf_http_names *str = &c->server->state->http.str;
    PyErr_SetString(PyExc_RuntimeError, c->exc == NULL ? "generator didn't stop"
                                                       : "generator didn't stop after throw()");
    PyObject *exc = wf_err_take();
    if (c->exc != NULL) {
        PyException_SetContext(exc, Py_NewRef(c->exc)); /* stolen */
    }
    Py_XSETREF(c->exc, exc);
    if (c->dependencies[c->exit].kind == WF_DEPENDENCY_ASYNC_GENERATOR) {
        chain_wait_for(c, PyObject_CallMethodNoArgs(c->generator, str->aclose), FOR_CLOSE);
    } else {
        Py_XDECREF(PyObject_CallMethodNoArgs(c->generator, str->close));
    }
    if (PyErr_Occurred()) {
        chain_fail(c);
    }
}

/* Is `raised` what was thrown in, or the RuntimeError that Python makes of a Stop(Async)Iteration
 * which leaves a generator (PEP 479)? */
static bool is_same(PyObject *raised, PyObject *thrown) {
    if (raised == thrown) {
        return true;
    }
    if (!PyErr_GivenExceptionMatches(raised, PyExc_RuntimeError) ||
        !(PyErr_GivenExceptionMatches(thrown, PyExc_StopIteration) ||
          PyErr_GivenExceptionMatches(thrown, PyExc_StopAsyncIteration))) {
        return false;
    }
    PyObject *cause = PyException_GetCause(raised);
    Py_XDECREF(cause); /* `raised` keeps it */
    return cause == thrown;
}

void chain_exited(struct wf_chain *c) {
    PyObject *stop = c->dependencies[c->exit].kind == WF_DEPENDENCY_ASYNC_GENERATOR
                         ? PyExc_StopAsyncIteration
                         : PyExc_StopIteration;
    PyObject *raised = wf_err_take();
    if (c->exc != NULL && is_same(raised, c->exc)) {
        Py_DECREF(raised); /* it goes on */
    } else if (PyErr_GivenExceptionMatches(raised, stop)) {
        Py_DECREF(raised);
        Py_CLEAR(c->exc); /* where there was one, it ends here */
    } else {
        Py_XSETREF(c->exc, raised);
    }
}
