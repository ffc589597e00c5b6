/* Static files: which path is which file, and who does not get out of the directory. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "serve/static/beneath.h"
#include "serve/static/static.h"

static const struct wf_media_type types[] = {
    {{"css", 3}, {"text/css; charset=utf-8", 23}},
    {{"gz", 2}, {"", 0}},
    {{"html", 4}, {"text/html", 9}},
    {{"tar", 3}, {"application/x-tar", 17}},
    {{"txt", 3}, {"text/plain", 10}},
};

static char base[] = "/tmp/weft-static-XXXXXX";
static char root[64];

static void put(const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", base, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_tree(void **state) {
    char path[128], to[128];
    assert_non_null(mkdtemp(base));
    snprintf(root, sizeof(root), "%s/root", base);
    mkdir(root, 0755);
    snprintf(path, sizeof(path), "%s/sub", root);
    mkdir(path, 0755);
    put("secret.txt", "secret");
    put("root/a.txt", "a");
    put("root/a.txt.gz", "a, gzipped");
    put("root/a.txt.br", "a, in br");
    put("root/sub/index.html", "index");
    put("root/sub/b.css", "b");
    static const struct {
        const char *name, *target;
    } links[] = {{"in", "sub/b.css"},
                 {"out", "../secret.txt"},
                 {"dir", ".."},
                 {"back", "sub/../a.txt"},
                 {"loop", "loop"},
                 {"down", "sub"},
                 {"deep", "sub/../../secret.txt"}};
    for (size_t i = 0; i < WF_ARRAY_LEN(links); i++) {
        snprintf(path, sizeof(path), "%s/%s", root, links[i].name);
        assert_int_equal(symlink(links[i].target, path), 0);
    }
    snprintf(path, sizeof(path), "%s/absolute", root);
    snprintf(to, sizeof(to), "%s/secret.txt", base);
    assert_int_equal(symlink(to, path), 0);
    snprintf(path, sizeof(path), "%s/fifo", root);
    assert_int_equal(mkfifo(path, 0644), 0);
    return 0;
}

static int remove_tree(void **state) {
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", base);
    return system(command);
}

static struct wf_static *open_static(bool html, bool follow, bool precompressed) {
    static const char *directories[1];
    directories[0] = root;
    struct wf_static *s = wf_static_new(&(struct wf_static_config){.directories = directories,
                                                                   .ndirectories = 1,
                                                                   .types = types,
                                                                   .ntypes = WF_ARRAY_LEN(types),
                                                                   .html = html,
                                                                   .follow_symlink = follow,
                                                                   .precompressed = precompressed});
    assert_non_null(s);
    return s;
}

/* What is found: its content, or a word. */
static const char *get(struct wf_static *s, struct wf_span path, const char *accept) {
    static char text[64];
    struct wf_static_found f;
    switch (wf_static_find(s, path, wf_span_str(accept), 0, &f)) {
    case WF_STATIC_FOUND: {
        ssize_t n = read(f.file.fd, text, sizeof(text) - 1);
        close(f.file.fd);
        assert_int_equal(n, f.file.size);
        text[n] = '\0';
        return text;
    }
    case WF_STATIC_NOT_FOUND:
        return "404";
    case WF_STATIC_SLASH:
        return "slash";
    case WF_STATIC_UNREADABLE:
        return "401";
    case WF_STATIC_FAILED:
        return "503";
    }
    return "?";
}

struct row {
    const char *path, *expect, *walking; /* without openat2, where that differs */
};

static const struct row confined[] = {
    {"a.txt", "a", NULL},
    {"a.txt/", "a", NULL},
    {"//a.txt", "a", NULL},
    {"./sub/../a.txt", "a", NULL},
    {"sub/b.css", "b", NULL},
    {"sub//b.css", "b", NULL},
    {"nothing", "404", NULL},
    {"a.txt/b", "404", NULL},
    {"", "404", NULL},
    {"sub", "404", NULL},
    {"..", "404", NULL},
    {"../secret.txt", "404", NULL},
    {"sub/../../secret.txt", "404", NULL},
    {"../root/a.txt", "404", NULL},
    {"\\a.txt", "404", NULL},
    {"in", "b", "404"},
    {"back", "a", "404"},
    {"down/b.css", "b", "404"},
    {"out", "404", NULL},
    {"deep", "404", NULL},
    {"dir/secret.txt", "404", NULL},
    {"absolute", "404", NULL},
    {"loop", "404", NULL},
    {"fifo", "404", NULL},
};

