/* Layers: C steps around every request, without Python.
 *
 *   head parsed ─▶ before: 1st, 2nd, ... ─▶ routed, run, answered
 *                    │ one answers: what is inside it sees nothing
 *                    ▼
 *   head of a reply ◀─ reply: ..., 2nd, 1st ◀─ only the layers around who answered
 *
 * The first is the outermost. A router may have layers of its own, around what it answers and what is mounted in it:
 * they are inside of the server's, and their `before` comes once the request is routed. And the embedder may have some
 * inside of its own steps (docs/adr/0037): it calls them by wf_layers_enter and wf_layers_leave. A layer is added before
 * the server listens and lives as long as the server.
 * thread   the loop's; nothing here needs the GIL */
#ifndef WF_SERVE_LAYER_H
#define WF_SERVE_LAYER_H

#include "serve/exchange.h"

struct wf_encoder;
struct wf_head_edit;
struct wf_origin;

struct wf_layer_ops {
    /* The head is there, not its body; the request is routed only where the layer is no server's. true: it has
     * answered by wf_layer_answer. May be NULL, as the others. */
    bool (*before)(struct wf_layer *l, struct wf_exchange *ex);
    /* A reply's head is about to be written, also of refusals (their request may have no fields). */
    void (*reply)(struct wf_layer *l, struct wf_exchange *ex, struct wf_head_edit *edit);
    /* All layers of the same list have let the exchange pass. */
    void (*passed)(struct wf_layer *l);
    /* The rest of a body that did not come with its head. Not where the embedder reads it by itself. */
    void (*whole)(struct wf_layer *l, struct wf_exchange *ex);
    /* One that has passed is over. */
    void (*over)(struct wf_layer *l, struct wf_exchange *ex);
    void (*free)(struct wf_layer *l);
    /* `reply` may change content: see wf_head_edit. */
    bool recodes;
};

/* Embedded, first, in each kind. */
struct wf_layer {
    const struct wf_layer_ops *ops;
    struct wf_layer *next;  /* the next inner one of the same list */
    struct wf_layer *outer; /* the one around it, of whichever list; NULL for the outermost */
};

/* Those around a server, around one of its routers, or within the embedder's steps. */
struct wf_layers {
    struct wf_layer *first, *innermost;
    struct wf_layers *outer;        /* around these; NULL where that is the server's */
    const struct wf_router *router; /* NULL: the server's */
    struct wf_layers *next;         /* in the server's list of all that are not its own */
};

enum { WF_EDIT_FIELDS_MAX = 256 + 32 }; /* an application's, and what layers add */

/* How a reply has its content. */
enum wf_content_kind {
    WF_CONTENT_WHOLE,  /* all of it is in `body` */
    WF_CONTENT_STREAM, /* it will come piece by piece */
    WF_CONTENT_FIXED /* of a file, for the kernel to copy; or encoded in place: nobody can change it */
};

/* A reply's head that layers change. A field that finds no room, or no memory, is left out. */
struct wf_head_edit {
    uint8_t content;     /* enum wf_content_kind */
    bool in_pieces;      /* WHOLE: an encoder will do as well; it is fed in turns to come */
    bool recoded;        /* WHOLE, STREAM: the content changes on its way, and with it the length */
    int64_t length;      /* of the content; -1 where it is not known */
    struct wf_span body; /* WHOLE: another may be put in its place, good until the next reply */
    struct wf_encoder *
        encoder; /* recoded: what the content is to go through. The exchange owns it from then on. NULL where there is none to come, as with HEAD */
    struct wf_reply_head head;
    struct wf_reply_field fields[WF_EDIT_FIELDS_MAX];
};

/* For `before`: answers with a whole reply, which is copied. Returns true. */
bool wf_layer_answer(struct wf_exchange *ex, const struct wf_reply_head *head, struct wf_span body);
/* The same with the JSON that a refusal has, {"detail":"<reason phrase>"}.
 * field  one more for its head, or NULL */
