/* How long a request head takes to read: ns a head for each scanner this machine has.
 *
 *     http1_parse            times
 *     http1_parse N NAME     reads head NAME N times and says nothing, for callgrind */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "wire/http1/http1.h"

static const struct {
    const char *name, *head;
} heads[] = {
    {"smallest", "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n"},
    {"curl", "GET /items/42?q=abc&limit=10 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n"
             "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"},
    {"post", "POST /items HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: application/json\r\n"
             "Content-Length: 176\r\n\r\n"},
    {"browser",
     "GET /static/app/main.css?v=20240611 HTTP/1.1\r\n"
     "Host: shop.example.com\r\n"
     "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
     "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
     "Accept-Language: en-US,en;q=0.5\r\n"
     "Accept-Encoding: gzip, deflate, br, zstd\r\n"
     "Referer: https://shop.example.com/catalogue/shoes?page=2&sort=price\r\n"
     "Connection: keep-alive\r\n"
     "Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; cart=17,23,42; "
     "consent=yes; _ga=GA1.2.1234567890.1718000000\r\n"
     "Upgrade-Insecure-Requests: 1\r\n"
     "Sec-Fetch-Dest: document\r\n"
     "Sec-Fetch-Mode: navigate\r\n"
     "Priority: u=0, i\r\n\r\n"},
};

static void read_times(const char *head, size_t n, unsigned times) {
    static const struct wf_http1_limits limits = {64 * 1024, 16 * 1024, 100};
    struct wf_field fields[100];
    for (unsigned i = 0; i < times; i++) {
        struct wf_http1_progress progress = {0};
        struct wf_head h = {.fields = fields, .fields_cap = 100};
        if (wf_http1_head(&limits, &progress, wf_span(head, n), &h) != (ssize_t)n) {
            abort();
        }
    }
}

/* The best of ten rounds: what the machine can do when nobody disturbs. */
static double best_ns(const char *head, size_t n) {
    enum { TIMES = 100000 };
    double best = 1e9;
    for (int round = 0; round < 10; round++) {
        uint64_t start = wf_clock_mono_ns();
        read_times(head, n, TIMES);
        double ns = (double)(wf_clock_mono_ns() - start) / TIMES;
        best = ns < best ? ns : best;
    }
    return best;
}

int main(int argc, char **argv) {
    static const char *const scanners[] = {"avx2", "sse4.2", "neon", "plain"};
    wf_http1_init();
    for (size_t i = 0; argc == 3 && i < WF_ARRAY_LEN(heads); i++) {
        if (strcmp(heads[i].name, argv[2]) == 0) {
            read_times(heads[i].head, strlen(heads[i].head), (unsigned)atoi(argv[1]));
            return 0;
        }
    }
    for (size_t s = 0; s < WF_ARRAY_LEN(scanners); s++) {
        for (size_t i = 0; wf_http1_use_scanner(scanners[s]) && i < WF_ARRAY_LEN(heads); i++) {
            size_t n = strlen(heads[i].head);
            printf("%-8s %-10s %4zu bytes %7.1f ns\n", scanners[s], heads[i].name, n,
                   best_ns(heads[i].head, n));
        }
    }
    return 0;
}
