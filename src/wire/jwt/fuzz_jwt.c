/* Whatever comes is no valid token; base64url that is read is the only text of what it holds. */
#include <stdint.h>
#include <stdlib.h>

#include "wire/jwt/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok) {
    if (!ok) {
        abort();
    }
}

static size_t encode(char *out, const unsigned char *p, size_t n) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t at = 0;
    for (size_t i = 0; i < n * 8; i += 6) {
        unsigned pair = (unsigned)p[i / 8] << 8 | (i / 8 + 1 < n ? p[i / 8 + 1] : 0);
        out[at++] = alphabet[pair >> (10 - i % 8) & 63];
    }
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char secret[] = "0123456789abcdef0123456789abcdef";
    char *copy = malloc(n + 1), *out = malloc(WF_BASE64URL_BYTES(n)), *again = malloc(n + 4);
    memcpy(copy, data, n); /* for the sanitizer to guard */
    struct wf_span in = wf_span(copy, n);
    ssize_t bytes = wf_base64url_decode(out, in);
    if (bytes >= 0) {
        require((size_t)bytes <= WF_BASE64URL_BYTES(n));
        size_t chars = encode(again, (const unsigned char *)out, (size_t)bytes);
        require(wf_span_eq(wf_span(again, chars), in));
    }
    struct wf_jwt token;
    if (wf_jwt_split(in, &token)) {
        const char *why;
        struct wf_jwt_key *key = wf_jwt_key_of_secret(wf_span(secret, 32), &why);
        bytes = wf_base64url_decode(out, token.signature);
        if (key != NULL && bytes >= 0) {
            struct wf_span signature = wf_span(out, (size_t)bytes);
            require(wf_jwt_verify(key, WF_JWT_HS256, token.signed_text, signature) == 0);
        }
        wf_jwt_key_free(key);
    }
    free(copy);
    free(out);
    free(again);
    return 0;
}
