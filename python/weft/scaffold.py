"""What `weft new` makes: a small project that runs, is tested, and can be deployed."""

from __future__ import annotations

import re
from pathlib import Path

from weft.loading import Problem

_FILES = {
    "main.py": '''\
"""The API of {name}. Serve it with `weft dev main:app`, or `weft main:app` in production."""

from typing import Annotated

from weft import App, HTTPException, Query

app = App(title="{name}")
notes: dict[int, str] = {{1: "Water the plants"}}


@app.get("/notes")
async def list_notes(limit: Annotated[int, Query(ge=1, le=100)] = 20) -> list[str]:
    """The notes, oldest first."""
    return list(notes.values())[:limit]


@app.get("/notes/{{note_id}}")
async def read_note(note_id: int) -> str:
    """One note."""
    if note_id not in notes:
        raise HTTPException(404, "There is no such note")
    return notes[note_id]


@app.get("/health", include_in_schema=False)
async def health() -> dict[str, bool]:
    """For whoever watches the service."""
    return {{"ok": True}}
''',
    "test_main.py": '''\
"""Run with `pytest`."""

from collections.abc import Iterator

import pytest
from weft.testing import TestClient

from main import app


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def test_notes_are_listed(client: TestClient) -> None:
    assert client.get("/notes").json() == ["Water the plants"]


def test_limit_is_checked(client: TestClient) -> None:
    reply = client.get("/notes", params={{"limit": 0}})
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["query", "limit"]


def test_unknown_note_is_404(client: TestClient) -> None:
    assert client.get("/notes/2").status_code == 404
''',
    # Not weft itself: by that name the package index has another project.
    "requirements.txt": "pydantic\n",
    "requirements-dev.txt": "-r requirements.txt\nhttpx\npytest\n",
    "Dockerfile": """\
FROM python:3.13-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt \\
    && pip install --no-cache-dir --no-deps drf-spectacular-sidecar
# what `pip wheel` has made, see README.md
COPY wheels wheels
RUN pip install --no-cache-dir --no-index --no-deps wheels/weft-*.whl
COPY main.py .
USER nobody
EXPOSE 8000
CMD ["weft", "main:app", "--host", "0.0.0.0"]
""",
    ".dockerignore": ".git\n.venv\n__pycache__\ntest_*.py\n",
    ".gitignore": ".venv\n__pycache__\n.pytest_cache\nwheels\n",
    "README.md": """\
# {name}

WEFT is the path of a clone of weft. It is not on the package index, where the name is another
project's.

    python3 -m venv .venv && . .venv/bin/activate
    pip install WEFT -r requirements-dev.txt
    pip install --no-deps drf-spectacular-sidecar      # the files of /docs
    weft dev main:app          # http://127.0.0.1:8000/docs and http://127.0.0.1:8000/_weft/
    pytest

The image takes a wheel of weft, made by the Python that it has:

    docker run --rm -v WEFT:/weft -v "$PWD/wheels":/wheels python:3.13-slim sh -c \\
        "apt-get update && apt-get install -y gcc libc6-dev &&
         pip wheel --no-deps --wheel-dir /wheels /weft"
    docker build -t {image} . && docker run -p 8000:8000 {image}
""",
}


def make_project(directory: Path) -> list[str]:
    """Makes it in a new directory; the names of its files. `Problem` when it cannot."""
    name = directory.resolve().name
    image = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "app"
    if not re.fullmatch(r"[\w .-]+", name):
        raise Problem(f"{name!r} is no name for a project: use letters, digits, '-' and '_'.")
    try:
        directory.mkdir(parents=True)
        for file, text in _FILES.items():
            (directory / file).write_text(text.format(name=name, image=image), encoding="utf-8")
    except FileExistsError:
        raise Problem(f"{directory} exists already: choose another name.") from None
    except OSError as exc:
        raise Problem(f"cannot make {directory}: {exc.strerror}.") from None
    return list(_FILES)
