/* What the files of this room share. */
#ifndef WF_WIRE_SCALAR_INT_H
#define WF_WIRE_SCALAR_INT_H

#include "wire/scalar/scalar.h"

/* What is wrong with a date, time or duration: id, pydantic's words (they are speedate's). */
#define SCALAR_DETAILS(X)                                                                          \
    X(NONE, "")                                                                                    \
    X(TOO_SHORT, "input is too short")                                                             \
    X(EXTRA, "unexpected extra characters at the end of the input")                                \
    X(DATETIME_SEP, "invalid datetime separator, expected `T`, `t`, `_` or space")                 \
    X(DATE_SEP, "invalid date separator, expected `-`")                                            \
    X(NOT_EXACT, "Timestamp is not an exact date")                                                 \
    X(YEAR_CHAR, "invalid character in year")                                                      \
    X(MONTH_CHAR, "invalid character in month")                                                    \
    X(DAY_CHAR, "invalid character in day")                                                        \
    X(TIME_SEP, "invalid time separator, expected `:`")                                            \
    X(HOUR_CHAR, "invalid character in hour")                                                      \
    X(MINUTE_CHAR, "invalid character in minute")                                                  \
    X(SECOND_CHAR, "invalid character in second")                                                  \
    X(TZ_SIGN, "invalid timezone sign")                                                            \
    X(TZ_HOUR, "invalid timezone hour")                                                            \
    X(TZ_MINUTE, "invalid timezone minute")                                                        \
    X(TZ_MINUTE_RANGE, "timezone minute value is outside expected range of 0-59")                  \
    X(TZ_RANGE, "timezone offset must be less than 24 hours")                                      \
    X(MONTH_RANGE, "month value is outside expected range of 1-12")                                \
    X(DAY_RANGE, "day value is outside expected range")                                            \
    X(HOUR_RANGE, "hour value is outside expected range of 0-23")                                  \
    X(MINUTE_RANGE, "minute value is outside expected range of 0-59")                              \
    X(SECOND_RANGE, "second value is outside expected range of 0-59")                              \
    X(FRACTION_MISSING, "second fraction digits missing after `.`")                                \
    X(TOO_SMALL, "dates before 0000 are not supported as unix timestamps")                         \
    X(TOO_LARGE, "dates after 9999 are not supported as unix timestamps")                          \
    X(YEAR_ZERO, "year 0 is out of range")                                                         \
    X(NUMBER, "invalid digit in duration")                                                         \
    X(T_REPEATED, "`t` character repeated in duration")                                            \
    X(FRACTION, "quantity fraction invalid in duration")                                           \
    X(TIME_UNIT, "quantity invalid in time part of duration")                                      \
    X(DATE_UNIT, "quantity invalid in date part of duration")                                      \
    X(DAYS, "\"day\" identifier in duration not correctly formatted")                              \
    X(VALUE_TOO_LARGE, "a numeric value in the duration is too large")                             \
    X(DAYS_TOO_LARGE, "durations may not exceed 999,999,999 days")                                 \
    X(HOURS_TOO_LARGE, "durations may not exceed 999,999,999 hours")

enum detail {
#define X(id, text) DETAIL_##id,
    SCALAR_DETAILS(X)
#undef X
};

/* Kind and detail in one; OK where there is no detail. */
static inline enum wf_scalar_error scalar_error(enum wf_scalar_error kind, enum detail detail) {
    return detail == DETAIL_NONE ? WF_SCALAR_OK
                                 : (enum wf_scalar_error)((unsigned)kind | (unsigned)detail << 8);
}

static inline bool scalar_is_digit(char c) {
    return (unsigned char)(c - '0') <= 9;
}

/* s without white space (Unicode's White_Space, as Rust's str::trim has it) around it. */
struct wf_span scalar_trim(struct wf_span s);

/* All of s as a number of Rust's and Python's grammar, without words:
 *   [+-]? ( digits [ . digits? ] | . digits ) ( [eE] [+-]? digits )? */
bool scalar_number(struct wf_span s, double *out);

/* hh:mm[:ss[(.|,)f+]] from p. The sixth digit of a fraction is the last that counts.
 * p        in: the first byte; out: the first byte behind the time, where it is one */
enum detail scalar_clock(const char **p, const char *end, struct wf_time *out);

/* What is wrong with text that wf_scalar_uuid refused, in the uuid crate's words. */
enum { UUID_DETAIL_MAX = 64 };
size_t scalar_uuid_detail(struct wf_span s, char *out);

#endif
