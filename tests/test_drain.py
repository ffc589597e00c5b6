"""What a server that is asked to stop does with the replies it streams."""

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import pytest

import weft.server
from weft import App, Depends, EventSourceResponse, StreamingResponse
from weft.testing import TestClient

from .connections import ask, connect, in_threads, reply, wait_until

EVENTS = {"response_class": EventSourceResponse}


class Endless:
    """Generators that never end by themselves, and what became of them."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    async def items(self, first: Any = "hello") -> AsyncIterator[Any]:
        try:
            yield first
            await asyncio.Event().wait()
        except BaseException as exc:
            self.ended.append(type(exc).__name__)
            raise

    async def resource(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self.ended.append("resource")


def serving(app: App, endless: Endless) -> None:
    @app.get("/yield", **EVENTS)
    async def by_yield() -> AsyncIterable[str]:
        async for item in endless.items():
            yield item

    @app.get("/depends", **EVENTS)
    async def with_a_dependency(
        resource: Annotated[None, Depends(endless.resource)],
    ) -> AsyncIterable[str]:
        async for item in endless.items():
            yield item

    @app.get("/returned")
    async def returned() -> EventSourceResponse:
        return EventSourceResponse(endless.items(b"data: hello\n\n"))

    @app.get("/by-media-type")
    async def by_media_type() -> StreamingResponse:
        return StreamingResponse(endless.items("data: hello\n\n"), media_type="Text/Event-Stream")

    @app.get("/after-waiting")
    async def after_waiting() -> EventSourceResponse:
        await asyncio.sleep(0)
        return EventSourceResponse(endless.items("data: hello\n\n"))


@contextmanager
def stopping(client: TestClient) -> Iterator[None]:
    """The server is asked to stop, and drains; at the end it has stopped."""
    server = client._worker._server
    with in_threads(1, lambda _: client._worker.stop()):
        assert wait_until(lambda: server is not None and server.phase != "serving")
        yield


PATHS = ["/yield", "/depends", "/returned", "/by-media-type", "/after-waiting"]


@pytest.mark.parametrize("middleware", [False, True], ids=["plain", "middleware"])
@pytest.mark.parametrize("path", PATHS)
def test_a_stream_of_events_does_not_hold_up_the_end(
    app: App, path: str, middleware: bool, server_errors: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weft.server, "DRAIN_SECONDS", 20)
    endless = Endless()
    serving(app, endless)
    if middleware:

        @app.middleware("http")
        async def around(request: weft.Request, call_next: Any) -> Any:
            return await call_next(request)

    with TestClient(app) as client, connect(client) as sock:
        ask(sock, path)
        answer = reply(sock)
        assert answer.readline() in (b'data: "hello"\n', b"data: hello\n")
        with stopping(client):
            assert answer.read() == b"\n"  # whole: read() raises where it is cut short
            assert sock.recv(1) == b""
    assert endless.ended[0] == "CancelledError"
    assert endless.ended[1:] == (["resource"] if path == "/depends" else [])
    assert server_errors() == []


def test_other_streams_are_finished_meanwhile(app: App) -> None:
    release = threading.Event()
    endless = Endless()
    serving(app, endless)

    @app.get("/lines")
    def lines() -> Iterator[int]:
        yield 1
        release.wait(60)
        yield 2

    with TestClient(app) as client, connect(client) as of_events, connect(client) as of_lines:
        ask(of_lines, "/lines")
        finite = reply(of_lines)
        assert finite.readline() == b"1\n"
        ask(of_events, "/yield")
        events = reply(of_events)
        events.readline()
        with stopping(client):
            assert events.read() == b"\n"
            assert endless.ended == ["CancelledError"]
            release.set()
            assert finite.read() == b"2\n"


@pytest.mark.parametrize("kind", ["plain", "dependency"])
def test_events_that_would_begin_during_the_end_do_not(app: App, kind: str) -> None:
    release = asyncio.Event()
    entered = threading.Event()
    endless = Endless()

    async def resource() -> AsyncIterator[None]:
        yield

    depends: Any = {"dependencies": [Depends(resource)]} if kind == "dependency" else {}

    @app.get("/", **depends)
    async def late() -> EventSourceResponse:
        entered.set()
        await release.wait()
        return EventSourceResponse(endless.items("data: hello\n\n"))

    with TestClient(app) as client, connect(client) as sock:
        ask(sock, "/")
        assert entered.wait(30)
        loop = client._worker._loop
        assert loop is not None
        with stopping(client):
            loop.call_soon_threadsafe(release.set)
            answer = reply(sock)
            assert (answer.status, answer.read()) == (200, b"")
            answer.close()
            sock.close()
    assert endless.ended == []  # never begun


def test_a_generator_that_will_not_end_is_given_its_time_and_no_more(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(weft.server, "DRAIN_SECONDS", 0.05)
    cancelled = 0

    @app.get("/", **EVENTS)
    async def stubborn() -> AsyncIterable[str]:
        nonlocal cancelled
        yield "hello"
        while cancelled < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1

    with TestClient(app) as client, connect(client) as sock:
        ask(sock, "/")
        reply(sock).readline()
        with stopping(client):
            pass
    assert cancelled == 2
    assert "cancelling 1 handlers" in caplog.text


def test_what_a_generator_raises_as_it_is_ended_is_told(app: App, server_errors: Any) -> None:
    @app.get("/", **EVENTS)
    async def failing() -> AsyncIterable[str]:
        try:
            yield "hello"
            await asyncio.Event().wait()
        finally:
            raise LookupError("while cleaning up")

    with TestClient(app) as client, connect(client) as sock:
        ask(sock, "/")
        reply(sock).readline()
        with stopping(client):
            pass
    assert [type(exc) for exc in server_errors()] == [LookupError]
