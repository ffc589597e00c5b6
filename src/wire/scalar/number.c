#include "wire/scalar/scalar_int.h"

#include <math.h>

#include "base/check.h"
#include "base/num.h"

/* int, float, bool and decimal. */

/* ---- white space ---- */

/* Bytes of the white space character that s starts with; 0 where it starts with none. */
static size_t space_at(const char *s, size_t n) {
    const unsigned char *p = (const unsigned char *)s;
    if (n >= 1 && (p[0] == ' ' || (p[0] >= '\t' && p[0] <= '\r'))) {
        return 1;
    }
    if (n >= 2 && p[0] == 0xc2 && (p[1] == 0x85 || p[1] == 0xa0)) {
        return 2;
    }
    if (n >= 3 && p[0] >= 0xe1 && p[0] <= 0xe3) {
        uint32_t c = (uint32_t)(p[0] & 0xf) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
        if (c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
            c == 0x202f || c == 0x205f || c == 0x3000) {
            return 3;
        }
    }
    return 0;
}

static size_t space_before(const char *end, size_t n) {
    for (size_t k = 1; k <= 3 && k <= n; k++) {
        if (space_at(end - k, k) == k) {
            return k;
        }
    }
    return 0;
}

struct wf_span scalar_trim(struct wf_span s) {
    size_t k;
    while ((k = space_at(s.p, s.n)) != 0) {
        s.p += k;
        s.n -= k;
    }
    while (s.n > 0 && (k = space_before(s.p + s.n, s.n)) != 0) {
        s.n -= k;
    }
    return s;
}

static struct wf_span drop(struct wf_span s, size_t n) {
    return n == 0 ? s : (struct wf_span){s.p + n, s.n - n};
}

/* Where underscores may be stripped: some, each alone, none first or last. */
static bool has_good_underscores(struct wf_span s) {
    bool any = false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '_') {
            if (i == 0 || i + 1 == s.n || s.p[i + 1] == '_') {
                return false;
            }
            any = true;
        }
    }
    return any;
}

/* ---- int ---- */

/* Leading zeros, with underscores among them, go; one stays if there is nothing else in front of
 * the end or the point. Clears s where it cannot be a number. */
static struct wf_span without_leading_zeros(struct wf_span s) {
    const struct wf_span none = {NULL, 0};
    if (s.n == 0 || !scalar_is_digit(s.p[0])) {
        return none;
    }
    if (s.p[0] != '0') {
        return s;
    }
    size_t i = 1;
    while (i < s.n && (s.p[i] == '0' || s.p[i] == '_')) {
        i++;
    }
    if (i == s.n || s.p[i] == '.') {
        return drop(s, i - 1);
    }
    /* A minus here is pydantic's own slip ("0-1" is -1 to it); we are its faithful echo. */
    return scalar_is_digit(s.p[i]) || s.p[i] == '-' ? drop(s, i) : none;
}

/* 12.000 is the integer 12. */
static struct wf_span without_zero_fraction(struct wf_span s) {
    const char *point = s.n == 0 ? NULL : memchr(s.p, '.', s.n);
    if (point == NULL || point + 1 == s.p + s.n) {
        return s;
    }
    for (const char *p = point + 1; p < s.p + s.n; p++) {
        if (*p != '0') {
            return s;
        }
    }
    return wf_span(s.p, (size_t)(point - s.p));
}

/* Checked but for what stands between the digits. */
static enum wf_scalar_error read_digits(bool negative, struct wf_span s, struct wf_int *out) {
    uint64_t v = 0;
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '_') {
            continue;
        }
        if (!scalar_is_digit(s.p[i])) {
            return WF_SCALAR_INT_PARSING;
        }
        v = v * 10 + (uint64_t)(s.p[i] - '0'); /* wraps past 19 digits, and is then not used */
        n++;
    }
    if (n == 0 || n > WF_SCALAR_INT_DIGITS_MAX) {
        return WF_SCALAR_INT_PARSING;
    }
    out->negative = negative;
    out->big = n > 19 || v > (uint64_t)INT64_MAX + negative;
    out->value = out->big ? 0 : (int64_t)(negative ? 0 - v : v);
    out->digits = s;
    return WF_SCALAR_OK;
}

