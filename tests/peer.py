"""One app made twice, of weft and of FastAPI, both served on real sockets and asked the same."""

from __future__ import annotations

import http.client
import importlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import uvicorn

from weft.testing import Worker

# What depends on the server, not on the application.
_SERVERS_OWN = {"date", "server"}
_MODULES = (
    *("", ".routing", ".security", ".security.http", ".responses", ".requests", ".exceptions"),
    *(".encoders", ".exception_handlers", ".concurrency"),
    *(".background", ".sse", ".staticfiles", ".templating", ".middleware", ".middleware.cors"),
)


class Framework:
    """The names an app is written with, of one of the two; `log` is for what the app sees.

    `fw.App`, `fw.Router`, `fw.Depends`, `fw.JSONResponse`, ... : whatever its modules have.
    """

    def __init__(self, name: str, modules: Sequence[str], renamed: dict[str, str]) -> None:
        self.name = name
        self.log: list[Any] = []
        self._modules = [importlib.import_module(module) for module in modules]
        self._renamed = renamed

    def __getattr__(self, name: str) -> Any:
        name = self._renamed.get(name, name)
        for module in self._modules:
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"{self.name} has no {name}")


def weft_names() -> Framework:
    return Framework(
        "weft",
        [*(f"weft{module}" for module in _MODULES), "weft.status"],
        {"StarletteHTTPException": "HTTPException"},
    )


def fastapi_names() -> Framework:
    return Framework(
        "fastapi",
        [
            *(f"fastapi{module}" for module in _MODULES),
            *("starlette.requests", "starlette.background", "starlette.status"),
            *("starlette.middleware.gzip", "starlette.middleware.trustedhost"),
        ],
        {"App": "FastAPI", "Router": "APIRouter"},
    )


@dataclass
class Ask:
    """A request."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    @staticmethod
    def json(method: str, target: str, value: Any, *headers: tuple[str, str]) -> Ask:
        fields = [("content-type", "application/json"), *headers]
        return Ask(method, target, fields, json.dumps(value).encode())


def get(target: str, **headers: str) -> Ask:
    return Ask("GET", target, [(k.replace("_", "-"), v) for k, v in headers.items()])


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]] = field(repr=False)
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        return dict(self.headers)


def _deleted(value: str) -> str:
    """A Set-Cookie field without the time of its deletion, which is now, and so for the next one
    perhaps another second."""

    def said(found: re.Match[str]) -> str:
        age = time.time() - parsedate_to_datetime(found[1]).timestamp()
        return "expires=now" if abs(age) < 60 else found[0]

    return re.sub(r"expires=([^;]+)", said, value)


def ask(port: int, request: Ask) -> Answer:
    """Over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        has_host = any(name.lower() == "host" for name, _ in request.headers)
        connection.putrequest(
            request.method, request.target, skip_host=has_host, skip_accept_encoding=True
        )
        for name, value in request.headers:
            connection.putheader(name, value)
        if request.body:
            connection.putheader("content-length", str(len(request.body)))
        connection.endheaders(request.body or None)
        reply = connection.getresponse()
        body = reply.read()
        headers = sorted((name.lower(), _deleted(value)) for name, value in reply.getheaders())
        kept = [(name, value) for name, value in headers if name not in _SERVERS_OWN]
        return Answer(reply.status, kept, body)
    finally:
        connection.close()


@contextmanager
def on_uvicorn(app: Any) -> Iterator[int]:
    """Serves an ASGI app in a thread; its port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    assert server.started, "the FastAPI app did not start"
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def on_weft(app: Any) -> Iterator[int]:
    worker = Worker(app)
    worker.start(lifespan=True)
    try:
        yield worker.port
    finally:
        worker.stop()


def answers(make: Callable[[Framework], Any], requests: Sequence[Ask]) -> tuple[list[Any], ...]:
    """(weft's answers, FastAPI's, weft's log, FastAPI's)."""
    ours, theirs = weft_names(), fastapi_names()
    with on_weft(make(ours)) as port:
        got = [ask(port, request) for request in requests]
    with on_uvicorn(make(theirs)) as port:
        expected = [ask(port, request) for request in requests]
    return got, expected, ours.log, theirs.log


def assert_same(make: Callable[[Framework], Any], *requests: Ask) -> list[Answer]:
    """Statuses, header fields and bodies are FastAPI's, and so is what `make` has in its log.

    `make` gets the names to write an app with, and returns it. Gives weft's answers.
    """
    got, expected, our_log, their_log = answers(make, requests)
    for request, ours, theirs in zip(requests, got, expected, strict=True):
        assert (ours.status, ours.body) == (theirs.status, theirs.body), request
        assert ours.headers == theirs.headers, request
    assert our_log == their_log
    return got
