"""JSON that is encoded already, or not decoded yet: weft.json.Raw, and msgspec's."""

from __future__ import annotations

import copy
import dataclasses
import json as stdlib
import pickle
import types
from collections.abc import Iterator
from typing import Any, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest

import weft
from tests.test_encode_leaks import assert_no_leak
from weft import _core, bson
from weft.json import (
    DecodeError,
    Decoder,
    EncodeError,
    Encoder,
    Raw,
    decode,
    decode_lines,
    encode,
    encode_into,
    encode_lines,
)
from weft.testing import TestClient

PRETTY = b'{ "b" : [ 1.0 , "\xc3\xa9 { \\" " ] ,\r\n"a":{ },"c": [\n] }'


class Event(msgspec.Struct):
    kind: str
    payload: Raw
    more: Raw | None = None


EMPTY = Raw(b"{}")


@dataclasses.dataclass
class Data:
    payload: Raw = EMPTY
    id: int = 0


class Dict(TypedDict, total=False):
    payload: Raw
    rest: dict[str, Raw]
    items: list[Raw]


class Tuple(NamedTuple):
    payload: Raw
    id: int


# ---- the class ----


@pytest.mark.parametrize("data", [PRETTY, bytearray(PRETTY), memoryview(PRETTY), PRETTY.decode()])
def test_it_keeps_the_bytes(data: Any) -> None:
    raw = Raw(data)
    assert bytes(raw) == PRETTY == bytes(memoryview(raw))
    assert decode(raw) == decode(raw, type=dict[str, Any]) == stdlib.loads(PRETTY)
    assert raw == Raw(PRETTY) != Raw(PRETTY + b" ")
    assert raw != PRETTY
    assert hash(raw) == hash(Raw(PRETTY))
    assert len(raw) == len(PRETTY)
    assert repr(Raw(b"1")) == "Raw(b'1')"
    assert pickle.loads(pickle.dumps(raw)) == copy.deepcopy(raw) == copy.copy(raw) == raw
    assert Raw(raw) is raw


def test_nobody_can_change_it() -> None:
    data = bytearray(b"[1]")
    raw = Raw(data)
    data[1:2] = b"x"
    assert bytes(raw) == b"[1]"
    assert memoryview(raw).readonly
    with pytest.raises(AttributeError):
        raw.data = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="immutable type"):
        Raw.x = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="not an acceptable base type"):
        types.new_class("Sub", (Raw,))


@pytest.mark.parametrize(
    ("data", "pos"),
    [
        (b"", 0),
        (b"[1,]", 3),
        (b"1 2", 2),
        (b'"\xff"', 1),
        (b'"\\ud800"', 1),
        (b"NaN", 0),
        (b"\xef\xbb\xbf1", 0),
        (b"[" * 513, 512),
        ("[\u00e9]", 1),
    ],
)
def test_what_is_not_json_is_none(data: Any, pos: int) -> None:
    with pytest.raises(DecodeError) as caught:
        Raw(data)
    assert caught.value.pos == pos


def test_what_it_cannot_be_made_of() -> None:
    with pytest.raises(TypeError, match="must be bytes, a buffer or str, not list"):
        Raw([1])  # type: ignore[arg-type]
    with pytest.raises(DecodeError, match="surrogate"):
        Raw('"\ud800"')
    for args, kwargs in (((), {}), ((b"1", b"2"), {}), ((), {"data": b"1"})):
        with pytest.raises(TypeError):
            Raw(*args, **kwargs)


# ---- written ----


def test_it_is_written_as_it_stands() -> None:
    raw = Raw(PRETTY)
    assert encode(raw) == PRETTY
    assert encode({"a": [raw, 1]}) == b'{"a":[' + PRETTY + b",1]}"
    assert encode({"b": raw, "a": 1}, sort_keys=True) == b'{"a":1,"b":' + PRETTY + b"}"
    assert encode(Event("k", raw)) == b'{"kind":"k","payload":' + PRETTY + b',"more":null}'
    assert encode(Data(raw)) == b'{"payload":' + PRETTY + b',"id":0}'
    assert encode({1}, default=None) == b"[1]"
    assert encode(object(), default=lambda o: raw) == PRETTY
    buffer = bytearray(b"x")
    encode_into([raw], buffer, 1)
    assert buffer == b"x[" + PRETTY + b"]"


def test_it_is_written_with_a_type() -> None:
    raw = Raw(PRETTY)
    assert encode(Event("k", raw), type=Event) == (
        b'{"kind":"k","payload":' + PRETTY + b',"more":null}'
    )
    assert encode(Data(raw), type=Data) == b'{"payload":' + PRETTY + b',"id":0}'
    assert encode({"rest": {"x": raw}}, type=Dict) == b'{"rest":{"x":' + PRETTY + b"}}"
    assert encode(Tuple(raw, 1), type=Tuple) == b"[" + PRETTY + b",1]"
    assert encode([raw, None, 1], type=list[Any]) == b"[" + PRETTY + b",null,1]"
    assert encode([raw, None], type=list[Raw | None]) == b"[" + PRETTY + b",null]"
    buffer = bytearray()
    Encoder(list[Raw]).encode_into([raw], buffer)
    assert buffer == b"[" + PRETTY + b"]"
    with pytest.raises(EncodeError, match=r"expected Raw, got bytes at \[0\]"):
        encode([b"1"], type=list[Raw])
    model = pydantic.create_model("Model", any=(Any, ...))
    assert encode(model(any=raw), type=model) == b'{"any":' + PRETTY + b"}"