/* As pydantic does it: a JSON integer, else what is left when spaces, a plus, leading zeros, a zero
 * fraction and underscores are cleaned away. */
enum wf_scalar_error wf_scalar_int(struct wf_span s, struct wf_int *out) {
    struct wf_span json = s.n > 0 && s.p[0] == '-' ? drop(s, 1) : s;
    size_t run = 0;
    while (run < json.n && scalar_is_digit(json.p[run])) {
        run++;
    }
    if (run > 0 && json.p[0] != '0') {
        if (run > WF_SCALAR_INT_DIGITS_MAX) { /* whatever follows */
            return WF_SCALAR_INT_PARSING_SIZE;
        }
        if (run == json.n) {
            return read_digits(json.p != s.p, json, out);
        }
    }

    s = scalar_trim(s);
    bool plus = s.n > 0 && s.p[0] == '+';
    s = drop(s, plus);
    bool negative = s.n > 0 && s.p[0] == '-';
    if (plus && negative) {
        return WF_SCALAR_INT_PARSING;
    }
    s = without_zero_fraction(without_leading_zeros(drop(s, negative)));
    bool underscores = has_good_underscores(s);
    if (!underscores && s.n > 0 && memchr(s.p, '_', s.n) != NULL) {
        return WF_SCALAR_INT_PARSING;
    }
    if (s.n > 0 && s.p[0] == '-') { /* behind zeros */
        if (negative) {
            return WF_SCALAR_INT_PARSING;
        }
        negative = true;
        s = drop(s, 1);
        s = drop(s, s.n > 0 && s.p[0] == '_');
        if (s.n > 1 && s.p[0] == '0') {
            return WF_SCALAR_INT_PARSING;
        }
    }
    return read_digits(negative, s, out);
}

/* ---- float ---- */

bool scalar_number(struct wf_span s, double *out) {
    bool negative = s.n > 0 && s.p[0] == '-';
    s = drop(s, negative || (s.n > 0 && s.p[0] == '+'));
    if (s.n == 0 || s.p[0] == '-') {
        return false;
    }
    double v = 0;
    if (wf_double_read_lax(s.p, s.p + s.n, &v) != s.p + s.n) {
        return false;
    }
    *out = negative ? -v : v;
    return true;
}

static bool read_float(struct wf_span s, double *out) {
    if (scalar_number(s, out)) {
        return true;
    }
    bool negative = s.n > 0 && s.p[0] == '-';
    s = drop(s, negative || (s.n > 0 && s.p[0] == '+'));
    if (wf_span_eq_lower(s, WF_SPAN("inf")) || wf_span_eq_lower(s, WF_SPAN("infinity"))) {
        *out = negative ? -INFINITY : INFINITY;
        return true;
    }
    if (wf_span_eq_lower(s, WF_SPAN("nan"))) {
        *out = NAN;
        return true;
    }
    return false;
}

enum wf_scalar_error wf_scalar_float(struct wf_span s, double *out) {
    if (read_float(scalar_trim(s), out)) {
        return WF_SCALAR_OK;
    }
    if (s.n > WF_SCALAR_UNDERSCORED_MAX || !has_good_underscores(s)) {
        return WF_SCALAR_FLOAT_PARSING;
    }
    /* Spaces are not allowed with underscores; an underscore may be next to any character. */
    char stripped[WF_SCALAR_UNDERSCORED_MAX];
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '_') {
            stripped[n++] = s.p[i];
        }
    }
    return read_float(wf_span(stripped, n), out) ? WF_SCALAR_OK : WF_SCALAR_FLOAT_PARSING;
}

/* ---- bool ---- */

enum wf_scalar_error wf_scalar_bool(struct wf_span s, bool *out) {
    static const struct {
        struct wf_span word;
        bool value;
    } words[] = {
        {{"0", 1}, false},   {{"1", 1}, true},   {{"f", 1}, false},   {{"t", 1}, true},
        {{"n", 1}, false},   {{"y", 1}, true},   {{"no", 2}, false},  {{"on", 2}, true},
        {{"off", 3}, false}, {{"yes", 3}, true}, {{"true", 4}, true}, {{"false", 5}, false},
    };
    for (size_t i = 0; i < WF_ARRAY_LEN(words); i++) {
        if (wf_span_eq_lower(s, words[i].word)) {
            *out = words[i].value;
            return WF_SCALAR_OK;
        }
    }
    return WF_SCALAR_BOOL_PARSING;
}

