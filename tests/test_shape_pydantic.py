"""pydantic is the judge: decode(type=T) is validate_python(json.loads(data)), value and errors."""

import dataclasses
import datetime as dt
import enum
import ipaddress
import json
import os
import uuid
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, RootModel, TypeAdapter
from typing_extensions import TypedDict

from tests.shape_types import Color, Level, Typed, documents, types
from weft import shape

EXAMPLES = int(os.environ.get("WEFT_SHAPE_EXAMPLES", "300"))
T = TypeVar("T")


def fields_of(fields: list[tuple[str, Any, Any]]) -> dict[str, Any]:
    return {n: (a, ...) if d is ... else (a | None, d) for n, a, d in fields}


def make_model(fields: list[tuple[str, Any, Any]]) -> Any:
    return pydantic.create_model("M", **fields_of(fields))


def make_forbidding(fields: list[tuple[str, Any, Any]]) -> Any:
    return pydantic.create_model("F", __config__={"extra": "forbid"}, **fields_of(fields))


def make_allowing(fields: list[tuple[str, Any, Any]]) -> Any:
    return pydantic.create_model("A", __config__={"extra": "allow"}, **fields_of(fields))


def make_aliased(fields: list[tuple[str, Any, Any]]) -> Any:
    config = ConfigDict(validate_by_name=True, validate_by_alias=True, frozen=True)
    specs = {n: (a | None, Field(d, alias=n.upper())) for n, a, d in fields}
    return pydantic.create_model("L", __config__=config, **specs)


def make_dataclass(fields: list[tuple[str, Any, Any]]) -> Any:
    specs = [(n, a) if d is ... else (n, a | None, d) for n, a, d in fields]
    return dataclasses.make_dataclass("D", specs)


def make_slots(fields: list[tuple[str, Any, Any]]) -> Any:
    return pydantic.dataclasses.dataclass(slots=True)(make_dataclass(fields))


def make_typed_dict(fields: list[tuple[str, Any, Any]]) -> Any:
    return TypedDict("T", {n: a if d is ... else NotRequired[a] for n, a, d in fields})


def make_root(fields: list[tuple[str, Any, Any]]) -> Any:
    return RootModel[make_model(fields)]  # type: ignore[misc]


TYPES = types(
    make_model,
    make_forbidding,
    make_allowing,
    make_aliased,
    make_dataclass,
    make_slots,
    make_typed_dict,
    make_root,
)


