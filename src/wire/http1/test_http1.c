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

static const char *wire_dir;
static const struct wf_http1_limits limits = {64 * 1024, 16 * 1024, 100};
static const char *const scanners[] = {"plain", "sse4.2", "avx2", "neon"};

enum { GUARDED = 1 << 18, FIELDS = 100, TEXT_MAX = 16384 };
static char *guarded_end; /* the next byte faults */

static char *at_end_of_page(struct wf_span s) {
    assert_true(s.n <= GUARDED);
    return memcpy(guarded_end - s.n, s.p, s.n);
}

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % n);
}

/* ---- heads: what came out, as text ---- */

struct text {
    size_t n;
    char p[TEXT_MAX];
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    t->n += (size_t)vsnprintf(t->p + t->n, sizeof(t->p) - t->n, format, args);
    va_end(args);
    assert_true(t->n < sizeof(t->p));
}

static void say_bytes(struct text *t, const char *before, struct wf_span s) {
    say(t, "%s", before);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        say(t, c >= 0x20 && c < 0x7f && c != '\\' ? "%c" : "\\x%02x", c);
    }
    say(t, "\n");
}

/* The form of the expectations in cases/. */
static void describe(struct text *t, const char *base, const struct wf_head *h, ssize_t rc,
                     size_t n) {
    t->n = 0;
    if (rc == WF_PARTIAL) {
        say(t, "partial\n");
        return;
    }
    if (rc < 0) {
        say(t, "%d %s\n", (int)-rc, h->why);
        return;
    }
    say_bytes(t, "method ", wf_head_span(base, h->method_at));
    assert_int_equal(h->method, wf_method_of(wf_head_span(base, h->method_at)));
    say_bytes(t, "target ", wf_head_span(base, h->target_at));
    if (h->authority_at.n != 0) {
        say_bytes(t, "authority ", wf_head_span(base, h->authority_at));
    }
    say_bytes(t, "path ", wf_head_span(base, h->path_at));
    if (h->query_at.n != 0) {
        say_bytes(t, "query ", wf_head_span(base, h->query_at));
    }
    say(t, "version 1.%d\n", h->minor_version);
    for (unsigned i = 0; i < h->nfields; i++) {
        const struct wf_field *f = &h->fields[i];
        say_bytes(t, "name ", wf_field_name_span(base, f));
        say_bytes(t, "value ", wf_field_value_span(base, f));
        assert_int_equal(f->id, wf_field_id_of(wf_field_name_span(base, f)));
    }
    const char *body[] = {"none", "length", "chunked"};
    say(t, "body %s", body[h->framing]);
    if (h->framing == WF_BODY_LENGTH) {
        say(t, " %llu", (unsigned long long)h->content_length);
    }
    say(t, "\nflags%s%s%s%s%s\n", h->keep_alive ? " keep-alive" : " close",
        h->expect_continue ? " expect-continue" : "", h->upgrade ? " upgrade" : "",
        h->path_escaped ? " escaped" : "", h->asterisk ? " asterisk" : "");
    if ((size_t)rc < n) {
        say(t, "left %zu\n", n - (size_t)rc);
    }
}

/* Reads n bytes at p afresh and describes. */
static ssize_t read_whole(struct text *t, const char *p, size_t n) {
    struct wf_field fields[FIELDS];
    struct wf_http1_progress progress = {0};
    struct wf_head h = {.fields = fields, .fields_cap = FIELDS};
    ssize_t rc = wf_http1_head(&limits, &progress, wf_span(p, n), &h);
    describe(t, p, &h, rc, n);
    return rc;
}

/* Brings the bytes one by one, as many as it takes. Afterwards, while undecided, fills up with x: a
 * fault needs a doubling to be seen. The text then says nothing about what is left. */
static ssize_t read_bytewise(struct text *t, struct wf_span in, bool fill) {
    struct wf_field fields[FIELDS];
    struct wf_http1_progress progress = {0};
    struct wf_head h = {.fields = fields, .fields_cap = FIELDS};
    size_t n = 0, most = fill ? 2 * in.n + 2 : in.n;
    char *copy = malloc(most);
    memset(copy, 'x', most);
    memcpy(copy, in.p, in.n);
    ssize_t rc = WF_PARTIAL;
    while (rc == WF_PARTIAL && n < most) {
        n++;
        rc = wf_http1_head(&limits, &progress, wf_span(copy, n), &h);
    }
    describe(t, copy, &h, rc, rc > 0 ? (size_t)rc : n);
    free(copy);
    return rc;
}

