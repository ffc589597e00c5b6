/* An intrusive, circular, doubly linked list. The head is a node too; a node that is in no list
 * points at itself, so removing it twice is harmless. Owns nothing. */
#ifndef WF_BASE_LIST_H
#define WF_BASE_LIST_H

#include <stdbool.h>

#include "base/check.h"

struct wf_list {
    struct wf_list *next, *prev;
};

static inline void wf_list_init(struct wf_list *n) {
    n->next = n->prev = n;
}

static inline bool wf_list_empty(const struct wf_list *head) {
    return head->next == head;
}

/* Is this node in a list? */
static inline bool wf_list_linked(const struct wf_list *n) {
    return n->next != n;
}

static inline void wf_list_remove(struct wf_list *n) {
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->next = n->prev = n;
}

/* Appends a node that is in no list. */
static inline void wf_list_push(struct wf_list *head, struct wf_list *n) {
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}

/* Takes the first node off, or returns NULL. */
static inline struct wf_list *wf_list_pop(struct wf_list *head) {
    struct wf_list *n = head->next;
    if (n == head) {
        return NULL;
    }
    wf_list_remove(n);
    return n;
}

/* Moves everything from `from` to the end of `to`; `from` is empty afterwards. */
static inline void wf_list_splice(struct wf_list *to, struct wf_list *from) {
    if (wf_list_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    wf_list_init(from);
}

#endif
