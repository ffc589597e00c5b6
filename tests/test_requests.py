"""What a handler that takes the request sees of it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from weft import App, ClientDisconnect, Request, Response
from weft.requests import parse_cookies

from .conftest import Serve


def test_the_head(app: App, serve: Serve) -> None:
    @app.post("/a/{name}/{rest:path}")
    async def head(request: Request) -> dict[str, Any]:
        return {
            "method": request.method,
            "url": str(request.url),
            "base_url": str(request.base_url),
            "path": request.path,
            "raw_path": request.raw_path.decode(),
            "query_string": request.query_string.decode(),
            "query": request.query_params.multi_items(),
            "path_params": request.path_params,
            "version": request.http_version,
            "scheme": request.scheme,
            "cookies": request.cookies,
            "x": request.headers.getlist("X-A"),
            "raw": [name.decode() for name, _ in request.headers.raw],
            "client": request.client.host if request.client else None,
            "app": request.app is app,
            "same": request.headers is request.headers and request.url is request.url,
            "repr": repr(request),
        }

    got = serve(app).post(
        "/a/b%20%C3%BC/c/d?x=1&x=%C3%BC&y=a+b",
        headers=[("X-A", "1"), ("x-a", "2"), ("cookie", 'a=1; b="x\\054y"'), ("host", "a.org:81")],
    )
    assert got.json() == {
        "method": "POST",
        "url": "http://a.org:81/a/b ü/c/d?x=1&x=%C3%BC&y=a+b",
        "base_url": "http://a.org:81/",
        "path": "/a/b ü/c/d",
        "raw_path": "/a/b%20%C3%BC/c/d",
        "query_string": "x=1&x=%C3%BC&y=a+b",
        "query": [["x", "1"], ["x", "ü"], ["y", "a b"]],
        "path_params": {"name": "b ü", "rest": "c/d"},
        "version": "1.1",
        "scheme": "http",
        "cookies": {"a": "1", "b": "x,y"},
        "x": ["1", "2"],
        "raw": got.json()["raw"],
        "client": "127.0.0.1",
        "app": True,
        "same": True,
        "repr": "<Request POST /a/b ü/c/d>",
    }
    assert {"host", "x-a", "cookie", "content-length"} <= set(got.json()["raw"])


@pytest.mark.parametrize(
    ("field", "cookies"),
    [
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;a=2", {"a": "2"}),
        ("a=b=c; d", {"a": "b=c", "": "d"}),
        (' a = "x y" ;;', {"a": "x y"}),
        (r'a="\"\\\303"', {"a": '"\\Ã'}),
        ("", {}),
    ],
)
def test_cookies_are_read_as_browsers_write_them(field: str, cookies: dict[str, str]) -> None:
    from starlette.requests import cookie_parser

    assert parse_cookies(field) == cookies == cookie_parser(field)


def test_the_body(app: App, serve: Serve) -> None:
    @app.post("/body")
    async def body(request: Request) -> Response:
        return Response(await request.body() + b"|" + await request.body())

    @app.post("/json")
    async def twice(request: Request) -> Any:
        return [await request.json(), await request.json()]

    @app.post("/stream")
    async def stream(request: Request) -> Any:
        sizes = [len(chunk) async for chunk in request.stream()]
        with pytest.raises(RuntimeError, match="already"):
            await request.body()
        return [sum(sizes), sizes[-1]]

    @app.post("/both")
    async def both(request: Request) -> Any:
        await request.body()
        return [chunk.decode() async for chunk in request.stream()]

    client = serve(app)
    assert client.post("/body", content=b"abc").content == b"abc|abc"
    assert client.post("/body").content == b"|"
    assert client.post("/json", json={"a": [1, "ü"]}).json() == [{"a": [1, "ü"]}] * 2
    assert client.post("/json", content=b"null").json() == [None, None]
    assert client.post("/stream", content=b"x" * 1_000_000).json() == [1_000_000, 0]
    assert client.post("/both", content=b"abc").json() == ["abc", ""]

    def chunks() -> Iterator[bytes]:
        for i in range(100):
            yield b"%d," % i

    assert client.post("/body", content=chunks()).content.startswith(b"0,1,2,")
    assert client.post("/stream", content=chunks()).json() == [290, 0]


@pytest.mark.parametrize(
    "body", [b"{", b"", b"\xff", b"[1,]", b'{"a":1} x', '{"a":1}'.encode("utf-16"), b"[" * 100_000]
)
def test_a_body_that_is_not_json(body: bytes, app: App, serve: Serve) -> None:
    @app.post("/")
    async def read(request: Request) -> Any:
        try:
            return await request.json()
        except json.JSONDecodeError as exc:
            return ["no JSON", type(exc.doc).__name__, exc.msg in str(exc)]

    assert serve(app).post("/", content=body).json() == ["no JSON", "str", True]


def test_json_as_starlette_reads_it(app: App, serve: Serve) -> None:
    @app.post("/")
    async def read(request: Request) -> Any:
        return repr(await request.json())

    client = serve(app)
    for body in (b"NaN", b"-Infinity", b"1e999", b'"\\ud800"', b"\xef\xbb\xbf1", b"[1.0]"):
        assert client.post("/", content=body).json() == repr(json.loads(body))


def test_a_stream_read_in_parts(app: App, serve: Serve) -> None:
    @app.post("/")
    async def read(request: Request) -> Any:
        async for chunk in request.stream():
            first = len(chunk)
            break
        return first + len(await request.body())

    assert serve(app).post("/", content=b"x" * 300_000).json() == 300_000


def test_a_body_beside_other_parameters(app: App, serve: Serve) -> None:
    @app.post("/{n}")
    async def both(n: int, request: Request, q: str = "") -> Any:
        return [n, q, (await request.body()).decode()]

    assert serve(app).post("/3?q=a", content=b"abc").json() == [3, "a", "abc"]


def test_a_body_over_the_limit(app: App, serve: Serve) -> None:
    @app.post("/", max_body_size=10)
    async def body(request: Request) -> int:
        return len(await request.body())

    client = serve(app)
    assert client.post("/", content=b"x" * 10).json() == 10
    assert client.post("/", content=b"x" * 11).status_code == 413
    assert client.post("/", content=iter([b"x" * 6, b"x" * 6])).status_code == 413
    assert client.post("/", content=b"x").json() == 1


def test_state(serve: Serve) -> None:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def lifespan(app: App) -> Any:
        app.state.db = "db"
        yield {"shared": [1]}

    app = App(lifespan=lifespan)

    @app.get("/")
    async def state(request: Request) -> Any:
        request.state.own = 2
        request.state.shared.append(3)
        fresh = not hasattr(request.state, "other")
        request.state.other = 1
        return [request.app.state.db, request.state.shared, request.state.own, fresh]

    client = serve(app)
    assert client.get("/").json() == ["db", [1, 3], 2, True]
    assert client.get("/").json() == ["db", [1, 3, 3], 2, True]


def test_url_for(app: App, serve: Serve) -> None:
    @app.get("/files/{name}/{rest:path}", name="file")
    async def file(name: str, rest: str, request: Request) -> Any:
        return str(request.url_for("file", name="b", rest="c/d"))

    assert serve(app).get("/files/a/x").json() == "http://testserver/files/b/c/d"


def test_a_request_kept_after_its_reply(app: App, serve: Serve) -> None:
    kept: list[Request] = []

    @app.get("/{name}")
    async def keep(name: str, request: Request) -> None:
        kept.append(request)

    serve(app).get("/a?b=c", headers={"x-a": "1"})
    request = kept[0]
    assert (request.method, request.path, request.headers["x-a"]) == ("GET", "/a", "1")
    assert request.query_params["b"] == "c"


def raw(client: Any, head: bytes) -> socket.socket:
    client.get("/nothing")  # makes sure it is there
    connection = socket.create_connection(("127.0.0.1", client._worker.port))
    connection.sendall(head)
    return connection


def test_is_disconnected(app: App, serve: Serve) -> None:
    asked, left = threading.Event(), threading.Event()

    @app.get("/")
    def wait(request: Request) -> None:  # in a thread: nothing cancels it
        loop = asyncio.new_event_loop()
        try:
            assert not loop.run_until_complete(request.is_disconnected())
            asked.set()
            for _ in range(500):
                if loop.run_until_complete(request.is_disconnected()):
                    left.set()
                    return
                loop.run_until_complete(asyncio.sleep(0.01))
        finally:
            loop.close()

    with raw(serve(app), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"):
        assert asked.wait(30)
    assert left.wait(30)


def test_a_handler_is_cancelled_when_its_client_leaves(app: App, serve: Serve) -> None:
    started, cancelled = threading.Event(), threading.Event()

    @app.get("/")
    async def wait() -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with raw(serve(app), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"):
        assert started.wait(30)
    assert cancelled.wait(30)


def test_a_client_that_leaves_in_its_body(app: App, serve: Serve) -> None:
    started, seen = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    @app.post("/")
    async def read(request: Request) -> None:
        started.set()
        try:
            await request.body()
        except BaseException as exc:
            raised.append(exc)
            raise
        finally:
            seen.set()

    with raw(serve(app), b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc"):
        assert started.wait(30)
    assert seen.wait(30)
    assert isinstance(raised[0], ClientDisconnect | asyncio.CancelledError)
