/* Tests of wire/mime over the tables in cases/. argv[1] is the source directory of wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/buf.h"
#include "wire/mime/mime.h"

static const char *wire_dir;

enum { PAGE = 4096, COLUMNS = 3, TEXT_MAX = 1 << 16 };

/* A copy that ends where the next page faults. */
static struct wf_span at_end_of_page(struct wf_span s) {
    static char *page;
    if (page == NULL) {
        page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(page != MAP_FAILED);
        assert_int_equal(mprotect(page + PAGE, PAGE, PROT_NONE), 0);
    }
    assert_true(s.n <= PAGE);
    memmove(page + PAGE - s.n, s.p, s.n);
    return wf_span(page + PAGE - s.n, s.n);
}

/* Undoes \r, \n, \t and \xHH in place. */
static struct wf_span unescape(char *s) {
    char *o = s;
    for (const char *p = s; *p != '\0';) {
        if (*p != '\\') {
            *o++ = *p++;
        } else if (p[1] == 'x') {
            *o++ = (char)strtol((char[]){p[2], p[3], 0}, NULL, 16);
            p += 4;
        } else {
            *o++ = (char)(p[1] == 'r' ? '\r' : p[1] == 'n' ? '\n' : '\t');
            p += 2;
        }
    }
    return wf_span(s, (size_t)(o - s));
}

static void each_case(const char *file, void check(const char *title, const struct wf_span *)) {
    char path[1024], *line = NULL;
    size_t cap = 0;
    unsigned cases = 0;
    snprintf(path, sizeof(path), "%s/mime/cases/%s", wire_dir, file);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (getline(&line, &cap, f) > 0) {
        if (line[0] == '#') {
            continue;
        }
        struct wf_span columns[COLUMNS];
        char *at = line, *title = NULL;
        for (unsigned i = 0; i < COLUMNS; i++) {
            char *end = at + strcspn(at, "\t\n");
            char *next = *end != '\0' ? end + 1 : end;
            *end = '\0';
            title = i == 0 ? strdup(at) : title;
            columns[i] = unescape(at);
            at = next;
        }
        check(title, columns);
        free(title);
        cases++;
    }
    assert_true(cases > 10);
    free(line);
    fclose(f);
}

/* ---- multipart ---- */

static void say(struct wf_buf *log, const char *before, struct wf_span s, const char *after) {
    assert_int_equal(wf_buf_append(log, before, strlen(before)), WF_BUF_OK);
    assert_int_equal(wf_buf_append_span(log, s), WF_BUF_OK);
    assert_int_equal(wf_buf_append(log, after, strlen(after)), WF_BUF_OK);
}

/* The last event, once `in` is used up. */
static enum wf_multipart_event tell(struct wf_multipart *m, struct wf_span in, struct wf_buf *log) {
    static const struct wf_span none = {"", 0};
    for (;;) {
        struct wf_span data = none;
        enum wf_multipart_event event = wf_multipart_next(m, &in, &data);
        switch (event) {
        case WF_MULTIPART_MORE:
            assert_int_equal(in.n, 0);
            return event;
        case WF_MULTIPART_PART:
            say(log, "part(", m->name, "");
            if (m->has_filename) {
                say(log, " file ", m->filename, "");
            }
            if (m->content_type.n != 0) {
                say(log, " type ", m->content_type, "");
            }
            say(log, ") ", none, "");
            break;
        case WF_MULTIPART_DATA:
            assert_int_not_equal(data.n, 0);
            say(log, "", data, "");
            break;
        case WF_MULTIPART_PART_END:
            say(log, " end. ", none, "");
            break;
        case WF_MULTIPART_END:
            say(log, "END", none, "");
            return event;
        case WF_MULTIPART_BAD:
            assert_non_null(m->why);
            say(log, "BAD", none, "");
            return event;
        }
    }
}

