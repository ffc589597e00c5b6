/* Compression of replies, by Starlette's rules for what is worth it: not what is coded already, a part (206),
 * short, or of a media type that has its own; and, as RFC 9111 section 5.2.2.6 has it, nothing that says
 * no-transform. What would not get shorter is left alone.
 *
 * A content that is there as a whole is compressed at once, with its new length; a stream chunk by chunk, each
 * of which the client can read when it comes, and so is a long content (long_content.c): also where it does not get
 * shorter, as nobody knows before its end. */
#include "base/alloc.h"
#include "base/check.h"
#include "serve/layer/layer.h"
#include "serve/server_int.h"
#include "wire/encoding/encoding.h"
#include "wire/headers/headers.h"

enum { SCRATCH_KEPT_BYTES = 1 << 20 /* a larger one is not held until the next reply */ };

struct compress {
    struct wf_layer layer;
    struct wf_compress_config config;
    struct wf_encoder
        *spare[WF_CODING_COUNT]; /* owned: an encoder is made once, and reset; or NULL */
    struct wf_buf scratch;       /* the last whole content, coded */
};

/* ---- whether ---- */

static struct wf_span media_type(const struct wf_head_edit *edit) {
    struct wf_span s = edit->head.content_type;
    for (uint32_t i = 0; s.n == 0 && i < edit->head.nfields; i++) {
        if (wf_span_eq_lower(edit->fields[i].name, WF_SPAN("content-type"))) {
            s = edit->fields[i].value;
        }
    }
    const char *end = s.n != 0 ? memchr(s.p, ';', s.n) : NULL;
    s.n = end != NULL ? (size_t)(end - s.p) : s.n;
    while (s.n != 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) {
        s.n--;
    }
    return s;
}

/* "audio/ *" (without the space) has all of audio; "application/grpc" also "application/grpc+proto". */
static bool type_fits(struct wf_span type, struct wf_span pattern) {
    if (pattern.n >= 2 && pattern.p[pattern.n - 1] == '*') {
        return type.n >= pattern.n - 1 &&
               wf_span_eq_lower(wf_span(type.p, pattern.n - 1), wf_span(pattern.p, pattern.n - 1));
    }
    return type.n >= pattern.n && wf_span_eq_lower(wf_span(type.p, pattern.n), pattern) &&
           (type.n == pattern.n || type.p[pattern.n] == '+');
}

static bool worth_it(const struct compress *c, struct wf_head_edit *edit) {
    if (edit->content == WF_CONTENT_FIXED || !wf_status_has_body(edit->head.status) ||
        edit->head.status == 206 ||
        (edit->length >= 0 && (uint64_t)edit->length < c->config.minimum_bytes) ||
        wf_edit_find(edit, WF_SPAN("content-encoding")) != NULL) {
        return false;
    }
    struct wf_span type = media_type(edit);
    for (size_t i = 0; i < c->config.nexcluded; i++) {
        if (type_fits(type, c->config.excluded[i])) {
            return false;
        }
    }
    const struct wf_reply_field *cache = wf_edit_find(edit, WF_SPAN("cache-control"));
    return cache == NULL || !wf_list_has(cache->value, WF_SPAN("no-transform"));
}

/* ---- in what ---- */

/* What the client likes best of what we have; NULL: as it is. */
static const struct wf_compress_coding *choose(const struct compress *c,
                                               const struct wf_exchange *ex) {
    const struct wf_field *f = wf_head_find(&ex->head, WF_FIELD_ACCEPT_ENCODING);
    if (f == NULL) {
        return NULL;
    }
    struct wf_span accepted = wf_field_value_span(ex->base, f);
    const struct wf_compress_coding *best = NULL;
    unsigned most = 0;
    for (size_t i = 0; i < c->config.ncodings; i++) {
        enum wf_coding coding = (enum wf_coding)c->config.codings[i].coding;
        unsigned weight = wf_accept_weight(accepted, wf_coding_name(coding));
        if (coding == WF_CODING_GZIP && weight == 0 && wf_list_has(accepted, WF_SPAN("x-gzip"))) {
            weight = wf_accept_weight(accepted, WF_SPAN("x-gzip"));
        }
        if (weight > most) {
            most = weight;
            best = &c->config.codings[i];
        }
    }
    bool as_it_is = wf_list_has(accepted, WF_SPAN("identity")) &&
                    wf_accept_weight(accepted, WF_SPAN("identity")) > most;
    return as_it_is ? NULL : best;
}

