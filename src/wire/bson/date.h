/* Milliseconds since 1970 to the proleptic Gregorian calendar and back. Inline: one of each date.
 */
#ifndef WF_WIRE_BSON_DATE_H
#define WF_WIRE_BSON_DATE_H

#include <stdbool.h>
#include <stdint.h>

struct wf_bson_date {
    int year; /* 1 to 9999 */
    int month, day, hour, minute, second, millisecond;
};

static const int64_t WF_BSON_DATE_MIN_MS = -62135596800000; /* 0001-01-01T00:00:00 */
static const int64_t WF_BSON_DATE_MAX_MS = 253402300799999; /* 9999-12-31T23:59:59.999 */

/* false: out of the years that dates have */
static inline bool wf_bson_date_from_ms(int64_t ms, struct wf_bson_date *out) {
    if (ms < WF_BSON_DATE_MIN_MS || ms > WF_BSON_DATE_MAX_MS) {
        return false;
    }
    ms -= WF_BSON_DATE_MIN_MS; /* not negative from here on */
    int in_day = (int)(ms % 86400000);
    /* Years are counted from 1 March of the year 0, so that the leap day comes last. */
    int day = (int)(ms / 86400000) + 306;
    int era = day / 146097, in_era = day % 146097; /* 400 years */
    int year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int in_year = in_era - (365 * year + year / 4 - year / 100);
    int month = (5 * in_year + 2) / 153; /* 0 is March; 153 days in each five months */
    out->day = in_year - (153 * month + 2) / 5 + 1;
    out->month = month < 10 ? month + 3 : month - 9;
    out->year = era * 400 + year + (month >= 10);
    out->millisecond = in_day % 1000;
    in_day /= 1000;
    out->second = in_day % 60;
    out->minute = in_day / 60 % 60;
    out->hour = in_day / 3600;
    return true;
}

static inline int64_t wf_bson_date_to_ms(const struct wf_bson_date *d) {
    int year = d->year - (d->month <= 2), month = d->month <= 2 ? d->month + 9 : d->month - 3;
    int64_t day = (int64_t)year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 +
                  d->day - 1 - 306;
    int64_t seconds = day * 86400 + d->hour * 3600 + d->minute * 60 + d->second;
    return seconds * 1000 + d->millisecond + WF_BSON_DATE_MIN_MS;
}

#endif
