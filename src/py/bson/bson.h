/* py/bson: Python objects to BSON and back, over wire/bson, with the meaning PyMongo gives them.
 *
 * thread   with the GIL */
#ifndef WF_PY_BSON_H
#define WF_PY_BSON_H

#include "py/own.h"
#include "base/buf.h"
#include "wire/bson/bson.h"

enum {
    /* Names recur: the newest of each hash slot is kept made and hashed. Bounded in number and
     * length because peers choose them. */
    WF_BSON_KEYS = 4096,
    WF_BSON_KEY_BYTES_MAX = 64
};

/* The classes of BSON's own types, PyMongo's or ours: weft.bson._types says which. */
#define WF_BSON_CLASSES(X)                                                                         \
    X(ObjectId)                                                                                    \
    X(Int64)                                                                                       \
    X(Decimal128)                                                                                  \
    X(Timestamp)                                                                                   \
    X(Binary)                                                                                      \
    X(Regex)                                                                                       \
    X(Code)                                                                                        \
    X(DBRef)                                                                                       \
    X(DatetimeMS)                                                                                  \
    X(MinKey)                                                                                      \
    X(MaxKey)

enum wf_bson_class {
#define X(name) WF_BSON_CLASS_##name,
    WF_BSON_CLASSES(X)
#undef X
        WF_BSON_CLASS_COUNT
};

/* Where instances of a class keep their parts, from their start; 0: not known, so it is called. */
struct wf_bson_slots {
    Py_ssize_t first, second; /* the same where there is one */
};

struct wf_bson_state {
    PyObject *encode_error;  /* owned: weft.bson.EncodeError(TypeError, ValueError): path */
    PyObject *decode_error;  /* owned: DecodeError(ValueError): msg, pos, path */
    PyObject *names[33];     /* owned: interned, by enum name_id (bson_int.h) */
    PyObject *iterator_type; /* owned: _core.BSONIterator */
    PyObject *classes[WF_BSON_CLASS_COUNT]; /* owned, or NULL until one is needed */
    PyObject *pattern, *mapping, *uuid;     /* owned with the classes: re.Pattern, Mapping, UUID */
    struct wf_bson_slots id_slot;           /* bytes */
    struct wf_bson_slots decimal_slots;     /* high, low: ints of 64 bits */
    struct wf_bson_slots timestamp_slots;   /* time, inc */
    void *datetime; /* PyDateTime_CAPI of this interpreter (dates.h), or NULL before the first */
    bool plain_int64, plain_binary; /* made without a call */
    unsigned doubt, unlooked;       /* of the cache of keys: see DOUBT_MAX in decode.c */
    PyObject *keys[WF_BSON_KEYS];   /* owned: ASCII str with their hash made, or NULL */
};

/* An ObjectId of 12 bytes: owned, or NULL with an exception. */
PyObject *wf_bson_make_objectid(struct wf_bson_state *s, const char *bytes);

/* The object of the document that is all of `in`, which cannot change meanwhile: owned, or NULL with
 * an exception, its position counted from `base` bytes before.
 * options  or NULL: the usual ones (options.h) */
struct wf_bson_options;
PyObject *wf_bson_decode(struct wf_bson_state *s, const struct wf_bson_options *options,
                         struct wf_span in, size_t base);

struct wf_state;
int wf_bson_exec(PyObject *module, struct wf_state *state);
int wf_bson_traverse(struct wf_bson_state *s, visitproc visit, void *arg);
void wf_bson_clear(struct wf_bson_state *s);

#endif
