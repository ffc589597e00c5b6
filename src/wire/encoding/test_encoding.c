/* Each coding there and back, in pieces of every size; what is malformed; memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "wire/encoding/encoding.h"

enum { CONTENT_MAX = 1 << 20, OUT_MAX = 1 << 22 };

static char content[CONTENT_MAX];

/* Text that compresses, and every now and then bytes that do not. */
static struct wf_span make_content(size_t n) {
    uint32_t x = 12345;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        content[i] = i % 1024 < 900 ? "weft draws a thread. "[i % 21] : (char)(x >> 24);
    }
    return wf_span(content, n);
}

static struct wf_buf encoded(enum wf_coding coding, int level, struct wf_span in, size_t piece,
                             enum wf_encode_how between) {
    struct wf_buf out;
    wf_buf_init(&out, OUT_MAX);
    struct wf_encoder *e = wf_encoder_new(coding, level);
    assert_non_null(e);
    while (in.n > piece) {
        assert_int_equal(wf_encode(e, wf_span(in.p, piece), between, &out), WF_BUF_OK);
        in = wf_span(in.p + piece, in.n - piece);
    }
    assert_int_equal(wf_encode(e, in, WF_ENCODE_END, &out), WF_BUF_OK);
    wf_encoder_free(e);
    return out;
}

/* Decodes, `piece` bytes of input and `room` of output at a time; returns the last result. */
static enum wf_decoded decoded(enum wf_coding coding, struct wf_span in, size_t piece, size_t room,
                               struct wf_buf *out) {
    struct wf_decoder *d = wf_decoder_new(coding);
    assert_non_null(d);
    wf_buf_init(out, OUT_MAX);
    enum wf_decoded rc = WF_DECODED_MORE;
    while (in.n != 0 && (rc == WF_DECODED_MORE || rc == WF_DECODED_END)) {
        struct wf_span some = wf_span(in.p, in.n < piece ? in.n : piece);
        in = wf_span(in.p + some.n, in.n - some.n);
        do {
            size_t n = room;
            if (wf_buf_reserve(out, room) != WF_BUF_OK) {
                fail_msg("more comes out than was put in");
            }
            rc = wf_decode(d, &some, out->p + out->len, &n);
            assert_true(n <= room);
            out->len += n;
        } while (rc == WF_DECODED_ROOM);
        assert_true(some.n == 0 || rc >= WF_DECODED_BAD);
    }
    wf_decoder_free(d);
    return rc;
}

#define EACH_CODING(c)                                                                             \
    for (enum wf_coding c = WF_CODING_GZIP; c < WF_CODING_COUNT; c++)                              \
        if (wf_coding_available(c))

static void there_and_back(void **state) {
    static const size_t sizes[] = {0, 1, 2, 100, 1000, 65536, 300000},
                        pieces[] = {1, 7, 4096, CONTENT_MAX};
    EACH_CODING(c) {
        for (size_t s = 0; s < WF_ARRAY_LEN(sizes); s++) {
            for (size_t p = 0; p < WF_ARRAY_LEN(pieces); p++) {
                if (sizes[s] > 5000 && pieces[p] < 1000) {
                    continue;
                }
                struct wf_span in = make_content(sizes[s]);
                struct wf_buf out, back;
                out = encoded(c, 5, in, pieces[p], WF_ENCODE_MORE);
                assert_true(sizes[s] < 1000 || out.len < sizes[s] / 2);
                assert_int_equal(decoded(c, wf_buf_span(&out), pieces[p], pieces[p], &back),
                                 WF_DECODED_END);
                assert_true(wf_span_eq(wf_buf_span(&back), in));
                wf_buf_free(&out);
                wf_buf_free(&back);
            }
        }
    }
}

static void levels_beyond_are_the_nearest(void **state) {
    EACH_CODING(c) {
        int lowest, highest, normal;
        wf_coding_levels(c, &lowest, &highest, &normal);
        assert_true(lowest < normal && normal < highest);
        struct wf_span in = make_content(20000);
        struct wf_buf at_most = encoded(c, highest, in, CONTENT_MAX, WF_ENCODE_MORE),
                      beyond = encoded(c, highest + 100, in, CONTENT_MAX, WF_ENCODE_MORE),
                      below = encoded(c, lowest - 100, in, CONTENT_MAX, WF_ENCODE_MORE);
        assert_true(wf_span_eq(wf_buf_span(&at_most), wf_buf_span(&beyond)));
        assert_true(below.len >= at_most.len);
        wf_buf_free(&at_most);
        wf_buf_free(&beyond);
        wf_buf_free(&below);
    }
}

static void what_is_flushed_can_be_decoded(void **state) {
    EACH_CODING(c) {
        struct wf_encoder *e = wf_encoder_new(c, 3);
        struct wf_decoder *d = wf_decoder_new(c);
        for (int i = 0; i < 50; i++) {
            struct wf_buf out;
            wf_buf_init(&out, OUT_MAX);
            struct wf_span in = make_content((size_t)i * 100 + 1);
            assert_int_equal(wf_encode(e, in, WF_ENCODE_FLUSH, &out), WF_BUF_OK);
            struct wf_span rest = wf_buf_span(&out);
            static char back[8192];
            size_t n = sizeof(back);
            assert_int_equal(wf_decode(d, &rest, back, &n), WF_DECODED_MORE);
            assert_true(wf_span_eq(wf_span(back, n), in));
            wf_buf_free(&out);
        }
        wf_encoder_free(e);
        wf_decoder_free(d);
    }
}

