"""msgspec is the judge of typed encoding outside of pydantic: the same bytes."""

import abc
import dataclasses
import datetime as dt
import enum
import os
import uuid
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict

from tests.shape_types import Typed
from tests.test_shape_msgspec import TYPES
from weft.json import EncodeError, Encoder, encode

EXAMPLES = int(os.environ.get("WEFT_SHAPE_EXAMPLES", "120"))


def compare(annotation: Any, obj: Any) -> None:
    assert encode(obj, type=annotation) == msgspec.json.encode(obj), (annotation, obj)


def complete(obj: Any) -> Any:
    """msgspec leaves defaults in the class when it makes a dataclass, and does not write them then:
    they are put where dataclasses have them."""
    if dataclasses.is_dataclass(obj):
        for field in dataclasses.fields(obj):
            object.__setattr__(obj, field.name, complete(getattr(obj, field.name)))
    elif isinstance(obj, msgspec.Struct):
        for name in obj.__struct_fields__:
            complete(getattr(obj, name))
    elif isinstance(obj, dict):
        for value in obj.values():
            complete(value)
    elif isinstance(obj, (list, tuple)):
        for value in obj:
            complete(value)
    return obj


def test_random_types_and_values() -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="CI" in os.environ or "WEFT_SHAPE_EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(TYPES, st.data())
    def run(typed: Typed, data: Any) -> None:
        for _ in range(3):
            try:
                obj = msgspec.convert(data.draw(typed.values), typed.annotation, strict=True)
            except (TypeError, msgspec.ValidationError):
                continue
            try:
                expected = msgspec.json.encode(complete(obj))
            except (OverflowError, UnicodeEncodeError):  # ints beyond 64 bits
                continue
            assert encode(obj, type=typed.annotation) == expected, (typed, obj)

    run()


# ---- by hand ----


class Color(enum.Enum):
    red = 'r"ed'
    one = 1


class Named(NamedTuple):
    a: int
    b: str = "b"


class Movie(TypedDict):
    name: str
    year: int


class Inner(msgspec.Struct):
    x: int = 0


def made(factory: Any) -> Any:
    return msgspec.field(default_factory=factory)


EAST = dt.timezone(dt.timedelta(hours=5, minutes=30))


class Everything(msgspec.Struct):
    i: int = 2**60
    f: float = 1.5
    tiny: float = 1.5e-5
    large: float = 1e22
    nan: float = float("nan")
    s: str = 'q"\\ \x01é😀'
    b: bool = True
    n: None = None
    raw: bytes = b"\xff\x00a"
    array: bytearray = made(lambda: bytearray(b"ab"))
    when: dt.datetime = dt.datetime(2024, 2, 29, 1, 2, 3, 450, tzinfo=dt.UTC)
    naive: dt.datetime = dt.datetime(1, 1, 1)
    east: dt.datetime = dt.datetime(
        2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))
    )
    west: dt.time = dt.time(1, 2, 3, 4, tzinfo=dt.timezone(-dt.timedelta(hours=1)))
    day: dt.date = dt.date(9999, 12, 31)
    took: dt.timedelta = dt.timedelta(days=3, seconds=5, microseconds=120000)
    back: dt.timedelta = dt.timedelta(days=-1, microseconds=1)
    zero: dt.timedelta = dt.timedelta(0)
    key: uuid.UUID = uuid.UUID(int=5)
    cost: Decimal = Decimal("1.10")
    color: Color = Color.red
    number: Color = Color.one
    kind: Literal["a", 1] = "a"
    tags: list[str] = made(lambda: ["a"])
    pair: tuple[int, str] = (1, "a")
    many: tuple[int, ...] = (1, 2)
    numbers: set[int] = made(lambda: {1})
    frozen: frozenset[str] = frozenset({"x"})
    counts: dict[str, int] = made(lambda: {"a": 1, 'q"': 2})
    by_int: dict[int, Inner] = made(lambda: {1: Inner()})
    by_day: dict[dt.date, int] = made(lambda: {dt.date(2024, 1, 1): 1})
    by_key: dict[uuid.UUID, int] = made(lambda: {uuid.UUID(int=1): 1})
    by_color: dict[Color, int] = made(lambda: {Color.red: 1, Color.one: 2})
    anything: Any = made(lambda: {"a": [1, None, 2.5, True], "b": (Inner(), dt.date(1, 1, 1), {2})})
    either: int | dt.datetime | str | None = dt.datetime(2024, 1, 1)
    inner: Inner | None = None
    named: Named = Named(1)
    movie: Movie = made(lambda: {"year": 1, "name": "in its own order"})
    unset: int | msgspec.UnsetType = msgspec.UNSET


