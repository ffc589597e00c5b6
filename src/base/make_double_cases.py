#!/usr/bin/env python3
"""Writes cases/doubles.txt: what CPython's repr(float) and float(str) answer.

    python3 make_double_cases.py > cases/doubles.txt

A line is `w BITS TEXT` (writing that double gives that text, and reading the text gives it back) or
`r BITS TEXT` (reading the text gives that double).
"""

import random
import struct
import sys
from fractions import Fraction

random.seed(754)
INF = 0x7FF << 52

WRITTEN_BY_HAND = """
0 00 -0 0e5 -0.0e-999999999999999999999 0.000 1 01 007.50 1e5 1E+5 1e-05 1e400 -1e400 1e-400
1e308 1.8e308 1.7976931348623157e308 1.7976931348623159e308 2.4703282292062327e-324
2.4703282292062328e-324 4.9e-324 9007199254740993 9007199254740992.5 9007199254740993.5
18446744073709551615 18446744073709551616 12345678901234567890 0.12345678901234567890123
"""


def bits_of(x: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def double(bits: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def exact(x: Fraction) -> str:
    """A dyadic fraction in decimal, all of its digits."""
    places = x.denominator.bit_length() - 1
    digits = str(x.numerator * 10**places // x.denominator).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits


def midpoint_above(bits: int) -> Fraction:
    if bits + 1 == INF:
        return Fraction(double(bits)) + Fraction(2) ** 970
    return (Fraction(double(bits)) + Fraction(double(bits + 1))) / 2


def written() -> list[int]:
    out = [0, 1 << 63, 1, 2, 3, (1 << 52) - 1, 1 << 52, (1 << 52) + 1, INF - 1]
    for e in range(1, 2047, 3):  # around powers of two, where the interval is lopsided
        out += [(e << 52) + d for d in (-1, 0, 1)]
    for k in range(-325, 309, 2):
        out.append(bits_of(float(f"1e{k}")))
        out.append(bits_of(float(f"{random.randrange(1, 10 ** random.randrange(1, 17))}e{k}")))
    out += [bits_of(float(n)) for n in (1, 10, 123, 1e15, 1e16, 1e17, 123456789012345680.0)]
    out += [bits_of(2.0**53 + d) for d in (-2, -1, 0, 2, 4)]
    out += [bits_of(random.randrange(10**6) / 100) for _ in range(150)]
    out += [bits_of(random.random()) for _ in range(150)]
    out += [random.randrange(1 << 52) >> random.randrange(50) for _ in range(100)]  # subnormal
    out += [random.randrange(INF) | random.randrange(2) << 63 for _ in range(600)]
    return [b for b in out if b & ~(1 << 63) < INF]


def read() -> list[str]:
    out = WRITTEN_BY_HAND.split()
    out += ["1" + "0" * 400 + "e-400", "0." + "0" * 400 + "1e401", "1" + "0" * 308, "9" * 400]
    out += [
        "0." + "3" * 900,
        "3" * 25 + "." + "3" * 25,
        "0" * 30 + "1.5" + "0" * 30,
        "1e" + "9" * 30,
    ]
    out += ["0e" + "9" * 30, "1e-" + "9" * 30, "1." + "0" * 1000 + "1"]
    points = [0, 1, (1 << 52) - 1, 1 << 52, INF - 1, bits_of(1.0), bits_of(2.0**53), bits_of(1e22)]
    points += [random.randrange(INF) for _ in range(8)]
    points += [bits_of(random.uniform(0, 2.0**80)) for _ in range(30)]
    points += [random.randrange(1 << 52) for _ in range(4)]
    for bits in points:
        tie = exact(midpoint_above(bits))
        point = "" if "." in tie else "."
        out += [tie, f"{tie}{point}{'0' * 30}1", f"-{tie}"]
        scaled = Fraction(tie) * 10**1200  # just below: the last digit less one, then nines
        below = str(int(scaled) - 1)
        out.append(f"{below[:1100]}e{len(below) - len(below[:1100]) - 1200}")
    for _ in range(300):
        n = random.randrange(1, 10 ** random.randrange(1, 40))
        out.append(f"{n}e{random.randrange(-360, 330)}")
    for _ in range(150):  # 19 to 21 digits next to a midpoint
        tie = midpoint_above(bits_of(random.uniform(1, 2.0**60)))
        out.append(exact(tie)[: random.randrange(18, 24)])
    return out


def main() -> None:
    for bits in dict.fromkeys(written()):
        print(f"w {bits:016x} {double(bits)!r}")
    for text in dict.fromkeys(read()):
        print(f"r {bits_of(float(text)):016x} {text}")


if __name__ == "__main__":
    sys.exit(main())
