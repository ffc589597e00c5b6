"""What can be asked of pydantic's core schema, where it is to be read natively: names, defaults,
and which code of the application it runs. What is not proved is raised as `Unproved`.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import functools
import re
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from weft.shapes import objectid

__all__ = [
    "SILENT",
    "Unproved",
    "adapter_of",
    "application_code",
    "called_after",
    "default_of",
    "is_known",
    "is_pydantics",
    "lax",
    "lengths",
    "names_of",
    "only",
    "pattern_of",
    "plain",
    "private_of",
    "reason",
]

# Keys that say nothing about what is valid.
SILENT = {"type", "ref", "metadata", "serialization"}


class Unproved(Exception):
    """This much is pydantic's. ``runs_code``: and validating it runs code of the application, so
    that nothing around it can be native either."""

    def __init__(self, why: str, runs_code: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.runs_code = runs_code


def adapter_of(annotation: Any, name: str) -> Any:
    """The TypeAdapter of an annotation; TypeError where pydantic cannot read it."""
    import pydantic
    import pydantic.warnings
    import pydantic_core

    try:
        with warnings.catch_warnings():
            # An alias in Field() has done its work elsewhere.
            if hasattr(pydantic.warnings, "UnsupportedFieldAttributeWarning"):
                warnings.simplefilter("ignore", pydantic.warnings.UnsupportedFieldAttributeWarning)
            adapter: Any = pydantic.TypeAdapter(objectid.readable(annotation))
            adapter.rebuild()
    except (pydantic.errors.PydanticUserError, pydantic_core.SchemaError) as exc:
        raise TypeError(f"pydantic cannot read {name}: {reason(exc)}") from exc
    return adapter


def reason(exc: Exception) -> str:
    """Why pydantic cannot make a schema, without its advice for what is inside of models."""
    text = str(exc).partition("\n\n")[0]
    if getattr(exc, "code", None) == "schema-for-unknown-type":
        text = text.partition(". Set `")[0].replace("Unable to generate", "it cannot generate")
    return text


def only(schema: Mapping[str, Any], *known: str) -> None:
    for key, value in schema.items():
        if key not in SILENT and key not in known and value is not None:
            raise Unproved(f"pydantic's {schema.get('type')} with {key}")


def lax(config: Mapping[str, Any]) -> None:
    if config.get("strict"):
        raise Unproved("strict")


def lengths(schema: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(op, schema[op]) for op in ("min_length", "max_length") if schema.get(op) is not None]


def plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else int(value)


def pattern_of(pattern: Any) -> Callable[[str], Any]:
    """pydantic searches by Rust's regular expressions. The two agree on literals, classes of ASCII
    characters, groups, repetition and alternation; `$` is the very end."""
    plain = r"[A-Za-z0-9_ ,:;@/!#%&=~\"'<>-]|\\[.+*?()\[\]{}^$|/-]"
    part = plain + r"|\[\^?(?:[A-Za-z0-9_ .,:;@/!#%+*=]-?)+\]"
    quantifier = r"(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})?"
    if not isinstance(pattern, str) or not re.fullmatch(
        rf"\^?(?:(?:{part}|\((?:\?:)?|\)|\|){quantifier})*\$?", pattern
    ):
        raise Unproved("a pattern that Rust may read in another way")
    if pattern.endswith("$") and not pattern.endswith(r"\$"):
        pattern = pattern[:-1] + r"\Z"
    try:
        return re.compile(pattern).search
    except re.error as exc:
        raise Unproved(f"a pattern that is none in Python: {exc}") from exc


def names_of(name: str, alias: Any, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names by which input may give a field."""
    if alias is None:
        return (name,)
    if isinstance(alias, str):
        names = [alias]
    elif all(
        isinstance(path, list) and len(path) == 1 and isinstance(path[0], str) for path in alias
    ):
        names = [path[0] for path in alias]
    else:
        raise Unproved(f"{name} is found by a path")
    by_alias, by_name = config.get("validate_by_alias", True), config.get("validate_by_name", False)
    keys = (names if by_alias is not False else []) + ([name] if by_name else [])
    if not keys:
        raise Unproved(f"{name} has no name")
    return tuple(dict.fromkeys(keys))


_IMMUTABLE = (
    type(None), bool, int, float, str, bytes, enum.Enum, datetime.date, datetime.time,
    datetime.timedelta, uuid.UUID, decimal.Decimal,
)  # fmt: skip


