"""What middleware in C is described by, and those that are a few lines of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

__all__ = [
    "CORSMiddleware",
    "ConcurrencyLimitMiddleware",
    "HTTPSRedirectMiddleware",
    "Middleware",
    "RequestIDMiddleware",
    "SecurityHeadersMiddleware",
    "TrustedHostMiddleware",
]

_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY")
_SAFELISTED = {"Accept", "Accept-Language", "Content-Language", "Content-Type"}
_PREFLIGHT_VARY = (
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, "
    "Access-Control-Request-Private-Network"
)


class Declared(NamedTuple):
    """What `Middleware(cls, *args, **kwargs)` gives: one to be made for an App."""

    cls: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Middleware:
    """What all of them are; `layer()` is how the core is told.

    `Middleware(CORSMiddleware, allow_origins=["*"])` declares one, for `App(middleware=[...])`.
    """

    if TYPE_CHECKING:  # behind __new__ they would not look at the arguments of subclasses

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    else:

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            if cls is Middleware:
                return Declared(args[0], args[1:], kwargs)
            return super().__new__(cls)

    def layer(self) -> tuple[str, tuple[object, ...]]:
        """Its kind and configuration, for the core."""
        raise NotImplementedError


def _texts(values: Collection[str]) -> tuple[bytes, ...]:
    if isinstance(values, str):
        raise TypeError(f"a list of texts is wanted, not {values!r}")
    return tuple(value.encode("latin-1") for value in values)


def _fields(fields: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in fields.items())


class CORSMiddleware(Middleware):
    """Lets pages of other origins read replies (the Fetch standard's CORS protocol).

    The arguments are Starlette's; `max_age` is how many seconds a browser may remember the answer
    to a preflight request. Those are answered before they are routed; `"*"` stands for any origin,
    method or header. `allow_origin_regex` is Python's syntax, as far as PCRE2 shares it, which
    matches it without the GIL; a whole origin has to match. `re.error` for what is no regular
    expression; that PCRE2 cannot use it, or was not there when weft was built, is told when the
    server starts.
    """

    def __init__(
        self,
        allow_origins: Collection[str] = (),
        allow_methods: Collection[str] = ("GET",),
        allow_headers: Collection[str] = (),
        allow_credentials: bool = False,
        allow_origin_regex: str | None = None,
        allow_private_network: bool = False,
        expose_headers: Collection[str] = (),
        max_age: int = 600,
    ) -> None:
        if allow_origin_regex is not None:
            re.compile(allow_origin_regex)
        methods = _METHODS if "*" in allow_methods else tuple(allow_methods)
        any_origin, any_header = "*" in allow_origins, "*" in allow_headers
        headers = sorted(_SAFELISTED | set(allow_headers))
        simple: dict[str, str] = {}
        preflight = {"Vary": _PREFLIGHT_VARY}
        if any_origin:
            simple["Access-Control-Allow-Origin"] = "*"
            if not allow_credentials:
                preflight["Access-Control-Allow-Origin"] = "*"
        preflight["Access-Control-Allow-Methods"] = ", ".join(methods)
        preflight["Access-Control-Max-Age"] = str(max_age)
        if not any_header:
            preflight["Access-Control-Allow-Headers"] = ", ".join(headers)
        if allow_credentials:
            simple["Access-Control-Allow-Credentials"] = "true"
            preflight["Access-Control-Allow-Credentials"] = "true"
        if expose_headers:
            simple["Access-Control-Expose-Headers"] = ", ".join(expose_headers)
        self._config = (
            _texts(allow_origins),
            _texts(methods),
            _texts([header.lower() for header in headers]),
            _fields(simple),
            _fields(preflight),
            any_origin,
            any_header,
            allow_credentials,
            allow_private_network,
            None if allow_origin_regex is None else allow_origin_regex.encode("latin-1"),
        )

    def layer(self) -> tuple[str, tuple[object, ...]]:
        return "cors", self._config


class TrustedHostMiddleware(Middleware):
    """Answers 400 where the Host field (RFC 9110, section 7.2) names none of `allowed_hosts`.

    `"*.example.com"` is any subdomain, `"*"` any host. With `www_redirect`, a host that is allowed
    with `www.` in front is redirected there. `ValueError` for another kind of wildcard.
    """

    def __init__(
        self, allowed_hosts: Collection[str] | None = None, www_redirect: bool = True
    ) -> None:
        hosts = ["*"] if allowed_hosts is None else [host.lower() for host in allowed_hosts]
        for host in hosts:
            if "*" in host[1:] or (host.startswith("*") and host != "*" and host[1:2] != "."):
                raise ValueError(f"a wildcard is '*' or like '*.example.com', not {host!r}")
        self._config = (_texts([] if "*" in hosts else hosts), www_redirect)
        self._any = "*" in hosts

    def layer(self) -> tuple[str, tuple[object, ...]]:
        return ("fields", ()) if self._any else ("hosts", self._config)


class RequestIDMiddleware(Middleware):
    """Every reply repeats its request's id in the field `header`, or gets a random one there.

    What a client sends counts when it is up to 128 letters, digits and `-_.`.
    """

    def __init__(self, header: str = "X-Request-ID") -> None:
        self.header = header.lower().encode("latin-1")

    def layer(self) -> tuple[str, tuple[object, ...]]:
        return "request_id", (self.header,)


class SecurityHeadersMiddleware(Middleware):
    """Fields that keep browsers from guessing types, framing pages and leaking URLs, on every reply
    that does not bring its own. `headers` are more of them, or other values; "" leaves one out.

    They are those of `DEFAULTS`. Strict-Transport-Security (RFC 6797) is not among them, as it is
    for who has https everywhere: `headers={"Strict-Transport-Security": "max-age=31536000"}`.
    """

    DEFAULTS: Mapping[str, str] = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        fields = {name.lower(): value for name, value in self.DEFAULTS.items()}
        fields |= {name.lower(): value for name, value in (headers or {}).items()}
        self._fields = _fields({name: value for name, value in fields.items() if value})

    def layer(self) -> tuple[str, tuple[object, ...]]:
        return "fields", self._fields


class ConcurrencyLimitMiddleware(Middleware):
    """Answers 503, with Retry-After in seconds, while `limit` requests of this process run (RFC
    9110, sections 15.6.4 and 10.2.3). `ValueError` for a limit below 1."""

    def __init__(self, limit: int, retry_after: int = 1) -> None:
        if limit < 1 or retry_after < 0:
            raise ValueError("the limit is at least 1, retry_after at least 0")
        self._config = (limit, retry_after)

    def layer(self) -> tuple[str, tuple[object, ...]]:
        return "concurrency", self._config


class HTTPSRedirectMiddleware(Middleware):
    """Sends who came by http to the same URL with https, by a 307 (RFC 9110, section 15.4.8).

    Who came by https is what a trusted proxy says: see `forwarded_allow_ips`.
    """

    def layer(self) -> tuple[str, tuple[object, ...]]:
        return "https", ()