static void same_text(const struct text *got, const char *want, const char *what, const char *how) {
    if (strcmp(got->p, want) != 0) {
        fail_msg("%s (%s)\n--- got\n%s--- want\n%s", what, how, got->p, want);
    }
}

/* However the bytes are cut, and whoever scans them, the answer is `want`. */
static void always_answers(struct wf_span in, const char *want, const char *name) {
    static struct text t;
    for (size_t s = 0; s < WF_ARRAY_LEN(scanners); s++) {
        if (!wf_http1_use_scanner(scanners[s])) {
            continue;
        }
        ssize_t whole = read_whole(&t, at_end_of_page(in), in.n);
        same_text(&t, want, name, scanners[s]);

        for (size_t n = 0; n < in.n; n++) {
            ssize_t rc = read_whole(&t, at_end_of_page(wf_span(in.p, n)), n);
            if (whole > 0 ? n < (size_t)whole && rc != WF_PARTIAL
                          : rc != WF_PARTIAL && rc != whole) {
                fail_msg("%s: the first %zu bytes give\n%s", name, n, t.p);
            }
            if (rc < 0) {
                same_text(&t, want, name, "a prefix");
            }
        }

        ssize_t rc = read_bytewise(&t, in, whole < 0);
        assert_int_equal(rc, whole);
        const char *left = strstr(want, "left ");
        t.p[left != NULL ? WF_MIN(t.n, (size_t)(left - want)) : t.n] = '\0';
        if (strncmp(t.p, want, left != NULL ? (size_t)(left - want) : strlen(want) + 1) != 0) {
            fail_msg("%s: byte by byte gives\n%s", name, t.p);
        }
    }
    wf_http1_init();
}

/* ---- heads: cases/ ----
 *
 *   === what it shows
 *   the bytes; line ends of the file do not count, \r \n \t \\ and \xHH do
 *   ---
 *   what is said about them, as `describe` does */

static void unescape_onto(struct text *t, const char *line) {
    for (const char *p = line; *p != '\0' && *p != '\n'; p++) {
        char c = *p;
        if (c == '\\') {
            char hex[3] = "";
            switch (*++p) {
            case 'x':
                hex[0] = p[1];
                hex[1] = p[2];
                c = (char)strtol(hex, NULL, 16);
                p += 2;
                break;
            case 'r':
                c = '\r';
                break;
            case 'n':
                c = '\n';
                break;
            case 't':
                c = '\t';
                break;
            default:
                c = *p;
            }
        }
        assert_true(t->n < sizeof(t->p));
        t->p[t->n++] = c;
    }
}

typedef void case_fn(struct wf_span in, const char *want, const char *name);

static unsigned each_case_in(const char *file, case_fn *check) {
    static struct text in, want;
    char path[1024], line[4096], name[256] = "";
    enum { BEFORE, INPUT, WANT } part = BEFORE;
    unsigned cases = 0;
    snprintf(path, sizeof(path), "%s/http1/cases/%s", wire_dir, file);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (;;) {
        bool end = fgets(line, sizeof(line), f) == NULL;
        if (end || strncmp(line, "===", 3) == 0) {
            if (part != BEFORE) {
                assert_int_equal(part, WANT);
                check(wf_span(in.p, in.n), want.p, name);
                cases++;
            }
            if (end) {
                break;
            }
            part = INPUT;
            in.n = want.n = 0;
            want.p[0] = '\0';
            snprintf(name, sizeof(name), "%s: %.*s", file, (int)strcspn(line + 4, "\n"), line + 4);
        } else if (strncmp(line, "---", 3) == 0) {
            part = WANT;
        } else if (part == INPUT) {
            unescape_onto(&in, line);
        } else if (part == WANT && line[0] != '\n') {
            say(&want, "%s", line);
        }
    }
    fclose(f);
    return cases;
}

