"""FileResponse beside FastAPI's, and what files do to a server."""

import gc
import os
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

import weft
from tests.peer import Ask, Framework, answers, on_weft
from weft.testing import TestClient

TEXT = bytes(range(256)) * 200  # more than is read at once


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "small.txt").write_bytes(b"0123456789")
    (tmp_path / "empty.bin").write_bytes(b"")
    (tmp_path / "large.bin").write_bytes(TEXT)
    (tmp_path / "page.html").write_text("<p>")
    (tmp_path / "sub").mkdir()
    return tmp_path


def make(fw: Framework, directory: Path) -> Any:
    app = fw.App()
    FileResponse = fw.FileResponse

    @app.get("/file/{name}")
    async def file(name: str, status: int = 200) -> Any:
        return FileResponse(directory / name, status_code=status)

    @app.api_route("/all/{name}", methods=["GET", "HEAD", "POST"])
    async def every_method(name: str) -> Any:
        return FileResponse(str(directory / name), headers={"x-a": "b", "etag": '"mine"'})

    @app.get("/named/{name}")
    async def named(name: str, inline: bool = False) -> Any:
        kind = "inline" if inline else "attachment"
        return FileResponse(
            directory / "small.txt",
            filename=name,
            media_type="text/x",
            content_disposition_type=kind,
        )

    @app.get("/class", response_class=FileResponse)
    async def by_class() -> Any:
        return str(directory / "page.html")

    return app


def get(target: str, method: str = "GET", **headers: str) -> Ask:
    return Ask(method, target, [(k.replace("_", "-"), v) for k, v in headers.items()])


RANGES = [
    "bytes=0-0", "bytes=2-4", "bytes=5-", "bytes=-3", "bytes=-100000", "bytes=0-100000",
    "bytes=0-1,4-5", "bytes=4-5,0-1", "bytes=0-3,2-5,-1", "bytes=0-0,2-2,4-4", "bytes=9-9,x",
    "bytes=100000-", "bytes=0-1,100000-", "bytes=5-4", "bytes=", "bytes=x", "lines=0-1", "bytes",
    "bytes=" + ",".join(["0-0"] * 100), "bytes=" + ",".join(["0-0"] * 101),
]  # fmt: skip

SAME = [
    *(get("/file/small.txt", range=value) for value in RANGES),
    *(get("/file/large.bin", range=value) for value in RANGES),
    get("/file/small.txt"),
    get("/file/empty.bin"),
    get("/file/empty.bin", range="bytes=0-0"),
    get("/file/large.bin"),
    get("/file/page.html"),
    get("/file/small.txt?status=404", range="bytes=0-1"),
    get("/all/small.txt", "HEAD"),
    get("/all/large.bin", "HEAD", range="bytes=0-1"),
    get("/all/small.txt", "POST", range="bytes=0-1"),
    get("/all/small.txt", range="bytes=0-1", if_range='"mine"'),
    get("/all/small.txt", range="bytes=0-1", if_range='W/"mine"'),
    get("/all/small.txt", range="bytes=0-1", if_range='"other"'),
    get("/named/a.txt"),
    get("/named/a.txt?inline=1"),
    get("/named/%C3%BC%20%22.txt"),
    get("/class"),
]


def comparable(answer: Any) -> Any:
    """Without what each server makes up by itself: the tag, and the boundary of several parts."""
    fields = answer.fields
    body = answer.body
    kind = fields.get("content-type", "")
    if kind.startswith("multipart/byteranges"):
        boundary = kind.partition("boundary=")[2]
        assert len(boundary) == 26
        body = body.replace(boundary.encode(), b"BOUNDARY")
        fields["content-type"] = kind.replace(boundary, "BOUNDARY")
    if fields.get("etag") != '"mine"':
        fields.pop("etag", None)
    return answer.status, sorted(fields.items()), body


def test_files_are_sent_as_starlette_sends_them(directory: Path) -> None:
    ours, theirs, _, _ = answers(lambda fw: make(fw, directory), SAME)
    for request, our, their in zip(SAME, ours, theirs, strict=True):
        assert comparable(our) == comparable(their), request


def test_tags_change_with_the_file(directory: Path) -> None:
    app = make(Framework("weft", ["weft"], {}), directory)
    with TestClient(app) as client:
        first = client.get("/file/small.txt").headers["etag"]
        assert client.get("/file/small.txt").headers["etag"] == first
        part = client.get("/file/small.txt", headers={"range": "bytes=0-1", "if-range": first})
        assert (part.status_code, part.content) == (206, b"01")
        os.utime(directory / "small.txt", (1, 1))
        assert client.get("/file/small.txt").headers["etag"] != first
        assert client.get("/file/small.txt").headers["last-modified"] == (
            "Thu, 01 Jan 1970 00:00:01 GMT"
        )


@pytest.mark.parametrize("name", ["nothing", "sub", "small.txt%2Fx"])
def test_what_is_no_file_is_a_500_and_a_line_in_the_log(directory: Path, name: str) -> None:
    app = make(Framework("weft", ["weft"], {}), directory)

    @app.get("/gone/{name:path}")
    async def gone(name: str) -> Any:
        return weft.FileResponse(directory / name)

    with (
        TestClient(app) as client,
        pytest.raises(RuntimeError, match=r"does not exist|is not a file"),
    ):
        client.get(f"/gone/{name}")


def test_a_path_has_no_nul() -> None:
    with pytest.raises(ValueError, match="NUL"):
        weft.FileResponse("a\0b")


def test_a_file_that_middleware_has_read_keeps_accept_ranges(directory: Path) -> None:
    app = weft.App()

    @app.get("/")
    async def file() -> Any:
        return weft.FileResponse(directory / "small.txt")

    @app.middleware("http")
    async def read(request: weft.Request, call_next: Any) -> Any:
        response = await call_next(request)
        body = b"".join([chunk async for chunk in response.body_iterator])
        return weft.Response(body.upper(), headers=dict(response.headers))

    with TestClient(app) as client:
        reply = client.get("/")
    assert (reply.text, reply.headers.get_list("accept-ranges")) == ("0123456789", ["bytes"])


def test_large_files_to_a_slow_client_and_one_that_leaves(tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(20_000_000)
    app = weft.App()
    ran: list[int] = []

    @app.get("/")
    async def big() -> Any:
        return weft.FileResponse(path, background=weft.BackgroundTask(ran.append, 1))

    with on_weft(app) as port:
        before = len(os.listdir("/proc/self/fd"))
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        with httpx.Client() as http:
            reply = http.get(f"http://127.0.0.1:{port}/")
        assert len(reply.content) == 20_000_000
        assert not reply.content.strip(b"\0")
        gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before
    assert ran == [1, 1]


def test_a_file_that_shrinks_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(bytes(8_000_000))
    app = weft.App()

    @app.get("/")
    async def big() -> Any:
        return weft.FileResponse(path)

    with on_weft(app) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        got = len(client.recv(1000))
        os.truncate(path, 1000)
        try:
            while chunk := client.recv(1 << 16):
                got += len(chunk)
        except ConnectionResetError:
            pass
        assert got < 8_000_000
