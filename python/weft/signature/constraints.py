"""Constraints of numbers, texts and lists, as checks of the C plan with pydantic's errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from weft.params import Marker
from weft.signature.steps import Check, Conversion

# The order in which pydantic checks them: only the first that fails is reported.
_BOUNDS = {
    "multiple_of": ("multiple_of", "Input should be a multiple of {}"),
    "le": ("less_than_equal", "Input should be less than or equal to {}"),
    "lt": ("less_than", "Input should be less than {}"),
    "ge": ("greater_than_equal", "Input should be greater than or equal to {}"),
    "gt": ("greater_than", "Input should be greater than {}"),
}
LENGTHS = ("min_length", "max_length", "pattern")


def constraints_of(metadata: tuple[Any, ...], marker: Marker | None) -> dict[str, Any] | None:
    """All the constraints of a parameter, or None where some are only pydantic's."""
    constraints: dict[str, Any] = {}
    for item in metadata:
        if isinstance(item, (Marker, str)) or type(item).__name__ == "Doc":
            continue
        if type(item).__module__ != "annotated_types":
            return None
        match type(item).__name__:
            case "Gt" | "Ge" | "Lt" | "Le" | "MultipleOf":
                constraints[next(iter(item.__slots__))] = getattr(item, item.__slots__[0])
            case "MinLen" | "MaxLen":
                key = "min_length" if type(item).__name__ == "MinLen" else "max_length"
                constraints[key] = getattr(item, key)
            case _:
                return None
    if marker is not None:
        if marker.pydantic_options:
            return None
        constraints |= marker.constraints
    return constraints


def with_checks(
    conversion: Conversion,
    constraints: Mapping[str, Any],
    make: Callable[[str, Any], Check | None],
) -> Conversion | None:
    if not constraints:
        return conversion
    order = [*_BOUNDS, *LENGTHS]
    checks = [make(op, constraints[op]) for op in sorted(constraints, key=order.index)]
    if any(check is None for check in checks):
        return None
    return Conversion(
        conversion.kind,
        conversion.data,
        conversion.items,
        tuple(check for check in checks if check is not None),
        conversion.error,
        conversion.label,
    )


def int_check(op: str, limit: Any) -> Check | None:
    if op not in _BOUNDS or type(limit) not in (int, float) or limit != limit // 1:
        return None
    return _bound(op, int(limit), str(int(limit)))


def float_check(op: str, limit: Any) -> Check | None:
    if op not in _BOUNDS or type(limit) not in (int, float):
        return None
    limit = float(limit)
    text = repr(limit).removesuffix(".0")
    if "e" in text:  # pydantic never writes an exponent
        from decimal import Decimal

        text = format(Decimal(text), "f")
    return _bound(op, limit, text)


def _bound(op: str, limit: Any, text: str) -> Check | None:
    if op == "multiple_of" and limit == 0:
        return None
    error, message = _BOUNDS[op]
    return Check(op, limit, error, message.format(text), {op: limit})


def text_check(op: str, limit: Any) -> Check | None:
    if op == "pattern":
        if not isinstance(limit, str):
            return None
        message = f"String should match pattern '{limit}'"
        return Check(
            op, _pattern(limit).search, "string_pattern_mismatch", message, {"pattern": limit}
        )
    if op not in LENGTHS or type(limit) is not int:
        return None
    how = ("at least", "string_too_short") if op == "min_length" else ("at most", "string_too_long")
    message = f"String should have {how[0]} {limit} character{'' if limit == 1 else 's'}"
    return Check(op, limit, how[1], message, {op: limit})


def _pattern(pattern: str) -> re.Pattern[str]:
    """By Python's re, searching; `$` is the very end only, as in pydantic's own engine."""
    try:
        if not re.search(r"\(\?[a-z]*m", pattern):
            pattern = re.sub(
                r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$",
                lambda m: r"\Z" if m[0] == "$" else m[0],
                pattern,
                flags=re.DOTALL,
            )
        return re.compile(pattern)
    except re.error as exc:
        raise ValueError(f"pattern {pattern!r}: {exc}") from exc


def items_check(op: str, limit: Any) -> Check | None:
    if op not in ("min_length", "max_length") or type(limit) is not int:
        return None
    how = ("at least", "too_short") if op == "min_length" else ("at most", "too_long")
    message = f"List should have {how[0]} {limit} item{'' if limit == 1 else 's'} after validation"
    return Check(op, limit, how[1], message + ", not ", {"field_type": "List", op: limit})
