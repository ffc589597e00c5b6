"""weft.bson beside PyMongo's bson: the same bytes, the same objects; and what neither takes."""

from __future__ import annotations

import collections
import contextlib
import datetime
import gc
import json
import re
import struct
import subprocess
import sys
import uuid
from pathlib import Path
from types import MappingProxyType
from typing import Any

import bson as pymongo_bson
import pytest
from bson import json_util
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import some
from weft import bson
from weft._core import _alloc_fail_from, _decimal128_read, _decimal128_write

CASES = Path(__file__).parent.parent / "src/wire/bson/cases/bson.txt"
UTC = datetime.UTC


def cases(kind: str) -> list[Any]:
    lines = CASES.read_text(encoding="utf-8").split("\n")
    rows = [(n, line.split("\t")) for n, line in enumerate(lines, 1) if line[:2] == kind + "\t"]
    assert len(rows) > 2
    return [pytest.param(*row[1:], id=f"line {n}") for n, row in rows if kind != "d"] or [
        pytest.param(row[1], row[2:], id=f"line {n}") for n, row in rows
    ]


def same(a: Any, b: Any) -> bool:
    """Equal, of the same types, and NaN is NaN."""
    return repr(a) == repr(b) and pymongo_bson.encode({"": a}) == pymongo_bson.encode({"": b})


# ---- the cases of wire/bson ----


@pytest.mark.parametrize(("data", "canonical", "relaxed"), cases("v"))
def test_a_document_is_what_pymongo_makes_of_it(data: str, canonical: str, relaxed: str) -> None:
    raw = bytes.fromhex(data)
    try:
        theirs = pymongo_bson.decode(raw)
    except BSONError:  # a date that datetime does not have
        with pytest.raises(bson.DecodeError, match="outside the years") as caught:
            bson.decode(raw)
        assert caught.value.pos == 7
    else:
        ours = bson.decode(raw)
        assert same(ours, theirs)
        assert bson.encode(ours) == pymongo_bson.encode(theirs)
    bson.validate(raw)
    assert bson.to_json(raw, canonical=True).decode() == canonical
    assert bson.to_json(raw).decode() == relaxed
    assert bson.from_json(canonical) == raw


@pytest.mark.parametrize(("error", "at", "data"), cases("e"))
def test_what_is_no_document_is_refused_by_all(error: str, at: str, data: str) -> None:
    raw = bytes.fromhex(data)
    for refuse in (bson.decode, bson.validate, bson.to_json):
        with pytest.raises(bson.DecodeError) as caught:
            refuse(raw)
        # of an invalid byte in text the decoder knows which it is
        assert caught.value.pos >= int(at) if error == "UTF8" else caught.value.pos == int(at)
    with pytest.raises(BSONError):
        pymongo_bson.decode(raw)


@pytest.mark.parametrize(("text", "canonical"), cases("r"))
def test_extended_json_is_read_as_pymongo_reads_it(text: str, canonical: str) -> None:
    raw = bson.from_json(text)
    assert bson.to_json(raw, canonical=True).decode() == canonical
    try:
        theirs = json_util.loads(text, json_options=json_util.CANONICAL_JSON_OPTIONS)
        expected = pymongo_bson.encode(theirs)
    except (TypeError, ValueError, OverflowError, AttributeError):
        return  # theirs is stricter with keys that are not its own, and has no int of 65 bits
    # what it makes objects of it cannot always write the same way: symbols, DBPointers, naive dates
    if "$dbPointer" not in text and "$symbol" not in text and "$regex" not in text:
        assert same(bson.decode(raw), pymongo_bson.decode(expected))


@pytest.mark.parametrize(("error", "at", "text"), cases("j"))
def test_what_is_no_extended_json_is_refused(error: str, at: str, text: str) -> None:
    with pytest.raises(bson.DecodeError) as caught:
        bson.from_json(text)
    assert caught.value.pos == int(at)