static const char *const case_files[] = {"request_line.http", "target.http",     "fields.http",
                                         "framing.http",      "connection.http", "host.http"};

static void every_case_is_answered_as_it_says(void **state) {
    for (size_t i = 0; i < WF_ARRAY_LEN(case_files); i++) {
        assert_true(each_case_in(case_files[i], always_answers) > 5);
    }
}

static void break_and_compare(struct wf_span in, const char *want, const char *name) {
    static const char odd[] = "\r\n\t :,%?#*/\"\x00\x01\x7f\x80\xffHTTP/1.1";
    static struct text t, plain;
    char bytes[TEXT_MAX];
    for (int round = 0; round < 300 && in.n > 0; round++) {
        memcpy(bytes, in.p, in.n);
        for (uint32_t faults = 1 + random_below(2); faults > 0; faults--) {
            bytes[random_below((uint32_t)in.n)] = odd[random_below(sizeof(odd) - 1)];
        }
        wf_http1_use_scanner("plain");
        ssize_t whole = read_whole(&plain, bytes, in.n);
        for (size_t s = 1; s < WF_ARRAY_LEN(scanners); s++) {
            if (wf_http1_use_scanner(scanners[s])) {
                read_whole(&t, at_end_of_page(wf_span(bytes, in.n)), in.n);
                same_text(&t, plain.p, name, scanners[s]);
            }
        }
        size_t cut = random_below((uint32_t)in.n);
        ssize_t rc = read_whole(&t, at_end_of_page(wf_span(bytes, cut)), cut);
        if (rc < 0) {
            same_text(&t, plain.p, name, "cut");
        } else if (rc > 0) {
            assert_int_equal(rc, whole);
        }
        assert_int_equal(read_bytewise(&t, wf_span(bytes, in.n), whole < 0), whole);
    }
    wf_http1_init();
}

static void broken_cases_give_the_same_with_each_scanner_and_cut(void **state) {
    for (size_t i = 0; i < WF_ARRAY_LEN(case_files); i++) {
        each_case_in(case_files[i], break_and_compare);
    }
}

static void scanners_agree_on_all_bytes_and_lengths(void **state) {
    wf_scan_fn *fast[] = {wf_http1_scan_sse42(), wf_http1_scan_avx2(), wf_http1_scan_neon()};
    for (int round = 0; round < 20000; round++) {
        char bytes[300];
        struct wf_block want[5], got[5];
        size_t n = 1 + (size_t)round % sizeof(bytes), blocks = (n + 63) / 64;
        for (size_t i = 0; i < n; i++) {
            /* any byte, or mostly long runs */
            bytes[i] = round % 2          ? (char)random_below(256)
                       : random_below(40) ? 'a'
                                          : (char)(round >> 1);
        }
        wf_http1_scan_plain()(bytes, n, want);
        for (size_t s = 0; s < WF_ARRAY_LEN(fast); s++) {
            if (fast[s] != NULL) {
                fast[s](at_end_of_page(wf_span(bytes, n)), n, got);
                assert_memory_equal(got, want, blocks * sizeof(*got));
            }
        }
    }
}

static void a_scanner_is_chosen(void **state) {
    assert_true(wf_http1_use_scanner("plain"));
    assert_string_equal(wf_http1_scanner(), "plain");
    assert_false(wf_http1_use_scanner("mmx"));
    wf_http1_init();
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        assert_string_equal(wf_http1_scanner(), "avx2");
    }
#elif defined(__aarch64__)
    assert_string_equal(wf_http1_scanner(), "neon");
#endif
}

/* ---- heads: limits ---- */

struct pattern {
    const char *before;
    char repeated;
    size_t times;
    const char *after;
};

static size_t write_pattern(char *out, const struct pattern *p) {
    size_t before = strlen(p->before), after = strlen(p->after);
    memcpy(out, p->before, before);
    memset(out + before, p->repeated, p->times);
    memcpy(out + before + p->times, p->after, after + 1);
    return before + p->times + after;
}

