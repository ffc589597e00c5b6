/* JSON tokens and writers (RFC 8259): bytes to meaning and back, with no object model. py/json (and
 * later BSON and shapes) walk them. Functions a decoder calls per byte or token are static inline
 * here or in json_scan.h.
 *
 * thread   any; no allocation but through the wf_buf given */
#ifndef WF_WIRE_JSON_H
#define WF_WIRE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum { WF_JSON_DEPTH_MAX = 512 }; /* nesting; deeper is an attack on the stack */

/* What can be wrong: id, sentence. The sentence is for people and ends without a full stop. */
#define WF_JSON_ERRORS(X)                                                                          \
    X(EMPTY, "expected a value, found the end of the input")                                       \
    X(VALUE, "expected a value")                                                                   \
    X(END, "unexpected end of the input")                                                          \
    X(TRAILING, "unexpected data after the value")                                                 \
    X(LITERAL, "expected true, false or null")                                                     \
    X(NUMBER, "invalid number")                                                                    \
    X(NUMBER_RANGE, "number too large for a double")                                               \
    X(STRING_END, "unterminated string")                                                           \
    X(STRING_CONTROL, "control character in a string")                                             \
    X(ESCAPE, "invalid escape in a string")                                                        \
    X(SURROGATE, "unpaired surrogate in a string")                                                 \
    X(UTF8, "invalid UTF-8 in a string")                                                           \
    X(KEY, "expected a string as the key")                                                         \
    X(COLON, "expected ':' after the key")                                                         \
    X(COMMA, "expected ',' or the end of the container")                                           \
    X(DEPTH, "nested too deeply")                                                                  \
    X(NOMEM, "out of memory")

enum wf_json_error {
    WF_JSON_OK,
#define X(id, text) WF_JSON_##id,
    WF_JSON_ERRORS(X)
#undef X
};
const char *wf_json_error_text(enum wf_json_error e);

/* What a reader lets pass beyond RFC 8259; 0 is strict, both are what json.loads accepts. */
enum wf_json_flags {
    WF_JSON_SURROGATES = 1, /* "\ud800" alone is the code point U+D800 */
    WF_JSON_NONFINITE = 2,  /* NaN, Infinity, -Infinity; 1e999 is infinity */
};

/* Line (from 1) and column (from 1, in code points) of byte `at`. */
void wf_json_position(struct wf_span in, size_t at, size_t *line, size_t *column);

/* Checks a whole document, strictly, without making anything.
 * depth_max  at most WF_JSON_DEPTH_MAX
 * at         out: the offending byte */
enum wf_json_error wf_json_validate(struct wf_span in, unsigned depth_max, size_t *at);

/* Checks the one value at *p, or the space in front of it, and passes over it; strictly, too.
 * p  out: behind it, or the offending byte */
enum wf_json_error wf_json_skip(const char **p, const char *end, unsigned depth_max);

/* Appends "..." with JSON escapes; `s` must be UTF-8. WF_BUF_OK, _NOMEM or _FULL. */
int wf_json_write_string(struct wf_buf *b, struct wf_span s);

#endif
