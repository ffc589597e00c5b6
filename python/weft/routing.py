"""Routes and routers: which endpoint answers which method and path."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from copy import copy
from dataclasses import FrozenInstanceError, dataclass, field, replace
from dataclasses import fields as dataclass_fields
from types import FunctionType, MappingProxyType, SimpleNamespace
from typing import (
    Any,
    Literal,
    NamedTuple,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
    get_args,
    get_origin,
    get_type_hints,
)

from weft.datastructures import URLPath
from weft.exceptions import SignatureError
from weft.frontend import Fallback, Frontend, FrontendFiles
from weft.handling import RouteHandler, handle
from weft.mounts import Host, Mount, url_path_in
from weft.params import Dependency
from weft.paths import check_path, fill, parameters, without_convertors
from weft.responses import EventSourceResponse, Response
from weft.sse import ServerSentEvent
from weft.staticfiles import PathLike, StaticFiles

IncEx = set[int] | set[str] | Mapping[int, Any] | Mapping[str, Any]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_STREAMS = (AsyncIterable, AsyncIterator, AsyncGenerator, Iterable, Iterator, Generator)
_STATUS = re.compile(r"[1-5](?:[0-9]{2}|XX)|DEFAULT", re.IGNORECASE)
UNSET: Any = ...  # where None means something else than nothing given
NOTHING: Mapping[Any, Any] = MappingProxyType({})  # shared by all that have none


class FormLimits(TypedDict, total=False):
    """Bounds of a submitted form; what exceeds one is answered with 400."""

    max_files: int
    """1,000"""
    max_fields: int
    """1,000"""
    max_part_size: int
    """of one field in bytes: 1 MiB; files are bounded by the body's size alone"""


