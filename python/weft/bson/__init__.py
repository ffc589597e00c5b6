"""BSON (https://bsonspec.org) in bytes to Python objects and back, and Extended JSON of it, in C.

    >>> from weft import bson
    >>> data = bson.encode({"name": "Ada", "born": datetime(1815, 12, 10)})
    >>> bson.decode(data)
    {'name': 'Ada', 'born': datetime.datetime(1815, 12, 10, 0, 0)}
    >>> bson.to_json(data)
    b'{"name":"Ada","born":{"$date":{"$numberLong":"-4861641600000"}}}'

Values mean what they mean to PyMongo with its default CodecOptions: datetimes are naive and UTC, to
the millisecond; ints are int32 where they fit and else int64, which decodes to Int64; bytes are
binary subtype 0; a UUID is refused, since drivers differ in its form; _id comes first and mappings
keep their order. ObjectId, Decimal128 and the other types are PyMongo's own classes where it is
installed, else small ones of weft's with the same attributes; `encode` takes either. Keys are str:
any other is an EncodeError. Only replies of an App write them, as they are in JSON.

With `type=`, `decode` and `iter` make values of that type as `weft.json.decode` does, filled in C;
BSON's own types go where Python's counterpart is asked for (dates, UUID, bytes, Decimal; an
ObjectId where that is asked for, or to its digits as str). What is not of the type is a DecodeError
with the path to it; for pydantic's models it is pydantic's own ValidationError, of
`model_validate(bson.decode(data))`.

With `type=`, `encode` writes what `decode` with that type reads back: dataclasses, Structs,
NamedTuples and the like as documents or arrays, their `_id` in front; dates as datetimes at
midnight, Decimals as decimal128, a UUID in the standard form (or as `codec_options` say), times and
durations as ISO 8601 text, enums by their values. What does not fit the type is written by its own
class. pydantic's models are what `model_dump(by_alias=True)` gives, their Decimals as text, which
is what pydantic reads. EncodeError, with the path, for what has no form.

An ObjectId as a path, query, header or cookie parameter, and in JSON with a type, is its 24 digits.
As a field of a pydantic model it is one where it is declared as `JsonObjectId`.

`type=None` is no type. A datetime whose UTC is outside the years 1 to 9999 is an EncodeError.

`codec_options` is what PyMongo calls CodecOptions and has its meaning, its own or ours: time zones,
UUIDs, the class of documents (raw ones too), damaged text, dates, and custom types.

`to_json` writes Extended JSON v2, relaxed or canonical, and `from_json` reads both, neither making
an object of any value. `from_json` also reads what was written before v2, as PyMongo's `json_util`
does: `{"$date": milliseconds}` and dates without a zone, which are UTC, `{"$numberLong": 5}`,
`{"$binary": text, "$type": subtype}`, `{"$regex": text, "$options": text}` and `{"$uuid": text}`.
`$symbol`, `$undefined` and `$dbPointer` become these types of BSON, members of one name stay
several, and NaN and Infinity, where they are no text, are a DecodeError.

`to_json(raw, type=T)` is `weft.json.encode(decode(raw, type=T), type=T)`, of pydantic's models by
alias, as they are read: the one form of that type, which `weft.json.decode(data, type=T)` reads. It
goes without the objects where that is known to be the same: of models those without validators and
serializers.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from weft._core import BSONDecodeError as DecodeError
from weft._core import BSONEncodeError as EncodeError
from weft._core import bson_decode as decode
from weft._core import bson_encode as encode
from weft._core import bson_from_json as from_json
from weft._core import bson_iter as iter
from weft._core import bson_to_json as to_json
from weft._core import bson_validate as validate
from weft.bson._types import (
    Binary,
    Code,
    CodecOptions,
    DatetimeConversion,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
    UuidRepresentation,
)
from weft.shapes.objectid import Text

JsonObjectId: TypeAlias = Annotated[ObjectId, Text()]
"""An ObjectId as a pydantic model's field: in JSON its 24 hexadecimal digits."""

__all__ = [
    "Binary",
    "Code",
    "CodecOptions",
    "DBRef",
    "DatetimeConversion",
    "DatetimeMS",
    "Decimal128",
    "DecodeError",
    "EncodeError",
    "Int64",
    "JsonObjectId",
    "MaxKey",
    "MinKey",
    "ObjectId",
    "Regex",
    "Timestamp",
    "UuidRepresentation",
    "decode",
    "encode",
    "from_json",
    "iter",
    "to_json",
    "validate",
]
