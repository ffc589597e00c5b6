"""weft.json against the standard library and FastAPI's jsonable_encoder; bad input of all kinds."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import gc
import ipaddress
import itertools
import json
import math
import os
import pathlib
import pickle
import re
import subprocess
import sys
import threading
import typing
import uuid
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import weft._core as core
from tests.examples import some
from weft.json import DecodeError, EncodeError, decode, encode

CASES = pathlib.Path(__file__).parent.parent / "src/wire/json/cases/json.txt"


def stdlib_encode(obj: Any) -> bytes:
    text = json.dumps(obj, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


# ---- documents ----


def expand(text: str) -> bytes:
    """Undoes the notation of cases/json.txt, described at its head."""

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        if match[2]:
            return pattern.sub(replace, match[3]) * int(match[2])
        return match[4]

    pattern = re.compile(r"\\x(..)|\{(\d+)\*([^}]*)\}|\\(.)", re.DOTALL)
    return pattern.sub(replace, text).encode("latin-1")


def cases(mark: str) -> list[str]:
    return [line for line in CASES.read_text().splitlines() if line.startswith(mark + " ")]


@pytest.mark.parametrize("line", cases("y"))
def test_good_documents(line: str) -> None:
    doc = expand(line[2:])
    depth = sys.getrecursionlimit()
    sys.setrecursionlimit(5000)
    try:
        expected = json.loads(doc)
        assert repr(decode(doc)) == repr(expected)  # repr: 1 is not 1.0 is not True
        assert repr(decode(doc.decode())) == repr(expected)
    finally:
        sys.setrecursionlimit(depth)


@pytest.mark.parametrize("line", cases("n"))
def test_bad_documents(line: str) -> None:
    _, name, at, notation = line.split(" ", 3)
    doc = expand(notation)
    with pytest.raises(DecodeError) as caught:
        decode(doc)
    error = caught.value
    assert error.pos == int(at)
    assert error.doc is doc
    before = doc[: error.pos].decode(errors="replace")
    assert error.lineno == before.count("\n") + 1
    assert error.colno == len(before) - (before.rfind("\n") + 1) + 1
    assert str(error) == (
        f"{error.msg}: line {error.lineno} column {error.colno} (char {error.pos})"
    )
    if name == "UTF8" or "\\xff" in notation:
        return
    with pytest.raises(DecodeError) as caught:
        decode(doc.decode())
    assert caught.value.pos == len(before)
    assert (caught.value.lineno, caught.value.colno) == (error.lineno, error.colno)


def test_error_position_in_text() -> None:
    with pytest.raises(DecodeError) as caught:
        decode('{"é": 1,\n "漢": x}')
    error = caught.value
    assert (error.pos, error.lineno, error.colno) == (15, 2, 7)
    assert error.doc[error.pos] == "x"


def test_error_survives_pickling() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(b"[1,]")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert (copy.msg, copy.pos, copy.lineno, copy.colno) == ("expected a value", 3, 1, 4)


@pytest.mark.parametrize(
    "doc", [b"[\xff", b'{"a":1,"b":[1,2,{"c":"\\u00e9 and more"}]}  ', '["é\\n", "😀"]'.encode()]
)
def test_every_truncation_is_refused(doc: bytes) -> None:
    for n in range(len(doc.rstrip())):
        with pytest.raises(DecodeError):
            decode(doc[:n])


def test_input_types() -> None:
    assert decode(b"[1]") == decode("[1]") == decode(bytearray(b"[1]")) == [1]
    assert decode(memoryview(b"x[1]x")[1:-1]) == [1]
    with pytest.raises(TypeError, match="must be bytes, a buffer or str, not int"):
        decode(1)  # type: ignore[arg-type]
    with pytest.raises((TypeError, BufferError)):
        decode(memoryview(b"[1, 2]")[::2])
    with pytest.raises(TypeError):
        decode()  # type: ignore[call-arg]


def test_byte_order_mark_is_for_bytes_only() -> None:
    assert decode(b"\xef\xbb\xbf[1]") == json.loads(b"\xef\xbb\xbf[1]")
    with pytest.raises(DecodeError):
        decode("\ufeff[1]")
    with pytest.raises(DecodeError) as caught:
        decode(b"\xef\xbb\xbf[x]")
    assert caught.value.pos == 4


def test_other_encodings_are_refused() -> None:
    for encoding in ("utf-16", "utf-16-le", "utf-32-be"):
        with pytest.raises(DecodeError):
            decode("[1]".encode(encoding))


def test_lone_surrogate_in_a_str() -> None:
    with pytest.raises(DecodeError, match="unpaired surrogate") as caught:
        decode('["é\ud800"]')
    assert caught.value.pos == 3


def test_strings_have_the_smallest_kind() -> None:
    # a str that is wider than it must be compares and hashes wrongly
    for text in ("a", "é", "ÿ" * 20, "Ā", "\uffff" * 17, "😀", "a" * 40 + "😀", ""):
        for doc in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
            value = decode(doc.encode())
            assert value == text
            assert hash(value) == hash(text)
            assert sys.getsizeof(value) == sys.getsizeof("".join(list(text)))
            assert decode(f"{{{doc}:1}}".encode()) == {text: 1}


def test_integer_digits_are_limited_as_in_python() -> None:
    doc = b"[" + b"9" * 5000 + b"]"
    with pytest.raises(DecodeError, match="get_int_max_str_digits") as caught:
        decode(doc)
    assert caught.value.pos == 1
    assert isinstance(caught.value.__cause__, ValueError)
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        assert decode(doc) == [10**5000 - 1]
        assert encode(10**5000) == b"1" + b"0" * 5000
    finally:
        sys.set_int_max_str_digits(limit)


def test_keys_are_shared() -> None:
    first, second = decode(b'[{"some_key":1},{"some_key":2}]')
    assert next(iter(first)) is next(iter(second))


def test_many_keys_pass_through_the_cache() -> None:
    obj = {f"key{i}": i for i in range(20_000)} | {"k" * n: n for n in range(100)}
    for _ in range(2):
        assert decode(json.dumps(obj)) == obj


@pytest.mark.parametrize("opener", [b"[", b'{"a":', b'[{"a":'])
def test_depth_bomb(opener: bytes) -> None:
    with pytest.raises(DecodeError, match="nested too deeply"):
        decode(opener * 100_000)


def test_size_bombs() -> None:
    assert decode(b"[" + b"1," * 300_000 + b"1]") == [1] * 300_001
    assert decode(b"[" + b"[]," * 100_000 + b"{}]")[-2:] == [[], {}]
    assert decode(b'"' + b"\\u0000" * 100_000 + b'"') == "\0" * 100_000
    assert decode(b"1e" + b"0" * 100_000 + b"1") == 10.0
    assert decode(b"0." + b"0" * 100_000 + b"1") == 0.0


def test_deep_document_on_a_small_stack() -> None:
    results: list[Any] = []
    threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(
            target=lambda: results.append(encode(decode(b"[" * 512 + b"]" * 512)))
        )
        thread.start()
        thread.join()
    finally:
        threading.stack_size(0)
    assert results == [b"[" * 512 + b"]" * 512]


# ---- differential ----

texts = st.text(st.characters(exclude_categories=("Cs",)))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner) | st.tuples(inner, inner),
    max_leaves=30,
)


@given(values)
def test_encodes_as_json_dumps(obj: Any) -> None:
    assert encode(obj) == stdlib_encode(obj)


@given(values, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_decodes_as_json_loads(obj: Any, ensure_ascii: bool, indent: int | str | None) -> None:
    doc = json.dumps(obj, ensure_ascii=ensure_ascii, indent=indent)
    expected = repr(json.loads(doc))
    assert repr(decode(doc)) == expected
    assert repr(decode(doc.encode())) == expected


def loads_strictly(doc: bytes) -> Any:
    """json.loads of UTF-8, without what it allows beyond RFC 8259."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    def number(text: str) -> float:
        if math.isinf(float(text)):
            raise ValueError(text)
        return float(text)

    value = json.loads(doc.decode("utf-8-sig"), parse_constant=refuse, parse_float=number)
    json.dumps(value, ensure_ascii=False).encode()  # no lone surrogates
    return value