class RouteOptions(TypedDict, total=False):
    """What every way to declare a route takes."""

    status_code: int | None
    """of a reply made from a returned value; 200 when not given"""
    response_class: type[Response] | None
    """makes the reply from a returned value, in place of JSON"""
    name: str | None
    """for `url_for`; the endpoint's own name when not given"""
    max_body_size: int | None
    """in bytes; a longer request body is answered with 413"""
    form_limits: FormLimits | None
    """of a form that parameters are read from, where they are not the defaults"""
    inline: bool
    """call a plain `def` endpoint on the loop, not in a thread: only for one that never blocks"""
    timeout: float | None
    """in seconds, until the reply begins; then the endpoint is cancelled: HTTPException(504)"""
    cancel_on_disconnect: bool
    """cancel the endpoint when its client leaves: True; a streamed reply always ends then"""
    dependencies: Sequence[Any]
    """`Depends(...)` to run before the endpoint, which does not get what they return"""
    tags: Sequence[str]
    """for the OpenAPI document, which groups by them, as is all up to `include_in_schema`"""
    summary: str | None
    """made of the endpoint's name when not given"""
    description: str | None
    """in Markdown; the endpoint's docstring when not given"""
    operation_id: str | None
    """unique in the document; made of name, path and method when not given"""
    deprecated: bool | None
    include_in_schema: bool
    """False: the document is silent about it"""
    response_model: Any
    """the type of what it returns; its return annotation when not given, None for no model"""
    response_model_include: IncEx | None
    """fields of the model that are sent, in place of all; and those that are not, next"""
    response_model_exclude: IncEx | None
    response_model_by_alias: bool
    """fields are sent by their alias: True"""
    response_model_exclude_unset: bool
    """fields that were given no value are not sent; next, those with their default, or None"""
    response_model_exclude_defaults: bool
    response_model_exclude_none: bool
    response_description: str
    responses: Mapping[int | str, Mapping[str, Any]] | None
    """other replies it may give, by status: what OpenAPI says of one, and `model` for its type"""
    callbacks: Sequence[Route] | None
    """requests it will send to its client, as routes of a Router"""
    openapi_extra: Mapping[str, Any] | None
    """merged into what the OpenAPI document says of it"""
    generate_unique_id_function: Callable[[Route], str] | None
    """gives its operation id from the route, where it has no `operation_id`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint and what it answers; as `APIRoute` what an application derives its own from, for
    `route_class` of a Router.

    Its fields cannot be changed; attributes that a class of one's own adds can.
    """

    path: str = field(kw_only=False)
    endpoint: Callable[..., Any] = field(kw_only=False)
    methods: tuple[str, ...] = ("GET",)
    name: str = ""
    status_code: int | None = None
    response_class: type[Response] | None = None
    max_body_size: int | None = None
    form_limits: FormLimits | None = None
    inline: bool = False
    timeout: float | None = None
    cancel_on_disconnect: bool = True
    strict_content_type: bool | None = None
    dependencies: tuple[Dependency, ...] = ()
    tags: tuple[str, ...] = ()
    summary: str | None = None
    description: str | None = None
    operation_id: str | None = None
    deprecated: bool | None = None
    include_in_schema: bool = True
    response_model: Any = UNSET
    response_model_include: IncEx | None = None
    response_model_exclude: IncEx | None = None
    response_model_by_alias: bool = True
    response_model_exclude_unset: bool = False
    response_model_exclude_defaults: bool = False
    response_model_exclude_none: bool = False
    response_description: str = "Successful Response"
    responses: Mapping[int | str, Mapping[str, Any]] = field(default_factory=lambda: NOTHING)
    callbacks: tuple[Route, ...] = ()
    openapi_extra: Mapping[str, Any] | None = None
    generate_unique_id_function: Callable[[Route], str] | None = None

    def get_route_handler(self) -> RouteHandler:
        """What answers its requests: an async function that is called with the request and gives a
        Response. A class of one's own gives one around that of `super()`, which raises what is
        raised in dependencies and endpoint, and what is wrong with the request.

        It is called once for each route, when the App is served.
        """
        return handle

    def changed(self, **fields: Any) -> Self:
        """A copy with other values of some fields, made without its class's `__init__`."""
        copied = object.__new__(type(self))
        for name in _ROUTE_FIELDS:
            object.__setattr__(copied, name, fields.get(name, getattr(self, name)))
        if (added := getattr(self, "__dict__", None)) is not None:
            vars(copied).update(added)
        return copied

    @property
    def path_format(self) -> str:
        """Its path as OpenAPI writes it, without convertors."""
        return without_convertors(self.path)

    @property
    def unique_id(self) -> str:
        """Its operation id in the OpenAPI document; of several methods, that of the first.

        `SignatureError` where a function of the application's gives none."""
        if self.operation_id is None and (make := self.generate_unique_id_function) is not None:
            whose = f"the generate_unique_id_function of {self.name}(){place(self.endpoint)}"
            try:
                made = make(self)
            except Exception as exc:
                raise SignatureError(f"{whose} failed: {exc!r}") from exc
            if not isinstance(made, str):
                raise SignatureError(f"{whose} gave {made!r}, not a str")
            return made
        text = f"{self.name}{self.path_format}_{self.methods[0].lower()}"
        return self.operation_id or re.sub(r"\W", "_", text)

    def operation_id_of(self, method: str) -> str:
        """The operation id of one of its methods: OpenAPI wants each to have its own."""
        first, method = self.methods[0].lower(), method.lower()
        if method == first:
            return self.unique_id
        return f"{self.unique_id.removesuffix(f'_{first}')}_{method}"

    @property
    def yields(self) -> Literal["lines", "events", "chunks"] | None:
        """What the items of a generator are sent as: lines of JSON, server-sent events, or what the
        response class makes of them. None where the endpoint returns."""
        if not is_generator(self.endpoint):
            return None
        if self.response_class is None:
            return "lines"
        return "events" if issubclass(self.response_class, EventSourceResponse) else "chunks"

    @property
    def item_model(self) -> Any:
        """The type of what it yields, by its return annotation; None without one."""
        if self.yields not in ("lines", "events") or self.response_model is not UNSET:
            return None
        hint = _returned(self.endpoint)
        if get_origin(hint) not in _STREAMS:
            return None
        item = get_args(hint)[0]
        return None if inspect.isclass(item) and issubclass(item, ServerSentEvent) else item

    @property
    def reply_model(self) -> Any:
        """The type of what it returns: its model, or the return annotation; None without one."""
        if self.yields:
            return None
        model = self.response_model
        model = _returned(self.endpoint) if model is UNSET else self.resolved(model)
        if model is None or (inspect.isclass(model) and issubclass(model, Response)):
            return None
        return model

    def resolved(self, model: Any) -> Any:
        """A model that was given as one, with what stands in it in quotes. Its names are those of
        Python itself, as with FastAPI: `SignatureError` for any other, as nothing says whose it is.
        """
        if not model or not (isinstance(model, str) or get_args(model)):
            return model or None
        quoted = SimpleNamespace(__annotations__={"return": model})
        try:
            return get_type_hints(quoted, {}, include_extras=True)["return"]
        except Exception as exc:  # evaluating it can raise anything
            whose = f"the reply of {endpoint_name(self.endpoint)}(){place(self.endpoint)}"
            raise SignatureError(f"{whose} is {model!r}: {exc}; give the type itself") from exc

    @property
    def default_status(self) -> int:
        """Of a reply made from a value: its own, or what its response class has by default."""
        if self.status_code is not None:
            return self.status_code
        if self.response_class is None:
            return 200
        parameter = inspect.signature(self.response_class).parameters.get("status_code")
        return parameter.default if parameter and isinstance(parameter.default, int) else 200

    @property
    def kind(self) -> Literal["async", "thread", "inline"]:
        """How the endpoint is called: awaited, in a thread, or plainly on the loop."""
        if is_async_callable(self.endpoint):
            return "async"
        # Calling a generator function runs nothing of it yet.
        return "inline" if self.inline or self.yields else "thread"

    @property
    def params(self) -> dict[str, type]:
        """The parameters of its path in order, and what each is in `Request.path_params`."""
        return parameters(self.path)

    def url_path(self, params: dict[str, Any]) -> URLPath:
        """The path with its parameters filled in; `ValueError` when one has no place in it."""
        return URLPath(fill(self.path, params))

    def takes(self, params: Iterable[str]) -> bool:
        """Are these names just the parameters of its path?"""
        return self.params.keys() == set(params)


