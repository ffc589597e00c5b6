"""Background tasks neither delay the reply nor die with it, whoever leaves or fails."""

import asyncio
import contextvars
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.connections import ask, connect, reply, reset, wait_until
from tests.peer import Framework, answers, get
from weft import App, BackgroundTask, BackgroundTasks, Depends, Response, StreamingResponse
from weft.loop import new_event_loop
from weft.server import Config, Server
from weft.testing import TestClient


def test_after_every_kind_of_reply_it_runs_as_with_fastapi(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a file")

    def make(fw: Framework) -> Any:
        app, log = fw.App(), fw.log

        def note(word: str) -> None:
            log.append(word)

        async def fail(word: str) -> None:
            log.append(word)
            raise ZeroDivisionError

        def several(*calls: Any) -> Any:
            tasks = fw.BackgroundTasks()
            for call in calls:
                tasks.add_task(*call)
            return tasks

        replies = {
            "text": lambda b: fw.PlainTextResponse("x", background=b),
            "none": lambda b: fw.Response(status_code=204, background=b),
            "json": lambda b: fw.JSONResponse({}, background=b),
            "stream": lambda b: fw.StreamingResponse(iter(["a", "b"]), background=b),
            "file": lambda b: fw.FileResponse(tmp_path / "a.txt", background=b),
            "redirect": lambda b: fw.RedirectResponse("/x", background=b),
        }

        @app.get("/made/{kind}")
        async def made(kind: str) -> Any:
            return replies[kind](several((note, kind), (fail, "fails"), (note, "never")))

        @app.get("/asked/{kind}")
        async def asked(kind: str, tasks: fw.BackgroundTasks) -> Any:  # type: ignore[name-defined]
            tasks.add_task(note, f"asked {kind}")
            if kind == "raises":
                raise fw.HTTPException(418, "tea")
            if kind == "own":  # the reply's own go first in neither: they take their place
                return fw.Response("x", background=fw.BackgroundTask(note, "own"))
            return kind

        def dependency(tasks: fw.BackgroundTasks) -> Iterator[str]:  # type: ignore[name-defined]
            tasks.add_task(note, "of a dependency")
            yield "x"
            log.append("clean-up")

        @app.get("/dependency")
        async def depends(
            tasks: fw.BackgroundTasks,  # type: ignore[name-defined]
            value: str = fw.Depends(dependency),
        ) -> Any:
            tasks.add_task(note, "of the handler")
            return value

        return app

    for target in (
        *(f"/made/{kind}" for kind in ("text", "none", "json", "stream", "file", "redirect")),
        *(f"/asked/{kind}" for kind in ("plain", "raises", "own")),
        "/dependency",
    ):
        # The servers end, and so their tasks, before the logs are compared.
        ours, theirs, our_log, their_log = answers(make, [get(target)])
        assert (ours[0].status, ours[0].body) == (theirs[0].status, theirs[0].body), target
        assert our_log == their_log, target


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("sync", [False, True])
def test_the_same_connection_is_answered_meanwhile(sync: bool, gate: threading.Event) -> None:
    app, done = App(), threading.Event()

    def in_thread() -> None:
        gate.wait(60)
        done.set()

    async def on_loop() -> None:
        await asyncio.get_running_loop().run_in_executor(None, in_thread)

    @app.get("/")
    async def root() -> Response:
        return Response("x", background=BackgroundTask(in_thread if sync else on_loop))

    @app.get("/next")
    async def next_() -> str:
        return "next"

    with TestClient(app) as client, connect(client) as sock:
        ask(sock, "/")
        assert reply(sock).read() == b"x"
        ask(sock, "/next")
        assert reply(sock).read() == b'"next"'
        assert not done.is_set()
        gate.set()
        assert done.wait(30)


@pytest.mark.parametrize("bytes_read", [None, 0, 1000])
def test_it_outlives_its_client(bytes_read: int | None, gate: threading.Event) -> None:
    """Who has read all of the reply, none of it, or a part of what does not fit into the kernel."""
    app = App()
    began, done = threading.Event(), threading.Event()

    async def after() -> None:
        began.set()
        await asyncio.get_running_loop().run_in_executor(None, gate.wait)
        await asyncio.sleep(0)
        done.set()

    @app.get("/")
    async def root() -> Response:
        size = 1 if bytes_read is None else 20_000_000
        return Response(b"x" * size, background=BackgroundTask(after))

    with TestClient(app) as client:
        with connect(client, receive_buffer=4096) as sock:
            ask(sock, "/")
            if bytes_read is None:
                reply(sock).read()
            elif bytes_read:
                assert sock.recv(bytes_read)
            else:
                assert sock.recv(1, socket.MSG_PEEK)
            reset(sock)
        assert began.wait(30)
        gate.set()
        assert done.wait(30)


def test_a_handler_whose_client_leaves_has_nothing_to_do_afterwards() -> None:
    app, entered, left = App(), threading.Event(), threading.Event()
    ran: list[str] = []

    @app.get("/")
    async def root(tasks: BackgroundTasks) -> None:
        tasks.add_task(ran.append, "background")
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    with TestClient(app) as client:
        with connect(client) as sock:
            ask(sock, "/")
            assert entered.wait(30)
        assert left.wait(30)
    assert ran == []


def test_a_server_that_may_not_wait_cancels_it(caplog: pytest.LogCaptureFixture) -> None:
    app, log = App(), list[str]()

    async def endless() -> None:
        log.append("began")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")

    @app.get("/")
    async def root() -> Response:
        return Response("x", background=BackgroundTask(endless))

    async def serve() -> None:
        server = Server(app, Config(port=0, access_log=False))
        ready = asyncio.Event()
        serving = asyncio.create_task(server.serve(ready.set, lifespan=False))
        await ready.wait()
        port = int(server.addresses[0].rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"x")
        writer.close()
        while not log:
            await asyncio.sleep(0)
        server.stop()
        while server.phase != "draining":
            await asyncio.sleep(0)
        server.stop()
        await serving

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve())
    assert log == ["began", "cancelled", "cleaned up"]


