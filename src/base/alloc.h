/* Every allocation below src/py goes through here, so that tests can make the nth one fail.
 *
 * thread   any (the failure counter is for single-threaded tests only)
 * failure  NULL, with nothing changed; callers treat it as an error path */
#ifndef WF_BASE_ALLOC_H
#define WF_BASE_ALLOC_H

#include <stddef.h>

#include "base/check.h"

void *wf_malloc(size_t n) WF_MUST_USE;
void *wf_calloc(size_t count, size_t size) WF_MUST_USE;
void *wf_realloc(void *p, size_t n) WF_MUST_USE; /* on failure `p` is still good */
void wf_free(void *p);

/* For tests: the nth allocation from now (1 is the next) and every later one fails; 0 stops that.
 * Compiled in always (one predictable branch), so that release builds are what is tested. */
void wf_alloc_fail_from(unsigned long nth);

#endif
