"""What README and the guide show is what happens."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from examples.bookshop.main import app as bookshop

from weft import App
from weft.cli import routes_table
from weft.testing import TestClient

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
FIRST_STEPS = (ROOT / "docs/guide/first-steps.md").read_text()


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
    exec(compile(source, "main.py", "exec"), namespace)
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


def test_first_steps_asks_its_service() -> None:
    sources = blocks(FIRST_STEPS, "python")
    notes = next(source for source in sources if "/notes" in source)
    shown = list(exchanges(FIRST_STEPS))
    assert len(shown) == 3
    for command, reply in shown:
        with TestClient(app_of(notes if "/notes" in command else sources[0])) as client:
            assert ask(client, command) == json.loads(reply), command


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


@pytest.mark.parametrize("source", [b for b in blocks(FIRST_STEPS, "python") if "app = App" in b])
def test_services_of_first_steps_start(source: str) -> None:
    with TestClient(app_of(source)) as client:
        assert client.get("/nowhere").status_code == 404
