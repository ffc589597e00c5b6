"""The command `weft`: serve an App, or show its routes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from weft import __version__, log
from weft.app import App
from weft.dependencies import Tree
from weft.exceptions import SignatureError
from weft.loading import Problem, check_target, load_app
from weft.routing import endpoint_name
from weft.server import Config
from weft.signature import Step

_TARGET_HELP = "the module and the App in it, as in main:app; ':app' may be left out"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        command = _COMMANDS.get(args[0]) if args else None
        return command(args[1:]) if command is not None else _serve(args)
    except Problem as problem:
        word = "\x1b[31merror\x1b[0m" if log.has_colours(sys.stderr) else "error"
        print(f"weft: {word}: {problem}", file=sys.stderr)
        return 1


def _serve(args: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="weft",
        description="Serve a weft App.",
        epilog="Other commands, each with a --help of its own: "
        "'weft dev main:app' serves it while you write it; "
        "'weft routes main:app' lists its routes and what is done for each; "
        "'weft openapi main:app' prints its OpenAPI document.",
    )
    _add_target(parser)
    _add_listening(parser)
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


def _dev(args: list[str]) -> int:
    from weft.dev.reload import Reloader

    parser = argparse.ArgumentParser(
        prog="weft dev",
        description="Serve a weft App while you write it: it is loaded again when a file changes, "
        "and what goes wrong is shown as a page. Not for production.",
    )
    _add_target(parser)
    _add_listening(parser)
    options = parser.parse_args(args)
    check_target(options.target)
    log.configure(options.log_level)
    config = Config(
        host=options.host,
        port=options.port,
        uds=options.uds,
        log_level=options.log_level,
        access_log=not options.no_access_log,
    )
    return Reloader(options.target, os.path.abspath(options.app_dir), config).run()


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


def _add_listening(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (%(default)s)")
    parser.add_argument("--uds", metavar="PATH", help="listen on this unix socket instead")
    parser.add_argument(
        "--log-level", choices=log.LEVELS, default="info", help="least level shown (%(default)s)"
    )
    parser.add_argument("--no-access-log", action="store_true", help="no line for each request")


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


_COMMANDS = {"dev": _dev, "openapi": _openapi, "routes": _routes}
