"""weft.bson with codec_options beside PyMongo with the same, and batches."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import gc
import re
import subprocess
import sys
import uuid
import weakref
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import bson as pymongo_bson
import pytest
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion, TypeCodec, TypeRegistry
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import some
from tests.test_bson import EVERYTHING, documents
from tests.test_encode_leaks import blocks
from weft import bson

REPRESENTATIONS = [0, 3, 4, 5, 6]
IDS = [uuid.UUID(int=0x00112233445566778899AABBCCDDEEFF), uuid.UUID(int=1)]
EAST = datetime.timezone(datetime.timedelta(hours=5, minutes=30))


class DecimalCodec(TypeCodec):  # type: ignore[misc]
    python_type = Decimal
    bson_type = pymongo_bson.Decimal128

    def transform_python(self, value: Decimal) -> pymongo_bson.Decimal128:
        return pymongo_bson.Decimal128(value)

    def transform_bson(self, value: pymongo_bson.Decimal128) -> Decimal:
        return value.to_decimal()


REGISTRY = TypeRegistry([DecimalCodec()], fallback_encoder=lambda value: str(value))

options = st.fixed_dictionaries(
    {
        "document_class": st.sampled_from([dict, SON, collections.OrderedDict]),
        "tz_aware": st.just(True),
        "tzinfo": st.sampled_from([None, EAST]),
        "uuid_representation": st.sampled_from(REPRESENTATIONS),
        "type_registry": st.sampled_from([None, REGISTRY]),
    }
) | st.fixed_dictionaries(
    {
        "datetime_conversion": st.sampled_from(list(DatetimeConversion)),
        "uuid_representation": st.sampled_from(REPRESENTATIONS),
    }
)


@given(documents, options)
@settings(max_examples=some(300), deadline=None)
def test_documents_are_what_pymongo_makes_of_them(document: Any, options: Any) -> None:
    options = CodecOptions(**options)
    raw = pymongo_bson.encode(document)
    try:
        theirs = pymongo_bson.decode(raw, options)
    except (BSONError, TypeError, OverflowError, ValueError) as error:
        with pytest.raises((bson.DecodeError, TypeError, OverflowError, ValueError)):
            bson.decode(raw, codec_options=options)
        assert re.search("uuid|date|bytes|range|overflow", str(error), re.I), error  # noqa: PT017
        return
    ours = bson.decode(raw, codec_options=options)
    assert repr(ours) == repr(theirs)
    assert type(ours) is type(theirs)


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_uuids_are_pymongos(representation: Any) -> None:
    options = CodecOptions(uuid_representation=representation)
    document = {"a": IDS[0], "b": IDS}
    if representation == UuidRepresentation.UNSPECIFIED:
        with pytest.raises(bson.EncodeError, match="several forms") as caught:
            bson.encode(document, codec_options=options)
        assert caught.value.path == "a"
        return
    raw = pymongo_bson.encode(document, codec_options=options)
    assert bson.encode(document, codec_options=options) == raw
    assert bson.decode(raw, codec_options=options) == document
    for other in REPRESENTATIONS:
        theirs = pymongo_bson.decode(raw, CodecOptions(uuid_representation=other))
        assert bson.decode(raw, codec_options=CodecOptions(uuid_representation=other)) == theirs


def test_a_uuid_of_other_than_16_bytes_is_refused() -> None:
    raw = bson.encode({"a": bson.Binary(b"x" * 15, 4)})
    options = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)
    with pytest.raises(bson.DecodeError, match="not 16 bytes") as caught:
        bson.decode(raw, codec_options=options)
    assert caught.value.path == "a"


@pytest.mark.parametrize("conversion", list(DatetimeConversion))
def test_dates_beyond_datetime(conversion: Any) -> None:
    options = CodecOptions(datetime_conversion=conversion)
    for ms in (0, -1, 2**60, -(2**60), 253402300799999, 253402300800000):
        raw = pymongo_bson.encode({"a": pymongo_bson.datetime_ms.DatetimeMS(ms)})
        try:
            theirs = pymongo_bson.decode(raw, options)
        except BSONError:
            with pytest.raises(bson.DecodeError, match="outside the years"):
                bson.decode(raw, codec_options=options)
        else:
            assert repr(bson.decode(raw, codec_options=options)) == repr(theirs)


@pytest.mark.parametrize("handler", ["strict", "replace", "ignore", "backslashreplace"])
def test_damaged_text(handler: str) -> None:
    options = CodecOptions(unicode_decode_error_handler=handler)
    raw = bson.encode({"text": "some text", "li": ["x"]}).replace(b"some text", b"some\xfftext")
    if handler == "strict":
        with pytest.raises(bson.DecodeError, match="invalid UTF-8"):
            bson.decode(raw, codec_options=options)
    else:
        theirs = pymongo_bson.decode(raw, options)
        assert bson.decode(raw, codec_options=options) == theirs


def test_custom_types() -> None:
    options = CodecOptions(type_registry=REGISTRY)
    document = {
        "price": Decimal("1.50"),
        "list": [Decimal(2)],
        "path": {
            1,
        },
        "deep": {"d": Decimal(3)},
    }
    raw = pymongo_bson.encode(document, codec_options=options)
    assert bson.encode(document, codec_options=options) == raw
    assert bson.decode(raw, codec_options=options) == pymongo_bson.decode(raw, options)
    with pytest.raises(bson.EncodeError, match="Decimal"):
        bson.encode(document)
    for wrong in (lambda value: value, lambda value: 1 / 0):
        hopeless = CodecOptions(type_registry=TypeRegistry(fallback_encoder=wrong))
        with pytest.raises((bson.EncodeError, ZeroDivisionError)):
            bson.encode({"a": object()}, codec_options=hopeless)


def test_raw_documents() -> None:
    options = CodecOptions(document_class=RawBSONDocument)
    raw = bson.encode({"a": {"b": 1}})
    document = bson.decode(raw, codec_options=options)
    assert isinstance(document, RawBSONDocument)
    assert document.raw == raw
    assert document["a"]["b"] == 1
    assert [d.raw for d in bson.iter(raw * 3, codec_options=options)] == [raw] * 3
    assert bson.encode(document) == raw


@dataclasses.dataclass
class Visit:
    day: datetime.date
    visitor: uuid.UUID
    guest: uuid.UUID | None = None
    until: datetime.date | None = None


@pytest.mark.parametrize(
    "options",
    [
        None,
        CodecOptions(),
        CodecOptions(tz_aware=True),
        CodecOptions(tz_aware=True, tzinfo=EAST),
        CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS),
        *[CodecOptions(uuid_representation=n) for n in REPRESENTATIONS],
    ],
)
def test_a_type_with_options_reads_what_it_wrote(options: Any) -> None:
    visit = Visit(datetime.date(2020, 2, 29), IDS[0], IDS[1], datetime.date(1, 1, 1))
    raw = bson.encode(visit, type=Visit, codec_options=options)
    assert bson.decode(raw, type=Visit, codec_options=options) == visit
    assert next(bson.iter(raw * 2, type=Visit, codec_options=options)) == visit


def test_a_legacy_uuid_is_none_where_the_options_do_not_say_so() -> None:
    legacy = CodecOptions(uuid_representation=UuidRepresentation.JAVA_LEGACY)
    raw = bson.encode({"k": IDS[0]}, codec_options=legacy)
    for options in (None, CodecOptions(uuid_representation=UuidRepresentation.STANDARD)):
        with pytest.raises(bson.DecodeError, match="expected UUID"):
            bson.decode(raw, type=dict[str, uuid.UUID], codec_options=options)
    assert bson.decode(raw, type=dict[str, uuid.UUID], codec_options=legacy) == {"k": IDS[0]}


def test_a_type_of_none_is_no_type() -> None:
    raw = bson.encode({"a": 1}, type=None)
    assert bson.decode(raw, type=None) == {"a": 1}
    assert list(bson.iter(raw, type=None)) == [{"a": 1}]
    assert bson.to_json(raw, type=None) == b'{"a":1}'
    assert bson.to_json(raw, type=None, canonical=True) == b'{"a":{"$numberInt":"1"}}'


def test_a_datetime_whose_utc_is_in_no_year_is_refused() -> None:
    east = datetime.timezone(datetime.timedelta(hours=5))
    west = datetime.timezone(-datetime.timedelta(hours=5))
    for value in (
        datetime.datetime(1, 1, 1, tzinfo=east),
        datetime.datetime(9999, 12, 31, 23, tzinfo=west),
    ):
        with pytest.raises(bson.EncodeError, match="outside the years 1 to 9999") as caught:
            bson.encode({"k": [value]})
        assert caught.value.path == "k[0]"
    first = datetime.datetime(1, 1, 1, 5, tzinfo=east)
    assert bson.decode(bson.encode({"k": first})) == {"k": datetime.datetime(1, 1, 1)}


def test_options_that_are_none() -> None:
    assert bson.decode(bson.encode({}), codec_options=None) == {}
    good = CodecOptions()
    for wrong in [
        object(),
        5,
        bson_options(uuid_representation=7),
        bson_options(uuid_representation=1),
        bson_options(uuid_representation="x"),
        bson_options(datetime_conversion=0),
        bson_options(unicode_decode_error_handler=3),
        bson_options(type_registry=3),
    ]:
        with pytest.raises((TypeError, ValueError, AttributeError)):
            bson.decode(bson.encode({"a": 1}), codec_options=wrong)
        with pytest.raises((TypeError, ValueError, AttributeError)):
            bson.iter(b"", codec_options=wrong)
    with pytest.raises(TypeError, match="no argument 'options'"):
        bson.decode(b"", options=good)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="1 positional"):
        bson.decode()  # type: ignore[call-arg]


def bson_options(**changed: Any) -> Any:
    from weft.bson import _classes

    return _classes.CodecOptions()._replace(**changed)


OWN = """
import sys
sys.modules["bson"] = None  # an import of it fails
import datetime, uuid
from weft import bson
standard = bson.CodecOptions(uuid_representation=bson.UuidRepresentation.STANDARD, tz_aware=True)
document = {"u": uuid.UUID(int=5), "d": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)}
raw = bson.encode(document, codec_options=standard)
assert bson.decode(raw, codec_options=standard) == document
auto = bson.CodecOptions(datetime_conversion=bson.DatetimeConversion.DATETIME_AUTO)
far = bson.encode({"d": bson.DatetimeMS(2**60)})
assert bson.decode(far, codec_options=auto) == {"d": bson.DatetimeMS(2**60)}
assert int(bson.DatetimeMS(datetime.datetime(1970, 1, 2))) == 86400000
assert bson.DatetimeMS(86400000).as_datetime() == datetime.datetime(1970, 1, 2, tzinfo=datetime.UTC)
"""


def test_without_pymongo_there_are_options_of_our_own() -> None:
    done = subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- batches ----


def test_a_batch_is_decoded_when_asked_for() -> None:
    batch = bson.encode({"a": 1}) * 3 + b"damage"
    read = bson.iter(batch)
    assert iter(read) is read
    assert [next(read) for _ in range(3)] == [{"a": 1}] * 3
    with pytest.raises(bson.DecodeError) as caught:
        next(read)
    assert caught.value.pos == len(batch) - 6
    assert list(read) == []  # it has ended


def test_a_batch_is_borrowed() -> None:
    batch = bytearray(bson.encode({"a": 1}) * 2)
    read = bson.iter(batch)
    with pytest.raises(BufferError):
        batch.extend(b"x")
    assert next(read) == {"a": 1}
    batch[:] = bytes(len(batch))  # which changes what is still to be read
    with pytest.raises(bson.DecodeError):
        next(read)
    batch.extend(b"x")  # the end lets go
    del read


def test_a_batch_that_is_asked_while_it_decodes() -> None:
    class Nosy(dict):  # type: ignore[type-arg]
        def __setitem__(self, key: str, value: Any) -> None:
            with pytest.raises(ValueError, match="already decoding"):
                next(read)
            seen.append(value)

    seen: list[Any] = []
    read = bson.iter(bson.encode({"a": 1}) * 2, codec_options=CodecOptions(document_class=Nosy))
    assert len(list(read)) == 2
    assert len(seen) == 2


def test_a_batch_in_a_cycle_is_collected() -> None:
    class Batch:
        read: Iterator[Any]

    batch = Batch()
    batch.read = bson.iter(
        bson.encode({}),
        codec_options=bson_options(
            type_registry=None, tzinfo=None, document_class=type("D", (dict,), {"b": batch})
        ),
    )
    gone = weakref.ref(batch)
    del batch
    gc.collect()
    assert gone() is None


def test_nothing_is_leaked_with_options() -> None:
    raw = bson.encode(EVERYTHING)
    options = CodecOptions(
        document_class=SON,
        tz_aware=True,
        tzinfo=EAST,
        uuid_representation=UuidRepresentation.STANDARD,
        type_registry=REGISTRY,
    )
    with_ids = bson.encode({"u": IDS}, codec_options=options)

    def work() -> None:
        bson.decode(raw, codec_options=options)
        bson.decode(with_ids, codec_options=options)
        bson.encode({"u": IDS, "d": [Decimal(1)], "o": {3}}, codec_options=options)
        list(bson.iter(raw + raw, codec_options=options))
        next(bson.iter(raw + raw))
        for n in range(0, len(raw), 41):
            with pytest.raises(bson.DecodeError):
                bson.decode(raw[:n], codec_options=options)
            with pytest.raises(bson.DecodeError):
                list(bson.iter(raw + raw[: n + 1]))
        with pytest.raises((AttributeError, ValueError)):
            bson.decode(raw, codec_options=bson_options(uuid_representation=9, type_registry=None))

    for _ in range(300):  # until the interpreter's own caches are full
        work()
    assert min(blocks(work, 300) for _ in range(3)) < 150
