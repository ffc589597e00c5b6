"""Published numbers, read and written.

The numbers of Verdonk, Cuyt and Verschaeren ("A precision and range independent tool for testing
floating-point arithmetic II: Conversions", ACM TOMS 27:2, 2001), as CPython carries them for its
own tests; and CPython's tests of its strtod, which make halfway cases, boundaries of powers of two,
underflows and long digit strings, and judge by exact arithmetic: here they judge weft.json. Both
come from the interpreter's `test` package, which some distributions leave out.
"""

import random
import re
import struct
from pathlib import Path
from typing import Any

import pytest

import weft.json

strtod_tests: Any = pytest.importorskip("test.test_strtod")

NUMBER = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?")


def json_form(text: str) -> str | None:
    """What float() takes as JSON's grammar has it, with the same digits; None where it is none."""
    match = NUMBER.fullmatch(text.strip())
    if match is None or not (match[2] or match[3]):
        return None
    sign, whole, fraction, exponent = match.groups()
    # With a point, so that it is no int.
    number = f"{'-' if sign == '-' else ''}{whole.lstrip('0') or '0'}.{fraction or '0'}"
    return number + (f"e{exponent}" if exponent else "")


def read(text: str) -> float:
    value = weft.json.decode(text)
    assert type(value) is float
    return value


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def published() -> list[str]:
    directory = Path(strtod_tests.__file__).parent  # mathdata/ since 3.13
    [path] = directory.rglob("floating_points.txt")
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def test_published_numbers_are_read_and_written_as_cpython_does() -> None:
    numbers = published()
    assert len(numbers) > 1000
    for text in numbers:
        form = json_form(text)
        assert form is not None, text
        value = read(form)
        assert bits(value) == bits(float(text)), text
        assert weft.json.encode(value) == repr(value).encode()
        assert bits(read(repr(value))) == bits(value)


class TestReadingByCPythonsTestsOfStrtod(strtod_tests.StrtodTests):  # type: ignore[misc]
    test_oversized_digit_strings = None  # of gigabytes

    def setUp(self) -> None:
        random.seed(754)

    def check_strtod(self, s: str) -> None:
        expected = strtod_tests.strtod(s)
        form = json_form(s)
        assert form is not None, s
        if expected.endswith("inf"):
            with pytest.raises(weft.json.DecodeError, match="too large for a double"):
                weft.json.decode(form)
        else:
            assert read(form).hex() == float.fromhex(expected).hex(), s
