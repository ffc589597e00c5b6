/* Forms: what the parser tells becomes items. */
#include "serve/form/form.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "wire/url/url.h"

enum {
    SMALL_BYTES =
        4096, /* content up to here is moved into the arena, not given memory of its own */
    EARLY_BYTES = 64 * 1024, /* a file of so many that may become a long one claims its memory */
    BLOCK_STEP_BYTES = 1024 * 1024,
    CONTENT_MAX = 1 << 30
};

struct wf_form_state {
    struct wf_form_config config;
    bool multipart, ended;
    uint32_t items_cap, nended, nfitted; /* of the items those that have ended, are done with */
    uint64_t files, fields;
    size_t files_bytes; /* of files in memory */
    size_t text_bytes;  /* of fields and names */
    uint64_t expected;  /* of the body, from what is being fed on; UINT64_MAX: not known */
    struct wf_arena arena;
    struct wf_buf content; /* of the current item, in memory; or of all of an urlencoded form */
    struct wf_multipart parser;
};

void wf_form_config_default(struct wf_form_config *c) {
    *c = (struct wf_form_config){
#define X(name, value, why) .name = value,
        WF_FORM_LIMITS(X)
#undef X
            .spool_dir = "/tmp"};
}

static void WF_PRINTF(3, 4) fail(struct wf_form *f, int status, const char *why, ...) {
    va_list args;
    va_start(args, why);
    f->status = status;
    vsnprintf(f->why, sizeof(f->why), why, args); /* NOLINT: va_start has initialised it */
    va_end(args);
}

static void fail_memory(struct wf_form *f) {
    fail(f, 503, "no memory for the form");
}

/* Counts text that is kept. */
static bool keep_text(struct wf_form *f, size_t n) {
    f->state->text_bytes += n;
    if (f->state->text_bytes > WF_FORM_TEXT_MAX) {
        fail(f, 413, "the form has too much text");
        return false;
    }
    return true;
}

/* ---- items ---- */

/* A new item, all zero but for fd; NULL: the form has failed. */
static struct wf_form_item *add_item(struct wf_form *f) {
    struct wf_form_state *s = f->state;
    if (f->nitems == s->items_cap) {
        uint32_t cap = s->items_cap != 0 ? s->items_cap * 2 : 8;
        struct wf_form_item *grown = wf_realloc(f->items, cap * sizeof(*grown));
        if (grown == NULL) {
            fail_memory(f);
            return NULL;
        }
        f->items = grown;
        s->items_cap = cap;
    }
    struct wf_form_item *item = &f->items[f->nitems++];
    *item = (struct wf_form_item){.name = WF_SPAN(""), .value = WF_SPAN(""), .fd = -1};
    return item;
}

static bool count_item(struct wf_form *f, bool is_file) {
    struct wf_form_state *s = f->state;
    if (is_file && ++s->files > s->config.files_max) {
        fail(f, 400, "Too many files. Maximum number of files is %llu.",
             (unsigned long long)s->config.files_max);
    } else if (!is_file && ++s->fields > s->config.fields_max) {
        fail(f, 400, "Too many fields. Maximum number of fields is %llu.",
             (unsigned long long)s->config.fields_max);
    }
    return f->status == 0;
}

/* Copies into the arena; false: the form has failed. */
static bool copy(struct wf_form *f, struct wf_span *s) {
    if (s->n != 0) {
        *s = wf_arena_copy(&f->state->arena, *s);
    }
    if (s->p == NULL) {
        fail_memory(f);
        return false;
    }
    return true;
}

static bool copy_fields(struct wf_form *f, struct wf_form_item *item) {
    const struct wf_multipart *m = &f->state->parser;
    item->fields = wf_arena_alloc(&f->state->arena, sizeof(*item->fields) * m->nfields);
    if (item->fields == NULL) {
        fail_memory(f);
        return false;
    }
    memcpy(item->fields, m->fields, sizeof(*item->fields) * m->nfields);
    item->nfields = m->nfields;
    for (unsigned i = 0; i < m->nfields; i++) {
        if (!keep_text(f, item->fields[i].name.n + item->fields[i].value.n) ||
            !copy(f, &item->fields[i].name) || !copy(f, &item->fields[i].value)) {
            return false;
        }
    }
    return true;
}

