/* Tests of wire/base64: RFC 4648's vectors, both alphabets, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/base64/base64.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static void both_ways(void **state) {
    static const struct {
        const char *bytes, *text, *url;
    } rows[] = {
        /* RFC 4648 section 10 */
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff", "+/8=", "-_8"},
        {"\xfb\xef\xbe\xff\xff\xff", "++++////", "----____"},
    };
    char out[16];
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        struct wf_span bytes = wf_span_str(rows[i].bytes), text = wf_span_str(rows[i].text),
                       url = wf_span_str(rows[i].url);
        assert_int_equal(WF_BASE64_CHARS(bytes.n), text.n);
        assert_true(wf_span_eq(wf_span(out, wf_base64_encode(out, bytes)), text));
        assert_true(wf_span_eq(wf_span(out, wf_base64url_encode(out, bytes)), url));
        assert_int_equal(wf_base64_bytes(text), bytes.n);
        assert_int_equal(wf_base64_decode(out, text, WF_BASE64_CANONICAL), bytes.n);
        assert_memory_equal(out, bytes.p, bytes.n);
        assert_int_equal(wf_base64_decode(out, text, WF_BASE64_LAX), bytes.n);
        assert_memory_equal(out, bytes.p, bytes.n);
        assert_int_equal(wf_base64url_decode(out, url), bytes.n);
        assert_memory_equal(out, bytes.p, bytes.n);
        memcpy(out, text.p, text.n);
        assert_int_equal(wf_base64_decode(out, wf_span(out, text.n), WF_BASE64_LAX), bytes.n);
        assert_memory_equal(out, bytes.p, bytes.n);
    }
}

static void what_is_no_base64(void **state) {
    static const char *const none[] = {
        "Z",      "Zg",     "Zm9",     "Zg=",   "Z===",     "====",        "=",    "==",
        "=Zm8",   "Z=m8",   "Zm=8",    "-_8=",  "Zg==Zg==", "Zm9vYm=y",    "a b=", "Zm 9v",
        "Zm9v\n", "\nZm9v", "Zm9\xc3", "Zm9v=", "Zm9v====", "\xc3m9vYmFy", "Pj4-", "Pz8_"};
    char out[16];
    for (size_t i = 0; i < WF_ARRAY_LEN(none); i++) {
        assert_int_equal(wf_base64_decode(out, wf_span_str(none[i]), WF_BASE64_LAX), -1);
        assert_int_equal(wf_base64_decode(out, wf_span_str(none[i]), WF_BASE64_CANONICAL), -1);
    }
    static const char *const no_url[] = {
        "Z",     "Zm9vY",  "Zg==",    "Zm8=",     "Pz8/",       "Pj4+",
        "Zm 9v", "Zm9v\n", "Zm9\xc3", "Zm9vYm=y", "\xc3m9vYmFy"};
    for (size_t i = 0; i < WF_ARRAY_LEN(no_url); i++) {
        assert_int_equal(wf_base64url_decode(out, wf_span_str(no_url[i])), -1);
    }
}

static void bits_that_are_left_over(void **state) {
    static const char *const rows[][2] = {{"Zh==", "f"}, {"Zv==", "f"}, {"Zm9=", "fo"}};
    char out[16];
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        struct wf_span text = wf_span_str(rows[i][0]), bytes = wf_span_str(rows[i][1]);
        assert_int_equal(wf_base64_decode(out, text, WF_BASE64_CANONICAL), -1);
        assert_int_equal(wf_base64_decode(out, text, WF_BASE64_LAX), bytes.n);
        assert_memory_equal(out, bytes.p, bytes.n);
        assert_int_equal(wf_base64url_decode(out, wf_span(text.p, bytes.n + 1)), -1);
    }
}

/* `c` as each of the four of a group. */
static ssize_t decode_with(char c, size_t at, bool url) {
    char text[] = {'A', 'A', 'A', 'A'}, out[3];
    text[at] = c;
    struct wf_span in = wf_span(text, 4);
    return url ? wf_base64url_decode(out, in) : wf_base64_decode(out, in, WF_BASE64_LAX);
}

static void every_character_has_its_six_bits(void **state) {
    const struct wf_span all = WF_SPAN(LETTERS "+/"), all_url = WF_SPAN(LETTERS "-_");
    char out[48], out_url[48];
    assert_int_equal(wf_base64_decode(out, all, WF_BASE64_CANONICAL), sizeof(out));
    assert_int_equal(wf_base64url_decode(out_url, all_url), sizeof(out));
    assert_memory_equal(out, out_url, sizeof(out));
    for (unsigned i = 0; i < 64; i++) {
        const unsigned char *p = (const unsigned char *)out + i / 4 * 3;
        uint32_t three = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        assert_int_equal(three >> (18 - 6 * (i % 4)) & 0x3f, i);
    }
    for (unsigned c = 0; c < 256; c++) {
        for (size_t at = 0; at < 4; at++) {
            bool padding = c == '=' && at == 3;
            assert_int_equal(decode_with((char)c, at, false), memchr(all.p, (int)c, all.n) ? 3
                                                              : padding                    ? 2
                                                                                           : -1);
            assert_int_equal(decode_with((char)c, at, true),
                             memchr(all_url.p, (int)c, all_url.n) ? 3 : -1);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways),
        cmocka_unit_test(what_is_no_base64),
        cmocka_unit_test(bits_that_are_left_over),
        cmocka_unit_test(every_character_has_its_six_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
