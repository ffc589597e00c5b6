"""Extended JSON from before its version 2, as mongoexport wrote it: PyMongo is the judge."""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any

import bson as pymongo_bson
import pytest
from bson import json_util
from bson.codec_options import DatetimeConversion
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import some
from weft import bson

OPTIONS = json_util.JSONOptions(
    json_mode=json_util.JSONMode.RELAXED,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    tz_aware=False,
)


def theirs(text: str) -> bytes:
    """What PyMongo makes of it."""
    return pymongo_bson.encode(json_util.loads(text, json_options=OPTIONS))


@pytest.mark.parametrize(
    "value",
    [
        '{"$date":0}',
        '{"$date":1356351330501}',
        '{"$date":-284643869501}',
        '{"$date":1356351330501.75}',
        '{"$date":-1.5}',
        '{"$date":1.5e12}',
        '{"$date":{"$numberLong":"5"}}',
        '{"$date":{"$numberLong":5}}',
        '{"$date":"2012-12-24T12:15:30.501Z"}',
        '{"$date":"2012-12-24T12:15:30.501+0000"}',
        '{"$date":"2012-12-24T12:15:30.501-0130"}',
        '{"$date":"2012-12-24T12:15:30.501+01:30"}',
        '{"$date":"2012-12-24T12:15:30+14:00"}',
        '{"$date":"2012-12-24T12:15:30.5"}',
        '{"$date":"2012-12-24T12:15:30"}',
        '{"$numberLong":"5"}',
        '{"$numberLong":5}',
        '{"$numberLong":-9223372036854775808}',
        '{"$numberDouble":"1e400"}',
        '{"$numberDouble":"-1e400"}',
        '{"$numberDecimal":"sNaN"}',
        '{"$numberDecimal":"-sNaN"}',
        '{"$numberDecimal":"-NaN"}',
        '{"$uuid":"c8edabc3-8f7b-4ca7-82b6-40a91e93816f"}',
        '{"$binary":"AQIDBA==","$type":"00"}',
        '{"$binary":"AQIDBA==","$type":"5"}',
        '{"$binary":"AQIDBA==","$type":5}',
        '{"$binary":"AQIDBA==","$type":0}',
        '{"$binary":"AQIDBA==","$type":255}',
        '{"$binary":"AQIDBA==","$type":"ffffff80"}',
        '{"$binary":"AQIDBA==","$type":"ffffffff"}',
        '{"$type":128,"$binary":"AQIDBA=="}',
        '{"$type":"80","$binary":"AQIDBA=="}',
        '{"$regex":"a.c"}',
        '{"$regex":"a.c","$options":""}',
        '{"$regex":"a.c","$options":"im"}',
        '{"$options":"i","$regex":"a.c"}',
        '{"$ref":"c","$id":{"$oid":"56e1fc72e0c917e9c4714161"}}',
        '{"$ref":"c","$id":5,"$db":"d"}',
        '{"$ref":"c","$id":{"$oid":"56e1fc72e0c917e9c4714161"},"$db":"d","more":[1]}',
        '{"$ref":5,"$id":1}',
        '{"$type":5}',
        '{"$type":"string"}',
        '{"$regex":{"$exists":true}}',
        '{"$timestamp":{"t":1,"i":2}}',
        '{"$minKey":1}',
        '{"$code":"f()","$scope":{"x":1}}',
    ],
)
def test_what_json_util_reads(value: str) -> None:
    for text in (f'{{"a":{value}}}', f'{{"a":[1,{{"b":{value}}}]}}'):
        assert bson.from_json(text) == theirs(text), text


@pytest.mark.parametrize(
    "value",
    [
        '{"$date":{"x":1}}',
        '{"$date":null}',
        '{"$date":[]}',
        '{"$date":"2012-12-24"}',
        '{"$date":"12:15:30"}',
        '{"$date":1,"x":2}',
        '{"$date":{}}',
        '{"$numberLong":"x"}',
        '{"$numberLong":[]}',
        '{"$numberLong":1,"x":2}',
        '{"$numberInt":1}',
        '{"$numberDouble":1}',
        '{"$numberDecimal":1}',
        '{"$binary":"AQ=="}',
        '{"$binary":"AQ==","$type":256}',
        '{"$binary":"AQ==","$type":"xx"}',
        '{"$binary":{"base64":"AQ==","subType":5}}',
        '{"$uuid":5}',
        '{"$uuid":"c8edabc3"}',
    ],
)
def test_what_neither_reads(value: str) -> None:
    text = f'{{"a":{value}}}'
    with pytest.raises(Exception):  # noqa: B017, PT011  (of five classes, KeyError and TypeError too)
        theirs(text)
    with pytest.raises(bson.DecodeError):
        bson.from_json(text)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", '{"$date":NaN}'])
def test_what_is_no_json_is_refused(value: str) -> None:
    """Python's parser takes these."""
    with pytest.raises(bson.DecodeError):
        bson.from_json(f'{{"a":{value}}}')


DATES = st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30))
ZONES = st.sampled_from(["", "Z", "+00:00", "-0130", "+05:30", "-12:00", "+1400"])
VALUES = (
    st.builds(lambda ms: {"$date": ms}, st.integers(-62_135_596_800_000, 253_402_300_799_999))
    | st.builds(
        lambda at, digits, zone: {
            "$date": at.strftime("%Y").zfill(4)
            + at.strftime("-%m-%dT%H:%M:%S")
            + (f".{at.microsecond:06}"[: digits + 1] if digits else "")
            + zone
        },
        DATES,
        st.sampled_from([0, 1, 2, 3]),
        ZONES,
    )
    | st.builds(lambda n: {"$numberLong": n}, st.integers(-(2**63), 2**63 - 1))
    | st.builds(
        lambda raw, kind: {
            "$binary": base64.b64encode(raw).decode(),
            "$type": kind,
        },
        st.binary(max_size=5),
        st.sampled_from([0, 1, 5, 128, 255, "0", "00", "05", "80", "ff", "ffffff81"]),
    )
    | st.builds(
        lambda p, o: {"$regex": p, "$options": o},
        st.text("abc.*", max_size=4),
        st.sampled_from(["", "i", "im", "ms", "imsx"]),
    )
)


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=2), VALUES | st.lists(VALUES, max_size=2))
)
@settings(max_examples=some(300), deadline=None)
def test_any_legacy_document(document: Any) -> None:
    text = json.dumps(document)
    assert bson.from_json(text) == theirs(text)
