"""Validators of the application beneath pydantic: called once, in pydantic's order, with pydantic's
values, and to the same end, whatever they do."""

import contextlib
import dataclasses
import gc
import json
import os
import sys
from collections import deque
from typing import Annotated, Any, Literal, Optional

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    RootModel,
    TypeAdapter,
    ValidationInfo,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticOmit, PydanticUseDefault
from typing_extensions import TypedDict

from tests.peer import Ask, assert_same
from tests.shape_types import Typed, documents, types
from tests.test_shape_pydantic import outcome
from weft import _core, bson, shape
from weft.shapes import pydantic as by_schema

EXAMPLES = int(os.environ.get("WEFT_SHAPE_EXAMPLES", "150"))

CALLS: list[Any] = []


@pytest.fixture(autouse=True, scope="module")
def parts_are_free() -> Any:
    """So that small models have parts as well; test_small_models_of_parts_are_pydantics is about
    which have none."""
    patch = pytest.MonkeyPatch()
    patch.setattr(by_schema, "_PART_COSTS", 0)
    yield
    patch.undo()


class Boom(Exception):
    pass


def seen(value: Any, info: ValidationInfo | None = None) -> None:
    CALLS.append(repr(value))
    if info is not None:
        try:
            data = repr(info.data)
        except AttributeError:
            data = "none"
        CALLS.append((data, info.field_name, info.mode, info.config, info.context))


def reached(decode: Any, document: Any) -> Any:
    CALLS.clear()
    try:
        result = outcome(decode, document)
    except Exception as exc:
        result = (type(exc).__name__, str(exc))
    return result, list(CALLS)


def compare(annotation: Any, document: bytes) -> str:
    adapter: Any = TypeAdapter(annotation)
    expected = reached(lambda d: adapter.validate_python(json.loads(d)), document)
    got = reached(shape(annotation).decode_json, document)
    assert got == expected, (annotation, document)
    try:
        # what BSON cannot hold, or reads otherwise, is no matter of validators
        packed = bson.encode(json.loads(document))
        plain = bson.decode(packed)
    except Exception:
        return str(got[0][0])
    if plain == json.loads(document):
        assert reached(lambda d: bson.decode(d, type=annotation), packed) == reached(
            lambda d: adapter.validate_python(bson.decode(d)), packed
        )
    return str(got[0][0])


# ---- at random ----


def deed(value: Any, how: int) -> Any:
    """What a validator does: mostly nothing, and always the same with the same value."""
    match (len(repr(value)) + how) % 11:
        case 0:
            raise ValueError(f"no {value!r}")
        case 1:
            raise AssertionError("never")
        case 2:
            raise PydanticCustomError("own", "own {x}", {"x": how})
        case 3 if how % 3 == 0:
            raise Boom(how)
        case 4 if how % 5 == 0:
            raise PydanticUseDefault
        case 4 if how % 5 == 1:
            raise PydanticOmit
        case 5:
            return [value]
    return value


def after(how: int) -> Any:
    def check_after(value: Any) -> Any:
        seen(value)
        return deed(value, how)

    return AfterValidator(check_after)


def after_info(how: int) -> Any:
    def check_after_info(value: Any, info: ValidationInfo) -> Any:
        seen(value, info)
        return deed(value, how)

    return AfterValidator(check_after_info)


def before(how: int) -> Any:
    def check_before(value: Any, info: ValidationInfo) -> Any:
        seen(value, info)
        found = deed(value, how)
        return value if found == [value] else found

    return BeforeValidator(check_before)


def around(how: int) -> Any:
    def check_around(value: Any, handler: Any) -> Any:
        seen(value)
        return deed(handler(value), how)

    return WrapValidator(check_around)


def plainly(how: int) -> Any:
    def check_plainly(value: Any) -> Any:
        seen(value)
        return deed(value, how)

    return PlainValidator(check_plainly)


VALIDATORS = st.builds(
    lambda make, how: make(how),
    st.sampled_from([after, after, after_info, before, around, plainly]),
    st.integers(0, 30),
)


