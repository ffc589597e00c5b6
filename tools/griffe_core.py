"""Shows what is C in the reference: `weft._core` has signatures in stubs, words in itself."""

from __future__ import annotations

import inspect
from typing import Any

import griffe

from weft import _core


class CoreDocstrings(griffe.Extension):
    """Puts them together once the stubs have been read."""

    def on_module_members(self, *, mod: griffe.Module, **kwargs: Any) -> None:
        if mod.path != _core.__name__:
            return
        for name, overloads in mod.overloads.items():
            if name not in mod.members:  # nothing but overloads, as is usual in stubs
                mod.set_member(name, overloads[-1])
                overloads[-1].overloads = overloads
        describe(mod, _core)


def describe(obj: griffe.Object, thing: Any) -> None:
    """Gives the members of `obj` the docstrings that those of `thing` have."""
    for name, member in obj.members.items():
        found = getattr(thing, name, None)
        if isinstance(member, griffe.Alias) or found is None:
            continue
        text = inspect.getdoc(found)
        own = isinstance(member, griffe.Function | griffe.Class) or inspect.isdatadescriptor(found)
        if text and own:  # what a plain attribute has is of its value's class
            member.docstring = griffe.Docstring(text, parent=member)
        if isinstance(member, griffe.Class):
            describe(member, found)
