"""The App: routes, exception handlers, lifespan and state of one service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypedDict, TypeVar, Unpack, overload

from weft.datastructures import State
from weft.dispatch import BaseHTTPMiddleware, Dispatch
from weft.middleware import Middleware
from weft.middleware.layers import Declared
from weft.paths import normalized_root
from weft.requests import Request
from weft.responses import Response
from weft.routing import FormLimits, Route, Router, Webhooks, is_async_callable

if TYPE_CHECKING:
    from weft.server import AccessLogFormat, Limits

ExceptionHandler = Callable[[Request, Any], Response | Awaitable[Response]]
Lifespan = Callable[["App"], AbstractAsyncContextManager[Mapping[str, Any] | None]]
Dispatcher = TypeVar("Dispatcher", bound=Dispatch)
Handler = TypeVar("Handler", bound=ExceptionHandler)
Options = ParamSpec("Options")


class Documentation(TypedDict, total=False):
    """What an App says of itself (OpenAPI's Info Object and its kin), and where it says it."""

    summary: str | None
    description: str
    """in Markdown"""
    terms_of_service: str | None
    """a URL"""
    contact: Mapping[str, Any] | None
    """`name`, `url`, `email`"""
    license_info: Mapping[str, Any] | None
    """`name`, and `url` or `identifier` (SPDX)"""
    servers: Sequence[Mapping[str, Any]]
    """`url` and `description` of each"""
    root_path_in_servers: bool
    """name the root path as the first of them: True"""
    openapi_version: str
    """3.1.0"""
    openapi_tags: Sequence[Mapping[str, Any]]
    """`name` and `description` of each, in the order they are to be shown in"""
    openapi_external_docs: Mapping[str, Any] | None
    openapi_bson: bool
    """name `application/bson` beside `application/json`, as bodies and replies may be: False"""
    separate_input_output_schemas: bool
    """a model that differs as input and as output has two schemas: True"""
    openapi_url: str | None
    """path of the document, /openapi.json; None for none, and no pages either"""
    docs_url: str | None
    """path of Swagger UI, /docs; None for no such page"""
    redoc_url: str | None
    """path of Redoc, /redoc; None for no such page"""
    swagger_ui_oauth2_redirect_url: str | None
    """path to which an OAuth2 provider sends Swagger UI's users back: /docs/oauth2-redirect"""
    swagger_ui_init_oauth: Mapping[str, Any] | None
    """what Swagger UI's `initOAuth` takes"""
    swagger_ui_parameters: Mapping[str, Any] | None
    """Swagger UI's own parameters"""


class App(Router):
    """A service: declare its routes with `@app.get(...)`, serve it with `weft main:app`.

    `lifespan` is an async context manager around the time it serves, called with the App; a mapping
    it yields is what each `request.state` starts with. `exception_handlers` maps exception classes
    and statuses to functions of (request, exception) that give the reply. `dependencies` run before
    every endpoint. `middleware` is around all of it, the first outermost. With `redirect_slashes` a
    path with a slash too many or missing is redirected. Unless `strict_content_type`, a body
    without a content-type is read as JSON. What routes and routers do not say can be said here of
    all of them, see `Shared`. `root_path` is what a proxy takes off the paths it
    passes on, like "/api/v1"; paths that come with it are answered too. The rest is for its OpenAPI
    document and the pages that show it, see `Documentation`.
    """

    summary: str | None = None
    description: str = ""
    terms_of_service: str | None = None
    contact: Mapping[str, Any] | None = None
    license_info: Mapping[str, Any] | None = None
    servers: Sequence[Mapping[str, Any]] = ()
    root_path_in_servers: bool = True
    openapi_version: str = "3.1.0"
    openapi_tags: Sequence[Mapping[str, Any]] = ()
    openapi_external_docs: Mapping[str, Any] | None = None
    openapi_bson: bool = False
    separate_input_output_schemas: bool = True
    openapi_url: str | None = "/openapi.json"
    docs_url: str | None = "/docs"
    redoc_url: str | None = "/redoc"
    swagger_ui_oauth2_redirect_url: str | None = "/docs/oauth2-redirect"
    swagger_ui_init_oauth: Mapping[str, Any] | None = None
    swagger_ui_parameters: Mapping[str, Any] | None = None

    def __init__(
        self,
        *,
        title: str = "weft",
        version: str = "0.1.0",
        lifespan: Lifespan | None = None,
        exception_handlers: Mapping[int | type[Exception], ExceptionHandler] | None = None,
        dependencies: Sequence[Any] = (),
        default_response_class: type[Response] | None = None,
        max_body_size: int | None = None,
        middleware: Sequence[Middleware | Declared] = (),
        redirect_slashes: bool = True,
        strict_content_type: bool = True,
        form_limits: FormLimits | None = None,
        responses: Mapping[int | str, Mapping[str, Any]] | None = None,
        callbacks: Sequence[Route] | None = None,
        webhooks: Router | None = None,
        deprecated: bool | None = None,
        include_in_schema: bool = True,
        generate_unique_id_function: Callable[[Route], str] | None = None,
        root_path: str = "",
        route_class: type[Route] = Route,
        **documentation: Unpack[Documentation],
    ) -> None:
        super().__init__(
            dependencies=dependencies,
            default_response_class=default_response_class,
            max_body_size=max_body_size,
            redirect_slashes=redirect_slashes,
            lifespan=lifespan,
            strict_content_type=strict_content_type,
            form_limits=form_limits,
            responses=responses,
            callbacks=callbacks,
            deprecated=deprecated,
            include_in_schema=include_in_schema,
            generate_unique_id_function=generate_unique_id_function,
            route_class=route_class,
        )
        self.title = title
        self.version = version
        self.root_path = normalized_root(root_path)
        self.webhooks: Router = Webhooks() if webhooks is None else webhooks
        """Requests it sends to others, for its OpenAPI document only."""
        for name in Documentation.__annotations__:
            setattr(self, name, documentation.pop(name, getattr(type(self), name)))  # type: ignore[misc]
        if documentation:
            raise TypeError(f"App() got an unexpected keyword argument {min(documentation)!r}")
        self._check_info()
        self.middleware_stack: list[Middleware | Dispatch] = []
        """What is around every request, the outermost first, in C or a function in Python."""
        self.state = State()
        self.lifespan_state: dict[str, Any] = {}
        self._dependency_overrides: dict[Callable[..., Any], Callable[..., Any]] = {}
        self.exception_handlers: dict[int | type[Exception], ExceptionHandler] = {}
        for key, handler in (exception_handlers or {}).items():
            self.add_exception_handler(key, handler)
        for made in reversed(middleware):  # the first is the outermost
            if isinstance(made, Middleware):
                self.middleware_stack.insert(0, made)
            else:
                self.add_middleware(made.cls, *made.args, **made.kwargs)

    def _check_info(self) -> None:
        """What an OpenAPI document cannot do without."""
        for name, value in (("title", self.title), ("version", self.version)):
            if not isinstance(value, str):
                raise TypeError(f"the {name} of an App is a str, not {value!r}")
            if not value and self.openapi_url:
                raise ValueError(f"an App has a {name}, for its OpenAPI document")
        if self.license_info and "name" not in self.license_info:
            raise ValueError(f"license_info has a 'name': {dict(self.license_info)!r}")

    def _check_path(self, path: str) -> None:
        super()._check_path(path)
        if not path:
            raise ValueError(f"a path must start with '/': {path!r}")

    @property
    def router(self) -> App:
        """Itself: where FastAPI's users look for its Router, as in `app.router.route_class`."""
        return self

    def __repr__(self) -> str:
        return f"<App {self.title!r}, {len(self.routes)} routes>"

    @overload
    def add_middleware(
        self,
        middleware: Callable[Options, Middleware],
        *args: Options.args,
        **kwargs: Options.kwargs,
    ) -> None: ...
    @overload
    def add_middleware(
        self,
        middleware: Callable[Concatenate[App, Options], BaseHTTPMiddleware],
        *args: Options.args,
        **kwargs: Options.kwargs,
    ) -> None: ...
    def add_middleware(self, middleware: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Puts `middleware(*args, **kwargs)`, of those in `weft.middleware`, around every request
        and what was added before; or `middleware(app, *args, **kwargs)` for a class whose
        `dispatch(request, call_next)` is in Python.

        It has no effect on a server that runs already.
        """
        if callable(getattr(middleware, "dispatch", None)):
            in_python: Any = middleware
            self.middleware_stack.insert(0, in_python(self, *args, **kwargs).dispatch)
            return
        other = isinstance(middleware, type) and not issubclass(middleware, Middleware)
        made = None if other else middleware(*args, **kwargs)
        if not isinstance(made, Middleware):
            raise TypeError(
                f"{middleware!r} is none of those in weft.middleware, and has no "
                "dispatch(request, call_next); ASGI middleware does not work here"
            )
        self.middleware_stack.insert(0, made)

    @property
    def dependency_overrides(self) -> dict[Callable[..., Any], Callable[..., Any]]:
        """What is called in place of a dependency, also while the app is served: for tests."""
        return self._dependency_overrides

    @dependency_overrides.setter
    def dependency_overrides(
        self, overrides: Mapping[Callable[..., Any], Callable[..., Any]]
    ) -> None:
        given = dict(overrides)
        self._dependency_overrides.clear()  # the server looks at this very dict
        self._dependency_overrides.update(given)

    def middleware(self, middleware_type: str = "http") -> Callable[[Dispatcher], Dispatcher]:
        """Declares the decorated `async def mw(request, call_next)` as the outermost middleware."""
        if middleware_type != "http":
            raise ValueError(f"there is only middleware for 'http', not {middleware_type!r}")

        def declare(dispatch: Dispatcher) -> Dispatcher:
            if not is_async_callable(dispatch):
                raise TypeError(f"a middleware must be `async def`: {dispatch!r}")
            self.middleware_stack.insert(0, dispatch)
            return dispatch

        return declare

    def add_exception_handler(
        self, exc_class_or_status_code: int | type[Exception], handler: ExceptionHandler
    ) -> None:
        """Answers exceptions of a class, or of a status, with what `handler` returns."""
        key = exc_class_or_status_code
        if not isinstance(key, int) and not (isinstance(key, type) and issubclass(key, Exception)):
            raise TypeError(
                f"an exception handler is for a status or a class of Exception: {key!r}"
            )
        self.exception_handlers[key] = handler

    def exception_handler(
        self, exc_class_or_status_code: int | type[Exception]
    ) -> Callable[[Handler], Handler]:
        """Declares the decorated function as the handler of an exception class or a status."""

        def declare(handler: Handler) -> Handler:
            self.add_exception_handler(exc_class_or_status_code, handler)
            return handler

        return declare

    def openapi(self) -> dict[str, Any]:
        """Its OpenAPI document. Assign a function to `app.openapi` to serve another.

        `weft.openapi.SchemaError` when a type has no JSON Schema, or pydantic is not installed.
        """
        from weft.openapi import openapi

        return openapi(self)

    @asynccontextmanager
    async def running_lifespan(self) -> AsyncIterator[None]:
        """Runs the startup half of the lifespan, and at the end its shutdown half.

        Those of included and mounted routers and Apps run inside of it, in order of declaration.
        """
        async with AsyncExitStack() as stack:
            state: dict[str, Any] = {}
            for lifespan in self.lifespans:
                context = lifespan(self)
                if not isinstance(context, AbstractAsyncContextManager):
                    raise TypeError(
                        "lifespan must give an async context manager; write it as an async "
                        "generator decorated with contextlib.asynccontextmanager"
                    )
                state = {**(await stack.enter_async_context(context) or {}), **state}
            self.lifespan_state = state
            stack.callback(setattr, self, "lifespan_state", {})
            for app in self.mounted_apps:
                await stack.enter_async_context(app.running_lifespan())
            yield

    @property
    def mounted_apps(self) -> list[App]:
        """The Apps beneath its paths and behind its hosts, each once, without those within them."""
        apps: list[App] = []
        routers: list[Any] = [self]
        while routers:
            for entry in routers.pop(0).entries:
                inner = getattr(entry, "app", None)
                if isinstance(inner, App) and not any(inner is app for app in apps):
                    apps.append(inner)
                elif isinstance(inner, Router) and not isinstance(inner, App):
                    routers.append(inner)
        return apps

    def run(
        self,
        host: str = "127.0.0.1",
        port: int = 8000,
        uds: str | None = None,
        log_level: str = "info",
        access_log: bool = True,
        limits: Limits | None = None,
        decode_bodies: bool = True,
        access_log_format: AccessLogFormat = "short",
        forwarded_allow_ips: str | Sequence[str] | None = None,
        forwarded_headers: Sequence[str] = ("x-forwarded-for", "x-forwarded-proto"),
        root_path: str = "",
    ) -> None:
        """Serves until SIGINT or SIGTERM, then finishes the requests it has.

        Listens on the unix socket `uds` instead, when given. `limits` are those that differ from
        the defaults. Bodies that come in gzip, br or zstd are decompressed, within their limit,
        unless `decode_bodies` is False. Proxies at `forwarded_allow_ips` (127.0.0.1, `"*"` for
        all) are believed what they say of the client in `forwarded_headers`, and take `root_path`
        off the paths they pass on. A start that fails is explained on stderr and raises
        `SystemExit`.
        """
        from weft.server import Config, Limits, run

        config = Config(
            host=host,
            port=port,
            uds=uds,
            log_level=log_level,
            access_log=access_log,
            decode_bodies=decode_bodies,
            access_log_format=access_log_format,
            forwarded_allow_ips=forwarded_allow_ips,
            forwarded_headers=forwarded_headers,
            root_path=root_path,
            limits=limits or Limits(),
        )
        run(self, config)
