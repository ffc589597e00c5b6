/* Stands in until base/utf8.c is there: weak, so that the real one wins. */
#include "base/utf8.h"

#include "base/check.h"

__attribute__((weak)) bool wf_utf8_check(struct wf_span s, size_t *chars, uint32_t *max_char) {
    const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;
    size_t n = 0;
    uint32_t max = 0x7f;
    for (; p < end; n++) {
        uint32_t c = *p;
        size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
        if (len == 0 || (size_t)(end - p) < len) {
            return false;
        }
        c &= len == 1 ? 0x7f : 0xffu >> (len + 1);
        for (size_t i = 1; i < len; i++) {
            if ((p[i] & 0xc0) != 0x80) {
                return false;
            }
            c = c << 6 | (p[i] & 0x3f);
        }
        if ((len == 3 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) ||
            (len == 4 && (c < 0x10000 || c > 0x10ffff))) {
            return false;
        }
        max = WF_MAX(max, c < 0x80 ? 0x7fu : c < 0x100 ? 0xffu : c < 0x10000 ? 0xffffu : 0x10ffffu);
        p += len;
    }
    *chars = n;
    *max_char = max;
    return true;
}
