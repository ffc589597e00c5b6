/* What the tests of the server share: it runs in this thread, over real sockets, with a few routes;
 * the clients are plain descriptors.
 *
 * In expectations a '\n' stands for CR LF, and the date line of replies is left out. Every test
 * runs over every poller there is. */
#ifndef WF_SERVE_TEST_FIXTURE_H
#define WF_SERVE_TEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "serve/server_int.h"

/* ---- the server ---- */

enum { PARKED_MAX = 64 };

struct fixture {
    struct wf_loop loop;
    struct wf_router *router;
    struct wf_server *server;
    struct wf_exchange *parked[PARKED_MAX];
    unsigned nparked, ngone, ndrained, nrequests;
    char seen[64]; /* first letters of paths, in the order their requests came out */
};

/* The poller that the group under way is about. */
extern const struct wf_poller *poller;
/* The head of most replies. */
extern const struct wf_reply_head text;

enum {
    BIG_BYTES = 1 << 20,  /* what /big answers, borrowed */
    FLOOD_BYTES = 3 << 20 /* what /flood streams */
};
extern unsigned big_released;

/* The defaults, without a server field. */
struct wf_server_config quiet(void);
/* config  NULL for quiet() */
struct fixture *start(const struct wf_server_config *config);
extern struct wf_router_options router_options; /* of the next fixture */
bool try_start(struct fixture *f, const struct wf_server_config *config);
/* Asserts that nothing is left over. */
void stop(struct fixture *f);

/* The embedder's turn, as server.h says. */
void turn(struct fixture *f, int wait_ms);
void turns(struct fixture *f, unsigned n);
void sleep_ms(struct fixture *f, int ms);
struct wf_conn *only_conn(struct fixture *f);

/* ---- clients ---- */

/* A connected socket that does not block. */
int dial(struct fixture *f);
void hang_up(int fd, bool reset);
/* Makes the kernel's buffers small, so that it takes little of what nobody reads. */
struct wf_conn *small_buffers(struct fixture *f, int fd);

void say(struct fixture *f, int fd, const char *s);
void say_bytes(struct fixture *f, int fd, const char *p, size_t n);
/* '\n' to CR LF. The caller frees it. */
struct wf_buf expand(const char *s);

struct heard {
    struct wf_buf bytes; /* the caller's to free */
    bool closed, reset;
};
/* Turns the server until that many bytes have come and then nothing more for some turns, or the
 * end. */
struct heard hear_at_least(struct fixture *f, int fd, size_t bytes);
struct heard hear(struct fixture *f, int fd);
/* CR LF to '\n', without date lines, and "<eof>" where the connection has ended. Takes the bytes
 * over; the caller frees the text. */
char *legible(struct heard *h);
void expect(struct fixture *f, int fd, const char *what, const char *expected);

/* ---- tables ---- */

struct row {
    const char *say, *expect;
};
/* Each row on a connection of its own: at once, then byte by byte. */
void check_rows(const struct row *rows, size_t n, const struct wf_server_config *config);
#define CHECK(rows) check_rows(rows, WF_ARRAY_LEN(rows), NULL)

#define HELLO "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 5\n\nhello"
#define HELLO_CLOSE                                                                                \
    "HTTP/1.1 200 OK\ncontent-type: text/plain\ncontent-length: 5\nconnection: "                   \
    "close\n\nhello<eof>"
#define ERROR(status, length, detail)                                                              \
    "HTTP/1.1 " status "\ncontent-type: application/json\ncontent-length: " length                 \
    "\n\n{\"detail\":\"" detail "\"}"
#define REFUSED(status, length, detail)                                                            \
    "HTTP/1.1 " status "\ncontent-type: application/json\ncontent-length: " length                 \
    "\nconnection: close\n\n{\"detail\":\"" detail "\"}<eof>"

/* argv  [source dir [name of a test, * and ? allowed]] */
#define RUN_OVER_EVERY_POLLER(tests, argc, argv)                                                   \
    ({                                                                                             \
        int failed_ = 0;                                                                           \
        if ((argc) > 2) {                                                                          \
            cmocka_set_test_filter((argv)[2]);                                                     \
        }                                                                                          \
        for (const struct wf_poller *const *p_ = wf_pollers; *p_ != NULL; p_++) {                  \
            poller = *p_;                                                                          \
            failed_ += cmocka_run_group_tests_name(wf_poller_name(poller), tests, NULL, NULL);     \
        }                                                                                          \
        failed_;                                                                                   \
    })

#endif