bool wf_layer_refuse(struct wf_exchange *ex, int status, const struct wf_reply_field *field);

/* ---- within the embedder's steps ---- */

/* What a layer has answered: all of it in the exchange's arena. A status of 0: there was no memory. */
struct wf_layer_answer {
    struct wf_reply_head head;
    struct wf_span body;
};
/* A list without layers, which is the server's; wf_layers_add fills it, before it is entered.
 * outer  the list around it within the same steps, or NULL: then it stands in those of `router`, to which none may
 *        be added any more
 * NULL without memory */
struct wf_layers *wf_server_inner_layers(struct wf_server *s, struct wf_router *router,
                                         struct wf_layers *outer);
void wf_layers_add(struct wf_server *s, struct wf_layers *layers, struct wf_layer *layer);
/* `before` of each, and `passed`; then `over` comes when the exchange is over. The client may have gone.
 * returns  NULL; or the layer that has answered, with *answer: nothing has been sent */
struct wf_layer *wf_layers_enter(struct wf_layers *layers, struct wf_exchange *ex,
                                 struct wf_layer_answer *answer);
/* `reply` of each, from the innermost, or from the one around that which has `answered`.
 * head  has no content_type: that is a field
 * edit  in: content, length and body; out: all of it. An encoder in it is the caller's
 * false: it has too many fields */
bool wf_layers_leave(const struct wf_layers *layers, const struct wf_layer *answered,
                     struct wf_exchange *ex, const struct wf_reply_head *head,
                     struct wf_head_edit *edit);

/* ---- edits ---- */

/* The first field of that name, or NULL. */
struct wf_reply_field *wf_edit_find(struct wf_head_edit *edit, struct wf_span lower);
/* In place of a field of that name, or as a new one. Spans live until the head is written. */
void wf_edit_set(struct wf_head_edit *edit, struct wf_span lower, struct wf_span value);
/* Beside those of that name. */
void wf_edit_add(struct wf_head_edit *edit, struct wf_span lower, struct wf_span value);
/* Only where there is none. */
void wf_edit_default(struct wf_head_edit *edit, struct wf_span lower, struct wf_span value);
/* Takes all fields of that name out. */
void wf_edit_remove(struct wf_head_edit *edit, struct wf_span lower);
/* Adds a token to Vary (RFC 9110 section 12.5.5). */
void wf_edit_vary(struct wf_head_edit *edit, struct wf_exchange *ex, struct wf_span token);

/* ---- kinds. Spans and arrays of a config are borrowed for the layer's life; NULL without memory ---- */

/* CORS as Starlette's CORSMiddleware does it; preflights are answered here. */
struct wf_cors_config {
    bool any_origin, any_header, credentials, private_network;
    const struct wf_span *origins, *methods, *headers; /* headers in lower case */
    size_t norigins, nmethods, nheaders;
    const struct wf_reply_field *simple, *preflight; /* what each kind of reply always has */
    size_t nsimple, npreflight;
    struct wf_origin
        *origin; /* NULL, or origins that are allowed too: the layer's, if one is made */
};
struct wf_layer *wf_layer_cors(const struct wf_cors_config *config);

/* 400 for a Host that is none of these; "*.example.com" is any of its subdomains. www: a host that is one
 * with "www." in front is redirected there. */
struct wf_layer *wf_layer_hosts(const struct wf_span *hosts, size_t n, bool www);

/* 307 to the same URL with https, unless the client came by that, which a trusted proxy has to say
 * (serve/forwarded.h). */
struct wf_layer *wf_layer_https(void);

/* Fields that every reply has that does not bring its own. */
struct wf_layer *wf_layer_fields(const struct wf_reply_field *fields, size_t n);

/* A reply repeats the id of its request in field `name` (lower case), or gets a random one of 32 hex digits.
 * Ids of a client count when they are up to WF_REQUEST_ID_MAX letters, digits and "-_.". */
