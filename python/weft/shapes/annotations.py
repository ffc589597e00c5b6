"""From annotations to the description of a shape: everything but pydantic's own classes.

The measure is msgspec: what it reads is read the same way, and what it does not know (attrs
converters, deque, paths, IP addresses) as its users would expect.
"""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import inspect
import ipaddress
import pathlib
import re
import sys
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Final, Literal, NewType, TypeVar, Union, get_origin

from weft._core import Raw
from weft.shapes.nodes import Field, Node, type_name

__all__ = ["Reader", "is_object_id", "is_pydantic", "loaded"]

_SCALARS: dict[Any, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    bytes: "bytes",
    bytearray: "bytes",
    datetime.datetime: "datetime",
    datetime.date: "date",
    datetime.time: "time",
    datetime.timedelta: "timedelta",
    uuid.UUID: "uuid",
    decimal.Decimal: "decimal",
}
_TEXT = (
    pathlib.PurePath,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
)
_abc = collections.abc
_CONTAINERS: dict[Any, str] = {
    list: "list",
    _abc.Sequence: "list",
    _abc.MutableSequence: "list",
    _abc.Collection: "list",
    _abc.Iterable: "list",
    set: "set",
    _abc.Set: "set",
    _abc.MutableSet: "set",
    frozenset: "frozenset",
    collections.deque: "deque",
}
_MAPPINGS = (dict, _abc.Mapping, _abc.MutableMapping)
_UNIONS = (Union, types.UnionType)
_QUALIFIERS = {"Required", "NotRequired", "ReadOnly"}

# What a union tells its members apart by.
_STRINGS = ("str", "bytes", "datetime", "date", "time", "timedelta", "uuid", "objectid", "text")
_ARRAYS = ("list", "vartuple", "set", "frozenset", "deque", "tuple")
_CLASSES = ("null", "bool", "int", "float", "str", "array", "object")
_NUMBERS = ("int", "float", "decimal")
_REST = ("handed", "raw", "hook")  # in a union they take what no other member does
_SIZED = ("str", "bytes", "dict", *_ARRAYS)

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1  # of choices, which C compares

_FACTORIES: dict[Any, str] = {list: "list", dict: "dict", set: "set"}


def loaded(module: str, name: str) -> Any:
    """What a module has under a name, if it is imported already: nobody has made a value of a
    library's type without importing it. Else None."""
    return getattr(sys.modules.get(module), name, None)


def is_pydantic(annotation: Any) -> bool:
    """Is it a class that pydantic itself has to read: a model, or a dataclass of its own?"""
    if not isinstance(annotation, type):
        return False
    model = loaded("pydantic", "BaseModel")
    return (model is not None and issubclass(annotation, model)) or hasattr(
        annotation, "__pydantic_core_schema__"
    )


def is_object_id(annotation: Any) -> bool:
    """Is it BSON's ObjectId: PyMongo's where that is installed, else weft's?"""
    modules = ("bson.objectid", "weft.bson._types")
    return annotation is not None and any(loaded(m, "ObjectId") is annotation for m in modules)


