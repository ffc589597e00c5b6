"""One parameter of a handler to its step: where its value comes from, and its default."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from copy import copy, deepcopy
from typing import Any, get_args

from weft.background import BackgroundTasks
from weft.params import (
    Dependency,
    Depends,
    FileMarker,
    HeaderMarker,
    Marker,
    PathMarker,
    Security,
)
from weft.paths import convertor_type
from weft.security.scopes import SecurityScopes
from weft.signature.annotations import (
    holds,
    is_complex,
    is_json,
    is_scalar_sequence,
    is_sequence,
    is_upload,
    split,
    type_name,
)
from weft.signature.conversions import conversion_of, model_conversion
from weft.signature.models import (
    form_fields,
    form_has_extras,
    form_is_native,
    model_of,
    parameter_model,
)
from weft.signature.steps import Conversion, Step


def step_of(
    parameter: inspect.Parameter,
    path_names: list[str],
    convertors: Mapping[str, str],
    request_class: type | None,
    response_class: type | None,
) -> Step:
    name = parameter.name
    keyword = parameter.kind is parameter.KEYWORD_ONLY
    annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
    default = ... if parameter.default is parameter.empty else parameter.default
    base, metadata = split(annotation)
    depends = _depends(base, metadata, default)
    if depends is not None:
        return Step(name, "dependency", Conversion("any"), (), (), keyword=keyword, depends=depends)
    marker = _marker(metadata, default)
    if marker is None and is_upload(base):
        marker = FileMarker(..., {})
    if isinstance(default, Marker):
        default = default.default
    elif marker is not None and marker.default is not ...:
        raise TypeError(
            f"{marker.name}() in Annotated cannot have a default value: write `{name}: ... = value`"
        )

    injected = _injected(base, request_class, response_class)
    if injected is not None:
        if marker is not None:
            raise TypeError(f"{marker.name}() cannot be used with {base.__name__}")
        kind = "factory" if injected == "value" else "required"
        return Step(
            name,
            injected,
            Conversion("any"),
            (),
            (),
            keyword=keyword,
            default_kind=kind,
            default=base,
        )

    source = _source(name, base, marker, path_names)
    if source in ("query", "header", "cookie") and (model := model_of(base)) is not None:
        kind, value = _default(default, marker, metadata, source)
        conversion = model_conversion(base, metadata, marker)
        return Step(
            name,
            source,
            conversion,
            (name,),
            (name.encode(),),
            keyword=keyword,
            default_kind=kind,
            default=value,
            annotation=annotation,
            marker=marker,
            model=parameter_model(base, model, source, marker, conversion),
        )
    names, keys, index = _names(name, source, marker, metadata, path_names)
    if source == "path" and annotation is Any and names[0] in convertors:
        base = annotation = convertor_type(convertors[names[0]])
    if source != "path" and marker is not None and default is not ... and marker.default_factory:
        raise TypeError("there is a default and a default_factory")
    fields = form_fields(base, marker, metadata)
    conversion = (
        model_conversion(base, metadata, marker)
        if fields
        else conversion_of(base, metadata, marker, source)
    )
    kind, value = _default(default, marker, metadata, source)
    return Step(
        name,
        source,
        conversion,
        names,
        keys,
        index=index,
        many=source in ("query", "header", "body") and is_sequence(base) and not is_json(metadata),
        keyword=keyword,
        default_kind=kind,
        default=value,
        validate_default=marker is not None and marker.validate_default and kind != "required",
        annotation=annotation,
        marker=marker,
        raw=isinstance(marker, FileMarker) and holds(base, bytes),
        form_fields=fields,
        form_optional=type(None) in get_args(base),
        form_native=form_is_native(base, fields, conversion),
        form_extras=form_has_extras(base, fields),
    )


def _injected(base: Any, request_class: type | None, response_class: type | None) -> str | None:
    """The source of what is not in the request, by its class."""
    if not isinstance(base, type):
        return None
    if request_class is not None and (
        # A class that Request inherits from, HTTPConnection, can be asked for too.
        issubclass(base, request_class) or base in request_class.__mro__[1:-1]
    ):
        return "request"
    if response_class is not None and issubclass(base, response_class):
        return "response"
    if issubclass(base, BackgroundTasks):
        return "background"
    return "value" if issubclass(base, SecurityScopes) else None


def _depends(base: Any, metadata: tuple[Any, ...], default: Any) -> Dependency | None:
    found = [item for item in metadata if isinstance(item, (Marker, Dependency))][-1:]
    for item in (*metadata, default):
        if item in (Depends, Security):
            raise TypeError(f"{item.__name__} must be called: {item.__name__}()")
    if isinstance(default, Dependency):
        if found:
            raise TypeError("there is a marker in Annotated and Depends() as the default value")
        found = [default]
    if not found or not isinstance(found[0], Dependency):
        return None
    depends = found[0]
    if depends.dependency is None:  # the class itself
        if not callable(base) or base is Any:
            raise TypeError("Depends() without a dependency needs a class as the annotation")
        depends = copy(depends)
        depends.dependency = base
    return depends


def _marker(metadata: tuple[Any, ...], default: Any) -> Marker | None:
    for item in (*metadata, default):
        if isinstance(item, type) and issubclass(item, Marker):
            raise TypeError(f"{item.source.capitalize()} must be called: {item.__name__}()")
    found = [item for item in metadata if isinstance(item, Marker)]
    if isinstance(default, Marker):
        if found:
            raise TypeError("there is a marker in Annotated and another as the default value")
        return default
    return found[-1] if found else None


def _source(name: str, base: Any, marker: Marker | None, path_names: list[str]) -> str:
    if marker is not None and name not in path_names:
        source = marker.source
    elif name in path_names:
        if marker is not None and not isinstance(marker, PathMarker):
            raise TypeError(f"{marker.name}() cannot be used for a parameter of the path")
        source = "path"
    else:
        source = "body" if is_complex(base) else "query"
    if source == "path" and is_complex(base):
        raise TypeError(f"a path parameter cannot be {type_name(base)}")
    scalar = not is_complex(base) or is_scalar_sequence(base) or model_of(base) is not None
    if source in ("query", "header", "cookie") and not scalar:
        raise TypeError(f"a {source} parameter cannot be {type_name(base)}: use Body()")
    return source


def _names(
    name: str,
    source: str,
    marker: Marker | None,
    metadata: tuple[Any, ...],
    path_names: list[str],
) -> tuple[tuple[str, ...], tuple[bytes, ...], int]:
    alias = marker.alias if marker is not None else None
    validation_alias = marker.validation_alias if marker is not None else None
    if marker is None:  # pydantic.Field(alias=...) beside no marker of ours
        for item in metadata:
            alias = getattr(item, "alias", None) or alias
            validation_alias = getattr(item, "validation_alias", None) or validation_alias
    if alias is None:
        convert = isinstance(marker, HeaderMarker) and marker.convert_underscores
        alias = name.replace("_", "-") if convert else name
    names: tuple[str, ...] = (alias,)
    if isinstance(validation_alias, str):
        names = (validation_alias,)
    elif validation_alias is not None:  # pydantic.AliasChoices, by its looks
        choices = getattr(validation_alias, "choices", None)
        if not choices or not all(isinstance(choice, str) for choice in choices):
            raise TypeError(f"validation_alias cannot be {validation_alias!r}: use names")
        names = tuple(choices)
    index = 0
    if source == "path":
        missing = names[0]
        names = tuple(n for n in names if n in path_names)[:1]
        if not names:
            raise TypeError(f"there is no {{{missing}}} in the path of the route")
        index = path_names.index(names[0])
    return *_spelt(names, source), index


@functools.lru_cache(maxsize=1024)
def _spelt(names: tuple[str, ...], source: str) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
    """The names, and those on the wire: parameters of many routes are called alike."""
    if source == "header":
        return names, tuple(name.lower().encode("latin-1", "replace") for name in names)
    if source == "cookie":
        return names, tuple(name.encode("latin-1", "replace") for name in names)
    return names, tuple(name.encode() for name in names)


def _default(
    default: Any, marker: Marker | None, metadata: tuple[Any, ...], source: str
) -> tuple[str, Any]:
    if source == "path":
        return "required", None
    factory = marker.default_factory if marker is not None else None
    for item in metadata:  # pydantic.Field(default_factory=...)
        factory = factory or getattr(item, "default_factory", None)
    if factory is not None:
        return "factory", factory
    if default is ...:
        return "required", None
    if type(default).__module__ == "pydantic.fields":
        raise TypeError("pydantic.Field() as the default says no source: use Query() or the like")
    # What copying gives back unchanged needs no copy.
    return ("value" if deepcopy(default) is default else "copy"), default
