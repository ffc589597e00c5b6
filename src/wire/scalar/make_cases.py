#!/usr/bin/env python3
"""Writes cases/scalars.txt: what pydantic makes of strings, for test_scalar.c to replay.

    python3 make_cases.py > cases/scalars.txt
    python3 make_cases.py --random 100000 [SEED] | build/src/wire/test_scalar -    # another sample

A line holds fields parted by tabs:

    message TYPE TEXT           the message of an error type; ends in ", " where the detail goes
    KIND INPUT = VALUE          read, and for the date family and UUIDs written again as JSON
    KIND INPUT ! TYPE DETAIL    refused; DETAIL is ctx["error"], empty without

Inputs are UTF-8 with \\xNN for what is not printable ASCII.
"""

import datetime as dt
import decimal
import random
import struct
import sys
import uuid
from typing import Any

import pydantic
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticKnownError, to_json

PYDANTIC = "2.14.3"  # the version that cases/scalars.txt is from

TYPES: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "uuid": uuid.UUID,
    "date": dt.date,
    "time": dt.time,
    "datetime": dt.datetime,
    "timedelta": dt.timedelta,
    "decimal": decimal.Decimal,
}
ADAPTERS = {kind: TypeAdapter(type_) for kind, type_ in TYPES.items()}

PLAIN_ERRORS = [
    "int_parsing",
    "int_parsing_size",
    "float_parsing",
    "bool_parsing",
    "date_from_datetime_inexact",
    "decimal_parsing",
    "finite_number",
]
DETAILED_ERRORS = [
    "uuid_parsing",
    "date_parsing",
    "date_from_datetime_parsing",
    "time_parsing",
    "datetime_parsing",
    "datetime_from_date_parsing",
    "time_delta_parsing",
]


def words(*lines: str) -> list[str]:
    return [word for line in lines for word in line.split("|")]


U = "12345678-1234-5678-1234-56789abcdef0"
H = U.replace("-", "")
SPACES = " \t\n\r\v\f\x1c\x1f\x85\xa0\u1680\u2003\u2028\u202f\u205f\u3000"
NO_SPACES = "\u200b\ufeff\u180e\x00"