class Reader:
    """Describes types. ``island`` reads what is pydantic's, ``dec_hook`` makes values of classes
    that cannot be read, and ``float_hook`` those of floats without a type."""

    def __init__(
        self,
        island: Callable[[Any], Node],
        dec_hook: Callable[[Any, Any], Any] | None = None,
        float_hook: Callable[[str], Any] | None = None,
    ) -> None:
        self._island = island
        self._dec_hook = dec_hook
        self._anything = _anything(float_hook)
        self._seen: dict[Any, Node] = {}

    def read(self, annotation: Any, variables: Mapping[Any, Any] | None = None) -> Node:
        """The node of an annotation; ``variables`` are what type variables stand for."""
        variables = variables or {}
        annotation = (
            variables.get(annotation, annotation) if _is_variable(annotation) else annotation
        )
        if _is_variable(annotation):
            return self._variable(annotation, variables)
        origin = get_origin(annotation)
        if origin is Annotated:
            return self._annotated(annotation, variables)
        if isinstance(annotation, NewType):
            return self.read(annotation.__supertype__, variables)
        if is_alias(annotation) or is_alias(origin):
            return self._alias(annotation, variables)
        if annotation is None or annotation is type(None):
            return Node("none", label="null")
        if annotation is Any or annotation is object:
            return self._anything or Node("any", label="any")
        if origin in _UNIONS:
            return self._union(annotation, variables)
        if origin is Literal:
            return _literal(annotation)
        if origin is Final or getattr(origin, "_name", None) in _QUALIFIERS:
            return self.read(typing.get_args(annotation)[0], variables)
        cls = origin or annotation
        if type(cls).__hash__ is None:  # of [int], say, which is no type
            raise TypeError(f"weft cannot read {type_name(annotation)}")
        if cls in _CONTAINERS or cls in _MAPPINGS or cls is tuple:
            return self._container(annotation, cls, variables)
        if isinstance(cls, type):
            node = self._scalar(cls) or self._class(annotation, cls, variables)
            node = node or self._hooked(annotation, cls)
            if node is not None:
                return node
        if isinstance(annotation, (str, typing.ForwardRef)):
            raise TypeError(f"{annotation!r} is not resolved: the name has to be known by now")
        raise TypeError(f"weft cannot read {type_name(annotation)}")

    # ---- wrappers ----

    def _variable(self, variable: TypeVar, variables: Mapping[Any, Any]) -> Node:
        default = getattr(variable, "__default__", None)
        if default is not None and default is not getattr(typing, "NoDefault", None):
            return self.read(default, variables)
        if variable.__constraints__:
            return self.read(Union[variable.__constraints__], variables)  # noqa: UP007
        return self.read(variable.__bound__ if variable.__bound__ is not None else Any, variables)

    def _alias(self, annotation: Any, variables: Mapping[Any, Any]) -> Node:
        """A `type` statement's, which may refer to itself."""
        key = _key(annotation, variables)
        if key in self._seen:
            return self._seen[key]
        alias = get_origin(annotation) or annotation
        args = tuple(_substitute(arg, variables) for arg in typing.get_args(annotation))
        inner = dict(zip(alias.__type_params__, args, strict=False))
        # The node is known before what it is: a list of itself, say.
        node = self._seen[key] = Node("any")
        found = self.read(_resolved(alias), inner)
        if found is node:
            raise TypeError(f"{alias.__name__} stands for itself")
        for slot in dataclasses.fields(Node):
            setattr(node, slot.name, getattr(found, slot.name))
        return node

    def _annotated(self, annotation: Any, variables: Mapping[Any, Any]) -> Node:
        base, *metadata = typing.get_args(annotation)
        node = self.read(base, variables)
        for item in metadata:
            for op, limit in _constraints(item):
                _constrain(node, op, limit, annotation)
            if node.kind != "object":  # whose node is that of all its uses
                node.options |= _options(item)
        return node

    # ---- what is not a class ----

    def _union(self, annotation: Any, variables: Mapping[Any, Any]) -> Node:
        unset = loaded("msgspec", "UnsetType")
        members = [
            self.read(arg, variables)
            for arg in _flatten(typing.get_args(annotation))
            if arg is not unset or unset is None
        ]
        if self._anything in members:
            return self._anything
        return union(members, type_name(annotation))

    def _container(self, annotation: Any, cls: Any, variables: Mapping[Any, Any]) -> Node:
        args = typing.get_args(annotation)
        name = type_name(annotation)
        if cls in _MAPPINGS:
            if args and len(args) != 2:
                raise TypeError(f"{name} has to say what its keys and its values are")
            key, value = args or (Any, Any)
            node = Node("dict", label=name)
            node.items = [_as_key(self.read(key, variables)), self.read(value, variables)]
            if node.items[0].kind not in ("any", "choice", "text", "objectid", *_SCALARS.values()):
                raise TypeError(f"weft cannot read the keys of {name}")
            return node
        if cls is tuple:
            if not args and annotation is not tuple:
                return Node("tuple", label=name)  # tuple[()]
            if any(getattr(a, "__unpacked__", get_origin(a) is typing.Unpack) for a in args):
                raise TypeError(f"weft cannot read {name}, of which a part has any length")
            if args and (len(args) != 2 or args[1] is not Ellipsis):
                return Node("tuple", label=name, items=[self.read(a, variables) for a in args])
            return Node("vartuple", label=name, items=[self.read((args or (Any,))[0], variables)])
        item = self.read(args[0] if args else Any, variables)
        return Node(_CONTAINERS[cls], label=name, items=[item])

    # ---- classes ----

    def _scalar(self, cls: type) -> Node | None:
        if cls in _SCALARS:
            return Node(_SCALARS[cls], type=cls, label=cls.__name__, base64=True)
        if issubclass(cls, enum.Enum):
            return _enum(cls)
        if is_object_id(cls):
            return Node("objectid", type=cls, label="ObjectId")
        if cls is Raw or cls is loaded("msgspec", "Raw"):
            return Node("raw", type=cls, label="Raw")
        if issubclass(cls, _TEXT):
            return Node("text", type=cls, label=cls.__name__)
        return None

    def _class(self, annotation: Any, cls: type, variables: Mapping[Any, Any]) -> Node | None:
        key = _key(annotation, variables)
        if key in self._seen:
            return self._seen[key]
        args = tuple(_substitute(arg, variables) for arg in typing.get_args(annotation))
        inner = dict(zip(getattr(cls, "__parameters__", ()), args, strict=False))
        struct = loaded("msgspec", "Struct")
        fill: Callable[[Node, Any, Mapping[Any, Any]], None]
        if is_pydantic(annotation) or is_pydantic(cls):
            node = self._seen[key] = self._island(annotation)
            return node
        if struct is not None and issubclass(cls, struct):
            fill = self._struct
            inner = {**inner, None: annotation if args else cls}  # msgspec resolves it by itself
        elif typing.is_typeddict(cls) or _is_typed_dict(cls):
            fill = self._typed_dict
        elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
            fill = self._named_tuple
        elif dataclasses.is_dataclass(cls):
            fill = self._dataclass
        elif "__attrs_attrs__" in cls.__dict__ or hasattr(cls, "__attrs_attrs__"):
            fill = self._attrs
        elif hasattr(cls, "__get_pydantic_core_schema__"):
            node = self._seen[key] = self._island(annotation)
            return node
        else:
            return None
        node = self._seen[key] = Node("object", type=cls, label=type_name(annotation))
        try:
            fill(node, cls, inner)
        except BaseException:
            del self._seen[key]
            raise
        return node

    def _hooked(self, annotation: Any, cls: type) -> Node | None:
        """A class that nobody here can read, where somebody else makes its instances."""
        if self._dec_hook is None:
            return None
        made = partial(self._dec_hook, annotation)
        return Node("hook", type=cls, label=type_name(annotation), call=made)

    def _field(self, node: Node, name: str, annotation: Any, variables: Mapping[Any, Any]) -> Node:
        try:
            return self.read(annotation, variables)
        except TypeError as exc:
            raise TypeError(f"{node.label}.{name}: {exc}") from exc

    def _struct(self, node: Node, cls: Any, variables: Mapping[Any, Any]) -> None:
        import msgspec

        config = cls.__struct_config__
        node.make = "struct"
        node.extra = "forbid" if config.forbid_unknown_fields else "ignore"
        node.array = config.array_like
        node.omit_defaults = config.omit_defaults
        node.tag = (config.tag_field, config.tag) if config.tag is not None else None
        node.post_init = "__post_init__" if hasattr(cls, "__post_init__") else None
        try:
            fields = msgspec.structs.fields(variables[None])
        except Exception as exc:
            raise _unread(node.label, exc) from exc
        for f in fields:
            kind, default = "required", None
            if f.default is not msgspec.NODEFAULT:
                kind, default = "value", f.default
            elif f.default_factory is not msgspec.NODEFAULT:
                kind, default = _factory(f.default_factory)
            node.fields.append(
                Field(
                    f.name,
                    (f.encode_name,),
                    self._field(node, f.name, f.type, variables),
                    default_kind=kind,
                    default=default,
                    in_slot=True,
                )
            )

    def _typed_dict(self, node: Node, cls: Any, variables: Mapping[Any, Any]) -> None:
        node.make = "dict"
        for name, annotation in _hints(cls).items():
            required = name in cls.__required_keys__
            while getattr(get_origin(annotation), "_name", None) in _QUALIFIERS:
                # `from __future__ import annotations` hides these from __required_keys__
                which = get_origin(annotation)._name
                if which != "ReadOnly":
                    required = which == "Required"
                annotation = typing.get_args(annotation)[0]
            child = self._field(node, name, annotation, variables)
            kind = "required" if required else "omit"
            node.fields.append(Field(name, (name,), child, default_kind=kind))

    def _named_tuple(self, node: Node, cls: Any, variables: Mapping[Any, Any]) -> None:
        node.make, node.array, node.extra = "namedtuple", True, "forbid"
        hints = _hints(cls)
        for name in cls._fields:
            child = self._field(node, name, hints.get(name, Any), variables)
            field = Field(name, (name,), child)
            if name in cls._field_defaults:
                field.default_kind, field.default = "value", cls._field_defaults[name]
            node.fields.append(field)

    def _dataclass(self, node: Node, cls: Any, variables: Mapping[Any, Any]) -> None:
        hints = _hints(cls)
        fields = dataclasses.fields(cls)
        init_only = [
            f for f in cls.__dataclass_fields__.values() if isinstance(f.type, dataclasses.InitVar)
        ]
        by_call = bool(init_only) or any(not f.init for f in fields) or _has_new(cls)
        by_call = by_call or any(_is_descriptor(cls, f.name) for f in fields)
        node.make = "call" if by_call else "instance"
        if not by_call and hasattr(cls, "__post_init__"):
            node.post_init = "__post_init__"
        for f in (*fields, *init_only):
            if not f.init:
                continue
            annotation = hints[f.name]
            if isinstance(annotation, dataclasses.InitVar):
                annotation = annotation.type
            kind, default = "required", None
            if f.default is not dataclasses.MISSING:
                kind, default = "value", f.default
            elif f.default_factory is not dataclasses.MISSING:
                kind, default = _factory(f.default_factory)
            if by_call and kind != "required":
                kind, default = "omit", None
            child = self._field(node, f.name, annotation, variables)
            in_slot = not by_call and _is_slot(cls, f.name)
            node.fields.append(Field(f.name, (f.name,), child, "", kind, default, in_slot))

    def _attrs(self, node: Node, cls: Any, variables: Mapping[Any, Any]) -> None:
        import attr

        hints = _hints(cls)
        fields = attr.fields(cls)
        takes_self = [
            a
            for a in fields
            if isinstance(a.default, attr.Factory) and a.default.takes_self  # type: ignore[arg-type]
        ]
        by_call = bool(takes_self) or _has_new(cls) or hasattr(cls, "__attrs_pre_init__")
        by_call = by_call or any(a.converter or a.validator or not a.init for a in fields)
        node.make = "call" if by_call else "instance"
        if not by_call and hasattr(cls, "__attrs_post_init__"):
            node.post_init = "__attrs_post_init__"
        for a in fields:
            if not a.init:
                continue
            kind, default = "required", None
            if isinstance(a.default, attr.Factory):  # type: ignore[arg-type]
                kind, default = _factory(a.default.factory)
            elif a.default is not attr.NOTHING:
                kind, default = "value", a.default
            if by_call and kind != "required":
                kind, default = "omit", None
            child = self._field(node, a.name, hints.get(a.name, Any), variables)
            name = a.alias if by_call else a.name
            in_slot = not by_call and _is_slot(cls, a.name)
            node.fields.append(Field(name, (a.name,), child, "", kind, default, in_slot))


