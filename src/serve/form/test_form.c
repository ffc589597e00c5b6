/* Forms by themselves, and as the server reads them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve/test_fixture.h"

#define TYPE "multipart/form-data; boundary=b"
#define FIELD(name, value)                                                                         \
    "--b\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define FILE_HEAD(name, filename)                                                                  \
    "--b\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"" filename               \
    "\"\r\nContent-Type: text/plain\r\n\r\n"

static struct wf_form *form_of(const char *type) {
    struct wf_form_config config;
    wf_form_config_default(&config);
    struct wf_form *f = wf_form_new(wf_span_str(type), &config);
    assert_non_null(f);
    return f;
}

static void feed(struct wf_form *f, const char *s) {
    wf_form_feed(f, wf_span_str(s));
}

static void assert_span(struct wf_span s, const char *expected) {
    if (!wf_span_eq(s, wf_span_str(expected))) {
        fail_msg("\"%.*s\" is not \"%s\"", (int)s.n, s.p, expected);
    }
}

static unsigned open_descriptors(void) {
    unsigned n = 0;
    for (int fd = 0; fd < 1024; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

/* ---- by themselves ---- */

static void fields_and_files_are_items(void **state) {
    struct wf_form *f = form_of(TYPE "; charset=UTF-8");
    feed(f, FIELD("a", "1") FILE_HEAD("f", "x.txt") "content\r\n" FIELD("a", "2") "--b--");
    wf_form_finish(f);
    assert_int_equal(f->status, 0);
    assert_int_equal(f->nitems, 3);
    assert_string_equal(f->charset, "utf-8");
    assert_span(f->items[0].name, "a");
    assert_span(f->items[0].value, "1");
    assert_span(f->items[1].filename, "x.txt");
    assert_span(f->items[1].value, "content");
    assert_true(f->items[1].is_file && f->items[1].size == 7 && f->items[1].fd == -1);
    assert_int_equal(f->items[1].nfields, 2);
    assert_span(f->items[1].fields[1].name, "Content-Type");
    assert_span(f->items[2].value, "2");
    wf_form_free(f);
}

static void large_files_go_to_disk(void **state) {
    unsigned before = open_descriptors();
    static char zeros[WF_FORM_SPOOL_BYTES];
    struct wf_form *f = form_of(TYPE);
    feed(f, FILE_HEAD("f", "x"));
    wf_form_feed(f, wf_span(zeros, sizeof(zeros)));
    assert_int_equal(f->items[0].fd, -1);
    feed(f, "!\r\n" FILE_HEAD("g", "y"));
    for (int i = 0; i < 3; i++) {
        wf_form_feed(f, wf_span(zeros, sizeof(zeros)));
    }
    feed(f, "\r\n--b--");
    wf_form_finish(f);
    assert_int_equal(f->status, 0);
    assert_int_equal(f->items[0].size, sizeof(zeros) + 1);
    assert_int_equal(f->items[1].size, 3 * sizeof(zeros));
    assert_int_equal(open_descriptors(), before + 2);
    int fd = wf_form_take_file(&f->items[0]);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, sizeof(zeros) + 1);
    assert_int_equal(st.st_nlink, 0);
    char first;
    assert_int_equal(read(fd, &first, 1), 1);
    assert_int_equal(first, 0);
    assert_int_equal(wf_form_take_file(&f->items[0]), -1);
    wf_form_free(f);
    assert_int_equal(open_descriptors(), before + 1); /* the one that was taken */
    close(fd);
}

static char *resize(void *data, char *block, size_t bytes) {
    char *p = bytes != 0 ? wf_realloc(block, bytes) : NULL;
    if (p == NULL) {
        wf_free(block);
    }
    return p;
}