@pytest.mark.parametrize(("bits", "texts"), cases("d"))
def test_decimals_are_pymongos(bits: str, texts: list[str]) -> None:
    bid = bytes.fromhex(bits)
    theirs = pymongo_bson.Decimal128.from_bid(bid)
    assert _decimal128_write(bid) == str(theirs) == texts[0]
    for text in texts:
        assert _decimal128_read(text) == bid
        if len(text) < 20 and "999999" not in text:  # Decimal has a limit of its own
            assert pymongo_bson.Decimal128(text).bid == bid


@pytest.mark.parametrize(("error", "text"), cases("x"))
def test_decimals_are_exact_or_nothing(error: str, text: str) -> None:
    with pytest.raises(ValueError, match="decimal"):
        _decimal128_read(text)


@given(
    st.decimals(allow_nan=False, places=None)
    | st.builds(
        lambda sign, digits, exponent: f"{sign}{digits}E{exponent}",
        st.sampled_from(["", "-", "+"]),
        st.integers(0, 10**36),
        st.integers(-6250, 6200),
    )
)
@settings(max_examples=some(500), deadline=None)
def test_any_decimal_is_pymongos(value: Any) -> None:
    text = str(value)
    try:
        expected = pymongo_bson.Decimal128(text).bid
    except ArithmeticError:
        with pytest.raises(ValueError, match="decimal"):
            _decimal128_read(text)
    else:
        assert _decimal128_read(text) == expected
        assert _decimal128_write(expected) == str(pymongo_bson.Decimal128(text))


@given(st.binary(min_size=16, max_size=16))
@settings(max_examples=some(500), deadline=None)
def test_any_bits_are_the_decimal_pymongo_says(bid: bytes) -> None:
    high = int.from_bytes(bid[8:], "little")
    theirs = pymongo_bson.Decimal128.from_bid(bid)
    assert _decimal128_write(bid) == str(theirs), hex(high)


# ---- random documents ----

naive = st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30))
aware = st.datetimes(
    datetime.datetime(2, 1, 1),
    datetime.datetime(9998, 1, 1),
    timezones=st.sampled_from([UTC, datetime.timezone(datetime.timedelta(hours=5, seconds=-1))]),
)
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
text = st.text(st.characters(exclude_categories=["Cs"]))
patterns = keys.map(re.escape)
flags = st.sampled_from([0, re.I, re.M | re.S, re.X | re.I, re.U])
int64s = st.integers(-(2**63), 2**63 - 1)
scalars = (
    st.none()
    | st.booleans()
    | int64s
    | st.integers(-3, 3)
    | st.floats()
    | text
    | st.binary()
    | naive
    | aware
    | st.builds(pymongo_bson.Int64, int64s)
    | st.builds(pymongo_bson.ObjectId, st.binary(min_size=12, max_size=12))
    | st.builds(pymongo_bson.Binary, st.binary(), st.integers(0, 255))
    | st.builds(pymongo_bson.Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
    | st.builds(pymongo_bson.Regex, keys, flags)
    | st.builds(re.compile, patterns, flags)
    | st.builds(pymongo_bson.Decimal128, st.decimals(places=3, min_value=-(10**9), max_value=10**9))
    | st.builds(pymongo_bson.Code, text)
    | st.builds(pymongo_bson.MinKey)
    | st.builds(pymongo_bson.MaxKey)
    | st.builds(DatetimeMS, st.integers(-(2**55), 2**55))
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=12)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=6)
        | st.dictionaries(keys, inner, max_size=3).map(collections.OrderedDict)
        | st.dictionaries(keys, inner, max_size=3).map(MappingProxyType)
        | st.dictionaries(keys, inner, max_size=3).map(SON)
        | st.builds(pymongo_bson.Code, text, st.dictionaries(keys, inner, max_size=2))
        | st.builds(pymongo_bson.DBRef, keys, inner, st.none() | keys)
    ),
    max_leaves=20,
)
documents = st.dictionaries(keys | st.just("_id"), values, max_size=8)


