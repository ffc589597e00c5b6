"""Clients that are slow, deaf, or gone: they get what the limits say, and hold up nobody."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest

from weft import App, Body, ClientDisconnect, Request, Response, StreamingResponse

from .wire import (
    Broken,
    Client,
    Served,
    eventually,
    get,
    head,
    post,
    resident_kb,
    served,
)

BODY_PATHS = ["/whole", "/stream", "/ignored"]
MIB = 1024 * 1024


@pytest.fixture
def app() -> App:
    """Handlers of every way to read a body."""
    app = App(max_body_size=MIB)

    @app.post("/whole")
    async def whole(body: Annotated[bytes, Body()] = b"") -> int:
        return len(body)

    @app.post("/stream")
    async def stream(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    @app.post("/ignored")
    async def ignored() -> int:
        return -1

    return app


@pytest.fixture
def serve(app: App) -> Iterator[Callable[..., Served]]:
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda **limits: stack.enter_context(served(app, **limits))


# ---- bodies over the limit ----


@pytest.mark.parametrize("path", BODY_PATHS)
def test_a_body_announced_too_large(serve: Callable[..., Served], path: str) -> None:
    server = serve()
    start = head(b"POST %s HTTP/1.1" % path.encode(), b"host: a", b"content-length: %d" % (MIB + 1))
    for body in (b"", b"x" * 1000, b"x" * (MIB + 1)):
        with server.connect() as client:
            reply = client.send(start + body).reply()
            assert reply is not None
            assert (reply.status, reply.field("connection")) == (413, "close")
            assert not client.is_open()
    assert server.is_well()


@pytest.mark.parametrize("path", BODY_PATHS)
def test_a_body_announced_too_large_is_not_sent(serve: Callable[..., Served], path: str) -> None:
    server = serve()
    fields = (b"host: a", b"content-length: %d" % (MIB + 1), b"expect: 100-continue")
    with server.connect() as client:
        client.send(head(b"POST %s HTTP/1.1" % path.encode(), *fields))
        assert client.head().status == 413


@pytest.mark.parametrize("path", BODY_PATHS)
@pytest.mark.parametrize("size", [10, 16384, 100_000])
def test_a_body_that_grows_too_large(serve: Callable[..., Served], path: str, size: int) -> None:
    server = serve()
    chunk = b"%x\r\n" % size + b"x" * size + b"\r\n"
    start = head(b"POST %s HTTP/1.1" % path.encode(), b"host: a", b"transfer-encoding: chunked")
    with server.connect() as client:
        reply = client.send(start + chunk * (MIB // size + 1) + b"0\r\n\r\n").reply()
        assert reply is not None
        assert reply.status == (200 if path == "/ignored" else 413)
        assert not client.is_open()
    for n in (MIB - 1, MIB):  # and one that is just not too large
        exact = b"%x\r\n" % n + b"x" * n + b"\r\n0\r\n\r\n"
        with server.connect() as client:
            reply = client.send(start + exact).reply()
            assert reply is not None
            assert reply.status == 200
    assert server.is_well()


# ---- slow ones ----

SLOW = {"head_timeout_ms": 150, "body_grace_ms": 150, "idle_timeout_ms": 400}


def trickle(client: Client, data: bytes, seconds: float = 0.03) -> None:
    """A byte, and a pause, until the server has enough of it."""
    for byte in data:
        client.send(bytes([byte]))
        client.socket.settimeout(seconds)
        try:
            if not client.more() or b"\r\n\r\n" in client.received:
                break
        except TimeoutError:
            pass
    client.socket.settimeout(10)


def test_a_head_a_byte_at_a_time(serve: Callable[..., Served]) -> None:
    server = serve(**SLOW)
    started = time.monotonic()
    with server.connect() as client, server.connect() as other:
        trickle(client, get("/ok", b"a: " + b"b" * 1000))
        assert 0.1 < time.monotonic() - started < 20  # the whole head would take thirty seconds
        reply = client.reply()
        assert reply is not None
        assert (reply.status, reply.field("connection")) == (408, "close")
        assert not client.is_open()
        assert other.is_open()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", BODY_PATHS)
def test_a_body_a_byte_at_a_time(serve: Callable[..., Served], path: str, chunked: bool) -> None:
    server = serve(**SLOW)
    length = b"transfer-encoding: chunked" if chunked else b"content-length: 100"
    start = head(b"POST %s HTTP/1.1" % path.encode(), b"host: a", length)
    with server.connect() as client, server.connect() as other:
        trickle(client.send(start), b"1\r\na\r\n" * 20 if chunked else b"x" * 100)
        reply = client.reply()
        assert reply is not None
        assert reply.status == (200 if path == "/ignored" else 408)
        assert not client.is_open()
        assert other.is_open()


def test_nothing_at_all(serve: Callable[..., Served]) -> None:
    server = serve(**SLOW)
    with server.connect() as idle, server.connect() as used:
        assert used.is_open()
        assert idle.rest() == used.rest() == b""  # closed, and no reply to what was not asked
    assert server.is_well()


def test_more_connections_than_may_be(serve: Callable[..., Served]) -> None:
    server = serve(connections_max=4)
    clients = [server.connect() for _ in range(4)]
    assert all(client.is_open() for client in clients)
    with server.connect() as one_more:
        reply = one_more.send(get("/ok")).reply()
        assert reply is not None
        assert reply.status == 503
        assert not one_more.is_open()
    assert all(client.is_open() for client in clients)
    clients.pop().socket.close()
    assert eventually(server.is_well)
    for client in clients:
        client.socket.close()


# ---- deaf ones ----


class Counted:
    """How much an endless stream has given, and how it ended."""

    def __init__(self) -> None:
        self.chunks = 0
        self.closed = threading.Event()

    async def chunks_of(self, size: int) -> AsyncIterator[bytes]:
        try:
            while True:
                self.chunks += 1
                yield b"x" * size
        finally:
            self.closed.set()


def stands_still(counted: Counted) -> bool:
    before = counted.chunks
    time.sleep(0.1)
    return 0 < before == counted.chunks


def test_one_that_never_reads(app: App, serve: Callable[..., Served]) -> None:
    counted = Counted()

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        return StreamingResponse(counted.chunks_of(4096))

    server = serve(write_timeout_ms=1000)
    client = server.connect(receive_buffer=4096)
    before_kb = resident_kb()
    client.send(get("/endless"))
    assert eventually(lambda: stands_still(counted))  # suspended
    assert server.is_well()
    assert counted.chunks * 4096 < 16 * MIB  # what the kernel's buffers hold, and some
    assert resident_kb() - before_kb < 4096
    assert counted.closed.wait(3)  # by write_timeout_ms
    assert server.is_well()
    client.socket.close()


def test_one_that_reads_again(app: App, serve: Callable[..., Served]) -> None:
    counted = Counted()

    async def a_lot() -> AsyncIterator[bytes]:
        async for chunk in counted.chunks_of(65536):
            yield chunk
            if counted.chunks == 200:
                break

    @app.get("/lot")
    async def lot() -> StreamingResponse:
        return StreamingResponse(a_lot())

    server = serve()
    with server.connect(receive_buffer=4096) as client:
        client.send(get("/lot"))
        assert eventually(lambda: stands_still(counted))
        reply = client.reply()
        assert reply is not None
        assert reply.body == b"x" * 65536 * 200
        assert client.is_open()


def test_one_that_only_asks(serve: Callable[..., Served]) -> None:
    """Requests without end, and no reply is read: the server stops reading too."""
    server = serve()
    with server.connect(receive_buffer=4096) as client:
        client.socket.settimeout(0.3)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 * MIB:
                sent += client.socket.send(get("/ok") * 1000)
        assert sent < 64 * MIB
        assert server.is_well()


def test_one_that_never_reads_a_large_reply(app: App, serve: Callable[..., Served]) -> None:
    body = bytearray(8 * MIB)

    @app.get("/large")
    async def large() -> Response:
        return Response(body)

    server = serve(write_timeout_ms=300)
    clients = [server.connect(receive_buffer=4096).send(get("/large")) for _ in range(10)]
    before_kb = resident_kb()
    assert server.is_well()
    assert resident_kb() - before_kb < 8192  # the body is lent, not copied

    def is_free() -> bool:
        try:
            body.append(0)  # may not grow while somebody looks at it
        except BufferError:
            return False
        return True

    assert not is_free()
    assert eventually(is_free)
    for client in clients:
        with pytest.raises(Broken):
            client.reply()
        client.socket.close()


def test_head_of_an_endless_stream(app: App, serve: Callable[..., Served]) -> None:
    counted = Counted()

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        return StreamingResponse(counted.chunks_of(1))

    with serve().connect() as client:
        reply = client.send(b"HEAD /endless HTTP/1.1\r\nhost: a\r\n\r\n").reply(to_head=True)
        assert reply is not None
        assert reply.status == 200
        assert client.is_open()
    assert counted.chunks == 0


# ---- those that leave ----


class Watched:
    """What became of a handler."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.ended = threading.Event()
        self.raised: list[BaseException] = []

    def __enter__(self) -> None:
        self.started.set()

    def __exit__(self, kind: Any, exc: BaseException | None, traceback: Any) -> None:
        if exc is not None:
            self.raised.append(exc)
        self.ended.set()


