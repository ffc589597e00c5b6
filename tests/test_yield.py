"""Endpoints that yield: lines of JSON, events, and what a response class makes of the items.

The judge is FastAPI. Differences that are meant: what has no type is compact JSON in UTF-8, as in
weft's other replies, where FastAPI has spaces and escapes here.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import fastapi
import pydantic
import pytest

import weft
from weft import App, EventSourceResponse, ServerSentEvent, sse
from weft.exceptions import ResponseValidationError

from .conftest import Serve
from .connections import ask, connect, reply, reset, wait_until
from .peer import Ask, Framework, answers, assert_same, get


class Item(pydantic.BaseModel):
    name: str
    price: float | None = None
    tags: list[str] = []


@dataclass
class Point:
    x: int
    y: float = 0.5


ITEMS = [Item(name="é", price=1.5), Item(name="b", tags=["x"]), Item(name="line\nbreak")]


def typed(fw: Framework) -> Any:
    app = fw.App()
    events = {"response_class": fw.EventSourceResponse}

    @app.get("/lines")
    async def lines() -> AsyncIterable[Item]:
        for item in ITEMS:
            yield item

    @app.get("/lines/sync")
    def lines_sync() -> Iterable[Item]:
        yield from ITEMS

    @app.get("/lines/dicts")
    async def lines_of_dicts() -> AsyncIterator[Item]:
        yield {"name": "a", "secret": 1}  # type: ignore[misc]

    @app.get("/lines/none", status_code=202)
    async def lines_none() -> AsyncIterable[Item]:
        return
        yield

    @app.get("/lines/points", response_model_exclude_defaults=True)
    def lines_points() -> Generator[Point, None, None]:
        yield Point(1)
        yield Point(2, 3)

    @app.get("/events", **events)
    async def of_events() -> AsyncIterable[Item]:
        for item in ITEMS:
            yield item

    @app.post("/events", **events, status_code=201)
    def of_events_sync(item: Item, more: Annotated[int, fw.Query(ge=0)]) -> Iterable[Item]:
        yield item
        for n in range(more):
            yield Item(name=str(n))

    @app.get("/events/said", **events)
    async def said(last: Annotated[str | None, fw.Header(alias="last-event-id")] = None) -> Any:
        event = fw.ServerSentEvent
        yield event(data=1, event="tick", id="7", retry=100, comment="two\nlines")
        yield event(data="text")
        yield event(raw_data="as\r\nit\ris\n")
        yield event(comment="nothing else")
        yield event(raw_data="")
        yield event(data=Item(name=last or "none"))
        yield event()

    @app.get("/events/mixed", **events)
    async def mixed() -> AsyncIterable[fw.ServerSentEvent]:  # type: ignore[name-defined]
        yield 1
        yield None
        yield fw.ServerSentEvent(data=2)

    @app.get("/chunks", response_class=fw.StreamingResponse)
    async def chunks() -> AsyncIterable[bytes]:
        yield b"a"
        yield b"bc"

    @app.get("/chunks/text", response_class=fw.PlainTextStream)
    def chunks_of_text() -> Iterable[str]:
        yield "é"
        yield "b"

    @app.get("/response")
    async def with_response(response: fw.Response) -> AsyncIterable[Item]:  # type: ignore[name-defined]
        response.headers["x-own"] = "1"
        response.status_code = 203
        yield ITEMS[0]

    return app


@pytest.fixture(autouse=True, scope="module")
def _text_stream() -> Iterator[None]:
    """A subclass of each StreamingResponse, for both to find by name."""
    for module in (weft, fastapi.responses):
        made = type("PlainTextStream", (module.StreamingResponse,), {"media_type": "text/plain"})
        module.PlainTextStream = made  # type: ignore[attr-defined]
    yield
    for module in (weft, fastapi.responses):
        del module.PlainTextStream  # type: ignore[attr-defined]


def test_what_is_sent() -> None:
    got = assert_same(
        typed,
        *map(
            get,
            (
                *("/lines", "/lines/sync", "/lines/dicts", "/lines/none", "/lines/points"),
                *("/events", "/events/said", "/events/mixed", "/chunks", "/chunks/text"),
                "/response",
            ),
        ),
        get("/events/said", last_event_id="6"),
        Ask.json("POST", "/events?more=2", {"name": "posted"}),
        Ask.json("POST", "/events?more=-1", {"name": 1}),
    )
    assert got[0].body.count(b"\n") == 3
    assert got[-1].status == 422


def test_what_has_no_type_is_compact() -> None:
    values = [{"a": 1, "b": [1, 2]}, "é", 1.5, None, Point(1), float("nan"), [float("inf")]]

    def make(fw: Framework) -> Any:
        app = fw.App()

        @app.get("/lines")
        async def lines() -> Any:
            for value in values:
                yield value

        @app.get("/events", response_class=fw.EventSourceResponse)
        def events() -> Any:
            yield from values

        return app

    got, expected, _, _ = answers(make, [get("/lines"), get("/events")])
    for ours, theirs in zip(got, expected, strict=True):
        assert (ours.status, ours.headers) == (theirs.status, theirs.headers)
    assert [*map(json.loads, got[0].body.splitlines())] == [
        *map(json.loads, expected[0].body.splitlines())
    ]
    assert [json.loads(e[6:]) for e in got[1].body.split(b"\n\n")[:-1]] == [
        json.loads(e[6:]) for e in expected[1].body.split(b"\n\n")[:-1]
    ]
    assert got[0].body.splitlines()[0] == b'{"a":1,"b":[1,2]}'


def test_with_dependencies_and_background() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        async def request_scope() -> Any:
            fw.log.append("request in")
            yield "r"
            fw.log.append("request out")

        def function_scope() -> Any:
            fw.log.append("function in")
            yield "f"
            fw.log.append("function out")

        @app.get("/")
        async def items(
            tasks: fw.BackgroundTasks,  # type: ignore[name-defined]
            r: Annotated[str, fw.Depends(request_scope)],
            f: Annotated[str, fw.Depends(function_scope, scope="function")],
        ) -> AsyncIterable[str]:
            for n in range(2):
                fw.log.append(n)
                yield f"{r}{f}{n}"
            fw.log.append("end")

        return app

    assert_same(make, get("/"))


def test_documents() -> None:
    """FastAPI's, but for `itemSchema`, which OpenAPI 3.1 does not have: an extension here."""
    ours = typed(_names("weft")).openapi()
    theirs = json.loads(
        json.dumps(typed(_names("fastapi")).openapi()).replace('"itemSchema"', '"x-itemSchema"')
    )
    assert ours["paths"] == theirs["paths"]
    assert ours["components"] == theirs["components"]


