"""The guide's page of limits has all of them, with the numbers of the code and its answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import pytest

from weft import App, Body, UploadFile
from weft.routing import FormLimits
from weft.server import DRAIN_SECONDS, Limits
from weft.testing import TestClient

from .connections import connect, reply

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/guide/limits.md").read_text()
HEADERS = {path: path.read_text() for path in (ROOT / "src").rglob("*.h")}
SHOWN = {name: int(n) for name, n in re.findall(r"^\| `([^`]+)` \| (\d+)\b", PAGE, re.MULTILINE)}


def number(expression: str) -> int:
    """What a constant of the C code is."""
    assert re.fullmatch(r"[\d *<()]+", expression), expression
    return int(eval(expression))


def listed(name: str) -> dict[str, int]:
    """The defaults in a list of limits: X(name, default, "reason")."""
    (source,) = [text for text in HEADERS.values() if f"#define {name}(X)" in text]
    rows = re.search(rf"#define {name}\(X\)((?:.*\\\n)*.*)", source)
    assert rows is not None
    found = re.findall(r"X\((\w+), ([^\"]+), \"", rows[1])
    return {name: number(value) for name, value in found}


def test_defaults_are_those_of_the_server() -> None:
    ours = {**listed("WF_SERVER_LIMITS"), "drain_timeout_ms": round(DRAIN_SECONDS * 1000)}
    assert ours.keys() == Limits.__annotations__.keys()
    assert {name: SHOWN.get(name) for name in ours} == ours


def test_defaults_are_those_of_forms() -> None:
    theirs = listed("WF_FORM_LIMITS")
    named = {
        "max_files": theirs["files_max"],
        "max_fields": theirs["fields_max"],
        "max_part_size": theirs["field_bytes_max"],
    }
    assert named.keys() == FormLimits.__annotations__.keys()
    assert {name: SHOWN.get(f'form_limits["{name}"]') for name in named} == named


def test_fixed_limits_are_those_of_the_code() -> None:
    named = {name: n for name, n in SHOWN.items() if name.startswith("WF_")}
    code = "\n".join(HEADERS.values())
    assert named
    for name, shown in named.items():
        value = re.search(rf"\b{name}\s*=\s*([\d *<]+)", code)
        assert value is not None, name
        assert number(value[1]) == shown, name


# ---- what is answered ----


@pytest.fixture
def client() -> Any:
    app = App()

    @app.post("/json")
    async def json(data: Annotated[Any, Body()]) -> None: ...

    @app.post("/upload")
    async def upload(file: UploadFile) -> None: ...

    with TestClient(app) as client:
        yield client


def post(path: str, content_type: str, body: bytes, *fields: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "host: x", f"content-type: {content_type}", *fields]
    if "transfer-encoding: chunked" not in fields:
        head.append(f"content-length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


def part(*fields: str) -> bytes:
    """A form with a file whose part has these fields too."""
    own = 'content-disposition: form-data; name="file"; filename="a"'
    return "\r\n".join(["--b", own, *fields, "", "x", "--b--", ""]).encode()


def chunked(extension: str = "", trailer: str = "") -> bytes:
    return post(
        "/json",
        "application/json",
        f"1{extension}\r\n1\r\n0\r\n{trailer}\r\n".encode(),
        "transfer-encoding: chunked",
    )


def boundary(length: int) -> bytes:
    b = "b" * length
    return post(
        "/upload", f"multipart/form-data; boundary={b}", part().replace(b"--b", f"--{b}".encode())
    )


def form(*fields: str) -> bytes:
    return post("/upload", "multipart/form-data; boundary=b", part(*fields))


BEYOND = {
    "WF_HTTP1_NAME_MAX": lambda n: post("/json", "application/json", b"1", "a" * n + ": 1"),
    "WF_CHUNK_EXT_MAX": lambda n: chunked(extension=";" + "a" * n),
    "WF_TRAILER_BYTES_MAX": lambda n: chunked(trailer="a: " + "b" * (n - 6) + "\r\n"),
    "WF_JSON_DEPTH_MAX": lambda n: post("/json", "application/json", b"[" * n + b"]" * n),
    "WF_MULTIPART_BOUNDARY_MAX": boundary,
    "WF_MULTIPART_HEAD_MAX": lambda n: form("a: " + "b" * (n - 100)),
    "WF_MULTIPART_FIELDS_MAX": lambda n: form(*["a: b"] * (n - 1)),
}


@pytest.mark.parametrize("name", BEYOND)
def test_what_is_beyond_a_fixed_limit_is_answered_as_the_page_says(client: Any, name: str) -> None:
    row = re.search(rf"^\| `{name}` \|.*\| (\d+) \|$", PAGE, re.MULTILINE)
    assert row is not None
    limit, status = SHOWN[name], int(row[1])
    slack = 100 if name == "WF_MULTIPART_HEAD_MAX" else 0  # of the part's own field
    for n, expected in ((limit, 200), (limit + 1 + slack, status)):
        with connect(client) as sock:
            sock.sendall(BEYOND[name](n))
            with reply(sock) as answer:
                assert answer.status == expected, n
