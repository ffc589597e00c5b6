"""Validators of the application that the native walk calls, each once, whatever comes of it.

The walk puts them off until all else is known to be valid, calls them in pydantic's order and keeps
what each returned or raised: the tape. If one raises, pydantic is asked from the start, over a copy
of the schema whose functions play the tape first and call nobody until it has ended. So the errors
are pydantic's, and no function is called twice. See docs/adr/0028.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Part", "Recorded", "Unrecordable"]

Outcome = tuple[bool, Any]  # did it raise; what it returned or raised

# What holds a function to be called while validating.
_FUNCTIONS = ("default_factory", "discriminator", "missing")
# What calls methods of a class by itself.
_BY_CLASS = ("model", "dataclass")


class Unrecordable(Exception):
    """Something calls code of the application in a way that cannot be recorded."""


class _Tape(threading.local):
    made: list[Outcome] | None = None  # what is recorded now
    left: list[Outcome] | None = None  # what is played now, the next one last


class Recorded:
    """A core schema whose functions of the application are recorded and played."""

    def __init__(
        self,
        definitions: list[Any],
        is_known: Callable[[Any], bool],
        called_after: Callable[[Any], Callable[[Any], Any] | None],
        from_attributes: bool | None,
    ) -> None:
        self._tape = _Tape()
        self._definitions = definitions
        self._copied: list[Any] | None = None
        self._is_known = is_known
        self._called_after = called_after
        self._from_attributes = from_attributes
        self._schema: Any = None
        self._config: Any = None
        self._validator: Any = None

    def whole(self, schema: Any, config: Mapping[str, Any]) -> None:
        """What `__call__` validates. `Unrecordable` where that cannot be."""
        self._schema, self._config = self._copy(schema), dict(config)
        self._with_definitions(self._schema)

    def __call__(self, value: Any, tape: list[Outcome]) -> Any:
        """What pydantic makes of a value, with the calls that were made already on the tape."""
        if self._validator is None:
            self._validator = self._make(self._schema, self._config)
        left = self._tape.left
        self._tape.left = tape[::-1]
        try:
            return self._validator.validate_python(value, from_attributes=self._from_attributes)
        finally:
            self._tape.left = left

    def part(self, schema: Any, config: Mapping[str, Any], name: str, before: list[str]) -> Part:
        """A field's, which runs code of the application. `Unrecordable`, as `whole`."""
        copied = self._copy(schema)
        options = (
            {} if self._from_attributes is None else {"from_attributes": self._from_attributes}
        )
        if not _takes_info(schema) and not _takes_info(self._definitions):
            validator = self._make(copied, config)
            return Part(self._tape, validator.validate_python, name, None, options)
        field = {"type": "model-field", "schema": copied}
        validator = self._make({"type": "model-fields", "fields": {name: field}}, config)
        return Part(self._tape, validator.validate_assignment, name, before, options)

    def _make(self, schema: Any, config: Mapping[str, Any]) -> Any:
        import pydantic_core

        try:
            return pydantic_core.SchemaValidator(
                self._with_definitions(schema),
                dict(config) or None,  # type: ignore[arg-type]
                _use_prebuilt=False,
            )
        except (pydantic_core.SchemaError, TypeError) as exc:  # TypeError: another pydantic-core
            raise Unrecordable(f"pydantic makes no validator of it: {exc}") from None

    def _with_definitions(self, schema: Any) -> Any:
        if not self._definitions:
            return schema
        if self._copied is None:
            self._copied = [self._copy(definition) for definition in self._definitions]
        return {"type": "definitions", "schema": schema, "definitions": self._copied}

    def _copy(self, schema: Any) -> Any:
        if isinstance(schema, list):
            return [self._copy(part) for part in schema]
        if isinstance(schema, tuple):
            return tuple(self._copy(part) for part in schema)
        if not isinstance(schema, dict):
            return schema
        kind = schema.get("type")
        if kind in _BY_CLASS:
            return self._copy_made(schema)
        if kind == "union" and self._names_made(schema, set()):
            raise Unrecordable("a union with what runs code after it is made")
        if kind in ("generator", "call", "arguments", "arguments-v3"):
            raise Unrecordable(f"pydantic's {kind} may call it later")
        return self._copy_keys(schema)

    def _copy_made(self, schema: Any) -> Any:
        """Of a model or dataclass: what it calls by a name is called by a function instead."""
        name = schema["cls"].__name__
        if schema.get("custom_init"):
            raise Unrecordable(f"{name} has an __init__ of its own")
        after = self._called_after(schema)
        if after is None:
            return self._copy_keys(schema)
        fields = schema["schema"].get("fields", ())
        if any(field.get("init_only") for field in fields if isinstance(field, dict)):
            raise Unrecordable(f"{name} has more than its fields")
        inner = {key: value for key, value in schema.items() if key not in ("post_init", "ref")}
        copied = {
            "type": "function-after",
            "function": {"type": "no-info", "function": self._played(after)},
            "schema": self._copy_keys(inner),
        }
        return {**copied, "ref": schema["ref"]} if "ref" in schema else copied

    def _names_made(self, schema: Any, seen: set[str]) -> bool:
        """Is there a copy with another name in it? Errors of unions say the names of members."""
        if isinstance(schema, (list, tuple)):
            return any(self._names_made(part, seen) for part in schema)
        if not isinstance(schema, dict):
            return False
        ref = schema.get("schema_ref")
        if ref is not None and ref not in seen:
            seen.add(ref)
            if self._names_made([d for d in self._definitions if d["ref"] == ref], seen):
                return True
        if schema.get("type") in _BY_CLASS and self._called_after(schema) is not None:
            return True
        return any(
            self._names_made(value, seen)
            for key, value in schema.items()
            if key not in ("serialization", "metadata", "default", "config")
        )

    def _copy_keys(self, schema: Any) -> Any:
        copied: dict[str, Any] = {}
        for key, value in schema.items():
            if key in ("serialization", "metadata", "cls", "computed_fields", "default", "config"):
                copied[key] = value
            elif key == "function" and isinstance(value, dict):
                copied[key] = {**value, "function": self._played(value["function"])}
            elif key in _FUNCTIONS and callable(value):
                copied[key] = self._played(value)
            else:
                copied[key] = self._copy(value)
        return copied

    def _played(self, function: Any) -> Any:
        if self._is_known(function):
            return function
        if not isinstance(getattr(function, "__name__", None), str):
            raise Unrecordable(f"{function!r} has no name")
        tape = self._tape

        def played(*args: Any) -> Any:
            if tape.left:
                raised, outcome = tape.left.pop()
                if raised:
                    raise outcome
                return outcome
            made = tape.made
            if made is None:
                return function(*args)
            tape.made = None  # what it calls in turn is part of what it returns
            try:
                outcome = function(*args)
            except BaseException as exc:
                made.append((True, exc))
                raise
            finally:
                tape.made = made
            made.append((False, outcome))
            return outcome

        played.__name__ = function.__name__  # as errors in unions say it
        return played


