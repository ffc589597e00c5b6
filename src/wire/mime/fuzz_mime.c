/* A body cut in two anywhere gives the events of the whole, and each byte of content is the body's.
 * The first byte says where to cut, in parts of the whole; the boundary is "b". */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "wire/mime/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok) {
    if (!ok) {
        abort();
    }
}

static void put(struct wf_buf *log, struct wf_span s) {
    require(wf_buf_append_span(log, s) == WF_BUF_OK);
}

static bool feed(struct wf_multipart *m, struct wf_span piece, struct wf_buf *log) {
    char *copy = malloc(piece.n + 1); /* for the sanitizer to guard */
    struct wf_span in = wf_span(copy, piece.n), out;
    bool more = false;
    if (piece.n != 0) {
        memcpy(copy, piece.p, piece.n);
    }
    for (bool going = true; going;) {
        enum wf_multipart_event event = wf_multipart_next(m, &in, &out);
        if (event == WF_MULTIPART_PART) {
            put(log, WF_SPAN("<"));
            put(log, m->name);
            for (unsigned i = 0; i < m->nfields; i++) {
                put(log, m->fields[i].name);
                put(log, m->fields[i].value);
            }
            put(log, m->has_filename ? m->filename : WF_SPAN("-"));
            put(log, m->content_type);
        } else if (event == WF_MULTIPART_DATA) {
            require(out.n != 0);
            put(log, out);
        } else if (event == WF_MULTIPART_PART_END) {
            put(log, WF_SPAN(">"));
        } else {
            more = event == WF_MULTIPART_MORE;
            require(!more || in.n == 0);
            put(log, event == WF_MULTIPART_END ? WF_SPAN("$") : WF_SPAN(""));
            put(log, event == WF_MULTIPART_BAD ? WF_SPAN("!") : WF_SPAN(""));
            going = false;
        }
    }
    free(copy);
    return more;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n == 0) {
        return 0;
    }
    struct wf_span body = wf_span(data + 1, n - 1);
    size_t cut = body.n * data[0] / 256;
    struct wf_multipart *m = malloc(sizeof(*m));
    struct wf_buf whole, pieces;
    wf_buf_init(&whole, 8 * n + 65536);
    wf_buf_init(&pieces, 8 * n + 65536);
    require(wf_multipart_init(m, WF_SPAN("b")));
    feed(m, body, &whole);
    require(wf_multipart_init(m, WF_SPAN("b")));
    if (feed(m, wf_span(body.p, cut), &pieces)) {
        feed(m, wf_span(body.p + cut, body.n - cut), &pieces);
    }
    require(wf_span_eq(wf_buf_span(&whole), wf_buf_span(&pieces)));
    wf_buf_free(&whole);
    wf_buf_free(&pieces);
    free(m);

    char *out = malloc(2 * n + 1);
    static const struct wf_span names[] = {WF_SPAN("name"), WF_SPAN("filename*"), WF_SPAN("")};
    for (unsigned i = 0; i < 3; i++) {
        require(wf_mime_param(body, names[i], out) <= (ssize_t)body.n);
        require(wf_mime_ext_param(body, names[i], out) <= 2 * (ssize_t)body.n);
    }
    require(wf_mime_value(body).n <= body.n);
    free(out);
    return 0;
}
