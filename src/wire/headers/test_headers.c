/* Tests of wire/headers, a table a function. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/check.h"
#include "wire/headers/headers.h"

static void ranges(void **state) {
    static const struct {
        const char *value;
        uint64_t size;
        int n;
        struct wf_range out[3];
    } rows[] = {
        {"bytes=0-0", 10, 1, {{0, 1}}},
        {"bytes=2-", 10, 1, {{2, 10}}},
        {"bytes=-3", 10, 1, {{7, 10}}},
        {"bytes=-30", 10, 1, {{0, 10}}},
        {"bytes=5-100", 10, 1, {{5, 10}}},
        {"bytes=0-99999999999999999999999999", 10, 1, {{0, 10}}},
        {" Bytes = 1 - 2 ", 10, 1, {{1, 3}}},
        {"bytes=0-1,4-5", 10, 2, {{0, 2}, {4, 6}}},
        {"bytes=4-5,0-1", 10, 2, {{0, 2}, {4, 6}}},
        {"bytes=0-3,2-5,-1", 10, 2, {{0, 6}, {9, 10}}},
        {"bytes=0-9,0-9,0-9", 10, 1, {{0, 10}}},
        {"bytes=x,1-1", 10, 1, {{1, 2}}},
        {"bytes=10-", 10, WF_RANGE_UNSATISFIABLE, {{0}}},
        {"bytes=0-1,99999999999999999999-", 10, WF_RANGE_UNSATISFIABLE, {{0}}},
        {"bytes=-0", 10, WF_RANGE_UNSATISFIABLE, {{0}}},
        {"bytes=0-", 0, WF_RANGE_UNSATISFIABLE, {{0}}},
        {"bytes=5-4", 10, WF_RANGE_EMPTY, {{0}}},
        {"bytes=", 10, WF_RANGE_MISSING, {{0}}},
        {"bytes=a-b", 10, WF_RANGE_MISSING, {{0}}},
        {"bytes=-", 10, WF_RANGE_MISSING, {{0}}},
        {"lines=0-1", 10, WF_RANGE_UNIT, {{0}}},
        {"bytes", 10, WF_RANGE_BAD, {{0}}},
        {"", 10, WF_RANGE_BAD, {{0}}},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        struct wf_range out[WF_RANGES_MAX];
        int n = wf_range_parse(wf_span_str(rows[i].value), rows[i].size, out);
        if (n != rows[i].n) {
            fail_msg("%s: %d", rows[i].value, n);
        }
        for (int k = 0; k < n; k++) {
            assert_int_equal(out[k].start, rows[i].out[k].start);
            assert_int_equal(out[k].end, rows[i].out[k].end);
        }
    }
}

static void a_flood_of_ranges_is_the_whole(void **state) {
    char value[1024] = "bytes=0-0";
    struct wf_range out[WF_RANGES_MAX];
    for (int i = 1; i < WF_RANGES_MAX; i++) {
        strcat(value, ",0-0");
    }
    assert_int_equal(wf_range_parse(wf_span_str(value), 10, out), 1);
    strcat(value, ",0-0");
    assert_int_equal(wf_range_parse(wf_span_str(value), 10, out), WF_RANGE_NONE);
}

static void entity_tags(void **state) {
    static const struct {
        const char *list, *etag;
        bool in;
    } rows[] = {
        {"\"a\"", "\"a\"", true},   {"\"b\", \"a\"", "\"a\"", true},
        {"W/\"a\"", "\"a\"", true}, {"\"a\"", "W/\"a\"", true},
        {" * ", "\"a\"", true},     {"\"a,b\"", "\"a,b\"", true},
        {"\"ab\"", "\"a\"", false}, {"", "\"a\"", false},
        {"\"a", "\"a\"", false},    {"a", "\"a\"", false},
        {"\"*\"", "\"a\"", false},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        if (wf_etag_in(wf_span_str(rows[i].list), wf_span_str(rows[i].etag)) != rows[i].in) {
            fail_msg("%s %s", rows[i].list, rows[i].etag);
        }
    }
}

static void dates(void **state) {
    static const struct {
        const char *text;
        int64_t seconds;
    } rows[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Thu, 29 Feb 2024 23:59:60 GMT", 1709251200},
        {"Sun, 06 Nov 1994 24:00:00 GMT", -1},
        {"Sun, 00 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Foo 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 19945 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994", -1},
        {"784111777", -1},
        {"", -1},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        int64_t got = wf_http_date_parse(wf_span_str(rows[i].text));
        if (got != rows[i].seconds) {
            fail_msg("%s: %lld", rows[i].text, (long long)got);
        }
    }
    char out[WF_HTTP_DATE_CHARS];
    for (int64_t t = 0; t < 4102444800; t += 8640001) {
        wf_http_date_write(out, t);
        assert_int_equal(wf_http_date_parse(wf_span(out, sizeof(out))), t);
    }
}

static void weights(void **state) {
    static const struct {
        const char *list, *token;
        unsigned weight;
    } rows[] = {
        {"gzip", "gzip", 1000},
        {"GZip;Q=0.5", "gzip", 500},
        {"br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip", 800},
        {"br;q=1.0, gzip;q=0.8, *;q=0.1", "zstd", 100},
        {"*", "gzip", 1000},
        {"*, gzip;q=0", "gzip", 0},
        {"identity", "gzip", 0},
        {"", "gzip", 0},
        {"gzip;q=2", "gzip", 0},
        {"gzip;q=0.12345", "gzip", 0},
        {"gzip;q=", "gzip", 0},
        {"gzip;q=1.001", "gzip", 0},
        {"xgzip, gzipx", "gzip", 0},
        {"gzip ; level=9 ; q=0.001", "gzip", 1},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        unsigned w = wf_accept_weight(wf_span_str(rows[i].list), wf_span_str(rows[i].token));
        if (w != rows[i].weight) {
            fail_msg("%s %s: %u", rows[i].list, rows[i].token, w);
        }
    }
    assert_true(wf_list_has(WF_SPAN("Accept, Origin"), WF_SPAN("origin")));
    assert_false(wf_list_has(WF_SPAN("Accept, Origins"), WF_SPAN("origin")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),      cmocka_unit_test(a_flood_of_ranges_is_the_whole),
        cmocka_unit_test(entity_tags), cmocka_unit_test(dates),
        cmocka_unit_test(weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
