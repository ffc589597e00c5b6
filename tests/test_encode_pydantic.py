"""pydantic is the judge of typed encoding: the bytes are model_dump_json's, and a reply's are those
of what it validates to."""

import collections
import dataclasses
import datetime as dt
import enum
import ipaddress
import json
import os
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import pydantic
import pydantic_core
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter
from typing_extensions import TypedDict

from tests.shape_types import JUNK, Color, Level, Typed
from tests.test_shape_pydantic import TYPES
from weft.json import EncodeError, encode
from weft.shapes.compiled import reply_of

EXAMPLES = int(os.environ.get("WEFT_SHAPE_EXAMPLES", "100"))
FLAGS = [
    {"by_alias": True},
    {},
    {"by_alias": True, "exclude_unset": True},
    {"by_alias": True, "exclude_none": True},
    {"exclude_none": True, "exclude_unset": True},
]


def flags_of(options: dict[str, bool]) -> int:
    names = ("by_alias", "exclude_unset", "exclude_none")
    return sum(options.get(name, False) << i for i, name in enumerate(names))


def outcome(call: Any) -> Any:
    try:
        return call()
    except (ValueError, RecursionError) as exc:
        return type(exc)


def compare(annotation: Any, obj: Any) -> None:
    """What is written of an object, whatever is in it."""
    adapter: Any = TypeAdapter(annotation)
    expected = outcome(lambda: adapter.dump_json(obj, warnings=False))
    got = outcome(lambda: encode(obj, type=annotation))
    assert got == expected, (annotation, obj)


def compare_reply(annotation: Any, value: Any) -> bool:
    """What is replied of a value: that of what it is validated to, where that is proved."""
    adapter: Any = TypeAdapter(annotation)
    output = reply_of(adapter)
    proved = None
    for options in FLAGS:
        got = outcome(lambda o=options: output.judge_json(value, flags_of(o)))
        proved = got is not None if proved is None else proved  # FastAPI's usual options
        if got is None:
            continue
        valid = adapter.validator.validate_python(value, from_attributes=True)
        expected = outcome(lambda v=valid, o=options: adapter.dump_json(v, warnings=False, **o))
        assert got == expected, (annotation, value, options)
    return bool(proved)


def parts_of(obj: Any) -> list[Any]:
    found = []
    if isinstance(obj, BaseModel) or dataclasses.is_dataclass(obj):
        found.append(obj)
        names = getattr(obj, "__dict__", None) or {}
        found += [part for value in names.values() for part in parts_of(value)]
    elif isinstance(obj, (list, tuple)):
        found += [part for value in obj for part in parts_of(value)]
    elif isinstance(obj, dict):
        found += [part for value in obj.values() for part in parts_of(value)]
    return found


def test_random_types_and_values() -> None:
    proved = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="CI" in os.environ or "WEFT_SHAPE_EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(TYPES, st.data())
    def run(typed: Typed, data: Any) -> None:
        nonlocal proved
        annotation = pydantic.create_model("Whole", whole=(typed.annotation, ...))
        adapter: Any = TypeAdapter(annotation)
        for _ in range(3):
            value = {"whole": data.draw(typed.values)}
            try:
                obj = adapter.validate_python(value)
            except pydantic.ValidationError:
                assert not compare_reply(annotation, value)
                continue
            compare(annotation, obj)
            proved += compare_reply(annotation, value)
            assert compare_reply(annotation, obj)
            # Python values, as a handler has them
            proved += compare_reply(annotation, adapter.dump_python(obj, by_alias=True))
            # assigned to without validation
            parts = [part for part in parts_of(obj) if getattr(part, "__dict__", None)]
            part = data.draw(st.sampled_from(parts))
            name = data.draw(st.sampled_from(sorted(part.__dict__)))
            part.__dict__[name] = data.draw(JUNK)
            compare(annotation, obj)

    run()
    assert proved > 20


# ---- by hand ----

T = TypeVar("T")


class Address(BaseModel):
    street: str
    zip: int = 0


class Named(NamedTuple):
    a: int
    b: str = "b"


class Movie(TypedDict):
    name: str
    year: int


