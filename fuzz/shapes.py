"""Random types, random documents and damaged ones, with judges, until the time is up.

    python fuzz/shapes.py SECONDS [SEED]

Each round makes a type and some documents of JSON and BSON for it, whole and with bytes changed.
Only the documented exceptions may come. Models must be what pydantic makes of them, errors and
bytes too, other types what msgspec does, untyped JSON what the standard library reads, and BSON to
JSON what goes by way of objects. What fails says the seed of its round.
"""

from __future__ import annotations

import dataclasses
import datetime
import json as stdlib
import random
import sys
import time
import uuid
import warnings
from collections.abc import Callable
from decimal import Decimal
from pprint import pformat
from typing import Annotated, Any

import msgspec
import pydantic
from typing_extensions import TypedDict

from weft import bson, json

SCALARS = (int, float, str, bool, type(None), Any)
RICH = (datetime.datetime, datetime.date, uuid.UUID, Decimal, bson.ObjectId)
NAMES = ("a", "b", "id", "long_name_of_a_field", "ü", 'q"')
TEXTS = (
    "",
    "x",
    "1",
    "true",
    "2024-02-29",
    "2024-02-29T01:02:03Z",
    "0" * 24,
    "é",
    "\\",
    "\n",
    "😀",
)
FAILURES = (json.DecodeError, json.EncodeError, bson.DecodeError, bson.EncodeError)
Pick = random.Random


class Plain(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)


class Initialised(Plain):
    _size: int = 0

    def model_post_init(self, context: Any) -> None:
        self._size = len(repr(self)) % 7
        if self._size == 0:
            raise ValueError("refused")


class Private(Plain):
    _list: list[int] = [1]
    _dict: dict[str, int] = pydantic.PrivateAttr(default_factory=dict)
    _made: str = pydantic.PrivateAttr(default_factory=str)


def object_of(pick: Pick, depth: int) -> Any:
    fields = [(n, type_of(pick, depth - 1)) for n in pick.sample(NAMES[:4], pick.randrange(1, 4))]
    match pick.randrange(4):
        case 0:
            return dataclasses.make_dataclass("D", fields)
        case 1:
            return msgspec.defstruct("S", fields)
        case 2:
            return TypedDict("T", dict(fields), total=pick.random() < 0.5)  # type: ignore[operator]
        case _:
            made: Any = {name: (checked(pick, type_), ...) for name, type_ in fields}
            base = pick.choice((Plain, Plain, Initialised, Private))
            return pydantic.create_model("M", __base__=base, **made)


def doubt(value: Any) -> Any:
    """A validator: it refuses some values, and changes others."""
    size = len(repr(value)) % 5
    if size == 0:
        raise ValueError("refused")
    return [value] if size == 1 else value


def checked(pick: Pick, type_: Any) -> Any:
    how = (pydantic.AfterValidator, pydantic.BeforeValidator, pydantic.PlainValidator)
    return Annotated[type_, pick.choice(how)(doubt)] if pick.random() < 0.4 else type_


def type_of(pick: Pick, depth: int) -> Any:
    if depth == 0 or pick.random() < 0.3:
        return pick.choice(SCALARS if pick.random() < 0.7 else RICH)
    match pick.randrange(5):
        case 0:
            return list[type_of(pick, depth - 1)]  # type: ignore[misc]
        case 1:
            return dict[str, type_of(pick, depth - 1)]  # type: ignore[misc]
        case 2:
            return type_of(pick, depth - 1) | None
        case 3:
            return tuple[type_of(pick, depth - 1), type_of(pick, depth - 1)]  # type: ignore[misc]
        case _:
            return object_of(pick, depth)


def value_of(pick: Pick, depth: int) -> Any:
    if depth == 0 or pick.random() < 0.4:
        return pick.choice((None, True, 0, -1, 2**31, 2**63 - 1, 0.5, 1e300, *TEXTS))
    if pick.random() < 0.4:
        return [value_of(pick, depth - 1) for _ in range(pick.randrange(4))]
    return {name: value_of(pick, depth - 1) for name in pick.sample(NAMES, pick.randrange(5))}


