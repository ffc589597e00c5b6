"""What Python middleware sees and does to replies: as with FastAPI, and what is weft's own."""

import asyncio
import gc
import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Serve
from tests.connections import ask, connect, wait_until
from tests.peer import Ask, Framework, answers, assert_same, get
from weft import App, BackgroundTasks, Depends, JSONResponse, Request, Response
from weft.background import BackgroundTask


def routes(fw: Framework, app: Any) -> Any:
    async def generator():
        fw.log.append("dependency in")
        try:
            yield "value"
        finally:
            await asyncio.sleep(0)
            fw.log.append("dependency out")

    @app.get("/json")
    async def as_json(value: str = fw.Depends(generator)):
        await asyncio.sleep(0)
        return {"value": value}

    @app.get("/sync")
    def sync():
        return ["sync"]

    @app.get("/stream")
    async def stream():
        async def chunks():
            for word in ("a", "b"):
                await asyncio.sleep(0)
                yield word

        return fw.StreamingResponse(chunks())

    @app.get("/plain-stream")
    async def plain_stream():
        return fw.StreamingResponse(iter(["c", b"d"]))

    @app.get("/file")
    async def file():
        return fw.FileResponse(Path(__file__).parent / "__init__.py")

    @app.get("/raise")
    async def raises():
        raise fw.HTTPException(418)

    @app.get("/slash/")
    async def slash():
        return 1

    return app


PATHS = ("/json", "/sync", "/stream", "/plain-stream", "/file", "/raise", "/nowhere")


@pytest.mark.parametrize("how", ["wait_for", "create_task", "shield", "gather", "group", "timeout"])
def test_call_next_may_be_awaited_by_any_task(how: str) -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        @app.middleware("http")
        async def inner(request: Any, call_next: Any):
            match how:
                case "wait_for":
                    return await asyncio.wait_for(call_next(request), timeout=20)
                case "create_task":
                    return await asyncio.create_task(call_next(request))
                case "shield":
                    return await asyncio.shield(call_next(request))
                case "gather":
                    (response,) = await asyncio.gather(call_next(request))
                    return response
                case "group":
                    async with asyncio.TaskGroup() as group:
                        task = group.create_task(call_next(request))
                    return task.result()
                case _:
                    async with asyncio.timeout(20):
                        return await call_next(request)

        @app.middleware("http")
        async def outer(request: Any, call_next: Any):
            response = await call_next(request)
            response.headers["x-outer"] = str(response.status_code)
            return response

        return routes(fw, app)

    kept = [path for path in PATHS if path != "/file"]  # whose tag is the server's own
    assert_same(make, *map(get, kept))


@pytest.mark.parametrize("how", ["wait_for", "task"])
def test_a_middleware_that_does_not_wait_for_ever(how: str) -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        @app.middleware("http")
        async def patient(request: Any, call_next: Any):
            try:
                if how == "wait_for":
                    return await asyncio.wait_for(call_next(request), timeout=0.02)
                task = asyncio.create_task(call_next(request))
                done, _ = await asyncio.wait([task], timeout=0.02)
                if done:
                    return task.result()
                task.cancel()
                await asyncio.wait([task])
            except TimeoutError:
                pass
            return fw.JSONResponse({"detail": "timed out"}, 504)

        async def generator():
            try:
                yield
            except BaseException as exc:
                fw.log.append(type(exc).__name__)
                raise

        @app.get("/", dependencies=[fw.Depends(generator)])
        async def slow():
            await asyncio.sleep(30)

        @app.get("/quick")
        async def quick():
            return 1

        return app

    got, expected, log, _ = answers(make, [get("/"), get("/quick")])
    assert [(a.status, a.body) for a in got] == [(a.status, a.body) for a in expected]
    assert log == ["CancelledError"]


def test_a_task_that_is_left_behind_harms_nobody(serve: Serve) -> None:
    app = App()
    tasks: list[asyncio.Task[Any]] = []
    ended: list[str] = []

    @app.middleware("http")
    async def hasty(request: Request, call_next: Any) -> Response:
        tasks.append(asyncio.create_task(call_next(request)))
        await asyncio.sleep(0)
        return JSONResponse("hasty")

    @app.get("/")
    async def slow() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append("handler")

    client = serve(app)
    for _ in range(3):
        assert client.get("/").json() == "hasty"
    assert wait_until(lambda: len(tasks) == 3 and all(task.cancelled() for task in tasks))
    assert ended == ["handler"] * 3