@given(documents)
@settings(max_examples=some(600), deadline=None)
def test_any_document_has_pymongos_bytes_and_objects(document: dict[str, Any]) -> None:
    raw = pymongo_bson.encode(document)
    assert bson.encode(document) == raw
    bson.validate(raw)
    try:
        theirs = pymongo_bson.decode(raw)
    except (BSONError, TypeError):  # a DatetimeMS that is no datetime
        with pytest.raises(bson.DecodeError):
            bson.decode(raw)
    else:
        assert same(bson.decode(raw), theirs)
    canonical = bson.to_json(raw, canonical=True)
    json.loads(canonical)
    json.loads(bson.to_json(raw))
    if b'"$' not in canonical.translate(None, b"\\").replace(b'"$number', b""):
        assert bson.from_json(canonical) == raw


@given(documents)
@settings(max_examples=some(300), deadline=None)
def test_extended_json_is_pymongos(document: dict[str, Any]) -> None:
    raw = pymongo_bson.encode(document)
    try:
        objects = pymongo_bson.decode(raw)
    except (BSONError, TypeError):
        return
    ours = json.loads(bson.to_json(raw, canonical=True))
    theirs = json.loads(
        json_util.dumps(
            pymongo_bson.decode(raw, CodecOptions(tz_aware=True)),
            json_options=json_util.CANONICAL_JSON_OPTIONS,
        )
    )
    if not has_int_edge(objects):
        assert ours == theirs


def has_int_edge(value: Any) -> bool:
    """PyMongo writes the largest int32 as a $numberLong."""
    return b"\xff\xff\xff\x7f" in pymongo_bson.encode({"": value})


@given(st.binary(max_size=64), st.integers(0, 255), st.data())
@settings(max_examples=some(600), deadline=None)
def test_damage_is_an_error_or_another_document(noise: bytes, byte: int, data: Any) -> None:
    raw = bytearray(
        bson.encode({"a": [1, "text", {"b": noise}], "c": 1.5, "d": bson.Code("x", {"y": None})})
    )
    raw[data.draw(st.integers(0, len(raw) - 1))] = byte
    try:
        bson.validate(raw)
        valid = True
    except bson.DecodeError:
        valid = False
    try:
        bson.decode(raw)
        decoded = True
    except bson.DecodeError:
        decoded = False
    assert decoded == valid


# ---- what encode takes ----


def test_the_id_comes_first_and_once() -> None:
    document = {"a": 1, "_id": 2, "b": {"c": 3, "_id": 4}}
    assert list(bson.decode(bson.encode(document))) == ["_id", "a", "b"]
    assert list(bson.decode(bson.encode(document))["b"]) == ["c", "_id"]
    proxy = MappingProxyType(document)
    assert bson.encode(proxy) == bson.encode(document) == pymongo_bson.encode(proxy)


def test_a_default_dict_gets_no_id() -> None:
    document: dict[str, Any] = collections.defaultdict(int)
    assert bson.encode(document) == b"\x05\0\0\0\0"
    assert not document


def test_ints_are_as_small_as_they_may_be() -> None:
    for value, kind in [
        (2**31 - 1, 0x10),
        (2**31, 0x12),
        (-(2**31), 0x10),
        (-(2**31) - 1, 0x12),
        (bson.Int64(1), 0x12),
        (True, 0x08),
    ]:
        assert bson.encode({"": value})[4] == kind
    for value in (2**63, -(2**63) - 1, bson.Int64(2**63)):
        with pytest.raises(bson.EncodeError, match="64 bits"):
            bson.encode({"": value})


