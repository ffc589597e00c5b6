"""Strings as parameters, against pydantic itself: samples that no case file has seen."""

import importlib.util
import math
import pathlib
import random
from typing import Any
from urllib.parse import quote

import pydantic
import pytest

from tests.plan_probe import CALLED, INVALID, Call, run_plan
from weft.signature import compile_plan

ROOM = pathlib.Path(__file__).parents[1] / "src/wire/scalar"
spec = importlib.util.spec_from_file_location("make_cases", ROOM / "make_cases.py")
make_cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_cases)

SAMPLE = 1500


def pydantic_says(adapter: pydantic.TypeAdapter, text: str) -> tuple[str, Any]:
    try:
        return "value", adapter.validate_python(text)
    except pydantic.ValidationError as exc:
        (error,) = exc.errors(include_url=False)
        return "error", {**error, "loc": ["query", "value"]}
    except OverflowError:  # a timedelta below Python's least: pydantic raises, weft refuses
        return "overflow", None


def weft_says(plan: Any, text: str) -> tuple[str, Any]:
    outcome, value, _ = run_plan(plan, Call(query=b"value=" + quote(text, safe="").encode()))
    assert outcome in (CALLED, INVALID)
    if outcome == CALLED:
        return "value", value
    (error,) = value
    return "error", {**error, "loc": list(error["loc"])}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    if hasattr(a, "utcoffset") and hasattr(b, "utcoffset") and a.utcoffset() != b.utcoffset():
        return False
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("kind", make_cases.TYPES)
def test_sample(kind):
    def endpoint(value):
        return value

    endpoint.__annotations__["value"] = make_cases.TYPES[kind]
    plan = compile_plan(endpoint, "/")
    rng = random.Random(pydantic.VERSION + kind)
    for _ in range(SAMPLE):
        text = make_cases.mutated(rng, kind)
        if not text:
            continue  # whether an empty parameter counts as given is not a scalar's business
        want = pydantic_says(make_cases.ADAPTERS[kind], text)
        got = weft_says(plan, text)
        if want[0] == "overflow":
            assert got[1]["type"] == "time_delta_parsing"
        else:
            assert got[0] == want[0], (text, got, want)
            assert same(got[1], want[1]), (text, got, want)
