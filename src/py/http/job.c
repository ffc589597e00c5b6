/* Sync handlers: run in a bounded thread pool (concurrent.futures), so that one that blocks holds
 * up nobody else. The job is the callable the pool runs; it puts itself on the server's list and
 * wakes the loop. The GIL guards that list. */
#include "py/http/http_int.h"

enum { JOB_THREADS_MAX = 40 }; /* as many as anyio, and so FastAPI, runs at once */

struct wf_job {
    PyObject_HEAD
    struct wf_list node;           /* in server->jobs_done once it is back: then the list owns us */
    struct wf_http_server *server; /* owned */
    struct wf_call *call;          /* borrowed; NULL once the call ended without it */
    PyObject *callable;            /* owned; NULL once called */
    PyObject *context;             /* owned */
    PyObject *result;              /* owned; NULL with an exception below */
    PyObject *exception;           /* owned */
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
    if (s->server != NULL && job->call != NULL) { /* else nobody waits */
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

int wf_job_submit(struct wf_call *call, PyObject *callable) {
    struct wf_http_server *s = call->server;
    if (wf_jobs_pool(s) == NULL) {
        return -1;
    }
    struct wf_job *job = PyObject_GC_New(struct wf_job, s->state->http.job_type);
    if (job == NULL) {
        return -1;
    }
    wf_list_init(&job->node);
    job->server = (struct wf_http_server *)Py_NewRef((PyObject *)s);
    job->call = call;
    job->callable = Py_NewRef(callable);
    job->context = Py_NewRef(call->context);
    job->result = job->exception = NULL;
    PyObject_GC_Track(job);

    call->job = job;
    wf_list_push(&s->parked, &call->node);
    PyObject *future = PyObject_CallOneArg(s->submit, (PyObject *)job);
    if (future == NULL) {
        wf_job_forget(call);
        wf_list_remove(&call->node);
    }
    Py_XDECREF(future);
    Py_DECREF(job); /* the pool's queue holds it, then the list */
    return future != NULL ? 0 : -1;
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
    Py_VISIT(job->callable);
    Py_VISIT(job->context);
    Py_VISIT(job->result);
    Py_VISIT(job->exception);
    return 0;
}

static int job_clear(PyObject *self) {
    struct wf_job *job = (struct wf_job *)self;
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
