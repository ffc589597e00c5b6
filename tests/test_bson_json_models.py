"""BSON to the JSON of a pydantic model, without the model, beside the way over it."""

from __future__ import annotations

import datetime
import enum
import tracemalloc
import uuid
from typing import Annotated, Any, Literal

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from tests.test_bson_shapes import loose, some
from weft import bson

ID = bson.ObjectId("56e1fc72e0c917e9c4714161")
AT = datetime.datetime(2024, 2, 29, 12, 30, 0, 5000)


class Color(enum.Enum):
    red = "red"
    blue = 2


class Point(BaseModel):
    model_config = ConfigDict(extra="forbid")
    x: int = 0
    y: float | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(9, alias="Lives", ge=0, lt=100)


class Dog(BaseModel):
    kind: Literal["dog", "puppy"]
    name: str = Field(max_length=3, min_length=1)


class Reply(BaseModel):
    id: bson.JsonObjectId | None = Field(None, alias="_id")
    n: int = Field(5, serialization_alias="N")
    s: str = "text"
    f: float = 1.5
    ok: bool = True
    at: datetime.datetime | None = None
    day: datetime.date | None = None
    uid: uuid.UUID | None = None
    color: Color | None = None
    names: list[str] = Field([], max_length=2)
    by_name: dict[str, int] = {}
    point: Point | None = None
    points: list[Point] = []
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    either: int | str | list[int] | None = None
    anything: Any = None
    hidden: int = Field(0, exclude=True)
    odd: Any = Field(default_factory=lambda: uuid.UUID(int=1))


def over_the_model(raw: bytes) -> Any:
    return outcome(lambda: bson.decode(raw, type=Reply).model_dump_json(by_alias=True).encode())


def outcome(call: Any) -> Any:
    try:
        return call()
    except pydantic.ValidationError as error:
        return repr(error.errors(include_url=False))
    except Exception as error:  # of pydantic-core's serializer: several
        return type(error), str(error)


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "_id": st.just(ID) | loose,
        "n": st.integers(-5, 2**40) | loose,
        "s": st.text(max_size=4) | loose,
        "f": st.floats() | st.integers(-5, 5),
        "ok": st.booleans() | loose,
        "at": st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 1, 1)) | loose,
        "day": st.just(datetime.datetime(2024, 2, 29)) | st.just(AT) | loose,
        "uid": st.just(bson.Binary(uuid.UUID(int=7).bytes, 4)) | st.just(b"\0" * 16) | loose,
        "color": st.sampled_from(["red", 2, "green", None]),
        "names": st.lists(st.text(max_size=4) | loose, max_size=3),
        "by_name": st.dictionaries(st.text('abc"é', max_size=3), st.integers(0, 5) | loose),
        "point": st.fixed_dictionaries({"x": st.integers(0, 5)}, optional={"y": loose, "z": loose}),
        "points": st.lists(st.fixed_dictionaries({}, optional={"y": st.floats()}), max_size=2),
        "pet": st.fixed_dictionaries(
            {"kind": st.sampled_from(["cat", "dog", "puppy", "cow", 1])},
            optional={"Lives": st.integers(-1, 101), "name": st.text(max_size=4)},
        ),
        "either": st.integers(0, 3) | st.text(max_size=2) | st.lists(st.integers(0, 3)) | loose,
        "anything": loose | st.lists(loose, max_size=2) | st.dictionaries(st.text("ab"), loose),
        "hidden": st.integers(0, 3) | loose,
        "odd": st.integers(0, 3),
        "unknown": loose,
    },
)


@given(VALUES)
@settings(max_examples=some(400), deadline=None)
def test_any_document(document: Any) -> None:
    raw = bson.encode(document)
    assert outcome(lambda: bson.to_json(raw, type=Reply)) == over_the_model(raw)


FULL = {
    "_id": ID,
    "n": 1,
    "s": "é",
    "f": 2.5,
    "ok": False,
    "at": AT,
    "day": datetime.datetime(2024, 2, 29),
    "uid": bson.Binary(uuid.UUID(int=7).bytes, 4),
    "color": "red",
    "names": ["a"],
    "by_name": {"a": 1},
    "point": {"x": 1, "y": 0.5},
    "points": [{"x": n} for n in range(20)],
    "pet": {"kind": "cat"},
    "either": [1, 2],
    "anything": {"a": [1, None, AT, {"b": 2.5}]},
    "odd": 1,
    "hidden": 7,
}


def test_a_model_of_every_kind_is_not_made() -> None:
    raw = bson.encode(FULL)
    expected = over_the_model(raw)
    assert bson.to_json(raw, type=Reply) == expected
    tracemalloc.start()
    try:
        text = bson.to_json(raw, type=Reply)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert text == expected
    assert peak < len(text) + 500


class Loud(BaseModel):
    s: str

    @pydantic.field_serializer("s")
    def loud(self, value: str) -> str:
        return value.upper()


class Computed(BaseModel):
    s: str

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> str:
        return self.s * 2


class Checked(BaseModel):
    s: str

    @pydantic.field_validator("s")
    @classmethod
    def stripped(cls, value: str) -> str:
        return value.strip()


class Dumps(BaseModel):
    s: str

    def model_dump(self, **options: Any) -> Any:
        return {"own": self.s}


class Infinite(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    s: str


class Allowing(BaseModel):
    model_config = ConfigDict(extra="allow")
    s: str


class Initialised(BaseModel):
    s: str

    def model_post_init(self, context: Any) -> None:
        self.s += "!"


class LeftOut(BaseModel):
    s: str = Field(exclude_if=lambda v: v == " x ")


@pytest.mark.parametrize(
    "model", [Loud, Computed, Checked, Dumps, Infinite, Allowing, Initialised, LeftOut]
)
def test_models_with_a_say_of_their_own(model: Any) -> None:
    class Holder(BaseModel):
        inner: model

    for document, type_ in (({"s": " x ", "t": 1}, model), ({"inner": {"s": " x "}}, Holder)):
        raw = bson.encode(document)
        expected = bson.decode(raw, type=type_).model_dump_json(by_alias=True).encode()
        assert bson.to_json(raw, type=type_) == expected
