/* What field values mean: ranges, entity tags, dates, content negotiation (RFC 9110).
 * thread   any; no allocation; no Python */
#ifndef WF_WIRE_HEADERS_H
#define WF_WIRE_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* ---- Range (RFC 9110 section 14), as Starlette's FileResponse reads it ---- */

enum {
    WF_RANGES_MAX = 100 /* asked for in one field: more is a flood, and the whole is sent instead */
};

struct wf_range {
    uint64_t start, end; /* end is the first byte behind it */
};

enum wf_range_result {
    WF_RANGE_NONE = 0,           /* send the whole */
    WF_RANGE_BAD = -1,           /* 400: no "unit=" */
    WF_RANGE_UNSATISFIABLE = -2, /* 416 */
    WF_RANGE_EMPTY = -3,         /* 400: starts behind its own end */
    WF_RANGE_UNIT = -4,          /* 400: not of bytes */
    WF_RANGE_MISSING = -5        /* 400: no part is a range */
};
/* Returns how many ranges there are, sorted and without overlaps where there are several, or one of the
 * above. Parts that are no ranges are skipped. */
int wf_range_parse(struct wf_span value, uint64_t size, struct wf_range out[WF_RANGES_MAX]);

/* ---- conditions (RFC 9110 section 13) ---- */

/* Does a list of entity tags (If-None-Match) have this one, compared weakly? "*" has every one. */
bool wf_etag_in(struct wf_span list, struct wf_span etag);
/* The same compared strongly (If-Match): weak tags match nothing. */
bool wf_etag_matches(struct wf_span list, struct wf_span etag);

enum { WF_HTTP_DATE_CHARS = 29 }; /* "Sun, 06 Nov 1994 08:49:37 GMT" */
/* Seconds since the epoch of an IMF-fixdate, RFC 850 or asctime date; -1 for what is none. */
int64_t wf_http_date_parse(struct wf_span s);
void wf_http_date_write(char out[WF_HTTP_DATE_CHARS], int64_t epoch_s);

/* ---- content negotiation (RFC 9110 section 12.5) ---- */

/* The weight, in thousandths, that a list such as Accept-Encoding gives a token in lower case: its own, else
 * that of "*", else 0. A malformed weight is 0. Without a field nothing is accepted: the caller's case. */
unsigned wf_accept_weight(struct wf_span list, struct wf_span lower);

/* ---- lists (RFC 9110 section 5.6.1) ---- */

/* The next item of a comma-separated list, trimmed, taken off its front; it may be empty. A quoted comma is part
 * of its item. False: there is none. */
bool wf_list_next(struct wf_span *list, struct wf_span *item);

/* Is the token (in lower case) an item of a comma-separated list? Parameters of items do not count. */
bool wf_list_has(struct wf_span list, struct wf_span lower);

#endif
