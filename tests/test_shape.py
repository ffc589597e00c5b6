"""weft.shapes: types read once, JSON decoded into them, and where input is wrong."""

import collections
import contextlib
import dataclasses
import datetime as dt
import enum
import gc
import ipaddress
import pathlib
import re
import sys
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypeVar,
    Union,
)

import attr
import attrs
import msgspec
import pytest
from annotated_types import Ge, Interval, Len, MaxLen
from typing_extensions import ReadOnly, TypeAliasType, TypedDict

from weft import _core, shape
from weft.json import DecodeError

T = TypeVar("T")


class Color(enum.Enum):
    red = "red"
    blue = "blue"


class Level(enum.IntEnum):
    low = 1
    high = 2


class Point(msgspec.Struct):
    x: int
    y: float = 0.0
    next: "Point | None" = None


class Renamed(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    first_name: str
    last_name: str = ""


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    name: str


class Branch(msgspec.Struct, tag="node"):
    child: "Branch | Leaf"


class Leaf(msgspec.Struct, tag="leaf"):
    text: str


class Row(msgspec.Struct, array_like=True):
    a: int
    b: str = "b"


class Box(msgspec.Struct, Generic[T]):
    content: T


@dataclasses.dataclass
class Plain:
    a: int
    b: str = "b"
    c: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True, frozen=True, kw_only=True)
class Slotted:
    a: int
    b: str = "b"


@dataclasses.dataclass
class Checked:
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


@dataclasses.dataclass
class Pair(Generic[T]):
    left: T
    right: T


@attrs.define
class Attrs:
    a: int
    b: str = "b"
    c: list[int] = attr.Factory(list)


@attrs.frozen
class Converted:
    a: int = attrs.field(converter=lambda v: v + 1)
    b: str = attrs.field(default="b", validator=attrs.validators.max_len(3))


class Named(NamedTuple):
    a: int
    b: str = "b"


class Movie(TypedDict, total=False):
    title: Required[str]
    year: int
    director: ReadOnly[str]


class Book(TypedDict):
    title: str
    pages: NotRequired[int]


UserId = NewType("UserId", int)
Tree = TypeAliasType("Tree", dict[str, "Tree"] | int)
Percent = Annotated[int, Interval(ge=0, le=100)]

