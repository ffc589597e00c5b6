"""msgspec is the judge: the same types and documents give the same values, or errors."""

import dataclasses
import os
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, NotRequired

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict

from tests.shape_types import Level, Typed, documents, same, types
from weft import shape
from weft.json import DecodeError

EXAMPLES = int(os.environ.get("WEFT_SHAPE_EXAMPLES", "300"))


def make_struct(fields: list[tuple[str, Any, Any]]) -> Any:
    specs = [(n, a) if d is ... else (n, a | None, d) for n, a, d in fields]
    return msgspec.defstruct("S", specs)


def make_strict_struct(fields: list[tuple[str, Any, Any]]) -> Any:
    specs = [(n, a) if d is ... else (n, a | None, d) for n, a, d in fields]
    return msgspec.defstruct("S", specs, rename="camel", forbid_unknown_fields=True)


def make_dataclass(fields: list[tuple[str, Any, Any]]) -> Any:
    specs = [(n, a) if d is ... else (n, a | None, d) for n, a, d in fields]
    return dataclasses.make_dataclass("D", specs)


def make_slots(fields: list[tuple[str, Any, Any]]) -> Any:
    specs = [(n, a) if d is ... else (n, a | None, d) for n, a, d in fields]
    return dataclasses.make_dataclass("D", specs, slots=True, frozen=True)


def make_typed_dict(fields: list[tuple[str, Any, Any]]) -> Any:
    return TypedDict("T", {n: a if d is ... else NotRequired[a] for n, a, d in fields})


TYPES = types(make_struct, make_strict_struct, make_dataclass, make_slots, make_typed_dict)


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def outcome(decode: Any, data: bytes, error: type[Exception]) -> tuple[bool, Any]:
    try:
        return True, decode(data)
    except error as exc:
        return False, exc


@pytest.mark.parametrize("strict", [True, False])
def test_values_and_errors(strict: bool) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="CI" in os.environ or "WEFT_SHAPE_EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(TYPES, st.data())
    def compare(typed: Typed, data: Any) -> None:
        try:
            decoder = msgspec.json.Decoder(typed.annotation, strict=strict)
        except TypeError:
            with pytest.raises(TypeError):
                shape(typed.annotation)
            return
        ours = shape(typed.annotation)
        for _ in range(4):
            document = data.draw(documents(typed))
            expected = outcome(decoder.decode, document, ValueError)
            if not is_utf8(document):
                expected = (False, "msgspec looks at the text of what it keeps only")
            got = outcome(lambda d: ours.decode_json(d, strict=strict), document, DecodeError)
            assert got[0] == expected[0], (typed, document, got[1], expected[1])
            if got[0]:
                assert same(got[1], expected[1]), (typed, document, got[1], expected[1])

    compare()


@pytest.mark.parametrize(
    "text",
    ["", "Zg==", "Zm8=", "Zm9v", "+/8=", "Zh==", "Zm9=", "Zg", "Z===", "-_8=", "Zm=8", "Z g="],
)
@pytest.mark.parametrize("annotation", [bytes, bytearray])
def test_base64(annotation: type, text: str) -> None:
    document = f'"{text}"'.encode()
    expected = outcome(msgspec.json.Decoder(annotation).decode, document, ValueError)
    got = outcome(shape(annotation).decode_json, document, DecodeError)
    assert got[0] == expected[0]
    assert not got[0] or got[1] == expected[1]


def test_ints_of_literals_and_enums_may_stand_in_strings_where_it_is_not_strict() -> None:
    for annotation in (Level, Level | None, Literal[1, 2]):
        for document in (
            b'"1"',
            b'"2"',
            b'"9"',
            b'"x"',
            b'"1.0"',
            b'"1e0"',
            b'"99999999999999999999"',
        ):
            expected = outcome(
                lambda d, a=annotation: msgspec.json.decode(d, type=a, strict=False),
                document,
                ValueError,
            )
            got = outcome(
                lambda d, a=annotation: shape(a).decode_json(d, strict=False), document, DecodeError
            )
            assert got[0] == expected[0], (annotation, document)
            assert not got[0] or same(got[1], expected[1])
            with pytest.raises(DecodeError):
                shape(annotation).decode_json(document)


def test_text_that_a_decimal_and_a_number_could_take_where_it_is_not_strict() -> None:
    for annotation in (
        float | Decimal,
        Decimal | float,
        int | Decimal,
        Decimal | bool,
        int | uuid.UUID,
        float | timedelta,
    ):
        for document in (b'"0.000"', b'"1"', b'"-7"', b'"true"', b'"P1D"', b'"x"', b"1", b"1.5"):
            expected = outcome(
                lambda d, a=annotation: msgspec.json.decode(d, type=a, strict=False),
                document,
                ValueError,
            )
            got = outcome(
                lambda d, a=annotation: shape(a).decode_json(d, strict=False), document, DecodeError
            )
            assert got[0] == expected[0], (annotation, document, got, expected)
            if got[0]:
                assert same(got[1], expected[1]), (annotation, document, got, expected)
