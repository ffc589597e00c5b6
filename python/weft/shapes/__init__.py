"""Types, read once and compiled for the codecs.

>>> weft.shape(list[int]).decode_json(b"[1, 2]")
[1, 2]
"""

from __future__ import annotations

from weft.shapes.compiled import Shape, shape
from weft.shapes.json_schema import SchemaError

__all__ = ["SchemaError", "Shape", "shape"]
