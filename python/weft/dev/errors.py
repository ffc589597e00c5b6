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
from weft.requests import Request
from weft.responses import HTMLResponse, PlainTextResponse, Response

_AROUND = 3  # lines above and below the one that failed
_CHAIN_MAX = 10  # exceptions that led to one another
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
    """Shows exceptions that the App itself does not handle."""
    if Exception not in app.exception_handlers:

        async def show(request: Request, exc: Exception) -> Response:
            return page(exc, request, "The application raised an exception")

        app.add_exception_handler(Exception, show)


def page(exc: BaseException, request: Request, title: str) -> Response:
    """500 with all of it: as a page to a browser, as text to others."""
    if "text/html" not in request.headers.get("accept", ""):
        text = "".join(traceback.format_exception(exc))
        return PlainTextResponse(f"{title}.\n\n{text}", 500)
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for n, link in enumerate(_chain(exc)):
        if n > 0:
            parts.append(f"<h2>{'Because of' if link is exc.__cause__ else 'While handling'}</h2>")
        parts += _exception(link)
    parts += _request(request)
    content = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(_name(exc))}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    headers = {"content-security-policy": policy, "cache-control": "no-store"}
    return HTMLResponse(content, 500, headers)


def _chain(exc: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = exc
    for _ in range(_CHAIN_MAX):
        if link is None:
            return
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _name(exc: BaseException) -> str:
    return type(exc).__qualname__


def _exception(exc: BaseException) -> Iterator[str]:
    message = "".join(traceback.format_exception_only(exc)).strip()
    yield f'<p class="message">{html.escape(message)}</p>'
    frames = list(traceback.walk_tb(exc.__traceback__))
    for frame, line in reversed(frames):
        path = frame.f_code.co_filename
        if not path.startswith((_HERE, "<frozen")):
            yield from _frame(path, line, frame.f_code.co_qualname)


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
