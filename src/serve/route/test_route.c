/* Tests of the router: tables of patterns and paths, and random ones against trying every route in
 * turn. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "serve/route/route.h"

enum { GET = 1u << WF_METHOD_GET, HEAD = 1u << WF_METHOD_HEAD, POST = 1u << WF_METHOD_POST };

enum { LEAVES_MAX = 64 };
struct table {
    struct wf_router *router;
    struct wf_leaf leaves[LEAVES_MAX];
    const char *patterns[LEAVES_MAX];
    unsigned n;
};

static void add(struct table *t, const char *pattern, uint32_t methods) {
    const char *error;
    struct wf_leaf *leaf = &t->leaves[t->n];
    *leaf = (struct wf_leaf){.methods = methods};
    t->patterns[t->n++] = pattern;
    if (wf_router_add(t->router, wf_span_str(pattern), leaf, &error) != 0) {
        fail_msg("%s: %s", pattern, error);
    }
}

/* The table stays where it is: the router points into it. */
static void table_init(struct table *t, const char *const *patterns) {
    *t = (struct table){.router = wf_router_new()};
    assert_non_null(t->router);
    for (; *patterns != NULL; patterns++) {
        add(t, *patterns, GET);
    }
}

/* "3 a b": route 3 with parameters a and b; "404"; "405 GET, HEAD"; "options ..."; "slash". */
static const char *answer(const struct wf_router *r, const struct wf_leaf *leaves,
                          enum wf_method method, const char *path, char out[512]) {
    struct wf_match m;
    char allow[WF_ALLOW_CHARS_MAX + 1] = "";
    switch (wf_router_match(r, method, WF_SPAN(""), wf_span_str(path), &m)) {
    case WF_ROUTE_FOUND: {
        int n = snprintf(out, 512, "%d", (int)(m.leaf - leaves));
        for (unsigned i = 0; i < m.nparams; i++) {
            n += snprintf(out + n, 512 - (size_t)n, " %.*s", (int)m.params[i].n, m.params[i].p);
        }
        return out;
    }
    case WF_ROUTE_NOT_FOUND:
        assert_null(m.leaf);
        return "404";
    case WF_ROUTE_METHOD:
    case WF_ROUTE_OPTIONS:
        assert_null(m.leaf);
        allow[wf_allow_write(allow, m.allow)] = '\0';
        snprintf(out, 512, "%s %s", method == WF_METHOD_OPTIONS ? "options" : "405", allow);
        return out;
    case WF_ROUTE_SLASH:
        assert_null(m.leaf);
        return "slash";
    case WF_ROUTE_UNREADABLE:
        break;
    }
    return "?";
}

struct row {
    const char *path, *expect;
};

static void check_rows(const char *const *patterns, const struct row *rows, size_t n) {
    struct table t;
    table_init(&t, patterns);
    char out[512];
    for (size_t i = 0; i < n; i++) {
        const char *got = answer(t.router, t.leaves, WF_METHOD_GET, rows[i].path, out);
        if (strcmp(got, rows[i].expect) != 0) {
            fail_msg("%s: expected \"%s\", got \"%s\"", rows[i].path, rows[i].expect, got);
        }
    }
    wf_router_free(t.router);
}
#define CHECK(patterns, rows) check_rows(patterns, rows, WF_ARRAY_LEN(rows))

static void finds_the_routes_of_the_drawing(void **state) {
    static const char *const patterns[] = {"/books", "/books/{id}", "/boot", "/files/{rest:path}",
                                           "/",      NULL};
    static const struct row rows[] = {{"/books", "0"},
                                      {"/books/17", "1 17"},
                                      {"/books/a%b", "1 a%b"},
                                      {"/boot", "2"},
                                      {"/boo", "404"},
                                      {"/bookss", "404"},
                                      {"/books/1/2", "404"},
                                      {"/files/", "3 "},
                                      {"/files/a/b/c", "3 a/b/c"},
                                      {"/file", "404"},
                                      {"/", "4"},
                                      {"", "slash"},
                                      {"books", "404"}};
    CHECK(patterns, rows);
}

