"""Decoding allocates nothing beside the objects that it returns.

But for a stack of the values of open arrays and objects, where these are more than fit its first
place: eight bytes each, while it runs."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pydantic
import pytest

from weft import _core, bson, json


class Struct(msgspec.Struct):
    a: int
    b: str
    c: float | None = None


@dataclasses.dataclass
class Data:
    a: int
    b: str
    c: float | None = None


class Model(pydantic.BaseModel):
    a: int
    b: str
    c: float | None = None


class Rows(msgspec.Struct):
    rows: list[Data]


def rows(n: int) -> list[dict[str, Any]]:
    return [{"a": i * 1000, "b": f"text é {i}", "c": i / 7} for i in range(n)]


def decoders(n: int) -> list[tuple[str, Callable[[], Any]]]:
    text = json.encode(rows(n))
    data = bson.encode({"rows": rows(n)})
    typed = [json.Decoder(list[cls]) for cls in (Struct, Data, Model)]  # type: ignore[valid-type]
    return [
        ("json", lambda: json.decode(text)),
        *[(f"json {d!r}", lambda d=d: d.decode(text)) for d in typed],  # type: ignore[misc]
        ("bson", lambda: bson.decode(data)),
        ("bson rows", lambda: bson.decode(data, type=Rows)),
    ]


def traced(decode: Callable[[], Any]) -> tuple[int, int]:
    """Bytes that are left of a call, and bytes that were more than that while it ran."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = decode()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del result
    return after - before, peak - after


@pytest.mark.parametrize("n", [1, 50, 3000])
def test_of_pythons_memory_only_what_is_returned(n: int) -> None:
    for name, decode in decoders(n):
        decode()  # what is made once
        calls = [traced(decode) for _ in range(5)]  # other threads may allocate meanwhile
        assert min(left for left, _ in calls) > 50 * n, name  # it was traced
        # Arguments of the call, and what the interpreter's own caches give and take.
        assert min(more for _, more in calls) <= 1000, name


def test_of_its_own_memory_none() -> None:
    for name, decode in decoders(50):
        expected = decode()
        _core._alloc_fail_from(1)
        try:
            result = decode()
        finally:
            _core._alloc_fail_from(0)
        assert result == expected, name


def test_or_the_stack_of_open_values() -> None:
    for _, decode in decoders(3000):
        _core._alloc_fail_from(1)
        try:
            with pytest.raises(MemoryError):
                decode()
        finally:
            _core._alloc_fail_from(0)
