"""Items of every kind of type, by `yield`: what a client sees of those that fit and of others, and
the errors in the log, are FastAPI's."""

import copy
import datetime as dt
import http.client
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from weft import App

from .conftest import Serve
from .peer import Framework, fastapi_names, on_uvicorn, on_weft, weft_names
from .test_encode_pydantic import REPLIES
from .test_generated import OPTIONS, TYPES, VALUES, bodies, models

PATHS = ("/lines", "/events", "/sync")


@dataclass
class Case:
    annotation: Any
    items: list[Any]
    options: dict[str, Any] = field(default_factory=dict)


def declare(fw: Framework, app: Any, prefix: str, case: Case) -> None:
    annotation, options = case.annotation, case.options

    def items() -> Any:  # validators may change them
        return copy.deepcopy(case.items)

    @app.get(f"{prefix}/lines", **options)
    async def lines() -> AsyncIterable[annotation]:
        for item in items():
            yield item

    @app.get(f"{prefix}/events", response_class=fw.EventSourceResponse, **options)
    async def events() -> AsyncIterable[annotation]:
        for item in items():
            yield item

    @app.get(f"{prefix}/sync", **options)
    def sync() -> Iterable[annotation]:
        yield from items()


class Reply(NamedTuple):
    status: int
    content: bytes  # as far as it came
    whole: bool


def read(port: int, path: str) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        try:
            return Reply(reply.status, reply.read(), True)
        except http.client.IncompleteRead as exc:
            return Reply(reply.status, exc.partial, False)
    finally:
        connection.close()


def errors_of(exc: BaseException) -> list[Any]:
    if isinstance(exc, BaseExceptionGroup):
        return [error for inner in exc.exceptions for error in errors_of(inner)]
    # what is valid and has no JSON is each encoder's own error
    return [exc.errors() if hasattr(exc, "errors") else "not encoded"]


class Recorded:
    """An ASGI app, and what it raised."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.errors: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        except BaseException as exc:
            self.errors += errors_of(exc)
            raise


def compare(caplog: pytest.LogCaptureFixture, cases: list[Case]) -> list[Any]:
    """What weft's clients got, which is what FastAPI's got, with the same errors."""

    def make(fw: Framework) -> Any:
        app = fw.App()
        for i, case in enumerate(cases):
            declare(fw, app, f"/{i}", case)
        return app

    caplog.clear()
    paths = [f"/{i}{path}" for i in range(len(cases)) for path in PATHS]
    with on_weft(make(weft_names())) as port:
        got = [read(port, path) for path in paths]
    raised = [r.exc_info[1] for r in caplog.records if r.name == "weft.error" and r.exc_info]
    theirs = Recorded(make(fastapi_names()))
    with on_uvicorn(theirs) as port:
        expected = [read(port, path) for path in paths]
    for path, reply, theirs_of_it in zip(paths, got, expected, strict=True):
        what = (path, cases[int(path.split("/")[1])], reply, theirs_of_it)
        if not theirs_of_it.whole and path.endswith("/events"):
            # where an item fails, FastAPI may lose the event before it, which is on its way
            assert reply.content.startswith(theirs_of_it.content), what
            theirs_of_it = theirs_of_it._replace(content=reply.content)
        assert reply == theirs_of_it, what
    ours = [error for exc in raised for error in errors_of(exc)]
    assert ours == theirs.errors
    return got


class Model(pydantic.BaseModel):
    name: str
    price: float | None = None
    tags: list[str] = []
    when: dt.datetime | None = Field(None, alias="at", serialization_alias="When")


class Row:
    name, price, tags, when = "from attributes", 2, ["t"], None


class More(Model):
    secret: str = "s"


@dataclass
class Point:
    x: int
    y: float = 0.5


def test_replies_as_items(caplog: pytest.LogCaptureFixture) -> None:
    """What replies are tested with, some of it proved, some judged, some refused."""
    got = compare(caplog, [Case(a, [value]) for a, value, _ in REPLIES if a is not Any])
    assert {reply.whole for reply in got} == {True, False}


OPTIONS_OF_MODELS: list[dict[str, Any]] = [
    {},
    {"response_model_exclude_none": True},
    {"response_model_exclude_unset": True},
    {"response_model_by_alias": False},
    {"response_model_exclude_defaults": True},
    {"response_model_include": {"name", "tags"}},
    {"response_model_exclude": {"price"}},
]


def test_models_with_options(caplog: pytest.LogCaptureFixture) -> None:
    items = [
        Model(name="é\n"),
        Model(name="b", price=1, at=dt.datetime(2024, 1, 1)),
        More(name="c"),  # of which the secret is kept
        {"name": "d", "price": 1, "x": 2},
        Row(),
    ]
    got = compare(caplog, [Case(Model, items, options) for options in OPTIONS_OF_MODELS])
    assert all(reply.whole and reply.content.count(b"name") == 5 for reply in got)


WRONG: list[tuple[Any, list[Any]]] = [
    (Model, [Model(name="a"), {"name": 1}, Model(name="b")]),
    (Model, [Model(name="a"), None]),
    (Point, [Point(1), {"x": 1, "y": "y"}, Point(2)]),
    (list[int], [[1, 2], [1, "x", None]]),
    (list[Model], [[Model(name="a")], [{"name": "b"}, {}]]),
    (Model | Point, [Model(name="a"), Point(1), {"x": "z"}]),
    (int | None, [1, None, "no number"]),
    (dict[str, float], [{"a": 1.5}, {"a": "1"}, {"a": []}]),
    (float, [1.5, float("nan"), 10**400]),
    (str, ["a", "\ud800"]),
    (int, [1, "2", 3.0, 4.5]),
]


def test_items_that_do_not_fit(caplog: pytest.LogCaptureFixture) -> None:
    """Those before them have been sent; then the connection is cut, and the log names the field."""
    compare(caplog, [Case(annotation, items) for annotation, items in WRONG])


def test_structs_and_attrs(app: App, serve: Serve, server_errors: Any) -> None:
    """Which FastAPI does not know."""

    class Pair(msgspec.Struct):
        a: int
        b: str = "x"

    @app.get("/")
    async def pairs() -> AsyncIterable[Pair]:
        yield Pair(1)
        yield Pair(2, "é")
        yield Pair(3, 4)  # type: ignore[arg-type]

    client = serve(app, raise_server_exceptions=False)
    content = '{"a":1,"b":"x"}\n{"a":2,"b":"é"}\n'.encode()
    assert read(client._worker.port, "/") == (200, content, False)
    (error,) = server_errors()
    assert "$.b" in str(error) or "b" in error.errors()[0]["msg"]


@st.composite
def cases(draw: st.DrawFn) -> list[Case]:
    found = []
    for _ in range(10):
        model = draw(models())
        annotation = draw(st.sampled_from([model, model, list[model], model | None, *TYPES]))
        item = bodies(model).map(lambda body, m=model: made_of(m, body))
        items = st.one_of(item, item, bodies(model), st.sampled_from(VALUES), st.lists(item))
        options = draw(st.sampled_from(OPTIONS_OF_MODELS[:5]))
        found.append(Case(annotation, draw(st.lists(items, min_size=1, max_size=4)), options))
    return found


def made_of(model: Any, body: Any) -> Any:
    """An instance, or the body itself where it cannot be one."""
    try:
        return model.model_validate(body)
    except pydantic.ValidationError:
        return body


@settings(max_examples=6, derandomize=True, **OPTIONS)
@given(cases=cases())
def test_generated_items(caplog: pytest.LogCaptureFixture, cases: list[Case]) -> None:
    compare(caplog, cases)
