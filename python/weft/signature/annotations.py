"""What an annotation is, as far as FastAPI's rules ask."""

from __future__ import annotations

import sys
import types
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass as has_fields
from typing import Annotated, Any, NewType, Union, get_args, get_origin

from weft.datastructures import UploadFile
from weft.shapes.annotations import is_alias

UNIONS = (Union, types.UnionType)
_PLAIN = (str, int, float, bool, bytes, types.NoneType)  # what most parameters are
_SEQUENCES = (Sequence, list, tuple, set, frozenset, deque)


def split(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """Annotated[T, ...] to T and the rest; names of types to what they name."""
    if type(annotation) is type:  # most are, and are asked about several times
        return annotation, ()
    while True:
        if is_alias(annotation):
            annotation = annotation.__value__
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        else:
            break
    if get_origin(annotation) is Annotated:
        base, *metadata = get_args(annotation)
        inner, more = split(base)
        return inner, (*more, *metadata)
    return annotation, ()


def is_subclass(annotation: Any, classes: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, classes)


def is_model(annotation: Any) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and is_subclass(annotation, pydantic.BaseModel)


def is_complex(annotation: Any) -> bool:
    """Does it come from the body where nothing else is said?"""
    if isinstance(annotation, type) and annotation in _PLAIN:
        return False
    origin = get_origin(annotation)
    if origin in UNIONS:
        return any(map(is_complex, get_args(annotation)))
    if origin is Annotated:
        return is_complex(get_args(annotation)[0])
    return (
        is_model(annotation)
        or is_subclass(annotation, Mapping)
        or is_subclass(origin, Mapping)
        or is_sequence(annotation)
        or any(map(_is_record, (annotation, origin)))
        or hasattr(origin, "__pydantic_core_schema__")
        or hasattr(origin, "__get_pydantic_core_schema__")
    )


def _is_record(cls: Any) -> bool:
    return has_fields(cls) or hasattr(cls, "__struct_fields__") or hasattr(cls, "__attrs_attrs__")


def holds(annotation: Any, cls: type | tuple[type, ...]) -> bool:
    """Is it that class, optional or in a sequence?"""
    if isinstance(annotation, type) and annotation in _PLAIN:
        return issubclass(annotation, cls)
    if get_origin(annotation) in UNIONS or is_sequence(annotation):
        return any(holds(arg, cls) for arg in get_args(annotation) if arg is not ...)
    return is_subclass(split(annotation)[0], cls)


def is_upload(annotation: Any) -> bool:
    return holds(annotation, UploadFile)


def is_sequence(annotation: Any) -> bool:
    if isinstance(annotation, type) and annotation in _PLAIN:
        return False
    origin = get_origin(annotation)
    if origin in UNIONS:
        return any(map(is_sequence, get_args(annotation)))
    if origin is Annotated:
        return is_sequence(get_args(annotation)[0])
    if is_subclass(annotation, (str, bytes)):
        return False
    return is_subclass(annotation, _SEQUENCES) or is_subclass(origin, _SEQUENCES)


def is_json(metadata: tuple[Any, ...]) -> bool:
    """pydantic.Json: one text that holds all of it."""
    return any(getattr(type(i), "__qualname__", "") == "Json" for i in metadata)


def is_scalar_sequence(annotation: Any) -> bool:
    if get_origin(annotation) in UNIONS:
        choices = get_args(annotation)
        return any(map(is_scalar_sequence, choices)) and all(
            is_scalar_sequence(choice) or not is_complex(choice) for choice in choices
        )
    return is_sequence(annotation) and not any(
        is_complex(arg) for arg in get_args(annotation) if arg is not ...
    )


def type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def is_dataclass(annotation: Any) -> bool:
    return isinstance(annotation, type) and has_fields(annotation)
