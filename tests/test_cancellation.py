"""What becomes of a handler whose client leaves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from weft import App, HTTPException, PlainTextResponse, Request, Response, StreamingResponse
from weft.background import BackgroundTask
from weft.exceptions import ClientDisconnect

from .conftest import Serve
from .connections import ask, connect, reply, reset, wait_until


class Diary:
    """What a handler did, seen from the test's thread; the first line says that it waits."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.times: list[float] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self.times.append(time.monotonic())

    def has(self, *lines: str) -> bool:
        return self.lines == list(lines)


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def leave(app: App, serve: Serve, diary: Diary) -> Any:
    """Asks for `/`, waits for the handler's first line, and leaves; says when."""

    def leave(how: str = "close", method: str = "GET") -> float:
        client = serve(app)
        with connect(client) as sock:
            ask(sock, "/", method)
            assert wait_until(lambda: diary.lines)
            left = time.monotonic()
            if how == "reset":
                reset(sock)
        return left

    return leave


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_parked_handler_is_cancelled_at_once(
    app: App, diary: Diary, leave: Any, how: str, server_errors: Any
) -> None:
    @asynccontextmanager
    async def session() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(0)
            diary("session closed")

    @app.get("/")
    async def wait() -> None:
        async with session():
            try:
                diary("waiting")
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                diary("cancelled")
                raise
            finally:
                await asyncio.sleep(0.01)
                diary("cleaned up")

    left = leave(how)
    assert wait_until(lambda: len(diary.lines) == 4)
    assert diary.has("waiting", "cancelled", "cleaned up", "session closed")
    assert diary.times[1] - left < 10  # it would sleep for thirty seconds
    assert server_errors() == []


def test_a_handler_may_swallow_the_cancellation(
    app: App, diary: Diary, leave: Any, server_errors: Any
) -> None:
    @app.get("/")
    async def wait() -> dict[str, bool]:
        try:
            diary("waiting")
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            diary(f"cancelled {task.cancelling()}")
        await asyncio.sleep(0.001)
        diary("went on")
        return {"nobody": True}

    leave()
    assert wait_until(lambda: diary.has("waiting", "cancelled 1", "went on"))
    assert server_errors() == []


def test_a_shield_protects_what_it_covers(app: App, diary: Diary, leave: Any) -> None:
    async def save() -> None:
        diary("saving")
        await asyncio.sleep(0.05)
        diary("saved")

    @app.get("/")
    async def wait() -> None:
        try:
            await asyncio.shield(save())
        except asyncio.CancelledError:
            diary("cancelled")
            raise

    leave()
    assert wait_until(lambda: diary.has("saving", "cancelled", "saved"))


def test_cancellation_reaches_children(app: App, diary: Diary, leave: Any) -> None:
    async def child(name: str) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            diary(name)

    @app.get("/")
    async def wait() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(child("in group"))
            await asyncio.sleep(0)
            diary("waiting")
            async with asyncio.timeout(30):
                await asyncio.gather(child("gathered"), child("gathered"))

    leave()
    assert wait_until(lambda: len(diary.lines) == 4)
    assert sorted(diary.lines[1:]) == ["gathered", "gathered", "in group"]


def test_an_exception_of_the_cleanup_is_logged(
    app: App, diary: Diary, leave: Any, server_errors: Any
) -> None:
    @app.get("/")
    async def wait() -> None:
        try:
            diary("waiting")
            await asyncio.sleep(30)
        finally:
            raise ZeroDivisionError

    leave()
    assert wait_until(server_errors)
    assert [type(e) for e in server_errors()] == [ZeroDivisionError]


def test_an_http_exception_nobody_reads_is_not_logged(
    app: App, diary: Diary, leave: Any, server_errors: Any
) -> None:
    @app.get("/")
    async def wait() -> None:
        try:
            diary("waiting")
            await asyncio.sleep(30)
        finally:
            diary("raising")
            raise HTTPException(503)

    leave()
    assert wait_until(lambda: diary.has("waiting", "raising"))
    time.sleep(0.02)
    assert server_errors() == []