/* A file of so many zeros, fed by the MiB. expected: of the whole body, or UINT64_MAX */
static struct wf_form *with_file(struct wf_form_memory *memory, size_t bytes, uint64_t expected) {
    static char zeros[WF_FORM_SPOOL_BYTES];
    struct wf_form_config config;
    wf_form_config_default(&config);
    config.memory = memory;
    struct wf_form *f = wf_form_new(WF_SPAN(TYPE), &config);
    assert_non_null(f);
    wf_form_expect(f, expected);
    feed(f, FILE_HEAD("f", "x"));
    for (size_t n; bytes != 0; bytes -= n) {
        n = WF_MIN(bytes, sizeof(zeros));
        wf_form_feed(f, wf_span(zeros, n));
    }
    feed(f, "\r\n--b--");
    wf_form_finish(f);
    assert_int_equal(f->status, 0);
    return f;
}

static uint64_t left_of(struct wf_form_memory *memory) {
    uint64_t n = 0;
    while (wf_form_memory_claim(memory, 1 << 10)) {
        n++;
    }
    wf_form_memory_release(memory, n << 10);
    return n << 10;
}

static void large_files_share_memory(void **state) {
    enum { MIB = 1 << 20, ALL = 8 * MIB };
    unsigned before = open_descriptors();
    struct wf_form_memory *memory = wf_form_memory_new(ALL, resize, NULL);
    for (int known = 0; known < 2; known++) {
        uint64_t expected = known != 0 ? 3 * MIB + 100 : UINT64_MAX;
        struct wf_form *f = with_file(memory, 3 * MIB, expected);
        assert_int_equal(f->items[0].claimed, 3 * MIB); /* what was too much has been given back */
        assert_int_equal(f->items[0].value.n, 3 * MIB);
        assert_int_equal(left_of(memory), ALL - 3 * MIB);
        struct wf_form *g = with_file(memory, 6 * MIB, expected * 2);
        assert_true(g->items[0].fd >= 0 && g->items[0].claimed == 0 && g->items[0].size == 6 * MIB);
        assert_int_equal(left_of(memory), ALL - 3 * MIB);
        wf_form_free(g);
        struct wf_span content = wf_span("", 0);
        assert_int_equal(wf_form_take_content(&f->items[0], &content), 3 * MIB);
        assert_int_equal(wf_form_take_content(&f->items[0], &content), 0);
        wf_form_free(f);
        assert_int_equal(left_of(memory), ALL - 3 * MIB);
        assert_int_equal(content.p[content.n - 1], 0);
        (void)resize(NULL, (char *)(uintptr_t)content.p, 0);
        wf_form_memory_release(memory, 3 * MIB);
        wf_form_free(with_file(memory, 3 * MIB, expected));
        assert_int_equal(left_of(memory), ALL);
    }
    wf_form_free(with_file(memory, MIB, UINT64_MAX)); /* so short, it needs none */
    assert_int_equal(left_of(memory), ALL);
    wf_form_memory_unref(memory);

    memory = wf_form_memory_new(UINT32_MAX, resize, NULL);
    for (int known = 0; known < 2; known++) {
        size_t size = WF_FORM_FILE_MEMORY_MAX + 1;
        struct wf_form *f = with_file(memory, size, known != 0 ? size + 100 : UINT64_MAX);
        assert_true(f->items[0].fd >= 0 && f->items[0].size == size);
        assert_int_equal(left_of(memory), UINT32_MAX / 1024 * 1024);
        wf_form_free(f);
    }
    wf_form_memory_unref(memory);
    assert_int_equal(open_descriptors(), before);
}

/* Feeds `bytes` as a server does that reads a long file to its place: `cut` bytes at once. */
static void feed_to_place(struct wf_form *f, const char *bytes, size_t n, size_t cut) {
    for (size_t at = 0, took; at < n; at += took) {
        size_t room;
        char *place = wf_form_place(f, &room);
        took = WF_MIN(cut, n - at);
        if (place == NULL) {
            wf_form_feed(f, wf_span(bytes + at, took));
            continue;
        }
        took = WF_MIN(took, room);
        memcpy(place, bytes + at, took);
        wf_form_feed(f, wf_span(place, took));
    }
}