def leave_by_reset(client: Client) -> None:
    client.reset()


def leave_by_closing(client: Client) -> None:
    client.socket.close()


LEAVE = [leave_by_reset, leave_by_closing]
leaving = pytest.mark.parametrize("leave", LEAVE)


@leaving
def test_before_the_head(serve: Callable[..., Served], leave: Callable[[Client], None]) -> None:
    server = serve()
    for _ in range(20):
        leave(server.connect())
    assert server.is_well()


@leaving
@pytest.mark.parametrize("part", [b"G", b"GET /ok HTTP/1.1\r", b"GET /ok HTTP/1.1\r\nhost: a\r\n"])
def test_in_the_head(
    serve: Callable[..., Served], leave: Callable[[Client], None], part: bytes
) -> None:
    server = serve()
    for _ in range(20):
        leave(server.connect().send(part))
    assert server.is_well()


@leaving
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", BODY_PATHS)
def test_in_the_body(
    serve: Callable[..., Served], leave: Callable[[Client], None], path: str, chunked: bool
) -> None:
    server = serve()
    length = b"transfer-encoding: chunked" if chunked else b"content-length: 10"
    data = head(b"POST %s HTTP/1.1" % path.encode(), b"host: a", length)
    for pause in (0, 0.01):  # before, and after, a handler that reads it has begun
        client = server.connect().send(data + (b"a\r\nabc" if chunked else b"abc"))
        time.sleep(pause)
        leave(client)
    assert server.is_well()


