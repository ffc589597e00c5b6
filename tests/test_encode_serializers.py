"""Serializers of the application: pydantic's model_dump_json is the judge of the bytes and the
errors, and each is called once."""

import datetime as dt
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AnyUrl,
    BaseModel,
    ConfigDict,
    Field,
    FileUrl,
    HttpUrl,
    MongoDsn,
    PlainSerializer,
    RootModel,
    TypeAdapter,
    WrapSerializer,
    computed_field,
    field_serializer,
    model_serializer,
)
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticSerializationError

from tests.test_encode_pydantic import FLAGS, flags_of
from weft.json import EncodeError, encode
from weft.shapes.compiled import lines, output_of, reply_of

Doubled = Annotated[int, PlainSerializer(lambda v: v * 2, when_used="json-unless-none")]
Hex = Annotated[int, PlainSerializer(hex, return_type=str)]


def outcome(call: Any) -> Any:
    try:
        return call()
    except (ValueError, RecursionError) as exc:
        return type(exc), str(exc)


def compare(annotation: Any, obj: Any) -> None:
    adapter: Any = TypeAdapter(annotation)
    expected = outcome(lambda: adapter.dump_json(obj, warnings=False))
    assert outcome(lambda: encode(obj, type=annotation)) == expected
    output = reply_of(adapter)
    for options in FLAGS:
        got = outcome(lambda o=options: output.judge_json(obj, flags_of(o)))
        if got is not None:
            assert got == outcome(lambda o=options: adapter.dump_json(obj, warnings=False, **o))


def explained(annotation: Any) -> str:
    return "\n".join(lines(output_of(annotation).description))


class Plain(BaseModel):
    at: dt.datetime | None = None
    size: int = Field(3, serialization_alias="SIZE")
    many: list[Doubled] = [1, 2]
    maybe: Doubled | None = None
    hexed: Hex = 255
    by_key: dict[str, Hex] = {}

    @field_serializer("at")
    def year(self, value: dt.datetime | None) -> str | None:
        return None if value is None else f"{self.size}@{value:%Y}"

    @field_serializer("size")
    @staticmethod
    def without_self(value: int) -> Any:
        return {"size": value, "at": dt.date(2024, 1, 2)}


class Informed(Plain):
    informed: int = 1
    wrapped: str = "w"
    left_out: int = Field(5, exclude_if=lambda v: v == 5)
    lines: list[Plain] = []

    @field_serializer("informed")
    def with_info(self, value: int, info: Any) -> Any:
        return [value, info.mode, info.field_name, info.exclude_none, self.size]

    @field_serializer("wrapped", mode="wrap")
    def around(self, value: str, handler: Any) -> str:
        return handler(value) + "!"


