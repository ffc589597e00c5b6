"""Routes of a class of one's own beside FastAPI's: its page on them ("Custom Request and APIRoute
class"), and what else people do there."""

import asyncio
import gc
import gzip
import json
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

import weft
from tests.peer import Ask, Framework, answers, assert_same, get
from weft.exceptions import SignatureError
from weft.middleware import RequestIDMiddleware
from weft.sites import compile_site
from weft.testing import TestClient

from .connections import connect, wait_until


class Item(BaseModel):
    name: str
    price: float = 1.0


def gzipped(value: Any) -> bytes:
    return gzip.compress(json.dumps(value).encode(), mtime=0)


# ---- the page's examples ----


def gzip_app(fw: Framework) -> Any:
    class GzipRequest(fw.Request):
        async def body(self) -> bytes:
            if not hasattr(self, "_body"):
                body = await super().body()
                if "gzip" in self.headers.getlist("X-Coding"):
                    body = gzip.decompress(body)
                self._body = body
            return self._body

    class GzipRoute(fw.APIRoute):
        def get_route_handler(self) -> Callable[[Any], Awaitable[Any]]:
            original_route_handler = super().get_route_handler()

            async def custom_route_handler(request: Any) -> Any:
                request = GzipRequest(request.scope, request.receive)
                return await original_route_handler(request)

            return custom_route_handler

    app = fw.App()
    app.router.route_class = GzipRoute

    @app.post("/sum")
    async def sum_numbers(numbers: Annotated[list[int], fw.Body()]) -> Any:
        return {"sum": sum(numbers)}

    @app.post("/item")
    def item(item: Item, request: fw.Request, n: int = 0) -> Any:
        return [item.model_dump(), n, type(request).__name__, request.headers["x-coding"]]

    @app.post("/text")
    async def text(text: Annotated[str, fw.Body(media_type="text/plain")]) -> Any:
        return text

    @app.post("/raw")
    async def raw(request: fw.Request) -> Any:
        return {"length": len(await request.body()), "again": len(await request.body())}

    @app.post("/form")
    async def form(a: Annotated[str, fw.Form()]) -> Any:
        return a

    @app.get("/none")
    async def none(request: fw.Request) -> Any:
        return [request.method, request.url.path, request.query_params.get("q")]

    return app


def test_request_class_of_the_page():
    coded = [("content-type", "application/json"), ("x-coding", "gzip")]
    form = [("content-type", "application/x-www-form-urlencoded"), ("x-coding", "none")]
    assert_same(
        gzip_app,
        Ask("POST", "/sum", coded, gzipped([1, 2, 3])),
        Ask.json("POST", "/sum", [4, 5]),
        Ask("POST", "/sum", coded, gzipped([1, "x"])),
        Ask("POST", "/sum", coded, gzipped([])[:-5]),  # 400, as whatever body() raises
        Ask("POST", "/sum", coded, gzip.compress(b"[1,")),
        Ask("POST", "/sum", coded),
        Ask("POST", "/item?n=2", coded, gzipped({"name": "a"})),
        Ask("POST", "/item?n=x", coded, gzipped({"price": "y"})),
        Ask("POST", "/text", coded, gzipped({"a": 1})),
        Ask("POST", "/raw", coded, gzipped([1] * 1000)),
        Ask("POST", "/form", form, b"a=1"),
        get("/none?q=7"),
    )


def test_content_coding_of_the_page_is_undone_once():
    """weft has undone it where the request class looks."""

    def make(fw: Framework) -> Any:
        class GzipRequest(fw.Request):
            async def body(self) -> bytes:
                if not hasattr(self, "_body"):
                    body = await super().body()
                    if "gzip" in self.headers.getlist("Content-Encoding"):
                        body = gzip.decompress(body)
                    self._body = body
                return self._body

        class GzipRoute(fw.APIRoute):
            def get_route_handler(self) -> Callable[[Any], Awaitable[Any]]:
                original = super().get_route_handler()

                async def custom(request: Any) -> Any:
                    return await original(GzipRequest(request.scope, request.receive))

                return custom

        app = fw.App()
        app.router.route_class = GzipRoute

        @app.post("/sum")
        async def sum_numbers(numbers: Annotated[list[int], fw.Body()]) -> Any:
            return {"sum": sum(numbers)}

        return app

    coded = [("content-type", "application/json"), ("content-encoding", "gzip")]
    assert_same(make, Ask("POST", "/sum", coded, gzipped([1, 2, 3])))


