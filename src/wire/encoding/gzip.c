/* gzip (RFC 1952) by zlib. */
#include <zlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "wire/encoding/encoding_int.h"

enum {
    GZIP_WINDOW = 15 + 16, /* 32 KiB, with gzip's head and check sum */
    MEMORY_LEVEL = 8,      /* zlib's own default */
    PIECE_BYTES = 1 << 30  /* zlib counts in 32 bits */
};

static voidpf allocate(voidpf opaque, uInt items, uInt size) {
    (void)opaque;
    return wf_calloc(items, size);
}

static void release(voidpf opaque, voidpf p) {
    (void)opaque;
    wf_free(p);
}

/* ---- encoding ---- */

struct gzip_encoder {
    struct wf_encoder e;
    z_stream z;
};

static struct wf_encoder *encoder_new(int level) {
    struct gzip_encoder *g = wf_calloc(1, sizeof(*g));
    if (g == NULL) {
        return NULL;
    }
    g->z.zalloc = allocate;
    g->z.zfree = release;
    if (deflateInit2(&g->z, level, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        wf_free(g);
        return NULL;
    }
    return &g->e;
}

static enum wf_encode_step encode(struct wf_encoder *e, struct wf_span *in, enum wf_encode_how how,
                                  char *out, size_t *n) {
    static const int flushes[] = {[WF_ENCODE_MORE] = Z_NO_FLUSH,
                                  [WF_ENCODE_FLUSH] = Z_SYNC_FLUSH,
                                  [WF_ENCODE_END] = Z_FINISH};
    z_stream *z = &((struct gzip_encoder *)e)->z;
    size_t piece = WF_MIN(in->n, (size_t)PIECE_BYTES), room = WF_MIN(*n, (size_t)PIECE_BYTES);
    bool all = piece == in->n;
    z->next_in = (z_const Bytef *)in->p;
    z->avail_in = (uInt)piece;
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)room;
    int rc = deflate(z, all ? flushes[how] : Z_NO_FLUSH);
    *n = room - z->avail_out;
    if (piece != z->avail_in) {
        *in = wf_span(in->p + (piece - z->avail_in), in->n - (piece - z->avail_in));
    }
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
        return WF_STEP_FAILED;
    }
    bool done = how == WF_ENCODE_END ? rc == Z_STREAM_END : in->n == 0 && z->avail_out != 0;
    return done ? WF_STEP_DONE : WF_STEP_ROOM;
}

static bool encoder_reset(struct wf_encoder *e) {
    return deflateReset(&((struct gzip_encoder *)e)->z) == Z_OK;
}

static void encoder_free(struct wf_encoder *e) {
    deflateEnd(&((struct gzip_encoder *)e)->z);
    wf_free(e);
}

/* ---- decoding ---- */

struct gzip_decoder {
    struct wf_decoder d;
    z_stream z;
    bool between; /* a member has ended, and nothing has come behind it yet */
};

static struct wf_decoder *decoder_new(void) {
    struct gzip_decoder *g = wf_calloc(1, sizeof(*g));
    if (g == NULL) {
        return NULL;
    }
    g->z.zalloc = allocate;
    g->z.zfree = release;
    if (inflateInit2(&g->z, GZIP_WINDOW) != Z_OK) {
        wf_free(g);
        return NULL;
    }
    return &g->d;
}

/* One piece of input, or up to the end of a member. */
static enum wf_decoded inflate_some(struct gzip_decoder *g, struct wf_span *in, char *out,
                                    size_t *n) {
    size_t piece = WF_MIN(in->n, (size_t)PIECE_BYTES), room = WF_MIN(*n, (size_t)PIECE_BYTES);
    g->z.next_in = (z_const Bytef *)in->p;
    g->z.avail_in = (uInt)piece;
    g->z.next_out = (Bytef *)out;
    g->z.avail_out = (uInt)room;
    int rc = inflate(&g->z, Z_NO_FLUSH);
    *n = room - g->z.avail_out;
    if (piece != g->z.avail_in) {
        *in = wf_span(in->p + (piece - g->z.avail_in), in->n - (piece - g->z.avail_in));
    }
    switch (rc) {
    case Z_STREAM_END:
        g->between = true;
        return WF_DECODED_END;
    case Z_OK:
    case Z_BUF_ERROR: /* nothing to do: no input, or no room */
        return g->z.avail_out == 0 ? WF_DECODED_ROOM : WF_DECODED_MORE;
    case Z_MEM_ERROR:
        return WF_DECODED_NOMEM;
    default:
        return WF_DECODED_BAD;
    }
}

static enum wf_decoded decode(struct wf_decoder *d, struct wf_span *in, char *out, size_t *n) {
    struct gzip_decoder *g = (struct gzip_decoder *)d;
    size_t room = *n, put = 0;
    enum wf_decoded rc = g->between ? WF_DECODED_END : WF_DECODED_MORE;
    do {
        if (g->between) {
            if (in->n == 0) {
                break;
            }
            if (put == room) {
                rc = WF_DECODED_ROOM;
                break;
            }
            g->between = false;
            if (inflateReset(&g->z) != Z_OK) {
                rc = WF_DECODED_BAD;
                break;
            }
        }
        size_t some = room - put;
        rc = inflate_some(g, in, out + put, &some);
        put += some;
    } while (in->n != 0 && (rc == WF_DECODED_MORE || rc == WF_DECODED_END));
    *n = put;
    return rc;
}

static void decoder_free(struct wf_decoder *d) {
    inflateEnd(&((struct gzip_decoder *)d)->z);
    wf_free(d);
}

const struct wf_codec wf_codec_gzip = {
    .lowest = 1,
    .highest = 9,
    .normal = 6,
    .encoder_new = encoder_new,
    .encode = encode,
    .encoder_reset = encoder_reset,
    .encoder_free = encoder_free,
    .decoder_new = decoder_new,
    .decode = decode,
    .decoder_free = decoder_free,
};