_ROUTE_FIELDS = tuple(f.name for f in dataclass_fields(Route))
APIRoute = Route


def _set_attribute(route: Route, name: str, value: Any) -> None:
    if name in _ROUTE_FIELDS:
        raise FrozenInstanceError(f"the {name} of a route cannot be changed")
    object.__setattr__(route, name, value)


# The one that a frozen dataclass with slots makes fails in subclasses: CPython's issue 90562.
Route.__setattr__ = _set_attribute  # type: ignore[method-assign, assignment]


def _returned(endpoint: Any) -> Any:
    """The return annotation; None where it cannot be known."""
    function = inspect.unwrap(endpoint)
    if not inspect.isroutine(function):
        function = getattr(type(function), "__call__", None)  # noqa: B004
    if isinstance(function, FunctionType) and "return" not in function.__annotations__:
        return None
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return None
    hint = hints.get("return")
    return None if hint is type(None) else hint


Entry = Route | Mount | Host | Frontend


class Shared(TypedDict, total=False):
    """What routes can have in common, by their router or where that is included."""

    tags: Sequence[str]
    """put before a route's own, as are dependencies"""
    dependencies: Sequence[Any]
    default_response_class: type[Response] | None
    """for routes that have none, as are the next two"""
    max_body_size: int | None
    deprecated: bool | None
    generate_unique_id_function: Callable[[Route], str] | None
    """as is this, where a route does not say its own"""
    form_limits: FormLimits | None
    """each that a route does not set itself"""
    responses: Mapping[int | str, Mapping[str, Any]] | None
    """beside a route's own"""
    callbacks: Sequence[Route] | None
    """before a route's own"""
    strict_content_type: bool | None
    """False: a body without content-type is read as JSON; FastAPI's default, True, is ours"""
    include_in_schema: bool
    """no route is in the OpenAPI document where this is False"""


