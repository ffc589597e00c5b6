"""application/bson over HTTP: request bodies, and replies to clients that accept it."""

from __future__ import annotations

import datetime
import enum
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pydantic
import pytest

from tests.conftest import Serve
from weft import App, Body, HTTPException, Request, Response, bson
from weft.responses import JSONResponse, PlainTextResponse

BSON = {"content-type": "application/bson"}
WANTS = {"accept": "application/bson"}
ID = bson.ObjectId("56e1fc72e0c917e9c4714161")
ID_UUID = uuid.UUID(int=9)
AT = datetime.datetime(2024, 2, 29, 12, 30)


class Item(pydantic.BaseModel):
    name: str
    price: Decimal = Decimal(1)
    at: datetime.datetime = AT
    hidden: int = pydantic.Field(0, exclude=True)


@dataclass
class Point:
    x: int
    id: bson.ObjectId | None = None


class Color(enum.Enum):
    red = 'r"d'


class Keyed(pydantic.BaseModel):
    by_id: dict[int, str]


class Row(msgspec.Struct):
    n: int
    uid: uuid.UUID | None = None
    raw: bytes = b""


@pytest.fixture
def routes(app: App) -> App:
    @app.post("/item")
    async def item(item: Item) -> Any:
        return {"name": item.name, "price": str(item.price), "at": item.at.isoformat()}

    @app.post("/row", response_model=None)
    async def row(row: Row) -> Any:
        return {"n": row.n, "uid": str(row.uid), "raw": len(row.raw)}

    @app.post("/rows", response_model=None)
    async def rows(row: Row, other: Annotated[Row, Body()]) -> Any:
        return {"raw": [len(row.raw), len(other.raw)], "uid": str(other.uid)}

    @app.post("/any")
    async def anything(body: dict[str, Any]) -> Any:
        return {key: type(value).__name__ for key, value in body.items()}

    @app.post("/small", max_body_size=64)
    async def small(body: dict[str, Any]) -> Any:
        return body

    @app.get("/dict")
    async def plain() -> Any:
        return {"id": ID, "at": AT, "n": 1}

    @app.get("/keys")
    async def keys() -> Any:
        return {1: {True: 1, None: 2}, 2.5: [{ID_UUID: 3}], Color.red: {AT: 4}, "s": {"t": 5}}

    @app.get("/keys-of-a-model")
    async def keys_of_a_model() -> Keyed:
        return Keyed(by_id={7: "seven"})

    @app.get("/keys-without-text")
    async def keys_without_text() -> Any:
        return {"a": [{(1, 2): 3}]}

    @app.get("/point", response_model=None)
    async def point() -> Any:
        return Point(1, ID)

    @app.get("/model")
    async def model() -> Item:
        return Item(name="a", hidden=3)

    @app.get("/some", response_model=Item, response_model_exclude={"at"}, status_code=201)
    async def some(response: Response) -> Any:
        response.headers["x-more"] = "1"
        return {"name": "a"}

    @app.get("/list")
    async def items() -> list[Item]:
        return [Item(name="a")]

    @app.get("/scalar")
    async def scalar() -> Any:
        return "text"

    @app.get("/response")
    async def response() -> Any:
        return JSONResponse({"a": 1})

    @app.get("/error")
    async def error() -> Any:
        raise HTTPException(404, "gone")

    @app.get("/big")
    async def big() -> Any:
        return {"n": 2**64}

    return app


def test_bodies_in_bson(serve: Serve, routes: App) -> None:
    client = serve(routes)
    body = bson.encode({"name": "a", "price": "1.5", "at": AT})
    reply = client.post("/item", content=body, headers=BSON)
    assert reply.json() == {"name": "a", "price": "1.5", "at": AT.isoformat()}
    for kind in ("Application/BSON", "application/bson ; v=1"):
        reply = client.post("/item", content=body, headers={"content-type": kind})
        assert reply.status_code == 200
    uid = uuid.UUID(int=7)
    row = {"n": 1, "uid": bson.Binary(uid.bytes, 4), "raw": b"\xff\0"}
    reply = client.post("/row", content=bson.encode(row), headers=BSON)
    assert reply.json() == {"n": 1, "uid": str(uid), "raw": 2}
    reply = client.post("/rows", content=bson.encode({"row": {"n": 1}, "other": row}), headers=BSON)
    assert reply.json() == {"raw": [0, 2], "uid": str(uid)}
    reply = client.post("/any", content=bson.encode({"i": ID, "t": AT, "b": b""}), headers=BSON)
    assert reply.json() == {"i": "ObjectId", "t": "datetime", "b": "bytes"}


def test_keys_are_those_of_json(
    serve: Serve, routes: App, server_errors: Callable[[], list[Any]]
) -> None:
    client = serve(routes, raise_server_exceptions=False)
    for path in ("/keys", "/keys-of-a-model"):
        reply = client.get(path, headers=WANTS)
        assert reply.headers["content-type"] == "application/bson"
        assert bson.decode(reply.content) == client.get(path).json()
    assert client.get("/keys-without-text", headers=WANTS).status_code == 500
    (error,) = server_errors()
    assert isinstance(error, bson.EncodeError)
    assert (str(error), error.path) == ("keys of type tuple have no text: at a[0]", "a[0]")


@pytest.mark.parametrize("path", ["/item", "/row", "/any", "/small"])
def test_bytes_that_are_no_bson(serve: Serve, routes: App, path: str) -> None:
    client = serve(routes)
    good = bson.encode({"name": "a", "n": 1})
    for body in (good[:-1], good + b"x", b"{}", b"\x05\0\0\0\x01"):
        reply = client.post(path, content=body, headers=BSON)
        assert reply.status_code == 422
        (error,) = reply.json()["detail"]
        assert (error["type"], error["msg"]) == ("bson_invalid", "BSON decode error")
        assert error["loc"][0] == "body"
        assert isinstance(error["loc"][1], int)
        assert error["ctx"]["error"]
    reply = client.post(path, content=b"", headers=BSON)
    assert reply.json()["detail"][0]["type"] == "missing"


