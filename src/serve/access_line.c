/* A line of the access log, in each of its formats:
 *
 *     short     127.0.0.1:54321 - "GET /x?y HTTP/1.1" 200                       as uvicorn writes it
 *     common    127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] "GET /x?y HTTP/1.1" 200 27
 *     combined  ... "https://referer.example/" "user agent"                     Apache's and nginx's
 *     json      {"time":"1994-11-06T08:49:37Z","client":"127.0.0.1",...}        one object a line */
#include "base/num.h"
#include "serve/server_int.h"

struct parts {
    struct wf_span method, target, referer, agent, id;
};

static struct wf_span field_of(const struct wf_exchange *ex, enum wf_field_id id) {
    const struct wf_field *f = wf_head_find(&ex->head, id);
    return f != NULL ? wf_field_value_span(ex->base, f) : wf_span(NULL, 0);
}

static struct parts parts_of(const struct wf_exchange *ex) {
    struct parts p = {.method = WF_SPAN("-"), .target = WF_SPAN("-")};
    if (ex->base != NULL) {
        p.method = wf_head_span(ex->base, ex->head.method_at);
        p.target = wf_head_span(ex->base, ex->head.target_at);
        p.referer = field_of(ex, WF_FIELD_REFERER);
        p.agent = field_of(ex, WF_FIELD_USER_AGENT);
        p.id = ex->request_id;
    }
    return p;
}

size_t wf_access_line_most(const struct wf_exchange *ex) {
    struct parts p = parts_of(ex);
    enum { ESCAPED_MOST = 6 }; /* \u00ff */
    return WF_ADDR_CHARS_MAX + 320 +
           ESCAPED_MOST * (p.method.n + p.target.n + p.referer.n + p.agent.n + p.id.n);
}

/* ---- pieces ---- */

static char *put(char *at, struct wf_span s) {
    if (s.n != 0) {
        memcpy(at, s.p, s.n);
    }
    return at + s.n;
}

static char *put_number(char *at, uint64_t n) {
    return at + wf_u64_write(at, n);
}

/* What could end the line or the quotes, or drive a terminal, is written \xHH, or \u00HH in JSON, where a byte
 * above 127 is read as Latin-1: what it stands for is not known. */
static char *put_escaped(char *at, struct wf_span s, bool json) {
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            *at++ = (char)c;
        } else {
            at = put(at, json ? WF_SPAN("\\u00") : WF_SPAN("\\x"));
            *at++ = hex[c >> 4];
            *at++ = hex[c & 15];
        }
    }
    return at;
}

static char *put_quoted(char *at, struct wf_span s) {
    *at++ = '"';
    at = s.p != NULL ? put_escaped(at, s, false) : put(at, WF_SPAN("-"));
    *at++ = '"';
    return at;
}

static char *put_request(char *at, const struct wf_exchange *ex, const struct parts *p) {
    *at++ = '"';
    at = put_escaped(at, p->method, false);
    *at++ = ' ';
    at = put_escaped(at, p->target, false);
    at = put(at, WF_SPAN(" HTTP/1."));
    *at++ = (char)('0' + ex->head.minor_version);
    *at++ = '"';
    return at;
}

/* The address without its port; "unix:" of a unix socket. */
static char *put_client(char *at, const struct wf_exchange *ex) {
    char text[WF_ADDR_CHARS_MAX];
    const struct wf_addr *a = wf_exchange_peer(ex);
    size_t n = wf_addr_write(a, text), from = 0;
    if (a->sa.sa_family != AF_UNIX) {
        while (n != 0 && text[--n] != ':') {
        }
        if (n >= 2 && text[0] == '[') {
            from = 1;
            n--;
        }
    }
    return put_escaped(at, wf_span(text + from, n - from), false);
}

/* Now, as the date field says it: "Sun, 06 Nov 1994 08:49:37 GMT". */
static const char *now_text(struct wf_server *s) {
    if (s->loop->now_ns >= s->date_until_ns) {
        wf_server_refresh_date(s);
    }
    return s->common + WF_STATUS_200_LINE + sizeof("date: ") - 1;
}

static char *put_common_time(char *at, struct wf_server *s) {
    const char *date = now_text(s);
    *at++ = '[';
    at = put(at, wf_span(date + 5, 2));
    *at++ = '/';
    at = put(at, wf_span(date + 8, 3));
    *at++ = '/';
    at = put(at, wf_span(date + 12, 4));
    *at++ = ':';
    at = put(at, wf_span(date + 17, 8));
    return put(at, WF_SPAN(" +0000]"));
}

