"""Jinja2 templates, beside Starlette's."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest

from tests.peer import Framework, answers, get, on_weft
from tests.peer import ask as send
from weft import App, Request
from weft.templating import Jinja2Templates

PAGES = {
    "page.html": "<p>{{ text }}</p>{{ request.method }} {{ lang }}{{ missing }}",
    "links.html": "{{ url_for('item', item_id=7) }} {{ url_for('sub:inner') }} "
    "{{ url_for('s', path='/x.css') }}",
    "no_route.html": "{{ url_for('nothing') }}",
    "broken.html": "{% if %}",
    "raises.html": "{{ 1 / 0 }}",
    "plain.txt": "{{ text }}",
    "base.html": "<main>{% block body %}{% endblock %}</main>\n",
    "child.html": "{% extends 'base.html' %}{% block body %}{{ 'é' }}{% endblock %}\n",
}


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    for name, text in PAGES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def site(fw: Framework, directory: Any) -> Any:
    """Routes for every argument of TemplateResponse, and for what goes wrong."""
    app, sub, log = fw.App(), fw.App(), fw.log

    def language(request: Any) -> dict[str, Any]:
        return {"lang": request.headers.get("accept-language", "?"), "text": "the processor's"}

    plain = fw.Jinja2Templates(directory=directory)
    processed = fw.Jinja2Templates(directory, context_processors=[language])
    loader = jinja2.DictLoader(
        {"raw.txt": "{{ text }} {{ url_for }}", "link.txt": "{{ url_for('item', item_id=1) }}"}
    )
    env = jinja2.Environment(loader=loader)
    env.globals["url_for"] = "mine"
    own = fw.Jinja2Templates(env=env)

    @app.get("/page")
    async def page(request: fw.Request, text: str = "<b>&'\"") -> Any:  # type: ignore[name-defined]
        return plain.TemplateResponse(request, "page.html", {"text": text})

    @app.get("/threaded")
    def threaded(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return plain.TemplateResponse(request=request, name="page.html", context={"text": "t"})

    @app.get("/processed")
    async def with_processor(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return processed.TemplateResponse(request, "page.html", {"text": "the handler's"})

    @app.get("/all")
    async def everything(request: fw.Request) -> Any:  # type: ignore[name-defined]
        async def later() -> None:
            log.append("background")

        reply = plain.TemplateResponse(
            request,
            "page.html",
            context={"text": 1, "request": request},
            status_code=418,
            headers={"x-own": "1"},
            media_type="application/xhtml+xml",
            background=fw.BackgroundTask(later),
        )
        log.append((reply.template.name, sorted(reply.context), reply.status_code))
        return reply

    @app.get("/text")
    async def text(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return plain.TemplateResponse(
            request, "plain.txt", {"text": "<b>"}, media_type="text/plain"
        )

    @app.get("/child", response_class=fw.HTMLResponse)
    async def child(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return plain.TemplateResponse(request, "child.html")

    @app.get("/own")
    async def own_env(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return own.TemplateResponse(request, "raw.txt", {"text": "<b>"}, media_type="text/plain")

    @app.get("/named/{name}")
    async def named(name: str, request: fw.Request) -> Any:  # type: ignore[name-defined]
        try:
            return plain.TemplateResponse(request, name)
        except Exception as exc:
            log.append(type(exc).__name__)
            raise fw.HTTPException(500, "a template") from None

    @app.get("/raises")
    async def raises(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return plain.TemplateResponse(request, "raises.html")

    @app.get("/links")
    async def links(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return plain.TemplateResponse(request, "links.html")

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> Any:
        return item_id

    @sub.get("/inner")
    async def inner(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return plain.TemplateResponse(request, "page.html", {"text": "inner"})

    app.mount("/sub", sub, name="sub")
    app.mount("/s", fw.StaticFiles(directory=str(directory)), name="s")
    return app


def test_pages_are_starlettes(pages: Path) -> None:
    def make(fw: Framework) -> Any:
        return site(fw, pages)

    asks = [
        get("/page"), get("/page?text=%3Cscript%3E"), get("/threaded"), get("/processed"),
        get("/processed", accept_language="de"),
        get("/all"), get("/child"), get("/text"), get("/own"),
        get("/links", host="shop.example"), get("/sub/inner"),
        get("/named/missing.html"), get("/named/broken.html"), get("/named/..%2Fsecret"),
        get("/raises"),
    ]  # fmt: skip
    ours, theirs, our_log, their_log = answers(make, asks)
    for request, our, their in zip(asks, ours, theirs, strict=True):
        if request.target == "/raises":
            assert our.status == their.status == 500
            continue
        assert (our.status, our.headers, our.body) == (their.status, their.headers, their.body), (
            request
        )
    assert our_log == their_log
    assert b"&lt;b&gt;&amp;&#39;&#34;" in ours[0].body


def test_several_directories_are_looked_in_one_after_the_other(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, names in ((first, ["a"]), (second, ["a", "b"])):
        folder.mkdir()
        for name in names:
            (folder / f"{name}.html").write_text(f"{name} of {folder.name}")

    def make(fw: Framework) -> Any:
        app = fw.App()
        templates = fw.Jinja2Templates(directory=[first, second])

        @app.get("/{name}")
        async def page(name: str, request: fw.Request) -> Any:  # type: ignore[name-defined]
            return templates.TemplateResponse(request, f"{name}.html")

        return app

    ours, theirs, _, _ = answers(make, [get("/a"), get("/b")])
    assert [a.body for a in ours] == [a.body for a in theirs] == [b"a of first", b"b of second"]


def test_a_template_that_has_changed_is_read_again(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    templates = Jinja2Templates(tmp_path)
    assert templates.get_template("page.html").render() == "old"
    assert templates.get_template("page.html") is templates.get_template("page.html")
    page.write_text("newer")
    os.utime(page, (1, 1))
    assert templates.get_template("page.html").render() == "newer"


def test_url_for_that_finds_nothing_is_an_error_of_the_handler(
    pages: Path, server_errors: Any
) -> None:
    app = App()
    templates = Jinja2Templates(pages)

    @app.get("/{name}")
    async def page(name: str, request: Request) -> Any:
        return templates.TemplateResponse(request, name)

    with on_weft(app) as port:
        assert send(port, get("/no_route.html")).status == 500
        assert send(port, get("/nowhere.html")).status == 500
        assert send(port, get("/page.html")).status == 200
    assert [type(e) for e in server_errors()] == [LookupError, jinja2.TemplateNotFound]


def test_a_directory_or_an_environment_and_not_both(tmp_path: Path) -> None:
    for arguments in ({}, {"directory": tmp_path, "env": jinja2.Environment()}):
        with pytest.raises(ValueError, match="a directory or an env"):
            Jinja2Templates(**arguments)  # type: ignore[arg-type]


def test_without_jinja2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "weft.templating")
    with pytest.raises(ImportError, match=r"pip install jinja2"):
        importlib.import_module("weft.templating")
