"""weft.bson.encode(value, type=T): what decode(data, type=T) reads back; and ObjectId as a type."""

from __future__ import annotations

import datetime
import enum
import gc
import ipaddress
import pathlib
import sys
import uuid
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, TypedDict

import msgspec
import pydantic
import pydantic_core
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import weft
from tests.examples import some
from tests.test_bson_shapes import AT, DOCUMENT, ID, UID, Color, Everything, Row, Rows
from weft import bson, json


class Size(enum.IntEnum):
    SMALL = 1
    HUGE = 2**40


class Two(NamedTuple):
    a: int
    b: bson.ObjectId


class Part(TypedDict, total=False):
    deep: bool
    other: int


class Tagged(msgspec.Struct, tag="t", rename={"id": "_id"}):
    n: int
    id: bson.ObjectId | None = None


@dataclass
class All:
    n: int
    f: float
    day: datetime.date
    clock: datetime.time
    span: datetime.timedelta
    uid: uuid.UUID
    price: Decimal
    raw: bytes
    array: bytearray
    color: Color
    size: Size
    path: pathlib.PurePosixPath
    ip: ipaddress.IPv4Address
    two: Two
    fixed: tuple[int, str]
    many: tuple[float, ...]
    names: set[str]
    frozen: frozenset[int]
    queue: deque[datetime.date]
    by_day: dict[datetime.date, Decimal]
    by_size: dict[Color, int]
    by_id: dict[bson.ObjectId, str]
    part: Part
    tagged: Tagged
    union: datetime.date | int | list[Decimal]
    anything: Any
    id: bson.ObjectId
    none: None = None
    made: list[Tagged] = field(default_factory=list)


VALUE = All(
    2**40, 1.0, datetime.date(2024, 2, 29), datetime.time(1, 2, 3, 4000),
    datetime.timedelta(-1, 5, 7), UID, Decimal("1.50"), b"raw", bytearray(b"array"), Color.BLUE,
    Size.HUGE, pathlib.PurePosixPath("/a/b"), ipaddress.IPv4Address("127.0.0.1"), Two(1, ID),
    (1, "ü"), (1.0, 2.5), {"x"}, frozenset([1, 2]), deque([datetime.date(1, 1, 1)]),
    {datetime.date(2024, 2, 29): Decimal("-0.1")}, {Color.RED: 1}, {ID: "x"}, {"deep": True},
    Tagged(1, ID), [Decimal(1), Decimal(2)], {"l": [1, {"x": AT}]}, ID,
)  # fmt: skip


def test_everything_comes_back() -> None:
    raw = bson.encode(VALUE, type=All)
    bson.validate(raw)
    assert bson.decode(raw, type=All) == VALUE
    plain = bson.decode(raw)
    assert plain["price"] == bson.Decimal128("1.50")
    assert plain["uid"] == bson.Binary(UID.bytes, 4)
    assert plain["day"] == datetime.datetime(2024, 2, 29)
    assert plain["span"] == "-PT86394.999993S"
    assert plain["tagged"] == {"type": "t", "n": 1, "_id": ID}
    assert plain["by_size"] == {"red": 1}
    assert plain["by_id"] == {str(ID): "x"}


def test_what_decoding_makes_is_what_encoding_takes() -> None:
    value = bson.decode(bson.encode(DOCUMENT), type=Everything)
    again = bson.decode(bson.encode(value, type=Everything), type=Everything)
    assert again == value
    rows = Rows([Row(1, "x"), Row(2)])
    raw = bson.encode(rows, type=Rows)
    assert bson.decode(raw) == {"rows": [["row", 1, "x"], ["row", 2, "b"]]}
    assert bson.decode(raw, type=Rows) == rows


def test_the_id_comes_first_in_the_document_alone() -> None:
    raw = bson.encode(Tagged(1, ID), type=Tagged)
    assert list(bson.decode(raw)) == ["_id", "type", "n"]
    raw = bson.encode({"x": Tagged(1, ID)}, type=dict[str, Tagged])
    assert list(bson.decode(raw)["x"]) == ["type", "n", "_id"]
    raw = bson.encode({"x": 1.5, "_id": 2.5}, type=dict[str, float])
    assert list(bson.decode(raw)) == ["_id", "x"]


def test_a_float_is_written_as_one() -> None:
    raw = bson.encode({"x": 1}, type=dict[str, float])
    assert type(bson.decode(raw)["x"]) is float
    with pytest.raises(OverflowError):
        bson.encode({"x": 10**400}, type=dict[str, float])


def test_what_does_not_fit_is_written_by_its_own_class() -> None:
    @dataclass
    class Loose:
        n: int
        at: datetime.date

    value: Any = Loose(Decimal("1.5"), [Color.RED, UID])  # type: ignore[arg-type]
    raw = bson.encode(value, type=Loose)
    assert bson.decode(raw) == {
        "n": bson.Decimal128("1.5"),
        "at": ["red", bson.Binary(UID.bytes, 4)],
    }
    assert bson.decode(bson.encode({"v": value, "s": {1}}, type=Any)) == {
        "v": bson.decode(raw),
        "s": [1],
    }


