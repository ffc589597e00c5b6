/* What the files that encode share. */
#ifndef WF_PY_JSON_ENCODE_INT_H
#define WF_PY_JSON_ENCODE_INT_H

#include "py/json/json_int.h"

#include "wire/json/json_write.h"

/* A bytes object that grows. Short JSON never meets it: it stays in the caller's `first` buffer. */
struct bytes_out {
    struct wf_json_out out;
    struct wf_json_state *s;
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
    PyObject *path;     /* owned: the steps so far to what failed, or NULL */
    unsigned steps;     /* how many, with those left out */
    unsigned depth;
    bool fallback_off; /* inside a key */
    bool sort_keys;    /* members in the order of their keys */
    bool has_raw;      /* some of it was written as it stood, and may have line breaks */
};

enum { WF_JSON_FIRST_BYTES = 1024 };

/* first  WF_JSON_FIRST_BYTES of the caller's, which short JSON does not leave */
void wf_json_open_bytes(struct bytes_out *o, struct wf_json_state *s, char *first);
/* What was written, as bytes (owned, or NULL with an exception); the bytes_out is over. To give it up
 * instead, release `bytes`. */
PyObject *wf_json_close_bytes(struct bytes_out *o);

/* The argument indent: 0, or -1 with ValueError; *indent stays for None. */
int wf_json_read_indent(PyObject *value, int *indent);
/* JSON without spaces, laid out: bytes, owned, or NULL with an exception. */
PyObject *wf_json_indented(struct wf_json_state *s, struct wf_span json, unsigned spaces);
/* What was written into a bytearray at `offset` (NULL: 0; -1: its end), where it ends then: None, or
 * NULL with an exception, and the buffer is as it was. */
PyObject *wf_json_into_buffer(const struct wf_json_out *o, PyObject *buffer, PyObject *offset);

/* ---- encode_path.c ---- */

/* With an exception set: where that was, if it is EncodeError, a step further out each time. NULL. */
char *wf_json_encode_at_index(struct encoder *e, Py_ssize_t index);
char *wf_json_encode_at_key(struct encoder *e, PyObject *key);
/* key  what was a key of the dict; it may be gone */
char *wf_json_encode_at_member(struct encoder *e, PyObject *dict, const PyObject *key);
void wf_json_encode_forget(struct encoder *e);
/* With the exception of an iterator set: EncodeError from it, where it says that its container changed. */
void wf_json_encode_changed(struct wf_json_state *s);
/* With the exception of o's attribute set: EncodeError from it, where it says that there is none. */
void wf_json_encode_missing(struct wf_json_state *s, PyObject *o, PyObject *name);
/* At the outside: EncodeError tells the path. Nothing where there are no steps. */
void wf_json_encode_located(struct encoder *e);
/* Raises what is set as EncodeError anew, with its path: a str, stolen. */
void wf_json_encode_raise_at(struct wf_json_state *s, PyObject *path);

/* ---- raw.c ---- */

/* Writes a weft.json.Raw, or a msgspec.Raw if it is JSON, as it stands. */
char *wf_json_put_raw(struct encoder *e, char *d, PyObject *o);
/* What was written from there on has no line breaks: those of a Raw, all outside of strings, become spaces. */
void wf_json_one_line(struct encoder *e, size_t from);

/* ---- encode.c ---- */

/* Writes o at e->out.p. 0, or -1 with an exception; levels that a failure left are given back. */
int wf_json_encode_all(struct encoder *e, PyObject *o);

#endif
