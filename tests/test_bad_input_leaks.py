"""The same wrong thing again and again: no descriptor, no object and no memory stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest

from weft import App, Body, HTTPException, Request, Response, StreamingResponse, _core

from .test_bad_input_framing import everything
from .wire import Broken, Served, descriptors, eventually, get, head, post, resident_kb, served

SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")  # frees later, and more memory
ROUNDS = int(os.environ.get("WEFT_LEAK_ROUNDS", "100"))  # thousands show the smaller ones


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    app = App(max_body_size=100_000)

    @app.post("/whole")
    async def whole(body: Annotated[bytes, Body()] = b"") -> int:
        return len(body)

    @app.post("/stream")
    async def stream(request: Request) -> int:
        return len(await request.body())

    @app.post("/ignored")
    async def ignored() -> int:
        return 0

    @app.post("/ints")
    async def ints(body: list[int]) -> int:
        return len(body)

    @app.get("/n/{n}")
    async def number(n: int, q: int = 0) -> int:
        return n

    @app.get("/raise")
    async def raise_() -> None:
        raise ValueError("a" * 1000)

    @app.get("/raise-later")
    async def raise_later(request: Request) -> None:
        await asyncio.sleep(0)
        raise ValueError(request)

    @app.get("/raise-thread")
    def raise_thread(request: Request) -> None:
        raise ValueError(request)

    @app.get("/http-exception")
    async def http_exception() -> None:
        raise HTTPException(418, {"a": 1}, {"x": "y"})

    @app.get("/split")
    async def split(response: Response) -> Response:
        response.headers["a"] = "b\r\nc: d"
        return Response("a" * 50_000)

    @app.get("/unsendable")
    async def unsendable() -> Any:
        return ["a" * 1000, object()]

    @app.get("/surrogate")
    async def surrogate() -> Any:
        return Response(memoryview(b"abcd")[::2])

    @app.get("/cut")
    async def cut() -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"a" * 1000
            raise ValueError

        return StreamingResponse(chunks())

    @app.get("/cut-thread")
    async def cut_thread() -> Response:
        def chunks() -> Iterator[bytes]:
            yield b"a" * 1000
            raise ValueError

        return StreamingResponse(chunks())

    @app.get("/exit")
    async def exit_() -> None:
        sys.exit()

    @app.get("/cancelled")
    async def cancelled() -> None:
        raise asyncio.CancelledError

    @app.get("/background")
    async def background() -> Response:
        async def fail() -> None:
            raise ValueError

        return Response("a", background=fail)

    @app.get("/wait")
    async def wait(request: Request) -> None:
        await asyncio.sleep(60)

    @app.get("/endless")
    async def endless() -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            while True:
                yield b"a" * 10_000

        return StreamingResponse(chunks())

    @app.get("/large")
    async def large() -> Response:
        return Response(bytes(1_000_000))

    logging.getLogger("weft").disabled = logging.getLogger("weft.error").disabled = True
    try:
        with served(app, head_timeout_ms=50, body_grace_ms=50) as server:
            yield server
    finally:
        logging.getLogger("weft").disabled = logging.getLogger("weft.error").disabled = False


def measure(server: Served) -> tuple[int, int, int]:
    server.errors.clear()
    assert server.is_well()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        sys._clear_type_cache()  # it keeps names that were looked up
    for _ in range(2):
        gc.collect()
    return descriptors(), sys.getallocatedblocks(), resident_kb()


def leaves_nothing(
    server: Served,
    act: Callable[[], object],
    rounds: int = ROUNDS,
    *,
    blocks: float = ROUNDS / 5,
    kb: float = 100 + ROUNDS / 5,
) -> None:
    """Pools and caches fill, and arenas grow; but a leak is there every time."""
    before = measure(server)
    fds = before[0]
    tried = []
    for _ in range(6):
        for _ in range(rounds):
            act()
        # what clients have left behind may take a moment
        assert eventually(lambda: descriptors() <= fds)
        now = measure(server)
        grown = [n - b for n, b in zip(now, before, strict=True)]
        if grown[1] < blocks and (SANITIZED or grown[2] < kb):
            return
        tried.append(grown)
        before = now
    raise AssertionError(tried)


def test_what_breaks_http(server: Served) -> None:
    rows = list(everything().values())

    def send_all() -> None:
        for data in rows:
            if len(data) < 20_000:
                server.ask(data)

    leaves_nothing(server, send_all, 2, blocks=len(rows) / 5)


ASKED = {
    "422": get("/n/x?q=y"),
    "404": get("/nowhere"),
    "405": post("/raise", b""),
    "a malformed JSON": post("/ints", b'["a", 1, [', b"content-type: application/json"),
    "a wrong JSON": post("/ints", b'["a", NaN, [3]]', b"content-type: application/json"),
    "too many errors": post(
        "/ints", b"[" + b'"",' * 2000 + b'""]', b"content-type: application/json"
    ),
    "a deep JSON": post("/ints", b"[" * 5000, b"content-type: application/json"),
    "raises": get("/raise"),
    "raises later": get("/raise-later"),
    "raises in a thread": get("/raise-thread"),
    "HTTPException": get("/http-exception"),
    "a header that would split": get("/split"),
    "no JSON": get("/unsendable"),
    "a bad buffer": get("/surrogate"),
    "a cut stream": get("/cut"),
    "a cut stream from a thread": get("/cut-thread"),
    "an exit": get("/exit"),
    "cancelled": get("/cancelled"),
    "a failing background": get("/background"),
    "a large body": post("/whole", b"a" * 99_000),
    "too large a body": post("/stream", b"a" * 100_001),
    "too large in chunks": head(b"POST /stream HTTP/1.1", b"host: a", b"transfer-encoding: chunked")
    + b"1000\r\n" + b"a" * 4096 + b"\r\n" + (b"1000\r\n" + b"a" * 4096 + b"\r\n") * 30,
    "a bad chunk": head(b"POST /stream HTTP/1.1", b"host: a", b"transfer-encoding: chunked")
    + b"3\r\nabc\r\nx",
}  # fmt: skip


@pytest.mark.parametrize("row", ASKED)
def test_what_is_asked(server: Served, row: str) -> None:
    def ask() -> None:
        with contextlib.suppress(Broken):
            server.ask(ASKED[row])

    leaves_nothing(server, ask)


LEFT = {
    "before the head": b"",
    "in the head": b"GET /ok HT",
    "in a body": head(b"POST /whole HTTP/1.1", b"host: a", b"content-length: 50000")
    + b"a" * 20_000,
    "in a body that is read": head(b"POST /stream HTTP/1.1", b"host: a", b"content-length: 10")
    + b"a",
    "in a chunk": head(b"POST /stream HTTP/1.1", b"host: a", b"transfer-encoding: chunked")
    + b"5\r\n",
    "while a handler waits": get("/wait"),
    "with a pipeline": get("/wait") * 20,
    "in a stream": get("/endless"),
    "in a large reply": get("/large"),
}


@pytest.mark.parametrize("row", LEFT)
def test_who_leaves(server: Served, row: str) -> None:
    def leave() -> None:
        client = server.connect(receive_buffer=4096).send(LEFT[row])
        if row in ("in a stream", "in a large reply"):
            client.until(b"\r\n\r\n")
        client.reset()

    leaves_nothing(server, leave)


def test_who_is_slow(server: Served) -> None:
    data = [LEFT["in the head"], LEFT["in a body"], LEFT["in a body that is read"]]

    def be_slow() -> None:
        clients = [server.connect().send(data[i % 3]) for i in range(100)]
        for client in clients:
            reply = client.reply()
            assert reply is not None
            assert reply.status == 408
            client.socket.close()

    leaves_nothing(server, be_slow, 1, blocks=30)


def test_servers_that_end(server: Served) -> None:
    """With requests of every kind under way."""

    app = App()
    app._declared.extend(server.app._declared[1:])
    gc.collect()
    servers = sum(type(o) is _core.Server for o in gc.get_objects())

    def serve_and_end() -> None:
        with served(app) as other:
            clients = [other.connect().send(data) for data in LEFT.values()]
            other.ask(get("/raise-thread"))
            for client in clients:
                client.reset()
        app._declared.pop(0)

    # each has a thread, and so an arena of malloc's; typing remembers parameters for a while
    leaves_nothing(server, serve_and_end, 10, blocks=500, kb=10_000)
    assert sum(type(o) is _core.Server for o in gc.get_objects()) == servers
