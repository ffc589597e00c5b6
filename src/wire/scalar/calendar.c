#include "wire/scalar/scalar_int.h"

#include <math.h>

/* date, time and datetime (RFC 3339 as the speedate crate reads it, and unix timestamps).
 * Bottom-up: digits, dates, times, timestamps, then the three readers, which fall back on each
 * other as pydantic's do. */

/* Two digits at p, or -1. */
static int two_digits(const char *p) {
    return scalar_is_digit(p[0]) && scalar_is_digit(p[1]) ? (p[0] - '0') * 10 + p[1] - '0' : -1;
}

/* ---- dates ---- */

static bool is_leap(int year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in(int year, int month) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* YYYY-MM-DD from the start of s, whatever follows. Year 0 is one here. */
static enum detail read_date(struct wf_span s, struct wf_date *out) {
    if (s.n < 10) {
        return DETAIL_TOO_SHORT;
    }
    int century = two_digits(s.p);
    int year = two_digits(s.p + 2);
    if (century < 0 || year < 0) {
        return DETAIL_YEAR_CHAR;
    }
    year += century * 100;
    if (s.p[4] != '-') {
        return DETAIL_DATE_SEP;
    }
    int month = two_digits(s.p + 5);
    if (month < 0) {
        return DETAIL_MONTH_CHAR;
    }
    if (s.p[7] != '-') {
        return DETAIL_DATE_SEP;
    }
    int day = two_digits(s.p + 8);
    if (day < 0) {
        return DETAIL_DAY_CHAR;
    }
    if (month < 1 || month > 12) {
        return DETAIL_MONTH_RANGE;
    }
    if (day < 1 || day > days_in(year, month)) {
        return DETAIL_DAY_RANGE;
    }
    *out = (struct wf_date){year, (uint8_t)month, (uint8_t)day};
    return DETAIL_NONE;
}

/* ---- times ---- */

enum detail scalar_clock(const char **at, const char *end, struct wf_time *out) {
    const char *p = *at;
    if (end - p < 5) {
        return DETAIL_TOO_SHORT;
    }
    int hour = two_digits(p);
    if (hour < 0) {
        return DETAIL_HOUR_CHAR;
    }
    if (p[2] != ':') {
        return DETAIL_TIME_SEP;
    }
    int minute = two_digits(p + 3);
    if (minute < 0) {
        return DETAIL_MINUTE_CHAR;
    }
    if (hour > 23) {
        return DETAIL_HOUR_RANGE;
    }
    if (minute > 59) {
        return DETAIL_MINUTE_RANGE;
    }
    p += 5;
    *out = (struct wf_time){.hour = (uint8_t)hour, .minute = (uint8_t)minute};
    *at = p;
    if (p == end || *p != ':') {
        return DETAIL_NONE;
    }
    int second = end - p < 3 ? -1 : two_digits(p + 1);
    if (second < 0) {
        return DETAIL_SECOND_CHAR;
    }
    if (second > 59) {
        return DETAIL_SECOND_RANGE;
    }
    out->second = (uint8_t)second;
    p += 3;
    *at = p;
    if (p == end || (*p != '.' && *p != ',')) {
        return DETAIL_NONE;
    }
    const char *fraction = ++p;
    for (uint32_t unit = 100000; p < end && scalar_is_digit(*p); p++, unit /= 10) {
        out->microsecond += (uint32_t)(*p - '0') * unit;
    }
    *at = p;
    return p == fraction ? DETAIL_FRACTION_MISSING : DETAIL_NONE;
}

/* Z, z, or (+|-|U+2212)hh[:]mm */
static enum detail read_offset(const char **at, const char *end, struct wf_time *out) {
    const char *p = *at;
    bool negative = false;
    out->has_offset = true;
    out->offset_s = 0;
    if (*p == 'Z' || *p == 'z') {
        *at = p + 1;
        return DETAIL_NONE;
    }
    if (*p == '+' || *p == '-') {
        negative = *p == '-';
        p++;
    } else if (end - p >= 3 && memcmp(p, "\xe2\x88\x92", 3) == 0) {
        negative = true;
        p += 3;
    } else {
        return DETAIL_TZ_SIGN;
    }
    int hour = end - p < 2 ? -1 : two_digits(p);
    if (hour < 0) {
        return DETAIL_TZ_HOUR;
    }
    p += 2;
    p += p < end && *p == ':';
    int minute = end - p < 2 ? -1 : two_digits(p);
    if (minute < 0) {
        return DETAIL_TZ_MINUTE;
    }
    if (minute > 59) {
        return DETAIL_TZ_MINUTE_RANGE;
    }
    if (hour > 23) {
        return DETAIL_TZ_RANGE;
    }
    *at = p + 2;
    out->offset_s = (hour * 60 + minute) * 60 * (negative ? -1 : 1);
    return DETAIL_NONE;
}

/* All of [p, end): a time and perhaps an offset. */
static enum detail read_time(const char *p, const char *end, struct wf_time *out) {
    enum detail d = scalar_clock(&p, end, out);
    if (d == DETAIL_NONE && p < end) {
        d = read_offset(&p, end, out);
    }
    return d == DETAIL_NONE && p < end ? DETAIL_EXTRA : d;
}

static bool is_midnight(const struct wf_time *t) {
    return t->hour == 0 && t->minute == 0 && t->second == 0 && t->microsecond == 0;
}

/* ---- timestamps ---- */

static const int64_t SECONDS_0000 = -62167219200; /* 0000-01-01T00:00:00Z */
static const int64_t SECONDS_9999 = 253402300799; /* 9999-12-31T23:59:59Z */
static const int64_t WATERSHED = 20000000000;     /* further from 0 it must be milliseconds */

/* Days since 0000-01-01 to a date. Years are counted from 1 March, so that the leap day comes last,
 * in eras of 400 years, the first of which began in the year -400. */
static struct wf_date date_of_day(int64_t day) {
    day += 146097 - 60;
    int64_t era = day / 146097;
    int64_t in_era = day % 146097;
    /* Year y of an era starts on its day 365 y + y/4 - y/100. */
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * in_year + 2) / 153; /* 0 is March; 153 days in each five months */
    int64_t in_month = in_year - (153 * month + 2) / 5;
    bool next_year = month >= 10;
    return (struct wf_date){
        .year = (int32_t)(era * 400 + year - 400 + next_year),
        .month = (uint8_t)(next_year ? month - 9 : month + 3),
        .day = (uint8_t)(in_month + 1),
    };
}

