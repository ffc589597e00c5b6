"""`frontend()` beside FastAPI's: files of a build where no route is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import weft
from tests.conftest import Serve
from tests.peer import Answer, Ask, Framework, answers, get

FILES = {
    "index.html": "<h1>Home</h1>",
    "assets/app.js": "app()",
    "guide/index.html": "<h1>Guide</h1>",
    "empty/readme.txt": "x",
}
PAGE = {"accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def build(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "out").symlink_to("/etc")
    return tmp_path


PATHS = (
    *("/", "/index.html", "/assets/app.js", "/assets/none.js", "/guide", "/guide/", "/empty/"),
    *("/books/3/edit", "/api/items", "/api/items/", "/api/none", "/out/passwd", "/.%2e/x", "/%00"),
    f"/{'a' * 300}",
)
ASKS = [
    *(get(path, **accept) for path in PATHS for accept in ({}, PAGE)),
    get("/books/3", accept="text/html;q=0, image/png"),
    get("/books/3", accept="TEXT/HTML;q=0.1"),
    *(Ask("POST", path) for path in ("/", "/none", "/api/items")),
    *(Ask("HEAD", path) for path in ("/", "/none")),
    *map(get, ("/ui", "/ui/", "/ui/index.html", "/ui/none", "/uix")),
    get("/ui/none", **PAGE),
]


def compare(make: Any, asks: list[Ask]) -> None:
    """Tags are the server's own, and RFC 9110 wants Allow on a 405, which FastAPI has not."""
    got, expected, _, _ = answers(make, asks)
    for request, ours, theirs in zip(asks, got, expected, strict=True):
        if ours.status == theirs.status == 405:
            continue
        if request.target == "/%00":  # refused before it is routed
            assert (ours.status, theirs.status) == (400, 404)
            continue
        assert (ours.status, ours.body) == (theirs.status, theirs.body), request
        assert kept(ours) == kept(theirs), request


def kept(answer: Answer) -> dict[str, str]:
    fields = {k: v for k, v in answer.headers if k in ("content-type", "content-length")}
    return fields | {"location": re.sub(r":\d+/", "/", answer.fields.get("location", ""))}


@pytest.mark.parametrize("fallback", ["auto", "index.html", None, "404.html"])
@pytest.mark.parametrize("middleware", [False, True])
def test_a_frontend_is_fastapis(build: Path, fallback: Any, middleware: bool) -> None:
    if fallback == "404.html":
        (build / "404.html").write_text("lost")

    def make(fw: Framework) -> Any:
        app, router = fw.App(), fw.Router(prefix="/ui")
        app.frontend("/", directory=build, fallback=fallback)

        @app.get("/api/items")
        async def items():
            return []

        router.frontend("/", directory=build / "guide")
        app.include_router(router)
        if middleware:

            @app.middleware("http")
            async def around(request: Any, call_next: Any):
                return await call_next(request)

        return app

    compare(make, ASKS)


def test_dependencies_of_a_router_stand_before_its_files(build: Path) -> None:
    def make(fw: Framework) -> Any:
        async def token(token: str) -> None:
            if token != "t":
                raise fw.HTTPException(403)

        app, router = fw.App(), fw.Router(dependencies=[fw.Depends(token)])
        router.frontend("/in", directory=build)
        app.include_router(router, prefix="/all")
        return app

    paths = ("/all/in/", "/all/in/?token=t", "/all/in/?token=x", "/all/in?token=t", "/all")
    compare(make, [get(path) for path in paths])


def test_what_is_mounted_has_its_own(build: Path, serve: Serve) -> None:
    app, sub = weft.App(), weft.App()
    sub.frontend("/", directory=build)
    app.mount("/sub", sub)
    client = serve(app)
    assert client.get("/sub/assets/app.js").text == "app()"
    assert client.get("/assets/app.js").status_code == 404


def test_what_has_to_be_there(
    build: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    app = weft.App()
    with pytest.raises(RuntimeError, match="no frontend directory"):
        app.frontend("/", directory=build / "none")
    with pytest.raises(RuntimeError, match=r"no 404\.html in"):
        app.frontend("/", directory=build, fallback="404.html")
    with pytest.raises(ValueError, match="fallback is one of"):
        app.frontend("/", directory=build, fallback="x.html")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="start with '/'"):
        app.frontend("ui", directory=build)
    app.frontend("/", directory=build / "none", check_dir=False)
    assert not recwarn
    monkeypatch.setenv("WEFT_ENV", "development")
    with pytest.warns(UserWarning, match="no frontend directory"):
        app.frontend("/", directory=build / "none")
