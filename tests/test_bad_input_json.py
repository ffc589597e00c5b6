"""Bodies of JSON made to hurt: a definite status, in bounded time and memory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any

import pytest

from weft import App, Body, Request

from .wire import Served, post, served

JSON = b"content-type: application/json"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    app = App()

    @app.post("/any")
    async def any_(body: Annotated[Any, Body()]) -> str:
        return type(body).__name__

    @app.post("/dict")
    async def dict_(body: dict[str, Any]) -> int:
        return len(body)

    @app.post("/embedded")
    async def embedded(a: Annotated[int, Body()], b: Annotated[str, Body()]) -> int:
        return a

    @app.post("/ints")
    async def ints(body: list[int]) -> int:
        return len(body)

    @app.post("/names")
    async def names(body: dict[str, int]) -> int:
        return len(body)

    @app.post("/request")
    async def request(request: Request) -> str:
        try:
            return type(await request.json()).__name__
        except ValueError:
            return "refused"

    @app.post("/echo")
    async def echo(body: Annotated[Any, Body()]) -> Any:
        return body

    with served(app) as server:
        yield server


def nested(n: int) -> bytes:
    return b"[" * n + b"]" * n


# status of /any: what FastAPI's is, which is 400 where json.loads itself gives up
BODIES = {
    "depth 512": (nested(512), 200),
    "100,000 deep": (nested(100_000), 400),
    "100,000 opened": (b"[" * 100_000, 400),
    "100,000 objects opened": (b'{"a":' * 100_000, 400),
    "5,000,000 opened": (b"[" * 5_000_000, 400),
    "deep and mixed": (b'[{"a":' * 50_000 + b"1" + b"}]" * 50_000, 400),
    "a million in a list": (b"[" + b"1," * 1_000_000 + b"1]", 200),
    "a million empty lists": (b"[" + b"[]," * 1_000_000 + b"[]]", 200),
    "a million keys": (b"{" + b",".join(b'"%d":0' % i for i in range(500_000)) + b"}", 200),
    "a million times one key": (b"{" + b'"a":0,' * 1_000_000 + b'"a":1}', 200),
    "a long string": (b'"' + b"a" * (9 * MIB) + b'"', 200),
    "only escapes": (b'"' + b"\\u0041" * MIB + b'"', 200),
    "only backslashes": (b'"' + b"\\\\" * (4 * MIB) + b'"', 200),
    "a string without an end": (b'"' + b"a" * (9 * MIB), 422),
    "escapes without an end": (b'"' + b"\\" * (4 * MIB), 422),
    "only spaces": (b" " * (9 * MIB), 422),
    "spaces around": (b" " * (4 * MIB) + b"1" + b" " * (4 * MIB), 200),
    "an int of 4,300 digits": (b"9" * 4300, 200),
    "an int of 4,301 digits": (b"9" * 4301, 400),
    "an int of a million digits": (b"9" * 1_000_000, 400),
    "a million digits behind the point": (b"0." + b"1" * 1_000_000, 200),
    "a huge exponent": (b"1e999999999999999999", 200),
    "a tiny exponent": (b"1e-999999999999999999", 200),
    "a million digits and an exponent": (b"1" * 1_000_000 + b"e-999990", 200),
    "NaN": (b"NaN", 200),
    "Infinity": (b"[-Infinity]", 200),
    "a lone surrogate": (b'"\\ud800"', 200),
    "not UTF-8": (b'"\xff"', 400),
    "half a character": (b'"\xc3"', 400),
    "NUL": (b"\0", 422),
    "NUL behind": (b"1\0", 422),
    "two values": (b"1 2", 422),
    "a comment": (b"/**/1", 422),
    "a comma too many": (b"[1,]", 422),
    "single quotes": (b"{'a': 1}", 422),
    "a control byte": (b'"\x01"', 422),
    "a byte order mark": (b"\xef\xbb\xbf1", 200),
    "a leading zero": (b"01", 422),
}


@pytest.mark.parametrize("row", BODIES)
def test_bodies(server: Served, row: str) -> None:
    body, status = BODIES[row]
    started = time.monotonic()
    with server.connect() as client:
        reply = client.send(post("/any", body, JSON)).reply()
        assert reply is not None
        assert reply.status == status, reply.body[:200]
        assert client.is_open()
    assert time.monotonic() - started < 20
    assert server.is_well()


@pytest.mark.parametrize("row", BODIES)
@pytest.mark.parametrize("path", ["/dict", "/embedded", "/request"])
def test_other_ways_to_read_it(server: Served, row: str, path: str) -> None:
    body = BODIES[row][0]
    reply = server.ask(post(path, body, JSON))
    assert reply is not None
    assert reply.status in (200, 400, 422)
    assert len(reply.body) < 2 * len(body) + 1000


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (b"[" + b'"",' * 999 + b'""]', 1000),
        (b"[" + b'"",' * 1000 + b'""]', "The input has 1001 errors"),
        (b"[" + b'"",' * 1_000_000 + b'""]', "The input has 1000001 errors"),
    ],
)
def test_as_many_errors_as_fit(server: Served, body: bytes, errors: int | str) -> None:
    started = time.monotonic()
    reply = server.ask(post("/ints", body, JSON))
    assert reply is not None
    assert reply.status == 422
    detail = json.loads(reply.body)["detail"]
    assert len(detail) == (errors if isinstance(errors, int) else 1)
    assert isinstance(errors, int) or detail[0]["msg"] == errors
    assert time.monotonic() - started < 30  # not as long as the square of them takes


@pytest.mark.parametrize(
    ("body", "loc", "input"),
    [
        (b'{"a": NaN}', ["body", "a"], None),
        (b'{"a": "\\ud800"}', ["body", "a"], "\\ud800"),
        (b'{"\\ud800": "x"}', ["body", "\ufffd\ufffd\ufffd"], "x"),
        (b'{"a": ' + nested(511) + b"}", ["body", "a"], None),
        (b'{"a": "x"}', ["body", "a"], "x"),
    ],
)
def test_errors_of_what_cannot_be_said(
    server: Served, body: bytes, loc: list[str], input: Any
) -> None:
    reply = server.ask(post("/names", body, JSON))
    assert reply is not None
    assert reply.status == 422
    [error] = json.loads(reply.body)["detail"]
    assert (error["loc"], error["input"]) == (loc, input)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[NaN]", 500),  # read as Python reads it, and has no JSON to be sent as
        (b'"\\ud800"', 500),
        (nested(512), 200),
        (b'"\\u0000\\u001f\\u2028</script>"', 200),
        (b"[1e308, -0.0, 5e-324, 123456789012345678901234567890]", 200),
    ],
)
def test_sent_back(server: Served, body: bytes, status: int) -> None:
    with server.connect() as client:
        reply = client.send(post("/echo", body, JSON)).reply()
        assert reply is not None
        assert reply.status == status
        assert client.is_open()


@pytest.mark.parametrize(
    ("field", "as_json"),
    [
        (b"content-type: application/json", True),
        (b"content-type: APPLICATION/JSON ; charset=utf-16", True),
        (b"content-type: application/a+json", True),
        (b"content-type: text/plain", False),
        (b"content-type: application/json/x", False),
        (b"content-type: " + b"a/" * 1000, False),
        (b"content-type:", False),
        (b"content-type: application/json;" + b";" * 10_000, True),
    ],
)
def test_what_is_json(server: Served, field: bytes, as_json: bool) -> None:
    reply = server.ask(post("/any", b"{}", field))
    assert reply is not None
    assert (reply.status, reply.body) == (200, b'"dict"' if as_json else b'"bytes"')
