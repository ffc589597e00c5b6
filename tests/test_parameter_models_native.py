"""Parameter models by their shapes: when pydantic is not asked, and nothing stays behind."""

import contextlib
import datetime as dt
import enum
import uuid
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any, Literal

import pydantic
import pytest
from pydantic import AfterValidator, AliasChoices, BaseModel, Field

from weft import Cookie, Header, Query, _core
from weft.signature import describe

from .plan_probe import CALLED, INVALID, Call, run_plan
from .test_encode_leaks import assert_no_leak


class Color(enum.Enum):
    red = "r"


class Many(BaseModel):
    i: int
    f: float = 1.5
    b: bool = False
    s: Annotated[str, Field(min_length=2)] = "ab"
    optional: int | None = None
    text: int | str = 0
    choice: Literal["a", "b"] = "a"
    color: Color = Color.red
    ids: list[uuid.UUID] = []
    days: set[dt.date] = set()
    pair: tuple[int, int] = (1, 2)
    at: dt.datetime | None = None
    price: Decimal = Decimal("1")
    anything: Any = None
    made: list[int] = Field(default_factory=lambda: [1])


class Aliased(BaseModel):
    first: int = Field(alias="firstName")
    second: int = Field(2, validation_alias=AliasChoices("s", "second-one"))


class Named(Aliased):
    model_config = {"populate_by_name": True, "extra": "forbid"}


class Fields(BaseModel):
    x_token: int
    user_agent: str = ""
    x_tag: list[str] = []


def below_ten(value: int) -> int:
    if value >= 10:
        raise ValueError("not below ten")
    return value


class Validated(BaseModel):
    low: Annotated[int, AfterValidator(below_ten)] = 0
    high: int = 5

    @pydantic.model_validator(mode="after")
    def ordered(self) -> "Validated":
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Open(BaseModel):
    model_config = {"extra": "allow"}
    a: int = 1


class Strict(BaseModel):
    a: int = Field(1, strict=True)


@dataclass
class Page:
    limit: int
    tags: list[str] | None = None


ID = "12345678-1234-5678-1234-567812345678"
MANY = (
    f"i=+1&f=2&b=on&s=%C3%A9%C3%A9&optional=3&text=4&choice=b&color=r&ids={ID}&ids={ID}"
    "&days=2024-02-29&pair=1&pair=2&at=2024-01-01T00:00:00Z&price=1.50&anything=x&other=y"
)


def query(text: str) -> Call:
    return Call(query=text.encode())


def head(*fields: tuple[bytes, bytes]) -> Call:
    return Call(headers=list(fields))


# model, marker, request, what pydantic would get; None: that is what it does get
CASES: list[tuple[Any, Any, Call, dict[str, Any] | None]] = [
    (
        Many,
        Query(),
        query(MANY),
        {
            "i": "+1",
            "f": "2",
            "b": "on",
            "s": "éé",
            "optional": "3",
            "text": "4",
            "choice": "b",
            "color": "r",
            "ids": [ID, ID],
            "days": ["2024-02-29"],
            "pair": ["1", "2"],
            "at": "2024-01-01T00:00:00Z",
            "price": "1.50",
            "anything": "x",
        },
    ),
    (Many, Query(), query("i=1&i=2&%69=3"), {"i": "3"}),
    (Many | None, Query(), query("i=1"), {"i": "1"}),
    (Aliased, Query(), query("firstName=1&second-one=3"), {"firstName": "1", "second-one": "3"}),
    (Named, Query(), query("first=1&second=3"), {"first": "1", "second": "3"}),
    (Page, Query(), query("limit=1&tags=a"), {"limit": "1", "tags": ["a"]}),
    (Validated, Query(), query("low=2"), {"low": "2"}),
    (
        Fields,
        Header(),
        head((b"X-Token", b"1"), (b"x-token", b"2"), (b"X-Tag", b"a"), (b"x-tag", b"\xe9")),
        {"x_token": "1", "x_tag": ["a", "é"]},
    ),
    (Fields, Header(convert_underscores=False), head((b"x_token", b"1")), {"x_token": "1"}),
    (
        Many,
        Cookie(),
        head((b"cookie", b'i=1; s="a b"; i=2'), (b"cookie", b"s=\xe9\xe9")),
        {"i": "2", "s": "éé"},
    ),
    (Many, Query(), query("i=x"), None),
    (Many, Query(), query("f=1"), None),
    (Many, Query(), query("i=1&f=nan"), None),  # which may be forbidden
    (Many, Query(), query("i=1&pair=1"), None),
    (Many, Query(), query(f"i={'9' * 30}"), None),  # an int without a bound
    (Aliased, Query(), query("firstName=1&s=1&second-one=3"), None),  # by two of its names
    (Named, Query(), query("first=1&z=3"), None),
    (Fields, Header(), head((b"x_token", b"1"), (b"x-token", b"2")), None),
    (Many | None, Query(), query("z=1"), None),
]