static void begin_part(struct wf_form *f) {
    const struct wf_multipart *m = &f->state->parser;
    struct wf_form_item *item;
    if (!count_item(f, m->has_filename) || (item = add_item(f)) == NULL) {
        return;
    }
    item->is_file = m->has_filename;
    item->name = m->name;
    item->filename = m->has_filename ? m->filename : wf_span("", 0);
    if (copy(f, &item->name) && copy(f, &item->filename) && item->is_file) {
        (void)copy_fields(f, item);
    }
}

/* ---- content on disk ---- */

/* A file without a name: it goes when it is closed, whatever becomes of the process. */
static int open_spool(const char *dir) {
#ifdef O_TMPFILE
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) {
        return fd;
    }
#endif
    char path[4096];
    if ((size_t)snprintf(path, sizeof(path), "%s/weft-XXXXXX", dir) >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int made = mkostemp(path, O_CLOEXEC);
    if (made >= 0) {
        unlink(path);
    }
    return made;
}

static bool write_all(int fd, struct wf_span s) {
    while (s.n != 0) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        n = n < 0 ? 0 : n;
        s = wf_span(s.p + n, s.n - (size_t)n);
    }
    return true;
}

static void spool(struct wf_form *f, struct wf_form_item *item, struct wf_span data) {
    if (!write_all(item->fd, data)) {
        f->error = errno;
        bool full = f->error == ENOSPC || f->error == EDQUOT || f->error == EFBIG;
        fail(f, full ? 507 : 500, "an uploaded file could not be stored");
    }
}

/* The block of an item, which has claimed `bytes`, gets so many. false: without memory an item has no block; where it had
 * one, the form has failed. */
static bool resize_block(struct wf_form *f, struct wf_form_item *item, uint64_t bytes) {
    struct wf_form_memory *memory = f->state->config.memory;
    uint64_t before = item->claimed;
    char *block = before != 0 ? (char *)(uintptr_t)item->value.p : NULL;
    block = wf_form_memory_resize(memory, block, (size_t)bytes);
    item->claimed = block != NULL ? bytes : 0;
    item->value = wf_span(block != NULL ? block : "", block != NULL ? item->value.n : 0);
    if (block == NULL && before != 0) {
        fail_memory(f);
    }
    if (WF_MAX(before, bytes) > item->claimed) {
        wf_form_memory_release(memory, WF_MAX(before, bytes) - item->claimed);
    }
    return block != NULL;
}

/* The content that is gathering moves to a block, or to a larger one. */
static bool gather_in_block(struct wf_form *f, struct wf_form_item *item, uint64_t bytes) {
    struct wf_form_state *s = f->state;
    size_t len = s->content.len;
    bool first = item->claimed == 0;
    if (!resize_block(f, item, bytes)) {
        if (!first) {
            wf_buf_init(&s->content, CONTENT_MAX); /* it was in the block */
        }
        return false;
    }
    char *block = (char *)(uintptr_t)item->value.p;
    if (first) {
        if (len != 0) {
            memcpy(block, s->content.p, len);
        }
        wf_buf_free(&s->content);
    }
    s->content = (struct wf_buf){
        .p = block, .len = len, .cap = (size_t)bytes, .max = WF_FORM_FILE_MEMORY_MAX};
    return true;
}

/* What a block of so much content has. By the MiB where it is long, as those of like files fit where one of them has been;
 * by the byte, malloc's holes would be a little too small. */
static uint64_t block_bytes(uint64_t n) {
    const uint64_t step = BLOCK_STEP_BYTES;
    return n <= step ? n : (n + step - 1) / step * step;
}

/* Claims memory for a file: as much at once as the body's length says, else by doubling. false: it has to go elsewhere, or
 * the form has failed. */
