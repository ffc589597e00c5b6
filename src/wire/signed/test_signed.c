/* Tests of wire/signed: what itsdangerous has signed, and what nobody has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/signed/signed.h"

/* TimestampSigner("secret") at 1700000000, and TimestampSigner of three u with diaeresis at 1 */
static const char theirs[] = "e30=.ZVPxAA.Up7dPVCV4Gzrq2BFDmEytn8g3hQ";
static const char early[] = "a.b.AQ.iLgMFViJ6QjiHZ_IW7j9c7JJzLg";
static const int64_t then = 1700000000;

static struct wf_signer *signer(const char *secret) {
    const char *why;
    struct wf_signer *s = wf_signer_new(wf_span_str(secret), &why);
    assert_non_null(s);
    return s;
}

static void itsdangerous_is_read_and_written(void **state) {
    struct wf_signer *s = signer("secret"), *other = signer("\xc3\xbc\xc3\xbc\xc3\xbc");
    struct wf_span text;
    struct wf_buf out;
    wf_buf_init(&out, 1000);
    assert_int_equal(wf_signer_verify(s, wf_span_str(theirs), then, 0, &text), 1);
    assert_true(wf_span_eq(text, WF_SPAN("e30=")));
    assert_int_equal(wf_signer_sign(s, text, then, &out), 0);
    assert_true(wf_span_eq(wf_buf_span(&out), wf_span_str(theirs)));
    assert_int_equal(wf_signer_verify(other, wf_span_str(early), then, -1, &text), 1);
    assert_true(wf_span_eq(text, WF_SPAN("a.b")));
    out.len = 0;
    assert_int_equal(wf_signer_sign(other, text, 1, &out), 0);
    assert_true(wf_span_eq(wf_buf_span(&out), wf_span_str(early)));
    assert_int_equal(wf_signer_verify(other, wf_span_str(theirs), then, -1, &text), 0);
    wf_buf_free(&out);
    wf_signer_free(s);
    wf_signer_free(other);
}

static void it_has_an_age(void **state) {
    struct wf_signer *s = signer("secret");
    struct wf_span text;
    static const struct {
        int64_t now, max_age;
        int expect;
    } rows[] = {{then, 0, 1},      {then + 1, 0, 0},   {then + 60, 60, 1},  {then + 61, 60, 0},
                {then - 1, 60, 0}, {then - 1, -1, 1},  {then * 2, -1, 1},   {0, INT64_MAX, 0},
                {INT64_MAX, 1, 0}, {INT64_MAX, -1, 1}, {then, INT64_MAX, 1}};
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        assert_int_equal(
            wf_signer_verify(s, wf_span_str(theirs), rows[i].now, rows[i].max_age, &text),
            rows[i].expect);
    }
    wf_signer_free(s);
}

static void whatever_is_changed_is_nobodys(void **state) {
    struct wf_signer *s = signer("secret");
    struct wf_span text;
    const size_t n = sizeof(theirs) - 1;
    char copy[sizeof(theirs)];
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(wf_signer_verify(s, wf_span(theirs, i), then, -1, &text), 0);
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(copy, theirs, n);
            copy[i] = (char)(copy[i] ^ 1 << bit);
            assert_int_equal(wf_signer_verify(s, wf_span(copy, n), then, -1, &text), 0);
        }
    }
    static const char *const none[] = {
        "", ".", "..", "...", "a.b.c", "=.=.=", "e30=.Up7dPVCV4Gzrq2BFDmEytn8g3hQ"};
    for (size_t i = 0; i < WF_ARRAY_LEN(none); i++) {
        assert_int_equal(wf_signer_verify(s, wf_span_str(none[i]), then, -1, &text), 0);
    }
    wf_signer_free(s);
}

static void what_is_signed_has_room(void **state) {
    struct wf_signer *s = signer("secret");
    struct wf_buf out;
    wf_buf_init(&out, 40);
    assert_int_equal(wf_signer_sign(s, WF_SPAN("e30="), then, &out), -1);
    assert_int_equal(out.len, 0);
    wf_buf_free(&out);
    wf_buf_init(&out, 1000);
    assert_int_equal(wf_signer_sign(s, WF_SPAN(""), INT64_MAX, &out), 0);
    assert_int_equal(out.len, WF_SIGNED_EXTRA_CHARS);
    wf_buf_free(&out);
    wf_signer_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(itsdangerous_is_read_and_written),
        cmocka_unit_test(it_has_an_age),
        cmocka_unit_test(whatever_is_changed_is_nobodys),
        cmocka_unit_test(what_is_signed_has_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
