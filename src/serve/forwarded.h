/* What a trusted proxy says of the client it forwards for: X-Forwarded-For, -Proto and -Host, or Forwarded
 * (RFC 7239).
 *
 *   client ──▶ proxy ──▶ proxy ──▶ us          X-Forwarded-For: client, proxy
 *              trusted   trusted (the peer)     read from the right, as far as those who wrote it are trusted
 *
 * Only what `fields` names is believed: a proxy passes on what it does not set, so a field that it leaves to its
 * client must not be among them.
 * thread   the loop's; no Python */
#ifndef WF_SERVE_FORWARDED_H
#define WF_SERVE_FORWARDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/net/net.h"

struct wf_exchange;

enum {
    WF_FORWARDED_FOR = 1,      /* X-Forwarded-For */
    WF_FORWARDED_PROTO = 2,    /* X-Forwarded-Proto */
    WF_FORWARDED_HOST = 4,     /* X-Forwarded-Host */
    WF_FORWARDED_STANDARD = 8, /* Forwarded: for, proto and host */
    WF_FORWARDED_HOPS_MAX = 32 /* read of one request: a longer chain is made up */
};

/* IPv4 as ::ffff:a.b.c.d, with 96 more bits. */
struct wf_network {
    uint8_t address[16];
    uint8_t bits; /* that count: 0 to 128 */
};

struct wf_forwarded_config {
    const struct wf_network *networks; /* borrowed for the server's life */
    size_t nnetworks;
    bool anyone;       /* every peer is trusted */
    bool unix_sockets; /* peers on unix sockets are */
    uint8_t fields;    /* WF_FORWARDED_* */
};

bool wf_forwarded_trusts(const struct wf_forwarded_config *config, const struct wf_addr *peer);
/* The peer is trusted: sets ex->client, ex->https and ex->host as far as the fields say so. What they say that
 * cannot be understood changes nothing. */
void wf_forwarded_read(const struct wf_forwarded_config *config, struct wf_exchange *ex);

#endif