enum { WF_REQUEST_ID_MAX = 128 };
struct wf_layer *wf_layer_request_id(struct wf_span name);

/* Content in one of the codings a client accepts (RFC 9110 section 12.5.3), as Starlette's GZipMiddleware goes
 * about it: see compress.c. The first of the codings counts where the client likes several as well. */
struct wf_compress_config {
    uint64_t minimum_bytes; /* a content shorter than that is left as it is */
    uint64_t long_bytes;    /* one that is not shorter than that is compressed a piece a turn */
    struct wf_compress_coding {
        uint8_t coding; /* enum wf_coding: available */
        int level;
    } codings[3];
    size_t ncodings;
    const struct wf_span *excluded; /* media types in lower case, or "audio/ *" without the space */
    size_t nexcluded;
};
struct wf_layer *wf_layer_compress(const struct wf_compress_config *config);

/* 429 with Retry-After for a client that has more than `limit` requests in `window_ns`, counted by this server
 * alone: see rate_limit.c. A client is whoever has the same value in field `header` (lower case; n is 0 for none),
 * else the same address; with IPv6, the same /64. */
enum { WF_RATE_LIMIT_CLIENTS_MAX = 1 << 24 }; /* 256 MiB */
struct wf_rate_limit_config {
    uint64_t limit, window_ns; /* both at least 1 */
    struct wf_span header;
    size_t clients_max; /* remembered, 16 bytes each: who owes least is forgotten for more */
};
struct wf_layer *wf_layer_rate_limit(const struct wf_rate_limit_config *config);

/* What ex->set_cookie and ex->vary_cookie say. */
struct wf_layer *wf_layer_session(void);

/* 503 with Retry-After, in seconds, while `max` requests are being handled. */
struct wf_layer *wf_layer_concurrency(uint64_t max, unsigned retry_after_s);

/* ---- the recorder: the last requests, and when each came to which stage. To be the first layer ---- */

enum wf_record_stage {
    WF_AT_FIRST_BYTE, /* as the loop saw it */
    WF_AT_HEAD,       /* parsed */
    WF_AT_WHOLE,      /* its body has come, where it came later than the head */
    WF_AT_TAKEN,      /* by the embedder, as is the next */
    WF_AT_CALLED,     /* the application's function, its arguments being there */
    WF_AT_REPLY,      /* the head of the reply is being written */
    WF_AT_END,        /* the last byte of it is queued, or the client has gone */
    WF_STAGES
};

enum {
    WF_RECORD_METHOD_MAX = 16,
    WF_RECORD_TARGET_MAX = 256, /* bytes kept of what a client sent: a ring is of fixed size */
    WF_RECORD_SLOTS_MAX = 65536
};

struct wf_record {
    uint64_t number;            /* from 1, in the order in which they ended */
    uint64_t at_ns[WF_STAGES];  /* wf_clock_mono_ns; 0 for a stage it did not come to */
    const struct wf_leaf *leaf; /* borrowed from the router; NULL: none was found */
    uint64_t reply_bytes;       /* of content */
    uint16_t status;            /* 0: the client left before there was a reply */
    uint16_t target_n;          /* of the whole target; `target` has the beginning */
    uint8_t method_n;
    char method[WF_RECORD_METHOD_MAX], target[WF_RECORD_TARGET_MAX];
};

/* Keeps the last `slots` requests, at most WF_RECORD_SLOTS_MAX, whose path does not begin with `skip`
 * (borrowed). What is refused before its head could be read has no record. */
struct wf_layer *wf_layer_recorder(struct wf_span skip, uint32_t slots);
/* The first record with a greater number that is still there, or NULL. Good until the loop turns. */
const struct wf_record *wf_recorder_after(const struct wf_layer *recorder, uint64_t number);
/* The embedder's stages; only with a recorder among the server's layers. */
void wf_record_at(struct wf_exchange *ex, enum wf_record_stage stage);

#endif
