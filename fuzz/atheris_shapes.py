"""Documents for a table of types, found by coverage of the C that reads and writes them.

    python fuzz/atheris_shapes.py [option of libFuzzer ...] [corpus ...]

The first byte of an input chooses a type, the second what is done, the rest is the document. What
has to hold is what fuzz/shapes.py says, which makes up its types at random. tools/fuzz-atheris
builds weft with the fuzzer's counters and AddressSanitizer for it, and loads the libFuzzer that
atheris has in front of the interpreter.
"""

from __future__ import annotations

import json as stdlib
import sys
from typing import Any

import atheris
import pydantic
import shapes

from weft import bson, json

# Some of each kind; a type's number is part of what an input means.
TABLE = 200


def table() -> list[Any]:
    made: list[Any] = []
    seed = 0
    while len(made) < TABLE:
        type_ = shapes.type_of(shapes.Pick(seed), 3)
        seed += 1
        try:
            json.decode(b"null", type=type_)
        except (*shapes.FAILURES, pydantic.ValidationError):
            made.append(type_)
        except TypeError:
            continue  # a type that cannot be read
        else:
            made.append(type_)
    return made


TYPES = table()


def read_json(type_: Any, data: bytes) -> None:
    shapes.judge(type_, data, shapes.attempt(lambda: json.decode(data, type=type_)))
    shapes.attempt(lambda: json.decode(data, type=type_, strict=False))


def write_json(type_: Any, data: bytes) -> None:
    """What was read is written, and read again to the same."""
    try:
        made = json.decode(data, type=type_)
        text = json.encode(made, type=type_)
    except (*shapes.FAILURES, pydantic.ValidationError):
        return
    if isinstance(made, pydantic.BaseModel):
        assert text == made.model_dump_json().encode(), (type_, data, text)
    stdlib.loads(text)


def read_bson(type_: Any, data: bytes) -> None:
    straight = shapes.attempt(lambda: bson.to_json(data, type=type_))
    around = shapes.attempt(lambda: shapes.over_objects(type_, data))
    assert straight == around, (type_, data, straight, around)


def write_bson(type_: Any, data: bytes) -> None:
    try:
        made = json.decode(data, type=type_)
        raw = bson.encode(made, type=type_)
    except (*shapes.FAILURES, pydantic.ValidationError):
        return
    bson.validate(raw)
    shapes.attempt(lambda: bson.decode(raw, type=type_))


DONE = (read_json, write_json, read_bson, write_bson)


def one_input(data: bytes) -> None:
    if len(data) > 2:
        DONE[data[1] % len(DONE)](TYPES[data[0] % len(TYPES)], data[2:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
