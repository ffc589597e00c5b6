"""Typed encoding again and again, into every error, without memory: nothing stays behind."""

import contextlib
import dataclasses
import datetime as dt
import gc
import sys
from typing import Any

import pydantic
import pytest

from tests.test_encode_msgspec import OBJECTS, WRONG
from tests.test_encode_pydantic import OBJECTS as MODELS
from tests.test_encode_pydantic import REPLIES
from weft import _core
from weft.json import Encoder
from weft.shapes.compiled import reply_of


def blocks(run: Any, rounds: int) -> int:
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(rounds):
        run()
    gc.collect()
    return sys.getallocatedblocks() - before


def assert_no_leak(run: Any) -> None:
    for _ in range(20):  # caches fill
        run()
    assert min(blocks(run, 100) for _ in range(3)) < 50


def swallow(call: Any, *args: Any) -> None:
    with contextlib.suppress(ValueError, TypeError, RecursionError, MemoryError):
        call(*args)


@pytest.mark.parametrize("cases", ["objects", "wrong", "models"])
def test_nothing_leaks(cases: str) -> None:
    pairs: list[Any] = {"objects": OBJECTS, "wrong": WRONG, "models": MODELS}[cases]
    encoders = [(Encoder(annotation).encode, obj) for annotation, obj, *_ in pairs]

    def run() -> None:
        for encode, obj in encoders:
            swallow(encode, obj)

    assert_no_leak(run)


def test_no_reply_leaks() -> None:
    shapes = [(reply_of(pydantic.TypeAdapter(a)).judge_json, value) for a, value, _ in REPLIES]

    def run() -> None:
        for judge, value in shapes:
            swallow(judge, value, 1)
            swallow(judge, value, 1, b"data: ", b"\n\n")
            swallow(judge, value, 1, b"data: ", "no bytes")
            swallow(judge, value, 8)

    assert_no_leak(run)


def test_what_stands_around_an_item() -> None:
    judge = reply_of(pydantic.TypeAdapter(str)).judge_json
    for size in (0, 1, 900, 1100, 10_000):  # before and behind what short JSON stays in
        for before, after in ((b"", b"\n"), (b"data: ", b"\n\n"), (b"<" * size, b">" * size)):
            expected = before + b'"%b"' % (b"x" * size) + after
            assert judge("x" * size, 1, before, after) == expected
    assert judge(1, 1, b"data: ", b"\n\n") is None
    for wrong in (("x",), ("x", 1, b""), ("x", 1, b"", ""), ("x", 1, b"", b"", b""), ("x", -1)):
        with pytest.raises(TypeError, match="judge_json"):
            judge(*wrong)


def test_references_are_as_before() -> None:
    @dataclasses.dataclass
    class Point:
        x: Any
        y: Any

    marker = object()
    point = Point([1], marker)
    encode = Encoder(list[Point]).encode
    swallow(encode, [point])
    before = sys.getrefcount(marker), sys.getrefcount(point), sys.getrefcount(point.x)
    for _ in range(100):
        swallow(encode, [point])
        swallow(encode, [point, {"x": marker}])
    assert (sys.getrefcount(marker), sys.getrefcount(point), sys.getrefcount(point.x)) == before


def test_without_memory_it_is_a_memory_error() -> None:
    @dataclasses.dataclass
    class Row:
        name: str
        when: dt.datetime

    rows = [Row("x" * 100, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)) for _ in range(100)]
    encoder, buffer = Encoder(list[Row]), bytearray()
    judge = reply_of(pydantic.TypeAdapter(list[Row])).judge_json
    expected = encoder.encode(rows)
    for nth in range(1, 20):
        _core._alloc_fail_from(nth)
        try:
            swallow(encoder.encode, rows)
            swallow(encoder.encode, [*rows, 1])
            swallow(encoder.encode_into, rows, buffer)
            swallow(judge, rows, 1, b"x" * 2000, b"x" * 2000)
        finally:
            _core._alloc_fail_from(0)
    assert encoder.encode(rows) == expected


def test_without_pythons_memory() -> None:
    testcapi = pytest.importorskip("_testcapi")
    cases = [(Encoder(a).encode, obj) for a, obj in OBJECTS]
    cases += [(Encoder(a).encode, obj) for a, obj, _ in WRONG]
    for encode, obj in cases:
        for nth in range(1, 30):
            try:
                testcapi.set_nomemory(nth, nth + 1)
                encode(obj)
            except (ValueError, TypeError, MemoryError):
                pass
            finally:
                testcapi.remove_mem_hooks()
