"""Serializers of the application: what the native walk calls by itself, and what pydantic writes in
the middle of it.

A function that gets the value alone, or the object and the value, is called from C, and what it
returns is written by its return type: that is all pydantic does. What gets more (``info``, a
handler) is called by pydantic, for the field alone. See docs/adr/0029.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weft.shapes.core_schema import is_known

__all__ = ["Dump", "Raised", "alone", "is_callable", "takes_anything", "url_class"]

# Schemas whose values another schema inside of them writes.
_AROUND = ("function-before", "function-after", "function-wrap", "default", "nullable")
_FUNCTION_KEYS = {
    "type", "function", "is_field_serializer", "info_arg", "return_schema", "when_used",
}  # fmt: skip


def is_callable(serialization: Mapping[str, Any]) -> str:
    """Why a serializer cannot be called from C; "" if it can."""
    kind = serialization["type"]
    if kind != "function-plain":
        return f"its serializer is {kind}"
    name = getattr(serialization["function"], "__name__", None)
    if not isinstance(name, str):
        return "its serializer has no name"
    if serialization.get("info_arg"):
        return f"{name} gets more than the value"
    if set(serialization) - _FUNCTION_KEYS:
        return f"{name} is called in a way that is not known"
    return ""


def url_class(serialization: Mapping[str, Any]) -> type | None:
    """The class of pydantic's URLs that this is the serializer of, which is str() in JSON."""
    function = serialization.get("function")
    cls = getattr(function, "__self__", None)
    if getattr(function, "__name__", "") != "serialize_url" or not isinstance(cls, type):
        return None
    from pydantic import networks

    known = [
        base.serialize_url.__func__
        for name in ("_BaseUrl", "_BaseMultiHostUrl")
        if (base := getattr(networks, name, None)) is not None
    ]
    same = getattr(function, "__func__", None) in known
    return cls if same and serialization.get("when_used", "always") == "always" else None


def takes_anything(schema: Any, by_ref: Mapping[str, Any]) -> bool:
    """May a member of a union write values that are not its own, since a function does it?"""
    seen: set[str] = set()
    while True:
        serialization = schema.get("serialization")
        if serialization is not None:
            function = serialization.get("function")
            if function is None:
                return bool(serialization["type"] == "to-string")
            return function in (int, float, str) or not is_known(function)
        if schema["type"] == "definition-ref":
            if schema["schema_ref"] in seen or schema["schema_ref"] not in by_ref:
                return False
            seen.add(schema["schema_ref"])
            schema = by_ref[schema["schema_ref"]]
        elif schema["type"] in _AROUND:
            schema = schema["schema"]
        else:
            return bool(schema["type"] == "json")


class Dump:
    """A part of a type, written by pydantic; its serializer is made when it is needed."""

    __slots__ = ("_config", "_schema", "_to_json")

    def __init__(self, schema: Any, config: Any) -> None:
        self._schema = schema
        self._config = config
        self._to_json: Callable[..., bytes] | None = None

    def prepare_part(self) -> None:
        """Of a class that has a serializer already, for all of its fields. TypeError or SchemaError
        where pydantic does not make another."""
        import pydantic_core

        self._to_json = pydantic_core.SchemaSerializer(
            self._schema, self._config, _use_prebuilt=False
        ).to_json

    def __call__(
        self, value: Any, by_alias: bool | None, exclude_unset: bool, exclude_none: bool
    ) -> bytes:
        if self._to_json is None:
            import pydantic_core

            self._to_json = pydantic_core.SchemaSerializer(self._schema, self._config).to_json
        return self._to_json(
            value,
            by_alias=by_alias,
            exclude_unset=exclude_unset,
            exclude_none=exclude_none,
            warnings=False,
        )


class Raised:
    """What pydantic makes of a value whose serializer has raised: mostly an error of its own."""

    __slots__ = ("_config", "_name")

    def __init__(self, name: str, config: Any) -> None:
        self._name = name
        self._config = config

    def __call__(self, value: Any, exc: BaseException) -> bytes:
        import pydantic_core

        def raising(_: Any) -> Any:
            raise exc

        raising.__name__ = self._name  # which the error says
        serialization = {"type": "function-plain", "function": raising}
        serializer = pydantic_core.SchemaSerializer(
            {"type": "any", "serialization": serialization},
            self._config,
        )
        return serializer.to_json(value, warnings=False)


def alone(schema: Any, fields: Any, name: str, field: Any) -> Any:
    """The core schema of a model or dataclass that has no field but one."""
    inner = {key: value for key, value in fields.items() if key not in ("computed_fields", "ref")}
    inner["fields"] = {name: field} if isinstance(fields["fields"], dict) else [field]
    whole = {**schema, "schema": inner}
    whole.pop("ref", None)
    if "fields" in schema:  # a dataclass says them again
        whole["fields"] = [name]
    return whole
