"""The files that a frontend's build has made, served where no route is."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from weft.exceptions import HTTPException
from weft.params import Dependency
from weft.requests import Request
from weft.responses import FileResponse, RedirectResponse, Response
from weft.staticfiles import PathLike, StaticFiles

__all__ = ["Fallback", "Frontend", "FrontendFiles"]

Fallback = Literal["auto", "index.html", "404.html"]
_FALLBACKS = ("auto", "index.html", "404.html", None)
_PAGES = ("text/html", "application/xhtml+xml")


class FrontendFiles(StaticFiles):
    """Files of a build, a directory by its index.html, and the fallback for what is not there."""

    def __init__(
        self, directory: PathLike, fallback: Fallback | None, check_dir: bool | Literal["auto"]
    ) -> None:
        if fallback not in _FALLBACKS:
            raise ValueError(f"fallback is one of {_FALLBACKS}, not {fallback!r}")
        super().__init__(directory=directory, html=True, check_dir=False)
        self.fallback = fallback
        where = f"'{directory}' ({os.path.realpath(directory)})"
        if check_dir == "auto" and os.environ.get("WEFT_ENV") == "development":
            if not os.path.isdir(directory):
                warnings.warn(f"There is no frontend directory {where}", stacklevel=4)
        elif check_dir:
            if not os.path.isdir(directory):
                raise RuntimeError(f"There is no frontend directory {where}")
            if fallback in ("index.html", "404.html") and self._file(fallback) is None:
                raise RuntimeError(f"There is no {fallback} in the frontend directory {where}")

    def __repr__(self) -> str:
        return f"frontend({os.fspath(self.all_directories[0])!r})"

    def respond(self, request: Request) -> Response:
        """The file at a path, or the fallback."""
        path = request.path_params.get("path", "")
        found = self._find(path)
        index = found is not None and os.path.isdir(found)
        if index:
            found = self._file(f"{path}/index.html")
        if request.method not in ("GET", "HEAD"):
            if found is None:
                raise HTTPException(404)
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        if found is not None:
            if index and not request.path.endswith("/"):
                url = request.url
                return RedirectResponse(url.replace(path=url.path + "/"))
            return FileResponse(found)
        return self._missing(request)

    def _missing(self, request: Request) -> Response:
        if self.fallback in ("auto", "404.html") and (page := self._file("404.html")) is not None:
            return FileResponse(page, status_code=404)
        navigates = self.fallback in ("auto", "index.html") and _wants_a_page(request)
        if navigates and (page := self._file("index.html")) is not None:
            return FileResponse(page)
        if self.fallback in ("index.html", "404.html") and self._file(self.fallback) is None:
            raise RuntimeError(f"There is no {self.fallback} in {self.directory}")
        raise HTTPException(404)

    def _file(self, path: str) -> str | None:
        found = self._find(path)
        return found if found is not None and os.path.isfile(found) else None


def _wants_a_page(request: Request) -> bool:
    """Is a page wanted, as where somebody follows a link, rather than an image or data?"""
    for given in request.headers.get("accept", "").split(","):
        kind, *parameters = (part.strip().lower() for part in given.split(";"))
        if kind in _PAGES and not any(_is_zero(parameter) for parameter in parameters):
            return True
    return False


def _is_zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    try:
        return name.strip() == "q" and float(value) == 0
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Frontend:
    """The files of a frontend at a path, for what no route of the router has."""

    path: str  # empty for "/"
    files: FrontendFiles
    dependencies: tuple[Dependency, ...] = ()

    @property
    def paths(self) -> Iterator[str]:
        """Of the routes it is made of."""
        if self.path:
            yield self.path
        yield self.path + "/{path:path}"

    def around(self, prefix: str, dependencies: tuple[Dependency, ...]) -> Frontend:
        """Itself in a router that is included."""
        return replace(
            self, path=prefix + self.path, dependencies=(*dependencies, *self.dependencies)
        )
