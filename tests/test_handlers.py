"""What a handler finds around itself: task, context, thread; and what becomes of what it raises."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import logging
import threading
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from types import ModuleType
from typing import Any

import fastapi
import fastapi.responses
import httpx
import pytest

import weft.testing
from weft import App, HTTPException, JSONResponse, PlainTextResponse, Request, Response
from weft.background import BackgroundTask

from .conftest import Serve
from .connections import ask, connect, in_threads, reply, wait_until

# ---- its task ----


def seen() -> dict[str, Any]:
    """What code anywhere below a handler can see of the task it runs in."""
    task = asyncio.current_task()
    assert task is not None
    return {
        "id": id(task),
        "is a Task": isinstance(task, asyncio.Task) and asyncio.isfuture(task),
        "listed": task in asyncio.all_tasks(),
        "done": task.done(),
        "cancelling": task.cancelling(),
        "loop": task.get_loop() is asyncio.get_running_loop(),
        "coroutine": task.get_coro().__qualname__.rpartition(".")[2],  # type: ignore[union-attr]
    }


def test_current_task_from_the_first_instruction(app: App, serve: Serve) -> None:
    async def nested() -> dict[str, Any]:
        return seen()

    @app.get("/")
    async def handler() -> list[dict[str, Any]]:
        first = seen()
        second = await nested()
        await asyncio.sleep(0)
        third = seen()
        await asyncio.sleep(0.001)
        return [first, second, third, await nested()]

    first, *others = serve(app).get("/").json()
    assert others == [first] * 3
    del first["id"]
    assert first == {
        "is a Task": True,
        "listed": True,
        "done": False,
        "cancelling": 0,
        "loop": True,
        "coroutine": "handler",
    }


def test_each_handler_has_a_task_of_its_own(app: App, serve: Serve) -> None:
    tasks: list[Any] = []

    @app.get("/{n}")
    async def handler(n: int) -> int:
        tasks.append(asyncio.current_task())
        while len(tasks) < 5:
            await asyncio.sleep(0)
            assert asyncio.current_task() is tasks[n]
            assert asyncio.all_tasks() >= {task for task in tasks if not task.done()}
        return n

    client = serve(app)

    def get(n: int) -> None:
        assert wait_until(lambda: len(tasks) == n)
        assert client.get(f"/{n}").json() == n

    with in_threads(5, get):
        pass
    assert len({id(task) for task in tasks}) == 5
    assert all(task.done() and task.result() == n for n, task in enumerate(tasks))


def test_a_task_that_was_kept_ends_like_any(app: App, serve: Serve, server_errors: Any) -> None:
    kept: list[asyncio.Task[Any]] = []
    told: list[asyncio.Task[Any]] = []

    @app.get("/{how}")
    async def handler(how: str) -> str:
        task = asyncio.current_task()
        assert task is not None
        kept.append(task)
        task.add_done_callback(told.append)
        if how.startswith("wait"):
            await asyncio.sleep(0)
        if how.endswith("raise"):
            raise ZeroDivisionError
        return how

    client = serve(app, raise_server_exceptions=False)
    for how in ("return", "wait-return", "raise", "wait-raise"):
        client.get(f"/{how}")
    assert wait_until(lambda: len(told) == 4)
    assert told == kept
    assert [task.result() for task in kept[:2]] == ["return", "wait-return"]
    assert [type(task.exception()) for task in kept[2:]] == [ZeroDivisionError] * 2


def test_a_handler_that_does_not_wait_costs_no_task(
    app: App, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    ids = set()

    @app.get("/")
    async def handler() -> None:
        ids.add(id(asyncio.current_task()))

    @app.get("/watch")
    async def watch() -> None:
        loop = asyncio.get_running_loop()

        def counting(name: str) -> Callable[..., Any]:
            original = getattr(loop, name)

            def call(*args: Any, **kwargs: Any) -> Any:
                made.append(name)
                return original(*args, **kwargs)

            return call

        for name in ("create_task", "create_future", "call_soon", "call_at", "call_later"):
            monkeypatch.setattr(loop, name, counting(name), raising=False)

    def tasks_and_futures() -> int:
        gc.collect()
        return sum(isinstance(o, asyncio.Future) for o in gc.get_objects())

    client = serve(app)
    client.get("/")
    client.get("/watch")
    before = tasks_and_futures()
    made.clear()
    for _ in range(100):
        client.get("/")
    assert made == []
    assert tasks_and_futures() == before
    assert len(ids) == 1  # the same one each time
    monkeypatch.undo()


# ---- asyncio in a handler, beside asyncio alone ----


async def of_sleep() -> Any:
    return [await asyncio.sleep(0, "a"), await asyncio.sleep(0.001, "b")]


async def of_gather() -> Any:
    async def fail() -> None:
        raise ValueError("gathered")

    results = await asyncio.gather(of_sleep(), fail(), asyncio.sleep(0, 1), return_exceptions=True)
    return [repr(r) for r in results]


async def of_task_group() -> Any:
    lines = []

    async def fail(delay: float) -> None:
        try:
            await asyncio.sleep(delay)
            raise ValueError(delay)
        except asyncio.CancelledError:
            lines.append("sibling cancelled")
            raise

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(0.001))
            group.create_task(fail(30))
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                lines.append("body cancelled")
                raise
    except* ValueError as group_of_errors:
        lines.append(repr(group_of_errors.exceptions))
    task = asyncio.current_task()
    assert task is not None
    return [*sorted(lines), task.cancelling()]


async def of_timeout() -> Any:
    lines = []
    try:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(30)
    except TimeoutError:
        lines.append("outer")
    async with asyncio.timeout(30) as outer:
        try:
            async with asyncio.timeout(0) as inner:
                await asyncio.sleep(30)
        except TimeoutError:
            lines.append("inner")
        lines.append(str([outer.expired(), inner.expired()]))
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    return [*lines, task.cancelling()]


async def of_wait_for() -> Any:
    lines = [await asyncio.wait_for(asyncio.sleep(0, "in time"), 30)]
    try:
        await asyncio.wait_for(asyncio.sleep(30), 0.001)
    except TimeoutError:
        lines.append("late")
    done, pending = await asyncio.wait(
        [asyncio.ensure_future(asyncio.sleep(d, d)) for d in (0, 30)],
        return_when=asyncio.FIRST_COMPLETED,
    )
    for task in pending:
        task.cancel()
    return [*lines, len(done), len(pending)]


async def of_shield() -> Any:
    inner = asyncio.ensure_future(asyncio.sleep(0.005, "inner"))
    try:
        async with asyncio.timeout(0.001):
            await asyncio.shield(inner)
    except TimeoutError:
        return ["timeout", inner.done(), await inner]


async def of_cancelling_oneself() -> Any:
    task = asyncio.current_task()
    assert task is not None
    lines: list[Any] = []
    task.cancel("why")
    try:
        lines.append("still running")
        await asyncio.sleep(30)
    except asyncio.CancelledError as exc:
        lines += [*exc.args, task.cancelling(), task.uncancel()]
    await asyncio.sleep(0)
    return lines


async def of_synchronization() -> Any:
    event, lock, condition = asyncio.Event(), asyncio.Lock(), asyncio.Condition()
    semaphore, barrier = asyncio.Semaphore(2), asyncio.Barrier(3)
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    lines: list[Any] = []

    async def worker(n: int) -> None:
        await event.wait()
        async with semaphore:
            async with lock:
                await asyncio.sleep(0)
            await queue.put(n)
        await barrier.wait()
        async with condition:
            lines.append("met")
            condition.notify_all()

    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(worker(n))
        event.set()
        got = sorted([await queue.get() for _ in range(3)])
        async with condition:
            await condition.wait_for(lambda: len(lines) == 3)
    return [got, lines]


async def of_threads() -> Any:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var")
    var.set("seen in the thread")
    loop = asyncio.get_running_loop()
    here = threading.get_ident()
    there = await asyncio.to_thread(threading.get_ident)
    future = loop.create_future()
    threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, "called")).start()
    return [
        here != there,
        await asyncio.to_thread(var.get),
        await loop.run_in_executor(None, sum, [1, 2]),
        await future,
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "safe"), loop)),
    ]


async def of_callbacks() -> Any:
    loop = asyncio.get_running_loop()
    lines: list[str] = []
    loop.call_soon(lines.append, "soon")
    loop.call_later(0.001, lines.append, "later")
    loop.call_later(0.001, lines.append, "cancelled").cancel()
    loop.call_at(loop.time() + 0.002, lines.append, "at")
    while len(lines) < 3:
        await asyncio.sleep(0.001)
    return lines


async def of_async_generators() -> Any:
    lines: list[Any] = []

    async def count() -> AsyncIterator[int]:
        try:
            for n in range(5):
                await asyncio.sleep(0)
                yield n
        finally:
            await asyncio.sleep(0)
            lines.append("closed")

    async with aclosing(count()) as numbers:
        async for n in numbers:
            if n == 2:
                break
            lines.append(n)
    async for _ in count():  # left to the loop to close
        break
    gc.collect()
    while lines.count("closed") < 2:
        await asyncio.sleep(0)
    return [*lines, [n async for n in count()]]


async def of_exit_stacks() -> Any:
    lines: list[str] = []

    async def close(name: str) -> None:
        await asyncio.sleep(0)
        lines.append(name)

    try:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(close, "first")
            stack.push_async_callback(close, "second")
            raise ValueError
    except ValueError:
        return lines


async def of_streams() -> Any:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"line\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    return answer.decode()


async def of_bad_awaits() -> Any:
    class Yields:
        def __init__(self, what: Any) -> None:
            self.what = what

        def __await__(self) -> Any:
            return (yield self.what)

    lines = []
    other = asyncio.new_event_loop()
    for what in (1, other.create_future()):
        try:
            await Yields(what)
        except RuntimeError as exc:
            lines.append(str(exc).partition(" ")[0])
    other.close()
    return [*lines, await Yields(None)]


SCENARIOS = [
    of_sleep, of_gather, of_task_group, of_timeout, of_wait_for, of_shield, of_cancelling_oneself,
    of_synchronization, of_threads, of_callbacks, of_async_generators, of_exit_stacks, of_streams,
    of_bad_awaits,
]  # fmt: skip


@pytest.fixture(scope="module")
def scenarios() -> Any:
    app = App()
    for scenario in SCENARIOS:
        app.add_api_route(f"/{scenario.__name__}", scenario)
    with weft.testing.TestClient(app) as client:
        yield client


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_asyncio(scenarios: Any, scenario: Callable[[], Awaitable[Any]]) -> None:
    assert scenarios.get(f"/{scenario.__name__}").json() == asyncio.run(scenario())  # type: ignore[arg-type]


# ---- its context ----

var: contextvars.ContextVar[Any] = contextvars.ContextVar("var", default="untouched")


def test_each_request_has_a_context(app: App, serve: Serve) -> None:
    everybody = threading.Barrier(8, timeout=30)

    @app.get("/async/{n}")
    async def of_async(n: int) -> list[Any]:
        before = var.get()
        var.set(n)
        await asyncio.sleep(0.01)
        child = await asyncio.create_task(asyncio.to_thread(var.get))
        return [before, var.get(), child]

    @app.get("/sync/{n}")
    def of_sync(n: int) -> list[Any]:
        before = var.get()
        var.set(n)
        everybody.wait()
        return [before, var.get(), n]

    @app.get("/inline/{n}", inline=True)
    def of_inline(n: int) -> list[Any]:
        before = var.get()
        var.set(n)
        return [before, var.get(), n]

    client = serve(app)
    for kind in ("async", "sync", "inline"):
        got: list[Any] = []

        def get(n: int, kind: str = kind, got: list[Any] = got) -> None:
            got.append((n, client.get(f"/{kind}/{n}").json()))

        with in_threads(8, get):
            pass
        assert sorted(got) == [(n, ["untouched", n, n]) for n in range(8)]


def test_the_context_goes_with_the_request(app: App, serve: Serve) -> None:
    """Into the handler of its exception, and into its background."""
    late: list[Any] = []

    @app.exception_handler(ZeroDivisionError)
    async def of_zero(request: Request, exc: ZeroDivisionError) -> Response:
        return PlainTextResponse(str(var.get()))

    async def after() -> None:
        late.append(var.get())

    @app.get("/{how}")
    async def handler(how: str) -> Response:
        var.set(how)
        if "wait" in how:
            await asyncio.sleep(0)
        if "raise" in how:
            raise ZeroDivisionError
        return PlainTextResponse("", background=BackgroundTask(after))

    client = serve(app)
    for how in ("raise", "wait-raise"):
        assert client.get(f"/{how}").text == how
    for how in ("return", "wait"):
        client.get(f"/{how}")
        assert wait_until(lambda how=how: how in late)  # type: ignore[misc]


# ---- plain functions ----


def test_a_hundred_that_block(app: App, serve: Serve) -> None:
    go = threading.Event()
    lock = threading.Lock()
    running = most = 0

    @app.get("/block")
    def block() -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        go.wait(30)
        with lock:
            running -= 1
        return "done"

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    client = serve(app)
    connections = [connect(client) for _ in range(100)]
    try:
        sockets = [connection.__enter__() for connection in connections]
        for sock in sockets:
            ask(sock, "/block")
        assert wait_until(lambda: running == 40)
        start = time.perf_counter()
        assert client.get("/ping").json() == "pong"
        assert time.perf_counter() - start < 10  # not as long as they hold their threads
        assert running == 40  # the other sixty wait for a thread
        go.set()
        assert [reply(sock).read() for sock in sockets] == [b'"done"'] * 100
        assert most == 40
    finally:
        go.set()
        for connection in connections:
            connection.__exit__(None, None, None)


def test_there_is_no_loop_in_a_thread(app: App, serve: Serve) -> None:
    @app.get("/")
    def handler() -> str:
        try:
            asyncio.get_running_loop()
        except RuntimeError as exc:
            return str(exc)
        return "a loop"

    assert serve(app).get("/").json() == "no running event loop"


def test_inline_functions_may_start_tasks(app: App, serve: Serve) -> None:
    done = threading.Event()

    async def later() -> None:
        done.set()

    @app.get("/", inline=True)
    def handler() -> str:
        task = asyncio.get_running_loop().create_task(later())
        task.add_done_callback(lambda task: None)
        return threading.current_thread().name

    assert serve(app).get("/").json() == "weft-test-server"
    assert done.wait(30)


# ---- exceptions ----


def fail(error: BaseException) -> None:
    raise error


class Own(BaseException):
    pass


@pytest.mark.parametrize("kind", ["async", "waiting", "sync", "inline"])
@pytest.mark.parametrize(
    "error",
    [
        (ZeroDivisionError, "why"),
        (Own,),
        (asyncio.CancelledError,),
        (GeneratorExit,),
        (SystemExit, 3),
        (StopIteration,),
        (ExceptionGroup, "group", [ValueError(), ExceptionGroup("inner", [KeyError()])]),
        (BaseExceptionGroup, "group", [Own()]),
    ],
    ids=lambda error: error[0].__name__,
)
def test_whatever_is_raised_is_a_500(
    app: App, serve: Serve, server_errors: Any, kind: str, error: tuple[Any, ...]
) -> None:
    def fail() -> None:
        raise error[0](*error[1:])

    async def of_async() -> None:
        fail()

    async def of_waiting() -> None:
        await asyncio.sleep(0)
        fail()

    def of_sync() -> None:
        fail()

    endpoints = {"async": of_async, "waiting": of_waiting, "sync": of_sync, "inline": of_sync}
    app.add_api_route("/", endpoints[kind], inline=kind == "inline")
    client = serve(app, raise_server_exceptions=False)
    for _ in range(2):
        response = client.get("/")
        assert (response.status_code, response.text) == (500, "Internal Server Error")
    logged = server_errors()[0]
    if error[0] is StopIteration and kind in ("async", "waiting"):
        assert str(logged) == "coroutine raised StopIteration"  # PEP 479
        return
    assert type(logged) is error[0]
    frames = [frame.name for frame in traceback.extract_tb(logged.__traceback__)]
    assert frames == [endpoints[kind].__name__, "fail"]


def test_what_the_log_says(app: App, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    @app.get("/a/{b}")
    async def handler(b: str) -> None:
        fail(ZeroDivisionError("why"))

    client = serve(app, raise_server_exceptions=False)
    client.get("/a/%0Ax%25s")
    (record,) = [r for r in caplog.records if r.name == "weft.error"]
    assert record.levelno == logging.ERROR
    name = f"{__name__}.handler"
    assert record.getMessage() == f"Exception in GET '/a/\\nx%s' ({name})"
    assert [line.strip() for line in (record.exc_text or caplog.text).splitlines()][-1] == (
        "ZeroDivisionError: why"
    )


def test_the_loop_goes_on(app: App, serve: Serve) -> None:
    """Exceptions of callbacks and tasks that nobody awaits are the loop's to report."""
    reported: list[Any] = []

    @app.get("/")
    async def handler() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context["exception"]))
        loop.call_soon(fail, ZeroDivisionError("callback"))
        await asyncio.sleep(0)

    client = serve(app)
    assert client.get("/").status_code == 200
    assert client.get("/").status_code == 200
    assert [str(e) for e in reported] == ["callback"] * 2