def test_body_in_the_reply_to_an_invalid_request_of_the_page():
    def make(fw: Framework) -> Any:
        class ValidationErrorLoggingRoute(fw.APIRoute):
            def get_route_handler(self) -> Callable[[Any], Awaitable[Any]]:
                original_route_handler = super().get_route_handler()

                async def custom_route_handler(request: Any) -> Any:
                    try:
                        return await original_route_handler(request)
                    except fw.RequestValidationError as exc:
                        body = await request.body()
                        detail = {"errors": exc.errors(), "body": body.decode()}
                        raise fw.HTTPException(status_code=422, detail=detail) from exc

                return custom_route_handler

        app = fw.App()
        app.router.route_class = ValidationErrorLoggingRoute

        async def checked(q: int) -> int:
            return q

        @app.post("/")
        async def sum_numbers(numbers: Annotated[list[int], fw.Body()]) -> Any:
            return sum(numbers)

        @app.post("/dep")
        async def dep(item: Item, q: Annotated[int, fw.Depends(checked)]) -> Any:
            return [item, q]

        @app.get("/sync")
        def sync(n: int) -> Any:
            return n

        return app

    assert_same(
        make,
        Ask.json("POST", "/", [1, 2]),
        Ask.json("POST", "/", ["x", 2, None]),
        Ask("POST", "/", [("content-type", "application/json")], b"[1,"),
        Ask.json("POST", "/dep?q=1", {"name": "x"}),
        Ask.json("POST", "/dep?q=no", {"price": 2}),
        get("/sync?n=1"),
        get("/sync?n=x"),
    )


def test_timed_routes_of_the_page():
    def make(fw: Framework) -> Any:
        class TimedRoute(fw.APIRoute):
            def get_route_handler(self) -> Callable[[Any], Awaitable[Any]]:
                original_route_handler = super().get_route_handler()

                async def custom_route_handler(request: Any) -> Any:
                    before = time.time()
                    response = await original_route_handler(request)
                    assert time.time() >= before
                    response.headers["X-Response-Time"] = "measured"
                    fw.log.append((response.status_code, sorted(response.headers.items())))
                    return response

                return custom_route_handler

        app = fw.App()
        router = fw.Router(route_class=TimedRoute, prefix="/timed")

        @app.get("/")
        async def not_timed() -> Any:
            return {"message": "Not timed"}

        @router.get("/")
        async def timed() -> Any:
            return {"message": "It's the time of my life"}

        @router.get("/model", response_model=Item, status_code=201)
        async def model(response: fw.Response) -> Any:
            response.headers["x-mine"] = "1"
            return {"name": "a", "more": 1}

        @router.get("/text", response_class=fw.PlainTextResponse)
        def text() -> Any:
            return "text"

        app.include_router(router)
        outer = fw.Router()
        outer.include_router(router)
        app.include_router(outer, prefix="/v1")
        return app

    assert_same(make, *map(get, ("/", "/timed/", "/timed/model", "/timed/text", "/v1/timed/")))


# ---- what else is done there ----