SEEDS: dict[str, list[str]] = {
    "int": [
        *words(
            "0|1|-1|+1|-0|+0|00|01|-01|007|+-1|--1|-+1|++1|-|+|- 1|+ 1|1-|1+|1 2|0-1|00-1|0_-1",
            "0-_1|0-01|0-0|-0-1|0-1_0|0-|0-1.0|1_0|1__0|_1|1_|-_1|1_000_000|0_1|0_0|0_|0_.0|_0",
            "-1_0|+1_0|1.0|1.|1.00|.0|1.5|0.0|-0.0|00.0|0..0|0.|1.0.0|1.0_0|1_0.0|1_0.00|-1_0.0",
            "0_0.0|000.5|1e3|1E3|0x10|0b1|1j|inf|nan|true|one|1,000|9223372036854775807",
            "9223372036854775808|-9223372036854775808|-9223372036854775809",
            "9_223_372_036_854_775_808|18446744073709551616|-9223372036854775809.0",
            "12345678901234567890123|0000000000000000000000000000000001",
        ),
        "",
        "\u0661",
        "\uff11",
        "\u00b2",
        "é",
        *(
            pre + "1" * n + post
            for n in (4299, 4300, 4301)
            for pre in ("", "-")
            for post in ("", "_1", ".0", "x")
        ),
        " " + "1" * 4301,
        "0" * 4301,
        "0" * 4301 + "1",
        "1_" * 2200 + "1",
    ],
    "float": [
        *words(
            "0|1|-1|+1|+-1|--1|-+1|1.5|.5|5.|.|-.5|+.5|-.|1e3|1E3|1e+3|1e-3|1e|1e+|e5|.e5|1.e5",
            ".5e5|1e5.0|1_0|1__0|_1|1_|1_0.5_0|1e1_0|1e_5|1_e5|1._5|1_.5|._5|+1_0|-1_0|1_0e5|inf",
            "-inf|+inf|INF|infinity|Infinity|-Infinity|infin|nan|NaN|-nan|+nan|nan1|in_f|i_nf",
            "n_a_n|_inf|1e400|-1e400|1e-400|0x10|1f|1d|1,5|1 5|1.0.0|0.1",
            "123456789012345678901234567890|1e99999999999999999999|1e-99999999999999999999|0.1e1",
            "3.141592653589793238462643383279|9007199254740993|5e-324|2.2250738585072011e-308",
            "-0.0|true",
        ),
        "",
        "\u0661",
        "\u22121",
        "é",
        "1_" * 100 + "0.5",
    ],
    "bool": [
        *words(
            "0|1|t|f|T|F|y|n|Y|N|yes|no|YES|No|on|off|ON|oFf|true|false|TRUE|False|2|-1|+1|00|01",
            "1.0|tr|yeah",
        ),
        *words(
            "none|null|ok|enabled",
        ),
        "",
        "\u0131",
        "o\ufb00",
        "\u212a",
        "true\x00",
    ],
    "uuid": [
        *(
            U,
            U.upper(),
            H,
            H.upper(),
            "{" + U + "}",
            "urn:uuid:" + U,
            "URN:UUID:" + U,
            "urn:uuid:" + H,
        ),
        *(
            "{" + H + "}",
            "{" + U,
            U + "}",
            "{" + U + ")",
            "{}",
            "{",
            "urn:uuid:",
            "urn:uuid:{" + U + "}",
            "-",
            "----",
        ),
        *(
            "",
            "x",
            "123",
            "g" + U[1:],
            U[:-1] + "g",
            U[:-1],
            U + "0",
            U.replace("-", "_"),
            U[:8] + U[9:],
            H + "-",
        ),
        *(
            "1-2-3-4-5",
            "1-2-3-4-5-6",
            "a" * 31,
            "a" * 33,
            "a" * 36,
            "-" * 36,
            "a" * 44,
            "a" * 45,
            "a" * 46,
            "a" * 100,
        ),
        *(
            "é" + U[1:],
            U[:-1] + "é",
            U[:-2] + "é",
            "\u0130" + U[1:],
            "\u0130" * 18,
            "a\u0430",
            "{é}",
            "\u20ac",
            "\U0001f600",
        ),
        *(
            "1234567-81234-5678-1234-567812345678",
            "123456789-1234-5678-1234-56781234567",
            "{" + U[:-1] + "g}",
        ),
        *(
            "urn:uuid:" + U[:-1],
            "urn:uuid:" + U + "0",
            "urn:uuid:x",
            "{" + U[:-1] + "}",
            "{" + U + "0}",
            "x" * 46,
            "\x00",
        ),
        str(uuid.UUID(int=0)),
        str(uuid.UUID(int=(1 << 128) - 1)),
    ],
    "date": [
        *words(
            "2020-01-01|2020-02-29|2019-02-29|1900-02-29|2000-02-29|0000-01-01|0001-01-01",
            "9999-12-31|10000-01-01|2020-1-1|2020/01/01|20200101|2020-00-01|2020-13-01",
            "2020-01-00|2020-01-32|2020-04-31|x020-01-01|2020-x1-01|2020-01-x1|2020-06|2020",
            "2020-001|2020-W01-1|-2020-01-01|0000-02-30|0000-00-00|2020-01-01T00:00:00",
            "2020-01-01T00:00|2020-01-01 00:00:00Z|2020-01-01T00:00:00+05:00|2020-01-01T01:00",
            "2020-01-01T00:00:00.000001|2020-01-01T00:00:00.0000001|2020-01-01T|2020-01-01x",
            "2020-01-01T25:00|0000-01-01T00:00|0000-01-01T01:00|0|1|-1|86400|-86400|+86400",
            "1577836800|1577836800000|1577836801|20000000000|20000000001|-20000000000",
            "-20000000001|20044800000|253402214400000|253402300799999|253402300800000",
            "-62135596800000|-62135683200000|-62167219200000|-62167219200001|9223372036854775807",
            "9223372036854775808|-9223372036854775808|-9223372036854775809|86400.0|86400.5|.0",
            "-0.0|946684800.|8.64e4|1e5|1.5e400|-1.5e400|99999999999999999999.0|inf|nan|nan.",
            "1_000|--1|+|-|2020-12-31|1999-03-01",
        ),
        "",
        "2020\u201001\u201001",
        "\u0662020-01-01",
    ],
    "time": [
        *words(
            "12:00|12:00:00|12:34:56|12:00:00.1|12:00:00,1|12:00:00.123456|12:00:00.1234567",
            "12:00:00.|12:00:00.x|12:0|1:00|12|24:00|23:60|23:59:60|23:59:59.999999|12:00:0",
            "12:00:|12-00|12:00Z|12:00z|12:00+01:00|12:00-01:00|12:00+0100|12:00+01|12:00+25:00",
            "12:00+23:60|12:00+24:00|12:00+23:59|12:00-23:59|12:00+x1:00|12:00+01:x0|12:00+1:00",
            "12:00+01:0|12:00+|12:00+0|12:00+01:|12:00+01:000|12:00Zx|12:00+00:00|12:00-00:00",
            "12:00+00:30|12:00-00:30|x2:00|1x:00|12:x0|12:00:x0|12:00:0x|0|43200|1.5",
            "12:00:00.000001Z|12:00:00.12345678901234567890+05:30|T12:00|12:00 PM|24:61|99:99",
            "12:00:99",
        ),
        "",
        "12:00\u221201:00",
        "12:00\u2212",
        "12:00\u22131:00",
        "12:00\xe2",
        "12:00é",
    ],
    "datetime": [
        *words(
            "2020-01-01T00:00:00|2020-01-01t12:34:56|2020-01-01 12:34:56|2020-01-01_12:34",
            "2020-01-01x12:34|2020-01-01|2020-01-01T|2020-01-01T00|2020-01-01T12:34Z",
            "2020-01-01T12:34:56.123456+05:30|2020-01-01  12:34|2020-01-01T00:00:00.1234567",
            "2020-01-01T00:00:00.9999999Z|2020-01-01T00:00:00,5-0800|2020-02-30T00:00",
            "2020-01-01T24:00|2020-01-01T00:60|2020-01-01T00:00:61|2020-13-01T00:00",
            "2020-01-32T00:00|0000-01-01|0000-01-01T00:00|0001-01-01T00:00",
            "9999-12-31T23:59:59.999999|2020-01-01T00:00+24:00|2020-01-01T1:00|20200101T000000",
            "2020-01-01T00:00:00.|2020-01-01T00:00:00+05:00:30|2020-366|0|1|-1|+1|1577836800",
            "1577836800.5|1577836800.123456|1577836800.1234567|1577836800.9999996|1577836800000",
            "1577836800000.5|1577836800000.12345|-1.5|-.5|.5|1.|.|+1.5|-0.0|1.5e9|1e9|1.e5",
            "2.5e10|-2.5e10|2.00000000001e10|20000000000|20000000000.0|20000000000.5|20000000001",
            "-20000000000|-20000000001|-20000000000.5|253402300799|253402300799999",
            "253402300799999.5|253402300799999.999|253402300800000|-62135596800000",
            "-62135596800001|-62167219200000|-62167219200001|100000000000000.5",
            "9223372036854775807|1.5e400|99999999999999999999.5|9223372036854775808",
            "-9223372036854775808|inf|nan|nan.|.nan|1_000.5|1.5.5|12:00",
        ),
        "",
        "2020-01-01T00:00\u221205:00",
        "2020-01-01é00:00",
    ],
    "timedelta": [
        *words(
            "P1D|p1d|PT1H|P1Y|P1M|P1W|P1Y2M3W4DT5H6M7S|P1.5D|P1,5D|PT1.5S|PT0.0000001S",
            "PT0.0000005S|PT0.000001S|P|PT|-P|-PT|P1|PT1|P1DT|P1T|T1H|P1H|PT1D|P1D1D|P1D2Y",
            "PT1S1H|P1.5DT1H|P1.5D1.5D|P1.5DT|PTT1H|P1DT1HT1M|-P1D|+P1D|--P1D|P-1D|P+1D|P 1D",
            "P1.D|P.5D|PT1.S|P1.5|PT1.5|P0D|-P0D|-PT0.5S|-P1DT12H|P1.5Y|P1.5M|P1.123W|PT1.5H",
            "PT1.5M|PT0.1H|P0.1D|PT0.333333333H|P1.999999999D|PT1.9999999S|PT0.9999995S",
            "P999999999D|P1000000000D|-P999999999D|-P999999999DT1S|P4294967295D|P4294967296D",
            "P2739726Y|P2739727Y|PT4294967295S|PT4294967296S|PT4294967295.9999999S|PT1193046H",
            "PT1193047H|PT4294967295S1M|P999999999DT86399.9999999S|P999999999DT86400S|1 day",
            "1 days|1 d|1d|1D|1day|1days|1 DAYS|-1 day|+1 day|1 day, 00:00:01|1 days, 12:00",
            "1 days 12:00:00|1d12:00|1 days,12:00|1  days|1 days,  12:00|1 day,|1 days, |1 daysx",
            "1 dax|1 da|1 x|-1 days, 12:00:00|1 days, 23:59|1 days, 24:00|1 days, 25:99",
            "1 day, 012:00|1 day, :12:00|1 day, 12:00Z|1 days, -12:00|1 day 1 day|d|1 day T12:00",
            "12:00|12:00:00.5|-12:00:00|+12:00|12:00Z|25:00|99:59:59|100:00:00|23:60|00:00:60",
            "1:00|-1:00|:30:00|::00:00|1|0|100|3600|3600.5|inf|nan|12:00:00.1234567",
            "12:00:00.123456xyz|12:00:00:00:00|12:0|12:|12345:|2400000000:00|2400000001:00",
            "9999999999:00|99999999999:00|0000000000012:00|12:00d|dd:00:00|999999999 days",
            "999999999 days, 23:59:59.999999|1000000000 days|-999999999 days",
            "-999999999 days, 00:00:01",
        ),
        *words(
            "1 Days|1 dAYS|1 daY|1 dAy|1 DaYS|1 dayS|1 dAYs|1 DAYs, 12:00|4294967295 days",
            "4294967296 days|1x:00|12:x0|1 d, 12:00:00,25",
        ),
        "",
        "\u22121 day",
        "P1\u00bdD",
        "12:00é",
        "12:00:00.12345678901é",
        "PT0." + "9" * 20 + "S",
        "PT0." + "9" * 400 + "S",
        "P0." + "123456789" * 40 + "D",
    ],
    "decimal": [
        *words(
            "0|1|1.0|+1|-1|--1|+-1|1e3|1E3|1e+3|1e-3|1e|e5|.e5|1.|.1|.|00|-0|0.10|1 0|1,5|0x10|x",
            "_|1_0|_1|1_|1__0|1e1_0|1_e1|1e_5|1e+_5|1._5|._5|_-1|-_1|inf|Infinity|-inf|+INF",
            "infin|infinity1|i_nf|nan|NaN|-nan|sNaN|snan1|nan123|nan12x|s_nan|naninf",
            "1e999999999999999999|1e1000000000000000000|10e999999999999999999",
            "9.9e999999999999999999|0e999999999999999999|0e1000000000000000000",
            "0.0e1000000000000000000|1e-1999999999999999997|1e-1999999999999999998",
            "0e-1999999999999999998|0.1e-1999999999999999997|0.1e-1999999999999999996",
            "1e99999999999999999999|1e-99999999999999999999",
        ),
        "",
        "1" * 5000,
        "\u0661",
        "\uff11.5",
        "\u20031",
        "1\x00",
    ],
}
ALPHABET = {
    "int": "0123456789+-_. e\u0661\xa0",
    "float": "0123456789+-_.eE infaty\xa0",
    "bool": "01tfynesoruaTRUEOFN ",
    "uuid": "0123456789abcdefABCDEF-{}gé\u0130 ",
    "date": "0123456789-:TtZ+. _",
    "time": "0123456789:.,+-Zz \u2212",
    "datetime": "0123456789-:TtZz+., _e\u2212",
    "timedelta": "0123456789PTDHMSYW.,:+- daysDAYS",
    "decimal": "0123456789+-_.eE infatys",
}


