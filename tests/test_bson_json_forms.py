"""BSON to the JSON of a type: each type has one form there, that of weft.json and of replies."""

from __future__ import annotations

import base64
import datetime
import enum
import math
import typing
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import some
from weft import App, bson, json
from weft.testing import TestClient

ID = bson.ObjectId("56e1fc72e0c917e9c4714161")
UID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
AT = datetime.datetime(2024, 2, 29, 12, 30, 0, 123000)


class Color(enum.Enum):
    red = "red"
    two = 2


class Sparse(msgspec.Struct, omit_defaults=True, rename="camel", forbid_unknown_fields=True):
    foo_bar: int = 0
    names: list[str] = []
    more: dict[str, float] = {}
    maybe: int | msgspec.UnsetType = msgspec.UNSET


class Row(msgspec.Struct, array_like=True, tag="row"):
    raw: bytes
    price: Decimal = Decimal("1.50")


class Pair(NamedTuple):
    a: bytes
    b: float = 1e-7


class Movie(TypedDict, total=False):
    at: datetime.datetime
    raw: bytes


@dataclass
class Defaults:
    """What is not given is written from the class: as what is."""

    price: Decimal = Decimal("1E+3")
    raw: bytes = b"\xff"
    at: datetime.datetime = AT
    small: float = 1.5e-7
    large: float = 1e16
    none: float = math.inf
    color: Color = Color.two
    word: Literal["a"] = "a"
    uid: uuid.UUID = UID
    took: datetime.timedelta = datetime.timedelta(seconds=90)
    items: list[bytes] = field(default_factory=lambda: [b"x"])
    _own: int = 5


class Held(pydantic.BaseModel):
    key: bson.JsonObjectId | None = pydantic.Field(None, alias="_id")
    n: float = 1e16


DOCUMENTS: list[tuple[Any, dict[str, Any]]] = [
    (dict[str, bytes], {"k": b"x", "l": b"\xff\xfe", "m": b""}),
    (dict[str, bytearray], {"k": b"x"}),
    (dict[str, bytes], {"k": bson.Binary(b"x", 5)}),
    (dict[str, Decimal], {"k": bson.Decimal128("1.50"), "l": 5, "m": "1E+400"}),
    (dict[str, float], {"k": 1e16, "l": 1e-5, "m": 1.5e-7, "n": 3, "o": -1e300, "p": -0.0}),
    (dict[str, float], {"k": 5e-324, "l": 9007199254740993.0, "m": 1e15, "n": 1.5e-5}),
    (dict[str, Any], {"k": 1e16, "l": AT, "m": [None, True, {"n": 1e-7}], "o": b"x", "p": UID.hex}),
    (dict[str, datetime.datetime], {"k": AT}),
    (dict[str, datetime.date], {"k": datetime.datetime(1, 2, 3)}),
    (dict[str, datetime.timedelta], {"k": "PT1.5S"}),
    (dict[str, datetime.time], {"k": "12:30:00"}),
    (dict[str, uuid.UUID], {"k": bson.Binary(UID.bytes, 4)}),
    (dict[str, bson.ObjectId], {"k": ID}),
    (dict[str, str], {"k": ID}),
    (dict[int, bytes], {"1": b"x"}),
    (dict[str, set[int]], {"k": [1]}),
    (Sparse, {}),
    (Sparse, {"fooBar": 0, "names": [], "more": {"x": 1e16}}),
    (Sparse, {"fooBar": 1, "maybe": 5}),
    (dict[str, Row], {"k": ["row", b"x"]}),
    (dict[str, Pair], {"k": [b"x"]}),
    (Movie, {"at": AT}),
    (Movie, {"raw": b"x", "at": AT}),
    (Defaults, {}),
    (Defaults, {"price": bson.Decimal128("-1E+3"), "color": "red", "none": -math.inf}),
]


@pytest.mark.parametrize(("annotation", "document"), DOCUMENTS)
def test_it_is_that_of_the_value_and_is_read_back(annotation: Any, document: Any) -> None:
    raw = bson.encode(document)
    value = bson.decode(raw, type=annotation)
    text = bson.to_json(raw, type=annotation)
    assert text == json.encode(value, type=annotation) == msgspec.json.encode(value, enc_hook=str)
    if Any not in typing.get_args(annotation) and annotation is not Defaults:  # inf is null
        assert json.decode(text, type=annotation) == value


def test_it_is_what_a_reply_of_a_model_or_struct_is() -> None:
    raws = {
        "sparse": (Sparse, bson.encode({"fooBar": 1})),
        "held": (Held, bson.encode({"_id": ID, "n": 1e-7})),
        "many": (dict[str, Held], bson.encode({"a": {"_id": ID}, "b": {}})),
    }
    app = App()

    def answer(annotation: Any, raw: bytes) -> Any:
        async def route() -> Any:
            return bson.decode(raw, type=annotation)

        route.__annotations__["return"] = annotation
        return route

    for name, (annotation, raw) in raws.items():
        app.get(f"/{name}")(answer(annotation, raw))
    with TestClient(app) as client:
        for name, (annotation, raw) in raws.items():
            assert client.get(f"/{name}").content == bson.to_json(raw, type=annotation), name


def test_bytes_are_base64() -> None:
    raw = bson.encode({"k": b"\xff\xfe"})
    expected = b'{"k":"' + base64.b64encode(b"\xff\xfe") + b'"}'
    assert bson.to_json(raw, type=dict[str, bytes]) == expected


def test_a_default_that_is_not_of_its_type_is_an_error_that_says_where() -> None:
    @dataclass
    class Wrong:
        n: int = None  # type: ignore[assignment]

    annotation = dict[str, Wrong]
    raw = bson.encode({"k": {}})
    with pytest.raises(json.EncodeError, match=r'expected int, got NoneType at \["k"\]\.n'):
        bson.to_json(raw, type=annotation)


@given(st.dictionaries(st.text("abc", max_size=2), st.floats()))
@settings(max_examples=some(200), deadline=None)
def test_floats(document: Any) -> None:
    raw = bson.encode(document)
    finite = {key: value for key, value in document.items() if math.isfinite(value)}
    assert bson.to_json(raw, type=dict[str, float]) == msgspec.json.encode(document)
    model = pydantic.create_model("Floats", by_name=(dict[str, float], ...))
    expected = model(by_name=finite).model_dump_json().encode()
    assert bson.to_json(bson.encode({"by_name": finite}), type=model) == expected
