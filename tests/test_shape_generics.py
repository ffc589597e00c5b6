"""Generic classes whose variables are filled in by a class that derives from them."""

import dataclasses
from typing import Any, Generic, TypeVar

import attrs
import msgspec
import pytest

from weft import json

T = TypeVar("T")
U = TypeVar("U")


@dataclasses.dataclass
class Box(Generic[T]):
    x: T


@dataclasses.dataclass
class Texts(Box[str]):
    y: int = 0


@dataclasses.dataclass
class Lists(Box[list[U]], Generic[U]):
    z: U | None = None


@dataclasses.dataclass
class Hidden(Box[str], Generic[T]):
    x: T  # type: ignore[assignment]


@attrs.define
class Crate(Generic[T]):
    x: T


@attrs.define
class Numbers(Crate[int]):
    y: int = 0


class Bare(Box[str]):
    pass


@pytest.mark.parametrize(
    "kind", [Texts, Lists[int], Lists[str], Hidden[int], Numbers, Bare, Box[int]], ids=str
)
@pytest.mark.parametrize("x", ["1", '"q"', "[1]", '["q"]', "null"])
def test_a_base_whose_variable_is_filled_in(kind: Any, x: str) -> None:
    document = f'{{"x":{x}}}'.encode()
    try:
        expected = msgspec.json.decode(document, type=kind)
    except msgspec.ValidationError:
        with pytest.raises(json.DecodeError):
            json.decode(document, type=kind)
    else:
        read = json.decode(document, type=kind)
        assert read == expected
        assert json.decode(json.encode(read, type=kind), type=kind) == expected


def test_a_tuple_of_which_a_part_has_any_length_is_not_read() -> None:
    with pytest.raises(TypeError, match="any length"):
        json.Decoder(tuple[int, *tuple[str, ...]])