static void parameters_share_a_segment_with_text(void **state) {
    static const char *const patterns[] = {"/{name}.{ext}",    "/v{major:int}.{minor:int}/x",
                                           "/{a}-{b}-{c}/end", "/{p:path}/tail/{q}",
                                           "/x{f:float}y{g}",  NULL};
    static const struct row rows[] = {{"/a.tar.gz", "0 a.tar gz"},
                                      {"/a.", "404"},
                                      {"/.gz", "404"},
                                      {"/v1.20/x", "1 1 20"},
                                      {"/v1.b/x", "404"},
                                      {"/1-2-3-4/end", "2 1-2 3 4"},
                                      {"/1-2/end", "404"},
                                      {"/a/tail/b", "3 a b"},
                                      {"/a/tail/b/tail/c", "3 a/tail/b c"},
                                      {"//tail/c", "3  c"},
                                      {"/x1.5y2", "0 x1 5y2"},
                                      {"/x15yy", "4 15 y"},
                                      {"/x15y", "404"}};
    CHECK(patterns, rows);
}

static void convertors_take_what_starlette_takes(void **state) {
    static const char *const patterns[] = {"/i/{x:int}", "/f/{x:float}", "/u/{x:uuid}",
                                           "/s/{x:str}", NULL};
    static const struct row rows[] = {
        {"/i/007", "0 007"},
        {"/i/-1", "404"},
        {"/i/+1", "404"},
        {"/i/1.0", "404"},
        {"/i/1_0", "404"},
        {"/f/1", "1 1"},
        {"/f/1.25", "1 1.25"},
        {"/f/1.", "404"},
        {"/f/.5", "404"},
        {"/f/1e5", "404"},
        {"/f/1.2.3", "404"},
        {"/u/123e4567-e89b-12d3-a456-426614174000", "2 123e4567-e89b-12d3-a456-426614174000"},
        {"/u/123E4567e89b12d3a456426614174000", "2 123E4567e89b12d3a456426614174000"},
        {"/u/123e4567-e89b-12d3-a456-42661417400", "404"},
        {"/u/123e4567-e89b-12d3-a456-4266141740000", "404"},
        {"/u/123e4567--e89b-12d3-a456-426614174000", "404"},
        {"/s/\xc3\xbc", "3 \xc3\xbc"},
        {"/s/", "404"}};
    CHECK(patterns, rows);
}

static void the_first_declared_wins(void **state) {
    static const char *const patterns[] = {"/users/{id}",    "/users/me", "/a/me",
                                           "/a/{id}",        "/{p:path}", "/z",
                                           "/b/{x:int}/{y}", "/b/{x}/7",  NULL};
    static const struct row rows[] = {{"/users/me", "0 me"}, {"/a/me", "2"},
                                      {"/a/you", "3 you"},   {"/z", "4 z"},
                                      {"/b/1/7", "4 b/1/7"}, {"/users/me/x", "4 users/me/x"}};
    CHECK(patterns, rows);
}

static void a_route_with_the_wrong_method_does_not_hide_a_later_one(void **state) {
    struct table t = {.router = wf_router_new()};
    char out[512];
    add(&t, "/items/{id}", GET);
    add(&t, "/items/new", POST);
    add(&t, "/{any:path}", 1u << WF_METHOD_DELETE);
    add(&t, "/own", GET);
    add(&t, "/own", HEAD);
    static const struct {
        enum wf_method method;
        const char *path, *expect;
    } rows[] = {
        {WF_METHOD_GET, "/items/new", "0 new"},
        {WF_METHOD_POST, "/items/new", "1"},
        {WF_METHOD_HEAD, "/items/9", "0 9"},
        {WF_METHOD_HEAD, "/own", "4"},
        {WF_METHOD_DELETE, "/items/9", "2 items/9"},
        {WF_METHOD_POST, "/items/9", "405 GET, HEAD, DELETE"},
        {WF_METHOD_PUT, "/items/new", "405 GET, HEAD, POST, DELETE"},
        {WF_METHOD_OTHER, "/else", "405 DELETE"},
        {WF_METHOD_OPTIONS, "/items/new", "options GET, HEAD, POST, DELETE, OPTIONS"},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        assert_string_equal(answer(t.router, t.leaves, rows[i].method, rows[i].path, out),
                            rows[i].expect);
    }
    wf_router_free(t.router);
}

