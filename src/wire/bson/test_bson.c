/* Tests of wire/bson: cases/bson.txt (documents, errors, Extended JSON, decimal128), truncation at
 * every byte, depth, dates, allocation failure. argv[1] is src/wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "wire/bson/bson_read.h"
#include "wire/bson/bson_write.h"
#include "wire/bson/date.h"

static const char *source_dir;
static int wrong; /* cases of bson.txt that were not as expected */

#define WRONG(line, ...) (wrong++, printf("bson.txt:%d: ", line), printf(__VA_ARGS__), puts(""))

static const char *error_name(enum wf_bson_error e) {
    static const char *const names[] = {"OK",
#define X(id, text) #id,
                                        WF_BSON_ERRORS(X)
#undef X
    };
    return names[e];
}

/* ---- cases/bson.txt ---- */

/* A copy that ends where its memory ends, so that reading past it is seen. */
static struct wf_span exact(struct wf_span s) {
    char *p = malloc(s.n ? s.n : 1);
    memcpy(p, s.p, s.n);
    return wf_span(p, s.n);
}

static struct wf_span from_hex(const char *hex) {
    char bytes[4096];
    size_t n = strlen(hex) / 2;
    assert_true(n <= sizeof(bytes));
    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
        bytes[i] = (char)v;
    }
    return exact(wf_span(bytes, n));
}

static void assert_text(int line, const char *what, struct wf_span is, const char *expected) {
    if (!wf_span_eq(is, wf_span_str(expected))) {
        WRONG(line, "%s is %.*s, expected %s", what, (int)is.n, is.p, expected);
    }
}

static void to_json(struct wf_span doc, enum wf_bson_json_mode mode, struct wf_buf *out) {
    size_t at;
    wf_buf_init(out, 1 << 20);
    assert_int_equal(wf_bson_to_json(doc, mode, out, &at), WF_BSON_OK);
}

/* v  hex, canonical, relaxed */
static void check_document(int line, char *f[]) {
    struct wf_span doc = from_hex(f[1]);
    size_t at;
    enum wf_bson_error e = wf_bson_validate(doc, &at);
    if (e != WF_BSON_OK) {
        WRONG(line, "%s at %zu", error_name(e), at);
    }
    for (int mode = 0; mode < 2; mode++) {
        struct wf_buf json, again, json_again;
        enum wf_json_error json_error;
        const char *expected = mode == WF_BSON_CANONICAL ? f[2] : f[3];
        to_json(doc, (enum wf_bson_json_mode)mode, &json);
        assert_text(line, "the JSON", wf_buf_span(&json), expected);
        wf_buf_init(&again, 1 << 20);
        struct wf_span text = exact(wf_buf_span(&json));
        e = wf_bson_from_json(text, &again, &at, &json_error);
        if (e != WF_BSON_OK) {
            WRONG(line, "%s is %s at %zu", expected, error_name(e), at);
        }
        if (mode == WF_BSON_CANONICAL) {
            assert_true(wf_span_eq(wf_buf_span(&again), doc));
        }
        to_json(wf_buf_span(&again), (enum wf_bson_json_mode)mode, &json_again);
        assert_text(line, "the JSON again", wf_buf_span(&json_again), expected);
        free((char *)text.p);
        wf_buf_free(&json);
        wf_buf_free(&again);
        wf_buf_free(&json_again);
    }
    /* cut short anywhere it is an error, and so is one byte more */
    for (size_t n = 0; n < doc.n; n++) {
        struct wf_span cut = exact(wf_span(doc.p, n));
        assert_int_equal(wf_bson_validate(cut, &at), WF_BSON_ERROR_SHORT);
        free((char *)cut.p);
    }
    free((char *)doc.p);
}

/* e  error, offset, hex */
static void check_bad_document(int line, char *f[]) {
    struct wf_span doc = from_hex(f[3]);
    size_t at;
    enum wf_bson_error e = wf_bson_validate(doc, &at);
    if (strcmp(error_name(e), f[1]) != 0 || at != strtoul(f[2], NULL, 10)) {
        WRONG(line, "%s at %zu, expected %s at %s", error_name(e), at, f[1], f[2]);
    }
    struct wf_buf json;
    size_t at_json;
    wf_buf_init(&json, 1 << 20);
    assert_int_equal(wf_bson_to_json(doc, WF_BSON_RELAXED, &json, &at_json), e);
    assert_int_equal(at_json, at);
    assert_int_equal(json.len, 0);
    wf_buf_free(&json);
    free((char *)doc.p);
}

