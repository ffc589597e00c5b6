/* What the files of this room share. */
#ifndef WF_PY_BSON_INT_H
#define WF_PY_BSON_INT_H

#include "py/bson/bson.h"
#include "py/input.h"
#include "py/state.h"

#define WF_BSON_NAMES(X)                                                                           \
    X(_type_marker)                                                                                \
    X(_ObjectId__id)                                                                               \
    X(_Decimal128__high)                                                                           \
    X(_Decimal128__low)                                                                            \
    X(_Timestamp__time)                                                                            \
    X(_Timestamp__inc)                                                                             \
    X(_Binary__subtype)                                                                            \
    X(binary)                                                                                      \
    X(subtype)                                                                                     \
    X(scope)                                                                                       \
    X(time)                                                                                        \
    X(inc)                                                                                         \
    X(bid)                                                                                         \
    X(from_bid)                                                                                    \
    X(as_doc)                                                                                      \
    X(raw)                                                                                         \
    X(flags)                                                                                       \
    X(pattern)                                                                                     \
    X(utcoffset)                                                                                   \
    X(_id)                                                                                         \
    X(astimezone)                                                                                  \
    X(bytes)                                                                                       \
    X(items)                                                                                       \
    X(__pydantic_serializer__)                                                                     \
    X(model_dump)                                                                                  \
    X(to_python)                                                                                   \
    X(by_alias)                                                                                    \
    X(msg)                                                                                         \
    X(pos)                                                                                         \
    X(path)

/* Those that are no identifiers. */
#define WF_BSON_DOLLAR_NAMES(X)                                                                    \
    X(dollar_ref, "$ref")                                                                          \
    X(dollar_id, "$id")                                                                            \
    X(dollar_db, "$db")

enum name_id {
#define X(n) NAME_##n,
    WF_BSON_NAMES(X)
#undef X
#define X(n, text) NAME_##n,
        WF_BSON_DOLLAR_NAMES(X)
#undef X
            NAME_COUNT
};

/* _type_marker, as PyMongo numbers its classes: the element type, but for these. */
enum { WF_BSON_MARKER_DBREF = 100, WF_BSON_MARKER_RAW = 101 };
static_assert(NAME_COUNT <= WF_ARRAY_LEN(((struct wf_bson_state *)0)->names), "names fit");

/* Where a codec is: the open containers, innermost first, each with the member it is at. Lives on
 * the C stack. */
struct place {
    const struct place *up; /* NULL: the document itself */
    struct wf_span name;    /* UTF-8, borrowed from the key or the input; p is NULL in an array */
    Py_ssize_t index;       /* in an array */
};

/* ---- classes.c ---- */

/* Loads the classes, once. 0, or -1 with an exception. */
int wf_bson_load_classes(struct wf_bson_state *s);
static inline int wf_bson_need_classes(struct wf_bson_state *s) {
    return wf_likely(s->uuid != NULL) ? 0 : wf_bson_load_classes(s);
}

/* Objects of BSON's own types, by calling the class where it has to be: owned, or NULL with an
 * exception. Of wf_bson_make the arguments are stolen, and may be NULL with an exception. */
PyObject *wf_bson_make(struct wf_bson_state *s, enum wf_bson_class cls, PyObject *a, PyObject *b,
                       size_t nargs);
PyObject *wf_bson_make_timestamp(struct wf_bson_state *s, uint32_t seconds, uint32_t increment);
PyObject *wf_bson_make_decimal(struct wf_bson_state *s, struct wf_decimal128 v);
PyObject *wf_bson_make_int64(struct wf_bson_state *s, int64_t v);
PyObject *wf_bson_make_binary(struct wf_bson_state *s, struct wf_span bytes, uint8_t subtype);

/* What an instance has in its slot: borrowed from it, NULL where it is empty. */
static inline PyObject *wf_bson_slot(PyObject *o, Py_ssize_t offset) {
    return *(PyObject **)((char *)o + offset);
}

/* ---- errors ---- */

/* Raise, with the path to `at` in the message and as the attribute `path`. What an exception that
 * is set already said becomes the cause. */
void wf_bson_raise_encode(struct wf_bson_state *s, const struct place *at, const char *format, ...)
    WF_PRINTF(3, 4);
/* pos  offset into what the caller gave */
void wf_bson_raise_decode(struct wf_bson_state *s, const struct place *at, size_t pos,
                          const char *msg);
/* The same with the path given: a str, stolen. */
void wf_bson_raise_decode_at(struct wf_bson_state *s, PyObject *path, size_t pos, const char *msg);

/* ---- documents to objects (decode.c) ---- */

/* The object of one element that the cursor has read, in a document that begins at `start` and with
 * `depth` documents open around it. */
struct wf_bson_element;
PyObject *wf_bson_decode_element(struct wf_bson_state *s, const struct wf_bson_options *options,
                                 const struct wf_bson_element *e, const char *start, size_t base,
                                 unsigned depth);

/* ---- the public functions ---- */

/* One positional argument and those by name; borrowed, NULL where not given, and for type=None. */
struct wf_bson_arguments {
    PyObject *data, *type, *options;
};
int wf_bson_arguments(const char *function, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames, struct wf_bson_arguments *out);

PyObject *wf_bson_py_encode(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);
PyObject *wf_bson_py_iter(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames);
extern PyType_Spec wf_bson_iterator_spec;

/* What is given to be decoded: bytes or a buffer. 0, or -1 with an exception. */
#define WF_BSON_EXPECTED "expected bytes or a buffer"
static inline int wf_bson_input_open(struct wf_input *in, PyObject *data) {
    return wf_input_open(in, data, WF_BSON_EXPECTED);
}

#endif
