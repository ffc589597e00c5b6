/* Long contents that a layer has compressed: a piece a turn of the loop, whoever waits for one, so that no reply
 * holds up the others. They take turns, and who is at high water stands aside until the peer has read.
 *
 *     wf_reply_send ──▶ in server->coding ◀──── wf_conn_output_moved ──── at high water
 *                             │ a piece, in wf_server_flush                    ▲
 *                             ├────────────────────────────────────────────────┘
 *                             └──▶ the end: the exchange goes on where the embedder has left it */
#include "base/alloc.h"
#include "base/check.h"
#include "serve/server_int.h"

/* About a millisecond of gzip or br at the usual levels; with less, the ratio suffers from the flush behind each. */
enum { PIECE_BYTES = 32 * 1024 };

struct wf_long_content {
    struct wf_list node; /* in server->coding while its turn is to come */
    struct wf_exchange *ex;
    struct wf_span left;
    wf_release_fn *release; /* NULL: of the bytes in `copy` */
    void *arg;
    char copy[];
};

bool wf_long_content_begin(struct wf_exchange *ex, struct wf_span body, wf_release_fn *release,
                           void *arg) {
    size_t copied = release == NULL ? body.n : 0;
    struct wf_long_content *l =
        copied <= SIZE_MAX - sizeof(*l) ? wf_malloc(sizeof(*l) + copied) : NULL;
    if (l == NULL) {
        return false;
    }
    *l = (struct wf_long_content){.ex = ex, .left = body, .release = release, .arg = arg};
    if (release == NULL) {
        memcpy(l->copy, body.p, body.n);
        l->left.p = l->copy;
    }
    wf_list_init(&l->node);
    ex->long_content = l;
    wf_long_content_go_on(ex);
    return true;
}

void wf_long_content_go_on(struct wf_exchange *ex) {
    wf_list_push(&ex->server->coding, &ex->long_content->node);
}

void wf_long_content_drop(struct wf_exchange *ex) {
    struct wf_long_content *l = ex->long_content;
    ex->long_content = NULL;
    wf_list_remove(&l->node);
    if (l->release != NULL) {
        l->release(l->arg);
    }
    wf_free(l);
}

/* 0, or what wf_reply_write_coded says. */
static int write_piece(struct wf_long_content *l) {
    size_t n = WF_MIN(l->left.n, (size_t)PIECE_BYTES);
    struct wf_span piece = wf_span(l->left.p, n);
    l->left = wf_span(l->left.p + n, l->left.n - n);
    return wf_reply_write_coded(l->ex, piece, l->left.n == 0);
}

void wf_long_content_step(struct wf_server *s) {
    struct wf_list *node = wf_list_pop(&s->coding);
    if (wf_likely(node == NULL)) {
        return;
    }
    struct wf_long_content *l = wf_container_of(node, struct wf_long_content, node);
    struct wf_exchange *ex = l->ex;
    struct wf_conn *c = ex->conn;
    int rc = write_piece(l);
    if (rc >= 0 && l->left.n != 0) {
        if (rc == WF_REPLY_OK) { /* else wf_conn_output_moved goes on */
            wf_long_content_go_on(ex);
        }
        return;
    }
    if (rc < 0) {
        c->broken = true; /* the head is out: only closing can take it back */
        c->reset = ex->head.minor_version == 0;
    }
    c->drained_owed = false; /* it would be told to the embedder */
    wf_long_content_drop(ex);
    wf_conn_advance(c);
}
