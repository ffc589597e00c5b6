/* BSON 1.1 (bsonspec.org) and Extended JSON v2: bytes to meaning and back, with no object model.
 * py/bson (and later shapes) walk the same cursor. What runs for every element is inline, in
 * bson_read.h and bson_write.h.
 *
 *   document   [int32 length, itself included][element]*[00]
 *   element    [type][name][00][value]
 *
 * thread   any; no allocation but through the wf_buf given */
#ifndef WF_WIRE_BSON_H
#define WF_WIRE_BSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "wire/json/json.h"

enum {
    WF_BSON_DEPTH_MAX = 512,      /* documents in documents; deeper is an attack on the stack */
    WF_BSON_BYTES_MIN = 5,        /* the empty document */
    WF_BSON_BYTES_MAX = INT32_MAX /* what a length can say; MongoDB itself takes 16 MiB */
};

/* name, byte, what the value is */
#define WF_BSON_TYPES(X)                                                                           \
    X(DOUBLE, 0x01) /* 8 bytes */                                                                  \
    X(STRING, 0x02) /* int32 length with the NUL, UTF-8, NUL */                                    \
    X(DOCUMENT, 0x03)                                                                              \
    X(ARRAY, 0x04)     /* a document whose names count up; readers do not look at them */          \
    X(BINARY, 0x05)    /* int32 length, subtype, bytes */                                          \
    X(UNDEFINED, 0x06) /* deprecated */                                                            \
    X(OBJECTID, 0x07)  /* 12 bytes */                                                              \
    X(BOOL, 0x08)                                                                                  \
    X(DATETIME, 0x09) /* int64, milliseconds since 1970 */                                         \
    X(NULL, 0x0a)                                                                                  \
    X(REGEX, 0x0b)      /* pattern NUL, options NUL */                                             \
    X(DBPOINTER, 0x0c)  /* deprecated: string, 12 bytes */                                         \
    X(CODE, 0x0d)       /* string */                                                               \
    X(SYMBOL, 0x0e)     /* deprecated: string */                                                   \
    X(CODE_SCOPE, 0x0f) /* int32 length of it all, string, document */                             \
    X(INT32, 0x10)                                                                                 \
    X(TIMESTAMP, 0x11) /* uint32 increment, uint32 seconds */                                      \
    X(INT64, 0x12)                                                                                 \
    X(DECIMAL128, 0x13) /* 16 bytes */                                                             \
    X(MAXKEY, 0x7f)                                                                                \
    X(MINKEY, 0xff)

enum wf_bson_type {
#define X(name, byte) WF_BSON_##name = byte,
    WF_BSON_TYPES(X)
#undef X
};

/* What can be wrong: id, sentence. The sentence is for people and ends without a full stop. The
 * last five are of Extended JSON. */
#define WF_BSON_ERRORS(X)                                                                          \
    X(SHORT, "the data ends inside a document")                                                    \
    X(LENGTH, "a document's length does not fit")                                                  \
    X(TERMINATOR, "a document does not end in a zero byte")                                        \
    X(TRAILING, "unexpected data after the document")                                              \
    X(TYPE, "unknown element type")                                                                \
    X(NAME, "an element's name has no end")                                                        \
    X(VALUE, "a value does not fit in its document")                                               \
    X(STRING, "a string's length does not fit")                                                    \
    X(STRING_END, "a string does not end in a zero byte")                                          \
    X(UTF8, "invalid UTF-8")                                                                       \
    X(BOOL, "a boolean is neither 0 nor 1")                                                        \
    X(BINARY, "a binary's length does not fit")                                                    \
    X(CODE, "the length of code with scope does not fit")                                          \
    X(DEPTH, "nested too deeply")                                                                  \
    X(FULL, "too large")                                                                           \
    X(NOMEM, "out of memory")                                                                      \
    X(JSON, "not JSON")                                                                            \
    X(TOP, "expected a document")                                                                  \
    X(EXTENDED, "not a value of Extended JSON")                                                    \
    X(NUL, "zero byte in a name or a regular expression")                                          \
    X(DECIMAL, "not a decimal128")

enum wf_bson_error {
    WF_BSON_OK,
#define X(id, text) WF_BSON_ERROR_##id,
    WF_BSON_ERRORS(X)
#undef X
};
const char *wf_bson_error_text(enum wf_bson_error e);

/* Checks a document that is all of `in`: lengths, types, UTF-8 of names and text, depth.
 * at  out: the offending byte */
enum wf_bson_error wf_bson_validate(struct wf_span in, size_t *at);

/* ---- Extended JSON v2 ---- */

enum wf_bson_json_mode {
    WF_BSON_RELAXED,  /* numbers as JSON numbers, dates from 1970 to 9999 as text */
    WF_BSON_CANONICAL /* nothing of the types is lost */
};

/* Appends the Extended JSON of the document that is all of `in`, checking it on the way. On failure
 * out->len is as before.
 * at  out: the offending byte of `in` */
enum wf_bson_error wf_bson_to_json(struct wf_span in, enum wf_bson_json_mode mode,
                                   struct wf_buf *out, size_t *at);

/* Appends the document that is all of `in`, in either mode or mixed; the old forms of $binary
 * and $regex are read too. Equal names are kept as they are. On failure out->len is as before.
 * at    out: the offending byte of `in`
 * json  out: what is wrong where the error is JSON */
enum wf_bson_error wf_bson_from_json(struct wf_span in, struct wf_buf *out, size_t *at,
                                     enum wf_json_error *json);

/* ---- Decimal128: IEEE 754-2008, binary integer significand ---- */

struct wf_decimal128 {
    uint64_t low, high;
};

enum wf_decimal128_error {
    WF_DECIMAL128_OK,
    WF_DECIMAL128_SYNTAX,
    WF_DECIMAL128_INEXACT, /* more than 34 digits, or below 1E-6176 */
    WF_DECIMAL128_RANGE    /* above 9.999...E+6144 */
};

enum { WF_DECIMAL128_CHARS_MAX = 48 }; /* -d.(33 digits)E+6144 is 42 */

/* The text of the specification: "NaN" (any), "-Infinity", "0.001", "1.23E+8". No NUL; returns the
 * bytes written. A significand past 10^34 - 1 counts as 0. */
size_t wf_decimal128_write(char *out, struct wf_decimal128 v);

/* Text to the one value that is exactly it; rounds never. */
enum wf_decimal128_error wf_decimal128_read(struct wf_span s, struct wf_decimal128 *out);

/* An ObjectId's 12 bytes of its 24 hexadecimal digits. False where the text is anything else. */
bool wf_bson_read_objectid(struct wf_span text, char id[12]);

#endif
