"""Models whose fields are parameters each: of the query, headers, cookies, or a form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from weft.params import FileMarker, FormMarker, HeaderMarker, Marker
from weft.shapes.nodes import Field
from weft.signature.annotations import (
    UNIONS,
    holds,
    is_dataclass,
    is_json,
    is_model,
    is_sequence,
    split,
)
from weft.signature.conversions import text_object
from weft.signature.steps import Conversion, ParameterModel


def model_of(annotation: Any) -> Any:
    """The class of a parameter model, or None: a pydantic model or a dataclass, None beside it."""
    annotation, _ = split(annotation)
    if get_origin(annotation) in UNIONS:
        choices = [arg for arg in get_args(annotation) if arg is not type(None)]
        annotation = choices[0] if len(choices) == 1 else None
    return annotation if is_model(annotation) or is_dataclass(annotation) else None


def parameter_model(
    annotation: Any, model: Any, source: str, marker: Marker | None, conversion: Conversion
) -> ParameterModel:
    convert = source == "header" and isinstance(marker, HeaderMarker) and marker.convert_underscores
    config = dict(getattr(model, "model_config", None) or {})
    found = []
    renames = {}
    for name, field in model_fields(model):
        pairs = _field_keys(name, field, config, convert, source)
        many = is_sequence(split(field.annotation)[0]) and not is_json(tuple(field.metadata))
        found.append((pairs, many))
        if convert and "_" in name and name in (own for own, _ in pairs):
            renames[name] = name.replace("_", "-")
    return ParameterModel(
        fields=tuple(found),
        own_names=frozenset(key for pairs, _ in found for _, key in pairs),
        renames=renames if config.get("loc_by_alias", True) else {},
        optional=annotation is not model,
        extras_count=config.get("extra") in ("allow", "forbid"),
        keys=_native_keys(
            [pairs for pairs, _ in found], [*map(_name, model_fields(model))], conversion
        ),
    )


_FIELDS_MAX = 254  # of what the core reads itself


def _name(field: tuple[str, Any]) -> str:
    return field[0]


def _shape_fields(names: Sequence[str], conversion: Conversion) -> list[Field] | None:
    """Those of the shape that reads a model with these fields; None where none does."""
    if conversion.kind != "shape" or not 0 < len(names) <= _FIELDS_MAX:
        return None
    node = text_object(conversion.data[0].description)
    assert node is not None  # else it were no such conversion
    return node.fields if [field.name for field in node.fields] == [*names] else None


def _native_keys(
    found: Sequence[Sequence[tuple[str, str]]], names: Sequence[str], conversion: Conversion
) -> tuple[tuple[bytes, int], ...]:
    """`ParameterModel.keys`. Its shape takes a field by any of its own keys, pydantic what came by
    another key of the request too: those are -1."""
    fields = _shape_fields(names, conversion)
    if fields is None:
        return ()
    keys: list[tuple[bytes, int]] = []
    for i, (pairs, field) in enumerate(zip(found, fields, strict=True)):
        if not {own for own, _ in pairs} <= set(field.keys):
            return ()
        wire = [key for _, key in pairs]
        keys += [(key.encode(), -1) for key in field.keys if key not in wire]
        keys += [(key.encode(), i) for key in wire]
    return tuple(keys)


def form_is_native(
    annotation: Any,
    fields: tuple[tuple[tuple[str, ...], bool, bool], ...] | None,
    conversion: Conversion,
) -> bool:
    """Does its shape read the model of a form?"""
    model = model_of(annotation)
    if not fields or model is None:
        return False
    read = _shape_fields([*map(_name, model_fields(model))], conversion)
    return read is not None and all(
        set(names) == set(field.keys) for (names, _, _), field in zip(fields, read, strict=True)
    )


def model_fields(model: Any) -> Iterator[tuple[str, Any]]:
    """Name, and what pydantic makes of the annotation and the default."""
    fields: Mapping[str, Any] | None = getattr(model, "model_fields", None)
    if fields is None:
        import pydantic.dataclasses

        fields = pydantic.dataclasses.dataclass(model).__pydantic_fields__
    yield from fields.items()


def _field_keys(
    name: str, field: Any, config: Mapping[str, Any], convert: bool, source: str
) -> tuple[tuple[str, str], ...]:
    """(key for the model, key in the request): aliases first, the name where it is allowed."""

    def key(alias: str) -> str:
        made = alias.replace("_", "-") if convert and alias == name else alias
        return made.lower() if source == "header" else made

    alias = field.validation_alias
    choices = getattr(alias, "choices", None)
    if choices and all(isinstance(choice, str) for choice in choices):
        # choices are meant literally, underscores and all
        pairs = [(choice, choice.lower() if source == "header" else choice) for choice in choices]
    else:
        alias = alias if isinstance(alias, str) else field.alias or name
        pairs = [(alias, key(alias))]
    by_name = (name, key(name))
    if config.get("validate_by_alias") is False:
        return (by_name,)
    if config.get("validate_by_name", config.get("populate_by_name", False)):
        pairs += [] if name in (alias for alias, _ in pairs) else [by_name]
    return tuple(pairs)


def form_fields(
    annotation: Any, marker: Marker | None, metadata: tuple[Any, ...]
) -> tuple[tuple[tuple[str, ...], bool, bool], ...] | None:
    """The fields of a form's model; None for what is none, or is one field of a form itself."""
    if not isinstance(marker, FormMarker) or marker.embed or is_json(metadata):
        return None
    if get_origin(annotation) in UNIONS:
        models = [arg for arg in get_args(annotation) if arg is not type(None)]
        if not all(map(is_model, models)):
            return None
        annotation = models[0] if len(models) == 1 else None
        if annotation is None:
            return ()  # each judges what was sent by itself
    if not is_model(annotation):
        return None
    fields = []
    config = annotation.model_config
    for name, field in annotation.model_fields.items():
        names = tuple(own for own, _ in _field_keys(name, field, config, False, "body"))
        many = is_sequence(field.annotation) and not is_json(tuple(field.metadata))
        raw = any(isinstance(item, FileMarker) for item in (*field.metadata, field)) and holds(
            field.annotation, bytes
        )
        fields.append((names, many, raw))
    return tuple(fields)


def form_has_extras(annotation: Any, fields: Any) -> bool:
    """Are keys of no field something of a form's model, or of one of its models?"""
    models = [arg for arg in (annotation, *get_args(annotation)) if is_model(arg)]
    return fields is not None and any(
        model.model_config.get("extra") in ("allow", "forbid") for model in models
    )
