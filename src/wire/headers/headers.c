/* Entity tags, dates and weighted lists. */
#include "wire/headers/headers.h"

#include <time.h>

static struct wf_span trim(struct wf_span s) {
    while (s.n != 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s = wf_span(s.p + 1, s.n - 1);
    }
    while (s.n != 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) {
        s.n--;
    }
    return s;
}

bool wf_list_next(struct wf_span *list, struct wf_span *item) {
    if (list->n == 0) {
        return false;
    }
    size_t n = 0;
    for (bool quoted = false; n < list->n && (quoted || list->p[n] != ','); n++) {
        quoted ^= list->p[n] == '"';
    }
    *item = trim(wf_span(list->p, n));
    n += n < list->n;
    *list = wf_span(list->p + n, list->n - n);
    return true;
}

/* ---- entity tags ---- */

static struct wf_span strong(struct wf_span etag) {
    return etag.n >= 2 && etag.p[0] == 'W' && etag.p[1] == '/' ? wf_span(etag.p + 2, etag.n - 2)
                                                               : etag;
}

bool wf_etag_in(struct wf_span list, struct wf_span etag) {
    struct wf_span item;
    etag = strong(etag);
    if (wf_span_eq(trim(list), WF_SPAN("*"))) {
        return true;
    }
    while (wf_list_next(&list, &item)) {
        if (wf_span_eq(strong(item), etag)) {
            return true;
        }
    }
    return false;
}

bool wf_etag_matches(struct wf_span list, struct wf_span etag) {
    struct wf_span item;
    if (wf_span_eq(trim(list), WF_SPAN("*"))) {
        return true;
    }
    bool weak = strong(etag).p != etag.p;
    while (!weak && wf_list_next(&list, &item)) {
        if (wf_span_eq(item, etag)) {
            return true;
        }
    }
    return false;
}

/* ---- dates (RFC 9110 section 5.6.7) ---- */

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static int64_t days_from_civil(int64_t y, int m, int d) { /* the proleptic Gregorian calendar */
    y -= m <= 2;
    int64_t era = y / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* The formats differ in their order only: each is read as words. */
struct words {
    struct wf_span rest;
};

static struct wf_span word(struct words *w) {
    while (w->rest.n != 0 && strchr(" ,-", w->rest.p[0]) != NULL && w->rest.p[0] != '\0') {
        w->rest = wf_span(w->rest.p + 1, w->rest.n - 1);
    }
    size_t n = 0;
    while (n < w->rest.n && (w->rest.p[n] == '\0' || strchr(" ,-", w->rest.p[n]) == NULL)) {
        n++;
    }
    struct wf_span s = wf_span(w->rest.p, n);
    w->rest = wf_span(w->rest.p + n, w->rest.n - n);
    return s;
}

static int number(struct wf_span s, size_t digits_max) {
    int n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return -1;
        }
        n = n * 10 + (s.p[i] - '0');
        if (i >= digits_max) {
            return -1;
        }
    }
    return s.n != 0 ? n : -1;
}

static int month_of(struct wf_span s) {
    for (int m = 0; s.n == 3 && m < 12; m++) {
        if (memcmp(s.p, months + (size_t)m * 3, 3) == 0) {
            return m + 1;
        }
    }
    return 0;
}

/* "08:49:37" to seconds of the day, or -1. */
static int time_of(struct wf_span s) {
    if (s.n != 8 || s.p[2] != ':' || s.p[5] != ':') {
        return -1;
    }
    int h = number(wf_span(s.p, 2), 2), m = number(wf_span(s.p + 3, 2), 2),
        sec = number(wf_span(s.p + 6, 2), 2);
    return h < 0 || h > 23 || m < 0 || m > 59 || sec < 0 || sec > 60 ? -1 : h * 3600 + m * 60 + sec;
}