class Everything(BaseModel):
    id: int
    name: str = 'näme "quoted" \x01 😀'
    price: float = 1.5
    ratio: float = float("nan")
    huge: int = 10**30
    when: dt.datetime | None = dt.datetime(2024, 2, 29, 1, 2, 3, 450, tzinfo=dt.UTC)
    local: dt.datetime = dt.datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    day: dt.date = dt.date(1, 1, 1)
    at: dt.time = dt.time(23, 59, 59, 999999)
    took: dt.timedelta = dt.timedelta(days=-1, seconds=3, microseconds=4)
    key: uuid.UUID = uuid.UUID(int=2**127 + 5)
    cost: Decimal = Decimal("1.10E+3")
    color: Color = Color.red
    level: Level = Level.high
    kind: Literal["a", 1] = 1
    raw: bytes = "ä".encode()
    path: Path = Path("/tmp/x")
    ip: ipaddress.IPv4Address = ipaddress.IPv4Address("127.0.0.1")
    url: pydantic.HttpUrl | None = pydantic.HttpUrl("https://example.com/a")
    secret: pydantic.SecretStr = pydantic.SecretStr("hidden")
    tags: list[str] = ["a", "b"]
    pair: tuple[int, str] = (1, "a")
    many: tuple[float, ...] = (1.0, 1e16, 1e-7)
    numbers: set[int] = {3, 1, 2}
    frozen: frozenset[str] = frozenset({"x"})
    queue: collections.deque[int] = collections.deque([1, 2])
    counts: dict[str, int] = {"a": 1}
    by_int: dict[int, Address] = {1: Address(street="s")}
    by_day: dict[dt.date, str] = {dt.date(2024, 1, 1): "x"}
    anything: Any = {"a": [1, None, {"b": dt.date(2024, 1, 1)}], 2: (1,), "m": Address(street="t")}
    address: Address = Address(street="x")
    addresses: list[Address] = []
    either: int | str = "1"
    union: Address | Movie | list[int] | None = None
    named: Named = Named(1)
    movie: Movie = {"name": "m", "year": 1999}
    sequence: collections.abc.Sequence[int] = (1, 2)


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    first: int = Field(alias="firstName")
    second: int = Field(2, serialization_alias='s"ec')
    third: int = Field(3, exclude=True)


class ByAlias(Aliased):
    model_config = ConfigDict(serialize_by_alias=True)


class Computed(BaseModel):
    a: int

    @pydantic.computed_field(alias="twice")  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return self.a * 2


class Serialized(BaseModel):
    a: int
    b: Annotated[int, pydantic.PlainSerializer(lambda v: f"<{v}>")] = 3
    c: Address = Address(street="c")

    @pydantic.field_serializer("a")
    def a_of(self, value: int) -> str:
        return f"{value}!"


class Wrapped(BaseModel):
    a: int
    inner: Annotated[int, pydantic.PlainSerializer(lambda v: f"<{v}>")] = 3

    @pydantic.model_serializer(mode="wrap")
    def whole(self, handler: Any) -> Any:
        return {"wrapped": handler(self)}


class Validated(BaseModel):
    a: int = Field(ge=1)
    names: list[str] = []

    @pydantic.field_validator("names", mode="before")
    @classmethod
    def split(cls, value: Any) -> Any:
        return value.split(",") if isinstance(value, str) else value


class After(BaseModel):
    a: int

    @pydantic.model_validator(mode="after")
    def grow(self) -> "After":
        self.a += 1
        return self


