#include "base/ucs.h"

#include "base/check.h"

WF_ALWAYS_INLINE void put(void *out, size_t i, uint32_t c, unsigned width) {
    switch (width) {
    case 1:
        ((uint8_t *)out)[i] = (uint8_t)c;
        break;
    case 2:
        ((uint16_t *)out)[i] = (uint16_t)c;
        break;
    default:
        ((uint32_t *)out)[i] = c;
        break;
    }
}

WF_ALWAYS_INLINE uint32_t get(const void *in, size_t i, unsigned width) {
    return width == 1   ? ((const uint8_t *)in)[i]
           : width == 2 ? ((const uint16_t *)in)[i]
                        : ((const uint32_t *)in)[i];
}

/* Eight bytes of ASCII at p to out[i...]; false where they are not. */
WF_ALWAYS_INLINE bool ascii8(void *out, size_t i, const uint8_t *p, unsigned width) {
    uint64_t x;
    memcpy(&x, p, 8);
    if ((x & 0x8080808080808080u) != 0) {
        return false;
    }
    for (size_t k = 0; k < 8; k++) { /* the compiler makes vectors of it */
        put(out, i + k, p[k], width);
    }
    return true;
}

/* Runs of one length are common: each loop goes on for as long as its own does. */
WF_ALWAYS_INLINE void from_utf8(void *out, unsigned width, struct wf_span s) {
    const uint8_t *p = (const uint8_t *)s.p, *end = p + s.n;
    size_t i = 0;
    while (p < end) {
        while (p < end && *p < 0x80) {
            if (end - p >= 8 && ascii8(out, i, p, width)) {
                p += 8;
                i += 8;
            } else {
                put(out, i++, *p++, width);
            }
        }
        while (p < end && (*p & 0xe0) == 0xc0) {
            put(out, i++, (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu), width);
            p += 2;
        }
        while (p < end && (*p & 0xf0) == 0xe0) {
            put(out, i++, (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu), width);
            p += 3;
        }
        while (p < end && *p >= 0xf0) {
            put(out, i++,
                (p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu),
                width);
            p += 4;
        }
    }
}

void wf_ucs_from_utf8(void *out, unsigned width, struct wf_span s) {
    switch (width) {
    case 1:
        from_utf8(out, 1, s);
        break;
    case 2:
        from_utf8(out, 2, s);
        break;
    default:
        from_utf8(out, 4, s);
        break;
    }
}

WF_ALWAYS_INLINE size_t to_utf8(char *out, const void *in, size_t n, unsigned width) {
    uint8_t *d = (uint8_t *)out;
    size_t i = 0;
    while (i < n) {
        uint32_t c = get(in, i, width);
        while (c < 0x80) {
            *d++ = (uint8_t)c;
            if (++i == n) {
                return (size_t)(d - (uint8_t *)out);
            }
            c = get(in, i, width);
        }
        while (c >= 0x80 && c < 0x800) {
            *d++ = (uint8_t)(0xc0 | c >> 6);
            *d++ = (uint8_t)(0x80 | (c & 0x3f));
            if (++i == n) {
                return (size_t)(d - (uint8_t *)out);
            }
            c = get(in, i, width);
        }
        while (width > 1 && c >= 0x800 && c < 0x10000) {
            if (wf_unlikely((c & 0xf800) == 0xd800)) {
                return SIZE_MAX;
            }
            *d++ = (uint8_t)(0xe0 | c >> 12);
            *d++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
            *d++ = (uint8_t)(0x80 | (c & 0x3f));
            if (++i == n) {
                return (size_t)(d - (uint8_t *)out);
            }
            c = get(in, i, width);
        }
        if (width == 4 && c >= 0x10000) {
            *d++ = (uint8_t)(0xf0 | c >> 18);
            *d++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
            *d++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
            *d++ = (uint8_t)(0x80 | (c & 0x3f));
            i++;
        }
    }
    return (size_t)(d - (uint8_t *)out);
}

size_t wf_ucs_to_utf8(char *out, const void *in, size_t n, unsigned width) {
    switch (width) {
    case 1:
        return to_utf8(out, in, n, 1);
    case 2:
        return to_utf8(out, in, n, 2);
    default:
        return to_utf8(out, in, n, 4);
    }
}
