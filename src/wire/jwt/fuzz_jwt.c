/* Whatever comes is no valid token. */
#include <stdint.h>
#include <stdlib.h>

#include "wire/base64/base64.h"
#include "wire/jwt/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok) {
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char secret[] = "0123456789abcdef0123456789abcdef";
    char *copy = malloc(n + 1), *out = malloc(WF_BASE64URL_BYTES(n));
    memcpy(copy, data, n); /* for the sanitizer to guard */
    struct wf_span in = wf_span(copy, n);
    struct wf_jwt token;
    if (wf_jwt_split(in, &token)) {
        const char *why;
        struct wf_jwt_key *key = wf_jwt_key_of_secret(wf_span(secret, 32), &why);
        ssize_t bytes = wf_base64url_decode(out, token.signature);
        if (key != NULL && bytes >= 0) {
            struct wf_span signature = wf_span(out, (size_t)bytes);
            require(wf_jwt_verify(key, WF_JWT_HS256, token.signed_text, signature) == 0);
        }
        wf_jwt_key_free(key);
    }
    free(copy);
    free(out);
    return 0;
}