tokens = [
    *(bytes([c]) for c in b'"\\[]{}:,. \n01-+eEaN\x00\xff'),
    *(b"u00 e9 u00e9 \\ud83d \\ude00 true false null NaN Infinity".split()),
    *(b'"a" "a": [] {} 1e400 12345678901234567890 0123456789abcdef'.split()),
    *("é \ufeff 漢".encode().split()),
    b"\xe2\x82",
]
fragments = st.lists(st.sampled_from(tokens), max_size=12).map(b"".join)


@settings(max_examples=some(1000))
@given(fragments)
def test_agrees_with_json_loads_on_what_is_json(doc: bytes) -> None:
    try:
        expected = loads_strictly(doc)
    except ValueError:
        with pytest.raises(DecodeError) as caught:
            decode(doc)
        assert 0 <= caught.value.pos <= len(doc)
    else:
        assert repr(decode(doc)) == repr(expected)


@settings(max_examples=some(1000))
@given(fragments)
@example(b"[NaN,Infinity,-Infinity,1e999,-1e999]")
@example(rb'["\ud800","\udfff\ud800","\ud83d\ude00","\ud800\u0041"]')
@example(b"-Inf")
@example(b"Na")
@example(b'{"\\ud800":1}')
def test_loads_takes_what_json_loads_takes(doc: bytes) -> None:
    try:
        text = doc.decode("utf-8-sig")  # json.loads reads other encodings too
    except ValueError:
        return
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(DecodeError):
            core._json_loads(doc)
    else:
        assert repr(core._json_loads(doc)) == repr(expected)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_exact_both_ways(x: float) -> None:
    assert encode(x) == repr(x).encode()
    assert math.copysign(1, decode(encode(x))) == math.copysign(1, x)
    assert decode(encode(x)) == x


