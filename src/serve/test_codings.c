/* Replies that a layer compresses, and bodies that come compressed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "serve/test_fixture.h"
#include "wire/encoding/encoding.h"

#define EACH_CODING(c)                                                                             \
    for (enum wf_coding c = WF_CODING_GZIP; c < WF_CODING_COUNT; c++)                              \
        if (wf_coding_available(c))

/* long_bytes  UINT64_MAX: every content is compressed at once */
static struct wf_layer *compress(uint64_t long_bytes) {
    struct wf_compress_config config = {.long_bytes = long_bytes};
    static const struct wf_span excluded[] = {WF_SPAN("image/*"), WF_SPAN("application/grpc")};
    EACH_CODING(c) {
        config.codings[config.ncodings++] = (struct wf_compress_coding){(uint8_t)c, 4};
    }
    config.excluded = excluded;
    config.nexcluded = 2;
    return wf_layer_compress(&config);
}

static struct wf_buf decode(enum wf_coding coding, struct wf_span in) {
    struct wf_buf out;
    wf_buf_init(&out, 1 << 24);
    struct wf_decoder *d = wf_decoder_new(coding);
    enum wf_decoded rc;
    do {
        assert_int_equal(wf_buf_reserve(&out, 65536), WF_BUF_OK);
        size_t n = out.cap - out.len;
        rc = wf_decode(d, &in, out.p + out.len, &n);
        out.len += n;
    } while (rc == WF_DECODED_ROOM);
    assert_int_equal(rc, WF_DECODED_END);
    wf_decoder_free(d);
    return out;
}

static struct wf_buf encode(enum wf_coding coding, struct wf_span in) {
    struct wf_buf out;
    wf_buf_init(&out, 1 << 24);
    struct wf_encoder *e = wf_encoder_new(coding, 4);
    assert_int_equal(wf_encode(e, in, WF_ENCODE_END, &out), WF_BUF_OK);
    wf_encoder_free(e);
    return out;
}

/* ---- replies ---- */

/* Asks for `path`; asserts that the head has `field`, and gives what the content is once decoded. */
static struct wf_buf content(struct fixture *f, const char *method, const char *path,
                             enum wf_coding coding, bool coded) {
    char what[300];
    snprintf(what, sizeof(what),
             "%s %s HTTP/1.1\nHost: a\nConnection: close\nAccept-Encoding: %s\n\n", method, path,
             wf_coding_name(coding).p);
    int fd = dial(f);
    say(f, fd, what);
    struct heard h = hear(f, fd);
    close(fd);
    turns(f, 2);
    char *p = h.bytes.p, *end = memmem(p, h.bytes.len, "\r\n\r\n", 4);
    assert_non_null(end);
    size_t head = (size_t)(end + 4 - p);
    snprintf(what, sizeof(what), "\r\ncontent-encoding: %s\r\n", wf_coding_name(coding).p);
    assert_true((memmem(p, head, what, strlen(what)) != NULL) == coded);
    struct wf_buf out;
    wf_buf_init(&out, 1 << 24);
    struct wf_span rest = wf_span(end + 4, h.bytes.len - head);
    if (memmem(p, head, "transfer-encoding: chunked", 26) != NULL) {
        struct wf_chunked chunked;
        size_t n = rest.n, used;
        wf_chunked_init(&chunked);
        if (rest.n != 0) {
            assert_int_equal(wf_chunked_decode(&chunked, end + 4, &n, &used), WF_CHUNKED_DONE);
        }
        rest.n = n;
    }
    if (coded && rest.n != 0) {
        out = decode(coding, rest);
    } else {
        assert_int_equal(wf_buf_append_span(&out, rest), WF_BUF_OK);
    }
    wf_buf_free(&h.bytes);
    return out;
}

static void check(struct fixture *f, const char *path, enum wf_coding coding, bool coded,
                  struct wf_span expected) {
    struct wf_buf b = content(f, "GET", path, coding, coded);
    assert_int_equal(b.len, expected.n);
    assert_memory_equal(b.p, expected.p, expected.n);
    wf_buf_free(&b);
    b = content(f, "HEAD", path, coding, coded);
    assert_int_equal(b.len, 0);
    wf_buf_free(&b);
}

