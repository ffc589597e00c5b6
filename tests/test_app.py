"""An App behind a socket, beside the same App on FastAPI where both should do the same."""

import asyncio
import contextvars
import functools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any

import fastapi
import fastapi.responses
import httpx
import pydantic
import pytest

import weft.testing
from weft import App, HTTPException, JSONResponse, PlainTextResponse, Request, Response, Router
from weft.exceptions import SignatureError

from .conftest import Serve


@dataclass
class Point:
    x: int
    y: float


def build(framework: ModuleType) -> Any:
    """The same service on weft and on FastAPI."""
    app = (framework.App if framework is weft else framework.FastAPI)()
    router_class = framework.Router if framework is weft else framework.APIRouter
    responses = framework if framework is weft else fastapi.responses

    values = {
        "str": "ü", "int": 1, "none": None, "dict": {"a": [1, 2.5]}, "list": [True], "empty": {},
        "point": Point(1, 2.5), "points": [Point(1, 2.0)],
    }  # fmt: skip

    @app.get("/value/{kind}")
    async def value(kind: str) -> Any:
        return values[kind]

    @app.get("/sync/{kind}")
    def sync(kind: str) -> Any:
        return values[kind]

    @app.post("/made", status_code=201)
    async def made() -> dict[str, int]:
        return {"id": 1}

    @app.delete("/gone", status_code=204)
    async def gone() -> None:
        return None

    @app.get("/text", response_class=responses.PlainTextResponse)
    async def text() -> str:
        return "plain"

    @app.get("/page", response_class=responses.HTMLResponse, status_code=203)
    async def page() -> str:
        return "<p>"

    @app.get("/jump", response_class=responses.RedirectResponse)
    async def jump() -> str:
        return "/text"

    @app.get("/jump-303", response_class=responses.RedirectResponse, status_code=303)
    async def jump_303() -> str:
        return "/text"

    @app.get("/raise/{status}")
    async def fail(status: int) -> None:
        raise framework.HTTPException(status, headers={"X-Why": "said"})

    @app.get("/raise-detail")
    async def fail_detail() -> None:
        raise framework.HTTPException(409, {"why": ["taken"]})

    @app.get("/header")
    async def header(response: framework.Response) -> int:
        response.headers["X-A"] = "1"
        response.set_cookie("a", "b")
        response.status_code = 202
        return 5

    @app.api_route("/many", methods=["put", "PATCH"])
    async def many() -> str:
        return "many"

    @app.get("/n/{n}")
    async def number(n: int, q: int = 0) -> int:
        return n + q

    @app.get("/slash/")
    async def slash() -> str:
        return "slash"

    @app.get("/files/{rest:path}")
    async def files(rest: str) -> str:
        return rest

    @app.get("/first/{x}")
    async def first(x: str) -> str:
        return "first"

    @app.get("/first/second")
    async def second() -> str:
        return "second"

    inner = router_class(prefix="/inner", tags=["inner"])
    outer = router_class()

    @inner.get("")
    async def at_prefix() -> str:
        return "at prefix"

    @inner.get("/{x}")
    async def in_inner(x: int) -> int:
        return x

    outer.include_router(inner, prefix="/{tenant}")
    app.include_router(outer, prefix="/v1")
    app.include_router(inner)

    @inner.get("/later/on")
    async def later() -> str:
        return "later"

    return app


class InProcess:
    """A client of an ASGI app, without a socket."""

    def __init__(self, app: Any) -> None:
        self.transport = httpx.ASGITransport(app)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=self.transport, base_url="http://testserver"
            ) as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())