def _anything(float_hook: Callable[[str], Any] | None) -> Node | None:
    """Any value without a type, of which the floats are the hook's. None without a hook: there is a
    faster reader for that."""
    if float_hook is None:
        return None
    node = Node("union", label="any")
    kinds = ("none", "bool", "int", "str")
    node.items = [Node(kind, label=kind) for kind in kinds]
    node.items += [
        Node("hook", label="float", call=float_hook),
        Node("list", label="list", items=[node]),
        Node("dict", label="dict", items=[Node("str", label="str"), node]),
    ]
    node.classes = {"null": 0, "bool": 1, "int": 2, "str": 3, "float": 4, "array": 5, "object": 6}
    return node


# ---- unions ----


def union(members: list[Node], label: str) -> Node:
    """Members are told apart by what the input is: one for each class of JSON values, but for
    Structs with tags, and literals. TypeError where that cannot be."""
    members = _merged(members)
    if len(members) == 1:
        return members[0]
    if any(member.kind == "any" for member in members):
        return Node("any", label="any")
    node = Node("union", label=label, items=members)
    rest = [i for i, member in enumerate(members) if member.kind in _REST]
    for i, member in enumerate(members):
        if i in rest:
            continue
        for name in _classes(member):
            if name in node.classes:
                other = members[node.classes[name]]
                raise TypeError(f"{label}: {other.label} and {member.label} look alike in JSON")
            node.classes[name] = i
    if len(rest) > 1:
        names = " and ".join(members[i].label for i in rest)
        raise TypeError(f"{label}: {names} may be any JSON, and only one of its types can")
    kinds = {member.kind: i for i, member in enumerate(members)}
    for wider, kind in (("float", "float"), ("decimal", "decimal")):
        if kind in kinds and wider != "decimal":
            node.classes.setdefault("int", kinds[kind])
        elif kind in kinds:
            node.classes.setdefault("int", kinds[kind])
            node.classes.setdefault("float", kinds[kind])
    for i in rest:  # takes what no other does
        for name in _CLASSES:
            node.classes.setdefault(name, i)
    return node


