"""HTTP authentication (RFC 9110, section 11): basic, bearer and digest."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from weft.requests import HTTPConnection
from weft.security import models
from weft.security.base import SecurityBase, split_authorization


@dataclass
class HTTPBasicCredentials:
    """What HTTP basic authentication sends (RFC 7617)."""

    username: str
    password: str


@dataclass
class HTTPAuthorizationCredentials:
    """What an `authorization` field has (RFC 9110, section 11.6.2): as it came, and not looked
    into."""

    scheme: str
    credentials: str


class HTTPBase(SecurityBase):
    """Any scheme; the credentials are those of whatever scheme the client uses, as
    `HTTPAuthorizationCredentials`. Without them, 401, or None where `auto_error` is False."""

    model: models.HTTPBase
    accepts: str | None = None  # the scheme, in lower case, that the credentials must be of

    def __init__(
        self,
        *,
        scheme: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        model = models.HTTPBase(scheme=scheme, description=description)
        self.describe_as(model, scheme_name, auto_error)

    def make_authenticate_headers(self) -> dict[str, str]:
        """Fields of the 401 (RFC 9110, section 11.6.1)."""
        return {"WWW-Authenticate": self.model.scheme.title()}

    async def __call__(self, request: HTTPConnection) -> Any:
        scheme, credentials = split_authorization(request.headers.get("authorization"))
        if not (scheme and credentials) or self.accepts not in (None, scheme.lower()):
            return self.refuse()
        return HTTPAuthorizationCredentials(scheme, credentials)


class HTTPBasic(HTTPBase):
    """A user name and a password (RFC 7617), given as `HTTPBasicCredentials`, in ASCII.

    Credentials that are malformed are answered with 401, whatever `auto_error` says. To compare
    them, `secrets.compare_digest` takes the same time for all.
    """

    def __init__(
        self,
        *,
        scheme_name: str | None = None,
        realm: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(
            scheme="basic",
            scheme_name=scheme_name,
            description=description,
            auto_error=auto_error,
        )
        self.realm = realm

    def make_authenticate_headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": f'Basic realm="{self.realm}"' if self.realm else "Basic"}

    async def __call__(self, request: HTTPConnection) -> HTTPBasicCredentials | None:
        scheme, encoded = split_authorization(request.headers.get("authorization"))
        if scheme.lower() != "basic":
            self.refuse()
            return None
        try:
            username, colon, password = b64decode(encoded).decode("ascii").partition(":")
        except ValueError as exc:  # neither base64 nor ASCII
            raise self.make_not_authenticated_error() from exc
        if not colon:
            raise self.make_not_authenticated_error()
        return HTTPBasicCredentials(username, password)


class HTTPBearer(HTTPBase):
    """A token (RFC 6750), given as `HTTPAuthorizationCredentials`."""

    accepts = "bearer"

    def __init__(
        self,
        *,
        bearerFormat: str | None = None,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        model = models.HTTPBearer(bearerFormat=bearerFormat, description=description)
        self.describe_as(model, scheme_name, auto_error)


class HTTPDigest(HTTPBase):
    """Digest credentials (RFC 7616), given as `HTTPAuthorizationCredentials`, not verified."""

    accepts = "digest"

    def __init__(
        self,
        *,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(
            scheme="digest",
            scheme_name=scheme_name,
            description=description,
            auto_error=auto_error,
        )
