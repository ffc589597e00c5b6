/* Reading what proxies write. Later fields, and later items of their lists, were written nearer to us. */
#include "serve/forwarded.h"

#include "base/check.h"
#include "serve/server_int.h"

/* ---- trust ---- */

static bool within(const struct wf_network *net, const uint8_t address[16]) {
    size_t whole = net->bits / 8, rest = net->bits % 8;
    if (memcmp(net->address, address, whole) != 0) {
        return false;
    }
    return rest == 0 || (net->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

bool wf_forwarded_trusts(const struct wf_forwarded_config *config, const struct wf_addr *peer) {
    uint8_t address[16];
    if (config->anyone || peer->sa.sa_family == AF_UNIX) {
        return config->anyone || config->unix_sockets;
    }
    if (config->nnetworks == 0 || !wf_addr_bytes(peer, address)) {
        return false;
    }
    for (size_t i = 0; i < config->nnetworks; i++) {
        if (within(&config->networks[i], address)) {
            return true;
        }
    }
    return false;
}

/* ---- lists, from their end ---- */

static struct wf_span trim(struct wf_span s) {
    while (s.n != 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s = wf_span(s.p + 1, s.n - 1);
    }
    while (s.n != 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) {
        s.n--;
    }
    return s;
}

/* Takes the last part off, that is behind the last `by` outside of quotes. false: there is none. */
static bool last_part(struct wf_span *list, char by, struct wf_span *part) {
    if (list->p == NULL) {
        return false;
    }
    size_t at = 0;
    bool quoted = false, found = false;
    for (size_t i = 0; i < list->n; i++) {
        if (list->p[i] == '"') {
            quoted = !quoted;
        } else if (list->p[i] == '\\' && quoted) {
            i++;
        } else if (list->p[i] == by && !quoted) {
            at = i;
            found = true;
        }
    }
    *part = trim(found ? wf_span(list->p + at + 1, list->n - at - 1) : *list);
    *list = found ? wf_span(list->p, at) : wf_span(NULL, 0);
    return true;
}

/* The items of all fields of that id, the last one first. */
struct items {
    const struct wf_exchange *ex;
    enum wf_field_id id;
    unsigned fields_left, hops_left;
    struct wf_span rest;
};

static struct items items_of(const struct wf_exchange *ex, enum wf_field_id id) {
    return (struct items){ex, id, ex->head.nfields, WF_FORWARDED_HOPS_MAX, {NULL, 0}};
}

static bool next(struct items *it, struct wf_span *item) {
    if (it->hops_left == 0) {
        return false;
    }
    it->hops_left--;
    while (!last_part(&it->rest, ',', item)) {
        do {
            if (it->fields_left == 0) {
                return false;
            }
            it->fields_left--;
        } while (it->ex->head.fields[it->fields_left].id != it->id);
        it->rest = wf_field_value_span(it->ex->base, &it->ex->head.fields[it->fields_left]);
    }
    return true;
}

/* ---- values ---- */

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". */
static bool address_of(struct wf_span s, struct wf_addr *out) {
    char text[64];
    unsigned port = 0;
    const char *colon = s.n != 0 ? memchr(s.p, ':', s.n) : NULL;
    const char *close = s.n != 0 && s.p[0] == '[' ? memchr(s.p, ']', s.n) : NULL;
    struct wf_span host = s, digits = wf_span("", 0);
    if (close != NULL) {
        host = wf_span(s.p + 1, (size_t)(close - s.p) - 1);
        digits = wf_span(close + 1, s.n - (size_t)(close + 1 - s.p));
    } else if (colon != NULL && memchr(colon + 1, ':', s.n - (size_t)(colon + 1 - s.p)) == NULL) {
        host = wf_span(s.p, (size_t)(colon - s.p));
        digits = wf_span(colon, s.n - host.n);
    }
    if (digits.n == 1 || digits.n > 6 || (digits.n != 0 && digits.p[0] != ':')) {
        return false;
    }
    for (size_t i = 1; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(digits.p[i] - '0');
    }
    if (host.n == 0 || host.n >= sizeof(text) || port > 65535) {
        return false;
    }
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    return memchr(text, '\0', host.n) == NULL && wf_addr_ip(out, text, (uint16_t)port) == 0;
}

/* What may stand in a URL as its authority. */
static bool host_ok(struct wf_span s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr("-._~:[]", c) != NULL))) {
            return false;
        }
    }
    return s.n != 0 && s.n <= 255;
}