def _merged(members: list[Node]) -> list[Node]:
    flat: list[Node] = []
    for member in members:
        flat.extend(member.items if member.kind == "union" and not member.judge else [member])
    merged: list[Node] = []
    choices: Node | None = None
    tagged = [m for m in flat if (m.kind == "object" and m.tag is not None) or m.kind == "tagged"]
    several = {
        array: sum(len(m.items) or 1 for m in tagged if m.array == array) > 1
        for array in (False, True)
    }
    taggers: dict[bool, Node] = {}  # of objects and of arrays, which need not have one key
    whole = {m.kind for m in flat if m.kind in ("none", "int", "str") and not m.checks}
    for member in flat:
        if member.kind in whole and not member.checks:
            if any(m.kind == member.kind and not m.checks for m in merged):
                continue
        elif member.kind == "choice" and member.type is None:
            member = _without(member, whole)
            if not member.choices:
                continue
        if member.kind == "choice" and member.type is None:
            if choices is None:
                choices = Node("choice", label=member.label, choices=list(member.choices))
                merged.append(choices)
            else:
                choices.choices += member.choices
                choices.label += f" | {member.label}"
        elif member in tagged and several[member.array]:
            if member.array not in taggers:
                taggers[member.array] = Node("tagged", array=member.array)
                merged.append(taggers[member.array])
            for item in member.items if member.kind == "tagged" else [member]:
                _add_tagged(taggers[member.array], item)
        else:
            merged.append(member)
    return merged


