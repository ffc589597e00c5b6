/* Any bytes through each decoder, in two ways of cutting them, which must agree; and there and back. */
#include <stdint.h>
#include <stdlib.h>

#include "wire/encoding/encoding.h"

enum { OUT_MAX = 1 << 18 };

static enum wf_decoded decode_all(enum wf_coding coding, struct wf_span in, size_t piece,
                                  size_t room, struct wf_buf *out) {
    struct wf_decoder *d = wf_decoder_new(coding);
    enum wf_decoded rc = WF_DECODED_MORE;
    wf_buf_init(out, OUT_MAX + 65536);
    while (in.n != 0 && (rc == WF_DECODED_MORE || rc == WF_DECODED_END)) {
        struct wf_span some = wf_span(in.p, in.n < piece ? in.n : piece);
        in = wf_span(in.p + some.n, in.n - some.n);
        do {
            if (wf_buf_reserve(out, room) != WF_BUF_OK) {
                abort();
            }
            size_t n = room;
            rc = wf_decode(d, &some, out->p + out->len, &n);
            if (n > room || (rc <= WF_DECODED_END && some.n != 0)) {
                abort();
            }
            out->len += n;
        } while (rc == WF_DECODED_ROOM && out->len < OUT_MAX);
    }
    wf_decoder_free(d);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    enum wf_coding coding = WF_CODING_GZIP + data[0] % 3;
    size_t piece = (size_t)data[1] + 1;
    struct wf_span in = wf_span(data + 2, size - 2);
    if (!wf_coding_available(coding)) {
        return 0;
    }
    struct wf_buf whole, cut;
    enum wf_decoded a = decode_all(coding, in, in.n, 65536, &whole),
                    b = decode_all(coding, in, piece, piece, &cut);
    if (whole.len < OUT_MAX && cut.len < OUT_MAX &&
        (a != b || (a <= WF_DECODED_END && !wf_span_eq(wf_buf_span(&whole), wf_buf_span(&cut))))) {
        abort();
    }
    wf_buf_free(&whole);
    wf_buf_free(&cut);

    struct wf_encoder *e = wf_encoder_new(coding, data[1] % 10);
    struct wf_buf out;
    wf_buf_init(&out, 1 << 20);
    size_t half = in.n / 2;
    if (e == NULL || wf_encode(e, wf_span(in.p, half), data[1] % 2, &out) != WF_BUF_OK ||
        wf_encode(e, wf_span(in.p + half, in.n - half), WF_ENCODE_END, &out) != WF_BUF_OK) {
        abort();
    }
    wf_encoder_free(e);
    if (in.n < OUT_MAX &&
        (decode_all(coding, wf_buf_span(&out), out.len, 65536, &whole) != WF_DECODED_END ||
         !wf_span_eq(wf_buf_span(&whole), in))) {
        abort();
    }
    if (in.n < OUT_MAX) {
        wf_buf_free(&whole);
    }
    wf_buf_free(&out);
    return 0;
}
