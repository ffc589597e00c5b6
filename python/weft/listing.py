"""What an App consists of, for people and programs: its routes, and the plan of each."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from weft.app import App
from weft.dependencies import Node, Tree
from weft.frontend import FrontendFiles
from weft.mounts import Mount
from weft.routing import Route, endpoint_name
from weft.shapes.compiled import lines
from weft.shapes.nodes import type_name
from weft.signature import Step
from weft.sites import Leaf, compile_site
from weft.staticfiles import StaticFiles

__all__ = ["routes_list", "routes_table"]


def routes_list(app: App) -> list[dict[str, Any]]:
    """Of each route what can be known before there is a request; plain values that JSON can hold.

    Routes and static files of what is mounted too, `path` with the prefix and `host` with that of
    `App.host`, empty for any.

    `calls` has what is called for a request, in that order, the endpoint last. The steps of each
    fill its arguments: `native` is false where pydantic converts the value, and `why` says why.
    `SignatureError` for a route that no plan can be made of.
    """
    return [describe(leaf) for leaf in compile_site(app).leaves() if not leaf.own]


def describe(leaf: Leaf) -> dict[str, Any]:
    if isinstance(leaf.entry, Mount):
        return _files(leaf, f"{leaf.entry.path}/{{path:path}}", leaf.entry.app)
    route = leaf.entry.route
    tree = Tree.of(route)
    calls = [_call(node, tree, route, again) for node, again in _in_order(tree)]
    files = getattr(route.endpoint, "__self__", None)
    if isinstance(files, StaticFiles):  # a frontend's, or those beneath Python middleware
        return {**_files(leaf, route.path, files), "calls": calls}
    return {
        "methods": list(route.methods),
        "host": leaf.host,
        "path": leaf.prefix + route.path,
        "endpoint": _full_name(route.endpoint),
        "where": _where(route.endpoint),
        "kind": route.kind,
        "calls": calls,
        "reply": _reply(route),
        "max_body_size": route.max_body_size,
    }


def _files(leaf: Leaf, path: str, files: Any) -> dict[str, Any]:
    return {
        "methods": ["GET", "HEAD"],
        "host": leaf.host,
        "path": leaf.prefix + path,
        "endpoint": repr(files),
        "where": None,
        "kind": "frontend" if isinstance(files, FrontendFiles) else "files",
        "calls": [],
        "reply": {"status": 200, "model": None, "response_class": "FileResponse"},
        "max_body_size": None,
    }


def _in_order(tree: Tree) -> Iterator[tuple[Node, bool]]:
    """Each behind what it needs; and whether its value is there already."""
    seen: set[tuple[Any, ...]] = set()

    def walk(node: Node) -> Iterator[tuple[Node, bool]]:
        key = tree.key(node)
        again = node is not tree.root and node.use_cache and key in seen
        if not again:
            for child in node.children:
                yield from walk(child)
            seen.add(key)
        yield node, again

    return walk(tree.root)


def _call(node: Node, tree: Tree, route: Route, again: bool) -> dict[str, Any]:
    is_endpoint = node is tree.root
    return {
        "call": endpoint_name(node.call),
        "kind": route.kind if is_endpoint else node.kind,
        "where": _where(node.call),
        "fills": node.step.name if node.step is not None else None,
        "scope": node.scope,
        "again": again,
        "steps": [] if again else list(map(_step, node.description.steps)),
    }


def _step(step: Step) -> dict[str, Any]:
    conversion = step.conversion
    shape = conversion.data[0] if conversion.kind == "shape" else None
    return {
        "name": step.name,
        "step": str(step),
        "native": step.native,
        "why": conversion.why,
        "reads": list(lines(shape.description)) if shape is not None else [],
    }


def _reply(route: Route) -> dict[str, Any]:
    model, made_by = route.reply_model, route.response_class
    return {
        "status": route.default_status,
        "model": None if model is None else type_name(model),
        "response_class": None if made_by is None else made_by.__name__,
    }


def _full_name(endpoint: Callable[..., Any]) -> str:
    return f"{endpoint.__module__}.{endpoint_name(endpoint)}"


def _where(call: Callable[..., Any]) -> str | None:
    """`main.py:12`, from the current directory where it is below that."""
    target = inspect.unwrap(call)
    try:
        path = inspect.getsourcefile(target)
        line = target.__code__.co_firstlineno if hasattr(target, "__code__") else 0
        line = line or inspect.getsourcelines(target)[1]
    except (TypeError, OSError):
        return None
    if path is None:
        return None
    relative = os.path.relpath(path)
    return f"{path if relative.startswith('..') else relative}:{line}"


# ---- as a table ----


def routes_table(app: App) -> str:
    """Methods, path and endpoint of each route; how it is called, and the steps of its plan."""
    rows = [("METHOD", "PATH", "ENDPOINT", "PLAN")]
    for route in routes_list(app):
        place = route["host"] + route["path"]
        rows.append((",".join(route["methods"]), place, route["endpoint"], route["kind"]))
        rows += [("", "", "", line) for call in route["calls"] for line in _call_lines(call, route)]
    return _aligned(rows)


def _call_lines(call: dict[str, Any], route: dict[str, Any]) -> Iterator[str]:
    is_endpoint = call is route["calls"][-1]
    prefix = "" if is_endpoint else f"{call['call']} ({call['kind']}) "
    for step in call["steps"]:
        yield prefix + step["step"] + ("" if step["native"] else " (by pydantic)")


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = (zip(row, widths, strict=True) for row in rows)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in line).rstrip() for line in table
    )
