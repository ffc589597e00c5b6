/* Replies from files: conditions, ranges, and the kernel does the copying. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/num.h"
#include "serve/server_int.h"
#include "wire/headers/headers.h"

enum {
    IN_MEMORY_BYTES = 16 * 1024, /* read into the output: one system call, not two */
    RECODED_BYTES =
        1024 * 1024,      /* read so that a layer may compress it. More would hold up everyone */
    FIELDS_MAX = 256 + 4, /* what py/http lets an application set, and ours */
    BOUNDARY_CHARS = 26   /* 104 random bits: no file has it by chance */
};

int wf_file_open(const char *path, struct wf_file *out) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc = fd >= 0 ? wf_file_take(fd, out) : -errno;
    return rc == -EINVAL ? -EISDIR : rc;
}

int wf_file_take(int fd, struct wf_file *out) {
    struct stat st;
    int rc = fstat(fd, &st) != 0    ? -errno
             : S_ISDIR(st.st_mode)  ? -EISDIR
             : !S_ISREG(st.st_mode) ? -EINVAL
                                    : 0;
    if (rc != 0) {
        close(fd);
        return rc;
    }
#ifdef __APPLE__
#define st_mtim st_mtimespec
#endif
    *out = (struct wf_file){.fd = fd,
                            .size = (uint64_t)st.st_size,
                            .mtime_s = (int64_t)st.st_mtim.tv_sec,
                            .mtime_ns = (uint32_t)st.st_mtim.tv_nsec};
    return 0;
}

/* ---- the head ---- */

struct head {
    struct wf_reply_head out;
    struct wf_span etag, modified; /* the reply's own, or ours */
    uint32_t n;
    struct wf_reply_field fields[FIELDS_MAX];
    char etag_text[64], date_text[WF_HTTP_DATE_CHARS], range_text[96], type_text[96];
};

static const struct wf_reply_field *find(const struct head *h, struct wf_span lower) {
    for (uint32_t i = 0; i < h->n; i++) {
        if (wf_span_eq_lower(h->fields[i].name, lower)) {
            return &h->fields[i];
        }
    }
    return NULL;
}

static void set(struct head *h, struct wf_span lower, struct wf_span value) {
    for (uint32_t i = 0; i < h->n; i++) {
        if (wf_span_eq_lower(h->fields[i].name, lower)) {
            h->fields[i].value = value;
            return;
        }
    }
    h->fields[h->n++] = (struct wf_reply_field){lower, value};
}

/* The field's value, or `value` where there was none and now is. */
static struct wf_span set_default(struct head *h, struct wf_span lower, struct wf_span value) {
    const struct wf_reply_field *f = find(h, lower);
    if (f != NULL) {
        return f->value;
    }
    set(h, lower, value);
    return value;
}

static bool make_head(struct head *h, const struct wf_reply_head *head,
                      const struct wf_file *file) {
    if (head->nfields > FIELDS_MAX - 4) {
        return false;
    }
    h->out = *head;
    h->n = head->nfields;
    if (h->n != 0) {
        memcpy(h->fields, head->fields, h->n * sizeof(*h->fields));
    }
    int n = snprintf(h->etag_text, sizeof(h->etag_text), "\"%llx.%x-%llx%s\"",
                     (unsigned long long)file->mtime_s, file->mtime_ns,
                     (unsigned long long)file->size, file->variant != NULL ? file->variant : "");
    wf_http_date_write(h->date_text, file->mtime_s);
    set_default(h, WF_SPAN("accept-ranges"), WF_SPAN("bytes"));
    h->modified =
        set_default(h, WF_SPAN("last-modified"), wf_span(h->date_text, sizeof(h->date_text)));
    h->etag = set_default(h, WF_SPAN("etag"), wf_span(h->etag_text, (size_t)n));
    return true;
}

static const struct wf_reply_head *finished(struct head *h) {
    h->out.fields = h->fields;
    h->out.nfields = h->n;
    return &h->out;
}

