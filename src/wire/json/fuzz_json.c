/* Any bytes: validate them, read each text in them that is one, in both ways there are, and write it back;
 * and lay out what is a document. */
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

/* What is read and unescaped at once is what is measured first and unescaped then. */
static void unescaping_agrees(const char *first, const char *end) {
    size_t cap = (size_t)(end - first) + 2 * WF_JSON_UNESCAPE_ROOM;
    char *out = malloc(cap), *behind = out;
    const char *p = first, *q = first;
    enum wf_json_unescaped state = wf_json_unescape(&p, end, &behind, out + cap);
    if (state == WF_JSON_UNESCAPE_FULL) {
        abort(); /* unescaped it is no longer */
    }
    if (state == WF_JSON_UNESCAPED) {
        struct wf_json_text t;
        size_t n = (size_t)(behind - out);
        if (wf_json_text_read(&q, end, 0, &t) != WF_JSON_OK || q != p || t.chars != n ||
            t.max_char != 0x7f) {
            abort();
        }
        char *again = malloc(n + 1);
        wf_json_text_copy(&t, again, 1);
        if (memcmp(out, again, n) != 0) {
            abort();
        }
        free(again);
    }
    free(out);
}

/* A document without the spaces between its tokens, which is what is laid out. Returns its length. */
static size_t strip(const char *p, size_t n, char *out) {
    size_t len = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        if (quoted && p[i] == '\\') {
            out[len++] = p[i++];
        } else if (p[i] == '"') {
            quoted = !quoted;
        } else if (!quoted && strchr(" \n\r\t", p[i]) != NULL) {
            continue;
        }
        out[len++] = p[i];
    }
    return len;
}

/* Laid out it is still the document. */
static void layout_survives(const char *in, size_t size) {
    char *stripped = malloc(size + 1);
    size_t n = strip(in, size, stripped), at;
    struct wf_buf b;
    struct wf_json_buf_out o;
    wf_buf_init(&b, SIZE_MAX / 2);
    wf_json_buf_open(&o, &b);
    if (wf_json_indent(wf_span(in, size), size % 5, &o.out) != WF_BUF_OK) {
        abort();
    }
    wf_json_buf_close(&o);
    char *again = malloc(b.len + 1);
    if (wf_json_validate(wf_buf_span(&b), WF_JSON_DEPTH_MAX, &at) != WF_JSON_OK ||
        strip(b.p, b.len, again) != n || memcmp(again, stripped, n) != 0) {
        abort();
    }
    free(again);
    free(stripped);
    wf_buf_free(&b);
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
            unescaping_agrees(in + i + 1, in + size);
        }
    }
    if (e == WF_JSON_OK) {
        layout_survives(in, size);
    }
    free(in);
    return 0;
}