static void a_trailing_slash_is_toggled_only_where_nothing_matches(void **state) {
    static const char *const patterns[] = {"/with/", "/without", "/both",
                                           "/both/", "/p/{x}/",  NULL};
    static const struct row rows[] = {
        {"/with", "slash"}, {"/without/", "slash"}, {"/without///", "slash"}, {"/both", "2"},
        {"/both/", "3"},    {"/p/1", "slash"},      {"/p/1//", "404"},        {"/", "404"},
        {"//", "404"},      {"/none/", "404"}};
    CHECK(patterns, rows);
    struct table t;
    table_init(&t, patterns);
    char out[512];
    assert_string_equal(answer(t.router, t.leaves, WF_METHOD_POST, "/with", out), "slash");
    assert_string_equal(answer(t.router, t.leaves, WF_METHOD_POST, "/both", out), "405 GET, HEAD");
    assert_string_equal(answer(t.router, t.leaves, WF_METHOD_OPTIONS, "/with", out), "slash");
    wf_router_free(t.router);
}

static void wrong_patterns_are_refused_with_a_reason(void **state) {
    static const char *const wrong[] = {
        "",          "books",     "/{}",
        "/{1a}",     "/{a",       "/{a:",
        "/{a:int",   "/{a:int}}", "/a}b",
        "/{a:date}", "/{a:}",     "/{a}/{a}",
        "/{a b}",    "/{{a}}",    "/{a}{b}{c}{d}{e}{f}{g}{h}{i}{j}{k}{l}{m}{n}{o}{p}{q}"};
    struct wf_router *r = wf_router_new();
    struct wf_leaf leaf = {.methods = GET};
    for (size_t i = 0; i < WF_ARRAY_LEN(wrong); i++) {
        const char *error = NULL;
        if (wf_router_add(r, wf_span_str(wrong[i]), &leaf, &error) != -EINVAL || error == NULL) {
            fail_msg("%s was taken", wrong[i]);
        }
    }
    struct wf_match m;
    assert_int_equal(wf_router_match(r, WF_METHOD_GET, WF_SPAN(""), WF_SPAN("/"), &m),
                     WF_ROUTE_NOT_FOUND);
    wf_router_free(r);
}

/* Would take 2^40 steps if it were not bounded. */
static void backtracking_is_bounded(void **state) {
    static const char *const patterns[] = {
        "/{a:path}a{b:path}a{c:path}a{d:path}a{e:path}a{f:path}a{g:path}a{h:path}!", "/{x}.{y}",
        NULL};
    struct table t;
    table_init(&t, patterns);
    static char path[16000];
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    struct wf_match m;
    assert_int_equal(
        wf_router_match(t.router, WF_METHOD_GET, WF_SPAN(""), wf_span(path, sizeof(path)), &m),
        WF_ROUTE_NOT_FOUND);
    wf_router_free(t.router);

    static const char *const plain[] = {"/{x}.{y}", NULL};
    table_init(&t, plain);
    path[2] = '.'; /* a long but honest path is found however far its dot is from the end */
    assert_int_equal(
        wf_router_match(t.router, WF_METHOD_GET, WF_SPAN(""), wf_span(path, sizeof(path)), &m),
        WF_ROUTE_FOUND);
    assert_int_equal(m.params[0].n, 1);
    wf_router_free(t.router);
}

static void without_memory_the_routes_added_before_still_match(void **state) {
    static const char *const patterns[] = {"/books/{id}", "/boo", "/books/{id:int}/x", "/bark",
                                           NULL};
    unsigned long nth = 0;
    bool complete = false;
    while (!complete) {
        wf_alloc_fail_from(++nth);
        struct wf_router *r = wf_router_new();
        struct wf_leaf leaves[4];
        bool added[4] = {false};
        complete = r != NULL;
        for (unsigned i = 0; r != NULL && i < 4; i++) {
            const char *error;
            leaves[i] = (struct wf_leaf){.methods = GET};
            int rc = wf_router_add(r, wf_span_str(patterns[i]), &leaves[i], &error);
            assert_true(rc == 0 || rc == -ENOMEM);
            added[i] = rc == 0;
            complete = complete && added[i];
        }
        wf_alloc_fail_from(0);
        static const char *const paths[] = {"/books/5", "/boo", "/books/5/x", "/bark"};
        for (unsigned i = 0; r != NULL && i < 4; i++) {
            struct wf_match m;
            enum wf_route_result got =
                wf_router_match(r, WF_METHOD_GET, WF_SPAN(""), wf_span_str(paths[i]), &m);
            assert_int_equal(got, added[i] ? WF_ROUTE_FOUND : WF_ROUTE_NOT_FOUND);
        }
        wf_router_free(r);
    }
    assert_true(nth > 10);
}

/* ---- against the plain way: every route in turn, each pattern matched by recursion ---- */

struct plain {
    struct wf_span params[WF_ROUTE_PARAMS_MAX];
    unsigned n;
};

