"""Conversions: native where value and errors are certain to be pydantic's, else pydantic."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

from weft import _core
from weft.datastructures import UploadFile
from weft.params import FileMarker, FormMarker, Marker
from weft.shapes import objectid
from weft.shapes.annotations import is_object_id, is_pydantic
from weft.shapes.compiled import describe as describe_shape
from weft.shapes.core_schema import adapter_of
from weft.shapes.nodes import Node, runs_code
from weft.shapes.pydantic import describe as describe_judged
from weft.signature.annotations import UNIONS, holds, is_sequence, is_subclass, split, type_name
from weft.signature.constraints import (
    LENGTHS,
    constraints_of,
    float_check,
    int_check,
    items_check,
    text_check,
    with_checks,
)
from weft.signature.steps import Conversion, Step

# Types a plan reads from text itself. By name, so that none of their modules is imported here.
_SCALARS = {
    ("builtins", "int"): "int",
    ("builtins", "float"): "float",
    ("builtins", "bool"): "bool",
    ("builtins", "bytes"): "bytes",
    ("uuid", "UUID"): "uuid",
    ("datetime", "date"): "date",
    ("datetime", "time"): "time",
    ("datetime", "datetime"): "datetime",
    ("datetime", "timedelta"): "timedelta",
    ("decimal", "Decimal"): "decimal",
}

# As pydantic says it of a ValueError, and FastAPI of its context.
_OBJECT_ID: tuple[str, str, dict[str, Any] | None] = (
    "value_error",
    f"Value error, {objectid.MESSAGE}",
    {"error": {}},
)


def conversion_of(
    annotation: Any, metadata: tuple[Any, ...], marker: Marker | None, source: str
) -> Conversion:
    constraints = constraints_of(metadata, marker)
    conversion = None
    if constraints is not None and not (marker is not None and marker.validate_default):
        if isinstance(marker, FormMarker):
            conversion = _native_form(annotation, constraints, marker)
        elif source == "body":
            conversion = _native_body(annotation, constraints)
        elif source in ("query", "header") and is_sequence(annotation):
            conversion = _native_list(annotation, constraints)
        else:
            conversion = _native(annotation, constraints)
    if conversion is None and source == "body" and not isinstance(marker, FormMarker):
        return _shaped(annotation, metadata, marker)
    if conversion is not None:
        return conversion
    why = f"only pydantic reads text as {type_name(annotation)}"
    if constraints is None:
        why = "it has a validator or an option that only pydantic knows"
    elif marker is not None and marker.validate_default:
        why = "its default is validated"
    elif constraints:
        why += f" with {', '.join(constraints)}"
    return handed_over(annotation, metadata, marker, why)


def _native(annotation: Any, constraints: Mapping[str, Any]) -> Conversion | None:
    """A scalar read from text, or None where only pydantic knows how."""
    annotation, metadata = split(annotation)
    if metadata:
        inner = constraints_of(metadata, None)
        if inner is None:
            return None
        constraints = {**inner, **constraints}
    origin = get_origin(annotation)
    if origin in UNIONS:
        choices = [arg for arg in get_args(annotation) if arg is not type(None)]
        if len(choices) == 1:
            return _native(choices[0], constraints)
        return None if constraints else _union(choices)
    if annotation is str:
        return with_checks(_scalar("str", None), constraints, text_check)
    if annotation is Any or annotation is object:
        return None if constraints else Conversion("any", label="any")
    if origin is Literal:
        return None if constraints else _literal(get_args(annotation))
    if is_subclass(annotation, Enum):
        return None if constraints else _enum(annotation)
    if is_object_id(annotation):
        return None if constraints else Conversion("objectid", error=_OBJECT_ID, label="ObjectId")
    key = (getattr(annotation, "__module__", ""), getattr(annotation, "__qualname__", ""))
    kind = _SCALARS.get(key) if isinstance(annotation, type) else None
    if kind is None:
        return None
    conversion = _scalar(kind, annotation)
    for op in constraints:
        if op in LENGTHS and kind != "bytes":
            raise TypeError(f"{op} says nothing about {kind}")
    if kind in ("int", "float"):
        return with_checks(conversion, constraints, int_check if kind == "int" else float_check)
    return None if constraints else conversion


@functools.cache
def _scalar(kind: str, data: type | None) -> Conversion:
    """Without constraints: one for all parameters, as there are no more types than in _SCALARS."""
    return Conversion(kind, data=data, label=kind)


def _union(choices: list[Any]) -> Conversion | None:
    # pydantic's smart mode prefers what the text is without conversion: itself, where str is a
    # choice. Else each of these is a conversion, none better than another: the first that succeeds.
    if any(choice is str for choice in choices) and all(map(_plain, choices)):
        return _scalar("str", None)
    if not all(map(_plain, choices)):
        return None
    items = tuple(conversion for choice in choices if (conversion := _native(choice, {})))
    return Conversion("union", items=items) if len(items) == len(choices) else None


def _plain(annotation: Any) -> bool:
    key = (getattr(annotation, "__module__", ""), getattr(annotation, "__qualname__", ""))
    return annotation is str or (isinstance(annotation, type) and key in _SCALARS)


def _expected(kind: str, values: Sequence[Any]) -> tuple[str, str, dict[str, Any]]:
    *most, last = map(repr, values)
    text = f"{', '.join(most)} or {last}" if most else last
    return kind, f"Input should be {text}", {"expected": text}


def _literal(values: tuple[Any, ...]) -> Conversion | None:
    if not all(type(value) is str for value in values):
        return None
    return Conversion(
        "lookup",
        data={value: value for value in values},
        error=_expected("literal_error", values),
        label=f"literal[{','.join(map(repr, values))}]",
    )


def _enum(cls: type[Enum]) -> Conversion | None:
    if cls._missing_.__func__ is not Enum._missing_.__func__ or not len(cls):  # type: ignore[attr-defined]
        return None
    values = [member.value for member in cls]
    error = _expected("enum", values)
    if issubclass(cls, int):
        members = {int(value): member for value, member in zip(values, cls, strict=True)}
        return Conversion("lookup_int", data=members, error=error, label=cls.__name__)
    if issubclass(cls, float):
        return None
    named = {str(m.value): m for m in cls if isinstance(m.value, str)}
    return Conversion("lookup", data=named, error=error, label=cls.__name__)


def _native_list(annotation: Any, constraints: Mapping[str, Any]) -> Conversion | None:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in UNIONS:
        choices = [arg for arg in args if arg is not type(None)]
        return _native_list(choices[0], constraints) if len(choices) == 1 else None
    container = origin or annotation
    if container is tuple and args:
        if len(args) != 2 or args[1] is not ...:
            return None
    elif container not in (list, set, frozenset, tuple):
        return None
    item = _native(args[0] if args else Any, {})
    if item is None or (constraints and container is not list):
        return None
    return with_checks(Conversion("list", data=container, items=(item,)), constraints, items_check)


def _native_form(
    annotation: Any, constraints: Mapping[str, Any], marker: FormMarker
) -> Conversion | None:
    optional = [arg for arg in get_args(annotation) if arg is not type(None)]
    if get_origin(annotation) in UNIONS and len(optional) == 1:
        annotation = optional[0]
    if constraints and holds(annotation, (UploadFile, bytes)):
        return None
    item = get_args(annotation)[0] if get_origin(annotation) is list else annotation
    found = None
    if item is UploadFile:
        found = Conversion("upload", label="UploadFile")
    elif item is bytes and isinstance(marker, FileMarker):
        found = Conversion("raw", label="bytes")
    if found is not None:
        return found if item is annotation else Conversion("list", data=list, items=(found,))
    if is_sequence(annotation):
        return _native_list(annotation, constraints)
    return _native(annotation, constraints)


def _native_body(annotation: Any, constraints: Mapping[str, Any]) -> Conversion | None:
    """What needs no more than a look at what the JSON held."""
    if constraints:
        return None
    if annotation is Any or annotation is object:
        return Conversion("any", label="any")
    if annotation is bytes:
        return Conversion("raw", label="bytes")
    if annotation is dict or annotation == dict[str, Any]:
        error = ("dict_type", "Input should be a valid dictionary", None)
        return Conversion("object", error=error, label="dict")
    if annotation is list or annotation == list[Any]:
        return Conversion(
            "array", error=("list_type", "Input should be a valid list", None), label="list"
        )
    return None


# ---- models of parameters ----


def model_conversion(
    annotation: Any, metadata: tuple[Any, ...], marker: Marker | None
) -> Conversion:
    """A model whose fields are parameters each: read by its shape where that can be said of text,
    and where that finds it invalid by pydantic."""
    name = type_name(annotation)
    adapter, error_class = _adapter(annotation, metadata, marker)
    validate = adapter.validator.validate_python
    node = describe_judged(adapter, validate, name, from_attributes=True)
    made = text_object(node)
    if made is None:
        why = node.why or "it is a model of parameters"
        return handed_over(annotation, metadata, marker, why)
    data = (_core.Shape(node), validate, error_class, False, runs_code(node))
    return Conversion("shape", data=data, label=name)


def text_object(node: Node) -> Node | None:
    """The object of a shape that is read from text: itself, or beneath validators and None."""
    while node.kind in ("after", "union"):
        if node.kind == "union":
            if "object" not in node.classes:
                return None
            node = node.items[node.classes["object"]]
        else:
            node = node.items[0]
    # What has more than its fields is pydantic's, and numbers that are never made of text.
    if node.kind != "object" or node.make == "root_model" or node.array or node.extra == "allow":
        return None
    return node if not any(inner.strict for inner in node.walk()) else None


# ---- handing over ----


def handed_over(
    annotation: Any, metadata: tuple[Any, ...], marker: Marker | None, why: str
) -> Conversion:
    adapter, error_class = _adapter(annotation, metadata, marker)
    return Conversion(
        "handed",
        data=(adapter.validator.validate_python, error_class),
        label=f"pydantic {type_name(annotation)}",
        why=why,
    )


def _adapter(annotation: Any, metadata: tuple[Any, ...], marker: Marker | None) -> tuple[Any, Any]:
    """pydantic's TypeAdapter and ValidationError."""
    name = type_name(annotation)
    try:
        import pydantic
        import pydantic_core
    except ImportError:
        raise TypeError(
            f"reading {name} is pydantic's part, which is not installed: pip install pydantic. By "
            "itself weft reads text as str, bytes, bool, numbers, dates, times, UUID, Decimal, "
            "Enum, Literal and lists of them, and bodies as bytes, dict, list, Any, and as what "
            "weft.shape() reads: dataclasses, TypedDict, msgspec Structs, attrs and the like"
        ) from None
    extra: list[Any] = []
    for item in metadata if marker in metadata else (*metadata, marker):
        if isinstance(item, Marker):
            options = item.constraints | item.pydantic_options
            item = pydantic.Field(**options) if options else None
        if item is not None:
            extra.append(item)
    if extra:
        annotation = Annotated[(annotation, *extra)]
    return adapter_of(annotation, name), pydantic_core.ValidationError