@st.composite
def checked(draw: Any, inner: st.SearchStrategy[Typed]) -> Typed:
    """A type with validators somewhere in it."""
    typed = draw(inner)
    validators = draw(st.lists(VALIDATORS, min_size=1, max_size=2))
    annotation: Any = Annotated[(typed.annotation, *validators)]  # type: ignore[name-defined]
    values = typed.values
    match draw(st.integers(0, 7)):
        case 0:
            annotation, values = list[annotation], st.lists(values, max_size=3)
        case 1:
            annotation = dict[str, annotation]
            values = st.dictionaries(st.sampled_from("abc"), values, max_size=3)
        case 2:
            annotation, values = Optional[annotation], values | st.none()  # noqa: UP045
        case 3:
            annotation, values = tuple[annotation, ...], st.lists(values, max_size=3)
        case 4:
            annotation, values = Annotated[list[annotation], draw(VALIDATORS)], st.lists(values)
    return Typed(annotation, values, frozenset())


def made_model(fields: list[tuple[str, Any, Any]]) -> Any:
    return pydantic.create_model(
        "V", **{n: (a, ...) if d is ... else (a | None, d) for n, a, d in fields}
    )


@st.composite
def models(draw: Any, plain: st.SearchStrategy[Typed], depth: int = 2) -> Typed:
    inner = checked(plain) | plain
    if depth:
        inner = inner | models(plain, depth - 1)
    parts = {name: draw(inner) for name in ("a", "b", "c", "d")[: draw(st.integers(1, 4))]}
    namespace: dict[str, Any] = {"__annotations__": {}, "__module__": __name__}
    for name, part in parts.items():
        namespace["__annotations__"][name] = part.annotation
        match draw(st.integers(0, 5)):
            case 0:
                namespace[name] = None
            case 1:
                namespace[name] = Field(default_factory=lambda name=name: CALLS.append(name))
    how = draw(st.integers(0, 30))
    match draw(st.integers(0, 7)):
        case 0 | 1:

            def whole(self: Any) -> Any:
                seen(sorted(self.__dict__))
                deed(self, how)
                return self

            namespace["whole"] = model_validator(mode="after")(whole)
        case 2:

            def raw(cls: Any, value: Any) -> Any:
                seen(value)
                deed(value, how)
                return value

            namespace["raw"] = model_validator(mode="before")(classmethod(raw))  # type: ignore[arg-type]
        case 3:

            def one(cls: Any, value: Any, info: ValidationInfo) -> Any:
                seen(value, info)
                return deed(value, how)

            namespace["one"] = field_validator("*", mode="after")(classmethod(one))  # type: ignore[arg-type]
        case 4:
            namespace["model_config"] = ConfigDict(extra="forbid", title="Own")
    match draw(st.integers(0, 7)):
        case 0:

            def model_post_init(self: Any, context: Any) -> None:
                seen((sorted(self.__dict__), self.model_fields_set, context))
                found = deed(self, how)
                self.__dict__["more"] = found is not self

            namespace["model_post_init"] = model_post_init
    match draw(st.integers(0, 7)):
        case 0:
            namespace["_made"] = PrivateAttr(default_factory=lambda: CALLS.append("private"))
        case 1:
            namespace["_list"] = PrivateAttr(default_factory=list)
        case 2:
            namespace["_copied"] = draw(
                st.sampled_from([{}, [1], {"a": "b"}, set(), (1,), deque()])
            )
            namespace["_unset"] = PrivateAttr()
            namespace["_last"] = 1
    model: Any = type("M", (BaseModel,), namespace)
    values = st.fixed_dictionaries({}, optional={n: p.values for n, p in parts.items()})
    full = st.fixed_dictionaries({n: p.values for n, p in parts.items()})
    return Typed(model, full | full | values, frozenset(["object"]))


PLAIN = types(made_model)


def test_random_validators() -> None:
    outcomes = set()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="CI" in os.environ or "WEFT_SHAPE_EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(models(PLAIN), st.data())
    def run(typed: Typed, data: Any) -> None:
        for _ in range(4):
            outcomes.add(compare(typed.annotation, data.draw(documents(typed))))
        for node in shape(typed.annotation).native.description.walk():
            outcomes.add("part" if node.part else node.kind)

    run()
    assert {"value", "invalid", "Boom", "after", "part"} <= outcomes