def test_raw_documents_are_written_as_they_are() -> None:
    raw = bson.encode({"x": [1, 2]})
    document = RawBSONDocument(raw)
    assert bson.encode(document) == raw
    assert bson.decode(bson.encode({"d": document, "l": [document]})) == {
        "d": {"x": [1, 2]},
        "l": [{"x": [1, 2]}],
    }

    class Liar(RawBSONDocument):
        raw = b"\xff\xff\xff\x7f\0"

    with pytest.raises(bson.EncodeError, match=r"no BSON.*at d"):
        bson.encode({"d": Liar(raw)})


def test_a_datetime_is_utc_to_the_millisecond() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=-3))
    for given_, expected in [
        (datetime.datetime(2024, 2, 29, 1, 2, 3, 456789), 456),
        (datetime.datetime(1960, 2, 29, 1, 2, 3, 456789), 456),
        (datetime.datetime(2024, 2, 28, 22, 2, 3, 456789, zone), 456),
    ]:
        decoded = bson.decode(bson.encode({"": given_}))[""]
        assert decoded.microsecond == expected * 1000
        assert decoded.tzinfo is None
        assert bson.encode({"": given_}) == pymongo_bson.encode({"": given_})


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({1: 2}, "", "keys are str, not int"),
        ({"a": {b"b": 1}}, "a", "keys are str, not bytes"),
        ({"a\0b": 1}, "", "zero byte"),
        ({"a": [{"b": re.compile("\0")}]}, "a[0].b", "zero byte"),
        ({"a": [0, {"b": object()}]}, "a[1].b", "object have no BSON form"),
        ({"a": {1, 2}}, "a", "set have no BSON form"),
        ({"a": uuid.UUID(int=1)}, "a", "UUID has several forms"),
        ({"a": datetime.date(2024, 1, 1)}, "a", "date have no BSON form"),
        ({"a": "\ud800"}, "a", "lone surrogate"),
        ({"\ud800": 1}, "", "lone surrogate"),
        ({"a": re.compile(b"\xff")}, "a", "not UTF-8"),
        ({"a": bson.Code("c", {"x": [object()]})}, "a.x[0]", "no BSON form"),
        ([], "", "a document is a mapping, not list"),
        (None, "", "a document is a mapping, not NoneType"),
    ],
)
def test_what_has_no_bson_says_where(document: Any, path: str, message: str) -> None:
    with pytest.raises(bson.EncodeError, match=re.escape(message)) as caught:
        bson.encode(document)
    assert caught.value.path == path
    assert isinstance(caught.value, TypeError)
    with pytest.raises((BSONError, TypeError, ValueError)):
        pymongo_bson.encode(document)


class Marked:
    def __init__(self, marker: Any, **attributes: Any) -> None:
        self._type_marker = marker
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    "value",
    [
        Marked(5, subtype=1),
        Marked(7, binary=b"short"),
        Marked(7),
        Marked(9),
        Marked(11, flags="i", pattern="p"),
        Marked(11, flags=-1, pattern="p"),
        Marked(11, flags=0, pattern=1),
        Marked(13, scope=None),
        Marked(17, time=2**32, inc=0),
        Marked(17, time=0, inc=-1),
        Marked(18),
        Marked(19, bid="x" * 16),
        Marked(100),
        Marked(100, as_doc=lambda: 1),
        Marked(101, raw=b""),
        Marked(101, raw=1),
        Marked(10**30),
        Marked("7"),
    ],
)
def test_what_only_claims_to_be_a_type_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        bson.encode({"a": value})


def test_nesting_has_a_limit() -> None:
    document: dict[str, Any] = {}
    for _ in range(511):
        document = {"a": document}
    raw = bson.encode(document)
    assert bson.decode(raw) == document
    with pytest.raises(bson.EncodeError, match="512"):
        bson.encode({"a": document})
    deeper = struct.pack("<i", len(raw) + 8) + b"\x03a\0" + raw + b"\0"
    for refuse in (bson.decode, bson.validate, bson.to_json):
        with pytest.raises(bson.DecodeError, match="nested too deeply") as caught:
            refuse(deeper)
        assert caught.value.pos == 512 * 7
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(bson.EncodeError, match="nested"):
        bson.encode({"a": circle})
    with pytest.raises(bson.DecodeError, match="nested"):
        bson.from_json('{"a":' * 100_000)