def odd_app(fw: Framework) -> Any:
    """`x-do` says what the handler does. A request has its own list in the log, as what comes after
    a reply may come beside the next request."""
    notes: ContextVar[list[Any]] = ContextVar("notes")
    started = asyncio.Event()

    def note(what: Any) -> None:
        notes.get().append(what)

    class Own(fw.APIRoute):
        def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
            super().__init__(path, endpoint, **options)
            self.limit = getattr(endpoint, "limit", 0)

        def get_route_handler(self) -> Callable[[Any], Awaitable[Any]]:
            original = super().get_route_handler()

            async def handler(request: Any) -> Any:
                does = request.headers.get("x-do", "")
                mine = [does, self.limit]
                fw.log.append(mine)
                notes.set(mine)
                try:
                    return await self.answer(original, request, does)
                except KeyError as exc:
                    return fw.JSONResponse({"key": str(exc)}, status_code=418)
                finally:
                    note("out")

            return handler

        async def answer(self, original: Any, request: Any, does: str) -> Any:
            if does == "reply":
                return fw.PlainTextResponse("mine", headers={"x-a": "1"})
            if does == "refuse":
                raise fw.HTTPException(403, "no")
            if does == "fail":
                raise ZeroDivisionError
            if does == "read":
                note((await request.body()).decode())
            if does == "task":
                return await asyncio.create_task(original(request))
            if does == "wait":
                return await asyncio.wait_for(original(request), 20)
            if does == "late":
                task = asyncio.create_task(original(request))
                await started.wait()
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                return fw.PlainTextResponse("late", status_code=503)
            response = await original(request)
            if does == "replace":
                return fw.JSONResponse({"was": response.status_code}, headers={"x-b": "2"})
            if does == "nothing":
                return None
            response.headers["x-handled"] = type(response).__name__
            return response

    app = fw.App()

    @app.get("/before")
    async def before() -> Any:
        return "not handled"

    app.router.route_class = Own

    async def entered(request: fw.Request) -> AsyncIterator[int]:
        note("enter")
        try:
            yield 1
        except Exception as exc:
            note(repr(exc)[:12])
            raise
        finally:
            note("exit")

    def entered_in_thread() -> Any:
        note("enter thread")
        yield 2
        note("exit thread")

    @app.get("/plain")
    async def plain(n: int = 0) -> Any:
        note("endpoint")
        if n == 1:
            raise KeyError("n")
        if n == 2:
            raise LookupError("n")
        if n == 3:
            raise fw.HTTPException(409, "three", headers={"x-c": "3"})
        return {"n": n}

    @app.get("/dependent")
    def dependent(
        a: Annotated[int, fw.Depends(entered)],
        b: Annotated[int, fw.Depends(entered_in_thread)],
        n: int,
    ) -> Any:
        return asyncio.run(plain(n))

    @app.get("/scoped")
    async def scoped(a: Annotated[int, fw.Depends(entered, scope="function")], n: int = 0) -> Any:
        return await plain(n)

    @app.get("/slow")
    async def slow(a: Annotated[int, fw.Depends(entered)]) -> Any:
        started.set()
        await asyncio.sleep(30)

    @app.post("/posted")
    async def posted(item: Item, tasks: fw.BackgroundTasks) -> Any:
        tasks.add_task(note, "background")
        return item

    @app.get("/lines")
    async def lines() -> AsyncIterator[dict[str, int]]:
        for i in range(3):
            yield {"i": i}

    @app.get("/stream")
    async def stream() -> Any:
        return fw.StreamingResponse(iter([b"a", b"b"]), media_type="text/plain")

    async def limited(request: fw.Request) -> Any:
        route = request.scope["route"]
        return [type(route).__name__, route.limit, route.path, route.name, sorted(route.methods)]

    limited.limit = 7  # type: ignore[attr-defined]
    app.get("/limited/{a}", tags=["t"])(limited)

    @app.exception_handler(LookupError)
    async def looked_up(request: fw.Request, exc: LookupError) -> Any:
        return fw.JSONResponse({"lookup": str(exc)}, status_code=404)

    return app


DOES = ("", "reply", "refuse", "fail", "read", "task", "wait", "replace", "nothing")


@pytest.mark.parametrize("middleware", [False, True])
def test_handlers_that_do_something_else(middleware: bool) -> None:
    def make(fw: Framework) -> Any:
        app = odd_app(fw)
        if middleware:

            @app.middleware("http")
            async def around(request: Any, call_next: Any) -> Any:
                response = await call_next(request)
                fw.log.append(["around", response.status_code])
                response.headers["x-around"] = "1"
                return response

        return app

    failing = [] if middleware else ["fail", "nothing"]  # weft's handlers answer for middleware
    asks = [
        get("/before"),
        *(get("/plain", x_do=does) for does in DOES if does not in ("fail", "nothing")),
        *(get("/plain", x_do=does) for does in failing),
        *(get(f"/plain?n={n}") for n in ("1", "2", "3", "x")),
        *(get(f"/dependent?n={n}") for n in ("0", "1", "2", "3", "x")),
        get("/dependent?n=0", x_do="task"),
        get("/dependent", x_do="replace"),
        *(get(f"/scoped?n={n}") for n in ("0", "1", "2", "3", "x")),
        *(get("/scoped", x_do=does) for does in ("replace", "wait", "reply")),
        Ask.json("POST", "/posted", {"name": "a"}),
        Ask.json("POST", "/posted", {"name": "a"}, ("x-do", "read")),
        Ask.json("POST", "/posted", {"name": 1}, ("x-do", "read")),
        get("/stream"),
        get("/limited/1"),
        get("/slow", x_do="late"),
    ]
    got, expected, our_log, their_log = answers(make, asks)
    for request, ours, theirs in zip(asks, got, expected, strict=True):
        assert (ours.status, ours.body) == (theirs.status, theirs.body), request
        assert ours.headers == theirs.headers, request
    assert our_log == their_log


