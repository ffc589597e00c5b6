/* A token taken apart: what needs no cryptography. */
#include "wire/jwt/jwt.h"

#include <stdint.h>

enum wf_jwt_algorithm wf_jwt_algorithm_of(struct wf_span name) {
#define X(algorithm, family, hash, bytes)                                                          \
    if (wf_span_eq(name, WF_SPAN(#algorithm))) {                                                   \
        return WF_JWT_##algorithm;                                                                 \
    }
    WF_JWT_ALGORITHMS(X)
#undef X
    return WF_JWT_NO_ALGORITHM;
}

/* Cuts *rest at its first dot. */
static bool cut(struct wf_span *rest, struct wf_span *part) {
    const char *dot = rest->n != 0 ? memchr(rest->p, '.', rest->n) : NULL;
    if (dot == NULL) {
        return false;
    }
    *part = wf_span(rest->p, (size_t)(dot - rest->p));
    *rest = wf_span(dot + 1, rest->n - part->n - 1);
    return true;
}

bool wf_jwt_split(struct wf_span token, struct wf_jwt *out) {
    struct wf_span rest = token;
    if (!cut(&rest, &out->header) || !cut(&rest, &out->claims)) {
        return false;
    }
    out->signature = rest;
    out->signed_text = wf_span(token.p, token.n - rest.n - 1);
    return out->header.n != 0 && out->claims.n != 0 && rest.n != 0 &&
           memchr(rest.p, '.', rest.n) == NULL;
}

enum { SIX_BITS = 0x3f, OF_ALPHABET = 0x40 };

/* The six bits of a character, and OF_ALPHABET where it is one that stands for any. */
/* clang-format off */
static const uint8_t sextets[256] = {
    ['-'] = 0x7e, ['_'] = 0x7f,
    ['0'] = 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d,
    ['A'] = 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c,
            0x4d, 0x4e, 0x4f, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
    ['a'] = 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f, 0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66,
            0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73,
};
/* clang-format on */

/* Whole groups of four characters: three bytes each. false: one is not of the alphabet. */
static bool decode_groups(char *out, const unsigned char *in, size_t groups) {
    for (size_t i = 0; i < groups; i++, in += 4, out += 3) {
        uint32_t a = sextets[in[0]], b = sextets[in[1]], c = sextets[in[2]], d = sextets[in[3]];
        if (wf_unlikely((a & b & c & d & OF_ALPHABET) == 0)) {
            return false;
        }
        uint32_t bits =
            (a & SIX_BITS) << 18 | (b & SIX_BITS) << 12 | (c & SIX_BITS) << 6 | (d & SIX_BITS);
        out[0] = (char)(bits >> 16);
        out[1] = (char)(bits >> 8 & 0xff);
        out[2] = (char)(bits & 0xff);
    }
    return true;
}

ssize_t wf_base64url_decode(char *out, struct wf_span in) {
    size_t groups = in.n / 4, n = 3 * groups;
    if (!decode_groups(out, (const unsigned char *)in.p, groups)) {
        return -1;
    }
    uint32_t bits = 0;
    unsigned held = 0; /* bits of `bits` that are not written yet */
    for (size_t i = 4 * groups; i < in.n; i++) {
        uint32_t six = sextets[(unsigned char)in.p[i]];
        if ((six & OF_ALPHABET) == 0) {
            return -1;
        }
        bits = bits << 6 | (six & SIX_BITS);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (char)(bits >> held & 0xff);
        }
    }
    /* One character alone holds no byte; what is left over must be zero, or one value had two texts. */
    return held == 6 || (bits & ((1u << held) - 1)) != 0 ? -1 : (ssize_t)n;
}
