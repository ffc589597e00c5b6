"""Routes with types that pydantic does not know: bodies, replies and what the document says."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import typing
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import attrs
import msgspec
import openapi_spec_validator
import pydantic
import pytest

import weft
from weft import App, Body
from weft.exceptions import SignatureError
from weft.responses import HTMLResponse
from weft.testing import TestClient

T = TypeVar("T")


class Person(pydantic.BaseModel):
    name: str = "Ada"


Model = Person  # by another name


class Struct(msgspec.Struct, tag="struct"):
    a: int = 1
    tags: list[str] = []


class Other(msgspec.Struct, tag="other"):
    b: int = 1


@attrs.define
class Attrs:
    x: int


@dataclasses.dataclass
class Data:
    struct: Struct
    attrs: Attrs


class Dict(typing.TypedDict):  # which pydantic reads from 3.12 on
    struct: Struct


class Tuple(NamedTuple):
    struct: Struct


class WithModel(msgspec.Struct):
    person: Person


class Of(msgspec.Struct, Generic[T]):
    x: T


@dataclasses.dataclass
class DataOf(Generic[T]):
    x: T


class Empty(pydantic.BaseModel):
    a: int = 1

    @pydantic.model_validator(mode="after")
    def check(self) -> Empty:
        raise pydantic.ValidationError.from_exception_data("nothing", [])


TYPES: dict[str, tuple[Any, Any]] = {
    "struct": (Struct, {"type": "struct", "a": 2, "tags": ["x"]}),
    "list": (list[Struct], [{"type": "struct", "a": 2, "tags": []}]),
    "dict": (dict[str, Struct], {"key": {"type": "struct", "a": 2, "tags": []}}),
    "optional": (Struct | None, {"type": "struct", "a": 2, "tags": []}),
    "tagged": (Struct | Other, {"type": "other", "b": 3}),
    "or int": (Struct | int, 7),
    "attrs": (Attrs, {"x": 1}),
    "dataclass": (Data, {"struct": {"type": "struct", "a": 1, "tags": []}, "attrs": {"x": 1}}),
    "TypedDict": (Dict, {"struct": {"type": "struct", "a": 1, "tags": []}}),
    "NamedTuple": (Tuple, [{"type": "struct", "a": 1, "tags": []}]),
    "model within": (WithModel, {"person": {"name": "Grace"}}),
    "generic": (Of[int], {"x": 1}),
    "generic within": (list[Of[Person]], [{"x": {"name": "Grace"}}]),
    "generic dataclass": (DataOf[Struct], {"x": {"type": "struct", "a": 1, "tags": []}}),
    "embedded": (
        Annotated[Struct, Body(embed=True, title="T")],
        {"type": "struct", "a": 2, "tags": []},
    ),
}


def echo_of(annotation: Any) -> App:
    app = App()

    async def echo(value: Any) -> Any:
        return value

    reply = typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else None
    echo.__annotations__ = {"value": annotation, "return": reply or annotation}
    app.post("/echo")(echo)
    return app


@pytest.mark.parametrize("name", TYPES)
def test_what_is_served_is_in_the_document(name: str) -> None:
    annotation, value = TYPES[name]
    app = echo_of(annotation)
    with TestClient(app) as client:
        reply = client.post("/echo", json={"value": value} if name == "embedded" else value)
        assert (reply.status_code, reply.json()) == (200, value)
        refused = client.post("/echo", json={"value": 1.5} if name == "embedded" else 1.5)
        assert refused.status_code == 422
        document = client.get("/openapi.json").json()
    openapi_spec_validator.validate(document)
    operation = document["paths"]["/echo"]["post"]
    for place in (operation["requestBody"], operation["responses"]["200"]):
        assert place["content"]["application/json"]["schema"] != {}


def test_definitions_of_both_stand_together() -> None:
    app = App()

    class Person(msgspec.Struct):  # another of the name
        age: int

    @app.post("/")
    async def both(one: Person, other: WithModel) -> None: ...

    @app.post("/model")
    async def model(person: Model) -> None: ...

    both.__annotations__ |= {"one": Person, "other": WithModel}
    document = app.openapi()
    openapi_spec_validator.validate(document)
    schemas = document["components"]["schemas"]
    body = schemas["Body_both__post"]["properties"]
    one, other = (schemas[body[name]["$ref"].rpartition("/")[2]] for name in ("one", "other"))
    assert list(one["properties"]) == ["age"]
    person = schemas[other["properties"]["person"]["$ref"].rpartition("/")[2]]
    assert list(person["properties"]) == ["name"]
    asked = document["paths"]["/model"]["post"]["requestBody"]["content"]["application/json"]
    assert asked["schema"] == other["properties"]["person"]


def test_a_reply_that_is_not_of_its_type(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.get("/")
    async def wrong() -> list[Struct]:
        return [Struct(), Struct(a="x")]  # type: ignore[arg-type]

    @app.get("/dict")
    async def plain() -> Attrs:
        return {"x": 1}  # type: ignore[return-value]

    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/").text == "Internal Server Error"
        assert "[1].a" in caplog.text
        assert client.get("/dict").status_code == 500
        assert "expected Attrs, got dict" in caplog.text


def test_a_struct_by_another_response_class_and_items() -> None:
    app = App()

    class Shown(HTMLResponse):
        def __init__(self, content: Any, *args: Any, **kwargs: Any) -> None:
            super().__init__(f"<p>{content['a']}", *args, **kwargs)

    @app.get("/shown", response_class=Shown)
    async def shown() -> Struct:
        return Struct(a=5)

    @app.get("/items")
    async def items() -> typing.AsyncIterator[Struct]:
        yield Struct(a=6)
        yield Struct(a=7)

    with TestClient(app) as client:
        assert client.get("/shown").text == "<p>5"
        lines = client.get("/items").text.splitlines()
        assert [msgspec.json.decode(line)["a"] for line in lines] == [6, 7]


def test_options_of_a_reply_are_pydantics() -> None:
    app = App()

    @app.get("/", response_model_exclude_none=True)
    async def struct() -> Struct:
        return Struct()

    what = r"Struct.*, which pydantic does not know: response_model_exclude_none is for its types"
    with pytest.raises(SignatureError, match=what), TestClient(app):
        pass


def test_documentation_by_meta_is_in_the_schema() -> None:
    class Documented(msgspec.Struct):
        number: Annotated[
            int,
            msgspec.Meta(
                ge=1, title="ID", description="the id", examples=[1], extra_json_schema={"x-a": 1}
            ),
        ]
        tags: list[str] = []
        price: decimal.Decimal = decimal.Decimal("1.50")
        span: datetime.timedelta = datetime.timedelta(seconds=3)
        none: float = float("nan")

    properties = weft.shape(Documented).json_schema()["properties"]
    assert properties["number"] == {
        "type": "integer",
        "minimum": 1,
        "title": "ID",
        "description": "the id",
        "examples": [1],
        "x-a": 1,
    }
    assert properties["tags"]["default"] == []
    assert properties["price"]["default"] == "1.50"
    assert properties["span"]["default"] == "PT3S"
    assert "default" not in properties["none"]


def test_types_that_no_shape_is_of() -> None:
    deep: Any = int
    for _ in range(1500):
        deep = list[deep]
    for annotation in (Literal[10**40], deep):
        with pytest.raises(TypeError, match=r"too large|so deep"):
            weft.shape(annotation)


def test_a_validation_error_of_no_errors_is_one() -> None:
    app = App()

    @app.post("/")
    async def take(body: Empty) -> str:
        return "taken"

    @app.post("/embedded")
    async def embedded(body: Annotated[Empty, Body(embed=True)], n: int = 0) -> str:
        return "taken"

    with TestClient(app) as client:
        for path, body in (("/", {"a": 1}), ("/embedded", {"body": {"a": 1}})):
            reply = client.post(path, json=body)
            assert (reply.status_code, reply.json()) == (422, {"detail": []})
        wrong = client.post("/embedded?n=x", json={"body": {"a": 1}})
        assert [error["loc"] for error in wrong.json()["detail"]] == [["query", "n"]]
