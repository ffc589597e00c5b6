/* A chunked body decodes the same however it is cut, and never to more bytes than came in. The
 * first byte says how long the pieces are. */
#include <stdint.h>
#include <stdlib.h>

#include "wire/http1/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok) {
    if (!ok) {
        abort();
    }
}

/* Decodes n bytes in pieces; returns the result, the payload in out. */
static enum wf_chunked_result decode(const uint8_t *data, size_t n, size_t piece, char *out,
                                     size_t *out_n, size_t *used_in_all) {
    struct wf_chunked c;
    enum wf_chunked_result result = WF_CHUNKED_MORE;
    wf_chunked_init(&c);
    *out_n = *used_in_all = 0;
    while (*used_in_all < n && result == WF_CHUNKED_MORE) {
        size_t bytes = WF_MIN(piece, n - *used_in_all), used, got = bytes;
        char *p = malloc(bytes);
        memcpy(p, data + *used_in_all, bytes);
        result = wf_chunked_decode(&c, p, &got, &used);
        require(got <= used && used <= bytes);
        require(result != WF_CHUNKED_MORE || used == bytes);
        memcpy(out + *out_n, p, got);
        *out_n += got;
        *used_in_all += used;
        free(p);
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n < 2) {
        return 0;
    }
    size_t piece = 1 + data[0] % 64, whole_n, cut_n, whole_used, cut_used;
    data++;
    n--;
    char *whole = malloc(n), *cut = malloc(n);
    enum wf_chunked_result result = decode(data, n, n, whole, &whole_n, &whole_used);
    require(decode(data, n, piece, cut, &cut_n, &cut_used) == result);
    require(cut_n == whole_n && cut_used == whole_used && memcmp(whole, cut, cut_n) == 0);
    free(whole);
    free(cut);
    return 0;
}
