/* Signers by libcrypto (OpenSSL 3). */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/alloc.h"
#include "wire/base64/base64.h"
#include "wire/signed/signed.h"

enum { MAC_BYTES = 20, MAC_CHARS = 27, STAMP_BYTES = 8 /* of a number of seconds */ };

struct wf_signer {
    EVP_MAC *hmac;    /* owned */
    EVP_MAC_CTX *mac; /* owned: keyed */
};

void wf_signer_free(struct wf_signer *s) {
    if (s != NULL) {
        EVP_MAC_CTX_free(s->mac);
        EVP_MAC_free(s->hmac);
        wf_free(s);
    }
}

static bool derive(struct wf_span secret, unsigned char key[MAC_BYTES]) {
    static const char salt[] = "itsdangerous.Signersigner";
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, salt, sizeof(salt) - 1) == 1 &&
              EVP_DigestUpdate(ctx, secret.p, secret.n) == 1 &&
              EVP_DigestFinal_ex(ctx, key, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool make(struct wf_signer *s, struct wf_span secret) {
    unsigned char key[MAC_BYTES];
    char hash[] = "SHA1";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash, 0),
        OSSL_PARAM_construct_end(),
    };
    s->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    s->mac = s->hmac != NULL ? EVP_MAC_CTX_new(s->hmac) : NULL;
    bool ok = s->mac != NULL && derive(secret, key) &&
              EVP_MAC_init(s->mac, key, sizeof(key), params) == 1;
    OPENSSL_cleanse(key, sizeof(key));
    return ok;
}

struct wf_signer *wf_signer_new(struct wf_span secret, const char **why) {
    struct wf_signer *s = wf_calloc(1, sizeof(*s));
    *why = "out of memory";
    if (s == NULL) {
        return NULL;
    }
    ERR_set_mark();
    bool ok = make(s, secret);
    ERR_pop_to_mark();
    if (!ok) {
        *why = "libcrypto has no HMAC with SHA-1";
        wf_signer_free(s);
        return NULL;
    }
    return s;
}

static bool sign(struct wf_signer *s, struct wf_span value, unsigned char mac[MAC_BYTES]) {
    size_t n = 0;
    ERR_set_mark();
    /* without a key it begins anew with the one it has */
    bool ok = EVP_MAC_init(s->mac, NULL, 0, NULL) == 1 &&
              EVP_MAC_update(s->mac, (const unsigned char *)value.p, value.n) == 1 &&
              EVP_MAC_final(s->mac, mac, &n, MAC_BYTES) == 1 && n == MAC_BYTES;
    ERR_pop_to_mark();
    return ok;
}

/* Takes what is behind the last dot off the end of *s. */
static bool cut_last(struct wf_span *s, struct wf_span *last) {
    const char *dot = s->n != 0 ? memrchr(s->p, '.', s->n) : NULL;
    if (dot == NULL) {
        return false;
    }
    size_t n = (size_t)(dot - s->p);
    *last = wf_span(dot + 1, s->n - n - 1);
    s->n = n;
    return true;
}

/* Seconds, or -1. */
static int64_t read_stamp(struct wf_span chars) {
    char bytes[WF_BASE64URL_BYTES(16)];
    ssize_t n = chars.n <= 16 ? wf_base64url_decode(bytes, chars) : -1;
    if (n < 1 || n > STAMP_BYTES) {
        return -1;
    }
    uint64_t seconds = 0;
    for (ssize_t i = 0; i < n; i++) {
        seconds = seconds << 8 | (unsigned char)bytes[i];
    }
    return seconds <= INT64_MAX ? (int64_t)seconds : -1;
}

int wf_signer_verify(struct wf_signer *s, struct wf_span in, int64_t now_s, int64_t max_age_s,
                     struct wf_span *text) {
    struct wf_span value = in, signature, stamp;
    unsigned char mac[MAC_BYTES];
    char given[WF_BASE64URL_BYTES(MAC_CHARS)];
    if (in.n > WF_SIGNED_CHARS_MAX || !cut_last(&value, &signature) || signature.n != MAC_CHARS ||
        wf_base64url_decode(given, signature) != MAC_BYTES) {
        return 0;
    }
    if (!sign(s, value, mac)) {
        return -1;
    }
    if (CRYPTO_memcmp(mac, given, MAC_BYTES) != 0 || !cut_last(&value, &stamp)) {
        return 0;
    }
    int64_t at = read_stamp(stamp);
    if (at < 0 || (max_age_s >= 0 && (at > now_s || now_s - at > max_age_s))) {
        return 0;
    }
    *text = value;
    return 1;
}

int wf_signer_sign(struct wf_signer *s, struct wf_span text, int64_t now_s, struct wf_buf *out) {
    size_t start = out->len;
    if (wf_buf_reserve(out, text.n + WF_SIGNED_EXTRA_CHARS) != WF_BUF_OK) {
        return -1;
    }
    char *at = out->p + start, stamp[STAMP_BYTES];
    size_t skip = 0;
    for (int i = 0; i < STAMP_BYTES; i++) {
        stamp[i] = (char)((uint64_t)now_s >> (8 * (STAMP_BYTES - 1 - i)) & 0xff);
    }
    while (skip < STAMP_BYTES - 1 && stamp[skip] == 0) {
        skip++;
    }
    memcpy(at, text.p, text.n);
    at[text.n] = '.';
    size_t n = text.n + 1;
    n += wf_base64url_encode(at + n, wf_span(stamp + skip, STAMP_BYTES - skip));
    unsigned char mac[MAC_BYTES];
    if (!sign(s, wf_span(at, n), mac)) {
        return -1;
    }
    at[n++] = '.';
    n += wf_base64url_encode(at + n, wf_span(mac, MAC_BYTES));
    out->len = start + n;
    return 0;
}
