"""Replies and request bodies that come in pieces."""

from __future__ import annotations

import asyncio
import contextvars
import http.client
import json
import socket
import threading
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from weft import App, Request, Response, StreamingResponse
from weft.background import BackgroundTask
from weft.testing import TestClient

from .conftest import Serve
from .connections import ask, connect, reply, wait_until
from .wire import resident_kb

CHUNK = b"x" * 16384


@pytest.fixture(params=["async", "sync"])
def streaming(request: pytest.FixtureRequest) -> Any:
    """Makes a StreamingResponse; its generator is async in one run of the test, sync in another."""

    def make(generator: Iterator[Any], **options: Any) -> StreamingResponse:
        if request.param == "sync":
            return StreamingResponse(generator, **options)

        async def as_async() -> AsyncIterator[Any]:
            try:
                for chunk in generator:
                    yield chunk
            finally:
                generator.close()  # type: ignore[attr-defined]

        return StreamingResponse(as_async(), **options)

    return make


# ---- what is sent ----


def test_kinds_of_chunks(app: App, serve: Serve, streaming: Any) -> None:
    chunks = ["é", b"\xff", bytearray(b"a"), memoryview(b"xbcx")[1:3], "", b"", "𝄞"]

    @app.get("/")
    async def stream() -> StreamingResponse:
        return streaming(chunk for chunk in chunks)

    client = serve(app)
    assert client.get("/").content == "é".encode() + b"\xffabc" + "𝄞".encode()
    with connect(client) as sock:
        ask(sock, "/")
        raw = sock.recv(65536)
        while not raw.endswith(b"0\r\n\r\n"):
            raw += sock.recv(65536)
    content = raw.partition(b"\r\n\r\n")[2]
    assert content == (
        b"2\r\n\xc3\xa9\r\n1\r\n\xff\r\n1\r\na\r\n2\r\nbc\r\n4\r\n\xf0\x9d\x84\x9e\r\n0\r\n\r\n"
    )  # empty chunks would have ended it


def test_nothing_at_all(app: App, serve: Serve, streaming: Any) -> None:
    @app.get("/")
    async def stream() -> StreamingResponse:
        return streaming(chunk for chunk in ())

    client = serve(app)
    assert client.get("/").content == b""
    assert client.get("/").content == b""


def test_what_is_no_chunk(app: App, serve: Serve, streaming: Any, server_errors: Any) -> None:
    @app.get("/")
    async def stream() -> StreamingResponse:
        return streaming(chunk for chunk in (1,))

    with pytest.raises(TypeError, match="a stream's chunks are str or bytes, not int"):
        serve(app).get("/")


def test_every_iterable_streams(app: App, serve: Serve, tmp_path: Any) -> None:
    class Chunks:
        def __aiter__(self) -> AsyncIterator[bytes]:
            self.left = 3
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return b"c"

    path = tmp_path / "file"
    path.write_bytes(b"one\ntwo\n" * 10000)
    files: list[Any] = []

    @app.get("/object")
    async def of_object() -> StreamingResponse:
        return StreamingResponse(Chunks())

    @app.get("/tuple")
    async def of_tuple() -> StreamingResponse:
        return StreamingResponse(("a", b"b"))

    @app.get("/set")
    async def of_map() -> StreamingResponse:
        return StreamingResponse(map(str, range(12)))

    @app.get("/file")
    def of_file() -> StreamingResponse:
        files.append(path.open("rb", buffering=1 << 16))
        return StreamingResponse(iter(lambda: files[0].read(4096), b""))

    @app.get("/lines")
    def of_lines() -> StreamingResponse:
        files.append((tmp_path / "few").open("w+b"))
        files[-1].write(b"one\ntwo\n")
        files[-1].seek(0)
        return StreamingResponse(files[-1])

    client = serve(app)
    assert client.get("/object").content == b"ccc"
    assert client.get("/tuple").content == b"ab"
    assert client.get("/set").content == b"01234567891011"
    assert client.get("/file").content == b"one\ntwo\n" * 10000
    assert client.get("/lines").content == b"one\ntwo\n"
    files[0].close()
    assert files[1].closed  # what has a close is closed


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_chunks_arrive_as_they_are_made(app: App, serve: Serve, kind: str) -> None:
    go = threading.Semaphore(0)

    def in_thread() -> Iterator[bytes]:
        yield b"first"
        assert go.acquire(timeout=5)
        yield b"second"

    async def on_loop() -> AsyncIterator[bytes]:
        yield b"first"
        assert await asyncio.to_thread(go.acquire, timeout=5)
        yield b"second"

    @app.get("/")
    async def stream() -> StreamingResponse:
        return StreamingResponse(in_thread() if kind == "sync" else on_loop())

    with connect(serve(app)) as sock:
        ask(sock, "/")
        response = reply(sock)
        assert response.read1() == b"first"
        go.release()
        assert response.read() == b"second"


