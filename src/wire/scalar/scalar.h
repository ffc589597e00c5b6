/* Text to scalars exactly as pydantic's lax mode reads strings (what FastAPI does with path, query, header
 * and cookie values), and values to text for JSON.
 *
 * Each reader takes text that is valid UTF-8 and returns WF_SCALAR_OK or an error; which pydantic error
 * type, message and ctx that is, wf_scalar_error_* says. Python objects are made elsewhere: values here are
 * plain C structs.
 * thread   any; no allocation; no locale; no Python */
#ifndef WF_WIRE_SCALAR_H
#define WF_WIRE_SCALAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* id, pydantic error type, detail: what goes into ctx {"error": detail} and behind the message's
 * ", " where the type has one; "" where it has none. The list is completed from pydantic-core's own
 * answers (the tests compare). */
#define WF_SCALAR_ERRORS(X)                                                                        \
    X(INT_PARSING, "int_parsing", "")                                                              \
    X(INT_PARSING_SIZE, "int_parsing_size", "")                                                    \
    X(FLOAT_PARSING, "float_parsing", "")                                                          \
    X(BOOL_PARSING, "bool_parsing", "")

enum wf_scalar_error {
    WF_SCALAR_OK,
#define X(id, type, detail) WF_SCALAR_##id,
    WF_SCALAR_ERRORS(X)
#undef X
};
const char *wf_scalar_error_type(enum wf_scalar_error e);
const char *wf_scalar_error_detail(enum wf_scalar_error e);

struct wf_int {
    bool big;            /* does not fit: use digits (decimal, for int()) */
    int64_t value;
    struct wf_span text; /* borrowed from the input: sign and digits, underscores still in it */
};
enum wf_scalar_error wf_scalar_int(struct wf_span s, struct wf_int *out);
/* inf and nan are accepted as pydantic accepts them */
enum wf_scalar_error wf_scalar_float(struct wf_span s, double *out);
enum wf_scalar_error wf_scalar_bool(struct wf_span s, bool *out);
enum wf_scalar_error wf_scalar_uuid(struct wf_span s, uint8_t out[16]);

struct wf_date {
    int32_t year;
    uint8_t month, day;
};
struct wf_time {
    uint8_t hour, minute, second;
    bool has_offset;
    int32_t offset_s; /* east of UTC */
    uint32_t microsecond;
};
struct wf_datetime {
    struct wf_date date;
    struct wf_time time;
};
struct wf_timedelta {
    int32_t days;         /* normalised as Python's: 0 <= seconds < 86400, 0 <= microseconds < 10**6 */
    int32_t seconds;
    int32_t microseconds;
};
/* Strings and, as pydantic allows, numbers in strings (unix seconds or milliseconds). */
enum wf_scalar_error wf_scalar_date(struct wf_span s, struct wf_date *out);
enum wf_scalar_error wf_scalar_time(struct wf_span s, struct wf_time *out);
enum wf_scalar_error wf_scalar_datetime(struct wf_span s, struct wf_datetime *out);
enum wf_scalar_error wf_scalar_timedelta(struct wf_span s, struct wf_timedelta *out);
/* Checks only; decimal.Decimal(text) makes the value. *text: trimmed. */
enum wf_scalar_error wf_scalar_decimal(struct wf_span s, struct wf_span *text);

/* ---- to text, as pydantic's JSON has it (ISO 8601; timedelta as ISO 8601 duration) ---- */
enum { WF_SCALAR_TEXT_MAX = 64 };
size_t wf_date_write(char *out, const struct wf_date *v);
size_t wf_time_write(char *out, const struct wf_time *v);
size_t wf_datetime_write(char *out, const struct wf_datetime *v); /* offset 0 is "Z" */
size_t wf_timedelta_write(char *out, const struct wf_timedelta *v);
size_t wf_uuid_write(char *out, const uint8_t v[16]);

#endif