/* r  text, canonical */
static void check_json(int line, char *f[]) {
    struct wf_span text = exact(wf_span_str(f[1]));
    struct wf_buf doc, json;
    size_t at;
    enum wf_json_error json_error;
    wf_buf_init(&doc, 1 << 20);
    enum wf_bson_error e = wf_bson_from_json(text, &doc, &at, &json_error);
    if (e != WF_BSON_OK) {
        WRONG(line, "%s at %zu", error_name(e), at);
    }
    assert_int_equal(wf_bson_validate(wf_buf_span(&doc), &at), WF_BSON_OK);
    to_json(wf_buf_span(&doc), WF_BSON_CANONICAL, &json);
    assert_text(line, "the JSON", wf_buf_span(&json), f[2]);
    wf_buf_free(&doc);
    wf_buf_free(&json);
    for (size_t n = 0; n < text.n; n++) { /* cut short: an error, or white space was cut */
        struct wf_span cut = exact(wf_span(text.p, n));
        wf_buf_init(&doc, 1 << 20);
        e = wf_bson_from_json(cut, &doc, &at, &json_error);
        assert_true(e != WF_BSON_OK || text.p[n] == ' ');
        assert_true(at <= n);
        wf_buf_free(&doc);
        free((char *)cut.p);
    }
    free((char *)text.p);
}

/* j  error, offset, text */
static void check_bad_json(int line, char *f[]) {
    struct wf_span text = exact(wf_span_str(f[3]));
    struct wf_buf doc;
    size_t at;
    enum wf_json_error json_error;
    wf_buf_init(&doc, 1 << 20);
    enum wf_bson_error e = wf_bson_from_json(text, &doc, &at, &json_error);
    if (strcmp(error_name(e), f[1]) != 0 || at != strtoul(f[2], NULL, 10)) {
        WRONG(line, "%s at %zu, expected %s at %s", error_name(e), at, f[1], f[2]);
    }
    assert_int_equal(e == WF_BSON_ERROR_JSON, json_error != WF_JSON_OK);
    assert_int_equal(doc.len, 0);
    wf_buf_free(&doc);
    free((char *)text.p);
}

/* d, w  bits, text[, other texts]: of w the text does not give the bits back */
static void check_decimal(int line, char *f[], int n) {
    struct wf_span bits = from_hex(f[1]);
    struct wf_decimal128 v = {wf_bson_load64(bits.p), wf_bson_load64(bits.p + 8)}, read;
    char text[WF_DECIMAL128_CHARS_MAX];
    size_t len = wf_decimal128_write(text, v);
    assert_text(line, "the decimal", wf_span(text, len), f[2]);
    for (int i = 2; i < n && f[0][0] == 'd'; i++) {
        if (wf_decimal128_read(wf_span_str(f[i]), &read) != WF_DECIMAL128_OK || read.low != v.low ||
            read.high != v.high) {
            WRONG(line, "%s is %016llx %016llx", f[i], (unsigned long long)read.high,
                  (unsigned long long)read.low);
        }
    }
    free((char *)bits.p);
}

/* x  error, text */
static void check_bad_decimal(int line, char *f[]) {
    static const char *const names[] = {"OK", "SYNTAX", "INEXACT", "RANGE"};
    struct wf_decimal128 v;
    struct wf_span text = exact(wf_span_str(f[2]));
    enum wf_decimal128_error e = wf_decimal128_read(text, &v);
    if (strcmp(names[e], f[1]) != 0) {
        WRONG(line, "\"%s\" is %s, expected %s", f[2], names[e], f[1]);
    }
    free((char *)text.p);
}