def plan_of(annotation: Any, marker: Any) -> tuple[_core.Plan, list[Any]]:
    """A plan that gives the model, and what its pydantic was asked."""

    def read(found: Annotated[annotation, marker]) -> Any:
        return found

    description = describe(read)
    (step,) = description.steps
    shape, validate, *more = step.conversion.data
    asked: list[Any] = []

    def judge(value: Any, **options: Any) -> Any:
        asked.append(value)
        return validate(value, **options)

    conversion = replace(step.conversion, data=(shape, judge, *more))
    return replace(description, steps=(replace(step, conversion=conversion),)).compile(), asked


@pytest.mark.parametrize(("annotation", "marker", "call", "plain"), CASES)
def test_when_pydantic_is_asked(annotation: Any, marker: Any, call: Call, plain: Any) -> None:
    plan, asked = plan_of(annotation, marker)
    outcome, value, _ = run_plan(plan, call)
    if plain is None:
        assert outcome == INVALID or len(asked) == 1
        return
    assert (outcome, asked) == (CALLED, [])
    expected: Any = pydantic.TypeAdapter(annotation).validate_python(plain)
    assert (type(value), repr(value)) == (type(expected), repr(expected))
    assert value == expected
    if isinstance(value, BaseModel):
        assert value.model_fields_set == expected.model_fields_set


@pytest.mark.parametrize("model", [Open, Strict])
def test_what_is_pydantics_alone(model: Any) -> None:
    def read(found: Annotated[model, Query()]) -> Any:
        return found

    (step,) = describe(read).steps
    assert step.conversion.kind == "handed"
    assert step.model is not None
    assert step.model.keys == ()


def test_validators_are_called_once() -> None:
    calls: list[int] = []

    def seen(value: int) -> int:
        calls.append(value)
        if value > 9:
            raise ValueError("too much")
        return value

    class Seen(BaseModel):
        a: Annotated[int, AfterValidator(seen)]
        b: int

    plan, _ = plan_of(Seen, Query())
    assert run_plan(plan, query("a=1&b=2"))[0] == CALLED
    assert calls == [1]
    outcome, errors, _ = run_plan(plan, query("a=10&b=2"))
    assert (outcome, calls) == (INVALID, [1, 10])
    assert [(e["type"], e["loc"], e["input"]) for e in errors] == [
        ("value_error", ("query", "a"), "10")
    ]
    assert run_plan(plan, query("a=10&b=x"))[0] == INVALID  # pydantic is asked first
    assert calls == [1, 10, 10]


def test_a_validator_that_fails_otherwise() -> None:
    def fails(value: int) -> int:
        raise LookupError("none of pydantic's business")

    class Failing(BaseModel):
        a: Annotated[int, AfterValidator(fails)]

    plan, _ = plan_of(Failing, Query())
    with pytest.raises(LookupError):
        run_plan(plan, query("a=1"))


WRONG = [
    (Validated, Query(), query("low=9&high=1"), None),
    (Validated, Query(), query("low=10"), None),
    (Validated, Query(), query("low=x"), None),
    (Many, Query(), query("ids=x&days=2024-02-29&pair=1&pair=x&i=1"), None),
]


def test_nothing_leaks() -> None:
    made = [(*plan_of(a, m), call) for a, m, call, _ in [*CASES, *WRONG]]

    def run() -> None:
        for plan, asked, call in made:
            run_plan(plan, call)
            asked.clear()

    assert_no_leak(run)


def test_without_memory() -> None:
    testcapi = pytest.importorskip("_testcapi")
    for annotation, marker, call, plain in CASES:
        if plain is None:  # pydantic panics without memory
            continue
        plan, _ = plan_of(annotation, marker)
        for nth in range(1, 25):
            _core._alloc_fail_from(nth)
            try:
                with contextlib.suppress(MemoryError):
                    assert run_plan(plan, call)[0] == CALLED
            finally:
                _core._alloc_fail_from(0)
        for nth in range(1, 60):
            try:
                testcapi.set_nomemory(nth, nth + 1)
                outcome = run_plan(plan, call)[0]
            except MemoryError:
                outcome = CALLED
            finally:
                testcapi.remove_mem_hooks()
            assert outcome == CALLED
