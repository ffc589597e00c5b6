/* Which codings there are, and what they share. */
#include "wire/encoding/encoding.h"

#include "base/check.h"
#include "wire/encoding/encoding_int.h"

static const struct wf_codec *codec_of(enum wf_coding coding) {
    switch (coding) {
#ifdef WF_HAVE_GZIP
    case WF_CODING_GZIP:
        return &wf_codec_gzip;
#endif
#ifdef WF_HAVE_BR
    case WF_CODING_BR:
        return &wf_codec_br;
#endif
#ifdef WF_HAVE_ZSTD
    case WF_CODING_ZSTD:
        return &wf_codec_zstd;
#endif
    default:
        return NULL;
    }
}

struct wf_span wf_coding_name(enum wf_coding coding) {
    static const struct wf_span names[] = {[WF_CODING_IDENTITY] = WF_SPAN("identity"),
                                           [WF_CODING_GZIP] = WF_SPAN("gzip"),
                                           [WF_CODING_BR] = WF_SPAN("br"),
                                           [WF_CODING_ZSTD] = WF_SPAN("zstd"),
                                           [WF_CODING_COUNT] = WF_SPAN("")};
    return names[coding];
}

enum wf_coding wf_coding_of(struct wf_span token) {
    for (enum wf_coding c = WF_CODING_IDENTITY; c < WF_CODING_COUNT; c++) {
        if (wf_span_eq_lower(token, wf_coding_name(c))) {
            return c;
        }
    }
    return wf_span_eq_lower(token, WF_SPAN("x-gzip")) ? WF_CODING_GZIP : WF_CODING_COUNT;
}

bool wf_coding_available(enum wf_coding coding) {
    return coding == WF_CODING_IDENTITY || codec_of(coding) != NULL;
}

void wf_coding_levels(enum wf_coding coding, int *lowest, int *highest, int *normal) {
    const struct wf_codec *c = codec_of(coding);
    *lowest = c != NULL ? c->lowest : 0;
    *highest = c != NULL ? c->highest : 0;
    *normal = c != NULL ? c->normal : 0;
}

/* ---- encoding ---- */

struct wf_encoder *wf_encoder_new(enum wf_coding coding, int level) {
    const struct wf_codec *c = codec_of(coding);
    if (c == NULL) {
        return NULL;
    }
    level = WF_MIN(WF_MAX(level, c->lowest), c->highest);
    struct wf_encoder *e = c->encoder_new(level);
    if (e != NULL) {
        e->codec = c;
    }
    return e;
}

void wf_encoder_free(struct wf_encoder *e) {
    if (e != NULL) {
        e->codec->encoder_free(e);
    }
}

void wf_encoder_expect(struct wf_encoder *e, uint64_t bytes) {
    if (e->codec->expect != NULL) {
        e->codec->expect(e, bytes);
    }
}

bool wf_encoder_reset(struct wf_encoder *e) {
    return e->codec->encoder_reset(e);
}

int wf_encode(struct wf_encoder *e, struct wf_span in, enum wf_encode_how how, struct wf_buf *out) {
    for (;;) {
        int rc = wf_buf_reserve(out, in.n / 4 + 256); /* most texts fit in one go */
        if (rc != WF_BUF_OK) {
            return rc;
        }
        size_t n = out->cap - out->len;
        enum wf_encode_step step = e->codec->encode(e, &in, how, out->p + out->len, &n);
        out->len += n;
        if (step != WF_STEP_ROOM) {
            return step == WF_STEP_DONE ? WF_BUF_OK : WF_BUF_NOMEM;
        }
    }
}

/* ---- decoding ---- */

struct wf_decoder *wf_decoder_new(enum wf_coding coding) {
    const struct wf_codec *c = codec_of(coding);
    struct wf_decoder *d = c != NULL ? c->decoder_new() : NULL;
    if (d != NULL) {
        d->codec = c;
    }
    return d;
}

void wf_decoder_free(struct wf_decoder *d) {
    if (d != NULL) {
        d->codec->decoder_free(d);
    }
}

enum wf_decoded wf_decode(struct wf_decoder *d, struct wf_span *in, char *out, size_t *n) {
    WF_ASSERT(*n != 0);
    return d->codec->decode(d, in, out, n);
}
