"""Where exception handlers run, and what is logged of clients that left."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from typing import Any

import pytest

from tests.conftest import Serve
from weft import App, HTTPException, JSONResponse, Request
from weft.testing import TestClient

var: contextvars.ContextVar[str] = contextvars.ContextVar("var")


def test_a_sync_exception_handler_runs_off_the_loop_and_blocks_nobody() -> None:
    app = App()
    entered, answered = threading.Event(), threading.Event()

    @app.exception_handler(KeyError)
    def missing(request: Request, exc: KeyError) -> JSONResponse:
        entered.set()
        assert answered.wait(10)
        return JSONResponse({"thread": threading.current_thread().name, "path": request.path}, 404)

    @app.get("/missing")
    async def fails() -> None:
        raise KeyError("x")

    @app.get("/quick")
    async def quick() -> str:
        return threading.current_thread().name

    with TestClient(app) as client:
        slow = threading.Thread(target=client.get, args=("/missing",))
        slow.start()
        assert entered.wait(10)
        loop_thread = client.get("/quick").json()  # while the handler of the exception waits
        answered.set()
        slow.join()
        reply = client.get("/missing")
        assert reply.status_code == 404
        assert reply.json()["path"] == "/missing"
        assert reply.json()["thread"] != loop_thread


def test_an_object_with_an_async_call_handles_exceptions() -> None:
    class Handler:
        async def __call__(self, request: Request, exc: Exception) -> JSONResponse:
            return JSONResponse({"handled": str(exc)}, 418)

    app = App(exception_handlers={ValueError: Handler()})

    @app.get("/")
    async def fails() -> None:
        raise ValueError("x")

    with TestClient(app) as client:
        reply = client.get("/")
        assert (reply.status_code, reply.json()) == (418, {"handled": "x"})


def test_a_sync_exception_handler_that_raises_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.exception_handler(KeyError)
    def worse(request: Request, exc: KeyError) -> JSONResponse:
        raise RuntimeError("worse")

    @app.get("/")
    async def fails() -> None:
        raise KeyError("x")

    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/").status_code == 500
        assert client.get("/").status_code == 500
    assert "worse" in caplog.text


@pytest.mark.parametrize("sync", [False, True])
def test_what_a_failing_handler_was_handling_is_in_the_log(
    sync: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(request: Request, exc: KeyError) -> JSONResponse:
        raise ValueError("the handler's")

    async def fails_too(request: Request, exc: KeyError) -> JSONResponse:
        raise ValueError("the handler's")

    app = App(exception_handlers={KeyError: fails if sync else fails_too})

    @app.get("/")
    async def endpoint() -> None:
        raise KeyError("the endpoint's")

    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/").status_code == 500
    assert "ValueError: the handler's" in caplog.text
    assert 'KeyError: "the endpoint\'s"' in caplog.text


def test_a_sync_exception_handler_shares_no_context_with_the_task_that_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The thread entered the request's context while the task was on its way out of it."""
    app = App()

    @app.exception_handler(KeyError)
    def missing(request: Request, exc: KeyError) -> JSONResponse:
        return JSONResponse({"var": var.get()}, 404)

    @app.get("/")
    async def fails() -> None:
        await asyncio.sleep(0)
        var.set("the request's")
        raise KeyError("x")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with TestClient(app) as client:
            for _ in range(300):
                assert client.get("/").json() == {"var": "the request's"}
    finally:
        sys.setswitchinterval(interval)
    assert [r for r in caplog.records if r.name == "asyncio"] == []


def test_a_504_is_the_handlers_whoever_raises_it(serve: Serve) -> None:
    app = App()

    @app.exception_handler(504)
    async def late(request: Request, exc: Exception) -> JSONResponse:
        return JSONResponse("mine", 504)

    @app.middleware("http")
    async def limit(request: Request, call_next: Any) -> Any:
        seconds = 0.05 if request.url.path == "/middleware" else None
        try:
            async with asyncio.timeout(seconds):
                return await call_next(request)
        except TimeoutError:
            raise HTTPException(504) from None

    @app.get("/middleware")
    async def waits() -> None:
        await asyncio.Event().wait()

    @app.get("/route", timeout=0.05)
    async def has_a_limit() -> None:
        await asyncio.Event().wait()

    client = serve(app)
    ours, routes = client.get("/middleware"), client.get("/route")
    assert (ours.status_code, ours.json()) == (504, "mine")
    assert "connection" not in ours.headers
    assert (routes.status_code, routes.json()) == (504, "mine")
    assert "connection" not in routes.headers
