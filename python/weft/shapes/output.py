"""What is written of a type: the description of a shape for the walkers of output.

Outside of pydantic the measure is msgspec: names, tags, order and what is left out are as
``msgspec.json.encode`` has them. For pydantic it is ``model_dump_json``: what its serializer would
not simply write is handed over to it, each part by itself.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from weft.shapes import objectid
from weft.shapes import pydantic as _pydantic
from weft.shapes.annotations import (
    Reader,
    _flatten,
    _has_new,
    _hints,
    _is_descriptor,
    _is_slot,
    loaded,
)
from weft.shapes.core_schema import Unproved, adapter_of
from weft.shapes.nodes import Field, Node, type_name
from weft.shapes.serializers import Dump, Raised, alone, is_callable, takes_anything, url_class

__all__ = ["describe", "describe_pydantic"]


def describe(annotation: Any, is_judged: Callable[[Any], bool], has_default: bool = False) -> Node:
    """The description of what is written of a type. TypeError where neither weft nor pydantic can
    read it, and there is no default to write it."""
    if is_judged(annotation):
        return _island(annotation)
    return _Reader(_island, has_default).read(annotation)


def _island(annotation: Any) -> Node:
    return describe_pydantic(adapter_of(annotation, type_name(annotation)))


# ---- outside of pydantic ----


class _Reader(Reader):
    def __init__(self, island: Callable[[Any], Node], has_default: bool) -> None:
        super().__init__(island)
        self._has_default = has_default

    def _hooked(self, annotation: Any, cls: type) -> Node | None:
        if not self._has_default:
            return None
        anything = Node("any", label="any", output=True)
        return Node("hook", type=cls, label=type_name(annotation), items=[anything])

    def read(self, annotation: Any, variables: Mapping[Any, Any] | None = None) -> Node:
        node = super().read(annotation, variables)
        node.output = True
        for member in node.items:  # a Literal makes its own
            member.output = True
        return node

    def _annotated(self, annotation: Any, variables: Mapping[Any, Any]) -> Node:
        return self.read(typing.get_args(annotation)[0], variables)  # constraints are of input

    def _union(self, annotation: Any, variables: Mapping[Any, Any]) -> Node:
        """Values know their types: members need not be told apart by their JSON."""
        unset = loaded("msgspec", "UnsetType")
        node = Node("union", label=type_name(annotation))
        for arg in _flatten(typing.get_args(annotation)):
            if unset is None or arg is not unset:
                member = self.read(arg, variables)
                node.items += member.items if member.kind == "union" else [member]
        anything = [member for member in node.items if member.kind == "any"]
        return (anything or node.items)[0] if anything or len(node.items) == 1 else node

    def _dataclass(self, node: Node, cls: Any, variables: Mapping[Any, Any]) -> None:
        self._attributes(node, cls, [f.name for f in dataclasses.fields(cls)], variables)

    def _attrs(self, node: Node, cls: Any, variables: Mapping[Any, Any]) -> None:
        import attr

        self._attributes(node, cls, [a.name for a in attr.fields(cls)], variables)

    def _attributes(
        self, node: Node, cls: Any, names: list[str], variables: Mapping[Any, Any]
    ) -> None:
        hints = _hints(cls)
        by_attribute = _has_new(cls) or any(_is_descriptor(cls, name) for name in names)
        node.make = "call" if by_attribute else "instance"
        for name in names:
            child = self._field(node, name, hints.get(name, Any), variables)
            in_slot = not by_attribute and _is_slot(cls, name)
            node.fields.append(Field(name, (name,), child, in_slot=in_slot))


# ---- pydantic ----

# Keys of a config that say how is written; any of them, and it is pydantic that writes.
_SERIALIZATION = {
    "ser_json_timedelta",
    "ser_json_temporal",
    "ser_json_bytes",
    "ser_json_inf_nan",
    "polymorphic_serialization",
}
# Keys of a config that are about input, and change nothing about how is written.
_VALIDATION = _pydantic._CONFIG | {
    "strict",
    "str_max_length",
    "str_min_length",
    "str_strip_whitespace",
    "str_to_lower",
    "str_to_upper",
    "typed_dict_total",
    "validate_default",
    "val_json_bytes",
    "url_preserve_empty_path",
}
_SCALARS = {
    "int", "float", "bool", "str", "bytes", "date", "time", "datetime", "timedelta", "uuid",
    "decimal", "none",
}  # fmt: skip
# What model_dump gives as it is, or again, where it is exactly of its type.
_KEPT = _SCALARS | {"any", "objectid", "choice", "list", "vartuple", "tuple"}
# What of BSON is written without an object of it: src/py/bson/to_json_shape.c.
_DIRECT = {
    "any", "none", "bool", "int", "float", "str", "date", "datetime", "uuid", "objectid", "choice",
    "list", "vartuple", "dict", "union", "tagged", "set",
}  # fmt: skip
_ITEMS = ("list", "set", "frozenset", "deque")
_BY_CONTENT = (*_ITEMS, "tuple", "vartuple", "dict")
_COMPOUND = (*_ITEMS, "vartuple", "dict", "object", "tagged")
_WRAPPERS = ("function-before", "function-after", "function-wrap")


class _Handed(Exception):
    """It is pydantic that writes it."""


def describe_pydantic(adapter: Any) -> Node:
    """The description of what a TypeAdapter writes, and of what it would leave as it is when it
    validates before."""
    node = _Writer(adapter.core_schema, adapter.serializer).root()
    node.plain = _is_plain(node)
    node.direct = _is_direct(node)
    return node


def _is_dumped_by_pydantic(root: Node) -> bool:
    import pydantic

    return root.make == "model" and root.type.model_dump is pydantic.BaseModel.model_dump


def _has_names_only(node: Node) -> bool:
    """Of a model: is it its fields, each by a name of its own?"""
    names = {field.out_key for field in node.fields}
    return not node.computed and len(names) == len(node.fields)


def _is_direct(root: Node) -> bool:
    """Is model_dump(mode="json", by_alias=True) what its nodes say?"""
    return _is_dumped_by_pydantic(root) and all(
        _has_names_only(node)
        if node.make == "model"
        else node.kind in _DIRECT or (node.kind == "serializer" and node.type is objectid.Text)
        for node in root.walk()
    )


def _is_plain(root: Node) -> bool:
    """Does model_dump(by_alias=True) change nothing in it but models, which become dicts?"""
    return _is_dumped_by_pydantic(root) and all(
        (node.kind in _KEPT and not node.twofold)
        or node.kind in ("union", "tagged")
        or (node.kind == "dict" and node.items[0].kind in ("any", "str"))
        or (node.make == "model" and _has_names_only(node))
        for node in root.walk()
    )


class _Writer(_pydantic._Reader):
    _ANY: typing.ClassVar[Any] = {"type": "any"}

    def __init__(self, schema: Any, serializer: Any) -> None:
        super().__init__(schema)
        self.serializer = serializer

    def config_of_root(self, schema: Any) -> Mapping[str, Any]:
        """A class's own serializer writes what is declared as Any, however deep, as the class's
        config says; what other types hold is written without one."""
        while schema["type"] in (*_WRAPPERS, "definition-ref"):
            inner = schema.get("schema")
            schema = (
                inner if inner is not None else self.by_ref.get(schema["schema_ref"], self._ANY)
            )
        cls, config = schema.get("cls"), schema.get("config", {})
        own = getattr(cls, "__pydantic_serializer__", None) is self.serializer
        return config if own and not _SERIALIZATION.isdisjoint(config) else {}

    # What is put off is a matter of input.
    def not_repeated(self, node: Node, where: str) -> None:
        pass

    def not_put_off(self, node: Node, where: str) -> Node:
        return node

    def read(self, schema: Any, config: Mapping[str, Any], where: str = "") -> Node:
        asked = schema
        while schema.get("schema_ref") in self.by_ref and schema.get("serialization") is None:
            schema = self.by_ref[schema["schema_ref"]]
        if id(schema) in self.seen:
            return self.seen[id(schema)]
        node = self.seen[id(schema)] = Node("any")  # known before it is filled in: recursion
        found = self._written(schema, config, where)
        for slot in Node.__dataclass_fields__:
            setattr(node, slot, getattr(found, slot))
        node.pydantic = node.output = True
        node.dump = self._dump(asked, config)
        return node

    def _dump(self, schema: Any, config: Mapping[str, Any]) -> Dump:
        whole = {"type": "definitions", "schema": schema, "definitions": self.definitions}
        return Dump(whole if self.definitions else schema, dict(config) or None)

    def _inner(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        return self.read(schema if schema is not None else self._ANY, config, where)

    def _written(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        kind = schema["type"]
        try:
            if any(config.get(key) is not None for key in _SERIALIZATION):
                raise _Handed("the config says how")
            if schema.get("serialization") is not None:
                return self._serialized(schema, config, where)
            if kind in _WRAPPERS or kind == "default":
                node = self._written(schema["schema"], config, where)
                if kind != "default":  # validating an instance runs it
                    node.proved = node.as_is = False
                return node
            if kind == "json-or-python":
                node = self._written(schema["json_schema"], config, where)
                node.proved = False
                node.twofold = True
                return node
            if kind == "model":
                return self._instance(schema, schema.get("config", {}), where, "model-fields")
            if kind == "dataclass":
                return self._instance(schema, schema.get("config", config), where, "dataclass-args")
            return self._plain(schema, config, where)
        except _Handed as exc:
            return Node("handed", label=kind, why=str(exc))

    def _serialized(
        self, schema: Any, config: Mapping[str, Any], where: str, part: bool = False
    ) -> Node:
        """What a function of the application makes of it. ``part``: a method, of a field's."""
        serialization = schema["serialization"]
        if (url := url_class(serialization)) is not None:
            return Node("text", type=url, label=url.__name__)
        if why := is_callable(serialization):
            raise _Handed(why)
        if bool(serialization.get("is_field_serializer")) != part:
            raise _Handed("it has a serializer that gets the instance")
        function = serialization["function"]
        items = [self._inner(serialization.get("return_schema"), config, where)]
        if serialization.get("when_used", "always") in ("unless-none", "json-unless-none"):
            without = {key: value for key, value in schema.items() if key != "serialization"}
            self.kept.append(without)
            items.append(self.read(without, config, where))
        node = Node("serializer", label=items[0].label, items=items, call=function, part=part)
        node.replay = Raised(function.__name__, dict(config) or None)
        if schema["type"] == "function-plain" and schema["function"]["function"] is objectid.read:
            node.type = objectid.Text  # str(): its digits
        return node

    def _plain(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        """What has no instances: as input is read, or, where that is not proved, by its kind."""
        kind = schema["type"]
        try:
            node = self.native(schema, config, where)
            node.proved = node.kind not in ("set", "frozenset", "deque")  # made anew, in any order
            if node.kind == "float":
                allowed = schema.get("allow_inf_nan", config.get("allow_inf_nan", True))
                node.proved = allowed is not False
            for item in node.items:
                if item.kind == "none":
                    item.proved = item.output = item.pydantic = True
            return node
        except Unproved as exc:
            why = exc.why
        if kind in _SCALARS:
            return Node(kind, label=kind)
        if kind in _ITEMS:
            return Node(
                kind, label=kind, items=[self._inner(schema.get("items_schema"), config, "")]
            )
        if kind == "dict":
            parts = [self._inner(schema.get(f"{p}_schema"), config, "") for p in ("keys", "values")]
            return Node("dict", label="dict", items=parts)
        if kind == "nullable":
            return self._either([{"type": "none"}, schema["schema"]], config)
        if kind == "union":
            choices = [c[0] if isinstance(c, tuple) else c for c in schema["choices"]]
            return self._either(choices, config)
        if kind == "tagged-union":
            return self._either(list(schema["choices"].values()), config)
        raise _Handed(why)

    def _either(self, choices: list[Any], config: Mapping[str, Any]) -> Node:
        node = Node("union")
        if sum(choice != {"type": "none"} for choice in choices) > 1 and any(
            takes_anything(choice, self.by_ref) for choice in choices
        ):
            raise _Handed("a serializer of a member may take the values of others")
        for choice in choices:
            plain_none = choice == {"type": "none"}
            node.items.append(
                Node("none", label="null") if plain_none else self.read(choice, config)
            )
        if any(item.kind == "handed" for item in node.items) and any(
            item.kind in _BY_CONTENT or item.make == "dict" for item in node.items
        ):
            raise _Handed(
                "what is in a container says which member it is of, and one is pydantic's"
            )
        node.label = " | ".join(item.label for item in node.items)
        return node

    def _instance(self, schema: Any, config: Mapping[str, Any], where: str, inside: str) -> Node:
        """A model or dataclass: which of its instances are written as they are, and which dicts may
        stand for one."""
        cls = schema["cls"]
        if any(config.get(key) is not None for key in _SERIALIZATION):
            raise _Handed("its config says how")
        if unknown := sorted(set(config) - _VALIDATION - {"serialize_by_alias"}):
            raise _Handed(f"its config has {unknown[0]}")
        known = {**schema, "config": {k: v for k, v in config.items() if k != "serialize_by_alias"}}
        if "config" not in schema:
            del known["config"]
        fields = schema["schema"]
        while fields["type"] in _WRAPPERS and fields.get("serialization") is None:
            fields = fields["schema"]
        if fields.get("serialization") is not None:
            raise _Handed("it has a serializer of its own")
        root = bool(schema.get("root_model"))
        if not root and fields["type"] != inside:
            raise _Handed(f"its fields are {fields['type']}")
        try:
            read = super()._model if schema["type"] == "model" else super()._dataclass
            self.seen[id(known)] = Node("any")  # where the reader of input puts a label
            node = read(known, config, where)
            node.proved = True
        except Unproved:
            node = Node("object", type=cls, label=cls.__name__)
            node.make = "instance" if schema["type"] == "dataclass" else "model"
            self._fields_of(node, schema, fields, config, root)
        finally:
            del self.seen[id(known)]
        revalidate = schema.get("revalidate_instances", config.get("revalidate_instances"))
        node.as_is = revalidate in (None, "never")
        node.by_alias = bool(config.get("serialize_by_alias"))
        if schema["type"] == "dataclass":  # as they are declared: input has kw_only ones last
            node.fields.sort(key=lambda field: schema["fields"].index(field.name))
        if not root:
            for found in node.fields:
                self._written_by(found, schema, fields, config)
            parts = [f.node for f in node.fields if f.node.part and f.node.kind == "handed"]
            # A part costs about as much as pydantic needs for a small model.
            if len(parts) > 1 + sum(f.node.kind in _COMPOUND for f in node.fields):
                raise _Handed("; ".join(part.why for part in parts))
            self._computed(node, schema, fields, config)
        return node

    def _then(self, node: Node, after: Callable[[Any], Any] | None) -> Node:
        """What is called with a new instance may change it: what its fields hold is not proved."""
        if after is not None:
            raise Unproved(f"{node.label} calls {after.__qualname__}")
        return node

    def _fields_of(
        self, node: Node, schema: Any, fields: Any, config: Mapping[str, Any], root: bool
    ) -> None:
        """The fields of what is not proved as input."""
        if root:
            node.make = "root_model"
            node.fields.append(Field("root", ("root",), self._field_node(fields, config)))
            return
        inner = fields["fields"]
        named = inner.items() if isinstance(inner, dict) else [(f["name"], f) for f in inner]
        for name, field in named:
            if field.get("init") is False or field.get("init_only"):
                raise _Handed(f"{name} is no ordinary field")
            made = Field(name, (name,), self._field_node(field["schema"], config))
            made.out_key = field.get("serialization_alias") or name
            made.in_slot = bool(schema.get("slots"))
            slot = getattr(node.type, name, None)
            if made.in_slot and not isinstance(slot, types.MemberDescriptorType):
                raise _Handed(f"{name} is no slot")
            node.fields.append(made)

    def _field_node(self, schema: Any, config: Mapping[str, Any]) -> Node:
        while schema["type"] == "default" and schema.get("serialization") is None:
            schema = schema["schema"]
        return self.read(schema, config)

    def _written_by(self, made: Field, schema: Any, fields: Any, config: Mapping[str, Any]) -> None:
        """Who writes a field, where that is said at the field."""
        inner = fields["fields"]
        by_name = inner if isinstance(inner, dict) else {f["name"]: f for f in inner}
        field = by_name[made.name]
        made.hidden = bool(field.get("serialization_exclude"))
        serialization = field["schema"].get("serialization") or {}
        if made.hidden:
            return
        if field.get("serialization_exclude_if") is not None:
            why = f"{made.name} is left out by a function"
            made.node = self._part(schema, fields, made.name, field, config, why)
        elif serialization.get("is_field_serializer"):
            made.node = self._method(field["schema"], config) or self._part(
                schema, fields, made.name, field, config, is_callable(serialization)
            )
        elif serialization and field["schema"]["type"] == "default":
            made.node = self.read(field["schema"], config)

    def _method(self, schema: Any, config: Mapping[str, Any]) -> Node | None:
        """A serializer that gets the instance and the value, if it can be called."""
        try:
            node = self._serialized(schema, config, "", part=True)
        except _Handed:
            return None
        node.output = node.pydantic = True
        return node

    def _part(
        self,
        schema: Any,
        fields: Any,
        name: str,
        field: Any,
        config: Mapping[str, Any],
        why: str,
    ) -> Node:
        """A field that pydantic writes, of an instance that has no other."""
        import pydantic_core

        node = Node("handed", label=name, why=why, part=True, output=True, pydantic=True)
        dump = self._dump(alone(schema, fields, name, field), config)
        try:
            dump.prepare_part()
        except (TypeError, pydantic_core.SchemaError):
            raise _Handed(why) from None
        node.dump = dump
        return node

    def _computed(self, node: Node, schema: Any, fields: Any, config: Mapping[str, Any]) -> None:
        for field in fields.get("computed_fields") or ():
            name, returned = field["property_name"], field["return_schema"]
            serialization = returned.get("serialization") or {}
            made = Field(name, (name,), Node("any"))
            made.out_key = field.get("alias") or name
            if set(field) - {"type", "property_name", "return_schema", "alias", "metadata"}:
                raise _Handed(f"{name} is computed in a way of its own")
            if not serialization.get("is_field_serializer"):
                made.node = self.read(returned, config)
            elif method := self._method(returned, config):
                made.node = method
            else:
                raise _Handed(f"{name}: {is_callable(serialization)}")
            node.computed.append(made)
