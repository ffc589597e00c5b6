"""The OpenAPI document where it is easily wrong: judged by FastAPI, or a meant difference."""

import http
import importlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import fastapi
import msgspec
import pydantic
import pytest
from openapi_spec_validator import validate
from typing_extensions import TypeAliasType

import weft
from weft.cli import main
from weft.exceptions import SignatureError
from weft.openapi import SchemaError
from weft.openapi.document import openapi
from weft.security import APIKeyHeader
from weft.testing import TestClient

from . import peer

FIELD = pydantic.Field(description="fd", title="ft", examples=[1], deprecated=True)
Positive = Annotated[int, pydantic.Field(gt=0, description="pos")]
Named = TypeAliasType("Named", Positive)


class Unreadable:
    pass


class Row(msgspec.Struct):
    n: int


class Note(pydantic.BaseModel):
    text: str = "x"


@dataclass
class Point:
    x: float = float("inf")


Text = TypeAliasType("Text", Note)


class Pair(NamedTuple):
    n: int


class Example(pydantic.BaseModel):
    n: int = pydantic.Field(1, json_schema_extra={"example": 4})


class Reading(pydantic.BaseModel):
    value: float = float("nan")


def both(declare: Callable[[Any, Any], None]) -> list[dict[str, Any]]:
    documents = []
    for module, app in ((weft, weft.App()), (fastapi, fastapi.FastAPI())):
        declare(module, app)
        documents.append(app.openapi())
    return documents


def declare_fields(m: Any, app: Any) -> None:
    @app.get("/a")
    async def a(
        q: Positive = 2,
        b: Annotated[int, FIELD] = 1,
        c: Annotated[list[int], pydantic.Field(description="L"), m.Query()] = [],  # noqa: B006
        d: Annotated[int, m.Query(description="q"), pydantic.Field(description="f")] = 1,
        e: Annotated[int, pydantic.Field(description="f"), m.Query(title="q")] = 1,
        g: Annotated[int, pydantic.Field(description="f"), m.Query(description="q")] = 1,
        f: Annotated[Annotated[int, pydantic.Field(title="x")], m.Header()] = 1,
    ) -> None: ...

    @app.post("/b")
    async def b(n: Annotated[Annotated[int, pydantic.Field(title="x")], m.Body()]) -> None: ...

    @app.post("/c")
    async def c(n: Annotated[int, FIELD, m.Body()], o: Annotated[Positive, m.Body()]) -> None: ...


def test_what_a_pydantic_field_says_of_a_parameter_is_written():
    ours, theirs = both(declare_fields)
    assert ours["paths"] == theirs["paths"]
    assert ours["components"]["schemas"] == theirs["components"]["schemas"]


@pytest.mark.parametrize("default", [float("nan"), float("-inf"), "\ud800", object()])
@pytest.mark.filterwarnings("ignore:Default value")
def test_default_that_json_cannot_hold_is_left_out(default):
    app = weft.App()

    @app.get("/a")
    async def a(q: Any = default): ...

    (parameter,) = app.openapi()["paths"]["/a"]["get"]["parameters"]
    assert "default" not in parameter["schema"]


@pytest.mark.filterwarnings("ignore:Default value")
def test_default_of_a_field_that_json_cannot_hold_is_left_out():
    app = weft.App()

    @app.post("/a")
    async def a(reading: Reading): ...

    schema = app.openapi()["components"]["schemas"]["Reading"]["properties"]["value"]
    assert schema == {"title": "Value", "type": "number"}
    assert "default" not in weft.shape(Point).json_schema()["properties"]["x"]


def a_loop() -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["x"] = loop
    return loop


@pytest.mark.parametrize("extra", [{"x": object()}, {"x": float("nan")}, {"x": "\ud800"}, a_loop()])
def test_operation_that_json_cannot_hold_is_named(extra):
    app = weft.App()

    @app.get("/good")
    async def good(): ...

    @app.get("/bad", openapi_extra=extra)
    async def bad(): ...

    with pytest.raises(SchemaError, match="GET /bad"):
        app.openapi()


@pytest.mark.parametrize("model", [Unreadable, Callable[[], int]])
def test_model_without_a_schema_is_named_with_its_route(model):
    app = weft.App()

    @app.get("/a", responses={404: {"model": model}})
    async def a(): ...

    with pytest.raises(
        SchemaError, match=r"GET /a \(.*test_openapi_edges.py:\d+\): .*has no JSON"
    ) as e:
        app.openapi()
    assert "\n" not in str(e.value)


