/* Tests of wire/jwt: the RFCs' own tokens, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "wire/base64/base64.h"
#include "wire/jwt/jwt.h"

/* RFC 7515 appendix A.1 and A.3, RFC 8037 appendix A */
#define CLAIMS                                                                                     \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnV"  \
    "lfQ"
static const char hs256[] = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." CLAIMS
                            ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
static const char hs256_secret[] =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
static const char es256[] = "eyJhbGciOiJFUzI1NiJ9." CLAIMS
                            ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQx"
                            "fKTUJqPP3-Kg6NU1Q";
static const char es256_key[] = "-----BEGIN PUBLIC KEY-----\n"
                                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
                                "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
                                "-----END PUBLIC KEY-----\n";
static const char eddsa[] =
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg"
    "3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
static const char eddsa_key[] = "-----BEGIN PUBLIC KEY-----\n"
                                "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                                "-----END PUBLIC KEY-----\n";

static struct wf_jwt_key *secret_of(const char *base64url) {
    char bytes[128];
    const char *why;
    ssize_t n = wf_base64url_decode(bytes, wf_span_str(base64url));
    assert_true(n > 0);
    struct wf_jwt_key *key = wf_jwt_key_of_secret(wf_span(bytes, (size_t)n), &why);
    assert_non_null(key);
    return key;
}

static struct wf_jwt_key *public_of(const char *pem) {
    const char *why;
    struct wf_jwt_key *key = wf_jwt_key_of_pem(wf_span_str(pem), &why);
    assert_non_null(key);
    return key;
}

static int verify(struct wf_jwt_key *key, enum wf_jwt_algorithm algorithm, const char *token) {
    struct wf_jwt parts;
    char signature[WF_JWT_SIGNATURE_BYTES_MAX];
    assert_true(wf_jwt_split(wf_span_str(token), &parts));
    ssize_t n = wf_base64url_decode(signature, parts.signature);
    assert_true(n > 0);
    return wf_jwt_verify(key, algorithm, parts.signed_text, wf_span(signature, (size_t)n));
}

/* The token is good, again and again; with any character of what is signed, or of the signature, changed
 * it is not. */
static void check(struct wf_jwt_key *key, enum wf_jwt_algorithm algorithm, const char *token) {
    char changed[512];
    size_t n = strlen(token);
    assert_true(n < sizeof(changed));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(verify(key, algorithm, token), 1);
        memcpy(changed, token, n + 1);
        if (token[i] == '.' || i == n - 1) { /* the last one has bits that must be zero */
            continue;
        }
        changed[i] = token[i] == 'A' ? 'B' : 'A';
        assert_int_equal(verify(key, algorithm, changed), 0);
    }
    wf_jwt_key_free(key);
}

static void tokens_of_the_rfcs(void **state) {
    check(secret_of(hs256_secret), WF_JWT_HS256, hs256);
    check(public_of(es256_key), WF_JWT_ES256, es256);
    check(public_of(eddsa_key), WF_JWT_EdDSA, eddsa);
}

static void signatures_of_other_lengths(void **state) {
    static const struct {
        enum wf_jwt_algorithm algorithm;
        const char *pem;
    } rows[] = {{WF_JWT_HS256, NULL}, {WF_JWT_ES256, es256_key}, {WF_JWT_EdDSA, eddsa_key}};
    static const char zeros[256];
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        struct wf_jwt_key *key =
            rows[i].pem != NULL ? public_of(rows[i].pem) : secret_of(hs256_secret);
        for (size_t n = 0; n < sizeof(zeros); n++) {
            assert_int_equal(
                wf_jwt_verify(key, rows[i].algorithm, WF_SPAN("text"), wf_span(zeros, n)), 0);
        }
        wf_jwt_key_free(key);
    }
}

static void keys_and_algorithms(void **state) {
    const char *why = NULL;
    struct wf_jwt_key *secret =
        wf_jwt_key_of_secret(WF_SPAN("0123456789abcdef0123456789abcdef"), &why);
    struct wf_jwt_key *curve = public_of(es256_key), *edwards = public_of(eddsa_key);
    assert_non_null(secret);
    for (int i = 0; i < WF_JWT_NO_ALGORITHM; i++) {
        enum wf_jwt_algorithm a = (enum wf_jwt_algorithm)i;
        assert_int_equal(wf_jwt_key_refuses(secret, a) == NULL, a == WF_JWT_HS256); /* too short */
        assert_int_equal(wf_jwt_key_refuses(curve, a) == NULL, a == WF_JWT_ES256);
        assert_int_equal(wf_jwt_key_refuses(edwards, a) == NULL, a == WF_JWT_EdDSA);
    }
    wf_jwt_key_free(secret);
    wf_jwt_key_free(curve);
    wf_jwt_key_free(edwards);
    wf_jwt_key_free(NULL);
    static const char *const none[] = {
        "", "x", "-----BEGIN PUBLIC KEY-----\n", hs256_secret,
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"};
    for (size_t i = 0; i < WF_ARRAY_LEN(none); i++) {
        why = NULL;
        assert_null(wf_jwt_key_of_pem(wf_span_str(none[i]), &why));
        assert_non_null(why);
    }
}

static void names(void **state) {
    assert_int_equal(wf_jwt_algorithm_of(WF_SPAN("HS256")), WF_JWT_HS256);
    assert_int_equal(wf_jwt_algorithm_of(WF_SPAN("EdDSA")), WF_JWT_EdDSA);
    static const char *const none[] = {"", "none", "None", "hs256", "HS2560", "HS25"};
    for (size_t i = 0; i < WF_ARRAY_LEN(none); i++) {
        assert_int_equal(wf_jwt_algorithm_of(wf_span_str(none[i])), WF_JWT_NO_ALGORITHM);
    }
}

static void parts(void **state) {
    struct wf_jwt out;
    assert_true(wf_jwt_split(WF_SPAN("a.bc.d"), &out));
    assert_true(wf_span_eq(out.header, WF_SPAN("a")));
    assert_true(wf_span_eq(out.claims, WF_SPAN("bc")));
    assert_true(wf_span_eq(out.signature, WF_SPAN("d")));
    assert_true(wf_span_eq(out.signed_text, WF_SPAN("a.bc")));
    static const char *const none[] = {"",     "a",       "a.b",    ".",      "..",
                                       "a..",  ".b.",     "..c",    "a.b.",   "a..c",
                                       ".b.c", "a.b.c.d", "a.b.c.", ".a.b.c", "a.b..c"};
    for (size_t i = 0; i < WF_ARRAY_LEN(none); i++) {
        assert_false(wf_jwt_split(wf_span_str(none[i]), &out));
    }
}

static void no_memory_for_a_key(void **state) {
    const char *why = NULL;
    wf_alloc_fail_from(1);
    assert_null(wf_jwt_key_of_secret(WF_SPAN("0123456789abcdef0123456789abcdef"), &why));
    assert_string_equal(why, "out of memory");
    assert_null(wf_jwt_key_of_pem(wf_span_str(es256_key), &why));
    wf_alloc_fail_from(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_of_the_rfcs),
        cmocka_unit_test(signatures_of_other_lengths),
        cmocka_unit_test(keys_and_algorithms),
        cmocka_unit_test(names),
        cmocka_unit_test(parts),
        cmocka_unit_test(no_memory_for_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
