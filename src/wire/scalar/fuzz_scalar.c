/* Any text through every reader. What is read must be in range, and what is written must read back
 * as the same value; what is refused must have a message. The first byte picks the reader. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/num.h"
#include "wire/scalar/scalar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In every build, asserts or not. */
static void require(bool cond) {
    if (!cond) {
        abort();
    }
}

static void check_date(const struct wf_date *d) {
    require(d->year >= 1 && d->year <= 9999 && d->month >= 1 && d->month <= 12);
    require(d->day >= 1 && d->day <= 31);
}

static void check_time(const struct wf_time *t) {
    require(t->hour < 24 && t->minute < 60 && t->second < 60 && t->microsecond < 1000000);
    require(t->offset_s > -86400 && t->offset_s < 86400);
}

static void check_timedelta(const struct wf_timedelta *v) {
    require(v->days >= -999999999 && v->days <= 999999999);
    require(v->seconds >= 0 && v->seconds < 86400);
    require(v->microseconds >= 0 && v->microseconds < 1000000);
}

static enum wf_scalar_error fuzz_int(struct wf_span s) {
    struct wf_int v;
    enum wf_scalar_error e = wf_scalar_int(s, &v);
    if (e == WF_SCALAR_OK && v.big) {
        require(v.digits.p >= s.p && v.digits.p + v.digits.n <= s.p + s.n);
        require(v.digits.n >= 19);
    }
    return e;
}

static enum wf_scalar_error fuzz_float(struct wf_span s) {
    double v, again;
    char out[WF_DOUBLE_CHARS_MAX];
    enum wf_scalar_error e = wf_scalar_float(s, &v);
    if (e == WF_SCALAR_OK && isfinite(v)) {
        size_t n = wf_double_write(out, v);
        require(n <= sizeof(out));
        require(wf_scalar_float(wf_span(out, n), &again) == WF_SCALAR_OK);
        require(memcmp(&v, &again, sizeof(v)) == 0);
    }
    return e;
}

static enum wf_scalar_error fuzz_bool(struct wf_span s) {
    bool v;
    return wf_scalar_bool(s, &v);
}

static enum wf_scalar_error fuzz_decimal(struct wf_span s) {
    struct wf_span text;
    enum wf_scalar_error e = wf_scalar_decimal(s, &text);
    require(s.n == 0 || (text.p >= s.p && text.p + text.n <= s.p + s.n));
    return e;
}

typedef uint8_t uuid_bytes[16];

/* Reads, writes, reads again. */
#define FUZZ(kind, type, pass, pass_again, check, same)                                            \
    static enum wf_scalar_error fuzz_##kind(struct wf_span s) {                                    \
        type v, again;                                                                             \
        char out[WF_SCALAR_TEXT_MAX];                                                              \
        enum wf_scalar_error e = wf_scalar_##kind(s, pass);                                        \
        if (e == WF_SCALAR_OK) {                                                                   \
            check;                                                                                 \
            size_t n = wf_##kind##_write(out, pass);                                               \
            require(n <= sizeof(out));                                                             \
            require(wf_scalar_##kind(wf_span(out, n), pass_again) == WF_SCALAR_OK);                \
            require(same);                                                                         \
        }                                                                                          \
        return e;                                                                                  \
    }

static bool same_date(const struct wf_date *a, const struct wf_date *b) {
    return a->year == b->year && a->month == b->month && a->day == b->day;
}

static bool same_time(const struct wf_time *a, const struct wf_time *b) {
    return a->hour == b->hour && a->minute == b->minute && a->second == b->second &&
           a->microsecond == b->microsecond && a->has_offset == b->has_offset &&
           a->offset_s == b->offset_s;
}

static bool same_timedelta(const struct wf_timedelta *a, const struct wf_timedelta *b) {
    return a->days == b->days && a->seconds == b->seconds &&
           llabs((long long)a->microseconds - b->microseconds) <= 1; /* a fraction read as double */
}

FUZZ(uuid, uuid_bytes, v, again, (void)0, memcmp(v, again, sizeof(v)) == 0)
FUZZ(date, struct wf_date, &v, &again, check_date(&v), same_date(&v, &again))
FUZZ(time, struct wf_time, &v, &again, check_time(&v), same_time(&v, &again))
FUZZ(datetime, struct wf_datetime, &v, &again, (check_date(&v.date), check_time(&v.time)),
     same_date(&v.date, &again.date) && same_time(&v.time, &again.time))
FUZZ(timedelta, struct wf_timedelta, &v, &again, check_timedelta(&v), same_timedelta(&v, &again))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static enum wf_scalar_error (*const readers[])(struct wf_span s) = {
        fuzz_int,  fuzz_float, fuzz_bool,     fuzz_decimal,   fuzz_uuid,
        fuzz_date, fuzz_time,  fuzz_datetime, fuzz_timedelta,
    };
    if (size == 0) {
        return 0;
    }
    struct wf_span s = wf_span(data + 1, size - 1);
    enum wf_scalar_error e = readers[data[0] % (sizeof(readers) / sizeof(readers[0]))](s);
    if (e != WF_SCALAR_OK) {
        char message[WF_SCALAR_MESSAGE_MAX];
        struct wf_span detail;
        size_t n = wf_scalar_error_message(e, s, message, &detail);
        require(n > 0 && n <= sizeof(message) && detail.p + detail.n == message + n);
        require(wf_scalar_error_type(e)[0] != '\0');
    }
    return 0;
}
