/* Reading BSON: a cursor over the elements of one document. All of it is inline, since it runs for
 * every element.
 *
 *   wf_bson_open     checks the frame: length and terminator
 *   wf_bson_next     the next element, its value inside the document; type 0 at the end
 *   wf_bson_next_name, wf_bson_next_value   the same in two steps, for who reads common values itself
 *
 * A nested document is given as a span whose frame is not yet checked: open it. Text is not checked
 * for UTF-8: who makes something of it does that.
 *
 * thread   any; spans point into the input */
#ifndef WF_WIRE_BSON_READ_H
#define WF_WIRE_BSON_READ_H

#include <string.h>

#include "base/check.h"
#include "wire/bson/bson.h"

static inline uint32_t wf_bson_load32(const char *p) {
    uint32_t v;
    memcpy(&v, p, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

static inline uint64_t wf_bson_load64(const char *p) {
    uint64_t v;
    memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

struct wf_bson_cursor {
    const char *p;   /* the next element; after an error the offending byte */
    const char *end; /* the document's terminator */
};

struct wf_bson_element {
    uint8_t type;    /* enum wf_bson_type, or 0: there is none */
    uint8_t subtype; /* of a binary */
    bool name_wide;  /* the name is not ASCII */
    struct wf_span name;
    const char *value;   /* its first byte */
    struct wf_span text; /* string, symbol, code, pattern, binary's bytes, DBPointer's namespace;
                          * a document or array whole */
    struct wf_span more; /* options of a regex, scope of code, id of a DBPointer */
    union {
        int64_t i; /* int32, int64, datetime, bool */
        double d;
        struct {
            uint32_t seconds, increment;
        } timestamp;
        struct wf_decimal128 decimal;
    };
};

/* The document at in.p, which may be shorter than `in`.
 * bytes  out: its length
 * An error's place is in c->p. */
static inline enum wf_bson_error wf_bson_open(struct wf_bson_cursor *c, struct wf_span in,
                                              size_t *bytes) {
    c->p = in.p;
    if (wf_unlikely(in.n < WF_BSON_BYTES_MIN)) {
        return WF_BSON_ERROR_SHORT;
    }
    uint32_t n = wf_bson_load32(in.p);
    if (wf_unlikely(n < WF_BSON_BYTES_MIN || n > WF_BSON_BYTES_MAX)) {
        return WF_BSON_ERROR_LENGTH;
    }
    if (wf_unlikely(n > in.n)) {
        return WF_BSON_ERROR_SHORT;
    }
    c->end = in.p + n - 1;
    if (wf_unlikely(*c->end != 0)) {
        c->p = c->end;
        return WF_BSON_ERROR_TERMINATOR;
    }
    c->p += 4;
    *bytes = n;
    return WF_BSON_OK;
}

/* The first zero byte of [p, end), or NULL. Names are short: a call would be most of the cost.
 * wide  out: not 0 where what is before it is not ASCII */
static inline const char *wf_bson_find_nul(const char *p, const char *end, uint64_t *wide) {
    *wide = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (end - p >= 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        uint64_t zero = (x - 0x0101010101010101u) & ~x & 0x8080808080808080u;
        if (zero != 0) { /* the lowest is exact; of x what is below it counts */
            *wide |= x & (zero ^ (zero - 1)) & 0x8080808080808080u;
            return p + (__builtin_ctzll(zero) >> 3);
        }
        *wide |= x & 0x8080808080808080u;
        p += 8;
    }
#endif
    for (; p < end; p++) {
        if (*p == 0) {
            return p;
        }
        *wide |= (unsigned char)*p & 0x80u;
    }
    return NULL;
}

/* string: p is at the length; moves p behind the NUL, or to the offending byte. */
static inline enum wf_bson_error wf_bson_read_string(const char **p, const char *end,
                                                     struct wf_span *out) {
    if (wf_unlikely(end - *p < 5)) {
        return WF_BSON_ERROR_VALUE;
    }
    uint32_t n = wf_bson_load32(*p);
    if (wf_unlikely(n == 0 || n > (size_t)(end - *p) - 4)) {
        return WF_BSON_ERROR_STRING;
    }
    const char *text = *p + 4;
    if (wf_unlikely(text[n - 1] != 0)) {
        *p = text + n - 1;
        return WF_BSON_ERROR_STRING_END;
    }
    *out = wf_span(text, n - 1);
    *p = text + n;
    return WF_BSON_OK;
}

/* Type and name of the next element; c->p moves to its value. At the end e->type is 0. */
static inline enum wf_bson_error wf_bson_next_name(struct wf_bson_cursor *c,
                                                   struct wf_bson_element *e) {
    const char *p = c->p;
    if (p == c->end) {
        e->type = 0;
        return WF_BSON_OK;
    }
    e->type = (uint8_t)*p++;
    if (wf_unlikely(e->type == 0)) {
        return WF_BSON_ERROR_TYPE; /* a document's end is not inside it */
    }
    uint64_t wide;
    const char *nul = wf_bson_find_nul(p, c->end, &wide);
    if (wf_unlikely(nul == NULL)) {
        return WF_BSON_ERROR_NAME;
    }
    e->name = wf_span(p, (size_t)(nul - p));
    e->name_wide = wide != 0;
    c->p = nul + 1;
    return WF_BSON_OK;
}

/* The value of which wf_bson_next_name has read the name; c->p moves behind it. */
static inline enum wf_bson_error wf_bson_next_value(struct wf_bson_cursor *c,
                                                    struct wf_bson_element *e) {
    const char *p = c->p, *end = c->end, *nul;
    e->value = p;
    size_t left = (size_t)(end - p), n;
    uint64_t wide;
    enum wf_bson_error error;
    switch (e->type) {
    case WF_BSON_DOUBLE: {
        if (wf_unlikely(left < 8)) {
            goto too_long;
        }
        uint64_t bits = wf_bson_load64(p);
        memcpy(&e->d, &bits, 8);
        p += 8;
        break;
    }
    case WF_BSON_INT32:
        if (wf_unlikely(left < 4)) {
            goto too_long;
        }
        e->i = (int32_t)wf_bson_load32(p);
        p += 4;
        break;
    case WF_BSON_INT64:
    case WF_BSON_DATETIME:
        if (wf_unlikely(left < 8)) {
            goto too_long;
        }
        e->i = (int64_t)wf_bson_load64(p);
        p += 8;
        break;
    case WF_BSON_STRING:
    case WF_BSON_CODE:
    case WF_BSON_SYMBOL:
        error = wf_bson_read_string(&p, end, &e->text);
        if (wf_unlikely(error != WF_BSON_OK)) {
            c->p = p;
            return error;
        }
        break;
    case WF_BSON_DOCUMENT:
    case WF_BSON_ARRAY:
        if (wf_unlikely(left < WF_BSON_BYTES_MIN)) {
            goto too_long;
        }
        n = wf_bson_load32(p);
        if (wf_unlikely(n < WF_BSON_BYTES_MIN || n > left)) {
            c->p = p;
            return WF_BSON_ERROR_LENGTH;
        }
        e->text = wf_span(p, n);
        p += n;
        break;
    case WF_BSON_BINARY:
        if (wf_unlikely(left < 5)) {
            goto too_long;
        }
        n = wf_bson_load32(p);
        if (wf_unlikely(n > left - 5)) {
            c->p = p;
            return WF_BSON_ERROR_BINARY;
        }
        e->subtype = (uint8_t)p[4];
        e->text = wf_span(p + 5, n);
        if (wf_unlikely(e->subtype == 2)) { /* the old one has a length of its own inside */
            if (n < 4 || wf_bson_load32(p + 5) != n - 4) {
                c->p = p + 5;
                return WF_BSON_ERROR_BINARY;
            }
            e->text = wf_span(p + 9, n - 4);
        }
        p += 5 + n;
        break;
    case WF_BSON_OBJECTID:
        if (wf_unlikely(left < 12)) {
            goto too_long;
        }
        e->text = wf_span(p, 12);
        p += 12;
        break;
    case WF_BSON_BOOL:
        if (wf_unlikely(left < 1)) {
            goto too_long;
        }
        if (wf_unlikely((uint8_t)*p > 1)) {
            c->p = p;
            return WF_BSON_ERROR_BOOL;
        }
        e->i = (uint8_t)*p++;
        break;
    case WF_BSON_NULL:
    case WF_BSON_UNDEFINED:
    case WF_BSON_MINKEY:
    case WF_BSON_MAXKEY:
        break;
    case WF_BSON_REGEX:
        for (int i = 0; i < 2; i++) {
            nul = wf_bson_find_nul(p, end, &wide);
            if (wf_unlikely(nul == NULL)) {
                goto too_long;
            }
            *(i == 0 ? &e->text : &e->more) = wf_span(p, (size_t)(nul - p));
            p = nul + 1;
        }
        break;
    case WF_BSON_DBPOINTER:
        error = wf_bson_read_string(&p, end, &e->text);
        if (wf_unlikely(error != WF_BSON_OK)) {
            c->p = p;
            return error;
        }
        if (wf_unlikely(end - p < 12)) {
            goto too_long;
        }
        e->more = wf_span(p, 12);
        p += 12;
        break;
    case WF_BSON_CODE_SCOPE: {
        if (wf_unlikely(left < 4 + 5 + WF_BSON_BYTES_MIN)) {
            goto too_long;
        }
        n = wf_bson_load32(p);
        if (wf_unlikely(n < 4 + 5 + WF_BSON_BYTES_MIN || n > left)) {
            c->p = p;
            return WF_BSON_ERROR_CODE;
        }
        const char *code_end = p + n;
        p += 4;
        error = wf_bson_read_string(&p, code_end, &e->text);
        if (wf_unlikely(error != WF_BSON_OK)) {
            c->p = p;
            return error;
        }
        e->more = wf_span(p, (size_t)(code_end - p));
        if (wf_unlikely(e->more.n < WF_BSON_BYTES_MIN || wf_bson_load32(p) != e->more.n)) {
            c->p = p;
            return WF_BSON_ERROR_CODE;
        }
        p = code_end;
        break;
    }
    case WF_BSON_TIMESTAMP:
        if (wf_unlikely(left < 8)) {
            goto too_long;
        }
        e->timestamp.increment = wf_bson_load32(p);
        e->timestamp.seconds = wf_bson_load32(p + 4);
        p += 8;
        break;
    case WF_BSON_DECIMAL128:
        if (wf_unlikely(left < 16)) {
            goto too_long;
        }
        e->decimal = (struct wf_decimal128){wf_bson_load64(p), wf_bson_load64(p + 8)};
        p += 16;
        break;
    default:
        c->p = e->name.p - 1;
        return WF_BSON_ERROR_TYPE;
    }
    c->p = p;
    return WF_BSON_OK;
too_long:
    c->p = p;
    return WF_BSON_ERROR_VALUE;
}

/* The next element; c->p moves behind it. At the end e->type is 0. */
static inline enum wf_bson_error wf_bson_next(struct wf_bson_cursor *c, struct wf_bson_element *e) {
    enum wf_bson_error error = wf_bson_next_name(c, e);
    return wf_unlikely(error != WF_BSON_OK || e->type == 0) ? error : wf_bson_next_value(c, e);
}

#endif
