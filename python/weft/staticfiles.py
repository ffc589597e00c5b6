"""Files of a directory as replies."""

from __future__ import annotations

import errno
import importlib.util
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from weft.exceptions import HTTPException
from weft.requests import Request
from weft.responses import FileResponse, RedirectResponse, Response, content_type_of

PathLike = str | os.PathLike[str]


class StaticFiles:
    """The files beneath `directory`: `app.mount("/static", StaticFiles(directory="static"))`.

    `packages` are names of packages whose folder "statics" is looked in too, or pairs of a name
    and the folder's. With `html` a directory is its index.html, and what is not there is 404.html,
    where that is. Symlinks out of the directory, and absolute ones, count only with
    `follow_symlink`. With `precompressed` a client that accepts it gets "name.br", "name.zst" or
    "name.gz" in place of "name", where that file is. `RuntimeError` where there is no such
    directory, unless `check_dir` is False.

    Files are sent in C. Where the App has middleware in Python, each request goes through that, and
    variants are not looked for.
    """

    def __init__(
        self,
        *,
        directory: PathLike | None = None,
        packages: Sequence[str | tuple[str, str]] | None = None,
        html: bool = False,
        check_dir: bool = True,
        follow_symlink: bool = False,
        precompressed: bool = False,
    ) -> None:
        self.directory = directory
        self.packages = packages
        self.html = html
        self.follow_symlink = follow_symlink
        self.precompressed = precompressed
        self.all_directories = [] if directory is None else [os.fspath(directory)]
        self.all_directories += [_folder_of(package) for package in packages or ()]
        if check_dir and directory is not None and not os.path.isdir(directory):
            raise RuntimeError(f"Directory '{directory}' does not exist")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.all_directories))})"

    def arguments(
        self,
    ) -> tuple[tuple[bytes, ...], tuple[tuple[bytes, bytes], ...], bool, bool, bool]:
        """What the core is told."""
        directories = tuple(os.fsencode(path) for path in self.all_directories)
        options = self.html, self.follow_symlink, self.precompressed
        return directories, media_types(), *options

    def respond(self, request: Request) -> Response:
        """The reply in Python, for middleware to be around."""
        if request.method not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        rest = request.path[len(request.root_path) :] if request.root_path else request.path
        path = request.path_params.get("path", rest)
        found = self._find(path)
        if found is not None and os.path.isdir(found) and self.html:
            index = self._find(f"{path}/index.html")
            if index is not None and not request.path.endswith("/"):
                url = request.url
                return RedirectResponse(url.replace(path=url.path + "/"))
            found = index
        if found is not None and os.path.isfile(found):
            return FileResponse(found)
        if self.html and (missing := self._find("404.html")) is not None:
            return FileResponse(missing, status_code=404)
        raise HTTPException(404)

    def _find(self, path: str) -> str | None:
        path = os.path.normpath(os.path.join(*path.split("/")))
        if "\0" in path or path.startswith(("/", "\\", "..")):
            return None
        resolve = os.path.abspath if self.follow_symlink else os.path.realpath
        for directory in self.all_directories:
            full, root = resolve(os.path.join(directory, path)), resolve(directory)
            if os.path.commonpath([full, root]) != root:
                continue
            try:
                mode = os.stat(full).st_mode
            except PermissionError:
                raise HTTPException(401) from None
            except OSError as exc:
                if exc.errno == errno.ENAMETOOLONG:  # no 404.html for that, as with Starlette
                    raise HTTPException(404) from None
                continue
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                return full
        return None


def _folder_of(package: str | tuple[str, str]) -> str:
    name, folder = (package, "statics") if isinstance(package, str) else package
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"Package {name!r} could not be found.")
    path = os.path.normpath(Path(spec.origin).parent / folder)
    if not os.path.isdir(path):
        raise RuntimeError(f"Directory {folder!r} in package {name!r} could not be found.")
    return path


def media_types() -> tuple[tuple[bytes, bytes], ...]:
    """Suffixes, sorted, and the content-type of each; an empty one for those of encodings."""
    import mimetypes

    if not mimetypes.inited:
        mimetypes.init()
    types = {suffix.lower(): kind for suffix, kind in mimetypes.types_map.items()}
    for short, long in mimetypes.suffix_map.items():  # ".tgz", ".tar.gz"
        types[short] = types.get("." + long.split(".")[1], "application/octet-stream")
    table = {suffix[1:].encode(): content_type_of(kind) for suffix, kind in types.items()}
    table |= {suffix[1:].lower().encode(): b"" for suffix in mimetypes.encodings_map}
    return tuple(sorted(table.items()))