def test_after_the_handler_has_waited(app: App, serve: Serve, streaming: Any) -> None:
    """The stream runs in the context its handler has left."""
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var")

    def generator() -> Iterator[str]:
        yield var.get()
        var.set("set by the generator")
        yield var.get()

    @app.get("/")
    async def stream() -> StreamingResponse:
        await asyncio.sleep(0)
        var.set("set by the handler, ")
        await asyncio.sleep(0.001)
        return streaming(generator())

    assert serve(app).get("/").text == "set by the handler, set by the generator"


def test_a_generator_runs_in_a_task(app: App, serve: Serve) -> None:
    async def generator() -> AsyncIterator[str]:
        task = asyncio.current_task()
        assert isinstance(task, asyncio.Task)
        yield "a"
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            children = [group.create_task(asyncio.sleep(0.001, "b")) for _ in range(3)]
        yield "".join(child.result() for child in children)
        assert asyncio.current_task() is task

    @app.get("/")
    async def stream() -> StreamingResponse:
        return StreamingResponse(generator())

    assert serve(app).get("/").text == "abbb"


def test_sync_generators_share_the_handlers_pool(app: App, serve: Serve) -> None:
    def generator() -> Iterator[str]:
        yield threading.current_thread().name

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(generator())

    @app.get("/handler")
    def handler() -> str:
        return threading.current_thread().name

    client = serve(app)
    names = client.get("/stream").text, client.get("/handler").json()
    assert [name.rpartition("_")[0] for name in names] == ["weft-handler"] * 2


# ---- no faster than it is read ----


def test_a_slow_reader_suspends_the_generator(app: App, serve: Serve, streaming: Any) -> None:
    made = 0

    def generator() -> Iterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield CHUNK

    @app.get("/")
    async def stream() -> StreamingResponse:
        return streaming(generator())

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    client = serve(app)
    with connect(client, receive_buffer=65536) as sock:
        ask(sock, "/")
        response = reply(sock)
        before = -1
        while made != before:  # until it stands still
            before = made
            time.sleep(0.05)
        assert client.get("/ping").json() == "pong"
        assert made * len(CHUNK) < 8 << 20  # the kernel's buffers, and 64 KiB of ours
        for _ in range(2 * made):  # reading on lets it go on
            assert len(response.read(len(CHUNK))) == len(CHUNK)
        assert wait_until(lambda: made > 2 * before)


def test_many_slow_readers_cost_little_memory(app: App, serve: Serve) -> None:
    async def generator() -> AsyncIterator[bytes]:
        while True:
            yield CHUNK

    @app.get("/")
    async def stream() -> StreamingResponse:
        return StreamingResponse(generator())

    client = serve(app)
    with connect(client) as first:
        ask(first, "/")
        first.recv(1)
        before = resident_kb()
        readers = []
        try:
            for _ in range(50):
                sock = socket.create_connection(("127.0.0.1", client._worker.port))
                readers.append(sock)
                ask(sock, "/")
            for sock in readers:
                sock.recv(1)
            time.sleep(0.1)
            assert resident_kb() - before < 50 * 200
        finally:
            for sock in readers:
                sock.close()


