"""JSON Schema (2020-12) of a shape: the walker that reads a type's description, not its values.

What pydantic judges it also describes. Everything else is described here, in the form that pydantic
gives it, so that it does not show who did.
"""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import pathlib
import re
import uuid
from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from weft import json
from weft.shapes.nodes import Field, Node
from weft.shapes.objectid import PATTERN

if TYPE_CHECKING:
    from pydantic.json_schema import GenerateJsonSchema

__all__ = ["SchemaError", "Walk", "describe", "generator_class", "options"]

Schema = dict[str, Any]
Mode = Literal["validation", "serialization"]

_SCALARS: dict[str, Schema] = {
    "any": {},
    "raw": {},
    "none": {"type": "null"},
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "datetime": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "timedelta": {"type": "string", "format": "duration"},
    "uuid": {"type": "string", "format": "uuid"},
    "objectid": {"type": "string", "pattern": PATTERN},
    "decimal": {"type": "string"},
}
_TEXT = (
    (pathlib.PurePath, "path"),
    (uuid.UUID, "uuid"),
    (ipaddress.IPv4Address, "ipv4"),
    (ipaddress.IPv6Address, "ipv6"),
    (ipaddress.IPv4Network, "ipv4network"),
    (ipaddress.IPv6Network, "ipv6network"),
    (ipaddress.IPv4Interface, "ipv4interface"),
    (ipaddress.IPv6Interface, "ipv6interface"),
)
_ARRAYS = ("list", "vartuple", "set", "frozenset", "deque", "tuple")
_NUMBERS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
_LIMITS = (*_NUMBERS, "min_length", "max_length", "pattern")


class SchemaError(TypeError):
    """No JSON Schema can be made: of a type, or without a library it takes."""


def describe(root: Node, mode: Mode = "validation", ref: str = "#/$defs/{}") -> Schema:
    """The schema of a description; what it refers to is in its `$defs`.

    `ref` is the form of a reference to a definition. `SchemaError` for a type that has no schema.
    """
    walk = Walk(mode, ref)
    schema = walk.schema(root)
    definitions = walk.definitions
    name = walk.names.get(_class_of(root))
    if name is not None and not walk.is_referred_to(name, but_not_by=schema):
        schema = definitions.pop(name)
    return {**({"$defs": definitions} if definitions else {}), **schema}


