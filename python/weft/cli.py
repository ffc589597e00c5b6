"""The command `weft`: serve an App, or show its routes."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from weft import __version__, log
from weft.app import App
from weft.dependencies import Tree
from weft.exceptions import SignatureError
from weft.routing import endpoint_name
from weft.signature import Step

_TARGET_HELP = "the module and the App in it, as in main:app; ':app' may be left out"


class Problem(Exception):
    """What is wrong with the command line or the App it names, and what to do about it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        if args[:1] == ["routes"]:
            return _routes(args[1:])
        if args[:1] == ["openapi"]:
            return _openapi(args[1:])
        return _serve(args)
    except Problem as problem:
        word = "\x1b[31merror\x1b[0m" if log.has_colours(sys.stderr) else "error"
        print(f"weft: {word}: {problem}", file=sys.stderr)
        return 1


def _serve(args: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="weft",
        description="Serve a weft App.",
        epilog="'weft routes main:app' lists its routes and what is done for each; "
        "'weft openapi main:app' prints its OpenAPI document.",
    )
    _add_target(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (%(default)s)")
    parser.add_argument("--uds", metavar="PATH", help="listen on this unix socket instead")
    parser.add_argument(
        "--log-level", choices=log.LEVELS, default="info", help="least level shown (%(default)s)"
    )
    parser.add_argument("--no-access-log", action="store_true", help="no line for each request")
    parser.add_argument("--version", action="version", version=f"weft {__version__}")
    options = parser.parse_args(args)
    app = load_app(options.target, options.app_dir)
    app.run(
        host=options.host,
        port=options.port,
        uds=options.uds,
        log_level=options.log_level,
        access_log=not options.no_access_log,
    )
    return 0


def _routes(args: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="weft routes", description="List the routes of a weft App, and the plan of each."
    )
    _add_target(parser)
    options = parser.parse_args(args)
    print(routes_table(load_app(options.target, options.app_dir)))
    return 0


def _openapi(args: list[str]) -> int:
    from weft.openapi import SchemaError

    parser = argparse.ArgumentParser(
        prog="weft openapi", description="Write the OpenAPI document of a weft App, in JSON."
    )
    _add_target(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write it there, not to the screen")
    options = parser.parse_args(args)
    app = load_app(options.target, options.app_dir)
    try:
        text = json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"
    except (SchemaError, SignatureError) as exc:
        raise Problem(str(exc)) from None
    if options.output is None:
        sys.stdout.write(text)
        return 0
    try:
        Path(options.output).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise Problem(f"cannot write {options.output}: {exc.strerror}.") from None
    return 0


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="module:app", help=_TARGET_HELP)
    parser.add_argument(
        "--app-dir", metavar="DIR", default="", help="where the module is (the current directory)"
    )


def routes_table(app: App) -> str:
    """Methods, path and endpoint of each route; how it is called, and the steps of its plan."""
    rows = [("METHOD", "PATH", "ENDPOINT", "PLAN")]
    for route in app.routes:
        try:
            tree = Tree.of(route)
        except SignatureError as exc:
            raise Problem(str(exc)) from None
        endpoint = f"{route.endpoint.__module__}.{endpoint_name(route.endpoint)}"
        rows.append((",".join(route.methods), route.path, endpoint, route.kind))
        for node in tree.root.walk():
            prefix = "" if node is tree.root else f"{endpoint_name(node.call)} ({node.kind}) "
            lines = map(_step_line, node.description.steps)
            rows += [("", "", "", prefix + line) for line in lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = (zip(row, widths, strict=True) for row in rows)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in line).rstrip() for line in table
    )


def _step_line(step: Step) -> str:
    return str(step) if step.native else f"{step} (by pydantic)"


# ---- finding the App ----


def load_app(target: str, app_dir: str = "") -> App:
    """The App that `target` names; `Problem` says what is wrong when it names none."""
    name, colon, attribute = target.partition(":")
    if not name or (colon and not attribute):
        raise Problem(f"{target!r} names no App: write module:app, as in main:app.")
    if name.endswith(".py") or "/" in name:
        module_name = name.removesuffix(".py").removeprefix("./").replace("/", ".")
        raise Problem(
            f"{name!r} is a file: name its module, as in {module_name}:{attribute or 'app'}."
        )
    module = _import(name, os.path.abspath(app_dir))
    return _find_app(module, attribute)


def _import(name: str, directory: str) -> ModuleType:
    if not os.path.isdir(directory):
        raise Problem(f"--app-dir {directory}: there is no such directory.")
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        __import__(name)  # not importlib.import_module, whose frames would stay in tracebacks
        return sys.modules[name]
    except Exception as exc:
        # Only the module itself or a package around it: what it imports is its own affair.
        if isinstance(exc, ModuleNotFoundError) and _is_or_contains(exc.name, name):
            raise Problem(
                f"there is no module {name!r} in {directory}. "
                f"Run weft in the directory that {name.partition('.')[0]!r} is in, "
                "or name that directory: --app-dir DIR."
            ) from None
        ours = exc.__traceback__
        traceback.print_exception(exc.with_traceback(ours and ours.tb_next))
        raise Problem(f"the module {name!r} cannot be imported; above is why.") from None


def _is_or_contains(package: str | None, name: str) -> bool:
    return package is not None and (name == package or name.startswith(package + "."))


def _find_app(module: ModuleType, attribute: str) -> App:
    found = module
    for part in (attribute or "app").split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Problem(
                f"the module {module.__name__!r} has no {attribute or 'app'!r}{_hint(module)}"
            ) from None
    if not isinstance(found, App):
        kind = f"{type(found).__module__}.{type(found).__qualname__}"
        raise Problem(
            f"{module.__name__}:{attribute or 'app'} is not a weft App, but of the type {kind}"
            f"{_hint(module)}"
        )
    return found


def _hint(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, App)]
    if not names:
        return "; nor any other App. It should say: app = weft.App()"
    return "; it has " + ", ".join(f"{module.__name__}:{name}" for name in names) + "."
