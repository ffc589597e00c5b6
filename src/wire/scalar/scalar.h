/* Text to scalars exactly as pydantic's lax mode reads strings (what FastAPI does with path, query,
 * header and cookie values), and values to text for JSON.
 *
 * Each reader takes text that is valid UTF-8 and returns WF_SCALAR_OK or an error; which pydantic
 * error type, message and ctx that is, wf_scalar_error_* says. Python objects are made elsewhere:
 * values here are plain C structs.
 * thread   any; no allocation; no locale; no Python */
#ifndef WF_WIRE_SCALAR_H
#define WF_WIRE_SCALAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* id, pydantic error type, message. A message that ends in ", " goes on with the detail, which is
 * also ctx {"error": detail}; the others have no ctx. */
#define WF_SCALAR_ERRORS(X)                                                                        \
    X(INT_PARSING, "int_parsing",                                                                  \
      "Input should be a valid integer, unable to parse string as an integer")                     \
    X(INT_PARSING_SIZE, "int_parsing_size",                                                        \
      "Unable to parse input string as an integer, exceeded maximum size")                         \
    X(FLOAT_PARSING, "float_parsing",                                                              \
      "Input should be a valid number, unable to parse string as a number")                        \
    X(BOOL_PARSING, "bool_parsing", "Input should be a valid boolean, unable to interpret input")  \
    X(UUID_PARSING, "uuid_parsing", "Input should be a valid UUID, ")                              \
    X(DATE_PARSING, "date_parsing", "Input should be a valid date in the format YYYY-MM-DD, ")     \
    X(DATE_FROM_DATETIME_PARSING, "date_from_datetime_parsing",                                    \
      "Input should be a valid date or datetime, ")                                                \
    X(DATE_FROM_DATETIME_INEXACT, "date_from_datetime_inexact",                                    \
      "Datetimes provided to dates should have zero time - e.g. be exact dates")                   \
    X(TIME_PARSING, "time_parsing", "Input should be in a valid time format, ")                    \
    X(DATETIME_PARSING, "datetime_parsing", "Input should be a valid datetime, ")                  \
    X(DATETIME_FROM_DATE_PARSING, "datetime_from_date_parsing",                                    \
      "Input should be a valid datetime or date, ")                                                \
    X(TIME_DELTA_PARSING, "time_delta_parsing", "Input should be a valid timedelta, ")             \
    X(DECIMAL_PARSING, "decimal_parsing", "Input should be a valid decimal")                       \
    X(FINITE_NUMBER, "finite_number", "Input should be a finite number")

/* An error as the readers return it is one of these, plus, for the date family, which detail (in
 * the bits above WF_SCALAR_ERROR_MASK). Ask the functions below rather than the number. */
enum wf_scalar_error {
    WF_SCALAR_OK,
#define X(id, type, message) WF_SCALAR_##id,
    WF_SCALAR_ERRORS(X)
#undef X
        WF_SCALAR_ERROR_MASK = 0xff,
    WF_SCALAR_ERROR_MAX = 0xffff
};

/* pydantic's name of it: "int_parsing". */
const char *wf_scalar_error_type(enum wf_scalar_error e);

/* Writes the whole message for people ("msg"), without a NUL.
 * input    what was refused: a UUID's message quotes it
 * out      room for WF_SCALAR_MESSAGE_MAX
 * detail   out: ctx {"error": detail}, the tail of `out`; empty where the error has no ctx
 * returns  the bytes written */
enum { WF_SCALAR_MESSAGE_MAX = 160 };
size_t wf_scalar_error_message(enum wf_scalar_error e, struct wf_span input, char *out,
                               struct wf_span *detail);

enum { WF_SCALAR_INT_DIGITS_MAX = 4300 }; /* CPython's own limit against quadratic int(str) */
struct wf_int {
    bool big; /* does not fit `value`: int() reads `digits` */
    bool negative;
    int64_t value;
    struct wf_span digits; /* of a big one, borrowed from the input: no sign, at most
                            * WF_SCALAR_INT_DIGITS_MAX digits with single underscores between */
};
enum wf_scalar_error wf_scalar_int(struct wf_span s, struct wf_int *out);
/* inf and nan are accepted as pydantic accepts them. Text with underscores is read up to
 * WF_SCALAR_UNDERSCORED_MAX bytes. */
enum { WF_SCALAR_UNDERSCORED_MAX = 4096 };
enum wf_scalar_error wf_scalar_float(struct wf_span s, double *out);
enum wf_scalar_error wf_scalar_bool(struct wf_span s, bool *out);
enum wf_scalar_error wf_scalar_uuid(struct wf_span s, uint8_t out[16]);

struct wf_date {
    int32_t year; /* 1 to 9999 */
    uint8_t month, day;
};
struct wf_time {
    uint8_t hour, minute, second;
    bool has_offset;
    int32_t offset_s; /* east of UTC; whole minutes where it was read, within 24 hours */
    uint32_t microsecond;
};
struct wf_datetime {
    struct wf_date date;
    struct wf_time time;
};
struct wf_timedelta {
    int32_t days; /* normalised as Python's: 0 <= seconds < 86400, 0 <= microseconds < 10**6 */
    int32_t seconds;
    int32_t microseconds;
};
/* Strings and, for dates and datetimes as pydantic allows, numbers in strings (unix seconds, or
 * milliseconds where they are beyond 2 * 10^10). */
enum wf_scalar_error wf_scalar_date(struct wf_span s, struct wf_date *out);
enum wf_scalar_error wf_scalar_time(struct wf_span s, struct wf_time *out);
enum wf_scalar_error wf_scalar_datetime(struct wf_span s, struct wf_datetime *out);
/* One departure: below -999999999 days pydantic lets an OverflowError out (a 500); here it is an
 * error like any other. */
enum wf_scalar_error wf_scalar_timedelta(struct wf_span s, struct wf_timedelta *out);
/* Checks only; decimal.Decimal(text) makes the value. ASCII is judged here. Text with other
 * characters, where Decimal knows Unicode's digits and spaces, comes back OK and unjudged: there
 * decimal.InvalidOperation means DECIMAL_PARSING, and a value that is not finite FINITE_NUMBER.
 * text     out: s without the white space around it */
enum wf_scalar_error wf_scalar_decimal(struct wf_span s, struct wf_span *text);

/* ---- to text, as pydantic's JSON has it (ISO 8601; timedelta as ISO 8601 duration) ----
 * Values must be in Python's ranges. They write up to WF_SCALAR_TEXT_MAX bytes, no NUL, and return
 * how many. An offset's seconds are left out. */
enum { WF_SCALAR_TEXT_MAX = 64 };
size_t wf_date_write(char *out, const struct wf_date *v);
size_t wf_time_write(char *out, const struct wf_time *v);         /* offset 0 is "Z" */
size_t wf_datetime_write(char *out, const struct wf_datetime *v); /* offset 0 is "Z" */
size_t wf_timedelta_write(char *out, const struct wf_timedelta *v);
size_t wf_uuid_write(char *out, const uint8_t v[16]);

#endif
