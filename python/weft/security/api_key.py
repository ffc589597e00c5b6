"""A key in the query, in a header field or in a cookie."""

from __future__ import annotations

from typing import ClassVar

from weft.requests import HTTPConnection
from weft.security.base import SecurityBase
from weft.security.models import APIKey


class APIKeyBase(SecurityBase):
    """What the three have in common. `name` is that of the parameter, field or cookie."""

    model: APIKey
    location: ClassVar[str]

    def __init__(
        self,
        *,
        name: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        model = APIKey(in_=self.location, name=name, description=description)
        self.describe_as(model, scheme_name, auto_error)

    def make_authenticate_headers(self) -> dict[str, str]:
        """Fields of the 401."""
        return {"WWW-Authenticate": "APIKey"}

    def check_api_key(self, api_key: str | None) -> str | None:
        """The key; without one, 401, or None where `auto_error` is False."""
        if not api_key:
            self.refuse()
            return None
        return api_key


class APIKeyQuery(APIKeyBase):
    """The key is the query parameter `name`, a str. Without one, 401, or None where
    `auto_error` is False."""

    location = "query"

    async def __call__(self, request: HTTPConnection) -> str | None:
        return self.check_api_key(request.query_params.get(self.model.name))


class APIKeyHeader(APIKeyBase):
    """The key is the header field `name`, a str. Without one, 401, or None where
    `auto_error` is False."""

    location = "header"

    async def __call__(self, request: HTTPConnection) -> str | None:
        return self.check_api_key(request.headers.get(self.model.name))


class APIKeyCookie(APIKeyBase):
    """The key is the cookie `name` (RFC 6265), a str. Without one, 401, or None where
    `auto_error` is False."""

    location = "cookie"

    async def __call__(self, request: HTTPConnection) -> str | None:
        return self.check_api_key(request.cookies.get(self.model.name))
