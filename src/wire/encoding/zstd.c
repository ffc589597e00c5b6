/* zstd (RFC 8878) by libzstd. Its memory is malloc's own: saying otherwise is no part of its stable interface. */
#include <zstd.h>
#include <zstd_errors.h>

#include "base/alloc.h"
#include "base/check.h"
#include "wire/encoding/encoding_int.h"

/* ---- encoding ---- */

struct zstd_encoder {
    struct wf_encoder e;
    ZSTD_CCtx *context; /* owned */
};

static void encoder_free(struct wf_encoder *e) {
    ZSTD_freeCCtx(((struct zstd_encoder *)e)->context);
    wf_free(e);
}

static struct wf_encoder *encoder_new(int level) {
    struct zstd_encoder *z = wf_calloc(1, sizeof(*z));
    if (z == NULL) {
        return NULL;
    }
    z->context = ZSTD_createCCtx();
    if (z->context == NULL ||
        ZSTD_isError(ZSTD_CCtx_setParameter(z->context, ZSTD_c_compressionLevel, level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(z->context, ZSTD_c_windowLog, WF_ENCODE_WINDOW_LOG))) {
        encoder_free(&z->e);
        return NULL;
    }
    return &z->e;
}

static enum wf_encode_step encode(struct wf_encoder *e, struct wf_span *in, enum wf_encode_how how,
                                  char *out, size_t *n) {
    static const ZSTD_EndDirective directives[] = {[WF_ENCODE_MORE] = ZSTD_e_continue,
                                                   [WF_ENCODE_FLUSH] = ZSTD_e_flush,
                                                   [WF_ENCODE_END] = ZSTD_e_end};
    ZSTD_inBuffer from = {in->p, in->n, 0};
    ZSTD_outBuffer to = {out, *n, 0};
    size_t left =
        ZSTD_compressStream2(((struct zstd_encoder *)e)->context, &to, &from, directives[how]);
    *n = to.pos;
    *in = wf_span(in->p + from.pos, in->n - from.pos);
    if (ZSTD_isError(left)) {
        return WF_STEP_FAILED;
    }
    bool done = how == WF_ENCODE_MORE ? in->n == 0 : left == 0;
    return done ? WF_STEP_DONE : WF_STEP_ROOM;
}

static bool encoder_reset(struct wf_encoder *e) {
    return !ZSTD_isError(
        ZSTD_CCtx_reset(((struct zstd_encoder *)e)->context, ZSTD_reset_session_only));
}

/* ---- decoding ---- */

struct zstd_decoder {
    struct wf_decoder d;
    ZSTD_DCtx *context; /* owned */
    bool between;       /* a frame has ended, and nothing has come behind it yet */
};

static void decoder_free(struct wf_decoder *d) {
    ZSTD_freeDCtx(((struct zstd_decoder *)d)->context);
    wf_free(d);
}

static struct wf_decoder *decoder_new(void) {
    struct zstd_decoder *z = wf_calloc(1, sizeof(*z));
    if (z == NULL) {
        return NULL;
    }
    z->context = ZSTD_createDCtx();
    if (z->context == NULL || ZSTD_isError(ZSTD_DCtx_setParameter(z->context, ZSTD_d_windowLogMax,
                                                                  WF_ZSTD_WINDOW_LOG_MAX))) {
        decoder_free(&z->d);
        return NULL;
    }
    return &z->d;
}

static enum wf_decoded decode(struct wf_decoder *d, struct wf_span *in, char *out, size_t *n) {
    struct zstd_decoder *z = (struct zstd_decoder *)d;
    ZSTD_inBuffer from = {in->p, in->n, 0};
    ZSTD_outBuffer to = {out, *n, 0};
    enum wf_decoded rc = z->between ? WF_DECODED_END : WF_DECODED_MORE;
    while (from.pos < from.size || !z->between) {
        size_t left = ZSTD_decompressStream(z->context, &to, &from);
        if (ZSTD_isError(left)) {
            rc = ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation ? WF_DECODED_NOMEM
                                                                         : WF_DECODED_BAD;
            break;
        }
        z->between = left == 0;
        rc = z->between ? WF_DECODED_END : WF_DECODED_MORE;
        if (to.pos == to.size && (from.pos < from.size || !z->between)) {
            rc = WF_DECODED_ROOM;
            break;
        }
        if (from.pos == from.size) {
            break;
        }
    }
    *n = to.pos;
    *in = wf_span(in->p + from.pos, in->n - from.pos);
    return rc;
}

const struct wf_codec wf_codec_zstd = {
    .lowest = 1,
    .highest = 19, /* above, memory goes up and windows would have to be larger */
    .normal = 3,
    .encoder_new = encoder_new,
    .encode = encode,
    .encoder_reset = encoder_reset,
    .encoder_free = encoder_free,
    .decoder_new = decoder_new,
    .decode = decode,
    .decoder_free = decoder_free,
};
