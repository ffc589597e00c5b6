"""BSON's own types for where PyMongo is not installed: the same names, attributes and equality.

Each has the ``_type_marker`` by which PyMongo, and weft, know what an object is.
"""

from __future__ import annotations

import datetime
import decimal
import itertools
import os
import re
import struct
import time
from collections.abc import Mapping
from enum import IntEnum
from functools import total_ordering
from typing import Any, ClassVar, NamedTuple

from weft._core import _decimal128_read, _decimal128_write

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

utc = datetime.UTC


class Int64(int):
    """An int that is encoded in 64 bits, however small."""

    __slots__ = ()
    _type_marker: ClassVar[int] = 18


@total_ordering
class ObjectId:
    """Twelve bytes: seconds since 1970, a random part, a counter."""

    __slots__ = ("__id",)
    _type_marker: ClassVar[int] = 7
    _counter: ClassVar[itertools.count[int]] = itertools.count(int.from_bytes(os.urandom(3), "big"))
    _random: ClassVar[tuple[int, bytes]] = (0, b"")  # of which process, and its five bytes

    def __init__(self, oid: str | bytes | ObjectId | None = None) -> None:
        if oid is None:
            if ObjectId._random[0] != os.getpid():  # a fork must not repeat its parent's
                ObjectId._random = (os.getpid(), os.urandom(5))
            count = next(ObjectId._counter) & 0xFFFFFF
            seconds = int(time.time()) & 0xFFFFFFFF
            self.__id = seconds.to_bytes(4, "big") + ObjectId._random[1] + count.to_bytes(3, "big")
        elif isinstance(oid, ObjectId):
            self.__id = oid.binary
        elif isinstance(oid, bytes) and len(oid) == 12:
            self.__id = oid
        elif isinstance(oid, str) and re.fullmatch("[0-9a-fA-F]{24}", oid):
            self.__id = bytes.fromhex(oid)
        elif isinstance(oid, (bytes, str)):
            raise ValueError(f"{oid!r} is no ObjectId: give 12 bytes or 24 hexadecimal digits")
        else:
            raise TypeError(f"an ObjectId is made of bytes or str, not {type(oid).__name__}")

    @property
    def binary(self) -> bytes:
        """Its twelve bytes."""
        return self.__id

    @property
    def generation_time(self) -> datetime.datetime:
        """When it was made, in UTC and whole seconds."""
        seconds = int.from_bytes(self.__id[:4], "big")
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)

    def __getstate__(self) -> bytes:
        return self.__id

    def __setstate__(self, state: bytes) -> None:
        self.__id = state

    def __str__(self) -> str:
        return self.__id.hex()

    def __repr__(self) -> str:
        return f"ObjectId('{self}')"

    def __eq__(self, other: object) -> bool:
        return self.__id == other.__id if isinstance(other, ObjectId) else NotImplemented

    def __lt__(self, other: ObjectId) -> bool:
        return self.__id < other.__id if isinstance(other, ObjectId) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.__id)


class Decimal128:
    """A decimal of 34 digits; what it cannot be exactly is a ValueError."""

    __slots__ = ("__high", "__low")
    __hash__ = None  # type: ignore[assignment]
    _type_marker: ClassVar[int] = 19

    def __init__(self, value: str | decimal.Decimal) -> None:
        if not isinstance(value, (str, decimal.Decimal)):
            raise TypeError(f"a Decimal128 is made of str or Decimal, not {type(value).__name__}")
        self.__low, self.__high = struct.unpack("<QQ", _decimal128_read(str(value)))

    @classmethod
    def from_bid(cls, value: bytes) -> Decimal128:
        """Of its 16 bytes in BSON (IEEE 754-2008, binary integer decimal); `ValueError` for other
        lengths."""
        _decimal128_write(value)  # it knows what is wrong with other than 16 bytes
        self = cls.__new__(cls)
        self.__low, self.__high = struct.unpack("<QQ", value)
        return self

    @property
    def bid(self) -> bytes:
        """Its 16 bytes as they are in BSON."""
        return struct.pack("<QQ", self.__low, self.__high)

    def to_decimal(self) -> decimal.Decimal:
        """The same number as a `decimal.Decimal`."""
        return decimal.Decimal(str(self))

    def __getstate__(self) -> bytes:
        return self.bid

    def __setstate__(self, state: bytes) -> None:
        self.__low, self.__high = struct.unpack("<QQ", state)

    def __str__(self) -> str:
        return _decimal128_write(self.bid)

    def __repr__(self) -> str:
        return f"Decimal128('{self}')"

    def __eq__(self, other: object) -> bool:
        return self.bid == other.bid if isinstance(other, Decimal128) else NotImplemented


