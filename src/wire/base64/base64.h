/* Base64 (RFC 4648): section 4's alphabet, + and /, with its padding, and section 5's, - and _, without, as JSON
 * Web Tokens have it (RFC 7515 section 2).
 *
 * Nothing outside of the alphabet is skipped, neither white space nor lines. Nothing is allocated.
 *
 * thread   any */
#ifndef WF_WIRE_BASE64_H
#define WF_WIRE_BASE64_H

#include <stddef.h>
#include <sys/types.h>

#include "base/check.h"
#include "base/span.h"

/* Characters of n bytes, padding and all. */
#define WF_BASE64_CHARS(n) (((n) + 2) / 3 * 4)
/* Bytes that base64url of n characters can hold at most. */
#define WF_BASE64URL_BYTES(n) ((n) / 4 * 3 + 2)

/* The last character can have two or four bits more than there are bytes (section 3.5). */
enum wf_base64_rest {
    WF_BASE64_CANONICAL, /* they are zero, so that a value has one text: for what is signed or compared */
    WF_BASE64_LAX        /* they are not looked at, as Python's and most others' decoders do */
};

/* out      room for WF_BASE64_CHARS(in.n)
 * returns  the characters written */
size_t wf_base64_encode(char *out, struct wf_span in);
size_t wf_base64url_encode(char *out, struct wf_span in);

/* The bytes of a base64 text with its padding, if it is one: exact. */
static inline size_t wf_base64_bytes(struct wf_span text) {
    size_t n = text.n / 4 * 3;
    if (n != 0 && text.p[text.n - 1] == '=') {
        n -= text.p[text.n - 2] == '=' ? 2 : 1;
    }
    return n;
}
/* out      room for wf_base64_bytes(in); may be in.p
 * returns  wf_base64_bytes(in), or -1 for what is no base64: what is in `out` then means nothing */
ssize_t wf_base64_decode(char *out, struct wf_span in, enum wf_base64_rest rest) WF_MUST_USE;
/* Canonical.
 * out      room for WF_BASE64URL_BYTES(in.n); may be in.p
 * returns  bytes written, or -1 as above */
ssize_t wf_base64url_decode(char *out, struct wf_span in) WF_MUST_USE;

#endif