class _Group:
    """A prefix and what is shared, ready to be put around a route."""

    def __init__(self, prefix: str, shared: Shared) -> None:
        if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ValueError(f"a prefix must start with '/' and not end with it: {prefix!r}")
        if unknown := shared.keys() - Shared.__annotations__.keys():
            raise TypeError(f"unexpected keyword argument {min(unknown)!r}")
        self.prefix = prefix
        self.tags = tuple(shared.get("tags") or ())
        self.dependencies = _check_dependencies(shared.get("dependencies") or ())
        self.default_response_class = shared.get("default_response_class")
        self.max_body_size = shared.get("max_body_size")
        self.deprecated = shared.get("deprecated")
        self.unique_id = shared.get("generate_unique_id_function")
        self.form_limits = shared.get("form_limits") or {}
        self.responses = _check_responses(shared.get("responses") or {})
        self.callbacks = tuple(shared.get("callbacks") or ())
        self.include_in_schema = shared.get("include_in_schema", True)
        self.strict_content_type = shared.get("strict_content_type")

    def around_any(self, entry: Entry) -> Entry:
        if isinstance(entry, Route):
            return self.around(entry)
        if isinstance(entry, Frontend):
            return entry.around(self.prefix, self.dependencies)
        return replace(entry, path=self.prefix + entry.path) if isinstance(entry, Mount) else entry

    def around(self, route: Route) -> Route:
        """What the route has itself comes before what is around it."""
        own_size = route.max_body_size
        return route.changed(
            path=self.prefix + route.path,
            tags=(*self.tags, *route.tags),
            dependencies=(*self.dependencies, *route.dependencies),
            response_class=route.response_class or self.default_response_class,
            max_body_size=own_size if own_size is not None else self.max_body_size,
            form_limits={**self.form_limits, **(route.form_limits or {})} or None,
            deprecated=route.deprecated or self.deprecated,
            generate_unique_id_function=route.generate_unique_id_function or self.unique_id,
            responses={**self.responses, **route.responses} or NOTHING,
            callbacks=(*self.callbacks, *route.callbacks),
            include_in_schema=route.include_in_schema and self.include_in_schema,
            strict_content_type=(
                self.strict_content_type
                if route.strict_content_type is None
                else route.strict_content_type
            ),
        )

    def around_group(self, inner: _Group) -> _Group:
        """One that puts both around a route, `inner` first, with one copy of the route."""
        both = copy(inner)
        both.prefix = self.prefix + inner.prefix
        both.tags = (*self.tags, *inner.tags)
        both.dependencies = (*self.dependencies, *inner.dependencies)
        both.default_response_class = inner.default_response_class or self.default_response_class
        if inner.max_body_size is None:
            both.max_body_size = self.max_body_size
        both.form_limits = {**self.form_limits, **inner.form_limits}
        both.deprecated = inner.deprecated or self.deprecated
        both.unique_id = inner.unique_id or self.unique_id
        both.responses = {**self.responses, **inner.responses}
        both.callbacks = (*self.callbacks, *inner.callbacks)
        both.include_in_schema = inner.include_in_schema and self.include_in_schema
        if inner.strict_content_type is None:
            both.strict_content_type = self.strict_content_type
        return both


class _Included(NamedTuple):
    """A router inside another, read when routes are asked for: routes it gets later count too."""

    router: Router
    group: _Group