@total_ordering
class Timestamp:
    """MongoDB's own timestamp: seconds since 1970, and a counter within the second."""

    __slots__ = ("__inc", "__time")
    _type_marker: ClassVar[int] = 17

    def __init__(self, time: int, inc: int) -> None:
        for value in (time, inc):
            if not isinstance(value, int):
                raise TypeError(f"a Timestamp is made of two ints, not {type(value).__name__}")
            if not 0 <= value < 2**32:
                raise ValueError("a Timestamp's parts are of 32 bits")
        self.__time = time
        self.__inc = inc

    @property
    def time(self) -> int:
        """Seconds since 1970."""
        return self.__time

    @property
    def inc(self) -> int:
        """Its place among those of the same second."""
        return self.__inc

    def as_datetime(self) -> datetime.datetime:
        """Its second, in UTC."""
        return datetime.datetime.fromtimestamp(self.__time, datetime.UTC)

    def _pair(self) -> tuple[int, int]:
        return (self.__time, self.__inc)

    def __getstate__(self) -> tuple[int, int]:
        return self._pair()

    def __setstate__(self, state: tuple[int, int]) -> None:
        self.__time, self.__inc = state

    def __repr__(self) -> str:
        return f"Timestamp({self.__time}, {self.__inc})"

    def __eq__(self, other: object) -> bool:
        return self._pair() == other._pair() if isinstance(other, Timestamp) else NotImplemented

    def __lt__(self, other: Timestamp) -> bool:
        return self._pair() < other._pair() if isinstance(other, Timestamp) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._pair())


class Binary(bytes):
    """Bytes with a subtype from 0 to 255."""

    _type_marker: ClassVar[int] = 5
    __subtype: int

    def __new__(cls, data: bytes | bytearray | memoryview, subtype: int = 0) -> Binary:
        if not 0 <= subtype <= 255:
            raise ValueError("a subtype is from 0 to 255")
        self = super().__new__(cls, data)
        self.__subtype = subtype
        return self

    def __getnewargs__(self) -> tuple[bytes, int]:  # type: ignore[override]
        return (bytes(self), self.__subtype)

    @property
    def subtype(self) -> int:
        """What the bytes are, from 0 to 255."""
        return self.__subtype

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Binary):
            return self.__subtype == other.__subtype and bytes(self) == bytes(other)
        return False  # bytes are of another type in BSON, and so they are not equal here

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.__subtype, bytes(self)))

    def __repr__(self) -> str:
        return f"Binary({bytes(self)!r}, {self.__subtype})"


class Regex:
    """A regular expression as MongoDB has it, which need not be one of Python's."""

    __slots__ = ("flags", "pattern")
    __hash__ = None  # type: ignore[assignment]
    _type_marker: ClassVar[int] = 11
    _letters: ClassVar[dict[str, re.RegexFlag]] = {
        "i": re.IGNORECASE,
        "l": re.LOCALE,
        "m": re.MULTILINE,
        "s": re.DOTALL,
        "u": re.UNICODE,
        "x": re.VERBOSE,
    }

    def __init__(self, pattern: str | bytes, flags: str | int = 0) -> None:
        self.pattern = pattern
        if isinstance(flags, str):
            self.flags = 0
            for letter in flags:
                self.flags |= self._letters.get(letter, 0)
        else:
            self.flags = flags

    @classmethod
    def from_native(cls, regex: re.Pattern[Any]) -> Regex:
        """Of one of Python's, with its flags."""
        return cls(regex.pattern, regex.flags)

    def try_compile(self) -> re.Pattern[Any]:
        """As one of Python's; `re.error` where it is none."""
        return re.compile(self.pattern, self.flags)

    def __repr__(self) -> str:
        return f"Regex({self.pattern!r}, {self.flags})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Regex):
            return self.pattern == other.pattern and self.flags == other.flags
        return NotImplemented


class Code(str):
    """JavaScript, with the variables of its scope or None."""

    __hash__ = None  # type: ignore[assignment]
    _type_marker: ClassVar[int] = 13
    __scope: Mapping[str, Any] | None

    def __new__(cls, code: str, scope: Mapping[str, Any] | None = None) -> Code:
        self = super().__new__(cls, code)
        self.__scope = scope
        return self

    @property
    def scope(self) -> Mapping[str, Any] | None:
        """Variables of its scope, or None."""
        return self.__scope

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Code):
            return self.__scope == other.__scope and str(self) == str(other)
        return False

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __repr__(self) -> str:
        return f"Code({str(self)!r}, {self.__scope!r})"