/* microseconds: 0 to 10^6 inclusive, for a rounded-up fraction */
static enum detail from_seconds(int64_t seconds, uint32_t microseconds, struct wf_datetime *out) {
    seconds += microseconds / 1000000;
    microseconds %= 1000000;
    if (seconds < SECONDS_0000) {
        return DETAIL_TOO_SMALL;
    }
    if (seconds > SECONDS_9999) {
        return DETAIL_TOO_LARGE;
    }
    int64_t since_0000 = seconds - SECONDS_0000;
    int32_t in_day = (int32_t)(since_0000 % 86400);
    out->date = date_of_day(since_0000 / 86400);
    out->time = (struct wf_time){
        .hour = (uint8_t)(in_day / 3600),
        .minute = (uint8_t)(in_day / 60 % 60),
        .second = (uint8_t)(in_day % 60),
        .has_offset = true, /* timestamps are UTC */
        .microsecond = microseconds,
    };
    return DETAIL_NONE;
}

static enum detail from_integer(int64_t stamp, struct wf_datetime *out) {
    if (stamp >= -WATERSHED && stamp <= WATERSHED) {
        return from_seconds(stamp, 0, out);
    }
    int64_t seconds = stamp / 1000;
    int64_t milliseconds = stamp % 1000;
    if (milliseconds < 0) {
        seconds--;
        milliseconds += 1000;
    }
    return from_seconds(seconds, (uint32_t)milliseconds * 1000, out);
}

static enum detail from_float(double stamp, struct wf_datetime *out) {
    /* A whole number of its unit, and how much of one more. */
    double whole = floor(stamp);
    double rest = stamp - whole;
    bool in_seconds = fabs(stamp) <= (double)WATERSHED;
    if (in_seconds) {
        return from_seconds((int64_t)whole, (uint32_t)round(rest * 1e6), out);
    }
    if (fabs(whole) > 1000.0 * (double)SECONDS_9999 + 1000) { /* inf too */
        return whole < 0 ? DETAIL_TOO_SMALL : DETAIL_TOO_LARGE;
    }
    int64_t seconds = (int64_t)whole / 1000;
    int64_t milliseconds = (int64_t)whole % 1000;
    if (milliseconds < 0) {
        seconds--;
        milliseconds += 1000;
    }
    return from_seconds(seconds, (uint32_t)milliseconds * 1000 + (uint32_t)round(rest * 1e3), out);
}

