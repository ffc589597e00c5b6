/* Request targets, percent-encoding and query strings (RFC 3986, and application/x-www-form-urlencoded
 * as Python's urllib.parse reads it).
 * thread   any; no allocation; no Python */
#ifndef WF_WIRE_URL_H
#define WF_WIRE_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/span.h"

/* Decodes %XX strictly, for paths. out has room for in.n bytes and may be in.p itself.
 * Returns the bytes written, or -1: a '%' without two hex digits, or a decoded NUL, or bytes that
 * are not UTF-8 (RFC 3629). */
ssize_t wf_path_decode(char *out, struct wf_span in);

/* Decodes as urllib.parse.unquote_plus does, for query strings and forms: '+' is a space, a '%' that
 * is not followed by two hex digits stands for itself. Any bytes may result; whoever makes text of
 * them replaces what is not UTF-8 with U+FFFD, as urllib does. out has room for in.n bytes and may
 * be in.p. Returns the bytes written. */
size_t wf_form_decode(char *out, struct wf_span in);
/* Has `s` a '%' or '+'? If not it stands for itself and no decoding is needed. */
bool wf_form_escaped(struct wf_span s);

/* Walks name=value pairs separated by '&' (urllib.parse.parse_qsl with keep_blank_values=True: empty
 * pairs are skipped, a pair without '=' has an empty value). */
struct wf_query {
    const char *p, *end; /* borrowed */
};
static inline void wf_query_init(struct wf_query *q, struct wf_span s) {
    q->p = s.p;
    q->end = s.p + s.n;
}
/* name and value are still encoded. false at the end. */
bool wf_query_next(struct wf_query *q, struct wf_span *name, struct wf_span *value);

/* Cookies as Starlette's cookie_parser reads them (pairs by ';', white space trimmed, a pair without
 * '=' is a value with an empty name). Quoted values are left quoted: see wf_cookie_unquote. */
bool wf_cookie_next(struct wf_query *q, struct wf_span *name, struct wf_span *value);
/* http.cookies._unquote: strips the quotes and undoes \ooo and \x escapes. out has room for in.n. */
size_t wf_cookie_unquote(char *out, struct wf_span in);

#endif
