/* What the files that encode share. */
#ifndef WF_PY_JSON_ENCODE_INT_H
#define WF_PY_JSON_ENCODE_INT_H

#include "py/json/json_int.h"

#include "wire/json/json_write.h"

/* A bytes object that grows. Short JSON never meets it: it stays in the caller's `first` buffer. */
struct bytes_out {
    struct wf_json_out out;
    PyObject *bytes; /* owned; NULL while `first` is enough */
};

struct encoder {
    union { /* where it goes; each begins with the wf_json_out */
        struct wf_json_out out;
        struct wf_json_buf_out to_buf;
        struct bytes_out to_bytes;
    };
    struct wf_json_state *s;
    PyObject *fallback; /* borrowed, or NULL */
    unsigned depth;
    bool fallback_off; /* inside a key */
    bool sort_keys;    /* members in the order of their keys */
};

/* Writes o at e->out.p. 0, or -1 with an exception; levels that a failure left are given back. */
int wf_json_encode_all(struct encoder *e, PyObject *o);

#endif