def test_command_says_what_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name, value in (("objects", "object()"), ("nans", "float('nan')")):
        (tmp_path / f"{name}.py").write_text(
            f"import weft\napp = weft.App()\napp.openapi = lambda: {{'openapi': {value}}}\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        assert main(["openapi", f"{name}:app", "--app-dir", str(tmp_path)]) != 0
        assert "what app.openapi() gives cannot be written as JSON" in capsys.readouterr().err


def test_each_method_of_a_route_has_its_own_operation_id():
    """Which FastAPI's have not."""
    app = weft.App(generate_unique_id_function=lambda route: f"my_{route.name}")

    @app.api_route("/a", methods=["GET", "POST"])
    async def a(): ...

    @app.api_route("/b", methods=["PUT", "DELETE"], operation_id="b")
    async def b(): ...

    router = weft.Router(generate_unique_id_function=lambda r: f"{r.name}_{r.methods[0].lower()}")

    @router.api_route("/c", methods=["PUT", "DELETE"])
    async def c(): ...

    app.include_router(router)
    document = app.openapi()
    validate(document)  # type: ignore[arg-type]
    ids = [o["operationId"] for path in document["paths"].values() for o in path.values()]
    assert ids == ["my_a", "my_a_post", "b", "b_delete", "c_put", "c_delete"]


def test_second_operation_of_an_id_is_warned_of():
    app = weft.App()

    @app.get("/a", operation_id="x")
    async def a(): ...

    @app.get("/b", operation_id="x")
    async def b(): ...

    with pytest.warns(UserWarning, match=r"'x' is that of GET /a \(.*\) and of GET /b \("):
        openapi(app)


@pytest.mark.parametrize(
    ("responses", "error", "message"),
    [
        ({404: None}, TypeError, "of the response 404 is a dict, not None"),
        ({"4XX": []}, TypeError, "of the response '4XX' is a dict"),
        ({"abc": {}}, ValueError, "like 404, '4XX' and 'default', not 'abc'"),
        ({999: {}}, ValueError, "not 999"),
        ({None: {}}, ValueError, "not None"),
    ],
)
def test_responses_that_no_document_can_have_are_refused_where_they_are_declared(
    responses, error, message
):
    app = weft.App()
    with pytest.raises(error, match=message):
        app.get("/a", responses=responses)(lambda: 1)
    with pytest.raises(error, match=message):
        weft.Router(responses=responses)
    with pytest.raises(error, match=message):
        app.include_router(weft.Router(), responses=responses)


def test_responses_by_any_of_openapis_keys():
    app = weft.App()
    keys = [http.HTTPStatus.NOT_FOUND, "409", "5xx", "default", 299]

    @app.get("/a", responses={key: {"description": "x"} for key in keys}, deprecated="old")
    async def a(n: int): ...

    document = app.openapi()
    validate(document)  # type: ignore[arg-type]
    operation = document["paths"]["/a"]["get"]
    assert list(operation["responses"]) == ["200", "404", "409", "5XX", "default", "299"]
    assert operation["deprecated"] is True
    assert "components" not in document  # nothing refers to the errors of a 422


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"title": 3}, TypeError),
        ({"version": 2}, TypeError),
        ({"title": ""}, ValueError),
        ({"version": ""}, ValueError),
        ({"license_info": {"url": "https://example.org"}}, ValueError),
    ],
)
def test_app_whose_document_would_be_none_is_refused(options, error):
    (name,) = options
    with pytest.raises(error, match=name):
        weft.App(**options)


def test_app_without_a_document_needs_no_title():
    assert weft.App(title="", version="", openapi_url=None).title == ""


QUOTED = ["NoSuch", "Value", "Route", "list[Value]", list["Value"], "not valid("]  # noqa: F821


