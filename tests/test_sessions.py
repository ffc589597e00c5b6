"""request.session beside Starlette's: the same cookies, written and read by either."""

import base64
import json
import string
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

import itsdangerous
import pytest
from starlette.middleware.sessions import SessionMiddleware as StarlettesSession

from tests.peer import Answer, Framework, ask, fastapi_names, get, on_uvicorn, on_weft, weft_names
from weft import App, Request
from weft.middleware import SessionMiddleware
from weft.middleware.sessions import Session
from weft.testing import TestClient

KEY = "a secret that is long enough"

try:
    with TestClient(App(middleware=[SessionMiddleware(KEY)])):
        pass
except Exception as exc:  # weft was built without libcrypto
    if "libcrypto" not in str(exc):
        raise
    pytest.skip(str(exc), allow_module_level=True)

BASE64 = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def shop(fw: Framework, **options: Any) -> Any:
    app = fw.App()
    app.add_middleware(
        SessionMiddleware if fw.name == "weft" else StarlettesSession, secret_key=KEY, **options
    )

    @app.get("/read")
    async def read(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return dict(request.session)

    @app.get("/set/{value}")
    async def put(request: fw.Request, value: str) -> Any:  # type: ignore[name-defined]
        request.session["value"] = value
        request.session.setdefault("list", [1, {"ü": None}])
        return "set"

    @app.get("/clear")
    async def clear(request: fw.Request) -> Any:  # type: ignore[name-defined]
        request.session.clear()
        return fw.Response("cleared", headers={"set-cookie": "own=1", "vary": "Accept"})

    @app.get("/pop")
    async def pop(request: fw.Request) -> Any:  # type: ignore[name-defined]
        return request.session.pop("value", None)

    @app.get("/in-place")
    async def in_place(request: fw.Request) -> Any:  # type: ignore[name-defined]
        request.session["list"].append(2)
        return "not noticed"

    @app.get("/stream")
    async def stream(request: fw.Request) -> Any:  # type: ignore[name-defined]
        request.session["value"] = "streamed"
        return fw.StreamingResponse(iter([b"a", b"b"]))

    @app.get("/sync")
    def sync(request: fw.Request) -> Any:  # type: ignore[name-defined]
        request.session["value"] = "sync"
        return "sync"

    @app.get("/refuse")
    async def refuse(request: fw.Request) -> Any:  # type: ignore[name-defined]
        request.session["value"] = "refused"
        raise fw.HTTPException(403)

    @app.get("/invalid")
    async def invalid(request: fw.Request, x: int) -> Any:  # type: ignore[name-defined]
        return "never"

    async def current(request: fw.Request) -> Any:  # type: ignore[name-defined]
        request.session["seen"] = True
        yield request.session.get("value")

    @app.get("/dependency")
    async def dependency(value: Any = fw.Depends(current)) -> Any:
        return value

    @app.get("/elsewhere")
    async def elsewhere() -> Any:
        return "no session"

    return app


TARGETS = [
    "/read", "/set/x", "/clear", "/pop", "/in-place", "/stream", "/sync", "/refuse", "/invalid?x=y",
    "/dependency", "/elsewhere", "/nothing",
]  # fmt: skip


def signed(data: Any, age: int = 0) -> str:
    signer = itsdangerous.TimestampSigner(KEY)
    now = int(time.time()) - age
    signer.get_timestamp = lambda: now  # type: ignore[method-assign]
    return signer.sign(base64.b64encode(json.dumps(data).encode())).decode()


def without_time(answer: Answer) -> Any:
    """Its set-cookie fields with what they hold in place of when and how it was signed."""
    fields = []
    for name, value in answer.headers:
        if name == "set-cookie" and value.startswith("session=e"):
            cookie, _, rest = value.partition(";")
            data = itsdangerous.TimestampSigner(KEY).unsign(cookie.partition("=")[2])
            value = f"{json.loads(base64.b64decode(data))};{rest}"
        fields.append((name, value))
    return answer.status, sorted(fields), answer.body


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_age": None, "same_site": "strict", "https_only": True},
        {"path": "/a", "domain": "example.com", "same_site": "none", "partitioned": True},
    ],
)
def test_sessions_are_starlettes(options: dict[str, Any]) -> None:
    asks = []
    for target in TARGETS:
        asks.append(get(target))
        asks.append(get(target, cookie=f"session={signed({'value': 'old', 'list': [0]})}"))
        asks.append(get(target, cookie=f"a=b; session={signed({'list': []})}; c"))
        asks.append(get(target, cookie="session=forged"))
    asks = [a for a in asks if "in-place" not in a.target or "eyJ" in str(a.headers)]
    with on_weft(shop(weft_names(), **options)) as port:
        got = [without_time(ask(port, request)) for request in asks]
    with on_uvicorn(shop(fastapi_names(), **options)) as port:
        expected = [without_time(ask(port, request)) for request in asks]
    for request, ours, theirs in zip(asks, got, expected, strict=True):
        assert ours == theirs, request


