/* What the files of this room share. */
#ifndef WF_PY_SHAPE_INT_H
#define WF_PY_SHAPE_INT_H

#include "py/state.h"
#include "py/shape/shape.h"

/* Reads shape->description into nodes. 0, or -1 with an exception. */
int shape_compile(struct wf_shape *shape);
void shape_free_compiled(struct wf_shape *shape);

/* What a node has ready for output, in shape->kept: names, choices and tags as they are written. 0,
 * or -1 with an exception. */
int shape_compile_output(struct wf_shape *shape, struct wf_node *node);

/* May a double be an int? With strict=False, where each int has a double of its own. */
static inline bool shape_is_whole(double d) {
    return d >= -9007199254740992.0 && d <= 9007199254740992.0 && d == (double)(int64_t)d;
}

/* Prepares what nodes of a kind need (types of the datetime, uuid and decimal modules). */
int shape_prepare(struct wf_state *state, enum wf_node_kind kind, bool pydantic);

/* The attribute `name` of a module, imported: new reference, NULL with an exception. */
PyObject *shape_import(const char *module, const char *name);

/* An attribute, by a name that is interned: CPython's attribute cache keeps any name it is asked
 * for. New reference, NULL with an exception. */
PyObject *shape_attribute(PyObject *object, const char *name);

/* Puts off a field's default factory. 0, or -1 with an exception. */
int shape_put_off(struct wf_walk *w, PyObject *dict, const struct wf_object_field *field,
                  unsigned order);

/* Has a private attribute's default to be copied for each instance? Of other types they are immutable. */
static inline bool shape_is_copied(PyObject *value) {
    return PyList_CheckExact(value) || PyDict_CheckExact(value) || PySet_CheckExact(value);
}

/* What validators were put off from w->later_at on, and have no holder yet, are of the fields of the
 * object this dict is of; or of the items of this list. */
void shape_hold_fields(struct wf_walk *w, const struct wf_object *o, PyObject *dict);
void shape_hold_items(struct wf_walk *w, PyObject *list);
/* Those from `from` on by their `order`. */
void shape_sort_put_off(struct wf_walk *w, size_t from);

/* w->fail of this kind; WF_WALK_INVALID. */
static inline enum wf_walk_result shape_fail(struct wf_walk *w, enum wf_fail fail,
                                             const struct wf_node *node) {
    wf_json_resume_gc(&w->gc_paused); /* finalizers and judges may run from here on */
    w->fail.fail = fail;
    w->fail.node = node;
    w->fail.npath = 0;
    return WF_WALK_INVALID;
}

/* After a call of application code that failed: what msgspec takes for "invalid" (ValueError and
 * TypeError) is moved to w->fail.cause, anything else stays set. */
enum wf_walk_result shape_fail_raised(struct wf_walk *w, const struct wf_node *node);

/* A datetime in UTC of unix seconds, or a timedelta of as many. Owned; NULL with an exception. */
PyObject *shape_make_of_seconds(struct wf_state *state, enum wf_node_kind kind, PyObject *seconds);

/* The type of what waits (pending.c). NULL with an exception. */
PyTypeObject *shape_make_pending_type(PyObject *module);

/* The public functions (decode_json_py.c). */
PyObject *shape_py_json_decode(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames);
PyObject *shape_decode_json(PyObject *self, PyObject *data);
PyObject *shape_decode_json_lax(PyObject *self, PyObject *data);

/* The same of encoding (encode_json_py.c). */
PyObject *shape_py_json_encode(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames);
PyObject *shape_encode_json(PyObject *self, PyObject *obj);
PyObject *shape_encode_json_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *shape_encode_json_lines(PyObject *self, PyObject *items);
PyObject *shape_judge_json(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *shape_encode_json_indented(PyObject *self, PyObject *const *args, Py_ssize_t nargs);

#endif
