/* Tests of wire/url over the tables in cases/, which make_cases.py has asked Python for. argv[1] is the
 * source directory of wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/check.h"
#include "wire/url/url.h"

static const char *wire_dir;

enum { PAGE = 4096, COLUMNS_MAX = 64 };

/* A copy that ends where the next page faults. */
static struct wf_span at_end_of_page(struct wf_span s) {
    static char *page;
    if (page == NULL) {
        page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(page != MAP_FAILED);
        assert_int_equal(mprotect(page + PAGE, PAGE, PROT_NONE), 0);
    }
    assert_true(s.n <= PAGE);
    memcpy(page + PAGE - s.n, s.p, s.n);
    return wf_span(page + PAGE - s.n, s.n);
}

/* Undoes \xHH in place. */
static struct wf_span unescape(char *s) {
    char *o = s;
    for (const char *p = s; *p != '\0';) {
        if (*p == '\\') {
            char hex[3] = {p[2], p[3], 0};
            *o++ = (char)strtol(hex, NULL, 16);
            p += 4;
        } else {
            *o++ = *p++;
        }
    }
    return wf_span(s, (size_t)(o - s));
}

/* Calls `check` with the columns of each line. */
static void each_case(const char *name, void (*check)(const struct wf_span *columns, unsigned n)) {
    char path[1024], line[4096];
    snprintf(path, sizeof(path), "%s/url/cases/%s", wire_dir, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    unsigned cases = 0;
    while (fgets(line, sizeof(line), f) != NULL) {
        struct wf_span columns[COLUMNS_MAX];
        unsigned n = 0;
        line[strcspn(line, "\n")] = '\0';
        char *rest = line;
        for (char *cell; (cell = strsep(&rest, "\t")) != NULL && n < COLUMNS_MAX; n++) {
            columns[n] = unescape(cell);
        }
        check(columns, n);
        cases++;
    }
    fclose(f);
    assert_true(cases > 100);
}

static void same(struct wf_span got, struct wf_span want, struct wf_span in) {
    if (!wf_span_eq(got, want)) {
        fail_msg("\"%.*s\" gives \"%.*s\", not \"%.*s\"", (int)in.n, in.p, (int)got.n, got.p,
                 (int)want.n, want.p);
    }
}

static void check_form(const struct wf_span *columns, unsigned n) {
    char out[PAGE];
    struct wf_span in = at_end_of_page(columns[0]);
    assert_int_equal(n, 2);
    bool escaped = memchr(in.p, '%', in.n) != NULL || memchr(in.p, '+', in.n) != NULL;
    assert_int_equal(wf_form_escaped(in), escaped);
    same(wf_span(out, wf_form_decode(out, in)), columns[1], columns[0]);
    char *p = (char *)(uintptr_t)in.p; /* in place */
    same(wf_span(p, wf_form_decode(p, in)), columns[1], columns[0]);
}

static void check_path(const struct wf_span *columns, unsigned n) {
    char out[PAGE];
    struct wf_span in = at_end_of_page(columns[0]);
    assert_int_equal(n, 2);
    ssize_t got = wf_path_decode(out, in);
    char *p = (char *)(uintptr_t)in.p;
    assert_int_equal(wf_path_decode(p, in), got);
    if (wf_span_eq(columns[1], WF_SPAN("BAD"))) {
        if (got != -1) {
            fail_msg("\"%.*s\" is good", (int)columns[0].n, columns[0].p);
        }
        return;
    }
    if (got < 0) {
        fail_msg("\"%.*s\" is bad", (int)columns[0].n, columns[0].p);
    }
    same(wf_span(out, (size_t)got), columns[1], columns[0]);
    same(wf_span(p, (size_t)got), columns[1], columns[0]);
}

static void check_pairs(const struct wf_span *columns, unsigned n, bool decode,
                        bool next(struct wf_query *, struct wf_span *, struct wf_span *)) {
    struct wf_query q;
    struct wf_span pair[2];
    char out[PAGE];
    unsigned i = 1;
    wf_query_init(&q, at_end_of_page(columns[0]));
    while (next(&q, &pair[0], &pair[1])) {
        for (int k = 0; k < 2; k++, i++) {
            assert_true(i < n);
            if (decode) {
                pair[k] = wf_span(out, wf_form_decode(out, pair[k]));
            }
            same(pair[k], columns[i], columns[0]);
        }
    }
    assert_int_equal(i, n);
    assert_false(next(&q, &pair[0], &pair[1]));
}

static void check_query(const struct wf_span *columns, unsigned n) {
    check_pairs(columns, n, true, wf_query_next);
}

static void check_cookie(const struct wf_span *columns, unsigned n) {
    check_pairs(columns, n, false, wf_cookie_next);
}

static void check_unquote(const struct wf_span *columns, unsigned n) {
    char out[PAGE];
    struct wf_span in = at_end_of_page(columns[0]);
    assert_int_equal(n, 2);
    same(wf_span(out, wf_cookie_unquote(out, in)), columns[1], columns[0]);
}

static void forms_decode_as_urllib_does(void **state) {
    each_case("form.txt", check_form);
}

static void queries_split_as_parse_qsl_does(void **state) {
    each_case("query.txt", check_query);
}

static void paths_decode_strictly(void **state) {
    each_case("path.txt", check_path);
}

static void cookies_split_as_starlette_does(void **state) {
    each_case("cookie.txt", check_cookie);
}

static void cookies_unquote_as_http_cookies_does(void **state) {
    each_case("cookie_unquote.txt", check_unquote);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        return 2;
    }
    wire_dir = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_decode_as_urllib_does),
        cmocka_unit_test(queries_split_as_parse_qsl_does),
        cmocka_unit_test(paths_decode_strictly),
        cmocka_unit_test(cookies_split_as_starlette_does),
        cmocka_unit_test(cookies_unquote_as_http_cookies_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
