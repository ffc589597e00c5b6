"""JSON in bytes to Python objects and back, in C.

    >>> from weft import json
    >>> json.encode({"message": "Hello", "at": date(2024, 2, 29)})
    b'{"message":"Hello","at":"2024-02-29"}'
    >>> json.decode(b'{"n": 12345678901234567890123}')
    {'n': 12345678901234567890123}
    >>> json.decode(b'[{"name": "a"}, {"name": 1}]', type=list[User])
    Traceback (most recent call last):
    weft.json.DecodeError: expected str, got int at [1].name: line 1 column 26 (char 25)

`decode` takes RFC 8259 to the letter, in bytes, a buffer or a str, and nothing beyond: no NaN, no
trailing comma, no lone surrogate, no number past a double's range, no encoding but UTF-8 (a byte
order mark in front of bytes is passed over). Integers are exact up to sys.get_int_max_str_digits(),
floats the nearest; the last of equal names wins; 512 levels may be nested.

With `type=`, `decode` makes values of that type: scalars, dates, UUID, Decimal, enums, containers,
unions, TypedDict, NamedTuple, dataclasses, attrs, msgspec Structs and pydantic models, filled in
C. A `Decoder` keeps the type. What is not of the type is a DecodeError with the path to it; for
pydantic's models it is pydantic's own ValidationError, of `model_validate(json.loads(data))`.

`encode` writes what FastAPI's jsonable_encoder makes of an object: besides JSON's own types
dataclasses, enums, dates and times, UUID, Decimal, sets, deques, generators, paths, IP addresses,
bytes that are UTF-8, pydantic models, msgspec Structs and attrs. What else there is goes through
`default`. `indent=` and `sort_keys=` are those of json.dumps; the latter orders the members of
dataclasses, too. `encode_into` fills a bytearray, `encode_lines` and `decode_lines` are JSON Lines,
and an `Encoder` keeps its type, or its options.

With `type=`, `encode` writes a value of that type in the form that the type's own library gives it:
pydantic's classes as their `model_dump_json` does, everything else as `msgspec.json.encode`. Slots
and dicts are read in C; names are ready. What is not of the type is an EncodeError with the path
to it; inside of pydantic's classes it is pydantic that writes it, as it would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Generic, TypeVar, overload

from weft._core import DecodeError, EncodeError, Raw
from weft._core import json_decode as decode
from weft._core import json_encode as encode
from weft._core import json_encode_into as encode_into
from weft._core import json_encode_lines as encode_lines
from weft.shapes.compiled import hooked, output_of, shape

__all__ = [
    "DecodeError",
    "Decoder",
    "EncodeError",
    "Encoder",
    "Raw",
    "decode",
    "decode_lines",
    "encode",
    "encode_into",
    "encode_lines",
]

T = TypeVar("T")
Document = bytes | bytearray | memoryview | str


class Encoder(Generic[T]):
    """The functions of this module with a type, or with options, that stay.

    >>> Encoder(sort_keys=True).encode({"b": 1, "a": 2})
    b'{"a":2,"b":1}'
    >>> Encoder(list[User]).encode([User(name="a")])
    b'[{"name":"a"}]'

    With a type, default is called with what has no form, of a class that weft cannot read or where
    anything may stand. TypeError for a type that cannot be read, and for sort_keys beside a type.
    """

    __slots__ = ("encode", "encode_into", "encode_lines", "type")

    encode: Callable[[T], bytes]
    encode_into: Callable[..., None]
    encode_lines: Callable[[Iterable[T]], bytes]

    @overload
    def __init__(
        self,
        type: type[T],
        *,
        default: Callable[[Any], Any] | None = None,
        indent: int | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Encoder[Any],
        type: Any = None,
        *,
        default: Callable[[Any], Any] | None = None,
        indent: int | None = None,
        sort_keys: bool = False,
    ) -> None: ...
    def __init__(
        self,
        type: Any = None,
        *,
        default: Callable[[Any], Any] | None = None,
        indent: int | None = None,
        sort_keys: bool = False,
    ) -> None:
        self.type = type
        if type is None:
            self.encode = partial(encode, default=default, indent=indent, sort_keys=sort_keys)
            self.encode_into = partial(encode_into, default=default, sort_keys=sort_keys)
            self.encode_lines = partial(encode_lines, default=default, sort_keys=sort_keys)
            return
        if sort_keys:
            raise TypeError("sort_keys is for what has no type")
        native = output_of(type, default)
        self.encode = native.encode_json
        if indent is not None:
            self.encode = lambda obj: native.encode_json_indented(obj, indent)
        self.encode_into = native.encode_json_into
        self.encode_lines = native.encode_json_lines


class Decoder(Generic[T]):
    """`decode(data, type=type, strict=strict, ...)` with the type read once.

    dec_hook is called with a class that weft cannot read and the plain value that stands for it,
    and gives an instance; float_hook with the text of each float where no type is asked for. What
    they raise of ValueError and TypeError is a DecodeError with the path, and so is an instance of
    another class. They are not called for what pydantic reads.

    TypeError where the type cannot be read."""

    __slots__ = ("decode", "strict", "type")

    decode: Callable[[Document], T]
    """The value of one document; errors as of `weft.json.decode`."""

    @overload
    def __init__(
        self,
        type: type[T],
        *,
        strict: bool = True,
        dec_hook: Callable[[Any, Any], Any] | None = None,
        float_hook: Callable[[str], Any] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Decoder[Any],
        type: Any = Any,
        *,
        strict: bool = True,
        dec_hook: Callable[[Any, Any], Any] | None = None,
        float_hook: Callable[[str], Any] | None = None,
    ) -> None: ...
    def __init__(
        self,
        type: Any = Any,
        *,
        strict: bool = True,
        dec_hook: Callable[[Any, Any], Any] | None = None,
        float_hook: Callable[[str], Any] | None = None,
    ) -> None:
        self.type = type
        self.strict = strict
        if dec_hook is None and float_hook is None:
            native = shape(Any if type is None else type).native
        else:
            native = hooked(type, dec_hook, float_hook)
        self.decode = native.decode_json if strict else native.decode_json_lax

    def decode_lines(self, data: Document) -> list[T]:
        """The values of JSON Lines, as of `weft.json.decode_lines`."""
        return _each_line(self.decode, data)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.type!r}, strict={self.strict})"


@overload
def decode_lines(data: Document, *, type: type[T], strict: bool = True) -> list[T]: ...
@overload
def decode_lines(data: Document, *, type: Any = None, strict: bool = True) -> list[Any]: ...
def decode_lines(data: Document, *, type: Any = None, strict: bool = True) -> list[Any]:
    """The values of JSON Lines: a document a line, lines of white space passed over.

    Errors are those of `decode`; a DecodeError says where in all of data, and a note of pydantic's
    ValidationError in which line."""
    if type is None:
        return _each_line(partial(decode, strict=strict), data)
    return Decoder(type, strict=strict).decode_lines(data)


def _each_line(decode_one: Callable[[Document], T], data: Document) -> list[T]:
    lines: Any = data.split("\n") if isinstance(data, str) else _bytes_of(data).split(b"\n")
    space: Any = " \t\r" if isinstance(data, str) else b" \t\r"
    values = []
    start = 0
    for number, line in enumerate(lines):
        if line.strip(space):
            if number > 0 and line[:3] == b"\xef\xbb\xbf":
                line = "\ufeff"  # a byte order mark within, which is no JSON
            try:
                values.append(decode_one(line))
            except DecodeError as e:
                raise _moved(e, data, number, start) from e.__cause__
            except Exception as e:  # pydantic's ValidationError, or what a validator raised
                e.add_note(f"line {number + 1}")
                raise
        start += len(line) + 1
    return values


def _bytes_of(data: Any) -> bytes:
    try:
        return bytes(memoryview(data))
    except TypeError:
        name = data.__class__.__name__
        raise TypeError(f"JSON Lines must be bytes, a buffer or str, not {name}") from None


def _moved(error: DecodeError, doc: Document, lines: int, start: int) -> DecodeError:
    """The error of a line as one of the whole of it."""
    lineno, pos = error.lineno + lines, error.pos + start
    moved = DecodeError(f"{error.msg}: line {lineno} column {error.colno} (char {pos})")
    moved.__dict__.update(error.__dict__, doc=doc, lineno=lineno, pos=pos)
    return moved