class Base(Exception):
    pass


class Middle(Base):
    pass


class Leaf(Middle):
    pass


class MyHTTP(fastapi.HTTPException):
    pass


def build(framework: ModuleType) -> Any:
    """The same exceptions and handlers on weft and on FastAPI."""
    app = (framework.App if framework is weft else framework.FastAPI)()
    responses = framework if framework is weft else fastapi.responses
    own = type("OwnHTTP", (framework.HTTPException,), {})
    errors: dict[str, Callable[[], BaseException]] = {
        "base": Base, "middle": Middle, "leaf": Leaf, "zero": ZeroDivisionError, "key": KeyError,
        "lookup": LookupError, "index": IndexError, "unhandled": RuntimeError, "os": OSError,
        "404": lambda: framework.HTTPException(404, "lost"),
        "409": lambda: framework.HTTPException(409, {"a": [1]}, {"X-A": "b", "X-B": "é"}),
        "418": lambda: framework.HTTPException(418),
        "500": lambda: framework.HTTPException(500, "of my own"),
        "own": lambda: own(402, "own"),
        "own-404": lambda: own(404),
        "group": lambda: ExceptionGroup("group", [Base()]),
    }  # fmt: skip

    def answer(name: str, request: Any, exc: Any) -> Any:
        return responses.PlainTextResponse(f"{name}: {exc!r} {request.url.path}", status_code=499)

    @app.exception_handler(Base)
    async def of_base(request: Any, exc: Any) -> Any:
        await asyncio.sleep(0)
        return answer("base", request, exc)

    @app.exception_handler(Middle)
    def of_middle(request: Any, exc: Any) -> Any:
        return answer("middle", request, exc)

    @app.exception_handler(404)
    async def of_404(request: Any, exc: Any) -> Any:
        return responses.JSONResponse([exc.status_code, exc.detail], status_code=404)

    @app.exception_handler(418)
    def of_418(request: Any, exc: Any) -> Any:
        return answer("teapot", request, exc)

    @app.exception_handler(own)
    async def of_own(request: Any, exc: Any) -> Any:
        return responses.PlainTextResponse(f"own {exc.detail}", 402, headers={"x-own": "1"})

    @app.exception_handler(KeyError)
    async def of_key(request: Any, exc: Any) -> Any:
        raise framework.HTTPException(409, "from a handler")

    @app.exception_handler(IndexError)
    def of_index(request: Any, exc: Any) -> Any:
        raise Leaf("from a handler")

    @app.exception_handler(ExceptionGroup)
    async def of_group(request: Any, exc: Any) -> Any:
        return answer("group", request, exc)

    @app.exception_handler(Exception)
    async def of_all(request: Any, exc: Any) -> Any:
        return responses.PlainTextResponse(f"last resort: {exc!r}", status_code=500)

    @app.get("/async/{name}")
    async def of_async(name: str) -> None:
        raise errors[name]()

    @app.get("/wait/{name}")
    async def of_waiting(name: str) -> None:
        await asyncio.sleep(0)
        raise errors[name]()

    @app.get("/sync/{name}")
    def of_sync(name: str) -> None:
        raise errors[name]()

    return app, list(errors)