def test_errors_are_those_of_json(serve: Serve, routes: App) -> None:
    client = serve(routes)
    for path, value in (
        ("/item", {"price": "x"}),
        ("/row", {"n": "x"}),
        ("/row", {}),
        ("/rows", {"row": {"n": "x"}}),
    ):
        ours = client.post(path, content=bson.encode(value), headers=BSON)
        theirs = client.post(path, json=value)
        assert ours.status_code == 422
        assert ours.json() == theirs.json()
    reply = client.post("/item", content=bson.encode({"name": ID}), headers=BSON)
    assert reply.json()["detail"][0]["input"] == str(ID)


def test_limits_of_bodies_hold(serve: Serve, routes: App) -> None:
    client = serve(routes)
    reply = client.post("/small", content=bson.encode({"a": "x" * 100}), headers=BSON)
    assert reply.status_code == 413
    raw = bson.encode({})
    for _ in range(600):
        inner = b"\x03n\0" + raw
        raw = (len(inner) + 5).to_bytes(4, "little") + inner + b"\0"
    reply = client.post("/any", content=raw, headers=BSON)
    assert reply.status_code == 422
    assert "deep" in reply.json()["detail"][0]["ctx"]["error"]


def test_replies_in_bson(serve: Serve, routes: App) -> None:
    client = serve(routes)
    for path, document in (
        ("/dict", {"id": ID, "at": AT, "n": 1}),
        ("/point", {"x": 1, "id": ID}),
        ("/model", {"name": "a", "price": "1", "at": AT}),
    ):
        reply = client.get(path, headers=WANTS)
        assert reply.headers["content-type"] == "application/bson"
        assert reply.headers["vary"] == "accept"
        assert bson.decode(reply.content) == document
        assert "vary" not in client.get(path).headers
    reply = client.get("/some", headers=WANTS)
    assert (reply.status_code, reply.headers["x-more"]) == (201, "1")
    assert bson.decode(reply.content) == {"name": "a", "price": "1"}


@pytest.mark.parametrize("middleware", [False, True])
def test_json_that_a_cache_may_keep_varies_by_accept(serve: Serve, middleware: bool) -> None:
    app = App()

    @app.get("/dict")
    async def untyped(response: Response, cache: str) -> Any:
        response.headers["cache-control"] = cache
        return {"n": 1}

    @app.get("/model")
    async def typed(response: Response, cache: str) -> Item:
        response.headers["cache-control"] = cache
        return Item(name="a")

    @app.get("/text", response_class=PlainTextResponse)
    async def text(response: Response, cache: str) -> Any:
        response.headers["cache-control"] = cache
        return "text"

    if middleware:

        @app.middleware("http")
        async def pass_on(request: Request, call_next: Any) -> Any:
            return await call_next(request)

    client = serve(app)

    def vary(path: str, cache: str, **headers: str) -> list[str]:
        reply = client.get(path, params={"cache": cache}, headers=headers)
        assert (reply.status_code, reply.headers["cache-control"]) == (200, cache)
        return reply.headers.get_list("vary")

    for path in ("/dict", "/model"):
        assert vary(path, "max-age=60") == ["accept"]
        assert vary(path, "max-age=60", **WANTS) == ["accept"]
        assert vary(path, "private, no-store") == []
    assert vary("/text", "max-age=60") == []


@pytest.mark.parametrize("path", ["/list", "/scalar", "/response", "/error"])
def test_what_is_no_document_is_json(serve: Serve, routes: App, path: str) -> None:
    client = serve(routes)
    ours, theirs = client.get(path, headers=WANTS), client.get(path)
    assert ours.headers["content-type"] == "application/json"
    assert (ours.content, ours.status_code) == (theirs.content, theirs.status_code)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/bson, application/json;q=0.9", True),
        ("application/json, application/bson", False),
        ("application/bson;q=0.5, */*;q=0.1", True),
        ("application/bson;q=0.5, */*", False),
        ("application/bson;q=0.5, application/*;q=0.6", False),
        ("application/bson;q=0", False),
        ("APPLICATION/BSON", True),
        ("application/xbson", False),
        ("*/*", False),
        ("application/json", False),
        ("bson" * 20, False),
    ],
)
def test_what_the_client_accepts(serve: Serve, routes: App, accept: str, wanted: bool) -> None:
    reply = serve(routes).get("/dict", headers={"accept": accept})
    assert (reply.headers["content-type"] == "application/bson") is wanted


def test_a_value_that_bson_does_not_have(serve: Serve, routes: App, server_errors: Any) -> None:
    client = serve(routes, raise_server_exceptions=False)
    assert client.get("/big").json() == {"n": 2**64}
    assert client.get("/big", headers=WANTS).status_code == 500
    assert isinstance(server_errors()[0], bson.EncodeError)


def test_replies_that_middleware_sees(serve: Serve, routes: App) -> None:
    @routes.middleware("http")
    async def see(request: Any, call_next: Any) -> Any:
        reply = await call_next(request)
        reply.headers["x-seen"] = reply.headers["content-type"]
        return reply

    client = serve(routes)
    for path in ("/dict", "/model"):
        reply = client.get(path, headers=WANTS)
        assert reply.headers["x-seen"] == reply.headers["content-type"] == "application/bson"
        bson.validate(reply.content)
    for path in ("/list", "/scalar"):
        assert client.get(path, headers=WANTS).json() == client.get(path).json()
