"""MongoDB's BSON corpus, of which PyMongo's source distribution has a copy.

tools/bson-corpus fetches it from the package index into .venv; `make test` does that first. Without
it the tests are skipped, but not in CI.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import bson as pymongo_bson
import pytest
from bson import json_util

from weft import bson

CORPUS = Path(__file__).parent.parent / ".venv/bson-corpus"


def load() -> list[tuple[str, dict[str, Any]]]:
    return [(p.stem, json.loads(p.read_bytes())) for p in sorted(CORPUS.glob("*.json"))]


def cases(kind: str) -> list[Any]:
    return [
        pytest.param(case, id=f"{name}: {case['description']}")
        for name, suite in load()
        for case in suite.get(kind, [])
    ]


def test_the_corpus_is_there() -> None:
    if not CORPUS.is_dir() and not os.environ.get("CI"):
        pytest.skip("tools/bson-corpus has not been run")
    assert len(load()) > 25
    assert len(cases("valid")) > 200
    assert len(cases("decodeErrors")) > 30
    assert len(cases("parseErrors")) > 100


def normal(text: str | bytes) -> Any:
    """JSON to compare, with names in order; of the text of a double its value counts."""

    def pairs(of: list[tuple[str, Any]]) -> Any:
        if [name for name, _ in of] == ["$numberDouble"] and isinstance(of[0][1], str):
            return ("double", repr(float(of[0][1])))
        return of

    return json.loads(text, object_pairs_hook=pairs)


@pytest.mark.parametrize("case", cases("valid"))
def test_what_is_valid(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["canonical_bson"])
    bson.validate(raw)
    canonical = normal(case["canonical_extjson"])
    assert normal(bson.to_json(raw, canonical=True)) == canonical
    if "relaxed_extjson" in case:
        assert normal(bson.to_json(raw)) == normal(case["relaxed_extjson"])
        bson.from_json(case["relaxed_extjson"])
    if not case.get("lossy"):
        assert bson.from_json(case["canonical_extjson"]) == raw
    for other in ("degenerate_bson", "converted_bson"):
        if other in case:
            bson.validate(bytes.fromhex(case[other]))
    if "degenerate_bson" in case:
        degenerate = bytes.fromhex(case["degenerate_bson"])
        assert normal(bson.to_json(degenerate, canonical=True)) == canonical
        assert bson.encode(bson.decode(degenerate)) == raw
    if "degenerate_extjson" in case:
        assert bson.from_json(case["degenerate_extjson"]) == raw


@pytest.mark.parametrize("case", cases("valid"))
def test_what_is_valid_is_pymongos_objects(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["canonical_bson"])
    try:
        theirs = pymongo_bson.decode(raw)
    except pymongo_bson.errors.InvalidBSON:  # a date that datetime does not have
        with pytest.raises(bson.DecodeError, match="years 1 to 9999"):
            bson.decode(raw)
        return
    ours = bson.decode(raw)
    assert repr(ours) == repr(theirs)
    assert bson.encode(ours) == pymongo_bson.encode(theirs)


@pytest.mark.parametrize("case", cases("decodeErrors"))
def test_what_is_no_bson(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["bson"])
    for refuse in (bson.validate, bson.decode, bson.to_json):
        with pytest.raises(bson.DecodeError):
            refuse(raw)


# Forms from before version 2, which mongoexport wrote and PyMongo reads too.
LEGACY = ("Bad $date (number, not string or hash)", "Bad $numberLong (number, not string)")


@pytest.mark.parametrize("case", cases("parseErrors"))
def test_what_is_no_extended_json(case: dict[str, Any]) -> None:
    text = case["string"]
    if case["description"] in LEGACY:
        assert bson.from_json(text) == pymongo_bson.encode(json_util.loads(text))
        return
    if "{" in text:
        with pytest.raises(bson.DecodeError):
            bson.from_json(text)
    else:
        with pytest.raises((ValueError, ArithmeticError)):
            bson.Decimal128(text)
