/* A head: each scanner gives the same answer, so does each way to cut it, and all that is pointed
 * at lies within. The first two bytes say where the cut is. */
#include <stdint.h>
#include <stdlib.h>

#include "wire/http1/http1_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { FIELDS = 100 };

struct answer {
    ssize_t rc;
    struct wf_head head;
    struct wf_field fields[FIELDS];
};

static void require(bool ok) {
    if (!ok) {
        abort();
    }
}

static void read_head(struct answer *a, const char *p, size_t first, size_t n) {
    const struct wf_http1_limits limits = {4096, 1024, FIELDS};
    struct wf_http1_progress progress = {0};
    *a = (struct answer){.head = {.fields = a->fields, .fields_cap = FIELDS}};
    a->rc = wf_http1_head(&limits, &progress, wf_span(p, first), &a->head);
    if (a->rc == WF_PARTIAL && first < n) {
        a->rc = wf_http1_head(&limits, &progress, wf_span(p, n), &a->head);
    }
}

static void require_same(const struct answer *a, const struct answer *b) {
    require(a->rc == b->rc && a->head.why == b->head.why);
    if (a->rc > 0) {
        require(a->head.nfields == b->head.nfields && a->head.framing == b->head.framing &&
                a->head.content_length == b->head.content_length &&
                a->head.keep_alive == b->head.keep_alive);
        require(memcmp(&a->head.method_at, &b->head.method_at, 5 * sizeof(struct wf_at)) == 0);
        require(memcmp(a->fields, b->fields, a->head.nfields * sizeof(*a->fields)) == 0);
    }
}

static void require_within(struct wf_at at, ssize_t n) {
    require((ssize_t)at.at + (ssize_t)at.n <= n);
}

static void require_sound(const struct answer *a) {
    const struct wf_head *h = &a->head;
    if (a->rc < 0) {
        require(h->why != NULL);
    }
    if (a->rc <= 0) {
        return;
    }
    require_within(h->method_at, a->rc);
    require_within(h->target_at, a->rc);
    require_within(h->path_at, a->rc);
    require_within(h->query_at, a->rc);
    require_within(h->authority_at, a->rc);
    require(h->framing != WF_BODY_LENGTH || h->content_length > 0);
    for (unsigned i = 0; i < h->nfields; i++) {
        require_within((struct wf_at){h->fields[i].name_at, h->fields[i].name_len}, a->rc);
        require_within((struct wf_at){h->fields[i].value_at, h->fields[i].value_len}, a->rc);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char *const scanners[] = {"plain", "sse4.2", "avx2", "neon"};
    static struct answer plain, other;
    if (n < 2) {
        return 0;
    }
    size_t cut = (size_t)data[0] << 8 | data[1];
    n -= 2;
    cut = n == 0 ? 0 : cut % n;
    char *p = malloc(n == 0 ? 1 : n); /* of exact size, for the sanitizer to guard */
    memcpy(p, data + 2, n);

    wf_http1_use_scanner("plain");
    read_head(&plain, p, n, n);
    require_sound(&plain);
    for (size_t i = 0; i < WF_ARRAY_LEN(scanners); i++) {
        if (!wf_http1_use_scanner(scanners[i])) {
            continue;
        }
        read_head(&other, p, n, n);
        require_same(&other, &plain);
        read_head(&other, p, cut, n);
        if (other.rc != WF_PARTIAL) { /* it may wait for twice the bytes */
            require_same(&other, &plain);
        } else {
            require(plain.rc <= 0);
        }
    }
    free(p);
    return 0;
}