def damaged(pick: Pick, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(pick.randrange(1, 4)):
        at = pick.randrange(len(changed) + 1)
        match pick.randrange(3):
            case 0:
                changed[at : at + 1] = bytes([pick.randrange(256)])
            case 1:
                del changed[at : at + pick.randrange(4)]
            case _:
                changed[at:at] = changed[: pick.randrange(8)]
    return bytes(changed)


def attempt(call: Callable[[], Any]) -> Any:
    """What it gives, or the class of a failure that is one of those documented."""
    try:
        made = call()
        return repr(made), getattr(made, "__pydantic_private__", None)
    except pydantic.ValidationError as error:
        return error.errors(include_url=False, include_context=False, include_input=False)
    except FAILURES as error:
        return type(error)


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class Foreign(Exception):
    """Msgspec knows no such type: a model, an ObjectId."""


def foreign(type_: Any, value: Any) -> Any:
    raise Foreign


def judge(type_: Any, data: bytes) -> None:
    if isinstance(type_, type) and issubclass(type_, pydantic.BaseModel):
        judge_by_pydantic(type_, data)
        return
    try:
        decoder = msgspec.json.Decoder(type_, dec_hook=foreign)
    except TypeError:
        attempt(lambda: json.decode(data, type=type_))
    else:
        judge_by_msgspec(type_, decoder, data)


def judge_by_pydantic(model: type[pydantic.BaseModel], data: bytes) -> None:
    ours = attempt(lambda: json.decode(data, type=model))
    if not stdlib.detect_encoding(data).startswith("utf-8"):
        return  # which json.loads reads, and nobody else
    try:
        plain = stdlib.loads(data)
    except (ValueError, RecursionError):
        return
    theirs = attempt(lambda: model.model_validate(plain))
    assert ours == theirs, (model, data, ours, theirs)
    if isinstance(theirs, tuple):
        made = model.model_validate(plain)
        written = attempt(lambda: json.encode(made, type=model))
        expected = attempt(lambda: made.model_dump_json().encode())
        assert written == expected, (model, data, written, expected)


def judge_by_msgspec(type_: Any, decoder: msgspec.json.Decoder[Any], data: bytes) -> None:
    refused = (json.DecodeError, pydantic.ValidationError, msgspec.DecodeError, UnicodeDecodeError)
    made: list[Any] = []
    for call in (decoder.decode, json.Decoder(type_).decode):
        try:
            made.append(call(data))
        except Foreign:
            return
        except refused:
            pass
    if made and is_utf8(data):  # msgspec does not look at what it skips
        theirs, ours = pformat(made[0]), pformat(made[-1])  # TypedDicts differ in their order
        assert len(made) == 2, (type_, data, made)
        assert ours == theirs, (type_, data, made)
        assert json.encode(made[1], type=type_) == msgspec.json.encode(made[1]), (type_, data)


def judge_untyped(data: bytes) -> None:
    try:
        ours = json.decode(data)
    except json.DecodeError:
        return
    theirs = stdlib.loads(data)
    assert repr(ours) == repr(theirs), (data, ours, theirs)
    text = stdlib.dumps(theirs, ensure_ascii=False, separators=(",", ":"))
    assert json.encode(ours).decode() == text, (data, text)


def over_objects(type_: Any, data: bytes) -> bytes:
    """What bson.to_json(type=) is to be; there are no aliases here."""
    return json.encode(bson.decode(data, type=type_), type=type_)


def one_round(seed: int) -> None:
    pick = Pick(seed)
    type_ = type_of(pick, 3)
    try:
        json.decode(b"null", type=type_)
    except (TypeError, *FAILURES, pydantic.ValidationError) as error:
        if type(error) is TypeError:
            return  # a type that cannot be read: members that look alike, say
    for _ in range(30):
        value = value_of(pick, 4)
        text = stdlib.dumps(value).encode()
        for data in (text, damaged(pick, text)):
            judge(type_, data)
            judge_untyped(data)
        if not isinstance(value, dict):
            continue
        raw = bson.encode(value)
        for data in (raw, damaged(pick, raw)):
            straight = attempt(lambda data=data: bson.to_json(data, type=type_))
            around = attempt(lambda data=data: over_objects(type_, data))
            assert straight == around, (type_, data, straight, around)
            try:
                made = bson.decode(data, type=type_)
                again = bson.encode(made, type=type_)
            except (*FAILURES, pydantic.ValidationError):
                continue
            bson.validate(again)


def main() -> None:
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**63)
    end, rounds = time.monotonic() + seconds, 0
    warnings.simplefilter("ignore")  # pydantic's, of values that its serializers do not expect
    while rounds == 0 or time.monotonic() < end:
        try:
            one_round(seed)
        except BaseException:
            print(f"the round of seed {seed} failed: python fuzz/shapes.py 0 {seed}", flush=True)
            raise
        seed, rounds = seed + 1, rounds + 1
    print(f"{rounds} rounds, the last of seed {seed - 1}")


if __name__ == "__main__":
    main()
