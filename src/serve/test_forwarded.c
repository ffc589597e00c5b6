/* Which proxies are believed, and what they say; and the lines of the access log. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "serve/test_fixture.h"

static const struct wf_network networks[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1}, 128},  /* 127.0.0.1 */
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 0}, 104},   /* 10.0.0.0/8 */
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 172, 16, 0, 0}, 108}, /* 172.16.0.0/12 */
    {{0xfd}, 8},                                                    /* fd00::/8 */
};

static struct wf_forwarded_config trusting(uint8_t fields) {
    return (struct wf_forwarded_config){
        .networks = networks, .nnetworks = WF_ARRAY_LEN(networks), .fields = fields};
}

static void networks_have_edges(void **state) {
    static const struct {
        const char *host;
        bool trusted;
    } rows[] = {
        {"127.0.0.1", true},       {"127.0.0.2", false}, {"10.0.0.0", true},
        {"10.255.255.255", true},  {"11.0.0.0", false},  {"9.255.255.255", false},
        {"172.15.255.255", false}, {"172.16.0.0", true}, {"172.31.255.255", true},
        {"172.32.0.0", false},     {"fd00::1", true},    {"fdff::", true},
        {"fe00::", false},         {"::1", false},       {"::ffff:10.1.2.3", true},
        {"::10.1.2.3", false},
    };
    struct wf_forwarded_config config = trusting(0), none = {.nnetworks = 0},
                               anyone = {.anyone = true}, sockets = {.unix_sockets = true};
    struct wf_addr a;
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        assert_int_equal(wf_addr_ip(&a, rows[i].host, 1), 0);
        if (wf_forwarded_trusts(&config, &a) != rows[i].trusted) {
            fail_msg("%s", rows[i].host);
        }
        assert_false(wf_forwarded_trusts(&none, &a));
        assert_true(wf_forwarded_trusts(&anyone, &a));
        assert_false(wf_forwarded_trusts(&sockets, &a));
    }
    assert_int_equal(wf_addr_unix(&a, "/x"), 0);
    assert_false(wf_forwarded_trusts(&config, &a));
    assert_true(wf_forwarded_trusts(&anyone, &a));
    assert_true(wf_forwarded_trusts(&sockets, &a));
}

/* Sends the fields, and looks at what they have made of the request: "client scheme host". */
static void check(struct fixture *f, const char *fields, const char *expected) {
    int fd = dial(f);
    say(f, fd, "GET /park HTTP/1.1\nHost: us\n");
    say(f, fd, fields);
    say(f, fd, "\n");
    for (int i = 0; i < 1000 && f->nparked == 0; i++) {
        turn(f, 1);
    }
    assert_int_equal(f->nparked, 1);
    struct wf_exchange *ex = f->parked[--f->nparked];
    struct wf_span host = wf_exchange_host(ex);
    char client[WF_ADDR_CHARS_MAX], got[300];
    wf_addr_write(wf_exchange_peer(ex), client);
    snprintf(got, sizeof(got), "%s %s %.*s", ex->client != NULL ? client : "peer",
             ex->https ? "https" : "http", (int)host.n, host.p);
    if (strcmp(got, expected) != 0) {
        fail_msg("%s\n--- expected\n%s\n--- got\n%s", fields, expected, got);
    }
    wf_reply_send(ex, &text, WF_SPAN(""));
    wf_exchange_finish(ex);
    close(fd);
    turns(f, 2);
}