VALUES: list[tuple[Any, bytes, Any]] = [
    (Any, b'{"a":[1,2.5,null]}', {"a": [1, 2.5, None]}),
    (None, b"null", None),
    (bool, b"true", True),
    (int, b"-5", -5),
    (int, b"123456789012345678901234567890", 123456789012345678901234567890),
    (float, b"1", 1.0),
    (float, b"123456789012345678901234567890", 1.2345678901234568e29),
    (str, rb'"\u00e9\ud83d\ude00"', "é😀"),
    (bytes, b'"aGk="', b"hi"),
    (bytearray, b'""', bytearray()),
    (
        dt.datetime,
        b'"2024-02-29T10:11:12.5Z"',
        dt.datetime(2024, 2, 29, 10, 11, 12, 500000, dt.UTC),
    ),
    (dt.date, b'"2024-02-29"', dt.date(2024, 2, 29)),
    (dt.time, b'"10:11:12"', dt.time(10, 11, 12)),
    (dt.timedelta, b'"P1DT2H"', dt.timedelta(days=1, hours=2)),
    (uuid.UUID, b'"00000000-0000-0000-0000-00000000002a"', uuid.UUID(int=42)),
    (Decimal, b"1.50", Decimal("1.50")),
    (Decimal, b'"1e3"', Decimal("1e3")),
    (Color, b'"red"', Color.red),
    (Level, b"2", Level.high),
    (pathlib.Path, b'"/a/b"', pathlib.Path("/a/b")),
    (ipaddress.IPv4Address, b'"10.0.0.1"', ipaddress.IPv4Address("10.0.0.1")),
    (list[int], b"[1, 2]", [1, 2]),
    (Sequence[int], b"[]", []),
    (tuple[int, str], b'[1, "a"]', (1, "a")),
    (tuple[int, ...], b"[1,2,3]", (1, 2, 3)),
    (tuple[()], b"[]", ()),
    (set[int], b"[1,1,2]", {1, 2}),
    (frozenset[str], b'["a"]', frozenset("a")),
    (collections.deque[int], b"[1]", collections.deque([1])),
    (dict[str, int], b'{"a":1,"a":2}', {"a": 2}),
    (dict[int, str], b'{"1":"a"}', {1: "a"}),
    (dict[uuid.UUID, int], b'{"0000000000000000000000000000002a":1}', {uuid.UUID(int=42): 1}),
    (Mapping[str, Any], b'{"a":[]}', {"a": []}),
    (Optional[int], b"null", None),  # noqa: UP045
    (Union[int, str, list[int]], b"[1]", [1]),  # noqa: UP007
    (int | float, b"1", 1),
    (int | float, b"1.0", 1.0),
    (Literal["a", 1, None], b'"a"', "a"),
    (Literal["a", 1, None], b"null", None),
    (UserId, b"7", 7),
    (Percent, b"100", 100),
    (Tree, b'{"a":{"b":1},"c":2}', {"a": {"b": 1}, "c": 2}),
    (Point, b'{"x":1,"next":{"y":2,"x":3}}', Point(1, 0.0, Point(3, 2.0))),
    (Renamed, b'{"lastName":"b","firstName":"a"}', Renamed("a", "b")),
    (Renamed, rb'{"\u0066irstName":"a"}', Renamed("a")),
    (Cat | Dog, b'{"name":"Rex","type":"dog"}', Dog("Rex")),
    (Cat, b'{"type":"cat","lives":9}', Cat(9)),
    (Cat, b'{"lives":9}', Cat(9)),
    (Row, b"[1]", Row(1)),
    (Row, b'[1,"c",{"more":[]}]', Row(1, "c")),
    (Box[int], b'{"content":1}', Box(1)),
    (Box[list[Box[str]]], b'{"content":[{"content":"a"}]}', Box([Box("a")])),
    (Plain, b'{"a":1,"unknown":{"x":[1,"\\"}"]}}', Plain(1)),
    (Slotted, b'{"b":"c","a":1}', Slotted(a=1, b="c")),
    (Checked, b'{"low":1,"high":2}', Checked(1, 2)),
    (Pair[str], b'{"left":"a","right":"b"}', Pair("a", "b")),
    (Attrs, b'{"a":1,"c":[2]}', Attrs(1, "b", [2])),
    (Converted, b'{"a":1}', Converted(1)),
    (Named, b"[1]", Named(1)),
    (Movie, b'{"title":"a"}', {"title": "a"}),
    (Movie, b'{"year":1,"director":"c","title":"a"}', {"title": "a", "year": 1, "director": "c"}),
    (Book, b'{"title":"a","pages":1,"x":2}', {"title": "a", "pages": 1}),
]


@pytest.mark.parametrize(("annotation", "data", "value"), VALUES, ids=str)
def test_values(annotation, data, value):
    got = shape(annotation).decode_json(data)
    assert got == value
    assert type(got) is type(value)
    # in a container, in a str, with space around, and in pieces that end too soon
    assert shape(list[annotation]).decode_json(b"[ " + data + b" , " + data + b" ]") == [value] * 2
    assert shape(annotation).decode_json(data.decode()) == value
    assert shape(annotation).decode_json(bytearray(b"\xef\xbb\xbf " + data + b"\n")) == value
    for n in range(len(data)):
        if not re.fullmatch(rb"-?[\d.]*\d", data[:n]):  # that is a number
            with pytest.raises(DecodeError):
                shape(annotation).decode_json(data[:n])


