"""`weft.shape(T)`: a type, compiled."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Generic, Literal, TypeVar, overload

from weft import _core
from weft.shapes import json_schema, output
from weft.shapes import pydantic as _pydantic
from weft.shapes.annotations import Reader, is_pydantic, loaded
from weft.shapes.core_schema import adapter_of
from weft.shapes.nodes import Node, type_name

__all__ = ["Shape", "describe", "lines", "shape"]

T = TypeVar("T")


class Shape(Generic[T]):
    """A type, compiled once, that every codec walks. Made by `weft.shape()`."""

    __slots__ = ("_output", "annotation", "native")

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self.native = _core.Shape(describe(annotation))
        self._output: _core.Shape | None = None

    def __repr__(self) -> str:
        return f"<Shape of {type_name(self.annotation)}>"

    def decode_json(self, data: Any, *, strict: bool = True) -> T:
        """What `weft.json.decode(data, type=...)` gives, of JSON in bytes, a buffer or a str.

        `weft.json.DecodeError`, a ValueError, for what is none or not of the type; of pydantic's
        types its ValidationError.
        """
        decode = self.native.decode_json if strict else self.native.decode_json_lax
        return decode(data)  # type: ignore[no-any-return]

    @property
    def output(self) -> _core.Shape:
        """Of what is written of the type, which is another tree: names, and who writes what."""
        if self._output is None:
            self._output = output_of(self.annotation)
        return self._output

    def encode_json(self, obj: T) -> bytes:
        """What `weft.json.encode(obj, type=...)` gives: UTF-8. `weft.json.EncodeError` for what is
        not of the type."""
        return self.output.encode_json(obj)

    def json_schema(
        self, *, mode: Literal["validation", "serialization"] = "validation"
    ) -> dict[str, Any]:
        """The JSON Schema (2020-12) of what it reads, or by `mode` of what is written of it.

        `weft.shapes.SchemaError` for a type that has none.
        """
        return json_schema.describe(self.native.description, mode)

    def explain(self, *, mode: Literal["validation", "serialization"] = "validation") -> str:
        """Which parts are read in C, or by `mode` written, and which are handed over to pydantic,
        and why; a line each. Of a model that pydantic reads as a whole, all that is not native."""
        shape = self.native if mode == "validation" else self.output
        return "\n".join(lines(shape.description))


@overload
def shape(annotation: type[T]) -> Shape[T]: ...
@overload
def shape(annotation: Any) -> Shape[Any]: ...
def shape(annotation: Any) -> Shape[Any]:
    """The shape of a type. TypeError where neither weft nor pydantic can read it."""
    try:
        return _cached(annotation)
    except TypeError:
        hash_of = getattr(annotation, "__hash__", None)
        if hash_of is None:
            return Shape(annotation)
        raise


def native_of(annotation: Any) -> _core.Shape:
    """For `weft.json.decode`, which keeps it."""
    return shape(annotation).native


def hooked(
    annotation: Any,
    dec_hook: Callable[[Any, Any], Any] | None,
    float_hook: Callable[[str], Any] | None,
) -> _core.Shape:
    """For `weft.json.decode` with hooks; None is no type. TypeError as of `shape`."""
    for name, hook in (("dec_hook", dec_hook), ("float_hook", float_hook)):
        if hook is not None and not callable(hook):
            raise TypeError(f"{name} must be callable, not {type(hook).__qualname__}")
    return _core.Shape(describe(Any if annotation is None else annotation, dec_hook, float_hook))


def output_of(annotation: Any, default: Callable[[Any], Any] | None = None) -> _core.Shape:
    """For `weft.json.encode`, which keeps it where there is no ``default``."""
    return _core.Shape(output.describe(annotation, _is_judged, default is not None), default)


def reply_of(adapter: Any) -> _core.Shape:
    """For replies: what is written of what a TypeAdapter validates."""
    return _core.Shape(output.describe_pydantic(adapter))


@functools.lru_cache(maxsize=1024, typed=True)
def _cached(annotation: Any) -> Shape[Any]:
    return Shape(annotation)


def describe(
    annotation: Any,
    dec_hook: Callable[[Any, Any], Any] | None = None,
    float_hook: Callable[[str], Any] | None = None,
) -> Node:
    """The description of a type: pydantic is the judge of what contains its models at the top, in
    containers and unions; msgspec is the measure of everything else. Hooks are asked outside of
    what is pydantic's."""
    try:
        if _is_judged(annotation):
            return _island(annotation)
        return Reader(_island, dec_hook, float_hook).read(annotation)
    except RecursionError:
        raise TypeError("weft cannot read a type that nests so deep") from None