/* [+-]?digits within int64_t. */
static bool read_integer(struct wf_span s, int64_t *out) {
    bool negative = s.n > 0 && s.p[0] == '-';
    size_t i = negative || (s.n > 0 && s.p[0] == '+');
    if (i == s.n) {
        return false;
    }
    int64_t v = 0;
    for (; i < s.n; i++) {
        int digit = negative ? '0' - s.p[i] : s.p[i] - '0';
        if (!scalar_is_digit(s.p[i]) || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, digit, &v)) {
            return false;
        }
    }
    *out = v;
    return true;
}

static bool read_stamp(struct wf_span s, struct wf_datetime *out, enum detail *detail) {
    int64_t integer;
    double number;
    if (read_integer(s, &integer)) {
        *detail = from_integer(integer, out);
        return true;
    }
    if (s.n > 0 && memchr(s.p, '.', s.n) != NULL && scalar_number(s, &number)) {
        *detail = from_float(number, out);
        return true;
    }
    return false;
}

/* ---- the readers ---- */

/* A date alone: written out, or a timestamp at midnight. */
static enum detail read_pure_date(struct wf_span s, struct wf_date *out) {
    enum detail d = read_date(s, out);
    if (d == DETAIL_NONE && s.n > 10) {
        d = DETAIL_EXTRA;
    }
    int64_t stamp;
    if (d != DETAIL_NONE && read_integer(s, &stamp)) {
        struct wf_datetime at;
        d = from_integer(stamp, &at);
        if (d == DETAIL_NONE && !is_midnight(&at.time)) {
            d = DETAIL_NOT_EXACT;
        }
        *out = at.date;
    }
    return d;
}

/* A datetime alone: written out, or any timestamp. */
static enum detail read_pure_datetime(struct wf_span s, struct wf_datetime *out) {
    enum detail d = read_date(s, &out->date);
    if (d == DETAIL_NONE) {
        char sep = s.n > 10 ? s.p[10] : '\0';
        d = sep == 'T' || sep == 't' || sep == ' ' || sep == '_'
                ? read_time(s.p + 11, s.p + s.n, &out->time)
                : DETAIL_DATETIME_SEP;
    }
    if (d != DETAIL_NONE) {
        read_stamp(s, out, &d);
    }
    return d;
}

enum wf_scalar_error wf_scalar_date(struct wf_span s, struct wf_date *out) {
    if (read_pure_date(s, out) != DETAIL_NONE) {
        struct wf_datetime at;
        enum detail d = read_pure_datetime(s, &at);
        if (d != DETAIL_NONE) {
            return scalar_error(WF_SCALAR_DATE_FROM_DATETIME_PARSING, d);
        }
        if (!is_midnight(&at.time)) {
            return WF_SCALAR_DATE_FROM_DATETIME_INEXACT;
        }
        *out = at.date;
    }
    return out->year == 0 ? scalar_error(WF_SCALAR_DATE_PARSING, DETAIL_YEAR_ZERO) : WF_SCALAR_OK;
}

enum wf_scalar_error wf_scalar_time(struct wf_span s, struct wf_time *out) {
    if (s.n == 0) {
        return scalar_error(WF_SCALAR_TIME_PARSING, DETAIL_TOO_SHORT);
    }
    return scalar_error(WF_SCALAR_TIME_PARSING, read_time(s.p, s.p + s.n, out));
}

enum wf_scalar_error wf_scalar_datetime(struct wf_span s, struct wf_datetime *out) {
    if (read_pure_datetime(s, out) != DETAIL_NONE) {
        out->time = (struct wf_time){0};
        enum detail d = read_pure_date(s, &out->date);
        if (d != DETAIL_NONE) {
            return scalar_error(WF_SCALAR_DATETIME_FROM_DATE_PARSING, d);
        }
    }
    return out->date.year == 0 ? scalar_error(WF_SCALAR_DATETIME_PARSING, DETAIL_YEAR_ZERO)
                               : WF_SCALAR_OK;
}
