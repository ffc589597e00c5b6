#include "wire/json/json_scan.h"

/* Which containers are open, one bit a level: set is an object. */
struct nesting {
    uint64_t bits[WF_JSON_DEPTH_MAX / 64];
    unsigned depth;
};

static void nesting_push(struct nesting *n, bool object) {
    uint64_t bit = 1ull << (n->depth % 64), *word = &n->bits[n->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    n->depth++;
}

static bool nesting_in_object(const struct nesting *n) {
    unsigned top = n->depth - 1;
    return (n->bits[top / 64] >> (top % 64) & 1) != 0;
}

/* A scalar at *p, which is not the end. */
static enum wf_json_error read_scalar(const char **p, const char *end) {
    struct wf_json_text text;
    struct wf_json_number number;
    switch (**p) {
    case '"':
        ++*p;
        return wf_json_text_read(p, end, 0, &text);
    case 't':
    case 'n':
        if (WF_JSON_IS(*p, end, "true") || WF_JSON_IS(*p, end, "null")) {
            *p += 4;
            return WF_JSON_OK;
        }
        return WF_JSON_LITERAL;
    case 'f':
        if (WF_JSON_IS(*p, end, "false")) {
            *p += 5;
            return WF_JSON_OK;
        }
        return WF_JSON_LITERAL;
    default:
        if (**p == '-' || wf_json_is_digit(**p)) {
            return wf_json_number_read(p, end, 0, &number);
        }
        return WF_JSON_VALUE;
    }
}

/* The key and the colon at *p. */
static enum wf_json_error read_key(const char **p, const char *end) {
    struct wf_json_text text;
    if (*p == end) {
        return WF_JSON_END;
    }
    if (**p != '"') {
        return WF_JSON_KEY;
    }
    ++*p;
    enum wf_json_error e = wf_json_text_read(p, end, 0, &text);
    if (e != WF_JSON_OK) {
        return e;
    }
    *p = wf_json_skip_space(*p, end);
    if (*p == end) {
        return WF_JSON_END;
    }
    if (**p != ':') {
        return WF_JSON_COLON;
    }
    ++*p;
    return WF_JSON_OK;
}

enum wf_json_error wf_json_skip(const char **at, const char *end, unsigned depth_max) {
    const char *p = *at;
    struct nesting open = {.depth = 0};
    enum wf_json_error e = WF_JSON_OK;
    depth_max = WF_MIN(depth_max, (unsigned)WF_JSON_DEPTH_MAX);

    for (;;) {
        p = wf_json_skip_space(p, end);
        if (p == end) {
            e = open.depth == 0 ? WF_JSON_EMPTY : WF_JSON_END;
            break;
        }
        if (*p == '{' || *p == '[') {
            bool object = *p == '{';
            if (open.depth == depth_max) {
                e = WF_JSON_DEPTH;
                break;
            }
            nesting_push(&open, object);
            p = wf_json_skip_space(p + 1, end);
            if (p == end || *p != (object ? '}' : ']')) {
                if (object && (e = read_key(&p, end)) != WF_JSON_OK) {
                    break;
                }
                continue; /* the first value in it */
            }
            p++;
            open.depth--;
        } else if ((e = read_scalar(&p, end)) != WF_JSON_OK) {
            break;
        }
        /* behind a value: close what ends here, up to the next comma */
        bool more = false;
        while (open.depth != 0 && !more) {
            bool object = nesting_in_object(&open);
            p = wf_json_skip_space(p, end);
            if (p == end) {
                e = WF_JSON_END;
                goto done;
            }
            if (*p == ',') {
                p++;
                more = true;
                if (object) {
                    p = wf_json_skip_space(p, end);
                    if ((e = read_key(&p, end)) != WF_JSON_OK) {
                        goto done;
                    }
                }
            } else if (*p == (object ? '}' : ']')) {
                p++;
                open.depth--;
            } else {
                e = WF_JSON_COMMA;
                goto done;
            }
        }
        if (!more) {
            break;
        }
    }
done:
    *at = p;
    return e;
}

enum wf_json_error wf_json_validate(struct wf_span in, unsigned depth_max, size_t *at) {
    const char *p = in.p, *end = in.p + in.n;
    enum wf_json_error e = wf_json_skip(&p, end, depth_max);
    if (e == WF_JSON_OK) {
        p = wf_json_skip_space(p, end);
        e = p == end ? WF_JSON_OK : WF_JSON_TRAILING;
    }
    *at = (size_t)(p - in.p);
    return e;
}
