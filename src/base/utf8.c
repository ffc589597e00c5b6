/* UTF-8. The number of characters is the number of bytes that continue none, and the class of the
 * largest is known from the largest lead byte; so checking is all the work there is. */
#include "base/utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define HIGH_BITS 0x8080808080808080u

static inline uint64_t load8(const void *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

size_t wf_ascii_prefix(const char *p, size_t n) {
    size_t i = 0;
#ifdef __SSE2__
    for (; i + 64 <= n; i += 64) {
        const __m128i *v = (const __m128i *)(p + i);
        __m128i a = _mm_or_si128(_mm_loadu_si128(v), _mm_loadu_si128(v + 1));
        __m128i b = _mm_or_si128(_mm_loadu_si128(v + 2), _mm_loadu_si128(v + 3));
        if (_mm_movemask_epi8(_mm_or_si128(a, b)) != 0) {
            break;
        }
    }
#endif
    for (; i + 8 <= n; i += 8) {
        if ((load8(p + i) & HIGH_BITS) != 0) {
            break;
        }
    }
    while (i < n && (unsigned char)p[i] < 0x80) {
        i++;
    }
    return i;
}

static inline bool continues(unsigned char c) {
    return (c & 0xc0) == 0x80;
}

/* The bytes of the well-formed sequence at p, which is not ASCII, or 0. The ranges of the second
 * byte keep out overlong forms, surrogates and what is past U+10FFFF (RFC 3629 section 4). */
static inline unsigned sequence(const unsigned char *p, size_t n) {
    unsigned char lead = p[0];
    if (lead < 0xe0) {
        return lead >= 0xc2 && n >= 2 && continues(p[1]) ? 2 : 0;
    }
    if (lead < 0xf0) {
        if (n < 3 || !continues(p[1]) || !continues(p[2])) {
            return 0;
        }
        return (lead == 0xe0 && p[1] < 0xa0) || (lead == 0xed && p[1] > 0x9f) ? 0 : 3;
    }
    if (lead > 0xf4 || n < 4 || !continues(p[1]) || !continues(p[2]) || !continues(p[3])) {
        return 0;
    }
    return (lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] > 0x8f) ? 0 : 4;
}

bool wf_utf8_check(struct wf_span s, size_t *chars, uint32_t *max_char) {
    const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;
    size_t continuations = 0;
    unsigned char max_lead = 0;
    while (p < end) {
        if (*p < 0x80) {
            p += wf_ascii_prefix((const char *)p, (size_t)(end - p));
            continue;
        }
        unsigned n = sequence(p, (size_t)(end - p));
        if (n == 0) {
            return false;
        }
        max_lead = *p > max_lead ? *p : max_lead;
        continuations += n - 1;
        p += n;
    }
    *chars = s.n - continuations;
    /* U+00FF is c3 bf, U+FFFF is ef bf bf */
    *max_char = max_lead == 0      ? 0x7f
                : max_lead <= 0xc3 ? 0xff
                : max_lead <= 0xef ? 0xffff
                                   : 0x10ffff;
    return true;
}