static void take_proto(struct wf_exchange *ex, struct wf_span s) {
    if (wf_span_eq_lower(s, WF_SPAN("https"))) {
        ex->https = true;
    } else if (wf_span_eq_lower(s, WF_SPAN("http"))) {
        ex->https = false;
    }
}

static void take_host(struct wf_exchange *ex, struct wf_span s) {
    if (host_ok(s)) { /* a copy, since the request's own bytes may move yet */
        struct wf_span copy = wf_arena_copy(&ex->arena, s);
        ex->host = copy.p != NULL ? copy : ex->host;
    }
}

/* The address becomes the client's; does whoever it is have a say in what is before it? */
static bool take_client(const struct wf_forwarded_config *config, struct wf_exchange *ex,
                        struct wf_span s) {
    struct wf_addr address;
    if (!address_of(s, &address)) { /* "unknown", or hidden: it ends here */
        return false;
    }
    if (ex->client == NULL) {
        ex->client = wf_arena_alloc(&ex->arena, sizeof(address));
        if (ex->client == NULL) {
            return false;
        }
    }
    *ex->client = address;
    return wf_forwarded_trusts(config, &address);
}

/* ---- Forwarded ---- */

/* The value of a parameter of one element, without its quotes; p is NULL where there is none. */
static struct wf_span parameter(struct wf_exchange *ex, struct wf_span element,
                                struct wf_span lower) {
    struct wf_span pair;
    while (last_part(&element, ';', &pair)) {
        const char *equals = pair.n != 0 ? memchr(pair.p, '=', pair.n) : NULL;
        size_t n = equals != NULL ? (size_t)(equals - pair.p) : 0;
        if (equals == NULL || !wf_span_eq_lower(wf_span(pair.p, n), lower)) {
            continue;
        }
        struct wf_span value = wf_span(equals + 1, pair.n - n - 1);
        if (value.n < 2 || value.p[0] != '"' || value.p[value.n - 1] != '"') {
            return value;
        }
        char *text = wf_arena_alloc(&ex->arena, value.n);
        size_t to = 0;
        for (size_t i = 1; text != NULL && i + 1 < value.n; i++) {
            i += value.p[i] == '\\' && i + 2 < value.n;
            text[to++] = value.p[i];
        }
        return wf_span(text, text != NULL ? to : 0);
    }
    return wf_span(NULL, 0);
}

/* Each element is what one proxy says of who connected to it: the last that we trust tells of the client. */
static void read_standard(const struct wf_forwarded_config *config, struct wf_exchange *ex) {
    struct items it = items_of(ex, WF_FIELD_FORWARDED);
    struct wf_span element;
    bool trusted = true;
    while (trusted && next(&it, &element)) {
        struct wf_span proto = parameter(ex, element, WF_SPAN("proto"));
        struct wf_span host = parameter(ex, element, WF_SPAN("host"));
        take_proto(ex, proto);
        take_host(ex, host);
        trusted = take_client(config, ex, parameter(ex, element, WF_SPAN("for")));
    }
}

/* ---- the others ---- */

static struct wf_span last_host(const struct wf_exchange *ex) {
    struct wf_span last = wf_span("", 0), list;
    for (unsigned i = 0; i < ex->head.nfields; i++) {
        const struct wf_field *f = &ex->head.fields[i];
        if (f->id == WF_FIELD_UNKNOWN &&
            wf_span_eq_lower(wf_field_name_span(ex->base, f), WF_SPAN("x-forwarded-host"))) {
            list = wf_field_value_span(ex->base, f);
            (void)last_part(&list, ',', &last);
        }
    }
    return last;
}

void wf_forwarded_read(const struct wf_forwarded_config *config, struct wf_exchange *ex) {
    struct wf_span item;
    if ((config->fields & WF_FORWARDED_STANDARD) != 0) {
        read_standard(config, ex);
    }
    if ((config->fields & WF_FORWARDED_FOR) != 0) {
        struct items it = items_of(ex, WF_FIELD_X_FORWARDED_FOR);
        while (next(&it, &item) && take_client(config, ex, item)) {
        }
    }
    if ((config->fields & WF_FORWARDED_PROTO) != 0) {
        struct items it = items_of(ex, WF_FIELD_X_FORWARDED_PROTO);
        if (next(&it, &item)) {
            take_proto(ex, item);
        }
    }
    if ((config->fields & WF_FORWARDED_HOST) != 0) {
        take_host(ex, last_host(ex));
    }
}
