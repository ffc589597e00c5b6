"""Each kind of type, one row each: that `explain` says what becomes of it, and that it is read and
written as its judge has it: pydantic for what is its own, msgspec for the rest, and the row itself
for what msgspec does not know."""

# ruff: noqa: UP007, UP045, UP035
from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import json as stdlib
import pathlib
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypeVar, Union

import annotated_types
import attrs
import msgspec
import pydantic
import pytest
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, HttpUrl, RootModel, SecretStr
from typing_extensions import NotRequired, ReadOnly, Required, TypeAliasType, TypedDict

from tests.test_shape_pydantic import outcome, plain
from weft import json, shape

T = TypeVar("T")


class Color(enum.Enum):
    red = "r"


class Level(enum.IntEnum):
    low = 1


UserId = NewType("UserId", int)
Numbers = TypeAliasType("Numbers", list[int])


class Total(TypedDict):
    a: int
    b: NotRequired[str]


class Partial(TypedDict, total=False):
    a: Required[int]
    b: str


class Fixed(TypedDict):
    a: ReadOnly[int]


class Pair(NamedTuple):
    x: int
    y: str = "y"


@dataclasses.dataclass(kw_only=True)
class KeywordOnly:
    a: int
    b: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Slotted:
    a: int


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: int


@dataclasses.dataclass
class Counted:
    a: int

    def __post_init__(self) -> None:
        self.a += 1


@dataclasses.dataclass
class Tree:
    value: int
    children: list[Tree] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


@attrs.define
class Attrs:
    a: int
    b: str = "b"


class Renamed(msgspec.Struct, rename="camel"):
    first_name: str


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    a: int


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    name: str


class Row(msgspec.Struct, array_like=True):
    a: int
    b: str = "b"


class Aliased(BaseModel):
    inner: int = Field(alias="Inner")


class Computed(BaseModel):
    a: int

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return self.a * 2


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    a: int


