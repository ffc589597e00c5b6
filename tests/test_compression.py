"""Replies in gzip, br and zstd, beside Starlette's GZipMiddleware; and bodies that come in them."""

from __future__ import annotations

import gzip
import io
import random
import socket
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import brotli
import pytest
import zstandard
from starlette.middleware.gzip import GZipMiddleware as StarlettesGZip

import weft
from tests.connections import wait_until
from tests.peer import Answer, Ask, Framework, answers, ask, get, on_weft
from weft import App, Form, Request, UploadFile
from weft.middleware import CompressionMiddleware, CORSMiddleware, GZipMiddleware

TEXT = "weft draws a thread through the loop. " * 100


def unzstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


DECODE = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": unzstd,
}
ENCODE = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def service(fw: Framework) -> Any:
    app = fw.App()

    @app.get("/json")
    async def as_json() -> Any:
        return {"text": TEXT}

    @app.get("/small")
    async def small() -> Any:
        return {"a": 1}

    @app.get("/stream")
    async def stream() -> Any:
        return fw.StreamingResponse(iter([b"a" * 600, b"b" * 600, b"", b"c"]))

    @app.get("/of/{kind:path}")
    async def of_a_type(kind: str) -> Any:
        return fw.Response(TEXT, media_type=kind)

    @app.get("/untyped")
    async def untyped() -> Any:
        return fw.Response(TEXT)

    @app.get("/coded")
    async def coded() -> Any:
        return fw.Response(TEXT, headers={"content-encoding": "x-own"})

    @app.get("/part")
    async def part() -> Any:
        return fw.Response(TEXT, 206)

    @app.get("/vary")
    async def vary() -> Any:
        return fw.Response(TEXT, headers={"vary": "Cookie"})

    @app.get("/error")
    async def error() -> Any:
        raise fw.HTTPException(418, TEXT)

    @app.get("/empty")
    async def empty() -> Any:
        return fw.Response(status_code=204)

    return app


TARGETS = [
    "/json", "/small", "/stream", "/untyped", "/coded", "/part", "/vary", "/error", "/empty",
    "/nothing", "/of/text/plain", "/of/image/png", "/of/IMAGE/PNG", "/of/image/svg+xml",
    "/of/audio/ogg", "/of/application/grpc+proto", "/of/application/octet-stream",
    "/of/text/event-stream",
]  # fmt: skip


@pytest.mark.parametrize(
    "options", [{}, {"minimum_size": 3000, "compresslevel": 1}, {"minimum_size": 5000}]
)
def test_gzip_is_starlettes(options: dict[str, Any]) -> None:
    def make(fw: Framework) -> Any:
        app = service(fw)
        app.add_middleware(GZipMiddleware if fw.name == "weft" else StarlettesGZip, **options)
        return app

    asks = [get(target, **fields) for target in TARGETS for fields in (GZIP, {})]
    got, expected, _, _ = answers(make, asks)
    for request, ours, theirs in zip(asks, got, expected, strict=True):
        assert (ours.status, ours.headers) == (theirs.status, theirs.headers), request
        assert content(ours) == content(theirs), request
        # the same zlib, the same bytes; an empty chunk is flushed by Starlette's, not by ours
        assert ours.body == theirs.body or request.target == "/stream", request


GZIP = {"accept_encoding": "gzip"}


def content(answer: Answer) -> bytes:
    return DECODE.get(answer.fields.get("content-encoding", ""), bytes)(answer.body)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, br;q=0.9", "gzip"),
        ("GZIP;q=0.5, br;q=0.7", "br"),
        ("*", "zstd"),
        ("*;q=0.1, zstd;q=0", "br"),
        ("gzip;q=0", ""),
        ("gzip;q=0.5, identity", ""),
        ("gzip;q=0.5, identity;q=0.4", "gzip"),
        ("identity;q=0", ""),
        ("gzip;q=2", ""),
        ("deflate", ""),
        ("", ""),
    ],
)
def test_the_client_chooses(compressing: int, accepted: str, chosen: str) -> None:
    answer = ask(compressing, get("/json", accept_encoding=accepted))
    assert answer.fields.get("content-encoding", "") == chosen
    assert answer.fields["vary"] == "Accept-Encoding"
    assert content(answer) == b'{"text":"%s"}' % TEXT.encode()
    assert int(answer.fields["content-length"]) == len(answer.body)