static void x_forwarded(void **state) {
    struct wf_server_config config = quiet();
    config.forwarded = trusting(WF_FORWARDED_FOR | WF_FORWARDED_PROTO);
    struct fixture *f = start(&config);
    static const struct row rows[] = {
        {"", "peer http us"},
        {"X-Forwarded-For: 192.0.2.1\n", "192.0.2.1:0 http us"},
        {"X-Forwarded-For: 192.0.2.1:4711\n", "192.0.2.1:4711 http us"},
        {"X-Forwarded-For: 2001:db8::1\n", "[2001:db8::1]:0 http us"},
        {"X-Forwarded-For: [2001:db8::1]:80\n", "[2001:db8::1]:80 http us"},
        {"X-Forwarded-For: [2001:db8::1]\n", "[2001:db8::1]:0 http us"},
        /* What the client wrote itself stands in front. */
        {"X-Forwarded-For: 6.6.6.6, 192.0.2.1\n", "192.0.2.1:0 http us"},
        {"X-Forwarded-For: 6.6.6.6, 192.0.2.1 ,10.1.1.1,127.0.0.1\n", "192.0.2.1:0 http us"},
        {"X-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 192.0.2.1\nX-Forwarded-For: 10.1.1.1\n",
         "192.0.2.1:0 http us"},
        {"X-Forwarded-For: 10.1.1.1, 10.1.1.2\n", "10.1.1.1:0 http us"}, /* everyone is trusted */
        {"X-Forwarded-For: 6.6.6.6, unknown, 10.1.1.1\n", "10.1.1.1:0 http us"},
        {"X-Forwarded-For: \n", "peer http us"},
        {"X-Forwarded-For: ,\n", "peer http us"},
        {"X-Forwarded-For: 192.0.2.1:\n", "peer http us"},
        {"X-Forwarded-For: 192.0.2.1:65536\n", "peer http us"},
        {"X-Forwarded-For: 192.0.2.1:8x\n", "peer http us"},
        {"X-Forwarded-For: [2001:db8::1\n", "peer http us"},
        {"X-Forwarded-For: [2001:db8::1]80\n", "peer http us"},
        {"X-Forwarded-For: []\n", "peer http us"},
        {"X-Forwarded-For: 192.0.2.1.example\n", "peer http us"},
        {"X-Forwarded-Proto: https\n", "peer https us"},
        {"X-Forwarded-Proto: HTTPS\n", "peer https us"},
        {"X-Forwarded-Proto: http\n", "peer http us"},
        {"X-Forwarded-Proto: ftp\n", "peer http us"},
        {"X-Forwarded-Proto: https, http\n", "peer http us"},
        {"X-Forwarded-Proto: http\nX-Forwarded-Proto: https\n", "peer https us"},
        /* Not asked for. */
        {"X-Forwarded-Host: them\n", "peer http us"},
        {"Forwarded: for=192.0.2.1;proto=https;host=them\n", "peer http us"},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        check(f, rows[i].say, rows[i].expect);
    }
    stop(f);
}

static void a_chain_is_read_so_far(void **state) {
    struct wf_server_config config = quiet();
    config.forwarded = trusting(WF_FORWARDED_FOR);
    struct fixture *f = start(&config);
    char fields[3000];
    size_t n = (size_t)sprintf(fields, "X-Forwarded-For: 192.0.2.1");
    for (int i = 0; i < WF_FORWARDED_HOPS_MAX; i++) {
        n += (size_t)sprintf(fields + n, ", 10.0.0.%d", i);
    }
    sprintf(fields + n, "\n");
    check(f, fields, "10.0.0.0:0 http us");
    stop(f);
}

static void hosts(void **state) {
    struct wf_server_config config = quiet();
    config.forwarded = trusting(WF_FORWARDED_HOST);
    struct fixture *f = start(&config);
    static const struct row rows[] = {
        {"X-Forwarded-Host: them.example:8080\n", "peer http them.example:8080"},
        {"X-Forwarded-Host: evil, them\n", "peer http them"},
        {"X-Forwarded-Host: evil\nX-Forwarded-Host: them\n", "peer http them"},
        {"X-Forwarded-Host: them/x\n", "peer http us"},
        {"X-Forwarded-Host: a b\n", "peer http us"},
        {"X-Forwarded-Host: \n", "peer http us"},
        {"X-Forwarded-For: 192.0.2.1\n", "peer http us"},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        check(f, rows[i].say, rows[i].expect);
    }
    stop(f);
}