/* Where what looks like a delimiter is cut, and what follows the file, must not matter. */
static void what_is_read_to_its_place_is_the_same(void **state) {
    enum { FILE_BYTES = WF_FORM_SPOOL_BYTES + 100000 };
    struct wf_buf body;
    struct wf_form_memory *memory = wf_form_memory_new(WF_FORM_SHARED_MEMORY_MAX, resize, NULL);
    wf_buf_init(&body, 4 << 20);
    assert_int_equal(wf_buf_append_span(&body, WF_SPAN(FILE_HEAD("f", "x"))), WF_BUF_OK);
    size_t head = body.len;
    while (body.len < head + FILE_BYTES) {
        assert_int_equal(wf_buf_append_span(&body, WF_SPAN("\r\n--a\r\r\n-.")), WF_BUF_OK);
    }
    size_t file = body.len - head + sizeof("\r\n--\r\n--a") - 1;
    size_t fed_at_once = body.len - 100;
    assert_int_equal(wf_buf_append_span(&body, WF_SPAN("\r\n--\r\n--a\r\n")), WF_BUF_OK);
    assert_int_equal(wf_buf_append_span(&body, WF_SPAN(FIELD("g", "1") "--b--")), WF_BUF_OK);
    for (size_t cut = 1; cut < 40; cut++) {
        struct wf_form_config config;
        wf_form_config_default(&config);
        config.memory = memory;
        struct wf_form *f = wf_form_new(WF_SPAN(TYPE), &config);
        wf_form_expect(f, body.len);
        feed_to_place(f, body.p, fed_at_once, 100000);
        size_t room;
        assert_non_null(wf_form_place(f, &room));
        feed_to_place(f, body.p + fed_at_once, body.len - fed_at_once, cut);
        wf_form_finish(f);
        assert_int_equal(f->status, 0);
        assert_int_equal(f->nitems, 2);
        assert_int_equal(f->items[0].claimed, 2 << 20); /* what it has, by the MiB */
        assert_true(wf_span_eq(f->items[0].value, wf_span(body.p + head, file)));
        assert_span(f->items[1].value, "1");
        assert_null(wf_form_place(f, &room));
        wf_form_free(f);
    }
    assert_int_equal(left_of(memory), WF_FORM_SHARED_MEMORY_MAX);
    wf_form_memory_unref(memory);
    wf_buf_free(&body);
}

/* A long body may hold many files, none of which is long: each has what it needs, and no more. */
static void files_of_long_bodies_claim_what_they_have(void **state) {
    enum { MIB = 1 << 20 };
    static char zeros[200 * 1000];
    struct wf_form_memory *memory = wf_form_memory_new(8 * MIB, resize, NULL);
    struct wf_form_config config;
    wf_form_config_default(&config);
    config.memory = memory;
    struct wf_form *f = wf_form_new(WF_SPAN(TYPE), &config);
    wf_form_expect(f, 4 * MIB);
    feed(f, "--b");
    for (unsigned i = 0; i < 3; i++) {
        feed(f, &FILE_HEAD("f", "x")[3]); /* its "--b" has come */
        feed_to_place(f, zeros, sizeof(zeros), 70 * 1000);
        assert_true(f->items[i].claimed > 3 * MIB);
        feed(f, "\r\n--b");
        assert_int_equal(f->items[i].claimed, sizeof(zeros));
        assert_int_equal(f->items[i].value.n, sizeof(zeros));
    }
    wf_form_free(f);
    assert_int_equal(left_of(memory), 8 * MIB);
    wf_form_memory_unref(memory);
}

