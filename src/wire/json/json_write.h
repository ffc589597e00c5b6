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

enum {
    WF_JSON_SLACK = 32,
    WF_JSON_BLOCK = 512 /* characters of text that room is made for at a time, if six bytes each */
};

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

enum { WF_JSON_LONG = 128 /* bytes from which a call for the widest registers is worth it */ };

/* What wf_json_copy_if_plain does with long runs (copy.c), and with others whose length has to be asked. */
WF_NOINLINE bool wf_json_copy_if_plain_long(char *d, const char *s, size_t n);

static inline bool wf_json_copy_if_plain_by_length(char *d, const char *s, size_t n) {
    if (n >= 16) {
#if defined(__SSE2__)
        __m128i last = _mm_loadu_si128((const __m128i *)(s + n - 16));
        _mm_storeu_si128((__m128i *)(d + n - 16), last);
        __m128i special = wf_json_specials16(last);
        for (size_t i = 0; i + 16 < n; i += 16) {
            __m128i v = _mm_loadu_si128((const __m128i *)(s + i));
            _mm_storeu_si128((__m128i *)(d + i), v);
            special = _mm_or_si128(special, wf_json_specials16(v));
        }
        return _mm_movemask_epi8(special) == 0;
#else
        uint64_t x, special;
        memcpy(&x, s + n - 8, 8);
        memcpy(d + n - 8, &x, 8);
        special = wf_json_special8(x);
        for (size_t i = 0; i + 8 < n; i += 8) {
            memcpy(&x, s + i, 8);
            memcpy(d + i, &x, 8);
            special |= wf_json_special8(x);
        }
        return special == 0;
#endif
    }
    if (n > 8) {
        uint64_t x, y;
        memcpy(&x, s, 8);
        memcpy(&y, s + n - 8, 8);
        memcpy(d, &x, 8);
        memcpy(d + n - 8, &y, 8);
        return (wf_json_special8(x) | wf_json_special8(y)) == 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (wf_json_escapes[(unsigned char)s[i]] != 0) {
            return false;
        }
        d[i] = s[i];
    }
    return true;
}

#if defined(__SSE2__) && !defined(WF_ADDRESS_SANITIZER)
/* 32 bytes that do not reach into the next page can be read if the first of them can. (Not for AddressSanitizer,
 * which knows what belongs to whom.) */
static inline bool wf_json_readable32(const char *s) {
    return ((uintptr_t)s & 4095) <= 4096 - 32;
}

/* 1 to 32 bytes, read with what is behind them, so that there is no length to guess at: guesses at the lengths of
 * names and the like are as good as none. */
static inline bool wf_json_copy_if_plain32(char *d, const char *s, size_t n) {
    __m128i low = _mm_loadu_si128((const __m128i *)s);
    __m128i high = _mm_loadu_si128((const __m128i *)(s + 16));
    _mm_storeu_si128((__m128i *)d, low);
    _mm_storeu_si128((__m128i *)(d + 16), high);
    uint32_t special = wf_json_special16(low) | (uint32_t)wf_json_special16(high) << 16;
    return special << (32 - n) == 0;
}

/* 1 to 16 bytes likewise. */
static inline bool wf_json_copy_if_plain16(char *d, const char *s, size_t n) {
    __m128i v = _mm_loadu_si128((const __m128i *)s);
    _mm_storeu_si128((__m128i *)d, v);
    return (wf_json_special16(v) << (16 - n) & 0xffff) == 0;
}
#else
static inline bool wf_json_readable32(const char *s) {
    (void)s;
    return false;
}

static inline bool wf_json_copy_if_plain32(char *d, const char *s, size_t n) {
    return wf_json_copy_if_plain_by_length(d, s, n);
}

static inline bool wf_json_copy_if_plain16(char *d, const char *s, size_t n) {
    return wf_json_copy_if_plain_by_length(d, s, n);
}
#endif

/* Copies [s, s + n) to d, where there is room for n + WF_JSON_SLACK bytes. False where a byte of it must be
 * escaped; what is at d then is rubbish. */
static inline bool wf_json_copy_if_plain(char *d, const char *s, size_t n) {
    if (n - 1 < 32 && wf_likely(wf_json_readable32(s))) {
        return wf_json_copy_if_plain32(d, s, n);
    }
    return n >= WF_JSON_LONG ? wf_json_copy_if_plain_long(d, s, n)
                             : wf_json_copy_if_plain_by_length(d, s, n);
}

/* The same for what is seldom longer than 16 bytes. */
static inline bool wf_json_copy_key_if_plain(char *d, const char *s, size_t n) {
    return n - 1 < 16 && wf_likely(wf_json_readable32(s)) ? wf_json_copy_if_plain16(d, s, n)
                                                          : wf_json_copy_if_plain(d, s, n);
}

/* Copies [s, s + n) to d and escapes what must be; d has room for 6 * n + 16 bytes. */
char *wf_json_copy_escaped(char *d, const char *s, size_t n);

/* The same for the inside of a str, whose characters have `width` bytes: as UTF-8. d has room for
 * 6 * n + 64 bytes. Stops at a lone surrogate.
 * done    out: how many characters were written */
char *wf_json_copy_wide(char *d, const void *s, size_t n, unsigned width, size_t *done);
/* It without the processor's widest registers, for others and for tests. */
char *wf_json_copy_wide_plain(char *d, const void *s, size_t n, unsigned width, size_t *done);

/* "..." with escapes; s is UTF-8. */
static inline int wf_json_put_text(struct wf_json_out *o, const char *s, size_t n) {
    int rc = wf_json_need(o, n + 2);
    if (wf_unlikely(rc != WF_BUF_OK)) {
        return rc;
    }
    *o->p++ = '"';
    if (wf_likely(wf_json_copy_if_plain(o->p, s, n))) {
        o->p += n;
    } else {
        while (n != 0) { /* by blocks: the room an escape may take is asked for only where it is */
            size_t block = WF_MIN(n, (size_t)WF_JSON_BLOCK);
            rc = wf_json_need(o, block * 6 + (n - block) + 2);
            if (wf_unlikely(rc != WF_BUF_OK)) {
                return rc;
            }
            o->p = wf_json_copy_escaped(o->p, s, block);
            s += block;
            n -= block;
        }
    }
    *o->p++ = '"';
    return WF_BUF_OK;
}

/* Lays out JSON as json.dumps(indent=spaces) does, whatever white space it has. `in` is JSON, and known to be. */
int wf_json_indent(struct wf_span in, unsigned spaces, struct wf_json_out *o);

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
