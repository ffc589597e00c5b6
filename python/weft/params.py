"""The markers that say where a parameter comes from: a place in the request, or a dependency.

Used in ``Annotated[int, Query(ge=1)]`` or as the default value, ``q: int = Query(1, ge=1)``.
"""

from __future__ import annotations

import re
from asyncio import AbstractEventLoop, Semaphore, get_running_loop
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypedDict, Unpack
from weakref import WeakKeyDictionary

__all__ = [
    "Body",
    "Cookie",
    "Depends",
    "File",
    "Form",
    "Header",
    "Path",
    "Query",
    "Security",
]

Scope = Literal["function", "request"]

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
    """called for each request that has no value"""
    alias: str | None
    """the name in the request, in place of the parameter's"""
    validation_alias: Any
    """the same, before `alias`; a pydantic `AliasChoices` names several"""
    validate_default: bool | None
    """judge the default as well"""
    gt: float | None
    ge: float | None
    lt: float | None
    le: float | None
    multiple_of: float | None
    """of numbers; as are `gt`, `ge`, `lt` and `le`, which bound them"""
    min_length: int | None
    max_length: int | None
    """of text in characters, of lists in items; as is `min_length`"""
    pattern: str | re.Pattern[str] | None
    """a regular expression that text has to have somewhere, as pydantic reads it"""
    strict: bool | None
    """pydantic's, as are those up to `decimal_places`: the value is pydantic's to judge then"""
    discriminator: Any
    union_mode: Any
    fail_fast: bool | None
    allow_inf_nan: bool | None
    max_digits: int | None
    decimal_places: int | None
    title: str | None
    """for the OpenAPI document, as is all from here on"""
    description: str | None
    """in Markdown"""
    examples: list[Any] | None
    """values, in its JSON Schema"""
    openapi_examples: dict[str, Any] | None
    """OpenAPI's Example Objects by name, which Swagger UI offers"""
    deprecated: bool | str | None
    include_in_schema: bool
    """False: the document is silent about it"""
    json_schema_extra: Any
    """a dict that is merged into its JSON Schema"""
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
        """What it is called, as in "Query"."""
        return self.source.capitalize()

    def __repr__(self) -> str:
        return f"{self.name}({'' if self.default is ... else repr(self.default)})"


def _given(options: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: options[name] for name in names if options.get(name) is not None}


class PathMarker(Marker):
    """What `Path()` gives."""

    source = "path"

    def __init__(self, default: Any, options: Mapping[str, Any]) -> None:
        if default is not ...:
            raise TypeError("Path parameters cannot have a default value")
        super().__init__(default, options)


class QueryMarker(Marker):
    """What `Query()` gives."""

    source = "query"


class HeaderMarker(Marker):
    """What `Header()` gives."""

    source = "header"

    def __init__(
        self, default: Any, options: Mapping[str, Any], *, convert_underscores: bool = True
    ) -> None:
        super().__init__(default, options)
        self.convert_underscores = convert_underscores


class CookieMarker(Marker):
    """What `Cookie()` gives."""

    source = "cookie"


class BodyMarker(Marker):
    """What `Body()` gives."""

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


class FormMarker(BodyMarker):
    """What `Form()` gives."""

    def __init__(self, default: Any, options: Mapping[str, Any], **more: Any) -> None:
        more.setdefault("media_type", "application/x-www-form-urlencoded")
        super().__init__(default, options, **more)

    @property
    def name(self) -> str:
        return "Form"


class FileMarker(FormMarker):
    """What `File()` gives."""

    def __init__(self, default: Any, options: Mapping[str, Any], **more: Any) -> None:
        more.setdefault("media_type", "multipart/form-data")
        super().__init__(default, options, **more)

    @property
    def name(self) -> str:
        return "File"


# Functions, so that `q: int = Query(1)` passes a type checker: what they return is Any.


def Path(default: Any = ..., **options: Unpack[Options]) -> Any:
    """A ``{name}`` of the route's path, percent-decoded. It has no default: `TypeError` for one.

    As with Query and the like, what is not of the parameter's type, or past a bound, is answered
    with 422, and all that is wrong is told at once.
    """
    return PathMarker(default, options)


def Query(default: Any = ..., **options: Unpack[Options]) -> Any:
    """A parameter of the query string (RFC 3986, section 3.4), percent-decoded; the last one where
    it is repeated, all for a list. With a model or a dataclass as its type, all of its fields."""
    return QueryMarker(default, options)


