"""Libraries that people use inside handlers: anyio, httpx, redis."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import httpx
import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

import weft.testing
from weft import App, Request, StreamingResponse

from .conftest import Serve
from .connections import in_threads

# ---- anyio in a handler, beside anyio alone ----


async def of_cancel_scopes() -> Any:
    lines: list[Any] = []
    with anyio.move_on_after(0.001) as scope:
        await anyio.sleep(30)
    lines.append(scope.cancelled_caught)
    with anyio.move_on_after(30) as outer:
        with anyio.CancelScope(shield=True) as inner:
            outer.cancel()
            await anyio.sleep(0.001)
            lines.append("shielded")
        try:
            await anyio.sleep(30)
        except asyncio.CancelledError:
            lines.append("cancelled")
            raise
    lines += [outer.cancelled_caught, inner.cancelled_caught]
    try:
        with anyio.fail_after(0.001):
            await anyio.sleep(30)
    except TimeoutError:
        lines.append("timeout")
    task = asyncio.current_task()
    assert task is not None
    return [*lines, task.cancelling()]


async def of_task_groups() -> Any:
    lines: list[str] = []

    async def child(delay: float, name: str) -> None:
        try:
            await anyio.sleep(delay)
            lines.append(name)
        except asyncio.CancelledError:
            lines.append(f"{name} cancelled")
            raise

    async def started(*, task_status: anyio.abc.TaskStatus[str]) -> None:
        await anyio.sleep(0)
        task_status.started("up")

    async with anyio.create_task_group() as group:
        group.start_soon(child, 0, "first")
        group.start_soon(child, 0.002, "second")
        lines.append(await group.start(started))
    async with anyio.create_task_group() as group:
        group.start_soon(child, 30, "third")
        await anyio.sleep(0)
        group.cancel_scope.cancel()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(child, 30, "fourth")
            await anyio.sleep(0)
            raise ValueError("body")
    except* ValueError as errors:
        lines.append(repr(errors.exceptions))
    return sorted(lines)


async def of_anyio_synchronization() -> Any:
    send, receive = anyio.create_memory_object_stream[int](1)
    event, limiter, lock = anyio.Event(), anyio.CapacityLimiter(1), anyio.Lock()

    async def produce() -> None:
        async with send:
            for n in range(3):
                async with limiter, lock:
                    await send.send(n)
        event.set()

    async with anyio.create_task_group() as group:
        group.start_soon(produce)
        async with receive:
            got = [n async for n in receive]
        await event.wait()
    return got


async def of_anyio_threads() -> Any:
    var: ContextVar[str] = ContextVar("var")
    var.set("seen")

    def in_thread() -> list[str]:
        return [var.get(), anyio.from_thread.run(back, "back"), anyio.from_thread.run_sync(str, 1)]

    async def back(word: str) -> str:
        await anyio.sleep(0)
        return word

    return await anyio.to_thread.run_sync(in_thread)


async def of_anyio_sockets() -> Any:
    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send((await stream.receive()).upper())

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"word")
            answer = await stream.receive()
        group.cancel_scope.cancel()
    return answer.decode()


SCENARIOS = [
    of_cancel_scopes, of_task_groups, of_anyio_synchronization, of_anyio_threads, of_anyio_sockets,
]  # fmt: skip


@pytest.fixture(scope="module")
def scenarios() -> Any:
    app = App()
    for scenario in SCENARIOS:
        app.add_api_route(f"/{scenario.__name__}", scenario)
    with weft.testing.TestClient(app) as client:
        yield client


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_anyio(scenarios: Any, scenario: Callable[[], Awaitable[Any]]) -> None:
    assert scenarios.get(f"/{scenario.__name__}").json() == anyio.run(scenario)


def test_anyio_keeps_its_threads(app: App, serve: Serve) -> None:
    """Without a root task it would start one for each call, and end it with the request."""

    @app.get("/")
    async def handler() -> list[Any]:
        thread = await anyio.to_thread.run_sync(threading.current_thread)
        return [thread.name, thread.ident]

    client = serve(app)
    seen = {tuple(client.get("/").json()) for _ in range(20)}
    assert [name for name, _ in seen] == ["AnyIO worker thread"]


def test_anyio_in_a_stream(app: App, serve: Serve) -> None:
    async def chunks() -> AsyncIterator[str]:
        yield "a"
        with anyio.move_on_after(0.001):
            await anyio.sleep(30)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
        yield await anyio.to_thread.run_sync(str, "b")

    @app.get("/")
    async def stream() -> StreamingResponse:
        return StreamingResponse(chunks())

    assert serve(app).get("/").text == "ab"


# ---- httpx ----


def test_httpx_asks_its_own_server(serve: Serve) -> None:
    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[dict[str, Any]]:
        async with httpx.AsyncClient(timeout=5) as client:
            yield {"client": client}

    app = App(lifespan=lifespan)

    @app.get("/outer/{n}")
    async def outer(n: int, request: Request) -> list[Any]:
        host, port = request.server or ("", 0)
        client: httpx.AsyncClient = request.state.client
        replies = await asyncio.gather(
            *(client.get(f"http://{host}:{port}/inner/{n}/{i}") for i in range(5))
        )
        async with client.stream("GET", f"http://{host}:{port}/stream") as reply:
            streamed = [chunk async for chunk in reply.aiter_text()]
        return [*(reply.json() for reply in replies), "".join(streamed)]

    @app.get("/inner/{n}/{i}")
    async def inner(n: int, i: int) -> int:
        await asyncio.sleep(0.001)
        return n * i

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            for c in "abc":
                await asyncio.sleep(0.001)
                yield c

        return StreamingResponse(chunks())

    client = serve(app)
    got: dict[int, Any] = {}

    def get(n: int) -> None:
        got[n] = client.get(f"/outer/{n}").json()

    with in_threads(4, get):
        pass
    assert got == {n: [0, n, 2 * n, 3 * n, 4 * n, "abc"] for n in range(4)}


def test_an_httpx_timeout(app: App, serve: Serve) -> None:
    @app.get("/")
    async def handler(request: Request) -> str:
        host, port = request.server or ("", 0)
        try:
            async with httpx.AsyncClient(timeout=0.02) as client:
                await client.get(f"http://{host}:{port}/slow")
        except httpx.ReadTimeout:
            return "timeout"
        return "answer"

    ended = threading.Event()

    @app.get("/slow")
    async def slow() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    assert serve(app).get("/").json() == "timeout"
    assert ended.wait(30)  # httpx has left, and that ends the other handler


# ---- redis ----


@pytest.fixture(scope="module")
def redis_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    path = tmp_path_factory.mktemp("redis") / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(
        [program, *options, "--dir", str(path.parent)], stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(500):
            if path.exists():
                break
            assert process.poll() is None
            time.sleep(0.01)
        yield path
    finally:
        process.terminate()
        process.wait()


def test_redis(serve: Serve, redis_socket: Path) -> None:
    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[dict[str, Any]]:
        client = redis.asyncio.Redis(
            unix_socket_path=str(redis_socket), decode_responses=True, max_connections=50
        )
        try:
            yield {"redis": client}
        finally:
            await client.aclose()

    app = App(lifespan=lifespan)

    @app.put("/{key}")
    async def put(key: str, value: str, request: Request) -> bool:
        return bool(await request.state.redis.set(key, value, ex=60))

    @app.get("/{key}")
    async def get(key: str, request: Request) -> Any:
        return await request.state.redis.get(key)

    @app.post("/{key}/count")
    async def count(key: str, request: Request) -> list[Any]:
        async with request.state.redis.pipeline(transaction=True) as pipe:
            return list(await pipe.incr(key).expire(key, 60).execute())

    @app.get("/{channel}/next")
    async def listen(channel: str, request: Request) -> str:
        async with request.state.redis.pubsub() as pubsub, asyncio.timeout(5):
            await pubsub.subscribe(channel)
            await request.state.redis.set("listening", "1")
            async for message in pubsub.listen():
                if message["type"] == "message":
                    return str(message["data"])
        return "nothing"

    @app.post("/{channel}/say")
    async def say(channel: str, word: str, request: Request) -> int:
        while not await request.state.redis.get("listening"):
            await asyncio.sleep(0.001)
        return int(await request.state.redis.publish(channel, word))

    @app.get("/{key}/wait")
    async def wait(key: str, request: Request) -> str:
        try:
            async with asyncio.timeout(0.01):
                await request.state.redis.blpop([key], timeout=5)
        except TimeoutError:
            return "timeout"
        return "popped"

    client = serve(app)
    assert client.put("/a?value=ü").json() is True
    assert client.get("/a").json() == "ü"
    assert client.get("/b").json() is None
    counts: list[int] = []
    with in_threads(10, lambda n: counts.append(client.post("/n/count").json()[0])):
        pass
    assert sorted(counts) == list(range(1, 11))
    heard: list[str] = []
    with in_threads(1, lambda n: heard.append(client.get("/news/next").json())):
        assert client.post("/news/say?word=hello").json() == 1
    assert heard == ["hello"]
    assert client.get("/list/wait").json() == "timeout"
    assert client.get("/a").json() == "ü"


def test_a_refused_connection(app: App, serve: Serve, tmp_path: Path) -> None:
    @app.get("/")
    async def handler() -> str:
        client = redis.asyncio.Redis(
            unix_socket_path=str(tmp_path / "nothing"), retry=Retry(NoBackoff(), 1)
        )
        try:
            await client.ping()
        except redis.asyncio.ConnectionError:
            return "refused"
        finally:
            await client.aclose()
        return "answered"

    assert serve(app).get("/").json() == "refused"
