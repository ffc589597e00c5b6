/* Fuzzes the lookup of static files. Input: a byte of options (1: html, 2: precompressed, 4: read twice), a line of
 * Accept-Encoding, then the path. Whatever it is, a file that is found is one of the directory's own: beside that lies a
 * secret, and links lead out to it. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve/static/static.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES = 6 };
static const char *const names[FILES] = {"a.txt",     "a.txt.gz", "sub/index.html",
                                         "sub/b.css", "404.html", "sub/..c"};
static const char *const links[][2] = {
    {"in", "sub/b.css"},         {"out", "../secret"}, {"up", ".."},
    {"sub/up", "../.."},         {"loop", "loop"},     {"root", "/"},
    {"deep", "sub/../../secret"}};
static char base[] = "/tmp/weft-fuzz-static-XXXXXX";
static char root[PATH_MAX];
static ino_t inodes[FILES];

static char *at(char path[PATH_MAX], const char *name) {
    snprintf(path, PATH_MAX, "%s/root/%s", base, name);
    return path;
}

static void remove_tree(void) {
    char path[PATH_MAX];
    for (size_t i = 0; i < WF_ARRAY_LEN(links); i++) {
        unlink(at(path, links[i][0]));
    }
    for (size_t i = 0; i < FILES; i++) {
        unlink(at(path, names[i]));
    }
    unlink(at(path, "../secret"));
    rmdir(at(path, "sub"));
    rmdir(root);
    rmdir(base);
}

static ino_t put(const char *name) {
    char path[PATH_MAX];
    struct stat st;
    int fd = open(at(path, name), O_CREAT | O_WRONLY | O_TRUNC, 0644);
    if (fd < 0 || write(fd, name, strlen(name)) < 0 || fstat(fd, &st) != 0) {
        abort();
    }
    close(fd);
    return st.st_ino;
}

static void make_tree(void) {
    char path[PATH_MAX];
    if (mkdtemp(base) == NULL) {
        abort();
    }
    snprintf(root, sizeof(root), "%s/root", base);
    mkdir(root, 0755);
    mkdir(at(path, "sub"), 0755);
    put("../secret");
    for (size_t i = 0; i < FILES; i++) {
        inodes[i] = put(names[i]);
    }
    for (size_t i = 0; i < WF_ARRAY_LEN(links); i++) {
        if (symlink(links[i][1], at(path, links[i][0])) != 0) {
            abort();
        }
    }
    atexit(remove_tree);
}

static void check(struct wf_static_found *found) {
    struct stat st;
    bool known = false;
    if (fstat(found->file.fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        abort();
    }
    for (size_t i = 0; i < FILES; i++) {
        known = known || st.st_ino == inodes[i];
    }
    if (!known || found->file.size != (uint64_t)st.st_size) {
        abort();
    }
    close(found->file.fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct wf_media_type types[] = {{{"gz", 2}, {"", 0}},
                                                 {{"html", 4}, {"text/html", 9}}};
    if (root[0] == '\0') {
        make_tree();
    }
    if (size == 0) {
        return 0;
    }
    const char *directories[] = {root};
    struct wf_static_config config = {.directories = directories,
                                      .ndirectories = 1,
                                      .types = types,
                                      .ntypes = WF_ARRAY_LEN(types),
                                      .html = (data[0] & 1) != 0,
                                      .precompressed = (data[0] & 2) != 0};
    struct wf_span rest = wf_span((const char *)data + 1, size - 1), accepts = wf_span("", 0);
    const char *eol = rest.n != 0 ? memchr(rest.p, '\n', rest.n) : NULL;
    if (eol != NULL) {
        accepts = wf_span(rest.p, (size_t)(eol - rest.p));
        rest = wf_span(eol + 1, rest.n - accepts.n - 1);
    }
    struct wf_static *s = wf_static_new(&config);
    struct wf_static_found found;
    for (int i = 0; s != NULL && i <= ((data[0] & 4) != 0); i++) {
        if (wf_static_find(s, rest, accepts, (uint64_t)i * 1000000, &found) == WF_STATIC_FOUND) {
            check(&found);
        }
    }
    wf_static_free(s);
    return 0;
}