static bool plain_match(const char *pat, const char *path, struct plain *out);

static bool plain_param(const char *rest, const char *path, size_t n, struct plain *out) {
    out->params[out->n++] = wf_span(path, n);
    if (plain_match(rest, path + n, out)) {
        return true;
    }
    out->n--;
    return false;
}

static bool all_in(const char *p, size_t n, const char *set) {
    return strspn(p, set) >= n;
}

static bool plain_takes(const char *kind, const char *p, size_t n) {
    if (strncmp(kind, ":path}", 6) == 0) {
        return true;
    }
    if (strncmp(kind, ":int}", 5) == 0) {
        return n > 0 && all_in(p, n, "0123456789");
    }
    if (strncmp(kind, ":float}", 7) == 0) {
        size_t whole = strspn(p, "0123456789");
        if (whole >= n) {
            return n > 0;
        }
        return whole > 0 && p[whole] == '.' && n > whole + 1 &&
               all_in(p + whole + 1, n - whole - 1, "0123456789");
    }
    return n > 0 && memchr(p, '/', n) == NULL;
}

static bool plain_match(const char *pat, const char *path, struct plain *out) {
    if (*pat == '\0') {
        return *path == '\0';
    }
    if (*pat != '{') {
        return *pat == *path && plain_match(pat + 1, path + 1, out);
    }
    const char *kind = pat + strcspn(pat, ":}");
    const char *rest = strchr(pat, '}') + 1;
    for (size_t n = strlen(path) + 1; n-- > 0;) {
        if (plain_takes(kind, path, n) && plain_param(rest, path, n, out)) {
            return true;
        }
    }
    return false;
}

