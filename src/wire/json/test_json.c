/* Tests of wire/json: documents of cases/json.txt, the fast scan against the plain one, texts read
 * and written, numbers, positions. argv[1] is src/wire. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "wire/json/json_write.h"

static const char *source_dir;

/* ---- cases/json.txt ---- */

static const char *error_name(enum wf_json_error e) {
    static const char *const names[] = {"OK",
#define X(id, text) #id,
                                        WF_JSON_ERRORS(X)
#undef X
    };
    return names[e];
}

/* Appends `s` with \xHH, \\ and {N*text} replaced. */
static void expand(struct wf_buf *b, const char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        int skip = 0;
        unsigned long count = 0;
        if (s[i] == '\\' && s[i + 1] == 'x') {
            unsigned byte = 0;
            assert_int_equal(sscanf(s + i + 2, "%2x", &byte), 1);
            assert_int_equal(wf_buf_append_byte(b, (char)byte), WF_BUF_OK);
            i += 4;
        } else if (s[i] == '{' && isdigit((unsigned char)s[i + 1]) &&
                   sscanf(s + i, "{%lu*%n", &count, &skip) == 1 && skip != 0) {
            const char *text = s + i + skip, *text_end = strchr(text, '}');
            assert_non_null(text_end);
            for (; count > 0; count--) {
                expand(b, text, (size_t)(text_end - text));
            }
            i = (size_t)(text_end + 1 - s);
        } else {
            i += s[i] == '\\';
            assert_int_equal(wf_buf_append_byte(b, s[i]), WF_BUF_OK);
            i++;
        }
    }
}

/* Validates a copy that ends where its memory ends, so that reading past it is seen. */
static enum wf_json_error validate(struct wf_span doc, size_t *at) {
    char *copy = malloc(doc.n ? doc.n : 1);
    memcpy(copy, doc.p, doc.n);
    enum wf_json_error e = wf_json_validate(wf_span(copy, doc.n), WF_JSON_DEPTH_MAX, at);
    free(copy);
    return e;
}

