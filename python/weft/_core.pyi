"""What the native core has, room by room. Import these from weft's modules, not from here."""

from collections.abc import Callable
from typing import Any

from typing_extensions import Buffer

# ---- py/json ----

class EncodeError(TypeError, ValueError): ...

class DecodeError(ValueError):
    msg: str
    doc: Buffer | str | None
    pos: int
    lineno: int
    colno: int

def json_encode(obj: Any, /, *, default: Callable[[Any], Any] | None = None) -> bytes: ...
def json_decode(data: Buffer | str, /) -> Any: ...
def _alloc_fail_from(nth: int, /) -> None: ...
