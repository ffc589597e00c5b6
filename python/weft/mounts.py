"""What stands within a router beside routes: apps beneath a path, or behind a host name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weft.datastructures import URLPath
from weft.frontend import Frontend
from weft.paths import fill, parameters

if TYPE_CHECKING:
    from weft.routing import Entry, Router
    from weft.staticfiles import StaticFiles


@dataclass(frozen=True, slots=True)
class Mount:
    """An App, a Router or static files beneath a path, which is theirs whatever the method."""

    path: str
    app: Router | StaticFiles
    name: str | None = None

    @property
    def params(self) -> dict[str, type]:
        """Parameters of its path."""
        return parameters(self.path)

    def url_path(self, name: str, params: dict[str, Any]) -> URLPath | None:
        """The path of what is called `name` in it; None when there is none with these parameters.

        `name` is the mount's own, and `path` a parameter, for anything beneath it.
        """
        if self.name is not None and name == self.name and "path" in params:
            if params.keys() != {*self.params, "path"}:
                return None
            rest = str(params["path"]).lstrip("/")
            return URLPath(f"{fill(self.path, params)}/{rest}")
        inner = _find_inside(self.name, self.app, self.params, name, params)
        return None if inner is None else URLPath(fill(self.path, params) + inner)


@dataclass(frozen=True, slots=True)
class Host:
    """An App or a Router for all requests to a host, which may have parameters."""

    host: str
    app: Router
    name: str | None = None

    @property
    def pattern(self) -> str:
        """The host without a port, which does not count."""
        bare, colon, port = self.host.rpartition(":")
        return bare if colon and port.isdigit() else self.host

    @property
    def params(self) -> dict[str, type]:
        """Parameters of its host."""
        return parameters(self.host)

    def url_path(self, name: str, params: dict[str, Any]) -> URLPath | None:
        """The path of what is called `name` in it, with its host; None when there is none."""
        if self.name is not None and name == self.name and "path" in params:
            if params.keys() != {*self.params, "path"}:
                return None
            return URLPath(str(params["path"]), host=fill(self.host, params))
        inner = _find_inside(self.name, self.app, self.params, name, params)
        return None if inner is None else URLPath(inner, host=fill(self.host, params))


def _find_inside(
    own_name: str | None, app: Any, own: dict[str, type], name: str, params: dict[str, Any]
) -> URLPath | None:
    """In `app`, what a mount called `own_name` offers as "own_name:inner", or without one as is."""
    if own_name is not None:
        if not name.startswith(own_name + ":"):
            return None
        name = name[len(own_name) + 1 :]
    if not own.keys() <= params.keys():
        return None
    inside = {key: value for key, value in params.items() if key not in own}
    for entry in entries_of(app):
        if (found := url_path_in(entry, name, inside)) is not None:
            return found
    return None


def entries_of(app: Any) -> Iterator[Entry]:
    """What an App or a Router answers with, in order; static files have no parts."""
    yield from getattr(app, "entries", ())


def url_path_in(entry: Entry, name: str, params: dict[str, Any]) -> URLPath | None:
    """The path of the route `name` within an entry of a router; None where it is not in there."""
    if isinstance(entry, Mount | Host):
        return entry.url_path(name, params)
    if isinstance(entry, Frontend):
        return None
    if entry.name == name and entry.takes(params):
        return entry.url_path(params)
    return None
