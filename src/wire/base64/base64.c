/* One coding, by two alphabets. */
#include "wire/base64/base64.h"

#include <stdbool.h>
#include <stdint.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

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
    return encode(out, in, url_letters);
}

size_t wf_base64_encode(char *out, struct wf_span in) {
    size_t n = encode(out, in, letters);
    while (n % 4 != 0) {
        out[n++] = '=';
    }
    return n;
}

enum { SIX_BITS = 0x3f, OF_ALPHABET = 0x40 };

/* The six bits of a character, and OF_ALPHABET where it is one that stands for any. */
/* clang-format off */
#define SEXTETS                                                                                    \
    ['0'] = 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d,                            \
    ['A'] = 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c,          \
            0x4d, 0x4e, 0x4f, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,          \
    ['a'] = 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f, 0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66,          \
            0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73
/* clang-format on */
static const uint8_t sextets[256] = {SEXTETS, ['+'] = 0x7e, ['/'] = 0x7f};
static const uint8_t url_sextets[256] = {SEXTETS, ['-'] = 0x7e, ['_'] = 0x7f};

/* Whole groups of four characters: three bytes each. false: one is not of the alphabet. */
static bool decode_groups(char *out, const unsigned char *in, size_t groups,
                          const uint8_t *alphabet) {
    for (size_t i = 0; i < groups; i++, in += 4, out += 3) {
        uint32_t a = alphabet[in[0]], b = alphabet[in[1]], c = alphabet[in[2]], d = alphabet[in[3]];
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

/* Text without padding. */
static ssize_t decode(char *out, struct wf_span in, const uint8_t *alphabet,
                      enum wf_base64_rest rest) {
    size_t groups = in.n / 4, n = 3 * groups;
    if (!decode_groups(out, (const unsigned char *)in.p, groups, alphabet)) {
        return -1;
    }
    uint32_t bits = 0;
    unsigned held = 0; /* bits of `bits` that are not written yet */
    for (size_t i = 4 * groups; i < in.n; i++) {
        uint32_t six = alphabet[(unsigned char)in.p[i]];
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
    if (held == 6) { /* one character alone holds no byte */
        return -1;
    }
    bool zero = (bits & ((1u << held) - 1)) == 0;
    return zero || rest == WF_BASE64_LAX ? (ssize_t)n : -1;
}

ssize_t wf_base64url_decode(char *out, struct wf_span in) {
    return decode(out, in, url_sextets, WF_BASE64_CANONICAL);
}

ssize_t wf_base64_decode(char *out, struct wf_span in, enum wf_base64_rest rest) {
    if (in.n % 4 != 0) {
        return -1;
    }
    in.n -=
        in.n / 4 * 3 - wf_base64_bytes(in); /* the padding: a character for each byte that is not */
    return decode(out, in, sextets, rest);
}