class Router:
    """Routes declared together, to be included in an App or another Router under a prefix.

    `Shared` says what they can have in common. `route_class` is what its own routes are made as, of
    the path, the endpoint and what else was said by name. `ValueError` for a bad prefix.
    """

    def __init__(
        self,
        *,
        prefix: str = "",
        redirect_slashes: bool = True,
        lifespan: Callable[[Any], Any] | None = None,
        route_class: type[Route] = Route,
        **shared: Unpack[Shared],
    ) -> None:
        self._group = _Group(prefix, shared)
        self._declared: list[Entry | _Included] = []
        self.redirect_slashes = redirect_slashes
        """Is a path with a slash too many or missing redirected to where there is something?"""
        self.route_class = route_class
        """What routes that are declared from now on are made as."""
        self.lifespan = lifespan
        """An async context manager around the time that it serves, called with the App."""

    @property
    def prefix(self) -> str:
        """What all its paths begin with; empty for none."""
        return self._group.prefix

    @property
    def entries(self) -> list[Entry]:
        """All that it answers with, in order; the first that fits a request answers it, those of
        frontends last."""
        return list(self._entries(None))

    def _entries(self, around: _Group | None) -> Iterator[Entry]:
        group = self._group if around is None else around.around_group(self._group)
        for declared in self._declared:
            if isinstance(declared, _Included):
                yield from declared.router._entries(group.around_group(declared.group))
            else:
                yield group.around_any(declared)

    @property
    def routes(self) -> list[Route]:
        """All routes with their full paths, in order, without those of what is mounted."""
        return [entry for entry in self.entries if isinstance(entry, Route)]

    @property
    def lifespans(self) -> list[Callable[[Any], Any]]:
        """Its own, then those of the routers it includes."""
        inner = [
            lifespan
            for declared in self._declared
            if isinstance(declared, _Included)
            for lifespan in declared.router.lifespans
        ]
        return inner if self.lifespan is None else [self.lifespan, *inner]

    def mount(self, path: str, app: Router | StaticFiles, name: str | None = None) -> None:
        """Hands all requests beneath `path` to an App, a Router or static files, with any method.

        Their own paths start behind it. `name` is for `url_for`: "name:route", or "name" and a
        `path`.
        """
        check_path(path)
        if path and not path.startswith("/"):
            raise ValueError(f"a path must start with '/': {path!r}")
        self._declared.append(Mount(path.rstrip("/"), self._mountable(app, StaticFiles), name))

    def host(self, host: str, app: Router, name: str | None = None) -> None:
        """Hands all requests to `host`, which may have parameters, to an App or a Router."""
        check_path(host)
        if not host or host.startswith("/"):
            raise ValueError(f"a host is a name, as in 'api.example.org': {host!r}")
        self._declared.append(Host(host, self._mountable(app), name))

    def frontend(
        self,
        path: str,
        *,
        directory: PathLike,
        fallback: Fallback | None = "auto",
        check_dir: bool | Literal["auto"] = "auto",
    ) -> None:
        """Answers GET and HEAD at `path` and beneath it with files of a frontend's build, wherever
        no route has the path, whatever the order.

        A directory is its index.html. What is not there is 404.html with 404, or index.html for a
        browser that goes to a page, for apps that route by themselves; "auto" takes the first that
        is there, None neither. With `check_dir` the directory and the fallback must be there,
        else `RuntimeError`; "auto" only warns under `weft dev`.
        """
        check_path(path)
        if not path.startswith("/"):
            raise ValueError(f"a path must start with '/': {path!r}")
        files = FrontendFiles(directory, fallback, check_dir)
        self._declared.append(Frontend(path.rstrip("/"), files))

    def _mountable(self, app: Any, *others: type) -> Any:
        if not isinstance(app, (Router, *others)):
            raise TypeError(f"an App, a Router or StaticFiles can be mounted, not {app!r}")
        if isinstance(app, Router) and (app is self or app._includes(self)):
            raise ValueError("a router cannot be mounted in itself")
        return app

    def add_api_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Iterable[str] = ("GET",),
        **options: Unpack[RouteOptions],
    ) -> None:
        """Declares a route; `ValueError` or `TypeError` says what cannot be one."""
        self._check_path(path)
        if isinstance(methods, str):
            raise TypeError(f"methods must be a list of names, not the string {methods!r}")
        if not callable(endpoint):
            raise TypeError(f"the endpoint of {path!r} cannot be called: {endpoint!r}")
        given: dict[str, Any] = dict(options)
        given["name"] = given.get("name") or endpoint_name(endpoint)
        given["tags"] = tuple(given.get("tags") or ())
        given["dependencies"] = _check_dependencies(given.get("dependencies") or ())
        given["responses"] = _check_responses(given.get("responses") or {}) or NOTHING
        given["callbacks"] = tuple(given.get("callbacks") or ())
        if given.get("status_code") is not None:
            given["status_code"] = int(given["status_code"])
            if not 200 <= given["status_code"] <= 599:
                raise ValueError(f"no reply can have the status {given['status_code']} of {path!r}")
        verbs = _verbs(tuple(methods))
        if not verbs:
            raise ValueError(f"the route {path!r} has no methods")
        if not (inspect.isclass(self.route_class) and issubclass(self.route_class, Route)):
            raise TypeError(f"route_class is a subclass of APIRoute, not {self.route_class!r}")
        self._declared.append(self.route_class(path, endpoint=endpoint, methods=verbs, **given))

    def _check_path(self, path: str) -> None:
        check_path(path)
        # An empty one needs a prefix, which may be that of include_router. One that starts with an
        # OpenAPI runtime expression is of a callback.
        if path and not path.startswith(("/", "{$")):
            raise ValueError(f"a path must start with '/': {path!r}")

    def api_route(
        self, path: str, *, methods: Iterable[str] = ("GET",), **options: Unpack[RouteOptions]
    ) -> Callable[[Endpoint], Endpoint]:
        """Declares the decorated function as the endpoint of these methods; it stays as it is."""
        self._check_path(path)

        def declare(endpoint: Endpoint) -> Endpoint:
            self.add_api_route(path, endpoint, methods=methods, **options)
            return endpoint

        return declare

    def get(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Endpoint], Endpoint]:
        """Declares the decorated function as the endpoint of GET (RFC 9110, section 9.3.1), and so
        of HEAD.

        `options` are those of `RouteOptions`. `ValueError` for a path that cannot be one; what is
        wrong with the signature is told when the App is served.
        """
        return self.api_route(path, methods=("GET",), **options)

    def post(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Endpoint], Endpoint]:
        """The same for POST (RFC 9110, section 9.3.3)."""
        return self.api_route(path, methods=("POST",), **options)

    def put(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Endpoint], Endpoint]:
        """The same for PUT (RFC 9110, section 9.3.4)."""
        return self.api_route(path, methods=("PUT",), **options)

    def patch(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Endpoint], Endpoint]:
        """The same for PATCH (RFC 5789)."""
        return self.api_route(path, methods=("PATCH",), **options)

    def delete(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Endpoint], Endpoint]:
        """The same for DELETE (RFC 9110, section 9.3.5)."""
        return self.api_route(path, methods=("DELETE",), **options)

    def head(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Endpoint], Endpoint]:
        """The same for HEAD (RFC 9110, section 9.3.2), where GET has none or another."""
        return self.api_route(path, methods=("HEAD",), **options)

    def options(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Endpoint], Endpoint]:
        """The same for OPTIONS (RFC 9110, section 9.3.7)."""
        return self.api_route(path, methods=("OPTIONS",), **options)

    def trace(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Endpoint], Endpoint]:
        """The same for TRACE (RFC 9110, section 9.3.8)."""
        return self.api_route(path, methods=("TRACE",), **options)

    def include_router(self, router: Router, *, prefix: str = "", **shared: Unpack[Shared]) -> None:
        """Takes in another router's routes, those it gets later too.

        `ValueError` for a bad prefix, a path that would be empty, or routers that include each
        other.
        """
        group = _Group(prefix, shared)
        if router is self or router._includes(self):
            raise ValueError("a router cannot include itself, nor one that includes it")
        if not prefix and any(not route.path for route in router.routes):
            raise ValueError("a route with an empty path needs a prefix: on its router, or here")
        self._declared.append(_Included(router, group))

    def _includes(self, other: Router) -> bool:
        return any(
            inner is other or inner._includes(other)
            for declared in self._declared
            for inner in (getattr(declared, "router", None), getattr(declared, "app", None))
            if isinstance(inner, Router)
        )

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """The path of the first route called `name` that takes exactly these parameters.

        `LookupError` when there is none; `ValueError` for a parameter that has no place in a path.
        """
        for entry in self.entries:
            if (found := url_path_in(entry, name, path_params)) is not None:
                return found
        wanted = ", ".join(path_params) or "no parameters"
        raise LookupError(f"no route is called {name!r} and takes {wanted}")


