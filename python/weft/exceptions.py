"""The exceptions that become replies, and the one that stops an app from starting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.json import encode

__all__ = [
    "ClientDisconnect",
    "HTTPException",
    "RequestValidationError",
    "ResponseValidationError",
    "SignatureError",
]


class HTTPException(Exception):
    """Raise it in a handler to answer with this status and ``{"detail": detail}``.

    `detail` is anything that has a form in JSON; without one it is the status's phrase (RFC 9110,
    section 15). `headers` are fields of the reply.
    """

    def __init__(
        self,
        status_code: int,
        detail: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if detail is None:
            from http import HTTPStatus

            try:
                detail = HTTPStatus(status_code).phrase
            except ValueError:  # one of those that nobody has registered, like 499
                detail = ""
        super().__init__(status_code, detail)
        self.status_code = status_code
        self.detail = detail
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.status_code}: {self.detail}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(status_code={self.status_code!r}, detail={self.detail!r})"


class RequestValidationError(Exception):
    """What a request got wrong, before its handler was called. Answered with 422 (RFC 9110, section
    15.5.21) unless a handler for it says otherwise.

    `body` is what came, decoded where it could be.
    """

    def __init__(self, errors: Sequence[Any], *, body: Any = None) -> None:
        super().__init__(errors)
        self._errors = errors
        self.body = body

    def errors(self) -> Sequence[Any]:
        """One dict an error: type, loc, msg, input and, for some types, ctx."""
        return self._errors

    def __str__(self) -> str:
        return _listed(self._errors)


class ResponseValidationError(Exception):
    """What an endpoint returned is not of its route's model: a 500, and the errors in the log."""

    def __init__(self, errors: Sequence[Any], *, body: Any = None) -> None:
        super().__init__(errors)
        self._errors = errors
        self.body = body

    def errors(self) -> Sequence[Any]:
        """One dict an error: type, loc, msg, input and, for some types, ctx."""
        return self._errors

    def __str__(self) -> str:
        return _listed(self._errors)


def _listed(errors: Sequence[Any]) -> str:
    lines = [f"{len(errors)} validation error{'' if len(errors) == 1 else 's'}:"]
    return "\n".join((*lines, *(f"  {error}" for error in errors)))


def plain(value: object) -> Any:
    """What a 422 shows of a value JSON has no form for: of an exception nothing, else its text."""
    return {} if isinstance(value, BaseException) else str(value)


def sendable(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The errors of a 422, where an input has no JSON form (nan, a lone surrogate, nested to the
    very limit): without that input."""
    return [{key: _sendable(value) for key, value in error.items()} for error in errors]


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, tuple):  # loc: names, which may be keys of the input
        return tuple(map(_sendable, value))
    try:
        encode([[[value]]], default=plain)  # as deep as it will stand
    except (TypeError, ValueError):
        return None
    return value


class ClientDisconnect(Exception):
    """The client left before its request was complete."""


class SignatureError(TypeError):
    """A handler whose signature no plan can be made of; names the function and the parameter.

    Raised before the first request is served."""
