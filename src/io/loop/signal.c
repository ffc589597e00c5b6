/* Signals belong to the process, so their handler has to find the loop through a static: the owner
 * of each signal, and the handler that was there before. Everything else is the loop's. */
#include <sched.h>
#include <signal.h>

#include "io/loop/loop_int.h"

enum { SIGNO_MAX = 64 }; /* bits of signals_pending; as many as Linux has */

static _Atomic(struct wf_loop *) owners[SIGNO_MAX + 1];
static struct sigaction previous[SIGNO_MAX + 1]; /* touched by the owner's thread only */
static atomic_int handlers_running; /* in any thread; an owner waits for 0 before it goes away */

static void on_signal(int signo) {
    atomic_fetch_add(&handlers_running, 1);
    struct wf_loop *loop = atomic_load(&owners[signo]);
    if (loop != NULL) {
        atomic_fetch_or(&loop->signals_pending, UINT64_C(1) << (signo - 1));
        wf_loop_wake(loop);
    }
    atomic_fetch_sub(&handlers_running, 1);
}

static void give_back(int signo) {
    struct sigaction now;
    /* Whoever has put a handler over ours since then wants to keep it. */
    if (sigaction(signo, NULL, &now) == 0 && now.sa_handler == on_signal) {
        sigaction(signo, &previous[signo], NULL);
    }
    atomic_store(&owners[signo], NULL);
    while (atomic_load(&handlers_running) != 0) {
        sched_yield(); /* one in another thread may have read the owner just before */
    }
}

int wf_signal_start(struct wf_loop *loop, struct wf_signal *s, int signo) {
    if (signo < 1 || signo > SIGNO_MAX) {
        return -EINVAL;
    }
    struct wf_loop *owner = NULL;
    if (atomic_compare_exchange_strong(&owners[signo], &owner, loop)) {
        struct sigaction ours = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        sigfillset(&ours.sa_mask);
        if (sigaction(signo, &ours, &previous[signo]) != 0) {
            int rc = -errno;
            atomic_store(&owners[signo], NULL);
            return rc;
        }
    } else if (owner != loop) {
        return -EBUSY;
    }
    s->signo = signo;
    s->due = false;
    wf_list_push(&loop->signals, &s->node);
    return 0;
}

static bool anyone_waits_for(const struct wf_loop *loop, int signo) {
    for (struct wf_list *n = loop->signals.next; n != &loop->signals; n = n->next) {
        if (wf_container_of(n, struct wf_signal, node)->signo == signo) {
            return true;
        }
    }
    return false;
}

void wf_signal_stop(struct wf_loop *loop, struct wf_signal *s) {
    if (s->node.next == NULL || !wf_list_linked(&s->node)) {
        return;
    }
    wf_list_remove(&s->node);
    if (!anyone_waits_for(loop, s->signo)) {
        give_back(s->signo);
        atomic_fetch_and(&loop->signals_pending, ~(UINT64_C(1) << (s->signo - 1)));
    }
}

/* The first that is still to be told, or NULL. */
static struct wf_signal *next_due(const struct wf_loop *loop) {
    for (struct wf_list *n = loop->signals.next; n != &loop->signals; n = n->next) {
        struct wf_signal *s = wf_container_of(n, struct wf_signal, node);
        if (s->due) {
            return s;
        }
    }
    return NULL;
}

int wf_signals_run(struct wf_loop *loop) {
    if (wf_likely(atomic_load_explicit(&loop->signals_pending, memory_order_relaxed) == 0)) {
        return 0;
    }
    uint64_t pending = atomic_exchange(&loop->signals_pending, 0);
    for (struct wf_list *n = loop->signals.next; n != &loop->signals; n = n->next) {
        struct wf_signal *s = wf_container_of(n, struct wf_signal, node);
        s->due = pending >> (s->signo - 1) & 1;
    }
    int ran = 0;
    struct wf_signal *s;
    while ((s = next_due(loop)) != NULL) { /* from the start: a callback may stop any of them */
        s->due = false;
        ran++;
        s->cb(s);
    }
    return ran;
}

void wf_signals_close(struct wf_loop *loop) {
    while (!wf_list_empty(&loop->signals)) {
        wf_signal_stop(loop, wf_container_of(loop->signals.next, struct wf_signal, node));
    }
}