static void forwarded(void **state) {
    struct wf_server_config config = quiet();
    config.forwarded = trusting(WF_FORWARDED_STANDARD);
    struct fixture *f = start(&config);
    static const struct row rows[] = {
        {"Forwarded: for=192.0.2.43\n", "192.0.2.43:0 http us"},
        {"Forwarded: For=\"[2001:db8:cafe::17]:4711\"\n", "[2001:db8:cafe::17]:4711 http us"},
        {"Forwarded: for=192.0.2.60;proto=http;by=203.0.113.43\n", "192.0.2.60:0 http us"},
        {"Forwarded: for=192.0.2.60; proto=https; host=\"them:1\"\n", "192.0.2.60:0 https them:1"},
        {"Forwarded: for=6.6.6.6;proto=http, for=192.0.2.1;proto=https\n", "192.0.2.1:0 https us"},
        {"Forwarded: for=192.0.2.1;proto=https, for=10.0.0.1;proto=http\n", "192.0.2.1:0 https us"},
        {"Forwarded: for=\"192.0.2.1,x\";proto=https\n", "peer https us"},
        {"Forwarded: for=\"_hidden\", for=unknown\n", "peer http us"},
        {"Forwarded: proto=\"ht\\tps\"\n", "peer https us"},
        {"Forwarded: for=\"192.0.2.1\n", "peer http us"},
        {"Forwarded: ;;=;for=,\n", "peer http us"},
        {"Forwarded: \n", "peer http us"},
        {"X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: https\n", "peer http us"},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(rows); i++) {
        check(f, rows[i].say, rows[i].expect);
    }
    stop(f);
}

static void who_is_not_trusted_is_not_believed(void **state) {
    struct wf_server_config config = quiet();
    config.forwarded =
        trusting(WF_FORWARDED_FOR | WF_FORWARDED_PROTO | WF_FORWARDED_HOST | WF_FORWARDED_STANDARD);
    config.forwarded.networks++; /* without the loopback */
    config.forwarded.nnetworks--;
    struct fixture *f = start(&config);
    check(f,
          "X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: x\n"
          "Forwarded: for=192.0.2.1\n",
          "peer http us");
    stop(f);
}

