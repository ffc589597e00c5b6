/* Layers of a few lines each: trusted hosts, https, fixed fields, request ids, a bound on concurrency. */
#include <sys/random.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/num.h"
#include "serve/layer/layer.h"
#include "serve/server_int.h"

static void free_layer(struct wf_layer *l) {
    wf_free(l);
}

static bool answer_text(struct wf_exchange *ex, int status, struct wf_span text,
                        const struct wf_reply_field *field) {
    struct wf_reply_head head = {.status = status,
                                 .content_type = WF_SPAN("text/plain; charset=utf-8"),
                                 .fields = field,
                                 .nfields = field != NULL};
    return wf_layer_answer(ex, &head, text);
}

/* 307 to the parts, one behind the other. */
static bool redirect(struct wf_exchange *ex, const struct wf_span *parts, size_t count) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        n += parts[i].n;
    }
    char *text = wf_arena_alloc(&ex->arena, n), *at = text;
    if (text == NULL) {
        return wf_layer_refuse(ex, 503, NULL);
    }
    for (size_t i = 0; i < count; i++) {
        if (parts[i].n != 0) {
            memcpy(at, parts[i].p, parts[i].n);
            at += parts[i].n;
        }
    }
    struct wf_reply_field location = {WF_SPAN("location"), wf_span(text, n)};
    struct wf_reply_head head = {.status = 307, .fields = &location, .nfields = 1};
    return wf_layer_answer(ex, &head, wf_span("", 0));
}

/* ---- trusted hosts ---- */

struct hosts {
    struct wf_layer layer;
    const struct wf_span *list;
    size_t n;
    bool www;
};

/* What the client calls us, without the port. */
static struct wf_span host_of(const struct wf_exchange *ex, struct wf_span *with_port) {
    struct wf_span s = *with_port = wf_exchange_host(ex);
    size_t n = s.n;
    while (n != 0 && s.p[n - 1] >= '0' && s.p[n - 1] <= '9') {
        n--;
    }
    return n != 0 && s.p[n - 1] == ':' ? wf_span(s.p, n - 1) : s;
}

static bool host_fits(struct wf_span host, struct wf_span pattern) {
    if (pattern.n > 1 && pattern.p[0] == '*') { /* "*.example.com" */
        struct wf_span end = wf_span(pattern.p + 1, pattern.n - 1);
        return host.n >= end.n && wf_span_eq_lower(wf_span(host.p + host.n - end.n, end.n), end);
    }
    return wf_span_eq_lower(host, pattern);
}

/* 307 to the same URL with "www." in front. */
static bool redirect_to_www(struct wf_exchange *ex, struct wf_span host) {
    const struct wf_span parts[] = {ex->https ? WF_SPAN("https://www.") : WF_SPAN("http://www."),
                                    host, wf_exchange_missing_root(ex),
                                    wf_head_span(ex->base, ex->head.target_at)};
    return redirect(ex, parts, WF_ARRAY_LEN(parts));
}

static bool hosts_before(struct wf_layer *l, struct wf_exchange *ex) {
    const struct hosts *h = (const struct hosts *)l;
    struct wf_span with_port, host = host_of(ex, &with_port);
    bool www = false;
    for (size_t i = 0; i < h->n; i++) {
        if (host_fits(host, h->list[i])) {
            return false;
        }
        www = www || (h->list[i].n == host.n + 4 && memcmp(h->list[i].p, "www.", 4) == 0 &&
                      host_fits(host, wf_span(h->list[i].p + 4, host.n)));
    }
    return www && h->www && !ex->head.asterisk && ex->head.authority_at.n == 0
               ? redirect_to_www(ex, with_port)
               : answer_text(ex, 400, WF_SPAN("Invalid host header"), NULL);
}

static const struct wf_layer_ops hosts_ops = {.before = hosts_before, .free = free_layer};

struct wf_layer *wf_layer_hosts(const struct wf_span *list, size_t n, bool www) {
    struct hosts *h = wf_malloc(sizeof(*h));
    if (h == NULL) {
        return NULL;
    }
    *h = (struct hosts){{&hosts_ops, NULL}, list, n, www};
    return &h->layer;
}

/* ---- https ---- */

/* The host without the ports that the schemes have anyway. */
static struct wf_span without_port(struct wf_span host) {
    if (host.n > 3 && memcmp(host.p + host.n - 3, ":80", 3) == 0) {
        return wf_span(host.p, host.n - 3);
    }
    if (host.n > 4 && memcmp(host.p + host.n - 4, ":443", 4) == 0) {
        return wf_span(host.p, host.n - 4);
    }
    return host;
}

static bool https_before(struct wf_layer *l, struct wf_exchange *ex) {
    (void)l;
    if (wf_likely(ex->https)) {
        return false;
    }
    struct wf_span host = without_port(wf_exchange_host(ex));
    if (host.n == 0) {
        return answer_text(ex, 400, WF_SPAN("Invalid host header"), NULL);
    }
    struct wf_span path = wf_head_span(ex->base, ex->head.path_at);
    struct wf_span query = wf_head_span(ex->base, ex->head.query_at);
    path = ex->head.asterisk ? wf_span("", 0) : path.n == 0 ? WF_SPAN("/") : path;
    struct wf_span root = ex->head.asterisk ? wf_span("", 0) : wf_exchange_missing_root(ex);
    const struct wf_span parts[] = {
        WF_SPAN("https://"), host, root, path, query.n != 0 ? WF_SPAN("?") : wf_span("", 0), query};
    return redirect(ex, parts, WF_ARRAY_LEN(parts));
}

