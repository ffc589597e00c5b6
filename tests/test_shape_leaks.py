"""Validators, serializers and models again and again, into every error, and without memory.

Nothing stays behind, and what comes out is the value, its error or a MemoryError."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from collections.abc import Callable
from typing import Annotated, Any

import pydantic
import pydantic_core
import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from tests.test_encode_leaks import assert_no_leak
from weft import _core, bson, json
from weft.bson import JsonObjectId
from weft.shapes import pydantic as by_schema

DIGITS = "56e1fc72e0c917e9c4714161"


def raising(value: Any) -> Any:
    if value == "raise":
        raise ValueError("raised")
    if value == "key":
        raise KeyError("raised")
    return value


class Line(BaseModel):
    sku: Annotated[str, AfterValidator(raising)]
    many: list[Annotated[int, AfterValidator(lambda v: v + 1)]] = []
    made: list[int] = Field(default_factory=list)
    at: Annotated[str, Field(default_factory=lambda: "now")]

    @model_validator(mode="after")
    def whole(self) -> Line:
        raising(self.sku if self.sku == "key" else "")
        return self


class Parts(BaseModel):
    before: Annotated[Any, BeforeValidator(raising)] = 0
    informed: str = ""
    line: Line | None = None
    id: JsonObjectId | None = None

    @field_validator("informed")
    @classmethod
    def with_info(cls, value: str, info: pydantic.ValidationInfo) -> str:
        assert isinstance(info.data, dict)
        return str(raising(value))


VALID: list[tuple[Any, Any]] = [
    (Line, {"sku": "a", "many": [1, 2], "at": "then"}),
    (Line, {"sku": "a"}),
    (list[Line], [{"sku": "a"}, {"sku": "b"}]),
]
PARTS: list[tuple[Any, Any]] = [
    *VALID,
    (Line, {"sku": "raise", "many": [1]}),
    (Line, {"sku": "key"}),
    (Line, {"sku": "a", "many": ["x"]}),
    (Line, {}),
    (Parts, {"before": "x", "informed": "y", "line": {"sku": "a"}, "id": DIGITS}),
    (Parts, {"before": "raise"}),
    (Parts, {"before": "key"}),
    (Parts, {"informed": "raise", "line": {"sku": "a"}}),
    (Parts, {"line": {"sku": "raise"}}),
    (Parts, {"line": {"sku": "a", "many": 1}}),
    (Parts, {"id": "x"}),
    (list[Parts], [{"before": 1}, {"before": "raise"}]),
]


class Written(BaseModel):
    a: Annotated[int, PlainSerializer(lambda v: {"v": [v, None]})] = 1
    b: str = "b"

    @field_serializer("b")
    def of_b(self, value: Any) -> str:
        return str(raising(value))

    @computed_field  # type: ignore[prop-decorator]
    @property
    def computed(self) -> int:
        return len(self.b)

    @field_serializer("computed")
    def of_computed(self, value: int) -> list[int]:
        return [value]


class Informed(Written):
    c: dt.datetime | None = None

    @field_serializer("c", when_used="unless-none")
    def of_c(self, value: Any, info: Any) -> Any:
        return raising(value)


class Whole(BaseModel):
    a: Any = 1

    @model_serializer
    def whole(self) -> dict[str, Any]:
        return {"a": raising(self.a)}


SERIALIZED = [
    Written(),
    Written(b="raise"),
    Written(b="key"),
    Informed(),
    Informed.model_construct(c="raise"),
    Informed.model_construct(a="x", c=dt.date(2024, 1, 1)),
    Whole(),
    Whole(a="raise"),
    Whole(a=object()),
]


class Document(BaseModel):
    name: str = "é" * 20
    numbers: list[int] = list(range(40))
    nested: dict[str, Any] = {"a": [1, {"b": "c"}]}
    inner: Document | None = None


DOCUMENTS = [
    Document(inner=Document()),
    Document.model_construct(name=5),
    Document.model_construct(numbers=[1 << 70]),
    Document.model_construct(nested={"a": object()}),
    Document.model_construct(nested={"a\0": 1}),
]


@pytest.fixture(autouse=True, scope="module")
def parts_are_free() -> Any:
    """So that small models have parts."""
    patch = pytest.MonkeyPatch()
    patch.setattr(by_schema, "_PART_COSTS", 0)
    yield
    patch.undo()


def calls_of(cases: list[tuple[Any, Any]]) -> list[Callable[[], Any]]:
    calls: list[Callable[[], Any]] = []
    for type_, value in cases:
        text = json.encode(value)
        calls.append(lambda d=json.Decoder(type_), t=text: d.decode(t))  # type: ignore[misc]
        if isinstance(value, dict):
            data = bson.encode(value)
            calls.append(lambda d=data, t=type_: bson.decode(d, type=t))  # type: ignore[misc]
    return calls


def encoders() -> list[Callable[[], Any]]:
    made = [(json.Encoder(type(obj)).encode, obj) for obj in SERIALIZED]
    return [lambda e=e, o=o: e(o) for e, o in made]  # type: ignore[misc]


def documents() -> list[Callable[[], Any]]:
    return [lambda o=o: bson.encode(o, type=Document) for o in DOCUMENTS]  # type: ignore[misc]


def end_of(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (ValueError, TypeError, KeyError) as exc:
        return type(exc), str(exc)


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize(
    "calls",
    [lambda: calls_of(PARTS), encoders, documents],
    ids=["validators", "serializers", "documents"],
)
def test_nothing_leaks(calls: Callable[[], list[Callable[[], Any]]]) -> None:
    made = calls()

    def run() -> None:
        for call in made:
            end_of(call)

    assert_no_leak(run)


def test_references_are_as_before() -> None:
    marker = object()

    class Held(BaseModel):
        a: Any = marker
        b: Any = 1

        @field_serializer("b")
        def of_b(self, value: Any) -> Any:
            return marker if value else raising("raise")

    encode = json.Encoder(Held).encode
    objects = [Held(), Held(b=0), Held(a=1)]
    end_of(lambda: encode(objects[0]))
    before = sys.getrefcount(marker), [sys.getrefcount(obj) for obj in objects]
    for _ in range(100):
        for obj in objects:
            end_of(lambda obj=obj: encode(obj))  # type: ignore[misc]
    del obj
    assert (sys.getrefcount(marker), [sys.getrefcount(obj) for obj in objects]) == before


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_our_allocations_may_fail() -> None:
    for call in (*calls_of(PARTS), *encoders(), *documents()):
        expected = end_of(call)
        for nth in range(1, 20):
            _core._alloc_fail_from(nth)
            try:
                with contextlib.suppress(MemoryError):
                    assert end_of(call) == expected
            finally:
                _core._alloc_fail_from(0)
        assert end_of(call) == expected


def test_pythons_allocations_may_fail() -> None:
    """What pydantic has no part in, which does not take it well."""
    testcapi = pytest.importorskip("_testcapi")
    encode = json.Encoder(list[Written]).encode
    written = [Written(), Written(a=5)]
    calls = [*calls_of(VALID), lambda: encode(written), documents()[0]]
    for call in calls:
        expected = call()
        for nth in range(1, 1000):
            testcapi.set_nomemory(nth, nth + 1)
            try:
                result = call()
            except MemoryError:
                continue
            except pydantic_core.PydanticSerializationError as exc:
                if "MemoryError" not in str(exc):  # a serializer's own
                    raise
                continue
            finally:
                testcapi.remove_mem_hooks()
            assert result == expected
            break
        else:
            pytest.fail("it never had enough")
        assert call() == expected
