/* Cross-origin requests (the Fetch standard's CORS protocol), as Starlette's CORSMiddleware. */
#include "base/alloc.h"
#include "base/check.h"
#include "serve/layer/layer.h"
#include "serve/layer/origin.h"

struct cors {
    struct wf_layer layer;
    struct wf_cors_config config;
};

/* By a name the parser has no number for. */
static struct wf_span find(const struct wf_exchange *ex, struct wf_span lower) {
    for (unsigned i = 0; i < ex->head.nfields; i++) {
        const struct wf_field *f = &ex->head.fields[i];
        if (wf_span_eq_lower(wf_field_name_span(ex->base, f), lower)) {
            return wf_field_value_span(ex->base, f);
        }
    }
    return wf_span(NULL, 0);
}

static struct wf_span origin_of(const struct wf_exchange *ex) {
    const struct wf_field *f = wf_head_find(&ex->head, WF_FIELD_ORIGIN);
    return f != NULL ? wf_field_value_span(ex->base, f) : wf_span(NULL, 0);
}

static bool among(const struct wf_span *list, size_t n, struct wf_span s) {
    for (size_t i = 0; i < n; i++) {
        if (wf_span_eq(list[i], s)) {
            return true;
        }
    }
    return false;
}

static bool allows(const struct wf_cors_config *c, struct wf_span origin) {
    return c->any_origin || among(c->origins, c->norigins, origin) ||
           (c->origin != NULL && wf_origin_matches(c->origin, origin));
}

static bool header_allowed(const struct wf_cors_config *c, struct wf_span name) {
    for (size_t i = 0; i < c->nheaders; i++) {
        if (wf_span_eq_lower(name, c->headers[i])) {
            return true;
        }
    }
    return false;
}

/* Are all of a comma-separated list? */
static bool headers_allowed(const struct wf_cors_config *c, struct wf_span list) {
    for (;;) {
        const char *comma = list.n != 0 ? memchr(list.p, ',', list.n) : NULL;
        struct wf_span name = wf_span(list.p, comma != NULL ? (size_t)(comma - list.p) : list.n);
        while (name.n != 0 && (name.p[0] == ' ' || name.p[0] == '\t')) {
            name = wf_span(name.p + 1, name.n - 1);
        }
        while (name.n != 0 && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t')) {
            name.n--;
        }
        if (!header_allowed(c, name)) {
            return false;
        }
        if (comma == NULL) {
            return true;
        }
        list = wf_span(comma + 1, list.n - (size_t)(comma + 1 - list.p));
    }
}

struct preflight {
    struct wf_head_edit edit;
    char text[96];
    size_t n;
};

static void fail(struct preflight *p, const char *what) {
    struct wf_span s = wf_span_str(p->n == 0 ? "Disallowed CORS " : ", ");
    memcpy(p->text + p->n, s.p, s.n);
    p->n += s.n;
    s = wf_span_str(what);
    memcpy(p->text + p->n, s.p, s.n);
    p->n += s.n;
}

static bool answer_preflight(const struct wf_cors_config *c, struct wf_exchange *ex,
                             struct wf_span origin, struct wf_span method) {
    struct preflight p = {.n = 0};
    struct wf_head_edit *e = &p.edit;
    if (c->npreflight != 0) {
        memcpy(e->fields, c->preflight, c->npreflight * sizeof(*c->preflight));
    }
    e->head = (struct wf_reply_head){.status = 200,
                                     .content_type = WF_SPAN("text/plain; charset=utf-8"),
                                     .fields = e->fields,
                                     .nfields = (uint32_t)c->npreflight};
    if (!allows(c, origin)) {
        fail(&p, "origin");
    } else if (!c->any_origin || c->credentials) {
        wf_edit_set(e, WF_SPAN("access-control-allow-origin"), origin);
    }
    if (!among(c->methods, c->nmethods, method)) {
        fail(&p, "method");
    }
    struct wf_span headers = find(ex, WF_SPAN("access-control-request-headers"));
    if (headers.p != NULL && c->any_header) {
        wf_edit_set(e, WF_SPAN("access-control-allow-headers"), headers);
    } else if (headers.p != NULL && !headers_allowed(c, headers)) {
        fail(&p, "headers");
    }
    if (find(ex, WF_SPAN("access-control-request-private-network")).p != NULL) {
        if (c->private_network) {
            wf_edit_set(e, WF_SPAN("access-control-allow-private-network"), WF_SPAN("true"));
        } else {
            fail(&p, "private-network");
        }
    }
    e->head.status = p.n != 0 ? 400 : 200;
    return wf_layer_answer(ex, &e->head, p.n != 0 ? wf_span(p.text, p.n) : WF_SPAN("OK"));
}

static bool before(struct wf_layer *l, struct wf_exchange *ex) {
    struct wf_span origin, method;
    if (wf_likely(ex->head.method != WF_METHOD_OPTIONS) || (origin = origin_of(ex)).p == NULL ||
        (method = find(ex, WF_SPAN("access-control-request-method"))).p == NULL) {
        return false;
    }
    return answer_preflight(&((struct cors *)l)->config, ex, origin, method);
}

static void reply(struct wf_layer *l, struct wf_exchange *ex, struct wf_head_edit *edit) {
    const struct wf_cors_config *c = &((struct cors *)l)->config;
    struct wf_span origin = origin_of(ex);
    if (origin.p != NULL) {
        for (size_t i = 0; i < c->nsimple; i++) {
            wf_edit_set(edit, c->simple[i].name, c->simple[i].value);
        }
        if (c->any_origin ? c->credentials : allows(c, origin)) {
            wf_edit_set(edit, WF_SPAN("access-control-allow-origin"), origin);
        }
    }
    wf_edit_vary(edit, ex, WF_SPAN("Origin"));
}

static void free_layer(struct wf_layer *l) {
    wf_origin_free(((struct cors *)l)->config.origin);
    wf_free(l);
}

static const struct wf_layer_ops ops = {.before = before, .reply = reply, .free = free_layer};

struct wf_layer *wf_layer_cors(const struct wf_cors_config *config) {
    struct cors *c = wf_calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    c->layer.ops = &ops;
    c->config = *config;
    return &c->layer;
}
