/* One turn of run_forever, phase by phase. The phases are those of pyloop.h, in that order. */
#include <errno.h>
#include <math.h>

#include "base/alloc.h"
#include "py/loop/loop_int.h"

int wf_queue_grow(struct wf_queue *q) {
    uint32_t cap = q->cap != 0 ? q->cap * 2 : 64;
    struct wf_handle **slots = cap > q->cap ? wf_malloc(cap * sizeof(*slots)) : NULL;
    if (slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (uint32_t i = 0; i < q->len; i++) {
        slots[i] = q->slots[(q->head + i) & (q->cap - 1)];
    }
    wf_free(q->slots);
    *q = (struct wf_queue){.slots = slots, .len = q->len, .cap = cap};
    return 0;
}

/* ---- timers ---- */

/* Rounded up: loop.time() must not be below `when` as the callback runs. */
static uint64_t ns_of(double when) {
    double ns = ceil(when * 1e9);
    if (!(ns > 0)) { /* the past, and NaN, which asyncio takes as due too */
        return 0;
    }
    return ns < 9e18 ? (uint64_t)ns : INT64_MAX; /* three centuries: never */
}

int wf_pyloop_timer_arm(struct wf_pyloop *l, struct wf_timer_handle *t) {
    if (wf_unlikely(l->own_clock)) {
        l->unarmed = true;
        return 0;
    }
    uint64_t when_ns = ns_of(t->when);
    if (wf_timer_start(&l->reactor, &t->timer, when_ns) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (when_ns < l->glance_by_ns) {
        l->glance_by_ns = when_ns;
        l->unread = 0;
    }
    return 0;
}

int wf_pyloop_timer_start(struct wf_pyloop *l, struct wf_timer_handle *t) {
    if (wf_unlikely(wf_pyloop_hands_off(l))) {
        t->next = l->late;
        l->late = t;
        wf_loop_wake(&l->reactor);
    } else if (wf_unlikely(wf_pyloop_timer_arm(l, t) < 0)) {
        return -1;
    }
    t->scheduled = true;
    wf_list_push(&l->timers, &t->node);
    Py_INCREF(t);
    return 0;
}

/* Gives up the loop's reference. */
static void forget_timer(struct wf_timer_handle *t) {
    t->scheduled = false;
    wf_list_remove(&t->node);
    Py_DECREF(t);
}

void wf_pyloop_timer_stop(struct wf_pyloop *l, struct wf_timer_handle *t) {
    /* One that has fired, or that another thread touches during the wait, is dropped by
     * collect_timers or start_late: they see that it is cancelled. */
    if (t->scheduled && !wf_pyloop_hands_off(l) && wf_timer_active(&t->timer)) {
        wf_timer_stop(&l->reactor, &t->timer);
        forget_timer(t);
    }
}

/* What other threads asked for while we waited. */
static int start_late(struct wf_pyloop *l) {
    int rc = 0;
    while (wf_unlikely(l->late != NULL)) {
        struct wf_timer_handle *t = l->late;
        l->late = t->next;
        if (t->h.cancelled) {
            forget_timer(t);
        } else if (wf_pyloop_timer_arm(l, t) < 0) {
            forget_timer(t);
            rc = -1;
        }
    }
    if (wf_unlikely(l->late_fds != NULL)) {
        wf_fd_apply_late(l);
    }
    return rc;
}

static int collect_timers(struct wf_pyloop *l) {
    int rc = 0;
    struct wf_timer_handle *t = l->due;
    l->due = NULL;
    l->due_tail = &l->due;
    while (t != NULL) {
        struct wf_timer_handle *next = t->next;
        if (t->h.cancelled) {
            forget_timer(t);
        } else if (wf_queue_push(&l->ready, &t->h) == 0) { /* takes over the reference */
            t->scheduled = false;
            wf_list_remove(&t->node);
        } else {
            forget_timer(t);
            rc = -1;
        }
        t = next;
    }
    return rc;
}

/* ---- the phases ---- */

/* Is this the only thread that runs Python here? Then nobody waits for the GIL. */
static bool alone(PyThreadState *ts) {
    PyThreadState *head = PyInterpreterState_ThreadHead(PyThreadState_GetInterpreter(ts));
    return head == ts && PyThreadState_Next(head) == NULL;
}

/* Is it too early for a glance? After short turns, a few of few callbacks are taken to be short too. */
static bool before_glance(struct wf_pyloop *l) {
    if (l->unread != 0 && l->ready.len <= WF_UNREAD_CALLBACKS) {
        l->unread--;
        return true;
    }
    uint64_t now_ns = wf_clock_mono_ns();
    l->unread = now_ns - l->read_ns < WF_SHORT_NS ? WF_UNREAD_TURNS : 0;
    l->read_ns = now_ns;
    return now_ns < l->glance_by_ns;
}

/* Is a glance at the descriptors not worth its price yet (ADR 11)? Guests want each turn whole. */
static bool may_skip_glance(struct wf_pyloop *l) {
    return (l->quiet >= WF_QUIET_TURNS || l->found) && l->ready.len != 0 &&
           wf_list_empty(&l->guests) && !l->own_clock && before_glance(l);
}

static void plan_next_glance(struct wf_pyloop *l, bool found) {
    l->found = found;
    l->quiet = found ? 0 : l->quiet + (l->quiet < WF_QUIET_TURNS);
    l->read_ns = l->reactor.now_ns;
    l->unread = 0;
    l->glance_by_ns = l->reactor.now_ns + WF_GLANCE_EVERY_NS;
    if (wf_heap_min(&l->reactor.timers) != NULL) {
        l->glance_by_ns = WF_MIN(l->glance_by_ns, wf_heap_min_key(&l->reactor.timers));
    }
}

/* timeout_ns  the most to wait while nothing is ready; negative: until the reactor's next timer */
static int wait_for_events(struct wf_pyloop *l, int64_t timeout_ns) {
    if (may_skip_glance(l)) {
        l->found = false;
        return 0;
    }
    bool idle = l->ready.len == 0 && !l->stopping && !l->busy;
    PyThreadState *ts = NULL;
    int rc;
    if (!idle && wf_list_empty(&l->guests) && alone(PyThreadState_Get())) {
        /* A glance at the descriptors; giving up the GIL for it would cost as much again. */
        rc = wf_loop_poll(&l->reactor, 0);
    } else {
        l->waiting = true;
        ts = PyEval_SaveThread();
        for (struct wf_list *n = l->guests.next; n != &l->guests; n = n->next) {
            struct wf_guest *g = wf_container_of(n, struct wf_guest, node);
            g->before_wait(g);
        }
        rc = wf_loop_poll(&l->reactor, idle ? timeout_ns : 0);
        PyEval_RestoreThread(ts);
        l->waiting = false;
    }
    if (wf_unlikely(rc < 0)) {
        errno = -rc;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    plan_next_glance(l, idle || rc > 0);
    return 0;
}

/* Guests may come and go as they run, the one that runs included: each is put back before its turn.
 */
static int run_guests(struct wf_pyloop *l) {
    struct wf_list todo, *n;
    wf_list_init(&todo);
    wf_list_splice(&todo, &l->guests);
    int rc = 0;
    bool busy = false;
    while ((n = wf_list_pop(&todo)) != NULL) {
        struct wf_guest *g = wf_container_of(n, struct wf_guest, node);
        wf_list_push(&l->guests, n);
        int more = g->after_wait(g);
        busy = busy || more > 0;
        if (more < 0) { /* the others have their turn when the loop runs again */
            wf_list_splice(&l->guests, &todo);
            busy = true;
            rc = -1;
            break;
        }
    }
    l->busy = busy;
    return rc;
}

/* Debug mode: who takes long is named in the log. */
static int run_watched(struct wf_pyloop *l, struct wf_handle *h) {
    PyObject *self = (PyObject *)l;
    if (PyObject_SetAttrString(self, "_current_handle", (PyObject *)h) < 0) {
        return -1;
    }
    uint64_t start = wf_clock_mono_ns();
    int rc = wf_handle_run(h);
    double took = (double)(wf_clock_mono_ns() - start) / 1e9;
    if (rc == 0) {
        PyObject *done = PyObject_CallMethod(self, "_ran", "Od", h, took);
        rc = done != NULL ? 0 : -1;
        Py_XDECREF(done);
    }
    PyObject *exc = wf_err_take();
    if (PyObject_SetAttrString(self, "_current_handle", Py_None) < 0) {
        rc = -1;
    }
    if (exc != NULL) {
        wf_err_put(exc);
    }
    return rc;
}

/* What is queued now, and nothing that is queued meanwhile: descriptors have their turn first. */
static int run_handles(struct wf_pyloop *l) {
    for (uint32_t n = l->ready.len; n > 0 && l->ready.len > 0; n--) {
        struct wf_handle *h = wf_queue_pop(&l->ready);
        int rc = 0;
        if (wf_likely(!h->cancelled)) {
            rc = wf_unlikely(l->debug) ? run_watched(l, h) : wf_handle_run(h);
        }
        wf_handle_done(h);
        if (wf_unlikely(rc < 0)) {
            return -1;
        }
    }
    return 0;
}

int wf_pyloop_turn(struct wf_pyloop *l) {
    bool own_clock;
    int64_t timeout_ns;
    if (wf_pyloop_clock_before(l, &own_clock, &timeout_ns) < 0 ||
        wait_for_events(l, timeout_ns) < 0) {
        return -1;
    }
    if (start_late(l) < 0 || wf_fd_collect(l) < 0 ||
        (wf_unlikely(own_clock) && wf_pyloop_clock_after(l) < 0) || collect_timers(l) < 0) {
        return -1;
    }
    if (PyErr_CheckSignals() < 0) {
        return -1;
    }
    if (!wf_list_empty(&l->guests) && run_guests(l) < 0) {
        return -1;
    }
    return run_handles(l);
}

PyObject *wf_pyloop_run(struct wf_pyloop *l) {
    l->quiet = 0;
    l->found = false;
    Py_XSETREF(l->loop_keyword,
               Py_BuildValue("{OO}", PyTuple_GET_ITEM(l->state->loop.kw_loop, 0), l));
    if (l->loop_keyword == NULL || wf_pyloop_look_at_clock(l) < 0) {
        Py_CLEAR(l->loop_keyword);
        return NULL;
    }
    int rc;
    do {
        rc = wf_pyloop_turn(l);
    } while (rc == 0 && !l->stopping);
    Py_CLEAR(l->loop_keyword);
    if (l->fresh != NULL) {
        wf_handle_track(l->fresh);
    }
    return rc == 0 ? Py_NewRef(Py_None) : NULL;
}