static struct wf_encoder *take_encoder(struct compress *c, const struct wf_compress_coding *how) {
    struct wf_encoder *e = c->spare[how->coding];
    c->spare[how->coding] = NULL;
    return e != NULL ? e : wf_encoder_new((enum wf_coding)how->coding, how->level);
}

static bool encode_whole(struct compress *c, const struct wf_compress_coding *how,
                         struct wf_head_edit *edit) {
    struct wf_encoder *e = take_encoder(c, how);
    if (e == NULL) {
        return false;
    }
    if (c->scratch.cap > SCRATCH_KEPT_BYTES) {
        wf_buf_free(&c->scratch);
    }
    c->scratch.len = 0;
    int rc = wf_encode(e, edit->body, WF_ENCODE_END, &c->scratch);
    if (wf_encoder_reset(e)) {
        c->spare[how->coding] = e;
    } else {
        wf_encoder_free(e);
    }
    if (rc != WF_BUF_OK || c->scratch.len >= edit->body.n) {
        return false;
    }
    edit->body = wf_buf_span(&c->scratch);
    return true;
}

static bool begin_stream(struct compress *c, const struct wf_compress_coding *how,
                         const struct wf_exchange *ex, struct wf_head_edit *edit) {
    if (ex->head.method != WF_METHOD_HEAD) {
        edit->encoder = take_encoder(c, how);
        if (edit->encoder == NULL) {
            return false;
        }
        if (edit->length >= 0) {
            wf_encoder_expect(edit->encoder, (uint64_t)edit->length);
        }
    }
    edit->recoded = true;
    return true;
}

/* Two codings of one content differ in their bytes (RFC 9110 section 8.8.1). */
static void weaken(struct wf_exchange *ex, struct wf_head_edit *edit) {
    struct wf_reply_field *etag = wf_edit_find(edit, WF_SPAN("etag"));
    if (etag == NULL || (etag->value.n >= 2 && memcmp(etag->value.p, "W/", 2) == 0)) {
        return;
    }
    char *text = wf_arena_alloc(&ex->arena, etag->value.n + 2);
    if (text == NULL) {
        wf_edit_remove(edit, WF_SPAN("etag"));
        return;
    }
    memcpy(text, "W/", 2);
    memcpy(text + 2, etag->value.p, etag->value.n);
    etag->value = wf_span(text, etag->value.n + 2);
}

static void reply(struct wf_layer *l, struct wf_exchange *ex, struct wf_head_edit *edit) {
    struct compress *c = (struct compress *)l;
    if (!worth_it(c, edit)) {
        return;
    }
    wf_edit_vary(edit, ex, WF_SPAN("Accept-Encoding"));
    const struct wf_compress_coding *how = choose(c, ex);
    bool at_once = edit->content == WF_CONTENT_WHOLE &&
                   (!edit->in_pieces || (uint64_t)edit->length < c->config.long_bytes);
    if (how == NULL || !(at_once ? encode_whole(c, how, edit) : begin_stream(c, how, ex, edit))) {
        return;
    }
    wf_edit_set(edit, WF_SPAN("content-encoding"), wf_coding_name((enum wf_coding)how->coding));
    wf_edit_remove(edit, WF_SPAN("accept-ranges")); /* they would be of something else */
    weaken(ex, edit);
}

static void free_layer(struct wf_layer *l) {
    struct compress *c = (struct compress *)l;
    for (size_t i = 0; i < WF_ARRAY_LEN(c->spare); i++) {
        wf_encoder_free(c->spare[i]);
    }
    wf_buf_free(&c->scratch);
    wf_free(c);
}

static const struct wf_layer_ops ops = {.reply = reply, .free = free_layer, .recodes = true};

struct wf_layer *wf_layer_compress(const struct wf_compress_config *config) {
    struct compress *c = wf_calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    c->layer.ops = &ops;
    c->config = *config;
    wf_buf_init(&c->scratch, WF_STREAM_OUT_MAX);
    return &c->layer;
}