static const struct wf_layer_ops https_ops = {.before = https_before, .free = free_layer};

struct wf_layer *wf_layer_https(void) {
    struct wf_layer *l = wf_calloc(1, sizeof(*l));
    if (l != NULL) {
        l->ops = &https_ops;
    }
    return l;
}

/* ---- fixed fields ---- */

struct fixed {
    struct wf_layer layer;
    const struct wf_reply_field *fields;
    size_t n;
};

static void fixed_reply(struct wf_layer *l, struct wf_exchange *ex, struct wf_head_edit *edit) {
    const struct fixed *f = (const struct fixed *)l;
    for (size_t i = 0; i < f->n; i++) {
        wf_edit_default(edit, f->fields[i].name, f->fields[i].value);
    }
}

static const struct wf_layer_ops fixed_ops = {.reply = fixed_reply, .free = free_layer};

struct wf_layer *wf_layer_fields(const struct wf_reply_field *fields, size_t n) {
    struct fixed *f = wf_malloc(sizeof(*f));
    if (f == NULL) {
        return NULL;
    }
    *f = (struct fixed){{&fixed_ops, NULL}, fields, n};
    return &f->layer;
}

/* ---- request ids ---- */

struct request_id {
    struct wf_layer layer;
    struct wf_span name;
    unsigned char random[16 * 32]; /* of the kernel, a few requests' worth at once */
    size_t used;
};

static bool id_ok(struct wf_span s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.')) {
            return false;
        }
    }
    return s.n != 0 && s.n <= WF_REQUEST_ID_MAX;
}

static struct wf_span new_id(struct request_id *r, struct wf_exchange *ex) {
    static const char hex[] = "0123456789abcdef";
    char *text = wf_arena_alloc(&ex->arena, 32);
    if (text == NULL) {
        return wf_span(NULL, 0);
    }
    if (r->used == sizeof(r->random)) {
        if (getrandom(r->random, sizeof(r->random), 0) != (ssize_t)sizeof(r->random)) {
            return wf_span(NULL, 0);
        }
        r->used = 0;
    }
    for (size_t i = 0; i < 16; i++) {
        unsigned char byte = r->random[r->used++];
        text[2 * i] = hex[byte >> 4];
        text[2 * i + 1] = hex[byte & 15];
    }
    return wf_span(text, 32);
}

static void id_reply(struct wf_layer *l, struct wf_exchange *ex, struct wf_head_edit *edit) {
    struct request_id *r = (struct request_id *)l;
    struct wf_span id = wf_span(NULL, 0);
    for (unsigned i = 0; i < ex->head.nfields && id.p == NULL; i++) {
        const struct wf_field *f = &ex->head.fields[i];
        WF_ASSERT(ex->base != NULL); /* a head that has fields was read from somewhere */
        if (wf_span_eq_lower(wf_field_name_span(ex->base, f), r->name)) {
            id = wf_field_value_span(ex->base, f);
        }
    }
    if (id.p == NULL || !id_ok(id)) {
        id = new_id(r, ex);
    }
    ex->request_id = id;
    if (id.p != NULL) {
        wf_edit_default(edit, r->name, id);
    }
}

static const struct wf_layer_ops id_ops = {.reply = id_reply, .free = free_layer};

struct wf_layer *wf_layer_request_id(struct wf_span name) {
    struct request_id *r = wf_calloc(1, sizeof(*r));
    if (r == NULL) {
        return NULL;
    }
    r->layer.ops = &id_ops;
    r->name = name;
    r->used = sizeof(r->random);
    return &r->layer;
}

/* ---- concurrency ---- */

struct concurrency {
    struct wf_layer layer;
    uint64_t max, running;
    size_t digits;
    char retry_after[WF_U64_DIGITS_MAX];
};

static bool concurrency_before(struct wf_layer *l, struct wf_exchange *ex) {
    struct concurrency *c = (struct concurrency *)l;
    if (wf_likely(c->running < c->max)) {
        return false;
    }
    struct wf_reply_field retry = {WF_SPAN("retry-after"), wf_span(c->retry_after, c->digits)};
    return wf_layer_refuse(ex, 503, &retry);
}

/* Those that an inner layer answers were never running: so the count is kept where all have passed. */
static void concurrency_over(struct wf_layer *l, struct wf_exchange *ex) {
    ((struct concurrency *)l)->running--;
}

static void concurrency_passed(struct wf_layer *l) {
    ((struct concurrency *)l)->running++;
}

static const struct wf_layer_ops concurrency_ops = {.before = concurrency_before,
                                                    .passed = concurrency_passed,
                                                    .over = concurrency_over,
                                                    .free = free_layer};

struct wf_layer *wf_layer_concurrency(uint64_t max, unsigned retry_after_s) {
    struct concurrency *c = wf_calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    c->layer.ops = &concurrency_ops;
    c->max = max;
    c->digits = wf_u64_write(c->retry_after, retry_after_s);
    return &c->layer;
}