static void nobody_gets_out(void **state) {
    struct wf_static *s = open_static(false, false, false);
    for (size_t i = 0; i < WF_ARRAY_LEN(confined); i++) {
        const char *got = get(s, wf_span_str(confined[i].path), "");
        if (strcmp(got, confined[i].expect) != 0) {
            fail_msg("%s: %s, not %s", confined[i].path, got, confined[i].expect);
        }
    }
    assert_string_equal(get(s, wf_span("a.txt\0.css", 10), ""), "404");
    wf_static_free(s);
}

static void nor_without_openat2(void **state) {
    int fd = open(root, O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < WF_ARRAY_LEN(confined); i++) {
        const struct row *r = &confined[i];
        bool walk = true;
        if (strchr(r->path, '.') == r->path || strstr(r->path, "..") != NULL ||
            strstr(r->path, "//") != NULL ||
            r->path[strlen(r->path) ? strlen(r->path) - 1 : 0] == '/') {
            continue; /* wf_static_find hands none of those down */
        }
        int got = wf_open_beneath(fd, r->path, &walk);
        struct wf_file file;
        got = got >= 0 ? wf_file_take(got, &file) : got;
        const char *expect = r->walking != NULL ? r->walking : r->expect;
        if ((got == 0) != (strcmp(expect, "404") != 0)) {
            fail_msg("%s: %d, not %s", r->path, got, expect);
        }
        if (got == 0) {
            close(file.fd);
        }
    }
    close(fd);
}

static void links_are_followed_where_that_is_wanted(void **state) {
    struct wf_static *s = open_static(false, true, false);
    assert_string_equal(get(s, WF_SPAN("out"), ""), "secret");
    assert_string_equal(get(s, WF_SPAN("absolute"), ""), "secret");
    assert_string_equal(get(s, WF_SPAN("../secret.txt"), ""), "404");
    assert_string_equal(get(s, WF_SPAN("loop"), ""), "404");
    wf_static_free(s);
}

static void directories_are_their_index(void **state) {
    struct wf_static *s = open_static(true, false, false);
    assert_string_equal(get(s, WF_SPAN("sub/"), ""), "index");
    assert_string_equal(get(s, WF_SPAN("sub"), ""), "slash");
    assert_string_equal(get(s, WF_SPAN(""), ""), "404");
    put("root/404.html", "not here");
    assert_string_equal(get(s, WF_SPAN("nothing"), ""), "not here");
    assert_string_equal(get(s, WF_SPAN("out"), ""), "not here");
    put("root/index.html", "top");
    assert_string_equal(get(s, WF_SPAN(""), ""), "top");
    wf_static_free(s);
}

static void variants_by_weight(void **state) {
    struct wf_static *s = open_static(false, false, true);
    assert_string_equal(get(s, WF_SPAN("a.txt"), ""), "a");
    assert_string_equal(get(s, WF_SPAN("a.txt"), "gzip"), "a, gzipped");
    assert_string_equal(get(s, WF_SPAN("a.txt"), "gzip, br"), "a, in br");
    assert_string_equal(get(s, WF_SPAN("a.txt"), "gzip;q=1, br;q=0.5, zstd"), "a, gzipped");
    assert_string_equal(get(s, WF_SPAN("a.txt"), "gzip;q=0, br;q=0"), "a");
    assert_string_equal(get(s, WF_SPAN("sub/b.css"), "gzip, br"), "b");
    wf_static_free(s);
}

static void types_by_the_end_of_the_name(void **state) {
    static const struct row rows[] = {{"a.txt", "text/plain", NULL},
                                      {"a.TXT", "text/plain", NULL},
                                      {"a.b.html", "text/html", NULL},
                                      {"a.tar.gz", "application/x-tar", NULL},
                                      {"a.gz", "application/octet-stream", NULL},
                                      {".txt", "application/octet-stream", NULL},
                                      {"..txt", "application/octet-stream", NULL},
                                      {"txt", "application/octet-stream", NULL},
                                      {"a.", "application/octet-stream", NULL},
                                      {"", "application/octet-stream", NULL}};
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        struct wf_span t = wf_media_type_of(types, WF_ARRAY_LEN(types), wf_span_str(rows[i].path));
        assert_true(wf_span_eq(t, wf_span_str(rows[i].expect)));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_gets_out),
        cmocka_unit_test(nor_without_openat2),
        cmocka_unit_test(links_are_followed_where_that_is_wanted),
        cmocka_unit_test(variants_by_weight),
        cmocka_unit_test(directories_are_their_index),
        cmocka_unit_test(types_by_the_end_of_the_name),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
