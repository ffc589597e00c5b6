/* What the files of replies share.
 *
 *   reply.c           what a handler returned: a value, through the route's model or response class
 *   reply_response.c  a Response: bytes, a stream, a file
 *   reply_error.c     422 and HTTPException
 *   reply_bson.c      a value for who wants BSON
 *   reply_fields.c    the status and the fields that applications give
 *
 * All of it runs with the GIL, on the loop's thread. What returns int gives 0, or -1 with an exception, unless
 * it says more. */
#ifndef WEFT_PY_HTTP_REPLY_INT_H
#define WEFT_PY_HTTP_REPLY_INT_H

#include "py/http/http_int.h"

struct wf_fields {
    struct wf_reply_field list[REPLY_FIELDS_MAX + 1]; /* and Vary */
    uint32_t n;
};

/* Adds a list of (bytes, bytes), which may be NULL or None. The spans are good as long as the list is not
 * changed: between here and the head's writing no Python code may run. */
int wf_fields_collect(struct wf_fields *f, PyObject *raw_headers);
/* lower  a name in lower case.  NULL where there is none. */
const struct wf_reply_field *wf_fields_find(const struct wf_fields *f, struct wf_span lower);
/* The content-length an application states, or -1. */
int64_t wf_fields_length(const struct wf_fields *f);
/* Is it text/event-stream, whatever its parameters? */
bool wf_fields_of_events(const struct wf_fields *f);
/* Puts the fields into the head, which points to them from then on. A content-type among them is the only one. */
void wf_fields_set(struct wf_reply_head *head, const struct wf_fields *f);
/* The span of a bytes object, which owns it; TypeError for all else. */
int wf_bytes_span(PyObject *o, struct wf_span *out);

/* 0 where the reply is on its way or nobody is there to read it; -1 with an exception.
 * rc  enum wf_reply_result;  what  names the reply in the message */
int wf_reply_status(int rc, const char *what);
/* The status a Response says, *status as it was where it says none; 0, which cannot be sent, for what is none. */
int wf_response_status(const struct wf_response *r, int *status);

/* The background of a Response (or NULL) is run after the reply. */
void wf_reply_keep_background(struct wf_call *call, const struct wf_response *r);

/* Sends `value` as JSON; fallback (borrowed) as of wf_json_encode. Nothing has been sent where it fails. */
int wf_reply_json(struct wf_call *call, PyObject *value, PyObject *fallback,
                  const struct wf_reply_head *head);
/* Sends what has the buffer protocol; large ones are referenced until they are sent. */
int wf_reply_bytes(struct wf_call *call, PyObject *body, const struct wf_reply_head *head);
/* beside   the injected `response: Response`, where a response class made this one; else NULL: one that the
 *          handler returned stands alone, as in FastAPI
 * returns  0; 1 where a stream has begun: the call goes on; -1 */
int wf_reply_response(struct wf_call *call, PyObject *response, struct wf_response *beside);

/* ---- reply_bson.c ---- */

/* Does the client accept application/bson with more weight than JSON? */
bool wf_reply_wants_bson(const struct wf_call *call);

/* Sends `value` in BSON, by the head that its JSON would have.
 * dumped   as of wf_bson_encode_object
 * returns  0; 1 where it is no document, or the application has stated a content type: JSON then; -1 with an
 *          exception */
int wf_reply_bson(struct wf_call *call, PyObject *value, bool dumped,
                  const struct wf_reply_head *json);
/* It as bytes, or None where it is no document: new reference, NULL with an exception. */
PyObject *wf_reply_bson_bytes(struct wf_call *call, PyObject *value, bool dumped);

#endif
