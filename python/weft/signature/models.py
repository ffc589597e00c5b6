"""Models whose fields are parameters each: of the query, headers, cookies, or a form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from weft.params import FileMarker, FormMarker, HeaderMarker, Marker
from weft.signature.annotations import (
    UNIONS,
    holds,
    is_dataclass,
    is_json,
    is_model,
    is_sequence,
    split,
)
from weft.signature.steps import ParameterModel


def model_of(annotation: Any) -> Any:
    """The class of a parameter model, or None: a pydantic model or a dataclass, None beside it."""
    annotation, _ = split(annotation)
    if get_origin(annotation) in UNIONS:
        choices = [arg for arg in get_args(annotation) if arg is not type(None)]
        annotation = choices[0] if len(choices) == 1 else None
    return annotation if is_model(annotation) or is_dataclass(annotation) else None


def parameter_model(
    annotation: Any, model: Any, source: str, marker: Marker | None
) -> ParameterModel:
    convert = source == "header" and isinstance(marker, HeaderMarker) and marker.convert_underscores
    config = dict(getattr(model, "model_config", None) or {})
    found = []
    renames = {}
    for name, field in model_fields(model):
        pairs = _field_keys(name, field, config, convert, source)
        found.append((pairs, is_sequence(split(field.annotation)[0])))
        if convert and "_" in name and name in (own for own, _ in pairs):
            renames[name] = name.replace("_", "-")
    return ParameterModel(
        fields=tuple(found),
        own_names=frozenset(key for pairs, _ in found for _, key in pairs),
        renames=renames if config.get("loc_by_alias", True) else {},
        optional=annotation is not model,
        extras_count=config.get("extra") in ("allow", "forbid"),
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
    for name, field in annotation.model_fields.items():
        alias = field.validation_alias or field.alias or name
        names = tuple(n for n in getattr(alias, "choices", (alias,)) if isinstance(n, str))
        if name not in names and annotation.model_config.get("populate_by_name"):
            names += (name,)
        many = is_sequence(field.annotation) and not is_json(tuple(field.metadata))
        raw = any(isinstance(item, FileMarker) for item in (*field.metadata, field)) and holds(
            field.annotation, bytes
        )
        fields.append((names, many, raw))
    return tuple(fields)
