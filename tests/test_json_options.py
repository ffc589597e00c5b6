"""weft.json's options against json.dumps: indent, sorted keys, bytearrays, lines."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import some
from weft.json import (
    DecodeError,
    Decoder,
    EncodeError,
    Encoder,
    decode,
    decode_lines,
    encode,
    encode_into,
    encode_lines,
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | texts
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=30,
)
EXACT: dict[str, Any] = {"ensure_ascii": False}


@settings(max_examples=some(500))
@given(values, st.integers(0, 16))
def test_indents_as_json_dumps(obj: Any, indent: int) -> None:
    assert encode(obj, indent=indent).decode() == json.dumps(obj, indent=indent, **EXACT)


@settings(max_examples=some(500))
@given(values)
def test_sorts_as_json_dumps(obj: Any) -> None:
    expected = json.dumps(obj, sort_keys=True, separators=(",", ":"), **EXACT)
    assert encode(obj, sort_keys=True).decode() == expected


@dataclasses.dataclass
class Point:
    y: int
    x: Any


def test_sorting_reaches_every_kind_of_object() -> None:
    ordered = collections.OrderedDict([("b", 1), ("a", [Point(1, {"d": 1, "c": 2})])])
    assert encode(ordered, sort_keys=True) == b'{"a":[{"x":{"c":2,"d":1},"y":1}],"b":1}'
    assert encode(Point(1, 2), sort_keys=True, indent=1) == b'{\n "x": 2,\n "y": 1\n}'


def test_keys_that_have_no_order() -> None:
    with pytest.raises(EncodeError, match="keys that cannot be compared") as caught:
        encode({"k": [{"a": 1, 2: 3}]}, sort_keys=True)
    assert caught.value.path == "k[0]"
    assert isinstance(caught.value.__cause__, TypeError)
    assert encode({2: "b", 1: "a"}, sort_keys=True) == b'{"1":"a","2":"b"}'


@pytest.mark.parametrize("indent", [-1, 17, "\t", 1.0, 2**100])
def test_other_indents_are_refused(indent: Any) -> None:
    with pytest.raises(ValueError, match="indent must be"):
        encode([], indent=indent)


def test_false_is_an_indent_of_nothing() -> None:
    assert encode([1], indent=False) == json.dumps([1], indent=False).encode()


def test_encode_into() -> None:
    buffer = bytearray(b"0123456789")
    encode_into({"a": 1}, buffer)
    assert buffer == b'{"a":1}'
    encode_into("x" * 3000, buffer, 2)
    assert buffer == b'{"' + encode("x" * 3000)
    encode_into([Point(1, 2)], buffer, 0, default=str, sort_keys=True)
    assert buffer == b'[{"x":2,"y":1}]'
    encode_into(None, buffer, -1)
    assert buffer.endswith(b"]null")


def test_encode_into_what_cannot_be() -> None:
    buffer = bytearray(b"abc")
    for offset in (4, -2, 2**100):
        with pytest.raises((ValueError, OverflowError)):
            encode_into(1, buffer, offset)
    with pytest.raises(TypeError, match="bytearray"):
        encode_into(1, b"abc")  # type: ignore[arg-type]
    with pytest.raises(EncodeError):
        encode_into([1, math.nan], buffer)
    with memoryview(buffer), pytest.raises(BufferError):
        encode_into([1] * 100, buffer)
    assert buffer == b"abc"


def test_a_default_that_resizes_the_buffer() -> None:
    buffer = bytearray(b"abc")

    def default(obj: Any) -> None:
        buffer.clear()

    encode_into([object(), "x" * 2000], buffer, -1, default=default)
    assert buffer == encode([None, "x" * 2000])
    buffer[:] = b"abc"
    with pytest.raises(ValueError, match="not inside the buffer"):
        encode_into([object()], buffer, 3, default=default)


@given(st.lists(values))
def test_lines_both_ways(items: list[Any]) -> None:
    lines = encode_lines(iter(items))
    assert lines == b"".join(encode(item) + b"\n" for item in items)
    assert decode_lines(lines) == items
    assert decode_lines(lines.decode()) == items
    assert decode_lines(memoryview(lines)) == items


def test_lines_that_fail() -> None:
    def items() -> Iterator[Any]:
        yield 1
        raise KeyError("third")

    with pytest.raises(KeyError):
        encode_lines(items())
    with pytest.raises(EncodeError):
        encode_lines([1, math.nan])
    with pytest.raises(TypeError):
        encode_lines(5)  # type: ignore[arg-type]
    text = '"é"\n\n \t\r\n[1,\n'
    for data, pos in ((text, 12), (text.encode(), 13)):
        with pytest.raises(DecodeError) as caught:
            decode_lines(data)
        e = caught.value
        assert (e.lineno, e.colno, e.pos, e.doc) == (4, 4, pos, data)
        assert str(e).endswith(f"line 4 column 4 (char {pos})")


def test_typed_lines() -> None:
    data = b'{"x":1,"y":2}\n{"x":3,"y":"z"}\n'
    assert decode_lines(data[:14], type=Point) == [Point(2, 1)]
    with pytest.raises(DecodeError) as caught:
        Decoder(Point).decode_lines(data)
    assert caught.value.path == "y"
    assert caught.value.lineno == 2
    lax = data.replace(b'"z"', b'"4"')
    assert decode_lines(lax, type=Point, strict=False) == [Point(2, 1), Point(4, 3)]


def test_lines_of_what_is_no_document() -> None:
    for data in (5, [49], None, object(), 10**12):
        with pytest.raises(TypeError, match="JSON Lines must be bytes, a buffer or str, not"):
            decode_lines(data)  # type: ignore[arg-type]


def test_lines_of_a_model_say_which_is_invalid() -> None:
    class Model(pydantic.BaseModel):
        x: int

    data = b'{"x":1}\n\n{"x":"no"}\n'
    with pytest.raises(pydantic.ValidationError) as caught:
        decode_lines(data, type=Model)
    assert caught.value.__notes__ == ["line 3"]
    with pytest.raises(DecodeError) as broken:
        decode_lines(b"[1]\n[", type=list[int])
    assert not hasattr(broken.value, "__notes__")


def test_an_error_in_a_models_document_has_the_document_and_where() -> None:
    class Model(pydantic.BaseModel):
        x: int

    for data in ('{"é": tru', '{"é": tru'.encode(), b"\xef\xbb\xbf[1", bytearray(b'{"x":1} 2')):
        with pytest.raises(DecodeError) as plain:
            decode(data)
        with pytest.raises(DecodeError) as typed:
            decode(data, type=Model)
        for name in ("msg", "doc", "pos", "lineno", "colno"):
            assert getattr(typed.value, name) == getattr(plain.value, name), name
        assert typed.value.doc is data
        assert str(typed.value) == str(plain.value)


def test_a_type_of_none_is_no_type() -> None:
    assert decode(b"[5]", type=None) == [5]
    assert decode(b"[5]", type=None, strict=False) == [5]
    assert Decoder(None).decode(b"[5]") == [5]
    assert decode_lines(b"5\n6\n", type=None) == [5, 6]
    assert encode({"b": 1j, "a": 2}, type=None, default=str, sort_keys=True) == (
        b'{"a":2,"b":"1j"}'
    )
    assert encode([5], type=None, indent=1) == b"[\n 5\n]"
    assert decode(b"null", type=type(None)) is None
    with pytest.raises(DecodeError, match="expected null"):
        decode(b"5", type=type(None))
    with pytest.raises(TypeError):
        encode_into(5, bytearray(), type=None)  # type: ignore[call-arg]


def test_encoder_keeps_its_options() -> None:
    encoder = Encoder(default=str, indent=1, sort_keys=True)
    assert encoder.encode({"b": 1, "a": 1j}) == b'{\n "a": "1j",\n "b": 1\n}'
    assert encoder.encode_lines([{"b": 1, "a": 1j}]) == b'{"a":"1j","b":1}\n'
    buffer = bytearray()
    encoder.encode_into({"b": 1, "a": 2}, buffer)
    assert buffer == b'{"a":2,"b":1}'


@settings(max_examples=some(300), deadline=None)
@given(st.lists(values, min_size=1, max_size=6), st.integers(1, 40))
def test_long_documents_both_ways(items: list[Any], times: int) -> None:
    obj = items * times  # past what is kept on the stack and past where the collector is paused
    document = encode(obj)
    assert document == json.dumps(obj, separators=(",", ":"), **EXACT).encode()
    assert repr(decode(document)) == repr(obj)
    escaped = json.dumps(obj).encode()
    assert repr(decode(escaped)) == repr(obj)


def test_short_results_after_a_long_one_do_not_ask_for_its_room():
    """They did for ever: a mapping of memory each time, and a MemoryError where it is limited."""
    encode(["y" * 1000] * 20_000)
    short = ["x" * 50] * 1500
    encode(short)  # may be guessed to be as long, to a bound
    tracemalloc.start()
    try:
        assert len(encode(short)) == 79_501
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
