/* Writing JSON: the part that is inline because it runs for every value.
 *
 * A wf_json_out is a place to write: a wf_buf, or whatever its `grow` makes room in (py/json writes
 * straight into a bytes object). Writers leave WF_JSON_SLACK bytes free behind what they wrote, so
 * that punctuation and 16-byte stores need no check of their own.
 *
 * failure  WF_BUF_NOMEM or WF_BUF_FULL, from grow; what was written so far stays
 * thread   one at a time */
#ifndef WF_WIRE_JSON_WRITE_H
#define WF_WIRE_JSON_WRITE_H

#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/num.h"
#include "wire/json/json_scan.h"

enum { WF_JSON_SLACK = 32 };

struct wf_json_out {
    char *start; /* borrowed from the owner of the memory */
    char *p;     /* the next byte */
    char *end;   /* behind the last byte there is room for */
    /* Makes room for `extra` more bytes; moves start, p and end. */
    int (*grow)(struct wf_json_out *o, size_t extra);
};

/* Room for n bytes and the slack. */
static inline int wf_json_need(struct wf_json_out *o, size_t n) {
    size_t want = n + WF_JSON_SLACK;
    int rc = wf_likely((size_t)(o->end - o->p) >= want) ? WF_BUF_OK : o->grow(o, want);
    WF_ASSERT(rc != WF_BUF_OK || o->p != NULL);
    return rc;
}

/* A wf_json_out over a wf_buf: open, write, close. Between the two the buffer is not touched. */
struct wf_json_buf_out {
    struct wf_json_out out;
    struct wf_buf *buf; /* borrowed */
};
void wf_json_buf_open(struct wf_json_buf_out *o, struct wf_buf *b);
static inline void wf_json_buf_close(struct wf_json_buf_out *o) {
    if (o->out.start != NULL) {
        o->buf->len = (size_t)(o->out.p - o->out.start);
    }
}

/* What stands for a byte in a string: 0 itself, 'u' \u00xx, else a backslash and this. */
extern const char wf_json_escapes[256];

/* d has room for 6 bytes. */
static inline char *wf_json_put_escape(char *d, unsigned char c) {
    *d++ = '\\';
    *d++ = wf_json_escapes[c];
    if (wf_json_escapes[c] == 'u') {
        *d++ = '0';
        *d++ = '0';
        *d++ = "01"[c >> 4];
        *d++ = "0123456789abcdef"[c & 15];
    }
    return d;
}

/* Copies what needs no escape from *s to d, where there is room for end - *s + 16 bytes. Stops at a
 * byte that must be escaped or at end; moves *s there and returns the end of the copy.
 *
 * What is left of a run that is long enough is copied with some of what is before it, again: one
 * step in place of a loop over bytes. */
static inline char *wf_json_copy_plain(char *d, const char **s, const char *end) {
    const char *p = *s;
    size_t left;
#if defined(__SSE2__)
    while (end - p >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)p);
        _mm_storeu_si128((__m128i *)d, v);
        unsigned special = wf_json_special16(v);
        if (special != 0) {
            unsigned i = (unsigned)__builtin_ctz(special);
            *s = p + i;
            return d + i;
        }
        p += 16;
        d += 16;
    }
    left = (size_t)(end - p);
    if (p != *s && left != 0) {
        __m128i v = _mm_loadu_si128((const __m128i *)(end - 16));
        if (wf_json_special16(v) == 0) {
            _mm_storeu_si128((__m128i *)(d + left - 16), v);
            *s = end;
            return d + left;
        }
    }
#else
    while (end - p >= 16) {
        uint64_t x[2];
        memcpy(x, p, 16);
        if ((wf_json_special8(x[0]) | wf_json_special8(x[1])) != 0) {
            break;
        }
        memcpy(d, x, 16);
        p += 16;
        d += 16;
    }
#endif
    left = (size_t)(end - p);
    if (left >= 8 && left < 16) {
        uint64_t x, y;
        memcpy(&x, p, 8);
        memcpy(&y, end - 8, 8);
        if ((wf_json_special8(x) | wf_json_special8(y)) == 0) {
            memcpy(d, &x, 8);
            memcpy(d + left - 8, &y, 8);
            *s = end;
            return d + left;
        }
    } else if (left >= 4 && left < 8) {
        uint32_t x, y;
        memcpy(&x, p, 4);
        memcpy(&y, end - 4, 4);
        if (wf_json_special8((uint64_t)x << 32 | y) == 0) {
            memcpy(d, &x, 4);
            memcpy(d + left - 4, &y, 4);
            *s = end;
            return d + left;
        }
    }
    while (p < end && wf_json_escapes[(unsigned char)*p] == 0) {
        *d++ = *p++;
    }
    *s = p;
    return d;
}

/* "..." with escapes; s is UTF-8. */
static inline int wf_json_put_text(struct wf_json_out *o, const char *s, size_t n) {
    int rc = wf_json_need(o, n + 2);
    if (wf_unlikely(rc != WF_BUF_OK)) {
        return rc;
    }
    const char *end = s + n;
    *o->p++ = '"';
    for (;;) {
        o->p = wf_json_copy_plain(o->p, &s, end);
        if (s == end) {
            break;
        }
        /* an escape and the rest; asked for here so that text without any costs its length only */
        rc = wf_json_need(o, 6 + (size_t)(end - s) + 1);
        if (wf_unlikely(rc != WF_BUF_OK)) {
            return rc;
        }
        o->p = wf_json_put_escape(o->p, (unsigned char)*s++);
    }
    *o->p++ = '"';
    return WF_BUF_OK;
}

static inline int wf_json_put_i64(struct wf_json_out *o, int64_t v) {
    int rc = wf_json_need(o, WF_I64_DIGITS_MAX);
    if (wf_likely(rc == WF_BUF_OK)) {
        o->p += wf_i64_write(o->p, v);
    }
    return rc;
}

/* v is finite */
static inline int wf_json_put_double(struct wf_json_out *o, double v) {
    int rc = wf_json_need(o, WF_DOUBLE_CHARS_MAX);
    if (wf_likely(rc == WF_BUF_OK)) {
        o->p += wf_double_write(o->p, v);
    }
    return rc;
}

static inline int wf_json_put_bytes(struct wf_json_out *o, const char *p, size_t n) {
    int rc = wf_json_need(o, n);
    if (wf_likely(rc == WF_BUF_OK)) {
        memcpy(o->p, p, n);
        o->p += n;
    }
    return rc;
}

#endif