int64_t wf_http_date_parse(struct wf_span s) {
    struct words w = {s};
    struct wf_span first = word(&w), a = word(&w), b = word(&w), c = word(&w), d = word(&w);
    bool asctime = month_of(a) != 0; /* "Sun Nov  6 08:49:37 1994" */
    struct wf_span day = asctime ? b : a, month = asctime ? a : b, year = asctime ? d : c,
                   time = asctime ? c : d;
    int dd = number(day, 2), mm = month_of(month), yy = number(year, 4), sec = time_of(time);
    if (first.n < 3 || dd < 1 || dd > 31 || mm == 0 || yy < 0 || sec < 0) {
        return -1;
    }
    if (year.n == 2) { /* RFC 850: what would be far in the future was in the last century */
        yy += yy < 70 ? 2000 : 1900;
    }
    return yy < 1970 ? -1 : days_from_civil(yy, mm, dd) * 86400 + sec;
}

static void put2(char *at, int n) {
    at[0] = (char)('0' + n / 10 % 10);
    at[1] = (char)('0' + n % 10);
}

void wf_http_date_write(char out[WF_HTTP_DATE_CHARS], int64_t epoch_s) {
    time_t t = (time_t)epoch_s;
    struct tm tm;
    gmtime_r(&t, &tm);
    memcpy(out, "Sun, 06 Nov 1994 08:49:37 GMT", WF_HTTP_DATE_CHARS);
    memcpy(out, days + (size_t)tm.tm_wday * 3, 3);
    put2(out + 5, tm.tm_mday);
    memcpy(out + 8, months + (size_t)tm.tm_mon * 3, 3);
    put2(out + 12, (tm.tm_year + 1900) / 100);
    put2(out + 14, (tm.tm_year + 1900) % 100);
    put2(out + 17, tm.tm_hour);
    put2(out + 20, tm.tm_min);
    put2(out + 23, tm.tm_sec);
}

/* ---- negotiation ---- */

/* "0.25" to 250; up to three decimals, nothing above 1. */
static unsigned weight(struct wf_span s) {
    if (s.n == 0 || s.n > 5 || (s.p[0] != '0' && s.p[0] != '1') || (s.n > 1 && s.p[1] != '.')) {
        return 0;
    }
    unsigned w = s.p[0] == '1' ? 1000 : 0, unit = 100;
    for (size_t i = 2; i < s.n; i++, unit /= 10) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return 0;
        }
        w += unit * (unsigned)(s.p[i] - '0');
    }
    return w > 1000 ? 0 : w;
}

/* The token in front of the first ';', and the weight of its q parameter. */
static struct wf_span token_of(struct wf_span item, unsigned *w) {
    const char *end = item.n != 0 ? memchr(item.p, ';', item.n) : NULL;
    struct wf_span token = trim(wf_span(item.p, end != NULL ? (size_t)(end - item.p) : item.n));
    *w = 1000;
    while (end != NULL) {
        struct wf_span rest = wf_span(end + 1, item.n - (size_t)(end + 1 - item.p));
        end = rest.n != 0 ? memchr(rest.p, ';', rest.n) : NULL;
        struct wf_span p = trim(wf_span(rest.p, end != NULL ? (size_t)(end - rest.p) : rest.n));
        if (p.n >= 2 && (p.p[0] | 0x20) == 'q' && p.p[1] == '=') {
            *w = weight(wf_span(p.p + 2, p.n - 2));
        }
    }
    return token;
}

unsigned wf_accept_weight(struct wf_span list, struct wf_span lower) {
    struct wf_span item;
    unsigned any = 0, w;
    while (wf_list_next(&list, &item)) {
        struct wf_span token = token_of(item, &w);
        if (wf_span_eq_lower(token, lower)) {
            return w;
        }
        any = wf_span_eq(token, WF_SPAN("*")) ? w : any;
    }
    return any;
}

bool wf_list_has(struct wf_span list, struct wf_span lower) {
    struct wf_span item;
    unsigned w;
    while (wf_list_next(&list, &item)) {
        if (wf_span_eq_lower(token_of(item, &w), lower)) {
            return true;
        }
    }
    return false;
}