# ---- by hand ----


def field_function(cls: Any, value: Any) -> Any:
    seen(value)
    if value == 13:
        raise ValueError("unlucky")
    return value + 1 if isinstance(value, int) else value


def info_function(cls: Any, value: Any, info: ValidationInfo) -> Any:
    seen(value, info)
    if value == 14:
        raise AssertionError
    return value


class Line(BaseModel):
    sku: str
    count: int = 1
    note: str | None = None

    _count = field_validator("count")(classmethod(field_function))
    _note = field_validator("note")(classmethod(info_function))

    @model_validator(mode="after")
    def whole(self) -> "Line":
        seen(self)
        if self.sku == "bad":
            raise ValueError("a bad line")
        if self.sku == "other":
            return Line.model_construct(sku="another", count=0)
        return self


class Pet(BaseModel):
    kind: Literal["pet"]
    name: Annotated[str, AfterValidator(lambda v: (seen(v), v.upper())[1])]


class Stone(BaseModel):
    kind: Literal["stone"]


class Options(TypedDict):
    a: Annotated[int, AfterValidator(lambda v: (seen(v), -v)[1])]


class Order(BaseModel):
    model_config = ConfigDict(title="An order", hide_input_in_errors=True)

    lines: list[Line] = []
    by_name: dict[str, Line] = {}
    first: Line | None = None
    tags: list[Annotated[str, AfterValidator(lambda v: (seen(v), v.strip())[1])]] = []
    pair: tuple[Line, int] | None = None
    made: int = Field(default_factory=lambda: CALLS.append("factory") or 7)
    raw: Annotated[int, BeforeValidator(lambda v: (seen(v), str(v).strip("#"))[1])] = 0
    pet: Annotated[Pet | Stone | None, Field(discriminator="kind")] = None
    options: Options | None = None
    total: int = 0

    _total = field_validator("total", mode="wrap")(
        classmethod(lambda cls, v, handler: (seen(v), handler(v))[1])  # type: ignore[arg-type]
    )

    @field_validator("total", mode="after")
    @classmethod
    def after_all(cls, value: int, info: ValidationInfo) -> int:
        seen(value, info)
        return value + len(info.data.get("lines", ()))

    @model_validator(mode="after")
    def whole(self) -> "Order":
        seen(self)
        if self.total == 99:
            raise PydanticCustomError("full", "too full: {n}", {"n": self.total})
        return self


class Tree(BaseModel):
    value: Annotated[int, AfterValidator(lambda v: field_function(None, v))]
    children: list["Tree"] = []

    @model_validator(mode="after")
    def whole(self) -> "Tree":
        seen(self.value)
        return self


class Rooted(RootModel[list[Line]]):
    @model_validator(mode="after")
    def whole(self) -> "Rooted":
        seen(len(self.root))
        return self


@pydantic.dataclasses.dataclass
class Data:
    a: int
    b: int = 2

    _b = field_validator("a", "b")(classmethod(info_function))


@pydantic.dataclasses.dataclass(slots=True)
class Slotted:
    a: Annotated[int, AfterValidator(lambda v: field_function(None, v))]


ORDERS: list[Any] = [
    {},
    {"lines": [{"sku": "a"}, {"sku": "b", "count": 2, "note": None}]},
    {"lines": [{"sku": "a", "count": 13}, {"sku": "bad"}, {"sku": "c", "note": "n"}]},
    {"lines": [{"sku": "other"}], "by_name": {"x": {"sku": "other"}}, "first": {"sku": "other"}},
    {"first": {"sku": "bad"}, "total": 5},
    {"first": {"sku": "a", "count": "13"}, "pair": [{"sku": "a", "count": 13}, 1]},
    {"pair": [{"sku": "a", "count": 1}, 1], "tags": [" a ", "b"]},
    {"tags": [" a ", 5], "raw": "#5"},
    {"raw": "#x", "total": 98, "made": 1},
    {"raw": "#6", "total": "98", "lines": [{"sku": "a"}]},
    {"total": 99, "pet": {"kind": "pet", "name": "rex"}, "options": {"a": 5}},
    {"pet": {"kind": "stone"}, "options": {"a": "x"}},
    {"unknown": [1], "lines": [{"sku": "a", "unknown": 1}]},
]


