"""JSON Schemas of shapes: pydantic is the judge of what it can read, msgspec's Structs are ours."""

from __future__ import annotations

import builtins
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import pathlib
import uuid
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

import msgspec
import pydantic
import pytest
from annotated_types import Ge, Lt, MaxLen, MinLen, MultipleOf
from typing_extensions import TypedDict

import weft
from weft.openapi import SchemaError


class Color(enum.Enum):
    red = "red"
    blue = "blue"


class One(enum.IntEnum):
    one = 1


@dataclasses.dataclass
class Point:
    """Where it is."""

    x: Annotated[int, Ge(0)]
    y: float = 1.5
    color: Color = Color.red
    next_one: Point | None = None
    tags: list[str] = dataclasses.field(default_factory=list)
    either: Point | int = 3


class Movie(TypedDict):
    title: Annotated[str, MinLen(2), MaxLen(5)]
    when: NotRequired[dt.datetime]


class Pair(NamedTuple):
    first: int
    second: str = "x"


class Model(pydantic.BaseModel):
    a: int
    point: Point | None = None


PLAIN = [
    *(bool, int, float, str, None, Any, uuid.UUID, decimal.Decimal),
    *(dt.date, dt.time, dt.datetime, dt.timedelta, pathlib.Path, ipaddress.IPv4Address),
    *(list, list[int], set[str], frozenset[int], collections.deque[int]),
    *(tuple[int, str], tuple[int, ...], dict[str, int], dict[str, Any]),
    *(Literal["a"], Literal["a", "b"], Literal[1, "a"], int | None, int | str),
    *(Annotated[float, Lt(3)], Annotated[int, MultipleOf(2)], Annotated[list[int], MinLen(1)]),
    *(
        Color,
        One,
        list[Color],
        Point,
        list[Point],
        Movie,
        Pair,
        dict[str, Pair],
        Model,
        list[Model],
    ),
]


@pytest.mark.parametrize("mode", ["validation", "serialization"])
@pytest.mark.parametrize("annotation", PLAIN, ids=str)
def test_schema_is_pydantics(annotation, mode):
    theirs = pydantic.TypeAdapter(annotation).json_schema(mode=mode)
    assert weft.shape(annotation).json_schema(mode=mode) == theirs


class Cat(msgspec.Struct, tag="cat", forbid_unknown_fields=True):
    lives: int = 9


class Dog(msgspec.Struct, tag="dog", rename="camel"):
    is_good: bool


class Spot(msgspec.Struct, array_like=True):
    x: int
    y: int = 0


class Holder(msgspec.Struct):
    model: Model
    raw: bytes


def test_schema_of_structs():
    schema = weft.shape(list[Cat | Dog]).json_schema()
    assert schema["items"] == {
        "discriminator": {
            "propertyName": "type",
            "mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"},
        },
        "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
    }
    assert schema["$defs"]["Cat"] == {
        "type": "object",
        "title": "Cat",
        "properties": {
            "type": {"const": "cat", "title": "Type"},
            "lives": {"type": "integer", "title": "Lives", "default": 9},
        },
        "required": ["type"],
        "additionalProperties": False,
    }
    assert schema["$defs"]["Dog"]["required"] == ["type", "isGood"]


def test_schema_of_a_struct_written_as_an_array():
    assert weft.shape(Spot).json_schema() == {
        "type": "array",
        "prefixItems": [
            {"type": "integer", "title": "X"},
            {"type": "integer", "title": "Y", "default": 0},
        ],
        "minItems": 1,
    }


def test_models_inside_of_structs_are_described_by_pydantic():
    schema = weft.shape(Holder).json_schema()
    assert schema["properties"]["raw"] == {
        "type": "string",
        "contentMediaType": "application/octet-stream",
        "contentEncoding": "base64",
        "title": "Raw",
    }
    assert schema["properties"]["model"]["title"] == "Model"
    assert schema["$defs"]["Point"]["description"] == "Where it is."


def test_classes_of_one_name_are_told_apart():
    def make(kind):
        @dataclasses.dataclass
        class Same:
            a: kind  # type: ignore[valid-type]

        Same.__annotations__["a"] = kind
        return Same

    one, two = make(int), make(str)
    two.__qualname__ = "Other"
    schema = weft.shape(tuple[one, two]).json_schema()
    assert len(schema["$defs"]) == 2
    assert schema["prefixItems"][0] != schema["prefixItems"][1]


def test_document_without_pydantic(monkeypatch):
    app = weft.App(title="Shop")

    @app.get("/points/{n}")
    async def points(
        n: Annotated[int, weft.Path(ge=1)],
        q: Annotated[str, weft.Query(min_length=2, description="what for")] = "ab",
    ) -> list[Point]: ...

    expected = app.openapi()
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "pydantic":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert app.openapi() == expected


def test_type_without_a_schema_is_named():
    class Strange(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        loop: weft.Loop | None = None

    with pytest.raises(SchemaError, match="Loop"):
        weft.shape(Strange).json_schema()