def test_indent_lays_it_out_too() -> None:
    raw = Raw(PRETTY)
    expected = stdlib.dumps([stdlib.loads(PRETTY), []], indent=2, ensure_ascii=False).encode()
    assert encode([raw, []], indent=2) == expected
    assert encode([raw, []], type=list[Any], indent=2) == expected
    assert encode(Raw(b" [ ] "), indent=2) == b"[]"


def test_its_line_breaks_end_no_line() -> None:
    items = [Raw(PRETTY), {"a": Raw(b"[\n1\n]")}, 3]
    for lines in (encode_lines(items), Encoder(Any).encode_lines(items)):
        assert lines.count(b"\n") == 3
        assert b"\r" not in lines
        assert decode_lines(lines) == [stdlib.loads(PRETTY), {"a": [1]}, 3]


def test_it_is_no_key() -> None:
    for raw in (Raw(b' {"a": 1}'), Raw(b'"a"')):
        with pytest.raises(EncodeError, match=r"keys of type weft\.json\.Raw"):
            encode({raw: 1})
        with pytest.raises(EncodeError, match=r"keys of type weft\.json\.Raw"):
            encode({raw: 1}, type=dict[Any, int])
    with pytest.raises(TypeError, match="keys of dict"):
        Decoder(dict[Raw, int])


# ---- read ----


@pytest.mark.parametrize("text", [b"1", b"-1.50e3", b'"\\u00e9"', b"null", b"[ 1 ,2]", PRETTY])
def test_it_keeps_a_value_undecoded(text: bytes) -> None:
    document = b'{"kind": "k", "payload": ' + text + b" }"
    event = decode(document, type=Event)
    assert type(event.payload) is Raw
    assert bytes(event.payload) == text
    assert event.more is None
    assert decode(event.payload) == stdlib.loads(text)
    assert encode(event, type=Event) == b'{"kind":"k","payload":' + text + b',"more":null}'
    assert decode(b" " + text + b"\n", type=Raw) == Raw(text)
    assert decode(document.decode(), type=Data).payload == Raw(text)
    read = decode(b'{"rest":{"x": %b }, "items":[ %b,0]}' % (text, text), type=Dict)
    assert read == {"rest": {"x": Raw(text)}, "items": [Raw(text), Raw(b"0")]}
    assert decode(b"[%b,1]" % text, type=Tuple) == Tuple(Raw(text), 1)


def test_it_copies_its_part() -> None:
    document = b'{"kind":"k","payload":[1],"x":"' + b"x" * 1000 + b'"}'
    assert len(memoryview(decode(document, type=Event).payload).obj) == 3


