"""How a shape is described to ``_core.Shape``, which compiles it: see src/py/shape/shape.h."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Described", "Field", "Node", "runs_code", "type_name"]


@dataclass(slots=True, eq=False)
class Described:
    """In `Annotated`: what a parameter says of itself, in the words of `pydantic.Field`."""

    options: Mapping[str, Any]


@dataclass(slots=True, eq=False)
class Field:
    """A field of an object."""

    name: str
    keys: tuple[str, ...]  # in input, the usual one first
    node: Node
    out_key: str = ""  # in output; the usual one if empty
    # required, value, copy, factory, list, dict, set, omit
    default_kind: str = "required"
    default: Any = None
    in_slot: bool = False  # there is a member descriptor of this name; else the instance's dict
    hidden: bool = False  # it is not written


@dataclass(slots=True, eq=False)
class Node:
    """A type, or one use of it. Recursive types refer to the same node again."""

    kind: str
    type: Any = None
    label: str = ""  # for people
    checks: list[tuple[str, Any]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)  # of pydantic.Field, for its JSON Schema
    pydantic: bool = False  # text by pydantic's grammar, tzinfo of pydantic's class
    lax: bool = False
    base64: bool = False
    finite: bool = False
    strict: bool = False  # a number or bool that is never made of text
    # one item of a container; a tuple's items; a dict's key and value; a union's members, tagged
    # or not
    items: list[Node] = field(default_factory=list)
    # choice: (str or int in the input, value) each; tagged: (str or int, None), as many as items
    choices: list[tuple[str | int, Any]] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)  # union: class of the input to item
    key: str = ""  # tagged: the discriminator; `array` says that it is in none
    # what is below belongs to it: called with plain objects where the walk finds them invalid
    judge: Callable[[Any], Any] | None = None
    annotation: Any = None  # of what is judged
    why: str = ""  # it is handed over
    # of a judge: called with plain objects and what validators returned that were called
    # already; of a serializer, with the value and what it raised, for JSON
    replay: Callable[..., Any] | None = None
    # after: called with the value, when all else is valid, for another. A `part` is called with the
    # dict of the object's fields, too, and says what it called: see weft.shapes.validators.
    # choice: called with what is none of the choices, for a value or a ValueError
    call: Callable[..., Any] | None = None
    part: bool = False  # in output: of a field alone, `call` and `dump` get its object

    # object
    fields: list[Field] = field(default_factory=list)
    make: str = ""  # dict, instance, struct, namedtuple, model, root_model, call
    extra: str = "ignore"  # ignore, forbid, allow
    array: bool = False  # msgspec's array_like
    tag: tuple[str, str | int] | None = None  # a Struct's own
    post_init: str | None = None
    private: dict[str, Any] | None = None  # a model's private attributes

    # of what is written, by weft.shapes.output
    output: bool = False
    # (value, by_alias, exclude_unset, exclude_none) to its JSON: pydantic's, for what is not as the
    # node says
    dump: Callable[[Any, bool | None, bool, bool], bytes] | None = None
    proved: bool = False  # pydantic's validation leaves what is exactly of this node as it is
    as_is: bool = False  # object: and an instance, whatever is in it
    by_alias: bool = False  # object: unless the caller says otherwise
    omit_defaults: bool = False  # a Struct's
    # object that is the root: model_dump leaves all that is in it as it is, but for models
    plain: bool = False
    direct: bool = False  # likewise: model_dump(mode="json") says of it what its nodes do
    twofold: bool = False  # model_dump may write it in another way than model_dump_json
    computed: list[Field] = field(default_factory=list)  # attributes written behind the fields

    def walk(self) -> Iterator[Node]:
        """It, and all that is in it."""
        seen: set[int] = set()
        nodes = [self]
        while nodes:
            node = nodes.pop()
            if id(node) not in seen:
                seen.add(id(node))
                yield node
                nodes += node.items
                nodes += [field.node for field in node.fields]

    @property
    def puts_off(self) -> bool:
        """Is its value only made, or changed, when all else is known to be valid?"""
        if self.kind in ("union", "tagged"):
            return any(item.puts_off for item in self.items)
        return self.call is not None and self.kind != "choice"

    @property
    def native(self) -> bool:
        """Is it read in C, as far as this node itself goes?"""
        return self.kind != "handed"


def type_name(annotation: Any) -> str:
    """As it is written."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation.__qualname__.rpartition("<locals>.")[2]
    try:
        text = str(annotation)
    except Exception:  # it is no type, but what it is has to be said all the same
        text = f"a {type(annotation).__qualname__}"
    return re.sub(r"\b(?:typing|collections\.abc)\.", "", text)


def runs_code(root: Node) -> bool:
    """May a walk run code of the application: default factories, __post_init__, constructors?"""
    for node in root.walk():
        if node.post_init or node.make == "call" or (node.judge is not None and node is not root):
            return True
        if node.call is not None:
            return True
        if any(field.default_kind in ("factory", "copy") for field in node.fields):
            return True
    return False
