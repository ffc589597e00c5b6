"""Who the client is behind proxies that are trusted, beside uvicorn; redirects; log lines."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware as StarlettesRedirect

from tests.peer import Ask, Framework, answers, ask, fastapi_names, get, on_weft, weft_names
from weft import App, Request, forwarded
from weft.middleware import HTTPSRedirectMiddleware, TrustedHostMiddleware
from weft.server import Config, StartupError
from weft.testing import TestClient, Worker


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[int]:
    worker = Worker(app, Config(port=0, access_log=False, **options))
    worker.start(lifespan=False)
    try:
        yield worker.port
    finally:
        worker.stop()


@contextmanager
def on_uvicorn(app: Any, **options: Any) -> Iterator[int]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", **options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def whoami(fw: Framework) -> Any:
    app = fw.App()

    @app.get("/")
    async def who(request: fw.Request) -> Any:  # type: ignore[name-defined]
        client = request.client
        return [client.host, client.port if client.port < 1024 else "any", str(request.url)]

    return app


ASKS = [
    get("/?a=b", host="us.example", **fields)
    for fields in (
        {},
        {"x_forwarded_for": "192.0.2.1"},
        {"x_forwarded_for": "192.0.2.1:80"},
        {"x_forwarded_for": "[2001:db8::1]:80"},
        {"x_forwarded_for": "6.6.6.6, 192.0.2.1"},
        {"x_forwarded_for": "6.6.6.6, 192.0.2.1, 10.1.1.1"},
        {"x_forwarded_for": "10.1.1.1, 10.1.1.2"},
        {"x_forwarded_for": "", "x_forwarded_proto": "https"},
        {"x_forwarded_proto": "https", "x_forwarded_for": "192.0.2.1"},
        {"x_forwarded_proto": "http"},
        {"x_forwarded_proto": "gopher"},
        {"x_forwarded_host": "them.example", "forwarded": "for=192.0.2.9;proto=https"},
    )
]


@pytest.mark.parametrize("trusted", ["127.0.0.1", "127.0.0.0/8,10.0.0.0/8", "10.0.0.0/8", "*", ""])
def test_proxies_are_uvicorns(trusted: str) -> None:
    with serving(whoami(weft_names()), forwarded_allow_ips=trusted) as port:
        got = [ask(port, request).body for request in ASKS]
    with on_uvicorn(whoami(fastapi_names()), forwarded_allow_ips=trusted) as port:
        expected = [ask(port, request).body for request in ASKS]
    assert got == expected


def test_by_default_the_machine_itself_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = get("/", host="us", x_forwarded_for="192.0.2.1")
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    with on_weft(whoami(weft_names())) as port:
        assert ask(port, asked).body == b'["192.0.2.1",0,"http://us/"]'
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "192.0.2.77")
    with on_weft(whoami(weft_names())) as port:
        assert ask(port, asked).body == b'["127.0.0.1","any","http://us/"]'


def test_other_fields_are_read_where_they_are_named() -> None:
    app = whoami(weft_names())
    host = get("/", host="us", x_forwarded_host="them.example:8080")
    standard = get("/", host="us", forwarded='for="[2001:db8::1]:7";proto=https;host=them')
    with serving(app, forwarded_headers=["x-forwarded-host"]) as port:
        assert ask(port, host).body == b'["127.0.0.1","any","http://them.example:8080/"]'
        assert ask(port, standard).body == b'["127.0.0.1","any","http://us/"]'
    with serving(app, forwarded_headers=["Forwarded"]) as port:
        assert ask(port, standard).body == b'["2001:db8::1",7,"https://them/"]'
        assert ask(port, host).body == b'["127.0.0.1","any","http://us/"]'


def test_what_is_kept_of_a_request_that_is_over() -> None:
    app, kept = App(), []

    @app.get("/")
    async def root(request: Request) -> None:
        kept.append(request)

    asked = get("/", host="us", x_forwarded_for="192.0.2.1", x_forwarded_proto="https")
    with serving(app) as port:
        ask(port, asked)
    assert (kept[0].client.host, kept[0].scheme, str(kept[0].url)) == (
        "192.0.2.1", "https", "https://us/",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["localhost", "10.0.0.1/8", "10.0.0.0/33", "1.2.3", "::1/129"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="whom to trust"):
        forwarded.parse_addresses(text)
    with (
        pytest.raises(StartupError, match="whom to trust"),
        serving(App(), forwarded_allow_ips=text),
    ):
        pass


def test_headers_that_are_none() -> None:
    with pytest.raises(ValueError, match="x-real-ip"):
        forwarded.describe("", ["x-real-ip"])


REDIRECTS = [
    get("/", host="example.com"),
    get("/a/b?c=d&e", host="example.com:80"),
    get("/", host="example.com:443"),
    get("/", host="example.com:8000"),
    get("/nothing", host="example.com"),
    get("/", host="[::1]:8000"),
    get("/", host="example.com", x_forwarded_proto="https"),
    Ask("POST", "/", [("host", "example.com")], b"body"),
]


def test_redirects_to_https_are_starlettes() -> None:
    def make(fw: Framework) -> Any:
        app = whoami(fw)
        app.add_middleware(HTTPSRedirectMiddleware if fw.name == "weft" else StarlettesRedirect)
        return app

    got, expected, _, _ = answers(make, REDIRECTS)
    for request, ours, theirs in zip(REDIRECTS, got, expected, strict=True):
        assert (ours.status, ours.headers) == (theirs.status, theirs.headers), request
        assert ours.body == theirs.body


def test_trusted_hosts_are_of_what_the_client_calls() -> None:
    app = whoami(weft_names())
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["them.example"])
    with serving(app, forwarded_headers=["x-forwarded-host"]) as port:
        assert ask(port, get("/", host="us", x_forwarded_host="them.example")).status == 200
        assert ask(port, get("/", host="them.example", x_forwarded_host="evil")).status == 400


def test_json_log_lines(capfd: pytest.CaptureFixture[str]) -> None:
    app = whoami(weft_names())
    worker = Worker(app, Config(port=0, access_log_format="json"))
    worker.start(lifespan=False)
    ask(worker.port, get("/?q=%C3%A4", host="us", user_agent='w\xe4"ft'))
    worker.stop()
    line = json.loads(capfd.readouterr().out)
    assert line.pop("duration_us") >= 0
    assert len(line.pop("time")) == 20
    assert line.pop("bytes") > 0
    assert line == {
        "client": "127.0.0.1", "method": "GET", "target": "/?q=%C3%A4", "protocol": "HTTP/1.1",
        "status": 200, "referer": None, "user_agent": "w\xe4\"ft", "request_id": None,
    }  # fmt: skip


def test_a_client_of_tests_can_play_the_proxy() -> None:
    with TestClient(whoami(weft_names())) as client:
        reply = client.get("/", headers={"x-forwarded-proto": "https"})
        assert reply.json()[2].startswith("https://")
