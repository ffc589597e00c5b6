/* Tests of num: against what CPython answers (cases/doubles.txt), against strtod, and against the
 * definition of "shortest". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/num_short.h"
#include "base/pow10_table.h"

static const char *source_dir;

enum { ROUNDS = 100000 };

static uint64_t seed = 0x9e3779b97f4a7c15;
static uint64_t random_u64(void) { /* xorshift64 */
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static double double_of(uint64_t bits) {
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

static uint64_t bits_of(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static void assert_writes(double v, const char *want) {
    char out[WF_DOUBLE_CHARS_MAX + 1];
    out[wf_double_write(out, v)] = '\0';
    assert_string_equal(out, want);
}

/* Reads all of text from memory that ends where it ends, so that a sanitizer sees a step too far.
 */
static double read_whole(const char *text) {
    size_t n = strlen(text);
    char *copy = malloc(n);
    memcpy(copy, text, n);
    double v = 0;
    assert_ptr_equal(wf_double_read(copy, copy + n, &v), copy + n);
    free(copy);
    return v;
}

static void integers_are_written_in_full(void **state) {
    char out[WF_U64_DIGITS_MAX], want[32];
    for (uint64_t edge = 1; edge <= UINT64_MAX / 10; edge *= 10) {
        for (int d = -1; d <= 1; d++) {
            uint64_t v = edge + (uint64_t)d;
            int n = snprintf(want, sizeof(want), "%llu", (unsigned long long)v);
            assert_int_equal(wf_u64_write(out, v), n);
            assert_memory_equal(out, want, n);
            n = snprintf(want, sizeof(want), "%lld", (long long)v);
            assert_int_equal(wf_i64_write(out, (int64_t)v), n);
            assert_memory_equal(out, want, n);
        }
    }
    for (int i = 0; i < ROUNDS; i++) {
        int64_t v = (int64_t)random_u64() >> (random_u64() & 63);
        int n = snprintf(want, sizeof(want), "%lld", (long long)v);
        assert_int_equal(wf_i64_write(out, v), n);
        assert_memory_equal(out, want, n);
    }
    assert_int_equal(wf_u64_write(out, UINT64_MAX), WF_U64_DIGITS_MAX);
    assert_memory_equal(out, "18446744073709551615", WF_U64_DIGITS_MAX);
    assert_int_equal(wf_i64_write(out, INT64_MIN), WF_I64_DIGITS_MAX);
    assert_memory_equal(out, "-9223372036854775808", WF_I64_DIGITS_MAX);
}

/* Fixed points are rounded up: one too large shows where all digits behind a place are nines, one too small
 * where they are zeros. */
static void digits_beside_round_numbers_are_right(void **state) {
    for (uint64_t unit = 1; unit <= UINT32_MAX; unit *= 10) {
        for (uint64_t many = 0; many < 1000 && many * unit <= UINT32_MAX; many++) {
            for (int beside = -1; beside <= 1; beside++) {
                char want[32], out[WF_U64_DIGITS_MAX], eight[8];
                uint32_t v = (uint32_t)(many * unit) + (uint32_t)beside;
                int n = snprintf(want, sizeof(want), "%u", v);
                assert_int_equal(wf_u32_write(out, v), n);
                assert_memory_equal(out, want, (size_t)n);
                if (v < 100000000) {
                    snprintf(want, sizeof(want), "%08u", v);
                    wf_put_8_digits(eight, v);
                    assert_memory_equal(eight, want, 8);
                }
            }
        }
    }
}

static void doubles_are_laid_out_as_repr_does(void **state) {
    assert_writes(0.0, "0.0");
    assert_writes(-0.0, "-0.0");
    assert_writes(1.0, "1.0");
    assert_writes(-1.5, "-1.5");
    assert_writes(0.0001, "0.0001");
    assert_writes(0.00001, "1e-05");
    assert_writes(1e15, "1000000000000000.0");
    assert_writes(1e16, "1e+16");
    assert_writes(123456789012345678.0, "1.2345678901234568e+17");
    assert_writes(1e22, "1e+22");
    assert_writes(1e23, "1e+23");
    assert_writes(1e100, "1e+100");
    assert_writes(5e-324, "5e-324");
    assert_writes(1e-323, "1e-323");
    assert_writes(1.7976931348623157e308, "1.7976931348623157e+308");
    assert_writes(-2.2250738585072014e-308, "-2.2250738585072014e-308");
}

static void doubles_agree_with_cpython(void **state) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/cases/doubles.txt", source_dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char line[4096], text[4096];
    char kind;
    unsigned long long bits;
    int cases = 0;
    while (fgets(line, sizeof(line), f) != NULL) {
        assert_int_equal(sscanf(line, "%c %llx %s", &kind, &bits, text), 3);
        if (kind == 'w') {
            assert_writes(double_of(bits), text);
        }
        if (bits_of(read_whole(text)) != bits) {
            fail_msg("%s read as %016llx", text, (unsigned long long)bits_of(read_whole(text)));
        }
        cases++;
    }
    fclose(f);
    assert_true(cases > 4000);
}

/* The digits of the decimal of n digits nearest to v. */
static void nearest_digits(char *out, double v, int n) {
    char text[64];
    snprintf(text, sizeof(text), "%.*e", n - 1, v);
    out[0] = text[0];
    memcpy(out + 1, text + 2, (size_t)n - 1);
    out[n] = '\0';
}

static void doubles_are_shortest_and_nearest(void **state) {
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t bits = random_u64() & ~(UINT64_C(1) << 63);
        switch (i % 4) {
        case 0: /* any */
            break;
        case 1: /* magnitudes people use */
            bits = bits_of((double)(bits >> 11) / (double)(1u << (bits & 31)));
            break;
        case 2: /* few digits */
            bits = bits_of((double)(bits % 100000) / 1000);
            break;
        case 3: /* subnormal and just above */
            bits &= UINT64_MAX >> (11 + (bits >> 58) % 50);
            break;
        }
        double v = double_of(bits);
        if (!isfinite(v) || v == 0) {
            continue;
        }
        char out[WF_DOUBLE_CHARS_MAX + 1];
        size_t n = wf_double_write(out, v);
        assert_true(n <= WF_DOUBLE_CHARS_MAX);
        out[n] = '\0';
        assert_int_equal(bits_of(read_whole(out)), bits);
        assert_int_equal(bits_of(strtod(out, NULL)), bits);

        char digits[32];
        int count = 0;
        for (char *p = out; *p != '\0' && *p != 'e'; p++) {
            if (*p != '.' && (count > 0 || *p != '0')) {
                digits[count++] = *p;
            }
        }
        while (digits[count - 1] == '0') {
            count--;
        }
        digits[count] = '\0';

        char text[64], want[64];
        nearest_digits(want, v, count);
        snprintf(text, sizeof(text), "%.*e", count - 1, v);
        if (strtod(text, NULL) ==
            v) { /* else the only one of this length that reads back is ours */
            assert_string_equal(digits, want);
        }
        if (count > 1) {
            snprintf(text, sizeof(text), "%.*e", count - 2, v);
            if (strtod(text, NULL) == v) {
                fail_msg("%s has a shorter form, %s", out, text);
            }
        }
    }
}