def test_request_classes_of_other_kinds():
    def make(fw: Framework) -> Any:
        class OwnJson(fw.Request):
            async def json(self) -> Any:
                value = await super().json()
                return {key.lower(): value for key, value in value.items()}

        class Taking(fw.Request):
            def __init__(self, request: Any) -> None:
                super().__init__(request.scope, request.receive)
                self.extra = "extra"

        def of(kind: str, request: Any) -> Any:
            if kind == "json":
                return OwnJson(request.scope, request.receive)
            if kind == "taking":
                return Taking(request)
            if kind == "plain":
                return fw.Request(request.scope, receive=request.receive)
            if kind == "headers":
                fields = [*request.scope["headers"], (b"x-more", b"1")]
                return fw.Request({**request.scope, "headers": fields}, request.receive)
            if kind in ("receive", "leaves"):

                async def receive() -> Any:
                    left = kind == "leaves"
                    body = b'{"name": "received"}'
                    return {"type": "http.disconnect" if left else "http.request", "body": body}

                return fw.Request(request.scope, receive)
            return request

        class Own(fw.APIRoute):
            def get_route_handler(self) -> Callable[[Any], Awaitable[Any]]:
                original = super().get_route_handler()

                async def handler(request: Any) -> Any:
                    request.state.kind = request.headers["x-kind"]
                    if request.state.kind == "set":
                        await request.body()
                        request._body = b'{"name": "set"}'
                    return await original(of(request.state.kind, request))

                return handler

        app = fw.App()
        app.router.route_class = Own

        @app.post("/item/{a}")
        async def item(a: int, item: Item, request: fw.Request) -> Any:
            more = request.headers.get("x-more"), getattr(request, "extra", None)
            return [a, item.name, request.state.kind, request.path_params, *more, request.method]

        @app.post("/read")
        async def read(request: fw.Request) -> Any:
            return [(await request.body()).decode(), (await request.json())["name"]]

        return app

    kinds = ("json", "taking", "plain", "headers", "receive", "set", "none", "leaves")
    assert_same(
        make,
        *(Ask.json("POST", "/item/1", {"name": "n"}, ("x-kind", kind)) for kind in kinds),
        Ask.json("POST", "/item/1", {"NAME": "n"}, ("x-kind", "json")),
        Ask("POST", "/item/1", [("content-type", "application/json"), ("x-kind", "json")], b"{"),
        Ask("POST", "/item/1", [("content-type", "text/plain"), ("x-kind", "json")], b"text"),
        *(Ask.json("POST", "/read", {"name": "n"}, ("x-kind", kind)) for kind in kinds[1:6]),
    )


# ---- weft's own ----


class Handled(weft.APIRoute):
    """The handler is what stands here at the time."""

    handler: Callable[[Any, Any], Awaitable[Any]]

    def get_route_handler(self):
        original = super().get_route_handler()
        return lambda request: Handled.handler(original, request)


@pytest.fixture
def app() -> weft.App:
    app = weft.App(route_class=Handled)

    @app.get("/")
    async def root(request: weft.Request) -> Any:
        return request.url.path

    return app


def handled_by(handler: Callable[[Any, Any], Awaitable[Any]]) -> None:
    Handled.handler = staticmethod(handler)


def test_original_handler_is_called_once(app):
    async def twice(original, request):
        await original(request)
        return await original(request)

    handled_by(twice)
    with TestClient(app) as client, pytest.raises(RuntimeError, match="can be called once"):
        client.get("/")


def test_request_is_made_of_the_scope_of_another(app):
    class Own(weft.Request):
        pass

    for scope in ({}, {"type": "http"}, None):
        with pytest.raises(TypeError, match="Own is made of the scope of a request"):
            Own(scope)
    with pytest.raises(TypeError):
        weft._core.Request()

    async def original_of_another(original, request):
        return await original(Own(dict(request.scope)))

    handled_by(original_of_another)
    with TestClient(app) as client:
        assert client.get("/").json() == "/"


