/* py/json: Python objects to JSON bytes and back, over wire/json.
 * thread   with the GIL */
#ifndef WF_PY_JSON_H
#define WF_PY_JSON_H

#include "py/own.h"
#include "base/buf.h"
#include "base/span.h"

struct wf_state;

struct wf_json_state {
    PyObject *encode_error; /* owned: weft.json.EncodeError(TypeError, ValueError-like) */
    PyObject *decode_error; /* owned: weft.json.DecodeError(ValueError): msg, pos, lineno, colno as in json */
};
int wf_json_exec(PyObject *module, struct wf_state *state);
int wf_json_traverse(struct wf_json_state *s, visitproc visit, void *arg);
void wf_json_clear(struct wf_json_state *s);

/* Appends the JSON of `obj` to `out`.
 * obj       borrowed; may be changed or freed by Python code that encoding calls (default, properties)
 * fallback  borrowed, or NULL: called with an object there is no rule for; what it returns is encoded instead
 * returns   0, or -1 with an exception; then out->len is as before */
int wf_json_encode(struct wf_state *state, PyObject *obj, PyObject *fallback, struct wf_buf *out);

/* One document to an object (owned), or NULL with DecodeError set.
 * in  borrowed for the call */
PyObject *wf_json_decode(struct wf_state *state, struct wf_span in);

#endif
