/* The memory that longer files of all forms share: who finds none left stores the file on disk. Only what is longer than
 * WF_FORM_SPOOL_BYTES is counted, and from then on until nobody has the content any more.
 *
 * A file lies in a block: address space for the longest there may be, of which only what is written takes memory. A few
 * blocks are kept for the next files, as getting pages from the kernel costs as much as copying into them; meanwhile the
 * kernel may take their pages back.
 *
 * thread   any, also several: contents may be freed by another one than reads the forms */
#ifndef WF_SERVE_FORM_MEMORY_H
#define WF_SERVE_FORM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WF_FORM_FILE_MEMORY_MAX = 16 * 1024 * 1024, /* of one file: a longer one goes to disk */
    WF_FORM_SHARED_MEMORY_MAX =
        64 * 1024 * 1024,   /* of all: some of them at once, on a small host */
    WF_FORM_BLOCKS_KEPT = 2 /* more than two long uploads at the same moment are rare */
};

struct wf_form_memory;

struct wf_form_memory *wf_form_memory_new(uint64_t bytes); /* with one reference; NULL: no memory */
struct wf_form_memory *wf_form_memory_ref(struct wf_form_memory *m);
void wf_form_memory_unref(struct wf_form_memory *m); /* NULL is fine */

/* false: so much is not left, and nothing is claimed. */
bool wf_form_memory_claim(struct wf_form_memory *m, uint64_t bytes);
void wf_form_memory_release(struct wf_form_memory *m, uint64_t bytes);

/* A block of WF_FORM_FILE_MEMORY_MAX bytes, for who has claimed some; what is in it is anybody's old content.
 * bytes    how many of them are about to be filled
 * returns  owned, or NULL: no memory */
char *wf_form_memory_take(struct wf_form_memory *m, size_t bytes);
void wf_form_memory_give(struct wf_form_memory *m, char *block);

#endif
