"""Every kind of bad input, to every decoder and encoder.

An exception of a documented class that says where, and nothing else."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pydantic
import pytest

from weft import bson, json


class Struct(msgspec.Struct):
    a: Any = None
    n: Struct | None = None
    many: list[Struct] = []


@dataclasses.dataclass
class Data:
    a: Any = None
    n: Data | None = None
    many: list[Data] = dataclasses.field(default_factory=list)


class Model(pydantic.BaseModel):
    a: Any = None
    n: Model | None = None
    many: list[Model] = []


TYPES: list[Any] = [Any, dict[str, Any], Struct, Data, Model, Struct | None]
GOOD = b'{"a":{"x":[1,-2.5e3,"\xc3\xa9\\u00e9",true,null]},"n":{"a":"s"},"many":[{"a":1},{}]}'


def says_where(exc: Exception, data: bytes) -> bool:
    if isinstance(exc, pydantic.ValidationError):
        return all("loc" in error for error in exc.errors(include_url=False))
    assert isinstance(exc, json.DecodeError | bson.DecodeError)
    if isinstance(exc, json.DecodeError):
        line = 1 + data[: exc.pos].count(b"\n")
        assert (exc.lineno, exc.colno >= 1, exc.path in exc.msg) == (line, True, True)
    return 0 <= exc.pos <= len(data) and isinstance(exc.path, str)


def refused(data: bytes, types: list[Any] = TYPES) -> None:
    """By every decoder, each of which says where."""
    for decode in (json.decode, *(json.Decoder(t).decode for t in types)):
        with pytest.raises((json.DecodeError, pydantic.ValidationError)) as info:
            decode(data)
        assert says_where(info.value, data)


def test_truncation_at_every_byte() -> None:
    assert json.decode(GOOD) == json.decode(GOOD, type=dict[str, Any])
    for n in range(len(GOOD)):
        refused(GOOD[:n])


@pytest.mark.parametrize(
    "inside",
    [
        b'"unterminated',
        b'"\\',
        b'"\\u12',
        b'"\\x"',
        b'"\x1f"',
        b'"\xff"',
        b'"\xc3"',
        b'"\xc0\x80"',
        b'"\xed\xa0\x80"',
        b'"\xf5\x80\x80\x80"',
        rb'"\ud800"',
        rb'"\udc00\ud800"',
        rb'"\ud800A"',
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"nan",
        b"1e999",
        b"-1e999999999999999999",
        b"9" * 4301,
        b"01",
        b"1.",
        b".5",
        b"1e",
        b"--1",
        b"0x1",
        b"[1,]",
        b'{"a":1,}',
        b"{1:2}",
        b"'a'",
        b"tru",
        b"\x00",
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_json_says_where(inside: bytes) -> None:
    as_python_reads_it = re.search(rb"[NI]|ud|e999", inside) is not None  # which pydantic judges
    types = [t for t in TYPES if t is not Model] if as_python_reads_it else TYPES
    for data in (inside, b'{"a":' + inside + b"}", b'{"many":[{},{"a":[\n1,' + inside + b"]}]}"):
        refused(data, types)


def test_the_path_to_it() -> None:
    for type_ in (Struct, Data):
        with pytest.raises(json.DecodeError) as info:
            json.decode(b'{"many":[{},\n{"n":{"many":[1]}}]}', type=type_)
        assert (info.value.path, info.value.lineno) == ("many[1].n.many[0]", 2)
    with pytest.raises(pydantic.ValidationError) as judged:
        json.decode(b'{"many":[{},{"n":{"many":[1]}}]}', type=Model)
    assert judged.value.errors()[0]["loc"] == ("many", 1, "n", "many", 0)


@pytest.mark.parametrize(
    "opener", [b"[", b'{"a":', b'{"n":', b'{"many":[', b'{"a":[', b'[{"x":', b'{"unknown":[{"z":']
)
def test_100_000_deep(opener: bytes) -> None:
    refused(opener * 100_000)
    closers = {b"[": b"]", b"{": b"}"}
    closing = b"".join(closers[bytes([c])] for c in reversed(opener) if c in b"[{")
    refused(opener * 100_000 + b"1" + closing * 100_000)


def test_the_last_of_equal_names_counts() -> None:
    data = b'{"a":1,"n":{"a":2},"a":3,"n":null,"a":4}'
    assert json.decode(data) == {"a": 4, "n": None}
    for type_ in (Struct, Data, Model):
        value = json.decode(data, type=type_)
        assert (value.a, value.n) == (4, None)
    twice = bytearray(bson.encode({"a": 1, "b": 2}))
    twice[twice.index(b"b\0")] = ord("a")
    assert bson.decode(bytes(twice)) == {"a": 2}
    for type_ in (Struct, Data, Model):
        assert bson.decode(bytes(twice), type=type_).a == 2


def test_names_that_push_each_other_out_of_caches() -> None:
    """The caches of names look at both ends and the length: these differ in the middle alone."""
    names = [f"12345678{i:08d}12345678" for i in range(20_000)]
    document = dict.fromkeys(names, 1)
    text, data = json.encode(document), bson.encode(document)
    started = time.process_time()
    for _ in range(3):
        assert json.decode(text) == bson.decode(data) == document
        for type_ in (Struct, Data, Model):
            json.decode(text, type=type_)
            bson.decode(data, type=type_)
    assert time.process_time() - started < 60  # it is a second, or hours


BSON = bson.encode({"a": {"x": [1, 2.5, "é", b"b", None]}, "n": {"a": "s"}, "many": [{"a": 1}, {}]})


def reads_or_refuses(data: bytes) -> None:
    """Whatever it is: a value, or an error that says where."""
    calls: list[Callable[[], Any]] = [
        lambda: bson.decode(data),
        lambda: bson.validate(data),
        lambda: bson.to_json(data),
        *(lambda t=t: bson.decode(data, type=t) for t in TYPES),  # type: ignore[misc]
        lambda: bson.to_json(data, type=Data),
    ]
    for call in calls:
        try:
            call()
        except (bson.DecodeError, pydantic.ValidationError) as exc:
            if not says_where(exc, data):
                raise
        except json.EncodeError:
            pass  # NaN, or bytes that are no text, on their way to JSON


def test_bson_cut_at_every_byte_is_refused() -> None:
    for n in range(len(BSON)):
        for cut in (BSON[:n], n.to_bytes(4, "little") + BSON[4:n] if n >= 4 else b""):
            with pytest.raises(bson.DecodeError):
                bson.decode(cut)
            for type_ in (Struct, Data):
                with pytest.raises(bson.DecodeError):
                    bson.decode(cut, type=type_)
            reads_or_refuses(cut)


def test_bson_whose_sizes_lie() -> None:
    lies = (0, 1, 4, 5, len(BSON), len(BSON) + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFB)
    for at in range(len(BSON) - 3):
        for lie in lies:
            reads_or_refuses(BSON[:at] + lie.to_bytes(4, "little") + BSON[at + 4 :])


def test_bson_100_000_deep() -> None:
    for type_byte in (b"\x03", b"\x04"):
        data = b"\x05\0\0\0\0"
        for _ in range(2000):
            data = (len(data) + 8).to_bytes(4, "little") + type_byte + b"a\0" + data + b"\0"
        # deeper, with sizes that only a reader of all levels would find wrong
        opened = b"\xff\xff\xff\x7f" + type_byte + b"n\0"
        for deep in (data, opened * 100_000, (100_000 * 7).to_bytes(4, "little") + opened * 99_999):
            with pytest.raises(bson.DecodeError):
                bson.decode(deep)
            reads_or_refuses(deep)
    with pytest.raises(ValueError, match="nested"):
        bson.from_json(b'{"a":' * 100_000)


class Ends(BaseException):
    pass


@pytest.mark.parametrize(
    "exc", [ValueError("x"), LookupError("x"), MemoryError(), Ends(), StopIteration()]
)
def test_code_that_raises_anything(exc: BaseException) -> None:
    @dataclasses.dataclass
    class Post:
        a: int

        def __post_init__(self) -> None:
            raise exc

    def validator(value: Any) -> Any:
        raise exc

    class Validated(pydantic.BaseModel):
        lines: list[Model]
        a: int

        check = pydantic.field_validator("a", mode="after")(validator)

    text, data = b'{"k":{"a":1}}', bson.encode({"k": {"a": 1}})
    refusal: Any = (json.DecodeError, bson.DecodeError)
    for decode in (
        lambda: json.decode(text, type=dict[str, Post]),
        lambda: bson.decode(data, type=dict[str, Post]),
    ):
        with pytest.raises(refusal if isinstance(exc, ValueError) else type(exc)) as info:
            decode()
        if isinstance(exc, ValueError):
            assert info.value.path == '["k"]'
        else:
            assert info.value is exc
    with pytest.raises(pydantic.ValidationError if isinstance(exc, ValueError) else type(exc)):
        json.decode(b'{"lines":[],"a":1}', type=Validated)


def test_structures_that_hold_themselves() -> None:
    within: list[Any] = []
    within.append({"a": within})
    for call in (
        lambda: json.encode(within, type=list[Any]),
        lambda: json.encode(Struct(a=within), type=Struct),
        lambda: json.encode(Data(a=within), type=Data),
    ):
        with pytest.raises(json.EncodeError) as info:
            call()
        assert info.value.path.count("a") > 10
    for call in (
        lambda: bson.encode({"a": within}),
        lambda: bson.encode(Data(a=within), type=Data),
    ):
        with pytest.raises(bson.EncodeError) as packed:
            call()
        assert packed.value.path.count("a") > 10
    with pytest.raises(json.EncodeError, match="nested more"):
        json.encode(within)
    for encode in (json.encode, bson.encode):
        with pytest.raises((ValueError, RecursionError)):
            encode(Model.model_construct(a=within), type=Model)
