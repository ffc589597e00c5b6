/* UTF-8 (RFC 3629): no surrogates, no overlong forms, nothing past U+10FFFF.
 * thread   any */
#ifndef WF_BASE_UTF8_H
#define WF_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* How many leading bytes are ASCII. */
size_t wf_ascii_prefix(const char *p, size_t n);

/* Checks all of s.
 * chars     out: code points
 * max_char  out: an upper bound of the largest one in the classes CPython's strings have: 0x7f, 0xff,
 *           0xffff or 0x10ffff
 * returns   false where it is not UTF-8 (outputs are then undefined) */
bool wf_utf8_check(struct wf_span s, size_t *chars, uint32_t *max_char);

static inline bool wf_utf8_valid(struct wf_span s) {
    size_t chars;
    uint32_t max_char;
    return wf_utf8_check(s, &chars, &max_char);
}

#endif
