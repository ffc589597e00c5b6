"""Security schemes, to be used as dependencies."""

from weft.security.base import SecurityBase
from weft.security.scopes import SecurityScopes

__all__ = ["SecurityBase", "SecurityScopes"]
