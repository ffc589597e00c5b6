"""Enums and literals beside msgspec: as keys of dicts, flags, and what `_missing_` knows."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, Literal, Union

import msgspec
import pytest

from weft import bson, json


class Level(enum.IntEnum):
    low = 1
    high = 2


class Number(enum.Enum):
    one = 1
    two = -2


class Mixed(enum.Enum):
    text = "1"
    other = "x"


class Access(enum.Flag, boundary=enum.STRICT):
    read = 1
    write = 2


class Mode(enum.IntFlag):
    quick = 1
    quiet = 4


class Found(enum.Enum):
    here = "here"

    @classmethod
    def _missing_(cls, value: object) -> Found | None:
        return cls.here if value == "HERE" else None


class Near(enum.IntEnum):
    one = 1

    @classmethod
    def _missing_(cls, value: object) -> Near | None:
        return cls.one if isinstance(value, int) and value < 10 else None


@pytest.mark.parametrize(
    ("key", "annotation"),
    [
        (Level.low, Level),
        (Number.two, Number),
        (2, Literal[1, 2]),
        ("1", Literal["1", 2]),
        (2, Literal["1", 2]),
        (Mixed.text, Mixed),
        (Access.read, Access),
        (Access.read | Access.write, Access),
        (Mode(0), Mode),
        (Near.one, Near),
        (Found.here, Found),
    ],
)
def test_ints_of_enums_and_literals_are_read_as_the_keys_they_were_written_as(
    key: Any, annotation: Any
) -> None:
    value, type_ = {key: 5}, dict[annotation, int]
    document = json.encode(value, type=type_)
    assert json.decode(document, type=type_) == value
    assert bson.decode(bson.encode(value, type=type_), type=type_) == value
    assert bson.to_json(bson.encode(value, type=type_), type=type_) == document


@pytest.mark.parametrize("annotation", [Level, Number, Literal[1, -2], Mixed])
@pytest.mark.parametrize("key", ["1", "2", "-2", "01", "1.0", " 1", "+1", "x", "", "1e0", "-0"])
def test_keys_that_are_no_choice(annotation: Any, key: str) -> None:
    document = msgspec.json.encode({key: 0})
    type_ = dict[annotation, int]
    try:
        expected = msgspec.json.decode(document, type=type_)
    except msgspec.ValidationError:
        with pytest.raises(json.DecodeError, match="invalid"):
            json.decode(document, type=type_)
    else:
        assert json.decode(document, type=type_) == expected


def test_an_int_is_no_choice_of_text_where_it_is_a_value() -> None:
    for document, annotation in ((b'"1"', Level), (b"1", Mixed), (b'"3"', Access)):
        with pytest.raises(json.DecodeError):
            json.decode(document, type=annotation)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5, 7, 8, -1, 1 << 40])
@pytest.mark.parametrize("annotation", [Access, Mode, Near, Level, Union[Mode, str]])  # noqa: UP007
def test_flags_that_are_set_together(annotation: Any, number: int) -> None:
    document = b"%d" % number
    try:
        value = msgspec.json.decode(document, type=annotation)
    except msgspec.ValidationError:
        with pytest.raises(json.DecodeError, match="invalid"):
            json.decode(document, type=annotation)
        return
    assert json.decode(document, type=annotation) == value
    again = json.encode(value, type=annotation)
    assert again == msgspec.json.encode(value)
    assert json.decode(again, type=annotation) == value
    kept = bson.encode({"k": value}, type=dict[str, annotation])
    assert bson.decode(kept, type=dict[str, annotation]) == {"k": value}
    assert bson.to_json(kept, type=dict[str, annotation]) == b'{"k":%b}' % again


def test_flags_as_fields() -> None:
    @dataclasses.dataclass
    class Door:
        access: Access
        modes: list[Mode]

    door = Door(Access.read | Access.write, [Mode(5), Mode(0)])
    assert json.encode(door, type=Door) == b'{"access":3,"modes":[5,0]}'
    assert json.decode(b'{"access":3,"modes":[5,0]}', type=Door) == door
    assert bson.decode(bson.encode(door, type=Door), type=Door) == door
    with pytest.raises(json.DecodeError, match=r"invalid Access at access"):
        json.decode(b'{"access":8,"modes":[]}', type=Door)
    with pytest.raises(json.EncodeError, match=r"expected Access, got Mode"):
        json.encode(Door(Mode.quick, []), type=Door)  # type: ignore[arg-type]


def test_missing_is_asked() -> None:
    assert json.decode(b'["here","HERE"]', type=list[Found]) == [Found.here, Found.here]
    assert json.decode(b"[1,9]", type=list[Near]) == [Near.one, Near.one]
    assert json.decode(b'{"HERE":1}', type=dict[Found, int]) == {Found.here: 1}
    assert json.decode(b'"9"', type=Near, strict=False) is Near.one
    raw = bson.encode({"k": "HERE"})
    assert bson.decode(raw, type=dict[str, Found]) == {"k": Found.here}
    for document, annotation in ((b'"there"', Found), (b"10", Near), (b"1", Found)):
        with pytest.raises(json.DecodeError):
            json.decode(document, type=annotation)


def test_missing_that_raises() -> None:
    class Broken(enum.Enum):
        a = 1

        @classmethod
        def _missing_(cls, value: object) -> Any:
            if value == 2:
                raise KeyError("no")
            return "no member"

    with pytest.raises(KeyError):
        json.decode(b"2", type=Broken)
    with pytest.raises(json.DecodeError, match="invalid Broken"):
        json.decode(b"3", type=Broken)
