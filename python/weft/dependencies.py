"""From a handler and what it depends on to one plan, once, when the route is declared.

The tree of `Depends` becomes a list of uses in the order in which FastAPI runs them: each behind
those it needs itself. A use that finds its value there already is not called again; what it shares
with others, and what it does not, is settled here, so that a request only follows the list.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from weft import _core
from weft.exceptions import SignatureError
from weft.params import Dependency
from weft.requests import Request
from weft.responses import Response
from weft.routing import Route, endpoint_name, is_a, is_async_callable, unpartial
from weft.security.base import SecurityBase
from weft.security.jwt import JWTBearer
from weft.security.scopes import SecurityScopes
from weft.signature import Description, Step, body_mode, describe, embeds

__all__ = ["Overrides", "Tree", "Use"]

Overrides = Mapping[Callable[..., Any], Callable[..., Any]]
_TREE_DEPTH_MAX = 100  # of a chain: more than anybody writes, unless it goes round in circles


@dataclass(slots=True)
class Use:
    """One use of a dependency, as `_core.Plan` takes it; the words are those of py/plan/plan.h."""

    plan: _core.Plan
    kind: str
    value: int
    key: int
    shared: bool
    function_scope: bool
    start: int
    parent: int = 0
    repeat: bool = False
    first: int = 0


class Node:
    """A handler or a dependency, and under it what that depends on."""

    def __init__(
        self,
        call: Callable[..., Any],
        tree: Tree,
        depends: Dependency | None = None,
        *,
        scopes: tuple[str, ...] = (),
        step: Step | None = None,
        depth: int = 0,
    ) -> None:
        self.call = call
        self.depends = depends
        self.step = step  # of whoever needs it
        self.scopes = tuple(dict.fromkeys(scopes))
        self.description: Description = tree.describe(call)
        self.kind = _kind(call, depends)
        if depth > _TREE_DEPTH_MAX:
            raise SignatureError(
                f"{endpoint_name(call)}() depends on itself, or ends a chain of more than "
                f"{_TREE_DEPTH_MAX} dependencies"
            )
        self.children: list[Node] = []
        if depth == 0:
            for item in tree.dependencies:
                self.children.append(tree.node(item, (), None, 1, use_cache=True))
        for needed in self.description.steps:
            if needed.depends is not None:
                self._check_scope(needed.depends)
                self.children.append(tree.node(needed.depends, scopes, needed, depth + 1))
        self.use_cache = depends is None or depends.use_cache
        self.all_shared: bool = all(child.use_cache and child.all_shared for child in self.children)

    @property
    def scope(self) -> str | None:
        if self.depends is not None and self.depends.scope is not None:
            return self.depends.scope
        return "request" if self.kind.endswith("generator") else None

    def _check_scope(self, needed: Dependency) -> None:
        if (
            self.depends is not None  # an endpoint that yields does so once they are gone
            and self.kind.endswith("generator")
            and self.scope == "request"
            and needed.scope == "function"
        ):
            raise SignatureError(
                f'the dependency {endpoint_name(self.call)}() has a scope of "request", it cannot '
                'depend on dependencies with scope "function"'
            )

    @property
    def uses_scopes(self) -> bool:
        """Does what it gives depend on the scopes it is used with?"""
        return (
            bool(self.depends is not None and self.depends.scopes)
            or any(step.annotation is SecurityScopes for step in self.description.steps)
            or isinstance(inspect.unwrap(unpartial(self.call)), SecurityBase)
            or any(child.uses_scopes for child in self.children)
        )

    def walk(self) -> Iterator[Node]:
        """This one, then those under it, as FastAPI looks for the parameters of a body."""
        yield self
        for child in self.children:
            yield from child.walk()


class Tree:
    """A handler with all it depends on. `SignatureError` for what cannot be."""

    def __init__(
        self,
        endpoint: Callable[..., Any],
        path: str = "",
        *,
        request_class: type | None = None,
        response_class: type | None = None,
        dependencies: Sequence[Dependency] = (),
        overrides: Overrides | None = None,
    ) -> None:
        self.path = path
        self.classes = {"request_class": request_class, "response_class": response_class}
        self.dependencies = dependencies
        self.overrides = overrides or {}
        self._originals: dict[int, Node] = {}
        self.root = Node(endpoint, self)

    @classmethod
    def of(cls, route: Route, overrides: Overrides | None = None) -> Tree:
        """The tree of a route's endpoint."""
        return cls(
            route.endpoint,
            route.path,
            request_class=Request,
            response_class=Response,
            dependencies=route.dependencies,
            overrides=overrides,
        )

    def describe(self, call: Callable[..., Any]) -> Description:
        return describe(call, self.path, **self.classes)

    def node(
        self,
        depends: Dependency,
        scopes: tuple[str, ...],
        step: Step | None,
        depth: int,
        *,
        use_cache: bool | None = None,
    ) -> Node:
        call = depends.dependency
        if call is None:
            raise SignatureError("Depends() in a list of dependencies needs the dependency")
        used = self.overrides.get(call, call)
        node = Node(used, self, depends, scopes=(*scopes, *depends.scopes), step=step, depth=depth)
        if use_cache is not None:
            node.use_cache = use_cache
        if used is not call:  # in all but what it does it stays what it replaces
            original = Node(call, self, depends, scopes=node.scopes, step=step, depth=depth)
            self._originals[id(node)] = original
        return node

    def key(self, node: Node) -> tuple[Any, ...]:
        """Uses of equal keys share one value in a request."""
        node = self._originals.get(id(node), node)
        scopes = tuple(sorted(node.scopes)) if node.uses_scopes else ()
        return _identity(node.call), scopes, node.scope or ""

    def steps(self) -> Iterator[Step]:
        """All that the request is looked at for, the handler's first."""
        for node in self.root.walk():
            yield from node.description.steps

    def compile(self) -> _core.Plan:
        return _Compiler(self).plan()


