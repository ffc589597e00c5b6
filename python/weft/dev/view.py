"""`/_weft/`: what a service consists of and what it is doing, for whoever is writing it.

Only `weft dev` has it. The core records when each request came to which stage; the page asks for
what is new, once a second, and draws it.
"""

from __future__ import annotations

import itertools
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weft import __version__, _core
from weft.app import App
from weft.dev.asker import REFUSAL, is_of, is_welcome
from weft.exceptions import HTTPException
from weft.listing import describe
from weft.requests import Request
from weft.responses import Response
from weft.routing import Route
from weft.sites import Leaf, Site

PREFIX = "/_weft"
_SLOTS = 512  # requests kept; a page shows the last 200, and asks once a second
_PAGE = Path(__file__).with_name("page")
_FILES = {
    "index.html": "text/html; charset=utf-8",
    "view.js": "text/javascript; charset=utf-8",
    "view.css": "text/css; charset=utf-8",
}
# Everything comes from here, and nothing may be in a frame.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
# A stage lasts from when it is reached until the next that is. The core's, in its order.
_FIRST_BYTE, _HEAD, _WHOLE, _TAKEN, _CALLED, _REPLY, _END = range(7)
_STAGES = {
    _FIRST_BYTE: "receive",
    _WHOLE: "wait",
    _TAKEN: "prepare",
    _CALLED: "run",
    _REPLY: "reply",
}

Recorded = tuple[int, int | None, str, str, int, int, int, tuple[int, ...]]


class View:
    """The routes of the view of one App, and what they tell of the server that has them."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.started = f"{os.getpid()}-{time.monotonic_ns()}"
        self.routes = [
            _route("/", self.page),
            _route("/-/{name}", self.file),
            _route("/plans", self.plans),
            _route("/requests", self.requests),
        ]
        self._core: _core.Server | None = None
        self._leaves: Sequence[Leaf] = ()  # as the core counts them
        self._shown: dict[int, int] = {}  # index of a leaf that the page has: its place there

    def watch(self, core: _core.Server, site: Site) -> None:
        """Has the server record; `site` is all that it is going to serve."""
        core.record(f"{PREFIX}/".encode(), _SLOTS)
        self._core = core
        self._leaves = list(site.leaves())
        shown = [i for i, leaf in enumerate(self._leaves) if not leaf.own]
        self._shown = {index: place for place, index in enumerate(shown)}

    async def page(self) -> Response:
        return _file("index.html")

    async def file(self, name: str) -> Response:
        return _file(name)

    def plans(self, request: Request) -> Any:
        """The App, its routes and their plans: what does not change while it is served."""
        _check(request)
        return {
            "title": self.app.title,
            "version": self.app.version,
            "weft": __version__,
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "pid": os.getpid(),
            "started": self.started,
            "routes": [describe(self._leaves[index]) for index in self._shown],
        }

    async def requests(self, request: Request, after: int = 0) -> Any:
        """The requests that ended after the one of number `after`, and the counters."""
        _check(request)
        assert self._core is not None
        now = time.monotonic_ns()
        counters = self._core.counters()
        return {
            "started": self.started,
            "counters": counters,
            "running": self._core.running - 1,  # without this one
            "requests": [self._one(record, now) for record in self._core.recorded(max(after, 0))],
        }

    def _one(self, record: Recorded, now: int) -> dict[str, Any]:
        number, index, method, target, length, status, size, at = record
        return {
            "number": number,
            "route": None if index is None else self._shown.get(index),
            "name": None if index is None else self._leaves[index].name,
            "method": method,
            "target": target + ("…" if length > len(target) else ""),
            "status": status,
            "bytes": size,
            "ago_ms": (now - at[_END]) / 1e6,
            "total_us": (at[_END] - at[_FIRST_BYTE]) / 1e3,
            "stages_us": stages(at),
        }


def stages(at: Sequence[int]) -> dict[str, float]:
    """Microseconds in each stage that there was: receive, wait, prepare, run, reply; or core, where
    the server answered by itself."""
    reached = [stage for stage in range(_END + 1) if at[stage]]
    found: dict[str, float] = {}
    for stage, following in itertools.pairwise(reached):
        name = _STAGES.get(stage)
        if stage == _HEAD:
            name = {_WHOLE: "receive", _TAKEN: "wait"}.get(following, "core")
        assert name is not None
        found[name] = found.get(name, 0.0) + (at[following] - at[stage]) / 1e3
    return found


def _route(path: str, endpoint: Any) -> Route:
    return Route(
        path=PREFIX + path,
        endpoint=endpoint,
        methods=("GET",),
        name=endpoint.__name__,
        response_model=None,
        include_in_schema=False,
    )


def _file(name: str) -> Response:
    if name not in _FILES:
        raise HTTPException(404)
    content = (_PAGE / name).read_bytes()
    return Response(content, headers=_HEADERS, media_type=_FILES[name])


def _check(request: Request) -> None:
    """Pages of other sites learn nothing, whatever the App's CORS lets them read."""
    own = request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    if not (own and is_of(request, request.headers.get("host", "")) and is_welcome(request)):
        raise HTTPException(403, REFUSAL)
