/* What the files that encode share: encode.c by an object's own class, encode_shape.c by a type. */
#ifndef WF_PY_BSON_ENCODE_INT_H
#define WF_PY_BSON_ENCODE_INT_H

#include "base/buf.h"
#include "base/num.h"
#include "py/bson/options.h"
#include "py/shape/shape.h"
#include "wire/bson/bson_write.h"

enum {
    /* Levels that are free; beyond, each counts against Python's recursion limit too. */
    WF_BSON_DEPTH_UNCOUNTED = 16
};

struct encoder {
    struct wf_buf out;
    struct wf_state *state;
    struct wf_bson_state *s;
    const struct wf_bson_options *options; /* NULL: the usual ones */
    const struct place *place;
    unsigned depth;
    bool fallen_back, in_custom; /* what such an encoder gave is not given to it again */
    bool typed;     /* what BSON does not know is written as its class's shape has it */
    bool json_keys; /* keys that are no str are the text that they are in JSON */
    bool dumped;    /* this is what pydantic has made of an object of its */
};

#define FAIL(e, ...) (wf_bson_raise_encode((e)->s, (e)->place, __VA_ARGS__), -1)

/* Functions return 0, or -1 with an exception. Objects are borrowed and held on to by the caller; names
 * and spans outlive the call. */

int wf_bson_fail_buf(struct encoder *e, int rc);
static inline int check(struct encoder *e, int rc) {
    return wf_likely(rc == WF_BUF_OK) ? 0 : wf_bson_fail_buf(e, rc);
}

static inline int enter(struct encoder *e) {
    if (wf_unlikely(e->depth >= WF_BSON_DEPTH_UNCOUNTED)) {
        if (e->depth >= WF_BSON_DEPTH_MAX) {
            return FAIL(e, "nested more than %d deep, or in itself", WF_BSON_DEPTH_MAX);
        }
        if (Py_EnterRecursiveCall(" while encoding BSON") != 0) {
            return -1;
        }
    }
    e->depth++;
    return 0;
}

static inline void leave(struct encoder *e) {
    e->depth--;
    if (wf_unlikely(e->depth >= WF_BSON_DEPTH_UNCOUNTED)) {
        Py_LeaveRecursiveCall();
    }
}

/* ---- containers, whoever writes what is in them ---- */

/* with  what the caller of encode_array or encode_members gave: nodes, mostly
 * Both functions return 0, or at once what is not 0 from here. Inlined, and so is what they call. */
typedef int encode_item(struct encoder *e, const void *with, Py_ssize_t i, struct wf_span name,
                        PyObject *item);
typedef int encode_pair(struct encoder *e, const void *with, struct place *place, PyObject *key,
                        PyObject *value);

/* An array of the items of a list or tuple, which may shrink or grow meanwhile. */
WF_ALWAYS_INLINE int encode_array(struct encoder *e, struct wf_span name, PyObject *o,
                                  encode_item *encode, const void *with) {
    struct place place = {.up = e->place};
    size_t start;
    if (enter(e) < 0) {
        return -1;
    }
    int rc = check(e, wf_bson_put_begin(&e->out, WF_BSON_ARRAY, name, &start));
    for (Py_ssize_t i = 0; rc == 0 && i < PySequence_Fast_GET_SIZE(o); i++) {
        char digits[WF_U64_DIGITS_MAX];
        PyObject *item = Py_NewRef(PySequence_Fast_GET_ITEM(o, i));
        place.index = i;
        e->place = &place;
        rc = encode(e, with, i, wf_span(digits, wf_u64_write(digits, (uint64_t)i)), item);
        e->place = place.up;
        Py_DECREF(item);
    }
    leave(e);
    return rc == 0 ? check(e, wf_bson_end(&e->out, start)) : rc;
}

/* The members of a dict, without what begins and ends the document.
 * size  its size before the first of them was written */
WF_ALWAYS_INLINE int encode_members(struct encoder *e, struct place *place, PyObject *dict,
                                    Py_ssize_t size, encode_pair *encode, const void *with) {
    PyObject *key, *value; /* borrowed from dict, then held */
    int rc = 0;
    for (Py_ssize_t at = 0; rc == 0 && PyDict_Next(dict, &at, &key, &value);) {
        Py_INCREF(key);
        Py_INCREF(value);
        rc = encode(e, with, place, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
        if (wf_unlikely(rc == 0 && PyDict_GET_SIZE(dict) != size)) {
            rc = FAIL(e, "a dict changed its size while it was encoded");
        }
    }
    return rc;
}

/* ---- encode.c ---- */

/* One element, by the class of o. */
int wf_bson_encode(struct encoder *e, struct wf_span name, PyObject *o);
/* One member of a mapping. top: _id was written before. */
int wf_bson_encode_member(struct encoder *e, struct place *place, PyObject *key, PyObject *value,
                          bool top);
/* A mapping as a document without type and name. top: _id comes first */
int wf_bson_encode_mapping(struct encoder *e, PyObject *o, bool top);
int wf_bson_encode_text(struct encoder *e, enum wf_bson_type type, struct wf_span name,
                        PyObject *str);
int wf_bson_encode_uuid(struct encoder *e, struct wf_span name, PyObject *o,
                        enum wf_bson_uuids uuids);
/* The UTF-8 of a str: in the str itself where it is ASCII, else made (*owned, or NULL). */
int wf_bson_utf8_of(struct encoder *e, PyObject *str, struct wf_span *out, PyObject **owned);

/* ---- encode_key.c ---- */

/* What a key that is no str is in JSON: owned, or NULL with an exception. */
PyObject *wf_bson_key_text(struct encoder *e, PyObject *key);

/* ---- encode_model.c ---- */

/* A model of pydantic's as model_dump(by_alias=True) would be written. name: of the element; NULL: all of
 * the document, with _id first. 1: nothing is written, and pydantic has to be asked. */
int wf_bson_encode_model(struct encoder *e, const struct wf_span *name, PyObject *o);

/* ---- encode_shape.c ---- */

/* A document as a type has it. */
int wf_bson_encode_root(struct encoder *e, const struct wf_node *node, PyObject *o);
/* What BSON has no form for, as the shape of its class has it. */
int wf_bson_encode_by_class(struct encoder *e, struct wf_span name, PyObject *o);

#endif