static void check_pieces(const char *title, const struct wf_span *columns, size_t piece) {
    struct wf_multipart *m = malloc(sizeof(*m)); /* of its own, for sanitizers to watch */
    struct wf_buf log;
    wf_buf_init(&log, TEXT_MAX);
    assert_true(wf_multipart_init(m, WF_SPAN("b")));
    enum wf_multipart_event event = WF_MULTIPART_MORE;
    for (size_t at = 0; at < columns[1].n && event == WF_MULTIPART_MORE; at += piece) {
        struct wf_span part = wf_span(columns[1].p + at, WF_MIN(piece, columns[1].n - at));
        event = tell(m, at_end_of_page(part), &log);
    }
    if (!wf_span_eq(wf_buf_span(&log), columns[2])) {
        fail_msg("%s, in pieces of %zu: %.*s", title, piece, (int)log.len, log.p);
    }
    wf_buf_free(&log);
    free(m);
}

static void check_multipart(const char *title, const struct wf_span *columns) {
    for (size_t piece = 1; piece <= columns[1].n; piece++) {
        check_pieces(title, columns, piece);
    }
}

static void multipart_however_it_is_cut(void **state) {
    each_case("multipart.txt", check_multipart);
}

static void heads_past_the_limit_are_refused(void **state) {
    static char body[2 * WF_MULTIPART_HEAD_MAX];
    struct wf_multipart m;
    struct wf_buf log;
    int n = sprintf(body, "--b\r\nContent-Disposition: form-data; name=\"");
    memset(body + n, 'a', WF_MULTIPART_HEAD_MAX);
    wf_buf_init(&log, TEXT_MAX);
    assert_true(wf_multipart_init(&m, WF_SPAN("b")));
    assert_int_equal(tell(&m, wf_span(body, sizeof(body)), &log), WF_MULTIPART_BAD);
    assert_true(wf_span_eq(wf_buf_span(&log), WF_SPAN("BAD")));
    assert_int_equal(tell(&m, WF_SPAN("--b--"), &log), WF_MULTIPART_BAD); /* for good */
    wf_buf_free(&log);
}

static void boundaries_have_limits(void **state) {
    static char long_one[WF_MULTIPART_BOUNDARY_MAX + 1];
    struct wf_multipart m;
    memset(long_one, 'a', sizeof(long_one));
    assert_false(wf_multipart_init(&m, WF_SPAN("")));
    assert_false(wf_multipart_init(&m, WF_SPAN("a\rb")));
    assert_false(wf_multipart_init(&m, wf_span(long_one, sizeof(long_one))));
    assert_true(wf_multipart_init(&m, wf_span(long_one, sizeof(long_one) - 1)));
}

/* ---- parameters ---- */

static void check_param(const char *title, const struct wf_span *columns) {
    char out[PAGE];
    struct wf_span field = at_end_of_page(columns[0]);
    ssize_t n = wf_mime_param(field, columns[1], out);
    bool none = wf_span_eq(columns[2], WF_SPAN("NONE"));
    if (none ? n != -1 : n < 0 || !wf_span_eq(wf_span(out, (size_t)n), columns[2])) {
        fail_msg("%s: \"%.*s\"", title, n < 0 ? 0 : (int)n, out);
    }
}

static void parameters_are_found(void **state) {
    each_case("param.txt", check_param);
}

static void values_stand_before_the_parameters(void **state) {
    assert_true(wf_span_eq(wf_mime_value(WF_SPAN(" text/plain ; a=b")), WF_SPAN("text/plain")));
    assert_true(wf_span_eq(wf_mime_value(WF_SPAN("text/plain")), WF_SPAN("text/plain")));
    assert_int_equal(wf_mime_value(WF_SPAN("")).n, 0);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        return 2;
    }
    wire_dir = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multipart_however_it_is_cut),
        cmocka_unit_test(heads_past_the_limit_are_refused),
        cmocka_unit_test(boundaries_have_limits),
        cmocka_unit_test(parameters_are_found),
        cmocka_unit_test(values_stand_before_the_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