static void limits_are_exact(void **state) {
    static const struct {
        struct pattern pattern;
        int status; /* 0: good */
        const char *why;
    } rows[] = {
        {{"GET /", 'a', 16 * 1024 - 1, " HTTP/1.0\r\n\r\n"}, 0, "target of just 16 KiB"},
        {{"GET /", 'a', 16 * 1024, " HTTP/1.0\r\n\r\n"}, 414, "target of one byte more"},
        {{"GET /", 'a', 16 * 1024, ""}, 414, "the same, without an end"},
        {{"GET /", '%', 16 * 1024, ""}, 414, "of escapes"},
        {{"GET /?", '?', 16 * 1024, ""}, 414, "of a query"},
        {{"GET http://", 'a', 16 * 1024, ""}, 414, "of an authority"},
        {{"GET /", 'a', 16 * 1024 - 2, "\x01"}, 400, "a bad byte within the limit"},
        {{"GET /", 'a', 16 * 1024, "\x01"}, 414, "a bad byte beyond it"},
        {{"", 'M', 32, " / HTTP/1.0\r\n\r\n"}, 0, "method of 32 bytes"},
        {{"", 'M', 33, ""}, 501, "method of 33"},
        {{"GET / HTTP/1.0\r\n", 'a', 256, ":\r\n\r\n"}, 0, "name of 256 bytes"},
        {{"GET / HTTP/1.0\r\n", 'a', 257, ":\r\n\r\n"}, 431, "name of 257"},
        {{"GET / HTTP/1.0\r\n", 'a', 257, ""}, 431, "name without an end"},
        {{"GET / HTTP/1.0\r\na:", 'a', 65536 - 16 - 2 - 4, "\r\n\r\n"}, 0, "head of just 64 KiB"},
        {{"GET / HTTP/1.0\r\na:", 'a', 65536 - 16 - 2 - 3, "\r\n\r\n"}, 431, "head of one more"},
        {{"GET / HTTP/1.0\r\na:", 'a', 65536, ""}, 431, "head without an end"},
        {{"GET / HTTP/1.0\r\na:", ' ', 65536, ""}, 431, "white space without an end"},
        {{"GET / HTTP/1.0\r\na:", 'a', 65000, "\x01"}, 400, "a bad byte within the limit"},
        {{"GET / HTTP/1.0\r\na:", 'a', 66000, "\x01"}, 431, "a bad byte beyond it"},
        {{"GET / HTTP/1.0\r\nContent-Length: ", '0', 60000, "7\r\n\r\n"}, 0, "many zeros"},
    };
    static char bytes[80 * 1024];
    static struct text t;
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        size_t n = write_pattern(bytes, &rows[i].pattern);
        struct wf_field fields[FIELDS];
        for (int way = 0; way < 2; way++) {
            struct wf_http1_progress progress = {0};
            struct wf_head h = {.fields = fields, .fields_cap = FIELDS};
            ssize_t rc = WF_PARTIAL;
            for (size_t k = way == 0 ? n : 1; k <= n && rc == WF_PARTIAL; k++) {
                rc = wf_http1_head(&limits, &progress, wf_span(bytes, k), &h);
            }
            if (rc == WF_PARTIAL && way == 1) {
                continue; /* a fault not yet seen: see read_bytewise */
            }
            if (rc != (rows[i].status == 0 ? (ssize_t)n : -rows[i].status)) {
                fail_msg("%s: %zd", rows[i].why, rc);
            }
        }
        if (rows[i].status != 0) {
            assert_int_equal(read_bytewise(&t, wf_span(bytes, n), true), -rows[i].status);
        }
    }
}

static void field_lines_are_counted(void **state) {
    char bytes[4096];
    struct wf_field fields[FIELDS];
    for (unsigned lines = 98; lines <= 102; lines++) {
        size_t n = (size_t)sprintf(bytes, "GET / HTTP/1.1\r\nHost: x\r\n");
        for (unsigned i = 1; i < lines; i++) {
            n += (size_t)sprintf(bytes + n, "n%u: v\r\n", i);
        }
        n += (size_t)sprintf(bytes + n, "\r\n");
        for (uint16_t cap = 99; cap <= FIELDS; cap++) {
            struct wf_http1_progress progress = {0};
            struct wf_head h = {.fields = fields, .fields_cap = cap};
            ssize_t rc = wf_http1_head(&limits, &progress, wf_span(bytes, n), &h);
            assert_int_equal(rc, lines <= cap ? (ssize_t)n : -431);
        }
    }
}