@pytest.mark.parametrize("model", QUOTED, ids=str)
def test_reply_model_in_quotes_is_not_looked_up_in_modules_of_weft(model):
    """It was in one of the document's, whose class of that name was then shown. With FastAPI both
    the request and the document end in an exception."""
    app = weft.App()

    @app.get("/a", response_model=model)
    async def a(): ...

    what = rf"the reply of a\(\) .* is {re.escape(repr(model))}: .*give the type itself"
    with pytest.raises(SignatureError, match=what), TestClient(app):
        pass
    with pytest.raises(SignatureError, match=what):
        app.openapi()

    theirs = fastapi.FastAPI()
    if model == "not valid(":
        with pytest.raises(SyntaxError):
            theirs.get("/a", response_model=model)(a)
        return
    theirs.get("/a", response_model=model)(a)
    with peer.on_uvicorn(theirs) as port:
        assert peer.ask(port, peer.get("/a")).status == 500
        assert peer.ask(port, peer.get("/openapi.json")).status == 500


@pytest.mark.parametrize("model", ["int", "dict[str, int]", list["int"], ""], ids=repr)
def test_reply_model_in_quotes_of_pythons_own_names(model):
    ours, theirs = weft.App(title="t"), fastapi.FastAPI(title="t")

    async def a():
        return {"a": 1}

    for app in (ours, theirs):
        app.get("/a", response_model=model)(a)
    written, judged = (app.openapi()["paths"]["/a"]["get"] for app in (ours, theirs))
    assert written["responses"]["200"] == judged["responses"]["200"]
    with peer.on_weft(ours) as mine, peer.on_uvicorn(theirs) as other:
        got, asked = peer.ask(mine, peer.get("/a")), peer.ask(other, peer.get("/a"))
    assert got.status == asked.status
    assert got.status == 500 or got.body == asked.body


def test_model_of_another_reply_in_quotes_is_refused_with_its_route():
    app = weft.App()

    @app.get("/a", responses={404: {"model": "Value"}})
    async def a(): ...

    with pytest.raises(SignatureError, match=r"the reply of a\(\) .* is 'Value'"):
        app.openapi()


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda route: route.nothing, "failed: AttributeError"),
        (lambda route: None, "gave None, not a str"),
    ],
)
def test_function_of_unique_ids_that_fails_is_named_with_its_route(function, what):
    app = weft.App(generate_unique_id_function=function)

    @app.get("/a", operation_id="said")
    async def a(): ...

    assert app.openapi()["paths"]["/a"]["get"]["operationId"] == "said"

    @app.post("/b")
    async def b(): ...

    with pytest.raises(SignatureError, match=rf"function of b\(\) \(.*\.py:\d+\) {what}"):
        app.openapi()


def test_what_only_callbacks_refer_to_is_there():
    app = weft.App()
    callbacks = weft.Router()

    @callbacks.post("{$request.query.url}")
    async def done(n: int, key: Annotated[str, weft.Depends(APIKeyHeader(name="x"))]): ...

    @callbacks.post("{$request.query.hidden}", include_in_schema=False)
    async def hidden(n: int): ...

    @app.get("/a", callbacks=callbacks.routes)
    async def a(): ...

    document = app.openapi()
    validate(document)  # type: ignore[arg-type]
    assert "HTTPValidationError" in document["components"]["schemas"]
    assert "APIKeyHeader" in document["components"]["securitySchemes"]
    assert list(document["paths"]["/a"]["get"]["callbacks"]) == ["done"]


def test_structs_among_several_parameters_of_a_body():
    app = weft.App()

    @app.post("/a")
    async def a(row: Row, other: Annotated[int, weft.Body()] = 3): ...

    @app.post("/b")
    async def b(row: Annotated[Row, weft.Body(embed=True)]): ...

    document = app.openapi()
    validate(document)  # type: ignore[arg-type]
    schemas = document["components"]["schemas"]
    assert schemas["Row"]["properties"]["n"] == {"type": "integer", "title": "N"}
    assert schemas["Body_a_a_post"]["required"] == ["row"]
    assert schemas["Body_b_b_post"]["properties"]["row"] == {"$ref": "#/components/schemas/Row"}


def test_alias_of_a_model_comes_from_the_body():
    app = weft.App()

    @app.post("/a")
    async def a(note: Text) -> str:
        return note.text

    validate(app.openapi())  # type: ignore[arg-type]
    with TestClient(app) as client:
        assert client.post("/a", json={"text": "hi"}).json() == "hi"