class Computed(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    side: float = 1.5

    @computed_field(alias="AREA")  # type: ignore[prop-decorator]
    @property
    def area(self) -> float:
        return self.side**2

    @field_serializer("area")
    def rounded(self, value: float) -> int:
        return round(value)


class AsDict(BaseModel):
    a: int = 1

    @model_serializer
    def plain(self) -> dict[str, Any]:
        return {"A": self.a, "none": None, "nested": Plain(), "inf": float("inf")}


class AsText(BaseModel):
    a: int = 1

    @model_serializer
    def text(self) -> str:
        return f"<{self.a}>"


class Around(BaseModel):
    a: int = 1

    @model_serializer(mode="wrap")
    def around(self, handler: Any) -> Any:
        return {"w": handler(self)}


@dataclass
class Data:
    a: int = 1
    b: int = 2

    @field_serializer("a")
    def of_a(self, value: int) -> str:
        return f"{value}/{self.b}"

    @field_serializer("b")
    def of_b(self, value: int, info: Any) -> Any:
        return [value, info.field_name]


class Whole(BaseModel):
    plain: Plain = Plain()
    informed: Informed = Informed(left_out=6, lines=[Plain(), Plain(maybe=4)])
    computed: Computed = Computed()
    models: list[AsDict | None] = [AsDict(), None]
    text: AsText = AsText()
    around: Around = Around()
    data: Data = Field(default_factory=Data)
    wrapped: Annotated[int, WrapSerializer(lambda v, handler: [handler(v)])] = 1
    url: AnyUrl = AnyUrl("http://a.example/b")
    root: RootModel[Hex] = RootModel[Hex](3)


@pytest.mark.parametrize(
    "obj",
    [
        Plain(),
        Plain(at=dt.datetime(2024, 5, 6), size=7, many=[], by_key={"k": 1}, maybe=8),
        Plain.model_construct(size="text", many=None, hexed=9, at=None, maybe=1, by_key={}),
        Informed(),
        Informed(left_out=6, lines=[Plain(), Plain()]),
        Computed(),
        AsDict(),
        AsText(),
        Around(),
        Data(),
        Whole(),
    ],
    ids=lambda obj: type(obj).__name__,
)
def test_bytes_are_pydantics(obj: Any) -> None:
    compare(type(obj), obj)
    compare(list[type(obj)], [obj, obj])  # type: ignore[misc]


def test_a_model_with_serializers_is_native_around_them() -> None:
    text = explained(Whole)
    for native in (
        "plain: Plain: native",
        "size: any: written by without_self()",
        "text: str: written by text()",
        "data: Data",
    ):
        assert native in text
    assert "informed: informed: handed over to pydantic: with_info gets more" in text
    assert "around: model: handed over to pydantic" in text


def test_a_small_model_of_parts_is_pydantics_whole() -> None:
    class Small(BaseModel):
        a: int = 1
        b: int = 2

        @field_serializer("a", "b")
        def both(self, value: int, info: Any) -> int:
            return value

    assert explained(Small) == "model: handed over to pydantic: " + "; ".join(
        ["both gets more than the value"] * 2
    )
    compare(Small, Small())


def test_a_member_of_a_union_whose_function_takes_anything() -> None:
    class Either(BaseModel):
        a: Annotated[int, PlainSerializer(lambda v: f"p{v}")] | str

    compare(Either, Either(a="x"))


def test_serializers_that_raise() -> None:
    raised: list[BaseException] = []

    class Raises(BaseModel):
        a: int = 1

        @field_serializer("a")
        def fails(self, value: int) -> int:
            raise raised[0]

    for exc in (
        ValueError("no"),
        RecursionError("deep"),
        AssertionError(),
        PydanticSerializationError("own"),
        KeyboardInterrupt(),
    ):
        raised[:] = [exc]
        compare(Raises, Raises())
        compare(list[Raises], [Raises()])


def test_each_is_called_once() -> None:
    calls: list[str] = []

    class Once(BaseModel):
        a: int = 1
        b: int = 2

        @field_serializer("a")
        def of_a(self, value: int) -> int:
            calls.append("a")
            return value

        @field_serializer("b")
        def of_b(self, value: int, info: Any) -> int:
            calls.append("b")
            if value == 3:
                raise ValueError("b")
            return value

    assert encode([Once(), Once()], type=list[Once]) == b'[{"a":1,"b":2},{"a":1,"b":2}]'
    assert calls == ["a", "b", "a", "b"]
    calls.clear()
    with pytest.raises(PydanticSerializationError, match="`of_b`: ValueError: b"):
        encode(Once(b=3), type=Once)
    assert calls == ["a", "b"]


def test_a_serializer_that_returns_its_own_object() -> None:
    class Itself(BaseModel):
        a: int = 1

        @model_serializer
        def itself(self) -> Any:
            return self

    class Nested(BaseModel):
        a: Any = None

        @field_serializer("a")
        def around(self, value: Any) -> "Nested":
            return self

    compare(Itself, Itself())
    with pytest.raises((PydanticSerializationError, EncodeError, RecursionError)):
        encode(Nested(), type=Nested)


def test_a_serializer_that_changes_what_is_written() -> None:
    class Changes(BaseModel):
        a: int = 1
        b: list[int] = [1]

        @field_serializer("a")
        def drops(self, value: int) -> int:
            self.__dict__.pop("b", None)
            return value

    with pytest.raises(EncodeError, match="changed while it was encoded"):
        encode(Changes(), type=Changes)


class Urls(BaseModel):
    any_url: AnyUrl = AnyUrl("http://a.example/é?q=1#f")
    http: HttpUrl | None = None
    hosts: MongoDsn = MongoDsn("mongodb://a,b/c")
    many: list[FileUrl] = []
    either: HttpUrl | int | None = None


class Shown(AnyUrl):
    def __str__(self) -> str:
        return "shown"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"http": "https://b.example", "many": ["file:///a"], "either": "http://c.example"},
        {"any_url": "text", "http": 5, "many": [None], "either": "x"},
        {"http": AnyUrl("ftp://d.example"), "any_url": HttpUrl("http://e.example")},
        {"any_url": Shown("http://f.example")},
    ],
    ids=str,
)
def test_urls(fields: Any) -> None:
    if fields.get("many") == ["file:///a"]:
        obj = Urls(**fields)
    else:
        obj = Urls()
        obj.__dict__.update(fields)
    compare(Urls, obj)
    assert "any_url: AnyUrl: native" in explained(Urls)


def test_functions_without_a_name_are_pydantics() -> None:
    class Partial(BaseModel):
        a: Annotated[int, PlainSerializer(partial(hex))] = 255
        kind: Literal["x"] = "x"

    compare(Partial, Partial())
    assert "its serializer has no name" in explained(Partial)


def test_a_reply_of_dicts_with_serializers_is_not_proved() -> None:
    adapter: Any = TypeAdapter(Plain)
    assert reply_of(adapter).judge_json({"size": 4}, 1) is None


class Begun(BaseModel):
    a: int = 1
    b: str = "b"

    @field_serializer("b")
    def upper(self, value: str) -> str:
        return value.upper()

    @computed_field
    def twice(self) -> int:
        return self.a * 2

    def model_post_init(self, context: Any) -> None:
        self.b += "!"


@dataclass
class BegunData:
    a: int = 1

    @field_serializer("a")
    def hexadecimal(self, value: int) -> str:
        return hex(value)

    def __post_init__(self) -> None:
        self.a += 1


def test_what_is_called_with_a_new_instance_does_not_hide_its_serializers() -> None:
    compare(Begun, Begun())
    compare(list[Begun], [Begun(), Begun(a=2)])
    compare(BegunData, BegunData())
