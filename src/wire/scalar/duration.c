#include "wire/scalar/scalar_int.h"

#include <math.h>

/* timedelta, as the speedate crate reads it:
 *   [+-]? P ( number (Y|M|W|D) )* ( T ( number (H|M|S) )* )?    a year is 365 days, a month 30
 *   [+-]? digits ' '? d(ay s?)? ','? ' '? clock?
 *   [+-]? clock                                                  hours of up to ten digits
 * Only the last number of the first form may have a fraction. */

struct duration { /* without its sign; 32 bits are part of what pydantic refuses */
    uint32_t days, seconds, microseconds;
};

static bool add(uint32_t *sum, uint32_t v) {
    return !__builtin_add_overflow(*sum, v, sum);
}

static bool add_product(uint32_t *sum, uint32_t a, uint32_t b) {
    uint32_t product;
    return !__builtin_mul_overflow(a, b, &product) && add(sum, product);
}

/* As a Rust cast does it: nan is 0, and what is out of range the nearest that is not. */
static uint32_t saturate(double v) {
    return v >= 4294967295.0 ? UINT32_MAX : v > 0 ? (uint32_t)v : 0;
}

/* digits */
static enum detail read_number(const char **at, const char *end, uint32_t *out) {
    const char *p = *at;
    if (p == end || !scalar_is_digit(*p)) {
        return DETAIL_NUMBER;
    }
    *out = 0;
    for (; p < end && scalar_is_digit(*p); p++) {
        if (__builtin_mul_overflow(*out, 10u, out) || !add(out, (uint32_t)(*p - '0'))) {
            return DETAIL_VALUE_TOO_LARGE;
        }
    }
    *at = p;
    return DETAIL_NONE;
}

/* [.,]digits*, which may be missing. Rounds step by step, as its model does. */
static bool read_fraction(const char **at, const char *end, double *out) {
    const char *p = *at;
    *out = 0;
    if (p == end || (*p != '.' && *p != ',')) {
        return false;
    }
    double scale = 1;
    for (p++; p < end && scalar_is_digit(*p); p++) {
        *out = *out * 10 + (*p - '0');
        scale *= 10;
    }
    *out /= scale; /* inf / inf past 308 digits: nan, which counts as 0 */
    *at = p;
    return true;
}

static uint32_t unit_days(char c) {
    return c == 'Y' ? 365 : c == 'M' ? 30 : c == 'W' ? 7 : c == 'D' ? 1 : 0;
}

static uint32_t unit_seconds(char c) {
    return c == 'H' ? 3600 : c == 'M' ? 60 : c == 'S' ? 1 : 0;
}

/* Whole seconds and the rest in microseconds. */
static bool add_seconds(struct duration *d, double seconds) {
    double whole = trunc(seconds);
    return add(&d->seconds, saturate(whole)) &&
           add(&d->microseconds, saturate(round((seconds - whole) * 1e6)));
}

static bool add_days(struct duration *d, double days) {
    double whole = trunc(days);
    return add(&d->days, saturate(whole)) && add_seconds(d, (days - whole) * 86400);
}

/* Behind the P. */
static enum detail read_iso(const char *p, const char *end, struct duration *d) {
    bool empty = end - p < 2; /* "P" and "PT"; "P1" lacks a unit first */
    bool in_time = false;
    bool had_fraction = false;
    while (p < end) {
        if (*p == 'T') {
            if (in_time) {
                return DETAIL_T_REPEATED;
            }
            in_time = true;
            p++;
            continue;
        }
        uint32_t number;
        double fraction;
        enum detail wrong = read_number(&p, end, &number);
        if (wrong != DETAIL_NONE) {
            return wrong;
        }
        bool has_fraction = read_fraction(&p, end, &fraction);
        if (had_fraction) {
            return DETAIL_FRACTION;
        }
        had_fraction = has_fraction;
        char unit = p < end ? *p++ : '\0';
        uint32_t size = in_time ? unit_seconds(unit) : unit_days(unit);
        if (size == 0) {
            return in_time ? DETAIL_TIME_UNIT : DETAIL_DATE_UNIT;
        }
        bool fits = in_time
                        ? add_product(&d->seconds, number, size) && add_seconds(d, fraction * size)
                        : add_product(&d->days, number, size) && add_days(d, fraction * size);
        if (!fits) {
            return DETAIL_VALUE_TOO_LARGE;
        }
    }
    return empty ? DETAIL_TOO_SHORT : DETAIL_NONE;
}

/* The hours of a clock: up to ten digits before the colon (none is 0). */
static enum detail read_hours(const char *p, const char *colon, uint32_t *out) {
    if (colon - p > 10) {
        return DETAIL_HOURS_TOO_LARGE;
    }
    uint64_t hours = 0;
    for (; p < colon; p++) {
        if (!scalar_is_digit(*p)) {
            return DETAIL_HOUR_CHAR;
        }
        hours = hours * 10 + (uint64_t)(*p - '0');
    }
    if (hours > UINT64_C(2400000000)) {
        return DETAIL_HOURS_TOO_LARGE;
    }
    *out = (uint32_t)hours;
    return DETAIL_NONE;
}

