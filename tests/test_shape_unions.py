"""Unions whose members are near each other: read and written as msgspec and pydantic have them."""

# ruff: noqa: UP007, UP045 (the aliases are of the typing module on purpose)

from __future__ import annotations

import dataclasses
import datetime
import warnings
from typing import Annotated, Any, Literal, NewType, Optional, Union

import msgspec
import pytest
import typing_extensions
from pydantic import (
    AnyUrl,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    Json,
    TypeAdapter,
    create_model,
)

import weft
from weft import bson, json

UserId = NewType("UserId", int)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Literal[1, "a", None], (1, "a", None)),
        (Literal["a", None], ("a", None)),
        (Literal[0, "zero"], (0, "zero")),
        (Optional[Literal[1, "a"]], (1, "a", None)),
    ],
)
def test_a_literal_with_none_is_written(kind: Any, values: tuple[Any, ...]) -> None:
    for value in values:
        expected = msgspec.json.encode({"k": value})
        assert json.encode({"k": value}, type=dict[str, kind]) == expected
        assert bson.to_json(bson.encode({"k": value}), type=dict[str, kind]) == expected


@pytest.mark.parametrize(
    ("kind", "documents"),
    [
        (Union[Literal[1, 2], int], [b"1", b"5", b'"a"', b"null"]),
        (Union[int, Literal[1, 2], None], [b"1", b"5", b'"a"', b"null"]),
        (Union[Literal["a", 1], str], [b"1", b"5", b'"a"', b'"b"']),
        (Union[UserId, int], [b"1", b"1.5"]),
    ],
)
def test_a_literal_beside_all_of_its_type(kind: Any, documents: list[bytes]) -> None:
    for document in documents:
        try:
            expected = msgspec.json.decode(document, type=kind)
        except msgspec.ValidationError:
            with pytest.raises(json.DecodeError):
                json.decode(document, type=kind)
        else:
            assert json.decode(document, type=kind) == expected
            assert json.encode(expected, type=kind) == document


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Union[list[int], Any], ["x"]), (Union[dict[str, int], Any], {"a": "x"})],
)
def test_a_union_with_any_writes_what_it_reads(kind: Any, value: Any) -> None:
    document = json.encode(value)
    assert json.encode(json.decode(document, type=kind), type=kind) == document


@pytest.mark.parametrize("taker", [IPvAnyAddress, IPvAnyInterface, IPvAnyNetwork, ByteSize, AnyUrl])
@pytest.mark.parametrize(
    ("other", "value"),
    [(int, 5), (float, 1.5), (bool, True), (str, "1"), (list[int], [1]), (dict[str, int], {})],
)
def test_members_whose_serializer_takes_all(taker: Any, other: Any, value: Any) -> None:
    kinds: tuple[Any, ...] = (Union[taker, other], Union[other, taker])
    for kind in kinds:
        model = create_model("M", a=(kind, ...)).model_construct(a=value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert json.encode(model, type=type(model)) == model.model_dump_json().encode()


class Nothing(typing_extensions.TypedDict, total=False):
    a: int


class Milliseconds(typing_extensions.TypedDict):
    __pydantic_config__ = ConfigDict(ser_json_temporal="milliseconds")  # type: ignore[misc]
    c: datetime.date


@pytest.mark.parametrize(
    "kind", [Union[Nothing, Milliseconds], Union[Nothing, Json], Optional[Nothing]]
)
def test_a_dict_of_another_member_loses_nothing(kind: Any) -> None:
    made = create_model("M", v=(kind, ...))
    for value in ({"c": datetime.date(2020, 1, 1)}, {"c": 1}, {"a": 1}):
        model = made.model_construct(v=value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert json.encode(model, type=made) == model.model_dump_json().encode()


@pytest.mark.parametrize("options", [{}, {"slots": True}])
def test_a_dataclass_in_a_model_keeps_the_order_of_its_fields(options: dict[str, bool]) -> None:
    @dataclasses.dataclass(**options)
    class Inner:
        a: float
        late: str | None = dataclasses.field(default=None, kw_only=True)
        c: list[int] = dataclasses.field(default_factory=list)

    model = create_model("M", d=(Inner, ...)).model_validate({"d": {"a": 1}})
    assert json.encode(model, type=type(model)) == model.model_dump_json().encode()
    read = json.decode(json.encode(model), type=type(model))
    assert read == model
    assert read.model_dump_json() == model.model_dump_json()


class Recursive(BaseModel):
    n: Recursive | None = None


def test_a_definition_of_itself_ends() -> None:
    """Pydantic makes such definitions of an alias that is used by two models."""
    alias: Any = typing_extensions.TypeAliasType(
        "alias", Annotated[Recursive, Field(title="titled")]
    )
    for name in ("First", "Second"):
        made: Any = create_model(name, a=(alias, ...), b=(Optional[alias], None))
        for kind in (alias, list[alias], made, list[made]):
            TypeAdapter(kind)
            assert weft.shape(kind).explain()