static void replies_of_every_kind(void **state) {
    static char xs[BIG_BYTES], zeros[20000];
    memset(xs, 'x', sizeof(xs));
    struct fixture *f = start(NULL);
    wf_server_add_layer(f->server, compress(*(const uint64_t *)*state));
    unsigned released = big_released;
    EACH_CODING(c) {
        check(f, "/big", c, true, wf_span(xs, sizeof(xs)));            /* borrowed */
        check(f, "/mid", c, true, wf_span(zeros, sizeof(zeros)));      /* whole */
        check(f, "/chunks", c, true, WF_SPAN("oneseventeen bytes..")); /* streamed */
        check(f, "/items/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", c,
              true, WF_SPAN("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
        check(f, "/items/a", c, false, WF_SPAN("a")); /* would not get shorter */
        released += 2;
    }
    check(f, "/mid", WF_CODING_IDENTITY, false, wf_span(zeros, sizeof(zeros)));
    assert_int_equal(big_released, released);
    stop(f);
}

static void the_server_s_own_errors(void **state) {
    struct fixture *f = start(NULL);
    wf_server_add_layer(f->server, compress(UINT64_MAX));
    static const struct row rows[] = {
        /* Too short to win anything, but it could have: so Vary. */
        {"GET /nothing HTTP/1.1\nHost: a\nAccept-Encoding: gzip\n\n",
         "HTTP/1.1 404 Not Found\ncontent-type: application/json\nvary: Accept-Encoding\n"
         "content-length: 22\n\n{\"detail\":\"Not Found\"}"},
        {"GET /empty HTTP/1.1\nHost: a\nAccept-Encoding: gzip\n\n", "HTTP/1.1 204 No Content\n\n"},
        {"GET /cancelled HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 422 Unprocessable Content\ncontent-type: application/json\n"
         "vary: Accept-Encoding\ncontent-length: 35\n\n"
         "{\"detail\":\"no \\\"such\\\"\\u000athing\"}"},
        {"GET /crash HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 500 Internal Server Error\ncontent-type: application/json\n"
         "vary: Accept-Encoding\ncontent-length: 34\n\n{\"detail\":\"Internal Server Error\"}"},
        {"GET /cut HTTP/1.1\nHost: a\n\n",
         "HTTP/1.1 200 OK\ncontent-type: text/plain\nvary: Accept-Encoding\n"
         "transfer-encoding: chunked\n\n4\nhalf\n<eof>"},
        {"nonsense\n\n",
         "HTTP/1.1 400 Bad Request\ncontent-type: application/json\ncontent-length: 53\n"
         "connection: close\n\n{\"detail\":\"the request does not begin with a method\"}<eof>"},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        int fd = dial(f);
        say(f, fd, rows[i].say);
        expect(f, fd, rows[i].say, rows[i].expect);
        close(fd);
        turns(f, 2);
    }
    stop(f);
}

static void who_takes_nothing_is_waited_for(void **state) {
    struct fixture *f = start(NULL);
    wf_server_add_layer(f->server, compress(UINT64_MAX));
    int fd = dial(f);
    say(f, fd, "GET /flood HTTP/1.1\nHost: a\nAccept-Encoding: gzip\nConnection: close\n\n");
    struct heard h = hear(f, fd);
    assert_true(h.closed && h.bytes.len < FLOOD_BYTES / 20);
    wf_buf_free(&h.bytes);
    close(fd);
    turns(f, 2);
    stop(f);
}

/* ---- long contents ---- */

static char *xs_of_big(void) {
    static char xs[BIG_BYTES];
    memset(xs, 'x', sizeof(xs));
    return xs;
}

/* Undoes chunks from *at on, and moves it behind them; the caller frees the text. */
static struct wf_buf undo(struct wf_span *at, enum wf_coding coding) {
    struct wf_chunked chunked;
    char *body = memmem(at->p, at->n, "\r\n\r\n", 4);
    assert_non_null(body);
    body += 4;
    size_t n = (size_t)(at->p + at->n - body), used;
    wf_chunked_init(&chunked);
    assert_int_equal(wf_chunked_decode(&chunked, body, &n, &used), WF_CHUNKED_DONE);
    *at = wf_span(body + used, (size_t)(at->p + at->n - body) - used);
    return decode(coding, wf_span(body, n));
}

static void check_big(struct wf_span *at, enum wf_coding coding) {
    struct wf_buf b = undo(at, coding);
    assert_int_equal(b.len, BIG_BYTES);
    assert_memory_equal(b.p, xs_of_big(), BIG_BYTES);
    wf_buf_free(&b);
}

#define BIG "GET /big HTTP/1.1\nHost: a\nAccept-Encoding: gzip\n\n"

static void others_have_their_turns_beside_a_long_content(void **state) {
    struct fixture *f = start(NULL);
    wf_server_add_layer(f->server, compress(1000));
    int long_one = dial(f), other = dial(f);
    say(f, long_one, BIG);
    while (wf_list_empty(&f->server->coding)) {
        turn(f, 1);
    }
    say(f, other, "GET /hello HTTP/1.1\nHost: a\n\n");
    char p[4096];
    unsigned n = 0;
    while (recv(other, p, sizeof(p), 0) < 0) {
        turn(f, 1);
        n++;
    }
    assert_false(wf_list_empty(&f->server->coding)); /* the long one is far from its end */
    assert_true(n < BIG_BYTES / (32 * 1024));
    struct heard h = hear(f, long_one);
    struct wf_span at = wf_buf_span(&h.bytes);
    check_big(&at, WF_CODING_GZIP);
    assert_int_equal(at.n, 0);
    wf_buf_free(&h.bytes);
    close(long_one);
    close(other);
    turns(f, 3);
    stop(f);
}

static void what_is_pipelined_behind_a_long_content_comes_behind_it(void **state) {
    struct fixture *f = start(NULL);
    wf_server_add_layer(f->server, compress(1000));
    int fd = dial(f);
    say(f, fd, BIG BIG "GET /hello HTTP/1.1\nHost: a\nConnection: close\n\n");
    struct heard h = hear(f, fd);
    struct wf_span at = wf_buf_span(&h.bytes);
    check_big(&at, WF_CODING_GZIP);
    check_big(&at, WF_CODING_GZIP);
    assert_memory_equal(at.p + at.n - 9, "\r\n\r\nhello", 9);
    assert_true(h.closed && memcmp(f->seen, "bbh", 3) == 0);
    wf_buf_free(&h.bytes);
    close(fd);
    turns(f, 3);
    stop(f);
}

static void a_long_content_on_http_1_0_ends_with_the_connection(void **state) {
    struct fixture *f = start(NULL);
    wf_server_add_layer(f->server, compress(1000));
    int fd = dial(f);
    say(f, fd, "GET /big HTTP/1.0\nHost: a\nAccept-Encoding: gzip\n\n");
    struct heard h = hear(f, fd);
    assert_true(h.closed && !h.reset);
    char *body = memmem(h.bytes.p, h.bytes.len, "\r\n\r\n", 4);
    assert_non_null(body);
    body += 4;
    struct wf_buf b =
        decode(WF_CODING_GZIP, wf_span(body, (size_t)(h.bytes.p + h.bytes.len - body)));
    assert_int_equal(b.len, BIG_BYTES);
    wf_buf_free(&b);
    wf_buf_free(&h.bytes);
    close(fd);
    turns(f, 3);
    stop(f);
}

static void clients_leave_in_the_middle_of_a_long_content(void **state) {
    struct fixture *f = start(NULL);
    wf_server_add_layer(f->server, compress(1000));
    unsigned released = big_released;
    for (int how = 0; how < 2; how++) {
        int fd = dial(f);
        say(f, fd, BIG);
        while (wf_list_empty(&f->server->coding)) {
            turn(f, 1);
        }
        turns(f, 3);
        hang_up(fd, how == 1);
        for (int i = 0; i < 2000 && wf_server_open_connections(f->server) != 0; i++) {
            turn(f, 1);
        }
        assert_int_equal(wf_server_open_connections(f->server), 0);
        assert_true(wf_list_empty(&f->server->coding));
        assert_int_equal(big_released, ++released);
    }
    int fd = dial(f); /* and the server itself */
    say(f, fd, BIG);
    while (wf_list_empty(&f->server->coding)) {
        turn(f, 1);
    }
    stop(f);
    assert_int_equal(big_released, ++released);
    close(fd);
}

static void a_drain_waits_for_a_long_content(void **state) {
    struct fixture *f = start(NULL);
    wf_server_add_layer(f->server, compress(1000));
    int fd = dial(f);
    say(f, fd, BIG);
    while (wf_list_empty(&f->server->coding)) {
        turn(f, 1);
    }
    wf_server_drain(f->server);
    struct heard h = hear(f, fd);
    struct wf_span at = wf_buf_span(&h.bytes);
    check_big(&at, WF_CODING_GZIP);
    assert_true(h.closed && at.n == 0);
    wf_buf_free(&h.bytes);
    close(fd);
    turns(f, 2);
    stop(f);
}

/* What does not get shorter: as much comes out as goes in. */
static struct wf_span noise(void) {
    static char bytes[512 * 1024];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        x = x * 1664525 + 1013904223;
        bytes[i] = (char)(x >> 24);
    }
    return wf_span(bytes, sizeof(bytes));
}

static void a_long_content_waits_for_who_does_not_read(void **state) {
    struct fixture *f = start(NULL);
    wf_server_add_layer(f->server, compress(1000));
    struct wf_span sent = noise();
    int fd = dial(f);
    struct wf_conn *c = small_buffers(f, fd);
    char head[200];
    snprintf(head, sizeof(head),
             "POST /echo HTTP/1.1\nHost: a\nAccept-Encoding: gzip\nContent-Length: %zu\n\n",
             sent.n);
    say(f, fd, head);
    say_bytes(f, fd, sent.p, sent.n);
    for (int i = 0; i < 2000 && !c->drained_owed; i++) {
        turn(f, 1);
    }
    turns(f, 5);
    assert_true(c->drained_owed && wf_list_empty(&f->server->coding));
    assert_in_range(wf_stream_pending(&c->stream), WF_STREAM_LOW_WATER + 1,
                    2 * WF_STREAM_HIGH_WATER);
    struct heard h = hear_at_least(f, fd, sent.n);
    struct wf_span at = wf_buf_span(&h.bytes);
    struct wf_buf b = undo(&at, WF_CODING_GZIP);
    assert_int_equal(b.len, sent.n);
    assert_memory_equal(b.p, sent.p, sent.n);
    assert_false(h.closed);
    wf_buf_free(&b);
    wf_buf_free(&h.bytes);
    close(fd);
    turns(f, 3);
    stop(f);
}

/* ---- bodies ---- */

static void say_coded(struct fixture *f, int fd, const char *path, const char *codings,
                      struct wf_span body, size_t piece) {
    char head[200];
    snprintf(head, sizeof(head),
             "POST %s HTTP/1.1\nHost: a\nContent-Encoding: %s\nContent-Length: %zu\n\n", path,
             codings, body.n);
    say(f, fd, head);
    while (body.n != 0) {
        size_t n = WF_MIN(piece, body.n);
        say_bytes(f, fd, body.p, n);
        body = wf_span(body.p + n, body.n - n);
        turn(f, 0);
    }
}

static void say_body(struct fixture *f, int fd, const char *path, enum wf_coding coding,
                     struct wf_span body, size_t piece) {
    say_coded(f, fd, path, wf_coding_name(coding).p, body, piece);
}

static void check_coded(struct fixture *f, const char *path, const char *codings,
                        struct wf_span body, const char *expected) {
    for (size_t piece = 1; piece < 100000; piece = piece * 300 + 1) {
        if (piece == 1 && body.n > 3000) {
            continue;
        }
        int fd = dial(f);
        say_coded(f, fd, path, codings, body, piece);
        expect(f, fd, path, expected);
        close(fd);
        turns(f, 2);
    }
}

static void check_body(struct fixture *f, const char *path, enum wf_coding coding,
                       struct wf_span body, const char *expected) {
    check_coded(f, path, wf_coding_name(coding).p, body, expected);
}

static void bodies(void **state) {
    struct fixture *f = start(NULL);
    EACH_CODING(c) {
        struct wf_buf small = encode(c, WF_SPAN("hello")), large, form;
        static char zeros[200000];
        large = encode(c, wf_span(zeros, sizeof(zeros)));
        form = encode(c, WF_SPAN("--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
                                 "--b--\r\n"));
        check_body(f, "/echo", c, wf_buf_span(&small), HELLO);
        check_body(f, "/drink", c, wf_buf_span(&large),
                   "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 10\n\n200000 end");
        check_body(f, "/form", c, wf_buf_span(&form),
                   "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 0\n\n");
        check_body(f, "/small", c, wf_buf_span(&large),
                   REFUSED("413 Content Too Large", "30", "Content Too Large"));
        wf_buf_free(&small);
        wf_buf_free(&large);
        wf_buf_free(&form);
    }
    stop(f);
}

/* What was applied last is undone first; the limit is of each step. */
static void two_codings(void **state) {
    static const char zeros[200000];
    struct fixture *f = start(NULL);
    EACH_CODING(first) {
        EACH_CODING(last) {
            char codings[64];
            snprintf(codings, sizeof(codings), "%s, ,%s", wf_coding_name(first).p,
                     wf_coding_name(last).p);
            struct wf_buf once = encode(first, WF_SPAN("hello")),
                          twice = encode(last, wf_buf_span(&once)),
                          large = encode(first, wf_span(zeros, sizeof(zeros))),
                          larger = encode(last, wf_buf_span(&large));
            check_coded(f, "/echo", codings, wf_buf_span(&twice), HELLO);
            check_coded(f, "/drink", codings, wf_buf_span(&larger),
                        "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 10\n\n"
                        "200000 end");
            check_coded(f, "/small", codings, wf_buf_span(&larger),
                        REFUSED("413 Content Too Large", "30", "Content Too Large"));
            /* neither may end early, nor have something behind its end */
            struct wf_buf cut = encode(last, wf_span(once.p, once.len - 1));
            char more[128];
            memcpy(more, once.p, once.len);
            more[once.len] = 'x';
            struct wf_buf behind = encode(last, wf_span(more, once.len + 1));
            const struct wf_span bad[] = {wf_buf_span(&cut), wf_buf_span(&behind),
                                          wf_span(twice.p, twice.len - 1), wf_buf_span(&once)};
            for (size_t i = 0; i < WF_ARRAY_LEN(bad); i++) {
                for (int streamed = 0; streamed < 2; streamed++) {
                    int fd = dial(f);
                    say_coded(f, fd, streamed ? "/drink" : "/echo", codings, bad[i], 3);
                    struct heard h = hear(f, fd);
                    if (memmem(h.bytes.p, h.bytes.len, streamed ? "broken" : " 400 ", 5) == NULL) {
                        fail_msg("%s, %zu: %.*s", codings, i, (int)h.bytes.len, h.bytes.p);
                    }
                    wf_buf_free(&h.bytes);
                    close(fd);
                    turns(f, 2);
                }
            }
            wf_buf_free(&once);
            wf_buf_free(&twice);
            wf_buf_free(&large);
            wf_buf_free(&larger);
            wf_buf_free(&cut);
            wf_buf_free(&behind);
        }
    }
    stop(f);
}

static void bodies_that_are_refused(void **state) {
    struct fixture *f = start(NULL);
    static const struct row rows[] = {
        {"POST /echo HTTP/1.1\nHost: a\nContent-Encoding: deflate\nContent-Length: 1\n\nx", "415"},
        {"POST /echo HTTP/1.1\nHost: a\nContent-Encoding: gzip, br\nContent-Length: 1\n\nx", "400"},
        {"POST /echo HTTP/1.1\nHost: a\nContent-Encoding: gzip, x\nContent-Length: 1\n\nx", "415"},
        {"POST /echo HTTP/1.1\nHost: a\nContent-Encoding: br, br, br\nContent-Length: 1\n\nx",
         "415"},
        {"POST /echo HTTP/1.1\nHost: a\nContent-Encoding: br, br\nContent-Encoding: br\n"
         "Content-Length: 1\n\nx",
         "415"},
        {"POST /drink HTTP/1.1\nHost: a\nContent-Encoding: x\nContent-Length: 1\n\nx", "415"},
        {"POST /nobody HTTP/1.1\nHost: a\nContent-Encoding: x\nContent-Length: 1\n\nx", "200"},
        {"POST /echo HTTP/1.1\nHost: a\nContent-Encoding: x\nContent-Length: 0\n\n", "200"},
        {"POST /echo HTTP/1.1\nHost: a\nContent-Encoding: gzip\nContent-Length: 1\n\nx", "400"},
        {"POST /echo HTTP/1.1\nHost: a\nContent-Encoding: gzip\nContent-Length: 1\n\n\x1f", "400"},
        {"POST /form HTTP/1.1\nHost: a\nContent-Encoding: br\nContent-Length: 2\n\nxx", "400"},
        {"POST /echo HTTP/1.1\nHost: a\nContent-Encoding: zstd\nTransfer-Encoding: chunked\n\n"
         "1\nx\n",
         "400"},
        /* The head says enough: nothing of the body is asked for. */
        {"POST /echo HTTP/1.1\nHost: a\nContent-Encoding: x\nContent-Length: 9\n"
         "Expect: 100-continue\n\n",
         "415"},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        int fd = dial(f);
        say(f, fd, rows[i].say);
        struct heard h = hear(f, fd);
        assert_true(h.bytes.len > 12);
        if (memcmp(h.bytes.p + 9, rows[i].expect, 3) != 0) {
            fail_msg("%s: %.12s", rows[i].say, h.bytes.p);
        }
        bool says = memmem(h.bytes.p, h.bytes.len, "\naccept-encoding: ", 18) != NULL;
        assert_int_equal(says, strcmp(rows[i].expect, "415") == 0);
        wf_buf_free(&h.bytes);
        close(fd);
        turns(f, 2);
    }
    stop(f);
}

/* A length that is exactly the limit, and one more. */
static void the_limit_is_of_what_it_becomes(void **state) {
    EACH_CODING(c) {
        struct wf_server_config config = quiet();
        config.body_bytes_max = 50;
        struct fixture *limited = start(&config);
        static const char zeros[51];
        for (size_t n = 50; n < 52; n++) {
            struct wf_buf body = encode(c, wf_span(zeros, n));
            assert_true(body.len < 50);
            int fd = dial(limited);
            say_body(limited, fd, "/echo", c, wf_buf_span(&body), 1);
            struct heard h = hear(limited, fd);
            assert_memory_equal(h.bytes.p + 9, n == 50 ? "200" : "413", 3);
            wf_buf_free(&h.bytes);
            close(fd);
            fd = dial(limited);
            say_body(limited, fd, "/drink", c, wf_buf_span(&body), 1000);
            h = hear(limited, fd);
            assert_non_null(memmem(h.bytes.p, h.bytes.len, n == 50 ? "50 end" : "large", 5));
            wf_buf_free(&h.bytes);
            wf_buf_free(&body);
            close(fd);
        }
        turns(limited, 3);
        stop(limited);
    }
}

/* ---- memory ---- */

/* The 1st, 2nd, ... allocation fails: some reply, or an end, but no crash and nothing left over. */
static void without_memory(void **state) {
    static const char zeros[60000];
    EACH_CODING(c) {
        struct wf_buf body = encode(c, wf_span(zeros, sizeof(zeros)));
        bool whole = false;
        for (unsigned long nth = 1; !whole; nth += nth < 20 ? 1 : 9) {
            struct fixture *f = start(NULL);
            struct wf_layer *layer = compress(UINT64_MAX);
            assert_non_null(layer);
            wf_server_add_layer(f->server, layer);
            int fd = dial(f);
            char ask[300];
            int n = snprintf(ask, sizeof(ask),
                             "POST /echo HTTP/1.1\r\nHost: a\r\nAccept-Encoding: %s\r\n"
                             "Content-Encoding: %s\r\nContent-Length: %zu\r\n\r\n",
                             wf_coding_name(c).p, wf_coding_name(c).p, body.len);
            turns(f, 1);
            wf_alloc_fail_from(nth);
            say_bytes(f, fd, ask, (size_t)n);
            say_bytes(f, fd, body.p, body.len);
            static const char more[] =
                "GET /flood HTTP/1.1\r\nHost: a\r\nAccept-Encoding: *\r\n\r\n"
                "GET /items/x HTTP/1.1\r\nHost: a\r\n\r\n"
                "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            say_bytes(f, fd, more, sizeof(more) - 1);
            size_t heard = 0;
            for (int idle = 0; idle < 10; idle++) {
                static char p[65536];
                turn(f, 1);
                ssize_t got;
                while ((got = recv(fd, p, sizeof(p), 0)) > 0) {
                    heard += (size_t)got;
                    idle = 0;
                }
                if (got == 0) {
                    break;
                }
            }
            wf_alloc_fail_from(0);
            whole = heard > BIG_BYTES && heard < BIG_BYTES + sizeof(zeros) / 2;
            close(fd);
            turns(f, 3);
            stop(f);
            assert_true(nth < 1000);
        }
        wf_buf_free(&body);
    }
}

/* The same for two long contents: whole, as it is, or cut, and then one can tell. */
static void long_contents_without_memory(void **state) {
    EACH_CODING(c) {
        bool whole = false;
        for (unsigned long nth = 1; !whole; nth += nth < 24 ? 1 : nth / 2) {
            struct fixture *f = start(NULL);
            wf_server_add_layer(f->server, compress(1000));
            unsigned released = big_released;
            int fd = dial(f);
            char ask[300];
            snprintf(ask, sizeof(ask),
                     "GET /mid HTTP/1.1\nHost: a\nAccept-Encoding: %s\n\n"
                     "GET /big HTTP/1.1\nHost: a\nAccept-Encoding: %s\nConnection: close\n\n",
                     wf_coding_name(c).p, wf_coding_name(c).p);
            turns(f, 2);
            struct wf_buf asked = expand(ask);
            wf_alloc_fail_from(nth);
            say_bytes(f, fd, asked.p, asked.len);
            size_t n = 0;
            static char heard[2 * BIG_BYTES];
            bool closed = false;
            for (int idle = 0; idle < 10 && !closed; idle++) {
                turn(f, 1);
                ssize_t got;
                while ((got = recv(fd, heard + n, sizeof(heard) - n, 0)) > 0) {
                    n += (size_t)got;
                    idle = 0;
                }
                closed = got == 0 || errno != EAGAIN;
            }
            wf_alloc_fail_from(0);
            const char *coded = memmem(heard, n, "\r\ncontent-encoding: ", 20);
            if (coded != NULL && n > 5 && memcmp(heard + n - 5, "0\r\n\r\n", 5) == 0 &&
                memmem(coded + 20, n - (size_t)(coded + 20 - heard),
                       "\r\ncontent-encoding: ", 20) != NULL) {
                struct wf_span at = wf_span(heard, n);
                struct wf_buf b = undo(&at, c);
                assert_int_equal(b.len, 20000);
                wf_buf_free(&b);
                check_big(&at, c);
                whole = true;
            }
            close(fd);
            turns(f, 3);
            stop(f);
            assert_true(big_released <= released + 1);
            assert_true(nth < 2000);
            wf_buf_free(&asked);
        }
    }
}

int main(int argc, char **argv) {
    static const uint64_t never = UINT64_MAX, often = 30;
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(replies_of_every_kind, (void *)(uintptr_t)&never),
        {"replies_of_every_kind_piece_by_piece", replies_of_every_kind, NULL, NULL,
         (void *)(uintptr_t)&often},
        cmocka_unit_test(others_have_their_turns_beside_a_long_content),
        cmocka_unit_test(what_is_pipelined_behind_a_long_content_comes_behind_it),
        cmocka_unit_test(a_long_content_on_http_1_0_ends_with_the_connection),
        cmocka_unit_test(clients_leave_in_the_middle_of_a_long_content),
        cmocka_unit_test(a_drain_waits_for_a_long_content),
        cmocka_unit_test(a_long_content_waits_for_who_does_not_read),
        cmocka_unit_test(the_server_s_own_errors),
        cmocka_unit_test(who_takes_nothing_is_waited_for),
        cmocka_unit_test(bodies),
        cmocka_unit_test(two_codings),
        cmocka_unit_test(bodies_that_are_refused),
        cmocka_unit_test(the_limit_is_of_what_it_becomes),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(long_contents_without_memory),
    };
    return RUN_OVER_EVERY_POLLER(tests, argc, argv);
}
