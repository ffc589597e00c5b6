"""The command `weft`: serve an App, serve it while it is written, show what it consists of.

Each command is two functions: one adds its arguments to a parser, one runs it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from weft import __version__, log
from weft.exceptions import SignatureError
from weft.loading import Problem, check_target, load_app
from weft.server import DEFAULT_HEADERS, AccessLogFormat, Config, Limits

_TARGET_HELP = "the module and the App in it, as in main:app; ':app' may be left out"


@dataclass(frozen=True, slots=True)
class Command:
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]

    def parser(self, name: str) -> argparse.ArgumentParser:
        """What reads its command line; `weft` alone is the command without a name."""
        parser = argparse.ArgumentParser(
            prog=f"weft {name}".strip(),
            usage=None if name else "weft [options] module:app\n       weft COMMAND ...",
            description=self.description,
            epilog=None if name else _epilog(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_arguments(parser)
        if not name:
            parser.add_argument("--version", action="version", version=f"weft {__version__}")
        return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    name = args.pop(0) if args and args[0] in COMMANDS and args[0] else ""
    command = COMMANDS[name]
    try:
        if not name:
            _check_command(args)
        return command.run(command.parser(name).parse_args(args))
    except Problem as problem:
        word = "\x1b[31merror\x1b[0m" if log.has_colours(sys.stderr) else "error"
        print(f"weft: {word}: {problem}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # as in `weft routes main:app | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _check_command(args: Sequence[str]) -> None:
    """`Problem` for a word before an App, which is meant to be a command but is none."""
    is_word = len(args) == 1 and args[0] in ("help", "version")
    if is_word and not any(Path(path).exists() for path in (args[0], f"{args[0]}.py")):
        raise Problem(f"there is no command {args[0]!r}. Did you mean `weft --{args[0]}`?")
    if len(args) < 2 or args[0].startswith("-") or ":" in args[0] or args[1].startswith("-"):
        return
    from difflib import get_close_matches

    close = get_close_matches(args[0], filter(None, COMMANDS), 1)
    meant = f"Did you mean `weft {close[0]}`?" if close else "See `weft --help`."
    raise Problem(f"there is no command {args[0]!r}. {meant}")


def _epilog() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        f"  weft {name:{width}}  {command.description.partition('.')[0]}"
        for name, command in COMMANDS.items()
        if name
    ]
    return "\n".join(["commands, each with a --help of its own:", *lines])


# ---- serving ----


def _serve(options: argparse.Namespace) -> int:
    app = load_app(options.target, options.app_dir)
    app.run(
        host=options.host,
        port=options.port,
        uds=options.uds,
        log_level=options.log_level,
        access_log=not options.no_access_log,
        access_log_format=options.access_log_format,
        forwarded_allow_ips=options.forwarded_allow_ips,
        forwarded_headers=options.forwarded_headers.split(","),
        decode_bodies=not options.no_body_decoding,
        root_path=options.root_path,
        limits=cast("Limits", dict(options.limit)),
    )
    return 0


def _dev(options: argparse.Namespace) -> int:
    from weft.dev.reload import Reloader

    check_target(options.target)
    log.configure(options.log_level)
    config = Config(
        host=options.host,
        port=options.port,
        uds=options.uds,
        log_level=options.log_level,
        access_log=not options.no_access_log,
        root_path=options.root_path,
    )
    return Reloader(options.target, os.path.abspath(options.app_dir), config).run()


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="module:app", help=_TARGET_HELP)
    parser.add_argument(
        "--app-dir", metavar="DIR", default="", help="where the module is (the current directory)"
    )


def _add_serving(parser: argparse.ArgumentParser) -> None:
    _add_target(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (%(default)s)")
    parser.add_argument(
        "--uds", metavar="PATH", type=_socket, help="listen on this unix socket instead"
    )
    parser.add_argument(
        "--root-path",
        metavar="PATH",
        default="",
        help="what a proxy takes off the paths it passes on, like /api/v1",
    )
    parser.add_argument(
        "--log-level", choices=log.LEVELS, default="info", help="least level shown (%(default)s)"
    )
    parser.add_argument("--no-access-log", action="store_true", help="no line for each request")


def _socket(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a unix socket has a path")
    return text


def _limit(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    if name not in Limits.__annotations__:
        raise argparse.ArgumentTypeError(
            f"there is no limit {name!r}; there are {', '.join(Limits.__annotations__)}"
        )
    if not value.isdecimal() or int(value) >= 1 << 64:
        raise argparse.ArgumentTypeError(f"{name} is a number, as in {name}=1000")
    return name, int(value)


def _add_production(parser: argparse.ArgumentParser) -> None:
    _add_serving(parser)
    parser.add_argument(
        "--limit",
        metavar="NAME=NUMBER",
        type=_limit,
        action="append",
        default=[],
        help="a limit of the server that is to be another, as in body_bytes_max=1000000; several "
        "may be given",
    )
    parser.add_argument(
        "--access-log-format",
        choices=get_args(AccessLogFormat),
        default="short",
        help="what a line of it is (%(default)s)",
    )
    parser.add_argument(
        "--forwarded-allow-ips",
        metavar="LIST",
        help="proxies that are believed who the client is: addresses and networks, with commas; "
        "'*' is all, 'unix:' those on unix sockets ($FORWARDED_ALLOW_IPS, or 127.0.0.1)",
    )
    parser.add_argument(
        "--forwarded-headers",
        metavar="LIST",
        default=",".join(DEFAULT_HEADERS),
        help="what is read of theirs (%(default)s)",
    )
    parser.add_argument(
        "--no-body-decoding",
        action="store_true",
        help="leave request bodies in gzip, br and zstd as they are",
    )


# ---- showing ----


def _add_routes(parser: argparse.ArgumentParser) -> None:
    _add_target(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def _routes(options: argparse.Namespace) -> int:
    from weft.listing import routes_list, routes_table

    app = load_app(options.target, options.app_dir)
    try:
        print(_json(routes_list(app)) if options.json else routes_table(app))
    except SignatureError as exc:
        raise Problem(str(exc)) from None
    return 0


def _add_openapi(parser: argparse.ArgumentParser) -> None:
    _add_target(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write it there, not to the screen")


def _openapi(options: argparse.Namespace) -> int:
    from weft.openapi import SchemaError

    app = load_app(options.target, options.app_dir)
    try:
        document = app.openapi()
    except (SchemaError, SignatureError) as exc:
        raise Problem(str(exc)) from None
    try:
        text = _json(document) + "\n"
    except (TypeError, ValueError, RecursionError) as exc:  # of a function of the application's
        raise Problem(f"what app.openapi() gives cannot be written as JSON: {exc}.") from None
    if options.output is None:
        sys.stdout.write(text)
        return 0
    try:
        Path(options.output).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise Problem(f"cannot write {options.output}: {exc.strerror}.") from None
    return 0


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


# ---- starting ----


def _add_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="what to make; it must not exist yet")


def _new(options: argparse.Namespace) -> int:
    from weft.scaffold import make_project

    files = make_project(Path(options.directory))
    print(f"Made {options.directory} with {', '.join(files)}.")
    print(f"Next: cd {shlex.quote(options.directory)} && weft dev main:app")
    return 0


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def _completion(options: argparse.Namespace) -> int:
    from weft.completion import script

    parsers = {name: command.parser(name) for name, command in COMMANDS.items()}
    print(script(options.shell, parsers), end="")
    return 0


COMMANDS = {
    "": Command("Serve a weft App.", _add_production, _serve),
    "dev": Command(
        "Serve an App while you write it. It is loaded again when a file changes, and what goes\n"
        "wrong is shown as a page: not for production.",
        _add_serving,
        _dev,
    ),
    "routes": Command("List the routes of an App, and the plan of each.", _add_routes, _routes),
    "openapi": Command("Write the OpenAPI document of an App, in JSON.", _add_openapi, _openapi),
    "new": Command(
        "Make a small project to start from. It has an App, a test and a Dockerfile.",
        _add_new,
        _new,
    ),
    "completion": Command(
        "Print a script that completes this command. In ~/.bashrc:\n"
        '    eval "$(weft completion bash)"\n'
        "in ~/.zshrc, after compinit:\n"
        '    eval "$(weft completion zsh)"\n'
        "and in ~/.config/fish/config.fish:\n"
        "    weft completion fish | source",
        _add_completion,
        _completion,
    ),
}