class _Compiler:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.embed = embeds(list(tree.steps()))
        self.uses: list[Use] = []
        self.nvalues = 0
        self.keys: dict[tuple[Any, ...], int] = {}  # to the value they share
        self.first: dict[tuple[Any, ...], int] = {}  # to the index of the first use

    def plan(self) -> _core.Plan:
        root = self.tree.root
        children = [self.add(child) for child in root.children]
        mode = body_mode(list(self.tree.steps()))
        description = self.fill(root, children, body_mode=mode)
        for child in children:
            self.uses[child].parent = len(self.uses)
        return description.compile(tuple(self.uses))

    def add(self, node: Node) -> int:
        """Appends the uses of a tree; the index of the last, which is the node's own."""
        key = self.tree.key(node)
        start = len(self.uses)
        if node.use_cache and node.all_shared and key in self.first:
            first = self.first[key]
            self.uses.append(replace(self.uses[first], start=start, repeat=True, first=first))
            self.uses[start].value = self.uses[start].key
            self.uses[start].shared = True
            return start
        children = [self.add(child) for child in node.children]
        index = len(self.uses)
        for child in children:
            self.uses[child].parent = index
        shared = self.keys.get(key)
        if shared is None:
            shared = self.keys[key] = self.new_value()
        description = self.fill(node, children)
        call, kind = node.call, node.kind
        if node.depends is not None and node.depends.max_concurrency is not None:
            call, kind = _limit(call, kind, node.depends)
        self.uses.append(
            Use(
                plan=replace(description, endpoint=call).compile(),
                kind=kind,
                value=shared if node.use_cache else self.new_value(),
                key=shared,
                shared=node.use_cache,
                function_scope=node.depends is not None and node.depends.scope == "function",
                start=start,
            )
        )
        self.first.setdefault(key, index)
        return index

    def new_value(self) -> int:
        self.nvalues += 1
        return self.nvalues - 1

    def fill(self, node: Node, children: list[int], **changes: Any) -> Description:
        """The node's description with its places among the values, its scopes, and `changes`."""
        values = {
            child.step.name: self.uses[index].value
            for child, index in zip(node.children, children, strict=True)
            if child.step is not None
        }
        steps = []
        for step in node.description.steps:
            if step.depends is not None:
                step = replace(step, index=values[step.name])
            elif step.source == "value":
                step = replace(step, default=functools.partial(step.default, node.scopes))
            steps.append(step)
        return replace(node.description, steps=tuple(steps), embed=self.embed, **changes)


# ---- how it is called ----


def _identity(call: Callable[..., Any]) -> Any:
    try:
        hash(call)
    except TypeError:
        return id(call)
    return call


def _kind(call: Callable[..., Any], depends: Dependency | None) -> str:
    """The word of enum wf_dependency_kind."""
    inline = (depends is not None and depends.inline) or isinstance(call, JWTBearer)
    if is_a(inspect.isasyncgenfunction, call):
        return "async_generator"
    if is_a(inspect.isgeneratorfunction, call):
        return "inline_generator" if inline else "thread_generator"
    if not inspect.isclass(call) and is_async_callable(call):
        return "async"
    return "inline" if inline else "thread"


def _limit(
    call: Callable[..., Any], kind: str, depends: Dependency
) -> tuple[Callable[..., Any], str]:
    """The same for at most `max_concurrency` at a time, and its kind."""
    semaphore = depends.semaphore

    async def value(*args: Any, **kwargs: Any) -> Any:
        async with semaphore():
            if kind == "thread":
                return await asyncio.to_thread(call, *args, **kwargs)
            result = call(*args, **kwargs)
            return await result if kind == "async" else result

    async def items(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with semaphore(), asynccontextmanager(call)(*args, **kwargs) as item:
            yield item

    async def items_in_thread(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with semaphore():
            context = contextmanager(call)(*args, **kwargs)
            item = await asyncio.to_thread(context.__enter__)
            try:
                yield item
            except BaseException as exc:
                end = (type(exc), exc, exc.__traceback__)
                if not await asyncio.to_thread(context.__exit__, *end):
                    raise
            else:
                await asyncio.to_thread(context.__exit__, None, None, None)

    if not kind.endswith("generator"):
        return value, "async"
    return (items if kind == "async_generator" else items_in_thread), "async_generator"