static bool claim(struct wf_form *f, struct wf_form_item *item) {
    struct wf_form_state *s = f->state;
    uint64_t most = WF_FORM_FILE_MEMORY_MAX, wanted = s->content.len + s->expected;
    if (s->expected == UINT64_MAX) {
        wanted = item->size <= most ? WF_MIN(2 * item->size, most) : UINT64_MAX;
    }
    wanted = wanted <= most ? block_bytes(wanted) : wanted;
    return s->config.memory != NULL && wanted <= most &&
           wf_form_memory_claim(s->config.memory, wanted - item->claimed) &&
           gather_in_block(f, item, wanted);
}

/* Lets go of the block of an item that has claimed memory. */
static void give_block(struct wf_form *f, struct wf_form_item *item) {
    struct wf_form_state *s = f->state;
    if (s->content.p == item->value.p) { /* it has not ended */
        wf_buf_init(&s->content, CONTENT_MAX);
    }
    (void)wf_form_memory_resize(s->config.memory, (char *)(uintptr_t)item->value.p, 0);
    wf_form_memory_release(s->config.memory, item->claimed);
    item->value = wf_span("", 0);
    item->claimed = 0;
}

/* The file has become too large for memory. */
static void move_to_disk(struct wf_form *f, struct wf_form_item *item) {
    struct wf_form_state *s = f->state;
    item->fd = open_spool(s->config.spool_dir);
    if (item->fd < 0) {
        f->error = errno;
        fail(f, 503, "an uploaded file could not be stored");
        return;
    }
    spool(f, item, wf_buf_span(&s->content));
    if (item->claimed != 0) {
        give_block(f, item);
    } else {
        wf_buf_free(&s->content);
    }
}

/* ---- content ---- */

/* How long a file may become before it needs a claim, or a larger one. */
static uint64_t unclaimed_most(const struct wf_form_state *s, const struct wf_form_item *item,
                               uint64_t most) {
    if (item->claimed != 0) {
        return item->claimed;
    }
    bool may_be_long = s->expected != UINT64_MAX && s->content.len + s->expected > most;
    return may_be_long ? EARLY_BYTES : most;
}

static void add_file_data(struct wf_form *f, struct wf_form_item *item, struct wf_span data) {
    struct wf_form_state *s = f->state;
    uint64_t most =
        s->files_bytes < WF_FORM_MEMORY_MAX ? WF_FORM_SPOOL_BYTES : WF_FORM_SPOOL_FULL_BYTES;
    item->size += data.n;
    if (item->fd < 0 && item->size > unclaimed_most(s, item, most) && !claim(f, item) &&
        f->status == 0 && item->size > most) {
        move_to_disk(f, item);
    }
    if (f->status != 0) {
        return;
    }
    if (item->fd >= 0) {
        spool(f, item, data);
    } else if (item->claimed != 0 &&
               data.p == s->content.p + s->content.len) { /* read to its place */
        s->content.len += data.n;
    } else if (wf_buf_append_span(&s->content, data) != WF_BUF_OK) {
        fail_memory(f);
    }
}

static void add_data(struct wf_form *f, struct wf_span data) {
    struct wf_form_state *s = f->state;
    struct wf_form_item *item = &f->items[f->nitems - 1];
    if (item->is_file) {
        add_file_data(f, item, data);
        return;
    }
    item->size += data.n;
    if (item->size > s->config.field_bytes_max) {
        fail(f, 400, "Part exceeded maximum size of %lluKB.",
             (unsigned long long)s->config.field_bytes_max / 1024);
    } else if (keep_text(f, data.n) && wf_buf_append_span(&s->content, data) != WF_BUF_OK) {
        fail_memory(f);
    }
}

/* What has gathered becomes the item's: small content shares the arena, large keeps its memory. */
static void end_part(struct wf_form *f) {
    struct wf_form_state *s = f->state;
    struct wf_form_item *item = &f->items[f->nitems - 1];
    s->nended = f->nitems;
    if (f->status != 0 || item->fd >= 0 || s->content.len == 0) {
        return;
    }
    s->files_bytes += item->is_file && item->claimed == 0 ? s->content.len : 0;
    item->value = wf_buf_span(&s->content);
    if (s->content.len <= SMALL_BYTES) {
        (void)copy(f, &item->value);
        s->content.len = 0;
    } else {
        wf_buf_init(&s->content, CONTENT_MAX);
    }
}