static void reading_agrees_with_strtod(void **state) {
    char text[128];
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t digits = random_u64() >> (random_u64() & 63);
        int exp10 = (int)(random_u64() % 720) - 380;
        switch (i % 3) {
        case 0:
            snprintf(text, sizeof(text), "%llue%d", (unsigned long long)digits, exp10);
            assert_int_equal(bits_of(wf_double_make(digits, exp10)), bits_of(strtod(text, NULL)));
            break;
        case 1:
            snprintf(text, sizeof(text), "%llu.%020llue%d", (unsigned long long)digits,
                     (unsigned long long)random_u64(), exp10 / 16);
            break;
        case 2: /* midpoints: 54 bits, exactly */
            snprintf(text, sizeof(text), "%.1f", (double)(digits >> 11) / 2);
            break;
        }
        if (bits_of(read_whole(text)) != bits_of(strtod(text, NULL))) {
            fail_msg("%s", text);
        }
    }
}

/* What wf_short_number_read makes of text with commas behind it: one, or as many bytes as it needs, or
 * `more` of them. */
static enum wf_short_number read_short(const char *text, size_t more, size_t *used, int32_t *i,
                                       double *d) {
    size_t n = strlen(text), room = WF_MAX(n + 1 + more, (size_t)WF_SHORT_NUMBER_BYTES);
    char *copy = malloc(room);
    memset(copy, ',', room);
    memcpy(copy, text, n);
    const char *p = copy;
    enum wf_short_number kind = wf_short_number_read(&p, p + room, i, d);
    *used = (size_t)(p - copy);
    free(copy);
    return kind;
}