static void a_reset_begins_anew(void **state) {
    EACH_CODING(c) {
        struct wf_encoder *e = wf_encoder_new(c, 3);
        struct wf_buf out, back;
        wf_buf_init(&out, OUT_MAX);
        assert_int_equal(wf_encode(e, make_content(5000), WF_ENCODE_FLUSH, &out), WF_BUF_OK);
        for (int i = 0; i < 3; i++) {
            assert_true(wf_encoder_reset(e));
            out.len = 0;
            struct wf_span in = make_content(3000);
            assert_int_equal(wf_encode(e, in, WF_ENCODE_END, &out), WF_BUF_OK);
            assert_int_equal(decoded(c, wf_buf_span(&out), 100, 100, &back), WF_DECODED_END);
            assert_true(wf_span_eq(wf_buf_span(&back), in));
            wf_buf_free(&back);
        }
        wf_buf_free(&out);
        wf_encoder_free(e);
    }
}

static void output_has_a_limit(void **state) {
    EACH_CODING(c) {
        struct wf_encoder *e = wf_encoder_new(c, 3);
        struct wf_buf out;
        wf_buf_init(&out, 1000);
        assert_int_equal(wf_encode(e, make_content(100000), WF_ENCODE_END, &out), WF_BUF_FULL);
        assert_true(out.len <= 1000);
        wf_buf_free(&out);
        wf_encoder_free(e);
    }
}

/* A megabyte of zeros in a few bytes: the caller stops when it has had enough. */
static void a_bomb_comes_out_as_slowly_as_is_asked_for(void **state) {
    EACH_CODING(c) {
        memset(content, 0, sizeof(content));
        struct wf_buf out =
            encoded(c, 5, wf_span(content, sizeof(content)), CONTENT_MAX, WF_ENCODE_MORE);
        assert_true(out.len < 3000);
        struct wf_decoder *d = wf_decoder_new(c);
        struct wf_span rest = wf_buf_span(&out);
        for (int i = 0; i < 10; i++) {
            char some[1000];
            size_t n = sizeof(some);
            assert_int_equal(wf_decode(d, &rest, some, &n), WF_DECODED_ROOM);
            assert_int_equal(n, sizeof(some));
        }
        wf_decoder_free(d);
        wf_buf_free(&out);
    }
}

static void a_stream_cut_short_has_no_end(void **state) {
    EACH_CODING(c) {
        struct wf_buf out = encoded(c, 5, make_content(300), CONTENT_MAX, WF_ENCODE_MORE), back;
        for (size_t n = 0; n < out.len; n++) {
            assert_int_equal(decoded(c, wf_span(out.p, n), CONTENT_MAX, 1000, &back),
                             WF_DECODED_MORE);
            wf_buf_free(&back);
        }
        wf_buf_free(&out);
    }
}

static void what_follows_the_end_is_bad(void **state) {
    EACH_CODING(c) {
        struct wf_buf out = encoded(c, 5, make_content(300), CONTENT_MAX, WF_ENCODE_MORE), back;
        assert_int_equal(wf_buf_append(&out, "weft", 4), WF_BUF_OK);
        for (size_t piece = 1; piece < out.len; piece++) {
            assert_int_equal(decoded(c, wf_buf_span(&out), piece, 50, &back), WF_DECODED_BAD);
            wf_buf_free(&back);
        }
        wf_buf_free(&out);
    }
}

static void members_and_frames_are_one_content(void **state) {
    EACH_CODING(c) {
        if (c == WF_CODING_BR) { /* has only one */
            continue;
        }
        struct wf_span in = make_content(300);
        struct wf_buf out = encoded(c, 5, in, CONTENT_MAX, WF_ENCODE_MORE), two, back;
        wf_buf_init(&two, OUT_MAX);
        assert_int_equal(wf_buf_append(&two, out.p, out.len), WF_BUF_OK);
        assert_int_equal(wf_buf_append(&two, out.p, out.len), WF_BUF_OK);
        for (size_t piece = 1; piece <= two.len; piece++) {
            for (size_t room = 299; room < 302; room++) {
                assert_int_equal(decoded(c, wf_buf_span(&two), piece, room, &back), WF_DECODED_END);
                assert_int_equal(back.len, 600);
                assert_memory_equal(back.p, in.p, 300);
                assert_memory_equal(back.p + 300, in.p, 300);
                wf_buf_free(&back);
            }
        }
        wf_buf_free(&two);
        wf_buf_free(&out);
    }
}

