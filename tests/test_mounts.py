"""Apps and routers beneath paths and behind hosts, beside Starlette's; lifespans; timeouts."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import weft
from tests.peer import Ask, Framework, answers, get, on_weft, weft_names
from tests.peer import ask as send
from weft.exceptions import SignatureError
from weft.middleware import CORSMiddleware, Middleware
from weft.sites import compile_site
from weft.testing import TestClient


def compare(make: Any, asks: list[Ask]) -> list[Any]:
    ours, theirs, _, _ = answers(make, asks)
    for request, our, their in zip(asks, ours, theirs, strict=True):
        got, expected = our.fields, their.fields
        if our.status == 405:  # GET answers HEAD too
            got["allow"] = got["allow"].replace("GET, HEAD", "GET")
        for fields in (got, expected):
            if "location" in fields:  # without the port
                fields["location"] = "/" + fields["location"].split("/", 3)[3]
        assert (our.status, our.body, got) == (their.status, their.body, expected), request
    return ours


def tree(fw: Framework) -> Any:
    """An App in an App in an App, and a path parameter in a prefix."""
    app, sub, deep = fw.App(), fw.App(), fw.App()

    def about(request: Any) -> Any:
        url = str(request.url).partition("//")[2].partition("/")[2]
        return [request.path_params, url, request.app is sub, request.app is deep]

    @app.get("/sub/first")
    async def first() -> Any:
        return "first"

    @sub.get("/item/{id}")
    async def item(id: int, request: fw.Request, q: str = "") -> Any:  # type: ignore[name-defined]
        return [id, q, *about(request)]

    @sub.get("/slash/")
    async def slash() -> Any:
        return "slash"

    @sub.get("/fails/{how}")
    async def fails(how: str) -> Any:
        raise {"key": KeyError("x"), "http": fw.HTTPException(418, "tea")}[how]

    @sub.exception_handler(KeyError)
    async def key_error(request: Any, exc: Any) -> Any:
        return fw.JSONResponse(["sub's", str(request.url).partition("//")[2][-9:]], 400)

    @app.exception_handler(KeyError)
    async def outer_key_error(request: Any, exc: Any) -> Any:
        return fw.JSONResponse("outer's", 400)

    @app.exception_handler(404)
    async def outer_404(request: Any, exc: Any) -> Any:
        return fw.JSONResponse("outer's", 404)

    @app.get("/fails")
    async def outer_fails() -> Any:
        raise KeyError("y")

    @deep.get("/who/{name}")
    async def who(name: str, request: fw.Request) -> Any:  # type: ignore[name-defined]
        return [name, *about(request)]

    @deep.get("/urls")
    async def urls(request: fw.Request) -> Any:  # type: ignore[name-defined]
        found = [
            request.url_for("sub:item", id=1),
            request.url_for("sub:deep:who", tenant="t", name="n"),
            request.url_for("sub", path="/any/thing"),
            request.url_for("first"),
        ]
        return [str(url).partition("//")[2].partition("/")[2] for url in found]

    sub.mount("/deep/{tenant}", deep, name="deep")
    app.mount("/sub", sub, name="sub")

    @app.get("/sub/late")
    async def late() -> Any:
        return "late"

    return app


TREE = [
    get("/sub/first"), get("/sub/item/1?q=a"), get("/sub/item/x"), get("/sub/item/"), get("/sub"),
    get("/sub/"), get("/sub/slash"), get("/sub/slash/"), get("/sub/fails/key"), get("/fails"),
    get("/sub/fails/http"), get("/sub/nothing"), get("/nothing"), get("/sub/late"),
    Ask("POST", "/sub/item/1"), Ask("POST", "/sub/nothing"), get("/sub/deep/acme/who/me"),
    get("/sub/deep/acme/nothing"), get("/sub/deep/a%20b/who/%C3%BC"), get("/sub/deep"),
    get("/sub/deep/x/urls"), get("/sub//item/1"), get("/subitem"),
]  # fmt: skip


def test_apps_in_apps() -> None:
    compare(tree, TREE)


def test_middleware_of_outer_and_inner_apps() -> None:
    def make(fw: Framework) -> Any:
        app = tree(fw)

        def add(to: Any, name: str) -> None:
            @to.middleware("http")
            async def mw(request: Any, call_next: Any) -> Any:
                response = await call_next(request)
                response.headers[f"x-{name}"] = "1"
                return response

        add(app, "outer")
        inner = fw.App()

        @inner.get("/")
        async def root() -> Any:
            return "inner"

        add(inner, "inner")
        app.mount("/inner", inner)
        return app

    compare(make, [get("/inner/"), get("/inner/nothing"), get("/sub/item/1"), get("/nothing")])


def hosted(fw: Framework) -> Any:
    app, api, tenants = fw.App(), fw.Router(), fw.App()

    @api.get("/")
    async def root() -> Any:
        return "api"

    @tenants.get("/{rest}")
    async def tenant(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return request.path_params

    @app.get("/early")
    async def early() -> Any:
        return "early"

    app.host("api.Example.org", api, name="api")
    app.host("{tenant}.example.org:8000", tenants, name="tenants")

    @app.get("/")
    async def everybody(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return [
            str(request.url_for("tenants:tenant", tenant="t", rest="r")),
            app.url_path_for("everybody"),
        ]

    return app


def test_hosts() -> None:
    compare(
        hosted,
        [
            Ask("GET", path, [("host", host)])
            for path in ("/", "/early", "/x", "/a/b")
            for host in (
                "api.example.org",
                "API.EXAMPLE.ORG:80",
                "acme.example.org",
                "a.b",
                "[::1]",
            )
        ],
    )


def test_slashes_are_left_alone_where_that_is_asked_for() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App(redirect_slashes=False)
        sub = fw.App()
        for each in (app, sub):
            each.get("/a/")(lambda: "a")
            each.get("/b")(lambda: "b")
        app.mount("/sub", sub)
        return app

    paths = ["/a", "/a/", "/b", "/b/", "/sub/a", "/sub/b/", "/sub"]
    compare(make, [get(path) for path in paths])


def test_lifespans_of_routers_and_their_state() -> None:
    def make(fw: Framework) -> Any:
        def lifespan(name: str) -> Any:
            @asynccontextmanager
            async def run(app: Any) -> AsyncIterator[dict[str, Any]]:
                fw.log.append(f"{name} starts")
                yield {name: 1, "who": name}
                fw.log.append(f"{name} ends")

            return run

        inner = fw.Router(lifespan=lifespan("inner"))
        router = fw.Router(lifespan=lifespan("router"))
        router.include_router(inner)
        app = fw.App(lifespan=lifespan("app"))
        app.include_router(router)

        @app.get("/")
        async def read(request: fw.Request) -> Any:  # type: ignore[name-defined]
            return [request.state.app, request.state.router, request.state.inner, request.state.who]

        return app

    ours, theirs, our_log, their_log = answers(make, [get("/")])
    assert ours[0].body == theirs[0].body
    assert our_log == their_log


def test_a_mounted_app_has_a_lifespan_of_its_own() -> None:
    log: list[str] = []

    def lifespan(name: str) -> Any:
        @asynccontextmanager
        async def run(app: weft.App) -> AsyncIterator[dict[str, Any]]:
            log.append(f"{name} starts")
            yield {name: 1}
            log.append(f"{name} ends")

        return run

    app, sub = weft.App(lifespan=lifespan("app")), weft.App(lifespan=lifespan("sub"))

    @sub.get("/")
    async def read(request: weft.Request) -> Any:
        return [request.state.app, request.state.sub, request.root_path]

    app.mount("/one", sub)
    app.mount("/two", sub)
    with TestClient(app) as client:
        assert client.get("/one/").json() == [1, 1, "/one"]
        assert client.get("/two/").json() == [1, 1, "/two"]
    assert log == ["app starts", "sub starts", "sub ends", "app ends"]


def test_overrides_are_each_apps_own() -> None:
    def value() -> str:
        return "real"

    app, sub = weft.App(), weft.App()
    for each in (app, sub):

        @each.get("/")
        async def read(found: str = weft.Depends(value)) -> str:
            return found

    app.mount("/sub", sub)
    with TestClient(app) as client:
        sub.dependency_overrides[value] = lambda: "sub's"
        assert (client.get("/").json(), client.get("/sub/").json()) == ("real", "sub's")


def test_what_cannot_be_mounted() -> None:
    app, sub = weft.App(), weft.App()
    sub.mount("/back", weft.Router())
    for wrong in (lambda: None, "name", object()):
        with pytest.raises(TypeError, match="can be mounted"):
            app.mount("/x", wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="in itself"):
        app.mount("/x", app)
    app.mount("/sub", sub)
    with pytest.raises(ValueError, match="in itself"):
        sub.mount("/x", app)
    with pytest.raises(ValueError, match="must start with"):
        app.mount("x", sub)
    with pytest.raises(ValueError, match="a host is a name"):
        app.host("/x", sub)
    with pytest.raises(LookupError):
        app.url_path_for("sub:nothing")
    many = weft.App()
    inner = weft.App()
    inner.get("/" + "/".join(f"{{b{i}}}" for i in range(9)))(lambda: None)
    many.mount("/" + "/".join(f"{{a{i}}}" for i in range(9)), inner)
    with pytest.raises(SignatureError, match="more than 16 parameters"):
        compile_site(many)


def test_middleware_declared_with_the_app() -> None:
    def make(fw: Framework) -> Any:
        declared = fw.Middleware(fw.CORSMiddleware, allow_origins=["https://a.example"])
        app = fw.App(middleware=[declared])
        app.get("/")(lambda: "x")
        return app

    compare(make, [get("/", origin="https://a.example"), get("/", origin="https://b.example")])
    weft.App(middleware=[CORSMiddleware()])
    assert Middleware(CORSMiddleware, max_age=1).kwargs == {"max_age": 1}


@pytest.mark.parametrize("strict", [None, True, False])
def test_bodies_without_a_content_type(strict: bool | None) -> None:
    def make(fw: Framework) -> Any:
        app = fw.App() if strict is None else fw.App(strict_content_type=strict)

        @app.post("/")
        async def read(body: dict[str, int]) -> Any:
            return body

        return app

    asks = [
        Ask("POST", "/", [("content-type", kind)] if kind is not None else [], body)
        for kind in (None, "", "text/plain", "application/json")
        for body in (b'{"a": 1}', b"{", b"")
    ]
    compare(make, asks)


def test_a_handler_has_the_time_its_route_gives_it() -> None:
    app = weft.App()
    ended: list[str] = []

    async def wait() -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    app.get("/short", timeout=0.05)(wait)
    app.get("/kept", timeout=0.05, cancel_on_disconnect=False)(wait)
    app.get("/quick", timeout=30)(lambda: "quick")

    @app.get("/stream", timeout=0.2)
    async def stream() -> Any:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"a"
            await asyncio.sleep(0.5)
            yield b"b"

        return weft.StreamingResponse(chunks())

    with on_weft(app) as port:
        for path in ("/short", "/kept"):
            reply = send(port, get(path))
            assert reply.status == 504
            assert reply.body == b'{"detail":"Gateway Timeout"}'
        assert send(port, get("/quick")).status == 200
        assert send(port, get("/stream")).body == b"ab"  # it is until the reply begins
    assert ended == ["cancelled"] * 2


def test_the_documentation_of_a_mounted_app_knows_where_it_is() -> None:
    def make(fw: Framework) -> Any:
        app, sub = fw.App(), fw.App(title="sub")

        @sub.get("/item")
        async def item() -> Any:
            return 1

        app.mount("/v1", sub)
        return app

    ours, theirs, _, _ = answers(make, [get("/v1/openapi.json")])
    document = json.loads(ours[0].body)
    assert document["servers"] == [{"url": "/v1"}]
    assert list(document) == list(json.loads(theirs[0].body))
    assert document == json.loads(theirs[0].body)

    def beneath_a_parameter(fw: Framework) -> Any:
        app = fw.App()
        app.mount("/of/{tenant}", fw.App())
        return app

    requests = [get(f"/of/{tenant}/openapi.json") for tenant in "aba"]
    ours, theirs, _, _ = answers(beneath_a_parameter, requests)
    for answer, tenant in zip(ours, "aba", strict=True):
        assert json.loads(answer.body)["servers"] == [{"url": f"/of/{tenant}"}]
    assert json.loads(ours[0].body)["paths"] == json.loads(theirs[0].body)["paths"]
    with TestClient(make(weft_names())) as client:
        page = client.get("/v1/docs").text
        assert '"/v1/docs/-/swagger-initializer.js"' in page
        assert client.get("/v1/docs/-/swagger-ui.css").status_code == 200
        assert '"/v1/openapi.json"' in client.get("/v1/docs/-/swagger-initializer.js").text
        assert 'spec-url="/v1/openapi.json"' in client.get("/v1/redoc").text
        assert 'spec-url="/openapi.json"' in client.get("/redoc").text
