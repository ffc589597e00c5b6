/* The walkers of BSON over shapes.
 *
 * thread   with the GIL */
#ifndef WF_PY_BSON_SHAPES_H
#define WF_PY_BSON_SHAPES_H

#include "py/bson/options.h"
#include "py/shape/shape.h"

/* The value of the document that is all of `in`, as the shape has it: owned, or NULL with an
 * exception, of pydantic where the shape's root is its. Application code may run: `in` must not
 * change meanwhile, and the caller holds on to the shape.
 * options  or NULL; they are for what becomes plain objects, for datetimes, and say which other binaries
 *          are UUIDs
 * base     what positions in errors are counted from, before `in` */
PyObject *wf_bson_decode_shape(struct wf_state *state, const struct wf_shape *shape,
                               const struct wf_bson_options *options, struct wf_span in,
                               size_t base);

/* The same as a walk, which says what is invalid in w->fail. The root's own judge is not asked: that is
 * for the caller. `member`: of the value of the document's first member. */
enum wf_walk_result wf_bson_walk_shape(struct wf_walk *w, const struct wf_node *root,
                                       struct wf_span in, bool member, PyObject **out);

/* Appends the BSON of an object, what BSON does not know as the shape of its class has it. Keys that are no
 * str are written as they are in JSON: it is a reply, and its client gets the names that any other does.
 * dumped   it is what pydantic has made of an object of its
 * returns  0; 1 where its class is none of documents; -1 with an exception. Then out->len is as before */
int wf_bson_encode_object(struct wf_state *state, PyObject *o, bool dumped, struct wf_buf *out);

/* Appends the JSON of the value of the document that is all of `in`, as its type is written (of pydantic's
 * by alias), where possible without making it. As above otherwise.
 * type     what the shape is of, to find that of output
 * returns  0, or -1 with an exception; then out->len is as before */
int wf_bson_shape_to_json(struct wf_state *state, const struct wf_shape *shape, PyObject *type,
                          struct wf_span in, struct wf_buf *out);

#endif
