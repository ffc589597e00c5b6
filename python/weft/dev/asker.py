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
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin", "same-site"):
        return False
    origin = request.headers.get("origin")
    return (
        origin is None
        or urlsplit(origin).netloc == host
        or _is_localhost(_hostname(origin))  # a frontend's own server
    )


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
