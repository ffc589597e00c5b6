"""Security Scheme Objects (OpenAPI 3.1, section 4.8.27), with their names there."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


class _Object:
    """Something with a place in the document."""

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the document: what is None is not there."""
        found: dict[str, Any] = {}
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if value is not None:
                found[f.name.rstrip("_")] = value.as_dict() if hasattr(value, "as_dict") else value
        return found


@dataclass(kw_only=True)
class SecurityScheme(_Object):
    """OpenAPI's Security Scheme Object, and what its kinds have in common."""

    type_: str
    description: str | None = None


@dataclass(kw_only=True)
class APIKey(SecurityScheme):
    """A key in the query, in a header field or in a cookie."""

    type_: str = "apiKey"
    in_: str
    name: str


@dataclass(kw_only=True)
class HTTPBase(SecurityScheme):
    """An HTTP authentication scheme (RFC 9110, section 11)."""

    type_: str = "http"
    scheme: str


@dataclass(kw_only=True)
class HTTPBearer(HTTPBase):
    """Bearer tokens (RFC 6750), and what they look like."""

    scheme: str = "bearer"
    bearerFormat: str | None = None


@dataclass(kw_only=True)
class OAuthFlow(_Object):
    """A flow (RFC 6749): which URLs it needs depends on which it is."""

    refreshUrl: str | None = None
    scopes: dict[str, str] = field(default_factory=dict)
    authorizationUrl: str | None = None
    tokenUrl: str | None = None


@dataclass(kw_only=True)
class OAuthFlows(_Object):
    """The flows of OAuth 2 (RFC 6749) that are offered."""

    implicit: OAuthFlow | None = None
    password: OAuthFlow | None = None
    clientCredentials: OAuthFlow | None = None
    authorizationCode: OAuthFlow | None = None


@dataclass(kw_only=True)
class OAuth2(SecurityScheme):
    """OAuth 2 by those flows."""

    type_: str = "oauth2"
    flows: OAuthFlows


@dataclass(kw_only=True)
class OpenIdConnect(SecurityScheme):
    """OpenID Connect, by the URL of its discovery document."""

    type_: str = "openIdConnect"
    openIdConnectUrl: str
