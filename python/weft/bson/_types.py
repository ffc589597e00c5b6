"""The classes of BSON's own types: PyMongo's where it is installed, else weft's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.bson._classes import (
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
        utc,
    )
else:
    try:
        # submodules by name: a package on PyPI that is called bson too does not have them
        from bson.binary import Binary, UuidRepresentation
        from bson.code import Code
        from bson.codec_options import CodecOptions, DatetimeConversion
        from bson.datetime_ms import DatetimeMS
        from bson.dbref import DBRef
        from bson.decimal128 import Decimal128
        from bson.int64 import Int64
        from bson.max_key import MaxKey
        from bson.min_key import MinKey
        from bson.objectid import ObjectId
        from bson.regex import Regex
        from bson.timestamp import Timestamp
        from bson.tz_util import utc
    except ImportError:
        from weft.bson._classes import (
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
            utc,
        )

__all__ = [
    "Binary",
    "Code",
    "CodecOptions",
    "DBRef",
    "DatetimeConversion",
    "DatetimeMS",
    "Decimal128",
    "Int64",
    "MaxKey",
    "MinKey",
    "ObjectId",
    "Regex",
    "Timestamp",
    "UuidRepresentation",
    "utc",
]
