#include "wire/scalar/scalar_int.h"

#include "base/check.h"
#include "base/num.h"

/* The writers. All numbers here are in range: the values are Python's. */

static char *put_padded(char *p, uint32_t v, unsigned digits) {
    for (unsigned i = digits; i-- > 0; v /= 10) {
        p[i] = (char)('0' + v % 10);
    }
    return p + digits;
}

size_t wf_date_write(char *out, const struct wf_date *v) {
    char *p = put_padded(out, (uint32_t)v->year, 4);
    *p++ = '-';
    p = put_padded(p, v->month, 2);
    *p++ = '-';
    p = put_padded(p, v->day, 2);
    return (size_t)(p - out);
}

static char *put_offset(char *p, int32_t offset_s) {
    if (offset_s == 0) {
        *p = 'Z';
        return p + 1;
    }
    *p++ = offset_s < 0 ? '-' : '+';
    uint32_t minutes = (uint32_t)(offset_s < 0 ? -offset_s : offset_s) / 60;
    p = put_padded(p, minutes / 60, 2);
    *p++ = ':';
    return put_padded(p, minutes % 60, 2);
}

size_t wf_time_write(char *out, const struct wf_time *v) {
    char *p = put_padded(out, v->hour, 2);
    *p++ = ':';
    p = put_padded(p, v->minute, 2);
    *p++ = ':';
    p = put_padded(p, v->second, 2);
    if (v->microsecond != 0) {
        *p++ = '.';
        p = put_padded(p, v->microsecond, 6);
    }
    if (v->has_offset) {
        p = put_offset(p, v->offset_s);
    }
    return (size_t)(p - out);
}

size_t wf_datetime_write(char *out, const struct wf_datetime *v) {
    size_t n = wf_date_write(out, &v->date);
    out[n++] = 'T';
    return n + wf_time_write(out + n, &v->time);
}

/* v and its unit, or nothing */
static char *put_quantity(char *p, uint32_t v, char unit) {
    if (v != 0) {
        p += wf_u64_write(p, v);
        *p++ = unit;
    }
    return p;
}

static char *put_seconds(char *p, uint32_t seconds, uint32_t microseconds) {
    if (microseconds == 0) {
        return put_quantity(p, seconds, 'S');
    }
    p += wf_u64_write(p, seconds);
    *p++ = '.';
    p = put_padded(p, microseconds, 6);
    while (p[-1] == '0') {
        p--;
    }
    *p++ = 'S';
    return p;
}

/* Python counts microseconds up from whole days, days negative; the text has one sign for all. */
size_t wf_timedelta_write(char *out, const struct wf_timedelta *v) {
    char *p = out;
    int64_t days = v->days;
    int64_t in_day = (int64_t)v->seconds * 1000000 + v->microseconds;
    if (days < 0) {
        *p++ = '-';
        bool partial = in_day > 0;
        in_day = partial ? INT64_C(86400000000) - in_day : 0;
        days = -days - partial;
    }
    *p++ = 'P';
    p = put_quantity(p, (uint32_t)(days / 365), 'Y');
    p = put_quantity(p, (uint32_t)(days % 365), 'D');
    uint32_t seconds = (uint32_t)(in_day / 1000000);
    if (in_day != 0) {
        *p++ = 'T';
        p = put_quantity(p, seconds / 3600, 'H');
        p = put_quantity(p, seconds / 60 % 60, 'M');
        p = put_seconds(p, seconds % 60, (uint32_t)(in_day % 1000000));
    } else if (days == 0) {
        *p++ = 'T';
        *p++ = '0';
        *p++ = 'S';
    }
    return (size_t)(p - out);
}
