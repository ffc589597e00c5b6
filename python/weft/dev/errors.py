"""What went wrong, as a page: the exception, the frames with their source lines, the request.

Only for `weft dev`: it shows source code to whoever asks.
"""

from __future__ import annotations

import html
import linecache
import os
import sys
import traceback
from collections.abc import Iterator

import weft
from weft.app import App
from weft.dev.asker import REFUSAL, is_welcome
from weft.exceptions import SignatureError
from weft.requests import Request
from weft.responses import HTMLResponse, PlainTextResponse, Response

_AROUND = 3  # lines above and below the one that failed
_LINKS_MAX = 20  # exceptions that led to one another, or are of one group
_FRAMES_MAX = 25  # at each end: a recursion has a thousand
_MESSAGE_MAX = 4000  # characters
_HERE = os.path.dirname(os.path.abspath(weft.__file__)) + os.sep
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; color: #222; background: #fff }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem }
h1 { font-size: 1rem; font-weight: 600; color: #b00020; margin: 0 }
h2 { font-size: 1rem; margin: 2rem 0 .5rem }
.message { font-size: 1.4rem; margin: .2rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere }
.where { margin: 1.2rem 0 .3rem; overflow-wrap: anywhere }
.library { color: #777 }
pre { background: #f5f5f5; padding: .6rem 0; margin: 0; overflow-x: auto; line-height: 1.45 }
pre span { display: block; padding: 0 .8rem; white-space: pre }
pre .failed { background: #ffdede }
th { text-align: left; font-weight: 600; padding-right: 1.5rem; vertical-align: top }
td { overflow-wrap: anywhere; font-family: monospace }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818 }
  h1 { color: #ff7b7b } pre { background: #242424 } pre .failed { background: #5a2323 }
}
"""


def install(app: App) -> None:
    """Shows exceptions that the App itself, and those mounted in it, do not handle."""
    for mounted in app.mounted_apps:
        install(mounted)
    if app.exception_handlers.keys().isdisjoint((500, Exception)):

        async def show(request: Request, exc: Exception) -> Response:
            return page(exc, request, "The application raised an exception")

        app.add_exception_handler(Exception, show)


def page(exc: BaseException, request: Request, title: str) -> Response:
    """500 with all of it: as a page to a browser, as text to others; to strangers nothing of it."""
    if not is_welcome(request):
        return PlainTextResponse(f"Internal Server Error\n\n{REFUSAL}", 500)
    if "text/html" not in request.headers.get("accept", ""):
        text = "".join(traceback.format_exception(exc))
        text = f"{title}.\n\n{text}"
        return PlainTextResponse(text.encode("utf-8", "backslashreplace"), 500)
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for why, link in _links(exc):
        if why:
            parts.append(f"<h2>{why}</h2>")
        parts += _exception(link)
    parts += _request(request)
    content = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(_name(exc))}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    headers = {"content-security-policy": policy, "cache-control": "no-store"}
    return HTMLResponse(content.encode("utf-8", "backslashreplace"), 500, headers)


def _links(exc: BaseException) -> Iterator[tuple[str, BaseException]]:
    """The exception, and what led to it, each once: how it did, and it."""
    pending = [("", exc)]
    seen: set[int] = set()
    while pending and len(seen) < _LINKS_MAX:
        why, link = pending.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield why, link
        led: list[tuple[str, BaseException]] = []
        if isinstance(link, BaseExceptionGroup):
            of = len(link.exceptions)
            led = [(f"{i} of {of} in the group", e) for i, e in enumerate(link.exceptions, 1)]
        if isinstance(link, SignatureError):
            pass  # it says all there is to know
        elif link.__cause__ is not None:
            led.append(("Because of", link.__cause__))
        elif link.__context__ is not None and not link.__suppress_context__:
            led.append(("While handling", link.__context__))
        pending[:0] = led


def _name(exc: BaseException) -> str:
    return type(exc).__qualname__


def _message(exc: BaseException) -> str:
    """As a traceback ends. `traceback` itself looks at all that led to it, too, and at groups
    within groups more often than anybody waits for."""
    if isinstance(exc, SyntaxError):
        return "".join(traceback.format_exception_only(exc)).strip()
    cls = type(exc)
    known = cls.__module__ in ("builtins", "__main__")
    name = cls.__qualname__ if known else f"{cls.__module__}.{cls.__qualname__}"
    try:
        text = str(exc)
    except Exception:
        text = "<exception str() failed>"
    notes = getattr(exc, "__notes__", None)
    lines = [f"{name}: {text}" if text else name, *(notes if isinstance(notes, list) else ())]
    return "\n".join(map(str, lines))


def _exception(exc: BaseException) -> Iterator[str]:
    message = _message(exc)
    if len(message) > _MESSAGE_MAX:
        message = message[:_MESSAGE_MAX] + "…"
    yield f'<p class="message">{html.escape(message)}</p>'
    frames = [
        (frame.f_code.co_filename, line, frame.f_code.co_qualname)
        for frame, line in traceback.walk_tb(exc.__traceback__)
        if not frame.f_code.co_filename.startswith((_HERE, "<frozen"))
    ]
    frames.reverse()
    for n, place in enumerate(frames):
        if n < _FRAMES_MAX or n >= len(frames) - _FRAMES_MAX:
            yield from _frame(*place)
        elif n == _FRAMES_MAX:
            yield f'<p class="where library">{len(frames) - 2 * _FRAMES_MAX} frames more</p>'


def _frame(path: str, line: int, name: str) -> Iterator[str]:
    library = f"{os.sep}site-packages{os.sep}" in path or path.startswith(sys.base_prefix + os.sep)
    kind = "where library" if library else "where"
    yield (
        f'<p class="{kind}"><b>{html.escape(name)}</b> in {html.escape(_short(path))}, '
        f"line {line}</p>"
    )
    if library:
        return
    linecache.checkcache(path)
    first = max(1, line - _AROUND)
    yield "<pre>"
    for n in range(first, line + _AROUND + 1):
        text = linecache.getline(path, n)
        if text:
            failed = ' class="failed"' if n == line else ""
            yield f"<span{failed}>{n:5}  {html.escape(text.rstrip())}</span>"
    yield "</pre>"


def _short(path: str) -> str:
    try:
        relative = os.path.relpath(path)
    except ValueError:
        return path
    return path if relative.startswith("..") else relative


def _request(request: Request) -> Iterator[str]:
    yield f"<h2>{html.escape(request.method)} {html.escape(str(request.url))}</h2><table>"
    for name, value in request.headers.items():
        hidden = name in ("authorization", "cookie", "proxy-authorization")
        shown = "…" if hidden else html.escape(value)
        yield f"<tr><th>{html.escape(name)}</th><td>{shown}</td></tr>"
    yield "</table>"
