"""The replies to exceptions that have no handler of their own, for handlers that add to them."""

from __future__ import annotations

from weft.dispatch import own_reply
from weft.exceptions import HTTPException, RequestValidationError
from weft.requests import Request
from weft.responses import Response

__all__ = ["http_exception_handler", "request_validation_exception_handler"]


async def http_exception_handler(request: Request, exc: HTTPException) -> Response:
    """`{"detail": ...}` with the exception's status and headers."""
    return own_reply(exc)


async def request_validation_exception_handler(
    request: Request, exc: RequestValidationError
) -> Response:
    """422 with all errors."""
    return own_reply(exc)