@pytest.fixture(scope="module")
def pair() -> Any:
    with weft.testing.TestClient(build(weft)) as ours:
        yield ours, InProcess(build(fastapi))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *[("GET", f"/value/{kind}") for kind in ("str", "int", "none", "dict", "list", "empty")],
        *[("GET", f"/{how}/{kind}") for how in ("value", "sync") for kind in ("point", "points")],
        ("GET", "/sync/dict"),
        ("POST", "/made"),
        ("DELETE", "/gone"),
        ("GET", "/text"),
        ("GET", "/page"),
        ("GET", "/jump"),
        ("GET", "/jump-303"),
        *[("GET", f"/raise/{status}") for status in (400, 401, 404, 418, 500, 503)],
        ("GET", "/raise/304"),
        ("GET", "/raise-detail"),
        ("GET", "/header"),
        ("PUT", "/many"),
        ("PATCH", "/many"),
        ("GET", "/n/4?q=5"),
        ("GET", "/n/x?q=y"),
        ("GET", "/slash/"),
        ("GET", "/slash"),
        ("GET", "/text/"),
        ("GET", "/files/a/b"),
        ("GET", "/files/"),
        ("GET", "/first/second"),
        ("GET", "/nowhere"),
        ("GET", "/inner"),
        ("GET", "/inner/3"),
        ("GET", "/inner/later/on"),
        ("GET", "/v1/t/inner"),
        ("GET", "/v1/t/inner/4"),
        ("POST", "/text"),
        ("DELETE", "/many"),
    ],
)
def test_as_fastapi_answers(pair: Any, method: str, path: str) -> None:
    ours, theirs = (client.request(method, path, follow_redirects=False) for client in pair)
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
    for name in ("content-type", "location", "x-a", "x-why", "set-cookie"):
        if name == "content-type" and ours.status_code == 204:
            continue  # FastAPI gives a type to nothing; we do not
        assert ours.headers.get(name) == theirs.headers.get(name), name
    if "allow" in theirs.headers and method != "DELETE":
        assert set(theirs.headers["allow"].split(", ")) <= set(ours.headers["allow"].split(", "))


def test_head_and_options_come_with_get(pair: Any) -> None:
    ours = pair[0]
    head = ours.head("/value/str")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len('"ü"'.encode()))
    options = ours.options("/value/str")
    assert options.status_code == 200
    assert {"GET", "HEAD"} <= set(options.headers["allow"].split(", "))


# ---- exceptions ----


def test_an_unexpected_exception_is_a_500(app: App, serve: Serve, server_errors: Any) -> None:
    @app.get("/async")
    async def of_async() -> None:
        raise ZeroDivisionError("boom")

    @app.get("/sync")
    def of_sync() -> None:
        raise ZeroDivisionError("boom")

    client = serve(app, raise_server_exceptions=False)
    for path in ("/async", "/sync"):
        response = client.get(path)
        assert (response.status_code, response.text) == (500, "Internal Server Error")
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
    frames = []
    traceback = server_errors()[0].__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert frames == ["of_async"]  # nothing of ours above it


def test_a_result_that_has_no_json(app: App, serve: Serve, server_errors: Any) -> None:
    @app.get("/")
    async def of_object() -> object:
        return object()

    client = serve(app, raise_server_exceptions=False)
    assert client.get("/").status_code == 500
    assert isinstance(server_errors()[0], TypeError | ValueError)
    assert client.get("/").status_code == 500


def test_a_205_has_no_content(app: App, serve: Serve) -> None:
    """It had "null"."""

    @app.get("/", status_code=205)
    async def reset() -> None:
        return None

    reply = serve(app).get("/")
    assert (reply.status_code, reply.content) == (205, b"")
    assert reply.headers["content-length"] == "0"


class Teapot(Exception):
    pass


class Kettle(Teapot):
    pass


def test_exception_handlers(serve: Serve) -> None:
    async def of_404(request: Request, exc: HTTPException) -> Response:
        return JSONResponse({"lost": request.url.path}, status_code=404)

    app = App(exception_handlers={404: of_404})

    @app.exception_handler(Teapot)
    def of_teapot(request: Request, exc: Teapot) -> Response:
        return PlainTextResponse(f"{exc} at {request.path}", status_code=418)

    @app.get("/kettle")
    async def kettle() -> None:
        raise Kettle("short and stout")

    @app.get("/http/{status}")
    async def http(status: int) -> None:
        raise HTTPException(status)

    client = serve(app)
    assert client.get("/kettle").text == "short and stout at /kettle"
    assert client.get("/http/404").json() == {"lost": "/http/404"}
    assert client.get("/nowhere").json() == {"lost": "/nowhere"}
    assert client.get("/http/403").json() == {"detail": "Forbidden"}
    response = client.post("/kettle")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


def test_a_handler_for_validation_errors(app: App, serve: Serve) -> None:
    @app.exception_handler(weft.RequestValidationError)
    async def of_invalid(request: Request, exc: weft.RequestValidationError) -> Response:
        return JSONResponse([error["loc"] for error in exc.errors()], status_code=400)

    @app.get("/{n}")
    async def number(n: int, q: int) -> int:
        return n

    response = serve(app).get("/x")
    assert (response.status_code, response.json()) == (400, [["path", "n"], ["query", "q"]])


