#!/usr/bin/env python3
"""Writes pow10_table.h: the powers of ten that num.c multiplies by.

python3 make_pow10.py > pow10_table.h
python3 make_pow10.py --check pow10_table.h     # exit status 1 where they differ
"""

import sys

# 10**-342 is the least power that a 19-digit number can turn into a double above zero, 10**308 the
# largest; printing the smallest subnormal multiplies by 10**324.
MIN, MAX = -342, 324


def top_128_bits(k: int) -> int:
    """The leading 128 bits of 10**k, rounded down."""
    if k >= 0:
        power = 10**k
        shift = power.bit_length() - 128
        return power >> shift if shift >= 0 else power << -shift
    divisor = 10**-k
    # An n-bit divisor that is no power of two: 2**(n + 127) / divisor is in (2**127, 2**128).
    return (1 << (divisor.bit_length() + 127)) // divisor


def table() -> str:
    lines = [
        "/* Made by make_pow10.py: the leading 128 bits of 10^k, rounded down. */",
        "enum {",
        f"    POW10_MIN = {MIN},",
        f"    POW10_MAX = {MAX},",
        "};",
        "/* clang-format off */",
        "static const struct pow10 { uint64_t hi, lo; } pow10_table[POW10_MAX - POW10_MIN + 1] = {",
    ]
    for k in range(MIN, MAX + 1):
        bits = top_128_bits(k)
        assert bits.bit_length() == 128
        lines.append(f"    {{0x{bits >> 64:016x}, 0x{bits & (1 << 64) - 1:016x}}}, /* 1e{k} */")
    lines += ["};", "/* clang-format on */", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        with open(sys.argv[2], encoding="ascii") as f:
            sys.exit(f.read() != table())
    sys.stdout.write(table())
