"""weft.bson with types: dataclasses, Structs, TypedDicts and models; msgspec and pydantic judge."""

from __future__ import annotations

import datetime
import enum
import gc
import sys
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_bson import documents
from weft import bson


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: float = 0.0


class Pair(NamedTuple):
    a: int
    b: str


class Options(TypedDict, total=False):
    deep: bool


class Circle(msgspec.Struct, tag="circle"):
    radius: float


class Square(msgspec.Struct, tag="square", rename="camel"):
    side_length: float


@dataclass
class Everything:
    id: str
    n: int
    f: float
    s: str
    b: bool
    at: datetime.datetime
    day: datetime.date
    uid: uuid.UUID
    price: Decimal
    raw: bytes
    color: Color
    kind: Literal["a", 1]
    points: list[Point]
    pair: tuple[int, str]
    names: set[str]
    by_name: dict[str, int]
    shape: Circle | Square
    maybe: datetime.datetime | None
    either: uuid.UUID | int
    anything: Any
    options: Options
    none: None = None
    made: list[int] = field(default_factory=lambda: [1])


ID = bson.ObjectId("56e1fc72e0c917e9c4714161")
UID = uuid.UUID(int=0x00112233445566778899AABBCCDDEEFF)
AT = datetime.datetime(2024, 2, 29, 12, 30, 0, 123000)
DOCUMENT: dict[str, Any] = {
    "id": ID,
    "n": 2**40,
    "f": 1,
    "s": "ü",
    "b": True,
    "at": AT,
    "day": datetime.datetime(2024, 2, 29),
    "uid": bson.Binary(UID.bytes, 4),
    "price": bson.Decimal128("1.50"),
    "raw": b"raw",
    "color": "blue",
    "kind": 1,
    "points": [{"x": 1, "y": 2.5}, {"x": 2}],
    "pair": [1, "b"],
    "names": ["a", "b"],
    "by_name": {"x": 1},
    "shape": {"sideLength": 2.0, "type": "square"},
    "maybe": AT,
    "either": bson.Binary(UID.bytes, 4),
    "anything": {"oid": ID, "l": [1]},
    "options": {"deep": True},
    "extra": {"ignored": [ID]},
}


def test_a_dataclass_of_everything() -> None:
    assert bson.decode(bson.encode(DOCUMENT), type=Everything) == Everything(
        str(ID), 2**40, 1.0, "ü", True, AT, datetime.date(2024, 2, 29), UID, Decimal("1.50"),
        b"raw", Color.BLUE, 1, [Point(1, 2.5), Point(2)], (1, "b"), {"a", "b"}, {"x": 1},
        Square(2.0), AT, UID, {"oid": ID, "l": [1]}, {"deep": True},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "path", "message"),
    [
        ({"n": "x"}, "n", "expected int, got BSON's string"),
        ({"n": ID}, "n", "expected int, got BSON's objectid"),
        ({"points": [{"x": 1}, {"y": 1.0}]}, "points[1]", "missing required field 'x'"),
        ({"by_name": {"k": 1.5}}, 'by_name["k"]', "expected int, got BSON's double"),
        ({"pair": [1]}, "pair", "another length"),
        ({"pair": [1, "b", 3]}, "pair", "another length"),
        ({"color": "green"}, "color", "invalid"),
        ({"kind": 2}, "kind", "invalid"),
        ({"day": AT}, "day", "invalid date"),
        ({"uid": bson.Binary(b"x" * 15, 4)}, "uid", "expected UUID"),
        ({"uid": bson.Binary(b"x" * 16, 3)}, "uid", "expected UUID"),
        ({"price": "x"}, "price", "invalid"),
        ({"shape": {"type": "cube"}}, 'shape["type"]', "tag"),
        ({"shape": {"radius": 1.0}}, "shape", "missing"),
        ({"maybe": 5}, "maybe", "got BSON's int32"),
        ({"either": "x"}, "either", "invalid"),
        ({"b": 1}, "b", "expected bool"),
        ({"none": 1}, "none", "expected"),
    ],
)
def test_what_is_not_of_the_type_says_where(
    changed: dict[str, Any], path: str, message: str
) -> None:
    raw = bson.encode({**DOCUMENT, **changed})
    with pytest.raises(bson.DecodeError, match=message) as caught:
        bson.decode(raw, type=Everything)
    assert caught.value.path == path
    assert 0 < caught.value.pos < len(raw)


