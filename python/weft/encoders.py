"""Objects as what JSON can hold: dicts, lists, text, numbers, booleans and None."""

from __future__ import annotations

import dataclasses
import inspect
import io
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import PurePath
from types import GeneratorType
from typing import Any, NamedTuple

from weft import json
from weft.datastructures import UploadFile

__all__ = ["jsonable_encoder"]

IncEx = set[int] | set[str] | Mapping[int, Any] | Mapping[str, Any]
_LISTS = (list, set, frozenset, tuple, deque, GeneratorType)


class _Options(NamedTuple):
    by_alias: bool
    exclude_unset: bool
    exclude_defaults: bool
    exclude_none: bool
    custom: Mapping[Any, Callable[[Any], Any]]
    sqlalchemy_safe: bool


def jsonable_encoder(
    obj: Any,
    include: IncEx | None = None,
    exclude: IncEx | None = None,
    by_alias: bool = True,
    exclude_unset: bool = False,
    exclude_defaults: bool = False,
    exclude_none: bool = False,
    custom_encoder: Mapping[Any, Callable[[Any], Any]] | None = None,
    sqlalchemy_safe: bool = True,
) -> Any:
    """`obj` as JSON can hold it: what a reply would be once its client has decoded it.

    `include` and `exclude` name fields of it, the next four are pydantic's. `custom_encoder` maps
    types to functions that are asked first, outside of pydantic models. Keys that begin with "_sa",
    SQLAlchemy's own, are left out unless `sqlalchemy_safe` is False. `ValueError` for what JSON has
    no form for.
    """
    options = _Options(
        by_alias,
        exclude_unset,
        exclude_defaults,
        exclude_none,
        custom_encoder or {},
        sqlalchemy_safe,
    )
    return _encoded(obj, _names(include), _names(exclude), options)


def _names(given: Any) -> Any:
    return given if given is None or isinstance(given, (set, dict)) else set(given)


def _encoded(obj: Any, include: Any, exclude: Any, options: _Options) -> Any:
    if (custom := _custom(obj, options.custom)) is not None:
        return custom(obj)
    if isinstance(obj, Enum):
        return obj.value
    if obj is None or isinstance(obj, (str, int, float)):
        return obj
    if isinstance(obj, PurePath):
        return str(obj)
    if callable(dump := getattr(type(obj), "model_dump", None)):
        flags = options._asdict()
        del flags["custom"], flags["sqlalchemy_safe"]
        dumped = dump(obj, mode="json", include=include, exclude=exclude, **flags)
        return _encoded(dumped, None, None, options._replace(custom={}))
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        obj = dataclasses.asdict(obj)
    if isinstance(obj, dict):
        return _fields(obj, include, exclude, options)
    if isinstance(obj, _LISTS):
        return [_encoded(item, include, exclude, options) for item in obj]
    return _other(obj, include, exclude, options)


def _custom(obj: Any, encoders: Mapping[Any, Callable[[Any], Any]]) -> Callable[[Any], Any] | None:
    if not encoders:
        return None
    if type(obj) in encoders:
        return encoders[type(obj)]
    return next((encode for kind, encode in encoders.items() if isinstance(obj, kind)), None)


def _fields(obj: dict[Any, Any], include: Any, exclude: Any, options: _Options) -> dict[Any, Any]:
    def wanted(key: Any, value: Any) -> bool:
        return (
            (include is None or key in include)
            and (exclude is None or key not in exclude)
            and not (value is None and options.exclude_none)
            and not (options.sqlalchemy_safe and isinstance(key, str) and key.startswith("_sa"))
        )

    return {
        _encoded(key, None, None, options): _encoded(value, None, None, options)
        for key, value in obj.items()
        if wanted(key, value)
    }


def _other(obj: Any, include: Any, exclude: Any, options: _Options) -> Any:
    """Dates, numbers, addresses and the like as `weft.json` writes them; else its attributes."""
    failure: Exception | None = None
    known = None
    try:
        known = json.decode(json.encode(obj))
        if not isinstance(known, (dict, list)):
            return known
    except (json.EncodeError, TypeError) as exc:
        failure = exc
    try:
        return _encoded(_looked_at(obj), include, exclude, options)
    except TypeError:
        if failure is not None:
            raise ValueError(f"{type(obj).__name__} has no form in JSON") from failure
    return known


def _looked_at(obj: Any) -> dict[Any, Any]:
    try:
        return dict(obj)
    except (TypeError, ValueError):
        return dict(vars(obj))


def attributes(obj: Any) -> dict[Any, Any]:
    """What a reply has of an object without a form in JSON: its items, or else its attributes, but
    none of SQLAlchemy's own. `TypeError` where it has neither, for files, and for functions and
    classes, which somebody has forgotten to call."""
    try:
        if inspect.isroutine(obj) or isinstance(obj, type | io.IOBase | UploadFile):
            raise TypeError
        found = _looked_at(obj)
    except TypeError:
        raise TypeError(f"{type(obj).__name__} has no form in JSON") from None
    return {k: v for k, v in found.items() if not (isinstance(k, str) and k.startswith("_sa"))}