def test_sync_ones_run_in_threads_with_the_requests_context() -> None:
    variable = contextvars.ContextVar[str]("variable", default="none")
    app, seen = App(), list[tuple[str, bool]]()
    loop_thread = threading.Event(), list[int]()

    def sync() -> None:
        seen.append((variable.get(), threading.get_ident() in loop_thread[1]))

    async def on_loop() -> None:
        seen.append((variable.get(), threading.get_ident() in loop_thread[1]))

    async def sets() -> None:
        variable.set("the request's")

    @app.get("/", dependencies=[Depends(sets)])
    async def root(tasks: BackgroundTasks) -> None:
        loop_thread[1].append(threading.get_ident())
        tasks.add_task(sync)
        tasks.add_task(on_loop)

    with TestClient(app) as client:
        assert client.get("/").status_code == 200
        assert wait_until(lambda: len(seen) == 2)
    assert seen == [("the request's", False), ("the request's", True)]


def test_many_at_once_leave_nothing_behind(gate: threading.Event) -> None:
    app, count = App(), [0, 0]

    async def after() -> None:
        count[0] += 1
        await asyncio.get_running_loop().run_in_executor(None, gate.wait)
        count[1] += 1

    @app.get("/")
    async def root(how: str) -> Any:
        if how == "stream":
            return StreamingResponse(iter([b"x"]), background=BackgroundTask(after))
        return Response("x", background=BackgroundTask(after))

    with TestClient(app, wait_for_tasks=False) as client:
        for i in range(20):
            assert client.get("/", params={"how": "stream" if i % 2 else ""}).text == "x"
        assert wait_until(lambda: count[0] == 20)
        server: Any = client._worker._server
        assert count[1] == 0
        gate.set()
        assert wait_until(lambda: count[1] == 20)
        assert server.phase == "serving"