def mutated(rng: random.Random, kind: str) -> str:
    seeds, alphabet = SEEDS[kind], ALPHABET[kind]
    text = rng.choice(seeds)
    while len(text) > 500:
        text = rng.choice(seeds)
    if kind in ("date", "datetime") and rng.random() < 0.2:
        text = str(rng.randrange(-(10 ** rng.randrange(1, 17)), 10 ** rng.randrange(1, 17)))
        if rng.random() < 0.5:
            text += f".{rng.randrange(10 ** rng.randrange(1, 8))}"
        if rng.random() < 0.3:
            text = str(rng.randrange(-719528, 2932896) * 86400 * rng.choice((1, 1000)))
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        at = rng.randrange(len(text) + 1)
        match rng.randrange(5):
            case 0:
                text = text[:at] + rng.choice(alphabet) + text[at:]
            case 1:
                text = text[:at] + text[at + 1 :]
            case 2:
                text = text[:at] + rng.choice(alphabet) + text[at + 1 :]
            case 3:  # a piece of another
                other = rng.choice(seeds)[:50]
                cut = rng.randrange(len(other) + 1)
                text = text[:at] + other[cut:]
            case 4:
                text = (
                    rng.choice(SPACES + NO_SPACES) + text
                    if rng.random() < 0.5
                    else text + rng.choice(SPACES + NO_SPACES)
                )
    return text


