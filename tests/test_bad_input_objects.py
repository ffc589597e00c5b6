"""Objects that are not what their class says: to every decoder and encoder."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import gc
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
import pydantic
import pytest
from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry

from weft import bson, json


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    x: int = 1


class Changing:
    """A cycle, which the collector finds while something is decoded."""

    def __init__(self, buffer: bytearray, old: bytes, new: bytes) -> None:
        self.me = self
        self.buffer, self.old, self.new = buffer, old, new

    def __del__(self) -> None:
        self.buffer[:] = self.buffer.replace(self.old, self.new)


@pytest.mark.parametrize("type_", [Any, Open, dict[str, Any]])
def test_a_read_only_view_of_what_can_change(type_: Any) -> None:
    escapes = b"\\u00e9" * 3000
    document = b'{"' + escapes + b'":[' + b",".join([b"[]"] * 2000) + b"]}"
    raw = bson.encode({"k": "old" * 1000, "many": [[]] * 2000})
    for data, old, decode in (
        (document, escapes, lambda view: json.decode(view, type=type_)),
        (raw, b"old", lambda view: bson.decode(view, type=type_)),
        (raw, b"old", lambda view: next(bson.iter(view, type=type_))),
        (raw, b"old", lambda view: bson.to_json(view, type=type_)),
    ):
        expected = decode(data)
        buffer = bytearray(data)
        view = memoryview(buffer).toreadonly()
        gc.collect()
        gc.disable()
        Changing(buffer, old, b"A" * len(old))
        gc.enable()  # and what is decoded makes enough objects for it to run
        assert decode(view) == expected
        gc.collect()
        assert buffer != data  # it has, at the latest here


def test_a_view_of_bytes_is_read_in_place() -> None:
    raw = bson.encode({"a": 1})
    assert json.decode(memoryview(b'xx{"a":1}')[2:]) == {"a": 1}
    assert bson.decode(memoryview(b"xx" + raw)[2:]) == {"a": 1}


class Stand:
    """What a test has put in the place of a class of the standard library."""

    __slots__ = ()


@pytest.mark.parametrize("name", ["datetime", "date", "time", "timedelta"])
@pytest.mark.parametrize("stand", [Stand, lambda: range(3)], ids=["class", "range"])
def test_a_class_in_the_place_of_datetimes(
    name: str, stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = dt.datetime(2024, 2, 29, 12, 30)
    values = (at, at.date(), at.time(), dt.timedelta(1))
    expected = [json.encode(value) for value in values]
    monkeypatch.setattr(dt, name, type(stand()))
    with pytest.raises(json.EncodeError):
        json.encode(stand())
    assert [json.encode(value) for value in values] == expected


class At(dt.datetime):
    says: Any = None

    def utcoffset(self) -> Any:
        return self.says


class Clock(dt.time):
    says: Any = None

    def utcoffset(self) -> Any:
        return self.says


@pytest.mark.parametrize(
    "says", [dt.timedelta(days=999999999), dt.timedelta(days=-999999999), dt.timedelta(1), 5, "x"]
)
def test_an_offset_that_is_none(says: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(At, "says", says)
    monkeypatch.setattr(Clock, "says", says)
    at, clock = At(2020, 1, 1, tzinfo=dt.timezone.max), Clock(1, tzinfo=dt.timezone.max)
    for error, call in (
        (json.EncodeError, lambda: json.encode({"a": at}, type=dict[str, dt.datetime])),
        (json.EncodeError, lambda: json.encode({"a": clock}, type=dict[str, dt.time])),
        (bson.EncodeError, lambda: bson.encode({"a": at})),
    ):
        with pytest.raises(
            error, match=r"utcoffset\(\) is no timedelta of less than a day"
        ) as info:
            call()
        assert info.value.path in ("a", '["a"]')  # type: ignore[attr-defined]
    monkeypatch.setattr(At, "says", dt.timedelta(hours=-2))
    assert json.encode(at, type=dt.datetime) == b'"2020-01-01T00:00:00-02:00"'
    assert bson.decode(bson.encode({"a": at})) == {"a": dt.datetime(2020, 1, 1, 2)}


@pytest.mark.parametrize("text", ["1E+1000000", "1E+9999999", "-1E+999999999999", "12E+4299"])
def test_a_decimal_of_millions_of_digits(text: str) -> None:
    with pytest.raises(json.EncodeError, match=re.escape("sys.get_int_max_str_digits()")) as info:
        json.encode({"n": [decimal.Decimal(text)]})
    assert info.value.path == "n[0]"


def test_decimals_of_thousands_of_digits() -> None:
    for text in ("1E+4299", "1E+700", "12E+600", "1E+3", "-7"):
        value = decimal.Decimal(text)
        assert json.encode(value) == str(int(value)).encode()
    assert json.encode(decimal.Decimal("1E-999999999")) == b"0.0"
    limit = sys.get_int_max_str_digits()
    try:
        sys.set_int_max_str_digits(0)
        assert len(json.encode(decimal.Decimal("1E+4299"))) == 4300
        with pytest.raises(json.EncodeError):
            json.encode(decimal.Decimal("1E+1000000000"))
    finally:
        sys.set_int_max_str_digits(limit)


class Row(msgspec.Struct, tag="row", array_like=True):
    x: int = 0


def test_an_array_without_its_tag() -> None:
    assert json.decode(b'["row"]', type=Row) == Row()
    for document in (b"[]", b"[1]", b'["other",1]'):
        with pytest.raises(json.DecodeError):
            json.decode(document, type=Row)
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(document, type=Row)
    assert bson.decode(bson.encode({"r": ["row"]}), type=dict[str, Row]) == {"r": Row()}
    for items in ([], [1]):
        with pytest.raises(bson.DecodeError):
            bson.decode(bson.encode({"r": items}), type=dict[str, Row])


@dataclasses.dataclass
class Again:
    """Reads the document that it is in."""

    n: Again | None = None
    x: int = 0

    def __post_init__(self) -> None:
        if self.x:
            AGAIN[self.x]()


class Factory(msgspec.Struct):
    n: Factory | None = None
    x: int = 0
    made: Any = msgspec.field(default_factory=lambda: AGAIN[5]())


@dataclasses.dataclass(frozen=True)
class Hashed:
    x: int = 0

    def __hash__(self) -> int:
        return AGAIN[6]()  # type: ignore[no-any-return]


@dataclasses.dataclass
class Holder:
    n: Holder | None = None
    x: frozenset[Hashed] | int = 0


class Key(pathlib.PurePosixPath):
    __slots__ = ()

    def __hash__(self) -> int:
        return AGAIN[int(str(self))]()  # type: ignore[no-any-return]


@dataclasses.dataclass
class Keys:
    n: Keys | None = None
    x: dict[Key, int] | None = None


@dataclasses.dataclass
class Anything:
    n: Anything | None = None
    x: Any = None


class Document(dict[str, Any]):
    def __init__(self) -> None:
        super().__init__()
        AGAIN[9]()


class Decoder(TypeDecoder):
    bson_type = int

    def transform_bson(self, value: Any) -> Any:
        return AGAIN[10]()


OF_CLASS: CodecOptions[Any] = CodecOptions(document_class=Document)
OF_DECODER: CodecOptions[Any] = CodecOptions(type_registry=TypeRegistry([Decoder()]))


DEPTH = 500
DEEP = b'{"n":' * DEPTH + b'{"x":%d}' + b"}" * DEPTH


def deep(x: Any) -> bytes:
    value: Any = {"x": x}
    for _ in range(DEPTH):
        value = {"n": value}
    return bson.encode(value)


AGAIN: dict[int, Any] = {
    1: lambda: json.decode(DEEP % 1, type=Again),
    2: lambda: bson.decode(deep(2), type=Again),
    3: lambda: bson.to_json(deep(3), type=Again),
    5: lambda: json.decode(DEEP % 0, type=Factory),
    6: lambda: json.decode(DEEP.replace(b"%d", b"[{}]"), type=Holder),
    7: lambda: json.decode(DEEP.replace(b"%d", b'{"7":1}'), type=Keys),
    8: lambda: bson.decode(deep({"8": 1}), type=Keys),
    9: lambda: bson.decode(deep({}), type=Anything, codec_options=OF_CLASS),
    10: lambda: bson.decode(deep(1), type=Anything, codec_options=OF_DECODER),
}


@pytest.mark.parametrize("how", list(AGAIN))
def test_a_deep_document_that_is_read_at_its_bottom_again(how: int) -> None:
    with pytest.raises(RecursionError):
        AGAIN[how]()


def test_the_end_of_an_interpreter_with_time_zones() -> None:
    """pydantic's were freed when the C API of datetime was gone."""
    program = """
import datetime, pydantic
from weft import json
class M(pydantic.BaseModel):
    at: datetime.datetime
print(json.encode(json.decode('{"at":"2024-02-29T00:00:00Z"}', type=M), type=M).decode())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONMALLOC": "debug"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, '{"at":"2024-02-29T00:00:00Z"}\n'), done.stderr


@dataclasses.dataclass(eq=False)
class Grower:
    """Adds to the container that it is in while it is written."""

    inside: ClassVar[Any]
    x: int = 0

    def grow(self) -> int:
        add = self.inside.add if isinstance(self.inside, set) else self.inside.append
        add(Grower())
        return 1


Grower.x = property(Grower.grow, lambda self, value: None)  # type: ignore[assignment]


@pytest.mark.parametrize("make", [set, collections.deque])
def test_sets_and_deques_that_grow_while_they_are_encoded(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_type = dict[str, make[Grower]]
    for error, call in (
        (json.EncodeError, lambda o: json.encode(o, default=Grower.grow)),
        (json.EncodeError, lambda o: json.encode(o, type=of_type)),
        (bson.EncodeError, lambda o: bson.encode(o, type=of_type)),
    ):
        inside = make([Grower(), Grower()])
        monkeypatch.setattr(Grower, "inside", inside, raising=False)
        with pytest.raises(error, match="a set or deque changed while it was encoded") as info:
            call({"a": inside})
        assert info.value.path in ("a[1]", '["a"][1]')  # type: ignore[attr-defined]
        assert type(info.value.__cause__) is RuntimeError


def test_what_a_generator_raises_is_its_own() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise RuntimeError("mine")

    for call in (lambda: json.encode(items()), lambda: json.encode(items(), type=list[int])):
        with pytest.raises(RuntimeError, match="mine"):
            call()
