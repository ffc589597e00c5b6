/* Keys and signatures by libcrypto (OpenSSL 3). */
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/alloc.h"
#include "wire/jwt/jwt.h"

enum family {
    FAMILY_HMAC,
    FAMILY_RSA,
    FAMILY_PSS,
    FAMILY_P256,
    FAMILY_P384,
    FAMILY_P521,
    FAMILY_ED25519
};

static const struct algorithm {
    const char *name, *hash;
    enum family family;
    size_t hash_bytes;
} algorithms[] = {
#define X(name, family, hash, bytes) {#name, hash, FAMILY_##family, bytes},
    WF_JWT_ALGORITHMS(X)
#undef X
};

enum { HMACS = WF_JWT_HS512 + 1 }; /* they stand first */

struct wf_jwt_key {
    enum family family;       /* RSA stands for PSS too */
    size_t bytes;             /* of a secret; of a number in a signature of a curve */
    EVP_MAC *hmac;            /* owned; NULL where there is no secret, as are the next */
    EVP_MAC_CTX *macs[HMACS]; /* owned: keyed, by algorithm; NULL where the secret is too short */
    EVP_PKEY *public;         /* owned, or NULL */
};

void wf_jwt_key_free(struct wf_jwt_key *key) {
    if (key == NULL) {
        return;
    }
    for (int i = 0; i < HMACS; i++) {
        EVP_MAC_CTX_free(key->macs[i]);
    }
    EVP_MAC_free(key->hmac);
    EVP_PKEY_free(key->public);
    wf_free(key);
}

static struct wf_jwt_key *new_key(enum family family, const char **why) {
    struct wf_jwt_key *key = wf_calloc(1, sizeof(*key));
    *why = "out of memory";
    if (key != NULL) {
        key->family = family;
    }
    return key;
}

/* ---- secrets ---- */