def _shaped(annotation: Any, metadata: tuple[Any, ...], marker: Marker | None) -> Conversion:
    """A body that is read straight into what it is to be. pydantic is the judge where it is
    installed and can read the type, and reads all of it where it has to."""
    name = type_name(annotation)
    try:
        adapter, error_class = _adapter(annotation, metadata, marker)
    except TypeError as refusal:
        if is_pydantic(annotation) or (marker is not None and marker.constraints):
            raise
        extra = tuple(item for item in metadata if not isinstance(item, Marker))
        try:
            node = describe_shape(Annotated[(annotation, *extra)] if extra else annotation)
        except TypeError as exc:
            raise TypeError(f"{refusal}; and weft.shape(): {exc}") from exc
        runs = runs_code(node)
        data = (_core.Shape(node), None, None, not runs, runs)
        return Conversion("shape", data=data, label=name)
    validate = adapter.validator.validate_python
    node = describe_judged(adapter, validate, name, from_attributes=True)
    if node.kind == "handed":
        return handed_over(annotation, metadata, marker, node.why)
    data = (_core.Shape(node), validate, error_class, True, runs_code(node))
    return Conversion("shape", data=data, label=name)


def judge(step: Step, value: Any) -> tuple[Any, Exception | None]:
    """What pydantic makes of a value that the step's own conversion cannot take, or its error."""
    _, metadata = split(step.annotation)
    validate, error_class = handed_over(step.annotation, metadata, step.marker, "").data
    try:
        return validate(value), None
    except error_class as exc:
        return None, exc