def test_truncation_at_every_byte_and_lengths_that_lie() -> None:
    raw = bson.encode(DOCUMENT)
    for n in range(len(raw)):
        with pytest.raises(bson.DecodeError):
            bson.decode(raw[:n], type=Everything)
    for at in range(len(raw)):
        for byte in (0, 0x7F, 0x80, 0xFF):
            damaged = raw[:at] + bytes([byte]) + raw[at + 1 :]
            try:
                bson.decode(damaged, type=Everything)
            except bson.DecodeError:
                continue
            bson.validate(damaged)  # what a type takes is a document


def test_nesting_has_a_limit() -> None:
    raw = bson.encode({})
    for _ in range(600):
        inner = b"\x03n\0" + raw
        raw = (len(inner) + 5).to_bytes(4, "little") + inner + b"\0"
    for type_ in (Node, NodeModel, dict[str, Any]):
        with pytest.raises(bson.DecodeError, match="deep"):
            bson.decode(raw, type=type_)


@dataclass
class Node:
    n: Node | None = None


class NodeModel(pydantic.BaseModel):
    n: NodeModel | None = None


def test_batches_of_a_type() -> None:
    batch = b"".join(bson.encode({"x": i}) for i in range(3))
    assert list(bson.iter(batch, type=Point)) == [Point(0), Point(1), Point(2)]
    read = bson.iter(batch + bson.encode({"x": "a"}), type=Point)
    with pytest.raises(bson.DecodeError) as caught:
        list(read)
    assert caught.value.pos == len(batch) + 7


def test_a_type_that_cannot_be_read() -> None:
    for call in (bson.decode, bson.iter):
        with pytest.raises(TypeError):
            call(bson.encode({}), type=5)


class Row(msgspec.Struct, array_like=True, tag="row"):
    a: int
    b: str = "b"


@dataclass
class Rows:
    rows: list[Row]


def test_array_like_structs() -> None:
    raw = bson.encode({"rows": [["row", 1, "x"], ["row", 2], ["row", 3, "y", 4]]})
    assert bson.decode(raw, type=Rows) == Rows([Row(1, "x"), Row(2), Row(3, "y")])
    for wrong in ([["row"]], [["col", 1]], [["row", "x"]], [{}]):
        with pytest.raises(bson.DecodeError):
            bson.decode(bson.encode({"rows": wrong}), type=Rows)


def test_unknown_names() -> None:
    class Closed(msgspec.Struct, forbid_unknown_fields=True):
        a: int = 0

    assert bson.decode(bson.encode({"a": 1}), type=Closed) == Closed(1)
    with pytest.raises(bson.DecodeError, match="unknown field 'b'"):
        bson.decode(bson.encode({"a": 1, "b": 2}), type=Closed)
    raw = bson.encode({"x": 1, "ignored": {"t": "text"}}).replace(b"text", b"te\xfft")
    with pytest.raises(bson.DecodeError, match="UTF-8"):
        bson.decode(raw, type=Point)


# ---- pydantic: validate_python of the plain objects ----


class Inner(pydantic.BaseModel):
    x: int
    y: list[float] = []


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    id: str = pydantic.Field("", alias="_id")
    n: int = 0
    f: float = 0.0
    s: Annotated[str, pydantic.Field(max_length=5)] = ""
    b: bool = False
    at: datetime.datetime | None = None
    day: datetime.date | None = None
    uid: uuid.UUID | None = None
    price: Decimal | None = None
    raw: bytes = b""
    color: Color = Color.RED
    inner: Inner | None = None
    inners: list[Inner] = []
    by_name: dict[str, int] = {}
    pair: tuple[int, str] = (0, "")


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    n: int
    inner: Inner


def judged(model: Any, raw: bytes) -> Any:
    try:
        return repr(model.model_validate(bson.decode(raw)))
    except pydantic.ValidationError as error:
        return error.errors(include_url=False, include_context=False)


def ours(model: Any, raw: bytes) -> Any:
    try:
        return repr(bson.decode(raw, type=model))
    except pydantic.ValidationError as error:
        return error.errors(include_url=False, include_context=False)