class Allowing(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Stripping(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    a: str


class Exact(BaseModel):
    model_config = ConfigDict(strict=True)
    a: int


class Private(BaseModel):
    a: int
    _cache: dict[str, int] = pydantic.PrivateAttr(default_factory=dict)
    _seen: list[int] = [1, 2]
    _made: int = pydantic.PrivateAttr(default_factory=lambda: 5)


class Simple(BaseModel):
    a: int
    _cache: dict[str, int] = pydantic.PrivateAttr(default_factory=dict)
    _seen: list[int] = [1, 2]
    _none: int


class Initialised(BaseModel):
    a: int
    _b: int = 0

    def model_post_init(self, context: Any) -> None:
        self._b = self.a * 2


class OwnInit(BaseModel):
    a: int

    def __init__(self, **data: Any) -> None:
        super().__init__(**{**data, "a": 5})


class Of(BaseModel, Generic[T]):
    content: T


class Rooted(RootModel[list[int]]):
    pass


class Meow(BaseModel):
    kind: Literal["cat"]
    lives: int


class Bark(BaseModel):
    kind: Literal["dog"]
    name: str


class Pets(BaseModel):
    pet: Annotated[Union[Meow, Bark], Field(discriminator="kind")]


class Secret(BaseModel):
    password: SecretStr


class Link(BaseModel):
    any: AnyUrl
    http: HttpUrl


class Addresses(BaseModel):
    v4: ipaddress.IPv4Address
    net: ipaddress.IPv6Network


class Checked(BaseModel):
    a: int

    @pydantic.field_validator("a")
    @classmethod
    def odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("even")
        return value


class Shouted(BaseModel):
    a: str

    @pydantic.field_serializer("a")
    def loud(self, value: str) -> str:
        return value.upper()


class Bounded(BaseModel):
    a: Annotated[int, Field(gt=0)]
    b: Annotated[str, Field(max_length=3, pattern="^[a-z]+$")]
    c: pydantic.conlist(int, max_length=2)  # type: ignore[valid-type]


@pydantic.dataclasses.dataclass
class Data:
    a: int
    b: list[int] = dataclasses.field(default_factory=list)


@pydantic.dataclasses.dataclass
class DataInit:
    a: int

    def __post_init__(self) -> None:
        self.a += 1


# annotation, a document as it is written, the value; "" of `explain` where no part is handed over,
# else what that part's line says
BY_MSGSPEC: list[tuple[Any, str]] = [
    (bool, "true"),
    (int, "-5"),
    (float, "1.5"),
    (str, '"é"'),
    (bytes, '"AAE="'),
    (type(None), "null"),
    (Any, '{"a":[1,null]}'),
    (dt.datetime, '"2024-02-29T12:30:00.5Z"'),
    (dt.datetime, '"2024-02-29T12:30:00"'),
    (dt.date, '"2024-02-29"'),
    (dt.time, '"12:30:00"'),
    (dt.timedelta, '"P1DT30S"'),
    (uuid.UUID, '"00000000-0000-0000-0000-000000000007"'),
    (decimal.Decimal, '"1.50"'),
    (Color, '"r"'),
    (Level, "1"),
    (list[int], "[1,2]"),
    (tuple[int, str], '[1,"a"]'),
    (tuple[int, ...], "[1,2]"),
    (set[int], "[1]"),
    (frozenset[str], '["a"]'),
    (dict[str, int], '{"a":1}'),
    (dict[int, str], '{"1":"a"}'),
    (collections.abc.Sequence[int], "[1,2]"),
    (collections.abc.Mapping[str, int], '{"a":1}'),
    (collections.abc.MutableSequence[int], "[1]"),
    (collections.abc.Set[int], "[1]"),
    (Optional[int], "null"),
    (Union[int, str], '"a"'),
    (Union[Cat, Dog], '{"type":"dog","name":"a"}'),
    (Literal["a", 1], '"a"'),
    (Literal["a", 1], "1"),
    (UserId, "7"),
    (Annotated[int, msgspec.Meta(gt=0)], "1"),
    (Annotated[str, msgspec.Meta(max_length=3, pattern="^[a-z]+$")], '"abc"'),
    (Tree, '{"value":1,"children":[{"value":2,"children":[]}]}'),
    (Box[int], '{"content":1}'),
    (Box[list[str]], '{"content":["a"]}'),
    (Total, '{"a":1,"b":"c"}'),
    (Partial, '{"a":1}'),
    (Pair, '[1,"y"]'),
    (KeywordOnly, '{"a":1,"b":[1]}'),
    (Slotted, '{"a":1}'),
    (Frozen, '{"a":1}'),
    (Attrs, '{"a":1,"b":"c"}'),
    (Renamed, '{"firstName":"a"}'),
    (Strict, '{"a":1}'),
    (Cat, '{"type":"cat","lives":9}'),
    (Row, '[1,"b"]'),
]

BY_HAND: list[tuple[Any, str, Any]] = [
    (pathlib.PurePosixPath, '"a/b"', pathlib.PurePosixPath("a/b")),
    (pathlib.Path, '"a/b"', pathlib.Path("a/b")),
    (ipaddress.IPv4Address, '"10.0.0.1"', ipaddress.IPv4Address("10.0.0.1")),
    (ipaddress.IPv6Network, '"fe80::/10"', ipaddress.IPv6Network("fe80::/10")),
    (Numbers, "[1]", [1]),
    (collections.deque[int], "[1,2]", collections.deque([1, 2])),
    (Annotated[int, annotated_types.Ge(1)], "1", 1),
    (Annotated[list[int], annotated_types.Len(1, 2)], "[1]", [1]),
    (Fixed, '{"a":1}', {"a": 1}),
    (Counted, '{"a":1}', Counted(1)),
]

BY_PYDANTIC: list[tuple[Any, str, str]] = [
    (Aliased, '{"Inner":1}', ""),
    (Computed, '{"a":1}', ""),
    (Forbidding, '{"a":1}', ""),
    (Allowing, '{"a":1,"more":[1]}', ""),
    (Stripping, '{"a":" b "}', "the config has str_strip_whitespace"),
    (Exact, '{"a":1}', "the config is strict"),
    (Simple, '{"a":1}', ""),
    (Private, '{"a":1}', "then Private.model_post_init()"),
    (Initialised, '{"a":1}', "then Initialised.model_post_init()"),
    (OwnInit, '{"a":1}', "an __init__ of its own"),
    (Of[int], '{"content":1}', ""),
    (Of[list[Simple]], '{"content":[{"a":1}]}', ""),
    (Rooted, "[1,2]", ""),
    (Pets, '{"pet":{"kind":"dog","name":"a"}}', ""),
    (Secret, '{"password":"a"}', ""),
    (Link, '{"any":"ftp://a/b","http":"http://a"}', "handed over to pydantic"),
    (Addresses, '{"v4":"10.0.0.1","net":"fe80::/10"}', ""),
    (Checked, '{"a":1}', "then Checked.odd()"),
    (Shouted, '{"a":"x"}', ""),
    (Bounded, '{"a":1,"b":"abc","c":[1]}', ""),
    (Data, '{"a":1,"b":[2]}', ""),
    (DataInit, '{"a":1}', "then DataInit.__post_init__()"),
    (list[Aliased], '[{"Inner":1}]', ""),
    (Optional[Simple], "null", ""),
]


def handed(annotation: Any) -> str:
    explained = shape(annotation).explain().splitlines()
    return "\n".join(line for line in explained if "handed over" in line)


@pytest.mark.parametrize(("annotation", "document"), BY_MSGSPEC, ids=str)
def test_what_msgspec_has(annotation: Any, document: str) -> None:
    data = document.encode()
    made = json.decode(data, type=annotation)
    theirs = msgspec.json.decode(data, type=annotation)
    assert plain(made) == plain(theirs)
    assert json.encode(made, type=annotation) == msgspec.json.encode(theirs)
    assert handed(annotation) == ""
    assert "native" in shape(annotation).explain()


@pytest.mark.parametrize(("annotation", "document", "value"), BY_HAND, ids=str)
def test_what_it_has_not(annotation: Any, document: str, value: Any) -> None:
    made = json.decode(document, type=annotation)
    assert handed(annotation) == ""
    if annotation is Counted:  # reading calls it once, as making one does
        assert made == value
        return
    assert (type(made), made) == (type(value), value)
    assert json.encode(made, type=annotation) == document.encode()


@pytest.mark.parametrize(("annotation", "document", "says"), BY_PYDANTIC, ids=str)
def test_what_is_pydantics(annotation: Any, document: str, says: str) -> None:
    adapter: Any = pydantic.TypeAdapter(annotation)
    made = json.decode(document, type=annotation)
    theirs = adapter.validate_python(stdlib.loads(document))
    assert plain(made) == plain(theirs)
    assert json.encode(made, type=annotation) == adapter.dump_json(theirs)
    explained = shape(annotation).explain()
    if says:
        assert says in explained
    else:
        assert handed(annotation) == ""
    for wrong in ('{"a":"x"}', '{"Inner":"x","a":[]}', "[]", "{}", "5", '{"content":"x"}'):
        expected = outcome(lambda d: adapter.validate_python(stdlib.loads(d)), wrong)
        assert outcome(lambda d: json.decode(d, type=annotation), wrong) == expected


@pytest.mark.parametrize(
    "text", ["list[", "int.foo", "1 / 0", "''[0]", "dict[int]", "unknown_name", "lambda: (yield)"]
)
def test_annotations_that_cannot_be_read_are_type_errors(text: str) -> None:
    made = dataclasses.make_dataclass("Unread", [("x", text)])
    with pytest.raises(TypeError, match="Unread"):
        shape(made)
    namespace = {"__annotations__": {"x": text}, "__module__": __name__}
    struct = type(msgspec.Struct)("UnreadStruct", (msgspec.Struct,), namespace)
    with pytest.raises(TypeError, match="UnreadStruct"):
        shape(struct)


def test_what_is_no_type_is_a_type_error_that_says_so() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise ValueError("no repr")

    for annotation, says in (
        (Mute(), "weft cannot read a .*Mute"),
        ([int], r"weft cannot read \[<class 'int'>\]"),
        ({"a": int}, "weft cannot read {'a'"),
        (dict[int], r"dict\[int\] has to say"),  # type: ignore[misc]
        (Annotated[int, *[annotated_types.Ge(0)] * 300], "more than 255 constraints"),
    ):
        with pytest.raises(TypeError, match=says):
            json.decode(b"1", type=annotation)


def test_a_decimal_may_be_past_a_double() -> None:
    for text in ("1e400", "-1.5e999", "1e-400", "-0", "0.0", "9" * 400):
        value = json.decode(text.encode(), type=decimal.Decimal)
        assert str(value) == str(msgspec.json.decode(text.encode(), type=decimal.Decimal))
    with pytest.raises(json.DecodeError, match="invalid Decimal"):
        json.decode(b"1e99999999999999999999", type=decimal.Decimal)
    for bad in (b"-", b"1e", b"1.", b"-Infinity", b"01"):
        with pytest.raises(json.DecodeError):
            json.decode(bad, type=decimal.Decimal)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        *[(dt.timedelta, t) for t in ("P1Y", "P1M", "P1W", "p2w", "-P1M", "P1DT1M", "PT1M", "P1D")],
        *[(dt.datetime, f"2020-01-01T00:00:00{z}") for z in ("+0130", "-0130", "+01:30", "+013")],
        *[(dt.time, f"00:00:00.5{z}") for z in ("+0130", "-2359", "+2400", "0130")],
    ],
)
def test_units_of_no_fixed_length_and_offsets_without_a_colon(annotation: Any, text: str) -> None:
    document = msgspec.json.encode(text)
    try:
        expected = msgspec.json.decode(document, type=annotation)
    except msgspec.ValidationError:
        with pytest.raises(json.DecodeError, match="invalid"):
            json.decode(document, type=annotation)
    else:
        assert json.decode(document, type=annotation) == expected
