"""Rounds of fuzz/shapes.py, the same on each run: pydantic, msgspec and the standard library are
its judges of random types and documents."""

import importlib.util
import os
from pathlib import Path

import pytest

ROUNDS = int(os.environ.get("WEFT_SHAPE_EXAMPLES", "100")) * 2  # of 60 documents of JSON each
SCRIPT = Path(__file__).parent.parent / "fuzz" / "shapes.py"


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_rounds_of_the_fuzzer() -> None:
    spec = importlib.util.spec_from_file_location("fuzz_shapes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    shapes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shapes)
    for seed in range(ROUNDS):
        try:
            shapes.one_round(seed)
        except Exception as error:
            error.add_note(f"python fuzz/shapes.py 0 {seed}")
            raise
