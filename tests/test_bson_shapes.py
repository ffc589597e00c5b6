"""weft.bson with types: dataclasses, Structs, TypedDicts and models; msgspec and pydantic judge."""

from __future__ import annotations

import datetime
import enum
import gc
import sys
import tracemalloc
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import some
from tests.test_bson import documents
from weft import bson
from weft._core import _alloc_fail_from
from weft.json import encode as json_encode


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
@settings(max_examples=some(1000), deadline=None)
def test_models_are_pydantics(document: dict[str, Any], model: Any) -> None:
    raw = bson.encode(document)
    assert repr(ours(model, raw)) == repr(judged(model, raw))


@given(documents)
@settings(max_examples=some(200), deadline=None)
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
@settings(max_examples=some(500), deadline=None)
def test_structs_are_msgspecs(document: Any, wrong: str, value: Any) -> None:
    if wrong:
        document = {**document, wrong: value}
    raw = bson.encode(document)
    plain = bson.decode(raw)
    try:
        theirs = repr(msgspec.convert(plain, Struct))
    except msgspec.ValidationError as error:
        if "got `ObjectId`" in str(error):
            return  # which is text to us
        with pytest.raises(bson.DecodeError):
            bson.decode(raw, type=Struct)
    else:
        assert repr(bson.decode(raw, type=Struct)) == theirs


# ---- to JSON ----


class Reply(TypedDict, total=False):
    id: str
    n: int
    f: float
    at: datetime.datetime
    day: datetime.date
    uid: uuid.UUID
    color: Color
    kind: Literal["a", 1]
    names: list[str]
    by_name: dict[str, int]
    point: Point
    maybe: datetime.datetime | int | None
    other: Square | None


class Renamed(msgspec.Struct, rename="camel"):
    first_name: str = 'no "name"'
    the_list: list[int] = []
    the_dict: dict[str, int] = {}
    when: datetime.datetime | None = None


REPLY = {
    "id": ID, "n": 2**40, "f": 3, "at": AT, "day": datetime.datetime(1, 1, 1), "kind": "a",
    "uid": bson.Binary(UID.bytes, 4), "color": "red", "names": ["ü", 'a"b', ""], "maybe": AT,
    "by_name": {"x": 1}, "point": {"y": 1, "x": 2}, "n_unknown": 5,
}  # fmt: skip


def test_the_json_of_a_type() -> None:
    raw = bson.encode(REPLY)
    expected = (
        '{"id":"56e1fc72e0c917e9c4714161","n":1099511627776,"f":3.0,'
        '"at":"2024-02-29T12:30:00.123000","day":"0001-01-01",'
        '"uid":"00112233-4455-6677-8899-aabbccddeeff","color":"red","kind":"a",'
        '"names":["ü","a\\"b",""],"by_name":{"x":1},"point":{"x":2,"y":1.0},'
        '"maybe":"2024-02-29T12:30:00.123000"}'
    )
    assert bson.to_json(raw, type=Reply).decode() == expected
    with pytest.raises(TypeError, match="canonical"):
        bson.to_json(raw, type=Reply, canonical=True)
    with pytest.raises(bson.DecodeError, match="expected int") as caught:
        bson.to_json(bson.encode({"point": {"x": "a"}}), type=Reply)
    assert caught.value.path == "point.x"


@pytest.mark.parametrize(
    ("document", "type_"),
    [
        ({}, Renamed),
        ({"firstName": "x", "theList": [1], "when": AT}, Renamed),
        ({"firstName": "x", "unknown": {"y": 1}}, Renamed),
        ({"when": None}, Renamed),
        (DOCUMENT, Everything),
        ({"x": 1}, Point),
        ({"_id": "a", "inner": {"x": 1}, "price": "1.50", "other": [1]}, Model),
        ({"a": 1, "b": {"c": [None, True]}}, dict[str, Any]),
        ({str(i): i for i in range(40)}, dict[str, int]),
        ({"other": {"sideLength": 1.0, "type": "square"}}, Reply),
        ({"day": AT.replace(hour=0, minute=0, microsecond=0)}, Reply),
        ({"n": {}, "m": []}, dict[str, list[int] | dict[str, int]]),
    ],
)
def test_the_json_of_a_type_is_that_of_its_value(document: Any, type_: Any) -> None:
    if document is DOCUMENT:
        document = {**document, "anything": 5, "raw": b"text"}
    raw = bson.encode(document)
    value = bson.decode(raw, type=type_)
    if isinstance(value, pydantic.BaseModel):
        expected = value.model_dump_json(by_alias=True).encode()
    else:
        expected = json_encode(value, type=type_)
    assert bson.to_json(raw, type=type_) == expected


