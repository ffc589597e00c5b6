"""Middleware in Python: around the endpoint, its dependencies and the exception handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from weft.exceptions import HTTPException, RequestValidationError, plain, sendable
from weft.json import EncodeError, encode
from weft.requests import Request
from weft.responses import JSONResponse, Response
from weft.routing import is_async_callable

if TYPE_CHECKING:
    from weft.app import App

__all__ = ["BaseHTTPMiddleware", "Dispatch", "compose", "rescue"]

CallNext = Callable[[Request], Awaitable[Response]]
Dispatch = Callable[[Request, CallNext], Awaitable[Response]]


class BaseHTTPMiddleware:
    """A middleware as a class: override `dispatch`, which awaits `call_next(request)` once."""

    def __init__(self, app: App, dispatch: Dispatch | None = None) -> None:
        self.app = app
        if dispatch is not None:
            self.dispatch = dispatch  # type: ignore[method-assign, assignment]

    async def dispatch(self, request: Request, call_next: CallNext) -> Response:
        """Answers `request`: with `await call_next(request)`, or with a reply of its own."""
        raise NotImplementedError(f"{type(self).__name__} has no dispatch()")


def compose(dispatches: Sequence[Dispatch]) -> Dispatch | None:
    """All of them as one, the first outermost; None where there is none."""
    if not dispatches:
        return None
    *outer, entry = dispatches
    for dispatch in reversed(outer):
        entry = _link(dispatch, entry)
    return entry


def _link(dispatch: Dispatch, following: Dispatch) -> Dispatch:
    def entry(request: Request, call_next: CallNext) -> Awaitable[Response]:
        # the request that came in is what goes on, whatever it is called with
        return dispatch(request, lambda _: following(request, call_next))

    return entry


async def rescue(app: App, request: Request, exc: BaseException) -> Response:
    """The reply to an exception from inside of the middleware; what nobody answers is raised again.

    Handlers for 500 and Exception are not asked: they stand around the middleware.
    """
    handler = _find_handler(app, exc)
    if handler is None:
        return own_reply(exc)
    if is_async_callable(handler):
        reply = await handler(request, exc)
    else:
        reply = await asyncio.to_thread(handler, request, exc)
    return reply if isinstance(reply, Response) else JSONResponse(reply)


def _find_handler(app: App, exc: BaseException) -> Callable[..., Any] | None:
    if isinstance(exc, HTTPException) and exc.status_code != 500:
        found = app.exception_handlers.get(exc.status_code)
        if found is not None:
            return found
    for cls in type(exc).__mro__:
        if cls is Exception:
            break
        if cls in app.exception_handlers:
            return app.exception_handlers[cls]
        if cls is HTTPException:
            break
    return None


def own_reply(exc: BaseException) -> Response:
    """Of an HTTPException or a RequestValidationError; anything else is raised again."""
    if isinstance(exc, HTTPException):
        if exc.status_code in (204, 205, 304):
            return Response(status_code=exc.status_code, headers=exc.headers)
        return JSONResponse({"detail": exc.detail}, exc.status_code, exc.headers)
    if isinstance(exc, RequestValidationError):
        try:
            body = encode({"detail": exc.errors()}, default=plain)
        except EncodeError:
            body = encode({"detail": sendable(exc.errors())}, default=plain)
        return Response(body, 422, media_type="application/json")
    raise exc
