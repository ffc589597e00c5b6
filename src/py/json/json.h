/* py/json: Python objects to JSON bytes and back, over wire/json.
 *
 * thread   with the GIL */
#ifndef WF_PY_JSON_H
#define WF_PY_JSON_H

#include "py/own.h"
#include "base/buf.h"
#include "base/span.h"
#include "wire/json/json.h"

struct wf_state;

enum {
    /* Object keys recur: the newest of each hash slot is kept, so that a decoder finds most of them
     * made and hashed. Bounded in number and length because peers choose them. */
    WF_JSON_KEYS = 1024,
    WF_JSON_KEY_BYTES_MAX = 64,
    /* Integers below this are made once and then shared: ids, counts, years' parts, statuses. */
    WF_JSON_INTS = 1024,
    /* Larger documents are decoded with CPython 3.11's collector paused: what is being made cannot be
     * garbage yet, and looking at it each 700 containers costs more than reading it. */
    WF_JSON_PAUSE_BYTES = 4096,
    /* Rules for types that are not JSON's own, found once a type. As many types are kept alive. */
    WF_JSON_RULES = 256
};

/* How the objects of one type are encoded (rules.c). */
struct wf_json_rule {
    PyTypeObject *type;   /* owned; NULL while the slot is free */
    unsigned int version; /* the type's version tag: a changed type is looked at again */
    int kind;             /* enum rule_kind */
    PyObject *names;      /* owned, or NULL: tuple of str, for what is written by attributes */
};

struct wf_json_state {
    PyObject *encode_error; /* owned: weft.json.EncodeError(TypeError, ValueError) */
    PyObject *decode_error; /* owned: DecodeError(ValueError): msg, doc, pos, lineno, colno */
    PyTypeObject *raw_type; /* owned: weft.json.Raw */
    PyObject *names[18];    /* owned: interned attribute names, by enum name_id (json_int.h) */
    PyObject *utc;          /* owned: datetime.timezone.utc, or NULL until it is met */
    size_t long_bytes;      /* of the last result of encode() past 64 KiB, 0 for none */
    struct wf_json_rule rules[WF_JSON_RULES];
    PyObject *ints[WF_JSON_INTS]; /* owned, or NULL */
    PyObject *keys[WF_JSON_KEYS]; /* owned: ASCII strings with their hash made, or NULL */
};
int wf_json_exec(PyObject *module, struct wf_state *state);
int wf_json_traverse(struct wf_json_state *s, visitproc visit, void *arg);
void wf_json_clear(struct wf_json_state *s);

/* Pauses the collector while a document of n bytes is decoded by no code of the application (ADR 15).
 * Whether it did: then it is to be resumed. */
static inline bool wf_json_pause_gc(size_t n) {
#if PY_VERSION_HEX < 0x030C0000 /* later ones wait for the next bytecode by themselves */
    return n >= WF_JSON_PAUSE_BYTES && PyGC_Disable();
#else
    (void)n;
    return false;
#endif
}

static inline void wf_json_resume_gc(bool *paused) {
    if (*paused) {
        *paused = false;
        PyGC_Enable();
    }
}

/* Appends the JSON of `obj` to `out`.
 * obj       borrowed; Python code that encoding calls (default, properties) may change or free it
 * fallback  borrowed, or NULL: called with an object there is no rule for; what it returns is
 *           encoded instead
 * out       writers ask for room ahead: it counts as full from 4 KiB below its maximum
 * returns   0, or -1 with EncodeError, MemoryError or what Python code raised; then out->len is as
 *           before */
int wf_json_encode(struct wf_state *state, PyObject *obj, PyObject *fallback, struct wf_buf *out);

/* One document to an object.
 * in       borrowed for the call; must not change meanwhile
 * flags    of enum wf_json_flags: 0 is RFC 8259 to the letter, both are what json.loads takes
 * returns  owned; NULL with DecodeError (its doc is None) or MemoryError */
PyObject *wf_json_decode(struct wf_state *state, struct wf_span in, unsigned flags);

/* The same, where `in` is the whole of what a caller gave as `doc` (borrowed: a str, whose UTF-8 it is, or
 * bytes), which the error has and counts its position in. */
PyObject *wf_json_decode_of(struct wf_state *state, struct wf_span in, unsigned flags,
                            PyObject *doc);

/* The same of what Python code gives: bytes, a buffer or str, to the letter of RFC 8259. */
PyObject *wf_json_decode_object(struct wf_state *state, PyObject *data);

/* Part of a document as a weft.json.Raw or, by `type` (borrowed), a msgspec.Raw.
 * json     copied; known to be JSON
 * returns  owned; NULL with an exception */
PyObject *wf_json_make_raw(struct wf_json_state *s, PyObject *type, struct wf_span json);

/* One value inside a document, for those that walk the rest of it themselves.
 * p        in: at the value or space in front of it; out: behind it, or the offending byte
 * end      of the document, which is readable up to there and must not change meanwhile
 * depth    how many containers are open around it, less than WF_JSON_DEPTH_MAX
 * returns  owned; NULL with *error, or with an exception where that is WF_JSON_OK */
PyObject *wf_json_decode_value(struct wf_state *state, const char **p, const char *end,
                               unsigned flags, unsigned depth, enum wf_json_error *error);

#endif
