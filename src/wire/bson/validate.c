/* A document checked without making anything of it, and the sentences of errors. */
#include "base/utf8.h"
#include "wire/bson/bson_read.h"

const char *wf_bson_error_text(enum wf_bson_error e) {
    switch (e) {
    case WF_BSON_OK:
        return "no error";
#define X(id, text)                                                                                \
    case WF_BSON_ERROR_##id:                                                                       \
        return text;
        WF_BSON_ERRORS(X)
#undef X
    }
    return "unknown error";
}

static enum wf_bson_error validate(struct wf_span in, unsigned depth, const char **at);

/* Text and nested documents of e. */
static enum wf_bson_error validate_value(const struct wf_bson_element *e, unsigned depth,
                                         const char **at) {
    switch (e->type) {
    case WF_BSON_STRING:
    case WF_BSON_SYMBOL:
    case WF_BSON_CODE:
    case WF_BSON_DBPOINTER:
    case WF_BSON_CODE_SCOPE:
    case WF_BSON_REGEX:
        *at = e->text.p;
        if (!wf_utf8_valid(e->text)) {
            return WF_BSON_ERROR_UTF8;
        }
        if (e->type == WF_BSON_REGEX) {
            *at = e->more.p;
            return wf_utf8_valid(e->more) ? WF_BSON_OK : WF_BSON_ERROR_UTF8;
        }
        return e->type == WF_BSON_CODE_SCOPE ? validate(e->more, depth, at) : WF_BSON_OK;
    case WF_BSON_DOCUMENT:
    case WF_BSON_ARRAY:
        return validate(e->text, depth, at);
    default:
        return WF_BSON_OK;
    }
}

/* depth  how many documents are open around this one */
static enum wf_bson_error validate(struct wf_span in, unsigned depth, const char **at) {
    struct wf_bson_cursor c;
    struct wf_bson_element e;
    size_t bytes;
    *at = in.p;
    if (depth == WF_BSON_DEPTH_MAX) {
        return WF_BSON_ERROR_DEPTH;
    }
    enum wf_bson_error error = wf_bson_open(&c, in, &bytes);
    if (error == WF_BSON_OK && bytes != in.n) {
        c.p = in.p + bytes;
        error = WF_BSON_ERROR_TRAILING;
    }
    while (error == WF_BSON_OK) {
        error = wf_bson_next(&c, &e);
        if (error != WF_BSON_OK || e.type == 0) {
            break;
        }
        if (!wf_utf8_valid(e.name)) {
            *at = e.name.p;
            return WF_BSON_ERROR_UTF8;
        }
        error = validate_value(&e, depth + 1, at);
        if (error != WF_BSON_OK) {
            return error;
        }
    }
    *at = c.p;
    return error;
}

enum wf_bson_error wf_bson_validate(struct wf_span in, size_t *at) {
    const char *p = in.p;
    enum wf_bson_error e = validate(in, 0, &p);
    *at = in.n == 0 ? 0 : (size_t)(p - in.p);
    return e;
}