static void damaged_streams_end(void **state) {
    EACH_CODING(c) {
        struct wf_buf out = encoded(c, 5, make_content(3000), CONTENT_MAX, WF_ENCODE_MORE), back;
        unsigned bad = 0;
        for (size_t i = 0; i < out.len; i++) {
            for (int bit = 0; bit < 8; bit++) {
                out.p[i] ^= (char)(1 << bit);
                enum wf_decoded rc = decoded(c, wf_buf_span(&out), 100, 1000, &back);
                bad += rc == WF_DECODED_BAD;
                if (c == WF_CODING_GZIP && rc == WF_DECODED_END) { /* it has a check sum */
                    assert_true(wf_span_eq(wf_buf_span(&back), make_content(3000)));
                }
                wf_buf_free(&back);
                out.p[i] ^= (char)(1 << bit);
            }
        }
        assert_true(bad > 100); /* of the others, many are as good as any */
        wf_buf_free(&out);
    }
    EACH_CODING(c) {
        struct wf_buf back;
        assert_int_equal(decoded(c, WF_SPAN("{\"a\": 1}"), 1, 10, &back), WF_DECODED_BAD);
        wf_buf_free(&back);
    }
}

/* RFC 9659 section 3: a frame that asks for 128 MiB to remember is refused. */
static void a_zstd_window_has_a_limit(void **state) {
    if (!wf_coding_available(WF_CODING_ZSTD)) {
        skip();
    }
    static const char huge[] = "\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00",
                      allowed[] = "\x28\xb5\x2f\xfd\x00\x68\x01\x00\x00";
    struct wf_buf back;
    assert_int_equal(decoded(WF_CODING_ZSTD, wf_span(huge, 9), 9, 10, &back), WF_DECODED_BAD);
    wf_buf_free(&back);
    assert_int_equal(decoded(WF_CODING_ZSTD, wf_span(allowed, 9), 9, 10, &back), WF_DECODED_END);
    wf_buf_free(&back);
}

static void names(void **state) {
    static const struct {
        const char *token;
        enum wf_coding coding;
    } rows[] = {
        {"gzip", WF_CODING_GZIP},         {"GZip", WF_CODING_GZIP},
        {"x-gzip", WF_CODING_GZIP},       {"br", WF_CODING_BR},
        {"zstd", WF_CODING_ZSTD},         {"ZSTD", WF_CODING_ZSTD},
        {"identity", WF_CODING_IDENTITY}, {"", WF_CODING_COUNT},
        {"deflate", WF_CODING_COUNT},     {"gzip ", WF_CODING_COUNT},
        {"utf-8", WF_CODING_COUNT},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        assert_int_equal(wf_coding_of(wf_span_str(rows[i].token)), rows[i].coding);
    }
    assert_null(wf_encoder_new(WF_CODING_IDENTITY, 1));
    assert_null(wf_decoder_new(WF_CODING_COUNT));
    wf_encoder_free(NULL);
    wf_decoder_free(NULL);
}

static void without_memory(void **state) {
    EACH_CODING(c) {
        struct wf_span in = make_content(3000);
        struct wf_buf out = encoded(c, 5, in, CONTENT_MAX, WF_ENCODE_MORE);
        bool all = false;
        for (unsigned long nth = 1; !all; nth++) {
            struct wf_buf b;
            wf_buf_init(&b, OUT_MAX);
            wf_alloc_fail_from(nth);
            struct wf_encoder *e = wf_encoder_new(c, 5);
            if (e != NULL) {
                int rc = wf_encode(e, in, WF_ENCODE_END, &b);
                assert_true(rc == WF_BUF_OK || rc == WF_BUF_NOMEM);
                all = rc == WF_BUF_OK && wf_encoder_reset(e);
            }
            wf_alloc_fail_from(0);
            wf_encoder_free(e);
            wf_buf_free(&b);
            assert_true(nth < 1000);
        }
        all = false;
        for (unsigned long nth = 1; !all; nth++) {
            static char room[4096];
            size_t n = sizeof(room);
            struct wf_span rest = wf_buf_span(&out);
            wf_alloc_fail_from(nth);
            struct wf_decoder *d = wf_decoder_new(c);
            if (d != NULL) {
                enum wf_decoded rc = wf_decode(d, &rest, room, &n);
                assert_true(rc == WF_DECODED_END || rc == WF_DECODED_NOMEM);
                all = rc == WF_DECODED_END;
            }
            wf_alloc_fail_from(0);
            wf_decoder_free(d);
            assert_true(nth < 1000);
        }
        wf_buf_free(&out);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(levels_beyond_are_the_nearest),
        cmocka_unit_test(what_is_flushed_can_be_decoded),
        cmocka_unit_test(a_reset_begins_anew),
        cmocka_unit_test(output_has_a_limit),
        cmocka_unit_test(a_bomb_comes_out_as_slowly_as_is_asked_for),
        cmocka_unit_test(a_stream_cut_short_has_no_end),
        cmocka_unit_test(what_follows_the_end_is_bad),
        cmocka_unit_test(members_and_frames_are_one_content),
        cmocka_unit_test(damaged_streams_end),
        cmocka_unit_test(a_zstd_window_has_a_limit),
        cmocka_unit_test(names),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
