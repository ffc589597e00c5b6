"""The core's server by itself: how it ends, and who holds whom."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from weft import _core
from weft.loop import new_event_loop
from weft.requests import Request
from weft.responses import Response
from weft.signature import compile_plan

Kind = Literal["async", "thread", "inline"]


class Bench:
    """A server on a loop that runs only when told to."""

    def __init__(self) -> None:
        self.loop: Any = new_event_loop()
        self.core = _core.Server(self.loop, None, Request, response_class=Response)
        self.sockets: list[socket.socket] = []

    def route(self, path: str, endpoint: Callable[..., Any], kind: Kind = "async") -> None:
        plan = compile_plan(endpoint, path, request_class=Request, response_class=Response)
        self.core.add_route(path, ["GET"], plan, kind=kind)

    def start(self) -> None:
        self.core.listen("127.0.0.1", 0)
        self.core.start()

    def ask(self, path: str) -> socket.socket:
        host, _, port = self.core.addresses[0].rpartition(":")
        client = socket.create_connection((host, int(port)))
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        self.sockets.append(client)
        return client

    def turn(self, seconds: float = 0.02) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def close(self) -> None:
        for client in self.sockets:
            client.close()
        if not self.loop.is_closed():
            self.loop.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def gone(ref: weakref.ref[Any]) -> bool:
    gc.collect()
    return ref() is None


def test_a_job_that_comes_back_to_a_closing_server_leaves_nothing(bench: Bench) -> None:
    started, release, over = threading.Event(), threading.Event(), threading.Event()

    def job() -> None:
        started.set()
        release.wait(30)
        threading.Timer(0.05, over.set).start()

    async def close() -> None:
        assert started.wait(30)
        release.set()
        assert over.wait(30)  # the job is back, and this thread has not seen it
        bench.core.close()
        bench.loop.stop()

    bench.route("/job", job, "thread")
    bench.route("/close", close)
    bench.start()
    bench.ask("/job")
    bench.ask("/close")
    bench.loop.run_forever()
    bench.loop.close()
    ref = weakref.ref(bench.core)
    del bench.core
    assert gone(ref)


def test_a_job_that_ends_after_its_server(bench: Bench) -> None:
    started, release = threading.Event(), threading.Event()

    def job() -> None:
        started.set()
        release.wait(30)

    bench.route("/job", job, "thread")
    bench.start()
    bench.ask("/job")
    while not started.is_set():
        bench.turn()
    bench.core.close()
    ref = weakref.ref(bench.core)
    del bench.core
    release.set()
    for _ in range(100):
        bench.turn(0.01)
        if gone(ref):
            return
    pytest.fail("the server was not freed")


def test_a_server_runs_while_its_loop_does(bench: Bench) -> None:
    async def handler() -> str:
        return "still here"

    bench.route("/", handler)
    bench.start()
    client = bench.ask("/")
    ref = weakref.ref(bench.core)
    del bench.core
    assert not gone(ref)
    bench.turn()
    assert client.recv(1000).endswith(b'"still here"')
    bench.loop.close()
    assert gone(ref)


def test_a_server_is_collected_with_its_loop_and_the_calls_in_flight() -> None:
    async def parked(request: Request) -> None:
        request.state.me = request
        await asyncio.sleep(100)

    bench = Bench()
    clients = bench.sockets

    class App:
        core = bench.core
        lifespan_state: dict[str, Any] = {}  # noqa: RUF012

    bench.core = _core.Server(bench.loop, App, Request)
    App.core = bench.core
    bench.route("/parked", parked)
    bench.start()
    bench.ask("/parked")
    bench.turn()
    assert bench.core.running == 1
    ref = weakref.ref(bench.core)
    del App, parked
    del bench
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        gc.collect()
    assert gone(ref)
    for client in clients:
        client.close()


def test_close_called_by_what_closing_frees(bench: Bench) -> None:
    core = bench.core

    class Closes:
        def __del__(self) -> None:
            core.close()
            core.abort()

    async def parked(request: Request) -> None:
        request.kept = Closes()  # type: ignore[attr-defined]
        await asyncio.sleep(100)

    bench.route("/", parked)
    bench.start()
    bench.ask("/")
    bench.turn()
    assert core.running == 1
    core.close()
    core.close()
    assert core.running == 0


def test_the_last_reference_dropped_by_a_handler(bench: Bench) -> None:
    async def drop() -> str:
        bench.core.close()
        del bench.core
        return "dropped"

    bench.route("/", drop)
    bench.start()
    bench.ask("/")
    ref = weakref.ref(bench.core)
    bench.turn()
    assert gone(ref)


def test_it_is_harmless_to_end_the_process_with_everything_open() -> None:
    code = """
        import asyncio, socket
        from weft import _core
        from weft.loop import new_event_loop
        from weft.requests import Request
        from weft.responses import Response, StreamingResponse
        from weft.signature import compile_plan

        loop = new_event_loop()
        core = _core.Server(loop, None, Request, response_class=Response)

        async def parked(request: Request) -> None:
            await request.body()

        async def streaming() -> Response:
            async def chunks():
                while True:
                    yield b"x" * 65536
            return StreamingResponse(chunks())

        for path, endpoint in (("/parked", parked), ("/streaming", streaming)):
            plan = compile_plan(endpoint, path, request_class=Request, response_class=Response)
            core.add_route(path, ["POST"], plan)
        core.listen("127.0.0.1", 0)
        core.start()
        host, _, port = core.addresses[0].rpartition(":")
        clients = []
        for path in ("/parked", "/streaming"):
            client = socket.create_connection((host, int(port)))
            head = f"POST {path} HTTP/1.1\\r\\nhost: a\\r\\ncontent-length: 9\\r\\n\\r\\n"
            client.sendall(head.encode())
            clients.append(client)
        while core.running < 2:
            loop.run_until_complete(asyncio.sleep(0.01))
        print("at the end")
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, "at the end\n"), done.stderr
    assert "Exception ignored" not in done.stderr


