"""pydantic's models in BSON: written in C they are what model_dump(by_alias=True) gives."""

import datetime as dt
import enum
import os
import uuid
import warnings
from decimal import Decimal
from typing import Any, Literal

import pydantic
import pytest
from bson.codec_options import CodecOptions, TypeRegistry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, computed_field, field_serializer

from tests.shape_types import JUNK, Typed
from tests.test_encode_pydantic import parts_of
from tests.test_shape_pydantic import TYPES
from weft import bson
from weft.shapes.compiled import output_of

EXAMPLES = int(os.environ.get("WEFT_SHAPE_EXAMPLES", "100"))

# With a fallback for what has no BSON form, models are pydantic's to dump.
DUMPED: Any = CodecOptions(type_registry=TypeRegistry(fallback_encoder=lambda value: value))


def outcome(call: Any) -> Any:
    try:
        return call()
    except (ValueError, TypeError, RecursionError) as exc:
        return type(exc)


def compare(obj: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = outcome(lambda: bson.encode(obj, type=type(obj), codec_options=DUMPED))
        got = outcome(lambda: bson.encode(obj, type=type(obj)))
    assert got == expected, obj
    return got


def is_plain(cls: Any) -> bool:
    return bool(output_of(cls).description.plain)


def test_random_models() -> None:
    written = plain = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="CI" in os.environ or "WEFT_SHAPE_EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(TYPES, st.data())
    def run(typed: Typed, data: Any) -> None:
        nonlocal written, plain
        annotation = pydantic.create_model("Whole", whole=(typed.annotation, ...))
        plain += is_plain(annotation)
        for _ in range(3):
            try:
                obj = annotation.model_validate({"whole": data.draw(typed.values)})
            except pydantic.ValidationError:
                continue
            written += isinstance(compare(obj), bytes)
            # assigned to without validation
            part = data.draw(
                st.sampled_from([p for p in parts_of(obj) if getattr(p, "__dict__", None)])
            )
            part.__dict__[data.draw(st.sampled_from(sorted(part.__dict__)))] = data.draw(JUNK)
            compare(obj)

    run()
    assert written > EXAMPLES // 4
    assert plain > EXAMPLES // 20


class Color(enum.Enum):
    RED = "red"


class Line(BaseModel):
    sku: str
    price: Decimal = Decimal("1.50")
    hidden: int = Field(0, exclude=True)


class Order(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    name: str = Field("n", alias="NAME")
    id: bson.ObjectId = Field(default_factory=bson.ObjectId, serialization_alias="_id")
    lines: list[Line] = []
    at: dt.datetime = dt.datetime(2024, 1, 2, 3, 4, 5, 6000)
    day: dt.date = dt.date(2024, 1, 2)
    uid: uuid.UUID = uuid.UUID(int=5)
    color: Color = Color.RED
    kind: Literal["a", 1] = "a"
    either: int | str | Line | None = None
    pair: tuple[int, str] = (1, "x")
    several: tuple[Line, ...] = ()
    extra: dict[str, Any] = {}
    by_name: dict[str, Line | None] = {}
    raw: bytes = b"\0"
    took: dt.timedelta = dt.timedelta(seconds=1.5)
    parent: "Order | None" = None


def order(**fields: Any) -> Order:
    return Order(id=bson.ObjectId("56e1fc72e0c917e9c4714161"), **fields)


def test_every_kind_of_field() -> None:
    assert is_plain(Order)
    line = Line(sku="s")
    obj = order(
        lines=[line, line],
        either=line,
        several=(line,),
        extra={"a": [1, {"b": None}, (2.5, True)], "at": dt.datetime(2024, 1, 2)},
        by_name={"é": line, "none": None},
        parent=order(either="text"),
    )
    data = compare(obj)
    assert isinstance(data, bytes)
    plain = bson.decode(data)
    assert list(plain)[:2] == ["_id", "NAME"]  # _id in front, but only at the top
    assert list(plain["parent"])[:2] == ["NAME", "_id"]
    assert plain["lines"] == [{"sku": "s", "price": "1.50"}] * 2


@pytest.mark.parametrize(
    "fields",
    [
        {"extra": {"model": Line(sku="s")}},
        {"extra": {1: 2}},
        {"extra": {"a\0b": 1}},
        {"extra": {"a": object()}},
        {"extra": {"a": 1 << 70}},
        {"extra": {"\ud800": 1}},
        {"extra": {"a": {1, 2}}},
        {"lines": [Line.model_construct(sku=5)]},
        {"lines": [Line.model_construct(price=Decimal(1))]},
        {"either": 2.5},
        {"name": None},
        {"color": "red"},
        {"at": "text"},
        {"uid": 7},
    ],
    ids=str,
)
def test_what_is_odd_is_pydantics(fields: Any) -> None:
    obj = order()
    obj.__dict__.update(fields)
    compare(obj)


def test_attributes_in_another_order_or_number() -> None:
    obj = Line(sku="s")
    obj.__dict__ = {"price": Decimal(1), "sku": "s", "hidden": 1}
    compare(obj)
    obj.__dict__["more"] = 1
    compare(obj)
    compare(Line.model_construct())


def test_a_model_within_itself() -> None:
    obj = order()
    obj.parent = obj
    with pytest.raises(ValueError, match=r"nested|Circular"):
        bson.encode(obj, type=Order)
    deep = order()
    for _ in range(600):
        deep = Order.model_construct(**{**deep.__dict__, "parent": deep})
    with pytest.raises((ValueError, RecursionError)):
        bson.encode(deep, type=Order)


def test_models_that_are_dumped() -> None:
    class Computed(BaseModel):
        a: int = 1

        @computed_field  # type: ignore[prop-decorator]
        @property
        def b(self) -> int:
            return self.a + 1

    class Serialized(BaseModel):
        a: int = 1

        @field_serializer("a", when_used="unless-none")
        def text(self, value: int) -> str:
            return str(value)

    class Own(BaseModel):
        a: int = 1

        def model_dump(self, **options: Any) -> Any:
            return {"own": 1}

    class Extra(BaseModel):
        model_config = ConfigDict(extra="allow")
        a: int = 1

    class Twice(BaseModel):
        a: int = Field(1, serialization_alias="b")
        b: int = 2

    class Sets(BaseModel):
        a: set[int] = {1}

    for cls in (Computed, Serialized, Own, Twice, Sets):
        assert not is_plain(cls)
        compare(cls())
    assert bson.decode(bson.encode(Own(), type=Own)) == {"own": 1}
    compare(Extra(b=2))

    class Sub(Line):
        more: int = 1

    compare(order(lines=[Sub(sku="s")]))


def test_a_time_zone_that_changes_what_is_written() -> None:
    obj = order()

    class Changing(dt.tzinfo):
        def utcoffset(self, when: Any) -> dt.timedelta:
            obj.__dict__.pop("took", None)
            return dt.timedelta(0)

    obj.__dict__["at"] = dt.datetime(2024, 1, 1, tzinfo=Changing())
    with pytest.raises(bson.EncodeError, match="changed while"):
        bson.encode(obj, type=Order)