class Allowing(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int = 1


class Configured(BaseModel):
    model_config = ConfigDict(ser_json_timedelta="float", ser_json_bytes="base64")
    took: dt.timedelta = dt.timedelta(seconds=1.5)
    raw: bytes = b"\xff"


class Private(BaseModel):
    a: int = 1
    _secret: str = "s"


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []
    parent: "Tree | None" = None


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = "rex"


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    pets: list[Cat | Dog] = []


class Box(BaseModel, Generic[T]):
    item: T


class Sub(Address):
    password: str = "hidden"


class Numbers(RootModel[list[int]]):
    pass


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5
    tags: list[str] = dataclasses.field(default_factory=list)


@pydantic.dataclasses.dataclass
class Judged:
    a: int
    b: str = Field("b", alias="B")


@dataclasses.dataclass(slots=True)
class Slotted:
    a: int
    b: Point | None = None


class Later(BaseModel):
    made: int = Field(default_factory=lambda: 7)
    names: list[str] = Field(default_factory=list)
    note: str | None = None


OBJECTS: list[tuple[Any, Any]] = [
    (Everything, Everything(id=1)),
    (
        Everything,
        Everything(id=1, union=Address(street="u"), either=5, addresses=[Address(street="z")]),
    ),
    (Everything, Everything(id=1, union=[1], when=None, anything=float("inf"))),
    (Everything, Everything.model_construct(id="x", price=None, tags="no", named=(1,), when=5)),
    (Aliased, Aliased(firstName=1)),
    (ByAlias, ByAlias(firstName=1)),
    (Computed, Computed(a=1)),
    (Serialized, Serialized(a=1)),
    (Wrapped, Wrapped(a=1)),
    (list[Wrapped], [Wrapped(a=1)]),
    (Validated, Validated(a=1, names="a,b")),
    (list[Validated], [Validated(a=1)]),
    (Allowing, Allowing(a=1, b=[1])),
    (Allowing, Allowing(a=1)),
    (Configured, Configured()),
    (Private, Private()),
    (Tree, Tree(name="a", children=[Tree(name="b", parent=Tree(name="c"))])),
    (Owner, Owner(pet=Dog(), pets=[Cat(), Dog()])),
    (Box[int], Box[int](item=1)),
    (Box[Address], Box[Address](item=Address(street="b"))),
    (Box[Address], Box[Address].model_construct(item=Sub(street="b"))),
    (Address, Sub(street="a")),
    (list[Address], [Sub(street="a")]),
    (Numbers, Numbers([1, 2])),
    (Numbers, Numbers.model_construct("no list")),
    (list[Point], [Point(1), Point(2, 3)]),
    (Judged, Judged(1, B="x")),
    (Slotted, Slotted(1, Point(1))),
    (dict[str, Address], {"a": Address(street="a"), "b": Address.model_construct()}),
    (list[Movie], [{"year": 1, "name": "in its own order"}]),
    (Later, Later()),
]


@pytest.mark.parametrize(("annotation", "obj"), OBJECTS, ids=lambda v: str(v)[:30])
def test_objects_are_written_as_pydantic_writes_them(annotation: Any, obj: Any) -> None:
    whole = pydantic.create_model("Whole", whole=(annotation, ...))
    compare(whole, whole.model_construct(whole=obj))
    if isinstance(obj, BaseModel) or dataclasses.is_dataclass(obj):
        compare(type(obj), obj)
    compare_reply(annotation, obj)
    compare_reply(list[annotation], [obj, obj])


REPLIES: list[tuple[Any, Any, bool]] = [
    (Address, {"street": "a", "zip": 3, "password": "hidden"}, True),
    (Address, {"street": "a"}, True),
    (Address, {"street": "a", "zip": "3"}, False),
    (Address, {"street": "a", "zip": True}, False),
    (Address, {}, False),
    (Address, Sub(street="a"), False),
    (list[Address], [{"street": "a"}, Address(street="b")], True),
    (list[Address], ({"street": "a"},), False),
    (Address | None, None, True),
    (Address | None, {"street": "a"}, True),
    (dict[str, Address], {"k": {"street": "a"}}, True),
    (Aliased, {"firstName": 1}, False),  # by two names: whichever is pydantic's favourite
    (Forbidding, {"a": 1}, True),
    (Forbidding, {"a": 1, "b": 2}, False),
    (Allowing, {"a": 1}, True),
    (Allowing, {"a": 1, "b": 2}, False),
    (Validated, {"a": 1}, False),
    (Validated, Validated(a=1), True),
    (After, After(a=1), False),
    (list[After], [After(a=1)], False),
    (Later, {"names": []}, False),
    (Later, {"made": 1}, True),
    (Computed, {"a": 1}, False),
    (Computed, Computed(a=1), True),
    (Movie, {"year": 1, "name": "m", "extra": 1}, True),
    (Movie, {"name": "m"}, False),
    (Point, {"x": 1}, True),
    (Point, Point(1), True),
    (Named, Named(1), True),
    (Named, Named("x"), False),  # type: ignore[arg-type]
    (Numbers, [1, 2], True),
    (Numbers, Numbers([1]), True),
    (set[int], {1, 2}, False),
    (tuple[int, ...], (1, 2), True),
    (tuple[int, str], (1, "a"), True),
    (Annotated[int, Field(ge=3)], 3, True),
    (Annotated[int, Field(ge=3)], 2, False),
    (Annotated[str, Field(max_length=2)], "ab", True),
    (Annotated[str, Field(max_length=2)], "abc", False),
    (Annotated[list[int], Field(max_length=1)], [1, 2], False),
    (Annotated[str, Field(pattern="^a+$")], "aa", True),
    (Annotated[str, pydantic.StringConstraints(strip_whitespace=True)], " a ", False),
    (float, 1, True),
    (float, float("nan"), True),
    (Annotated[float, Field(allow_inf_nan=False)], float("nan"), False),
    (Decimal, Decimal("1.50"), True),
    (Decimal, Decimal("nan"), False),
    (dt.datetime, dt.datetime(2024, 1, 1, tzinfo=dt.UTC), True),
    (dt.datetime, dt.datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), False),
    (dt.date, dt.datetime(2024, 1, 1), False),
    (uuid.UUID, uuid.uuid4(), True),
    (Color, Color.red, True),
    (Color, "red", False),
    (Literal["a", "b"], "a", True),
    (Literal["a", "b"], "c", False),
    (int | str, "a", True),
    (int | str, 1, True),
    (list[dict], [{"a": 1}], True),
    (list[dict[str, Any]], [{"a": dt.date(2024, 1, 1)}], True),
    (Any, {"a": Sub(street="s")}, True),
    (list[Everything], [Everything(id=1)], True),
    (Cat | Dog, Dog(), False),  # pydantic counts which it is more of
    (Owner, {"pet": Cat()}, True),
    (Owner, {"pet": {"kind": "cat"}}, False),
    (Tree, {"name": "a", "children": [{"name": "b"}]}, True),
]


