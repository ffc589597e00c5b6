"""JSON in bytes to Python objects and back, in C.

    >>> from weft import json
    >>> json.encode({"message": "Hello", "at": date(2024, 2, 29)})
    b'{"message":"Hello","at":"2024-02-29"}'
    >>> json.decode(b'{"n": 12345678901234567890123}')
    {'n': 12345678901234567890123}

`decode` takes RFC 8259 to the letter, in bytes, a buffer or a str, and nothing beyond: no NaN, no
trailing comma, no lone surrogate, no number past a double's range, no encoding but UTF-8 (a byte
order mark in front of bytes is passed over). Integers are exact up to sys.get_int_max_str_digits(),
floats the nearest; the last of equal names wins; 512 levels may be nested.

`encode` writes what FastAPI's jsonable_encoder makes of an object: besides JSON's own types
dataclasses, enums, dates and times, UUID, Decimal, sets, deques, generators, paths, IP addresses,
bytes that are UTF-8, pydantic models, msgspec Structs and attrs. What else there is goes through
`default`.
"""

from __future__ import annotations

from weft._core import DecodeError, EncodeError
from weft._core import json_decode as decode
from weft._core import json_encode as encode

__all__ = ["DecodeError", "EncodeError", "decode", "encode"]
