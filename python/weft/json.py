"""JSON in bytes to Python objects and back, in C.

    >>> from weft import json
    >>> json.encode({"message": "Hello", "at": date(2024, 2, 29)})
    b'{"message":"Hello","at":"2024-02-29"}'
    >>> json.decode(b'{"n": 12345678901234567890123}')
    {'n': 12345678901234567890123}
    >>> json.decode(b'[{"name": "a"}, {"name": 1}]', type=list[User])
    Traceback (most recent call last):
    weft.json.DecodeError: expected str, got int at [1].name: line 1 column 26 (char 25)

`decode` takes RFC 8259 to the letter, in bytes, a buffer or a str, and nothing beyond: no NaN, no
trailing comma, no lone surrogate, no number past a double's range, no encoding but UTF-8 (a byte
order mark in front of bytes is passed over). Integers are exact up to sys.get_int_max_str_digits(),
floats the nearest; the last of equal names wins; 512 levels may be nested.

With `type=`, `decode` makes values of that type: scalars, dates, UUID, Decimal, enums, containers,
unions, TypedDict, NamedTuple, dataclasses, attrs, msgspec Structs and pydantic models, filled in
C. A `Decoder` keeps the type. What is not of the type is a DecodeError with the path to it; for
pydantic's models it is pydantic's own ValidationError, of `model_validate(json.loads(data))`.

`encode` writes what FastAPI's jsonable_encoder makes of an object: besides JSON's own types
dataclasses, enums, dates and times, UUID, Decimal, sets, deques, generators, paths, IP addresses,
bytes that are UTF-8, pydantic models, msgspec Structs and attrs. What else there is goes through
`default`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from weft._core import DecodeError, EncodeError
from weft._core import json_decode as decode
from weft._core import json_encode as encode
from weft.shapes.compiled import shape

__all__ = ["DecodeError", "Decoder", "EncodeError", "decode", "encode"]

T = TypeVar("T")


class Decoder(Generic[T]):
    """`decode(data, type=type, strict=strict)` with the type read once.

    TypeError where it cannot be read."""

    __slots__ = ("decode", "strict", "type")

    decode: Callable[[bytes | bytearray | memoryview | str], T]
    """The value of one document; errors as of `weft.json.decode`."""

    def __init__(self, type: type[T] | Any = Any, *, strict: bool = True) -> None:
        self.type = type
        self.strict = strict
        native = shape(type).native
        self.decode = native.decode_json if strict else native.decode_json_lax

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.type!r}, strict={self.strict})"