@leaving
def test_while_the_body_is_read(
    app: App,
    serve: Callable[..., Served],
    leave: Callable[[Client], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched()

    @app.post("/read")
    async def read(request: Request) -> None:
        with watched:
            await request.body()

    server = serve()
    client = server.connect()
    client.send(head(b"POST /read HTTP/1.1", b"host: a", b"content-length: 10") + b"abc")
    assert watched.started.wait(30)
    leave(client)
    assert watched.ended.wait(30)
    assert isinstance(watched.raised[0], asyncio.CancelledError | ClientDisconnect)
    assert server.is_well()
    assert not caplog.records  # nobody's fault


@leaving
def test_while_the_handler_runs(
    app: App,
    serve: Callable[..., Served],
    leave: Callable[[Client], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched()

    @app.get("/wait")
    async def wait() -> None:
        with watched:
            await asyncio.sleep(60)

    server = serve()
    client = server.connect().send(get("/wait"))
    assert watched.started.wait(30)
    leave(client)
    assert watched.ended.wait(30)
    assert isinstance(watched.raised[0], asyncio.CancelledError)
    assert server.is_well()
    assert not caplog.records


@leaving
def test_while_a_thread_runs(
    app: App, serve: Callable[..., Served], leave: Callable[[Client], None]
) -> None:
    watched, go_on = Watched(), threading.Event()

    @app.get("/block")
    def block() -> str:
        with watched:
            go_on.wait(30)
        return "nobody reads it"

    server = serve()
    client = server.connect().send(get("/block"))
    assert watched.started.wait(30)
    leave(client)
    assert server.is_well()
    go_on.set()
    assert watched.ended.wait(30)
    assert server.is_well()


@leaving
def test_while_a_reply_is_sent(
    app: App, serve: Callable[..., Served], leave: Callable[[Client], None]
) -> None:
    body = bytearray(4 * MIB)

    @app.get("/large")
    async def large() -> Response:
        return Response(body)

    server = serve()
    for _ in range(5):
        client = server.connect(receive_buffer=4096).send(get("/large"))
        client.until(b"\r\n\r\n")
        leave(client)

    def is_free() -> bool:
        try:
            body.append(0)
        except BufferError:
            return False
        return True

    assert eventually(is_free)
    assert server.is_well()


@leaving
@pytest.mark.parametrize("waits", [True, False], ids=["at high water", "for something else"])
def test_during_a_stream(
    app: App,
    serve: Callable[..., Served],
    leave: Callable[[Client], None],
    waits: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted = Counted()

    async def some() -> AsyncIterator[bytes]:
        async for chunk in counted.chunks_of(1):
            yield chunk
            await asyncio.sleep(0.001 if counted.chunks < 5 else 60)

    async def contents() -> AsyncIterator[bytes]:
        source = counted.chunks_of(4096) if waits else some()
        try:
            async for chunk in source:
                yield chunk
        finally:
            await source.aclose()  # type: ignore[attr-defined]
            counted.closed.set()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(contents())

    server = serve()
    client = server.connect(receive_buffer=4096).send(get("/stream"))
    client.until(b"\r\n\r\n")
    assert eventually(lambda: stands_still(counted))
    leave(client)
    assert counted.closed.wait(30)
    assert server.is_well()
    assert not caplog.records


@leaving
def test_during_a_stream_from_a_thread(
    app: App, serve: Callable[..., Served], leave: Callable[[Client], None]
) -> None:
    closed = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            closed.set()

    @app.get("/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(endless())

    server = serve()
    client = server.connect(receive_buffer=4096).send(get("/stream"))
    client.until(b"xxx")  # it has begun, and has something to close
    leave(client)
    assert closed.wait(30)
    assert server.is_well()


@leaving
def test_with_requests_in_the_pipeline(
    app: App, serve: Callable[..., Served], leave: Callable[[Client], None]
) -> None:
    calls = []

    @app.get("/count")
    async def count() -> None:
        calls.append(1)
        await asyncio.sleep(0.001)

    server = serve()
    leave(server.connect().send(get("/count") * 500))
    assert server.is_well()
    assert eventually(lambda: server._server is not None and not running(server))
    assert len(calls) < 500


def running(server: Served) -> int:
    import gc

    from weft import _core

    return sum(o.running for o in gc.get_objects() if type(o) is _core.Server)


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_handler_that_does_not_care(
    app: App, serve: Callable[..., Served], stubborn: bool
) -> None:
    """What it does about being cancelled is its own affair; its reply goes nowhere."""
    watched = Watched()

    @app.get("/wait", response_model=None)
    async def wait() -> StreamingResponse | str:
        with watched:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if stubborn:
                    await asyncio.sleep(0.01)
        return StreamingResponse(Counted().chunks_of(1)) if stubborn else "here I am"

    server = serve()
    client = server.connect().send(get("/wait"))
    assert watched.started.wait(30)
    client.reset()
    assert watched.ended.wait(30)
    assert server.is_well()
    assert not watched.raised


def test_a_stream_that_swallows_its_end(app: App, serve: Callable[..., Served]) -> None:
    """It would go on for ever without waiting for anything, and nobody reads it."""
    started = threading.Event()

    async def stubborn() -> AsyncIterator[bytes]:
        while True:
            try:
                yield b"x"
                started.set()
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
            if started.is_set():
                while True:
                    yield b"y"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(stubborn())

    server = serve()
    client = server.connect().send(get("/stream"))
    assert started.wait(30)
    client.reset()
    assert server.is_well()


def test_half_closed_and_waiting(app: App, serve: Callable[..., Served]) -> None:
    """Who sends, shuts down and reads gets what can be had at once."""
    with serve().connect() as client:
        client.send(get("/ok") * 3 + post("/whole", b"abc")).socket.shutdown(socket.SHUT_WR)
        assert [reply and reply.status for reply in (client.reply() for _ in range(4))] == [200] * 4
        assert client.rest() == b""