def test_another_name() -> None:
    with TestClient(shop(weft_names(), session_cookie="basket")) as client:
        assert list(client.get("/set/x").cookies) == ["basket"]
        assert client.get("/read").json()["value"] == "x"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with on_weft(shop(weft_names())) as port:
        yield port


def read(port: int, cookie: str) -> Any:
    answer = ask(port, get("/read", cookie=f"session={cookie}"))
    assert answer.status == 200
    assert "set-cookie" not in answer.fields
    return json.loads(answer.body)


def test_sessions_that_were_tampered_with_are_empty(port: int) -> None:
    whole = signed({"user": "me"})
    assert read(port, whole) == {"user": "me"}
    for i in range(len(whole)):
        assert read(port, whole[:i]) == {}, i  # truncated
        other = "A"
        if whole[i] in BASE64:  # its highest bit counts, even in the last character
            other = BASE64[BASE64.index(whole[i]) ^ 32]
        assert read(port, whole[:i] + other + whole[i + 1 :]) == {}, i
    assert read(port, itsdangerous.TimestampSigner("other").sign("e30=").decode()) == {}
    assert read(port, itsdangerous.Signer(KEY).sign("e30=").decode()) == {}  # without a time


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "...", "a.b.c", "=.=.=", "\xe4.\xe4.\xe4", '"', "x" * 5000, "e30=.e30=.e30="],
)
def test_sessions_that_are_none(port: int, text: str) -> None:
    assert read(port, text) == {}


@pytest.mark.parametrize("data", [[1], "text", 5, None, [[]]])
def test_signed_by_us_but_no_dict(port: int, data: Any) -> None:
    assert read(port, signed(data)) == {}


def test_sessions_end(port: int) -> None:
    fortnight = 14 * 24 * 60 * 60
    assert read(port, signed({"a": 1}, age=fortnight - 60)) == {"a": 1}
    assert read(port, signed({"a": 1}, age=fortnight + 60)) == {}
    assert read(port, signed({"a": 1}, age=-3600)) == {}
    with on_weft(shop(weft_names(), max_age=None)) as other:
        assert read(other, signed({"a": 1}, age=10 * fortnight)) == {"a": 1}


def test_what_json_cannot_hold_is_an_error() -> None:
    app = App()
    app.add_middleware(SessionMiddleware, secret_key=KEY)

    @app.get("/")
    async def root(request: Request) -> str:
        request.session["now"] = {1, 2}
        return "never"

    with TestClient(app, raise_server_exceptions=False) as client:
        reply = client.get("/")
        assert reply.status_code == 500
        assert "set-cookie" not in reply.headers
    with TestClient(app) as client, pytest.raises(TypeError, match="not JSON serializable"):
        client.get("/")


def test_without_the_middleware_there_is_none() -> None:
    app = App()

    @app.get("/")
    async def root(request: Request) -> None:
        request.session["a"] = 1

    with TestClient(app) as client, pytest.raises(AssertionError, match="SessionMiddleware"):
        client.get("/")


def test_middleware_in_python_shares_the_session() -> None:
    app = shop(weft_names())
    sessions = app.middleware_stack.pop()

    @app.middleware("http")
    async def count(request: Request, call_next: Any) -> Any:
        request.session["count"] = request.session.get("count", 0) + 1
        return await call_next(request)

    app.middleware_stack.insert(0, sessions)
    with TestClient(app) as client:
        client.get("/read")
        client.get("/set/x")
        got = client.get("/read").json()
        assert (got["count"], got["value"]) == (3, "x")
        client.get("/nothing")
        assert client.get("/read").json()["count"] == 5


def test_a_request_that_is_kept_keeps_its_session() -> None:
    app, kept = App(), []
    app.add_middleware(SessionMiddleware, secret_key=KEY)

    @app.get("/")
    async def root(request: Request) -> None:
        kept.append(request)
        request.session["a"] = 1

    with TestClient(app) as client:
        client.get("/")
        client.get("/")
    assert kept[0].session == {"a": 1}
    assert kept[1].session is kept[1].session


def test_changes_are_noticed() -> None:
    changes: list[Any] = [
        lambda s: s.__setitem__("b", 1), lambda s: s.__delitem__("a"), lambda s: s.clear(),
        lambda s: s.pop("a"), lambda s: s.popitem(), lambda s: s.setdefault("b", 1),
        lambda s: s.update(b=1), lambda s: s.__ior__({"b": 1}), lambda s: s.mark_modified(),
    ]  # fmt: skip
    for change in changes:
        session = Session(a=1)
        assert not session.modified
        change(session)
        assert session.modified
    looks: list[Any] = [
        lambda s: s["a"], lambda s: s.get("a"), lambda s: s.pop("b", None), lambda s: list(s),
        lambda s: s.setdefault("a", 2),
    ]  # fmt: skip
    for look in looks:
        session = Session(a=1)
        look(session)
        assert not session.modified


