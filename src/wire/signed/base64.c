/* Base64, one alphabet by way of the other: base64url's decoder is wire/jwt's. */
#include "wire/jwt/jwt.h"
#include "wire/signed/signed.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t encode(char *out, struct wf_span in, const char *alphabet) {
    const unsigned char *p = (const unsigned char *)in.p;
    char *at = out;
    for (; in.n >= 3; in.n -= 3, p += 3) {
        uint32_t bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *at++ = alphabet[bits >> 18];
        *at++ = alphabet[bits >> 12 & 63];
        *at++ = alphabet[bits >> 6 & 63];
        *at++ = alphabet[bits & 63];
    }
    if (in.n != 0) {
        uint32_t bits = (uint32_t)p[0] << 16 | (in.n == 2 ? (uint32_t)p[1] << 8 : 0);
        *at++ = alphabet[bits >> 18];
        *at++ = alphabet[bits >> 12 & 63];
        if (in.n == 2) {
            *at++ = alphabet[bits >> 6 & 63];
        }
    }
    return (size_t)(at - out);
}

size_t wf_base64url_encode(char *out, struct wf_span in) {
    return encode(out, in, url);
}

size_t wf_base64_encode(char *out, struct wf_span in) {
    size_t n = encode(out, in, standard);
    while (n % 4 != 0) {
        out[n++] = '=';
    }
    return n;
}

ssize_t wf_base64_decode(char *out, struct wf_span in) {
    if (in.n % 4 != 0) {
        return -1;
    }
    for (int padding = 0; padding < 2 && in.n != 0 && in.p[in.n - 1] == '='; padding++) {
        in.n--;
    }
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '-' || c == '_') {
            return -1;
        }
        out[i] = c == '+' ? '-' : c == '/' ? '_' : c;
    }
    return wf_base64url_decode(out, wf_span(out, in.n));
}
