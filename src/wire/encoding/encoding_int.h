/* What each coding offers to encoding.c. One file each; the build leaves out those whose library is missing. */
#ifndef WF_WIRE_ENCODING_INT_H
#define WF_WIRE_ENCODING_INT_H

#include "wire/encoding/encoding.h"

enum wf_encode_step {
    WF_STEP_DONE, /* the input is used, and what was asked for is out */
    WF_STEP_ROOM, /* again, with more room */
    WF_STEP_FAILED
};

struct wf_codec {
    int lowest, highest, normal;
    struct wf_encoder *(*encoder_new)(int level); /* within the levels above */
    enum wf_encode_step (*encode)(struct wf_encoder *e, struct wf_span *in, enum wf_encode_how how,
                                  char *out, size_t *n);
    void (*expect)(struct wf_encoder *e, uint64_t bytes); /* NULL: of no use to it */
    bool (*encoder_reset)(struct wf_encoder *e);
    void (*encoder_free)(struct wf_encoder *e);
    struct wf_decoder *(*decoder_new)(void);
    enum wf_decoded (*decode)(struct wf_decoder *d, struct wf_span *in, char *out, size_t *n);
    void (*decoder_free)(struct wf_decoder *d);
};

/* Embedded, first, in each coding's own. `codec` is set by encoding.c. */
struct wf_encoder {
    const struct wf_codec *codec;
};
struct wf_decoder {
    const struct wf_codec *codec;
};

extern const struct wf_codec wf_codec_gzip, wf_codec_br, wf_codec_zstd;

#endif