def test_a_route_may_say_otherwise(app: App, diary: Diary, leave: Any, server_errors: Any) -> None:
    @app.get("/", cancel_on_disconnect=False)
    async def wait(request: Request) -> Response:
        diary(f"gone: {await request.is_disconnected()}")
        while not await request.is_disconnected():
            await asyncio.sleep(0.001)
        diary("gone")
        await asyncio.sleep(0.02)
        diary("done")

        async def after() -> None:
            diary("background")

        return Response(background=BackgroundTask(after))

    leave()
    assert wait_until(lambda: diary.has("gone: False", "gone", "done", "background"))
    assert diary.lines == ["gone: False", "gone", "done", "background"]
    assert server_errors() == []


def test_is_disconnected_of_a_handler_that_only_asks(app: App, diary: Diary, leave: Any) -> None:
    @app.get("/", cancel_on_disconnect=False)
    async def wait(request: Request) -> None:
        diary("asking")
        while not await request.is_disconnected():
            pass
        diary("gone")

    leave()
    assert wait_until(lambda: diary.has("asking", "gone"))


def test_routers_take_the_option(serve: Serve) -> None:
    app = App()
    app.add_api_route("/", wait_for_good, cancel_on_disconnect=False)
    app.add_api_route("/usual", wait_for_good)
    assert [route.cancel_on_disconnect for route in app.routes] == [False, True]


async def wait_for_good() -> None:
    await asyncio.sleep(30)


