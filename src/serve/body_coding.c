/* What is sent in a content coding, read within its limit; and where a connection does so. */
#include "serve/body_coding.h"

#include "base/alloc.h"
#include "base/check.h"
#include "serve/server_int.h"
#include "wire/headers/headers.h"

static struct wf_body_coding *new_one(enum wf_coding coding, uint64_t bytes_max) {
    struct wf_body_coding *b = wf_malloc(sizeof(*b));
    if (b == NULL) {
        return NULL;
    }
    b->decoder = wf_decoder_new(coding);
    if (b->decoder == NULL) {
        wf_free(b);
        return NULL;
    }
    b->outer = NULL;
    b->between = wf_span("", 0);
    b->bytes = 0;
    b->bytes_max = bytes_max;
    b->room = b->whole = false;
    wf_buf_init(&b->content, (size_t)WF_MIN(bytes_max, (uint64_t)SIZE_MAX / 2));
    return b;
}

struct wf_body_coding *wf_body_coding_new(const enum wf_coding *codings, unsigned n,
                                          uint64_t bytes_max) {
    struct wf_body_coding *b = NULL; /* the last one first: each holds those that come before it */
    while (n-- > 0) {
        struct wf_body_coding *inner = new_one(codings[n], bytes_max);
        if (inner == NULL) {
            wf_body_coding_free(b);
            return NULL;
        }
        inner->outer = b;
        b = inner;
    }
    return b;
}

void wf_body_coding_free(struct wf_body_coding *b) {
    while (b != NULL) {
        struct wf_body_coding *outer = b->outer;
        wf_decoder_free(b->decoder);
        wf_buf_free(&b->content);
        wf_free(b);
        b = outer;
    }
}

static enum wf_body_coded decode_one(struct wf_body_coding *b, struct wf_span *in,
                                     struct wf_span *piece) {
    size_t n = sizeof(b->piece);
    enum wf_decoded rc = wf_decode(b->decoder, in, b->piece, &n);
    *piece = wf_span(b->piece, n);
    if (rc == WF_DECODED_BAD || rc == WF_DECODED_NOMEM) {
        return rc == WF_DECODED_BAD ? WF_BODY_CODED_BAD : WF_BODY_CODED_NOMEM;
    }
    b->room = rc == WF_DECODED_ROOM;
    b->whole = rc == WF_DECODED_END;
    if (n > b->bytes_max - b->bytes) {
        return WF_BODY_CODED_OVER;
    }
    b->bytes += n;
    return WF_BODY_CODED_MORE;
}

/* Is there more to be had without more input? */
static bool has_more(const struct wf_body_coding *b) {
    return b->room || b->between.n != 0 || (b->outer != NULL && has_more(b->outer));
}

/* May the body end here? */
static bool is_whole(const struct wf_body_coding *b) {
    return b->whole && b->between.n == 0 && (b->outer == NULL || is_whole(b->outer));
}

enum wf_body_coded wf_body_decode(struct wf_body_coding *b, struct wf_span *in,
                                  struct wf_span *piece) {
    struct wf_body_coding *outer = b->outer;
    if (wf_likely(outer == NULL)) {
        return decode_one(b, in, piece);
    }
    enum wf_body_coded rc = WF_BODY_CODED_MORE;
    *piece = wf_span(b->piece, 0);
    if (b->between.n == 0 && (in->n != 0 || has_more(outer))) {
        rc = wf_body_decode(outer, in, &b->between);
    }
    if (rc == WF_BODY_CODED_MORE && (b->between.n != 0 || b->room)) {
        rc = decode_one(b, &b->between, piece);
    }
    return rc;
}

/* ---- a connection's ---- */

/* The codings of the request's body, in the order in which they were applied: how many, or -1 where one is none
 * we know, or there are too many. */
static int codings_of(const struct wf_exchange *ex, enum wf_coding out[WF_BODY_CODINGS_MAX]) {
    int n = 0;
    for (unsigned i = 0; i < ex->head.nfields; i++) {
        const struct wf_field *f = &ex->head.fields[i];
        if (wf_likely(f->id != WF_FIELD_CONTENT_ENCODING)) {
            continue;
        }
        struct wf_span list = wf_field_value_span(ex->base, f), item;
        while (wf_list_next(&list, &item)) {
            enum wf_coding one = item.n != 0 ? wf_coding_of(item) : WF_CODING_IDENTITY;
            if (one == WF_CODING_IDENTITY) {
                continue;
            }
            if (n == WF_BODY_CODINGS_MAX || one == WF_CODING_COUNT || !wf_coding_available(one)) {
                return -1;
            }
            out[n++] = one;
        }
    }
    return n;
}