def test_a_key_is_needed() -> None:
    with pytest.raises(ValueError, match="secret key"):
        SessionMiddleware("")


def test_cookies_of_any_key_are_starlettes() -> None:
    for key in ("x", "ü" * 40, "k" * 1000):
        app = App()
        app.add_middleware(SessionMiddleware, secret_key=key)

        @app.get("/")
        async def root(request: Request) -> Any:
            request.session["n"] = request.session.get("n", 0) + 1
            return request.session["n"]

        signer = itsdangerous.TimestampSigner(key)
        with TestClient(app) as client:
            cookie = signer.sign(base64.b64encode(b'{"n": 6}')).decode()
            reply = client.get("/", headers={"cookie": f"session={cookie}"})
            assert reply.json() == 7
            ours = reply.cookies["session"]
            assert base64.b64decode(signer.unsign(ours, 100)) == b'{"n":7}'
            quoted = client.get("/", headers={"cookie": f'session="{ours}"'})
            assert quoted.json() == 8


def test_values_come_back_as_with_starlette() -> None:
    """What weft.json writes and json does not, like a date, is refused; the reverse is not."""
    values: list[Any] = [
        0, -(10**40), 1.5, 1e300, True, None, "", "ü\n\x00😀", "\ud800", [], {},
        [[1, {"a": [None]}]], (1, 2), float("inf"), {1: "one", None: 2, 2.5: 3}, {True: 4},
        StrEnum("E", "A").A, {"": {"": []}},
    ]  # fmt: skip

    def make(middleware: Any, fw: Framework) -> Any:
        app = fw.App()
        app.add_middleware(middleware, secret_key=KEY)

        @app.get("/write/{i}")
        async def write(request: fw.Request, i: int) -> Any:  # type: ignore[name-defined]
            request.session["value"] = values[i]

        @app.get("/read")
        async def read(request: fw.Request) -> Any:  # type: ignore[name-defined]
            return repr(request.session["value"])

        return app

    got = []
    for serve, fw, middleware in (
        (on_weft, weft_names(), SessionMiddleware),
        (on_uvicorn, fastapi_names(), StarlettesSession),
    ):
        with serve(make(middleware, fw)) as port:
            read = []
            for i in range(len(values)):
                cookie = ask(port, get(f"/write/{i}")).fields["set-cookie"].partition(";")[0]
                read.append(ask(port, get("/read", cookie=cookie)).body)
            got.append(read)
    assert got[0] == got[1]

    app = App()
    app.add_middleware(SessionMiddleware, secret_key=KEY)
    refused: list[Any] = [{1, 2}, b"x", date(2020, 1, 1), {(1,): 2}, object(), Decimal(1)]
    loop: list[Any] = []
    loop.append(loop)
    refused.append(loop)

    @app.get("/{i}")
    async def write(request: Request, i: int) -> None:
        request.session["value"] = refused[i]

    with TestClient(app, raise_server_exceptions=False) as client:
        for i in range(len(refused)):
            reply = client.get(f"/{i}")
            assert (reply.status_code, "set-cookie" in reply.headers) == (500, False)


def counting(name: str, key: str | None) -> App:
    app = App()
    if key is not None:
        app.add_middleware(SessionMiddleware, secret_key=key, session_cookie=name)

    @app.get("/count")
    async def count(request: Request) -> Any:
        request.session["n"] = request.session.get("n", 0) + 1
        return [name, request.session["n"]]

    return app


def test_a_mounted_app_has_sessions_of_its_own_or_those_around_it() -> None:
    outer, own = counting("outer", KEY), counting("own", KEY + "2")
    none, deep = counting("none", None), counting("deep", None)
    own.mount("/deep", deep)
    outer.mount("/own", own)
    outer.mount("/none", none)
    paths = ["/count", "/own/count", "/none/count", "/own/deep/count"]
    with TestClient(outer) as client:
        seen = [client.get(path).json() for path in paths * 2]
        assert seen == [
            ["outer", 1], ["own", 1], ["none", 2], ["deep", 2],
            ["outer", 3], ["own", 3], ["none", 4], ["deep", 4],
        ]  # fmt: skip
        assert sorted(client.cookies) == ["outer", "own"]
        for path in paths:
            reply = client.get(path)
            assert [v.partition("=")[0] for v in reply.headers.get_list("set-cookie")] == [
                "own" if path.startswith("/own") else "outer"
            ]
            assert reply.headers.get_list("vary") == ["Cookie"]
        own_cookie = client.cookies["own"]
        forged = client.get("/count", headers={"cookie": f"outer={own_cookie}"})
        assert forged.json() == ["outer", 1]


def test_sessions_of_a_mounted_app_alone() -> None:
    outer = counting("outer", None)
    outer.mount("/own", counting("own", KEY))
    with TestClient(outer) as client:
        assert client.get("/own/count").json() == ["own", 1]
        assert client.get("/own/count").json() == ["own", 2]
        with pytest.raises(AssertionError, match="SessionMiddleware"):
            client.get("/count")
