/* The memory that longer files of all forms share: who finds none left stores the file on disk. Only what is longer than
 * WF_FORM_SPOOL_BYTES is counted, and from then on until nobody has the content any more.
 *
 * thread   any, also several: contents may be freed by another one than reads the forms */
#ifndef WF_SERVE_FORM_MEMORY_H
#define WF_SERVE_FORM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WF_FORM_FILE_MEMORY_MAX = 16 * 1024 * 1024,  /* of one file: a longer one goes to disk */
    WF_FORM_SHARED_MEMORY_MAX = 64 * 1024 * 1024 /* of all: some of them at once, on a small host */
};

struct wf_form_memory;

struct wf_form_memory *wf_form_memory_new(uint64_t bytes); /* with one reference; NULL: no memory */
struct wf_form_memory *wf_form_memory_ref(struct wf_form_memory *m);
void wf_form_memory_unref(struct wf_form_memory *m); /* NULL is fine */

/* false: so much is not left, and nothing is claimed. */
bool wf_form_memory_claim(struct wf_form_memory *m, uint64_t bytes);
void wf_form_memory_release(struct wf_form_memory *m, uint64_t bytes);
/* The n bytes at p, which nobody has touched, are about to be filled. */
void wf_form_memory_advise(char *p, size_t n);

#endif