def test_the_handler_of_last_resort(app: App, serve: Serve, server_errors: Any) -> None:
    @app.exception_handler(Exception)
    async def of_all(request: Request, exc: Exception) -> Response:
        return PlainTextResponse("sorry", status_code=500)

    @app.get("/")
    async def fail() -> None:
        raise ZeroDivisionError

    @app.get("/http")
    async def http() -> None:
        raise HTTPException(403)

    client = serve(app, raise_server_exceptions=False)
    assert client.get("/").text == "sorry"
    assert isinstance(server_errors()[0], ZeroDivisionError)  # answered, and logged all the same
    assert client.get("/http").json() == {"detail": "Forbidden"}
    assert client.get("/nowhere").json() == {"detail": "Not Found"}


def test_an_exception_handler_that_fails(app: App, serve: Serve, server_errors: Any) -> None:
    @app.exception_handler(Teapot)
    async def of_teapot(request: Request, exc: Teapot) -> Response:
        raise ZeroDivisionError

    @app.get("/")
    async def fail() -> None:
        raise Teapot

    client = serve(app, raise_server_exceptions=False)
    assert client.get("/").text == "Internal Server Error"
    assert isinstance(server_errors()[0], ZeroDivisionError)


@pytest.mark.parametrize("key", ["404", BaseException, object, None])
def test_what_no_exception_handler_is_for(app: App, key: Any) -> None:
    with pytest.raises(TypeError, match="status or a class of Exception"):
        app.add_exception_handler(key, lambda request, exc: Response())


# ---- how endpoints are called ----


class Counter:
    def __init__(self) -> None:
        self.n = 0

    async def __call__(self, step: int = 1) -> int:
        self.n += step
        return self.n

    def method(self, n: int) -> int:
        return self.n + n


def test_kinds_of_endpoints(app: App, serve: Serve) -> None:
    counter = Counter()

    async def add(a: int, b: int) -> int:
        return a + b

    def thread() -> str:
        return threading.current_thread().name

    app.add_api_route("/object", counter)
    app.add_api_route("/method", counter.method)
    app.add_api_route("/partial", functools.partial(add, b=10))
    app.add_api_route("/thread", thread)
    app.add_api_route("/inline", thread, inline=True)
    app.add_api_route("/lambda", lambda: 1)
    client = serve(app)
    assert client.get("/object?step=2").json() == 2
    assert client.get("/method?n=3").json() == 5
    assert client.get("/partial?a=1").json() == 11
    assert client.get("/thread").json() != "weft-test-server"
    assert client.get("/inline").json() == "weft-test-server"
    assert client.get("/lambda").json() == 1
    assert [route.kind for route in app.routes] == [
        "async", "thread", "async", "thread", "inline", "thread",
    ]  # fmt: skip


def test_one_context_a_request(app: App, serve: Serve) -> None:
    var: contextvars.ContextVar[int] = contextvars.ContextVar("var", default=0)

    @app.get("/async")
    async def of_async() -> int:
        before = var.get()
        var.set(1)
        await asyncio.sleep(0)
        return before * 10 + var.get()

    @app.get("/sync")
    def of_sync() -> int:
        before = var.get()
        var.set(1)
        return before * 10 + var.get()

    client = serve(app)
    for path in ("/async", "/sync", "/async", "/sync"):
        assert client.get(path).json() == 1


@pytest.mark.parametrize("kind", ["async", "thread", "inline", "wrapped"])
def test_what_comes_before_the_endpoint_is_in_its_context(
    kind: str, app: App, serve: Serve
) -> None:
    seen = contextvars.ContextVar("seen", default="nothing")

    def leave_a_mark(value: str) -> str:
        before = seen.get()
        seen.set(value)
        return before

    Mark = Annotated[str, pydantic.AfterValidator(leave_a_mark), weft.Query()]

    def plain(mark: Mark) -> list[str]:
        return [mark, seen.get()]

    async def coroutine(mark: Mark) -> list[str]:
        return [mark, seen.get()]

    @functools.wraps(coroutine)
    def wrapped(mark: str) -> Any:
        leave_a_mark(mark + " by the wrapper")
        return coroutine(mark)

    endpoint = {"async": coroutine, "wrapped": wrapped}.get(kind, plain)
    app.get("/", inline=kind == "inline")(endpoint)
    client = serve(app)
    for mark in ("a", "b"):
        left = "nothing by the wrapper" if kind == "wrapped" else mark
        assert client.get("/", params={"mark": mark}).json() == ["nothing", left]


