"""What every security scheme is: a dependency that the OpenAPI document tells of."""

from __future__ import annotations

from weft.exceptions import HTTPException
from weft.security.models import SecurityScheme

NOT_AUTHENTICATED = "Not authenticated"


class SecurityBase:
    """`model` is its Security Scheme Object (OpenAPI 3.1), `scheme_name` its key there.

    With `auto_error` a request without credentials is answered with 401; without, it goes on and
    the credentials are None.
    """

    model: SecurityScheme
    scheme_name: str
    auto_error: bool

    def describe_as(self, model: SecurityScheme, scheme_name: str | None, auto_error: bool) -> None:
        """Sets what the document says of it; its name is that of the class where none is given."""
        self.model = model
        self.scheme_name = scheme_name or type(self).__name__
        self.auto_error = auto_error

    def make_authenticate_headers(self) -> dict[str, str]:
        """The challenge of a 401 (RFC 9110, section 11.6.1)."""
        return {"WWW-Authenticate": "Bearer"}

    def make_not_authenticated_error(self) -> HTTPException:
        """The `HTTPException` (401) of a request without credentials."""
        return HTTPException(401, NOT_AUTHENTICATED, self.make_authenticate_headers())

    def refuse(self) -> None:
        """There are no credentials."""
        if self.auto_error:
            raise self.make_not_authenticated_error()


def split_authorization(value: str | None) -> tuple[str, str]:
    """The scheme of an `authorization` field and what follows it; both empty without one."""
    scheme, _, credentials = (value or "").partition(" ")
    return scheme, credentials.strip()
