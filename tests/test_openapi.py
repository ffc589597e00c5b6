"""The judge is FastAPI: the same declarations give the same OpenAPI document.

Differences that are meant: what stands in an example is kept as it is, nulls included.
"""

import datetime as dt
import decimal
import enum
import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import fastapi
import fastapi.responses
import fastapi.security
import pydantic
import pytest
from openapi_spec_validator import validate
from typing_extensions import TypedDict

import weft
import weft.security
from weft.cli import main
from weft.openapi import SchemaError, pages
from weft.testing import TestClient

T = TypeVar("T")


class Color(str, enum.Enum):  # noqa: UP042
    red = "red"
    blue = "blue"


class Sub(pydantic.BaseModel):
    color: Color = Color.red
    when: dt.datetime = pydantic.Field(default_factory=dt.datetime.now)

    @pydantic.computed_field
    @property
    def size(self) -> int:
        return 1


class Item(pydantic.BaseModel):
    """An item.\f Not for readers."""

    name: str = pydantic.Field(max_length=3, description="what it is called", examples=["ab"])
    price: float = 1.0
    tags: list[str] = []
    sub: Sub | None = None
    parent: "Item | None" = None
    secret: bytes = b""


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    good: bool = True


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]
    total: Annotated[int, pydantic.Field(ge=0)]


@dataclass
class Point:
    x: int
    y: int = 0


class Movie(TypedDict, total=False):
    title: str
    year: int


def declare(m: Any, app: Any) -> Any:
    """The same routes by weft or by FastAPI."""
    responses = weft if m is weft else fastapi.responses
    response = weft.Response if m is weft else fastapi.Response

    @app.get("/items/{item_id}", tags=["items"], summary="One item")
    async def read(
        item_id: Annotated[int, m.Path(ge=1, title="The id")],
        q: str | None = None,
        color: Color = Color.red,
        x_token: Annotated[list[str], m.Header()] = [],  # noqa: B006
        session: Annotated[str, m.Cookie(examples=["a"], deprecated=True, description="d")] = "",
        hidden: Annotated[int, m.Query(include_in_schema=False)] = 0,
    ) -> Item:
        """Reads it.

        More about it.
        """

    @app.post(
        "/items",
        status_code=201,
        response_description="made",
        responses={404: {"model": Sub}, 418: {"description": "tea"}, "5XX": {}, "default": {}},
    )
    async def create(item: Item) -> list[Item]: ...

    @app.put("/items/{item_id:path}", deprecated=True, operation_id="putter")
    async def put(item_id: str, item: Item, sub: Sub | None = None, flag: bool = m.Body(False)): ...

    @app.delete("/items/{item_id}", status_code=204, description="Gone *for good*")
    async def remove(item_id: uuid.UUID): ...

    @app.get("/plain", response_class=responses.PlainTextResponse)
    async def plain(a: dt.timedelta, b: Literal["x", "y"] = "x") -> str: ...

    @app.get("/moved", response_class=responses.RedirectResponse)
    async def moved(): ...

    @app.post("/embedded", openapi_extra={"x-more": {"b": 1}, "tags": ["late"]})
    async def embedded(n: Annotated[int, m.Body(embed=True, gt=3, title="How many")]): ...

    @app.post("/examples")
    async def examples(
        n: Annotated[
            dict[str, int],
            m.Body(openapi_examples={"one": {"value": {"x": 1}}}, media_type="application/x-yaml"),
        ] = {},  # noqa: B006
    ): ...

    @app.get("/secret", include_in_schema=False)
    async def secret(): ...

    @app.api_route("/union", methods=["GET"])
    async def union(
        a: int | str,
        b: Annotated[set[int], m.Query(alias="bee", min_length=1)],
        c: decimal.Decimal = decimal.Decimal("1.5"),
    ) -> dict[str, Any] | None: ...

    @app.get("/reply")
    async def reply() -> response: ...

    @app.post("/animals")
    async def animals(
        animal: Annotated[Cat | Dog, m.Body(discriminator="kind")],
    ) -> Page[Cat | Dog]: ...

    @app.post("/plain-types")
    async def plain_types(point: Point, movie: Movie) -> tuple[Point, Movie]: ...

    @app.post("/model", response_model=Item)
    async def model(body: Annotated[Any, m.Body()] = None) -> Any: ...

    @app.post("/no-model", response_model=None)
    async def no_model(body: bytes = m.Body()) -> Item: ...

    callbacks = m.Router() if m is weft else fastapi.APIRouter()

    @callbacks.post("{$callback_url}/done/{id}")
    async def done(id: str, body: Sub) -> Item: ...

    @app.post("/callbacks", callbacks=callbacks.routes)
    async def with_callbacks(callback_url: pydantic.HttpUrl): ...

    @app.webhooks.post("new-item")
    async def new_item(body: Item): ...

    return app