def test_what_changes_while_it_is_encoded() -> None:
    class Meddler(collections.UserDict[str, Any]):
        def __init__(self, act: Any) -> None:
            super().__init__(x=1)
            self.act = act

        def __iter__(self) -> Any:
            self.act()
            return super().__iter__()

    document: dict[str, Any] = {"a": 1}
    document["m"] = Meddler(lambda: document.clear())
    document["z"] = "z" * 100
    with pytest.raises(bson.EncodeError, match="changed its size"):
        bson.encode(document)
    items: list[Any] = []
    items.extend([Meddler(lambda: items.clear()), "x" * 50, [1]])
    assert bson.decode(bson.encode({"l": items})) == {"l": [{"x": 1}]}

    def explode() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bson.encode({"a": [Meddler(explode)]})


# ---- what decode takes ----


def test_buffers_are_read_and_others_are_not() -> None:
    raw = bson.encode({"a": "b"})
    for data in (raw, bytearray(raw), memoryview(raw), memoryview(bytearray(raw))):
        assert bson.decode(data) == {"a": "b"}
        assert bson.to_json(data) == b'{"a":"b"}'
        assert list(bson.iter(data)) == [{"a": "b"}]
        bson.validate(data)
    for read in (bson.decode, bson.validate, bson.to_json, bson.from_json):
        with pytest.raises(TypeError, match="buffer, not int"):
            read(1)  # type: ignore[operator]
    with pytest.raises(TypeError, match="not str"):
        bson.decode("text")  # type: ignore[arg-type]


def test_a_batch_is_its_documents() -> None:
    documents = [{"i": i, "s": "x" * i} for i in range(20)]
    batch = b"".join(map(bson.encode, documents))
    assert list(bson.iter(batch)) == documents == pymongo_bson.decode_all(batch)
    assert list(bson.iter(b"")) == []
    read = bson.iter(batch + b"\x05\0\0\0\x01")
    for document in documents:
        assert next(read) == document
    with pytest.raises(bson.DecodeError) as caught:
        next(read)
    assert caught.value.pos == len(batch) + 4


def test_an_error_says_where() -> None:
    raw = bson.encode({"a": {"b": ["x", "yyy"]}}).replace(b"yyy", b"\xff\xffy")
    with pytest.raises(bson.DecodeError) as caught:
        bson.decode(raw)
    error = caught.value
    assert (error.path, error.pos, error.msg) == ("a.b[1]", raw.index(b"\xff"), "invalid UTF-8")
    assert str(error) == f"invalid UTF-8: byte {error.pos}, at a.b[1]"
    assert isinstance(error.__cause__, UnicodeDecodeError)


def test_a_reference_is_one_only_inside() -> None:
    reference = {"$ref": "c", "$id": 1, "x": 2}
    assert bson.decode(bson.encode(reference)) == reference
    inside = bson.decode(bson.encode({"r": reference}))["r"]
    assert inside == bson.DBRef("c", 1, None, x=2)
    for almost in ({"$ref": 1, "$id": 1}, {"$ref": "c"}, {"$ref": "c", "$id": 1, "$db": 5}):
        assert bson.decode(bson.encode({"r": almost}))["r"] == almost


# ---- references and memory ----