static void the_server_s_own_urls(void **state) {
    struct wf_server_config config = quiet();
    config.forwarded = trusting(WF_FORWARDED_PROTO | WF_FORWARDED_HOST);
    struct fixture *f = start(&config);
    wf_server_add_layer(f->server, wf_layer_https());
    static const struct row rows[] = {
        {"GET /slash HTTP/1.1\nHost: us\nX-Forwarded-Proto: https\nX-Forwarded-Host: them\n\n",
         "HTTP/1.1 307 Temporary Redirect\nlocation: https://them/slash/\ncontent-length: 0\n\n"},
        {"GET /hello?a=b HTTP/1.1\nHost: us:8000\n\n",
         "HTTP/1.1 307 Temporary Redirect\nlocation: https://us:8000/hello?a=b\n"
         "content-length: 0\n\n"},
        {"GET / HTTP/1.1\nHost: us:80\n\n",
         "HTTP/1.1 307 Temporary Redirect\nlocation: https://us/\ncontent-length: 0\n\n"},
        {"GET /a%20b HTTP/1.1\nHost: us:443\n\n",
         "HTTP/1.1 307 Temporary Redirect\nlocation: https://us/a%20b\ncontent-length: 0\n\n"},
        {"GET /hello HTTP/1.1\nHost:\n\n",
         "HTTP/1.1 400 Bad Request\ncontent-type: text/plain; charset=utf-8\ncontent-length: 19\n\n"
         "Invalid host header"},
        {"OPTIONS * HTTP/1.1\nHost: us\n\n",
         "HTTP/1.1 307 Temporary Redirect\nlocation: https://us\ncontent-length: 0\n\n"},
        {"GET /hello HTTP/1.1\nHost: us\nX-Forwarded-Proto: https\n\n", HELLO},
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

/* ---- the access log ---- */

/* The line of one request. */
static char *log_of(enum wf_access_format format, const char *request) {
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct wf_server_config config = quiet();
    config.access_log_fd = fds[1];
    config.access_format = (uint8_t)format;
    config.forwarded = trusting(WF_FORWARDED_FOR);
    struct fixture *f = start(&config);
    wf_server_add_layer(f->server, wf_layer_request_id(WF_SPAN("x-request-id")));
    int fd = dial(f);
    say(f, fd, request);
    struct heard h = hear(f, fd);
    wf_buf_free(&h.bytes);
    close(fd);
    turns(f, 3);
    stop(f);
    close(fds[1]);
    char *line = calloc(1, 4096);
    ssize_t n = read(fds[0], line, 4095);
    assert_true(n > 0);
    close(fds[0]);
    return line;
}

static void log_lines(void **state) {
    static const char request[] =
        "GET /hello?x|y HTTP/1.1\nHost: a\nX-Forwarded-For: 192.0.2.1\n"
        "Referer: https://r/\"\\\nUser-Agent: b\xe4r\nX-Request-ID: me\n\n";
    char *line = log_of(WF_ACCESS_SHORT, request);
    assert_string_equal(line, "192.0.2.1:0 - \"GET /hello?x|y HTTP/1.1\" 200\n");
    free(line);

    unsigned day, year, h, m, s, tz;
    char month[4];
    int end = 0;
    line = log_of(WF_ACCESS_COMBINED, request);
    assert_int_equal(sscanf(line, "192.0.2.1 - - [%2u/%3s/%4u:%2u:%2u:%2u +%4u] %n", &day, month,
                            &year, &h, &m, &s, &tz, &end),
                     7);
    assert_string_equal(line + end, "\"GET /hello?x|y HTTP/1.1\" 200 5 "
                                    "\"https://r/\\x22\\x5c\" \"b\\xe4r\"\n");
    free(line);
    line = log_of(WF_ACCESS_COMMON, "HEAD /hello HTTP/1.0\n\n");
    assert_non_null(strstr(line, "127.0.0.1 - - ["));
    assert_non_null(strstr(line, "] \"HEAD /hello HTTP/1.0\" 200 -\n"));
    free(line);
    line = log_of(WF_ACCESS_COMBINED, "GET /hello HTTP/1.1\nHost: a\n\n");
    assert_non_null(strstr(line, "\" 200 5 \"-\" \"-\"\n"));
    free(line);

    unsigned us;
    line = log_of(WF_ACCESS_JSON, request);
    assert_int_equal(sscanf(line, "{\"time\":\"%4u-%2u-%2uT%2u:%2u:%2uZ\",%n", &year, &day, &day,
                            &h, &m, &s, &end),
                     6);
    char *rest = strstr(line, ",\"duration_us\":");
    assert_non_null(rest);
    assert_int_equal(sscanf(rest, ",\"duration_us\":%u,", &us), 1);
    *rest = '\0';
    assert_string_equal(line + end, "\"client\":\"192.0.2.1\",\"method\":\"GET\","
                                    "\"target\":\"/hello?x|y\",\"protocol\":"
                                    "\"HTTP/1.1\",\"status\":200,\"bytes\":5");
    rest = strstr(rest + 1, ",\"referer\"");
    assert_string_equal(rest, ",\"referer\":\"https://r/\\u0022\\u005c\",\"user_agent\":"
                              "\"b\\u00e4r\",\"request_id\":\"me\"}\n");
    free(line);
    line = log_of(WF_ACCESS_JSON, "nonsense\n\n");
    assert_non_null(strstr(line, "\"method\":\"-\",\"target\":\"-\""));
    assert_non_null(strstr(line, "\"status\":400"));
    assert_non_null(strstr(line, "\"referer\":null,\"user_agent\":null,\"request_id\":null}"));
    free(line);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_have_edges),
        cmocka_unit_test(x_forwarded),
        cmocka_unit_test(a_chain_is_read_so_far),
        cmocka_unit_test(hosts),
        cmocka_unit_test(forwarded),
        cmocka_unit_test(who_is_not_trusted_is_not_believed),
        cmocka_unit_test(the_server_s_own_urls),
        cmocka_unit_test(log_lines),
    };
    return RUN_OVER_EVERY_POLLER(tests, argc, argv);
}