# ---- how it ends ----


def test_an_exception_midway_cuts_the_reply(
    app: App, serve: Serve, streaming: Any, server_errors: Any
) -> None:
    def generator() -> Iterator[bytes]:
        yield b"a"
        raise ZeroDivisionError

    @app.get("/")
    async def stream() -> StreamingResponse:
        return streaming(generator())

    with connect(serve(app)) as sock:
        ask(sock, "/")
        with pytest.raises(http.client.IncompleteRead):
            reply(sock).read()
        assert sock.recv(1) == b""
    assert [type(e) for e in server_errors()] == [ZeroDivisionError]


def test_an_exception_before_the_first_chunk(
    app: App, serve: Serve, streaming: Any, server_errors: Any
) -> None:
    def generator() -> Iterator[bytes]:
        raise ZeroDivisionError
        yield b""

    @app.get("/")
    async def stream() -> StreamingResponse:
        return streaming(generator())

    with connect(serve(app)) as sock:
        ask(sock, "/")
        with pytest.raises(http.client.IncompleteRead):
            reply(sock).read()
    assert [type(e) for e in server_errors()] == [ZeroDivisionError]


def test_its_traceback_shows_the_users_frames(app: App, serve: Serve, server_errors: Any) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async def async_generator() -> AsyncIterator[bytes]:
        yield b"a"
        fail()

    def sync_generator() -> Iterator[bytes]:
        yield b"a"
        fail()

    @app.get("/async")
    async def of_async() -> StreamingResponse:
        return StreamingResponse(async_generator())

    @app.get("/sync")
    async def of_sync() -> StreamingResponse:
        return StreamingResponse(sync_generator())

    client = serve(app)
    for path in ("/async", "/sync"):
        with connect(client) as sock:
            ask(sock, path)
            with pytest.raises(http.client.IncompleteRead):
                reply(sock).read()
    frames = [
        [frame.name for frame in traceback.extract_tb(e.__traceback__)] for e in server_errors()
    ]
    assert frames == [["async_generator", "fail"], ["sync_generator", "fail"]]


def test_cleanup_runs_at_the_end(app: App, serve: Serve, streaming: Any) -> None:
    closed = threading.Event()

    def generator() -> Iterator[bytes]:
        try:
            yield b"a"
        finally:
            closed.set()

    @app.get("/")
    async def stream() -> StreamingResponse:
        return streaming(generator())

    assert serve(app).get("/").content == b"a"
    assert closed.wait(30)


@pytest.mark.parametrize("fails", [False, True])
def test_background_runs_after_the_stream(
    app: App, serve: Serve, streaming: Any, fails: bool
) -> None:
    ran: list[str] = []

    async def after() -> None:
        ran.append("background")

    def generator() -> Iterator[bytes]:
        yield b"a"
        ran.append("stream")
        if fails:
            raise ZeroDivisionError

    @app.get("/")
    async def stream() -> Response:
        return streaming(generator(), background=BackgroundTask(after))

    client = serve(app)
    with connect(client) as sock:
        ask(sock, "/")
        if fails:
            with pytest.raises(http.client.IncompleteRead):
                reply(sock).read()
            time.sleep(0.02)
            assert ran == ["stream"]  # as in Starlette: the reply it belongs to has failed
        else:
            assert reply(sock).read() == b"a"
            assert wait_until(lambda: ran == ["stream", "background"])


# ---- framing ----


def test_with_a_content_length(app: App, serve: Serve, streaming: Any) -> None:
    @app.get("/")
    async def stream() -> Response:
        return streaming((c for c in (b"ab", b"cd")), headers={"content-length": "4"})

    client = serve(app)
    with connect(client) as sock:
        for _ in range(2):
            ask(sock, "/")
            response = reply(sock)
            assert response.getheader("content-length") == "4"
            assert response.getheader("transfer-encoding") is None
            assert response.read() == b"abcd"