@pytest.mark.parametrize(
    ("value", "type_", "path", "message"),
    [
        ({"x": [object()]}, dict[str, Any], "x[0]", "objects of type object"),
        ({"x": Decimal(1).scaleb(-9000)}, dict[str, Decimal], "x", "not exactly a decimal128"),
        ({"x": 2**63}, dict[str, int], "x", "64 bits"),
        ({1: 1}, dict[str, int], "", "keys are str"),
        ({"a\0": 1}, dict[str, int], "a\0", "zero byte"),
        (1, Rows, "", "a document is a mapping"),
        ([1], list[int], "", "a document is a mapping"),
        (5, int, "", "a document is a mapping"),
        ({"deep": 1}, TypedDict("Needs", {"x": int}), "x", "requires"),  # type: ignore[operator]
    ],
)
def test_what_has_no_form_says_where(value: Any, type_: Any, path: str, message: str) -> None:
    with pytest.raises(bson.EncodeError, match=message) as caught:
        bson.encode(value, type=type_)
    assert caught.value.path == path  # type: ignore[attr-defined]


def test_a_slot_that_is_not_set_and_a_field_that_is_gone() -> None:
    @dataclass(slots=True)
    class Slots:
        x: int

    with pytest.raises(bson.EncodeError, match="has no x"):
        bson.encode(Slots.__new__(Slots), type=Slots)

    @dataclass
    class Plain:
        x: int

    gone = Plain(1)
    del gone.x
    with pytest.raises(bson.EncodeError, match="has no x"):
        bson.encode(gone, type=Plain)


def test_recursion_has_a_limit() -> None:
    @dataclass
    class Link:
        next: Any = None

    ring = Link()
    ring.next = ring
    with pytest.raises(bson.EncodeError, match="nested more than"):
        bson.encode(ring, type=Link)
    chain: list[Any] = []
    chain.append(chain)
    with pytest.raises(bson.EncodeError, match="nested more than"):
        bson.encode({"x": chain}, type=dict[str, Any])


def test_options_count_with_a_type() -> None:
    options = bson.CodecOptions(uuid_representation=bson.UuidRepresentation.JAVA_LEGACY)
    raw = bson.encode({"u": UID}, type=dict[str, uuid.UUID], codec_options=options)
    assert bson.decode(raw)["u"].subtype == 3
    with pytest.raises(TypeError, match="no argument"):
        bson.encode({}, kind=int)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="cannot read"):
        bson.encode({}, type=5)


# ---- pydantic: what its serializer makes ----


class Inner(pydantic.BaseModel):
    x: Decimal
    color: Color = Color.RED


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True, arbitrary_types_allowed=True)
    n: int
    id: bson.ObjectId = pydantic.Field(alias="_id")
    uid: uuid.UUID = UID
    at: datetime.datetime = AT
    day: datetime.date = datetime.date(2024, 2, 29)
    span: datetime.timedelta = datetime.timedelta(seconds=1.5)
    inner: Inner = Inner(x=Decimal("1.10"))
    tags: set[str] = {"a"}
    hidden: int = pydantic.Field(1, exclude=True)

    @pydantic.field_serializer("n")
    def double(self, n: int) -> int:
        return 2 * n


def test_models_are_written_by_pydantic() -> None:
    raw = bson.encode(Model(n=1, id=ID), type=Model)
    plain = bson.decode(raw)
    assert next(iter(plain)) == "_id"
    assert plain["n"] == 2
    assert "hidden" not in plain
    assert bson.decode(raw, type=Model) == Model(n=2, id=ID)
    lists = bson.encode({"l": [Model(n=1, id=ID)]}, type=dict[str, list[Model]])
    assert bson.decode(lists)["l"] == [plain]
    assert bson.decode(bson.encode({"m": Model(n=1, id=ID)}, type=Any)) == {"m": plain}


def test_pydantics_dataclasses() -> None:
    @pydantic.dataclasses.dataclass
    class Data:
        n: Annotated[int, pydantic.PlainSerializer(lambda n: n + 1)]
        price: Decimal = Decimal(1)

    raw = bson.encode(Data(1), type=Data)
    assert bson.decode(raw) == {"n": 2, "price": "1"}
    assert bson.decode(raw, type=Data) == Data(2)


def test_a_serializer_that_raises() -> None:
    class Bad(pydantic.BaseModel):
        n: int

        @pydantic.field_serializer("n")
        def no(self, n: int) -> int:
            raise KeyError(n)

    with pytest.raises(pydantic_core.PydanticSerializationError, match="KeyError: 1"):
        bson.encode(Bad(n=1), type=Bad)