static struct wf_span request_field(const struct wf_exchange *ex, enum wf_field_id id) {
    const struct wf_field *f = wf_head_find(&ex->head, id);
    return f != NULL ? wf_field_value_span(ex->base, f) : wf_span(NULL, 0);
}

/* ---- conditions ---- */

/* Of field `id`, a date: was the file modified since? Not known where either is no date. */
enum since { SINCE, NOT_SINCE, UNKNOWN };
static enum since modified_since(const struct wf_exchange *ex, const struct head *h,
                                 enum wf_field_id id) {
    int64_t since = wf_http_date_parse(request_field(ex, id));
    int64_t modified = wf_http_date_parse(h->modified);
    return since < 0 || modified < 0 ? UNKNOWN : modified > since ? SINCE : NOT_SINCE;
}

/* 0: the conditions hold; else the status. The order is RFC 9110 section 13.2.2's: a list of tags overrules the
 * date beside it. */
static int judge(const struct wf_exchange *ex, const struct head *h) {
    struct wf_span tags = request_field(ex, WF_FIELD_IF_MATCH);
    if (tags.p != NULL ? !wf_etag_matches(tags, h->etag)
                       : modified_since(ex, h, WF_FIELD_IF_UNMODIFIED_SINCE) == SINCE) {
        return 412;
    }
    tags = request_field(ex, WF_FIELD_IF_NONE_MATCH);
    if (tags.p != NULL ? wf_etag_in(tags, h->etag)
                       : modified_since(ex, h, WF_FIELD_IF_MODIFIED_SINCE) == NOT_SINCE) {
        return 304;
    }
    return 0;
}

/* Without what describes the content (RFC 9110 section 15.4.5); a 412 too has what tells which file there is. */
static int send_unmet(struct wf_exchange *ex, struct head *h, int status) {
    static const struct wf_span dropped[] = {
        WF_SPAN("accept-ranges"),    WF_SPAN("content-disposition"), WF_SPAN("content-encoding"),
        WF_SPAN("content-language"), WF_SPAN("content-type"),        WF_SPAN("last-modified")};
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->n; i++) {
        bool keep = true;
        for (size_t k = 0; k < WF_ARRAY_LEN(dropped); k++) {
            keep &= !wf_span_eq_lower(h->fields[i].name, dropped[k]);
        }
        if (keep) {
            h->fields[n++] = h->fields[i];
        }
    }
    h->n = n;
    h->out.status = status;
    h->out.content_type = wf_span("", 0);
    return wf_reply_send(ex, finished(h), wf_span("", 0));
}

/* Does the client have the representation whose part it wants? */
static bool range_holds(const struct wf_exchange *ex, const struct head *h) {
    struct wf_span v = request_field(ex, WF_FIELD_IF_RANGE);
    return v.p == NULL || wf_span_eq(v, h->etag) || wf_span_eq(v, h->modified);
}

/* ---- content ---- */

/* The descriptor is closed when the last segment of it has left. */
struct shared {
    int fd;
    unsigned refs;
};

static void release(void *arg) {
    struct shared *s = arg;
    if (--s->refs == 0) {
        close(s->fd);
        wf_free(s);
    }
}

static int write_range(struct wf_exchange *ex, struct shared *file, struct wf_range r) {
    if (r.start == r.end) {
        return WF_REPLY_OK;
    }
    file->refs++;
    return wf_reply_write_file(ex, file->fd, r.start, (size_t)(r.end - r.start), release, file);
}

/* Little content is read at once, behind the head. */
static int send_small(struct wf_exchange *ex, const struct wf_reply_head *head, int fd,
                      struct wf_range r) {
    struct wf_buf *b;
    size_t n = (size_t)(r.end - r.start);
    int rc = wf_reply_open(ex, head, &b);
    if (rc != WF_REPLY_OK) {
        return rc;
    }
    if (wf_buf_reserve(b, n) != WF_BUF_OK ||
        pread(fd, b->p + b->len, n, (off_t)r.start) != (ssize_t)n) {
        wf_reply_cancel(ex);
        return WF_REPLY_NOMEM; /* or it has become shorter: there is no such content */
    }
    b->len += n;
    return wf_reply_close(ex);
}