static uint32_t rnd(uint32_t *seed, uint32_t below) {
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

static void random_pattern(uint32_t *seed, char *out) {
    static const char *const pieces[] = {
        "a", "b", "ab", "/", "/", ".", "1", "{%c}", "{%c}", "{%c:int}", "{%c:float}", "{%c:path}"};
    int n = sprintf(out, "/");
    for (unsigned i = 0, pieces_n = rnd(seed, 6); i < pieces_n; i++) {
        const char *piece = pieces[rnd(seed, WF_ARRAY_LEN(pieces))];
        char text[16];
        size_t len = strcspn(piece, "%");
        if (piece[len] == '\0') {
            n += sprintf(out + n, "%s", piece);
        } else {
            memcpy(text, piece, len);
            n += sprintf(out + n, "%.*s%c%s", (int)len, piece, 'p' + (int)i, piece + len + 2);
        }
    }
}

static void agrees_with_trying_every_route_in_turn(void **state) {
    uint32_t seed = 7;
    for (int round = 0; round < 1500; round++) {
        char patterns[12][128];
        struct table t = {.router = wf_router_new()};
        unsigned routes = 1 + rnd(&seed, 12);
        for (unsigned i = 0; i < routes; i++) {
            random_pattern(&seed, patterns[i]);
            add(&t, patterns[i], rnd(&seed, 3) == 0 ? POST : GET | (rnd(&seed, 4) == 0 ? POST : 0));
        }
        for (int k = 0; k < 40; k++) {
            char path[16] = "/";
            for (unsigned i = 0, len = rnd(&seed, 9); i < len; i++) {
                path[i + 1] = "ab/.11a/"[rnd(&seed, 8)];
            }
            enum wf_method method = rnd(&seed, 2) == 0 ? WF_METHOD_GET : WF_METHOD_POST;
            int expect = -1;
            uint32_t allow = 0;
            struct plain params = {.n = 0};
            for (unsigned i = 0; i < routes; i++) {
                struct plain p = {.n = 0};
                if (plain_match(patterns[i], path, &p)) {
                    allow |= t.leaves[i].methods;
                    if (expect < 0 && (t.leaves[i].methods & 1u << method) != 0) {
                        expect = (int)i;
                        params = p;
                    }
                }
            }
            struct wf_match m;
            enum wf_route_result got =
                wf_router_match(t.router, method, WF_SPAN(""), wf_span_str(path), &m);
            if ((got == WF_ROUTE_FOUND) != (expect >= 0) ||
                (got == WF_ROUTE_FOUND && m.leaf != &t.leaves[expect]) ||
                (got == WF_ROUTE_METHOD) != (expect < 0 && allow != 0)) {
                fail_msg("round %d, %s: expected route %d (%s), got %d, route %d", round, path,
                         expect, expect >= 0 ? patterns[expect] : "", got,
                         m.leaf != NULL ? (int)(m.leaf - t.leaves) : -1);
            }
            if (expect >= 0) {
                assert_int_equal(m.nparams, params.n);
                assert_int_equal(m.leaf->nparams, params.n);
            }
            for (unsigned i = 0; expect >= 0 && i < params.n; i++) {
                if (!wf_span_eq(m.params[i], params.params[i])) {
                    fail_msg("round %d, %s, %s: parameter %u is %.*s, expected %.*s", round, path,
                             patterns[expect], i, (int)m.params[i].n, m.params[i].p,
                             (int)params.params[i].n, params.params[i].p);
                }
            }
        }
        wf_router_free(t.router);
    }
}

/* ---- routers within routers ---- */

/* As answer(), and behind it what prefixes took, where they did. */
static const char *answer_at(const struct wf_router *r, const struct wf_leaf *leaves,
                             enum wf_method method, const char *host, const char *path,
                             char out[512]) {
    struct wf_match m;
    enum wf_route_result got = wf_router_match(r, method, wf_span_str(host), wf_span_str(path), &m);
    int n = got == WF_ROUTE_FOUND ? snprintf(out, 512, "%d", (int)(m.leaf - leaves))
                                  : snprintf(out, 512, "%s",
                                             got == WF_ROUTE_SLASH    ? "slash"
                                             : got == WF_ROUTE_METHOD ? "405"
                                                                      : "404");
    for (unsigned i = 0; i < m.nparams; i++) {
        n += snprintf(out + n, 512 - (size_t)n, "%s%.*s", i == m.nouter ? " | " : " ",
                      (int)m.params[i].n, m.params[i].p);
    }
    if (m.root_n != 0) {
        snprintf(out + n, 512 - (size_t)n, " in %.*s", (int)m.root_n, path);
    }
    return out;
}

static void a_router_stands_in_another(void **state) {
    const char *error;
    static struct wf_leaf leaves[16];
    static const struct {
        const char *router, *pattern;
    } added[] = {{"o", "/sub/first"}, {"i", "/x/{id}"},   {"i", "/"},
                 {"d", "/{a}/y"},     {"o", "/sub/late"}, {"p", "/z"},
                 {"h", "/{what}"},    {"o", "/other"},    {"h", "/other"}};
    struct wf_router *o = wf_router_new();
    struct wf_router *r[128] = {['o'] = o};
    for (size_t i = 0; i < WF_ARRAY_LEN(added); i++) {
        if (i == 1) {
            r['i'] = wf_router_mount(o, WF_SPAN("/sub"), &error);
            r['d'] = wf_router_mount(r['i'], WF_SPAN("/deep/{p}"), &error);
            r['p'] = wf_router_mount(o, WF_SPAN("/t/{tenant}"), &error);
            assert_false(wf_router_wants_host(o));
            r['h'] = wf_router_host(o, WF_SPAN("{who}.Example.org"), &error);
            assert_true(wf_router_wants_host(o));
        }
        leaves[i] = (struct wf_leaf){.methods = GET};
        assert_int_equal(wf_router_add(r[(unsigned char)added[i].router[0]],
                                       wf_span_str(added[i].pattern), &leaves[i], &error),
                         0);
    }
    static const struct {
        enum wf_method method;
        const char *host, *path, *expect;
    } rows[] = {
        {WF_METHOD_GET, "", "/sub/first", "0"},
        {WF_METHOD_GET, "", "/sub/x/1", "1 | 1 in /sub"},
        {WF_METHOD_HEAD, "", "/sub/x/1", "1 | 1 in /sub"},
        {WF_METHOD_POST, "", "/sub/x/1", "405 in /sub"},
        {WF_METHOD_GET, "", "/sub/", "2 in /sub"},
        {WF_METHOD_GET, "", "/sub", "slash"},
        {WF_METHOD_GET, "", "/sub/x/1/", "slash in /sub"},
        {WF_METHOD_GET, "", "/sub/late", "404 in /sub"},
        {WF_METHOD_GET, "", "/sub/deep/q/1/y", "3 q | 1 in /sub/deep/q"},
        {WF_METHOD_GET, "", "/t/acme/z", "5 acme in /t/acme"},
        {WF_METHOD_GET, "", "/t/acme/n", "404 acme in /t/acme"},
        {WF_METHOD_GET, "", "/other", "7"},
        {WF_METHOD_GET, "a.example.org", "/other", "6 a | other"},
        {WF_METHOD_GET, "A.EXAMPLE.ORG:80", "/n", "6 A | n"},
        {WF_METHOD_GET, "a.example.org", "/sub/x/1", "1 | 1 in /sub"},
        {WF_METHOD_GET, "a.example.org", "/n/m", "404 a"},
        {WF_METHOD_GET, "example.org", "/n", "404"},
        {WF_METHOD_GET, "[::1]:80", "/n", "404"},
    };
    char out[512];
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        const char *got = answer_at(o, leaves, rows[i].method, rows[i].host, rows[i].path, out);
        if (strcmp(got, rows[i].expect) != 0) {
            fail_msg("%s %s: \"%s\", not \"%s\"", rows[i].host, rows[i].path, got, rows[i].expect);
        }
    }
    wf_router_options(r['i'])->redirect_slashes = false;
    assert_string_equal(answer_at(o, leaves, WF_METHOD_GET, "", "/sub/x/1/", out), "404 in /sub");
    wf_router_free(o);
}

