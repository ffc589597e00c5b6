"""An App and what is mounted in it, compiled: routers and their routes, in order."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from weft import _core
from weft.dependencies import Overrides, Tree
from weft.exceptions import HTTPException, SignatureError
from weft.frontend import Frontend
from weft.handling import RouteHandler, handle
from weft.middleware.layers import Middleware
from weft.mounts import Host, Mount
from weft.openapi.pages import documentation_routes
from weft.reply_model import ReplyModel, compile_model
from weft.routing import Route, Router, place
from weft.staticfiles import StaticFiles

if TYPE_CHECKING:
    from weft.app import App

PARAMETERS_MAX = 16  # WF_ROUTE_PARAMS_MAX
_ANY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

Params = tuple[tuple[str, type], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A route, ready to be served."""

    route: Route
    plan: _core.Plan
    model: ReplyModel | None
    handler: RouteHandler | None  # of a class of the application's
    params: Params  # all of them, those of prefixes and hosts around it first


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """Where requests end: a route or a directory, and where that is."""

    host: str  # pattern of it, empty for any
    prefix: str  # of what it is mounted in
    entry: Compiled | Mount
    own: bool  # of weft itself: documentation, the view

    @property
    def name(self) -> str:
        if isinstance(self.entry, Compiled):
            return self.entry.route.name
        return self.entry.name or "static"


@dataclass(slots=True, eq=False)
class Site:
    """A router where it stands: the App's own, or one that is mounted."""

    router: Router
    app: App
    at: Mount | Host | Literal["fallback"] | None  # None: the server's own App
    surrounded: bool  # by middleware in Python, of its App or one around that
    entries: list[Compiled | Site | Mount] = field(default_factory=list)  # Mount: static files
    own: int = 0  # how many of them are weft's own, and come first
    overrides: Overrides = field(default_factory=dict)
    overridden: dict[_core.Plan, _core.Plan] = field(default_factory=dict)

    @property
    def is_app(self) -> bool:
        """Is it of an App, with middleware and handlers of its own?"""
        return self.router is self.app and self.at != "fallback"

    @property
    def unrouted(self) -> bool:
        """Is there somebody to tell of 404 and 405? Else the core answers them by itself."""
        told = (401, 404, 405, HTTPException)
        return self.surrounded or not self.app.exception_handlers.keys().isdisjoint(told)

    def leaves(self, host: str = "", prefix: str = "") -> Iterator[Leaf]:
        """All, also of what is mounted, in the order in which the core is told of them."""
        if isinstance(self.at, Host):
            host = self.at.host
        elif isinstance(self.at, Mount):
            prefix += self.at.path
        for i, entry in enumerate(self.entries):
            if isinstance(entry, Site):
                yield from entry.leaves(host, prefix)
            else:
                yield Leaf(host, prefix, entry, i < self.own)

    def override(self, plan: _core.Plan) -> _core.Plan:
        """The plan with what the App overrides at the moment."""
        overrides = dict(self.app.dependency_overrides)
        if overrides != self.overrides:
            self.overrides = overrides
            self.overridden.clear()
        if plan not in self.overridden:
            entries = (leaf.entry for leaf in self.leaves())
            route = next(e.route for e in entries if isinstance(e, Compiled) and e.plan is plan)
            self.overridden[plan] = Tree.of(route, overrides).compile()
        return self.overridden[plan]


def compile_site(app: App, first: Sequence[Route] = ()) -> Site:
    """Of an App; `SignatureError` names the function and parameter that no plan can be made of."""
    return _compile(Site(app, app, None, _has_dispatches(app)), (), first)


def _has_dispatches(app: App) -> bool:
    return any(not isinstance(step, Middleware) for step in app.middleware_stack)


def _compile(site: Site, outer: Params, first: Sequence[Route] = ()) -> Site:
    own = [*first, *(documentation_routes(site.app) if site.is_app else ())]
    site.own = len(own)
    entries = [*own, *site.router.entries]
    frontends = [entry for entry in entries if isinstance(entry, Frontend)]
    for entry in entries:
        if isinstance(entry, Frontend):
            continue
        if isinstance(entry, Route):
            site.entries.append(_compile_route(entry, outer))
        elif isinstance(entry, Mount) and isinstance(entry.app, StaticFiles):
            site.entries.append(
                _compile_route(_static_route(entry), outer) if site.surrounded else entry
            )
        else:
            site.entries.append(_compile_mounted(site, entry, outer))
    if frontends:
        site.entries.append(_compile_frontends(site, frontends, outer))
    return site


def _compile_frontends(site: Site, frontends: list[Frontend], outer: Params) -> Site:
    """What is asked last, the one with the longest path first."""
    last = Site(site.router, site.app, "fallback", site.surrounded)
    for entry in sorted(frontends, key=lambda entry: -len(entry.path)):
        for path in entry.paths:
            route = Route(
                path=path,
                endpoint=entry.files.respond,
                methods=_ANY_METHOD,
                name="frontend",
                dependencies=entry.dependencies,
                include_in_schema=False,
            )
            last.entries.append(_compile_route(route, outer))
    return last


def _compile_mounted(site: Site, entry: Mount | Host, outer: Params) -> Site:
    router: Any = entry.app
    app, surrounded = site.app, site.surrounded
    if router is not site.app and hasattr(router, "exception_handlers"):
        app = router
        surrounded = surrounded or _has_dispatches(app)
        if app.root_path:
            raise SignatureError(
                f"{app!r} is mounted, and its root_path {app.root_path!r} is what a proxy takes "
                "off: give it to the outermost App"
            )
    inner = Site(router, app, entry, surrounded)
    return _compile(inner, (*outer, *entry.params.items()))


def _compile_route(route: Route, outer: Params) -> Compiled:
    params = _shared((*outer, *route.params.items()))
    if len(params) > PARAMETERS_MAX:
        raise SignatureError(f"the path of {route.name} has more than {PARAMETERS_MAX} parameters")
    return Compiled(route, Tree.of(route).compile(), compile_model(route), _handler(route), params)


def _handler(route: Route) -> RouteHandler | None:
    """`SignatureError` where its class gives none."""
    if type(route).get_route_handler is Route.get_route_handler:
        return None
    handler = route.get_route_handler()
    if not callable(handler):
        raise SignatureError(
            f"{type(route).__name__}.get_route_handler() of {route.name}(){place(route.endpoint)} "
            f"gave {handler!r}, not a function"
        )
    return None if handler is handle else handler


@functools.lru_cache(maxsize=1024)
def _shared(params: Params) -> Params:
    """The same for all routes that have the same: most have one of a few."""
    return params


def _static_route(entry: Mount) -> Route:
    files: Any = entry.app
    return Route(
        path=entry.path + "/{path:path}",
        endpoint=files.respond,
        methods=_ANY_METHOD,
        name=entry.name or "static",
        include_in_schema=False,
    )
