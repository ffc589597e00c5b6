/* Methods, field names and byte classes: the tables. */
#include "wire/http1/http1_int.h"

/* ---- byte classes ---- */

#define T WF_CH_TOKEN
#define P WF_CH_PATH
#define Q WF_CH_QUERY
#define V WF_CH_VALUE
#define R WF_CH_REGNAME

/* Control bytes but HTAB have no class at all. '"', '<' and '>' and all but ASCII belong to values
 * only;
 * '#' would begin a fragment, which is never sent. */
const uint8_t wf_http1_chars[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | P | V | R,
    ['"'] = V,
    ['#'] = T | V,
    ['$'] = T | P | V | R,
    ['%'] = T | Q | V,
    ['&' ... '\''] = T | P | V | R,
    ['(' ... ')'] = P | V | R,
    ['*' ... '+'] = T | P | V | R,
    [','] = P | V | R,
    ['-' ... '.'] = T | P | V | R,
    ['/'] = P | V,
    ['0' ... '9'] = T | P | V | R,
    [':'] = P | V,
    [';'] = P | V | R,
    ['<'] = V,
    ['='] = P | V | R,
    ['>'] = V,
    ['?'] = Q | V,
    ['@'] = P | V,
    ['A' ... 'Z'] = T | P | V | R,
    ['['] = P | V,
    ['\\'] = Q | V,
    [']'] = P | V,
    ['^'] = T | P | V,
    ['_'] = T | P | V | R,
    ['`'] = T | Q | V,
    ['a' ... 'z'] = T | P | V | R,
    ['{'] = Q | V,
    ['|'] = T | P | V,
    ['}'] = Q | V,
    ['~'] = T | P | V | R,
    [0x80 ... 0xff] = V,
};

#undef T
#undef P
#undef Q
#undef V
#undef R

static bool all_of(struct wf_span s, unsigned class) {
    for (size_t i = 0; i < s.n; i++) {
        if (!is_char(s.p[i], class)) {
            return false;
        }
    }
    return true;
}

bool wf_field_name_ok(struct wf_span name) {
    return name.n > 0 && all_of(name, WF_CH_TOKEN);
}

/* No byte below a space and no DEL among the eight: all of them may stand in a field value. */
static inline bool eight_plain(const char *p) {
    const uint64_t ones = 0x0101010101010101u, highs = ones << 7;
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    uint64_t x = w ^ ones * 0x7f;
    return ((((w - ones * 0x20) & ~w) | ((x - ones) & ~x)) & highs) == 0;
}

/* Each reply's content type comes by here. Plain text is told eight bytes at a time; from the first
 * byte that may not be plain (HTAB is allowed) the table decides. */
bool wf_field_value_ok(struct wf_span value) {
    while (value.n >= 8 && eight_plain(value.p)) {
        value = wf_span(value.p + 8, value.n - 8);
    }
    return all_of(value, WF_CH_VALUE);
}

/* ---- field names ---- */

const struct wf_field_entry wf_http1_fields[WF_FIELD_COUNT] = {
#define X(id, name) [WF_FIELD_##id] = {name, sizeof(name) - 1},
    WF_FIELDS(X)
#undef X
};

#define X(id, name)                                                                                \
    static_assert(sizeof(name) <= WF_FIELD_NAME_ROOM, "WF_FIELD_NAME_ROOM must hold " name);
WF_FIELDS(X)
#undef X

const uint8_t wf_http1_field_slots[1 << WF_FIELD_SLOT_BITS] = {WF_FIELD_SLOTS};

enum wf_field_id wf_field_id_of(struct wf_span name) {
    return name.n == 0 ? WF_FIELD_UNKNOWN : field_id(name.p, name.n);
}

struct wf_span wf_field_name(enum wf_field_id id) {
    return wf_span(wf_http1_fields[id].name, wf_http1_fields[id].n);
}

/* ---- methods ---- */

static const struct wf_span methods[WF_METHOD_COUNT] = {
#define X(name) [WF_METHOD_##name] = {#name, sizeof(#name) - 1},
    WF_METHODS(X)
#undef X
        [WF_METHOD_OTHER] = {"", 0},
};

/* Case-sensitive: "get" is some other method (RFC 9110 section 9.1). */
enum wf_method wf_method_of(struct wf_span token) {
    for (unsigned m = 0; m < WF_METHOD_OTHER; m++) {
        if (token.n == methods[m].n && memcmp(token.p, methods[m].p, token.n) == 0) {
            return (enum wf_method)m;
        }
    }
    return WF_METHOD_OTHER;
}

struct wf_span wf_method_name(enum wf_method m) {
    return methods[m];
}
