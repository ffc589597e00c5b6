"""JSON in bytes to Python objects and back, in C (RFC 8259)."""

from __future__ import annotations

from weft._core import DecodeError, EncodeError
from weft._core import json_decode as decode
from weft._core import json_encode as encode

__all__ = ["DecodeError", "EncodeError", "decode", "encode"]