static void documents_are_judged(void **state) {
    char path[1024], line[4096];
    snprintf(path, sizeof(path), "%s/json/cases/json.txt", source_dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    int seen = 0, wrong = 0;
    for (int number = 1; fgets(line, sizeof(line), f) != NULL; number++) {
        line[strcspn(line, "\n")] = '\0';
        char name[32] = "OK";
        unsigned long expected_at = 0;
        int start = 2;
        if (line[0] == 'n') {
            assert_int_equal(sscanf(line, "n %31s %lu%n", name, &expected_at, &start), 2);
            start++;
        } else if (line[0] != 'y') {
            continue;
        }
        struct wf_buf doc;
        wf_buf_init(&doc, 1 << 24);
        assert_int_equal(wf_buf_reserve(&doc, 1), WF_BUF_OK);
        expand(&doc, line + start, strlen(line + start));
        size_t at;
        enum wf_json_error e = validate(wf_buf_span(&doc), &at);
        if (line[0] == 'y') {
            expected_at = doc.len;
        }
        if (strcmp(error_name(e), name) != 0 || at != expected_at) {
            print_error("json.txt:%d: %s: got %s at %zu\n", number, line, error_name(e), at);
            wrong++;
        }
        seen++;
        wf_buf_free(&doc);
    }
    fclose(f);
    assert_int_equal(wrong, 0);
    assert_true(seen > 250);
}

static void no_prefix_of_a_document_is_one(void **state) {
    struct wf_span doc =
        WF_SPAN("[{\"k\\u00e9y\":[true,false,null]},\"a long enough \xc3\xa9 string\\n\",[[]],{}]");
    size_t at;
    assert_int_equal(validate(doc, &at), WF_JSON_OK);
    for (size_t n = 0; n < doc.n; n++) {
        assert_int_not_equal(validate(wf_span(doc.p, n), &at), WF_JSON_OK);
        assert_true(at <= n);
    }
}

static void depth_can_be_less(void **state) {
    size_t at;
    assert_int_equal(wf_json_validate(WF_SPAN("[[1]]"), 2, &at), WF_JSON_OK);
    assert_int_equal(wf_json_validate(WF_SPAN("[[[]]]"), 2, &at), WF_JSON_DEPTH);
    assert_int_equal(at, 2);
    assert_int_equal(wf_json_validate(WF_SPAN("1"), 0, &at), WF_JSON_OK);
}

/* ---- strings ---- */

static uint32_t random_state = 12345;

static uint32_t random_u32(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

/* Mostly letters, so that runs are long; all of the bytes that matter among them. */
static void random_bytes(char *p, size_t n, bool ascii) {
    static const char odd[] = "\"\\\x00\x1f\x20\x21\x7f\x80\xff\xc3\xa9\x01\n/";
    for (size_t i = 0; i < n; i++) {
        do {
            p[i] = random_u32() % 24 == 0 ? odd[random_u32() % (sizeof(odd) - 1)]
                                          : (char)('a' + random_u32() % 26);
        } while (ascii && (unsigned char)p[i] > 0x7f);
    }
}

static void fast_scan_agrees_with_the_plain_one(void **state) {
    for (int round = 0; round < 20000; round++) {
        size_t n = random_u32() % 70;
        char *p = malloc(n + 1);
        random_bytes(p, n, false);
        unsigned fast_high = 0, plain_high = 0;
        const char *fast = wf_json_plain(p, p + n, &fast_high);
        const char *plain = wf_json_plain_bytewise(p, p + n, &plain_high);
        assert_ptr_equal(fast, plain);
        assert_int_equal(fast_high != 0, plain_high != 0);
        for (size_t at = 0; at <= n; at++) { /* with what is in front of it */
            fast_high = plain_high = 0;
            fast = wf_json_plain_in(p, p + at, p + n, &fast_high);
            plain = wf_json_plain_bytewise(p + at, p + n, &plain_high);
            assert_ptr_equal(fast, plain);
            assert_int_equal(fast_high != 0, plain_high != 0);
        }
        free(p);
    }
}

static void each_special_byte_is_found_anywhere(void **state) {
    for (int c = 0; c < 256; c++) {
        bool special = c < 0x20 || c == '"' || c == '\\';
        for (size_t at = 0; at < 40; at++) {
            char p[40];
            memset(p, 'x', sizeof(p));
            p[at] = (char)c;
            unsigned high = 0;
            const char *q = wf_json_plain(p, p + sizeof(p), &high);
            assert_ptr_equal(q, special ? p + at : p + sizeof(p));
            assert_int_equal(high != 0, c >= 0x80);
        }
    }
}

static void texts_are_unescaped(void **state) {
    static const struct {
        const char *raw; /* up to and with the closing quote */
        uint32_t max_char;
        size_t n;
        uint32_t units[40];
    } cases[] = {
        {"\"", 0x7f, 0, {0}},
        {"a\"", 0x7f, 1, {'a'}},
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", 0x7f, 8, {'"', '\\', '/', 8, 12, 10, 13, 9}},
        {"\\u0000\\u007f\"", 0x7f, 2, {0, 0x7f}},
        {"\\u0080\"", 0xff, 1, {0x80}},
        {"\\u00fF\\u00Ff\"", 0xff, 2, {0xff, 0xff}},
        {"\\u0100\"", 0xffff, 1, {0x100}},
        {"\\uFFFF\"", 0xffff, 1, {0xffff}},
        {"\\ud800\\udc00\"", 0x10ffff, 1, {0x10000}},
        {"\\udbff\\udfff\"", 0x10ffff, 1, {0x10ffff}},
        {"\xc3\xbf\"", 0xff, 1, {0xff}},
        {"\xc4\x80\"", 0xffff, 1, {0x100}},
        {"\xe2\x82\xac\\u20AC\"", 0xffff, 2, {0x20ac, 0x20ac}},
        {"a\xf0\x9f\x98\x80\\n\"", 0x10ffff, 3, {'a', 0x1f600, '\n'}},
        {"0123456789abcdef\\u00e9\"",
         0xff,
         17,
         {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 0xe9}},
        {"0123456789abcdef\xe2\x82\xac\"",
         0xffff,
         17,
         {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 0x20ac}},
        {"0123456789abcdef\\ud83d\\ude00\"",
         0x10ffff,
         17,
         {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 0x1f600}},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(cases); i++) {
        size_t raw = strlen(cases[i].raw);
        char *copy = malloc(raw);
        memcpy(copy, cases[i].raw, raw);
        const char *p = copy;
        struct wf_json_text t;
        assert_int_equal(wf_json_text_read(&p, copy + raw, 0, &t), WF_JSON_OK);
        assert_ptr_equal(p, copy + raw);
        assert_int_equal(t.chars, cases[i].n);
        assert_int_equal(t.max_char, cases[i].max_char);
        /* in each width that is wide enough, into no more memory than was measured */
        for (unsigned width = 1; width <= 4; width *= 2) {
            if (width < 4 && t.max_char > (width == 1 ? 0xffu : 0xffffu)) {
                continue;
            }
            char *out = malloc(t.chars * width + 1);
            wf_json_text_copy(&t, out, width);
            for (size_t k = 0; k < t.chars; k++) {
                uint32_t unit = width == 1   ? ((uint8_t *)out)[k]
                                : width == 2 ? ((uint16_t *)out)[k]
                                             : ((uint32_t *)out)[k];
                assert_int_equal(unit, cases[i].units[k]);
            }
            free(out);
        }
        free(copy);
    }
}

static void surrogates_pass_where_they_may(void **state) {
    static const char *const raw[] = {"\\ud800\"", "\\udfff\"", "\\udc00\\ud800\"",
                                      "\\ud800\\u0041\""};
    for (size_t i = 0; i < WF_ARRAY_LEN(raw); i++) {
        const char *p = raw[i], *end = p + strlen(p);
        struct wf_json_text t;
        assert_int_equal(wf_json_text_read(&p, end, 0, &t), WF_JSON_SURROGATE);
        p = raw[i];
        assert_int_equal(wf_json_text_read(&p, end, WF_JSON_SURROGATES, &t), WF_JSON_OK);
        assert_int_equal(t.max_char, 0xffff);
        uint16_t units[2];
        wf_json_text_copy(&t, units, 2);
        assert_int_equal(units[0], i == 0 || i == 3 ? 0xd800 : i == 1 ? 0xdfff : 0xdc00);
    }
}

/* Text of random characters, as UTF-8, in quotes. */
static void random_text(struct wf_buf *b, uint32_t max) {
    size_t n = random_u32() % 200;
    b->len = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t c = random_u32() % 3 == 0 ? 'a' + random_u32() % 26 : random_u32() % (max + 1);
        c = c == '"' || c == '\\' || c < 0x20 || (c & 0x1ff800) == 0xd800 ? ' ' : c;
        char utf8[4];
        size_t len = 0;
        if (c < 0x80) {
            utf8[len++] = (char)c;
        } else {
            int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
            utf8[len++] = (char)((more == 1 ? 0xc0u : more == 2 ? 0xe0u : 0xf0u) | c >> 6 * more);
            while (more-- > 0) {
                utf8[len++] = (char)(0x80 | (c >> 6 * more & 0x3f));
            }
        }
        assert_int_equal(wf_buf_append(b, utf8, len), WF_BUF_OK);
    }
    assert_int_equal(wf_buf_append_byte(b, '"'), WF_BUF_OK);
}

static void wide_text_is_read_as_plainly(void **state) {
    static const uint32_t max[] = {0xff, 0x7ff, 0xffff, 0x10ffff};
    struct wf_buf b;
    wf_buf_init(&b, 4096);
    for (int round = 0; round < 20000; round++) {
        random_text(&b, max[round % 4]);
        char *copy = malloc(b.len); /* ends where its memory ends */
        memcpy(copy, b.p, b.len);
        const char *p = copy;
        struct wf_json_text t;
        assert_int_equal(wf_json_text_read(&p, copy + b.len, 0, &t), WF_JSON_OK);
        unsigned width = t.max_char <= 0xff ? 1 : t.max_char <= 0xffff ? 2 : 4;
        size_t size = t.chars * width;
        char *got = malloc(size + 1), *expected = malloc(size + 1);
        wf_json_text_copy(&t, got, width);
        wf_json_text_copy_plain(&t, expected, width);
        assert_memory_equal(got, expected, size);
        free(got);
        free(expected);
        free(copy);
    }
    wf_buf_free(&b);
}

static void unescaping_at_once_agrees_with_two_passes(void **state) {
    static const char *const parts[] = {
        "a",    "bc",      "0123456789abcdef", "\\n",      "\\\"",   "\\\\",
        "\\/",  "\\u0041", "\\u00e9",          "\xc3\xa9", "\\x",    "\\u12",
        "\x01", " ",       "\\t\\r",           "\\u007f",  "\\ud800"};
    for (int round = 0; round < 40000; round++) {
        char in[1200];
        size_t n = 0, usual = round % 2 == 0 ? 8 : WF_ARRAY_LEN(parts);
        for (unsigned i = random_u32() % 60; i > 0; i--) {
            const char *part = parts[random_u32() % usual];
            memcpy(in + n, part, strlen(part));
            n += strlen(part);
        }
        if (round % 16 != 0) {
            in[n++] = '"';
        }
        char *copy = malloc(n + 1), got[1400], expected[1200];
        memcpy(copy, in, n);
        const char *p = copy, *q = copy;
        char *out = got;
        struct wf_json_text t;
        enum wf_json_unescaped state_got = wf_json_unescape(&p, copy + n, &out, got + sizeof(got));
        enum wf_json_error e = wf_json_text_read(&q, copy + n, 0, &t);
        assert_int_equal(state_got == WF_JSON_UNESCAPED, e == WF_JSON_OK && t.max_char == 0x7f);
        if (state_got == WF_JSON_UNESCAPED) {
            assert_ptr_equal(p, q);
            assert_int_equal(out - got, t.chars);
            wf_json_text_copy(&t, expected, 1);
            assert_memory_equal(got, expected, t.chars);
        }
        free(copy);
    }
}

static void unescaping_goes_on_with_more_room(void **state) {
    char in[2001], out[2200 + WF_JSON_UNESCAPE_ROOM] = "";
    memset(in, 'x', 2000);
    in[700] = '\\';
    in[701] = 'n';
    in[2000] = '"';
    const char *p = in;
    char *d = out;
    size_t room = 100;
    enum wf_json_unescaped got;
    while ((got = wf_json_unescape(&p, in + sizeof(in), &d, out + room)) == WF_JSON_UNESCAPE_FULL) {
        room += 100;
        assert_true(room <= sizeof(out));
    }
    assert_int_equal(got, WF_JSON_UNESCAPED);
    assert_int_equal(d - out, 1999);
    assert_int_equal(out[700], '\n');
    assert_int_equal(out[1998], 'x');
}

/* ---- numbers ---- */

static enum wf_json_error read_number(const char *s, unsigned flags, struct wf_json_number *n) {
    const char *p = s, *end = s + strlen(s);
    enum wf_json_error e = wf_json_number_read(&p, end, flags, n);
    if (e == WF_JSON_OK) {
        assert_ptr_equal(p, end);
    }
    return e;
}

static void numbers_have_their_kind(void **state) {
    struct wf_json_number n;
    static const struct {
        const char *text;
        int64_t value;
    } ints[] = {{"0", 0},
                {"-0", 0},
                {"7", 7},
                {"-1", -1},
                {"1234567890123456789", 1234567890123456789},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775807", -INT64_MAX}};
    for (size_t i = 0; i < WF_ARRAY_LEN(ints); i++) {
        assert_int_equal(read_number(ints[i].text, 0, &n), WF_JSON_OK);
        assert_int_equal(n.kind, WF_JSON_INT);
        assert_true(n.i == ints[i].value);
    }
    assert_int_equal(read_number("9223372036854775808", 0, &n), WF_JSON_OK);
    assert_int_equal(n.kind, WF_JSON_UINT);
    assert_true(n.u == 1ull << 63);
    assert_int_equal(read_number("9999999999999999999", 0, &n), WF_JSON_OK);
    assert_int_equal(n.kind, WF_JSON_UINT);
    assert_true(n.u == 9999999999999999999ull);
    static const char *const big[] = {"-9223372036854775808", "10000000000000000000",
                                      "18446744073709551616", "36893488147419103232",
                                      "-99999999999999999999999"};
    for (size_t i = 0; i < WF_ARRAY_LEN(big); i++) {
        assert_int_equal(read_number(big[i], 0, &n), WF_JSON_OK);
        assert_int_equal(n.kind, WF_JSON_BIG);
        assert_true(wf_span_eq(n.digits, wf_span_str(big[i])));
    }
    assert_int_equal(read_number("-0.0", 0, &n), WF_JSON_OK);
    assert_int_equal(n.kind, WF_JSON_DOUBLE);
    assert_true(n.d == 0 && __builtin_signbit(n.d));
    assert_int_equal(read_number("123456789012345678901234567890e-2", 0, &n), WF_JSON_OK);
    assert_true(n.d == 123456789012345678901234567890e-2);
    assert_int_equal(read_number("1e999", 0, &n), WF_JSON_NUMBER_RANGE);
    assert_int_equal(read_number("-1e999", WF_JSON_NONFINITE, &n), WF_JSON_OK);
    assert_true(n.d == -__builtin_inf());
}

/* ---- writing ---- */

/* What wf_json_write_string does, a byte at a time. */
static void write_plainly(struct wf_buf *b, const char *p, size_t n) {
    static const char *const named[32] = {
        ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"};
    assert_int_equal(wf_buf_append_byte(b, '"'), WF_BUF_OK);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        char hex[8];
        snprintf(hex, sizeof(hex), "\\u%04x", c);
        const char *s = c == '"'                       ? "\\\""
                        : c == '\\'                    ? "\\\\"
                        : c < 0x20 && named[c] != NULL ? named[c]
                        : c < 0x20                     ? hex
                                                       : NULL;
        assert_int_equal(
            s != NULL ? wf_buf_append(b, s, strlen(s)) : wf_buf_append_byte(b, (char)c), WF_BUF_OK);
    }
    assert_int_equal(wf_buf_append_byte(b, '"'), WF_BUF_OK);
}

static void strings_are_written_as_plainly(void **state) {
    struct wf_buf got, expected;
    wf_buf_init(&got, 1 << 20);
    wf_buf_init(&expected, 1 << 20);
    for (int round = 0; round < 20000; round++) {
        size_t n = random_u32() % (round % 8 == 0 ? 700 : 70);
        char *p = malloc(n + 1);
        random_bytes(p, n, round % 2 == 0);
        if (round % 1000 == 0) {
            wf_buf_free(&got); /* grow again from nothing */
        }
        got.len = expected.len = 0;
        assert_int_equal(wf_json_write_string(&got, wf_span(p, n)), WF_BUF_OK);
        write_plainly(&expected, p, n);
        assert_int_equal(got.len, expected.len);
        assert_memory_equal(got.p, expected.p, got.len);
        free(p);
    }
    wf_buf_free(&got);
    wf_buf_free(&expected);
}

static void each_byte_is_written_anywhere(void **state) {
    struct wf_buf got, expected;
    wf_buf_init(&got, 1 << 20);
    wf_buf_init(&expected, 1 << 20);
    for (int c = 0; c < 256; c++) {
        for (size_t n = 1; n < 36; n++) {
            char p[36];
            memset(p, 'x', sizeof(p));
            p[n - 1 - (size_t)c % n] = (char)c;
            got.len = expected.len = 0;
            assert_int_equal(wf_json_write_string(&got, wf_span(p, n)), WF_BUF_OK);
            write_plainly(&expected, p, n);
            assert_int_equal(got.len, expected.len);
            assert_memory_equal(got.p, expected.p, got.len);
        }
    }
    wf_buf_free(&got);
    wf_buf_free(&expected);
}

/* A character of `width` bytes: plain, to be escaped, on an edge, now and then a surrogate. */
static uint32_t random_char(unsigned width) {
    static const uint32_t edges[] = {'"',    '\\',   0x1f,   0x20,    0x7f,    0x80,
                                     0xff,   0x100,  0x7ff,  0x800,   0xd7ff,  0xd800,
                                     0xdfff, 0xe000, 0xffff, 0x10000, 0x10ffff};
    uint32_t max = width == 1 ? 0xff : width == 2 ? 0xffff : 0x10ffff;
    uint32_t c = random_u32() % 4 == 0   ? edges[random_u32() % WF_ARRAY_LEN(edges)]
                 : random_u32() % 2 == 0 ? 'a' + random_u32() % 26
                                         : random_u32() % (max + 1);
    bool surrogate = (c & 0xf800) == 0xd800;
    return c > max || (surrogate && random_u32() % 8 != 0) ? 'x' : c;
}

/* Up to 32 bytes are read of shorter texts: neither what is behind them matters, nor that there is nothing. */
static void what_is_behind_a_string_does_not_matter(void **state) {
    enum { PAGE = 4096 };
    char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED && mprotect(page + PAGE, PAGE, PROT_NONE) == 0);
    memset(page, '"', PAGE);
    for (size_t n = 0; n < 70; n++) {
        for (size_t behind = 0; behind < 40; behind++) {
            char *s = page + PAGE - behind - n, text[72 + WF_JSON_SLACK], key[72 + WF_JSON_SLACK];
            memset(s, 'x', n);
            assert_true(wf_json_copy_if_plain(text, s, n));
            assert_true(wf_json_copy_key_if_plain(key, s, n));
            assert_memory_equal(text, s, n);
            assert_memory_equal(key, s, n);
            for (size_t i = 0; i < n; i++) {
                s[i] = "\"\\\n"[i % 3];
                assert_false(wf_json_copy_if_plain(text, s, n));
                assert_false(wf_json_copy_key_if_plain(key, s, n));
                s[i] = 'x';
            }
            memset(s, '"', n);
        }
    }
    assert_int_equal(munmap(page, 2 * PAGE), 0);
}

static void wide_text_is_written_as_plainly(void **state) {
    uint32_t units[70];
    char got[70 * 6 + 64], expected[70 * 6 + 64];
    for (int round = 0; round < 60000; round++) {
        size_t n = random_u32() % 70, got_done, expected_done;
        unsigned width = 1u << round % 3;
        for (size_t i = 0; i < n; i++) {
            uint32_t c = random_char(width);
            if (width == 1) {
                ((uint8_t *)units)[i] = (uint8_t)c;
            } else if (width == 2) {
                ((uint16_t *)units)[i] = (uint16_t)c;
            } else {
                units[i] = c;
            }
        }
        char *end = wf_json_copy_wide(got, units, n, width, &got_done);
        char *expected_end = wf_json_copy_wide_plain(expected, units, n, width, &expected_done);
        assert_int_equal(got_done, expected_done);
        assert_int_equal(end - got, expected_end - expected);
        assert_memory_equal(got, expected, (size_t)(end - got));
    }
}

static void writing_stops_where_the_buffer_does(void **state) {
    struct wf_buf b;
    wf_buf_init(&b, 400);
    assert_int_equal(wf_buf_append(&b, "abc", 3), WF_BUF_OK);
    char controls[100];
    memset(controls, 1, sizeof(controls)); /* six bytes each */
    assert_int_equal(wf_json_write_string(&b, wf_span(controls, sizeof(controls))), WF_BUF_FULL);
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.p, "abc", 3);
    assert_int_equal(wf_json_write_string(&b, wf_span(controls, 10)), WF_BUF_OK);
    assert_int_equal(b.len, 3 + 62);
    wf_buf_free(&b);
    wf_alloc_fail_from(1);
    assert_int_equal(wf_json_write_string(&b, WF_SPAN("x")), WF_BUF_NOMEM);
    wf_alloc_fail_from(0);
    assert_int_equal(b.len, 0);
    wf_buf_free(&b);
}

