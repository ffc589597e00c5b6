"""Finding the App that a command line names."""

from __future__ import annotations

import os
import sys
import traceback
from types import ModuleType

from weft.app import App


class Problem(Exception):
    """What is wrong with the command line or the App it names, and what to do about it."""


def load_app(target: str, app_dir: str = "") -> App:
    """The App that `target` names; `Problem` says what is wrong when it names none."""
    name, attribute = check_target(target)
    module = _import(name, os.path.abspath(app_dir))
    return _find_app(module, attribute)


def check_target(target: str) -> tuple[str, str]:
    """The module and the name in it, which may be empty; `Problem` when it cannot name an App."""
    name, colon, attribute = target.partition(":")
    if not name or (colon and not attribute):
        raise Problem(f"{target!r} names no App: write module:app, as in main:app.")
    if name.endswith(".py") or "/" in name:
        module_name = name.removesuffix(".py").removeprefix("./").replace("/", ".")
        raise Problem(
            f"{name!r} is a file: name its module, as in {module_name}:{attribute or 'app'}."
        )
    return name, attribute


def _import(name: str, directory: str) -> ModuleType:
    if not os.path.isdir(directory):
        raise Problem(f"--app-dir {directory}: there is no such directory.")
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        __import__(name)  # not importlib.import_module, whose frames would stay in tracebacks
        return sys.modules[name]
    except SystemExit as exc:
        said = f": {exc.code}" if isinstance(exc.code, str) else f" with status {exc.code}"
        raise Problem(f"the module {name!r} has ended the program{said}") from exc
    except Exception as exc:
        # Only the module itself or a package around it: what it imports is its own affair.
        if isinstance(exc, ModuleNotFoundError) and _is_or_contains(exc.name, name):
            raise Problem(
                f"there is no module {name!r} in {directory}. "
                f"Run weft in the directory that {name.partition('.')[0]!r} is in, "
                "or name that directory: --app-dir DIR."
            ) from None
        exc.__traceback__ = exc.__traceback__ and exc.__traceback__.tb_next  # without our own
        shown = traceback.TracebackException.from_exception(exc)
        _trim(shown.stack)
        print("".join(shown.format()), end="", file=sys.stderr)
        raise Problem(f"the module {name!r} cannot be imported; above is why.") from exc


def _trim(stack: traceback.StackSummary) -> None:
    """Takes weft's frames off the end: what is wrong is in the last of the user's."""
    ours = os.path.dirname(__file__) + os.sep
    while len(stack) > 1 and stack[-1].filename.startswith(ours):
        del stack[-1]


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
        file = getattr(module, "__file__", None)  # which may be another than is meant
        where = f" in {file}" if file else ""
        return f"{where}, nor any other App. It should say: app = weft.App()"
    return "; it has " + ", ".join(f"{module.__name__}:{name}" for name in names) + "."
