"""The App: routes, exception handlers, lifespan and state of one service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from weft.datastructures import State
from weft.requests import Request
from weft.responses import Response
from weft.routing import Router

if TYPE_CHECKING:
    from weft.server import Limits

ExceptionHandler = Callable[[Request, Any], Response | Awaitable[Response]]
Lifespan = Callable[["App"], AbstractAsyncContextManager[Mapping[str, Any] | None]]
Handler = TypeVar("Handler", bound=ExceptionHandler)


class App(Router):
    """A service: declare its routes with `@app.get(...)`, serve it with `weft main:app`.

    `lifespan` is an async context manager around the time it serves, called with the App; a mapping
    it yields is what each `request.state` starts with. `exception_handlers` maps exception classes
    and statuses to functions of (request, exception) that give the reply. `dependencies` run before
    every endpoint.
    """

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
    ) -> None:
        super().__init__(
            dependencies=dependencies,
            default_response_class=default_response_class,
            max_body_size=max_body_size,
        )
        self.title = title
        self.version = version
        self.lifespan = lifespan
        self.state = State()
        self.lifespan_state: dict[str, Any] = {}
        self._dependency_overrides: dict[Callable[..., Any], Callable[..., Any]] = {}
        self.exception_handlers: dict[int | type[Exception], ExceptionHandler] = {}
        for key, handler in (exception_handlers or {}).items():
            self.add_exception_handler(key, handler)

    def __repr__(self) -> str:
        return f"<App {self.title!r}, {len(self.routes)} routes>"

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

    @asynccontextmanager
    async def running_lifespan(self) -> AsyncIterator[None]:
        """Runs the startup half of the lifespan, and at the end its shutdown half."""
        if self.lifespan is None:
            yield
            return
        context = self.lifespan(self)
        if not isinstance(context, AbstractAsyncContextManager):
            raise TypeError(
                "lifespan must give an async context manager; write it as an async generator "
                "decorated with contextlib.asynccontextmanager"
            )
        async with context as state:
            self.lifespan_state = dict(state or {})
            try:
                yield
            finally:
                self.lifespan_state = {}

    def run(
        self,
        host: str = "127.0.0.1",
        port: int = 8000,
        uds: str | None = None,
        log_level: str = "info",
        access_log: bool = True,
        limits: Limits | None = None,
    ) -> None:
        """Serves until SIGINT or SIGTERM, then finishes the requests it has.

        Listens on the unix socket `uds` instead, when given. `limits` are those that differ from
        the defaults. A start that fails is explained on stderr and raises `SystemExit`.
        """
        from weft.server import Config, Limits, run

        config = Config(
            host=host,
            port=port,
            uds=uds,
            log_level=log_level,
            access_log=access_log,
            limits=limits or Limits(),
        )
        run(self, config)
