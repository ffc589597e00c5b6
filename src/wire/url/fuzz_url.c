/* Decoders stay within their buffers, in place and out of place alike. */
#include <stdint.h>
#include <stdlib.h>

#include "wire/url/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok) {
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct wf_span in = wf_span(data, n), name, value;
    char *out = malloc(n + 1), *same = malloc(n + 1); /* of exact size but for malloc(0) */

    memcpy(same, data, n);
    ssize_t path = wf_path_decode(out, in);
    require(wf_path_decode(same, wf_span(same, n)) == path);
    require(path <= (ssize_t)n && (path <= 0 || memcmp(out, same, (size_t)path) == 0));

    memcpy(same, data, n);
    size_t form = wf_form_decode(out, in);
    require(wf_form_decode(same, wf_span(same, n)) == form);
    require(form <= n && memcmp(out, same, form) == 0);
    require(wf_form_escaped(in) || form == n);

    struct wf_query q;
    size_t bytes = 0;
    wf_query_init(&q, in);
    while (wf_query_next(&q, &name, &value)) {
        require(wf_form_decode(out, name) <= name.n && wf_form_decode(out, value) <= value.n);
        bytes += name.n + value.n;
    }
    wf_query_init(&q, in);
    while (wf_cookie_next(&q, &name, &value)) {
        require(wf_cookie_unquote(out, value) <= value.n);
        bytes += name.n + value.n;
    }
    require(bytes <= 2 * n);
    free(out);
    free(same);
    return 0;
}
