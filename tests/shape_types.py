"""Random types, and JSON that is of them, or nearly: for tests that have another judge."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Optional

from hypothesis import strategies as st

JUNK = st.recursive(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 2.0, 1.5, 10**25, "", "1", "a", "true", "2024-01-02"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=4,
)

KEYS = ["a", "b", "name", "a_rather_long_name", "é"]


class Color(enum.Enum):
    red = "red"
    blue = "blue"


class Level(enum.IntEnum):
    low = 1
    high = 2


@dataclasses.dataclass
class Typed:
    """A type, and JSON-like values of it."""

    annotation: Any
    values: st.SearchStrategy[Any]
    kinds: frozenset[str]  # what it takes in JSON, to tell members of unions apart

    def __repr__(self) -> str:
        return f"<{self.annotation}>"


def _dates() -> st.SearchStrategy[str]:
    return st.sampled_from(
        [
            "2024-02-29",
            "2023-02-29",
            "0001-01-01",
            "9999-12-31",
            "2024-1-1",
            "20240101",
            "2024-13-01",
        ]
    )


def _times() -> st.SearchStrategy[str]:
    return st.sampled_from(
        ["00:00:00", "23:59:59.999999", "10:11:12.5", "10:11:12.1234567", "24:00:00", "10:11:60",
         "10:11", "10:11:12Z", "10:11:12+01:30", "10:11:12-00:00", "10:11:12.", "1:2:3"]
    )  # fmt: skip


def scalars() -> list[Typed]:
    def typed(annotation: Any, values: st.SearchStrategy[Any], *kinds: str) -> Typed:
        return Typed(annotation, values, frozenset(kinds))

    texts = st.text(max_size=8) | st.sampled_from(['"\\/\b', "\x7f\x80", "😀", "e" * 40])
    return [
        typed(int, st.integers() | st.integers(-5, 5), "int"),
        typed(
            float, st.floats(allow_nan=False, allow_infinity=False) | st.integers(), "float", "int"
        ),
        typed(bool, st.booleans(), "bool"),
        typed(str, texts, "str"),
        typed(dt.date, _dates(), "str"),
        typed(dt.time, _times(), "str"),
        typed(
            dt.datetime,
            st.builds("{}{}{}".format, _dates(), st.sampled_from("T t"), _times()),
            "str",
        ),
        typed(uuid.UUID, st.uuids().map(str) | st.uuids().map(lambda u: u.hex.upper()), "str"),
        typed(
            Decimal, st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str), "str"
        ),
        typed(Color, st.sampled_from(["red", "blue", "green"]), "str"),
        typed(Level, st.integers(0, 3), "int"),
        typed(Literal["a", "b"], st.sampled_from("abc"), "str"),
        typed(Literal[1, 2], st.integers(0, 3), "int"),
    ]


def _containers(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    def array(make: Callable[[Any], Any]) -> Callable[[Typed], Typed]:
        return lambda t: Typed(
            make(t.annotation), st.lists(t.values, max_size=4), frozenset(["array"])
        )

    def fixed(parts: list[Typed]) -> Typed:
        annotation = tuple[tuple(p.annotation for p in parts)]  # type: ignore[misc]
        values = st.tuples(*(p.values for p in parts)).map(list)
        return Typed(annotation, values, frozenset(["array"]))

    def mapping(t: Typed) -> Typed:
        values = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), t.values, max_size=4)
        return Typed(dict[str, t.annotation], values, frozenset(["object"]))  # type: ignore[name-defined]

    def optional(t: Typed) -> Typed:
        if "null" in t.kinds:
            return t
        values = t.values | st.none()
        return Typed(Optional[t.annotation], values, t.kinds | {"null"})  # noqa: UP045

    return st.one_of(
        inner.map(array(lambda a: list[a])),
        inner.map(array(lambda a: tuple[a, ...])),
        st.lists(inner, min_size=1, max_size=3).map(fixed),
        inner.map(mapping),
        inner.map(optional),
        st.tuples(inner, inner).map(_either),
    )


def _either(pair: tuple[Typed, Typed]) -> Typed:
    one, other = pair
    if one.kinds & other.kinds:
        return one
    return Typed(
        one.annotation | other.annotation, one.values | other.values, one.kinds | other.kinds
    )


def objects(
    make: Callable[[list[tuple[str, Any, Any]]], Any], inner: st.SearchStrategy[Typed]
) -> st.SearchStrategy[Typed]:
    """``make`` gets (name, annotation, default or ...) of each field."""

    @st.composite
    def build(draw: Callable[[Any], Any]) -> Typed:
        names = draw(st.lists(st.sampled_from(KEYS[:4]), unique=True, min_size=1, max_size=4))
        parts = [(name, draw(inner)) for name in names]
        optional = draw(st.integers(0, len(parts)))
        fields = [
            (name, part.annotation, ... if i < optional else None)
            for i, (name, part) in enumerate(parts)
        ]
        values = st.fixed_dictionaries(
            {name: part.values for name, part in parts[:optional]},
            optional={name: part.values for name, part in parts[optional:]},
        )
        shuffled = st.tuples(values, st.randoms(use_true_random=False), st.booleans()).map(_shuffle)
        return Typed(make(fields), shuffled, frozenset(["object"]))

    return build()


def _shuffle(drawn: tuple[dict[str, Any], Any, bool]) -> dict[str, Any]:
    value, random, extra = drawn
    items = list(value.items())
    if extra:
        items.append(("unknown", [1, {"a": "}"}]))
    random.shuffle(items)
    return dict(items)


def types(*makes: Callable[[list[tuple[str, Any, Any]]], Any]) -> st.SearchStrategy[Typed]:
    def extend(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
        return st.one_of(_containers(inner), *(objects(make, inner) for make in makes))

    return st.recursive(st.sampled_from(scalars()), extend, max_leaves=8)


@st.composite
def documents(draw: Callable[[Any], Any], typed: Typed) -> bytes:
    """Of the type as a rule; now and then a value is exchanged for another, or a byte is."""
    value = draw(typed.values)
    if draw(st.integers(0, 3)) == 0:
        value = _exchange(draw, value)
    indent = draw(st.sampled_from([None, None, 1]))
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=indent)
    data = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 7)) == 0 and data:
        at = draw(st.integers(0, len(data) - 1))
        data = (
            data[:at]
            + draw(st.sampled_from([b"", b" ", b",", b'"', b"0", b"}", b"\xff"]))
            + data[at + 1 :]
        )
    return data


def _exchange(draw: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, list) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _exchange(draw, value[at]), *value[at + 1 :]]
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.booleans()):
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: _exchange(draw, value[key])}
    return draw(JUNK)


class Named(NamedTuple):
    a: int
    b: str = "b"


def same(a: Any, b: Any) -> bool:
    """Equal, of equal types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        # msgspec has a TypedDict in the order of the input
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, float):
        return a.hex() == b.hex()
    if isinstance(a, (dt.datetime, dt.time)):
        return a == b and a.utcoffset() == b.utcoffset() and type(a.tzinfo) is type(b.tzinfo)
    if isinstance(a, (set, frozenset)):
        return a == b
    fields = getattr(type(a), "__struct_fields__", None) or getattr(a, "__dict__", None)
    if fields is not None and not isinstance(a, enum.Enum):
        return all(same(getattr(a, f), getattr(b, f)) for f in fields) and a == b
    return a == b