def declare_meant(m: Any, app: Any) -> None:
    keys = importlib.import_module(f"{m.__name__}.security")

    @app.get("/example")
    async def example(q: Annotated[Example, m.Query()]) -> None: ...

    @app.post("/pair")
    async def pair(p: Pair) -> None: ...

    @app.post("/alias")
    async def alias(b: Text, n: Named = 1) -> None: ...

    def first(b: Note) -> None: ...
    def second(b: Example) -> None: ...

    @app.post("/bodies", dependencies=[m.Depends(first), m.Depends(second)])
    async def bodies() -> None: ...

    schemes = [keys.APIKeyHeader(name=name, scheme_name="key") for name in ("one", "two")]

    @app.get("/keys", dependencies=[m.Depends(scheme) for scheme in schemes])
    async def keyed() -> None: ...

    @app.get("/name", name="")
    async def unnamed() -> None: ...

    app.openapi_tags = [{"name": "t", "externalDocs": {"url": "https://example.org"}}]


def test_differences_that_the_guide_lists():
    ours, theirs = both(declare_meant)
    validate(ours)  # type: ignore[arg-type]

    def found(document: Any, path: str) -> Any:
        (operation,) = document["paths"][path].values()
        return operation

    def content(document: Any, path: str) -> Any:
        return found(document, path)["requestBody"]["content"]

    examples = [found(d, "/example")["parameters"][0].get("example") for d in (ours, theirs)]
    assert examples == [4, None]
    assert list(content(ours, "/pair")) == ["application/json"]
    assert list(content(theirs, "/pair")) == ["multipart/form-data"]
    named = [found(d, "/alias")["parameters"][0]["schema"] for d in (ours, theirs)]
    assert named[0]["$ref"] == "#/components/schemas/Named"
    assert (named[1]["type"], named[1]["title"]) == ("integer", "N")
    for path, names in (("/alias", ["Text", "Note"]), ("/bodies", ["Example", "Note"])):
        refs = [content(d, path)["application/json"]["schema"]["$ref"] for d in (ours, theirs)]
        assert refs == [f"#/components/schemas/{name}" for name in names]
    both_keys = [d["components"]["securitySchemes"]["key"]["name"] for d in (ours, theirs)]
    assert both_keys == ["one", "two"]
    assert [found(d, "/name")["summary"] for d in (ours, theirs)] == ["Unnamed", ""]
    urls = [d["tags"][0]["externalDocs"]["url"] for d in (ours, theirs)]
    assert urls == ["https://example.org", "https://example.org/"]


# ---- BSON ----


def make_app(**options: Any) -> weft.App:
    app = weft.App(**options)

    @app.post("/note")
    async def note(note: Note) -> Note: ...

    @app.post("/lists")
    async def lists(numbers: list[int]) -> list[int]: ...

    @app.post("/maybe")
    async def maybe(note: Note | None = None) -> Note | None: ...

    @app.get("/text", response_class=weft.PlainTextResponse)
    async def text() -> str: ...

    @app.get("/json", response_class=weft.JSONResponse)
    async def own() -> dict[str, int]: ...

    @app.get("/any")
    async def anything(): ...

    return app


def contents(document: dict[str, Any]) -> dict[str, list[list[str]]]:
    found = {}
    for path, operations in document["paths"].items():
        (operation,) = operations.values()
        given = operation["responses"]["200"].get("content", {})
        found[path] = [[*operation.get("requestBody", {}).get("content", {})], [*given]]
    return found


def test_bson_is_named_where_the_app_says_so_and_a_document_may_be_sent():
    json, bson = "application/json", "application/bson"
    with warnings.catch_warnings(action="error"):
        document = make_app(openapi_bson=True).openapi()
    validate(document)  # type: ignore[arg-type]
    assert contents(document) == {
        "/note": [[json, bson], [json, bson]],
        "/lists": [[json], [json]],
        "/maybe": [[json, bson], [json, bson]],
        "/text": [[], ["text/plain"]],
        "/json": [[], [json]],
        "/any": [[], [json, bson]],
    }
    body = document["paths"]["/note"]["post"]["requestBody"]["content"]
    assert body[bson] == body[json] == {"schema": {"$ref": "#/components/schemas/Note"}}


def test_bson_is_not_named_where_nobody_asks_for_it():
    """The document is the one FastAPI writes."""
    assert "bson" not in str(make_app().openapi())