def test_routes_added_while_one_is_being_added(bench: Bench) -> None:
    async def handler() -> str:
        return "here"

    def methods() -> Iterator[str]:
        for i in range(16):  # as many as there was room for
            bench.core.add_route(f"/inner/{i}", ["GET"], compile_plan(handler))
        yield "GET"

    bench.core.add_route("/outer", methods(), compile_plan(handler))  # type: ignore[arg-type]
    bench.start()
    client = bench.ask("/outer")
    bench.turn()
    assert client.recv(1000).startswith(b"HTTP/1.1 200")


def test_limits_are_checked(bench: Bench) -> None:
    for config in ({"body_rate_min": -1}, {"idle_timeout_ms": 1 << 64}, {"no_such": 1}):
        with pytest.raises((ValueError, OverflowError)):
            _core.Server(bench.loop, None, Request, config=config)


def test_time_is_not_lost_by_collecting_while_the_loop_waits(bench: Bench) -> None:
    """Another thread collects garbage while this one is in its wait, without the GIL."""

    async def handler() -> str:
        return "here"

    bench.route("/", handler)
    bench.start()
    cycle: list[Any] = [bench.core]
    cycle.append(cycle)
    del cycle, bench.core
    collector = threading.Timer(0.05, gc.collect)
    collector.start()
    start = time.monotonic()
    bench.turn(0.2)
    assert time.monotonic() - start >= 0.2
    collector.join()


def test_the_client_of_a_unix_socket_is_nobody(bench: Bench, tmp_path: Path) -> None:
    async def ends(request: Request) -> list[Any]:
        return [request.client, request.server]

    bench.route("/", ends)
    bench.core.listen_unix(tmp_path / "server")
    bench.core.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.bind(str(tmp_path / "client"))
        client.connect(str(tmp_path / "server"))
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        bench.turn()
        body = client.recv(1000).partition(b"\r\n\r\n")[2]
        assert json.loads(body) == [None, [str(tmp_path / "server"), None]]
