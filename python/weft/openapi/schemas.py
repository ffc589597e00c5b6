"""The JSON Schemas of an OpenAPI document: one for each value a request or reply holds.

All of a document's values are generated together, since what two of them share stands once, under
`components`, and classes of the same name have to be told apart there. pydantic generates them:
what it says of its models and of plain Python types is what FastAPI's users see.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, get_args, get_origin

from weft.shapes.compiled import describe
from weft.shapes.json_schema import (
    Mode,
    Schema,
    SchemaError,
    Walk,
    generator_class,
    options,
    refers,
)
from weft.shapes.nodes import Node, type_name
from weft.shapes.objectid import readable

__all__ = ["REF", "Schema", "SchemaError", "Schemas", "Value", "merge"]

REF = "#/components/schemas/"


@dataclass(eq=False, slots=True)
class Value:
    """Something that needs a schema.

    `options` are those of `pydantic.Field` (title, description, constraints, default, ...);
    `name` gives the title of a schema that has none of its own, `where` is the route it is of.
    """

    annotation: Any
    mode: Mode
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    metadata: tuple[Any, ...] = ()
    where: str = ""


class Schemas:
    """The schemas of all `values`; `definitions` is what they refer to, by name.

    With `separate` false, a model has one schema for input and output (the input's), unless it has
    computed fields. `SchemaError` when a type has no JSON Schema.
    """

    def __init__(self, values: Iterable[Value], *, separate: bool = True) -> None:
        values = list(values)
        self._found: dict[Value, Schema] = {}
        self.definitions: dict[str, Schema] = {}
        try:
            import pydantic
        except ImportError:
            self._describe([(value, _node(value)) for value in values], separate, {})
        else:
            self._generate(pydantic, values, separate)

    def _describe(
        self,
        described: Iterable[tuple[Value, Node]],
        separate: bool,
        judged: Mapping[Mode, Mapping[int, Schema]],
    ) -> None:
        """By the shapes of the types: what pydantic does not know, or all where it is not."""
        taken = self.definitions

        def walk(mode: Mode) -> Walk:
            return Walk(mode, REF + "{}", judged.get(mode), taken)

        walks = {"validation": walk("validation")}
        walks["serialization"] = walk("serialization") if separate else walks["validation"]
        for value, node in described:
            schema = walks[value.mode].schema(node)
            self._found[value] = {**schema, **options(node, value.options)}
        inputs, outputs = walks["validation"].definitions, walks["serialization"].definitions
        for name in _different(inputs, outputs):
            for mode, suffix, definitions in (
                ("validation", "-Input", inputs),
                ("serialization", "-Output", outputs),
            ):
                definitions[name + suffix] = definitions.pop(name)
                found = [schema for value, schema in self._found.items() if value.mode == mode]
                for schema in (*definitions.values(), *found):
                    _refer(schema, REF + name, REF + name + suffix)
        self.definitions = dict(sorted({**taken, **outputs, **inputs}.items()))

    def _generate(self, pydantic: Any, values: list[Value], separate: bool) -> None:
        inputs = []
        modes: dict[int, Mode] = {}
        described: list[tuple[Value, Node]] = []
        with warnings.catch_warnings():
            _ignore_unused_options()
            for value in values:
                adapter = _adapter(pydantic, value)
                if adapter is None:
                    described.append((value, _node(value)))
                    continue
                mode = value.mode
                if not separate and not _has_computed_fields(value.annotation, adapter):
                    mode = "validation"
                modes[id(value)] = mode
                inputs.append((value, mode, adapter.core_schema))
            handed = list(_handed(described, separate))
            nested = [value for value in values if id(value) in modes]
            for model, mode in _nested([*nested, *handed], separate):
                handed.append(Value(model, mode, model.__name__))
            for value in handed:
                inputs.append((value, value.mode, _adapter(pydantic, value).core_schema))
            generator = generator_class()(ref_template=REF + "{model}")
            try:
                found, definitions = generator.generate_definitions(inputs)
            except pydantic.errors.PydanticInvalidForJsonSchema as exc:
                for one in inputs:  # which of them it is
                    try:
                        generator_class()().generate_definitions([one])
                    except pydantic.errors.PydanticInvalidForJsonSchema as own:
                        raise _error(one[0], own) from own
                raise SchemaError(str(exc)) from exc
        self._found = {value: dict(found[value, modes[id(value)]]) for value in nested}
        self.definitions = {str(k): v for k, v in definitions.items()}
        judged: dict[Mode, dict[int, Schema]] = {"validation": {}, "serialization": {}}
        for value in handed:
            judged[value.mode][id(value.annotation)] = found[value, value.mode]
        if described:
            self._describe(described, separate, judged)
        for definition in self.definitions.values():
            if "description" in definition:  # of a docstring, up to a form feed
                definition["description"] = definition["description"].split("\f")[0]

    def of(self, value: Value) -> Schema:
        """The schema of one of the values: a reference, or a schema with a title."""
        schema = dict(self._found[value])
        if "$ref" not in schema:
            title = value.options.get("title")
            schema["title"] = title or value.name.title().replace("_", " ")
        return schema


def _different(inputs: dict[str, Schema], outputs: dict[str, Schema]) -> list[str]:
    """The definitions that say another thing of input than of output, or refer to such a one."""
    both = inputs.keys() & outputs.keys()
    different = {name for name in both if inputs[name] != outputs[name]}
    while more := {
        name
        for name in both - different
        if any(refers(inputs[name], REF + other) for other in different)
    }:
        different |= more
    return sorted(different)


def _refer(schema: Any, old: str, new: str) -> None:
    """Has every reference to `old` refer to `new`, also those of discriminators."""
    items = schema.items() if isinstance(schema, dict) else enumerate(schema)
    for key, value in list(items):
        if value == old and isinstance(value, str):
            schema[key] = new
        elif isinstance(value, dict | list):
            _refer(value, old, new)


def _ignore_unused_options() -> None:
    import pydantic.warnings

    if hasattr(pydantic.warnings, "UnsupportedFieldAttributeWarning"):
        warnings.simplefilter("ignore", pydantic.warnings.UnsupportedFieldAttributeWarning)


def _adapter(pydantic: Any, value: Value) -> Any:
    """pydantic's of a value; None where it does not know the type."""
    extra = [*value.metadata, pydantic.Field(**value.options)]
    try:
        adapter = pydantic.TypeAdapter(Annotated[(readable(value.annotation), *extra)])
        adapter.rebuild()
    except NameError as exc:  # one that cannot be resolved
        raise _error(value, exc) from exc
    except pydantic.errors.PydanticUserError:
        return None
    return adapter


def _node(value: Value) -> Node:
    try:
        return describe(value.annotation)
    except TypeError as exc:
        raise _error(value, exc) from exc


def _handed(described: Iterable[tuple[Value, Node]], separate: bool) -> Iterator[Value]:
    """What pydantic reads in what it does not know itself, each once a mode."""
    seen: set[tuple[int, Mode]] = set()
    for value, node in described:
        mode = value.mode if separate else "validation"
        for part in node.walk():
            key = (id(part.annotation), mode)
            if part.annotation is not None and key not in seen:
                seen.add(key)
                yield Value(part.annotation, mode, type_name(part.annotation))


def _error(value: Value, exc: Exception) -> SchemaError:
    """Which type of which route has no schema; pydantic's reason without what it says of fixing
    one's own code by hooks."""
    reason = str(exc).partition("\n")[0].partition(" Set `arbitrary_types_allowed")[0]
    where = f"{value.where}: " if value.where else ""
    return SchemaError(f"{where}{value.annotation!r} has no JSON Schema: {reason}")


def _has_computed_fields(annotation: Any, adapter: Any) -> bool:
    if (adapter.core_schema.get("schema") or {}).get("computed_fields"):
        return True
    return any(getattr(m, "model_computed_fields", None) for m in _models_in(annotation, set()))


def _nested(values: list[Value], separate: bool) -> Iterable[tuple[type, Mode]]:
    """Models and enums inside the values, each once a mode: all of them get a definition."""
    top = {id(value.annotation) for value in values}
    for mode in ("validation", "serialization"):
        seen: set[type] = set()
        for value in values:
            if value.mode == mode:
                _models_in(value.annotation, seen)
        for model in sorted(seen, key=lambda m: (m.__module__, m.__qualname__)):
            if id(model) not in top:
                as_input = not separate and not getattr(model, "model_computed_fields", None)
                yield model, "validation" if as_input else mode


def _models_in(annotation: Any, seen: set[type]) -> set[type]:
    """Adds the pydantic models and enums of an annotation, and of their fields."""
    pydantic = sys.modules["pydantic"]
    if inspect.isclass(annotation) and issubclass(annotation, (pydantic.BaseModel, Enum)):
        if annotation not in seen:
            seen.add(annotation)
            for info in getattr(annotation, "model_fields", {}).values():
                _models_in(info.annotation, seen)
    elif get_origin(annotation) is not None:
        for arg in get_args(annotation):
            _models_in(arg, seen)
    return seen


def merge(into: dict[str, Any], update: Mapping[str, Any]) -> None:
    """Updates `into`, and the dicts and lists in it likewise."""
    for key, value in update.items():
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merge(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            into[key] = old + value
        else:
            into[key] = value
