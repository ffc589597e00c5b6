"""Who may see source code and requests: this machine's user, and no page of another site.

A browser can be led here by two ways. By a name that its owner has changed to a loopback address
(DNS rebinding), which is then in Host; and by a page of another site, which is then in Origin and
reads whatever the application's CORS lets it.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from weft.requests import Request

REFUSAL = (
    "The development view is shown at localhost and at addresses only, and to no page of another "
    "site: open it as http://127.0.0.1 or http://localhost, with the port of this server."
)


def is_welcome(request: Request) -> bool:
    """May who sent this see what is for developers?"""
    host = request.headers.get("host", "")
    if not (_is_localhost(name := _hostname(f"//{host}")) or _is_address(name)):
        return False
    site = request.headers.get("sec-fetch-site", "none")
    # A page that is gone to, by a link or a redirect from elsewhere, is not read by the other site.
    visited = request.headers.get("sec-fetch-mode") == "navigate" and (
        request.headers.get("sec-fetch-dest") == "document"
    )
    if site not in ("none", "same-origin", "same-site") and not visited:
        return False
    return is_of(request, host) or _is_localhost(_hostname(request.headers["origin"]))


def is_of(request: Request, host: str) -> bool:
    """Was it sent by no page, or by one of this host?"""
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == host


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_localhost(name: str) -> bool:
    return (
        name == "localhost"
        or name.endswith(".localhost")
        or (_is_address(name) and ipaddress.ip_address(name).is_loopback)
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
