"""Middleware beside Starlette's, over sockets; and what there is no Starlette's of."""

import asyncio
import re
import threading
from typing import Any

import httpx
import pytest
from starlette.middleware.cors import CORSMiddleware as StarlettesCORS

import weft
from tests.peer import Answer, Ask, Framework, answers, ask, on_weft
from weft.middleware import (
    ConcurrencyLimitMiddleware,
    CORSMiddleware,
    RequestIDMiddleware,
    SecurityHeadersMiddleware,
    TrustedHostMiddleware,
)
from weft.server import StartupError
from weft.testing import TestClient

from .connections import connect, reply


def routes(fw: Framework) -> Any:
    app = fw.App()

    @app.get("/")
    async def root() -> Any:
        return {"a": 1}

    @app.post("/")
    async def post(x: int) -> Any:
        return x

    @app.get("/vary")
    async def vary() -> Any:
        return fw.Response(
            "x", headers={"vary": "Accept", "access-control-allow-origin": "https://mine"}
        )

    @app.get("/stream")
    async def stream() -> Any:
        return fw.StreamingResponse(iter([b"a", b"b"]))

    return app


def both(ours: Any, theirs: Any, asks: list[Ask], **options: Any) -> None:
    def make(fw: Framework) -> Any:
        app = routes(fw)
        app.add_middleware(ours if fw.name == "weft" else theirs, **options)
        return app

    got, expected, _, _ = answers(make, asks)
    for request, our, their in zip(asks, got, expected, strict=True):
        assert (our.status, our.body, our.headers) == (
            their.status,
            their.body,
            their.headers,
        ), request


def get(target: str, method: str = "GET", **headers: str) -> Ask:
    return Ask(method, target, [(k.replace("_", "-"), v) for k, v in headers.items()])


def preflight(origin: str, method: str = "GET", **more: str) -> Ask:
    more = {f"access-control-request-{k}".replace("_", "-"): v for k, v in more.items()}
    return get("/", "OPTIONS", origin=origin, access_control_request_method=method, **more)


CORS = [
    get("/"),
    get("/", origin="https://a.example"),
    get("/", origin="https://b.example"),
    get("/nothing", origin="https://a.example"),
    get("/vary"),
    get("/vary", origin="https://a.example"),
    get("/stream", origin="https://a.example"),
    get("/?x=bad", "POST", origin="https://a.example"),
    preflight("https://a.example"),
    preflight("https://b.example"),
    preflight("https://a.example", "POST"),
    preflight("https://a.example", "TRACE"),
    preflight("https://a.example", headers="X-Own"),
    preflight("https://a.example", headers="x-own, Accept ,content-type"),
    preflight("https://a.example", headers="x-other"),
    preflight("https://a.example", headers=""),
    preflight("https://b.example", "TRACE", headers="x-other", private_network="true"),
    preflight("https://a.example", private_network="true"),
    get("/nothing", "OPTIONS", origin="https://a.example", access_control_request_method="GET"),
]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"allow_origins": ["https://a.example"]},
        {"allow_origins": ["*"]},
        {"allow_origins": ["*"], "allow_credentials": True, "allow_headers": ["*"]},
        {
            "allow_origins": ["https://a.example", "https://c.example"],
            "allow_methods": ["GET", "POST"],
            "allow_headers": ["X-Own"],
            "allow_credentials": True,
            "expose_headers": ["X-A", "X-B"],
            "allow_private_network": True,
            "max_age": 5,
        },
        {"allow_origins": ["https://a.example"], "allow_methods": ["*"], "allow_headers": ["*"]},
        {"allow_origin_regex": r"https://[a-z]\.example"},
        {"allow_origin_regex": "https://b.*", "allow_origins": ["https://a.example"]},
        {"allow_origin_regex": "https://a", "allow_credentials": True},
        {"allow_origin_regex": r"(?P<scheme>https?)://(a|x)\.(?:example)$"},
    ],
)
def test_cors_is_starlettes(options: dict[str, Any]) -> None:
    both(CORSMiddleware, StarlettesCORS, CORS, **options)


@pytest.mark.parametrize(
    "origin",
    [
        *("https://a.example.evil.com", "https://a.example\\n", "xhttps://a.example", ""),
        *("https://a.example:8000", "null", "HTTPS://A.EXAMPLE", "https://\xe4.example"),
    ],
)
def test_origins_that_nearly_match(origin: str) -> None:
    asks = [get("/", origin=origin), preflight(origin)]
    both(CORSMiddleware, StarlettesCORS, asks, allow_origin_regex=r"https://.\.example")


def test_regular_expressions_that_are_none() -> None:
    app = weft.App()
    with pytest.raises(re.error):
        app.add_middleware(CORSMiddleware, allow_origin_regex="(")
    app.add_middleware(CORSMiddleware, allow_origin_regex=r"(?a:x)")  # Python's alone
    says = "CORSMiddleware: allow_origin_regex cannot be used"
    with pytest.raises(StartupError, match=says), on_weft(app):
        pass


def test_a_regular_expression_that_takes_for_ever_does_not_match() -> None:
    app = routes(Framework("weft", ["weft", "weft.responses"], {}))
    app.add_middleware(CORSMiddleware, allow_origin_regex=r"(a+)+b")
    with on_weft(app) as port:
        answer = ask(port, get("/", origin="a" * 5000))
        assert "access-control-allow-origin" not in answer.fields
        assert ask(port, get("/", origin="aab")).fields["access-control-allow-origin"] == "aab"


HOSTS = [
    get("/", host=host)
    for host in (
        "example.com", "EXAMPLE.com", "example.com:80", "a.example.org", "example.org", "evil.com",
        "other.net", "www.other.net", "other.net:8000", "xexample.com", "a.b.example.org:1",
    )
]  # fmt: skip