static void short_numbers_are_those_of_the_long_way(void **state) {
    unsigned doubles = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        char text[40];
        int whole = (int)(random_u64() % 4), fraction = (int)(random_u64() % 18), n = 0;
        n += snprintf(text, sizeof(text), "%s", random_u64() % 2 ? "-" : "");
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%d",
                      (int)(random_u64() % (uint64_t[]){1, 10, 100, 1000}[whole]));
        if (fraction > 0) {
            text[n++] = '.';
            for (; fraction > 0; fraction--) {
                text[n++] = (char)('0' + (random_u64() % 4 == 0 ? 0 : random_u64() % 10));
            }
            text[n] = '\0';
        }
        size_t used;
        int32_t i;
        double d;
        switch (read_short(text, round % 4 == 0 ? 0 : WF_SHORT_FRACTION_BYTES, &used, &i, &d)) {
        case WF_SHORT_INT:
            assert_null(strchr(text, '.'));
            assert_int_equal(i, atoi(text));
            assert_int_equal(used, strlen(text));
            break;
        case WF_SHORT_DOUBLE:
            assert_true(bits_of(d) == bits_of(strtod(text, NULL)));
            assert_int_equal(used, strlen(text));
            doubles++;
            break;
        case WF_SHORT_NONE:
            assert_int_equal(used, 0);
            break;
        }
    }
#if defined(__SSE2__)
    assert_true(doubles > ROUNDS / 2);
#else
    assert_true(doubles > ROUNDS / 20);
#endif
}

static void short_numbers_are_no_others(void **state) {
    const char *const others[] = {
        "",
        "-",
        "x",
        "-x",
        "00",
        "01",
        "-01",
        "1234",
        "-1234",
        "1e5",
        "12E5",
        "123e+1",
        "1.",
        "1.x",
        "1.5e3",
        "1.55E",
        "0.123e1",
        "1.5.2",
        "1.25.",
        "1.125.1",
        ".5",
        "+1",
        "1.12345678901234567",
        "--1",
        "1.e5",
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(others); i++) {
        size_t used;
        int32_t v;
        double d;
        assert_int_equal(read_short(others[i], WF_SHORT_FRACTION_BYTES, &used, &v, &d),
                         WF_SHORT_NONE);
        assert_int_equal(used, 0);
    }
}

static void reading_stops_where_the_number_does(void **state) {
    static const struct {
        const char *text;
        int taken; /* -1: no number starts here */
    } cases[] = {
        {"", -1},         {"-", -1},    {".5", -1},  {"+1", -1},      {"e5", -1},
        {"- 1", -1},      {"inf", -1},  {"1", 1},    {"1.", 1},       {"1.e5", 1},
        {"1e", 1},        {"1e+", 1},   {"1e+x", 1}, {"1.5.5", 3},    {"1.5e5.5", 5},
        {"-12,", 3},      {"1_0", 1},   {"0x10", 1}, {"12345678", 8}, {"123456789/", 9},
        {"12345678:", 8}, {"1e5e5", 3}, {"--1", -1}, {"1-1", 1},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(cases); i++) {
        const char *p = cases[i].text;
        double v;
        const char *end = wf_double_read(p, p + strlen(p), &v);
        assert_int_equal(end == NULL ? -1 : end - p, cases[i].taken);
    }
}

static void lax_reading_needs_digits_on_one_side_only(void **state) {
    static const struct {
        const char *text;
        int taken;
        double want;
    } cases[] = {
        {".5", 2, 0.5},
        {"5.", 2, 5},
        {"-.5e1", 5, -5},
        {"5.e1", 4, 50},
        {".", -1, 0},
        {"-.", -1, 0},
        {".e5", -1, 0},
        {"1..2", 2, 1},
        {"1.5", 3, 1.5},
        {".5.", 2, 0.5},
        {"", -1, 0},
        {"12345678901234567890.", 21, 12345678901234567890.0},
        {".12345678901234567890123", 24, .12345678901234567890123},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(cases); i++) {
        const char *p = cases[i].text;
        double v = 0;
        const char *end = wf_double_read_lax(p, p + strlen(p), &v);
        assert_int_equal(end == NULL ? -1 : end - p, cases[i].taken);
        assert_true(v == cases[i].want);
    }
}

static void no_power_of_ten_ends_in_64_ones(void **state) {
    for (int k = POW10_MIN; k <= POW10_MAX; k++) {
        assert_true(pow10_table[k - POW10_MIN].hi >> 63);
        assert_true(pow10_table[k - POW10_MIN].lo != UINT64_MAX);
    }
}

int main(int argc, char **argv) {
    source_dir = argc > 1 ? argv[1] : ".";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_beside_round_numbers_are_right),
        cmocka_unit_test(integers_are_written_in_full),
        cmocka_unit_test(doubles_are_laid_out_as_repr_does),
        cmocka_unit_test(doubles_agree_with_cpython),
        cmocka_unit_test(doubles_are_shortest_and_nearest),
        cmocka_unit_test(reading_agrees_with_strtod),
        cmocka_unit_test(short_numbers_are_those_of_the_long_way),
        cmocka_unit_test(short_numbers_are_no_others),
        cmocka_unit_test(reading_stops_where_the_number_does),
        cmocka_unit_test(lax_reading_needs_digits_on_one_side_only),
        cmocka_unit_test(no_power_of_ten_ends_in_64_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