def test_request_of_ones_own_is_kept_after_its_end(app):
    kept = []

    class Own(weft.Request):
        pass

    async def keep(original, request):
        kept.extend((Own(request.scope, request.receive), Own(request.scope)))
        return await original(kept[0])

    handled_by(keep)
    with TestClient(app) as client:
        assert client.get("/", headers={"x-a": "1"}).json() == "/"
        for request in kept:
            assert (request.headers["x-a"], request.url.path, request.method) == ("1", "/", "GET")
            with pytest.raises(RuntimeError):
                request._answer(None)


def test_nothing_of_a_handled_request_stays(app):
    alive = []

    class Own(weft.Request):
        pass

    async def remember(original, request):
        own = Own(request.scope, request.receive)
        own.itself = own
        alive.extend((weakref.ref(request), weakref.ref(own)))
        return await original(own)

    handled_by(remember)
    with TestClient(app) as client:
        for _ in range(5):
            client.get("/")

        def gone() -> bool:
            gc.collect()  # each holds itself
            return all(ref() is None for ref in alive)

        assert wait_until(gone)
        assert len(alive) == 10


def test_layers_within_middleware_take_a_request_of_its_own(app):
    app.add_middleware(RequestIDMiddleware)

    @app.middleware("http")
    async def around(request, call_next):
        return await call_next(weft.Request(request.scope, request.receive))

    async def through(original, request):
        return await original(weft.Request(request.scope))

    handled_by(through)
    with TestClient(app) as client:
        reply = client.get("/")
        assert (reply.json(), bool(reply.headers["x-request-id"])) == ("/", True)


def test_client_that_leaves_cancels_the_handler():
    events: list[str] = []
    running = threading.Event()
    app = weft.App(route_class=Handled)

    @app.get("/")
    async def root() -> None:
        running.set()
        try:
            await asyncio.sleep(60)
        finally:
            events.append("endpoint")

    async def handler(original, request):
        try:
            return await original(request)
        finally:
            events.append("handler")

    handled_by(handler)
    with TestClient(app) as client:
        with connect(client) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert running.wait(20)
        assert wait_until(lambda: events == ["endpoint", "handler"])


def test_route_that_is_too_late_ends_its_handler():
    app = weft.App(route_class=Handled)
    events = []

    @app.get("/", timeout=0.05)
    async def root() -> None:
        await asyncio.sleep(60)

    async def handler(original, request):
        try:
            return await original(request)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    handled_by(handler)
    with TestClient(app) as client:
        assert client.get("/").status_code == 504
    assert events == ["cancelled"]


def test_routes_of_the_usual_class_have_no_handler():
    app = weft.App()

    @app.get("/a")
    async def a() -> None: ...

    router = weft.Router(route_class=Handled)
    router.get("/b")(a)
    app.include_router(router)
    assert [
        entry.handler is None
        for entry in compile_site(app).entries
        if entry.route.include_in_schema
    ] == [True, False]
    assert [type(route) for route in app.routes] == [weft.APIRoute, Handled]


def test_class_that_gives_no_handler_is_refused():
    class None_(weft.APIRoute):
        def get_route_handler(self):
            return None

    app = weft.App(route_class=None_)

    @app.get("/")
    async def root() -> None: ...

    with pytest.raises(SignatureError, match=r"get_route_handler\(\) of root\(\) .* gave None"):
        compile_site(app)
    with pytest.raises(TypeError, match="subclass of APIRoute"):
        weft.Router(route_class=dict).get("/")(root)  # type: ignore[arg-type]


def test_class_sees_what_was_said_and_its_attributes_stay():
    made = []

    class Own(weft.APIRoute):
        def __init__(self, *args: Any, **options: Any) -> None:
            made.append(sorted(options))
            super().__init__(*args, **options)
            self.mine = [self.path]

    router = weft.Router(prefix="/p", route_class=Own)

    @router.get("/a", tags=["x"])
    async def a() -> None: ...

    app = weft.App()
    app.include_router(router, prefix="/v1", tags=["y"])
    (route,) = app.routes
    assert (route.path, route.tags, route.mine) == ("/v1/p/a", ("y", "x"), ["/a"])
    assert len(made) == 1
    assert {"endpoint", "methods", "tags"} <= set(made[0])
