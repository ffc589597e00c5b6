"""What README and the guide show is what happens."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from examples.bookshop.main import app as bookshop

from weft import App
from weft.listing import routes_table
from weft.scaffold import make_project
from weft.testing import TestClient

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # what pages write is not left in the clone


README = (ROOT / "README.md").read_text()
PAGES = {path.stem: path.read_text() for path in sorted((ROOT / "docs/guide").glob("*.md"))}
FIRST_STEPS = PAGES["first-steps"]


def blocks(page: str, language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [text for name, text in fenced if name == language]


def exchanges(page: str) -> Iterator[tuple[str, str]]:
    """Each `$ curl ...` and the line after it, where there is one that is a reply."""
    for block in blocks(page, ""):
        lines = iter(block.replace("\\\n", " ").splitlines())
        command = ""
        for line in lines:
            if line.startswith("$ curl "):
                command = line.partition("#")[0]
            elif command and line:
                yield command, line
                command = ""


def ask(client: TestClient, command: str) -> Any:
    """Does what a curl command does."""
    words = shlex.split(command)[2:]
    url, method, headers, body = "", "", {}, None
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = words.pop(0).encode()
        else:
            url = word.removeprefix("http://127.0.0.1:8000")
    method = method or ("POST" if body is not None else "GET")
    return client.request(method, url, content=body, headers=headers).json()


def app_of(source: str) -> App:
    namespace: dict[str, Any] = {"__name__": "main"}
    exec(compile(source, "main.py", "exec", dont_inherit=True), namespace)
    found = namespace["app"]
    assert isinstance(found, App)
    return found


def test_the_readme_asks_the_bookshop() -> None:
    shown = list(exchanges(README))
    assert len(shown) == 3
    with TestClient(bookshop) as client:
        for command, reply in shown:
            assert ask(client, command) == json.loads(reply), command


def test_the_readme_begins_with_a_service() -> None:
    with TestClient(app_of(blocks(README, "python")[0])) as client:
        assert client.get("/books/1?discount=0.2").json() == {"title": "Solaris", "price": 7.0}
        assert client.get("/books/2").json() == {"detail": "There is no such book"}
        assert client.get("/books/x?discount=y").status_code == 422


def asked(page: str) -> Iterator[tuple[str, str, str]]:
    """Each exchange of a page, with the source of the service it asks: the last before it."""
    source = ""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        if language == "python" and "app = App(" in block:
            source = block
        elif language == "":
            yield from ((source, *shown) for shown in exchanges(f"```\n{block}```\n"))


# How many replies each page shows: none is to be overlooked.
SHOWN = {
    "first-steps": 3,
    "dependencies": 3,
    "security": 9,
    "forms": 2,
    "streaming": 1,
    "coming-from-flask": 4,
    "deployment": 1,
    "middleware": 3,
    "static-files": 3,
    "mounts": 5,
    "parameters": 7,
    "replies": 3,
    "errors": 4,
    "route-classes": 3,
    "background": 1,
}


@pytest.mark.parametrize("name", PAGES)
def test_the_guide_asks_its_services(name: str) -> None:
    shown = list(asked(PAGES[name]))
    assert len(shown) == SHOWN.get(name, 0)
    for source, command, reply in shown:
        with TestClient(app_of(source)) as client:
            assert ask(client, command) == json.loads(reply), command


WITHOUT_OUTPUT = ("apt ", "pip ", "python3 ", ".venv/", ". ", "weft ", "cd ", "pytest", "docker ")
CHECKED_ELSEWHERE = ("METHOD ", "event: article\n", "$ weft main:app\n")  # by the tests below


@pytest.mark.parametrize("name", PAGES)
def test_the_guide_shows_no_output_that_no_test_looks_at(name: str) -> None:
    for block in blocks(PAGES[name], ""):
        if block.startswith(CHECKED_ELSEWHERE):
            continue
        for part in block.replace("\\\n", " ").strip().split("\n\n"):
            command, *output = part.split("\n")
            if command.startswith("$ curl "):
                assert len(output) == 1, part  # which `exchanges` finds
            else:
                assert all(line.startswith(WITHOUT_OUTPUT) for line in part.split("\n")), part


def test_streaming_shows_the_events() -> None:
    (shown,) = [b for b in blocks(PAGES["streaming"], "") if b.startswith("event: ")]
    with TestClient(app_of(blocks(PAGES["streaming"], "python")[0])) as client:
        assert client.get("/news").text == shown


def test_first_steps_shows_what_the_server_says(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(blocks(FIRST_STEPS, "python")[0])
    (shown,) = [b for b in blocks(FIRST_STEPS, "") if b.startswith("$ weft main:app")]
    command = [sys.executable, "-m", "weft", "main:app", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, text=True, stderr=subprocess.PIPE) as served:
        assert served.stderr is not None
        said = (line.rstrip("\n") for line in served.stderr if line.startswith("INFO:"))
        try:
            for line in shown.splitlines()[1:]:
                pattern = re.escape(line).replace("4711", r"\d+").replace("8000", r"\d+")
                assert re.fullmatch(pattern, next(said, ""))
        finally:
            served.terminate()


def test_the_home_page_begins_with_a_service() -> None:
    (shown,) = blocks((ROOT / "docs/index.md").read_text(), "python")
    assert shown == blocks(FIRST_STEPS, "python")[0]


def test_the_guide_documents_its_words() -> None:
    document = app_of(blocks(PAGES["openapi"], "python")[0]).openapi()
    assert document["info"]["title"] == "Words"
    operation = document["paths"]["/words"]["get"]
    assert operation["description"].startswith("Look words up.")
    assert operation["parameters"][0]["description"] == "what to look for"


def test_the_guide_has_the_dockerfile_of_new_projects(tmp_path: Path) -> None:
    make_project(tmp_path / "my-api")
    (shown,) = blocks(PAGES["deployment"], "dockerfile")
    assert shown == (tmp_path / "my-api/Dockerfile").read_text()


OPTIONAL = ("pydantic", "msgspec", "jinja2", "attrs")  # what weft itself does not bring


@pytest.mark.parametrize("name", PAGES)
def test_the_guide_says_what_its_snippets_take(name: str) -> None:
    taken = set(
        re.findall(r"^(?:from|import) (\w+)", "\n".join(blocks(PAGES[name], "python")), re.M)
    )
    for package in taken.intersection(OPTIONAL):
        assert re.search(rf"pip install [^`\n]*\b{package}\b", PAGES[name]), package


TESTED = [
    (name, block)
    for name, page in PAGES.items()
    if name != "testing"  # which pytest runs, fixtures and all
    for block in blocks(page, "python")
    if "app = App(" in block and "\ndef test_" in block
]


@pytest.mark.parametrize(("name", "block"), TESTED, ids=[name for name, _ in TESTED])
def test_the_guide_tests_its_services(name: str, block: str) -> None:
    namespace: dict[str, Any] = {"__name__": "test_main"}
    exec(compile(block, "test_main.py", "exec", dont_inherit=True), namespace)
    tests = [test for key, test in namespace.items() if key.startswith("test_")]
    assert tests
    for test in tests:
        test()


@pytest.mark.parametrize("name", ["testing", "first-steps"])
def test_the_guide_tests_by_pytest(name: str, tmp_path: Path) -> None:
    """A service, the first of the page, and files of tests that import it, as users have them."""
    service, *others = blocks(PAGES[name], "python")
    tests = [block for block in others if "def test_" in block]
    assert "app = App(" in service
    assert tests
    (tmp_path / "main.py").write_text(service)
    for i, block in enumerate(tests):
        (tmp_path / f"test_{i}.py").write_text(block)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    written = "\n".join(tests)
    count = len(re.findall(r"^(?:async )?def test_", written, re.MULTILINE))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(rf"^{count} passed", ran.stdout, re.MULTILINE), ran.stdout


SESSIONS = {name: page for name, page in PAGES.items() if ">>> " in page}


@pytest.mark.parametrize("name", SESSIONS)
def test_what_the_guide_types_into_python_is_answered_so(name: str) -> None:
    text = "\n".join(block for block in blocks(SESSIONS[name], "python") if ">>> " in block)
    found = doctest.DocTestParser().get_doctest(text, {"__name__": "guide"}, name, name, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    assert found.examples
    report: list[str] = []
    runner.run(found, out=report.append)
    assert runner.failures == 0, "".join(report)


def test_the_guide_renders_its_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGES["templates"]
    (tmp_path / "templates").mkdir()
    shown = re.findall(
        r"^`templates/(\S+)`:\n\n```html\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    )
    assert [name for name, _ in shown] == ["book.html", "hello.html"]
    for name, source in shown:
        (tmp_path / "templates" / name).write_text(source)
    monkeypatch.chdir(tmp_path)
    books, hello = [app_of(source) for source in blocks(page, "python")]
    with TestClient(books, base_url="http://127.0.0.1:8000") as client:
        assert client.get("/books/2").text + "\n" == blocks(page, "html")[1]
        assert client.get("/books/9").status_code == 404
    with TestClient(hello) as client:
        assert client.get("/hello", headers={"cookie": "user=ann"}).text == "Hello ann!"


def test_bodies_of_first_steps() -> None:
    notes = next(source for source in blocks(FIRST_STEPS, "python") if "/notes" in source)
    with TestClient(app_of(notes)) as client:
        assert client.post("/notes", content=b"{").status_code == 422
        assert client.post("/notes", json=[]).status_code == 422
        assert client.post("/notes", json={}).json() == {"detail": "A note has a text"}
        assert client.post("/blobs", content=b"\0" * 3).json() == 3
        assert client.post("/uploads", content=b"\0" * 100_000).json() == 100_000


def test_first_steps_shows_the_routes() -> None:
    table = next(block for block in blocks(FIRST_STEPS, "") if block.startswith("METHOD"))
    app = app_of(blocks(FIRST_STEPS, "python")[0])
    assert routes_table(app) == table.rstrip()


def test_performance_shows_the_plans() -> None:
    table = next(b for b in blocks(PAGES["performance"], "") if b.startswith("METHOD"))
    assert routes_table(app_of(blocks(PAGES["performance"], "python")[0])) == table.rstrip()


def test_the_reference_is_of_what_there_is() -> None:
    named = [
        name
        for path in (ROOT / "docs/reference").glob("*.md")
        for name in re.findall(r"^::: (\S+)$", path.read_text(), re.MULTILINE)
    ]
    assert "weft.App" in named
    for name in named:
        thing = pkgutil.resolve_name(name)
        assert inspect.ismodule(thing) or inspect.getdoc(thing), name


PUBLIC = [
    "weft",
    "weft.bson",
    "weft.concurrency",
    "weft.datastructures",
    "weft.encoders",
    "weft.exception_handlers",
    "weft.exceptions",
    "weft.json",
    "weft.loop",
    "weft.middleware",
    "weft.openapi",
    "weft.params",
    "weft.requests",
    "weft.security",
    "weft.shapes",
    "weft.sse",
    "weft.status",
    "weft.testing",
]


def public_names(module: str) -> set[str]:
    found = importlib.import_module(module)
    names = getattr(found, "__all__", None)
    return set(names or (name for name in vars(found) if not name.startswith("_")))


def referred() -> set[str]:
    """The names that the reference has by themselves, as members of a module, or with all of it."""
    names: set[str] = set()
    for path in (ROOT / "docs/reference").glob("*.md"):
        entry = r"^::: (\S+)$(?:\n    options:\n      members: \[(.*)\])?"
        for name, members in re.findall(entry, path.read_text(), re.MULTILINE):
            if members:
                names.update(members.split(", "))
            elif inspect.ismodule(pkgutil.resolve_name(name)):
                names.update(public_names(name))
            names.add(name.rpartition(".")[2])
    return names


@pytest.mark.parametrize("module", PUBLIC)
def test_what_is_public_is_in_the_reference(module: str) -> None:
    assert public_names(module) - referred() == set()


SERVICES = [b for page in PAGES.values() for b in blocks(page, "python") if "app = App" in b]


@pytest.mark.parametrize("source", SERVICES)
def test_services_of_the_guide_start(source: str) -> None:
    with TestClient(app_of(source)) as client:
        assert client.get("/nowhere").status_code == 404