@pytest.mark.parametrize(("annotation", "value", "proved"), REPLIES, ids=lambda v: str(v)[:30])
def test_replies_are_what_pydantic_makes_of_them_or_not_proved(
    annotation: Any, value: Any, proved: bool
) -> None:
    assert compare_reply(annotation, value) is proved


def test_validators_are_not_called_by_what_is_not_proved() -> None:
    called = []

    class Counting(BaseModel):
        a: int

        @pydantic.field_validator("a")
        @classmethod
        def count(cls, value: int) -> int:
            called.append(value)
            return value

    assert reply_of(TypeAdapter(list[Counting])).judge_json([{"a": 1}], 0) is None
    assert called == []


def test_recursion_is_an_error_with_a_path() -> None:
    tree = Tree(name="a")
    tree.parent = tree
    with pytest.raises(EncodeError, match="nested more than 512 deep") as info:
        encode(tree, type=Tree)
    assert info.value.path.startswith("...")
    numbers = Numbers.model_construct([1])
    numbers.root = numbers  # type: ignore[assignment]
    with pytest.raises((EncodeError, ValueError)):
        encode(numbers, type=Numbers)


def test_what_a_serializer_raises_comes_out() -> None:
    class Raising(BaseModel):
        a: Annotated[int, pydantic.PlainSerializer(lambda v: 1 // v)] = 0

    with pytest.raises(ValueError, match="ZeroDivisionError"):
        encode(Raising(), type=Raising)


def test_an_object_may_change_while_it_is_written() -> None:
    class Changing(BaseModel):
        items: list[Any] = []
        a: int = 1

        @pydantic.computed_field  # type: ignore[prop-decorator]
        @property
        def clears(self) -> list[int]:
            self.items.clear()
            self.__dict__.clear()
            return [1]

    class Holder(BaseModel):
        all: list[Changing]

    holder = Holder(all=[Changing(items=[1, [2]])])
    assert json.loads(encode(holder, type=Holder))["all"][0]["items"] == [1, [2]]


def test_flags_of_enum_and_more() -> None:
    class Kind(enum.Enum):
        one = (1, 2)

    class Odd(BaseModel):
        kind: Kind = Kind.one

    compare(Odd, Odd())


@pytest.mark.parametrize(
    ("config", "value"),
    [
        (ConfigDict(ser_json_bytes="base64"), b"\xfb\xff"),
        (ConfigDict(ser_json_bytes="hex"), {"k": [b"\xfb\xff"]}),
        (ConfigDict(ser_json_inf_nan="strings"), [float("nan")]),
        (ConfigDict(ser_json_inf_nan="constants"), float("inf")),
        (ConfigDict(ser_json_timedelta="float"), dt.timedelta(1)),
    ],
)
def test_what_is_any_in_a_model_whose_config_says_how(config: ConfigDict, value: Any) -> None:
    class Inner(BaseModel):
        b: Any

    class Outer(BaseModel):
        model_config = config
        a: Any
        items: list[Any]
        inner: Inner
        tree: "Outer | None" = None

    class Around(BaseModel):
        outer: list[Outer]

    inner = Inner(b=value)
    outer = Outer(a=value, items=[value], inner=inner, tree=Outer(a=1, items=[], inner=inner))
    assert encode(outer, type=Outer) == outer.model_dump_json().encode()
    for root, of_type in ((Around(outer=[outer]), Around), ([outer], list[Outer])):
        adapter = TypeAdapter[Any](of_type)
        try:
            expected = adapter.dump_json(root)
        except pydantic_core.PydanticSerializationError:  # bytes that are no UTF-8
            with pytest.raises(pydantic_core.PydanticSerializationError):
                encode(root, type=of_type)
        else:
            assert encode(root, type=of_type) == expected