@pytest.mark.parametrize("order", ORDERS, ids=range(len(ORDERS)))
def test_an_order(order: Any) -> None:
    compare(Order, json.dumps(order).encode())
    compare(list[Order], json.dumps([order, order]).encode())


@pytest.mark.parametrize(
    ("annotation", "document"),
    [
        (Tree, b'{"value":1,"children":[{"value":2,"children":[{"value":13}]},{"value":4}]}'),
        (Tree, b'{"value":1,"children":[{"value":2,"children":[{"value":3}]},{"value":4}]}'),
        (Rooted, b'[{"sku":"a"},{"sku":"b"}]'),
        (Rooted, b'[{"sku":"a"},{"sku":"bad"}]'),
        (Data, b'{"a":1}'),
        (Data, b'{"a":14,"b":14}'),
        (Slotted, b'{"a":1}'),
        (Slotted, b'{"a":13}'),
        (Line, b'{"sku":"other"}'),
        (Line | None, b'{"sku":"bad"}'),
        (set[Annotated[int, AfterValidator(lambda v: field_function(None, v))]] | Line, b"[1,13]"),
        (Line, b'{"sku":"a","sku":"b","count":1,"count":2}'),
        (Line, b'{"count":13,"sku":5}'),
        (Line, b'{"sku":"\\ud800","count":13}'),
    ],
    ids=str,
)
def test_where_validators_stand(annotation: Any, document: bytes) -> None:
    compare(annotation, document)


def test_explain_says_what_is_called() -> None:
    lines = shape(Order).explain().splitlines()
    assert lines[0].startswith("An order: native") or lines[0].startswith("Order: native, then")
    assert any("count: int: native, then field_function()" in line for line in lines)
    assert any("handed over to pydantic when all else is valid" in line for line in lines)


def test_an_islands_validators_outside_of_pydantic() -> None:
    @dataclasses.dataclass
    class Plain:
        line: Line
        lines: list[Line]

    decode = shape(Plain).decode_json
    CALLS.clear()
    plain = decode(b'{"line":{"sku":"other"},"lines":[{"sku":"a","count":4},{"sku":"b"}]}')
    assert (plain.line.sku, plain.lines[0].count, plain.lines[1].count) == ("another", 5, 1)
    assert CALLS.count("4") == 1
    CALLS.clear()
    with pytest.raises(ValueError, match="unlucky") as caught:
        decode(b'{"line":{"sku":"a","count":13},"lines":[]}')
    assert isinstance(caught.value.__cause__, pydantic.ValidationError)
    assert CALLS == ["13"]


def test_a_validator_that_reads_the_same_type_and_fails_in_it() -> None:
    class Nested(BaseModel):
        a: int
        inner: str = ""

        @field_validator("inner")
        @classmethod
        def parse(cls, value: str) -> str:
            seen(value)
            if value.startswith("{"):
                shape(Nested).decode_json(value)
            if value == "no":
                raise ValueError("no")
            return value

    deep = json.dumps({"a": 1, "inner": json.dumps({"a": 2, "inner": "no"})})
    compare(Nested, deep.encode())
    compare(Nested, json.dumps({"a": 1, "inner": deep}).encode())
    compare(Nested, json.dumps({"a": 1, "inner": '{"a":1,"inner":"yes"}'}).encode())


def test_validators_that_change_what_is_read() -> None:
    """They see the objects around them, and may do to them what they like."""

    class Wild(BaseModel):
        items: list[Annotated[int, AfterValidator(lambda v: field_function(None, v))]] = []
        last: int = 0

        @field_validator("last")
        @classmethod
        def wreck(cls, value: int, info: ValidationInfo) -> int:
            info.data["items"].clear()
            return value

        @model_validator(mode="after")
        def whole(self) -> "Wild":
            self.__dict__.clear()
            return self

    class Held(BaseModel):
        wild: list[Wild]

    for document in (
        b'{"wild":[{"items":[1,2],"last":1}]}',
        b'{"wild":[{"items":[1,13],"last":1}]}',
    ):
        compare(Held, document)

    class Thief(BaseModel):
        a: list[Annotated[int, AfterValidator(lambda v: steal(v))]]

    def steal(value: int) -> int:
        for found in gc.get_objects():
            if type(found) is list and found == [101, 102, 103]:
                del found[1:]
        return value

    with pytest.raises((RuntimeError, IndexError)):
        shape(Thief).decode_json(b'{"a":[101,102,103]}')