/* Whatever block cannot be had, made larger or smaller: the form fails or does without, and no claim is left behind. */
static void blocks_may_run_out(void **state) {
    enum { MIB = 1 << 20 };
    static char large[700 * 1000];
    unsigned before = open_descriptors();
    struct wf_form_memory *memory = wf_form_memory_new(16 * MIB, resize, NULL);
    struct wf_form_config config;
    wf_form_config_default(&config);
    config.memory = memory;
    for (int known = 0; known < 2; known++) {
        unsigned failed = 0;
        bool whole = false;
        for (unsigned long nth = 1; !whole; nth++) {
            assert_true(nth < 100);
            struct wf_form *f = wf_form_new(WF_SPAN(TYPE), &config);
            wf_form_expect(f, known != 0 ? 5 * MIB : UINT64_MAX);
            wf_alloc_fail_from(nth);
            feed(f, FILE_HEAD("f", "x"));
            for (int i = 0; i < 5; i++) {
                feed_to_place(f, large, sizeof(large), 100000);
            }
            feed(f, "\r\n--b--");
            wf_form_finish(f);
            wf_alloc_fail_from(0);
            whole = f->status == 0 && f->items[0].claimed != 0;
            failed += f->status == 503;
            assert_true(whole || f->status == 503 || f->items[0].fd >= 0);
            assert_true(f->status != 0 || f->items[0].size == 5 * sizeof(large));
            wf_form_free(f);
            assert_int_equal(left_of(memory), 16 * MIB);
        }
        assert_true(failed != 0);
    }
    wf_form_memory_unref(memory);
    assert_int_equal(open_descriptors(), before);
}

static void nowhere_to_store_is_told(void **state) {
    static char zeros[WF_FORM_SPOOL_BYTES + 1];
    struct wf_form_config config;
    wf_form_config_default(&config);
    config.spool_dir = "/nonexistent";
    struct wf_form *f = wf_form_new(WF_SPAN(TYPE), &config);
    feed(f, FILE_HEAD("f", "x"));
    wf_form_feed(f, wf_span(zeros, sizeof(zeros)));
    assert_int_equal(f->status, 503);
    assert_int_equal(f->error, ENOENT);
    wf_form_free(f);
}

static void urlencoded_is_read_as_starlette_does(void **state) {
    struct wf_form *f = form_of("application/x-www-form-urlencoded; charset=utf-8");
    feed(f, "a=1&b=x+y%2");
    feed(f, "0z&&c&d=%C3%BC\xfc&=e");
    wf_form_finish(f);
    assert_int_equal(f->status, 0);
    assert_int_equal(f->nitems, 5);
    assert_span(f->items[1].value, "x y z");
    assert_span(f->items[2].name, "c");
    assert_span(f->items[2].value, "");
    assert_span(f->items[3].value, "\xc3\xbc\xc3\xbc");
    assert_span(f->items[4].name, "");
    wf_form_free(f);
}

static void other_types_are_empty(void **state) {
    static const char *const types[] = {"", "application/json", "multipart/mixed; boundary=b"};
    for (size_t i = 0; i < WF_ARRAY_LEN(types); i++) {
        struct wf_form *f = form_of(types[i]);
        feed(f, FIELD("a", "1") "--b--");
        wf_form_finish(f);
        assert_int_equal(f->status, 0);
        assert_int_equal(f->nitems, 0);
        wf_form_free(f);
    }
}

static void floods_are_refused(void **state) {
    struct wf_form *f = form_of(TYPE);
    for (int i = 0; i < 1001; i++) {
        assert_int_equal(f->status, 0);
        feed(f, FIELD("a", "1"));
    }
    assert_int_equal(f->status, 400);
    assert_string_equal(f->why, "Too many fields. Maximum number of fields is 1000.");
    wf_form_free(f);
    f = form_of(TYPE);
    for (int i = 0; i < 1001; i++) {
        feed(f, FILE_HEAD("f", "x") "\r\n");
    }
    assert_string_equal(f->why, "Too many files. Maximum number of files is 1000.");
    wf_form_free(f);
    f = form_of("application/x-www-form-urlencoded");
    for (int i = 0; i < 1001; i++) {
        feed(f, "a=1&");
    }
    wf_form_finish(f);
    assert_string_equal(f->why, "Too many fields. Maximum number of fields is 1000.");
    wf_form_free(f);
}

