"""The markers that say where a parameter comes from.

Used in ``Annotated[int, Query(ge=1)]`` or as the default value, ``q: int = Query(1, ge=1)``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypedDict, Unpack

__all__ = ["Body", "Cookie", "Header", "Path", "Query"]

# Checked by weft itself where the type allows it.
CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
# Mean something to pydantic only: a parameter with one of them is handed over to it.
PYDANTIC_OPTIONS = (
    "strict",
    "discriminator",
    "union_mode",
    "fail_fast",
    "allow_inf_nan",
    "max_digits",
    "decimal_places",
)
# For the OpenAPI document.
DOCUMENTATION = (
    "title",
    "description",
    "examples",
    "openapi_examples",
    "deprecated",
    "include_in_schema",
    "json_schema_extra",
    "serialization_alias",
    "alias_priority",
)


class Options(TypedDict, total=False):
    """What every marker takes."""

    default_factory: Callable[[], Any] | None
    alias: str | None
    validation_alias: Any
    validate_default: bool | None
    gt: float | None
    ge: float | None
    lt: float | None
    le: float | None
    multiple_of: float | None
    min_length: int | None
    max_length: int | None
    pattern: str | re.Pattern[str] | None
    strict: bool | None
    discriminator: Any
    union_mode: Any
    fail_fast: bool | None
    allow_inf_nan: bool | None
    max_digits: int | None
    decimal_places: int | None
    title: str | None
    description: str | None
    examples: list[Any] | None
    openapi_examples: dict[str, Any] | None
    deprecated: bool | str | None
    include_in_schema: bool
    json_schema_extra: Any
    serialization_alias: str | None
    alias_priority: int | None


class Marker:
    """What a call of ``Query(...)`` and the like makes. ``default`` is ``...`` without one."""

    source: ClassVar[str]

    def __init__(self, default: Any, options: Mapping[str, Any]) -> None:
        unknown = options.keys() - Options.__annotations__.keys()
        if unknown:
            raise TypeError(f"{self.name}() got an unexpected keyword argument {min(unknown)!r}")
        self.default = default
        self.default_factory: Callable[[], Any] | None = options.get("default_factory")
        if self.default_factory is not None and default is not ...:
            raise TypeError(f"{self.name}() takes a default or a default_factory, not both")
        self.alias: str | None = options.get("alias")
        self.validation_alias: Any = options.get("validation_alias")
        self.validate_default = bool(options.get("validate_default"))
        self.constraints = _given(options, CONSTRAINTS)
        self.pydantic_options = _given(options, PYDANTIC_OPTIONS)
        self.documentation = _given(options, DOCUMENTATION)

    @property
    def name(self) -> str:
        return self.source.capitalize()

    def __repr__(self) -> str:
        return f"{self.name}({'' if self.default is ... else repr(self.default)})"


def _given(options: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: options[name] for name in names if options.get(name) is not None}


class PathMarker(Marker):
    source = "path"

    def __init__(self, default: Any, options: Mapping[str, Any]) -> None:
        if default is not ...:
            raise TypeError("Path parameters cannot have a default value")
        super().__init__(default, options)


class QueryMarker(Marker):
    source = "query"


class HeaderMarker(Marker):
    source = "header"

    def __init__(
        self, default: Any, options: Mapping[str, Any], *, convert_underscores: bool = True
    ) -> None:
        super().__init__(default, options)
        self.convert_underscores = convert_underscores


class CookieMarker(Marker):
    source = "cookie"


class BodyMarker(Marker):
    source = "body"

    def __init__(
        self,
        default: Any,
        options: Mapping[str, Any],
        *,
        embed: bool | None = None,
        media_type: str = "application/json",
    ) -> None:
        super().__init__(default, options)
        self.embed = embed
        self.media_type = media_type


# Functions, so that `q: int = Query(1)` passes a type checker: what they return is Any.


def Path(default: Any = ..., **options: Unpack[Options]) -> Any:
    """A ``{name}`` of the route's path."""
    return PathMarker(default, options)


def Query(default: Any = ..., **options: Unpack[Options]) -> Any:
    """A parameter of the query string; the last one where it is repeated, all for a list."""
    return QueryMarker(default, options)


def Header(
    default: Any = ..., *, convert_underscores: bool = True, **options: Unpack[Options]
) -> Any:
    """A field of the request head: ``user_agent`` reads ``user-agent``."""
    return HeaderMarker(default, options, convert_underscores=convert_underscores)


def Cookie(default: Any = ..., **options: Unpack[Options]) -> Any:
    """A cookie."""
    return CookieMarker(default, options)


def Body(
    default: Any = ...,
    *,
    embed: bool | None = None,
    media_type: str = "application/json",
    **options: Unpack[Options],
) -> Any:
    """The body, or one key of it where there are several body parameters or ``embed`` is true."""
    return BodyMarker(default, options, embed=embed, media_type=media_type)