def Header(
    default: Any = ..., *, convert_underscores: bool = True, **options: Unpack[Options]
) -> Any:
    """A field of the request head (RFC 9110, section 5), its name in any case: ``user_agent`` reads
    ``user-agent``, or with ``convert_underscores=False`` the field ``user_agent``."""
    return HeaderMarker(default, options, convert_underscores=convert_underscores)


def Cookie(default: Any = ..., **options: Unpack[Options]) -> Any:
    """A cookie (RFC 6265) by its name; of equal names the last one."""
    return CookieMarker(default, options)


def Body(
    default: Any = ...,
    *,
    embed: bool | None = None,
    media_type: str = "application/json",
    **options: Unpack[Options],
) -> Any:
    """The body, or one key of it where there are several body parameters or ``embed`` is true.

    It is JSON (RFC 8259); 422 for what is none, 413 for more bytes than the route's
    `max_body_size`. ``media_type`` is for the OpenAPI document.
    """
    return BodyMarker(default, options, embed=embed, media_type=media_type)


def Form(
    default: Any = ...,
    *,
    media_type: str = "application/x-www-form-urlencoded",
    **options: Unpack[Options],
) -> Any:
    """A field of a submitted form, urlencoded or multipart (RFC 7578); a model takes all of its
    fields. 400 for a form that is malformed or exceeds `FormLimits`."""
    return FormMarker(default, options, media_type=media_type)


def File(
    default: Any = ..., *, media_type: str = "multipart/form-data", **options: Unpack[Options]
) -> Any:
    """An uploaded file of a multipart form (RFC 7578): `UploadFile`, or `bytes` to have its content
    in memory."""
    return FileMarker(default, options, media_type=media_type)


class Dependency:
    """What `Depends(...)` makes: the callable, and how it is called. Compared by identity."""

    def __init__(
        self,
        dependency: Callable[..., Any] | None,
        *,
        use_cache: bool = True,
        scope: Scope | None = None,
        max_concurrency: int | None = None,
        inline: bool = False,
        scopes: Sequence[str] = (),
    ) -> None:
        if dependency is not None and not callable(dependency):
            raise TypeError(f"a dependency must be callable, not {dependency!r}")
        if scope not in (None, "function", "request"):
            raise ValueError(f"scope must be 'function' or 'request', not {scope!r}")
        if max_concurrency is not None and (
            type(max_concurrency) is not int or max_concurrency < 1
        ):
            raise ValueError("max_concurrency must be a positive integer or None")
        if isinstance(scopes, str):
            raise TypeError(f"scopes must be a list of names, not the string {scopes!r}")
        self.dependency = dependency
        self.use_cache = use_cache
        self.scope = scope
        self.max_concurrency = max_concurrency
        self.inline = inline
        self.scopes = tuple(scopes)
        self._semaphores: WeakKeyDictionary[AbstractEventLoop, Semaphore] = WeakKeyDictionary()

    def semaphore(self) -> Semaphore:
        """The running loop's, for `max_concurrency`."""
        loop = get_running_loop()
        if loop not in self._semaphores:
            self._semaphores[loop] = Semaphore(self.max_concurrency or 1)
        return self._semaphores[loop]

    def __repr__(self) -> str:
        return f"Depends({getattr(self.dependency, '__name__', self.dependency)})"


def Depends(
    dependency: Callable[..., Any] | None = None,
    *,
    use_cache: bool = True,
    scope: Scope | None = None,
    max_concurrency: int | None = None,
    inline: bool = False,
) -> Any:
    """What `dependency` returns, or yields, called with parameters of its own from the request.

    Without one it is the parameter's own class. It is called once a request, or for each use with
    `use_cache=False`. A plain function runs in a thread, or on the loop with `inline=True`: only
    for one that never blocks. What follows its `yield` runs after the reply, or before it with
    `scope="function"`. At most `max_concurrency` requests use this declaration at a time.
    """
    return Dependency(
        dependency,
        use_cache=use_cache,
        scope=scope,
        max_concurrency=max_concurrency,
        inline=inline,
    )


def Security(
    dependency: Callable[..., Any] | None = None,
    *,
    scopes: Sequence[str] | None = None,
    use_cache: bool = True,
    scope: Scope | None = None,
    max_concurrency: int | None = None,
    inline: bool = False,
) -> Any:
    """`Depends`, with the OAuth2 scopes that `SecurityScopes` shows to it and what it needs."""
    return Dependency(
        dependency,
        use_cache=use_cache,
        scope=scope,
        max_concurrency=max_concurrency,
        inline=inline,
        scopes=scopes or (),
    )