WRONG: list[tuple[Any, bytes, str, str]] = [
    (int, b'"1"', "expected int, got str", ""),
    (int, b"1.0", "expected int, got float", ""),
    (str, b"1", "expected str, got int", ""),
    (bool, b"1", "expected bool, got int", ""),
    (list[int], b"{}", "expected list[int], got object", ""),
    (list[int], b"[1, nul]", "expected true, false or null", "[1]"),
    (list[int], b"[1, 2", "unexpected end of the input", ""),
    (dict[str, list[int]], b'{"a":[1,"x"]}', "expected int, got str", '["a"][1]'),
    (dict[int, str], b'{"x":"a"}', "invalid int", '["x"]'),
    (Point, b'{"x":1,"next":{"x":2,"y":"3"}}', "expected float, got str", "next.y"),
    (Point, b'{"y":1}', "missing required field 'x'", ""),
    (list[Point], b'[{"x":1},{"y":1}]', "missing required field 'x'", "[1]"),
    (Renamed, b'{"firstName":"a","x":1}', "unknown field 'x'", ""),
    (Cat | Dog, b'{"type":"cow"}', "no tag of Cat | Dog", '["type"]'),
    (Cat, b'{"type":"dog"}', "no tag of Cat", '["type"]'),
    (tuple[int, str], b"[1]", "expected tuple[int, str], got an array of another length", ""),
    (Percent, b"101", "expected int <= 100", ""),
    (Annotated[str, Len(2, 3)], b'"abcd"', "expected str of length <= 3", ""),
    (Annotated[list[int], MaxLen(1)], b"[1,2]", "expected list[int] of length <= 1", ""),
    (Annotated[str, msgspec.Meta(pattern="^a")], b'"b"', "expected str that matches '^a'", ""),
    (Annotated[int | None, Ge(3)], b"1", "expected int >= 3", ""),
    (uuid.UUID, b'"x"', "invalid UUID", ""),
    (Color, b'"green"', "invalid Color", ""),
    (ipaddress.IPv4Address, b'"1.2.3"', "invalid IPv4Address", ""),
    (Checked, b'{"low":2,"high":1}', "low is above high", ""),
    (list[Converted], b'[{"a":1,"b":"abcd"}]', "Length of", "[0]"),
    (float, b"1e999", "number too large for a double", ""),
    (str, b'"\xff"', "invalid UTF-8 in a string", ""),
    (str, rb'"\ud800"', "unpaired surrogate in a string", ""),
    (Any, b"[" * 600, "nested too deeply", ""),
]


@pytest.mark.parametrize(("annotation", "data", "message", "path"), WRONG, ids=str)
def test_errors_say_what_and_where(annotation, data, message, path):
    with pytest.raises(DecodeError) as info:
        shape(annotation).decode_json(data)
    exc = info.value
    assert exc.msg.startswith(message)
    assert exc.path == path
    assert (f" at {path}" in exc.msg) == bool(path)
    assert 0 <= exc.pos <= len(data)
    assert exc.lineno == 1
    assert exc.colno >= 1


def test_position_is_where_the_value_is():
    with pytest.raises(DecodeError) as info:
        shape(list[Point]).decode_json('[\n {"x": 1},\n {"x": "é", "y": "z"}]')
    assert (info.value.lineno, info.value.colno, info.value.path) == (3, 8, "[1].x")


UNREADABLE = [
    complex,
    list[complex],
    dict[list[int], int],
    Annotated[int, Ge(0)] | Literal[1],
    str | bytes,
    Point | Plain,
    list[int] | set[int],
    "Point",
    Literal[1.5],
    Annotated[int, MaxLen(3)],
    Annotated[str, Ge(3)],
]


@pytest.mark.parametrize("annotation", UNREADABLE, ids=str)
def test_types_that_cannot_be_read(annotation):
    with pytest.raises(TypeError):
        shape(annotation)


def test_what_application_code_raises_is_not_changed():
    @dataclasses.dataclass
    class Raises:
        a: int

        def __post_init__(self) -> None:
            raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        shape(list[Raises]).decode_json(b'[{"a":1}]')


def test_application_code_may_decode_and_change_the_document():
    document = bytearray(b'[{"a":1},{"a":2}]')

    @dataclasses.dataclass
    class Meddler:
        a: int

        def __post_init__(self) -> None:
            document[:] = b"x" * len(document)
            assert shape(list[int]).decode_json(b"[1]") == [1]

    assert [m.a for m in shape(list[Meddler]).decode_json(document)] == [1, 2]


def test_nothing_half_built_is_seen():
    seen = []

    @dataclasses.dataclass(slots=True)
    class Seen:
        a: int
        b: list[int]
        c: Any = dataclasses.field(default_factory=lambda: seen.append(others()))

    def others() -> list[bool]:
        return [hasattr(o, "a") and hasattr(o, "b") for o in gc.get_objects() if type(o) is Seen]

    kept = shape(list[Seen]).decode_json(b'[{"a":1,"b":[]},{"a":2,"b":[]},{"a":3,"b":[]}]')
    assert len(kept) == 3
    assert all(all(each) for each in seen)


