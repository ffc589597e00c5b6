/* Any bytes as a document: validator and to_json agree on it, and what to_json writes in canonical
 * mode is JSON. Any bytes as Extended JSON: what is read is a document, and its canonical JSON
 * reads back as the same bytes. */
#include <stdlib.h>

#include "wire/bson/bson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* what libFuzzer looks for */

static void require(bool ok) {
    if (!ok) {
        abort();
    }
}

static void as_document(struct wf_span in) {
    size_t at, at_json;
    struct wf_buf text;
    enum wf_bson_error e = wf_bson_validate(in, &at);
    for (int mode = 0; mode < 2; mode++) {
        wf_buf_init(&text, SIZE_MAX / 4);
        require(wf_bson_to_json(in, (enum wf_bson_json_mode)mode, &text, &at_json) == e);
        require(e == WF_BSON_OK || (at_json == at && at <= in.n && text.len == 0));
        if (e == WF_BSON_OK) {
            enum wf_json_error json =
                wf_json_validate(wf_buf_span(&text), WF_JSON_DEPTH_MAX, &at_json);
            require(json == WF_JSON_OK || json == WF_JSON_DEPTH); /* values nest deeper in JSON */
        }
        wf_buf_free(&text);
    }
}

static void as_json(struct wf_span in) {
    size_t at;
    enum wf_json_error json;
    struct wf_buf doc, text, again;
    wf_buf_init(&doc, WF_BSON_BYTES_MAX);
    wf_buf_init(&text, SIZE_MAX / 4);
    wf_buf_init(&again, WF_BSON_BYTES_MAX);
    enum wf_bson_error e = wf_bson_from_json(in, &doc, &at, &json);
    require(at <= in.n && (e == WF_BSON_ERROR_JSON) == (json != WF_JSON_OK));
    if (e == WF_BSON_OK) {
        require(wf_bson_validate(wf_buf_span(&doc), &at) == WF_BSON_OK);
        require(wf_bson_to_json(wf_buf_span(&doc), WF_BSON_CANONICAL, &text, &at) == WF_BSON_OK);
        require(wf_bson_from_json(wf_buf_span(&text), &again, &at, &json) == WF_BSON_OK);
        struct wf_span a = wf_buf_span(&doc), b = wf_buf_span(&again);
        require(wf_span_eq(a, b));
    }
    wf_buf_free(&doc);
    wf_buf_free(&text);
    wf_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* at the end of its own allocation, so that reading past it is seen */
    char *in = malloc(size ? size : 1);
    if (size != 0) {
        memcpy(in, data, size);
    }
    as_document(wf_span(in, size));
    as_json(wf_span(in, size));
    free(in);
    return 0;
}