def ask_hosts(app: Any) -> list[Answer]:
    with on_weft(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        replies = [client.get("/", headers=dict(request.headers)) for request in HOSTS]
        return [Answer(r.status_code, sorted(r.headers.items()), r.content) for r in replies]


def test_trusted_hosts() -> None:
    app = routes(Framework("weft", ["weft", "weft.responses"], {}))
    allowed = ["example.com", "*.example.org", "www.other.net"]
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=allowed)
    got = ask_hosts(app)
    assert [answer.status for answer in got] == [
        200, 200, 200, 200, 400, 400, 307, 200, 307, 400, 200,
    ]  # fmt: skip
    assert got[4].body == b"Invalid host header"
    assert got[6].fields["location"] == "http://www.other.net/"
    assert got[8].fields["location"] == "http://www.other.net:8000/"


def test_trusted_hosts_are_those_of_the_urls() -> None:
    """Host once said where URLs lead to, and the absolute-form of a target what is trusted."""
    app = weft.App()
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["good"])

    @app.get("/a")
    async def url(request: weft.Request) -> list[str]:
        return [str(request.url), request.headers["host"]]

    def ask(target: str, host: str) -> tuple[int, bytes]:
        with connect(client) as sock:
            sock.sendall(f"GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            got = reply(sock)
            return got.status, got.read()

    with TestClient(app) as client:
        assert ask("http://good/a", "evil") == (200, b'["http://good/a","good"]')
        assert ask("http://evil/a", "good")[0] == 400
        assert ask("/a", "good") == (200, b'["http://good/a","good"]')


def test_trusted_hosts_refuse_wildcards_elsewhere() -> None:
    app = weft.App()
    with pytest.raises(ValueError, match="wildcard"):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["a.*.example.com"])
    app.add_middleware(TrustedHostMiddleware)  # any
    assert {answer.status for answer in ask_hosts(app)} == {404}


def test_request_ids() -> None:
    app = routes(Framework("weft", ["weft", "weft.responses"], {}))
    app.add_middleware(RequestIDMiddleware)
    with on_weft(app) as port:
        replies = [ask(port, get("/")) for _ in range(40)]
        ids = {reply.fields["x-request-id"] for reply in replies}
        assert len(ids) == 40
        assert all(re.fullmatch("[0-9a-f]{32}", value) for value in ids)
        assert ask(port, get("/", x_request_id="Mine-1_2.3")).fields["x-request-id"] == "Mine-1_2.3"
        for bad in ("", "a b", "x" * 129, 'a"b'):
            echoed = ask(port, get("/nothing", x_request_id=bad)).fields["x-request-id"]
            assert re.fullmatch("[0-9a-f]{32}", echoed)


def test_security_headers() -> None:
    app = routes(Framework("weft", ["weft", "weft.responses"], {}))

    @app.get("/own")
    async def own() -> Any:
        return weft.Response("x", headers={"x-frame-options": "SAMEORIGIN"})

    app.add_middleware(
        SecurityHeadersMiddleware,
        {"Content-Security-Policy": "default-src 'self'", "referrer-policy": ""},
    )
    with on_weft(app) as port:
        for target in ("/", "/nothing", "/stream"):
            fields = ask(port, get(target)).fields
            assert fields["x-content-type-options"] == "nosniff"
            assert fields["x-frame-options"] == "DENY"
            assert fields["content-security-policy"] == "default-src 'self'"
            assert "referrer-policy" not in fields
        assert ask(port, get("/own")).fields["x-frame-options"] == "SAMEORIGIN"


def test_concurrency_is_limited() -> None:
    app = weft.App()
    entered, leave = threading.Semaphore(0), threading.Event()

    @app.get("/")
    async def slow() -> str:
        entered.release()
        while not leave.is_set():
            await asyncio.sleep(0.005)
        return "done"

    app.add_middleware(ConcurrencyLimitMiddleware, limit=2, retry_after=7)
    with on_weft(app) as port:
        got: list[int] = []
        threads = [
            threading.Thread(target=lambda: got.append(ask(port, get("/")).status))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
            entered.acquire()
        refused = ask(port, get("/"))
        assert (refused.status, refused.fields["retry-after"]) == (503, "7")
        leave.set()
        for thread in threads:
            thread.join()
        assert got == [200, 200]
        for _ in range(5):
            assert ask(port, get("/")).status == 200


def test_the_last_added_is_the_outermost() -> None:
    for cors_outside in (True, False):
        app = weft.App()
        layers: list[tuple[Any, dict[str, Any]]] = [
            (TrustedHostMiddleware, {"allowed_hosts": ["example.com"]}),
            (CORSMiddleware, {"allow_origins": ["*"]}),
        ]
        for layer, options in layers if cors_outside else reversed(layers):
            app.add_middleware(layer, **options)
        with on_weft(app) as port:
            reply = httpx.get(
                f"http://127.0.0.1:{port}/",
                headers={"host": "evil.com", "origin": "https://a.example"},
            )
        assert reply.text == "Invalid host header"
        assert ("access-control-allow-origin" in reply.headers) is cors_outside


def test_other_classes_are_refused() -> None:
    with pytest.raises(TypeError, match=r"weft\.middleware"):
        weft.App().add_middleware(dict)  # type: ignore[arg-type]


def test_a_preflight_leaves_its_connection_in_order() -> None:
    app = routes(Framework("weft", ["weft", "weft.responses"], {}))
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    headers = {"origin": "https://a.example", "access-control-request-method": "GET"}
    with on_weft(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert client.request("OPTIONS", "/", headers=headers, content=b"body").text == "OK"
        assert client.get("/").json() == {"a": 1}