class Walk:
    """Schemas of several descriptions that share their definitions.

    `judged` has the schemas, made already, of what pydantic reads, by the id of the annotation, and
    `taken` names of definitions that are others'.
    """

    def __init__(
        self,
        mode: Mode,
        ref: str,
        judged: Mapping[int, Schema] | None = None,
        taken: Container[str] = (),
    ) -> None:
        self.mode = mode
        self.ref = ref
        self.judged = judged or {}
        self.taken = taken
        self.definitions: dict[str, Schema] = {}
        self.names: dict[tuple[Any, str], str] = {}

    def is_referred_to(self, name: str, but_not_by: Schema) -> bool:
        wanted = self.ref.format(name)
        return any(refers(definition, wanted) for definition in self.definitions.values())

    def schema(self, node: Node) -> Schema:
        return {**self._bare(node), **options(node, node.options)}

    def _bare(self, node: Node) -> Schema:
        if node.judge is not None or node.kind == "handed":
            return self._judged(node)
        if node.kind in _SCALARS:
            return {**self._scalar(node), **_checks(node)}
        if node.kind in _ARRAYS:
            return {**self._array(node), **_checks(node)}
        match node.kind:
            case "bytes":
                encoding = {"contentEncoding": "base64"} if node.base64 else {}
                media = {"contentMediaType": "application/octet-stream"}
                return {"type": "string", **media, **encoding, **_checks(node)}
            case "text":
                formats = [name for cls, name in _TEXT if issubclass(node.type, cls)]
                return {"type": "string", **({"format": formats[0]} if formats else {})}
            case "choice":
                return self._choice(node)
            case "dict":
                value = self.schema(node.items[1])
                return {"type": "object", "additionalProperties": value or True, **_checks(node)}
            case "union":
                return {"anyOf": [self.schema(item) for item in node.items]}
            case "tagged":
                return self._tagged(node)
            case "object":
                return self._object(node)
        raise SchemaError(f"{node.label} has no JSON Schema")

    def _scalar(self, node: Node) -> Schema:
        if node.kind == "decimal" and self.mode == "validation":
            return {"anyOf": [{"type": "number"}, _SCALARS["decimal"]]}
        return _SCALARS[node.kind]

    def _array(self, node: Node) -> Schema:
        if node.kind == "tuple":
            n = len(node.items)
            items = {"prefixItems": [self.schema(item) for item in node.items]} if n else {}
            return {"type": "array", "minItems": n, "maxItems": n, **items}
        unique = {"uniqueItems": True} if node.kind in ("set", "frozenset") else {}
        return {"type": "array", "items": self.schema(node.items[0]), **unique}

    def _choice(self, node: Node) -> Schema:
        values = [value for value, _ in node.choices]
        kinds = {"string" if isinstance(value, str) else "integer" for value in values}
        kind = {"type": kinds.pop()} if len(kinds) == 1 else {}
        if node.type is None:  # a Literal
            return {**({"const": values[0]} if len(values) == 1 else {"enum": values}), **kind}
        title = node.type.__name__
        return self._defined(node, title, lambda: {"enum": values, "title": title, **kind})

    def _tagged(self, node: Node) -> Schema:
        found = [self.schema(item) for item in node.items]
        mapping = {
            str(value): item["$ref"]
            for (value, _), item in zip(node.choices, found, strict=True)
            if "$ref" in item
        }
        unique = [item for n, item in enumerate(found) if item not in found[:n]]
        if node.array:  # a discriminator is a property, which arrays have none of
            return {"anyOf": unique}
        discriminator = {"propertyName": node.key, "mapping": mapping}
        return {"discriminator": discriminator, "oneOf": unique}

    def _object(self, node: Node) -> Schema:
        def made() -> Schema:
            return self._sequence(node) if node.array else self._properties(node)

        return self._defined(node, re.sub(r"[^\w.-]", "_", node.label), made)

    def _sequence(self, node: Node) -> Schema:
        items = [self._property(f, node) for f in node.fields]
        if node.tag is not None:
            items.insert(0, {"const": node.tag[1]})
        required = [f for f in node.fields if f.default_kind == "required"]
        bounds: Schema = {"minItems": len(items) - len(node.fields) + len(required)}
        if node.extra == "forbid":
            bounds["maxItems"] = len(items)
        return {"type": "array", "prefixItems": items, **bounds}

    def _properties(self, node: Node) -> Schema:
        properties = {f.out_key or f.keys[0]: self._property(f, node) for f in node.fields}
        required = [f.keys[0] for f in node.fields if f.default_kind == "required"]
        if node.tag is not None:
            key, value = node.tag
            properties = {key: {"const": value, "title": _title(key)}, **properties}
            required.insert(0, key)
        schema: Schema = {"type": "object", "title": node.type.__name__, "properties": properties}
        doc = node.type.__doc__
        if doc and not _is_generated(node.type):
            schema["description"] = _cleaned(doc)
        if required:
            schema["required"] = required
        if node.extra == "forbid":
            schema["additionalProperties"] = False
        return schema

    def _property(self, field: Field, of: Node) -> Schema:
        schema = dict(self.schema(field.node))
        if _takes_title(field.node):
            schema.setdefault("title", _title(field.out_key or field.keys[0]))
        empty: dict[str, Any] = {"list": [], "dict": {}, "set": []}
        if field.default_kind in ("value", "copy"):
            schema |= _default(field.default)
        elif field.default_kind in empty and of.make == "struct":
            schema["default"] = empty[
                field.default_kind
            ]  # of others a factory's, which is not said
        return schema

    def _defined(self, node: Node, name: str, make: Any) -> Schema:
        """A reference to a definition, which is made where there is none yet."""
        of = _class_of(node)
        if of not in self.names:
            if name in self.definitions or name in self.taken:
                place = f"{node.type.__module__}.{node.type.__qualname__}"
                name = re.sub(r"[^\w-]", "__", place)
            self.names[of] = name
            self.definitions[name] = {}  # its name is taken while what is in it is described
            self.definitions[name] = make()
        return {"$ref": self.ref.format(self.names[of])}

    def _judged(self, node: Node) -> Schema:
        annotation = node.annotation
        if annotation is None:
            raise SchemaError(f"{node.label} has no JSON Schema: {node.why}")
        if id(annotation) in self.judged:
            return self.judged[id(annotation)]
        from weft.shapes.core_schema import adapter_of

        template = self.ref.replace("{}", "{model}")
        adapter = adapter_of(annotation, node.label)
        try:
            schema: Schema = adapter.json_schema(
                mode=self.mode, ref_template=template, schema_generator=generator_class()
            )
        except Exception as exc:
            if type(exc).__name__ != "PydanticInvalidForJsonSchema":
                raise
            raise SchemaError(str(exc)) from exc
        for name, definition in schema.pop("$defs", {}).items():
            self.definitions.setdefault(name, definition)
        return schema


