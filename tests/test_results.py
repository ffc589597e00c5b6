"""What becomes of a handler's result, beside the same handler on FastAPI."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import functools
import json
import uuid
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import fastapi
import fastapi.responses
import httpx
import pydantic
import pytest

import weft
from weft.testing import TestClient


class Model(pydantic.BaseModel):
    a: int
    when: datetime.datetime = datetime.datetime(2024, 1, 2)
    long_name: int = pydantic.Field(1, alias="longName")


class Colour(enum.Enum):
    RED = "r"


@dataclasses.dataclass
class Point:
    x: int
    when: datetime.date = datetime.date(2024, 1, 2)


VALUES: dict[str, Any] = {
    "model": Model(a=1),
    "enum": Colour.RED,
    "point": Point(1),
    "dict": {"p": Point(2), 1: 2, None: 3, "c": Colour.RED},
    "uuid": uuid.UUID(int=1),
    "set": {1},
    "str": "ü",
    "none": None,
    "int": 1,
}


# No return annotations here: FastAPI would make response models of them.
def build(framework: ModuleType) -> Any:
    ours = framework is weft
    app = framework.App() if ours else framework.FastAPI()
    responses: Any = framework if ours else fastapi.responses
    request_class, response_class = framework.Request, framework.Response

    class Pretty(responses.JSONResponse):
        def render(self, content: Any) -> bytes:
            return json.dumps(content, indent=1).encode()

    @app.get("/plain/{kind}")
    async def plain(kind: str):
        return VALUES[kind]

    @app.get("/pretty/{kind}", response_class=Pretty)
    async def pretty(kind: str):
        return VALUES[kind]

    async def returned(response):
        response.headers["x-injected"] = "1"
        response.set_cookie("a", "b")
        response.status_code = 202
        return responses.JSONResponse({"a": 1})

    returned.__annotations__["response"] = response_class
    app.get("/returned")(returned)

    async def classed(response):
        response.headers["x-injected"] = "1"
        response.status_code = 202
        return "text"

    classed.__annotations__["response"] = response_class
    app.get("/classed", response_class=responses.PlainTextResponse)(classed)
    app.get("/classed-pretty", response_class=Pretty)(classed)

    @app.get("/problem")
    async def problem():
        headers = {"Content-Type": "application/problem+json"}
        raise framework.HTTPException(400, "wrong", headers=headers)

    @app.head("/head")
    async def head():
        return responses.Response(headers={"content-length": "1234", "content-type": "a/b"})

    async def converted(request):
        return {k: [type(v).__name__, str(v)] for k, v in request.path_params.items()}

    converted.__annotations__["request"] = request_class
    app.get("/converted/{i:int}/{f:float}/{u:uuid}/{s}/{p:path}")(converted)

    def through(call: Callable[[Any], Any]) -> Callable[..., Any]:
        """A plain function around an async one, as many decorators make it."""

        def decorate(fn: Callable[..., Any]) -> Callable[..., Any]:
            return functools.wraps(fn)(lambda *args, **kwargs: call(fn(*args, **kwargs)))

        return decorate

    @app.get("/wrapped/{x}")
    @through(lambda coroutine: coroutine)
    async def wrapped(x: int):
        await asyncio.sleep(0)
        return {"x": x}

    @app.get("/future/{x}")
    @through(asyncio.ensure_future)
    async def future(x: int):
        return {"x": x}

    return app


@pytest.fixture(scope="module")
def pair() -> Iterator[Any]:
    transport = httpx.ASGITransport(build(fastapi))

    async def ask(method: str, path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, path)

    with TestClient(build(weft)) as ours:
        yield ours.request, lambda method, path: asyncio.run(ask(method, path))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *[("GET", f"/plain/{kind}") for kind in VALUES],
        *[("GET", f"/pretty/{kind}") for kind in VALUES],
        ("GET", "/returned"),
        ("GET", "/classed"),
        ("GET", "/classed-pretty"),
        ("GET", "/problem"),
        ("HEAD", "/head"),
        ("GET", f"/converted/3/1.5/{uuid.UUID(int=1)}/a/b/c"),
        ("GET", "/wrapped/4"),
        ("GET", "/future/5"),
    ],
)
def test_as_fastapi_answers(pair: Any, method: str, path: str) -> None:
    ours, theirs = (request(method, path) for request in pair)
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
    for name in ("content-type", "content-length", "x-injected", "set-cookie"):
        assert ours.headers.get_list(name) == theirs.headers.get_list(name), name


def test_a_content_type_of_the_injected_response_is_the_only_one() -> None:
    app = weft.App()

    async def handler(response: weft.Response) -> dict[str, int]:
        response.headers["Content-Type"] = "application/vnd.a+json"
        return {"a": 1}

    handler.__annotations__["response"] = weft.Response
    app.get("/")(handler)
    with TestClient(app) as client:
        response = client.get("/")
        assert response.headers.get_list("content-type") == ["application/vnd.a+json"]
        assert response.json() == {"a": 1}


def test_the_attributes_of_what_has_no_json_form_reach_the_response_class() -> None:
    class Shouted(weft.Response):
        def render(self, content: Any) -> bytes:
            return str(content["word"]).upper().encode()

    class Word:
        def __init__(self) -> None:
            self.word = "a"

    app = weft.App()

    @app.get("/", response_class=Shouted)
    async def handler() -> Any:
        return Word()

    with TestClient(app) as client:
        assert client.get("/").text == "A"


def test_an_injected_response_is_not_the_exception_handlers() -> None:
    app = weft.App()
    ran: list[str] = []

    async def background() -> None:
        ran.append("background")

    async def handler(response: weft.Response) -> None:
        response.headers["x-injected"] = "1"
        response.status_code = 201
        response.background = background
        raise KeyError("x")

    handler.__annotations__["response"] = weft.Response
    app.get("/")(handler)

    @app.exception_handler(KeyError)
    async def missing(request: weft.Request, exc: KeyError) -> Any:
        return weft.JSONResponse({"missing": str(exc)}, status_code=404)

    with TestClient(app) as client:
        response = client.get("/")
        assert (response.status_code, response.json()) == (404, {"missing": "'x'"})
        assert "x-injected" not in response.headers
    assert ran == []
