/* Ranges come out sorted, apart and within the size; dates that are written are read; the rest stays within
 * its input. */
#include <stdint.h>
#include <stdlib.h>

#include "wire/headers/headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok) {
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n < 1) {
        return 0;
    }
    uint64_t size = data[0];
    char *copy = malloc(n); /* for the sanitizer to guard */
    memcpy(copy, data + 1, n - 1);
    struct wf_span in = wf_span(copy, n - 1);
    struct wf_range out[WF_RANGES_MAX];
    int found = wf_range_parse(in, size, out);
    require(found >= WF_RANGE_MISSING && found <= WF_RANGES_MAX);
    for (int i = 0; i < found; i++) {
        require(out[i].start < out[i].end && out[i].end <= size);
        require(i == 0 || out[i - 1].end < out[i].start);
    }
    require(wf_accept_weight(in, WF_SPAN("gzip")) <= 1000);
    (void)wf_list_has(in, WF_SPAN("origin"));
    (void)wf_etag_in(in, WF_SPAN("\"a\""));
    int64_t t = wf_http_date_parse(in);
    require(t >= -1);
    if (t >= 0) {
        char text[WF_HTTP_DATE_CHARS];
        wf_http_date_write(text, t);
        require(wf_http_date_parse(wf_span(text, sizeof(text))) == t);
    }
    free(copy);
    return 0;
}
