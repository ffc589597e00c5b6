"""Python middleware: the same app on weft and on FastAPI, and what is weft's own."""

import asyncio
from typing import Any

import pytest

from tests.conftest import Serve
from tests.connections import ask, connect, wait_until
from tests.peer import Ask, Framework, assert_same, get
from weft import App, Depends, Request, Response
from weft.middleware import BaseHTTPMiddleware
from weft.testing import TestClient


def around(fw: Framework, suspends: bool) -> Any:
    app = fw.App()

    @app.middleware("http")
    async def inner(request: fw.Request, call_next: Any):
        fw.log.append(f"inner in {request.url.path}")
        request.state.word = "from inner"
        if suspends:
            await asyncio.sleep(0)
        response = await call_next(request)
        if suspends:
            await asyncio.sleep(0)
        response.headers["x-inner"] = str(response.status_code)
        fw.log.append("inner out")
        return response

    @app.middleware("http")
    async def outer(request: fw.Request, call_next: Any):
        fw.log.append("outer in")
        try:
            response = await call_next(request)
        except LookupError as exc:
            fw.log.append(f"outer caught {exc}")
            return fw.JSONResponse({"caught": str(exc)}, 503)
        if request.url.path == "/replaced":
            return fw.PlainTextResponse("replaced", 202, {"x-was": str(response.status_code)})
        response.headers["x-outer"] = "yes"
        return response

    @app.exception_handler(KeyError)
    async def missing(request: fw.Request, exc: KeyError):
        return fw.JSONResponse({"missing": str(exc)}, 404)

    async def generator():
        fw.log.append("dependency in")
        try:
            yield "value"
        except Exception as exc:
            fw.log.append(f"dependency {type(exc).__name__}")
            raise
        finally:
            if suspends:
                await asyncio.sleep(0)
            fw.log.append("dependency out")

    needed = fw.Depends(generator)

    @app.get("/items/{n}")
    async def item(n: int, request: fw.Request, response: fw.Response, value: str = needed):
        response.headers["x-own"] = "1"
        response.set_cookie("c", "d")
        if suspends:
            await asyncio.sleep(0)
        return [n, value, request.state.word]

    @app.get("/plain")
    def plain():
        return "plain"

    @app.get("/replaced", status_code=201)
    async def replaced(value: str = needed):
        return value

    @app.get("/http")
    async def http(value: str = needed):
        raise fw.HTTPException(418, "teapot", {"x-tea": "green"})

    @app.get("/no-content")
    async def no_content():
        raise fw.HTTPException(304)

    @app.get("/key")
    async def key(value: str = needed):
        raise KeyError("k")

    @app.get("/lookup")
    async def lookup():
        raise LookupError("nobody handles it")

    @app.get("/later")
    async def later(tasks: fw.BackgroundTasks, value: str = needed):
        async def task():
            fw.log.append("background")

        tasks.add_task(task)
        return value

    @app.post("/body")
    async def body(item: dict):
        return item

    return app


@pytest.mark.parametrize("suspends", [False, True])
def test_middleware_is_fastapis(suspends: bool) -> None:
    for request in (
        *map(get, ("/items/1", "/items/x", "/plain", "/replaced", "/http", "/key", "/lookup")),
        *map(get, ("/nowhere", "/later", "/no-content")),
        Ask.json("POST", "/body", {"a": 1}),
        Ask.json("POST", "/body", [1]),
        Ask("POST", "/body", [("content-type", "application/json")], b"{"),
    ):
        assert_same(lambda fw: around(fw, suspends), request)


def test_streams_pass_through() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        @app.middleware("http")
        async def add(request: fw.Request, call_next: Any):
            response = await call_next(request)
            response.headers["x-a"] = "b"
            return response

        @app.get("/")
        async def stream():
            async def chunks():
                for i in range(3):
                    yield b"%d" % i
                    await asyncio.sleep(0)

            return fw.StreamingResponse(chunks())

        return app

    assert_same(make, get("/"), get("/"))


