"""The order of middleware, in C and in Python, as it was added: beside FastAPI, over sockets."""

import asyncio
import base64
import gzip
import json
import logging
import re
import socket
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from itsdangerous import TimestampSigner
from starlette.middleware import Middleware as StarlettesMiddleware
from starlette.middleware.base import BaseHTTPMiddleware as StarlettesBase
from starlette.middleware.cors import CORSMiddleware as StarlettesCORS
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware as StarlettesHTTPS
from starlette.middleware.sessions import SessionMiddleware as StarlettesSessions

import weft
from tests.connections import wait_until
from tests.peer import Answer, Ask, Framework, answers, ask, get, on_weft, weft_names
from tests.test_bad_input_leaks import leaves_nothing
from tests.wire import head, served
from weft.middleware import (
    BaseHTTPMiddleware,
    ConcurrencyLimitMiddleware,
    CORSMiddleware,
    GZipMiddleware,
    HTTPSRedirectMiddleware,
    Middleware,
    RateLimitMiddleware,
    RequestIDMiddleware,
    SessionMiddleware,
    TrustedHostMiddleware,
)
from weft.staticfiles import StaticFiles

LONG = "long " * 400
_STARLETTES = {
    CORSMiddleware: StarlettesCORS,
    HTTPSRedirectMiddleware: StarlettesHTTPS,
    SessionMiddleware: StarlettesSessions,
}
# Of what a middleware sees of a reply.
_SEEN = (
    "access-control-allow-origin",
    "content-encoding",
    "content-length",
    "content-type",
    "location",
    "set-cookie",
    "vary",
    "x-by",
)


def sees(fw: Framework, name: str) -> Callable[..., Any]:
    """A middleware that logs what it sees, and says that it was there."""

    async def mw(request: Any, call_next: Any) -> Any:
        fw.log.append((name, "in", request.method, request.url.path))
        try:
            response = await call_next(request)
        except Exception as exc:
            fw.log.append((name, "raised", repr(exc)))
            raise
        seen = {key: response.headers[key] for key in _SEEN if key in response.headers}
        seen = {key: plain for key, value in seen.items() if (plain := _plain(value))}
        if seen.get("content-encoding") == "gzip":
            seen.pop("content-length", None)  # zlib's versions differ
        fw.log.append((name, response.status_code, seen))
        response.headers["x-by"] = response.headers.get("x-by", "") + name
        return response

    return mw


def answers_itself(fw: Framework) -> Callable[..., Any]:
    async def mw(request: Any, call_next: Any) -> Any:
        if request.url.path == "/stop":
            return fw.PlainTextResponse(LONG, 418)
        return await call_next(request)

    return mw