class Omitting(msgspec.Struct, omit_defaults=True, rename="camel"):
    the_id: int
    the_name: str = "name"
    the_tags: list[str] = []
    the_map: dict[str, int] = {}
    the_set: set[int] = set()
    big_one: int = 10**6


class Tagged(msgspec.Struct, tag='t"ag'):
    a: int


class Numbered(msgspec.Struct, tag_field="k", tag=3):
    a: int


class Array(msgspec.Struct, array_like=True, tag=True, omit_defaults=True):
    a: int
    b: list[int] = []


class Loose(msgspec.Struct, dict=True):
    a: int


@dataclasses.dataclass
class Point:
    x: int
    y: float | None = None
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Slotted:
    x: int
    inner: Point | None = None


@attrs.define
class Attrs:
    a: int
    b: list[Point] = attrs.Factory(list)


OBJECTS: list[tuple[Any, Any]] = [
    (Everything, Everything()),
    (Everything, Everything(either="s", inner=Inner(3), unset=5)),
    (Omitting, Omitting(1)),
    (Omitting, Omitting(1, "other", ["a"], {"a": 1}, {1}, 7)),
    (Omitting, Omitting(1, "".join(["na", "me"]), big_one=int("1000000"))),  # equal, not the same
    (Tagged | Numbered, Tagged(1)),
    (list[Tagged | Numbered], [Numbered(1), Tagged(2)]),
    (Array, Array(1)),
    (Loose, Loose(1)),
    (Point, Point(1)),
    (list[Point], [Point(1, 2.0, ["a"]), Point(2)]),
    (Slotted, Slotted(1, Point(2))),
    (Attrs, Attrs(1, [Point(1)])),
    (Named, Named(1)),
    (dict[str, Movie], {"a": {"name": "n", "year": 1}}),
    (Any, {"a": [Inner(), Point(1), Color.red]}),
    (list[int], []),
    (dict[str, int], {}),
    (str, "x" * 5000),
]


@pytest.mark.parametrize(("annotation", "obj"), OBJECTS, ids=lambda v: str(v)[:30])
def test_objects_are_written_as_msgspec_writes_them(annotation: Any, obj: Any) -> None:
    compare(annotation, obj)
    compare(list[annotation], [obj, obj])


WRONG: list[tuple[Any, Any, str]] = [
    (int, "1", "expected int, got str"),
    (list[Inner], [Inner(), Inner("x")], "expected int, got str at [1].x"),  # type: ignore[arg-type]
    (Point, Inner(), "expected Point, got Inner"),
    (list[Point], [Point("a")], "expected int, got str at [0].x"),  # type: ignore[arg-type]
    (dict[str, list[int]], {'k"ey': [None]}, 'expected int, got NoneType at ["k"ey"][0]'),
    (tuple[int, str], (1,), "expected tuple[int, str], got tuple"),
    (Color, "red", "expected Color, got str"),
    (Literal["a"], "b", "expected Literal['a'], got str"),
    (int | None, "x", "expected int, got str"),
    # of a class of this file: shapes are kept, and int | str is equal to Union[int, str]
    (bool | Inner, 1.5, f"expected bool | {__name__}.Inner, got float"),
    (Movie, {"name": "n"}, "Movie has no year"),
    (Movie, {"name": 1, "year": 1}, "expected str, got int at name"),
    (Any, {"a": [object()]}, 'objects of type object have no JSON form at ["a"][0]'),
    (str, "\ud800", "lone surrogate U+D800 at index 0 of a str has no UTF-8"),
    (dict[str, int], {1: 1}, 'expected str, got int at ["1"]'),
    (list[Point], ["x"], "expected Point, got str at [0]"),
]