def test_the_json_of_a_type_is_made_without_its_objects() -> None:
    raw = bson.encode({"p": {str(i): {"x": i, "y": 0.5} for i in range(30)}})
    expected = bson.to_json(raw, type=dict[str, dict[str, Point]])
    tracemalloc.start()
    try:
        text = bson.to_json(raw, type=dict[str, dict[str, Point]])
        peak = tracemalloc.get_traced_memory()[1]
        bson.decode(raw, type=dict[str, dict[str, Point]])
        with_objects = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert text == expected
    assert peak < len(text) + 500
    assert with_objects > peak + 2000


def test_defaults_that_a_struct_leaves_out() -> None:
    class Short(msgspec.Struct, omit_defaults=True):
        a: int = 0
        b: list[int] = []

    for document in ({}, {"a": 0, "b": []}, {"a": 1}):
        raw = bson.encode(document)
        expected = json_encode(bson.decode(raw, type=Short), type=Short)
        assert bson.to_json(raw, type=Short) == expected


def test_memory_that_runs_out_on_the_way_to_json() -> None:
    raw = bson.encode(REPLY)
    expected = bson.to_json(raw, type=Reply)
    for nth in range(1, 20):
        _alloc_fail_from(nth)
        try:
            text = bson.to_json(raw, type=Reply)
        except MemoryError:
            continue
        finally:
            _alloc_fail_from(0)
        assert nth > 1
        assert text == expected
        break
    else:
        pytest.fail("it never had enough")


reply_values = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=4) | st.just(ID) | loose,
        "n": st.integers(-5, 2**40) | loose,
        "f": st.floats() | st.integers(-5, 5),
        "at": st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 1, 1)) | loose,
        "day": st.just(datetime.datetime(2024, 2, 29)) | loose,
        "uid": st.just(bson.Binary(UID.bytes, 4)) | loose,
        "color": st.sampled_from(["red", "blue", "green"]),
        "kind": st.sampled_from(["a", 1, 2, 1.0, True]),
        "names": st.lists(st.text(max_size=4) | loose, max_size=3),
        "by_name": st.dictionaries(st.text('abc"é', max_size=3), st.integers(0, 5) | loose),
        "point": st.fixed_dictionaries({"x": st.integers(0, 5)}, optional={"y": loose}),
        "maybe": st.none() | st.just(AT) | loose,
        "unknown": loose,
    },
)


@given(reply_values)
@settings(max_examples=some(600), deadline=None)
def test_the_json_of_any_document_is_that_of_its_value(document: Any) -> None:
    raw = bson.encode(document)
    try:
        expected = json_encode(bson.decode(raw, type=Reply), type=Reply)
    except ValueError as error:
        with pytest.raises(type(error)):
            bson.to_json(raw, type=Reply)
    else:
        assert bson.to_json(raw, type=Reply) == expected


def test_nothing_is_leaked_by_types() -> None:
    raw = bson.encode(DOCUMENT)
    model_raw = bson.encode({"_id": "a", "inner": {"x": 1, "y": [1.0]}, "other": [ID]})
    wrong = bson.encode({**DOCUMENT, "points": [{"x": 1}, {"x": 1.5}]})

    def work() -> None:
        bson.decode(raw, type=Everything)
        bson.decode(model_raw, type=Model)
        bson.to_json(bson.encode(REPLY), type=Reply)
        bson.to_json(bson.encode({}), type=Renamed)
        bson.to_json(bson.encode({"_id": "a", "inner": {"x": 1}}), type=Model)
        list(bson.iter(raw + raw, type=Everything))
        for data, type_ in [(wrong, Everything), (model_raw, Strict), (wrong, Model)]:
            try:
                bson.decode(data, type=type_)
            except ValueError:
                continue
        for n in range(0, len(raw), 11):
            with pytest.raises(bson.DecodeError):
                bson.decode(raw[:n], type=Everything)
            with pytest.raises(bson.DecodeError):
                bson.to_json(raw[:n], type=Reply)

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