def reads_bodies(fw: Framework) -> Callable[..., Any]:
    """Another body, of what there was."""

    async def mw(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        chunks = [chunk async for chunk in response.body_iterator]
        body = b"".join(chunks)
        coded = response.headers.get("content-encoding") == "gzip"
        text = gzip.decompress(body) if coded else body
        fw.log.append((coded, text))
        kept = {"content-type": response.headers.get("content-type", "text/plain")}
        return fw.Response(text + b"!", response.status_code, kept)

    return mw


def add(fw: Framework, app: Any, *steps: Any) -> None:
    """Adds each: a class with its options, a function, or the name of one that sees."""
    for step in steps:
        if isinstance(step, str):
            app.middleware("http")(sees(fw, step))
        elif isinstance(step, tuple):
            cls, options = step
            cls = getattr(fw, cls) if isinstance(cls, str) else cls
            if fw.name != "weft":
                cls = _STARLETTES.get(cls, cls)
            app.add_middleware(cls, **options)
        else:
            app.middleware("http")(step(fw))


def routes(fw: Framework, app: Any) -> Any:
    @app.get("/")
    async def root() -> Any:
        return {"a": 1}

    @app.get("/long")
    async def long() -> Any:
        return fw.PlainTextResponse(LONG, headers={"x-own": "1"})

    @app.get("/model")
    async def model(n: int) -> dict[str, str]:
        return {"text": LONG * n}

    @app.get("/empty", status_code=204)
    async def empty() -> None:
        return None

    @app.get("/stream")
    async def stream() -> Any:
        async def chunks() -> Any:
            for i in range(3):
                yield f"{i}" * 300

        return fw.StreamingResponse(chunks(), media_type="text/plain")

    @app.get("/plain-stream")
    def plain_stream() -> Any:
        return fw.StreamingResponse(iter([b"a" * 600, b"", b"b"]), media_type="text/plain")

    @app.get("/refused")
    async def refused() -> Any:
        raise fw.HTTPException(403, "no", {"x-why": "1"})

    @app.get("/raises")
    async def raises() -> Any:
        raise ZeroDivisionError("of the handler")

    class Known(Exception):
        pass

    @app.exception_handler(Known)
    async def known(request: Any, exc: Any) -> Any:
        return fw.JSONResponse({"known": LONG}, 409)

    @app.get("/known")
    async def raises_known() -> Any:
        raise Known

    @app.get("/background")
    async def background(tasks: fw.BackgroundTasks) -> Any:
        tasks.add_task(fw.log.append, "background")
        return {"a": LONG}

    return app


ORIGIN = {"origin": "https://a.example"}
CODED = {"accept_encoding": "gzip"}
PREFLIGHT = [("origin", "https://a.example"), ("access-control-request-method", "GET")]
ASKS = [
    get("/"),
    get("/", **ORIGIN),
    get("/", origin="https://b.example"),
    get("/long", **ORIGIN, **CODED),
    get("/long"),
    get("/model?n=3", **ORIGIN, **CODED),
    get("/model?n=x", **ORIGIN),
    get("/empty", **ORIGIN, **CODED),
    get("/stream", **ORIGIN, **CODED),
    get("/stream"),
    get("/plain-stream", **CODED),
    get("/refused", **ORIGIN),
    get("/known", **ORIGIN, **CODED),
    get("/background", **ORIGIN, **CODED),
    get("/nothing", **ORIGIN),
    get("/stop", **ORIGIN),
    Ask("POST", "/", [("origin", "https://a.example")]),
    Ask("OPTIONS", "/", PREFLIGHT),
    Ask("OPTIONS", "/nothing", [("origin", "https://b.example"), *PREFLIGHT[1:]]),
    get("/", host="evil.example", **ORIGIN),
    get("/long", host="evil.example", **CODED),
]

CORS = (CORSMiddleware, {"allow_origins": ["https://a.example"]})
GZIP = ("GZipMiddleware", {"minimum_size": 100})
HOSTS = ("TrustedHostMiddleware", {"allowed_hosts": ["127.0.0.1"]})
HTTPS = (HTTPSRedirectMiddleware, {})


def plain(answer: Answer) -> tuple[Any, ...]:
    """What is coded, decoded; and without what is known to differ: HEAD in Allow, and that
    Starlette's GZip takes short replies for long ones where they come out of Python's middleware.
    """
    headers = [(name, _plain(value)) for name, value in answer.headers if name != "allow"]
    body = answer.body
    if answer.fields.get("content-encoding") == "gzip":
        headers = [(name, value) for name, value in headers if name not in _FRAMING]
        body = gzip.decompress(body)
    return answer.status, [field for field in headers if field != ("vary", "")], body


_FRAMING = ("content-length", "transfer-encoding")


def _plain(value: str) -> str:
    value = re.sub(r"(?<=127\.0\.0\.1):\d+", "", value)
    return re.sub(r"^Accept-Encoding(, |$)|, Accept-Encoding", "", value)


def same(make: Callable[[Framework], Any], asks: list[Ask]) -> list[Any]:
    """weft's answers, which are FastAPI's; and so is what was logged."""
    got, expected, log, their_log = answers(make, asks)
    for request, our, their in zip(asks, got, expected, strict=True):
        assert plain(our) == plain(their), request
    for one in log, their_log:  # it comes at any time after its reply
        one.sort(key=lambda entry: entry == "background")
    assert log == their_log
    return got


@pytest.mark.parametrize(
    "steps",
    [
        ["a", CORS],
        [CORS, "a"],
        [CORS, HOSTS, "a"],
        ["a", CORS, "b", HOSTS, "c"],
        [HOSTS, CORS, GZIP, "a"],
        [GZIP, "a", CORS, "b"],
        ["a", GZIP, HOSTS, "b", CORS],
        [answers_itself, CORS, GZIP, "a"],
        [CORS, answers_itself, GZIP],
        [CORS, answers_itself, "a", HTTPS, "b"],
    ],
    ids=lambda steps: " ".join(getattr(s, "__name__", None) or str(s)[:25] for s in steps),
)
def test_order_is_that_of_add_middleware(steps: list[Any]) -> None:
    def make(fw: Framework) -> Any:
        app = routes(fw, fw.App())
        add(fw, app, *steps)
        return app

    same(make, ASKS)


@pytest.mark.parametrize("steps", [[GZIP, reads_bodies], [reads_bodies, GZIP]], ids=["in", "out"])
def test_content_is_coded_where_the_coding_stands(steps: list[Any]) -> None:
    def make(fw: Framework) -> Any:
        app = routes(fw, fw.App())
        add(fw, app, *steps)
        return app

    targets = ("/long", "/model?n=2", "/stream", "/plain-stream", "/known")
    same(make, [*(get(target, **CODED) for target in targets), get("/long"), get("/stream")])


def test_mounted_apps_are_inside() -> None:
    def make(fw: Framework) -> Any:
        app, inner = routes(fw, fw.App()), routes(fw, fw.App())
        app.mount("/inner", inner)
        add(fw, inner, HOSTS, "x", (CORSMiddleware, {"allow_origins": ["*"]}))
        add(fw, app, "a", CORS, "b")
        return app

    hosts = [get(f"{at}/", host="evil.example") for at in ("", "/inner")]
    paths = ("/", "/inner/", "/inner/long", "/inner/nothing", "/inner/known", "/inner/empty")
    asks = [get(path, **ORIGIN) for path in paths]
    preflights = [Ask("OPTIONS", f"{path}", PREFLIGHT) for path in ("/", "/inner/")]
    same(make, [*hosts, *asks, *preflights])


def test_classes_are_as_functions() -> None:
    def make(fw: Framework) -> Any:
        app = routes(fw, fw.App())
        base = _base(fw)

        class Named(base):  # type: ignore[misc, valid-type]
            def __init__(self, app: Any, name: str) -> None:
                super().__init__(app)
                self.sees = sees(fw, name)

            async def dispatch(self, request: Any, call_next: Any) -> Any:
                return await self.sees(request, call_next)

        add(fw, app, HOSTS, (Named, {"name": "a"}), CORS, (Named, {"name": "b"}), "c")
        return app

    same(make, ASKS)


def test_the_first_of_a_list_is_the_outermost() -> None:
    def make(fw: Framework) -> Any:
        base, make = _base(fw), _declare(fw)
        cors = CORSMiddleware if fw.name == "weft" else StarlettesCORS
        listed = [
            make(base, dispatch=sees(fw, "a")),
            make(cors, allow_origins=["*"]),
            make(base, dispatch=sees(fw, "b")),
        ]
        return routes(fw, fw.App(middleware=listed))

    same(make, ASKS)


def _base(fw: Framework) -> Any:
    return BaseHTTPMiddleware if fw.name == "weft" else StarlettesBase


def _declare(fw: Framework) -> Any:
    return Middleware if fw.name == "weft" else StarlettesMiddleware


def visits(fw: Framework) -> Any:
    app = fw.App()

    @app.get("/")
    async def root(request: fw.Request) -> Any:
        request.session["n"] = request.session.get("n", 0) + 1
        return request.session

    @app.get("/idle")
    async def idle() -> Any:
        return {}

    @app.get("/clear")
    async def clear(request: fw.Request) -> Any:
        request.session.clear()
        return {}

    @app.get("/refused")
    async def refused(request: fw.Request) -> Any:
        request.session["lost"] = 1
        raise fw.HTTPException(403)

    return app


def looks_at_sessions(fw: Framework) -> Callable[..., Any]:
    async def mw(request: Any, call_next: Any) -> Any:
        before = _session(request)
        response = await call_next(request)
        cookie = response.headers.get("set-cookie", "").partition("=")[0]
        fw.log.append((before, _session(request), cookie, response.headers.get("vary")))
        if isinstance(before, dict):
            request.session["after"] = True
        return response

    return mw


def _session(request: Any) -> Any:
    try:
        return dict(request.session)
    except AssertionError as exc:
        return str(exc)


SESSIONS = (SessionMiddleware, {"secret_key": "k"})


@pytest.mark.parametrize(
    "steps",
    [
        [SESSIONS, looks_at_sessions],
        [looks_at_sessions, SESSIONS],
        [looks_at_sessions, SESSIONS, looks_at_sessions],
        ["a", SESSIONS, CORS, looks_at_sessions, HOSTS],
    ],
    ids=["inside", "outside", "between", "among"],
)
def test_a_session_is_there_from_its_middleware_on(steps: list[Any]) -> None:
    def make(fw: Framework) -> Any:
        app = visits(fw)
        add(fw, app, *steps)
        return app

    paths = ("/", "/idle", "/clear", "/refused", "/nothing")
    cookie = TimestampSigner("k").sign(base64.b64encode(b'{"n": 4}')).decode()
    asks = [get(path) for path in paths]
    asks += [get(path, cookie=f"session={cookie}") for path in paths]
    got, expected, log, their_log = answers(make, asks)
    assert log == their_log
    for request, our, their in zip(asks, got, expected, strict=True):
        assert (our.status, our.body) == (their.status, their.body), request
        assert our.fields.get("vary") == their.fields.get("vary"), request
        assert sent(our) == sent(their), request


def sent(answer: Answer) -> Any:
    """What its session cookie says, without the signature, which has the time in it."""
    value = answer.fields.get("set-cookie", "").removeprefix("session=").partition(".")[0]
    return json.loads(base64.b64decode(value)) if value[:3] == "eyJ" else value


def test_a_response_that_is_kept_is_not_changed() -> None:
    """It had one more content-length after each request, and its background once."""

    def make(fw: Framework) -> Any:
        app = fw.App()
        kept = fw.PlainTextResponse(
            LONG, headers={"x-own": "1"}, background=fw.BackgroundTask(fw.log.append, "background")
        )

        @app.get("/")
        async def root() -> Any:
            return kept

        async def replaces(request: Any, call_next: Any) -> Any:
            response = await call_next(request)
            return kept if request.url.query else response

        add(fw, app, CORS, GZIP, lambda _: replaces, CORS, "a")
        return app

    asks = [get("/", **ORIGIN, **CODED), get("/?x", **ORIGIN, **CODED), get("/"), get("/?x")]
    same(make, asks * 2)


def test_others_keep_a_response_with_all_it_has() -> None:
    class Slotted(weft.Response):
        __slots__ = ("mark",)

    app, kept = weft.App(), []

    @app.get("/")
    async def root() -> Any:
        response = Slotted("x", headers={"a": "b"})
        response.mark = "m"
        response.more = "n"  # type: ignore[attr-defined]
        kept.append(response)
        return response

    @app.middleware("http")
    async def mw(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        assert response is not kept[-1]
        assert type(response) is Slotted
        assert (response.mark, response.more) == ("m", "n")
        response.headers["a"] = "c"
        return response

    with on_weft(app) as port:
        assert ask(port, get("/")).fields["a"] == "c"
        assert kept[0].headers["a"] == "b"


def test_limits_and_ids_within() -> None:
    app, seen = weft.App(), []

    @app.get("/")
    async def root() -> str:
        return "x"

    async def mw(request: Any, call_next: Any) -> Any:
        if request.url.query == "twice":
            await call_next(request)
        response = await call_next(request)
        names = ("x-request-id", "retry-after")
        seen.append((response.status_code, *(response.headers.get(name) for name in names)))
        return response

    app.add_middleware(RateLimitMiddleware, limit=3, window=600, header="x-key")
    app.add_middleware(RequestIDMiddleware)
    app.add_middleware(BaseHTTPMiddleware, dispatch=mw)
    with on_weft(app) as port:
        got = [ask(port, get("/", x_key="b", x_request_id=f"{i}")) for i in range(4)]
        assert [answer.status for answer in got] == [200, 200, 200, 429]
        assert got[3].body == b'{"detail":"Too Many Requests"}'
        assert ask(port, get("/?twice", x_key="c")).status == 500  # as it was never called once
    assert [entry[:2] for entry in seen] == [(200, "0"), (200, "1"), (200, "2"), (429, "3")]
    assert [entry[2] is None for entry in seen] == [True, True, True, False]


def test_a_bound_on_concurrency_within_counts_who_leaves() -> None:
    app, entered = weft.App(), threading.Semaphore(0)

    @app.get("/wait")
    async def wait() -> None:
        entered.release()
        await asyncio.Event().wait()

    @app.get("/stream")
    async def stream() -> Any:
        async def chunks() -> Any:
            yield "x"
            entered.release()
            await asyncio.Event().wait()

        return weft.StreamingResponse(chunks())

    @app.get("/")
    async def root() -> str:
        return "x"

    async def mw(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-by"] = f"{response.status_code}"
        return response

    app.add_middleware(ConcurrencyLimitMiddleware, limit=2, retry_after=7)
    app.add_middleware(BaseHTTPMiddleware, dispatch=mw)
    with on_weft(app) as port:
        for _ in range(3):
            leaving = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(2)]
            for sock, path in zip(leaving, (b"/wait", b"/stream"), strict=True):
                sock.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                entered.acquire()
            refused = ask(port, get("/"))
            assert (refused.status, refused.fields["retry-after"]) == (503, "7")
            assert refused.fields["x-by"] == "503"
            for sock in leaving:
                sock.close()
            assert wait_until(lambda: ask(port, get("/")).status == 200)


def test_one_whose_client_has_left_is_refused_all_the_same() -> None:
    """What lets nobody in lets in nobody who has left meanwhile."""
    app, log = weft.App(), []
    entered = threading.Event()

    @app.get("/", cancel_on_disconnect=False)
    async def root() -> str:
        log.append("root")
        return "x"

    async def mw(request: Any, call_next: Any) -> Any:
        entered.set()
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        log.append((await call_next(request)).status_code)
        return weft.Response()

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["good.example"])
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    app.add_middleware(RateLimitMiddleware, limit=3)
    app.add_middleware(BaseHTTPMiddleware, dispatch=mw)
    with on_weft(app) as port:
        with socket.create_connection(("127.0.0.1", port), 20) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            entered.wait()
        assert wait_until(lambda: log)
    assert log == [400]


def test_another_task_may_await_them() -> None:
    app, log = weft.App(), []

    @app.get("/")
    async def root() -> str:
        await asyncio.sleep(0)
        return LONG

    @app.get("/late")
    async def late() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def mw(request: Any, call_next: Any) -> Any:
        late = request.url.path == "/late"
        try:
            return await asyncio.wait_for(call_next(request), 0.05 if late else 20)
        except TimeoutError:
            return weft.Response("too late", 504)

    add_all = [(CORSMiddleware, {"allow_origins": ["*"]}), (GZipMiddleware, {})]
    for cls, options in add_all:
        app.add_middleware(cls, **options)
    app.add_middleware(BaseHTTPMiddleware, dispatch=mw)
    app.add_middleware(SessionMiddleware, secret_key="k")
    with on_weft(app) as port:
        got = ask(port, get("/", **ORIGIN, **CODED))
        assert (got.fields["content-encoding"], got.fields["access-control-allow-origin"]) == (
            "gzip",
            "*",
        )
        assert ask(port, get("/late")).status == 504
    assert log == ["cancelled"]


def test_coroutines_of_layers_are_coroutines() -> None:
    """What may be done with what call_next() gives, and what not."""
    app, log = weft.App(), []

    @app.get("/")
    async def root() -> str:
        return "x"

    async def mw(request: Any, call_next: Any) -> Any:
        for unused in (call_next(request), call_next(request)):
            unused.close()
            with pytest.raises(RuntimeError, match="already awaited"):
                await unused
        thrown = call_next(request)
        with pytest.raises(KeyError):
            thrown.throw(KeyError("k"))
        with pytest.raises(TypeError):
            call_next(request).throw(1)
        used = call_next(request)
        response = await used
        with pytest.raises(RuntimeError, match="already awaited"):
            await used
        log.append(type(used).__name__)
        return response

    app.add_middleware(CORSMiddleware)
    app.add_middleware(BaseHTTPMiddleware, dispatch=mw)
    with on_weft(app) as port:
        assert ask(port, get("/")).status == 200
    assert log == ["Passage"]


def test_what_a_middleware_within_returns_is_a_response() -> None:
    app = weft.App()

    @app.get("/")
    async def root() -> str:
        return "x"

    async def wrong(request: Any, call_next: Any) -> Any:
        return {"no": "response"}

    async def fields(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.raw_headers = {"list": [("a", "b")], "none": None, "tuple": ()}[request.url.query]
        return response

    async def outer(request: Any, call_next: Any) -> Any:
        try:
            return await call_next(request)
        except TypeError as exc:
            return weft.Response(str(exc), 418)

    for step in (fields, wrong):
        app = weft.App()
        app.add_api_route("/", root)
        app.add_middleware(BaseHTTPMiddleware, dispatch=step)
        app.add_middleware(CORSMiddleware)
        app.add_middleware(BaseHTTPMiddleware, dispatch=outer)
        with on_weft(app) as port:
            got = [ask(port, get(f"/?{query}")) for query in ("list", "none", "tuple")]
        if step is wrong:
            assert got[0].body == b"a middleware must return a Response, not dict"
        else:
            assert b"bytes" in got[0].body
            assert got[1].fields["vary"] == "Origin"
            assert got[2].status == 200


def test_files_within(tmp_path: Path) -> None:
    """The head is the layers'; the content is left to the kernel, which codes nothing."""
    (tmp_path / "a.txt").write_text(LONG)
    app, seen = weft.App(), []

    @app.get("/file")
    async def file() -> Any:
        return weft.FileResponse(tmp_path / "a.txt")

    app.mount("/static", StaticFiles(directory=tmp_path))

    async def mw(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        seen.append(response.headers["vary"])
        return response

    app.add_middleware(GZipMiddleware)
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    app.add_middleware(BaseHTTPMiddleware, dispatch=mw)
    with on_weft(app) as port:
        for target in ("/file", "/static/a.txt"):
            whole = ask(port, get(target, **ORIGIN, **CODED))
            assert whole.body.decode() == LONG
            assert whole.fields["access-control-allow-origin"] == "*"
            part = ask(port, get(target, range="bytes=0-3", **ORIGIN))
            assert (part.status, part.body) == (206, b"long")
            assert part.fields["access-control-allow-origin"] == "*"
            known = ask(port, get(target, if_none_match=whole.fields["etag"], **ORIGIN))
            assert (known.status, known.body) == (304, b"")
            assert known.fields["access-control-allow-origin"] == "*"
            short = ask(port, Ask("HEAD", target, [("accept-encoding", "gzip")]))
            assert short.fields["content-length"] == whole.fields["content-length"]
    assert set(seen) == {"Origin"}


def test_head_has_the_fields_of_get() -> None:
    app = routes(weft_names(), weft.App())
    add(weft_names(), app, GZIP, CORS, "a")
    with on_weft(app) as port:
        for target in ("/long", "/stream", "/", "/empty"):
            asks = [Ask(m, target, [("accept-encoding", "gzip")]) for m in ("GET", "HEAD")]
            got = [ask(port, request) for request in asks]
            assert got[0].fields == got[1].fields
            assert got[1].body == b""


def test_each_chunk_of_a_coded_stream_arrives() -> None:
    app, go = weft.App(), threading.Semaphore(0)

    @app.get("/")
    async def root() -> Any:
        def ticks() -> Any:
            for i in range(3):
                yield f"tick {i}\n"
                go.acquire(timeout=20)

        return weft.StreamingResponse(ticks())

    add(weft_names(), app, GZIP, "a")
    with on_weft(app) as port, socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        stream, decoder, got = sock.makefile("rb"), zlib.decompressobj(31), b""
        while stream.readline() != b"\r\n":
            pass
        for i in range(3):
            while f"tick {i}\n".encode() not in got:
                size = int(stream.readline(), 16)
                got += decoder.decompress(stream.read(size))
                stream.readline()
            go.release()
        assert got == b"tick 0\ntick 1\ntick 2\n"


def test_nothing_stays_behind() -> None:
    fw = weft_names()
    app = routes(fw, weft.App())

    async def both(request: Any, call_next: Any) -> Any:
        _session(request)
        if request.url.query == "never":
            call_next(request)
        return await call_next(request)

    kept = weft.Response(LONG)
    app.add_api_route("/kept", _returning(kept), methods=["GET"])
    add(fw, app, (BaseHTTPMiddleware, {"dispatch": both}), SESSIONS, GZIP, CORS)
    hosts = ("TrustedHostMiddleware", {"allowed_hosts": ["a"]})
    add(fw, app, hosts, (BaseHTTPMiddleware, {"dispatch": both}), CORS)
    paths = ("/", "/long", "/stream", "/plain-stream", "/empty", "/known", "/raises", "/nothing")
    fields = (b"origin: https://a.example", b"accept-encoding: gzip", b"connection: close")
    names = (b"host: a", b"host: evil.example")
    raw = [
        head(b"GET " + path.encode() + b" HTTP/1.1", name, *fields)
        for path in (*paths, "/kept", "/?never")
        for name in names
    ]
    logging.getLogger("weft.error").disabled = True
    try:
        with served(app) as server:
            leaves_nothing(server, lambda: [server.ask(data) for data in raw], 30)
    finally:
        logging.getLogger("weft.error").disabled = False
    assert kept.raw_headers == []


def _returning(value: Any) -> Callable[..., Any]:
    async def endpoint() -> Any:
        return value

    return endpoint