def value_text(kind: str, v: Any) -> str:
    match kind:
        case "bool":
            return "true" if v else "false"
        case "float":
            return "nan" if v != v else struct.pack(">d", v).hex()
        case "timedelta":
            return f"{v.days} {v.seconds} {v.microseconds} {json_text(v)}"
        case "decimal":
            return "ok"
        case "int":
            return str(v)
        case _:
            return json_text(v)


def json_text(v: Any) -> str:
    return to_json(v).decode().strip('"')


def outcome(kind: str, text: str) -> str:
    try:
        v = ADAPTERS[kind].validate_python(text)
    except ValidationError as e:
        (error,) = e.errors(include_url=False)
        if kind == "decimal" and not text.isascii():
            return "=\tok"  # left to Decimal()
        detail = error.get("ctx", {}).get("error", "")
        assert error["msg"] == message(error["type"]) + detail, error
        return f"!\t{error['type']}\t{escaped(detail)}"
    except OverflowError:  # pydantic lets it out; ours is a plain error
        return "!\ttime_delta_parsing\tdurations may not exceed 999,999,999 days"
    return f"=\t{value_text(kind, v)}"


def message(type_: Any) -> str:
    if type_ in PLAIN_ERRORS:
        return PydanticKnownError(type_).message()
    return PydanticKnownError(type_, {"error": ""}).message()


