"""Applications that do what they should not: a 500, or a stream cut short, and never more."""

from __future__ import annotations

import array
import asyncio
import contextvars
import datetime
import decimal
import functools
import gc
import json
import sys
import threading
import time
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from weft import (
    App,
    HTTPException,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Request,
    Response,
    StreamingResponse,
    _core,
)
from weft.background import BackgroundTask
from weft.server import StartupError

from .wire import Broken, Reply, Served, eventually, get, post, served

ERROR = (500, b"Internal Server Error")


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def serve(app: App) -> Iterator[Callable[..., Served]]:
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda **limits: stack.enter_context(served(app, **limits))


def ask(server: Served, data: bytes | str = "/") -> Reply:
    """A reply after which the connection, and a fresh one, are of use."""
    with server.connect() as client:
        reply = client.send(get(data) if isinstance(data, str) else data).reply()
        assert reply is not None
        assert client.is_open()
    assert server.is_well()
    return reply


def seen(reply: Reply) -> tuple[int, bytes]:
    return reply.status, reply.body


# ---- what they raise ----


class Unspeakable(Exception):
    """Nothing about it can be said."""

    def __str__(self) -> str:
        raise ValueError("no")

    __repr__ = __str__


class OfItsOwn(BaseException):
    pass


def recurse(n: int = 0) -> int:
    return recurse(n + 1) + 1


def raiser(kind: Any) -> Callable[[], None]:
    def raise_it() -> None:
        if kind is recurse:
            recurse()
        raise kind

    return raise_it


RAISED = {
    "ValueError": ValueError("no"),
    "a class": KeyError,
    "RecursionError": recurse,
    "MemoryError": MemoryError(),
    "StopIteration": StopIteration(1),
    "StopAsyncIteration": StopAsyncIteration(),
    "CancelledError": asyncio.CancelledError("no"),
    "GeneratorExit": GeneratorExit(),
    "SystemExit": SystemExit(3),
    "a BaseException": OfItsOwn(),
    "a group": ExceptionGroup("no", [ValueError(), KeyError()]),
    "a group with SystemExit": BaseExceptionGroup("no", [SystemExit(1), asyncio.CancelledError()]),
    "one that cannot be printed": Unspeakable(),
    "one with a surrogate": ValueError("\ud800\0\r\n"),
    "no exception": 3,
    "BrokenPipeError": BrokenPipeError(),
    "TimeoutError": TimeoutError(),
    "UnicodeDecodeError": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"),
}


@pytest.mark.parametrize("row", RAISED)
def test_raised(app: App, serve: Callable[..., Served], row: str, caplog: Any) -> None:
    raise_it = raiser(RAISED[row])

    @app.get("/at-once")
    async def at_once() -> None:
        raise_it()

    @app.get("/later")
    async def later() -> None:
        await asyncio.sleep(0)
        raise_it()

    @app.get("/thread")
    def thread() -> None:
        raise_it()

    @app.get("/inline", inline=True)
    def inline() -> None:
        raise_it()

    @app.get("/child")
    async def child() -> None:
        if isinstance(RAISED[row], SystemExit):
            raise_it()  # out of a task it is asyncio's own affair, and ends the loop
        await asyncio.gather(later(), asyncio.sleep(0))

    server = serve()
    paths = ["/at-once", "/later", "/thread", "/inline", "/child"]
    for path in paths:
        assert seen(ask(server, path)) == ERROR
    assert sum(r.name == "weft.error" for r in caplog.records) == len(paths)


@pytest.mark.parametrize("row", RAISED)
def test_raised_by_an_exception_handler(app: App, serve: Callable[..., Served], row: str) -> None:
    raise_it = raiser(RAISED[row])

    class First(Exception):
        pass

    @app.exception_handler(First)
    async def first(request: Request, exc: First) -> Any:
        await asyncio.sleep(0)
        raise_it()

    @app.exception_handler(Exception)
    def last_resort(request: Request, exc: Exception) -> Any:
        raise_it()

    @app.get("/first")
    async def raise_first() -> None:
        raise First

    @app.get("/other")
    def raise_other() -> None:
        raise ZeroDivisionError

    server = serve()
    assert seen(ask(server, "/first")) == ERROR
    assert seen(ask(server, "/other")) == ERROR


def test_exceptions_that_change_on_the_way(app: App, serve: Callable[..., Served]) -> None:
    class Odd(HTTPException):
        @property
        def status_code(self) -> int:
            raise ZeroDivisionError

        @status_code.setter
        def status_code(self, value: int) -> None:
            pass

    class Bare(HTTPException):
        def __init__(self) -> None:
            pass

    @app.exception_handler(404)
    async def not_found(request: Request, exc: Any) -> None:
        del exc.status_code, exc.detail
        raise exc

    @app.get("/odd")
    async def odd() -> None:
        raise Odd(400)

    @app.get("/bare")
    async def bare() -> None:
        raise Bare

    @app.get("/deleted")
    async def deleted() -> None:
        raise HTTPException(404)

    server = serve()
    for path in ("/odd", "/bare", "/deleted"):
        assert seen(ask(server, path)) == ERROR


@pytest.mark.parametrize(
    "headers", [3, "x", [("a", "b")], {"a": 1}, {1: "a"}, {"a": None}, {"ü": "€"}]
)
def test_headers_of_exceptions(app: App, serve: Callable[..., Served], headers: Any) -> None:
    @app.get("/")
    async def raises() -> None:
        raise HTTPException(400, headers=headers)

    assert seen(ask(serve())) == ERROR


# ---- what they return ----


def recursive_list() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def recursive_dict() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["a"] = [value]
    return value


