/* A request's body in content codings (RFC 9110 section 8.4), on its way to who reads it.
 *
 *   body bytes ─▶ wf_body_decode ─▶ the body as it was, within the route's limit
 *
 * The limit holds for all: what is sent, and what it becomes in each step. So a bomb costs no more memory than
 * any other body, and is refused like one that is too large.
 * thread   the loop's; no Python */
#ifndef WF_SERVE_BODY_CODING_H
#define WF_SERVE_BODY_CODING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "wire/encoding/encoding.h"

enum {
    WF_BODY_PIECE_BYTES = 16 * 1024, /* decoded at once; more waits inside the decoder */
    WF_BODY_CODINGS_MAX =
        2 /* of one body. Nobody gains by more, and each is a decoder's memory and a bomb's
                               factor of time; more are a 415 */
};

struct wf_body_coding {
    struct wf_decoder *decoder; /* owned */
    struct wf_body_coding
        *outer;                /* owned: undone before this one, as it was applied after; or NULL */
    struct wf_span between;    /* what `outer` has given, in its piece, and not yet been used */
    uint64_t bytes, bytes_max; /* come out so far, and allowed */
    bool room;                 /* its decoder has more to give for what it got */
    bool whole;                /* its stream may end here */
    struct wf_buf content;     /* BUFFER: all of it so far */
    char piece[WF_BODY_PIECE_BYTES];
};

/* codings  in the order in which they were applied, n of them, each available
 * returns  NULL: no memory */
struct wf_body_coding *wf_body_coding_new(const enum wf_coding *codings, unsigned n,
                                          uint64_t bytes_max);
void wf_body_coding_free(struct wf_body_coding *b);

enum wf_body_coded {
    WF_BODY_CODED_MORE, /* a piece, perhaps empty: call again with more input (also with none, where
                            there is more to be had) */
    WF_BODY_CODED_OVER, /* past bytes_max: 413 */
    WF_BODY_CODED_BAD,  /* 400 */
    WF_BODY_CODED_NOMEM, /* 503 */
};
/* The next piece of it, in b->piece until the next call. What is used is taken off the front of `in`. */
enum wf_body_coded wf_body_decode(struct wf_body_coding *b, struct wf_span *in,
                                  struct wf_span *piece);

#endif