static void cases_are_judged(void **state) {
    static char path[1024], line[16384];
    snprintf(path, sizeof(path), "%s/bson/cases/bson.txt", source_dir);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    int seen = 0;
    for (int number = 1; fgets(line, sizeof(line), file) != NULL; number++) {
        line[strcspn(line, "\n")] = '\0';
        char *f[8] = {NULL};
        int n = 0;
        for (char *p = line; p != NULL && n < 8; n++) {
            f[n] = p;
            p = strchr(p, '\t');
            if (p != NULL) {
                *p++ = '\0';
            }
        }
        if (line[0] == '#' || line[0] == '\0') {
            continue;
        }
        seen++;
        switch (f[0][0]) {
        case 'v':
            check_document(number, f);
            break;
        case 'e':
            check_bad_document(number, f);
            break;
        case 'r':
            check_json(number, f);
            break;
        case 'j':
            check_bad_json(number, f);
            break;
        case 'd':
        case 'w':
            check_decimal(number, f, n);
            break;
        case 'x':
            check_bad_decimal(number, f);
            break;
        default:
            WRONG(number, "what is %s?", f[0]);
        }
    }
    fclose(file);
    assert_true(seen > 200);
    assert_int_equal(wrong, 0);
}

/* ---- the rest ---- */

/* `levels` documents, each but the innermost holding one. */
static void nest(struct wf_buf *b, unsigned levels) {
    size_t starts[WF_BSON_DEPTH_MAX + 2];
    assert_true(levels <= WF_ARRAY_LEN(starts));
    assert_int_equal(wf_bson_begin(b, &starts[0]), WF_BUF_OK);
    for (unsigned i = 1; i < levels; i++) {
        enum wf_bson_type type = i % 2 != 0 ? WF_BSON_ARRAY : WF_BSON_DOCUMENT;
        assert_int_equal(wf_bson_put_begin(b, type, WF_SPAN("0"), &starts[i]), WF_BUF_OK);
    }
    for (unsigned i = levels; i-- > 0;) {
        assert_int_equal(wf_bson_end(b, starts[i]), WF_BUF_OK);
    }
}

static void depth_has_a_limit(void **state) {
    for (unsigned levels = WF_BSON_DEPTH_MAX - 1; levels <= WF_BSON_DEPTH_MAX + 1; levels++) {
        bool good = levels <= WF_BSON_DEPTH_MAX;
        struct wf_buf doc, json, again;
        size_t at;
        enum wf_json_error json_error;
        wf_buf_init(&doc, 1 << 20);
        wf_buf_init(&json, 1 << 20);
        wf_buf_init(&again, 1 << 20);
        nest(&doc, levels);
        enum wf_bson_error expected = good ? WF_BSON_OK : WF_BSON_ERROR_DEPTH;
        assert_int_equal(wf_bson_validate(wf_buf_span(&doc), &at), expected);
        assert_int_equal(wf_bson_to_json(wf_buf_span(&doc), WF_BSON_RELAXED, &json, &at), expected);
        json.len = 0;
        for (unsigned i = 0; i < levels; i++) {
            assert_int_equal(wf_buf_append(&json, "{\"a\":", 5), WF_BUF_OK);
        }
        assert_int_equal(wf_buf_append(&json, "1", 1), WF_BUF_OK);
        for (unsigned i = 0; i < levels; i++) {
            assert_int_equal(wf_buf_append(&json, "}", 1), WF_BUF_OK);
        }
        assert_int_equal(wf_bson_from_json(wf_buf_span(&json), &again, &at, &json_error), expected);
        wf_buf_free(&doc);
        wf_buf_free(&json);
        wf_buf_free(&again);
    }
}