@pytest.mark.parametrize(("length", "message"), [(3, "longer"), (5, "shorter")])
def test_with_a_content_length_that_is_wrong(
    app: App, serve: Serve, streaming: Any, length: int, message: str, server_errors: Any
) -> None:
    @app.get("/")
    async def stream() -> Response:
        return streaming((c for c in (b"ab", b"cd")), headers={"content-length": str(length)})

    with connect(serve(app)) as sock:
        ask(sock, "/")
        with pytest.raises(http.client.IncompleteRead):
            reply(sock).read()
    assert wait_until(server_errors)
    assert f"{message} than its content-length" in str(server_errors()[0])


def test_on_http_1_0_the_close_is_the_end(app: App, serve: Serve, streaming: Any) -> None:
    @app.get("/")
    async def stream() -> Response:
        return streaming(c for c in (b"ab", b"cd"))

    with connect(serve(app)) as sock:
        ask(sock, "/", version="1.0")
        response = reply(sock)
        assert response.getheader("transfer-encoding") is None
        assert response.getheader("content-length") is None
        assert response.getheader("connection") == "close"
        assert response.read() == b"abcd"
        assert sock.recv(1) == b""


def test_on_http_1_0_a_failure_is_a_reset(app: App, serve: Serve, streaming: Any) -> None:
    """Nothing else would tell the client that there was more to come."""

    def generator() -> Iterator[bytes]:
        yield b"a"
        raise ZeroDivisionError

    @app.get("/")
    async def stream() -> Response:
        return streaming(generator())

    with connect(serve(app, raise_server_exceptions=False)) as sock:
        ask(sock, "/", version="1.0")
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: sock.recv(65536), b""))


@pytest.mark.parametrize("status", [200, 204, 304])
def test_what_is_not_sent_is_closed_unrun(
    app: App, serve: Serve, streaming: Any, status: int
) -> None:
    ran, closed = [], threading.Event()

    class Chunks:
        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            ran.append("object")
            return b"x"

        async def aclose(self) -> None:
            await asyncio.sleep(0.001)
            closed.set()

    def generator() -> Iterator[bytes]:
        ran.append("generator")
        yield b"x"

    @app.api_route("/generator", methods=["GET", "HEAD"])
    async def of_generator() -> Response:
        return streaming(generator(), status_code=status, headers={"x-a": "1"})

    @app.api_route("/object", methods=["GET", "HEAD"])
    async def of_object() -> Response:
        return StreamingResponse(Chunks(), status_code=status)

    client = serve(app)
    method = "HEAD" if status == 200 else "GET"
    with connect(client) as sock:
        for path in ("/generator", "/object"):
            ask(sock, path, method)
            response = reply(sock, method)
            assert response.status == status
            assert response.read() == b""
    assert closed.wait(30)
    assert ran == []


# ---- request bodies ----


@pytest.fixture
def echo(app: App, serve: Serve) -> TestClient:
    @app.post("/body")
    async def body(request: Request) -> list[Any]:
        first, second = await request.body(), await request.body()
        return [len(first), first is second, [len(c) async for c in request.stream()]]

    @app.post("/json")
    async def as_json(request: Request) -> list[Any]:
        return [await request.json(), await request.json(), (await request.body()).decode()]

    @app.post("/stream")
    async def stream(request: Request) -> list[str]:
        return [chunk.decode() async for chunk in request.stream()]

    @app.post("/twice")
    async def twice(request: Request) -> list[Any]:
        chunks = [chunk.decode() async for chunk in request.stream()]
        try:
            await request.body()
        except RuntimeError as exc:
            return [chunks, str(exc)]
        return chunks

    return serve(app)


