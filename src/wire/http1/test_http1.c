/* Tests of wire/http1. argv[1] is the source directory of wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "wire/http1/http1_int.h"

static const struct wf_http1_limits limits = {64 * 1024, 16 * 1024, 100};

static ssize_t parse(struct wf_span in, struct wf_head *h, struct wf_field *fields) {
    struct wf_http1_progress progress = {0};
    *h = (struct wf_head){.fields = fields, .fields_cap = 100};
    return wf_http1_head(&limits, &progress, in, h);
}

static void a_plain_get_is_read(void **state) {
    struct wf_head h;
    struct wf_field fields[100];
    struct wf_span in = WF_SPAN("GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\nrest");
    assert_int_equal(parse(in, &h, fields), in.n - 4);
    assert_int_equal(h.method, WF_METHOD_GET);
    assert_true(wf_span_eq(wf_head_span(in.p, h.path_at), WF_SPAN("/a")));
    assert_true(wf_span_eq(wf_head_span(in.p, h.query_at), WF_SPAN("b=c")));
    assert_int_equal(h.nfields, 1);
    assert_int_equal(h.fields[0].id, WF_FIELD_HOST);
    assert_true(h.keep_alive);
}

static void every_field_name_is_found_in_any_case(void **state) {
    for (int id = 1; id < WF_FIELD_COUNT; id++) {
        struct wf_span name = wf_field_name(id);
        char mixed[WF_FIELD_NAME_ROOM];
        unsigned letters = 0;
        for (size_t i = 0; i < name.n; i++) {
            letters += name.p[i] != '-';
        }
        for (unsigned mix = 0; mix < 1u << letters; mix++) {
            unsigned bit = 0;
            for (size_t i = 0; i < name.n; i++) {
                bool upper = name.p[i] != '-' && (mix >> bit++ & 1);
                mixed[i] = upper ? name.p[i] - 32 : name.p[i];
            }
            if (wf_field_id_of(wf_span(mixed, name.n)) != (enum wf_field_id)id) {
                fail_msg("%.*s", (int)name.n, mixed);
            }
        }
    }
}

static void a_field_name_with_one_byte_changed_is_unknown(void **state) {
    for (int id = 1; id < WF_FIELD_COUNT; id++) {
        struct wf_span name = wf_field_name(id);
        char copy[WF_FIELD_NAME_ROOM];
        for (size_t i = 0; i < name.n; i++) {
            for (int c = 0; c < 256; c++) {
                memcpy(copy, name.p, name.n);
                copy[i] = (char)c;
                bool same = wf_span_eq_lower(wf_span(copy, name.n), name);
                if ((wf_field_id_of(wf_span(copy, name.n)) == (enum wf_field_id)id) != same) {
                    fail_msg("%.*s, byte %zu is %d", (int)name.n, name.p, i, c);
                }
            }
        }
        assert_int_equal(wf_field_id_of(wf_span(name.p, name.n - 1)), WF_FIELD_UNKNOWN);
    }
    assert_int_equal(wf_field_id_of(WF_SPAN("")), WF_FIELD_UNKNOWN);
    assert_int_equal(wf_field_id_of(WF_SPAN("x")), WF_FIELD_UNKNOWN);
}

static void methods_are_case_sensitive(void **state) {
    for (int m = 0; m < WF_METHOD_OTHER; m++) {
        assert_int_equal(wf_method_of(wf_method_name(m)), m);
    }
    assert_int_equal(wf_method_of(WF_SPAN("get")), WF_METHOD_OTHER);
    assert_int_equal(wf_method_of(WF_SPAN("GETS")), WF_METHOD_OTHER);
    assert_int_equal(wf_method_of(WF_SPAN("GE")), WF_METHOD_OTHER);
    assert_int_equal(wf_method_of(WF_SPAN("")), WF_METHOD_OTHER);
    assert_int_equal(wf_method_name(WF_METHOD_OTHER).n, 0);
}

static void names_and_values_that_would_split_a_reply_are_refused(void **state) {
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        bool token = c != 0 && (strchr("!#$%&'*+-.^_`|~", c) != NULL || (c >= '0' && c <= '9') ||
                                (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
        assert_int_equal(wf_field_name_ok(wf_span(&byte, 1)), token);
        assert_int_equal(wf_field_value_ok(wf_span(&byte, 1)), c == 9 || (c >= 32 && c != 127));
    }
    assert_false(wf_field_name_ok(WF_SPAN("")));
    assert_true(wf_field_value_ok(WF_SPAN("")));
    assert_false(wf_field_value_ok(WF_SPAN("a\r\nset-cookie: b")));
}

static void the_date_line_agrees_with_strftime(void **state) {
    char got[WF_HTTP1_DATE_LINE], want[64];
    uint64_t random = 1;
    for (int i = 0; i < 200000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        /* every day of 1970 to 2300, then moments of any year */
        time_t t = i < 120000 ? i * 86400ll + i % 86400 : (time_t)((random >> 20) % 253402300800u);
        struct tm tm;
        strftime(want, sizeof(want), "date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&t, &tm));
        wf_http1_date_line(got, t);
        assert_memory_equal(got, want, WF_HTTP1_DATE_LINE);
    }
    wf_http1_date_line(got, -1);
    assert_memory_equal(got, "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", WF_HTTP1_DATE_LINE);
    wf_http1_date_line(got, INT64_MAX);
    assert_memory_equal(got, "date: Fri, 31 Dec 9999 23:59:59 GMT\r\n", WF_HTTP1_DATE_LINE);
}

static void reasons_are_those_of_the_registry(void **state) {
    assert_string_equal(wf_status_reason(200).p, "OK");
    assert_string_equal(wf_status_reason(422).p, "Unprocessable Content");
    assert_string_equal(wf_status_reason(511).p, "Network Authentication Required");
    assert_int_equal(wf_status_reason(599).n, 0);
    assert_int_equal(wf_status_reason(0).n, 0);
}

int main(int argc, char **argv) {
    wf_http1_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_get_is_read),
        cmocka_unit_test(every_field_name_is_found_in_any_case),
        cmocka_unit_test(a_field_name_with_one_byte_changed_is_unknown),
        cmocka_unit_test(methods_are_case_sensitive),
        cmocka_unit_test(names_and_values_that_would_split_a_reply_are_refused),
        cmocka_unit_test(the_date_line_agrees_with_strftime),
        cmocka_unit_test(reasons_are_those_of_the_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