@pytest.mark.parametrize("how", ["client leaves", "middleware answers"])
@pytest.mark.parametrize("where", ["endpoint", "dependency"])
def test_a_thread_that_is_left_behind_is_waited_for(
    app: App, serve: Serve, how: str, where: str
) -> None:
    """Its job stayed for ever, and generators were taken back from under it."""
    seen: list[str] = []
    entered, leave, ended = threading.Event(), threading.Event(), threading.Event()

    def work(name: str) -> None:
        if name == where:
            entered.set()
            assert leave.wait(20)
        seen.append(name)

    def outer():
        try:
            yield
        finally:
            seen.append("outer out")

    def inner(value: Any = Depends(outer)):
        try:
            work("dependency")
            yield
        finally:
            seen.append("inner out")

    @app.middleware("http")
    async def around(request: Request, call_next: Any) -> Response:
        task = asyncio.create_task(call_next(request))
        if how == "client leaves":
            try:
                return await asyncio.shield(task)
            finally:
                ended.set()
        while not entered.is_set():
            await asyncio.sleep(0.001)
        return JSONResponse("answered")

    @app.get("/", dependencies=[Depends(inner)])
    def read() -> None:
        work("endpoint")

    client = serve(app)
    jobs = count_jobs()
    if how == "client leaves":
        with connect(client) as sock:
            ask(sock, "/")
            assert entered.wait(20)
        assert ended.wait(20)
        leave.set()
    else:
        threading.Timer(0.05, leave.set).start()
        assert client.get("/").json() == "answered"
    ran = ["dependency", "endpoint"] if where == "endpoint" else ["dependency"]
    assert wait_until(lambda: seen == [*ran, "inner out", "outer out"]), seen
    assert wait_until(lambda: count_jobs() <= jobs)


def count_jobs() -> int:
    gc.collect()
    return sum(type(o).__name__ == "Job" for o in gc.get_objects())


def test_the_content_of_any_reply_can_be_read_and_replaced() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        @app.middleware("http")
        async def shouting(request: Any, call_next: Any):
            response = await call_next(request)
            if request.query_params.get("how") == "set":

                async def chunks(content: Any):
                    async for chunk in content:
                        yield chunk.upper()

                response.body_iterator = chunks(response.body_iterator)
                del response.headers["content-length"]
                return response
            body = b"".join([chunk async for chunk in response.body_iterator])
            fw.log.append(body)
            kept = {k: v for k, v in response.headers.items() if k != "etag"}
            return fw.Response(
                body + b"!", response.status_code, {**kept, "content-length": str(len(body) + 1)}
            )

        return routes(fw, app)

    asks = [get(path + query) for path in PATHS for query in ("", "?how=set")]
    got, expected, our_log, their_log = answers(make, asks)
    assert our_log == their_log
    for request, ours, theirs in zip(asks, got, expected, strict=True):
        assert (ours.status, ours.body) == (theirs.status, theirs.body), request


def test_the_length_of_a_reply_is_told() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        @app.middleware("http")
        async def look(request: Any, call_next: Any):
            response = await call_next(request)
            fw.log.append(response.headers.get("content-length"))
            return response

        return routes(fw, app)

    assert_same(make, *map(get, ("/json", "/sync", "/stream", "/raise", "/nowhere")))


def test_what_is_left_to_do_is_done_whatever_a_middleware_adds() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        @app.middleware("http")
        async def adds(request: Any, call_next: Any):
            response = await call_next(request)

            def fails() -> None:
                fw.log.append("the middleware's")

            response.background = fw.BackgroundTask(fails)
            return response

        @app.get("/injected")
        async def injected(tasks: fw.BackgroundTasks):
            tasks.add_task(fw.log.append, "injected")
            return 1

        @app.get("/own")
        async def own():
            return fw.JSONResponse(1, background=fw.BackgroundTask(fw.log.append, "own"))

        return app

    def sorted_log(log: list[str]) -> list[str]:
        return sorted(log)

    _, _, ours, theirs = answers(make, [get("/injected"), get("/own")])
    assert sorted_log(ours) == sorted_log(theirs)
    assert len(ours) == 4


