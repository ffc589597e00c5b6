"""`strict=False`, and how text is read without pydantic: msgspec is the judge, pair by pair."""

from __future__ import annotations

import base64
import datetime as dt
import enum
import itertools
import math
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest

from weft import bson, json


class Level(enum.IntEnum):
    low = 1
    high = 2


class Word(enum.Enum):
    one = "1"
    other = "a"


TEXTS = [
    "0",
    "1",
    "-0",
    "-1",
    "2",
    "01",
    "00",
    "+1",
    "1.",
    ".5",
    "-",
    "1e",
    "1_0",
    "0x10",
    "1.0",
    "-0.0",
    "1.5",
    "-1.5",
    "1e3",
    "1E+3",
    "1e19",
    "1e300",
    "1e400",
    "-1e400",
    "9007199254740992",
    "9007199254740993.0",
    "9007199254740994.0",
    "123456789012345678901234567890",
    "1577836800",
    "1577836800.123456789",
    "20200101",
    "253402300799",
    "253402300800",
    "-62135596801",
    "86400000000000",
    "nan",
    "NaN",
    "-nan",
    "+nan",
    "inf",
    "INF",
    "-inf",
    "+inf",
    "Infinity",
    "-infinity",
    "infinit",
    "true",
    "TRUE",
    "false",
    "null",
    "NULL",
    "none",
    "a",
    "2020-01-01",
    "2020-01-01T00:00:00",
    "2020-01-01T00:00:00.1234565",
    "2020-02-29T23:59:59.9999995Z",
    "2020-12-31T23:59:59.9999999+01:00",
    "2020-01-01T00:00:00.99999949",
    "2020-01-01T00:00:00.",
    "00:59:59.9999995",
    "00:00:00.9999999Z",
    "23:59:58.9999999",
    "P1D",
    "PT1.5S",
    "P1Y",
]
DOCUMENTS = [
    *(f'"{text}"' for text in [*TEXTS, "", " 1", "1 "]),
    *[
        "0",
        "1",
        "-0",
        "-1",
        "2",
        "1.0",
        "-0.0",
        "1.5",
        "1e3",
        "1e15",
        "1e16",
        "1e300",
        "1e400",
        "9007199254740992.0",
        "9007199254740994.0",
        "-9007199254740992.0",
    ],
    *[
        "253402300799",
        "-62135596801",
        "1577836800",
        "1577836800.123456",
        "86399999999999",
        "86400000000000",
        "true",
        "false",
        "null",
        "[]",
        "{}",
    ],
]
TYPES: list[Any] = [
    int,
    float,
    bool,
    None,
    str,
    Decimal,
    dt.datetime,
    dt.date,
    dt.time,
    dt.timedelta,
    Level,
    Word,
    Literal[1, "a", None],
    Annotated[int, msgspec.Meta(ge=0)],
    Annotated[float, msgspec.Meta(ge=0)],
    Annotated[float, msgspec.Meta(multiple_of=0.5)],
    int | float,
    bool | int,
    bool | float,
    bool | int | float,
    int | str | None,
    bool | None,
    int | Decimal,
    Decimal | bool,
    dt.datetime | None,
    dt.datetime | int,
    dt.datetime | float,
    dt.timedelta | bool,
    dt.date | int,
    Word | int,
    Word | bool,
    Level | None,
    bytes | int,
]
KEYS: list[Any] = [int, float, dt.datetime, dt.timedelta, dt.date, Level, str]

# What weft reads otherwise, on purpose: a type, a document, and what it is here.
NO = object()
DIFFERENT: dict[tuple[Any, str], Any] = {
    (Decimal, '"-0"'): Decimal("-0"),  # as Decimal("-0") has it, strict or not
    (Decimal | bool, '"-0"'): Decimal("-0"),
    # What no number takes, and has no range, is the text that it is.
    (bytes | int, '"1e19"'): base64.b64decode("1e19"),
    (bytes | int, '"Infinity"'): base64.b64decode("Infinity"),
}


def outcome(decode: Any, data: bytes) -> Any:
    try:
        return decode(data)
    except ValueError:
        return NO


def alike(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and str(a) == str(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, Decimal):
        return isinstance(b, Decimal) and str(a) == str(b)
    return type(a) is type(b) and a == b and str(a) == str(b)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("annotation", TYPES, ids=str)
def test_texts_and_numbers(annotation: Any, strict: bool) -> None:
    theirs = msgspec.json.Decoder(annotation, strict=strict)
    ours = json.Decoder(type(None) if annotation is None else annotation, strict=strict)
    for document in DOCUMENTS:
        expected = DIFFERENT.get((annotation, document), ...)
        if expected is ...:
            expected = outcome(theirs.decode, document.encode())
        got = outcome(ours.decode, document.encode())
        assert alike(got, expected), (annotation, document, got, expected)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("annotation", KEYS, ids=str)
def test_keys(annotation: Any, strict: bool) -> None:
    theirs = msgspec.json.Decoder(dict[annotation, int], strict=strict)
    ours = json.Decoder(dict[annotation, int], strict=strict)
    for text in TEXTS:
        document = f'{{"{text}":1}}'.encode()
        expected, got = outcome(theirs.decode, document), outcome(ours.decode, document)
        assert alike(got, expected), (annotation, document, got, expected)


def test_the_last_moment_of_a_day_is_not_the_first_of_that_day() -> None:
    """msgspec reads that time as 00:00, and refuses the datetime, which .NET has for the last."""
    assert json.decode(b'"23:59:59.9999999"', type=dt.time) == dt.time.max
    assert json.decode(b'"9999-12-31T23:59:59.9999999"', type=dt.datetime) == dt.datetime.max


def test_an_int_among_the_keys_of_bson_has_no_fraction() -> None:
    with pytest.raises(bson.DecodeError):
        bson.decode(bson.encode({"1.0": 1}), type=dict[int, int])
    assert bson.decode(bson.encode({"1": 1}), type=dict[int, int]) == {1: 1}


@pytest.mark.parametrize("kind", [bytes, str])
def test_lines_of_json_space_alone_are_passed_over(kind: Any) -> None:
    def lines(text: str) -> Any:
        return text.encode() if kind is bytes else text

    assert json.decode_lines(lines("1\n \t\r\n\n2\r\n")) == [1, 2]
    for text in ("1\n\x0b\n2", "1\n\x0c\n", "1\n\x85\n", "1\n\xa0\n2"):
        with pytest.raises(json.DecodeError) as failed:
            json.decode_lines(lines(text))
        assert (failed.value.lineno, failed.value.pos) == (2, 2)


def test_a_byte_order_mark_stands_in_front_of_the_first_line_alone() -> None:
    mark = b"\xef\xbb\xbf"
    assert json.decode_lines(mark + b"1\n2") == [1, 2]
    for strict, annotation in itertools.product((True, False), (None, int)):
        with pytest.raises(json.DecodeError) as failed:
            json.decode_lines(mark + b"1\n" + mark + b"2", type=annotation, strict=strict)
        assert (failed.value.lineno, failed.value.colno, failed.value.pos) == (2, 1, 5)
