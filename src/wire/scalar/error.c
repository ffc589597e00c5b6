#include "wire/scalar/scalar_int.h"

#include "base/check.h"

static const struct {
    const char *type;
    struct wf_span message;
} errors[] = {{"", {"", 0}},
#define X(id, type, message) {type, {message, sizeof(message) - 1}},
              WF_SCALAR_ERRORS(X)
#undef X
};

static const struct wf_span details[] = {
#define X(id, text) {text, sizeof(text) - 1},
    SCALAR_DETAILS(X)
#undef X
};

/* A union is as long as its longest member. */
union longest_message {
#define X(id, type, message) char id[sizeof(message) - 1];
    WF_SCALAR_ERRORS(X)
#undef X
};
union longest_detail {
    char uuid[UUID_DETAIL_MAX];
#define X(id, text) char id[sizeof(text)];
    SCALAR_DETAILS(X)
#undef X
};
static_assert(sizeof(union longest_message) + sizeof(union longest_detail) <= WF_SCALAR_MESSAGE_MAX,
              "any message and any detail fit");

const char *wf_scalar_error_type(enum wf_scalar_error e) {
    return errors[e & WF_SCALAR_ERROR_MASK].type;
}

size_t wf_scalar_error_message(enum wf_scalar_error e, struct wf_span input, char *out,
                               struct wf_span *detail) {
    unsigned kind = e & WF_SCALAR_ERROR_MASK;
    WF_ASSERT(kind < WF_ARRAY_LEN(errors) && (unsigned)e >> 8 < WF_ARRAY_LEN(details));
    size_t n = errors[kind].message.n;
    memcpy(out, errors[kind].message.p, n);
    detail->p = out + n;
    if (kind == WF_SCALAR_UUID_PARSING) {
        detail->n = scalar_uuid_detail(input, out + n);
    } else {
        *detail = (struct wf_span){out + n, details[(unsigned)e >> 8].n};
        memcpy(out + n, details[(unsigned)e >> 8].p, detail->n);
    }
    return n + detail->n;
}