def test_one_that_fails_does_not_take_the_others_with_it(serve: Serve) -> None:
    app = App()
    done: list[str] = []

    def fails() -> None:
        raise ValueError("x")

    @app.middleware("http")
    async def adds(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.background = BackgroundTask(fails)
        return response

    @app.get("/")
    async def read(tasks: BackgroundTasks) -> None:
        tasks.add_task(done.append, "inner")

    serve(app).get("/")
    assert wait_until(lambda: done == ["inner"])


def test_redirects_and_refusals_pass_through() -> None:
    """Redirects of slashes were C's, and passed by a middleware that lets nobody in."""

    def make(fw: Framework) -> Any:
        app, router, sub = fw.App(), fw.Router(), fw.App()
        app.include_router(router, prefix="/r")

        @app.middleware("http")
        async def guard(request: Any, call_next: Any):
            fw.log.append(request.url.path)
            if request.headers.get("x-key") != "k":
                return fw.PlainTextResponse("no", 403)
            response = await call_next(request)
            response.headers["x-guard"] = str(response.status_code)
            return response

        @sub.get("/in/")
        async def inside():
            return 1

        app.mount("/sub", sub)
        return routes(fw, app)

    paths = ("/slash", "/slash/", "/json/", "/sub/in", "/sub/none", "/sub")
    asks = [get(path, host="h", **key) for path in paths for key in ({}, {"x_key": "k"})]
    assert_same(make, *asks, Ask("POST", "/slash", [("host", "h"), ("x-key", "k")]))


def test_automatic_replies_to_options_pass_through(serve: Serve) -> None:
    app = App()

    @app.middleware("http")
    async def mark(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-mark"] = "1"
        return response

    app.get("/")(lambda: None)
    reply = serve(app).options("/")
    assert (reply.status_code, reply.headers["allow"]) == (200, "GET, HEAD, OPTIONS")
    assert reply.headers["x-mark"] == "1"


async def swallow() -> Any:
    with suppress(Exception):
        yield 1


def test_an_exception_swallowed_beneath_a_middleware_is_a_500(
    serve: Serve, server_errors: Any
) -> None:
    """It was a segmentation fault."""
    app = App()
    seen: list[str] = []

    @app.middleware("http")
    async def around(request: Request, call_next: Any) -> Response:
        try:
            return await call_next(request)
        except RuntimeError as exc:
            seen.append(str(exc))
            raise

    @app.get("/")
    async def fails(value: Any = Depends(swallow)) -> None:
        raise ValueError("x")

    client = serve(app, raise_server_exceptions=False)
    assert client.get("/").status_code == 500
    assert "There is no reply" in str(server_errors()[-1])
    assert len(seen) == 1

    @app.exception_handler(RuntimeError)
    async def handled(request: Request, exc: RuntimeError) -> Response:
        return JSONResponse("handled", 503)

    assert serve(app).get("/").status_code == 503


def test_the_scope_is_there_for_who_looks_for_it() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        @app.middleware("http")
        async def look(request: Any, call_next: Any):
            response = await call_next(request)
            scope = request.scope
            keys = ("type", "method", "path", "query_string", "path_params", "scheme", "root_path")
            fw.log.append([scope[key] for key in keys])
            fw.log.append([request["path"], request.get("none", 3), scope["raw_path"]])
            fw.log.append([scope["route"].path, scope["endpoint"].__name__])
            fw.log.append([pair for pair in scope["headers"] if pair[0] == b"x-a"])
            return response

        @app.get("/items/{n}")
        async def item(n: int):
            return n

        return app

    assert_same(make, get("/items/3?a=b", x_a="1"))


def test_headers_put_into_the_scope_are_seen(serve: Serve) -> None:
    app = App()

    @app.middleware("http")
    async def add(request: Request, call_next: Any) -> Response:
        request.scope["headers"].append((b"x-added", b"1"))
        return await call_next(request)

    @app.get("/")
    async def read(request: Request) -> Any:
        return request.headers["x-added"]

    assert json.loads(serve(app).get("/").content) == "1"