def more(fw: Framework) -> Any:
    app = service(fw)
    app.add_middleware(CompressionMiddleware)

    @app.get("/tagged/{tag}")
    async def tagged(tag: str) -> Any:
        return weft.Response(TEXT, headers={"etag": f'W/"{tag}"' if tag == "weak" else f'"{tag}"'})

    @app.get("/as-it-is")
    async def as_it_is() -> Any:
        return weft.Response(TEXT, headers={"cache-control": "public, no-transform"})

    @app.get("/random")
    async def noise() -> Any:
        return weft.Response(zlib.compress(NOISE))

    @app.get("/large")
    async def large() -> Any:
        return weft.Response(LARGE)

    @app.get("/large-json")
    async def large_json() -> Any:
        return {"text": LARGE.decode()}

    @app.get("/file/{name}")
    async def file(name: str) -> Any:
        return weft.FileResponse(FILES[name])

    @app.api_route("/both/{what}", methods=["GET", "HEAD"])
    async def both(what: str) -> Any:
        if what in FILES:
            return weft.FileResponse(FILES[what])
        if what == "stream":
            return weft.StreamingResponse(iter([b"a" * 600, b"b"]))
        if what == "text":
            return weft.Response(TEXT, headers={"etag": '"a"'})
        return {"text": TEXT} if what == "json" else {}

    @app.get("/ticks")
    async def ticks(request: Request) -> Any:
        async def run() -> AsyncIterator[bytes]:
            for i in range(3):
                yield b"tick %d\n" % i
                await request.app.state.go.acquire()

        return weft.StreamingResponse(run(), media_type="text/plain")

    return app


NOISE = b"".join(zlib.crc32(b"%d" % i).to_bytes(4, "big") for i in range(2000))
LARGE = TEXT.encode() * 300  # what the stream borrows
FILES: dict[str, Path] = {}


