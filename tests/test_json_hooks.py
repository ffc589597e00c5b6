"""What callers make of values that nobody else can: dec_hook, float_hook and default, with msgspec
as the judge."""

from __future__ import annotations

import dataclasses
import decimal
import gc
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
import pydantic
import pytest

from tests.test_encode_leaks import assert_no_leak
from weft import _core
from weft.json import DecodeError, Decoder, EncodeError, Encoder, decode, encode

T = TypeVar("T")


class Point:
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    __hash__ = None  # type: ignore[assignment]


class Nearer(Point):
    pass


class Box(Generic[T]):
    def __init__(self, item: Any) -> None:
        self.item = item


class Shape(msgspec.Struct):
    at: Point
    z: Any = None
    points: list[Point] = []
    names: dict[str, Point] = {}
    maybe: Point | None = None


@dataclasses.dataclass
class Data:
    at: Point
    z: float = 0.0


def to_point(cls: type, obj: Any) -> Any:
    assert cls is Point
    if obj == "nearer":
        return Nearer(0, 0)
    if obj == "none":
        return None
    if obj == "key":
        raise KeyError("key")
    x, y = obj
    return Point(x, y)


def of_point(obj: Any) -> Any:
    if isinstance(obj, Point):
        return [obj.x, obj.y]
    raise NotImplementedError(type(obj).__name__)


DOCUMENT = b'{"at":[1,2.5],"z":{"a":[1.5,[0.1]]},"points":[[1,2],[3,4]],"names":{"a":[5,6]}}'


def fields(shape: Shape) -> dict[str, Any]:
    return {name: getattr(shape, name) for name in Shape.__struct_fields__}


@pytest.mark.parametrize("float_hook", [None, decimal.Decimal, str])
def test_values_are_made_by_hooks(float_hook: Callable[[str], Any] | None) -> None:
    ours = Decoder(Shape, dec_hook=to_point, float_hook=float_hook).decode(DOCUMENT)
    theirs = msgspec.json.Decoder(Shape, dec_hook=to_point, float_hook=float_hook).decode(DOCUMENT)
    assert fields(ours) | {"at": 0} == fields(theirs) | {"at": 0}
    assert ours == decode(DOCUMENT, type=Shape, dec_hook=to_point, float_hook=float_hook)


def test_only_floats_without_a_type_are_the_hooks() -> None:
    calls: list[str] = []

    def hook(text: str) -> Any:
        calls.append(text)
        return decimal.Decimal(text)

    document = b'{"a":[1.50,-2e-3,7,1E400],"b":{"c":0.0},"d":"1.5","e":true,"f":null}'
    assert decode(document, float_hook=hook) == {
        "a": [decimal.Decimal("1.50"), decimal.Decimal("-0.002"), 7, decimal.Decimal("1E400")],
        "b": {"c": decimal.Decimal("0.0")},
        "d": "1.5",
        "e": True,
        "f": None,
    }
    assert calls == ["1.50", "-2e-3", "1E400", "0.0"]
    calls.clear()
    assert decode(b"[1.5]", type=list[float], float_hook=hook) == [1.5]
    assert decode(b'[1.5,"x"]', type=list[Any], float_hook=hook) == [decimal.Decimal("1.5"), "x"]
    assert decode(b"[2.5]", type=list[int | Any], float_hook=hook) == [decimal.Decimal("2.5")]
    assert calls == ["1.5", "2.5"]
    assert decode(b"[" * 512 + b"]" * 512, float_hook=hook) is not None
    with pytest.raises(DecodeError, match="nested too deeply"):
        decode(b"[" * 513 + b"]" * 513, float_hook=hook)


