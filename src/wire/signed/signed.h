/* Text that is signed together with the time, as itsdangerous' TimestampSigner does by default:
 *
 *   text "." base64url(seconds since the epoch) "." base64url(HMAC-SHA1 of what is in front of the dot)
 *
 * The key of the HMAC is SHA-1 of "itsdangerous.Signer" "signer" and the secret. (What is known of SHA-1's
 * collisions does not touch HMAC: RFC 6151 and RFC 6194, section 3.3.)
 *
 * thread   any; a signer is used by one at a time
 * errors   libcrypto's error queue is left as it was found */
#ifndef WF_WIRE_SIGNED_H
#define WF_WIRE_SIGNED_H

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/span.h"

enum {
    WF_SIGNED_CHARS_MAX = 64 * 1024, /* that are verified: a field is not longer by default */
    WF_SIGNED_EXTRA_CHARS = 1 + 11 + 1 + 27 /* at most, that signing adds */
};

struct wf_signer; /* opaque */

/* NULL with *why, a sentence. secret  copied in what is derived of it */
struct wf_signer *wf_signer_new(struct wf_span secret, const char **why);
void wf_signer_free(struct wf_signer *s); /* NULL is fine */

/* Was this signed with the key, not in the future and at most max_age_s ago? A negative max_age_s: whenever.
 * *text    points into `in`
 * returns  1 it was, 0 it was not, -1 out of memory */
int wf_signer_verify(struct wf_signer *s, struct wf_span in, int64_t now_s, int64_t max_age_s,
                     struct wf_span *text) WF_MUST_USE;
/* Appends `text`, signed. 0, or -1: out of memory, or `out` is full */
int wf_signer_sign(struct wf_signer *s, struct wf_span text, int64_t now_s,
                   struct wf_buf *out) WF_MUST_USE;

#endif