def test_it_takes_what_no_other_member_does() -> None:
    assert decode(b"null", type=Raw | None) is None
    assert decode(b"[null, 1, 2.5, {}]", type=list[int | Raw | None]) == [
        None,
        1,
        Raw(b"2.5"),
        Raw(b"{}"),
    ]
    loose = Decoder(list[int | Raw], strict=False)
    assert loose.decode(b'["1", "x", true]') == [1, Raw(b'"x"'), Raw(b"true")]
    with pytest.raises(TypeError, match="Raw and Raw may be any JSON"):
        Decoder(Raw | msgspec.Raw)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b'{"kind":"k","payload":[1,]}', "payload"),
        (b'{"kind":"k","payload":{"a" 1}}', "payload"),
        (b'{"kind":"k","payload":"\xff"}', "payload"),
        (b'{"kind":"k","payload":' + b"[" * 512, "payload"),
        (b'{"kind":"k","payload":', "payload"),
        (b'{"kind":"k"}', "payload"),
    ],
)
def test_what_it_passes_over_is_checked(text: bytes, path: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(text, type=Event)
    assert caught.value.path in (path, "")


def test_its_schema_is_anything() -> None:
    schema = weft.shape(Data).json_schema()
    assert schema["properties"]["payload"].items() <= {"default": {}, "title": "Payload"}.items()
    assert "payload: Raw: native" in weft.shape(Data).explain()


# ---- msgspec's ----


class Foreign(msgspec.Struct):
    payload: msgspec.Raw
    more: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def test_that_of_msgspec_is_read_and_written() -> None:
    document = b'{"payload": [1, {"a":2}] , "more":3}'
    ours, theirs = decode(document, type=Foreign), msgspec.json.decode(document, type=Foreign)
    assert type(ours.payload) is msgspec.Raw
    assert (bytes(ours.payload), bytes(ours.more)) == (  # type: ignore[arg-type]
        bytes(theirs.payload),
        bytes(theirs.more),  # type: ignore[arg-type]
    )
    assert encode(ours, type=Foreign) == msgspec.json.encode(theirs)
    assert encode(ours) == b'{"payload":[1, {"a":2}],"more":3}'
    assert encode([msgspec.Raw("é1"[1:])]) == b"[1]"
    assert encode([msgspec.Raw(b"1")], type=list[Any]) == b"[1]"


def test_one_of_msgspec_that_is_no_json_is_not_written() -> None:
    for data in (b"", b"[", b"1 2"):
        raw = msgspec.Raw(data)
        for call in (
            lambda raw: encode([raw]),
            lambda raw: encode([raw], type=list[msgspec.Raw]),
            lambda raw: encode([raw], type=list[Any]),
        ):
            with pytest.raises(EncodeError, match=r"msgspec\.Raw that is not JSON") as caught:
                call(raw)
            assert caught.value.path == "[0]"


# ---- elsewhere ----


def test_bson_has_none() -> None:
    for obj, kind in (({"a": Raw(b"1")}, None), ({"payload": Raw(b"1")}, Dict)):
        with pytest.raises(bson.EncodeError, match=r"objects of type weft\.json\.Raw"):
            bson.encode(obj, type=kind) if kind is not None else bson.encode(obj)
    document = bson.encode({"payload": 1, "id": 2})
    with pytest.raises(bson.DecodeError, match="expected Raw"):
        bson.decode(document, type=Data)
    with pytest.raises((bson.DecodeError, TypeError), match="Raw"):
        bson.to_json(document, type=Data)


def test_replies_with_it() -> None:
    app = weft.App()

    @app.get("/bare")
    def bare() -> Any:
        return Raw(PRETTY)

    @app.get("/inside")
    def inside() -> Any:
        return {"cached": Raw(PRETTY)}

    @app.get("/typed")
    def typed() -> Event:
        return Event("k", Raw(PRETTY))

    @app.get("/any")
    def mapping() -> dict[str, Any]:
        return {"cached": Raw(PRETTY)}

    @app.get("/lines")
    def lines() -> Iterator[Any]:
        yield Raw(PRETTY)
        yield {"a": Raw(b"[\n]")}

    @app.get("/events")
    def typed_lines() -> Iterator[Event]:
        yield Event("k", Raw(PRETTY))

    @app.post("/echo")
    def echo(event: Event) -> Raw:
        return event.payload

    with TestClient(app) as client:
        assert client.get("/bare").content == PRETTY
        assert client.get("/bare").headers["content-type"] == "application/json"
        assert client.get("/inside").content == b'{"cached":' + PRETTY + b"}"
        assert client.get("/any").content == b'{"cached":' + PRETTY + b"}"
        typed_json = b'{"kind":"k","payload":' + PRETTY + b',"more":null}'
        assert client.get("/typed").content == typed_json
        content = client.get("/lines").content
        assert decode_lines(content) == [stdlib.loads(PRETTY), {"a": []}]
        assert decode_lines(client.get("/events").content) == [stdlib.loads(typed_json)]
        body = b'{"kind":"k","payload": ' + PRETTY + b"}"
        echoed = client.post("/echo", content=body, headers={"content-type": "application/json"})
        assert (echoed.status_code, echoed.content) == (200, PRETTY)


# ---- memory ----


def test_nothing_leaks() -> None:
    decoder, encoder = Decoder(list[Event]), Encoder(list[Event])
    document = b'[{"kind":"k","payload":[1,{"a":2.5}],"more":"x"}]'

    def run() -> None:
        value = decoder.decode(document)
        encoder.encode(value)
        encode(value)
        encode_lines(value)
        for broken in (document[:30], document[:20] + b"]", b"[{}]"):
            with pytest.raises(DecodeError):
                decoder.decode(broken)
        for wrong in (b"[", "\ud800"):
            with pytest.raises(DecodeError):
                Raw(wrong)
        with pytest.raises(EncodeError):
            encode([msgspec.Raw(b"[")])
        with pytest.raises(EncodeError):
            encode({Raw(b"1"): 1})
        hash(Raw(memoryview(b"[1]"))), repr(Raw(b"1")), pickle.dumps(Raw(b"1"))

    assert_no_leak(run)


def test_without_memory_it_is_a_memory_error() -> None:
    value = [Event("k", Raw(b"[" + b"1," * 2000 + b"1]")) for _ in range(10)]
    encoder, decoder = Encoder(list[Event]), Decoder(list[Event])
    document = encoder.encode(value)
    for nth in range(1, 8):
        for call in (
            lambda: encoder.encode(value),
            lambda: decoder.decode(document),
            lambda: decoder.decode(bytearray(document)),
            lambda: encode(value),
        ):
            _core._alloc_fail_from(nth)
            try:
                call()
            except MemoryError:
                pass
            finally:
                _core._alloc_fail_from(0)
    assert decoder.decode(document) == value