static EVP_MAC_CTX *keyed(EVP_MAC *hmac, const char *hash, struct wf_span secret) {
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(hmac);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)hash, 0), /* only read */
        OSSL_PARAM_construct_end(),
    };
    if (ctx != NULL && EVP_MAC_init(ctx, (const unsigned char *)secret.p, secret.n, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

struct wf_jwt_key *wf_jwt_key_of_secret(struct wf_span secret, const char **why) {
    struct wf_jwt_key *key = new_key(FAMILY_HMAC, why);
    if (key == NULL) {
        return NULL;
    }
    ERR_set_mark();
    key->bytes = secret.n;
    key->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    bool ok = key->hmac != NULL;
    for (int i = 0; ok && i < HMACS; i++) {
        if (secret.n >= algorithms[i].hash_bytes) {
            key->macs[i] = keyed(key->hmac, algorithms[i].hash, secret);
            ok = key->macs[i] != NULL;
        }
    }
    ERR_pop_to_mark();
    if (!ok) {
        *why = "libcrypto has no HMAC";
        wf_jwt_key_free(key);
        return NULL;
    }
    return key;
}

static int verify_secret(struct wf_jwt_key *key, enum wf_jwt_algorithm algorithm,
                         struct wf_span text, struct wf_span signature) {
    EVP_MAC_CTX *ctx = key->macs[algorithm];
    unsigned char made[EVP_MAX_MD_SIZE];
    size_t n = 0;
    /* without a key it begins anew with the one it has */
    if (EVP_MAC_init(ctx, NULL, 0, NULL) != 1 ||
        EVP_MAC_update(ctx, (const unsigned char *)text.p, text.n) != 1 ||
        EVP_MAC_final(ctx, made, &n, sizeof(made)) != 1) {
        return -1;
    }
    return signature.n == n && CRYPTO_memcmp(made, signature.p, n) == 0;
}

/* ---- public keys ---- */

/* Nobody is asked for a password. */
static int no_password(char *buf, int size, int rwflag, void *arg) {
    return -1;
}

static EVP_PKEY *read_pem(struct wf_span pem) {
    BIO *bio = pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    return key;
}

/* What kind of key it is; NULL, or why it is of no use. */
static const char *classify(struct wf_jwt_key *key) {
    static const struct {
        const char *name;
        enum family family;
        size_t bytes;
    } curves[] = {{"prime256v1", FAMILY_P256, 32},
                  {"secp384r1", FAMILY_P384, 48},
                  {"secp521r1", FAMILY_P521, 66}};
    EVP_PKEY *public = key->public;
    char curve[32];
    size_t n;
    if (EVP_PKEY_is_a(public, "RSA")) {
        int bits = EVP_PKEY_get_bits(public);
        key->family = FAMILY_RSA;
        return bits < WF_JWT_RSA_BITS_MIN
                   ? "an RSA key has 2048 bits or more (RFC 7518, section 3.3)"
               : bits > WF_JWT_RSA_BITS_MAX ? "an RSA key has 8192 bits at most"
                                            : NULL;
    }
    if (EVP_PKEY_is_a(public, "ED25519")) {
        key->family = FAMILY_ED25519;
        return NULL;
    }
    if (EVP_PKEY_is_a(public, "EC") &&
        EVP_PKEY_get_group_name(public, curve, sizeof(curve), &n) == 1) {
        for (size_t i = 0; i < WF_ARRAY_LEN(curves); i++) {
            if (wf_span_eq(wf_span_str(curve), wf_span_str(curves[i].name))) {
                key->family = curves[i].family;
                key->bytes = curves[i].bytes;
                return NULL;
            }
        }
    }
    return "a public key is of RSA, of P-256, P-384 or P-521, or of Ed25519";
}

struct wf_jwt_key *wf_jwt_key_of_pem(struct wf_span pem, const char **why) {
    struct wf_jwt_key *key = new_key(FAMILY_RSA, why);
    if (key == NULL) {
        return NULL;
    }
    ERR_set_mark();
    key->public = read_pem(pem);
    *why = key->public != NULL ? classify(key)
                               : "it is no public key in PEM, which begins with BEGIN PUBLIC KEY";
    ERR_pop_to_mark();
    if (*why != NULL) {
        wf_jwt_key_free(key);
        return NULL;
    }
    return key;
}

/* The two numbers of a curve's signature (RFC 7518 section 3.4) as the DER that libcrypto wants. Bytes
 * in *der, for OPENSSL_free, or -1. */
static int to_der(struct wf_span signature, size_t bytes, unsigned char **der) {
    const unsigned char *p = (const unsigned char *)signature.p;
    ECDSA_SIG *both = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, (int)bytes, NULL), *s = BN_bin2bn(p + bytes, (int)bytes, NULL);
    *der = NULL;
    if (both == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(both, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(both);
        return -1;
    }
    int n = i2d_ECDSA_SIG(both, der); /* r and s are its own now */
    ECDSA_SIG_free(both);
    return n;
}

static int verify_with(EVP_MD_CTX *ctx, struct wf_jwt_key *key, const struct algorithm *a,
                       struct wf_span text, struct wf_span signature) {
    EVP_PKEY_CTX *options = NULL; /* borrowed from ctx */
    if (EVP_DigestVerifyInit_ex(ctx, &options, a->hash, NULL, NULL, key->public, NULL) != 1) {
        return -1;
    }
    if (a->family == FAMILY_PSS &&
        (EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) != 1 ||
         EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) != 1)) {
        return -1;
    }
    return EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n,
                            (const unsigned char *)text.p, text.n) == 1;
}

static int verify_public(struct wf_jwt_key *key, const struct algorithm *a, struct wf_span text,
                         struct wf_span signature) {
    unsigned char *der = NULL;
    if (key->bytes != 0) { /* a curve's */
        if (signature.n != 2 * key->bytes) {
            return 0;
        }
        int n = to_der(signature, key->bytes, &der);
        if (n <= 0) {
            return -1;
        }
        signature = wf_span(der, (size_t)n);
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int rc = ctx != NULL ? verify_with(ctx, key, a, text, signature) : -1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    return rc;
}

/* ---- both ---- */

const char *wf_jwt_key_refuses(const struct wf_jwt_key *key, enum wf_jwt_algorithm algorithm) {
    const struct algorithm *a = &algorithms[algorithm];
    enum family family = a->family == FAMILY_PSS ? FAMILY_RSA : a->family;
    if (family != key->family) {
        return "the key is not of this algorithm";
    }
    return family == FAMILY_HMAC && key->macs[algorithm] == NULL
               ? "the secret is shorter than the hash (RFC 7518, section 3.2)"
               : NULL;
}

int wf_jwt_verify(struct wf_jwt_key *key, enum wf_jwt_algorithm algorithm, struct wf_span text,
                  struct wf_span signature) {
    WF_ASSERT(wf_jwt_key_refuses(key, algorithm) == NULL);
    ERR_set_mark();
    int rc = key->hmac != NULL ? verify_secret(key, algorithm, text, signature)
                               : verify_public(key, &algorithms[algorithm], text, signature);
    ERR_pop_to_mark();
    return rc;
}