def _without(literal: Node, kinds: set[str]) -> Node:
    """What a Literal adds beside all of int or str."""
    left = [choice for choice in literal.choices if type(choice[0]).__name__ not in kinds]
    return literal if left == literal.choices else dataclasses.replace(literal, choices=left)


def _add_tagged(node: Node, item: Node) -> None:
    assert item.tag is not None
    key, tag = item.tag
    if node.key and node.key != key:
        raise TypeError(f"{item.label} has its tag in {key!r}, others in {node.key!r}")
    if any(tag == other for other, _ in node.choices):
        raise TypeError(f"{item.label} has the tag of another, {tag!r}")
    node.key = key
    node.items.append(item)
    node.choices.append((tag, None))
    node.label = f"{node.label} | {item.label}" if node.label else item.label


def _classes(node: Node) -> list[str]:
    if node.kind == "none":
        return ["null"]
    if node.kind in ("bool", "int", "float"):
        return [node.kind]
    if node.kind in _STRINGS or node.kind == "decimal":
        return ["str"]
    if node.kind == "choice":
        kinds = {"str" if isinstance(value, str) else "int" for value, _ in node.choices}
        return sorted(kinds)
    if node.kind in _ARRAYS or (node.kind in ("object", "tagged") and node.array):
        return ["array"]
    return ["object"]


def _flatten(args: Iterable[Any]) -> Iterable[Any]:
    for arg in args:
        if get_origin(arg) in _UNIONS:
            yield from _flatten(typing.get_args(arg))
        else:
            yield arg


def _literal(annotation: Any) -> Node:
    values = list(_literal_values(annotation))
    label = type_name(annotation)
    node = Node("choice", label=label)
    for value in values:
        if value is None:
            continue
        if type(value) not in (str, int):
            raise TypeError(f"{label}: only None, int and str can be told apart in JSON")
        if type(value) is int and not _INT_MIN <= value <= _INT_MAX:
            raise TypeError(f"{label}: {value} is too large for a choice")
        node.choices.append((value, value))
    members = [node] if node.choices else []
    if None in values:
        members.append(Node("none", label="null"))
    return union(members, label)


