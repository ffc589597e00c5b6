/* Chunked bodies (RFC 9112 section 7.1).
 *
 *   chunked-body = *chunk last-chunk trailer-section CRLF
 *   chunk        = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
 *
 *   SIZE_FIRST -> SIZE -> [EXT ->] SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE_FIRST
 *                                     | (size 0)
 *                                     v
 *            TRAILER_START -> TRAILER_NAME -> TRAILER_VALUE -> TRAILER_LF -> TRAILER_START
 *                  | (CR)
 *                  v
 *               END_LF -> DONE
 */
#include "wire/http1/http1_int.h"

enum state {
    SIZE_FIRST, /* at least one digit is due; zero, for a new decoder */
    SIZE,
    EXT,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    DONE,
    BAD,
    TRAILER_TOO_LARGE,
};

enum {
    SIZE_DIGITS_MAX = 16
}; /* leading zeros count: they are an old way to look different twice */

/* One byte of anything but chunk data. */
static enum state step(struct wf_chunked *c, char byte) {
    int digit;
    switch ((enum state)c->state) {
    case SIZE_FIRST:
        if ((digit = hex_digit(byte)) < 0) {
            return BAD;
        }
        c->digits = 1;
        c->chunk_left = (uint64_t)digit;
        return SIZE;
    case SIZE:
        if ((digit = hex_digit(byte)) >= 0) {
            if (c->digits == SIZE_DIGITS_MAX || c->chunk_left > (uint64_t)INT64_MAX >> 4) {
                return BAD;
            }
            c->digits++;
            c->chunk_left = c->chunk_left << 4 | (uint64_t)digit;
            return SIZE;
        }
        /* no white space here, though RFC 9112 lets it be read over before an extension */
        return byte == '\r' ? SIZE_LF : byte == ';' ? EXT : BAD;
    case EXT:
        if (byte == '\r') {
            return SIZE_LF;
        }
        return is_char(byte, WF_CH_VALUE) && ++c->ext_bytes <= WF_CHUNK_EXT_MAX ? EXT : BAD;
    case SIZE_LF:
        return byte != '\n' ? BAD : c->chunk_left > 0 ? DATA : TRAILER_START;
    case DATA_CR:
        return byte == '\r' ? DATA_LF : BAD;
    case DATA_LF:
        return byte == '\n' ? SIZE_FIRST : BAD;
    case TRAILER_START:
        if (byte == '\r') {
            return END_LF;
        }
        return is_char(byte, WF_CH_TOKEN) ? TRAILER_NAME : BAD;
    case TRAILER_NAME:
        return byte == ':' ? TRAILER_VALUE : is_char(byte, WF_CH_TOKEN) ? TRAILER_NAME : BAD;
    case TRAILER_VALUE:
        return byte == '\r' ? TRAILER_LF : is_char(byte, WF_CH_VALUE) ? TRAILER_VALUE : BAD;
    case TRAILER_LF:
        return byte == '\n' ? TRAILER_START : BAD;
    case END_LF:
        return byte == '\n' ? DONE : BAD;
    default:
        return BAD;
    }
}

enum wf_chunked_result wf_chunked_decode(struct wf_chunked *c, char *p, size_t *n, size_t *used) {
    size_t in = 0, out = 0;
    while (in < *n && c->state < DONE) {
        if (c->state == DATA) {
            size_t bytes = c->chunk_left < *n - in ? (size_t)c->chunk_left : *n - in;
            if (in != out) {
                memmove(p + out, p + in, bytes);
            }
            in += bytes;
            out += bytes;
            c->chunk_left -= bytes;
            c->state = c->chunk_left > 0 ? DATA : DATA_CR;
            continue;
        }
        if (c->state >= TRAILER_START && c->state <= TRAILER_LF &&
            ++c->trailer_bytes > WF_TRAILER_BYTES_MAX) {
            c->state = TRAILER_TOO_LARGE;
            break;
        }
        c->state = (uint8_t)step(c, p[in]);
        in++;
    }
    *n = out;
    *used = in;
    switch (c->state) {
    case DONE:
        return WF_CHUNKED_DONE;
    case BAD:
        return WF_CHUNKED_BAD;
    case TRAILER_TOO_LARGE:
        return WF_CHUNKED_TRAILER_TOO_LARGE;
    default:
        return WF_CHUNKED_MORE;
    }
}