@pytest.fixture(scope="module")
def pair() -> Any:
    ours, _ = build(weft)
    theirs, _ = build(fastapi)
    with weft.testing.TestClient(ours, raise_server_exceptions=False) as client:
        yield client, functools.partial(get_in_process, theirs)


def get_in_process(app: Any, path: str) -> httpx.Response:
    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.get(path)

    return asyncio.run(get())


@pytest.mark.parametrize("kind", ["async", "wait", "sync"])
@pytest.mark.parametrize("name", build(weft)[1])
def test_exceptions_are_answered_as_by_fastapi(pair: Any, kind: str, name: str) -> None:
    ours, theirs = pair[0].get(f"/{kind}/{name}"), pair[1](f"/{kind}/{name}")
    assert (ours.status_code, ours.text) == (theirs.status_code, theirs.text)
    for header in ("content-type", "x-a", "x-b", "x-own"):
        assert ours.headers.get(header) == theirs.headers.get(header)


def test_a_last_resort_that_fails(app: App, serve: Serve, server_errors: Any) -> None:
    @app.exception_handler(500)
    async def of_all(request: Request, exc: Exception) -> Response:
        raise KeyError

    @app.get("/")
    async def handler() -> None:
        raise ZeroDivisionError

    client = serve(app, raise_server_exceptions=False)
    assert client.get("/").text == "Internal Server Error"
    assert [type(e) for e in server_errors()] == [ZeroDivisionError, KeyError]


