/* What the files of this room share. */
#ifndef WF_PY_BSON_INT_H
#define WF_PY_BSON_INT_H

#include "py/bson/bson.h"
#include "py/state.h"

#define WF_BSON_NAMES(X)                                                                           \
    X(_type_marker)                                                                                \
    X(_ObjectId__id)                                                                               \
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
    X(items)                                                                                       \
    X(msg)                                                                                         \
    X(pos)                                                                                         \
    X(path)

enum name_id {
#define X(n) NAME_##n,
    WF_BSON_NAMES(X)
#undef X
        NAME_COUNT
};
static_assert(NAME_COUNT <= WF_ARRAY_LEN(((struct wf_bson_state *)0)->names), "names fit");

/* Where a codec is: the open containers, innermost first, each with the member it is at. Lives on
 * the C stack. */
struct place {
    const struct place *up; /* NULL: the document itself */
    struct wf_span name;    /* UTF-8, borrowed from the key or the input; p is NULL in an array */
    Py_ssize_t index;       /* in an array */
};

/* Loads the classes, once. 0, or -1 with an exception. */
int wf_bson_need_classes(struct wf_bson_state *s);

/* Raise, with the path to `at` in the message and as the attribute `path`. What an exception that
 * is set already said becomes the cause. */
void wf_bson_raise_encode(struct wf_bson_state *s, const struct place *at, const char *format, ...)
    WF_PRINTF(3, 4);
/* pos  offset into what the caller gave */
void wf_bson_raise_decode(struct wf_bson_state *s, const struct place *at, size_t pos,
                          const char *msg);

/* The public functions (encode.c, decode.c). */
PyObject *wf_bson_py_encode(PyObject *module, PyObject *obj);
PyObject *wf_bson_py_decode(PyObject *module, PyObject *data);
PyObject *wf_bson_py_decode_from(PyObject *module, PyObject *args);

/* The bytes of a caller's object for the time of a call: its own where they cannot change
 * meanwhile, else a copy. 0, or -1 with an exception. */
struct input {
    struct wf_span span;
    Py_buffer view; /* held while obj is not NULL */
    char *copy;     /* owned, or NULL */
};
int wf_bson_input_open(struct input *in, PyObject *data);
void wf_bson_input_close(struct input *in);

#endif