class Login(pydantic.BaseModel):
    user: str
    age: int = 3


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    note: str | None = None


def declare_forms(m: Any, app: Any) -> Any:
    @app.post("/fields")
    async def fields(
        x: Annotated[str, m.Form()], y: Annotated[int, m.Form(ge=1, description="d")] = 3
    ): ...

    @app.post("/model")
    async def model(login: Annotated[Login, m.Form()]): ...

    @app.post("/files")
    async def files(
        one: m.UploadFile,
        raw: Annotated[bytes, m.File(description="raw")],
        note: Annotated[str, m.Form()],
        many: list[m.UploadFile],
        other: m.UploadFile | None = None,
    ): ...

    @app.post("/file")
    async def file(raw: Annotated[bytes, m.File()]): ...

    @app.post("/both")
    async def both(login: Annotated[Login, m.Form()], note: Annotated[str, m.Form()] = "a"): ...

    @app.post("/models")
    async def models(
        login: Annotated[Login, m.Form()],
        strict: Annotated[Strict | None, m.Form()] = None,
        other: Annotated[Filters | None, m.Form()] = None,
    ): ...

    return app


class Filters(pydantic.BaseModel):
    limit: int = pydantic.Field(10, ge=1, description="at most")
    order: str | None = None
    tags: list[str] = pydantic.Field([], title="Labels", deprecated=True)


class Fields(pydantic.BaseModel):
    x_token: str
    save_data: bool = False
    plain: Annotated[str, pydantic.Field(alias="X_Plain")] = ""


def declare_secured(m: Any, app: Any) -> Any:
    """Dependencies, security schemes and parameter models."""
    security = weft.security if m is weft else fastapi.security
    oauth2 = security.OAuth2PasswordBearer(tokenUrl="token", scopes={"me": "Me", "items": "All"})
    code = security.OAuth2AuthorizationCodeBearer(
        authorizationUrl="/authorize", tokenUrl="/token", refreshUrl="/refresh", scopes={"s": "S"}
    )
    openid = security.OpenIdConnect(openIdConnectUrl="https://example.com/openid")
    key = security.APIKeyHeader(name="x-key", description="a key")
    query_key = security.APIKeyQuery(name="key", scheme_name="other")

    async def user(
        scopes: security.SecurityScopes,
        token: Annotated[str, m.Depends(oauth2)],
        language: str = "en",
    ): ...

    async def page(skip: int = 0, limit: Annotated[int, m.Query(le=100)] = 10):
        yield 1

    async def body_user(item: Item, page: Annotated[int, m.Depends(page)]): ...

    @app.get("/scopes")
    async def scopes(
        q: str,
        me: Annotated[str, m.Security(user, scopes=["me"])],
        page: Annotated[int, m.Depends(page)],
        again: Annotated[str, m.Security(user, scopes=["items", "me"])],
    ): ...

    @app.get("/models", dependencies=[m.Depends(key), m.Depends(page)])
    async def models(
        query: Annotated[Filters, m.Query()],
        fields: Annotated[Fields, m.Header()],
        raw: Annotated[Fields, m.Header(convert_underscores=False)],
        cookies: Annotated[Filters | None, m.Cookie()] = None,
    ): ...

    @app.get("/schemes")
    async def schemes(
        basic: Annotated[Any, m.Depends(security.HTTPBasic())],
        bearer: Annotated[Any, m.Depends(security.HTTPBearer(bearerFormat="JWT"))],
        digest: Annotated[Any, m.Depends(security.HTTPDigest(auto_error=False))],
        cookie: Annotated[Any, m.Depends(security.APIKeyCookie(name="session"))],
        query: Annotated[Any, m.Depends(query_key)],
        openid: Annotated[Any, m.Depends(openid)],
        code: Annotated[Any, m.Security(code, scopes=["s"])],
    ): ...

    @app.post("/body")
    async def body(user: Annotated[Any, m.Depends(body_user)], sub: Sub): ...

    return app