/* A head that comes byte by byte is read again about as often as its size doubles, and once a line
 * at most would cost nothing much; but never once a byte. */
static void a_slow_head_costs_linear_time(void **state) {
    static char bytes[60 * 1024];
    struct wf_field fields[FIELDS];
    struct wf_http1_progress progress = {0};
    struct wf_head h = {.fields = fields, .fields_cap = FIELDS};
    size_t n = (size_t)sprintf(bytes, "GET / HTTP/1.1\r\nHost: x\r\n");
    while (n < sizeof(bytes) - 1000) {
        n += (size_t)sprintf(bytes + n, "x: %0700d\r\n", 0);
    }
    n += (size_t)sprintf(bytes + n, "\r\n");
    unsigned tries = 0;
    for (size_t k = 1; k < n; k++) {
        uint32_t before = progress.tried;
        assert_int_equal(wf_http1_head(&limits, &progress, wf_span(bytes, k), &h), WF_PARTIAL);
        tries += progress.tried != before;
    }
    assert_int_equal(wf_http1_head(&limits, &progress, wf_span(bytes, n), &h), n);
    assert_true(tries <= 17);
}

static void a_lone_line_feed_at_the_end_is_refused_at_once(void **state) {
    static const char *const rows[] = {"GET / HTTP/1.1\r\nHost: x\n\n",
                                       "GET / HTTP/1.1\nHost: x\n\n",
                                       "GET / HTTP/1.1\r\nHost: x\r\n\n"};
    static struct text t;
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        assert_int_equal(read_bytewise(&t, wf_span_str(rows[i]), false), -400);
    }
}

/* ---- chunked ---- */