def _literal_values(annotation: Any) -> Iterable[Any]:
    for value in typing.get_args(annotation):
        if get_origin(value) is Literal:
            yield from _literal_values(value)
        else:
            yield value


def _enum(cls: type[enum.Enum]) -> Node:
    node = Node("choice", type=cls, label=cls.__name__)
    values = [member.value for member in cls]
    if not values or not all(type(value) in (int, str) for value in values):
        raise TypeError(f"{cls.__name__}: values of an enum are all int or str, and there are some")
    if any(type(value) is int and not _INT_MIN <= value <= _INT_MAX for value in values):
        raise TypeError(f"{cls.__name__}: a value is too large for a choice")
    node.choices = [(member.value, member) for member in cls]
    own_missing = getattr(cls._missing_, "__func__", None) is not enum.Enum._missing_.__func__  # type: ignore[attr-defined]
    if own_missing:  # a Flag has one, of what is set together
        node.call = cls
    return node


def _as_key(node: Node) -> Node:
    """A choice as a dict's key, which is text: ints in decimal digits."""
    if node.kind != "choice":
        return node
    choices = sorted(node.choices, key=lambda choice: isinstance(choice[0], int))  # text first
    call = node.call
    if call is not None and isinstance(choices[0][0], int):
        call = partial(_call_with_int, call)
    texts: list[tuple[str | int, Any]] = [(str(value), member) for value, member in choices]
    return dataclasses.replace(node, choices=texts, call=call)


def _call_with_int(call: Callable[[int], Any], text: str) -> Any:
    if re.fullmatch("-?[0-9]+", text) is None:
        raise ValueError(text)
    return call(int(text))


# ---- constraints ----

_META = (
    ("gt", "gt"),
    ("ge", "ge"),
    ("lt", "lt"),
    ("le", "le"),
    ("multiple_of", "multiple_of"),
    ("min_length", "min_length"),
    ("max_length", "max_length"),
    ("pattern", "pattern"),
    ("tz", "tz"),
)


def _constraints(item: Any) -> Iterable[tuple[str, Any]]:
    """Of msgspec.Meta, annotated_types and pydantic.Field; others say nothing here."""
    module, name = type(item).__module__, type(item).__name__
    if module.startswith("msgspec") and name == "Meta":
        for attribute, op in _META:
            limit = getattr(item, attribute)
            if limit is not None:
                yield op, limit
    elif module == "annotated_types":
        match name:
            case "Gt" | "Ge" | "Lt" | "Le":
                yield name.lower(), getattr(item, name.lower())
            case "MultipleOf":
                yield "multiple_of", item.multiple_of
            case "MinLen":
                yield "min_length", item.min_length
            case "MaxLen":
                yield "max_length", item.max_length
            case "Timezone":
                if item.tz is not None and item.tz is not ...:
                    raise TypeError(f"{item}: only aware and naive can be asked for")
                yield "tz", item.tz is ...
            case "Interval" | "Len":
                for part in item:
                    yield from _constraints(part)
    elif module == "pydantic.fields" and name == "FieldInfo":
        for part in item.metadata:
            pattern = getattr(part, "pattern", None)
            if pattern is not None:
                yield "pattern", pattern
            yield from _constraints(part)


def _options(item: Any) -> Mapping[str, Any]:
    """What msgspec.Meta and pydantic.Field tell people, in the words of the latter."""
    names: dict[str, str] = {name: name for name in ("title", "description", "examples")}
    match type(item).__module__.partition(".")[0], type(item).__name__:
        case "weft", "Described":
            return item.options  # type: ignore[no-any-return]
        case "msgspec", "Meta":
            names["json_schema_extra"] = "extra_json_schema"
        case "pydantic", "FieldInfo":
            names |= {"deprecated": "deprecated", "json_schema_extra": "json_schema_extra"}
        case _:
            return {}
    found = {name: getattr(item, attribute) for name, attribute in names.items()}
    return {name: value for name, value in found.items() if value is not None}