static void many_middling_files_keep_few_descriptors(void **state) {
    static char zeros[WF_FORM_SPOOL_FULL_BYTES];
    unsigned before = open_descriptors();
    struct wf_form *f = form_of(TYPE);
    for (int i = 0; i < 300; i++) {
        feed(f, FILE_HEAD("f", "x"));
        wf_form_feed(f, wf_span(zeros, sizeof(zeros)));
        feed(f, "\r\n");
    }
    assert_int_equal(f->status, 0);
    assert_int_equal(open_descriptors(), before);
    wf_form_free(f);
}

/* Whatever allocation fails, it is told, and nothing leaks. */
static void memory_may_run_out(void **state) {
    static char large[3 * 4096];
    memset(large, 'x', sizeof(large));
    struct wf_form_config config;
    wf_form_config_default(&config);
    bool whole = false;
    for (unsigned long nth = 1; !whole; nth++) {
        assert_true(nth < 200);
        wf_alloc_fail_from(nth);
        struct wf_form *f = wf_form_new(WF_SPAN(TYPE), &config);
        if (f != NULL) {
            for (int i = 0; i < 10; i++) {
                feed(f, FIELD("a", "1") FILE_HEAD("f", "x"));
                wf_form_feed(f, wf_span(large, sizeof(large)));
                feed(f, "\r\n");
            }
            feed(f, "--b--");
            wf_form_finish(f);
            whole = f->status == 0;
            assert_true(whole ? f->nitems == 20 : f->status == 503);
        }
        wf_alloc_fail_from(0);
        wf_form_free(f);
    }
}

/* ---- in the server ---- */

#define POST_FORM(type, length)                                                                    \
    "POST /form HTTP/1.1\nHost: a\nContent-Type: " type "\nContent-Length: " length "\n\n"
#define OK(length, text)                                                                           \
    "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: " length "\n\n" text
#define A_FIELD "--b\nContent-Disposition: form-data; name=\"a\"\n\n1\n"

static void reads_forms(void **state) {
    static const struct row rows[] = {
        {POST_FORM("application/x-www-form-urlencoded",
                   "7") "a=1&b=2GET /hello HTTP/1.1\nHost: a\n\n",
         OK("8", "a=1 b=2 ") HELLO},
        {POST_FORM(TYPE, "59") A_FIELD "--b--\nGET /hello HTTP/1.1\nHost: a\n\n",
         OK("4", "a=1 ") HELLO},
        {"POST /form HTTP/1.1\nHost: a\nContent-Type: " TYPE "\nTransfer-Encoding: chunked\n\n"
         "11\n--b\nContent-Disp\n2e\nosition: form-data; name=\"f\"; "
         "filename=\"x\"\n\n\n8\n123\n--b\n2\n--\n0\n\n",
         OK("6", "f=x:3 ")},
        {"POST /form HTTP/1.1\nHost: a\n\n", OK("0", "")},
        {POST_FORM("text/plain", "3") "abcGET /hello HTTP/1.1\nHost: a\n\n", OK("0", "") HELLO},
        /* what is wrong with the form leaves the connection in order */
        {POST_FORM("multipart/form-data", "3") "abcGET /hello HTTP/1.1\nHost: a\n\n",
         ERROR("400 Bad Request", "43", "Missing boundary in multipart.") HELLO},
        {POST_FORM(TYPE, "5") "helloGET /hello HTTP/1.1\nHost: a\n\n",
         ERROR("400 Bad Request", "54", "the body does not begin with the boundary") HELLO},
        {POST_FORM("application/x-www-form-urlencoded", "15") "a=1&b=2&c=3&d=4",
         ERROR("400 Bad Request", "60", "Too many fields. Maximum number of fields is 3.")},
        {POST_FORM("application/x-www-form-urlencoded", "12") "a=1234567890",
         ERROR("400 Bad Request", "48", "Field exceeded maximum size of 0KB.")},
        {POST_FORM(TYPE, "52") A_FIELD "GET /hello HTTP/1.1\nHost: a\n\n",
         ERROR("400 Bad Request", "62", "The multipart body ends before its last boundary.") HELLO},
    };
    CHECK(rows);
}