INFO = {
    "title": "Shop",
    "version": "1.2",
    "summary": "A shop",
    "description": "*All* of it",
    "terms_of_service": "https://example.com/terms",
    "contact": {"name": "Me", "email": "me@example.com"},
    "license_info": {"name": "MIT", "identifier": "MIT"},
    "openapi_tags": [{"name": "items", "description": "Things"}],
    "servers": [{"url": "/v1"}],
    "openapi_external_docs": {"url": "https://example.com/"},
}


@pytest.mark.parametrize("separate", [True, False])
def test_document_is_the_one_fastapi_writes(separate):
    options = {**INFO, "separate_input_output_schemas": separate}
    ours = declare(weft, weft.App(**options)).openapi()
    theirs = declare(fastapi, fastapi.FastAPI(**options)).openapi()
    assert ours == theirs
    assert list(ours) == list(theirs)
    assert list(ours["paths"]) == list(theirs["paths"])
    validate(ours)


@pytest.mark.parametrize("declare", [declare_secured, declare_forms])
def test_the_rest_is_written_as_fastapi_does(declare):
    ours = declare(weft, weft.App(title="FastAPI")).openapi()
    theirs = declare(fastapi, fastapi.FastAPI()).openapi()
    assert ours == theirs
    validate(ours)


def test_example_keeps_its_nulls():
    app = weft.App()

    @app.post("/")
    async def post(x: Annotated[dict, weft.Body(openapi_examples={"a": {"value": {"n": None}}})]):
        pass

    media = app.openapi()["paths"]["/"]["post"]["requestBody"]["content"]["application/json"]
    assert media["examples"] == {"a": {"value": {"n": None}}}


def test_type_without_a_schema_is_named():
    app = weft.App()

    @app.get("/")
    async def get() -> type(lambda: None):  # type: ignore[valid-type]
        pass

    with pytest.raises(SchemaError, match="function"):
        app.openapi()


def test_document_has_an_etag():
    with TestClient(declare(weft, weft.App(title="Shop"))) as client:
        reply = client.get("/openapi.json")
        assert reply.headers["content-type"] == "application/json"
        assert reply.json()["info"]["title"] == "Shop"
        etag = reply.headers["etag"]
        for known in (etag, f'W/{etag}, "other"', "*"):
            again = client.get("/openapi.json", headers={"if-none-match": known})
            assert (again.status_code, again.content) == (304, b"")
        assert client.get("/openapi.json", headers={"if-none-match": '"x"'}).status_code == 200


@pytest.mark.parametrize("middleware", [False, True])
def test_document_is_answered_without_python_once_it_is_made(monkeypatch, middleware):
    asked, reply = [], pages._Document.reply

    async def counted(self, request: weft.Request):
        asked.append(request.method)
        return await reply(self, request)

    monkeypatch.setattr(pages._Document, "reply", counted)
    app = weft.App(title="Shop")
    seen = []
    if middleware:

        @app.middleware("http")
        async def see(request, call_next):
            seen.append(request.method)
            return await call_next(request)

    with TestClient(app) as client:
        first = client.get("/openapi.json")
        second = client.get("/openapi.json")
        head = client.head("/openapi.json")
        known = client.get("/openapi.json", headers={"if-none-match": first.headers["etag"]})
        assert client.post("/openapi.json").status_code == 405
    for again in (second, head, known):
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["cache-control"] == first.headers["cache-control"] == "no-cache"
    assert second.content == first.content
    assert second.headers["content-type"] == first.headers["content-type"]
    assert (head.content, head.headers["content-length"]) == (b"", str(len(first.content)))
    assert (known.status_code, known.content) == (304, b"")
    if middleware:  # which sees every request
        assert asked == seen[:4] == ["GET", "GET", "HEAD", "GET"]
    else:
        assert asked == ["GET"]


