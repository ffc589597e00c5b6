"""Clients generated from the bookshop's document: they compile, and talk to the server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.bookshop.main import app

from weft.testing import TestClient

TYPESCRIPT = Path(__file__).parent / "clients" / "typescript"

# Generators say the same under every Python, and nothing of a sanitizer.
pytestmark = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11) or "libasan" in os.environ.get("LD_PRELOAD", ""),
    reason="it is enough to generate clients once",
)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="module")
def document(client: TestClient, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(json.dumps(client.get("/openapi.json").json()))
    return path


def run(*command: str | Path, cwd: Path) -> None:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_typescript_client(client: TestClient, document: Path, tmp_path: Path) -> None:
    node = shutil.which("node")
    packages = TYPESCRIPT / "node_modules"
    if node is None or not packages.is_dir():
        pytest.skip(
            "node is not installed, or its packages are not: npm ci in tests/clients/typescript"
        )
    (tmp_path / "node_modules").symlink_to(packages)
    for name in ("client.ts", "tsconfig.json", "package.json"):
        shutil.copy(TYPESCRIPT / name, tmp_path)
    bin = packages / ".bin"
    run(bin / "openapi-typescript", document, "-o", "api.d.ts", cwd=tmp_path)
    run(bin / "tsc", "--project", ".", cwd=tmp_path)
    run(node, "client.js", f"http://127.0.0.1:{client._worker.port}", cwd=tmp_path)


CLIENT = """
import sys
from bookshop_client import Client
from bookshop_client.api.default import (
    create_book_books_post, delete_book_books_book_id_delete, get_book_books_book_id_get,
    list_books_books_get,
)
from bookshop_client.models import Book, HTTPValidationError, NewBook, Problem

client = Client(base_url=sys.argv[1])
new = NewBook(title="Ficciones", author="Borges", year=1944, price=12.5, tags=["stories"])
made = create_book_books_post.sync(client=client, body=new)
assert isinstance(made, Book) and made.tags == ["stories"], made
assert get_book_books_book_id_get.sync(made.id, client=client) == made
listed = list_books_books_get.sync(client=client, tag=["stories"])
assert listed["total"] == 1, listed
missing = get_book_books_book_id_get.sync(999, client=client)
assert isinstance(missing, Problem) and missing.detail == "There is no book 999", missing
wrong = list_books_books_get.sync(client=client, limit=1000)
assert isinstance(wrong, HTTPValidationError), wrong
sold = delete_book_books_book_id_delete.sync_detailed(made.id, client=client)
assert sold.status_code == 204, sold
"""


def test_python_client(client: TestClient, document: Path, tmp_path: Path) -> None:
    pytest.importorskip("openapi_python_client")
    generate = [sys.executable, "-m", "openapi_python_client", "generate", "--path", document]
    run(*generate, "--meta", "none", "--output-path", "bookshop_client", cwd=tmp_path)
    run(sys.executable, "-m", "compileall", "-q", "bookshop_client", cwd=tmp_path)
    (tmp_path / "use.py").write_text(CLIENT)
    run(sys.executable, "use.py", f"http://127.0.0.1:{client._worker.port}", cwd=tmp_path)