def generator_class() -> type[GenerateJsonSchema]:
    """pydantic's, with bytes as OpenAPI 3.1 has them."""
    from pydantic.json_schema import GenerateJsonSchema as Base
    from pydantic_core import PydanticSerializationError

    class Generator(Base):
        def encode_default(self, dft: Any) -> Any:
            """One that JSON cannot hold, like nan, is left out, as pydantic does with objects."""
            encoded = super().encode_default(dft)
            try:
                json.encode(encoded)
            except json.EncodeError as exc:
                raise PydanticSerializationError(str(exc)) from exc
            return encoded

        def bytes_schema(self, schema: Any) -> Schema:
            """Bytes by what OpenAPI 3.1 says of them, in place of 3.0's `format: binary`."""
            json_schema: Schema = {
                "type": "string",
                "contentMediaType": "application/octet-stream",
            }
            config = self._config
            mode = config.ser_json_bytes if self.mode == "serialization" else config.val_json_bytes
            if mode == "base64":
                json_schema["contentEncoding"] = "base64"
            self.update_with_validations(json_schema, schema, self.ValidationsMapping.bytes)
            return json_schema

    return Generator


def options(node: Node, given: Mapping[str, Any]) -> Schema:
    """What the options of a parameter add to its schema."""
    found = {
        key: given[key]
        for key in ("title", "description", "examples", "deprecated")
        if key in given
    }
    checks = [(op, limit) for op, limit in given.items() if op in _LIMITS and limit is not None]
    found |= _limits(node, checks)
    if "default" in given:
        found |= _default(given["default"])
    extra = given.get("json_schema_extra")
    return {**found, **extra} if isinstance(extra, Mapping) else found


def _default(value: Any) -> Schema:
    """What is said of a default: nothing where JSON cannot hold it, as it cannot nan."""
    typed = type(value) if isinstance(value, decimal.Decimal | datetime.timedelta) else None
    try:
        text = json.encode(value, type=typed) if typed else json.encode(value, default=str)
        return {"default": json.decode(text)}
    except json.EncodeError:
        return {}


def _class_of(node: Node) -> tuple[Any, str]:
    """What has one definition, however often it is described: a class, with its parameters."""
    return node.type, node.label


def _checks(node: Node) -> Schema:
    return _limits(node, node.checks)


def _limits(node: Node, checks: Iterable[tuple[str, Any]]) -> Schema:
    found: Schema = {}
    for op, limit in checks:
        if op in _NUMBERS:
            found[_NUMBERS[op]] = limit if isinstance(limit, int | float) else str(limit)
        elif op in ("min_length", "max_length"):
            what = "Items" if node.kind in _ARRAYS else "Length"
            what = "Properties" if node.kind == "dict" else what
            found[op[:3] + what] = limit
        elif op == "pattern":
            pattern = getattr(limit, "__self__", limit)
            found["pattern"] = getattr(pattern, "pattern", pattern)
    return found


def _takes_title(node: Node) -> bool:
    """Does a field of it get a title? Classes have one of their own."""
    if node.kind == "union":
        members = [item for item in node.items if item.kind != "none"]
        return len(members) != 1 or _takes_title(members[0])
    return node.kind != "object" and not (node.kind == "choice" and node.type is not None)


def refers(schema: Any, wanted: str) -> bool:
    """Is there a reference of this text in it?"""
    if isinstance(schema, dict):
        return schema.get("$ref") == wanted or any(refers(v, wanted) for v in schema.values())
    return isinstance(schema, list) and any(refers(item, wanted) for item in schema)


def _title(name: str) -> str:
    return name.title().replace("_", " ").strip()


def _cleaned(doc: str) -> str:
    import inspect

    return inspect.cleandoc(doc)


def _is_generated(cls: type) -> bool:
    """Is its docstring the signature that dataclass and NamedTuple write?"""
    return bool(re.match(rf"{re.escape(cls.__name__)}\(", cls.__doc__ or ""))
