"""Behind a proxy that takes a prefix off: `--root-path` beside uvicorn's, `App(root_path=)` beside
FastAPI's."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import weft
from tests.peer import Answer, Ask, Framework, fastapi_names, get, weft_names
from tests.peer import ask as send
from tests.test_proxies import on_uvicorn
from tests.test_proxies import serving as on_weft
from weft.exceptions import SignatureError
from weft.middleware import HTTPSRedirectMiddleware, TrustedHostMiddleware
from weft.server import Config, Server, StartupError
from weft.testing import TestClient


def site(fw: Framework, files: Path, **options: Any) -> Any:
    """Routes that say where they are, in an App, in one that is mounted, and behind a host."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # FastAPI would have it said to the server
        app = fw.App(**options)
    sub, tenants = fw.App(), fw.Router()

    def about(request: Any) -> Any:
        root = request.root_path if fw.name == "weft" else request.scope["root_path"]
        return [root, *map(str, (request.url, request.base_url, request.url_for("item", id=1)))]

    @app.get("/items/{id}")
    async def item(id: int, request: fw.Request) -> Any:  # type: ignore[name-defined]
        return [*about(request), str(request.url_for("sub:inner", name="n"))]

    @app.get("/slash/")
    async def slash() -> Any:
        return "slash"

    @app.get("/api/v1/twice")
    async def twice() -> Any:
        return "a route that begins with the root path"

    @sub.get("/inner/{name}")
    async def inner(name: str, request: fw.Request) -> Any:  # type: ignore[name-defined]
        return [name, request.path_params, *about(request)]

    @sub.get("/back/")
    async def back() -> Any:
        return "back"

    @tenants.get("/who")
    async def who(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return about(request)

    @app.get("/")
    async def root(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return about(request)

    app.mount("/sub", sub, name="sub")
    app.mount("/files", fw.StaticFiles(directory=str(files), html=True), name="files")
    app.host("{tenant}.example", tenants, name="tenants")
    return app


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "index.html").write_text("index")
    (tmp_path / "a.txt").write_text("a")
    return tmp_path


def ask(port: int, target: str, host: str = "shop.example:81") -> Answer:
    return send(port, get(target, host=host))


STRIPPED = [
    "/", "/items/1?q=a", "/items/%31", "/items/x", "/slash", "/slash/", "/nothing",
    "/sub/inner/%C3%BC", "/sub/nothing", "/sub/back", "/sub", "/sub/", "/files/a.txt",
    "/files/folder", "/files/folder/", "/files/none", "/api/v1/items/1", "/api/v1/twice",
    "/openapi.json", "/sub/openapi.json",
]  # fmt: skip


def both(make: Any, targets: Sequence[str], **options: Any) -> list[tuple[str, Answer, Answer]]:
    with on_weft(make(weft_names()), **options) as port:
        ours = [ask(port, target) for target in targets]
    with on_uvicorn(make(fastapi_names()), **options) as port:
        theirs = [ask(port, target) for target in targets]
    return list(zip(targets, ours, theirs, strict=True))


def servers(answer: Answer) -> Any:
    return json.loads(answer.body).get("servers")


def assert_alike(target: str, ours: Any, theirs: Any) -> None:
    assert ours.status == theirs.status, target
    if target.endswith("openapi.json"):
        assert servers(ours) == servers(theirs)
    else:
        assert ours.body == theirs.body, target
        assert ours.fields.get("location") == theirs.fields.get("location"), target


def test_of_the_server_it_is_as_with_uvicorn(files: Path) -> None:
    def make(fw: Framework) -> Any:
        return site(fw, files)

    for target, ours, theirs in both(make, STRIPPED, root_path="/api/v1"):
        assert_alike(target, ours, theirs)


def test_behind_a_host(files: Path) -> None:
    for names, serve in ((weft_names(), on_weft), (fastapi_names(), on_uvicorn)):
        with serve(site(names, files), root_path="/api/v1") as port:
            got = json.loads(ask(port, "/who", host="acme.example").body)
        assert got[0] == "/api/v1"
        assert got[3] == "http://acme.example/api/v1/items/1"


def test_of_the_app_it_is_as_with_fastapi(files: Path) -> None:
    """With the prefix left in and taken off. FastAPI finds nothing mounted where it is taken off,
    and has it neither in `request.url` nor in redirects then."""

    def make(fw: Framework) -> Any:
        return site(fw, files, root_path="/api/v1")

    beneath = ["/api/v1" + target for target in STRIPPED] + ["/api/v1"]
    for target, ours, theirs in both(make, beneath):
        if target == "/api/v1/api/v1/twice":  # one prefix is taken off, the other is the route's
            assert ours.status == theirs.status == 200
        assert_alike(target, ours, theirs)
    own = ["/", "/items/1", "/openapi.json", "/nothing", "/slash/", "/api/v10/items/1"]
    for target, ours, theirs in both(make, own):
        assert ours.status == theirs.status, target
        if target in ("/", "/items/1"):
            got, expected = json.loads(ours.body), json.loads(theirs.body)
            assert got.pop(1).removeprefix("http://shop.example:81") == "/api/v1" + target
            del expected[1]
            assert got == expected
        elif target.endswith("openapi.json"):
            assert servers(ours) == servers(theirs) == [{"url": "/api/v1"}]


def test_of_the_app_also_what_is_mounted_is_found_without_the_prefix(files: Path) -> None:
    with on_weft(site(weft_names(), files, root_path="/api/v1/")) as port:
        with_prefix = [ask(port, "/api/v1" + target) for target in STRIPPED[:-4]]
        without = [ask(port, target) for target in STRIPPED[:-4]]
    for target, a, b in zip(STRIPPED, with_prefix, without, strict=False):
        assert (a.status, a.body, a.fields.get("location")) == (
            b.status,
            b.body,
            b.fields.get("location"),
        ), target


def test_pages_and_their_files_behind_the_proxy() -> None:
    app = weft.App(root_path="/api")
    with TestClient(app) as client:
        assert '"/api/docs/-/swagger-ui-bundle.js"' in client.get("/docs").text
        assert client.get("/api/docs/-/swagger-ui.css").status_code == 200
        assert '"url":"/api/openapi.json"' in client.get("/docs/-/swagger-initializer.js").text
        assert 'spec-url="/api/openapi.json"' in client.get("/redoc").text
    with TestClient(weft.App(), root_path="/api") as client:
        assert 'spec-url="/api/openapi.json"' in client.get("/redoc").text
        assert client.get("/api/redoc").status_code == 404


@pytest.mark.parametrize("given", [[], [{"url": "https://x.example"}], [{"url": "/api"}]])
@pytest.mark.parametrize("named", [True, False])
def test_servers_of_the_document(given: list[Any], named: bool) -> None:
    def make(fw: Framework) -> Any:
        return fw.App(servers=given, root_path_in_servers=named)

    ((_, ours, theirs),) = both(make, ["/openapi.json"], root_path="/api")
    assert servers(ours) == servers(theirs)


def test_redirects_of_layers_begin_with_it() -> None:
    app = weft.App(root_path="/api")
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["www.shop.example", "127.0.0.1"])
    app.add_middleware(HTTPSRedirectMiddleware)
    https = ("x-forwarded-proto", "https")
    with on_weft(app) as port:
        for target in ("/x?y=1", "/api/x?y=1"):
            reply = send(port, get(target, host="shop.example"))
            assert reply.fields["location"] == "https://shop.example/api/x?y=1"
            reply = send(port, Ask("GET", target, [("host", "shop.example"), https]))
            assert reply.fields["location"] == "https://www.shop.example/api/x?y=1"


@pytest.mark.parametrize("bad", ["api", "/a b", "/a?b", "/a#", "/a%20", "//a", "/ü", "/a\n", " "])
def test_what_is_no_root_path(bad: str) -> None:
    with pytest.raises(ValueError, match="bad root_path"):
        weft.App(root_path=bad)
    with pytest.raises(StartupError, match="bad root_path"):
        Server(weft.App(), Config(root_path=bad))


def test_it_is_said_once() -> None:
    Server(weft.App(root_path="/a"), Config(root_path="/a/"))
    with pytest.raises(StartupError, match="say it once"):
        Server(weft.App(root_path="/a"), Config(root_path="/b"))
    outer, inner = weft.App(), weft.App(root_path="/a")
    outer.mount("/inner", inner)
    with pytest.raises(SignatureError, match="outermost"):
        Server(outer, Config())
