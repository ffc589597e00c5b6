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

/* Rounded up: after a wait until then loop.time() is not below `when`. */
static uint64_t ns_of(double when) {
    double ns = ceil(when * 1e9);
    if (!(ns > 0)) { /* the past, and NaN, which asyncio takes as due too */
        return 0;
    }
    return ns < 9e18 ? (uint64_t)ns : INT64_MAX; /* three centuries: never */
}

int wf_pyloop_timer_start(struct wf_pyloop *l, struct wf_timer_handle *t) {
    /* What a callback starts for a time in the past waits for the next turn, behind what is due. */
    uint64_t key = WF_MAX(wf_timer_key(t->when), l->due_before);
    if (wf_unlikely(wf_heap_insert(&l->timers, &t->node, key) < 0)) {
        PyErr_NoMemory();
        return -1;
    }
    Py_INCREF(t);
    if (wf_unlikely(wf_pyloop_first_timer(l) == t)) {
        l->glance_by_ns = WF_MIN(l->glance_by_ns, ns_of(t->when));
        l->unread = 0;
        if (wf_unlikely(wf_pyloop_hands_off(l))) { /* another thread's: the wait is to be shorter */
            wf_loop_wake(&l->reactor);
        }
    }
    return 0;
}

void wf_pyloop_timer_stop(struct wf_pyloop *l, struct wf_timer_handle *t) {
    if (wf_heap_node_linked(&t->node)) {
        wf_heap_remove(&l->timers, &t->node);
        Py_DECREF(t);
    }
}

/* How long the reactor may wait for our first timer; negative: for as long as it wants. now  what a clock
 * of the program's own says, or NULL */
static int64_t until_first_timer(const struct wf_pyloop *l, const double *now) {
    const struct wf_timer_handle *t = wf_pyloop_first_timer(l);
    if (t == NULL) {
        return -1;
    }
    if (wf_unlikely(now != NULL)) {
        return wf_pyloop_clock_wait(t, *now);
    }
    uint64_t when_ns = ns_of(t->when), now_ns = wf_clock_mono_ns();
    return when_ns > now_ns ? (int64_t)(when_ns - now_ns) : 0;
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
    const struct wf_timer_handle *t = wf_pyloop_first_timer(l);
    if (t != NULL) {
        l->glance_by_ns = WF_MIN(l->glance_by_ns, ns_of(t->when));
    }
}

static bool is_idle(const struct wf_pyloop *l) {
    return l->ready.len == 0 && !l->stopping && !l->busy;
}

static int wait_for_events(struct wf_pyloop *l) {
    if (may_skip_glance(l)) {
        l->found = false;
        return 0;
    }
    double now;
    bool ask = wf_unlikely(l->own_clock) && is_idle(l) && wf_pyloop_first_timer(l) != NULL;
    if (ask && wf_pyloop_ask_clock(l, &now) < 0) {
        return -1;
    }
    bool idle = is_idle(l); /* now: the clock is the program's, and may have done anything */
    int64_t timeout_ns = idle ? until_first_timer(l, ask ? &now : NULL) : 0;
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
        rc = wf_loop_poll(&l->reactor, timeout_ns);
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

/* h (stolen) has its turn. */
static int run_handle(struct wf_pyloop *l, struct wf_handle *h) {
    int rc = 0;
    if (wf_likely(!h->cancelled)) {
        rc = wf_unlikely(l->debug) ? run_watched(l, h) : wf_handle_run(h);
    }
    wf_handle_done(h);
    return rc;
}

/* What is queued now, and nothing that is queued meanwhile: descriptors have their turn first. Then the
 * timers that are due, likewise. */
static int run_handles(struct wf_pyloop *l) {
    for (uint32_t n = l->ready.len; n > 0 && l->ready.len > 0; n--) {
        if (wf_unlikely(run_handle(l, wf_queue_pop(&l->ready)) < 0)) {
            return -1;
        }
    }
    struct wf_heap_slot first;
    while ((first = wf_heap_first(&l->timers)).node != NULL && first.key < l->due_before) {
        struct wf_timer_handle *t = wf_container_of(first.node, struct wf_timer_handle, node);
        wf_heap_remove(&l->timers, first.node); /* its reference is ours now */
        if (wf_unlikely(run_handle(l, &t->h) < 0)) {
            return -1;
        }
    }
    return 0;
}

static int turn(struct wf_pyloop *l) {
    if (wait_for_events(l) < 0) {
        return -1;
    }
    if (wf_unlikely(l->late_fds != NULL)) { /* what other threads asked for while we waited */
        wf_fd_apply_late(l);
    }
    if (wf_fd_collect(l) < 0) {
        return -1;
    }
    if (wf_unlikely(l->own_clock)) {
        if (wf_pyloop_clock_after(l) < 0) {
            return -1;
        }
    } else { /* not before loop.time() says so too */
        l->due_before = wf_timer_key((double)l->reactor.now_ns / 1e9) + 1;
    }
    if (PyErr_CheckSignals() < 0) {
        return -1;
    }
    if (!wf_list_empty(&l->guests) && run_guests(l) < 0) {
        return -1;
    }
    return run_handles(l);
}

int wf_pyloop_turn(struct wf_pyloop *l) {
    int rc = turn(l);
    l->due_before = 0;
    return rc;
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
