"""One request, run by a plan of weft and by FastAPI itself, so that tests can compare the two."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

import fastapi
import fastapi.exceptions

import weft.params
from weft import _core
from weft.exceptions import HTTPException
from weft.signature import compile_plan

CALLED, INVALID = 0, 1
JSON = [(b"content-type", b"application/json")]


@dataclass
class Call:
    """A request; ``params`` fill the braces of the route's path."""

    query: bytes = b""
    params: tuple[str, ...] = ()
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


def run_plan(plan: _core.Plan, call: Call, **options: Any) -> tuple[int, Any, Any]:
    target = b"/" + (b"?" + call.query if call.query else b"")
    headers = list(call.headers)
    if call.body:
        headers.append((b"content-length", str(len(call.body)).encode()))
    return _core._plan_test(plan, "POST", target, headers, call.body, call.params, **options)


def run_weft(endpoint: Callable[..., Any], path: str, calls: list[Call]) -> list[tuple[str, Any]]:
    """("called", what the handler returned), ("invalid", errors) or ("refused", status) of each."""
    plan = compile_plan(endpoint, path)
    answers: list[tuple[str, Any]] = []
    for call in calls:
        call = replace(call, params=tuple(map(unquote, call.params)))
        try:
            outcome, value, _ = run_plan(plan, call)
        except HTTPException as exc:
            answers.append(("refused", exc.status_code))
        else:
            answers.append(("called" if outcome == CALLED else "invalid", value))
    return answers


def fastapi_app(endpoint: Callable[..., Any], path: str) -> tuple[Any, list[Any]]:
    seen: list[Any] = []
    app = fastapi.FastAPI()

    @functools.wraps(endpoint)
    def spy(**arguments: Any) -> None:
        seen.append(("called", endpoint(**arguments)))

    @app.exception_handler(fastapi.exceptions.RequestValidationError)
    async def invalid(request: Any, exc: Any) -> Any:
        seen.append(("invalid", exc.errors()))
        return fastapi.Response(status_code=422)

    app.post(path, response_model=None)(spy)
    return app, seen


def run_fastapi(
    endpoint: Callable[..., Any], path: str, calls: list[Call]
) -> list[tuple[str, Any]]:
    app, seen = fastapi_app(endpoint, path)
    answers: list[tuple[str, Any]] = []

    async def run() -> None:
        for call in calls:
            status = await post(app, path, call)
            answers.append(seen.pop() if seen else ("refused", status))

    asyncio.run(run())
    return answers


async def post(app: Any, path: str, call: Call) -> int:
    params = iter(call.params)
    raw_path = re.sub(r"{[^}]*}", lambda m: next(params), path)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "root_path": "",
        "query_string": call.query,
        "headers": [(b"host", b"test"), *((k.lower(), v) for k, v in call.headers)],
        "server": ("test", 80),
        "client": ("test", 1),
    }
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": call.body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    return status


def comparable(value: Any) -> Any:
    """Types count (1 is not True); exceptions inside a ctx are alike by their words."""
    if isinstance(value, dict):
        return {k: comparable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [comparable(v) for v in value]
    if isinstance(value, Exception):
        return type(value).__name__, str(value)
    if value != value:
        return "nan"
    if getattr(value, "tzinfo", None) is not None:  # any tzinfo of that offset will do
        return type(value).__name__, value.replace(tzinfo=None), value.utcoffset()
    return type(value).__name__, value


def assert_same(make: Callable[[Any], Callable[..., Any]], path: str, calls: list[Call]) -> None:
    """``make`` gets weft.params or fastapi, whose markers it uses, and returns a handler."""
    expected = run_fastapi(make(fastapi), path, calls)
    got = run_weft(make(weft.params), path, calls)
    for call, ours, theirs in zip(calls, got, expected, strict=True):
        assert comparable(ours) == comparable(theirs), call