def test_a_stop_cancels_every_handler(
    app: App, serve: Serve, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the route says: nothing would end the process otherwise."""
    monkeypatch.setattr("weft.server.DRAIN_SECONDS", 0.05)

    @app.get("/", cancel_on_disconnect=False)
    async def wait() -> None:
        diary("waiting")
        try:
            await asyncio.sleep(30)
        finally:
            diary("cancelled")

    client = serve(app)
    with connect(client) as sock:
        ask(sock, "/")
        assert wait_until(lambda: diary.lines)
        client.close()
    assert diary.has("waiting", "cancelled")


def test_a_sync_handler_is_not_disturbed(
    app: App, diary: Diary, leave: Any, server_errors: Any
) -> None:
    go = threading.Event()

    @app.get("/")
    def wait() -> str:
        diary("waiting")
        go.wait(30)
        diary("done")
        return "nobody"

    leave()
    time.sleep(0.02)
    assert diary.has("waiting")
    go.set()
    assert wait_until(lambda: diary.has("waiting", "done"))
    assert server_errors() == []


def test_a_client_that_leaves_before_its_handler_begins(app: App, serve: Serve) -> None:
    ran = threading.Event()

    @app.get("/block", inline=True)
    def block() -> None:
        time.sleep(0.1)

    @app.get("/late")
    async def late() -> None:
        ran.set()

    client = serve(app)
    with connect(client) as first, connect(client) as second:
        ask(first, "/block")
        time.sleep(0.02)
        ask(second, "/late")
        reset(second)
        assert reply(first).status == 200
    assert client.get("/late").status_code == 200
    assert ran.is_set()


def test_the_body_of_a_client_that_left(
    app: App, serve: Serve, diary: Diary, server_errors: Any
) -> None:
    @app.post("/", cancel_on_disconnect=False)
    async def upload(request: Request) -> None:
        diary("reading")
        try:
            await request.body()
        except ClientDisconnect:
            diary("disconnected")
            raise

    client = serve(app)
    with connect(client) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        assert wait_until(lambda: diary.lines)
    assert wait_until(lambda: diary.has("reading", "disconnected"))
    assert server_errors() == []


def test_an_upload_is_cancelled(app: App, serve: Serve, diary: Diary, server_errors: Any) -> None:
    @app.post("/")
    async def upload(request: Request) -> None:
        diary("reading")
        try:
            await request.body()
        except asyncio.CancelledError:
            diary("cancelled")
            raise

    with connect(serve(app)) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        assert wait_until(lambda: diary.lines)
    assert wait_until(lambda: diary.has("reading", "cancelled"))
    assert server_errors() == []


def test_the_handler_of_an_exception_is_cancelled_too(
    app: App, diary: Diary, leave: Any, server_errors: Any
) -> None:
    @app.exception_handler(ZeroDivisionError)
    async def answer(request: Request, exc: ZeroDivisionError) -> Response:
        diary("answering")
        try:
            await asyncio.sleep(30)
        finally:
            diary("cancelled")
        return PlainTextResponse("nobody")

    @app.get("/")
    async def fail() -> None:
        raise ZeroDivisionError

    leave()
    assert wait_until(lambda: diary.has("answering", "cancelled"))
    assert server_errors() == []


def test_others_are_not_disturbed(app: App, serve: Serve, diary: Diary) -> None:
    @app.get("/")
    async def wait() -> None:
        diary("waiting")
        await asyncio.sleep(30)

    @app.get("/other")
    async def other() -> str:
        diary("other")
        await asyncio.sleep(0.05)
        return "served"

    client = serve(app)
    with connect(client) as stays:
        ask(stays, "/other")
        with connect(client) as leaves:
            ask(leaves, "/")
            assert wait_until(lambda: len(diary.lines) == 2)
        assert reply(stays).read() == b'"served"'


# ---- streams ----


async def async_ticks(diary: Diary) -> AsyncIterator[str]:
    try:
        diary("first")
        yield "first"
        await asyncio.sleep(30)
    finally:
        await asyncio.sleep(0)
        diary("closed")


async def async_flood(diary: Diary) -> AsyncIterator[bytes]:
    try:
        diary("first")
        while True:
            yield b"x" * 16384
    finally:
        diary("closed")


def sync_ticks(diary: Diary) -> Iterator[str]:
    try:
        diary("first")
        yield "first"
        time.sleep(0.1)
        yield "second"
        while True:
            time.sleep(0.01)
            yield "more"
    finally:
        diary("closed")


def sync_flood(diary: Diary) -> Iterator[bytes]:
    try:
        diary("first")
        while True:
            yield b"x" * 16384
    finally:
        diary("closed")


@pytest.mark.parametrize("make", [async_ticks, async_flood, sync_ticks, sync_flood])
@pytest.mark.parametrize("cancel", [True, False])
def test_the_generator_of_a_stream_is_closed(
    app: App, diary: Diary, leave: Any, make: Any, cancel: bool, server_errors: Any
) -> None:
    """Where the route does not cancel, too: nobody is there to read the rest."""

    @app.get("/", cancel_on_disconnect=cancel)
    async def stream() -> StreamingResponse:
        return StreamingResponse(make(diary))

    leave()
    assert wait_until(lambda: diary.has("first", "closed"))
    assert server_errors() == []


def test_a_generator_that_swallows_the_cancellation(app: App, serve: Serve, diary: Diary) -> None:
    async def stubborn() -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
                if not diary.lines:
                    diary("first")
                    try:
                        await asyncio.sleep(30)
                    except asyncio.CancelledError:
                        diary("cancelled")
        finally:
            diary("closed")

    @app.get("/")
    async def stream() -> StreamingResponse:
        return StreamingResponse(stubborn())

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    client = serve(app)
    with connect(client) as sock:
        ask(sock, "/")
        assert wait_until(lambda: diary.lines)
    assert wait_until(lambda: diary.has("first", "cancelled", "closed"))
    assert client.get("/ping").json() == "pong"


def test_background_tasks_survive_a_stream_that_was_left(
    app: App, diary: Diary, leave: Any
) -> None:
    async def after() -> None:
        diary("background")

    @app.get("/")
    async def stream() -> StreamingResponse:
        return StreamingResponse(async_ticks(diary), background=BackgroundTask(after))

    leave()
    assert wait_until(lambda: diary.has("first", "closed", "background"))