def _names(which: str) -> Framework:
    from .peer import fastapi_names, weft_names

    return weft_names() if which == "weft" else fastapi_names()


def test_a_generator_in_every_disguise(app: App, serve: Serve) -> None:
    import functools

    class Counter:
        async def __call__(self, n: int = 2) -> AsyncIterator[int]:
            for i in range(n):
                yield i

    def counter(prefix: str, n: int = 2) -> Iterator[str]:
        for i in range(n):
            yield f"{prefix}{i}"

    @functools.wraps(counter)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return counter(*args, **kwargs)

    app.get("/object")(Counter())
    app.get("/partial")(functools.partial(counter, "p"))
    app.get("/wrapped")(wrapped)
    client = serve(app)
    assert client.get("/object?n=3").content == b"0\n1\n2\n"
    assert client.get("/partial").content == b'"p0"\n"p1"\n'
    assert client.get("/wrapped?prefix=w&n=1").content == b'"w0"\n'


def test_middleware_may_read_the_chunks(app: App, serve: Serve) -> None:
    @app.middleware("http")
    async def upper(request: weft.Request, call_next: Any) -> weft.Response:
        response = await call_next(request)

        async def chunks() -> AsyncIterator[bytes]:
            async for chunk in original:
                yield chunk.upper()

        original, response.body_iterator = response.body_iterator, chunks()
        return response  # type: ignore[no-any-return]

    @app.get("/async")
    async def items() -> AsyncIterable[str]:
        yield "a"

    @app.get("/sync")
    def items_sync() -> Iterable[str]:
        yield "a"
        yield "b"

    client = serve(app)
    assert client.get("/async").content == b'"A"\n'
    assert client.get("/sync").content == b'"A"\n"B"\n'


# ---- what goes wrong ----