def test_document_that_cannot_be_made_is_tried_again():
    app = weft.App()
    documents = [{"openapi": "3.1.0"}, ZeroDivisionError()]

    def document():
        if isinstance(made := documents.pop(), Exception):
            raise made
        return made

    app.openapi = document
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/openapi.json").status_code == 500
        assert [client.get("/openapi.json").json() for _ in range(3)] == [{"openapi": "3.1.0"}] * 3


def test_document_may_be_replaced_and_moved():
    app = weft.App(openapi_url="/api.json", docs_url=None)
    app.openapi = lambda: {"openapi": "3.1.0", "mine": True}
    with TestClient(app) as client:
        assert client.get("/api.json").json() == {"openapi": "3.1.0", "mine": True}
        assert client.get("/openapi.json").status_code == 404
        assert client.get("/docs").status_code == 404


def test_no_document_no_pages():
    with TestClient(weft.App(openapi_url=None)) as client:
        for path in ("/openapi.json", "/docs", "/redoc"):
            assert client.get(path).status_code == 404


def test_command_writes_the_document(tmp_path, monkeypatch, capsys):
    (tmp_path / "documented.py").write_text("import weft\napp = weft.App(title='É')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["openapi", "documented:app", "-o", "out.json"]) == 0
    written = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert json.loads(written)["info"]["title"] == "É"
    assert main(["openapi", "documented:app"]) == 0
    assert capsys.readouterr().out == written
    assert main(["openapi", "documented:app", "-o", "no/such/folder"]) == 1
    assert "No such file" in capsys.readouterr().err


def test_forms_have_a_schema_without_pydantic():
    script = """
import json, sys
sys.modules["pydantic"] = sys.modules["pydantic_core"] = None
from examples.bookshop.main import app
print(json.dumps(app.openapi()))
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    env["PYTHONPATH"] += os.pathsep + str(Path(__file__).parent.parent)
    run = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    validate(document)
    body = document["paths"]["/books/{book_id}/cover"]["put"]["requestBody"]["content"]
    schema = body["multipart/form-data"]["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert schema["required"] == ["image"]
    assert schema["properties"]["image"]["type"] == "string"


def test_a_class_has_one_schema_without_pydantic_unless_what_is_sent_differs():
    script = """
import json, sys
sys.modules["pydantic"] = sys.modules["pydantic_core"] = None
from dataclasses import dataclass
from decimal import Decimal
import weft

@dataclass
class Note:
    text: str

@dataclass
class Offer:
    note: Note
    price: Decimal

documents = []
for separate in (True, False):
    app = weft.App(separate_input_output_schemas=separate)

    @app.post("/notes")
    async def add(note: Note) -> Note: ...

    @app.put("/notes")
    async def put(note: Note) -> list[Note]: ...

    @app.post("/offers")
    async def offer(offer: Offer) -> list[Offer]: ...

    documents.append(app.openapi())
print(json.dumps(documents))
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    run = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    separate, one = json.loads(run.stdout)
    own = {"HTTPValidationError", "ValidationError"}
    assert separate["components"]["schemas"].keys() - own == {"Note", "Offer-Input", "Offer-Output"}
    assert one["components"]["schemas"].keys() - own == {"Note", "Offer"}
    operation = separate["paths"]["/offers"]["post"]
    sent = operation["requestBody"]["content"]["application/json"]["schema"]
    assert sent == {"$ref": "#/components/schemas/Offer-Input"}
    replied = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert replied["items"] == {"$ref": "#/components/schemas/Offer-Output"}
    for document in (separate, one):
        validate(document)
