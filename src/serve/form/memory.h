/* The memory that longer files of all forms share: who finds none left stores the file on disk. Only what is longer than
 * WF_FORM_SPOOL_BYTES, or may become so, is counted, until nobody has the content any more.
 *
 * The blocks that files lie in are the embedder's, so that a file can be read from its socket to where it is to stay.
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

/* Makes, resizes and frees blocks. Called by who feeds or frees a form, on its thread.
 * data     as it was given
 * block    owned, or NULL: a new one is wanted
 * bytes    that it is to have, or 0: it is freed
 * returns  owned, with its content, perhaps elsewhere; NULL: freed, or no memory, and then the block is gone too */
typedef char *wf_form_resize_fn(void *data, char *block, size_t bytes);

struct wf_form_memory;

/* With one reference; NULL: no memory. */
struct wf_form_memory *wf_form_memory_new(uint64_t bytes, wf_form_resize_fn *resize, void *data);
struct wf_form_memory *wf_form_memory_ref(struct wf_form_memory *m);
void wf_form_memory_unref(struct wf_form_memory *m); /* NULL is fine */

/* false: so much is not left, and nothing is claimed. */
bool wf_form_memory_claim(struct wf_form_memory *m, uint64_t bytes);
void wf_form_memory_release(struct wf_form_memory *m, uint64_t bytes);

/* As wf_form_resize_fn, for who has claimed as much. */
char *wf_form_memory_resize(struct wf_form_memory *m, char *block, size_t bytes);

#endif
