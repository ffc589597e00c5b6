"""What replies hold, and what of it arrives at a client."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import starlette.responses

import weft.responses
from weft import (
    App,
    BackgroundTask,
    BackgroundTasks,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from .conftest import Serve


def framed(raw: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Header fields without content-length, which is our server's to add."""
    return [pair for pair in raw if pair[0] != b"content-length"]


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("Response", ("text",), {}),
        ("Response", (b"bytes",), {"media_type": "image/png"}),
        ("Response", (None,), {"status_code": 204}),
        ("Response", ("ü",), {"media_type": "text/csv"}),
        ("Response", ("x",), {"media_type": "text/css; charset=latin-1"}),
        ("Response", ("x",), {"headers": {"X-A": "1", "Content-Type": "a/b"}}),
        ("PlainTextResponse", ("hé",), {"headers": {"X-A": "ü"}}),
        ("HTMLResponse", ("<p>",), {"status_code": 201}),
        ("JSONResponse", ({"a": [1, 2.5, None, "ü"]},), {}),
        ("JSONResponse", (None,), {}),
        ("RedirectResponse", ("/a b/ü?x=1#y",), {}),
        ("RedirectResponse", ("https://a.org/",), {"status_code": 303}),
    ],
)
def test_as_starlette_makes_it(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    ours = getattr(weft.responses, name)(*args, **kwargs)
    theirs = getattr(starlette.responses, name)(*args, **kwargs)
    assert ours.status_code == theirs.status_code
    assert ours.body == theirs.body
    assert ours.raw_headers == framed(theirs.raw_headers)


@pytest.mark.parametrize(
    "cookie",
    [
        {"key": "a"},
        {"key": "a", "value": 'b c;d"e,\\'},
        {"key": "a", "value": "ü"},
        {"key": "a", "value": "1", "max_age": 10, "expires": 10},
        {"key": "a", "expires": datetime(2037, 1, 22, 12, tzinfo=UTC)},
        {"key": "a", "expires": "Thu, 22 Jan 2037 12:00:00 GMT", "path": None, "samesite": None},
        {"key": "a", "domain": "a.org", "path": "/x", "secure": True, "httponly": True},
        {"key": "a", "max_age": 0, "samesite": "strict"},
    ],
)
def test_set_cookie_as_starlette_does(cookie: dict[str, Any]) -> None:
    ours, theirs = Response(), starlette.responses.Response()
    ours.set_cookie(**cookie)
    theirs.set_cookie(**cookie)
    assert ours.raw_headers == framed(theirs.raw_headers)


def test_delete_cookie_as_starlette_does() -> None:
    ours, theirs = Response(), starlette.responses.Response()
    for response in (ours, theirs):
        response.delete_cookie("a", path="/x", secure=True)
    # "expires" is relative to now
    assert [c.split(b"expires")[0] for _, c in ours.raw_headers] == [
        c.split(b"expires")[0] for n, c in theirs.raw_headers if n == b"set-cookie"
    ]


@pytest.mark.parametrize("cookie", [{"key": "a b"}, {"key": ""}, {"key": "a", "samesite": "no"}])
def test_a_cookie_that_cannot_be(cookie: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Response().set_cookie(**cookie)


def test_headers_are_those_of_the_reply() -> None:
    response = PlainTextResponse("x")
    response.headers["X-A"] = "1"
    response.headers["content-type"] = "text/x"
    assert response.raw_headers == [(b"content-type", b"text/x"), (b"x-a", b"1")]


def test_text_that_is_none() -> None:
    with pytest.raises(TypeError, match="takes str or bytes, not dict"):
        PlainTextResponse({"a": 1})
    with pytest.raises(TypeError, match="plain or async iterable, not int"):
        StreamingResponse(1)  # type: ignore[arg-type]


# ---- sent ----


def test_whole_replies_arrive(app: App, serve: Serve) -> None:
    replies: dict[str, Callable[[], Response]] = {
        "text": lambda: PlainTextResponse("hé", headers={"X-A": "1"}),
        "html": lambda: HTMLResponse("<p>", status_code=201),
        "json": lambda: JSONResponse({"a": 1}, status_code=202),
        "bytes": lambda: Response(b"\0\xff", media_type="image/png"),
        "view": lambda: Response(memoryview(b"abcdef")[1:3]),
        "empty": lambda: Response(status_code=204),
        "large": lambda: Response(b"x" * 3_000_000),
    }

    @app.get("/{kind}")
    async def reply(kind: str) -> Response:
        return replies[kind]()

    client = serve(app)
    for kind, make in replies.items():
        expected, got = make(), client.get(f"/{kind}")
        assert (got.status_code, got.content) == (expected.status_code, bytes(expected.body)), kind
        for name, value in expected.headers.items():
            assert got.headers[name] == value
        if kind != "empty":
            assert got.headers["content-length"] == str(len(bytes(expected.body)))


def test_content_length_is_the_servers(app: App, serve: Serve) -> None:
    @app.get("/")
    async def reply() -> Response:
        return Response("four", headers={"content-length": "9", "transfer-encoding": "chunked"})

    response = serve(app).get("/")
    assert response.headers["content-length"] == "4"
    assert "transfer-encoding" not in response.headers


@pytest.mark.parametrize(
    "headers", [{"x-a": "1\r\nx-b: 2"}, {"x-a": "1\n"}, {"x a": "1"}, {"x-a\r\n": "1"}, {"x": "\0"}]
)
def test_application_output_never_splits_a_reply(
    app: App, serve: Serve, headers: dict[str, str]
) -> None:
    @app.get("/")
    async def reply() -> Response:
        return Response("x", headers=headers)

    client = serve(app, raise_server_exceptions=False)
    response = client.get("/")
    assert response.status_code == 500
    assert "x-b" not in response.headers
    assert client.get("/").status_code == 500


def test_redirect_is_followed(app: App, serve: Serve) -> None:
    @app.get("/old")
    async def old() -> Response:
        return RedirectResponse("/new?x=ü")

    @app.get("/new")
    async def new(x: str) -> str:
        return x

    assert serve(app).get("/old").json() == "ü"


async def async_chunks() -> AsyncIterator[str | bytes]:
    for i in range(3):
        await asyncio.sleep(0.001)
        yield f"{i}é"
    yield b"\xff"
    yield b""


def sync_chunks() -> Iterator[str | bytes]:
    yield threading.current_thread().name
    yield b"\xff"


def test_streams_arrive(app: App, serve: Serve) -> None:
    @app.get("/async")
    async def of_async() -> StreamingResponse:
        return StreamingResponse(async_chunks(), status_code=202, media_type="text/plain")

    @app.get("/sync")
    def of_sync() -> StreamingResponse:
        return StreamingResponse(sync_chunks())

    @app.get("/list")
    async def of_list() -> StreamingResponse:
        return StreamingResponse(["a", b"b"])

    client = serve(app)
    response = client.get("/async")
    assert response.status_code == 202
    assert response.content == "0é1é2é".encode() + b"\xff"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["transfer-encoding"] == "chunked"
    content = client.get("/sync").content
    assert content.endswith(b"\xff")
    assert not content.startswith(b"weft-test-server")  # not the loop's thread
    assert client.get("/list").content == b"ab"


def test_a_stream_is_closed_when_its_client_leaves(app: App, serve: Serve) -> None:
    closed = threading.Event()
    made = itertools.count()

    async def endless() -> AsyncIterator[bytes]:
        try:
            for _ in made:
                yield b"x" * 65536
        finally:
            closed.set()

    @app.get("/")
    async def stream() -> StreamingResponse:
        return StreamingResponse(endless())

    with serve(app).stream("GET", "/") as response:
        chunks = response.iter_raw()
        next(chunks)
        assert not closed.is_set()
    assert closed.wait(30)
    assert next(made) < 1000  # it was made no faster than it was read


def test_a_stream_that_fails_is_cut_short(app: App, serve: Serve) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise ZeroDivisionError

    @app.get("/")
    async def stream() -> StreamingResponse:
        return StreamingResponse(broken())

    with pytest.raises(ZeroDivisionError):
        serve(app).get("/")


def test_background_tasks_run_after_the_reply(app: App, serve: Serve) -> None:
    go, done = threading.Event(), threading.Event()
    ran: list[str] = []

    async def first(word: str) -> None:
        await asyncio.get_running_loop().run_in_executor(None, go.wait)
        ran.append(word)

    def second() -> None:
        ran.append("second")
        done.set()

    tasks = BackgroundTasks([BackgroundTask(first, "first")])
    tasks.add_task(second)

    @app.get("/")
    async def reply() -> Response:
        return PlainTextResponse("x", background=tasks)

    assert serve(app).get("/").text == "x"
    assert ran == []
    go.set()
    assert done.wait(30)
    assert ran == ["first", "second"]
