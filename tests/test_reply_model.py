"""Reply models: what is sent of what an endpoint returns is what FastAPI sends."""

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import pydantic
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from tests.peer import Framework, assert_same, get
from weft import App, Depends, ResponseValidationError
from weft.exceptions import SignatureError
from weft.server import Config, Server
from weft.testing import TestClient


class Base(BaseModel):
    name: str
    price: float = 10.5
    tags: list[str] = []
    note: str | None = None
    when: dt.datetime | None = None


class Secret(Base):
    password: str = "hidden"


class Aliased(BaseModel):
    model_config = {"populate_by_name": True}
    first: int = Field(alias="firstName")
    second: int = Field(2, serialization_alias="sec")

    @pydantic.computed_field
    @property
    def double(self) -> int:
        return self.first * 2


@dataclass
class Point:
    x: int
    y: int = 0


class Movie(TypedDict):
    name: str


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    items: list[T]


class Row:
    name = "from attributes"
    price = 1
    password = "hidden"


SECRET = Secret(name="s", tags=["a"])
VALUES: list[Any] = [
    SECRET,
    {"name": "d", "password": "hidden", "price": "3"},
    Row(),
    Point(1, 2),
    {"x": "1"},
    {"firstName": 3},
    {"first": 3, "second": 4},
    Aliased(firstName=1),
    [SECRET, {"name": "in a list"}],
    {"items": [{"name": "p"}]},
    {"k": dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC)},
    float("nan"),
    "5",
    None,
    b"bytes",
    {1, 2},
]
MODELS: list[Any] = [
    Base,
    Base | None,
    list[Base],
    dict[str, dt.datetime],
    Aliased,
    Point,
    Movie,
    Page[Base],
    Base | Point,
    Annotated[int, Field(ge=3)],
    float,
    str,
    bytes,
    set[int],
    dict,
    list,
    Any,
]


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_models_by_annotation_and_by_option(model: Any) -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        def returns(value: Any) -> Any:
            async def endpoint() -> model:
                return value

            return endpoint

        options = {"response_model": Any} if model is Any else {}
        for i, value in enumerate(VALUES):
            app.get(f"/{i}", **options)(returns(value))
        return app

    targets = [get(f"/{i}") for i in range(len(VALUES))]
    assert_same(make, *targets)


OPTIONS: list[dict[str, Any]] = [
    {"response_model_exclude_unset": True},
    {"response_model_exclude_defaults": True},
    {"response_model_exclude_none": True},
    {"response_model_include": {"name", "price"}},
    {"response_model_exclude": {"price": True, "tags": {0}}},
    {"response_model_exclude_unset": True, "response_model_exclude": {"name"}},
]


@pytest.mark.parametrize(
    "options", OPTIONS, ids=["unset", "defaults", "none", "include", "exclude", "unset and exclude"]
)
def test_options_of_the_tutorial(options: dict[str, Any]) -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        @app.get("/model", response_model=Base, **options)
        async def model() -> Any:
            return SECRET

        @app.get("/dict", response_model=Base, **options)
        def dictionary() -> dict[str, Any]:
            return {"name": "d", "tags": ["x", "y"], "note": None}

        @app.get("/annotated", **options)
        async def annotated() -> Base:
            return SECRET

        @app.get("/list", response_model=list[Base])
        async def rows():
            return [SECRET] * 2

        return app

    assert_same(make, get("/model"), get("/dict"), get("/annotated"), get("/list"))


def test_aliases_and_what_stands_beside_the_model() -> None:
    def make(fw: Framework) -> Any:
        app = fw.App()

        @app.get("/alias", response_model=Aliased)
        async def alias():
            return {"first": 1}

        @app.get("/name", response_model=Aliased, response_model_by_alias=False)
        async def name():
            return {"firstName": 1}

        @app.get("/response")
        async def response() -> fw.Response:
            return fw.PlainTextResponse("plain", 202)

        @app.get("/raw", response_model=Base)
        async def raw():
            return fw.JSONResponse({"password": "sent"})

        @app.get("/injected", status_code=201)
        async def injected(response: fw.Response) -> Base:
            response.headers["x-a"] = "b"
            response.status_code = 203
            return SECRET

        @app.get("/html", response_class=fw.HTMLResponse)
        async def html() -> str:
            return "<p>é"

        @app.get("/json-class", response_class=fw.JSONResponse)
        async def json_class() -> Base:
            return SECRET

        async def dependency():
            yield

        @app.get("/after", dependencies=[fw.Depends(dependency)])
        async def after() -> Base:
            return SECRET

        @app.get("/before", dependencies=[fw.Depends(dependency, scope="function")])
        def before() -> Base:
            return SECRET

        @app.exception_handler(LookupError)
        async def missing(request: fw.Request, exc: Exception):
            return fw.JSONResponse({"missing": str(exc)}, 404)

        @app.get("/missing")
        async def lookup() -> Base:
            raise LookupError("x")

        @app.get("/none", response_model=None)
        async def none() -> Base:
            return {"password": "sent"}

        return app

    targets = ("/alias", "/name", "/response", "/raw", "/injected", "/html", "/json-class")
    targets += ("/after", "/before", "/missing", "/none")
    assert_same(make, *map(get, targets))


@pytest.mark.parametrize("scope", [None, "request", "function"])
def test_a_wrong_reply_is_a_500_whose_log_names_the_field(scope: Any, server_errors: Any) -> None:
    app = App()
    seen: list[str] = []

    async def dependency():
        try:
            yield
        except ResponseValidationError as exc:
            seen.append(str(exc.errors()[0]["loc"]))
            raise

    dependencies = [Depends(dependency, scope=scope)] if scope is not None else []

    @app.get("/", dependencies=dependencies)
    async def wrong() -> list[Base]:
        return [SECRET, {"name": 5, "secret": "x"}]  # type: ignore[list-item]

    with TestClient(app, raise_server_exceptions=False) as client:
        reply = client.get("/")
        assert (reply.status_code, reply.text) == (500, "Internal Server Error")
    (error,) = server_errors()
    assert "'loc': ('response', 1, 'name')" in str(error)
    assert type(error) is ResponseValidationError
    assert seen == (["('response', 1, 'name')"] if scope is not None else [])


def test_what_cannot_be_judged_is_said_at_start_up() -> None:
    class Unknown: ...

    def server(**options: Any) -> None:
        app = App()

        @app.get("/", **options)
        async def read() -> Unknown: ...

        Server(app, Config())

    server(response_model=None)
    with pytest.raises(SignatureError, match="say response_model=None"):
        server()
    with pytest.raises(SignatureError, match="with the status 204 none is sent"):
        server(status_code=204)
