"""Middleware in C around an App that is mounted: of what it answers, and of nothing else."""

import gzip
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.middleware.gzip import GZipMiddleware as StarlettesGZip
from starlette.middleware.trustedhost import TrustedHostMiddleware as StarlettesHosts

import weft
from tests.peer import Ask, Framework, answers, get, on_weft
from tests.peer import ask as send
from weft.middleware import (
    ConcurrencyLimitMiddleware,
    GZipMiddleware,
    RateLimitMiddleware,
    RequestIDMiddleware,
    SecurityHeadersMiddleware,
    TrustedHostMiddleware,
)

A, B = "https://a.example", "https://b.example"
PREFLIGHT = {"origin": A, "access_control_request_method": "GET"}


def tree(fw: Framework, files: Path) -> Any:
    """CORS around an App in an App, a gzip and trusted hosts around one within that."""
    app, sub, deep, beside = fw.App(), fw.App(), fw.App(), fw.App()
    for at, name in ((app, "app"), (sub, "sub"), (deep, "deep"), (beside, "beside")):

        @at.get("/own")
        async def own(name: str = name) -> Any:
            return name

        @at.get("/long")
        async def long() -> Any:
            return "x" * 2000

        @at.get("/fails")
        async def fails() -> Any:
            raise fw.HTTPException(418, "tea")

    @deep.get("/stream")
    async def stream() -> Any:
        return fw.StreamingResponse(iter([b"a" * 600, b"b" * 600]))

    sub.add_middleware(fw.CORSMiddleware, allow_origins=[A], allow_credentials=True)
    ours = fw.name == "weft"
    deep.add_middleware(GZipMiddleware if ours else StarlettesGZip, minimum_size=500)
    hosts = TrustedHostMiddleware if ours else StarlettesHosts
    deep.add_middleware(hosts, allowed_hosts=["shop.example"])
    deep.mount("/files", fw.StaticFiles(directory=str(files)))
    sub.mount("/deep", deep)
    router = fw.Router()
    router.get("/own")(lambda: "router")
    sub.mount("/router", router)
    app.mount("/sub", sub)
    app.mount("/beside", beside)
    return app