/* More than the server would read to no use: the connection ends with the reply. */
static void refuses_long_forms_early(void **state) {
    static char junk[1 << 20];
    memset(junk, 'x', sizeof(junk));
    struct fixture *f = start(NULL);
    int fd = dial(f);
    say(f, fd, POST_FORM(TYPE, "9000000"));
    say_bytes(f, fd, junk, 4096);
    struct heard h = hear(f, fd);
    char *got = legible(&h);
    assert_non_null(strstr(got, "400 Bad Request"));
    assert_non_null(strstr(got, "connection: close"));
    free(got);
    hang_up(fd, false);
    stop(f);
}

/* A long upload is never in memory as a whole. */
static void long_uploads_pass_through(void **state) {
    enum { PIECES = 100 };
    static char piece[64 * 1024];
    char head[512];
    memset(piece, '\r', sizeof(piece)); /* each of them might begin a boundary */
    struct fixture *f = start(NULL);
    int fd = dial(f);
    snprintf(head, sizeof(head), POST_FORM(TYPE, "%zu"),
             strlen(FILE_HEAD("f", "x")) + PIECES * sizeof(piece) + strlen("\r\n--b--"));
    say(f, fd, head);
    say_bytes(f, fd, FILE_HEAD("f", "x"), strlen(FILE_HEAD("f", "x")));
    for (int i = 0; i < PIECES; i++) {
        say_bytes(f, fd, piece, sizeof(piece));
        turns(f, 1);
        assert_true(only_conn(f)->in_cap < 4 * sizeof(piece));
    }
    say_bytes(f, fd, "\r\n--b--", 7);
    expect(f, fd, "the upload", OK("12", "f=x:6553600 "));
    hang_up(fd, false);
    stop(f);
}

/* The client leaves in the middle: its file goes with it. */
static void clients_may_leave_in_the_middle(void **state) {
    static char zeros[2 * WF_FORM_SPOOL_BYTES];
    struct fixture *f = start(NULL);
    unsigned before = open_descriptors();
    int fd = dial(f);
    say(f, fd, POST_FORM(TYPE, "9000000"));
    say_bytes(f, fd, FILE_HEAD("f", "x"), strlen(FILE_HEAD("f", "x")));
    say_bytes(f, fd, zeros, sizeof(zeros));
    turns(f, 50);
    assert_int_equal(open_descriptors(), before + 3); /* both ends, and the file */
    hang_up(fd, false);
    turns(f, 5);
    assert_int_equal(open_descriptors(), before);
    stop(f);
}

int main(int argc, char **argv) {
    const struct CMUnitTest alone[] = {
        cmocka_unit_test(fields_and_files_are_items),
        cmocka_unit_test(large_files_go_to_disk),
        cmocka_unit_test(large_files_share_memory),
        cmocka_unit_test(what_is_read_to_its_place_is_the_same),
        cmocka_unit_test(files_of_long_bodies_claim_what_they_have),
        cmocka_unit_test(blocks_may_run_out),
        cmocka_unit_test(nowhere_to_store_is_told),
        cmocka_unit_test(urlencoded_is_read_as_starlette_does),
        cmocka_unit_test(other_types_are_empty),
        cmocka_unit_test(floods_are_refused),
        cmocka_unit_test(many_middling_files_keep_few_descriptors),
        cmocka_unit_test(memory_may_run_out),
    };
    const struct CMUnitTest served[] = {
        cmocka_unit_test(reads_forms),
        cmocka_unit_test(refuses_long_forms_early),
        cmocka_unit_test(long_uploads_pass_through),
        cmocka_unit_test(clients_may_leave_in_the_middle),
    };
    int failed = cmocka_run_group_tests_name("forms", alone, NULL, NULL);
    return failed + RUN_OVER_EVERY_POLLER(served, argc, argv);
}