/* ---- errors ---- */

static void positions_are_lines_and_columns(void **state) {
    static const struct {
        size_t at, line, column;
    } cases[] = {{0, 1, 1}, {1, 1, 2}, {3, 1, 3}, {4, 2, 1}, {5, 3, 1}, {6, 3, 2}, {99, 3, 2}};
    for (size_t i = 0; i < WF_ARRAY_LEN(cases); i++) {
        size_t line, column;
        wf_json_position(WF_SPAN("a\xc3\xa9\n\nb"), cases[i].at, &line, &column);
        assert_int_equal(line, cases[i].line);
        assert_int_equal(column, cases[i].column);
    }
}

static void each_error_has_a_sentence(void **state) {
    for (int e = WF_JSON_OK; e <= WF_JSON_NOMEM; e++) {
        const char *text = wf_json_error_text((enum wf_json_error)e);
        assert_true(strlen(text) > 5 && text[strlen(text) - 1] != '.');
    }
}

int main(int argc, char **argv) {
    source_dir = argc > 1 ? argv[1] : "src/wire";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_judged),
        cmocka_unit_test(no_prefix_of_a_document_is_one),
        cmocka_unit_test(depth_can_be_less),
        cmocka_unit_test(fast_scan_agrees_with_the_plain_one),
        cmocka_unit_test(each_special_byte_is_found_anywhere),
        cmocka_unit_test(texts_are_unescaped),
        cmocka_unit_test(surrogates_pass_where_they_may),
        cmocka_unit_test(wide_text_is_read_as_plainly),
        cmocka_unit_test(unescaping_at_once_agrees_with_two_passes),
        cmocka_unit_test(unescaping_goes_on_with_more_room),
        cmocka_unit_test(numbers_have_their_kind),
        cmocka_unit_test(strings_are_written_as_plainly),
        cmocka_unit_test(each_byte_is_written_anywhere),
        cmocka_unit_test(what_is_behind_a_string_does_not_matter),
        cmocka_unit_test(wide_text_is_written_as_plainly),
        cmocka_unit_test(writing_stops_where_the_buffer_does),
        cmocka_unit_test(positions_are_lines_and_columns),
        cmocka_unit_test(each_error_has_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