static const struct chunked_row {
    const char *in;
    const char *payload; /* NULL: the result says it all */
    enum wf_chunked_result result;
    const char *left, *why;
} chunked_rows[] = {
    {"5\r\nhello\r\n0\r\n\r\n", "hello", WF_CHUNKED_DONE, "", "one chunk"},
    {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET", "hello world", WF_CHUNKED_DONE, "GET", "two"},
    {"0\r\n\r\n\r\n", "", WF_CHUNKED_DONE, "\r\n", "an empty body"},
    {"000\r\n\r\n", "", WF_CHUNKED_DONE, "", "zeros"},
    {"a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a", WF_CHUNKED_DONE,
     "", "hex digits of both cases"},
    {"0000000000000003\r\nabc\r\n0\r\n\r\n", "abc", WF_CHUNKED_DONE, "", "sixteen digits"},
    {"00000000000000003\r\nabc\r\n0\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "seventeen"},
    {"3;a=b;c=\"d;e\";f\r\nabc\r\n0;g\r\n\r\n", "abc", WF_CHUNKED_DONE, "", "extensions"},
    {"3\r\nabc\r\n0\r\nTrailer: x\r\nOther:\r\n\r\nrest", "abc", WF_CHUNKED_DONE, "rest",
     "trailers"},
    {"3\r\nabc\r\n0\r\nT: x\r\n", "abc", WF_CHUNKED_MORE, "", "an unfinished trailer section"},
    {"3\r\nab", "ab", WF_CHUNKED_MORE, "", "an unfinished chunk"},
    {"", "", WF_CHUNKED_MORE, "", "nothing yet"},
    {"7fffffffffffffff\r\nab", "ab", WF_CHUNKED_MORE, "", "the largest size there is"},
    {"8000000000000000\r\nab", NULL, WF_CHUNKED_BAD, "", "one more"},
    {"ffffffffffffffff\r\nab", NULL, WF_CHUNKED_BAD, "", "minus one, to some"},
    {"10000000000000000\r\n", NULL, WF_CHUNKED_BAD, "", "zero, to some"},
    {"\r\nabc", NULL, WF_CHUNKED_BAD, "", "no size"},
    {";a\r\nabc", NULL, WF_CHUNKED_BAD, "", "no size before an extension"},
    {"+3\r\nabc\r\n", NULL, WF_CHUNKED_BAD, "", "a sign"},
    {"-3\r\nabc\r\n", NULL, WF_CHUNKED_BAD, "", "a minus sign"},
    {"0x3\r\nabc\r\n", NULL, WF_CHUNKED_BAD, "", "a prefix"},
    {"3_0\r\nabc\r\n", NULL, WF_CHUNKED_BAD, "", "an underscore"},
    {" 3\r\nabc\r\n", NULL, WF_CHUNKED_BAD, "", "white space before a size"},
    {"3 \r\nabc\r\n", NULL, WF_CHUNKED_BAD, "", "white space behind it"},
    {"3 ;a\r\nabc\r\n", NULL, WF_CHUNKED_BAD, "", "and before an extension"},
    {"g\r\n", NULL, WF_CHUNKED_BAD, "", "not a digit"},
    {"3\nabc\r\n0\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "a bare LF behind a size"},
    {"3\rabc\r\n0\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "a bare CR behind a size"},
    {"3;a\nabc\r\n0\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "a bare LF in an extension"},
    {"3;a\x01\r\nabc\r\n0\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "a control byte in an extension"},
    {"3;a\rb\r\nabc\r\n0\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "a bare CR in an extension"},
    {"3\r\nabc0\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "no end of chunk"},
    {"3\r\nabcd\r\n0\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "a chunk longer than its size"},
    {"3\r\nabc\n0\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "a bare LF behind a chunk"},
    {"3\r\nabc\r0\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "a bare CR behind a chunk"},
    {"3\r\nabc\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "an empty line in place of a size"},
    {"0\r\n\n", NULL, WF_CHUNKED_BAD, "", "a bare LF at the end"},
    {"0\r\n\rx", NULL, WF_CHUNKED_BAD, "", "a bare CR at the end"},
    {"0\r\nab c: d\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "white space in a trailer name"},
    {"0\r\nab : d\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "white space before its colon"},
    {"0\r\n: d\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "an empty trailer name"},
    {"0\r\nab\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "a trailer without colon"},
    {"0\r\na: b\r\n c\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "a folded trailer"},
    {"0\r\na: b\n\r\n", NULL, WF_CHUNKED_BAD, "", "a bare LF in a trailer"},
    {"0\r\na: \x7f\r\n\r\n", NULL, WF_CHUNKED_BAD, "", "a control byte in a trailer"},
};

/* Decodes `in` in pieces cut at a and b; the payload is collected in out. */
static enum wf_chunked_result decode_cut(struct wf_span in, const size_t *cuts, unsigned ncuts,
                                         struct text *out, size_t *used_in_all) {
    struct wf_chunked c;
    enum wf_chunked_result result = WF_CHUNKED_MORE;
    size_t at = 0;
    wf_chunked_init(&c);
    out->n = *used_in_all = 0;
    for (unsigned i = 0; i <= ncuts && result == WF_CHUNKED_MORE; i++) {
        size_t end = i < ncuts ? cuts[i] : in.n, n = end - at, used = 0;
        char *p = at_end_of_page(wf_span(in.p + at, n));
        result = wf_chunked_decode(&c, p, &n, &used);
        assert_true(n <= used && used <= end - at);
        if (result == WF_CHUNKED_MORE) {
            assert_int_equal(used, end - at);
        }
        if (result == WF_CHUNKED_DONE) { /* and stays so */
            size_t none = end - at - used, used_again = 1;
            assert_int_equal(wf_chunked_decode(&c, p + used, &none, &used_again), WF_CHUNKED_DONE);
            assert_int_equal(none + used_again, 0);
        }
        memcpy(out->p + out->n, p, n);
        out->n += n;
        *used_in_all = at + used;
        at = end;
    }
    return result;
}

static void check_chunked(const struct chunked_row *row, const size_t *cuts, unsigned ncuts) {
    static struct text out;
    size_t used;
    struct wf_span in = wf_span_str(row->in);
    enum wf_chunked_result result = decode_cut(in, cuts, ncuts, &out, &used);
    if (result != row->result) {
        fail_msg("%s: %d", row->why, result);
    }
    if (row->payload != NULL && (!wf_span_eq(wf_span(out.p, out.n), wf_span_str(row->payload)) ||
                                 used != in.n - strlen(row->left))) {
        fail_msg("%s: \"%.*s\", %zu used", row->why, (int)out.n, out.p, used);
    }
}

static void chunked_rows_decode_however_they_are_cut(void **state) {
    for (size_t i = 0; i < WF_ARRAY_LEN(chunked_rows); i++) {
        const struct chunked_row *row = &chunked_rows[i];
        size_t n = strlen(row->in), all[128];
        for (size_t a = 0; a <= n; a++) {
            all[a] = a;
            for (size_t b = a; b <= n; b++) {
                check_chunked(row, (size_t[]){a, b}, 2);
            }
        }
        check_chunked(row, all, (unsigned)n);
    }
}

static void what_is_free_for_the_sender_is_bounded(void **state) {
    static const struct {
        struct pattern pattern;
        enum wf_chunked_result result;
    } rows[] = {
        {{"3;", 'a', WF_CHUNK_EXT_MAX, "\r\nabc\r\n0\r\n\r\n"}, WF_CHUNKED_DONE},
        {{"3;", 'a', WF_CHUNK_EXT_MAX + 1, "\r\nabc\r\n0\r\n\r\n"}, WF_CHUNKED_BAD},
        {{"3;b\r\nabc\r\n0;", 'a', WF_CHUNK_EXT_MAX, "\r\n\r\n"}, WF_CHUNKED_BAD}, /* in all */
        {{"0\r\na:", 'a', WF_TRAILER_BYTES_MAX - 5, "\r\n\r\n"}, WF_CHUNKED_DONE},
        {{"0\r\na:", 'a', WF_TRAILER_BYTES_MAX - 4, "\r\n\r\n"}, WF_CHUNKED_TRAILER_TOO_LARGE},
        {{"0\r\n", 'a', WF_TRAILER_BYTES_MAX + 1, ""}, WF_CHUNKED_TRAILER_TOO_LARGE},
    };
    static char bytes[16 * 1024];
    static struct text out;
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        size_t n = write_pattern(bytes, &rows[i].pattern), used;
        assert_int_equal(decode_cut(wf_span(bytes, n), (size_t[]){n / 2}, 1, &out, &used),
                         rows[i].result);
    }
}

/* ---- tables ---- */

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
    char value[40];
    for (int c = 0; c < 256; c++) { /* at every place: eight at a time must see what one does */
        for (size_t n = 1; n <= sizeof(value); n++) {
            for (size_t at = 0; at < n; at++) {
                memset(value, "a\x80"[n % 2], n);
                value[at] = (char)c;
                assert_int_equal(wf_field_value_ok(wf_span(value, n)),
                                 c == 9 || (c >= 32 && c != 127));
            }
        }
    }
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
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *guarded =
        mmap(NULL, GUARDED + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (argc != 2 || guarded == MAP_FAILED || mprotect(guarded + GUARDED, page, PROT_NONE) != 0) {
        return 2;
    }
    wire_dir = argv[1];
    guarded_end = guarded + GUARDED;
    wf_http1_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_is_answered_as_it_says),
        cmocka_unit_test(broken_cases_give_the_same_with_each_scanner_and_cut),
        cmocka_unit_test(scanners_agree_on_all_bytes_and_lengths),
        cmocka_unit_test(a_scanner_is_chosen),
        cmocka_unit_test(limits_are_exact),
        cmocka_unit_test(field_lines_are_counted),
        cmocka_unit_test(a_slow_head_costs_linear_time),
        cmocka_unit_test(a_lone_line_feed_at_the_end_is_refused_at_once),
        cmocka_unit_test(chunked_rows_decode_however_they_are_cut),
        cmocka_unit_test(what_is_free_for_the_sender_is_bounded),
        cmocka_unit_test(every_field_name_is_found_in_any_case),
        cmocka_unit_test(a_field_name_with_one_byte_changed_is_unknown),
        cmocka_unit_test(methods_are_case_sensitive),
        cmocka_unit_test(names_and_values_that_would_split_a_reply_are_refused),
        cmocka_unit_test(the_date_line_agrees_with_strftime),
        cmocka_unit_test(reasons_are_those_of_the_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