EVERYTHING: dict[str, Any] = {
    "_id": bson.ObjectId("56e1fc72e0c917e9c4714161"),
    "l": [1, 2**40, 1.5, None, True, "text", "ü", "€", "😀", b"bytes"],
    "d": {"a": {}, "dt": datetime.datetime(2024, 2, 29), "p": re.compile("p", re.I)},
    "aware": datetime.datetime(2024, 2, 29, tzinfo=UTC),
    "b": bson.Binary(b"b", 2),
    "ts": bson.Timestamp(1, 2),
    "re": bson.Regex("ü", "im"),
    "c": bson.Code("c"),
    "cs": bson.Code("cü", {"x": [1]}),
    "ref": bson.DBRef("c", bson.ObjectId(), "db", x=1),
    "dec": bson.Decimal128("1.50"),
    "min": bson.MinKey(),
    "max": bson.MaxKey(),
    "i": bson.Int64(7),
    "m": MappingProxyType({"k": "v"}),
    "a key that is longer than what the cache of keys takes, which is not much at all": 1,
}


def attempt(call: Any, *args: Any) -> None:
    with contextlib.suppress(TypeError, ValueError, MemoryError):
        call(*args)


def test_nothing_is_leaked() -> None:
    raw = bson.encode(EVERYTHING)
    text_ = bson.to_json(raw, canonical=True)
    bad = [raw[:n] for n in range(0, len(raw), 3)]
    broken = []
    for i in range(0, len(raw), 2):
        copy = bytearray(raw)
        copy[i] ^= 0xFF
        broken.append(bytes(copy))
    refused = [{"a": [1, {"b": object()}]}, {1: 1}, {"a": bson.Code("x", {"\0": 1})}, {"ü": {1}}]

    def work() -> None:
        bson.encode(EVERYTHING)
        bson.decode(raw)
        list(bson.iter(raw + raw))
        bson.from_json(text_)
        bson.to_json(raw)
        for data in bad + broken:
            attempt(bson.decode, data)
            attempt(bson.to_json, data)
            attempt(bson.validate, data)
        for document in refused:
            attempt(bson.encode, document)
        for n in range(0, len(text_), 7):
            attempt(bson.from_json, text_[:n])

    for _ in range(3):
        work()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(10):
        work()
    gc.collect()
    assert abs(sys.getallocatedblocks() - before) < 50


def test_memory_that_runs_out_below_python() -> None:
    raw = bson.encode(EVERYTHING)
    text_ = bson.to_json(raw, canonical=True)
    for call, argument in [
        (bson.encode, EVERYTHING),
        (bson.decode, bson.encode({"long": list(range(1000))})),
        (bson.to_json, raw),
        (bson.from_json, text_),
    ]:
        expected, failed = call(argument), 0  # type: ignore[operator]
        for nth in range(1, 100):
            _alloc_fail_from(nth)
            try:
                result = call(argument)  # type: ignore[operator]
            except MemoryError:
                failed += 1
                continue
            finally:
                _alloc_fail_from(0)
            assert result == expected
            break
        assert 0 < failed < 99


def test_memory_that_runs_out_in_python() -> None:
    testcapi = pytest.importorskip("_testcapi")
    document = dict(EVERYTHING)
    if hasattr(sys, "gettotalrefcount"):
        # a debug build of CPython asserts where a subclass of str gets no memory: Code is one
        document = {k: v for k, v in document.items() if not isinstance(v, pymongo_bson.Code)}
    raw = bson.encode(document)
    wrong = raw.replace(b"text", b"te\xfft")
    for call, argument in [
        (bson.encode, document),
        (bson.decode, raw),
        (bson.decode, bytearray(raw)),
        (bson.decode, wrong),
        (bson.encode, {"a": [{"b": object()}]}),
    ]:
        for nth in range(1, 1000):
            testcapi.set_nomemory(nth, nth + 1)
            try:
                call(argument)  # type: ignore[operator]
            except MemoryError:
                continue
            except (TypeError, ValueError):
                break
            finally:
                testcapi.remove_mem_hooks()
            break
        else:
            pytest.fail("it never had enough")


# ---- without PyMongo ----

