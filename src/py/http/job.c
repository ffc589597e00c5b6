/* Sync handlers: run in a bounded thread pool (concurrent.futures), so that one that blocks holds
 * up nobody else. The job is the callable the pool runs; it puts itself on the server's list and
 * wakes the loop. The GIL guards that list. */
#include "py/http/http_int.h"

enum { JOB_THREADS_MAX = 40 }; /* as many as anyio, and so FastAPI, runs at once */

struct wf_job {
    PyObject_HEAD
    struct wf_list node;           /* in server->jobs_done once it is back: then the list owns us */
    struct wf_http_server *server; /* owned */
    struct wf_call *call; /* borrowed; NULL once the call ended without it, or for a chain */
    PyObject *waiter;     /* owned: a Future, done when the job is collected; or NULL */
    PyObject *callable;   /* owned; NULL once called */
    PyObject *context;    /* owned */
    PyObject *result;     /* owned; NULL with an exception below */
    PyObject *exception;  /* owned */
};

static PyObject *job_call(PyObject *self, PyObject *args, PyObject *kwargs) {
    struct wf_job *job = (struct wf_job *)self;
    PyObject *callable = job->callable; /* owned now */
    job->callable = NULL;
    if (callable == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a job runs once");
        return NULL;
    }
    if (PyContext_Enter(job->context) == 0) {
        job->result = PyObject_CallNoArgs(callable);
        if (PyContext_Exit(job->context) < 0) {
            Py_CLEAR(job->result);
        }
    }
    Py_DECREF(callable);
    if (job->result == NULL) {
        job->exception = wf_err_take();
    }
    struct wf_http_server *s = job->server;
    if (s->server != NULL && (job->call != NULL || job->waiter != NULL)) {
        struct wf_loop *reactor = wf_pyloop_reactor(s->state, s->loop);
        if (reactor != NULL) {
            Py_INCREF(self);
            wf_list_push(&s->jobs_done, &job->node);
            wf_loop_wake(reactor);
        } else { /* it is being closed, and the server with it */
            PyErr_Clear();
        }
    }
    Py_RETURN_NONE;
}

PyObject *wf_jobs_pool(struct wf_http_server *s) {
    if (s->submit == NULL) {
        PyObject *futures = PyImport_ImportModule("concurrent.futures");
        PyObject *pool = futures != NULL ? PyObject_CallMethod(futures, "ThreadPoolExecutor", "is",
                                                               JOB_THREADS_MAX, "weft-handler")
                                         : NULL;
        s->submit = pool != NULL ? PyObject_GetAttr(pool, s->state->http.str.submit) : NULL;
        Py_XDECREF(pool);
        Py_XDECREF(futures);
    }
    return s->submit;
}

/* Everything borrowed but `waiter`, which is stolen; one of call and waiter is NULL. */
static struct wf_job *start(struct wf_http_server *s, PyObject *callable, PyObject *context,
                            struct wf_call *call, PyObject *waiter) {
    struct wf_job *job =
        wf_jobs_pool(s) != NULL ? PyObject_GC_New(struct wf_job, s->state->http.job_type) : NULL;
    if (job == NULL) {
        Py_XDECREF(waiter);
        return NULL;
    }
    wf_list_init(&job->node);
    job->server = (struct wf_http_server *)Py_NewRef((PyObject *)s);
    job->call = call;
    job->waiter = waiter;
    job->callable = Py_NewRef(callable);
    job->context = Py_NewRef(context);
    job->result = job->exception = NULL;
    PyObject_GC_Track(job);
    PyObject *future = PyObject_CallOneArg(s->submit, (PyObject *)job);
    if (future == NULL) {
        job->call = NULL;
        Py_CLEAR(job);
    }
    Py_XDECREF(future);
    return job; /* the pool's queue holds it too, then the list */
}

int wf_job_submit(struct wf_call *call, PyObject *callable) {
    wf_list_push(&call->server->parked, &call->node);
    struct wf_job *job = start(call->server, callable, call->context, call, NULL);
    if (job == NULL) {
        wf_list_remove(&call->node);
        return -1;
    }
    call->job = job; /* it is collected by this thread, so not before we return */
    Py_DECREF(job);
    return 0;
}

struct wf_job *wf_job_start(struct wf_http_server *s, PyObject *callable, PyObject *context,
                            PyObject *future) {
    return start(s, callable, context, NULL, future);
}

void wf_job_wake(struct wf_job *job, PyObject *future) {
    Py_XSETREF(job->waiter, future);
}

bool wf_job_done(const struct wf_job *job) {
    return job->result != NULL || job->exception != NULL;
}

PyObject *wf_job_result(struct wf_job *job) {
    PyObject *result = job->result, *exception = job->exception;
    job->result = job->exception = NULL;
    if (exception != NULL) {
        wf_err_put(exception);
    } else if (result == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the server ended before its thread pool");
    }
    return result;
}

void wf_job_forget(struct wf_call *call) {
    call->job->call = NULL;
    call->job = NULL;
}

void wf_jobs_collect(struct wf_http_server *s) {
    struct wf_list *node;
    while ((node = wf_list_pop(&s->jobs_done)) != NULL) {
        struct wf_job *job = wf_container_of(node, struct wf_job, node);
        struct wf_call *call = job->call;
        if (call != NULL) {
            wf_job_forget(call);
            wf_list_remove(&call->node);
            if (job->result != NULL) {
                wf_call_returned(call, job->result);
            } else {
                PyObject *exc = job->exception;
                job->exception = NULL;
                wf_err_put(exc);
                wf_call_fail(call);
            }
        }
        wf_http_wake(s, &job->waiter);
        Py_DECREF(job);
    }
}

int wf_jobs_traverse(struct wf_http_server *s, visitproc visit, void *arg) {
    for (struct wf_list *n = s->jobs_done.next; n != NULL && n != &s->jobs_done; n = n->next) {
        Py_VISIT((PyObject *)wf_container_of(n, struct wf_job, node));
    }
    return 0;
}

static int job_traverse(PyObject *self, visitproc visit, void *arg) {
    struct wf_job *job = (struct wf_job *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(job->server);
    Py_VISIT(job->waiter);
    Py_VISIT(job->callable);
    Py_VISIT(job->context);
    Py_VISIT(job->result);
    Py_VISIT(job->exception);
    return 0;
}

static int job_clear(PyObject *self) {
    struct wf_job *job = (struct wf_job *)self;
    Py_CLEAR(job->waiter);
    Py_CLEAR(job->callable);
    Py_CLEAR(job->context);
    Py_CLEAR(job->result);
    Py_CLEAR(job->exception);
    return 0;
}

static void job_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    job_clear(self);
    Py_CLEAR(((struct wf_job *)self)->server);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot job_slots[] = {
    {Py_tp_call, job_call},
    {Py_tp_traverse, job_traverse},
    {Py_tp_clear, job_clear},
    {Py_tp_dealloc, job_dealloc},
    {0, NULL},
};

PyType_Spec wf_job_spec = {
    .name = "weft._core.Job",
    .basicsize = sizeof(struct wf_job),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = job_slots,
};