def escaped(text: str) -> str:
    return "".join(
        chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in text.encode()
    )


def cases(rng: random.Random, count: int, seeds: bool) -> dict[tuple[str, str], None]:
    out: dict[tuple[str, str], None] = {}
    for kind, texts in SEEDS.items():
        if seeds:
            short = [t for t in texts if len(t) < 40][1:8:3]
            spaced = [s + t for t in short for s in SPACES + NO_SPACES] + [
                t + s for t in short[:1] for s in SPACES + NO_SPACES
            ]
            out |= {(kind, text): None for text in texts + spaced}
        n = max(count // len(SEEDS) // (5 if kind == "bool" and seeds else 1), 1)
        out |= {(kind, mutated(rng, kind)): None for _ in range(n)}
    return out


def main() -> None:
    sys.set_int_max_str_digits(0)
    live = sys.argv[1:2] == ["--random"]
    if not live and pydantic.VERSION != PYDANTIC:
        sys.exit(f"pydantic {pydantic.VERSION} is here, the cases are from {PYDANTIC}")
    for type_ in PLAIN_ERRORS + DETAILED_ERRORS:
        print(f"message\t{type_}\t{message(type_)}")
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    count = int(sys.argv[2]) if live else 2500
    for kind, text in cases(random.Random(seed), count, not live):
        print(f"{kind}\t{escaped(text)}\t{outcome(kind, text)}")


if __name__ == "__main__":
    main()