static void dates_are_the_calendar(void **state) {
    static const struct {
        int64_t ms;
        struct wf_bson_date date;
    } cases[] = {
        {0, {1970, 1, 1, 0, 0, 0, 0}},
        {-1, {1969, 12, 31, 23, 59, 59, 999}},
        {951782400000, {2000, 2, 29, 0, 0, 0, 0}},
        {951868800000, {2000, 3, 1, 0, 0, 0, 0}},
        {-2203891200001, {1900, 2, 28, 23, 59, 59, 999}},
        {-2203891200000, {1900, 3, 1, 0, 0, 0, 0}},
        {WF_BSON_DATE_MIN_MS, {1, 1, 1, 0, 0, 0, 0}},
        {WF_BSON_DATE_MAX_MS, {9999, 12, 31, 23, 59, 59, 999}},
    };
    struct wf_bson_date d;
    for (size_t i = 0; i < WF_ARRAY_LEN(cases); i++) {
        assert_true(wf_bson_date_from_ms(cases[i].ms, &d));
        assert_memory_equal(&d, &cases[i].date, sizeof(d));
        assert_int_equal(wf_bson_date_to_ms(&d), cases[i].ms);
    }
    assert_false(wf_bson_date_from_ms(WF_BSON_DATE_MIN_MS - 1, &d));
    assert_false(wf_bson_date_from_ms(WF_BSON_DATE_MAX_MS + 1, &d));
    assert_false(wf_bson_date_from_ms(INT64_MIN, &d));
    /* each day there is, against the one before it */
    struct wf_bson_date last = {.year = 0, .month = 12, .day = 31};
    for (int64_t ms = WF_BSON_DATE_MIN_MS; ms <= WF_BSON_DATE_MAX_MS; ms += 86400000) {
        assert_true(wf_bson_date_from_ms(ms, &d));
        bool next_day = d.year == last.year && d.month == last.month && d.day == last.day + 1;
        bool next_month = d.year == last.year && d.month == last.month + 1 && d.day == 1;
        bool next_year = d.year == last.year + 1 && last.month == 12 && d.month == 1 && d.day == 1;
        if (!(next_day || (next_month && last.day >= 28) || (next_year && last.day == 31)) ||
            wf_bson_date_to_ms(&d) != ms) {
            fail_msg("%04d-%02d-%02d after %04d-%02d-%02d", d.year, d.month, d.day, last.year,
                     last.month, last.day);
        }
        last = d;
    }
}

static void memory_may_run_out(void **state) {
    static const char text[] =
        "{\"a\":[1,{\"$numberDecimal\":\"1.5\"},{\"$scope\":{\"b\":null},\"$code\":\"some code\"}],"
        "\"bytes\":{\"$binary\":{\"base64\":\"AAECAwQFBgcICQoLDA0ODw==\",\"subType\":\"02\"}}}";
    struct wf_buf doc, json;
    size_t at;
    enum wf_json_error json_error;
    for (unsigned long nth = 1;; nth++) {
        wf_buf_init(&doc, 1 << 20);
        wf_alloc_fail_from(nth);
        enum wf_bson_error e = wf_bson_from_json(wf_span_str(text), &doc, &at, &json_error);
        wf_alloc_fail_from(0);
        if (e == WF_BSON_OK) {
            assert_true(nth > 1);
            break;
        }
        assert_int_equal(e, WF_BSON_ERROR_NOMEM);
        assert_int_equal(doc.len, 0);
        wf_buf_free(&doc);
    }
    for (unsigned long nth = 1;; nth++) {
        wf_buf_init(&json, 1 << 20);
        wf_alloc_fail_from(nth);
        enum wf_bson_error e = wf_bson_to_json(wf_buf_span(&doc), WF_BSON_CANONICAL, &json, &at);
        wf_alloc_fail_from(0);
        wf_buf_free(&json);
        if (e == WF_BSON_OK) {
            assert_true(nth > 1);
            break;
        }
        assert_int_equal(e, WF_BSON_ERROR_NOMEM);
    }
    /* and a buffer may be too small by any number of bytes */
    for (size_t max = 0; max < doc.len; max++) {
        struct wf_buf small;
        wf_buf_init(&small, max);
        assert_int_equal(wf_bson_from_json(wf_span_str(text), &small, &at, &json_error),
                         WF_BSON_ERROR_FULL);
        wf_buf_free(&small);
    }
    wf_buf_free(&doc);
}

