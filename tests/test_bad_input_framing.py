"""Requests that break the rules of HTTP: each is refused, and the next client is none the worse.

A row says what is sent, the status it gets, and whether the connection is of use afterwards.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Annotated, Any

import pytest

from weft import App, Body, Form, Request

from .wire import Served, get, head, post, served

OPEN, CLOSED = True, False


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    app = App()

    @app.post("/whole")
    async def whole(body: Annotated[bytes, Body()] = b"") -> int:
        return len(body)

    @app.post("/stream")
    async def stream(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    @app.post("/ignored")
    async def ignored() -> int:
        return -1

    @app.post("/form")
    async def form(a: Annotated[str, Form()]) -> str:
        return a

    @app.get("/path/{rest:path}")
    async def path(rest: str, q: str = "") -> list[str]:
        return [rest, q]

    with served(app) as server:
        yield server


def check(server: Served, data: bytes, status: int | None, state: bool) -> None:
    with server.connect() as client:
        reply = client.send(data).reply()
        assert (reply.status if reply else None) == status, reply
        if reply is not None:
            assert reply.field("connection") == (None if state is OPEN else "close")
        assert client.is_open() is state
    assert server.is_well()


# ---- the request line ----

TARGET_MAX = 16 * 1024

REQUEST_LINES = {
    "a good one": (b"GET /ok HTTP/1.1", 200, OPEN),
    "1.0": (b"GET /ok HTTP/1.0", 200, CLOSED),
    "0.9": (b"GET /ok", 400, CLOSED),
    "1.2": (b"GET /ok HTTP/1.2", 505, CLOSED),
    "2.0": (b"GET /ok HTTP/2.0", 505, CLOSED),
    "3": (b"GET /ok HTTP/3", 400, CLOSED),
    "0.9 said": (b"GET /ok HTTP/0.9", 505, CLOSED),
    "1.10": (b"GET /ok HTTP/1.10", 400, CLOSED),
    "01.1": (b"GET /ok HTTP/01.1", 400, CLOSED),
    "1,1": (b"GET /ok HTTP/1,1", 400, CLOSED),
    "lower case": (b"GET /ok http/1.1", 400, CLOSED),
    "another protocol": (b"GET /ok RTSP/1.1", 400, CLOSED),
    "a space behind the version": (b"GET /ok HTTP/1.1 ", 400, CLOSED),
    "two spaces": (b"GET  /ok HTTP/1.1", 400, CLOSED),
    "a tab": (b"GET\t/ok HTTP/1.1", 400, CLOSED),
    "a space first": (b" GET /ok HTTP/1.1", 400, CLOSED),
    "HTTP/2's preface": (b"PRI * HTTP/2.0", 505, CLOSED),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, CLOSED),
    "no method": (b"/ok HTTP/1.1", 400, CLOSED),
    "an unknown method": (b"BREW /ok HTTP/1.1", 405, OPEN),
    "lower case method": (b"get /ok HTTP/1.1", 405, OPEN),
    "a method that is no token": (b"G@T /ok HTTP/1.1", 400, CLOSED),
    "an endless method": (b"G" * 1000 + b" /ok HTTP/1.1", 501, CLOSED),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1", 501, CLOSED),
    "no target": (b"GET HTTP/1.1", 400, CLOSED),
    "no slash": (b"GET ok HTTP/1.1", 400, CLOSED),
    "a star for GET": (b"GET * HTTP/1.1", 400, CLOSED),
    "a star and more": (b"OPTIONS */ok HTTP/1.1", 400, CLOSED),
    "a star": (b"OPTIONS * HTTP/1.1", 200, OPEN),
    "a fragment": (b"GET /ok#top HTTP/1.1", 400, CLOSED),
    "a space in it": (b"GET /o k HTTP/1.1", 400, CLOSED),
    "NUL": (b"GET /ok\0 HTTP/1.1", 400, CLOSED),
    "a control byte": (b"GET /ok\x7f HTTP/1.1", 400, CLOSED),
    "UTF-8": ("GET /ü HTTP/1.1".encode(), 400, CLOSED),
    "UTF-8 in the query": ("GET /ok?q=ü HTTP/1.1".encode(), 400, CLOSED),
    "Latin-1": (b"GET /\xfc HTTP/1.1", 400, CLOSED),
    "quotes": (b'GET /"<>" HTTP/1.1', 400, CLOSED),
    "a bare CR": (b"GET /ok\r HTTP/1.1", 400, CLOSED),
    "absolute": (b"GET http://a/ok HTTP/1.1", 200, OPEN),
    "absolute without a path": (b"GET http://a HTTP/1.1", 404, OPEN),
    "absolute without a host": (b"GET http:///ok HTTP/1.1", 400, CLOSED),
    "absolute with a user": (b"GET http://u:p@a/ok HTTP/1.1", 400, CLOSED),
    "absolute with a bad port": (b"GET http://a:99999/ok HTTP/1.1", 400, CLOSED),
    "another scheme": (b"GET ftp://a/ok HTTP/1.1", 400, CLOSED),
    "as long as may be": (b"GET /" + b"x" * (TARGET_MAX - 1) + b" HTTP/1.1", 404, OPEN),
    "too long": (b"GET /" + b"x" * TARGET_MAX + b" HTTP/1.1", 414, CLOSED),
    "much too long": (b"GET /" + b"x" * 200_000 + b" HTTP/1.1", 414, CLOSED),
    "too long a query": (b"GET /ok?" + b"x" * TARGET_MAX + b" HTTP/1.1", 414, CLOSED),
    "too long an authority": (b"GET http://" + b"x" * TARGET_MAX + b"/ HTTP/1.1", 414, CLOSED),
}


@pytest.mark.parametrize("row", REQUEST_LINES)
def test_request_lines(server: Served, row: str) -> None:
    line, status, state = REQUEST_LINES[row]
    check(server, head(line, b"host: a"), status, state)


@pytest.mark.parametrize(
    ("before", "status"), [(b"\r\n", 200), (b"\r\n\r\n", 200), (b"\r\n" * 3, 400), (b"\n", 400)]
)
def test_empty_lines_before_it(server: Served, before: bytes, status: int) -> None:
    check(server, before + get("/ok"), status, status == 200)


# ---- percent-encoding ----

PATHS = {
    "a good one": ("/path/%C3%BC?q=%C3%BC", ["ü", "ü"]),
    "nothing behind %": ("/path/%", 400),
    "one digit": ("/path/%4", 400),
    "no digits": ("/path/%zz", 400),
    "a sign": ("/path/%+1", 400),
    "a lone byte": ("/path/%ff", 400),
    "half of a character": ("/path/%c3", 400),
    "an overlong slash": ("/path/%c0%af", 400),
    "a surrogate": ("/path/%ed%a0%80", 400),
    "past the last character": ("/path/%f5%80%80%80", 400),
    "NUL": ("/path/%00", 400),
    "line breaks": ("/path/%0d%0aset-cookie:%20a=b", ["\r\nset-cookie: a=b", ""]),
    "a slash": ("/path/a%2Fb", ["a/b", ""]),
    "dots": ("/path/../ok", ["../ok", ""]),
    "twice": ("/path/%2541", ["%41", ""]),
    # what a query says is for the application; it is read as urllib does
    "no digits in the query": ("/path/?q=%zz", ["", "%zz"]),
    "nothing behind % in the query": ("/path/?q=a%", ["", "a%"]),
    "a lone byte in the query": ("/path/?q=%ff", ["", "\ufffd"]),
    "a surrogate in the query": ("/path/?q=%ed%a0%80", ["", "\ufffd\ufffd\ufffd"]),
    "NUL in the query": ("/path/?q=%00", ["", "\0"]),
    "only punctuation": ("/path/?&&=&;&q", ["", ""]),
}


@pytest.mark.parametrize("row", PATHS)
def test_percent_encoding(server: Served, row: str) -> None:
    target, expected = PATHS[row]
    if isinstance(expected, int):
        check(server, get(target), expected, CLOSED)
        return
    reply = server.ask(get(target))
    assert reply is not None
    assert (reply.status, json.loads(reply.body)) == (200, expected)
    assert reply.field("set-cookie") is None


def test_no_redirect_splits(server: Served) -> None:
    for target in ("/ok%0d%0aset-cookie:%20a=b/", "/ok/?%0d%0aset-cookie:%20a=b"):
        reply = server.ask(get(target))
        assert reply is not None
        assert reply.field("set-cookie") is None
        assert "\r" not in (reply.field("location") or "")


# ---- field lines ----

FIELDS = {
    "none but host": ((b"Host: a",), 200, OPEN),
    "no host": ((), 400, CLOSED),
    "two hosts": ((b"Host: a", b"Host: a"), 400, CLOSED),
    "two hosts that differ": ((b"Host: a", b"host: b"), 400, CLOSED),
    "an empty host": ((b"Host:",), 200, OPEN),
    "a host with a path": ((b"Host: a/b",), 400, CLOSED),
    "a host with a user": ((b"Host: u@a",), 400, CLOSED),
    "a host with a space": ((b"Host: a b",), 400, CLOSED),
    "a list of hosts": ((b"Host: a, b",), 400, CLOSED),
    "a host with a bad port": ((b"Host: a:b",), 400, CLOSED),
    "a host with a bracket": ((b"Host: [::1",), 400, CLOSED),
    "a host that is nearly IPv6": ((b"Host: [1::2::3]",), 400, CLOSED),
    "a space before the colon": ((b"Host: a", b"A : b"), 400, CLOSED),
    "a tab before the colon": ((b"Host: a", b"A\t: b"), 400, CLOSED),
    "a space in the name": ((b"Host: a", b"A B: c"), 400, CLOSED),
    "a space before the name": ((b"Host: a", b" A: b"), 400, CLOSED),
    "the first line folded": ((b" Host: a",), 400, CLOSED),
    "a folded line": ((b"Host: a", b"A: b", b" c"), 400, CLOSED),
    "a line folded with a tab": ((b"Host: a", b"A: b", b"\tc"), 400, CLOSED),
    "no name": ((b"Host: a", b": b"), 400, CLOSED),
    "no colon": ((b"Host: a", b"A"), 400, CLOSED),
    "an empty value": ((b"Host: a", b"A:"), 200, OPEN),
    "NUL in the name": ((b"Host: a", b"A\0: b"), 400, CLOSED),
    "NUL in the value": ((b"Host: a", b"A: b\0c"), 400, CLOSED),
    "a control byte in the value": ((b"Host: a", b"A: b\x08c"), 400, CLOSED),
    "DEL in the value": ((b"Host: a", b"A: b\x7fc"), 400, CLOSED),
    "a tab in the value": ((b"Host: a", b"A: b\tc"), 200, OPEN),
    "Latin-1 in the value": ((b"Host: a", b"A: \xfc"), 200, OPEN),
    "Latin-1 in the name": ((b"Host: a", b"\xfc: a"), 400, CLOSED),
    "a bare CR in the value": ((b"Host: a", b"A: b\rc"), 400, CLOSED),
    "a bare CR at the end": ((b"Host: a", b"A: b\r"), 400, CLOSED),
    "a bare LF in the value": ((b"Host: a", b"A: b\nc: d"), 400, CLOSED),
    "a bare LF at the end": ((b"Host: a", b"A: b\n"), 400, CLOSED),
    "a long name": ((b"Host: a", b"A" * 256 + b": b"), 200, OPEN),
    "too long a name": ((b"Host: a", b"A" * 257 + b": b"), 431, CLOSED),
    "an endless name": ((b"Host: a", b"A" * 300_000), 431, CLOSED),
    "a long value": ((b"Host: a", b"A: " + b"b" * 60_000), 200, OPEN),
    "too long a head": ((b"Host: a", b"A: " + b"b" * 66_000), 431, CLOSED),
    "an endless head": ((b"Host: a", b"A: " + b"b" * 2_000_000), 431, CLOSED),
    "many lines": ((b"Host: a", *(b"A: b" for _ in range(99))), 200, OPEN),
    "too many lines": ((b"Host: a", *(b"A: b" for _ in range(100))), 431, CLOSED),
    "too many empty-valued lines": ((b"Host: a", *(b"A:" for _ in range(20_000))), 431, CLOSED),
}


@pytest.mark.parametrize("row", FIELDS)
def test_field_lines(server: Served, row: str) -> None:
    lines, status, state = FIELDS[row]
    check(server, head(b"GET /ok HTTP/1.1", *lines), status, state)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /ok HTTP/1.1\nhost: a\n\n",
        b"GET /ok HTTP/1.1\r\nhost: a\n\r\n",
        b"GET /ok HTTP/1.1\r\nhost: a\r\n\n",
        b"GET /ok HTTP/1.1\rhost: a\r\r",
        b"GET /ok HTTP/1.1\n\r\nhost: a\r\n\r\n",
    ],
)
def test_lines_that_end_wrongly(server: Served, data: bytes) -> None:
    check(server, data, 400, CLOSED)


# ---- how long the body is ----

FRAMINGS = {
    "a length": ((b"content-length: 4",), b"body", 200, OPEN),
    "leading zeros": ((b"content-length: 0004",), b"body", 200, OPEN),
    "nothing": ((), b"", 200, OPEN),
    "a sign": ((b"content-length: +4",), b"body", 400, CLOSED),
    "below zero": ((b"content-length: -4",), b"body", 400, CLOSED),
    "minus nothing": ((b"content-length: -0",), b"", 400, CLOSED),
    "hexadecimal": ((b"content-length: 0x4",), b"body", 400, CLOSED),
    "an underscore": ((b"content-length: 0_4",), b"body", 400, CLOSED),
    "a fraction": ((b"content-length: 4.0",), b"body", 400, CLOSED),
    "an exponent": ((b"content-length: 4e0",), b"body", 400, CLOSED),
    "a space": ((b"content-length: 0 4",), b"body", 400, CLOSED),
    "a comment": ((b"content-length: 4;a",), b"body", 400, CLOSED),
    "empty": ((b"content-length:",), b"body", 400, CLOSED),
    "a word": ((b"content-length: four",), b"body", 400, CLOSED),
    "another script's digit": (("content-length: ٤".encode(),), b"body", 400, CLOSED),
    "a superscript": ((b"content-length: \xb2",), b"bo", 400, CLOSED),
    "a list": ((b"content-length: 4, 4",), b"body", 400, CLOSED),
    "a list that conflicts": ((b"content-length: 4, 5",), b"body", 400, CLOSED),
    "twice": ((b"content-length: 4", b"content-length: 4"), b"body", 400, CLOSED),
    "in conflict": ((b"content-length: 4", b"content-length: 5"), b"body", 400, CLOSED),
    "too much": ((b"content-length: 10485761",), b"body", 413, CLOSED),
    "huge": ((b"content-length: 9223372036854775807",), b"body", 413, CLOSED),
    "past 63 bits": ((b"content-length: 9223372036854775808",), b"body", 400, CLOSED),
    "past 64 bits": ((b"content-length: 18446744073709551620",), b"body", 400, CLOSED),
    "a hundred digits": ((b"content-length: " + b"9" * 100,), b"body", 400, CLOSED),
    "a length and chunks": (
        (b"content-length: 4", b"transfer-encoding: chunked"),
        b"4\r\nbody\r\n0\r\n\r\n",
        400,
        CLOSED,
    ),
    "chunks and a length": (
        (b"transfer-encoding: chunked", b"content-length: 4"),
        b"4\r\nbody\r\n0\r\n\r\n",
        400,
        CLOSED,
    ),
    "chunks and no length": (
        (b"transfer-encoding: chunked", b"content-length: 0"),
        b"4\r\nbody\r\n0\r\n\r\n",
        400,
        CLOSED,
    ),
    "in capitals": ((b"TRANSFER-ENCODING: Chunked",), b"4\r\nbody\r\n0\r\n\r\n", 200, OPEN),
    "chunked twice": ((b"transfer-encoding: chunked, chunked",), b"0\r\n\r\n", 400, CLOSED),
    "chunked on two lines": ((b"transfer-encoding: chunked",) * 2, b"0\r\n\r\n", 400, CLOSED),
    "chunked not last": ((b"transfer-encoding: chunked, gzip",), b"0\r\n\r\n", 400, CLOSED),
    "chunked, then nothing": ((b"transfer-encoding: chunked,",), b"0\r\n\r\n", 400, CLOSED),
    "gzip": ((b"transfer-encoding: gzip",), b"body", 501, CLOSED),
    "gzip in chunks": ((b"transfer-encoding: gzip, chunked",), b"0\r\n\r\n", 501, CLOSED),
    "identity": ((b"transfer-encoding: identity",), b"body", 501, CLOSED),
    "nearly chunked": ((b"transfer-encoding: xchunked",), b"0\r\n\r\n", 501, CLOSED),
    "a quoted one": ((b'transfer-encoding: "chunked"',), b"0\r\n\r\n", 400, CLOSED),
    "a parameter": ((b"transfer-encoding: chunked;q=1",), b"0\r\n\r\n", 400, CLOSED),
    "an empty one": ((b"transfer-encoding:",), b"0\r\n\r\n", 400, CLOSED),
    "a control byte": ((b"transfer-encoding: \x0bchunked",), b"0\r\n\r\n", 400, CLOSED),
    "a space before the colon": ((b"transfer-encoding : chunked",), b"0\r\n\r\n", 400, CLOSED),
    "folded": ((b"transfer-encoding:", b" chunked"), b"0\r\n\r\n", 400, CLOSED),
}

BODY_PATHS = [b"/whole", b"/stream", b"/ignored"]


@pytest.mark.parametrize("path", BODY_PATHS)
@pytest.mark.parametrize("row", FRAMINGS)
def test_framing(server: Served, row: str, path: bytes) -> None:
    fields, body, status, state = FRAMINGS[row]
    check(server, head(b"POST %s HTTP/1.1" % path, b"host: a", *fields) + body, status, state)


def test_no_chunks_in_1_0(server: Served) -> None:
    data = head(b"POST /whole HTTP/1.0", b"host: a", b"transfer-encoding: chunked")
    check(server, data + b"0\r\n\r\n", 400, CLOSED)


# ---- chunks ----

CHUNKS = {
    "good ones": (b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\na: b\r\n\r\n", 200),
    "none": (b"0\r\n\r\n", 200),
    "a size of 16 digits": (b"0000000000000001\r\na\r\n0\r\n\r\n", 200),
    "a size of 17 digits": (b"00000000000000001\r\na\r\n0\r\n\r\n", 400),
    "a size that overflows 64 bits": (b"1" + b"0" * 16 + b"\r\n", 400),
    "a size that overflows the sign": (b"8000000000000000\r\n", 400),
    "the largest size": (b"FFFFFFFFFFFFFFFF\r\n", 400),
    "no size": (b"\r\nabc\r\n", 400),
    "a sign": (b"+3\r\nabc\r\n0\r\n\r\n", 400),
    "below zero": (b"-3\r\nabc\r\n0\r\n\r\n", 400),
    "0x": (b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    "an underscore": (b"0_3\r\nabc\r\n0\r\n\r\n", 400),
    "a space before": (b" 3\r\nabc\r\n0\r\n\r\n", 400),
    "a space behind": (b"3 \r\nabc\r\n0\r\n\r\n", 400),
    "no digit": (b"g\r\nabc\r\n0\r\n\r\n", 400),
    "a bare LF behind the size": (b"3\nabc\r\n0\r\n\r\n", 400),
    "a bare CR behind the size": (b"3\rabc\r\n0\r\n\r\n", 400),
    "no line end behind the data": (b"3\r\nabc0\r\n\r\n", 400),
    "a bare LF behind the data": (b"3\r\nabc\n0\r\n\r\n", 400),
    "a bare CR behind the data": (b"3\r\nabc\r0\r\n\r\n", 400),
    "data longer than its size": (b"3\r\nabcd\r\n0\r\n\r\n", 400),
    "a bare LF at the end": (b"3\r\nabc\r\n0\r\n\n", 400),
    "an extension": (b'3;a;b=c;d="e"\r\nabc\r\n0;x\r\n\r\n', 200),
    "a line break in an extension": (b"3;a\nb\r\nabc\r\n0\r\n\r\n", 400),
    "NUL in an extension": (b"3;a\0\r\nabc\r\n0\r\n\r\n", 400),
    "an endless extension": (b"3;" + b"a" * 5000 + b"\r\nabc\r\n0\r\n\r\n", 400),
    "endless extensions": (b"1;abcdefgh\r\na\r\n" * 600 + b"0\r\n\r\n", 400),
    "a bad trailer": (b"0\r\na b: c\r\n\r\n", 400),
    "a folded trailer": (b"0\r\na: b\r\n c\r\n\r\n", 400),
    "a trailer without a colon": (b"0\r\nabc\r\n\r\n", 400),
    "a bare LF in the trailers": (b"0\r\na: b\n\r\n", 400),
    "endless trailers": (b"0\r\n" + b"a: b\r\n" * 2000 + b"\r\n", 400),
}


@pytest.mark.parametrize("path", BODY_PATHS)
@pytest.mark.parametrize("row", CHUNKS)
def test_chunks(server: Served, row: str, path: bytes) -> None:
    body, status = CHUNKS[row]
    data = head(b"POST %s HTTP/1.1" % path, b"host: a", b"transfer-encoding: chunked") + body
    # nobody has looked at an ignored body when it is answered
    check(server, data, 200 if path == b"/ignored" else status, status == 200)


def test_chunks_byte_by_byte(server: Served) -> None:
    for path in BODY_PATHS:
        with server.connect() as client:
            line = b"POST %s HTTP/1.1" % path
            for byte in head(line, b"host: a", b"transfer-encoding: chunked"):
                client.send(bytes([byte]))
            for byte in b"3;a\r\nabc\r\n0\r\nx: y\r\n\r\n":
                client.send(bytes([byte]))
            reply = client.reply()
            assert reply is not None
            assert reply.body == (b"-1" if path == b"/ignored" else b"3")
            assert client.is_open()


# ---- what follows a body ----


@pytest.mark.parametrize("path", ["/whole", "/stream", "/ignored"])
def test_bytes_after_a_body_are_the_next_request(server: Served, path: str) -> None:
    with server.connect() as client:
        client.send(post(path, b"abc") + get("/ok") + post(path, b"") + get("/path/a"))
        replies = [client.reply() for _ in range(4)]
        assert [reply and reply.status for reply in replies] == [200] * 4
        assert [reply and reply.body for reply in replies][1::2] == [b'"ok"', b'["a",""]']
        assert client.is_open()


@pytest.mark.parametrize("path", ["/whole", "/stream", "/ignored"])
@pytest.mark.parametrize("garbage", [b"\0\0\0\0", b"x: y\r\n\r\n", b"abc\r\n", b"{}\n"])
def test_garbage_after_a_body(server: Served, path: str, garbage: bytes) -> None:
    with server.connect() as client:
        client.send(post(path, b"abc") + garbage)
        replies = [client.reply() for _ in range(3)]
        assert [reply and reply.status for reply in replies] == [200, 400, None]
    assert server.is_well()


def test_a_request_inside_a_body_is_none(server: Served) -> None:
    hidden = get("/path/hidden")
    with server.connect() as client:
        replies = [
            client.send(post(path, hidden)).reply() for path in ("/whole", "/stream", "/ignored")
        ]
        assert [reply and reply.body for reply in replies] == [b"%d" % len(hidden)] * 2 + [b"-1"]
        assert client.is_open()


@pytest.mark.parametrize("path", ["/whole", "/stream", "/ignored"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_ends_early(server: Served, path: str, chunked: bool) -> None:
    length = b"transfer-encoding: chunked" if chunked else b"content-length: 10"
    data = head(b"POST %s HTTP/1.1" % path.encode(), b"host: a", length)
    with server.connect() as client:
        client.send(data + (b"a\r\nabc" if chunked else b"abc"))
        if path == "/ignored":
            assert client.reply() is not None
        client.socket.shutdown(socket.SHUT_WR)
        reply = client.reply()
        assert (reply and reply.status) == (400 if path == "/whole" else None)
    assert server.is_well()


def test_a_head_that_ends_early(server: Served) -> None:
    for n in range(1, len(get("/ok"))):
        with server.connect() as client:
            client.send(get("/ok")[:n]).socket.shutdown(socket.SHUT_WR)
            reply = client.reply()
            assert reply is not None
            assert reply.status == 400
    assert server.is_well()


def everything() -> dict[str, Any]:
    """Every row above as bytes, for whoever wants to send them in another way."""
    rows = {f"line: {k}": head(v[0], b"host: a") for k, v in REQUEST_LINES.items()}
    rows |= {f"field: {k}": head(b"GET /ok HTTP/1.1", *v[0]) for k, v in FIELDS.items()}
    for path in BODY_PATHS:
        start = (b"POST %s HTTP/1.1" % path, b"host: a")
        name = path.decode()
        rows |= {f"{name}: {k}": head(*start, *v[0]) + v[1] for k, v in FRAMINGS.items()}
        chunked = head(*start, b"transfer-encoding: chunked")
        rows |= {f"{name}, chunks: {k}": chunked + v[0] for k, v in CHUNKS.items()}
    return rows


def test_in_two_pieces(server: Served) -> None:
    """How the bytes are cut changes nothing."""
    for row, data in everything().items():
        if len(data) > 5000:
            continue
        with server.connect() as client:
            whole = client.send(data).reply()
        for at in {1, len(data) // 2, len(data) - 1}:
            with server.connect() as client:
                cut = client.send(data[:at]).send(data[at:]).reply()
                assert (cut and cut.status) == (whole and whole.status), (row, at)


# ---- what the end of the connection cuts off (RFC 9112 section 8) ----

CUT_OFF = {
    "nothing at all": (b"", None),
    "empty lines": (b"\r\n\r\n", None),
    "half an empty line": (b"\r", None),
    "a letter": (b"G", 400),
    "a request line": (b"GET /ok HTTP/1.1\r\n", 400),
    "a head without its last line": (b"GET /ok HTTP/1.1\r\nhost: a\r\n", 400),
    "a body not begun": (post("/whole", b"abc")[:-3], 400),
    "a form": (post("/form", b"a=b", b"content-type: application/x-www-form-urlencoded")[:-1], 400),
}


@pytest.mark.parametrize("row", CUT_OFF)
@pytest.mark.parametrize("late", [False, True])
def test_a_request_cut_off_by_the_end_is_refused(server: Served, row: str, late: bool) -> None:
    data, status = CUT_OFF[row]
    with server.connect() as client:
        client.send(data)
        if late:  # the server has seen it before the end comes
            assert server.is_well()
        client.socket.shutdown(socket.SHUT_WR)
        reply = client.reply()
        assert (reply and (reply.status, reply.field("connection"))) == (
            status and (status, "close")
        )
        assert client.rest() == b""
    assert server.is_well()