/* hours:mm[:ss[.f+]]; hours_max: none above it */
static enum detail read_clock(const char *p, const char *end, uint32_t hours_max,
                              struct duration *d) {
    if (end - p < 5) {
        return DETAIL_TOO_SHORT;
    }
    const char *colon = memchr(p, ':', (size_t)(end - p));
    if (colon == NULL) {
        return DETAIL_HOUR_CHAR;
    }
    uint32_t hours;
    enum detail wrong = read_hours(p, colon, &hours);
    if (wrong != DETAIL_NONE) {
        return wrong;
    }
    /* The rest is read as a clock of its own, and what is behind twelve bytes of it not at all:
     * that is how a long fraction loses its tail (and "12:00:00.123456xyz" its xyz). */
    enum { REST_MAX = sizeof("mm:ss.ffffff") - 1 };
    char clock[3 + REST_MAX] = "00:";
    size_t rest = (size_t)(end - colon - 1);
    rest = rest < REST_MAX ? rest : REST_MAX;
    memcpy(clock + 3, colon + 1, rest);
    const char *q = clock;
    struct wf_time t;
    wrong = scalar_clock(&q, clock + 3 + rest, &t);
    if (wrong != DETAIL_NONE) {
        return wrong;
    }
    if (q != clock + 3 + rest) {
        return DETAIL_EXTRA;
    }
    if (hours > hours_max) {
        return DETAIL_HOURS_TOO_LARGE;
    }
    d->days += hours / 24;
    d->seconds = hours % 24 * 3600 + t.minute * 60u + t.second;
    d->microseconds = t.microsecond;
    return DETAIL_NONE;
}

static const char *skip(const char *p, const char *end, char c) {
    return p < end && *p == c ? p + 1 : p;
}

/* d, day or days; "d" in either case, the rest of it in one. NULL where it is none of them. */
static const char *read_day_word(const char *p, const char *end) {
    if (p == end || (*p != 'd' && *p != 'D')) {
        return NULL;
    }
    const char *rest = p + 1;
    if (rest == end || (*rest != 'a' && *rest != 'A')) {
        return rest;
    }
    bool upper = *rest == 'A';
    const char *y = rest + 1;
    const char *s = skip(y, end, upper ? 'Y' : 'y');
    return s == y ? NULL : skip(s, end, upper ? 'S' : 's');
}

/* digits ' '? d(ay s?)? ','? ' '? clock? */
static enum detail read_days(const char *p, const char *end, struct duration *d) {
    enum detail wrong = p == end ? DETAIL_TOO_SHORT : read_number(&p, end, &d->days);
    if (wrong != DETAIL_NONE) {
        return wrong;
    }
    p = read_day_word(skip(p, end, ' '), end);
    if (p == NULL) {
        return DETAIL_DAYS;
    }
    p = skip(skip(p, end, ','), end, ' ');
    return p == end ? DETAIL_NONE : read_clock(p, end, 23, d);
}

static enum detail read_duration(const char *p, const char *end, struct duration *d) {
    if (p < end && *p == 'P') {
        return read_iso(p + 1, end, d);
    }
    bool has_d = p < end && (memchr(p, 'd', (size_t)(end - p)) != NULL ||
                             memchr(p, 'D', (size_t)(end - p)) != NULL);
    return has_d || end - p < 5 ? read_days(p, end, d) : read_clock(p, end, UINT32_MAX, d);
}

/* Carries over what is too much for a field. */
static enum detail normalise(struct duration *d) {
    if (!add(&d->seconds, d->microseconds / 1000000) || !add(&d->days, d->seconds / 86400)) {
        return DETAIL_VALUE_TOO_LARGE;
    }
    d->microseconds %= 1000000;
    d->seconds %= 86400;
    return d->days > 999999999 ? DETAIL_DAYS_TOO_LARGE : DETAIL_NONE;
}

static enum detail to_timedelta(const struct duration *d, bool negative, struct wf_timedelta *out) {
    int32_t days = (int32_t)d->days;
    int32_t seconds = (int32_t)d->seconds;
    int32_t microseconds = (int32_t)d->microseconds;
    if (negative) {
        int32_t borrow = microseconds > 0;
        microseconds = borrow * 1000000 - microseconds;
        seconds = -seconds - borrow;
        borrow = seconds < 0;
        seconds += borrow * 86400;
        days = -days - borrow;
    }
    *out = (struct wf_timedelta){days, seconds, microseconds};
    return days < -999999999 ? DETAIL_DAYS_TOO_LARGE : DETAIL_NONE;
}

enum wf_scalar_error wf_scalar_timedelta(struct wf_span s, struct wf_timedelta *out) {
    enum detail wrong = DETAIL_TOO_SHORT;
    if (s.n > 0) {
        bool negative = s.p[0] == '-';
        size_t sign = negative || s.p[0] == '+';
        struct duration d = {0};
        wrong = read_duration(s.p + sign, s.p + s.n, &d);
        if (wrong == DETAIL_NONE) {
            wrong = normalise(&d);
        }
        if (wrong == DETAIL_NONE) {
            wrong = to_timedelta(&d, negative, out);
        }
    }
    return scalar_error(WF_SCALAR_TIME_DELTA_PARSING, wrong);
}
