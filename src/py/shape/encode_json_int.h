/* What the files of the typed JSON encoder share.
 *
 * As in py/json, writers take the place to write at and give the place behind what they wrote, with
 * WF_JSON_SLACK free behind it; NULL with an exception, or with t->unproved. On the way back up from
 * a failure the path to it is written down, so that what has a form pays nothing for it.
 *
 * Values are borrowed from what holds them. Whatever may run Python code (a serializer, a property,
 * a time zone) gets a reference first, and containers are measured again after. */
#ifndef WF_PY_SHAPE_ENCODE_JSON_INT_H
#define WF_PY_SHAPE_ENCODE_JSON_INT_H

#include "py/shape/shape_int.h"

#include "py/json/encode_write.h"

struct typed {
    struct encoder e;
    struct wf_walk w; /* the path to what has failed, and checks */
    unsigned flags;   /* enum wf_output_flags */
    bool judged;     /* this much only counts where pydantic's validation would leave it as it is */
    bool unproved;   /* it would not, or might not: no exception is set */
    PyObject *unset; /* borrowed: msgspec.UNSET, or NULL while nobody has imported msgspec */
};

/* The value as the node has it; o is held on to by whoever holds what contains it. */
char *json_put(struct typed *t, char *d, const struct wf_node *n, PyObject *o);

/* Is the value exactly, or by a subclass, what the node is of? */
bool json_is_of(struct typed *t, const struct wf_node *n, PyObject *o, bool exactly);

/* Parts of it, by what the node is: the rarer scalars, an object. o is held on to. */
char *json_put_scalar(struct typed *t, char *d, const struct wf_node *n, PyObject *o);
char *json_put_object(struct typed *t, char *d, const struct wf_node *n, PyObject *o);

/* It is not what the node says: pydantic writes it where the node is its; else EncodeError, or
 * t->unproved. */
char *json_put_other(struct typed *t, char *d, const struct wf_node *n, PyObject *o);

/* What pydantic writes of it, by the node's `dump`. */
char *json_put_by_pydantic(struct typed *t, char *d, const struct wf_node *n, PyObject *o);

/* What a SERIALIZER of the application makes of it. instance  whose field it is, for a PART; else NULL */
char *json_put_serialized(struct typed *t, char *d, const struct wf_node *n, PyObject *instance,
                          PyObject *o);

/* What the caller's `default` makes of an object that has no form, as an ANY node has it. EncodeError
 * where there is none. */
char *json_put_by_fallback(struct typed *t, char *d, const struct wf_node *any, PyObject *o);

/* A field that pydantic writes by itself, a HANDED PART: "name":value and a comma, or nothing. */
char *json_put_member(struct typed *t, char *d, const struct wf_node *n, PyObject *instance);

/* A float, the shortest that reads back, with exponents as in 1e16 (pydantic: 1e+16) and 1e-7; null
 * where it is not finite. */
char *json_put_double(struct typed *t, char *d, const struct wf_node *n, double v);

static inline char *unproved(struct typed *t) {
    t->unproved = true;
    return NULL;
}

/* Back to what was written before: the buffer may have moved. */
static inline size_t mark(const struct typed *t, const char *d) {
    return (size_t)(d - t->e.out.start);
}
static inline char *rewind_to(struct typed *t, size_t at, unsigned depth) {
    while (t->e.depth > depth) {
        leave(&t->e);
    }
    return t->e.out.start + at;
}

/* The end of a container over its last comma. */
static inline char *close_container(struct typed *t, char *d, char c) {
    if (d[-1] != ',') { /* nothing was written in it */
        *d++ = ' ';
    }
    return finish(&t->e, d, c);
}

#endif