def nested(n: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(n):
        value = [value]
    return value


class Zone(datetime.tzinfo):
    """Runs what it is given while a reply is being encoded."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self.do = do

    def utcoffset(self, when: datetime.datetime | None) -> Any:
        return self.do()


def in_the_middle(do: Callable[[], Any]) -> Any:
    return ["before", datetime.datetime(2024, 1, 1, tzinfo=Zone(do)), "behind"]


def raising(exc: Any) -> Any:
    return in_the_middle(raiser(exc))


class Items(dict[str, Any]):
    def items(self) -> Any:
        raise ZeroDivisionError


async def coroutine() -> int:
    return 1


UNSENDABLE = {
    "an object": object,
    "a recursive list": recursive_list,
    "a recursive dict": recursive_dict,
    "nested too deep": lambda: nested(100_000),
    "a lone surrogate": lambda: "\ud800",
    "a surrogate in a key": lambda: {"\udfff": 1},
    "NaN": lambda: float("nan"),
    "infinity": lambda: [float("-inf")],
    "Decimal NaN": lambda: decimal.Decimal("sNaN"),
    "bytes that are no text": lambda: b"\xff",
    "too large an int": lambda: 10**5000,
    "a function": lambda: ask,
    "a class": lambda: App,
    "a module": lambda: sys,
    "a lock": threading.Lock,
    "a set of them": lambda: {object()},
    "a generator that raises": lambda: (1 / 0 for _ in "a"),
    "a date of no time zone": lambda: raising(ValueError()),
    "SystemExit on the way": lambda: raising(SystemExit(1)),
    "CancelledError on the way": lambda: raising(asyncio.CancelledError()),
    "a wrong offset on the way": lambda: in_the_middle(lambda: 3),
    "recursion on the way": lambda: raising(recurse),
}


@pytest.mark.parametrize("row", UNSENDABLE)
def test_unsendable(app: App, serve: Callable[..., Served], row: str) -> None:
    make = UNSENDABLE[row]

    @app.get("/async")
    async def of_async() -> Any:
        return make()

    @app.get("/later")
    async def later() -> Any:
        await asyncio.sleep(0)
        return {"half": "a reply", "value": make()}

    @app.get("/sync")
    def of_sync() -> Any:
        return [make()]

    @app.get("/text", response_class=PlainTextResponse)
    async def text() -> Any:
        return make()

    @app.get("/json")
    async def as_json() -> Any:
        return JSONResponse(make())

    @app.get("/detail")
    async def detail() -> Any:
        raise HTTPException(400, make())

    @app.exception_handler(KeyError)
    async def rescue(request: Request, exc: KeyError) -> Any:
        return make()

    @app.get("/rescued")
    async def rescued() -> Any:
        raise KeyError

    @app.get("/injected")
    async def injected(response: Response) -> Any:
        response.headers["x-half"] = "a reply"
        return make()

    server = serve()
    text_too = row in ("bytes that are no text",)
    for path in ("/async", "/later", "/sync", "/text", "/json", "/detail", "/rescued", "/injected"):
        reply = ask(server, path)
        if path == "/text" and text_too:
            assert seen(reply) == (200, b"\xff")
        else:
            assert seen(reply) == ERROR, path
            assert reply.field("x-half") is None


def test_values_that_change_while_they_are_sent(app: App, serve: Callable[..., Served]) -> None:
    @app.get("/list")
    async def shrinking() -> Any:
        value: list[Any] = []
        value += ["a", *in_the_middle(value.clear), *range(1000)]
        return value

    @app.get("/dict")
    async def growing() -> Any:
        value: dict[str, Any] = {}
        middle = in_the_middle(lambda: value.update({str(i): i for i in range(1000)}))
        value.update(a=1, b=middle, c=2)
        return value

    @app.get("/same")
    async def replaced() -> Any:
        value: list[Any] = []

        def replace() -> None:
            for i in range(len(value)):
                value[i] = object()
            gc.collect()

        value += [*in_the_middle(replace), [1] * 100]
        return value

    server = serve()
    for path in ("/list", "/dict", "/same"):
        assert ask(server, path).status in (200, 500)


def test_a_task_that_is_waited_for_in_vain(app: App, serve: Callable[..., Served]) -> None:
    class Yields:
        def __init__(self, *values: Any) -> None:
            self.values = values

        def __await__(self) -> Iterator[Any]:
            yield from self.values

    @app.get("/number")
    async def number() -> None:
        await Yields(42)  # type: ignore[misc]

    @app.get("/itself")
    async def itself() -> None:
        await asyncio.current_task()  # type: ignore[misc]

    @app.get("/foreign")
    async def foreign() -> None:
        loop = asyncio.new_event_loop()
        try:
            await loop.create_future()
        finally:
            loop.close()

    @app.get("/unblocked")
    async def unblocked() -> None:
        await Yields(asyncio.get_running_loop().create_future())  # type: ignore[misc]

    @app.get("/twice")
    async def twice() -> None:
        waiting = coroutine()
        await waiting
        await waiting

    server = serve()
    for path in ("/number", "/itself", "/foreign", "/unblocked", "/twice"):
        assert seen(ask(server, path)) == ERROR


# ---- statuses ----

STATUSES = [
    0,
    1,
    99,
    100,
    101,
    199,
    600,
    999,
    1000,
    -1,
    -200,
    10**30,
    -(10**30),
    2**32 + 200,
    2**64,
]
NO_STATUSES = ["200", 200.0, object, [], b"200"]


@pytest.mark.parametrize("status", STATUSES + NO_STATUSES + [None, True], ids=repr)
def test_odd_statuses(app: App, serve: Callable[..., Served], status: Any) -> None:
    @app.get("/response")
    async def response() -> Response:
        return Response("a", status_code=status)

    @app.get("/changed")
    async def changed() -> Response:
        response = PlainTextResponse("a")
        response.status_code = status
        return response

    @app.get("/stream")
    async def stream() -> Response:
        return StreamingResponse(iter(["a"]), status_code=status)

    @app.get("/injected")
    async def injected(response: Response) -> str:
        response.status_code = status
        return "a"

    @app.get("/raised")
    async def raised() -> None:
        raise HTTPException(status, "a")

    @app.exception_handler(404)
    async def not_found(request: Request, exc: HTTPException) -> Response:
        return Response(status_code=status)

    server = serve()
    for path in ("/response", "/changed", "/stream", "/injected", "/raised", "/nowhere"):
        if path == "/injected" and status is None:
            assert seen(ask(server, path)) == (200, b'"a"')  # as if nothing had been set
        else:
            assert seen(ask(server, path)) == ERROR, path


@pytest.mark.parametrize("status", [204, 304])
def test_bodies_where_there_is_none(app: App, serve: Callable[..., Served], status: int) -> None:
    @app.get("/response")
    async def response() -> Response:
        return Response("body", status_code=status, headers={"content-length": "4"})

    @app.get("/value", status_code=status, response_model=None)
    async def value() -> str:
        return "body"

    @app.get("/stream")
    async def stream() -> Response:
        return StreamingResponse(iter(["body"]), status_code=status)

    @app.get("/injected")
    async def injected(response: Response) -> str:
        response.status_code = status
        return "body"

    @app.get("/raised")
    async def raised() -> None:
        raise HTTPException(status, "body")

    server = serve()
    for path in ("/response", "/value", "/stream", "/injected", "/raised"):
        reply = ask(server, path)
        assert seen(reply) == (status, b"")
        assert reply.field("transfer-encoding") is reply.field("content-length") is None


# ---- header values ----

EVIL = ["a\r\nevil: 1", "a\nevil: 1", "a\revil: 1", "\r\n\r\n<script>", "a\0b", "a\x7fb", "a\x0bb"]
WAYS: dict[str, Callable[[str], Any]] = {
    "headers=": lambda v: Response("a", headers={"x": v}),
    "a name": lambda v: Response("a", headers={v: "x"}),
    "a name of a stream": lambda v: StreamingResponse(iter("a"), headers={v: "x"}),
    "a stream": lambda v: StreamingResponse(iter("a"), headers={"x": v}),
    "media_type=": lambda v: Response("a", media_type=v),
    "content-type": lambda v: Response("a", headers={"content-type": v}),
    "a cookie's name": lambda v: with_cookie(v),
    "a cookie's value": lambda v: with_cookie("a", v),
    "a cookie's path": lambda v: with_cookie("a", path=v),
    "a cookie's domain": lambda v: with_cookie("a", domain=v),
    "a cookie's expiry": lambda v: with_cookie("a", expires=v),
    "a cookie's age": lambda v: with_cookie("a", max_age=v),
    "a redirect": lambda v: RedirectResponse("/" + v),
    "location": lambda v: Response(status_code=307, headers={"location": v}),
    "raw_headers": lambda v: with_raw(b"x", v.encode()),
    "a raw name": lambda v: with_raw(v.encode(), b"x"),
    "a length": lambda v: Response("a", headers={"content-length": v}),
    "connection": lambda v: Response("a", headers={"connection": v}),
    "an exception": lambda v: HTTPException(400, headers={"x": v}),
    "an exception's name": lambda v: HTTPException(400, headers={v: "x"}),
}


def with_cookie(name: str, value: str = "b", **options: Any) -> Response:
    response = Response("a")
    response.set_cookie(name, value, **options)
    return response


def with_raw(name: bytes, value: bytes) -> Response:
    response = Response("a")
    response.raw_headers.append((name, value))
    return response


@pytest.mark.parametrize("way", WAYS)
def test_no_value_splits_a_reply(app: App, serve: Callable[..., Served], way: str) -> None:
    make = WAYS[way]

    @app.get("/{i}")
    async def answer(i: int) -> Any:
        made = make(EVIL[i])
        if isinstance(made, Exception):
            raise made
        return made

    @app.get("/injected/{i}")
    async def injected(i: int, response: Response) -> str:
        made = make(EVIL[i])
        if isinstance(made, Exception):
            raise made
        response.raw_headers.extend(made.raw_headers)
        return "a"

    server = serve()
    for path in ("/", "/injected/"):
        for i in range(len(EVIL)):
            reply = ask(server, f"{path}{i}")
            if reply.status == 500:
                continue
            assert way in ("a cookie's value", "a redirect", "a cookie's expiry"), (way, EVIL[i])
            assert {name for name, _ in reply.fields} <= {
                "date", "server", "content-type", "content-length", "set-cookie", "location",
                "transfer-encoding", "connection",
            }  # fmt: skip
            assert not any(set(value) & set("\r\n\0\x7f\x0b") for _, value in reply.fields)


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a:", ":", "a\t", "(a)", "ü", "a\r\nb", "a" * 100_000 + ":"]
)
def test_names_that_are_none(app: App, serve: Callable[..., Served], name: str) -> None:
    @app.get("/")
    async def reply() -> Response:
        return Response("a", headers={name: "b"})

    assert seen(ask(serve())) == ERROR


@pytest.mark.parametrize(
    "raw",
    [
        None, 3, "x", (), {"a": "b"}, ["ab"], [("a", "b")], [(b"a", "b")], [(b"a",)], [None],
        [(b"a", b"b", b"c")], [[b"a", b"b"]], [(b"a", bytearray(b"b"))],
    ],
    ids=repr,
)  # fmt: skip
def test_raw_headers_that_are_none(app: App, serve: Callable[..., Served], raw: Any) -> None:
    def spoil(response: Response) -> Response:
        response.raw_headers = raw
        return response

    @app.get("/whole")
    async def whole() -> Response:
        return spoil(Response("a"))

    @app.get("/stream")
    async def stream() -> Response:
        return spoil(StreamingResponse(iter("a")))

    @app.get("/injected")
    async def injected(response: Response) -> str:
        spoil(response)
        return "a"

    server = serve()
    for path in ("/whole", "/stream", "/injected"):
        assert ask(server, path).status == (200 if raw is None else 500)


def test_our_own_fields_stay_ours(app: App, serve: Callable[..., Served]) -> None:
    fields = {
        "Content-Length": "1", "content-length": "100", "Transfer-Encoding": "chunked",
        "CONNECTION": "Upgrade, keep-alive", "x": "y",
    }  # fmt: skip

    @app.get("/")
    async def answer() -> Response:
        return Response("body", headers=fields)

    reply = ask(serve())
    assert seen(reply) == (200, b"body")
    assert (reply.field("content-length"), reply.field("x")) == ("4", "y")
    assert reply.field("connection") is reply.field("transfer-encoding") is None


def test_an_application_may_close_the_connection(app: App, serve: Callable[..., Served]) -> None:
    @app.get("/whole")
    async def whole() -> Response:
        return Response("body", headers={"Connection": "Close"})

    @app.get("/stream")
    async def stream() -> Response:
        return StreamingResponse(["body"], headers={"connection": "close"})

    @app.get("/beside")
    async def beside(response: Response) -> str:
        response.headers["connection"] = "close"
        return "body"

    server = serve()
    for path in ("/whole", "/stream", "/beside"):
        with server.connect() as client:
            reply = client.send(get(path) * 2).reply()
            assert reply is not None
            assert (reply.status, reply.field("connection")) == (200, "close")
            assert client.rest() == b""  # neither another reply nor a reset


@pytest.mark.parametrize("n", [100, 255, 256, 257, 100_000])
def test_how_many_fields(app: App, serve: Callable[..., Served], n: int) -> None:
    @app.get("/")
    async def answer() -> Response:
        response = Response("a")
        response.raw_headers = [(b"x-%d" % i, b"y") for i in range(n)]
        return response

    reply = ask(serve())
    assert reply.status == (200 if n <= 256 else 500)
    assert len(reply.fields) == (n + 3 if n <= 256 else 4)


def test_a_value_of_a_megabyte(app: App, serve: Callable[..., Served]) -> None:
    @app.get("/")
    async def reply() -> Response:
        return Response("a", headers={"x": "y" * 1_000_000})

    assert ask(serve()).field("x") == "y" * 1_000_000


def test_responses_that_change_while_they_are_read(app: App, serve: Callable[..., Served]) -> None:
    """Reading one attribute runs code that pulls the others away."""

    class Status:
        def __init__(self, response: Response) -> None:
            self.response = response

        def __index__(self) -> int:
            self.response.raw_headers.clear()
            self.response.body = b""
            gc.collect()
            return 200

    def trap(response: Response) -> Response:
        response.raw_headers.extend((b"x-%d" % i, b"y" * 100) for i in range(100))
        response.status_code = Status(response)  # type: ignore[assignment]
        return response

    kept: list[Response] = []

    @app.get("/whole")
    async def whole() -> Response:
        return trap(Response("a" * 100))

    @app.get("/stream")
    async def stream() -> Response:
        return trap(StreamingResponse(iter("a")))

    @app.get("/injected")
    async def injected(response: Response) -> str:
        trap(response)
        return "a"

    @app.get("/both")
    async def both(response: Response) -> Response:
        own = Response("a")
        own.raw_headers.extend((b"x-%d" % i, b"y" * 100) for i in range(100))
        response.status_code = Status(own)  # type: ignore[assignment]
        return own

    @app.get("/kept")
    async def keep() -> Response:
        kept.append(trap(Response("a")))
        return kept[-1]

    server = serve()
    for path in ("/whole", "/stream", "/injected", "/both", "/kept"):
        assert ask(server, path).status == 200


# ---- bodies ----


def released() -> memoryview:
    view = memoryview(b"abc")
    view.release()
    return view


BODIES: dict[str, tuple[Callable[[], Any], bytes | None]] = {
    "a bytearray": (lambda: bytearray(b"abc"), b"abc"),
    "a memoryview": (lambda: memoryview(b"abc"), b"abc"),
    "a large one": (lambda: memoryview(b"a" * 100_000), b"a" * 100_000),
    "part of one": (lambda: memoryview(b"abcdef")[1:3], b"bc"),
    "every second byte": (lambda: memoryview(b"abcdef")[::2], None),
    "backwards": (lambda: memoryview(b"abc")[::-1], None),
    "every second byte of many": (lambda: memoryview(b"a" * 100_000)[::2], None),
    "in columns": (lambda: memoryview(b"abcdef").cast("B", [2, 3]), b"abcdef"),
    "numbers": (lambda: array.array("I", [1]), (1).to_bytes(4, sys.byteorder)),
    "a view of numbers": (lambda: memoryview(array.array("B", b"abc")), b"abc"),
    "a released view": (released, None),
    "nothing": (lambda: None, b""),
    "text": (lambda: "abc", None),
    "a number": (lambda: 3, None),
    "a list": (lambda: [b"abc"], None),
    "an object": (object, None),
}


@pytest.mark.parametrize("row", BODIES)
def test_bodies(app: App, serve: Callable[..., Served], row: str) -> None:
    make, expected = BODIES[row]

    @app.get("/whole")
    async def whole() -> Response:
        response = Response()
        response.body = make()
        return response

    @app.get("/stream")
    async def stream() -> Response:
        return StreamingResponse(iter([b"", make(), b""]))

    server = serve()
    assert seen(ask(server, "/whole")) == ((200, expected) if expected is not None else ERROR)
    expected = {"text": b"abc", "nothing": None}.get(row, expected)
    with server.connect() as client:
        client.send(get("/stream"))
        if expected is None:
            with pytest.raises(Broken):
                client.reply()
        else:
            reply = client.reply()
            assert reply is not None
            assert seen(reply) == (200, expected)
    assert server.is_well()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ is new in 3.12")
def test_a_buffer_that_pulls_the_rug(app: App, serve: Callable[..., Served]) -> None:
    class Body:
        def __init__(self, response: Response) -> None:
            self.response = response

        def __buffer__(self, flags: int) -> memoryview:
            self.response.raw_headers.clear()
            gc.collect()
            return memoryview(b"abc" * 20_000)

    @app.get("/")
    async def reply() -> Response:
        response = Response()
        response.raw_headers.extend((b"x-%d" % i, b"y" * 100) for i in range(100))
        response.body = Body(response)  # type: ignore[assignment]
        return response

    assert seen(ask(serve())) == (200, b"abc" * 20_000)


def test_a_body_is_not_resized_under_us(app: App, serve: Callable[..., Served]) -> None:
    body = bytearray(1_000_000)
    refused: list[BaseException] = []

    def shrink() -> None:
        try:
            body.clear()
        except BufferError as exc:
            refused.append(exc)

    @app.get("/")
    async def reply() -> Response:
        asyncio.get_running_loop().call_soon(shrink)
        return Response(body)

    with serve().connect(receive_buffer=4096) as client:
        client.send(get("/"))
        assert eventually(lambda: bool(refused))
        assert seen(client.reply()) == (200, bytes(1_000_000))  # type: ignore[arg-type]

    def is_free() -> bool:
        try:
            body.clear()
        except BufferError:
            return False
        return True

    assert eventually(is_free)


def test_responses_that_change_after_their_return(app: App, serve: Callable[..., Served]) -> None:
    shared = Response("a" * 50_000, headers={"x": "1"})

    def spoil() -> None:
        shared.body = b"later"
        shared.status_code = 201
        shared.raw_headers[:] = [(b"x", b"2")]

    @app.get("/")
    async def reply() -> Response:
        asyncio.get_running_loop().call_soon(spoil)
        return shared

    server = serve()
    first = ask(server)
    assert (first.status, first.body, first.field("x")) == (200, b"a" * 50_000, "1")
    second = ask(server)
    assert (second.status, second.body, second.field("x")) == (201, b"later", "2")

    @app.get("/deleted")
    async def nothing_left() -> Response:
        return shared

    del shared.body, shared.status_code, shared.raw_headers
    assert seen(ask(server)) == (200, b"")


def test_one_stream_returned_twice(app: App, serve: Callable[..., Served]) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(0.01)
        yield b"b"

    shared = StreamingResponse(chunks())

    @app.get("/")
    async def reply() -> Response:
        return shared

    server = serve()
    clients = [server.connect().send(get("/")) for _ in range(3)]
    bodies = []
    for client in clients:
        try:
            reply = client.reply()
            bodies.append(reply and reply.body)
        except Broken:
            bodies.append(None)
        client.socket.close()
    assert bodies.count(b"ab") <= 1
    assert server.is_well()


# ---- streams ----


async def agen(*chunks: Any) -> AsyncIterator[Any]:
    for chunk in chunks:
        if isinstance(chunk, BaseException):
            raise chunk
        yield chunk
        await asyncio.sleep(0)


def gen(*chunks: Any) -> Iterator[Any]:
    for chunk in chunks:
        if isinstance(chunk, BaseException):
            raise chunk
        yield chunk


class BadAsync:
    def __aiter__(self) -> Any:
        return 3


class BadNext:
    def __aiter__(self) -> Any:
        return self

    def __anext__(self) -> Any:
        return 3


class BadIter:
    def __iter__(self) -> Any:
        return 3


class BadClose:
    """Fails, and then fails to close."""

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> bytes:
        raise ValueError

    async def aclose(self) -> None:
        raise KeyError


STREAMS: dict[str, Callable[[], Any]] = {
    "a number": lambda: agen(b"a", 3),
    "None": lambda: agen(b"a", None),
    "a list": lambda: agen(b"a", [b"b"]),
    "a surrogate": lambda: agen(b"a", "\ud800"),
    "a number, from a thread": lambda: gen(b"a", 3),
    "bytes, which yield numbers": lambda: b"abc",
    "ValueError at once": lambda: agen(ValueError()),
    "ValueError": lambda: agen(b"a", ValueError()),
    "ValueError from a thread": lambda: gen(b"a", ValueError()),
    "StopIteration": lambda: agen(b"a", StopIteration()),
    "StopIteration from a thread": lambda: gen(b"a", StopIteration()),
    "StopAsyncIteration": lambda: agen(b"a", StopAsyncIteration()),
    "GeneratorExit": lambda: agen(b"a", GeneratorExit()),
    "CancelledError": lambda: agen(b"a", asyncio.CancelledError()),
    "SystemExit": lambda: agen(b"a", SystemExit(1)),
    "SystemExit at once": lambda: agen(SystemExit(1)),
    "SystemExit from a thread": lambda: gen(b"a", SystemExit(1)),
    "HTTPException": lambda: agen(b"a", HTTPException(400)),
    "no async iterator": BadAsync,
    "nothing to wait for": BadNext,
    "no iterator": BadIter,
    "one that cannot be closed": BadClose,
    "a view with gaps": lambda: agen(memoryview(b"abcd")[::2]),
}


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("row", STREAMS)
def test_streams(
    app: App, serve: Callable[..., Served], row: str, later: bool, caplog: Any
) -> None:
    make = STREAMS[row]

    @app.get("/")
    async def stream() -> Response:
        if later:
            await asyncio.sleep(0)
        return StreamingResponse(make())

    server = serve()
    with server.connect() as client, pytest.raises(Broken):
        client.send(get("/")).reply()
    with server.connect() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.head().status == 200
        client.rest()
    assert server.is_well()
    assert sum(r.name == "weft.error" for r in caplog.records) == 2


@pytest.mark.parametrize(
    ("length", "chunks", "body"),
    [
        ("3", ["a", "bc"], b"abc"),
        ("0", [], b""),
        ("4", ["a", "bc"], None),
        ("4", [], None),
        ("2", ["a", "bc"], None),
        ("2", ["abc"], None),
        ("+3", ["abc"], b"abc"),  # says nothing: sent in chunks
        ("0x3", ["abc"], b"abc"),
        ("", ["abc"], b"abc"),
        ("9" * 30, ["abc"], b"abc"),
        ("3, 3", ["abc"], b"abc"),
    ],
)
def test_streams_that_say_their_length(
    app: App, serve: Callable[..., Served], length: str, chunks: list[str], body: bytes | None
) -> None:
    @app.get("/")
    async def stream() -> Response:
        return StreamingResponse(iter(chunks), headers={"content-length": length})

    server = serve()
    with server.connect() as client:
        client.send(get("/"))
        if body is None:
            with pytest.raises(Broken):
                client.reply()
        else:
            reply = client.reply()
            assert reply is not None
            assert seen(reply) == (200, body)
            assert client.is_open()
    with server.connect() as client:
        reply = client.send(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").reply(to_head=True)
        assert reply is not None
        assert client.is_open()
    assert server.is_well()


def test_a_stream_that_says_it_is_empty(app: App, serve: Callable[..., Served]) -> None:
    @app.get("/")
    async def stream() -> Response:
        return StreamingResponse(iter(["a"]), headers={"content-length": "0"})

    with serve().connect() as client:
        data = client.send(get("/") + get("/ok")).rest()
        assert data.endswith(b"content-length: 0\r\n\r\n")  # whole, and the last


def test_no_content_follows_a_cut_stream(app: App, serve: Callable[..., Served]) -> None:
    """A pipelined request is not answered into the middle of it."""

    @app.get("/stream")
    async def stream() -> Response:
        return StreamingResponse(agen(b"a", ValueError()))

    with serve().connect() as client:
        data = client.send(get("/stream") + get("/ok")).rest()
        assert data.endswith(b"\r\n1\r\na\r\n")


def test_what_is_not_iterable(app: App, serve: Callable[..., Served]) -> None:
    @app.get("/")
    async def stream() -> Response:
        return StreamingResponse(3)  # type: ignore[arg-type]

    @app.get("/changed")
    async def changed() -> Response:
        response = StreamingResponse(agen())
        response.body_iterator = 3  # type: ignore[assignment]
        return response

    server = serve()
    assert seen(ask(server)) == ERROR
    with server.connect() as client, pytest.raises(Broken):
        client.send(get("/changed")).reply()
    assert server.is_well()


# ---- the request, in the wrong place or at the wrong time ----


def test_a_request_after_its_end(app: App, serve: Callable[..., Served]) -> None:
    kept: list[Request] = []
    said: list[Any] = []
    done = threading.Event()

    async def afterwards(request: Request) -> None:
        await asyncio.sleep(0.01)
        for look in (
            lambda: request.method, lambda: str(request.url), lambda: request.headers["x"],
            lambda: request.query_params["q"], lambda: request.path_params, lambda: request.client,
            lambda: request.cookies, lambda: request.raw_path, lambda: repr(request),
        ):  # fmt: skip
            said.append(look())
        for read in (request.body, request.json, request.is_disconnected):
            try:
                said.append(await read())
            except Exception as exc:
                said.append(type(exc))
        done.set()

    @app.post("/{name}")
    async def keep(request: Request) -> Response:
        kept.append(request)
        return Response(background=BackgroundTask(afterwards, request))

    server = serve()
    ask(server, post("/a?q=1", b"body", b"x: y", b"cookie: a=b"))
    assert done.wait(30)
    assert said[:2] == ["POST", "http://a/a?q=1"]
    assert said[2:5] == ["y", "1", {"name": "a"}]
    assert said[6:] == [
        {"a": "b"}, b"/a", "<Request POST /a>", RuntimeError, RuntimeError, True,
    ]  # fmt: skip
    for _ in range(100):
        ask_fast(server)
    request = kept[0]
    assert (request.method, request.headers["x"], request.query_params["q"]) == ("POST", "y", "1")


def ask_fast(server: Served) -> None:
    assert server.ask(get("/ok")) is not None


def test_a_request_in_another_task(app: App, serve: Callable[..., Served]) -> None:
    ended: list[Any] = []
    done = threading.Event()

    @app.post("/")
    async def start(request: Request) -> str:
        async def read() -> None:
            try:
                ended.append(await request.body())
            except Exception as exc:
                ended.append(exc)
            done.set()

        kept.append(asyncio.ensure_future(read()))
        await asyncio.sleep(0)
        return "at once"

    kept: list[asyncio.Future[None]] = []
    server = serve()
    with server.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc")
        reply = client.reply()
        assert reply is not None
        assert reply.body == b'"at once"'
        assert done.wait(30)  # it does not wait for what can no longer come
    assert isinstance(ended[0], RuntimeError)
    assert server.is_well()


def test_a_body_read_twice(app: App, serve: Callable[..., Served]) -> None:
    @app.post("/body")
    async def body(request: Request) -> Any:
        return [(await request.body()).decode(), (await request.body()).decode()]

    @app.post("/at-once")
    async def at_once(request: Request) -> Any:
        results = await asyncio.gather(request.body(), request.body(), return_exceptions=True)
        return [type(result).__name__ for result in results]

    @app.post("/streamed")
    async def streamed(request: Request) -> Any:
        first = [len(chunk) async for chunk in request.stream()]
        try:
            await request.body()
        except RuntimeError:
            return first

    @app.post("/half")
    async def half(request: Request) -> Any:
        async for _ in request.stream():
            break
        return (await request.body()).decode()  # as in Starlette: what is left of it

    server = serve()
    assert json.loads(ask(server, post("/body", b"abc")).body) == ["abc", "abc"]
    assert json.loads(ask(server, post("/at-once", b"abc")).body) == ["bytes", "bytes"]
    with server.connect() as client:  # one waits, the other finds it reading
        data = post("/at-once", b"abc")
        client.send(data[:-1])
        time.sleep(0.02)
        reply = client.send(data[-1:]).reply()
        assert reply is not None
        assert json.loads(reply.body) == ["bytes", "RuntimeError"]
    assert json.loads(ask(server, post("/streamed", b"abc")).body) == [3, 0]
    assert json.loads(ask(server, post("/half", b"abc")).body) == ""


def test_reading_goes_on_after_a_timeout(app: App, serve: Callable[..., Served]) -> None:
    waited = threading.Event()

    @app.post("/")
    async def read(request: Request) -> Any:
        got = b""
        while True:
            try:
                async with asyncio.timeout(0.02):
                    chunk = await request._chunk()
            except TimeoutError:
                waited.set()
                continue
            if not chunk:
                return got.decode()
            got += chunk

    server = serve()
    with server.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc")
        assert waited.wait(30)
        reply = client.send(b"def").reply()
        assert reply is not None
        assert reply.body == b'"abcdef"'
        assert client.is_open()


def test_bodies_of_routes_that_take_none(app: App, serve: Callable[..., Served]) -> None:
    @app.exception_handler(KeyError)
    async def rescue(request: Request, exc: KeyError) -> Any:
        return [(await request.body()).decode(), (await request.body()).decode()]

    @app.post("/ignored")
    async def ignored() -> None:
        raise KeyError

    @app.post("/whole")
    async def whole(body: dict[str, int]) -> None:
        raise KeyError

    @app.post("/stream")
    async def stream(request: Request) -> None:
        raise KeyError

    @app.post("/read")
    async def read(request: Request) -> None:
        await request.body()
        raise KeyError

    server = serve()
    kind = b"content-type: application/json"
    assert json.loads(ask(server, post("/ignored", b'{"a":1}', kind)).body) == ["", ""]
    for path in ("/whole", "/stream", "/read"):
        assert json.loads(ask(server, post(path, b'{"a":1}', kind)).body)[0] == '{"a":1}'


def test_a_body_in_a_thread(app: App, serve: Callable[..., Served]) -> None:
    @app.post("/")
    def read(request: Request) -> str:
        try:
            asyncio.run(request.body())
        except RuntimeError as exc:
            return str(exc)
        return "read"

    assert b"another thread" in ask(serve(), post("/", b"abc")).body


def test_attributes_of_a_request(app: App, serve: Callable[..., Served]) -> None:
    @app.get("/")
    async def look(request: Request) -> Any:
        refused = 0
        for name in ("method", "path", "headers", "app", "client", "raw_headers", "_call"):
            try:
                setattr(request, name, None)
                delattr(request, name)
            except AttributeError:
                refused += 1
        try:
            type(request)()
        except TypeError:
            refused += 1
        request.own = request  # type: ignore[attr-defined]
        request.raw_headers.clear()
        return refused

    assert ask(serve()).status == 200


# ---- endpoints of every kind ----


def test_endpoints(app: App, serve: Callable[..., Served]) -> None:
    class Callable_:
        def __call__(self, q: int = 0) -> int:
            return q

    class AsyncCallable:
        async def __call__(self, q: int = 0) -> int:
            return q

        async def method(self, q: int = 0) -> int:
            return q

        @staticmethod
        async def static(q: int = 0) -> int:
            return q

    class Made:
        def __init__(self, q: int = 0) -> None:
            self.q = q

    async def function(p: int, q: int = 0) -> int:
        return q

    def wrapped(q: int = 0) -> Any:
        return function(0, q)

    @types.coroutine
    def old(q: int = 0) -> Any:
        yield
        return q

    endpoints: dict[str, tuple[Any, bytes]] = {
        "/object": (Callable_(), b"3"),
        "/async-object": (AsyncCallable(), b"3"),
        "/method": (AsyncCallable().method, b"3"),
        "/static": (AsyncCallable.static, b"3"),
        "/partial": (functools.partial(function, 1), b"3"),
        "/partial-of-partial": (functools.partial(functools.partial(function, p=1)), b"3"),
        "/partial-object": (functools.partial(AsyncCallable()), b"3"),
        "/lambda": (lambda q=0: q, b'"3"'),
        "/returns-a-coroutine": (wrapped, b"3"),
        "/class": (Made, b'{"q":3}'),
    }
    for path, (endpoint, _) in endpoints.items():
        app.add_api_route(path, endpoint)
    server = serve()
    for path, (_, body) in endpoints.items():
        reply = ask(server, path + "?q=3")
        assert seen(reply) in ((200, body), ERROR), path
        if path not in ("/class", "/lambda"):
            assert reply.status == 200, path


def test_endpoints_that_cannot_be_one(app: App) -> None:
    for endpoint in (3, None, "x", coroutine()):
        with pytest.raises(TypeError):
            app.add_api_route("/", endpoint)  # type: ignore[arg-type]
        if isinstance(endpoint, types.CoroutineType):
            endpoint.close()
    for path in ("", "a", "/{", "/{a", "/{a}/{a}", "/{a:nothing}"):

        def add_and_serve() -> None:
            app.add_api_route(path, lambda: None)  # noqa: B023
            with served(app):
                pass

        with pytest.raises((ValueError, StartupError)):
            add_and_serve()
        app._declared.clear()


# ---- what never ends, and what blocks ----


def test_a_thread_that_blocks(app: App, serve: Callable[..., Served]) -> None:
    go_on, running = threading.Event(), threading.Semaphore(0)

    @app.get("/block")
    def block() -> str:
        running.release()
        go_on.wait(10)
        return "at last"

    server = serve()
    clients = [server.connect().send(get("/block")) for _ in range(50)]
    for _ in range(40):  # as many as there are threads; ten wait for one
        assert running.acquire(timeout=30)
    assert server.is_well()
    assert not running.acquire(blocking=False)
    go_on.set()
    for client in clients:
        assert seen(client.reply()) == (200, b'"at last"')  # type: ignore[arg-type]
        client.socket.close()


def test_a_handler_that_never_ends(
    app: App, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weft.server.DRAIN_SECONDS", 0.1)
    cancelled = threading.Event()
    started = threading.Event()

    @app.get("/")
    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    server = serve()
    client = server.connect().send(get("/"))
    assert started.wait(30)
    server.stop()
    assert cancelled.is_set()
    assert client.rest() == b""
    client.socket.close()


def test_a_stream_that_never_ends(
    app: App, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weft.server.DRAIN_SECONDS", 0.1)
    closed = threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    @app.get("/")
    async def stream() -> Response:
        return StreamingResponse(endless())

    server = serve()
    client = server.connect().send(get("/"))
    client.until(b"x")
    server.stop()
    assert closed.is_set()
    assert not client.rest().endswith(b"0\r\n\r\n")
    client.socket.close()


def test_a_thread_that_outlives_its_server(
    app: App, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weft.server.DRAIN_SECONDS", 0.05)
    monkeypatch.setattr("weft.server._ABORT_SECONDS", 0.05)
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    @app.get("/")
    def block(request: Request) -> Any:
        started.set()
        go_on.wait(10)
        try:
            return [request.method, request.path, request.client, request.headers.raw]
        finally:
            ended.set()

    server = serve()
    client = server.connect().send(get("/"))
    assert started.wait(30)
    server.stop()
    go_on.set()
    assert ended.wait(30)
    client.socket.close()


def test_a_handler_over_its_time(app: App, serve: Callable[..., Served]) -> None:
    cancelled = threading.Event()

    @app.get("/wait")
    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    @app.get("/block")
    def block() -> str:
        cancelled.wait(30)
        return "too late"

    server = serve(handler_timeout_ms=100)
    with server.connect() as client, server.connect() as other:
        client.send(get("/block"))
        other.send(get("/wait"))
        for c in (client, other):
            reply = c.reply()
            assert reply is not None
            assert (reply.status, reply.field("connection")) == (504, None)
    assert cancelled.wait(30)
    assert server.is_well()


# ---- what they do to the loop, the server and themselves ----


def core_server() -> _core.Server:
    """As nobody should, but anybody can."""
    return next(o for o in gc.get_objects() if type(o) is _core.Server and o.addresses)


def test_a_handler_and_its_own_task(app: App, serve: Callable[..., Served]) -> None:
    def task() -> asyncio.Task[Any]:
        current = asyncio.current_task()
        assert current is not None
        return current

    @app.get("/cancelled")
    async def cancelled() -> None:
        task().cancel()
        await asyncio.sleep(0)

    @app.get("/cancelled-and-done")
    async def cancelled_and_done() -> str:
        task().cancel()
        return "done"

    @app.get("/uncancelled")
    async def uncancelled() -> str:
        task().cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            task().uncancel()
        return "done"

    @app.get("/marked")
    async def marked() -> str:
        task().add_done_callback(lambda _: 1 / 0)
        task().set_name("\ud800")
        return "done"

    @app.get("/ended")
    async def ended() -> str:
        for spoil in (lambda: task().set_result(1), lambda: task().set_exception(ValueError())):
            try:
                spoil()
            except RuntimeError:
                continue
            raise AssertionError
        return "done"

    @app.get("/stepped")
    async def stepped() -> str:
        coro: Any = task().get_coro()
        try:
            coro.send(None)
        except ValueError:
            return "done"
        raise AssertionError

    @app.get("/made-again")
    async def made_again() -> str:
        try:
            type(task())(coroutine())  # type: ignore[arg-type]
        except TypeError:
            return "done"
        raise AssertionError

    server = serve()
    for path in ("/cancelled", "/cancelled-and-done"):
        assert seen(ask(server, path)) == ERROR
    for path in ("/uncancelled", "/marked", "/ended", "/stepped"):
        assert seen(ask(server, path)) == (200, b'"done"'), path


def test_a_handler_and_its_loop(app: App, serve: Callable[..., Served]) -> None:
    loop = asyncio.get_running_loop
    wrongs: dict[str, Callable[[Any], Any]] = {
        "close": lambda waiting: loop().close(),
        "run_forever": lambda waiting: loop().run_forever(),
        "run_until_complete": lambda waiting: loop().run_until_complete(waiting),
        "run": lambda waiting: asyncio.run(waiting),
    }

    @app.get("/{name}")
    async def wrong(name: str) -> str:
        waiting = coroutine()
        try:
            wrongs[name](waiting)
        finally:
            waiting.close()
        return "done"

    server = serve()
    for name in wrongs:
        assert seen(ask(server, f"/{name}")) == ERROR


@pytest.mark.parametrize("what", ["close", "abort", "drain"])
@pytest.mark.parametrize("when", ["handler", "later", "encoding", "stream", "thread", "rescue"])
def test_a_handler_ends_its_server(
    app: App, serve: Callable[..., Served], what: str, when: str
) -> None:
    def end() -> None:
        getattr(core_server(), what)()

    @app.get("/handler")
    async def handler() -> str:
        end()
        return "done" * 10_000

    @app.get("/later")
    async def later() -> str:
        await asyncio.sleep(0)
        end()
        return "done" * 10_000

    @app.get("/encoding")
    async def encoding() -> Any:
        await asyncio.sleep(0)
        return [in_the_middle(end), "x" * 100_000]

    @app.get("/stream")
    async def stream() -> Any:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"a" * 10_000
            end()
            yield b"b" * 10_000
            await asyncio.sleep(0.001)
            yield b"c" * 10_000

        return StreamingResponse(chunks())

    @app.get("/thread")
    async def thread() -> str:
        await asyncio.to_thread(end)
        return "done"

    @app.exception_handler(KeyError)
    async def rescue(request: Request, exc: KeyError) -> str:
        end()
        return "done"

    @app.get("/rescue")
    async def rescued() -> None:
        raise KeyError

    if when == "thread" and what != "drain":
        pytest.skip("from another thread nothing of the core may be called")
    server = serve()
    others = [server.connect() for _ in range(3)]
    with server.connect() as client:
        client.send(get(f"/{when}")).rest()
    for other in others:
        other.send(get("/ok")).rest()
        other.socket.close()


# ---- what they leave behind ----


def test_background_tasks(app: App, serve: Callable[..., Served], caplog: Any) -> None:
    ran = threading.Event()

    async def fail() -> None:
        raise ZeroDivisionError

    def exit_() -> None:
        sys.exit(1)

    async def exit_async() -> None:
        sys.exit(1)

    backgrounds: dict[str, Any] = {
        "fails": BackgroundTask(fail),
        "exits": BackgroundTask(exit_),
        "exits-async": BackgroundTask(exit_async),
        "number": 3,
        "sync": ran.set,
        "wrong": lambda x: x,
    }

    @app.get("/{name}")
    async def reply(name: str) -> Response:
        return Response(name, background=backgrounds[name])

    server = serve()
    for name in backgrounds:
        assert seen(ask(server, f"/{name}")) == (200, name.encode())
    assert eventually(lambda: len(caplog.records) == len(backgrounds))
    assert ran.is_set()
    assert server.is_well()


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")


@pytest.mark.parametrize("later", [False, True])
def test_no_context_leaks(app: App, serve: Callable[..., Served], later: bool) -> None:
    """Each request has its own, and all that is done for it sees it."""
    told: list[str] = []

    class First(Exception):
        pass

    @app.exception_handler(First)
    async def first(request: Request, exc: First) -> str:
        return variable.get()

    @app.exception_handler(KeyError)
    def second(request: Request, exc: KeyError) -> str:
        return variable.get()

    @app.get("/set/{how}")
    async def set_(how: str) -> Any:
        assert variable.get() == ""
        variable.set(how)
        if later:
            await asyncio.sleep(0)
        if how == "first":
            raise First
        if how == "second":
            raise KeyError
        if how == "stream":
            return StreamingResponse(streamed())
        return Response(how, background=tell)

    async def streamed() -> AsyncIterator[str]:
        yield variable.get()

    async def tell() -> None:
        told.append(variable.get())

    server = serve()
    assert ask(server, "/set/first").body == b'"first"'
    assert ask(server, "/set/second").body == b'"second"'
    assert ask(server, "/set/stream").body == b"stream"
    assert ask(server, "/set/background").body == b"background"
    assert eventually(lambda: told == ["background"])
