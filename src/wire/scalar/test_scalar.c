/* Tests of scalar: replays what pydantic answered (cases/scalars.txt, made by make_cases.py).
 * With "-" for its argument it reads such lines from standard input instead. */
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
#include "base/num.h"
#include "wire/scalar/scalar.h"

enum { LINE_MAX_BYTES = 40000 };

static FILE *cases;

/* ---- the answers of this room, in the words of the case file ---- */

struct answer {
    char text[LINE_MAX_BYTES]; /* "=\tVALUE" or "!\tTYPE\tDETAIL" */
    char message[WF_SCALAR_MESSAGE_MAX];
    size_t message_n;
};

static void say_error(struct answer *a, enum wf_scalar_error e, struct wf_span in) {
    struct wf_span detail;
    a->message_n = wf_scalar_error_message(e, in, a->message, &detail);
    assert_true(a->message_n <= WF_SCALAR_MESSAGE_MAX);
    assert_ptr_equal(detail.p + detail.n, a->message + a->message_n);
    char *p = a->text + sprintf(a->text, "!\t%s\t", wf_scalar_error_type(e));
    for (size_t i = 0; i < detail.n; i++) {
        unsigned char c = (unsigned char)detail.p[i];
        p += sprintf(p, c >= 0x20 && c < 0x7f && c != '\\' ? "%c" : "\\x%02x", c);
    }
}

static void say_text(struct answer *a, const char *text, size_t n) {
    assert_true(n <= WF_SCALAR_TEXT_MAX);
    sprintf(a->text, "=\t%.*s", (int)n, text);
}

static enum wf_scalar_error answer_int(struct answer *a, struct wf_span in) {
    struct wf_int v;
    enum wf_scalar_error e = wf_scalar_int(in, &v);
    if (e != WF_SCALAR_OK) {
        return e;
    }
    if (!v.big) {
        assert_true(v.negative == (v.value < 0) || v.value == 0);
        sprintf(a->text, "=\t%lld", (long long)v.value);
        return e;
    }
    char *p = a->text + sprintf(a->text, v.negative ? "=\t-" : "=\t");
    for (size_t i = 0; i < v.digits.n; i++) {
        if (v.digits.p[i] != '_') {
            *p++ = v.digits.p[i];
        }
    }
    *p = '\0';
    return e;
}

static enum wf_scalar_error answer_float(struct answer *a, struct wf_span in) {
    double v;
    enum wf_scalar_error e = wf_scalar_float(in, &v);
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    if (e == WF_SCALAR_OK && isnan(v)) {
        strcpy(a->text, "=\tnan");
    } else if (e == WF_SCALAR_OK) {
        sprintf(a->text, "=\t%016llx", (unsigned long long)bits);
    }
    return e;
}

static enum wf_scalar_error answer_bool(struct answer *a, struct wf_span in) {
    bool v = false;
    enum wf_scalar_error e = wf_scalar_bool(in, &v);
    strcpy(a->text, v ? "=\ttrue" : "=\tfalse");
    return e;
}

static enum wf_scalar_error answer_decimal(struct answer *a, struct wf_span in) {
    struct wf_span text;
    strcpy(a->text, "=\tok");
    return wf_scalar_decimal(in, &text);
}

static enum wf_scalar_error answer_timedelta(struct answer *a, struct wf_span in) {
    struct wf_timedelta v;
    char out[WF_SCALAR_TEXT_MAX];
    enum wf_scalar_error e = wf_scalar_timedelta(in, &v);
    if (e == WF_SCALAR_OK) {
        int n = (int)wf_timedelta_write(out, &v);
        sprintf(a->text, "=\t%d %d %d %.*s", v.days, v.seconds, v.microseconds, n, out);
    }
    return e;
}