# ---- ObjectId ----


@dataclass
class Doc:
    id: bson.ObjectId
    maybe: bson.ObjectId | None = None


def test_an_object_id_is_a_type() -> None:
    text = f'{{"id":"{ID}","maybe":null}}'.encode()
    assert json.decode(text, type=Doc) == Doc(ID)
    assert json.encode(Doc(ID)) == text
    assert json.decode(text.upper().replace(b"ID", b"id").replace(b"MAYBE", b"maybe").replace(
        b"NULL", b"null"), type=Doc) == Doc(ID)  # fmt: skip
    raw = bson.encode(Doc(ID), type=Doc)
    assert bson.decode(raw) == {"id": ID, "maybe": None}
    assert bson.decode(raw, type=Doc) == Doc(ID)
    assert bson.to_json(raw, type=Doc) == text
    assert bson.decode(bson.encode({"id": str(ID), "maybe": ID}), type=Doc) == Doc(ID, ID)


@pytest.mark.parametrize("text", ["", "56e1", "g" * 24, "0" * 23, "0" * 25, "ü" * 12, "日" * 8])
def test_text_that_is_no_object_id(text: str) -> None:
    for call in (
        lambda: json.decode(json.encode({"id": text}), type=Doc),
        lambda: bson.decode(bson.encode({"id": text}), type=Doc),
    ):
        with pytest.raises(ValueError, match="ObjectId") as caught:
            call()
        assert caught.value.path == "id"  # type: ignore[attr-defined]


def test_a_struct_with_an_object_id_is_written() -> None:
    assert json.encode(Tagged(1, ID)) == f'{{"type":"t","n":1,"_id":"{ID}"}}'.encode()


def test_an_object_id_in_schemas_and_explained() -> None:
    shape = weft.shape(Doc)
    assert "id: ObjectId: native" in shape.explain()
    pattern = {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"}
    properties = shape.json_schema()["properties"]
    assert properties["id"] == {**pattern, "title": "Id"}
    assert properties["maybe"]["anyOf"] == [pattern, {"type": "null"}]


def test_pydantic_takes_an_instance_and_no_text() -> None:
    class M(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        id: bson.ObjectId
        maybe: bson.ObjectId | None = None

    assert "id: ObjectId: native" in weft.shape(M).explain()
    raw = bson.encode({"id": ID})
    assert bson.decode(raw, type=M) == M(id=ID)
    text = json.encode({"id": str(ID)})
    with pytest.raises(pydantic.ValidationError) as ours:
        json.decode(text, type=M)
    with pytest.raises(pydantic.ValidationError) as theirs:
        M.model_validate({"id": str(ID)})
    assert ours.value.errors(include_url=False) == theirs.value.errors(include_url=False)


# ---- properties ----

ids = st.binary(min_size=12, max_size=12).map(bson.ObjectId)
docs = st.builds(Doc, ids, st.none() | ids)
dates = st.dates()
alls = st.builds(
    lambda **kw: msgspec.structs.replace(Mixed(), **kw),
    span=st.timedeltas(),
    clock=st.times(),
    day=dates,
    at=st.datetimes().map(lambda d: d.replace(microsecond=d.microsecond // 1000 * 1000)),
    f=st.floats(allow_nan=False),
    d=st.decimals(allow_nan=False, places=3, min_value=-(10**20), max_value=10**20),
    by_day=st.dictionaries(dates, docs, max_size=3),
    any=st.recursive(st.integers(-(2**31), 2**31 - 1) | st.text(st.characters(codec="utf-8")),
                     lambda x: st.lists(x, max_size=3), max_leaves=5),
)  # fmt: skip


class Mixed(msgspec.Struct):
    span: datetime.timedelta = datetime.timedelta()
    clock: datetime.time = datetime.time()
    day: datetime.date = datetime.date(1, 1, 1)
    at: datetime.datetime = datetime.datetime(1, 1, 1)
    f: float = 0.0
    d: Decimal = Decimal(0)
    by_day: dict[datetime.date, Doc] = {}
    any: Any = None


@given(alls)
@settings(max_examples=some(300), deadline=None)
def test_any_value_comes_back(value: Mixed) -> None:
    raw = bson.encode(value, type=Mixed)
    bson.validate(raw)
    assert bson.decode(raw, type=Mixed) == value


def test_nothing_is_left_behind() -> None:
    class Boom:
        pass

    def good() -> None:
        bson.encode(VALUE, type=All)

    def wrong() -> None:
        for value in (All(**{**vars(VALUE), "anything": Boom()}), {1: 2}, [1]):
            with pytest.raises(bson.EncodeError):
                bson.encode(value, type=All)

    for call in (good, wrong):
        for _ in range(20):
            call()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(300):
            call()
        gc.collect()
        assert sys.getallocatedblocks() - before < 200
