/* Tests of base/utf8 against the definition: a sequence is good when encoding what it stands for
 * gives it back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/ucs.h"
#include "base/utf8.h"

enum { PAGE = 4096 };
static char *page_end; /* the next byte faults */

static unsigned encode(char *out, uint32_t c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    unsigned n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (unsigned i = n - 1; i > 0; i--, c >>= 6) {
        out[i] = (char)(0x80 | (c & 0x3f));
    }
    out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

/* One character from s, or -1: the slow model. */
static int64_t model_next(struct wf_span s, unsigned *used) {
    unsigned char lead = (unsigned char)s.p[0];
    unsigned n = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (n == 0 || n > s.n) {
        return -1;
    }
    uint32_t c = n == 1 ? lead : lead & (0xffu >> (n + 1));
    for (unsigned i = 1; i < n; i++) {
        c = c << 6 | ((unsigned char)s.p[i] & 0x3f);
    }
    char back[4];
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || encode(back, c) != n ||
        memcmp(back, s.p, n) != 0) {
        return -1;
    }
    *used = n;
    return c;
}

static bool model(struct wf_span s, size_t *chars, uint32_t *max_char) {
    uint32_t max = 0;
    *chars = 0;
    for (size_t i = 0; i < s.n; (*chars)++) {
        unsigned used = 0;
        int64_t c = model_next(wf_span(s.p + i, s.n - i), &used);
        if (c < 0) {
            return false;
        }
        max = WF_MAX(max, (uint32_t)c);
        i += used;
    }
    *max_char = max < 0x80 ? 0x7f : max < 0x100 ? 0xff : max < 0x10000 ? 0xffff : 0x10ffff;
    return true;
}

static void agree(const char *bytes, size_t n) {
    size_t got_chars = 0, want_chars;
    uint32_t got_max = 0, want_max;
    char *p = page_end - n;
    memcpy(p, bytes, n);
    bool want = model(wf_span(p, n), &want_chars, &want_max);
    bool got = wf_utf8_check(wf_span(p, n), &got_chars, &got_max);
    if (got != want || (want && (got_chars != want_chars || got_max != want_max))) {
        fail_msg("%02x %02x %02x %02x of %zu: %d, %zu characters up to %x", (unsigned char)p[0],
                 (unsigned char)p[n > 1], (unsigned char)p[n > 2 ? 2 : 0],
                 (unsigned char)p[n > 3 ? 3 : 0], n, got, got_chars, got_max);
    }
}

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % n);
}

static void all_sequences_of_one_and_two_bytes(void **state) {
    agree("", 0);
    for (int a = 0; a < 256; a++) {
        char s[2] = {(char)a};
        agree(s, 1);
        for (int b = 0; b < 256; b++) {
            s[1] = (char)b;
            agree(s, 2);
        }
    }
}

static void all_sequences_around_the_edges_of_the_ranges(void **state) {
    static const unsigned char edges[] = {
        0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xdf, 0xe0,
        0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xfc, 0xfe, 0xff};
    enum { N = WF_ARRAY_LEN(edges) };
    /* behind 0 to 70 other bytes, so that wide loads meet them at each place */
    for (unsigned i = 0; i < N * N * N * N; i++) {
        char s[80];
        unsigned before = i % 71, kind = random_below(3);
        for (unsigned k = 0; k < before; k++) {
            s[k] = kind == 0 ? 'a' : (char)(k % 2 ? 0xa9 : 0xc3);
        }
        before -= kind != 0 && before % 2;
        s[before] = (char)edges[i % N];
        s[before + 1] = (char)edges[i / N % N];
        s[before + 2] = (char)edges[i / N / N % N];
        s[before + 3] = (char)edges[i / N / N / N];
        agree(s, before + 4);
        agree(s + before, 3);
    }
}

static void every_character_is_good(void **state) {
    for (uint32_t c = 0; c <= 0x110000; c++) {
        char s[4];
        agree(s, encode(s, c));
    }
}

static void long_text_with_a_fault_at_a_random_place(void **state) {
    static const uint32_t most[] = {0x80, 0x100, 0x800, 0x10000, 0x110000};
    for (int round = 0; round < 20000; round++) {
        char s[600];
        size_t n = 0, wanted = random_below(500);
        while (n < wanted) {
            uint32_t c = random_below(most[random_below(1 + random_below(5))]);
            n += encode(s + n, c >= 0xd800 && c <= 0xdfff ? 'x' : c);
        }
        agree(s, n);
        if (n > 0) {
            s[random_below((uint32_t)n)] = (char)random_below(256);
            agree(s, n);
            agree(s, random_below((uint32_t)n));
        }
    }
}

static void ascii_prefix_ends_at_the_first_other_byte(void **state) {
    for (size_t n = 0; n < 200; n++) {
        char *p = page_end - n;
        memset(p, 'a', n);
        assert_int_equal(wf_ascii_prefix(p, n), n);
        for (size_t i = 0; i < n; i++) {
            p[i] = (char)0x80;
            assert_int_equal(wf_ascii_prefix(p, n), i);
            p[i] = 'a';
        }
    }
}

/* Text of characters below `most` to code points in `width` bytes and back is the same text. */
static void there_and_back(uint32_t most, unsigned width) {
    uint32_t wide[500];
    for (int round = 0; round < 3000; round++) {
        char s[2000];
        size_t n = 0, chars = 0, wanted = random_below(200);
        uint32_t below = most;
        for (; chars < wanted; chars++) {
            if (random_below(8) == 0) { /* runs of one kind are what the loops are about */
                uint32_t kind = 0x80u << 4 * random_below(5);
                below = random_below(3) == 0 ? most : WF_MIN(most, kind);
            }
            uint32_t c = random_below(below);
            n += encode(s + n, c >= 0xd800 && c <= 0xdfff ? 'x' : c);
        }
        char *in = page_end - n; /* reading past it faults */
        memcpy(in, s, n);
        memset(wide, 0xee, sizeof(wide));
        wf_ucs_from_utf8(wide, width, wf_span(in, n));
        assert_int_equal(((uint8_t *)wide)[chars * width], 0xee);
        char back[2000];
        assert_true(n <= wf_ucs_utf8_max(chars, width));
        assert_int_equal(wf_ucs_to_utf8(back, wide, chars, width), n);
        assert_memory_equal(back, s, n);
    }
}

static void code_points_in_arrays(void **state) {
    there_and_back(0x100, 1);
    there_and_back(0x10000, 2);
    there_and_back(0x110000, 4);
    char out[16];
    for (uint32_t c = 0xd800; c <= 0xdfff; c++) {
        uint16_t two[2] = {'a', (uint16_t)c};
        uint32_t four[2] = {0x1f600, c};
        assert_true(wf_ucs_to_utf8(out, two, 2, 2) == SIZE_MAX);
        assert_true(wf_ucs_to_utf8(out, four, 2, 4) == SIZE_MAX);
    }
}

int main(void) {
    char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || mprotect(page + PAGE, PAGE, PROT_NONE) != 0) {
        return 2;
    }
    page_end = page + PAGE;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sequences_of_one_and_two_bytes),
        cmocka_unit_test(all_sequences_around_the_edges_of_the_ranges),
        cmocka_unit_test(every_character_is_good),
        cmocka_unit_test(long_text_with_a_fault_at_a_random_place),
        cmocka_unit_test(ascii_prefix_ends_at_the_first_other_byte),
        cmocka_unit_test(code_points_in_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
