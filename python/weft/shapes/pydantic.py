"""From pydantic's core schema to the description of a shape.

Only what can be proved is native: a schema whose every key is known here, whose valid input gives
exactly what ``validate_python`` makes of what ``json.loads`` gives. The native walk may take
less than pydantic does, never more: what it finds invalid is judged by pydantic itself, and so are
the errors. Since pydantic is then asked from the start, nothing below a judge may run code of the
application while anything may still be found invalid: validators are put off, and what they gave is
kept (weft.shapes.validators). Where that is not proved to come to the same, the whole type is
handed over.
"""

from __future__ import annotations

import copy
import ipaddress
import types
from collections.abc import Callable, Mapping
from typing import Any

from weft.shapes import objectid
from weft.shapes.core_scalars import Scalars
from weft.shapes.core_schema import (
    SILENT,
    Unproved,
    application_code,
    called_after,
    default_of,
    is_known,
    is_pydantics,
    lax,
    lengths,
    names_of,
    only,
    private_of,
)
from weft.shapes.nodes import Field, Node
from weft.shapes.validators import Recorded, Unrecordable

__all__ = ["describe"]

# Keys of a model's config that leave valid input as it is. Others are not known here.
_CONFIG = {
    "title",
    "extra_fields_behavior",
    "from_attributes",  # JSON has no attributes
    "hide_input_in_errors",
    "validation_error_cause",
    "loc_by_alias",
    "revalidate_instances",  # nor instances
    "validate_by_alias",
    "validate_by_name",
    "coerce_numbers_to_str",  # takes more
    "regex_engine",
    "cache_strings",
    "allow_inf_nan",  # JSON has neither; what json.loads takes beyond it is pydantic's to judge
    "frozen",
}


def describe(
    adapter: Any, judge: Callable[[Any], Any], label: str, from_attributes: bool | None = None
) -> Node:
    """The description of what a TypeAdapter validates, with ``judge`` to fall back on, which is
    called with ``from_attributes``."""
    reader = _Reader(adapter.core_schema, from_attributes)
    try:
        node = reader.root()
        if node.judge is None or reader.recorded is not None:
            # Another judge than this one may stand on the same node.
            node = copy.copy(node)
        node.replay = reader.replay(adapter.validator.title)
    except Unproved as exc:
        node = Node("handed", why=exc.why)
    node.judge = judge
    node.label = label
    return node


def _ends(schema: Any, by_ref: Mapping[str, Any]) -> bool:
    """Pydantic makes definitions that refer to nothing but themselves."""
    seen: set[str] = set()
    while (ref := schema.get("schema_ref")) in by_ref and ref not in seen:
        seen.add(ref)
        schema = by_ref[ref]
    return ref not in seen