/* ---- decimal: Python's Decimal(str), which drops every underscore before it looks ---- */

/* The exponent range of Decimal where a string is converted exactly: prec, Emax and -Emin are all
 * 999999999999999999. */
static const int64_t DECIMAL_EMAX = 999999999999999999;
static const int64_t DECIMAL_ETINY = -1999999999999999997;

struct cursor {
    const char *p, *end;
};

/* The next character in lower case, underscores skipped; 0 at the end (or at a NUL, which fits
 * nowhere either). */
static char peek(struct cursor *c) {
    while (c->p < c->end && *c->p == '_') {
        c->p++;
    }
    if (c->p == c->end) {
        return '\0';
    }
    return *c->p >= 'A' && *c->p <= 'Z' ? (char)(*c->p | 0x20) : *c->p;
}

static bool take(struct cursor *c, char want) {
    if (peek(c) != want || c->p == c->end) {
        return false;
    }
    c->p++;
    return true;
}

static bool take_word(struct cursor *c, const char *word) {
    struct cursor start = *c;
    for (; *word != '\0'; word++) {
        if (!take(c, *word)) {
            *c = start;
            return false;
        }
    }
    return true;
}

static bool at_end(struct cursor *c) {
    return peek(c) == '\0' && c->p == c->end;
}

static void take_sign(struct cursor *c) {
    if (!take(c, '-')) {
        take(c, '+');
    }
}

/* inf, infinity, nan, snan, the nans with digits behind them */
static bool take_special(struct cursor *c) {
    if (take_word(c, "inf")) {
        take_word(c, "inity");
        return at_end(c);
    }
    take(c, 's');
    if (!take_word(c, "nan")) {
        return false;
    }
    while (scalar_is_digit(peek(c))) {
        c->p++;
    }
    return at_end(c);
}

static bool take_exponent(struct cursor *c, int64_t *exponent) {
    *exponent = 0;
    if (!take(c, 'e')) {
        return true;
    }
    bool negative = take(c, '-');
    if (!negative) {
        take(c, '+');
    }
    if (!scalar_is_digit(peek(c))) {
        return false;
    }
    int64_t e = 0;
    for (; scalar_is_digit(peek(c)); c->p++) {
        e = e < 4 * DECIMAL_EMAX / 10 ? e * 10 + (*c->p - '0') : 4 * DECIMAL_EMAX;
    }
    *exponent = negative ? -e : e;
    return true;
}

static bool take_finite(struct cursor *c) {
    size_t digits = 0, fraction = 0;
    int64_t significant = 0; /* digits from the first that is not 0 */
    bool point = false;
    for (;;) {
        if (scalar_is_digit(peek(c))) {
            significant += significant > 0 || *c->p != '0';
            digits++;
            fraction += point;
            c->p++;
        } else if (point || !take(c, '.')) {
            break;
        } else {
            point = true;
        }
    }
    int64_t exponent;
    if (digits == 0 || !take_exponent(c, &exponent) || !at_end(c)) {
        return false;
    }
    exponent -= (int64_t)fraction;
    int64_t adjusted = exponent + (significant > 0 ? significant - 1 : 0);
    return exponent >= DECIMAL_ETINY && adjusted <= DECIMAL_EMAX;
}

static bool is_python_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

enum wf_scalar_error wf_scalar_decimal(struct wf_span s, struct wf_span *text) {
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] > 0x7f) {
            *text = s;
            return WF_SCALAR_OK; /* Decimal() decides: see the header */
        }
    }
    while (s.n > 0 && is_python_space(s.p[0])) {
        s = drop(s, 1);
    }
    while (s.n > 0 && is_python_space(s.p[s.n - 1])) {
        s.n--;
    }
    *text = s;
    if (s.n == 0) {
        return WF_SCALAR_DECIMAL_PARSING;
    }
    struct cursor c = {s.p, s.p + s.n};
    take_sign(&c);
    struct cursor behind_sign = c;
    if (take_finite(&c)) {
        return WF_SCALAR_OK;
    }
    return take_special(&behind_sign) ? WF_SCALAR_FINITE_NUMBER : WF_SCALAR_DECIMAL_PARSING;
}