static int send_one(struct wf_exchange *ex, const struct wf_reply_head *head, struct wf_file *file,
                    struct wf_range r) {
    uint64_t in_memory =
        ex->server->recodes && head->status == 200 ? RECODED_BYTES : IN_MEMORY_BYTES;
    if (r.end - r.start <= in_memory &&
        (ex->head.method != WF_METHOD_HEAD || ex->server->recodes)) {
        return send_small(ex, head, file->fd, r);
    }
    struct shared *s = wf_malloc(sizeof(*s));
    if (s == NULL) {
        return WF_REPLY_NOMEM;
    }
    *s = (struct shared){.fd = file->fd, .refs = 1};
    file->fd = -1;
    int rc = wf_reply_start_file(ex, head, r.end - r.start);
    if (rc >= 0) {
        rc = write_range(ex, s, r);
        rc = rc >= 0 ? wf_reply_end(ex) : rc;
    }
    release(s);
    return rc;
}

/* ---- several ranges: multipart/byteranges (RFC 9110 section 14.6) ---- */

struct parts {
    char boundary[BOUNDARY_CHARS];
    struct wf_span type; /* of the file */
    uint64_t size;
};

static size_t put_part_head(const struct parts *p, struct wf_range r, char *at, size_t room) {
    int n = snprintf(
        at, room, "--%.*s\r\nContent-Type: %.*s\r\nContent-Range: bytes %llu-%llu/%llu\r\n\r\n",
        BOUNDARY_CHARS, p->boundary, (int)p->type.n, p->type.p, (unsigned long long)r.start,
        (unsigned long long)r.end - 1, (unsigned long long)p->size);
    return (size_t)n;
}

static void make_boundary(char out[BOUNDARY_CHARS]) {
    unsigned char random[BOUNDARY_CHARS / 2] = {0};
    (void)!getrandom(random, sizeof(random), 0);
    for (size_t i = 0; i < sizeof(random); i++) {
        static const char hex[] = "0123456789abcdef";
        out[2 * i] = hex[random[i] >> 4];
        out[2 * i + 1] = hex[random[i] & 15];
    }
}

static int write_parts(struct wf_exchange *ex, struct shared *file, const struct parts *p,
                       const struct wf_range *ranges, int n) {
    char text[512];
    for (int i = 0; i < n; i++) {
        size_t len = put_part_head(p, ranges[i], text, sizeof(text));
        int rc = wf_reply_write(ex, wf_span(text, len));
        rc = rc >= 0 ? write_range(ex, file, ranges[i]) : rc;
        rc = rc >= 0 ? wf_reply_write(ex, WF_SPAN("\r\n")) : rc;
        if (rc < 0) {
            return rc;
        }
    }
    int len = snprintf(text, sizeof(text), "--%.*s--", BOUNDARY_CHARS, p->boundary);
    int rc = wf_reply_write(ex, wf_span(text, (size_t)len));
    return rc >= 0 ? wf_reply_end(ex) : rc;
}

static int send_parts(struct wf_exchange *ex, struct head *h, struct wf_file *file,
                      const struct wf_range *ranges, int n) {
    const struct wf_reply_field *type = find(h, WF_SPAN("content-type"));
    struct parts p = {.type = type != NULL ? type->value : h->out.content_type, .size = file->size};
    if (p.type.n > 256) {
        p.type = WF_SPAN("application/octet-stream");
    }
    make_boundary(p.boundary);
    int len = snprintf(h->type_text, sizeof(h->type_text), "multipart/byteranges; boundary=%.*s",
                       BOUNDARY_CHARS, p.boundary);
    set(h, WF_SPAN("content-type"), wf_span(h->type_text, (size_t)len));
    h->out.content_type = wf_span("", 0);
    uint64_t total = BOUNDARY_CHARS + 4;
    for (int i = 0; i < n; i++) {
        char text[512];
        total +=
            put_part_head(&p, ranges[i], text, sizeof(text)) + ranges[i].end - ranges[i].start + 2;
    }
    struct shared *s = wf_malloc(sizeof(*s));
    if (s == NULL) {
        return WF_REPLY_NOMEM;
    }
    *s = (struct shared){.fd = file->fd, .refs = 1};
    file->fd = -1;
    int rc = wf_reply_start_file(ex, finished(h), total);
    rc = rc >= 0 ? write_parts(ex, s, &p, ranges, n) : rc;
    release(s);
    return rc;
}

