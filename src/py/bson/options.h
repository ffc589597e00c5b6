/* How BSON's values become Python's, where not in the usual way: what an object with the attributes
 * of PyMongo's CodecOptions says, read once a call.
 *
 * ownership  the struct owns what it points to, until wf_bson_options_close
 * thread     with the GIL */
#ifndef WF_PY_BSON_OPTIONS_H
#define WF_PY_BSON_OPTIONS_H

#include "py/bson/bson_int.h"

/* The numbers are PyMongo's UuidRepresentation and DatetimeConversion. */
enum wf_bson_uuids {
    WF_BSON_UUIDS_UNSPECIFIED = 0, /* Binary; encoding one is an error */
    WF_BSON_UUIDS_PYTHON = 3,      /* subtype 3, bytes in order */
    WF_BSON_UUIDS_STANDARD = 4,    /* subtype 4 */
    WF_BSON_UUIDS_JAVA = 5,        /* subtype 3, each half backwards */
    WF_BSON_UUIDS_CSHARP = 6       /* subtype 3, as UUID.bytes_le */
};

enum wf_bson_dates {
    WF_BSON_DATES_DATETIME = 1, /* out of the years 1 to 9999 is an error */
    WF_BSON_DATES_CLAMP = 2,
    WF_BSON_DATES_MS = 3,  /* always a DatetimeMS */
    WF_BSON_DATES_AUTO = 4 /* a DatetimeMS where datetime cannot say it */
};

struct wf_bson_options {
    PyObject *object;         /* as given */
    PyObject *document_class; /* NULL: dict */
    bool raw;                 /* document_class is made of bytes and options */
    bool tz_aware;
    uint8_t uuids, dates;       /* of the enums above */
    PyObject *utc, *tzinfo;     /* tzinfo: NULL, or where dates are moved to */
    PyObject *errors;           /* str, owns the next */
    const char *unicode_errors; /* of PyUnicode_DecodeUTF8 */
    PyObject *decoders;         /* dict: type to callable; NULL: none */
    PyObject *encoders;         /* the same */
    PyObject *fallback;         /* callable for what has no BSON form, or NULL */
};

/* Reads `object`; with None or NULL there is nothing to close, and *out is NULL.
 * store   owned by the caller; *out points to it
 * returns 0, or -1 with an exception (TypeError, ValueError) and nothing to close */
int wf_bson_options_open(struct wf_bson_state *s, PyObject *object, struct wf_bson_options *store,
                         struct wf_bson_options **out);
void wf_bson_options_close(struct wf_bson_options *o); /* NULL does nothing */
int wf_bson_options_traverse(struct wf_bson_options *o, visitproc visit, void *arg);

/* Is a binary of this subtype a UUID? */
static inline bool wf_bson_is_uuid(const struct wf_bson_options *o, uint8_t subtype) {
    return o->uuids == WF_BSON_UUIDS_STANDARD
               ? subtype == 4
               : o->uuids != WF_BSON_UUIDS_UNSPECIFIED && subtype == 3;
}

/* The UUID of 16 bytes as the options have them, owned; or of 16 bytes in order, and back. */
PyObject *wf_bson_make_uuid(struct wf_bson_state *s, const struct wf_bson_options *o,
                            const char *bytes);
void wf_bson_uuid_order(enum wf_bson_uuids uuids, const char *in, char *out);

#endif