/* Files that have ended keep what they need of their blocks. Not sooner: what follows a file may have been read to behind it. */
static void fit_blocks(struct wf_form *f) {
    struct wf_form_state *s = f->state;
    for (; s->nfitted < s->nended && f->status == 0; s->nfitted++) {
        struct wf_form_item *item = &f->items[s->nfitted];
        if (item->claimed > block_bytes(item->size)) {
            (void)resize_block(f, item, block_bytes(item->size));
        }
    }
}

static void feed_multipart(struct wf_form *f, struct wf_span in) {
    struct wf_form_state *s = f->state;
    struct wf_span data;
    while (f->status == 0) {
        switch (wf_multipart_next(&s->parser, &in, &data)) {
        case WF_MULTIPART_MORE:
            return;
        case WF_MULTIPART_PART:
            begin_part(f);
            break;
        case WF_MULTIPART_DATA:
            add_data(f, data);
            break;
        case WF_MULTIPART_PART_END:
            end_part(f);
            break;
        case WF_MULTIPART_END:
            s->ended = true;
            return;
        case WF_MULTIPART_BAD:
            fail(f, 400, "%s", s->parser.why);
            return;
        }
    }
}

/* ---- urlencoded ---- */

/* Bytes that are not ASCII stand for Latin-1 there, as in Starlette: `out` has room for 2 * s.n. */
static size_t from_latin1(char *out, struct wf_span s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x80) {
            out[n++] = (char)(0xc0 | c >> 6);
            c = 0x80 | (c & 0x3f);
        }
        out[n++] = (char)c;
    }
    return n;
}

static bool decode(struct wf_form *f, struct wf_span *s) {
    char *out = wf_arena_alloc(&f->state->arena, 2 * s->n + 1);
    if (out == NULL) {
        fail_memory(f);
        return false;
    }
    size_t n = from_latin1(out, *s);
    *s = wf_span(out, wf_form_decode(out, wf_span(out, n)));
    return true;
}

static void read_urlencoded(struct wf_form *f) {
    struct wf_form_state *s = f->state;
    struct wf_query query;
    struct wf_span name, value;
    wf_query_init(&query, wf_buf_span(&s->content));
    while (f->status == 0 && wf_query_next(&query, &name, &value)) {
        struct wf_form_item *item;
        if (name.n + value.n > s->config.field_bytes_max) {
            fail(f, 400, "Field exceeded maximum size of %lluKB.",
                 (unsigned long long)s->config.field_bytes_max / 1024);
        } else if (count_item(f, false) && decode(f, &name) && decode(f, &value) &&
                   (item = add_item(f)) != NULL) {
            item->name = name;
            item->value = value;
            item->size = value.n;
        }
    }
}

/* ---- the form ---- */