@pytest.mark.parametrize(
    ("document", "message", "path"),
    [
        (b'{"at":[1]}', "not enough values", "at"),
        (b'{"at":[1,2],"points":[[1,2],3]}', "cannot unpack", "points[1]"),
        (b'{"at":[1,2],"names":{"a":"none"}}', "dec_hook gave NoneType, not Point", 'names["a"]'),
        (b'{"at":[1,}', "expected a value", "at"),
        (b'{"at":', "found the end", "at"),
    ],
)
def test_what_hooks_refuse_is_an_error_with_its_place(
    document: bytes, message: str, path: str
) -> None:
    with pytest.raises(DecodeError, match=message) as caught:
        decode(document, type=Shape, dec_hook=to_point)
    assert caught.value.path in (path, "")
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(document, type=Shape, dec_hook=to_point)


def test_what_hooks_raise_is_raised() -> None:
    with pytest.raises(KeyError, match="key"):
        decode(b'{"at":"key"}', type=Shape, dec_hook=to_point)
    with pytest.raises(decimal.InvalidOperation):
        decode(b"[1.5]", float_hook=lambda text: decimal.Decimal("x"))
    with pytest.raises(DecodeError, match="no float here") as caught:
        decode(b'{"a":[0,1.5]}', float_hook=refuse)
    assert caught.value.path == '["a"][1]'
    assert isinstance(caught.value.__cause__, ValueError)


def refuse(text: str) -> Any:
    raise ValueError("no float here")


def test_a_subclass_is_one_and_a_member_leaves_others_theirs() -> None:
    assert type(decode(b'"nearer"', type=Point, dec_hook=to_point)) is Nearer
    shape = decode(b'{"at":[1,2],"maybe":null}', type=Shape, dec_hook=to_point)
    assert shape.maybe is None
    mixed = decode(b'[1,[2,3],"x"]', type=list[int | str | Point], dec_hook=to_point)
    assert mixed == [1, Point(2, 3), "x"]
    with pytest.raises(TypeError, match="Point and Box may be any JSON"):
        Decoder(Point | Box, dec_hook=to_point)


def test_a_generic_class_comes_with_its_parameters() -> None:
    seen: list[Any] = []

    def hook(cls: Any, obj: Any) -> Any:
        seen.append(cls)
        return Box(obj)

    assert decode(b"[1]", type=list[Box[int]], dec_hook=hook)[0].item == 1
    msgspec.json.decode(b"[1]", type=list[Box[int]], dec_hook=hook)
    assert seen == [Box[int], Box[int]]


def test_without_hooks_nothing_has_changed() -> None:
    for kind in (Point, list[Point], Shape, Data, Box[int]):
        with pytest.raises(TypeError, match="weft cannot read"):
            Decoder(kind)
        with pytest.raises(TypeError, match="weft cannot read"):
            Decoder(kind, float_hook=float)
        with pytest.raises(TypeError, match="weft cannot read"):
            Encoder(kind)
    for hooks in ({"dec_hook": 1}, {"float_hook": "x"}):
        with pytest.raises(TypeError, match="must be callable"):
            decode(b"1", **hooks)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no argument 'hook'"):
        decode(b"1", hook=1)  # type: ignore[call-overload]


def test_it_is_not_asked_inside_of_pydantic() -> None:
    model = pydantic.create_model("Model", z=(Any, ...))
    assert decode(b'{"z":1.5}', type=model, float_hook=str).z == 1.5


def test_a_hook_that_decodes_again_has_an_end() -> None:
    decoder: Decoder[Any]

    def again(cls: type, obj: Any) -> Any:
        return decoder.decode(b"[1]")

    decoder = Decoder(list[Point], dec_hook=again)
    with pytest.raises(RecursionError):
        decoder.decode(b"[1]")


# ---- default ----


