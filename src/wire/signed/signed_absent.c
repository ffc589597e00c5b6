/* Signers where libcrypto is not there: none can be made. */
#include "wire/signed/signed.h"

struct wf_signer *wf_signer_new(struct wf_span secret, const char **why) {
    *why = "weft was built without libcrypto: install OpenSSL 3 with its headers (libssl-dev) and "
           "pkg-config, and build weft again";
    return NULL;
}

void wf_signer_free(struct wf_signer *s) {
}

int wf_signer_verify(struct wf_signer *s, struct wf_span in, int64_t now_s, int64_t max_age_s,
                     struct wf_span *text) {
    return 0;
}

int wf_signer_sign(struct wf_signer *s, struct wf_span text, int64_t now_s, struct wf_buf *out) {
    return -1;
}
