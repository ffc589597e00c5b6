/* JSON Web Tokens as they are sent: a compact JWS (RFC 7515 section 7.1) taken apart, and its signature
 * verified by OpenSSL's libcrypto. What the header and the claims say is the caller's to judge.
 *
 *   base64url(header) "." base64url(claims) "." base64url(signature)
 *
 * A key knows what it is: a secret takes HS*, an RSA key RS* and PS*, a curve's key its own algorithm. So no
 * token can choose an algorithm that its key was not made for.
 *
 * thread   any; a key is used by one at a time
 * errors   libcrypto's error queue is left as it was found */
#ifndef WF_WIRE_JWT_H
#define WF_WIRE_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/check.h"
#include "base/span.h"

enum {
    WF_JWT_SIGNATURE_BYTES_MAX =
        1024, /* of an RSA key of 8192 bits, the largest that is taken: a larger one
                                          is a way to make each verification slow */
    WF_JWT_RSA_BITS_MIN = 2048, /* RFC 7518 section 3.3 */
    WF_JWT_RSA_BITS_MAX = 8192
};

/* name, family, hash, bytes of the hash */
#define WF_JWT_ALGORITHMS(X)                                                                       \
    X(HS256, HMAC, "SHA256", 32)                                                                   \
    X(HS384, HMAC, "SHA384", 48)                                                                   \
    X(HS512, HMAC, "SHA512", 64)                                                                   \
    X(RS256, RSA, "SHA256", 32)                                                                    \
    X(RS384, RSA, "SHA384", 48)                                                                    \
    X(RS512, RSA, "SHA512", 64)                                                                    \
    X(PS256, PSS, "SHA256", 32)                                                                    \
    X(PS384, PSS, "SHA384", 48)                                                                    \
    X(PS512, PSS, "SHA512", 64)                                                                    \
    X(ES256, P256, "SHA256", 32)                                                                   \
    X(ES384, P384, "SHA384", 48)                                                                   \
    X(ES512, P521, "SHA512", 64)                                                                   \
    X(EdDSA, ED25519, NULL, 0)

enum wf_jwt_algorithm {
#define X(name, family, hash, bytes) WF_JWT_##name,
    WF_JWT_ALGORITHMS(X)
#undef X
        WF_JWT_NO_ALGORITHM /* "none" among them: there is no such algorithm here */
};

enum wf_jwt_algorithm wf_jwt_algorithm_of(struct wf_span name);

/* The parts of a token, each still base64url. */
struct wf_jwt {
    struct wf_span header, claims, signature;
    struct wf_span signed_text; /* header "." claims */
};
/* Three parts, none of them empty; true, or false for what is no token. Spans point into `token`. */
bool wf_jwt_split(struct wf_span token, struct wf_jwt *out);

struct wf_jwt_key; /* opaque */

/* A secret for HS*, copied. NULL with *why, a sentence. */
struct wf_jwt_key *wf_jwt_key_of_secret(struct wf_span secret, const char **why);
/* A public key in PEM (SubjectPublicKeyInfo, "BEGIN PUBLIC KEY"). NULL with *why. */
struct wf_jwt_key *wf_jwt_key_of_pem(struct wf_span pem, const char **why);
void wf_jwt_key_free(struct wf_jwt_key *key); /* NULL is fine */

/* NULL where the key can verify tokens of this algorithm, else why not. */
const char *wf_jwt_key_refuses(const struct wf_jwt_key *key, enum wf_jwt_algorithm algorithm);

/* Is `signature` (bytes, not base64url) the one of `text`?
 * algorithm  one that the key does not refuse
 * returns    1 it is, 0 it is not, -1 out of memory */
int wf_jwt_verify(struct wf_jwt_key *key, enum wf_jwt_algorithm algorithm, struct wf_span text,
                  struct wf_span signature) WF_MUST_USE;

#endif