#define ANSWER_TEXT(kind, type, pass)                                                              \
    static enum wf_scalar_error answer_##kind(struct answer *a, struct wf_span in) {               \
        type v;                                                                                    \
        char out[WF_SCALAR_TEXT_MAX];                                                              \
        enum wf_scalar_error e = wf_scalar_##kind(in, pass);                                       \
        if (e == WF_SCALAR_OK) {                                                                   \
            say_text(a, out, wf_##kind##_write(out, pass));                                        \
        }                                                                                          \
        return e;                                                                                  \
    }
typedef uint8_t uuid_bytes[16];
ANSWER_TEXT(uuid, uuid_bytes, v)
ANSWER_TEXT(date, struct wf_date, &v)
ANSWER_TEXT(time, struct wf_time, &v)
ANSWER_TEXT(datetime, struct wf_datetime, &v)

static const struct {
    const char *kind;
    enum wf_scalar_error (*answer)(struct answer *a, struct wf_span in);
} kinds[] = {
    {"int", answer_int},           {"float", answer_float},         {"bool", answer_bool},
    {"uuid", answer_uuid},         {"date", answer_date},           {"time", answer_time},
    {"datetime", answer_datetime}, {"timedelta", answer_timedelta}, {"decimal", answer_decimal},
};

static void answer(struct answer *a, const char *kind, struct wf_span in) {
    for (size_t i = 0; i < WF_ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i].kind, kind) == 0) {
            enum wf_scalar_error e = kinds[i].answer(a, in);
            if (e != WF_SCALAR_OK) {
                say_error(a, e, in);
            }
            return;
        }
    }
    fail_msg("no kind %s", kind);
}

/* ---- the case file ---- */

struct message {
    char type[64];
    char text[WF_SCALAR_MESSAGE_MAX];
};
static struct message messages[32];
static size_t message_count;

static const char *message_of(const char *type, size_t n) {
    for (size_t i = 0; i < message_count; i++) {
        if (strlen(messages[i].type) == n && memcmp(messages[i].type, type, n) == 0) {
            return messages[i].text;
        }
    }
    return "(no message in the cases)";
}

/* Undoes \xNN, into memory of exactly that size, so that a sanitizer sees a step too far. */
static struct wf_span unescaped(const char *s) {
    char *out = malloc(strlen(s) + 1);
    size_t n = 0;
    for (; *s != '\0'; s++) {
        unsigned c = (unsigned char)*s;
        if (c == '\\') {
            sscanf(s, "\\x%2x", &c);
            s += 3;
        }
        out[n++] = (char)c;
    }
    char *exact = malloc(n > 0 ? n : 1);
    memcpy(exact, out, n);
    free(out);
    return wf_span(exact, n);
}

/* Whether ours is what the line says; else tells the difference. */
static bool check(const char *kind, const char *input, const char *want) {
    static struct answer ours;
    struct wf_span in = unescaped(input);
    answer(&ours, kind, in);
    free((char *)in.p);
    if (strcmp(ours.text, want) != 0) {
        print_error("%s '%.100s': pydantic %.150s, ours %.150s\n", kind, input, want, ours.text);
        return false;
    }
    if (want[0] == '!') {
        const char *type = want + 2;
        const char *text = message_of(type, strcspn(type, "\t"));
        struct wf_span detail = unescaped(strchr(type, '\t') + 1);
        bool same = ours.message_n == strlen(text) + detail.n &&
                    memcmp(ours.message, text, strlen(text)) == 0;
        free((char *)detail.p);
        if (!same) {
            print_error("%s '%.100s': message is %.*s\n", kind, input, (int)ours.message_n,
                        ours.message);
            return false;
        }
    }
    return true;
}

static void strings_are_judged_as_pydantic_does(void **state) {
    static char line[LINE_MAX_BYTES];
    size_t checked = 0;
    size_t wrong = 0;
    while (fgets(line, sizeof(line), cases) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *input = strchr(line, '\t');
        assert_non_null(input);
        *input++ = '\0';
        char *want = strchr(input, '\t');
        assert_non_null(want);
        *want++ = '\0';
        if (strcmp(line, "message") == 0) {
            assert_true(message_count < WF_ARRAY_LEN(messages));
            snprintf(messages[message_count].type, sizeof(messages[0].type), "%s", input);
            snprintf(messages[message_count++].text, sizeof(messages[0].text), "%s", want);
            continue;
        }
        checked++;
        wrong += !check(line, input, want);
    }
    if (wrong > 0) {
        fail_msg("%zu of %zu cases differ", wrong, checked);
    }
    assert_true(checked > 1000);
}