@pytest.mark.parametrize(("annotation", "obj", "message"), WRONG, ids=lambda v: str(v)[:30])
def test_what_is_not_of_the_type_is_an_error_that_says_where(
    annotation: Any, obj: Any, message: str
) -> None:
    with pytest.raises(EncodeError) as info:
        encode(obj, type=annotation)
    assert str(info.value) == message
    assert info.value.path == ("" if "surrogate" in message else message.partition(" at ")[2])


def test_subclasses_are_written_as_what_was_declared() -> None:
    class Secret(Point):
        pass

    class Longer(Inner):
        secret: int = 1

    class Level(enum.IntEnum):
        low = 1

    class Text(str):
        pass

    secret = Secret(1)
    secret.password = "hidden"  # type: ignore[attr-defined]
    assert encode(secret, type=Point) == b'{"x":1,"y":null,"tags":[]}'
    assert encode(Longer(), type=Inner) == b'{"x":0}'
    assert encode([Level.low, True], type=list[int]) == b"[1,true]"
    assert encode([1, True, 2.0], type=list[float]) == b"[1,true,2.0]"
    assert encode(Text('a"'), type=str) == b'"a\\""'
    assert encode({1: 2.5}, type=dict[Any, Any]) == b'{"1":2.5}'
    assert encode((1, 2), type=list[int]) == b"[1,2]"
    assert encode({"name": "n", "year": 1, "password": "x"}, type=Movie) == b'{"name":"n","year":1}'


def test_fields_of_a_dataclass_are_found_wherever_they_are() -> None:
    @dataclasses.dataclass
    class Late:
        a: int
        b: int = dataclasses.field(default=2, init=False)
        c: dataclasses.InitVar[int] = 0

        @property
        def d(self) -> int:
            return 4

    late = Late(1)
    late.extra = "x"  # type: ignore[attr-defined]
    assert encode(late, type=Late) == b'{"a":1,"b":2}'
    del late.a
    with pytest.raises(EncodeError, match="Late has no a"):
        encode(late, type=Late)


def test_the_encoder_keeps_its_type() -> None:
    encoder = Encoder(list[Point])
    assert encoder.encode([]) == b"[]"
    buffer = bytearray(b"head:")
    encoder.encode_into([Point(1)], buffer, -1)
    assert buffer == b'head:[{"x":1,"y":null,"tags":[]}]'
    with pytest.raises(EncodeError):
        encoder.encode_into([1], buffer)
    assert buffer.startswith(b"head:")
    with pytest.raises(TypeError, match="bytearray"):
        encoder.encode_into([], b"")
    with pytest.raises(ValueError, match="not inside"):
        encoder.encode_into([], buffer, 1000)
    assert Encoder(int).encode_lines(iter([1, 2])) == b"1\n2\n"
    with pytest.raises(EncodeError):
        Encoder(int).encode_lines([1, "x"])  # type: ignore[list-item]
    assert Encoder(dict[str, int], indent=1).encode({"a": 1}) == b'{\n "a": 1\n}'
    with pytest.raises(TypeError):
        Encoder(int, sort_keys=True)
    with pytest.raises(TypeError):
        encode(1, type=int, sort_keys=True)
    with pytest.raises(TypeError, match="cannot read"):
        Encoder(object.__init__)


