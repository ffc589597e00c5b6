/* So many requests in so much time from each client: GCRA (ITU-T I.371, the leaky bucket as a meter). All that is
 * known of a client is when it will have paid for its requests:
 *
 *     now          due                     a request costs `interval` = window / limit
 *      ├────────────┤                      it passes while due - now is at most window - interval,
 *      └─ at most window ─────────▶        and moves `due` by interval
 *
 * So `limit` requests may come at once, and after that one each `interval`. A client whose `due` is past is as
 * good as unknown, which is why the table can forget: it is of a fixed size, and where many clients meet in one
 * row the one that owes least goes. */
#include <sys/random.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/num.h"
#include "serve/layer/layer.h"
#include "serve/server_int.h"

enum { ROW = 8 /* clients of one row: 128 bytes, two cache lines */ };

struct client {
    uint64_t key;    /* 0: nobody */
    uint64_t due_ns; /* loop time */
};

struct rate_limit {
    struct wf_layer layer;
    uint64_t interval_ns, burst_ns; /* burst: what may be owed before a request is refused */
    struct wf_span header;          /* lower case; n is 0 where clients are told by address */
    uint64_t secret[2];             /* nobody outside can tell which row a client is in */
    size_t rows;                    /* a power of two */
    struct client clients[];        /* ROW a row */
};

/* ---- who it is ---- */

static uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash(const struct rate_limit *r, const void *p, size_t n) {
    uint64_t h = mix(r->secret[0] ^ n, r->secret[1]), word;
    const char *at = p;
    for (; n != 0; at += sizeof(word), n -= WF_MIN(n, sizeof(word))) {
        word = 0;
        memcpy(&word, at, WF_MIN(n, sizeof(word)));
        h = mix(h ^ word ^ r->secret[0], r->secret[1] | 1);
    }
    return h != 0 ? h : 1;
}

static uint64_t by_address(const struct rate_limit *r, const struct wf_addr *a) {
    uint8_t bytes[16] = {0};
    size_t n = wf_addr_bytes(a, bytes) ? sizeof(bytes) : 0;
    static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};
    if (n != 0 && memcmp(bytes, v4, sizeof(v4)) != 0) {
        n = 8; /* whoever has an IPv6 address has all 2^64 of its network */
    }
    return hash(r, bytes, n);
}

static uint64_t key_of(const struct rate_limit *r, const struct wf_exchange *ex) {
    for (unsigned i = 0; r->header.n != 0 && i < ex->head.nfields; i++) {
        const struct wf_field *f = &ex->head.fields[i];
        if (wf_span_eq_lower(wf_field_name_span(ex->base, f), r->header)) {
            struct wf_span value = wf_field_value_span(ex->base, f);
            return hash(r, value.p, value.n);
        }
    }
    return by_address(r, wf_exchange_peer(ex));
}

/* ---- what it owes ---- */

/* Where the client is, or the place that it gets. */
static struct client *find(struct rate_limit *r, uint64_t key) {
    struct client *row = &r->clients[(key & (r->rows - 1)) * ROW], *least = row;
    for (size_t i = 0; i < ROW; i++) {
        if (row[i].key == key) {
            return &row[i];
        }
        least = row[i].due_ns < least->due_ns ? &row[i] : least;
    }
    *least = (struct client){.key = key};
    return least;
}

static bool refuse(struct wf_exchange *ex, uint64_t wait_ns) {
    char digits[WF_U64_DIGITS_MAX];
    struct wf_reply_field retry = {
        WF_SPAN("retry-after"),
        wf_span(digits, wf_u64_write(digits, (wait_ns + WF_NS_PER_S - 1) / WF_NS_PER_S))};
    return wf_layer_refuse(ex, 429, &retry);
}

static bool before(struct wf_layer *l, struct wf_exchange *ex) {
    struct rate_limit *r = (struct rate_limit *)l;
    uint64_t now = ex->server->loop->now_ns;
    struct client *c = find(r, key_of(r, ex));
    uint64_t due = WF_MAX(c->due_ns, now);
    if (wf_unlikely(due - now > r->burst_ns)) {
        return refuse(ex, due - now - r->burst_ns);
    }
    c->due_ns = due + r->interval_ns;
    return false;
}

static void free_layer(struct wf_layer *l) {
    wf_free(l);
}

static const struct wf_layer_ops ops = {.before = before, .free = free_layer};

struct wf_layer *wf_layer_rate_limit(const struct wf_rate_limit_config *config) {
    size_t rows = 1;
    while (rows * ROW < config->clients_max && rows < WF_RATE_LIMIT_CLIENTS_MAX / ROW) {
        rows *= 2;
    }
    struct rate_limit *r = wf_calloc(1, sizeof(*r) + rows * ROW * sizeof(struct client));
    if (r == NULL || getrandom(r->secret, sizeof(r->secret), 0) != (ssize_t)sizeof(r->secret)) {
        wf_free(r);
        return NULL;
    }
    WF_ASSERT(config->limit != 0 && config->window_ns != 0);
    r->layer.ops = &ops;
    r->interval_ns = WF_MAX(config->window_ns / config->limit, (uint64_t)1);
    r->burst_ns = config->window_ns - WF_MIN(r->interval_ns, config->window_ns);
    r->header = config->header;
    r->rows = rows;
    return &r->layer;
}
