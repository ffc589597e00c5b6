/* A regular expression that origins are matched with, by PCRE2: compiled once, and without the GIL.
 *
 * Without PCRE2 when weft was built there are none: wf_origin_new says so.
 * thread   the loop's */
#ifndef WF_SERVE_ORIGIN_H
#define WF_SERVE_ORIGIN_H

#include <stdbool.h>

#include "base/span.h"

struct wf_origin;

enum { WF_ORIGIN_WHY_CHARS = 160 };
/* Latin-1, as Python's re would have it. NULL: no memory, or what is wrong is in `why`, which is "" else. */
struct wf_origin *wf_origin_new(struct wf_span pattern, char why[WF_ORIGIN_WHY_CHARS]);
void wf_origin_free(struct wf_origin *o); /* NULL is harmless */
/* Does the whole of it match? What takes too long to find out does not. */
bool wf_origin_matches(struct wf_origin *o, struct wf_span origin);

#endif
