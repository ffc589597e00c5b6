/* The replies the server makes by itself. */
#include "base/check.h"
#include "serve/server_int.h"
#include "wire/headers/headers.h"

void wf_refuse(struct wf_conn *c, int status, const char *detail) {
    struct wf_exchange *ex = c->ex;
    ex->close_after = true;
    if (ex->reply == WF_REPLY_NONE && wf_reply_error(ex, status, wf_span_str(detail)) < 0) {
        c->broken = true;
    }
}

/* ---- the slash redirect ---- */

/* What may stand in a path segment as it is (RFC 3986 section 3.3), and '/'. */
static bool path_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~!$&'()*+,;=:@/", c) != NULL);
}

/* As Starlette: the whole URL, from the Host the client used. The parser lets none pass that could
 * not stand in a URL, so it can be repeated; it may be empty. */
static struct wf_span authority(struct wf_exchange *ex, char local[WF_ADDR_CHARS_MAX]) {
    struct wf_span s = wf_exchange_host(ex);
    if (s.n != 0) {
        return s;
    }
    const struct wf_addr *a = wf_exchange_local(ex);
    return a->sa.sa_family == AF_UNIX ? WF_SPAN("localhost")
                                      : wf_span(local, wf_addr_write(a, local));
}

struct wf_span wf_slash_location(struct wf_exchange *ex) {
    static const char hex[] = "0123456789ABCDEF";
    char local[WF_ADDR_CHARS_MAX];
    struct wf_span host = authority(ex, local);
    struct wf_span query = wf_head_span(ex->base, ex->head.query_at);
    struct wf_span path = ex->path;
    bool add = path.p[path.n - 1] != '/';
    while (path.n != 0 && path.p[path.n - 1] == '/') {
        path.n--;
    }
    struct wf_span scheme = ex->https ? WF_SPAN("https://") : WF_SPAN("http://");
    size_t most = scheme.n + host.n + 3 * path.n + 2 + query.n;
    char *out = wf_arena_alloc(&ex->arena, most);
    if (out == NULL) {
        return wf_span(NULL, 0);
    }
    char *at = out;
    memcpy(at, scheme.p, scheme.n);
    memcpy(at + scheme.n, host.p, host.n);
    at += scheme.n + host.n;
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        if (path_byte(path.p[i])) {
            *at++ = path.p[i];
        } else {
            *at++ = '%';
            *at++ = hex[c >> 4];
            *at++ = hex[c & 15];
        }
    }
    if (add) {
        *at++ = '/';
    }
    if (query.n != 0) {
        *at++ = '?';
        memcpy(at, query.p, query.n);
        at += query.n;
    }
    WF_ASSERT((size_t)(at - out) <= most);
    return wf_span(out, (size_t)(at - out));
}

/* ---- without the embedder ---- */

static int reply_fixed(struct wf_exchange *ex, const struct wf_fixed_reply *fixed) {
    const struct wf_field *f = wf_head_find(&ex->head, WF_FIELD_IF_NONE_MATCH);
    bool known = f != NULL && wf_etag_in(wf_field_value_span(ex->base, f), fixed->etag);
    struct wf_reply_field fields[] = {{WF_SPAN("etag"), fixed->etag},
                                      {WF_SPAN("cache-control"), WF_SPAN("no-cache")}};
    struct wf_reply_head head = {.status = known ? 304 : 200,
                                 .content_type = known ? wf_span("", 0) : fixed->content_type,
                                 .fields = fields,
                                 .nfields = WF_ARRAY_LEN(fields)};
    return wf_reply_send(ex, &head, known ? wf_span("", 0) : fixed->body);
}

/* A reply without content but for one field. */
static int reply_with(struct wf_exchange *ex, int status, struct wf_span name,
                      struct wf_span value) {
    struct wf_reply_field field = {name, value};
    struct wf_reply_head head = {.status = status, .fields = &field, .nfields = value.n != 0};
    return wf_reply_send(ex, &head, wf_span("", 0));
}

void wf_answer(struct wf_conn *c) {
    struct wf_exchange *ex = c->ex;
    char text[WF_ALLOW_CHARS_MAX];
    struct wf_reply_field allow = {WF_SPAN("allow"), wf_span(text, 0)};
    int rc = WF_REPLY_OK;
    switch ((enum wf_route_result)ex->route) {
    case WF_ROUTE_OPTIONS: /* of "*" it has nothing to say but that it is here */
        if (!ex->head.asterisk) {
            allow.value.n = wf_allow_write(text, ex->match.allow);
        }
        rc = reply_with(ex, 200, allow.name, allow.value);
        break;
    case WF_ROUTE_METHOD:
        allow.value.n = wf_allow_write(text, ex->match.allow);
        rc = wf_reply_error_with(ex, 405, wf_span("", 0), &allow, 1);
        break;
    case WF_ROUTE_SLASH: {
        struct wf_span location = wf_slash_location(ex);
        rc = location.p != NULL ? reply_with(ex, 307, WF_SPAN("location"), location)
                                : WF_REPLY_NOMEM;
        break;
    }
    case WF_ROUTE_UNREADABLE:
        rc = wf_reply_error(ex, 401, wf_span("", 0));
        break;
    case WF_ROUTE_FOUND:
        rc = reply_fixed(ex, ex->match.leaf->fixed);
        break;
    case WF_ROUTE_NOT_FOUND:
        rc = wf_reply_error(ex, 404, wf_span("", 0));
        break;
    }
    if (rc < 0) {
        c->broken = true;
    }
}