class Webhooks(Router):
    """Requests an App sends to others: what stands for a path is any name."""

    def _check_path(self, path: str) -> None:
        check_path(path)


@functools.lru_cache(maxsize=64)
def _verbs(methods: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, in upper case; one tuple for all routes that have the same."""
    return tuple(dict.fromkeys(method.upper() for method in methods))


def _check_dependencies(dependencies: Sequence[Any]) -> tuple[Dependency, ...]:
    for item in dependencies:
        if not isinstance(item, Dependency) or item.dependency is None:
            raise TypeError(f"dependencies are Depends(function), not {item!r}")
    return tuple(dependencies)


def _check_responses(
    responses: Mapping[int | str, Mapping[str, Any]],
) -> dict[int | str, Mapping[str, Any]]:
    """A copy. OpenAPI has keys for statuses, ranges of them, and all others (section 4.8.16)."""
    for status, reply in responses.items():
        if not _STATUS.fullmatch(str(status)):
            raise ValueError(f"responses have keys like 404, '4XX' and 'default', not {status!r}")
        if not isinstance(reply, Mapping):
            raise TypeError(
                f"what OpenAPI says of the response {status!r} is a dict, not {reply!r}"
            )
    return dict(responses)


def endpoint_name(endpoint: object) -> str:
    """What a function, method, class, partial or callable object is called."""
    while isinstance(endpoint, functools.partial):
        endpoint = endpoint.func
    return str(getattr(endpoint, "__name__", type(endpoint).__name__))


def place(endpoint: Any) -> str:
    """Where a function is, as messages end with it: " (main.py:12)"; empty for what has no code."""
    code = getattr(unpartial(inspect.unwrap(endpoint)), "__code__", None)
    return f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""


def is_async_callable(obj: Any) -> bool:
    """Does calling it give a coroutine? True of `async def`, partials, objects and wrappers."""
    if is_plain_function(obj):
        return inspect.iscoroutinefunction(obj)
    while isinstance(obj, functools.partial):
        obj = obj.func
    call = obj if inspect.isroutine(obj) else getattr(type(obj), "__call__", None)  # noqa: B004
    return any(map(inspect.iscoroutinefunction, (call, inspect.unwrap(obj))))


def is_generator(obj: Any) -> bool:
    """Does calling it give a generator, async or not?"""
    if is_plain_function(obj):
        return bool(obj.__code__.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR))
    return is_a(inspect.isasyncgenfunction, obj) or is_a(inspect.isgeneratorfunction, obj)


def is_a(check: Callable[[Any], bool], call: Any) -> bool:
    """Is it such a function: itself, what it wraps, or the `__call__` of its class?"""
    if is_plain_function(call):
        return check(call)
    call = unpartial(call)
    unwrapped = inspect.unwrap(call)
    if check(call) or check(unwrapped):
        return True
    if inspect.isclass(unwrapped):
        return False
    return any(
        check(method) or check(inspect.unwrap(unpartial(method)))
        for target in (call, unwrapped)
        if (method := getattr(target, "__call__", None)) is not None  # noqa: B004
    )


def is_plain_function(obj: Any) -> bool:
    """Is it a function that wraps none, as nearly all endpoints are?"""
    # Asking for its __dict__ would make one.
    return type(obj) is FunctionType and not hasattr(obj, "__wrapped__")


def unpartial(call: Any) -> Any:
    """What a `functools.partial` calls in the end."""
    while isinstance(call, functools.partial):
        call = call.func
    return call


async def awaited(awaitable: Awaitable[Any]) -> Any:
    """The coroutine of an awaitable that is none."""
    return await awaitable