@pytest.fixture(scope="module")
def compressing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    here = tmp_path_factory.mktemp("files")
    for name, size in (("small.txt", 3_000), ("page.txt", 200_000), ("huge.txt", 2_000_000)):
        FILES[name] = here / name
        FILES[name].write_bytes((TEXT.encode() * (size // len(TEXT) + 1))[:size])
    app = more(Framework("weft", ["weft", "weft.responses"], {}))
    with on_weft(app) as port:
        yield port


def test_an_etag_becomes_weak(compressing: int) -> None:
    assert ask(compressing, get("/tagged/a", **GZIP)).fields["etag"] == 'W/"a"'
    assert ask(compressing, get("/tagged/weak", **GZIP)).fields["etag"] == 'W/"weak"'
    assert ask(compressing, get("/tagged/a")).fields["etag"] == '"a"'


def test_what_says_no_transform_is_left_alone(compressing: int) -> None:
    answer = ask(compressing, get("/as-it-is", **GZIP))
    assert answer.body == TEXT.encode()
    assert answer.fields.keys().isdisjoint({"content-encoding", "vary"})


def test_what_would_grow_is_left_alone(compressing: int) -> None:
    for name in ENCODE:
        answer = ask(compressing, get("/random", accept_encoding=name))
        assert "content-encoding" not in answer.fields
        assert zlib.decompress(answer.body) == NOISE


@pytest.mark.parametrize("name", ENCODE)
def test_large_replies(compressing: int, name: str) -> None:
    answer = ask(compressing, get("/large", accept_encoding=name))
    assert len(answer.body) < len(LARGE) / 20
    assert content(answer) == LARGE


@pytest.mark.parametrize("name", ENCODE)
def test_long_replies_come_in_pieces(compressing: int, name: str) -> None:
    """As a stream does: nobody knows the length before the end."""
    for target, expected in (
        ("/large", LARGE),
        ("/large-json", b'{"text":"%s"}' % LARGE),
        ("/file/page.txt", FILES["page.txt"].read_bytes()),
    ):
        answer = ask(compressing, get(target, accept_encoding=name))
        assert content(answer) == expected
        assert answer.fields["transfer-encoding"] == "chunked"
        assert "content-length" not in answer.fields
        answer = ask(compressing, get(target))
        assert (answer.body, answer.fields["content-length"]) == (expected, str(len(expected)))


def test_a_long_reply_that_nobody_reads_holds_up_nobody() -> None:
    """But for what is asked behind it on the same connection, which comes behind it."""
    app = App()
    app.add_middleware(GZipMiddleware, 500, 9, 1000)
    body = random.Random(1).randbytes(4 << 20)  # what does not get shorter

    @app.get("/long")
    async def long() -> Any:
        return weft.Response(body)

    @app.get("/short")
    async def short() -> Any:
        return 1

    with on_weft(app) as port, socket.create_connection(("127.0.0.1", port), 20) as sock:
        ask_for_it = b"GET %s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
        sock.sendall(ask_for_it % b"/long" + ask_for_it % b"/short")
        stream = sock.makefile("rb")
        assert b" 200 " in stream.readline()
        assert ask(port, get("/short", **GZIP)).body == b"1"
        while stream.readline() != b"\r\n":
            pass
        coded = b""
        while size := int(stream.readline(), 16):
            coded += stream.read(size)
            stream.readline()
        assert gzip.decompress(coded) == body
        stream.readline()
        assert b" 200 " in stream.readline()  # what came behind it on the same connection


def test_a_long_reply_does_not_wait_for_what_comes_after_it() -> None:
    """It has all left before its dependency is taken back."""
    import asyncio

    app = App()
    app.add_middleware(CompressionMiddleware, piecewise_size=1000)
    go = asyncio.Event()
    over: list[int] = []

    async def held() -> AsyncIterator[int]:
        yield 1
        await asyncio.wait_for(go.wait(), 20)
        over.append(1)

    @app.get("/long")
    async def long(value: int = weft.Depends(held)) -> Any:
        return {"text": TEXT * 100}

    @app.get("/go")
    async def release() -> Any:
        go.set()
        return len(over)

    with on_weft(app) as port:
        answer = ask(port, get("/long", **GZIP))
        assert content(answer) == b'{"text":"%s"}' % (TEXT * 100).encode()
        assert ask(port, get("/go")).body == b"0"


@pytest.mark.parametrize("reset", [False, True])
def test_clients_leave_in_the_middle_of_a_long_reply(reset: bool) -> None:
    """What it was is let go of, and the server goes on."""
    import struct
    import weakref

    app = App()
    app.add_middleware(GZipMiddleware, 500, 9)
    left: list[weakref.ref[Any]] = []

    class Body(bytearray):
        pass

    @app.get("/long")
    async def long() -> Any:
        body = Body(NOISE * 500)
        left.append(weakref.ref(body))
        return weft.Response(body)

    with on_weft(app) as port:
        with socket.create_connection(("127.0.0.1", port), 20) as sock:
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(b"GET /long HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 200")
        assert wait_until(lambda: left[0]() is None)
        assert ask(port, get("/nothing")).status == 404


@pytest.mark.parametrize("name", ENCODE)
def test_files(compressing: int, name: str) -> None:
    for file in ("small.txt", "page.txt"):
        answer = ask(compressing, get(f"/file/{file}", accept_encoding=name))
        assert content(answer) == FILES[file].read_bytes()
        assert len(answer.body) < 1000
        assert answer.fields["etag"].startswith('W/"')
        assert "accept-ranges" not in answer.fields
        part = ask(compressing, get(f"/file/{file}", accept_encoding=name, range="bytes=5-9"))
        assert (part.status, part.body) == (206, FILES[file].read_bytes()[5:10])
        assert "content-encoding" not in part.fields
    # more than is compressed while everyone waits: sent by the kernel
    answer = ask(compressing, get("/file/huge.txt", accept_encoding=name))
    assert answer.body == FILES["huge.txt"].read_bytes()


@pytest.mark.parametrize("what", ["json", "stream", "text", "page.txt", "huge.txt", "small"])
def test_head_has_the_fields_of_get(compressing: int, what: str) -> None:
    ours = ask(compressing, Ask("HEAD", f"/both/{what}", [("accept-encoding", "gzip")]))
    theirs = ask(compressing, get(f"/both/{what}", **GZIP))
    assert ours.fields == theirs.fields
    assert ours.body == b""
    assert ("content-encoding" in ours.fields) is (what not in ("small", "huge.txt"))


@pytest.mark.parametrize("name", ENCODE)
def test_each_chunk_of_a_stream_arrives(name: str) -> None:
    """The next one is made only when the one before has been read."""
    import asyncio

    app = more(Framework("weft", ["weft", "weft.responses"], {}))
    app.state.go = asyncio.Semaphore(0)
    decoder: Any = {
        "gzip": lambda: zlib.decompressobj(31),
        "br": brotli.Decompressor,
        "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    }[name]()
    decode = decoder.process if name == "br" else decoder.decompress

    @app.get("/go")
    async def go() -> None:
        app.state.go.release()

    with on_weft(app) as port, socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(f"GET /ticks HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {name}\r\n\r\n".encode())
        stream = sock.makefile("rb")
        while (line := stream.readline()) != b"\r\n":
            assert b"content-length" not in line
        got = b""
        for i in range(3):
            while f"tick {i}\n".encode() not in got:
                size = int(stream.readline(), 16)
                got += decode(stream.read(size))
                stream.readline()
            assert got.count(b"\n") == i + 1
            assert ask(port, get("/go")).status == 200


def test_other_middleware_sees_what_is_sent() -> None:
    app = service(Framework("weft", ["weft", "weft.responses"], {}))
    app.add_middleware(CORSMiddleware, allow_origins=["https://a.example"])
    app.add_middleware(CompressionMiddleware, codings=["br"])
    with on_weft(app) as port:
        answer = ask(port, get("/json", accept_encoding="gzip, br", origin="https://a.example"))
        assert answer.fields["content-encoding"] == "br"
        assert answer.fields["vary"] == "Origin, Accept-Encoding"
        assert "content-encoding" not in ask(port, get("/json", **GZIP)).fields


def test_arguments_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="no content coding 'deflate'"):
        CompressionMiddleware(codings=["deflate"])
    with pytest.raises(TypeError, match="list"):
        CompressionMiddleware(codings="gzip")
    with pytest.raises(ValueError, match="at least 0"):
        CompressionMiddleware(-1)
    with pytest.raises(ValueError, match="at least 0"):
        CompressionMiddleware(piecewise_size=-1)


# ---- bodies of requests ----


def reading(**options: Any) -> App:
    app = App()

    @app.post("/json")
    async def of_json(value: dict[str, Any]) -> Any:
        return value

    @app.post("/form")
    async def of_form(text: Annotated[str, Form()], file: UploadFile) -> Any:
        return [len(text), len(await file.read())]

    @app.post("/stream")
    async def of_stream(request: Request) -> Any:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
        return [size, "content-encoding" in request.headers, "content-length" in request.headers]

    @app.post("/few", max_body_size=10_000)
    async def few(value: dict[str, Any]) -> Any:
        return value

    @app.post("/few-streamed", max_body_size=10_000)
    async def few_streamed(request: Request) -> Any:
        return len(await request.body())

    @app.post("/ignored")
    async def ignored() -> Any:
        return "ignored"

    return app


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with on_weft(reading()) as port:
        yield port


def post(port: int, target: str, body: bytes, coding: str, kind: str = "application/json") -> Any:
    fields = [("content-type", kind), ("content-encoding", coding)]
    return ask(port, Ask("POST", target, fields, body))


@pytest.mark.parametrize("name", ENCODE)
def test_bodies_are_decoded(port: int, name: str) -> None:
    body = b'{"text": "%s"}' % (TEXT.encode() * 100)
    answer = post(port, "/json", ENCODE[name](body), name.upper())
    assert answer.status == 200
    assert answer.body == b'{"text":"%s"}' % (TEXT.encode() * 100)
    assert post(port, "/stream", ENCODE[name](body), name).body == b"[%d,false,false]" % len(body)
    form = io.BytesIO()
    form.write(b'--B\r\ncontent-disposition: form-data; name="text"\r\n\r\nabc\r\n--B\r\n')
    form.write(b'content-disposition: form-data; name="file"; filename="f"\r\n\r\n')
    form.write(TEXT.encode() * 1000 + b"\r\n--B--\r\n")
    answer = post(
        port, "/form", ENCODE[name](form.getvalue()), name, "multipart/form-data; boundary=B"
    )
    assert answer.body == b"[3,%d]" % (1000 * len(TEXT))


@pytest.mark.parametrize("name", ENCODE)
def test_bodies_that_arrive_in_pieces(port: int, name: str) -> None:
    body = ENCODE[name](b'{"text": "%s"}' % TEXT.encode())
    for target in ("/json", "/stream"):
        with socket.create_connection(("127.0.0.1", port), 20) as sock:
            sock.sendall(
                f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                f"Content-Encoding: {name}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            )
            for i in range(len(body)):
                sock.sendall(b"1\r\n%c\r\n" % body[i])
            sock.sendall(b"0\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            reply = b""
            while some := sock.recv(65536):
                reply += some
        first, _, second = reply.partition(b"HTTP/1.1 404")
        assert first.startswith(b"HTTP/1.1 200 OK")
        assert second


@pytest.mark.parametrize("name", ENCODE)
@pytest.mark.parametrize("target", ["/few", "/few-streamed"])
def test_bombs_are_too_large(port: int, target: str, name: str) -> None:
    bomb = ENCODE[name](b" " * 50_000_000)
    assert len(bomb) < 60_000
    if len(bomb) > 10_000:  # zlib's best is a thousandth
        bomb = ENCODE[name](b" " * 5_000_000)
    answer = post(port, target, bomb, name)
    assert answer.status == 413
    assert post(port, target, ENCODE[name](b" " * 10_001), name).status == 413
    assert post(port, "/few-streamed", ENCODE[name](b" " * 10_000), name).body == b"10000"


@pytest.mark.parametrize("name", ENCODE)
@pytest.mark.parametrize("target", ["/json", "/stream"])
def test_malformed_bodies(port: int, target: str, name: str) -> None:
    whole = ENCODE[name](b'{"text": "%s"}' % TEXT.encode())
    damaged = [whole[:-1], whole[:10], whole + b"x", b'{"text": "not compressed"}', b"\0"]
    for body in damaged:
        answer = post(port, target, body, name)
        assert (answer.status, answer.fields["content-type"]) == (400, "application/json")
        assert b"Content-Encoding" in answer.body


@pytest.mark.parametrize("coding", ["deflate", "utf-8", "gzip, br, gzip", "gzip, x", "aws-chunked"])
def test_other_codings_are_unsupported(port: int, coding: str) -> None:
    for target in ("/json", "/stream", "/form"):
        answer = post(port, target, b'{"a": 1}', coding)
        assert answer.status == 415
        assert answer.fields["accept-encoding"] == "gzip, br, zstd"
    assert post(port, "/ignored", b"x", coding).status == 200


@pytest.mark.parametrize("last", ENCODE)
@pytest.mark.parametrize("first", ENCODE)
def test_two_codings_are_undone_in_turn(port: int, first: str, last: str) -> None:
    plain = b'{"text":"%s"}' % TEXT.encode()
    body = ENCODE[last](ENCODE[first](plain))
    assert post(port, "/json", body, f"{first}, {last}").body == plain
    streamed = post(port, "/stream", body, f"{first}, {last}").body
    assert streamed == b"[%d,false,false]" % len(plain)
    bomb = ENCODE[last](ENCODE[first](b" " * 5_000_000))
    assert len(bomb) < 10_000
    assert post(port, "/few", bomb, f"{first}, {last}").status == 413


def test_codings_in_several_fields(port: int) -> None:
    def fields(*codings: str) -> list[tuple[str, str]]:
        kind = ("content-type", "application/json")
        return [kind, *(("content-encoding", coding) for coding in codings)]

    body = gzip.compress(b'{"a": 1}')
    assert ask(port, Ask("POST", "/json", fields("gzip", "identity"), body)).status == 200
    twice = gzip.compress(body)
    assert ask(port, Ask("POST", "/json", fields("gzip", "gzip"), twice)).status == 200
    assert ask(port, Ask("POST", "/json", fields("gzip, gzip"), body)).status == 400
    assert ask(port, Ask("POST", "/json", fields("gzip", "gzip", "br"), twice)).status == 415
    assert ask(port, Ask("POST", "/json", fields(""), b'{"a": 1}')).status == 200
    assert ask(port, Ask("POST", "/json", fields("identity"), b'{"a": 1}')).status == 200


def test_bodies_can_be_kept_as_they_are() -> None:
    from weft.server import Config
    from weft.testing import Worker

    worker = Worker(reading(), Config(port=0, log_level="critical", decode_bodies=False))
    worker.start(lifespan=False)
    try:
        body = gzip.compress(b"weft")
        answer = post(worker.port, "/stream", body, "gzip")
        assert answer.body == b"[%d,true,true]" % len(body)
        assert post(worker.port, "/stream", b"x", "other").status == 200
    finally:
        worker.stop()