class Part:
    """What validates one field of an object whose other fields are read in C.

    Called with the input and the dict of the object's fields, of which validators see those before.
    Returns whether it raised, what it returned or raised, and what was called on the way.
    """

    __slots__ = ("_before", "_name", "_options", "_tape", "_validate")

    def __init__(
        self, tape: _Tape, validate: Any, name: str, before: list[str] | None, options: Any
    ) -> None:
        self._tape = tape
        self._validate = validate
        self._name = name
        self._before = before
        self._options = options

    def __call__(self, value: Any, holder: dict[str, Any]) -> tuple[bool, Any, list[Outcome]]:
        tape, calls = self._tape, list[Outcome]()
        made, tape.made = tape.made, calls
        try:
            if self._before is None:
                return False, self._validate(value, **self._options), calls
            data = {name: holder[name] for name in self._before if name in holder}
            fields = self._validate(data, self._name, value, **self._options)[0]
            return False, fields[self._name], calls
        except BaseException as exc:
            return True, exc, calls
        finally:
            tape.made = made


def _takes_info(schema: Any) -> bool:
    if isinstance(schema, (list, tuple)):
        return any(map(_takes_info, schema))
    if not isinstance(schema, dict):
        return False
    return (
        schema.get("type") == "with-info"
        or bool(schema.get("default_factory_takes_data"))
        or any(map(_takes_info, schema.values()))
    )
