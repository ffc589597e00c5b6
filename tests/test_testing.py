"""The test client: as close to Starlette's as a real socket allows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from weft import App, BackgroundTasks, Depends, Request
from weft.testing import TestClient


@pytest.fixture
def echo(app: App) -> App:
    @app.get("/")
    async def handler(request: Request) -> dict[str, str]:
        return {"url": str(request.url), **request.headers}

    @app.get("/fail")
    async def fail() -> None:
        raise ZeroDivisionError("boom")

    return app


def test_urls_name_the_host_they_say(echo: App) -> None:
    with TestClient(echo, base_url="http://shop.example:81", headers={"x-a": "1"}) as client:
        response = client.get("/?q=1")
        assert response.json()["url"] == "http://shop.example:81/?q=1"
        assert response.json()["x-a"] == "1"
        assert response.json()["user-agent"] == "testclient"
        assert str(response.url) == "http://shop.example:81/?q=1"
        assert client.get("http://other.example/").json()["host"] == "other.example"


def test_exceptions_of_the_app_are_raised(echo: App) -> None:
    with TestClient(echo) as client:
        with pytest.raises(ZeroDivisionError, match="boom"):
            client.get("/fail")
        assert client.get("/").status_code == 200  # and it goes on


def test_exceptions_of_the_app_are_500_when_asked(echo: App) -> None:
    with TestClient(echo, raise_server_exceptions=False) as client:
        assert client.get("/fail").status_code == 500


def test_without_with_there_is_no_lifespan() -> None:
    ran = []

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        ran.append("startup")
        yield

    app = App(lifespan=lifespan)

    @app.get("/")
    async def handler() -> int:
        return 1

    client = TestClient(app)
    assert client.get("/").json() == 1
    assert ran == []
    with client:
        assert client.get("/").json() == 1
    assert ran == ["startup"]


@pytest.mark.parametrize("when", ["startup", "shutdown"])
def test_a_lifespan_that_fails(when: str) -> None:
    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        if when == "startup":
            raise ZeroDivisionError(when)
        yield
        raise ZeroDivisionError(when)

    with pytest.raises(ZeroDivisionError, match=when), TestClient(App(lifespan=lifespan)):
        assert when == "shutdown"


def test_a_lifespan_that_is_none() -> None:
    async def lifespan(app: App) -> AsyncIterator[None]:
        yield

    with pytest.raises(TypeError, match="asynccontextmanager"), TestClient(App(lifespan=lifespan)):  # type: ignore[arg-type]
        pass


def test_two_apps_at_once(echo: App) -> None:
    other = App()

    @other.get("/")
    async def handler() -> str:
        return "other"

    with TestClient(echo) as a, TestClient(other) as b:
        assert b.get("/").json() == "other"
        assert a.get("/").json()["host"] == "testserver"


@pytest.mark.parametrize("how", ["task", "clean-up"])
def test_a_request_returns_when_all_of_it_is_done(how: str) -> None:
    app, log = App(), []

    async def clean() -> AsyncIterator[None]:
        yield
        await asyncio.sleep(0.02)
        log.append("clean-up")
        if "fail" in log:
            raise LookupError("clean-up")

    def work() -> None:
        time.sleep(0.02)
        log.append("task")
        if "fail" in log:
            raise LookupError("task")

    @app.get("/task")
    async def task(tasks: BackgroundTasks) -> None:
        tasks.add_task(work)

    @app.get("/clean-up", dependencies=[Depends(clean)])
    async def cleaned() -> None: ...

    with TestClient(app) as client:
        for _ in range(5):
            assert client.get(f"/{how}").status_code == 200
            assert log.pop() == how
        log.append("fail")
        with pytest.raises(LookupError, match=how):
            client.get(f"/{how}")
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get(f"/{how}").status_code == 200


def test_a_request_that_is_not_to_wait_for_its_tasks() -> None:
    app, gate, ended = App(), threading.Event(), threading.Event()

    def work() -> None:
        gate.wait(30)
        ended.set()

    @app.get("/")
    async def task(tasks: BackgroundTasks) -> None:
        tasks.add_task(work)

    with TestClient(app, wait_for_tasks=False) as client:
        assert client.get("/").status_code == 200
        assert not ended.is_set()
        gate.set()
    assert ended.wait(30)
