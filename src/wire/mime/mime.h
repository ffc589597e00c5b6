/* multipart/form-data bodies (RFC 7578, RFC 2046 section 5.1) and the parameters of header fields.
 *
 * The parser is pushed bytes and pulled events: no I/O, no allocation, and nothing of a part's content
 * is kept.
 *
 *     --boundary CRLF  field CRLF ... CRLF  content CRLF --boundary CRLF ... --boundary-- anything
 *     └─ delimiter ─┘  └──── PART ───────┘  └ DATA ┘└ PART_END                       END
 *
 * thread   any, one parser at a time; no Python */
#ifndef WF_WIRE_MIME_H
#define WF_WIRE_MIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/span.h"

enum {
    WF_MULTIPART_BOUNDARY_MAX =
        256,                      /* RFC 2046 allows 70; what is compared at each CR is bounded */
    WF_MULTIPART_HEAD_MAX = 8192, /* bytes of one part's fields: names and file names, no more */
    WF_MULTIPART_FIELDS_MAX = 16  /* field lines of a part: RFC 7578 knows three */
};

/* ---- header parameters ---- */

/* The media type or disposition in front of the first ';', without white space. */
struct wf_span wf_mime_value(struct wf_span field);

/* Finds a parameter as `form-data; name="a"; filename="b.txt"` has them (RFC 9110 section 5.6.6), and
 * writes its value without quotes and their escapes (only \" and \\ are escapes: old browsers sent
 * C:\dir\file). The last of equal names wins.
 * lower    the name, in lower case
 * out      room for field.n bytes
 * returns  bytes written, or -1: there is none */
ssize_t wf_mime_param(struct wf_span field, struct wf_span lower, char *out);

/* The same for `name*=charset'language'percent-encoded` (RFC 8187), decoded; -1 where there is none, or the
 * charset is neither UTF-8 nor ISO-8859-1 (which is then turned into UTF-8). out: room for 2 * field.n. */
ssize_t wf_mime_ext_param(struct wf_span field, struct wf_span lower, char *out);

/* ---- multipart ---- */

enum wf_multipart_event {
    WF_MULTIPART_MORE,     /* all of the input is used: bring more */
    WF_MULTIPART_PART,     /* a part begins; the fields below are its own until the next call */
    WF_MULTIPART_DATA,     /* *data: some of its content, never empty; good until the next call */
    WF_MULTIPART_PART_END, /* all of it has come */
    WF_MULTIPART_END,      /* the closing delimiter; what follows is not looked at */
    WF_MULTIPART_BAD       /* not multipart; `why` says so. For good */
};

struct wf_mime_field {
    struct wf_span name, value; /* as sent, white space around the value trimmed */
};

struct wf_multipart {
    uint8_t state;
    uint16_t delimiter_n, matched, head_n, nfields;
    bool has_name, has_filename;
    const char *why; /* of BAD; static */
    struct wf_span name, filename, content_type;
    struct wf_mime_field fields[WF_MULTIPART_FIELDS_MAX];
    char delimiter[4 + WF_MULTIPART_BOUNDARY_MAX]; /* CR LF "--" boundary */
    char head[WF_MULTIPART_HEAD_MAX];              /* the current part's; `fields` point into it */
    char text[3 * WF_MULTIPART_HEAD_MAX];          /* name and filename, unquoted */
};

/* false: no boundary can be like this (empty, too long, or with a control character). */
bool wf_multipart_init(struct wf_multipart *m, struct wf_span boundary);

/* The next event in `in`, from whose front is taken what was used. How a body is cut into calls changes
 * nothing but how DATA is cut. A body that ends before END is truncated: the caller's to notice. */
enum wf_multipart_event wf_multipart_next(struct wf_multipart *m, struct wf_span *in,
                                          struct wf_span *data);

#endif
