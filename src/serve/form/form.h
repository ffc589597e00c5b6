/* A submitted form, read as it arrives: multipart/form-data (RFC 7578) or application/x-www-form-urlencoded.
 *
 *   body bytes ─▶ wf_form_feed ─▶ wire/mime ─▶ items: fields in memory,
 *                                               files in memory while small, else in temporary files
 *
 * Nothing holds the body as a whole. What is wrong with it is remembered, and the rest of it ignored.
 *
 * thread   one at a time; no Python. A large file is written to disk (to the page cache, as a rule) on
 *          the calling thread. */
#ifndef WF_SERVE_FORM_H
#define WF_SERVE_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "serve/form/memory.h"
#include "wire/mime/mime.h"

/* name, default, reason: as in Starlette */
#define WF_FORM_LIMITS(X)                                                                          \
    X(files_max, 1000, "each costs an object, and perhaps a descriptor (400)")                     \
    X(fields_max, 1000, "each costs an object (400)")                                              \
    X(field_bytes_max, 1024 * 1024, "a field is held in memory (400)")

struct wf_form_config {
#define X(name, value, why) uint64_t name;
    WF_FORM_LIMITS(X)
#undef X
    const char
        *spool_dir; /* where temporary files are made: "/tmp". Borrowed for the form's life */
    struct wf_form_memory *
        memory; /* for files that may be longer than WF_FORM_SPOOL_BYTES; NULL: none. Borrowed for the form's life */
};
void wf_form_config_default(struct wf_form_config *c);

enum {
    WF_FORM_SPOOL_BYTES =
        1024 * 1024, /* a longer file needs shared memory, or goes to disk: as all of Starlette's */
    /* Of files together; then those of WF_FORM_SPOOL_FULL_BYTES go to disk. Not smaller ones: a
     * descriptor each would be a cheap way to use up the process's. */
    WF_FORM_MEMORY_MAX = 16 * 1024 * 1024,
    WF_FORM_SPOOL_FULL_BYTES = 64 * 1024,
    WF_FORM_TEXT_MAX =
        64 * 1024 * 1024 /* fields and names together, whatever the body's limit (413) */
};

struct wf_form_item {
    struct wf_span name;     /* undecoded: see wf_form.urlencoded and charset */
    struct wf_span filename; /* of a file; may be empty */
    struct wf_span value;    /* the content, unless it is in `fd`; a block where it is claimed */
    struct wf_mime_field
        *fields; /* of a multipart part, in order; all spans live as long as the form */
    uint16_t nfields;
    bool is_file;
    int fd;           /* owned: a temporary file without a name, at its end; -1: it is in `value` */
    uint64_t size;    /* of the content */
    uint64_t claimed; /* of the shared memory: as much as its block has */
};

struct wf_form {
    struct wf_form_item *items; /* in the order they came */
    uint32_t nitems;
    bool urlencoded;  /* names and values are UTF-8, perhaps invalid; else in `charset` */
    int status;       /* 0, or what to answer: 400, 413, 500 (no memory), 503, 507 */
    char why[96];     /* a sentence, when status is not 0 */
    int error;        /* errno, where that is because a file could not be stored; else 0 */
    char charset[32]; /* of multipart's content-type, in lower case; "utf-8" where none is said */
    /* the rest is form.c's */
    struct wf_form_state *state;
};

/* content_type  of the request; decides how it is read. Of any other type the form is empty, whatever
 *               the body is, as in Starlette
 * returns       NULL without memory. A type without a boundary is a form with a status. */
struct wf_form *wf_form_new(struct wf_span content_type, const struct wf_form_config *config);
/* How long the body will be, where that is known: before the first of it. */
void wf_form_expect(struct wf_form *f, uint64_t bytes);
/* Bytes of the body, in order. */
void wf_form_feed(struct wf_form *f, struct wf_span bytes);
/* Where the next bytes of the body may be put before they are fed from there, as what is content of a long file need not
 * be copied then. Good until the next feed.
 * bytes    out: how many at most
 * returns  NULL: nowhere */
char *wf_form_place(const struct wf_form *f, size_t *bytes);
/* The body has ended: a truncated one is found out here. */
void wf_form_finish(struct wf_form *f);
/* Closes the files that are still its own. NULL is fine. */
void wf_form_free(struct wf_form *f);

/* Hands an item's file over: its descriptor, rewound, is the caller's now. -1: it has none. */
int wf_form_take_file(struct wf_form_item *item);
/* Hands over content in shared memory: *content is a block of the caller's now, and the result what is to be released
 * once that is freed. 0: it is in none. */
uint64_t wf_form_take_content(struct wf_form_item *item, struct wf_span *content);

#endif