static void read_charset(struct wf_form *f, struct wf_span content_type, char *scratch) {
    ssize_t n = wf_mime_param(content_type, WF_SPAN("charset"), scratch);
    memcpy(f->charset, "utf-8", sizeof("utf-8"));
    if (n > 0 && (size_t)n < sizeof(f->charset)) {
        for (ssize_t i = 0; i < n; i++) {
            char c = scratch[i];
            f->charset[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        }
        f->charset[n] = '\0';
    }
}

static void begin_multipart(struct wf_form *f, struct wf_span content_type) {
    char *scratch = wf_arena_alloc(&f->state->arena, content_type.n);
    if (scratch == NULL) {
        fail_memory(f);
        return;
    }
    f->state->multipart = true;
    read_charset(f, content_type, scratch);
    ssize_t n = wf_mime_param(content_type, WF_SPAN("boundary"), scratch);
    if (n < 0) {
        fail(f, 400, "Missing boundary in multipart.");
    } else if (!wf_multipart_init(&f->state->parser, wf_span(scratch, (size_t)n))) {
        fail(f, 400, "Invalid boundary in multipart.");
    }
}

struct wf_form *wf_form_new(struct wf_span content_type, const struct wf_form_config *config) {
    struct wf_form *f = wf_calloc(1, sizeof(*f));
    struct wf_form_state *s = f != NULL ? wf_malloc(sizeof(*s)) : NULL;
    if (s == NULL) {
        wf_free(f);
        return NULL;
    }
    /* Field by field: the parser's buffers need no clearing. */
    f->state = s;
    s->config = *config;
    s->multipart = s->ended = false;
    s->items_cap = s->nended = s->nfitted = 0;
    s->files = s->fields = 0;
    s->files_bytes = s->text_bytes = 0;
    s->expected = UINT64_MAX;
    wf_arena_init(&s->arena, NULL, 0, 4 * (size_t)WF_FORM_TEXT_MAX);
    wf_buf_init(&s->content, CONTENT_MAX);
    struct wf_span type = wf_mime_value(content_type);
    if (wf_span_eq_lower(type, WF_SPAN("multipart/form-data"))) {
        begin_multipart(f, content_type);
    } else {
        f->urlencoded = wf_span_eq_lower(type, WF_SPAN("application/x-www-form-urlencoded"));
    }
    return f;
}

void wf_form_expect(struct wf_form *f, uint64_t bytes) {
    f->state->expected = bytes;
}

void wf_form_feed(struct wf_form *f, struct wf_span bytes) {
    struct wf_form_state *s = f->state;
    if (f->status != 0 || s->ended) {
        return;
    }
    if (s->multipart) {
        feed_multipart(f, bytes);
        fit_blocks(f);
    } else if (f->urlencoded && keep_text(f, bytes.n) &&
               wf_buf_append_span(&s->content, bytes) != WF_BUF_OK) {
        fail_memory(f);
    }
    s->expected -= s->expected != UINT64_MAX ? WF_MIN(s->expected, (uint64_t)bytes.n) : 0;
}

char *wf_form_place(const struct wf_form *f, size_t *bytes) {
    const struct wf_form_state *s = f->state;
    const struct wf_form_item *last = f->nitems != 0 ? &f->items[f->nitems - 1] : NULL;
    if (f->status != 0 || last == NULL || last->claimed == 0 || last->value.p != s->content.p) {
        return NULL;
    }
    /* What may be the beginning of a delimiter is content if it does not go on like one. */
    size_t used = s->content.len + s->parser.matched;
    *bytes = s->content.cap - WF_MIN(used, s->content.cap);
    return *bytes != 0 ? s->content.p + used : NULL;
}

void wf_form_finish(struct wf_form *f) {
    struct wf_form_state *s = f->state;
    if (f->status != 0) {
        return;
    }
    if (s->multipart && !s->ended) {
        fail(f, 400, "The multipart body ends before its last boundary.");
    } else if (f->urlencoded) {
        read_urlencoded(f);
    }
}

void wf_form_free(struct wf_form *f) {
    if (f == NULL) {
        return;
    }
    for (uint32_t i = 0; i < f->nitems; i++) {
        struct wf_form_item *item = &f->items[i];
        if (item->fd >= 0) {
            close(item->fd);
        }
        if (item->claimed != 0) {
            give_block(f, item);
        } else if (!f->urlencoded && item->value.n > SMALL_BYTES) {
            wf_free((void *)(uintptr_t)item->value.p);
        }
    }
    wf_free(f->items);
    wf_buf_free(&f->state->content);
    wf_arena_reset(&f->state->arena);
    wf_free(f->state);
    wf_free(f);
}

int wf_form_take_file(struct wf_form_item *item) {
    int fd = item->fd;
    if (fd >= 0) {
        lseek(fd, 0, SEEK_SET);
        item->fd = -1;
    }
    return fd;
}

uint64_t wf_form_take_content(struct wf_form_item *item, struct wf_span *content) {
    uint64_t claimed = item->claimed;
    if (claimed != 0) {
        *content = item->value;
        item->value = wf_span("", 0);
        item->claimed = 0;
    }
    return claimed;
}
