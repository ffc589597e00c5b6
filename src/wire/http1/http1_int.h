/* What the files of wire/http1 share: byte classes, scanners, the field name lookup. */
#ifndef WF_WIRE_HTTP1_INT_H
#define WF_WIRE_HTTP1_INT_H

#include "wire/http1/http1.h"

/* ---- byte classes ---- */

enum {
    WF_CH_TOKEN = 1,   /* tchar (RFC 9110 section 5.6.2) */
    WF_CH_PATH = 2,    /* pchar without '%', and '/' (RFC 3986 section 3.3), and what browsers leave
                          unescaped there: [ ] | of the WHATWG's URL, ^ until 2024 */
    WF_CH_QUERY = 4,   /* what else a query may have: '?', '%', and what browsers leave unescaped
                          there: { } \ ` */
    WF_CH_VALUE = 8,   /* VCHAR, SP, HTAB, obs-text (RFC 9110 section 5.5) */
    WF_CH_REGNAME = 16 /* reg-name without '%' (RFC 3986 section 3.2.2) */
};
extern const uint8_t wf_http1_chars[256];

static inline bool is_char(char c, unsigned classes) {
    return (wf_http1_chars[(unsigned char)c] & classes) != 0;
}

/* The value of a hex digit, or -1. */
static inline int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---- scanners ---- */

/* The three runs a head is made of. A block tells of 64 bytes where each kind of run would stop. */
enum wf_run { WF_RUN_TOKEN, WF_RUN_PATH, WF_RUN_VALUE, WF_RUN_COUNT };

struct wf_block {
    uint64_t stop[WF_RUN_COUNT]; /* bit i: byte i is not of this run's class */
    uint64_t unused;             /* 32 bytes, to find the i-th by a shift */
};

/* Classifies [p, p + n) into (n + 63) / 64 blocks; n > 0. Reads nothing outside. Bits past the last
 * byte are set, so that every run stops there at the latest. */
typedef void wf_scan_fn(const char *p, size_t n, struct wf_block *out);

/* A scanner this machine has, or NULL. Names as in http1.h. */
wf_scan_fn *wf_http1_scan_plain(void);
wf_scan_fn *wf_http1_scan_sse42(void);
wf_scan_fn *wf_http1_scan_avx2(void);
wf_scan_fn *wf_http1_scan_neon(void);

/* The one in use. */
wf_scan_fn *wf_http1_scan(void);

/* ---- field names ---- */

enum { WF_FIELD_NAME_ROOM = 24 };

struct wf_field_entry {
    char name[WF_FIELD_NAME_ROOM]; /* zero padded: compared eight bytes at a time */
    uint32_t n;
};
extern const struct wf_field_entry wf_http1_fields[WF_FIELD_COUNT];
extern const uint8_t wf_http1_field_slots[];

/* Equal but for the case of letters? `lower` has letters (bit 0x40) and hyphens (no bit 0x40) only,
 * so that bit 0x20 is forgiven exactly where a letter stands. */
static inline bool fold_eq8(const char *p, const char *lower) {
    uint64_t a, b;
    memcpy(&a, p, 8);
    memcpy(&b, lower, 8);
    return (a | (b & 0x4040404040404040u) >> 1) == b;
}

static inline bool fold_eq4(const char *p, const char *lower) {
    uint32_t a, b;
    memcpy(&a, p, 4);
    memcpy(&b, lower, 4);
    return (a | (b & 0x40404040u) >> 1) == b;
}

/* Both n bytes long. Overlapping loads: no byte outside is read. */
static inline bool fold_eq(const char *p, const char *lower, size_t n) {
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8) {
            if (!fold_eq8(p + i, lower + i)) {
                return false;
            }
        }
        return fold_eq8(p + n - 8, lower + n - 8);
    }
    if (n >= 4) {
        return fold_eq4(p, lower) && fold_eq4(p + n - 4, lower + n - 4);
    }
    for (size_t i = 0; i < n; i++) {
        if ((p[i] | (lower[i] & 0x40) >> 1) != lower[i]) {
            return false;
        }
    }
    return true;
}

#include "wire/http1/fields_table.h"

/* n > 0. One multiplication, one comparison. */
static inline enum wf_field_id field_id(const char *p, size_t n) {
    uint32_t first = (unsigned char)p[0] | 0x20u;
    uint32_t last = (unsigned char)p[n - 1] | 0x20u;
    uint32_t key = (uint32_t)n | first << 8 | last << 16;
    unsigned id = wf_http1_field_slots[key * WF_FIELD_MULTIPLIER >> (32 - WF_FIELD_SLOT_BITS)];
    const struct wf_field_entry *e = &wf_http1_fields[id];
    return e->n == n && fold_eq(p, e->name, n) ? (enum wf_field_id)id : WF_FIELD_UNKNOWN;
}

#endif