def test_handlers_wait_side_by_side(app: App, serve: Serve) -> None:
    both = threading.Barrier(2, timeout=30)

    @app.get("/{n}")
    def meet(n: int) -> int:
        both.wait()
        return n

    client = serve(app)
    threads = [threading.Thread(target=client.get, args=(f"/{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not both.broken


# ---- lifespan ----


def test_lifespan(serve: Serve) -> None:
    seen: list[Any] = []

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[dict[str, Any]]:
        seen.append(app)
        loop = asyncio.get_running_loop()
        yield {"loop": loop}
        seen.append("shutdown")

    app = App(lifespan=lifespan)

    @app.get("/")
    async def same_loop(request: Request) -> bool:
        return request.state.loop is asyncio.get_running_loop()

    with weft.testing.TestClient(app) as client:
        assert seen == [app]
        assert client.get("/").json() is True
    assert seen == [app, "shutdown"]


# ---- declaring ----


async def nothing() -> None: ...


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda app: app.get("x")(nothing), "must start with '/'"),
        (lambda app: app.get("")(nothing), "must start with '/'"),
        (lambda app: app.get(nothing), "its path first, .* not with the endpoint nothing"),
        (lambda app: app.add_api_route(nothing, "/"), "its path first"),
        (lambda app: app.get("/{x")(nothing), "'{' is no part of a parameter"),
        (lambda app: app.get("/x}")(nothing), "'}' is no part of a parameter"),
        (lambda app: app.get("/", status_code=99)(nothing), "no reply can have the status 99"),
        (lambda app: app.add_api_route("/", 1), "cannot be called"),
        (lambda app: app.api_route("/", methods="GET")(nothing), "list of names"),
        (lambda app: app.api_route("/", methods=[])(nothing), "no methods"),
        (lambda app: Router(prefix="x"), "a prefix must start"),
        (lambda app: Router(prefix="/x/"), "not end with it"),
        (lambda app: app.include_router(app), "include itself"),
        (lambda app: app.include_router(Router(), prefix="x"), "a prefix must start"),
    ],
)
def test_what_cannot_be_declared(app: App, declare: Callable[[App], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        declare(app)


def test_routers_that_include_each_other() -> None:
    a, b = Router(), Router()
    a.include_router(b)
    with pytest.raises(ValueError, match="include itself"):
        b.include_router(a)


def test_an_empty_path_needs_a_prefix(app: App) -> None:
    router = Router(prefix="/x")
    router.get("")(nothing)
    app.include_router(router)
    assert [route.path for route in app.routes] == ["/x"]


def test_options_given_on_the_way(app: App) -> None:
    router = Router(prefix="/b", tags=["b"], default_response_class=PlainTextResponse)
    router.get("/own", response_class=JSONResponse, tags=["own"], max_body_size=1)(nothing)
    router.get("/none", name="other")(nothing)
    outer = App(max_body_size=5)
    outer.include_router(router, prefix="/a", tags=["a"])
    own, none = outer.routes
    assert (own.path, own.tags, own.name) == ("/a/b/own", ("a", "b", "own"), "nothing")
    assert (own.response_class, own.max_body_size) == (JSONResponse, 1)
    assert (none.response_class, none.max_body_size, none.name) == (PlainTextResponse, 5, "other")


def test_url_path_for(app: App) -> None:
    app.get("/a/{x}/{n:int}/{rest:path}", name="a")(nothing)
    assert app.url_path_for("a", x="ü", n=3, rest="b/c") == "/a/ü/3/b/c"
    assert app.url_path_for("a", x="1", n=3, rest="") == "/a/1/3/"
    with pytest.raises(LookupError, match="no route is called 'b'"):
        app.url_path_for("b")
    with pytest.raises(LookupError, match="'a' and takes x"):
        app.url_path_for("a", x=1)
    for wrong in ({"x": "a/b"}, {"x": ""}, {"n": -1}):
        with pytest.raises(ValueError, match="must not"):
            app.url_path_for("a", **{"x": "1", "n": 3, "rest": "", **wrong})


def test_a_signature_no_plan_can_be_made_of(app: App) -> None:
    @app.get("/")
    async def handler(*args: int) -> None: ...

    with (
        pytest.raises(SignatureError, match="handler"),
        weft.testing.TestClient(app),
    ):
        pass