def test_names_of_one_hash() -> None:
    keys = [f"{i}" for i in range(300)]
    document = json.dumps({"by_name": {k: {"sku": k, "count": 2} for k in keys}}).encode()
    compare(Order, document)


def test_nothing_leaks() -> None:
    decoders = [(shape(Order).decode_json, json.dumps(order).encode()) for order in ORDERS]

    def run() -> int:
        before = sys.getallocatedblocks()
        for _ in range(20):
            for decode, document in decoders:
                with contextlib.suppress(ValueError):
                    decode(document)
                CALLS.clear()
        gc.collect()
        return sys.getallocatedblocks() - before

    run()
    assert min(run() for _ in range(4)) < 20


# what has none while something is let go of can be raised to nobody
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_memory() -> None:
    testcapi = pytest.importorskip("_testcapi")
    decode = shape(Tree).decode_json
    document = b'{"value":1,"children":[' + b'{"value":2},' * 20 + b'{"value":13}]}'
    for nth in range(1, 4):
        _core._alloc_fail_from(nth)
        try:
            decode(document)
        except (MemoryError, ValueError):
            pass
        finally:
            _core._alloc_fail_from(0)
    for nth in range(1, 150):
        try:
            testcapi.set_nomemory(nth, nth + 1)
            decode(document)
        except (MemoryError, ValueError):
            pass
        finally:
            testcapi.remove_mem_hooks()
    compare(Tree, document)


def test_validators_of_a_body_come_after_the_dependencies() -> None:
    def make(f: Any) -> Any:
        app = f.App()
        CALLS.clear()

        def guard(refuse: bool = False) -> None:
            CALLS.append("guard")
            if refuse:
                raise f.HTTPException(403)

        @app.post("/orders")
        async def create(order: Order, n: int = 0, _: None = f.Depends(guard)) -> Any:
            return {"calls": list(CALLS), "total": order.total}

        @app.post("/plain")
        async def plain(order: Order, n: int = 0) -> Any:
            return {"calls": list(CALLS), "total": order.total}

        return app

    asks = []
    for order in ORDERS:
        for target in ("/orders", "/plain", "/orders?refuse=1", "/orders?n=x", "/plain?n=x"):
            asks.append(Ask.json("POST", target, order))
    assert_same(make, *asks)


def test_small_models_of_parts_are_pydantics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_schema, "_PART_COSTS", 26)

    def model(parts: int, scalars: int, lists: int = 0) -> Any:
        part = Annotated[int, BeforeValidator(lambda value: value)]
        fields: dict[str, Any] = {f"part{i}": (part, 0) for i in range(parts)}
        fields |= {f"scalar{i}": (int, 0) for i in range(scalars)}
        fields |= {f"list{i}": (list[int], []) for i in range(lists)}
        return pydantic.create_model("Model", **fields)

    for native in (model(0, 1), model(1, 16), model(1, 0, 1), model(2, 42), model(2, 10, 2)):
        assert "Model: native" in shape(native).explain()
    for handed in (model(1, 0), model(1, 15), model(2, 41), model(2, 9, 2)):
        assert "Model: handed over to pydantic: Model: " in shape(handed).explain()
        compare(handed, b'{"part0": 1, "scalar0": "x"}')
    # where it is one of many fields, it is one part instead of several
    around = pydantic.create_model(
        "Around", inner=(model(2, 0), ...), lines=(list[int], []), name=(str, "")
    )
    assert "Around: native" in shape(around).explain()
    assert "inner: model: handed over to pydantic when all else is valid" in shape(around).explain()
    compare(around, b'{"inner": {"part0": "7"}, "lines": [1]}')
