"""Dependencies whose client leaves, or whose server ends; and that nothing of them stays behind."""

import asyncio
import contextlib
import gc
import logging
import threading
import weakref
from typing import Any, ClassVar

import pytest

from tests.conftest import Serve
from tests.connections import ask, connect, wait_until
from weft import App, Depends, HTTPException, StreamingResponse


def leave(app: App, serve: Serve, waits: Any) -> None:
    """Asks for `/`, waits until `waits()`, and leaves."""
    client = serve(app)
    with connect(client) as sock:
        ask(sock, "/")
        assert wait_until(waits)


@pytest.mark.parametrize("where", ["dependency", "handler", "second half"])
@pytest.mark.parametrize("scope", ["function", "request"])
def test_generators_are_cleaned_up_when_the_client_leaves(
    app: App, serve: Serve, where: str, scope: Any
) -> None:
    seen: list[str] = []
    waiting = threading.Event()

    async def wait(here: str) -> None:
        if here == where:
            waiting.set()
            await asyncio.sleep(0.3 if here == "second half" else 30)

    async def first():
        try:
            yield
        except BaseException as exc:
            seen.append(f"first {type(exc).__name__}")
            raise
        finally:
            await asyncio.sleep(0)
            await wait("second half")
            seen.append("first out")

    def in_thread():
        try:
            yield
        finally:
            seen.append("thread out")

    async def last(
        a: None = Depends(first, scope=scope), b: None = Depends(in_thread, scope=scope)
    ):
        await wait("dependency")

    @app.get("/")
    async def read(last: None = Depends(last)) -> None:
        await wait("handler")

    leave(app, serve, waiting.is_set)
    if where != "second half":
        expected = ["thread out", "first CancelledError", "first out"]
    elif scope == "function":  # before the reply: cut short
        expected = ["thread out"]
    else:  # after it: nobody is waited for
        expected = ["thread out", "first out"]
    assert wait_until(lambda: seen == expected), seen


def test_a_thread_is_waited_for_before_its_generator_is_closed(app: App, serve: Serve) -> None:
    seen: list[str] = []
    entered, go_on = threading.Event(), threading.Event()

    def slow():
        entered.set()
        assert go_on.wait(10)
        try:
            yield
        except BaseException as exc:
            seen.append(type(exc).__name__)
            raise
        finally:
            seen.append("out")

    @app.get("/")
    async def read(slow: None = Depends(slow)) -> None:
        seen.append("handler")

    leave(app, serve, entered.is_set)
    assert seen == []
    go_on.set()
    assert wait_until(lambda: seen == ["CancelledError", "out"]), seen


def test_a_stream_of_a_client_that_leaves_ends_before_its_dependencies(
    app: App, serve: Serve
) -> None:
    seen: list[str] = []

    async def session():
        try:
            yield
        finally:
            seen.append("session out")

    @app.get("/")
    async def read(session: None = Depends(session)) -> StreamingResponse:
        async def chunks():
            try:
                while True:
                    seen.append("chunk")
                    yield b"x"
                    await asyncio.sleep(0.01)
            finally:
                seen.append("stream out")

        return StreamingResponse(chunks())

    leave(app, serve, lambda: "chunk" in seen)
    assert wait_until(lambda: seen[-2:] == ["stream out", "session out"]), seen


def test_clean_up_after_the_reply_is_cancelled_when_the_server_may_not_wait(serve: Serve) -> None:
    from weft.server import Config, Server

    app = App()
    seen: list[str] = []

    async def slow():
        try:
            yield
        finally:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

    @app.get("/", dependencies=[Depends(slow)])
    async def read() -> int:
        return 1

    async def main() -> None:
        server = Server(app, Config(port=0, access_log=False))
        ready = asyncio.Event()
        serving = asyncio.create_task(server.serve(ready.set))
        await ready.wait()
        host, _, port = server.addresses[0].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 2)
        data = b""
        while data.count(b"\r\n\r\n1") < 2:
            data += await reader.read(1000)
        writer.close()
        server.stop()
        await asyncio.sleep(0.05)
        server.stop()
        await asyncio.wait_for(serving, 30)

    from weft.loop import new_event_loop

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
    assert seen == ["cancelled"] * 2


def test_the_loop_may_end_while_a_thread_works_for_a_dependency() -> None:
    """A server that is closed waits for no thread; nothing hangs, nothing crashes."""
    from weft.loop import new_event_loop
    from weft.server import Config, Server

    app = App()
    entered, go_on = threading.Event(), threading.Event()

    def slow():
        entered.set()
        go_on.wait(10)
        yield

    @app.get("/", dependencies=[Depends(slow)])
    async def read() -> int:
        return 1

    async def main() -> None:
        server = Server(app, Config(port=0, access_log=False))
        ready = asyncio.Event()
        serving = asyncio.create_task(server.serve(ready.set))
        await ready.wait()
        host, _, port = server.addresses[0].rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.to_thread(entered.wait, 10)
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        writer.close()

    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())
    finally:
        go_on.set()


class Thing:
    """Something that can be seen to go."""

    alive: ClassVar[weakref.WeakSet["Thing"]] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)


def test_nothing_of_a_request_stays_behind(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("weft.error"), "disabled", True)  # pytest keeps records
    app = App()

    async def thing() -> Thing:
        return Thing()

    async def generator(thing: Thing = Depends(thing)):
        try:
            yield Thing()
        finally:
            await asyncio.sleep(0)

    def thread(thing: Thing = Depends(thing)):
        yield Thing()

    def function():
        yield Thing()

    needed = {
        "a": Depends(generator),
        "b": Depends(thread),
        "c": Depends(function, scope="function", inline=True),
        "d": Depends(Thing),
        "e": Depends(Thing, use_cache=False),
    }

    def declare(path: str, end: Any) -> None:
        async def read(
            n: int = 0,
            a: Any = needed["a"],
            b: Any = needed["b"],
            c: Any = needed["c"],
            d: Any = needed["d"],
            e: Any = needed["e"],
        ):
            a.b, b.a = b, a  # cycles, which the collector has to find
            return end()

        app.get(path)(read)

    def refuse() -> None:
        raise HTTPException(418)

    def fail() -> None:
        raise ValueError(Thing())

    async def chunks():
        yield b"x"

    declare("/ok", lambda: 1)
    declare("/refuse", refuse)
    declare("/fail", fail)
    declare("/stream", lambda: StreamingResponse(chunks()))
    declare("/unsendable", object)
    client = serve(app, raise_server_exceptions=False)
    for _ in range(5):
        statuses = [
            client.get(target).status_code
            for target in ("/ok", "/ok?n=x", "/refuse", "/fail", "/stream", "/unsendable")
        ]
        assert statuses == [200, 422, 418, 500, 200, 500]

    def gone() -> bool:
        client._worker.errors.clear()
        gc.collect()
        return len(Thing.alive) == 0

    assert wait_until(gone), list(Thing.alive)