# ---- encoding ----


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Tag(str, enum.Enum):  # noqa: UP042 (what older code has)
    A = "a"


class Point(typing.NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Plain:
    kind: typing.ClassVar[str] = "not a field"
    a: int
    seed: dataclasses.InitVar[int]
    _b: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    p: Point
    when: datetime.date = datetime.date(2024, 2, 29)


class Derived(Plain):
    pass


class Text(str):
    def __str__(self) -> str:
        return "not this"


class Number(int):
    def __repr__(self) -> str:
        return "not this"


class Real(float):
    def __repr__(self) -> str:
        return "not this"


class Items(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        return [("from", "items")]


class Reversed(list):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[Any]:
        return reversed(self)


def moved() -> collections.OrderedDict[str, int]:
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    return ordered


UTC = datetime.UTC
INDIA = datetime.timezone(datetime.timedelta(hours=5, minutes=30))

FASTAPI_VALUES: list[Callable[[], Any]] = [
    lambda: Color.RED,
    lambda: [Level.HIGH, Tag.A],
    lambda: Point(1, 2),
    lambda: Plain(1, 2, Point(3, 4)),
    lambda: Derived(1, 2),
    lambda: Slotted(Point(1, 2)),
    lambda: {"nested": [Slotted(Point(1, 2)), {"deeper": Plain(1, 2, Color.RED)}]},
    lambda: {Text("k"): Text("v")},
    lambda: Number(7),
    lambda: Real(1.5),
    lambda: collections.defaultdict(list, a=[1]),
    lambda: collections.Counter("aab"),
    moved,
    lambda: Reversed([1, 2, 3]),
    lambda: {1},
    lambda: frozenset(["x"]),
    lambda: set(),
    lambda: collections.deque([1, "a"]),
    lambda: (x * x for x in range(4)),
    lambda: (x for x in ()),
    lambda: b"caf\xc3\xa9",
    lambda: datetime.datetime(2024, 2, 29, 1, 2, 3),
    lambda: datetime.datetime(2024, 2, 29, 1, 2, 3, 45),
    lambda: datetime.datetime(1, 1, 1),
    lambda: datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
    lambda: datetime.datetime(2024, 2, 29, tzinfo=INDIA),
    lambda: datetime.datetime(2024, 2, 29, 1, fold=1),
    lambda: datetime.date(2024, 2, 29),
    lambda: datetime.time(1, 2, 3),
    lambda: datetime.time(1, 2, 3, 400000, UTC),
    lambda: datetime.time(1, 2, tzinfo=INDIA),
    lambda: datetime.timedelta(days=1, microseconds=1),
    lambda: datetime.timedelta(seconds=-1),
    lambda: uuid.UUID(int=0x1234),
    lambda: decimal.Decimal("1.10"),
    lambda: decimal.Decimal("7"),
    lambda: decimal.Decimal("1E+3"),
    lambda: decimal.Decimal("-0"),
    lambda: pathlib.Path("/a/b"),
    lambda: pathlib.PureWindowsPath("c:/x"),
    lambda: ipaddress.ip_address("::1"),
    lambda: ipaddress.ip_network("10.0.0.0/8"),
    lambda: ipaddress.ip_interface("10.0.0.1/8"),
    lambda: re.compile("a+"),
    lambda: {0: "int", 1.5: "float", True: "bool", None: "none"},
    lambda: {Color.RED: 1, Level.HIGH: 2, uuid.UUID(int=1): 3, datetime.date(2024, 1, 1): 4},
    lambda: {decimal.Decimal("1.5"): 1, pathlib.PurePosixPath("/x"): 2, b"bytes": 3, 2**70: 4},
]


@pytest.mark.parametrize("make", FASTAPI_VALUES)
def test_encodes_as_fastapi(make: Callable[[], Any]) -> None:
    encoders = pytest.importorskip("fastapi.encoders")
    assert encode(make()) == stdlib_encode(encoders.jsonable_encoder(make()))
    # and in a container, twice: the second time by the rule that was kept
    assert encode([make(), make()]) == b"[%b,%b]" % (encode(make()), encode(make()))


def test_items_are_what_the_class_says() -> None:
    assert encode(Items(a=1)) == stdlib_encode(Items(a=1)) == b'{"from":"items"}'


def test_pydantic_models_encode_as_fastapi() -> None:
    pydantic = pytest.importorskip("pydantic")
    encoders = pytest.importorskip("fastapi.encoders")

    class Inner(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        at: datetime.datetime
        amount: decimal.Decimal

    class Outer(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        id_: int = pydantic.Field(alias="id")
        inner: list[Inner]
        url: pydantic.AnyUrl
        secret: pydantic.SecretStr

    outer = Outer(
        id=1,
        inner=[Inner(at=datetime.datetime(2024, 1, 1, tzinfo=UTC), amount="1.50")],
        url="http://example.com/x",
        secret="shh",
    )
    for obj in (outer, {"m": [outer]}, outer.url, outer.secret, pydantic.RootModel[list[int]]([1])):
        assert encode(obj) == stdlib_encode(encoders.jsonable_encoder(obj))


def test_structs_and_attrs() -> None:
    msgspec = pytest.importorskip("msgspec")

    class S(msgspec.Struct, rename="camel", tag=True):  # type: ignore[misc,name-defined]
        some_field: int
        at: datetime.date

    struct = S(1, datetime.date(2024, 1, 1))
    assert encode([struct]) == b"[%b]" % msgspec.json.encode(struct)

    class Attribute:
        def __init__(self, name: str) -> None:
            self.name = name

    class Attrs:
        __slots__ = ("x", "y")
        __attrs_attrs__ = (Attribute("x"), Attribute("y"))

    attrs = Attrs()
    attrs.x, attrs.y = 1, [2]  # type: ignore[attr-defined]
    assert encode(attrs) == b'{"x":1,"y":[2]}'


class Opaque:
    pass


def test_default_is_called_for_other_types() -> None:
    calls: list[Any] = []

    def default(obj: Any) -> Any:
        calls.append(obj)
        return {"type": type(obj).__name__}

    obj = Opaque()
    assert encode([obj, 1, {"a": obj}], default=default) == (
        b'[{"type":"Opaque"},1,{"a":{"type":"Opaque"}}]'
    )
    assert calls == [obj, obj]
    assert encode(1 + 2j, default=str) == b'"(1+2j)"'
    assert encode([], default=None) == b"[]"
    with pytest.raises(EncodeError, match="objects of type Opaque have no JSON form"):
        encode(obj)
    with pytest.raises(EncodeError, match="keys of type Opaque have no JSON form"):
        encode({obj: 1}, default=default)


def test_default_that_never_ends() -> None:
    with pytest.raises(EncodeError, match="512"):
        encode(Opaque(), default=lambda obj: obj)
    with pytest.raises(EncodeError, match="512"):
        encode(Opaque(), default=lambda obj: [obj])


def test_encoders_nested_in_encoders_end() -> None:
    def default(obj: Any) -> Any:
        inner: Any = Opaque()
        for _ in range(400):
            inner = [inner]
        return encode(inner, default=default)

    with pytest.raises((EncodeError, RecursionError)):
        encode(Opaque(), default=default)


def test_levels_counted_against_the_recursion_limit_are_given_back() -> None:
    fits: Any = None
    fails: Any = Opaque()
    for _ in range(400):
        fits, fails = [fits], {"a": fails}
    for _ in range(1000):  # of which each would leave dozens behind
        assert encode(fits) == b"[" * 400 + b"null" + b"]" * 400
        with pytest.raises(EncodeError, match="no JSON form"):
            encode(fails)


def test_an_empty_container_is_a_level_too() -> None:
    for empty in ([], {}, ()):
        nested: Any = empty
        for _ in range(511):
            nested = [nested]
        assert encode(nested).startswith(b"[" * 511)
        with pytest.raises(EncodeError, match="nested more than 512 deep"):
            encode([nested])


@pytest.mark.parametrize("n", [20_000, 30_000, 200_000])
def test_long_json_is_whole_with_or_without_room_left(n: int) -> None:
    for obj in (list(range(n)), "x" * n):
        assert encode(obj) == json.dumps(obj, separators=(",", ":")).encode()


def test_arguments_of_encode() -> None:
    for call in (
        lambda: encode(),  # type: ignore[call-arg]
        lambda: encode(1, str),  # type: ignore[call-arg,misc]
        lambda: encode(1, fallback=str),  # type: ignore[call-arg]
    ):
        with pytest.raises(TypeError):
            call()


RecursiveList: list[Any] = []
RecursiveList.append(RecursiveList)
RecursiveDict: dict[str, Any] = {}
RecursiveDict["self"] = [RecursiveDict]


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (float("nan"), "nan has no JSON form"),
        ([float("inf")], "inf has no JSON form"),
        (Real("-inf"), "-inf has no JSON form"),
        (decimal.Decimal("NaN"), "nan has no JSON form"),
        ({float("nan"): 1}, "nan has no JSON form"),
        ("ab\ud800", r"lone surrogate U\+D800 at index 2"),
        ("\udfff😀", r"lone surrogate U\+DFFF at index 0"),
        ({"\udc00": 1}, r"lone surrogate U\+DC00"),
        (b"\xff", "bytes that are not UTF-8"),
        (10**5000, "get_int_max_str_digits"),
        ({(1, 2): 3}, "keys of type tuple have no JSON form"),
        ({frozenset([1]): 3}, "keys of type frozenset have no JSON form"),
        ({Opaque: 3}, "keys of type type have no JSON form"),
        (Plain, "objects of type type have no JSON form"),
        (bytearray(b"x"), "objects of type bytearray have no JSON form"),
        (range(3), "objects of type range have no JSON form"),
        (NotImplemented, "objects of type NotImplementedType"),
        (RecursiveList, "nested more than 512 deep, or in itself"),
        (RecursiveDict, "nested more than 512 deep, or in itself"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() else "object",
)
def test_what_has_no_json_form(obj: Any, message: str) -> None:
    with pytest.raises(EncodeError, match=message) as caught:
        encode(obj)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


def test_a_failure_deep_inside_writes_nothing_behind_the_buffer() -> None:
    # Each level used to write a comma on its way out; 32 bytes are free behind what was written.
    # The debug allocator ends a process that has written behind what it was given.
    program = """if True:
        from weft.json import EncodeError, encode
        obj = object()
        for _ in range(500):
            obj = {"a": obj}
        for n in range(0, 4096, 13):
            try:
                encode(["x" * n, obj])
            except EncodeError:
                pass
    """
    debug = {**os.environ, "PYTHONMALLOC": "debug"}
    subprocess.run([sys.executable, "-c", program], env=debug, check=True)


def test_depth_that_is_allowed() -> None:
    def nested(n: int) -> Any:
        obj: Any = 1
        for _ in range(n):
            obj = [obj]
        return obj

    assert encode(nested(512)) == b"[" * 512 + b"1" + b"]" * 512
    with pytest.raises(EncodeError):
        encode(nested(513))
    assert encode(nested(512)) == b"[" * 512 + b"1" + b"]" * 512  # the count was given back


@pytest.mark.parametrize("length", [*range(40), 1000, 1015, 1024, 5000])
@pytest.mark.parametrize("char", ["a", '"', "\x01", "é", "漢", "😀"])
def test_text_of_every_length(length: int, char: str) -> None:
    for text in (char * length, "a" * length + char, char + "a" * length):
        assert encode(text) == stdlib_encode(text)
        assert decode(encode({text: text})) == {text: text}


def test_text_whose_utf8_is_kept_by_python() -> None:
    text = "caché ÿ"
    exec(compile(f"x = {text!r}", "<test>", "exec"))
    core.json_encode(text)
    assert encode(text) == stdlib_encode(text)


# ---- what changes while it is encoded ----


def test_list_emptied_by_default() -> None:
    items: list[Any] = [Opaque(), "never seen"]

    def default(obj: Any) -> Any:
        items.clear()
        gc.collect()
        return 1

    assert encode(items, default=default) == b"[1]"


def test_list_grown_by_default() -> None:
    items: list[Any] = [Opaque()]

    def default(obj: Any) -> Any:
        if len(items) < 100:
            items.extend([Opaque()] * 50)
        return 1

    assert encode(items, default=default) == b"[" + b"1," * (len(items) - 1) + b"1]"


@pytest.mark.parametrize("change", ["clear", "grow"])
def test_dict_changed_by_default(change: str) -> None:
    members: dict[Any, Any] = {"a": Opaque(), "b": "x" * 100}

    def default(obj: Any) -> Any:
        if change == "clear":
            members.clear()
        else:
            members.update((str(i), i) for i in range(1000))
        gc.collect()
        return 1

    with pytest.raises(EncodeError, match="changed its size"):
        encode(members, default=default)


def test_key_that_frees_its_own_dict_entry() -> None:
    class Key(enum.Enum):
        K = 1

        @property
        def value(self) -> Any:  # type: ignore[override]
            members.clear()
            gc.collect()
            return "k"

    members: dict[Any, Any] = {Key.K: ["a list"]}
    with pytest.raises(EncodeError, match="changed its size"):
        encode(members)


class Boom(BaseException):
    pass


def boom(*args: Any) -> Any:
    raise Boom


def booming_generator() -> Iterator[int]:
    yield 1
    raise Boom


class BoomEnum(enum.Enum):
    A = 1
    value = property(boom)  # type: ignore[assignment]


class BoomPath(pathlib.PurePosixPath):
    __str__ = boom


class BoomDate(datetime.date):
    isoformat = boom


class BoomDict(dict):  # type: ignore[type-arg]
    items = boom


class BoomList(list):  # type: ignore[type-arg]
    __iter__ = boom


@pytest.mark.parametrize(
    "make",
    [
        booming_generator,
        lambda: [BoomEnum.A],
        lambda: {BoomEnum.A: 1},
        lambda: BoomPath("/"),
        lambda: BoomDate(2024, 1, 1),
        lambda: BoomDict(a=1),
        lambda: BoomList(),
        lambda: [[{"a": booming_generator()}]],
    ],
)
def test_what_python_code_raises_comes_out(make: Callable[[], Any]) -> None:
    with pytest.raises(Boom):
        encode(make())


def test_default_that_raises() -> None:
    with pytest.raises(Boom):
        encode({"a": [Opaque()]}, default=boom)


def test_field_that_is_missing() -> None:
    obj = Plain(1, 2)
    del obj.a
    with pytest.raises(EncodeError, match="Plain has no a"):
        encode(obj)


def test_class_changed_after_its_rule_was_kept() -> None:
    class Late:
        __attrs_attrs__: tuple[Any, ...] = ()
        x = 1

    assert encode(Late()) == b"{}"
    Late.__attrs_attrs__ = (type("Attribute", (), {"name": "x"}),)
    assert encode(Late()) == b'{"x":1}'


def test_classes_come_and_go() -> None:
    for i in range(300):
        cls = dataclasses.make_dataclass(f"C{i}", [(f"f{i}", int)])
        assert encode(cls(i)) == b'{"f%d":%d}' % (i, i)


# ---- leaks ----


def test_no_path_leaks() -> None:
    docs = [expand(line.split(" ", 3)[3]) for line in cases("n")]
    docs = [doc for doc in docs if len(doc) < 5000]
    docs += [expand(line[2:]) for line in cases("y")]
    objects: list[Any] = [m() for m in FASTAPI_VALUES if not isinstance(m(), Generator)]
    objects += [float("nan"), "\ud800", [[{"a": Opaque()}]], {(1,): 1}, RecursiveList, 10**5000]
    makers = [booming_generator, lambda: [BoomEnum.A], lambda: {BoomEnum.A: 1}, lambda: BoomDict()]

    def attempt(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        with contextlib.suppress(DecodeError, EncodeError, Boom):
            function(*args, **kwargs)

    def everything(times: int) -> int:
        for _ in range(times):
            for doc in docs:
                attempt(decode, doc)
                attempt(decode, bytearray(doc))
                attempt(decode, doc.decode(errors="surrogateescape"))
            for obj in objects:
                attempt(encode, obj)
            for make in makers:
                attempt(encode, make())
            attempt(encode, Opaque(), default=lambda obj: [obj])
            attempt(encode, [Opaque()], default=boom)
        gc.collect()
        return sys.getallocatedblocks()

    # One block lost on one path is 60 in each batch. CPython's own caches grow in the first few.
    counts = [everything(60) for _ in range(5)]
    assert min(b - a for a, b in itertools.pairwise(counts)) < 50


def test_references_are_given_back() -> None:
    marker = Opaque()
    marker_list = ["x" * 50, marker]
    before = sys.getrefcount(marker), sys.getrefcount(marker_list), sys.getrefcount(None)
    for _ in range(1000):
        with pytest.raises(EncodeError):
            encode({"a": marker_list})
        encode({"a": marker_list}, default=lambda obj: None)
        decode(b"[null,null,{}]")
    after = sys.getrefcount(marker), sys.getrefcount(marker_list), sys.getrefcount(None)
    assert before[:2] == after[:2]
    assert abs(after[2] - before[2]) < 500


def test_our_allocations_may_fail() -> None:
    large = b"[" + b"1," * 1000 + b"1]"
    digits = b"1" * 3000
    for doc in (large, digits):
        failed = 0
        for nth in range(1, 10):
            core._alloc_fail_from(nth)
            try:
                decode(doc)
            except MemoryError:
                failed += 1
            finally:
                core._alloc_fail_from(0)
        assert failed > 0
        decode(doc)


def test_pythons_allocations_may_fail() -> None:
    testcapi = pytest.importorskip("_testcapi")
    doc = b'{"a":[1.5,"text","\\u00e9",[],{},123456789012345678901234567890],"b":null}'
    obj = decode(doc)
    wide = ["é" * 3000, "x" * 3000, 10**30, {1.5: b"x"}, Plain(1, 2), decimal.Decimal("1.5")]
    expected = encode(wide)
    actions: list[tuple[Callable[[], Any], Any]] = [
        (lambda: decode(doc), obj),
        (lambda: decode(bytearray(doc)), obj),
        (lambda: encode(wide), expected),
    ]
    for action, result in actions:
        for start in range(60):
            got = None
            testcapi.set_nomemory(start, start + 1)
            try:
                got = action()
            except MemoryError:
                pass
            finally:
                testcapi.remove_mem_hooks()
            assert got is None or got == result
        assert action() == result


@pytest.mark.parametrize("sign", ["", "-"])
def test_whole_numbers_of_any_length_end_where_the_input_does(sign: str) -> None:
    """Behind a part of bytes there are more digits, which are not read."""
    digits = "1234567890987654321012345678909876543210"
    for n in range(1, len(digits) + 1):
        text = sign + digits[:n]
        for behind in ("", " ", ",1", ".5", "e1"):
            document = f"[{text}{behind}]".encode()
            part = memoryview(document + b"9" * 24)[: len(document)]
            assert decode(document) == decode(part) == json.loads(document)
        alone = memoryview(text.encode() + b"9" * 24)[: len(text)]
        assert decode(alone) == decode(alone, type=int) == int(text)