WITHOUT = """
import sys
sys.modules["bson"] = None  # an import of it fails
import copy, datetime, pickle, re
from weft import bson
assert bson.ObjectId.__module__ == "weft.bson._classes"
id = bson.ObjectId("56e1fc72e0c917e9c4714161")
document = {
    "_id": id, "i": bson.Int64(7), "dec": bson.Decimal128("1.50"), "ts": bson.Timestamp(1, 2),
    "b": bson.Binary(b"x", 128), "re": bson.Regex("a", "im"), "c": bson.Code("c"),
    "cs": bson.Code("c", {"x": 1}), "ref": bson.DBRef("c", id, "db", x=1),
    "min": bson.MinKey(), "max": bson.MaxKey(), "n": [bytes(2), datetime.datetime(2024, 2, 29)],
}
raw = bson.encode(document)
again = bson.decode(raw)
assert again == document, again
for key, value in document.items():
    assert type(again[key]) is type(value), key
    assert copy.copy(value) == value and pickle.loads(pickle.dumps(value)) == value, key
assert bson.encode(again) == raw
assert bson.ObjectId() < bson.ObjectId() and len(str(bson.ObjectId())) == 24
assert str(again["dec"].to_decimal()) == "1.50" and hash(id) == hash(bson.ObjectId(id))
assert bson.MinKey() < 5 < bson.MaxKey() and again["b"].subtype == 128
assert again["re"].try_compile().flags & re.I and again["cs"].scope == {"x": 1}
for wrong in (b"x", "x" * 24, b"x" * 13):
    try:
        bson.ObjectId(wrong)
    except ValueError:
        continue
    raise AssertionError(wrong)
print(raw.hex())
"""


def test_without_pymongo_there_are_classes_of_our_own() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    raw = bytes.fromhex(done.stdout)
    assert pymongo_bson.encode(pymongo_bson.decode(raw)) == raw


IN_AN_INTERPRETER = """
import sys
sys.modules["bson"] = None
import datetime
from weft import bson
document = {"d": datetime.datetime(2020, 1, 1)}
raw = bson.encode(document)
assert bson.decode(raw) == document
assert bson.encode(document, type=dict[str, datetime.datetime]) == raw
assert bson.encode({"d": datetime.date(2020, 1, 1)}, type=dict[str, datetime.date]) == raw
"""


def test_dates_in_one_interpreter_after_another() -> None:
    """Their C API was kept in a static, though CPython 3.11 frees it with the interpreter."""
    pytest.importorskip("_testcapi")
    main = "import sys, _testcapi; "
    main += "[_testcapi.run_in_subinterp(sys.argv[1]) and sys.exit(1) for _ in range(2)]"
    done = subprocess.run(
        [sys.executable, "-c", main, IN_AN_INTERPRETER], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_either_classes_are_encoded_alike() -> None:
    from weft.bson import _classes as own

    oid = "56e1fc72e0c917e9c4714161"
    for ours, theirs in [
        (own.ObjectId(oid), pymongo_bson.ObjectId(oid)),
        (own.Int64(3), pymongo_bson.Int64(3)),
        (own.Decimal128("1E+3"), pymongo_bson.Decimal128("1E+3")),
        (own.Timestamp(3, 4), pymongo_bson.Timestamp(3, 4)),
        (own.Binary(b"x", 5), pymongo_bson.Binary(b"x", 5)),
        (own.Regex("x", "ims"), pymongo_bson.Regex("x", "ims")),
        (own.Code("x", {"y": 1}), pymongo_bson.Code("x", {"y": 1})),
        (own.DBRef("c", 1, x=2), pymongo_bson.DBRef("c", 1, x=2)),
        (own.MinKey(), pymongo_bson.MinKey()),
        (own.MaxKey(), pymongo_bson.MaxKey()),
    ]:
        expected = pymongo_bson.encode({"a": theirs})
        assert bson.encode({"a": ours}) == bson.encode({"a": theirs}) == expected
        assert pymongo_bson.encode({"a": ours}) == expected