/* ---- ranges ---- */

static int send_text(struct wf_exchange *ex, int status, struct wf_span text,
                     const struct wf_reply_field *field) {
    struct wf_reply_head head = {.status = status,
                                 .content_type = WF_SPAN("text/plain; charset=utf-8"),
                                 .fields = field,
                                 .nfields = field != NULL};
    return wf_reply_send(ex, &head, text);
}

static int send_range(struct wf_exchange *ex, struct head *h, struct wf_file *file) {
    struct wf_range ranges[WF_RANGES_MAX];
    struct wf_span value = request_field(ex, WF_FIELD_RANGE);
    int n = wf_range_parse(value, file->size, ranges);
    int len;
    switch (n) {
    case WF_RANGE_NONE:
        return send_one(ex, finished(h), file, (struct wf_range){0, file->size});
    case WF_RANGE_BAD:
        return send_text(ex, 400, WF_SPAN("Malformed range header."), NULL);
    case WF_RANGE_UNIT:
        return send_text(ex, 400, WF_SPAN("Only support bytes range"), NULL);
    case WF_RANGE_MISSING:
        return send_text(ex, 400, WF_SPAN("Range header: range must be requested"), NULL);
    case WF_RANGE_EMPTY:
        return send_text(ex, 400, WF_SPAN("Range header: start must be less than end"), NULL);
    case WF_RANGE_UNSATISFIABLE: {
        len = snprintf(h->range_text, sizeof(h->range_text), "bytes */%llu",
                       (unsigned long long)file->size);
        struct wf_reply_field field = {WF_SPAN("content-range"),
                                       wf_span(h->range_text, (size_t)len)};
        return send_text(ex, 416, WF_SPAN(""), &field);
    }
    default:
        break;
    }
    h->out.status = 206;
    if (n > 1) {
        return send_parts(ex, h, file, ranges, n);
    }
    len = snprintf(h->range_text, sizeof(h->range_text), "bytes %llu-%llu/%llu",
                   (unsigned long long)ranges[0].start, (unsigned long long)ranges[0].end - 1,
                   (unsigned long long)file->size);
    set(h, WF_SPAN("content-range"), wf_span(h->range_text, (size_t)len));
    return send_one(ex, finished(h), file, ranges[0]);
}

/* Can less be an answer? */
static bool reads(const struct wf_exchange *ex, const struct head *h) {
    return h->out.status == 200 &&
           (ex->head.method == WF_METHOD_GET || ex->head.method == WF_METHOD_HEAD);
}

int wf_reply_file(struct wf_exchange *ex, const struct wf_reply_head *head, struct wf_file *file,
                  unsigned flags) {
    struct head h;
    int rc = WF_REPLY_INVALID;
    if (make_head(&h, head, file)) {
        bool reading = reads(ex, &h);
        int unmet = reading && (flags & WF_FILE_CONDITIONS) != 0 ? judge(ex, &h) : 0;
        if (unmet != 0) {
            rc = send_unmet(ex, &h, unmet);
        } else if (reading && wf_head_find(&ex->head, WF_FIELD_RANGE) != NULL &&
                   range_holds(ex, &h)) {
            rc = send_range(ex, &h, file);
        } else {
            rc = send_one(ex, finished(&h), file, (struct wf_range){0, file->size});
        }
    }
    if (file->fd >= 0) {
        close(file->fd);
        file->fd = -1;
    }
    return rc;
}
