/* Range (RFC 9110 section 14). */
#include <stdlib.h>

#include "base/check.h"
#include "wire/headers/headers.h"

static struct wf_span trim(struct wf_span s) {
    while (s.n != 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s = wf_span(s.p + 1, s.n - 1);
    }
    while (s.n != 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) {
        s.n--;
    }
    return s;
}

/* Takes what is before the next `at` off the front; the rest is behind it. */
static struct wf_span split(struct wf_span *s, char at) {
    const char *p = s->n != 0 ? memchr(s->p, at, s->n) : NULL;
    struct wf_span first = wf_span(s->p, p != NULL ? (size_t)(p - s->p) : s->n);
    *s = p != NULL ? wf_span(p + 1, s->n - first.n - 1) : wf_span(NULL, 0);
    return first;
}

/* Saturates: what is past any file is past any file. */
static bool number(struct wf_span s, uint64_t *out) {
    *out = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned char)s.p[i] - '0';
        if (digit > 9) {
            return false;
        }
        *out = *out > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *out * 10 + digit;
    }
    return s.n != 0;
}

/* "first-last", "first-" or "-suffix". */
static bool parse_one(struct wf_span part, uint64_t size, struct wf_range *out) {
    part = trim(part);
    if (part.n == 0 || memchr(part.p, '-', part.n) == NULL) {
        return false;
    }
    struct wf_span first = trim(split(&part, '-')), last = trim(part);
    uint64_t n;
    if (first.n == 0) {
        if (!number(last, &n)) {
            return false;
        }
        *out = (struct wf_range){n < size ? size - n : 0, size};
        return true;
    }
    if (!number(first, &out->start)) {
        return false;
    }
    out->end = size;
    if (last.n != 0) {
        if (!number(last, &n)) {
            return false;
        }
        out->end = n < size ? n + 1 : size;
    }
    return true;
}

static int by_start(const void *a, const void *b) {
    const struct wf_range *x = a, *y = b;
    return x->start != y->start ? (x->start < y->start ? -1 : 1)
                                : (x->end > y->end) - (x->end < y->end);
}

static int merge(struct wf_range *ranges, int n) {
    qsort(ranges, (size_t)n, sizeof(*ranges), by_start);
    int last = 0;
    for (int i = 1; i < n; i++) {
        if (ranges[i].start <= ranges[last].end) {
            ranges[last].end = WF_MAX(ranges[last].end, ranges[i].end);
        } else {
            ranges[++last] = ranges[i];
        }
    }
    return last + 1;
}

int wf_range_parse(struct wf_span value, uint64_t size, struct wf_range out[WF_RANGES_MAX]) {
    if (value.n == 0 || memchr(value.p, '=', value.n) == NULL) {
        return WF_RANGE_BAD;
    }
    if (!wf_span_eq_lower(trim(split(&value, '=')), WF_SPAN("bytes"))) {
        return WF_RANGE_UNIT;
    }
    size_t parts = 1;
    for (size_t i = 0; i < value.n; i++) {
        parts += value.p[i] == ',';
    }
    if (parts > WF_RANGES_MAX) {
        return WF_RANGE_NONE;
    }
    int n = 0;
    for (size_t i = 0; i < parts; i++) {
        n += parse_one(split(&value, ','), size, &out[n]);
    }
    if (n == 0) {
        return WF_RANGE_MISSING;
    }
    for (int i = 0; i < n; i++) {
        if (out[i].start >= size) {
            return WF_RANGE_UNSATISFIABLE;
        }
    }
    for (int i = 0; i < n; i++) {
        if (out[i].start >= out[i].end) {
            return WF_RANGE_EMPTY;
        }
    }
    return n == 1 ? 1 : merge(out, n);
}
