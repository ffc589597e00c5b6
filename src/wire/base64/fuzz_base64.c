/* Canonical base64 is the only text of what it holds; any other that is read holds the same as its canonical one. */
#include <stdint.h>
#include <stdlib.h>

#include "wire/base64/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok) {
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    /* each of the size that is promised to be enough, for the sanitizer to guard */
    char *text = malloc(n), *again = malloc(WF_BASE64_CHARS(n)), *lax = malloc(n);
    memcpy(text, data, n);
    struct wf_span in = wf_span(text, n);
    char *out = malloc(wf_base64_bytes(in)), *url = malloc(WF_BASE64URL_BYTES(n));
    ssize_t bytes = wf_base64_decode(out, in, WF_BASE64_LAX);
    require(bytes < 0 || (size_t)bytes == wf_base64_bytes(in));
    if (bytes >= 0) {
        struct wf_span made = wf_span(again, wf_base64_encode(again, wf_span(out, (size_t)bytes)));
        bool canonical = wf_span_eq(made, in);
        require(made.n == n);
        require(wf_base64_decode(lax, made, WF_BASE64_CANONICAL) == bytes);
        require(memcmp(lax, out, (size_t)bytes) == 0);
        require((wf_base64_decode(out, in, WF_BASE64_CANONICAL) >= 0) == canonical);
    }
    bytes = wf_base64url_decode(url, in);
    if (bytes >= 0) {
        size_t chars = wf_base64url_encode(again, wf_span(url, (size_t)bytes));
        require(wf_span_eq(wf_span(again, chars), in));
    }
    bytes = wf_base64_decode(text, in, WF_BASE64_LAX); /* in place */
    require(bytes < 0 || memcmp(text, out, (size_t)bytes) == 0);
    free(text);
    free(again);
    free(lax);
    free(out);
    free(url);
    return 0;
}
