/* Numbers to text and back, exactly.
 *
 * Integers are two digits at a time; floats are the shortest decimal that reads back as the same
 * double, laid out as Python's repr lays it out; parsing rounds correctly (half to even).
 * thread   any; no allocation, no locale */
#ifndef WF_BASE_NUM_H
#define WF_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WF_U64_DIGITS_MAX = 20,  /* 18446744073709551615 */
    WF_I64_DIGITS_MAX = 20,  /* -9223372036854775808 */
    WF_DOUBLE_CHARS_MAX = 40 /* -2.2250738585072014e-308 has 24; what is behind may be scratched */
};

/* Writes v in decimal at `out` (room for WF_U64_DIGITS_MAX); returns the bytes written. No NUL. */
size_t wf_u64_write(char *out, uint64_t v);
size_t wf_i64_write(char *out, int64_t v);

/* Writes a finite v as repr(float) does: "1.0", "-0.0", "0.0001", "1e-05", "1e+16". No NUL.
 * out      room for WF_DOUBLE_CHARS_MAX, all of which may be written to
 * returns  the bytes of the text */
size_t wf_double_write(char *out, double v);

/* Reads the longest number at p, which is JSON's grammar but for leading zeros, which are allowed:
 *   -? digits [ . digits ] [ (e|E) [+-] digits ]
 * so of "1.e5" it reads "1". Any number of digits is read exactly.
 * p        first byte; [p, end) is readable
 * out      the nearest double, or +-inf where it overflows (the caller decides what that means)
 * returns  the first byte behind the number, or NULL where no number starts */
const char *wf_double_read(const char *p, const char *end, double *out);

/* The same, but digits may be missing on one side of the point (".5", "5."), as in float(str). */
const char *wf_double_read_lax(const char *p, const char *end, double *out);

/* The double nearest to digits * 10^exp10 (any digits, any exp10; may be inf): for callers that
 * have scanned a number of up to 19 digits themselves. */
double wf_double_make(uint64_t digits, int64_t exp10);

#endif
