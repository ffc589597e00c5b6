/* static.h from a path to a reply. */
#include "serve/static/static.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "serve/server_int.h"
#include "serve/static/beneath.h"
#include "wire/headers/headers.h"

/* A directory, open so that each request does not walk to it again. */
struct root {
    const char *path; /* borrowed */
    int fd;           /* -1: not open */
    uint64_t until_ns;
};

struct wf_static {
    struct wf_static_config config;
    bool walk; /* of wf_open_beneath */
    struct root roots[];
};

struct wf_static *wf_static_new(const struct wf_static_config *config) {
    struct wf_static *s = wf_calloc(1, sizeof(*s) + config->ndirectories * sizeof(s->roots[0]));
    if (s == NULL) {
        return NULL;
    }
    s->config = *config;
    for (size_t i = 0; i < config->ndirectories; i++) {
        s->roots[i] = (struct root){.path = config->directories[i], .fd = -1};
    }
    s->config.directories = NULL;
    return s;
}

static void close_root(struct root *r) {
    if (r->fd >= 0) {
        close(r->fd);
        r->fd = -1;
    }
}

void wf_static_free(struct wf_static *s) {
    for (size_t i = 0; s != NULL && i < s->config.ndirectories; i++) {
        close_root(&s->roots[i]);
    }
    wf_free(s);
}

/* ---- paths ---- */

/* "a//./b/../c" to "a/c", and what is empty to ".". false: no file can be meant. */
static bool normalize(struct wf_span path, char out[WF_STATIC_PATH_MAX]) {
    size_t n = 0;
    if (path.n >= WF_STATIC_PATH_MAX || memchr(path.p, '\0', path.n) != NULL ||
        (path.n != 0 && path.p[0] == '\\')) {
        return false;
    }
    for (size_t at = 0; at < path.n;) {
        const char *from = path.p + at, *slash = memchr(from, '/', path.n - at);
        size_t len = slash != NULL ? (size_t)(slash - from) : path.n - at;
        at += len + 1;
        if (len == 0 || (len == 1 && from[0] == '.')) {
            continue;
        }
        if (len == 2 && from[0] == '.' && from[1] == '.') {
            if (n == 0) {
                return false; /* above the directory */
            }
            while (n > 0 && out[--n] != '/') {
            }
            continue;
        }
        if (n != 0) {
            out[n++] = '/';
        }
        memcpy(out + n, from, len);
        n += len;
    }
    if (n == 0) {
        out[n++] = '.';
    }
    out[n] = '\0';
    return true;
}

/* "dir" and "name" to "dir/name". false: it is too long. */
static bool join(char path[WF_STATIC_PATH_MAX], const char *separator, const char *name) {
    size_t n = strlen(path), more = strlen(separator) + strlen(name);
    if (n + more >= WF_STATIC_PATH_MAX) {
        return false;
    }
    memcpy(path + n, separator, strlen(separator));
    memcpy(path + n + strlen(separator), name, strlen(name) + 1);
    return true;
}

/* ---- opening ---- */

static int open_root(struct root *r, uint64_t now_ns) {
    if (r->fd < 0 || now_ns >= r->until_ns) {
        close_root(r);
        r->fd = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r->until_ns = now_ns + WF_STATIC_FRESH_MS * WF_NS_PER_MS;
    }
    return r->fd >= 0 ? r->fd : -errno;
}

static int open_in(struct wf_static *s, struct root *r, const char *path, uint64_t now_ns) {
    int root = open_root(r, now_ns);
    if (root < 0) {
        return root;
    }
    if (!s->config.follow_symlink) {
        return wf_open_beneath(root, path, &s->walk);
    }
    int fd = openat(root, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd >= 0 ? fd : -errno;
}

/* 0, -EISDIR or -errno; -ENOENT where no directory has it. */
static int open_file(struct wf_static *s, const char *path, uint64_t now_ns, struct wf_file *out) {
    for (size_t i = 0; i < s->config.ndirectories; i++) {
        int fd = open_in(s, &s->roots[i], path, now_ns);
        int rc = fd >= 0 ? wf_file_take(fd, out) : fd;
        switch (-rc) {
        case ENOENT:
        case ENOTDIR:
        case EXDEV:
        case ELOOP:
            continue; /* perhaps the next one */
        case EINVAL:  /* no regular file, nor a directory */
        case ENXIO:
            return -ENOENT;
        default:
            return rc;
        }
    }
    return -ENOENT;
}

static enum wf_static_result failure(int rc) {
    switch (-rc) {
    case ENOENT:
    case EISDIR:
    case ENAMETOOLONG:
        return WF_STATIC_NOT_FOUND;
    case EACCES:
    case EPERM:
        return WF_STATIC_UNREADABLE;
    default:
        return WF_STATIC_FAILED;
    }
}

/* ---- variants ---- */

static const struct {
    struct wf_span coding;
    const char *suffix;
} variants[] = {{{"br", 2}, ".br"}, {{"zstd", 4}, ".zst"}, {{"gzip", 4}, ".gz"}};

/* In place of out->file one that is compressed, the client's favourite first. */
static void take_variant(struct wf_static *s, char path[WF_STATIC_PATH_MAX], struct wf_span accept,
                         uint64_t now_ns, struct wf_static_found *out) {
    unsigned weights[WF_ARRAY_LEN(variants)];
    size_t n = strlen(path);
    for (size_t i = 0; i < WF_ARRAY_LEN(variants); i++) {
        weights[i] = wf_accept_weight(accept, variants[i].coding);
    }
    for (size_t tries = 0; tries < WF_ARRAY_LEN(variants); tries++) {
        size_t best = 0;
        for (size_t i = 1; i < WF_ARRAY_LEN(variants); i++) {
            best = weights[i] > weights[best] ? i : best;
        }
        struct wf_file file;
        if (weights[best] == 0 || !join(path, variants[best].suffix, "")) {
            return;
        }
        int rc = open_file(s, path, now_ns, &file);
        path[n] = '\0';
        if (rc == 0) {
            close(out->file.fd);
            out->file = file;
            out->file.variant = variants[best].suffix;
            out->encoding = variants[best].coding;
            return;
        }
        weights[best] = 0;
    }
}

static struct wf_span file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return wf_span_str(slash != NULL ? slash + 1 : path);
}

