"""What a route's own handler (`APIRoute.get_route_handler`) has around: the rest of the request."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

from weft.exceptions import HTTPException, RequestValidationError
from weft.json import encode
from weft.requests import Request
from weft.responses import Response

__all__ = ["RouteHandler", "handle"]

RouteHandler = Callable[[Request], Awaitable[Response]]


async def handle(request: Request) -> Response:
    """Runs the dependencies and the endpoint of the request's route; its reply.

    What they raise comes out as it is, a `RequestValidationError` too. Parameters are read from the
    request as it came, but for its body: that is what `request` gives, which may be of a class that
    reads it in its own way. To be called once a request.
    """
    return cast("Response", await request._answer(await _another_body(request)))


async def _another_body(request: Request) -> bytes | None:
    """What parameters are read from in place of the body that came; None: from that."""
    cls, read = type(request), request._body_read
    own_json = cls.json is not Request.json
    if read is None or not (own_json or _may_differ(request)):
        return None
    body: bytes = b""
    try:
        body = bytes(await request.body())
        return encode(await request.json()) if own_json and body and read == "json" else body
    except json.JSONDecodeError as raised:
        exc = _in_python_words(raised, body)
        error = {
            "type": "json_invalid",
            "loc": ("body", exc.pos),
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": exc.msg},
        }
        raise RequestValidationError([error], body=exc.doc) from raised
    except HTTPException:
        raise
    except Exception as exc:
        raise HTTPException(400, "There was an error parsing the body") from exc


def _in_python_words(exc: json.JSONDecodeError, body: bytes) -> json.JSONDecodeError:
    try:
        json.loads(body)
    except json.JSONDecodeError as theirs:
        return theirs
    except ValueError:  # not even text
        pass
    return exc


def _may_differ(request: Request) -> bool:
    cls: Any = type(request)
    overridden = cls.body is not Request.body or cls.stream is not Request.stream
    return overridden or "_body" in vars(request) or request._receive is not None
