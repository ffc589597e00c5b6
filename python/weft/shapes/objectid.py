"""BSON's ObjectId where there is only text: in parameters, and in JSON."""

from __future__ import annotations

import re
import types
import typing
from typing import Annotated, Any

from weft.shapes.annotations import is_object_id

__all__ = ["MESSAGE", "PATTERN", "Text", "read", "readable"]

PATTERN = "^[0-9a-fA-F]{24}$"
MESSAGE = "an ObjectId is a string of 24 hexadecimal digits"

_DIGITS = re.compile("[0-9a-fA-F]{24}")


def read(value: Any) -> Any:
    """An ObjectId of its digits, or as it is. ValueError for anything else."""
    from weft.bson import ObjectId

    if isinstance(value, ObjectId):
        return value
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return ObjectId(value)
    raise ValueError(MESSAGE)


class Text:
    """Has pydantic read an ObjectId of its digits, and write these in JSON."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return {
            "type": "function-plain",
            "function": {"type": "no-info", "function": read},
            "serialization": {"type": "function-plain", "function": str, "when_used": "json"},
        }

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": PATTERN}


def readable(annotation: Any) -> Any:
    """The annotation with what lets pydantic read each ObjectId in it."""
    if is_object_id(annotation):
        return Annotated[annotation, Text()]
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        inner = readable(args[0])
        changed = inner is not args[0] and not any(isinstance(arg, Text) for arg in args[1:])
        return Annotated[(inner, *args[1:])] if changed else annotation
    if origin is None or origin is typing.Literal:
        return annotation
    made = tuple(readable(arg) for arg in args)
    if all(new is old for new, old in zip(made, args, strict=True)):
        return annotation
    if origin in (typing.Union, types.UnionType):
        return typing.Union[made]  # noqa: UP007
    return origin[made] if origin in (list, set, frozenset, tuple, dict) else annotation