def default_of(schema: Any, where: str) -> tuple[str, Any]:
    only(
        schema,
        "schema",
        "default",
        "default_factory",
        "default_factory_takes_data",
        "copy_default",
        "validate_default",
        "on_error",
    )
    if schema.get("validate_default") or schema.get("on_error", "raise") != "raise":
        raise Unproved(f"{where} has a default that is validated, or stands in for errors")
    if "default_factory" in schema:
        factory = schema["default_factory"]
        if factory in (list, dict, set):
            return factory.__name__, None
        if schema.get("default_factory_takes_data"):
            raise Unproved(f"{where} has a default factory that takes data", runs_code=True)
        return "factory", factory
    if "default" not in schema:
        return "required", None
    value = schema["default"]
    if kind := _copied(value):
        return kind, value if kind in ("value", "copy") else None
    raise Unproved(f"{where} has a default that may need copying by code of the application", True)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    else:
        yield from value


def _copied(value: Any) -> str:
    """How a default becomes a new instance's: value, copy, list, dict or set; "" where copying it
    may run code of the application."""
    if isinstance(value, _IMMUTABLE):
        return "value"
    if type(value) in (list, dict, set, collections.deque):
        if not value and type(value) is not collections.deque:
            return type(value).__name__
        if all(isinstance(part, _IMMUTABLE) for part in _parts(value)):
            return "copy"
    if type(value) in (tuple, frozenset) and all(isinstance(p, _IMMUTABLE) for p in value):
        return "value"
    return ""


def private_of(cls: Any) -> dict[str, Any] | None:
    """What a model's private attributes are at first, to be copied where that is no immutable;
    None where making it runs code of the application."""
    from pydantic_core import PydanticUndefined

    private: dict[str, Any] = {}
    for name, attribute in cls.__private_attributes__.items():
        default, factory = attribute.default, attribute.default_factory
        if factory in (list, dict, set) and not attribute.default_factory_takes_validated_data:
            default = factory()
        elif factory is not None:
            return None
        if default is PydanticUndefined:
            continue
        if not _copied(default) or type(default) is collections.deque:
            return None
        private[name] = default
    return private


def called_after(schema: Mapping[str, Any]) -> Callable[[Any], Any] | None:
    """What gives an instance of a model or dataclass once all of its fields are there, having run
    code of the application: its own, or factories of private attributes. None without."""
    if not schema.get("post_init"):
        return None
    cls, is_model = schema["cls"], schema["type"] == "model"
    name = schema["post_init"] if is_model else "__post_init__"
    method = getattr(cls, name, None)
    if is_model and is_pydantics(method) and private_of(cls) is not None:
        return None

    def post_init(instance: Any) -> Any:
        # as pydantic calls it, who gives a model its context
        getattr(instance, name)(*((None,) if is_model else ()))
        return instance

    post_init.__qualname__ = f"{cls.__qualname__}.{name}"
    return post_init


def is_pydantics(function: Any) -> bool:
    module = getattr(function, "__module__", None) or ""
    return module.partition(".")[0] in ("pydantic", "pydantic_core")


def is_known(function: Any) -> bool:
    """Validating by it runs no code of the application."""
    if isinstance(function, functools.partial):  # a constraint that pydantic checks by a function
        given = (function.func, *function.args, *function.keywords.values())
        return all(is_known(part) for part in given if callable(part))
    module = getattr(function, "__module__", None) or ""
    return is_pydantics(function) or (
        function is objectid.read
        or (isinstance(function, type) and module in ("ipaddress", "pathlib", "builtins", "re"))
    )


def application_code(
    schema: Any, by_ref: Mapping[str, Any] | None = None, seen: set[str] | None = None
) -> str:
    """Which code of the application validating by a schema would run; "" for none."""
    seen = set() if seen is None else seen
    if isinstance(schema, (list, tuple)):
        return next(filter(None, (application_code(part, by_ref, seen) for part in schema)), "")
    if not isinstance(schema, dict):
        return ""
    kind = schema.get("type")
    if kind == "definition-ref" and by_ref is not None and schema["schema_ref"] not in seen:
        seen.add(schema["schema_ref"])
        return application_code(by_ref.get(schema["schema_ref"]), by_ref, seen)
    if kind in ("model", "dataclass"):
        name = schema["cls"].__name__
        if schema.get("custom_init"):
            return f"{name} has an __init__ of its own"
        if called_after(schema) is not None:
            return f"{name} runs code after it is made"
    if kind == "call" and not is_known(schema.get("function")):
        return "a function is called"
    if kind == "enum" and schema.get("missing") is not None:
        return f"{schema['cls'].__name__} has a _missing_"
    for key, value in schema.items():
        if key in ("serialization", "metadata", "cls", "computed_fields"):
            continue
        if key in ("function", "default_factory", "discriminator", "serialize") and callable(value):
            if not is_known(value):
                return f"{getattr(value, '__qualname__', value)} is code of the application"
        elif found := application_code(value, by_ref, seen):
            return found
    return ""