def plain(value: Any) -> Any:
    """Everything that can be told about a value, types and order included."""
    if isinstance(value, enum.Enum):
        return value
    kind = type(value)
    if isinstance(value, BaseModel):
        return (
            kind,
            plain(value.__dict__),
            sorted(value.model_fields_set),
            plain(value.__pydantic_extra__),
            plain(value.__pydantic_private__),
        )
    if dataclasses.is_dataclass(value):
        return kind, [(f.name, plain(getattr(value, f.name))) for f in dataclasses.fields(value)]
    if isinstance(value, dict):
        return kind, [(plain(k), plain(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple, deque)):
        return kind, [plain(v) for v in value]
    if isinstance(value, (dt.datetime, dt.time)):
        return kind, value.isoformat(), repr(value)
    return kind, repr(value)


def outcome(decode: Any, data: Any) -> tuple[str, Any]:
    try:
        return "value", plain(decode(data))
    except pydantic.ValidationError as exc:
        return "invalid", (exc.title, str(exc), repr(exc.errors(include_url=False)))
    except (ValueError, RecursionError):
        return "unreadable", None


def compare(annotation: Any, data: Any) -> str:
    adapter: Any = TypeAdapter(annotation)
    expected = outcome(lambda d: adapter.validate_python(json.loads(d)), data)
    got = outcome(shape(annotation).decode_json, data)
    assert got == expected, (annotation, data)
    return got[0]


def test_random_types_and_documents() -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="CI" in os.environ or "WEFT_SHAPE_EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(TYPES, st.data())
    def run(typed: Typed, data: Any) -> None:
        # pydantic is the judge of everything below a model
        annotation = pydantic.create_model("Whole", whole=(typed.annotation, ...))
        for _ in range(4):
            document = b'{"whole":' + data.draw(documents(typed)) + b"}"
            compare(annotation, document)

    run()


# ---- by hand ----


class Address(BaseModel):
    street: str
    zip: int = 0


class Cat(BaseModel):
    kind: Literal["cat", "tom"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Everything(BaseModel):
    model_config = ConfigDict(title="All", str_max_length=None)

    id: int = Field(gt=0, le=100)
    name: Annotated[str, Field(min_length=2, max_length=5, pattern=r"^[a-z]+$")] = "name"
    price: float = Field(1.5, ge=0)
    when: dt.datetime | None = None
    day: dt.date = dt.date(2024, 1, 1)
    at: dt.time | None = None
    took: dt.timedelta = dt.timedelta(0)
    key: uuid.UUID | None = None
    cost: Decimal = Decimal("1.0")
    color: Color = Color.red
    level: Level = Level.low
    raw: bytes = b""
    tags: list[str] = Field([], max_length=2)
    numbers: set[int] = set()
    frozen: frozenset[str] = frozenset()
    queue: deque[int] = deque()
    pair: tuple[int, str] = (1, "a")
    many: tuple[float, ...] = ()
    scores: dict[str, float] = {}
    by_int: dict[int, str] = {}
    address: Address | None = None
    addresses: list[Address] = Field(default_factory=list)
    either: int | str | None = None
    number: int | float = 0
    choice: Literal["a", 1] = "a"
    anything: Any = None
    sequence: Sequence[int] = ()
    secret: pydantic.SecretStr | None = None
    url: pydantic.HttpUrl | None = None
    ip: ipaddress.IPv4Address | None = None
    ip6: ipaddress.IPv6Address | None = None
    network: ipaddress.IPv4Network | None = None
    network6: ipaddress.IPv6Network | None = None
    interface: ipaddress.IPv4Interface | None = None
    interface6: ipaddress.IPv6Interface | None = None
    short_secret: pydantic.SecretStr | None = Field(None, max_length=3)
    secret_bytes: pydantic.SecretBytes | None = None
    secrets: list[pydantic.SecretStr] = []
    path: Path | None = None
    pet: Cat | Dog | None = Field(None, discriminator="kind")
    aliased: int = Field(0, validation_alias=AliasChoices("x", "y"))
    union: Address | list[int] | None = None
    dated: dt.date | int | None = None
    _hidden: int = 3

    @pydantic.computed_field
    @property
    def double(self) -> int:
        return self.id * 2


def test_all_of_it_is_native_or_said_to_be_handed_over():
    lines = shape(Everything).explain().splitlines()
    assert lines[0] == "Everything: native, pydantic judges what is invalid"
    handed = [line.strip().split(": handed over to pydantic: ") for line in lines[1:]]
    assert [parts for parts in handed if len(parts) == 2] == [
        ["function-wrap", "pydantic's function-wrap has no native form"],  # url
        ["function-after", "pydantic's function-after has no native form"],  # short_secret
        ["lax-or-strict", "pydantic's union with custom_error_type"],  # secret_bytes
        ["lax-or-strict", "pydantic's union with custom_error_type"],  # path
        ["union", "a union with date"],  # dated
    ]


# each value is tried for each field
INPUTS: list[Any] = [
    None, True, False, 0, 1, -1, 2, 5.0, 5.5, 1e20, 10**30, -0.0, 1e400, "", "a", "ab", "abcdef",
    "AB",
    "1", " 1 ", "1.5", "true", "red", "Red", "2024-02-29", "2024-02-29T00:00:00Z",
    "2024-02-29 10:11:12.123456789+01:30", "2024-02-30", "10:11:12", "10:11:12Z", "10:11:12+02:00",
    "P1DT2H", "1 day, 2:03:04", "-PT1S", 1709164800, 1709164800.5, "1709164800",
    "12345678-1234-5678-1234-567812345678", "{12345678123456781234567812345678}", "nan", "inf", "é",
    "\ud800", [], [1], [1, 2, 3], ["a", "b"], ["a", 1], [1, "a"], ["a", "b", "c"], [[]], [None], {},
    {"a": 1}, {"1": "a", "01": "b"}, {"street": "s"}, {"street": "s", "zip": "5"}, {"street": 5},
    {"street": "s", "more": 1}, [{"street": "s"}], [{"street": "s"}, {}], {"kind": "cat"},
    {"name": "Rex", "kind": "dog"}, {"kind": "dog"}, {"kind": "cow"}, {"kind": 1}, {"lives": 1},
    "https://example.com/a?b#c", "10.0.0.1", "/a/b", "10.0.0.0/8", "10.0.0.1/8", "::1", "::1%a",
    "fe80::/10", "010.0.0.1", " 10.0.0.1", "1.2.3.4/255.0.0.0", "\x00",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:__int__ returned non-int")  # of ipaddress, with True
@pytest.mark.parametrize("name", [*Everything.model_fields, "x", "y", "unknown", "_hidden"])
def test_each_field_with_each_input(name):
    outcomes = set()
    for value in INPUTS:
        document = json.dumps({"id": 5, name: value}).encode()
        outcomes.add(compare(Everything, document))
        compare(Everything, json.dumps({name: value, "id": 5}, ensure_ascii=True))
    assert "value" in outcomes


DOCUMENTS = [
    b"",
    b" ",
    b"nul",
    b"null",
    b"1",
    b"[]",
    b"{}",
    b'{"id":1',
    b'{"id":1}x',
    b'{"id":1,}',
    b'{"id":1,"id":2}',
    b'{"id":"x","id":2}',
    b'{"id":2,"id":"x"}',
    b'{"id":NaN}',
    b'{"id":5,"price":NaN}',
    b'{"id":5,"anything":NaN}',
    b'{"id":5,"price":Infinity}',
    b'{"id":5,"x":1,"y":2}',
    b'{"id":5,"y":2,"x":1}',
    b'\xef\xbb\xbf{"id":5}',
    b'{"id":5,"name":"\xff"}',
    rb'{"id":5,"n\u0061me":"abc"}',
    rb'{"id":5,"anything":"\ud800"}',
    b'{"id":5,"unknown":' + b"[" * 300 + b"]" * 300 + b"}",
    b'{"id":5,"unknown":' + b"9" * 5000 + b"}",
    b'{"id":5,"anything":' + b"9" * 5000 + b"}",
    b'{"id":5,"pet":{"kind":"cat","kind":"dog","name":"a"}}',
    b'{"id":5,"pet":{"kind":"dog","name":"a","kind":"cat"}}',
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_odd_documents(document):
    compare(Everything, document)


class Node(BaseModel):
    value: int
    children: "list[Node]" = []
    parent: "Node | None" = None


class Generic_(BaseModel, Generic[T]):
    content: T


class Point(NamedTuple):
    x: int
    y: int = 0


Ints = RootModel[list[int]]


class Holder(BaseModel):
    ints: Ints
    point: Point = Point(0)


@pytest.mark.parametrize(
    ("annotation", "document"),
    [
        (
            Node,
            b'{"value":1,"children":[{"value":2,"children":[{"value":3}]}],"parent":{"value":4}}',
        ),
        (Node, b'{"value":1,"children":[{"value":2,"children":[{"value":"x"}]}]}'),
        (Generic_[int], b'{"content":1}'),
        (Generic_[list[Generic_[str]]], b'{"content":[{"content":"a"}]}'),
        (Generic_[int], b'{"content":"a"}'),
        (Ints, b"[1,2]"),
        (Ints, b'[1,"a"]'),
        (Holder, b'{"ints":[1],"point":[1,2]}'),
        (Holder, b'{"ints":[1],"point":{"x":1}}'),
        (Holder, b'{"ints":[1],"point":[1,2,3]}'),
        (list[Address], b'[{"street":"a"},{"street":"b","zip":1}]'),
        (dict[str, Address] | None, b'{"a":{"street":"a"}}'),
        (Annotated[Cat | Dog, Field(discriminator="kind")], b'{"name":"a","kind":"dog"}'),
    ],
)
def test_other_types(annotation, document):
    compare(annotation, document)
    for n in range(len(document)):
        compare(annotation, document[:n])


# ---- code of the application ----


def calls_of(annotation: Any, calls: list[Any], document: bytes) -> None:
    """The same calls in the same order, whatever comes of it."""
    compared = []
    adapter: Any = TypeAdapter(annotation)
    for decode in (lambda d: adapter.validate_python(json.loads(d)), shape(annotation).decode_json):
        calls.clear()
        result = outcome(decode, document)
        compared.append((result, list(calls)))
    assert compared[0] == compared[1]


def test_validators_are_called_once():
    calls: list[Any] = []

    class Inner(BaseModel):
        a: int

        @pydantic.field_validator("a")
        @classmethod
        def check(cls, value: int) -> int:
            calls.append(value)
            if value < 0:
                raise ValueError("negative")
            return value

    class Outer(BaseModel):
        inner: Inner
        b: int

    for document in (
        b'{"inner":{"a":1},"b":2}',
        b'{"inner":{"a":-1},"b":2}',
        b'{"inner":{"a":1},"b":"x"}',
    ):
        calls_of(Outer, calls, document)
    assert "handed over" not in shape(Outer).explain()
    assert "check" in shape(Outer).explain()


def test_default_factories_are_called_once():
    calls: list[Any] = []

    def factory() -> int:
        calls.append("factory")
        return len(calls)

    class Inner(BaseModel):
        x: int
        a: int = Field(default_factory=factory)

    class Outer(BaseModel):
        first: int = Field(default_factory=factory)
        inner: list[Inner] = []
        last: int = Field(default_factory=factory)

    for document in (
        b"{}",
        b'{"inner":[{"x":1},{"x":2}]}',
        b'{"inner":[{"x":1},{"x":"a"}]}',
        b'{"last":"x"}',
        b'{"inner":[{"x":1}],"first":5}',
    ):
        calls_of(Outer, calls, document)


def test_model_post_init_and_init_are_called_once():
    calls: list[Any] = []

    class Initialised(BaseModel):
        a: int

        def model_post_init(self, context: Any) -> None:
            calls.append(self.a)

    class Own(BaseModel):
        a: int

        def __init__(self, **data: Any) -> None:
            calls.append("init")
            super().__init__(**data)

    for annotation in (Initialised, Own, list[Initialised], list[Own]):
        for document in (b'{"a":1}', b'[{"a":1},{"a":"x"}]', b'[{"a":1},{"a":2}]'):
            calls_of(annotation, calls, document)
