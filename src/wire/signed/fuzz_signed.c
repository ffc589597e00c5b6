/* Whatever comes was signed by nobody; what is signed is read again. */
#include <stdint.h>
#include <stdlib.h>

#include "wire/signed/signed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok) {
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char *copy = malloc(n + 1);
    const char *why;
    memcpy(copy, data, n); /* for the sanitizer to guard */
    struct wf_span in = wf_span(copy, n), text;
    struct wf_signer *s = wf_signer_new(WF_SPAN("no text of the corpus is signed with this"), &why);
    if (s != NULL) {
        struct wf_buf made;
        wf_buf_init(&made, WF_SIGNED_CHARS_MAX);
        require(wf_signer_verify(s, in, 1, -1, &text) <= 0);
        if (wf_signer_sign(s, in, 1, &made) == 0) {
            require(wf_signer_verify(s, wf_buf_span(&made), 1, 0, &text) == 1);
            require(wf_span_eq(text, in));
        }
        wf_buf_free(&made);
        wf_signer_free(s);
    }
    free(copy);
    return 0;
}
