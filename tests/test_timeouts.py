"""A handler over its time: it is cancelled, and HTTPException(504) answers as any other does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest

from weft import App, BackgroundTasks, Depends, HTTPException, JSONResponse, Request

from .connections import wait_until
from .wire import Client, Reply, get, post, served

OWN = b'{"detail":"Gateway Timeout"}'


async def never() -> None:
    await asyncio.Event().wait()


def late(client: Client, path: str) -> Reply:
    """The reply with 504, after which the connection is of use."""
    reply = client.send(get(path)).reply()
    assert reply is not None, path
    assert (reply.status, reply.field("connection")) == (504, None), path
    assert client.is_open(), path
    return reply


def test_it_is_an_http_exception() -> None:
    app, ended = App(), []

    @app.get("/", timeout=0.05)
    async def root() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with served(app) as server, server.connect() as client:
        assert late(client, "/").body == OWN
    assert ended == ["cancelled"]


@pytest.mark.parametrize("key", [504, HTTPException])
@pytest.mark.parametrize("sync", [False, True])
def test_handlers_answer_it(key: Any, sync: bool) -> None:
    app = App()

    async def answer(request: Request, exc: HTTPException) -> JSONResponse:
        context = type(exc.__context__).__name__
        return JSONResponse([request.path, exc.status_code, context], 504, {"x-mine": "1"})

    def answer_sync(request: Request, exc: HTTPException) -> JSONResponse:
        context = type(exc.__context__).__name__
        return JSONResponse([request.path, exc.status_code, context], 504, {"x-mine": "1"})

    app.add_exception_handler(key, answer_sync if sync else answer)
    app.get("/late", timeout=0.05)(never)

    @app.get("/dependent", timeout=0.05)
    async def dependent(value: Annotated[None, Depends(never)]) -> None: ...

    @app.post("/read", timeout=0.05)
    async def read(body: dict[str, int]) -> None:
        await never()

    with served(app) as server, server.connect() as client:
        for path in ("/late", "/dependent"):
            reply = late(client, path)
            assert reply.body == b'["%s",504,"CancelledError"]' % path.encode()
            assert reply.field("x-mine") == "1"
        got = client.send(post("/read", b'{"a":1}', b"content-type: application/json")).reply()
        assert got is not None
        assert (got.status, got.body) == (504, b'["/read",504,"CancelledError"]')
        assert client.is_open()


def test_middleware_gets_the_reply() -> None:
    app, seen = App(), []

    @app.middleware("http")
    async def outer(request: Request, call_next: Any) -> Any:
        if request.path == "/middleware":
            await never()
        task = asyncio.current_task()
        assert task is not None
        reply = await call_next(request)
        seen.append((request.path, reply.status_code, task.cancelling()))
        await asyncio.sleep(0)
        reply.headers["x-outer"] = "1"
        return reply

    app.get("/late", timeout=0.05)(never)
    app.get("/middleware", timeout=0.05)(never)

    with served(app) as server, server.connect() as client:
        reply = late(client, "/late")
        assert (reply.body, reply.field("x-outer")) == (OWN, "1")
        reply = late(client, "/middleware")
        assert (reply.body, reply.field("x-outer")) == (OWN, None)
    assert [entry for entry in seen if entry[0] == "/late"] == [("/late", 504, 0)]


def test_dependencies_clean_up_and_see_the_cancellation() -> None:
    app, log = App(), []

    async def resource() -> AsyncIterator[str]:
        try:
            yield "resource"
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            log.append("rolled back")
            raise
        finally:
            log.append("closed")

    @app.get("/", timeout=0.05)
    async def root(value: str = Depends(resource)) -> None:
        await never()

    with served(app) as server, server.connect() as client:
        assert late(client, "/").body == OWN
    assert log == ["rolled back", "closed"]


def test_background_tasks_are_those_of_the_reply() -> None:
    app, done = App(), []

    @app.exception_handler(504)
    async def answer(request: Request, exc: HTTPException) -> JSONResponse:
        tasks = BackgroundTasks()
        tasks.add_task(done.append, "the reply's")
        return JSONResponse("late", 504, background=tasks)

    @app.get("/", timeout=0.05)
    async def root(tasks: BackgroundTasks) -> None:
        tasks.add_task(done.append, "the handler's")
        await never()

    with served(app) as server, server.connect() as client:
        assert late(client, "/").body == b'"late"'
        assert wait_until(lambda: done)
    assert done == ["the reply's"]


def test_what_ends_otherwise_is_answered_so() -> None:
    app = App()

    @app.get("/returns", timeout=0.05)
    async def returns() -> str:
        try:
            await never()
        except asyncio.CancelledError:
            return "in time enough"
        return "never"

    @app.get("/raises", timeout=0.05)
    async def raises() -> None:
        try:
            await never()
        finally:
            raise HTTPException(409)

    @app.get("/itself", timeout=60)
    async def itself() -> None:
        raise asyncio.CancelledError

    with served(app) as server, server.connect() as client:
        for path, status in (("/returns", 200), ("/raises", 409), ("/itself", 500)):
            reply = client.send(get(path)).reply()
            assert reply is not None
            assert (path, reply.status) == (path, status)
            assert client.is_open()


def test_a_thread_is_left_to_itself() -> None:
    app, go_on, seen = App(), threading.Event(), []

    @app.exception_handler(504)
    async def answer(request: Request, exc: HTTPException) -> JSONResponse:
        return JSONResponse("mine", 504)

    @app.get("/thread", timeout=0.05)
    def block(request: Request) -> str:
        go_on.wait(60)
        seen.append((request.path, request.headers["host"]))
        return "too late"

    with served(app) as server, server.connect() as client:
        assert late(client, "/thread").body == b'"mine"'
        go_on.set()
        assert wait_until(lambda: seen)
        assert client.is_open()
    assert seen == [("/thread", "a")]


@pytest.mark.parametrize("around", ["dependency", "middleware", "both"])
def test_a_thread_beneath_something_is_left_to_itself(around: str) -> None:
    """It was the server's own 504, which closed the connection."""
    app, go_on, log = App(), threading.Event(), list[Any]()

    async def dependency(request: Request) -> str:
        return request.method

    def blocking(value: str = Depends(dependency)) -> str:
        return block(value)

    def block(value: str = Depends(dependency) if around != "middleware" else "GET") -> str:
        go_on.wait(60)
        log.append(value)
        return "too late"

    app.get("/handler", timeout=0.05)(block)

    @app.get("/dependency", timeout=0.05)
    async def dependent(value: str = Depends(blocking)) -> None:
        log.append("not called")

    @app.exception_handler(504)
    async def answer(request: Request, exc: HTTPException) -> JSONResponse:
        return JSONResponse("mine", 504)

    if around != "dependency":

        @app.middleware("http")
        async def outer(request: Request, call_next: Any) -> Any:
            reply = await call_next(request)
            log.append(reply.status_code)
            return reply

    with served(app) as server, server.connect() as client:
        for path in ("/handler", "/dependency"):
            assert late(client, path).body == b'"mine"'
        assert log.count(504) == (0 if around == "dependency" else 2)
        go_on.set()
        assert wait_until(lambda: log.count("GET") == 2)
        assert client.is_open()
    assert "not called" not in log


def test_a_thread_that_is_waited_for_gets_the_servers_own() -> None:
    """As does what does not end within handler_grace_ms."""
    app, go_on, log = App(), threading.Event(), []

    def resource() -> Any:
        try:
            yield 1
        finally:
            log.append("closed")

    @app.get("/thread", timeout=0.05)
    def block(value: int = Depends(resource)) -> None:
        go_on.wait(60)
        log.append("ended")

    @app.get("/stubborn", timeout=0.05)
    async def stubborn() -> None:
        try:
            await never()
        finally:
            await never()

    with served(app, handler_grace_ms=50) as server:
        for path in ("/thread", "/stubborn"):
            with server.connect() as client:
                reply = client.send(get(path)).reply()
                assert reply is not None
                assert (reply.status, reply.body) == (504, OWN)
                assert reply.field("connection") == "close"
                assert client.rest() == b""
        assert server.is_well()
        go_on.set()
        assert wait_until(lambda: len(log) == 2)
    assert log == ["ended", "closed"]