class _Reader(Scalars):
    def __init__(self, schema: Any, from_attributes: bool | None = None) -> None:
        self.schema = schema
        self.definitions: list[Any] = []
        self.by_ref: dict[str, Any] = {}
        self.seen: dict[int, Node] = {}
        self.from_attributes = from_attributes
        self.recorded: Recorded | None = None
        # nodes of which nothing may be put off, and why
        self.at_once: list[tuple[Node, str]] = []
        self.repeated: list[Node] = []
        self.kept: list[Any] = []  # schemas made here, which `seen` knows by their ids

    def root(self) -> Node:
        schema = self.schema
        if schema["type"] == "definitions":
            self.definitions = schema["definitions"]
            by_ref = {definition["ref"]: definition for definition in self.definitions}
            self.by_ref = {ref: schema for ref, schema in by_ref.items() if _ends(schema, by_ref)}
            schema = schema["schema"]
        node = self.read(schema, self.config_of_root(schema))
        for inner, why in self.at_once:
            if inner.puts_off:
                raise Unproved(why, runs_code=True)
        for inner in tuple(self.repeated):
            self.not_repeated(inner, "it")
        return node

    def config_of_root(self, schema: Any) -> Mapping[str, Any]:
        return {}

    # ---- validators ----

    def recorder(self) -> Recorded:
        if self.recorded is None:
            self.recorded = Recorded(self.definitions, is_known, called_after, self.from_attributes)
        return self.recorded

    def replay(self, title: str) -> Recorded | None:
        """What is asked when a validator has raised; None where none is called."""
        if self.recorded is None:
            return None
        schema = self.schema["schema"] if self.definitions else self.schema
        try:
            self.recorded.whole(schema, {**self._config_of(schema), "title": title})
        except Unrecordable as exc:
            raise Unproved(str(exc), runs_code=True) from None
        return self.recorded

    def _config_of(self, schema: Any) -> Mapping[str, Any]:
        """Of the model that a schema is of."""
        while schema["type"] in ("definition-ref", *_FUNCTIONS):
            ref = schema.get("schema_ref")
            schema = schema["schema"] if ref is None else self.by_ref.get(ref, {"type": "any"})
        config: Mapping[str, Any] = schema.get("config", {})
        return config

    def put_off(
        self, schema: Any, config: Mapping[str, Any], field: Field, before: list[str], why: str
    ) -> Node:
        """A field's value that pydantic makes when all else is valid."""
        try:
            part = self.recorder().part(schema, config, field.name, before)
        except Unrecordable as exc:
            raise Unproved(str(exc), runs_code=True) from None
        return Node("handed", label=schema["type"], why=why, call=part, part=True, pydantic=True)

    def _function_after(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "function", "schema", "json_schema_input_schema")
        function = schema["function"]
        called = function["function"]
        if is_known(called):
            raise Unproved("pydantic's function-after has no native form")
        name = getattr(called, "__qualname__", repr(called))
        if function["type"] != "no-info":
            raise Unproved(f"{name} gets more than the value", runs_code=True)
        item = self.read(schema["schema"], config, where)
        self.recorder()
        return Node("after", label=item.label, items=[item], call=called, why=name)

    def worth_it(self, node: Node, where: str) -> None:
        """Of an object with parts: is what is read natively around them enough to pay for them?"""
        parts = [field.node for field in node.fields if field.node.part]
        paid = sum(
            _COMPOUND_PAYS if field.node.kind in _COMPOUND else 1
            for field in node.fields
            if not field.node.part
        )
        if parts and paid < _PART_COSTS * len(parts) - _OBJECT_PAYS:
            raise Unproved(f"{where}: {parts[0].why}", runs_code=True)

    def not_repeated(self, node: Node, where: str) -> None:
        """Of items: a part costs more than pydantic needs for all of a small object, so where there
        are many, pydantic has them all."""
        for inner in node.walk():
            if inner.part:
                raise Unproved(f"{where}: {inner.why}", runs_code=True)
        self.repeated.append(node)

    def not_put_off(self, node: Node, where: str) -> Node:
        """A node whose value nothing can be put in the place of."""
        why = f"{where}: a validator's value has no place"
        if node.puts_off:
            raise Unproved(why, runs_code=True)
        self.at_once.append((node, why))  # it may only be known later what it is
        return node

    def read(self, schema: Any, config: Mapping[str, Any], where: str = "") -> Node:
        """Native where proved; else handed over, or Unproved where that runs application code."""
        while schema["type"] == "definition-ref":
            if set(schema) - SILENT - {"schema_ref"} or schema["schema_ref"] not in self.by_ref:
                raise Unproved(f"{where or 'it'} refers to what is not known", runs_code=True)
            schema = self.by_ref[schema["schema_ref"]]
        if id(schema) in self.seen:
            return self.seen[id(schema)]
        node = self.seen[id(schema)] = Node("any")  # known before it is filled in: recursion
        try:
            found = self.native(schema, config, where)
        except Unproved as exc:
            if exc.runs_code or (runs := application_code(schema, self.by_ref)):
                del self.seen[id(schema)]
                raise (
                    exc
                    if exc.runs_code
                    else Unproved(f"{where + ': ' if where else ''}{runs}", runs_code=True)
                ) from None
            found = self.handed(schema, config, exc.why, where)
        for slot in Node.__dataclass_fields__:
            setattr(node, slot, getattr(found, slot))
        node.pydantic = True
        return node

    def handed(self, schema: Any, config: Mapping[str, Any], why: str, where: str) -> Node:
        import pydantic_core

        whole = {"type": "definitions", "schema": schema, "definitions": self.definitions}
        try:
            validator = pydantic_core.SchemaValidator(
                whole if self.definitions else schema,
                dict(config) or None,  # type: ignore[arg-type]
            )
        except pydantic_core.SchemaError:
            raise Unproved(f"{where or 'it'}: {why}", runs_code=True) from None
        return Node("handed", label=schema["type"], judge=validator.validate_python, why=why)

    def native(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        reader = getattr(self, "_" + schema["type"].replace("-", "_"), None)
        if reader is None:
            raise Unproved(f"pydantic's {schema['type']} has no native form")
        node: Node = reader(schema, config, where)
        return node

    # ---- containers ----

    def _list(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        return self._items("list", schema, config, where)

    def _set(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        return self._items("set", schema, config, where)

    def _frozenset(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        return self._items("frozenset", schema, config, where)

    def _deque(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        return self._items("deque", schema, config, where)

    def _items(self, kind: str, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "items_schema", "min_length", "max_length")
        if kind != "list":
            lax(config)
        item = self._inner(schema.get("items_schema"), config, f"{where}[]")
        self.not_repeated(item, where)
        if kind != "list":
            self.not_put_off(item, where)
        if kind in ("set", "frozenset") and item.kind not in _HASHABLE:
            raise Unproved(f"a {kind} of {item.label}")
        return Node(kind, label=f"{kind}[{item.label}]", items=[item], checks=lengths(schema))

    def _tuple(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "items_schema", "variadic_item_index")
        lax(config)
        items = [
            self.not_put_off(self._inner(item, config, f"{where}[]"), where)
            for item in schema["items_schema"]
        ]
        if "variadic_item_index" not in schema:
            return Node("tuple", label="tuple", items=items)
        if schema["variadic_item_index"] != 0 or len(items) != 1:
            raise Unproved("a tuple that varies in its middle")
        return Node("vartuple", label=f"tuple[{items[0].label}, ...]", items=items)

    def _dict(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "keys_schema", "values_schema", "min_length", "max_length", "strict")
        if schema.get("strict"):
            raise Unproved("strict")
        key = self._inner(schema.get("keys_schema"), config, f"{where} keys")
        value = self._inner(schema.get("values_schema"), config, f"{where}[]")
        if key.kind not in ("any", "str", "int", "choice", "uuid", "date", "datetime"):
            raise Unproved(f"keys that are {key.label}")
        self.not_repeated(value, where)
        label = f"dict[{key.label}, {value.label}]"
        return Node("dict", label=label, items=[key, value], checks=lengths(schema))

    def _inner(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        return self.read(schema, config, where) if schema is not None else Node("any", label="any")

    def _json_or_python(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "json_schema", "python_schema")
        inner = schema["python_schema"]
        if inner["type"] == "chain" and len(inner["steps"]) == 2:  # Sequence[T]
            first, second = inner["steps"]
            function = second.get("function", {}).get("function")
            if (
                first["type"] == "is-instance"
                and second["type"] == "function-wrap"
                and getattr(function, "__name__", "") == "sequence_validator"
                and is_pydantics(function)
                and second["schema"]["type"] == "list"
            ):
                return self.native(second["schema"], config, where)
        return self.native(inner, config, where)

    def _function_plain(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        """An IP address, of which pydantic's function makes what its class does of text; an
        ObjectId of its digits."""
        only(schema, "function")
        function = schema["function"]["function"]
        if function is objectid.read:
            from weft.bson import ObjectId

            return Node("objectid", type=ObjectId, label="ObjectId", lax=True)
        cls = _IP_ADDRESSES.get(getattr(function, "__name__", ""))
        if cls is None or getattr(function, "__module__", "") != "pydantic._internal._validators":
            raise Unproved("pydantic's function-plain has no native form")
        return Node("text", type=cls, label=cls.__name__)

    def _lax_or_strict(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "lax_schema", "strict_schema")
        lax(config)
        return self.native(schema["lax_schema"], config, where)

    # ---- unions ----

    def _nullable(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "schema")
        return self._one_of(
            [Node("none", label="null"), self.read(schema["schema"], config, where)]
        )

    def _union(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        if (secret := _secret(schema)) is not None:
            return Node("text", type=secret, label=secret.__name__)
        only(schema, "choices", "mode")
        if schema.get("mode", "smart") != "smart":
            raise Unproved("a union that is tried from left to right")
        members = []
        for choice in schema["choices"]:
            member = choice[0] if isinstance(choice, tuple) else choice
            members.append(self.not_put_off(self.read(member, config, where), where))
        return self._one_of(members)

    def _one_of(self, members: list[Node]) -> Node:
        """Each member takes what is exactly its own in JSON, so that pydantic's smart mode has no
        better one: where that is not so, the class of input is left out, and judged."""
        if len(members) == 2 and members[0].kind == "none" and members[1].kind == "union":
            members = [members[0], *members[1].items]
        node = Node("union", label=" | ".join(m.label for m in reversed(members)), items=members)
        scalars = [m for m in members if m.kind not in _COMPOUND and m.kind != "none"]
        for i, member in enumerate(members):
            classes = _EXACT.get(member.kind)
            if member.kind == "choice" and member.type is None:
                classes = sorted({"str" if type(v) is str else "int" for v, _ in member.choices})
            elif classes is None and len(scalars) == 1 and member is scalars[0]:
                # conversions: fine where nothing else could take the input at all
                classes = _CONVERTED.get(member.kind)
            if classes is None and len(members) == 2 and members[1 - i].kind == "none":
                classes = ["bool", "int", "float", "str", "array", "object"]
            if classes is None:
                raise Unproved(f"a union with {member.label}")
            for name in classes:
                if name in node.classes:
                    raise Unproved(
                        f"a union of {members[node.classes[name]].label} and {member.label}"
                    )
                node.classes[name] = i
        return node

    def _tagged_union(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "choices", "discriminator", "from_attributes", "strict")
        key = schema["discriminator"]
        if not isinstance(key, str) or schema.get("strict"):
            raise Unproved("a discriminator that is no name")
        node = Node("tagged", key=key)
        for tag, choice in schema["choices"].items():
            item = self.read(choice, config, where)
            made = item
            while made.kind == "after":
                made = made.items[0]
            if type(tag) not in (str, int) or made.kind != "object":
                raise Unproved("a tagged union of something else than objects")
            node.items.append(item)
            node.choices.append((tag, None))
        node.label = " | ".join(dict.fromkeys(item.label for item in node.items))
        return node

    # ---- objects ----

    def _model(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(
            schema,
            "cls",
            "schema",
            "config",
            "custom_init",
            "root_model",
            "post_init",
            "generic_origin",
            "frozen",
            "revalidate_instances",
        )
        cls = schema["cls"]
        if schema.get("custom_init"):
            raise Unproved(f"{cls.__name__} has an __init__ of its own", runs_code=True)
        if cls.__new__ is not object.__new__:
            raise Unproved(f"{cls.__name__} has a __new__ of its own", runs_code=True)
        node = self._config(schema.get("config", {}), cls)
        node.make = "root_model" if schema.get("root_model") else "model"
        after = called_after(schema)
        if schema.get("post_init") and after is None:
            node.private = private_of(cls)
        where = where or cls.__name__
        self.seen[id(schema)].label = cls.__name__
        if schema.get("root_model"):
            field = self._field_of("root", schema["schema"], schema.get("config", {}), where, [])
            if field.default_kind != "required" or node.private is not None:
                raise Unproved("a RootModel with a default or private attributes")
            node.fields.append(field)
            self.worth_it(node, where)
        else:
            self._fields(node, schema["schema"], schema.get("config", {}), where)
        return self._then(node, after)

    def _then(self, node: Node, after: Callable[[Any], Any] | None) -> Node:
        """An object of which ``after`` is called with the instance, when all else is valid."""
        if after is None:
            return node
        node.pydantic = True
        self.recorder()
        return Node("after", label=node.label, items=[node], call=after, why=after.__qualname__)

    def _fields(self, node: Node, schema: Any, config: Mapping[str, Any], where: str) -> None:
        if schema["type"] != "model-fields":
            self.native(schema, config, where)  # what it is: a validator of the model
            raise Unproved(f"fields that are {schema['type']}")
        only(schema, "fields", "model_name", "computed_fields")
        for name, field in schema["fields"].items():
            only(
                field,
                "schema",
                "validation_alias",
                "serialization_alias",
                "serialization_exclude",
                "serialization_exclude_if",
                "frozen",
            )
            made = self._field_of(name, field["schema"], config, f"{where}.{name}", node.fields)
            made.keys = names_of(name, field.get("validation_alias"), config)
            made.out_key = field.get("serialization_alias", name)
            made.hidden = bool(field.get("serialization_exclude"))
            node.fields.append(made)
        self.worth_it(node, where)

    def _field_of(
        self,
        name: str,
        schema: Any,
        config: Mapping[str, Any],
        where: str,
        fields: list[Field] | None = None,
    ) -> Field:
        """The field, which stands behind ``fields`` in the object's dict; where those are None it
        stands in no dict, and nothing can be put off."""
        made = Field(name, (name,), Node("any"))
        if schema["type"] == "default":
            made.default_kind, made.default = default_of(schema, where)
            schema = schema["schema"]
        try:
            made.node = self.read(schema, config, where)
        except Unproved as exc:
            if fields is None:
                raise
            made.node = self.put_off(schema, config, made, [f.name for f in fields], exc.why)
        if fields is None:
            self.not_put_off(made.node, where)
        return made

    def _dataclass(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(
            schema,
            "cls",
            "schema",
            "config",
            "fields",
            "post_init",
            "frozen",
            "slots",
            "generic_origin",
            "revalidate_instances",
        )
        cls, inner = schema["cls"], schema["schema"]
        config = schema.get("config", config)
        after = called_after(schema)
        if cls.__new__ is not object.__new__:
            raise Unproved(f"{cls.__name__} has a __new__ of its own", runs_code=True)
        lax(config)
        node = self._config(config, cls)
        node.make = "instance"
        where = where or cls.__name__
        if inner["type"] != "dataclass-args":
            self.native(inner, config, where)
        only(inner, "fields", "dataclass_name", "computed_fields", "collect_init_only")
        if node.extra == "allow":
            raise Unproved(f"{cls.__name__} has more than its fields")
        for field in inner["fields"]:
            only(
                field,
                "name",
                "schema",
                "kw_only",
                "init",
                "init_only",
                "frozen",
                "validation_alias",
                "serialization_alias",
                "serialization_exclude",
                "serialization_exclude_if",
            )
            name = field["name"]
            if field.get("init") is False or field.get("init_only"):
                raise Unproved(f"{cls.__name__}.{name} is no ordinary field")
            made = self._field_of(
                name,
                field["schema"],
                config,
                f"{where}.{name}",
                None if schema.get("slots") else node.fields,
            )
            made.keys = names_of(name, field.get("validation_alias"), config)
            made.out_key = field.get("serialization_alias", name)
            made.in_slot = bool(schema.get("slots"))
            if made.in_slot and made.default_kind == "factory":
                raise Unproved(f"{cls.__name__}.{name} has a factory and a slot", runs_code=True)
            if made.in_slot and not isinstance(
                getattr(cls, name, None), types.MemberDescriptorType
            ):
                raise Unproved(f"{cls.__name__}.{name} is no slot")
            node.fields.append(made)
        self.worth_it(node, where)
        return self._then(node, after)

    def _typed_dict(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(
            schema,
            "cls",
            "cls_name",
            "config",
            "fields",
            "computed_fields",
            "extra_behavior",
            "total",
        )
        config = {**config, **schema.get("config", {})}
        name = schema.get("cls_name") or getattr(schema.get("cls"), "__name__", "TypedDict")
        node = self._config(config, None)
        node.extra = schema.get("extra_behavior", node.extra)
        node.label = name
        if node.extra == "allow":
            raise Unproved(f"{name} has more than its fields")
        node.make = "dict"
        where = where or name
        for key, field in schema["fields"].items():
            only(field, "schema", "required", "validation_alias", "serialization_alias")
            made = self._field_of(key, field["schema"], config, f"{where}.{key}", node.fields)
            if made.default_kind != "required":
                raise Unproved(f"{where}.{key} has a default")
            required = field.get("required", schema.get("total", True))
            made.default_kind = "required" if required else "omit"
            made.keys = names_of(key, field.get("validation_alias"), config)
            made.out_key = field.get("serialization_alias", key)
            node.fields.append(made)
        self.worth_it(node, where)
        return node

    def _named_tuple(self, schema: Any, config: Mapping[str, Any], where: str) -> Node:
        only(schema, "cls", "fields")
        cls = schema["cls"]
        lax(config)
        if cls.__new__.__module__ != f"namedtuple_{cls.__name__}":
            raise Unproved(f"{cls.__name__} has a __new__ of its own", runs_code=True)
        where = where or cls.__name__
        node = Node("object", type=cls, label=cls.__name__, make="namedtuple", array=True)
        node.extra = "forbid"
        for field in schema["fields"]:
            only(field, "name", "schema")
            name = field["name"]
            node.fields.append(self._field_of(name, field["schema"], config, f"{where}.{name}"))
        return node

    def _config(self, config: Mapping[str, Any], cls: type | None) -> Node:
        unknown = sorted(set(config) - _CONFIG - {"strict"})
        if unknown:
            raise Unproved(f"the config has {unknown[0]}")
        if config.get("strict"):
            raise Unproved("the config is strict")
        node = Node("object", type=cls, label=cls.__name__ if cls is not None else "")
        node.extra = config.get("extra_fields_behavior", "ignore")
        return node


# ---- parts ----

_FUNCTIONS = ("function-before", "function-after", "function-wrap")

_HASHABLE = (
    "bool", "int", "float", "str", "bytes", "datetime", "date", "time", "timedelta", "uuid",
    "decimal", "choice",
)  # fmt: skip

# What a member takes as it is.
_EXACT = {
    "none": ["null"],
    "bool": ["bool"],
    "int": ["int"],
    "float": ["float"],
    "str": ["str"],
    "list": ["array"],
    "object": ["object"],
    "dict": ["object"],
    "tagged": ["object"],
    "typed-dict": ["object"],
}
_COMPOUND = ("list", "object", "dict", "tagged", "set", "frozenset", "tuple", "vartuple", "deque")

# What a part costs, and what is gained by an object, and by a list, dict or object in it, that are
# read natively: in fields of scalars, each of which gains some 40 ns. Measured with models of 1 to
# 4 parts and up to 9 such fields; of containers it is a guess: nobody knows how full they are.
_PART_COSTS, _OBJECT_PAYS, _COMPOUND_PAYS = 26, 10, 16

# What a member takes by conversion.
_CONVERTED = {kind: ["str"] for kind in _HASHABLE if kind not in _EXACT}


_IP_ADDRESSES: Mapping[str, type] = {
    "ip_v4_address_validator": ipaddress.IPv4Address,
    "ip_v6_address_validator": ipaddress.IPv6Address,
    "ip_v4_network_validator": ipaddress.IPv4Network,
    "ip_v6_network_validator": ipaddress.IPv6Network,
    "ip_v4_interface_validator": ipaddress.IPv4Interface,
    "ip_v6_interface_validator": ipaddress.IPv6Interface,
}


def _secret(schema: Any) -> type | None:
    """SecretStr, where the schema is of one that may be any text."""
    import pydantic

    choices = schema["choices"]
    made = choices[-1] if choices and isinstance(choices[-1], dict) else {}
    is_secret = (
        len(choices) == 2
        and choices[0] == {"type": "is-instance", "cls": pydantic.SecretStr}
        and made.get("type") == "function-after"
        and made["function"] == {"type": "no-info", "function": pydantic.SecretStr}
        and made["schema"] in ({"type": "str"}, {"type": "str", "strict": False})
    )
    return pydantic.SecretStr if is_secret else None