def _constrain(node: Node, op: str, limit: Any, annotation: Any) -> None:
    if node.kind == "union":
        fitting = [item for item in node.items if _fits(item, op)]
        for item in fitting:
            _constrain(item, op, limit, annotation)
        if fitting:
            return
    if not _fits(node, op):
        raise TypeError(f"{op} says nothing about {type_name(typing.get_args(annotation)[0])}")
    if op == "pattern":
        limit = re.compile(limit).search
    node.checks.append((op, limit))


def _fits(node: Node, op: str) -> bool:
    if op in ("min_length", "max_length"):
        return node.kind in _SIZED
    if op == "pattern":
        return node.kind == "str"
    if op == "tz":
        return node.kind in ("datetime", "time")
    return node.kind in _NUMBERS or (op != "multiple_of" and node.kind in ("date", "datetime"))


# ---- looking at classes ----


def _is_variable(annotation: Any) -> bool:
    return isinstance(annotation, TypeVar)


def is_alias(annotation: Any) -> bool:
    """Is it a `type X = ...` of PEP 695, or typing_extensions' form of it?"""
    alias_type = getattr(typing, "TypeAliasType", None)
    backport = loaded("typing_extensions", "TypeAliasType")
    kinds = tuple(kind for kind in (alias_type, backport) if kind is not None)
    return bool(kinds) and isinstance(annotation, kinds)


def _is_typed_dict(cls: type) -> bool:
    check = loaded("typing_extensions", "is_typeddict")
    return check is not None and check(cls)


def _key(annotation: Any, variables: Mapping[Any, Any]) -> Any:
    """What tells one use of a class from another: Box[T] is not the same where T is not."""
    free = getattr(annotation, "__parameters__", ()) if typing.get_args(annotation) else ()
    return annotation, tuple(variables.get(p, p) for p in free)


def _substitute(annotation: Any, variables: Mapping[Any, Any]) -> Any:
    if _is_variable(annotation):
        return variables.get(annotation, annotation)
    free = getattr(annotation, "__parameters__", ())
    if free and typing.get_args(annotation):
        return annotation[tuple(variables.get(p, p) for p in free)]
    return annotation


def _hints(cls: Any) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception as exc:
        raise _unread(type_name(cls), exc) from exc
    filled = _filled(cls)
    for name in hints if filled else ():
        owner = next(c for c in cls.__mro__ if name in inspect.get_annotations(c))
        hints[name] = _substitute(hints[name], filled.get(owner, {}))
    return {name: hint for name, hint in hints.items() if get_origin(hint) is not ClassVar}


def _filled(cls: type) -> dict[type, dict[Any, Any]]:
    """What the variables of its generic bases stand for, where a class says so."""
    filled: dict[type, dict[Any, Any]] = {}
    for derived in cls.__mro__:
        for base in derived.__dict__.get("__orig_bases__", ()):
            of = get_origin(base)
            if isinstance(of, type) and of is not typing.Generic:
                args = [_substitute(a, filled.get(derived, {})) for a in typing.get_args(base)]
                filled.setdefault(
                    of, dict(zip(getattr(of, "__parameters__", ()), args, strict=False))
                )
    return filled


def _resolved(alias: Any) -> Any:
    """What an alias stands for; names in quotes are its module's."""
    holder = types.SimpleNamespace(__annotations__={"value": alias.__value__})
    names = vars(sys.modules[alias.__module__])
    try:
        return typing.get_type_hints(holder, names, include_extras=True)["value"]
    except Exception as exc:
        raise _unread(alias.__name__, exc) from exc


def _unread(name: str, error: Exception) -> Exception:
    """For annotations, which are code and may raise anything: a TypeError that says of what."""
    if isinstance(error, RecursionError | MemoryError):
        return error
    known = isinstance(error, NameError | TypeError)
    return TypeError(f"{name}: {error if known else repr(error)}")


def _static(cls: type, name: str) -> Any:
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return None


def _is_slot(cls: type, name: str) -> bool:
    return isinstance(_static(cls, name), types.MemberDescriptorType)


def _is_descriptor(cls: type, name: str) -> bool:
    return not _is_slot(cls, name) and hasattr(type(_static(cls, name)), "__set__")


def _has_new(cls: type) -> bool:
    return _static(cls, "__new__") is not object.__dict__["__new__"]


def _factory(factory: Callable[[], Any]) -> tuple[str, Any]:
    return _FACTORIES.get(factory, "factory"), factory
