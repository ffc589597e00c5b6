"""Scalars of pydantic's core schema."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Mapping
from typing import Any

from weft.shapes.annotations import is_object_id
from weft.shapes.core_schema import Unproved, lax, lengths, only, pattern_of, plain
from weft.shapes.nodes import Node

__all__ = ["Scalars"]

_BOUNDS = ("multiple_of", "le", "lt", "ge", "gt")


class Scalars:
    """A method for each type of schema, by its name. Each raises `Unproved` where that is so."""

    def _any(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema)
        return Node("any", label="any")

    def _none(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema)
        return Node("none", label="null")

    def _bool(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "strict")
        return Node("bool", label="bool", strict=bool(schema.get("strict")))

    def _int(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "strict", *_BOUNDS)
        checks = [(op, schema[op]) for op in _BOUNDS if op in schema]
        if not all(type(limit) is int for _, limit in checks) or schema.get("multiple_of") == 0:
            raise Unproved("limits of an int that are no int")
        return Node("int", label="int", checks=checks, strict=bool(schema.get("strict")))

    def _float(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        # An int is a float to pydantic also where it is strict; all else it judges itself.
        only(schema, "allow_inf_nan", "strict", *_BOUNDS)
        lax(config)
        checks = [(op, schema[op]) for op in _BOUNDS if op in schema]
        if not all(type(limit) in (int, float) for _, limit in checks):
            raise Unproved("limits of a float that are no numbers")
        if "multiple_of" in schema:
            raise Unproved("a float that is a multiple of something")
        return Node("float", label="float", checks=checks, strict=bool(schema.get("strict")))

    def _str(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "strict", "min_length", "max_length", "pattern", "coerce_numbers_to_str")
        checks = lengths(schema)
        if "pattern" in schema:
            checks.append(("pattern", pattern_of(schema["pattern"])))
        return Node("str", label="str", checks=checks)

    def _bytes(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "min_length", "max_length")
        lax(config)
        return Node("bytes", type=bytes, label="bytes", checks=lengths(schema))

    def _date(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        return self._time_of("date", datetime.date, schema, config)

    def _time(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        return self._time_of("time", datetime.time, schema, config)

    def _datetime(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        return self._time_of("datetime", datetime.datetime, schema, config)

    def _timedelta(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        return self._time_of("timedelta", datetime.timedelta, schema, config)

    def _time_of(self, kind: str, cls: type, schema: Any, config: Mapping[str, Any]) -> Node:
        only(schema, "microseconds_precision")
        lax(config)
        if schema.get("microseconds_precision", "truncate") != "truncate":
            raise Unproved("microseconds are not truncated")
        return Node(kind, type=cls, label=kind)

    def _uuid(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema)
        lax(config)
        return Node("uuid", type=uuid.UUID, label="UUID")

    def _is_instance(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        """An ObjectId under arbitrary_types_allowed: BSON has it, JSON never has."""
        only(schema, "cls", "cls_repr")
        if not is_object_id(schema["cls"]):
            raise Unproved(f"an instance of {schema['cls']!r}")
        return Node("objectid", type=schema["cls"], label="ObjectId")

    def _decimal(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema)
        lax(config)
        return Node("decimal", type=decimal.Decimal, label="Decimal")

    def _enum(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "cls", "members", "sub_type", "missing")
        lax(config)
        node = Node("choice", type=schema["cls"], label=schema["cls"].__name__)
        for member in schema["members"]:
            if schema.get("sub_type") == "float" or type(member.value) not in (str, int):
                raise Unproved("an enum whose values are neither str nor int")
            node.choices.append((plain(member.value), member))
        return node

    def _literal(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "expected", "strict")
        values = schema["expected"]
        if not all(type(value) in (str, int) for value in values):
            raise Unproved("a literal of something else than str and int")
        label = f"Literal[{', '.join(map(repr, values))}]"
        return Node("choice", label=label, choices=[(value, value) for value in values])
