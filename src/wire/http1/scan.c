/* The plain scanner, and the choice among those this machine has.
 *
 * A scanner turns 64 bytes into three bit masks (see http1_int.h), and the parser then jumps from
 * set bit to set bit: there is one parser, and what is fast about it are these few lines per
 * machine. */
#include <stdatomic.h>

#include "wire/http1/http1_int.h"

static void scan_plain(const char *p, size_t n, struct wf_block *out) {
    for (size_t at = 0; at < n; at += 64, out++) {
        size_t bytes = WF_MIN(n - at, 64u);
        uint64_t token = 0, path = 0, value = 0; /* bytes that belong */
        for (size_t i = 0; i < bytes; i++) {
            uint64_t c = wf_http1_chars[(unsigned char)p[at + i]];
            token |= (c & WF_CH_TOKEN) << i;
            path |= (c & WF_CH_PATH) / WF_CH_PATH << i;
            value |= (c & WF_CH_VALUE) / WF_CH_VALUE << i;
        }
        *out = (struct wf_block){{~token, ~path, ~value}};
    }
}

wf_scan_fn *wf_http1_scan_plain(void) {
    return scan_plain;
}

static const struct {
    const char *name;
    wf_scan_fn *(*get)(void);
} scanners[] = {
    /* best first */
    {"avx2", wf_http1_scan_avx2},
    {"sse4.2", wf_http1_scan_sse42},
    {"neon", wf_http1_scan_neon},
    {"plain", wf_http1_scan_plain},
};

/* Set once at start, and the same for all threads: it says something about the machine, not about
 * anyone's state. */
static _Atomic(wf_scan_fn *) in_use = scan_plain;

wf_scan_fn *wf_http1_scan(void) {
    return atomic_load_explicit(&in_use, memory_order_relaxed);
}

void wf_http1_init(void) {
    for (size_t i = 0; i < WF_ARRAY_LEN(scanners); i++) {
        if (wf_http1_use_scanner(scanners[i].name)) {
            return;
        }
    }
}

const char *wf_http1_scanner(void) {
    for (size_t i = 0; i < WF_ARRAY_LEN(scanners); i++) {
        if (scanners[i].get() == wf_http1_scan()) {
            return scanners[i].name;
        }
    }
    return "plain";
}

bool wf_http1_use_scanner(const char *name) {
    for (size_t i = 0; i < WF_ARRAY_LEN(scanners); i++) {
        wf_scan_fn *scan = scanners[i].get();
        if (scan != NULL && strcmp(scanners[i].name, name) == 0) {
            atomic_store_explicit(&in_use, scan, memory_order_relaxed);
            return true;
        }
    }
    return false;
}