/* ---- by hand ---- */

static void empty_spans_without_memory_are_refused(void **state) {
    static struct answer a;
    for (size_t i = 0; i < WF_ARRAY_LEN(kinds); i++) {
        answer(&a, kinds[i].kind, (struct wf_span){NULL, 0});
        assert_int_equal(a.text[0], '!');
    }
}

static void underscored_floats_have_an_end(void **state) {
    static char text[WF_SCALAR_UNDERSCORED_MAX + 2];
    memset(text, '1', sizeof(text));
    text[1] = '_';
    double v;
    assert_int_equal(wf_scalar_float(wf_span(text, WF_SCALAR_UNDERSCORED_MAX), &v), WF_SCALAR_OK);
    assert_int_equal(wf_scalar_float(wf_span(text, WF_SCALAR_UNDERSCORED_MAX + 1), &v),
                     WF_SCALAR_FLOAT_PARSING);
}

static void decimal_text_is_trimmed(void **state) {
    struct wf_span text;
    assert_int_equal(wf_scalar_decimal(WF_SPAN("\t 1_0.5 \x1f"), &text), WF_SCALAR_OK);
    assert_true(wf_span_eq(text, WF_SPAN("1_0.5")));
}

/* What no string reads as, but Python can hold. */
static void offsets_within_a_minute_keep_their_sign(void **state) {
    static const struct {
        int32_t offset_s;
        const char *want;
    } offsets[] = {
        {0, "01:02:03Z"},           {30, "01:02:03+00:00"},    {-30, "01:02:03-00:00"},
        {3690, "01:02:03+01:01"},   {-3690, "01:02:03-01:01"}, {86399, "01:02:03+23:59"},
        {-86399, "01:02:03-23:59"},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(offsets); i++) {
        char out[WF_SCALAR_TEXT_MAX + 1];
        struct wf_time t = {1, 2, 3, true, offsets[i].offset_s, 0};
        out[wf_time_write(out, &t)] = '\0';
        assert_string_equal(out, offsets[i].want);
    }
}

static void timedeltas_are_written_with_one_sign(void **state) {
    static const struct {
        struct wf_timedelta v;
        const char *want;
    } deltas[] = {
        {{0, 0, 0}, "PT0S"},
        {{-1, 86399, 999999}, "-PT0.000001S"},
        {{-366, 1, 1}, "-P1YT23H59M58.999999S"},
        {{999999999, 86399, 999999}, "P2739726Y9DT23H59M59.999999S"},
        {{-999999999, 0, 0}, "-P2739726Y9D"},
        {{0, 3661, 500}, "PT1H1M1.0005S"},
        {{0, 60, 1}, "PT1M0.000001S"},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(deltas); i++) {
        char out[WF_SCALAR_TEXT_MAX + 1];
        out[wf_timedelta_write(out, &deltas[i].v)] = '\0';
        assert_string_equal(out, deltas[i].want);
    }
}

int main(int argc, char **argv) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/scalar/cases/scalars.txt", argc > 1 ? argv[1] : ".");
    cases = argc > 1 && strcmp(argv[1], "-") == 0 ? stdin : fopen(path, "r");
    if (cases == NULL) {
        perror(path);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_judged_as_pydantic_does),
        cmocka_unit_test(empty_spans_without_memory_are_refused),
        cmocka_unit_test(underscored_floats_have_an_end),
        cmocka_unit_test(decimal_text_is_trimmed),
        cmocka_unit_test(offsets_within_a_minute_keep_their_sign),
        cmocka_unit_test(timedeltas_are_written_with_one_sign),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fclose(cases);
    return failed;
}