def test_an_exception_in_the_background_is_logged(
    app: App, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def after() -> None:
        fail(ZeroDivisionError("late"))

    @app.get("/")
    async def handler() -> Response:
        return JSONResponse(1, background=BackgroundTask(after))

    client = serve(app)
    assert client.get("/").json() == 1
    records = caplog.records
    assert wait_until(lambda: any("background of GET '/'" in r.getMessage() for r in records))
    assert client.get("/").json() == 1


def test_a_stop_waits_for_the_background(app: App) -> None:
    done: list[int] = []

    async def after() -> None:
        await asyncio.sleep(0.05)
        gc.collect()  # nobody but the server keeps the task
        await asyncio.sleep(0.05)
        done.append(1)

    @app.get("/")
    async def handler() -> Response:
        return JSONResponse(1, background=BackgroundTask(after))

    with weft.testing.TestClient(app) as client:
        client.get("/")
    assert done == [1]


def test_http_exceptions_have_headers(app: App, serve: Serve) -> None:
    @app.get("/")
    async def handler() -> None:
        raise HTTPException(401, "who?", {"WWW-Authenticate": "Basic", "X-Twice": "a"})

    response = serve(app).get("/")
    assert (response.status_code, response.json()) == (401, {"detail": "who?"})
    assert response.headers["www-authenticate"] == "Basic"
    assert response.headers["x-twice"] == "a"