class DBRef:
    """A reference to a document: its collection, its _id and perhaps its database."""

    _type_marker: ClassVar[int] = 100

    def __init__(
        self,
        collection: str,
        id: Any,
        database: str | None = None,
        _extra: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.collection = collection
        self.id = id
        self.database = database
        self._extra = {**(_extra or {}), **kwargs}

    def as_doc(self) -> dict[str, Any]:
        """The document that stands for it: `$ref`, `$id`, and `$db` where it has a database."""
        doc = {"$ref": self.collection, "$id": self.id}
        if self.database is not None:
            doc["$db"] = self.database
        return {**doc, **self._extra}

    def __repr__(self) -> str:
        return f"DBRef({self.collection!r}, {self.id!r}, {self.database!r})"

    def __eq__(self, other: object) -> bool:
        return self.as_doc() == other.as_doc() if isinstance(other, DBRef) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.collection, self.database))


class MinKey:
    """What sorts before every other value."""

    __slots__ = ()
    _type_marker: ClassVar[int] = 255

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MinKey)

    def __hash__(self) -> int:
        return hash(self._type_marker)

    def __lt__(self, other: object) -> bool:
        return not isinstance(other, MinKey)

    def __le__(self, other: object) -> bool:
        return True

    def __gt__(self, other: object) -> bool:
        return False

    def __ge__(self, other: object) -> bool:
        return isinstance(other, MinKey)

    def __repr__(self) -> str:
        return "MinKey()"


class MaxKey:
    """What sorts behind every other value."""

    __slots__ = ()
    _type_marker: ClassVar[int] = 127

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MaxKey)

    def __hash__(self) -> int:
        return hash(self._type_marker)

    def __lt__(self, other: object) -> bool:
        return False

    def __le__(self, other: object) -> bool:
        return isinstance(other, MaxKey)

    def __gt__(self, other: object) -> bool:
        return not isinstance(other, MaxKey)

    def __ge__(self, other: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "MaxKey()"


@total_ordering
class DatetimeMS:
    """Milliseconds since 1970, for what datetime cannot say or should not."""

    __slots__ = ("_value",)
    _type_marker: ClassVar[int] = 9

    def __init__(self, value: int | datetime.datetime) -> None:
        if isinstance(value, datetime.datetime):
            if value.tzinfo is None:
                value = value.replace(tzinfo=utc)
            since = value - datetime.datetime(1970, 1, 1, tzinfo=utc)
            value = since // datetime.timedelta(milliseconds=1)
        if not -(2**63) <= value < 2**63:
            raise OverflowError("a DatetimeMS is of 64 bits")
        self._value = int(value)

    def __int__(self) -> int:
        return self._value

    def as_datetime(self) -> datetime.datetime:
        """In UTC, with its time zone. Raises OverflowError outside the years 1 to 9999."""
        start = datetime.datetime(1970, 1, 1, tzinfo=utc)
        return start + datetime.timedelta(milliseconds=self._value)

    def __repr__(self) -> str:
        return f"DatetimeMS({self._value})"

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, DatetimeMS) else NotImplemented

    def __lt__(self, other: DatetimeMS) -> bool:
        return self._value < other._value if isinstance(other, DatetimeMS) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value)


class UuidRepresentation(IntEnum):
    """How a UUID stands in BSON; drivers once differed."""

    UNSPECIFIED = 0  # Binary in, and no UUID out
    PYTHON_LEGACY = 3
    STANDARD = 4  # binary subtype 4; the legacy ones are subtype 3
    JAVA_LEGACY = 5
    CSHARP_LEGACY = 6


class DatetimeConversion(IntEnum):
    """What a date becomes."""

    DATETIME = 1  # outside the years 1 to 9999 is an error
    DATETIME_CLAMP = 2
    DATETIME_MS = 3
    DATETIME_AUTO = 4  # DatetimeMS where datetime cannot say it


class CodecOptions(NamedTuple):
    """How BSON's values become Python's, and back."""

    document_class: type[Any] = dict
    tz_aware: bool = False
    uuid_representation: int = UuidRepresentation.UNSPECIFIED
    unicode_decode_error_handler: str = "strict"
    tzinfo: datetime.tzinfo | None = None
    type_registry: Any = None
    datetime_conversion: int = DatetimeConversion.DATETIME
