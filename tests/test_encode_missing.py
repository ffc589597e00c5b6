"""Objects without what their class says, and what nobody can write: errors that say where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import attrs
import msgspec
import pytest

from weft import bson, json


class Struct(msgspec.Struct):
    a: int
    b: int


@dataclass
class Data:
    a: int
    b: int


@dataclass(slots=True)
class Slots:
    a: int
    b: int


@attrs.define
class Attrs:
    a: int
    b: int


def missing_b(cls: Any) -> Any:
    made = cls(1, 2)
    del made.b
    return made


CLASSES = [Struct, Data, Slots, Attrs]


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("sort_keys", [False, True])
def test_json_without_a_type(cls: Any, sort_keys: bool) -> None:
    value = {"k": [1, missing_b(cls)]}
    with pytest.raises(json.EncodeError, match=r"b.* at k\[1\]$") as caught:
        json.encode(value, sort_keys=sort_keys)
    assert caught.value.path == "k[1]"
    with pytest.raises(json.EncodeError):
        json.encode(missing_b(cls), sort_keys=sort_keys)


@pytest.mark.parametrize("cls", CLASSES)
def test_json_with_a_type(cls: Any) -> None:
    with pytest.raises(json.EncodeError, match=rf"{cls.__name__} has no b at \[0\]"):
        json.encode([missing_b(cls)], type=list[cls])


@pytest.mark.parametrize("cls", CLASSES)
def test_bson_with_a_type(cls: Any) -> None:
    with pytest.raises(bson.EncodeError, match=f"{cls.__name__} has no b") as caught:
        bson.encode({"k": [missing_b(cls)]}, type=dict[str, list[cls]])
    assert caught.value.path == "k[0].b"
    with pytest.raises(bson.EncodeError, match=f"{cls.__name__} has no b"):
        bson.encode(missing_b(cls), type=cls)


def test_what_a_property_raises_is_its_own() -> None:
    @attrs.define
    class Raising:
        a: int = 1

        def __getattribute__(self, name: str) -> Any:
            if name == "a":
                raise AttributeError("mine")
            return super().__getattribute__(name)

    with pytest.raises(AttributeError, match="mine"):
        json.encode([Raising()])


@pytest.mark.parametrize("value", [1j, object(), {"deep": [object()]}])
def test_a_struct_that_holds_what_has_no_form(value: Any) -> None:
    class Holder(msgspec.Struct):
        held: Any

    with pytest.raises(json.EncodeError, match="unsupported at k") as caught:
        json.encode({"k": Holder(value)})
    assert caught.value.path == "k"


def test_a_date_that_is_no_number() -> None:
    class NoInt:
        _type_marker = 9

    with pytest.raises(bson.EncodeError, match="has no __int__") as caught:
        bson.encode({"k": NoInt()})
    assert caught.value.path == "k"


def test_nothing_is_leaked() -> None:
    from tests.test_encode_leaks import assert_no_leak

    def work() -> None:
        for cls in CLASSES:
            value = {"k": [missing_b(cls)]}
            with pytest.raises(ValueError, match="b"):
                json.encode(value)
            with pytest.raises(ValueError, match="b"):
                json.encode(value, sort_keys=True)
            with pytest.raises(ValueError, match="b"):
                bson.encode(value, type=dict[str, list[cls]])

    assert_no_leak(work)
