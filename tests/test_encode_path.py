"""EncodeError says where, without a type too."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import sys
from collections import OrderedDict, deque
from typing import Any

import pydantic
import pytest

from weft import bson, json


class Odd:
    """Has no form."""


@dataclasses.dataclass
class User:
    name: Any


class Model(pydantic.BaseModel):
    inner: Any = None


class Meddler(dict):  # type: ignore[type-arg]
    pass


ODD = Odd()

PLACES: list[tuple[Any, str]] = [
    (ODD, ""),
    ([ODD], "[0]"),
    ((1, ODD), "[1]"),
    ({"users": [1, 2, 3, {"name": ODD}]}, "users[3].name"),
    ({"a": {"b c": ODD}}, 'a["b c"]'),
    ({"a": {"": ODD}}, 'a[""]'),
    ({"é": ODD}, "é"),
    ([User(ODD)], "[0].name"),
    ([deque([1, ODD])], "[0][1]"),
    ((x for x in (1, ODD)), "[1]"),
    (OrderedDict(a=[ODD]), "a[0]"),
    ({1: {True: ODD}}, '["1"]["?"]'),
    ({"n": [1.5, float("nan")]}, "n[1]"),
    ({"s": "\ud800"}, "s"),
    ({"k": {(1,): 1}}, 'k["?"]'),
    ({"k": {(ODD, 2): 1}}, 'k["?"]'),
    ({"k": {"\ud800": 1}}, 'k["?"]'),
    ({"b": b"\xff"}, "b"),
    ({"k" * 5000: ODD}, "k" * 100),
    (Meddler(a=[[ODD]]), "a[0][0]"),
]


@pytest.mark.parametrize(("value", "path"), PLACES, ids=range(len(PLACES)))
def test_the_path(value: Any, path: str) -> None:
    with pytest.raises(json.EncodeError) as info:
        json.encode(value)
    assert info.value.path == path
    assert str(info.value).endswith(f" at {path}" if path else " form")


def test_sorted_members_and_lines_have_one() -> None:
    with pytest.raises(json.EncodeError) as info:
        json.encode({"b": 1, "a": {"c": ODD}}, sort_keys=True)
    assert info.value.path == "a.c"
    with pytest.raises(json.EncodeError) as info:
        json.encode_lines([{"a": 1}, {"a": ODD}])
    assert info.value.path == "a"
    buffer = bytearray(b"x")
    with pytest.raises(json.EncodeError) as info:
        json.encode_into([User(User(ODD))], buffer)
    assert (info.value.path, buffer) == ("[0].name.name", b"x")


def test_a_structure_within_itself_has_a_path_of_bounded_length() -> None:
    loop: dict[str, Any] = {}
    loop["a"] = [loop]
    with pytest.raises(json.EncodeError) as info:
        json.encode(loop)
    assert info.value.path.startswith("...")
    assert info.value.path.count("a") == 32
    with pytest.raises(json.EncodeError) as info:
        json.encode([1, ODD])
    assert info.value.path == "[1]"


def test_what_python_code_raises_is_left_as_it_is() -> None:
    def default(o: Any) -> Any:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match=r"^mine$"):
        json.encode({"a": [ODD]}, default=default)
    with pytest.raises(json.EncodeError) as info:
        json.encode({"a": [ODD]}, default=lambda o: {"made": float("inf")})
    assert info.value.path == "a[0].made"


def test_a_key_that_is_gone_by_then() -> None:
    inner: dict[str, Any] = {"".join(["k", "e", "y"]): ODD}

    def default(o: Any) -> Any:
        inner.clear()
        inner["other"] = 1
        return float("nan")

    with pytest.raises(json.EncodeError) as info:
        json.encode({"outer": inner}, default=default)
    assert info.value.path == 'outer["?"]'


def test_nothing_is_kept() -> None:
    value = {"users": [{"name": ODD}]}
    for _ in range(3):
        with pytest.raises(json.EncodeError):
            json.encode(value)
    before = sys.getrefcount(ODD), sys.getrefcount(json.EncodeError)
    for _ in range(100):
        with contextlib.suppress(json.EncodeError):
            json.encode(value)
    assert (sys.getrefcount(ODD), sys.getrefcount(json.EncodeError)) == before


class Color(enum.Enum):
    red = 1


def test_keys_of_bson_are_str() -> None:
    for value, path in (
        ({1: 2}, ""),
        ({"a": [{None: 1}]}, "a[0]"),
        ({"a": {"b": {Color.red: 1}}}, "a.b"),
    ):
        with pytest.raises(bson.EncodeError, match=r"^keys are str, not ") as info:
            bson.encode(value)
        assert info.value.path == path
    with pytest.raises(bson.EncodeError) as info:
        bson.encode({"users": [{"name": ODD}]})
    assert info.value.path == "users[0].name"
