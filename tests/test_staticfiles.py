"""StaticFiles beside Starlette's, over sockets, and what gets nobody out of a directory."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

import weft
from tests.peer import Ask, Framework, answers, ask, on_weft
from weft.staticfiles import StaticFiles
from weft.testing import TestClient


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "a.txt").write_bytes(b"0123456789")
    (root / "large.bin").write_bytes(bytes(range(256)) * 200)
    (root / "page.html").write_text("<p>")
    (root / "archive.tar.gz").write_bytes(b"x")
    (root / "noname").write_bytes(b"x")
    (root / ".hidden").write_bytes(b"h")
    (root / "ü ?.css").write_bytes(b"u")
    (root / "sub" / "index.html").write_text("index")
    (root / "inside.html").symlink_to("sub/index.html")
    (root / "outside").symlink_to("../secret.txt")
    (root / "up").symlink_to("..")
    (tmp_path / "secret.txt").write_text("secret")
    for path in root.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1_700_000_000, 1_700_000_000))
    return root


def get(target: str, method: str = "GET", **headers: str) -> Ask:
    return Ask(method, target, [(k.replace("_", "-"), v) for k, v in headers.items()])


DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
PATHS = [
    "/s/a.txt", "/s/a.txt/", "/s//a.txt", "/s/./a.txt", "/s/sub/../a.txt", "/s/large.bin",
    "/s/page.html", "/s/archive.tar.gz", "/s/noname", "/s/.hidden", "/s/%C3%BC%20%3F.css",
    "/s/sub/index.html", "/s/sub", "/s/sub/", "/s/empty", "/s/empty/", "/s/", "/s", "/s/nothing",
    "/s/nothing/", "/s/a.txt/b", "/s/inside.html", "/s/outside", "/s/up/secret.txt",
    "/s/../secret.txt", "/s/..%2Fsecret.txt", "/s/%2e%2e/secret.txt", "/s/sub/../../secret.txt",
    "/s/%5Ca.txt", "/s/%2Fetc/passwd", "/s//etc/passwd", "/s/" + "a" * 300, "/s/" + "b/" * 2000,
]  # fmt: skip
ASKS = [
    *(get(path) for path in PATHS),
    *(get("/s/a.txt", method) for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")),
    get("/s/sub?x=1"),
    get("/s/a.txt", range="bytes=2-4"),
    get("/s/a.txt", range="bytes=100-"),
    get("/s/a.txt", range="bytes=x"),
    get("/s/a.txt", "HEAD", range="bytes=2-4"),
    get("/s/large.bin", range="bytes=0-1"),
    get("/s/a.txt", range="bytes=" + ",".join(["0-0"] * 5000)),
    get("/s/a.txt", if_none_match="*"),
    get("/s/a.txt", if_none_match='"other"'),
    get("/s/a.txt", if_modified_since=DATE),
    get("/s/a.txt", "HEAD", if_modified_since=DATE),
    get("/s/a.txt", if_modified_since="Tue, 14 Nov 2023 22:13:19 GMT"),
    get("/s/a.txt", if_modified_since="yesterday"),
    get("/s/a.txt", if_none_match='"other"', if_modified_since=DATE),
    get("/s/a.txt", range="bytes=0-1", if_range=DATE),
    get("/s/a.txt", range="bytes=0-1", if_range='"other"'),
    get("/url"),
    get("/other"),
]


def comparable(answer: Any) -> Any:
    fields = answer.fields
    fields.pop("etag", None)  # of each server's own making
    if answer.status in (307, 400, 416):
        fields.pop("x-mw", None)  # these replies are C's, without what middleware in Python adds
    if "location" in fields:
        fields["location"] = fields["location"].partition("/s/")[2]
    body = b"" if b"http://" in answer.body else answer.body
    return answer.status, sorted(fields.items()), body


@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize("surrounded", [False, True])
def test_static_files_are_served_as_starlette_serves_them(
    directory: Path, html: bool, surrounded: bool
) -> None:
    if html:
        (directory / "404.html").write_text("not here")
        os.utime(directory / "404.html", (1_700_000_000, 1_700_000_000))

    def make(fw: Framework) -> Any:
        app = fw.App()
        app.mount("/s", fw.StaticFiles(directory=directory, html=html), name="files")

        @app.get("/url")
        async def url(request: fw.Request) -> Any:  # type: ignore[name-defined]
            return [str(request.url_for("files", path="/a/b.css")).partition("/s/")[2]]

        if surrounded:

            @app.middleware("http")
            async def mw(request: Any, call_next: Any) -> Any:
                response = await call_next(request)
                response.headers["x-mw"] = "1"
                return response

        return app

    ours, theirs, _, _ = answers(make, ASKS)
    for request, our, their in zip(ASKS, ours, theirs, strict=True):
        assert comparable(our) == comparable(their), request


def test_conditions_that_starlette_does_not_know(directory: Path) -> None:
    app = weft.App()
    app.mount("/s", StaticFiles(directory=directory))

    @app.get("/one")
    async def one() -> Any:
        return weft.FileResponse(directory / "a.txt")

    with TestClient(app) as client:
        for path in ("/s/a.txt", "/one"):
            etag = client.get(path).headers["etag"]
            for status, headers in [
                (304, {"if-none-match": etag}),
                (304, {"if-none-match": f'"x", W/{etag}'}),
                (304, {"if-modified-since": DATE}),
                (200, {"if-match": etag}),
                (200, {"if-match": "*"}),
                (412, {"if-match": '"x"'}),
                (412, {"if-match": f"W/{etag}"}),
                (412, {"if-unmodified-since": "Tue, 14 Nov 2023 22:13:19 GMT"}),
                (200, {"if-unmodified-since": DATE}),
                (206, {"if-match": etag, "range": "bytes=0-0"}),
                (412, {"if-match": '"x"', "range": "bytes=0-0"}),
            ]:
                reply = client.get(path, headers=headers)
                assert reply.status_code == status, headers
                if status in (304, 412):
                    assert (reply.content, reply.headers["etag"]) == (b"", etag)


def test_what_is_refused_goes_to_the_apps_exception_handlers(directory: Path) -> None:
    app = weft.App()
    app.mount("/s", StaticFiles(directory=directory))

    @app.exception_handler(404)
    async def not_found(request: weft.Request, exc: Any) -> Any:
        return weft.PlainTextResponse("mine", 404)

    with TestClient(app) as client:
        assert client.get("/s/nothing").text == "mine"
        assert client.get("/s/a.txt").text == "0123456789"


def test_variants(directory: Path) -> None:
    (directory / "a.txt.gz").write_bytes(b"gz")
    (directory / "a.txt.br").write_bytes(b"br")
    app = weft.App()
    app.mount("/s", StaticFiles(directory=directory, precompressed=True))
    app.mount("/plain", StaticFiles(directory=directory))
    with TestClient(app) as client:
        for accept, coding, body in [
            ("gzip", "gzip", b"gz"),
            ("gzip, br", "br", b"br"),
            ("br;q=0.5, gzip", "gzip", b"gz"),
            ("gzip;q=0", None, b"0123456789"),
            ("zstd", None, b"0123456789"),
        ]:
            with client.stream("GET", "/s/a.txt", headers={"accept-encoding": accept}) as reply:
                assert b"".join(reply.iter_raw()) == body
            assert reply.headers.get("content-encoding") == coding
            assert reply.headers["vary"] == "Accept-Encoding"
            assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        etags = set()
        for accept in ("gzip", "br", "identity"):
            with client.stream("GET", "/s/a.txt", headers={"accept-encoding": accept}) as reply:
                etags.add(reply.headers["etag"])
        assert len(etags) == 3
        with client.stream("GET", "/plain/a.txt", headers={"accept-encoding": "br"}) as reply:
            assert b"".join(reply.iter_raw()) == b"0123456789"
        assert "vary" not in reply.headers


def test_a_nul_in_a_path_is_a_bad_request(directory: Path) -> None:
    app = weft.App()
    app.mount("/s", StaticFiles(directory=directory))
    with on_weft(app) as port:  # where Starlette's answer is 404
        assert [ask(port, get(f"/s/{path}")).status for path in ("%00", "a.txt%00")] == [400, 400]


def test_symlinks_out_are_followed_where_that_is_asked_for(directory: Path) -> None:
    app = weft.App()
    app.mount("/s", StaticFiles(directory=directory, follow_symlink=True))
    with TestClient(app) as client:
        assert client.get("/s/outside").text == "secret"
        assert client.get("/s/../secret.txt").status_code == 404


def test_directories_are_looked_for_when_they_are_given(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="does not exist"):
        StaticFiles(directory=tmp_path / "nothing")
    with pytest.raises(RuntimeError, match="could not be found"):
        StaticFiles(packages=["nothing_of_that_name"])
    app = weft.App()
    app.mount("/", StaticFiles(directory=tmp_path / "later", check_dir=False))
    with TestClient(app) as client:
        assert client.get("/a").status_code == 404
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "a").write_text("a")
        assert client.get("/a").text == "a"


def test_files_follow_each_other_on_one_connection(directory: Path) -> None:
    app = weft.App()
    app.mount("/s", StaticFiles(directory=directory))
    with on_weft(app) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        one = b"GET /s/%s HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nxx"
        s.sendall(one % b"a.txt" + one % b"large.bin" + one % b"nothing" + one % b"a.txt")
        s.shutdown(socket.SHUT_WR)
        got = b"".join(iter(lambda: s.recv(65536), b""))
        assert got.count(b"HTTP/1.1 200 OK") == 3
        assert got.count(b"HTTP/1.1 404 Not Found") == 1
        assert got.endswith(b"0123456789")
