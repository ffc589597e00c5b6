/* Any bytes: validate them, read each text in them that is one, and write it back. */
#include <stdlib.h>

#include "base/buf.h"
#include "wire/json/json_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* what libFuzzer looks for */

static void text_survives(const char *p, const char *end) {
    struct wf_json_text t;
    if (wf_json_text_read(&p, end, 0, &t) != WF_JSON_OK) {
        return;
    }
    /* unescape it, exactly into what was measured */
    unsigned width = t.max_char <= 0xff ? 1 : t.max_char <= 0xffff ? 2 : 4;
    void *units = malloc(t.chars * width + 1);
    wf_json_text_copy(&t, units, width);
    if (t.max_char == 0x7f) {
        /* ASCII: written and read again it is the same */
        struct wf_buf b;
        wf_buf_init(&b, 8 * t.chars + 64);
        if (wf_json_write_string(&b, wf_span(units, t.chars)) != WF_BUF_OK) {
            abort();
        }
        struct wf_json_text again;
        const char *q = b.p + 1;
        if (wf_json_text_read(&q, b.p + b.len, 0, &again) != WF_JSON_OK || again.chars != t.chars) {
            abort();
        }
        char *units_again = malloc(again.chars + 1);
        wf_json_text_copy(&again, units_again, 1);
        if (memcmp(units, units_again, t.chars) != 0) {
            abort();
        }
        free(units_again);
        wf_buf_free(&b);
    }
    free(units);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* at the end of its own allocation, so that reading past it is seen */
    char *in = malloc(size ? size : 1);
    if (size != 0) {
        memcpy(in, data, size);
    }
    size_t at = 0, line, column;
    enum wf_json_error e = wf_json_validate(wf_span(in, size), WF_JSON_DEPTH_MAX, &at);
    if (at > size || (e == WF_JSON_OK && at != size)) {
        abort();
    }
    wf_json_position(wf_span(in, size), at, &line, &column);
    for (size_t i = 0; i < size; i++) {
        if (in[i] == '"') {
            text_survives(in + i + 1, in + size);
        }
    }
    free(in);
    return 0;
}
