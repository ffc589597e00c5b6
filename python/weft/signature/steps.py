"""What a signature is read into: the steps of a plan, and how each converts its value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from weft import _core
from weft.params import Dependency, Marker

MADE = ("request", "response", "background", "value", "dependency")  # sources, not in the request


@dataclass(frozen=True, slots=True)
class Check:
    """One constraint, and the error of a value that breaks it."""

    op: str
    limit: Any
    type: str
    message: str
    context: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a value is made of text (or, in a body, of what the JSON held)."""

    kind: str
    # lookup: dict of text or int to value; list: its type; handed: (validate, error class)
    data: Any = None
    items: tuple[Conversion, ...] = ()  # union: its choices; list: its item
    checks: tuple[Check, ...] = ()
    error: tuple[str, str, dict[str, Any] | None] | None = None  # type, message, ctx
    label: str = ""  # in the loc of a union's errors
    why: str = ""  # it is handed over to pydantic; for people

    def __str__(self) -> str:
        text = self.label or self.kind
        if self.kind == "union":
            text = " | ".join(map(str, self.items))
        elif self.kind == "list":
            text = f"{self.data.__name__}[{self.items[0]}]"
        checks = ", ".join(f"{check.op}={check.limit!r}" for check in self.checks)
        return f"{text}({checks})" if checks else text


@dataclass(frozen=True, slots=True)
class ParameterModel:
    """A class whose fields are the query parameters, header fields or cookies."""

    # of each field: (its key for the class, its key in the request) in order of preference; many?
    fields: tuple[tuple[tuple[tuple[str, str], ...], bool], ...]
    own_names: frozenset[str]  # keys in the request, of all fields
    renames: dict[str, str]  # name of a field: the key in the request that is made from it
    optional: bool  # None, or another default, where nothing of it came
    extras_count: bool  # keys of no field are something of it
    # Of what its shape reads: each key in the request and the index of its field, in order of
    # preference; -1: what has this key is pydantic's to judge. Empty: all is.
    keys: tuple[tuple[bytes, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """Where a value comes from, how it is converted, which argument it fills."""

    name: str
    source: str
    conversion: Conversion
    names: tuple[str, ...]  # in the request, best first; one of them is in the loc of an error
    keys: tuple[bytes, ...]  # the same as they are on the wire
    index: int = 0  # of the path parameter in the pattern, or of the dependency's value
    many: bool = False  # every occurrence, not one
    keyword: bool = False  # passed by keyword
    # required: missing is an error; value: as it is; copy: deep-copied each time; factory: called
    default_kind: str = "required"
    default: Any = None
    validate_default: bool = False
    annotation: Any = Any
    marker: Marker | None = None
    model: ParameterModel | None = None
    depends: Dependency | None = None
    # where the body is a form:
    raw: bool = False  # of a file its bytes
    # of a model each field's names, whether it takes all values of them, and raw
    form_fields: tuple[tuple[tuple[str, ...], bool, bool], ...] | None = None
    form_optional: bool = False  # a model that may be left out
    form_native: bool = False  # a model that its shape reads
    form_extras: bool = False  # a model of which keys of no field are something too

    @property
    def native(self) -> bool:
        return self.conversion.kind != "handed"

    def __str__(self) -> str:
        if self.depends is not None:
            return f"{self.name} <- {self.depends}"
        if self.source in MADE:
            return f"{self.name} <- {self.source}"
        default = {"required": "", "factory": " = <factory>"}.get(self.default_kind)
        if default is None:
            default = f" = {_shown(self.default)}"
        place = self.source + "".join(f" {name}" for name in self.names)
        return f"{self.name} <- {place}: {self.conversion}{default}"


_SHOWN_MAX = 80


def _shown(value: object) -> str:
    """Its repr as a part of a line that is read, whatever the value's class has for one."""
    try:
        text = repr(value)
    except Exception:
        text = object.__repr__(value)
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: _SHOWN_MAX + 1])
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."


@dataclass(frozen=True, slots=True)
class Description:
    """All of a handler's steps, in the order they run."""

    endpoint: Callable[..., Any]
    steps: tuple[Step, ...]
    positional: tuple[str, ...]  # arguments in order
    keywords: tuple[str, ...]
    embed: bool  # each body step reads one key of the body
    body_mode: str  # buffer, stream or ignore
    is_coroutine: bool

    def compile(self, uses: tuple[Any, ...] = ()) -> _core.Plan:
        return _core.Plan(
            self.endpoint,
            self.steps,
            self.positional,
            self.keywords,
            self.embed,
            self.body_mode,
            self.is_coroutine,
            uses,
        )