def test_the_collector_is_as_it_was_where_anything_of_the_application_runs():
    seen = []

    @dataclasses.dataclass
    class Noted:
        a: int

        def __del__(self):
            seen.append(gc.isenabled())

    class Twice(TypedDict):
        x: Noted

    many = b'{"a":1},' * 1000  # more than is decoded with the collector on under CPython 3.11
    assert len(shape(list[Noted]).decode_json(b"[" + many + b'{"a":2}]')) == 1001
    for wrong in (b"@]", b'{"a":"1"}]', b'{"a":2}]]', b""):
        with pytest.raises(DecodeError):
            shape(list[Noted]).decode_json(b"[" + many + wrong)
    again = b'{"x":{"a":1},"x":{"a":2}},' * 500
    assert shape(list[Twice]).decode_json(b"[" + again + b'{"x":{"a":3}}]')[0]["x"].a == 2
    assert len(seen) > 5000
    assert all(seen)
    assert gc.isenabled()

    gc.disable()
    try:
        shape(list[Noted]).decode_json(b"[" + many + b'{"a":2}]')
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_deep_documents_of_recursive_types():
    for n, ok in ((500, True), (100_000, False)):
        data = b'{"x":1,"next":' * n + b"null" + b"}" * n
        if ok:
            shape(Point).decode_json(data)
        else:
            with pytest.raises(DecodeError, match="nested too deeply"):
                shape(Point).decode_json(data)


def test_a_tag_at_the_end_of_each_level_is_bounded():
    data = b'{"child":' * 400 + b'{"text":"' + b"a" * 1_000_000 + b'","type":"leaf"}'
    data += b',"type":"node"}' * 400
    with pytest.raises(DecodeError, match="nested too deeply"):
        shape(Branch | Leaf).decode_json(data)


def references(call, *args) -> int:
    """How many blocks of memory more there are after 50 calls, failing or not; the least of some
    rounds, since caches fill now and then."""

    def run() -> int:
        before = sys.getallocatedblocks()
        for _ in range(50):
            with contextlib.suppress(ValueError, LookupError, MemoryError):
                call(*args)
        return sys.getallocatedblocks() - before

    run()
    gc.collect()
    return min(run() for _ in range(4))


@pytest.mark.parametrize(("annotation", "data"), [(a, d) for a, d, _ in VALUES], ids=str)
def test_nothing_leaks(annotation, data):
    decode = shape(list[annotation]).decode_json
    whole = b"[" + data + b"," + data + b"]"
    assert references(decode, whole) < 25
    for n in {len(whole) // 3, len(whole) // 2, len(whole) - 1}:
        assert references(decode, whole[:n]) < 25, whole[:n]
        assert references(decode, whole[:n] + b"@" + whole[n:]) < 25


@pytest.mark.parametrize(("annotation", "data"), [(a, d) for a, d, _, _ in WRONG], ids=str)
def test_nothing_leaks_where_it_is_wrong(annotation, data):
    assert references(shape(list[annotation]).decode_json, b"[" + data + b"]") < 25


def test_without_memory():
    """Our own allocations: values of more open containers than fit the stack."""
    decode = shape(list[list[int]]).decode_json
    data = b"[" + b",".join([b"[" + b"1," * 400 + b"1]"] * 3) + b"]"
    for nth in (1, 2, 3):
        _core._alloc_fail_from(nth)
        try:
            value = decode(data)
        except MemoryError:
            pass
        else:
            assert value == [[1] * 401] * 3
        finally:
            _core._alloc_fail_from(0)
    assert decode(data) == [[1] * 401] * 3


def test_without_pythons_memory():
    testcapi = pytest.importorskip("_testcapi")
    cases = [(shape(a).decode_json, d) for a, d, _ in VALUES]
    for decode, data in cases:
        for nth in range(1, 40):
            try:
                testcapi.set_nomemory(nth, nth + 1)
                decode(data)
            except MemoryError:
                pass
            finally:
                testcapi.remove_mem_hooks()


def test_explain():
    text = shape(dict[str, Plain]).explain().splitlines()
    assert text[0] == "dict[str, tests.test_shape.Plain]: native"
    assert "    a: int: native" in text