/* Everything about out->file, which is open. */
static enum wf_static_result found(struct wf_static *s, char path[WF_STATIC_PATH_MAX],
                                   struct wf_span accept, uint64_t now_ns, int status,
                                   struct wf_static_found *out) {
    out->status = status;
    out->type = wf_media_type_of(s->config.types, s->config.ntypes, file_name(path));
    out->encoding = wf_span("", 0);
    out->vary = s->config.precompressed;
    if (s->config.precompressed && accept.n != 0) {
        take_variant(s, path, accept, now_ns, out);
    }
    return WF_STATIC_FOUND;
}

enum wf_static_result wf_static_find(struct wf_static *s, struct wf_span path,
                                     struct wf_span accept, uint64_t now_ns,
                                     struct wf_static_found *out) {
    char name[WF_STATIC_PATH_MAX];
    int rc = normalize(path, name) ? open_file(s, name, now_ns, &out->file) : -ENOENT;
    if (wf_likely(rc == 0)) {
        return found(s, name, accept, now_ns, 200, out);
    }
    if (!s->config.html || rc == -ENAMETOOLONG) { /* as with Starlette: no 404.html for that */
        return failure(rc);
    }
    if (rc == -EISDIR && join(name, "/", "index.html")) {
        rc = open_file(s, name, now_ns, &out->file);
        if (rc == 0 && (path.n == 0 || path.p[path.n - 1] == '/')) {
            return found(s, name, accept, now_ns, 200, out);
        }
        if (rc == 0) {
            close(out->file.fd);
            return WF_STATIC_SLASH;
        }
    }
    if (failure(rc) != WF_STATIC_NOT_FOUND) {
        return failure(rc);
    }
    memcpy(name, "404.html", sizeof("404.html"));
    rc = open_file(s, name, now_ns, &out->file);
    return rc == 0 ? found(s, name, accept, now_ns, 404, out) : failure(rc);
}

/* ---- the reply ---- */

static int reply(struct wf_exchange *ex, struct wf_static_found *found) {
    struct wf_reply_field fields[2];
    struct wf_reply_head head = {
        .status = found->status, .content_type = found->type, .fields = fields};
    if (found->encoding.n != 0) {
        fields[head.nfields++] =
            (struct wf_reply_field){WF_SPAN("content-encoding"), found->encoding};
    }
    if (found->vary) {
        fields[head.nfields++] =
            (struct wf_reply_field){WF_SPAN("vary"), WF_SPAN("Accept-Encoding")};
    }
    return wf_reply_file(ex, &head, &found->file, WF_FILE_CONDITIONS);
}

/* What the router would have said. */
static bool refused(struct wf_exchange *ex, enum wf_route_result why) {
    ex->route = (uint8_t)why;
    return false;
}

bool wf_static_answer(void *arg, struct wf_exchange *ex) {
    if (ex->head.method != WF_METHOD_GET && ex->head.method != WF_METHOD_HEAD) {
        ex->match.allow = 1u << WF_METHOD_GET | 1u << WF_METHOD_HEAD;
        return refused(ex, WF_ROUTE_METHOD);
    }
    WF_ASSERT(ex->match.nparams != 0);
    const struct wf_field *accept = wf_head_find(&ex->head, WF_FIELD_ACCEPT_ENCODING);
    struct wf_static_found found;
    int rc;
    switch (wf_static_find(arg, ex->match.params[ex->match.nparams - 1],
                           accept != NULL ? wf_field_value_span(ex->base, accept) : wf_span("", 0),
                           ex->server->loop->now_ns, &found)) {
    case WF_STATIC_FOUND:
        rc = reply(ex, &found);
        break;
    case WF_STATIC_SLASH:
        return refused(ex, WF_ROUTE_SLASH);
    case WF_STATIC_UNREADABLE:
        return refused(ex, WF_ROUTE_UNREADABLE);
    case WF_STATIC_FAILED:
        rc = wf_reply_error(ex, 503, wf_span("", 0));
        break;
    case WF_STATIC_NOT_FOUND:
    default:
        return refused(ex, WF_ROUTE_NOT_FOUND);
    }
    if (rc < 0 && (ex->reply != WF_REPLY_NONE || wf_reply_error(ex, 500, wf_span("", 0)) < 0)) {
        ex->conn->broken = true;
    }
    return true;
}
