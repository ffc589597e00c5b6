/* Keys where libcrypto is not there: none can be made. */
#include "wire/jwt/jwt.h"

static const char absent[] = "weft was built without libcrypto: install OpenSSL 3 with its headers "
                             "(libssl-dev) and pkg-config, and build weft again";

struct wf_jwt_key *wf_jwt_key_of_secret(struct wf_span secret, const char **why) {
    *why = absent;
    return NULL;
}

struct wf_jwt_key *wf_jwt_key_of_pem(struct wf_span pem, const char **why) {
    *why = absent;
    return NULL;
}

void wf_jwt_key_free(struct wf_jwt_key *key) {
}

const char *wf_jwt_key_refuses(const struct wf_jwt_key *key, enum wf_jwt_algorithm algorithm) {
    return absent;
}

int wf_jwt_verify(struct wf_jwt_key *key, enum wf_jwt_algorithm algorithm, struct wf_span text,
                  struct wf_span signature) {
    return 0;
}
