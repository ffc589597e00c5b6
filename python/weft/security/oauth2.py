"""OAuth 2.0 (RFC 6749) and OpenID Connect: the token a client sends, by the flow it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from weft.params import Form
from weft.requests import HTTPConnection
from weft.security import models
from weft.security.base import SecurityBase, split_authorization

Flows = models.OAuthFlows | Mapping[str, Mapping[str, Any]]


class OAuth2(SecurityBase):
    """Any flows (OpenAPI's OAuth Flows Object); the credentials are the whole `authorization`
    field, a str. Without one, 401, or None where `auto_error` is False."""

    model: models.OAuth2

    def __init__(
        self,
        *,
        flows: Flows | None = None,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        if not isinstance(flows, models.OAuthFlows):
            given = {name: models.OAuthFlow(**flow) for name, flow in (flows or {}).items()}
            flows = models.OAuthFlows(**given)
        model = models.OAuth2(flows=flows, description=description)
        self.describe_as(model, scheme_name, auto_error)

    async def __call__(self, request: HTTPConnection) -> str | None:
        authorization = request.headers.get("authorization")
        if not authorization:
            self.refuse()
            return None
        return authorization


class _Bearer(OAuth2):
    """The token that follows `Bearer`."""

    async def __call__(self, request: HTTPConnection) -> str | None:
        scheme, token = split_authorization(request.headers.get("authorization"))
        if scheme.lower() != "bearer":
            self.refuse()
            return None
        return token


class OAuth2PasswordBearer(_Bearer):
    """The bearer token (RFC 6750) that `tokenUrl` gives for a user name and a password (RFC 6749,
    section 4.3), a str that nobody has verified. Without one, 401, or None where `auto_error` is
    False. `scopes` are names and what each is for."""

    def __init__(
        self,
        tokenUrl: str,
        scheme_name: str | None = None,
        scopes: dict[str, str] | None = None,
        description: str | None = None,
        auto_error: bool = True,
        refreshUrl: str | None = None,
    ) -> None:
        flow = models.OAuthFlow(tokenUrl=tokenUrl, refreshUrl=refreshUrl, scopes=scopes or {})
        super().__init__(
            flows=models.OAuthFlows(password=flow),
            scheme_name=scheme_name,
            description=description,
            auto_error=auto_error,
        )


class OAuth2AuthorizationCodeBearer(_Bearer):
    """The bearer token that `tokenUrl` gives for a code of `authorizationUrl` (RFC 6749, section
    4.1); else as `OAuth2PasswordBearer`."""

    def __init__(
        self,
        authorizationUrl: str,
        tokenUrl: str,
        refreshUrl: str | None = None,
        scheme_name: str | None = None,
        scopes: dict[str, str] | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        flow = models.OAuthFlow(
            authorizationUrl=authorizationUrl,
            tokenUrl=tokenUrl,
            refreshUrl=refreshUrl,
            scopes=scopes or {},
        )
        super().__init__(
            flows=models.OAuthFlows(authorizationCode=flow),
            scheme_name=scheme_name,
            description=description,
            auto_error=auto_error,
        )


class OpenIdConnect(SecurityBase):
    """The whole `authorization` field, a str, of a provider that `openIdConnectUrl` describes
    (OpenID Connect Discovery 1.0). Without one, 401, or None where `auto_error` is False."""

    model: models.OpenIdConnect

    def __init__(
        self,
        *,
        openIdConnectUrl: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        model = models.OpenIdConnect(openIdConnectUrl=openIdConnectUrl, description=description)
        self.describe_as(model, scheme_name, auto_error)

    async def __call__(self, request: HTTPConnection) -> str | None:
        authorization = request.headers.get("authorization")
        if not authorization:
            self.refuse()
            return None
        return authorization


class OAuth2PasswordRequestForm:
    """The form of the password flow (RFC 6749, section 4.3.2), to be used with `Depends()`.

    `scopes` is the list of what `scope` names, separated by spaces. `grant_type` may be left out,
    which the RFC does not allow.
    """

    def __init__(
        self,
        *,
        grant_type: Annotated[str | None, Form(pattern="^password$")] = None,
        username: Annotated[str, Form()],
        password: Annotated[str, Form(json_schema_extra={"format": "password"})],
        scope: Annotated[str, Form()] = "",
        client_id: Annotated[str | None, Form()] = None,
        client_secret: Annotated[str | None, Form(json_schema_extra={"format": "password"})] = None,
    ) -> None:
        self.grant_type = grant_type
        self.username = username
        self.password = password
        self.scopes = scope.split()
        self.client_id = client_id
        self.client_secret = client_secret


class OAuth2PasswordRequestFormStrict(OAuth2PasswordRequestForm):
    """The same with the `grant_type` that the RFC asks for."""

    def __init__(
        self,
        grant_type: Annotated[str, Form(pattern="^password$")],
        username: Annotated[str, Form()],
        password: Annotated[str, Form()],
        scope: Annotated[str, Form()] = "",
        client_id: Annotated[str | None, Form()] = None,
        client_secret: Annotated[str | None, Form()] = None,
    ) -> None:
        super().__init__(
            grant_type=grant_type,
            username=username,
            password=password,
            scope=scope,
            client_id=client_id,
            client_secret=client_secret,
        )
