"""Routes that serve the OpenAPI document and the pages that show it: Swagger UI and Redoc.

The pages' own files come from an installed package, never from another host: what is needed of it
is served beside the page, and a content security policy forbids the rest.
"""

from __future__ import annotations

import hashlib
import html
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.exceptions import HTTPException
from weft.json import encode
from weft.requests import Request
from weft.responses import HTMLResponse, Response
from weft.routing import Route

if TYPE_CHECKING:
    from weft.app import App

_INSTALL = "pip install --no-deps drf-spectacular-sidecar"
_SWAGGER = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "oauth2-redirect.js")
_REDOC = ("redoc.standalone.js",)
_KINDS = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}

# What each page may load. Both write styles into their elements; Redoc searches in a worker and
# draws its own logo from data. Operations are tried out, and tokens fetched, from wherever the
# document says.
_SWAGGER_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self' https: http:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'self'"
)
_REDOC_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; worker-src blob:; font-src 'self'; "
    "base-uri 'none'; frame-ancestors 'self'"
)

# The login of an authorization server opens in a window, which comes back to the redirect page;
# that hands the code to the page that opened it. Both say so themselves: with the stricter policy
# that a middleware may put on every reply the two windows would not know of each other.
_OPENS_LOGIN = "same-origin-allow-popups"
_COMES_FROM_LOGIN = "unsafe-none"


def documentation_routes(app: App) -> list[Route]:
    """Those of one server: the document is made at its first request, and its bytes are answered
    from C from then on."""
    if app.openapi_url is None:
        return []
    routes = [_route(app.openapi_url, _Document(app).reply)]
    files = _Files()
    if app.docs_url is not None:
        page = _SwaggerUI(app, files)
        routes.append(_route(app.docs_url, page.reply))
        routes.append(_route(_folder(app.docs_url) + "swagger-initializer.js", page.initializer))
        if app.swagger_ui_oauth2_redirect_url is not None:
            routes.append(_route(app.swagger_ui_oauth2_redirect_url, page.oauth2_redirect))
        routes.append(_route(_folder(app.docs_url) + "{name}", files.swagger_ui))
    if app.redoc_url is not None:
        routes.append(_route(app.redoc_url, _Redoc(app, files).reply))
        routes.append(_route(_folder(app.redoc_url) + "{name}", files.redoc))
    return routes


def _folder(url: str | None) -> str:
    """Beneath which path a page's files are."""
    return (url or "").rstrip("/") + "/-/"


def _route(path: str, endpoint: Any) -> Route:
    return Route(
        path=path,
        endpoint=endpoint,
        methods=("GET",),
        name=endpoint.__name__,
        include_in_schema=False,
    )