def test_classes_and_their_order(serve: Serve) -> None:
    class Tag(BaseHTTPMiddleware):
        def __init__(self, app: App, name: str) -> None:
            super().__init__(app)
            self.name = name

        async def dispatch(self, request: Request, call_next: Any) -> Response:
            response = await call_next(request)
            response.headers["x-tags"] = response.headers.get("x-tags", "") + self.name
            return response

    app = App()
    app.add_middleware(Tag, name="a")
    app.add_middleware(Tag, "b")
    app.add_middleware(Tag, "c")

    @app.middleware("http")
    async def last(request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        response.headers["x-tags"] += "d"
        return response

    app.get("/")(lambda: None)
    assert serve(app).get("/").headers["x-tags"] == "abcd"


def test_a_middleware_may_answer_by_itself_and_read_the_body(serve: Serve) -> None:
    app = App()

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        if (await request.body()) == b"no":
            return Response("refused", 403)
        return await call_next(request)

    @app.post("/typed")
    async def typed(request: Request) -> Any:
        return (await request.body()).decode()

    @app.post("/ignored")
    async def ignored() -> str:
        return "ignored"

    client = serve(app)
    assert client.put("/typed").status_code == 405
    for path in ("/typed", "/ignored"):
        assert (client.post(path, content=b"no").status_code) == 403
    assert client.post("/typed", content=b"yes").json() == "yes"
    assert client.post("/ignored", content=b"yes").json() == "ignored"


def test_what_a_middleware_may_not_do(serve: Serve, server_errors: Any) -> None:
    app = App()

    @app.middleware("http")
    async def wrong(request: Request, call_next: Any) -> Any:
        match request.url.path:
            case "/twice":
                await call_next(request)
                return await call_next(request)
            case "/none":
                return None
            case "/again":
                answer = call_next(request)
                await answer
                return await answer
            case "/alone":
                call_next(request)
                return Response("alone")
            case "/nothing":
                return await call_next()
            case "/more":
                return await call_next(request, request)
            case "/by-name":
                return await call_next(request, other=request)
            case _:
                raise ZeroDivisionError("in the middleware")

    app.get("/{any}")(lambda any: any)
    client = serve(app, raise_server_exceptions=False)
    for path, message in (
        ("/twice", "can be called once"),
        ("/none", "must return a Response, not NoneType"),
        ("/again", "cannot reuse already awaited coroutine"),
        ("/nothing", "call_next() takes one argument"),
        ("/more", "call_next() takes one argument"),
        ("/by-name", "call_next() takes one argument"),
        ("/raise", "in the middleware"),
    ):
        assert client.get(path).status_code == 500, path
        assert message in str(server_errors()[-1])
    assert client.get("/alone").text == "alone"

    class Asgi:
        def __init__(self, app: Any) -> None: ...

    for none in (dict, Asgi):
        with pytest.raises(TypeError, match=r"none of those in .* ASGI middleware does not work"):
            app.add_middleware(none)
    with pytest.raises(TypeError, match="must be `async def`"):
        app.middleware("http")(lambda request, call_next: None)  # type: ignore[arg-type, return-value]


def test_the_last_resort_stands_around_the_middleware(serve: Serve) -> None:
    app = App()
    seen: list[str] = []

    @app.middleware("http")
    async def sees(request: Request, call_next: Any) -> Response:
        try:
            return await call_next(request)
        except ValueError:
            seen.append("middleware")
            raise

    @app.exception_handler(Exception)
    async def last(request: Request, exc: Exception) -> Response:
        seen.append("last resort")
        return Response("sorry", 500)

    @app.get("/")
    async def fails() -> None:
        raise ValueError("x")

    assert serve(app, raise_server_exceptions=False).get("/").text == "sorry"
    assert seen == ["middleware", "last resort"]


def test_a_client_that_leaves_cancels_the_middleware_and_all_in_it(app: App, serve: Serve) -> None:
    seen: list[str] = []

    @app.middleware("http")
    async def around(request: Request, call_next: Any) -> Response:
        try:
            return await call_next(request)
        except BaseException as exc:
            seen.append(f"middleware {type(exc).__name__}")
            raise

    async def generator():
        try:
            yield
        finally:
            seen.append("dependency out")

    @app.get("/", dependencies=[Depends(generator)])
    async def read() -> None:
        seen.append("waits")
        await asyncio.sleep(30)

    client = serve(app)
    with connect(client) as sock:
        ask(sock, "/")
        assert wait_until(lambda: seen == ["waits"])
    expected = ["waits", "dependency out", "middleware CancelledError"]
    assert wait_until(lambda: seen == expected), seen


def test_one_task_runs_all_of_it() -> None:
    app = App()
    tasks: list[Any] = []

    @app.middleware("http")
    async def around(request: Request, call_next: Any) -> Response:
        tasks.append(asyncio.current_task())
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
            response = await call_next(request)
        tasks.append(asyncio.current_task())
        return response

    async def generator():
        async with asyncio.TaskGroup():
            tasks.append(asyncio.current_task())
            yield
            await asyncio.sleep(0)
        tasks.append(asyncio.current_task())

    @app.get("/", dependencies=[Depends(generator)])
    async def read() -> None:
        tasks.append(asyncio.current_task())

    with TestClient(app) as client:
        assert client.get("/").status_code == 200
    assert len(tasks) == 5
    assert len(set(map(id, tasks))) == 1