/* What is handed over is the content without its coding: the fields that told of that say nothing of it. */
static void hide_fields(struct wf_head *h) {
    uint16_t n = 0;
    for (unsigned i = 0; i < h->nfields; i++) {
        if (h->fields[i].id != WF_FIELD_CONTENT_ENCODING &&
            h->fields[i].id != WF_FIELD_CONTENT_LENGTH) {
            h->fields[n++] = h->fields[i];
        }
    }
    h->nfields = n;
}

int wf_conn_begin_coding(struct wf_conn *c) {
    struct wf_exchange *ex = c->ex;
    enum wf_coding codings[WF_BODY_CODINGS_MAX];
    int n = codings_of(ex, codings);
    if (wf_likely(n <= 0)) {
        return n < 0 ? 415 : 0;
    }
    ex->body_coding = wf_body_coding_new(codings, (unsigned)n, c->body_max);
    if (ex->body_coding == NULL) {
        return 503;
    }
    hide_fields(&ex->head);
    return 0;
}

void wf_refuse_coding(struct wf_conn *c) {
    char text[64];
    size_t n = 0;
    for (enum wf_coding coding = WF_CODING_GZIP; coding < WF_CODING_COUNT; coding++) {
        if (wf_coding_available(coding)) {
            struct wf_span name = wf_coding_name(coding);
            if (n != 0) {
                memcpy(text + n, ", ", 2);
                n += 2;
            }
            memcpy(text + n, name.p, name.n);
            n += name.n;
        }
    }
    struct wf_reply_field accept = {WF_SPAN("accept-encoding"),
                                    n != 0 ? wf_span(text, n) : WF_SPAN("identity")};
    c->ex->close_after = true;
    if (wf_reply_error_with(c->ex, 415, WF_SPAN("the Content-Encoding is none that is understood"),
                            &accept, 1) < 0) {
        c->broken = true;
    }
}

/* A piece goes to whoever takes the body. */
static enum wf_body_coded take(struct wf_conn *c, struct wf_span piece) {
    struct wf_exchange *ex = c->ex;
    if (c->body_mode == WF_BODY_FORM) {
        wf_form_feed(ex->form, piece);
        return WF_BODY_CODED_MORE;
    }
    return wf_buf_append_span(&ex->body_coding->content, piece) == WF_BUF_OK ? WF_BODY_CODED_MORE
                                                                             : WF_BODY_CODED_NOMEM;
}

int wf_conn_feed_coding(struct wf_conn *c) {
    struct wf_exchange *ex = c->ex;
    struct wf_body_coding *b = ex->body_coding;
    struct wf_span in = wf_span(c->in + c->head_end, c->body_end - c->head_end), piece;
    enum wf_body_coded rc = WF_BODY_CODED_MORE;
    while (rc == WF_BODY_CODED_MORE && (in.n != 0 || has_more(b)) &&
           (c->body_mode != WF_BODY_FORM || ex->form->status == 0)) {
        rc = wf_body_decode(b, &in, &piece);
        if (rc == WF_BODY_CODED_MORE) {
            rc = take(c, piece);
        }
    }
    c->body_end = c->head_end;
    if (c->body != WF_BODY_COMPLETE) {
        c->in_at = c->in_end = c->head_end;
    }
    switch (rc) {
    case WF_BODY_CODED_OVER:
        return 413;
    case WF_BODY_CODED_NOMEM:
        return 503;
    case WF_BODY_CODED_BAD:
        return 400;
    case WF_BODY_CODED_MORE:
        break;
    }
    bool cut_short = c->body == WF_BODY_COMPLETE && !is_whole(b);
    return cut_short && (c->body_mode != WF_BODY_FORM || ex->form->status == 0) ? 400 : 0;
}

/* Nothing more is to be had of it: after an error its decoders may only be freed. */
static void end_of(struct wf_body_coding *b) {
    for (; b != NULL; b = b->outer) {
        b->room = false;
        b->between = wf_span("", 0);
    }
}

enum wf_body_result wf_conn_read_coding(struct wf_conn *c, struct wf_span *out) {
    struct wf_body_coding *b = c->ex->body_coding;
    while (c->body_at < c->body_end || has_more(b)) {
        struct wf_span in = wf_span(c->in + c->body_at, c->body_end - c->body_at);
        enum wf_body_coded rc = wf_body_decode(b, &in, out);
        c->body_at = c->body_end - in.n;
        if (wf_unlikely(rc != WF_BODY_CODED_MORE)) {
            c->body = rc == WF_BODY_CODED_BAD    ? WF_BODY_MISCODED
                      : rc == WF_BODY_CODED_OVER ? WF_BODY_OVER
                                                 : WF_BODY_LOST;
            c->body_at = c->body_end;
            end_of(b);
            c->ex->close_after = true;
            *out = wf_span("", 0);
            break;
        }
        if (out->n != 0) {
            return WF_BODY_DATA;
        }
    }
    if (c->body == WF_BODY_COMPLETE && !is_whole(b)) {
        c->body = WF_BODY_MISCODED;
        c->ex->close_after = true;
    }
    return WF_BODY_END;
}