static void a_fallback_is_asked_last(void **state) {
    const char *error;
    struct wf_match m;
    struct wf_leaf own = {.methods = POST}, other = {.methods = GET};
    struct wf_router *r = wf_router_new(), *last = wf_router_fallback(r);
    assert_ptr_equal(wf_router_fallback(r), last);
    assert_int_equal(wf_router_add(last, WF_SPAN("/{path:path}"), &other, &error), 0);
    assert_int_equal(wf_router_add(r, WF_SPAN("/a"), &own, &error), 0);
    static const struct {
        const char *path;
        int result;
    } rows[] = {{"/b", WF_ROUTE_FOUND},
                {"/", WF_ROUTE_FOUND},
                {"/a/b", WF_ROUTE_FOUND},
                {"/a", WF_ROUTE_METHOD},
                {"/a/", WF_ROUTE_SLASH}};
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        assert_int_equal(
            wf_router_match(r, WF_METHOD_GET, WF_SPAN(""), wf_span_str(rows[i].path), &m),
            rows[i].result);
        assert_ptr_equal(m.leaf, rows[i].result == WF_ROUTE_FOUND ? &other : NULL);
        assert_ptr_equal(m.router, rows[i].result == WF_ROUTE_FOUND ? last : r);
    }
    assert_int_equal(wf_router_match(r, WF_METHOD_POST, WF_SPAN(""), WF_SPAN("/a"), &m),
                     WF_ROUTE_FOUND);
    assert_ptr_equal(m.leaf, &own);
    assert_int_equal(wf_router_match(r, WF_METHOD_PUT, WF_SPAN(""), WF_SPAN("/b"), &m),
                     WF_ROUTE_METHOD);
    wf_router_free(r);
}

static void parameters_of_all_routers_are_bounded(void **state) {
    const char *error;
    struct wf_leaf leaf = {.methods = GET};
    struct wf_match m;
    struct wf_router *o = wf_router_new(), *r = o;
    for (int i = 0; i < 3; i++) {
        r = wf_router_mount(r, WF_SPAN("/{a}/{b}/{c}/{d}/{e}"), &error);
    }
    assert_int_equal(wf_router_add(r, WF_SPAN("/{x}/{y}"), &leaf, &error), 0);
    assert_int_equal(
        wf_router_match(o, WF_METHOD_GET, WF_SPAN(""),
                        WF_SPAN("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"), &m),
        WF_ROUTE_METHOD); /* there is no place for a 17th: it is not found, and nothing overflows */
    assert_null(m.leaf);
    wf_router_free(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_router_stands_in_another),
        cmocka_unit_test(a_fallback_is_asked_last),
        cmocka_unit_test(parameters_of_all_routers_are_bounded),
        cmocka_unit_test(finds_the_routes_of_the_drawing),
        cmocka_unit_test(parameters_share_a_segment_with_text),
        cmocka_unit_test(convertors_take_what_starlette_takes),
        cmocka_unit_test(the_first_declared_wins),
        cmocka_unit_test(a_route_with_the_wrong_method_does_not_hide_a_later_one),
        cmocka_unit_test(a_trailing_slash_is_toggled_only_where_nothing_matches),
        cmocka_unit_test(wrong_patterns_are_refused_with_a_reason),
        cmocka_unit_test(backtracking_is_bounded),
        cmocka_unit_test(without_memory_the_routes_added_before_still_match),
        cmocka_unit_test(agrees_with_trying_every_route_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