@dataclass(slots=True)
class _Bytes:
    """A reply that never changes while the server runs."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> _Bytes:
        return cls(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')

    def reply(self, request: Request) -> Response:
        """All of it, or 304 to who has it already (RFC 9110 section 13.1.2)."""
        headers = {"etag": self.etag, "cache-control": "no-cache"}
        known = [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]
        if self.etag in known or f"W/{self.etag}" in known or known == ["*"]:
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


class _Document:
    def __init__(self, app: App) -> None:
        self.app = app
        self.document: dict[str, Any] | None = None

    async def reply(self, request: Request) -> Response:
        if self.document is None:
            self.document = self.app.openapi()
        document = self.document
        if self.app.root_path_in_servers:
            document = _beneath(request.root_path, document)
        made = _Bytes.of(encode(document), "application/json")
        if not request.path_params:  # of a mount: a document for each
            request._always((b"application/json", made.etag.encode(), made.content))
        return made.reply(request)


def _beneath(root_path: str, document: dict[str, Any]) -> dict[str, Any]:
    """That of an App which is mounted, or behind a proxy, names where as the first server."""
    servers = document.get("servers", ())
    if not root_path or any(server.get("url") == root_path for server in servers):
        return document
    return document | {"servers": [{"url": root_path}, *servers]}


class _Files:
    """What the pages load, from the package that brings it."""

    def __init__(self) -> None:
        self.read: dict[str, _Bytes] = {}
        self.folders: dict[str, Path] = {}
        for package, swagger_ui, redoc in (
            ("drf_spectacular_sidecar", "swagger-ui-dist", "redoc/bundles"),
        ):
            spec = importlib.util.find_spec(package)
            if spec is not None and spec.origin is not None:
                static = Path(spec.origin).parent / "static" / package
                self.folders = dict.fromkeys(_SWAGGER, static / swagger_ui)
                self.folders |= dict.fromkeys(_REDOC, static / redoc)

    def has(self, names: tuple[str, ...]) -> bool:
        return all(name in self.folders for name in names)

    async def swagger_ui(self, name: str, request: Request) -> Response:
        return self._reply(name, _SWAGGER, request)

    async def redoc(self, name: str, request: Request) -> Response:
        return self._reply(name, _REDOC, request)

    def _reply(self, name: str, names: tuple[str, ...], request: Request) -> Response:
        if name not in names or name not in self.folders:
            raise HTTPException(404)
        if name not in self.read:
            content = (self.folders[name] / name).read_bytes()
            self.read[name] = _Bytes.of(content, _KINDS[Path(name).suffix])
        return self.read[name].reply(request)


def _page(title: str, head: str, body: str, policy: str, opener: str = "") -> HTMLResponse:
    content = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n{head}</head>\n<body>\n{body}</body>\n</html>\n"
    )
    headers = {"content-security-policy": policy, "x-content-type-options": "nosniff"}
    if opener:
        headers["cross-origin-opener-policy"] = opener
    return HTMLResponse(content, headers=headers)


def _missing(title: str, openapi_url: str) -> HTMLResponse:
    """In place of a page whose files are not installed."""
    body = (
        f"<h1>{html.escape(title)}</h1>\n"
        f"<p>The files of this page are not installed. On the server:</p>\n<pre>{_INSTALL}</pre>\n"
        "<p>and start it again. What the page would show is the OpenAPI document, "
        f'<a href="{html.escape(openapi_url)}">{html.escape(openapi_url)}</a>.</p>\n'
    )
    return _page(title, "", body, "default-src 'none'; frame-ancestors 'self'")


class _SwaggerUI:
    def __init__(self, app: App, files: _Files) -> None:
        self.app = app
        self.files = files
        self.title = f"{app.title} - Swagger UI"

    def _folder(self, request: Request) -> str:
        return html.escape(request.root_path + _folder(self.app.docs_url))

    async def reply(self, request: Request) -> HTMLResponse:
        if not self.files.has(_SWAGGER):
            return _missing(self.title, f"{request.root_path}{self.app.openapi_url}")
        folder = self._folder(request)
        head = (
            f'<link rel="stylesheet" href="{folder}swagger-ui.css">\n'
            f'<link rel="icon" type="image/png" href="{folder}favicon-32x32.png">\n'
        )
        body = (
            '<div id="swagger-ui"></div>\n'
            f'<script src="{folder}swagger-ui-bundle.js"></script>\n'
            f'<script src="{folder}swagger-initializer.js"></script>\n'
        )
        return _page(self.title, head, body, _SWAGGER_POLICY, _OPENS_LOGIN)

    async def initializer(self, request: Request) -> Response:
        """The script that starts Swagger UI; a file of its own, since the page may hold none."""
        app = self.app
        parameters: dict[str, Any] = {
            "url": f"{request.root_path}{app.openapi_url}",
            "dom_id": "#swagger-ui",
            "layout": "BaseLayout",
            "deepLinking": True,
            "showExtensions": True,
            "showCommonExtensions": True,
            **(app.swagger_ui_parameters or {}),
        }
        script = f"const parameters = {encode(parameters).decode()};\n"
        if app.swagger_ui_oauth2_redirect_url is not None:
            path = f"{request.root_path}{app.swagger_ui_oauth2_redirect_url}"
            redirect = encode(path).decode()
            script += f"parameters.oauth2RedirectUrl = window.location.origin + {redirect};\n"
        script += "parameters.presets = [SwaggerUIBundle.presets.apis];\n"
        script += "window.ui = SwaggerUIBundle(parameters);\n"
        oauth: Mapping[str, Any] | None = app.swagger_ui_init_oauth
        if oauth is not None:
            script += f"window.ui.initOAuth({encode(oauth).decode()});\n"
        return _Bytes.of(script.encode(), "text/javascript").reply(request)

    async def oauth2_redirect(self, request: Request) -> HTMLResponse:
        """Where an authorization server sends the browser back to (RFC 6749 section 3.1.2)."""
        if not self.files.has(_SWAGGER):
            return _missing(self.title, f"{request.root_path}{self.app.openapi_url}")
        body = f'<script src="{self._folder(request)}oauth2-redirect.js"></script>\n'
        return _page("Swagger UI: OAuth2 Redirect", "", body, _SWAGGER_POLICY, _COMES_FROM_LOGIN)


class _Redoc:
    def __init__(self, app: App, files: _Files) -> None:
        self.app = app
        self.files = files

    async def reply(self, request: Request) -> HTMLResponse:
        title, url = f"{self.app.title} - Redoc", f"{request.root_path}{self.app.openapi_url}"
        if not self.files.has(_REDOC):
            return _missing(title, url)
        folder = html.escape(request.root_path + _folder(self.app.redoc_url))
        body = (
            f'<redoc spec-url="{html.escape(url)}"></redoc>\n'
            f'<script src="{folder}redoc.standalone.js"></script>\n'
        )
        return _page(title, "<style>body { margin: 0 }</style>\n", body, _REDOC_POLICY)