def _island(annotation: Any) -> Node:
    """What pydantic has to read inside of what it has not."""
    adapter = adapter_of(annotation, type_name(annotation))
    judge = adapter.validator.validate_python
    node = _pydantic.describe(adapter, judge, type_name(annotation))
    node.annotation = annotation
    return node


def _is_judged(annotation: Any) -> bool:
    if is_pydantic(annotation) or is_pydantic(typing.get_origin(annotation)):
        return True
    if loaded("pydantic", "BaseModel") is None or isinstance(annotation, str):
        return False
    args = [arg for arg in typing.get_args(annotation) if arg is not Ellipsis]
    return not any(map(_is_unknown, args)) and any(map(_is_judged, args))


def _is_unknown(annotation: Any) -> bool:
    """Can pydantic not read it: a Struct or an attrs class, with parameters or without?"""
    cls = typing.get_origin(annotation) or annotation
    struct = loaded("msgspec", "Struct")
    return isinstance(cls, type) and (
        (struct is not None and issubclass(cls, struct)) or hasattr(cls, "__attrs_attrs__")
    )


def _causes(model: Any) -> Iterator[str]:
    """All that is not native in a model that is handed over: its validators, and its fields."""
    decorators = getattr(model, "__pydantic_decorators__", None)
    if decorators is None or not hasattr(model, "model_fields"):
        return
    for kind in ("field_validators", "model_validators"):
        for name, found in getattr(decorators, kind).items():
            of = ", ".join(getattr(found.info, "fields", ()))
            yield f"{name}(): a {found.info.mode} validator of {of or 'all of it'}"
    for name, field in model.model_fields.items():
        annotation: Any = field.annotation
        for part in field.metadata:
            annotation = Annotated[annotation, part]
        try:
            node = _island(annotation)
        except TypeError as exc:
            yield f"{name}, by itself: {exc}"
            continue
        if any(not part.native for part in node.walk()):
            yield from (f"{name}, by itself: {line.strip()}" for line in lines(node))


def lines(root: Node) -> Iterator[str]:
    """What `Shape.explain` says, of a description."""
    seen: set[int] = set()

    def walk(node: Node, name: str, indent: str) -> Iterator[str]:
        what = f"{indent}{name}: {node.label}" if name else f"{indent}{node.label}"
        if node.kind == "handed":
            last = " when all else is valid" if node.puts_off else ""
            yield f"{what}: handed over to pydantic{last}: {node.why}"
            for line in _causes(node.annotation):
                yield f"{indent}  {line}"
            return
        if node.kind == "serializer":
            yield f"{what}: written by {getattr(node.call, '__name__', node.call)}()"
            return
        if node.kind == "hook":
            yield f"{what}: made by {'dec_hook' if node.type is not None else 'float_hook'}"
            return
        called = ""
        while node.kind == "after":  # the innermost is called first
            called = f", then {node.why}(){called}"
            judge, node = node.judge, node.items[0]
            if judge is not None:
                called = f"{called}, pydantic judges what is invalid"
        judged = ", pydantic judges what is invalid" if node.judge is not None else ""
        checks = "".join(f", {op} {limit!r}" for op, limit in node.checks if op != "pattern")
        if id(node) in seen and (node.fields or node.items):
            yield f"{what}: native, as above"
            return
        seen.add(id(node))
        made = {"call": ", made by calling it"}.get(node.make, "")
        made += f", then {node.post_init}()" if node.post_init else ""
        yield f"{what}: native{checks}{made}{called}{judged}"
        for field in node.fields:
            yield from walk(field.node, field.name, indent + "  ")
        for field in node.computed:
            yield from walk(field.node, f"{field.name}, computed", indent + "  ")
        for item in node.items:
            if item.kind in ("handed", "object", "union", "tagged", "after") or item.items:
                yield from walk(item, "", indent + "  ")

    return walk(root, "", "")
