/* Static files: what a leaf answers from a directory, without the embedder.
 *
 *   path ─▶ normal form ─▶ opened beneath a directory ─▶ file, or its variant ─▶ conditions, ranges, sendfile
 *             │ "..", NUL       │ symlink out of it: 404     └ directory: index.html, or a slash first
 *             └ 404, or 404.html
 *
 * As Starlette's StaticFiles answers, but for what docs/adr/0021 says.
 * thread   the loop's; no Python */
#ifndef WF_SERVE_STATIC_H
#define WF_SERVE_STATIC_H

#include "serve/exchange.h"

/* By the end of a name. */
struct wf_media_type {
    struct wf_span suffix; /* in lower case, without the dot */
    struct wf_span
        type; /* as in content-type; empty: the suffix of an encoding ("gz"), the one before it counts */
};

/* The type of a file's name (without directories); application/octet-stream where none is known.
 * types  sorted by suffix as memcmp sorts, the shorter first */
struct wf_span wf_media_type_of(const struct wf_media_type *types, size_t n, struct wf_span name);

struct wf_static_config {
    const char *const *directories; /* looked in one after another */
    size_t ndirectories;
    const struct wf_media_type *types;
    size_t ntypes;
    bool html; /* a directory is its index.html; what is not there is 404.html, where that is */
    bool follow_symlink; /* also out of the directory */
    bool
        precompressed; /* "name.br", "name.zst" or "name.gz" instead of "name", for who accepts it */
};

enum {
    WF_STATIC_PATH_MAX = 4096, /* PATH_MAX: no file has a longer one */
    WF_STATIC_FRESH_MS = 1000  /* a directory that was replaced is noticed after so long */
};

struct wf_static;
/* config  copied; what it points to is borrowed for life. NULL: no memory */
struct wf_static *wf_static_new(const struct wf_static_config *config);
void wf_static_free(struct wf_static *s);

enum wf_static_result {
    WF_STATIC_FOUND,
    WF_STATIC_NOT_FOUND,
    WF_STATIC_SLASH,      /* a directory with an index.html: its URL ends with a slash */
    WF_STATIC_UNREADABLE, /* permission denied */
    WF_STATIC_FAILED      /* no descriptors, no memory, a broken disk */
};

struct wf_static_found {
    struct wf_file file;     /* the caller's; open only if FOUND */
    int status;              /* 200, or 404 with 404.html */
    struct wf_span type;     /* content-type */
    struct wf_span encoding; /* content-encoding, or empty */
    bool vary;               /* it depends on accept-encoding */
};
/* path  beneath the directory, decoded; may hold anything
 * accept_encoding  as in the request, or empty
 * now_ns  the loop's time */
enum wf_static_result wf_static_find(struct wf_static *s, struct wf_span path,
                                     struct wf_span accept_encoding, uint64_t now_ns,
                                     struct wf_static_found *out);

/* wf_leaf.answer; arg is a struct wf_static. The path is the leaf's last parameter. */
bool wf_static_answer(void *arg, struct wf_exchange *ex);

#endif