def test_recursion_and_depth() -> None:
    class Node(msgspec.Struct):
        next: "Node | None" = None

    class Chain:
        pass

    node = Node()
    node.next = node
    globals()["Node"] = Node
    with pytest.raises(EncodeError, match="nested more than 512 deep, or in itself") as info:
        encode(node, type=Node)
    assert info.value.path.endswith(".next.next")
    items: list[Any] = []
    items.append(items)
    with pytest.raises(EncodeError, match="512"):
        encode(items, type=list[Any])
    deep: Any = 1
    for _ in range(512):
        deep = [deep]
    assert encode(deep, type=Any) == b"[" * 512 + b"1" + b"]" * 512
    with pytest.raises(EncodeError, match="512"):
        encode([deep], type=Any)


class Changing(dt.tzinfo):
    """A time zone that changes what is being encoded."""

    def __init__(self, change: Any) -> None:
        self.change = change

    def utcoffset(self, when: Any) -> dt.timedelta:
        self.change()
        return dt.timedelta(0)


@dataclasses.dataclass
class Moving:
    when: dt.datetime
    after: Any = 1


def test_objects_may_change_while_they_are_encoded() -> None:
    items: list[Any] = []
    items += [dt.datetime(2024, 1, 1, tzinfo=Changing(items.clear)), object(), object()]
    assert encode(items, type=list[Any]) == b'["2024-01-01T00:00:00Z"]'

    mapping: dict[str, Any] = {}
    mapping["a"] = dt.datetime(2024, 1, 1, tzinfo=Changing(mapping.clear))
    with pytest.raises(EncodeError, match="changed its size"):
        encode(mapping, type=dict[str, Any])

    moving = Moving(dt.datetime(2024, 1, 1))
    moving.when = dt.datetime(2024, 1, 1, tzinfo=Changing(lambda: moving.__dict__.clear()))
    with pytest.raises(EncodeError, match="changed while"):
        encode(moving, type=Moving)

    struct = Everything()
    struct.east = dt.datetime(2024, 1, 1, tzinfo=Changing(lambda: setattr(struct, "tags", None)))
    with pytest.raises(EncodeError, match="got NoneType at tags"):
        encode(struct, type=Everything)

    held = [Moving(dt.datetime(2024, 1, 1))]
    held[0].when = dt.datetime(2024, 1, 1, tzinfo=Changing(held.clear))
    assert encode(held, type=list[Moving]) == b'[{"when":"2024-01-01T00:00:00Z","after":1}]'


def test_what_a_time_zone_raises_comes_out() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        encode(dt.datetime(2024, 1, 1, tzinfo=Changing(fail)), type=dt.datetime)


def test_an_objectid_is_its_digits() -> None:
    from weft.bson import ObjectId

    text = "0123456789abcdef01234567"
    assert encode([ObjectId(text)], type=list[ObjectId]) == f'["{text}"]'.encode()
    with pytest.raises(EncodeError, match="expected ObjectId, got str"):
        encode(text, type=ObjectId)


def test_anything_may_be_of_subclasses_of_scalars() -> None:
    class Text(str):
        pass

    class Number(int):
        def __repr__(self) -> str:
            return "no number"

    class Real(float):
        def __repr__(self) -> str:
            return "no real"

    class Abstract(str, metaclass=abc.ABCMeta):
        pass

    class Level(enum.IntEnum):
        low = 1

    class Word(str, enum.Enum):  # noqa: UP042
        one = "uno"

    values = [Text("é"), Number(7), Real(1.5), Abstract("a"), Level.low, Word.one]
    whole = [*values, {Text("k"): Number(2**70)}, {Number(5): Text("")}]
    assert encode(whole, type=list[Any]) == encode(whole)
    for value in whole:
        assert encode(value, type=Any) == encode(value)
        assert encode({"a": value}, type=dict[str, Any]) == encode({"a": value})