/* Every put of the writer, read back by the cursor. */
static void what_is_written_is_read(void **state) {
    struct wf_buf b;
    size_t start, inner, at, bytes;
    static const char id[12] = "ABCDEFGHIJKL";
    wf_buf_init(&b, 1 << 20);
    struct wf_span a = WF_SPAN("a"), empty = WF_SPAN("");
    int rc = wf_bson_begin(&b, &start);
    rc |= wf_bson_put_double(&b, a, 0.5);
    rc |= wf_bson_put_string(&b, WF_BSON_STRING, a, WF_SPAN("text"));
    rc |= wf_bson_put_begin(&b, WF_BSON_DOCUMENT, a, &inner);
    rc |= wf_bson_end(&b, inner);
    rc |= wf_bson_put_binary(&b, a, 2, WF_SPAN("bytes"));
    rc |= wf_bson_put_binary(&b, a, 0x80, empty);
    rc |= wf_bson_put_objectid(&b, a, id);
    rc |= wf_bson_put_bool(&b, a, true);
    rc |= wf_bson_put_int64(&b, WF_BSON_DATETIME, a, -5);
    rc |= wf_bson_put_plain(&b, WF_BSON_NULL, empty);
    rc |= wf_bson_put_regex(&b, a, WF_SPAN("p+"), WF_SPAN("im"));
    rc |= wf_bson_put_dbpointer(&b, a, WF_SPAN("ns"), id);
    rc |= wf_bson_put_code_begin(&b, a, WF_SPAN("code"), &inner);
    size_t scope;
    rc |= wf_bson_begin(&b, &scope);
    rc |= wf_bson_put_int32(&b, a, INT32_MIN);
    rc |= wf_bson_end(&b, scope);
    rc |= wf_bson_code_end(&b, inner);
    rc |= wf_bson_put_timestamp(&b, a, 7, 8);
    rc |= wf_bson_put_decimal(&b, a, (struct wf_decimal128){1, 2});
    rc |= wf_bson_end(&b, start);
    assert_int_equal(rc, WF_BUF_OK);
    assert_int_equal(wf_bson_validate(wf_buf_span(&b), &at), WF_BSON_OK);

    struct wf_bson_cursor c;
    struct wf_bson_element e;
    assert_int_equal(wf_bson_open(&c, wf_buf_span(&b), &bytes), WF_BSON_OK);
    assert_int_equal(bytes, b.len);
#define NEXT(expected)                                                                             \
    assert_int_equal(wf_bson_next(&c, &e), WF_BSON_OK);                                            \
    assert_int_equal(e.type, expected)
#define IS(span, lit) assert_true(wf_span_eq(span, WF_SPAN(lit)))
    NEXT(WF_BSON_DOUBLE);
    assert_true(e.d == 0.5);
    IS(e.name, "a");
    NEXT(WF_BSON_STRING);
    IS(e.text, "text");
    NEXT(WF_BSON_DOCUMENT);
    assert_int_equal(e.text.n, 5);
    NEXT(WF_BSON_BINARY);
    assert_int_equal(e.subtype, 2);
    IS(e.text, "bytes");
    NEXT(WF_BSON_BINARY);
    assert_int_equal(e.subtype, 0x80);
    IS(e.text, "");
    NEXT(WF_BSON_OBJECTID);
    IS(e.text, "ABCDEFGHIJKL");
    NEXT(WF_BSON_BOOL);
    assert_int_equal(e.i, 1);
    NEXT(WF_BSON_DATETIME);
    assert_int_equal(e.i, -5);
    NEXT(WF_BSON_NULL);
    IS(e.name, "");
    NEXT(WF_BSON_REGEX);
    IS(e.text, "p+");
    IS(e.more, "im");
    NEXT(WF_BSON_DBPOINTER);
    IS(e.text, "ns");
    IS(e.more, "ABCDEFGHIJKL");
    NEXT(WF_BSON_CODE_SCOPE);
    IS(e.text, "code");
    assert_int_equal(e.more.n, 4 + 3 + 4 + 1);
    NEXT(WF_BSON_TIMESTAMP);
    assert_int_equal(e.timestamp.seconds, 7);
    assert_int_equal(e.timestamp.increment, 8);
    NEXT(WF_BSON_DECIMAL128);
    assert_int_equal(e.decimal.low, 1);
    assert_int_equal(e.decimal.high, 2);
    NEXT(0);
    NEXT(0); /* the end stays the end */
    wf_buf_free(&b);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_are_judged),        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(dates_are_the_calendar),  cmocka_unit_test(memory_may_run_out),
        cmocka_unit_test(what_is_written_is_read),
    };
    if (argc < 2) {
        fprintf(stderr, "usage: %s src/wire\n", argv[0]);
        return 2;
    }
    source_dir = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