def test_default_writes_what_has_no_form() -> None:
    shape = Shape(Point(1, 2.5), {"a": [Point(3, Point(4, 5))]}, [Point(6, 7)], {}, Point(8, 9))
    expected = msgspec.json.encode(shape, enc_hook=of_point)
    assert encode(shape, type=Shape, default=of_point) == expected
    encoder = Encoder(Shape, default=of_point)
    assert encoder.encode(shape) == expected
    assert encoder.encode_lines([shape, shape]) == (expected + b"\n") * 2
    buffer = bytearray()
    encoder.encode_into(shape, buffer)
    assert buffer == expected
    assert encode(Data(Nearer(1, 2)), type=Data, default=of_point) == b'{"at":[1,2],"z":0.0}'
    assert b"\n" in Encoder(Shape, default=of_point, indent=1).encode(shape)
    assert encode([1j], type=list[Any], default=str) == b'["1j"]'


def test_default_fails_with_the_place() -> None:
    with pytest.raises(EncodeError, match="expected Point, got int") as caught:
        encode(Data(1), type=Data, default=of_point)  # type: ignore[arg-type]
    assert caught.value.path == "at"
    with pytest.raises(NotImplementedError, match="complex"):
        encode([Point(1, 1j)], type=list[Point], default=of_point)
    with pytest.raises(EncodeError, match="nested more than"):
        encode([1j], type=list[Any], default=lambda o: o)
    with pytest.raises(EncodeError, match="keys of type complex"):
        encode({1j: 1}, type=dict[Any, int], default=str)
    with pytest.raises(EncodeError, match="objects of type complex") as caught:
        encode([1j], type=list[Any])
    assert caught.value.path == "[0]"
    with pytest.raises(TypeError, match="sort_keys"):
        Encoder(Shape, default=of_point, sort_keys=True)  # type: ignore[call-overload]


# ---- memory ----


def test_nothing_leaks() -> None:
    decoder = Decoder(Shape, dec_hook=to_point, float_hook=decimal.Decimal)
    encoder = Encoder(Shape, default=of_point)
    untyped: Decoder[Any] = Decoder(float_hook=str)
    anything: Encoder[Any] = Encoder(list[Any], default=str)
    wrong = [b'{"at":[1]}', b'{"at":"none"}', b'{"at":"key"}', DOCUMENT[:-4], b'{"at":[1,2],"z":1.']

    def run() -> None:
        value = decoder.decode(DOCUMENT)
        encoder.encode(value)
        with pytest.raises(NotImplementedError):
            encoder.encode(Shape(Point(1j, 1)))
        for document in wrong:
            with pytest.raises((DecodeError, KeyError)):
                decoder.decode(document)
        with pytest.raises(EncodeError):
            encoder.encode(Shape(1))  # type: ignore[arg-type]
        untyped.decode(b"[1.5]")
        anything.encode([1j])

    assert_no_leak(run)


@pytest.mark.parametrize(
    "call",
    [
        lambda hook: decode(b"[1.5]", float_hook=hook),
        lambda hook: decode(b"[1.5]", type=list[Point], dec_hook=hook),
        lambda hook: encode([1j], type=list[Any], default=hook),
        lambda hook: encode(Point(1, 2), type=Point, default=hook),
    ],
)
def test_hooks_are_let_go(call: Callable[[Any], Any]) -> None:
    class Hook:
        def __call__(self, *args: Any) -> Any:
            return Point(1, 2) if len(args) == 2 else "x"

    hook = Hook()
    gone = weakref.ref(hook)
    call(hook)
    del hook
    gc.collect()
    assert gone() is None


def test_without_memory_it_is_a_memory_error() -> None:
    decoder = Decoder(list[Shape], dec_hook=to_point)
    encoder = Encoder(list[Shape], default=of_point)
    document = b"[" + b",".join([DOCUMENT] * 100) + b"]"
    value = decoder.decode(document)
    for nth in range(1, 6):
        for call in (lambda: decoder.decode(bytearray(document)), lambda: encoder.encode(value)):
            _core._alloc_fail_from(nth)
            try:
                call()
            except MemoryError:
                pass
            finally:
                _core._alloc_fail_from(0)
    assert decoder.decode(document) == value
