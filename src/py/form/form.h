/* Forms as Python has them: what serve/form has read becomes str and UploadFile, and FormParser reads the
 * body of a handler that takes the Request and asks it for the form.
 *
 * thread   with the GIL */
#ifndef WF_PY_FORM_H
#define WF_PY_FORM_H

#include "py/own.h"
#include "serve/form/form.h"

struct wf_state;

struct wf_form_py_state {
    PyTypeObject *parser_type; /* owned: _core.FormParser */
    PyObject
        *upload_type; /* owned: weft.datastructures.UploadFile, or NULL before the first file */
    PyObject *make_upload;         /* owned: UploadFile._make, with it */
    PyObject *filename, *size;     /* owned, interned */
    PyObject *spool_dir;           /* owned: bytes, or NULL before the first parser */
    PyTypeObject *claim_type;      /* owned: _core.FormClaim */
    bool long_blocks;              /* has there been one? */
    struct wf_form_memory *memory; /* owned reference */
};
/* The room is called form_py in the state: wf_form_* is serve's. */
int wf_form_py_exec(PyObject *module, struct wf_state *state);
int wf_form_py_traverse(struct wf_form_py_state *s, visitproc visit, void *arg);
void wf_form_py_clear(struct wf_form_py_state *s);

/* The items in order, as a list of (str, str | UploadFile); new reference, or NULL with an exception:
 * HTTPException where something is wrong with the form. Files are handed over: it works once. */
PyObject *wf_form_to_list(struct wf_state *state, struct wf_form *form);

/* Where files wait that are too large for memory: tempfile.gettempdir(), asked once. Borrowed from the
 * state; NULL with an exception. */
const char *wf_form_spool_dir(struct wf_state *state);

/* A wf_form_resize_fn: blocks are the contents of bytes objects. Takes the GIL where the thread has not got it. */
char *wf_form_resize_bytes(void *form_py_state, char *block, size_t n);
/* Hands over the content of an item that lies in such a block: *bytes is a new reference, the result a _core.FormClaim, to be
 * kept until the file is done with. NULL with an exception: no memory, and the item has it still. */
PyObject *wf_form_take_bytes(struct wf_state *state, struct wf_form_item *item, PyObject **bytes);
extern PyType_Spec wf_form_claim_spec;

/* Is it an UploadFile? */
bool wf_form_is_upload(const struct wf_state *state, PyObject *o);
/* What a browser sends where no file was chosen: no name, no content. 1, 0, or -1 with an exception. */
int wf_form_is_no_file(const struct wf_state *state, PyObject *o);
/* The whole content of an UploadFile, which stays where it was: new reference to bytes, or NULL. */
PyObject *wf_form_read_upload(PyObject *upload);

#endif
