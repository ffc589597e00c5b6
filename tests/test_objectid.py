"""BSON's ObjectId as a parameter and in JSON: its 24 digits."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pydantic
import pytest

from tests.conftest import Serve
from weft import App, Cookie, Header, Query, bson, json
from weft.bson import JsonObjectId, ObjectId

DIGITS = "56e1fc72e0c917e9c4714161"
ID = ObjectId(DIGITS)
MESSAGE = "Value error, an ObjectId is a string of 24 hexadecimal digits"
WRONG = [
    "x",
    "",
    DIGITS[:-1],
    DIGITS + "0",
    DIGITS[:-1] + "g",
    "a" * 23 + "\u00e9",
    "0x" + DIGITS[2:],
]


@dataclass
class Row:
    id: ObjectId
    others: list[ObjectId]


class Struct(msgspec.Struct):
    id: ObjectId


class Model(pydantic.BaseModel):
    id: JsonObjectId
    maybe: JsonObjectId | None = None
    by_id: dict[str, JsonObjectId] = {}


@pytest.fixture
def ids() -> App:
    app = App()

    @app.get("/path/{id}")
    async def path(id: ObjectId) -> Any:
        assert type(id) is ObjectId
        return {"id": id}

    @app.get("/query")
    async def query(
        id: ObjectId | None = None,
        many: Annotated[list[ObjectId], Query()] = [],  # noqa: B006
        either: ObjectId | int = 0,
    ) -> Any:
        return {"id": id, "many": many, "either": either}

    @app.get("/header")
    async def header(x_id: Annotated[ObjectId, Header()]) -> Any:
        return str(x_id)

    @app.get("/cookie")
    async def cookie(c: Annotated[ObjectId, Cookie()]) -> Any:
        return str(c)

    @app.post("/row")
    async def row(row: Row) -> Any:
        assert type(row.id) is ObjectId
        return row

    @app.post("/struct")
    async def struct(struct: Struct) -> Any:
        return struct

    @app.post("/model")
    async def model(model: Model) -> Model:
        assert type(model.id) is ObjectId
        return model

    return app


def test_parameters(serve: Serve, ids: App) -> None:
    client = serve(ids)
    assert client.get(f"/path/{DIGITS.upper()}").json() == {"id": DIGITS}
    reply = client.get(
        "/query", params={"id": DIGITS, "many": [DIGITS, "0" * 24], "either": DIGITS}
    )
    assert reply.json() == {"id": DIGITS, "many": [DIGITS, "0" * 24], "either": DIGITS}
    assert client.get("/query", params={"either": "7"}).json()["either"] == 7
    assert client.get("/header", headers={"x-id": DIGITS}).json() == DIGITS
    assert client.get("/cookie", headers={"cookie": f"c={DIGITS}"}).json() == DIGITS


@pytest.mark.parametrize("wrong", WRONG)
def test_errors_are_value_errors_of_pydantics_form(serve: Serve, ids: App, wrong: str) -> None:
    client = serve(ids)
    reply = client.get("/query", params={"id": wrong, "many": [DIGITS, wrong]})
    assert reply.status_code == 422
    error = {"type": "value_error", "msg": MESSAGE, "input": wrong, "ctx": {"error": {}}}
    assert reply.json()["detail"] == [
        {**error, "loc": ["query", "id"]},
        {**error, "loc": ["query", "many", 1]},
    ]


def test_fields_of_bodies(serve: Serve, ids: App) -> None:
    client = serve(ids)
    body = {"id": DIGITS, "others": ["0" * 24]}
    assert client.post("/row", json=body).json() == body
    reply = client.post("/row", json={"id": DIGITS, "others": ["x"]})
    (error,) = reply.json()["detail"]
    assert error["type"] == "value_error"
    assert error["msg"] == MESSAGE
    assert error["loc"] == ["body", "others", 0]
    body = {"id": DIGITS, "maybe": None, "by_id": {"a": DIGITS}}
    assert client.post("/model", json=body).json() == body
    reply = client.post("/model", json={"id": "x"})
    assert reply.json()["detail"] == [
        {
            "type": "value_error",
            "loc": ["body", "id"],
            "msg": MESSAGE,
            "input": "x",
            "ctx": {"error": {}},
        }
    ]


def test_openapi(serve: Serve, ids: App) -> None:
    document = serve(ids).get("/openapi.json").json()
    schema = {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"}
    for path, parameter in (("/path/{id}", "id"), ("/header", "x-id"), ("/cookie", "c")):
        (found,) = document["paths"][path]["get"]["parameters"]
        assert found["name"] == parameter
        assert found["schema"].items() >= schema.items()
    query = {p["name"]: p["schema"] for p in document["paths"]["/query"]["get"]["parameters"]}
    assert query["id"]["anyOf"] == [schema, {"type": "null"}]
    assert query["many"]["items"] == schema
    properties = document["components"]["schemas"]["Model"]["properties"]
    assert properties["id"].items() >= schema.items()
    for name in ("Row", "Struct"):  # which pydantic cannot read
        found = document["components"]["schemas"][name]["properties"]["id"]
        assert found.items() >= schema.items()


def test_models_are_pydantics_to_the_byte() -> None:
    data = b'{"id":"%s","by_id":{"k":"%s"}}' % (DIGITS.encode(), DIGITS.encode())
    model = Model.model_validate_json(data)
    assert json.decode(data, type=Model) == model == Model(id=ID, by_id={"k": ID})
    assert json.encode(model, type=Model) == model.model_dump_json().encode()
    for wrong in (*WRONG, 5, None, [DIGITS]):
        with pytest.raises(pydantic.ValidationError) as ours:
            json.decode(json.encode({"id": wrong}), type=Model)
        with pytest.raises(pydantic.ValidationError) as theirs:
            Model.model_validate({"id": wrong})
        assert str(ours.value) == str(theirs.value)


def test_models_keep_it_in_bson() -> None:
    model = Model(id=ID, maybe=ID)
    data = bson.encode(model, type=Model)
    assert bson.decode(data) == {"id": ID, "maybe": ID, "by_id": {}}
    assert bson.decode(data, type=Model) == model


def test_without_pydantic_and_pymongo() -> None:
    program = f"""
import sys
sys.modules["pydantic"] = sys.modules["bson"] = None  # type: ignore[assignment]
from weft import App, bson
from weft.testing import TestClient

app = App()

@app.get("/{{id}}")
async def read(id: bson.ObjectId, other: bson.ObjectId | None = None):
    assert type(id).__module__ == "weft.bson._classes"
    return {{"id": id}}

with TestClient(app) as client:
    assert client.get("/{DIGITS}").json() == {{"id": "{DIGITS}"}}
    assert client.get("/x").json()["detail"][0]["type"] == "value_error"
    found = client.get("/openapi.json").json()["paths"]["/{{id}}"]["get"]["parameters"][0]
    assert found["schema"]["pattern"] == "^[0-9a-fA-F]{{24}}$", found
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