loose = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(-2, 3)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=7)
    | st.sampled_from(["red", "blue", "1", "1.5", "2024-02-29", str(UID), "true"])
    | st.binary(max_size=4)
    | st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1))
    | st.just(datetime.datetime(2024, 2, 29))
    | st.just(bson.Binary(UID.bytes, 4))
    | st.just(bson.Binary(b"x", 9))
    | st.just(bson.Decimal128("1.50"))
    | st.just(bson.Int64(7))
    | st.just(ID),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries(
            {"x": st.integers(0, 9)}, optional={"y": st.lists(inner, max_size=2)}
        )
        | st.dictionaries(st.sampled_from(["x", "y", "k"]), inner, max_size=3)
    ),
    max_leaves=6,
)
names = ["_id", "id", "n", "f", "s", "b", "at", "day", "uid", "price", "raw", "color", "inner"]
names += ["inners", "by_name", "pair", "other"]


@given(st.dictionaries(st.sampled_from(names), loose, max_size=5), st.sampled_from([Model, Strict]))
@settings(max_examples=1000, deadline=None)
def test_models_are_pydantics(document: dict[str, Any], model: Any) -> None:
    raw = bson.encode(document)
    assert repr(ours(model, raw)) == repr(judged(model, raw))


@given(documents)
@settings(max_examples=200, deadline=None)
def test_any_document_of_any_type(document: Any) -> None:
    raw = bson.encode(document)
    try:
        plain = bson.decode(raw)
    except bson.DecodeError:
        with pytest.raises(bson.DecodeError):
            bson.decode(raw, type=dict[str, Any])
    else:
        assert repr(bson.decode(raw, type=dict[str, Any])) == repr(plain)
        assert repr(bson.decode(raw, type=Any)) == repr(plain)


values = st.fixed_dictionaries(
    {
        "a": st.integers(-(2**63), 2**63 - 1),
        "b": st.lists(st.floats() | st.integers(0, 5), max_size=4),
        "c": st.dictionaries(st.sampled_from(["x", "y"]), st.text(st.characters(codec="utf-8"))),
        "d": st.fixed_dictionaries({"x": st.integers(0, 9)}, optional={"y": st.floats()}),
        "e": st.none() | st.booleans() | st.text(st.characters(codec="utf-8"), max_size=3),
    }
)


class Struct(msgspec.Struct):
    a: int
    b: list[float]
    c: dict[str, str]
    d: Point
    e: bool | str | None = None


@given(values, st.sampled_from(["", "a", "b", "c", "d", "e"]), loose)
@settings(max_examples=500, deadline=None)
def test_structs_are_msgspecs(document: Any, wrong: str, value: Any) -> None:
    if wrong:
        document = {**document, wrong: value}
    raw = bson.encode(document)
    plain = bson.decode(raw)
    try:
        theirs = repr(msgspec.convert(plain, Struct))
    except msgspec.ValidationError:
        with pytest.raises(bson.DecodeError):
            bson.decode(raw, type=Struct)
    else:
        assert repr(bson.decode(raw, type=Struct)) == theirs


def test_nothing_is_leaked_by_types() -> None:
    raw = bson.encode(DOCUMENT)
    model_raw = bson.encode({"_id": "a", "inner": {"x": 1, "y": [1.0]}, "other": [ID]})
    wrong = bson.encode({**DOCUMENT, "points": [{"x": 1}, {"x": 1.5}]})

    def work() -> None:
        bson.decode(raw, type=Everything)
        bson.decode(model_raw, type=Model)
        list(bson.iter(raw + raw, type=Everything))
        for data, type_ in [(wrong, Everything), (model_raw, Strict), (wrong, Model)]:
            try:
                bson.decode(data, type=type_)
            except ValueError:
                continue
        for n in range(0, len(raw), 11):
            with pytest.raises(bson.DecodeError):
                bson.decode(raw[:n], type=Everything)

    for _ in range(60):
        work()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(60):
        work()
    gc.collect()
    assert abs(sys.getallocatedblocks() - before) < 50


def test_memory_that_runs_out_with_types() -> None:
    testcapi = pytest.importorskip("_testcapi")
    raw = bson.encode(DOCUMENT)
    model_raw = bson.encode({"_id": "a", "inner": {"x": 1, "y": [1.0]}, "other": [ID]})
    wrong = bson.encode({**DOCUMENT, "points": [{"x": 1}, {"x": 1.5}]})
    for data, type_ in [(raw, Everything), (model_raw, Model), (wrong, Everything)]:
        for nth in range(1, 1000):
            testcapi.set_nomemory(nth, nth + 1)
            try:
                bson.decode(data, type=type_)
            except MemoryError:
                continue
            except ValueError:
                break
            finally:
                testcapi.remove_mem_hooks()
            break
        else:
            pytest.fail("it never had enough")