def test_an_item_that_is_not_of_its_type(app: App, serve: Serve, server_errors: Any) -> None:
    closed = threading.Event()

    @app.get("/")
    async def items() -> AsyncIterable[Item]:
        try:
            yield ITEMS[0]
            yield {"name": 1}  # type: ignore[misc]
        finally:
            closed.set()

    client = serve(app, raise_server_exceptions=False)
    with connect(client) as sock:
        ask(sock, "/")
        answer = reply(sock)
        with pytest.raises(Exception, match="IncompleteRead"):
            answer.read()
    assert closed.wait(10)
    (error,) = server_errors()
    assert isinstance(error, ResponseValidationError)
    assert error.errors()[0]["loc"] == ("response", "name")


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_generator_that_raises(app: App, serve: Serve, server_errors: Any, kind: str) -> None:
    if kind == "async":

        @app.get("/")
        async def items() -> Any:
            yield 1
            raise LookupError("gone")
    else:

        @app.get("/")
        def items_sync() -> Any:
            yield 1
            raise LookupError("gone")

    with connect(serve(app, raise_server_exceptions=False)) as sock:
        ask(sock, "/")
        answer = reply(sock)
        assert answer.status == 200
        with pytest.raises(Exception, match="IncompleteRead"):
            answer.read()
    assert wait_until(lambda: [str(e) for e in server_errors()] == ["gone"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"event": "a\nb"}, "single line"),
        ({"id": "a\rb"}, "single line"),
        ({"id": "\0"}, "NUL"),
        ({"retry": -1}, "milliseconds"),
        ({"retry": True}, "milliseconds"),
        ({"data": 1, "raw_data": "1"}, "not both"),
        ({"comment": 1}, "is a str"),
    ],
)
def test_events_that_are_none(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ServerSentEvent(**fields)
    if fields != {"retry": True}:  # pydantic's int takes it
        with pytest.raises(pydantic.ValidationError):
            fastapi.sse.ServerSentEvent(**fields)


# ---- time ----


def test_silence_is_filled_with_comments(
    app: App, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "PING_SECONDS", 0.02)
    go = threading.Event()

    @app.get("/", response_class=EventSourceResponse)
    def items() -> Iterator[int]:
        yield 1
        go.wait(10)
        yield 2

    with connect(serve(app)) as sock:
        ask(sock, "/")
        answer = reply(sock)
        assert answer.read(11) == b"data: 1\n\n: "
        for _ in range(3):
            assert answer.read(8) == b"ping\n\n: "
        go.set()
        rest = answer.read()
    assert rest.endswith(b"ping\n\ndata: 2\n\n")


@pytest.mark.parametrize("kind", ["lines", "events"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_who_leaves_ends_the_generator(app: App, serve: Serve, kind: str, how: str) -> None:
    diary: list[str] = []
    options: Any = {"response_class": EventSourceResponse} if kind == "events" else {}

    @app.get("/", **options)
    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            diary.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            diary.append("finally")

    client = serve(app)
    with connect(client) as sock:
        ask(sock, "/")
        answer = reply(sock)
        assert answer.read(1)
        if how == "reset":
            reset(sock)
        answer.close()
    assert wait_until(lambda: diary == ["cancelled", "finally"], 10)


def test_a_sync_generator_is_closed_when_its_client_leaves(app: App, serve: Serve) -> None:
    closed, go = threading.Event(), threading.Event()

    @app.get("/", response_class=EventSourceResponse)
    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
                go.wait(0.01)
        finally:
            closed.set()

    client = serve(app)
    with connect(client) as sock:
        ask(sock, "/")
        assert reply(sock).read(7) == b"data: 1"
    assert closed.wait(10)


@pytest.mark.parametrize("kind", ["lines", "events"])
def test_nothing_is_pulled_faster_than_it_is_read(app: App, serve: Serve, kind: str) -> None:
    pulled = 0
    options: Any = {"response_class": EventSourceResponse} if kind == "events" else {}
    text = "x" * 10_000

    @app.get("/", **options)
    async def items() -> AsyncIterator[str]:
        nonlocal pulled
        for _ in range(5000):
            pulled += 1
            yield text

    client = serve(app)
    with connect(client, receive_buffer=16384) as sock:
        ask(sock, "/")
        answer = reply(sock)
        before = -1
        while pulled != before:  # it comes to a halt
            before = pulled
            time.sleep(0.2)
        assert 0 < pulled < 2500
        total = len(answer.read())
    assert pulled == 5000
    assert total == 5000 * len(f'"{text}"\n' if kind == "lines" else f'data: "{text}"\n\n')


def test_pings_do_not_heap_up_before_a_slow_reader(
    app: App, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "PING_SECONDS", 0.001)

    @app.get("/", response_class=EventSourceResponse)
    async def items() -> AsyncIterator[ServerSentEvent]:
        for _ in range(400):
            yield ServerSentEvent(raw_data="x" * 100_000)
        yield ServerSentEvent(raw_data="end")

    with connect(serve(app), receive_buffer=16384) as sock:
        ask(sock, "/")
        answer = reply(sock)
        time.sleep(0.3)
        content = answer.read()
    assert content.count(b"x" * 100_000) == 400
    assert content.count(b"ping") < 100


def test_head_pulls_nothing(app: App, serve: Serve) -> None:
    pulled: list[int] = []

    @app.api_route("/", methods=["GET", "HEAD"], response_class=EventSourceResponse)
    async def items() -> AsyncIterator[int]:
        pulled.append(1)
        yield 1

    response = serve(app).head("/")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (response.content, pulled) == (b"", [])
