/* Content codings (RFC 9110 section 8.4.1): gzip (RFC 1952), br (RFC 7932) and zstd (RFC 8878), as streams.
 *
 * The libraries do the work; which of them there are is decided when weft is built.
 *
 * memory   what a library allocates comes from base/alloc.h, but for libzstd, which offers no stable way to
 *          say so. Running out of it is a result, never an abort
 * thread   any, one call at a time per object; no Python */
#ifndef WF_WIRE_ENCODING_H
#define WF_WIRE_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum wf_coding {
    WF_CODING_IDENTITY,
    WF_CODING_GZIP,
    WF_CODING_BR,
    WF_CODING_ZSTD,
    WF_CODING_COUNT /* also: a name that is none of these */
};

enum {
    /* What a decoder may be made to remember. RFC 9659 allows senders no more than 8 MiB with zstd; brotli's
     * own most is 16 MiB, gzip's 32 KiB. */
    WF_ZSTD_WINDOW_LOG_MAX = 23,
    /* What our encoders remember, 512 KiB: a reply rarely repeats itself from further away, and every
     * compressed stream under way holds that much. */
    WF_ENCODE_WINDOW_LOG = 19
};

/* Case-insensitive; "x-gzip" is gzip (RFC 9110 section 8.4.1.3). COUNT for what is none. */
enum wf_coding wf_coding_of(struct wf_span token);
struct wf_span wf_coding_name(enum wf_coding coding); /* "" for COUNT */
/* Was its library there when weft was built? Always true of identity. */
bool wf_coding_available(enum wf_coding coding);
/* The levels it takes, from fast to small; *normal is what its authors suggest for contents made on the fly.
 * Zeros for identity, and where it is not available. */
void wf_coding_levels(enum wf_coding coding, int *lowest, int *highest, int *normal);

/* ---- encoding ---- */

struct wf_encoder;

enum wf_encode_how {
    WF_ENCODE_MORE,  /* more will come: output may wait inside */
    WF_ENCODE_FLUSH, /* all that was given can be decoded from what has come out */
    WF_ENCODE_END    /* that was all: the stream is complete */
};

/* level  as wf_coding_levels says; what is beyond counts as the nearest. NULL: no memory, or not available */
struct wf_encoder *wf_encoder_new(enum wf_coding coding, int level);
void wf_encoder_free(struct wf_encoder *e); /* NULL is harmless */
/* The stream, not yet begun, will have so many bytes: br uses larger tables for a long one, as it does by itself where
 * all of it is given at once. A hint, good until the reset. */
void wf_encoder_expect(struct wf_encoder *e, uint64_t bytes);
/* Appends to `out`. Returns WF_BUF_OK, or WF_BUF_NOMEM or WF_BUF_FULL: then the stream is broken, and only
 * wf_encoder_reset or _free may follow. */
int wf_encode(struct wf_encoder *e, struct wf_span in, enum wf_encode_how how,
              struct wf_buf *out) WF_MUST_USE;
/* Begins a new stream; cheaper than a new encoder. false: no memory, and only _free may follow. */
bool wf_encoder_reset(struct wf_encoder *e) WF_MUST_USE;

/* ---- decoding ---- */

struct wf_decoder;

enum wf_decoded {
    WF_DECODED_MORE, /* all input is used, and its stream goes on */
    WF_DECODED_END, /* all input is used, and could end here. (More gzip members or zstd frames may follow:
                         they are one content.) */
    WF_DECODED_ROOM, /* `out` is full: call again, with what is left of the input, even if that is nothing */
    WF_DECODED_BAD,   /* no such stream, or something behind its end */
    WF_DECODED_NOMEM, /* after these two only wf_decoder_free may follow */
};

struct wf_decoder *wf_decoder_new(enum wf_coding coding); /* NULL: no memory, or not available */
void wf_decoder_free(struct wf_decoder *d);               /* NULL is harmless */
/* in   what is used is taken off its front
 * n    in: room at `out`, at least 1; out: bytes put there, also with BAD and NOMEM
 * Never more comes out than there is room for: a limit is the caller's count. */
enum wf_decoded wf_decode(struct wf_decoder *d, struct wf_span *in, char *out, size_t *n);

#endif