def test_it_is_around_what_the_app_answers(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a" * 1000)

    def make(fw: Framework) -> Any:
        return tree(fw, tmp_path)

    asks = [
        get(where + path, origin=origin, host=host, accept_encoding="gzip")
        for where in ("", "/beside", "/sub", "/sub/deep", "/sub/router")
        for path in ("/own", "/long", "/fails", "/nothing")
        for origin in (A, B)
        for host in ("shop.example", "other.example")
    ]
    asks += [
        get("/sub/deep/stream", origin=A, host="shop.example", accept_encoding="gzip"),
        get("/sub/deep/files/a.txt", origin=A, host="shop.example"),
        get("/sub/deep/files/none", origin=A, host="shop.example"),
        get("/sub/deep/files/a.txt", origin=A, host="other.example"),
        *(
            Ask("OPTIONS", path, [(k.replace("_", "-"), v) for k, v in PREFLIGHT.items()])
            for path in ("/own", "/sub/own", "/sub/deep/own", "/sub/nothing", "/beside/own")
        ),
        Ask("POST", "/sub/own", [("origin", A)], b"a body that nobody reads"),
        Ask("POST", "/sub/deep/own", [("host", "other.example")], b"a body that nobody reads"),
    ]
    ours, theirs, _, _ = answers(make, asks)
    for request, our, their in zip(asks, ours, theirs, strict=True):
        got, expected = our.fields, their.fields
        for fields in (got, expected):
            fields.pop("etag", None)  # of a file Starlette has one of its own making
            fields.pop("content-length", None)  # of gzip; the bodies are compared
            fields.pop("allow", None)  # GET answers HEAD too
        if our.status == 405 and request.method == "OPTIONS":
            continue
        if their.status == 405 and request.method == "OPTIONS":
            assert our.status == 200  # OPTIONS has an answer of ours
            continue
        assert (our.status, got) == (their.status, expected), request
        if "content-encoding" in got:
            assert gzip.decompress(our.body) == gzip.decompress(their.body)
        else:
            assert our.body == their.body, request


def layered(outer: list[Any], inner: list[Any]) -> Any:
    app, sub = weft.App(), weft.App()
    for at in (app, sub):

        @at.get("/own")
        async def own(request: weft.Request) -> Any:
            return request.headers.get("x-request-id")

    for at, layers in ((app, outer), (sub, inner)):
        for middleware, options in layers:
            at.add_middleware(middleware, **options)
    app.mount("/sub", sub)
    return app


def test_the_outer_apps_are_outside() -> None:
    def headers(value: str) -> Any:
        return SecurityHeadersMiddleware, {"headers": {"X-Frame-Options": value}}

    app = layered([headers("DENY"), (RequestIDMiddleware, {})], [headers("SAMEORIGIN")])
    with on_weft(app) as port:
        assert send(port, get("/own")).fields["x-frame-options"] == "DENY"
        inner = send(port, get("/sub/own"))
    assert inner.fields["x-frame-options"] == "SAMEORIGIN"  # set first: the outer keeps it
    assert len(inner.fields["x-request-id"]) == 32


def test_one_inside_that_answers_is_seen_by_those_outside() -> None:
    hosts = (TrustedHostMiddleware, {"allowed_hosts": ["shop.example"]})
    app = layered([(RequestIDMiddleware, {})], [(SecurityHeadersMiddleware, {}), hosts])
    with on_weft(app) as port:
        refused = send(port, get("/sub/own", host="other.example"))
        assert refused.status == 400
        assert "x-request-id" in refused.fields
        assert "x-frame-options" not in refused.fields
        assert send(port, get("/own", host="other.example")).status == 200


def test_a_rate_limit_counts_its_own_apps_requests() -> None:
    app = layered([], [(RateLimitMiddleware, {"limit": 2, "window": 3600})])
    with on_weft(app) as port:
        assert [send(port, get("/own")).status for _ in range(4)] == [200] * 4
        assert [send(port, get("/sub/own")).status for _ in range(3)] == [200, 200, 429]
        assert send(port, get("/own")).status == 200


def test_a_bound_on_concurrency_counts_its_own_apps_requests() -> None:
    app = weft.App()
    sub, entered, leave = weft.App(), threading.Event(), threading.Event()

    @sub.get("/wait")
    def wait() -> str:
        entered.set()
        leave.wait(30)
        return "waited"

    @sub.get("/own")
    @app.get("/own")
    async def own() -> str:
        return "own"

    sub.add_middleware(ConcurrencyLimitMiddleware, limit=1)
    app.add_middleware(ConcurrencyLimitMiddleware, limit=3)
    app.mount("/sub", sub)
    with on_weft(app) as port:
        waiter = threading.Thread(target=send, args=(port, get("/sub/wait")))
        waiter.start()
        assert entered.wait(30)
        # What the inner one refuses is over for the outer one too.
        assert [send(port, get("/sub/own")).status for _ in range(4)] == [503] * 4
        assert send(port, get("/own")).status == 200
        leave.set()
        waiter.join()
        assert send(port, get("/sub/own")).status == 200


@pytest.mark.parametrize("mounted", [False, True])
def test_an_app_that_is_mounted_twice(mounted: bool) -> None:
    app, sub = weft.App(), weft.App()
    sub.add_middleware(SecurityHeadersMiddleware)
    sub.get("/own")(lambda: "own")
    app.mount("/a", sub)
    if mounted:
        app.mount("/b", sub)
    with on_weft(app) as port:
        assert "x-frame-options" in send(port, get("/a/own")).fields
        assert ("x-frame-options" in send(port, get("/b/own")).fields) is mounted
