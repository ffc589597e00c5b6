/* PCRE2's syntax is Python's as far as the two share one; weft.middleware lets Python's re see it first. */
#include "serve/layer/origin.h"

#include "base/alloc.h"

#ifdef WF_HAVE_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    STEPS_MAX = 100000, /* of backtracking: a pattern that needs more is one that attackers like */
    HEAP_KIB_MAX = 256, /* of memory for that */
    ORIGIN_BYTES_MAX = 16 * 1024 /* a host has 255 */
};

struct wf_origin {
    pcre2_code *code;            /* owned */
    pcre2_match_data *matches;   /* owned */
    pcre2_match_context *limits; /* owned */
};

static void *allocate(PCRE2_SIZE n, void *data) {
    (void)data;
    return wf_malloc(n);
}

static void release(void *p, void *data) {
    (void)data;
    wf_free(p);
}

void wf_origin_free(struct wf_origin *o) {
    if (o != NULL) {
        pcre2_match_context_free(o->limits);
        pcre2_match_data_free(o->matches);
        pcre2_code_free(o->code);
        wf_free(o);
    }
}

static bool compile(struct wf_origin *o, pcre2_general_context *memory, struct wf_span pattern,
                    char why[WF_ORIGIN_WHY_CHARS]) {
    pcre2_compile_context *context = pcre2_compile_context_create(memory);
    int error;
    PCRE2_SIZE at;
    if (context == NULL) {
        return false;
    }
    o->code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, PCRE2_ANCHORED | PCRE2_ENDANCHORED,
                            &error, &at, context);
    pcre2_compile_context_free(context);
    if (o->code == NULL && error != PCRE2_ERROR_HEAP_FAILED) {
        (void)pcre2_get_error_message(error, (PCRE2_UCHAR *)why, WF_ORIGIN_WHY_CHARS);
    }
    return o->code != NULL;
}

struct wf_origin *wf_origin_new(struct wf_span pattern, char why[WF_ORIGIN_WHY_CHARS]) {
    why[0] = '\0';
    struct wf_origin *o = wf_calloc(1, sizeof(*o));
    pcre2_general_context *memory = pcre2_general_context_create(allocate, release, NULL);
    bool ok = o != NULL && memory != NULL && compile(o, memory, pattern, why);
    if (ok) {
        o->matches = pcre2_match_data_create_from_pattern(o->code, memory);
        o->limits = pcre2_match_context_create(memory);
        ok = o->matches != NULL && o->limits != NULL;
    }
    if (ok) {
        pcre2_set_match_limit(o->limits, STEPS_MAX);
        pcre2_set_heap_limit(o->limits, HEAP_KIB_MAX);
    }
    pcre2_general_context_free(memory);
    if (!ok) {
        wf_origin_free(o);
        return NULL;
    }
    return o;
}

bool wf_origin_matches(struct wf_origin *o, struct wf_span origin) {
    return origin.n <= ORIGIN_BYTES_MAX &&
           pcre2_match(o->code, (PCRE2_SPTR)origin.p, origin.n, 0, 0, o->matches, o->limits) >= 0;
}

#else

struct wf_origin *wf_origin_new(struct wf_span pattern, char why[WF_ORIGIN_WHY_CHARS]) {
    (void)pattern;
    static const char absent[] = "weft was built without PCRE2: install it with its headers "
                                 "(libpcre2-dev) and pkg-config, and build weft again";
    static_assert(sizeof(absent) <= WF_ORIGIN_WHY_CHARS, "it fits");
    memcpy(why, absent, sizeof(absent));
    return NULL;
}

void wf_origin_free(struct wf_origin *o) {
    (void)o;
}

bool wf_origin_matches(struct wf_origin *o, struct wf_span origin) {
    (void)o;
    (void)origin;
    return false;
}
#endif