def test_a_body_is_read_once_and_kept(echo: TestClient) -> None:
    assert echo.post("/body", content=b"x" * 100000).json() == [100000, True, [100000, 0]]
    assert echo.post("/body").json() == [0, True, [0, 0]]
    assert echo.post("/json", content=b'{"a": 1}').json() == [{"a": 1}, {"a": 1}, '{"a": 1}']


def test_a_stream_is_read_once(echo: TestClient) -> None:
    chunks, message = echo.post("/twice", content=b"abc").json()
    assert "".join(chunks) == "abc"
    assert chunks[-1] == ""
    assert "read as a stream already" in message


@pytest.mark.parametrize("chunked", [False, True])
def test_a_slow_client_is_read_as_it_sends(echo: TestClient, chunked: bool) -> None:
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 9"
    with connect(echo) as sock:
        sock.sendall(b"POST /stream HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        for part in (b"abc", b"def", b"ghi"):
            time.sleep(0.01)
            sock.sendall(b"3\r\n" + part + b"\r\n" if chunked else part)
        if chunked:
            sock.sendall(b"0\r\n\r\n")
        assert json.loads(reply(sock).read()) == ["abc", "def", "ghi", ""]


def test_the_loop_serves_others_meanwhile(echo: TestClient) -> None:
    with connect(echo) as sock:
        sock.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
        assert echo.post("/json", content=b"1").json() == [1, 1, "1"]
        sock.sendall(b"bc")
        assert json.loads(reply(sock).read())[0] == 3


def test_a_client_that_waits_for_100_continue(echo: TestClient) -> None:
    with connect(echo) as sock:
        sock.sendall(
            b"POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert json.loads(reply(sock).read()) == ["abc", ""]


def test_who_does_not_want_the_body_does_not_ask_for_it(app: App, serve: Serve) -> None:
    @app.post("/")
    async def refuse(request: Request) -> Response:
        return Response(status_code=403)

    with connect(serve(app)) as sock:
        sock.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        response = reply(sock)
        assert (response.status, response.getheader("connection")) == (403, "close")


def test_a_large_upload_takes_little_memory(app: App, serve: Serve) -> None:
    size = 10 << 20

    @app.post("/")
    async def upload(request: Request) -> list[int]:
        total = most = 0
        async for chunk in request.stream():
            total += len(chunk)
            most = max(most, len(chunk))
            await asyncio.sleep(0)  # a handler that has something else to do
        return [total, most]

    def parts() -> Iterator[bytes]:
        for _ in range(size // 65536):
            yield b"x" * 65536

    client = serve(app)
    for headers in ({"content-length": str(size)}, {}):
        total, most = client.post("/", content=parts(), headers=headers).json()
        assert total == size
        assert most <= 64 * 1024


def test_a_handler_that_does_not_read_stops_the_client(app: App, serve: Serve) -> None:
    go = threading.Event()

    @app.post("/")
    async def upload(request: Request) -> int:
        while not go.is_set():
            await asyncio.sleep(0.001)
        return sum([len(chunk) async for chunk in request.stream()])

    size = 9 << 20
    with connect(serve(app)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        sent = 0

        def send() -> None:
            nonlocal sent
            while sent < size:
                sent += sock.send(b"x" * min(65536, size - sent))

        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            send()
        assert sent < size
        go.set()
        sock.settimeout(5)
        send()
        assert reply(sock).read() == str(size).encode()


def test_echo_while_it_arrives(app: App, serve: Serve) -> None:
    """A reply may begin before the request has ended."""

    @app.post("/")
    async def echo(request: Request) -> StreamingResponse:
        return StreamingResponse(request.stream())

    with connect(serve(app)) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        sock.sendall(b"3\r\nabc\r\n")
        response = reply(sock)
        assert response.read(3) == b"abc"
        sock.sendall(b"3\r\ndef\r\n0\r\n\r\n")
        assert response.read() == b"def"