static char *put_iso_time(char *at, struct wf_server *s) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const char *date = now_text(s);
    unsigned month = 1;
    while (month < 12 && memcmp(months + (size_t)(month - 1) * 3, date + 8, 3) != 0) {
        month++;
    }
    at = put(at, wf_span(date + 12, 4));
    *at++ = '-';
    *at++ = (char)('0' + month / 10);
    *at++ = (char)('0' + month % 10);
    *at++ = '-';
    at = put(at, wf_span(date + 5, 2));
    *at++ = 'T';
    at = put(at, wf_span(date + 17, 8));
    *at++ = 'Z';
    return at;
}

/* ---- formats ---- */

static char *put_short(char *at, const struct wf_exchange *ex, const struct parts *p) {
    at += wf_addr_write(wf_exchange_peer(ex), at);
    at = put(at, WF_SPAN(" - "));
    at = put_request(at, ex, p);
    *at++ = ' ';
    return put_number(at, ex->status);
}

static char *put_common(char *at, const struct wf_exchange *ex, const struct parts *p) {
    at = put_client(at, ex);
    at = put(at, WF_SPAN(" - - "));
    at = put_common_time(at, ex->server);
    *at++ = ' ';
    at = put_request(at, ex, p);
    *at++ = ' ';
    at = put_number(at, ex->status);
    *at++ = ' ';
    return ex->reply_bytes != 0 ? put_number(at, ex->reply_bytes) : put(at, WF_SPAN("-"));
}

static char *put_combined(char *at, const struct wf_exchange *ex, const struct parts *p) {
    at = put_common(at, ex, p);
    *at++ = ' ';
    at = put_quoted(at, p->referer);
    *at++ = ' ';
    return put_quoted(at, p->agent);
}

/* ,"name":"value" or ,"name":null */
static char *put_member(char *at, struct wf_span name, struct wf_span value) {
    at = put(at, WF_SPAN(",\""));
    at = put(at, name);
    at = put(at, WF_SPAN("\":"));
    if (value.p == NULL) {
        return put(at, WF_SPAN("null"));
    }
    *at++ = '"';
    at = put_escaped(at, value, true);
    *at++ = '"';
    return at;
}

static char *put_number_member(char *at, struct wf_span name, uint64_t n) {
    at = put(at, WF_SPAN(",\""));
    at = put(at, name);
    at = put(at, WF_SPAN("\":"));
    return put_number(at, n);
}

static char *put_json(char *at, const struct wf_exchange *ex, const struct parts *p) {
    at = put(at, WF_SPAN("{\"time\":\""));
    at = put_iso_time(at, ex->server);
    at = put(at, WF_SPAN("\",\"client\":\""));
    at = put_client(at, ex);
    *at++ = '"';
    at = put_member(at, WF_SPAN("method"), p->method);
    at = put_member(at, WF_SPAN("target"), p->target);
    at = put_member(at, WF_SPAN("protocol"),
                    ex->head.minor_version != 0 ? WF_SPAN("HTTP/1.1") : WF_SPAN("HTTP/1.0"));
    at = put_number_member(at, WF_SPAN("status"), ex->status);
    at = put_number_member(at, WF_SPAN("bytes"), ex->reply_bytes);
    uint64_t now = wf_clock_mono_ns();
    at = put_number_member(at, WF_SPAN("duration_us"),
                           now > ex->started_ns ? (now - ex->started_ns) / 1000 : 0);
    at = put_member(at, WF_SPAN("referer"), p->referer);
    at = put_member(at, WF_SPAN("user_agent"), p->agent);
    at = put_member(at, WF_SPAN("request_id"), p->id);
    *at++ = '}';
    return at;
}

size_t wf_access_line_write(enum wf_access_format format, const struct wf_exchange *ex, char *out) {
    struct parts p = parts_of(ex);
    char *at = out;
    switch (format) {
    case WF_ACCESS_SHORT:
        at = put_short(at, ex, &p);
        break;
    case WF_ACCESS_COMMON:
        at = put_common(at, ex, &p);
        break;
    case WF_ACCESS_COMBINED:
        at = put_combined(at, ex, &p);
        break;
    case WF_ACCESS_JSON:
        at = put_json(at, ex, &p);
        break;
    }
    *at++ = '\n';
    return (size_t)(at - out);
}
