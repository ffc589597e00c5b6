/* Strings of code points in 1, 2 or 4 bytes each, as CPython keeps them, of UTF-8 and back.
 * thread   any */
#ifndef WF_BASE_UCS_H
#define WF_BASE_UCS_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Writes the code points of s, which wf_utf8_check has taken.
 * out    room for as many as it counted, `width` bytes each: 1 up to U+00FF, 2 up to U+FFFF, else 4 */
void wf_ucs_from_utf8(void *out, unsigned width, struct wf_span s);

/* The UTF-8 of n code points.
 * out      room for 2 bytes of each where width is 1, else 3 or 4: `width + 1`, but 4 where it is 4
 * returns  the bytes written, or SIZE_MAX where there is a surrogate, which has no UTF-8 */
size_t wf_ucs_to_utf8(char *out, const void *in, size_t n, unsigned width);

static inline size_t wf_ucs_utf8_max(size_t n, unsigned width) {
    return n * (width == 4 ? 4 : width + 1);
}

#endif
