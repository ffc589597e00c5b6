"""Whatever a user may name says what it is."""

from __future__ import annotations

import importlib
import inspect
import pydoc
from collections.abc import Iterator
from typing import Any

import pytest

import weft.loop
from weft import _core

MODULES = [
    "weft",
    "weft.background",
    "weft.bson",
    "weft.concurrency",
    "weft.datastructures",
    "weft.encoders",
    "weft.exception_handlers",
    "weft.exceptions",
    "weft.frontend",
    "weft.json",
    "weft.loop",
    "weft.middleware",
    "weft.openapi",
    "weft.params",
    "weft.requests",
    "weft.responses",
    "weft.routing",
    "weft.security",
    "weft.server",
    "weft.shapes",
    "weft.sse",
    "weft.staticfiles",
    "weft.testing",
]


def public(module: Any) -> Iterator[tuple[str, Any]]:
    """Its classes and functions that are weft's, and what its classes have of their own."""
    names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    for name in names:
        thing = getattr(module, name)
        if not str(getattr(thing, "__module__", "")).startswith("weft"):
            continue
        if inspect.isclass(thing) or inspect.isroutine(thing):
            yield name, thing
        if inspect.isclass(thing):
            for own in vars(thing):
                member = inspect.getattr_static(thing, own)
                if not own.startswith("_") and is_described(member):
                    yield f"{name}.{own}", getattr(thing, own) if is_bound(member) else member


def is_bound(member: Any) -> bool:
    return isinstance(member, classmethod | staticmethod)


def is_described(member: Any) -> bool:
    return (
        inspect.isroutine(member)
        or is_bound(member)
        or isinstance(member, property)
        or hasattr(member, "func")  # cached_property
    )


def silent(found: dict[str, Any]) -> list[str]:
    return [path for path, thing in found.items() if not doc(thing)]


def doc(thing: Any) -> str | None:
    """A method may have that of the one it overrides, a class only its own."""
    if not inspect.isclass(thing):
        return inspect.getdoc(thing)
    own = vars(thing).get("__doc__")
    made = f"{thing.__name__}("  # by dataclasses and NamedTuple
    return None if own is None or own.startswith(made) else own


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_says_what_it_is(name: str) -> None:
    module = importlib.import_module(name)
    assert inspect.getdoc(module), name
    found = dict(public(module))
    assert found
    assert silent(found) == []


def test_help_speaks_of_loops_and_transports() -> None:
    """What is C says its parameters too, in what `help` and editors show."""
    native = [_core.Loop, _core.Handle, _core.TimerHandle, _core.HandlerTask]
    native += [_core.SocketTransport, _core.DatagramTransport]
    native += [_core.ReadPipeTransport, _core.WritePipeTransport]
    for cls in native:
        assert doc(cls), cls
        for name in filter(lambda name: not name.startswith("_"), dir(cls)):
            assert inspect.getdoc(getattr(cls, name)), (cls, name)
    for cls in set(native) - {_core.HandlerTask}:
        for name in filter(lambda name: not name.startswith("_"), dir(cls)):
            assert inspect.signature(getattr(cls, name)), (cls, name)
    text = pydoc.render_doc(weft.loop.Loop.call_later, renderer=pydoc.plaintext)
    assert "call_later(self, /, delay, callback, *args, context=None)" in text
    assert "in `delay` seconds" in text


def test_what_says_nothing_is_found() -> None:
    class Silent:
        __module__ = "weft"

        def method(self) -> None: ...

        @property
        def attribute(self) -> None: ...

    module = type("module", (), {"Silent": Silent})
    assert silent(dict(public(module))) == ["Silent", "Silent.method", "Silent.attribute"]
